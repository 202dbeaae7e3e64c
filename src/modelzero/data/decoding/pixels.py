"""Convert arrays of any type and shape to pixels, and labels of any kind to numbers and class names."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from modelzero.data.splits import class_order
from modelzero.errors import DataError, quoted

MOST_CLASSES = 1 << 16
_CHUNK_BYTES = 1 << 25
_ALPHA = 4


def to_pixels(images: Any, channels_last: bool | None, what: str, notes: list[str]) -> torch.Tensor:
    """Copy images of any accepted type and shape to uint8 [N, C, H, W]; add what was decided to `notes`.

    Raises:
        DataError: unsupported type, shape or range; `what` begins the message.
    """
    array = as_array(images, what)
    if array.dtype.kind not in "buif":
        raise DataError(f"{what} of type {array.dtype}: expected whole numbers from 0 to 255 or fractions from 0 to 1")
    last = _channels_last(array.shape, channels_last, what)
    n = len(array)
    if array.size == 0:
        raise DataError(f"{what} of shape {list(array.shape)}: zero images, or images without pixels")
    height, width = array.shape[1:3] if last or array.ndim == 3 else array.shape[2:4]
    channels = 1 if array.ndim == 3 else array.shape[3 if last else 1]
    pixels = np.empty((n, 3 if channels == _ALPHA else channels, height, width), np.uint8)
    step = max(1, _CHUNK_BYTES // max(1, math.prod(array.shape[1:]) * array.dtype.itemsize))
    for start in range(0, n, step):
        part = _to_bytes(array[start : start + step], what)
        part = part[:, None] if part.ndim == 3 else part.transpose(0, 3, 1, 2) if last else part
        pixels[start : start + step] = _onto_white(part) if channels == _ALPHA else part
    if channels == _ALPHA:
        notes.append(f"{what} with alpha were blended onto white")
    if array.dtype.kind == "f":
        notes.append(f"{what} of type {array.dtype} were multiplied by 255 and rounded")
    elif array.dtype.kind in "ui" and int(pixels.max()) == 1:
        notes.append(f"the brightest pixel of the {what} is 1 of 255: pass fractions as float, black and white as bool")
    return torch.from_numpy(pixels)


def to_numbers(
    given: Sequence[tuple[str, Any]], classes: Sequence[str] | None
) -> tuple[list[NDArray[np.int64]], tuple[str, ...]]:
    """Convert labels of several splits, whole numbers or names, to label numbers and class names.

    Raises:
        DataError: unsupported type or shape of labels, or a label without a class.
    """
    arrays = [(what, _label_array(labels, what)) for what, labels in given]
    kinds = {array.dtype.kind for _, array in arrays}
    if len(kinds) > 1:
        raise DataError("the labels of one split are numbers, those of another are names: expected one kind")
    if classes is not None:
        classes = tuple(str(each) for each in classes)
        if len(set(classes)) < len(classes):
            twice = next(each for k, each in enumerate(classes) if each in classes[:k])
            raise DataError(f"duplicate class name {quoted(twice)}: expected a different name for each class")
    if kinds == {"i"}:
        top = max((int(array.max()) for _, array in arrays if array.size), default=0)
        most = MOST_CLASSES if classes is None else len(classes)
        for what, array in arrays:
            if array.size and not (array.min() >= 0 and array.max() < most):
                raise DataError(
                    f"{what} run from {array.min()} to {array.max()}: expected whole numbers from 0 to {most - 1}"
                    + ("" if classes is None else f", as there are {most} class names")
                )
        return [array for _, array in arrays], classes or tuple(map(str, range(top + 1)))
    names = classes or class_order(each for _, array in arrays for each in array.tolist())
    number = {each: k for k, each in enumerate(names)}
    for what, array in arrays:
        unknown = next((each for each in array.tolist() if each not in number), None)
        if unknown is not None:
            raise DataError(f"{what}: {quoted(unknown)} is not one of the {len(names)} class names; add it to classes")
    return [np.array([number[each] for each in array.tolist()], np.int64) for _, array in arrays], names


def as_array(values: Any, what: str) -> NDArray[Any]:
    """Return a tensor, an array or nested lists as a numpy array.

    Raises:
        DataError: they cannot be converted; `what` begins the message.
    """
    if isinstance(values, torch.Tensor):
        values = values.detach().cpu()
        values = values.float() if values.dtype == torch.bfloat16 else values
        return values.numpy()  # type: ignore[no-any-return]
    try:
        return np.asarray(values)
    except Exception as error:  # a list may contain anything
        raise DataError(
            f"{what} of type {type(values).__name__} are not an array ({error}): expected one shape"
        ) from None


def _channels_last(shape: tuple[int, ...], given: bool | None, what: str) -> bool:
    """Return whether the channels come last: they are in the dimension of size 1, 3 or 4."""
    if len(shape) == 3:
        return False
    if len(shape) != 4:
        raise DataError(
            f"{what} of shape {list(shape)}: expected [N, H, W], [N, H, W, C] or [N, C, H, W]; reshape them"
        )
    first, last = shape[1] in (1, 3, _ALPHA), shape[3] in (1, 3, _ALPHA)
    if given is None and first and last:
        raise DataError(
            f"{what} of shape {list(shape)}: the channels may be first or last; pass channels_last=True "
            "or channels_last=False"
        )
    if not (first or last) or (given is not None and not (last if given else first)):
        raise DataError(f"{what} of shape {list(shape)}: expected 1, 3 or 4 channels in [N, H, W, C] or [N, C, H, W]")
    return last if given is None else given


def _to_bytes(part: NDArray[Any], what: str) -> NDArray[np.uint8]:
    if part.dtype == np.uint8:
        return part
    if part.dtype.kind == "b":
        return part.astype(np.uint8) * np.uint8(255)
    low, high = part.min(), part.max()
    if part.dtype.kind in "ui":
        if low < 0 or high > 255:
            raise DataError(
                f"{what} of type {part.dtype} run from {low} to {high}: expected whole numbers from 0 to 255; reduce "
                "16 bits to 8 with (images // 256).astype('uint8')"
            )
        return part.astype(np.uint8)
    if not (low >= 0 and high <= 1):  # true for NaN as well
        raise DataError(
            f"{what} of type {part.dtype} run from {low:.4g} to {high:.4g}: expected fractions from 0 to 1; undo any "
            "normalisation, or pass whole numbers from 0 to 255 as uint8"
        )
    rounded: NDArray[np.uint8] = np.rint(part.astype(np.float32) * np.float32(255)).astype(np.uint8)
    return rounded


def _onto_white(part: NDArray[np.uint8]) -> NDArray[np.uint8]:
    colours, alpha = part[:, :3].astype(np.uint16), part[:, 3:].astype(np.uint16)
    mixed: NDArray[np.uint16] = (colours * alpha + 255 * (255 - alpha) + 127) // 255
    return mixed.astype(np.uint8)


def _label_array(labels: Any, what: str) -> NDArray[Any]:
    """Return labels as int64 [N] or as an object array [N] of non-empty strings."""
    array = as_array(labels, what)
    if array.ndim == 2 and array.shape[1] == 1:  # as Keras' CIFAR and MedMNIST have them
        array = array[:, 0]
    if array.ndim != 1:
        raise DataError(
            f"{what} of shape {list(array.shape)}: expected [N], one per image; convert one-hot rows with argmax(1)"
        )
    if array.dtype.kind in "bui":
        if array.size and array.dtype.kind == "u" and array.max() > np.iinfo(np.int64).max:
            raise DataError(f"{what}: {array.max()} is not a label: expected whole numbers from 0")
        return array.astype(np.int64)
    values = array.tolist()
    if array.dtype.kind == "S":
        values = [value.decode("utf-8", "surrogateescape") for value in values]
    for place, value in enumerate(values):
        if not isinstance(value, str) or not value.strip():
            raise DataError(f"{what}: {repr(value)[:40]} at {place} is not a label: expected whole numbers or names")
    result = np.empty(len(values), object)
    result[:] = values
    return result
