"""Queues and markers: the order of work on a device that computes while the program goes on.

A queue runs what it is given in the order of the calls. Several queues of one device run beside one another, and only
a marker orders them. A backend with `capabilities.streams` subclasses both. As they stand they serve devices with one
queue each, whose work is waited for as a whole: nothing at all where a kernel has run when its call returns.

`flambeau.streams` makes PyTorch's streams and events of them, `flambeau._device_graphs` its graphs.
"""

from __future__ import annotations

import time
from typing import Any

from flambeau.errors import UnsupportedError, message


class Marker:
    """A point in a queue, reached when everything that was queued before it has run."""

    native: Any = 0     # what the driver calls it: an address, or its library's object

    def __init__(self, queue: Queue, timing: bool) -> None:
        self.queue, self.timing = queue, timing
        if timing:
            queue.synchronize()
        self.seconds = time.perf_counter()

    def query(self) -> bool:
        """Whether the point is reached, without waiting where the driver can tell."""
        self.synchronize()
        return True

    def synchronize(self) -> None:
        """Wait until the point is reached. Errors that kernels before it had with their data are raised here."""
        self.queue.synchronize()

    def elapsed(self, start: Marker) -> float:
        """Milliseconds from an earlier marker to this one; both are reached and were recorded with `timing`."""
        return (self.seconds - start.seconds) * 1000


class Recording:
    """Work that a queue was given while it recorded: on the same arrays again, as one, as often as wanted.

    The memory in which that work leaves its results is the recording's, and is kept for as long as it is there.
    """

    def replay(self, queue: Queue) -> None:
        """Run it in a queue of the device it was recorded on. The call does not wait."""
        raise NotImplementedError


class Queue:
    """A queue of device `index`."""

    number = 0          # the core's: 0 for the device's own queue, then in the order in which they were made
    capturing = False   # whether what it is given is being recorded: set by a backend that can
    native: Any = 0     # what the driver calls it: an address, or its library's object

    def __init__(self, backend: Any, index: int, priority: int = 0) -> None:
        self.backend, self.index, self.priority = backend, index, priority

    def query(self) -> bool:
        """Whether everything that was queued has run, without waiting where the driver can tell."""
        self.synchronize()
        return True

    def synchronize(self) -> None:
        """Wait until everything that was queued has run, and raise what went wrong with the data."""
        self.backend.synchronize(self.index)

    def record(self, timing: bool) -> Marker:
        """A marker after what was queued so far; with `timing`, one that knows when it was reached."""
        return Marker(self, timing)

    def wait(self, marker: Marker) -> None:
        """Whatever is queued from now on runs after a marker of any queue of this backend. The call does not wait."""

    def begin_capture(self, pool: Any = None) -> None:
        """From now on record what this queue is given, and what is given to queues that wait for it. Recordings with
        the same `pool`, any object, never run at the same time, so that they may share memory."""
        raise UnsupportedError(message(f"device '{self.backend.name}:{self.index}'", "its work cannot be recorded",
                                       next_step="call the functions themselves: that gives the same results"))

    def end_capture(self) -> Recording:
        """Stop recording, also after an error in between, and give what was recorded."""
        raise NotImplementedError
