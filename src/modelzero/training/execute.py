"""Turn a spec into a run: prepare, loop, evaluate, record. Every run is created here."""

from __future__ import annotations

import contextlib
import math
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from threadpoolctl import threadpool_limits
from torch import Tensor, nn

from modelzero.data.dataset import ImageData, Split
from modelzero.errors import ModelError, RunError, TrainingError, UnfinishedError
from modelzero.models.build import describe
from modelzero.models.learner import Learner
from modelzero.models.recipe import Recipe
from modelzero.models.seeding import seeded
from modelzero.models.skops_file import INSTALL
from modelzero.runs.folder import append_history, claimed, create_folder, write_file, write_record, write_tensors
from modelzero.runs.record import CLASSIFIER, GROUPS, MODEL, PREDICTIONS, Epoch, Failure, RunRecord, kept_of
from modelzero.runs.run import Run, read_record
from modelzero.runs.spec import Spec
from modelzero.signals import Interruption, exit_code, noted
from modelzero.training.bars import Bars, Progress, Silence
from modelzero.training.checkpoint import (
    EVERY_SECONDS,
    Checkpoint,
    Checkpoints,
    Stopped,
    never,
    remove_all,
    same_bits,
)
from modelzero.training.device import PeakMemory, Stopwatch, use_threads
from modelzero.training.early import described, hold_out
from modelzero.training.fused.loop import fused_epochs
from modelzero.training.learned import Steps, not_finite, not_learned
from modelzero.training.loop import NonFiniteLossError, score, train_epochs
from modelzero.training.objective import class_weights
from modelzero.training.settle import own_random_numbers


@contextlib.contextmanager
def begun(spec: Spec, data: ImageData, learner: Learner, runs_dir: str | Path) -> Iterator[Path]:
    """Create the folder of a run with its first record, and lock it during the block.

    Raises:
        RunError: it cannot be written; nothing is left behind.
    """
    path, _ = create_folder(runs_dir, f"{spec.rung.name}-seed{spec.seed}", spec.record(data, learner))
    with claimed(path, is_new=True):
        yield path


def carry_out(spec: Spec, data: ImageData, learner: Learner, runs_dir: str | Path, **how: Any) -> Run:
    """Train in a new folder, and if that does not learn, once more in another one; see `Recipe.second_chance`.

    Args:
        spec: what to train, and how.
        data: the images.
        learner: the spec's model, just built.
        runs_dir: the folder in which the run is created.
        **how: as for `execute`.

    Raises:
        TrainingError, UnfinishedError, Interruption: as for `execute`.
    """
    with begun(spec, data, learner, runs_dir) as folder:
        run, error = executed(spec, data, folder, learner=learner, **how)
    return with_second_chance(run, error, spec, data, **how)


def executed(
    spec: Spec, data: ImageData, folder: Path, start: Checkpoint | None = None, **how: Any
) -> tuple[Run, NonFiniteLossError | None]:
    """Do the same as `execute`, but return an error because of the loss instead of raising it."""
    try:
        return execute(spec, data, folder, start, **how), None
    except NonFiniteLossError as error:
        return Run.read(folder), error


def with_second_chance(run: Run, error: NonFiniteLossError | None, spec: Spec, data: ImageData, **how: Any) -> Run:
    """Return a run that learned; repeat one that did not with a third of the rate, if its recipe wants that.

    Args:
        run: the run of the spec, finished or failed.
        error: why it failed; None if it finished. Raised if the run is not repeated.
        spec: its spec.
        data: the images.
        **how: as for `execute`.
    """
    again = spec.second(run.record)
    if again is None:
        if error is not None:
            raise error
        return run
    learner = again.learner(data.image_shape, len(data.classes))
    with begun(again, data, learner, run.path.parent) as folder:
        write_record(run.path, replace(run.record, repeated_as=folder.name))
        return execute(again, data, folder, learner=learner, **how)


