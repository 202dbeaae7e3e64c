"""Calibration: against closed forms, scikit-learn, brute force and simulation."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.optimize import minimize_scalar
from sklearn.metrics import brier_score_loss, log_loss

from modelzero.statistics.calibration import (
    brier_score,
    calibration,
    calibration_cut,
    cross_entropy,
    fit_temperature,
    negative_log_likelihood,
    softmax,
    top_label,
)
from modelzero.statistics.reliability import Bin, calibration_error, debiased_square, perfect_calibration, reliability


def _believed(n, classes, seed, sharpness=2.0):
    """Logits, and labels drawn from their own probabilities: a perfectly calibrated model."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(n, classes)) * sharpness
    probabilities = softmax(logits)
    labels = (probabilities.cumsum(axis=1) < rng.random((n, 1))).sum(axis=1)
    return logits, probabilities, np.minimum(labels, classes - 1)


def test_scores_are_those_of_scikit_learn():
    """Likelihood and Brier score of probabilities that are far from right."""
    _, probabilities, _ = _believed(500, 7, seed=1)
    labels = np.random.default_rng(2).integers(0, 7, 500)
    assert negative_log_likelihood(probabilities, labels) == pytest.approx(log_loss(labels, probabilities))
    theirs = brier_score_loss(labels, probabilities, labels=range(7), scale_by_half=False)
    assert brier_score(probabilities, labels) == pytest.approx(theirs)
    logits = np.random.default_rng(3).normal(size=(500, 7))
    assert cross_entropy(logits, labels, 0.5) == pytest.approx(log_loss(labels, softmax(logits, 0.5)))


def test_scores_of_a_perfect_and_a_lying_model():
    """Certain and right costs nothing; certain and wrong costs 2, and no likelihood is left."""
    probabilities = np.eye(3)
    assert brier_score(probabilities, [0, 1, 2]) == 0.0
    assert negative_log_likelihood(probabilities, [0, 1, 2]) == 0.0
    assert brier_score(probabilities, [1, 2, 0]) == 2.0
    assert negative_log_likelihood(probabilities, [1, 2, 0]) == math.inf


def test_reliability_is_that_of_a_plain_loop():
    """Sorted, cut into 15 parts of equal size, each averaged by hand."""
    _, probabilities, labels = _believed(3000, 4, seed=3)
    confidence, right = top_label(probabilities, labels)
    order = sorted(range(3000), key=lambda i: confidence[i])
    parts = [order[k * 200 : (k + 1) * 200] for k in range(15)]
    bins = reliability(confidence, right)
    assert [each.count for each in bins] == [200] * 15
    for part, each in zip(parts, bins, strict=True):
        assert each.confidence == pytest.approx(sum(confidence[i] for i in part) / 200)
        assert each.accuracy == pytest.approx(sum(right[i] for i in part) / 200)
        assert each.low < each.accuracy < each.high or each.accuracy in (0, 1)
    square = sum(200 / 3000 * (each.accuracy - each.confidence) ** 2 for each in bins)
    assert calibration_error(bins) == pytest.approx(math.sqrt(square))
    chance = sum(200 / 3000 * each.accuracy * (1 - each.accuracy) / 199 for each in bins)
    assert debiased_square(bins) == pytest.approx(square - chance)


def test_equal_confidences_are_never_divided():
    """A model that is always equally sure has one bin, and its gap is exactly what it overestimates itself by."""
    bins = reliability(np.full(1000, 0.75), np.arange(1000) < 700)
    assert bins == [Bin(1000, 0.75, 0.7, bins[0].low, bins[0].high, pytest.approx(0.7 * 0.3 / 999))]
    assert calibration_error(bins) == pytest.approx(0.05)
    three = reliability(np.repeat([0.4, 0.6, 1.0], [10, 500, 490]), np.ones(1000, bool))
    assert [(each.count, round(each.confidence, 9)) for each in three] == [(10, 0.4), (500, 0.6), (490, 1.0)]


