"""The settings of one training: default, help and check in one place."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from modelzero.data.options import option
from modelzero.errors import SettingError, check_count, check_seed
from modelzero.models.defaults import HIDDEN_UNITS, PRECISIONS

DEVICES = ("auto", "cpu", "cuda", "mps")
ENGINES = ("auto", "torch", "fused")
_MOST_THREADS = 1024
# The settings that replace those of the rung's recipe.
_OF_THE_RECIPE = (
    "epochs", "batch_size", "learning_rate", "optimizer", "schedule", "loss", "class_weights", "transform", "clip_norm",
    "early_stopping",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class TrainOptions:
    """The settings of one training. None for a setting of the recipe means that of the rung.

    >>> TrainOptions(epochs=2).recipe()
    {'least_steps': 1, 'second_chance': False, 'epochs': 2}

    Raises:
        SettingError: a value outside its range.
    """

    epochs: int | None = option(None, "Passes over the training split.  [default: from the model's recipe]")
    batch_size: int | None = option(None, "Images per step.  [default: from the model's recipe]")
    learning_rate: float | None = option(None, "Step size.  [default: from the model's recipe]")
    optimizer: str | Callable[[list[Any]], Any] | None = option(
        None, "sgd or adamw.  [default: from the model's recipe]", kind=str
    )
    schedule: str | None = option(
        None, "Learning rate of each step: constant, triangle or cosine.  [default: from the model's recipe]"
    )
    loss: Callable[[Any, Any], Any] | None = None  # code: not an option of the command line
    class_weights: str | Sequence[float] | None = option(
        None, "balanced: images of rare classes count more.  [default: from the model's recipe]", kind=str
    )
    transform: Callable[[Any], Any] | None = None  # likewise
    clip_norm: float | None = option(None, "Largest norm of all gradients together.  [default: no limit]")
    early_stopping: float | None = option(
        None, "Hold out this share of the training split, and stop when the loss on it no longer falls.  [default: no]"
    )
    seed: int = option(42, "Seed for weights and batch order.")
    hidden_units: int = option(HIDDEN_UNITS, "Width of the chapter's models.")
    precision: str | None = option(
        None,
        "fp32; bf16 for steps with bfloat16; auto: bf16 where it is much faster.  [default: from the model's recipe]",
    )
    device: str = option("auto", "auto, cpu, cuda or mps; auto picks the faster one in a short trial.")
    threads: int | None = option(None, "CPU threads.  [default: 1 for small models, else one per core]", kind=int)
    engine: str = option(
        "auto", "torch: the plain loop; fused: one compiled kernel for linear stacks; auto: fused if possible."
    )

    def __post_init__(self) -> None:
        object.__setattr__(self, "seed", check_seed(self.seed))
        object.__setattr__(self, "hidden_units", check_count("hidden_units", self.hidden_units))
        if self.threads is not None:
            object.__setattr__(self, "threads", check_count("threads", self.threads, _MOST_THREADS))
        for name, known in (("device", DEVICES), ("engine", ENGINES), ("precision", PRECISIONS)):
            if getattr(self, name) not in known and not (name == "precision" and self.precision is None):
                raise SettingError(f"{name} {getattr(self, name)!r}: expected one of {', '.join(known)}")

    def given(self) -> dict[str, Any]:
        """Return the settings of the recipe that are given, by name."""
        return {name: getattr(self, name) for name in _OF_THE_RECIPE if getattr(self, name) is not None}

    def recipe(self) -> dict[str, Any]:
        """Return the settings that replace those of the rung's recipe: those that are given, and what they imply.

        Any of them switches off `second_chance`: this is the training that was asked for, whatever comes of it.
        `epochs` also switches off `least_steps`; `learning_rate` and `optimizer` switch off `full_rate_power`; an
        optimizer other than `sgd` has no `momentum`, and one of the user's own sets its `weight_decay` itself; a loss
        of the user's own has neither `class_weights` nor `label_smoothing`.

        >>> TrainOptions(optimizer="adamw").recipe()
        {'full_rate_power': None, 'momentum': 0.0, 'nesterov': False, 'second_chance': False, 'optimizer': 'adamw'}
        """
        given = self.given()
        implied: dict[str, Any] = {}
        if "epochs" in given:
            implied["least_steps"] = 1
        if "learning_rate" in given or "optimizer" in given:
            implied["full_rate_power"] = None
        if self.optimizer not in (None, "sgd"):
            implied |= {"momentum": 0.0, "nesterov": False}
        if self.optimizer is not None and not isinstance(self.optimizer, str):
            implied["weight_decay"] = 0.0
        if self.loss is not None:
            implied |= {"class_weights": None, "label_smoothing": 0.0}
        if given:
            implied["second_chance"] = False
        return {**implied, **given}
