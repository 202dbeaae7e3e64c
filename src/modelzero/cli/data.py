"""`modelzero data`: what is in a set of pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

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
    data_dir: DataDir = None,
    json: Json = False,
) -> None:
    """Show a data set: source, shapes, pictures of each class, fingerprint."""
    from modelzero import load

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
    counts = pictures.counts()
    if picture is not None:
        from modelzero.report.grid import sample_grid, save_picture

        save_picture(sample_grid(pictures), picture)
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
                "classes": [{"name": name, "train": train, "test": test} for name, train, test in counts],
                "picture": None if picture is None else str(picture),
            }
        )
        return
    from rich.table import Table

    out = console()
    channels, height, width = pictures.image_shape
    out.print(f"name         {pictures.name}")
    out.print(f"source       {pictures.source}")
    out.print(f"pictures     {len(pictures.train):,} to train on, {len(pictures.test):,} to test on")
    out.print(f"each         {channels} x {height} x {width} (channels, height, width), 8 bit")
    out.print(f"fingerprint  {pictures.fingerprint}")
    table = Table("label", "class", box=None, pad_edge=False)
    table.add_column("train", justify="right")
    table.add_column("test", justify="right")
    for label, (name, train, test) in enumerate(counts):
        table.add_row(str(label), name, f"{train:,}", f"{test:,}")
    out.print()
    out.print(table)
    if picture is not None:
        out.print(f"\nsamples drawn into {picture}")
