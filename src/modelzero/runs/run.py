"""`Run`: one training and what it left behind, read from its folder."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from modelzero.errors import ModelError, RunError, SettingError
from modelzero.io.json import from_json, to_json
from modelzero.models.build import describe
from modelzero.models.learner import Learner, learner_from
from modelzero.models.rungs import Rung, as_rung
from modelzero.models.skops_file import INSTALL
from modelzero.runs.notebook import run_html
from modelzero.runs.record import (
    CLASSIFIER,
    FORMAT,
    GROUPS,
    HISTORY,
    LADDER_RECORD,
    MODEL,
    NEEDED,
    PREDICTIONS,
    RECORD,
    Epoch,
    RunRecord,
)
from modelzero.runs.seal import DamagedError, fingerprint, unsealed
from modelzero.runs.spec import Spec, check_same_model

_PATH = re.compile(r"[\w.]+:[\w.]+")  # `module:name`, as in a record
_ROWS = 1024  # test images whose logits are read at a time


@dataclass(frozen=True, eq=False, repr=False)
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
        trained: the model, if it is in memory; otherwise it is rebuilt from the stored weights.
        logits: logits of the test images with the weights that are kept, if they are in memory.
        rung: the model, if it is the user's own and known in this session; a record does not contain it.
        trusted: names of the types of the user's own in a stored scikit-learn classifier that may be imported.
        fit_again: fits a classifier that is not stored again, in the session that trained it.
    """

    path: Path
    record: RunRecord
    trained: Learner | None = None
    logits: Tensor | None = None
    rung: Rung | None = None
    trusted: Sequence[str] = ()
    fit_again: Callable[[Run], Learner] | None = None

    @classmethod
    def read(
        cls,
        path: str | Path,
        *,
        changed: bool = False,
        model: str | Rung | Callable[..., Any] | None = None,
        trusted: Sequence[str] = (),
    ) -> Run:
        """Read the run in a folder.

        A run whose process is gone, for example because it was killed, is `interrupted`.

        Args:
            path: the folder.
            changed: accept a record that was changed after it was written.
            model: the model, if it is the user's own; see `using`.
            trusted: likewise.

        Raises:
            RunError: there is no run, or its record is damaged or of a newer format.
            ModelError: `model` cannot be imported.
        """
        path = Path(path)
        return cls(path, read_record(path, changed=changed)).using(model, trusted)

    def using(self, model: str | Rung | Callable[..., Any] | None = None, trusted: Sequence[str] = ()) -> Run:
        """Return the run with the code of the user's own that its model needs; a record only names code.

        >>> import tempfile, modelzero as mz
        >>> from torch import nn
        >>> def wide(classes):
        ...     return nn.Sequential(nn.Flatten(), nn.Linear(64, classes))
        >>> path = mz.train("digits", wide, epochs=1, runs_dir=tempfile.mkdtemp()).path
        >>> mz.Run.read(path).using(wide).model[1].out_features
        10

        Args:
            model: the model that was trained, as `train` takes it, such as "mine:wide"; None keeps what is known.
            trusted: names of types that a stored scikit-learn classifier may import, such as "mine.Blur", besides
                those of scikit-learn, numpy and scipy.

        Raises:
            ModelError: `model` cannot be imported.
            SettingError: `trusted` is not a list of names.
        """
        if isinstance(trusted, str) or not all(isinstance(name, str) for name in trusted):
            raise SettingError(f"trusted {trusted!r}: expected a list of names of types, such as ['mine.Blur']")
        if model is None and not trusted:
            return self
        rung = self.rung if model is None else as_rung(model)
        return replace(self, rung=rung, trusted=(*self.trusted, *trusted))

    @property
    def id(self) -> str:
        """The name of its folder."""
        return self.record.id

    @property
    def status(self) -> str:
        """Return `running`, `finished`, `failed` or `interrupted`."""
        return self.record.status

    @property
    def seed(self) -> int:
        """The seed of weights and batch order."""
        return self.record.seed

    @property
    def learned(self) -> bool | None:
        """Whether the training learned anything; None if it has not ended, or in older records."""
        return self.record.learned

    @property
    def not_learned(self) -> Mapping[str, Any] | None:
        """Why the training did not learn, as `modelzero.training.learned` describes it; None if it did.

        >>> import tempfile, modelzero as mz
        >>> run = mz.train("digits", "softmax", epochs=1, seed=42, runs_dir=tempfile.mkdtemp())
        >>> run.learned, run.not_learned
        (True, None)
        """
        return self.record.not_learned

    @property
    def train_seconds(self) -> float:
        """Time of the training steps of all epochs and of looks at held-out images, without the test."""
        return self.record.train_seconds

    @property
    def all_train_seconds(self) -> float:
        """The same, with the training that this one repeats because it did not learn."""
        first = self.record.second_of
        return self.train_seconds + (0.0 if first is None else first.seconds)

    @cached_property
    def history(self) -> list[Epoch]:
        """The figures of each epoch."""
        return list(self.record.history)

    @property
    def kept(self) -> Epoch | None:
        """The figures of the epoch whose weights are kept: the last one, or with early stopping the best.

        >>> import tempfile, modelzero as mz
        >>> run = mz.train("digits", "softmax", epochs=2, runs_dir=tempfile.mkdtemp())
        >>> run.kept == run.history[-1]
        True
        """
        return self.record.kept

    @cached_property
    def learner(self) -> Learner:
        """The trained model, rebuilt from the stored weights if it is not in memory.

        Raises:
            RunError: its files are missing or damaged.
            ModelError: a model of the user's own that was not given, or another one was; or a scikit-learn classifier
                that is not stored, or uses types that are not trusted.
        """
        if self.trained is not None:
            return self.trained
        record = self.record
        if record.recipe.get("kind") == "classifier":
            return self._classifier()
        if self.rung is None and record.recipe["model"] is None:
            raise ModelError(f"run {self.id} trained {record.model!r}, a model of your own: {_how_to_give(record)}")
        learner = Spec.of(record, self.rung, to_train=False).learner(record.data.image_shape, len(record.data.classes))
        if self.rung is not None:
            check_same_model(record, learner)
        with self._reading(MODEL) as file:
            tensors = safetensors.torch.load_file(file)
        try:
            learner.load(tensors)
        except RuntimeError as error:  # as many parameters in other shapes
            if record.recipe["model"] is not None:
                raise
            raise ModelError(
                f"run {self.id} trained {record.model!r}, whose weights do not fit the model that was given "
                f"({describe(error)}): expected the same model"
            ) from error
        return learner

    def _classifier(self) -> Learner:
        """Read the stored classifier, or fit it again in the session that trained it."""
        record = self.record
        if CLASSIFIER in (record.files or {}):
            with self._reading(CLASSIFIER) as file:
                content = file.read_bytes()
            try:
                return learner_from(content, len(record.data.classes), record.seed, self.trusted)
            except ValueError as error:
                raise RunError(f"{self.path / CLASSIFIER} is damaged ({error}): train again") from error
            except ModelError as error:
                if self.fit_again is None:
                    raise ModelError(f"run {self.id} fitted {record.model!r}: {error}") from error
        if self.fit_again is not None:
            return self.fit_again(self)
        why = "" if record.not_stored is None else f", because it is {record.not_stored}"
        what_to_do = (
            f"{INSTALL}, then train it again" if record.not_stored is None else "use it in the session that trains it"
        )
        raise ModelError(
            f"run {self.id} fitted {record.model!r}, a scikit-learn classifier of which only the test predictions are "
            f"stored{why}: {what_to_do}"
        )

    @property
    def model(self) -> Any:
        """The trained model: a module in evaluation mode, or a fitted scikit-learn classifier; see `learner`."""
        return self.learner.model

    @cached_property
    def test_logits(self) -> Tensor:
        """The logits of the test images with the weights that are kept, float32 [N, classes]."""
        return self.tensors(PREDICTIONS)["logits"] if self.logits is None else self.logits

    @cached_property
    def test_predictions(self) -> Tensor:
        """The predicted labels of the test images, int64 [N], computed without keeping the logits in memory.

        With 10,000 classes and test images they take 400 MB, and a ladder has the runs of all its seeds.
        """
        if self.logits is not None:
            return self.logits.argmax(1)
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
        """The group of each test image, int64 [N], such as the video of a frame; None if there are no groups."""
        with self._reading(PREDICTIONS) as file, safetensors.safe_open(file, "pt") as stored:
            groups: Tensor | None = stored.get_tensor(GROUPS) if GROUPS in stored.keys() else None  # noqa: SIM118
            return groups

    def tensors(self, name: str) -> dict[str, Tensor]:
        """Read one of its tensor files, `model.safetensors` or `predictions.safetensors`.

        Raises:
            RunError: the file is missing or damaged.
        """
        with self._reading(name) as file:
            return safetensors.torch.load_file(file)

    @property
    def what_to_do(self) -> str:
        """What to do about a run that is not finished, as a clause of a message."""
        if self.status == "interrupted":
            return f"resume it: modelzero train --resume {shlex.quote(str(self.path))}"
        return "wait for it" if self.status == "running" else "train it again"

    def check_tensors(self) -> None:
        """Check that weights and predictions of a finished run are intact.

        Raises:
            RunError: one of the files is damaged.
        """
        for name in self.record.files or {}:
            with self._reading(name):
                pass

    def check(self) -> None:
        """Check that every file of a finished run is intact.

        Raises:
            RunError: one of the files is damaged.
        """
        self.check_tensors()
        expected = "".join(to_json(line, indent=None) + "\n" for line in map(Epoch.as_dict, self.record.history))
        try:
            found = (self.path / HISTORY).read_bytes()
        except OSError as error:
            raise RunError(
                f"{self.path / HISTORY} cannot be read ({error.strerror}): check its permissions, or train again"
            ) from None
        if found != expected.encode():  # byte by byte: other digits may mean the same number
            raise RunError(f"{self.path / HISTORY} is damaged: it differs from the history in {RECORD}; train again")

    @contextmanager
    def _reading(self, name: str) -> Iterator[Path]:
        if not (self.path / name).is_file():
            raise RunError(
                f"run {self.id} is {self.status} and has no {name}: expected a finished run; {self.what_to_do}"
            )
        try:
            written = (self.record.files or {}).get(name)
            if written is not None and fingerprint(self.path / name) != written:
                raise OSError("checksum mismatch")  # noqa: TRY301 - one message for all kinds of damage
            yield self.path / name
        except (SafetensorError, OSError) as error:
            raise RunError(f"{self.path / name} is damaged ({error}): train again") from None

    def _repr_html_(self) -> str:
        return run_html(self.record, self.path)

    def __repr__(self) -> str:
        figures = "" if self.kept is None else f", test_accuracy={self.kept.test_accuracy:.4f}"
        return f"Run({self.id!r}, {self.status}{figures})"


