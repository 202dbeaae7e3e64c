"""The folder of a run: created once, written safely, listed by scanning.

There is no index that could go stale or be corrupted by two writers: a listing is a scan. A folder gets its name only
once its first record is in it; a file gets its name only once all of it is on disk.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import secrets
import shutil
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import filelock
import safetensors.torch
from torch import Tensor

from modelzero.errors import RunError
from modelzero.io.atomic import TEMPORARY, append_bytes, sync_folder, write_whole
from modelzero.io.json import to_json
from modelzero.runs.process import Process
from modelzero.runs.record import HISTORY, LADDER_RECORD, RECORD, Epoch, LadderRecord, RunRecord, StoredFile
from modelzero.runs.run import Run
from modelzero.runs.seal import sealed

_NEW = ".new~"  # prefix of folders that have no record yet
_MOST_NAMES = 100
_LOCK = ".lock"  # exists while a process works in a folder
_NO_LOCKS = (errno.ENOLCK, errno.EOPNOTSUPP)
_swept: set[tuple[int, Path]] = set()
_being_made: set[str] = set()


def create_folder(
    runs_dir: str | Path, label: str, record: RunRecord | LadderRecord, name: str = RECORD
) -> tuple[Path, Any]:
    """Create a folder with a unique name (time, label, six random digits) and its first record.

    Args:
        runs_dir: the folder that will contain it.
        label: part of the name.
        record: the first record, without an id.
        name: file name of the record.

    Returns:
        The folder, and the record with the folder's name as its id.

    Raises:
        RunError: the folder cannot be written. Raised before anything is trained; nothing is left behind.
    """
    runs_dir = Path(runs_dir)
    words = re.sub(r"[^A-Za-z0-9._-]+", "-", label).strip("-.")[:60]
    with writing(runs_dir):
        runs_dir.mkdir(parents=True, exist_ok=True)
        _sweep(runs_dir)
        host = re.sub(r"[^A-Za-z0-9._-]+", "-", socket.gethostname())
        new = runs_dir / f"{_NEW}{os.getpid()}~{host}~{secrets.token_hex(8)}"
        _being_made.add(new.name)
        own = new.name
    try:
        with writing(runs_dir):
            new.mkdir()
        for _ in range(_MOST_NAMES):
            own_name = f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{words}-{secrets.token_hex(3)}"
            named = replace(record, id=own_name)
            write_record(new, named, name)
            path: Path = runs_dir / own_name
            if _renamed(new, path):
                new = path
                with writing(runs_dir):
                    sync_folder(runs_dir)
                return path, named
        raise RunError(  # noqa: TRY301 - the new folder is removed here too
            f"{runs_dir} already contains all {_MOST_NAMES} random folder names tried: choose another --runs-dir"
        )
    except BaseException:
        shutil.rmtree(new, ignore_errors=True)
        _swept.discard((os.getpid(), runs_dir))  # the removal may have failed
        raise
    finally:
        _being_made.discard(own)


def _renamed(new: Path, path: Path) -> bool:
    """Rename a folder; return False if the name is taken."""
    with writing(path.parent):
        try:
            new.rename(path)
        except OSError as error:
            if error.errno in (errno.EEXIST, errno.ENOTEMPTY):
                return False
            raise
    return True


def _sweep(runs_dir: Path) -> None:
    """Remove folders without a record that killed processes of this machine left, once per process and folder."""
    if (os.getpid(), runs_dir) in _swept:
        return
    _swept.add((os.getpid(), runs_dir))
    host = re.sub(r"[^A-Za-z0-9._-]+", "-", socket.gethostname())
    with os.scandir(runs_dir) as entries:
        left = [entry.name for entry in entries if entry.name.startswith(_NEW)]
    for name in left:
        _, number, owner, *_ = [*name.split("~"), "", "", ""]
        ours = number == str(os.getpid())
        if owner != host or not number.isdecimal() or name in _being_made:
            continue
        if ours or not _exists(int(number)):
            shutil.rmtree(runs_dir / name, ignore_errors=True)


def _exists(pid: int) -> bool:
    import psutil

    return bool(psutil.pid_exists(pid))


def write_record(path: Path, record: RunRecord | LadderRecord, name: str = RECORD) -> None:
    """Write `run.json`, or the record of that name, atomically: a reader sees the old one or the new one."""
    _, text = sealed(record.as_dict())
    write_bytes(path / name, text.encode())


def append_history(path: Path, epoch: Epoch) -> None:
    """Append the figures of one epoch to `history.jsonl` immediately."""
    with writing(path):
        append_bytes(path / HISTORY, _line(epoch))


def rewrite_history(path: Path, epochs: list[Epoch]) -> None:
    """Replace `history.jsonl` by the epochs from which a training resumes."""
    write_bytes(path / HISTORY, b"".join(map(_line, epochs)))


def _line(epoch: Epoch) -> bytes:
    return (to_json(epoch.as_dict(), indent=None) + "\n").encode()


def write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> StoredFile:
    """Write tensors as safetensors, never as a pickle; return the size and SHA-256 of the file."""
    return write_file(path, safetensors.torch.save({name: each.cpu().contiguous() for name, each in tensors.items()}))


def write_file(path: Path, content: bytes) -> StoredFile:
    """Write a file of a run like `write_bytes`; return its size and SHA-256."""
    write_bytes(path, content)
    return StoredFile(len(content), hashlib.sha256(content).hexdigest())


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file of a run atomically and durably.

    Raises:
        RunError: it cannot be written.
    """
    with writing(path):
        write_whole(path, content)


