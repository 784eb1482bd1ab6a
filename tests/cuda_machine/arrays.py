"""cupy.ndarray and CuPy's functions of arrays on the processor: NumPy's, on memory of the stand-in.

An array is no NumPy array, as CuPy's is none: what converts one into the other without saying so is refused, on which
tests of code that serves both libraries depend. Functions run at once, after what the current stream holds. Names that
CuPy lacks are lacking.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from cuda_machine import engine
from cuda_machine.classes import Device, MemoryPointer, UnownedMemory, alloc, get_current_stream
from cuda_machine.errors import MachineError

_FROM_HOST = {"array", "asarray", "asanyarray", "ascontiguousarray", "asfortranarray", "copy"}
_OPERATORS = """add sub mul matmul truediv floordiv mod divmod pow lshift rshift and xor or""".split()
_COMPARISONS = "lt le eq ne gt ge neg pos abs invert getitem".split()


def _read() -> dict[str, dict[str, int]]:
    """CuPy's names by module, and the values of constants."""
    found: dict[str, dict[str, int]] = {}
    for line in Path(__file__).with_name("names.txt").read_text().splitlines():
        if line.startswith("["):
            words = found.setdefault(line.strip("[]"), {})
        elif not line.startswith("#"):
            for word in line.split():
                name, _, value = word.partition("=")
                words[name] = int(value or 0)
    return found


NAMES = _read()


class ndarray:  # noqa: N801 - CuPy's name
    """An array on memory of the device."""

    __slots__ = ("__weakref__", "_host", "base", "data")
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, shape: Any, dtype: Any = float, memptr: MemoryPointer | None = None, strides: Any = None,
                 order: str = "C") -> None:
        dtype = np.dtype(dtype)
        shape = (shape,) if isinstance(shape, int) else tuple(shape)
        low, high = 0, int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
        if strides is not None and high:
            reach = [(n - 1) * step for n, step in zip(shape, strides, strict=True)]
            low, high = sum(min(0, each) for each in reach), sum(max(0, each) for each in reach) + dtype.itemsize
        self.data = alloc(high) if memptr is None else memptr
        self.base = None
        memory = self.data.mem
        if high > low and not memory.ptr - low <= self.data.ptr <= memory.ptr + memory.size - high:
            raise MachineError("an array reaches beyond its memory")
        buffer = (ctypes.c_char * (high - low)).from_address(self.data.ptr + low) if high > low else None
        self._host = np.ndarray(shape, dtype, buffer, -low if buffer is not None else 0, strides,
                                order)  # type: ignore[arg-type]

    @property
    def device(self) -> Device:
        return self.data.device

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        return {"shape": self._host.shape, "typestr": self._host.dtype.str, "descr": self._host.dtype.descr,
                "version": 3, "strides": self._host.strides, "data": (self.data.ptr, False),
                "stream": get_current_stream().ptr or 1}

    @property
    def shape(self) -> tuple[int, ...]:
        return self._host.shape

    @shape.setter
    def shape(self, value: tuple[int, ...]) -> None:
        self._host.shape = value

    def __array__(self, *_: Any, **__: Any) -> Any:
        raise TypeError("Implicit conversion to a NumPy array is not allowed. Please use `.get()` to construct a NumPy "
                        "array explicitly.")

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        parts = function.__module__.split(".")[1:]
        found = function_of("cupy" if not parts else f"cupy.{parts[0]}", function.__name__)
        return found(*args, **kwargs)

    def __array_ufunc__(self, ufunc: Any, method: str, *args: Any, **kwargs: Any) -> Any:
        found = function_of("cupy", ufunc.__name__)
        return (found if method == "__call__" else getattr(found, method))(*args, **kwargs)

    def get(self, stream: Any = None, order: str = "C", out: Any = None, blocking: bool = True) -> Any:
        _wait(stream)
        if out is not None:
            out[...] = self._host
            return out
        return self._host.copy(order=order)  # type: ignore[arg-type]

    def set(self, arr: Any, stream: Any = None) -> None:
        if arr.shape != self.shape or arr.dtype != self.dtype:
            raise ValueError(f"{arr.dtype} array of shape {arr.shape} cannot be set to {self.dtype} of {self.shape}")
        _wait(stream)
        self._host[...] = arr

    def __dlpack__(self, stream: Any = None, **_: Any) -> Any:
        return self._host.__dlpack__()

    def __dlpack_device__(self) -> tuple[int, int]:
        return 2, self.data.device_id

    def __setitem__(self, key: Any, value: Any) -> None:
        _wait()
        self._host[_bare(key)] = _bare(value)

    def __len__(self) -> int:
        return len(self._host)

    def __iter__(self) -> Any:
        return (self[k] for k in range(len(self)))

    def __getattr__(self, name: str) -> Any:
        if name not in NAMES["cupy.ndarray"]:
            raise AttributeError(f"'cupy.ndarray' object has no attribute {name!r}")
        found = getattr(self._host, name)
        return _Call(found, name, self) if callable(found) else _dressed(found, [self])

    def __repr__(self) -> str:
        _wait()
        return repr(self._host)

    def __str__(self) -> str:
        _wait()
        return str(self._host)


def _wait(stream: Any = None) -> None:
    """Run what the current stream holds, and not what others hold."""
    one = get_current_stream() if stream is None else stream
    with engine.lock:
        if not engine.stream(one.ptr).graph:
            engine.synchronize(one.ptr)


