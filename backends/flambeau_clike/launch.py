"""Launching kernels: arrays and numbers to arguments, items to work sizes."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

from flambeau.dtypes import dtype
from flambeau.ir.dialect import C_TYPES, OPERANDS, RANK, STRUCT_FORMATS
from flambeau_clike.array import Array
from flambeau_clike.program import Family

NARROW = 1 << 30      # elements up to which 32-bit indices do, with room for the rounding up of chunks
_pack_int = struct.Struct("=q").pack
_pack_launch = struct.Struct("=i").pack
_pack_layout = struct.Struct(f"={RANK * (1 + OPERANDS) + 1}q").pack
_PADS = [(0,) * (RANK - rank) for rank in range(RANK + 1)]


class Scalar(bytes):
    """A number as an argument of the C type of a dtype."""

    def __new__(cls, value: Any, dtype: dtype) -> Scalar:
        form = STRUCT_FORMATS[C_TYPES[dtype]]
        parts = (value.real, value.imag) if dtype.is_complex else (value,)
        return super().__new__(cls, struct.pack("=" + form, *parts))


class Layout(bytes):
    """Sizes, and for each of up to four operands strides in elements, as an argument of type layout_t."""

    def __new__(cls, sizes: Sequence[int], *strides: Sequence[int]) -> Layout:
        rank = len(sizes)
        if rank > RANK or len(strides) > OPERANDS:
            raise ValueError(f"a layout has at most {RANK} dimensions and {OPERANDS} operands")
        pad = _PADS[rank]
        words = [*sizes, *pad]
        for each in strides:
            words += each
            words += pad
        words += (0,) * (RANK * (OPERANDS - len(strides)))
        return super().__new__(cls, _pack_layout(*words, rank))


def launch(family: Family, words: tuple[str, ...], items: int, *args: Any, op: str = "", checks: bool = False,
           group: int = 0) -> None:
    """Queue one kernel over `items` items, in this thread's queue. Nothing happens for no items.

    An Array argument is two parameters, an int an i64, bytes are passed as they are. Arrays are of one device, of which
    there is at least one. With `checks` the kernel's last parameters are ERRORS, and what it reports by `FAIL(code)` is
    raised when the device is waited for; `op` is the operator to name then.
    `group` says how many work items make a group, and that there are `items` of them, where the kernel is about that.
    """
    if not items:
        return
    arrays = [each for each in args if each.__class__ is Array]
    device = arrays[0].device
    lane = device.lane
    wide = items > NARROW
    for each in arrays:
        memory = each.memory
        if memory.lane is not lane:
            memory.use(lane)
        if memory.size > NARROW and memory.size // each.dtype.itemsize > NARROW:
            wide = True
    try:
        kernel, name = device.plans[family, words, wide]
    except KeyError:
        kernel, name = device.plan(family, words, wide, op, arrays)
    sizes = ((items,), (group,)) if group else device.sizes(items)
    device.faults.latest.append(name)
    with device.lock:
        position = put(kernel, args)
        if checks:
            buffer, number = device.faults.register(op or family.name, arrays)
            kernel.set_arg(position, buffer)
            kernel._set_arg_buf(position + 1, _pack_launch(number))
        try:
            device.enqueue(lane.queue, kernel, *sizes)
        except device.error as error:
            device.recover(error, lambda: device.enqueue(lane.queue, kernel, *sizes))


def put(kernel: Any, args: Sequence[Any]) -> int:
    """Set the arguments of a kernel, in order; gives the position after them."""
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
    return position
