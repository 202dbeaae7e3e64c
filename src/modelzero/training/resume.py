"""Resume an interrupted run, with results identical to the bit."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from modelzero.data.dataset import ImageData
from modelzero.data.load import load, load_again
from modelzero.errors import DataError, RunError
from modelzero.models.learner import Learner
from modelzero.models.rungs import Rung
from modelzero.runs.folder import (
    claimed,
    refuse_while_written,
    remove_temporaries,
    rewrite_history,
    write_record,
    writing,
)
from modelzero.runs.process import Process
from modelzero.runs.record import Environment, Resumption, RunRecord
from modelzero.runs.run import Run
from modelzero.runs.spec import Spec, check_same_data, check_same_model
from modelzero.training.bars import Progress
from modelzero.training.checkpoint import (
    EVERY_SECONDS,
    Checkpoint,
    Stopped,
    check_every,
    last_good,
    never,
    remove_all,
)
from modelzero.training.device import accelerators
from modelzero.training.execute import executed, with_second_chance


@dataclass(frozen=True, eq=False)
class Prepared:
    """A recorded run, ready to be executed.

    Args:
        spec: everything that determines the run.
        data: the images.
        learner: the model, just built.
    """

    spec: Spec
    data: ImageData
    learner: Learner


def resume(
    path: str | Path,
    data: ImageData | str | Path | None = None,
    model: str | Rung | Callable[..., Any] | None = None,
    *,
    checkpoint_every: float | None = EVERY_SECONDS,
    take_over: bool = False,
    progress: Progress | bool | None = None,
    stopped: Stopped = never,
) -> Run:
    """Resume a run that was interrupted, killed, or ran out of disk space, in its own folder.

    It continues from the last intact checkpoint, or from the beginning if there is none, and ends with the same
    weights and predictions, bit for bit, as without the interruption. A finished run is read back.

    >>> import tempfile, modelzero as mz
    >>> run = mz.train("digits", "model0", epochs=1, runs_dir=tempfile.mkdtemp())
    >>> mz.resume(run.path).history == run.history
    True

    Args:
        path: the folder of the run.
        data: the images, or what `load` takes, if the record cannot load them: those of `from_arrays` or `from_torch`,
            or a folder that was moved.
        model: the model, if it is one of your own.
        checkpoint_every: as for `train`.
        take_over: resume a run that was written by a process on another host, which you know has ended.
        progress: as for `train`.
        stopped: called after each step; returns the number of the signal to end with, or None.

    Raises:
        RunError: there is no run, its record is damaged, another process is writing it, or it used an accelerator that
            this machine lacks.
        DataError: the images are no longer those of the record.
        ModelError: a model of your own is missing, or `model` is a different one.
        TrainingError, Interruption: as for `train`.
    """
    path = Path(path)
    checkpoint_every = None if checkpoint_every is None else check_every(checkpoint_every)
    run = Run.read(path)
    if run.status == "finished":
        with contextlib.suppress(OSError, RunError):  # files that it had no time to remove
            remove_temporaries(path)
            remove_all(path)
        return run.using(model)
    with claimed(path):
        run = Run.read(path)  # it may have ended meanwhile
        if run.status == "finished":
            return run.using(model)
        if run.status == "running":
            refuse_while_written(path, run.record.process, take_over=take_over)
        again = prepare_again(run, data, model)
        remove_temporaries(path)
        with writing(path):
            start, trouble = last_good(path) if run.record.engine else (None, [])
            if start is None:
                remove_all(path)
        rewrite_history(path, [] if start is None else start.history)
        write_record(path, _resumed(run.record, start, trouble))
        how: dict[str, Any] = {"checkpoint_every": checkpoint_every, "progress": progress, "stopped": stopped}
        run, error = executed(again.spec, again.data, path, start, learner=again.learner, **how)
    return with_second_chance(run, error, again.spec, again.data, **how)


def _resumed(record: RunRecord, start: Checkpoint | None, trouble: list[str]) -> RunRecord:
    """Return the record of a run that is about to continue."""
    now = Environment.here(record.environment.threads, record.environment.device)
    resumption = Resumption(
        at=datetime.now(UTC).isoformat(timespec="microseconds"),
        epoch=1 if start is None else start.epoch,
        step=0 if start is None else start.step,
        trouble=trouble,
        differs=record.environment.differences(now),
    )
    return replace(
        record,
        status="running",
        process=Process.this(),
        failure=None,
        files=None,
        learned=None,
        not_learned=None,
        warnings=None if record.warnings is None else (),  # a fit starts over
        resumed=(*(record.resumed or ()), resumption),
    )


def prepare_again(
    run: Run,
    data: ImageData | str | Path | None = None,
    model: str | Rung | Callable[..., Any] | None = None,
    *,
    by: str = "mz.resume",
) -> Prepared:
    """Load the data of a record and build its model.

    Args:
        run: the run.
        data: the images, or what `load` takes; None if the record can load them.
        model: the model, if it is the user's own; None for a built-in one.
        by: the function that takes `data` and `model`, for messages.

    Raises:
        RunError: it was trained on an accelerator that this machine lacks.
        DataError: the images are not available, or not those of the record.
        ModelError: a model of the user's own is missing, or `model` is a different one.
    """
    record = run.record
    spec = Spec.of(record, model, by=by)
    if spec.device.partition(":")[0] not in ("cpu", *accelerators()):
        raise RunError(
            f"run {run.id} was trained on {spec.device} ({record.environment.accelerator}), which is not on this "
            "machine, or this torch cannot use it: resume on a machine that has one"
        )
    if data is None:
        if record.data.origin is None:
            raise DataError(
                f"run {run.id} was trained on {record.data.name!r} ({record.data.source}), which the record cannot "
                f"load again: pass it as {by}({str(run.path)!r}, data=...)"
            )
        data = load_again(record.data.origin)
    elif not isinstance(data, ImageData):
        data = load(data)
    check_same_data(record, data)
    learner = spec.learner(data.image_shape, len(data.classes))
    check_same_model(record, learner)
    return Prepared(spec, data, learner)
