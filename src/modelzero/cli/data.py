"""`modelzero data`: show a dataset and audit it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from modelzero.cli.app import command, console, print_json
from modelzero.cli.options import Data, Json
from modelzero.data.options import LoadOptions
from modelzero.errors import counted
from modelzero.text import plain

if TYPE_CHECKING:
    from modelzero.data.auditing.audit import Audit

_MOST_CLASSES = 200  # rows of the table; --json has all
_MOST_LETTERS = 500  # of a sentence of the audit; a pattern for --group must not be cut
_NAME_LETTERS = 60
_MOST_FILES = 20  # unreadable ones


@command
def data(
    data: Data,
    picture: Annotated[Path | None, typer.Option(help="Also draw a labelled grid of samples to this file.")] = None,
    load: LoadOptions = LoadOptions(),  # noqa: B008 - each field is an option of its own
    pairs: Annotated[
        Path | None,
        typer.Option(help="Also draw the leaked test images, beside their training images, to this file."),
    ] = None,
    near: Annotated[bool, typer.Option(help="Search for near duplicates; slow for several 100,000 images.")] = True,
    json: Json = False,
) -> None:
    """Show a dataset: source, shapes, images per class, fingerprint, and what could make results wrong."""
    from modelzero import audit
    from modelzero.data.load import load_with
    from modelzero.reporting.grid import check_picture_path, sample_grid, save_picture

    for path in (picture, pairs):
        if path is not None:
            check_picture_path(path)
    images = load_with(data, load)
    if picture is not None:
        save_picture(sample_grid(images), picture)
    found = audit(images, near=near)
    if pairs is not None and found.leaked:
        from modelzero.reporting.pairs import pair_sheet

        save_picture(pair_sheet(found), pairs)
    drawn = pairs if found.leaked else None
    if json:
        print_json(
            {
                "format": 1,
                "name": images.name,
                "source": images.source,
                "fingerprint": images.fingerprint,
                "image_shape": list(images.image_shape),
                "train_images": len(images.train),
                "test_images": len(images.test),
                "groups": images.description.as_dict().get("groups"),
                "classes": [{"name": name, "train": train, "test": test} for name, train, test in images.counts()],
                "picture": None if picture is None else str(picture),
                "pairs": None if drawn is None else str(drawn),
                "audit": found.as_dict(),
            }
        )
        return
    _show(found)
    if picture is not None:
        console().print(f"\nsamples drawn to {plain(str(picture), None)}")
    if pairs is not None:
        none = "no test image is among the training images: nothing to draw"
        console().print(none if drawn is None else f"\npairs drawn to {plain(str(drawn), None)}")


def _show(found: Audit) -> None:
    """Print the set, its counts and the audit."""
    from rich.table import Table

    out = console()
    images = found.data
    channels, height, width = images.image_shape
    out.print(f"name         {plain(images.name)}")
    out.print(f"source       {plain(images.source, _MOST_LETTERS)}")
    groups = images.test.group_count
    grouped = "" if groups is None else f" in {counted(groups, 'group')}"
    out.print(f"images       {len(images.train):,} to train on, {len(images.test):,} to test on{grouped}")
    out.print(f"each         {channels} x {height} x {width} (channels, height, width), 8 bit")
    out.print(f"fingerprint  {images.fingerprint}")
    table = Table("label", "class", box=None, pad_edge=False)
    for split in found.counts:
        table.add_column(split, justify="right")
    rows = zip(images.classes, *found.counts.values(), strict=True)
    for label, (name, *counts) in enumerate(rows):
        if label == _MOST_CLASSES:
            break
        table.add_row(str(label), plain(name, _NAME_LETTERS), *(f"{count:,}" for count in counts))
    out.print()
    out.print(table)
    if len(images.classes) > _MOST_CLASSES:
        out.print(f"... and {len(images.classes) - _MOST_CLASSES:,} more classes (--json lists all)")
    out.print(f"\naudit ({found.seconds:.1f} s)")
    for sentence in found.sentences() or ["Nothing was found that could make a result wrong."]:
        out.print(f"- {plain(sentence, _MOST_LETTERS)}")
    for name, reason in images.left_out[:_MOST_FILES]:
        out.print(f"  {plain(name, _NAME_LETTERS)}: {plain(reason, _MOST_LETTERS)}")
    if len(images.left_out) > _MOST_FILES:
        out.print(f"  ... and {len(images.left_out) - _MOST_FILES:,} more files")
