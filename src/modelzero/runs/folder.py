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
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import safetensors.torch
from torch import Tensor, nn

from modelzero.errors import RunError
from modelzero.io.json import to_json
from modelzero.runs.record import HISTORY, LADDER_RECORD, RECORD, Epoch, Run
from modelzero.runs.seal import sealed

_NEW = ".new~"  # what the name of a folder begins with that has no record yet
_MOST_NAMES = 100
_swept: set[tuple[int, Path]] = set()
_being_made: set[str] = set()


def create_folder(runs_dir: str | Path, label: str, record: dict[str, Any], name: str = RECORD) -> Path:
    """Make a new folder of a unique name with its first record in it: when, what, and six random digits.

    Args:
        runs_dir: where.
        label: what.
        record: gets the name of the folder as `id`.
        name: of the record's file.

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
            record["id"] = f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{words}-{secrets.token_hex(3)}"
            write_record(new, record, name)
            path: Path = runs_dir / record["id"]
            if _renamed(new, path):
                new = path
                with writing(runs_dir):
                    _sync_folder(runs_dir)
                return path
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


def write_record(path: Path, record: Mapping[str, Any], name: str = RECORD) -> dict[str, Any]:
    """Write `run.json`, or the record of that name, whole: a reader sees the old one or the new one, never a part.

    Returns:
        The record as it stands there, with its checksum.
    """
    whole, text = sealed(record)
    write_bytes(path / name, text.encode())
    return whole


def append_history(path: Path, epoch: Epoch) -> None:
    """Append the figures of one epoch to `history.jsonl`, at once."""
    with writing(path), _opened(path / HISTORY, os.O_APPEND) as file:
        _write_all(file, _line(epoch))
        os.fsync(file)


def rewrite_history(path: Path, epochs: list[Epoch]) -> None:
    """Write `history.jsonl` anew: a training goes on from there."""
    write_bytes(path / HISTORY, b"".join(map(_line, epochs)))


def _line(epoch: Epoch) -> bytes:
    return (to_json(epoch, indent=None) + "\n").encode()


def write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    """Write tensors as safetensors, never as a pickle; return the size and SHA-256 of the file."""
    content = safetensors.torch.save({name: tensor.cpu().contiguous() for name, tensor in tensors.items()})
    write_bytes(path, content)
    return {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def write_model(path: Path, model: nn.Module) -> dict[str, Any]:
    """Write a model's weights as safetensors; return the size and SHA-256 of the file.

    Weights that layers share are stored once, under the first of their names. (`safetensors.torch.save_model` keeps any
    of the names, now this one, now that one.) `safetensors.torch.load_model` finds the others.
    """
    tensors, seen = {}, set()
    for name, tensor in model.state_dict().items():
        lies = tensor.data_ptr(), tensor.shape, tensor.stride(), tensor.dtype
        if lies not in seen or not tensor.numel():
            tensors[name] = tensor.detach().clone()
        seen.add(lies)
    return write_tensors(path, tensors)


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file through a temporary one in the same folder, fsync and `os.replace`."""
    with _replacing(path) as temporary, _opened(temporary, os.O_TRUNC) as file:
        _write_all(file, content)
        os.fsync(file)


def remove_temporaries(path: Path) -> None:
    """Remove what a killed process left half written in the folder of its run."""
    with writing(path):
        for left in path.glob(".*.tmp"):
            left.unlink(missing_ok=True)


@contextmanager
def _replacing(path: Path) -> Iterator[Path]:
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with writing(path):
        try:
            yield temporary
            os.replace(temporary, path)
        except BaseException:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
            raise
        _sync_folder(path.parent)


@contextmanager
def _opened(path: Path, how: int) -> Iterator[int]:
    # Not `open`: what is buffered there is written when somebody closes it, and who would see it fail?
    file = os.open(path, os.O_WRONLY | os.O_CREAT | how | getattr(os, "O_BINARY", 0), 0o666)
    try:
        yield file
    finally:
        os.close(file)


def _write_all(file: int, content: bytes) -> None:
    rest = memoryview(content)
    while rest:
        written = os.write(file, rest)
        if not written:
            raise OSError(errno.EIO, "nothing more could be written")
        rest = rest[written:]


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
    return sorted(runs, key=lambda run: (run.record.get("created", ""), run.id)), trouble


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


def _sync_folder(path: Path) -> None:
    """Make the names in a folder durable."""
    if os.name == "nt":  # Windows cannot open folders; there the rename alone has to do
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
