"""The training loop around the compiled kernel: a few hundred steps at a time, then a check of the losses."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from threading import Thread
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from modelzero.data.batches import epoch_order, to_float
from modelzero.data.dataset import ImageData
from modelzero.errors import RunError
from modelzero.models.recipe import Recipe
from modelzero.models.standardise import Standardise
from modelzero.runs.record import Epoch
from modelzero.training.bars import Progress
from modelzero.training.checkpoint import Checkpoints
from modelzero.training.device import Stopwatch
from modelzero.training.loop import check_loss, finished_epoch

# Multiply-adds between two checks of losses, progress and Ctrl-C: less than a tenth of a second.
_MULTIPLY_ADDS_AT_ONCE = 8_000_000_000
# Least number of images that an evaluation processes at once.
_LEAST_HELD = 64
_CACHE_LINE = 64
# More than the number of arrivals of all threads in one call.
_NOBODY_WAITS = np.iinfo(np.int64).max // 2


def fused_epochs(
    model: nn.Sequential,
    data: ImageData,
    recipe: Recipe,
    *,
    seed: int,
    threads: int,
    progress: Progress,
    checkpoints: Checkpoints,
) -> Iterator[tuple[Epoch, Tensor]]:
    """Train like `train_epochs`, equal up to rounding, a model for which `what_hinders` returns None.

    The results are identical to the bit for any number of threads.

    Raises:
        NonFiniteLossError: the loss became NaN or infinite; detected after the current chunk of steps.
        RunError: a checkpoint could not be written.
        Interruption: a signal stopped it; a checkpoint is written.
    """
    cpu = torch.device("cpu")
    fused = Fused(model, recipe, threads)
    images, labels = rows_of(data.train.images), data.train.labels.numpy()
    steps = recipe.steps_per_epoch(len(labels))
    sizes = np.full(steps, recipe.batch_size)
    sizes[-1] = len(labels) - (steps - 1) * recipe.batch_size
    start = checkpoints.start
    if start is not None:
        fused.put_back(start.tensors)
    for epoch in range(1 if start is None else start.epoch, recipe.epochs + 1):
        progress.begin_epoch(epoch)
        losses, rights = np.empty(steps), np.empty(steps, np.int64)
        begun, seconds_before = 0, 0.0
        if start is not None and epoch == start.epoch:
            begun, seconds_before = start.step, start.train_seconds
            losses[:begun], rights[:begun] = start.losses, start.rights
            progress.step(int(sizes[:begun].sum()))
        elif epoch > 1 and checkpoints.due(epoch_ended=True):
            checkpoints.save(epoch, 0, fused.state(), losses[:0], rights[:0], 0.0)
        training_time = Stopwatch(cpu)
        order = epoch_order(seed, epoch - 1, len(labels)).numpy()
        rates = recipe.learning_rates(range((epoch - 1) * steps, epoch * steps), recipe.epochs * steps)
        for first in range(begun, steps, fused.steps_at_once):
            done = slice(first, min(first + fused.steps_at_once, steps))
            fused.train(images, labels, order, done, rates, losses, rights)
            for bad in np.flatnonzero(~np.isfinite(losses[done])):
                check_loss(losses[first + bad], epoch, first + int(bad) + 1, steps, recipe.learning_rate)
            progress.step(int(sizes[done].sum()))
            if checkpoints.due():
                seconds_before += training_time.seconds()
                checkpoints.save(
                    epoch, done.stop, fused.state(), losses[: done.stop], rights[: done.stop], seconds_before
                )
                training_time = Stopwatch(cpu)
        train_seconds = seconds_before + training_time.seconds()
        test_time = Stopwatch(cpu)
        fused.write_back()
        means = float(losses.mean()), float(rights.sum() / len(labels)), float((rights / sizes).mean())
        yield finished_epoch(
            epoch, steps, means, fused.logits(data.test.images), data, recipe, train_seconds, test_time
        )


def compile_kernel(recipe: Recipe) -> None:
    """Compile the kernel for a recipe, if that has not been done on this machine."""
    from modelzero.training.fused import kernel

    kernel.compiled("f4" if recipe.standardise else "u1")


class Fused:
    """A stack of linear layers in the kernel's arrays.

    Args:
        model: a stack of `nn.Flatten`, `nn.Linear` and `nn.ReLU`.
        recipe: the recipe that trains it.
        threads: number of threads that share each step.
    """

    def __init__(self, model: nn.Sequential, recipe: Recipe, threads: int = 1) -> None:
        from modelzero.training.fused import kernel  # numba takes a while to import

        self._kernel, self._recipe, self._threads = kernel, recipe, threads
        self._levels = _levels(model)
        self._train_steps, self._predict = kernel.compiled("f4" if len(self._levels) else "u1")
        self._linears = [layer for layer in model if isinstance(layer, nn.Linear)]
        followers = [*list(model)[1:], None]
        relus = [
            type(after) is nn.ReLU for layer, after in zip(model, followers, strict=True) if layer in self._linears
        ]
        batch, self._held = recipe.batch_size, max(recipe.batch_size, _LEAST_HELD)
        table, weights, values, below, deltas = [], 0, 0, 0, 0
        for layer, relu in zip(self._linears, relus, strict=True):
            row, out_row = (
                -(-width // kernel.WIDTH) * kernel.WIDTH for width in (layer.in_features, layer.out_features)
            )
            rows, tall_blocks = blocks(layer.out_features, kernel.TALL, kernel.LOW)
            units, broad_blocks = blocks(layer.out_features, kernel.BROAD, kernel.SLIM)
            bias = weights + rows * row
            table.append(
                [layer.in_features, layer.out_features, row, out_row, rows, tall_blocks, units, broad_blocks,
                 weights, bias, relu, below, values, deltas]
            )  # fmt: skip
            below = values  # the next layer reads the output of this one
            weights, values, deltas = bias + out_row, values + self._held * out_row, deltas + batch * out_row
        self._layers = np.array(table, np.int64)
        self._weights, self._velocity = _zeros(weights, np.float32), _zeros(weights, np.float32)
        self._values_held = values
        self._images, self._values = self._buffers()
        self._deltas = _zeros(deltas, np.float32)
        self._bias_gradient = np.zeros(self._layers[:, kernel.OUT_ROW].max(), np.float32)
        self._image_losses, self._image_rights = np.zeros(batch), np.zeros(batch, np.int64)
        self._counter = np.zeros(1, np.int64)
        for matrix, bias_values, layer in self._parts():
            matrix[:] = layer.weight.detach().numpy()
            bias_values[:] = layer.bias.detach().numpy()
        work = 3 * sum(layer.in_features * layer.out_features for layer in self._linears) * batch
        self.steps_at_once = max(1, threads * _MULTIPLY_ADDS_AT_ONCE // work)

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
        """Run some steps of an epoch.

        Args:
            images: uint8 [N, pixels].
            labels: int64 [N].
            order: int64, order of the epoch's images.
            steps: which steps of the epoch.
            rates: float32, learning rate of each step of the epoch.
            losses: float64, receives the mean loss of each step's batch, before the step.
            rights: int64, receives the number of its images classified correctly.
        """
        recipe = self._recipe
        self._counter[0] = 0
        self._together(
            lambda part: self._train_steps(
                images, self._levels, labels, order, steps.start, steps.stop - steps.start, recipe.batch_size,
                self._layers, self._weights, self._velocity, self._images, self._values, self._deltas,
                self._bias_gradient, rates, recipe.momentum, recipe.nesterov, recipe.weight_decay,
                recipe.label_smoothing, self._image_losses, self._image_rights, losses, rights, part, self._threads,
                self._counter,
            )
        )  # fmt: skip

    def logits(self, images: Tensor) -> Tensor:
        """Return the logits [N, classes] of uint8 images [N, C, H, W]."""
        rows, order = rows_of(images), np.arange(len(images))
        logits = np.empty((len(images), self._linears[-1].out_features), np.float32)

        def predict(part: int) -> None:
            first, last = (len(rows) * share // self._threads for share in (part, part + 1))
            self._predict(
                rows, self._levels, order, first, last, self._held, self._layers, self._weights, *self._buffers(),
                logits,
            )  # fmt: skip

        self._together(predict)
        return torch.from_numpy(logits)

    def state(self) -> dict[str, Tensor]:
        """Return the arrays that change with each step, in the kernel's layout."""
        return {"weights": torch.from_numpy(self._weights), "velocity": torch.from_numpy(self._velocity)}

    def put_back(self, state: Mapping[str, Tensor]) -> None:
        """Restore what `state` returned.

        Raises:
            RunError: it belongs to another model.
        """
        for name, own in self.state().items():
            if name not in state or state[name].shape != own.shape:
                raise RunError(f"the checkpoint belongs to another model: its {name} do not fit")
            own.copy_(state[name])

    def write_back(self) -> None:
        """Copy the weights into the model."""
        for matrix, bias, layer in self._parts():
            layer.weight.data.copy_(torch.from_numpy(matrix))
            layer.bias.data.copy_(torch.from_numpy(bias))

    def _together(self, work: Callable[[int], None]) -> None:
        """Run each thread's part in parallel; the current thread does the first."""
        others = [Thread(target=work, args=(part,)) for part in range(1, self._threads)]
        try:
            for thread in others:
                thread.start()
            work(0)
        except BaseException:  # Ctrl-C between two starts, or no thread available: the others must not wait forever
            self._counter[0] = _NOBODY_WAITS
            raise
        finally:
            for thread in others:
                if thread.ident is not None:
                    thread.join()

    def _buffers(self) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        """Allocate arrays for some images and for the outputs of the layers."""
        row = int(self._layers[0, self._kernel.ROW])
        kind = np.float32 if len(self._levels) else np.uint8
        return _zeros(self._held * row, kind), _zeros(self._values_held, np.float32)

    def _parts(self) -> Iterator[tuple[np.ndarray[Any, Any], np.ndarray[Any, Any], nn.Linear]]:
        for (inputs, outputs, row, _, rows, _, _, _, at, bias, *_), layer in zip(
            self._layers, self._linears, strict=True
        ):
            matrix = self._weights[at : at + rows * row].reshape(rows, row)[:outputs, :inputs]
            yield matrix, self._weights[bias : bias + outputs], layer


