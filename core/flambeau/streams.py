"""`torch.Stream` and `torch.Event`: queues of work on one device beside one another, and what orders them.

Each thread has a current stream on each device, the device's own one at first; what the thread asks of the device goes
there. A stream is a handle on a backend's queue and an event one on a backend's marker (`flambeau.queues`), so that
they work on every device: where work has run when its call returns, there is nothing to wait for.
"""

from __future__ import annotations

import itertools
import threading
from typing import Any

from flambeau import discovery
from flambeau.device import device as device_type, name_indices_by
from flambeau.errors import ArgumentError, ArgumentTypeError, ArgumentValueError, message
from flambeau.queues import Marker, Queue
from flambeau.tensor import Tensor, attach

_numbers = itertools.count(1)
_defaults: dict[device_type, Queue] = {}


class _Here(threading.local):
    """What this thread has chosen: its queue by device, and what was current before each block that it is in."""

    def __init__(self) -> None:
        self.chosen: dict[device_type, Queue] = {}
        self.blocks: list[tuple[Queue, int | None]] = []


_here = _Here()


# ---------------------------------------------------------------------------------------------- queues of this thread
def default_queue(where: device_type) -> Queue:
    """The queue that a device, in its canonical form, comes with."""
    backend = discovery.backend_for(where.type)
    found = _defaults.get(where)
    if found is None or found.backend is not backend:   # the name may be another backend's now
        made = backend.default_queue(where.index or 0)
        with discovery._lock:
            found = _defaults.get(where)
            if found is None or found.backend is not backend:
                found = _defaults[where] = made
    return found


def current_queue(where: device_type) -> Queue:
    """The queue to which this thread's work on a device, in its canonical form, goes."""
    found = _here.chosen.get(where)
    if found is None or found.backend is not discovery.backend_for(where.type):
        return default_queue(where)
    return found


def use(queue: Queue) -> None:
    """Let this thread's work on the queue's device go there."""
    queue.backend.use_queue(queue)
    _here.chosen[_device_of(queue)] = queue


def enter(queue: Queue) -> None:
    """`use`, with the queue's device as the current one, until `leave`."""
    where = _device_of(queue)
    index = None if where.index is None else discovery.current_index(where.type)
    before = current_queue(where)
    if index is not None:
        discovery.set_current_index(where.type, queue.index)
    use(queue)
    _here.blocks.append((before, index))


def leave() -> None:
    """End the innermost `enter` of this thread."""
    before, index = _here.blocks.pop()
    use(before)
    if index is not None:
        discovery.set_current_index(before.backend.name, index)


def _device_of(queue: Queue) -> device_type:
    return discovery.resolve(device_type(queue.backend.name, queue.index))


def _accelerator(otherwise: str) -> str:
    from flambeau.accelerator import current_accelerator
    found = current_accelerator()
    return otherwise if found is None else found.type


name_indices_by(lambda: _accelerator("cuda"))   # which says, where there is none, what to install


def _wanted(device: Any) -> device_type:
    """The device that a stream or event is made for: the accelerator's current one by default, else the host."""
    return discovery.resolve(device_type(_accelerator("cpu") if device is None else device))


