"""`modelzero climb`: the ladder, its comparisons and the verdict."""

from __future__ import annotations

import shlex
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from modelzero.cli.app import (
    NAME_LETTERS,
    SENTENCE_LETTERS,
    command,
    console,
    folder_of,
    in_groups,
    load_and_look,
    notes_of,
    print_json,
    refuse_beside,
    refuse_without_resume,
)
from modelzero.cli.options import Json, RunsDir, TakeOver
from modelzero.climbing.options import ClimbOptions
from modelzero.data.options import LoadOptions
from modelzero.errors import DataUnavailableError
from modelzero.io.cores import CoreUse
from modelzero.signals import SIGNALS
from modelzero.text import about, plain

if TYPE_CHECKING:
    from rich.console import Console

    from modelzero.climbing.session import Listener
    from modelzero.data.dataset import ImageData
    from modelzero.data.options import Origin
    from modelzero.results.ladder import Ladder

_REFRESHES_PER_SECOND = 2


@command
def climb(
    context: typer.Context,
    data: Annotated[
        str | None,
        typer.Argument(help="A dataset, as for train.  [default: fashion-mnist, or digits if it is not available]"),
    ] = None,
    rungs: Annotated[
        str | None,
        typer.Option(
            help="Comma-separated names, the simplest first; also module:name of your own models, such as "
            "sklearn.svm.LinearSVC.  [default: the whole ladder]"
        ),
    ] = None,
    settings: ClimbOptions = ClimbOptions(),  # noqa: B008 - each field is an option of its own
    load: LoadOptions = LoadOptions(),  # noqa: B008
    resume: Annotated[
        Path | None,
        typer.Option(
            help="Resume this ladder; finished runs are read back. Its record has all settings, except --rungs of your "
            "own."
        ),
    ] = None,
    take_over: TakeOver = False,
    runs_dir: RunsDir = Path("runs"),
    json: Json = False,
) -> None:
    """Train the models of the ladder with several seeds and say which one is worth its cost."""
    import modelzero
    from modelzero.climbing.climb import Interrupted
    from modelzero.data.load import load_with, origin_of

    names = None if rungs is None else [name.strip() for name in rungs.split(",") if name.strip()]
    if resume is not None:
        refuse_beside(context, "--resume", {"json", "rungs", "budget", "workers", "audit", "take_over", "runs_dir"})
        resume = folder_of(resume, runs_dir)
    else:
        refuse_without_resume(take_over)
        _say_what_was_begun(settings, names, origin_of(data or "fashion-mnist", load), runs_dir)

    def loading(source: str) -> Callable[[], ImageData]:
        return partial(load_and_look, partial(load_with, source, load), use)

    out, use = console(), CoreUse()
    live = out.is_terminal and not json
    try:
        with _live(out) if live else _lines() as listener:
            run = partial(
                modelzero.climb, rungs=names, **vars(settings), runs_dir=runs_dir, take_over=take_over,
                progress=listener,
            )  # fmt: skip
            try:
                ladder = run(data=None if resume else loading(data or "fashion-mnist"), resume=resume)
            except DataUnavailableError as error:
                if data is not None or resume is not None:
                    raise
                print(f"using digits instead of fashion-mnist: {plain(str(error), None)}", file=sys.stderr)
                ladder = run(data=loading("digits"))
    except Interrupted as stopped:
        for number in SIGNALS:
            signal.signal(number, signal.SIG_IGN)  # ending now: another signal must not prevent the table
        if json or stopped.ladder.record.cells:
            _show(out, stopped.ladder, json)
        raise
    _show(out, ladder, json)
    trained = {rung.name for rung in ladder.rungs}
    if any(each.failed and each.name not in trained for each in ladder.left_out):
        raise typer.Exit(1)


