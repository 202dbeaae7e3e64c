"""The recipe of a training by gradient steps: all settings except model, data and seed."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from modelzero.errors import SettingError, as_number, check_count, nearest
from modelzero.models.defaults import PRECISIONS

SCHEDULES = ("constant", "triangle", "cosine")
# The learning rate of each optimizer if none is given; of AdamW it is torch's.
RATES = {"sgd": 0.1, "adamw": 0.001}
OPTIMIZERS = tuple(RATES)
CROSS_ENTROPY = "cross-entropy"  # what records call the loss of None
# The settings that can be code of the user's own, of which a record has only the name.
_CODE = ("optimizer", "loss", "transform")
# The share of the steps in which the triangle and the cosine rise.
WARM_UP = 0.2
# The largest share of the training split that may be held out.
_MOST_HELD_OUT = 0.5


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """All settings of a training except model, data and seed. The defaults are the chapter's.

    Args:
        epochs: passes over the training split.
        batch_size: images in one step.
        learning_rate: step size; the highest one if the schedule changes it. By default 0.1 with `sgd`, 0.001 with
            `adamw`, and with an optimizer of your own the one that it has.
        optimizer: `sgd`, stochastic gradient descent; `adamw`, as `torch.optim.AdamW` with its own default betas; or a
            function that takes the list of parameters and returns a `torch.optim.Optimizer`. Its learning rate is then
            that of its first group, and other groups keep their proportion to it.
        momentum: fraction of the last step that the next one keeps, 0 to below 1; of `sgd` only.
        nesterov: look ahead along the momentum, as Nesterov does; requires momentum.
        weight_decay: how strongly the weights are pulled to zero; an optimizer of your own sets it itself.
        schedule: `constant`; or `triangle`: up in the first fifth of the steps, then down to zero; or `cosine`: up in
            the same way, then down to zero along half a cosine (see `learning_rate_at`).
        loss: None for cross-entropy, or a function of logits [B, classes] and labels int64 [B] that returns a scalar
            tensor. It must keep no state from one call to the next.
        class_weights: how much an image counts in the cross-entropy of a batch, by its class: one finite number above 0
            for each class; `balanced` for n / (classes * n of the class), as scikit-learn counts; None for equally.
            The mean is weighted, as in `torch.nn.CrossEntropyLoss`.
        label_smoothing: fraction of the target that is spread over all classes, 0 to below 1; of cross-entropy only.
        flip: mirror a random half of each batch, left to right. None decides by a short trial whether images and their
            mirror images can be told apart.
        shift: move each image of a batch by up to this share of its height and width, at random; 0 to below 0.5. The
            pixels at the edge fill the gap.
        reduced: share of the steps, from the first on, that train on images reduced to three quarters of their height
            and width, about half of the pixels; 0 to below 1. Only for models that take images of any size.
        transform: a function that changes the images of a training batch, float32 [B, C, H, W] in [0, 1], after `flip`
            and `shift`, and keeps their shape. If it draws random numbers from torch's default generator only, they are
            a function of seed, epoch and step. It must keep no state from one call to the next.
        clip_norm: largest norm of all gradients of a step together; longer ones are scaled down to it, as
            `torch.nn.utils.clip_grad_norm_` does. None for no limit.
        early_stopping: a share of the training split, above 0 and up to 0.5, that is drawn by the seed, class by class
            or in whole groups, and held out. After each epoch the loss on it is computed; the training stops after
            `patience` epochs without a lower one, and the weights of the epoch with the lowest are kept. None trains
            all epochs on the whole split.
        patience: epochs without a lower loss on the held-out images after which early stopping ends the training.
        least_steps: minimum number of steps: small datasets get more passes than `epochs`.
        standardise: subtract each channel's mean and divide by its standard deviation, both of the training split. None
            does so only for images whose inputs have a mean sum of squares above `full_rate_power`.
        full_rate_power: mean sum of squares of an image's inputs up to which the learning rate is used as it is. For
            larger ones it falls in proportion (see `rate_for`). None never changes it.
        precision: of the numbers in a training step: `fp32`; `bf16` for bfloat16 in matrix products and convolutions,
            with weights and evaluation in float32; or `auto`, bf16 where a short trial shows it to be much faster.
        second_chance: repeat a training that does not learn once, with a third of the learning rate. Not if a setting
            of the recipe was given to `train`.

    Raises:
        SettingError: a number or word outside its range.
    """

    epochs: int = 3
    batch_size: int = 32
    # None is replaced: by a number of `RATES` at once, or by the rate of the user's optimizer when that is created.
    learning_rate: float = None  # type: ignore[assignment]
    optimizer: str | Callable[[list[Any]], Any] = "sgd"
    momentum: float = 0.0
    nesterov: bool = False
    weight_decay: float = 0.0
    schedule: str = "constant"
    loss: Callable[[Any, Any], Any] | None = None
    class_weights: str | Sequence[float] | None = None
    label_smoothing: float = 0.0
    flip: bool | None = False
    shift: float = 0.0
    reduced: float = 0.0
    transform: Callable[[Any], Any] | None = None
    clip_norm: float | None = None
    early_stopping: float | None = None
    patience: int = 5
    least_steps: int = 1
    standardise: bool | None = False
    full_rate_power: float | None = None
    precision: str = "fp32"
    second_chance: bool = False

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "least_steps", "patience"):
            object.__setattr__(self, name, check_count(name, getattr(self, name)))
        for name, limit in (
            ("momentum", 1),
            ("label_smoothing", 1),
            ("shift", 0.5),
            ("reduced", 1),
            ("weight_decay", math.inf),
        ):
            object.__setattr__(self, name, _share(name, getattr(self, name), limit))
        power = self.full_rate_power
        if power is not None and not 0 < as_number(power) < math.inf:
            raise SettingError(f"full rate power {repr(power)[:40]}: expected a finite number above 0, or None")
        for name, or_none in (("nesterov", False), ("flip", True), ("standardise", True), ("second_chance", False)):
            value = getattr(self, name)
            if not isinstance(value, bool) and not (or_none and value is None):
                expected = "True, False or None" if or_none else "True or False"
                raise SettingError(f"{name.replace('_', ' ')} {repr(value)[:40]}: expected {expected}")
        if self.nesterov and not self.momentum:
            raise SettingError("nesterov without momentum: expected a momentum above 0, such as 0.9")
        if self.schedule not in SCHEDULES:
            raise SettingError(f"no schedule named {self.schedule!r}: {nearest(str(self.schedule), SCHEDULES)}")
        if self.precision not in PRECISIONS:
            raise SettingError(f"precision {repr(self.precision)[:40]}: expected one of {', '.join(PRECISIONS)}")
        self._check_optimizer()
        rate = self.learning_rate
        if rate is None and isinstance(self.optimizer, str):
            rate = RATES[self.optimizer]
        object.__setattr__(self, "learning_rate", None if rate is None else _learning_rate(rate))
        self._check_loss()
        if self.transform is not None and not callable(self.transform):
            raise SettingError(f"transform {repr(self.transform)[:40]}: expected a function of a batch, or None")
        for name, most, shown in (
            ("clip_norm", math.inf, "a finite number above 0, or None"),
            ("early_stopping", _MOST_HELD_OUT, f"a share above 0 and up to {_MOST_HELD_OUT}, or None"),
        ):
            value = getattr(self, name)
            if value is not None:
                number = as_number(value)
                if not (0 < number <= most and math.isfinite(number)):
                    raise SettingError(f"{name.replace('_', ' ')} {repr(value)[:40]}: expected {shown}")
                object.__setattr__(self, name, number)

    def _check_optimizer(self) -> None:
        optimizer = self.optimizer
        if isinstance(optimizer, str):
            if optimizer not in OPTIMIZERS:
                raise SettingError(f"no optimizer named {optimizer[:40]!r}: {nearest(optimizer, OPTIMIZERS)}")
        elif not callable(optimizer):
            raise SettingError(
                f"optimizer {repr(optimizer)[:40]}: expected 'sgd', 'adamw', or a function of the parameters that "
                "returns a torch.optim.Optimizer"
            )
        if optimizer != "sgd" and self.momentum:
            raise SettingError(
                f"momentum {self.momentum:g} with {self._described('optimizer')}: expected 0, as it is a setting of sgd"
            )
        if not isinstance(optimizer, str) and self.weight_decay:
            raise SettingError(
                f"weight decay {self.weight_decay:g} with {self._described('optimizer')}: expected 0; set it in that "
                "function"
            )

    def _check_loss(self) -> None:
        weights = self.class_weights
        if isinstance(weights, str) or weights is None:
            if weights not in ("balanced", None):
                raise SettingError(f"class weights {weights[:40]!r}: expected 'balanced', or one number for each class")
        else:
            try:  # of a dictionary, the order of its keys decides nothing
                numbers = tuple(as_number(_plain(each)) for each in (() if isinstance(weights, Mapping) else weights))
            except TypeError:
                numbers = ()
            if not numbers or not all(0 < number < math.inf for number in numbers):
                raise SettingError(
                    f"class weights {repr(weights)[:40]}: expected 'balanced', or one finite number above 0 for each "
                    "class"
                )
            object.__setattr__(self, "class_weights", numbers)
        if self.loss is None:
            return
        if not callable(self.loss):
            raise SettingError(
                f"loss {repr(self.loss)[:40]}: expected a function of logits and labels, or None for cross-entropy"
            )
        for name, shown in (("label_smoothing", f"{self.label_smoothing:g}"), ("class_weights", "given")):
            if getattr(self, name):
                raise SettingError(
                    f"{name.replace('_', ' ')} {shown} with {self._described('loss')}: expected none, as it is a "
                    "setting of cross-entropy"
                )

    def _described(self, name: str) -> str:
        """Return a setting with its value, for messages."""
        return f"{name} {self.recipe()[name]!r}"

    @classmethod
    def recorded(cls, stored: Mapping[str, Any]) -> dict[str, Any]:
        """Return the settings of a stored recipe; those that are newer than the record had no effect then.

        >>> settings = Recipe.recorded({"model": "mlp", "epochs": 8})
        >>> settings["standardise"], settings["optimizer"]
        (False, 'sgd')
        """
        return {name: stored.get(name, default) for name, default in cls().recipe().items()}

    def recipe(self) -> dict[str, Any]:
        """Return the settings by name, as stored in the record: of the user's own code only the name.

        >>> import math
        >>> settings = Recipe(loss=math.dist).recipe()
        >>> settings["loss"], settings["transform"], Recipe().recipe()["loss"]
        ('math:dist', None, 'cross-entropy')
        """
        return {field.name: _stored(field.name, getattr(self, field.name)) for field in fields(Recipe)}

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

        Of `steps`, the first `rising` = max(1, round(steps / 5)) rise to the rate in a straight line, both for the
        triangle and the cosine. Of the others, the triangle takes the share 1 - x of the rate and the cosine
        (1 + cos(pi x)) / 2, where x = (step + 1 - rising) / (steps + 1 - rising).

        >>> [Recipe(schedule="triangle", learning_rate=1).learning_rate_at(step, 10) for step in (0, 1, 2, 6, 9)]
        [0.5, 1.0, 0.888..., 0.444..., 0.111...]
        >>> [Recipe(schedule="cosine", learning_rate=1).learning_rate_at(step, 9) for step in (0, 1, 2, 5, 8)]
        [0.5, 1.0, 0.961..., 0.5..., 0.038...]
        """
        if self.schedule == "constant":
            return self.learning_rate
        rising = max(1, round(WARM_UP * steps))
        if self.schedule == "cosine" and step >= rising:
            x = (step + 1 - rising) / (steps + 1 - rising)
            return self.learning_rate * (1 + math.cos(math.pi * x)) / 2
        return self.learning_rate * min((step + 1) / rising, (steps - step) / (steps - rising + 1))

    def learning_rates(self, some: range, steps: int) -> NDArray[np.float32]:
        """Return the learning rates of some of `steps` steps, float32; see `learning_rate_at`.

        >>> Recipe(learning_rate=0.5).learning_rates(range(3), 10)
        array([0.5, 0.5, 0.5], dtype=float32)
        """
        if self.schedule == "constant":  # there may be tens of thousands of steps, of microseconds each
            return np.full(len(some), self.learning_rate, np.float32)
        return np.array([self.learning_rate_at(step, steps) for step in some], np.float32)


