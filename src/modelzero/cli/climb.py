"""`modelzero climb`: the models of the ladder, one after the other, and their comparison."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from modelzero.cli.app import DataDir, Json, RunsDir, Seed, command, console, interval, percent, print_json
from modelzero.errors import DataUnavailableError


@command
def climb(
    data: Annotated[
        str | None,
        typer.Argument(help="As for train.  [default: fashion-mnist, or digits where it cannot be had]"),
    ] = None,
    seed: Seed = 42,
    runs_dir: RunsDir = Path("runs"),
    data_dir: DataDir = None,
    json: Json = False,
) -> None:
    """Train each model of the ladder and compare them."""
    import modelzero
    from modelzero.models.ladder import LADDER
    from modelzero.statistics.intervals import accuracy_interval

    try:
        pictures = modelzero.load(data or "fashion-mnist", data_dir=data_dir)
    except DataUnavailableError as error:
        if data is not None:
            raise
        print(f"digits instead of fashion-mnist: {error}", file=sys.stderr)
        pictures = modelzero.load("digits")
    runs = []
    for rung in LADDER:
        print(f"training {rung.name}: {rung.adds}", file=sys.stderr)
        # One thread each, so that the figures do not depend on the number of cores and the seconds can be compared.
        runs.append(modelzero.train(pictures, rung, seed=seed, threads=1, runs_dir=runs_dir))
    n = len(pictures.test)
    intervals = [accuracy_interval(run.history[-1].test_correct, n) for run in runs]
    if json:
        rungs = [
            {
                "name": run.record["model"],
                "accuracy": run.history[-1].test_accuracy,
                "low": low,
                "high": high,
                "seeds": 1,
                "train_seconds": run.train_seconds,
                "parameters": run.record["parameters"],
            }
            for run, (low, high) in zip(runs, intervals, strict=True)
        ]
        described = runs[0].record["data"]
        print_json(
            {
                "format": 1,
                "data": described,
                "rungs": rungs,
                "comparisons": [],
                "worth_it": None,
                "left_out": [],
                "runs": [str(run.path) for run in runs],
            }
        )
        return
    from rich.table import Table

    out = console()
    environment = runs[0].record["environment"]
    out.print(f"{pictures.name}: {len(pictures.train):,} pictures to train on, {n:,} to test on; seed {seed}")
    out.print(f"{environment['processor']}, torch {environment['versions']['torch']}\n")
    table = Table("model", box=None, pad_edge=False)
    for heading in ("test accuracy", "95 % interval", "test loss", "train seconds", "parameters"):
        table.add_column(heading, justify="right")
    for run, (low, high) in zip(runs, intervals, strict=True):
        last = run.history[-1]
        table.add_row(
            run.record["model"],
            percent(last.test_accuracy),
            interval(low, high),
            f"{last.test_loss:.4f}",
            f"{run.train_seconds:.2f}",
            f"{run.record['parameters']:,}",
        )
    out.print(table)
    out.print("\nOne seed each: the intervals speak of these trained models, not yet of the methods.")
