"""Checkpoints, from which a training resumes in the middle of an epoch, identical to the bit.

    checkpoint-000003-000120.safetensors    weights, state of the optimizer, and the losses of the epoch so far
    checkpoint-000003-000120.json           position, history so far, and the checksums of both files

This is epoch 3, counted from 1, after 120 steps. Order, augmentation and dropout are functions of the seed and are not
stored. The JSON is written last: without it, the checkpoint does not count.
"""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from modelzero.errors import RunError, SettingError, as_number
from modelzero.runs.folder import write_bytes, write_tensors
from modelzero.runs.record import Epoch, StoredFile
from modelzero.runs.seal import fingerprint, sealed, unsealed
from modelzero.signals import Interruption

EVERY_SECONDS = 60.0
FORMAT = 1
_NAME = re.compile(r"checkpoint-(\d+)-(\d+)\.json")
_KEPT = 2
# Free space required, as a multiple of a checkpoint's size: for this one, the next, and the end of the run.
_ROOM = 3
# Checkpoints at the ends of epochs may take at most this share of the time.
_SHARE_OF_TIME = 0.01


# Returns the number of the signal that a training should end with; None to let it continue.
Stopped = Callable[[], int | None]


def never() -> None:
    """Never stop a training."""


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """The state of an unfinished training.

    Args:
        epoch: the unfinished epoch, counted from 1.
        step: number of its steps already done.
        tensors: tensors of the model and its optimizer, by name.
        losses: float64 [step], loss of each step of the epoch so far.
        rights: int64 [step], number of correctly classified images of each.
        train_seconds: time of these steps.
        history: the epochs before.
    """

    epoch: int
    step: int
    tensors: Mapping[str, Tensor]
    losses: np.ndarray[Any, Any]
    rights: np.ndarray[Any, Any]
    train_seconds: float
    history: list[Epoch]


class Checkpoints:
    """When and where a training writes checkpoints.

    Args:
        path: the folder of the run.
        every: seconds between two; a run that ends sooner writes none unless it is stopped. None: only when stopped.
        start: the checkpoint to resume from; None to start from the beginning.
        stopping: returns the number of the signal that stops the training, or None.
    """

    def __init__(
        self,
        path: Path,
        every: float | None = EVERY_SECONDS,
        start: Checkpoint | None = None,
        stopping: Stopped = never,
    ) -> None:
        self.path, self.start, self.stopping = path, start, stopping
        self.history: list[Epoch] = [] if start is None else list(start.history)
        self._every = float("inf") if every is None else every
        self._began = self._last = time.monotonic()
        self._cost = 0.0

    def due(self, *, epoch_ended: bool = False) -> bool:
        """Return whether to `save` now."""
        if self.stopping() is not None:
            return True
        now = time.monotonic()
        if now - self._last >= self._every:
            return True
        long = now - self._began >= self._every
        return epoch_ended and long and now - self._last >= self._cost / _SHARE_OF_TIME

    def save(
        self,
        epoch: int,
        step: int,
        tensors: Mapping[str, Tensor],
        losses: np.ndarray[Any, Any],
        rights: np.ndarray[Any, Any],
        train_seconds: float,
    ) -> None:
        """Write a checkpoint, read it back, and remove all but the last two.

        Raises:
            RunError: it could not be written, or there is not enough disk space; the previous ones are kept.
            Interruption: a signal stopped the training; the checkpoint is written.
        """
        began = time.monotonic()
        write(self.path, Checkpoint(epoch, step, tensors, losses, rights, train_seconds, self.history))
        self._last = time.monotonic()
        self._cost = self._last - began
        number = self.stopping()
        if number is not None:
            raise Interruption(number)


def check_every(seconds: object) -> float:
    """Return the seconds between checkpoints as a float, or raise SettingError unless they are more than 0."""
    number = as_number(seconds)
    if not number > 0:
        raise SettingError(f"checkpoint every {str(seconds)[:40]!r}: expected seconds above 0, such as 60")
    return number


