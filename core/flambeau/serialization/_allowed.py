"""The allow-list: what a file may name, and the constructor that each name is called through.

An allowed name is not a licence to call: `bytearray` would allocate what the file claims and `_codecs.encode` would
run any codec. So each callable on the list has a constructor here that checks its arguments. What the user adds with
`safe_globals` is called as it is.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable
from functools import cache
from types import FunctionType
from typing import Any

from flambeau import dtypes
from flambeau.device import device
from flambeau.serialization import _names, rebuild
from flambeau.serialization._unpickle import PLAIN_CONTAINERS, UnsafePickleError, check_key
from flambeau.serialization.safe import SafeGlobal
from flambeau.serialization.storage import TypedStorage, UntypedStorage
from flambeau.shapes import Size
from flambeau.tensor import Tensor

Constructor = Callable[..., Any]
Python2 = {"__builtin__": "builtins"}


class Builtin:
    """A callable that files may name although it must never be reached itself: only its constructor is."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return self.name


ENCODE = Builtin("_codecs.encode")


def _refuse(name: str, arguments: tuple[Any, ...]) -> UnsafePickleError:
    kinds = ", ".join(type(each).__name__ for each in arguments[:10])
    return UnsafePickleError(f"a call of {name} with arguments ({kinds}) that data does not need")


def _encode(*arguments: Any) -> bytes:
    """How protocol 2 writes bytes: as text of the same code points."""
    match arguments:
        case (str(text), "latin1" | "latin-1"):
            try:
                return text.encode("latin-1")
            except UnicodeEncodeError as error:
                raise UnsafePickleError(f"the pickle is damaged: bytes with a value over 255 ({error})") from error
    raise _refuse("_codecs.encode", arguments)


def _bytes(*arguments: Any) -> bytes:
    match arguments:
        case () | (bytes(),):
            return bytes(*arguments)
    raise _refuse("bytes", arguments)


def _bytearray(*arguments: Any) -> bytearray:
    match arguments:
        case () | (bytes(),):
            return bytearray(*arguments)
        case (str(), "latin1" | "latin-1"):
            return bytearray(_encode(*arguments))
    raise _refuse("bytearray", arguments)


def _members(name: str, kind: Callable[[Iterable[Any]], Any]) -> Constructor:
    def construct(*arguments: Any) -> Any:
        match arguments:
            case () | (list() | tuple(),):
                return kind([check_key(each) for each in arguments[0]] if arguments else [])
        raise _refuse(name, arguments)
    return construct


def _complex(*arguments: Any) -> complex:
    match arguments:
        case (float() as real, float() as imaginary):
            return complex(real, imaginary)
    raise _refuse("complex", arguments)


def _ordered_dict(*arguments: Any) -> OrderedDict[Any, Any]:
    match arguments:
        case ():
            return OrderedDict()
        case (list(pairs),) if all(type(each) in (list, tuple) and len(each) == 2 for each in pairs):
            return OrderedDict((check_key(key), value) for key, value in pairs)
    raise _refuse("OrderedDict", arguments)


def _counter(*arguments: Any) -> Counter[Any]:
    match arguments:
        case () | (dict(),):
            return Counter(*arguments)
    raise _refuse("Counter", arguments)


def _size(*arguments: Any) -> Size:
    match arguments:
        case (tuple() | list() as sizes,) if all(type(each) is int for each in sizes):
            return Size(sizes)
    raise _refuse("torch.Size", arguments)


def _device(*arguments: Any) -> device:
    match arguments:
        case (str(),) | (str(), int()):
            return device(*arguments)
    raise _refuse("torch.device", arguments)


def _is_layout(storage: Any, offset: Any, size: Any, stride: Any) -> bool:
    return (type(storage) in (TypedStorage, UntypedStorage) and type(offset) is int and isinstance(size, tuple | list)
            and isinstance(stride, tuple | list))


def _no_hooks(hooks: Any) -> bool:
    return hooks is None or (isinstance(hooks, dict) and not hooks)


def _tensor(*arguments: Any) -> Tensor:
    if len(arguments) == 4 and _is_layout(*arguments):
        return rebuild._rebuild_tensor(*arguments)
    raise _refuse("_rebuild_tensor", arguments)


