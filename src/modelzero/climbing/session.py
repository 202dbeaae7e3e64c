"""A climb under way: what is planned, what is done, and its record on disk."""

from __future__ import annotations

import math
import os
import shutil
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cloudpickle

from modelzero.climbing.budget import FIRST_SEEDS, Planned, plan
from modelzero.climbing.cell import Failure, Job, train_cell, try_out
from modelzero.climbing.workers import Workers
from modelzero.data.dataset import ImageData
from modelzero.errors import SettingError, TrainingError
from modelzero.models.randomness import ASSUMED, Randomness
from modelzero.models.rungs import Rung
from modelzero.results.account import are_enough, came_out_equal
from modelzero.results.ladder import Ladder
from modelzero.runs.folder import read_all, write_record
from modelzero.runs.record import LADDER_RECORD, NOT_NEEDED, Run

# Where cells take hundredths of a second, writing the record after each would take longer than some of them.
_SAVE_EVERY_SECONDS = 0.5
# The workers of a climb that was killed look twice a second whether it is still there, and then keep a checkpoint.
_SECONDS_TO_END = 6.0

Listener = Callable[[Ladder], None]


class Expedition:
    """A climb under way: what is planned, what is done, and its record on disk."""

    def __init__(
        self,
        path: Path,
        record: dict[str, Any],
        data: ImageData,
        rungs: list[Rung],
        randomness: dict[str, Randomness],
        here: set[str],
    ) -> None:
        self.path, self.record, self.data, self.rungs, self.randomness = path, record, data, rungs, randomness
        self.here = here
        self.progress: Listener | None = None
        self.workers: Workers[Job]
        self.runs: list[Run] = []
        self.unfinished: dict[tuple[str, int], Path] = {}
        self.take_over = False
        self.predicted: dict[str, float] = {}
        self._saved = -math.inf

    def declare(self, began: float, deadline: float | None) -> None:
        """Settle which cells are trained and what is compared, and write it down; once for a ladder."""
        if self.record["cells"]:
            self._save()
            self._tell()
            return
        wanted = [len(self.record["seeds"]) if self.randomness[rung.name].random else 1 for rung in self.rungs]
        if deadline is not None:
            wanted = self._fitting(wanted, began, deadline)
        names = [rung.name for rung, seeds in zip(self.rungs, wanted, strict=True) if seeds]
        self.record["rungs"] = [
            {
                "name": rung.name,
                "adds": rung.adds,
                "model": rung.built_in,
                "seeds": seeds,
                "recipe": rung.recipe(),
                "random": None if self._is_measured(position) else self.randomness[rung.name].random,
                "randomness": self.randomness[rung.name].source,
            }
            for position, (rung, seeds) in enumerate(zip(self.rungs, wanted, strict=True))
        ]
        self.record["family"] = [
            {"rung": name, "against": "the best below", "below": names[:position]}
            for position, name in enumerate(names)
            if position
        ]
        self.record["cells"] = [
            {
                "rung": rung.name,
                "seed": seed,
                "status": "planned",
                "run": None,
                "why": None,
                "learned": None,
                "not_learned": None,
            }
            for rung, seeds in zip(self.rungs, wanted, strict=True)
            for seed in self.record["seeds"][:seeds]
        ]
        self.record["not_planned"] = list(self.record["left_out"])
        self._save()
        self._tell()

    def take_up(self, *, take_over: bool) -> None:
        """Read back what is finished, and find what can go on: the folders beside say more than the last record."""
        self.take_over = take_over
        cells = {(cell["rung"], cell["seed"]): cell for cell in self.record["cells"]}
        deadline = time.monotonic() + _SECONDS_TO_END
        for found in read_all(self.path.parent)[0]:
            cell = cells.get((found.record["model"], found.seed))
            if found.record.get("ladder") != self.record["id"] or cell is None:
                continue
            run = _ended(found, deadline)
            if run.status == "finished" and cell["run"] in (None, run.id):
                self.runs.append(run)
                cell.update(status="finished", run=run.id, why=None, **_learning(run))
            elif run.status != "finished":
                self.unfinished[cell["rung"], cell["seed"]] = run.path
        known = {run.id for run in self.runs}
        for cell in cells.values():
            if cell["run"] not in known:
                cell.update(status="planned", run=None, why=None, learned=None, not_learned=None)

    def train(self, deadline: float | None) -> None:
        """Train all cells, and keep the record up to date.

        Of a rung whose randomness is measured, the third and further cells wait until the first two have ended.
        """
        cells: dict[tuple[int, int], dict[str, Any]] = {}
        jobs: deque[Job] = deque()
        waiting: dict[int, list[Job]] = {}
        for position in range(len(self.rungs)):
            own = self._cells(position)
            cells |= {(position, cell["seed"]): cell for cell in own}
            first, further = (
                [self._job(position, cell["seed"]) for cell in some if cell["status"] == "planned"]
                for some in (own[:2], own[2:])
            )
            jobs += first
            if first and self._is_measured(position):
                waiting[position] = further
            else:
                jobs += self._still_needed(position, further)
        for job, answer in self.workers.run(train_cell, jobs, deadline):
            cell = cells[job.rung, job.seed]
            if isinstance(answer, Path):
                run = Run.read(answer)
                self.runs.append(run)
                cell.update(status="finished", run=run.id, **_learning(run))
            else:
                why = answer.why if isinstance(answer, Failure) else f"{type(answer).__name__}: {answer}"
                cell.update(status="failed", why=why)
                if isinstance(answer, Failure) and answer.not_learned is not None:
                    cell.update(learned=False, not_learned=answer.not_learned)
                if isinstance(answer, Failure) and answer.hopeless:
                    pointless = [other for other in jobs if other.rung == job.rung]
                    for other in pointless:
                        jobs.remove(other)
                    for other in [*pointless, *waiting.pop(job.rung, [])]:
                        cells[other.rung, other.seed].update(status="failed", why=why)
            if job.rung in waiting and all(each["status"] != "planned" for each in self._cells(job.rung)[:2]):
                # They come next, as if they had not waited: what a deadline cuts off are the last rungs.
                jobs.extendleft(reversed(self._still_needed(job.rung, waiting.pop(job.rung))))
            if time.monotonic() - self._saved > _SAVE_EVERY_SECONDS:
                self._save()
            self._tell()

    def _cells(self, position: int) -> list[dict[str, Any]]:
        return [cell for cell in self.record["cells"] if cell["rung"] == self.rungs[position].name]

    def _is_measured(self, position: int) -> bool:
        """Tell whether only trainings can say if another seed gives another model."""
        known = self.randomness.get(self.rungs[position].name)  # None for one that cannot be built any more
        return known is not None and known.source == ASSUMED

    def _still_needed(self, position: int, further: list[Job]) -> list[Job]:
        """Return the further jobs of a rung; none, with the reason in their cells, if the first two gave one model."""
        own = self._cells(position)
        if not self._is_measured(position) or self._differ(own[:2]) is not False:
            return further
        why = f"seeds {own[0]['seed']} and {own[1]['seed']} gave equal predictions"
        for cell in own[2:]:
            if cell["status"] == "planned":
                cell.update(status=NOT_NEEDED, why=why)
        return []

    def _differ(self, cells: list[dict[str, Any]]) -> bool | None:
        """Tell whether trainings gave different models or predictions; None where fewer than two have finished."""
        finished = {cell["run"] for cell in cells if cell["status"] == "finished"}
        found = [run for run in self.runs if run.id in finished]
        if any(not came_out_equal(found[0], other) for other in found[1:]):
            return True
        return False if found and are_enough(found) else None

    def end(self, status: str, began: float) -> None:
        """Stop what still runs, say what is missing, and write the record for the last time."""
        self.workers.stop()
        shutil.rmtree(self.path / "pictures", ignore_errors=True)
        cells = self.record["cells"]
        for cell in cells:
            if cell["status"] == "planned":
                cell.update(status="cut off", why="interrupted" if status == "interrupted" else "the budget ended")
        for position, rung in enumerate(self.rungs):
            own = self._cells(position)
            if self._is_measured(position) and self.record["rungs"]:  # a signal may have come before they were declared
                self.record["rungs"][position]["random"] = self._differ(own)
            missing = [cell for cell in own if cell["status"] not in ("finished", NOT_NEEDED)]
            if missing:
                failed = [cell for cell in missing if cell["status"] == "failed"]
                first = (failed or missing)[0]
                why = f"{first['status']}: {first['why']}"
                if len(own) > 1:
                    why = f"{len(missing)} of {len(own)} trainings {why}"
                self._leave_out(rung.name, why, self.predicted.get(rung.name), failed=bool(failed))
        self.record["status"] = status if self.runs or status != "finished" else "failed"
        self.record.pop("process", None)
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
        return Job(
            position,
            seed,
            cloudpickle.dumps(rung),
            pictures,
            self.path.parent,
            self.record["device"],
            self.record["id"],
            self.unfinished.get((rung.name, seed)),
            self.take_over,
        )

    def _save(self) -> None:
        write_record(self.path, self.record, LADDER_RECORD)
        self._saved = time.monotonic()


def _ended(run: Run, deadline: float) -> Run:
    """Wait for a run that somebody still writes; return it as it is then."""
    while run.status == "running" and time.monotonic() < deadline:
        time.sleep(0.1)
        run = Run.read(run.path)
    return run


def _learning(run: Run) -> dict[str, Any]:
    """Return what a cell says of its run: whether it learned, and why not."""
    return {"learned": run.learned, "not_learned": run.not_learned}
