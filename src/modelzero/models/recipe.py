"""The recipe of a training by gradient steps: all settings except model, data and seed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modelzero.errors import SettingError, as_number, check_count, nearest

SCHEDULES = ("constant", "triangle")
# The share of the steps in which the triangle rises.
WARM_UP = 0.2


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """All settings of a training except model, data and seed. The defaults are the chapter's.

    Args:
        epochs: passes over the training split.
        batch_size: images in one step.
        learning_rate: step size of stochastic gradient descent; the highest one if the schedule changes it.
        momentum: fraction of the last step that the next one keeps, 0 to below 1.
        nesterov: look ahead along the momentum, as Nesterov does; requires momentum.
        weight_decay: how strongly the weights are pulled to zero.
        schedule: `constant`, or `triangle`: up in the first fifth of the steps, then down to zero.
        label_smoothing: fraction of the target that is spread over all classes, 0 to below 1.
        flip: mirror a random half of each batch, left to right. None decides by a short trial whether images and their
            mirror images can be told apart.
        shift: move each image of a batch by up to this share of its height and width, at random; 0 to below 0.5. The
            pixels at the edge fill the gap.
        least_steps: minimum number of steps: small datasets get more passes than `epochs`.
        standardise: subtract each channel's mean and divide by its standard deviation, both of the training split.
        full_rate_power: mean sum of squares of an image's inputs up to which the learning rate is used as it is. For
            larger ones it falls in proportion (see `rate_for`). None never changes it.
        second_chance: repeat a training that does not learn once, with a third of the learning rate. Not if epochs,
            batch size or learning rate were given to `train`.

    Raises:
        SettingError: a number or word outside its range.
    """

    epochs: int = 3
    batch_size: int = 32
    learning_rate: float = 0.1
    momentum: float = 0.0
    nesterov: bool = False
    weight_decay: float = 0.0
    schedule: str = "constant"
    label_smoothing: float = 0.0
    flip: bool | None = False
    shift: float = 0.0
    least_steps: int = 1
    standardise: bool = False
    full_rate_power: float | None = None
    second_chance: bool = False

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "least_steps"):
            object.__setattr__(self, name, check_count(name, getattr(self, name)))
        object.__setattr__(self, "learning_rate", _learning_rate(self.learning_rate))
        for name, limit in (("momentum", 1), ("label_smoothing", 1), ("shift", 0.5), ("weight_decay", math.inf)):
            object.__setattr__(self, name, _share(name, getattr(self, name), limit))
        power = self.full_rate_power
        if power is not None and not 0 < as_number(power) < math.inf:
            raise SettingError(f"full rate power {repr(power)[:40]}: expected a finite number above 0, or None")
        for name in ("nesterov", *([] if self.flip is None else ["flip"]), "standardise", "second_chance"):
            if not isinstance(getattr(self, name), bool):
                raise SettingError(f"{name.replace('_', ' ')} {repr(getattr(self, name))[:40]}: expected True or False")
        if self.nesterov and not self.momentum:
            raise SettingError("nesterov without momentum: expected a momentum above 0, such as 0.9")
        if self.schedule not in SCHEDULES:
            raise SettingError(f"no schedule named {self.schedule!r}: {nearest(str(self.schedule), SCHEDULES)}")

    @classmethod
    def recorded(cls, stored: Mapping[str, Any]) -> dict[str, Any]:
        """Return the settings of a stored recipe; those that are newer than the record had no effect then.

        >>> Recipe.recorded({"model": "mlp", "epochs": 8})["standardise"]
        False
        """
        return {each.name: stored.get(each.name, each.default) for each in fields(Recipe)}

    def recipe(self) -> dict[str, Any]:
        """Return the settings by name, as stored in the record."""
        return {field.name: getattr(self, field.name) for field in fields(Recipe)}

    def steps_per_epoch(self, images: int) -> int:
        """Count the batches of the training split; the last one may be smaller."""
        return -(-images // self.batch_size)

    def epochs_for(self, images: int) -> int:
        """Count the epochs for so many training images: `epochs`, or more to reach `least_steps`.

        >>> Recipe(epochs=3, batch_size=100, least_steps=50).epochs_for(1000)
        5
        """
        return max(self.epochs, -(-self.least_steps // self.steps_per_epoch(images)))

    def rate_for(self, power: float) -> float:
        """Return the learning rate for images with this mean sum of squared inputs, to two digits.

        The curvature of the loss in the first layer grows with the sum of squared inputs, and gradient descent diverges
        if the rate times the curvature is above 2 (LeCun et al., Efficient BackProp, 1998).

        >>> recipe = Recipe(learning_rate=0.1, full_rate_power=200)
        >>> recipe.rate_for(160), recipe.rate_for(800)
        (0.1, 0.025)
        """
        if self.full_rate_power is None or power <= self.full_rate_power:
            return self.learning_rate
        return float(f"{self.learning_rate * self.full_rate_power / power:.2g}")

    def learning_rate_at(self, step: int, steps: int) -> float:
        """Return the learning rate of a step, counted from 0, of `steps` in total.

        >>> [Recipe(schedule="triangle", learning_rate=1).learning_rate_at(step, 10) for step in (0, 1, 2, 6, 9)]
        [0.5, 1.0, 0.888..., 0.444..., 0.111...]
        """
        if self.schedule == "constant":
            return self.learning_rate
        rising = max(1, round(WARM_UP * steps))
        return self.learning_rate * min((step + 1) / rising, (steps - step) / (steps - rising + 1))

    def learning_rates(self, some: range, steps: int) -> NDArray[np.float32]:
        """Return the learning rates of some of `steps` steps, float32; see `learning_rate_at`.

        >>> Recipe(learning_rate=0.5).learning_rates(range(3), 10)
        array([0.5, 0.5, 0.5], dtype=float32)
        """
        if self.schedule == "constant":  # there may be tens of thousands of steps, of microseconds each
            return np.full(len(some), self.learning_rate, np.float32)
        return np.array([self.learning_rate_at(step, steps) for step in some], np.float32)


def _learning_rate(rate: object) -> float:
    number = as_number(rate)
    if not 0 < number < math.inf:
        raise SettingError(f"learning rate {repr(rate)[:40]}: expected a finite number above 0, such as 0.1")
    return number


def _share(name: str, value: object, limit: float) -> float:
    number = as_number(value)
    if not 0 <= number < limit:
        below = "a finite number of at least 0" if limit == math.inf else f"a number from 0 to below {limit}"
        raise SettingError(f"{name.replace('_', ' ')} {repr(value)[:40]}: expected {below}")
    return number
