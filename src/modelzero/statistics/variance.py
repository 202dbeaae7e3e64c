"""Variances, and the widths of intervals that follow from them; numbers or arrays of many cases alike.

Notation of this package: `right[k, i]` is 1 when seed k is right on test image i; K seeds, n images in G independent
units (see `units`); `p_i = mean_k right[k, i]`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from modelzero.statistics.units import Units


def variance(whole: NDArray[np.integer]) -> float:
    """Return the unbiased variance of whole numbers, computed without rounding: equal numbers give exactly 0.

    >>> variance(np.array([3, 3, 3])), variance(np.array([1, 2, 3]))
    (0.0, 1.0)
    """
    n = len(whole)
    if n < 2:
        return 0.0
    total, squares = int(whole.sum(dtype=np.int64)), int(np.square(whole, dtype=np.int64).sum())
    return float((n * squares - total**2) / (n * (n - 1)))


def distinct(right: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return only the first row if all rows are equal: a repeated result carries no more information.

    >>> distinct(np.array([[True, False], [True, False]])).shape
    (1, 2)
    >>> distinct(np.array([[True, False], [True, True]])).shape
    (2, 2)
    """
    return right[:1] if (right == right[0]).all() else right


def spread(right: NDArray[np.bool_]) -> float:
    """Return the variance of the accuracies of the seeds, test-set noise included. Zero for one seed.

    >>> spread(np.array([[True, True], [True, False]]))
    0.125
    """
    return float(variance(right.sum(axis=1)) / right.shape[1] ** 2)


def noise(right: NDArray[np.bool_], units: Units | None = None) -> float:
    """Estimate the variance that a finite test set alone gives to the accuracy of a seed. Zero for one seed.

    `sum_g Var_k(sum_{i in g} right[k, i]) / n^2`: how far two seeds disagree on a unit. Without groups it is
    `mean_i(K / (K - 1) * p_i * (1 - p_i)) / n`.

    >>> noise(np.array([[True, True], [True, False]]))
    0.125
    """
    seeds, n = right.shape
    if seeds < 2:
        return 0.0
    sums = (units or Units.of(n)).sums(right)
    count, squares = sums.sum(axis=0), np.square(sums).sum(axis=0)
    return float((seeds * squares - count**2).sum() / (seeds * (seeds - 1) * float(n) ** 2))


def seed_variance(right: NDArray[np.bool_], units: Units | None = None) -> float:
    """Estimate the variance of accuracy between seeds on all possible images, free of test-set noise.

    `s2_dist = G / (G - 1) * (S2_acc - noise)`, clipped at 0 (K. Jordan 2023, arXiv:2304.01910). Zero for one seed.

    >>> seed_variance(np.array([[True, False], [False, True]]))  # different images, equal accuracies: only noise
    0.0
    """
    units = units or Units.of(right.shape[1])
    return float(without_noise(spread(right), noise(right, units), units.effective))


def without_noise(spread: ArrayLike, noise: ArrayLike, n: ArrayLike) -> NDArray[np.float64]:
    """Return `s2_dist` from `S2_acc`, the noise and the number of units, for one or many methods. See `seed_variance`.

    >>> without_noise([0.5, 0.1], 0.2, 3).round(10).tolist()
    [0.45, 0.0]
    """
    n = np.asarray(n)
    difference = np.asarray(spread, dtype=np.float64) - np.asarray(noise, dtype=np.float64)
    return np.asarray(np.maximum(0.0, n / np.maximum(n - 1, 1) * difference))


def satterthwaite(*parts: tuple[ArrayLike, ArrayLike]) -> NDArray[np.float64]:
    """Return the degrees of freedom of a sum of variances (F. E. Satterthwaite 1946, Biometrics Bulletin 2, 110-114).

    >>> float(satterthwaite((1.0, 4), (1.0, 4))), float(satterthwaite((0.0, 4)))
    (8.0, 1.0)

    Args:
        parts: pairs of a variance and its own degrees of freedom.
    """
    variances = [np.asarray(part, dtype=np.float64) for part, _ in parts]
    total = np.sum(np.broadcast_arrays(*variances), axis=0)
    # Shares of the total, so that the square of a tiny variance does not vanish.
    scale = np.where(total > 0, total, 1.0)
    squares = sum(
        (each / scale) ** 2 / np.asarray(freedom) for each, (_, freedom) in zip(variances, parts, strict=True)
    )
    return np.where(total > 0, 1.0 / np.where(total > 0, squares, 1.0), 1.0)


def half_width(variance: ArrayLike, freedom: ArrayLike, tail: ArrayLike) -> NDArray[np.float64]:
    """Return the half width of an interval by Student's t that may miss with probability `tail` on each side.

    >>> round(float(half_width(0.01, 1e9, 0.025)), 4), float(half_width(0.0, 1.0, 0.025))
    (0.196, 0.0)
    """
    return np.asarray(-special.stdtrit(freedom, tail) * np.sqrt(variance), dtype=np.float64)


def p_value(difference: ArrayLike, *parts: tuple[ArrayLike, ArrayLike]) -> NDArray[np.float64]:
    """Return the two-sided p-value at which an interval that adds the parts' reaches just touches 0.

    The reaches add up as standard errors do: `hypot` of their half widths. For a single part it is Student's t.
    Without any variance it is 0: another test has to decide.

    >>> round(float(p_value(0.196, (0.01, 1e9))), 3), float(p_value(0.1, (0.0, 1.0)))
    (0.05, 0.0)
    >>> round(float(p_value(0.5, (0.04, 1e9), (0.0225, 1e9))), 4)  # the same as one part with 0.0625
    0.0455

    Args:
        difference: what is tested to be 0.
        parts: a variance and its degrees of freedom; one or two parts.
    """
    variances = [np.asarray(part, dtype=np.float64) for part, _ in parts]
    values, *arrays = np.broadcast_arrays(
        np.abs(np.asarray(difference, dtype=np.float64)), *variances, *(freedom for _, freedom in parts)
    )
    variance, freedom = arrays[: len(parts)], arrays[len(parts) :]
    p = np.zeros(values.shape)
    for part, degrees in zip(variance, freedom, strict=True):
        # For one part, or as if it were the only one: never less than with both.
        t = np.where(part > 0, values / np.sqrt(np.where(part > 0, part, 1.0)), np.inf)
        p = np.asarray(np.maximum(p, 2 * special.stdtr(degrees, -t)))
    if len(parts) == 1:
        return p
    both = (variance[0] > 0) & (variance[1] > 0)
    low, high = np.log(np.maximum(p[both], 1e-100) / 2), np.zeros(int(both.sum())) + np.log(0.5)
    for _ in range(50):
        middle = (low + high) / 2
        reach = np.hypot(
            *(half_width(v[both], f[both], np.exp(middle)) for v, f in zip(variance, freedom, strict=True))
        )
        inside = reach < values[both]
        low, high = np.where(inside, low, middle), np.where(inside, middle, high)
    p[both] = 2 * np.exp(high)
    return p
