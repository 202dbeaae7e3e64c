"""The commands that repeat recorded trainings."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from modelzero.data.description import DataDescription
from modelzero.data.load import NAMES
from modelzero.data.options import LoadOptions
from modelzero.models.defaults import AUTO, HIDDEN_UNITS
from modelzero.models.recipe import Recipe
from modelzero.models.rungs import built_in_rung
from modelzero.results.ladder import Ladder
from modelzero.runs.record import LadderRecord, RungRecord
from modelzero.runs.run import Run
from modelzero.statistics.margin import MARGIN
from modelzero.training.options import TrainOptions

# Set or ruled out by options that are always given.
_SETTINGS = ("epochs", "batch_size", "learning_rate", "least_steps", "full_rate_power", "precision", "second_chance")
# Set by options where they differ from the model's own recipe.
_OPTIONAL = ("optimizer", "schedule", "class_weights", "clip_norm", "early_stopping", "precision")
# Decided from the images where the model's own recipe has None.
_LEFT_OPEN = ("flip", "standardise")
_OWN_DATA = "Load the images with the original options; the notes on the data list them."


def repeat(ladder: Ladder, *, is_ladder: bool) -> list[dict[str, str]]:
    """List the commands, and notes where commands are not enough.

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


def _climb(record: LadderRecord) -> list[dict[str, str]]:
    own = [rung.name for rung in record.rungs if _is_own(rung)]
    data, words = _data(record.data)
    if own:
        words.append({"words": f"Rungs that are not modelzero's own need your code: {', '.join(own)}."})
    options = ["--rungs", ",".join(rung.name for rung in record.rungs)]
    options += ["--seeds", str(len(record.seeds)), "--seed", str(record.seeds[0])]
    if record.margin != MARGIN:
        options += ["--margin", str(record.margin)]
    if record.device != "cpu":
        options += ["--device", record.device]
    if precision := _precision(record):
        options += ["--precision", precision]
    return [{"command": shlex.join(["modelzero", "climb", *data, *options])}, *words]


def _is_own(rung: RungRecord) -> bool:
    """Return whether a rung differs from the built-in one of its name."""
    if rung.model is None or rung.name != rung.model:
        return True
    own, recorded = built_in_rung(rung.model).recipe(), Recipe.recorded(rung.recipe or {})
    return any(own[name] != recorded[name] for name in own if name != "precision")


def _precision(record: LadderRecord) -> str | None:
    """Return the precision of the rungs whose own recipes leave it open; None if it was left open."""
    rungs = [rung for rung in record.rungs if rung.model is not None and built_in_rung(rung.model).precision == AUTO]
    found = {Recipe.recorded(rung.recipe or {})["precision"] for rung in rungs} - {AUTO}
    return next(iter(sorted(found)), None)


def _train(run: Run) -> list[dict[str, str]]:
    record, recipe = run.record, run.record.recipe
    data, words = _data(record.data)
    given = {} if recipe["model"] is None else _given(recipe)
    if recipe["model"] != record.model or _is_altered(recipe, given):
        words.append({"words": f"{record.model} needs your code."})
    options = ["--model", record.model, "--seed", str(run.seed)]
    if record.engine:
        if recipe.get("hidden_units", HIDDEN_UNITS) != HIDDEN_UNITS:
            options += ["--hidden-units", str(recipe["hidden_units"])]
        for name in ("epochs", "batch_size", "learning_rate"):
            options += [f"--{name.replace('_', '-')}", str(getattr(record, name))]
        for name, value in given.items():
            options += [f"--{name.replace('_', '-')}", str(value)]
        options += ["--threads", str(record.environment.threads), "--device", record.environment.device]
        options += ["--engine", record.engine]
    return [{"command": shlex.join(["modelzero", "train", *data, *options])}, *words]


def _given(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """Return the optional settings of a recipe that differ from the built-in rung and can be written as options."""
    own, recorded = built_in_rung(recipe["model"]).recipe(), Recipe.recorded(recipe)
    differing = {name: recorded[name] for name in _OPTIONAL if recorded[name] != own[name]}
    return {name: value for name, value in differing.items() if _is_plain(value)}


def _is_plain(value: Any) -> bool:
    """Return whether a recorded setting is a word or a number: neither nothing, nor a list, nor the name of code."""
    return isinstance(value, int | float) or (isinstance(value, str) and ":" not in value)


def _is_altered(recipe: Mapping[str, Any], given: Mapping[str, Any]) -> bool:
    """Return whether the built-in rung with the given settings differs in one that has no option.

    What it leaves open follows from the images.
    """
    rung, recorded = built_in_rung(recipe["model"]), Recipe.recorded(recipe)
    own = replace(rung, **TrainOptions(**given).recipe()).recipe()
    open_ = {name for name in _LEFT_OPEN if own[name] is None}
    return any(own[name] != recorded[name] for name in own if name not in _SETTINGS and name not in open_)


def _data(described: DataDescription) -> tuple[list[str], list[dict[str, str]]]:
    """Return source and options that load the data, and notes if they are not enough."""
    origin, split = described.origin, described.split
    if origin is not None:
        options = origin.options
        if split is None and described.share is None:  # nothing was drawn
            options = replace(options, seed=LoadOptions.seed)
        if origin.source in NAMES:
            options = replace(options, allow_unreadable=False)
        return [origin.source, *options.words()], []
    seed = described.share_seed if split is None else split.seed
    options = LoadOptions(
        share=LoadOptions.share if described.share is None else described.share,
        seed=LoadOptions.seed if seed is None else seed,
        test_share=LoadOptions.test_share if split is None else split.test_share,
    )
    if described.name in NAMES:
        return [described.name, *options.words()], []
    there = "\0" not in described.source and Path(described.source).is_absolute()
    return [described.source if there else described.name, *options.words()], [{"words": _OWN_DATA}]
