"""A family of comparisons, declared before training: each rung of a ladder against the best one below."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from modelzero.statistics.comparison import Difference, compare
from modelzero.statistics.margin import MARGIN

# How often a family of equal methods may give a false claim.
LEVEL = 0.05


@dataclass(frozen=True)
class AgainstBest:
    """A rung against the best one below it, judged as one of a family.

    Args:
        rung: its index in the ladder.
        best_below: the index of the cheaper rung with the highest mean test accuracy; of equal ones the cheapest.
        difference: the comparison; A is `best_below`, B is `rung`.
        p_adjusted: its p-value, adjusted for the family.
        level: at which Holm's method tests it: `p <= level` exactly if `p_adjusted <= 0.05`.
        low: lower end of the interval of the difference at that level.
        high: its upper end.
        at_most: how far apart both are at most: the farther end of the interval at the family's first level, so that
            all of these hold together with 95 % confidence.
        detectable: the difference that would be found in about 80 % of cases, at the family's first level; None if
            there are too few seeds or images for any.
    """

    rung: int
    best_below: int
    difference: Difference
    p_adjusted: float
    level: float
    low: float
    high: float
    at_most: float
    detectable: float | None


def compare_with_best_below(
    rights: Sequence[NDArray[np.bool_]],
    deterministic: Sequence[bool],
    *,
    groups: ArrayLike | None = None,
    usable: Sequence[bool] | None = None,
    size: int | None = None,
) -> list[AgainstBest]:
    """Compare each rung but the first with the best one below it, as one family.

    The best one is chosen by the same test images, so it looks better than it is: `compare` gets the number of
    candidates.

    >>> rng = np.random.default_rng(0)
    >>> result = compare_with_best_below([rng.random((3, 2000)) < p for p in (0.8, 0.9, 0.85)], [False] * 3)
    >>> [(each.rung, each.best_below, each.difference.chosen_from) for each in result]
    [(1, 0, 1), (2, 1, 2)]

    Args:
        rights: for each rung, cheapest first, bool [K_j, n]: which images each seed got right.
        deterministic: for each rung, whether it has no randomness.
        groups: [n], what each image belongs to; None where the images are independent.
        usable: for each rung, whether it can be compared; None means all. The others are skipped.
        size: the declared number of comparisons, if some could not be made.
    """
    means = [float(right.mean()) for right in rights]
    ready = [rung for rung in range(len(rights)) if usable is None or usable[rung]]
    found = []
    for place, rung in enumerate(ready[1:], 1):
        best = max(ready[:place], key=lambda below: means[below])  # of equal ones the first
        difference = compare(
            rights[best],
            rights[rung],
            groups=groups,
            deterministic_a=deterministic[best],
            deterministic_b=deterministic[rung],
            chosen_from=place,
        )
        found.append((rung, best, difference))
    p_values = [difference.p for _, _, difference in found]
    size = len(found) if size is None else size
    return [
        AgainstBest(
            rung,
            best,
            difference,
            p_adjusted,
            level,
            *difference.interval(level),
            at_most=farther_end(difference.interval(LEVEL / size)),
            detectable=difference.detectable(LEVEL / size),
        )
        for (rung, best, difference), p_adjusted, level in zip(
            found, holm(p_values, size), holm_levels(p_values, size), strict=True
        )
    ]


def furthest_behind(
    rights: Sequence[NDArray[np.bool_]], deterministic: Sequence[bool], *, groups: ArrayLike | None = None
) -> list[float]:
    """Return for each method how far it is at most behind the best one; all bounds hold with 95 % confidence.

    A method is within x of the best exactly if it is within x of each other method, and to claim that of all others
    each may be tested at the full level (an intersection-union test: R. L. Berger 1982, Technometrics 24, 295-300). The
    bounds of all methods hold together by Bonferroni, so any of them may be picked afterwards.

    >>> rng = np.random.default_rng(0)
    >>> bounds = furthest_behind([rng.random((3, 20000)) < p for p in (0.8, 0.9, 0.9)], [False] * 3)
    >>> bounds[0] > 0.1, bounds[1] < 0.01, bounds[2] < 0.01
    (True, True, True)

    Args:
        rights: for each method, bool [K_j, n]: which images each seed got right.
        deterministic: for each method, whether it has no randomness.
        groups: [n], what each image belongs to; None where the images are independent.
    """
    both_sides = 2 * LEVEL / max(1, len(rights))  # only the upper ends are used
    bounds = []
    for own, right in enumerate(rights):
        ends = [
            compare(
                right, rights[other], groups=groups, deterministic_a=deterministic[own],
                deterministic_b=deterministic[other],
            ).interval(both_sides)[1]
            for other in range(len(rights))
            if other != own
        ]  # fmt: skip
        bounds.append(max([0.0, *ends]))
    return bounds


def holm(p_values: Sequence[float], size: int | None = None) -> list[float]:
    """Adjust the p-values of a family of comparisons (S. Holm 1979, Scandinavian Journal of Statistics 6, 65-70).

    >>> [round(p, 3) for p in holm([0.01, 0.04, 0.03])], holm([0.01], size=3)
    ([0.03, 0.06, 0.06], [0.03])

    Args:
        p_values: of the comparisons that were made.
        size: how many were declared; the missing ones count as p = 1.

    Raises:
        ValueError: more comparisons than were declared.
    """
    return [float(p) for p in holm_rows(np.asarray(p_values, dtype=np.float64), size)[0]]


def holm_levels(p_values: Sequence[float], size: int | None = None) -> list[float]:
    """Return the level at which Holm's method tests each comparison.

    The smallest p-value is tested at 0.05 divided by the size of the family, the next one at 0.05 divided by one less,
    and so on; after the first one that fails, all others fail at the level of that one. So a p-value is at most its
    level exactly if the adjusted one is at most 0.05.

    >>> [round(level, 4) for level in holm_levels([0.01, 0.04, 0.03])]
    [0.0167, 0.025, 0.025]
    """
    return [float(level) for level in holm_rows(np.asarray(p_values, dtype=np.float64), size)[1]]


def holm_rows(
    p_values: NDArray[np.float64], size: int | None = None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the adjusted p-values and the levels of many families at once, one in each row of the last axis.

    >>> adjusted, levels = holm_rows(np.array([[0.01, 0.04], [0.5, 0.2]]))
    >>> adjusted.tolist(), levels.tolist()
    ([[0.02, 0.04], [0.5, 0.4]], [[0.025, 0.05], [0.025, 0.025]])
    """
    made = p_values.shape[-1]
    size = made if size is None else size
    if size < made:
        raise ValueError(f"{made} comparisons, but a family of {size} was declared: declare them all beforehand")
    order = np.argsort(p_values, axis=-1, kind="stable")
    ordered, tests = np.take_along_axis(p_values, order, axis=-1), np.arange(size, size - made, -1)
    steps = np.maximum.accumulate(np.minimum(1.0, ordered * tests), axis=-1)
    # The adjusted p-value decides: dividing the level and multiplying p could round to different sides.
    failed = np.cumsum(steps > LEVEL, axis=-1) > 1
    first = np.argmax(steps > LEVEL, axis=-1)[..., None] if made else np.zeros((*p_values.shape[:-1], 0), np.intp)
    reached = np.where(failed, np.broadcast_to(first, ordered.shape), np.arange(made))
    adjusted, levels = np.empty_like(p_values), np.empty_like(p_values)
    np.put_along_axis(adjusted, order, steps, axis=-1)
    np.put_along_axis(levels, order, LEVEL / tests[reached] if made else reached, axis=-1)
    return adjusted, levels


