"""A climb in progress: what is planned, what is done, and its record on disk."""

from __future__ import annotations

import math
import shutil
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import wait
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import cloudpickle

from modelzero.climbing.budget import Forecast, duration, in_rounds
from modelzero.climbing.cell import CellFailure, Job, ready, train_cell, try_out
from modelzero.climbing.workers import Workers
from modelzero.data.dataset import ImageData
from modelzero.errors import SettingError, TrainingError
from modelzero.models.randomness import ASSUMED
from modelzero.models.recipe import Recipe
from modelzero.models.rungs import Rung
from modelzero.results.account import are_enough, came_out_equal
from modelzero.results.ladder import Ladder
from modelzero.runs.folder import read_runs, write_record
from modelzero.runs.record import LADDER_RECORD, NOT_NEEDED, CellRecord, Declared, LadderRecord, LeftOut, RungRecord
from modelzero.runs.run import Run
from modelzero.runs.spec import Spec
from modelzero.training.execute import fitted_again
from modelzero.training.fused.loop import compile_kernel

SHARED = "images"  # the subfolder with the images for the workers, during a climb
# If cells take hundredths of a second, writing the record after each would take longer than some of them.
_SAVE_EVERY_SECONDS = 0.5
# The workers of a killed climb notice that within half a second, and then write a checkpoint.
_SECONDS_TO_END = 6.0
# With less time left, no training is begun that will be cut off.
_WORTH_BEGINNING = 5.0

Listener = Callable[[Ladder], None]


