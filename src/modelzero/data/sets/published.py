"""Named datasets: their published files, the checksums, and the functions that read them."""

from __future__ import annotations

import hashlib
import urllib.parse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from modelzero.data.readers.idx import read_content
from modelzero.data.sets.download import download
from modelzero.errors import DataError, DataUnavailableError

# Training images uint8 [N, C, H, W] and labels int64 [N], then the test split's.
Arrays = tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.uint8], NDArray[np.int64]]

_BLOCK = 4096  # images that are transposed at once


@dataclass(frozen=True)
class File:
    """One file of a named dataset.

    Args:
        name: its name at the publisher, and in every folder that is searched for it.
        sha256: of the published file.
        urls: where it can be downloaded, the preferred URL first.
        most_bytes: a download that grows beyond this is refused.
        of_content: the checksum is of the decompressed content. Then the file may also be there without its ".gz", and
            mirrors may have compressed it differently.
    """

    name: str
    sha256: str
    urls: tuple[str, ...]
    most_bytes: int
    of_content: bool = False


@dataclass(frozen=True)
class NamedSet:
    """A dataset that can be loaded by name.

    Args:
        name: its name for `load`.
        classes: class names in label order.
        files: all of its files.
        read: turns the files and their paths, in the order of `files`, into arrays. It checks each file first.
        folder: the subfolder of a data folder or of the cache that holds the files; datasets may share one.
        system_folder: where Linux distributions install it.
        hint: how else to get it, for the message when it is not found.
        notes: what its users should know, one sentence each.
    """

    name: str
    classes: tuple[str, ...]
    files: tuple[File, ...]
    read: Callable[[Sequence[File], Sequence[Path]], Arrays]
    folder: str
    system_folder: Path | None = None
    hint: str = ""
    notes: tuple[str, ...] = ()


def check(file: File, path: Path) -> None:
    """Raise DataError unless the file at this path has the published checksum.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "a.mat"
    >>> _ = path.write_bytes(b"other bytes")
    >>> check(File("a.mat", sha256="0" * 64, urls=(), most_bytes=100), path)
    Traceback (most recent call last):
    modelzero.errors.DataError: .../a.mat: checksum mismatch: SHA-256 is ..., expected 000000000000...
    """
    if file.of_content:
        checked_content(file, path)
        return
    try:
        with path.open("rb") as opened:
            found = hashlib.file_digest(opened, "sha256").hexdigest()
    except OSError as error:
        raise DataError(
            f"{path} cannot be read ({error.strerror or error}): check the path and its permissions"
        ) from None
    _compare(found, file.sha256, path)


def checked_content(file: File, path: Path) -> bytearray:
    """Return the decompressed bytes of an IDX file, plain or gzipped, after checking its checksum."""
    if not file.of_content:
        check(file, path)
    content, _ = read_content(path)
    if file.of_content:
        _compare(hashlib.sha256(content).hexdigest(), file.sha256, path)
    return content


def find(known: NamedSet, folder: Path) -> list[Path] | None:
    """Return the paths of a dataset's files in a folder, or None if one is missing. They are not checked."""
    paths = [_lying(file, folder) for file in known.files]
    found = [path for path in paths if path is not None]
    return found if len(found) == len(paths) else None


def fetch_missing(known: NamedSet, folder: Path, progress: bool | None) -> str:
    """Download the files of a dataset that a folder lacks; return a phrase that names the hosts.

    Raises:
        DataUnavailableError: no mirror has the right content; the message says what else to do.
    """
    hosts = []
    for file in known.files:
        if _lying(file, folder) is None:
            try:
                url = download(
                    file.urls, folder / file.name, partial(check, file), max_bytes=file.most_bytes, progress=progress
                )
            except DataError as error:
                names = ", ".join(file.name for file in known.files)
                hint = known.hint or f"get {names} in another way and give their folder with --data-dir"
                raise DataUnavailableError(f"{known.name} is not on this machine; {error}; {hint}") from None
            hosts.append(urllib.parse.urlsplit(url).netloc)
    return f"downloaded from {', '.join(dict.fromkeys(hosts))}"


def turn(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Swap rows and columns of square images [..., H, W] in place.

    In place, because the largest of these datasets takes half a gigabyte of memory.

    >>> turn(np.array([[[1, 2], [3, 4]]], np.uint8)).tolist()
    [[[1, 3], [2, 4]]]
    """
    for start in range(0, len(images), _BLOCK):
        block = images[start : start + _BLOCK]
        block[:] = block.swapaxes(-1, -2).copy()
    return images


def _lying(file: File, folder: Path) -> Path | None:
    """Find a file in a folder, under any of its names."""
    names = (file.name.removesuffix(".gz"), file.name) if file.of_content else (file.name,)
    return next((folder / name for name in names if (folder / name).is_file()), None)


def _compare(found: str, needed: str, path: Path) -> None:
    if found != needed:
        raise DataError(
            f"{path}: checksum mismatch: SHA-256 is {found[:12]}..., expected {needed[:12]}...; replace or delete it"
        )