def claims(difference: ArrayLike, p_adjusted: ArrayLike) -> NDArray[np.float64]:
    """Return 1 if B is claimed to be better, -1 if worse, 0 if neither, for one or many comparisons.

    >>> claims([0.1, -0.1, 0.1], [0.01, 0.05, 0.06]).tolist()
    [1.0, -1.0, 0.0]
    """
    return np.where(np.asarray(p_adjusted) <= LEVEL, np.sign(difference), 0.0)


def verdict(difference: float, p_adjusted: float, at_most: float, *, margin: float = MARGIN) -> str:
    """Put a comparison into words: `better`, `worse`, `no different` (within the margin) or `cannot tell`.

    >>> verdict(0.02, 0.01, 0.04), verdict(0.0005, 0.6, 0.002), verdict(0.01, 0.2, 0.03)
    ('better', 'no different', 'cannot tell')

    Args:
        difference: accuracy of B minus accuracy of A.
        p_adjusted: its p-value, adjusted for the family that it belongs to.
        at_most: how far apart both are at most, likewise adjusted; see `AgainstBest`.
        margin: differences below this fraction are practically none (0.003 is 0.3 points).
    """
    claim = claims(difference, p_adjusted)
    if claim != 0:
        return "better" if claim > 0 else "worse"
    return "no different" if at_most < margin else "cannot tell"


def farther_end(interval: tuple[float, float]) -> float:
    """Return how far from 0 the farther end of an interval lies.

    >>> farther_end((-0.02, 0.01))
    0.02
    """
    return max(abs(interval[0]), abs(interval[1]))
