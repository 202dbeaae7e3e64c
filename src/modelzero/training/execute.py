"""One cell: a model, a seed and data become a run, recorded from its first moment to its last."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from modelzero.data.dataset import ImageData
from modelzero.data.load import load
from modelzero.errors import RunError, SettingError, TrainingError, UnfinishedError, check_count, check_seed
from modelzero.models.build import build, describe
from modelzero.models.classifier import Classifier, guesses, settings
from modelzero.models.fitted import Fitted
from modelzero.models.randomness import randomness_of
from modelzero.models.rungs import Rung, as_rung
from modelzero.models.summary import parameters
from modelzero.runs.folder import append_history, create_folder, write_model, write_record, write_tensors
from modelzero.runs.process import this_process
from modelzero.runs.record import FORMAT, GROUPS, MODEL, PREDICTIONS, Epoch, Run, environment
from modelzero.signals import Interruption, noted
from modelzero.training.bars import Bars, Silence
from modelzero.training.checkpoint import EVERY_SECONDS, Checkpoint, Checkpoints, check_every, remove_all
from modelzero.training.device import (
    FUSED_THREADS_WORTH_IT,
    THREADS_WORTH_IT,
    PeakMemory,
    choose_device,
    default_threads,
    use_threads,
)
from modelzero.training.fit import fit_once
from modelzero.training.fused.loop import fused_epochs
from modelzero.training.fused.stack import choose_engine
from modelzero.training.learned import not_finite, not_learned
from modelzero.training.loop import NonFiniteLossError, Progress, train_epochs

_MOST_THREADS = 1024
# Folders of runs that this process is at work on.
UNDER_WAY: set[Path] = set()


def train(
    data: ImageData | str | Path | Callable[[], ImageData],
    model: str | Rung | Callable[..., Any] = "model0",
    *,
    epochs: int | None = None,
    batch_size: int | None = None,
    learning_rate: float | None = None,
    seed: int = 42,
    hidden_units: int = 10,
    device: str = "auto",
    threads: int | None = None,
    engine: str = "auto",
    runs_dir: str | Path = "runs",
    data_dir: str | Path | None = None,
    checkpoint_every: float | None = EVERY_SECONDS,
    ladder: str | None = None,
    progress: Progress | bool | None = None,
) -> Run:
    """Train one model on one data set with one seed, and leave its record in a new folder.

    The steps are the chapter's: weights as after `torch.manual_seed(seed)`, batches in the order of a shuffling
    DataLoader after `torch.manual_seed(seed)`, cross-entropy, SGD, an evaluation after each epoch. Models that are
    fitted in one go, such as `knn`, are fitted and evaluated once.

    >>> import tempfile, modelzero as mz
    >>> run = mz.train("digits", "model0", epochs=2, seed=42, runs_dir=tempfile.mkdtemp())
    >>> len(run.history), round(run.history[-1].test_accuracy, 2)
    (2, 0.8)

    Args:
        data: an `ImageData`, or what `load` takes, or a function that returns image data; it is called once the other
            settings are known to be right.
        model: a rung's name, a `Rung`, or a factory of a `torch.nn.Module` that maps [B, C, H, W] in [0, 1] to
            logits [B, classes], or of a scikit-learn classifier; see `Rung` for what a factory can ask for.
        epochs: how often the training split is gone through; None means as the rung's recipe says.
        batch_size: images in one step; likewise.
        learning_rate: step size; likewise.
        seed: what weights, batch order and dropout follow from, 0 to 2**63 - 1.
        hidden_units: width of the models of the chapter.
        device: `auto`, `cpu`, `cuda` or `mps`; `auto` takes the accelerator only where a short trial is faster.
        threads: threads on the CPU; None takes one for small models and all cores for larger ones.
        engine: `torch` is the plain loop; `fused` is one compiled kernel for stacks of linear layers, many times as
            fast and equal to rounding; `auto` takes it wherever it can.
        runs_dir: the folder that gets the run's folder.
        data_dir: where `load` looks first.
        checkpoint_every: seconds between two checkpoints, from which `resume` goes on; a training that ends sooner
            needs none. None keeps one only when a signal ends the training.
        ladder: the id of the ladder that this is a cell of, for the record.
        progress: show bars; None means in terminals and notebooks. Or somebody with the methods of `Progress`.

    Returns:
        The run, with its history, its record and the trained model.

    Raises:
        InputError: data, model, a setting or a folder that cannot be used; nothing was trained.
        TrainingError: the loss became NaN or infinite, or the model failed; the run is recorded as `failed`.
        UnfinishedError: the folder could not be written any more; what was complete before is still there.
        Interruption: SIGINT, SIGTERM or SIGHUP; a KeyboardInterrupt. A checkpoint is written.
    """
    rung = as_rung(model)
    given = {"epochs": epochs, "batch_size": batch_size, "learning_rate": learning_rate}
    given = {name: value for name, value in given.items() if value is not None}
    if epochs is not None:
        given["least_steps"] = 1
    rung = replace(rung, **given)  # type: ignore[arg-type]
    seed = check_seed(seed)
    hidden_units = check_count("hidden_units", hidden_units)
    threads = None if threads is None else check_count("threads", threads, _MOST_THREADS)
    checkpoint_every = None if checkpoint_every is None else check_every(checkpoint_every)
    if not isinstance(data, ImageData):
        data = data() if callable(data) else load(data, data_dir=data_dir)

    module = build(rung.make, data.image_shape, len(data.classes), hidden_units=hidden_units, seed=seed)
    if isinstance(module, nn.Module) and not isinstance(module, Fitted):
        rung, settled = _settled_by_steps(data, rung, module, hidden_units, device, threads, engine)
    else:
        too_much = sorted(given | ({} if engine == "auto" else {"engine": engine}))
        if too_much:
            raise SettingError(
                f"{' and '.join(too_much).replace('_', ' ')} given: {rung.name} is fitted in one go and takes none; "
                "leave it out"
            )
        settled = _settled_in_one_go(rung, module, threads or 1)
    random, randomness = randomness_of(rung, module)
    record = {
        "format": FORMAT,
        "id": "",
        "status": "running",
        "created": datetime.now(UTC).isoformat(timespec="microseconds"),
        "process": this_process(),
        "ladder": ladder,
        "model": rung.name,
        "seed": seed,
        "data": data.description(),
        **settled,
        "random": random,
        "randomness": randomness,
        "history": [],
        "train_seconds": 0.0,
        "test_reads": 0,
    }
    path = create_folder(runs_dir, f"{rung.name}-seed{seed}", record)
    return carry_out(path, record, data, rung, module, checkpoint_every=checkpoint_every, progress=progress)


def _settled_by_steps(
    data: ImageData,
    rung: Rung,
    module: nn.Module,
    hidden_units: int,
    device: str,
    threads: int | None,
    engine: str,
) -> tuple[Rung, dict[str, Any]]:
    """Choose epochs, engine, device and threads; return the rung with them, and what the record says of them."""
    epochs = rung.epochs_for(len(data.train))
    derived = {}
    if epochs > rung.epochs:
        steps = rung.steps_per_epoch(len(data.train))
        derived["epochs"] = f"{epochs}: {steps} steps each, and at least {rung.least_steps} steps are made"
        rung = replace(rung, epochs=epochs)
    engine, derived["engine"] = choose_engine(engine, module, rung, device)
    if threads is None:
        worth_it = FUSED_THREADS_WORTH_IT if engine == "fused" else THREADS_WORTH_IT
        with _forked(engine):
            threads, derived["threads"] = default_threads(module, data.image_shape, rung.batch_size, worth_it)
    else:
        derived["threads"] = f"{threads}: as asked"
    if engine == "fused":
        place, derived["device"] = torch.device("cpu"), "cpu: the fused kernel computes there"
    else:
        with _forked(engine), use_threads(threads):
            place, derived["device"] = choose_device(device, module, data, rung)
    return rung, {
        "environment": environment(threads, str(place)),
        "derived": derived,
        "epochs": rung.epochs,
        "batch_size": rung.batch_size,
        "learning_rate": rung.learning_rate,
        "engine": engine,
        "recipe": {
            "model": rung.built_in,
            "hidden_units": hidden_units,
            "loss": "cross-entropy",
            "optimizer": "sgd",
            **rung.recipe(),
        },
        "parameters": parameters(module),
    }


def _settled_in_one_go(rung: Rung, module: Fitted | Classifier, threads: int) -> dict[str, Any]:
    """Return what the record says of a model that needs no steps."""
    fitted = isinstance(module, Fitted)
    own = module.settings() if isinstance(module, Fitted) else settings(module)
    return {
        "environment": environment(threads, "cpu"),
        "derived": {"threads": f"{threads}: fitted in one go", "device": "cpu: fitted in one go"},
        "epochs": 1,
        "batch_size": None,
        "learning_rate": None,
        "engine": None,
        "recipe": {"model": rung.built_in, "kind": "fitted" if fitted else "classifier", **own},
        "parameters": None,
        "warnings": [],
    }


@contextlib.contextmanager
def _forked(engine: str) -> Iterator[None]:
    """Leave torch's random numbers as they are; the kernel draws none, and may run in several threads."""
    if engine == "fused":
        yield
        return
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        yield


