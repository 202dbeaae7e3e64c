"""Steps of a training in one compiled function: gather, scale, forward, loss, backward, update.

The same arithmetic as in `training/loop.py`, which is the one to read first; numbers differ in their last bits, because
sums are added in another order. All arrays are flat; rows are padded with zeros to a multiple of 16 numbers, and a
table says where each layer's parts begin:

    weights, gradient, velocity   for each layer its matrix [outputs, padded inputs], as torch has it, then its biases
    values                        the pictures of the batch [batch, padded pixels], then what each layer makes of them
    deltas                        the derivative of the loss by what each layer makes of the batch
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import llvmlite.binding as llvm
import numpy as np
from numba import njit

from modelzero.training.fused.tiles import LANES, fetch, inner_tile, outer_tile, two_to

# Columns of the table of layers.
INPUTS, OUTPUTS, ROW, OUT_ROW, WEIGHTS, BIAS, RELU, VALUES, RESULTS, DELTAS = range(10)

# The shapes of the blocks: as much as fits into 32 registers of 16 numbers, or into 16 of 8.
if llvm.get_host_cpu_features().get("avx512f"):
    _TALL, _MIDDLE, _VECTORS, _INNER_ROWS, _INNER_COLUMNS = 8, 5, 2, 4, 5
else:
    _TALL, _MIDDLE, _VECTORS, _INNER_ROWS, _INNER_COLUMNS = 6, 5, 1, 2, 2

_tall, _middle, _flat = (outer_tile(rows, _VECTORS) for rows in (_TALL, _MIDDLE, 1))
_narrow_tall, _narrow_middle, _narrow_flat = (outer_tile(rows, 1) for rows in (_TALL, _MIDDLE, 1))
_inner, _inner_column, _inner_one = (
    inner_tile(_INNER_ROWS, _INNER_COLUMNS),
    inner_tile(_INNER_ROWS, 1),
    inner_tile(1, 1),
)

_ZERO, _ONE, _HALF, _SCALE = np.float32(0), np.float32(1), np.float32(0.5), np.float32(1) / np.float32(255)
# For the exponential: exp(x) = 2**n * exp(x - n ln 2); ln 2 in two parts, so that n ln 2 is exact in the first.
_LOG2_E, _LN2_HIGH, _LN2_LOW = np.float32(1.44269504), np.float32(0.693359375), np.float32(-2.12194440e-4)
_LEAST_EXPONENT = np.float32(-87)
_P0, _P1, _P2, _P3, _P4 = (np.float32(x) for x in (1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2,
                                                   1.6666665459e-1))  # fmt: skip


@njit
def _outer(a, a_at, a_row, a_k, b, b_at, b_k, c, c_at, c_row, rows, columns, count):
    """C[rows, columns] = sum over k of A[row, k] * B[k, column]; columns a multiple of 16."""
    column = 0
    while column < columns:
        wide = columns - column >= _VECTORS * LANES
        row = 0
        while row < rows:
            left = rows - row
            a_now, b_now, c_now = a_at + row * a_row, b_at + column, c_at + row * c_row + column
            if left == 2 * _MIDDLE or _MIDDLE <= left < _TALL:
                if wide:
                    _middle(a, a_now, a_row, a_k, b, b_now, b_k, c, c_now, c_row, count)
                else:
                    _narrow_middle(a, a_now, a_row, a_k, b, b_now, b_k, c, c_now, c_row, count)
                row += _MIDDLE
            elif left >= _TALL:
                if wide:
                    _tall(a, a_now, a_row, a_k, b, b_now, b_k, c, c_now, c_row, count)
                else:
                    _narrow_tall(a, a_now, a_row, a_k, b, b_now, b_k, c, c_now, c_row, count)
                row += _TALL
            else:
                if wide:
                    _flat(a, a_now, a_row, a_k, b, b_now, b_k, c, c_now, c_row, count)
                else:
                    _narrow_flat(a, a_now, a_row, a_k, b, b_now, b_k, c, c_now, c_row, count)
                row += 1
        column += _VECTORS * LANES if wide else LANES


@njit
def _inner_product(a, a_at, a_row, b, b_at, b_row, c, c_at, c_row, rows, columns, count):
    """C[rows, columns] = sum over k of A[row, k] * B[column, k]; the count of k a multiple of 16."""
    column = 0
    while column < columns:
        few = columns - column < _INNER_COLUMNS
        width = 1 if few else _INNER_COLUMNS
        row = 0
        while row < rows:
            a_now, b_now, c_now = a_at + row * a_row, b_at + column * b_row, c_at + row * c_row + column
            if rows - row < _INNER_ROWS:
                for k in range(width):
                    _inner_one(a, a_now, a_row, b, b_now + k * b_row, b_row, c, c_now + k, c_row, count)
                row += 1
            elif few:
                _inner_column(a, a_now, a_row, b, b_now, b_row, c, c_now, c_row, count)
                row += _INNER_ROWS
            else:
                _inner(a, a_now, a_row, b, b_now, b_row, c, c_now, c_row, count)
                row += _INNER_ROWS
        column += width


@njit
def _gather(images, order, start, size, values, row_length):
    """Scale the pictures of a batch to [0, 1], and ask for those of the next batch meanwhile."""
    pixels = images.shape[1]
    everything = images.reshape(-1)
    for row in range(size):
        if start + size + row < len(order):
            ahead = order[start + size + row] * pixels
            for at in range(0, pixels, 64):
                fetch(everything, ahead + at)
        picture = images[order[start + row]]
        base = row * row_length
        for at in range(pixels):
            values[base + at] = np.float32(picture[at]) * _SCALE


@njit
def _forward(layers, weights, values, size):
    for layer in range(len(layers)):
        _, outputs, row, out_row, at, bias, relu, from_, to, _ = layers[layer]
        _inner_product(values, from_, row, weights, at, row, values, to, out_row, size, outputs, row)
        for picture in range(size):
            base = to + picture * out_row
            for unit in range(out_row):
                value = values[base + unit] + weights[bias + unit]
                values[base + unit] = _ZERO if relu and value < _ZERO else value


@njit
def _loss(layers, labels, order, start, size, smoothing, values, deltas):
    """Mean cross-entropy of the batch and how many are right; its derivative by the logits goes to `deltas`."""
    _, classes, _, out_row, _, _, _, _, results, at = layers[len(layers) - 1]
    spread = smoothing / np.float32(classes)
    share = _ONE / np.float32(size)
    total, right = 0.0, 0
    for picture in range(size):
        z, d = results + picture * out_row, at + picture * out_row
        label = labels[order[start + picture]]
        best = 0
        for unit in range(1, classes):
            if values[z + unit] > values[z + best]:
                best = unit
        right += best == label
        top = values[z + best]
        for unit in range(out_row):  # the padding too: a whole number of vectors
            x = values[z + unit] - top
            x = _LEAST_EXPONENT if x < _LEAST_EXPONENT else x
            whole = np.floor(x * _LOG2_E + _HALF)
            x = x - whole * _LN2_HIGH - whole * _LN2_LOW
            power = ((((_P0 * x + _P1) * x + _P2) * x + _P3) * x + _P4) * x + _HALF
            deltas[d + unit] = (power * x * x + x + _ONE) * two_to(whole)
        exponentials, logits = _ZERO, _ZERO
        for unit in range(classes):
            exponentials += deltas[d + unit]
            logits += values[z + unit]
        total += math.log(exponentials) + top - (_ONE - smoothing) * values[z + label] - spread * logits
        each = share / exponentials
        for unit in range(classes):
            deltas[d + unit] = deltas[d + unit] * each - spread * share
        for unit in range(classes, out_row):
            deltas[d + unit] = _ZERO
        deltas[d + label] -= (_ONE - smoothing) * share
    return total / size, right


@njit
def _backward(layers, weights, values, deltas, gradient, size):
    for layer in range(len(layers) - 1, -1, -1):
        _, outputs, row, out_row, at, bias, relu, from_, to, here = layers[layer]
        if relu:
            for place in range(size * out_row):
                deltas[here + place] = deltas[here + place] if values[to + place] > _ZERO else _ZERO
        if layer > 0:
            below = layers[layer - 1, DELTAS]
            _outer(deltas, here, out_row, 1, weights, at, row, deltas, below, row, size, row, outputs)
        _outer(deltas, here, 1, out_row, values, from_, row, gradient, at, row, outputs, row, size)
        for unit in range(out_row):
            gradient[bias + unit] = _ZERO
        for picture in range(size):
            for unit in range(out_row):
                gradient[bias + unit] += deltas[here + picture * out_row + unit]


@njit
def _update(weights, velocity, gradient, rate, momentum, nesterov, decay):
    """Make a step as `torch.optim.SGD` does (its documentation has the formula)."""
    if momentum == 0 and decay == 0:
        for at in range(len(weights)):
            weights[at] -= rate * gradient[at]
        return
    for at in range(len(weights)):
        pull = gradient[at] + decay * weights[at]
        speed = momentum * velocity[at] + pull
        velocity[at] = speed
        weights[at] -= rate * (pull + momentum * speed if nesterov else speed)


def _train_steps(
    images, labels, order, first, count, batch, layers, weights, velocity, gradient, values, deltas,
    rates, momentum, nesterov, decay, smoothing, losses, rights,
):  # fmt: skip
    for step in range(first, first + count):
        start = step * batch
        size = min(batch, len(order) - start)
        _gather(images, order, start, size, values, layers[0, ROW])
        _forward(layers, weights, values, size)
        losses[step], rights[step] = _loss(layers, labels, order, start, size, smoothing, values, deltas)
        _backward(layers, weights, values, deltas, gradient, size)
        _update(weights, velocity, gradient, rates[step], momentum, nesterov, decay)


def _predict(images, order, batch, layers, weights, values, logits):
    _, classes, _, out_row, _, _, _, _, results, _ = layers[len(layers) - 1]
    for start in range(0, len(order), batch):
        size = min(batch, len(order) - start)
        _gather(images, order, start, size, values, layers[0, ROW])
        _forward(layers, weights, values, size)
        for picture in range(size):
            for unit in range(classes):
                logits[start + picture, unit] = values[results + picture * out_row + unit]


def _compiled(signature: str, function: Callable[..., None]) -> Any:
    """Compile, or read what was compiled before; where nothing can be stored, or it is damaged, compile anew."""
    try:
        return njit(signature, nogil=True, cache=True)(function)
    except Exception:  # numba's own kinds and the system's: whatever it is, it must not cost more than the time
        return njit(signature, nogil=True)(function)


train_steps = _compiled(
    "void(u1[:, ::1], i8[::1], i8[::1], i8, i8, i8, i8[:, ::1], f4[::1], f4[::1], f4[::1], f4[::1], f4[::1], "
    "f4[::1], f4, b1, f4, f4, f8[::1], i8[::1])",
    _train_steps,
)
predict = _compiled("void(u1[:, ::1], i8[::1], i8, i8[:, ::1], f4[::1], f4[::1], f4[:, ::1])", _predict)
