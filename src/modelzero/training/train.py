"""`mz.train`: check the settings, load the data, settle the spec, execute it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from modelzero.data.dataset import ImageData
from modelzero.data.load import load
from modelzero.models.learner import learner_of
from modelzero.models.rungs import Rung, as_rung
from modelzero.models.standardise import inputs_settled
from modelzero.runs.run import Run
from modelzero.training.bars import Progress
from modelzero.training.checkpoint import EVERY_SECONDS, check_every
from modelzero.training.execute import carry_out
from modelzero.training.options import TrainOptions
from modelzero.training.settle import settle


def train(
    data: ImageData | str | Path | Callable[[], ImageData],
    model: str | Rung | Callable[..., Any] = "model0",
    *,
    epochs: int | None = TrainOptions.epochs,
    batch_size: int | None = TrainOptions.batch_size,
    learning_rate: float | None = TrainOptions.learning_rate,
    optimizer: str | Callable[[list[Any]], Any] | None = TrainOptions.optimizer,
    schedule: str | None = TrainOptions.schedule,
    loss: Callable[[Any, Any], Any] | None = TrainOptions.loss,
    class_weights: str | Sequence[float] | None = TrainOptions.class_weights,
    transform: Callable[[Any], Any] | None = TrainOptions.transform,
    clip_norm: float | None = TrainOptions.clip_norm,
    early_stopping: float | None = TrainOptions.early_stopping,
    seed: int = TrainOptions.seed,
    hidden_units: int = TrainOptions.hidden_units,
    precision: str | None = TrainOptions.precision,
    device: str = TrainOptions.device,
    threads: int | None = TrainOptions.threads,
    engine: str = TrainOptions.engine,
    runs_dir: str | Path = "runs",
    data_dir: str | Path | None = None,
    checkpoint_every: float | None = EVERY_SECONDS,
    ladder: str | None = None,
    progress: Progress | bool | None = None,
) -> Run:
    """Train one model on one dataset with one seed, and write its record to a new folder.

    The steps are the chapter's: weights as after `torch.manual_seed(seed)`, batches in the order of a shuffling
    DataLoader after `torch.manual_seed(seed)`, cross-entropy, SGD, an evaluation after each epoch. Models fitted in
    one go, such as `knn`, are fitted and evaluated once.

    >>> import tempfile, modelzero as mz
    >>> run = mz.train("digits", "model0", epochs=2, seed=42, runs_dir=tempfile.mkdtemp())
    >>> len(run.history), round(run.history[-1].test_accuracy, 2)
    (2, 0.8)

    Args:
        data: an `ImageData`, or what `load` takes, or a function that returns image data; it is called after the other
            settings have been checked.
        model: a rung's name, a `Rung`, or a factory of a `torch.nn.Module` that maps [B, C, H, W] in [0, 1] to
            logits [B, classes], or of a scikit-learn classifier; see `Rung` for the arguments of a factory.
        epochs: passes over the training split; None means the rung's recipe.
        batch_size: images per step; likewise.
        learning_rate: step size; likewise.
        optimizer: `sgd`, `adamw`, or a function of the list of parameters that returns a `torch.optim.Optimizer`;
            likewise. Without `learning_rate`, that of the optimizer is used; for `adamw` it is 0.001.
        schedule: `constant`, `triangle` or `cosine`; likewise.
        loss: a function of logits [B, classes] and labels int64 [B] that returns a scalar tensor; likewise.
        class_weights: `balanced`, or one number above 0 for each class; likewise.
        transform: a function that changes the images of a training batch, float32 [B, C, H, W] in [0, 1]; likewise.
        clip_norm: largest norm of all gradients of a step together; likewise.
        early_stopping: share of the training split to hold out, above 0 and up to 0.5; training stops when the loss on
            it no longer falls, and the best weights are kept (`run.kept`); likewise. See `Rung` for all of these.
        seed: seed of weights, batch order and dropout, 0 to 2**63 - 1.
        hidden_units: width of the chapter's models.
        precision: `fp32`, `bf16` for steps with bfloat16, or `auto` for bf16 where it is much faster in a short trial;
            None means the rung's recipe.
        device: `auto`, `cpu`, `cuda` or `mps`; `auto` uses the accelerator only if it is faster in a short trial.
        threads: CPU threads; None means one for small models and all cores for larger ones.
        engine: `torch` is the plain loop; `fused` is one compiled kernel for stacks of linear layers, many times as
            fast and equal up to rounding; `auto` uses it where possible.
        runs_dir: the folder in which the run's folder is created.
        data_dir: the folder that `load` searches first.
        checkpoint_every: seconds between two checkpoints, from which `resume` continues; a shorter training writes
            none. None writes one only when a signal stops the training.
        ladder: id of the ladder that this run belongs to, for the record.
        progress: whether to show bars; None means only in terminals and notebooks. Or an object with the methods of
            `Progress`.

    Returns:
        The run, with its history, its record and the trained model.

    Raises:
        InputError: data, model, a setting or a folder cannot be used; nothing was trained.
        TrainingError: the loss became NaN or infinite, or the model failed; the run is recorded as `failed`.
        UnfinishedError: the folder could no longer be written; everything completed before is kept.
        Interruption: SIGINT, SIGTERM or SIGHUP; a KeyboardInterrupt. A checkpoint is written.
    """
    rung = as_rung(model)
    options = TrainOptions(
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        optimizer=optimizer,
        schedule=schedule,
        loss=loss,
        class_weights=class_weights,
        transform=transform,
        clip_norm=clip_norm,
        early_stopping=early_stopping,
        seed=seed,
        hidden_units=hidden_units,
        precision=precision,
        device=device,
        threads=threads,
        engine=engine,
    )
    replace(rung, **options.recipe())  # checked before the data are loaded
    checkpoint_every = None if checkpoint_every is None else check_every(checkpoint_every)
    if not isinstance(data, ImageData):
        data = data() if callable(data) else load(data, data_dir=data_dir)
    rung = inputs_settled(rung, data.train)
    learner = learner_of(
        replace(rung, **options.recipe()),
        data.image_shape,
        len(data.classes),
        hidden_units=options.hidden_units,
        seed=options.seed,
    )
    spec = settle(rung, learner, data, options, ladder=ladder)
    return carry_out(spec, data, learner, runs_dir, checkpoint_every=checkpoint_every, progress=progress)
