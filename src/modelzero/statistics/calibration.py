"""Measure calibration: scoring rules, calibration error, temperature scaling."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from modelzero.statistics.reliability import (
    Bin,
    alikeness,
    calibration_error,
    debiased_square,
    perfect_calibration,
    reliability,
)
from modelzero.statistics.units import Units
from modelzero.statistics.variance import half_width

# Limits of the temperature. Beyond them probabilities are 0 and 1, or all equal; distances as logits take some hundred.
_COLDEST, _HOTTEST = 0.001, 1000.0


@dataclass(frozen=True)
class Calibration:
    """How well probabilities match the true classes.

    Args:
        n: images that it was measured on.
        nll: negative log-likelihood, the mean of -log(probability of the true class), in nats.
        brier: the mean of the squared distance between the probabilities and the truth, 0 to 2.
        confidence: mean probability of the predicted class.
        accuracy: fraction that is right.
        ece: calibration error: root of the mean squared gap of the bins.
        ece_debiased: the same without the part due to chance, at least 0.
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


def calibration(
    logits: ArrayLike,
    labels: ArrayLike,
    *,
    temperature: float = 1.0,
    seed: int = 0,
    groups: ArrayLike | None = None,
) -> Calibration:
    """Measure the calibration of a model.

    >>> result = calibration(np.log([[0.8, 0.2]] * 100), [0] * 80 + [1] * 20)
    >>> round(result.ece, 9), result.ece_debiased, round(result.brier, 2)
    (0.0, 0.0, 0.32)

    Args:
        logits: [N, C].
        labels: true label numbers [N].
        temperature: what the logits are divided by.
        seed: of the simulation of perfect calibration.
        groups: [N], what each image belongs to; None where the images are independent.
    """
    labels = np.asarray(labels, np.int64)
    probabilities = softmax(logits, temperature)
    confidence, right = top_label(probabilities, labels)
    bins = reliability(confidence, right, groups=groups)
    alike = 0.0 if groups is None else alikeness(confidence, right, groups)
    mean, low, high, noise = perfect_calibration(confidence, seed=seed, groups=groups, alike=alike)
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
    """Turn logits into probabilities; a temperature above 1 makes them less confident, and changes no predicted class.

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
    np.minimum(scaled, 1 - 1e-15, out=scaled, where=behind)  # a near tie must not become a tie
    scaled /= scaled.sum(axis=-1, keepdims=True)
    return scaled


@dataclass(frozen=True)
class Temperature:
    """One number that logits are divided by, so that the probabilities fit better.

    Args:
        value: the one to use: `fitted` if the interval excludes 1, else 1. On few images a fitted temperature makes a
            calibrated model worse more often than better.
        fitted: the temperature with the least negative log-likelihood.
        low: lower end of its 95 % interval.
        high: its upper end.
    """

    value: float
    fitted: float
    low: float
    high: float


def fit_temperature(logits: ArrayLike, labels: ArrayLike, *, groups: ArrayLike | None = None) -> Temperature:
    """Find the temperature with the least negative log-likelihood (C. Guo and others 2017, arXiv:1706.04599).

    Fit it on images that are used neither for training nor for the report, such as those of `calibration_cut`. There is
    one minimum: the likelihood is convex in 1 / temperature. The result lies between 0.001 and 1000, and is 1 if the
    images say nothing about it: if the logits of each image are equal, or if the model is right on all images, which
    would lead to confidences of 1.

    The interval holds the temperatures at which the slope of the likelihood is not significantly different from 0: a
    score test with the variance of the slope between images, or between groups of images (H. White 1982, Econometrica
    50, 1-25), and Student's t.

    >>> logits = np.log([[0.9, 0.1]] * 1000)  # says 90 %, and is right in 800 of 1,000
    >>> temperature = fit_temperature(logits, [0] * 800 + [1] * 200)
    >>> softmax(logits, temperature.value)[0].round(6).tolist(), temperature.low < temperature.value < temperature.high
    ([0.8, 0.2], True)
    >>> fit_temperature(logits[:10], [0] * 8 + [1] * 2).value
    1.0

    Args:
        logits: [N, C].
        labels: true label numbers [N].
        groups: [N], what each image belongs to; None where the images are independent.
    """
    from scipy.optimize import brentq

    scaled, labels = np.array(logits, np.float64), np.asarray(labels, np.int64)
    scaled -= scaled.max(axis=1, keepdims=True)
    of_truth = scaled[np.arange(len(labels)), labels]
    scaled[~np.isfinite(scaled)] = -np.inf
    known = np.isfinite(of_truth)  # a true class of probability 0 is equally wrong at every temperature
    scaled, of_truth = scaled[known], of_truth[known]
    if not scaled.size or not (scaled < 0).any() or (known.all() and (of_truth == 0).all()):
        return Temperature(1.0, 1.0, _COLDEST, _HOTTEST)
    units = Units.of(len(of_truth), None if groups is None else np.asarray(groups)[known])

    def slopes(log_temperature: float) -> NDArray[np.float64]:
        weights = np.exp(scaled * math.exp(-log_temperature))
        expected = np.sum(weights * np.where(weights > 0, scaled, 0.0), axis=1) / weights.sum(axis=1)
        return np.asarray(expected - of_truth)  # of each image's cost in 1 / temperature

    def slope(log_temperature: float) -> float:
        return float(slopes(log_temperature).mean())

    coldest, hottest = math.log(_COLDEST), math.log(_HOTTEST) + 1e-12  # so that `exp` gives the hottest back
    if slope(coldest) <= 0:
        best = coldest
    elif slope(hottest) >= 0:
        best = hottest
    else:
        best = brentq(slope, coldest, hottest, xtol=1e-9)
    if units.count < 2:  # one group says nothing about the next
        return Temperature(1.0, min(max(math.exp(best), _COLDEST), _HOTTEST), _COLDEST, _HOTTEST)
    reach = half_width(1.0, units.freedom, 0.025)

    def outside(log_temperature: float) -> float:
        each = slopes(log_temperature)
        return abs(float(each.mean())) - float(reach) * math.sqrt(_variance_of_mean(each, units))

    low, high = (
        end if outside(end) <= 0 or outside(best) >= 0 else brentq(outside, *sorted((end, best)), xtol=1e-6)
        for end in (coldest, hottest)
    )
    low, high = min(low, best), max(high, best)
    fitted, lowest, highest = (min(max(math.exp(each), _COLDEST), _HOTTEST) for each in (best, low, high))
    return Temperature(1.0 if low <= 0.0 <= high else fitted, fitted, lowest, highest)


def _variance_of_mean(values: NDArray[np.float64], units: Units) -> float:
    """Return the variance of a mean over images, from its variation between units; see `Units.variance_of_mean`."""
    deviations = values - values.mean()
    if units.index is not None:
        deviations = np.bincount(units.index, weights=deviations)
    return units.correction * float(np.square(deviations).sum()) / units.n**2


def calibration_cut(labels: ArrayLike, seed: int = 0, *, groups: ArrayLike | None = None) -> NDArray[np.bool_]:
    """Draw half of the images, half of each class, to fit a temperature on; the other half is for the report.

    Groups are kept whole: then it is half of the groups, large and small ones alike.

    >>> cut = calibration_cut([0, 0, 0, 0, 1, 1])
    >>> int(cut[:4].sum()), int(cut[4:].sum())
    (2, 1)

    Args:
        labels: true label numbers [N].
        seed: of the draw.
        groups: [N], what each image belongs to; None where the images are independent.

    Returns:
        bool [N], true where the temperature is fitted.
    """
    labels = np.asarray(labels, np.int64)
    units = Units.of(len(labels), groups)
    if units.index is not None:
        drawn = np.random.default_rng(seed).permutation(units.count)
        drawn = drawn[np.argsort(units.sizes[drawn], kind="stable")]  # of like sizes every second
        return np.isin(units.index, drawn[::2])
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
    """Return the negative log-likelihood from logits, also if a probability rounds to 0.

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
    """Return the mean over the images of the squared distance from the truth, summed over the classes: 0 to 2.

    G. W. Brier 1950, Monthly Weather Review 78, 1-3.

    >>> brier_score(np.array([[0.5, 0.5], [0.0, 1.0]]), [0, 1])
    0.25
    """
    labels = np.asarray(labels, np.int64)
    of_truth = probabilities[np.arange(len(labels)), labels]
    # (p - 1)^2 = p^2 - 2p + 1 at the true class: this saves a one-hot matrix.
    return float((np.square(probabilities).sum(axis=1) - 2 * of_truth + 1).mean())


def top_label(probabilities: NDArray[np.float64], labels: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return the confidence in the predicted class [N], and whether it is right [N]."""
    predicted = probabilities.argmax(axis=1)
    return probabilities[np.arange(len(predicted)), predicted], predicted == np.asarray(labels, np.int64)
