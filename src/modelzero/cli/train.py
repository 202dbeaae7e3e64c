"""`modelzero train`: one model, one seed, one run."""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from modelzero.cli.app import (
    SENTENCE_LETTERS,
    command,
    console,
    folder_of,
    in_groups,
    is_given,
    load_and_look,
    notes_of,
    print_record,
    refuse_beside,
    refuse_without_resume,
)
from modelzero.cli.options import CheckpointEvery, DataOrNone, Json, RunsDir, TakeOver
from modelzero.data.options import LoadOptions
from modelzero.errors import SettingError
from modelzero.io.cores import CoreUse
from modelzero.text import interval, percent, plain
from modelzero.training.options import TrainOptions

if TYPE_CHECKING:
    from modelzero.runs.run import Run


@command
def train(
    context: typer.Context,
    data: DataOrNone = None,
    model: Annotated[str, typer.Option(help="A rung of the ladder, or module:name of your own model.")] = "model0",
    settings: TrainOptions = TrainOptions(),  # noqa: B008 - each field is an option of its own
    load: LoadOptions = LoadOptions(),  # noqa: B008
    checkpoint_every: CheckpointEvery = "60s",
    resume: Annotated[
        Path | None,
        typer.Option(help="Resume this run; its record has all settings, except a --model of your own."),
    ] = None,
    take_over: TakeOver = False,
    runs_dir: RunsDir = Path("runs"),
    json: Json = False,
) -> None:
    """Train one model with one seed and record the run."""
    import modelzero
    from modelzero.climbing.budget import parse_budget
    from modelzero.data.load import load_with

    every = parse_budget(checkpoint_every, "checkpoint every")
    if resume is not None:
        refuse_beside(context, "--resume", {"json", "model", "checkpoint_every", "take_over", "runs_dir"})
        own = model if is_given(context, "model") else None
        _show(
            modelzero.resume(folder_of(resume, runs_dir), model=own, checkpoint_every=every, take_over=take_over), json
        )
        return
    refuse_without_resume(take_over)
    if data is None:
        raise SettingError("no data: give a name, a folder or a file, or --resume RUN")

    load_data = partial(load_and_look, partial(load_with, data, load), CoreUse())
    run = modelzero.train(load_data, model, **vars(settings), runs_dir=runs_dir, checkpoint_every=every)
    _show(run, json)


def _show(run: Run, json: bool) -> None:
    if json:
        print_record(run.record)
        return
    from rich.table import Table

    from modelzero.results.account import account
    from modelzero.training.learned import why_not_learned

    out = console()
    record, data = run.record, run.record.data
    out.print(f"{plain(record.model, None)} on {plain(data.name)} ({plain(data.source, None)}), seed {run.seed}")
    for note in notes_of(data):
        out.print(f"{'note':15} {plain(note, SENTENCE_LETTERS)}")
    for name, why in record.derived.items():
        out.print(f"{name.replace('_', ' '):15} {plain(why, SENTENCE_LETTERS)}")
    out.print()
    table = Table(box=None, pad_edge=False)
    held_out = record.held_out is not None
    headings = ["epoch", "train loss", *["held-out loss"] * held_out, "test loss", "test accuracy"]
    for heading in (*headings, "train seconds", "test seconds"):
        table.add_column(heading, justify="right")
    for epoch in run.history:
        table.add_row(
            str(epoch.epoch),
            "" if math.isnan(epoch.train_loss) else f"{epoch.train_loss:.4f}",
            *([f"{epoch.validation_loss:.4f}"] if held_out else []),
            f"{epoch.test_loss:.4f}",
            percent(epoch.test_accuracy),
            f"{epoch.train_seconds:.2f}",
            f"{epoch.test_seconds:.2f}",
        )
    out.print(table)
    right, n = (run.kept or run.history[-1]).test_correct, data.test_images
    found = account(record.model, "", [run])
    out.print(
        f"\n{right:,} of {n:,} test images{in_groups(data)} are classified correctly: {percent(right / n)}; "
        f"on new images {interval(found.low, found.high)} (95 % interval, this trained model)"
    )
    if run.not_learned is not None:
        why = plain(why_not_learned(run.not_learned), SENTENCE_LETTERS)
        out.print(f"This training did not learn: {why}.")
    if record.second_of is not None:
        first = record.second_of
        out.print(
            f"repeated with a learning rate of {record.learning_rate:g}: run {plain(first.run, None)} did not learn "
            f"with {first.learning_rate:g}"
        )
    for warning in record.warnings or ():
        out.print(f"warning: {plain(warning, SENTENCE_LETTERS)}")
    if record.not_stored is not None:
        out.print(f"not stored: {plain(record.not_stored, SENTENCE_LETTERS)}")
    for again in record.resumed or ():
        at = f"epoch {again.epoch}, after {again.step} steps"
        out.print("; ".join([f"resumed from {at}", *again.trouble, *again.differs]))
    out.print(f"recorded in {plain(str(run.path), None)}")
