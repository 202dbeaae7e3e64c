"""What a step does besides the model, against loops in plain torch."""

import math
from functools import partial

import numpy as np
import pytest
import torch
from sklearn.utils.class_weight import compute_class_weight
from torch import nn
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import DataLoader, TensorDataset

import modelzero as mz
from modelzero.errors import RunError, SettingError
from modelzero.models.recipe import Recipe
from modelzero.models.rungs import rung_named
from modelzero.training.learned import Steps, not_learned
from modelzero.training.objective import class_weights, put_back_state, state_of

EPOCHS, BATCH, STEPS = 2, 64, 23
WEIGHTS = [0.2, 3, 1, 1, 1, 1, 1, 1, 1, 2]


def make():
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 24), nn.Tanh(), nn.Linear(24, 10))


def focal(logits, labels):
    """The loss of Lin et al. 2017 with exponent 2."""
    losses = nn.functional.cross_entropy(logits, labels, reduction="none")
    return ((1 - (-losses).exp()) ** 2 * losses).mean()


def darker(images):
    return images * 0.5


def two_groups(parameters, kind=torch.optim.Adam):
    return kind([{"params": parameters[:2]}, {"params": parameters[2:], "lr": 0.01}], lr=0.002)


def by_hand(data, optimizer, loss_fn, rate=lambda _: 1.0, clip=None, change=lambda images: images):
    """Train with torch alone; return the mean loss of each epoch, and the test loss after it."""
    sets = [TensorDataset(split.images / 255, split.labels) for split in (data.train, data.test)]
    torch.manual_seed(42)
    model = make()
    torch.manual_seed(42)
    loaders = [DataLoader(each, BATCH, shuffle=shuffle) for each, shuffle in zip(sets, (True, False), strict=True)]
    optimizer = optimizer(list(model.parameters()))
    schedule = LambdaLR(optimizer, rate)
    train_losses, test_losses = [], []
    for _ in range(EPOCHS):
        losses = []
        for images, labels in loaders[0]:
            loss = loss_fn(model(change(images)), labels)
            losses.append(loss.item())
            optimizer.zero_grad()
            loss.backward()
            if clip is not None:
                nn.utils.clip_grad_norm_(model.parameters(), clip)
            optimizer.step()
            schedule.step()
        train_losses.append(np.mean(losses))
        with torch.no_grad():
            whole = [nn.functional.cross_entropy(model(x), y, reduction="sum").item() for x, y in loaders[1]]
        test_losses.append(sum(whole) / len(data.test))
    return train_losses, test_losses


def cosine(step, steps=EPOCHS * STEPS, rising=9):
    """Up in the first fifth, then torch's own formula of CosineAnnealingLR to zero."""
    if step < rising:
        return (step + 1) / rising
    return 0.5 * (1 + math.cos(math.pi * (step - rising + 1) / (steps - rising + 1)))


