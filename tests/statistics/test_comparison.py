"""Comparing methods on the same test images, against statsmodels, scipy and a hand-made cluster variance."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar as statsmodels_mcnemar

from modelzero.statistics.comparison import compare, mcnemar
from modelzero.statistics.decision import decide_seeds
from modelzero.statistics.family import farther_end, verdict
from modelzero.statistics.units import Units


def drawn(seeds, n, accuracy=0.9, seed_effect=0.0, seed=0, images=None):
    """Which images each seed gets right: images of Beta-distributed difficulty, seeds of normal skill."""
    rng = np.random.default_rng(seed)
    shares = images if images is not None else rng.beta(accuracy * 2, (1 - accuracy) * 2, n)
    return rng.random((seeds, n)) < shares + rng.normal(0, seed_effect, (seeds, 1))


def said(result):
    """The verdict on a single comparison."""
    return verdict(result.difference, result.p, farther_end(result.interval()))


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
    assert result.interval()[0] <= low + 1e-10
    assert high - 1e-10 <= result.interval()[1]


def test_p_equals_welch_where_the_seeds_decide():
    """With a large seed effect and many images, the p-value is Welch's to 1e-10."""
    images = np.full(20000, 0.9)
    a = drawn(3, 20000, seed_effect=0.05, seed=1, images=images)
    b = drawn(3, 20000, seed_effect=0.05, seed=2, images=images)
    welch = stats.ttest_ind(b.mean(axis=1), a.mean(axis=1), equal_var=False).pvalue
    assert compare(a, b).p == pytest.approx(welch, abs=1e-10)


@pytest.mark.parametrize(("seeds_a", "seeds_b"), [(3, 3), (5, 2), (3, 1)])
def test_seeds_that_are_all_alike_count_as_one_run(seeds_a, seeds_b):
    """Rows that are equal on every image say no more than one of them: McNemar's test, not Student's t."""
    a, b = drawn(1, 49, seed=1), drawn(1, 49, seed=2)
    several = compare(a.repeat(seeds_a, axis=0), b.repeat(seeds_b, axis=0))
    assert several.p == compare(a, b).p
    assert several.interval() == compare(a, b).interval()
    four_to_none = np.zeros((1, 49), bool), np.arange(49)[None] < 4
    assert compare(*(right.repeat(3, axis=0) for right in four_to_none)).p == mcnemar(4, 0) > 0.05


def test_images_gained_and_lost_are_means_over_pairs_of_seeds():
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
    assert said(result) in ("no different", "cannot tell")


def test_no_variance_is_no_evidence():
    """All images flipped alike by several seeds: V = 0 means p = 1, and the interval holds 0."""
    found = decide_seeds(1.0, (0.0, 50), (0.0, 0.0, 2), (0.0, 0.0, 2))
    low, high = found.interval()
    assert found.p == 1
    assert low <= 0 <= high


def test_single_runs_are_compared_by_mcnemar_and_said_to_be_these_models():
    """One run each speaks of two trained models, not of methods, unless both have no randomness."""
    a, b = drawn(1, 400, seed=1), drawn(1, 400, accuracy=0.95, seed=2)
    result = compare(a, b)
    assert result.p >= mcnemar(int((~a & b).sum()), int((a & ~b).sum()))
    assert result.p == pytest.approx(mcnemar(int((~a & b).sum()), int((a & ~b).sum())), abs=0.02)
    assert (result.gained, result.lost) == (int((~a & b).sum()), int((a & ~b).sum()))
    assert result.of == "these two trained models"
    assert compare(a, b, deterministic_a=True, deterministic_b=True).of == "methods"
    assert compare(drawn(5, 400), b).of == "these trained models"
    assert compare(drawn(5, 400), b, deterministic_b=True).of == "methods"


def test_different_images_are_refused():
    """Only the same test images can be compared."""
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
        assert chosen.interval()[0] == plain.interval()[0]
        assert chosen.interval()[1] == plain.interval(0.05 / m)[1]
        assert chosen.detectable() == plain.detectable(0.05 / m if plain.difference < 0 else 0.05) or m > 1
        assert chosen.chosen_from == m


@pytest.mark.parametrize("seeds", [(4, 3), (1, 1), (1, 4)])
@pytest.mark.parametrize("m", [1, 4])
def test_the_interval_leaves_out_zero_exactly_where_p_is_at_most_its_level(m, seeds):
    """Test and interval say the same at every level, on both sides, after the correction, for single runs, too."""
    found = set()
    for seed in range(60):
        a, b = drawn(seeds[0], 600, seed=seed), drawn(seeds[1], 600, 0.9 + 0.05 * (seed % 3 - 1), seed=seed + 500)
        result = compare(a, b, chosen_from=m)
        for level in (0.05, 0.05 / 3, 0.05 / 9):
            low, high = result.interval(level)
            assert (result.p <= level) == (low > 0 or high < 0)
            assert low <= result.difference <= high
        found.add((result.p <= 0.05, result.difference > 0))
    assert len(found) == 4


