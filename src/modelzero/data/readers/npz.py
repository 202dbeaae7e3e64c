"""Read arrays from an `.npz` file or a folder of `.npy` files, without pickle and never more than announced."""

from __future__ import annotations

import math
import os
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from modelzero.data.arrays import from_arrays
from modelzero.data.dataset import ImageData
from modelzero.data.options import LoadOptions
from modelzero.errors import DataError, InputError, counted, some
from modelzero.text import reason

MOST_BYTES = 16 << 30
_CHUNK = 1 << 20
# Known layouts: images and labels of the training, test and validation split.
_LAYOUTS = (
    (("x_train", "y_train"), ("x_test", "y_test"), ("x_val", "y_val")),  # Keras' mnist.npz
    (("train_images", "train_labels"), ("test_images", "test_labels"), ("val_images", "val_labels")),  # MedMNIST
    (("images", "labels"), ("test_images", "test_labels"), ("val_images", "val_labels")),
    (("x", "y"), ("x_test", "y_test"), ("x_val", "y_val")),
)
_CLASSES = "classes"
_GROUPS = ("groups", "train_groups", "test_groups", "val_groups")  # the first two mean the same


def read_npz(path: Path, options: LoadOptions, *, channels_last: bool | None = None) -> ImageData:
    """Read images and labels from a `.npz`.

    Args:
        path: a file with the arrays `x_train`, `y_train`, `x_test`, `y_test` (as Keras has them), `train_images`,
            `train_labels`, ... (as MedMNIST), or `images` and `labels`; also `classes` (names) and `groups` (or
            `train_groups`), `test_groups`, `val_groups`.
        options: how to draw a test split if there is none.
        channels_last: see `from_arrays`.

    Raises:
        DataError: missing arrays, pickles, more bytes than announced or than 16 GiB, or what `from_arrays` refuses.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = {each.filename.removesuffix(".npy"): each for each in archive.infolist()}

            def read(key: str, most: int) -> NDArray[Any]:
                with archive.open(members[key]) as file:
                    return _read_array(file, f"{path}: {key}", most, members[key].file_size)

            return _from_keys(set(members), read, path, path.stem, options, channels_last)
    except InputError:
        raise
    except Exception as error:  # zipfile raises almost anything on a damaged file
        raise DataError(f"{path} is damaged or not an .npz file ({reason(error)}): expected a complete one") from None


def read_npy_folder(folder: Path, options: LoadOptions, *, channels_last: bool | None = None) -> ImageData:
    """Read images and labels from a folder with `images.npy` and `labels.npy`, and others named as in a `.npz`.

    Raises:
        DataError: as for `read_npz`.
    """
    files = {each.stem: each for each in sorted(folder.glob("*.npy")) if each.is_file()}

    def read(key: str, most: int) -> NDArray[Any]:
        try:
            with files[key].open("rb") as file:
                return _read_array(file, str(files[key]), most, os.fstat(file.fileno()).st_size)
        except OSError as error:
            raise DataError(f"{files[key]} cannot be read ({error.strerror}): check its permissions") from None

    return _from_keys(set(files), read, folder, folder.resolve().name, options, channels_last)


def _from_keys(
    keys: set[str],
    read: Callable[[str, int], NDArray[Any]],
    path: Path,
    name: str,
    options: LoadOptions,
    channels_last: bool | None,
) -> ImageData:
    """Choose the layout by the array names, read these arrays, and make `ImageData` from them."""
    layout = next((each for each in _LAYOUTS if keys.issuperset(each[0])), None)
    if layout is None:
        raise DataError(
            f"{path} contains {some(sorted(keys), 6) or 'nothing'}: expected 'images' and 'labels', or x_train, "
            "y_train, x_test, y_test as Keras names them, or train_images, train_labels, ... as MedMNIST does"
        )
    for images, labels in layout[1:]:
        if (images in keys) != (labels in keys):
            raise DataError(f"{path} contains only one of {images!r} and {labels!r}: expected both or neither")
    wanted = [key for pair in layout for key in pair if key in keys]
    if keys.issuperset(_GROUPS[:2]):
        raise DataError(f"{path} contains 'groups' and 'train_groups': expected one of them, since they mean the same")
    wanted += [key for key in (_CLASSES, *_GROUPS) if key in keys]
    most = MOST_BYTES
    arrays = {}
    for key in wanted:
        arrays[key] = read(key, most)
        most -= arrays[key].nbytes
    (images, labels), *others = layout
    test, validation = ((arrays.pop(a, None), arrays.pop(b, None)) for a, b in others)
    classes = arrays.get(_CLASSES)
    if classes is not None and (classes.ndim != 1 or classes.dtype.kind not in "US"):
        raise DataError(f"{path}: classes of type {classes.dtype} and shape {list(classes.shape)}: expected names [K]")
    try:
        data = from_arrays(
            arrays.pop(images),
            arrays.pop(labels),
            *test,
            classes=None if classes is None else [_text(each) for each in classes.tolist()],
            name=name,
            groups=arrays.get("groups", arrays.get("train_groups")),
            test_groups=arrays.get("test_groups"),
            validation_images=validation[0],
            validation_labels=validation[1],
            validation_groups=arrays.get("val_groups"),
            channels_last=channels_last,
            test_share=options.test_share,
            seed=options.seed,
            share=options.share,
        )
    except DataError as error:
        raise DataError(f"{path}: {error}") from None
    notes = [f"arrays read: {', '.join(wanted)}"]
    others_found = sorted(keys - set(wanted))
    if others_found:
        notes.append(f"skipped {counted(len(others_found), 'other array')}: {some(others_found)}")
    return data.with_source(str(path), notes)


def _read_array(file: IO[bytes], what: str, most: int, size: int) -> NDArray[Any]:
    """Read one .npy array; check its header before allocating anything."""
    try:
        version = np.lib.format.read_magic(file)
        read_header = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the header parser warns of invalid Python
            shape, fortran, dtype = read_header[version](file)
    except Exception as error:  # a header is parsed as Python; the errors are not documented
        raise DataError(f"{what} is not an .npy array ({reason(error)}): expected one written by numpy.save") from None
    if dtype.hasobject:
        raise DataError(
            f"{what} contains Python objects, which require pickle: expected numbers or strings; save it with "
            "dtype=str, or as numbers"
        )
    if any(each < 0 for each in shape):
        raise DataError(f"{what} declares shape {list(shape)}: expected sizes of at least 0")
    announced = math.prod(shape) * dtype.itemsize
    if announced > most or math.prod(max(each, 1) for each in shape) > MOST_BYTES:
        raise DataError(
            f"{what} declares {announced:,} bytes for shape {list(shape)}: expected at most {MOST_BYTES >> 30} GiB in "
            "total; save fewer or smaller images"
        )
    if announced > size:
        raise DataError(f"{what} is truncated: {size:,} bytes, but its header declares {announced:,}; save it again")
    content = bytearray()
    while len(content) < announced and (piece := file.read(min(announced - len(content), _CHUNK))):
        content += piece
    if len(content) < announced:
        raise DataError(f"{what} is truncated: {len(content):,} bytes of {announced:,}; save it again")
    if file.read(1):
        raise DataError(f"{what} is too long: more than the {announced:,} bytes in its header; save it again")
    return np.frombuffer(content, dtype).reshape(shape, order="F" if fortran else "C")


def _text(value: str | bytes) -> str:
    return value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else value
