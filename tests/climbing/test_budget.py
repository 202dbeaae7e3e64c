"""What fits into a budget."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelzero.climbing.budget import Forecast, duration, in_rounds, parse_budget
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


def test_trainings_go_to_the_worker_that_is_free_first():
    """Three of 2 seconds and one of 3 on two workers end after 5 seconds."""
    assert duration([2, 2, 2, 3], workers=2) == 5
    assert duration([2, 2, 2, 3], workers=1) == 9
    assert duration([], workers=2) == 0


def test_every_rung_gets_one_training_before_any_gets_a_second():
    """Cheap ones first, then the longest: it decides when the last worker is done."""
    counts, seconds = {"a": 3, "b": 3, "c": 1, "d": 2}, {"b": 20, "c": 50, "d": 0.1}
    order = in_rounds(counts, seconds, budget=100)
    assert order == [
        ("a", 0), ("d", 0), ("c", 0), ("b", 0),
        ("a", 1), ("d", 1), ("b", 1),
        ("a", 2), ("b", 2),
    ]  # fmt: skip


costs = st.floats(0.01, 50)


@settings(derandomize=True, deadline=None)
@given(st.lists(st.tuples(costs, st.integers(1, 8)), min_size=1, max_size=10), st.floats(1, 200))
def test_rounds_leave_nothing_out(rungs, budget):
    """Whatever the costs: each wanted training once, and never a later round before an earlier one."""
    counts = {str(place): count for place, (_, count) in enumerate(rungs)}
    order = in_rounds(counts, {str(place): cost for place, (cost, _) in enumerate(rungs)}, budget)
    assert sorted(order) == sorted((name, k) for name, count in counts.items() for k in range(count))
    assert [k for _, k in order] == sorted(k for _, k in order)


def test_a_forecast_learns_from_trainings_that_ended():
    """From a rung's own; for the others from how far the trials were off, in the middle."""
    forecast = Forecast({"a": 10, "b": 10, "c": 10, "short": 0.1, "next": 100})
    assert forecast.seconds("next") == pytest.approx(115)
    assert forecast.seconds("unknown") == 0
    forecast.add("short", 1)  # ten times its trial, which tells nothing about long trainings
    assert forecast.seconds("next") == pytest.approx(115)
    for name, seconds in (("a", 5), ("b", 15), ("c", 20), ("c", 40)):
        forecast.add(name, seconds)
    assert forecast.seconds("c") == pytest.approx(1.05 * 30)
    assert forecast.seconds("next") == pytest.approx(1.15 * 1.5 * 100)


def test_a_forecast_is_not_lowered_by_quick_trainings():
    """Trainings at the beginning may run alone, later ones beside others."""
    forecast = Forecast({"a": 10, "b": 10})
    forecast.add("a", 2)
    assert forecast.seconds("b") == pytest.approx(11.5)
