"""Devices, memory, streams, events and captured work of the stand-in: what runs when.

A stream is a list of work with what each piece waits for. By default work runs when it is queued. With `late` it runs
only when something waits for it, and no sooner, so that every piece that is not synchronised with shows: a copy that
nobody waited for has not happened. Asking whether work is done (as loops that poll do) runs one piece of it.
"""

from __future__ import annotations

import ctypes
import threading
import time
from bisect import bisect_right, insort
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from cuda_machine.errors import (
    CAPTURE_IMPLICIT,
    CAPTURE_INVALIDATED,
    CAPTURE_UNJOINED,
    CAPTURE_UNMATCHED,
    CAPTURE_UNSUPPORTED,
    CAPTURED_EVENT,
    INVALID_DEVICE,
    INVALID_HANDLE,
    INVALID_VALUE,
    NOT_READY,
    OUT_OF_MEMORY,
    CUDARuntimeError,
    MachineError,
)

HOST, DEVICE = 1, 2      # kinds of memory, numbered as CUDA does
_GUARD = 64              # bytes after a piece of memory that nothing may write
Work = Callable[[], None]


@dataclass
class Settings:
    """What the machine is like. Tests change it as it runs."""

    devices: int = 1
    memory: int = 4 << 30             # bytes that each device has
    late: bool = False                # work runs only when something waits for it
    peers: bool = True                # devices may open each other's memory
    capability: tuple[int, int] = (8, 0)
    units: int = 4                    # multiprocessors: few, as every work item costs time


settings = Settings()
lock = threading.RLock()              # held by whatever changes what is below
products: deque[dict[str, Any]] = deque(maxlen=64)        # calls of cuBLAS, the latest
launches: deque[str] = deque(maxlen=1000)                 # names of kernels, in the order in which they were queued


class _Here(threading.local):
    device = 0


_here = _Here()


def device() -> int:
    """The device that this thread has chosen."""
    return _here.device


def choose(index: int) -> None:
    """Choose a device for this thread."""
    if not 0 <= index < settings.devices:
        raise CUDARuntimeError(INVALID_DEVICE)
    _here.device = index


# ------------------------------------------------------------------------------------------------- memory
@dataclass(slots=True)
class Piece:
    """Memory that was asked for: its address, size, kind and device."""

    address: int
    size: int
    kind: int
    device: int
    buffer: Any = field(repr=False)


_pieces: dict[int, Piece] = {}
_addresses: list[int] = []
used: dict[int, int] = {}      # bytes by device


def view(address: int, size: int) -> np.ndarray[Any, Any]:
    """Bytes at an address."""
    return np.frombuffer((ctypes.c_uint8 * size).from_address(address), np.uint8) if size else np.empty(0, np.uint8)


