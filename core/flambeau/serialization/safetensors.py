"""The safetensors format: named tensors and nothing else, in a file that can be mapped into memory.

    8 bytes   the header's length, little-endian
    header    JSON: name -> {"dtype", "shape", "data_offsets": [begin, end]}; "__metadata__" -> texts
    data      the tensors' elements, row by row, one after the other

There is no code in such a file, and a reader that checks the header has checked everything: each tensor's place must
hold exactly what its dtype and shape need, and the places must fill the data without gaps or overlaps. The names are
those of the `safetensors` package's module for PyTorch; its files and these are the same.
Source: https://huggingface.co/docs/safetensors
"""

from __future__ import annotations

import json
import math
import mmap as memory_map
import os
from collections.abc import Iterable, Iterator, Mapping
from itertools import pairwise
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeAlias

from flambeau.dtypes import by_name, dtype
from flambeau.errors import ArgumentTypeError, FlambeauError
from flambeau.serialization.storage import FileFormatError, UntypedStorage

if TYPE_CHECKING:
    from flambeau.tensor import Tensor

__all__ = ["SafetensorError", "load", "load_file", "safe_open", "save", "save_file"]

Path: TypeAlias = "str | os.PathLike[str]"

DTYPES = {
    "F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16", "I64": "int64", "I32": "int32",
    "I16": "int16", "I8": "int8", "U64": "uint64", "U32": "uint32", "U16": "uint16", "U8": "uint8", "BOOL": "bool",
    "F8_E4M3": "float8_e4m3fn", "F8_E5M2": "float8_e5m2", "C64": "complex64"}
_CODES = {name: code for code, name in DTYPES.items()}
_METADATA = "__metadata__"
_LENGTH = 8
LONGEST_HEADER = 100_000_000
CHUNK = 1 << 26


class SafetensorError(FileFormatError):
    """A file that is no safetensors file, or a damaged one."""


class SharedMemoryError(FlambeauError, RuntimeError):
    """Tensors that share memory, which the format cannot express."""


# -- writing

def save_file(tensors: Mapping[str, Tensor], filename: Path, metadata: Mapping[str, str] | None = None) -> None:
    """Write named tensors to a file, atomically; `metadata` are texts to keep with them.

    Raises TypeError for values that are no tensors, RuntimeError for tensors that share memory (each would be written
    whole: use `save_sharded`, or leave all but one out) and for dtypes that the format does not have.

    >>> import os, tempfile
    >>> import flambeau as torch
    >>> from flambeau.serialization.safetensors import load_file, save_file
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "model.safetensors")
    ...     save_file({"weight": torch.ones(2, 2)}, path, metadata={"format": "pt"})
    ...     load_file(path)
    {'weight': tensor([[1., 1.],
            [1., 1.]])}
    """
    from flambeau.serialization import _files

    header, ordered = _prepared(tensors, metadata)
    with _files.open_for_writing(filename) as (file, _):
        file.write(header)
        for tensor in ordered:
            data = _bytes_of(tensor)
            for begin in range(0, data.nbytes, CHUNK):
                file.write(data[begin:begin + CHUNK])


def save(tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None) -> bytes:
    """What `save_file` would write, as bytes.

    >>> import flambeau as torch
    >>> from flambeau.serialization.safetensors import load, save
    >>> load(save({"bias": torch.arange(3)}))
    {'bias': tensor([0, 1, 2])}
    """
    header, ordered = _prepared(tensors, metadata)
    return b"".join([header, *(bytes(_bytes_of(tensor)) for tensor in ordered)])


def _prepared(tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None) -> tuple[bytes, list[Tensor]]:
    """The header, and the tensors in the order of their bytes: large dtypes first, so that each is aligned."""
    _check(tensors, metadata)
    names = sorted(tensors, key=lambda name: (-tensors[name].dtype.itemsize, name))
    header: dict[str, Any] = {} if metadata is None else {_METADATA: dict(metadata)}
    end = 0
    for name in names:
        tensor, begin = tensors[name], end
        end += tensor.numel() * tensor.dtype.itemsize
        header[name] = {"dtype": _CODES[tensor.dtype.name], "shape": list(tensor.shape), "data_offsets": [begin, end]}
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % _LENGTH)
    return len(text).to_bytes(_LENGTH, "little") + text, [tensors[name] for name in names]


