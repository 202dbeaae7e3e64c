"""Training steps in one compiled function: gather, forward, loss, backward, update.

The same arithmetic as in `training/loop.py`, which is the one to read first; numbers differ in their last bits because
sums are added in another order. All arrays are flat; rows are padded with zeros to whole blocks, and a table holds the
position of each layer's parts:

    images              the images of the batch [batch, padded pixels]: as uint8, where the products are scaled, or
                        standardised, as float32
    weights, velocity   for each layer its matrix [padded outputs, padded inputs], as in torch, then its biases
    values              the output of each layer [batch, padded outputs]
    deltas              the derivative of the loss with respect to it

Several threads share a step: each computes the deltas of some of its images, then updates a part of every weight
matrix. Each number is summed by one thread in one order, so the results do not depend on the number of threads.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from threading import Lock
from typing import Any

import llvmlite.binding as llvm
import numpy as np
from numba import njit, types
from numba.extending import overload

from modelzero.training.fused.tiles import (
    LANES,
    add_row,
    arrive,
    arrived,
    clear_where_zero,
    copy,
    descent_tile,
    exponentials,
    fetch,
    give_way,
    inner_tile,
    outer_tile,
)

# Columns of the table of layers. ROWS is the number of outputs rounded up to whole blocks, of which TALL_BLOCKS tall
# ones come first; likewise UNITS, with broad blocks.
(
    INPUTS, OUTPUTS, ROW, OUT_ROW, ROWS, TALL_BLOCKS, UNITS, BROAD_BLOCKS, WEIGHTS, BIAS, RELU, VALUES, RESULTS, DELTAS
) = range(14)  # fmt: skip

# Block shapes: as large as fits into 32 registers of 16 numbers, or into 16 of 8.
if llvm.get_host_cpu_features().get("avx512f"):
    TALL, LOW, _VECTORS, _INNER_ROWS, BROAD, SLIM = 10, 8, 2, 4, 5, 4
else:
    TALL, LOW, _VECTORS, _INNER_ROWS, BROAD, SLIM = 6, 5, 1, 2, 2, 1
WIDTH = _VECTORS * LANES

_low, _flat = outer_tile(LOW, _VECTORS), outer_tile(1, _VECTORS)
_tall_descent, _low_descent = descent_tile(TALL, _VECTORS), descent_tile(LOW, _VECTORS)
_broad, _slim = inner_tile(_INNER_ROWS, BROAD), inner_tile(_INNER_ROWS, SLIM)
_broad_row, _slim_row = inner_tile(1, BROAD), inner_tile(1, SLIM)

_ZERO, _ONE, _SCALE = np.float32(0), np.float32(1), np.float32(1) / np.float32(255)
# How often a waiting thread polls before it yields: about 50 microseconds.
_LOOKS = 20_000
_ONE_AT_A_TIME = Lock()


@njit
def _whole_vectors(width):
    return (width + LANES - 1) // LANES * LANES


@njit
def _inner_product(
    a, a_at, a_row, b, b_at, b_row, c, c_at, c_row, rows, broad_blocks, columns, count, scale, bias, relu
):  # fmt: skip
    """Set C[rows, columns] = bias + scale * sum over k of A[row, k] * B[column, k]; `count` is a multiple of 16."""
    column, block = 0, 0
    while column < columns:
        broad = block < broad_blocks
        row = 0
        while row < rows:
            a_now, b_now, c_now = a_at + row * a_row, b_at + column * b_row, c_at + row * c_row + column
            many = rows - row >= _INNER_ROWS
            if many and broad:
                _broad(a, a_now, a_row, b, b_now, b_row, c, c_now, c_row, count, scale, bias + column, relu)
            elif many:
                _slim(a, a_now, a_row, b, b_now, b_row, c, c_now, c_row, count, scale, bias + column, relu)
            elif broad:
                _broad_row(a, a_now, a_row, b, b_now, b_row, c, c_now, c_row, count, scale, bias + column, relu)
            else:
                _slim_row(a, a_now, a_row, b, b_now, b_row, c, c_now, c_row, count, scale, bias + column, relu)
            row += _INNER_ROWS if many else 1
        column += BROAD if broad else SLIM
        block += 1


@njit
def _outer_product(a, a_at, a_row, b, b_at, b_k, c, c_at, c_row, rows, columns, count):
    """Set C[rows, columns] = sum over k of A[row, k] * B[k, column]; `columns` is a multiple of the block width."""
    for column in range(0, columns, WIDTH):
        row = 0
        while row < rows:
            a_now, c_now = a_at + row * a_row, c_at + row * c_row + column
            if rows - row >= LOW:
                _low(a, a_now, a_row, 1, b, b_at + column, b_k, c, c_now, c_row, count)
                row += LOW
            else:
                _flat(a, a_now, a_row, 1, b, b_at + column, b_k, c, c_now, c_row, count)
                row += 1


@njit
def _descend(
    deltas, at, delta_row, inputs, inputs_at, row, weights, velocity, weights_at, rows, tall_blocks, count,
    scale, rate, plain, momentum, by_gradient, by_speed, decay, part, parts,
):  # fmt: skip
    """Update this thread's part of a layer's weights [rows, row] by their gradient, a sum over the images."""
    blocks = tall_blocks + (rows - tall_blocks * TALL) // LOW
    everything = row // WIDTH * blocks
    for each in range(everything * part // parts, everything * (part + 1) // parts):
        column, block = each // blocks * WIDTH, each % blocks
        if block < tall_blocks:
            unit = block * TALL
            _tall_descent(
                deltas, at + unit, 1, delta_row, inputs, inputs_at + column, row, weights, velocity,
                weights_at + unit * row + column, row, count,
                scale, rate, plain, momentum, by_gradient, by_speed, decay,
            )  # fmt: skip
        else:
            unit = tall_blocks * TALL + (block - tall_blocks) * LOW
            _low_descent(
                deltas, at + unit, 1, delta_row, inputs, inputs_at + column, row, weights, velocity,
                weights_at + unit * row + column, row, count,
                scale, rate, plain, momentum, by_gradient, by_speed, decay,
            )  # fmt: skip


@njit
def _ask_for(images, labels, order, start, first, last):
    """Prefetch some images of a later batch, without waiting."""
    pixels = images.shape[1]
    everything = images.reshape(-1)
    for place in range(start + first, min(start + last, len(order))):
        begin = order[place] * pixels
        fetch(labels, order[place])
        for at in range(0, pixels, 64):
            fetch(everything, begin + at)
        fetch(everything, begin + pixels - 1)  # its last cache line, as the image may not be aligned


def _gather(images, levels, order, start, first, last, batch_images, row_length):
    """Gather the images of a batch: as bytes, or as floats by the value of each level in each channel [C, 256]."""


@overload(_gather)
def _gather_as(images, levels, order, start, first, last, batch_images, row_length):  # noqa: ARG001
    def as_bytes(images, levels, order, start, first, last, batch_images, row_length):  # noqa: ARG001
        pixels = images.shape[1]
        everything = images.reshape(-1)
        for row in range(first, last):
            copy(batch_images, row * row_length, everything, order[start + row] * pixels, pixels)

    def as_floats(images, levels, order, start, first, last, batch_images, row_length):
        pixels = images.shape[1] // len(levels)
        for row in range(first, last):
            image = images[order[start + row]]
            for channel in range(len(levels)):
                values = levels[channel]
                at = channel * pixels
                for pixel in range(at, at + pixels):
                    batch_images[row * row_length + pixel] = values[image[pixel]]

    return as_bytes if batch_images.dtype == types.uint8 else as_floats


def _scale(batch_images):
    """Return what the images of a batch are multiplied with: bytes have to be brought to [0, 1]."""


@overload(_scale)
def _scale_of(batch_images):
    scale = _SCALE if batch_images.dtype == types.uint8 else _ONE
    return lambda batch_images: scale  # noqa: ARG005


@njit
def _forward(layers, weights, batch_images, values, first, last):
    for layer in range(len(layers)):
        inputs, _, row, out_row, _, _, units, broad_blocks, at, bias, relu, from_, to, _ = layers[layer]
        result, count = to + first * out_row, _whole_vectors(inputs)
        if layer == 0:
            _inner_product(
                batch_images, first * row, row, weights, at, row, values, result, out_row, last - first, broad_blocks,
                units, count, _scale(batch_images), bias, relu != 0,
            )  # fmt: skip
        else:
            _inner_product(
                values, from_ + first * row, row, weights, at, row, values, result, out_row, last - first, broad_blocks,
                units, count, _ONE, bias, relu != 0,
            )  # fmt: skip


@njit
def _loss(layers, labels, order, start, first, last, size, smoothing, values, deltas, losses, rights):
    """Compute cross-entropy and correctness of some images of a batch, and the derivative by the logits (`deltas`)."""
    _, classes, _, out_row, _, _, _, _, _, _, _, _, results, at = layers[len(layers) - 1]
    spread = smoothing / np.float32(classes)
    share = _ONE / np.float32(size)
    units = _whole_vectors(classes)
    for image in range(first, last):
        z, d = results + image * out_row, at + image * out_row
        label = labels[order[start + image]]
        top, logits = values[z], values[z]
        for unit in range(1, classes):
            value = values[z + unit]
            top = value if value > top else top
            logits += value
        best = 0
        for unit in range(classes - 1, -1, -1):  # the first of equal ones
            best = unit if values[z + unit] == top else best
        rights[image] = best == label
        exponentials(deltas, d, values, z, units, top)
        total = _ZERO
        for unit in range(classes):
            total += deltas[d + unit]
        losses[image] = math.log(total) + top - (_ONE - smoothing) * values[z + label] - spread * logits
        each = share / total
        for unit in range(classes):
            deltas[d + unit] = deltas[d + unit] * each - spread * share
        for unit in range(classes, units):
            deltas[d + unit] = _ZERO
        deltas[d + label] -= (_ONE - smoothing) * share


@njit
def _pass_back(layers, weights, values, deltas, first, last):
    """Propagate the derivatives of some images from the logits back to the outputs of the first layer."""
    for layer in range(len(layers) - 1, -1, -1):
        _, outputs, row, out_row, _, _, _, _, at, _, relu, _, to, here = layers[layer]
        if relu:
            clear_where_zero(deltas, here + first * out_row, values, to + first * out_row, (last - first) * out_row)
        if layer > 0:
            below = layers[layer - 1, DELTAS] + first * row
            _outer_product(
                deltas,
                here + first * out_row,
                out_row,
                weights,
                at,
                row,
                deltas,
                below,
                row,
                last - first,
                row,
                outputs,
            )


@njit
def _update(
    layers,
    batch_images,
    values,
    deltas,
    weights,
    velocity,
    bias_gradient,
    size,
    rate,
    momentum,
    nesterov,
    decay,
    part,
    parts,
):
    """Update this thread's part of each matrix like `torch.optim.SGD`; the first thread also updates the biases."""
    plain = momentum == 0 and decay == 0
    by_gradient, by_speed = (_ONE, momentum) if nesterov else (_ZERO, _ONE)
    for layer in range(len(layers)):
        _, outputs, row, out_row, rows, tall_blocks, _, _, at, bias, _, from_, _, here = layers[layer]
        if layer == 0:
            _descend(
                deltas, here, out_row, batch_images, 0, row, weights, velocity, at, rows, tall_blocks, size,
                _scale(batch_images), rate, plain, momentum, by_gradient, by_speed, decay, part, parts,
            )  # fmt: skip
        else:
            _descend(
                deltas, here, out_row, values, from_, row, weights, velocity, at, rows, tall_blocks, size,
                _ONE, rate, plain, momentum, by_gradient, by_speed, decay, part, parts,
            )  # fmt: skip
        if part == 0:
            units = _whole_vectors(outputs)
            for unit in range(units):
                bias_gradient[unit] = _ZERO
            for image in range(size):
                add_row(bias_gradient, 0, deltas, here + image * out_row, units)
            for unit in range(units):
                pull = bias_gradient[unit] + decay * weights[bias + unit]
                speed = momentum * velocity[bias + unit] + pull
                velocity[bias + unit] = speed
                weights[bias + unit] -= rate * (by_gradient * pull + by_speed * speed)


