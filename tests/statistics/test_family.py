"""Families of comparisons, against statsmodels."""

from __future__ import annotations

import gc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.multitest import multipletests

from modelzero.statistics.comparison import compare
from modelzero.statistics.family import compare_with_best_below, holm, holm_rows, verdict


@pytest.fixture(autouse=True, scope="module")
def _frozen():
    """statsmodels collects garbage at each call, which takes half a second where many tests ran before."""
    gc.freeze()
    yield
    gc.unfreeze()


def drawn(seeds, n, accuracy=0.9, seed_effect=0.0, seed=0, pictures=None):
    """Which pictures each seed gets right: pictures of Beta-distributed difficulty, seeds of normal skill."""
    rng = np.random.default_rng(seed)
    shares = pictures if pictures is not None else rng.beta(accuracy * 2, (1 - accuracy) * 2, n)
    return rng.random((seeds, n)) < shares + rng.normal(0, seed_effect, (seeds, 1))


@settings(derandomize=True, deadline=None, max_examples=100)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_equals_statsmodels(p_values):
    """Adjusted p-values, to 1e-10, in the order in which they came."""
    assert holm(p_values) == pytest.approx(multipletests(p_values, method="holm")[1], abs=1e-10)


def test_verdicts():
    """Better and worse need the adjusted p-value; no different needs the 90 % interval inside the margin."""
    equal = compare(drawn(5, 20000, seed=1), drawn(5, 20000, seed=1) | (np.arange(20000) == 7))
    assert verdict(equal, 1.0) == "no different"
    assert verdict(equal, 1.0, margin=1e-6) == "cannot tell"
    pictures = np.random.default_rng(0).random(2000)
    a, b = (np.stack([pictures + shift < level for shift in (0, 0.01, 0.02)]) for level in (0.8, 0.9))
    assert (verdict(compare(a, b), 0.01), verdict(compare(b, a), 0.01)) == ("better", "worse")
    assert verdict(compare(a, b), 0.06) == "cannot tell"


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
    assert holm_rows(rows, 9).tolist() == [holm(row, 9) for row in rows.tolist()]


def test_each_rung_is_compared_with_the_best_below_it():
    """The best is the most accurate cheaper rung, of equal ones the cheapest, and Holm sees all comparisons."""
    shares = (0.80, 0.90, 0.70, 0.90, 0.95)
    pictures = np.arange(1000) / 1000
    rights = [np.stack([pictures < share] * (1 if j == 2 else 3)) for j, share in enumerate(shares)]
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
