"""The driver: which devices there are, their memory, and the way in and out.

TODO: this is a stand-in, so that the package works before you have written a line. Its "device memory" is the host's.
Put your driver's calls in place of each body; nothing else in the package talks to the device, but for the kernels.
"""

from __future__ import annotations

from flambeau.errors import OutOfMemoryError


def count() -> int:
    """How many devices there are; 0 where there is none. TODO: ask the driver."""
    return 1


def name(index: int) -> str:
    """What device `index` is called. TODO: ask the driver."""
    return "a stand-in for NewDevice"


def total_memory(index: int) -> int:
    """Bytes of memory of device `index`. TODO: ask the driver."""
    return 1 << 30


class Memory:
    """A block of memory on a device; it is freed when the last array that views it is gone."""

    def __init__(self, size: int, index: int) -> None:
        self.index = index
        try:
            self.bytes = bytearray(size)  # TODO: allocate it on the device
        except MemoryError as error:
            raise OutOfMemoryError(f"device 'newdevice:{index}': no room for {size} bytes; delete tensors that are no "
                                   "longer needed, or work in smaller batches") from error  # fmt: skip

    def write(self, data: bytes) -> None:
        """Copy bytes of the host to the beginning of the block. TODO."""
        self.bytes[: len(data)] = data


def synchronize(index: int) -> None:
    """Wait until everything queued on device `index` has run. TODO, if your kernels return before they have run."""
