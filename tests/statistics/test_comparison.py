"""Comparing methods on the same test pictures, against statsmodels and scipy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar as statsmodels_mcnemar

from modelzero.statistics.comparison import compare, mcnemar
from modelzero.statistics.family import verdict


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


def test_pictures_won_and_lost_are_means_over_pairs_of_seeds():
    """Counted pair by pair; what is won less what is lost is the difference."""
    a, b = drawn(3, 500), drawn(4, 500)
    pairs = [((~one & two).sum(), (one & ~two).sum()) for one in a for two in b]
    result = compare(a, b)
    assert (result.gained, result.lost) == tuple(round(sum(column) / 12) for column in zip(*pairs, strict=True))
    assert result.gained - result.lost == pytest.approx(500 * result.difference, abs=1)


@pytest.mark.parametrize("seeds", [1, 2, 5])
def test_identical_methods_give_p_1(seeds):
    """A method compared with itself: no difference, p = 1, never better or worse."""
    right = drawn(seeds, 300)
    result = compare(right, right)
    assert (result.difference, result.p) == (0, 1)
    assert result.gained == result.lost  # of several seeds each differs from the others
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


def test_different_pictures_are_refused():
    """Only the same test pictures can be compared."""
    with pytest.raises(ValueError, match="the same ones"):
        compare(np.ones((2, 10), bool), np.ones((2, 11), bool))


@pytest.mark.parametrize(("seeds_a", "seeds_b"), [(1, 1), (1, 5), (3, 4)])
@pytest.mark.parametrize("m", [1, 2, 9])
def test_only_worse_is_corrected_for_the_choice_of_a(seeds_a, seeds_b, m):
    """A chosen from m: p of "B is worse" times m, the upper ends at 1 - alpha / 2 / m; the rest stays as it is."""
    a, b = drawn(seeds_a, 900, seed=1), drawn(seeds_b, 900, accuracy=0.88, seed=2)
    for first, second in ((a, b), (b, a)):
        plain, chosen = compare(first, second), compare(first, second, chosen_from=m)
        assert chosen.p == (min(1.0, m * plain.p) if plain.difference < 0 else plain.p)
        assert (chosen.low, chosen.equivalence_low) == (plain.low, plain.equivalence_low)
        assert (chosen.high, chosen.equivalence_high) == (plain.high, plain.equivalence_high) or m > 1
        assert chosen.high >= plain.high
        assert chosen.equivalence_high >= plain.equivalence_high
        assert (chosen.chosen_from, chosen.least_detectable) == (m, plain.least_detectable)


@pytest.mark.parametrize("m", [1, 4])
def test_the_interval_leaves_out_zero_where_p_is_below_5_percent(m):
    """Test and interval say the same, on both sides and after the correction."""
    found = set()
    for seed in range(60):
        a, b = drawn(4, 600, seed=seed), drawn(3, 600, accuracy=0.9 + 0.05 * (seed % 3 - 1), seed=seed + 500)
        result = compare(a, b, chosen_from=m)
        assert (result.p <= 0.05) == (result.low > 0 or result.high < 0)
        found.add((result.p <= 0.05, result.difference > 0))
    assert len(found) == 4


def test_the_upper_end_has_the_quantile_of_one_of_m():
    """For seeds that all agree: Student's t at 1 - 0.025 / m, and at 1 - 0.05 / m for the 90 % interval."""
    a, b = drawn(1, 500, seed=1).repeat(3, axis=0), drawn(1, 500, seed=2).repeat(3, axis=0)
    d = b[0].astype(float) - a[0]
    error = d.std(ddof=1) / 500**0.5
    result = compare(a, b, chosen_from=5)
    assert result.high == pytest.approx(d.mean() + stats.t.ppf(1 - 0.005, 499) * error, abs=1e-10)
    assert result.equivalence_high == pytest.approx(d.mean() + stats.t.ppf(1 - 0.01, 499) * error, abs=1e-10)


def test_a_deterministic_method_adds_pictures_but_no_seeds():
    """One row against three seeds: at its own p the reaches of pictures and of seeds add up to the difference."""
    n = 4000
    fixed, seeds = drawn(1, n, seed=1), drawn(3, n, accuracy=0.93, seed_effect=0.01, seed=2)
    share = seeds.mean(axis=0)
    noise = (share * (1 - share)).mean() / 2 / n
    of_pictures = (share - fixed[0]).var(ddof=1) / n - noise
    of_seeds = seeds.mean(axis=1).var(ddof=1) / 3
    result = compare(fixed, seeds, deterministic_a=True)
    reaches = stats.t.isf(result.p / 2, n - 1) * of_pictures**0.5, stats.t.isf(result.p / 2, 2) * of_seeds**0.5
    assert result.of == "methods"
    assert result.p > stats.ttest_1samp(seeds.mean(axis=1), fixed.mean()).pvalue
    assert np.hypot(*reaches) == pytest.approx(result.difference, abs=1e-10)


def test_few_seeds_of_one_method_are_not_outvoted_by_many_of_the_other():
    """Ten seeds against two that happen to agree: not more degrees of freedom than two against two could have."""
    pictures = np.arange(20000)
    a = np.stack([pictures < right for right in range(17900, 18100, 20)])
    b = np.stack([pictures < right for right in (18100, 18101)])
    error = np.sqrt(a.mean(axis=1).var(ddof=1) / 10 + b.mean(axis=1).var(ddof=1) / 2)
    result = compare(a, b)
    assert result.p >= 2 * stats.t.sf(result.difference / error, 2)
    assert result.low <= result.difference - stats.t.isf(0.025, 2) * error


def test_single_runs_have_the_interval_of_bonett_and_price():
    """The interval of their paper: (c - b) / (n + 2) and the standard error after one more picture on each side."""
    gained, lost, n = 12, 5, 200
    right_a = np.arange(n)[None] < 100
    right_b = right_a ^ ((np.arange(n) < lost) | (np.arange(n) >= n - gained))
    more, less = (gained + 1) / (n + 2), (lost + 1) / (n + 2)
    half = stats.norm.ppf(0.975) * ((more + less - (more - less) ** 2) / (n + 2)) ** 0.5
    result = compare(right_a, right_b)
    assert (result.low, result.high) == pytest.approx((more - less - half, more - less + half), abs=1e-10)


@pytest.mark.parametrize("seeds", [1, 3])
def test_two_methods_that_agree_on_a_small_test_set_may_still_differ(seeds):
    """Fifty pictures, all right for both, do not show that both are equal; ten thousand do."""
    for n, words in ((50, "cannot tell"), (10000, "no different")):
        right = np.ones((seeds, n), bool)
        assert verdict(compare(right, right), 1.0) == words


def test_a_choice_from_nothing_is_refused():
    """A itself is always one of the methods from which it was chosen."""
    with pytest.raises(ValueError, match="at least 1"):
        compare(np.ones((2, 10), bool), np.ones((2, 10), bool), chosen_from=0)


@pytest.mark.parametrize("seeds", [1, 3])
def test_a_single_picture_decides_nothing(seeds):
    """No variance can be seen: p = 1, and no number is missing."""
    result = compare(np.zeros((seeds, 1), bool), np.ones((seeds, 1), bool))
    assert result.p == 1
    assert np.isfinite([result.low, result.high, result.equivalence_low, result.equivalence_high]).all()


def test_two_that_are_always_right_could_have_differed_all_the_same():
    """What could have been seen is no less than the interval reaches: 28 pictures do not show it to the last digit."""
    found = compare(np.ones((2, 28), bool), np.ones((2, 28), bool))
    assert found.least_detectable > found.high > 0
