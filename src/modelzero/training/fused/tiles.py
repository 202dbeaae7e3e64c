"""Blocks of matrix products that stay in vector registers, which compilers do not make of plain loops.

Each function here creates a numba intrinsic, which writes LLVM instructions: a small block of the result is summed in
registers, by fused multiply-adds of 16 numbers at a time, and stored once. The order in which the terms of one number
are added does not depend on the shape of the block.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.extending import intrinsic

# Numbers per vector, on any processor: LLVM splits vectors if registers are shorter.
LANES = 16

# Number of vectors whose lanes are summed together.
_QUARTET = 4

_VECTOR = ir.VectorType(ir.FloatType(), LANES)
_BYTE, _WORD, _PLACE = ir.IntType(8), ir.IntType(32), ir.IntType(64)


def outer_tile(rows: int, vectors: int) -> Any:
    """Compute the block C[rows, 16 * vectors] = sum over k < count of A[row, k] * B[k, column].

    Columns lie in the lanes. The matrices are parts of flat arrays: A[row, k] is `a[a_at + row * a_row + k * a_k]`, and
    so on; columns of B and C are contiguous. B may hold bytes, which are converted when loaded into a register.
    """

    def tile(
        _typing: Any, a: Any, a_at: Any, a_row: Any, a_k: Any, b: Any, b_at: Any, b_k: Any,
        c: Any, c_at: Any, c_row: Any, count: Any,
    ) -> Any:  # fmt: skip
        def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            *factors, c, c_at, c_row, count = values
            sums = _outer_sums(context, builder, signature, factors, count, rows, vectors)
            c = _pointer(context, builder, signature.args[7], c)
            for row in range(rows):
                start = builder.add(c_at, builder.mul(c_row, _place(row)))
                for each in range(vectors):
                    _store(builder, builder.load(sums[row][each]), c, builder.add(start, _place(LANES * each)))
            return context.get_dummy_value()

        return types.void(a, *[types.intp] * 3, b, *[types.intp] * 2, c, *[types.intp] * 3), generate

    return intrinsic(tile)


def descent_tile(rows: int, vectors: int) -> Any:
    """Compute the same block as a gradient and update a block of weights with it; the gradient is never stored.

    One step of `torch.optim.SGD` (its documentation has the formula), with scale * sum + decay * weight as gradient:

        speed  <- momentum * speed + gradient            (the velocity)
        weight <- weight - rate * (by_gradient * gradient + by_speed * speed)

    If `plain`, it is weight - rate * scale * sum, and the velocity stays unchanged.
    """

    def tile(
        _typing: Any, a: Any, a_at: Any, a_row: Any, a_k: Any, b: Any, b_at: Any, b_k: Any,
        weights: Any, velocity: Any, c_at: Any, c_row: Any, count: Any,
        scale: Any, rate: Any, plain: Any, momentum: Any, by_gradient: Any, by_speed: Any, decay: Any,
    ) -> Any:  # fmt: skip
        def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            *factors, weights, velocity, c_at, c_row, count = values[:12]
            numbers = [values[12], values[13], *values[15:]]
            sums = _outer_sums(context, builder, signature, factors, count, rows, vectors)
            weights, velocity = (
                _pointer(context, builder, signature.args[at], each) for at, each in ((7, weights), (8, velocity))
            )
            fma = _fma(builder)
            scale, rate, momentum, by_gradient, by_speed, decay = (_spread(builder, number) for number in numbers)
            down = builder.fneg(rate)
            places = [
                [
                    builder.add(builder.add(c_at, builder.mul(c_row, _place(row))), _place(LANES * each))
                    for each in range(vectors)
                ]
                for row in range(rows)
            ]
            with builder.if_else(values[14]) as (plainly, otherwise):
                with plainly:
                    step = builder.fmul(down, scale)
                    for row in range(rows):
                        for place, total in zip(places[row], sums[row], strict=True):
                            changed = builder.call(fma, [step, builder.load(total), _load(builder, weights, place)])
                            _store(builder, changed, weights, place)
                with otherwise:
                    for row in range(rows):
                        for place, total in zip(places[row], sums[row], strict=True):
                            weight = _load(builder, weights, place)
                            pull = builder.call(fma, [decay, weight, builder.fmul(scale, builder.load(total))])
                            speed = builder.call(fma, [momentum, _load(builder, velocity, place), pull])
                            _store(builder, speed, velocity, place)
                            step = builder.call(fma, [by_gradient, pull, builder.fmul(by_speed, speed)])
                            _store(builder, builder.call(fma, [down, step, weight]), weights, place)
            return context.get_dummy_value()

        arguments = [a, *[types.intp] * 3, b, *[types.intp] * 2, weights, velocity, *[types.intp] * 3]
        settings = [types.float32, types.float32, types.boolean, *[types.float32] * 4]
        return types.void(*arguments, *settings), generate

    return intrinsic(tile)


def _outer_sums(
    context: Any, builder: Any, signature: Any, factors: list[Any], count: Any, rows: int, vectors: int
) -> Any:
    """Sum a block of an outer product in registers."""
    a, a_at, a_row, a_k, b, b_at, b_k = factors
    a, b = (_pointer(context, builder, signature.args[at], each) for at, each in ((0, a), (4, b)))
    fma, sums = _fma(builder), _zeros(builder, rows, vectors)
    starts = [builder.add(a_at, builder.mul(a_row, _place(row))) for row in range(rows)]
    with cgutils.for_range(builder, count, intp=_PLACE) as loop:
        b_start = builder.add(b_at, builder.mul(loop.index, b_k))
        many = [_load(builder, b, builder.add(b_start, _place(LANES * each))) for each in range(vectors)]
        along = builder.mul(loop.index, a_k)
        for row in range(rows):
            one = _spread(builder, builder.load(builder.gep(a, [builder.add(starts[row], along)])))
            for each in range(vectors):
                total = builder.call(fma, [one, many[each], builder.load(sums[row][each])])
                builder.store(total, sums[row][each])
    return sums


def inner_tile(rows: int, columns: int) -> Any:
    """Compute the block C[rows, columns] = bias[column] + scale * sum over k < count of A[row, k] * B[column, k].

    In both matrices k is contiguous and lies in the lanes, which are summed at the end. `count` is a multiple of 16. A
    may hold bytes, which are converted when loaded into a register. The biases are in the same array as B. If `relu`,
    negative results become 0.
    """

    def tile(
        _typing: Any, a: Any, a_at: Any, a_row: Any, b: Any, b_at: Any, b_row: Any,
        c: Any, c_at: Any, c_row: Any, count: Any, scale: Any, bias_at: Any, relu: Any,
    ) -> Any:  # fmt: skip
        def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            a, a_at, a_row, b, b_at, b_row, c, c_at, c_row, count, scale, bias_at, relu = values
            a, b, c = (_pointer(context, builder, signature.args[at], each) for at, each in ((0, a), (3, b), (6, c)))
            fma, sums = _fma(builder), _zeros(builder, rows, columns)
            a_starts = [builder.add(a_at, builder.mul(a_row, _place(row))) for row in range(rows)]
            b_starts = [builder.add(b_at, builder.mul(b_row, _place(column))) for column in range(columns)]
            with cgutils.for_range(builder, builder.udiv(count, _place(LANES)), intp=_PLACE) as loop:
                k = builder.mul(loop.index, _place(LANES))
                right = [_load(builder, b, builder.add(start, k)) for start in b_starts]
                for row in range(rows):
                    left = _load(builder, a, builder.add(a_starts[row], k))
                    for column in range(columns):
                        total = builder.call(fma, [left, right[column], builder.load(sums[row][column])])
                        builder.store(total, sums[row][column])
            for first in range(0, columns, _QUARTET):
                width = min(_QUARTET, columns - first)
                biases = _loaded(builder, b, builder.add(bias_at, _place(first)), width)
                for row in range(rows):
                    lanes = [builder.load(total) for total in sums[row][first : first + width]]
                    result = builder.fadd(
                        builder.fmul(_spread(builder, scale, width), _sums_of(builder, lanes)), biases
                    )
                    nothing = ir.Constant(result.type, None)
                    cut = builder.and_(_spread(builder, relu, width), builder.fcmp_ordered("<", result, nothing))
                    place = builder.add(builder.add(c_at, builder.mul(c_row, _place(row))), _place(first))
                    target = builder.bitcast(builder.gep(c, [place]), ir.PointerType(result.type))
                    builder.store(builder.select(cut, nothing, result), target, align=4)
            return context.get_dummy_value()

        places = [types.intp] * 2
        rest = (types.intp, types.float32, types.intp, types.boolean)
        return types.void(a, *places, b, *places, c, *places, *rest), generate

    return intrinsic(tile)


@intrinsic
def add_row(_typing: Any, to: Any, to_at: Any, what: Any, what_at: Any, count: Any) -> Any:
    """Add `count` numbers of one flat array to those of another; a multiple of 16, here and below."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        for (to, to_place), (what, what_place) in _along(context, builder, signature, values):
            total = builder.fadd(_load(builder, to, to_place), _load(builder, what, what_place))
            _store(builder, total, to, to_place)
        return context.get_dummy_value()

    return types.void(to, types.intp, what, types.intp, types.intp), generate


