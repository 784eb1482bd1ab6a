"""Launching kernels: arrays and numbers to arguments, items to work sizes."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

import pyopencl as cl

from flambeau.dtypes import dtype
from flambeau.ir.dialect import C_TYPES, OPERANDS, RANK, STRUCT_FORMATS
from flambeau_opencl.array import Array
from flambeau_opencl.program import Family

NARROW = 1 << 30      # elements up to which 32-bit indices do, with room for the rounding up of chunks
_pack_int = struct.Struct("=q").pack
_LAYOUT = struct.Struct(f"={RANK * (1 + OPERANDS) + 1}q")


class Scalar(bytes):
    """A number as an argument of the C type of a dtype."""

    def __new__(cls, value: Any, dtype: dtype) -> Scalar:
        form = STRUCT_FORMATS[C_TYPES[dtype]]
        parts = (value.real, value.imag) if dtype.is_complex else (value,)
        return super().__new__(cls, struct.pack("=" + form, *parts))


class Layout(bytes):
    """Sizes, and for each of up to four operands strides in elements, as an argument of type layout_t."""

    def __new__(cls, sizes: Sequence[int], *strides: Sequence[int]) -> Layout:
        if len(sizes) > RANK or len(strides) > OPERANDS:
            raise ValueError(f"a layout has at most {RANK} dimensions and {OPERANDS} operands")
        pad = (0,) * (RANK - len(sizes))
        words = [*sizes, *pad]
        for each in strides:
            words += [*each, *pad]
        words += [0] * (RANK * (OPERANDS - len(strides)))
        return super().__new__(cls, _LAYOUT.pack(*words, len(sizes)))


def launch(family: Family, words: tuple[str, ...], items: int, *args: Any, op: str = "", checks: bool = False) -> None:
    """Queue one kernel over `items` items. An Array argument is two parameters, an int an i64, bytes are passed as
    they are. Arrays are of one device, of which there is at least one. Nothing happens for no items."""
    if not items:
        return
    arrays = [each for each in args if each.__class__ is Array]
    device = arrays[0].device
    wide = items > NARROW or any(each.memory.size // each.dtype.itemsize > NARROW for each in arrays)
    kernel = device.programs.kernel(family, words, wide)
    with device.lock:
        put(kernel, args)
        cl.enqueue_nd_range_kernel(device.queue, kernel, *device.sizes(items))


def put(kernel: Any, args: Sequence[Any]) -> None:
    """Set the arguments of a kernel, in order."""
    position = 0
    for each in args:
        if each.__class__ is Array:
            kernel.set_arg(position, each.memory.buffer)
            position += 1
            kernel._set_arg_buf(position, _pack_int(each.offset))
        elif isinstance(each, bytes):
            kernel._set_arg_buf(position, each)
        else:
            kernel._set_arg_buf(position, _pack_int(each))
        position += 1
