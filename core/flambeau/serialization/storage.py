"""`UntypedStorage`: the bytes that one or more tensors view, as a thing that can be saved, moved and viewed again.

Tensors need no such object to compute; files do. A file keeps each storage once and describes tensors as views of it,
so sharing survives a round trip: `of` finds the one storage of all tensors that share memory, and `tensor` makes any
number of tensors that share it again.

A storage lives on one device. It is held as a buffer on the host, as flat arrays on its device (one per dtype), or
both; what is missing is made when it is first asked for.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from flambeau import discovery
from flambeau.backend import Array
from flambeau.device import device
from flambeau.dtypes import by_name, dtype
from flambeau.errors import FlambeauError
from flambeau.shapes import storage_extent

if TYPE_CHECKING:
    from flambeau.discovery import Kind
    from flambeau.tensor import Tensor

HOST = "cpu"  # how files name the host's memory
MAX_DIMENSIONS = 64
LARGEST = sys.maxsize


class FileFormatError(FlambeauError, RuntimeError):
    """A file that is damaged, contradicts itself, or needs something that is not here."""


class UntypedStorage:
    """A piece of memory of `nbytes()` bytes on `device`.

    What a `map_location` function is given; it may return it, or one elsewhere: `cpu()`, `cuda()`, `to(device)`.

    >>> import flambeau as torch
    >>> from flambeau.serialization.storage import UntypedStorage
    >>> x = torch.zeros(2, 3)
    >>> storage = UntypedStorage.of(x)
    >>> storage.nbytes(), storage is UntypedStorage.of(x.t())
    (24, True)
    """

    __slots__ = ("__weakref__", "_arrays", "_buffer", "_nbytes", "_owner", "device", "is_filled")

    def __init__(self, nbytes: int, where: device, buffer: memoryview | None = None,
                 arrays: dict[dtype, Array] | None = None, owner: Any = None) -> None:
        self._nbytes = nbytes
        self._buffer = buffer
        self._arrays = {} if arrays is None else arrays
        self._owner = owner  # kept so that its id() stays its own as long as `_by_owner` knows it
        self.device = where
        self.is_filled = True  # False while a reader has yet to `fill` it

    @classmethod
    def from_buffer(cls, buffer: memoryview, where: device | None = None) -> UntypedStorage:
        """A storage with the bytes of a writable buffer; on the host it is that memory, elsewhere a copy of it."""
        return cls(buffer.nbytes, device(HOST) if where is None else where, buffer)

    @classmethod
    def of(cls, tensor: Tensor) -> UntypedStorage:
        """The storage that a tensor views: the same object for all tensors that share memory, while one is held."""
        kind = tensor._kind
        backend = kind.backend
        owner = backend.storage(tensor._array)
        storage = _by_owner.get(id(owner))
        if storage is None:
            own = backend.dtype_of(owner)
            count = storage_extent(owner.shape, backend.layout(owner)[0], 0)
            flat = backend.as_strided(owner, (count,), (1,), 0)
            storage = cls(count * own.itemsize, kind.device, None, {own: flat}, owner)
            _by_owner[id(owner)] = storage
        return storage

    def nbytes(self) -> int:
        """How many bytes there are."""
        return self._nbytes

    size = __len__ = nbytes

    def data_ptr(self) -> int:
        """The address of the memory; where a backend has no addresses, a number that identifies it."""
        flat = next(iter(self._arrays.values()), None)
        if flat is None:
            flat = discovery.host().from_buffer(self.buffer(), by_name("uint8"), self._nbytes, 0)
        kernels = discovery.backend_for(self.device.type).kernels
        return int(kernels["data_ptr"](flat)) if "data_ptr" in kernels else id(self._owner)

    def buffer(self) -> memoryview:
        """The bytes on the host: the memory itself if the storage is there, else a copy."""
        if self._buffer is not None:
            return self._buffer
        flat = next(iter(self._arrays.values()))
        backend = discovery.backend_for(self.device.type)
        # as single bytes, because Python's buffers do not know every element type (bfloat16, float8)
        buffer = memoryview(backend.to_host(flat).view("uint8")).cast("B")
        if backend.capabilities.host:
            self._buffer = buffer
        return buffer

    def fill(self, data: memoryview) -> None:
        """Give a storage that was made before its bytes were known its bytes, in every place where it is held."""
        target = self.buffer()
        target[:] = data
        self.is_filled = True
        backend = discovery.backend_for(self.device.type)
        if backend.capabilities.host:
            return
        for kind_dtype, array in self._arrays.items():
            backend.copy(array, self._upload(discovery.kind_of(kind_dtype, self.device)))

    def to(self, device: Any) -> UntypedStorage:
        """This storage if it is on the device, else a copy there."""
        where = discovery.resolve(device)
        if where == self.device:
            return self
        data = self.buffer()
        if discovery.backend_for(where.type).capabilities.host:
            data = memoryview(bytearray(data))
        return UntypedStorage.from_buffer(data, where)

    def cpu(self) -> UntypedStorage:
        """This storage in the host's memory."""
        return self.to(HOST)

    def cuda(self, device: Any = None) -> UntypedStorage:
        """This storage on a CUDA device. RuntimeError where there is none."""
        index = device if isinstance(device, int) else getattr(device, "index", None)
        return self.to("cuda" if index is None else f"cuda:{index}")

    def untyped(self) -> UntypedStorage:
        """This storage."""
        return self

    def tensor(self, kind_dtype: dtype, size: Sequence[int], stride: Sequence[int], offset: int) -> Tensor:
        """A tensor that views this storage. RuntimeError if any element would lie outside it."""
        from flambeau.tensor import make

        shape, strides = tuple(size), tuple(stride)
        check_view(self._nbytes, kind_dtype, shape, strides, offset)
        kind = discovery.kind_of(kind_dtype, self.device)
        array = self._arrays.get(kind_dtype)
        if array is None:
            array = self._arrays[kind_dtype] = self._upload(kind)
        return make(kind.backend.as_strided(array, shape, strides, offset), kind)

    def _upload(self, kind: Kind) -> Array:
        """All of the storage as a flat array of this kind."""
        buffer = self.buffer()
        count = self._nbytes // kind.dtype.itemsize
        array = discovery.host().from_buffer(buffer, kind.dtype, count, 0)
        return array if kind.backend.capabilities.host else kind.backend.from_host(array, kind.index)

    def __copy__(self) -> UntypedStorage:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> UntypedStorage:
        if not self._arrays:
            return UntypedStorage.from_buffer(memoryview(bytearray(self.buffer())), self.device)
        kind_dtype, array = next(iter(self._arrays.items()))
        kind = discovery.kind_of(kind_dtype, self.device)
        fresh = kind.backend.empty(array.shape, kind_dtype, kind.index)
        kind.backend.copy(fresh, array)
        copied = UntypedStorage(self._nbytes, self.device, None, {kind_dtype: fresh}, fresh)
        return _by_owner.setdefault(id(fresh), copied)

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        from flambeau.serialization.rebuild import _rebuild_storage

        return _rebuild_storage, (bytearray(self.buffer()), str(self.device))

    def __repr__(self) -> str:
        return f"UntypedStorage({self._nbytes} bytes, device={str(self.device)!r})"


