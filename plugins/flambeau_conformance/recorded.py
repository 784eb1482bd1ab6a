"""One operator call as data: arguments with their memory layout, so that the call can be made again anywhere.

`record` reads the arguments of a call into a tree of JSON values and the memory that the tensors among them view, one
buffer per storage: strides, offsets and tensors that share memory are what they were. `Recorded.build` makes the
arguments on any device. The debugger that compares two devices uses it to give the second the inputs of the first, and
saved cases are nothing but such a call in a file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import flambeau
from flambeau import discovery, dtypes, layouts
from flambeau.device import device
from flambeau.discovery import Kind
from flambeau.dtypes import dtype
from flambeau.errors import ArgumentError
from flambeau.registry import OpDef
from flambeau.shapes import Size, is_contiguous
from flambeau.tensor import Tensor, make
from flambeau_conformance.sampling import download, numpy_dtype

LARGEST = 1 << 25      # bytes of a storage that a view's whole memory is read for
DEVICE, HOST = "device", "host"
_BY_NAME = {each.name: each for each in dtypes.ALL}
_FORMATS = {name: value for name, value in vars(layouts).items()
            if isinstance(value, (layouts.layout, layouts.memory_format))}


class NotStorable(ArgumentError):
    """An argument that cannot be written to a file: a generator, say, or a function."""


@dataclass(slots=True)
class Buffer:
    """Memory of one dtype that tensors view: its elements from `start` on, of `size` in all."""

    dtype: str
    start: int
    size: int
    data: Any        # one-dimensional NumPy array

    def view(self, spec: dict[str, Any]) -> Any:
        """The elements of a tensor over this memory, as a NumPy view."""
        strides = [stride * self.data.itemsize for stride in spec["strides"]]
        if 0 in spec["shape"]:
            return np.empty(spec["shape"], self.data.dtype)
        first = self.data[spec["offset"] - self.start:]
        return np.lib.stride_tricks.as_strided(first, spec["shape"], strides, writeable=False)


@dataclass(slots=True)
class Recorded:
    """A call's arguments: `args` and `kwargs` as JSON values, the memory of the tensors, and what is not data."""

    args: list[Any]
    kwargs: dict[str, Any]
    buffers: list[Buffer]
    opaque: list[Any] = field(default_factory=list)

    def tensors(self) -> Iterator[dict[str, Any]]:
        """The descriptions of all tensors, in order."""
        return _tensors([self.args, list(self.kwargs.values())])

    def array(self, spec: dict[str, Any]) -> Any:
        """The values of one tensor when the call was recorded."""
        return self.buffers[spec["buffer"]].view(spec)

    def build(self, where: device) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The arguments again, with those tensors on `where` that were on the device of the call."""
        builder = _Builder(self, where)
        with flambeau.no_grad():
            return tuple(map(builder.value, self.args)), {name: builder.value(each)
                                                          for name, each in self.kwargs.items()}

    def check_storable(self) -> None:
        """NotStorable if an argument is not data."""
        if self.opaque:
            raise NotStorable(f"an argument is no data: {type(self.opaque[0]).__name__}")


def _tensors(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, list):
        for each in value:
            yield from _tensors(each)
    elif isinstance(value, dict):
        if "tensor" in value:
            yield value["tensor"]
        for name in ("list", "tuple", "slice"):
            yield from _tensors(value.get(name))


# ---------------------------------------------------------------------------------------------- reading a call
def record(operator: OpDef, args: Sequence[Any], kwargs: dict[str, Any], where: device) -> Recorded:
    """The call's arguments as they are now; `where` is the device that a later one stands in for."""
    reader = _Reader(where, whole=operator.family in ("view", "views"))
    everything = [*args, *kwargs.values()]
    for each in leaves(everything):
        reader.measure(each)
    reader.read()
    return Recorded([reader.value(each) for each in args],
                    {name: reader.value(each) for name, each in kwargs.items()}, reader.buffers, reader.opaque)