def _bare(value: Any) -> Any:
    """NumPy's arrays in the places of ours."""
    if isinstance(value, ndarray):
        return value._host
    if isinstance(value, np.ndarray):
        raise TypeError(f"Unsupported type {np.ndarray}")
    if isinstance(value, tuple | list):
        return type(value)(map(_bare, value)) if not hasattr(value, "_fields") else type(value)(*map(_bare, value))
    return {key: _bare(each) for key, each in value.items()} if isinstance(value, dict) else value


def _sources(value: Any) -> list[ndarray]:
    if isinstance(value, ndarray):
        return [value]
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, tuple | list) else ()
    return [found for each in parts for found in _sources(each)]


def _dressed(result: Any, sources: list[ndarray]) -> Any:
    """Our arrays in the places of NumPy's: views of a source's memory stay that, all else gets memory of its own."""
    if isinstance(result, tuple | list):
        parts = [_dressed(each, sources) for each in result]
        return type(result)(*parts) if hasattr(result, "_fields") else type(result)(parts)
    if not isinstance(result, np.ndarray | np.generic):
        return result
    for each in sources:
        if result is each._host:
            return each
    host = np.asarray(result)
    made: ndarray = object.__new__(ndarray)
    low = host.ctypes.data
    for each in sources:
        memory = each.data.mem
        if host.size and not isinstance(result, np.generic) and memory.ptr <= low < memory.ptr + memory.size:
            made.data, made._host, made.base = MemoryPointer(memory, low - memory.ptr), host, each
            return made
    made.base, made.data = None, alloc(host.nbytes)
    plain = np.empty_like(host)      # its strides are those of CuPy's results
    made._host = np.ndarray(host.shape, host.dtype, (ctypes.c_char * max(1, host.nbytes)).from_address(
        made.data.ptr) if host.nbytes else None, 0, plain.strides)
    made._host[...] = host
    return made


class _Call:
    """A function, or a method, of NumPy's for our arrays; a ufunc's own methods are its attributes."""

    def __init__(self, function: Callable[..., Any], name: str, owner: ndarray | None = None) -> None:
        self._function, self.__name__, self._owner = function, name, owner

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        _wait()
        sources = _sources(args) + _sources(kwargs) + ([] if self._owner is None else [self._owner])
        if self.__name__ in _FROM_HOST and args and isinstance(args[0], np.ndarray) and self._owner is None:
            result = self._function(args[0], *args[1:], **kwargs)
        else:
            result = self._function(*_bare(args), **_bare(kwargs))
        if self._owner is not None and self.__name__ in ("tolist", "item", "tobytes"):
            return result
        return _dressed(result, sources)

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._function, name)
        return _Call(found, name) if callable(found) else found


def function_of(module: str, name: str) -> Any:
    """A member of one of CuPy's modules of array functions."""
    if name not in NAMES[module]:
        raise AttributeError(f"module {module!r} has no attribute {name!r}")
    home = np
    for part in module.split(".")[1:]:
        home = getattr(home, part)
    if not hasattr(home, name):
        raise AttributeError(f"the stand-in for {module!r} has no {name!r}")
    found = getattr(home, name)
    return _Call(found, name) if callable(found) and not isinstance(found, type) else found


class _Exported:
    """Memory of the device as NumPy takes it: as the host's, which it is here."""

    def __init__(self, array: Any) -> None:
        self._array = array

    def __dlpack__(self, **_: Any) -> Any:
        return self._array.__dlpack__(stream=get_current_stream().ptr or 1)

    def __dlpack_device__(self) -> tuple[int, int]:
        return 1, 0


def from_dlpack(array: Any) -> ndarray:
    if array.__dlpack_device__()[0] != 2:
        raise BufferError("only memory of a CUDA device is taken")
    host = np.from_dlpack(_Exported(array))
    address = host.ctypes.data
    whole = UnownedMemory(address, host.nbytes, (host, array)) if host.flags.c_contiguous else None
    if whole is None:
        piece = engine.within(address, 0, engine.DEVICE)
        assert piece is not None
        whole = UnownedMemory(piece.address, piece.size, (host, array))
    return ndarray(host.shape, host.dtype, MemoryPointer(whole, address - whole.ptr), host.strides)


def asnumpy(a: Any, stream: Any = None, order: str = "C", out: Any = None, *, blocking: bool = True) -> Any:
    return a.get(stream, order, out, blocking) if isinstance(a, ndarray) else np.asarray(a)


def _method(name: str) -> Callable[..., Any]:
    def method(self: ndarray, *args: Any) -> Any:
        function = getattr(self._host, name)
        if any(isinstance(each, np.ndarray) for each in args):
            raise TypeError(f"Unsupported type {np.ndarray}")
        return _Call(function, name, self)(*args)

    return method


def _number(name: str) -> Callable[[ndarray], Any]:
    def method(self: ndarray) -> Any:
        _wait()
        return getattr(self._host, name)()

    return method


for _name in (*_OPERATORS, *(f"r{each}" for each in _OPERATORS), *_COMPARISONS,
              *(f"i{each}" for each in _OPERATORS if each not in ("divmod", "matmul"))):
    setattr(ndarray, f"__{_name}__", _method(f"__{_name}__"))
for _name in ("bool", "int", "float", "complex"):
    setattr(ndarray, f"__{_name}__", _number(f"__{_name}__"))
