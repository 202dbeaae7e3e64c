"""Read and decode bundles of images in a worker process. Imports little, so that the process starts quickly."""

from __future__ import annotations

import hashlib
import os
import stat

import numpy as np

from modelzero.data.decoding.image import MOST_BYTES, Header, decode, read_header
from modelzero.errors import DataError


def read_content(content: str | bytes) -> bytes:
    """Read the bytes of an item, from regular files only: a pipe or a device may never end.

    Raises:
        DataError: the file cannot be read; the message is the reason.
    """
    if isinstance(content, bytes):
        return content
    try:
        status = os.stat(content)  # noqa: PTH116 - it is a string; a Path would only cost time
        if not stat.S_ISREG(status.st_mode):
            raise DataError("not a regular file")
        with open(content, "rb") as file:  # noqa: PTH123
            # Allocate only the size of the file: reading up to the limit would allocate 256 MB for each image.
            read = file.read(min(status.st_size, MOST_BYTES) + 1)
            if len(read) > status.st_size:  # the file grew meanwhile
                read += file.read(MOST_BYTES)
    except (OSError, ValueError) as error:
        raise DataError(f"cannot be opened: {getattr(error, 'strerror', None) or error}") from None
    return read


def look_at_files(contents: list[str | bytes]) -> list[tuple[str, Header | str]]:
    """Hash some files and read their headers; runs in a worker process."""
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
    """Decode some files into their rows of the shared file; runs in a worker process.

    Args:
        jobs: for each image its file, its row, the path of the shared file, [n, C, H, W] and `fit`.

    Returns:
        None for each decoded image, else the reason.
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
