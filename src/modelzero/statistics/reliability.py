"""Compare confidence and accuracy in bins: the calibration error, its part due to chance, and its perfect value.

Calibration is that of the top label: of the images to which a model gives a confidence of 80 %, 80 % should be right.
The gaps between confidence and accuracy are taken in bins of equally many images and averaged as squares, because for
squares the bias of a finite test set is known and can be subtracted (R. Roelofs and others 2022,
arXiv:2012.08668; A. Kumar, P. Liang, T. Ma 2019, arXiv:1909.10155). The error is the root of that mean: larger than the
mean absolute gap that is often called ECE, unless all gaps are equal.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from modelzero.statistics.accuracy import mean_accuracy
from modelzero.statistics.units import Units

# Guo and others (2017) and Roelofs and others (2022) use 15 bins; a bin with fewer images than the second says little.
BINS = 15
_LEAST_IN_BIN = 20


@dataclass(frozen=True)
class Bin:
    """Images to which a model gives about the same confidence. All but the count are fractions.

    Args:
        count: how many images.
        confidence: their mean confidence.
        accuracy: the fraction of them that is right.
        low: lower end of the 95 % interval of that fraction.
        high: its upper end.
        chance: the variance of that fraction on new images, by groups if there are groups.
    """

    count: int
    confidence: float
    accuracy: float
    low: float
    high: float
    chance: float


def reliability(
    confidence: NDArray[np.float64], right: NDArray[np.bool_], bins: int = BINS, *, groups: ArrayLike | None = None
) -> list[Bin]:
    """Put images of similar confidence into bins of equal size, as far as equal confidences allow.

    Images with the same confidence stay together. Small datasets get fewer bins, with 20 images in each.

    >>> [each.count for each in reliability(np.linspace(0.5, 1, 100), np.ones(100, bool))]
    [20, 20, 20, 20, 20]

    Args:
        confidence: in the predicted class, [n].
        right: whether it is right, [n].
        bins: how many at most.
        groups: [n], what each image belongs to; None where the images are independent.
    """
    order, starts = _binned(confidence, bins)
    groups = None if groups is None else np.asarray(groups)
    made = []
    for places in np.split(order, starts[1:]):
        of_bin = None if groups is None else groups[places]
        units, hits = Units.of(len(places), of_bin), right[places]
        accuracy = mean_accuracy(hits[None], groups=of_bin)
        chance = units.variance_of_mean(units.sums(hits))
        made.append(
            Bin(len(places), float(confidence[places].mean()), accuracy.mean, accuracy.low, accuracy.high, chance)
        )
    return made


def calibration_error(bins: list[Bin]) -> float:
    """Return the root of the mean squared gap between confidence and accuracy, each bin weighted by its images.

    >>> calibration_error([Bin(10, 0.9, 0.8, 0.4, 1.0, 0.02), Bin(30, 0.5, 0.5, 0.3, 0.7, 0.01)])
    0.05
    """
    weight, gap, _ = _columns(bins)
    return round(math.sqrt(float(weight @ np.square(gap))), 15)


def debiased_square(bins: list[Bin]) -> float:
    """Return the mean squared gap without its bias: the variance that chance gives to the accuracy of each bin.

    For a perfectly calibrated model it is 0 on average if the confidences of a bin are equal, and a little less if they
    differ: images that are right with probabilities p vary by p (1 - p) each, on average
    less than `a (1 - a)`.

    >>> round(debiased_square([Bin(11, 0.9, 0.5, 0.2, 0.8, 0.025)]), 4)  # 0.4 ** 2 - 0.5 * 0.5 / 10
    0.135
    """
    weight, gap, chance = _columns(bins)
    return float(weight @ (np.square(gap) - chance))


def perfect_calibration(
    confidence: NDArray[np.float64],
    *,
    bins: int = BINS,
    repeats: int = 500,
    seed: int = 0,
    groups: ArrayLike | None = None,
    alike: float = 1.0,
) -> tuple[float, float, float, float]:
    """Simulate the calibration errors of a perfectly calibrated model with these confidences.

    Each image is right with the probability of its confidence, `repeats` times.

    >>> mean, low, high, noise = perfect_calibration(np.full(1000, 0.8))
    >>> 0 <= low < mean < high < 0.05, 0 < noise < 0.05
    (True, True)

    Args:
        confidence: in the predicted class, [n].
        bins: how many at most.
        repeats: of the simulation.
        seed: of the simulation.
        groups: [n], what each image belongs to; None where the images are independent.
        alike: how strongly the images of a group are right or wrong together, a correlation; see `alikeness`.

    Returns:
        The mean error, the ends of the range of 95 % of the errors, and the limit of 95 % of the debiased ones.
    """
    order, starts = _binned(confidence, bins)
    units = Units.of(len(order), groups)
    rng = np.random.default_rng(seed)
    common = None if units.index is None else rng.random((repeats, units.count), np.float32)
    accuracy, chance = np.empty((repeats, len(starts))), np.empty((repeats, len(starts)))
    for number, places in enumerate(np.split(order, starts[1:])):
        own, count = confidence[places], len(places)
        if common is None and (own == own[0]).all():
            accuracy[:, number] = rng.binomial(count, min(1.0, own[0]), repeats) / count
        else:
            draws = rng.random((repeats, count), np.float32)
            if common is not None and units.index is not None:
                shared = rng.random((repeats, count), np.float32) < math.sqrt(alike)
                draws = np.where(shared, common[:, units.index[places]], draws)
            right = draws < own.astype(np.float32)
            accuracy[:, number] = right.mean(axis=1)
        if units.index is None:
            chance[:, number] = accuracy[:, number] * (1 - accuracy[:, number]) / max(count - 1, 1)
        else:
            of_bin = Units.of(count, units.index[places])
            deviations = of_bin.sums(right) - of_bin.sizes * accuracy[:, number, None]
            chance[:, number] = of_bin.correction * np.square(deviations).sum(axis=1) / count**2
    sizes = np.diff(np.append(starts, len(order)))
    weight = sizes / sizes.sum()
    squares = np.square(accuracy - np.add.reduceat(confidence[order], starts) / sizes)
    plain = np.sqrt(squares @ weight)
    debiased = np.sqrt(np.maximum(0.0, (squares - chance) @ weight))
    low, high = np.quantile(plain, [0.025, 0.975])
    return float(plain.mean()), float(low), float(high), float(np.quantile(debiased, 0.95))


def alikeness(confidence: NDArray[np.float64], right: NDArray[np.bool_], groups: ArrayLike) -> float:
    """Estimate how strongly the images of a group are right or wrong together, between 0 and 1.

    The correlation, over all pairs of images of a group, of what the confidences leave unexplained:
    `right - confidence` in units of its standard deviation `sqrt(confidence (1 - confidence))`.

    >>> groups = np.repeat(np.arange(100), 5)
    >>> right = np.random.default_rng(0).random(100) < 0.8
    >>> alikeness(np.full(500, 0.8), right.repeat(5), groups) > 0.9
    True
    """
    _, index = np.unique(np.asarray(groups), return_inverse=True)
    spread = np.sqrt(confidence * (1 - confidence))

    def pairs(values: NDArray[np.float64]) -> float:
        sums = np.bincount(index, weights=values)
        return float(np.square(sums).sum() - np.square(values).sum())

    of_all = pairs(spread)
    return min(1.0, max(0.0, pairs(right - confidence) / of_all)) if of_all > 0 else 1.0


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
    gap = np.array([each.accuracy - each.confidence for each in bins])
    return counts / counts.sum(), gap, np.array([each.chance for each in bins])
