"""Memory of a device: allocations that go back to a cache, not to the driver, when the last array over them dies."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pyopencl as cl

from flambeau.errors import OutOfMemoryError, message

if TYPE_CHECKING:
    from flambeau_opencl.device import Device


class Memory:
    """One allocation of `size` bytes in a block of the allocator."""

    __slots__ = ("buffer", "device", "reserved", "size")

    def __init__(self, device: Device, size: int, reserved: int, buffer: Any) -> None:
        self.device, self.size, self.reserved, self.buffer = device, size, reserved, buffer

    def __del__(self) -> None:
        self.device.allocator.give_back(self)


class Allocator:
    """Blocks by size class. A queue runs its commands in order, so a block may be used again at once on that queue."""

    def __init__(self, device: Device) -> None:
        self.device = device
        self.free: dict[int, list[Any]] = {}
        self.allocated = self.reserved = self.peak = 0
        self.lock = threading.RLock()   # an array may die, and so give back its memory, while this is held

    def take(self, size: int) -> Memory:
        """Memory for `size` bytes."""
        reserved = size_class(size)
        with self.lock:
            blocks = self.free.get(reserved)
            buffer = blocks.pop() if blocks else None
        if buffer is None:
            buffer = self._allocate(reserved)
        with self.lock:
            self.allocated += reserved
            self.peak = max(self.peak, self.allocated)
        return Memory(self.device, size, reserved, buffer)

    def _allocate(self, reserved: int) -> Any:
        device = self.device
        for attempt in (1, 2):
            if self.reserved + reserved <= device.total_memory and reserved <= device.max_allocation:
                try:
                    buffer = cl.Buffer(device.context, cl.mem_flags.READ_WRITE, reserved)
                    with self.lock:
                        self.reserved += reserved
                    return buffer
                except (cl.MemoryError, cl.LogicError):
                    pass
            if attempt == 1:
                self.release()
        raise OutOfMemoryError(message(
            f"device {device.label!r}", f"out of memory: tried to allocate {reserved} bytes",
            given=f"{self.allocated} bytes in use of {device.total_memory}, {device.max_allocation} at most in one piece",
            next_step="delete tensors that are no longer needed, or work in smaller batches"))

    def give_back(self, memory: Memory) -> None:
        """Keep the block of a memory that nobody uses any more."""
        with self.lock:
            self.allocated -= memory.reserved
            self.free.setdefault(memory.reserved, []).append(memory.buffer)

    def release(self) -> None:
        """Give the blocks that are kept back to the driver."""
        with self.lock:
            for reserved, blocks in self.free.items():
                self.reserved -= reserved * len(blocks)
            self.free.clear()


def size_class(size: int) -> int:
    """The size of the block for `size` bytes: an eighth of a power of two, 512 bytes at least."""
    if size <= 512:
        return 512
    step = 1 << max((size - 1).bit_length() - 4, 9)
    return -(-size // step) * step
