"""Cells to workers to runs to a verdict: the climb from its arguments to its ladder."""

from __future__ import annotations

import contextlib
import shutil
import signal
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import asdict, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from torch import nn

from modelzero.climbing.budget import parse_budget
from modelzero.climbing.cell import runs_here
from modelzero.climbing.looks import count_looks
from modelzero.climbing.session import Expedition, Listener
from modelzero.climbing.shared import share
from modelzero.climbing.workers import Workers
from modelzero.data.auditing.hints import hint_of
from modelzero.data.dataset import ImageData
from modelzero.data.load import load, load_again
from modelzero.errors import DataError, ModelError, RunError, SettingError, check_count, check_margin, check_seed
from modelzero.models.build import build
from modelzero.models.fitted import Fitted
from modelzero.models.randomness import DECLARED, Randomness, randomness_of
from modelzero.models.recipe import Recipe
from modelzero.models.rungs import LADDER, Rung, as_rung, rung_named
from modelzero.models.summary import parameters
from modelzero.results.comparison import MARGIN
from modelzero.results.ladder import Ladder
from modelzero.results.leaks import look_for_leaks
from modelzero.runs.folder import create_folder, write_record
from modelzero.runs.process import this_process
from modelzero.runs.record import FORMAT, LADDER_RECORD, NOT_NEEDED, Run, environment
from modelzero.signals import SIGNALS, Interruption, exit_code, held_back, ignored, raised
from modelzero.training.device import DEVICES, available_cores, use_threads
from modelzero.training.execute import UNDER_WAY
from modelzero.training.fused.stack import what_hinders
from modelzero.training.resume import alone, refuse_while_written

# What a budget keeps back for the comparisons and for ending what still runs.
_RESERVE_SECONDS = 2.0


class Interrupted(Interruption):
    """A signal ended a climb.

    Args:
        ladder: what is known so far.
        number: of the signal.
    """

    def __init__(self, ladder: Ladder, number: int = signal.SIGINT) -> None:
        super().__init__(number)
        self.ladder = ladder
        self.folder = ladder.path


def climb(
    data: ImageData | str | Path | Callable[[], ImageData] | None = None,
    rungs: Sequence[str | Rung | Callable[..., Any]] | None = None,
    seeds: int = 5,
    budget: str | float | None = None,
    workers: int | None = None,
    executor: Executor | None = None,
    *,
    seed: int = 42,
    device: str = "cpu",
    margin: float = MARGIN,
    runs_dir: str | Path = "runs",
    data_dir: str | Path | None = None,
    audit: bool | None = None,
    resume: str | Path | None = None,
    take_over: bool = False,
    progress: Listener | None = None,
) -> Ladder:
    """Train each rung of a ladder with several seeds, and say which is worth its price.

    Each cell (a rung with a seed) trains on one thread in a process of its own, so the numbers do not depend on how
    many there are. Which rungs are compared is written down before anything is trained: each with the best one below.

    >>> import tempfile, modelzero as mz
    >>> ladder = mz.climb("digits", ["majority", "softmax"], seeds=2, runs_dir=tempfile.mkdtemp())
    >>> ladder.worth_it, len(ladder.runs)
    ('softmax', 3)

    Args:
        data: an `ImageData`, or what `load` takes, or a function that returns image data; it is called once the other
            settings are known to be right. None with `resume` only, where the record says where they are.
        rungs: names, `Rung`s or factories, the simplest first; None takes the whole ladder.
        seeds: trainings of each rung; one without randomness is trained once, and one that may have none, such as a
            classifier of scikit-learn, twice: where both predict the same to the bit, that is enough.
        budget: seconds, or a time such as "60s" or "5m", for everything. What a short trial predicts not to fit is
            left out by name; what has not ended by then is cut off.
        workers: cells that are trained at once; None means one for each core.
        executor: a `concurrent.futures.Executor` in place of the processes here, such as that of a cluster, which has
            to see `runs_dir`. Threads of one process train one after the other.
        seed: the first one; the others count on from it.
        device: where each cell trains: cpu, cuda or mps.
        margin: differences below this fraction are practically none.
        runs_dir: the folder that gets the folders of the ladder and of its runs.
        data_dir: where `load` looks first.
        audit: search for test images that are nearly a training image, so that the ladder can say how good its
            rungs are without them. None does so where it takes seconds: up to 1e9 pairs, and within the budget.
        resume: the folder of a ladder that was cut off, in which to go on: what is finished is read back, what is not
            goes on from its last checkpoint. Of the other arguments then only `data`, `rungs` where one is of your own,
            `budget` as further time, `workers`, `executor`, `audit`, `take_over` and `progress` count: the rest is in
            its record.
        take_over: resume a ladder that a process on another host wrote, which is known to have ended.
        progress: is given the ladder once it is declared, and whenever a cell has ended.

    Returns:
        The ladder: `rungs`, `comparisons`, `worth_it`, `left_out`, `table()`.

    Raises:
        InputError: data, rungs, a setting or a folder that cannot be used, or a budget that nothing fits into.
        TrainingError: no rung could be trained.
        Interrupted: Ctrl-C, SIGTERM or SIGHUP; a KeyboardInterrupt with the `ladder` so far.
    """
    began = time.monotonic()
    seconds = parse_budget(budget)
    count = available_cores() if workers is None else check_count("workers", workers, 10_000)
    if resume is not None:
        ladder = Ladder.read(resume)
        if _is_finished(ladder):
            return ladder
        with alone(ladder.path, "a ladder"):
            expedition = _taken_up(ladder.path, data, rungs, executor is None, take_over)
        if expedition is None:
            return Ladder.read(resume)
    elif data is None:
        raise SettingError("no data: give a name, a path or an ImageData, or a ladder to resume")
    else:
        expedition = _begun(data, rungs, seeds, seed, device, margin, Path(runs_dir), data_dir, executor is None)
    expedition.record.update(budget_seconds=seconds, workers=count if executor is None else None)
    expedition.progress, expedition.workers = progress, Workers(count, executor, runs_here)
    UNDER_WAY.add(expedition.path.absolute())
    try:
        with raised(*SIGNALS):
            _carry_out(expedition, began, seconds, audit)
    finally:
        UNDER_WAY.discard(expedition.path.absolute())
    return expedition.ladder()


