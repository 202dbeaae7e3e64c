"""The numbers beside the lines of a chart."""

import itertools
import math

import pytest

from modelzero.reporting.charts import price_chart
from modelzero.reporting.scales import scale, time_ticks


@pytest.mark.parametrize("first", [0.0003, 0.00105, 0.02, 1.3, 77.0, 4000.0])
@pytest.mark.parametrize("times", [1.4, 1.8, 3.0, 10.0, 1000.0])
def test_every_chart_has_a_scale_of_time(first, times):
    """At least two numbers, at their places, none over another, however near the rungs lie to each other."""
    x = scale(math.log10(first), math.log10(first * times), 60, 700)
    ticks = time_ticks(x, 60, 700)
    assert 2 <= len(ticks) <= 17
    for tick in ticks:
        assert tick.at == pytest.approx(x(math.log10(float(tick.text.replace(",", "")))))
    assert all(b.at - a.at >= 39 for a, b in itertools.pairwise(ticks))


def test_powers_of_ten_where_there_are_enough():
    """And nothing between them."""
    ticks = time_ticks(scale(-3, 3, 0, 600), 0, 600)
    assert [tick.text for tick in ticks] == ["0.001", "0.01", "0.1", "1", "10", "100", "1,000"]


@pytest.mark.parametrize(
    "seconds", [[1.05], [1.23], [0.00025], [1.31, 1.34], [2.02, 2.08], [12.1, 12.8], [1, 1], [0, 0]]
)
def test_rungs_that_take_nearly_the_same_time(seconds):
    """One, or several: the report's chart has numbers for them too, wide and narrow."""
    rung = {"name": "a", "accuracy": 0.9, "low": 0.88, "high": 0.92, "on_front": True}
    for width in (760, 370):
        chart = price_chart([rung | {"train_seconds": each} for each in seconds], 1000, width, 400)
        assert len(chart.x_ticks) >= 2
        assert all(chart.left <= point.x <= chart.right for point in chart.points)
