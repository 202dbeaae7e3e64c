"""Whether another seed gives another model, and how that is known."""

from __future__ import annotations

from typing import NamedTuple

from modelzero.models.learner import Learner
from modelzero.models.rungs import Rung

DECLARED, KNOWN, ASSUMED = "declared", "known", "assumed"


class Randomness(NamedTuple):
    """Whether another seed gives another model, and how that is known.

    Args:
        random: whether it does.
        source: `declared` by the rung; `known` for models that declare it, and for those trained by gradient steps,
            whose weights and batches are drawn; `assumed` for scikit-learn and similar classifiers, until two
            trainings are compared.
    """

    random: bool
    source: str


def randomness_of(rung: Rung, learner: Learner) -> Randomness:
    """Return whether another seed gives another model, as far as that is known without training.

    >>> from sklearn.naive_bayes import GaussianNB
    >>> from modelzero.models.learner import learner_of
    >>> from modelzero.models.rungs import Rung, rung_named
    >>> for rung in (rung_named("knn"), Rung("bayes", GaussianNB), Rung("bayes", GaussianNB, random=False)):
    ...     print(*randomness_of(rung, learner_of(rung, (1, 8, 8), 10)))
    False known
    True assumed
    False declared
    """
    if rung.random is not None:
        return Randomness(rung.random, DECLARED)
    if learner.random is not None:
        return Randomness(learner.random, KNOWN)
    return Randomness(random=True, source=ASSUMED)