def _carry_out(expedition: Expedition, began: float, seconds: float | None, audit: bool | None) -> None:
    """Train what is to be trained, and record it."""
    path, record, data = expedition.path, expedition.record, expedition.data
    deadline = None if seconds is None else began + seconds - _RESERVE_SECONDS
    try:
        if {rung.name for rung in expedition.rungs} - expedition.here:
            share(data, path / "pictures")
        with use_threads(1):  # for the cells that are trained here
            expedition.declare(began, deadline)
            expedition.train(deadline)
    except KeyboardInterrupt as interrupt:
        with ignored():  # a second Ctrl-C must not cost what is known
            expedition.end("interrupted", began)
        raise Interrupted(expedition.ladder(), exit_code(interrupt) - 128) from None
    except BaseException:
        with ignored():
            expedition.workers.stop()
        if not record["cells"]:  # nothing was trained, nothing stays
            shutil.rmtree(path, ignore_errors=True)
        else:
            with contextlib.suppress(RunError):  # why it failed has to be told, also where a full disk takes no record
                expedition.end("failed", began)
        raise
    try:
        with held_back():  # what still runs is ended, which takes seconds
            expedition.end("finished", began)
        left = None if deadline is None else deadline - time.monotonic()
        record["leaks"] = look_for_leaks(data, search=audit, seconds=left)
        hint = hint_of(data, record["leaks"]["test_clusters"])
        record["grouping"] = None if hint is None else asdict(hint)
    except KeyboardInterrupt as interrupt:  # all that counts is recorded already
        raise Interrupted(expedition.ladder(), exit_code(interrupt) - 128) from None
    record["seconds"] = time.monotonic() - began
    write_record(path, record, LADDER_RECORD)


def _begun(
    data: ImageData | str | Path | Callable[[], ImageData],
    rungs: Sequence[str | Rung | Callable[..., Any]] | None,
    seeds: int,
    seed: int,
    device: str,
    margin: float,
    runs_dir: Path,
    data_dir: str | Path | None,
    own_workers: bool,
) -> Expedition:
    """Check the settings of a new climb, and make its folder."""
    seeds, seed = check_count("seeds", seeds, 10_000), check_seed(seed)
    if device not in DEVICES[1:]:
        raise SettingError(f"device {device!r}: one of {', '.join(DEVICES[1:])} is needed, the same for every cell")
    margin = check_margin(margin)
    chosen = [as_rung(rung) for rung in (LADDER if rungs is None else rungs)]
    _check_names(chosen)
    if not isinstance(data, ImageData):
        data = data() if callable(data) else load(data, data_dir=data_dir)
    randomness, here, left_out = _built(chosen, data)
    here = here if device == "cpu" and own_workers else set()
    record: dict[str, Any] = {
        "format": FORMAT,
        "id": "",
        "status": "running",
        "created": datetime.now(UTC).isoformat(timespec="microseconds"),
        "process": this_process(),
        "data": data.description(),
        "seeds": [seed + k for k in range(seeds)],
        "looks": count_looks(runs_dir, data.fingerprint, chosen, [seed + k for k in range(seeds)]),
        "device": device,
        "margin": margin,
        "environment": environment(1, device),
        "left_out": left_out,
        "rungs": [],
        "family": [],
        "cells": [],
    }
    path = create_folder(runs_dir.absolute(), f"ladder-{data.name}", record, LADDER_RECORD)
    return Expedition(path, record, data, [rung for rung in chosen if rung.name in randomness], randomness, here)


