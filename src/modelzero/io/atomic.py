"""Write files atomically, and never replace anything but a regular file."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from modelzero.errors import SettingError

TEMPORARY = ".tmp"  # extension of unfinished files


def check_writable(path: str | Path, endings: Sequence[str]) -> Path:
    """Check that a file can be written, and return its path with links resolved.

    >>> check_writable(".", [".csv"])
    Traceback (most recent call last):
    modelzero.errors.SettingError: . cannot be written (a folder): choose another file

    Args:
        path: path of the file.
        endings: allowed extensions, so that a typo cannot overwrite an image, a record or weights.

    Raises:
        SettingError: the path is a folder, a device or a pipe, its parent folder does not exist, or its name is empty
            or has another extension.
    """
    try:
        target = Path(os.path.realpath(path))
        if str(path) in ("", "-"):
            why = "no name"
        elif target.is_dir():
            why = "a folder"
        elif target.exists() and not target.is_file():
            why = "not a regular file"
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
    """Yield the path of a temporary file; at the end of the block it replaces `path` and gets its permissions.

    Raises:
        SettingError: see `check_writable`.
        OSError: it cannot be written. After any exception the previous file stays.
    """
    target = check_writable(path, endings)
    with whole_file(target) as temporary:
        yield temporary
        with contextlib.suppress(FileNotFoundError):
            temporary.chmod(stat.S_IMODE(target.stat().st_mode))


@contextmanager
def whole_file(target: Path) -> Iterator[Path]:
    """Yield the path of a temporary file in the same folder; at the end of the block it replaces the target.

    A reader sees the old file or the new one, never a part. The rename is durable; to make the content durable, the
    block must call `os.fsync`.

    >>> import tempfile
    >>> target = Path(tempfile.mkdtemp()) / "a.txt"
    >>> with whole_file(target) as temporary:
    ...     _ = temporary.write_text("whole")
    >>> target.read_text(), temporary.exists()
    ('whole', False)

    Raises:
        OSError: it cannot be written. After any exception the previous file stays.
    """
    temporary = target.with_name(f".{target.name[:200]}.{os.getpid()}{TEMPORARY}")
    try:
        yield temporary
        os.replace(temporary, target)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise
    sync_folder(target.parent)


def write_whole(target: Path, content: bytes) -> None:
    """Write a file that is complete and durable, or not at all.

    Raises:
        OSError: it cannot be written.
    """
    with whole_file(target) as temporary:
        append_bytes(temporary, content, how=os.O_TRUNC)


def append_bytes(path: Path, content: bytes, *, how: int = os.O_APPEND) -> None:
    """Append to a file, durably.

    Raises:
        OSError: it cannot be written.
    """
    # Not `open`: it writes its buffer on close, where an error is easily lost.
    file = os.open(path, os.O_WRONLY | os.O_CREAT | how | getattr(os, "O_BINARY", 0), 0o666)
    try:
        rest = memoryview(content)
        while rest:
            written = os.write(file, rest)
            if not written:
                raise OSError(errno.EIO, "no more bytes could be written")
            rest = rest[written:]
        os.fsync(file)
    finally:
        os.close(file)


def sync_folder(path: Path) -> None:
    """Make renames in a folder durable."""
    if os.name == "nt":  # Windows cannot open folders: the rename has to suffice
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
