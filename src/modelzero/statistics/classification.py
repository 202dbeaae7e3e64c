"""Which classes are taken for which: the confusion matrix and what is computed from it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True)
class ClassScore:
    """How well one class is recognised. A fraction of nothing (0/0) is 0, as is the custom.

    Args:
        precision: of the predictions of this class, the share that is right.
        recall: of the pictures of this class, the share that is recognised.
        f1: harmonic mean of both.
        support: pictures of this class.
    """

    precision: float
    recall: float
    f1: float
    support: int


def confusion(labels: ArrayLike, predictions: ArrayLike, classes: int) -> NDArray[np.int64]:
    """Count how often each class (row) was taken for each class (column).

    >>> confusion([0, 0, 1], [0, 1, 1], classes=2)
    array([[1, 1],
           [0, 1]])

    Args:
        labels: true label numbers [n].
        predictions: predicted label numbers [n].
        classes: how many classes there are.

    Returns:
        int64 [classes, classes]. Those of several seeds may be added up.
    """
    labels, predictions = np.asarray(labels, np.int64), np.asarray(predictions, np.int64)
    counts = np.bincount(labels * classes + predictions, minlength=classes**2)
    return counts.reshape(classes, classes).astype(np.int64)


def class_scores(confusion: NDArray[np.int64]) -> list[ClassScore]:
    """Score each class, in label order.

    >>> class_scores(confusion([0, 0, 1], [0, 1, 1], classes=2))[0]
    ClassScore(precision=1.0, recall=0.5, f1=0.666..., support=2)
    """
    right, predicted, support = np.diag(confusion), confusion.sum(0), confusion.sum(1)
    columns = (_ratio(right, predicted), _ratio(right, support), _ratio(2 * right, predicted + support), support)
    return [ClassScore(*row) for row in zip(*(column.tolist() for column in columns), strict=True)]


def averages(confusion: NDArray[np.int64]) -> dict[str, float]:
    """Average the classes' scores: macro gives each class the same weight, micro each picture.

    Macro averages leave out a class that has no picture and is never predicted. With one label for each picture,
    micro precision, recall and F1 are one number, the accuracy.

    >>> averages(confusion([0, 0, 1], [0, 1, 1], classes=2))
    {'macro_precision': 0.75, 'macro_recall': 0.75, 'macro_f1': 0.666..., 'micro_precision': 0.666...,
     'micro_recall': 0.666..., 'micro_f1': 0.666...}
    """
    occurs = (confusion.sum(0) + confusion.sum(1)) > 0
    scores = [score for score, there in zip(class_scores(confusion), occurs, strict=True) if there]
    names = ("precision", "recall", "f1")
    macro = {f"macro_{name}": float(np.mean([getattr(score, name) for score in scores])) for name in names}
    accuracy = float(np.trace(confusion) / confusion.sum())
    return macro | {f"micro_{name}": accuracy for name in names}


def _ratio(part: NDArray[np.int64], whole: NDArray[np.int64]) -> NDArray[np.float64]:
    return np.divide(part, whole, out=np.zeros(len(part)), where=whole > 0)
