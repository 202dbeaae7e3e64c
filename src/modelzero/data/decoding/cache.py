"""The cache folder for downloads and decoded images, and its temporary files."""

from __future__ import annotations

import contextlib
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import platformdirs

_JUST_MADE_SECONDS = 60.0


def cache_folder() -> Path:
    """Return the platform's cache folder for modelzero."""
    return Path(platformdirs.user_cache_dir("modelzero"))


@contextlib.contextmanager
def temporary_file(folder: Path, what: str) -> Iterator[Path]:
    """Create an empty file and delete it after the block; meanwhile it is locked, so that `sweep` keeps it.

    >>> import tempfile
    >>> with temporary_file(Path(tempfile.mkdtemp()), "decoding") as path:
    ...     path.name.startswith(".decoding~"), path.suffix, path.exists()
    (True, '.tmp', True)
    >>> path.exists()
    False

    Raises:
        OSError: the file cannot be created.
    """
    number, name = tempfile.mkstemp(".tmp", f".{what}~", folder)
    path = Path(name)
    try:
        _lock(number)
        yield path
    finally:
        path.unlink(missing_ok=True)
        os.close(number)


def sweep(folder: Path) -> None:
    """Remove temporary files that killed processes left: those that are no longer locked."""
    for path in folder.glob(".*~*.tmp"):
        with contextlib.suppress(OSError):
            if time.time() - path.stat().st_mtime < _JUST_MADE_SECONDS:  # it may not be locked yet
                continue
            with path.open("rb") as file:
                if _lock(file.fileno()):
                    path.unlink()


def _lock(number: int) -> bool:
    """Lock an open file until it is closed; return whether that worked. A killed process loses its locks."""
    try:
        import fcntl

        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (ImportError, OSError):
        return False
    return True