def execute(
    spec: Spec,
    data: ImageData,
    folder: Path,
    start: Checkpoint | None = None,
    *,
    learner: Learner | None = None,
    checkpoint_every: float | None = EVERY_SECONDS,
    progress: Progress | bool | None = None,
    stopped: Stopped = never,
) -> Run:
    """Run the training that a spec describes, from the beginning or from a checkpoint, and record it.

    >>> import tempfile, modelzero as mz
    >>> from modelzero.models.rungs import rung_named
    >>> data = mz.load("digits")
    >>> spec = Spec(rung=rung_named("centroid"), seed=42, random=False, randomness="known")
    >>> learner = spec.learner(data.image_shape, len(data.classes))
    >>> with begun(spec, data, learner, tempfile.mkdtemp()) as folder:
    ...     execute(spec, data, folder, learner=learner).status
    'finished'

    Args:
        spec: what to train, and how.
        data: the images.
        folder: folder of the run with its first record; claimed by the caller.
        start: the checkpoint to resume from.
        learner: the spec's model, if it has just been built; None builds it.
        checkpoint_every: seconds between two checkpoints; None writes one only when a signal stops the training.
        progress: whether to show bars; None means only in terminals and notebooks. Or an object with the methods of
            `Progress`.
        stopped: called after each step; returns the number of the signal to end with, or None.

    Raises:
        TrainingError: the loss became NaN or infinite, or the model failed; the run is recorded as `failed`.
        UnfinishedError: the folder could no longer be written; everything completed before is kept.
        Interruption: a signal stopped it; a checkpoint is written.
    """
    with contextlib.ExitStack() as stack:
        if learner is None:
            learner = spec.learner(data.image_shape, len(data.classes))
        training, held_out = data, None
        if learner.by_steps and spec.rung.early_stopping is not None:
            training, held_out = hold_out(data, spec.rung.early_stopping, spec.seed)
        learner.measure(training.train)
        stopping = stack.enter_context(noted()) if learner.by_steps else never
        stack.enter_context(own_random_numbers(spec.engine))
        listener: Progress = Silence()
        if learner.by_steps and not (progress is None or isinstance(progress, bool)):
            listener = progress
        elif learner.by_steps and (progress is None or progress is True):
            done = 0 if start is None else start.epoch - 1
            bars = Bars(spec.rung.name, spec.rung.epochs, len(training.train), show=progress, done=done)
            listener = stack.enter_context(bars)
        checkpoints = Checkpoints(folder, checkpoint_every, start, lambda: stopped() or stopping())
        stack.enter_context(use_threads(spec.threads))
        trainer = _Trainer(spec, training, listener, checkpoints, held_out)
        run = _recorded(Recorder(folder, checkpoints.history), learner, trainer)
        number = checkpoints.stopping()
    if number is not None:  # it came too late to stop the training
        raise Interruption(number, folder)
    return run


