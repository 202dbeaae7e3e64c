"""The recipe: settings, their limits, and what follows from them."""

import math
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn
from torch.optim.lr_scheduler import CosineAnnealingLR, LambdaLR

import modelzero as mz
from modelzero.errors import SettingError
from modelzero.models.recipe import Recipe, missing_code, settings_of


def test_defaults_are_the_chapters():
    """Three epochs, batches of 32, learning rate 0.1, and nothing besides."""
    recipe = Recipe()
    assert (recipe.epochs, recipe.batch_size, recipe.learning_rate) == (3, 32, 0.1)
    assert (recipe.momentum, recipe.weight_decay, recipe.label_smoothing) == (0, 0, 0)
    assert (recipe.schedule, recipe.nesterov, recipe.flip, recipe.least_steps) == ("constant", False, False, 1)


@pytest.mark.parametrize("name", ["epochs", "batch_size", "least_steps", "patience"])
@pytest.mark.parametrize("value", [0, -1, 2.5, 2.0, True, "3", None, math.nan])
def test_counts_are_whole_numbers_of_at_least_one(name, value):
    """The error names the setting in words, the value and what is expected."""
    words = name.replace("_", " ")
    with pytest.raises(SettingError, match=f"^{words} {value!r}: expected a whole number of at least 1$"):
        Recipe(**{name: value})


@pytest.mark.parametrize("rate", [0, 0.0, -0.1, math.nan, math.inf, -math.inf, "x", True, [0.1]])
def test_learning_rate_is_finite_and_positive(rate):
    """The error names the value, what is expected and an example."""
    with pytest.raises(SettingError) as caught:
        Recipe(learning_rate=rate)
    assert str(caught.value) == f"learning rate {rate!r}: expected a finite number above 0, such as 0.1"


def test_learning_rate_may_be_a_whole_number():
    """1 is as good as 1.0."""
    assert Recipe(learning_rate=1).learning_rate == 1


def test_learning_rate_beyond_every_float():
    """An integer that no float can hold is refused like infinity."""
    with pytest.raises(SettingError, match="expected a finite number above 0"):
        Recipe(learning_rate=10**400)


@pytest.mark.parametrize(
    ("name", "value", "needed"),
    [
        ("momentum", 1, "a number from 0 to below 1"),
        ("momentum", -0.1, "a number from 0 to below 1"),
        ("label_smoothing", 1.0, "a number from 0 to below 1"),
        ("label_smoothing", "much", "a number from 0 to below 1"),
        ("weight_decay", -1, "a finite number of at least 0"),
        ("weight_decay", math.inf, "a finite number of at least 0"),
        ("weight_decay", math.nan, "a finite number of at least 0"),
        ("full_rate_power", 0, "a finite number above 0, or None"),
        ("full_rate_power", math.inf, "a finite number above 0, or None"),
        ("full_rate_power", "much", "a finite number above 0, or None"),
        ("standardise", 1, "True, False or None"),
        ("second_chance", None, "True or False"),
        ("nesterov", 1, "True or False"),
        ("flip", "yes", "True, False or None"),
        ("shift", 0.5, "a number from 0 to below 0.5"),
        ("reduced", 1, "a number from 0 to below 1"),
        ("precision", "fp16", "one of auto, fp32, bf16"),
        ("optimizer", "adam", "did you mean 'adamw'?"),
        ("optimizer", 3, "'sgd', 'adamw', or a function of the parameters"),
        ("loss", "mse", "a function of logits and labels"),
        ("transform", 3, "a function of a batch"),
        ("class_weights", "equal", "'balanced', or one number for each class"),
        ("class_weights", [1, 0], "one finite number above 0 for each class"),
        ("class_weights", [1, math.inf], "one finite number above 0 for each class"),
        ("class_weights", [1, True], "one finite number above 0 for each class"),
        ("class_weights", [], "one finite number above 0 for each class"),
        ("class_weights", {1: 2.0}, "one finite number above 0 for each class"),
        ("class_weights", 3, "one finite number above 0 for each class"),
        ("clip_norm", 0, "a finite number above 0, or None"),
        ("clip_norm", math.inf, "a finite number above 0, or None"),
        ("clip_norm", "much", "a finite number above 0, or None"),
        ("early_stopping", 0, "a share above 0 and up to 0.5, or None"),
        ("early_stopping", 0.51, "a share above 0 and up to 0.5, or None"),
        ("early_stopping", True, "a share above 0 and up to 0.5, or None"),
    ],
)
def test_other_settings_have_limits(name, value, needed, refuses):
    """The error names the setting in words, the value and what is expected."""
    with refuses(SettingError, name.replace("_", " "), repr(value), needed):
        Recipe(**{name: value})


def test_nesterov_needs_momentum(refuses):
    """As torch's own SGD says it, but before anything is trained."""
    with refuses(SettingError, "nesterov", "0.9"):
        Recipe(nesterov=True)


def test_unknown_schedule(refuses):
    """A slip is answered with the name that was meant."""
    with refuses(SettingError, "'triangel'", "did you mean 'triangle'?"):
        Recipe(schedule="triangel")


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"optimizer": "adamw", "momentum": 0.9}, ["momentum 0.9", "'adamw'", "expected 0"]),
        ({"optimizer": nn.Linear, "momentum": 0.9}, ["momentum 0.9", "Linear", "expected 0"]),
        ({"optimizer": nn.Linear, "weight_decay": 0.1}, ["weight decay 0.1", "Linear", "expected 0"]),
        ({"loss": math.dist, "label_smoothing": 0.1}, ["label smoothing 0.1", "'math:dist'", "expected none"]),
        ({"loss": math.dist, "class_weights": "balanced"}, ["class weights given", "'math:dist'", "expected none"]),
    ],
)
def test_settings_that_another_one_rules_out(settings, words, refuses):
    """What would have no effect is refused, not ignored."""
    with refuses(SettingError, *words):
        Recipe(**settings)


