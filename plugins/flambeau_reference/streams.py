"""A fake device with streams, on which whatever two queues do without order goes wrong, every time.

On hardware a missing wait shows now and then. Here a kernel computes when it is called, and the device keeps account
of what is ordered: each queue counts its work, and knows up to which count of other queues it has waited. Who reads
what another queue has written gets nonsense unless its own queue, or the program, has waited for that. Who writes to
memory that another queue may still be reading spoils what that one has made of it. Memory that is freed is had again
at once, as by every allocator that caches, which is where programs go wrong that forget `record_stream`.
"""

from __future__ import annotations

import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np

from flambeau.dtypes import dtype
from flambeau.queues import Marker, Queue
from flambeau_reference.array import Array, Memory
from flambeau_reference.backend import ReferenceBackend
from flambeau_reference.contract import broken

NONSENSE = 0xFF   # each byte of what is read too early: nan, or -1
USES = 16         # of one block, after which those that are over are forgotten


class Block:
    """Bytes of the driver's, which several memories have one after the other, and who works on them."""

    __slots__ = ("__weakref__", "bytes", "holds", "kept_for", "uses", "written")

    def __init__(self, size: int) -> None:
        self.bytes = np.empty(size, np.uint8)
        self.written: tuple[StrictQueue, int] | None = None
        self.uses: list[tuple[StrictQueue, int, list[weakref.ref[Block]]]] = []   # and what was made of it
        self.kept_for: list[StrictQueue] = []
        self.holds: list[tuple[StrictQueue, int]] = []   # what must have run before it is had again


class PooledMemory(Memory):
    """A memory over a block, which goes back to the queue that it came from."""

    __slots__ = ("block", "pool")

    def __init__(self, backend: Any, index: int, size: int, block: Block, pool: deque[Block]) -> None:
        self.block, self.pool = block, pool
        super().__init__(backend, index, size)
        self.bytes = block.bytes

    def __del__(self) -> None:
        super().__del__()
        block = self.block
        block.holds = [(queue, queue.queued) for queue in block.kept_for]
        block.kept_for = []
        self.pool.append(block)


class StrictMarker(Marker):
    """A count of a queue's work, with what that queue had waited for."""

    def __init__(self, queue: StrictQueue, timing: bool) -> None:
        self.queue, self.timing, self.seconds = queue, timing, time.perf_counter()
        self.at = queue.queued
        self.seen = {**queue.seen, queue: queue.queued}

    def query(self) -> bool:
        """False while the device has not been waited for: it works on in the meantime, and is done the next time."""
        reached = all(at <= queue.done for queue, at in self.seen.items())
        self.synchronize()
        return reached

    def synchronize(self) -> None:
        for queue, at in self.seen.items():
            queue.done = max(queue.done, at)


class StrictQueue(Queue):
    """A queue that counts: what it was given, what has run, and up to where it has waited for others."""

    def __init__(self, backend: StreamsBackend, index: int, priority: int = 0) -> None:
        super().__init__(backend, index, priority)
        self.queued = self.done = 0
        self.seen: dict[StrictQueue, int] = {}
        self.pools: dict[int, deque[Block]] = {}   # free memory by size
        backend.queues[index].add(self)

    def query(self) -> bool:
        with self.backend.lock:
            return self.record(False).query()

    def synchronize(self) -> None:
        with self.backend.lock:
            self.record(False).synchronize()

    def record(self, timing: bool) -> StrictMarker:
        with self.backend.lock:
            return StrictMarker(self, timing)

    def wait(self, marker: Marker) -> None:
        if not isinstance(marker, StrictMarker) or marker.queue.backend is not self.backend:
            raise broken("wait", "a marker of another backend", given=marker, promised="one of this backend")
        with self.backend.lock:
            known = {queue: at for queue, at in self.seen.items() if at > queue.done}
            for queue, at in marker.seen.items():
                known[queue] = max(known.get(queue, 0), at)
            self.seen = known

    def knows(self, what: tuple[StrictQueue, int] | None) -> bool:
        """Whether a piece of work has run before what this queue is given next."""
        return what is None or what[0] is self or what[1] <= max(what[0].done, self.seen.get(what[0], 0))


class Queued:
    """A kernel that goes to the current queue."""

    def __init__(self, backend: StreamsBackend, kernel: Callable[..., Any]) -> None:
        self.backend, self.kernel = backend, kernel

    def __call__(self, *args: Any, out: Array | None = None) -> Any:
        backend = self.backend
        with backend.lock:
            flat = [each for value in args for each in (value if isinstance(value, list) else (value,))]
            arrays = [each for each in flat if isinstance(each, Array)]
            queue = backend.current(arrays[0].memory.index if arrays else args[-1])
            result = self.kernel(*[_replaced(value, queue) for value in args], out=out)
            made = result if isinstance(result, tuple) else (result,)
            backend.ran(queue, arrays, made)
        return result


