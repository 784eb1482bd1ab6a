"""Reading CIFAR's files, the pickled ones and the binary ones.

A pickle may run any code when it is read by Python's own means, and these come from the internet. They hold
dictionaries, lists, strings and one array, so no more than that is understood: an array is made by a stand-in of our
own, and whatever else the pickle names is refused.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import flambeau
from flambeau.dtypes import int32, int64, uint8
from flambeau.errors import FlambeauError
from flambeau.serialization._unpickle import SafeUnpickler, UnsafePickleError
from flambeau.tensor import Tensor

SIDE = 32
PIXELS = 3 * SIDE * SIDE
_DTYPES = {"u1": uint8, "i4": int32, "i8": int64}


class DamagedDataError(FlambeauError, RuntimeError, ValueError):
    """A file that is not what it is taken for, or of which a part is missing."""


def damaged(path: Path, what: str) -> DamagedDataError:
    """The error that says what is wrong with a file, and what to do."""
    return DamagedDataError(f"{path}: Dataset file corrupted: {what}. Delete it and get it anew, for example "
                            "with download=True")  # fmt: skip


class _ArrayKind:
    """Stands for numpy.ndarray."""


class _Dtype:
    """Stands for numpy.dtype, and in an instance for one of them."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.order = "|"


class _Array:
    """An array in the making: what the pickle sets as its state makes it whole."""

    tensor: Tensor | None = None

    def fill(self, state: Any) -> None:
        """Take over the state of an array: version, shape, dtype, whether columns come first, bytes."""
        match state:
            case (int(), tuple() as shape, _Dtype(name=name, order=order), bool() as fortran, (bytes() | str()) as raw):
                pass
            case _:
                raise UnsafePickleError("an array with a state that is not one")
        if name not in _DTYPES or order == ">":
            raise UnsafePickleError(f"an array of dtype {order}{name}; allowed: {', '.join(_DTYPES)}, little-endian")
        if not all(type(size) is int and size >= 0 for size in shape):
            raise UnsafePickleError(f"an array of shape {shape}")
        content = bytearray(raw if isinstance(raw, bytes) else raw.encode("latin-1"))
        if len(content) != math.prod(shape) * int(name[1:]):
            raise UnsafePickleError(f"an array of shape {shape} and dtype {name} with {len(content)} bytes")
        values = flambeau.frombuffer(content, dtype=_DTYPES[name]) if content else flambeau.empty(0)
        if fortran:
            self.tensor = values.reshape(shape[::-1]).permute(*range(len(shape))[::-1])
        else:
            self.tensor = values.reshape(shape)


_RECONSTRUCT, _ENCODE = object(), object()
_NAMES: dict[tuple[str, str], Any] = {
    ("numpy.core.multiarray", "_reconstruct"): _RECONSTRUCT,
    ("numpy._core.multiarray", "_reconstruct"): _RECONSTRUCT,
    ("numpy", "ndarray"): _ArrayKind,
    ("numpy", "dtype"): _Dtype,
    ("_codecs", "encode"): _ENCODE,
}


class _Allowed:
    """What these pickles may do; see `flambeau.serialization._unpickle.Globals`."""

    def find(self, module: str, name: str) -> Any:
        """A stand-in for one of the names that arrays need."""
        found = _NAMES.get((module, name))
        if found is None:
            raise UnsafePickleError(f"it names {module}.{name}, which data does not need")
        return found

    def call(self, function: Any, arguments: tuple[Any, ...]) -> Any:
        """An empty array, a dtype, or bytes."""
        if function is _RECONSTRUCT and arguments[:1] == (_ArrayKind,):
            return _Array()
        if function is _Dtype and arguments and isinstance(arguments[0], str):
            return _Dtype(arguments[0])
        if function is _ENCODE:
            match arguments:
                case (str(text), "latin1" | "latin-1"):
                    return _latin1(text)
        raise UnsafePickleError("it calls something that data does not need")

    def make(self, cls: Any, arguments: tuple[Any, ...]) -> Any:
        """Nothing is made this way."""
        raise UnsafePickleError("it makes an object that data does not need")

    def set_state(self, instance: Any, state: Any) -> None:
        """The state of an array or of a dtype."""
        if isinstance(instance, _Array):
            instance.fill(state)
            return
        match instance, state:
            case _Dtype(), (int(), "|" | "<" | ">" as order, *_):
                instance.order = order
            case _:
                raise UnsafePickleError("it sets a state that data does not have")

    def is_container(self, value: Any, kind: type) -> bool:
        """Plain lists and dicts can be added to."""
        return type(value) is kind


def _latin1(text: str) -> bytes:
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError as error:
        raise UnsafePickleError(f"bytes with a value over 255 ({error})") from error


def _no_references(reference: Any) -> Any:
    raise UnsafePickleError("it refers to something outside of the file")


def read_pickle(path: Path) -> dict[str, Any]:
    """The dictionary in a pickled file, with names for keys and tensors for arrays.

    Raises DamagedDataError (a RuntimeError and ValueError) where there is anything else in it.
    """
    try:
        content = SafeUnpickler(path.read_bytes(), _Allowed(), _no_references, encoding="latin1").load()
    except UnsafePickleError as error:
        raise damaged(path, str(error)) from error
    if not isinstance(content, dict):
        raise damaged(path, f"it holds a {type(content).__name__}, expected a dict")
    return {key.decode("latin-1") if isinstance(key, bytes) else key: _plain(value) for key, value in content.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, _Array):
        return value.tensor
    if isinstance(value, list):
        return [each.decode("latin-1") if isinstance(each, bytes) else each for each in value]
    return value


def read_pickled_batch(path: Path) -> tuple[Tensor, list[int]]:
    """Pictures (n, 3, 32, 32) and labels of a file of the Python version."""
    content = read_pickle(path)
    data, labels = content.get("data"), content.get("labels", content.get("fine_labels"))
    if not isinstance(data, Tensor) or data.dtype != uint8 or data.ndim != 2 or data.shape[1] != PIXELS:
        raise damaged(path, f"its \"data\" is no uint8 array of shape (n, {PIXELS})")
    if isinstance(labels, Tensor):
        labels = labels.tolist()
    if not isinstance(labels, list) or not all(type(label) is int for label in labels):
        raise damaged(path, 'it has neither "labels" nor "fine_labels" that are a list of numbers')
    if len(labels) != len(data):
        raise damaged(path, f"it holds {len(data)} pictures, but {len(labels)} labels")
    return data.reshape(-1, 3, SIDE, SIDE), labels


def read_binary_batch(path: Path, label_bytes: int) -> tuple[Tensor, list[int]]:
    """Pictures (n, 3, 32, 32) and labels of a file of the binary version, the last of `label_bytes` for each."""
    content = bytearray(path.read_bytes())
    size = label_bytes + PIXELS
    if not content or len(content) % size:
        raise damaged(path, f"it holds {len(content)} bytes, which is not a whole number of records of {size} bytes")
    records = flambeau.frombuffer(content, dtype=uint8).reshape(-1, size)
    return records[:, label_bytes:].reshape(-1, 3, SIDE, SIDE), records[:, label_bytes - 1].tolist()
