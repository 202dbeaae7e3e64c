"""Whether a training learned anything: compare its figures with those of the same answer for every image.

Measured in 2026-11 with the ladder's recipes, one thread (torch 2.13.0): `sign-digits` (10 classes), `ants-bees`
(2 classes, 64 x 64), `digits` in 1 to 3 epochs, and `digits` reduced to "eight or not" with 1 to 10 % eights.

    collapsed   model1, mlp on sign-digits and ants-bees: last training loss 1.0000 to 1.0013 times that of guessing
    exploded    model0 on ants-bees: 1e12 times; on sign-digits it becomes NaN
    learned     all others: 0.002 to 0.98 times, or above 1 with an accuracy beyond guessing: softmax on sign-digits
                1.14 times and 73 %, model1 on digits after one epoch 0.9994 times and 19 % (5.6 standard deviations)

The last epoch counts, not the best: mlp on sign-digits falls to 0.967 times in an early epoch, but ends collapsed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from modelzero.errors import quoted

# A training loss must be below that of guessing by this share. Even a constant answer that follows the labels of the
# last batches stays above it, because no image comes twice in an epoch.
_LOSS_MARGIN = 0.01
# The same for a test loss, in which a few confident mistakes weigh heavily.
_TEST_LOSS_MARGIN = 0.10
# Standard deviations by which an accuracy must exceed that of a constant answer: 1 in 1,000 by chance.
_BEYOND_CHANCE = 3.1
# Test images of other classes from which predicting one class for all is evidence: a model that finds half of them
# misses ten of ten once in 1,000 times.
_LEAST_OTHERS = 10


class Steps(NamedTuple):
    """The training figures of a model trained by gradient steps.

    Args:
        losses: mean training loss of each epoch.
        accuracy: on the training images in the last epoch, as a fraction; NaN if unknown.
        label_smoothing: share of each training target that is spread over all classes.
        class_weights: how much an image of each class counts in the losses; None for equally.
    """

    losses: Sequence[float]
    accuracy: float = math.nan
    label_smoothing: float = 0.0
    class_weights: Sequence[float] | None = None


def not_learned(
    predictions: NDArray[np.int64],
    labels: NDArray[np.int64],
    train_labels: NDArray[np.int64],
    classes: Sequence[str],
    *,
    test_loss: float,
    steps: Steps | None = None,
    scores: NDArray[np.float32] | None = None,
) -> dict[str, Any] | None:
    """Return why a training did not learn, as stored in the record, or None if it learned.

    The kinds are `loss`, for training by gradient steps: the last epoch's loss is not below that of guessing the class
    frequencies, and neither accuracy nor test loss is better than that of a constant answer; and `one class`: all test
    images get the same class, and the test loss shows that the probabilities are uninformative, too.

    >>> labels, dead = np.arange(100) % 2, np.zeros(100, np.int64)
    >>> not_learned(dead, labels, labels, ["ant", "bee"], test_loss=0.69, steps=Steps([0.71, 0.6934]))
    {'kind': 'loss', 'best': 0.6934, 'last': 0.6934, 'guessing': 0.6931...}
    >>> not_learned(dead, labels, labels, ["ant", "bee"], test_loss=0.69)
    {'kind': 'one class', 'class': 'ant'}
    >>> not_learned(labels, labels, labels, ["ant", "bee"], test_loss=5.0, steps=Steps([9.0])) is None
    True

    Args:
        predictions: the predicted label of each test image.
        labels: the true labels of the test images.
        train_labels: the labels of the training images.
        classes: the class names.
        test_loss: mean cross-entropy on the test images after the last epoch.
        steps: the training figures; None for models fitted in one go.
        scores: the logits of the test images [n, classes], on any scale.
    """
    train_shares, test_shares = (
        np.bincount(each, minlength=len(classes)) / len(each) for each in (train_labels, labels)
    )
    # No constant answer has a lower loss, or a higher accuracy, on these test images.
    test_loss_beats_guessing = test_loss < (1 - _TEST_LOSS_MARGIN) * _entropy(test_shares)
    train_losses = steps.losses if steps else ()
    if steps and not test_loss_beats_guessing:
        guessing = _guessing(train_shares, steps)
        at_chance = not (
            _beyond_chance(float(np.mean(predictions == labels)), float(test_shares.max()), len(labels))
            or _beyond_chance(steps.accuracy, float(train_shares.max()), len(train_labels))
        )
        if at_chance and not train_losses[-1] < (1 - _LOSS_MARGIN) * guessing:
            return {"kind": "loss", "best": min(train_losses), "last": train_losses[-1], "guessing": guessing}
    said = int(predictions[0])
    others = int((labels != said).sum())
    if (predictions == said).all() and others >= _LEAST_OTHERS and not test_loss_beats_guessing:
        # A rare class may rightly be predicted for no image, while the scores still tell which images are likelier.
        frequent = scores is not None and not train_losses and train_shares[said] > 0.5
        if not (frequent and _tells_classes(np.asarray(scores), labels, said)):
            return {"kind": "one class", "class": classes[said]}
    return None


def not_finite(epoch: int, step: int) -> dict[str, Any]:
    """Describe a training whose loss became NaN or infinite, as stored in the record.

    >>> why_not_learned(not_finite(1, 29))
    'its loss became NaN or infinite in epoch 1, step 29'
    """
    return {"kind": "not finite", "epoch": epoch, "step": step}


def why_not_learned(fields: Mapping[str, Any]) -> str:
    """Return why a training did not learn as a clause of a sentence, from the fields in the record.

    >>> why_not_learned({"kind": "loss", "best": 2.3028, "last": 2.3049, "guessing": 2.3026})
    'its training loss never fell clearly below 2.30, which guessing the class frequencies gives'
    >>> why_not_learned({"kind": "loss", "best": 2.2259, "last": 2.3026, "guessing": 2.3026})
    'its training loss fell to 2.23 but ended at 2.30, where guessing the class frequencies gives 2.30'
    >>> why_not_learned({"kind": "one class", "class": "ant"})
    "it predicts 'ant' for every test image"
    """
    kind = fields["kind"]
    if kind == "loss":
        best, last, guessing = (_shown(float(fields[name])) for name in ("best", "last", "guessing"))
        if float(fields["best"]) < (1 - _LOSS_MARGIN) * float(fields["guessing"]):
            return (
                f"its training loss fell to {best} but ended at {last}, where guessing the class frequencies gives "
                f"{guessing}"
            )
        return f"its training loss never fell clearly below {guessing}, which guessing the class frequencies gives"
    if kind == "one class":
        return f"it predicts {quoted(str(fields['class']))} for every test image"
    if kind == "not finite":
        return f"its loss became NaN or infinite in epoch {fields['epoch']}, step {fields['step']}"
    return f"its record says {quoted(str(kind))}, which this version of modelzero does not know"


def _guessing(shares: NDArray[np.float64], steps: Steps) -> float:
    """Return the lowest loss that the same answer for every training image has.

    As torch computes it, weighted: the sum over the targets, divided by the sum of the weights of the images.
    """
    targets = (1 - steps.label_smoothing) * shares + steps.label_smoothing / len(shares)
    if steps.class_weights is None:
        return _entropy(targets)
    weights = np.array(steps.class_weights)
    targets *= weights
    total = targets.sum()
    return float(total * _entropy(targets / total) / (weights * shares).sum())


def _entropy(shares: NDArray[np.float64]) -> float:
    some = shares[shares > 0]
    return float(-(some * np.log(some)).sum())


def _beyond_chance(accuracy: float, share: float, images: int) -> bool:
    """Return whether an accuracy is better than that of always predicting a class with this share."""
    return accuracy > share + _BEYOND_CHANCE * math.sqrt(share * (1 - share) / images)


def _tells_classes(scores: NDArray[np.float32], labels: NDArray[np.int64], said: int) -> bool:
    """Return whether the scores of some class are higher for its images than for others, beyond chance.

    H. B. Mann, D. R. Whitney 1947, Annals of Mathematical Statistics 18, 50-60; ties share their ranks.
    """
    for label in np.unique(labels[labels != said]):
        _, place, counts = np.unique(scores[:, label] - scores[:, said], return_inverse=True, return_counts=True)
        ranks = (np.cumsum(counts) - (counts - 1) / 2)[place]
        own = labels == label
        many, few = len(labels) - own.sum(), own.sum()
        higher = ranks[own].sum() - few * (few + 1) / 2
        if higher > many * few / 2 + _BEYOND_CHANCE * math.sqrt(many * few * (len(labels) + 1) / 12):
            return True
    return False


def _shown(loss: float) -> str:
    return f"{loss:.2f}" if 1 <= loss < 10_000 else f"{loss:.3g}"
