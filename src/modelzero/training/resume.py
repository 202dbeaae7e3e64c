"""A run goes on where it was cut off, or is done again from its record alone."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import filelock
from torch import nn

from modelzero.data.dataset import ImageData
from modelzero.data.load import load, load_again
from modelzero.errors import DataError, ModelError, RunError
from modelzero.models.build import build
from modelzero.models.classifier import Classifier
from modelzero.models.recipe import Recipe
from modelzero.models.rungs import Rung, as_rung, rung_named
from modelzero.models.summary import parameters
from modelzero.runs.folder import remove_temporaries, rewrite_history, write_record, writing
from modelzero.runs.process import still_there, this_process
from modelzero.runs.record import Run, environment
from modelzero.training.checkpoint import EVERY_SECONDS, check_every, last_good, remove_all
from modelzero.training.device import accelerators
from modelzero.training.execute import UNDER_WAY, carry_out
from modelzero.training.loop import Progress


@dataclass(frozen=True, eq=False)
class Again:
    """What a record describes, made once more.

    Args:
        data: the images.
        rung: with the recipe of the record.
        module: just built.
    """

    data: ImageData
    rung: Rung
    module: nn.Module | Classifier


def resume(
    path: str | Path,
    data: ImageData | str | Path | None = None,
    model: str | Rung | Callable[..., Any] | None = None,
    *,
    checkpoint_every: float | None = EVERY_SECONDS,
    take_over: bool = False,
    progress: Progress | bool | None = None,
) -> Run:
    """Go on with a run that was interrupted, killed, or failed for want of room, in its own folder.

    It goes on from the last checkpoint that is whole, or from its beginning where there is none, and ends with the
    weights and predictions, to the bit, that it would have had. A finished run is read back.

    >>> import tempfile, modelzero as mz
    >>> run = mz.train("digits", "model0", epochs=1, runs_dir=tempfile.mkdtemp())
    >>> mz.resume(run.path).history == run.history
    True

    Args:
        path: the folder of the run.
        data: the images, or what `load` takes, where the record cannot say where they are: those of `from_arrays` or
            `from_torch`, or a folder that was moved.
        model: the model, where it is one of your own.
        checkpoint_every: as for `train`.
        take_over: go on with a run that a process on another host wrote, which is known to have ended.
        progress: as for `train`.

    Raises:
        RunError: no run there, a damaged record, one that another process is at work on, or one of an accelerator that
            is not here.
        DataError: the images are not those of the record any more.
        ModelError: a model of your own is needed, or another one was given.
        TrainingError, Interruption: as `train`.
    """
    path = Path(path)
    checkpoint_every = None if checkpoint_every is None else check_every(checkpoint_every)
    run = Run.read(path)
    if run.status == "finished":
        with contextlib.suppress(OSError, RunError):  # what its last moment did not remove any more
            remove_temporaries(path)
            remove_all(path)
        return run
    with alone(path, "a run"), contextlib.ExitStack() as claim:
        run = Run.read(path)  # it may have ended meanwhile
        if run.status == "finished":
            return run
        record = dict(run.record)
        if record["status"] == "running":
            refuse_while_written(path, record.get("process"), take_over=take_over)
        UNDER_WAY.add(path.absolute())  # from here on, not only from the first step on
        claim.callback(UNDER_WAY.discard, path.absolute())
        again = make_again(run, data, model)
        remove_temporaries(path)
        with writing(path):
            start, trouble = last_good(path) if record["engine"] else (None, [])
            if start is None:
                remove_all(path)
        for key in ("failure", "files", "learned", "not_learned"):
            record.pop(key, None)
        if "warnings" in record:
            record["warnings"] = []  # a fit begins anew
        record["status"] = "running"
        record["process"] = this_process()
        now = environment(record["environment"]["threads"], record["environment"]["device"])
        record["resumed"] = [
            *record.get("resumed", []),
            {
                "at": datetime.now(UTC).isoformat(timespec="microseconds"),
                "epoch": 1 if start is None else start.epoch,
                "step": 0 if start is None else start.step,
                "trouble": trouble,
                "differs": differing(record["environment"], now),
            },
        ]
        rewrite_history(path, [] if start is None else start.history)
        write_record(path, record)
        claim.pop_all()  # `carry_out` gives it up
    return carry_out(
        path,
        record,
        again.data,
        again.rung,
        again.module,
        checkpoint_every=checkpoint_every,
        start=start,
        progress=progress,
    )


def refuse_while_written(path: Path, owner: Mapping[str, Any] | None, *, take_over: bool) -> None:
    """Refuse to go on with a run or a ladder that is `running`, unless its process is gone.

    Args:
        path: its folder.
        owner: the process that writes it, or did; this one may have given it up.
        take_over: the user says that a process on another host is gone, which nobody here can know.

    Raises:
        RunError: the process is at work, or may be.
    """
    if owner is None or (owner == this_process() and path.absolute() not in UNDER_WAY):
        return
    alive = still_there(owner)
    writer = f"process {owner['pid']} on {owner['host']}"
    if alive:
        raise RunError(f"{path} is being written by {writer}: wait for it, or end it first")
    if alive is None and not take_over:
        raise RunError(
            f"{path} is being written by {writer}, or was: whether that is still there cannot be known here; if it has "
            "ended, --take-over (take_over=True) goes on"
        )


def make_again(
    run: Run,
    data: ImageData | str | Path | None = None,
    model: str | Rung | Callable[..., Any] | None = None,
    *,
    by: str = "mz.resume",
) -> Again:
    """Load the data of a record and build its model.

    Args:
        run: the record.
        data: the images, or what `load` takes; None where the record says where they are.
        model: one of the user's own; None where the record names it.
        by: the function that is given these, for messages.

    Raises:
        RunError: it was trained on an accelerator that this machine lacks.
        DataError: the images cannot be had, or are others.
        ModelError: a model of the user's own that was not given, or another one than that of the record.
    """
    record, recipe = run.record, run.record["recipe"]
    trained = f"run {run.id} trained {record['model']!r}" + ("" if recipe["model"] else ", a model of your own")
    if model is None and recipe["model"] is None:
        raise ModelError(
            f"{trained}, which the record does not have: give it with --model, or as {by}({str(run.path)!r}, model=...)"
        )
    rung = rung_named(recipe["model"]) if model is None else as_rung(model)
    if rung.built_in != recipe["model"]:
        raise ModelError(f"{trained}, given is {rung.name!r}: the very same model is needed")
    known = {field.name for field in fields(Recipe)}
    # The recipe of a model without gradient steps has that model's own parameters, some of which are called alike.
    settled = {key: value for key, value in recipe.items() if key in known} if record["engine"] else {}
    rung = replace(rung, name=record["model"], **settled)
    device = record["environment"]["device"]
    if device.partition(":")[0] not in ("cpu", *accelerators()):
        raise RunError(
            f"run {run.id} was trained on {device} ({record['environment'].get('accelerator')}), which is not on this "
            "machine, or this torch cannot use it: go on where there is one"
        )
    described = record["data"]
    if data is None:
        origin = described.get("origin")
        if origin is None:
            raise DataError(
                f"run {run.id} was trained on {described['name']!r} ({described['source']}), which the record cannot "
                f"load again: give it as {by}({str(run.path)!r}, data=...)"
            )
        data = load_again(origin)
    elif not isinstance(data, ImageData):
        data = load(data)
    if data.fingerprint != described["fingerprint"]:
        raise DataError(
            f"{data.name} from {data.source} has the fingerprint {data.fingerprint[:12]}, run {run.id} was trained on "
            f"{described['fingerprint'][:12]}: the very same images, labels and class names are needed"
        )
    module = build(
        rung.make,
        data.image_shape,
        len(data.classes),
        hidden_units=recipe.get("hidden_units", 10),
        seed=record["seed"],
    )
    if record["engine"] and isinstance(module, nn.Module) and parameters(module) != record["parameters"]:
        raise ModelError(
            f"{trained} of {record['parameters']:,} parameters, given is one of {parameters(module):,}: the very same "
            "model is needed"
        )
    return Again(data, rung, module)


def differing(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """Say in words what differs between two environments.

    >>> differing({"threads": 1, "versions": {"torch": "2.12"}}, {"threads": 1, "versions": {"torch": "2.13"}})
    ['torch 2.12, now 2.13']
    """
    flat = [
        {**{key: value for key, value in one.items() if key != "versions"}, **one.get("versions", {})}
        for one in (before, now)
    ]
    return [
        f"{key} {flat[0].get(key)}, now {flat[1].get(key)}"
        for key in [*flat[0], *(flat[1].keys() - flat[0].keys())]
        if flat[0].get(key) != flat[1].get(key)
    ]


@contextlib.contextmanager
def alone(path: Path, what: str) -> Iterator[None]:
    """Make sure that no two processes take over a run, or a ladder, at once.

    Raises:
        RunError: another one does so right now, or the folder cannot be written.
    """
    lock = filelock.FileLock(path / ".lock")  # it stays: who removes it may remove another one's
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        raise RunError(f"another process is taking over {path} right now: let it") from None
    except OSError as error:
        raise RunError(f"{path} cannot be written ({error.strerror}): {what} goes on in its own folder") from None
    try:
        yield
    finally:
        lock.release()
