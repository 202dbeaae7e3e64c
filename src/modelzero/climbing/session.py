"""A climb in progress: what is planned, what is done, and its record on disk."""

from __future__ import annotations

import math
import shutil
import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cloudpickle

from modelzero.climbing.budget import FIRST_SEEDS, Planned, plan
from modelzero.climbing.cell import CellFailure, Job, train_cell, try_out
from modelzero.climbing.workers import Workers
from modelzero.data.dataset import ImageData
from modelzero.errors import SettingError, TrainingError
from modelzero.io.processes import available_cores
from modelzero.models.randomness import ASSUMED
from modelzero.models.rungs import Rung
from modelzero.results.account import are_enough, came_out_equal
from modelzero.results.ladder import Ladder
from modelzero.runs.folder import read_runs, write_record
from modelzero.runs.record import LADDER_RECORD, NOT_NEEDED, CellRecord, Declared, LadderRecord, LeftOut, RungRecord
from modelzero.runs.run import Run
from modelzero.runs.spec import Spec

SHARED = "images"  # the subfolder with the images for the workers, during a climb
# If cells take hundredths of a second, writing the record after each would take longer than some of them.
_SAVE_EVERY_SECONDS = 0.5
# The workers of a killed climb notice that within half a second, and then write a checkpoint.
_SECONDS_TO_END = 6.0

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
        self.predicted: dict[str, float] = {}
        self.ladder = Ladder(path, record, [])
        self._saved = -math.inf

    def declare(self, began: float, deadline: float | None) -> None:
        """Choose the cells to train and the comparisons, and record them; once per ladder."""
        if not self.cells:
            seeds = self.record.seeds
            wanted = {rung.name: len(seeds) if self.specs[rung.name].random else 1 for rung in self.rungs}
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
                self._finished(key, run)
            elif run.status != "finished":
                self.unfinished[key] = run.path
        known = {run.id for run in self.runs}
        for key, cell in self.cells.items():
            if cell.run not in known:
                self.cells[key] = CellRecord(*key)

    def train(self, deadline: float | None) -> None:
        """Train all cells, and keep the record up to date.

        If the randomness of a rung is measured, its third and further cells wait until the first two have ended.
        """
        jobs: deque[Job] = deque()
        waiting: dict[str, list[Job]] = {}
        for rung in self.rungs:
            own = self._cells_of(rung.name)
            first, further = (
                [self._job(rung.name, cell.seed) for cell in some if cell.status == "planned"]
                for some in (own[:2], own[2:])
            )
            jobs += first
            if first and self._is_measured(rung.name):
                waiting[rung.name] = further
            else:
                jobs += self._still_needed(rung.name, further)
        for job, answer in self.workers.run(train_cell, jobs, deadline):
            if isinstance(answer, Path):
                self._finished((job.rung, job.seed), Run.read(answer))
            else:
                self._failed(job, answer, jobs, waiting)
            if job.rung in waiting and all(each.status != "planned" for each in self._cells_of(job.rung)[:2]):
                # They come next, as if they had not waited: a deadline must cut off the last rungs.
                jobs.extendleft(reversed(self._still_needed(job.rung, waiting.pop(job.rung))))
            if time.monotonic() - self._saved > _SAVE_EVERY_SECONDS:
                self._save()
            self._tell()

    def _finished(self, key: tuple[str, int], run: Run) -> None:
        self.runs.append(run)
        self._set(key, status="finished", run=run.id, why=None, learned=run.learned, not_learned=run.not_learned)

    def _failed(self, job: Job, answer: Any, jobs: deque[Job], waiting: dict[str, list[Job]]) -> None:
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
            pointless = [other for other in jobs if other.rung == job.rung]
            for other in pointless:
                jobs.remove(other)
            for other in [*pointless, *waiting.pop(job.rung, [])]:
                self._set((other.rung, other.seed), status="failed", why=failure.why)

    def _set(self, key: tuple[str, int], **changes: Any) -> None:
        self.cells[key] = replace(self.cells[key], **changes)

    def _cells_of(self, name: str) -> list[CellRecord]:
        return [cell for cell in self.cells.values() if cell.rung == name]

    def _is_measured(self, name: str) -> bool:
        """Return whether only trainings can show if another seed gives another model."""
        return name in self.specs and self.specs[name].randomness == ASSUMED  # some can no longer be built

    def _still_needed(self, name: str, further: list[Job]) -> list[Job]:
        """Return the further jobs of a rung; none if the first two gave the same model, which their cells then say."""
        own = self._cells_of(name)
        if not self._is_measured(name) or self._differ(own[:2]) is not False:
            return further
        why = f"seeds {own[0].seed} and {own[1].seed} gave equal predictions"
        for cell in own[2:]:
            if cell.status == "planned":
                self._set((name, cell.seed), status=NOT_NEEDED, why=why)
        return []

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
                why = "interrupted" if status == "interrupted" else "the budget ended"
                self._set(key, status="cut off", why=why)
        rungs = {rung.name: rung for rung in self.record.rungs}  # none if a signal came before they were declared
        for rung in self.rungs:
            own = self._cells_of(rung.name)
            if rung.name in rungs and self._is_measured(rung.name):
                rungs[rung.name] = replace(rungs[rung.name], random=self._differ(own))
            missing = [cell for cell in own if cell.status not in ("finished", NOT_NEEDED)]
            if missing:
                failed = [cell for cell in missing if cell.status == "failed"]
                first = (failed or missing)[0]
                why = f"{first.status}: {first.why}"
                if len(own) > 1:
                    why = f"{len(missing)} of {len(own)} trainings {why}"
                self._leave_out(rung.name, why, self.predicted.get(rung.name), failed=bool(failed))
        self.record = replace(
            self.record,
            rungs=tuple(rungs.values()),
            status=status if self.runs or status != "finished" else "failed",
            process=None,
        )
        self.update_record(seconds=time.monotonic() - began)
        if not self.runs and status == "finished":
            whys = "; ".join(f"{each.name} {each.why}" for each in self.left_out)
            raise TrainingError(f"no rung could be trained: {whys}", self.path)

    def update_record(self, **fields: Any) -> None:
        """Write fields of the record."""
        self.record = replace(self.record, **fields)
        self._save()
        self._refresh()

    def _fitting(self, wanted: dict[str, int], began: float, deadline: float) -> dict[str, int]:
        """Predict the time of a cell of each rung in a trial, and choose what fits into the budget."""
        jobs = deque(self._job(rung.name, self.record.seeds[0]) for rung in self.rungs)
        costs: dict[str, float] = {}
        for job, answer in self.workers.run(try_out, jobs, deadline):
            if isinstance(answer, float):
                costs[job.rung] = answer
            else:
                why = answer.why if isinstance(answer, CellFailure) else str(answer)
                self._leave_out(job.rung, f"failed in its trial: {why}", failed=True)
        now, workers = time.monotonic(), self.record.workers or available_cores()
        tried = [rung.name for rung in self.rungs if rung.name in costs]
        planned = plan(
            [costs[name] for name in tried], [wanted[name] for name in tried], max(0.0, deadline - now), workers
        )
        seeds = dict(zip(tried, planned, strict=True))
        if not any(each.seeds for each in planned):
            cheapest = min(costs, key=costs.__getitem__, default=None)
            alone = "" if cheapest is None else f"; {cheapest} alone takes about {costs[cheapest]:.1f} s"
            raise SettingError(
                f"budget {self.record.budget_seconds:g} s fits no rung: startup and trials took {now - began:.1f} s"
                f"{alone}; increase --budget, or choose fewer --rungs"
            )
        for rung in self.rungs:
            if rung.name in seeds:
                self._note_what_does_not_fit(rung.name, seeds[rung.name], wanted[rung.name], deadline - now, workers)
            elif not any(each.name == rung.name for each in self.left_out):
                self._leave_out(rung.name, "the budget ended before its trial")
        return {rung.name: seeds[rung.name].seeds if rung.name in seeds else 0 for rung in self.rungs}

    def _note_what_does_not_fit(self, name: str, planned: Planned, wanted: int, left: float, workers: int) -> None:
        self.predicted[name] = planned.cell_seconds
        missing = wanted - planned.seeds
        if missing:
            least = min(FIRST_SEEDS, wanted)
            what = f"{missing} of {wanted} trainings" if planned.seeds else f"even {least} training{'s' * (least > 1)}"
            self._leave_out(
                name,
                f"{what} of about {planned.cell_seconds:.1f} s each would not fit into the remaining {left:.0f} s with "
                f"{workers} worker{'s' * (workers > 1)}",
                planned.cell_seconds,
            )

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


def _ended(run: Run, deadline: float) -> Run:
    """Wait until a run is no longer being written, up to the deadline; return it as it is then."""
    while run.status == "running" and time.monotonic() < deadline:
        time.sleep(0.1)
        run = Run.read(run.path)
    return run
