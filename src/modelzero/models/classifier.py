"""Use scikit-learn classifiers as models: seed them, pass rows of numbers, and take their scores as logits."""

from __future__ import annotations

import copy
import inspect
import sys
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

# What a probability of zero counts as, so that its logarithm is finite.
_LEAST_PROBABILITY = 1e-7


class Classifier(Protocol):
    """The interface that modelzero requires of a classifier; every scikit-learn classifier has it."""

    def fit(self, rows: NDArray[np.float32], labels: NDArray[np.int64]) -> Any:
        """Learn from rows [N, D] and labels [N]."""

    def predict(self, rows: NDArray[np.float32]) -> NDArray[np.int64]:
        """Return the labels [N] of rows [N, D]."""


def is_classifier(model: object) -> bool:
    """Return whether an object has `fit` and `predict`, and is no torch module.

    >>> from sklearn.naive_bayes import GaussianNB
    >>> is_classifier(GaussianNB()), is_classifier(GaussianNB), is_classifier(nn.Flatten())
    (True, False, False)
    """
    methods = (getattr(model, name, None) for name in ("fit", "predict"))
    return not isinstance(model, nn.Module) and not inspect.isclass(model) and all(map(callable, methods))


def is_regressor(model: Any) -> bool:
    """Return whether an object with `fit` and `predict` is a regressor of scikit-learn, or a pipeline that ends in one.

    >>> from sklearn.linear_model import LinearRegression, LogisticRegression
    >>> is_regressor(LinearRegression()), is_regressor(LogisticRegression())
    (True, False)
    """
    base = sys.modules.get("sklearn.base")  # if it was never imported, this is none
    if base is None or not hasattr(model, "get_params"):
        return False
    try:
        return bool(base.is_regressor(model))
    except Exception:  # an object that only resembles those of scikit-learn
        return False


def settings(classifier: Any) -> dict[str, str]:
    """Return the parameters of a classifier by name, as Python writes them, without the seed."""
    plain = copy.deepcopy(classifier)
    seeded = _random_states(plain)
    if seeded:
        plain.set_params(**dict.fromkeys(seeded))
    return {name: repr(value) for name, value in _parameters(plain).items() if name not in seeded}


def guesses(classifier: Any) -> bool:
    """Return whether it is scikit-learn's `DummyClassifier`, alone or at a pipeline's end: it learns from no image.

    >>> from sklearn.dummy import DummyClassifier
    >>> from sklearn.naive_bayes import GaussianNB
    >>> guesses(DummyClassifier()), guesses(GaussianNB())
    (True, False)
    """
    dummy = sys.modules.get("sklearn.dummy")  # if it was never imported, this is no dummy
    steps = getattr(classifier, "steps", None)
    last = steps[-1][1] if isinstance(steps, list) and steps else classifier
    return dummy is not None and isinstance(last, dummy.DummyClassifier)


def give_seed(classifier: Any, seed: int) -> None:
    """Set each `random_state` of a classifier and of its parts.

    Replace a number that is already set: trainings with different seeds have to differ.
    """
    names = _random_states(classifier)
    if names:
        classifier.set_params(**dict.fromkeys(names, seed % 2**32))


def _random_states(classifier: Any) -> list[str]:
    return [name for name in _parameters(classifier) if name.rpartition("__")[2] == "random_state"]


def _parameters(classifier: Any) -> dict[str, Any]:
    return dict(classifier.get_params()) if hasattr(classifier, "get_params") else {}


def rows_of(images: Tensor) -> NDArray[np.float32]:
    """Turn uint8 images [N, C, H, W] into rows [N, C * H * W] of numbers in [0, 1], with one copy."""
    rows: NDArray[np.float32] = images.flatten(1).numpy().astype(np.float32)
    rows /= 255
    return rows


def scores(classifier: Any, rows: NDArray[np.float32], classes: int) -> Tensor:
    """Return logits [N, classes], the largest for the class that `predict` returns.

    They are log probabilities if the classifier has probabilities, else its decision function, else 0 for the predicted
    class and log(1e-7) for the others. A class without training images gets less than all others.

    >>> from sklearn.dummy import DummyClassifier
    >>> rows = np.zeros((4, 2), np.float32)
    >>> scores(DummyClassifier(strategy="prior").fit(rows, [1, 1, 1, 2]), rows[:1], 3).exp().round(decimals=2)
    tensor([[0.0000, 0.7500, 0.2500]])
    """
    predicted = np.asarray(classifier.predict(rows)).astype(np.int64)
    known = np.asarray(getattr(classifier, "classes_", np.arange(classes))).astype(np.int64)
    if hasattr(classifier, "predict_proba"):
        values = np.log(np.maximum(np.asarray(classifier.predict_proba(rows)), _LEAST_PROBABILITY))
    elif hasattr(classifier, "decision_function"):
        values = np.asarray(classifier.decision_function(rows))
        if values.ndim == 1:  # two classes: one number says which side
            values = np.stack([-values / 2, values / 2], axis=1)
    else:
        known = np.arange(classes)
        values = np.full((len(rows), classes), np.log(_LEAST_PROBABILITY))
        values[np.arange(len(rows)), predicted] = 0.0
    if values.shape != (len(rows), len(known)):
        raise ValueError(f"scores of shape {list(values.shape)}: expected one for each of {len(known)} classes")
    logits = np.full((len(rows), classes), min(np.log(_LEAST_PROBABILITY), float(values.min()) - 1), np.float32)
    logits[:, known] = values
    # Some classifiers' scores have another winner than `predict` (ties, rounding): then `predict` counts.
    other = np.flatnonzero(logits.argmax(axis=1) != predicted)
    logits[other, predicted[other]] = np.nextafter(logits[other].max(axis=1), np.float32(np.inf))
    return torch.from_numpy(logits)
