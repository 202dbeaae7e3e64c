"""Scales from values to pixels, and round values for the ticks of a chart."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

LINE = 14  # pixels of a line of text
_BETWEEN_TIMES = 40  # minimum pixels between two times
_ACCURACIES = (0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.92, 0.94, 0.95, 0.96, 0.97, 0.98, 0.99,
               0.995, 0.998, 0.999, 0.9995, 0.9999)  # fmt: skip


@dataclass(frozen=True)
class Tick:
    """A grid line at a position in pixels, with its label."""

    at: float
    text: str


def number(value: Any) -> float:
    """Return a JSON value as a float: NaN and infinity may be strings, and None gives NaN."""
    return float(value) if value is not None else math.nan


def scale(low: float, high: float, first: float, last: float) -> Callable[[float], float]:
    """Return the function that maps values from `low` to `high` to pixels from `first` to `last`."""
    span = high - low or 1.0
    return lambda value: first + (value - low) / span * (last - first)


def room(low: float, high: float, below: float, above: float) -> tuple[float, float]:
    """Widen a range, so that nothing lies on its edge; an empty range gets a width."""
    span = high - low or abs(high) * 0.1 or 1.0
    return low - below * span, high + above * span


def ticks(low: float, high: float, about: int) -> list[float]:
    """Choose round values within a range.

    >>> ticks(0.31, 0.92, 4)
    [0.4, 0.6, 0.8]
    """
    raw = (high - low) / about
    power = 10 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= raw)
    return [round(k * step, 10) for k in range(math.ceil(low / step), math.floor(high / step) + 1)]


def whole_ticks(last: int) -> list[int]:
    """Choose about six epochs from the first to the last.

    >>> whole_ticks(3), whole_ticks(40)
    ([1, 2, 3], [1, 10, 20, 30, 40])
    """
    step = next(k for k in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, last) if last / k <= 6 or k == last)
    return [1, *range(step if step > 1 else 2, last + 1, step)]


def tick_texts(values: list[float]) -> list[str]:
    """Format round values with just enough decimals to distinguish them.

    >>> tick_texts([0.5, 1.0]), tick_texts([0.301, 0.302]), tick_texts([1000, 2000])
    (['0.5', '1.0'], ['0.301', '0.302'], ['1,000', '2,000'])
    """
    step = min((b - a for a, b in itertools.pairwise(values)), default=0.0)
    decimals = max(0, -math.floor(math.log10(step) + 1e-9)) if step > 0 else 2
    return [f"{value:,.{decimals}f}" for value in values]


def time_ticks(x: Callable[[float], float], left: float, right: float) -> list[Tick]:
    """Choose powers of ten seconds between two borders; if they are few, also values in between."""
    ticks: list[Tick] = []
    for digits in ((1,), (1, 3), (1, 2, 5), range(1, 10), [k / 10 for k in range(10, 100)]):
        places = [(x(power + math.log10(digit)), digit * 10.0**power) for power in range(-4, 8) for digit in digits]
        ticks = []
        for at, seconds in places:
            if left <= at <= right and not (ticks and at - ticks[-1].at < _BETWEEN_TIMES):
                ticks.append(Tick(at, f"{seconds:,.0f}" if seconds >= 1000 else f"{seconds:g}"))
        if len(ticks) > (2 if len(digits) == 1 else 1):
            break
    return ticks


def accuracy_ticks(y: Callable[[float], float], top: float, bottom: float) -> list[Tick]:
    """Choose round accuracies from the best down, at least two lines of text apart."""
    within = [(y(accuracy), accuracy) for accuracy in reversed(_ACCURACIES)]
    within = [(at, accuracy) for at, accuracy in within if top <= at <= bottom]
    if len(within) < 2:
        fine = [k / 1000 for k in range(1000)]
        within = sorted((y(accuracy), accuracy) for accuracy in fine if top <= y(accuracy) <= bottom)
    kept: list[Tick] = []
    for at, accuracy in within:
        if not kept or at - kept[-1].at >= 2 * LINE:
            kept.append(Tick(at, f"{100 * accuracy:g} %"))
    return kept
