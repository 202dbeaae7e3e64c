"""The ladder: a plain list of rungs, the simplest first."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, fields
from numbers import Real
from typing import Any

from torch import nn

from modelzero.errors import ModelError, SettingError, check_count, nearest
from modelzero.models.linear import model0
from modelzero.models.perceptron import model1
from modelzero.models.tinyvgg import tinyvgg


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Everything that decides a training besides model, data and seed. The defaults are the chapter's.

    Args:
        epochs: how often the training split is gone through.
        batch_size: pictures in one step.
        learning_rate: step size of plain stochastic gradient descent.

    Raises:
        SettingError: a number outside its range.
    """

    epochs: int = 3
    batch_size: int = 32
    learning_rate: float = 0.1

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size"):
            object.__setattr__(self, name, check_count(name, getattr(self, name)))
        object.__setattr__(self, "learning_rate", _learning_rate(self.learning_rate))

    def recipe(self) -> dict[str, Any]:
        """Return the settings by name, as the record keeps them."""
        return {field.name: getattr(self, field.name) for field in fields(Recipe)}


def _learning_rate(rate: object) -> float:
    try:
        number = float(rate) if isinstance(rate, Real) and not isinstance(rate, bool) else math.nan
    except OverflowError:  # a whole number that is too large for a float
        number = math.inf
    if not 0 < number < math.inf:
        raise SettingError(f"learning rate {repr(rate)[:40]}: a finite number above 0 is needed, such as 0.1")
    return number


@dataclass(frozen=True)
class Rung(Recipe):
    """A named model with the fixed recipe that trains it.

    >>> Rung("mine", make=lambda: nn.Sequential(nn.Flatten(), nn.Linear(64, 10)), epochs=3).epochs
    3

    Args:
        name: what tables and records call it.
        make: makes the model anew for each training: a function or class that returns a `torch.nn.Module` which
            maps [B, C, H, W] in [0, 1] to logits [B, classes]. Where its signature names `image_shape`, `classes`
            or `hidden_units`, it is given them; it needs no argument otherwise.
        adds: what it adds to the rung below, in one line.
    """

    name: str
    make: Callable[..., nn.Module]
    adds: str = ""

    @property
    def built_in(self) -> str | None:
        """The ladder's name for the model, from which a record can build it again; None for a user's own."""
        return next((rung.name for rung in LADDER if rung.make is self.make), None)


LADDER = [
    Rung("model0", model0, "two linear layers: every pixel is weighed for every class"),
    Rung("model1", model1, "a ReLU after each layer, also after the last, where it clips the logits"),
    Rung("tinyvgg", tinyvgg, "convolutions: small patterns are recognised wherever they are"),
]


def rung_named(name: str) -> Rung:
    """Find a rung of the ladder by name, or raise ModelError with the nearest names."""
    for rung in LADDER:
        if rung.name == name:
            return rung
    raise ModelError(f"no model named {name!r}: {nearest(name, [rung.name for rung in LADDER])}")
