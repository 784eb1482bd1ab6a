"""Memory of a device: blocks that go back to a cache, not to the driver, when the last array over them dies.

A lane runs its commands in order, so a block that was used in the lane it belongs to may be had again at once by that
lane: whatever still uses it runs before. Where other lanes have used it, it waits until they have done what they had to
do when it was given back.

The destructor of a memory may run anywhere: in any thread, at any allocation of Python's, while this thread or another
one holds any lock. So it takes none: it appends to a queue, which whoever wants memory or statistics next works off.
"""

from __future__ import annotations

import gc
import threading
from collections import OrderedDict, deque
from typing import TYPE_CHECKING, Any

from flambeau.errors import OutOfMemoryError, message
from flambeau_clike.lanes import Lane

if TYPE_CHECKING:
    from flambeau_clike.device import Device

SMALLEST = 512        # bytes of a block: room for a fill by a rounded-up pattern, too
IDLE = 256 << 20      # bytes of unused blocks that are kept whatever the program needs
_noting = threading.RLock()


class Block:
    """A buffer of the driver's, and the lane that may use it without waiting.

    `host` are its bytes as a NumPy array where the host has asked for them and the device is coherent. A block without
    a lane is no longer the allocator's.
    """

    __slots__ = ("buffer", "host", "lane", "size")

    def __init__(self, buffer: Any, size: int, lane: Lane) -> None:
        self.buffer, self.size = buffer, size
        self.lane: Lane | None = lane
        self.host: Any = None


class Memory:
    """One allocation of `size` bytes in a block; `users` are the further lanes that have used it.

    `counted` bytes are what the statistics say: those of the smallest block that would do.
    """

    __slots__ = ("block", "buffer", "counted", "device", "lane", "size", "users")

    def __init__(self, device: Device, size: int, counted: int, block: Block) -> None:
        self.device, self.size, self.counted, self.block = device, size, counted, block
        self.buffer, self.lane = block.buffer, block.lane
        self.users: set[Lane] | None = None

    def use(self, lane: Lane) -> None:
        """Take note that a lane other than the block's own uses it."""
        if self.users is None or lane not in self.users:
            with _noting:
                self.users = (self.users or set()) | {lane}

    def __del__(self) -> None:
        self.device.allocator.returned.append((self.block, self.users, self.counted))


Pending = tuple[Lane, Any]     # a lane, and an event in it
Returned = tuple[Block, "set[Lane] | None", int]     # what a destructor leaves: the block, its users, what it counted