def test_what_is_not_significant_is_never_said_to_be_detectable():
    """The detectable difference is at least as large as one beside it that is not significant."""
    for seed in range(100):
        a, b = drawn(3, 200, seed=seed), drawn(3, 200, 0.88, seed=seed + 500)
        result = compare(a, b, chosen_from=2)
        least = result.detectable(0.01)
        assert result.p <= 0.01 or least is None or least >= abs(result.difference)


def test_too_few_seeds_and_images_can_detect_nothing():
    """Two seeds each that lie far apart: no difference up to 100 points would be found, and none is named."""
    a = np.stack([np.arange(40) < 38, np.arange(40) < 12])
    assert compare(a, a[::-1]).detectable() is None
    low, high = compare(a, a[::-1]).interval()
    assert (low, high) == (-1, 1)


def test_a_deterministic_method_adds_images_but_no_seeds():
    """One row against three seeds: at its own p the reaches of images and of seeds add up to the difference."""
    n = 4000
    fixed, seeds = drawn(1, n, seed=1), drawn(3, n, accuracy=0.93, seed_effect=0.01, seed=2)
    share = seeds.mean(axis=0)
    noise = (share * (1 - share)).mean() / 2 / n
    of_images = (share - fixed[0]).var(ddof=1) / n - noise
    of_seeds = seeds.mean(axis=1).var(ddof=1) / 3
    result = compare(fixed, seeds, deterministic_a=True)
    reaches = stats.t.isf(result.p / 2, n - 1) * of_images**0.5, stats.t.isf(result.p / 2, 2) * of_seeds**0.5
    assert result.of == "methods"
    assert result.p > stats.ttest_1samp(seeds.mean(axis=1), fixed.mean()).pvalue
    assert np.hypot(*reaches) == pytest.approx(result.difference, abs=1e-10)


def test_few_seeds_of_one_method_are_not_outvoted_by_many_of_the_other():
    """Ten seeds against two that happen to agree: not more degrees of freedom than two against two could have."""
    images = np.arange(20000)
    a = np.stack([images < right for right in range(17900, 18100, 20)])
    b = np.stack([images < right for right in (18100, 18101)])
    error = np.sqrt(a.mean(axis=1).var(ddof=1) / 10 + b.mean(axis=1).var(ddof=1) / 2)
    result = compare(a, b)
    assert result.p >= 2 * stats.t.sf(result.difference / error, 2)
    assert result.interval()[0] <= result.difference - stats.t.isf(0.025, 2) * error


def single(gained, lost, n):
    right_a = np.arange(n)[None] < 100
    return right_a, right_a ^ ((np.arange(n) < lost) | (np.arange(n) >= n - gained))


def test_single_runs_have_the_wider_interval_of_two():
    """Bonett and Price's, and Clopper and Pearson's for the share of gained images among those that differ."""
    gained, lost, n = 12, 5, 200
    more, less = (gained + 1) / (n + 2), (lost + 1) / (n + 2)
    half = stats.norm.ppf(0.975) * ((more + less - (more - less) ** 2) / (n + 2)) ** 0.5
    share = stats.binomtest(gained, gained + lost).proportion_ci(0.95, method="exact")
    exact = [(2 * end - 1) * (gained + lost) / n for end in share]
    low, high = compare(*single(gained, lost, n)).interval()
    assert low == pytest.approx(min(more - less - half, exact[0]), abs=1e-10)
    assert high == pytest.approx(max(more - less + half, exact[1]), abs=1e-10)


def test_p_of_single_runs_is_the_larger_one_of_two():
    """McNemar's exact test and the Wald test of Bonett and Price."""
    for gained, lost in ((12, 5), (6, 0), (9, 1), (40, 20)):
        middle, n = (gained - lost) / 202, 200
        error = (((gained + lost + 2) / (n + 2) - middle**2) / (n + 2)) ** 0.5
        expected = max(mcnemar(gained, lost), 2 * stats.norm.sf(middle / error))
        assert compare(*single(gained, lost, n)).p == pytest.approx(expected, abs=1e-10)


@pytest.mark.parametrize("seeds", [1, 3])
def test_two_methods_that_agree_on_a_small_test_set_may_still_differ(seeds):
    """Fifty images, all right for both, do not show that both are equal; ten thousand do."""
    for n, words in ((50, "cannot tell"), (10000, "no different")):
        right = np.ones((seeds, n), bool)
        assert said(compare(right, right)) == words


def test_a_choice_from_nothing_is_refused():
    """A itself is always one of the methods from which it was chosen."""
    with pytest.raises(ValueError, match="at least 1"):
        compare(np.ones((2, 10), bool), np.ones((2, 10), bool), chosen_from=0)