def _levels(model: nn.Sequential) -> np.ndarray[Any, Any]:
    """Return the standardised value of each grey level in each channel, float32 [C, 256]; [0, 256] without."""
    first = model[0]
    if not isinstance(first, Standardise):
        return np.empty((0, 256), np.float32)
    channels = len(first.mean)
    every = torch.arange(256, dtype=torch.uint8).expand(1, channels, 1, 256)
    levels: Tensor = first(to_float(every))
    return levels[0, :, 0].contiguous().numpy()


def blocks(size: int, large: int, small: int) -> tuple[int, int]:
    """Divide into blocks of two sizes with the least padding; return the padded size and the number of large blocks.

    >>> blocks(10, 10, 8), blocks(11, 10, 8), blocks(20, 10, 8), blocks(256, 10, 8)
    ((10, 1), (16, 0), (20, 2), (256, 24))
    """
    choices = [
        (n * large + max(0, -(-(size - n * large) // small)) * small, n) for n in range(-(-size // large), -1, -1)
    ]
    return min(choices, key=lambda choice: choice[0])


def rows_of(images: Tensor) -> np.ndarray[Any, Any]:
    """View uint8 images [N, C, H, W] as rows [N, C * H * W]."""
    return images.contiguous().flatten(1).numpy()


def _zeros(count: int, dtype: type[np.generic]) -> np.ndarray[Any, Any]:
    """Allocate an array aligned to a cache line, so that no vector spans two."""
    room = np.zeros(count * np.dtype(dtype).itemsize + _CACHE_LINE, np.uint8)
    start = -room.ctypes.data % _CACHE_LINE
    return room[start : start + count * np.dtype(dtype).itemsize].view(dtype)