def write(path: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint into the folder of its run; see `Checkpoints.save`."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in checkpoint.tensors.items()}
    tensors["losses"], tensors["rights"] = torch.from_numpy(checkpoint.losses), torch.from_numpy(checkpoint.rights)
    tensors = {name: tensor.clone() for name, tensor in tensors.items()}  # weights that layers share are stored twice
    _check_room(path, sum(tensor.nbytes for tensor in tensors.values()))
    name = f"checkpoint-{checkpoint.epoch:06}-{checkpoint.step:06}"
    file = path / f"{name}.safetensors"
    written = write_tensors(file, tensors)
    described = {
        "format": FORMAT,
        "epoch": checkpoint.epoch,
        "step": checkpoint.step,
        "train_seconds": checkpoint.train_seconds,
        # The memory layout decides in which order a library adds up the numbers.
        "strides": {name: _strides(tensor) for name, tensor in checkpoint.tensors.items()},
        "history": [epoch.as_dict() for epoch in checkpoint.history],
        "file": asdict(written),
    }
    write_bytes(path / f"{name}.json", sealed(described)[1].encode())
    try:
        again = read(path / f"{name}.json")
    except (ValueError, KeyError, TypeError, OSError, SafetensorError) as error:
        raise RunError(f"{file} was written but cannot be read back ({error}): check the disk") from None
    if any(not same_bits(again.tensors[name], tensors[name]) for name in checkpoint.tensors):
        raise RunError(f"{file} was written but read back with different values: check the disk")
    for old in _all(path)[:-_KEPT]:
        _remove(old)


def read(path: Path) -> Checkpoint:
    """Read the checkpoint that a JSON file describes.

    Raises:
        ValueError: the JSON or the tensor file is damaged; or KeyError, TypeError, OSError, SafetensorError.
    """
    described = unsealed(path.read_bytes().decode())
    file = path.with_suffix(".safetensors")
    if fingerprint(file) != StoredFile(**described["file"]):
        raise ValueError(f"checksum mismatch of {file.name}")
    stored = safetensors.torch.load_file(file)
    losses, rights = stored.pop("losses").numpy(), stored.pop("rights").numpy()
    tensors = {
        name: torch.empty_strided(tensor.shape, described["strides"][name], dtype=tensor.dtype).copy_(tensor)
        for name, tensor in stored.items()
    }
    history = [Epoch.from_dict(line) for line in described["history"]]
    return Checkpoint(
        described["epoch"], described["step"], tensors, losses, rights, described["train_seconds"], history
    )


def last_good(path: Path) -> tuple[Checkpoint | None, list[str]]:
    """Find the last intact checkpoint of a run; remove damaged later ones and return a message for each.

    Raises:
        OSError: one cannot be read; it is not removed.
    """
    trouble: list[str] = []
    for described in reversed(_all(path)):
        try:
            return read(described), trouble
        except (ValueError, KeyError, TypeError, FileNotFoundError, SafetensorError) as error:
            trouble.append(f"{described.stem} is damaged ({error}) and was removed")
            _remove(described)
    return None, trouble


def remove_all(path: Path) -> None:
    """Remove all checkpoints of a run."""
    for described in _all(path):
        _remove(described)
    for file in path.glob("checkpoint-*.safetensors"):  # whose JSON was never written
        file.unlink(missing_ok=True)


def _all(path: Path) -> list[Path]:
    found = ((_NAME.fullmatch(each.name), each) for each in path.glob("checkpoint-*.json"))
    return [each for _, each in sorted(((int(name[1]), int(name[2])), each) for name, each in found if name)]


def _remove(described: Path) -> None:
    described.unlink(missing_ok=True)
    described.with_suffix(".safetensors").unlink(missing_ok=True)


def _strides(tensor: Tensor) -> list[int]:
    once = all(stride or size <= 1 for stride, size in zip(tensor.stride(), tensor.shape, strict=True))
    return list((tensor if once else tensor.contiguous()).stride())  # one number may stand for many


def _check_room(path: Path, size: int) -> None:
    try:
        free = shutil.disk_usage(path).free
    except OSError as error:
        raise RunError(f"{path} cannot be written ({error.strerror}): check that it still exists") from None
    if free < _ROOM * size:
        raise RunError(
            f"only {free / 1e6:.1f} MB free at {path}: expected {_ROOM} times the {size / 1e6:.1f} MB of a checkpoint; "
            "free disk space, then continue with --resume"
        )


def same_bits(one: Tensor, other: Tensor) -> bool:
    """Return whether two tensors are equal to the bit, including NaN.

    >>> nan = torch.tensor([float("nan")])
    >>> same_bits(nan, nan.clone()), same_bits(nan, torch.zeros(1)), same_bits(-torch.zeros(1), torch.zeros(1))
    (True, False, False)
    """
    if one.shape != other.shape or one.dtype != other.dtype:
        return False
    return torch.equal(*(tensor.contiguous().view(-1).view(torch.uint8) for tensor in (one, other)))