@njit
def _wait(counter, others):
    """Wait until the counter of arrivals at barriers reaches `others`."""
    arrive(counter)
    looks = 0
    while arrived(counter) < others:
        looks += 1
        if looks > _LOOKS:
            give_way()


def _train_steps(
    images, levels, labels, order, first, count, batch, layers, weights, velocity, batch_images, values, deltas,
    bias_gradient, rates, momentum, nesterov, decay, smoothing, image_losses, image_rights, losses, rights, part, parts,
    counter,
):  # fmt: skip
    waits = 0
    for step in range(first, first + count):
        start = step * batch
        size = min(batch, len(order) - start)
        low, high = size * part // parts, size * (part + 1) // parts
        # Images are scattered in memory, so those of the next batch are prefetched now, a third at a time: a core can
        # have only a limited number of loads in flight.
        third, ahead = (high - low + 2) // 3, start + size
        _gather(images, levels, order, start, low, high, batch_images, layers[0, ROW])
        _ask_for(images, labels, order, ahead, low, low + third)
        _forward(layers, weights, batch_images, values, low, high)
        _ask_for(images, labels, order, ahead, low + third, low + 2 * third)
        _loss(layers, labels, order, start, low, high, size, smoothing, values, deltas, image_losses, image_rights)
        _pass_back(layers, weights, values, deltas, low, high)
        _ask_for(images, labels, order, ahead, low + 2 * third, high)
        if parts > 1:
            waits += parts
            _wait(counter, waits)
        if part == 0:
            total, right = 0.0, 0
            for image in range(size):
                total += image_losses[image]
                right += image_rights[image]
            losses[step], rights[step] = total / size, right
        _update(
            layers,
            batch_images,
            values,
            deltas,
            weights,
            velocity,
            bias_gradient,
            size,
            rates[step],
            momentum,
            nesterov,
            decay,
            part,
            parts,
        )
        if parts > 1:
            waits += parts
            _wait(counter, waits)


