"""Files that a command writes: whole or not at all, and never in place of what is no file."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from modelzero.errors import SettingError


def check_writable(path: str | Path, endings: Sequence[str]) -> Path:
    """Return where a file that is to be written really lies: links are followed.

    >>> check_writable(".", [".csv"])
    Traceback (most recent call last):
    modelzero.errors.SettingError: . cannot be written (a folder): choose another file

    Args:
        path: of the file.
        endings: what its name may end with, since a slip must cost no image, no record and no weights.

    Raises:
        SettingError: a folder, a device or a pipe is there, the folder that it is to be in is not, it is no name, or
            one of another kind of file.
    """
    try:
        target = Path(os.path.realpath(path))
        if str(path) in ("", "-"):
            why = "no name"
        elif target.is_dir():
            why = "a folder"
        elif target.exists() and not target.is_file():
            why = "no regular file"
        elif not target.parent.is_dir():
            why = f"there is no folder {target.parent}"
        elif target.suffix.lower() not in endings:
            why = f"its name does not end with {endings[0]}"
        else:
            return target
    except (OSError, ValueError) as error:  # too long, or with a null byte
        why = str(getattr(error, "strerror", None) or error)
    raise SettingError(f"{str(path) or repr('')} cannot be written ({why}): choose another file")


@contextmanager
def replacing(path: str | Path, endings: Sequence[str]) -> Iterator[Path]:
    """Give a temporary file's path; at the end of the block that file takes the place of `path`, with its permissions.

    Raises:
        SettingError: as `check_writable`.
        OSError: it cannot be written. Then, and with any other exception, what lay there before stays.
    """
    target = check_writable(path, endings)
    temporary = target.parent / f".{target.name[:200]}.{os.getpid()}.tmp"
    try:
        yield temporary
        with contextlib.suppress(FileNotFoundError):
            temporary.chmod(stat.S_IMODE(target.stat().st_mode))
        os.replace(temporary, target)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()
