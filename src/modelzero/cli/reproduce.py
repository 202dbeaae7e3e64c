"""`modelzero reproduce`: repeat the chapter and compare its printed figures with ours."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from modelzero.cli.app import command, load_and_look, print_json
from modelzero.cli.options import DataDir, Json, RunsDir
from modelzero.io.cores import CoreUse
from modelzero.text import plain

if TYPE_CHECKING:
    from modelzero.chapter import Figure


@command
def reproduce(runs_dir: RunsDir = Path("runs"), data_dir: DataDir = None, json: Json = False) -> None:
    """Repeat the tutorial chapter on Fashion-MNIST and check every figure that it prints."""
    from dataclasses import asdict

    from modelzero import load
    from modelzero.chapter import walk

    data = load_and_look(partial(load, "fashion-mnist", data_dir=data_dir), CoreUse())
    out = sys.stderr if json else sys.stdout
    print(f"Fashion-MNIST from {plain(data.source, None)}", file=out)
    figures: list[Figure] = []
    runs = []
    for section in walk(data, runs_dir=runs_dir, say=lambda line: print("  " + line, file=out, flush=True)):
        if section.title:
            print(f"\n{section.title}", file=out, flush=True)
        for line in section.lines:
            print("  " + line, file=out)
        for figure in section.figures:
            print("  " + _line(figure), file=out, flush=True)
        figures += section.figures
        runs += [section.run] if section.run else []
    right = sum(figure.matches for figure in figures)
    print(f"\n{right} of {len(figures)} figures match", file=out)
    if right < len(figures):
        print("Another processor or version of torch may change a last digit; see docs/reproduce.md", file=out)
    if json:
        print_json(
            {
                "format": 1,
                "matching": right,
                "figures": [asdict(figure) for figure in figures],
                "runs": [str(run.path) for run in runs],
            }
        )
    if right < len(figures):
        raise typer.Exit(1)


def _line(figure: Figure) -> str:
    sign = "=" if figure.matches else "X"
    if isinstance(figure.printed, list) and figure.matches and figure.decimals is not None:
        return f"{sign} {figure.name}: equal to the printed ones"
    rule = "" if figure.rule.startswith("equal") else f"  ({figure.rule})"
    printed, found = (
        f"{value:.{figure.decimals}f}" if isinstance(value, float) else value
        for value in (figure.printed, figure.found)
    )
    return f"{sign} {figure.name}: printed {printed}, found {found}{rule}"
