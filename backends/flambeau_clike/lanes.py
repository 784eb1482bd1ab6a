"""Lanes and streams: the driver's command queues, and the core's queues made of them.

A lane is one in-order command queue. Blocks of memory belong to lanes, so there are few of them: streams that a program
makes take turns on at most `LANES` lanes of their device, as streams that nobody distinguishes may share a queue.
"""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING, Any

from flambeau.errors import DeviceError, message
from flambeau.queues import Marker, Queue

if TYPE_CHECKING:
    from flambeau_clike.device import Device
    from flambeau_clike.memory import Block

LANES = 16
PENDING = 64 << 20     # bytes of host memory that uploads may hold until they have run,
UPLOADS = 64           # and how many of them
MOMENT = 0.002         # seconds in which a driver tells that it has nothing to do,
PATIENCE = 0.1         # and that it may take where it has just been waited for


class Lane:
    """One in-order command queue of a device, and the host memory that its pending uploads read.

    The driver's half is what a subclass fills in. Buffers are the driver's, places and sizes are bytes, and errors are
    the driver's own.
    """

    __slots__ = ("_pending", "_uploads", "device", "finished", "queue", "recorded")

    def __init__(self, device: Device, queue: Any) -> None:
        self.device, self.queue = device, queue
        self._uploads: deque[tuple[Any, int]] = deque()
        self._pending = 0
        self.finished = 0.0     # when it was last waited for, by time.perf_counter()
        self.recorded: list[Block] | None = None    # while it records: the blocks that it was given

    # -- the driver's half
    @property
    def address(self) -> int:
        """The driver's address of the queue."""
        raise NotImplementedError

    def marker(self) -> Any:
        """An event that is reached when all that is queued so far has run."""
        raise NotImplementedError

    def reached(self, event: Any) -> bool:
        """Whether an event of the driver's has happened, or failed."""
        raise NotImplementedError

    def after(self, events: list[Any]) -> None:
        """Let what is queued from now on run after some events, of any lane of the device."""
        raise NotImplementedError

    def record(self, stream: Stream, timing: bool) -> Event:
        """A marker for the core."""
        raise NotImplementedError

    def drain(self) -> None:
        """Wait until everything has run."""
        raise NotImplementedError

    def fill(self, buffer: Any, pattern: bytes, offset: int, size: int) -> None:
        """Queue the repetition of a pattern of 1, 2, 4, 8 or 16 bytes."""
        raise NotImplementedError

    def copy(self, target: Any, source: Any, size: int, target_offset: int, source_offset: int) -> None:
        """Queue a copy between two buffers, or parts of one that do not meet."""
        raise NotImplementedError

    def upload(self, buffer: Any, array: Any) -> None:
        """Queue a copy of a small NumPy array, which may change afterwards."""
        raise NotImplementedError

    def write(self, buffer: Any, array: Any) -> None:
        """Copy a NumPy array, and wait until it has been read."""
        raise NotImplementedError

    def read(self, target: Any, buffer: Any, offset: int = 0) -> None:
        """Fill a NumPy array from a buffer, and wait for it."""
        raise NotImplementedError

    # -- what is common
    def close(self) -> Any:
        """Take the command queue away: what asks for it from now on raises DeviceError. Gives it."""
        queue = self.queue
        del self.queue
        return queue

    def __getattr__(self, name: str) -> Any:     # asked for what is not there: the queue of a lane that was closed
        if name != "queue":
            raise AttributeError(f"a lane has no attribute {name!r}")
        raise DeviceError(message(
            f"device {self.device.label!r}", "cannot be used in a process that was forked after its first use",
            next_step="start processes by multiprocessing.get_context('spawn'), or use the device in them only"))

    def hold(self, event: Any, size: int) -> None:
        """Keep an upload's event, and with it the host memory that it reads, until it has run."""
        self._uploads.append((event, size))
        self._pending += size
        while self._pending > PENDING or len(self._uploads) > UPLOADS:
            self._drop()
        self.trim()

    def trim(self) -> None:
        """Drop the uploads that have run."""
        while self._uploads:
            try:
                event = self._uploads[0][0]
            except IndexError:   # another thread was faster
                return
            if not self.reached(event):
                return
            self._drop()

    def _drop(self) -> None:
        try:
            event, size = self._uploads.popleft()
        except IndexError:
            self._pending = 0
            return
        self._pending -= size
        self.wait_for(event)    # its destructor may, too, but without letting other threads of Python's run

    def wait_for(self, event: Any) -> None:
        """Wait for an event of the driver's."""
        event.wait()

    def finish(self) -> None:
        """Wait until everything has run."""
        try:
            self.drain()
        except self.device.error as error:
            raise self.device.faults.translated(error, "waiting") from error
        self.finished = time.perf_counter()
        self.trim()


class Stream(Queue):
    """A queue of the core's on a lane."""

    def __init__(self, backend: Any, index: int, lane: Lane, priority: int = 0) -> None:
        super().__init__(backend, index, priority)
        self.lane, self.native = lane, lane.address

    def query(self) -> bool:
        event = self.lane.marker()      # a driver needs a moment to find that there is nothing before it
        now = time.perf_counter()
        late = now + (MOMENT if now - self.lane.finished > PATIENCE else PATIENCE)   # most often there is nothing then
        pause = 0.0
        while not self.lane.reached(event):
            if time.perf_counter() > late:
                return False
            time.sleep(pause)           # on a processor, for the threads that do the work
            pause = min(pause + 2e-5, 2e-4)
        return True

    def synchronize(self) -> None:
        self.lane.finish()
        self.lane.device.check(self.lane)

    def record(self, timing: bool) -> Marker:
        return self.lane.record(self, timing)

    def wait(self, marker: Marker) -> None:
        assert isinstance(marker, Event)
        if marker.queue.lane.device is self.lane.device:
            self.lane.after([marker.event])
        else:      # which its own driver, or context, knows alone
            marker.synchronize()


class Event(Marker):
    """A marker in a lane: `event` is the driver's."""

    def __init__(self, stream: Stream, timing: bool, event: Any) -> None:
        self.queue: Stream = stream
        self.timing, self.event = timing, event

    def query(self) -> bool:
        return self.queue.lane.reached(self.event)

    def synchronize(self) -> None:
        device = self.queue.lane.device
        try:
            self.wait_for()
        except device.error as error:
            raise device.faults.translated(error, "waiting for an event") from error
        device.check()     # the lane may have gone on

    def wait_for(self) -> None:
        """Wait for the driver's event."""
        self.queue.lane.wait_for(self.event)
