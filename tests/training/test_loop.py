"""The training loop, against the figures of the chapter and against the chapter's own loop on torch's DataLoader."""

import json
import math
from types import SimpleNamespace

import pytest
import torch
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.functional import cross_entropy, interpolate
from torch.utils.data import DataLoader, TensorDataset

import modelzero as mz
from modelzero.data.batches import epoch_order
from modelzero.data.dataset import ImageData, Split
from modelzero.models.asking import predict_logits
from modelzero.models.rungs import rung_named
from modelzero.models.seeding import seeded
from modelzero.training.loop import NonFiniteLossError, mirror_half, score, shift_each

# Half a unit of the last printed digit, and a little for the last bits of another processor.
FOURTH_DECIMAL, FIFTH_DECIMAL = 0.52e-4, 0.52e-5

MODEL0 = [  # as the chapter prints them; accuracies in percent, means over batches
    {"train_loss": 0.5904, "test_loss_batch_mean": 0.5095, "test_accuracy_batch_mean": 82.0387},
    {"train_loss": 0.4763, "test_loss_batch_mean": 0.4799, "test_accuracy_batch_mean": 83.1969},
    {"train_loss": 0.4550, "test_loss_batch_mean": 0.4766, "test_accuracy_batch_mean": 83.4265},
]
MODEL0_CORRECT = [8203, 8318, 8341]
MODEL0_TEST_LOSS = [0.509859, 0.480217, 0.476874]
MODEL1_LOSSES = [
    {"train_loss": 1.09199, "test_loss_batch_mean": 0.95636},
    {"train_loss": 0.78101, "test_loss_batch_mean": 0.72227},
    {"train_loss": 0.67027, "test_loss_batch_mean": 0.68500},
]
MODEL1_ACCURACIES = [
    {"train_accuracy_batch_mean": 61.34, "test_accuracy_batch_mean": 65.00},
    {"train_accuracy_batch_mean": 71.93, "test_accuracy_batch_mean": 73.91},
    {"train_accuracy_batch_mean": 75.94, "test_accuracy_batch_mean": 75.02},
]


# The chapter's models and its loop, written out with nothing of modelzero.


def plain_model0(channels, height, width, classes, hidden):
    return nn.Sequential(nn.Flatten(), nn.Linear(channels * height * width, hidden), nn.Linear(hidden, classes))


def plain_model1(channels, height, width, classes, hidden):
    first = nn.Linear(channels * height * width, hidden)
    return nn.Sequential(nn.Flatten(), first, nn.ReLU(), nn.Linear(hidden, classes), nn.ReLU())


