"""The tests behind a comparison, for one or many at once: from what pictures and seeds sum up to, to p and intervals.

`compare` calls these functions on one pair of methods, a simulation on thousands of pairs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from modelzero.statistics.variance import half_width, p_value, satterthwaite, without_noise

# 1.96 + 0.84: the difference that a two-sided test at 5 % finds in 80 % of the cases, in standard errors.
DETECTABLE = 2.8


@dataclass(frozen=True)
class Decision:
    """What the tests say: each an array, one entry for each comparison. See `comparison.Difference`."""

    p: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    equivalence_low: NDArray[np.float64]
    equivalence_high: NDArray[np.float64]
    least_detectable: NDArray[np.float64]


def decide_seeds(
    difference: ArrayLike,
    pictures: tuple[ArrayLike, int],
    seeds_a: tuple[ArrayLike, ArrayLike, ArrayLike],
    seeds_b: tuple[ArrayLike, ArrayLike, ArrayLike],
    *,
    chosen_from: ArrayLike = 1,
) -> Decision:
    """Decide for one or many comparisons of methods from what their pictures and seeds sum up to.

    Two tests, and the larger p-value of both with the wider of their intervals:

    1. By pictures: `V = Var(d_i) / n + s2_dist,A / K_A + s2_dist,B / K_B`, Student's t with Satterthwaite's degrees of
       freedom. Alone it would claim too much where few seeds hide the variance between them behind the clip at 0.
    2. By seeds: Welch's t on the accuracies of the seeds (B. L. Welch 1947, Biometrika 34, 28-35), which knows only
       the pictures that were drawn. What pictures vary beyond the noise of the seeds, `V_d = Var(d_i) / n - noise_A /
       K_A - noise_B / K_B`, reaches as far as its own t says, and both reaches add up as standard errors do (W. G. Howe
       1974, JASA 69, 789-794). Welch's degrees of freedom are at most those of two methods with the smaller K: a
       small variance of two or three seeds is luck more often than knowledge.

    A single run adds no variance between seeds: it is one without randomness, or the result says that it speaks of
    itself only. No variance is no evidence: V = 0 means p = 1, and no interval is narrower than that of two single runs
    that differ nowhere, see `decide_single`.

    Where A was chosen as the best of m methods by these very pictures, it looks better than it is. "B is better" needs
    no correction: to be better than the best is to be better than each. "B is worse" could be said because of any of
    the m, so its p-value is multiplied by m (Bonferroni), and the upper ends of the intervals reach as far as that.

    >>> decision = decide_seeds([0.01, -0.01], (1e-5, 1000), (0, 0, 1), (0, 0, 5), chosen_from=3)
    >>> decision.p.round(4), decision.low.round(4), decision.high.round(4)
    (array([0.0016, 0.0048]), array([ 0.0038, -0.0162]), array([ 0.0176, -0.0024]))

    Args:
        difference: accuracy of B minus accuracy of A.
        pictures: `Var(d_i) / n`, and n.
        seeds_a: of A: the variance of the seeds' accuracies, the `noise` in it, and K_A.
        seeds_b: likewise for B.
        chosen_from: m, the number of methods from which A was chosen.
    """
    of_pictures, n = np.asarray(pictures[0], dtype=np.float64), pictures[1]
    others = max(n - 1, 1)  # degrees of freedom of the pictures
    own, total, beyond = [], [], of_pictures
    for spread, noise, count in (seeds_a, seeds_b):
        seeds = np.asarray(count, dtype=np.float64)
        freedom = np.maximum(seeds - 1, 1)  # of a single run it does not matter: its variances are 0
        own.append((without_noise(spread, noise, n) / seeds, freedom))
        total.append((np.asarray(spread, dtype=np.float64) / seeds, freedom))
        beyond = beyond - np.asarray(noise, dtype=np.float64) / seeds
    by_pictures = _sum((of_pictures, others), *own)
    welch, freedom = _sum(*total)
    several = (np.asarray(seeds_a[2]) > 1) & (np.asarray(seeds_b[2]) > 1)
    most = np.where(several, 2 * np.minimum(total[0][1], total[1][1]), np.inf)
    beyond, freedom = np.maximum(0.0, beyond), np.minimum(freedom, most)
    p = np.maximum(p_value(difference, by_pictures), p_value(difference, (beyond, others), (welch, freedom)))
    p = np.where((np.asarray(difference) == 0) | (by_pictures[0] == 0), 1.0, p)

    def reach(tail: ArrayLike) -> NDArray[np.float64]:
        by_seeds = np.hypot(half_width(beyond, others, tail), half_width(welch, freedom, tail))
        least = np.asarray(-special.ndtri(tail) * np.sqrt(2) / (n + 2), dtype=np.float64)
        return np.maximum(np.maximum(half_width(*by_pictures, tail), by_seeds), least)

    error = np.maximum(np.sqrt(np.maximum(by_pictures[0], beyond + welch)), np.sqrt(2) / (n + 2))  # as in `reach`
    return _decision(difference, p, reach, error, chosen_from)


def _sum(*parts: tuple[NDArray[np.float64], ArrayLike]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the sum of variances and its degrees of freedom."""
    return np.asarray(sum(part for part, _ in parts)), satterthwaite(*parts)


