"""Copies between the host and a device, without waiting for more than the copy needs.

What goes up is read before the call returns, so that the host may change it: small arrays are copied and queued in the
lane of the thread, behind whatever is there; large ones go through the device's lane for transfers, into blocks that
nothing in other lanes uses any more, and so need not wait for what is being computed. What comes down waits for the
lane that computes it. Where the device's memory is the host's, large arrays and views with gaps are not copied by the
driver but through a map, in one pass whatever their strides.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyopencl as cl

from flambeau.dtypes import dtype
from flambeau_opencl.array import FROM_NUMPY, TO_NUMPY, Array, empty
from flambeau_opencl.device import Device
from flambeau_opencl.streams import Lane

PATTERN = 128          # bytes that a buffer can be filled with
SMALL = 256 << 10      # bytes up to which a copy on the host costs less than a change of lanes


def from_host(array: Any, device: Device) -> Array:
    """A dense array on the device with the elements of a NumPy array of any strides."""
    array = np.asarray(array)
    element = FROM_NUMPY[array.dtype]
    if array.nbytes > SMALL:
        return _large(array, element, device)
    result = empty(array.shape, element, device)
    size = array.nbytes
    if not size:
        return result
    lane = device.lane
    buffer = result.memory.buffer
    try:
        if size <= PATTERN:    # the driver takes a copy itself; blocks have room for the rounding up
            room = 1 << (size - 1).bit_length()
            cl.enqueue_fill_buffer(lane.queue, buffer, array.tobytes().ljust(room, b"\0"), 0, room)
        else:
            lane.hold(cl.enqueue_copy(lane.queue, buffer, np.array(array, order="C"), is_blocking=False), size)
    except cl.Error as error:
        raise device.faults.translated(error, f"a copy of {size} bytes to the device") from error
    return result


def _large(array: Any, element: dtype, device: Device) -> Array:
    lane = device.transfer
    memory = device.allocator.take(array.nbytes, lane)
    try:
        if array.flags.c_contiguous or not device.traits.unified:
            cl.enqueue_copy(lane.queue, memory.buffer, np.ascontiguousarray(array), is_blocking=True)
        else:
            view, _ = cl.enqueue_map_buffer(lane.queue, memory.buffer, cl.map_flags.WRITE_INVALIDATE_REGION, 0,
                                            array.shape, array.dtype, is_blocking=True)
            np.copyto(view, array)
            view.base.release(lane.queue).wait()
    except cl.Error as error:
        raise device.faults.translated(error, f"a copy of {array.nbytes} bytes to the device") from error
    return Array(memory, element, array.shape)


def to_host(array: Array) -> Any:
    """A NumPy array of its own with the elements, which are waited for."""
    device = array.device
    if not array.size:
        device.synchronize()
        return np.empty(array.shape, TO_NUMPY[array.dtype])
    lane = join(array)
    try:
        if device.traits.unified and (not array.dense or array.size * array.dtype.itemsize > SMALL):
            result = _through_map(array, lane)
        else:
            array = array if array.dense else _gathered(array)
            result = np.empty(array.shape, TO_NUMPY[array.dtype])
            cl.enqueue_copy(lane.queue, result, array.memory.buffer, is_blocking=True,
                            src_offset=array.offset * array.dtype.itemsize)
    except cl.Error as error:
        raise device.faults.translated(error, f"a copy of {array.dtype} {list(array.shape)} to the host") from error
    lane.trim()
    device.check(lane)
    return result


def _gathered(array: Array) -> Array:
    from flambeau_opencl.kernels.movement import clone  # kernels read single elements by `item`
    return clone(array)


def _through_map(array: Array, lane: Lane) -> Any:
    size = array.dtype.itemsize
    plain = np.dtype(f"u{size}" if size <= 8 else "c16")     # NumPy's own dtype: the others have no strided views
    last = sum([(size - 1) * stride for size, stride in zip(array.shape, array.strides, strict=True)])
    flat, _ = cl.enqueue_map_buffer(lane.queue, array.memory.buffer, cl.map_flags.READ,
                                    array.offset * size, (last + 1,), plain, is_blocking=True)
    view = np.lib.stride_tricks.as_strided(flat, array.shape, [each * size for each in array.strides])
    result = np.array(view, order="C")
    flat.base.release(lane.queue)
    return result.view(TO_NUMPY[array.dtype])


def item(array: Array) -> Any:
    """The only element as a Python number; ValueError where there are more or none."""
    if array.size != 1:
        raise ValueError("not one element")
    lane = join(array)
    found = np.empty(1, TO_NUMPY[array.dtype])
    device = array.device
    try:
        cl.enqueue_copy(lane.queue, found, array.memory.buffer, is_blocking=True,
                        src_offset=array.offset * found.itemsize)
    except cl.Error as error:
        raise device.faults.translated(error, "reading an element") from error
    device.check(lane)
    return found.item()


def join(array: Array) -> Lane:
    """This thread's lane, which goes on after the other lanes that have used the array's memory."""
    device, memory = array.device, array.memory
    lane = device.lane
    if memory.lane is not lane or memory.users:
        others = {memory.lane, *(memory.users or ())} - {lane}
        if others:
            lane.after([each.marker() for each in others])
    return lane
