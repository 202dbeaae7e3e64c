"""Whether another seed gives another model, and how that is known."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from torch import nn

from modelzero.models.fitted import Fitted

if TYPE_CHECKING:
    from modelzero.models.classifier import Classifier
    from modelzero.models.rungs import Rung

DECLARED, KNOWN, ASSUMED = "declared", "known", "assumed"


class Randomness(NamedTuple):
    """Whether another seed gives another model, and how that is known.

    Args:
        random: whether it does.
        source: `declared` by the rung; `known` of a `Fitted`, which says so, and of modules trained by gradient steps,
            whose weights and batches are drawn; `assumed` of scikit-learn's and similar classifiers, until two
            trainings were compared.
    """

    random: bool
    source: str


def randomness_of(rung: Rung, model: nn.Module | Classifier) -> Randomness:
    """Tell whether another seed gives another model, as far as that is known without training.

    >>> from sklearn.naive_bayes import GaussianNB
    >>> from modelzero.models.rungs import Rung, rung_named
    >>> randomness_of(rung_named("knn"), rung_named("knn").make((1, 8, 8), 10))
    Randomness(random=False, source='known')
    >>> randomness_of(Rung("bayes", GaussianNB), GaussianNB())
    Randomness(random=True, source='assumed')
    >>> randomness_of(Rung("bayes", GaussianNB, random=False), GaussianNB())
    Randomness(random=False, source='declared')
    """
    if rung.random is not None:
        return Randomness(rung.random, DECLARED)
    if isinstance(model, Fitted):
        return Randomness(model.random, KNOWN)
    return Randomness(random=True, source=KNOWN if isinstance(model, nn.Module) else ASSUMED)
