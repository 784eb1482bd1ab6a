"""Products of matrices: four routes, chosen by what the device is and how large the product is.

- "host": a processor whose memory is the host's hands large products to the BLAS behind NumPy, on the same memory.
- "clblast": a GPU uses CLBlast where the package pyclblast is installed.
- "tiled": a GPU gathers tiles of both matrices in local memory; the sizes of the tiles are found out once per device.
- "plain": everything else, integers among it. A work item keeps a block of the result in registers. Nothing is shared,
  so there is no barrier; processors turn its inner loop into vector instructions.

`route` says which one a product takes, and `describe` what a device does in general.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from flambeau.dtypes import dtype
from flambeau.ir.dialect import C_TYPES
from flambeau.shapes import broadcast_shapes, contiguous_strides
from flambeau_opencl.array import Array, empty, view
from flambeau_opencl.device import Device
from flambeau_opencl.kernels import clblast, tiled
from flambeau_opencl.kernels._arithmetic import ARITHMETIC
from flambeau_opencl.kernels.host import mapped
from flambeau_opencl.kernels.movement import collapse, contiguous
from flambeau_opencl.launch import Layout, launch
from flambeau_opencl.program import Family

Shape = tuple[int, ...]
HOST_WORK = 1 << 21    # multiply-adds from which mapping memory and waiting is made up for by BLAS
COPY_WORK = 1 << 20    # and from which a copy of the second matrix with neighbouring columns pays
SMALL_SIDE = 16        # rows or columns below which most of a tile would be empty
TILED_WORK = 1 << 15

# The last block of a row or column of blocks begins so early that it is whole: what two blocks hold is written twice,
# with the same values. So no block has an odd size.
_ARGUMENTS = """ARRAY($T, c), ARRAY($T, a), ARRAY($T, b), ARRAY($T, addend), i64 blocks, i64 m, i64 n, i64 k,
    i64 a_row, i64 a_step, i64 b_step, i64 b_column, i64 added, i64 addend_row, i64 addend_column, layout_t batch"""
_BLOCK = """
    OPEN($T, c); OPEN($T, a); OPEN($T, b); OPEN($T, addend);
    index_t tall = (m + $M - 1) / $M, broad = (n + $N - 1) / $N;
    FOR_EACH(i, blocks) {
        index_t row = i / broad % tall * $M, column = i % broad * $N;
        i64 which = i / broad / tall;
        if (row > m - $M) row = m - $M;
        if (column > n - $N) column = n - $N;
        const GLOBAL $T *left = a + locate(&batch, 0, which) + row * (index_t)a_row;
        const GLOBAL $T *right = b + locate(&batch, 1, which) + column * (index_t)b_column;
        const GLOBAL $T *plus = addend + locate(&batch, 2, which) + row * addend_row + column * addend_column;
        GLOBAL $T *out = c + which * m * n + (i64)row * n + column;
"""
_OUTER = "KERNEL $NAME(" + _ARGUMENTS + ") {" + _BLOCK + """
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
_INNER = "KERNEL $NAME(" + _ARGUMENTS + ") {" + _BLOCK + """
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
_KINDS = {"floats": ("f32", "f64"), "integers": ("u8", "i8", "i16", "i32", "i64"), "complex": ("c64", "c128")}
# Which blocks there are: few, because each is compiled when it is first used.
_OUTER_BLOCKS = {"floats": ((4, 32), (4, 8), (1, 32)), "integers": ((4, 32),), "complex": ((4, 8),)}
_INNER_BLOCKS = {"floats": ((4, 2), (1, 1)), "integers": ((1, 1),), "complex": ((1, 1),)}


def _families(name: str, template: str, blocks: dict[str, tuple[tuple[int, int], ...]]) -> dict[str, Family]:
    over = (("M", ("1", "4")), ("N", ("1", "2", "8", "32")))
    return {kind: Family(f"{name}_{kind}", template, (("T", _KINDS[kind]), *over), shared=ARITHMETIC,
                         only=lambda _, m, n, some=some: (int(m), int(n)) in some) for kind, some in blocks.items()}


OUTER = _families("matmul_outer", _OUTER, _OUTER_BLOCKS)
INNER = _families("matmul_inner", _INNER, _INNER_BLOCKS)


def kind(dtype: dtype) -> str:
    """Which programs a dtype is in: those of "floats", "integers" or "complex" numbers."""
    return "complex" if dtype.is_complex else "floats" if dtype.is_floating_point else "integers"


class Product:
    """A batch of products as the kernels see it: c[batch] (m, n) = a[batch] (m, k) @ b[batch] (k, n) + addend[batch].

    `batch` are the sizes of the batch, with as few dimensions as possible; the strides of a, b and the addend over it
    follow. The addend, which may be None, broadcasts to the result.
    """

    __slots__ = ("a", "a_batch", "a_strides", "added", "added_batch", "added_strides", "b", "b_batch", "b_strides",
                 "batch", "count", "k", "m", "n", "work")

    def __init__(self, a: Array, b: Array, addend: Array | None = None) -> None:
        self.a, self.b, self.added = a, b, addend
        (self.m, self.k), self.n = a.shape[-2:], b.shape[-1]
        lead = broadcast_shapes(a.shape[:-2], b.shape[:-2])
        whole = (0,) * (len(lead) + 2) if addend is None else _spread(addend, (*lead, self.m, self.n))
        self.batch, (self.a_batch, self.b_batch, self.added_batch) = collapse(
            lead, _spread(a, lead, 2), _spread(b, lead, 2), whole[:-2])
        self.a_strides, self.b_strides, self.added_strides = a.strides[-2:], b.strides[-2:], whole[-2:]
        if (len(self.batch) == 1 and not self.b_batch[0] and self.a_batch[0] == self.m * self.a_strides[0]
                and self.added_batch[0] == self.m * self.added_strides[0]):   # one tall product
            self.m *= self.batch[0]
            self.batch, self.a_batch, self.b_batch, self.added_batch = [], [], [], []
        self.count = math.prod(self.batch)
        self.work = self.count * self.m * self.n * self.k


def _spread(array: Array, shape: Shape, last: int = 0) -> Shape:
    """The strides of an array, without the last so many dimensions, for a shape that those are broadcast to."""
    count = len(array.shape) - last
    return (0,) * (len(shape) - count) + tuple([
        0 if size == 1 else stride for size, stride in zip(array.shape[:count], array.strides[:count], strict=True)])


def multiply(a: Array, b: Array, out: Array, addend: Array | None = None) -> None:
    """Write the products of the matrices in the last two dimensions, plus what broadcasts to them, to `out`, a dense
    array of the right shape."""
    if not out.size:
        return
    if a.dtype is not b.dtype or a.shape[-1] != b.shape[-2]:
        raise ValueError(f"matrices of {a.dtype} {list(a.shape)} and {b.dtype} {list(b.shape)} cannot be multiplied")
    product = Product(a, b, addend)
    ROUTES[_route(product)](product, out)


def route(a: Array, b: Array) -> str:
    """The route that a product takes: "host", "clblast", "tiled" or "plain"."""
    return _route(Product(a, b))


def _route(product: Product) -> str:
    traits, dtype = product.a.device.traits, product.a.dtype
    if traits.cpu:
        blas = dtype.is_floating_point or dtype.is_complex
        return "host" if blas and traits.unified and product.work >= HOST_WORK else "plain"
    if min(product.m, product.n) < SMALL_SIDE or product.work < TILED_WORK:
        return "plain"
    if clblast.takes(product):
        return "clblast"
    return "tiled" if tiled.fitting(product.a.device, dtype) else "plain"


def describe(device: Device) -> str:
    """What products of matrices do on a device, in a few words."""
    if device.traits.cpu and device.traits.unified:
        return f"the host's BLAS, on the same memory, from {HOST_WORK} multiply-adds on; smaller ones in registers"
    if device.traits.cpu:
        return "in registers"
    tiles = "tiles in local memory, tuned for the device" if device.traits.local_memory else "in registers"
    return f"CLBlast; batches: {tiles}" if clblast.library() is not None else tiles


# ---------------------------------------------------------------------------------------------- on the host
def _blas_takes(array: Array) -> bool:
    """Whether each matrix lies as BLAS wants it: dense rows or dense columns."""
    (rows, columns), (down, across) = array.shape[-2:], array.strides[-2:]
    return (across == 1 and down >= columns) or (down == 1 and across >= rows)


def _host(product: Product, out: Array) -> None:
    a, b, addend = product.a, product.b, product.added
    a, b = (a if _blas_takes(a) else contiguous(a)), (b if _blas_takes(b) else contiguous(b))
    shape = out.shape
    if not product.batch:   # one product rather than many
        a, b = _below(a, product.m), _below(b, product.k)
        shape = (product.m, product.n)
    extra = () if addend is None else (addend,)
    with mapped(out, a, b, *extra) as (result, left, right, *more), np.errstate(all="ignore"):
        np.matmul(left, right, out=result.reshape(shape))
        for each in more:
            np.add(result, each, out=result)


def _below(array: Array, rows: int) -> Array:
    """The matrices of a batch below one another."""
    if len(array.shape) == 2:
        return array
    return view(array, (rows, array.shape[-1]), array.strides[-2:], array.offset)


# ---------------------------------------------------------------------------------------------- in local memory
def _tiled(product: Product, out: Array) -> None:
    tile = tiled.choose(out.device, out.dtype, Product)
    if tile is None:
        _plain(product, out)
    else:
        tiled.run(tile, product, out)


# ---------------------------------------------------------------------------------------------- in registers
def _plain(product: Product, out: Array) -> None:
    m, n, k = product.m, product.n, product.k
    a, b, (b_step, b_column) = product.a, product.b, product.b_strides
    if b_column != 1 and product.work >= COPY_WORK and min(m, n) >= 16 and 0 not in product.b_batch:
        _plain(Product(a, contiguous(b), product.added), out)
        return
    numbers = kind(b.dtype)
    family, tall, broad = _block(numbers, m, n, b_column == 1, b.device.traits.cpu)
    blocks = product.count * -(-m // tall) * -(-n // broad)
    items = min(max(product.work // 16, 1), 1 << 29) if b.device.traits.cpu else blocks
    launch(family[numbers], (C_TYPES[b.dtype], str(tall), str(broad)), items, out, a, b, product.added or out,
           blocks, m, n, k, *product.a_strides, b_step, b_column, int(product.added is not None),
           *product.added_strides, Layout(product.batch, product.a_batch, product.b_batch, product.added_batch),
           op="matmul")


def _block(numbers: str, m: int, n: int, dense: bool, cpu: bool) -> tuple[dict[str, Family], int, int]:
    """The kernels to take, and the sizes of a work item's block of the result."""
    if dense:
        for tall, broad in _OUTER_BLOCKS[numbers]:
            if m >= tall and n >= broad and (cpu or broad <= 8 or (tall, numbers) != (4, "floats")):
                return OUTER, tall, broad
    return (INNER, 4, 2) if numbers == "floats" and m >= 4 and n >= 2 else (INNER, 1, 1)


ROUTES: dict[str, Callable[[Product, Array], None]] = {
    "host": _host, "clblast": clblast.run, "tiled": _tiled, "plain": _plain}


# ---------------------------------------------------------------------------------------------- operators
def matmul(a: Array, b: Array) -> Array:
    """Products of the matrices in the last two dimensions; those before them are broadcast."""
    lead = broadcast_shapes(a.shape[:-2], b.shape[:-2])
    out = empty((*lead, a.shape[-2], b.shape[-1]), a.dtype, a.device)
    multiply(a, b, out)
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
    return _reshaped(matmul(a, column), a.shape[:1])


def dot(a: Array, b: Array) -> Array:
    """The sum of the products of two vectors' elements."""
    row = view(a, (1, a.shape[0]), (1, a.strides[0]), a.offset)
    return _reshaped(mv(row, b), ())


def linear(input: Array, weight: Array, bias: Array | None) -> Array:
    """input @ weight.T + bias."""
    rows = _rows(input)
    out = empty((*input.shape[:-1], weight.shape[0]), input.dtype, input.device)
    multiply(rows, _turned(weight), _reshaped(out, (rows.shape[0], weight.shape[0])), bias)
    return out


def linear_weight_grad(g: Array, input: Array) -> Array:
    """The sum over all vectors of the outer products of a gradient and the conjugated input."""
    if input.dtype.is_complex:
        return NotImplemented
    return matmul(_turned(_rows(g)), _rows(input))


KERNELS: dict[str, Callable[..., Any]] = {
    "matmul": matmul, "mm": matmul, "bmm": matmul, "mv": mv, "dot": dot, "linear": linear,
    "linear_weight_grad": linear_weight_grad}
