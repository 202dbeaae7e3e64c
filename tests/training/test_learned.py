"""A training that did not learn is known as such, and one that did is not."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression

import modelzero as mz
from collapsing import BECOMES_NAN, COLLAPSES, ONE_DIES, SEEDS, THE_ONE, bright_images
from helpers import Stops
from modelzero.models.fitted import Fitted
from modelzero.training.learned import Steps, not_learned, why_not_learned
from modelzero.training.resume import resume

CLASSES = [f"class {number}" for number in range(10)]
LABELS = np.arange(400) % 10
GUESSING = np.log(10)


@pytest.fixture(scope="module")
def bright():
    return bright_images()


def rule(predictions, labels=LABELS, train_labels=LABELS, classes=CLASSES, **figures):
    """Apply the rule; by default the test loss says nothing."""
    figures = {"test_loss": 9.9, **figures}
    losses = figures.pop("train_losses", None)
    more = {name: figures.pop(f"{key}{name}") for key, name in (("train_", "accuracy"), ("", "label_smoothing"))
            if f"{key}{name}" in figures}  # fmt: skip
    steps = None if losses is None else Steps(losses, **more)
    return not_learned(predictions, labels, train_labels, classes, steps=steps, **figures)


def right(share, labels=LABELS):
    """Predictions of which a share is right, and the others are spread evenly."""
    wrong = np.arange(len(labels)) >= share * len(labels)
    return np.where(wrong, (labels + 1 + np.arange(len(labels)) // 10 % 9) % 10, labels)


def imbalanced(positives, images=1000):
    return (np.arange(images) < positives).astype(np.int64)


def test_a_collapse_after_a_good_beginning_counts():
    """As mlp on sign-digits, whose fourth epoch is better than guessing, and whose last ones are dead."""
    nearly_one_class = np.where(np.arange(400) == 7, 3, 0)
    losses = [2.30, 2.226, 2.28, 2.3026]
    found = rule(nearly_one_class, train_losses=losses, train_accuracy=0.1, test_loss=2.3026)
    assert found == {"kind": "loss", "best": 2.226, "last": 2.3026, "guessing": pytest.approx(GUESSING)}


@pytest.mark.parametrize(
    "figures",
    [
        {"predictions": right(0.3)},  # the accuracy on the test images
        {"predictions": right(0.1), "train_accuracy": 0.3},  # on the training images
        {"predictions": right(0.1), "test_loss": 2.0},
        {"predictions": right(0.1), "train_losses": [2.4, 2.25]},
    ],
    ids=["test accuracy", "training accuracy", "test loss", "training loss"],
)
def test_any_sign_of_learning_is_enough(figures):
    """One epoch's mean loss may lie above that of guessing though the model learned."""
    settings = {"train_losses": [2.31], "train_accuracy": 0.1, **figures}
    assert rule(**settings) is None
    settings |= {"predictions": right(0.1), "train_accuracy": 0.1, "train_losses": [2.31], "test_loss": 9.9}
    assert rule(**settings)["kind"] == "loss"


def test_chance_is_no_sign_of_learning():
    """Of 100,000 models that guess 400 test images at random, hardly one in a thousand is taken as having learned."""
    rng = np.random.default_rng(0)
    correct = rng.binomial(400, 0.1, 100_000)
    taken = sum(
        int(count) * times for count, times in ((rule(right(k / 400), train_losses=[2.31]) is None, n)
        for k, n in zip(*np.unique(correct, return_counts=True), strict=True))
    )  # fmt: skip
    assert taken / 100_000 < 0.002


def test_guessing_with_label_smoothing_has_the_smoothed_loss():
    """On balanced classes the same; on others larger, so that what looks above guessing is below it."""
    labels = imbalanced(100)
    settings = {"labels": labels, "train_labels": labels, "classes": ["no", "yes"], "train_losses": [0.35]}
    plain = rule(np.zeros(1000, np.int64), **settings)
    assert plain["guessing"] == pytest.approx(-(0.1 * np.log(0.1) + 0.9 * np.log(0.9)))
    smoothed = rule(np.zeros(1000, np.int64), **settings, label_smoothing=0.1)
    assert smoothed == {
        "kind": "one class",
        "class": "no",
    }  # its loss is below -(0.14 log 0.14 + 0.86 log 0.86) = 0.405


def test_one_class_for_all_of_an_imbalanced_set_can_be_right():
    """Where the probabilities tell the classes apart, no image needs to come out as the rare one."""
    labels = imbalanced(50)
    settings = {"labels": labels, "train_labels": labels, "classes": ["no", "yes"]}
    entropy = -(0.05 * np.log(0.05) + 0.95 * np.log(0.95))
    assert rule(np.zeros(1000, np.int64), **settings, test_loss=0.8 * entropy) is None
    assert rule(np.zeros(1000, np.int64), **settings, test_loss=0.95 * entropy) == {"kind": "one class", "class": "no"}


def test_of_too_few_images_nothing_is_concluded():
    """Nine images of other classes are missed by chance; so are all where there is one class only."""
    for positives, found in ((9, None), (10, "no")):
        labels = imbalanced(positives)
        result = rule(np.zeros(1000, np.int64), labels=labels, train_labels=LABELS % 2, classes=["no", "yes"])
        assert (result and result["class"]) == found
    assert rule(np.zeros(50, np.int64), labels=np.zeros(50, np.int64), train_labels=LABELS) is None


