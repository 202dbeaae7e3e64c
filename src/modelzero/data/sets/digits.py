"""scikit-learn's handwritten digits."""

from __future__ import annotations

import contextlib
from pathlib import Path

import numpy as np
import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from modelzero.data.dataset import ImageData, Split
from modelzero.data.decoding.cache import cache_folder
from modelzero.io.atomic import write_whole

_FINGERPRINT = "fda4ec3cfe78ec20c07d2c22eb5114f7a4504f708746344df236c2cee59ac44a"


def digits() -> ImageData:
    """Load 1,797 handwritten digits of 8x8 pixels with 17 grey levels.

    scikit-learn does not split them, so a fifth of each class becomes the test split, with a fixed seed. They are kept
    in the cache: the import of scikit-learn takes 2.3 s (1.9.0), longer than many trainings on them.

    >>> digits()
    ImageData('digits', 1,437 training and 360 test images of 1x8x8, 10 classes)
    """
    kept = cache_folder() / "digits" / f"{_FINGERPRINT[:16]}.safetensors"
    with contextlib.suppress(OSError, SafetensorError, KeyError):
        data = _as_data(safetensors.torch.load_file(kept))
        if data.fingerprint == _FINGERPRINT:
            return data
    tensors = _from_scikit_learn()
    data = _as_data(tensors)
    if data.fingerprint == _FINGERPRINT:
        _keep(kept, tensors)
    return data


def _from_scikit_learn() -> dict[str, Tensor]:
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    bunch = load_digits()
    grey = np.round(bunch.images * (255 / 16)).astype(np.uint8)[:, None]
    parts = train_test_split(grey, bunch.target, test_size=0.2, stratify=bunch.target, random_state=0)
    names = ("train_images", "test_images", "train_labels", "test_labels")
    return {name: torch.from_numpy(part).contiguous() for name, part in zip(names, parts, strict=True)}


def _as_data(tensors: dict[str, Tensor]) -> ImageData:
    return ImageData(
        "digits",
        train=Split(tensors["train_images"], tensors["train_labels"]),
        test=Split(tensors["test_images"], tensors["test_labels"]),
        classes=tuple("0123456789"),
        source="scikit-learn's bundled digits",
    )


def _keep(path: Path, tensors: dict[str, Tensor]) -> None:
    with contextlib.suppress(OSError):  # without a writable cache only time is lost
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, safetensors.torch.save(tensors))
