"""Divide a time budget: from the predicted seconds of each rung's cells to the seeds that each rung gets."""

from __future__ import annotations

import heapq
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from modelzero.errors import SettingError, as_number

# Seeds that every rung gets before any gets more; fewer show too little about a method.
FIRST_SEEDS = 3
# Predictions are multiplied by this, because cells run in parallel and other programs may use the machine.
_CAUTION = 1.15
_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600}


@dataclass(frozen=True)
class Planned:
    """The share of a rung in a budget.

    Args:
        seeds: number of trainings; 0 for a rung that is left out.
        cell_seconds: predicted time of one of them, training and evaluation.
    """

    seeds: int
    cell_seconds: float


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


def plan(
    cell_seconds: Sequence[float], wanted: Sequence[int], seconds: float, workers: int, first: int = FIRST_SEEDS
) -> list[Planned]:
    """Choose how many seeds each rung gets so that all cells end in time.

    In ladder order each rung gets `first` seeds if they still fit, otherwise none; then one more in each round.

    >>> [rung.seeds for rung in plan([1, 10, 2], wanted=[5, 5, 5], seconds=20, workers=2)]
    [5, 0, 5]
    >>> [rung.seeds for rung in plan([1, 4, 2], wanted=[5, 5, 1], seconds=13, workers=2)]
    [5, 3, 1]

    Args:
        cell_seconds: predicted time of one cell of each rung.
        wanted: number of cells of each rung without a limit.
        seconds: time from now to the end.
        workers: number of cells that run in parallel.
        first: seeds that every rung gets before any gets more.
    """
    seeds = [0] * len(wanted)
    for goal in range(min(first, max(wanted, default=0)), max(wanted, default=0) + 1):
        for rung, most in enumerate(wanted):
            if goal > first and seeds[rung] == 0:
                continue
            more = seeds.copy()
            more[rung] = min(goal, most)
            if duration(cell_seconds, more, workers) <= seconds:
                seeds = more
    return [Planned(number, cost) for number, cost in zip(seeds, cell_seconds, strict=True)]


def duration(cell_seconds: Sequence[float], seeds: Sequence[int], workers: int) -> float:
    """Return when the last cell ends if each cell, in ladder order, goes to the first free worker.

    >>> round(duration([1, 4], [2, 3], workers=2) / 1.15, 2)
    9.0
    """
    ends = [0.0] * workers
    for cost, number in zip(cell_seconds, seeds, strict=True):
        for _ in range(number):
            heapq.heapreplace(ends, ends[0] + _CAUTION * cost)
    return max(ends)
