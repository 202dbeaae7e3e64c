"""Evaluate the accounts of a ladder's rungs: comparisons, which rung is worth it, and at what price."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

from modelzero.results.account import Account
from modelzero.results.comparison import Comparison, compare_accounts
from modelzero.results.leaks import Cleaned, keep_unleaked, without_leaks
from modelzero.runs.record import LadderRecord
from modelzero.statistics.family import furthest_behind

# A rung is called nearly as good if it is shown to be at most this far behind the best one.
NEARLY = 0.01


@dataclass(frozen=True)
class Price:
    """What the rung that is worth it gains over the best cheaper one, and what that costs.

    Args:
        against: the cheaper rung.
        gain: gain in accuracy, a fraction.
        gain_low: lower end of its adjusted interval.
        gain_high: its upper end.
        times_the_training_time: training time relative to the cheaper rung; None if that took no time.
        times_the_prediction_time: prediction time relative to the cheaper rung.
    """

    against: str
    gain: float
    gain_low: float
    gain_high: float
    times_the_training_time: float | None
    times_the_prediction_time: float


@dataclass(frozen=True, eq=False)
class Findings:
    """The findings of a ladder, computed on demand from its record and accounts.

    Args:
        record: the record of the ladder.
        rungs: the account of each rung that has a finished run, in ladder order.
    """

    record: LadderRecord
    rungs: Sequence[Account]

    def rung(self, name: str) -> Account:
        """Return the account of a rung by name."""
        return next(rung for rung in self.rungs if rung.name == name)

    @cached_property
    def comparisons(self) -> list[Comparison]:
        """Each rung but the first against the best cheaper one below it, as one family."""
        return self._compared(self.rungs)

    def _compared(self, rungs: Sequence[Account]) -> list[Comparison]:
        return compare_accounts(rungs, margin=self.record.margin, size=len(self.record.family))

    @property
    def worth_it(self) -> str | None:
        """The last rung whose gain over the best cheaper one is `better`; None if there is none."""
        better = [comparison.rung for comparison in self.comparisons if comparison.verdict == "better"]
        return better[-1] if better else None

    @property
    def price(self) -> Price | None:
        """What `worth_it` gains over the best cheaper rung, and how much more time it takes."""
        for comparison in self.comparisons:
            if comparison.rung == self.worth_it and comparison.verdict == "better":
                rung, against = self.rung(comparison.rung), self.rung(str(comparison.against))
                return Price(
                    against=against.name,
                    gain=comparison.difference,
                    gain_low=comparison.low,
                    gain_high=comparison.high,
                    times_the_training_time=rung.train_seconds / against.train_seconds
                    if against.train_seconds
                    else None,
                    times_the_prediction_time=rung.test_seconds / against.test_seconds,
                )
        return None

    @property
    def best(self) -> Account | None:
        """The most accurate rung among those whose trainings all learned, or among all if there is none."""
        usable = [rung for rung in self.rungs if rung.all_learned] or self.rungs
        return max(usable, key=lambda rung: rung.accuracy, default=None)

    @cached_property
    def behind(self) -> dict[str, float]:
        """Upper bound of how far each rung is behind the best one; all bounds hold jointly with 95 % confidence.

        Rungs with trainings that did not learn have no bound.
        """
        usable = [rung for rung in self.rungs if rung.all_learned]
        bounds = furthest_behind(
            [rung.right for rung in usable],
            [not rung.random for rung in usable],
            groups=usable[0].groups if usable else None,
        )
        return {rung.name: bound for rung, bound in zip(usable, bounds, strict=True)}

    @property
    def nearly_as_good(self) -> str | None:
        """The rung with the least training time that is shown to be at most 1 point behind the best one.

        The best one itself if there is no other.
        """
        if self.best is None:
            return None
        near = [rung for rung in self.rungs if self.behind.get(rung.name, 1.0) <= NEARLY]
        return min([*near, self.best], key=lambda rung: rung.train_seconds).name

    def diverged(self, name: str) -> list[dict[str, Any]]:
        """List the trainings of a rung whose loss became NaN or infinite, so that they have no predictions."""
        return [
            {"seed": cell.seed, "run": None, **cell.not_learned}
            for cell in self.record.cells_of(name)
            if cell.status == "failed" and cell.not_learned
        ]

    @property
    def all_diverged(self) -> dict[str, list[dict[str, Any]]]:
        """The diverged trainings of each rung that has no finished training."""
        known = {rung.name for rung in self.rungs}
        diverged = {rung.name: self.diverged(rung.name) for rung in self.record.rungs}
        return {name: trainings for name, trainings in diverged.items() if trainings and name not in known}

    @property
    def leaked(self) -> Sequence[int]:
        """The positions of the test images that are also among the training images, as far as known."""
        return self.record.leaks.positions if self.record.leaks else ()

    @cached_property
    def without_leaks(self) -> list[Cleaned]:
        """The accuracy of each rung with and without the leaked images; empty if there are none."""
        return without_leaks(self.rungs, self.leaked) if self.leaked else []

    @cached_property
    def comparisons_without_leaks(self) -> list[Comparison]:
        """The comparisons without the leaked images; empty if there are none, or if no image is left."""
        kept = keep_unleaked(self.rungs, self.leaked) if self.leaked else []
        return self._compared(kept) if kept else []

    @property
    def looks(self) -> int:
        """How often such rungs have been compared with overlapping but different seeds; 1 for the first time."""
        return self.record.looks or 1

    def leaks_as_dict(self) -> Mapping[str, Any] | None:
        """Return the leaks as `--json` prints them; None if not searched for."""
        if self.record.leaks is None:
            return None
        return {
            **asdict(self.record.leaks),
            "rungs": [asdict(each) for each in self.without_leaks],
            "comparisons": [asdict(each) for each in self.comparisons_without_leaks],
        }
