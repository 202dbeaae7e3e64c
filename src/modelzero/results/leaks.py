"""Measure the rungs without the test images that are also among the training images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from modelzero.data.auditing.audit import audit
from modelzero.data.auditing.searched import was_searched
from modelzero.data.dataset import ImageData
from modelzero.results.account import Account
from modelzero.runs.record import Leaks

# Largest number of pairs of a test image with another image for which a climb searches for near duplicates by
# default, and pairs per second: 60 million on two cores of an AMD EPYC with Fashion-MNIST, half of that to be safe.
MOST_PAIRS = 1_000_000_000
_PAIRS_PER_SECOND = 30_000_000


@dataclass(frozen=True)
class Cleaned:
    """The accuracy of a rung with and without the leaked test images; NaN if all are leaked."""

    rung: str
    accuracy: float
    without: float


def look_for_leaks(data: ImageData, *, search: bool | None, seconds: float | None) -> Leaks:
    """Find the test images that are also among the training images, for the record of a ladder.

    Equal pixels are always searched for, which takes some seconds at most. Each dataset is searched once; see `audit`.

    >>> import modelzero as mz
    >>> look_for_leaks(mz.load("digits"), search=None, seconds=None)
    Leaks(searched=True, why=None, exact=0, near=0, positions=[], test_clusters=[])

    Args:
        data: the dataset.
        search: whether to search for near duplicates; None means only if that takes seconds.
        seconds: rest of the budget; None without one.
    """
    pairs = (len(data.train) + len(data.test)) * len(data.test)
    why = None
    if search is False:
        why = "not searched for, as requested"
    elif was_searched(data):
        pass
    elif search is None and pairs > MOST_PAIRS:
        why = f"not searched for, because {pairs:,} pairs would take long (use --audit)"
    elif search is None and seconds is not None and seconds < pairs / _PAIRS_PER_SECOND:
        why = "not searched for, because the budget ended (use modelzero data)"
    found = audit(data, near=why is None, progress=False)  # a progress bar would break the live table
    exact = {place[1] for _, place in found.across("train", "test")}
    return Leaks(
        searched=why is None,
        why=why,
        exact=len(exact),
        near=len(set(found.leaked) - exact),
        positions=list(found.leaked),
        test_clusters=None if found.test_clusters is None else [list(each) for each in found.test_clusters],
    )


def without_leaks(rungs: Sequence[Account], positions: Sequence[int]) -> list[Cleaned]:
    """Compute each rung's mean accuracy without the test images at these positions.

    It uses the stored predictions: nothing is trained or predicted again.

    Args:
        rungs: the accounts of a ladder.
        positions: positions of test images, such as `Audit.leaked`.
    """
    kept = {rung.name: rung.accuracy for rung in keep_unleaked(rungs, positions)}
    return [Cleaned(rung.name, rung.accuracy, kept.get(rung.name, float("nan"))) for rung in rungs]


def keep_unleaked(rungs: Sequence[Account], positions: Sequence[int]) -> list[Account]:
    """Return the accounts restricted to the test images that are not leaked; none if every image is leaked.

    They serve comparisons only: other figures than accuracy are not recomputed.
    """
    if not rungs:
        return []
    keep = np.ones(rungs[0].right.shape[1], np.bool_)
    keep[list(positions)] = False
    if not keep.any():
        return []
    return [
        replace(
            rung,
            accuracy=float(rung.right[:, keep].mean()),
            right=rung.right[:, keep],
            groups=None if rung.groups is None else rung.groups[keep],
        )
        for rung in rungs
    ]
