"""Is method B better than method A? From which test pictures each of their seeds got right.

Notation: `right[k, i]` is 1 when seed k is right on test picture i; K seeds, n pictures; `p_i = mean_k right[k, i]`.
A method without randomness has one row: training it again would change nothing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

# 1.96 + 0.84: the difference that a two-sided test at 5 % finds in 80 % of the cases, in standard errors.
DETECTABLE = 2.8


@dataclass(frozen=True)
class Difference:
    """How much more of the pictures B gets right than A.

    Args:
        difference: accuracy of B minus accuracy of A, a fraction.
        low: lower end of the 95 % interval.
        high: its upper end.
        p: two-sided p-value of "no difference".
        least_detectable: the least difference that these seeds and pictures could have shown.
        equivalence_low: lower end of the 90 % interval, for the question whether both are practically equal.
        equivalence_high: its upper end.
        gained: test pictures that most of A's seeds get wrong and at least half of B's right.
        lost: the other way round.
        of: what the numbers speak of: "methods", or "these two trained models" where each has a single random run.
    """

    difference: float
    low: float
    high: float
    p: float
    least_detectable: float
    equivalence_low: float
    equivalence_high: float
    gained: int
    lost: int
    of: str


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

    The one on new pictures has variance `Var_i(p_i) / n + s2_dist / K`, where `s2_dist` is the variance between seeds
    that is not just noise of the finite test set (K. Jordan 2023, arXiv:2304.01910; see `seed_variance`).

    >>> rng = np.random.default_rng(0)
    >>> accuracy = mean_accuracy(rng.random((5, 1000)) < 0.9)
    >>> accuracy.low < accuracy.mean < accuracy.high
    True

    Args:
        right: bool [K, n].
        deterministic: the method has no randomness, so one run says everything about its seeds.
        confidence: of both intervals.
    """
    from modelzero.statistics.intervals import accuracy_interval

    seeds, n = right.shape
    accuracies = right.mean(axis=1)
    mean = float(accuracies.mean())
    expected = math.sqrt((1 - mean) / (2 * n))
    if seeds == 1:
        low, high = accuracy_interval(int(right.sum()), n, confidence)
        here = (mean, mean) if deterministic else (math.nan, math.nan)
        return Accuracy(mean, low, high, *here, math.nan, expected)
    sd = float(accuracies.std(ddof=1))
    half_here = float(stats.t.ppf((1 + confidence) / 2, seeds - 1)) * sd / math.sqrt(seeds)
    variance_of_pictures = float(right.mean(axis=0).var(ddof=1)) / n
    variance_of_seeds = seed_variance(right) / seeds
    variance = variance_of_pictures + variance_of_seeds
    freedom = _satterthwaite((variance_of_pictures, n - 1), (variance_of_seeds, seeds - 1))
    half = float(stats.t.ppf((1 + confidence) / 2, freedom)) * math.sqrt(variance) if variance > 0 else 0.0
    if variance == 0:  # every seed right on the same pictures, and on all or none of them
        low, high = accuracy_interval(round(mean * n), n, confidence)
    else:
        low, high = max(0.0, mean - half), min(1.0, mean + half)
    return Accuracy(mean, low, high, mean - half_here, mean + half_here, sd, expected)


def seed_variance(right: NDArray[np.bool_]) -> float:
    """Estimate the variance of accuracy between seeds on all pictures there could be, free of test-set noise.

    `n / (n - 1) * (S2_acc - mean_i(K / (K - 1) * p_i * (1 - p_i)) / n)`, clipped at 0 (Jordan 2023). Zero for one seed.
    """
    seeds, n = right.shape
    if seeds < 2 or n < 2:
        return 0.0
    share = right.mean(axis=0)
    noise = float((seeds / (seeds - 1) * share * (1 - share)).mean()) / n
    return float(max(0.0, n / (n - 1) * (float(right.mean(axis=1).var(ddof=1)) - noise)))


