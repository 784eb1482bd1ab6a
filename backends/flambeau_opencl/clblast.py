"""Products of matrices by CLBlast, a tuned library for many GPUs: where the package pyclblast is installed.

It takes single products of real matrices; the rest goes through our own kernels.
"""

from __future__ import annotations

import functools
import importlib
from typing import Any

import flambeau.dtypes as fd
from flambeau_clike.array import TO_NUMPY, Array
from flambeau_clike.kernels.matmul import SMALL_SIDE, TILED_WORK, Product

_DTYPES = (fd.float32, fd.float64)


@functools.cache
def library() -> Any:
    """The package, or None where it is not installed or finds no library."""
    try:
        return importlib.import_module("pyclblast")
    except ImportError:
        return None


def _leading(strides: tuple[int, ...], rows: int, columns: int) -> tuple[int, bool] | None:
    """(distance between rows, whether they are the columns of a transposed matrix); None for any other layout."""
    down, across = strides
    if across == 1 and down >= columns:
        return down, False
    if down == 1 and across >= rows:
        return across, True
    return None


class CLBlast:
    """Single products of real matrices, large enough, of dense rows or columns, without anything to add."""

    name = "clblast"

    def takes(self, product: Product, few: bool) -> bool:
        """Whether it can do a product, and is the faster way."""
        sizes = product.sizes
        return (not few and min(sizes.m, sizes.n) >= SMALL_SIDE and sizes.work >= TILED_WORK
                and sizes.count == 1 and product.added is None and product.a.dtype in _DTYPES
                and _leading(sizes.a_strides, sizes.m, sizes.k) is not None
                and _leading(sizes.b_strides, sizes.k, sizes.n) is not None)

    def run(self, product: Product, out: Array) -> None:
        """Queue a product."""
        import pyopencl.array as cla
        sizes, lane = product.sizes, out.device.lane
        m, n, k = sizes.m, sizes.n, sizes.k
        first, second = _leading(sizes.a_strides, m, k), _leading(sizes.b_strides, k, n)
        assert first is not None and second is not None
        operands = []
        for each in (product.a, product.b, out):
            if each.memory.lane is not lane:
                each.memory.use(lane)
            count = each.memory.size // each.dtype.itemsize
            operands.append(cla.Array(lane.queue, (1, count), TO_NUMPY[each.dtype], data=each.memory.buffer))
        library().gemm(lane.queue, m, n, k, *operands, a_ld=first[0], b_ld=second[0], c_ld=n, a_transp=first[1],
                       b_transp=second[1], a_offset=product.a.offset, b_offset=product.b.offset, c_offset=out.offset)

    def describe(self) -> str:
        """For people."""
        return "CLBlast"
