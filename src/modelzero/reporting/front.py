"""The Pareto front of accuracy and training time."""

from __future__ import annotations

from collections.abc import Iterable

from modelzero.results.account import Account


def on_front(rung: Account, others: Iterable[Account]) -> bool:
    """Return whether no other rung is at least as accurate and at least as fast, and better in one of the two.

    A rung whose trainings did not learn is not on the front.
    """
    return rung.learned > 0 and not any(_dominates(other, rung) for other in others if other.learned)


def _dominates(one: Account, other: Account) -> bool:
    at_least = one.train_seconds <= other.train_seconds and one.accuracy >= other.accuracy
    return at_least and (one.train_seconds < other.train_seconds or one.accuracy > other.accuracy)