def plain_tinyvgg(channels, height, width, classes, hidden):
    block_1 = nn.Sequential(
        nn.Conv2d(channels, hidden, 3, stride=1, padding=1),
        nn.ReLU(),
        nn.Conv2d(hidden, hidden, 3, stride=1, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(kernel_size=2, stride=2),
    )
    block_2 = nn.Sequential(
        nn.Conv2d(hidden, hidden, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(hidden, hidden, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
    )
    last = nn.Linear(hidden * (height // 4) * (width // 4), classes)
    # The memory layout decides in which order sums are made; a training at a standstill magnifies their last bits.
    return nn.Sequential(block_1, block_2, nn.Flatten(), last).to(memory_format=torch.channels_last)


def plain_factory(image_shape, classes):
    return plain_model0(*image_shape, classes, 10)


def with_chapters_recipe(name):
    """The rung's model with the chapter's recipe, also where the ladder has another."""
    return mz.Rung(name, rung_named(name).make)


PLAIN = {"model0": plain_model0, "model1": plain_model1, "tinyvgg": plain_tinyvgg}


def chapters_loop(data, name, *, seed=42, epochs=1, batch_size=32, learning_rate=0.1, hidden_units=10):
    """Train as the chapter does; return model, the figures of each epoch under our names, and every loss."""
    train_set, test_set = (TensorDataset(split.images / 255, split.labels) for split in (data.train, data.test))
    torch.manual_seed(seed)
    model = PLAIN[name](*data.train.images.shape[1:], len(data.classes), hidden_units)
    torch.manual_seed(seed)
    train_loader = DataLoader(train_set, batch_size=batch_size, shuffle=True)
    test_loader = DataLoader(test_set, batch_size=batch_size, shuffle=False)
    loss_fn = nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(params=model.parameters(), lr=learning_rate)
    history, losses = [], []
    for _ in range(epochs):
        train_loss = train_acc = train_right = 0
        model.train()
        for X, y in train_loader:  # noqa: N806 - as in the chapter
            y_pred = model(X)
            loss = loss_fn(y_pred, y)
            train_loss += loss.detach()
            right = (y_pred.argmax(dim=1) == y).sum().item()
            train_right += right
            train_acc += right / len(y)
            losses.append(loss.item())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        test_loss = test_acc = test_right = test_loss_sum = 0
        model.eval()
        with torch.inference_mode():
            for X, y in test_loader:  # noqa: N806
                test_pred = model(X)
                loss = loss_fn(test_pred, y)
                test_loss += loss
                test_loss_sum += loss.item() * len(y)
                right = (test_pred.argmax(dim=1) == y).sum().item()
                test_right += right
                test_acc += right / len(y)
        history.append(
            {
                "train_loss": float(train_loss / len(train_loader)),
                "train_accuracy": train_right / len(train_set),
                "train_accuracy_batch_mean": train_acc / len(train_loader),
                "test_loss": test_loss_sum / len(test_set),
                "test_accuracy": test_right / len(test_set),
                "test_correct": test_right,
                "test_loss_batch_mean": float(test_loss / len(test_loader)),
                "test_accuracy_batch_mean": test_acc / len(test_loader),
            }
        )
    return SimpleNamespace(model=model, history=history, losses=losses)


def figures(run, *names):
    """Select these figures of every epoch; without names all that do not depend on the machine's speed."""
    names = names or [name for name in run.history[0].as_dict() if name != "epoch" and not name.endswith("_seconds")]
    return [{name: getattr(epoch, name) for name in names} for epoch in run.history]


def percent(rows):
    return [{name: 100 * value for name, value in row.items()} for row in rows]


def near(rows, tolerance):
    return [pytest.approx(row, rel=0, abs=tolerance) for row in rows]


def assert_equal_to_chapters_loop(run, expected):
    """Right answers to the image, everything else within 1e-5."""
    assert [epoch.test_correct for epoch in run.history] == [row["test_correct"] for row in expected.history]
    assert figures(run) == near(expected.history, 1e-5)


class Bystander:
    """Writes down how far a training is."""

    def __init__(self):
        self.heard = []

    def begin_epoch(self, epoch):
        self.heard.append(("begin", epoch))

    def step(self, images):
        self.heard.append(("step", images))

    def end_epoch(self, epoch):
        self.heard.append(("end", epoch.epoch))


class SpoiltAt(nn.Module):
    """Linear, but what comes out of one training step is NaN or infinite."""

    def __init__(self, step, value=math.nan):
        super().__init__()
        self.layer = nn.Linear(64, 10)
        self.step, self.value, self.steps = step, value, 0

    def forward(self, images):
        logits = self.layer(images.flatten(1))
        self.steps += self.training
        return logits * self.value if self.training and self.steps == self.step else logits


@pytest.fixture(autouse=True)
def _one_thread():
    """The chapter's loop too computes with one thread: two wait for each other where somebody else computes as well."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def model0(fashion_mnist, tmp_path_factory):
    """The chapter's training of Model 0, by the defaults."""
    return mz.train(fashion_mnist, "model0", runs_dir=tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="module")
def model1(fashion_mnist, tmp_path_factory):
    """The chapter's training of Model 1, by the defaults."""
    return mz.train(fashion_mnist, "model1", runs_dir=tmp_path_factory.mktemp("runs"))


def test_model0_losses_are_the_printed_ones(model0):
    """Train and test loss of each epoch, to the four decimals that the chapter prints."""
    names = "train_loss", "test_loss_batch_mean"
    assert figures(model0, *names) == near([{name: row[name] for name in names} for row in MODEL0], FOURTH_DECIMAL)


def test_model0_accuracy_is_the_printed_one(model0):
    """Mean of the batches' accuracies in percent, to the four decimals that the chapter prints."""
    name = "test_accuracy_batch_mean"
    assert percent(figures(model0, name)) == near([{name: row[name]} for row in MODEL0], FOURTH_DECIMAL)


def test_model0_right_answers_are_counted_exactly(model0):
    """The number of right answers, and the accuracy that is nothing but that number."""
    assert figures(model0, "test_correct", "test_accuracy") == [
        {"test_correct": n, "test_accuracy": n / 10_000} for n in MODEL0_CORRECT
    ]


def test_model0_exact_test_loss(model0):
    """The mean over the images differs from the mean over the batches in the fourth decimal; both are right."""
    assert [epoch.test_loss for epoch in model0.history] == pytest.approx(MODEL0_TEST_LOSS, rel=0, abs=0.52e-6)


def test_model1_losses_are_the_printed_ones(model1):
    """To the five decimals that the notebook prints."""
    assert figures(model1, "train_loss", "test_loss_batch_mean") == near(MODEL1_LOSSES, FIFTH_DECIMAL)


def test_model1_accuracies_are_the_printed_ones(model1):
    """To the two decimals of a percentage that the notebook prints."""
    found = percent(figures(model1, "train_accuracy_batch_mean", "test_accuracy_batch_mean"))
    assert found == near(MODEL1_ACCURACIES, 0.52e-2)


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("model0", {"seed": 0, "batch_size": 32, "learning_rate": 0.1}),
        ("model0", {"seed": 7, "batch_size": 100, "learning_rate": 0.2, "hidden_units": 3}),
        ("model0", {"seed": 123, "batch_size": 7, "learning_rate": 0.01, "hidden_units": 32}),
        ("model1", {"seed": 7, "batch_size": 64, "learning_rate": 0.05, "hidden_units": 25}),
        ("model1", {"seed": 0, "batch_size": 100, "learning_rate": 0.3}),
    ],
)
def test_equals_the_chapters_loop_on_fashion_mnist(fashion_mnist, name, settings):
    """Whatever seed, batch size, learning rate and width: the figures are those of the chapter's loop."""
    run = mz.train(fashion_mnist, with_chapters_recipe(name), epochs=1, **settings)
    assert_equal_to_chapters_loop(run, chapters_loop(fashion_mnist, name, **settings))


# Without shrinking, which would train for minutes.
@settings(max_examples=20, deadline=None, derandomize=True, database=None, phases=[Phase.generate])
@given(
    name=st.sampled_from(["model0", "model1", "tinyvgg"]),
    seed=st.integers(0, 2**63 - 1),
    epochs=st.integers(1, 3),
    batch_size=st.sampled_from([3, 7, 32, 64, 100, 360, 479, 1437, 5000]),
    learning_rate=st.floats(1e-3, 0.2),
    hidden_units=st.integers(1, 20),
)
def test_equals_the_chapters_loop_on_digits(digits, name, **given_settings):
    """Any settings: also batches that divide the data, that leave one image over, or that are larger than it."""
    run = mz.train(digits, with_chapters_recipe(name), threads=1, **given_settings)
    assert_equal_to_chapters_loop(run, chapters_loop(digits, name, **given_settings))


@pytest.mark.parametrize("name", ["model0", "model1", "tinyvgg"])
def test_weights_equal_the_chapters(digits, name):
    """After two epochs every weight is that of the chapter's loop."""
    run = mz.train(digits, with_chapters_recipe(name), epochs=2)
    expected = chapters_loop(digits, name, epochs=2).model
    pairs = list(zip(run.model.parameters(), expected.parameters(), strict=True))
    assert max((a - b).abs().max().item() for a, b in pairs) < 1e-6


def test_logits_equal_the_chapters(digits):
    """The stored logits are those that the chapter's model gives after its last epoch."""
    run = mz.train(digits, "model1", epochs=2)
    model = chapters_loop(digits, "model1", epochs=2).model
    with torch.inference_mode():
        expected = model(digits.test.images / 255)
    torch.testing.assert_close(run.test_logits, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("learning_rate", [1e4, 1e10, 1e30])
def test_non_finite_loss_is_found_at_its_step(digits, learning_rate):
    """The epoch and step in error and record are those of the first loss that is not finite in the chapter's loop."""
    expected = chapters_loop(digits, "model0", learning_rate=learning_rate).losses
    step = next(i for i, loss in enumerate(expected, start=1) if not math.isfinite(loss))
    with pytest.raises(NonFiniteLossError) as caught:
        mz.train(digits, "model0", epochs=1, learning_rate=learning_rate)
    assert (caught.value.epoch, caught.value.step) == (1, step)


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize(
    ("spoilt", "epoch", "step"), [(1, 1, 1), (64, 1, 64), (65, 1, 65), (90, 1, 90), (91, 2, 1), (250, 3, 70)]
)
def test_non_finite_loss_of_a_known_step(digits, spoilt, epoch, step, value):
    """A fake that is spoilt at a known step, between two looks at the losses or at one, is caught with that step."""
    with pytest.raises(mz.TrainingError) as caught:
        mz.train(digits, lambda: SpoiltAt(spoilt, value), epochs=3, batch_size=16)
    assert (caught.value.epoch, caught.value.step) == (epoch, step)
    assert f" in epoch {epoch}, step {step} of 90: expected a finite loss; try a learning rate of 0.01" in (
        str(caught.value)
    )


def test_weights_that_the_very_last_step_spoils(digits):
    """A training whose last step ends in NaN weights has failed, although every training loss was finite."""
    with pytest.raises(mz.TrainingError):
        mz.train(digits, "model0", epochs=1, batch_size=5000, learning_rate=1e38)


def test_same_seed_gives_the_same_bits(digits):
    """Figures, logits and weights of two trainings with the same arguments are the same to the last bit."""
    one, two = (mz.train(digits, "tinyvgg", epochs=2, seed=3) for _ in range(2))
    assert figures(one) == figures(two)
    assert torch.equal(one.test_logits, two.test_logits)
    assert all(torch.equal(a, b) for a, b in zip(one.model.parameters(), two.model.parameters(), strict=True))


def test_other_seed_gives_other_weights(digits):
    """The seed is really used."""
    one, two = (mz.train(digits, epochs=1, seed=seed) for seed in (3, 4))
    assert not torch.equal(one.test_logits, two.test_logits)


def dropout_model():
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.Dropout(), nn.Linear(32, 10))


def test_dropout_is_a_function_of_the_seed(digits):
    """A model with dropout gives the same bits whatever was drawn from torch's default generator before."""
    torch.manual_seed(1)
    one = mz.train(digits, dropout_model, epochs=2, seed=5)
    torch.manual_seed(2)
    torch.rand(17)
    two = mz.train(digits, dropout_model, epochs=2, seed=5)
    assert figures(one) == figures(two)
    assert torch.equal(one.test_logits, two.test_logits)


def test_dropout_differs_from_step_to_step(digits):
    """Each step of each epoch drops other units, and another seed drops others again."""
    masks = {}

    class Watched(nn.Dropout):
        def forward(self, values):
            dropped = super().forward(torch.ones(8, 32))
            if self.training:
                masks.setdefault(seed, []).append(dropped.bool().numpy().tobytes())
            return values

    for seed in (5, 6):
        mz.train(
            digits,
            lambda: nn.Sequential(nn.Flatten(), Watched(), nn.Linear(64, 10)),
            epochs=2,
            batch_size=300,
            seed=seed,
        )
    # The first mask of each seed is that of the check before the training.
    assert len({*masks[5][1:], *masks[6][1:]}) == 2 * 2 * 5


def test_dropout_is_off_in_the_test(digits):
    """The test figures are those of the model in evaluation mode."""
    run = mz.train(digits, dropout_model, epochs=1)
    with torch.no_grad():
        logits = run.model.eval()(digits.test.images / 255)
    torch.testing.assert_close(run.test_logits, logits, rtol=0, atol=1e-6)


def test_random_numbers_are_left_alone(digits):
    """torch's default generator stands after a training where it stood before."""
    before = torch.get_rng_state()
    mz.train(digits, dropout_model, epochs=1)
    assert torch.equal(torch.get_rng_state(), before)


def test_random_numbers_are_left_alone_by_a_training_that_fails(digits):
    """Also after an error."""
    before = torch.get_rng_state()
    with pytest.raises(mz.TrainingError):
        mz.train(digits, lambda: SpoiltAt(3), epochs=1)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("threads", [None, 2, 3])
def test_number_of_threads_is_restored(digits, threads):
    """torch computes with as many threads after a training as before."""
    before = torch.get_num_threads()
    mz.train(digits, epochs=1, threads=threads)
    assert torch.get_num_threads() == before


def test_progress_hears_every_picture_in_order(digits):
    """Begin, every batch with its size, end: for each epoch. The kernel tells of many batches at once."""
    bystander = Bystander()
    mz.train(digits, epochs=2, batch_size=500, engine="torch", progress=bystander)
    assert bystander.heard == [
        *[("begin", 1), ("step", 500), ("step", 500), ("step", 437), ("end", 1)],
        *[("begin", 2), ("step", 500), ("step", 500), ("step", 437), ("end", 2)],
    ]
    bystander = Bystander()
    mz.train(digits, epochs=2, batch_size=500, engine="fused", progress=bystander)
    assert [what for what, _ in bystander.heard if what != "step"] == ["begin", "end"] * 2
    assert sum(images for what, images in bystander.heard if what == "step") == 2 * 1437


def test_seconds_are_measured(digits):
    """Both clocks of each epoch run, and the run's is the sum of the training clocks."""
    run = mz.train(digits, epochs=2)
    assert all(epoch.train_seconds > 0 and epoch.test_seconds > 0 for epoch in run.history)
    assert run.train_seconds == sum(epoch.train_seconds for epoch in run.history)


def test_epochs_are_counted_from_one(digits):
    """In the history and in the file of the history."""
    run = mz.train(digits, epochs=3)
    lines = (run.path / "history.jsonl").read_text().splitlines()
    assert [epoch.epoch for epoch in run.history] == [json.loads(line)["epoch"] for line in lines] == [1, 2, 3]


def test_perfect_predictor():
    """A known answer: all right, no loss, whatever the batch size."""
    labels = torch.tensor([0, 1, 2, 1, 0])
    found = score(1000 * nn.functional.one_hot(labels).float(), labels, batch_size=2)
    assert found == {
        "test_loss": 0,
        "test_accuracy": 1,
        "test_correct": 5,
        "test_loss_batch_mean": 0,
        "test_accuracy_batch_mean": 1,
    }


def test_constant_predictor():
    """A known answer: equal logits lose log(classes) each, and the first class wins."""
    labels = torch.tensor([0, 0, 1, 1, 0])
    found = score(torch.zeros(5, 2), labels, batch_size=2)
    assert (found["test_correct"], found["test_accuracy"]) == (3, 0.6)
    assert found["test_loss"] == pytest.approx(math.log(2))
    assert found["test_loss_batch_mean"] == pytest.approx(math.log(2))


def test_short_last_batch_weighs_more_in_the_batch_mean():
    """Batches of 2, 2 and 1 with 1, 0 and 1 right answers: 0.5 as the mean of the batches, 0.4 exactly."""
    found = score(torch.zeros(5, 2), torch.tensor([0, 1, 1, 1, 0]), batch_size=2)
    assert (found["test_accuracy_batch_mean"], found["test_accuracy"]) == (0.5, 0.4)


def test_predict_logits_leaves_no_gradient(digits):
    """The logits are plain numbers for every image, in the order of the split."""
    model = plain_model0(1, 8, 8, 10, 10)
    logits = predict_logits(model, digits.test.images)
    assert not logits.requires_grad
    torch.testing.assert_close(logits, model(digits.test.images / 255).detach(), rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("recipe", "scheduler"),
    [
        ({"momentum": 0.9}, None),
        ({"momentum": 0.8, "nesterov": True, "weight_decay": 1e-2}, None),
        ({"label_smoothing": 0.2, "weight_decay": 1e-3}, None),
        ({"schedule": "triangle", "momentum": 0.9, "nesterov": True}, "LambdaLR"),
    ],
)
def test_recipes_equal_torchs_own_parts(digits, recipe, scheduler):
    """Momentum, decay, smoothing and schedule, step by step against a plain loop with torch's scheduler."""
    epochs, size, rate = 2, 64, 0.05
    run = mz.train(
        digits, mz.Rung("model0", plain_factory, epochs=epochs, batch_size=size, learning_rate=rate, **recipe)
    )
    torch.manual_seed(42)
    model = plain_model0(1, 8, 8, 10, 10)
    torch.manual_seed(42)
    loader = DataLoader(TensorDataset(digits.train.images / 255, digits.train.labels), batch_size=size, shuffle=True)
    steps = epochs * len(loader)
    options = {key: value for key, value in recipe.items() if key in {"momentum", "nesterov", "weight_decay"}}
    optimizer = torch.optim.SGD(model.parameters(), lr=rate, **options)
    rising = round(0.2 * steps)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer,
        lambda step: min((step + 1) / rising, (steps - step) / (steps - rising + 1)) if scheduler else 1.0,
    )
    loss_fn = nn.CrossEntropyLoss(label_smoothing=recipe.get("label_smoothing", 0.0))
    for _ in range(epochs):
        for images, labels in loader:
            optimizer.zero_grad()
            loss_fn(model(images), labels).backward()
            optimizer.step()
            schedule.step()
        iter(DataLoader(digits.test.labels))  # the chapter tests here, and its loader takes a random number
    for found, expected in zip(run.model.parameters(), model.parameters(), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)


def test_flips_mirror_about_half_and_are_a_function_of_the_seed():
    """An image is either itself or its mirror image."""
    images = torch.rand(400, 1, 3, 5)
    found = mirror_half(images, 1, 2, 3)
    same = (found == images).flatten(1).all(1)
    mirrored = (found == torch.from_numpy(images.numpy()[..., ::-1].copy())).flatten(1).all(1)
    assert (same ^ mirrored).all()
    assert 150 < mirrored.sum() < 250
    assert mirror_half(images, 1, 2, 3).equal(found)
    for other in [(2, 2, 3), (1, 3, 3), (1, 2, 4)]:
        assert not mirror_half(images, *other).equal(found)


def test_shifts_move_each_image_by_its_own_few_pixels():
    """By at most the share of each side, the edge fills the gap, and they are a function of seed, epoch and step."""
    images = torch.arange(40 * 2 * 8 * 12.0).view(40, 2, 8, 12)
    found = shift_each(images, 0.25, 1, 2, 3)
    offsets = set()
    for image, moved in zip(images, found, strict=True):
        padded = nn.functional.pad(image[None], (3, 3, 2, 2), mode="replicate")[0]
        same = [
            (down, right)
            for down in range(5)
            for right in range(7)
            if moved.equal(padded[:, down : down + 8, right : right + 12])
        ]
        assert len(same) == 1
        offsets |= set(same)
    assert len(offsets) > 15
    assert shift_each(images, 0.25, 1, 2, 3).equal(found)
    for other in ((2, 2, 3), (1, 3, 3), (1, 2, 4)):
        assert not shift_each(images, 0.25, *other).equal(found)


def test_shifts_change_the_training(digits):
    """And only where the recipe has them."""
    plain, moved = (
        mz.train(digits, mz.Rung("m", plain_factory, epochs=1, shift=shift), engine="torch") for shift in (0.0, 0.25)
    )
    assert not plain.test_logits.equal(moved.test_logits)


class SizesSeen(nn.Module):
    """A linear model of images pooled to 6x6, which takes any size and notes those of its training."""

    def __init__(self):
        super().__init__()
        self.inside = nn.Sequential(nn.AdaptiveAvgPool2d(6), nn.Flatten(), nn.Linear(36, 10))
        self.seen = []

    def forward(self, images):
        """Return the logits."""
        if self.training and torch.is_grad_enabled():
            self.seen.append(tuple(images.shape[2:]))
        return self.inside(images)


def test_the_first_steps_see_reduced_images(digits):
    """Three quarters of the height and width, for the given share of all steps, and never in an evaluation."""
    made = []
    rung = mz.Rung("m", lambda: made.append(SizesSeen()) or made[-1], epochs=2, batch_size=200, reduced=0.3)
    steps = 2 * -(-len(digits.train) // 200)
    mz.train(digits, rung, engine="torch")
    seen = max((model.seen for model in made), key=len)[-steps:]
    reduced = math.ceil(0.3 * steps)
    assert seen == [(6, 6)] * reduced + [(8, 8)] * (steps - reduced)


def test_reduced_images_are_those_of_torchs_interpolation(digits):
    """A training whose steps are all but the last on reduced images, against a plain loop of torch."""
    images, labels = digits.train.images[:96] / 255, digits.train.labels[:96]
    small = ImageData("small", Split(digits.train.images[:96], labels), digits.test, digits.classes)
    rung = mz.Rung("m", SizesSeen, epochs=1, batch_size=32, reduced=0.6)
    run = mz.train(small, rung, engine="torch", threads=1, seed=7)
    with seeded(7):
        model = SizesSeen()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for step, batch in enumerate(epoch_order(7, 0, 96).split(32)):
        inputs = images[batch] if step == 2 else interpolate(images[batch], size=(6, 6), mode="bilinear")
        optimizer.zero_grad()
        cross_entropy(model(inputs), labels[batch]).backward()
        optimizer.step()
    with torch.no_grad():
        torch.testing.assert_close(run.test_logits, model.eval()(digits.test.images / 255))


def test_reduced_images_need_a_model_for_images_of_any_size(digits):
    """A network that flattens its images has one size only, which is said before training begins."""
    with pytest.raises(
        mz.SettingError, match=r"reduced 0\.5: expected a model that takes images of any size, but on \["
    ):
        mz.train(digits, mz.Rung("m", plain_factory, reduced=0.5))


def test_flips_change_the_training(digits):
    """With them the same seed ends elsewhere."""
    plain, flipped = (
        mz.train(digits, mz.Rung("m", plain_factory, epochs=1, flip=flip), engine="torch") for flip in (False, True)
    )
    assert not plain.test_logits.equal(flipped.test_logits)
