"""The settings of one training that are not part of a rung's recipe: default, help and check in one place."""

from __future__ import annotations

from dataclasses import dataclass

from modelzero.data.options import option
from modelzero.errors import SettingError, check_count, check_seed
from modelzero.models.defaults import HIDDEN_UNITS

DEVICES = ("auto", "cpu", "cuda", "mps")
ENGINES = ("auto", "torch", "fused")
_MOST_THREADS = 1024


@dataclass(frozen=True, kw_only=True)
class TrainOptions:
    """The settings of one training. None for epochs, batch size or learning rate means the recipe of the rung.

    >>> TrainOptions(epochs=2).recipe()
    {'epochs': 2, 'least_steps': 1, 'second_chance': False}

    Raises:
        SettingError: a value outside its range.
    """

    epochs: int | None = option(None, "Passes over the training split.  [default: from the model's recipe]")
    batch_size: int | None = option(None, "Images per step.  [default: from the model's recipe]")
    learning_rate: float | None = option(None, "Step size.  [default: from the model's recipe]")
    seed: int = option(42, "Seed for weights and batch order.")
    hidden_units: int = option(HIDDEN_UNITS, "Width of the chapter's models.")
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
        for name, known in (("device", DEVICES), ("engine", ENGINES)):
            if getattr(self, name) not in known:
                raise SettingError(f"{name} {getattr(self, name)!r}: expected one of {', '.join(known)}")

    def recipe(self) -> dict[str, int | float | None]:
        """Return the settings that replace those of the rung's recipe."""
        names = ("epochs", "batch_size", "learning_rate")
        given = {name: getattr(self, name) for name in names if getattr(self, name) is not None}
        if "epochs" in given:
            given["least_steps"] = 1
        if "learning_rate" in given:
            given["full_rate_power"] = None
        if given:  # the training that was asked for, whatever comes of it
            given["second_chance"] = False
        return given