def _tensor_v2(*arguments: Any) -> Tensor:
    match arguments:
        case (storage, offset, size, stride, bool(), hooks, *metadata) if (
                _is_layout(storage, offset, size, stride) and _no_hooks(hooks) and _is_metadata(metadata)):
            return rebuild._rebuild_tensor_v2(*arguments)
    raise _refuse("_rebuild_tensor_v2", arguments)


def _tensor_v3(*arguments: Any) -> Tensor:
    match arguments:
        case (storage, offset, size, stride, bool(), hooks, dtypes.dtype(), *metadata) if (
                _is_layout(storage, offset, size, stride) and _no_hooks(hooks) and _is_metadata(metadata)):
            return rebuild._rebuild_tensor_v3(*arguments)
    raise _refuse("_rebuild_tensor_v3", arguments)


def _is_metadata(rest: list[Any]) -> bool:
    return not rest or (len(rest) == 1 and (rest[0] is None or type(rest[0]) is dict))


def _parameter(*arguments: Any) -> Any:
    match arguments:
        case (Tensor(), bool(), hooks) if _no_hooks(hooks):
            return rebuild._rebuild_parameter(*arguments)
    raise _refuse("_rebuild_parameter", arguments)


def _parameter_with_state(*arguments: Any) -> Any:
    match arguments:
        case (Tensor(), bool(), hooks, dict() | tuple() | None) if _no_hooks(hooks):
            return rebuild._rebuild_parameter_with_state(*arguments)
    raise _refuse("_rebuild_parameter_with_state", arguments)


def _from_type(*arguments: Any) -> Any:
    match arguments:
        case (function, type() as kind, tuple() as inner, dict() | tuple() | None as state) if (
                kind in (Tensor, _parameter_class()) and _constructor(function) in _tensor_functions().values()):
            return rebuild._rebuild_from_type_v2(_tensor_functions()[function], kind, inner, state)
    raise _refuse("_rebuild_from_type_v2", arguments)


def _parameter_class() -> Any:
    from flambeau.nn import Parameter

    return Parameter


# imported only for files that name them
_LATE: dict[str, Callable[[], Any]] = {
    "torch.nn.parameter.Parameter": _parameter_class, "torch.nn.Parameter": _parameter_class}


def _tensor_functions() -> dict[Any, Constructor]:
    return {rebuild._rebuild_tensor: _tensor, rebuild._rebuild_tensor_v2: _tensor_v2,
            rebuild._rebuild_tensor_v3: _tensor_v3, rebuild._rebuild_parameter: _parameter,
            rebuild._rebuild_parameter_with_state: _parameter_with_state}


@cache
def builtin_names() -> dict[str, Any]:
    """Every name that needs no `safe_globals`, with the object that it stands for."""
    names: dict[str, Any] = {
        "collections.OrderedDict": OrderedDict, "collections.Counter": Counter, "_codecs.encode": ENCODE,
        "builtins.bytes": bytes, "builtins.bytearray": bytearray, "builtins.set": set,
        "builtins.frozenset": frozenset, "builtins.complex": complex,
        "torch.Size": Size, "torch.device": device, "torch.Tensor": Tensor,
        "torch._tensor._rebuild_from_type_v2": rebuild._rebuild_from_type_v2}
    names.update({f"torch.{each.name}": each for each in dtypes.ALL})
    names.update({f"torch._utils.{name}": getattr(rebuild, name) for name in _names.REBUILD})
    return names | _names.storage_classes()


@cache
def constructors() -> dict[Any, Constructor]:
    """What may be called, with the constructor that is called instead."""
    made: dict[Any, Constructor] = {
        OrderedDict: _ordered_dict, Counter: _counter, ENCODE: _encode, bytes: _bytes, bytearray: _bytearray,
        set: _members("set", set), frozenset: _members("frozenset", frozenset), complex: _complex, Size: _size,
        device: _device, rebuild._rebuild_from_type_v2: _from_type}
    return made | _tensor_functions()


