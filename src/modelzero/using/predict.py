"""New images in memory, and what a run says of them: calibrated probabilities."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from modelzero.data.dataset import Split
from modelzero.data.decoding.pixels import as_array, to_pixels
from modelzero.errors import DataError, ModelZeroError, RunError
from modelzero.models.build import describe
from modelzero.models.classifier import Classifier, rows_of, scores
from modelzero.results.calibrated import temperature_of
from modelzero.runs.record import Run
from modelzero.statistics.calibration import softmax
from modelzero.training.device import available_cores, use_threads
from modelzero.training.loop import predict_logits


@dataclass(frozen=True, eq=False)
class Predictor:
    """The trained model of a run with what it takes to ask it, made once for many images.

    Args:
        model: the model, in evaluation mode.
        classes: class names in label order.
        image_shape: channels, height and width of its images.
        temperature: what its logits are divided by.
        threads: that it computes with: as many as in training, so that the same bits come out.
    """

    model: nn.Module | Classifier
    classes: tuple[str, ...]
    image_shape: tuple[int, int, int]
    temperature: float
    threads: int

    @classmethod
    def of(cls, run: Run) -> Predictor:
        """Build the model of a run, fit its temperature, and try both.

        >>> import tempfile, modelzero as mz
        >>> Predictor.of(mz.train("digits", "majority", runs_dir=tempfile.mkdtemp())).image_shape
        (1, 8, 8)

        Raises:
            RunError: the run is not finished, or its files are damaged or do not belong together.
            ModelError: its model cannot be built again: a classifier of scikit-learn, or one of the user's own.
        """
        if run.status != "finished":
            raise RunError(f"run {run.id} is {run.status}: a finished one is needed; {run.what_to_do}")
        try:
            channels, height, width = map(int, run.record["data"]["image_shape"])
            threads = max(1, min(int(run.record["environment"]["threads"]), available_cores()))
            classes = tuple(map(str, run.record["data"]["classes"]))
            built = cls(run.model, classes, (channels, height, width), temperature_of(run), threads)
            tried = built.logits(torch.zeros(1, channels, height, width, dtype=torch.uint8))
            fits = tried.shape == (1, len(classes)) and run.test_logits.shape[1] == len(classes)
        except ModelZeroError:
            raise
        except Exception as error:  # whatever stands in a record or a file that somebody changed
            raise RunError(
                f"{run.path} is damaged: its model cannot be put together ({describe(error)}); train it again"
            ) from None
        if not fits:
            raise RunError(f"{run.path} is damaged: its files are of another number of classes; train it again")
        return built

    def logits(self, images: Tensor) -> Tensor:
        """Return the logits, float32 [N, classes], of images uint8 [N, C, H, W] of the model's shape."""
        with use_threads(self.threads):
            if not isinstance(self.model, nn.Module):
                return scores(self.model, rows_of(images), len(self.classes))
            held = next(itertools.chain(self.model.parameters(), self.model.buffers()), None)
            if held is not None:
                images = images.to(held.device)
            return predict_logits(self.model, Split(images, torch.zeros(len(images), dtype=torch.int64)))

    def probabilities(self, images: Tensor) -> Tensor:
        """Return the calibrated probabilities, float32 [N, classes], of images uint8 [N, C, H, W], N at least 1."""
        return calibrated(self.logits(images), self.temperature)


def predict(run: Run, images: Any) -> Tensor:
    """Say how probable each class is for images in memory; see `Run.predict`."""
    predictor = Predictor.of(run)
    pictures = shaped(images, predictor.image_shape)
    if not len(pictures):
        return torch.empty(0, len(predictor.classes))
    return predictor.probabilities(pictures)


def calibrated(logits: Tensor, temperature: float) -> Tensor:
    """Turn logits [N, classes] into probabilities, float32, of which the largest belongs to the largest logit.

    >>> calibrated(torch.tensor([[0.0, 1e-9]]), 1.0).argmax(1)
    tensor([1])
    """
    values = softmax(logits.numpy(), temperature).astype(np.float32)
    predicted = logits.numpy().argmax(axis=1)
    even = np.flatnonzero(values.argmax(axis=1) != predicted)  # two that float32 cannot tell apart
    values[even, predicted[even]] = np.nextafter(values[even].max(axis=1), np.float32(np.inf))
    return torch.from_numpy(values)


def shaped(images: Any, image_shape: tuple[int, int, int]) -> Tensor:
    """Bring images in memory to uint8 [N, C, H, W], or say why that cannot be.

    >>> shaped(np.zeros((28, 28), np.uint8), (1, 28, 28)).shape
    torch.Size([1, 1, 28, 28])

    Args:
        images: as `Run.predict` takes them.
        image_shape: channels, height and width that are needed.

    Raises:
        DataError: another shape, type or range.
    """
    channels, height, width = image_shape
    needed = f"needed is uint8 [N, {channels}, {height}, {width}], as in training"
    if isinstance(images, list | tuple) and images and all(isinstance(each, Tensor) for each in images):
        images = [each.numpy(force=True) for each in images]
    array = as_array(images, "pictures")
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
            f"images of type {array.dtype} and shape {list(one)}: {needed}; modelzero predict brings files to it"
        )
    if channels not in (1, 3):  # of a data set that was put together by hand
        if array.dtype != np.uint8:
            raise DataError(f"images of type {array.dtype}: {needed}")
        return torch.from_numpy(np.ascontiguousarray(array if first else array.transpose(0, 3, 1, 2)))
    return to_pixels(array, not first, "pictures", [])
