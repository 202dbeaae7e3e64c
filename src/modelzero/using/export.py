"""A run as a file for other programs, which gets its name only once it computes what the run computes."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import nn

from modelzero._version import __version__
from modelzero.data.dataset import ImageData
from modelzero.errors import DataError, ExportError, ModelError, RunError, SettingError, nearest
from modelzero.io.atomic import check_writable, replacing
from modelzero.report.again import load_again
from modelzero.runs.record import Run
from modelzero.using import onnx, program
from modelzero.using.graph import as_graph
from modelzero.using.parity import Parity, ask, compare, refuse
from modelzero.using.predict import Predictor, calibrated

KINDS = {"onnx": ".onnx", "torch": ".pt2"}
# Weights and predictions belong together where so many test images keep their class: other hardware rounds otherwise.
_LEAST_SAME = 0.999


@dataclass(frozen=True)
class Exported:
    """A file that was written, or checked.

    Args:
        path: of the file.
        kind: `onnx` or `torch`.
        size_bytes: of the file.
        metadata: what it says of itself.
        parity: how it agrees with modelzero on the test split.
    """

    path: Path
    kind: str
    size_bytes: int
    metadata: dict[str, str]
    parity: Parity


def export(
    run: Run,
    path: str | Path | None = None,
    *,
    to: str = "onnx",
    data: ImageData | str | Path | None = None,
    data_dir: str | Path | None = None,
) -> Exported:
    """Write the model of a run with all that belongs to it: raw images in, calibrated probabilities out.

    The file takes uint8 `images` [N, C, H, W] for any N, of the size that the run was trained on, and returns float32
    `probabilities` [N, classes]; scaling and temperature are within it. Before it gets its name, it is asked for every
    test image, and must give the class that modelzero gives, and each probability to within 1e-5.

    Args:
        run: a finished run.
        path: of the file; None takes `model.onnx` or `model.pt2` in the run's folder. A file that is there is replaced.
        to: `onnx`, or `torch` for a program of `torch.export`.
        data: the images that the run was trained and tested on, where the record does not say where they are.
        data_dir: where named sets are looked for first.

    Raises:
        InputError: a run that cannot be exported, or whose test images are not there.
        ExportError: the file does not compute what the run computes; it was not kept.
    """
    if to not in KINDS:
        raise SettingError(f"no export to {to[:40]!r}: {nearest(to, KINDS)}")
    if to == "onnx":
        onnx.check_installed()
    target = run.path / f"model{KINDS[to]}" if path is None else Path(path)
    if target.suffix in KINDS.values() and target.suffix != KINDS[to]:
        raise SettingError(
            f"{target} is to be written as {to}: a name that ends with {KINDS[to]} is needed, or another --to"
        )
    check_writable(target, [KINDS[to]])
    predictor, images, own = _own(run, data, data_dir)
    model = predictor.model
    if not isinstance(model, nn.Module):
        raise ModelError(f"run {run.id} fitted a classifier that is no torch model: it cannot be written as a graph")
    graph = as_graph(model, predictor.temperature)
    told = metadata(run, predictor)
    try:
        with replacing(target, [KINDS[to]]) as temporary:
            if to == "onnx":
                onnx.write(graph, predictor.image_shape, told, temporary)
                _, asked = onnx.read(temporary)
            else:
                program.write(graph, predictor.image_shape, json.dumps(told), temporary)
                asked = program.read(temporary)
            parity = compare(own, ask(asked, images))
            refuse(parity, f"the {'ONNX' if to == 'onnx' else 'torch'} file of {run.id}")
            with temporary.open("rb") as file:
                os.fsync(file.fileno())
            size = temporary.stat().st_size
    except (OSError, ValueError) as error:  # ValueError: a path with a null byte
        why = getattr(error, "strerror", None) or error
        raise SettingError(f"{target} cannot be written ({why}): choose another file") from None
    return Exported(target, to, size, told, parity)


def check(
    run: Run,
    path: str | Path,
    *,
    data: ImageData | str | Path | None = None,
    data_dir: str | Path | None = None,
) -> Exported:
    """Check an ONNX file that is there against a run, as it was checked when it was written.

    Raises:
        InputError: as for `export`; or a torch program, since reading one may run code that is in it.
        ExportError: the file is of another run, damaged, or does not compute what the run computes.
    """
    path = Path(path)
    if path.suffix == KINDS["torch"]:
        raise SettingError(
            f"{path} is a torch program, and reading one that may have been changed can run any code: only ONNX files "
            "can be checked; export it again"
        )
    onnx.check_installed()
    if not path.is_file():
        raise DataError(f"{path} is no file: one that was exported is needed")
    told, asked = onnx.read(path)
    predictor, images, own = _own(run, data, data_dir)
    for key, needed in metadata(run, predictor).items():
        if key != "modelzero" and told.get(key) != needed:
            found = told.get(key, "nothing")
            raise ExportError(f"{path} is of another run or was changed: its {key} is {found[:80]}, not {needed[:80]}")
    parity = compare(own, ask(asked, images))
    refuse(parity, str(path))
    return Exported(path, "onnx", path.stat().st_size, told, parity)


def metadata(run: Run, predictor: Predictor) -> dict[str, str]:
    """Return what a file says of itself; lists and numbers as JSON."""
    return {
        "modelzero": __version__,
        "run": run.id,
        "model": str(run.record["model"]),
        "data": str(run.record["data"]["name"]),
        "fingerprint": str(run.record["data"]["fingerprint"]),
        "classes": json.dumps(predictor.classes),
        "image_shape": json.dumps(predictor.image_shape),
        "temperature": json.dumps(predictor.temperature),
    }


def _own(
    run: Run, data: ImageData | str | Path | None, data_dir: str | Path | None
) -> tuple[Predictor, NDArray[np.uint8], NDArray[np.float32]]:
    """Return how to ask the run, its test images, and the probabilities that it gives for them."""
    predictor = Predictor.of(run)
    described = run.record["data"]
    if isinstance(data, ImageData):
        found: ImageData | None = data if data.fingerprint == described["fingerprint"] else None
        why = f"those given have the fingerprint {data.fingerprint[:12]}"
    else:
        found, why = load_again(described, data, data_dir)
    if found is None:
        raise DataError(
            f"the test images of run {run.id} ({described['name']}, fingerprint {described['fingerprint'][:12]}) are "
            f"needed, for nothing is exported unchecked: {why}"
        )
    logits = predictor.logits(found.test.images)
    stored = run.test_logits
    same = (logits.argmax(1) == stored.argmax(1)).float().mean().item() if len(logits) == len(stored) else 0.0
    if same < _LEAST_SAME and round((1 - same) * len(logits)) > 1:
        raise RunError(
            f"{run.path} is damaged: its weights give another class than its stored predictions for "
            f"{1 - same:.1%} of the test images; train it again"
        )
    return predictor, found.test.images.numpy(), calibrated(logits, predictor.temperature).numpy()
