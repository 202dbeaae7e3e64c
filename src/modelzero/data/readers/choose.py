"""Read a path into `ImageData`: detect the format, then list, decode and split the images."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from modelzero.data.arrays import take
from modelzero.data.assemble import Samples, assemble, check
from modelzero.data.dataset import ImageData
from modelzero.data.options import LoadOptions
from modelzero.data.readers.archive import is_tar, is_zip, read_archive
from modelzero.data.readers.csv_table import looks_like_csv, read_csv
from modelzero.data.readers.folder import has_class_folders, read_folder
from modelzero.data.readers.listing import Listing
from modelzero.data.readers.npz import read_npy_folder, read_npz
from modelzero.data.readers.parquet import find_shards, names_files, read_parquet, read_shards
from modelzero.data.splits import groups_by_pattern
from modelzero.errors import DataError, SettingError

_OF_FOLDERS = ("folder", "npy")
# Settings that only apply to images in separate files.
OF_FILES = ("size", "fit", "allow_unreadable")
_ARRAYS = {"npz": read_npz, "npy": read_npy_folder}


def find_format(path: Path) -> str:
    """Detect the format of a folder or file from its content.

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
                f"{path} has folders of images and {'.npy' if kind == 'npy' else 'Parquet'} files: expected one "
                f"of them; choose one with --format folder or --format {kind}"
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
        return hints[path.suffix.casefold()]  # its reader reports what is wrong with it
    raise DataError(
        f"{path}: unrecognised file type: expected .npz, .csv, .parquet, a .zip or .tar of class folders, or a folder; "
        "or set --format"
    )


def read_path(path: Path, options: LoadOptions, *, progress: bool | None = None) -> ImageData:
    """Read the images of a folder or file in any format except IDX.

    Raises:
        DataError: the images cannot be read or split.
        SettingError: a setting does not apply to this format.
    """
    _check_regular(path)
    kind = options.format or find_format(path)
    if kind != "parquet" and path.is_dir() != (kind in _OF_FOLDERS):
        found = "a folder" if path.is_dir() else "a file"
        raise DataError(f"{path} is {found}: it cannot be read as {kind}; choose another --format")
    if kind in _ARRAYS:
        refuse(options.given(*OF_FILES, "group"), f"{path} ({kind})", "has images of one size")
        return _ARRAYS[kind](path, options)
    listings: dict[str, Callable[[], Listing]] = {
        "folder": lambda: read_folder(path),
        "archive": lambda: read_archive(path),
        "csv": lambda: read_csv(path, group=options.group),
        "parquet": lambda: (
            read_shards(path, group=options.group) if path.is_dir() else read_parquet(path, group=options.group)
        ),
    }
    return decode_and_split(listings[kind](), options, progress=progress)


def _holds_arrays(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name in ("images.npy", "x_train.npy", "train_images.npy") for name in archive.namelist())
    except Exception:  # damaged: the archive reader reports how
        return False


def _check_regular(path: Path) -> None:
    """Refuse pipes and devices, which may block or be endless."""
    if not (path.is_dir() or path.is_file()):
        raise DataError(f"{path} is neither a folder nor a regular file: expected one of them")


def decode_and_split(listing: Listing, options: LoadOptions, *, progress: bool | None = None) -> ImageData:
    """Decode the images of a listing and split them.

    Raises:
        DataError: classes that cannot be split (checked before anything is decoded), or too many unreadable images.
    """
    from modelzero.data.decoding.store import decode_items

    samples = _samples(listing, options)
    try:
        check(samples, options)
        decoded = decode_items(
            listing.items,
            size=options.size,
            fit=options.fit,
            allow_unreadable=options.allow_unreadable,
            progress=progress,
        )
        return assemble(
            listing.name,
            listing.source,
            samples if len(decoded.kept) == len(listing.items) else samples.take(decoded.kept),
            _picker(decoded.images),
            options,
            notes=(*listing.notes, *decoded.notes),
            left_out=decoded.unreadable,
        )
    except DataError as error:
        raise DataError(f"{listing.source}: {error}") from None


def refuse(settings: list[str], what: str, why: str) -> None:
    """Refuse settings that do not apply to a source.

    Raises:
        SettingError: there are any; it names them.
    """
    if settings:
        flags = ", ".join(LoadOptions.flag(name) for name in settings)
        raise SettingError(f"{flags}: {what} {why}, so this does not apply; leave it out")


def _samples(listing: Listing, options: LoadOptions) -> Samples:
    number = {name: label for label, name in enumerate(listing.classes)}
    names = [item.name for item in listing.items]
    samples = Samples(
        listing.classes,
        np.array([number[item.label] for item in listing.items], np.int64),
        [item.split for item in listing.items],
        names=names,
    )
    groups = [item.group for item in listing.items if item.group is not None]
    if len(groups) == len(names):
        by = f"column {options.group or 'group'}"
    elif options.group is not None:
        groups, by = groups_by_pattern(names, options.group), f"pattern {options.group}"
    else:
        return samples
    return replace(samples, groups=groups, grouped_by=by, strict=options.group is not None)


def _picker(images: NDArray[np.uint8]) -> Callable[[NDArray[np.int64]], torch.Tensor]:
    """Return a function that picks images by position: views of the mapped file if contiguous, otherwise copies."""
    if not images.flags.writeable:  # torch has no read-only tensors
        return lambda places: torch.from_numpy(np.ascontiguousarray(images[places]))
    whole = torch.from_numpy(images)
    return lambda places: take(whole, places)
