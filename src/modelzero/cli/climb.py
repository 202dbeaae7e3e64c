"""`modelzero climb`: the ladder, its comparisons and the verdict."""

from __future__ import annotations

import shlex
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from modelzero.cli.app import (
    NAME_LETTERS,
    SENTENCE_LETTERS,
    AllowUnreadable,
    DataDir,
    Fit,
    Format,
    Group,
    Json,
    RunsDir,
    Share,
    Size,
    SplitSeed,
    TakeOver,
    TestShare,
    command,
    console,
    folder_of,
    in_groups,
    notes_of,
    print_json,
    refuse_beside,
    refuse_without_resume,
)
from modelzero.errors import DataUnavailableError
from modelzero.signals import SIGNALS
from modelzero.text import plain

if TYPE_CHECKING:
    from rich.console import Console

    from modelzero.climbing.session import Listener
    from modelzero.results.ladder import Ladder

_REFRESHES_PER_SECOND = 2


@command
def climb(
    context: typer.Context,
    data: Annotated[
        str | None,
        typer.Argument(help="As for train.  [default: fashion-mnist, or digits where it cannot be had]"),
    ] = None,
    rungs: Annotated[
        str | None,
        typer.Option(
            help="Names with commas between, the simplest first; also module:name of what makes a model of your own, "
            "such as sklearn.svm.LinearSVC.  [default: the whole ladder]"
        ),
    ] = None,
    seeds: Annotated[
        int,
        typer.Option(
            help="Trainings of each rung; one if nothing is random, two if the first two give identical predictions."
        ),
    ] = 5,
    budget: Annotated[
        str | None, typer.Option(help="Time for everything, such as 60s or 5m; what does not fit is left out by name.")
    ] = None,
    workers: Annotated[int | None, typer.Option(help="Trainings at once.  [default: one for each core]")] = None,
    seed: Annotated[int, typer.Option(help="The first seed; the others count on from it.")] = 42,
    device: Annotated[str, typer.Option(help="cpu, cuda or mps, the same for every training.")] = "cpu",
    margin: Annotated[float, typer.Option(help="Differences below this fraction are practically none.")] = 0.003,
    format_: Format = None,
    size: Size = None,
    fit: Fit = "pad",
    test_share: TestShare = 0.2,
    split_seed: SplitSeed = 0,
    group: Group = None,
    share: Share = 1.0,
    allow_unreadable: AllowUnreadable = False,
    audit: Annotated[
        bool | None,
        typer.Option(
            "--audit/--no-audit",
            help="Search for test images that are nearly a training image.  [default: where that takes seconds]",
        ),
    ] = None,
    resume: Annotated[
        Path | None,
        typer.Option(
            help="Go on with this ladder, in its own folder: what is finished is read back. All is in its record but "
            "--rungs of your own."
        ),
    ] = None,
    take_over: TakeOver = False,
    runs_dir: RunsDir = Path("runs"),
    data_dir: DataDir = None,
    json: Json = False,
) -> None:
    """Train the models of the ladder with several seeds and say which is worth its price."""
    import modelzero
    from modelzero.climbing.climb import Interrupted
    from modelzero.data.load import origin_of

    names = None if rungs is None else [name.strip() for name in rungs.split(",") if name.strip()]
    settings: dict[str, Any] = {
        "seeds": seeds,
        "budget": budget,
        "workers": workers,
        "seed": seed,
        "device": device,
        "margin": margin,
        "runs_dir": runs_dir,
        "audit": audit,
    }
    load = partial(
        modelzero.load,
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
    if resume is not None:
        refuse_beside(context, "--resume", {"json", "rungs", "budget", "workers", "audit", "take_over", "runs_dir"})
        resume = folder_of(resume, runs_dir)
    else:
        refuse_without_resume(take_over)
        _say_what_was_begun(settings, names, origin_of(data or "fashion-mnist", **load.keywords))
    out = console()
    live = out.is_terminal and not json
    try:
        with _live(out) if live else _lines() as listener:
            try:
                pictures = None if resume else partial(load, data or "fashion-mnist")
                ladder = modelzero.climb(
                    pictures, names, **settings, resume=resume, take_over=take_over, progress=listener
                )
            except DataUnavailableError as error:
                if data is not None or resume is not None:
                    raise
                print(f"digits instead of fashion-mnist: {plain(str(error), None)}", file=sys.stderr)
                ladder = modelzero.climb(partial(load, "digits"), names, **settings, progress=listener)
    except Interrupted as stopped:
        for number in SIGNALS:
            signal.signal(number, signal.SIG_IGN)  # it ends now; another one must not cost the table
        _show(out, stopped.ladder, json)
        raise
    _show(out, ladder, json)
    if any(each["failed"] and each["name"] not in {rung.name for rung in ladder.rungs} for each in ladder.left_out):
        raise typer.Exit(1)


def _say_what_was_begun(settings: dict[str, Any], names: list[str] | None, origin: dict[str, Any]) -> None:
    """Name a climb of the very same that was cut off: perhaps that one is to go on."""
    from modelzero.models.rungs import LADDER
    from modelzero.results.ladder import read_ladder_records

    wanted = {rung.name for rung in LADDER} if names is None else set(names)
    seeds = [settings["seed"] + k for k in range(min(settings["seeds"], 10_000))]
    for name, record in reversed(read_ladder_records(settings["runs_dir"])[0].items()):
        if (
            record["status"] == "interrupted"
            and record["data"].get("origin") == origin
            and record.get("seeds") == seeds
            and all(record.get(key) == settings[key] for key in ("margin", "device"))
            and {rung["name"] for rung in record["rungs"]} == wanted
        ):
            path = shlex.quote(str(settings["runs_dir"] / name))
            print(
                f"a climb of the same was cut off; to go on with it: modelzero climb --resume {path}", file=sys.stderr
            )
            return


def _show(out: Console, ladder: Ladder, json: bool) -> None:
    if json:
        print_json(ladder.as_dict())
        return
    from modelzero.results.words import parts

    out.print(_headline(ladder))
    out.print()
    for part in parts(ladder):
        out.print(part)
    took = ladder.record.get("seconds")
    out.print(
        f"\n{len(ladder.runs)} trainings"
        + (f" in {took:.0f} s" if took else "")
        + f", recorded in {plain(str(ladder.path), None)}"
    )


def _headline(ladder: Ladder) -> str:
    data, environment = ladder.record["data"], ladder.record["environment"]
    return (
        f"{plain(data['name'])}: {data['train_images']:,} images to train on, {data['test_images']:,} to test on"
        f"{in_groups(data)}\n"
        f"{environment['processor']}, torch {environment['versions']['torch']}, one thread for each training"
    ) + "".join(f"\nnote: {plain(note, SENTENCE_LETTERS)}" for note in notes_of(data))


@contextmanager
def _live(out: Console) -> Iterator[Listener]:
    """Redraw the table on the terminal while it fills."""
    from rich.console import Group, RenderableType
    from rich.live import Live

    from modelzero.results.words import rung_table

    began = time.monotonic()
    latest: list[RenderableType] = ["getting ready"]

    def listen(ladder: Ladder) -> None:
        latest[:] = [_headline(ladder), "", rung_table(ladder)]

    def picture() -> RenderableType:
        return Group(*latest, f"\n{time.monotonic() - began:.0f} s, Ctrl-C stops and shows what is known")

    with Live(
        get_renderable=picture, console=out, refresh_per_second=_REFRESHES_PER_SECOND, transient=True, screen=False
    ):
        yield listen


@contextmanager
def _lines() -> Iterator[Listener]:
    """Print a line for each training that ends."""
    from modelzero.runs.record import NOT_NEEDED

    known: set[tuple[str, int]] = set()

    def listen(ladder: Ladder) -> None:
        cells = ladder.record["cells"]
        if not known:
            print(f"{len(cells)} trainings on {plain(ladder.record['data']['name'])}", file=sys.stderr)
            known.add(("", 0))
        for cell in cells:
            key = (cell["rung"], cell["seed"])
            if cell["status"] == "planned" or key in known:
                continue
            known.add(key)
            name = f"{plain(cell['rung'], NAME_LETTERS)} seed {cell['seed']}"
            run = next((run for run in ladder.runs if run.id == cell["run"]), None)
            result = (
                plain(cell["why"] if cell["status"] != NOT_NEEDED else f"not needed: {cell['why']}", SENTENCE_LETTERS)
                if run is None
                else f"{run.history[-1].test_accuracy:.2%} in {run.train_seconds:.1f} s"
            )
            if run is not None and run.learned is False:
                result += ", did not learn"
            print(f"[{len(known) - 1}/{len(cells)}] {name}: {result}", file=sys.stderr)

    yield listen
