"""The records of runs and ladders: typed, read from JSON and written to JSON.

Format 1 (2026-11): the first. Fields added by a newer version are kept in `more`.
"""

from __future__ import annotations

import math
import platform
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch

from modelzero._version import __version__
from modelzero.data.auditing.hints import GroupHint
from modelzero.data.description import DataDescription
from modelzero.runs.process import Process

FORMAT = 1
RECORD, HISTORY, MODEL, PREDICTIONS = "run.json", "history.jsonl", "model.safetensors", "predictions.safetensors"
CLASSIFIER = "model.skops"  # a fitted scikit-learn classifier, in place of MODEL
LADDER_RECORD = "ladder.json"
GROUPS = "groups"  # a tensor in the predictions file, if the test images have groups
NOT_NEEDED = "not needed"  # status of a ladder's cell: the first two seeds of its rung gave the same model


@dataclass(frozen=True)
class Epoch:
    """The figures of one epoch. Accuracies are fractions, 0 to 1.

    Args:
        epoch: counted from 1.
        train_loss: mean of the batch losses, each computed before its step.
        train_accuracy: fraction of the training images classified correctly, each before its step.
        train_accuracy_batch_mean: mean of the batch accuracies, as the chapter computes it.
        test_loss: mean over the test images.
        test_accuracy: fraction of the test images classified correctly.
        test_correct: number of test images classified correctly.
        test_loss_batch_mean: mean of the batch losses; biased if the last batch is short.
        test_accuracy_batch_mean: mean of the batch accuracies; likewise.
        train_seconds: time of the training steps, and of the evaluation on held-out images.
        test_seconds: time of the evaluation.
        validation_loss: loss on the held-out images after the epoch; None without early stopping.
    """

    epoch: int
    train_loss: float
    train_accuracy: float
    train_accuracy_batch_mean: float
    test_loss: float
    test_accuracy: float
    test_correct: int
    test_loss_batch_mean: float
    test_accuracy_batch_mean: float
    train_seconds: float
    test_seconds: float
    validation_loss: float | None = None

    @classmethod
    def from_dict(cls, line: Mapping[str, Any]) -> Epoch:
        """Read one line of the history; ignore fields added by a newer version."""
        line = {"validation_loss": None, **line}
        values: dict[str, Any] = {each.name: line[each.name] for each in fields(cls)}
        spelled = {key: float(value) for key, value in values.items() if isinstance(value, str)}
        return cls(**{**values, **spelled})

    def as_dict(self) -> dict[str, Any]:
        """Return it as stored in records."""
        return _without_none(asdict(self), ("validation_loss",))


@dataclass(frozen=True)
class Environment:
    """What the numbers of a run may depend on besides recipe, data and seed.

    Args:
        versions: versions of modelzero, Python and the numerical libraries.
        commit: commit of modelzero's checkout, `-dirty` if changed; None if installed as a package.
        system: operating system.
        processor: name of the processor.
        instructions: vector instructions that torch uses.
        threads: CPU threads of the training.
        device: `cpu`, `cuda` or `mps`.
        accelerator: name of the accelerator; None on the CPU.
        more: fields added by a newer version.
    """

    versions: Mapping[str, str]
    threads: int
    device: str
    commit: str | None = None
    system: str | None = None
    processor: str | None = None
    instructions: str | None = None
    accelerator: str | None = None
    more: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def here(cls, threads: int, device: str) -> Environment:
        """Describe the current machine."""
        return cls(
            versions={
                "modelzero": __version__,
                "python": platform.python_version(),
                "torch": torch.__version__,
                "numpy": np.__version__,
                "scikit-learn": version("scikit-learn"),
            },
            commit=_commit(),
            system=platform.platform(),
            processor=_processor(),
            instructions=torch.backends.cpu.get_cpu_capability(),
            threads=threads,
            device=device,
            accelerator=torch.cuda.get_device_name(device) if device.startswith("cuda") else None,
        )

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> Environment:
        """Read what `as_dict` wrote."""
        return cls(**_known(cls, stored))

    def as_dict(self) -> dict[str, Any]:
        """Return it as stored in records."""
        names = ("commit", "system", "processor", "instructions", "threads", "device", "accelerator")
        return {"versions": dict(self.versions), **{name: getattr(self, name) for name in names}, **self.more}

    def flat(self) -> dict[str, Any]:
        """Return all fields, including the versions, in one flat dictionary."""
        whole = self.as_dict()
        return {**{key: value for key, value in whole.items() if key != "versions"}, **self.versions}

    def differences(self, now: Environment) -> list[str]:
        """Describe what differs in another environment.

        >>> before, now = (Environment(versions={"torch": each}, threads=1, device="cpu") for each in ("2.12", "2.13"))
        >>> before.differences(now)
        ['torch 2.12, now 2.13']
        """
        ours, theirs = self.flat(), now.flat()
        names = [*ours, *(theirs.keys() - ours.keys())]
        return [f"{key} {ours.get(key)}, now {theirs.get(key)}" for key in names if ours.get(key) != theirs.get(key)]


