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

from flambeau_clike.array import FROM_NUMPY, TO_NUMPY, Array, empty
from flambeau_clike.device import Device
from flambeau_clike.lanes import Lane

SMALL = 256 << 10      # bytes up to which a copy on the host costs less than a change of lanes


def from_host(array: Any, device: Device) -> Array:
    """A dense array on the device with the elements of a NumPy array of any strides."""
    array = np.asarray(array)
    element, size = FROM_NUMPY[array.dtype], array.nbytes
    try:
        if size > SMALL:
            lane = device.transfer
            memory = device.allocator.take(size, lane)
            device.put_large(memory, array, lane)
            return Array(memory, element, array.shape)
        result = empty(array.shape, element, device)
        if size:
            device.lane.upload(result.memory.buffer, array)
    except device.error as error:
        raise device.faults.translated(error, f"a copy of {size} bytes to the device") from error
    return result


def to_host(array: Array) -> Any:
    """A NumPy array of its own with the elements, which are waited for."""
    device = array.device
    if not array.size:
        device.synchronize()
        return np.empty(array.shape, TO_NUMPY[array.dtype])
    lane = join(array)
    try:
        result = None
        if not array.dense or array.size * array.dtype.itemsize > SMALL:
            result = device.through_map(array, lane)
        if result is None:
            array = array if array.dense else _gathered(array)
            result = np.empty(array.shape, TO_NUMPY[array.dtype])
            lane.read(result, array.memory.buffer, array.offset * array.dtype.itemsize)
    except device.error as error:
        raise device.faults.translated(error, f"a copy of {array.dtype} {list(array.shape)} to the host") from error
    lane.trim()
    device.check(lane)
    return result


def _gathered(array: Array) -> Array:
    from flambeau_clike.kernels.movement import clone  # kernels read single elements by `item`
    return clone(array)


def item(array: Array) -> Any:
    """The only element as a Python number; ValueError where there are more or none."""
    if array.size != 1:
        raise ValueError("not one element")
    lane = join(array)
    found = np.empty(1, TO_NUMPY[array.dtype])
    device = array.device
    try:
        lane.read(found, array.memory.buffer, array.offset * found.itemsize)
    except device.error as error:
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
