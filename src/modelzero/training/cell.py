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

from modelzero.data.catalog import load
from modelzero.data.dataset import ImageData
from modelzero.errors import RunError, SettingError, TrainingError, check_count, check_seed
from modelzero.models.build import build, describe
from modelzero.models.classifier import Classifier, has_seed, settings
from modelzero.models.fitted import Fitted
from modelzero.models.ladder import Rung, as_rung
from modelzero.models.summary import parameters
from modelzero.runs.record import FORMAT, MODEL, PREDICTIONS, Epoch, Run, environment
from modelzero.runs.store import append_history, create_folder, write_model, write_record, write_tensors
from modelzero.training.bars import Bars, Silence
from modelzero.training.device import (
    FUSED_THREADS_WORTH_IT,
    THREADS_WORTH_IT,
    PeakMemory,
    choose_device,
    default_threads,
    numpy_seeded,
    use_threads,
)
from modelzero.training.fit import fit_once
from modelzero.training.fused.loop import fused_epochs
from modelzero.training.fused.stack import choose_engine
from modelzero.training.loop import NonFiniteLossError, Progress, train_epochs

_MOST_THREADS = 1024


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
        batch_size: pictures in one step; likewise.
        learning_rate: step size; likewise.
        seed: what weights, batch order and dropout follow from, 0 to 2**63 - 1.
        hidden_units: width of the models of the chapter.
        device: `auto`, `cpu`, `cuda` or `mps`; `auto` takes the accelerator only where a short trial is faster.
        threads: threads on the CPU; None takes one for small models and all cores for larger ones.
        engine: `torch` is the plain loop; `fused` is one compiled kernel for stacks of linear layers, many times as
            fast and equal to rounding; `auto` takes it wherever it can.
        runs_dir: the folder that gets the run's folder.
        data_dir: where `load` looks first.
        progress: show bars; None means in terminals and notebooks. Or somebody with the methods of `Progress`.

    Returns:
        The run, with its history, its record and the trained model.

    Raises:
        InputError: data, model, a setting or a folder that cannot be used; nothing was trained.
        TrainingError: the loss became NaN or infinite, or the model failed; the run is recorded as `failed`.
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
    if not isinstance(data, ImageData):
        data = data() if callable(data) else load(data, data_dir=data_dir)

    module = build(rung.make, data.image_shape, len(data.classes), hidden_units=hidden_units, seed=seed)
    if isinstance(module, nn.Module) and not isinstance(module, Fitted):
        return _train_by_steps(data, rung, module, seed, hidden_units, device, threads, engine, runs_dir, progress)
    too_much = sorted(given | ({} if engine == "auto" else {"engine": engine}))
    if too_much:
        raise SettingError(
            f"{' and '.join(too_much).replace('_', ' ')} given: {rung.name} is fitted in one go and takes none; "
            "leave it out"
        )
    return _train_in_one_go(data, rung, module, seed, threads or 1, runs_dir)


def _train_by_steps(
    data: ImageData,
    rung: Rung,
    module: nn.Module,
    seed: int,
    hidden_units: int,
    device: str,
    threads: int | None,
    engine: str,
    runs_dir: str | Path,
    progress: Progress | bool | None,
) -> Run:
    """Choose device and threads, and train by gradient steps."""
    epochs = rung.epochs_for(len(data.train))
    derived = {}
    if epochs > rung.epochs:
        steps = rung.steps_per_epoch(len(data.train))
        derived["epochs"] = f"{epochs}: {steps} steps each, and at least {rung.least_steps} steps are made"
        rung = replace(rung, epochs=epochs)
    engine, derived["engine"] = choose_engine(engine, module, rung, device)
    with contextlib.ExitStack() as stack:
        if engine == "torch":  # the kernel draws nothing, and several may train side by side in threads
            stack.enter_context(torch.random.fork_rng(devices=range(torch.cuda.device_count())))
        if threads is None:
            worth_it = FUSED_THREADS_WORTH_IT if engine == "fused" else THREADS_WORTH_IT
            threads, derived["threads"] = default_threads(module, data.image_shape, rung.batch_size, worth_it)
        else:
            derived["threads"] = f"{threads}: as asked"
        stack.enter_context(use_threads(threads))
        if engine == "fused":
            place, derived["device"] = torch.device("cpu"), "cpu: the fused kernel computes there"
        else:
            place, derived["device"] = choose_device(device, module, data, rung)
        record = _described(data, rung, seed, environment(threads, str(place)), derived) | {
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
            "random": True,
            "parameters": parameters(module),
        }
        path = create_folder(runs_dir, f"{rung.name}-seed{seed}")
        if progress is None or progress is True:
            bars = Bars(rung.name, rung.epochs, len(data.train), show=progress)
            listener: Progress = stack.enter_context(bars)
        else:
            listener = progress or Silence()
        if engine == "fused":
            epochs_done = fused_epochs(
                module,  # type: ignore[arg-type]
                data,
                rung,
                seed=seed,
                threads=threads,
                progress=listener,
            )
        else:
            epochs_done = train_epochs(module, data, rung, seed=seed, device=place, progress=listener)
        return _recorded(path, record, module, data.test.labels, epochs_done, listener.end_epoch)


