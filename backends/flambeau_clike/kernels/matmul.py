"""Products of matrices: a few routes, chosen by what the device is and how large the product is.

- A library of the device's (`Device.libraries`): cuBLAS, CLBlast, or the BLAS behind NumPy where memory is shared.
- "tiled": a GPU gathers tiles of both matrices in local memory; the sizes of the tiles are found out once per device.
- "plain": everything else, integers among it. A work item keeps a block of the result in registers. Nothing is shared,
  so there is no barrier; processors turn its inner loop into vector instructions.

`route` says which one a product takes, and `describe` what a device does in general. Floats of 16 bits go to a
library, if one takes them (`native`): otherwise the kernels here decline, and the core asks again in float32.
"""

from __future__ import annotations

import functools
import math
import struct
from collections.abc import Callable
from typing import Any

from flambeau.dtypes import bfloat16, dtype, float16
from flambeau.ir.dialect import C_TYPES
from flambeau.shapes import broadcast_shapes, contiguous_strides
from flambeau_clike.array import Array, empty, view
from flambeau_clike.device import Device
from flambeau_clike.kernels import tiled
from flambeau_clike.kernels._arithmetic import ARITHMETIC, PRODUCT
from flambeau_clike.kernels.movement import collapse, contiguous
from flambeau_clike.launch import Layout, launch
from flambeau_clike.program import Family

Shape = tuple[int, ...]
Places = tuple[Shape, Shape]     # shape and strides
COPY_WORK = 1 << 17    # and from which a copy of the second matrix with neighbouring columns pays
FEW = 1 << 12          # elements of the result up to which sums are cut into parts, if they are long
PART, MOST_PARTS = 512, 128
SMALL_SIDE = 16        # rows or columns below which most of a tile would be empty
TILED_WORK = 1 << 15
_NARROW = (float16, bfloat16)
_INTEGERS = struct.Struct("=11q")

# The last block of a row or column of blocks begins so early that it is whole: what two blocks hold is written twice,
# with the same values. So no block has an odd size.
_BLOCK = """
KERNEL $NAME(ARRAY($T, c), ARRAY($T, a), ARRAY($T, b), ARRAY($T, addend), product_t p) {
    OPEN($T, c); OPEN($T, a); OPEN($T, b); OPEN($T, addend);
    const i64 m = p.m, n = p.n, k = p.k, a_row = p.a_row, a_step = p.a_step, b_step = p.b_step, b_column = p.b_column;
    const i64 added = p.added, addend_row = p.addend_row, addend_column = p.addend_column, blocks = p.blocks;
    index_t tall = (m + $M - 1) / $M, broad = (n + $N - 1) / $N;
    FOR_EACH(i, blocks) {
        index_t row = i / broad % tall * $M, column = i % broad * $N;
        i64 which = i / broad / tall;
        if (row > m - $M) row = m - $M;
        if (column > n - $N) column = n - $N;
        const GLOBAL $T *left = a + locate(&p.batch, 0, which) + row * (index_t)a_row;
        const GLOBAL $T *right = b + locate(&p.batch, 1, which) + column * (index_t)b_column;
        const GLOBAL $T *plus = addend + locate(&p.batch, 2, which) + row * addend_row + column * addend_column;
        GLOBAL $T *out = c + which * m * n + (i64)row * n + column;
"""
_OUTER = _BLOCK + """
        $T sum[$M][$N];
        for (int r = 0; r < $M; ++r) for (int j = 0; j < $N; ++j) sum[r][j] = ZERO_$T;
        if (added) for (int r = 0; r < $M; ++r) for (int j = 0; j < $N; ++j)
            sum[r][j] = plus[r * addend_row + j * addend_column];
        for (index_t x = 0; x < k; ++x, right += b_step)
            for (int r = 0; r < $M; ++r) {
                $T y = left[r * (index_t)a_row + x * (index_t)a_step];
                for (int j = 0; j < $N; ++j) MAC_$T(sum[r][j], y, right[j]);
            }
        for (int r = 0; r < $M; ++r) for (int j = 0; j < $N; ++j) out[r * (index_t)n + j] = sum[r][j];
    }
}"""
# Along the inner dimension, in eight sums: for vectors, and where the second matrix's columns are not neighbours.
_INNER = _BLOCK + """
        $T sum[$M][$N][8];
        for (int r = 0; r < $M; ++r) for (int j = 0; j < $N; ++j) for (int l = 0; l < 8; ++l) sum[r][j][l] = ZERO_$T;
        index_t x = 0;
        if (a_step == 1 && b_step == 1) {
            for (; x + 8 <= k; x += 8)
                for (int r = 0; r < $M; ++r) for (int j = 0; j < $N; ++j) for (int l = 0; l < 8; ++l)
                    MAC_$T(sum[r][j][l], left[r * (index_t)a_row + x + l], right[j * (index_t)b_column + x + l]);
        } else {
            for (; x + 8 <= k; x += 8)
                for (int r = 0; r < $M; ++r) for (int j = 0; j < $N; ++j) for (int l = 0; l < 8; ++l)
                    MAC_$T(sum[r][j][l], left[r * (index_t)a_row + (x + l) * (index_t)a_step],
                           right[j * (index_t)b_column + (x + l) * (index_t)b_step]);
        }
        for (; x < k; ++x) for (int r = 0; r < $M; ++r) for (int j = 0; j < $N; ++j)
            MAC_$T(sum[r][j][0], left[r * (index_t)a_row + x * (index_t)a_step],
                   right[j * (index_t)b_column + x * (index_t)b_step]);
        for (int r = 0; r < $M; ++r) for (int j = 0; j < $N; ++j) {
            for (int gap = 4; gap; gap /= 2)
                for (int l = 0; l < gap; ++l) ADD_$T(sum[r][j][l], sum[r][j][l + gap]);
            if (added) ADD_$T(sum[r][j][0], plus[r * addend_row + j * addend_column]);
            out[r * (index_t)n + j] = sum[r][j][0];
        }
    }
}"""
_SUM = Family("matmul_sum", """
KERNEL $NAME(ARRAY($T, c), ARRAY($T, partial), ARRAY($T, addend), i64 n, i64 parts, i64 added, layout_t layout) {
    OPEN($T, c); OPEN($T, partial); OPEN($T, addend);
    FOR_EACH(i, n) {
        $T sum = partial[i];
        for (index_t p = 1; p < parts; ++p) ADD_$T(sum, partial[p * n + i]);
        if (added) ADD_$T(sum, addend[locate(&layout, 0, i)]);
        c[i] = sum;
    }
}""", (("T", ("u8", "i8", "i16", "i32", "i64", "f32", "f64", "c64", "c128")),), shared=ARITHMETIC)
_KINDS = {"floats": ("f32", "f64"), "integers": ("u8", "i8", "i16", "i32", "i64"), "complex": ("c64", "c128")}
# Which blocks there are: few, because each is compiled when it is first used.
_OUTER_BLOCKS = {"floats": ((4, 32), (4, 8), (1, 32)), "integers": ((4, 32),), "complex": ((4, 8),)}
_INNER_BLOCKS = {"floats": ((4, 2), (1, 1)), "integers": ((1, 1),), "complex": ((1, 1),)}