@pytest.mark.parametrize("n", [1, 2, 19, 20, 41])
def test_few_images_are_enough_for_an_answer(n):
    """Small test sets get fewer bins and no error."""
    logits, _, labels = _believed(n, 3, seed=n)
    result = calibration(logits, labels)
    assert len(result.bins) == max(1, n // 20)
    assert sum(each.count for each in result.bins) == n
    assert math.isfinite(result.ece)


def test_debiased_error_of_a_calibrated_model_is_zero_within_its_noise():
    """Over 300 calibrated models the debiased square averages to 0, while the plain one does not."""
    squares, plain, below = [], [], []
    for seed in range(300):
        logits, probabilities, labels = _believed(2000, 5, seed=seed)
        bins = reliability(*top_label(probabilities, labels))
        squares.append(debiased_square(bins))
        plain.append(calibration_error(bins))
        if seed < 60:
            result = calibration(logits, labels, seed=seed)
            below.append(result.ece_debiased <= result.ece_debiased_noise)
            assert result.ece_debiased == math.sqrt(max(0.0, squares[-1]))
    error = np.std(squares) / math.sqrt(300)
    assert abs(np.mean(squares)) < 3 * error
    assert np.mean(plain) ** 2 > 30 * error  # what chance alone adds to it
    assert sum(below) >= 53  # 95 % of 60 are 57; fewer than 53 happen once in 40 tries


def test_expected_error_of_perfect_calibration_is_what_such_models_show():
    """The simulated mean and range are met by models whose labels were drawn from their probabilities."""
    shown, inside = [], []
    for seed in range(150):
        _, probabilities, labels = _believed(1000, 5, seed=seed)
        confidence, right = top_label(probabilities, labels)
        error = calibration_error(reliability(confidence, right))
        mean, low, high, _ = perfect_calibration(confidence, repeats=200, seed=seed)
        shown.append(error - mean)
        inside.append(low <= error <= high)
    assert abs(np.mean(shown)) < 3 * np.std(shown) / math.sqrt(150)
    assert 0.89 < np.mean(inside) < 0.99


def test_an_overconfident_model_is_found_out():
    """Logits three times as large as they should be: far above what chance gives, and the temperature is 3."""
    logits, _, labels = _believed(5000, 5, seed=4, sharpness=1.0)
    result = calibration(3 * logits, labels)
    assert result.ece_debiased > 5 * result.ece_debiased_noise
    assert result.ece > 5 * result.ece_perfect_high
    assert result.confidence > result.accuracy + 0.1
    found = fit_temperature(3 * logits, labels)
    assert found.value == found.fitted == pytest.approx(3, rel=0.05)
    assert found.low < 3 < found.high


@pytest.mark.parametrize("stretch", [0.2, 1.0, 5.0])
def test_temperature_is_that_of_a_search(stretch):
    """A bounded search over the likelihood of scikit-learn finds the same minimum."""
    logits, _, labels = _believed(800, 4, seed=5)
    logits = (stretch * logits).astype(np.float32)

    def cost(log_temperature):
        return log_loss(labels, softmax(logits, math.exp(log_temperature)), labels=range(4))

    found = minimize_scalar(cost, bounds=(-4, 4), method="bounded", options={"xatol": 1e-7})
    assert fit_temperature(logits, labels).fitted == pytest.approx(math.exp(found.x), rel=1e-4)


def test_temperature_where_there_is_no_minimum():
    """All right, or logits all alike: 1; all wrong: the hottest; a class without any chance is skipped."""
    logits = np.array([[2.0, 0.0], [0.0, 2.0]])
    assert fit_temperature(logits, [0, 1]).fitted == 1.0
    assert fit_temperature(logits, [1, 0]).fitted == 1000.0
    assert fit_temperature(np.zeros((4, 3)), [0, 1, 2, 0]).fitted == 1.0
    impossible = np.array([[0.0, -np.inf], [0.0, -1.0], [0.0, -1.0]])
    assert fit_temperature(impossible[:1], [1]).fitted == 1.0
    assert fit_temperature(impossible, [1, 0, 1]) == fit_temperature(impossible[1:], [0, 1])
    assert fit_temperature(np.array([[1e30, -1e30]] * 10), [0] * 9 + [1]).fitted == 1000.0


def test_temperature_of_a_calibrated_model_stays_1_on_few_images():
    """In 19 of 20 draws; the fitted one lies far from 1 in many of them."""
    found = [fit_temperature(*_believed(25, 3, seed=seed, sharpness=1.5)[::2]) for seed in range(200)]
    assert sum(each.value == 1 for each in found) >= 0.88 * 200
    assert sum(not 0.8 < each.fitted < 1.25 for each in found) > 40
    assert all(each.low <= each.fitted <= each.high for each in found)


def test_one_group_settles_no_temperature():
    """Whatever it says: its interval is all there is, and the temperature stays 1."""
    for seed in range(30):
        logits, _, labels = _believed(25, 3, seed=seed)
        found = fit_temperature(3 * logits, labels, groups=[0] * 25)
        assert (found.value, found.low, found.high) == (1.0, 0.001, 1000.0)


def test_the_interval_of_the_temperature_holds_the_truth():
    """95 % of 300 draws, but for noise; with near copies only where their groups are known."""
    held, plain = 0, 0
    for seed in range(300):
        logits, _, labels = _believed(150, 4, seed=seed)
        found = fit_temperature(1.5 * logits, labels)
        held += found.low <= 1.5 <= found.high
    assert held >= 0.91 * 300
    grouped = 0
    for seed in range(150):
        logits, _, labels = _believed(60, 4, seed=seed)
        logits, labels = (1.5 * logits).repeat(8, axis=0), labels.repeat(8)
        found = fit_temperature(logits, labels, groups=np.arange(60).repeat(8))
        grouped += found.low <= 1.5 <= found.high
        found = fit_temperature(logits, labels)
        plain += found.low <= 1.5 <= found.high
    assert grouped >= 0.88 * 150
    assert plain < 0.7 * 150


def test_copies_do_not_make_a_calibrated_model_look_wrong():
    """Sixty images eight times each: by groups the noise of perfect calibration covers them, image by image not."""
    by_groups, by_images = 0, 0
    for seed in range(60):
        logits, _, labels = _believed(60, 4, seed=seed, sharpness=1.0)
        logits, labels = logits.repeat(8, axis=0), labels.repeat(8)
        found = calibration(logits, labels, groups=np.arange(60).repeat(8))
        by_groups += found.ece_debiased <= found.ece_debiased_noise
        plain = calibration(logits, labels)
        by_images += plain.ece_debiased <= plain.ece_debiased_noise
    assert by_groups >= 0.85 * 60
    assert by_images < 0.5 * 60


@given(
    arrays(np.float32, (6, 4), elements=st.floats(-1e4, 1e4, width=32)),
    st.floats(0.001, 1000),
)
def test_temperature_changes_no_predicted_class(logits, temperature):
    """Not even where two logits differ in their last bit, and where probabilities underflow."""
    assert (softmax(logits, temperature).argmax(1) == logits.argmax(1)).all()
    assert softmax(logits, temperature).sum(1) == pytest.approx(1)


def test_cut_is_half_of_each_class_and_follows_from_its_seed():
    """The two halves differ by one image of a class at most, also in all."""
    labels = np.random.default_rng(0).integers(0, 10, 997)
    cut = calibration_cut(labels)
    assert abs(int(cut.sum()) - int((~cut).sum())) <= 1
    for label in range(10):
        assert abs(int(cut[labels == label].sum()) - int((~cut)[labels == label].sum())) <= 1
    assert (cut == calibration_cut(labels)).all()
    assert not (cut == calibration_cut(labels, seed=1)).all()
    assert calibration_cut([3]).tolist() == [True]


def test_cut_keeps_groups_whole():
    """Half of the groups, whatever their sizes, and each on one side."""
    groups = np.repeat(np.arange(41), np.arange(1, 42))
    cut = calibration_cut(np.zeros(len(groups), int), groups=groups)
    assert {len(set(cut[groups == group])) for group in range(41)} == {1}
    assert 0.4 < cut.mean() < 0.6
