"""The training loop around the compiled kernel: a few hundred steps at a time, then a look at the losses."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from modelzero.data.batches import epoch_order
from modelzero.data.dataset import ImageData
from modelzero.models.recipe import Recipe
from modelzero.runs.record import Epoch
from modelzero.training.device import Stopwatch
from modelzero.training.loop import Progress, check_loss, finished_epoch

# Multiply-adds between two looks at the losses, at progress and at Ctrl-C: some hundredths of a second.
_MULTIPLY_ADDS_AT_ONCE = 200_000_000
_PREDICTED_AT_ONCE = 64


def fused_epochs(
    model: nn.Sequential, data: ImageData, recipe: Recipe, *, seed: int, progress: Progress
) -> Iterator[tuple[Epoch, Tensor]]:
    """Train as `train_epochs` does, to rounding, a model that `what_hinders` has nothing against.

    Raises:
        NonFiniteLossError: the loss became NaN or infinite; noticed at the end of the steps that are done at once.
    """
    cpu = torch.device("cpu")
    fused = Fused(model, recipe)
    images, labels = rows_of(data.train.images), data.train.labels.numpy()
    steps = recipe.steps_per_epoch(len(labels))
    sizes = np.full(steps, recipe.batch_size)
    sizes[-1] = len(labels) - (steps - 1) * recipe.batch_size
    for epoch in range(1, recipe.epochs + 1):
        progress.begin_epoch(epoch)
        training_time = Stopwatch(cpu)
        order = epoch_order(seed, epoch - 1, len(labels)).numpy()
        rates = [recipe.learning_rate_at((epoch - 1) * steps + step, recipe.epochs * steps) for step in range(steps)]
        losses, rights = np.empty(steps), np.empty(steps, np.int64)
        for first in range(0, steps, fused.steps_at_once):
            done = slice(first, min(first + fused.steps_at_once, steps))
            fused.train(images, labels, order, done, np.array(rates, np.float32), losses, rights)
            for step in range(done.start, done.stop):
                check_loss(losses[step], epoch, step + 1, steps, recipe.learning_rate)
                progress.step(int(sizes[step]))
        train_seconds = training_time.seconds()
        test_time = Stopwatch(cpu)
        fused.write_back()
        means = float(losses.mean()), float(rights.sum() / len(labels)), float((rights / sizes).mean())
        yield finished_epoch(
            epoch, steps, means, fused.logits(data.test.images), data, recipe, train_seconds, test_time
        )


class Fused:
    """A stack of linear layers in the kernel's arrays.

    Args:
        model: of `nn.Flatten`, `nn.Linear` and `nn.ReLU`.
        recipe: what trains it.
    """

    def __init__(self, model: nn.Sequential, recipe: Recipe) -> None:
        from modelzero.training.fused import kernel  # numba takes a while to import

        self._kernel, self._recipe = kernel, recipe
        self._linears = [layer for layer in model if isinstance(layer, nn.Linear)]
        followers = [*list(model)[1:], None]
        relus = [
            type(after) is nn.ReLU for layer, after in zip(model, followers, strict=True) if layer in self._linears
        ]
        batch, self._test_batch = recipe.batch_size, max(recipe.batch_size, _PREDICTED_AT_ONCE)
        table, weights, values, deltas = [], 0, 0, 0
        for layer, relu in zip(self._linears, relus, strict=True):
            row, out_row = _padded(layer.in_features), _padded(layer.out_features)
            bias, results = weights + layer.out_features * row, values + self._test_batch * row
            table.append(
                [layer.in_features, layer.out_features, row, out_row, weights, bias, relu, values, results, deltas]
            )
            weights, values, deltas = bias + out_row, results, deltas + batch * out_row
        self._layers = np.array(table, np.int64)
        self._weights, self._velocity, self._gradient = (np.zeros(weights, np.float32) for _ in range(3))
        self._values = np.zeros(values + self._test_batch * out_row, np.float32)
        self._deltas = np.zeros(deltas, np.float32)
        for matrix, bias_values, layer in self._parts():
            matrix[:] = layer.weight.detach().numpy()
            bias_values[:] = layer.bias.detach().numpy()
        work = sum(layer.in_features * layer.out_features for layer in self._linears) * batch
        self.steps_at_once = max(1, _MULTIPLY_ADDS_AT_ONCE // work)

    def train(
        self,
        images: np.ndarray[Any, Any],
        labels: np.ndarray[Any, Any],
        order: np.ndarray[Any, Any],
        steps: slice,
        rates: np.ndarray[Any, Any],
        losses: np.ndarray[Any, Any],
        rights: np.ndarray[Any, Any],
    ) -> None:
        """Make some steps of an epoch.

        Args:
            images: uint8 [N, pixels].
            labels: int64 [N].
            order: of the epoch's pictures, int64.
            steps: which of the epoch.
            rates: float32, the learning rate of each step of the epoch.
            losses: float64, gets the mean loss of each step's batch, before the step.
            rights: int64, gets how many of its pictures were right.
        """
        recipe = self._recipe
        self._kernel.train_steps(
            images, labels, order, steps.start, steps.stop - steps.start, recipe.batch_size, self._layers,
            self._weights, self._velocity, self._gradient, self._values, self._deltas, rates,
            recipe.momentum, recipe.nesterov, recipe.weight_decay, recipe.label_smoothing, losses, rights,
        )  # fmt: skip

    def logits(self, images: Tensor) -> Tensor:
        """Return the logits [N, classes] of uint8 pictures [N, C, H, W]."""
        logits = np.empty((len(images), int(self._layers[-1, 1])), np.float32)
        order = np.arange(len(images))
        self._kernel.predict(
            rows_of(images), order, self._test_batch, self._layers, self._weights, self._values, logits
        )
        return torch.from_numpy(logits)

    def write_back(self) -> None:
        """Give the model its weights."""
        for matrix, bias, layer in self._parts():
            layer.weight.data.copy_(torch.from_numpy(matrix))
            layer.bias.data.copy_(torch.from_numpy(bias))

    def _parts(self) -> Iterator[tuple[np.ndarray[Any, Any], np.ndarray[Any, Any], nn.Linear]]:
        for (inputs, outputs, row, _, weights, bias, *_), layer in zip(self._layers, self._linears, strict=True):
            matrix = self._weights[weights:bias].reshape(outputs, row)[:, :inputs]
            yield matrix, self._weights[bias : bias + outputs], layer


def rows_of(images: Tensor) -> np.ndarray[Any, Any]:
    """View uint8 pictures [N, C, H, W] as rows [N, C * H * W]."""
    return images.contiguous().flatten(1).numpy()


def _padded(width: int) -> int:
    return -(-width // 16) * 16