@intrinsic
def clear_where_zero(_typing: Any, to: Any, to_at: Any, what: Any, what_at: Any, count: Any) -> Any:
    """Set numbers to zero where those of another array are not positive: the derivative of a ReLU."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        nothing = ir.Constant(_VECTOR, None)
        for (to, to_place), (what, what_place) in _along(context, builder, signature, values):
            passes = builder.fcmp_ordered(">", _load(builder, what, what_place), nothing)
            _store(builder, builder.select(passes, _load(builder, to, to_place), nothing), to, to_place)
        return context.get_dummy_value()

    return types.void(to, types.intp, what, types.intp, types.intp), generate


@intrinsic
def exponentials(_typing: Any, to: Any, to_at: Any, what: Any, what_at: Any, count: Any, top: Any) -> Any:
    """Write exp(number - top), and at least exp(-87), for numbers that are at most `top`.

    exp(x) = 2**n * exp(x - n ln 2), with ln 2 in two parts, so that n ln 2 is exact in the first, and a polynomial for
    the rest (S. L. Moshier, Cephes, `expf`).
    """

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        fma, top = _fma(builder), _spread(builder, values[5])
        least, log2_e, ln2_high, ln2_low, half, one = (
            _constant(number) for number in (-87, 1.44269504, -0.693359375, 2.12194440e-4, 0.5, 1)
        )
        floor = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(_VECTOR, [_VECTOR]), f"llvm.floor.v{LANES}f32"
        )
        words = ir.VectorType(_WORD, LANES)
        for (to, to_place), (what, what_place) in _along(context, builder, signature, values[:5]):
            x = builder.fsub(_load(builder, what, what_place), top)
            x = builder.select(builder.fcmp_ordered("<", x, least), least, x)
            whole = builder.call(floor, [builder.call(fma, [x, log2_e, half])])
            x = builder.call(fma, [whole, ln2_low, builder.call(fma, [whole, ln2_high, x])])
            power = _constant(1.9875691500e-4)
            for number in (1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 0.5):
                power = builder.call(fma, [power, x, _constant(number)])
            power = builder.call(fma, [power, builder.fmul(x, x), builder.fadd(x, one)])
            exponent = builder.add(builder.fptosi(whole, words), ir.Constant(words, [127] * LANES))
            two_to_whole = builder.bitcast(builder.shl(exponent, ir.Constant(words, [23] * LANES)), _VECTOR)
            _store(builder, builder.fmul(power, two_to_whole), to, to_place)
        return context.get_dummy_value()

    return types.void(to, types.intp, what, types.intp, types.intp, types.float32), generate


@intrinsic
def fetch(_typing: Any, array: Any, at: Any) -> Any:
    """Prefetch the cache line of a place in a flat array, without waiting."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        byte = ir.PointerType(_BYTE)
        prefetch = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(ir.VoidType(), [byte, _WORD, _WORD, _WORD]), "llvm.prefetch.p0"
        )
        place = builder.gep(_pointer(context, builder, signature.args[0], values[0]), [values[1]])
        reading, near, data = ir.Constant(_WORD, 0), ir.Constant(_WORD, 3), ir.Constant(_WORD, 1)
        builder.call(prefetch, [builder.bitcast(place, byte), reading, near, data])
        return context.get_dummy_value()

    return types.void(array, types.intp), generate


