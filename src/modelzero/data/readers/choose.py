"""From a path to `ImageData`: which reader fits, chosen by looking; then decode and split."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from modelzero.data.arrays import take
from modelzero.data.assemble import Sides, assemble, check
from modelzero.data.dataset import ImageData
from modelzero.data.readers.archive import is_tar, is_zip, read_archive
from modelzero.data.readers.csv_table import looks_like_csv, read_csv
from modelzero.data.readers.folder import has_class_folders, read_folder
from modelzero.data.readers.listing import Listing
from modelzero.data.readers.npz import read_npy_folder, read_npz
from modelzero.data.readers.parquet import find_shards, names_files, read_parquet, read_shards
from modelzero.data.splits import Rule, groups_by_pattern
from modelzero.errors import DataError, SettingError, nearest

FORMATS = ("folder", "idx", "npz", "npy", "csv", "parquet", "archive")
FITS = ("pad", "crop")
_MOST_PIXELS = 4096
_OF_FOLDERS = ("folder", "npy")
_ARRAYS = {"npz": read_npz, "npy": read_npy_folder}


@dataclass(frozen=True)
class Reading:
    """What can be said on how to read images.

    Args:
        format: one of `FORMATS`; None looks.
        size: height and width that images are brought to; None takes it from the sizes found.
        fit: `pad` or `crop`.
        rule: how splits are drawn.
        allow_unreadable: go on however many images cannot be read.

    Raises:
        SettingError: a word or number outside its range.
    """

    format: str | None = None
    size: tuple[int, int] | None = None
    fit: str = "pad"
    rule: Rule = field(default_factory=Rule)
    allow_unreadable: bool = False

    def __post_init__(self) -> None:
        if self.format is not None and self.format not in FORMATS:
            raise SettingError(f"unknown format {str(self.format)[:40]!r}: {nearest(str(self.format), FORMATS)}")
        if self.fit not in FITS:
            raise SettingError(f"fit {str(self.fit)[:40]!r}: needed is 'pad' or 'crop'")

    def needless(self) -> list[str]:
        """Name the settings that only images in files of their own can follow."""
        given = {
            "size": self.size is not None,
            "fit": self.fit != Reading.fit,
            "allow_unreadable": self.allow_unreadable,
        }
        return [name for name, is_given in given.items() if is_given]


def parse_size(size: object) -> tuple[int, int] | None:
    """Return height and width of a size: 64, (48, 64), "64" or "48x64".

    >>> parse_size("48x64"), parse_size(64)
    ((48, 64), (64, 64))

    Raises:
        SettingError: anything else.
    """
    if size is None:
        return None
    sides: Any = size
    if isinstance(size, str):
        found = re.fullmatch(r"([0-9]{1,6})(?:x([0-9]{1,6}))?", size.strip())
        sides = [int(side) for side in (found[1], found[2] or found[1])] if found else size
    elif hasattr(size, "__index__"):
        sides = (size, size)
    whole = isinstance(sides, list | tuple) and len(sides) == 2 and all(hasattr(each, "__index__") for each in sides)
    if not whole or any(isinstance(each, bool) or not 1 <= each <= _MOST_PIXELS for each in sides):
        raise SettingError(
            f"size {repr(size)[:40]}: needed is a number of pixels from 1 to {_MOST_PIXELS}, or height x width, such "
            "as 64 or 48x64"
        )
    return int(sides[0]), int(sides[1])


def find_format(path: Path) -> str:
    """Choose the reader of a folder or file by looking into it.

    Raises:
        DataError: no reader fits.
    """
    if path.is_dir():
        if any((path / name).is_file() for name in ("images.npy", "labels.npy", "x_train.npy", "train_images.npy")):
            kind = "npy"
        elif shards := find_shards(path):
            kind = "parquet"
            if names_files(shards[0]):  # the images in the folders are its own
                return kind
        else:
            return "folder"
        if has_class_folders(path):
            raise DataError(
                f"{path} has folders of images and {'.npy' if kind == 'npy' else 'Parquet'} files: needed is one of "
                f"them; --format folder or --format {kind} says which"
            )
        return kind
    with path.open("rb") as file:
        start = file.read(8)
    if is_zip(path):
        return "npz" if path.suffix.casefold() == ".npz" or _holds_arrays(path) else "archive"
    if start.startswith(b"PAR1"):
        return "parquet"
    if is_tar(path):
        return "archive"
    if path.suffix.casefold() in (".csv", ".tsv") or looks_like_csv(path):
        return "csv"
    hints = {".npz": "npz", ".parquet": "parquet", ".zip": "archive", ".tar": "archive", ".tgz": "archive"}
    if path.suffix.casefold() in hints:
        return hints[path.suffix.casefold()]  # its reader says what is wrong with it
    raise DataError(
        f"{path} is a file of no known kind: needed is an .npz, a .csv, a .parquet, a .zip or .tar of class folders, "
        "or a folder; --format says which where it cannot be seen"
    )


def read_path(path: Path, reading: Reading, *, progress: bool | None = None) -> ImageData:
    """Read the images of a folder or file, of any format but IDX.

    Raises:
        DataError: what cannot be read, or cannot be split.
        SettingError: a setting that this format cannot follow.
    """
    _check_regular(path)
    kind = reading.format or find_format(path)
    rule = reading.rule
    if kind != "parquet" and path.is_dir() != (kind in _OF_FOLDERS):
        raise DataError(f"{path} is {'a folder' if path.is_dir() else 'a file'}: it cannot be read as {kind}")
    if kind in _ARRAYS:
        refuse(reading.needless() + ["group"] * (rule.group is not None), f"{path} ({kind})", "has images of one size")
        return _ARRAYS[kind](path, rule)
    listings: dict[str, Callable[[], Listing]] = {
        "folder": lambda: read_folder(path),
        "archive": lambda: read_archive(path),
        "csv": lambda: read_csv(path, group=rule.group),
        "parquet": lambda: (
            read_shards(path, group=rule.group) if path.is_dir() else read_parquet(path, group=rule.group)
        ),
    }
    return decode_and_split(listings[kind](), reading, progress=progress)


def _holds_arrays(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name in ("images.npy", "x_train.npy", "train_images.npy") for name in archive.namelist())
    except Exception:  # damaged: the reader of archives says how
        return False


def _check_regular(path: Path) -> None:
    """Refuse pipes and devices, which may block or never end."""
    if not (path.is_dir() or path.is_file()):
        raise DataError(f"{path} is neither a folder nor a regular file: needed is one of them")


def decode_and_split(listing: Listing, reading: Reading, *, progress: bool | None = None) -> ImageData:
    """Decode the images of a listing and split them.

    Raises:
        DataError: classes that cannot be split (found before anything is decoded), or too many unreadable images.
    """
    from modelzero.data.decoding.store import decode_items

    sides = _sides(listing, reading.rule)
    try:
        check(sides, reading.rule)
        decoded = decode_items(
            listing.items,
            size=reading.size,
            fit=reading.fit,
            allow_unreadable=reading.allow_unreadable,
            progress=progress,
        )
        return assemble(
            listing.name,
            listing.source,
            sides if len(decoded.kept) == len(listing.items) else sides.take(decoded.kept),
            _picker(decoded.images),
            reading.rule,
            notes=(*listing.notes, *decoded.notes),
            left_out=decoded.unreadable,
        )
    except DataError as error:
        raise DataError(f"{listing.source}: {error}") from None


def refuse(settings: list[str], what: str, why: str) -> None:
    """Refuse settings that a source cannot follow.

    Raises:
        SettingError: names them.
    """
    if settings:
        flags = ", ".join(f"--{name.replace('_', '-')}" for name in settings)
        raise SettingError(f"{flags}: {what} {why} and takes none; leave it out")


def _sides(listing: Listing, rule: Rule) -> Sides:
    number = {name: label for label, name in enumerate(listing.classes)}
    names = [item.name for item in listing.items]
    sides = Sides(
        listing.classes,
        np.array([number[item.label] for item in listing.items], np.int64),
        [item.split for item in listing.items],
        names=names,
    )
    groups = [item.group for item in listing.items if item.group is not None]
    if len(groups) == len(names):
        by = f"column {rule.group or 'group'}"
    elif rule.group is not None:
        groups, by = groups_by_pattern(names, rule.group), f"pattern {rule.group}"
    else:
        return sides
    return replace(sides, groups=groups, grouped_by=by, strict=rule.group is not None)


def _picker(images: NDArray[np.uint8]) -> Callable[[NDArray[np.int64]], torch.Tensor]:
    """Give images by their places: views of the mapped file where they lie side by side, copies else."""
    if not images.flags.writeable:  # torch has no read-only tensors
        return lambda places: torch.from_numpy(np.ascontiguousarray(images[places]))
    whole = torch.from_numpy(images)
    return lambda places: take(whole, places)