def carry_out(
    path: Path,
    record: dict[str, Any],
    data: ImageData,
    rung: Rung,
    module: nn.Module | Classifier,
    *,
    checkpoint_every: float | None = EVERY_SECONDS,
    start: Checkpoint | None = None,
    progress: Progress | bool | None = None,
) -> Run:
    """Do the training that a record describes, from its beginning or from a checkpoint, and record it.

    Args:
        path: the folder of the run.
        record: what was settled; it is brought up to date.
        data: the images.
        rung: with the recipe of the record.
        module: just built, with the seed of the record.
        checkpoint_every: as for `train`.
        start: where to go on.
        progress: as for `train`.

    Raises:
        TrainingError, RunError, Interruption: as `train`.
    """
    engine, threads, seed = record["engine"], record["environment"]["threads"], record["seed"]
    with contextlib.ExitStack() as stack:
        here = path.absolute()
        UNDER_WAY.add(here)
        stack.callback(UNDER_WAY.discard, here)
        stopping = stack.enter_context(noted()) if engine else _never
        listener: Progress = Silence()
        if engine:
            stack.enter_context(_forked(engine))
            if progress is None or progress is True:
                bars = Bars(rung.name, rung.epochs, len(data.train), show=progress)
                if start is not None:
                    bars.skip(start.epoch - 1)
                listener = stack.enter_context(bars)
            else:
                listener = progress or listener
        asked: Callable[[], int | None] = getattr(listener, "stopped", _never)
        checkpoints = Checkpoints(path, checkpoint_every, start, lambda: asked() or stopping())
        stack.enter_context(use_threads(threads))
        if engine is None:
            epochs = fit_once(module, data, seed=seed, threads=threads, warned=record["warnings"])  # type: ignore[arg-type]
        elif engine == "fused":
            epochs = fused_epochs(
                module,  # type: ignore[arg-type]
                data,
                rung,
                seed=seed,
                threads=threads,
                progress=listener,
                checkpoints=checkpoints,
            )
        else:
            device = torch.device(record["environment"]["device"])
            epochs = train_epochs(
                module,  # type: ignore[arg-type]
                data,
                rung,
                seed=seed,
                device=device,
                progress=listener,
                checkpoints=checkpoints,
            )
        run = _recorded(path, record, module, data, rung, epochs, checkpoints, listener)
        number = checkpoints.stopping()
    if number is not None:  # it came too late to stop anything
        raise Interruption(number)
    return run


