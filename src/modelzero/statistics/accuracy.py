"""The accuracy of a method over its seeds.

Notation: `right[k, i]` is 1 when seed k is right on test image i; K seeds, n images; `p_i = mean_k right[k, i]`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from modelzero.statistics.intervals import accuracy_interval
from modelzero.statistics.units import Units
from modelzero.statistics.variance import distinct, half_width, noise, seed_variance, spread

__all__ = ["Accuracy", "is_unstable", "mean_accuracy", "reach_on_new_images", "seed_variance"]

# The rate at which a method without any seed effect may be called unstable.
_UNSTABLE_LEVEL = 0.001


@dataclass(frozen=True)
class Accuracy:
    """The accuracy of a method over its seeds.

    Args:
        mean: over the seeds.
        low: lower end of the 95 % interval on new images and new seeds, for models trained on these training images.
        high: its upper end.
        low_here: lower end of the interval on this test set, for new seeds (Student t over the seeds).
        high_here: its upper end.
        sd: observed standard deviation between seeds; NaN for one seed.
        sd_expected: what test-set noise alone would give: the root of the `noise` between several seeds, else
            `sqrt(error / (2 n))`.
        unstable: whether the seeds lie farther apart than test-set noise explains; see `is_unstable`.
    """

    mean: float
    low: float
    high: float
    low_here: float
    high_here: float
    sd: float
    sd_expected: float
    unstable: bool


def mean_accuracy(
    right: NDArray[np.bool_],
    *,
    groups: ArrayLike | None = None,
    deterministic: bool = False,
    confidence: float = 0.95,
) -> Accuracy:
    """Return the mean accuracy of a method with its two intervals.

    One is for this test set: Student t over the seeds. The other is the headline: for new images with new seeds. For
    one run on independent images that is `accuracy_interval`. Otherwise it is `reach_on_new_images` to both sides,
    after adding two images that are right for all seeds and two that are wrong (as A. Agresti and B. A. Coull do for
    one share: 1998, The American Statistician 52, 119-126): without them the interval is too short near 100 %. If
    images come in groups, each of the four counts as many images as vary together, see `images_at_once`.

    >>> rng = np.random.default_rng(0)
    >>> accuracy = mean_accuracy(rng.random((5, 1000)) < 0.9)
    >>> accuracy.low < accuracy.mean < accuracy.high
    True

    Args:
        right: bool [K, n].
        groups: [n], what each image belongs to; None where the images are independent.
        deterministic: the method has no randomness, so that one run stands for all seeds.
        confidence: of both intervals.
    """
    seeds, n = right.shape
    units = Units.of(n, groups)
    mean = float(right.mean())
    if seeds == 1:
        here = (mean, mean) if deterministic else (math.nan, math.nan)
        sd, sd_expected = math.nan, math.sqrt((1 - mean) / (2 * n))
    else:
        half = float(half_width(spread(right) / seeds, seeds - 1, (1 - confidence) / 2))
        here = (max(0.0, mean - half), min(1.0, mean + half))
        sd, sd_expected = math.sqrt(spread(right)), math.sqrt(noise(right, units))
    unstable = is_unstable(right, units)
    right = distinct(right)
    if len(right) == 1 and units.index is None:
        low, high = accuracy_interval(int(right.sum()), n, confidence)
    else:
        of_seeds = spread(right), noise(right, units), len(right)
        ends = interval_on_new_images(OverUnits.of(right, units), units, of_seeds, confidence=confidence)
        low, high = map(float, ends)
    return Accuracy(mean, low, high, *here, sd, sd_expected, unstable)


@dataclass(frozen=True)
class OverUnits:
    """Sums of the correct images over the units of a test split, for one or many methods.

    Args:
        mean: accuracy, over all seeds.
        squares: the sum over units of `s_g^2`, where `s_g` is how many images of the unit are right, a mean over seeds.
        products: the sum of `m_g s_g`, where `m_g` is the size of the unit.
        rare: units with an image of the rarer kind: wrong for some seed if most are right, else right for some.
    """

    mean: ArrayLike
    squares: ArrayLike
    products: ArrayLike
    rare: ArrayLike

    @classmethod
    def of(cls, right: NDArray[np.bool_], units: Units) -> OverUnits:
        """Sum up one method, from bool [K, n]."""
        sums = units.sums(right.sum(axis=0)) / len(right)
        mean = float(right.mean())
        rare = np.count_nonzero(sums if mean < 0.5 else units.sizes - sums)
        return cls(mean, float(np.square(sums).sum()), float((sums * units.sizes).sum()), rare)


def interval_on_new_images(
    sums: OverUnits, units: Units, seeds: tuple[ArrayLike, ArrayLike, ArrayLike], *, confidence: float = 0.95
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the ends of the interval on new images and new seeds; see `mean_accuracy`.

    >>> right = np.array([[True] * 9 + [False], [True] * 10])
    >>> units = Units.of(10)
    >>> low, high = interval_on_new_images(OverUnits.of(right, units), units, (spread(right), noise(right), 2))
    >>> round(float(low), 3), float(high)
    (0.324, 1.0)

    Args:
        sums: of the images that are right.
        units: of the test split.
        seeds: the variance of the seeds' accuracies, the `noise` in it, and K.
        confidence: of the interval.
    """
    mean, n = np.asarray(sums.mean, np.float64), units.n
    weight = images_at_once(sums, units)
    more = n + 4 * weight
    middle = (mean * n + 2 * weight) / more
    squares = float(np.square(units.sizes).sum())
    deviations = np.asarray(sums.squares) - 2 * middle * np.asarray(sums.products) + np.square(middle) * squares
    added = 2 * np.square(weight) * (np.square(middle) + np.square(1 - middle))
    shrunk = np.square(n / more)
    of_images = units.correction * (deviations + added) / np.square(more) - shrunk * seeds[1] / np.asarray(seeds[2])
    half = reach_on_new_images(
        (np.maximum(0.0, of_images), units.freedom + 4), (shrunk * seeds[0], seeds[2]), confidence=confidence
    )
    return np.clip(middle - half, 0.0, mean), np.clip(middle + half, mean, 1.0)


