"""The confusion matrix, and the scores that are computed from it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True)
class ClassScore:
    """How well one class is recognised. By convention 0/0 is 0.

    Args:
        precision: the fraction of predictions of this class that are right.
        recall: the fraction of images of this class that are recognised.
        f1: harmonic mean of both.
        support: images of this class.
    """

    precision: float
    recall: float
    f1: float
    support: int


def confusion(labels: ArrayLike, predictions: ArrayLike, classes: int) -> NDArray[np.int64]:
    """Count how often each class (row) was predicted as each class (column).

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


def count(labels: ArrayLike, predictions: ArrayLike, classes: int) -> NDArray[np.int64]:
    """Count for each class the correct predictions, all predictions, and the images.

    >>> count([0, 0, 1], [0, 1, 1], classes=2).tolist()
    [[1, 1], [1, 2], [2, 1]]

    Returns:
        int64 [3, classes]: the part of a confusion matrix that the scores use. Those of several seeds may be added up.
    """
    labels, predictions = np.asarray(labels, np.int64), np.asarray(predictions, np.int64)
    parts = (labels[labels == predictions], predictions, labels)
    return np.stack([np.bincount(part, minlength=classes) for part in parts]).astype(np.int64)


def margins(confusion: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the same counts of a confusion matrix: its diagonal, the sums of its columns and of its rows."""
    return np.stack([np.diag(confusion), confusion.sum(0), confusion.sum(1)])


def class_scores(confusion: NDArray[np.int64]) -> list[ClassScore]:
    """Score each class, in label order.

    >>> class_scores(confusion([0, 0, 1], [0, 1, 1], classes=2))[0]
    ClassScore(precision=1.0, recall=0.5, f1=0.666..., support=2)
    """
    return scores_of(margins(confusion))


def scores_of(counts: NDArray[np.int64]) -> list[ClassScore]:
    """Score each class from the counts that `count` gives, where a whole matrix would be too large."""
    right, predicted, support = counts
    columns = (_ratio(right, predicted), _ratio(right, support), _ratio(2 * right, predicted + support), support)
    return [ClassScore(*row) for row in zip(*(column.tolist() for column in columns), strict=True)]


def averages(confusion: NDArray[np.int64]) -> dict[str, float]:
    """Average the classes' scores: macro gives each class the same weight, micro each image.

    Macro averages exclude a class that has no image and is never predicted. With one label for each image,
    micro precision, recall and F1 are one number, the accuracy.

    >>> averages(confusion([0, 0, 1], [0, 1, 1], classes=2))
    {'macro_precision': 0.75, 'macro_recall': 0.75, 'macro_f1': 0.666..., 'micro_precision': 0.666...,
     'micro_recall': 0.666..., 'micro_f1': 0.666...}
    """
    return averages_of(margins(confusion))


def averages_of(counts: NDArray[np.int64]) -> dict[str, float]:
    """Average the scores of the classes from the counts that `count` gives; see `averages`."""
    right, predicted, support = counts
    scores = [score for score, there in zip(scores_of(counts), predicted + support > 0, strict=True) if there]
    names = ("precision", "recall", "f1")
    macro = {f"macro_{name}": float(np.mean([getattr(score, name) for score in scores])) for name in names}
    accuracy = float(right.sum() / support.sum())
    return macro | {f"micro_{name}": accuracy for name in names}


def _ratio(part: NDArray[np.int64], whole: NDArray[np.int64]) -> NDArray[np.float64]:
    return np.divide(part, whole, out=np.zeros(len(part)), where=whole > 0)
