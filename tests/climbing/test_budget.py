"""What fits into a budget."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelzero.climbing.budget import FIRST_SEEDS, duration, parse_budget, plan
from modelzero.errors import SettingError


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("60s", 60), ("5m", 300), ("1h", 3600), ("90", 90), (" 1.5 m ", 90), (20, 20), (0.5, 0.5), (None, None)],
)
def test_budgets_are_times(text, seconds):
    """Seconds, minutes, hours, a bare number of seconds, or no limit."""
    assert parse_budget(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "soon", "0", "0s", "-5s", "5 days", "1m30s", 0, -1, math.nan, math.inf, 10**400, True, [1]]
)
def test_what_is_no_time_is_refused(text, refuses):
    """With what was given and examples."""
    with refuses(SettingError, "budget", "60s, 5m or 1h"):
        parse_budget(text)


def test_cells_go_to_the_worker_that_is_free_first():
    """Three of 2 seconds and one of 3 on two workers end after 5 seconds, stretched by the caution of 15 %."""
    assert duration([2, 3], [3, 1], workers=2) == pytest.approx(1.15 * 5)
    assert duration([2, 3], [3, 1], workers=1) == pytest.approx(1.15 * 9)


def test_without_hurry_every_rung_gets_all_its_seeds():
    """The plan leaves out nothing that fits."""
    assert [rung.seeds for rung in plan([1, 2, 3], [1, 5, 5], seconds=100, workers=2)] == [1, 5, 5]


def test_every_rung_gets_its_first_seeds_before_any_gets_more():
    """A dear rung high on the ladder is not starved by more seeds of cheap ones."""
    planned = plan([1, 1, 5], [10, 10, 10], seconds=25, workers=1)
    assert [rung.seeds for rung in planned] == [3, 3, 3]


def test_a_rung_that_does_not_fit_does_not_stop_the_next():
    """It is left out, with its predicted seconds; a cheaper one above it is still trained."""
    planned = plan([1, 100, 2], [5, 5, 5], seconds=30, workers=2)
    assert [rung.seeds for rung in planned] == [5, 0, 5]
    assert planned[1].cell_seconds == 100


costs = st.floats(0.01, 50)


@settings(derandomize=True, deadline=None)
@given(st.lists(st.tuples(costs, st.integers(1, 8)), min_size=1, max_size=10), st.floats(0, 200), st.integers(1, 8))
def test_a_plan_always_fits(rungs, seconds, workers):
    """Whatever the costs: the plan ends in time, and each rung has none, or at least the first seeds it asked for."""
    cell_seconds, wanted = zip(*rungs, strict=True)
    seeds = [rung.seeds for rung in plan(cell_seconds, wanted, seconds, workers)]
    assert duration(cell_seconds, seeds, workers) <= seconds
    for number, most in zip(seeds, wanted, strict=True):
        assert number == 0 or min(FIRST_SEEDS, most) <= number <= most