def images_at_once(sums: OverUnits, units: Units) -> NDArray[np.float64]:
    """Return how many images vary together, 1 where they are independent: the design effect of the groups.

    It is the variance of the mean over units divided by that over independent images, between 1 and the mean size of
    the group of an image. If few units have an image of the rarer kind (right, or wrong), the estimate is
    uncertain: two units that are all wrong are added to them.

    >>> right, units = np.array([[True, True, False, False, True, True]]), Units.of(6, groups=[0, 0, 1, 1, 2, 2])
    >>> float(images_at_once(OverUnits.of(right, units), units))
    2.0

    Args:
        sums: of the images that are right.
        units: of the test split.
    """
    mean, n = np.asarray(sums.mean, np.float64), units.n
    if units.index is None:
        return np.ones(mean.shape)
    squares = float(np.square(units.sizes).sum())
    largest = squares / n
    alone = mean * (1 - mean) / n
    deviations = np.asarray(sums.squares) - 2 * mean * np.asarray(sums.products) + np.square(mean) * squares
    together = units.correction * deviations / n**2
    effect = np.where(alone > 0, np.clip(together / np.where(alone > 0, alone, 1.0), 1.0, largest), largest)
    rare = np.asarray(sums.rare)
    return np.asarray((rare * effect + 2 * largest) / (rare + 2))


def is_unstable(right: NDArray[np.bool_], units: Units | None = None) -> bool:
    """Return whether the seeds of a method lie farther apart than the noise of a finite test set explains.

    `(K - 1) S2 / noise` is then beyond the 99.9 % quantile of chi-squared with K - 1 degrees of freedom. A ratio alone
    would call 4 to 13 % of methods without any seed effect unstable for two or three seeds.

    >>> rng = np.random.default_rng(0)
    >>> is_unstable(rng.random((5, 1000)) < 0.9), is_unstable(rng.random((2, 1000)) < [[0.9], [0.5]])
    (False, True)
    """
    from scipy import special

    seeds, expected = len(right), noise(right, units)
    if seeds < 2 or expected == 0:
        return False
    return bool((seeds - 1) * spread(right) / expected > special.chdtri(seeds - 1, _UNSTABLE_LEVEL))


def reach_on_new_images(
    images: tuple[ArrayLike, float], seeds: tuple[ArrayLike, ArrayLike], *, confidence: float = 0.95
) -> NDArray[np.float64]:
    """Return half the width of the interval on new images and seeds, for one or many methods.

    The variance is `V_images + S2_acc / K`. `V_images`, the variance of the mean over the units of the test split less
    `noise / K`, is how much the difficulty of the images varies, without the noise of K draws; `S2_acc` is the variance
    of the seeds' accuracies, which holds the noise of the test set and the variance between seeds. The sum is the same
    as `Var_i(p_i) / n + s2_dist / K` (see `seed_variance`), but nothing has to be clipped at 0 that few seeds can hide.
    Each part reaches as far as its own Student t says, of K - 1 degrees of freedom for the seeds, and the reaches add
    up as standard errors do (W. G. Howe 1974, JASA 69, 789-794).

    >>> round(float(reach_on_new_images((1e-6, 1000), (0.0, 5))), 5)
    0.00196
    >>> round(float(reach_on_new_images((1e-6, 1000), (4e-6, 5))), 5)
    0.00317

    Args:
        images: `V_images`, and its degrees of freedom, see `Units.freedom`.
        seeds: `S2_acc`, and K.
        confidence: of the interval.
    """
    tail = (1 - confidence) / 2
    runs = np.asarray(seeds[1])
    of_seeds = np.asarray(seeds[0]) / runs
    return np.hypot(half_width(images[0], images[1], tail), half_width(of_seeds, np.maximum(runs - 1, 1), tail))