def decide_single(gained: ArrayLike, lost: ArrayLike, n: int, *, chosen_from: ArrayLike = 1) -> Decision:
    """Decide for one or many comparisons of two single runs: McNemar's exact test and an adjusted Wald interval.

    The interval counts one picture more as gained and one as lost (D. G. Bonett and R. M. Price 2012, Journal of
    Educational and Behavioral Statistics 37, 479-488), so that two models that differ nowhere on a small test set are
    not said to be equal everywhere. For `chosen_from` see `decide_seeds`.

    >>> decision = decide_single([10, 0], [2, 0], 1000)
    >>> decision.p.round(6), decision.low.round(4), decision.high.round(4)
    (array([0.038574, 1.      ]), array([ 0.0007, -0.0028]), array([0.0153, 0.0028]))
    """
    gained, lost = np.asarray(gained), np.asarray(lost)
    middle = (gained - lost) / (n + 2)
    error = np.sqrt(((gained + lost + 2) / (n + 2) - middle**2) / (n + 2))

    def reach(tail: ArrayLike) -> NDArray[np.float64]:
        return np.asarray(-special.ndtri(tail) * error, dtype=np.float64)

    p = _exact(gained, lost)
    return _decision(middle, p, reach, error, chosen_from)


def mcnemar(gained: int, lost: int) -> float:
    """Return the two-sided p-value of McNemar's exact test from the pictures on which two models differ.

    Two models that differ nowhere give 1.

    >>> round(mcnemar(10, 2), 6), mcnemar(0, 0)
    (0.038574, 1.0)
    """
    return float(_exact(np.asarray(gained), np.asarray(lost)))


def _exact(gained: NDArray[np.int_], lost: NDArray[np.int_]) -> NDArray[np.float64]:
    fewer = np.minimum(gained, lost)
    # The binomial distribution function at `fewer`, with half a chance each, as an incomplete beta function.
    share = special.betainc(np.maximum(gained, lost), fewer + 1.0, 0.5)
    return np.asarray(np.where(gained == lost, 1.0, np.minimum(1.0, 2 * share)))


def _decision(
    middle: ArrayLike,
    p: NDArray[np.float64],
    reach: Callable[[ArrayLike], NDArray[np.float64]],
    error: NDArray[np.float64],
    chosen_from: ArrayLike,
) -> Decision:
    """Correct the side of "B is worse" for the choice of A; `reach(tail)` is the way from the middle to an end."""
    m, middle = np.asarray(chosen_from), np.asarray(middle)
    return Decision(
        p=np.where(middle < 0, np.minimum(1.0, m * p), p),
        low=middle - reach(0.025),
        high=middle + reach(0.025 / m),
        equivalence_low=middle - reach(0.05),
        equivalence_high=middle + reach(0.05 / m),
        least_detectable=DETECTABLE * error,
    )
