"""The most confident mistakes of a model, and the classes it confuses most."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.special import logsumexp
from torch import Tensor

from modelzero.runs.run import Run
from modelzero.statistics.calibration import softmax

_MOST_PAIRS = 30
_SIDE = 64  # pixels of the longer side: larger images are shrunk to this


@dataclass(frozen=True)
class Mistake:
    """A test image that a model got wrong.

    Args:
        position: of the image in the test split, counted from 0.
        truth: its true class.
        said: the predicted class.
        confidence: the probability of the predicted class.
    """

    position: int
    truth: int
    said: int
    confidence: float


@dataclass(frozen=True)
class Confused:
    """How often one class was predicted for images of another, over all seeds.

    Args:
        truth: the true class.
        said: the predicted class.
        count: how often.
        share: fraction of the predictions for images of the true class.
    """

    truth: int
    said: int
    count: int
    share: float


def most_confident_mistakes(run: Run, most: int) -> list[Mistake]:
    """Find the wrong predictions with the highest confidence, the most confident first.

    The order is that of the log odds of the predicted class, which differ even where probabilities round to 1.

    >>> import tempfile, modelzero as mz
    >>> run = mz.train("digits", "centroid", runs_dir=tempfile.mkdtemp())
    >>> [(each.truth, each.said) for each in most_confident_mistakes(run, most=2)]
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
    """Return whether a run gives the same confidence to all its predictions, as a constant model does.

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
    """List the pairs of classes that are confused most often, the most frequent first, then by class.

    >>> labels = np.array([0, 0, 0, 1, 1])
    >>> most_confused(labels, [np.array([0, 1, 1, 1, 0])])
    [Confused(truth=0, said=1, count=2, share=0.666...), Confused(truth=1, said=0, count=1, share=0.5)]

    Args:
        labels: the true classes of the test images, [N].
        predictions: the predicted classes of each seed, [N] each.
        most: maximum number of pairs.
    """
    support = np.bincount(labels) * len(predictions)
    wrong = [np.stack([labels, said], 1)[said != labels] for said in predictions]
    pairs, counts = np.unique(np.concatenate(wrong), axis=0, return_counts=True)
    return [
        Confused(int(truth), int(said), int(counts[place]), float(counts[place] / support[truth]))
        for place in np.argsort(-counts, kind="stable")[:most]
        for truth, said in [pairs[place]]
    ]


def as_png(pixels: Tensor) -> bytes:
    """Write an image [C, H, W] as a small PNG, shrunk to at most 64 pixels.

    >>> import torch
    >>> as_png(torch.zeros(3, 100, 50, dtype=torch.uint8))[1:4]
    b'PNG'
    """
    channels = pixels.shape[0]
    array = pixels.permute(1, 2, 0).numpy() if channels == 3 else pixels[0].numpy()
    image = Image.fromarray(array)
    longer = max(image.size)
    if longer > _SIDE:
        width, height = (max(1, round(side * _SIDE / longer)) for side in image.size)
        image = image.resize((width, height), Image.Resampling.BOX)
    written = io.BytesIO()
    image.save(written, "png", optimize=True)
    return written.getvalue()


def as_data_uri(pixels: Tensor) -> str:
    """Write an image [C, H, W] as a data URI, for a self-contained page."""
    return "data:image/png;base64," + base64.b64encode(as_png(pixels)).decode()