class Allocator:
    """The blocks of one device."""

    def __init__(self, device: Device) -> None:
        self.device = device
        self.limit: int = device.memory_limit
        self.returned: deque[Returned] = deque()     # what destructors leave here
        self._free: OrderedDict[tuple[Lane, int], list[Block]] = OrderedDict()   # the longest unused first
        self._waiting: deque[tuple[list[Pending], Block]] = deque()    # blocks, and the events that they wait for
        self.allocated = self.reserved = self.peak = self.reserved_peak = self.cached = 0
        self.counts = {"allocations": 0, "driver_allocations": 0, "retries": 0, "out_of_memory": 0}
        self.lock = threading.RLock()

    # -- the way in and out
    def take(self, size: int, lane: Lane | None = None) -> Memory:
        """Memory for `size` bytes, for a lane: this thread's. OutOfMemoryError where there is no room."""
        lane = lane or self.device.lane
        wanted = SMALLEST if size <= SMALLEST else size_class(size)
        # What was given back last is most often just what is wanted, and the counts stay.
        if self.returned and lane.recorded is None:
            try:
                last = self.returned.pop()
            except IndexError:
                pass         # another thread was faster
            else:
                if last[2] == wanted == last[0].size and not last[1] and last[0].lane is lane:
                    self.counts["allocations"] += 1
                    return Memory(self.device, size, wanted, last[0])
                self.returned.append(last)
        with self.lock:
            if self.returned or self._waiting:
                self._work_off()
            block = self._reuse(lane, wanted)
            if block is None:
                block = self._allocate(lane, wanted)
            if lane.recorded is not None:
                lane.recorded.append(block)
            self.counts["allocations"] += 1
            self.allocated += wanted
            if self.allocated > self.peak:
                self.peak = self.allocated
        return Memory(self.device, size, wanted, block)

    def _reuse(self, lane: Lane, wanted: int) -> Block | None:
        """An unused block of the size, or of the next one."""
        free = self._free
        key = (lane, wanted)
        blocks = free.get(key)
        if not blocks:
            key = (lane, size_class(wanted + 1))
            blocks = free.get(key)
            if not blocks:
                return None
        block = blocks.pop()
        self.cached -= block.size
        if not blocks:
            del free[key]
        return block

    def _work_off(self) -> None:
        """Sort what destructors have left: for use again, or to wait for other lanes. The lock is held."""
        while self.returned:
            try:
                block, users, counted = self.returned.popleft()
            except IndexError:
                break        # `take` pops without the lock
            self.allocated -= counted
            if users:
                self._waiting.append(([(lane, lane.marker()) for lane in users], block))
            else:
                self._keep(block)
        while self._waiting and all(lane.reached(event) for lane, event in self._waiting[0][0]):
            self._keep(self._waiting.popleft()[1])

    def _keep(self, block: Block) -> None:
        if block.lane is None:     # it was given away
            return
        key = (block.lane, block.size)
        self._free.setdefault(key, []).append(block)
        self._free.move_to_end(key)
        self.cached += block.size

    # -- from the driver
    def _allocate(self, lane: Lane, size: int) -> Block:
        """A new block; where there is no room, after caches were emptied and pending blocks waited for."""
        if size <= self.limit:
            self._trim(max(IDLE, self.peak) - size)
            for free_more in (self._trim_all, self._wait, self._collect, None):
                buffer = self.device.new_buffer(size) if self.reserved + size <= self.limit else None
                if buffer is not None:
                    self.reserved += size
                    self.reserved_peak = max(self.reserved_peak, self.reserved)
                    self.counts["driver_allocations"] += 1
                    return Block(buffer, size, lane)
                if free_more is not None:
                    self.counts["retries"] += 1
                    free_more()
        self.counts["out_of_memory"] += 1
        raise self._refusal(size)

    def _trim(self, bound: int) -> None:
        """Give the blocks that were not used for longest back, down to so many bytes of them."""
        while self._free and self.cached > bound:
            key, blocks = next(iter(self._free.items()))
            block = blocks.pop()
            self.cached -= block.size
            self.reserved -= block.size
            if not blocks:
                del self._free[key]

    def _trim_all(self) -> None:
        self._trim(0)

    def _wait(self) -> None:
        """Wait for the blocks that other lanes use, and for what the driver frees late."""
        for events, _ in list(self._waiting):
            for lane, event in events:
                lane.wait_for(event)
        self.device.finish()
        self._work_off()
        self._trim(0)

    def _collect(self) -> None:
        """Break the cycles that hold tensors: slow, but better than an error."""
        gc.collect()
        self._wait()

    def _refusal(self, size: int) -> OutOfMemoryError:
        device = self.device
        return OutOfMemoryError(message(
            f"device {device.label!r}", f"out of memory: tried to allocate {amount(size)}",
            given=f"{amount(self.allocated)} in use by tensors and {amount(self.reserved - self.allocated)} held, of "
                  f"{amount(self.limit)}; the driver gives at most {amount(device.max_allocation)} in one piece",
            next_step="delete tensors that are no longer needed, or work in smaller batches"))

    def give_away(self, blocks: list[Block]) -> None:
        """Let go of blocks for good: whoever still has them keeps them."""
        with self.lock:
            self._work_off()
            owned = {id(block): block for block in blocks if block.lane is not None}
            for key in [key for key, free in self._free.items() if any(id(block) in owned for block in free)]:
                kept = [block for block in self._free[key] if id(block) not in owned]
                self.cached -= key[1] * (len(self._free[key]) - len(kept))
                if kept:
                    self._free[key] = kept
                else:
                    del self._free[key]
            for block in owned.values():
                block.lane = None
                self.reserved -= block.size

    # -- for people
    def stats(self) -> dict[str, int]:
        """Bytes, and counts of events."""
        with self.lock:
            self._work_off()
            return {"allocated": self.allocated, "peak": self.peak, "reserved": self.reserved,
                    "reserved_peak": self.reserved_peak, "cached": self.cached,
                    "free": max(self.limit - self.reserved, 0), **self.counts}

    def reset_peaks(self) -> None:
        """Count the peaks anew."""
        with self.lock:
            self._work_off()
            self.peak, self.reserved_peak = self.allocated, self.reserved

    def release(self, patience: float = -1) -> None:
        """Give the blocks that nobody uses back to the driver; not where the lock is not to be had in so many seconds,
        as a thread that holds another lock should ask."""
        if self.lock.acquire(timeout=patience):
            try:
                self._work_off()
                self._trim(0)
            finally:
                self.lock.release()


def size_class(size: int) -> int:
    """The size of the block for `size` bytes: an eighth of a power of two, 512 bytes at least."""
    if size <= SMALLEST:
        return SMALLEST
    step = 1 << max((size - 1).bit_length() - 4, 9)
    return -(-size // step) * step


def amount(size: int) -> str:
    """Bytes for people.

    >>> amount(100), amount(3 << 20)
    ('100 bytes', '3.00 MiB')
    """
    for unit, bits in (("GiB", 30), ("MiB", 20), ("KiB", 10)):
        if size >= 1 << bits:
            return f"{size / (1 << bits):.2f} {unit}"
    return f"{size} bytes"