def settings_of(stored: Mapping[str, Any], own: Recipe) -> dict[str, Any]:
    """Return the settings of a stored recipe as arguments of a `Recipe`, with the user's own code from `own`.

    Code that `own` lacks is left out; see `missing_code`.

    >>> stored = Recipe(epochs=2, loss=math.dist).recipe()
    >>> settings = settings_of(stored, Recipe(epochs=7, loss=math.dist))
    >>> settings["epochs"], settings["loss"] is math.dist, settings_of(stored, Recipe())["loss"]
    (2, True, None)
    """
    settings = Recipe.recorded(stored)
    for name in _CODE:
        settings[name] = getattr(own, name) if _is_code(settings[name]) else settings[name]
    if settings["loss"] == CROSS_ENTROPY:
        settings["loss"] = None
    return settings


class MissingCode(NamedTuple):
    """Code of the user's own that a stored recipe used and a given recipe lacks.

    Args:
        setting: the setting that it is, such as `loss`.
        name: its name in the record.
        instead: what the given recipe has as this setting, as a record would have it.
    """

    setting: str
    name: str
    instead: str | None


def missing_code(stored: Mapping[str, Any], own: Recipe) -> MissingCode | None:
    """Return the first of the user's own code that a stored recipe used and a given recipe lacks; None if none.

    Code is recognised by its name alone; arguments are not compared. What was defined in a script may have been moved
    to a module.

    >>> missing_code(Recipe(loss=math.dist).recipe(), Recipe(loss=math.hypot))
    MissingCode(setting='loss', name='math:dist', instead='math:hypot')
    >>> missing_code(Recipe(loss=math.dist).recipe(), Recipe(loss=math.dist))
    """
    before, given = Recipe.recorded(stored), own.recipe()
    for name in _CODE:
        if _is_code(before[name]) and not _are_same(before[name], str(given[name])):
            return MissingCode(name, before[name], given[name])
    return None


def _is_code(stored: Any) -> bool:
    return isinstance(stored, str) and ":" in stored


def _are_same(one: str, other: str) -> bool:
    (module, _, name), (module_now, _, name_now) = one.partition(":"), other.partition(":")
    return name == name_now and (module == module_now or "__main__" in (module, module_now))


def _stored(name: str, value: Any) -> Any:
    """Return the value of a setting as a record has it."""
    if name == "loss" and value is None:
        return CROSS_ENTROPY
    if isinstance(value, tuple):
        return list(value)
    return _name_of(value) if callable(value) else value


def _name_of(code: Any) -> str:
    """Return module:name of a function or class, or of the class of another callable object."""
    while isinstance(code, functools.partial):
        code = code.func
    named = code if hasattr(code, "__qualname__") else type(code)
    return f"{getattr(named, '__module__', None) or 'builtins'}:{named.__qualname__}"


def _plain(number: Any) -> Any:
    """Return the number in a tensor or an array without dimensions, as iterating over one yields them."""
    return number.item() if getattr(number, "ndim", None) == 0 else number


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
