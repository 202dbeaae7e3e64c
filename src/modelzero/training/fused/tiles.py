"""Blocks of matrix products that stay in vector registers: what a compiler does not make of plain loops.

Each function here makes a numba intrinsic, which writes LLVM instructions: a small block of the result is added up in
registers, by fused multiply-adds of 16 numbers at a time, and stored once. The order in which the terms of one number
are added does not depend on the shape of the block.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.extending import intrinsic

# Numbers in a vector, on any processor: LLVM splits it where registers are shorter.
LANES = 16

_VECTOR = ir.VectorType(ir.FloatType(), LANES)
_PLACE = ir.IntType(64)


def outer_tile(rows: int, vectors: int) -> Any:
    """Make the block C[rows, 16 * vectors] = sum over k < count of A[row, k] * B[k, column].

    Columns lie in the lanes. The matrices are parts of flat float32 arrays: A[row, k] is
    `a[a_at + row * a_row + k * a_k]`, and so on; columns of B and C lie side by side.
    """

    def tile(
        _typing: Any, a: Any, a_at: Any, a_row: Any, a_k: Any, b: Any, b_at: Any, b_k: Any,
        c: Any, c_at: Any, c_row: Any, count: Any,
    ) -> Any:  # fmt: skip
        def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            a, a_at, a_row, a_k, b, b_at, b_k, c, c_at, c_row, count = values
            a, b, c = (_pointer(context, builder, signature.args[at], each) for at, each in ((0, a), (4, b), (7, c)))
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
            for row in range(rows):
                start = builder.add(c_at, builder.mul(c_row, _place(row)))
                for each in range(vectors):
                    place = builder.gep(c, [builder.add(start, _place(LANES * each))])
                    builder.store(builder.load(sums[row][each]), _as_vector(builder, place), align=4)
            return context.get_dummy_value()

        return types.void(a, *[types.intp] * 3, b, *[types.intp] * 2, c, *[types.intp] * 3), generate

    return intrinsic(tile)


def inner_tile(rows: int, columns: int) -> Any:
    """Make the block C[rows, columns] = sum over k < count of A[row, k] * B[column, k].

    Both matrices have k side by side: it lies in the lanes, which are added up at the end. `count` is a multiple of 16.
    """

    def tile(
        _typing: Any, a: Any, a_at: Any, a_row: Any, b: Any, b_at: Any, b_row: Any,
        c: Any, c_at: Any, c_row: Any, count: Any,
    ) -> Any:  # fmt: skip
        def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            a, a_at, a_row, b, b_at, b_row, c, c_at, c_row, count = values
            a, b, c = (_pointer(context, builder, signature.args[at], each) for at, each in ((0, a), (3, b), (6, c)))
            fma, sums = _fma(builder), _zeros(builder, rows, columns)
            add_up = cgutils.get_or_insert_function(
                builder.module,
                ir.FunctionType(ir.FloatType(), [ir.FloatType(), _VECTOR]),
                f"llvm.vector.reduce.fadd.v{LANES}f32",
            )
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
            nothing = ir.Constant(ir.FloatType(), -0.0)
            for row in range(rows):
                start = builder.add(c_at, builder.mul(c_row, _place(row)))
                for column in range(columns):
                    lanes = builder.load(sums[row][column])
                    # "reassoc": the lanes are added in pairs, not one after the other.
                    total = builder.call(add_up, [nothing, lanes], fastmath=("reassoc",))
                    builder.store(total, builder.gep(c, [builder.add(start, _place(column))]))
            return context.get_dummy_value()

        return types.void(a, *[types.intp] * 2, b, *[types.intp] * 2, c, *[types.intp] * 3), generate

    return intrinsic(tile)


@intrinsic
def two_to(_typing: Any, whole: Any) -> Any:
    """Return 2 to the power of a whole number that is given as float32, from -126 to 127, by writing its exponent."""

    def generate(_context: Any, builder: Any, _signature: Any, values: Any) -> Any:
        word = ir.IntType(32)
        exponent = builder.add(builder.fptosi(values[0], word), ir.Constant(word, 127))
        return builder.bitcast(builder.shl(exponent, ir.Constant(word, 23)), ir.FloatType())

    return types.float32(types.float32), generate


@intrinsic
def fetch(_typing: Any, array: Any, at: Any) -> Any:
    """Ask for the part of a flat array around a place to be brought near, and do not wait."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        byte = ir.PointerType(ir.IntType(8))
        word = ir.IntType(32)
        prefetch = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(ir.VoidType(), [byte, word, word, word]), "llvm.prefetch.p0"
        )
        place = builder.gep(_pointer(context, builder, signature.args[0], values[0]), [values[1]])
        reading, near, data = ir.Constant(word, 0), ir.Constant(word, 3), ir.Constant(word, 1)
        builder.call(prefetch, [builder.bitcast(place, byte), reading, near, data])
        return context.get_dummy_value()

    return types.void(array, types.intp), generate


def _pointer(context: Any, builder: Any, kind: Any, array: Any) -> Any:
    return context.make_array(kind)(context, builder, array).data


def _fma(builder: Any) -> Any:
    return cgutils.get_or_insert_function(
        builder.module, ir.FunctionType(_VECTOR, [_VECTOR] * 3), f"llvm.fma.v{LANES}f32"
    )


def _zeros(builder: Any, rows: int, columns: int) -> Any:
    """Variables that LLVM turns into registers."""
    return [
        [cgutils.alloca_once_value(builder, ir.Constant(_VECTOR, None)) for _ in range(columns)] for _ in range(rows)
    ]


def _place(number: int) -> Any:
    return ir.Constant(_PLACE, number)


def _as_vector(builder: Any, pointer: Any) -> Any:
    return builder.bitcast(pointer, ir.PointerType(_VECTOR))


def _load(builder: Any, pointer: Any, at: Any) -> Any:
    return builder.load(_as_vector(builder, builder.gep(pointer, [at])), align=4)


def _spread(builder: Any, number: Any) -> Any:
    word = ir.IntType(32)
    undefined = ir.Constant(_VECTOR, ir.Undefined)
    first = builder.insert_element(undefined, number, ir.Constant(word, 0))
    return builder.shuffle_vector(first, undefined, ir.Constant(ir.VectorType(word, LANES), [0] * LANES))
