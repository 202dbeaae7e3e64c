"""What the commands share: the app, common options, and printing of errors and JSON."""

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
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from modelzero._version import __version__
from modelzero.cli.options import expanded
from modelzero.errors import InputError, ModelZeroError, RunError, SettingError, TrainingError, counted, quoted
from modelzero.io.cores import CoreUse, available_cores
from modelzero.signals import SIGNALS, Interruption, exit_code, raised
from modelzero.text import plain

if TYPE_CHECKING:
    from rich.console import Console

    from modelzero.data.description import DataDescription
    from modelzero.runs.record import RunRecord

NAME_LETTERS = 24  # of a name in a table or a headline; --json has it whole
SENTENCE_LETTERS = 400
_BUSY = 0.5  # cores used by other programs from which a command says so
_WIDTH = 200  # without a terminal; tables are no wider than their content

# Threads that wait for each other would otherwise spin for milliseconds: beside other programs a training then takes
# many times as long (see `default_threads`). To be set before torch is imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

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


def command(function: Callable[..., None]) -> Callable[..., None]:
    """Expand the options of a command, and turn errors into one line and an exit code, without a traceback."""
    function = expanded(function)

    @functools.wraps(function)
    def guarded(**kwargs: Any) -> None:
        # The terminal's encoding may lack characters of file names.
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="backslashreplace")
        try:
            with raised(*SIGNALS):
                function(**kwargs)
            sys.stdout.flush()
        except ModelZeroError as error:
            # One line of visible characters, even for odd paths and exceptions of other code.
            print("error: " + plain(str(error), most=None), file=sys.stderr)
            began = isinstance(error, TrainingError) or not isinstance(error, InputError)
            raise typer.Exit(1 if began else 2) from None
        except KeyboardInterrupt as interrupt:
            for number in SIGNALS:  # ending now: another signal would only print a traceback
                signal.signal(number, signal.SIG_IGN)
            # Other commands train too, but `replay` in a temporary folder.
            named = function.__name__ in ("train", "climb")
            folder = interrupt.folder if named and isinstance(interrupt, Interruption) else None
            how = f"; resume with: modelzero {function.__name__} --resume {shlex.quote(str(folder))}" if folder else ""
            print("interrupted" + plain(how, None), file=sys.stderr)
            raise typer.Exit(exit_code(interrupt)) from None
        except MemoryError:
            print("error: out of memory: use fewer or smaller images (--share, --size)", file=sys.stderr)
            raise typer.Exit(1) from None
        except BrokenPipeError:  # the reader, such as `head`, has closed the pipe
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(1) from None
        except OSError as error:
            if error.filename is not None or error.errno not in (errno.ENOSPC, errno.EIO, errno.EFBIG, errno.EDQUOT):
                raise
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # discard the rest
            print(f"error: cannot write to standard output ({error.strerror}): free some disk space", file=sys.stderr)
            raise typer.Exit(1) from None

    return guarded


def load_and_look(load: Callable[[], Any], use: CoreUse) -> Any:
    """Load the data; then say, to who watches the terminal, if other programs keep the machine busy.

    Args:
        load: loads the data.
        use: created when the command began.
    """
    data = load()
    others = use.by_others() if sys.stderr.isatty() else None
    if others is not None and others >= _BUSY:
        cores = available_cores()
        print(
            f"note: other programs use about {others:.1f} of {counted(cores, 'core')}; times will be longer than on an "
            "idle machine",
            file=sys.stderr,
        )
    return data


def refuse_beside(context: typer.Context, option: str, allowed: set[str]) -> None:
    """Refuse arguments that were given beside an option that determines them all."""
    given = [
        parameter.opts[-1] if parameter.param_type_name == "option" else (parameter.name or "").upper()
        for parameter in context.command.params
        if parameter.name not in {*allowed, option.strip("-")} and is_given(context, parameter.name or "")
    ]
    if given:
        raise SettingError(f"{', '.join(given)} with {option}: these settings are in the record; leave them out")


def refuse_without_resume(take_over: bool) -> None:
    """Raise SettingError for --take-over where nothing is taken over."""
    if take_over:
        raise SettingError(
            "--take-over without --resume: give the folder of the run with --resume, or leave --take-over out"
        )


def notes_of(described: DataDescription) -> list[str]:
    """Return the notes on the data in the record of a run or ladder, with the number of unreadable images."""
    notes = list(described.notes)
    if described.left_out:
        notes.append(f"{counted(described.left_out, 'unreadable image')} skipped: 'modelzero data' lists them")
    return notes


def in_groups(described: DataDescription) -> str:
    """Describe the groups of the test images of a record; empty if they are independent."""
    groups = described.groups
    if groups is None or not groups.test:
        return ""
    return f" in {counted(groups.test, 'group')} ({plain(str(groups.by), NAME_LETTERS)})"


def folder_of(name: str | Path, runs_dir: Path) -> Path:
    """Return the folder of a run or ladder, which is given by its id or folder.

    Raises:
        RunError: there is no such run.
    """
    for path in (Path(name), runs_dir / name):
        with contextlib.suppress(OSError, ValueError):  # too long, or with a null byte
            if str(name) and path.is_dir():
                return path
    raise RunError(
        f"no run {quoted(str(name), 200)}, neither as a folder nor in {runs_dir}: 'modelzero runs' lists them"
    )


def is_given(context: typer.Context, name: str) -> bool:
    """Return whether an option was given on the command line."""
    return getattr(context.get_parameter_source(name), "name", "") == "COMMANDLINE"


def console() -> Console:
    """Return the console for standard output; wide enough for the tables if it is no terminal."""
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
    except UnicodeEncodeError:  # JSON can escape what the terminal's encoding lacks
        text = json.dumps(json.loads(text), indent=2)
    print(text)


def print_record(record: RunRecord) -> None:
    """Print the record of a run as its `run.json` has it."""
    from modelzero.runs.seal import sealed

    print_json(sealed(record.as_dict())[0])
