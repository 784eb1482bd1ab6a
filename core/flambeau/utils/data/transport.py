"""Batches between processes: the structure through a pipe, large buffers in memory that both processes map.

A message is a pickle; what is large stays outside it (protocol 5) and is written, once, into an anonymous file in
memory, whose descriptor follows the message. The receiver maps it: a batch of images is copied once altogether. An
anonymous file has no name, so nothing can be left behind, whoever is killed and when; and unlike /dev/shm it is not
limited to what a container was given. Where the system has no such files, everything goes through the pipe.
"""

from __future__ import annotations

import io
import mmap
import os
import pickle
import struct
import weakref
from multiprocessing import connection, reduction
from typing import Any, NamedTuple

from flambeau.device import device
from flambeau.serialization.storage import HOST, UntypedStorage
from flambeau.tensor import Tensor

LARGE = 1 << 22      # bytes from which mapping a buffer is quicker than passing it through the pipe
ALIGNMENT = 64
MOST_MAPPED = 256    # each mapping holds a file descriptor, of which a process has a thousand or so
_HEAD = struct.Struct("<I")
_PLACE = struct.Struct("<QQ")
_HAS_FILES = hasattr(os, "memfd_create")


class Message(NamedTuple):
    """What goes through the pipe, and the file whose descriptor follows it, or -1."""

    data: bytes
    file: int = -1

    def close(self) -> None:
        """Give the file up on this side."""
        if self.file >= 0:
            os.close(self.file)


def _storage(data: Any, where: str) -> UntypedStorage:
    view = memoryview(data).cast("B")
    return UntypedStorage.from_buffer(memoryview(bytearray(view)) if view.readonly else view, device(where))


class _Pickler(reduction.ForkingPickler):
    """Sends of a tensor what it shows: a row of a large tensor must not take the whole with it."""

    def __init__(self, file: io.BytesIO, buffers: list[memoryview]) -> None:
        keep = self._keep if _HAS_FILES else None
        super().__init__(file, 5, False, keep)
        self._buffers = buffers

    def _keep(self, buffer: pickle.PickleBuffer) -> bool:
        try:
            view = buffer.raw()
        except BufferError:  # not contiguous: pickle copies it
            return True
        if view.nbytes < LARGE:
            return True
        self._buffers.append(view)
        return False

    def reducer_override(self, value: Any) -> Any:
        if type(value) is UntypedStorage and value.device.type == HOST:
            return _storage, (pickle.PickleBuffer(value.buffer()), str(value.device))
        if type(value) is not Tensor or not value.is_leaf:
            return NotImplemented
        if value.untyped_storage().nbytes() <= value.numel() * value.element_size():
            return NotImplemented
        alone = value.detach().clone().requires_grad_(value.requires_grad)
        return alone.__reduce_ex__(pickle.HIGHEST_PROTOCOL)


def pack(value: Any) -> Message:
    """Make a message of a value; whatever pickle raises for one that cannot travel.

    >>> unpack(pack(("a", 3)).data, -1)
    ('a', 3)
    """
    file = io.BytesIO()
    buffers: list[memoryview] = []
    _Pickler(file, buffers).dump(value)
    places, end = [], 0
    for buffer in buffers:
        places.append(_PLACE.pack(end, buffer.nbytes))
        end += -(-buffer.nbytes // ALIGNMENT) * ALIGNMENT
    head = _HEAD.pack(len(buffers)) + b"".join(places)
    return Message(head + file.getvalue(), _in_memory(buffers) if buffers else -1)


def _in_memory(buffers: list[memoryview]) -> int:
    file = os.memfd_create("flambeau-batch", os.MFD_CLOEXEC)
    try:
        begin = 0
        for buffer in buffers:
            written = 0
            while written < buffer.nbytes:  # one call writes two gigabytes at most
                written += os.pwrite(file, buffer[written:], begin + written)
            begin += -(-buffer.nbytes // ALIGNMENT) * ALIGNMENT
    except BaseException:
        os.close(file)
        raise
    return file


def send(pipe: connection.Connection, message: Message) -> None:
    """Write a message into a pipe. OSError if nobody is there to read it."""
    try:
        pipe.send_bytes(message.data)
        if message.file >= 0:
            reduction.send_handle(pipe, message.file, None)
    finally:
        message.close()


def receive(pipe: connection.Connection) -> Any:
    """Read a message and give its value. EOFError or OSError if the other side went away meanwhile."""
    data = pipe.recv_bytes()
    if not _HEAD.unpack_from(data)[0]:
        return unpack(data, -1)
    try:
        file = reduction.recv_handle(pipe)
    except RuntimeError as error:  # something else than a descriptor came: the sender died in between
        raise EOFError(str(error)) from error
    try:
        return unpack(data, file)
    finally:
        os.close(file)


def unpack(data: bytes, file: int) -> Any:
    """The value of a message."""
    count = _HEAD.unpack_from(data)[0]
    start = _HEAD.size + count * _PLACE.size
    if not count:
        return pickle.loads(memoryview(data)[start:])
    places = [_PLACE.unpack_from(data, _HEAD.size + i * _PLACE.size) for i in range(count)]
    whole = _mapped(file, sum(places[-1]))
    return pickle.loads(memoryview(data)[start:], buffers=[whole[begin:begin + size] for begin, size in places])


_mappings: set[weakref.ref[mmap.mmap]] = set()


def _mapped(file: int, size: int) -> memoryview:
    """The contents of a file as writable memory, in which they already are unless very many batches are held."""
    if len(_mappings) >= MOST_MAPPED:
        data = memoryview(bytearray(size))
        done = 0
        while done < size and (count := os.preadv(file, [data[done:]], done)):
            done += count
        return data
    mapped = mmap.mmap(file, size, flags=mmap.MAP_SHARED | getattr(mmap, "MAP_POPULATE", 0))
    _mappings.add(weakref.ref(mapped, _mappings.discard))
    return memoryview(mapped)
