"""The work of a worker: train one cell, or predict the time of training one."""

from __future__ import annotations

import contextlib
import math
import signal
import threading
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cloudpickle
import numpy as np
import torch
from torch import nn

from modelzero.climbing.shared import open_shared
from modelzero.data.batches import epoch_order
from modelzero.data.dataset import ImageData, Split
from modelzero.errors import InputError, ModelZeroError
from modelzero.models.asking import predict_logits
from modelzero.models.build import describe
from modelzero.models.learner import Learner
from modelzero.models.rungs import Rung
from modelzero.models.seeding import seeded
from modelzero.runs.spec import Spec
from modelzero.training.checkpoint import Stopped, never
from modelzero.training.device import Stopwatch, step_seconds, use_threads
from modelzero.training.execute import carry_out
from modelzero.training.fused.loop import Fused
from modelzero.training.fused.loop import rows_of as pixel_rows
from modelzero.training.learned import not_finite
from modelzero.training.loop import NonFiniteLossError
from modelzero.training.resume import resume

# Executors that run jobs as threads of one process share torch's random state: there, cells wait for each other.
_ONE_AT_A_TIME = threading.Lock()

_TRIAL_BATCH = 512  # test images
# Training images of the two fits from which the time of the full fit is predicted, and number of test images.
_TRIAL_FITS, _TRIAL_QUESTIONS = (1000, 4000), 500
# Share of the training images that these two fits use at most, so that a trial takes less than a training.
_TRIAL_SHARES = (0.25, 0.5)


@dataclass(frozen=True, eq=False)
class Job:
    """One cell, or the trial of a rung, as sent to a process.

    Args:
        rung: name of the rung.
        seed: seed of the training.
        pickled: the spec, in a form that supports lambdas and classes defined in a notebook.
        data: the folder that `share` wrote, or the images themselves for a cell trained in this process.
        runs_dir: the folder in which the run is created.
        unfinished: the folder of an interrupted run of this cell, to be resumed.
        take_over: as for `resume`.
    """

    rung: str
    seed: int
    pickled: bytes
    data: Path | ImageData
    runs_dir: Path
    unfinished: Path | None = None
    take_over: bool = False

    @property
    def spec(self) -> Spec:
        """The spec of the cell."""
        spec: Spec = cloudpickle.loads(self.pickled)
        return spec

    def open_data(self) -> ImageData:
        """Return the images."""
        return self.data if isinstance(self.data, ImageData) else open_shared(self.data)


@dataclass(frozen=True)
class CellFailure:
    """A cell that could not be trained.

    Args:
        why: the error message.
        hopeless: whether another seed would fail in the same way.
        not_learned: if its loss became NaN or infinite, as in the run's record; otherwise None.
    """

    why: str
    hopeless: bool
    not_learned: dict[str, Any] | None = None


def is_in_process(job: Job) -> bool:
    """Return whether a cell is trained in a thread of this process: by the compiled kernel, or in no time."""
    return isinstance(job.data, ImageData)


def train_cell(job: Job, stopped: Callable[[], bool] | None = None) -> Path | CellFailure:
    """Train and record one cell on one thread; return the folder of its run.

    Args:
        job: the cell.
        stopped: returns whether to stop; given if the cell is trained in a thread of this process.
    """
    try:
        spec, data = job.spec, job.open_data()
        stop: Stopped = never if stopped is None else lambda: signal.SIGINT if stopped() else None
        with contextlib.nullcontext() if stopped is not None and spec.engine == "fused" else _ONE_AT_A_TIME:
            if job.unfinished is not None:
                return resume(
                    job.unfinished, data, spec.rung, take_over=job.take_over, progress=False, stopped=stop
                ).path
            learner = spec.learner(data.image_shape, len(data.classes))
            return carry_out(spec, data, learner, job.runs_dir, progress=False, stopped=stop).path
    except NonFiniteLossError as error:
        return CellFailure(str(error), hopeless=False, not_learned=not_finite(error.epoch, error.step))
    except ModelZeroError as error:
        return CellFailure(str(error), hopeless=isinstance(error, InputError))
    except Exception as error:
        return CellFailure(describe(error), hopeless=False)


