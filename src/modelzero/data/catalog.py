"""Named sets of pictures, and `load`, which finds them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import platformdirs
import torch
from numpy.typing import NDArray

from modelzero.data.dataset import ImageData, Split
from modelzero.data.idx import read_idx
from modelzero.data.published import NamedSet, fetch_missing, find
from modelzero.data.sets import IDX_FILES, SETS
from modelzero.errors import DataError, nearest

NAMES = (*SETS, "digits")
_MOST_CLASSES = 1 << 16


def load(source: str | Path, *, data_dir: str | Path | None = None, progress: bool | None = None) -> ImageData:
    """Load a set of pictures by its catalog name, or from a folder of IDX files.

    A named set is looked for in this order: `data_dir` (or the environment variable MODELZERO_DATA), the user's
    cache folder, the folder where Linux distributions put it, its publisher's mirrors. `ImageData.source` says
    which it was. The files are checked against the published SHA-256 each time.

    >>> data = load("digits")
    >>> data.train.images.shape, data.source
    (torch.Size([1437, 1, 8, 8]), "scikit-learn's bundled digits")

    Args:
        source: a name ("digits", or one in `modelzero.data.sets`), or a folder that holds the files of an IDX set.
        data_dir: a folder to look in first, itself or its subfolder of the set's name.
        progress: show a bar while downloading; None means only in a terminal.

    Raises:
        DataError: an unknown name, files that are damaged or wrong, or a set that can be found nowhere.
    """
    name = source if isinstance(source, str) else ""
    if name == "digits":
        return _digits()
    if name in SETS:
        return _named(SETS[name], data_dir or os.environ.get("MODELZERO_DATA"), progress)
    if not isinstance(source, str | Path):
        raise DataError(f"data of type {type(source).__name__}: a name, a path or an ImageData is needed")
    path = Path(source)
    try:
        if path.is_dir():
            return _idx_folder(path)
        if path.exists():
            raise DataError(f"{path} is a file: a folder with {', '.join(IDX_FILES)} (or .gz) is needed")
    except (OSError, ValueError) as error:  # such as a name that is too long, or has a null byte
        why = getattr(error, "strerror", None) or error
        raise DataError(f"{str(source)[:60]!r} cannot be looked up ({why}): give a name or a path") from None
    raise DataError(
        f"no data set or folder named {str(source)!r}: needed is a name or a folder with IDX files; "
        f"{nearest(str(source), NAMES)}"
    )


def cache_folder() -> Path:
    """Where downloads are kept: the platform's cache folder for modelzero."""
    return Path(platformdirs.user_cache_dir("modelzero"))


def _digits() -> ImageData:
    """Load 1,797 handwritten digits of 8x8 pixels with 17 grey levels, from scikit-learn.

    scikit-learn has no split of it, so a fifth of each class is set apart for the test, by a fixed seed.
    """
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    bunch = load_digits()
    grey = np.round(bunch.images * (255 / 16)).astype(np.uint8)[:, None]
    parts = train_test_split(grey, bunch.target, test_size=0.2, stratify=bunch.target, random_state=0)
    train_images, test_images, train_labels, test_labels = parts
    return ImageData(
        "digits",
        train=_split(train_images, train_labels),
        test=_split(test_images, test_labels),
        classes=tuple("0123456789"),
        source="scikit-learn's bundled digits",
    )


def _named(known: NamedSet, data_dir: str | Path | None, progress: bool | None) -> ImageData:
    """Find a named set, or fetch what the cache lacks of it, and read it."""
    if data_dir and not Path(data_dir).is_dir():
        raise DataError(
            f"the data folder {data_dir} is no folder here: make it, or leave --data-dir (MODELZERO_DATA) out"
        )
    cache = cache_folder() / known.folder
    own = [Path(data_dir) / known.folder, Path(data_dir)] if data_dir else []
    for folder in [*own, cache, *([known.system_folder] if known.system_folder else [])]:
        paths = find(known, folder)
        if paths is not None:
            source = str(folder)
            break
    else:
        source = f"{fetch_missing(known, cache, progress)}, kept in {cache}"
        paths = find(known, cache)
        assert paths is not None
    train_images, train_labels, test_images, test_labels = known.read(known.files, paths)
    return ImageData(
        known.name,
        train=_split(train_images, train_labels),
        test=_split(test_images, test_labels),
        classes=known.classes,
        source=source,
        notes=known.notes,
    )


def _idx_folder(folder: Path) -> ImageData:
    files = [_idx_file(folder, file) for file in IDX_FILES]
    missing = [name for name, file in zip(IDX_FILES, files, strict=True) if file is None]
    if missing:
        raise DataError(f"{folder} lacks {', '.join(missing)} (plain or .gz): needed are all four files of an IDX set")
    arrays = [read_idx(file) for file in files if file]
    _check_types(arrays, str(folder))
    top = max(int(labels.max(initial=0)) for labels in arrays[1::2])
    if top >= _MOST_CLASSES:
        raise DataError(
            f"{folder}: a label of {top}: needed are labels from 0 to {_MOST_CLASSES - 1}; is it a label file?"
        )
    try:
        return _from_idx_arrays(folder.resolve().name, arrays, tuple(map(str, range(top + 1))), str(folder))
    except DataError as error:
        raise DataError(f"{folder}: {error}") from None


def _idx_file(folder: Path, name: str) -> Path | None:
    """Find the plain or gzipped file of that name."""
    return next((path for path in (folder / name, folder / f"{name}.gz") if path.is_file()), None)


def _check_types(arrays: list[NDArray[Any]], source: str) -> None:
    for images, labels in (arrays[:2], arrays[2:]):
        if images.dtype != np.uint8 or images.ndim != 3:
            raise DataError(
                f"{source}: pictures of type {images.dtype} with {images.ndim} dimensions: needed is uint8 [N, H, W]"
            )
        if labels.ndim != 1 or labels.dtype.kind not in "ui":
            raise DataError(
                f"{source}: labels of type {labels.dtype} with {labels.ndim} dimensions: needed are whole numbers [N]"
            )


def _from_idx_arrays(name: str, arrays: list[NDArray[Any]], classes: tuple[str, ...], source: str) -> ImageData:
    train_images, train_labels, test_images, test_labels = arrays
    return ImageData(
        name,
        train=_split(train_images[:, None], train_labels),
        test=_split(test_images[:, None], test_labels),
        classes=classes,
        source=source,
    )


def _split(images: NDArray[np.uint8], labels: NDArray[np.integer]) -> Split:
    return Split(torch.from_numpy(images), torch.from_numpy(labels.astype(np.int64)))
