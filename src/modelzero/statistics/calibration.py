"""How far probabilities can be believed: scoring rules, calibration error, one temperature.

Calibration is that of the top label: of the pictures to which a model gives a confidence of 80 %, 80 % should be right.
The gaps between confidence and accuracy are taken in bins of equally many pictures and averaged as squares, because for
squares the bias that a finite test set brings is known and can be taken off (R. Roelofs and others 2022,
arXiv:2012.08668; A. Kumar, P. Liang, T. Ma 2019, arXiv:1909.10155).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from modelzero.statistics.intervals import accuracy_interval

# Guo and others (2017) and Roelofs and others (2022) use 15; with fewer pictures than these in a bin it says little.
BINS = 15
_LEAST_IN_BIN = 20
# Temperatures. Beyond them probabilities are 0 and 1, or all alike; distances as logits can need some hundred.
_COLDEST, _HOTTEST = 0.001, 1000.0


@dataclass(frozen=True)
class Bin:
    """Pictures to which a model gives about the same confidence. All but the count are fractions.

    Args:
        count: how many pictures.
        confidence: their mean confidence.
        accuracy: the share of them that is right.
        low: lower end of the 95 % interval of that share.
        high: its upper end.
    """

    count: int
    confidence: float
    accuracy: float
    low: float
    high: float


@dataclass(frozen=True)
class Calibration:
    """How well probabilities fit what came true.

    Args:
        n: pictures that it was measured on.
        nll: negative log-likelihood, the mean of -log(probability of the true class), in nats; infinite where one is 0.
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


def calibration(probabilities: NDArray[np.float64], labels: ArrayLike, *, seed: int = 0) -> Calibration:
    """Measure everything that is said of the calibration of a model.

    >>> result = calibration(np.array([[0.8, 0.2]] * 100), [0] * 80 + [1] * 20)
    >>> round(result.ece, 9), result.ece_debiased, round(result.brier, 2)
    (0.0, 0.0, 0.32)

    Args:
        probabilities: [N, C], each row adds up to 1.
        labels: true label numbers [N].
        seed: of the simulation of perfect calibration.
    """
    labels = np.asarray(labels, np.int64)
    confidence, right = top_label(probabilities, labels)
    bins = reliability(confidence, right)
    mean, low, high, noise = perfect_calibration(confidence, seed=seed)
    return Calibration(
        n=len(labels),
        nll=negative_log_likelihood(probabilities, labels),
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
    the pictures say nothing about it, because the logits of each are all alike.

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
    if not scaled.size or not (scaled < 0).any():
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


def reliability(confidence: NDArray[np.float64], right: NDArray[np.bool_], bins: int = BINS) -> list[Bin]:
    """Put pictures of like confidence into bins of equally many, as far as equal confidences allow.

    Pictures with one confidence are never divided. Small sets get fewer bins, with 20 pictures in each.

    >>> [each.count for each in reliability(np.linspace(0.5, 1, 100), np.ones(100, bool))]
    [20, 20, 20, 20, 20]
    """
    order, starts = _binned(confidence, bins)
    counts = np.diff(np.append(starts, len(order)))
    correct = np.add.reduceat(right[order].astype(np.int64), starts)
    sums = np.add.reduceat(confidence[order], starts)
    return [
        Bin(int(n), float(total / n), float(k / n), *accuracy_interval(int(k), int(n)))
        for n, total, k in zip(counts, sums, correct, strict=True)
    ]


def calibration_error(bins: list[Bin]) -> float:
    """Return the root of the mean squared gap between confidence and accuracy, each bin weighted by its pictures.

    >>> calibration_error([Bin(10, 0.9, 0.8, 0.4, 1.0), Bin(30, 0.5, 0.5, 0.3, 0.7)])
    0.05
    """
    weight, gap, _ = _columns(bins)
    return round(math.sqrt(float(weight @ np.square(gap))), 15)


def debiased_square(bins: list[Bin]) -> float:
    """Return the mean squared gap without its bias: the variance that chance gives to the accuracy of each bin.

    For a perfectly calibrated model it is 0 on average, so it is negative about as often as not.

    >>> round(debiased_square([Bin(11, 0.9, 0.5, 0.2, 0.8)]), 4)  # 0.4 ** 2 - 0.5 * 0.5 / 10
    0.135
    """
    weight, gap, chance = _columns(bins)
    return float(weight @ (np.square(gap) - chance))


def perfect_calibration(
    confidence: NDArray[np.float64], *, bins: int = BINS, repeats: int = 500, seed: int = 0
) -> tuple[float, float, float, float]:
    """Simulate what calibration errors a perfectly calibrated model with these confidences would show.

    Each picture is right with the probability that its confidence says, `repeats` times.

    >>> mean, low, high, noise = perfect_calibration(np.full(1000, 0.8))
    >>> 0 <= low < mean < high < 0.05, 0 < noise < 0.05
    (True, True)

    Returns:
        The mean ECE, the ends of the range that holds 95 % of them, and what 95 % of the debiased ones stay below.
    """
    order, starts = _binned(confidence, bins)
    ordered = confidence[order]
    counts = np.diff(np.append(starts, len(order)))
    rng = np.random.default_rng(seed)
    accuracy = np.empty((repeats, len(starts)))
    for number, (start, count) in enumerate(zip(starts, counts, strict=True)):
        own = ordered[start : start + count]
        if (own == own[0]).all():
            accuracy[:, number] = rng.binomial(count, min(1.0, own[0]), repeats) / count
        else:
            accuracy[:, number] = (rng.random((repeats, count), np.float32) < own.astype(np.float32)).mean(axis=1)
    weight = counts / counts.sum()
    squares = np.square(accuracy - np.add.reduceat(ordered, starts) / counts)
    chance = accuracy * (1 - accuracy) / np.maximum(counts - 1, 1)
    plain = np.sqrt(squares @ weight)
    debiased = np.sqrt(np.maximum(0.0, (squares - chance) @ weight))
    low, high = np.quantile(plain, [0.025, 0.975])
    return float(plain.mean()), float(low), float(high), float(np.quantile(debiased, 0.95))


def _binned(confidence: NDArray[np.float64], bins: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the order from the least confident to the most, and where in it the bins start."""
    order = np.argsort(confidence, kind="stable")
    ordered = confidence[order]
    wanted = max(1, min(bins, len(order) // _LEAST_IN_BIN))
    edges = ordered[np.arange(1, wanted) * len(order) // wanted]
    return order, np.unique(np.append(0, np.searchsorted(ordered, edges, side="left")))


def _columns(bins: list[Bin]) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return each bin's weight, its gap, and the variance that chance gives to its accuracy."""
    counts = np.array([each.count for each in bins])
    accuracy = np.array([each.accuracy for each in bins])
    gap = accuracy - np.array([each.confidence for each in bins])
    return counts / counts.sum(), gap, accuracy * (1 - accuracy) / np.maximum(counts - 1, 1)
