"""The settings of a climb: default, help and check in one place."""

from __future__ import annotations

from dataclasses import dataclass

from modelzero.climbing.budget import parse_budget
from modelzero.data.options import option
from modelzero.errors import SettingError, check_count, check_margin, check_seed
from modelzero.models.defaults import PRECISIONS
from modelzero.statistics.margin import MARGIN
from modelzero.training.options import DEVICES, TrainOptions

_MOST_SEEDS, _MOST_WORKERS = 10_000, 10_000


@dataclass(frozen=True, kw_only=True)
class ClimbOptions:
    """The settings of a climb.

    >>> ClimbOptions(seeds=2).all_seeds(), ClimbOptions(budget="1m").seconds
    ([42, 43], 60.0)

    Raises:
        SettingError: a value outside its range.
    """

    seeds: int = option(5, "Seeds per rung; one if nothing is random, two if the first two give identical predictions.")
    budget: str | float | None = option(
        None, "Total time, such as 60s or 5m; rungs that do not fit are listed and not trained.", kind=str
    )
    workers: int | None = option(None, "Parallel trainings.  [default: one per core]", kind=int)
    seed: int = option(TrainOptions.seed, "The first seed; the others follow it.")
    device: str = option("cpu", "cpu, cuda or mps, the same for every training.")
    precision: str = option(
        "auto", "auto, fp32 or bf16, for rungs whose recipe leaves it open; auto: bf16 where it is much faster."
    )
    margin: float = option(MARGIN, "Differences below this fraction count as none.")
    audit: bool | None = option(
        None,
        "Search for test images that nearly equal a training image.  [default: if that takes only seconds]",
        flag="--audit/--no-audit",
    )

    def __post_init__(self) -> None:
        object.__setattr__(self, "seeds", check_count("seeds", self.seeds, _MOST_SEEDS))
        object.__setattr__(self, "seed", check_seed(self.seed))
        object.__setattr__(self, "margin", check_margin(self.margin))
        _ = self.seconds
        if self.workers is not None:
            object.__setattr__(self, "workers", check_count("workers", self.workers, _MOST_WORKERS))
        if self.precision not in PRECISIONS:
            raise SettingError(f"precision {self.precision!r}: expected one of {', '.join(PRECISIONS)}")
        if self.device not in DEVICES[1:]:
            raise SettingError(
                f"device {self.device!r}: expected one of {', '.join(DEVICES[1:])}, the same for every training"
            )

    @property
    def seconds(self) -> float | None:
        """The budget in seconds; None if unlimited."""
        return parse_budget(self.budget)

    def all_seeds(self) -> list[int]:
        """Return the seeds in the order of use."""
        return [self.seed + k for k in range(self.seeds)]