def leaves(value: Any) -> Iterator[Tensor]:
    """All tensors in an argument or result."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, (list, tuple)):
        for each in value:
            yield from leaves(each)
    elif isinstance(value, slice):  # whose ends may be tensors of one element
        yield from leaves((value.start, value.stop, value.step))


class _Window:
    """What is read of one storage."""

    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor
        self.low, self.high, self.count, self.number = 1 << 62, 0, 0, -1


class _Reader:
    """Turns arguments into JSON values and the storages behind them into buffers."""

    def __init__(self, where: device, whole: bool) -> None:
        self.where, self.whole = where, whole
        self.windows: dict[tuple[int, dtype], _Window] = {}
        self.buffers: list[Buffer] = []
        self.opaque: list[Any] = []
        self.objects: dict[int, int] = {}    # one tensor that is given twice stays one

    def _window(self, tensor: Tensor) -> _Window:
        storage = tensor._kind.backend.storage(tensor._array)
        return self.windows.setdefault((id(storage), tensor._kind.dtype), _Window(tensor))

    def measure(self, tensor: Tensor) -> None:
        window = self._window(tensor)
        strides, offset = tensor._kind.backend.layout(tensor._array)
        shape = tensor._array.shape
        window.count += 1
        if 0 not in shape:
            last = offset + sum((size - 1) * stride for size, stride in zip(shape, strides, strict=True))
            window.low, window.high = min(window.low, offset), max(window.high, last + 1)

    def read(self) -> None:
        for window in self.windows.values():
            window.number = len(self.buffers)
            self.buffers.append(self._read(window))

    def _read(self, window: _Window) -> Buffer:
        tensor = window.tensor
        kind = tensor._kind
        size = window.high
        if self.whole:
            size = max(size, Size(kind.backend.storage(tensor._array).shape).numel())
            if size * kind.dtype.itemsize <= LARGEST:
                window.low, window.high = 0, size
        if window.high <= window.low:
            return Buffer(kind.dtype.name, 0, size, np.empty(0, numpy_dtype(kind.dtype)))
        shape, (strides, _) = tensor._array.shape, kind.backend.layout(tensor._array)
        count = window.high - window.low
        if window.count == 1 and count == Size(shape).numel() and is_contiguous(shape, strides):
            data = download(tensor).reshape(-1)
        else:
            data = np.array(kind.backend.to_host(kind.backend.as_strided(tensor._array, (count,), (1,), window.low)))
        return Buffer(kind.dtype.name, window.low, size, data)

    def value(self, value: Any) -> Any:
        if isinstance(value, Tensor):
            strides, offset = value._kind.backend.layout(value._array)
            return {"tensor": {"buffer": self._window(value).number, "dtype": value._kind.dtype.name,
                               "shape": list(value._array.shape), "strides": list(strides), "offset": offset,
                               "view": value._view is not None, "on": self._place(value._kind.device),
                               "same": self.objects.setdefault(id(value), len(self.objects))}}
        if isinstance(value, Kind):
            return {"kind": value.dtype.name, "on": self._place(value.device)}
        if isinstance(value, device):
            return {"device": self._place(value)}
        return self._plain(value)

    def _place(self, where: device) -> str:
        return DEVICE if where == self.where else HOST if where.type == discovery.host().name else str(where)

    def _plain(self, value: Any) -> Any:
        if value is None or value.__class__ in (bool, int, str):
            return value
        if isinstance(value, (float, complex)):  # as text where JSON has no number for it
            return {"complex" if isinstance(value, complex) else "float": repr(value + 0)}
        if isinstance(value, (list, tuple)):
            name = "size" if isinstance(value, Size) else "list" if isinstance(value, list) else "tuple"
            return {name: [self.value(each) for each in value]}
        if isinstance(value, dtype):
            return {"dtype": value.name}
        if isinstance(value, slice):
            return {"slice": [self.value(each) for each in (value.start, value.stop, value.step)]}
        if value is Ellipsis:
            return {"ellipsis": True}
        if hasattr(value, "item") and not getattr(value, "shape", (1,)):
            return self._plain(value.item())
        for name, known in _FORMATS.items():
            if value is known:
                return {"format": name}
        self.opaque.append(value)
        return {"opaque": len(self.opaque) - 1}


# ---------------------------------------------------------------------------------------------- making it again
class _Builder:
    """Makes arguments from their description. Every name in it is looked up in a table; nothing of it is run."""

    def __init__(self, recorded: Recorded, where: device) -> None:
        self.recorded, self.where = recorded, where
        self.flats: dict[tuple[int, str], Tensor] = {}
        self.made: dict[int, Tensor] = {}
        self.makers: dict[str, Callable[[Any], Any]] = {
            "float": float, "complex": complex, "dtype": _dtype, "device": self._device, "ellipsis": lambda _: ...,
            "tuple": lambda each: tuple(map(self.value, each)), "list": lambda each: list(map(self.value, each)),
            "size": lambda each: Size(map(self.value, each)), "slice": lambda ends: slice(*map(self.value, ends)),
            "format": _FORMATS.__getitem__, "opaque": recorded.opaque.__getitem__, "tensor": self._tensor}

    def value(self, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        if "kind" in value:
            return discovery.kind_of(_dtype(value["kind"]), self._device(value["on"]))
        (name, content), = value.items()
        if name not in self.makers:
            raise ArgumentError(f"a recorded call has an argument of an unknown form: {name!r}")
        return self.makers[name](content)

    def _device(self, name: str) -> device:
        return self.where if name == DEVICE else discovery.resolve("cpu" if name == HOST else name)

    def _tensor(self, spec: dict[str, Any]) -> Tensor:
        made = self.made.get(spec["same"])
        if made is None:
            made = self.made[spec["same"]] = self._make(spec)
        return made

    def _make(self, spec: dict[str, Any]) -> Tensor:
        flat = self._flat(spec["buffer"], spec["on"])
        shape, strides, offset = tuple(spec["shape"]), tuple(spec["strides"]), spec["offset"]
        if spec["view"]:  # in-place operators treat views, which may overlap, with more care
            return flat.as_strided(shape, strides, offset)
        backend = flat._kind.backend
        result = make(backend.as_strided(flat._array, shape, strides, offset), flat._kind)
        result._counter = flat._counter
        return result

    def _flat(self, number: int, on: str) -> Tensor:
        flat = self.flats.get((number, on))
        if flat is None:
            buffer = self.recorded.buffers[number]
            kind = discovery.kind_of(_dtype(buffer.dtype), self._device(on))
            backend, count = kind.backend, len(buffer.data)
            data = backend.from_host(buffer.data, kind.index)
            if count < buffer.size:
                array = backend.empty((buffer.size,), kind.dtype, kind.index)
                if count:
                    backend.copy(backend.as_strided(array, (count,), (1,), buffer.start), data)
                data = array
            flat = self.flats[number, on] = make(data, kind)
            flat._counter = [0]
        return flat


def _dtype(name: str) -> dtype:
    found = _BY_NAME.get(name)
    if found is None:
        raise ArgumentError(f"a recorded call has an unknown dtype: {name!r}")
    return found
