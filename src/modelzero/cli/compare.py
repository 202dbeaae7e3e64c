"""`modelzero compare`: compare recorded runs, without training."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from modelzero.cli.app import command, console, folder_of, print_json
from modelzero.cli.options import Json, RunsDir
from modelzero.errors import RunError, check_margin
from modelzero.statistics.margin import MARGIN
from modelzero.text import plain

if TYPE_CHECKING:
    from modelzero.runs.run import Run


@command
def compare(
    runs: Annotated[
        list[str], typer.Argument(help="Ids or folders of runs, or of ladders, which stand for all their runs.")
    ],
    margin: Annotated[float, typer.Option(help="Differences below this fraction count as none.")] = MARGIN,
    runs_dir: RunsDir = Path("runs"),
    json: Json = False,
) -> None:
    """Compare recorded runs; those of one model and recipe are the seeds of one method.

    Each method is compared with the best one before it.
    """
    from dataclasses import asdict

    from modelzero.results.comparison import (
        accounts_of,
        compare_accounts,
        has_diverged,
        methods_of,
        were_declared,
    )

    check_margin(margin)
    found = [run for name in runs for run in _find(name, runs_dir)]
    counts = Counter(run.path.resolve() for run in found)
    twice = [path.name for path, count in counts.items() if count > 1]
    if twice:
        raise RunError(f"run {twice[0]} is given twice: leave one out")
    if len(found) < 2:
        raise RunError(f"{len(found)} run: expected at least two to compare; 'modelzero runs' lists them")
    methods = methods_of(found)
    diverged = [method for method in methods if all(map(has_diverged, method))]
    usable = [method for method in methods if method not in diverged]
    accounts = accounts_of(usable or methods)  # if all diverged, it raises that they have no predictions
    comparisons = compare_accounts(accounts, margin=margin)
    if json:
        print_json(
            {
                "format": 1,
                "data": found[0].record.data.as_dict(),
                "rungs": [account.as_dict() for account in accounts],
                "comparisons": [asdict(comparison) for comparison in comparisons],
                "margin": margin,
                "declared": were_declared(found),
                "diverged": [str(run.path) for run in found if has_diverged(run)],
                "runs": [str(run.path) for run in found],
            }
        )
        return
    from modelzero.results.words import (
        COVERS,
        NOT_DECLARED,
        account_table,
        comparison_table,
        no_verdict_on,
        no_verdicts,
    )

    out = console()
    out.print(f"{len(found)} runs on {plain(found[0].record.data.name)}\n")
    out.print(account_table(accounts))
    out.print("\nEach against the best one above it in the table:")
    out.print(comparison_table(comparisons))
    out.print("")
    for sentence in [*no_verdicts(accounts), *map(no_verdict_on, diverged)]:
        out.print(sentence)
    out.print(COVERS)
    if not were_declared(found):
        out.print(NOT_DECLARED)
    for of in dict.fromkeys(comparison.of for comparison in comparisons if comparison.of != "methods"):
        out.print(f"\nIf a method has a single run, the comparison is about {of}, not about methods.")


def _find(name: str, runs_dir: Path) -> list[Run]:
    from modelzero.results.comparison import has_diverged
    from modelzero.results.ladder import Ladder
    from modelzero.runs.folder import read_runs
    from modelzero.runs.record import LADDER_RECORD
    from modelzero.runs.run import Run

    path = folder_of(name, runs_dir)
    if not (path / LADDER_RECORD).is_file():
        return [Run.read(path)]
    beside = read_runs(path.parent)[0]
    return Ladder.read(path).runs + [run for run in beside if run.record.ladder == path.name and has_diverged(run)]
