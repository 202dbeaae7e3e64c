"""A family of comparisons, declared before anything is trained: each rung of a ladder against the best one below."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from modelzero.statistics.comparison import Difference, compare


@dataclass(frozen=True)
class AgainstBest:
    """A rung against the best one below it.

    Args:
        rung: its index in the ladder.
        best_below: the index of the cheaper rung with the highest mean test accuracy; of equal ones the cheapest.
        difference: the comparison; A is `best_below`, B is `rung`.
        p_adjusted: its p-value, adjusted for the family.
    """

    rung: int
    best_below: int
    difference: Difference
    p_adjusted: float


def compare_with_best_below(
    rights: Sequence[NDArray[np.bool_]], deterministic: Sequence[bool], *, size: int | None = None
) -> list[AgainstBest]:
    """Compare each rung but the first with the best one below it, as one family.

    The best one is found by the same test pictures, so it looks better than it is. `compare` is told from how many
    it was chosen.

    >>> rng = np.random.default_rng(0)
    >>> result = compare_with_best_below([rng.random((3, 2000)) < p for p in (0.8, 0.9, 0.85)], [False] * 3)
    >>> [(each.rung, each.best_below, each.difference.chosen_from) for each in result]
    [(1, 0, 1), (2, 1, 2)]

    Args:
        rights: for each rung, cheapest first, bool [K_j, n]: which pictures each seed got right.
        deterministic: for each rung, whether it has no randomness.
        size: the declared number of comparisons, if some could not be made.
    """
    means = [float(right.mean()) for right in rights]
    found = []
    for rung in range(1, len(rights)):
        best = int(np.argmax(means[:rung]))
        difference = compare(
            rights[best],
            rights[rung],
            deterministic_a=deterministic[best],
            deterministic_b=deterministic[rung],
            chosen_from=rung,
        )
        found.append((rung, best, difference))
    adjusted = holm([difference.p for _, _, difference in found], size)
    return [AgainstBest(*each, p) for each, p in zip(found, adjusted, strict=True)]


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
    return [float(p) for p in holm_rows(np.asarray(p_values, dtype=np.float64), size)]


def holm_rows(p_values: NDArray[np.float64], size: int | None = None) -> NDArray[np.float64]:
    """Adjust many families at once, one in each row of the last axis. See `holm`.

    >>> holm_rows(np.array([[0.01, 0.04], [0.5, 0.2]])).tolist()
    [[0.02, 0.04], [0.5, 0.4]]
    """
    made = p_values.shape[-1]
    size = made if size is None else size
    if size < made:
        raise ValueError(f"{made} comparisons, but a family of {size} was declared: declare them all beforehand")
    order = np.argsort(p_values, axis=-1, kind="stable")
    steps = np.minimum(1.0, np.take_along_axis(p_values, order, axis=-1) * np.arange(size, size - made, -1))
    adjusted = np.empty_like(p_values)
    np.put_along_axis(adjusted, order, np.maximum.accumulate(steps, axis=-1), axis=-1)
    return adjusted


def claims(difference: ArrayLike, p_adjusted: ArrayLike, level: float = 0.05) -> NDArray[np.float64]:
    """Return 1 where B is claimed to be better, -1 where worse, 0 where neither is, for one or many comparisons.

    >>> claims([0.1, -0.1, 0.1], [0.01, 0.05, 0.06]).tolist()
    [1.0, -1.0, 0.0]
    """
    return np.where(np.asarray(p_adjusted) <= level, np.sign(difference), 0.0)


def verdict(result: Difference, p_adjusted: float, *, margin: float = 0.003, level: float = 0.05) -> str:
    """Put a comparison into words: `better`, `worse`, `no different` (within the margin) or `cannot tell`.

    Args:
        result: the comparison of B with A.
        p_adjusted: its p-value, adjusted for the family that it belongs to.
        margin: differences below this fraction are practically none (0.003 is 0.3 points).
        level: how often a family of equal methods may give a false claim.
    """
    claim = claims(result.difference, p_adjusted, level)
    if claim != 0:
        return "better" if claim > 0 else "worse"
    if -margin < result.equivalence_low and result.equivalence_high < margin:
        return "no different"
    return "cannot tell"