@intrinsic
def copy(_typing: Any, to: Any, to_at: Any, from_: Any, from_at: Any, count: Any) -> Any:
    """Copy some numbers of a flat array into another of the same type, as fast as memory allows."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        to, to_at, from_, from_at, count = values
        target, source = (
            builder.gep(_pointer(context, builder, signature.args[at], array), [place])
            for at, array, place in ((0, to, to_at), (2, from_, from_at))
        )
        cgutils.raw_memcpy(builder, target, source, count, context.get_abi_sizeof(target.type.pointee))
        return context.get_dummy_value()

    return types.void(to, types.intp, from_, types.intp, types.intp), generate


@intrinsic
def arrive(_typing: Any, counter: Any) -> Any:
    """Increment the first number of an int64 array that threads share; earlier writes are visible afterwards."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        place = _pointer(context, builder, signature.args[0], values[0])
        builder.atomic_rmw("add", place, _place(1), "seq_cst")
        return context.get_dummy_value()

    return types.void(counter), generate


@intrinsic
def arrived(_typing: Any, counter: Any) -> Any:
    """Read the first number of an int64 array that threads share."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        return builder.load_atomic(_pointer(context, builder, signature.args[0], values[0]), "seq_cst", 8)

    return types.int64(counter), generate


@intrinsic
def give_way(_typing: Any) -> Any:
    """Yield this core to a waiting thread, if there is one (POSIX's `sched_yield`; does nothing elsewhere)."""

    def generate(_context: Any, builder: Any, _signature: Any, _values: Any) -> Any:
        if os.name != "posix":
            return ir.Constant(_WORD, 0)
        give = cgutils.get_or_insert_function(builder.module, ir.FunctionType(_WORD, []), "sched_yield")
        return builder.call(give, [])

    return types.int32(), generate


def _along(
    context: Any, builder: Any, signature: Any, values: Any
) -> Iterator[tuple[tuple[Any, Any], tuple[Any, Any]]]:
    """Emit a loop over two arrays, a vector at a time; yields once, for the body of the loop."""
    to, to_at, what, what_at, count = values
    to, what = (_pointer(context, builder, signature.args[at], each) for at, each in ((0, to), (2, what)))
    with cgutils.for_range(builder, builder.udiv(count, _place(LANES)), intp=_PLACE) as loop:
        at = builder.mul(loop.index, _place(LANES))
        yield (to, builder.add(to_at, at)), (what, builder.add(what_at, at))


def _pointer(context: Any, builder: Any, kind: Any, array: Any) -> Any:
    return context.make_array(kind)(context, builder, array).data


def _fma(builder: Any) -> Any:
    return cgutils.get_or_insert_function(
        builder.module, ir.FunctionType(_VECTOR, [_VECTOR] * 3), f"llvm.fma.v{LANES}f32"
    )


def _zeros(builder: Any, rows: int, columns: int) -> Any:
    """Allocate variables that LLVM turns into registers."""
    return [
        [cgutils.alloca_once_value(builder, ir.Constant(_VECTOR, None)) for _ in range(columns)] for _ in range(rows)
    ]


def _constant(number: float) -> Any:
    """Return a vector constant with a number in all lanes."""
    return ir.Constant(_VECTOR, [number] * LANES)


def _place(number: int) -> Any:
    return ir.Constant(_PLACE, number)


def _load(builder: Any, pointer: Any, at: Any) -> Any:
    """Load a vector of numbers from a place; bytes are converted to numbers."""
    place = builder.gep(pointer, [at])
    if pointer.type.pointee != _BYTE:
        return builder.load(builder.bitcast(place, ir.PointerType(_VECTOR)), align=4)
    few = builder.load(builder.bitcast(place, ir.PointerType(ir.VectorType(_BYTE, LANES))), align=1)
    return builder.sitofp(builder.zext(few, ir.VectorType(_WORD, LANES)), _VECTOR)


def _store(builder: Any, numbers: Any, pointer: Any, at: Any) -> None:
    place = builder.gep(pointer, [at])
    builder.store(numbers, builder.bitcast(place, ir.PointerType(_VECTOR)), align=4)


def _spread(builder: Any, number: Any, lanes: int = LANES) -> Any:
    """Write a run-time number into all lanes."""
    undefined = ir.Constant(ir.VectorType(number.type, lanes), ir.Undefined)
    first = builder.insert_element(undefined, number, ir.Constant(_WORD, 0))
    return builder.shuffle_vector(first, undefined, ir.Constant(ir.VectorType(_WORD, lanes), [0] * lanes))


def _loaded(builder: Any, pointer: Any, at: Any, lanes: int) -> Any:
    place = builder.bitcast(builder.gep(pointer, [at]), ir.PointerType(ir.VectorType(ir.FloatType(), lanes)))
    return builder.load(place, align=4)


def _sums_of(builder: Any, vectors: list[Any]) -> Any:
    """Sum the lanes of each of up to four vectors, always in the same pairs; return the sums as one vector."""

    def picked(one: Any, other: Any, lanes: list[int]) -> Any:
        return builder.shuffle_vector(one, other, ir.Constant(ir.VectorType(_WORD, len(lanes)), lanes))

    while vectors[0].type.count > _QUARTET:
        half = vectors[0].type.count // 2
        vectors = [
            builder.fadd(picked(each, each, [*range(half)]), picked(each, each, [*range(half, 2 * half)]))
            for each in vectors
        ]
    count = len(vectors)
    vectors = vectors + [ir.Constant(vectors[0].type, None)] * (_QUARTET - count)
    pairs = [
        builder.fadd(picked(one, other, [0, 4, 1, 5]), picked(one, other, [2, 6, 3, 7]))
        for one, other in (vectors[:2], vectors[2:])
    ]
    sums = builder.fadd(picked(*pairs, [0, 1, 4, 5]), picked(*pairs, [2, 3, 6, 7]))
    return sums if count == _QUARTET else picked(sums, sums, [*range(count)])