class _Trainer:
    """Trains a learner according to a spec; yields the figures and test logits [N, classes] of each epoch."""

    def __init__(
        self, spec: Spec, data: ImageData, listener: Progress, checkpoints: Checkpoints, held_out: Split | None
    ) -> None:
        self.spec, self.data, self.listener, self.checkpoints = spec, data, listener, checkpoints
        self.held_out = held_out
        self.warned: list[str] = []

    def by_steps(self, module: nn.Module) -> Iterator[tuple[Epoch, Tensor]]:
        """Train by gradient steps, with the engine of the spec."""
        spec = self.spec
        if spec.engine == "fused":
            return fused_epochs(
                module,  # type: ignore[arg-type]  # the engine has been chosen for this kind of module
                self.data,
                spec.rung,
                seed=spec.seed,
                threads=spec.threads,
                progress=self.listener,
                checkpoints=self.checkpoints,
            )
        return train_epochs(
            module,
            self.data,
            spec.rung,
            seed=spec.seed,
            device=torch.device(spec.device),
            progress=self.listener,
            checkpoints=self.checkpoints,
            held_out=self.held_out,
        )

    def in_one_go(self, learner: Learner) -> Iterator[tuple[Epoch, Tensor]]:
        """Fit and evaluate once.

        The training images are not evaluated: for some models that takes longer than everything else. A classifier
        without `random_state` draws from the global generators, which are seeded meanwhile.
        """
        cpu, data = torch.device("cpu"), self.data
        with _alone(self.spec), warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            watch = Stopwatch(cpu)
            learner.fit(data.train)
            train_seconds = watch.seconds()
            watch = Stopwatch(cpu)
            test_logits = learner.logits(data.test.images)
            test_seconds = watch.seconds()
        said = {f"{each.category.__name__}: {' '.join(str(each.message).split())}" for each in caught}
        self.warned = sorted(said)
        figures = Epoch(
            epoch=1,
            train_loss=math.nan,
            train_accuracy=math.nan,
            train_accuracy_batch_mean=math.nan,
            **score(test_logits, data.test.labels, Recipe.batch_size),
            train_seconds=train_seconds,
            test_seconds=test_seconds,
        )
        yield figures, test_logits

    def stopped_early(self, derived: Mapping[str, str], history: list[Epoch]) -> dict[str, Any]:
        """Return what a record says about early stopping once the training has ended."""
        held_out, rung = len(self.held_out or ()), self.spec.rung
        images = held_out + len(self.data.train)
        what = described(history, rung.epochs, rung.patience, held_out, images)
        return {"held_out": held_out, "derived": {**derived, "early_stopping": what}}


@contextlib.contextmanager
def _alone(spec: Spec) -> Iterator[None]:
    """Fit and evaluate with the threads and the random numbers of a spec."""
    with threadpool_limits(limits=spec.threads), seeded(spec.seed):
        yield


def fitted_again(spec: Spec, data: ImageData, run: Run) -> Learner:
    """Fit a classifier once more that is not stored, as its run did, which takes as long as its training.

    Args:
        spec: a spec of its rung, of any seed.
        data: the images that it was trained on.
        run: the finished run.

    Raises:
        ModelError: it gives other predictions than the run, so it is another model.
    """
    spec = Spec.of(run.record, spec.rung)
    learner = spec.learner(data.image_shape, len(data.classes))
    with use_threads(spec.threads), _alone(spec), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        learner.fit(data.train)
        logits = learner.logits(data.test.images)
    if not same_bits(logits, run.test_logits):
        raise ModelError(
            f"run {run.id} fitted {run.record.model!r}, a scikit-learn classifier that is not stored, and fitted again "
            f"it gives other predictions: {INSTALL}, then train it again"
        )
    return learner.trained()


class Recorder:
    """Keeps the record of a run up to date during training.

    Args:
        folder: folder of the run, with its first record.
        history: the epochs so far; extended in place.
    """

    def __init__(self, folder: Path, history: list[Epoch]) -> None:
        self.folder, self.history = folder, history
        self.record: RunRecord = read_record(folder)
        self._memory = PeakMemory()

    def add(self, epoch: Epoch) -> None:
        """Append the figures of an epoch."""
        self.history.append(epoch)
        append_history(self.folder, epoch)

    def save(self, status: str, unfinished_tests: int = 0, **changes: Any) -> None:
        """Write the record.

        Args:
            status: status of the run.
            unfinished_tests: evaluations of the test split without figures in the history.
            **changes: other fields of the record.

        Raises:
            RunError: it cannot be written.
        """
        self.record = replace(
            self.record,
            status=status,
            history=tuple(self.history),
            train_seconds=sum(epoch.train_seconds for epoch in self.history),
            peak_memory_bytes=self._memory.bytes(),
            test_reads=len(self.history) + unfinished_tests,  # one evaluation after each epoch
            **changes,
        )
        write_record(self.folder, self.record)

    def save_if_possible(self, status: str, unfinished_tests: int = 0, **changes: Any) -> bool:
        """Write the record like `save`; return whether that was possible.

        The reason why a training ended must be shown even if the disk is too full for the record.
        """
        with contextlib.suppress(RunError):
            self.save(status, unfinished_tests, **changes)
            return True
        return False


