"""Confidence against accuracy, in bins: the calibration error, what chance adds to it, and what perfection would show.

Calibration is that of the top label: of the pictures to which a model gives a confidence of 80 %, 80 % should be right.
The gaps between confidence and accuracy are taken in bins of equally many pictures and averaged as squares, because for
squares the bias that a finite test set brings is known and can be taken off (R. Roelofs and others 2022,
arXiv:2012.08668; A. Kumar, P. Liang, T. Ma 2019, arXiv:1909.10155).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from modelzero.statistics.intervals import accuracy_interval

# Guo and others (2017) and Roelofs and others (2022) use 15; with fewer pictures than these in a bin it says little.
BINS = 15
_LEAST_IN_BIN = 20


@dataclass(frozen=True)
class Bin:
    """Pictures to which a model gives about the same confidence. All but the count are fractions.

    Args:
        count: how many pictures.
        confidence: their mean confidence.
        accuracy: the share of them that is right.
        low: lower end of the 95 % interval of that share.
        high: its upper end.
    """

    count: int
    confidence: float
    accuracy: float
    low: float
    high: float


def reliability(confidence: NDArray[np.float64], right: NDArray[np.bool_], bins: int = BINS) -> list[Bin]:
    """Put pictures of like confidence into bins of equally many, as far as equal confidences allow.

    Pictures with one confidence are never divided. Small sets get fewer bins, with 20 pictures in each.

    >>> [each.count for each in reliability(np.linspace(0.5, 1, 100), np.ones(100, bool))]
    [20, 20, 20, 20, 20]
    """
    order, starts = _binned(confidence, bins)
    counts = np.diff(np.append(starts, len(order)))
    correct = np.add.reduceat(right[order].astype(np.int64), starts)
    sums = np.add.reduceat(confidence[order], starts)
    return [
        Bin(int(n), float(total / n), float(k / n), *accuracy_interval(int(k), int(n)))
        for n, total, k in zip(counts, sums, correct, strict=True)
    ]


def calibration_error(bins: list[Bin]) -> float:
    """Return the root of the mean squared gap between confidence and accuracy, each bin weighted by its pictures.

    >>> calibration_error([Bin(10, 0.9, 0.8, 0.4, 1.0), Bin(30, 0.5, 0.5, 0.3, 0.7)])
    0.05
    """
    weight, gap, _ = _columns(bins)
    return round(math.sqrt(float(weight @ np.square(gap))), 15)


def debiased_square(bins: list[Bin]) -> float:
    """Return the mean squared gap without its bias: the variance that chance gives to the accuracy of each bin.

    For a perfectly calibrated model it is 0 on average where the confidences of a bin are equal, and a little less
    where they differ: pictures that are right with probabilities p vary by p (1 - p) each, on average
    less than `a (1 - a)`.

    >>> round(debiased_square([Bin(11, 0.9, 0.5, 0.2, 0.8)]), 4)  # 0.4 ** 2 - 0.5 * 0.5 / 10
    0.135
    """
    weight, gap, chance = _columns(bins)
    return float(weight @ (np.square(gap) - chance))


def perfect_calibration(
    confidence: NDArray[np.float64], *, bins: int = BINS, repeats: int = 500, seed: int = 0
) -> tuple[float, float, float, float]:
    """Simulate what calibration errors a perfectly calibrated model with these confidences would show.

    Each picture is right with the probability that its confidence says, `repeats` times.

    >>> mean, low, high, noise = perfect_calibration(np.full(1000, 0.8))
    >>> 0 <= low < mean < high < 0.05, 0 < noise < 0.05
    (True, True)

    Returns:
        The mean ECE, the ends of the range that holds 95 % of them, and what 95 % of the debiased ones stay below.
    """
    order, starts = _binned(confidence, bins)
    ordered = confidence[order]
    counts = np.diff(np.append(starts, len(order)))
    rng = np.random.default_rng(seed)
    accuracy = np.empty((repeats, len(starts)))
    for number, (start, count) in enumerate(zip(starts, counts, strict=True)):
        own = ordered[start : start + count]
        if (own == own[0]).all():
            accuracy[:, number] = rng.binomial(count, min(1.0, own[0]), repeats) / count
        else:
            accuracy[:, number] = (rng.random((repeats, count), np.float32) < own.astype(np.float32)).mean(axis=1)
    weight = counts / counts.sum()
    squares = np.square(accuracy - np.add.reduceat(ordered, starts) / counts)
    chance = accuracy * (1 - accuracy) / np.maximum(counts - 1, 1)
    plain = np.sqrt(squares @ weight)
    debiased = np.sqrt(np.maximum(0.0, (squares - chance) @ weight))
    low, high = np.quantile(plain, [0.025, 0.975])
    return float(plain.mean()), float(low), float(high), float(np.quantile(debiased, 0.95))


def _binned(confidence: NDArray[np.float64], bins: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the order from the least confident to the most, and where in it the bins start."""
    order = np.argsort(confidence, kind="stable")
    ordered = confidence[order]
    wanted = max(1, min(bins, len(order) // _LEAST_IN_BIN))
    edges = ordered[np.arange(1, wanted) * len(order) // wanted]
    return order, np.unique(np.append(0, np.searchsorted(ordered, edges, side="left")))


def _columns(bins: list[Bin]) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return each bin's weight, its gap, and the variance that chance gives to its accuracy."""
    counts = np.array([each.count for each in bins])
    accuracy = np.array([each.accuracy for each in bins])
    gap = accuracy - np.array([each.confidence for each in bins])
    return counts / counts.sum(), gap, accuracy * (1 - accuracy) / np.maximum(counts - 1, 1)
