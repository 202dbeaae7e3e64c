"""The recipe: settings, their limits, and what follows from them."""

import math

import pytest
import torch
from torch.optim.lr_scheduler import LambdaLR

from modelzero.errors import SettingError
from modelzero.models.recipe import Recipe


def test_defaults_are_the_chapters():
    """Three epochs, batches of 32, learning rate 0.1, and nothing besides."""
    recipe = Recipe()
    assert (recipe.epochs, recipe.batch_size, recipe.learning_rate) == (3, 32, 0.1)
    assert (recipe.momentum, recipe.weight_decay, recipe.label_smoothing) == (0, 0, 0)
    assert (recipe.schedule, recipe.nesterov, recipe.flip, recipe.least_steps) == ("constant", False, False, 1)


@pytest.mark.parametrize("name", ["epochs", "batch_size", "least_steps"])
@pytest.mark.parametrize("value", [0, -1, 2.5, 2.0, True, "3", None, math.nan])
def test_counts_are_whole_numbers_of_at_least_one(name, value):
    """The error names the setting in words, the value and what is expected."""
    words = name.replace("_", " ")
    with pytest.raises(SettingError, match=f"^{words} {value!r}: expected a whole number of at least 1$"):
        Recipe(**{name: value})


@pytest.mark.parametrize("rate", [0, 0.0, -0.1, math.nan, math.inf, -math.inf, "x", None, True, [0.1]])
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
        ("standardise", 1, "True or False"),
        ("second_chance", None, "True or False"),
        ("nesterov", 1, "True or False"),
        ("flip", "yes", "True or False"),
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


@pytest.mark.parametrize("steps", [1, 2, 3, 4, 5, 10, 1000])
def test_triangle_rises_and_falls(steps):
    """It is positive in each step, reaches the highest rate exactly once, and ends near zero."""
    recipe = Recipe(schedule="triangle", learning_rate=0.5)
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