def remove_temporaries(path: Path) -> None:
    """Remove partly written files that a killed process left in the folder of its run."""
    with writing(path):
        for left in path.glob(f".*{TEMPORARY}"):
            left.unlink(missing_ok=True)


def read_runs(runs_dir: str | Path) -> tuple[list[Run], list[str]]:
    """Read every run in a folder, oldest first; also return an error message for each unreadable one.

    Raises:
        RunError: the folder itself cannot be read.
    """
    try:
        folders = sorted(
            path
            for path in Path(runs_dir).iterdir()
            if not path.name.startswith(".") and path.is_dir() and not (path / LADDER_RECORD).exists()
        )
    except FileNotFoundError:
        return [], []
    except OSError as error:
        raise RunError(f"{runs_dir} cannot be listed ({error.strerror}): check --runs-dir") from None
    runs, trouble = [], []
    for folder in folders:
        try:
            runs.append(Run.read(folder))
        except RunError as error:
            trouble.append(str(error))
    return sorted(runs, key=lambda run: (run.record.created, run.id)), trouble


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn errors while files are written into a RunError that names the path."""
    try:
        yield
    except (OSError, ValueError) as error:  # ValueError: a path with a null byte
        why = getattr(error, "strerror", None) or error
        raise RunError(
            f"{path} cannot be written ({why}): choose another folder with --runs-dir, or free disk space"
        ) from None


@contextmanager
def claimed(path: Path, what: str = "a run", *, is_new: bool = False) -> Iterator[None]:
    """Lock the folder of a run or a ladder against other processes and other threads of this one.

    Args:
        path: the folder.
        what: `a run` or `a ladder`, for messages.
        is_new: the folder was just created and no other process knows it, so it is used even if it cannot be locked.

    Some network file systems have no locks; there, `refuse_while_written` alone has to notice another process.

    Raises:
        RunError: it is locked already, or it cannot be written.
    """
    lock = filelock.FileLock(path / _LOCK)
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        raise RunError(f"{path} is being written or resumed by another process or thread: wait for it") from None
    except OSError as error:
        if not is_new and error.errno not in _NO_LOCKS:
            raise RunError(
                f"{path} cannot be written ({error.strerror}): {what} can only be resumed in its own folder"
            ) from None
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            (path / _LOCK).unlink(missing_ok=True)  # while it is held: whoever has opened it meanwhile will notice
        lock.release()  # does nothing if it is not held


def refuse_while_written(path: Path, owner: Process | None, *, take_over: bool) -> None:
    """Refuse to resume a run or a ladder that is `running`, unless its process has ended.

    Args:
        path: its folder, which this thread has claimed.
        owner: the process that wrote it last; may be this one.
        take_over: the user states that a process on another host has ended, which cannot be checked from here.

    Raises:
        RunError: the process is running, or may be.
    """
    if owner is None or owner == Process.this():
        return
    alive = owner.is_alive()
    if alive:
        raise RunError(f"{path} is being written by {owner}: wait for it, or end it first")
    if alive is None and not take_over:
        raise RunError(
            f"{path} is being written by {owner}, which cannot be checked from this host: if it has ended, add "
            "--take-over (take_over=True)"
        )