def _never() -> None:
    return None


def _recorded(
    path: Path,
    record: dict[str, Any],
    module: nn.Module | Classifier,
    data: ImageData,
    rung: Rung,
    epochs: Iterator[tuple[Epoch, Tensor]],
    checkpoints: Checkpoints,
    listener: Progress,
) -> Run:
    """Train, and keep the record true whatever happens."""
    history = checkpoints.history
    memory = PeakMemory()

    def save(status: str, unfinished_tests: int = 0, **more: object) -> dict[str, Any]:
        record.update(
            status=status,
            history=[asdict(epoch) for epoch in history],
            train_seconds=sum(epoch.train_seconds for epoch in history),
            peak_memory_bytes=memory.bytes(),
            test_reads=len(history) + unfinished_tests,  # one evaluation after each epoch
            **more,
        )
        record.update(write_record(path, record))
        return record

    def last_word(status: str, unfinished_tests: int = 0, **more: object) -> bool:
        # Why it ended is what has to be told, also where a disk that is full takes no record.
        with contextlib.suppress(RunError):
            save(status, unfinished_tests, **more)
            return True
        return False

    try:
        for epoch, test_logits in epochs:
            logits = test_logits
            history.append(epoch)
            append_history(path, epoch)
            listener.end_epoch(epoch)
        if isinstance(module, Fitted):
            record["parameters"] = sum(buffer.numel() for buffer in module.buffers())
        files = {}
        if isinstance(module, nn.Module):  # a classifier of scikit-learn could be stored as a pickle only
            files[MODEL] = write_model(path / MODEL, module)
            record["model_bytes"] = files[MODEL]["bytes"]
        predictions = {"logits": logits, "labels": data.test.labels}
        if data.test.groups is not None:
            predictions[GROUPS] = data.test.groups
        files[PREDICTIONS] = write_tensors(path / PREDICTIONS, predictions)
        record.pop("process")
        why_not = _why_not_learned(module, data, rung, history, logits)
        save("finished", files=files, learned=why_not is None, not_learned=why_not)
        with contextlib.suppress(OSError):  # they would do no harm
            remove_all(path)
    except NonFiniteLossError as error:
        last_word(
            "failed",
            error.tested,
            failure={"error": str(error), "epoch": error.epoch, "step": error.step},
            learned=False,
            not_learned=not_finite(error.epoch, error.step),
        )
        raise
    except (KeyboardInterrupt, SystemExit) as end:
        last_word("interrupted")
        end.folder = path  # type: ignore[union-attr]  # the command line says where to go on
        raise
    except RunError as error:
        last_word("failed", failure={"error": str(error), "epoch": len(history)})
        raise UnfinishedError(str(error)) from None
    except Exception as error:
        what = f"the training of {record['model']} failed: {describe(error)}"
        told = last_word("failed", failure={"error": what, "epoch": len(history) + 1})
        raise TrainingError(f"{what}; {'recorded in' if told else 'which cannot be written to'} {path}") from error
    run = Run(path, record)
    # What is in memory need not be read back.
    run.__dict__.update(model=module.eval() if isinstance(module, nn.Module) else module, test_logits=logits)
    return run


def _why_not_learned(
    module: nn.Module | Classifier, data: ImageData, rung: Rung, history: list[Epoch], logits: Tensor
) -> dict[str, Any] | None:
    """Apply the rule of `not_learned` to a training that ended; what is meant to guess has done what it should."""
    if module.guesses if isinstance(module, Fitted) else guesses(module):
        return None
    in_one_go = isinstance(module, Fitted) or not isinstance(module, nn.Module)
    return not_learned(
        logits.argmax(1).numpy(),
        data.test.labels.numpy(),
        data.train.labels.numpy(),
        data.classes,
        test_loss=history[-1].test_loss,
        train_losses=[] if in_one_go else [epoch.train_loss for epoch in history],
        train_accuracy=history[-1].train_accuracy,
        label_smoothing=0.0 if in_one_go else rung.label_smoothing,
        scores=logits.numpy(),
    )
