"""The tests behind a comparison, for one or many at once: p-values and intervals from sums over images and seeds.

`compare` calls these functions on one pair of methods, a simulation on thousands of pairs.

Test and interval match: p is at most a level exactly if the interval at that level excludes 0. So interval, p-value and
verdict never contradict each other.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from modelzero.statistics.variance import half_width, p_value, satterthwaite, without_noise

# A difference is detectable if a test finds it this often.
POWER = 0.8
# Number of equally likely values of a new estimate of a variance, over which the power is averaged.
_VALUES = 24

# A number for all comparisons, or one for each.
Numbers = float | NDArray[np.float64]
# How far an interval reaches from its middle to one side, where it may miss with this probability.
Reach = Callable[[Numbers], NDArray[np.float64]]
# How often a difference of this size is found.
Power = Callable[[Numbers], NDArray[np.float64]]


@dataclass(frozen=True, eq=False)
class Decision:
    """The results of the tests of one or many comparisons, as arrays with an entry for each.

    If A was chosen as the best of m methods by the same images, it looks better than it is. "B is better" needs
    no correction: to be better than the best is to be better than each. "B is worse" could be said because of any of
    the m, so its p-value is multiplied by m (Bonferroni), and upper ends of intervals reach as far as that.

    Args:
        difference: accuracy of B minus accuracy of A.
        middle: of the intervals.
        p: two-sided p-value of "no difference", corrected for the choice of A.
        down: how far intervals reach below the middle.
        up: how far above.
        power: gives for a level the function from a true difference to how often a test at that level finds it.
        chosen_from: m, the number of methods from which A was chosen.
    """

    difference: NDArray[np.float64]
    middle: NDArray[np.float64]
    p: NDArray[np.float64]
    down: Reach
    up: Reach
    power: Callable[[Numbers], Power]
    chosen_from: NDArray[np.int_]

    def interval(self, level: Numbers = 0.05) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the ends of the interval that misses with probability `level`, within -1 and 1.

        It excludes 0 exactly if p is at most `level`.
        """
        tail = level / 2
        low, high = self.middle - self.down(tail), self.middle + self.up(tail / self.chosen_from)
        return np.maximum(low, -1.0), np.minimum(high, 1.0)

    def detectable(self, level: Numbers = 0.05) -> NDArray[np.float64]:
        """Return the difference that a test at this level finds in about 80 % of cases; infinite beyond 1.

        It is for the observed sign: for "worse" if the difference is negative, which is corrected for the choice of A.
        It is never less than an observed difference that is not significant.
        """
        power = self.power(np.where(self.difference < 0, level / self.chosen_from, level))
        low, high = np.zeros(self.middle.shape), np.ones(self.middle.shape)
        beyond = power(high) < POWER
        for _ in range(30):
            middle = (low + high) / 2
            found = power(middle) >= POWER
            low, high = np.where(found, low, middle), np.where(found, middle, high)
        seen = np.where(self.p > level, np.abs(self.difference), 0.0)
        return np.where(beyond, np.inf, np.maximum(high, seen))


def decide_seeds(
    difference: ArrayLike,
    images: tuple[ArrayLike, float],
    seeds_a: tuple[ArrayLike, ArrayLike, ArrayLike],
    seeds_b: tuple[ArrayLike, ArrayLike, ArrayLike],
    *,
    chosen_from: ArrayLike = 1,
) -> Decision:
    """Decide one or many comparisons of methods from sums over their images and seeds.

    Use the larger p-value and the wider interval of two tests:

    1. By images: `V = V_d + s2_dist,A / K_A + s2_dist,B / K_B`, Student's t with Satterthwaite's degrees of freedom.
       Alone it would claim too much if few seeds hide the variance between them behind the clip at 0.
    2. By seeds: Welch's t on the accuracies of the seeds (B. L. Welch 1947, Biometrika 34, 28-35), which knows only
       the images that were drawn. What images vary beyond the noise of the seeds, `V_d - noise_A / K_A - noise_B /
       K_B`, reaches as far as its own t says, and both reaches add up as standard errors do (W. G. Howe 1974, JASA 69,
       789-794). Welch's degrees of freedom are at most those of two methods with the smaller K: a small variance of
       two or three seeds is more often luck than evidence.

    A single run adds no variance between seeds: its method has no randomness, or the result says that it is only about
    this run. No variance is no evidence: V = 0 means p = 1; and no p is smaller, no interval narrower than that of
    two runs that differ by one unit gained and one lost, whose error is `sqrt(2) / (G + 2)`.

    >>> decision = decide_seeds([0.01, -0.01], (1e-5, 1000), (0, 0, 1), (0, 0, 5), chosen_from=3)
    >>> low, high = decision.interval()
    >>> decision.p.round(4), low.round(4), high.round(4)
    (array([0.0016, 0.0048]), array([ 0.0038, -0.0162]), array([ 0.0176, -0.0024]))

    Args:
        difference: accuracy of B minus accuracy of A.
        images: V_d, the variance of the mean difference over the units of the test split, and how many units that is,
            see `Units.effective`.
        seeds_a: of A: the variance of the seeds' accuracies, the `noise` in it, and K_A.
        seeds_b: likewise for B.
        chosen_from: m, the number of methods from which A was chosen.
    """
    difference = np.asarray(difference, dtype=np.float64)
    of_images, count = np.asarray(images[0], dtype=np.float64), images[1]
    others = max(count - 1, 1)  # degrees of freedom of the images
    own, total, beyond = [], [], of_images
    for spread, noise, seeds in (seeds_a, seeds_b):
        runs = np.asarray(seeds, dtype=np.float64)
        freedom = np.maximum(runs - 1, 1)  # of a single run it does not matter: its variances are 0
        own.append((without_noise(spread, noise, count) / runs, freedom))
        total.append((np.asarray(spread, dtype=np.float64) / runs, freedom))
        beyond = beyond - np.asarray(noise, dtype=np.float64) / runs
    by_images = _sum((of_images, others), *own)
    welch, freedom = _sum(*total)
    several = (np.asarray(seeds_a[2]) > 1) & (np.asarray(seeds_b[2]) > 1)
    most = np.where(several, 2 * np.minimum(total[0][1], total[1][1]), np.inf)
    beyond, freedom = np.maximum(0.0, beyond), np.minimum(freedom, most)
    least = np.sqrt(2) / (count + 2)
    p = np.maximum(p_value(difference, by_images), p_value(difference, (beyond, others), (welch, freedom)))
    p = np.maximum(p, 2 * special.ndtr(-np.abs(difference) / least))
    p = np.where((difference == 0) | (by_images[0] == 0), 1.0, p)

    def reach(tail: Numbers, shares: Numbers = 1.0) -> NDArray[np.float64]:
        """Reach as far as the wider test; `shares` multiply Welch's variance, with a leading axis where several."""
        by_seeds = np.hypot(half_width(beyond, others, tail), half_width(welch, freedom, tail) * np.sqrt(shares))
        alone = np.maximum(half_width(*by_images, tail), -special.ndtri(tail) * least)
        ends = np.maximum(by_seeds, np.where(by_images[0] == 0, np.maximum(alone, np.abs(difference)), alone))
        return np.asarray(ends)

    # With few seeds a variance is mostly below its mean: this one counts as the median, and the next may be any.
    def power(level: Numbers) -> Power:
        median = special.chdtri(freedom, 0.5)
        chance = (np.arange(_VALUES) + 0.5).reshape(-1, *[1] * np.broadcast(difference, freedom).ndim) / _VALUES
        ends = reach(level / 2, special.chdtri(freedom, chance) / median)
        error = np.sqrt(np.maximum(beyond + welch * freedom / median, least**2 / 4))
        return lambda true: np.asarray(special.ndtr((true - ends) / error).mean(axis=0))

    return _decision(difference, difference, p, reach, reach, power, chosen_from)


