"""Cells to workers to runs to a verdict: the climb from its arguments to its ladder."""

from __future__ import annotations

import math
import os
import shutil
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import cloudpickle
from torch import nn

from modelzero.climbing.budget import FIRST_SEEDS, Planned, parse_budget, plan
from modelzero.climbing.cells import Failure, Job, runs_here, train_cell, try_out
from modelzero.climbing.comparison import MARGIN
from modelzero.climbing.ladder import Ladder
from modelzero.climbing.leaks import look_for_leaks
from modelzero.climbing.shared import share
from modelzero.climbing.workers import Workers, interrupt_ignored
from modelzero.data.catalog import load
from modelzero.data.dataset import ImageData
from modelzero.errors import ModelError, SettingError, TrainingError, check_count, check_margin, check_seed
from modelzero.models.build import build
from modelzero.models.classifier import has_seed
from modelzero.models.fitted import Fitted
from modelzero.models.ladder import LADDER, Rung, as_rung
from modelzero.runs.record import FORMAT, LADDER_RECORD, Run, environment
from modelzero.runs.store import create_folder, write_record
from modelzero.training.device import DEVICES, available_cores, use_threads
from modelzero.training.fused.stack import what_hinders

# What a budget keeps back for the comparisons and for ending what still runs.
_RESERVE_SECONDS = 2.0

# Where cells take hundredths of a second, writing the record after each would take longer than some of them.
_SAVE_EVERY_SECONDS = 0.5

Listener = Callable[[Ladder], None]


class Interrupted(KeyboardInterrupt):
    """Ctrl-C during a climb.

    Args:
        ladder: what is known so far.
    """

    def __init__(self, ladder: Ladder) -> None:
        super().__init__(f"interrupted; what was known is in {ladder.path}")
        self.ladder = ladder