SGD = partial(torch.optim.SGD, lr=0.1)
CASES = {
    "adamw": ({"optimizer": "adamw", "learning_rate": 0.003, "weight_decay": 0.02},
              {"optimizer": partial(torch.optim.AdamW, lr=0.003, weight_decay=0.02)}),
    "own optimizer": ({"optimizer": two_groups}, {"optimizer": two_groups}),
    "its own rate": ({"optimizer": two_groups, "schedule": "cosine"}, {"optimizer": two_groups, "rate": cosine}),
    "cosine": ({"schedule": "cosine", "momentum": 0.9, "nesterov": True},
               {"optimizer": partial(SGD, momentum=0.9, nesterov=True), "rate": cosine}),
    "weights": ({"class_weights": WEIGHTS, "label_smoothing": 0.1},
                {"loss_fn": nn.CrossEntropyLoss(torch.tensor(WEIGHTS), label_smoothing=0.1)}),
    "own loss": ({"loss": focal}, {"loss_fn": focal}),
    "transform": ({"transform": darker}, {"change": darker}),
    "clip": ({"clip_norm": 0.05}, {"clip": 0.05}),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_training_is_that_of_a_plain_loop(digits, case):
    """Mean loss and test loss of each epoch."""
    settings, plainly = CASES[case]
    rung = mz.Rung("mine", make, epochs=EPOCHS, batch_size=BATCH, second_chance=False, **settings)
    run = mz.train(digits, rung, threads=1, engine="torch")
    expected = by_hand(digits, **{"optimizer": SGD, "loss_fn": nn.CrossEntropyLoss(), **plainly})
    assert [epoch.train_loss for epoch in run.history] == pytest.approx(expected[0], rel=0, abs=1e-5)
    assert [epoch.test_loss for epoch in run.history] == pytest.approx(expected[1], rel=0, abs=1e-5)


def test_kernel_does_the_cosine_too(digits):
    """Equal to the plain loop up to rounding."""
    runs = [
        mz.train(digits, mz.Rung("mine", rung_named("softmax").make, schedule="cosine"), epochs=2, engine=engine)
        for engine in ("fused", "torch")
    ]
    assert runs[0].history[-1].test_loss == pytest.approx(runs[1].history[-1].test_loss, abs=1e-5)


@pytest.mark.parametrize("name", ["optimizer", "loss", "class_weights", "transform", "clip_norm", "early_stopping"])
def test_kernel_leaves_the_rest_to_torch(digits, name, refuses):
    """With the reason; asked for by name it is refused."""
    value = {"optimizer": "adamw", "loss": focal, "class_weights": "balanced", "transform": darker}.get(name, 0.2)
    run = mz.train(digits, "softmax", epochs=1, **{name: value})
    assert run.record.engine == "torch"
    assert run.record.derived["engine"].startswith("torch: its ")
    with refuses(SettingError, "engine 'fused'", "use auto or torch"):
        mz.train(digits, "softmax", epochs=1, engine="fused", **{name: value})


def test_balanced_weights_are_scikit_learns(digits):
    few = digits.train.labels.numpy()[np.r_[:300]]
    few = few[(few != 3) | (np.arange(300) < 100)]
    expected = compute_class_weight("balanced", classes=np.arange(10), y=few)
    assert class_weights(Recipe(class_weights="balanced"), few, 10) == pytest.approx(expected)
    assert class_weights(Recipe(class_weights="balanced"), few, 11) == pytest.approx([*expected, 0])
    assert class_weights(Recipe(), few, 10) is None


def test_balanced_training_has_the_weights_of_its_training_split(digits):
    weights = class_weights(Recipe(class_weights="balanced"), digits.train.labels.numpy(), 10)
    runs = [mz.train(digits, make, epochs=1, class_weights=each) for each in ("balanced", weights)]
    assert torch.equal(runs[0].test_logits, runs[1].test_logits)
    assert runs[0].record.derived["class_weights"] == f"from {min(weights):.3g} to {max(weights):.3g}, balanced"


@pytest.mark.parametrize("label_smoothing", [0.0, 0.1])
def test_guessing_costs_what_the_best_constant_answer_costs(label_smoothing):
    """Found by gradient descent on one row of logits, with torch's own weighted loss."""
    labels = np.repeat([0, 1, 2], [60, 30, 10])
    weights = [0.5, 1.0, 4.0]
    answer = torch.zeros(1, 3, requires_grad=True)
    optimizer = torch.optim.LBFGS([answer], max_iter=200, tolerance_grad=1e-9)
    loss_fn = nn.CrossEntropyLoss(torch.tensor(weights), label_smoothing=label_smoothing)

    def closure():
        optimizer.zero_grad()
        loss = loss_fn(answer.expand(100, 3), torch.from_numpy(labels))
        loss.backward()
        return loss

    optimizer.step(closure)
    dead = np.zeros(100, np.int64)
    steps = Steps([2.0], 0.6, label_smoothing, weights)
    why = not_learned(dead, labels, labels, ["a", "b", "c"], test_loss=0.9, steps=steps)
    assert why["guessing"] == pytest.approx(closure().item(), abs=1e-5)


def test_learning_rates_come_with_the_optimizer(digits):
    """Unless one is given; the record has the one that was used, and why."""
    run = mz.train(digits, make, epochs=1, optimizer=two_groups)
    assert (run.record.learning_rate, run.record.derived["learning_rate"]) == (0.002, "0.002: that of your optimizer")
    run = mz.train(digits, make, epochs=1, optimizer="adamw")
    assert run.record.learning_rate == run.record.recipe["learning_rate"] == 0.001
    assert "default for AdamW" in run.record.derived["learning_rate"]
    run = mz.train(digits, make, epochs=1, optimizer="adamw", learning_rate=0.02)
    assert (run.record.learning_rate, run.record.derived.get("learning_rate")) == (0.02, None)


def test_rate_of_a_rung_counts(digits):
    """Beside an optimizer of one's own too, as if given to `train`: all of its groups are scaled."""
    rung = mz.Rung("mine", make, epochs=1, optimizer=two_groups, learning_rate=0.02)
    run, same = mz.train(digits, rung), mz.train(digits, make, epochs=1, optimizer=two_groups, learning_rate=0.02)
    assert (run.record.learning_rate, run.record.derived.get("learning_rate")) == (0.02, None)
    assert torch.equal(run.test_logits, same.test_logits)
    own = mz.train(digits, mz.Rung("mine", make, epochs=1, optimizer=two_groups))
    assert (own.record.learning_rate, own.record.recipe["learning_rate"]) == (0.002, 0.002)
    assert not torch.equal(own.test_logits, run.test_logits)


def without_rate(parameters):
    """As of an optimizer that finds its own steps."""
    optimizer = torch.optim.SGD(parameters, lr=0.1)
    optimizer.param_groups[0]["lr"] = None
    return optimizer


class Lists(torch.optim.SGD):
    """Keeps a list for each weight, as no checkpoint can."""

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for weight in group["params"]:
                self.state[weight].setdefault("past", []).append(weight.clone())
        return super().step(closure)


class Counts(torch.optim.SGD):
    """Keeps a number that belongs to no weight."""

    def step(self, closure=None):
        self.state["all"]["steps"] = 1
        return super().step(closure)


@pytest.mark.parametrize(("kind", "words"), [(Lists, ["'past', a list"]), (Counts, ["state of 'all'"])])
def test_no_checkpoint_loses_state(kind, words, refuses):
    model = nn.Linear(2, 2)
    optimizer = kind(model.parameters(), lr=0.1)
    model(torch.rand(1, 2)).sum().backward()
    optimizer.step()
    with refuses(RunError, "the optimizer keeps", *words):
        state_of(optimizer, model)


def test_transform_is_for_training_only_and_comes_after_mirroring(digits):
    """It sees each training image once in an epoch, and no other."""
    seen = []

    def note(images):
        seen.append(images.clone())
        return images

    mz.train(digits, mz.Rung("mine", make, epochs=2, flip=True), transform=note, threads=1, device="cpu")
    seen = torch.cat(seen[1:])  # the first was the check before the training
    assert len(seen) == 2 * len(digits.train)
    both = [digits.train.images / 255, digits.train.images.flip(3) / 255]
    rows = {image.numpy().tobytes() for split in both for image in split}
    assert {image.numpy().tobytes() for image in seen} <= rows
    straight = {image.numpy().tobytes() for image in both[0]}
    assert 0.3 < np.mean([image.numpy().tobytes() in straight for image in seen]) < 0.7


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"class_weights": [1, 2]}, ["2 class weights for 10 classes"]),
        ({"transform": lambda images: images[:, :, 1:]}, ["transform", "<lambda>", "[2, 1, 7, 8]", "[2, 1, 8, 8]"]),
        ({"transform": lambda images: images.double()}, ["torch.float64", "torch.float32"]),
        ({"transform": lambda _: None}, ["a NoneType"]),
        ({"transform": lambda images: images @ images[0, 0, 0, 0]}, ["transform", "fails", "RuntimeError"]),
        ({"loss": lambda logits, _: logits}, ["loss", "shape [2, 10]", "scalar tensor"]),
        ({"loss": lambda logits, _: logits.sum().item()}, ["a float", "scalar tensor"]),
        ({"loss": lambda logits, _: logits.sum().detach()}, ["without gradient"]),
        ({"loss": lambda _: 0}, ["fails on logits [2, 10]", "TypeError"]),
        ({"optimizer": lambda _: None}, ["returned a NoneType", "torch.optim.Optimizer"]),
        ({"optimizer": lambda _: 1 / 0}, ["cannot be created", "ZeroDivisionError"]),
        ({"optimizer": partial(torch.optim.SGD, lr=0.0)}, ["no learning rate"]),
        ({"optimizer": without_rate}, ["no learning rate", "above 0"]),
        ({"optimizer": torch.optim.LBFGS}, ["needs a closure"]),
        (
            {"optimizer": lambda _: torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.1)},
            ["not weights of the model"],
        ),
        ({"optimizer": partial(Lists, lr=0.1)}, ["keeps 'past', a list", "checkpoint"]),
        ({"optimizer": partial(Counts, lr=0.1)}, ["keeps state of 'all'"]),
    ],
)
def test_what_does_not_fit_is_refused_before_training(digits, tmp_path, settings, words, refuses):
    with refuses(SettingError, *words):
        mz.train(digits, make, **settings)
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("kind", [torch.optim.NAdam, torch.optim.Adagrad, torch.optim.Rprop, torch.optim.ASGD])
def test_state_of_any_optimizer_comes_back(kind):
    """Five steps, then five more with the state put into a new optimizer: the weights are equal to the bit."""
    torch.manual_seed(0)
    models = [nn.Linear(3, 2) for _ in range(2)]
    models[1].load_state_dict(models[0].state_dict())
    optimizers = [kind(model.parameters(), lr=0.05) for model in models]
    inputs = torch.rand(10, 4, 3)
    for step in range(10):
        if step == 5:
            state = {name: each.clone() for name, each in state_of(optimizers[1], models[1]).items()}
            optimizers[1] = kind(models[1].parameters(), lr=0.5)
            put_back_state(state, optimizers[1], models[1])
        for model, optimizer in zip(models, optimizers, strict=True):
            optimizer.zero_grad()
            model(inputs[step]).square().sum().backward()
            optimizer.step()
    assert all(torch.equal(a, b) for a, b in zip(*(model.parameters() for model in models), strict=True))


def test_fitted_models_take_none_of_these(digits, refuses):
    for name, value in {"optimizer": "adamw", "loss": focal, "clip_norm": 1.0, "early_stopping": 0.1}.items():
        with refuses(SettingError, f"{name.replace('_', ' ')} given", "in one go"):
            mz.train(digits, "knn", **{name: value})