def _train_in_one_go(
    data: ImageData, rung: Rung, module: Fitted | Classifier, seed: int, threads: int, runs_dir: str | Path
) -> Run:
    """Fit a model that needs no steps."""
    fitted = isinstance(module, Fitted)
    own = module.settings() if isinstance(module, Fitted) else settings(module)
    derived = {"threads": f"{threads}: fitted in one go", "device": "cpu: fitted in one go"}
    record = _described(data, rung, seed, environment(threads, "cpu"), derived) | {
        "epochs": 1,
        "batch_size": None,
        "learning_rate": None,
        "engine": None,
        "recipe": {"model": rung.built_in, "kind": "fitted" if fitted else "classifier", **own},
        "random": module.random if isinstance(module, Fitted) else has_seed(module),
        "parameters": None,
        "warnings": [],
    }
    path = create_folder(runs_dir, f"{rung.name}-seed{seed}")
    with use_threads(threads), numpy_seeded(seed):
        epochs_done = fit_once(module, data, seed=seed, threads=threads, warned=record["warnings"])
        return _recorded(path, record, module, data.test.labels, epochs_done, lambda _: None)


def _described(
    data: ImageData, rung: Rung, seed: int, environment: dict[str, Any], derived: dict[str, str]
) -> dict[str, Any]:
    """Begin the record with what every run has."""
    return {
        "format": FORMAT,
        "id": "",
        "status": "running",
        "created": datetime.now(UTC).isoformat(timespec="microseconds"),
        "model": rung.name,
        "seed": seed,
        "data": data.description(),
        "environment": environment,
        "derived": derived,
    }


def _recorded(
    path: Path,
    record: dict[str, Any],
    module: nn.Module | Classifier,
    labels: Tensor,
    epochs: Iterator[tuple[Epoch, Tensor]],
    tell: Callable[[Epoch], None],
) -> Run:
    """Train, and keep the record true whatever happens."""
    record["id"] = path.name
    history: list[Epoch] = []
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
        write_record(path, record)
        return record

    save("running")
    try:
        for epoch, test_logits in epochs:
            logits = test_logits
            history.append(epoch)
            append_history(path, epoch)
            tell(epoch)
        if isinstance(module, Fitted):
            record["parameters"] = sum(buffer.numel() for buffer in module.buffers())
        if isinstance(module, nn.Module):  # a classifier of scikit-learn could be stored as a pickle only
            write_model(path / MODEL, module)
            record["model_bytes"] = (path / MODEL).stat().st_size
        write_tensors(path / PREDICTIONS, {"logits": logits, "labels": labels})
    except NonFiniteLossError as error:
        save("failed", error.tested, failure={"error": str(error), "epoch": error.epoch, "step": error.step})
        raise
    except (KeyboardInterrupt, SystemExit):
        save("interrupted")
        raise
    except RunError as error:
        with contextlib.suppress(RunError):  # the disk that took no history may take no record either
            save("failed", failure={"error": str(error), "epoch": len(history)})
        raise
    except Exception as error:
        what = f"the training of {record['model']} failed: {describe(error)}"
        save("failed", failure={"error": what, "epoch": len(history) + 1})
        raise TrainingError(f"{what}; recorded in {path}") from error
    run = Run(path, save("finished"))
    # What is in memory need not be read back.
    run.__dict__.update(model=module.eval() if isinstance(module, nn.Module) else module, test_logits=logits)
    return run
