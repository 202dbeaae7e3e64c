"""The Pareto front: what is not beaten in both accuracy and time."""

from __future__ import annotations

from collections.abc import Iterable

from modelzero.results.account import Account


def on_front(rung: Account, others: Iterable[Account]) -> bool:
    """Say whether no other rung is at least as good in at most the same training time, and better in one of both.

    A rung whose trainings did not learn is not on it.
    """
    return rung.learned > 0 and not any(_dominates(other, rung) for other in others if other.learned)


def _dominates(one: Account, other: Account) -> bool:
    at_least = one.train_seconds <= other.train_seconds and one.accuracy >= other.accuracy
    return at_least and (one.train_seconds < other.train_seconds or one.accuracy > other.accuracy)
