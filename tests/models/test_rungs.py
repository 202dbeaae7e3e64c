"""Recipes, rungs and their order."""

import dataclasses
import functools
import sys
import types

import pytest

from modelzero.errors import ModelError, SettingError
from modelzero.models.linear import model0
from modelzero.models.rungs import LADDER, Rung, as_rung, built_in_rung, import_path, rung_named

CHAPTERS = {
    "epochs": 3,
    "batch_size": 32,
    "learning_rate": 0.1,
    "optimizer": "sgd",
    "momentum": 0.0,
    "nesterov": False,
    "weight_decay": 0.0,
    "schedule": "constant",
    "loss": "cross-entropy",
    "class_weights": None,
    "label_smoothing": 0.0,
    "flip": False,
    "shift": 0.0,
    "reduced": 0.0,
    "transform": None,
    "clip_norm": None,
    "early_stopping": None,
    "patience": 5,
    "least_steps": 1,
    "standardise": False,
    "full_rate_power": None,
    "precision": "fp32",
    "second_chance": True,
}


def test_ladder_is_in_order():
    """From knowing nothing to a modern network, with the chapter's three models in the chapter's order."""
    chapters, others = ["model0", "model1"], ["mlp", "forest", "tinyvgg", "convnet", "resnet"]
    assert [rung.name for rung in LADDER] == ["majority", "centroid", "knn", "softmax", *chapters, *others]


@pytest.mark.parametrize("name", ["model0", "model1"])
def test_the_chapters_models_have_the_chapters_recipe(name):
    """Three epochs, batches of 32, plain SGD at 0.1; on other images than the chapter's kind what follows from them."""
    elsewhere = {"standardise": None, "full_rate_power": 400, "least_steps": 1000}
    assert rung_named(name).recipe() == CHAPTERS | elsewhere


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
    with pytest.raises(ModelError, match="no model named 'zzz': known: 'majority', 'centroid', 'knn', 'softmax'"):
        rung_named("zzz")


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
    assert Rung("mine", make=model0, epochs=7).recipe() == CHAPTERS | {"epochs": 7}


def test_built_in_is_known_by_the_factory():
    """A model of modelzero's own is one under any name; a user's factory is none, even under the name of one."""
    assert Rung("mine", make=model0).built_in
    assert not Rung("model0", make=lambda: model0((1, 8, 8), 10)).built_in


def test_models_of_others_are_imported_by_name():
    """A dotted name or module:name leads to a class, a function or a Rung; its last part is the rung's name."""
    from sklearn.svm import LinearSVC

    for name in ("sklearn.svm.LinearSVC", "sklearn.svm:LinearSVC"):
        rung = rung_named(name)
        assert (rung.name, rung.make, rung.built_in) == ("LinearSVC", LinearSVC, None)


def test_own_module_in_the_current_folder_is_found(tmp_path, monkeypatch):
    """As with `python -m`: what lies beside the user can be named, a function as well as a whole Rung."""
    monkeypatch.setattr("sys.path", [*__import__("sys").path])
    (tmp_path / "my_models_for_a_test.py").write_text(
        "import modelzero as mz\nfrom modelzero.models.linear import softmax as mine\n"
        "rung = mz.Rung('own', make=mine, epochs=9)\nnumber = 5\n"
    )
    assert rung_named("my_models_for_a_test:mine").name == "mine"
    assert rung_named("my_models_for_a_test:rung").epochs == 9
    with pytest.raises(ModelError, match="'my_models_for_a_test:number' is a int: expected a function or class"):
        rung_named("my_models_for_a_test:number")


@pytest.mark.parametrize("name", ["no.such.module", "os:nothing", "sklearn.svm.", "a:b:c"])
def test_what_cannot_be_imported_is_said(name, refuses):
    """With the name, the reason and an example."""
    with refuses(ModelError, name, "cannot be imported", "sklearn.svm.LinearSVC"):
        rung_named(name)


def test_as_rung_takes_names_rungs_and_factories():
    """A factory gets its own name and the chapter's recipe."""
    rung = Rung("mine", make=model0)
    assert as_rung(rung) is rung
    assert as_rung("knn") is rung_named("knn")
    assert (as_rung(model0).name, as_rung(model0).recipe()) == ("model0", CHAPTERS)


class Nest:
    class Inner:
        pass

    @classmethod
    def make(cls):
        return cls.Inner()


wide = lambda: None  # noqa: E731


def test_what_another_process_can_import_has_a_path():
    """Classes and functions, also inside a class; not what only this process has."""
    assert import_path(model0) == "modelzero.models.linear:model0"
    assert import_path(Nest.Inner) == f"{__name__}:Nest.Inner"
    assert rung_named(f"{__name__}:Nest.Inner").make is Nest.Inner

    def local():
        pass

    made_by_hand = types.ModuleType("made_by_hand")
    exec("def make(): pass", made_by_hand.__dict__)
    sys.modules["made_by_hand"] = made_by_hand
    try:
        unknown = [local, wide, functools.partial(model0, 3), Nest.make, Nest(), made_by_hand.make, None]
        assert [import_path(each) for each in unknown] == [None] * len(unknown)
    finally:
        del sys.modules["made_by_hand"]
    interactive = types.FunctionType(model0.__code__, {}, "model0")
    interactive.__module__ = "__main__"
    assert import_path(interactive) is None


@pytest.mark.parametrize("name", ["sklearn.naive_bayes.GaussianNB", "os:abort", "own"])
def test_a_built_in_rung_is_one_of_the_ladder(name):
    """Nothing is imported to find it."""
    with pytest.raises(ModelError, match="no model named"):
        built_in_rung(name)


def test_model_of_a_rung_by_its_name(refuses):
    """With the chapter's recipe unless another is given, not with that of the rung."""
    rung = Rung("mine", "mlp", epochs=4)
    assert (rung.make, rung.built_in) == (rung_named("mlp").make, "mlp")
    assert rung.recipe() == CHAPTERS | {"epochs": 4}
    with refuses(ModelError, "no model named 'mpl'"):
        Rung("mine", "mpl")
