"""Find image files and decode them as the training images were, in separate processes.

Nothing here imports torch, so that these processes start quickly.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from modelzero.data.decoding.bundles import read_content
from modelzero.data.decoding.image import decode
from modelzero.data.description import DataDescription
from modelzero.data.options import LoadOptions
from modelzero.data.readers.folder import is_junk, may_be_image, natural
from modelzero.errors import DataError, RunError
from modelzero.io.cores import available_cores
from modelzero.io.processes import Processes, in_bundles

# Images in memory at once: few if they are large, enough to give every process several bundles.
_BLOCK_BYTES, _LEAST_IN_BLOCK, _MOST_IN_BLOCK = 64 << 20, 512, 4096
_SECONDS = 10.0  # limit for one image
_FEW = 200  # fewer images do not pay for a second process
_IMAGES_AT_ONCE, _BYTES_AT_ONCE = 64, 32 << 20


@dataclass(frozen=True)
class Preprocessing:
    """How the training images were decoded, and new ones are.

    Args:
        channels: 1 or 3.
        size: height and width in pixels.
        fit: `pad` or `crop`; see `modelzero.data.decoding.image`.
    """

    channels: int
    size: tuple[int, int]
    fit: str

    @classmethod
    def of(cls, described: DataDescription) -> Preprocessing:
        """Read it from the `data` of a record.

        If the training images were no files, or all of one size, none was fitted: new images of another size then get
        the `fit` that was requested, else `pad`, as in `load`.

        >>> Preprocessing(channels=3, size=(48, 64), fit="crop").fit
        'crop'

        Raises:
            RunError: the training images have neither 1 nor 3 channels.
        """
        channels, height, width = described.image_shape
        if channels not in (1, 3):
            raise RunError(f"trained on images of {channels} channels: files have 1 or 3; give arrays to mz.predict")
        fit = LoadOptions.fit if described.origin is None else described.origin.options.fit
        return cls(channels, (height, width), fit)


def find_images(paths: Iterable[str], *, skip_errors: bool = False) -> Iterator[str]:
    """Yield files as given, and for a folder all images below it, 2.png before 10.png.

    In folders, skip hidden files and files without an image extension; do not follow links to folders.

    Args:
        paths: files and folders.
        skip_errors: yield an unreadable folder, or one without images, instead of raising; decoding it fails.

    Raises:
        DataError: a folder is unreadable, or has no images.
    """
    for path in paths:
        if not path or not _is_folder(path):
            yield path
            continue
        try:
            yield from _some_below(path)
        except DataError:
            if not skip_errors:
                raise
            yield path


class Decoder:
    """Decode images block by block; use it in a `with` statement, which ends its processes.

    Args:
        preprocessing: how to decode them.
    """

    def __init__(self, preprocessing: Preprocessing) -> None:
        self.preprocessing = preprocessing
        bytes_each = preprocessing.channels * preprocessing.size[0] * preprocessing.size[1]
        self.at_once = max(_LEAST_IN_BLOCK, min(_MOST_IN_BLOCK, _BLOCK_BYTES // bytes_each))
        self._one, self._all = Processes(1), Processes(available_cores())

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
            The images, uint8 [n, C, H, W]; their positions in `paths`; and path and reason of each unreadable file.
        """
        made = self.preprocessing
        jobs = [(path, made.channels, made.size, made.fit) for path in paths]
        processes = self._one if len(paths) < _FEW else self._all
        images = np.empty((len(paths), made.channels, *made.size), np.uint8)
        reasons: dict[int, str] = {}
        bundles = in_bundles([_bytes(path) for path in paths], _IMAGES_AT_ONCE, _BYTES_AT_ONCE)
        for place, answer in processes.each(decode_some, jobs, bundles, _SECONDS):
            if isinstance(answer, str):
                reasons[place] = answer
            else:
                images[place] = answer
        kept = [place for place in range(len(paths)) if place not in reasons]
        bad = [(paths[place], reasons[place]) for place in sorted(reasons)]
        return images[kept] if bad else images, kept, bad


def decode_some(jobs: list[tuple[str, int, tuple[int, int], str]]) -> list[NDArray[np.uint8] | str]:
    """Decode some files; runs in a separate process.

    Args:
        jobs: for each image its path, channels, size and `fit`.

    Returns:
        For each file the image, uint8 [C, H, W], or the reason why it is unreadable.
    """
    answers: list[NDArray[np.uint8] | str] = []
    for path, channels, size, fit in jobs:
        try:
            answers.append(decode(read_content(path), channels=channels, size=size, fit=fit))
        except DataError as error:
            answers.append(str(error))
    return answers


def _some_below(folder: str) -> Iterator[str]:
    found = None
    for found in _below(folder):
        yield found
    if found is None:
        raise DataError(f"{folder} has no images: expected a folder of PNG, JPEG, WebP, BMP, GIF or TIFF files")


def _below(folder: str) -> Iterator[str]:
    def refuse(error: OSError) -> None:
        raise DataError(
            f"the folder {error.filename} cannot be read ({error.strerror}): check its permissions"
        ) from None

    for root, folders, files in os.walk(folder, onerror=refuse):
        folders[:] = sorted((each for each in folders if not is_junk(each)), key=natural)
        yield from (
            os.path.join(root, name)  # noqa: PTH118 - names may be anything, and are shown as given
            for name in sorted(files, key=natural)
            if not is_junk(name) and may_be_image(name)
        )


def _is_folder(path: str) -> bool:
    try:
        return Path(path).is_dir()
    except (OSError, ValueError):  # too long, or with a null byte: opening it gives the error
        return False


def _bytes(path: str) -> int:
    try:
        return Path(path).stat().st_size
    except (OSError, ValueError):
        return 0