def _recorded(recorder: Recorder, learner: Learner, trainer: _Trainer) -> Run:
    """Train, and keep the record up to date whatever happens."""
    folder, data = recorder.folder, trainer.data
    logits = torch.empty(0)
    try:
        for epoch, test_logits in learner.train(trainer):
            logits = test_logits
            recorder.add(epoch)
            trainer.listener.end_epoch(epoch)
        changes: dict[str, Any] = {} if learner.by_steps else {"warnings": trainer.warned}
        changes["parameters"] = learner.parameters()
        kept = kept_of(recorder.history)
        if trainer.held_out is not None:
            changes |= trainer.stopped_early(recorder.record.derived, recorder.history)
        files = {}
        weights = learner.tensors()
        if weights is not None:
            files[MODEL] = write_tensors(folder / MODEL, weights)
        try:
            content = learner.as_file()
        except ModelError as error:  # the training was successful all the same
            content, changes["not_stored"] = None, str(error)
        if content is not None:
            files[CLASSIFIER] = write_file(folder / CLASSIFIER, content)
        if files:
            changes["model_bytes"] = sum(file.bytes for file in files.values())
        predictions = {"logits": logits, "labels": data.test.labels}
        if data.test.groups is not None:
            predictions[GROUPS] = data.test.groups
        files[PREDICTIONS] = write_tensors(folder / PREDICTIONS, predictions)
        why_not = _why_not_learned(learner, trainer, recorder.history, logits)
        again = int(kept is not recorder.history[-1])  # the best weights were tested once more
        changes |= {"learned": why_not is None, "not_learned": why_not}
        recorder.save("finished", again, process=None, files=files, **changes)
        with contextlib.suppress(OSError):  # remaining checkpoints do no harm
            remove_all(folder)
    except NonFiniteLossError as error:
        recorder.save_if_possible(
            "failed",
            error.tested,
            failure=Failure(str(error), error.epoch, error.step),
            learned=False,
            not_learned=not_finite(error.epoch, error.step),
        )
        raise
    except KeyboardInterrupt as end:
        recorder.save_if_possible("interrupted")
        raise Interruption(exit_code(end) - 128, folder) from None
    except SystemExit:
        recorder.save_if_possible("interrupted")
        raise
    except RunError as error:
        recorder.save_if_possible("failed", failure=Failure(str(error), len(recorder.history)))
        raise UnfinishedError(str(error)) from None
    except Exception as error:
        what = f"the training of {recorder.record.model} failed: {describe(error)}"
        saved = recorder.save_if_possible("failed", failure=Failure(what, len(recorder.history) + 1))
        if not saved:
            raise TrainingError(f"{what}; {folder} cannot be written") from error
        raise TrainingError(what, folder) from error
    return Run(folder, recorder.record, learner.trained(), logits)


def _why_not_learned(
    learner: Learner, trainer: _Trainer, history: list[Epoch], logits: Tensor
) -> dict[str, Any] | None:
    """Apply the rule of `not_learned` to a finished training, except for models that are meant to guess."""
    if learner.guesses():
        return None
    data, steps, rung = trainer.data, None, trainer.spec.rung
    kept = kept_of(history) or history[-1]
    if learner.by_steps and rung.loss is None:  # what guessing costs in a loss of the user's own is unknown
        losses = [epoch.train_loss for epoch in history[: kept.epoch]]
        weights = class_weights(rung, data.train.labels.numpy(), len(data.classes))
        steps = Steps(losses, kept.train_accuracy, rung.label_smoothing, weights)
    return not_learned(
        logits.argmax(1).numpy(),
        data.test.labels.numpy(),
        data.train.labels.numpy(),
        data.classes,
        test_loss=kept.test_loss,
        steps=steps,
        scores=logits.numpy(),
    )
