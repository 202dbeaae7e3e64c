"""The accuracy of a method over its seeds, against scipy and against the truth."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from modelzero.statistics.accuracy import is_unstable, mean_accuracy, seed_variance
from modelzero.statistics.intervals import accuracy_interval, most_failures
from modelzero.statistics.variance import noise


def drawn(seeds, n, accuracy=0.9, seed_effect=0.0, seed=0, images=None):
    """Which images each seed gets right: images of Beta-distributed difficulty, seeds of normal skill."""
    rng = np.random.default_rng(seed)
    shares = images if images is not None else rng.beta(accuracy * 2, (1 - accuracy) * 2, n)
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
    """Student t over the seeds on this test set; wider, with the images' part, on new images."""
    right = drawn(5, 1000)
    accuracies = right.mean(axis=1)
    result = mean_accuracy(right)
    expected = stats.t.interval(0.95, 4, accuracies.mean(), accuracies.std(ddof=1) / math.sqrt(5))
    assert (result.low_here, result.high_here) == pytest.approx(expected, abs=1e-10)
    assert result.low < result.low_here
    assert result.high_here < result.high
    assert result.sd == pytest.approx(accuracies.std(ddof=1))
    assert result.sd_expected == pytest.approx(math.sqrt(noise(right)))
    assert result.sd_expected == pytest.approx(math.sqrt((1 - accuracies.mean()) / 2000), rel=0.15)


def test_perfect_and_constant_methods_have_honest_intervals():
    """All right or all wrong on every image: the interval is that of one run, not of width zero."""
    assert mean_accuracy(np.ones((3, 200), bool)).low == pytest.approx(0.98172, abs=1e-5)
    assert mean_accuracy(np.zeros((3, 200), bool)).high == pytest.approx(0.01828, abs=1e-5)


def test_the_interval_on_new_images_adds_the_reaches_of_images_and_seeds():
    """By the formula, on a matrix with two images more that all seeds get right and two that all get wrong."""
    right = drawn(4, 700, seed_effect=0.01)
    more = np.concatenate([right, np.ones((4, 2), bool), np.zeros((4, 2), bool)], axis=1)
    share = more.mean(axis=0)
    spread = 700 / 699 * np.square(share - share.mean()).mean()
    of_images = (spread - (share * (1 - share)).mean() / 3) / 704
    of_seeds = more.mean(axis=1).var(ddof=1) / 4
    half = np.hypot(stats.t.ppf(0.975, 703) * of_images**0.5, stats.t.ppf(0.975, 3) * of_seeds**0.5)
    result = mean_accuracy(right)
    assert (result.low, result.high) == pytest.approx((more.mean() - half, more.mean() + half), abs=1e-10)


def test_the_variance_of_both_parts_is_that_of_jordan():
    """`V_images / n + S2_acc / K` equals `Var_i(p_i) / n + s2_dist / K` but for a factor n / (n - 1)."""
    right = drawn(5, 1000, accuracy=0.8, seed_effect=0.05, seed=3)
    share = right.mean(axis=0)
    noise = (share * (1 - share)).mean()
    ours = (share.var(ddof=1) - noise / 4) / 1000 + right.mean(axis=1).var(ddof=1) / 5
    assert ours == pytest.approx(share.var(ddof=1) / 1000 + seed_variance(right) / 5 * 999 / 1000, abs=1e-15)


def test_seeds_that_all_agree_have_the_interval_of_one_run():
    """Equal on every image, they say no more than one of them."""
    one = drawn(1, 500)
    result = mean_accuracy(one.repeat(3, axis=0))
    assert (result.low, result.high) == accuracy_interval(int(one.sum()), 500)
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
def test_a_single_image_leaves_a_wide_interval(seeds):
    """One image, right for all seeds: the exact interval of one of one."""
    result = mean_accuracy(np.ones((seeds, 1), bool))
    assert (result.low, result.high) == (pytest.approx(0.025), 1)


def test_seeds_of_equal_accuracy_that_err_on_different_images_have_an_honest_interval():
    """No variance can be seen between such seeds, nor between images: the four images more keep it from being short."""
    right = np.ones((2, 100), bool)
    right[0, :5] = right[1, 5:10] = False
    result = mean_accuracy(right)
    assert result.low < 0.92 < 0.95 < result.high


def test_the_interval_on_one_test_set_stays_within_0_and_1():
    """Two seeds that lie far apart would reach below 0 and above 1 by Student's t."""
    result = mean_accuracy(np.stack([np.arange(100) < 95, np.arange(100) < 60]))
    assert (result.low_here, result.high_here, result.high) == (0, 1, 1)


@pytest.mark.parametrize(("accuracy", "n", "seeds"), [(0.99, 49, 10), (0.99, 100, 3), (0.9, 20, 5), (0.995, 300, 2)])
def test_mean_intervals_hold_the_truth_near_100_percent(accuracy, n, seeds):
    """At least 93.5 % of 600 intervals, but for noise; without the four images more it would be down to 81 %."""
    held = 0
    for seed in range(600):
        found = mean_accuracy(drawn(seeds, n, accuracy, seed=seed))
        held += found.low <= accuracy <= found.high
    assert held >= stats.binom.ppf(0.001, 600, 0.935)


@pytest.mark.parametrize(("accuracy", "seeds", "alike"), [(0.9, 1, 1.0), (0.9, 3, 1.0), (0.99, 1, 1.0), (0.95, 1, 0.2)])
def test_intervals_by_groups_hold_the_truth(accuracy, seeds, alike):
    """Thirty groups of ten that are right or wrong together, all or a share of them; image by image fails."""
    held, too_short = 0, 0
    ids = np.arange(30).repeat(10)
    for seed in range(400):
        rng = np.random.default_rng(seed)
        together, own = rng.random((seeds, 30)).repeat(10, axis=1), rng.random((seeds, 300))
        right = np.where(rng.random((seeds, 300)) < alike, together, own) < accuracy
        found, plain = mean_accuracy(right, groups=ids), mean_accuracy(right)
        held += found.low <= accuracy <= found.high
        too_short += plain.low <= accuracy <= plain.high
    assert held >= stats.binom.ppf(0.001, 400, 0.935)
    assert seeds > 1 or alike < 1 or too_short < 0.8 * 400


def test_unstable_is_a_test_and_not_a_ratio():
    """Without any seed effect at most 1 of 1,000 is called so, with two seeds as with ten; a large effect is seen."""
    called = sum(is_unstable(drawn(seeds, 400, seed=seed)) for seeds in (2, 3, 10) for seed in range(700))
    assert called <= stats.binom.ppf(0.999, 2100, 0.001)
    assert is_unstable(drawn(5, 2000, seed_effect=0.1))
    assert not is_unstable(drawn(1, 2000))


def test_what_seeds_without_a_failure_cannot_rule_out():
    """The one-sided exact bound of scipy for 0 of K."""
    for trainings in (1, 3, 5, 10):
        expected = stats.binomtest(0, trainings).proportion_ci(0.9, method="exact").high
        assert most_failures(trainings) == pytest.approx(expected)
