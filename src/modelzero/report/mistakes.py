"""What a model gets wrong: the mistakes that it is surest of, and the classes that it mixes up most."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from modelzero.runs.record import Run
from modelzero.statistics.calibration import softmax

_MOST_PAIRS = 30


@dataclass(frozen=True)
class Mistake:
    """A test image that a model got wrong.

    Args:
        position: of the image in the test split, counted from 0.
        truth: the class it belongs to.
        said: the class that was predicted.
        confidence: the probability that the model gave to that.
    """

    position: int
    truth: int
    said: int
    confidence: float


@dataclass(frozen=True)
class Confused:
    """How often images of one class were taken for another, over all seeds.

    Args:
        truth: the class they belong to.
        said: the class that was predicted.
        count: how often.
        share: of the predictions for images of that class.
    """

    truth: int
    said: int
    count: int
    share: float


def surest_mistakes(run: Run, most: int) -> list[Mistake]:
    """Find the wrong predictions with the highest confidence, the surest first.

    They are ordered by the log odds of the predicted class, which still differ where probabilities round to 1.

    >>> import tempfile, modelzero as mz
    >>> run = mz.train("digits", "centroid", runs_dir=tempfile.mkdtemp())
    >>> [(each.truth, each.said) for each in surest_mistakes(run, most=2)]
    [(..., ...), (..., ...)]

    Raises:
        RunError: the run has no predictions.
    """
    logits, labels = run.test_logits.numpy().astype(np.float64), run.test_labels.numpy()
    said = logits.argmax(axis=1)
    wrong = np.flatnonzero(said != labels)
    if not len(wrong):
        return []
    rows = np.arange(len(wrong))
    rest = logits[wrong]
    highest = rest[rows, said[wrong]].copy()
    confidence = softmax(rest)[rows, said[wrong]]
    rest[rows, said[wrong]] = -np.inf
    with np.errstate(invalid="ignore", divide="ignore"):
        odds = np.nan_to_num(highest - logsumexp(rest, axis=1), nan=0.0)
    surest = np.argsort(-odds, kind="stable")[:most]
    return [
        Mistake(int(wrong[row]), int(labels[wrong[row]]), int(said[wrong[row]]), float(confidence[row]))
        for row in surest
    ]


def is_equally_sure(run: Run) -> bool:
    """Say whether a run gives the same confidence to all its predictions, as a model does that answers without looking.

    >>> import tempfile, modelzero as mz
    >>> is_equally_sure(mz.train("digits", "majority", runs_dir=tempfile.mkdtemp()))
    True

    Raises:
        RunError: the run has no predictions.
    """
    return bool(np.ptp(softmax(run.test_logits.numpy()).max(axis=1)) == 0)


def most_confused(
    labels: NDArray[np.int64], predictions: Sequence[NDArray[np.int64]], most: int = _MOST_PAIRS
) -> list[Confused]:
    """List the pairs of classes that are mixed up most often, the most frequent first, then by class.

    >>> labels = np.array([0, 0, 0, 1, 1])
    >>> most_confused(labels, [np.array([0, 1, 1, 1, 0])])
    [Confused(truth=0, said=1, count=2, share=0.666...), Confused(truth=1, said=0, count=1, share=0.5)]

    Args:
        labels: the true classes of the test images, [N].
        predictions: what each seed took them for, [N] each.
        most: pairs to list.
    """
    support = np.bincount(labels) * len(predictions)
    wrong = [np.stack([labels, said], 1)[said != labels] for said in predictions]
    pairs, counts = np.unique(np.concatenate(wrong), axis=0, return_counts=True)
    return [
        Confused(int(truth), int(said), int(counts[place]), float(counts[place] / support[truth]))
        for place in np.argsort(-counts, kind="stable")[:most]
        for truth, said in [pairs[place]]
    ]
