"""The folder of a run: made once, written safely, listed by looking.

There is no index that could go stale or be torn by two writers: a listing is a scan.
"""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import safetensors.torch
from torch import Tensor, nn

from modelzero.errors import RunError
from modelzero.runs.record import HISTORY, LADDER_RECORD, RECORD, Epoch, Run, to_json


def create_folder(runs_dir: str | Path, label: str) -> Path:
    """Make a new folder of a unique name for a run: when, what, and six random digits.

    Raises:
        RunError: the folder cannot be written; found here, before anything is trained.
    """
    words = re.sub(r"[^A-Za-z0-9._-]+", "-", label).strip("-.")[:60]
    name = f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{words}-{secrets.token_hex(3)}"
    path = Path(runs_dir) / name
    with writing(Path(runs_dir)):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.mkdir()
    return path


def write_record(path: Path, record: Mapping[str, Any], name: str = RECORD) -> None:
    """Write `run.json`, or the record of that name, whole: a reader sees the old one or the new one, never a part."""
    write_bytes(path / name, (to_json(record) + "\n").encode())


def append_history(path: Path, epoch: Epoch) -> None:
    """Append the figures of one epoch to `history.jsonl`, at once."""
    with writing(path), (path / HISTORY).open("a", encoding="utf-8") as file:
        file.write(to_json(epoch, indent=None) + "\n")
        file.flush()
        os.fsync(file.fileno())


def write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write tensors as safetensors, never as a pickle."""
    stored = {name: tensor.cpu().contiguous() for name, tensor in tensors.items()}
    _write_whole(path, lambda temporary: safetensors.torch.save_file(stored, str(temporary)))


def write_model(path: Path, model: nn.Module) -> None:
    """Write a model's weights as safetensors; weights that layers share are stored once."""
    _write_whole(path, lambda temporary: safetensors.torch.save_model(model, str(temporary)))


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file through a temporary one in the same folder, fsync and `os.replace`."""
    _write_whole(path, lambda temporary: temporary.write_bytes(content))


def _write_whole(path: Path, write: Callable[[Path], object]) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with writing(path):
        try:
            write(temporary)
            _sync(temporary)
            os.replace(temporary, path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        if os.name != "nt":  # Windows cannot open folders; there the rename alone has to do
            _sync(path.parent)


def read_all(runs_dir: str | Path) -> tuple[list[Run], list[str]]:
    """Read every run in a folder, the oldest first, and say what could not be read.

    Raises:
        RunError: the folder itself cannot be read.
    """
    try:
        folders = sorted(
            path for path in Path(runs_dir).iterdir() if path.is_dir() and not (path / LADDER_RECORD).exists()
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


def _sync(path: Path) -> None:
    """Make the content of a file, or the names in a folder, durable."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
