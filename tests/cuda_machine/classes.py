"""cupy.cuda's classes on the processor: devices, streams, events, graphs and memory, over what is in `runtime`."""

from __future__ import annotations

import ctypes
import threading
import warnings
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np

from cuda_machine import cublas, engine, runtime
from cuda_machine.errors import CUDARuntimeError, OutOfMemoryError


class _Here(threading.local):
    def __init__(self) -> None:
        self.streams: dict[int, Any] = {}     # the current stream by device
        self.handles: dict[int, int] = {}     # the cuBLAS handle by device


_here = _Here()


# ------------------------------------------------------------------------------------------------- devices
class Device:
    def __init__(self, device: int | Device | None = None) -> None:
        self.id = runtime.getDevice() if device is None else int(device)
        self._before: list[int] = []

    def __int__(self) -> int:
        return self.id

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Device) and self.id == other.id

    def __hash__(self) -> int:
        return hash(self.id)

    def __repr__(self) -> str:
        return f"<CUDA Device {self.id}>"

    def __enter__(self) -> Device:
        self._before.append(runtime.getDevice())
        self.use()
        return self

    def __exit__(self, *_: object) -> None:
        runtime.setDevice(self._before.pop())

    def use(self) -> None:
        runtime.setDevice(self.id)

    def synchronize(self) -> None:
        engine.synchronize_device(self.id)

    @property
    def compute_capability(self) -> str:
        return "".join(map(str, engine.settings.capability))

    @property
    def pci_bus_id(self) -> str:
        return runtime.deviceGetPCIBusId(self.id)

    @property
    def mem_info(self) -> tuple[int, int]:
        with self:
            return runtime.memGetInfo()

    @property
    def cublas_handle(self) -> int:
        if self.id not in _here.handles:
            with self:
                _here.handles[self.id] = cublas.create()
        return _here.handles[self.id]


def get_cublas_handle() -> int:
    return Device().cublas_handle


def get_device_id() -> int:
    return runtime.getDevice()


def get_compute_capability() -> str:
    return Device().compute_capability


# ------------------------------------------------------------------------------------------------- streams
class _BaseStream:
    def __init__(self, ptr: int, device_id: int) -> None:
        self.ptr, self.device_id = ptr, device_id
        self._before: list[tuple[int, Any]] = []

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _BaseStream) and self.ptr == other.ptr

    def __hash__(self) -> int:
        return hash(self.ptr)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.ptr} (device {self.device_id})>"

    def __cuda_stream__(self) -> tuple[int, int]:
        return 0, self.ptr

    def __enter__(self) -> _BaseStream:
        place = runtime.getDevice()
        self._before.append((place, _here.streams.get(place)))
        return self.use()

    def __exit__(self, *_: object) -> None:
        place, before = self._before.pop()
        _here.streams[place] = before

    def use(self) -> _BaseStream:
        place = runtime.getDevice()
        if self.device_id not in (-1, place):
            raise RuntimeError(f"This stream was not created on the device {place}.")
        _here.streams[place] = self
        return self

    @property
    def done(self) -> bool:
        return runtime.streamQuery(self.ptr) == 0

    def is_capturing(self) -> bool:
        return runtime.streamIsCapturing(self.ptr)

    @property
    def is_non_blocking(self) -> bool:
        return runtime.streamGetFlags(self.ptr) == 1

    @property
    def priority(self) -> int:
        return runtime.streamGetPriority(self.ptr)

    def synchronize(self) -> None:
        runtime.streamSynchronize(self.ptr)

    def add_callback(self, callback: Callable[[Any, int, Any], None], arg: Any) -> None:
        runtime.streamAddCallback(self.ptr, lambda *_: callback(self, 0, arg), arg)

    def launch_host_func(self, callback: Callable[[Any], None], arg: Any) -> None:
        runtime.launchHostFunc(self.ptr, callback, arg)

    def record(self, event: Event | None = None) -> Event:
        event = Event() if event is None else event
        runtime.eventRecord(event.ptr, self.ptr)
        return event

    def wait_event(self, event: Event) -> None:
        runtime.streamWaitEvent(self.ptr, event.ptr)

    def begin_capture(self, mode: int | None = None) -> None:
        runtime.streamBeginCapture(self.ptr, 2 if mode is None else mode)

    def end_capture(self) -> Graph:
        return Graph(runtime.streamEndCapture(self.ptr))


class Stream(_BaseStream):
    null: Stream
    ptds: Stream

    def __init__(self, null: bool = False, non_blocking: bool = False, ptds: bool = False,
                 priority: int | None = None) -> None:
        self._owned = not (null or ptds)
        if self._owned:
            super().__init__(runtime.streamCreateWithPriority(int(non_blocking), priority or 0), runtime.getDevice())
        else:
            super().__init__(0 if null else 2, -1)

    def __del__(self) -> None:
        if getattr(self, "_owned", False) and self.ptr in engine._handles:
            runtime.streamDestroy(self.ptr)

    @classmethod
    def from_external(cls, obj: Any) -> Stream:
        made = object.__new__(cls)
        made._owned, made._external = False, obj
        _BaseStream.__init__(made, obj.__cuda_stream__()[1], getattr(obj, "device_id", -1))
        return made


Stream.null, Stream.ptds = Stream(null=True), Stream(ptds=True)


class ExternalStream(_BaseStream):
    def __init__(self, ptr: int, device_id: int = -1) -> None:
        warnings.warn("ExternalStream is deprecated. Use Stream.from_external() instead.", DeprecationWarning,
                      stacklevel=2)
        super().__init__(ptr, device_id)


