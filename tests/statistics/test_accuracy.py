"""The accuracy of a method over its seeds, against scipy and against the truth."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from modelzero.statistics.accuracy import mean_accuracy, seed_variance
from modelzero.statistics.intervals import accuracy_interval


def drawn(seeds, n, accuracy=0.9, seed_effect=0.0, seed=0, pictures=None):
    """Which pictures each seed gets right: pictures of Beta-distributed difficulty, seeds of normal skill."""
    rng = np.random.default_rng(seed)
    shares = pictures if pictures is not None else rng.beta(accuracy * 2, (1 - accuracy) * 2, n)
    return rng.random((seeds, n)) < shares + rng.normal(0, seed_effect, (seeds, 1))


def test_seed_variance_is_found_without_the_noise_of_the_test_set():
    """Over many test sets the estimate averages to the true variance between seeds, and to zero without one."""
    true = 0.01**2
    with_effect = [seed_variance(drawn(10, 2000, seed_effect=0.01, seed=seed, accuracy=0.8)) for seed in range(300)]
    without = [seed_variance(drawn(10, 2000, seed=seed, accuracy=0.8)) for seed in range(300)]
    # Shares pushed beyond 0 or 1 by the seed effect are cut off, which takes part of it away.
    assert 0.4 * true < np.mean(with_effect) < 1.1 * true
    # Clipped at 0, so not quite unbiased: 0.4 standard deviations of its noise remain.
    assert np.mean(without) < 0.15 * true


def test_mean_accuracy_has_two_intervals():
    """Student t over the seeds on this test set; wider, with the pictures' part, on new pictures."""
    right = drawn(5, 1000)
    accuracies = right.mean(axis=1)
    result = mean_accuracy(right)
    expected = stats.t.interval(0.95, 4, accuracies.mean(), accuracies.std(ddof=1) / math.sqrt(5))
    assert (result.low_here, result.high_here) == pytest.approx(expected, abs=1e-10)
    assert result.low < result.low_here
    assert result.high_here < result.high
    assert result.sd == pytest.approx(accuracies.std(ddof=1))
    assert result.sd_expected == pytest.approx(math.sqrt((1 - accuracies.mean()) / 2000))


def test_perfect_and_constant_methods_have_honest_intervals():
    """All right or all wrong on every picture: the interval is that of one run, not of width zero."""
    assert mean_accuracy(np.ones((3, 200), bool)).low == pytest.approx(0.98172, abs=1e-5)
    assert mean_accuracy(np.zeros((3, 200), bool)).high == pytest.approx(0.01828, abs=1e-5)


def test_the_interval_on_new_pictures_adds_the_reaches_of_pictures_and_seeds():
    """By the formula, to 1e-10: `hypot` of Student t on the pictures' variance without noise, and on the seeds'."""
    right = drawn(4, 700, seed_effect=0.01)
    share = right.mean(axis=0)
    of_pictures = (share.var(ddof=1) - (share * (1 - share)).mean() / 3) / 700
    of_seeds = right.mean(axis=1).var(ddof=1) / 4
    half = np.hypot(stats.t.ppf(0.975, 699) * of_pictures**0.5, stats.t.ppf(0.975, 3) * of_seeds**0.5)
    result = mean_accuracy(right)
    assert (result.low, result.high) == pytest.approx((right.mean() - half, right.mean() + half), abs=1e-10)


def test_the_variance_of_both_parts_is_that_of_jordan():
    """`V_pictures / n + S2_acc / K` equals `Var_i(p_i) / n + s2_dist / K` but for a factor n / (n - 1)."""
    right = drawn(5, 1000, accuracy=0.8, seed_effect=0.05, seed=3)
    share = right.mean(axis=0)
    noise = (share * (1 - share)).mean()
    ours = (share.var(ddof=1) - noise / 4) / 1000 + right.mean(axis=1).var(ddof=1) / 5
    assert ours == pytest.approx(share.var(ddof=1) / 1000 + seed_variance(right) / 5 * 999 / 1000, abs=1e-15)


def test_seeds_that_all_agree_leave_the_interval_of_the_pictures():
    """Without any variance between seeds, Student t over the pictures as scipy has it."""
    one = drawn(1, 500)
    expected = stats.t.interval(0.95, 499, one.mean(), one.std(ddof=1) / math.sqrt(500))
    result = mean_accuracy(one.repeat(3, axis=0))
    assert (result.low, result.high) == pytest.approx(expected, abs=1e-10)
    assert (result.low_here, result.high_here) == (one.mean(), one.mean())


def test_one_run_has_the_interval_of_one_run():
    """Its spread between seeds is unknown, unless it has no randomness."""
    right = drawn(1, 500)
    result = mean_accuracy(right)
    assert (result.low, result.high) == accuracy_interval(int(right.sum()), 500)
    assert math.isnan(result.low_here)
    assert math.isnan(result.sd)
    fixed = mean_accuracy(right, deterministic=True)
    assert fixed.low_here == fixed.high_here == fixed.mean


@pytest.mark.parametrize("seeds", [1, 3])
def test_a_single_picture_leaves_a_wide_interval(seeds):
    """One picture, right for all seeds: the exact interval of one of one."""
    result = mean_accuracy(np.ones((seeds, 1), bool))
    assert (result.low, result.high) == (pytest.approx(0.025), 1)


def test_seeds_of_equal_accuracy_that_err_on_different_pictures_have_no_interval_of_width_zero():
    """No variance can be seen between such seeds, nor between pictures: the interval of one run."""
    right = np.ones((2, 100), bool)
    right[0, :5] = right[1, 5:10] = False
    result = mean_accuracy(right)
    assert (result.low, result.high) == accuracy_interval(95, 100)
