"""Read the cropped digits of Street View House Numbers: a MATLAB 5 file for each split.

Format: http://ufldl.stanford.edu/housenumbers/, "Format 2". `X` is uint8 [32, 32, 3, N], `y` holds the labels 1 to 10,
where 10 stands for the digit 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modelzero.data.sets.published import Arrays, File, check, turn
from modelzero.errors import DataError
from modelzero.text import reason

_IMAGE_SHAPE = (32, 32, 3)
_MOST_IMAGES = 600_000  # "extra", the largest split, has 531,131
_LABEL_KINDS = ("uint8", "double")  # published as bytes; by default MATLAB saves whole numbers as doubles
_ZERO = 10


def read_svhn(files: Sequence[File], paths: Sequence[Path]) -> Arrays:
    """Read the training split and the test split, each from its file.

    Raises:
        DataError: a checksum mismatch, or a file that is not MATLAB 5 or has other variables.
    """
    (train_images, train_labels), (test_images, test_labels) = (
        _split(file, path) for file, path in zip(files, paths, strict=True)
    )
    return train_images, train_labels, test_images, test_labels


def _split(file: File, path: Path) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    check(file, path)
    variables = _read_mat(path)
    # MATLAB is column-major: the transposed array is [N, C, W, H], contiguous in memory.
    images = turn(np.require(variables["X"].T, requirements=["C", "W"]))
    labels = variables["y"].reshape(-1).astype(np.int64)
    if labels.min() < 1 or labels.max() > _ZERO:
        raise DataError(f"{path}: labels from {labels.min()} to {labels.max()}: expected 1 to {_ZERO}")
    return images, labels % _ZERO


def _read_mat(path: Path) -> dict[str, NDArray[Any]]:
    """Read `X` and `y`, after checking shapes and types without reading the content.

    scipy's reader creates arrays, structs and strings and runs no code; here it may create only two arrays.
    """
    from scipy.io import loadmat, whosmat

    try:
        _check_variables({name: (shape, kind) for name, shape, kind in whosmat(str(path), appendmat=False)}, path)
        variables: dict[str, NDArray[Any]] = loadmat(str(path), appendmat=False, variable_names=["X", "y"])
    except DataError:
        raise
    except Exception as error:  # what scipy raises depends on where the damage is
        raise DataError(f"{path} is not a complete MATLAB 5 file ({reason(error)}): fetch it again") from None
    return variables


def _check_variables(found: dict[str, tuple[tuple[int, ...], str]], path: Path) -> None:
    """Refuse variables whose shape or type differs from the published ones, before allocating memory."""
    shape, kind = found.get("X", ((), "missing"))
    count = shape[-1] if len(shape) == len(_IMAGE_SHAPE) + 1 else 0
    if (shape[:-1], kind) != (_IMAGE_SHAPE, "uint8") or not 1 <= count <= _MOST_IMAGES:
        raise DataError(f"{path}: X is {kind} {list(shape)}: expected uint8 {[*_IMAGE_SHAPE, 'N']}, as published")
    shape, kind = found.get("y", ((), "missing"))
    if shape != (count, 1) or kind not in _LABEL_KINDS:
        raise DataError(f"{path}: y is {kind} {list(shape)}: expected uint8 {[count, 1]}, as published")
