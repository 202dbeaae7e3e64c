"""The command that trains the same again, from records."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from modelzero.data.load import NAMES
from modelzero.models.rungs import rung_named
from modelzero.results.comparison import MARGIN
from modelzero.results.ladder import Ladder
from modelzero.runs.record import Run

_SETTINGS = ("model", "epochs", "batch_size", "learning_rate", "least_steps")  # what options give, or make needless
# What `load` was given, the option that gives it, and what is usual.
_LOADING = (
    ("data_dir", "--data-dir", None),
    ("format", "--format", None),
    ("size", "--size", None),
    ("fit", "--fit", "pad"),
    ("test_share", "--test-share", 0.2),
    ("seed", "--split-seed", 0),
    ("group", "--group", None),
    ("share", "--share", 1.0),
)
_OWN_DATA = "The images have to be loaded with the options that were given then; the notes on the data name them."


def repeat(ladder: Ladder, *, is_ladder: bool) -> list[dict[str, str]]:
    """List commands, and words where no command says it all.

    >>> import tempfile, modelzero as mz
    >>> ladder = mz.climb("digits", ["majority", "softmax"], seeds=2, runs_dir=tempfile.mkdtemp())
    >>> repeat(ladder, is_ladder=True)
    [{'command': 'modelzero climb digits --rungs majority,softmax --seeds 2 --seed 42'}]
    """
    if is_ladder:
        return _climb(ladder.record)
    lines = []
    for rung in ladder.rungs:
        runs = [run for run in ladder.runs if run.id in rung.runs]
        lines += _train(runs[0])
        if len(runs) > 1:
            rest = ", ".join(str(run.seed) for run in runs[1:11]) + (" ..." if len(runs) > 11 else "")
            lines.append({"words": f"and the same with --seed {rest}"})
    return lines


def _climb(record: Mapping[str, Any]) -> list[dict[str, str]]:
    own = [
        rung["name"]
        for rung in record["rungs"]
        if rung["model"] is None
        or rung["name"] != rung["model"]
        or rung_named(rung["model"]).recipe() != rung.get("recipe")
    ]
    data, words = _data(record["data"])
    if own:
        words.append({"words": f"Rungs that are not modelzero's own need your code: {', '.join(own)}."})
    options = ["--rungs", ",".join(rung["name"] for rung in record["rungs"])]
    options += ["--seeds", str(len(record["seeds"])), "--seed", str(record["seeds"][0])]
    if record.get("margin", MARGIN) != MARGIN:
        options += ["--margin", str(record["margin"])]
    if record.get("device", "cpu") != "cpu":
        options += ["--device", record["device"]]
    return [{"command": shlex.join(["modelzero", "climb", *data, *options])}, *words]


def _train(run: Run) -> list[dict[str, str]]:
    record = run.record
    data, words = _data(record["data"])
    recipe = record["recipe"]
    if recipe["model"] is None or _is_altered(recipe):
        words.append({"words": f"{record['model']} needs your code."})
    options = ["--model", str(record["model"]), "--seed", str(run.seed)]
    if "optimizer" in recipe:
        if recipe.get("hidden_units", 10) != 10:
            options += ["--hidden-units", str(recipe["hidden_units"])]
        for name in ("epochs", "batch_size", "learning_rate"):
            options += [f"--{name.replace('_', '-')}", str(record[name])]
        options += ["--threads", str(record["environment"]["threads"])]
        if record.get("engine"):
            options += ["--engine", record["engine"]]
    return [{"command": shlex.join(["modelzero", "train", *data, *options])}, *words]


def _is_altered(recipe: Mapping[str, Any]) -> bool:
    """Whether a setting that no option gives differs from that of our own rung."""
    own = rung_named(recipe["model"]).recipe()
    return any(own[name] != recipe.get(name, own[name]) for name in own if name not in _SETTINGS)


def _data(described: Mapping[str, Any]) -> tuple[list[str], list[dict[str, str]]]:
    """Return source and options that load the data, and words where they do not say it all."""
    if origin := described.get("origin"):
        options = []
        if not described.get("split") and "share" not in described:  # nothing was drawn
            origin = {**origin, "seed": 0}
        if origin["source"] in NAMES:
            origin = {**origin, "allow_unreadable": False}
        for name, option, usual in _LOADING:
            value = origin.get(name, usual)
            if value != usual:
                options += [option, "x".join(map(str, value)) if isinstance(value, list) else str(value)]
        return [origin["source"], *options, *["--allow-unreadable"] * bool(origin.get("allow_unreadable"))], []
    split = described.get("split") or {}
    options = []
    if "share" in described:
        options += ["--share", str(described["share"])]
    seed = split.get("seed", described.get("share_seed", 0))
    if seed:
        options += ["--split-seed", str(seed)]
    if split:
        options += ["--test-share", str(split["test_share"])]
    if described["name"] in NAMES:
        return [described["name"], *options], []
    source = str(described.get("source", described["name"]))
    there = "\0" not in source and Path(source).is_absolute()
    return [source if there else described["name"], *options], [{"words": _OWN_DATA}]