def _families(name: str, template: str, blocks: dict[str, tuple[tuple[int, int], ...]]) -> dict[str, Family]:
    over = (("M", ("1", "4")), ("N", ("1", "2", "8", "32")))
    return {kind: Family(f"{name}_{kind}", template, (("T", _KINDS[kind]), *over), shared=ARITHMETIC + PRODUCT,
                         only=lambda _, m, n, some=some: (int(m), int(n)) in some) for kind, some in blocks.items()}


OUTER = _families("matmul_outer", _OUTER, _OUTER_BLOCKS)
INNER = _families("matmul_inner", _INNER, _INNER_BLOCKS)


def kind(dtype: dtype) -> str:
    """Which programs a dtype is in: those of "floats", "integers" or "complex" numbers."""
    return "complex" if dtype.is_complex else "floats" if dtype.is_floating_point else "integers"


class Sizes:
    """A batch of products as the kernels see it: c[batch] (m, n) = a[batch] (m, k) @ b[batch] (k, n) + addend[batch].

    `batch` are the sizes of the batch, with as few dimensions as possible; the strides of a, b and the addend over it
    follow. It depends on shapes and strides only, and is worked out once for them.
    """

    def __init__(self, a: Places, b: Places, addend: Places | None) -> None:
        (a_shape, a_strides), (b_shape, b_strides) = a, b
        if a_shape[-1] != b_shape[-2]:
            raise ValueError(f"matrices {list(a_shape)} and {list(b_shape)} cannot be multiplied")
        (self.m, self.k), self.n = a_shape[-2:], b_shape[-1]
        lead = broadcast_shapes(a_shape[:-2], b_shape[:-2])
        self.shape = (*lead, self.m, self.n)
        whole = (0,) * len(self.shape) if addend is None else _spread(*addend, self.shape)
        self.batch, (self.a_batch, self.b_batch, self.added_batch) = collapse(
            lead, _spread(a_shape[:-2], a_strides, lead), _spread(b_shape[:-2], b_strides, lead), whole[:-2])
        self.a_strides, self.b_strides, self.added_strides = a_strides[-2:], b_strides[-2:], whole[-2:]
        if (len(self.batch) == 1 and not self.b_batch[0] and self.a_batch[0] == self.m * self.a_strides[0]
                and self.added_batch[0] == self.m * self.added_strides[0]):   # one tall product
            self.m *= self.batch[0]
            self.batch, self.a_batch, self.b_batch, self.added_batch = [], [], [], []
        self.count = math.prod(self.batch)
        self.work = self.count * self.m * self.n * self.k
        self.added = int(addend is not None)

    def packed(self, blocks: int) -> bytes:
        """As an argument of type product_t, for so many blocks."""
        integers = (blocks, self.m, self.n, self.k, *self.a_strides, *self.b_strides, self.added, *self.added_strides)
        return _INTEGERS.pack(*integers) + Layout(self.batch, self.a_batch, self.b_batch, self.added_batch)


