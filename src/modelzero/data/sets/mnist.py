"""Readers of the MNIST family: four IDX files, each by itself, or within EMNIST's archive."""

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

    Labels may be [N], or [N, columns] as QMNIST has them: the class is in the first column.

    Raises:
        DataError: a file that has not the published content, or is no IDX file.
    """
    contents = zip(files, paths, strict=True)
    return _arrays([parse_idx(checked_content(file, path), str(path)) for file, path in contents])


def read_emnist(files: Sequence[File], paths: Sequence[Path], *, variant: str, first_label: int = 0) -> Arrays:
    """Read one of the sets in EMNIST's archive, member by member, and put its images upright.

    The archive holds every image with rows and columns swapped (Cohen et al. converted them from MATLAB).

    Args:
        files: the archive.
        paths: where it lies.
        variant: "balanced", "letters", "digits", "byclass" or "bymerge".
        first_label: the label of the first class: 1 for letters, 0 for all others.

    Raises:
        DataError: an archive that has not the published content, lacks a member, or holds one that is no IDX file.
    """
    (file,), (path,) = files, paths
    check(file, path)
    names = [f"gzip/emnist-{variant}-{part}-ubyte.gz" for part in _PARTS]
    try:
        with zipfile.ZipFile(path) as archive:
            members = [_member(archive, name, path) for name in names]
    except (zipfile.BadZipFile, zlib.error, OSError, EOFError, NotImplementedError, RuntimeError) as error:
        raise DataError(f"{path} is no whole zip archive ({error}): fetch it again") from None
    train_images, train_labels, test_images, test_labels = _arrays(members)
    return turn(train_images), train_labels - first_label, turn(test_images), test_labels - first_label


def _member(archive: zipfile.ZipFile, name: str, path: Path) -> NDArray[Any]:
    """Read one gzipped IDX file within an archive, without unpacking it to disk."""
    shown = f"{name} in {path}"
    try:
        info = archive.getinfo(name)
    except KeyError:
        raise DataError(f"{path} lacks {name}: needed is EMNIST's gzip.zip as published") from None
    if info.file_size > _MOST_MEMBER_BYTES:
        raise DataError(f"{shown} takes {info.file_size} bytes: at most {_MOST_MEMBER_BYTES} are read")
    with archive.open(info) as zipped, gzip.GzipFile(fileobj=zipped) as content:
        return parse_idx(read_announced(content, shown, most_bytes=_MOST_MEMBER_BYTES), shown)


def _arrays(parts: Sequence[NDArray[Any]]) -> Arrays:
    """Give images a dimension of channels, and take the class from the labels."""
    train_images, train_labels, test_images, test_labels = parts
    return train_images[:, None], _classes(train_labels), test_images[:, None], _classes(test_labels)


def _classes(labels: NDArray[Any]) -> NDArray[np.int64]:
    return (labels[:, 0] if labels.ndim == 2 else labels).astype(np.int64)
