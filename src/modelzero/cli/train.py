"""`modelzero train`: one model, one seed, one run."""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from modelzero.cli.app import (
    SENTENCE_LETTERS,
    AllowUnreadable,
    BatchSize,
    CheckpointEvery,
    DataDir,
    DataOrNone,
    Device,
    Epochs,
    Fit,
    Format,
    Group,
    HiddenUnits,
    Json,
    LearningRate,
    RunsDir,
    Seed,
    Share,
    Size,
    SplitSeed,
    TakeOver,
    TestShare,
    Threads,
    command,
    console,
    folder_of,
    in_groups,
    interval,
    is_given,
    notes_of,
    percent,
    print_json,
    refuse_beside,
    refuse_without_resume,
)
from modelzero.errors import SettingError
from modelzero.text import plain

if TYPE_CHECKING:
    from modelzero.runs.record import Run


@command
def train(
    context: typer.Context,
    data: DataOrNone = None,
    model: Annotated[
        str, typer.Option(help="A rung of the ladder, or module:name of what makes a model of your own.")
    ] = "model0",
    epochs: Epochs = None,
    batch_size: BatchSize = None,
    learning_rate: LearningRate = None,
    seed: Seed = 42,
    hidden_units: HiddenUnits = 10,
    device: Device = "auto",
    threads: Threads = None,
    engine: Annotated[
        str, typer.Option(help="torch: the plain loop; fused: one compiled kernel for linear stacks; auto: what can.")
    ] = "auto",
    format_: Format = None,
    size: Size = None,
    fit: Fit = "pad",
    test_share: TestShare = 0.2,
    split_seed: SplitSeed = 0,
    group: Group = None,
    share: Share = 1.0,
    allow_unreadable: AllowUnreadable = False,
    checkpoint_every: CheckpointEvery = "60s",
    resume: Annotated[
        Path | None,
        typer.Option(help="Go on with this run, in its own folder; all is in its record but a --model of your own."),
    ] = None,
    take_over: TakeOver = False,
    runs_dir: RunsDir = Path("runs"),
    data_dir: DataDir = None,
    json: Json = False,
) -> None:
    """Train one model with one seed and record the run."""
    import modelzero
    from modelzero.climbing.budget import parse_budget

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

    pictures = partial(
        modelzero.load,
        data,
        data_dir=data_dir,
        format=format_,
        size=size,
        fit=fit,
        test_share=test_share,
        seed=split_seed,
        group=group,
        share=share,
        allow_unreadable=allow_unreadable,
    )
    run = modelzero.train(
        pictures,
        model,
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        seed=seed,
        hidden_units=hidden_units,
        device=device,
        threads=threads,
        engine=engine,
        runs_dir=runs_dir,
        checkpoint_every=every,
    )
    _show(run, json)


def _show(run: Run, json: bool) -> None:
    if json:
        print_json(run.record)
        return
    from rich.table import Table

    from modelzero.results.account import account
    from modelzero.training.learned import why_not_learned

    out = console()
    described = run.record["data"]
    model, name, source = run.record["model"], described["name"], described["source"]
    out.print(f"{plain(model, None)} on {plain(name)} ({plain(source, None)}), seed {run.seed}")
    for note in notes_of(described):
        out.print(f"note    {plain(note, SENTENCE_LETTERS)}")
    out.print(f"device  {run.record['derived']['device']}")
    if run.record["engine"]:
        out.print(f"engine  {run.record['derived']['engine']}")
    out.print(f"threads {run.record['derived']['threads']}\n")
    table = Table(box=None, pad_edge=False)
    for heading in ("epoch", "train loss", "test loss", "test accuracy", "train seconds", "test seconds"):
        table.add_column(heading, justify="right")
    for epoch in run.history:
        table.add_row(
            str(epoch.epoch),
            "" if math.isnan(epoch.train_loss) else f"{epoch.train_loss:.4f}",
            f"{epoch.test_loss:.4f}",
            percent(epoch.test_accuracy),
            f"{epoch.train_seconds:.2f}",
            f"{epoch.test_seconds:.2f}",
        )
    out.print(table)
    right, n = run.history[-1].test_correct, described["test_images"]
    found = account(model, "", [run])
    out.print(
        f"\n{right:,} of {n:,} test images{in_groups(described)} are right: {percent(right / n)}; "
        f"on new images {interval(found.low, found.high)} (95 % interval, this trained model)"
    )
    if run.not_learned is not None:
        why = plain(why_not_learned(run.not_learned), SENTENCE_LETTERS)
        out.print(f"This training did not learn: {why}.")
    for warning in run.record.get("warnings", []):
        out.print(f"warning: {plain(warning, SENTENCE_LETTERS)}")
    for again in run.record.get("resumed", []):
        at = f"epoch {again['epoch']}, after {again['step']} steps"
        out.print("; ".join([f"resumed from {at}", *again["trouble"], *again["differs"]]))
    out.print(f"recorded in {plain(str(run.path), None)}")
