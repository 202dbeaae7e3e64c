"""`load`: find a named dataset, or read images from a folder or file."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from modelzero.data.assemble import take_share
from modelzero.data.dataset import ImageData, Split
from modelzero.data.decoding.cache import cache_folder
from modelzero.data.options import LoadOptions, Origin
from modelzero.data.readers.choose import OF_FILES, read_path, refuse
from modelzero.data.readers.idx import read_idx
from modelzero.data.sets.catalog import IDX_FILES, SETS
from modelzero.data.sets.digits import digits
from modelzero.data.sets.published import NamedSet, fetch_missing, find
from modelzero.data.splits import check_both_splits
from modelzero.errors import DataError, SettingError, nearest

NAMES = (*SETS, "digits")
_MOST_CLASSES = 1 << 16


def load(
    source: str | Path,
    *,
    progress: bool | None = None,
    format: str | None = LoadOptions.format,  # noqa: A002 - what the option is called
    size: tuple[int, int] | int | str | None = LoadOptions.size,
    fit: str = LoadOptions.fit,
    test_share: float = LoadOptions.test_share,
    seed: int = LoadOptions.seed,
    group: str | None = LoadOptions.group,
    share: float = LoadOptions.share,
    allow_unreadable: bool = LoadOptions.allow_unreadable,
    data_dir: str | Path | None = LoadOptions.data_dir,
) -> ImageData:
    """Load a dataset by its catalog name, or from a folder or file of your own.

    A named dataset is searched for in this order: `data_dir` (or the environment variable MODELZERO_DATA), the user's
    cache folder, the folder where Linux distributions put it, its publisher's mirrors. `ImageData.source` says where
    it was found. The files are checked against the published SHA-256 each time.

    >>> data = load("digits")
    >>> data.train.images.shape, data.source
    (torch.Size([1437, 1, 8, 8]), "scikit-learn's bundled digits")

    Args:
        source: a name such as "fashion-mnist" or "digits" (`modelzero.data.sets.catalog` lists all); a folder with one
            folder of images per class, with or without `train/`, `test/` and `val/` above them; a folder of IDX, `.npy`
            or Parquet files; an `.npz`; a CSV or Parquet table; or a zip or tar archive of class folders.
        progress: whether to show bars while downloading and decoding; None means only in a terminal.
        format: `folder`, `idx`, `npz`, `npy`, `csv`, `parquet` or `archive`; None detects it.
        size: height and width to resize images to, as (48, 64), "48x64" or 64; None derives it from the sizes found.
        fit: `pad` fits the longer side and pads, `crop` fits the shorter one and crops.
        test_share: the fraction of each class to draw as the test split, if the source has none.
        seed: seed for drawing the test split and the share.
        group: keep the images of each group on one side of the split: a column of the table, or a pattern for the
            group in each image's name (its first parentheses, or the whole match). The splits keep their groups.
        share: the fraction of each class's training images to use; a smaller share is a subset of a larger one.
        allow_unreadable: continue even if more than 1 % of the images are unreadable; they are listed either way.
        data_dir: the folder to search first, itself or its subfolder with the name of the dataset.

    Raises:
        DataError: an unknown name, damaged or wrong files or images, a class that is only on one side of the split,
            or a dataset that is not available.
        SettingError: a setting outside its range, or one that does not apply to this source.
    """
    options = LoadOptions(
        format=format,
        size=size,  # type: ignore[arg-type]  # it is parsed there
        fit=fit,
        test_share=test_share,
        seed=seed,
        group=group,
        share=share,
        allow_unreadable=allow_unreadable,
        data_dir=data_dir,
    )
    return load_with(source, options, progress=progress)


def load_with(source: str | Path, options: LoadOptions, *, progress: bool | None = None) -> ImageData:
    """Load a dataset; see `load`."""
    return replace(_loaded(source, options, progress), origin=origin_of(source, options))


def origin_of(source: str | Path, options: LoadOptions) -> Origin:
    """Return what loads the same data again, with absolute paths.

    >>> origin_of("digits", LoadOptions(share=0.5)).source
    'digits'
    """
    return Origin.of(source, options, is_name=isinstance(source, str) and source in NAMES)


def load_again(origin: Origin, *, progress: bool | None = None) -> ImageData:
    """Load what a record's origin describes.

    >>> data = load("digits", share=0.5)
    >>> load_again(data.origin).fingerprint == data.fingerprint
    True

    Raises:
        DataError: as for `load`.
    """
    options = origin.options
    try:
        return load_with(origin.source, options, progress=progress)
    except SettingError:  # earlier versions accepted settings without effect
        seed = LoadOptions.seed if options.share == LoadOptions.share else options.seed
        return load_with(origin.source, replace(options, allow_unreadable=False, seed=seed), progress=progress)


def _loaded(source: str | Path, options: LoadOptions, progress: bool | None) -> ImageData:
    name = source if isinstance(source, str) else ""
    if name in NAMES:
        _refuse_all(options, name)
        folder = options.data_dir or os.environ.get("MODELZERO_DATA")
        data = digits() if name == "digits" else _named(SETS[name], folder, progress)
        return take_share(data, options)
    if not isinstance(source, str | Path):
        raise DataError(f"data of type {type(source).__name__}: expected a name, a path or an ImageData")
    path = Path(source)
    try:
        exists = path.exists()
        if exists and (options.format == "idx" or (options.format is None and path.is_dir() and _has_idx(path))):
            _refuse_all(replace(options, format=None), f"{path} (idx)")
            return take_share(_idx_folder(path), options)
        if exists:
            return read_path(path, options, progress=progress)
    except (OSError, ValueError) as error:  # such as a name that is too long, or has a null byte
        why = getattr(error, "strerror", None) or error
        raise DataError(f"{str(source)[:60]!r} cannot be read ({why}): expected a name or a path") from None
    raise DataError(
        f"no dataset, folder or file named {str(source)!r}: expected a name or a path; {nearest(str(source), NAMES)}"
    )


def _refuse_all(options: LoadOptions, what: str) -> None:
    """Refuse settings that do not apply to images that are already decoded and split."""
    given = options.given("format", "group", "test_share")
    given += options.given("seed") if options.share == LoadOptions.share else []
    refuse([*given, *options.given(*OF_FILES)], what, "has one size and split")


def _has_idx(folder: Path) -> bool:
    return any(_idx_file(folder, name) for name in IDX_FILES)


def _named(known: NamedSet, data_dir: str | Path | None, progress: bool | None) -> ImageData:
    """Find a named dataset, download its missing files, and read it."""
    if data_dir and not Path(data_dir).is_dir():
        raise DataError(
            f"the data folder {data_dir} does not exist: create it, or leave out --data-dir (MODELZERO_DATA)"
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
        raise DataError(f"{folder} lacks {', '.join(missing)} (plain or .gz): expected all four IDX files")
    arrays = [read_idx(file) for file in files if file]
    _check_types(arrays, str(folder))
    top = max(int(labels.max(initial=0)) for labels in arrays[1::2])
    if top >= _MOST_CLASSES:
        raise DataError(
            f"{folder}: label {top}: expected labels from 0 to {_MOST_CLASSES - 1}; check that it is a label file"
        )
    try:
        data = _from_idx_arrays(folder.resolve().name, arrays, tuple(map(str, range(top + 1))), str(folder))
        check_both_splits(data.classes, data.train.labels.numpy(), data.test.labels.numpy())
    except DataError as error:
        raise DataError(f"{folder}: {error}") from None
    return data


def _idx_file(folder: Path, name: str) -> Path | None:
    """Find the plain or gzipped file with this name."""
    return next((path for path in (folder / name, folder / f"{name}.gz") if path.is_file()), None)


def _check_types(arrays: list[NDArray[Any]], source: str) -> None:
    for images, labels in (arrays[:2], arrays[2:]):
        if images.dtype != np.uint8 or images.ndim != 3:
            raise DataError(
                f"{source}: images of type {images.dtype} with {images.ndim} dimensions: expected uint8 [N, H, W]"
            )
        if labels.ndim != 1 or labels.dtype.kind not in "ui":
            raise DataError(
                f"{source}: labels of type {labels.dtype} with {labels.ndim} dimensions: expected whole numbers [N]"
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
