"""Divide a time budget: the order of the trainings, and what still fits."""

from __future__ import annotations

import heapq
import math
import re
from collections.abc import Iterable, Mapping

from modelzero.errors import SettingError, as_number

# A prediction from a trial is multiplied by the first, one from trainings of the same rung by the second.
_CAUTION, _CAUTION_SEEN = 1.15, 1.05
# Trainings below this share of the budget come first in each round.
_CHEAP = 0.01
# Trials of trainings below these seconds say little about how far predictions are off.
_TELLING_SECONDS = 1.0
_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600}


def parse_budget(budget: str | float | None, name: str = "budget") -> float | None:
    """Read a time such as 30s, 5m, 1h or a number of seconds; None means no limit.

    >>> parse_budget("1.5m"), parse_budget(20), parse_budget(None)
    (90.0, 20.0, None)

    Raises:
        SettingError: not a time, or not above 0.
    """
    if budget is None:
        return None
    seconds = math.nan
    if isinstance(budget, str):
        match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([smh]?)\s*", budget)
        if match:
            seconds = float(match[1]) * _UNITS[match[2]]
    else:
        seconds = as_number(budget)
    if not 0 < seconds < math.inf:
        raise SettingError(f"{name} {str(budget)[:40]!r}: expected a time above 0, such as 60s, 5m or 1h")
    return seconds


class Forecast:
    """Predicted times of the trainings of a climb, corrected as trainings end.

    >>> forecast = Forecast({"mlp": 10.0, "tinyvgg": 100.0})
    >>> round(forecast.seconds("tinyvgg"))
    115
    >>> forecast.add("mlp", 20.0)
    >>> round(forecast.seconds("mlp")), round(forecast.seconds("tinyvgg"))
    (21, 230)

    Args:
        tried: the seconds of one training of each rung, training and evaluation, as predicted by a trial.
    """

    def __init__(self, tried: Mapping[str, float] | None = None) -> None:
        self.tried: dict[str, float] = dict(tried or {})
        self._seen: dict[str, list[float]] = {}

    def add(self, rung: str, seconds: float) -> None:
        """Note how long a training took."""
        self._seen.setdefault(rung, []).append(seconds)

    def knows(self, rung: str) -> bool:
        """Return whether a trial or a training of a rung has been timed."""
        return rung in self.tried or rung in self._seen

    def seconds(self, rung: str) -> float:
        """Predict, with caution, how long the next training of a rung takes; 0 if nothing is known about it.

        From its own trainings, otherwise from its trial, corrected by how far the trials of the other rungs were off
        (the median; never downwards, because trainings run in parallel and other programs may begin).
        """
        import statistics  # imported here: it takes 10 ms, and every --help imports this module

        if rung in self._seen:
            return _CAUTION_SEEN * statistics.mean(self._seen[rung])
        if rung not in self.tried:
            return 0.0
        off = [
            statistics.mean(seconds) / self.tried[other]
            for other, seconds in self._seen.items()
            if self.tried.get(other, 0.0) >= _TELLING_SECONDS
        ]
        return _CAUTION * max(1.0, statistics.median(off) if off else 1.0) * self.tried[rung]


def in_rounds(counts: Mapping[str, int], seconds: Mapping[str, float], budget: float) -> list[tuple[str, int]]:
    """Return the trainings (rung, number) in the order in which a budget is spent on them.

    One training of every rung comes first, then a second one of every rung, and so on. Within a round, trainings that
    take less than a hundredth of the budget come first, the simplest first; then the others, the longest first. The
    order does not depend on any result.

    >>> in_rounds({"softmax": 2, "tinyvgg": 1, "convnet": 2}, {"tinyvgg": 90, "convnet": 200}, budget=600)
    [('softmax', 0), ('convnet', 0), ('tinyvgg', 0), ('softmax', 1), ('convnet', 1)]

    Args:
        counts: wanted trainings of each rung, in ladder order.
        seconds: predicted seconds of one of them; unknown means cheap.
        budget: total seconds.
    """
    dear = [name for name in counts if name in seconds and seconds[name] >= _CHEAP * budget]
    names = [name for name in counts if name not in dear]
    names += sorted(dear, key=lambda name: -seconds[name])  # equal ones stay in ladder order
    return [(name, k) for k in range(max(counts.values(), default=0)) for name in names if k < counts[name]]


def duration(cell_seconds: Iterable[float], workers: int) -> float:
    """Return when the last training ends if each one goes to the first free worker.

    >>> duration([1, 1, 4, 4, 4], workers=2)
    9.0
    """
    ends = [0.0] * workers
    for cost in cell_seconds:
        heapq.heapreplace(ends, ends[0] + cost)
    return max(ends)
