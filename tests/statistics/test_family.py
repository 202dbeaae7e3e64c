"""Families of comparisons, against statsmodels."""

from __future__ import annotations

import gc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.multitest import multipletests

from modelzero.statistics.comparison import compare
from modelzero.statistics.family import (
    compare_with_best_below,
    farther_end,
    furthest_behind,
    holm,
    holm_levels,
    holm_rows,
    verdict,
)


@pytest.fixture(autouse=True, scope="module")
def _frozen():
    """statsmodels collects garbage at each call, which takes half a second where many tests ran before."""
    gc.freeze()
    yield
    gc.unfreeze()


def drawn(seeds, n, accuracy=0.9, seed_effect=0.0, seed=0, images=None):
    """Which images each seed gets right: images of Beta-distributed difficulty, seeds of normal skill."""
    rng = np.random.default_rng(seed)
    shares = images if images is not None else rng.beta(accuracy * 2, (1 - accuracy) * 2, n)
    return rng.random((seeds, n)) < shares + rng.normal(0, seed_effect, (seeds, 1))


@settings(derandomize=True, deadline=None, max_examples=100)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_equals_statsmodels(p_values):
    """Adjusted p-values, to 1e-10, in the order in which they came."""
    assert holm(p_values) == pytest.approx(multipletests(p_values, method="holm")[1], abs=1e-10)


def test_verdicts():
    """Better and worse ask for the adjusted p-value; no different for a whole interval inside the margin."""
    equal = compare(drawn(5, 60000, seed=1), drawn(5, 60000, seed=1) | (np.arange(60000) == 7))
    at_most = farther_end(equal.interval())
    assert verdict(equal.difference, 1.0, at_most) == "no different"
    assert verdict(equal.difference, 1.0, at_most, margin=1e-6) == "cannot tell"
    assert verdict(0.1, 0.01, 0.2) == "better"
    assert verdict(-0.1, 0.01, 0.2) == "worse"
    assert verdict(0.1, 0.06, 0.2) == "cannot tell"


@settings(derandomize=True, deadline=None, max_examples=200)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=12), st.integers(0, 3))
def test_a_comparison_passes_at_its_level_exactly_where_its_adjusted_p_does(p_values, missing):
    """So the interval at that level and the verdict cannot contradict each other."""
    size = len(p_values) + missing
    for p, adjusted, level in zip(p_values, holm(p_values, size), holm_levels(p_values, size), strict=True):
        if abs(adjusted - 0.05) > 1e-12:
            assert (p <= level) == (adjusted <= 0.05)
        assert 0.05 / size <= level <= 0.05


@settings(derandomize=True, deadline=None, max_examples=100)
@given(st.lists(st.floats(0, 1), max_size=8), st.integers(0, 5))
def test_comparisons_that_could_not_be_made_count_as_p_1(p_values, missing):
    """The declared size stays: as if the missing ones had come out with p = 1, to 1e-10 of statsmodels."""
    found = holm(p_values, size=len(p_values) + missing)
    whole = [*p_values, *[1.0] * missing]
    expected = multipletests(whole, method="holm")[1][: len(p_values)] if whole else []
    assert found == pytest.approx(list(expected), abs=1e-10)


def test_more_comparisons_than_declared_are_refused():
    """A family cannot grow after it was declared."""
    with pytest.raises(ValueError, match="a family of 1 was declared"):
        holm([0.1, 0.2], size=1)


def test_many_families_at_once_are_what_each_is_alone():
    """Rows of p-values, adjusted together or one by one."""
    rows = np.random.default_rng(0).random((50, 6)) ** 4
    adjusted, levels = holm_rows(rows, 9)
    assert adjusted.tolist() == [holm(row, 9) for row in rows.tolist()]
    assert levels.tolist() == [holm_levels(row, 9) for row in rows.tolist()]


