"""Search a dataset for near duplicates once, and keep the result in the user's cache."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modelzero.data.auditing.near import NearPair, near_duplicates, near_duplicates_within
from modelzero.data.dataset import ImageData
from modelzero.data.decoding.cache import cache_folder
from modelzero.io.atomic import write_whole
from modelzero.io.json import from_json, to_json

# Incremented when the search would find other images.
VERSION = 3


@dataclass(frozen=True)
class NearDuplicates:
    """The near duplicates of a dataset.

    Args:
        across: test images that are nearly a training image.
        within: pairs of positions of test images that are nearly equal.
    """

    across: tuple[NearPair, ...]
    within: tuple[tuple[int, int], ...]

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> NearDuplicates:
        """Read what was kept.

        Raises:
            KeyError, TypeError, ValueError: it is damaged.
        """
        across = [NearPair(**{**pair, "shift": tuple(pair["shift"])}) for pair in stored["across"]]
        return cls(tuple(across), tuple((int(first), int(second)) for first, second in stored["within"]))


def near_duplicates_of(data: ImageData, *, progress: bool | None = None) -> NearDuplicates:
    """Return the near duplicates of a dataset, from the cache if it was searched before.

    >>> import modelzero as mz
    >>> near_duplicates_of(mz.load("digits"))
    NearDuplicates(across=(), within=())

    Args:
        data: the dataset.
        progress: as for `near_duplicates`.
    """
    known = _read(_file(data))
    if known is not None:
        return known
    found = NearDuplicates(
        tuple(near_duplicates(data.train.images, data.test.images, progress=progress)),
        tuple(near_duplicates_within(data.test.images, progress=progress)),
    )
    with contextlib.suppress(OSError):  # without a writable cache only time is lost
        path = _file(data)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, to_json(found, indent=None).encode())
    return found


def was_searched(data: ImageData) -> bool:
    """Return whether the near duplicates of a dataset are known already."""
    return _read(_file(data)) is not None


def _file(data: ImageData) -> Path:
    return cache_folder() / "near" / f"{data.fingerprint}-{VERSION}.json"


def _read(path: Path) -> NearDuplicates | None:
    """Read the result of an earlier search; None if there is none, or if it is damaged."""
    try:
        return NearDuplicates.from_dict(from_json(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError):
        return None
