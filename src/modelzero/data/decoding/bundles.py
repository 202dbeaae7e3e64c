"""What a process does that reads and decodes images, bundle by bundle. It imports little, to start quickly."""

from __future__ import annotations

import hashlib
import os
import stat

import numpy as np

from modelzero.data.decoding.image import MOST_BYTES, Header, decode, read_header
from modelzero.errors import DataError


def read_content(content: str | bytes) -> bytes:
    """Read the bytes of an item: of a regular file only, since a pipe or a device may never end.

    Raises:
        DataError: the reason why not.
    """
    if isinstance(content, bytes):
        return content
    try:
        status = os.stat(content)  # noqa: PTH116 - text it came as, and a Path is made for nothing
        if not stat.S_ISREG(status.st_mode):
            raise DataError("it is no regular file")
        with open(content, "rb") as file:  # noqa: PTH123
            # Room for as much as there is: for all that may be would be 256 MB of fresh memory for each image.
            read = file.read(min(status.st_size, MOST_BYTES) + 1)
            if len(read) > status.st_size:  # it grew meanwhile
                read += file.read(MOST_BYTES)
    except (OSError, ValueError) as error:
        raise DataError(f"it cannot be opened: {getattr(error, 'strerror', None) or error}") from None
    return read


def look_at_files(contents: list[str | bytes]) -> list[tuple[str, Header | str]]:
    """Hash some files and read their headers; runs in a process of its own."""
    answers: list[tuple[str, Header | str]] = []
    for each in contents:
        digest = "unreadable"
        try:
            content = read_content(each)
            digest = hashlib.sha256(content).hexdigest()
            answers.append((digest, read_header(content)))
        except DataError as error:
            answers.append((digest, str(error)))
    return answers


def decode_files(jobs: list[tuple[str | bytes, int, str, tuple[int, ...], str]]) -> list[str | None]:
    """Decode some files into their places of the common file; runs in a process of its own.

    Args:
        jobs: for each image its file, its place, the path of the common file, [n, C, H, W] and `fit`.

    Returns:
        None for what was decoded, else the reason.
    """
    answers: list[str | None] = []
    target = None
    for content, place, path, shape, fit in jobs:
        try:
            if target is None:
                target = np.load(path, mmap_mode="r+")
            target[place] = decode(read_content(content), channels=shape[1], size=(shape[2], shape[3]), fit=fit)
            answers.append(None)
        except DataError as error:
            answers.append(str(error))
    return answers
