"""Collect a ladder or runs into one ladder of finished runs, and list all runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from modelzero.errors import RunError
from modelzero.results.comparison import (
    accounts_of,
    check_same_data,
    has_diverged,
    intended,
    methods_of,
    were_declared,
)
from modelzero.results.ladder import Ladder
from modelzero.runs.record import LADDER_RECORD, NOT_NEEDED, Declared, LadderRecord, RungRecord
from modelzero.runs.run import Run
from modelzero.statistics.margin import MARGIN


def collect(sources: Sequence[Ladder | Run | str | Path]) -> tuple[Ladder, bool, list[dict[str, Any]]]:
    """Read the sources and combine runs into a ladder.

    >>> import tempfile, modelzero as mz
    >>> run = mz.train("digits", "majority", runs_dir=tempfile.mkdtemp())
    >>> ladder, is_ladder, listed = collect([run])
    >>> ladder.rungs[0].name, is_ladder, listed[0]["status"]
    ('majority', False, 'finished')

    Args:
        sources: see `gather`.

    Returns:
        The ladder of the finished runs with readable predictions, whether it is a recorded ladder, and all runs.

    Raises:
        RunError: a source cannot be read, or the runs are on different data.
    """
    read = list({each.path.resolve(): each for each in map(_read, sources)}.values())  # each once
    if not read:
        raise RunError("no run or ladder given: expected the folder of one; 'modelzero runs' lists them")
    single = read[0] if len(read) == 1 and isinstance(read[0], Ladder) else None
    given = [run for each in read for run in ([each] if isinstance(each, Run) else each.runs)]
    runs, listed = _usable(given)
    ladder = _collected(given, runs) if single is None else Ladder(single.path, single.record, runs)
    if single is not None:
        listed += [
            {"id": cell.run, "rung": cell.rung, "seed": cell.seed, "status": cell.status, "why": cell.why}
            for cell in single.record.cells
            if cell.status not in ("finished", NOT_NEEDED)
        ]
    return ladder, single is not None, listed


def newest_ladder(runs_dir: str | Path) -> Path:
    """Return the folder of the newest ladder; folder names begin with the time.

    Raises:
        RunError: there is no ladder.
    """
    folders = sorted(record.parent for record in Path(runs_dir).glob(f"*/{LADDER_RECORD}"))
    if not folders:
        raise RunError(f"no ladder in {runs_dir}: run 'modelzero climb' first, or give another --runs-dir")
    return folders[-1]


def _read(source: Ladder | Run | str | Path) -> Ladder | Run:
    if isinstance(source, Ladder | Run):
        return source
    path = Path(source)
    return Ladder.read(path) if (path / LADDER_RECORD).is_file() else Run.read(path)


def _usable(runs: Sequence[Run]) -> tuple[list[Run], list[dict[str, Any]]]:
    """Pick the finished runs with readable predictions, and list all runs."""
    usable, listed = [], []
    for run in {each.path.resolve(): each for each in runs}.values():
        why = None
        if run.status != "finished":
            failure = run.record.failure
            after = f"{run.status} after {len(run.history)} of {run.record.epochs} epochs"
            why = after if failure is None else failure.error
        else:
            try:
                _ = run.test_predictions, run.test_labels  # not the logits: those of all runs could fill the memory
                usable.append(run)
            except RunError as error:
                why = str(error)
        listed.append({"id": run.id, "rung": run.record.model, "seed": run.seed, "status": run.status, "why": why})
    return usable, listed


def _collected(given: Sequence[Run], runs: Sequence[Run]) -> Ladder:
    """Combine runs into a ladder, in the given order."""
    check_same_data(given)
    counted = [run for run in given if run in runs or has_diverged(run)]
    methods = methods_of(counted) if counted else []
    if len({str((run.record.model, intended(run))) for run in counted}) == 1:
        methods = [counted]  # the seeds of one method
    methods = [method for method in methods if any(run in runs for run in method)]
    accounts = accounts_of(methods) if methods else []
    whole = given[0].record
    record = LadderRecord(
        status="finished",
        created=whole.created,
        data=whole.data,
        environment=whole.environment,
        rungs=tuple(RungRecord(each.name, each.adds) for each in accounts),
        family=tuple(Declared(each.name) for each in accounts[1:]),
        margin=MARGIN,
        declared=were_declared(given),
    )
    return Ladder(given[0].path, record, runs, accounts)  # of methods that may share a name
