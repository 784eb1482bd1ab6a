"""The part of a backend class that is the same for all devices of this kind: arrays, queues and memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import flambeau.dtypes as fd
from flambeau.backend import Backend, Capabilities
from flambeau.dtypes import dtype
from flambeau.queues import Queue
from flambeau_clike import transfers
from flambeau_clike.array import Array, empty, view
from flambeau_clike.device import Device, Traits
from flambeau_clike.kernels import KERNELS, matmul
from flambeau_clike.kernels.creation import factories
from flambeau_clike.kernels.movement import copy
from flambeau_clike.kernels.pointwise import follow
from flambeau_clike.kernels.random import draws
from flambeau_clike.lanes import Stream

_DOUBLE = frozenset({fd.float64, fd.complex128})


class ClikeBackend(Backend):
    """Devices that are programmed in a C-like language. A subclass finds them and calls `serve`."""

    array_type = Array
    stream_type: ClassVar[type[Stream]] = Stream

    def serve(self, devices: Sequence[Device]) -> None:
        """Take the devices, which may be none."""
        self._devices = list(devices)
        self._capabilities = [replace(capabilities(each.traits), simulated=each.simulated, native=matmul.native(each))
                              for each in self._devices]
        self.capabilities = self._capabilities[0] if self._devices else capabilities(None)
        self.kernels = dict(KERNELS)
        self.kernels.update({**factories(self._devices), **draws(self._devices)})
        self.kernels.update(reinterpret=_reinterpret, item=transfers.item)
        follow(self.kernels)    # operators that are registered later get kernels, too

    # -- devices
    def device_count(self) -> int:
        return len(self._devices)

    def capabilities_of(self, index: int) -> Capabilities:
        return self._capabilities[index]

    def synchronize(self, index: int) -> None:
        self._devices[index].synchronize()

    # -- arrays
    def empty(self, shape: tuple[int, ...], dtype: dtype, index: int) -> Array:
        return empty(shape, dtype, self._devices[index])

    def from_host(self, array: Any, index: int) -> Array:
        return transfers.from_host(array, self._devices[index])

    def to_host(self, array: Array) -> Any:
        return transfers.to_host(array)

    def copy(self, target: Array, source: Array) -> None:
        copy(target, source)

    def as_strided(self, array: Array, shape: tuple[int, ...], strides: tuple[int, ...], offset: int) -> Array:
        return view(array, tuple(shape), tuple(strides), offset)

    def layout(self, array: Array) -> tuple[tuple[int, ...], int]:
        return array.strides, array.offset

    def is_contiguous(self, array: Array) -> bool:
        return array.dense

    def storage(self, array: Array) -> Array:
        return array.viewed or array

    def dtype_of(self, array: Array) -> dtype:
        return array.dtype

    def native_dtype(self, dtype: dtype) -> Any:
        return dtype

    # -- queues
    def default_queue(self, index: int) -> Queue:
        return self.stream_type(self, index, self._devices[index].default)

    def use_queue(self, queue: Queue) -> None:
        assert isinstance(queue, Stream)
        queue.lane.device.choose(queue.lane)

    def keep_for(self, array: Array, queue: Queue) -> None:
        assert isinstance(queue, Stream)
        if queue.lane is not array.memory.lane:
            array.memory.use(queue.lane)

    # -- memory
    def memory_stats(self, index: int) -> Mapping[str, int]:
        return self._devices[index].allocator.stats()

    def reset_peak_memory_stats(self, index: int) -> None:
        self._devices[index].allocator.reset_peaks()

    def limit_memory(self, index: int, limit: int) -> None:
        """Let allocations fail beyond so many bytes."""
        self._devices[index].allocator.limit = limit

    def empty_cache(self) -> None:
        for each in self._devices:
            each.allocator.release()


def _reinterpret(array: Array, size: tuple[int, ...], strides: tuple[int, ...], offset: int, dtype: dtype) -> Array:
    return view(array, size, strides, offset, dtype)


def capabilities(traits: Traits | None) -> Capabilities:
    """What a device with these traits can do; with None, what any may."""
    return Capabilities(
        storage_dtypes=frozenset(fd.ALL) - (frozenset() if traits is None or traits.fp64 else _DOUBLE),
        emulated={fd.float16: fd.float32, fd.bfloat16: fd.float32}, asynchronous=True, streams=True,
        accelerator=traits is None or not traits.cpu, unified_memory=traits is not None and traits.unified)
