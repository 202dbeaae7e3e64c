"""Write a report as one self-contained HTML file."""

from __future__ import annotations

import base64
import hashlib
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from modelzero._version import __version__
from modelzero.data.dataset import ImageData
from modelzero.errors import DataError, counted
from modelzero.io.atomic import replacing
from modelzero.io.json import to_json
from modelzero.reporting.charts import curve_chart, price_chart, reliability_chart
from modelzero.reporting.content import Report, gather
from modelzero.reporting.mistakes import as_data_uri
from modelzero.reporting.shown import UNKNOWN, show
from modelzero.results.ladder import Ladder
from modelzero.results.words import COVERS
from modelzero.runs.run import Run
from modelzero.text import plain

ENDINGS = (".html", ".htm")
_MOST_IN_MATRIX = 30  # classes: a larger matrix is unreadable
_MOST_CLASSES = 60  # rows of the table of classes
_PAIRS_BESIDE_MATRIX = 10
_MOST_RUNS = 500


def report(
    source: Ladder | Run | str | Path | Sequence[Ladder | Run | str | Path],
    path: str | Path = "report.html",
    *,
    data: str | Path | ImageData | None = None,
    data_dir: str | Path | None = None,
) -> Path:
    """Write a report of a ladder, or of runs, as one HTML file that opens anywhere; return its path.

    >>> import tempfile, modelzero as mz
    >>> folder = Path(tempfile.mkdtemp())
    >>> run = mz.train("digits", "softmax", runs_dir=folder)
    >>> mz.report(run, folder / "report.html").name
    'report.html'

    Args:
        source: a ladder, a run, several runs, or the folders of these; a ladder among several stands for its runs.
        path: the file to write; an existing one is replaced.
        data: the images, or where they are; None takes the recorded source.
        data_dir: the folder to search first for named datasets.

    Raises:
        RunError: a source cannot be read, or the runs are on different data.
        DataError: the path cannot be written, or `data` are not the images of the runs.
    """
    sources = [source] if isinstance(source, Ladder | Run | str | Path) else source
    return save_page(page(gather(sources, data=data, data_dir=data_dir)), path)