@pytest.mark.parametrize("weights", [[1, 2], (1.0, 2.0), np.array([1, 2]), torch.tensor([1.0, 2.0])])
def test_class_weights_are_stored_as_numbers(weights):
    assert Recipe(class_weights=weights).recipe()["class_weights"] == [1.0, 2.0]


def test_rate_follows_from_the_optimizer_unless_given():
    """A number at once, except with an optimizer of one's own, which has its own rate."""
    assert [Recipe(optimizer=each).learning_rate for each in ("sgd", "adamw")] == [0.1, 0.001]
    assert mz.Rung("mine", "mlp", optimizer="adamw").recipe()["learning_rate"] == 0.001
    assert Recipe(optimizer="adamw", learning_rate=0.1).learning_rate == 0.1
    assert [Recipe(optimizer=torch.optim.Adam, **rate).learning_rate for rate in ({}, {"learning_rate": 1})] == [
        None,
        1,
    ]


def test_code_is_recorded_by_its_name():
    """Of a partial function that of the function, of an object that of its class."""
    recipe = Recipe(optimizer=partial(torch.optim.Adam, lr=1), loss=nn.CrossEntropyLoss(), transform=lambda x: x)
    stored = recipe.recipe()
    assert (stored["optimizer"], stored["loss"]) == ("torch.optim.adam:Adam", "torch.nn.modules.loss:CrossEntropyLoss")
    assert stored["transform"].endswith("test_recipe:test_code_is_recorded_by_its_name.<locals>.<lambda>")


def test_stored_recipe_comes_back_with_the_code_of_another():
    """All settings of the record, and code only where the record has its name."""
    before = Recipe(epochs=2, loss=math.dist, class_weights=None, early_stopping=0.2, transform=math.hypot)
    given = Recipe(epochs=9, loss=math.dist, transform=math.hypot)
    assert missing_code(before.recipe(), given) is None
    assert Recipe(**settings_of(before.recipe(), given)) == before
    assert missing_code(before.recipe(), Recipe(loss=math.dist)) == ("transform", "math:hypot", None)
    assert Recipe(**settings_of(Recipe(class_weights=[1, 2]).recipe(), given)) == Recipe(class_weights=[1, 2])
    assert Recipe(**settings_of({"epochs": 4}, Recipe(loss=math.dist))) == Recipe(epochs=4)


def test_code_of_a_script_may_have_moved_to_a_module():
    """What was defined in `__main__` is found under its name in a module; another name is another function."""
    stored = {"loss": "__main__:dist"}
    assert missing_code(stored, Recipe(loss=math.dist)) is None
    assert missing_code(stored, Recipe(loss=math.hypot)) == ("loss", "__main__:dist", "math:hypot")
    assert missing_code({"loss": "other:dist"}, Recipe(loss=math.dist)) == ("loss", "other:dist", "math:dist")


def test_cosine_falls_as_torchs():
    """After the rise of the triangle, the rates are those of CosineAnnealingLR."""
    recipe, steps, rising = Recipe(schedule="cosine", learning_rate=0.2), 50, 10
    triangle = Recipe(schedule="triangle", learning_rate=0.2)
    assert all(recipe.learning_rate_at(k, steps) == triangle.learning_rate_at(k, steps) for k in range(rising))
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.2)
    torchs = CosineAnnealingLR(optimizer, steps - rising + 1)
    for step in range(rising - 1, steps):
        assert recipe.learning_rate_at(step, steps) == pytest.approx(torchs.get_last_lr()[0])
        optimizer.step()
        torchs.step()


@pytest.mark.parametrize("schedule", ["triangle", "cosine"])
@pytest.mark.parametrize("steps", [1, 2, 3, 4, 5, 10, 1000])
def test_schedule_rises_and_falls(schedule, steps):
    """It is positive in each step, reaches the highest rate exactly once, and ends near zero."""
    recipe = Recipe(schedule=schedule, learning_rate=0.5)
    rates = [recipe.learning_rate_at(step, steps) for step in range(steps)]
    top = rates.index(max(rates))
    assert max(rates) == 0.5
    assert rates.count(0.5) == 1
    assert all(rate > 0 for rate in rates)
    assert rates[: top + 1] == sorted(rates[: top + 1])
    assert rates[top:] == sorted(rates[top:], reverse=True)
    assert steps < 1000 or rates[-1] < 0.001


def test_triangle_is_piecewise_linear_like_torchs_interpolation():
    """The rates equal those of a LambdaLR with the two lines written out."""
    recipe, steps, rising = Recipe(schedule="triangle", learning_rate=0.2), 50, 10
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.2)
    written_out = LambdaLR(optimizer, lambda s: (s + 1) / rising if s < rising else (steps - s) / (steps - rising + 1))
    for step in range(steps):
        assert recipe.learning_rate_at(step, steps) == pytest.approx(written_out.get_last_lr()[0])
        optimizer.step()
        written_out.step()


@pytest.mark.parametrize(("images", "epochs"), [(32, 200), (33, 100), (1437, 5), (60000, 3)])
def test_small_sets_get_more_epochs(images, epochs):
    """Until so many steps are made, and never fewer epochs than the recipe says."""
    recipe = Recipe(epochs=3, batch_size=32, least_steps=200)
    assert recipe.epochs_for(images) == epochs
    assert epochs * recipe.steps_per_epoch(images) >= 200
