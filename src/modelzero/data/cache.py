"""Where downloads and decoded pictures are kept."""

from __future__ import annotations

import contextlib
import os
import re
import socket
import tempfile
import time
from pathlib import Path

import platformdirs

# A file that is being written is not left alone for so long.
_FORGOTTEN_SECONDS = 86_400.0


def cache_folder() -> Path:
    """Return the platform's cache folder for modelzero."""
    return Path(platformdirs.user_cache_dir("modelzero"))


def make_temporary(folder: Path, what: str) -> Path:
    """Make an empty file that says whose it is, so that `sweep` can tell when nobody will finish it.

    >>> import tempfile
    >>> made = make_temporary(Path(tempfile.mkdtemp()), "decoding")
    >>> made.name.startswith(f".decoding~{os.getpid()}~"), made.suffix
    (True, '.tmp')

    Raises:
        OSError: it cannot be made.
    """
    number, name = tempfile.mkstemp(".tmp", f".{what}~{os.getpid()}~{_host()}~", folder)
    os.close(number)
    return Path(name)


def sweep(folder: Path) -> None:
    """Remove what killed processes left: those of this machine at once, and any after a day without a change."""
    with contextlib.suppress(OSError):
        for path in folder.glob(".*~*~*~*.tmp"):  # other names are not ours
            _, number, host, *_ = path.name.split("~")
            with contextlib.suppress(OSError):
                if (host == _host() and number.isdecimal() and not _exists(int(number))) or (
                    time.time() - path.stat().st_mtime > _FORGOTTEN_SECONDS
                ):
                    path.unlink()


def _host() -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", socket.gethostname())


def _exists(pid: int) -> bool:
    import psutil

    return bool(psutil.pid_exists(pid))
