"""One copy of the images for all worker processes, as memory-mapped files."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from modelzero.data.dataset import ImageData, Split
from modelzero.data.description import DataDescription
from modelzero.io.json import from_json, to_json
from modelzero.runs.folder import write_bytes, writing

_DESCRIPTION = "data.json"
_PARTS = ("images", "labels", "groups")


def share(data: ImageData, folder: Path) -> None:
    """Write images, labels and groups into a folder.

    Raises:
        RunError: it cannot be written.
    """
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    for name, split in (("train", data.train), ("test", data.test)):
        for part in _PARTS:
            if (values := getattr(split, part)) is not None:
                with writing(folder):
                    np.save(folder / f"{name}-{part}.npy", values.numpy())
    write_bytes(folder / _DESCRIPTION, to_json(data.description.as_dict()).encode())


@functools.lru_cache(maxsize=1)
def open_shared(folder: Path) -> ImageData:
    """Map what `share` wrote into memory, copy-on-write: changes stay within the process."""
    described = DataDescription.from_dict(from_json((folder / _DESCRIPTION).read_text(encoding="utf-8")))

    def mapped(name: str) -> Tensor:
        return torch.from_numpy(np.load(folder / f"{name}.npy", mmap_mode="c"))

    def split(name: str) -> Split:
        grouped = described.groups is not None and getattr(described.groups, name) is not None
        groups = mapped(f"{name}-groups") if grouped else None
        return Split(mapped(f"{name}-images"), mapped(f"{name}-labels"), groups=groups)

    return _Described(
        described.name,
        split("train"),
        split("test"),
        described.classes,
        described.source,
        grouped_by=None if described.groups is None else described.groups.by,
        described=described,
    )


@dataclass(frozen=True, eq=False)
class _Described(ImageData):
    """Images with their stored description, so that no process hashes them again."""

    described: DataDescription | None = None

    @property
    def description(self) -> DataDescription:
        assert self.described is not None
        return self.described

    @property
    def fingerprint(self) -> str:
        return self.description.fingerprint