_sizes = functools.lru_cache(maxsize=4096)(Sizes)


def _spread(sizes: Shape, strides: Shape, shape: Shape) -> Shape:
    """The strides of some dimensions for a shape that they are broadcast to."""
    return (0,) * (len(shape) - len(sizes)) + tuple([
        0 if size == 1 else stride for size, stride in zip(sizes, strides, strict=False)])


class Product:
    """A product to compute: arrays, the addend (which broadcasts to the result) or None, and their sizes."""

    __slots__ = ("a", "added", "b", "sizes")

    def __init__(self, a: Array, b: Array, addend: Array | None = None) -> None:
        self.a, self.b, self.added = a, b, addend
        self.sizes = _sizes((a.shape, a.strides), (b.shape, b.strides),
                            None if addend is None else (addend.shape, addend.strides))
        if a.dtype is not b.dtype:
            raise ValueError(f"matrices of {a.dtype} and {b.dtype} cannot be multiplied")


def multiply(a: Array, b: Array, out: Array, addend: Array | None = None) -> None:
    """Write the products of the matrices in the last two dimensions, plus what broadcasts to them, to `out`, a dense
    array of the right shape. Not of floats of 16 bits."""
    product = Product(a, b, addend)
    if out.size:
        _route(product)[1](product, out)


def native(device: Device) -> dict[str, frozenset[dtype]]:
    """The emulated dtypes that the kernels of products take on a device, by operator."""
    return dict.fromkeys(KERNELS, device.narrow) if device.narrow else {}


def route(a: Array, b: Array) -> str:
    """The route that a product takes: a library's name, "tiled", "plain", or "none" where it is declined."""
    return _route(Product(a, b))[0]


def _route(product: Product) -> tuple[str, Callable[[Product, Array], Any]]:
    device, sizes = product.a.device, product.sizes
    few = sizes.k >= 2 * PART and sizes.count * sizes.m * sizes.n <= FEW     # and long, which BLAS sums less accurately
    for each in device.libraries:
        if each.takes(product, few):
            return each.name, each.run
    if product.a.dtype in _NARROW:
        return "none", _decline
    small = few or min(sizes.m, sizes.n) < SMALL_SIDE or sizes.work < TILED_WORK
    if device.traits.cpu or small or not tiled.fitting(device, product.a.dtype):
        return "plain", _plain
    return "tiled", _tiled


def _decline(product: Product, out: Array) -> Any:
    return NotImplemented


def describe(device: Device) -> str:
    """What products of matrices do on a device, in a few words."""
    own = "tiles in local memory, tuned for the device" if device.traits.local_memory and not device.traits.cpu else (
        "in registers")
    return "; ".join([*[each.describe() for each in device.libraries], f"others {own}" if device.libraries else own])


# ---------------------------------------------------------------------------------------------- in local memory
def _tiled(product: Product, out: Array) -> None:
    tile = tiled.choose(out.device, out.dtype, Product)
    if tile is None:
        _plain(product, out)
    else:
        tiled.run(tile, product, out)


# ---------------------------------------------------------------------------------------------- in registers
def _plain(product: Product, out: Array) -> None:
    a, b, sizes = product.a, product.b, product.sizes
    if sizes.k >= 2 * PART and out.size <= FEW:
        _split(product, out)
        return
    if sizes.work >= COPY_WORK and sizes.b_strides[1] != 1 and min(sizes.m, sizes.n) >= 16 and 0 not in sizes.b_batch:
        b = contiguous(b)
        sizes = Product(a, b, product.added).sizes
    family, words, items, packed = _plan(sizes, b.dtype, b.device.traits.cpu)
    launch(family, words, items, out, a, b, product.added or out, packed, op="matmul")


