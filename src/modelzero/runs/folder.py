"""The folder of a run: made once, written safely, listed by looking.

There is no index that could go stale or be torn by two writers: a listing is a scan. A folder gets its name only when
its first record is in it; a file gets its name only when all of it is on the disk.
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

_NEW = ".new~"  # what the name of a folder begins with that has no record yet
_MOST_NAMES = 100
_LOCK = ".lock"  # while somebody works in a folder
_swept: set[tuple[int, Path]] = set()
_being_made: set[str] = set()


def create_folder(
    runs_dir: str | Path, label: str, record: RunRecord | LadderRecord, name: str = RECORD
) -> tuple[Path, Any]:
    """Make a new folder of a unique name with its first record in it: when, what, and six random digits.

    Args:
        runs_dir: where.
        label: what.
        record: its first record, without an id.
        name: of the record's file.

    Returns:
        The folder, and the record with the folder's name as its id.

    Raises:
        RunError: the folder cannot be written; found here, before anything is trained. Nothing stays behind.
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
        raise RunError(  # noqa: TRY301 - what was made is removed here too
            f"{runs_dir} has a folder of each of {_MOST_NAMES} names that were drawn: give another --runs-dir"
        )
    except BaseException:
        shutil.rmtree(new, ignore_errors=True)
        _swept.discard((os.getpid(), runs_dir))  # it may not have been removed
        raise
    finally:
        _being_made.discard(own)


def _renamed(new: Path, path: Path) -> bool:
    """Give a folder its name, unless somebody else has drawn the same."""
    with writing(path.parent):
        try:
            new.rename(path)
        except OSError as error:
            if error.errno in (errno.EEXIST, errno.ENOTEMPTY):
                return False
            raise
    return True


def _sweep(runs_dir: Path) -> None:
    """Remove what killed processes of this machine left without a record: once for each process and folder."""
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
    """Write `run.json`, or the record of that name, whole: a reader sees the old one or the new one, never a part."""
    _, text = sealed(record.as_dict())
    write_bytes(path / name, text.encode())


def append_history(path: Path, epoch: Epoch) -> None:
    """Append the figures of one epoch to `history.jsonl`, at once."""
    with writing(path):
        append_bytes(path / HISTORY, _line(epoch))


def rewrite_history(path: Path, epochs: list[Epoch]) -> None:
    """Replace `history.jsonl`: a training resumes from there."""
    write_bytes(path / HISTORY, b"".join(map(_line, epochs)))


def _line(epoch: Epoch) -> bytes:
    return (to_json(epoch, indent=None) + "\n").encode()


def write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> StoredFile:
    """Write tensors as safetensors, never as a pickle; return the size and SHA-256 of the file."""
    content = safetensors.torch.save({name: tensor.cpu().contiguous() for name, tensor in tensors.items()})
    write_bytes(path, content)
    return StoredFile(len(content), hashlib.sha256(content).hexdigest())


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file of a run, whole and durable.

    Raises:
        RunError: it cannot be written.
    """
    with writing(path):
        write_whole(path, content)


def remove_temporaries(path: Path) -> None:
    """Remove what a killed process left half written in the folder of its run."""
    with writing(path):
        for left in path.glob(f".*{TEMPORARY}"):
            left.unlink(missing_ok=True)


def read_all(runs_dir: str | Path) -> tuple[list[Run], list[str]]:
    """Read every run in a folder, the oldest first, and say what could not be read.

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
    """Turn what goes wrong while files are written into a RunError that names the path."""
    try:
        yield
    except (OSError, ValueError) as error:  # ValueError: a path with a null byte
        why = getattr(error, "strerror", None) or error
        raise RunError(
            f"{path} cannot be written ({why}): choose another folder with --runs-dir, or make room"
        ) from None


@contextmanager
def claimed(path: Path, what: str = "a run") -> Iterator[None]:
    """Make sure that no other process, and no other thread of this one, works in the folder of a run or a ladder.

    Raises:
        RunError: another one does so right now, or the folder cannot be written.
    """
    lock = filelock.FileLock(path / _LOCK)
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        raise RunError(f"{path} is being written or resumed by another process or thread: wait for it") from None
    except OSError as error:
        raise RunError(
            f"{path} cannot be written ({error.strerror}): {what} can only be resumed in its own folder"
        ) from None
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            (path / _LOCK).unlink(missing_ok=True)  # while it is held: who opened it meanwhile will notice
        lock.release()


def refuse_while_written(path: Path, owner: Process | None, *, take_over: bool) -> None:
    """Refuse to resume a run or a ladder that is `running`, unless its process is gone.

    Args:
        path: its folder, which this thread has claimed.
        owner: the process that writes it, or did; this one may have given it up.
        take_over: the user says that a process on another host is gone, which nobody here can know.

    Raises:
        RunError: the process is at work, or may be.
    """
    if owner is None or owner == Process.this():
        return
    alive = owner.is_alive()
    if alive:
        raise RunError(f"{path} is being written by {owner}: wait for it, or end it first")
    if alive is None and not take_over:
        raise RunError(
            f"{path} is being written by {owner}, or was: whether that is still alive cannot be known here; if it has "
            "ended, give --take-over (take_over=True)"
        )
