"""Variances and widths, against numpy and scipy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from modelzero.statistics.variance import half_width, p_value, satterthwaite, spread, variance


@settings(derandomize=True, deadline=None)
@given(st.lists(st.integers(-1000, 1000), min_size=2, max_size=50))
def test_variance_equals_numpy(whole):
    """To 1e-10 of its size, and exactly 0 for equal numbers."""
    assert variance(np.array(whole)) == pytest.approx(np.var(whole, ddof=1), rel=1e-10, abs=1e-10)
    assert variance(np.full(7, whole[0])) == 0


def test_equal_accuracies_have_no_spread_at_all():
    """Also where their mean is no exact binary fraction, as that of three times 0.1 is not."""
    assert spread(np.eye(3, 10, dtype=bool)) == 0


@settings(derandomize=True, deadline=None)
@given(st.lists(st.floats(-1, 1), min_size=2, max_size=9), st.lists(st.floats(-1, 1), min_size=2, max_size=9))
def test_welch_equals_scipy(a, b):
    """The p-value and the degrees of freedom of Welch's t-test, to 1e-10."""
    parts = [(np.var(x, ddof=1) / len(x), len(x) - 1) for x in (a, b)]
    total = parts[0][0] + parts[1][0]
    if min(part for part, _ in parts) < 1e-12:  # scipy warns about rounding there
        return
    theirs = stats.ttest_ind(b, a, equal_var=False)
    assert satterthwaite(*parts) == pytest.approx(theirs.df, rel=1e-10)
    p = p_value(np.mean(b) - np.mean(a), (total, satterthwaite(*parts)))
    assert p == pytest.approx(theirs.pvalue, abs=1e-10)


def test_many_cases_at_once_give_what_each_gives_alone():
    """Arrays are only many numbers."""
    parts = ([0.0, 1.0, 2.0], [4, 1, 9]), ([0.0, 3.0, 0.0], [5, 5, 5])
    alone = [float(satterthwaite((v, f), (w, g))) for v, f, w, g in zip(*parts[0], *parts[1], strict=True)]
    assert satterthwaite(*((np.array(v), np.array(f)) for v, f in parts)).tolist() == alone


@settings(derandomize=True, deadline=None)
@given(st.floats(1e-4, 0.1), st.floats(1e-8, 1e-3), st.floats(1, 20), st.floats(1e-8, 1e-3), st.floats(1, 1e4))
def test_p_of_two_parts_is_where_the_interval_touches_zero(difference, first, freedom, second, others):
    """At this p both reaches add up to the difference, to 1e-10 of it; it is above that of each part alone."""
    p = p_value(difference, (first, freedom), (second, others))
    reach = np.hypot(half_width(first, freedom, p / 2), half_width(second, others, p / 2))
    assert reach == pytest.approx(difference, rel=1e-10) or p < 1e-99
    assert p >= p_value(difference, (first, freedom))
    assert p >= p_value(difference, (second, others))
    assert half_width(first, freedom, 0.01) == pytest.approx(stats.t.isf(0.01, freedom) * first**0.5, rel=1e-10)


def test_numbers_and_arrays_give_the_same_p():
    """Also where one part, or both, have no variance."""
    first, second = np.array([0.0, 1.0, 0.0, 4.0]), np.array([0.0, 0.0, 1.0, 1.0])
    whole = p_value(np.full(4, 2.0), (first, 3), (second, 5))
    assert whole.tolist() == [float(p_value(2.0, (a, 3), (b, 5))) for a, b in zip(first, second, strict=True)]
    assert whole[0] == 0
