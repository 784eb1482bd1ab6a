"""Python's pickle with two changes: tensors' bytes stay outside, and names are PyTorch's.

The names are changed while writing, in `save_global`; only Python's own implementation of the pickler in Python has
that method, and a file's structure is small enough that its speed does not matter: the bytes are not pickled.
"""

from __future__ import annotations

import codecs
import io
import pickle
import sys
from collections import OrderedDict
from collections.abc import Callable
from types import FunctionType, ModuleType
from typing import Any, ClassVar

from flambeau.serialization import _names, rebuild
from flambeau.serialization._unpickle import UnsafePickleError
from flambeau.serialization.options import location_tag
from flambeau.serialization.storage import FileFormatError, TypedStorage, UntypedStorage
from flambeau.shapes import Size
from flambeau.tensor import Tensor


class Structure:
    """A pickled object without its storages: `data` names them by their key, their index in `storages`.

    `itemsizes` are those of the dtypes under which the storages were first named.
    """

    __slots__ = ("data", "itemsizes", "protocol", "storages")

    def __init__(self, protocol: int) -> None:
        self.data = b""
        self.protocol = protocol
        self.storages: list[UntypedStorage] = []
        self.itemsizes: list[int] = []


class Describer:
    """Turns tensors and storages into what the format says of them, and collects the storages."""

    def __init__(self, structure: Structure, legacy: bool) -> None:
        self._legacy = legacy
        self._structure = structure
        self._keys: dict[UntypedStorage, tuple[int, _names.StorageClass]] = {}

    def persistent_id(self, value: Any) -> tuple[Any, ...] | None:
        """What stands in the pickle for a storage."""
        if isinstance(value, UntypedStorage):
            return self._reference(value, _names.UNTYPED_CLASS)
        if isinstance(value, TypedStorage):
            return self._reference(value.untyped(), self._class_for(value.untyped(), value.dtype.name))
        return None

    def _reference(self, storage: UntypedStorage, kind: _names.StorageClass) -> tuple[Any, ...]:
        itemsize = 1 if kind.dtype_name is None else _itemsize(kind.dtype_name)
        if storage not in self._keys:
            self._keys[storage] = len(self._keys), kind
            self._structure.storages.append(storage)
            self._structure.itemsizes.append(itemsize)
        reference = ("storage", kind, str(self._keys[storage][0]), location_tag(storage), storage.nbytes() // itemsize)
        return (*reference, None) if self._legacy else reference  # None: a view of another storage, no longer used

    def _class_for(self, storage: UntypedStorage, dtype_name: str) -> _names.StorageClass:
        """The storage class of a dtype where one exists and agrees with what was already written of the storage."""
        kind = _names.BY_DTYPE.get(dtype_name, _names.UNTYPED_CLASS)
        if storage in self._keys and self._keys[storage][1] is not kind:
            return _names.UNTYPED_CLASS
        if kind.dtype_name is not None and storage.nbytes() % _itemsize(kind.dtype_name):
            return _names.UNTYPED_CLASS
        return kind

    def layout(self, tensor: Tensor) -> rebuild.Reduced:
        """How the format describes a plain tensor."""
        storage = UntypedStorage.of(tensor)
        arguments: tuple[Any, ...] = (
            tensor.storage_offset(), tuple(tensor.shape), tuple(tensor.stride()), tensor.requires_grad, OrderedDict())
        if self._class_for(storage, tensor.dtype.name).dtype_name is None:
            if self._legacy:
                raise FileFormatError(f"save: the format before the zip one cannot hold {tensor.dtype} (or one storage "
                                      "as two dtypes); leave _use_new_zipfile_serialization at True")
            return rebuild._rebuild_tensor_v3, (storage, *arguments, tensor.dtype)
        return rebuild._rebuild_tensor_v2, (TypedStorage(storage, tensor.dtype), *arguments)

    def reduce(self, value: Any) -> Any:
        """The format's description of what it writes in a way of its own; NotImplemented for everything else."""
        if isinstance(value, Tensor) and type(value).__reduce_ex__ is Tensor.__reduce_ex__:
            if rebuild.is_a(value, "Buffer"):  # in PyTorch a buffer is a plain tensor
                return self.layout(value)
            return rebuild.reduce_tensor(value, 2, self.layout)
        if type(value) is Size:
            return Size, (tuple(value),)
        if type(value) is bytes and not value:  # otherwise a call of `bytes`, which PyTorch does not allow
            return codecs.encode, ("", "latin1")
        return NotImplemented


def parse_reference(reference: Any, lengths: tuple[int, ...]) -> tuple[_names.StorageClass, str, str, int]:
    """The parts of a reference to a storage. UnpicklingError for anything else."""
    if type(reference) is tuple and len(reference) in lengths:
        tag, kind, key, location, count = (_text(each) for each in reference[:5])
        if (type(tag) is type(key) is type(location) is str and tag == "storage" and type(count) is int and count >= 0
                and type(kind) is _names.StorageClass):
            return kind, key, location, count
    raise UnsafePickleError("a reference to something that is no storage; the file is damaged or was tampered with")


def _text(value: Any) -> Any:
    return value.decode("latin-1") if type(value) is bytes else value  # how files of Python 2 may be read


def _itemsize(dtype_name: str) -> int:
    from flambeau.dtypes import by_name

    return by_name(dtype_name).itemsize


_PythonPickler: Any = pickle._Pickler


class Pickler(_PythonPickler):  # type: ignore[misc]
    """Writes names as PyTorch's, storages as references."""

    dispatch: ClassVar[dict[type, Callable[..., None]]] = dict(_PythonPickler.dispatch)

    def __init__(self, file: io.BytesIO, protocol: int, describer: Describer) -> None:
        super().__init__(file, protocol)
        self._describer = describer

    def persistent_id(self, value: Any) -> Any:
        """What stands for a storage; None for other values."""
        return self._describer.persistent_id(value)

    def reducer_override(self, value: Any) -> Any:
        """The description of a tensor; NotImplemented for what pickle describes itself."""
        return self._describer.reduce(value)

    def save_global(self, value: Any, name: str | None = None) -> None:
        """Write a class, function or dtype by name."""
        label: str = name or getattr(value, "__qualname__", None) or value.__name__
        module = getattr(value, "__module__", None)
        if isinstance(module, str) and _names.is_ours(module) and _is_at(value, module, label):
            self._write_name(value, *_names.written_as(value, module, label))
        else:
            super().save_global(value, name)

    def save_storage_class(self, value: _names.StorageClass) -> None:
        """Write a storage class by name."""
        self._write_name(value, *value.place)

    def _write_name(self, value: Any, module: str, name: str) -> None:
        self.write(b"c" + f"{module}\n{name}\n".encode())
        self.memoize(value)

    dispatch[FunctionType] = save_global
    dispatch[_names.StorageClass] = save_storage_class


def _is_at(value: Any, module: str, name: str) -> bool:
    found: Any = sys.modules.get(module)
    for part in name.split("."):
        found = getattr(found, part, None)
    return found is value


def dump(obj: object, pickle_module: ModuleType | None, protocol: int, legacy: bool = False) -> Structure:
    """Pickle `obj`, with its storages aside."""
    structure = Structure(protocol)
    describer = Describer(structure, legacy)
    file = io.BytesIO()
    if pickle_module is None or pickle_module is pickle:
        Pickler(file, protocol, describer).dump(obj)
    else:
        _foreign(pickle_module, file, protocol, describer).dump(obj)
    structure.data = file.getvalue()
    return structure


def _foreign(pickle_module: ModuleType, file: io.BytesIO, protocol: int, describer: Describer) -> Any:
    """Another module's pickler: names stay as it writes them, storages are references all the same."""
    base: Any = pickle_module.Pickler

    class ForeignPickler(base):  # type: ignore[misc]
        def persistent_id(self, value: Any) -> Any:
            return describer.persistent_id(value)

        def reducer_override(self, value: Any) -> Any:
            described = describer.reduce(value)
            inherited = getattr(super(), "reducer_override", None)
            if described is NotImplemented and inherited is not None:
                return inherited(value)
            return described

    return ForeignPickler(file, protocol)


def unpickler(pickle_module: ModuleType | None, file: Any, persistent_load: Callable[[Any], Any],
              options: dict[str, Any]) -> Any:
    """An unpickler for trusted data: it finds our objects under PyTorch's names, and runs whatever it is told to."""
    base: Any = (pickle_module or pickle).Unpickler

    class TrustingUnpickler(base):  # type: ignore[misc]
        def find_class(self, module: str, name: str) -> Any:
            if _names.is_theirs(module):
                return _names.find(module, name)
            return super().find_class(module, name)

        def persistent_load(self, reference: Any) -> Any:
            return persistent_load(reference)

    return TrustingUnpickler(file, **{"encoding": "utf-8", **options})