def _replaced(value: Any, queue: StrictQueue) -> Any:
    if isinstance(value, list):
        return [_replaced(each, queue) for each in value]
    return _as_read(value, queue) if isinstance(value, Array) else value


def _as_read(array: Array, queue: StrictQueue) -> Array:
    """What a queue finds where an array is: the array, or nonsense where nothing says that it has been written."""
    memory = array.memory
    if not isinstance(memory, PooledMemory) or queue.knows(memory.block.written):
        return array
    lost: Any = object.__new__(Memory)
    lost._size, lost.ledger, lost.backend, lost.index = 0, memory.ledger, memory.backend, memory.index
    lost.bytes = np.full_like(memory.bytes, 1 if array.element.name == "bool" else NONSENSE)
    return Array(lost, array.element, array.shape, array.strides, array.offset)


class StreamsBackend(ReferenceBackend):
    """Two devices with as many queues as wanted."""

    name: ClassVar[str] = "reference_streams"
    capabilities = replace(ReferenceBackend.capabilities, asynchronous=True, streams=True)

    def __init__(self) -> None:
        super().__init__()
        self.lock = threading.RLock()
        self.queues: list[weakref.WeakSet[StrictQueue]] = [weakref.WeakSet() for _ in range(self.devices)]
        self.own = [StrictQueue(self, index) for index in range(self.devices)]
        self.here = threading.local()
        self.kernels = {name: each if name == "reinterpret" else Queued(self, each)
                        for name, each in self.kernels.items()}

    # -- queues
    def default_queue(self, index: int) -> StrictQueue:
        return self.own[index]

    def new_queue(self, index: int, priority: int, native: Any = None) -> Queue:
        if native is not None:
            return super().new_queue(index, priority, native)
        return StrictQueue(self, index, priority)

    def use_queue(self, queue: Queue) -> None:
        setattr(self.here, str(queue.index), queue)

    def current(self, index: int) -> StrictQueue:
        """The queue that this thread uses."""
        found: StrictQueue = getattr(self.here, str(index), self.own[index])
        return found

    def keep_for(self, array: Array, queue: Queue) -> None:
        self.check("keep_for", array)
        assert isinstance(queue, StrictQueue) and isinstance(array.memory, PooledMemory)
        with self.lock:
            array.memory.block.kept_for.append(queue)

    def synchronize(self, index: int) -> None:
        super().synchronize(index)
        with self.lock:
            for queue in self.queues[index]:
                queue.done = queue.queued

    def ran(self, queue: StrictQueue, read: Sequence[Array], written: Sequence[Array]) -> None:
        """Count a piece of work, and spoil what it comes between."""
        queue.queued += 1
        at = queue.queued
        blocks = [each.memory.block for each in written if isinstance(each.memory, PooledMemory)]
        for block in blocks:
            ordered = queue.knows(block.written)
            for other, count, made in block.uses:
                if not queue.knows((other, count)):
                    for lost in filter(None, (each() for each in made)):
                        lost.bytes.fill(NONSENSE)
            if not ordered:
                block.bytes.fill(NONSENSE)
            block.written, block.uses = (queue, at), []
        for each in read:
            if isinstance(each.memory, PooledMemory):
                uses = each.memory.block.uses
                if len(uses) >= USES:
                    uses[:] = [use for use in uses if use[1] > use[0].done]
                uses.append((queue, at, [weakref.ref(block) for block in blocks]))

    # -- arrays
    def new_memory(self, index: int, size: int) -> Memory:
        with self.lock:
            queue = self.current(index)
            pool = queue.pools.setdefault(size, deque())
            for _ in range(len(pool)):     # not by iterating: destructors add to it at any time
                block = pool.popleft()
                if all(map(queue.knows, block.holds)):
                    return PooledMemory(self, index, size, block, pool)
                pool.append(block)
            self.ledgers[index].check(size)
            return PooledMemory(self, index, size, Block(size), pool)

    def empty(self, shape: tuple[int, ...], dtype: dtype, index: int) -> Array:
        with self.lock:
            return super().empty(shape, dtype, index)

    def from_host(self, array: Any, index: int) -> Array:
        with self.lock:
            made = super().from_host(array, index)
            self.ran(self.current(index), (), (made,))
            return made

    def to_host(self, array: Array) -> Any:
        self.check("to_host", array)
        with self.lock:
            queue = self.current(array.memory.index)
            queue.synchronize()
            return _as_read(array, queue).values().copy()

    def copy(self, target: Array, source: Array) -> None:
        with self.lock:
            queue = self.current(target.memory.index)
            super().copy(target, _as_read(source, queue))
            self.ran(queue, (source,), (target,))

    def empty_cache(self) -> None:
        with self.lock:
            for queue in [each for queues in self.queues for each in queues]:
                queue.pools = {}
