"""Where downloads and decoded images are kept."""

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
    """Make an empty file that goes at the end of the block; until then it is locked, so that `sweep` lets it be.

    >>> import tempfile
    >>> with temporary_file(Path(tempfile.mkdtemp()), "decoding") as path:
    ...     path.name.startswith(".decoding~"), path.suffix, path.exists()
    (True, '.tmp', True)
    >>> path.exists()
    False

    Raises:
        OSError: it cannot be made.
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
    """Remove what killed processes left: files of `temporary_file` that nobody has locked any more."""
    for path in folder.glob(".*~*.tmp"):
        with contextlib.suppress(OSError):
            if time.time() - path.stat().st_mtime < _JUST_MADE_SECONDS:  # and perhaps not yet locked
                continue
            with path.open("rb") as file:
                if _lock(file.fileno()):
                    path.unlink()


def _lock(number: int) -> bool:
    """Lock a file that is open, for as long as it is open; say whether that was possible. A killed process has none."""
    try:
        import fcntl

        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (ImportError, OSError):
        return False
    return True
