"""Predict calibrated probabilities for images in memory."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from modelzero.data.decoding.pixels import as_array, to_pixels
from modelzero.errors import DataError, ModelZeroError, RunError, counted
from modelzero.io.cores import available_cores
from modelzero.models.build import describe
from modelzero.models.learner import Learner
from modelzero.models.rungs import Rung
from modelzero.results.calibrated import temperature_of
from modelzero.runs.run import Run
from modelzero.statistics.calibration import softmax
from modelzero.training.device import use_threads
from modelzero.using.files import Decoder, Preprocessing, find_images


@dataclass(frozen=True, eq=False)
class Predictor:
    """The trained model of a run, ready to predict many images.

    Args:
        learner: the model, in evaluation mode.
        classes: class names in label order.
        image_shape: channels, height and width of its images.
        temperature: divides its logits.
        threads: number of threads, as in training: then results are equal to the bit.
    """

    learner: Learner
    classes: tuple[str, ...]
    image_shape: tuple[int, int, int]
    temperature: float
    threads: int

    @classmethod
    def of(cls, run: Run) -> Predictor:
        """Build the model of a run, fit its temperature, and test both.

        >>> import tempfile, modelzero as mz
        >>> Predictor.of(mz.train("digits", "majority", runs_dir=tempfile.mkdtemp())).image_shape
        (1, 8, 8)

        Raises:
            RunError: the run is not finished, or its files are damaged or inconsistent.
            ModelError: its model cannot be rebuilt: it needs code that was not given, or is not stored.
        """
        if run.status != "finished":
            raise RunError(f"run {run.id} is {run.status}: expected a finished run; {run.what_to_do}")
        try:
            channels, height, width = run.record.data.image_shape
            threads = max(1, min(run.record.environment.threads, available_cores()))
            classes = run.record.data.classes
            built = cls(run.learner, classes, (channels, height, width), temperature_of(run), threads)
            tried = built.logits(torch.zeros(1, channels, height, width, dtype=torch.uint8))
            fits = tried.shape == (1, len(classes)) and run.test_logits.shape[1] == len(classes)
        except ModelZeroError:
            raise
        except Exception as error:  # a changed record or file may raise anything
            raise RunError(
                f"{run.path} is damaged: its model cannot be rebuilt ({describe(error)}); train it again"
            ) from None
        if not fits:
            raise RunError(f"{run.path} is damaged: its files disagree on the number of classes; train it again")
        return built

    def logits(self, images: Tensor) -> Tensor:
        """Return the logits, float32 [N, classes], of images uint8 [N, C, H, W] of the model's shape."""
        with use_threads(self.threads):
            return self.learner.logits(images)

    def probabilities(self, images: Tensor) -> Tensor:
        """Return the calibrated probabilities, float32 [N, classes], of images uint8 [N, C, H, W], N at least 1."""
        return calibrated(self.logits(images), self.temperature)


def predict(
    run: Run,
    images: Any,
    *,
    model: str | Rung | Callable[..., Any] | None = None,
    trusted: Sequence[str] = (),
) -> Tensor:
    """Return the calibrated probability of each class for images in memory or in files.

    >>> import tempfile, modelzero as mz
    >>> data = mz.load("digits")
    >>> run = mz.train(data, "softmax", runs_dir=tempfile.mkdtemp())
    >>> probabilities = mz.predict(run, data.test.images[:3])
    >>> probabilities.shape, [data.classes[label] for label in probabilities.argmax(1)]
    (torch.Size([3, 10]), ['7', '6', '3'])

    Args:
        run: a finished run.
        images: uint8 [N, C, H, W] of the shape that the run was trained on, as a tensor, an array or a list; also
            [N, H, W, C], grey ones [N, H, W], or one image. Or paths: a file, a folder, or a list of them; files are
            resized as in training.
        model: the model, if it is your own and the run was read from its folder: as for `train`, such as "mine:wide".
        trusted: names of types of your own that a stored scikit-learn classifier uses, such as "mine.Blur".

    Returns:
        float32 [N, classes]; the largest value of a row is that of the class that the model predicts.

    Raises:
        RunError: the run is not finished, or damaged.
        ModelError: its model cannot be built again, or needs your code.
        DataError: images of another shape or type, or files that cannot be read.
    """
    predictor = Predictor.of(run.using(model, trusted))
    paths = [images] if isinstance(images, str | Path) else images
    if isinstance(paths, list | tuple) and paths and all(isinstance(each, str | Path) for each in paths):
        given = _decoded(run, [str(path) for path in paths])
    else:
        given = shaped(images, predictor.image_shape)
    if not len(given):
        return torch.empty(0, len(predictor.classes))
    return predictor.probabilities(given)


def _decoded(run: Run, paths: list[str]) -> Tensor:
    """Decode files, all or none."""
    files = list(find_images(paths))
    with Decoder(Preprocessing.of(run.record.data)) as decoder:
        images, _, bad = decoder.decode(files)
    if bad:
        name, why = bad[0]
        raise DataError(f"{counted(len(bad), 'unreadable file')} of {len(files):,}, such as {name}: {why}")
    return torch.from_numpy(images)


def calibrated(logits: Tensor, temperature: float) -> Tensor:
    """Turn logits [N, classes] into float32 probabilities; the largest logit gets the largest probability.

    >>> calibrated(torch.tensor([[0.0, 1e-9]]), 1.0).argmax(1)
    tensor([1])
    """
    values = softmax(logits.numpy(), temperature).astype(np.float32)
    predicted = logits.numpy().argmax(axis=1)
    even = np.flatnonzero(values.argmax(axis=1) != predicted)  # two that are equal in float32
    values[even, predicted[even]] = np.nextafter(values[even].max(axis=1), np.float32(np.inf))
    return torch.from_numpy(values)


def shaped(images: Any, image_shape: tuple[int, int, int]) -> Tensor:
    """Convert images in memory to uint8 [N, C, H, W].

    >>> shaped(np.zeros((28, 28), np.uint8), (1, 28, 28)).shape
    torch.Size([1, 1, 28, 28])

    Args:
        images: as `predict` takes them.
        image_shape: the expected channels, height and width.

    Raises:
        DataError: the shape, type or range is unexpected.
    """
    channels, height, width = image_shape
    needed = f"expected uint8 [N, {channels}, {height}, {width}], as in training"
    if isinstance(images, list | tuple) and images and all(isinstance(each, Tensor) for each in images):
        images = [each.numpy(force=True) for each in images]
    array = as_array(images, "images")
    if array.ndim and len(array) == 0:
        return torch.empty(0, *image_shape, dtype=torch.uint8)
    one, grey = array.shape, channels == 1
    if one == image_shape or one == (height, width, channels) or (grey and one == (height, width)):
        array = array[None]
    if grey and array.shape[1:] == (height, width):
        array = array[:, None]
    first, last = array.shape[1:] == image_shape, array.shape[1:] == (height, width, channels)
    if array.ndim != 4 or not (first or last) or not math.prod(array.shape):
        raise DataError(
            f"images of type {array.dtype} and shape {list(one)}: {needed}; 'modelzero predict' converts image files"
        )
    if channels not in (1, 3):  # of a dataset assembled by hand
        if array.dtype != np.uint8:
            raise DataError(f"images of type {array.dtype}: {needed}")
        return torch.from_numpy(np.ascontiguousarray(array if first else array.transpose(0, 3, 1, 2)))
    return to_pixels(array, not first, "images", [])
