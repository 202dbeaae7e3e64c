"""`modelzero runs`: list the runs and ladders of a folder."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelzero.cli.app import NAME_LETTERS, command, console, print_json
from modelzero.cli.options import Json, RunsDir
from modelzero.text import percent, plain

if TYPE_CHECKING:
    from rich.table import Table

    from modelzero.runs.record import LadderRecord
    from modelzero.runs.run import Run


@command
def runs(runs_dir: RunsDir = Path("runs"), json: Json = False) -> None:
    """List the recorded runs and ladders, the oldest first."""
    from modelzero.runs.folder import read_runs
    from modelzero.runs.ladders import read_ladder_records
    from modelzero.runs.seal import sealed

    found, trouble = read_runs(runs_dir)
    records, more = read_ladder_records(runs_dir)
    ladders = [_summary(name, record) for name, record in records.items()]
    trouble += more
    for line in trouble:
        print(f"skipped: {plain(line, None)}", file=sys.stderr)
    if json:
        print_json(
            {
                "format": 1,
                "runs_dir": str(runs_dir),
                "runs": [sealed(run.record.as_dict())[0] for run in found],
                "ladders": ladders,
                "left_out": trouble,
            }
        )
        return
    out = console()
    if not (found or ladders):
        out.print(
            f"no runs in {plain(str(runs_dir), None)}: run 'modelzero train DATA' first, or give another --runs-dir"
        )
    if found:
        out.print(_table_of_runs(found))
    if found and ladders:
        out.print()
    if ladders:
        out.print(_table_of_ladders(ladders))


def _table_of_runs(found: Sequence[Run]) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    table.add_column("run", overflow="fold")  # never shortened: other commands take it
    for heading in ("status", "model", "data"):
        table.add_column(heading, no_wrap=True)
    for heading in ("seed", "epochs", "test accuracy", "train seconds"):
        table.add_column(heading, justify="right")
    for run in found:
        table.add_row(
            plain(run.id, None),
            plain(run.status, NAME_LETTERS),
            plain(run.record.model, NAME_LETTERS),
            plain(run.record.data.name, NAME_LETTERS),
            str(run.seed),
            f"{len(run.history)}/{run.record.epochs}",
            "" if run.kept is None else percent(run.kept.test_accuracy),
            f"{run.train_seconds:.2f}",
        )
    return table


def _table_of_ladders(ladders: Sequence[Mapping[str, Any]]) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    table.add_column("ladder", overflow="fold")  # likewise
    for heading in ("status", "data", "rungs"):
        table.add_column(heading, no_wrap=True)
    table.add_column("finished runs", justify="right")
    for summary in ladders:
        table.add_row(
            plain(summary["id"], None),
            plain(summary["status"], NAME_LETTERS),
            plain(summary["data"], NAME_LETTERS),
            plain(", ".join(summary["rungs"]), 2 * NAME_LETTERS),
            f"{summary['finished_runs']}/{summary['planned_runs']}",
        )
    return table


def _summary(name: str, record: LadderRecord) -> dict[str, Any]:
    from modelzero.runs.record import NOT_NEEDED

    return {
        "id": name,
        "status": record.status,
        "data": record.data.name,
        "rungs": [rung.name for rung in record.rungs],
        "finished_runs": sum(cell.status == "finished" for cell in record.cells),
        "planned_runs": sum(cell.status != NOT_NEEDED for cell in record.cells),
    }
