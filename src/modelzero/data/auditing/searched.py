"""Search the pixels of a dataset for empty and repeated images once, and keep the result in the user's cache."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from modelzero.data.auditing.duplicates import constant_and_faint, same_pixels
from modelzero.data.auditing.near import NearPair, near_duplicates, near_duplicates_within
from modelzero.data.dataset import ImageData
from modelzero.data.decoding.cache import cache_folder
from modelzero.io.atomic import write_whole
from modelzero.io.json import from_json, to_json

# Incremented when the search would find other images.
VERSION = 3

Place = tuple[str, int]  # a split's name and a position in it


@dataclass(frozen=True)
class Searched:
    """What a search of a dataset's pixels found.

    Args:
        constant: images of one colour.
        faint: images of nearly one colour.
        same: groups of images with equal pixels, over all splits.
        across: test images that are nearly a training image; None if not searched for.
        within: pairs of positions of test images that are nearly equal; None if not searched for.
    """

    constant: tuple[Place, ...]
    faint: tuple[Place, ...]
    same: tuple[tuple[Place, ...], ...]
    across: tuple[NearPair, ...] | None = None
    within: tuple[tuple[int, int], ...] | None = None

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> Searched:
        """Read what was kept.

        Raises:
            KeyError, TypeError, ValueError: it is damaged.
        """
        across = [NearPair(**{**pair, "shift": tuple(pair["shift"])}) for pair in stored["across"]]
        within = [(int(first), int(second)) for first, second in stored["within"]]
        same = [_places(group) for group in stored["same"]]
        return cls(_places(stored["constant"]), _places(stored["faint"]), tuple(same), tuple(across), tuple(within))


def searched(data: ImageData, *, near: bool = True, progress: bool | None = None) -> Searched:
    """Search a dataset, or return what an earlier search found.

    >>> import modelzero as mz
    >>> searched(mz.load("digits"))
    Searched(constant=(), faint=(), same=(), across=(), within=())

    Args:
        data: the dataset.
        near: search for near duplicates, which takes most of the time; without it nothing is kept.
        progress: as for `near_duplicates`.
    """
    known = _read(_file(data))
    if known is not None:
        return known if near else replace(known, across=None, within=None)
    splits = data.splits
    constant: list[Place] = []
    faint: list[Place] = []
    for name, split in splits.items():
        for places, positions in zip((constant, faint), constant_and_faint(split.images), strict=True):
            places += [(name, position) for position in positions.tolist()]
    names = list(splits)
    same = same_pixels([split.images for split in splits.values()])
    found = Searched(
        tuple(constant),
        tuple(faint),
        tuple(tuple((names[number], position) for number, position in group) for group in same),
    )
    if not near:
        return found
    found = replace(
        found,
        across=tuple(near_duplicates(data.train.images, data.test.images, progress=progress)),
        within=tuple(near_duplicates_within(data.test.images, progress=progress)),
    )
    with contextlib.suppress(OSError):  # without a writable cache only time is lost
        path = _file(data)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, to_json(found, indent=None).encode())
    return found


def was_searched(data: ImageData) -> bool:
    """Return whether a dataset was searched before, for near duplicates too."""
    return _read(_file(data)) is not None


def _file(data: ImageData) -> Path:
    name = data.fingerprint
    if data.validation is not None:  # it is no part of the fingerprint
        name += "-" + hashlib.sha256(data.validation.images.numpy().tobytes()).hexdigest()[:16]
    return cache_folder() / "searched" / f"{name}-{VERSION}.json"


def _read(path: Path) -> Searched | None:
    """Read the result of an earlier search; None if there is none, or if it is damaged."""
    try:
        return Searched.from_dict(from_json(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _places(stored: list[Any]) -> tuple[Place, ...]:
    return tuple((str(split), int(position)) for split, position in stored)
