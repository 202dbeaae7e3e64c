"""`modelzero data`: what is in a set of images."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from modelzero.cli.app import (
    AllowUnreadable,
    Data,
    DataDir,
    Fit,
    Format,
    Group,
    Json,
    Share,
    Size,
    SplitSeed,
    TestShare,
    command,
    console,
    print_json,
)
from modelzero.errors import counted
from modelzero.text import plain

if TYPE_CHECKING:
    from modelzero.data.auditing.audit import Audit

_MOST_CLASSES = 200  # rows of the table; --json has all
_MOST_LETTERS = 500  # of a sentence of the audit; a pattern for --group must not be cut
_NAME_LETTERS = 60
_MOST_FILES = 20  # that could not be read


@command
def data(
    data: Data,
    picture: Annotated[Path | None, typer.Option(help="Also draw a labelled grid of samples into this file.")] = None,
    format_: Format = None,
    size: Size = None,
    fit: Fit = "pad",
    test_share: TestShare = 0.2,
    split_seed: SplitSeed = 0,
    group: Group = None,
    share: Share = 1.0,
    allow_unreadable: AllowUnreadable = False,
    pairs: Annotated[
        Path | None, typer.Option(help="Also draw the test images that were seen in training into this file.")
    ] = None,
    near: Annotated[
        bool, typer.Option(help="Search for near duplicates; it takes long on several 100,000 images.")
    ] = True,
    data_dir: DataDir = None,
    json: Json = False,
) -> None:
    """Show a data set: source, shapes, images of each class, fingerprint, and what could make a result wrong."""
    from modelzero import audit, load
    from modelzero.report.grid import check_picture_path, sample_grid, save_picture

    for path in (picture, pairs):
        if path is not None:
            check_picture_path(path)
    pictures = load(
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
    if picture is not None:
        save_picture(sample_grid(pictures), picture)
    found = audit(pictures, near=near)
    if pairs is not None and found.leaked:
        from modelzero.report.pairs import pair_sheet

        save_picture(pair_sheet(found), pairs)
    drawn = pairs if found.leaked else None
    if json:
        print_json(
            {
                "format": 1,
                "name": pictures.name,
                "source": pictures.source,
                "fingerprint": pictures.fingerprint,
                "image_shape": list(pictures.image_shape),
                "train_images": len(pictures.train),
                "test_images": len(pictures.test),
                "groups": pictures.description().get("groups"),
                "classes": [{"name": name, "train": train, "test": test} for name, train, test in pictures.counts()],
                "picture": None if picture is None else str(picture),
                "pairs": None if drawn is None else str(drawn),
                "audit": found.as_dict(),
            }
        )
        return
    _show(found)
    if picture is not None:
        console().print(f"\nsamples drawn into {plain(str(picture), None)}")
    if pairs is not None:
        none = "no test image was found in training: nothing to draw"
        console().print(none if drawn is None else f"\npairs drawn into {plain(str(drawn), None)}")


def _show(found: Audit) -> None:
    """Print the set, its counts and the audit."""
    from rich.table import Table

    out = console()
    pictures = found.data
    channels, height, width = pictures.image_shape
    out.print(f"name         {plain(pictures.name)}")
    out.print(f"source       {plain(pictures.source, _MOST_LETTERS)}")
    groups = pictures.test.group_count
    grouped = "" if groups is None else f" in {counted(groups, 'group')}"
    out.print(f"images       {len(pictures.train):,} to train on, {len(pictures.test):,} to test on{grouped}")
    out.print(f"each         {channels} x {height} x {width} (channels, height, width), 8 bit")
    out.print(f"fingerprint  {pictures.fingerprint}")
    table = Table("label", "class", box=None, pad_edge=False)
    for split in found.counts:
        table.add_column(split, justify="right")
    rows = zip(pictures.classes, *found.counts.values(), strict=True)
    for label, (name, *counts) in enumerate(rows):
        if label == _MOST_CLASSES:
            break
        table.add_row(str(label), plain(name, _NAME_LETTERS), *(f"{count:,}" for count in counts))
    out.print()
    out.print(table)
    if len(pictures.classes) > _MOST_CLASSES:
        out.print(f"... and {len(pictures.classes) - _MOST_CLASSES:,} classes more (--json lists all)")
    out.print(f"\naudit ({found.seconds:.1f} s)")
    for sentence in found.sentences() or ["Nothing was found that could make a result wrong."]:
        out.print(f"- {plain(sentence, _MOST_LETTERS)}")
    for name, reason in pictures.left_out[:_MOST_FILES]:
        out.print(f"  {plain(name, _NAME_LETTERS)}: {plain(reason, _MOST_LETTERS)}")
    if len(pictures.left_out) > _MOST_FILES:
        out.print(f"  ... and {len(pictures.left_out) - _MOST_FILES:,} files more")
