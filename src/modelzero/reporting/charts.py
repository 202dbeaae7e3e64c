"""Lay out charts: scales, ticks, points, labels and paths, which the templates draw as SVG."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from modelzero.reporting.scales import (
    LINE,
    Tick,
    accuracy_ticks,
    number,
    room,
    scale,
    tick_texts,
    ticks,
    time_ticks,
    whole_ticks,
)
from modelzero.reporting.shown import show
from modelzero.text import plain

_LETTER = 6.6  # pixels: an average letter of the charts' 12 pixel type
_MOST_LETTERS = 22
_MOST_POINTS = 200  # of a curve
_LEAST_SPAN = math.log10(3)  # of the time axis: a shorter one has no round numbers to show


@dataclass(frozen=True)
class Point:
    """A mark: its position, the ends of its interval, its tooltip, its label and where that stands."""

    x: float
    y: float
    low: float
    high: float
    tip: str
    label: str = ""
    label_x: float = 0
    label_y: float = 0
    anchor: str = "start"
    marked: bool = False


@dataclass(frozen=True)
class Series:
    """A line with its band, as SVG paths, and its points."""

    name: str
    line: str
    band: str
    points: list[Point]


@dataclass(frozen=True)
class Chart:
    """Everything that is drawn, in pixels; y points down, as in SVG."""

    width: int
    height: int
    left: float
    right: float
    top: float
    bottom: float
    x_ticks: list[Tick]
    y_ticks: list[Tick]
    points: list[Point] = field(default_factory=list)
    path: str = ""
    series: list[Series] = field(default_factory=list)


def price_chart(rungs: Sequence[dict[str, Any]], test_images: int, width: int, height: int) -> Chart:
    """Lay out accuracy against training time, so that small differences between the best models are visible.

    Both axes are logarithmic, in seconds and in the error: 80 to 90 % is as far as 90 to 95 %.

    >>> rung = {"name": "a", "accuracy": 0.9, "low": 0.88, "high": 0.92, "train_seconds": 2.0, "on_front": True}
    >>> len(price_chart([rung], 1000, 720, 400).points)
    1
    """
    left, right, top, bottom = 52.0, width - 14.0, 26.0, height - 40.0
    times = [number(rung["train_seconds"]) for rung in rungs]
    least = max(min((time for time in times if time > 0), default=0.1), 1e-4)
    times = [max(time, least) for time in times]
    fastest, slowest = math.log10(min(times)), math.log10(max(times))
    more = max(0.0, _LEAST_SPAN - (slowest - fastest)) / 2
    x = scale(*room(fastest - more, slowest + more, 0.12, 0.12), left, right)

    def error(accuracy: float) -> float:
        return -math.log10(max(1 - accuracy, 0.25 / test_images))

    rungs = [rung if rung.get("learned", 1) else _without_interval(rung) for rung in rungs]
    ends = [error(number(rung[end])) for rung in rungs for end in ("low", "high")]
    y = scale(*room(min(ends), max(ends), 0.06, 0.10), bottom, top)
    marks = [
        Point(
            x(math.log10(time)),
            y(error(rung["accuracy"])),
            y(error(number(rung["low"]))),
            y(error(number(rung["high"]))),
            f"{plain(rung['name'])}: {show(rung['accuracy'], 'percent')} "
            f"({show(rung['low'], 'bare_percent')} to {show(rung['high'], 'percent')}), "
            f"{show(rung['train_seconds'], 'seconds')} s of training",
            plain(rung["name"], _MOST_LETTERS),
            marked=rung["on_front"],
        )
        for rung, time in zip(rungs, times, strict=True)
    ]
    front = sorted((mark for mark in marks if mark.marked), key=lambda mark: (mark.x, mark.y))
    path = "".join(
        f"M{mark.x:.1f} {mark.y:.1f}" if not number else f"H{mark.x:.1f}V{mark.y:.1f}"
        for number, mark in enumerate(front)
    )
    return Chart(
        width, height, left, right, top, bottom,
        x_ticks=time_ticks(x, left, right),
        y_ticks=accuracy_ticks(lambda accuracy: y(error(accuracy)), top, bottom),
        points=_labelled(marks, (left, right, top, bottom)),
        path=path + (f"H{right:.1f}" if front else ""),
    )  # fmt: skip


def _without_interval(rung: dict[str, Any]) -> dict[str, Any]:
    """Reduce a rung whose trainings did not learn to a point without an interval."""
    return {**rung, "name": f"{rung['name']} (did not learn)", "low": rung["accuracy"], "high": rung["accuracy"]}


def curve_chart(
    epochs: Sequence[dict[str, Any]], names: Sequence[str], how: str, width: int = 340, height: int = 220
) -> Chart | None:
    """Lay out the figures of each epoch: a line for the mean over the seeds, a band from the lowest to the highest.

    Args:
        epochs: the epochs of a rung in a report.
        names: which figures, such as `train_loss`.
        how: the format of the values, see `show`.
        width: in pixels.
        height: in pixels.

    Returns:
        None if none of the figures is finite throughout.
    """
    left, right, top, bottom = 52.0, width - 14.0, 24.0, height - 38.0
    kept = [name for name in names if all(math.isfinite(number(epoch[name]["mean"])) for epoch in epochs)]
    values = [number(epoch[name][end]) for name in kept for epoch in epochs for end in ("low", "high")]
    if not values:
        return None
    x = scale(1, max(len(epochs), 2), left + 6, right - 6)
    low, high = room(min(values), max(values), 0.06, 0.06)
    y = scale(low, high, bottom, top)
    step = max(1, len(epochs) // _MOST_POINTS)
    chosen = [*epochs[:-1:step], epochs[-1]]
    series = []
    for name in kept:
        points = [
            Point(
                x(epoch["epoch"]),
                y(number(epoch[name]["mean"])),
                y(number(epoch[name]["low"])),
                y(number(epoch[name]["high"])),
                f"epoch {epoch['epoch']}, {name.replace('_', ' ')}: {show(epoch[name]['mean'], how)} "
                f"({show(epoch[name]['low'], how)} to {show(epoch[name]['high'], how)}, seeds: {epoch['seeds']})",
            )
            for epoch in chosen
        ]
        line = "M" + "L".join(f"{point.x:.1f} {point.y:.1f}" for point in points)
        upper = "L".join(f"{point.x:.1f} {point.high:.1f}" for point in points)
        lower = "L".join(f"{point.x:.1f} {point.low:.1f}" for point in reversed(points))
        series.append(Series(name, line, f"M{upper}L{lower}Z", points))
    factor, unit = (100, " %") if how == "percent" else (1, "")
    lines = ticks(low, high, 5)
    texts = tick_texts([factor * value for value in lines])
    return Chart(
        width, height, left, right, top, bottom,
        x_ticks=[Tick(x(epoch), f"{epoch:g}") for epoch in whole_ticks(len(epochs))],
        y_ticks=[Tick(y(value), text + unit) for value, text in zip(lines, texts, strict=True)],
        series=series,
    )  # fmt: skip


def reliability_chart(calibration: dict[str, Any], width: int = 340, height: int = 310) -> Chart:
    """Lay out accuracy against confidence for each bin, as trained and with the temperature, and the diagonal."""
    left, right, top, bottom = 52.0, width - 20.0, 24.0, height - 38.0
    x, y = scale(0, 1, left, right), scale(0, 1, bottom, top)
    series = []
    for name in ("as_trained", "scaled"):
        points = [
            Point(
                x(each["confidence"]),
                y(each["accuracy"]),
                y(each["low"]),
                y(each["high"]),
                f"{show(each['count'], 'count')} images with a confidence of {show(each['confidence'], 'percent')}: "
                f"{show(each['accuracy'], 'percent')} are correct "
                f"({show(each['low'], 'bare_percent')} to {show(each['high'], 'percent')})",
            )
            for each in calibration[name]["bins"]
        ]
        series.append(Series(name, "", "", points))
    quarters = (0, 0.25, 0.5, 0.75, 1)
    return Chart(
        width, height, left, right, top, bottom,
        x_ticks=[Tick(x(share), f"{100 * share:.0f} %") for share in quarters],
        y_ticks=[Tick(y(share), f"{100 * share:.0f} %") for share in quarters],
        path=f"M{left:.1f} {bottom:.1f}L{right:.1f} {top:.1f}",
        series=series,
    )  # fmt: skip


def _labelled(marks: Sequence[Point], borders: tuple[float, float, float, float]) -> list[Point]:
    """Place the label of each mark where it overlaps no mark, interval or other label, if possible."""
    left, right, top, bottom = borders
    taken = [(mark.x - 6, mark.high - 2, mark.x + 6, mark.low + 2) for mark in marks]
    labelled = []
    for mark in marks:
        wide = len(mark.label) * _LETTER
        places = [
            (mark.x + away, mark.y + down, anchor)
            for down in (4, -9, 17, -22, 30, -35, 43)
            for away, anchor in ((9, "start"), (-9, "end"))
        ] + [(mark.x, mark.high - 6, "middle"), (mark.x, mark.low + 14, "middle")]

        def box(place: tuple[float, float, str], wide: float = wide) -> tuple[float, float, float, float]:
            x, y, anchor = place
            start = {"start": x, "end": x - wide, "middle": x - wide / 2}[anchor]
            return start, y - LINE + 4, start + wide, y + 3

        def cost(place: tuple[float, float, str]) -> float:
            x1, y1, x2, y2 = box(place)
            outside = 5000 * (x1 < left or x2 > right or y1 < top - 10 or y2 > bottom)
            return outside + sum(
                max(0.0, min(x2, b2) - max(x1, b1)) * max(0.0, min(y2, d2) - max(y1, d1)) for b1, d1, b2, d2 in taken
            )

        best = min(places, key=cost)
        taken.append(box(best))
        labelled.append(Point(mark.x, mark.y, mark.low, mark.high, mark.tip, mark.label, *best, marked=mark.marked))
    return labelled
