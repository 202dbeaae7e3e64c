"""`modelzero report`: write a ladder or runs as one HTML page."""

from __future__ import annotations

import os
import sys
import webbrowser
from pathlib import Path
from typing import Annotated

import typer

from modelzero.cli.app import command, console, folder_of, print_json
from modelzero.cli.options import DataDir, Json, RunsDir
from modelzero.errors import RunError, counted
from modelzero.io.atomic import check_writable
from modelzero.text import plain


@command
def report(
    runs: Annotated[
        list[str] | None,
        typer.Argument(
            help="Id or folder of a ladder, or of runs; a ladder among others stands for its runs.  "
            "[default: the newest ladder in --runs-dir]",
            show_default=False,
        ),
    ] = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="The file to write.")] = Path("report.html"),
    open_: Annotated[bool, typer.Option("--open", help="Also open it in the browser.")] = False,
    data: Annotated[
        str | None,
        typer.Option(help="Images of the runs, to show mistakes.  [default: the recorded source]", show_default=False),
    ] = None,
    pictures: Annotated[bool, typer.Option(help="Show the images of mistakes, if available.")] = True,
    runs_dir: RunsDir = Path("runs"),
    data_dir: DataDir = None,
    json: Json = False,
) -> None:
    """Write one HTML file: verdict, accuracy against time, curves, mistakes, calibration, and how to repeat it."""
    from modelzero.reporting.collected import newest_ladder
    from modelzero.reporting.content import gather
    from modelzero.reporting.page import ENDINGS, page, save_page
    from modelzero.reporting.shown import show

    check_writable(output, ENDINGS)
    found = [folder_of(name, runs_dir) for name in runs or []] or [newest_ladder(runs_dir)]
    gathered = gather(found, images=pictures, data=data, data_dir=data_dir)
    left_out = [f"{each['id']}: {each['why']}" for each in gathered.runs if each["why"] and each["id"]]
    if left_out and not gathered.rungs:
        raise RunError(f"nothing to report: {'; '.join(left_out)}")
    for each in left_out:
        print("skipped: " + plain(each, None), file=sys.stderr)
    path = save_page(page(gathered), output)
    size = path.stat().st_size
    if json:
        print_json({**gathered.as_dict(), "report": str(path), "report_bytes": size})
    else:
        out = console()
        for sentence in gathered.ladder.verdict():
            out.print(sentence)
        if gathered.without_pictures and gathered.rungs:
            out.print(f"Without images: {gathered.without_pictures}.")
        out.print(f"\nreport of {counted(len(gathered.ladder.runs), 'training')} in {path} ({show(size, 'bytes')})")
    if open_ and not _opened(path):
        print(f"no browser could be started: open {plain(str(path), None)} yourself", file=sys.stderr)
    if left_out and not gathered.is_ladder:
        raise typer.Exit(1)


def _opened(path: Path) -> bool:
    """Open a file in the browser, whose output must not mix with a document on standard output."""
    standard_output = os.dup(1)
    try:
        os.dup2(2, 1)
        return webbrowser.open(path.absolute().as_uri())
    finally:
        os.dup2(standard_output, 1)
        os.close(standard_output)