@dataclass(frozen=True)
class StoredFile:
    """Size and checksum of a file of a run, which show whether it is intact."""

    bytes: int
    sha256: str


@dataclass(frozen=True)
class Failure:
    """Why a training failed.

    Args:
        error: the error message.
        epoch: the epoch in which it failed, counted from 1.
        step: the step at which it failed, counted from 1; None if unknown.
    """

    error: str
    epoch: int
    step: int | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return it as stored in records."""
        return _without_none(asdict(self), ("step",))


@dataclass(frozen=True)
class Resumption:
    """Where a run was resumed.

    Args:
        at: time, in ISO 8601.
        epoch: the unfinished epoch, counted from 1.
        step: number of its steps already done.
        trouble: a message for each damaged checkpoint.
        differs: a message for each difference in the environment.
    """

    at: str
    epoch: int
    step: int
    trouble: Sequence[str] = ()
    differs: Sequence[str] = ()


@dataclass(frozen=True)
class FirstTraining:
    """A training that did not learn and was repeated with a lower rate.

    Args:
        run: its id.
        learning_rate: its step size.
        seconds: time of the training steps of its finished epochs.
    """

    run: str
    learning_rate: float
    seconds: float


@dataclass(frozen=True, kw_only=True)
class RunRecord:
    """The content of `run.json`.

    Args:
        id: the name of the run's folder.
        status: `running`, `finished`, `failed` or `interrupted`.
        created: time, in ISO 8601.
        process: the process that writes it; None once it has ended.
        ladder: id of the ladder that it belongs to; None if there is none.
        model: name of the rung.
        seed: seed of weights and batch order.
        data: the dataset that it was trained on.
        environment: versions and machine.
        derived: settings derived from model, data and machine, each with its reason.
        epochs: number of passes over the training split.
        batch_size: images per step; None for models fitted in one go.
        learning_rate: step size; likewise.
        engine: `torch` or `fused`; likewise.
        recipe: all settings of the training by name; for models fitted in one go, those of the model.
        parameters: number of learned parameters; None if unknown.
        warnings: warnings of the library that fitted the model; None if it cannot raise any.
        random: whether another seed gives another model.
        randomness: how that is known: `declared`, `known` or `assumed`.
        history: figures of each epoch.
        train_seconds: time of the training steps of all epochs.
        test_reads: number of evaluations on the test split.
        held_out: number of training images held out for early stopping; None without, or before the training ended.
        model_bytes: size of the stored model.
        peak_memory_bytes: peak memory of the process.
        files: the stored files.
        learned: whether the training learned anything; None if it has not ended, or in older records.
        not_learned: why it did not, as `modelzero.training.learned` describes it.
        mirror_trial: the trial that decided whether images are mirrored in this training; None without one.
        second_of: the training that this one repeats with a lower rate, because it did not learn; None for a first one.
        repeated_as: id of the run that repeats this one; None if there is none.
        factory: `module:name` from which the user's own model can be imported; None for a built-in one, if there is
            none, or in older records. Shown, never imported unless the user gives it.
        not_stored: why skops could not store a fitted classifier; None if it did, or was not installed.
        failure: why it failed.
        resumed: where it was resumed, one entry each time.
        more: fields added by a newer version.
    """

    id: str
    status: str
    created: str = ""
    process: Process | None = None
    ladder: str | None = None
    model: str
    seed: int
    data: DataDescription
    environment: Environment
    derived: Mapping[str, str] = field(default_factory=dict)
    epochs: int
    batch_size: int | None
    learning_rate: float | None
    engine: str | None = None
    recipe: Mapping[str, Any]
    parameters: int | None = None
    warnings: Sequence[str] | None = None
    random: bool | None = None
    randomness: str | None = None
    history: Sequence[Epoch] = ()
    train_seconds: float = 0.0
    test_reads: int = 0
    held_out: int | None = None
    model_bytes: int | None = None
    peak_memory_bytes: int | None = None
    resumed: Sequence[Resumption] | None = None
    files: Mapping[str, StoredFile] | None = None
    factory: str | None = None
    not_stored: str | None = None
    failure: Failure | None = None
    learned: bool | None = None
    not_learned: Mapping[str, Any] | None = None
    mirror_trial: MirrorTrial | None = None
    second_of: FirstTraining | None = None
    repeated_as: str | None = None
    more: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> RunRecord:
        """Read what `as_dict` wrote.

        Raises:
            KeyError, TypeError, ValueError, AttributeError: the document is damaged.
        """
        values = _known(cls, {key: value for key, value in stored.items() if key not in _OF_THE_FILE})
        values |= {
            "id": str(values["id"]),
            "status": str(values["status"]),
            "seed": int(values["seed"]),
            "train_seconds": float(values["train_seconds"]),
            "process": Process.from_dict(values.get("process")),
            "data": DataDescription.from_dict(values["data"]),
            "environment": Environment.from_dict(values["environment"]),
            "recipe": {**values["recipe"]},  # unlike `dict`, this takes no list
            "created": "" + values.get("created", ""),
            "history": tuple(map(Epoch.from_dict, values["history"])),
        }
        if values.get("files") is not None:
            values["files"] = {name: StoredFile(**_known(StoredFile, of)) for name, of in values["files"].items()}
        if values.get("mirror_trial") is not None:
            values["mirror_trial"] = MirrorTrial(**_known(MirrorTrial, values["mirror_trial"]))
        if values.get("second_of") is not None:
            values["second_of"] = FirstTraining(**_known(FirstTraining, values["second_of"]))
        if values.get("failure") is not None:
            values["failure"] = Failure(**_known(Failure, values["failure"]))
        if values.get("resumed") is not None:
            values["resumed"] = tuple(Resumption(**_known(Resumption, each)) for each in values["resumed"])
        return cls(**values)

    @property
    def kept(self) -> Epoch | None:
        """The epoch whose weights are kept: the last one, or with early stopping the best; None before the first."""
        return kept_of(self.history)

    def as_dict(self) -> dict[str, Any]:
        """Return the document of `run.json` and `modelzero train --json`."""
        optional = {"process", "warnings", "random", "randomness", "model_bytes", "peak_memory_bytes", "files",
                    "learned", "held_out", "failure", "resumed", "mirror_trial", "second_of", "repeated_as",
                    "factory", "not_stored"}  # fmt: skip
        if self.learned is None:
            optional.add("not_learned")
        return {"format": FORMAT, **_without_none(_plain_fields(self), optional), **self.more}


def kept_of(history: Sequence[Epoch]) -> Epoch | None:
    """Return the epoch with the lowest loss on held-out images, the first one if several have it; else the last one."""
    if not history or history[-1].validation_loss is None:
        return history[-1] if history else None
    return min(history, key=lambda epoch: math.inf if epoch.validation_loss is None else epoch.validation_loss)


@dataclass(frozen=True)
class RungRecord:
    """A rung of a ladder as it was declared.

    Args:
        name: its name in tables.
        adds: what it adds to the rung below.
        model: the built-in model; None for the user's own.
        seeds: number of planned trainings; 0 if the rung was left out.
        recipe: the recipe that trains it; None in a ladder collected from single runs.
        random: whether another seed gives another model; None if that has to be measured.
        randomness: how that is known.
    """

    name: str
    adds: str
    model: str | None = None
    seeds: int = 0
    recipe: Mapping[str, Any] | None = None
    random: bool | None = None
    randomness: str | None = None


@dataclass(frozen=True)
class Declared:
    """A comparison declared before training: a rung against the best of those below it."""

    rung: str
    against: str = "the best below"
    below: Sequence[str] = ()


@dataclass(frozen=True)
class CellRecord:
    """One training of a climb.

    Args:
        rung: name of the rung.
        seed: seed of the training.
        status: `planned`, `finished`, `failed`, `cut off`, `lost` or `not needed`.
        run: id of the finished run.
        why: why it is missing.
        learned: as in the record of the run.
        not_learned: likewise.
    """

    rung: str
    seed: int
    status: str = "planned"
    run: str | None = None
    why: str | None = None
    learned: bool | None = None
    not_learned: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class LeftOut:
    """A rung, or some of its trainings, that a ladder lacks.

    Args:
        name: name of the rung.
        why: the reason.
        predicted_seconds: predicted time of one training; None if not predicted.
        failed: whether it failed, as opposed to being too costly.
    """

    name: str
    why: str
    predicted_seconds: float | None = None
    failed: bool = False


@dataclass(frozen=True)
class MirrorTrial:
    """Whether images and their mirror images can be told apart, as decided before training.

    Args:
        images: training images that a small network learned from.
        pairs: other training images, each with its mirror image, that it was asked about.
        told_apart: share of the pairs in which it identified the mirrored image, where 0.5 is guessing; None if there
            were too few images for a trial.
        seconds: duration.
    """

    images: int
    pairs: int
    told_apart: float | None
    seconds: float


@dataclass(frozen=True)
class Leaks:
    """Test images that are also among the training images.

    Args:
        searched: whether near duplicates were searched for.
        why: why not.
        exact: number of test images with exactly the pixels of a training image.
        near: number of test images that are near duplicates of a training image.
        positions: positions of all these in the test split.
        test_clusters: positions of test images that are near duplicates of each other; None if not searched for.
    """

    searched: bool
    why: str | None
    exact: int
    near: int
    positions: Sequence[int]
    test_clusters: Sequence[Sequence[int]] | None = None


@dataclass(frozen=True, kw_only=True)
class LadderRecord:
    """The content of `ladder.json`.

    Args:
        id: name of the ladder's folder.
        status: `running`, `finished`, `failed` or `interrupted`.
        created: time, in ISO 8601.
        process: the process that writes it; None once it has ended.
        data: the dataset.
        seeds: seeds, in the order of use.
        looks: how often these rungs have been compared with some of these seeds.
        device: device of each training.
        margin: differences below this fraction count as practically none.
        environment: versions and machine.
        left_out: what is missing, with reasons.
        rungs: the rungs, in ladder order.
        family: the declared comparisons.
        cells: the trainings.
        budget_seconds: time limit of the climb; None if unlimited.
        workers: number of parallel trainings; None with an executor of the user's own.
        expected_seconds: predicted duration of all trainings, without a budget; None if not predicted.
        not_planned: what was left out before anything was trained; None before the ladder was declared.
        seconds: duration of the climb.
        leaks: test images that are also training images; None if not searched for.
        grouping: a hint at groups among the test images.
        declared: whether the comparisons were declared before training; not stored.
        more: fields added by a newer version.
    """

    id: str = ""
    status: str
    created: str | None = None
    process: Process | None = None
    data: DataDescription
    seeds: Sequence[int] = ()
    looks: int | None = None
    device: str = "cpu"
    margin: float
    environment: Environment | None = None
    left_out: Sequence[LeftOut] = ()
    rungs: Sequence[RungRecord] = ()
    family: Sequence[Declared] = ()
    cells: Sequence[CellRecord] = ()
    budget_seconds: float | None = None
    workers: int | None = None
    expected_seconds: float | None = None
    not_planned: Sequence[LeftOut] | None = None
    seconds: float | None = None
    leaks: Leaks | None = None
    grouping: GroupHint | None = None
    declared: bool = True
    more: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> LadderRecord:
        """Read what `as_dict` wrote.

        Raises:
            KeyError, TypeError, ValueError, AttributeError: the document is damaged.
        """
        values = _known(cls, {key: value for key, value in stored.items() if key not in _OF_THE_FILE})
        values |= {
            "process": Process.from_dict(values.get("process")),
            "data": DataDescription.from_dict(values["data"]),
            "environment": Environment.from_dict(values["environment"]) if values.get("environment") else None,
            "leaks": Leaks(**_known(Leaks, values["leaks"])) if values.get("leaks") else None,
            "grouping": GroupHint(**_known(GroupHint, values["grouping"])) if values.get("grouping") else None,
            "left_out": _all(LeftOut, values.get("left_out")),
            "rungs": _all(RungRecord, values.get("rungs")),
            "family": _all(Declared, values.get("family")),
            "cells": _all(CellRecord, values.get("cells")),
        }
        if values.get("not_planned") is not None:
            values["not_planned"] = _all(LeftOut, values["not_planned"])
        return cls(**values)

    def as_dict(self) -> dict[str, Any]:
        """Return the document of `ladder.json`."""
        optional = {"process", "not_planned", "seconds", "leaks", "looks"}
        stored = _plain_fields(self)
        del stored["declared"]
        if self.leaks is None:
            optional.add("grouping")
        return {"format": FORMAT, **_without_none(stored, optional), **self.more}

    def cells_of(self, rung: str) -> list[CellRecord]:
        """Return the trainings of a rung."""
        return [cell for cell in self.cells if cell.rung == rung]


_OF_THE_FILE = ("format", "sealed", "checksum")
# Fields that every record of a run has.
NEEDED = ("format", "id", "status", "model", "seed", "epochs", "batch_size", "learning_rate", "recipe", "data",
          "history", "train_seconds", "environment", "test_reads")  # fmt: skip


def _known(kind: type, stored: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a kind of record; unknown ones go into `more`, if it has that."""
    names = {each.name for each in fields(kind)}
    values = {key: value for key, value in stored.items() if key in names}
    if "more" in names:
        values["more"] = {key: value for key, value in stored.items() if key not in names}
    return values


def _all(kind: type, stored: Sequence[Mapping[str, Any]] | None) -> tuple[Any, ...]:
    return tuple(kind(**_known(kind, each)) for each in stored or ())


def _plain_fields(record: Any) -> dict[str, Any]:
    return {each.name: plain_value(getattr(record, each.name)) for each in fields(record) if each.name != "more"}


def plain_value(value: Any) -> Any:
    """Return the JSON form of a value in a record."""
    if hasattr(value, "as_dict"):
        return value.as_dict()
    if isinstance(value, Mapping):
        return {key: plain_value(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain_value(each) for each in value]
    return asdict(value) if hasattr(value, "__dataclass_fields__") else value


def _without_none(stored: dict[str, Any], names: Sequence[str] | set[str]) -> dict[str, Any]:
    return {key: value for key, value in stored.items() if value is not None or key not in names}


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


@cache
def _commit() -> str | None:
    """Return the commit of modelzero's checkout, `-dirty` if changed; None if installed as a package."""
    root = Path(__file__).parents[3]
    if not (root / ".git").exists():
        return None
    command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=5, check=True).stdout.strip()  # noqa: S603
    except (OSError, subprocess.SubprocessError):
        return None