def compare(
    right_a: NDArray[np.bool_],
    right_b: NDArray[np.bool_],
    *,
    deterministic_a: bool = False,
    deterministic_b: bool = False,
) -> Difference:
    """Compare two methods on the same test pictures.

    Two tests, and the larger p-value of both with the wider of their intervals: the paired one over pictures, with
    `V = Var(d_i) / n + s2_dist,A / K_A + s2_dist,B / K_B` and Satterthwaite's degrees of freedom, and Welch's t on the
    accuracies of the seeds. The first alone would claim too much where few seeds hide the variance between them
    behind the clip at 0. Where both have a single run, McNemar's exact test.

    >>> rng = np.random.default_rng(0)
    >>> easy = rng.random(2000)
    >>> a, b = (rng.random((5, 2000)) * 0.2 + easy < limit for limit in (0.8, 0.9))
    >>> result = compare(a, b)
    >>> result.p < 0.001, 0.05 < result.low < result.difference < result.high < 0.15
    (True, True)

    Args:
        right_a: bool [K_A, n], which pictures each seed of A got right.
        right_b: bool [K_B, n], the same pictures.
        deterministic_a: A has no randomness: its one run stands for all.
        deterministic_b: likewise for B.

    Raises:
        ValueError: different numbers of pictures.
    """
    if right_a.shape[1] != right_b.shape[1]:
        raise ValueError(f"{right_a.shape[1]} and {right_b.shape[1]} test pictures: the same ones are needed")
    n = right_a.shape[1]
    share_a, share_b = right_a.mean(axis=0), right_b.mean(axis=0)
    d = share_b - share_a
    difference = float(d.mean())
    flips = int(((share_a < 0.5) & (share_b >= 0.5)).sum()), int(((share_a >= 0.5) & (share_b < 0.5)).sum())
    variance_of_pictures = float(d.var(ddof=1)) / n if n > 1 else 0.0
    if len(right_a) == len(right_b) == 1:
        gained, lost = flips
        both_fixed = deterministic_a and deterministic_b
        error = math.sqrt(variance_of_pictures)
        low, high = _normal_interval(difference, error, 0.95)
        low90, high90 = _normal_interval(difference, error, 0.90)
        of = "methods" if both_fixed else "these two trained models"
        return Difference(
            difference, low, high, mcnemar(gained, lost), DETECTABLE * error, low90, high90, gained, lost, of
        )
    random = [(right, not fixed) for right, fixed in ((right_a, deterministic_a), (right_b, deterministic_b))]
    single = any(is_random and len(right) == 1 for right, is_random in random)
    by_pictures = _paired(right_a, right_b, variance_of_pictures)
    by_seeds = _welch(right_a, right_b)
    # No variance is no evidence: V = 0 means p = 1.
    p = (
        1.0
        if difference == 0 or by_pictures[0] == 0
        else max(_p_value(difference, *by_pictures), _p_value(difference, *by_seeds))
    )
    half = max(_half(*by_pictures, 0.95), _half(*by_seeds, 0.95))
    half90 = max(_half(*by_pictures, 0.90), _half(*by_seeds, 0.90))
    return Difference(
        difference,
        difference - half,
        difference + half,
        p,
        DETECTABLE * max(by_pictures[0], by_seeds[0]),
        difference - half90,
        difference + half90,
        *flips,
        "these trained models" if single else "methods",
    )


def mcnemar(gained: int, lost: int) -> float:
    """Return the two-sided p-value of McNemar's exact test from the pictures on which two models differ.

    Two models that differ nowhere give 1.

    >>> round(mcnemar(10, 2), 6), mcnemar(0, 0)
    (0.038574, 1.0)
    """
    if gained + lost == 0:
        return 1.0
    return float(stats.binomtest(gained, gained + lost, 0.5).pvalue)


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjust the p-values of a family of comparisons (S. Holm 1979, Scandinavian Journal of Statistics 6, 65-70).

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    adjusted = [0.0] * len(p_values)
    largest = 0.0
    for rank, index in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = largest
    return adjusted


def verdict(result: Difference, p_adjusted: float, *, margin: float = 0.003, level: float = 0.05) -> str:
    """Put a comparison into words: `better`, `worse`, `no different` (within the margin) or `cannot tell`.

    Args:
        result: the comparison of B with A.
        p_adjusted: its p-value, adjusted for the family that it belongs to.
        margin: differences below this fraction are practically none (0.003 is 0.3 points).
        level: how often a family of equal methods may give a false claim.
    """
    if p_adjusted <= level and result.difference != 0:
        return "better" if result.difference > 0 else "worse"
    if -margin < result.equivalence_low and result.equivalence_high < margin:
        return "no different"
    return "cannot tell"


def _paired(right_a: NDArray[np.bool_], right_b: NDArray[np.bool_], variance_of_pictures: float) -> tuple[float, float]:
    """Return standard error and degrees of freedom of the test over pictures and seeds."""
    parts = [(variance_of_pictures, right_a.shape[1] - 1)]
    parts += [(seed_variance(right) / len(right), len(right) - 1) for right in (right_a, right_b) if len(right) > 1]
    return math.sqrt(sum(variance for variance, _ in parts)), _satterthwaite(*parts)


def _welch(right_a: NDArray[np.bool_], right_b: NDArray[np.bool_]) -> tuple[float, float]:
    """Return standard error and degrees of freedom of Welch's t-test on the accuracies of the seeds.

    A single run adds no variance: it is one without randomness, or its result says that it speaks of itself only.
    """
    parts = [
        (float(right.mean(axis=1).var(ddof=1)) / len(right), len(right) - 1)
        for right in (right_a, right_b)
        if len(right) > 1
    ]
    return math.sqrt(sum(variance for variance, _ in parts)), _satterthwaite(*parts)


def _satterthwaite(*parts: tuple[float, int]) -> float:
    """Degrees of freedom of a sum of variances (F. E. Satterthwaite 1946, Biometrics Bulletin 2, 110-114)."""
    total = sum(variance for variance, _ in parts)
    if total == 0:
        return 1.0
    return total**2 / sum(variance**2 / freedom for variance, freedom in parts if variance > 0)


def _p_value(difference: float, error: float, freedom: float) -> float:
    if error == 0:  # the seeds happen to agree: the test over pictures decides
        return 0.0
    return float(2 * stats.t.sf(abs(difference) / error, freedom))


def _half(error: float, freedom: float, confidence: float) -> float:
    return float(stats.t.ppf((1 + confidence) / 2, freedom)) * error if error > 0 else 0.0


def _normal_interval(middle: float, error: float, confidence: float) -> tuple[float, float]:
    half = float(stats.norm.ppf((1 + confidence) / 2)) * error
    return middle - half, middle + half