def _predict(images, levels, order, first, last, batch, layers, weights, batch_images, values, logits):
    _, classes, _, out_row, _, _, _, _, _, _, _, _, results, _ = layers[len(layers) - 1]
    for start in range(first, last, batch):
        size = min(batch, last - start)
        _gather(images, levels, order, start, 0, size, batch_images, layers[0, ROW])
        _forward(layers, weights, batch_images, values, 0, size)
        for image in range(size):
            for unit in range(classes):
                logits[start + image, unit] = values[results + image * out_row + unit]


def _compiled(signature: str, function: Callable[..., None]) -> Any:
    """Compile, or load from the cache; if the cache cannot be written or is damaged, compile without it."""
    try:
        return njit(signature, nogil=True, cache=True)(function)
    except Exception:  # numba's own errors and the system's: any of them may only cost time
        return njit(signature, nogil=True)(function)


def compiled(images: str) -> tuple[Any, Any]:
    """Return `train_steps` and `predict` for batches of bytes (`u1`) or of standardised floats (`f4`)."""
    with _ONE_AT_A_TIME:  # cells in threads would each compile it
        return _compiled_for(images)


@cache
def _compiled_for(images: str) -> tuple[Any, Any]:
    train = (
        f"void(u1[:, ::1], f4[:, ::1], i8[::1], i8[::1], i8, i8, i8, i8[:, ::1], f4[::1], f4[::1], {images}[::1], "
        "f4[::1], f4[::1], f4[::1], f4[::1], f4, b1, f4, f4, f8[::1], i8[::1], f8[::1], i8[::1], i8, i8, i8[::1])"
    )
    predict = (
        f"void(u1[:, ::1], f4[:, ::1], i8[::1], i8, i8, i8, i8[:, ::1], f4[::1], {images}[::1], f4[::1], f4[:, ::1])"
    )
    return _compiled(train, _train_steps), _compiled(predict, _predict)