def climb(
    data: ImageData | str | Path | Callable[[], ImageData],
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
            settings are known to be right.
        rungs: names, `Rung`s or factories, the simplest first; None takes the whole ladder.
        seeds: trainings of each rung; one without randomness is trained once.
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
        audit: search for test pictures that are nearly a training picture, so that the ladder can say how good its
            rungs are without them. None does so where it takes seconds: up to 1e9 pairs, and within the budget.
        progress: is given the ladder once it is declared, and whenever a cell has ended.

    Returns:
        The ladder: `rungs`, `comparisons`, `worth_it`, `left_out`, `table()`.

    Raises:
        InputError: data, rungs, a setting or a folder that cannot be used, or a budget that nothing fits into.
        TrainingError: no rung could be trained.
        Interrupted: Ctrl-C; a KeyboardInterrupt with the `ladder` so far.
    """
    began = time.monotonic()
    seconds = parse_budget(budget)
    seeds, seed = check_count("seeds", seeds, 10_000), check_seed(seed)
    count = available_cores() if workers is None else check_count("workers", workers, 10_000)
    if device not in DEVICES[1:]:
        raise SettingError(f"device {device!r}: one of {', '.join(DEVICES[1:])} is needed, the same for every cell")
    margin = check_margin(margin)
    chosen = [as_rung(rung) for rung in (LADDER if rungs is None else rungs)]
    _check_names(chosen)
    if not isinstance(data, ImageData):
        data = data() if callable(data) else load(data, data_dir=data_dir)
    random, here, left_out = _built(chosen, data)
    here = here if device == "cpu" and executor is None else set()
    chosen = [rung for rung in chosen if rung.name in random]
    path = create_folder(Path(runs_dir).absolute(), f"ladder-{data.name}")
    record: dict[str, Any] = {
        "format": FORMAT,
        "id": path.name,
        "status": "running",
        "created": datetime.now(UTC).isoformat(timespec="microseconds"),
        "data": data.description(),
        "seeds": [seed + k for k in range(seeds)],
        "budget_seconds": seconds,
        "workers": count if executor is None else None,
        "device": device,
        "margin": margin,
        "environment": environment(1, device),
        "left_out": left_out,
    }
    expedition = _Expedition(path, record, data, chosen, random, here, progress, Workers(count, executor, runs_here))
    try:
        if random.keys() - here:
            share(data, path / "pictures")
        deadline = None if seconds is None else began + seconds - _RESERVE_SECONDS
        with use_threads(1):  # for the cells that are trained here
            expedition.declare(began, deadline)
            expedition.train(deadline)
    except KeyboardInterrupt:
        with interrupt_ignored():  # a second Ctrl-C must not cost what is known
            expedition.end("interrupted", began)
        raise Interrupted(expedition.ladder()) from None
    except BaseException:
        expedition.workers.stop()
        if "cells" not in record:  # nothing was trained, nothing stays
            shutil.rmtree(path, ignore_errors=True)
        else:
            expedition.end("failed", began)
        raise
    expedition.end("finished", began)
    try:
        left = None if deadline is None else deadline - time.monotonic()
        record["leaks"] = look_for_leaks(data, search=audit, seconds=left)
    except KeyboardInterrupt:  # everything is trained and recorded already
        raise Interrupted(expedition.ladder()) from None
    record["seconds"] = time.monotonic() - began
    write_record(path, record, LADDER_RECORD)
    return expedition.ladder()


class _Expedition:
    """A climb under way: what is planned, what is done, and its record on disk."""

    def __init__(
        self,
        path: Path,
        record: dict[str, Any],
        data: ImageData,
        rungs: list[Rung],
        random: dict[str, bool],
        here: set[str],
        progress: Listener | None,
        workers: Workers[Job],
    ) -> None:
        self.path, self.record, self.data, self.rungs, self.random = path, record, data, rungs, random
        self.here = here
        self.progress, self.workers = progress, workers
        self.runs: list[Run] = []
        self.predicted: dict[str, float] = {}
        self._saved = -math.inf

    def declare(self, began: float, deadline: float | None) -> None:
        """Settle which cells are trained and what is compared, and write it down."""
        wanted = [len(self.record["seeds"]) if self.random[rung.name] else 1 for rung in self.rungs]
        if deadline is not None:
            wanted = self._fitting(wanted, began, deadline)
        names = [rung.name for rung, seeds in zip(self.rungs, wanted, strict=True) if seeds]
        self.record["rungs"] = [
            {"name": rung.name, "adds": rung.adds, "model": rung.built_in, "seeds": seeds, "recipe": rung.recipe()}
            for rung, seeds in zip(self.rungs, wanted, strict=True)
        ]
        self.record["family"] = [
            {"rung": name, "against": "the best below", "below": names[:position]}
            for position, name in enumerate(names)
            if position
        ]
        self.record["cells"] = [
            {"rung": rung.name, "seed": seed, "status": "planned", "run": None, "why": None}
            for rung, seeds in zip(self.rungs, wanted, strict=True)
            for seed in self.record["seeds"][:seeds]
        ]
        self._save()
        self._tell()

    def train(self, deadline: float | None) -> None:
        """Train all cells, and keep the record up to date."""
        positions = {rung.name: position for position, rung in enumerate(self.rungs)}
        cells = {(positions[cell["rung"]], cell["seed"]): cell for cell in self.record["cells"]}
        jobs = deque(self._job(position, seed) for position, seed in cells)
        for job, answer in self.workers.run(train_cell, jobs, deadline):
            cell = cells[job.rung, job.seed]
            if isinstance(answer, Path):
                self.runs.append(Run.read(answer))
                cell.update(status="finished", run=answer.name)
            else:
                why = answer.why if isinstance(answer, Failure) else f"{type(answer).__name__}: {answer}"
                cell.update(status="failed", why=why)
                if isinstance(answer, Failure) and answer.hopeless:
                    for other in [waiting for waiting in jobs if waiting.rung == job.rung]:
                        jobs.remove(other)
                        cells[other.rung, other.seed].update(status="failed", why=why)
            if time.monotonic() - self._saved > _SAVE_EVERY_SECONDS:
                self._save()
            self._tell()

    def end(self, status: str, began: float) -> None:
        """Stop what still runs, say what is missing, and write the record for the last time."""
        self.workers.stop()
        shutil.rmtree(self.path / "pictures", ignore_errors=True)
        cells = self.record.setdefault("cells", [])
        for cell in cells:
            if cell["status"] == "planned":
                cell.update(status="cut off", why="interrupted" if status == "interrupted" else "the budget ended")
        for key in ("rungs", "family"):
            self.record.setdefault(key, [])
        for rung in self.rungs:
            own = [cell for cell in cells if cell["rung"] == rung.name]
            missing = [cell for cell in own if cell["status"] != "finished"]
            if missing:
                failed = [cell for cell in missing if cell["status"] == "failed"]
                first = (failed or missing)[0]
                why = f"{first['status']}: {first['why']}"
                if len(own) > 1:
                    why = f"{len(missing)} of {len(own)} trainings {why}"
                self._leave_out(rung.name, why, self.predicted.get(rung.name), failed=bool(failed))
        self.record["status"] = status if self.runs or status != "finished" else "failed"
        self.record["seconds"] = time.monotonic() - began
        self._save()
        if not self.runs and status == "finished":
            whys = "; ".join(f"{each['name']} {each['why']}" for each in self.record["left_out"])
            raise TrainingError(f"no rung could be trained: {whys}; recorded in {self.path}")

    def ladder(self) -> Ladder:
        """Return what is known so far, in the order of the cells, whichever ended first."""
        place = {cell["run"]: position for position, cell in enumerate(self.record["cells"])}
        return Ladder(self.path, self.record, sorted(self.runs, key=lambda run: place[run.id]))

    def _fitting(self, wanted: list[int], began: float, deadline: float) -> list[int]:
        """Try out what a cell of each rung takes, and choose what fits into the time."""
        jobs = deque(self._job(position, self.record["seeds"][0]) for position in range(len(self.rungs)))
        costs: dict[int, float] = {}
        for job, answer in self.workers.run(try_out, jobs, deadline):
            if isinstance(answer, float):
                costs[job.rung] = answer
            else:
                why = answer.why if isinstance(answer, Failure) else str(answer)
                self._leave_out(self.rungs[job.rung].name, f"failed in its trial: {why}", failed=True)
        now, workers = time.monotonic(), self.record["workers"] or os.cpu_count() or 1
        tried = [position for position in range(len(self.rungs)) if position in costs]
        planned = plan(
            [costs[position] for position in tried],
            [wanted[position] for position in tried],
            max(0.0, deadline - now),
            workers,
        )
        seeds = dict(zip(tried, planned, strict=True))
        if not any(each.seeds for each in planned):
            cheapest = min(costs, key=costs.__getitem__, default=None)
            needs = (
                f"; {self.rungs[cheapest].name} alone takes about {costs[cheapest]:.1f} s"
                if cheapest is not None
                else ""
            )
            raise SettingError(
                f"budget {self.record['budget_seconds']:g} s fits no rung: starting and trying out took "
                f"{now - began:.1f} s{needs}; give it more, or fewer --rungs"
            )
        for position, rung in enumerate(self.rungs):
            if position in seeds:
                self._say_what_does_not_fit(rung, seeds[position], wanted[position], deadline - now, workers)
            elif not any(each["name"] == rung.name for each in self.record["left_out"]):
                self._leave_out(rung.name, "the budget ended before it could be tried out")
        return [seeds[position].seeds if position in seeds else 0 for position in range(len(self.rungs))]

    def _say_what_does_not_fit(self, rung: Rung, planned: Planned, wanted: int, left: float, workers: int) -> None:
        self.predicted[rung.name] = planned.cell_seconds
        missing = wanted - planned.seeds
        if missing:
            least = min(FIRST_SEEDS, wanted)
            what = f"{missing} of {wanted} trainings" if planned.seeds else f"even {least} training{'s' * (least > 1)}"
            self._leave_out(
                rung.name,
                f"{what} of about {planned.cell_seconds:.1f} s each would not fit beside the others into the "
                f"{left:.0f} s that were left for {workers} worker{'s' * (workers > 1)}",
                planned.cell_seconds,
            )

    def _leave_out(self, name: str, why: str, predicted: float | None = None, *, failed: bool = False) -> None:
        self.record["left_out"].append({"name": name, "why": why, "predicted_seconds": predicted, "failed": failed})

    def _tell(self) -> None:
        if self.progress is not None:
            self.progress(self.ladder())

    def _job(self, position: int, seed: int) -> Job:
        rung = self.rungs[position]
        pictures = self.data if rung.name in self.here else self.path / "pictures"
        return Job(position, seed, cloudpickle.dumps(rung), pictures, self.path.parent, self.record["device"])

    def _save(self) -> None:
        write_record(self.path, self.record, LADDER_RECORD)
        self._saved = time.monotonic()


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


def _built(rungs: list[Rung], data: ImageData) -> tuple[dict[str, bool], set[str], list[dict[str, Any]]]:
    """Make each model once; return which are random, which the kernel can train, and which fit or work not at all."""
    random: dict[str, bool] = {}
    fused = set()
    left_out = []
    errors = []
    for rung in rungs:
        try:
            model = build(rung.make, data.image_shape, len(data.classes))
        except ModelError as error:
            errors.append(error)
            failed = rung.built_in is None  # a rung of our own says what pictures it needs
            left_out.append({"name": rung.name, "why": str(error), "predicted_seconds": None, "failed": failed})
            continue
        if isinstance(model, Fitted):
            random[rung.name] = model.random
        else:
            if isinstance(model, nn.Module) and what_hinders(model, rung) is None:
                fused.add(rung.name)
            random[rung.name] = not hasattr(model, "fit") or has_seed(model)
    if not random:
        raise errors[0]
    return random, fused, left_out