def _check(tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None) -> None:
    from flambeau.tensor import Tensor

    if not isinstance(tensors, Mapping):
        raise ArgumentTypeError(f"save_file: expected a mapping of names to tensors, got {type(tensors).__name__}")
    for name, tensor in tensors.items():
        if not isinstance(name, str) or not isinstance(tensor, Tensor):
            raise ArgumentTypeError(f"save_file: Key `{name}` is invalid, expected torch.Tensor but received "
                                    f"{type(tensor).__name__}; the format holds named tensors only")
        if tensor.dtype.name not in _CODES:
            raise FileFormatError(f"save_file: the format has no {tensor.dtype}, the dtype of {name!r}; convert it")
    for key, value in (metadata or {}).items():
        if not isinstance(key, str) or not isinstance(value, str):
            raise ArgumentTypeError(f"save_file: metadata must be texts by name, and {key!r} is {value!r}")
    shared = [names for names in sharing(tensors) if len(names) > 1]
    if shared:
        raise SharedMemoryError(
            f"save_file: Some tensors share memory, this will lead to duplicate memory on disk and potential "
            f"differences when loading them again: {[set(names) for names in shared]}; save all but one of each, or "
            "use torch.serialization.save_sharded, which does")


def sharing(tensors: Mapping[str, Tensor]) -> list[list[str]]:
    """The names in groups: those of one group view the same storage.

    >>> import flambeau as torch
    >>> x = torch.zeros(2, 2)
    >>> sharing({"a": x, "b": x.t(), "c": torch.ones(1)})
    [['a', 'b'], ['c']]
    """
    groups: dict[Any, list[str]] = {}
    for name, tensor in tensors.items():
        storage = UntypedStorage.of(tensor) if tensor.numel() else name
        groups.setdefault(storage, []).append(name)  # holding the storage keeps its identity
    return list(groups.values())


def _bytes_of(tensor: Tensor) -> memoryview:
    """A tensor's elements in order."""
    plain = tensor.detach().cpu().contiguous()
    data = UntypedStorage.of(plain).buffer()
    begin = plain.storage_offset() * plain.dtype.itemsize
    return data[begin:begin + plain.numel() * plain.dtype.itemsize]


# -- reading

class _Entry:
    """Where a tensor is in the data, and what it is."""

    __slots__ = ("begin", "dtype", "end", "shape")

    def __init__(self, name: str, given: Any) -> None:
        try:
            code, shape, (begin, end) = given["dtype"], given["shape"], given["data_offsets"]
        except (TypeError, KeyError, ValueError) as error:
            raise _invalid(f"{name!r} lacks its dtype, shape or data_offsets") from error
        numbers = [*shape, begin, end] if isinstance(shape, list) else [None]
        if not all(type(each) is int and 0 <= each < 1 << 63 for each in numbers):
            raise _invalid(f"the shape and the offsets of {name!r} must be whole numbers")
        if code not in DTYPES:
            raise _invalid(f"{name!r} has the dtype {str(code)[:20]!r}; known: {', '.join(DTYPES)}")
        self.dtype: dtype = by_name(DTYPES[code])
        self.shape: list[int] = shape
        self.begin, self.end = begin, end
        if end - begin != math.prod(shape) * self.dtype.itemsize:
            raise _invalid(f"{name!r} has {end - begin} bytes, and its shape {shape[:10]} of {code} needs "
                           f"{math.prod(shape) * self.dtype.itemsize}")


def _invalid(what: str) -> SafetensorError:
    return SafetensorError(f"Error while deserializing header: {what}; the file is damaged, or no safetensors file")


def _parsed(head: memoryview, total: int) -> tuple[dict[str, _Entry], dict[str, str], int]:
    """The entries, the metadata and where the data begins, of a file of `total` bytes that begins with `head`."""
    if total < _LENGTH:
        raise _invalid("header too small: the file has fewer than eight bytes")
    length = int.from_bytes(head[:_LENGTH], "little")
    if length > LONGEST_HEADER:
        raise _invalid(f"header too large: {length} bytes")
    if _LENGTH + length > total:
        raise _invalid(f"invalid header length: {length} bytes in a file of {total}")
    try:
        header = json.loads(bytes(head[_LENGTH:_LENGTH + length]).decode(), object_pairs_hook=_once)
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise _invalid(f"invalid JSON in header: {error}") from error
    if not isinstance(header, dict):
        raise _invalid("the header is no JSON object")
    metadata = header.pop(_METADATA, None) or {}
    if not isinstance(metadata, dict) or not all(isinstance(each, str) for each in metadata.values()):
        raise _invalid("the metadata must be texts by name")
    entries = {name: _Entry(name, given) for name, given in header.items()}
    places = sorted((each.begin, each.end) for each in entries.values())
    if any(second[0] != first[1] for first, second in pairwise([(0, 0), *places])):
        raise _invalid("the tensors' offsets overlap or leave gaps")
    if (places[-1][1] if places else 0) != total - _LENGTH - length:
        raise _invalid("incomplete metadata: the tensors do not fill the file; it is truncated, or longer than it was")
    return entries, metadata, _LENGTH + length


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _invalid("a name is there twice")
    return found