def _constructor(function: Any) -> Constructor | None:
    """The constructor for a function; anything that is no function is not even hashed."""
    return constructors().get(function) if type(function) in (type, FunctionType, Builtin) else None


class AllowList:
    """What one `load` may use: the names above and what the user has added."""

    def __init__(self, added: Iterable[SafeGlobal]) -> None:
        self._names: dict[str, Any] = {}
        self._ours: list[tuple[str, str, Any]] = []
        for entry in added:
            self._add(*entry) if isinstance(entry, tuple) else self._add(entry, None)
        self._added = list(self._names.values())

    def _add(self, target: Any, name: str | None) -> None:
        module, label = getattr(target, "__module__", "builtins"), getattr(target, "__qualname__", repr(target))
        self._names[name or f"{module}.{label}"] = target
        if _names.is_ours(module):
            self._ours.append((*_names.written_as(target, module, label), target))

    def _is_added(self, value: Any) -> bool:
        return any(value is each for each in self._added)

    def find(self, module: str, name: str) -> Any:
        """The object that a name stands for; UnsafePickleError if it is not allowed."""
        module = Python2.get(module, module)
        full = f"{module}.{name}"
        if full in self._names:
            return self._names[full]
        for place, label, target in self._ours:  # PyTorch names a class by the module below its public place
            if label == name and (module == place or module.startswith(place + ".")):
                return target
        if full in builtin_names():
            return builtin_names()[full]
        if full in _LATE:
            return _LATE[full]()
        raise self._refusal(full)

    def _refusal(self, full: str) -> UnsafePickleError:
        shown = full if len(full) <= 200 else full[:200] + "..."
        added = ", ".join(sorted(self._names)[:20]) or "nothing"
        name = shown.rpartition(".")[2]
        return UnsafePickleError(
            f"the file asks for the global {shown!r}, which is not allowed; allowed: tensors, parameters, dtypes, "
            f"devices, sizes, OrderedDict, Counter and Python's plain data types, and what safe_globals adds "
            f"({added}). If you know this object and trust its code, load inside "
            f"`with torch.serialization.safe_globals([{name}]):`")

    def call(self, function: Any, arguments: tuple[Any, ...]) -> Any:
        """The result of a call; UnsafePickleError if the function or the arguments are not allowed."""
        if self._is_added(function):
            return function(*arguments)
        construct = _constructor(function)
        if construct is None:
            raise UnsafePickleError(f"a call of a {type(function).__name__}, which is nothing that data calls")
        return construct(*arguments)

    def make(self, cls: Any, arguments: tuple[Any, ...]) -> Any:
        """A new instance without a call of `__init__`; UnsafePickleError if the class is not allowed."""
        if self._is_added(cls) and isinstance(cls, type):
            return cls.__new__(cls, *arguments)
        if cls is Size:
            return _size(*arguments)
        raise UnsafePickleError(f"a new instance of {getattr(cls, '__name__', type(cls).__name__)}, a class that "
                                "safe_globals does not name")

    def set_state(self, instance: Any, state: Any) -> None:
        """Set an instance's state; UnsafePickleError if its class is not allowed."""
        kind = type(instance)
        if self._is_added(kind):
            _set_state(instance, state)
        elif kind is OrderedDict and type(state) is dict and all(
                type(key) is str and not key.startswith("__") for key in state):
            instance.__dict__.update(state)  # where a state_dict keeps its `_metadata`
        else:
            raise UnsafePickleError(f"it sets the state of a {kind.__name__}, which is nothing that data needs")

    def is_container(self, value: Any, kind: type) -> bool:
        """Whether items may be added to this list, dict or set."""
        return type(value) in PLAIN_CONTAINERS[kind] or self._is_added(type(value))


def _set_state(instance: Any, state: Any) -> None:
    """What Python's unpickler does, for an instance of a class that the user allowed."""
    setter = getattr(instance, "__setstate__", None)
    if setter is not None:
        setter(state)
        return
    attributes, slots = state if isinstance(state, tuple) and len(state) == 2 else (state, None)
    for name, value in {**(attributes or {}), **(slots or {})}.items():
        setattr(instance, name, value)
