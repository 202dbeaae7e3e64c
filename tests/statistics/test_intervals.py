"""Intervals of an accuracy, against statsmodels."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.proportion import proportion_confint

from modelzero.statistics.intervals import accuracy_interval, clopper_pearson, wilson


@settings(derandomize=True, deadline=None)
@given(st.integers(1, 20000), st.floats(0, 1), st.sampled_from([0.9, 0.95, 0.99]))
def test_intervals_equal_those_of_statsmodels(n, share, confidence):
    """To 1e-10, for any count and confidence."""
    right = round(share * n)
    ours = (*wilson(right, n, confidence), *clopper_pearson(right, n, confidence))
    theirs = (
        *proportion_confint(right, n, 1 - confidence, method="wilson"),
        *proportion_confint(right, n, 1 - confidence, method="beta"),
    )
    assert ours == pytest.approx([0.0 if value != value else value for value in theirs], abs=1e-10)


def test_small_and_extreme_counts_take_the_exact_interval():
    """Below 100 images, and where none or all are right."""
    assert accuracy_interval(50, 99) == clopper_pearson(50, 99)
    assert accuracy_interval(0, 1000) == clopper_pearson(0, 1000)
    assert accuracy_interval(1000, 1000) == clopper_pearson(1000, 1000)
    assert accuracy_interval(50, 100) == wilson(50, 100)
