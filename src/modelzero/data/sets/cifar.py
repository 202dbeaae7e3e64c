"""Read the binary version of CIFAR-10 and CIFAR-100: a tar archive of records of labels and pixels, no pickle.

Format: https://www.cs.toronto.edu/~kriz/cifar.html. A record is one byte for each label, then 3,072 bytes of pixels:
red, green and blue, each row by row.
"""

from __future__ import annotations

import tarfile
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from modelzero.data.sets.published import Arrays, File, check
from modelzero.errors import DataError

_SHAPE = (3, 32, 32)
_PIXELS = 3 * 32 * 32
_MOST_MEMBER_BYTES = 256 << 20  # the largest, CIFAR-100's train.bin, has 154 MB
_MOST_MEMBERS = 100


def read_cifar(
    files: Sequence[File], paths: Sequence[Path], *, folder: str, train: Sequence[str], test: Sequence[str], labels: int
) -> Arrays:
    """Read the record files of a CIFAR archive, member by member, without unpacking it to disk.

    Args:
        files: the archive.
        paths: its path.
        folder: the folder within the archive.
        train: the names of the record files of the training split, in order.
        test: likewise for the test split.
        labels: the number of labels in a record; the last one is the class (CIFAR-100 has a coarse one before it).

    Raises:
        DataError: a checksum mismatch, a truncated archive, a missing file, or a file with an incomplete record.
    """
    (file,), (path,) = files, paths
    check(file, path)
    records = _members(path, [f"{folder}/{name}" for name in (*train, *test)], labels + _PIXELS)
    parts = [_split([records[f"{folder}/{name}"] for name in names], labels) for names in (train, test)]
    return *parts[0], *parts[1]


def _members(path: Path, names: Sequence[str], record_bytes: int) -> dict[str, NDArray[np.uint8]]:
    """Read the given members of a tar archive in one pass, each as [records, bytes of a record]."""
    found: dict[str, NDArray[np.uint8]] = {}
    try:
        with tarfile.open(path, "r|gz") as archive:
            for count, member in enumerate(archive):
                if count >= _MOST_MEMBERS:
                    raise DataError(f"{path} contains more than {_MOST_MEMBERS} files: expected the CIFAR archive")
                if member.name in names:
                    found[member.name] = _records(archive, member, path, record_bytes)
    except (tarfile.TarError, zlib.error, EOFError, OSError) as error:
        raise DataError(f"{path} is not a complete tar.gz archive ({error}): fetch it again") from None
    missing = [name for name in names if name not in found]
    if missing:
        raise DataError(f"{path} lacks {', '.join(missing)}: expected the binary version of CIFAR as published")
    return found


def _records(archive: tarfile.TarFile, member: tarfile.TarInfo, path: Path, record_bytes: int) -> NDArray[np.uint8]:
    shown = f"{member.name} in {path}"
    opened = archive.extractfile(member) if member.isreg() else None
    if opened is None:
        raise DataError(f"{shown} is not a regular file: expected the binary version of CIFAR as published")
    if member.size == 0 or member.size % record_bytes or member.size > _MOST_MEMBER_BYTES:
        raise DataError(
            f"{shown} has {member.size} bytes: expected complete records of {record_bytes}, "
            f"at most {_MOST_MEMBER_BYTES} bytes"
        )
    with opened:
        return np.frombuffer(opened.read(member.size), np.uint8).reshape(-1, record_bytes)


def _split(parts: Sequence[NDArray[np.uint8]], labels: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Join the records of a split and separate them into images and classes."""
    images = np.empty((sum(map(len, parts)), *_SHAPE), np.uint8)
    classes = np.concatenate([part[:, labels - 1] for part in parts]).astype(np.int64)
    start = 0
    for part in parts:
        images[start : start + len(part)] = part[:, labels:].reshape(-1, *_SHAPE)
        start += len(part)
    return images, classes
