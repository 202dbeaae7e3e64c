"""The ladder: a plain list of rungs, the simplest first."""

from __future__ import annotations

import importlib
import operator
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from modelzero.errors import ModelError, SettingError, nearest
from modelzero.models.convnet import convnet
from modelzero.models.defaults import AUTO
from modelzero.models.forest import Forest
from modelzero.models.linear import model0, softmax
from modelzero.models.neighbours import NearestNeighbours
from modelzero.models.perceptron import mlp, model1
from modelzero.models.recipe import Recipe
from modelzero.models.resnet import resnet
from modelzero.models.tinyvgg import tinyvgg
from modelzero.models.trivial import Centroid, Majority


@dataclass(frozen=True)
class Rung(Recipe):
    """A named model with the fixed recipe that trains it.

    >>> from torch import nn
    >>> Rung("mine", make=lambda: nn.Sequential(nn.Flatten(), nn.Linear(64, 10)), epochs=3).epochs
    3
    >>> Rung("mlp with AdamW", make="mlp", optimizer="adamw", learning_rate=0.001).built_in
    'mlp'

    Args:
        name: its name in tables and records.
        make: builds the model for each training: a function or class that returns a `torch.nn.Module` which maps
            [B, C, H, W] in [0, 1] to logits [B, classes], or a scikit-learn classifier, which is fitted on images as
            rows of numbers in [0, 1] and ignores the recipe. It gets `image_shape`, `classes` and `hidden_units` if
            its signature names them, and no other argument. Or the name of a rung, whose model is taken without its
            recipe.
        adds: what it adds to the rung below, in one line.
        random: whether another seed gives another model. None uses what is known about the model; for scikit-learn
            and similar classifiers a climb measures it: if the first two seeds give equal predictions, the others
            are not trained.
        second_chance: as in `Recipe`, but on by default.

    Raises:
        SettingError: a setting outside its range.
        ModelError: `make` is a name, but not of a rung.
    """

    name: str
    make: Any  # a factory; a name is replaced by its factory
    adds: str = ""
    random: bool | None = None
    second_chance: bool = field(default=True, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        if isinstance(self.make, str):
            object.__setattr__(self, "make", rung_named(self.make).make)
        if self.random is not None and not isinstance(self.random, bool):
            raise SettingError(f"random {repr(self.random)[:40]}: expected True, False or None")

    @property
    def is_light(self) -> bool:
        """Whether training takes less time than starting a process, whatever the images are.

        >>> [rung.name for rung in LADDER if rung.is_light]
        ['majority', 'centroid']
        """
        return getattr(self.make, "is_light", False) is True

    @property
    def built_in(self) -> str | None:
        """The ladder's name for the model, from which a record can build it again; None for a user's own."""
        return next((rung.name for rung in LADDER if rung.make is self.make), None)


# Recipes were chosen on validation cuts of training splits, see docs/ladder.md. model0 and model1 have the chapter's on
# images like the chapter's; on brighter or larger ones they would diverge, or their last ReLU would clip every logit.
# tinyvgg is the chapter's network, but at the chapter's constant rate some of its trainings never leave 10 %.
_MODERN: dict[str, Any] = {
    "batch_size": 128,
    "momentum": 0.9,
    "nesterov": True,
    "weight_decay": 5e-4,
    "schedule": "triangle",
    "label_smoothing": 0.1,
}
_UP_AND_DOWN: dict[str, Any] = {"schedule": "triangle", "least_steps": 1000}
_CHAPTERS: dict[str, Any] = {"standardise": None, "full_rate_power": 400, "least_steps": 1000}

LADDER = [
    Rung("majority", Majority, "always the most frequent class: the baseline that learns nothing"),
    Rung("centroid", Centroid, "one mean image per class; the nearest wins"),
    Rung("knn", NearestNeighbours, "every training image; the nearest seven vote"),
    Rung("softmax", softmax, "one linear layer: one weight for each pixel and class", epochs=5, **_UP_AND_DOWN),
    Rung(
        "model0", model0, "from the chapter: two linear layers in a row, equivalent to one of lower rank", **_CHAPTERS
    ),
    Rung(
        "model1",
        model1,
        "from the chapter: a ReLU after each layer, including the last, where it clips the logits",
        **_CHAPTERS,
    ),
    Rung(
        "mlp",
        mlp,
        "two wide hidden layers, with a ReLU only between layers",
        epochs=8,
        learning_rate=0.1,
        full_rate_power=3072,
        standardise=True,
        least_steps=500,
        **_MODERN,
    ),
    Rung("forest", Forest, "fifty randomised trees that split on one pixel at a time"),
    Rung(
        "tinyvgg",
        tinyvgg,
        "the chapter's network: convolutions recognise small patterns anywhere in the image",
        **_UP_AND_DOWN,
    ),
    Rung(
        "convnet",
        convnet,
        "more channels, batch normalisation",
        epochs=4,
        learning_rate=0.2,
        least_steps=200,
        standardise=True,
        flip=None,
        precision=AUTO,
        **_MODERN,
    ),
    Rung(
        "resnet",
        resnet,
        "residual blocks on whitened patches, more layers",
        epochs=6,
        learning_rate=0.2,
        least_steps=200,
        flip=None,
        reduced=0.6,
        precision=AUTO,
        **{**_MODERN, "weight_decay": 1e-3},
    ),
]


def rung_named(name: str) -> Rung:
    """Find a rung of the ladder by name, or import a user's own from `package.module.Name` or `module:name`.

    >>> rung_named("model0").adds
    'from the chapter: two linear layers in a row, equivalent to one of lower rank'
    >>> rung_named("sklearn.naive_bayes.GaussianNB").name
    'GaussianNB'

    Raises:
        ModelError: there is no such rung, and nothing of that name can be imported.
    """
    if "." in name.strip(".") or ":" in name.strip(":"):
        made = _imported(name)
        return made if isinstance(made, Rung) else Rung(name.replace(":", ".").rpartition(".")[2], made)
    return built_in_rung(name)


def built_in_rung(name: str) -> Rung:
    """Find a rung of the ladder by name. Records name only these: reading one must not import what it says.

    >>> built_in_rung("model0").name
    'model0'

    Raises:
        ModelError: there is no such rung.
    """
    for rung in LADDER:
        if rung.name == name:
            return rung
    raise ModelError(f"no model named {name!r}: {nearest(name, [rung.name for rung in LADDER])}")


def as_rung(model: str | Rung | Callable[..., Any]) -> Rung:
    """Return the rung of a name, a rung, or a factory, which gets the chapter's recipe and its own name.

    >>> as_rung(lambda: None).name
    'lambda'
    """
    if isinstance(model, Rung):
        return model
    if isinstance(model, str):
        return rung_named(model)
    return Rung(getattr(model, "__name__", type(model).__name__).strip("<>"), model)


def import_path(make: Any) -> str | None:
    """Return the `module:name` from which another process can import a factory; None if there is none.

    >>> import_path(Majority), import_path(lambda: None)
    ('modelzero.models.trivial:Majority', None)
    """
    module, name = (getattr(make, each, None) for each in ("__module__", "__qualname__"))
    if not (isinstance(module, str) and isinstance(name, str)) or module == "__main__":
        return None
    loaded = sys.modules.get(module)
    if getattr(loaded, "__spec__", None) is None:  # made by hand, not found on a path
        return None
    try:
        found = operator.attrgetter(name)(loaded)
    except AttributeError:  # also of a lambda or a local function
        return None
    return f"{module}:{name}" if found is make else None


def look_in_this_folder() -> None:
    """Let modules in the current folder be imported, as `python -m` does."""
    if os.getcwd() not in sys.path:  # noqa: PTH109
        sys.path.insert(0, os.getcwd())  # noqa: PTH109


def _imported(name: str) -> Any:
    module, _, attribute = name.partition(":") if ":" in name else name.rpartition(".")
    look_in_this_folder()
    try:
        value = operator.attrgetter(attribute)(importlib.import_module(module))
    except Exception as error:
        raise ModelError(
            f"{name!r} cannot be imported ({type(error).__name__}: {error}): expected the name of a rung, or "
            "module:name of a function or class that builds a model, such as sklearn.svm.LinearSVC"
        ) from error
    if not callable(value) and not isinstance(value, Rung):
        raise ModelError(f"{name!r} is a {type(value).__name__}: expected a function or class that builds a model")
    return value
