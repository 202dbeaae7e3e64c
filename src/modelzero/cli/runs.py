"""`modelzero runs`: what lies in a folder of runs."""

from __future__ import annotations

import sys
from pathlib import Path

from modelzero.cli.app import NAME_LETTERS, Json, RunsDir, command, console, percent, print_json
from modelzero.printable import plain


@command
def runs(runs_dir: RunsDir = Path("runs"), json: Json = False) -> None:
    """List the recorded runs, the oldest first."""
    from modelzero.runs.store import read_all

    found, trouble = read_all(runs_dir)
    for line in trouble:
        print(f"left out: {plain(line, None)}", file=sys.stderr)
    if json:
        print_json({"format": 1, "runs_dir": str(runs_dir), "runs": [run.record for run in found], "left_out": trouble})
        return
    out = console()
    if not found:
        out.print(
            f"no runs in {plain(str(runs_dir), None)}; 'modelzero train DATA' makes one, --runs-dir looks elsewhere"
        )
        return
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    table.add_column("run", overflow="fold")  # whole: it is what the other commands are given
    for heading in ("status", "model", "data"):
        table.add_column(heading, no_wrap=True)
    for heading in ("seed", "epochs", "test accuracy", "train seconds"):
        table.add_column(heading, justify="right")
    for run in found:
        table.add_row(
            plain(run.id, None),
            plain(run.status, NAME_LETTERS),
            plain(run.record["model"], NAME_LETTERS),
            plain(run.record["data"]["name"], NAME_LETTERS),
            str(run.seed),
            f"{len(run.history)}/{run.record['epochs']}",
            percent(run.history[-1].test_accuracy) if run.history else "",
            f"{run.train_seconds:.2f}",
        )
    out.print(table)