def get_current_stream(device_id: int = -1) -> Any:
    place = runtime.getDevice() if device_id == -1 else device_id
    return _here.streams.get(place) or Stream.null


class Event:
    def __init__(self, block: bool = False, disable_timing: bool = False, interprocess: bool = False) -> None:
        self.ptr = runtime.eventCreateWithFlags(int(block) + 2 * int(disable_timing) + 4 * int(interprocess))

    def __del__(self) -> None:
        if self.ptr in engine._handles:
            runtime.eventDestroy(self.ptr)

    @property
    def done(self) -> bool:
        return runtime.eventQuery(self.ptr) == 0

    def record(self, stream: Any = None) -> None:
        runtime.eventRecord(self.ptr, (get_current_stream() if stream is None else stream).ptr)

    def synchronize(self) -> None:
        runtime.eventSynchronize(self.ptr)


def get_elapsed_time(start_event: Event, end_event: Event) -> float:
    return runtime.eventElapsedTime(start_event.ptr, end_event.ptr)


class Graph:
    def __init__(self, graph: int) -> None:
        self.graph, self.graphExec = graph, runtime.graphInstantiate(graph)

    def launch(self, stream: Any = None) -> None:
        runtime.graphLaunch(self.graphExec, (get_current_stream() if stream is None else stream).ptr)

    def upload(self, stream: Any = None) -> None:
        runtime.graphUpload(self.graphExec, (get_current_stream() if stream is None else stream).ptr)


# ------------------------------------------------------------------------------------------------- memory
class BaseMemory:
    ptr = size = 0
    device_id = -1

    @property
    def device(self) -> Device:
        return Device(self.device_id)


def _held(address: int) -> Any:
    """What memory goes with.

    CuPy gives memory back when the last reference is gone, and not before. A `__del__` here would run before where
    Python's collector finds a cycle, though another destructor of that cycle may hand the memory on. A NumPy array is
    nothing to the collector.
    """
    owner = np.empty(0)
    weakref.finalize(owner, _give_back, address).atexit = False
    return owner


def _give_back(address: int) -> None:
    with engine.lock:
        piece = engine.find(address)
        if piece is None:
            return
        waiting = [each for each in engine.streams(piece.device) if each.work or each.running]
        if waiting:       # as a pool does: what is queued still finds its memory
            last = tuple(engine.Mark(each, each.queued) for each in waiting[1:])
            waiting[0].work.append((lambda: engine.release(address, piece.kind), last))
        else:
            engine.release(address, piece.kind)


class Memory(BaseMemory):
    """Memory of the driver's; CUDARuntimeError where there is none left."""

    def __init__(self, size: int) -> None:
        self.size, self.device_id = size, runtime.getDevice()
        self.ptr = engine.allocate(size) if size else 0
        self._held = _held(self.ptr)


class UnownedMemory(BaseMemory):
    def __init__(self, ptr: int, size: int, owner: Any, device_id: int = -1) -> None:
        self.ptr, self.size, self._owner = ptr, size, owner
        self.device_id = runtime.pointerGetAttributes(ptr).device if device_id == -1 else device_id


class MemoryPointer:
    def __init__(self, mem: BaseMemory, offset: int) -> None:
        self.mem, self.ptr = mem, mem.ptr + offset

    @property
    def device(self) -> Device:
        return self.mem.device

    @property
    def device_id(self) -> int:
        return self.mem.device_id

    def __int__(self) -> int:
        return self.ptr

    def __add__(self, offset: int) -> MemoryPointer:
        return MemoryPointer(self.mem, self.ptr - self.mem.ptr + offset)

    def copy_from_device_async(self, src: MemoryPointer, size: int, stream: Any = None) -> None:
        runtime.memcpyAsync(self.ptr, src.ptr, size, 3, (stream or get_current_stream()).ptr)

    def copy_from_host_async(self, mem: Any, size: int, stream: Any = None) -> None:
        runtime.memcpyAsync(self.ptr, _address(mem), size, 1, (stream or get_current_stream()).ptr)

    def copy_to_host_async(self, mem: Any, size: int, stream: Any = None) -> None:
        runtime.memcpyAsync(_address(mem), self.ptr, size, 2, (stream or get_current_stream()).ptr)

    def memset_async(self, value: int, size: int, stream: Any = None) -> None:
        runtime.memsetAsync(self.ptr, value, size, (stream or get_current_stream()).ptr)


def _address(mem: Any) -> int:
    return int(mem.value if isinstance(mem, ctypes.c_void_p) else getattr(mem, "ptr", mem))


def alloc(size: int) -> MemoryPointer:
    """Memory for an array, as CuPy's pool gives it."""
    try:
        return MemoryPointer(Memory(size), 0)
    except CUDARuntimeError as error:
        raise OutOfMemoryError(size, engine.used.get(runtime.getDevice(), 0), engine.settings.memory) from error


class PinnedMemory:
    def __init__(self, size: int, flags: int = 0) -> None:
        self.ptr, self.size = runtime.hostAlloc(max(1, size), flags), size
        self._held = _held(self.ptr)


class PinnedMemoryPointer:
    """A place in pinned memory. `alloc_pinned_memory` gives one that is a buffer, which no class of Python's can be."""

    mem: PinnedMemory
    ptr: int

    def __int__(self) -> int:
        return self.ptr

    def size(self) -> int:
        return self.mem.ptr + self.mem.size - self.ptr


def alloc_pinned_memory(size: int) -> Any:
    memory = PinnedMemory(size)
    kind = type("PinnedMemoryPointer", (PinnedMemoryPointer, ctypes.c_char * size), {})
    made = kind.from_address(memory.ptr)  # type: ignore[attr-defined]
    made.mem, made.ptr = memory, memory.ptr
    return made
