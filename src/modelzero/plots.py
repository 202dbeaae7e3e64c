"""Draw a run, a ladder or a dataset with matplotlib, for notebooks and papers."""

from __future__ import annotations

import io
import math
from typing import TYPE_CHECKING

import numpy as np

from modelzero.data.dataset import ImageData
from modelzero.errors import RunError, SettingError
from modelzero.results.ladder import Ladder
from modelzero.runs.run import Run
from modelzero.text import plain

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Okabe and Ito's colours, which colour-blind people can tell apart; marks and dashes differ too.
_BLUE, _ORANGE, _GREY = "#0072b2", "#d55e00", "#8a8f98"


def plot(what: ImageData | Run | Ladder) -> Figure:
    """Draw a dataset, a run or a ladder with matplotlib.

    A dataset is drawn as its first training images of each class, a run as loss and accuracy of each epoch, a ladder
    as accuracy against training time.

    >>> import modelzero as mz
    >>> [label.get_text() for label in mz.plot(mz.load("digits")).axes[0].get_yticklabels()][:3]
    ['0', '1', '2']

    Raises:
        SettingError: matplotlib is not installed.
        RunError: a ladder without a finished run.
    """
    if isinstance(what, Run):
        return run_figure(what)
    return ladder_figure(what) if isinstance(what, Ladder) else data_figure(what)


def run_figure(run: Run) -> Figure:
    """Draw loss and accuracy of each epoch of a run.

    >>> import tempfile, modelzero as mz
    >>> run = mz.train("digits", "softmax", epochs=3, runs_dir=tempfile.mkdtemp())
    >>> [axes.get_ylabel() for axes in run_figure(run).axes]
    ['loss', 'accuracy']

    Raises:
        SettingError: matplotlib is not installed.
    """
    figure = _figure(8.0, 3.2)
    left, right = figure.subplots(1, 2)
    epochs = [epoch.epoch for epoch in run.history]
    for axes, name in ((left, "loss"), (right, "accuracy")):
        for part, colour, style in (("train", _ORANGE, "o--"), ("test", _BLUE, "s-")):
            values = [getattr(epoch, f"{part}_{name}") for epoch in run.history]
            if any(math.isfinite(value) for value in values):
                axes.plot(epochs, values, style, color=colour, label=part, markersize=4)
        axes.set(xlabel="epoch", ylabel=name, title=_title(f"{run.record.model}, seed {run.seed}"))
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(alpha=0.3)
        if axes.lines:
            axes.legend()
    return figure


