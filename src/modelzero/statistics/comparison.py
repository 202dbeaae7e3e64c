"""Compare two methods, A and B, by the test images that each of their seeds gets right.

Notation: `right[k, i]` is 1 when seed k is right on test image i; K seeds, n images; `p_i = mean_k right[k, i]`.
A method without randomness has one row, since another training gives the same.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from modelzero.statistics.decision import Decision, decide_seeds, decide_single, mcnemar
from modelzero.statistics.units import Units
from modelzero.statistics.variance import distinct, noise, spread

__all__ = ["Difference", "compare", "mcnemar"]


@dataclass(frozen=True)
class Difference:
    """How many more images B gets right than A.

    Args:
        difference: accuracy of B minus accuracy of A, a fraction.
        p: two-sided p-value of "no difference", corrected if A was chosen by the same images.
        gained: test images that A gets wrong and B right, on average over the pairs of a seed of A with one of B.
        lost: the other way round.
        of: what the numbers are about: "methods", or "these two trained models" where each has a single random run.
        chosen_from: the number of methods from which A was chosen as the best by the same images.
        decision: gives intervals and detectable differences for a level.
    """

    difference: float
    p: float
    gained: int
    lost: int
    of: str
    chosen_from: int
    decision: Decision = field(repr=False, compare=False)

    def interval(self, level: float = 0.05) -> tuple[float, float]:
        """Return the interval that misses the true difference with probability `level`; see `Decision.interval`."""
        low, high = self.decision.interval(level)
        return float(low), float(high)

    def detectable(self, level: float = 0.05) -> float | None:
        """Return the difference that such a test finds in about 80 % of cases; None if beyond 100 points."""
        found = float(self.decision.detectable(level))
        return found if np.isfinite(found) else None


def compare(
    right_a: NDArray[np.bool_],
    right_b: NDArray[np.bool_],
    *,
    groups: ArrayLike | None = None,
    deterministic_a: bool = False,
    deterministic_b: bool = False,
    chosen_from: int = 1,
) -> Difference:
    """Compare two methods on the same test images: `decide_seeds`, or `decide_single` where both have a single run.

    Seeds that are all right on exactly the same images count as one run, since they say no more.

    >>> rng = np.random.default_rng(0)
    >>> easy = rng.random(2000)
    >>> a, b = (rng.random((5, 2000)) * 0.2 + easy < limit for limit in (0.8, 0.9))
    >>> result = compare(a, b)
    >>> low, high = result.interval()
    >>> result.p < 0.001, 0.05 < low < result.difference < high < 0.15
    (True, True)

    Args:
        right_a: bool [K_A, n], which images each seed of A got right.
        right_b: bool [K_B, n], the same images.
        groups: [n], what each image belongs to, such as a video; None where the images are independent.
        deterministic_a: A has no randomness: its one run stands for all.
        deterministic_b: likewise for B.
        chosen_from: A is the best of so many methods on these images, see `Decision`.

    Raises:
        ValueError: different numbers of images, or `chosen_from` below 1.
    """
    if right_a.shape[1] != right_b.shape[1]:
        raise ValueError(f"{right_a.shape[1]} and {right_b.shape[1]} test images: expected the same ones")
    if chosen_from < 1:
        raise ValueError(f"A was chosen from {chosen_from} methods: expected at least 1, A itself")
    n = right_a.shape[1]
    units = Units.of(n, groups)
    difference = float(right_b.mean() - right_a.mean())
    right_a, right_b = distinct(right_a), distinct(right_b)
    seeds_a, seeds_b = len(right_a), len(right_b)
    alone = (seeds_a == 1 and not deterministic_a, seeds_b == 1 and not deterministic_b)
    count_a, count_b = right_a.sum(axis=0), right_b.sum(axis=0)
    pairs = seeds_a * seeds_b
    gained = round(int(((seeds_a - count_a) * count_b).sum()) / pairs)
    lost = round(int((count_a * (seeds_b - count_b)).sum()) / pairs)
    if seeds_a == seeds_b == 1 and units.index is None:
        decision = decide_single(gained, lost, n, chosen_from=chosen_from)
    else:
        of_images = units.variance_of_mean(units.sums(count_b * seeds_a - count_a * seeds_b))
        decision = decide_seeds(
            difference,
            (units.with_half_a_unit(of_images / pairs**2, one_run=1 in (seeds_a, seeds_b)), units.effective),
            *((spread(right), noise(right, units), len(right)) for right in (right_a, right_b)),
            chosen_from=chosen_from,
        )
    of = "methods"
    if any(alone):
        of = "these two trained models" if seeds_a == seeds_b == 1 else "these trained models"
    return Difference(difference, float(decision.p), gained, lost, of, chosen_from, decision)