def ready(_: None) -> None:
    """Do nothing: a process that can call this has loaded all that a training needs."""


def try_out(job: Job, stopped: Callable[[], bool] | None = None) -> float | CellFailure:  # noqa: ARG001
    """Predict the seconds that a cell takes to train and evaluate, from a short trial on one thread."""
    with _ONE_AT_A_TIME, use_threads(1), seeded(job.seed), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # they will be recorded in the training
        try:
            spec, data = job.spec, job.open_data()
            learner = spec.learner(data.image_shape, len(data.classes))
            if not learner.by_steps:
                return _seconds_in_one_go(learner, data)
            if spec.engine == "fused":
                return _seconds_fused(spec.rung, learner.model, data)
            return _seconds_by_steps(spec, learner.model, data)
        except ModelZeroError as error:
            return CellFailure(str(error), hopeless=True)
        except Exception as error:
            return CellFailure(describe(error), hopeless=True)


def _seconds_by_steps(spec: Spec, model: nn.Module, data: ImageData) -> float:
    """Time a few steps and one batch of an evaluation on the spec's device, and scale up."""
    rung, device = spec.rung, torch.device(spec.device)
    step = step_seconds(device, model, data, rung)
    model.to(device)
    some = data.test.images[:_TRIAL_BATCH]
    predict_logits(model, some)  # the first batch on an accelerator takes longer
    watch = Stopwatch(device)
    predict_logits(model, some)
    asking = watch.seconds() * len(data.test) / len(some)
    return rung.epochs_for(len(data.train)) * (rung.steps_per_epoch(len(data.train)) * step + asking)


def _seconds_fused(rung: Rung, model: nn.Sequential, data: ImageData) -> float:
    """Time one chunk of steps in the compiled kernel, and scale up."""
    fused = Fused(model, rung)
    images, labels, order = pixel_rows(data.train.images), data.train.labels.numpy(), epoch_order(0, 0, len(data.train))
    steps = rung.steps_per_epoch(len(labels))
    rates, losses, rights = np.zeros(steps, np.float32), np.empty(steps), np.empty(steps, np.int64)
    some = data.test.images[:_TRIAL_BATCH]
    done = slice(0, min(steps, fused.steps_at_once))
    for _ in range(2):  # the first time is a warm-up
        began = time.perf_counter()
        fused.train(images, labels, order.numpy(), done, rates, losses, rights)
        trained = time.perf_counter()
        fused.logits(some)
        asking = (time.perf_counter() - trained) * len(data.test) / len(some)
    return rung.epochs_for(len(labels)) * ((trained - began) * steps / done.stop + asking)


def _seconds_in_one_go(learner: Learner, data: ImageData) -> float:
    """Fit a small and a larger part of the training split, and extrapolate."""
    order = epoch_order(0, 0, len(data.train))
    sizes = [min(size, math.ceil(share * len(order))) for size, share in zip(_TRIAL_FITS, _TRIAL_SHARES, strict=True)]
    asked = data.test.images[:_TRIAL_QUESTIONS]
    times = []
    for size in sizes:
        part = Split(data.train.images[order[:size]], data.train.labels[order[:size]])
        began = time.perf_counter()
        learner.fit(part)
        fitted = time.perf_counter()
        learner.logits(asked)
        times.append((fitted - began, (time.perf_counter() - fitted) * len(data.test) / len(asked)))
    fits, questions = zip(*times, strict=True)
    return _further(sizes, fits, len(order), 1.0) + _further(sizes, questions, len(order), 0.0)


def _further(sizes: list[int], seconds: tuple[float, float], size: int, least_power: float) -> float:
    """Extrapolate the power law through two times to a larger size; the exponent is at most 3."""
    power = math.log(seconds[1] / seconds[0]) / math.log(sizes[1] / sizes[0]) if sizes[1] > sizes[0] else least_power
    return seconds[1] * float((size / sizes[1]) ** min(3.0, max(least_power, power)))
