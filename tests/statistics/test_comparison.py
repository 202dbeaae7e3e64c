"""Comparing methods on the same test pictures, against statsmodels and scipy."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar as statsmodels_mcnemar
from statsmodels.stats.multitest import multipletests

from modelzero.statistics.comparison import compare, holm, mcnemar, mean_accuracy, seed_variance, verdict


def drawn(seeds, n, accuracy=0.9, seed_effect=0.0, seed=0, pictures=None):
    """Which pictures each seed gets right: pictures of Beta-distributed difficulty, seeds of normal skill."""
    rng = np.random.default_rng(seed)
    shares = pictures if pictures is not None else rng.beta(accuracy * 2, (1 - accuracy) * 2, n)
    return rng.random((seeds, n)) < shares + rng.normal(0, seed_effect, (seeds, 1))


@settings(derandomize=True, deadline=None)
@given(st.integers(0, 300), st.integers(0, 300))
def test_mcnemar_equals_statsmodels(gained, lost):
    """The exact test, to 1e-10; two models that differ nowhere give 1, not 0."""
    table = [[5, gained], [lost, 7]]
    expected = 1.0 if gained + lost == 0 else statsmodels_mcnemar(table, exact=True).pvalue
    assert mcnemar(gained, lost) == pytest.approx(min(1.0, expected), abs=1e-10)


@settings(derandomize=True, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_equals_statsmodels(p_values):
    """Adjusted p-values, to 1e-10, in the order in which they came."""
    assert holm(p_values) == pytest.approx(multipletests(p_values, method="holm")[1], abs=1e-10)


@pytest.mark.parametrize("seed", range(20))
def test_p_is_never_below_welch(seed):
    """The larger of the two p-values is never below that of scipy's Welch test on the seeds' accuracies."""
    a, b = drawn(4, 800, seed=seed), drawn(3, 800, seed_effect=0.02, seed=seed + 100)
    welch = stats.ttest_ind(b.mean(axis=1), a.mean(axis=1), equal_var=False)
    result = compare(a, b)
    assert result.p >= welch.pvalue - 1e-10
    low, high = welch.confidence_interval(0.95)
    assert result.low <= low + 1e-10
    assert high - 1e-10 <= result.high


def test_p_equals_welch_where_the_seeds_decide():
    """With a large seed effect and many pictures, the p-value is Welch's to 1e-10."""
    pictures = np.full(20000, 0.9)
    a = drawn(3, 20000, seed_effect=0.05, seed=1, pictures=pictures)
    b = drawn(3, 20000, seed_effect=0.05, seed=2, pictures=pictures)
    welch = stats.ttest_ind(b.mean(axis=1), a.mean(axis=1), equal_var=False).pvalue
    assert compare(a, b).p == pytest.approx(welch, abs=1e-10)


def test_without_a_seed_effect_and_with_equal_seeds_the_pictures_decide():
    """Seeds that all agree leave a paired test over the pictures, which scipy's paired t-test is too."""
    a, b = drawn(1, 500, seed=1).repeat(3, axis=0), drawn(1, 500, seed=2).repeat(3, axis=0)
    expected = stats.ttest_rel(b[0].astype(float), a[0].astype(float))
    result = compare(a, b)
    assert result.p == pytest.approx(expected.pvalue, abs=1e-10)
    assert (result.low, result.high) == pytest.approx(tuple(expected.confidence_interval(0.95)), abs=1e-10)


@pytest.mark.parametrize("seeds", [1, 2, 5])
def test_identical_methods_give_p_1(seeds):
    """A method compared with itself: no difference, p = 1, never better or worse."""
    right = drawn(seeds, 300)
    result = compare(right, right)
    assert (result.difference, result.p, result.gained, result.lost) == (0, 1, 0, 0)
    assert verdict(result, result.p) in ("no different", "cannot tell")


def test_no_variance_is_no_evidence():
    """All pictures flipped alike: V = 0 means p = 1."""
    assert compare(np.zeros((2, 50), bool), np.ones((2, 50), bool)).p == 1


def test_single_runs_are_compared_by_mcnemar_and_said_to_be_these_models():
    """One run each speaks of two trained models, not of methods, unless both have no randomness."""
    a, b = drawn(1, 400, seed=1), drawn(1, 400, accuracy=0.95, seed=2)
    result = compare(a, b)
    assert result.p == mcnemar(int((~a & b).sum()), int((a & ~b).sum()))
    assert (result.gained, result.lost) == (int((~a & b).sum()), int((a & ~b).sum()))
    assert result.of == "these two trained models"
    assert compare(a, b, deterministic_a=True, deterministic_b=True).of == "methods"
    assert compare(drawn(5, 400), b).of == "these trained models"
    assert compare(drawn(5, 400), b, deterministic_b=True).of == "methods"


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


def test_verdicts():
    """Better and worse need the adjusted p-value; no different needs the 90 % interval inside the margin."""
    equal = compare(drawn(5, 20000, seed=1), drawn(5, 20000, seed=1) | (np.arange(20000) == 7))
    assert verdict(equal, 1.0) == "no different"
    assert verdict(equal, 1.0, margin=1e-6) == "cannot tell"
    pictures = np.random.default_rng(0).random(2000)
    a, b = (np.stack([pictures + shift < level for shift in (0, 0.01, 0.02)]) for level in (0.8, 0.9))
    assert (verdict(compare(a, b), 0.01), verdict(compare(b, a), 0.01)) == ("better", "worse")
    assert verdict(compare(a, b), 0.06) == "cannot tell"


def test_different_pictures_are_refused():
    """Only the same test pictures can be compared."""
    with pytest.raises(ValueError, match="the same ones"):
        compare(np.ones((2, 10), bool), np.ones((2, 11), bool))


@pytest.mark.parametrize(("n", "seeds", "seed_effect"), [(500, 3, 0.0), (2000, 2, 0.01), (2000, 5, 0.003)])
def test_equal_methods_are_seldom_called_different(n, seeds, seed_effect):
    """400 comparisons of equal methods, 5 % false claims and noise."""
    rng = np.random.default_rng(n + seeds)
    false = 0
    for _ in range(400):
        pictures = rng.beta(1.6, 0.4, n)
        a, b = (rng.random((seeds, n)) < pictures + rng.normal(0, seed_effect, (seeds, 1)) for _ in "ab")
        false += compare(a, b).p <= 0.05
    assert false <= stats.binom.ppf(0.999, 400, 0.05)
