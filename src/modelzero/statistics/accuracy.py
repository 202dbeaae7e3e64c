"""The accuracy of a method over its seeds.

Notation: `right[k, i]` is 1 when seed k is right on test picture i; K seeds, n pictures; `p_i = mean_k right[k, i]`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from modelzero.statistics.intervals import accuracy_interval
from modelzero.statistics.variance import half_width, noise, seed_variance, spread, variance

__all__ = ["Accuracy", "mean_accuracy", "reach_on_new_pictures", "seed_variance"]


@dataclass(frozen=True)
class Accuracy:
    """The accuracy of a method over its seeds.

    Args:
        mean: over the seeds.
        low: lower end of the 95 % interval on new pictures and new seeds.
        high: its upper end.
        low_here: lower end of the interval on this very test set, for new seeds (Student t over the seeds).
        high_here: its upper end.
        sd: observed standard deviation between seeds; NaN for one seed.
        sd_expected: what test-set noise alone would give, `sqrt(error / (2 n))`.
    """

    mean: float
    low: float
    high: float
    low_here: float
    high_here: float
    sd: float
    sd_expected: float


def mean_accuracy(right: NDArray[np.bool_], *, deterministic: bool = False, confidence: float = 0.95) -> Accuracy:
    """Return the mean accuracy of a method with its two intervals, which are never mixed up.

    One is for this very test set: Student t over the seeds. The other, `reach_on_new_pictures`, is the headline.

    >>> rng = np.random.default_rng(0)
    >>> accuracy = mean_accuracy(rng.random((5, 1000)) < 0.9)
    >>> accuracy.low < accuracy.mean < accuracy.high
    True

    Args:
        right: bool [K, n].
        deterministic: the method has no randomness, so one run says everything about its seeds.
        confidence: of both intervals.
    """
    seeds, n = right.shape
    mean = float(right.mean())
    expected = math.sqrt((1 - mean) / (2 * n))
    if seeds == 1:
        low, high = accuracy_interval(int(right.sum()), n, confidence)
        here = (mean, mean) if deterministic else (math.nan, math.nan)
        return Accuracy(mean, low, high, *here, math.nan, expected)
    of_seeds = spread(right)
    half_here = float(half_width(of_seeds / seeds, seeds - 1, (1 - confidence) / 2))
    pictures = max(0.0, variance(right.sum(axis=0)) / seeds**2 / n - noise(right) / seeds)
    half = float(reach_on_new_pictures((pictures, n), (of_seeds, seeds), confidence=confidence))
    if half == 0:  # no variance was seen, as where every seed is right on all pictures: the interval of one run
        low, high = accuracy_interval(round(mean * n), n, confidence)
    else:
        low, high = max(0.0, mean - half), min(1.0, mean + half)
    return Accuracy(mean, low, high, mean - half_here, mean + half_here, math.sqrt(of_seeds), expected)


def reach_on_new_pictures(
    pictures: tuple[ArrayLike, int], seeds: tuple[ArrayLike, ArrayLike], *, confidence: float = 0.95
) -> NDArray[np.float64]:
    """Return half the width of the interval on new pictures and seeds, for one or many methods with 2 seeds or more.

    The variance is `V_pictures / n + S2_acc / K`. `V_pictures = Var_i(p_i) - mean_i(p_i * (1 - p_i)) / (K - 1)` is
    how much the difficulty of the pictures varies, without the noise of K draws; `S2_acc` is the variance of the seeds'
    accuracies, which holds the noise of the test set and the variance between seeds. The sum is the same as
    `Var_i(p_i) / n + s2_dist / K` (see `seed_variance`), but nothing has to be clipped at 0 that few seeds can hide.
    Each part reaches as far as its own Student t says, with n - 1 and K - 1 degrees of freedom, and the reaches add up
    as standard errors do (W. G. Howe 1974, JASA 69, 789-794).

    >>> round(float(reach_on_new_pictures((1e-6, 1001), (0.0, 5))), 5)
    0.00196
    >>> round(float(reach_on_new_pictures((1e-6, 1001), (4e-6, 5))), 5)
    0.00317

    Args:
        pictures: `V_pictures / n`, and n.
        seeds: `S2_acc`, and K.
        confidence: of the interval.
    """
    tail = (1 - confidence) / 2
    of_seeds = np.asarray(seeds[0]) / seeds[1]
    return np.hypot(
        half_width(pictures[0], max(pictures[1] - 1, 1), tail), half_width(of_seeds, np.asarray(seeds[1]) - 1, tail)
    )