class safe_open:  # noqa: N801 - the package's name
    """A safetensors file, opened to read some of its tensors; a context manager.

    Tensors on the host are views of the mapped file: their bytes are read when they are touched, and what is changed in
    them stays in memory. `framework` is accepted for the package's sake ("pt").

    >>> import os, tempfile
    >>> import flambeau as torch
    >>> from flambeau.serialization.safetensors import safe_open, save_file
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "model.safetensors")
    ...     save_file({"a": torch.arange(6).reshape(3, 2), "b": torch.ones(1)}, path)
    ...     with safe_open(path, framework="pt") as file:
    ...         file.keys(), file.get_slice("a")[1:].tolist()
    (['a', 'b'], [[2, 3], [4, 5]])
    """

    def __init__(self, filename: Path, framework: str = "pt", device: Any = "cpu") -> None:
        with open(filename, "rb") as file:
            total = file.seek(0, os.SEEK_END)
            data = memory_map.mmap(file.fileno(), 0, access=memory_map.ACCESS_COPY) if total else b""
        self._device = device
        self._data = memoryview(data)
        self._entries, self._metadata, self._begin = _parsed(self._data, total)

    def __enter__(self) -> safe_open:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 traceback: TracebackType | None) -> None:
        self._data = memoryview(b"")  # the mapping lives as long as a tensor views it

    def keys(self) -> list[str]:
        """The tensors' names, sorted."""
        return sorted(self._entries)

    def offset_keys(self) -> list[str]:
        """The tensors' names in the order of their bytes."""
        return sorted(self._entries, key=lambda name: self._entries[name].begin)

    def __iter__(self) -> Iterator[str]:
        return iter(self.keys())

    def metadata(self) -> dict[str, str] | None:
        """The texts that were kept with the tensors; None if there are none."""
        return dict(self._metadata) or None

    def get_tensor(self, name: str) -> Tensor:
        """One tensor. SafetensorError if there is none of that name."""
        return _tensor(self._entry(name), self._data[self._begin:]).to(self._device)

    def get_slice(self, name: str) -> TensorSlice:
        """One tensor of which only a part will be read: `file.get_slice(name)[:10]`."""
        return TensorSlice(self._entry(name), self._data[self._begin:], self._device)

    def _entry(self, name: str) -> _Entry:
        if name not in self._entries:
            raise SafetensorError(f"File does not contain tensor {name}; it has {', '.join(self.keys()[:20])}")
        return self._entries[name]


class TensorSlice:
    """A tensor in a file, to be indexed: only what is asked for is read."""

    def __init__(self, entry: _Entry, data: memoryview, device: Any) -> None:
        self._entry, self._data, self._device = entry, data, device

    def get_shape(self) -> list[int]:
        """The whole tensor's shape."""
        return list(self._entry.shape)

    def get_dtype(self) -> str:
        """The dtype's name in the file ("F32")."""
        return _CODES[self._entry.dtype.name]

    def __getitem__(self, index: Any) -> Tensor:
        return _tensor(self._entry, self._data)[index].clone().to(self._device)


def _tensor(entry: _Entry, data: memoryview) -> Tensor:
    piece = data[entry.begin:entry.end]
    address = UntypedStorage.from_buffer(piece).data_ptr() if piece.nbytes else 0
    if piece.readonly or address % entry.dtype.itemsize:  # another writer's file may have its tensors anywhere
        piece = memoryview(bytearray(piece))
    shape, strides, step = entry.shape, [0] * len(entry.shape), 1
    for place in range(len(shape) - 1, -1, -1):
        strides[place], step = step, step * max(shape[place], 1)
    return UntypedStorage.from_buffer(piece).tensor(entry.dtype, shape, strides, 0)


def load_file(filename: Path, device: Any = "cpu") -> dict[str, Tensor]:
    """All tensors of a file by name, on a device; on the host they view the mapped file, which is not read before.

    Raises FileNotFoundError, and SafetensorError (a RuntimeError) for a damaged file. See `save_file` for an example.
    """
    with safe_open(filename, device=device) as file:
        return {name: file.get_tensor(name) for name in file.offset_keys()}


def load(data: bytes) -> dict[str, Tensor]:
    """The tensors in what `save` returned; see there.

    Raises SafetensorError for damaged data.
    """
    view = memoryview(data)
    entries, _, begin = _parsed(view, view.nbytes)
    names: Iterable[str] = sorted(entries, key=lambda name: entries[name].begin)
    return {name: _tensor(entries[name], view[begin:]) for name in names}
