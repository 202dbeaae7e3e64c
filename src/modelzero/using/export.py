"""Export a run as a file for other programs, which is kept only if it computes what the run computes."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modelzero._version import __version__
from modelzero.data.again import find_again
from modelzero.data.dataset import ImageData
from modelzero.errors import DataError, ExportError, ModelError, RunError, SettingError, nearest
from modelzero.io.atomic import check_writable, replacing
from modelzero.models.rungs import Rung
from modelzero.runs.run import Run
from modelzero.using import onnx, program
from modelzero.using.graph import Graph
from modelzero.using.parity import Parity, ask, compare, refuse
from modelzero.using.predict import Predictor, calibrated

KINDS = {"onnx": ".onnx", "torch": ".pt2"}
# The share of test images whose class has to match the stored predictions: other hardware rounds differently.
_LEAST_SAME = 0.999


@dataclass(frozen=True)
class Exported:
    """A file that was exported or checked.

    Args:
        path: of the file.
        kind: `onnx` or `torch`.
        size_bytes: of the file.
        metadata: the metadata stored in it.
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
    model: str | Rung | Callable[..., Any] | None = None,
) -> Exported:
    """Export the model of a run as one file: raw images in, calibrated probabilities out.

    The file takes uint8 `images` [N, C, H, W] for any N, in the size of the training images, and returns float32
    `probabilities` [N, classes]; it includes scaling and temperature. It is kept only if it gives the class that
    modelzero gives for every test image, and each probability to within 1e-5.

    Args:
        run: a finished run.
        path: the file to write or replace; None means `model.onnx` or `model.pt2` in the run's folder.
        to: `onnx`, or `torch` for a `torch.export` program.
        data: the images of the run, if the record does not say where they are.
        data_dir: the folder to search first for named datasets.
        model: the model, if it is your own and the run was read from its folder: as for `train`, such as "mine:wide".

    Raises:
        InputError: the run cannot be exported, or its test images are not available.
        ExportError: the file does not compute what the run computes; it is not kept.
    """
    if to not in KINDS:
        raise SettingError(f"cannot export to {to[:40]!r}: {nearest(to, KINDS)}")
    if to == "onnx":
        onnx.check_installed()
    target = run.path / f"model{KINDS[to]}" if path is None else Path(path)
    if target.suffix in KINDS.values() and target.suffix != KINDS[to]:
        raise SettingError(
            f"{target} does not fit --to {to}: expected a name that ends with {KINDS[to]}, or another --to"
        )
    check_writable(target, [KINDS[to]])
    predictor, images, own = _own(run.using(model), data, data_dir)
    graph = Graph(predictor.learner.as_graph(), predictor.temperature).eval()
    metadata = metadata_of(run, predictor)
    try:
        with replacing(target, [KINDS[to]]) as temporary:
            if to == "onnx":
                onnx.write(graph, predictor.image_shape, metadata, temporary)
                _, asked = onnx.read(temporary)
            else:
                program.write(graph, predictor.image_shape, json.dumps(metadata), temporary)
                asked = program.read(temporary)
            parity = compare(own, ask(asked, images))
            refuse(parity, f"the {'ONNX' if to == 'onnx' else 'torch'} file of {run.id}")
            with temporary.open("rb") as file:
                os.fsync(file.fileno())
            size = temporary.stat().st_size
    except (OSError, ValueError) as error:  # ValueError: a path with a null byte
        why = getattr(error, "strerror", None) or error
        raise SettingError(f"{target} cannot be written ({why}): choose another file") from None
    return Exported(target, to, size, metadata, parity)


def check(
    run: Run,
    path: str | Path,
    *,
    data: ImageData | str | Path | None = None,
    data_dir: str | Path | None = None,
    model: str | Rung | Callable[..., Any] | None = None,
) -> Exported:
    """Check an existing ONNX file against a run, as `export` does.

    Raises:
        InputError: as for `export`; or the file is a torch program, and reading one may run its code.
        ExportError: the file is of another run, damaged, or does not compute what the run computes.
    """
    path = Path(path)
    if path.suffix == KINDS["torch"]:
        raise SettingError(
            f"{path} is a torch program, and reading an untrusted one can run any code: only ONNX files can be "
            "checked; export it again"
        )
    onnx.check_installed()
    if not path.is_file():
        raise DataError(f"{path} is not a file: expected an exported ONNX file")
    metadata, asked = onnx.read(path)
    predictor, images, own = _own(run.using(model), data, data_dir)
    for key, needed in metadata_of(run, predictor).items():
        if key != "modelzero" and metadata.get(key) != needed:
            found = metadata.get(key, "nothing")
            raise ExportError(
                f"{path} belongs to another run or was changed: found {key} {found[:80]}, expected {needed[:80]}"
            )
    parity = compare(own, ask(asked, images))
    refuse(parity, str(path))
    return Exported(path, "onnx", path.stat().st_size, metadata, parity)


def metadata_of(run: Run, predictor: Predictor) -> dict[str, str]:
    """Return the metadata of an exported file; lists and numbers as JSON."""
    return {
        "modelzero": __version__,
        "run": run.id,
        "model": str(run.record.model),
        "data": str(run.record.data.name),
        "fingerprint": str(run.record.data.fingerprint),
        "classes": json.dumps(predictor.classes),
        "image_shape": json.dumps(predictor.image_shape),
        "temperature": json.dumps(predictor.temperature),
    }


def _own(
    run: Run, data: ImageData | str | Path | None, data_dir: str | Path | None
) -> tuple[Predictor, NDArray[np.uint8], NDArray[np.float32]]:
    """Return the predictor of the run, its test images, and its probabilities for them."""
    if run.record.recipe.get("kind") == "classifier":  # before a stored one is read
        raise ModelError(
            f"run {run.id} fitted {run.record.model!r}, a classifier of scikit-learn: expected a torch module to "
            "export; export the classifier itself, run.model, for example with skl2onnx"
        )
    predictor = Predictor.of(run)
    found, why = find_again(run.record.data, data, data_dir)
    if found is None:
        raise DataError(
            f"test images of run {run.id} ({run.record.data.name}, fingerprint {run.record.data.fingerprint[:12]}) not "
            f"found: {why}; nothing is exported unchecked"
        )
    logits = predictor.logits(found.test.images)
    stored = run.test_logits
    same = (logits.argmax(1) == stored.argmax(1)).float().mean().item() if len(logits) == len(stored) else 0.0
    if same < _LEAST_SAME and round((1 - same) * len(logits)) > 1:
        raise RunError(
            f"{run.path} is damaged: its weights and its stored predictions give different classes for {1 - same:.1%} "
            "of the test images; train it again"
        )
    return predictor, found.test.images.numpy(), calibrated(logits, predictor.temperature).numpy()
