"""Recipes, rungs and their order."""

import dataclasses
import math

import pytest

from modelzero.errors import ModelError, SettingError
from modelzero.models.ladder import LADDER, Recipe, Rung, rung_named
from modelzero.models.linear import model0


def test_defaults_are_the_chapters():
    """Three epochs, batches of 32, learning rate 0.1."""
    assert Recipe().recipe() == {"epochs": 3, "batch_size": 32, "learning_rate": 0.1}


def test_ladder_is_in_the_chapters_order():
    """Model 0, 1 and 2, and each trains by the chapter's recipe."""
    assert [rung.name for rung in LADDER] == ["model0", "model1", "tinyvgg"]
    assert [rung.recipe() for rung in LADDER] == [Recipe().recipe()] * 3


@pytest.mark.parametrize("rung", LADDER, ids=lambda rung: rung.name)
def test_every_rung_says_what_it_adds(rung):
    """In one line."""
    assert rung.adds
    assert "\n" not in rung.adds


@pytest.mark.parametrize("rung", LADDER, ids=lambda rung: rung.name)
def test_rung_is_found_by_name(rung):
    """The name leads to the rung of the ladder itself."""
    assert rung_named(rung.name) is rung


def test_unknown_name_names_the_nearest():
    """A slip of the finger is answered with the name that was meant."""
    with pytest.raises(ModelError, match=r"no model named 'tinyvg': did you mean 'tinyvgg'\?"):
        rung_named("tinyvg")


def test_name_like_no_other_names_them_all():
    """What resembles nothing is answered with the list."""
    with pytest.raises(ModelError, match="no model named 'zzz': known: 'model0', 'model1', 'tinyvgg'"):
        rung_named("zzz")


@pytest.mark.parametrize("name", ["epochs", "batch_size"])
@pytest.mark.parametrize("value", [0, -1, 2.5, 2.0, True, "3", None, math.nan])
def test_counts_are_whole_numbers_of_at_least_one(name, value):
    """The error names the setting in words, the value and what is needed."""
    words = name.replace("_", " ")
    with pytest.raises(SettingError, match=f"^{words} {value!r}: a whole number of at least 1 is needed$"):
        Recipe(**{name: value})


@pytest.mark.parametrize("rate", [0, 0.0, -0.1, math.nan, math.inf, -math.inf, "x", None, True, [0.1]])
def test_learning_rate_is_finite_and_positive(rate):
    """The error names the value, what is needed and an example."""
    with pytest.raises(SettingError) as caught:
        Recipe(learning_rate=rate)
    assert str(caught.value) == f"learning rate {rate!r}: a finite number above 0 is needed, such as 0.1"


def test_learning_rate_may_be_a_whole_number():
    """1 is as good as 1.0."""
    assert Recipe(learning_rate=1).learning_rate == 1


def test_learning_rate_beyond_every_float():
    """An integer that no float can hold is refused like infinity."""
    with pytest.raises(SettingError, match="a finite number above 0 is needed"):
        Recipe(learning_rate=10**400)


def test_rung_checks_its_recipe():
    """A rung of the user's own is checked when it is made."""
    with pytest.raises(SettingError, match="epochs 0"):
        Rung("mine", make=model0, epochs=0)


def test_rung_cannot_be_changed():
    """A rung that was made stays what it is."""
    with pytest.raises(dataclasses.FrozenInstanceError):
        Rung("mine", make=model0).epochs = 5


def test_recipe_holds_no_model():
    """What a rung keeps of its recipe can be written to a record."""
    assert Rung("mine", make=model0, epochs=7).recipe() == {"epochs": 7, "batch_size": 32, "learning_rate": 0.1}


def test_built_in_is_known_by_the_factory():
    """A model of modelzero's own is one under any name; a user's factory is none, even under the name of one."""
    assert Rung("mine", make=model0).built_in
    assert not Rung("model0", make=lambda: model0((1, 8, 8), 10)).built_in
