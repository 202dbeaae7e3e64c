"""Checkpoints: what a training needs to go on from the middle, to the bit.

    checkpoint-000003-000120.safetensors    weights, momentum, and the losses of the epoch so far
    checkpoint-000003-000120.json           where that is, the history so far, and a checksum of both files

That is epoch 3, counted from 1, after 120 of its steps. Order, augmentation and dropout are functions of the seed and
need no place here. The JSON is written last: a checkpoint without it does not exist.
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

from modelzero.errors import RunError, SettingError
from modelzero.runs.folder import write_bytes, write_tensors
from modelzero.runs.record import Epoch, StoredFile
from modelzero.runs.seal import fingerprint, sealed, unsealed
from modelzero.signals import Interruption

EVERY_SECONDS = 60.0
FORMAT = 1
_NAME = re.compile(r"checkpoint-(\d+)-(\d+)\.json")
_KEPT = 2
# So many times the size of a checkpoint has to be free: for this one, for the next, and for the end of the run.
_ROOM = 3
# At the ends of epochs checkpoints are kept as often as this share of the time allows.
_SHARE_OF_TIME = 0.01


# Returns the number of the signal that a training is to end as if by; None to let it continue.
Stopped = Callable[[], int | None]


def never() -> None:
    """Ask for no stop."""


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A training in the middle.

    Args:
        epoch: the one under way, counted from 1.
        step: how many of its steps are done.
        tensors: of the model and its optimizer, by name.
        losses: float64 [step], of the epoch's steps so far.
        rights: int64 [step], how many images of each were right.
        train_seconds: that these took.
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
    """When a training keeps a checkpoint, and where.

    Args:
        path: the folder of the run.
        every: seconds between two; a run that ends sooner has none, unless it is asked to stop. None: only then.
        start: where the training resumes; None at its beginning.
        stopping: gives the number of the signal that asked it to stop, or None.
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
        """Tell whether to `save` now."""
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
            RunError: it could not be written, or there is no room for it; those before are still there.
            Interruption: it is written, and the training was asked to stop.
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
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not seconds > 0:
        raise SettingError(f"checkpoint every {str(seconds)[:40]!r}: expected seconds above 0, such as 60")
    return float(seconds)


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
        # How the numbers lie in memory decides in which order a library adds them up.
        "strides": {name: _strides(tensor) for name, tensor in checkpoint.tensors.items()},
        "history": [asdict(epoch) for epoch in checkpoint.history],
        "file": asdict(written),
    }
    write_bytes(path / f"{name}.json", sealed(described)[1].encode())
    try:
        again = read(path / f"{name}.json")
    except (ValueError, KeyError, TypeError, OSError, SafetensorError) as error:
        raise RunError(f"{file} was written and cannot be read back ({error}): is the disk sound?") from None
    if any(not same_bits(again.tensors[name], tensors[name]) for name in checkpoint.tensors):
        raise RunError(f"{file} is not what was written: is the disk sound?")
    for old in _all(path)[:-_KEPT]:
        _remove(old)


def read(path: Path) -> Checkpoint:
    """Read the checkpoint that a JSON file describes.

    Raises:
        ValueError: it, or the file of its tensors, is not what was written; or KeyError, TypeError, OSError,
            SafetensorError.
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
    """Find the last checkpoint of a run that is whole; say which later ones are damaged, and remove those.

    Raises:
        OSError: one cannot be read, which is no reason to remove it.
    """
    trouble: list[str] = []
    for described in reversed(_all(path)):
        try:
            return read(described), trouble
        except (ValueError, KeyError, TypeError, FileNotFoundError, SafetensorError) as error:
            trouble.append(f"{described.stem} is damaged ({error}): resumed from the one before it")
            _remove(described)
    return None, trouble


def remove_all(path: Path) -> None:
    """Remove the checkpoints of a run that needs none any more."""
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
        raise RunError(f"{path} cannot be written ({error.strerror}): is it still there?") from None
    if free < _ROOM * size:
        raise RunError(
            f"{free / 1e6:.1f} MB are free at {path}, a checkpoint of {size / 1e6:.1f} MB needs {_ROOM} times its "
            "size: make room; then --resume continues from the last one"
        )


def same_bits(one: Tensor, other: Tensor) -> bool:
    """Tell whether two tensors are equal to the bit, NaN or not.

    >>> nan = torch.tensor([float("nan")])
    >>> same_bits(nan, nan.clone()), same_bits(nan, torch.zeros(1)), same_bits(-torch.zeros(1), torch.zeros(1))
    (True, False, False)
    """
    if one.shape != other.shape or one.dtype != other.dtype:
        return False
    return torch.equal(*(tensor.contiguous().view(-1).view(torch.uint8) for tensor in (one, other)))