_by_owner: WeakValueDictionary[int, UntypedStorage] = WeakValueDictionary()


class TypedStorage:
    """A storage and the dtype that a file gave it. Tensors of the file's older layouts take their dtype from here.

    >>> import flambeau as torch
    >>> from flambeau.serialization.storage import TypedStorage, UntypedStorage
    >>> TypedStorage(UntypedStorage.of(torch.zeros(3)), torch.float32)
    TypedStorage(3 elements of torch.float32, device='cpu')
    """

    __slots__ = ("_untyped", "dtype")

    def __init__(self, untyped: UntypedStorage, dtype: dtype) -> None:
        self._untyped = untyped
        self.dtype = dtype

    @property
    def device(self) -> device:
        """Where the bytes are."""
        return self._untyped.device

    def untyped(self) -> UntypedStorage:
        """The bytes without the dtype."""
        return self._untyped

    def nbytes(self) -> int:
        """How many bytes there are."""
        return self._untyped.nbytes()

    def data_ptr(self) -> int:
        """The address of the memory, see `UntypedStorage.data_ptr`."""
        return self._untyped.data_ptr()

    def size(self) -> int:
        """How many elements there are."""
        return self._untyped.nbytes() // self.dtype.itemsize

    __len__ = size

    def __repr__(self) -> str:
        return f"TypedStorage({self.size()} elements of {self.dtype}, device={str(self.device)!r})"


def check_view(nbytes: int, kind_dtype: dtype, size: tuple[int, ...], stride: tuple[int, ...], offset: int) -> None:
    """Raise RuntimeError unless every element of this layout lies inside a storage of `nbytes` bytes.

    The numbers may come from a stranger's file; nothing but this check stands between them and the memory.
    """
    itemsize = kind_dtype.itemsize
    given = f"size {_shown(size)}, stride {_shown(stride)}, offset {_shown(offset)}, {kind_dtype}"
    numbers = (*size, *stride, offset)
    if not all(type(each) is int and 0 <= each <= LARGEST for each in numbers):
        raise FileFormatError(f"load: a tensor's layout must be whole numbers from 0 to {LARGEST}; given: {given}")
    if len(size) != len(stride) or len(size) > MAX_DIMENSIONS:
        raise FileFormatError(f"load: a tensor needs one stride for each of at most {MAX_DIMENSIONS} dimensions; "
                              f"given: {given}")
    volume = itemsize
    reach = 0
    for count, step in zip(size, stride, strict=True):
        volume *= max(count, 1)
        reach += max(count - 1, 0) * step
    if max(volume, (reach + 1) * itemsize, *(step * itemsize for step in stride), 0) > LARGEST:
        raise FileFormatError(f"load: a tensor's layout is larger than any memory; given: {given}")
    needed = (offset + (reach + 1 if 0 not in size else 0)) * itemsize
    if needed > nbytes:
        raise FileFormatError(f"load: a tensor reaches out of bounds of its storage: it needs {needed} bytes, the "
                              f"storage has {nbytes}; given: {given}; the file is damaged or was tampered with")


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 100 else text[:97] + "..."


def overlapping(ranges: list[tuple[int, int]]) -> bool:
    """Whether any two (begin, end) ranges overlap."""
    return any(second[0] < first[1] for first, second in pairwise(sorted(ranges)))
