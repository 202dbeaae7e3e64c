"""Honest, fast, recorded baselines for image classification.

    import modelzero as mz
    data = mz.load("fashion-mnist")
    run = mz.train(data, "model0", epochs=3, batch_size=32, learning_rate=0.1, seed=42)
    run.history[-1].test_accuracy

The names below are the public interface, together with `modelzero.statistics` and
`modelzero.data.batches.epoch_order`. They are imported on first use (PEP 562), so that `import modelzero` and
`modelzero --help` do not wait for torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from modelzero._version import __version__ as __version__

if TYPE_CHECKING:
    from modelzero.climbing.climb import climb as climb
    from modelzero.data.arrays import from_arrays as from_arrays
    from modelzero.data.arrays import from_torch as from_torch
    from modelzero.data.auditing.audit import Audit as Audit
    from modelzero.data.auditing.audit import audit as audit
    from modelzero.data.batches import Loader as Loader
    from modelzero.data.dataset import ImageData as ImageData
    from modelzero.data.dataset import Split as Split
    from modelzero.data.load import load as load
    from modelzero.errors import DataError as DataError
    from modelzero.errors import InputError as InputError
    from modelzero.errors import ModelError as ModelError
    from modelzero.errors import ModelZeroError as ModelZeroError
    from modelzero.errors import RunError as RunError
    from modelzero.errors import SettingError as SettingError
    from modelzero.errors import TrainingError as TrainingError
    from modelzero.models.rungs import Rung as Rung
    from modelzero.plots import plot as plot
    from modelzero.reporting.page import report as report
    from modelzero.results.comparison import compare as compare
    from modelzero.results.ladder import Ladder as Ladder
    from modelzero.runs.run import Run as Run
    from modelzero.training.replay import Replay as Replay
    from modelzero.training.replay import replay as replay
    from modelzero.training.resume import resume as resume
    from modelzero.training.train import train as train
    from modelzero.using.export import export as export
    from modelzero.using.predict import predict as predict

_HOME = {
    "Audit": "modelzero.data.auditing.audit",
    "DataError": "modelzero.errors",
    "ImageData": "modelzero.data.dataset",
    "InputError": "modelzero.errors",
    "Ladder": "modelzero.results.ladder",
    "Loader": "modelzero.data.batches",
    "ModelError": "modelzero.errors",
    "ModelZeroError": "modelzero.errors",
    "Replay": "modelzero.training.replay",
    "Run": "modelzero.runs.run",
    "RunError": "modelzero.errors",
    "Rung": "modelzero.models.rungs",
    "SettingError": "modelzero.errors",
    "Split": "modelzero.data.dataset",
    "TrainingError": "modelzero.errors",
    "audit": "modelzero.data.auditing.audit",
    "climb": "modelzero.climbing.climb",
    "compare": "modelzero.results.comparison",
    "export": "modelzero.using.export",
    "from_arrays": "modelzero.data.arrays",
    "from_torch": "modelzero.data.arrays",
    "load": "modelzero.data.load",
    "plot": "modelzero.plots",
    "predict": "modelzero.using.predict",
    "replay": "modelzero.training.replay",
    "report": "modelzero.reporting.page",
    "resume": "modelzero.training.resume",
    "train": "modelzero.training.train",
}

__all__ = [  # noqa: PLE0604 - the names are in the table above, once
    *_HOME,
    "__version__",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'modelzero' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
