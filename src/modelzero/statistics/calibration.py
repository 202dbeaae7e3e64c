"""How far probabilities can be believed: scoring rules, calibration error, one temperature."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from modelzero.statistics.reliability import (
    Bin,
    calibration_error,
    debiased_square,
    perfect_calibration,
    reliability,
)

# Temperatures. Beyond them probabilities are 0 and 1, or all alike; distances as logits can need some hundred.
_COLDEST, _HOTTEST = 0.001, 1000.0


@dataclass(frozen=True)
class Calibration:
    """How well probabilities fit what came true.

    Args:
        n: pictures that it was measured on.
        nll: negative log-likelihood, the mean of -log(probability of the true class), in nats.
        brier: the mean of the squared distance between the probabilities and the truth, 0 to 2.
        confidence: mean probability of the predicted class.
        accuracy: share that is right.
        ece: expected calibration error: root of the mean squared gap of the bins.
        ece_debiased: the same without what chance adds to it; 0 where chance would have given more.
        ece_perfect: the mean `ece` that a perfectly calibrated model with these confidences would show.
        ece_perfect_low: 95 % of such models show an `ece` between this,
        ece_perfect_high: and this.
        ece_debiased_noise: 95 % of such models show an `ece_debiased` up to this.
        bins: from the least confident to the most confident.
    """

    n: int
    nll: float
    brier: float
    confidence: float
    accuracy: float
    ece: float
    ece_debiased: float
    ece_perfect: float
    ece_perfect_low: float
    ece_perfect_high: float
    ece_debiased_noise: float
    bins: list[Bin]


def calibration(logits: ArrayLike, labels: ArrayLike, *, temperature: float = 1.0, seed: int = 0) -> Calibration:
    """Measure everything that is said of the calibration of a model.

    >>> result = calibration(np.log([[0.8, 0.2]] * 100), [0] * 80 + [1] * 20)
    >>> round(result.ece, 9), result.ece_debiased, round(result.brier, 2)
    (0.0, 0.0, 0.32)

    Args:
        logits: [N, C].
        labels: true label numbers [N].
        temperature: what the logits are divided by.
        seed: of the simulation of perfect calibration.
    """
    labels = np.asarray(labels, np.int64)
    probabilities = softmax(logits, temperature)
    confidence, right = top_label(probabilities, labels)
    bins = reliability(confidence, right)
    mean, low, high, noise = perfect_calibration(confidence, seed=seed)
    return Calibration(
        n=len(labels),
        nll=cross_entropy(logits, labels, temperature),
        brier=brier_score(probabilities, labels),
        confidence=float(confidence.mean()),
        accuracy=float(right.mean()),
        ece=calibration_error(bins),
        ece_debiased=math.sqrt(max(0.0, debiased_square(bins))),
        ece_perfect=mean,
        ece_perfect_low=low,
        ece_perfect_high=high,
        ece_debiased_noise=noise,
        bins=bins,
    )


def softmax(logits: ArrayLike, temperature: float = 1.0) -> NDArray[np.float64]:
    """Turn logits into probabilities; a temperature above 1 makes them less sure, and changes no predicted class.

    >>> softmax([0.0, np.log(3.0)]).round(4).tolist(), softmax([0.0, np.log(9.0)], temperature=2.0).round(4).tolist()
    ([0.25, 0.75], [0.25, 0.75])

    Args:
        logits: [..., C].
        temperature: what they are divided by, above 0.
    """
    scaled = np.array(logits, np.float64)
    scaled -= scaled.max(axis=-1, keepdims=True)
    behind = scaled < 0
    scaled /= temperature
    np.exp(scaled, out=scaled)
    np.minimum(scaled, 1 - 1e-15, out=scaled, where=behind)  # what lost by a hair must not come out even
    scaled /= scaled.sum(axis=-1, keepdims=True)
    return scaled


def fit_temperature(logits: ArrayLike, labels: ArrayLike) -> float:
    """Find the temperature with the least negative log-likelihood (C. Guo and others 2017, arXiv:1706.04599).

    Fit it on pictures that were neither trained on nor are reported on, such as those of `calibration_cut`. There is
    one minimum: the likelihood is convex in 1 / temperature. The answer lies between 0.001 and 1000, and is 1 where
    the pictures say nothing about it: because the logits of each are all alike, or because the model is right on all of
    them, which would have any doubt removed.

    >>> logits = np.log([[0.9, 0.1]] * 10)  # says 90 %, and is right in 8 of 10
    >>> temperature = fit_temperature(logits, [0] * 8 + [1] * 2)
    >>> softmax(logits, temperature)[0].round(6).tolist()
    [0.8, 0.2]

    Args:
        logits: [N, C].
        labels: true label numbers [N].
    """
    from scipy.optimize import brentq

    scaled, labels = np.array(logits, np.float64), np.asarray(labels, np.int64)
    scaled -= scaled.max(axis=1, keepdims=True)
    of_truth = scaled[np.arange(len(labels)), labels]
    scaled[~np.isfinite(scaled)] = -np.inf
    known = np.isfinite(of_truth)  # a true class that was given no chance at all is as wrong at every temperature
    scaled, of_truth = scaled[known], of_truth[known]
    if not scaled.size or not (scaled < 0).any() or (known.all() and (of_truth == 0).all()):
        return 1.0

    def slope(log_temperature: float) -> float:
        weights = np.exp(scaled * math.exp(-log_temperature))
        expected = np.sum(weights * np.where(weights > 0, scaled, 0.0), axis=1) / weights.sum(axis=1)
        return float(np.mean(expected - of_truth))  # of the likelihood in 1 / temperature

    coldest, hottest = math.log(_COLDEST), math.log(_HOTTEST)
    if slope(coldest) <= 0:
        return _COLDEST
    if slope(hottest) >= 0:
        return _HOTTEST
    return math.exp(brentq(slope, coldest, hottest, xtol=1e-9))


def calibration_cut(labels: ArrayLike, seed: int = 0) -> NDArray[np.bool_]:
    """Draw half of the pictures, half of each class, to fit a temperature on; the other half is for the report.

    >>> cut = calibration_cut([0, 0, 0, 0, 1, 1])
    >>> int(cut[:4].sum()), int(cut[4:].sum())
    (2, 1)

    Args:
        labels: true label numbers [N].
        seed: of the draw.

    Returns:
        bool [N], true where the temperature is fitted.
    """
    labels = np.asarray(labels, np.int64)
    drawn = np.random.default_rng(seed).permutation(len(labels))
    drawn = drawn[np.argsort(labels[drawn], kind="stable")]  # class by class, each in random order: take every second
    cut = np.zeros(len(labels), np.bool_)
    cut[drawn[::2]] = True
    return cut


def negative_log_likelihood(probabilities: NDArray[np.float64], labels: ArrayLike) -> float:
    """Return the mean of -log(probability of the true class), in nats; infinite where one of them is 0.

    >>> round(negative_log_likelihood(np.array([[0.5, 0.5], [0.25, 0.75]]), [0, 1]), 4)
    0.4904
    """
    labels = np.asarray(labels, np.int64)
    with np.errstate(divide="ignore"):
        return float(-np.log(probabilities[np.arange(len(labels)), labels]).mean() + 0.0)


def cross_entropy(logits: ArrayLike, labels: ArrayLike, temperature: float = 1.0) -> float:
    """Return the negative log-likelihood from logits: also where a probability is too small to be told from 0.

    >>> cross_entropy([[0.0, -2000.0]], [1])
    2000.0
    """
    labels = np.asarray(labels, np.int64)
    scaled = np.array(logits, np.float64)
    scaled -= scaled.max(axis=1, keepdims=True)
    scaled /= temperature
    of_truth = scaled[np.arange(len(labels)), labels]
    return float((np.log(np.exp(scaled).sum(axis=1)) - of_truth).mean())


def brier_score(probabilities: NDArray[np.float64], labels: ArrayLike) -> float:
    """Return the mean over the pictures of the squared distance from the truth, summed over the classes: 0 to 2.

    G. W. Brier 1950, Monthly Weather Review 78, 1-3.

    >>> brier_score(np.array([[0.5, 0.5], [0.0, 1.0]]), [0, 1])
    0.25
    """
    labels = np.asarray(labels, np.int64)
    of_truth = probabilities[np.arange(len(labels)), labels]
    # (p - 1)^2 = p^2 - 2p + 1 at the true class: no matrix of the truth is needed.
    return float((np.square(probabilities).sum(axis=1) - 2 * of_truth + 1).mean())


def top_label(probabilities: NDArray[np.float64], labels: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return the confidence in the predicted class [N], and whether it is right [N]."""
    predicted = probabilities.argmax(axis=1)
    return probabilities[np.arange(len(predicted)), predicted], predicted == np.asarray(labels, np.int64)
