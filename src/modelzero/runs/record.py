"""The record of a run: what was trained, on what, where, how it went.

Format 1 (2026-11): the first.
"""

from __future__ import annotations

import json
import math
import platform
import re
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from functools import cache, cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor, nn

import modelzero
from modelzero.errors import ModelError, RunError
from modelzero.models.build import build
from modelzero.models.fitted import Fitted
from modelzero.models.ladder import rung_named

FORMAT = 1
RECORD, HISTORY, MODEL, PREDICTIONS = "run.json", "history.jsonl", "model.safetensors", "predictions.safetensors"
LADDER_RECORD = "ladder.json"
_HALF_PAIR = re.compile("[\ud800-\udfff]")

_NEEDED = {
    "format", "id", "status", "model", "seed", "epochs", "batch_size", "learning_rate", "recipe", "data",
    "history", "train_seconds", "environment", "test_reads",
}  # fmt: skip


@dataclass(frozen=True)
class Epoch:
    """The figures of one epoch. Accuracies are fractions, 0 to 1.

    Args:
        epoch: counted from 1.
        train_loss: mean of the batch losses, each taken before its own step.
        train_accuracy: share of the training pictures that were right when they were learned from.
        train_accuracy_batch_mean: mean of the batches' accuracies, as the chapter computes it.
        test_loss: mean over the test pictures.
        test_accuracy: share of the test pictures that are right.
        test_correct: how many that are.
        test_loss_batch_mean: mean of the batches' losses; biased where the last batch is short.
        test_accuracy_batch_mean: mean of the batches' accuracies; likewise.
        train_seconds: time of the training steps.
        test_seconds: time of the evaluation.
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


@dataclass(frozen=True, eq=False)
class Run:
    """One training and what it left behind.

    >>> import tempfile, modelzero as mz
    >>> run = mz.train("digits", "model0", epochs=1, runs_dir=tempfile.mkdtemp())
    >>> again = mz.Run.read(run.path)
    >>> again.status, again.history == run.history
    ('finished', True)

    Args:
        path: its folder.
        record: the content of its `run.json`.
    """

    path: Path
    record: Mapping[str, Any]

    @classmethod
    def read(cls, path: str | Path) -> Run:
        """Read the run in a folder.

        Raises:
            RunError: no run there, or a damaged or newer record.
        """
        path = Path(path)
        try:
            record = from_json((path / RECORD).read_text(encoding="utf-8"))
            newer = record["format"] > FORMAT
            missing = [] if newer else sorted(_NEEDED - record.keys())
            if record["status"] == "running" and not newer:  # the epochs since the record was last written
                record["history"] = _read_history(path / HISTORY)
            if not missing and not newer:
                [_epoch(line) for line in record["history"]]
                _ = record["data"]["name"] + record["recipe"].get("loss", "") + record.get("created", "")
        except OSError as error:
            raise RunError(f"{path} holds no run ({error.strerror}): the folder of a run is needed") from None
        except (ValueError, KeyError, TypeError, AttributeError):
            raise RunError(f"{path / RECORD} is damaged: a whole record is needed; train again") from None
        if newer:
            raise RunError(
                f"{path / RECORD} has format {record['format']}, this modelzero reads up to {FORMAT}: update modelzero"
            )
        if missing:
            raise RunError(f"{path / RECORD} is damaged: it lacks {', '.join(missing)}; train again")
        return cls(path, record)

    @property
    def id(self) -> str:
        """The name of its folder."""
        return str(self.record["id"])

    @property
    def status(self) -> str:
        """Return `running`, `finished`, `failed` or `interrupted`."""
        return str(self.record["status"])

    @property
    def seed(self) -> int:
        """The seed that weights and batch order follow from."""
        return int(self.record["seed"])

    @property
    def train_seconds(self) -> float:
        """Time of the training steps of all epochs, evaluation not included."""
        return float(self.record["train_seconds"])

    @cached_property
    def history(self) -> list[Epoch]:
        """The figures of each epoch."""
        return [_epoch(line) for line in self.record["history"]]

    @cached_property
    def model(self) -> nn.Module:
        """The trained model, rebuilt from the stored weights where it is not in memory, in evaluation mode.

        Raises:
            ModelError: a model of the user's own, whose code the record does not have.
        """
        recipe, data = self.record["recipe"], self.record["data"]
        if recipe.get("kind") == "classifier":
            raise ModelError(
                f"run {self.id} fitted {self.record['model']!r}, a classifier that could be stored as a pickle only, "
                "which can run any code when it is read: fit it again; its test predictions are in test_logits"
            )
        if recipe["model"] is None:
            raise ModelError(
                f"run {self.id} trained {self.record['model']!r}, a model of your own: make it yourself and load "
                f"{self.path / MODEL} into it with safetensors.torch.load_model"
            )
        model: Any = build(
            rung_named(recipe["model"]).make,
            tuple(data["image_shape"]),
            len(data["classes"]),
            hidden_units=recipe.get("hidden_units", 10),
        )
        with self._reading(MODEL) as file:
            if isinstance(model, Fitted):
                model.load(safetensors.torch.load_file(file))
            else:
                safetensors.torch.load_model(model, file)
        module: nn.Module = model.eval()
        return module

    @cached_property
    def test_logits(self) -> Tensor:
        """The logits of the test pictures after the last epoch, float32 [N, classes]."""
        with self._reading(PREDICTIONS) as file:
            return safetensors.torch.load_file(file)["logits"]

    @cached_property
    def test_labels(self) -> Tensor:
        """The true labels of the test pictures, int64 [N]."""
        with self._reading(PREDICTIONS) as file:
            return safetensors.torch.load_file(file)["labels"]

    def predict(self, images: Any) -> Tensor:
        """Say how probable each class is for new pictures, as `modelzero predict` does for files.

        >>> import tempfile, modelzero as mz
        >>> data = mz.load("digits")
        >>> run = mz.train(data, "softmax", runs_dir=tempfile.mkdtemp())
        >>> probabilities = run.predict(data.test.images[:3])
        >>> probabilities.shape, [data.classes[label] for label in probabilities.argmax(1)]
        (torch.Size([3, 10]), ['7', '6', '3'])

        Args:
            images: uint8 [N, C, H, W] of the shape that the run was trained on, as a tensor, an array or a list; also
                [N, H, W, C], grey ones [N, H, W], or one picture.

        Returns:
            Calibrated probabilities, float32 [N, classes]; the largest is that of the class that the model says.

        Raises:
            RunError: the run is not finished, or damaged.
            ModelError: its model cannot be built again.
            DataError: pictures of another shape or type.
        """
        from modelzero.using.predict import predict

        return predict(self, images)

    @contextmanager
    def _reading(self, name: str) -> Iterator[Path]:
        if not (self.path / name).is_file():
            raise RunError(
                f"run {self.id} is {self.status} and has no {name}: a finished run is needed; train it again"
            )
        try:
            yield self.path / name
        except (SafetensorError, OSError) as error:
            raise RunError(f"{self.path / name} is damaged ({error}): a whole file is needed; train again") from None

    def __repr__(self) -> str:
        last = self.history[-1] if self.history else None
        figures = f", test_accuracy={last.test_accuracy:.4f}" if last else ""
        return f"Run({self.id!r}, {self.status}{figures})"


def environment(threads: int, device: str) -> dict[str, Any]:
    """Describe what the numbers of a run may depend on besides recipe, data and seed."""
    return {
        "versions": {
            "modelzero": modelzero.__version__,
            "python": platform.python_version(),
            "torch": torch.__version__,
            "numpy": np.__version__,
            "scikit-learn": version("scikit-learn"),
        },
        "commit": _commit(),
        "system": platform.platform(),
        "processor": _processor(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "threads": threads,
        "device": device,
        "accelerator": torch.cuda.get_device_name(device) if device.startswith("cuda") else None,
    }


def to_json(value: object, *, indent: int | None = 2) -> str:
    """Write JSON in which NaN and infinity are spelled out as strings, since JSON has no such numbers.

    Halves of surrogate pairs, which stand for the bytes of a name that is not UTF-8, are escaped: the result is UTF-8.

    >>> to_json({"loss": float("nan")}, indent=None)
    '{"loss": "NaN"}'
    """
    text = json.dumps(_spelled(value), indent=indent, ensure_ascii=False, allow_nan=False)
    # Half a surrogate pair, as in a file name that is no UTF-8, cannot be encoded; its escape can, and means the same.
    return _HALF_PAIR.sub(lambda half: f"\\u{ord(half[0]):04x}", text)


def from_json(text: str) -> Any:
    """Read JSON as `to_json` writes it; the strings for NaN and infinity stay strings, `float` understands them."""
    return json.loads(text)


def _spelled(value: object) -> object:
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, Mapping):
        return {str(key): _spelled(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_spelled(item) for item in value]
    if isinstance(value, Epoch):
        return _spelled(asdict(value))
    return value


def _epoch(line: Mapping[str, Any]) -> Epoch:
    """Read one line of the history; fields that a later version added are left out."""
    values: dict[str, Any] = {field.name: line[field.name] for field in fields(Epoch)}
    spelled = {key: float(value) for key, value in values.items() if isinstance(value, str)}
    return Epoch(**{**values, **spelled})


def _read_history(path: Path) -> list[dict[str, Any]]:
    """Read the whole lines of a history; the last one may be half written."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    except FileNotFoundError:
        return []
    return [from_json(line) for line in lines if line.endswith("\n")]


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


@cache
def _commit() -> str | None:
    """Return the commit of modelzero's own checkout, `-dirty` when changed; None when it was installed as a package."""
    root = Path(__file__).parents[3]
    if not (root / ".git").exists():
        return None
    command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=5, check=True).stdout.strip()  # noqa: S603
    except (OSError, subprocess.SubprocessError):
        return None
