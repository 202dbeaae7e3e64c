"""Read the MNIST family: four separate IDX files, or those in EMNIST's archive."""

from __future__ import annotations

import gzip
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modelzero.data.readers.idx import parse_idx, read_announced
from modelzero.data.sets.published import Arrays, File, check, checked_content, turn
from modelzero.errors import DataError

_PARTS = ("train-images-idx3", "train-labels-idx1", "test-images-idx3", "test-labels-idx1")
_MOST_MEMBER_BYTES = 1 << 30  # the largest, images by class, holds 547 MB unpacked


def read_idx_files(files: Sequence[File], paths: Sequence[Path]) -> Arrays:
    """Read training images, training labels, test images and test labels from four IDX files.

    Labels may be [N], or [N, columns] as in QMNIST, with the class in the first column.

    Raises:
        DataError: a checksum mismatch, or a file that is not IDX.
    """
    contents = zip(files, paths, strict=True)
    return _arrays([parse_idx(checked_content(file, path), str(path)) for file, path in contents])


def read_emnist(files: Sequence[File], paths: Sequence[Path], *, variant: str, first_label: int = 0) -> Arrays:
    """Read one of the datasets in EMNIST's archive, member by member, and turn its images upright.

    The archive stores every image with rows and columns swapped (Cohen et al. converted them from MATLAB).

    Args:
        files: the archive.
        paths: its path.
        variant: "balanced", "letters", "digits", "byclass" or "bymerge".
        first_label: the label of the first class: 1 for letters, 0 for all others.

    Raises:
        DataError: a checksum mismatch, a damaged archive, a missing member, or one that is not an IDX file.
    """
    (file,), (path,) = files, paths
    check(file, path)
    names = [f"gzip/emnist-{variant}-{part}-ubyte.gz" for part in _PARTS]
    try:
        with zipfile.ZipFile(path) as archive:
            members = [_member(archive, name, path) for name in names]
    except (zipfile.BadZipFile, zlib.error, OSError, EOFError, NotImplementedError, RuntimeError) as error:
        raise DataError(f"{path} is not a complete zip archive ({error}): fetch it again") from None
    train_images, train_labels, test_images, test_labels = _arrays(members)
    return turn(train_images), train_labels - first_label, turn(test_images), test_labels - first_label


def _member(archive: zipfile.ZipFile, name: str, path: Path) -> NDArray[Any]:
    """Read one gzipped IDX file within an archive, without unpacking it to disk."""
    shown = f"{name} in {path}"
    try:
        info = archive.getinfo(name)
    except KeyError:
        raise DataError(f"{path} lacks {name}: expected EMNIST's gzip.zip as published") from None
    if info.file_size > _MOST_MEMBER_BYTES:
        raise DataError(f"{shown} has {info.file_size} bytes: expected at most {_MOST_MEMBER_BYTES}")
    with archive.open(info) as zipped, gzip.GzipFile(fileobj=zipped) as content:
        return parse_idx(read_announced(content, shown, most_bytes=_MOST_MEMBER_BYTES), shown)


def _arrays(parts: Sequence[NDArray[Any]]) -> Arrays:
    """Add a channel dimension to the images, and take the class from the labels."""
    train_images, train_labels, test_images, test_labels = parts
    return train_images[:, None], _classes(train_labels), test_images[:, None], _classes(test_labels)


def _classes(labels: NDArray[Any]) -> NDArray[np.int64]:
    return (labels[:, 0] if labels.ndim == 2 else labels).astype(np.int64)