@functools.lru_cache(maxsize=4096)
def _plan(sizes: Sizes, dtype: dtype, cpu: bool) -> tuple[Family, tuple[str, ...], int, bytes]:
    """Which kernel to launch, over how many items, and its argument after the arrays."""
    group = kind(dtype)
    families, tall, broad = _block(group, sizes.m, sizes.n, sizes.b_strides[1] == 1, cpu)
    blocks = sizes.count * -(-sizes.m // tall) * -(-sizes.n // broad)
    items = min(max(sizes.work // 16, 1), 1 << 29) if cpu else blocks
    return families[group], (C_TYPES[dtype], str(tall), str(broad)), items, sizes.packed(blocks)


def _split(product: Product, out: Array) -> None:
    """Few long sums: parts of them as products of their own, and their sums. It makes work for many work items, and
    sums of sums are more accurate than one long sum."""
    shape, k = product.sizes.shape, product.sizes.k
    parts = min(MOST_PARTS, k // PART)
    length, over = k // parts, k % parts
    partial = empty((parts + bool(over), *shape), out.dtype, out.device)
    first = view(partial, (parts, *shape), partial.strides, 0)
    _plain(Product(_cut(product.a, shape, -1, parts, length, 0), _cut(product.b, shape, -2, parts, length, 0)), first)
    if over:
        _plain(Product(_cut(product.a, shape, -1, 1, over, k - over), _cut(product.b, shape, -2, 1, over, k - over)),
               view(partial, (1, *shape), partial.strides, parts * out.size))
    added = product.added
    sizes, (places,) = collapse(shape, (0,) * len(shape) if added is None else _spread(
        added.shape, added.strides, shape))
    launch(_SUM, (C_TYPES[out.dtype],), out.size, out, partial, added or out, out.size, partial.shape[0],
           int(added is not None), Layout(sizes, places), op="matmul")


def _cut(array: Array, shape: Shape, axis: int, parts: int, length: int, start: int) -> Array:
    """Parts of matrices along an axis, as a dimension before those of `shape`, to whose number others are padded."""
    pad = len(shape) - len(array.shape)
    sizes = [parts, *(1,) * pad, *array.shape]
    step = array.strides[axis]
    sizes[axis] = length
    return view(array, tuple(sizes), (length * step, *(0,) * pad, *array.strides), array.offset + start * step)


def _block(numbers: str, m: int, n: int, dense: bool, cpu: bool) -> tuple[dict[str, Family], int, int]:
    """The kernels to take, and the sizes of a work item's block of the result."""
    if dense:
        for tall, broad in _OUTER_BLOCKS[numbers]:
            if m >= tall and n >= broad and (cpu or broad <= 8 or (tall, numbers) != (4, "floats")):
                return OUTER, tall, broad
    return (INNER, 4, 2) if numbers == "floats" and m >= 4 and n >= 2 else (INNER, 1, 1)


# ---------------------------------------------------------------------------------------------- operators
def matmul(a: Array, b: Array) -> Array:
    """Products of the matrices in the last two dimensions; those before them are broadcast."""
    product = Product(a, b)
    run = _route(product)[1]
    if run is _decline:
        return NotImplemented
    out = empty(product.sizes.shape, a.dtype, a.device)
    if out.size:
        run(product, out)
    return out


def _reshaped(array: Array, shape: Shape) -> Array:
    """A dense array in another shape."""
    return view(array, shape, contiguous_strides(shape), array.offset)


def _rows(array: Array) -> Array:
    """The vectors in the last dimension as the rows of one matrix."""
    if len(array.shape) == 2:
        return array
    return _reshaped(contiguous(array), (math.prod(array.shape[:-1]), array.shape[-1]))


def _turned(matrix: Array) -> Array:
    return view(matrix, matrix.shape[::-1], matrix.strides[::-1], matrix.offset)


def mv(a: Array, vector: Array) -> Array:
    """The product of a matrix and a vector."""
    column = view(vector, (vector.shape[0], 1), (vector.strides[0], 1), vector.offset)
    result = matmul(a, column)
    return result if result is NotImplemented else _reshaped(result, a.shape[:1])


def dot(a: Array, b: Array) -> Array:
    """The sum of the products of two vectors' elements."""
    row = view(a, (1, a.shape[0]), (1, a.strides[0]), a.offset)
    result = mv(row, b)
    return result if result is NotImplemented else _reshaped(result, ())


def linear(input: Array, weight: Array, bias: Array | None) -> Array:
    """input @ weight.T + bias."""
    product = Product(_rows(input), _turned(weight), bias)
    run = _route(product)[1]
    if run is _decline:
        return NotImplemented
    out = empty((*input.shape[:-1], weight.shape[0]), input.dtype, input.device)
    if out.size:
        run(product, _reshaped(out, product.sizes.shape))
    return out


def linear_weight_grad(g: Array, input: Array) -> Array:
    """The sum over all vectors of the outer products of a gradient and the conjugated input."""
    if input.dtype.is_complex:
        return NotImplemented
    return matmul(_turned(_rows(g)), _rows(input))


KERNELS: dict[str, Callable[..., Any]] = {
    "matmul": matmul, "mm": matmul, "bmm": matmul, "mv": mv, "dot": dot, "linear": linear,
    "linear_weight_grad": linear_weight_grad}