def ladder_figure(ladder: Ladder) -> Figure:
    """Draw accuracy against training time of each rung, with 95 % intervals and the Pareto front.

    >>> import tempfile, modelzero as mz
    >>> ladder = mz.climb("digits", ["majority", "centroid"], runs_dir=tempfile.mkdtemp())
    >>> ladder_figure(ladder).axes[0].get_xlabel()
    'seconds of training'

    Raises:
        SettingError: matplotlib is not installed.
        RunError: the ladder has no finished run.
    """
    if not ladder.rungs:
        raise RunError(f"no run of {ladder.path.name} is finished: nothing to draw; resume the climb")
    from modelzero.reporting.charts import price_chart
    from modelzero.reporting.front import on_front

    figure = _figure(8.0, 4.6)
    axes = figure.subplots()
    rungs = [{**rung.as_dict(), "on_front": on_front(rung, ladder.rungs)} for rung in ladder.rungs]
    times = [max(rung["train_seconds"], 1e-4) for rung in rungs]
    front = sorted((time, 100 * rung["accuracy"]) for time, rung in zip(times, rungs, strict=True) if rung["on_front"])
    axes.step(*zip(*front, strict=True), "--", where="post", color=_BLUE)
    n = ladder.record.data.test_images
    chart = price_chart(rungs, n, 760, 430)  # as in the report, where labels do not overlap
    points = 72 * 7.2 / (chart.right - chart.left)
    for time, rung, mark in zip(times, rungs, chart.points, strict=True):
        middle, low, high = (100 * rung[name] for name in ("accuracy", "low", "high"))
        low, high = (low, high) if rung["learned"] else (middle, middle)
        shape, colour, inside = ("o", _BLUE, _BLUE) if mark.marked else ("D", _ORANGE, "white")
        axes.errorbar(
            time, middle, [[middle - low], [high - middle]], fmt=shape, color=colour, markerfacecolor=inside, capsize=3
        )
        beside = (points * (mark.label_x - mark.x), points * (mark.y - mark.label_y))
        sides = {"start": "left", "end": "right", "middle": "center"}
        axes.annotate(
            _title(rung["name"] if rung["learned"] else f"{rung['name']} (did not learn)"),
            (time, middle),
            beside,
            textcoords="offset points",
            ha=sides[mark.anchor],
            fontsize=9,
            bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 0.5},
        )
    axes.set_xscale("log")
    least = 25 / n  # per cent: an error too small for a test split of this size
    axes.set_yscale(
        "function",
        functions=(lambda share: -np.log10(np.maximum(100 - share, least)), lambda height: 100 - 10.0**-height),
    )
    axes.margins(x=0.12, y=0.1)
    axes.set_yticks([float(tick.text.split()[0]) for tick in chart.y_ticks], [tick.text for tick in chart.y_ticks])
    axes.set(
        xlabel="seconds of training",
        ylabel="test accuracy",
        title=_title(f"{ladder.record.data.name}: blue rungs form the Pareto front of accuracy and time"),
    )
    axes.grid(alpha=0.3)
    return figure


def data_figure(data: ImageData, columns: int = 10, most_rows: int = 20) -> Figure:
    """Draw the first training images of each class, one row for each class.

    >>> import modelzero as mz
    >>> [label.get_text() for label in data_figure(mz.load("digits")).axes[0].get_yticklabels()][:3]
    ['0', '1', '2']

    Args:
        data: the dataset.
        columns: images of each class.
        most_rows: maximum number of classes.

    Raises:
        SettingError: matplotlib is not installed.
    """
    import torch

    rows = min(most_rows, len(data.classes))
    figure = _figure(0.7 * columns + 1.6, 0.75 * rows + 0.2)
    channels, height, width = data.image_shape
    gap = max(1, height // 14)
    # One large image: an axes for each sample would take seconds to draw.
    sheet = torch.full((rows * (height + gap) - gap, columns * (width + gap) - gap, channels), 255, dtype=torch.uint8)
    for label in range(rows):
        places = torch.nonzero(data.train.labels == label).flatten()[:columns]
        for column, pixels in enumerate(data.train.images[places]):
            top, left = label * (height + gap), column * (width + gap)
            sheet[top : top + height, left : left + width] = pixels.permute(1, 2, 0)
    axes = figure.subplots()
    axes.imshow(sheet.expand(-1, -1, 3).numpy() if channels == 1 else sheet[..., :3].numpy(), interpolation="nearest")
    middles = [label * (height + gap) + height / 2 for label in range(rows)]
    axes.set_yticks(middles, [_title(name, 24) for name in data.classes[:rows]])
    axes.set_xticks([])
    axes.tick_params(length=0)
    axes.set_frame_on(False)
    return figure


def _figure(width: float, height: float) -> Figure:
    """Make a figure outside of pyplot, which notebooks show only once and no global state keeps alive."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise SettingError(
            "matplotlib is not installed, and figures require it: pip install 'modelzero[plot]'"
        ) from None

    class Drawn(Figure):
        def _repr_png_(self) -> bytes:
            written = io.BytesIO()
            self.savefig(written, format="png")
            return written.getvalue()

    return Drawn(figsize=(width, height), layout="constrained")


def _title(text: str, most: int = 90) -> str:
    """Escape dollar signs, between which matplotlib would typeset a formula."""
    return plain(text, most).replace("$", r"\$")
