"""Arrays of a device that shares the host's memory, as NumPy arrays over that very memory.

Where a device is the processor itself, its buffers can be mapped without a copy, and what NumPy does well, products of
large matrices above all, is done by NumPy. Mapping waits for what is queued: it is for work that takes far longer.
A coherent device's blocks are mapped once and stay so; there, the host has only to wait for the lane.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import pyopencl as cl

from flambeau_clike.array import TO_NUMPY, Array, view
from flambeau_clike.device import Traits
from flambeau_clike.kernels.matmul import Product
from flambeau_clike.kernels.movement import contiguous
from flambeau_clike.lanes import Lane
from flambeau_clike.memory import Block

HOST_WORK = 1 << 22    # multiply-adds from which mapping memory and waiting is made up for by BLAS,
COHERENT = 3           # and halvings of that where there is nothing to map


@contextmanager
def mapped(target: Array, *sources: Array) -> Iterator[tuple[Any, ...]]:
    """NumPy arrays over the memory of a target, which is written, and of sources, which are read. None is empty."""
    arrays, device = (target, *sources), target.device
    lane = device.lane
    for each in arrays:
        if each.memory.lane is not lane:
            each.memory.use(lane)
    if device.traits.coherent:
        views = tuple([_view(_bytes(each.memory.block, lane), each) for each in arrays])
        lane.finish()
        yield views
        return
    maps = [_map(lane.queue, each, cl.map_flags.WRITE if each is target else cl.map_flags.READ) for each in arrays]
    try:
        lane.finish()
        yield tuple([view for view, _ in maps])
    finally:
        for _, memory in maps:
            memory.release(lane.queue)


def _bytes(block: Block, lane: Lane) -> Any:
    """The bytes of a block of a coherent device."""
    if block.host is None:
        both: Any = cl.map_flags.READ | cl.map_flags.WRITE
        block.host, _ = cl.enqueue_map_buffer(lane.queue, block.buffer, both, 0, (block.size,), np.dtype(np.uint8),
                                              is_blocking=True)
    return block.host


def _view(memory: Any, array: Array) -> Any:
    dtype = TO_NUMPY[array.dtype]
    size = dtype.itemsize
    return np.ndarray(array.shape, dtype, memory, array.offset * size, [each * size for each in array.strides])


def _map(queue: Any, array: Array, flags: cl.map_flags) -> tuple[Any, Any]:
    dtype = TO_NUMPY[array.dtype]
    last = sum([(size - 1) * stride for size, stride in zip(array.shape, array.strides, strict=True)])
    flat, _ = cl.enqueue_map_buffer(queue, array.memory.buffer, flags, array.offset * dtype.itemsize, (last + 1,),
                                    dtype, is_blocking=False)
    return _strided(flat, array.shape, array.strides), flat.base


def _strided(flat: Any, shape: Sequence[int], strides: Sequence[int]) -> Any:
    return np.lib.stride_tricks.as_strided(flat, shape, [each * flat.itemsize for each in strides])


class HostBlas:
    """The BLAS behind NumPy, for a processor whose memory is the host's: large products, on the same memory."""

    name = "host"

    def __init__(self, traits: Traits) -> None:
        self._halvings = COHERENT if traits.coherent else 0

    def takes(self, product: Product, few: bool) -> bool:
        """Large ones, of floats."""
        dtype = product.a.dtype
        enough = HOST_WORK if few else HOST_WORK >> self._halvings
        return (dtype.is_floating_point or dtype.is_complex) and product.sizes.work >= enough

    def run(self, product: Product, out: Array) -> None:
        """Wait for the operands, and multiply."""
        a, b, addend = product.a, product.b, product.added
        a, b = (a if _blas_takes(a) else contiguous(a)), (b if _blas_takes(b) else contiguous(b))
        shape, sizes = out.shape, product.sizes
        if not sizes.batch:   # one product rather than many
            a, b = _below(a, sizes.m), _below(b, sizes.k)
            shape = (sizes.m, sizes.n)
        extra = () if addend is None else (addend,)
        with mapped(out, a, b, *extra) as (result, left, right, *more), np.errstate(all="ignore"):
            np.matmul(left, right, out=result.reshape(shape))
            for each in more:
                np.add(result, each, out=result)

    def describe(self) -> str:
        """For people."""
        return f"the host's BLAS, on the same memory, from {HOST_WORK >> self._halvings} multiply-adds on"


def _blas_takes(array: Array) -> bool:
    """Whether each matrix lies as BLAS wants it: dense rows or dense columns."""
    (rows, columns), (down, across) = array.shape[-2:], array.strides[-2:]
    return (across == 1 and down >= columns) or (down == 1 and across >= rows)


def _below(array: Array, rows: int) -> Array:
    """The matrices of a batch below one another."""
    if len(array.shape) == 2:
        return array
    return view(array, (rows, array.shape[-1]), array.strides[-2:], array.offset)