def test_a_class_without_training_images_is_no_trouble():
    """Nor one without test images: frequencies of zero count nothing."""
    found = rule(np.zeros(400, np.int64), labels=LABELS % 3, train_labels=LABELS % 2, train_losses=[0.7])
    assert found["guessing"] == pytest.approx(np.log(2))


def test_nan_is_no_learning():
    """A fitted model whose scores are NaN is judged by its predictions alone."""
    assert rule(np.zeros(400, np.int64), test_loss=float("nan"))["kind"] == "one class"
    assert rule(right(0.5), test_loss=float("nan")) is None


def test_a_kind_of_a_later_version_has_a_sentence_too():
    """So that its records can be shown."""
    assert "'bored'" in why_not_learned({"kind": "bored"})


@pytest.mark.parametrize("seed", SEEDS)
def test_a_real_collapse_is_recorded(bright, seed):
    """Typed fields, the last of the record; the run is finished all the same."""
    run = mz.train(bright, COLLAPSES, seed=seed, threads=1)
    back = mz.Run.read(run.path)
    assert (back.status, back.learned) == ("finished", False)
    losses = [epoch.train_loss for epoch in run.history]
    guessing = pytest.approx(GUESSING)
    assert back.not_learned == {"kind": "loss", "best": min(losses), "last": losses[-1], "guessing": guessing}
    assert list(json.loads((run.path / "run.json").read_text()))[-3:] == ["learned", "not_learned", "checksum"]


def test_one_seed_of_five_dies(bright):
    """The others learn, and nothing is held against them."""
    runs = [mz.train(bright, ONE_DIES, seed=seed, threads=1) for seed in SEEDS]
    assert [run.seed for run in runs if not run.learned] == [THE_ONE]
    assert all(run.history[-1].test_accuracy > 0.6 and run.not_learned is None for run in runs if run.learned)


@pytest.mark.parametrize("engine", ["fused", "torch"])
def test_a_loss_that_becomes_nan_is_recorded(bright, engine):
    """The run has failed, as ever, and says where in fields."""
    with pytest.raises(mz.TrainingError):
        mz.train(bright, BECOMES_NAN, threads=1, engine=engine)
    (path,) = Path("runs").iterdir()
    run = mz.Run.read(path)
    where = {"epoch": run.record.failure.epoch, "step": run.record.failure.step}
    assert (run.status, run.learned, run.not_learned) == ("failed", False, {"kind": "not finite", **where})
    assert list(json.loads((path / "run.json").read_text()))[-3:] == ["learned", "not_learned", "checksum"]


@pytest.mark.parametrize("model", ["majority", "centroid", "knn", "softmax", "forest", LogisticRegression])
def test_what_learns_or_is_meant_to_guess_is_left_alone(bright, model):
    """On the images where others collapse."""
    run = mz.train(bright, model, threads=1)
    assert (run.learned, run.not_learned) == (True, None)


class Same(Fitted):
    """Fitted, and it finds nothing."""

    def __init__(self, image_shape, classes):
        super().__init__(image_shape, classes)
        self._learned("nothing")

    def fit(self, split, seed):
        self.nothing = torch.ones(1)

    def _logits(self, images):
        return torch.zeros(len(images), self.classes)


class Guesser(Same):
    """The same on purpose."""

    guesses = True


@pytest.mark.parametrize(
    ("model", "learned"), [(Same, False), (Guesser, True), (lambda: DummyClassifier(strategy="prior"), True)]
)
def test_of_models_that_are_fitted_in_one_go_one_class_is_the_only_sign(bright, model, learned):
    """And of those that are meant to guess there is none."""
    run = mz.train(bright, model)
    assert run.learned is learned
    assert run.not_learned == (None if learned else {"kind": "one class", "class": "spots 0"})


def test_a_run_that_was_cut_off_says_nothing_and_later_the_same(bright):
    """Whether it learned is known at its end, which is the same with and without an interruption."""
    mine = mz.Rung("mine", COLLAPSES.make, learning_rate=1.0, epochs=3)
    whole = mz.train(bright, mine, threads=1, engine="torch")
    with pytest.raises(KeyboardInterrupt):
        mz.train(bright, mine, threads=1, engine="torch", runs_dir="cut", progress=Stops(700))
    (path,) = Path("cut").iterdir()
    assert (mz.Run.read(path).learned, mz.Run.read(path).not_learned) == (None, None)
    assert resume(path, bright, mine, progress=False).not_learned == whole.not_learned


@pytest.mark.parametrize("informative", [True, False])
def test_scores_of_a_rare_class_may_tell_though_no_image_comes_out_as_it(informative):
    """A linear classifier on 5 % positives: what counts is the order of its scores, not their scale."""
    rng = np.random.default_rng(0)
    labels = (np.arange(600) % 20 == 0).astype(np.int64)
    margin = rng.normal(size=600) + (1.0 if informative else 0.0) * labels - 5
    scores = 100 * np.stack([-margin, margin], axis=1).astype(np.float32)
    found = not_learned(np.zeros(600, np.int64), labels, labels, ["no", "yes"], test_loss=40.0, scores=scores)
    assert (found is None) == informative
    dead = np.zeros((600, 2), np.float32)
    assert not_learned(np.zeros(600, np.int64), labels, labels, ["no", "yes"], test_loss=0.3, scores=dead) is not None