class Session:
    """A climb in progress: what is planned, what is done, and its record on disk.

    Args:
        path: the folder of the ladder.
        record: its record.
        data: the images.
        rungs: the rungs in ladder order, with their own recipes.
        specs: the spec of each rung's first training, by name.
        workers: the workers that train the cells.
        progress: called with the ladder once it is declared, and whenever a cell has ended.
    """

    def __init__(
        self,
        path: Path,
        record: LadderRecord,
        data: ImageData,
        rungs: list[Rung],
        specs: dict[str, Spec],
        workers: Workers[Job],
        progress: Listener | None,
    ) -> None:
        self.path, self.data, self.rungs, self.specs = path, data, rungs, specs
        self.workers, self.progress = workers, progress
        self.in_process = {
            name for name, spec in specs.items() if workers.are_own and (spec.engine == "fused" or spec.rung.is_light)
        }
        self.record = record
        self.cells = {(cell.rung, cell.seed): cell for cell in record.cells}
        self.left_out = list(record.left_out)
        self.runs: list[Run] = []
        self.unfinished: dict[tuple[str, int], Path] = {}
        self.take_over = False
        self.forecast = Forecast()
        self._given: set[tuple[str, int]] = set()  # cells that a worker has got
        self._undecided = {name for name in specs if self._is_measured(name)}
        self.ladder = Ladder(path, record, [])
        self._saved = -math.inf

    def prepare(self) -> None:
        """Start the processes and compile the kernel, which a budget does not pay for."""
        outside = self.specs.keys() - self.in_process
        starting = self.workers.start(len(self.specs) * len(self.record.seeds) if outside else 0, ready)
        for spec in self.specs.values():
            if spec.engine == "fused":
                compile_kernel(spec.rung)
        wait(starting)  # if one fails, the first job of its process will tell

    def declare(self, began: float, deadline: float | None) -> None:
        """Choose the cells to train and the comparisons, and record them; once per ladder."""
        if not self.cells:
            seeds = self.record.seeds
            wanted = {rung.name: len(seeds) if self.specs[rung.name].random else 1 for rung in self.rungs}
            self._predict(deadline, {name for name, count in wanted.items() if count})
            if deadline is not None:
                wanted = self._fitting(wanted, began, deadline)
            names = [name for name, count in wanted.items() if count]
            self.cells = {
                (name, seed): CellRecord(name, seed) for name, count in wanted.items() for seed in seeds[:count]
            }
            self.record = replace(
                self.record,
                rungs=tuple(self._declared(rung, wanted[rung.name]) for rung in self.rungs),
                family=tuple(Declared(name, below=names[:place]) for place, name in enumerate(names) if place),
                not_planned=tuple(self.left_out),
            )
        else:
            self._predict(deadline, {name for (name, _), cell in self.cells.items() if cell.status == "planned"})
        self.record = replace(self.record, expected_seconds=self._expected_seconds())
        self._save()
        self._tell()

    def _declared(self, rung: Rung, seeds: int) -> RungRecord:
        spec = self.specs[rung.name]
        random = None if self._is_measured(rung.name) else spec.random
        return RungRecord(rung.name, rung.adds, rung.built_in, seeds, rung.recipe(), random, spec.randomness)

    def take_up(self, *, take_over: bool) -> None:
        """Read back finished runs and find those to resume, from their folders: the record may be out of date."""
        self.take_over = take_over
        deadline = time.monotonic() + _SECONDS_TO_END
        for found in read_runs(self.path.parent)[0]:
            key = found.record.model, found.seed
            if found.record.ladder != self.record.id or key not in self.cells or found.record.repeated_as:
                continue
            run = _ended(found, deadline)
            spec = self.specs.get(key[0])
            if run.status == "finished" and spec is not None and spec.second(run.record):
                continue  # killed before its second training began: both are trained again
            if run.status == "finished" and self.cells[key].run in (None, run.id):
                self._time(run)
                self._finished(key, run)
            elif run.status != "finished":
                self.unfinished[key] = run.path
            else:
                continue
            if spec is not None and spec.engine is not None:
                self.specs[key[0]] = _settled_as(run, spec)
        known = {run.id for run in self.runs}
        for key, cell in self.cells.items():
            if cell.run not in known:
                self.cells[key] = CellRecord(*key)

    def train(self, deadline: float | None) -> None:
        """Train all cells, and keep the record up to date.

        Without a deadline rung by rung; with one in rounds, each cell only if it is predicted to end in time.
        """
        order = list(self.cells)
        if deadline is not None:
            seconds = {rung.name: self.forecast.seconds(rung.name) for rung in self.rungs}
            counts = {rung.name: len(self._cells_of(rung.name)) for rung in self.rungs}
            order = [
                (name, self._cells_of(name)[k].seed)
                for name, k in in_rounds(counts, seconds, deadline - time.monotonic())
            ]
        for name in list(self._undecided):
            self._decide(name)
        waiting = deque(key for key in order if self.cells[key].status == "planned")
        for job, answer in self.workers.run(train_cell, lambda: self._next(waiting, deadline), deadline):
            if isinstance(answer, Path):
                run = Run.read(answer)
                self._time(run)
                self._finished((job.rung, job.seed), run)
            else:
                self._failed(job, answer)
            self._decide(job.rung)
            if time.monotonic() - self._saved > _SAVE_EVERY_SECONDS:
                self._save()
            self._tell()

    def _time(self, run: Run) -> None:
        """Note how long a finished training took, with its evaluations."""
        seconds = run.all_train_seconds + sum(epoch.test_seconds for epoch in run.history)
        self.forecast.add(run.record.model, seconds)

    def _next(self, waiting: deque[tuple[str, int]], deadline: float | None) -> Job | None:
        """Return the job of the next cell; None if there is none at present.

        If no other cell fits in the rest of a budget, one is begun that will be cut off: the time is there, and
        `resume` continues it. A user's executor gets every cell, because nothing is known about its workers.
        """
        left = math.inf if deadline is None else deadline - time.monotonic()
        chosen = spare = None
        for key in waiting:
            if self.cells[key].status != "planned" or self._must_wait(key):
                continue
            if not self.workers.are_own or self.forecast.seconds(key[0]) <= left:
                chosen = key
                break
            if spare is None and left > _WORTH_BEGINNING and self.specs[key[0]].engine is not None:
                spare = key
        chosen = chosen or spare
        if chosen is None:
            return None
        waiting.remove(chosen)
        self._given.add(chosen)
        return self._job(*chosen)

    def _must_wait(self, key: tuple[str, int]) -> bool:
        """Return whether a cell has to wait for the first two of its rung, because they may make it superfluous."""
        name, seed = key
        return name in self._undecided and seed not in self.record.seeds[:2]

    def _decide(self, name: str) -> None:
        """Once the first two cells of a rung have ended, drop the others if both gave the same predictions."""
        own = self._cells_of(name)
        if name not in self._undecided or any(cell.status == "planned" for cell in own[:2]):
            return
        self._undecided.discard(name)
        if self._differ(own[:2]) is False:
            why = f"seeds {own[0].seed} and {own[1].seed} gave equal predictions"
            for cell in own[2:]:
                if cell.status == "planned":
                    self._set((name, cell.seed), status=NOT_NEEDED, why=why)

    def _finished(self, key: tuple[str, int], run: Run) -> None:
        self.runs.append(self._usable(run))
        self._set(key, status="finished", run=run.id, why=None, learned=run.learned, not_learned=run.not_learned)

    def _usable(self, run: Run) -> Run:
        """Return a run with what only this session knows of its model, if that is the user's own."""
        spec = self.specs.get(run.record.model)
        if spec is None or spec.rung.built_in is not None:
            return run
        return replace(run, rung=spec.rung, fit_again=partial(fitted_again, spec, self.data))

    def _failed(self, job: Job, answer: Any) -> None:
        """Record why a cell failed; if another seed would fail in the same way, the others are not tried."""
        failure = (
            answer
            if isinstance(answer, CellFailure)
            else CellFailure(f"{type(answer).__name__}: {answer}", hopeless=False)
        )
        learned = None if failure.not_learned is None else False
        self._set((job.rung, job.seed), status="failed", why=failure.why, learned=learned,
                  not_learned=failure.not_learned)  # fmt: skip
        if failure.hopeless:
            for cell in self._cells_of(job.rung):
                if cell.status == "planned" and (cell.rung, cell.seed) not in self._given:
                    self._set((cell.rung, cell.seed), status="failed", why=failure.why)

    def _set(self, key: tuple[str, int], **changes: Any) -> None:
        self.cells[key] = replace(self.cells[key], **changes)

    def _cells_of(self, name: str) -> list[CellRecord]:
        return [cell for cell in self.cells.values() if cell.rung == name]

    def _is_measured(self, name: str) -> bool:
        """Return whether only trainings can show if another seed gives another model."""
        return name in self.specs and self.specs[name].randomness == ASSUMED  # some can no longer be built

    def _differ(self, cells: list[CellRecord]) -> bool | None:
        """Return whether trainings gave different models or predictions; None if fewer than two have finished."""
        finished = {cell.run for cell in cells if cell.status == "finished"}
        found = [run for run in self.runs if run.id in finished]
        if any(not came_out_equal(found[0], other) for other in found[1:]):
            return True
        return False if found and are_enough(found) else None

    def end(self, status: str, began: float) -> None:
        """Stop running cells, record what is missing, and write the final record."""
        self.workers.stop()
        shutil.rmtree(self.path / SHARED, ignore_errors=True)
        for key, cell in self.cells.items():
            if cell.status == "planned":
                why = {"interrupted": "interrupted", "failed": "the climb failed"}.get(status, "the budget ended")
                self._set(key, status="cut off", why=why)
        rungs = {rung.name: rung for rung in self.record.rungs}  # none if a signal came before they were declared
        for rung in self.rungs:
            own = self._cells_of(rung.name)
            if rung.name in rungs and self._is_measured(rung.name):
                rungs[rung.name] = replace(rungs[rung.name], random=self._differ(own))
            missing = [cell for cell in own if cell.status not in ("finished", NOT_NEEDED)]
            if missing:
                whys = []
                for kind in ("failed", "cut off"):
                    same = [cell for cell in missing if cell.status == kind]
                    if same:
                        number = f"{len(same)} of {len(own)} trainings " if len(own) > 1 else ""
                        whys.append(f"{number}{kind}: {same[0].why}")
                failed = any(cell.status == "failed" for cell in missing)
                self._leave_out(rung.name, "; ".join(whys), self.forecast.tried.get(rung.name), failed=failed)
        self.record = replace(
            self.record,
            rungs=tuple(rungs.values()),
            status=status if self.runs or status != "finished" else "failed",
            process=None,
        )
        self.update_record(seconds=time.monotonic() - began)
        if not self.runs and status == "finished":
            reasons = "; ".join(f"{each.name} {each.why}" for each in self.left_out)
            raise TrainingError(f"no rung could be trained: {reasons}", self.path)

    def update_record(self, **fields: Any) -> None:
        """Write fields of the record."""
        self.record = replace(self.record, **fields)
        self._save()
        self._refresh()

    def _predict(self, deadline: float | None, names: set[str]) -> None:
        """Predict the time of a cell of some rungs in a trial, if a budget or somebody who listens needs it.

        A rung that fails in its trial will fail in its training.
        """
        if deadline is None and (self.progress is None or not self.workers.are_own):
            return
        jobs = deque(
            self._job(rung.name, self.record.seeds[0])
            for rung in self.rungs
            if rung.name in names and not rung.is_light and not self.forecast.knows(rung.name)
        )
        for job, answer in self.workers.run(try_out, lambda: jobs.popleft() if jobs else None, deadline):
            if isinstance(answer, float):
                self.forecast.tried[job.rung] = answer

    def _fitting(self, wanted: dict[str, int], began: float, deadline: float) -> dict[str, int]:
        """Return the wanted trainings without the rungs of which not even one fits into the budget.

        Raises:
            SettingError: no rung fits.
        """
        now = time.monotonic()
        left = max(0.0, deadline - now)
        costs = {rung.name: self.forecast.seconds(rung.name) for rung in self.rungs}
        fitting = {name: count if costs[name] <= left else 0 for name, count in wanted.items()}
        if not any(fitting.values()) or left == 0:
            cheapest = min(costs, key=costs.__getitem__)
            alone = f", and {cheapest} alone takes about {costs[cheapest]:.1f} s" if costs[cheapest] > left else ""
            raise SettingError(
                f"budget {self.record.budget_seconds:g} s fits no rung: loading and trials took {now - began:.1f} s"
                f"{alone}; increase --budget, or choose fewer --rungs"
            )
        for name, count in fitting.items():
            if not count:
                why = f"a training of about {costs[name]:.0f} s would not fit into the remaining {left:.0f} s"
                self._leave_out(name, why, self.forecast.tried[name])
        return fitting

    def _expected_seconds(self) -> float | None:
        """Predict how long the planned cells take without a budget, on own workers; None if not predicted."""
        planned = [name for (name, _), cell in self.cells.items() if cell.status == "planned"]
        if not self.workers.are_own or not any(map(self.forecast.knows, planned)):
            return None
        return duration(map(self.forecast.seconds, planned), self.record.workers or 1)

    def _leave_out(self, name: str, why: str, predicted: float | None = None, *, failed: bool = False) -> None:
        self.left_out.append(LeftOut(name, why, predicted, failed))

    def _job(self, name: str, seed: int) -> Job:
        return Job(
            name,
            seed,
            cloudpickle.dumps(replace(self.specs[name], seed=seed)),
            self.data if name in self.in_process else self.path / SHARED,
            self.path.parent,
            self.unfinished.get((name, seed)),
            self.take_over,
        )

    def _tell(self) -> None:
        self._refresh()
        if self.progress is not None:
            self.progress(self.ladder)

    def _refresh(self) -> None:
        """Update the ladder, with its runs in the order of the cells."""
        self.record = replace(self.record, cells=tuple(self.cells.values()), left_out=tuple(self.left_out))
        place = {cell.run: position for position, cell in enumerate(self.record.cells)}
        self.ladder.update(self.record, sorted(self.runs, key=lambda run: place[run.id]))

    def _save(self) -> None:
        self.record = replace(self.record, cells=tuple(self.cells.values()), left_out=tuple(self.left_out))
        write_record(self.path, self.record, LADDER_RECORD)
        self._saved = time.monotonic()


def _settled_as(run: Run, spec: Spec) -> Spec:
    """Return the spec with what trials decided before an earlier training of its rung, which may come out otherwise."""
    recipe, derived = Recipe.recorded(run.record.recipe), {**spec.derived}
    for name in ("flip", "precision"):
        if name in run.record.derived:
            derived[name] = run.record.derived[name]
    rung = replace(spec.rung, flip=recipe["flip"], precision=recipe["precision"])
    return replace(spec, rung=rung, derived=derived, mirror_trial=run.record.mirror_trial)


def _ended(run: Run, deadline: float) -> Run:
    """Wait until a run is no longer being written, up to the deadline; return it as it is then."""
    while run.status == "running" and time.monotonic() < deadline:
        time.sleep(0.1)
        run = Run.read(run.path)
    return run
