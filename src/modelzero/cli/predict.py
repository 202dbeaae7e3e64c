"""`modelzero predict`: predict the classes of new images."""

from __future__ import annotations

import itertools
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, Any

import typer

from modelzero.cli.app import command, console, folder_of, print_json
from modelzero.cli.options import Json, OwnModel, RunsDir
from modelzero.errors import DataError, RunError, SettingError, check_count, counted
from modelzero.io.atomic import check_writable, replacing

if TYPE_CHECKING:
    from modelzero.runs.run import Run

_ENDINGS = (".csv", ".txt", ".tsv")
_MOST_LETTERS = 300  # of the name of a skipped image


@command
def predict(
    run: Annotated[str, typer.Argument(help="Id or folder of a finished run.")],
    images_or_folders: Annotated[
        list[str],
        typer.Argument(help="Image files, folders of them, or - for names on standard input, one per line."),
    ],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write the CSV to this file.  [default: standard output]")
    ] = None,
    top: Annotated[int, typer.Option(help="Number of classes for each image, the most probable first.")] = 1,
    model: OwnModel = None,
    trust: Annotated[
        list[str] | None,
        typer.Option(
            help="A type of your own in a stored scikit-learn classifier, such as mine.Blur; can be repeated."
        ),
    ] = None,
    runs_dir: RunsDir = Path("runs"),
    json: Json = False,
) -> None:
    """Predict the classes of images, with calibrated probabilities. Unreadable files are listed (exit code 1)."""
    check_count("top", top)
    if output is not None:
        check_writable(output, _ENDINGS)
    found = find_run(run, runs_dir).using(model, trust or ())

    from modelzero.text import plain
    from modelzero.using.files import Decoder, Preprocessing
    from modelzero.using.predict import Predictor
    from modelzero.using.table import as_dicts, header, most_probable, write_rows

    files = _files(images_or_folders)
    predictor = Predictor.of(found)
    top = min(top, len(predictor.classes))
    document: list[dict[str, Any]] = []
    left_out: list[tuple[str, str]] = []
    count = 0
    shown = partial(plain, most=_MOST_LETTERS) if output is None and sys.stdout.isatty() else str
    # If nothing is predicted, an existing file stays.
    with suppress(_NothingError), Decoder(Preprocessing.of(found.record.data)) as decoder, _csv(output, json) as csv:
        if csv is not None:
            print(",".join(header(top)), file=csv)
        for paths in _blocks(files, decoder.at_once):
            images, kept, bad = decoder.decode(paths)
            for name, why in bad:
                print(f"skipped: {plain(name, _MOST_LETTERS)}: {why}", file=sys.stderr)
            left_out += bad
            if not kept:
                continue
            ranked = most_probable(predictor.probabilities(_tensor(images)), predictor.classes, top)
            names = [paths[place] for place in kept]
            count += len(names)
            if csv is not None:
                said = [[(shown(each), value) for each, value in row] for row in ranked]
                write_rows(csv, [shown(name) for name in names], said)
            if json:
                document += as_dicts(names, ranked)
        if not count and not left_out:
            raise DataError("no images: standard input is empty; expected one name per line")
        if not count:
            raise _NothingError
    if json:
        print_json(
            {
                "format": 1,
                "run": found.id,
                "model": found.record.model,
                "data": {"name": found.record.data.name, "fingerprint": found.record.data.fingerprint},
                "classes": list(predictor.classes),
                "temperature": predictor.temperature,
                "pictures": document,
                "left_out": [{"picture": name, "why": why} for name, why in left_out],
            }
        )
    elif output is not None and count:
        console().print(f"{counted(count, 'image')} predicted, written to {output}")
    elif output is not None:
        console().print("no image could be read, nothing written")
    if left_out:
        print(f"{len(left_out):,} of {counted(count + len(left_out), 'image')} skipped", file=sys.stderr)
        raise typer.Exit(1)


class _NothingError(Exception):
    """No image could be read."""


def find_run(name: str, runs_dir: Path) -> Run:
    """Read a run, which is given by its id or folder.

    Raises:
        RunError: there is no such run, or it is a ladder.
    """
    from modelzero.runs.record import LADDER_RECORD
    from modelzero.runs.run import Run

    path = folder_of(name, runs_dir)
    if (path / LADDER_RECORD).is_file():
        raise RunError(f"{path} is a ladder of several runs: expected a single run; 'modelzero runs' lists them")
    return Run.read(path)


def _files(given: Sequence[str]) -> Iterator[str]:
    """Yield the images; list folders first, so that a wrong one is reported before anything is computed."""
    from modelzero.using.files import find_images

    listed = {name: list(find_images([name])) for name in given if name != "-"}
    return itertools.chain.from_iterable(
        find_images(_lines(), skip_errors=True) if name == "-" else listed[name] for name in given
    )


def _lines() -> Iterator[str]:
    for line in sys.stdin.buffer:
        if name := os.fsdecode(line.rstrip(b"\r\n")):
            yield name


def _blocks(names: Iterator[str], at_once: int) -> Iterator[list[str]]:
    while block := list(itertools.islice(names, at_once)):
        yield block


@contextmanager
def _csv(output: Path | None, json: bool) -> Iterator[IO[str] | None]:
    """Open the output for the CSV: a file, which is replaced at the end, or standard output; none for JSON."""
    if output is None:
        yield None if json else sys.stdout
        return
    try:
        # File names that are not UTF-8 are written as their bytes.
        with (
            replacing(output, _ENDINGS) as temporary,
            temporary.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file,
        ):
            yield file
    except BrokenPipeError:  # of standard error
        raise
    except OSError as error:
        raise SettingError(f"{output} cannot be written ({error.strerror}): choose another file") from None


def _tensor(images: Any) -> Any:
    import torch

    return torch.from_numpy(images)