# ---------------------------------------------------------------------------------------------- streams
class Stream:
    """A queue of work on one device. RuntimeError for a device that is not there.

    In a `with` block it is the current stream of its device, which becomes the current device. A negative `priority`
    goes before others where the device has priorities.

    >>> import flambeau as torch
    >>> with torch.Stream("cpu") as stream:
    ...     x = torch.ones(2) + 1
    >>> stream.synchronize()
    >>> x
    tensor([2., 2.])
    """

    __slots__ = ("__weakref__", "_queue", "device")
    __module__ = "flambeau"

    _queue: Queue
    device: device_type

    def __init__(self, device: Any = None, *, priority: int = 0) -> None:
        self._make(_wanted(device), priority)

    def _make(self, where: device_type, priority: int, native: Any = None) -> None:
        self.device = where
        self._queue = discovery.backend_for(where.type).new_queue(where.index or 0, int(priority), native)
        self._queue.number = next(_numbers)

    @classmethod
    def _of(cls, queue: Queue) -> Any:
        """The stream of this class that stands for a queue."""
        self = object.__new__(cls)
        self.device, self._queue = _device_of(queue), queue
        return self

    @property
    def stream_id(self) -> int:
        """0 for the stream that the device comes with, another number for each other one."""
        return self._queue.number

    @property
    def device_index(self) -> int:
        """The device's index, -1 for the host."""
        return -1 if self.device.index is None else self.device.index

    @property
    def priority(self) -> int:
        """What the stream was made with."""
        return self._queue.priority

    @property
    def native_handle(self) -> Any:
        """What the driver knows the stream by; 0 where there is no such thing."""
        return self._queue.native

    def query(self) -> bool:
        """Whether everything that was queued has run."""
        return self._queue.query()

    def synchronize(self) -> None:
        """Wait until everything that was queued has run."""
        self._queue.synchronize()

    def record_event(self, event: Any = None) -> Any:
        """Record an event, a new one by default, after what was queued so far; gives the event."""
        event = self._new_event() if event is None else event
        event.record(self)
        return event

    def _new_event(self) -> Event:
        return Event(self.device)

    def wait_event(self, event: Event) -> None:
        """Let what is queued from now on run after an event; the call does not wait."""
        event.wait(self)

    def wait_stream(self, stream: Stream) -> None:
        """Let what is queued from now on run after all that is queued on another stream; the call does not wait."""
        other = stream_of(stream, "Stream.wait_stream")
        if other is not self._queue:
            _wait(self._queue, other.record(False))

    def is_capturing(self) -> bool:
        """Whether work is being recorded instead of run."""
        return self._queue.capturing

    def __enter__(self) -> Stream:
        enter(self._queue)
        return self

    def __exit__(self, *exc: object) -> None:
        leave()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Stream) and self._queue is other._queue

    def __hash__(self) -> int:
        return hash((self.device, self._queue.number))

    def __repr__(self) -> str:
        name = type(self).__qualname__ if type(self) is Stream else f"{self.device.type}.{type(self).__qualname__}"
        return f"<torch.{name} device={self.device} stream_id={self.stream_id}>"


def _wait(queue: Queue, marker: Marker) -> None:
    """Let a queue go on after a marker; one of another backend is waited for here and now."""
    if marker.queue.backend is queue.backend:
        queue.wait(marker)
    else:
        marker.synchronize()


def stream_of(stream: Any, what: str) -> Queue:
    """The queue of an argument that must be a stream; RuntimeError otherwise, as in PyTorch."""
    if not isinstance(stream, Stream):
        raise ArgumentError(message(what, "expected a stream", given=type(stream).__name__,
                                    next_step="make one with torch.Stream(device)"))
    return stream._queue


# ---------------------------------------------------------------------------------------------- events
class Event:
    """A point in a stream, to be waited for, asked for, or measured from. RuntimeError for a device that is not there.

    An event that was never recorded counts as having happened. What else it is made with changes nothing.

    >>> import flambeau as torch
    >>> start, end = torch.Event("cpu", enable_timing=True), torch.Event("cpu", enable_timing=True)
    >>> start.record()
    >>> end.record()
    >>> end.query(), start.elapsed_time(end) >= 0
    (True, True)
    """

    __slots__ = ("__weakref__", "_marker", "_timing", "device")
    __module__ = "flambeau"

    device: device_type

    def __init__(self, device: Any = None, *, enable_timing: bool = False, blocking: bool = False,
                 interprocess: bool = False) -> None:
        self._make(_wanted(device), enable_timing)

    def _make(self, where: device_type, timing: bool) -> None:
        self.device, self._timing = where, bool(timing)
        self._marker: Marker | None = None

    @property
    def event_id(self) -> int:
        """A number for the point where the event was recorded last; 0 before."""
        return 0 if self._marker is None else id(self._marker)

    @property
    def native_handle(self) -> Any:
        """What the driver knows the event by; 0 before it is recorded, and where there is no such thing."""
        return 0 if self._marker is None else self._marker.native

    def _queue(self, stream: Any, what: str) -> Queue:
        if stream is None:
            return current_queue(discovery.resolve(device_type(self.device.type)))
        return stream_of(stream, what)

    def record(self, stream: Any = None) -> None:
        """Put the event after all that is queued so far on a stream, the current one by default."""
        queue = self._queue(stream, "Event.record")
        if queue.backend.name != self.device.type:
            raise ArgumentError(message("Event.record", "the event is for another type of device",
                                        given=f"an event for {self.device.type!r}, a stream of {queue.backend.name!r}"))
        self.device = _device_of(queue)
        self._marker = queue.record(self._timing)

    def wait(self, stream: Any = None) -> None:
        """Let what is queued from now on on a stream, the current one by default, run after the event."""
        if self._marker is not None:
            _wait(self._queue(stream, "Event.wait"), self._marker)

    def query(self) -> bool:
        """Whether all work before the event has run."""
        return self._marker is None or self._marker.query()

    def synchronize(self) -> None:
        """Wait until all work before the event has run."""
        if self._marker is not None:
            self._marker.synchronize()

    def elapsed_time(self, end_event: Event) -> float:
        """Milliseconds from this event to another one.

        ValueError unless both were made with `enable_timing` and recorded; RuntimeError while one has not happened.
        """
        if not isinstance(end_event, Event):
            raise ArgumentTypeError(f"elapsed_time(): argument must be an Event, not {type(end_event).__name__}")
        for each in (self, end_event):
            if not each._timing:
                raise ArgumentValueError("Both events must be created with argument 'enable_timing=True'.")
        first, last = self._marker, end_event._marker
        if first is None or last is None:
            raise ArgumentValueError("Both events must be recorded before calculating elapsed time.")
        if first.queue.backend is not last.queue.backend or first.queue.index != last.queue.index:
            raise ArgumentError(message("elapsed_time", "events of two devices have no common clock",
                                        given=f"{self.device} and {end_event.device}"))
        if not (first.query() and last.query()):
            raise ArgumentError(message("elapsed_time", "Both events must be completed before calculating elapsed time",
                                        next_step="end_event.synchronize() waits for them"))
        return last.elapsed(first)

    def __repr__(self) -> str:
        name = "Event" if type(self) is Event else f"{self.device.type}.Event"
        return f"<torch.{name} device={self.device} event_id={self.event_id}>"