def page(content: Report) -> str:
    """Fill the templates with what `--json` prints, and with the images of the mistakes."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    whole = content.as_dict()
    if len(whole["data"]["classes"]) > _MOST_IN_MATRIX:
        whole["rungs"] = [{**rung, "confusion": None} for rung in whole["rungs"]]
    document: dict[str, Any] = json.loads(to_json(whole, indent=None))
    environment = Environment(
        loader=PackageLoader("modelzero.reporting"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    environment.filters |= {"plain": plain, "name": _name, "px": lambda value: f"{value:.1f}".removesuffix(".0")}
    style, script = (
        environment.loader.get_source(environment, name)[0]  # type: ignore[union-attr]
        for name in ("report.css", "report.js")
    )
    classes = [plain(name) for name in document["data"]["classes"]]
    rungs = document["rungs"]
    kind = "ladder" if document["ladder"] else "comparison"
    subtitle = f"a {kind} of {counted(len(rungs), 'model')}" if len(rungs) != 1 else "one model"
    return environment.get_template("report.html").render(
        doc=document,
        n=_numbers(document),
        class_name=lambda number: Markup("<bdi>{}</bdi>").format(classes[number]),
        title=f"{plain(document['data']['name'], 80)}: {subtitle}",
        subtitle=subtitle,
        style=Markup(style),  # noqa: S704 - our own file
        script=Markup(script),  # noqa: S704 - our own file
        style_hash=_hash(style),
        script_hash=_hash(script),
        version=__version__,
        unknown=UNKNOWN,
        covers=COVERS,
        unfinished=[run for run in document["recorded_runs"] if run["why"] or run["status"] != "finished"],
        most_runs=_MOST_RUNS,
        where=document["ladder"] or str(Path(document["runs"][0]).parent if document["runs"] else content.ladder.path),
        nothing={"nll": math.log(len(classes)), "brier": 1 - 1 / len(classes)},
        views=[_view(document, number, classes, content.data) for number in range(len(rungs))],
        curves=_curves(rungs),
        price_wide=price_chart(rungs, document["data"]["test_images"], 760, 430) if rungs else None,
        price_narrow=price_chart(rungs, document["data"]["test_images"], 370, 400) if rungs else None,
    )


def save_page(text: str, path: str | Path) -> Path:
    """Write a page atomically.

    Raises:
        DataError: the path cannot be written.
    """
    path = Path(path)
    try:
        with replacing(path, ENDINGS) as temporary:
            temporary.write_text(text, encoding="utf-8", newline="\n")
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise DataError(
            f"the report {path} cannot be written ({why}): give a path like report.html in an existing folder"
        ) from None
    return path


def _numbers(document: dict[str, Any]) -> Any:
    """Return a function that shows a number of the document, so that the page cannot show any other."""

    def number(key: str, how: str) -> Markup:
        value: Any = document
        for step in key.split("."):
            value = value[int(step)] if isinstance(value, list) else value[step]
        raw = "" if value is None else value if isinstance(value, str) else json.dumps(value)
        shown = "·" if how == "matrix" and value == 0 else show(value, "count" if how == "matrix" else how)
        return Markup('<data value="{}" data-key="{}">{}</data>').format(raw, key, shown)

    return number


def _name(text: object, most: int = 40) -> Markup:
    """Show a user-given name safely: escaped, on one line, isolated from the direction of the text around it."""
    return Markup("<bdi>{}</bdi>").format(plain(str(text), most))


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _curves(rungs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    curves = []
    for number, rung in enumerate(rungs):
        if rung["epochs"]:
            loss = curve_chart(rung["epochs"], ("train_loss", "test_loss"), "loss")
            accuracy = curve_chart(rung["epochs"], ("train_accuracy", "test_accuracy"), "percent")
            curves.append({"number": number, "name": rung["name"], "loss": loss, "accuracy": accuracy})
    return curves


def _view(document: dict[str, Any], number: int, classes: list[str], data: ImageData | None) -> dict[str, Any]:
    """Choose what to show of a rung."""
    rung = document["rungs"][number]
    best = max(document["rungs"], key=lambda each: (bool(each["learned"]), each["accuracy"]))
    small = len(classes) <= _MOST_IN_MATRIX
    shown = range(len(classes))
    if len(classes) > _MOST_CLASSES:
        shown = sorted(shown, key=lambda label: rung["per_class"][label]["f1"])[:_MOST_CLASSES]  # type: ignore[assignment]
    return {
        "open": rung["name"] == document["worth_it"] or rung is best,
        "seed": next(run["seed"] for run in document["recorded_runs"] if run["id"] == rung["shown"]),
        "matrix": _matrix(rung["confusion"], classes) if small else None,
        "pairs": rung["confused"][: _PAIRS_BESIDE_MATRIX if small else None],
        "classes": shown,
        "tiles": _tiles(rung["mistakes"], classes, data),
        "reliability": reliability_chart(rung["calibration"]) if rung["calibration"] else None,
        "calibration_words": _calibration_words(rung["calibration"]),
    }


def _matrix(matrix: list[list[int]], classes: list[str]) -> list[dict[str, Any]]:
    """Shade each cell by its share of the row: errors from 1 % on, correct predictions by quarters."""
    rows = []
    for row, counts in enumerate(matrix):
        total = sum(counts) or 1
        cells = []
        for column, count in enumerate(counts):
            share = count / total
            wrong, right = (0.01, 0.03, 0.1, 0.25), (0.25, 0.5, 0.75, 0.9)
            level = sum(share >= bound for bound in (right if row == column else wrong))
            tip = f"{classes[row]} taken for {classes[column]}: {count:,} of {total:,} ({share:.1%})" if count else ""
            cells.append({"number": column, "shade": f"{'d' if row == column else 'w'}{level}", "tip": tip})
        rows.append({"number": row, "name": classes[row], "cells": cells})
    return rows


def _tiles(mistakes: list[dict[str, Any]], classes: list[str], data: ImageData | None) -> list[dict[str, Any]]:
    if data is None:
        return []
    names = data.test.names
    return [
        {
            **mistake,
            "uri": as_data_uri(data.test.images[mistake["position"]]),
            "truth_name": classes[mistake["truth"]],
            "name": names[mistake["position"]] if names else "",
        }
        for mistake in mistakes
    ]


def _calibration_words(calibration: dict[str, Any] | None) -> str:
    """Summarise the calibration in words."""
    if calibration is None:
        return ""
    trained, scaled = calibration["as_trained"], calibration["scaled"]
    if trained["ece_debiased"] <= trained["ece_debiased_noise"]:
        return (
            f"These {trained['n']:,} images show no miscalibration: by chance a perfectly calibrated model shows an "
            f"error of up to {show(trained['ece_debiased_noise'], 'percent')}. A smaller error is not detectable."
        )
    gap = trained["confidence"] - trained["accuracy"]
    said = "It is overconfident" if gap > 0 else "It is underconfident"
    said += (
        f": mean confidence {show(trained['confidence'], 'percent')}, accuracy {show(trained['accuracy'], 'percent')}."
    )
    if scaled["ece_debiased"] <= scaled["ece_debiased_noise"]:
        return said + " With one temperature, chance explains the remaining error."
    if scaled["ece_debiased"] < trained["ece_debiased"]:
        return said + " One temperature reduces the error, but not to what chance explains."
    return said + " One temperature does not help."
