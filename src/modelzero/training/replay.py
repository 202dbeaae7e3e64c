"""Train a run again from its record alone, and compare the results."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from modelzero.data.dataset import ImageData
from modelzero.errors import RunError, TrainingError
from modelzero.models.rungs import Rung
from modelzero.runs.record import GROUPS, MODEL, PREDICTIONS
from modelzero.runs.run import Run
from modelzero.training.bars import Progress
from modelzero.training.checkpoint import same_bits
from modelzero.training.execute import begun, execute
from modelzero.training.resume import prepare_again

_MEASURED = ("train_seconds", "test_seconds")  # different in every training


@dataclass(frozen=True)
class Difference:
    """One number that differs between run and replay.

    Args:
        where: `epoch 2`, `weights`, or `predictions`.
        field: the name of the figure or tensor.
        recorded: the value in the record.
        replayed: the value of the replay.
    """

    where: str
    field: str
    recorded: Any
    replayed: Any

    def __str__(self) -> str:
        both = isinstance(self.recorded, int | float) and isinstance(self.replayed, int | float)
        by = f", by {abs(self.replayed - self.recorded):.3g}" if both else ""
        return f"{self.where}, {self.field}: recorded {self.recorded}, now {self.replayed}{by}"


@dataclass(frozen=True)
class Replay:
    """The result of a replay.

    Args:
        run: the name of the run.
        differences: the numbers that differ, in order of appearance.
        environment: a message for each difference in versions, machine and settings.
        seconds: training time of the replay.
        altered: whether the record was changed after it was written.
    """

    run: str
    differences: tuple[Difference, ...]
    environment: tuple[str, ...]
    seconds: float
    altered: bool = False

    @property
    def identical(self) -> bool:
        """Whether weights, predictions and history are identical, bit for bit."""
        return not self.differences

    def as_dict(self) -> dict[str, Any]:
        """Return the document of `modelzero replay --json`."""
        return {"identical": self.identical, **asdict(self)}


def replay(
    path: str | Path,
    data: ImageData | str | Path | None = None,
    model: str | Rung | Callable[..., Any] | None = None,
    *,
    progress: Progress | bool | None = None,
) -> Replay:
    """Train a run again from its record, and compare weights, predictions and history bit for bit.

    >>> import tempfile, modelzero as mz
    >>> run = mz.train("digits", "model0", epochs=1, runs_dir=tempfile.mkdtemp())
    >>> mz.replay(run.path).identical
    True

    Args:
        path: the folder of a finished run.
        data: the images, or what `load` takes, if the record cannot load them.
        model: the model, if it is one of your own.
        progress: as for `train`.

    Raises:
        RunError: there is no finished run, its files are damaged, or it used an accelerator that this machine lacks.
        DataError: the images are no longer those of the record.
        ModelError: a model of your own is missing, or `model` is a different one.
        TrainingError: the training failed this time.
    """
    run = Run.read(path, changed=True)  # a replay may serve to expose a changed record
    if run.status != "finished":
        raise RunError(f"run {run.id} is {run.status}: expected a finished run; {run.what_to_do}")
    run.check_tensors()  # before the long training, not after it
    again = prepare_again(run, data, model, by="mz.replay")
    with tempfile.TemporaryDirectory(prefix="modelzero-replay-") as folder:
        try:
            with begun(again.spec, again.data, again.learner, folder) as new:
                done = execute(
                    again.spec, again.data, new, learner=again.learner, checkpoint_every=None, progress=progress
                )
        except RunError:  # also an UnfinishedError: the disk is full
            raise RunError(
                f"the replay of {run.id} cannot be written to {tempfile.gettempdir()}: free disk space, or set TMPDIR"
            ) from None
        except TrainingError as error:
            raise TrainingError(f"the replay of {run.id} failed: {error.what}") from error
        differences = [*_in_history(run, done)]
        if MODEL in (done.record.files or {}):
            differences += _in_tensors("weights", run, done, MODEL)
        differences += _in_tensors("predictions", run, done, PREDICTIONS)
    changed = run.record.environment.differences(done.record.environment)
    return Replay(run.id, tuple(differences), tuple(changed), done.train_seconds, _altered(path))


def _altered(path: str | Path) -> bool:
    try:
        Run.read(path)
    except RunError:
        return True
    return False


def _in_history(run: Run, done: Run) -> Iterator[Difference]:
    for before, now in zip(run.history, done.history, strict=False):
        figures = asdict(now)
        for name, value in asdict(before).items():
            same = value == figures[name] or (value != value and figures[name] != figures[name])
            if name not in _MEASURED and not same:
                yield Difference(f"epoch {before.epoch}", name, value, figures[name])
    if len(run.history) != len(done.history):
        yield Difference("history", "epochs", len(run.history), len(done.history))


def _in_tensors(where: str, run: Run, done: Run, name: str) -> Iterator[Difference]:
    before, now = run.tensors(name), done.tensors(name)
    for key in sorted(before.keys() | now.keys()):
        if key == GROUPS and not (key in before and key in now):
            continue  # not a result of the training; older records lack them
        if key not in before or key not in now:
            yield Difference(where, key, "there" if key in before else "absent", "there" if key in now else "absent")
        elif not same_bits(before[key], now[key]):
            yield _first(where, key, before[key], now[key])


def _first(where: str, key: str, before: Tensor, now: Tensor) -> Difference:
    if before.shape != now.shape or before.dtype != now.dtype:
        return Difference(where, key, f"{before.dtype} {list(before.shape)}", f"{now.dtype} {list(now.shape)}")
    # Compare bits: -0.0 equals 0.0, and NaN differs from itself.
    bits = [tensor.contiguous().view(-1, 1).view(torch.uint8) for tensor in (before, now)]
    apart = torch.nonzero((bits[0] != bits[1]).any(1)).view(-1)
    count = f"{len(apart):,} of {before.numel():,}"
    place = int(apart[0])
    what = f"{key} ({count} differ, the first at {place})"
    return Difference(where, what, before.view(-1)[place].item(), now.view(-1)[place].item())