def _how_to_give(record: RunRecord) -> str:
    """Say how to give the model of a run; a name in its record is only shown, since importing it runs code."""
    if record.factory is None or not _PATH.fullmatch(str(record.factory)):
        return "give it again with --model module:name, or in Python as model=..., the function or class that builds it"
    return f"if you trust its code, add --model {record.factory} (model={record.factory!r} in Python)"


def read_record(path: Path, *, changed: bool = False) -> RunRecord:
    """Read the record of a run, with the epochs since it was last written; see `Run.read`."""
    try:
        stored = unsealed((path / RECORD).read_bytes().decode(), check=not changed)
        newer = stored["format"] > FORMAT
        missing = [] if newer else sorted(set(NEEDED) - stored.keys())
        if not newer and not missing:
            if stored["status"] == "running":
                stored["history"] = _read_history(path / HISTORY)
                stored["train_seconds"] = sum(line["train_seconds"] for line in stored["history"])
            record = RunRecord.from_dict(stored)
    except OSError as error:
        if (path / LADDER_RECORD).is_file():
            raise RunError(f"{path} is a ladder of several runs: expected the folder of one run") from None
        raise RunError(f"{path} holds no run ({error.strerror}): expected the folder of a run") from None
    except DamagedError as error:
        raise RunError(f"{path / RECORD} is damaged ({error}): train again") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise RunError(f"{path / RECORD} is damaged: expected a complete record; train again") from None
    if newer:
        raise RunError(
            f"{path / RECORD} has format {stored['format']}, this modelzero reads up to {FORMAT}: update modelzero"
        )
    if missing:
        raise RunError(f"{path / RECORD} is damaged: missing fields {', '.join(missing)}; train again")
    if record.status == "running" and record.process is not None and record.process.is_alive() is False:
        return replace(record, status="interrupted")
    return record


def _read_history(path: Path) -> list[dict[str, Any]]:
    """Read the complete lines of a history; the last line may be partly written."""
    try:
        lines = path.read_bytes().decode().split("\n")
    except FileNotFoundError:
        return []
    return [from_json(line) for line in lines[:-1]]