def _sum(*parts: tuple[NDArray[np.float64], ArrayLike]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the sum of variances and its degrees of freedom."""
    return np.asarray(sum(part for part, _ in parts)), satterthwaite(*parts)


def decide_single(gained: ArrayLike, lost: ArrayLike, n: int, *, chosen_from: ArrayLike = 1) -> Decision:
    """Decide one or many comparisons of two single runs on independent images.

    Use the larger p-value and the wider interval of two tests: McNemar's exact test, whose interval is that of
    Clopper and Pearson for the share of gained images among those on which the two differ; and the adjusted Wald test,
    which counts one image more as gained and one as lost (D. G. Bonett and R. M. Price 2012, Journal of Educational and
    Behavioral Statistics 37, 479-488), so that two models that differ nowhere on a small test set do not count as
    equal everywhere.

    >>> decision = decide_single([10, 0], [2, 0], 1000)
    >>> low, high = decision.interval()
    >>> decision.p.round(6), low.round(4), high.round(4)
    (array([0.038574, 1.      ]), array([ 0.0004, -0.0028]), array([0.0153, 0.0028]))
    """
    gained, lost = np.asarray(gained), np.asarray(lost)
    difference, differing = (gained - lost) / n, (gained + lost) / n
    middle = (gained - lost) / (n + 2)
    error = np.sqrt(((gained + lost + 2) / (n + 2) - middle**2) / (n + 2))
    p = np.maximum(_exact(gained, lost), 2 * special.ndtr(-np.abs(middle) / error))

    def down(tail: Numbers) -> NDArray[np.float64]:
        share = special.betaincinv(np.maximum(gained, 0.5), lost + 1.0, tail)  # 0.5 only where `where` takes another
        exact = differing * (2 * np.where(gained > 0, share, 0.0) - 1)
        return np.asarray(np.maximum(-special.ndtri(tail) * error, middle - exact))

    def up(tail: Numbers) -> NDArray[np.float64]:
        share = special.betaincinv(gained + 1.0, np.maximum(lost, 0.5), 1 - tail)
        exact = differing * (2 * np.where(lost > 0, share, 1.0) - 1)
        return np.asarray(np.maximum(-special.ndtri(tail) * error, exact - middle))

    def power(level: Numbers) -> Power:
        quantile = special.ndtri(level / 2)

        def found(true: Numbers) -> NDArray[np.float64]:
            # If one is better by so much, they differ on at least as many images.
            square = (np.maximum(gained + lost, true * n) + 2) / (n + 2)
            there = np.sqrt(np.maximum(square - np.square(true), 2 / (n + 2)) / (n + 2))
            return np.asarray(special.ndtr(true / there + quantile))

        return found

    return _decision(difference, middle, p, down, up, power, chosen_from)


def mcnemar(gained: int, lost: int) -> float:
    """Return the two-sided p-value of McNemar's exact test from the images on which two models differ.

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
    difference: NDArray[np.float64],
    middle: NDArray[np.float64],
    p: NDArray[np.float64],
    down: Reach,
    up: Reach,
    power: Callable[[Numbers], Power],
    chosen_from: ArrayLike,
) -> Decision:
    """Correct the side of "B is worse" for the choice of A."""
    m = np.asarray(chosen_from)
    corrected = np.where(middle < 0, np.minimum(1.0, m * p), p)
    return Decision(difference, middle, corrected, down, up, power, m)