@pytest.mark.parametrize("seeds", [1, 3])
def test_a_single_image_decides_nothing(seeds):
    """No variance can be seen: p = 1, and no number is missing."""
    result = compare(np.zeros((seeds, 1), bool), np.ones((seeds, 1), bool))
    assert result.p == 1
    assert np.isfinite(result.interval()).all()


def test_two_that_are_always_right_could_have_differed_all_the_same():
    """What is detectable is no less than the interval reaches: 28 images do not show it to the last digit."""
    found = compare(np.ones((2, 28), bool), np.ones((2, 28), bool))
    assert found.detectable() > found.interval()[1] > 0


def grouped(seeds, groups, size, seed):
    """Images that come as near copies: all of a group are right or wrong together, for each seed alike."""
    rng = np.random.default_rng(seed)
    return (rng.random((seeds, groups)) < rng.beta(1.8, 0.2, groups)).repeat(size, axis=1)


@pytest.mark.parametrize("seeds", [1, 4])
def test_copies_of_an_image_say_no_more_than_the_image(seeds):
    """Fifty groups of ten equal images: Student's t over fifty, with half a group gained and half a group lost."""
    a, b = grouped(seeds, 50, 10, seed=1), grouped(seeds, 50, 10, seed=2)
    ids = np.arange(50).repeat(10)
    result = compare(a, b, groups=ids, deterministic_a=True, deterministic_b=True)
    once = compare(a[:, ::10], b[:, ::10], groups=[f"g{i}" for i in range(50)])
    assert compare(a, b, groups=np.random.default_rng(0).permutation(500)).p == compare(a, b).p  # none of two
    assert result.p > compare(a, b).p
    if seeds == 1:
        d = b[0, ::10].astype(float) - a[0, ::10]
        error = ((d.var(ddof=1) / 50 + 1 / 50**2) / (1 + 1 / 50) ** 2) ** 0.5
        assert result.p == pytest.approx(2 * stats.t.sf(abs(d.mean()) / error, 49), abs=1e-10)
        half = stats.t.isf(0.025, 49) * error
        assert result.interval() == pytest.approx((d.mean() - half, d.mean() + half), abs=1e-10)
    else:
        assert once.interval()[0] >= result.interval()[0]
        assert once.interval()[1] <= result.interval()[1]


def test_the_variance_by_groups_is_that_of_a_plain_loop():
    """Groups of unequal size, each a sum of deviations, and the noise between the seeds within each group."""
    rng = np.random.default_rng(3)
    ids = rng.integers(0, 12, 200)
    a, b = rng.random((3, 200)) < 0.8, rng.random((4, 200)) < 0.85
    d = b.mean(axis=0) - a.mean(axis=0)
    units = Units.of(200, ids)
    squares = sum(sum(d[i] - d.mean() for i in range(200) if ids[i] == g) ** 2 for g in range(12))
    sizes = [int((ids == g).sum()) for g in range(12)]
    n, m2, m3 = 200, sum(m**2 for m in sizes), sum(m**3 for m in sizes)
    correction = 1 / (1 - 2 * m3 / (n * m2) + m2 / n**2)
    whole = units.sums(b.sum(axis=0) * 3 - a.sum(axis=0) * 4)
    assert units.variance_of_mean(whole) / 144 == pytest.approx(correction * squares / n**2, rel=1e-12)
    from modelzero.statistics.variance import noise

    expected = sum(np.var([a[k, ids == g].sum() for k in range(3)], ddof=1) for g in range(12)) / n**2
    assert noise(a, units) == pytest.approx(expected, rel=1e-12)


def test_equal_groups_have_the_usual_correction():
    """G / (G - 1), as many effective units as groups, and one degree of freedom less."""
    units = Units.of(30, np.arange(30) // 3)
    assert units.correction == pytest.approx(10 / 9)
    assert (units.effective, units.freedom, units.count) == (pytest.approx(10), pytest.approx(9), 10)


def test_every_group_alike_is_evidence():
    """A gains the same in each of 30 groups: no variance between them, and yet no chance."""
    ids = np.arange(30).repeat(10)
    a, b = (np.tile(np.arange(10) < right, 30)[None] for right in (6, 9))
    result = compare(a, b, groups=ids, deterministic_a=True, deterministic_b=True)
    assert result.p < 1e-6
    assert 0 < result.interval()[0] < 0.3 < result.interval()[1] < 0.5
    assert compare(a, b, groups=np.zeros(300)).p == 1  # of a single group nothing is known


def test_equal_seeds_of_a_random_method_speak_of_these_models():
    """They count as one run, and one run of a random method says nothing of another seed."""
    a, b = drawn(1, 200, seed=1).repeat(3, axis=0), drawn(1, 200, seed=2).repeat(3, axis=0)
    assert compare(a, b).of == "these two trained models"
    assert compare(a, drawn(3, 200, seed=3)).of == "these trained models"