def _is_finished(ladder: Ladder) -> bool:
    cells = ladder.record["cells"]
    return ladder.record["status"] == "finished" and all(cell["status"] in ("finished", NOT_NEEDED) for cell in cells)


def _taken_up(
    path: Path,
    data: ImageData | str | Path | Callable[[], ImageData] | None,
    rungs: Sequence[str | Rung | Callable[..., Any]] | None,
    own_workers: bool,
    take_over: bool,
) -> Expedition | None:
    """Take up a climb that was cut off; None where it has ended meanwhile."""
    ladder = Ladder.read(path)
    if _is_finished(ladder):
        return None
    record = dict(ladder.record)
    if record["status"] == "running":
        refuse_while_written(path, record.get("process"), take_over=take_over)
    if not record["cells"]:
        raise RunError(f"{path} was cut off before anything was planned: climb anew")
    given = {rung.name: rung for rung in map(as_rung, rungs or [])}
    own = [described["name"] for described in record["rungs"] if described["model"] is None]
    if extra := [name for name in given if name not in own]:
        needed = f"only {', '.join(map(repr, own))} of this ladder" if own else "no rung of this ladder"
        raise ModelError(f"{', '.join(map(repr, extra))} given: {needed} has to be given again; leave it out")
    known = {field.name for field in fields(Recipe)}
    chosen = []
    for described in record["rungs"]:
        name = described["name"]
        if described["model"] is None and name not in given:
            raise ModelError(f"{name!r} is a model of your own, which the ladder's record lacks: give it in rungs")
        rung = given[name] if described["model"] is None else rung_named(described["model"])
        recipe = {key: value for key, value in described["recipe"].items() if key in known}
        if "randomness" in described:  # what was said when it was begun counts
            recipe["random"] = described["random"] if described["randomness"] == DECLARED else None
        chosen.append(replace(rung, name=name, adds=described["adds"], **recipe))
    if data is None:
        if record["data"].get("origin") is None:
            raise DataError(f"{path}: its record cannot load {record['data']['name']!r} again: give the data too")
        data = load_again(record["data"]["origin"])
    elif not isinstance(data, ImageData):
        data = data() if callable(data) else load(data)
    if data.fingerprint != record["data"]["fingerprint"]:
        raise DataError(
            f"{data.name} has the fingerprint {data.fingerprint[:12]}, the ladder was climbed on "
            f"{record['data']['fingerprint'][:12]}: the very same images, labels and class names are needed"
        )
    randomness, here, _ = _built(chosen, data)
    here = here if record["device"] == "cpu" and own_workers else set()
    record.update(status="running", process=this_process(), left_out=list(record.get("not_planned", [])))
    expedition = Expedition(path, record, data, chosen, randomness, here)
    expedition.take_up(take_over=take_over)
    for run in expedition.runs:
        if run.record["model"] in own and run.record["engine"]:
            _check_size(next(rung for rung in chosen if rung.name == run.record["model"]), run, data)
    write_record(path, record, LADDER_RECORD)  # from here on it is this process's
    UNDER_WAY.add(path.absolute())
    return expedition


def _check_size(rung: Rung, run: Run, data: ImageData) -> None:
    """Raise ModelError where a rung that was given makes another model than that of a finished run."""
    model = build(rung.make, data.image_shape, len(data.classes), hidden_units=10, seed=run.seed)
    if isinstance(model, nn.Module) and parameters(model) != run.record["parameters"]:
        raise ModelError(
            f"run {run.id} trained {rung.name!r} of {run.record['parameters']:,} parameters, given is one of "
            f"{parameters(model):,}: the very same model is needed"
        )


def _check_names(rungs: list[Rung]) -> None:
    if not rungs:
        raise SettingError("no rung: at least one is needed, or None for the whole ladder")
    names = [rung.name for rung in rungs]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise SettingError(
            f"{len(names)} rungs, but {', '.join(map(repr, twice))} more than once: each needs a name of its own; "
            "give one with mz.Rung(name, make=...)"
        )


def _built(rungs: list[Rung], data: ImageData) -> tuple[dict[str, Randomness], set[str], list[dict[str, Any]]]:
    """Make each model once; return which are random, which the kernel can train, and which fit or work not at all."""
    randomness: dict[str, Randomness] = {}
    fused = set()
    left_out = []
    errors = []
    for rung in rungs:
        try:
            model = build(rung.make, data.image_shape, len(data.classes))
        except ModelError as error:
            errors.append(error)
            failed = rung.built_in is None  # a rung of our own says what images it needs
            left_out.append({"name": rung.name, "why": str(error), "predicted_seconds": None, "failed": failed})
            continue
        randomness[rung.name] = randomness_of(rung, model)
        if isinstance(model, nn.Module) and not isinstance(model, Fitted) and what_hinders(model, rung) is None:
            fused.add(rung.name)
    if not randomness:
        raise errors[0]
    return randomness, fused, left_out