def test_each_rung_is_compared_with_the_best_below_it():
    """The best is the most accurate cheaper rung, of equal ones the cheapest, and Holm sees all comparisons."""
    shares = (0.80, 0.90, 0.70, 0.90, 0.95)
    images = np.arange(1000) / 1000
    rights = [np.stack([images < share] * (1 if j == 2 else 3)) for j, share in enumerate(shares)]
    rights[4][0, :20] = False
    fixed = [False, False, True, False, False]
    result = compare_with_best_below(rights, fixed)
    assert [(each.rung, each.best_below) for each in result] == [(1, 0), (2, 1), (3, 1), (4, 1)]
    assert [each.difference for each in result] == [
        compare(rights[best], rights[rung], deterministic_b=fixed[rung], chosen_from=rung)
        for rung, best in ((1, 0), (2, 1), (3, 1), (4, 1))
    ]
    p_values = [each.difference.p for each in result]
    assert [each.p_adjusted for each in result] == holm(p_values)
    assert [each.p_adjusted for each in compare_with_best_below(rights, fixed, size=7)] == holm(p_values, 7)
    assert result[2].difference.p == 1


def test_rungs_with_other_numbers_of_seeds_can_be_equally_good():
    """Two of three and four of six are the same accuracy: the cheaper rung is the best below."""
    few, many = np.zeros((3, 30), bool), np.zeros((6, 30), bool)
    few[:2], many[:4] = True, True
    result = compare_with_best_below([few, many, few], [False] * 3)
    assert [each.best_below for each in result] == [0, 0]
    assert [each.difference.difference for each in result] == [0, 0]


def test_a_ladder_of_one_rung_has_nothing_to_compare():
    """No rung below, no comparison."""
    assert compare_with_best_below([np.ones((2, 10), bool)], [False]) == []


def test_rungs_that_cannot_be_used_are_passed_over():
    """They are compared with nothing, nothing is compared with them, and the family stays as large as declared."""
    rights = [drawn(3, 2000, accuracy, seed=seed) for seed, accuracy in enumerate((0.7, 0.9, 0.8, 0.85))]
    result = compare_with_best_below(rights, [False] * 4, usable=[True, False, True, True], size=3)
    assert [(each.rung, each.best_below, each.difference.chosen_from) for each in result] == [(2, 0, 1), (3, 2, 2)]
    assert [each.p_adjusted for each in result] == holm([each.difference.p for each in result], 3)


def test_no_line_of_a_ladder_contradicts_itself():
    """Interval against verdict, detectable and at most against seen, for ladders of all kinds."""
    rng = np.random.default_rng(0)
    for trial in range(150):
        n, groups = int(rng.integers(5, 300)), None
        if trial % 3 == 0:
            groups = rng.integers(0, max(2, n // 5), n)
        seeds = rng.integers(1, 6, 5)
        rights = [drawn(k, n, rng.uniform(0.5, 0.99), 0.03, seed=trial * 10 + j) for j, k in enumerate(seeds)]
        for each in compare_with_best_below(rights, [k == 1 for k in seeds], groups=groups, size=6):
            difference = each.difference.difference
            assert (each.p_adjusted <= 0.05) == (each.low > 0 or each.high < 0)
            assert -1 <= each.low <= difference <= each.high <= 1
            assert each.at_most >= max(abs(each.low), abs(each.high)) - 1e-12
            if each.p_adjusted > 0.05 and each.detectable is not None:
                assert each.detectable >= abs(difference)


def test_a_rung_that_is_clearly_behind_is_never_nearly_as_good():
    """Three points behind on 49 images: the bound is within 1 point in at most 5 % of 300 draws."""
    passed = 0
    for seed in range(300):
        rng = np.random.default_rng(seed)
        easy = rng.beta(1.8, 0.2, 49)
        rights = [rng.random((3, 49)) < easy, rng.random((3, 49)) < easy - 0.03]
        passed += furthest_behind(rights, [False, False])[1] <= 0.01
    assert passed <= 15


def test_equal_methods_on_many_images_are_nearly_as_good():
    """With 20,000 images the bound of equal methods comes below 1 point."""
    rng = np.random.default_rng(1)
    easy = rng.beta(1.8, 0.2, 20000)
    assert max(furthest_behind([rng.random((5, 20000)) < easy for _ in range(3)], [False] * 3)) < 0.01