def _say_what_was_begun(settings: ClimbOptions, names: list[str] | None, origin: Origin, runs_dir: Path) -> None:
    """Print how to resume an identical climb that was interrupted, if there is one."""
    from modelzero.models.rungs import LADDER, rung_named
    from modelzero.runs.ladders import read_ladder_records

    wanted = {rung.name for rung in LADDER} if names is None else {rung_named(name).name for name in names}
    for name, record in reversed(read_ladder_records(runs_dir)[0].items()):
        if (
            record.status == "interrupted"
            and record.data.origin == origin
            and list(record.seeds) == settings.all_seeds()
            and (record.margin, record.device) == (settings.margin, settings.device)
            and {rung.name for rung in record.rungs} == wanted
        ):
            path = shlex.quote(str(runs_dir / name))
            print(
                f"an identical climb was interrupted; resume it with: modelzero climb --resume {path}", file=sys.stderr
            )
            return


def _show(out: Console, ladder: Ladder, json: bool) -> None:
    if json:
        print_json(ladder.as_dict())
        return
    from modelzero.results.words import parts

    out.print(_headline(ladder))
    out.print()
    for part in parts(ladder.findings):
        out.print(part)
    took = ladder.record.seconds
    out.print(
        f"\n{len(ladder.runs)} trainings"
        + (f" in {took:.0f} s" if took else "")
        + f", recorded in {plain(str(ladder.path), None)}"
    )


def _headline(ladder: Ladder) -> str:
    data, environment = ladder.record.data, ladder.record.environment
    assert environment is not None  # every climb records it
    return (
        f"{plain(data.name)}: {data.train_images:,} images to train on, {data.test_images:,} to test on"
        f"{in_groups(data)}\n"
        f"{environment.processor}, torch {environment.versions['torch']}, one thread for each training"
    ) + "".join(f"\nnote: {plain(note, SENTENCE_LETTERS)}" for note in notes_of(data))


def _what_is_planned(ladder: Ladder) -> str:
    record = ladder.record
    what = f"{len(record.cells)} trainings on {plain(record.data.name)}"
    if record.budget_seconds is not None:
        return f"up to {what} within {about(record.budget_seconds)}"
    return what if record.expected_seconds is None else f"{what}, about {about(record.expected_seconds)}"


@contextmanager
def _live(out: Console) -> Iterator[Listener]:
    """Redraw the table on the terminal while it fills."""
    from rich.console import Group, RenderableType
    from rich.live import Live

    from modelzero.results.words import rung_table

    began = time.monotonic()
    latest: list[RenderableType] = ["preparing"]

    def listen(ladder: Ladder) -> None:
        latest[:] = [_headline(ladder), _what_is_planned(ladder), "", rung_table(ladder.findings)]

    def drawing() -> RenderableType:
        return Group(*latest, f"\n{time.monotonic() - began:.0f} s, Ctrl-C stops and shows the results so far")

    with Live(
        get_renderable=drawing, console=out, refresh_per_second=_REFRESHES_PER_SECOND, transient=True, screen=False
    ):
        yield listen


@contextmanager
def _lines() -> Iterator[Listener]:
    """Print a line for each training when it ends."""
    from modelzero.runs.record import NOT_NEEDED

    known: set[tuple[str, int]] = set()

    def listen(ladder: Ladder) -> None:
        cells = ladder.record.cells
        if not known:
            print(_what_is_planned(ladder), file=sys.stderr)
            known.add(("", 0))
        for cell in cells:
            key = (cell.rung, cell.seed)
            if cell.status == "planned" or key in known:
                continue
            known.add(key)
            name = f"{plain(cell.rung, NAME_LETTERS)} seed {cell.seed}"
            run = next((run for run in ladder.runs if run.id == cell.run), None)
            result = (
                plain(str(cell.why) if cell.status != NOT_NEEDED else f"not needed: {cell.why}", SENTENCE_LETTERS)
                if run is None or run.kept is None
                else f"{run.kept.test_accuracy:.2%} in {run.train_seconds:.1f} s"
            )
            if run is not None and run.learned is False:
                result += ", did not learn"
            print(f"[{len(known) - 1}/{len(cells)}] {name}: {result}", file=sys.stderr)

    yield listen
