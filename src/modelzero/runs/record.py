"""The record of a run: what was trained, on what, where, how it went.

Format 1 (2026-11): the first.
"""

from __future__ import annotations

import platform
import shlex
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields
from functools import cache, cached_property
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from modelzero._version import __version__
from modelzero.errors import ModelError, RunError
from modelzero.io.json import from_json, to_json
from modelzero.models.build import build
from modelzero.models.fitted import Fitted
from modelzero.models.rungs import rung_named
from modelzero.runs.process import still_there
from modelzero.runs.seal import DamagedError, fingerprint, unsealed

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FORMAT = 1
RECORD, HISTORY, MODEL, PREDICTIONS = "run.json", "history.jsonl", "model.safetensors", "predictions.safetensors"
LADDER_RECORD = "ladder.json"
NOT_NEEDED = "not needed"  # status of a ladder's cell: the first two seeds of its rung gave one model
GROUPS = "groups"  # in the file of the predictions, where the test images have groups
_ROWS = 1024  # test images whose logits are looked at at once

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
        train_accuracy: share of the training images that were right when they were learned from.
        train_accuracy_batch_mean: mean of the batches' accuracies, as the chapter computes it.
        test_loss: mean over the test images.
        test_accuracy: share of the test images that are right.
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
    def read(cls, path: str | Path, *, changed: bool = False) -> Run:
        """Read the run in a folder.

        A run whose process ended without a word, such as one that was killed, is `interrupted`.

        Args:
            path: the folder.
            changed: take a record that was changed after it was written, too.

        Raises:
            RunError: no run there, or a damaged or newer record.
        """
        path = Path(path)
        try:
            record = unsealed((path / RECORD).read_bytes().decode(), check=not changed)
            newer = record["format"] > FORMAT
            missing = [] if newer else sorted(_NEEDED - record.keys())
            if record["status"] == "running" and not newer:
                # The epochs since the record was last written.
                record["history"] = _read_history(path / HISTORY)
                record["train_seconds"] = sum(line["train_seconds"] for line in record["history"])
                if still_there(record.get("process")) is False:
                    record["status"] = "interrupted"
            if not missing and not newer:
                [epoch_of(line) for line in record["history"]]
                _ = record["data"]["name"] + record["recipe"].get("loss", "") + record.get("created", "")
        except OSError as error:
            if (path / LADDER_RECORD).is_file():
                raise RunError(f"{path} is a ladder of several runs: the folder of one run is needed") from None
            raise RunError(f"{path} holds no run ({error.strerror}): the folder of a run is needed") from None
        except DamagedError as error:
            raise RunError(f"{path / RECORD} is damaged ({error}): what was written is needed; train again") from None
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
    def learned(self) -> bool | None:
        """Whether the training learned anything; None where the record does not say.

        Records of before this was looked at do not; nor do those of trainings that have not ended.
        """
        learned: bool | None = self.record.get("learned")
        return learned

    @property
    def not_learned(self) -> dict[str, Any] | None:
        """Why the training did not learn, as `modelzero.training.learned` describes it; None if it did.

        >>> import tempfile, modelzero as mz
        >>> run = mz.train("digits", "softmax", epochs=1, seed=42, runs_dir=tempfile.mkdtemp())
        >>> run.learned, run.not_learned
        (True, None)
        """
        fields: dict[str, Any] | None = self.record.get("not_learned")
        return fields

    @property
    def train_seconds(self) -> float:
        """Time of the training steps of all epochs, evaluation not included."""
        return float(self.record["train_seconds"])

    @cached_property
    def history(self) -> list[Epoch]:
        """The figures of each epoch."""
        return [epoch_of(line) for line in self.record["history"]]

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
        """The logits of the test images after the last epoch, float32 [N, classes]."""
        return self.tensors(PREDICTIONS)["logits"]

    @cached_property
    def test_predictions(self) -> Tensor:
        """The predicted labels of the test images, int64 [N]; the logits are not kept in memory for it.

        With 10,000 classes and test images they take 400 MB, and a ladder has the runs of all its seeds.
        """
        if "test_logits" in self.__dict__:
            return self.test_logits.argmax(1)
        with self._reading(PREDICTIONS) as file, safetensors.safe_open(file, "pt") as stored:
            logits = stored.get_slice("logits")
            starts = range(0, logits.get_shape()[0], _ROWS)
            return torch.cat([logits[start : start + _ROWS].argmax(1) for start in starts])

    @cached_property
    def test_labels(self) -> Tensor:
        """The true labels of the test images, int64 [N]."""
        return self.tensors(PREDICTIONS)["labels"]

    @cached_property
    def test_groups(self) -> Tensor | None:
        """The group of each test image, int64 [N], such as the video that a frame is of; None where it has none."""
        with self._reading(PREDICTIONS) as file, safetensors.safe_open(file, "pt") as stored:
            groups: Tensor | None = stored.get_tensor(GROUPS) if GROUPS in stored.keys() else None  # noqa: SIM118
            return groups

    def tensors(self, name: str) -> dict[str, Tensor]:
        """Read one of its files of tensors, `model.safetensors` or `predictions.safetensors`.

        Raises:
            RunError: it is not there, or not what was written.
        """
        with self._reading(name) as file:
            return safetensors.torch.load_file(file)

    @property
    def what_to_do(self) -> str:
        """What makes a finished run of one that is not."""
        if self.status == "interrupted":
            return f"to go on: modelzero train --resume {shlex.quote(str(self.path))}"
        return "wait for it" if self.status == "running" else "train it again"

    def check_tensors(self) -> None:
        """Make sure that weights and predictions of a finished run are what was written.

        Raises:
            RunError: one of the files is not.
        """
        for name in self.record.get("files", {}):
            with self._reading(name):
                pass

    def check(self) -> None:
        """Make sure that every file of a finished run is what was written.

        Raises:
            RunError: one is not.
        """
        self.check_tensors()
        expected = "".join(to_json(line, indent=None) + "\n" for line in self.record["history"])
        try:
            found = (self.path / HISTORY).read_bytes()
        except OSError as error:
            raise RunError(f"{self.path / HISTORY} cannot be read ({error.strerror})") from None
        if found != expected.encode():  # byte by byte: other digits may mean the same number
            raise RunError(f"{self.path / HISTORY} is damaged: it is not the history that {RECORD} has")

    def predict(self, images: Any) -> Tensor:
        """Say how probable each class is for new images, as `modelzero predict` does for files.

        >>> import tempfile, modelzero as mz
        >>> data = mz.load("digits")
        >>> run = mz.train(data, "softmax", runs_dir=tempfile.mkdtemp())
        >>> probabilities = run.predict(data.test.images[:3])
        >>> probabilities.shape, [data.classes[label] for label in probabilities.argmax(1)]
        (torch.Size([3, 10]), ['7', '6', '3'])

        Args:
            images: uint8 [N, C, H, W] of the shape that the run was trained on, as a tensor, an array or a list; also
                [N, H, W, C], grey ones [N, H, W], or one image.

        Returns:
            Calibrated probabilities, float32 [N, classes]; the largest is that of the class that the model says.

        Raises:
            RunError: the run is not finished, or damaged.
            ModelError: its model cannot be built again.
            DataError: images of another shape or type.
        """
        from modelzero.using.predict import predict

        return predict(self, images)

    @contextmanager
    def _reading(self, name: str) -> Iterator[Path]:
        if not (self.path / name).is_file():
            raise RunError(
                f"run {self.id} is {self.status} and has no {name}: a finished run is needed; {self.what_to_do}"
            )
        try:
            written = self.record.get("files", {}).get(name)
            if written is not None and fingerprint(self.path / name) != written:
                raise OSError("its checksum is another one")  # noqa: TRY301 - one message for all that can be wrong
            yield self.path / name
        except (SafetensorError, OSError) as error:
            raise RunError(f"{self.path / name} is damaged ({error}): a whole file is needed; train again") from None

    def plot(self) -> Figure:
        """Draw loss and accuracy of each epoch with matplotlib."""
        from modelzero.plots import run_figure

        return run_figure(self)

    def _repr_html_(self) -> str:
        from modelzero.report.notebook import run_html

        return run_html(self)

    def __repr__(self) -> str:
        last = self.history[-1] if self.history else None
        figures = f", test_accuracy={last.test_accuracy:.4f}" if last else ""
        return f"Run({self.id!r}, {self.status}{figures})"


def environment(threads: int, device: str) -> dict[str, Any]:
    """Describe what the numbers of a run may depend on besides recipe, data and seed."""
    return {
        "versions": {
            "modelzero": __version__,
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


def epoch_of(line: Mapping[str, Any]) -> Epoch:
    """Read one line of the history; fields that a later version added are left out."""
    values: dict[str, Any] = {field.name: line[field.name] for field in fields(Epoch)}
    spelled = {key: float(value) for key, value in values.items() if isinstance(value, str)}
    return Epoch(**{**values, **spelled})


def _read_history(path: Path) -> list[dict[str, Any]]:
    """Read the whole lines of a history; the last one may be half written."""
    try:
        lines = path.read_bytes().decode().split("\n")
    except FileNotFoundError:
        return []
    return [from_json(line) for line in lines[:-1]]


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