# ---------------------------------------------------------------------------------------------- of one device type
class StreamContext:
    """A block in which a stream is the current one; with None nothing changes."""

    def __init__(self, stream: Any) -> None:
        self.stream = stream
        if stream is not None:
            stream_of(stream, "stream")

    def __enter__(self) -> Any:
        if self.stream is not None:
            enter(self.stream._queue)
        return self.stream

    def __exit__(self, *exc: object) -> None:
        if self.stream is not None:
            leave()


def classes(name: str) -> dict[str, type]:
    """The classes Stream, ExternalStream and Event of one device type's namespace."""

    def where(device: Any) -> device_type:
        wanted = device_type(name, device) if isinstance(device, int) else device_type(device or name)
        if wanted.type != name:
            raise ArgumentError(message(f"{name}.Stream", f"expected a {name} device", given=str(wanted)))
        return discovery.resolve(wanted)

    class TypedStream(Stream):
        """A stream of this device type; see `torch.Stream`."""

        __slots__ = ()

        def __init__(self, device: Any = None, priority: int = 0) -> None:
            self._make(where(device), priority)

        def _new_event(self) -> Event:
            return TypedEvent()

    class ExternalStream(TypedStream):
        """A stream over one that another library has made, by the number or object its driver knows it by."""

        __slots__ = ()

        def __init__(self, stream_ptr: Any, device: Any = None) -> None:
            self._make(where(device), 0, stream_ptr)

    class TypedEvent(Event):
        """An event of this device type; see `torch.Event`."""

        __slots__ = ()

        def __init__(self, enable_timing: bool = False, blocking: bool = False, interprocess: bool = False,
                     external: bool = False) -> None:
            self._make(where(None), enable_timing)

    setattr(TypedStream, f"{name}_stream", TypedStream.native_handle)   # PyTorch's names for them
    setattr(TypedEvent, f"{name}_event", TypedEvent.native_handle)
    found: dict[str, type] = {"Stream": TypedStream, "ExternalStream": ExternalStream, "Event": TypedEvent}
    for public, each in found.items():
        each.__name__ = each.__qualname__ = public
        each.__module__ = f"flambeau.{name}"
    return found


# ---------------------------------------------------------------------------------------------- tensors
@attach
def record_stream(self: Tensor, stream: Any) -> None:
    """Say that a stream uses this tensor, so that its memory, once freed, is not used again before that is done.

    RuntimeError for a stream of another type of device, or what is no stream.
    """
    queue = stream_of(stream, "record_stream")
    if queue.backend is not self._kind.backend:
        raise ArgumentError(message("record_stream", "the stream is of another type of device",
                                    given=f"a tensor on {self.device}, a stream of {queue.backend.name!r}"))
    queue.backend.keep_for(self._array, queue)
