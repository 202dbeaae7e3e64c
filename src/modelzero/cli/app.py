"""What the commands share: the app, the options that several take, and how errors and JSON are printed."""

from __future__ import annotations

import contextlib
import errno
import functools
import io
import json
import os
import shlex
import signal
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ParamSpec

import typer

from modelzero._version import __version__
from modelzero.errors import InputError, ModelZeroError, RunError, SettingError, TrainingError, counted, quoted
from modelzero.signals import SIGNALS, exit_code, raised
from modelzero.text import plain

if TYPE_CHECKING:
    from rich.console import Console

_P = ParamSpec("_P")

NAME_LETTERS = 24  # of a name in a table or a headline; --json has it whole
SENTENCE_LETTERS = 400
_WIDTH = 200  # where there is no terminal; no table is made wider than what it holds

app = typer.Typer(
    name="modelzero",
    help="Honest, fast, recorded baselines for image classification.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _version(value: bool) -> None:
    if value:
        print(f"modelzero {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Honest, fast, recorded baselines for image classification."""


_DATA_HELP = (
    "A name such as fashion-mnist or digits; a folder with a folder of images for each class; IDX, .npz, "
    ".npy, CSV or Parquet files; or a zip or tar of class folders."
)
Data = Annotated[str, typer.Argument(help=_DATA_HELP)]
DataOrNone = Annotated[str | None, typer.Argument(help=_DATA_HELP, show_default=False)]
DataDir = Annotated[Path | None, typer.Option(help="Look here first for named sets (or set MODELZERO_DATA).")]
Format = Annotated[
    str | None,
    typer.Option(
        "--format",
        help="folder, idx, npz, npy, csv, parquet or archive.  [default: chosen by looking]",
        show_default=False,
    ),
]
Size = Annotated[
    str | None,
    typer.Option(help="Bring images to this height x width, such as 64 or 48x64.  [default: from the sizes found]"),
]
Fit = Annotated[str, typer.Option(help="pad: fit the longer side and pad; crop: fit the shorter side and cut.")]
TestShare = Annotated[
    float, typer.Option(help="Fraction of each class that is drawn as the test split where the source has none.")
]
SplitSeed = Annotated[int, typer.Option(help="What the draws of that split and of --share follow from.")]
Group = Annotated[
    str | None,
    typer.Option(help="Keep together what a column of the table, or a pattern on the images' names, says."),
]
Share = Annotated[float, typer.Option(help="Fraction of the training split to use, of each class.")]
AllowUnreadable = Annotated[
    bool, typer.Option("--allow-unreadable", help="Go on though more than 1 % of the images cannot be read.")
]
RunsDir = Annotated[Path, typer.Option(help="The folder that holds the folders of runs.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else on standard output.")]
Epochs = Annotated[
    int | None, typer.Option(help="How often to go through the training split.  [default: as the model's recipe says]")
]
BatchSize = Annotated[int | None, typer.Option(help="Images in one step.  [default: as the model's recipe says]")]
LearningRate = Annotated[float | None, typer.Option(help="Step size.  [default: as the model's recipe says]")]
Seed = Annotated[int, typer.Option(help="What weights and batch order follow from.")]
CheckpointEvery = Annotated[
    str, typer.Option(help="Time between two checkpoints of a long training, such as 60s or 5m.", metavar="TIME")
]
TakeOver = Annotated[
    bool,
    typer.Option(
        "--take-over", help="With --resume: go on with what another host wrote, which you know to have ended."
    ),
]
HiddenUnits = Annotated[int, typer.Option(help="Width of the chapter's models.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or mps; auto takes what a short trial finds faster.")]
Threads = Annotated[
    int | None, typer.Option(help="Threads on the CPU.  [default: 1 for small models, else one for each core]")
]


def command(function: Callable[_P, None]) -> Callable[_P, None]:
    """Turn errors that the user can mend into one line and an exit code, never into a traceback."""

    @functools.wraps(function)
    def guarded(*args: _P.args, **kwargs: _P.kwargs) -> None:
        # Names of files may be no text that the terminal's encoding can show.
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="backslashreplace")
        try:
            with raised(*SIGNALS):
                function(*args, **kwargs)
            sys.stdout.flush()
        except ModelZeroError as error:
            # One line of visible characters, whatever a path or somebody's exception put into it.
            print("error: " + plain(str(error), most=None), file=sys.stderr)
            began = isinstance(error, TrainingError) or not isinstance(error, InputError)
            raise typer.Exit(1 if began else 2) from None
        except KeyboardInterrupt as interrupt:
            for number in SIGNALS:  # it ends now; another one would only print a traceback
                signal.signal(number, signal.SIG_IGN)
            # Other commands train too, `replay` in a folder that is gone by now.
            folder = getattr(interrupt, "folder", None) if function.__name__ in ("train", "climb") else None
            how = f"; to go on: modelzero {function.__name__} --resume {shlex.quote(str(folder))}" if folder else ""
            print("interrupted" + plain(how, None), file=sys.stderr)
            raise typer.Exit(exit_code(interrupt)) from None
        except MemoryError:
            print("error: out of memory: needed are fewer or smaller images, or more of it", file=sys.stderr)
            raise typer.Exit(1) from None
        except BrokenPipeError:  # the reader, such as `head`, has seen enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(1) from None
        except OSError as error:
            if error.filename is not None or error.errno not in (errno.ENOSPC, errno.EIO, errno.EFBIG, errno.EDQUOT):
                raise
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is left of it cannot be told
            print(f"error: standard output cannot be written ({error.strerror}): make room for it", file=sys.stderr)
            raise typer.Exit(1) from None

    return guarded


def refuse_beside(context: typer.Context, option: str, allowed: set[str]) -> None:
    """Refuse what was given on the command line beside an option that settles everything else."""
    given = [
        parameter.opts[-1] if parameter.param_type_name == "option" else (parameter.name or "").upper()
        for parameter in context.command.params
        if parameter.name not in {*allowed, option.strip("-")} and is_given(context, parameter.name or "")
    ]
    if given:
        raise SettingError(f"{', '.join(given)} beside {option}: the record has all that; leave it out")


def refuse_without_resume(take_over: bool) -> None:
    """Raise SettingError for --take-over where nothing is taken over."""
    if take_over:
        raise SettingError(
            "--take-over without --resume: nothing is taken over; give the folder to go on in, or leave it"
        )


def notes_of(described: Mapping[str, Any]) -> list[str]:
    """Return what a record of a run, or of a ladder, notes of its data; what could not be read is counted."""
    notes = list(described.get("notes", []))
    if count := described.get("left_out"):
        notes.append(f"{counted(count, 'image')} could not be read and left out: 'modelzero data' names them")
    return notes


def in_groups(described: Mapping[str, Any]) -> str:
    """Say in how many groups the test images of a record are; empty where they are independent.

    >>> in_groups({"groups": {"by": "column patient", "train": 90, "test": 10, "validation": None}}), in_groups({})
    (' in 10 groups (column patient)', '')
    """
    groups = described.get("groups") or {}
    if not groups.get("test"):
        return ""
    return f" in {counted(groups['test'], 'group')} ({plain(str(groups['by']), NAME_LETTERS)})"


def folder_of(name: str | Path, runs_dir: Path) -> Path:
    """Return the folder of a run or a ladder that was given by its id, or as a folder.

    Raises:
        RunError: there is none.
    """
    for path in (Path(name), runs_dir / name):
        with contextlib.suppress(OSError, ValueError):  # too long, or with a null byte
            if str(name) and path.is_dir():
                return path
    raise RunError(
        f"no run {quoted(str(name), 200)}, neither as a folder nor in {runs_dir}: 'modelzero runs' lists them"
    )


def is_given(context: typer.Context, name: str) -> bool:
    """Tell whether an option is on the command line, not taken by default."""
    return getattr(context.get_parameter_source(name), "name", "") == "COMMANDLINE"


def console() -> Console:
    """Return the console for standard output; wide enough for the tables where it is no terminal."""
    from rich.console import Console

    terminal = sys.stdout.isatty()
    return Console(
        width=None if terminal else _WIDTH, highlight=False, emoji=False, markup=False, soft_wrap=not terminal
    )


def print_json(value: object) -> None:
    """Print one JSON document on standard output."""
    from modelzero.io.json import to_json

    text = to_json(value)
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:  # JSON has an escape of its own for what the terminal's encoding lacks
        text = json.dumps(json.loads(text), indent=2)
    print(text)


def percent(share: float) -> str:
    """Show a fraction as a percentage with two decimals."""
    return f"{100 * share:.2f} %"


def interval(low: float, high: float) -> str:
    """Show an interval of fractions in percent."""
    return f"{100 * low:.2f} to {100 * high:.2f} %"
