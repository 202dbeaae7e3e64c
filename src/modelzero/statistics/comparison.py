"""Is method B better than method A? From which test pictures each of their seeds got right.

Notation: `right[k, i]` is 1 when seed k is right on test picture i; K seeds, n pictures; `p_i = mean_k right[k, i]`.
A method without randomness has one row: training it again would change nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from modelzero.statistics.decision import decide_seeds, decide_single, mcnemar
from modelzero.statistics.variance import noise, spread, variance

__all__ = ["Difference", "compare", "mcnemar"]


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
        gained: test pictures that A gets wrong and B right, on average over the pairs of a seed of A with one of B.
        lost: the other way round.
        of: what the numbers speak of: "methods", or "these two trained models" where each has a single random run.
        chosen_from: among how many methods A was chosen as the best by these same pictures.
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
    chosen_from: int = 1


def compare(
    right_a: NDArray[np.bool_],
    right_b: NDArray[np.bool_],
    *,
    deterministic_a: bool = False,
    deterministic_b: bool = False,
    chosen_from: int = 1,
) -> Difference:
    """Compare two methods on the same test pictures: `decide_seeds`, or `decide_single` where both have a single run.

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
        chosen_from: A is the best of so many methods on these very pictures, see `decide_seeds`.

    Raises:
        ValueError: different numbers of pictures, or `chosen_from` below 1.
    """
    if right_a.shape[1] != right_b.shape[1]:
        raise ValueError(f"{right_a.shape[1]} and {right_b.shape[1]} test pictures: the same ones are needed")
    if chosen_from < 1:
        raise ValueError(f"A was chosen from {chosen_from} methods: at least 1 is needed, A itself")
    (seeds_a, n), seeds_b = right_a.shape, len(right_b)
    difference = float(right_b.mean() - right_a.mean())
    count_a, count_b = right_a.sum(axis=0), right_b.sum(axis=0)
    pairs = seeds_a * seeds_b
    gained = round(int(((seeds_a - count_a) * count_b).sum()) / pairs)
    lost = round(int((count_a * (seeds_b - count_b)).sum()) / pairs)
    if seeds_a == seeds_b == 1:
        decision = decide_single(gained, lost, n, chosen_from=chosen_from)
        of = "methods" if deterministic_a and deterministic_b else "these two trained models"
    else:
        pictures = variance(count_b * seeds_a - count_a * seeds_b) / pairs**2 / n
        decision = decide_seeds(
            difference,
            (pictures, n),
            *((spread(right), noise(right), len(right)) for right in (right_a, right_b)),
            chosen_from=chosen_from,
        )
        alone = (seeds_a == 1 and not deterministic_a) or (seeds_b == 1 and not deterministic_b)
        of = "these trained models" if alone else "methods"
    return Difference(
        difference,
        float(decision.low),
        float(decision.high),
        float(decision.p),
        float(decision.least_detectable),
        float(decision.equivalence_low),
        float(decision.equivalence_high),
        gained,
        lost,
        of,
        chosen_from,
    )