def allocate(size: int, kind: int = DEVICE) -> int:
    """New memory, which holds no numbers."""
    with lock:
        place = device()
        if kind == DEVICE:
            if used.get(place, 0) + size > settings.memory:
                raise CUDARuntimeError(OUT_OF_MEMORY)
            used[place] = used.get(place, 0) + size
        buffer = np.full(size + 256 + _GUARD, 255, np.uint8)
        address = -(-buffer.ctypes.data // 256) * 256
        _pieces[address] = Piece(address, size, kind, place, buffer)
        insort(_addresses, address)
        return address


def release(address: int, kind: int = DEVICE) -> None:
    """Give memory back. MachineError where something was written behind its end."""
    with lock:
        piece = _pieces.get(address)
        if piece is None or piece.kind != kind:
            raise CUDARuntimeError(INVALID_VALUE)
        del _pieces[address], _addresses[bisect_right(_addresses, address) - 1]
        if kind == DEVICE:
            used[piece.device] -= piece.size
        if ctypes.string_at(address + piece.size, _GUARD) != b"\xff" * _GUARD:
            raise MachineError(f"memory of {piece.size} bytes was written behind its end")
        ctypes.memset(address, 255, piece.size)      # whoever still reads it reads no numbers


def find(address: int) -> Piece | None:
    """The piece that an address is in."""
    with lock:
        at = bisect_right(_addresses, address) - 1
        piece = _pieces[_addresses[at]] if at >= 0 else None
    return piece if piece is not None and address < piece.address + max(piece.size, 1) else None


def within(address: int, size: int, kind: int = 0) -> Piece | None:
    """The piece of a range; an error where the range leaves it, or memory is not of the kind asked for."""
    piece = find(address)
    if piece is None:
        wrong = kind == DEVICE
    else:
        wrong = address + size > piece.address + piece.size or (kind == DEVICE and piece.kind != DEVICE)
    if wrong:
        raise CUDARuntimeError(INVALID_VALUE)
    return piece


# ------------------------------------------------------------------------------------------------- streams
class Mark:
    """A place in a stream's work: what `count` pieces of it come to. `time` is when that was."""

    __slots__ = ("count", "graph", "stream", "time")

    def __init__(self, stream: Stream, count: int, graph: Graph | None = None) -> None:
        self.stream, self.count, self.graph, self.time = stream, count, graph, 0.0

    @property
    def reached(self) -> bool:
        return self.stream.done >= self.count

    def wait(self) -> None:
        """Run what is before; another thread may be at it."""
        with lock:
            while not self.reached and self.stream.work:
                self.stream.step()


class Graph:
    """Captured work, in an order in which it may run."""

    def __init__(self, origin: Stream, mode: int) -> None:
        self.origin, self.mode, self.broken = origin, mode, False
        self.work: list[Work] = []
        self.streams = {origin: 0}                     # pieces of each stream
        self.joined: dict[Stream, int] = {}            # up to which the origin has waited for it

    def add(self, stream: Stream, work: Work) -> None:
        self.streams[stream] += 1
        self.work.append(work)


class Stream:
    """Work in order."""

    def __init__(self, device: int, flags: int = 0, priority: int = 0) -> None:
        self.device, self.flags, self.priority = device, flags, priority
        self.work: deque[tuple[Work, tuple[Mark, ...]]] = deque()
        self.done = self.running = 0
        self.graph: Graph | None = None

    @property
    def queued(self) -> int:
        return self.done + self.running + len(self.work)

    def step(self) -> None:
        """Run one piece, after what it waits for, if another thread has not done so. A destructor that Python runs
        meanwhile may come here, too."""
        with lock:
            if not self.work:
                return
            work, after = self.work.popleft()
            self.running += 1
            try:
                for mark in after:
                    mark.wait()
                work()
            finally:
                self.running -= 1
                self.done += 1

    def drain(self) -> None:
        """Run everything."""
        Mark(self, self.queued).wait()


_handles: dict[int, Any] = {}
_defaults: dict[tuple[int, ...], Stream] = {}
_next = 0x1000


def register(thing: Any) -> int:
    """A handle."""
    global _next
    with lock:
        _next += 16
        _handles[_next] = thing
        return _next


def resolve(handle: int, kind: type) -> Any:
    """What a handle stands for."""
    found = _handles.get(handle)
    if not isinstance(found, kind):
        raise CUDARuntimeError(INVALID_HANDLE)
    return found


def forget(handle: int, kind: type) -> Any:
    """Take a handle out of use."""
    found = resolve(handle, kind)
    del _handles[handle]
    return found


def stream(handle: int) -> Stream:
    """The stream of a handle; 0 and 1 are the device's legacy stream, 2 is the thread's."""
    if handle > 2:
        return resolve(handle, Stream)
    key = (device(), threading.get_ident()) if handle == 2 else (device(),)
    return _defaults.get(key) or _defaults.setdefault(key, Stream(device()))


def streams(place: int | None = None) -> Iterable[Stream]:
    """All streams, or those of a device."""
    found = [*_defaults.values(), *(each for each in _handles.values() if isinstance(each, Stream))]
    return [each for each in found if place is None or each.device == place]


def _blocking(one: Stream) -> Iterable[Stream]:
    """The streams that a stream is in order with because one of them is the legacy stream."""
    legacy = _defaults.get((one.device,))
    if one is legacy:
        return [each for each in streams(one.device) if each is not one and not each.flags & 1]
    return [] if legacy is None or one.flags & 1 else [legacy]


def queue(handle: int, work: Work, after: tuple[Mark, ...] = ()) -> Mark:
    """Queue work behind what its stream holds and `after`; it runs now unless the machine is late."""
    with lock:
        mark = put(handle, work, after)
        if mark.graph is None and not settings.late:
            mark.wait()
        return mark


def put(handle: int, work: Work, after: tuple[Mark, ...] = ()) -> Mark:
    """Queue work that does not run yet."""
    with lock:
        one = stream(handle)
        if one.device != device():
            raise CUDARuntimeError(INVALID_HANDLE)
        if one.graph is not None:
            one.graph.add(one, work)
            return Mark(one, one.graph.streams[one], one.graph)
        others = [each for each in _blocking(one) if each.work or each.graph]
        if handle < 2 and any(each.graph for each in others):
            raise CUDARuntimeError(CAPTURE_IMPLICIT)
        one.work.append((work, (*after, *(Mark(each, each.queued) for each in others))))
        return Mark(one, one.queued)


def synchronize(handle: int) -> None:
    """Wait for a stream."""
    with lock:
        one = stream(handle)
        if one.graph is not None:
            one.graph.broken = True
            raise CUDARuntimeError(CAPTURE_UNSUPPORTED)
        one.drain()
        if handle < 2:
            for each in _blocking(one):
                each.drain()


def synchronize_device(place: int | None = None) -> None:
    """Wait for all streams of a device."""
    with lock:
        for each in streams(device() if place is None else place):
            if each.graph is not None and each.graph.mode != 2:
                each.graph.broken = True
                raise CUDARuntimeError(CAPTURE_UNSUPPORTED)
            each.drain()


def query(mark: Mark | None) -> int:
    """0 where work is done; else some of it runs."""
    with lock:
        if mark is None or mark.reached:
            return 0
        mark.stream.step()
        return NOT_READY


# ------------------------------------------------------------------------------------------------- events
@dataclass(slots=True)
class Event:
    """An event, and where it was last recorded."""

    device: int
    flags: int
    mark: Mark | None = None


def record(event: Event, handle: int) -> None:
    """Record an event behind a stream's work."""
    with lock:
        if event.device != device():
            raise CUDARuntimeError(INVALID_HANDLE)
        one = stream(handle)
        if one.graph is not None:
            event.mark = Mark(one, one.graph.streams[one], one.graph)
            return
        made: list[Mark] = []

        def stamp() -> None:
            made[0].time = time.perf_counter()

        made.append(put(handle, stamp))
        event.mark = made[0]
        if not settings.late:
            made[0].wait()


def wait(handle: int, event: Event) -> None:
    """Let a stream wait for what an event was last recorded behind."""
    with lock:
        mark, one = event.mark, stream(handle)
        if mark is None:
            return
        if mark.graph is None:
            if one.graph is not None:
                raise CUDARuntimeError(CAPTURE_UNSUPPORTED)     # work outside the capture
            if not mark.reached:
                queue(handle, _nothing, (mark,))
            return
        if one.graph is None:
            one.graph = mark.graph
            mark.graph.streams[one] = 0
        if one.graph is not mark.graph:
            raise CUDARuntimeError(CAPTURE_UNSUPPORTED)
        if one is mark.graph.origin:
            mark.graph.joined[mark.stream] = mark.count


def _nothing() -> None:
    pass


def uncaptured(event: Event) -> Mark | None:
    """Where an event stands, for the host; an error where it was recorded in a capture."""
    if event.mark is not None and event.mark.graph is not None:
        raise CUDARuntimeError(CAPTURED_EVENT)
    return event.mark


# ------------------------------------------------------------------------------------------------- captured work
def begin_capture(handle: int, mode: int) -> None:
    """From here on a stream's work is kept instead of run."""
    with lock:
        one = stream(handle)
        if handle < 2 or one.graph is not None:
            raise CUDARuntimeError(CAPTURE_UNSUPPORTED)
        one.graph = Graph(one, mode)


def end_capture(handle: int) -> Graph:
    """What was captured."""
    with lock:
        one = stream(handle)
        graph = one.graph
        if graph is None or graph.origin is not one:
            raise CUDARuntimeError(CAPTURE_UNMATCHED)
        for each in graph.streams:
            each.graph = None
        if graph.broken:
            raise CUDARuntimeError(CAPTURE_INVALIDATED)
        for each, count in graph.streams.items():
            if each is not one and graph.joined.get(each, -1) < count:
                raise CUDARuntimeError(CAPTURE_UNJOINED)
        return graph


def refuse_in_capture() -> None:
    """What synchronises by itself is not allowed while a stream of the device captures, unless that is relaxed."""
    for each in streams(device()):
        if each.graph is not None and each.graph.mode != 2:
            each.graph.broken = True
            raise CUDARuntimeError(CAPTURE_UNSUPPORTED)
