"""Image files for a trained model: found, and brought to what it was trained on, in processes of their own.

Nothing here imports torch: the processes that decode start quickly.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modelzero.data.decoding.bundles import read_content
from modelzero.data.decoding.image import decode
from modelzero.data.readers.folder import is_junk, may_be_picture, natural
from modelzero.errors import DataError, RunError
from modelzero.io.processes import Processes, in_bundles

# Images that are in memory at once: few enough of large ones, enough for every process to have several bundles.
_BLOCK_BYTES, _LEAST_IN_BLOCK, _MOST_IN_BLOCK = 64 << 20, 512, 4096
_SECONDS = 10.0  # that one image may take
_FEW = 200  # images that are not worth a second process
_PICTURES_AT_ONCE, _BYTES_AT_ONCE = 64, 32 << 20


@dataclass(frozen=True)
class Preprocessing:
    """What was done to the training images, and is done to new ones.

    Args:
        channels: 1 or 3.
        size: height and width in pixels.
        fit: `pad` or `crop`; see `modelzero.data.decoding.image`.
    """

    channels: int
    size: tuple[int, int]
    fit: str

    @classmethod
    def of(cls, described: Mapping[str, Any]) -> Preprocessing:
        """Take it from the `data` of a record.

        Where the training images were no files, or were all of one size, there was nothing to fit: new ones of
        another size get what was asked for then, else `pad`, as `load` does.

        >>> Preprocessing.of({"image_shape": [3, 48, 64], "origin": {"fit": "crop"}})
        Preprocessing(channels=3, size=(48, 64), fit='crop')

        Raises:
            RunError: images of another number of channels than files have.
        """
        channels, height, width = described["image_shape"]
        if channels not in (1, 3):
            raise RunError(f"trained on images of {channels} channels: files have 1 or 3; give arrays to run.predict")
        asked = (described.get("origin") or {}).get("fit")
        cropped = any("and cropped to the middle" in note for note in described.get("notes", []))  # also in old records
        return cls(channels, (height, width), "crop" if asked == "crop" or cropped else "pad")


def find_pictures(paths: Iterable[str], *, go_on: bool = False) -> Iterator[str]:
    """Yield files as they are given, and in place of a folder all images below it, 2.png before 10.png.

    Hidden files are passed over in folders, and endings that no image has; links to folders are not followed.

    Args:
        paths: files and folders.
        go_on: yield a folder that cannot be read, or that has no images, in place of raising; no decoder reads it.

    Raises:
        DataError: a folder that cannot be read, or that has no images.
    """
    for path in paths:
        if not path or not _is_folder(path):
            yield path
            continue
        try:
            yield from _some_below(path)
        except DataError:
            if not go_on:
                raise
            yield path


class Decoder:
    """Decodes images block by block; to be used in a `with` statement, which ends its processes.

    Args:
        preprocessing: what to bring them to.
    """

    def __init__(self, preprocessing: Preprocessing) -> None:
        self.preprocessing = preprocessing
        bytes_each = preprocessing.channels * preprocessing.size[0] * preprocessing.size[1]
        self.at_once = max(_LEAST_IN_BLOCK, min(_MOST_IN_BLOCK, _BLOCK_BYTES // bytes_each))
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        self._one, self._all = Processes(1), Processes(cores)

    def __enter__(self) -> Decoder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._one.__exit__(kind, error, traceback)
        self._all.__exit__(kind, error, traceback)

    def decode(self, paths: Sequence[str]) -> tuple[NDArray[np.uint8], list[int], list[tuple[str, str]]]:
        """Decode some files.

        Returns:
            The images, uint8 [n, C, H, W]; which of the paths these are; and name and reason of the others.
        """
        made = self.preprocessing
        jobs = [(path, made.channels, made.size, made.fit) for path in paths]
        processes = self._one if len(paths) < _FEW else self._all
        images = np.empty((len(paths), made.channels, *made.size), np.uint8)
        reasons: dict[int, str] = {}
        bundles = in_bundles([_bytes(path) for path in paths], _PICTURES_AT_ONCE, _BYTES_AT_ONCE)
        for place, answer in processes.each(decode_some, jobs, bundles, _SECONDS):
            if isinstance(answer, str):
                reasons[place] = answer
            else:
                images[place] = answer
        kept = [place for place in range(len(paths)) if place not in reasons]
        bad = [(paths[place], reasons[place]) for place in sorted(reasons)]
        return images[kept] if bad else images, kept, bad


def decode_some(jobs: list[tuple[str, int, tuple[int, int], str]]) -> list[NDArray[np.uint8] | str]:
    """Decode some files; runs in a process of its own.

    Args:
        jobs: for each image its path, channels, size and `fit`.

    Returns:
        uint8 [C, H, W] of what was decoded, else the reason.
    """
    answers: list[NDArray[np.uint8] | str] = []
    for path, channels, size, fit in jobs:
        try:
            answers.append(decode(read_content(path), channels=channels, size=size, fit=fit))
        except DataError as error:
            answers.append(str(error))
    return answers


def _some_below(folder: str) -> Iterator[str]:
    picture = None
    for picture in _below(folder):
        yield picture
    if picture is None:
        raise DataError(f"{folder} has no images: needed is a folder of PNG, JPEG, WebP, BMP, GIF or TIFF files")


def _below(folder: str) -> Iterator[str]:
    def refuse(error: OSError) -> None:
        raise DataError(
            f"the folder {error.filename} cannot be read ({error.strerror}): check its permissions"
        ) from None

    for root, folders, files in os.walk(folder, onerror=refuse):
        folders[:] = sorted((each for each in folders if not is_junk(each)), key=natural)
        yield from (
            os.path.join(root, name)  # noqa: PTH118 - a name may be anything, and is shown as it was given
            for name in sorted(files, key=natural)
            if not is_junk(name) and may_be_picture(name)
        )


def _is_folder(path: str) -> bool:
    try:
        return Path(path).is_dir()
    except (OSError, ValueError):  # too long, or with a null byte: opening it will say so
        return False


def _bytes(path: str) -> int:
    try:
        return Path(path).stat().st_size
    except (OSError, ValueError):
        return 0
