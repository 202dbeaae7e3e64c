"""One cell: a model, a seed and data become a run, recorded from its first moment to its last."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from torch import nn

from modelzero.data.catalog import load
from modelzero.data.dataset import ImageData
from modelzero.errors import RunError, TrainingError, check_count, check_seed
from modelzero.models.build import build, describe
from modelzero.models.ladder import Rung, rung_named
from modelzero.models.summary import parameters
from modelzero.runs.record import FORMAT, MODEL, PREDICTIONS, Epoch, Run, environment
from modelzero.runs.store import append_history, create_folder, write_model, write_record, write_tensors
from modelzero.training.bars import Bars
from modelzero.training.device import choose_device, default_threads, use_threads
from modelzero.training.loop import NonFiniteLossError, Progress, train_epochs

_MOST_THREADS = 1024


def train(
    data: ImageData | str | Path,
    model: str | Rung | Callable[..., nn.Module] = "model0",
    *,
    epochs: int | None = None,
    batch_size: int | None = None,
    learning_rate: float | None = None,
    seed: int = 42,
    hidden_units: int = 10,
    device: str = "auto",
    threads: int | None = None,
    runs_dir: str | Path = "runs",
    data_dir: str | Path | None = None,
    progress: Progress | bool | None = None,
) -> Run:
    """Train one model on one data set with one seed, and leave its record in a new folder.

    The steps are the chapter's: weights as after `torch.manual_seed(seed)`, batches in the order of a shuffling
    DataLoader after `torch.manual_seed(seed)`, cross-entropy, SGD, an evaluation after each epoch.

    >>> import tempfile, modelzero as mz
    >>> run = mz.train("digits", "model0", epochs=2, seed=42, runs_dir=tempfile.mkdtemp())
    >>> len(run.history), round(run.history[-1].test_accuracy, 2)
    (2, 0.8)

    Args:
        data: an `ImageData`, or what `load` takes.
        model: a rung's name, a `Rung`, or a factory of a `torch.nn.Module` that maps [B, C, H, W] in [0, 1] to
            logits [B, classes]; see `Rung` for what a factory can ask for.
        epochs: how often the training split is gone through; None means as the rung's recipe says.
        batch_size: pictures in one step; likewise.
        learning_rate: step size; likewise.
        seed: what weights, batch order and dropout follow from, 0 to 2**63 - 1.
        hidden_units: width of the models of the chapter.
        device: `auto`, `cpu`, `cuda` or `mps`; `auto` takes the accelerator only where a short trial is faster.
        threads: threads on the CPU; None takes one for small models and all cores for larger ones.
        runs_dir: the folder that gets the run's folder.
        data_dir: where `load` looks first.
        progress: show bars; None means in terminals and notebooks. Or somebody with the methods of `Progress`.

    Returns:
        The run, with its history, its record and the trained model.

    Raises:
        InputError: data, model, a setting or a folder that cannot be used; nothing was trained.
        TrainingError: the loss became NaN or infinite, or the model failed; the run is recorded as `failed`.
    """
    rung = _rung(model)
    given: dict[str, Any] = {"epochs": epochs, "batch_size": batch_size, "learning_rate": learning_rate}
    rung = replace(rung, **{name: value for name, value in given.items() if value is not None})
    seed = check_seed(seed)
    hidden_units = check_count("hidden_units", hidden_units)
    threads = None if threads is None else check_count("threads", threads, _MOST_THREADS)
    if not isinstance(data, ImageData):
        data = load(data, data_dir=data_dir)

    module = build(rung.make, data.image_shape, len(data.classes), hidden_units=hidden_units, seed=seed)
    name = rung.name
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        threads, why_threads = (
            (threads, f"{threads}: as asked") if threads else default_threads(module, data.image_shape, rung.batch_size)
        )
    with use_threads(threads), torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        place, why_device = choose_device(device, module, data, rung)
        record = {
            "format": FORMAT,
            "id": "",
            "status": "running",
            "created": datetime.now(UTC).isoformat(timespec="microseconds"),
            "model": name,
            "seed": seed,
            **rung.recipe(),
            "recipe": {
                "model": rung.built_in,
                "hidden_units": hidden_units,
                "loss": "cross-entropy",
                "optimizer": "sgd",
                **rung.recipe(),
            },
            "data": {
                "name": data.name,
                "source": data.source,
                "fingerprint": data.fingerprint,
                "classes": list(data.classes),
                "train_images": len(data.train),
                "test_images": len(data.test),
                "image_shape": list(data.image_shape),
            },
            "parameters": parameters(module),
            "environment": environment(threads, str(place)),
            "derived": {"threads": why_threads, "device": why_device},
        }
        bars = Bars(name, rung.epochs, len(data.train), show=progress if isinstance(progress, bool) else None)
        path = create_folder(runs_dir, f"{name}-seed{seed}")
        record["id"] = path.name
        listener = bars if progress is None or isinstance(progress, bool) else progress
        with bars if listener is bars else contextlib.nullcontext():
            return _train_recorded(path, record, module, data, rung, place, listener)


def _train_recorded(
    path: Path,
    record: dict[str, Any],
    module: nn.Module,
    data: ImageData,
    rung: Rung,
    device: torch.device,
    progress: Progress,
) -> Run:
    """Train, and keep the record true whatever happens."""
    history: list[Epoch] = []

    def save(status: str, unfinished_tests: int = 0, **more: object) -> dict[str, Any]:
        record.update(
            status=status,
            history=[asdict(epoch) for epoch in history],
            train_seconds=sum(epoch.train_seconds for epoch in history),
            test_reads=len(history) + unfinished_tests,  # one evaluation after each epoch
            **more,
        )
        write_record(path, record)
        return record

    save("running")
    try:
        module.to(device)
        for epoch, test_logits in train_epochs(
            module, data, rung, seed=record["seed"], device=device, progress=progress
        ):
            logits = test_logits
            history.append(epoch)
            append_history(path, epoch)
            progress.end_epoch(epoch)
        write_model(path / MODEL, module)
        write_tensors(path / PREDICTIONS, {"logits": logits})
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
        what = f"the training of {rung.name} failed: {describe(error)}"
        save("failed", failure={"error": what, "epoch": len(history) + 1})
        raise TrainingError(f"{what}; recorded in {path}") from error
    run = Run(path, save("finished"))
    run.__dict__.update(model=module.eval(), test_logits=logits)  # what is in memory need not be read back
    return run


def _rung(model: str | Rung | Callable[..., nn.Module]) -> Rung:
    if isinstance(model, Rung):
        return model
    if isinstance(model, str):
        return rung_named(model)
    return Rung(getattr(model, "__name__", type(model).__name__).strip("<>"), model)
