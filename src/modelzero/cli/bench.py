"""`modelzero bench`: measure the speed of this machine."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from modelzero.cli.app import command, console, print_json
from modelzero.cli.options import DataDir, Json
from modelzero.errors import check_count
from modelzero.text import plain

if TYPE_CHECKING:
    from modelzero.bench import Measure


@command
def bench(
    data: Annotated[str, typer.Argument(help="A dataset, as for train.")] = "fashion-mnist",
    repeats: Annotated[int, typer.Option(help="Number of warm measurements of each.")] = 5,
    data_dir: DataDir = None,
    json: Json = False,
) -> None:
    """Measure this machine: the chapter's loop against modelzero, seeds per minute, a ladder, images per second."""
    check_count("repeats", repeats, 1000)

    from modelzero import bench as measuring
    from modelzero import load

    images = load(data, data_dir=data_dir)
    measures, ratios = measuring.bench(
        images, repeats=repeats, say=lambda line: print(line, file=sys.stderr, flush=True)
    )
    machine = measuring.machine()
    if json:
        print_json(
            {
                "format": 1,
                "data": images.description.as_dict(),
                "machine": machine,
                "measures": [measure.as_dict() for measure in measures],
                "ratios": [ratio.as_dict() for ratio in ratios],
            }
        )
        return
    out = console()
    out.print(f"{plain(images.name)}: {len(images.train):,} images to train on, {len(images.test):,} to test on")
    out.print(f"{machine['processor']}, {machine['cores']} cores, torch {machine['versions']['torch']}\n")
    _print_table([*measures, *ratios])


def _print_table(measures: list[Measure]) -> None:
    from rich.table import Table

    table = Table("measured", box=None, pad_edge=False)
    for heading in ("cold", "median", "min to max", "unit"):
        table.add_column(heading, justify="left" if heading == "unit" else "right", no_wrap=True)
    for measure in measures:
        low, high = min(measure.warm), max(measure.warm)
        cold = "" if measure.cold is None else _shown(measure.cold)
        table.add_row(measure.what, cold, _shown(measure.median), f"{_shown(low)} to {_shown(high)}", measure.unit)
    console().print(table)


def _shown(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
