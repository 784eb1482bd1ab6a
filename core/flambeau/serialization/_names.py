"""PyTorch's names for our classes and functions, and ours for PyTorch's.

Files name classes by module and name. What we write must be found by PyTorch, which arranges its modules in its own
way; both libraries agree on the *public* places (`torch.nn.Linear`, not the module where the class is defined). So a
name is written as the shortest public place that holds the object, and looked up from the module that the file names
upwards through its parents. The few names that are private to the format are in tables.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

OURS, THEIRS = "flambeau", "torch"

# storage classes of the format; every other dtype is written as an untyped storage
STORAGE_CLASSES = {
    "DoubleStorage": "float64", "FloatStorage": "float32", "HalfStorage": "float16", "BFloat16Storage": "bfloat16",
    "LongStorage": "int64", "IntStorage": "int32", "ShortStorage": "int16", "CharStorage": "int8",
    "ByteStorage": "uint8", "BoolStorage": "bool", "ComplexFloatStorage": "complex64",
    "ComplexDoubleStorage": "complex128"}
UNTYPED = "UntypedStorage"

REBUILD = ("_rebuild_tensor", "_rebuild_tensor_v2", "_rebuild_tensor_v3", "_rebuild_parameter",
           "_rebuild_parameter_with_state")

# public places whose objects PyTorch's allow-list knows under another name
_CANONICAL = {("torch.nn", "Parameter"): ("torch.nn.parameter", "Parameter")}


class StorageClass:
    """Stands for a storage class of the format: the dtype of its elements, None for bytes of no dtype."""

    __slots__ = ("dtype_name", "name")

    def __init__(self, name: str, dtype_name: str | None) -> None:
        self.name = name
        self.dtype_name = dtype_name

    @property
    def place(self) -> tuple[str, str]:
        """The module and name under which files name it."""
        return (THEIRS + ".storage" if self.dtype_name is None else THEIRS), self.name

    def __reduce__(self) -> tuple[Any, tuple[str, str]]:
        return find, self.place

    def __repr__(self) -> str:
        return self.name


UNTYPED_CLASS = StorageClass(UNTYPED, None)
BY_DTYPE = {dtype_name: StorageClass(name, dtype_name) for name, dtype_name in STORAGE_CLASSES.items()}


def storage_classes() -> dict[str, StorageClass]:
    """Every full name that a file may use for a storage class."""
    names = {f"{prefix}.{each.name}": each for each in BY_DTYPE.values() for prefix in (THEIRS, THEIRS + ".cuda")}
    names["torch.storage.UntypedStorage"] = names["torch.UntypedStorage"] = UNTYPED_CLASS
    return names


def written_as(value: Any, module: str, name: str) -> tuple[str, str]:
    """The module and name under which a file names an object of ours that lives at `module`.`name`."""
    if name in REBUILD and module == f"{OURS}.serialization.rebuild":
        return "torch._utils", name
    if name == "_rebuild_from_type_v2":
        return "torch._tensor", name
    parts = module.split(".")
    place = module
    for length in range(1, len(parts)):
        candidate = sys.modules.get(".".join(parts[:length]))
        if candidate is not None and _attribute(candidate, name) is value:
            place = ".".join(parts[:length])
            break
    theirs = THEIRS + place.removeprefix(OURS)
    return _CANONICAL.get((theirs, name), (theirs, name))


def is_ours(module: str) -> bool:
    """Whether a module belongs to the base package."""
    return module == OURS or module.startswith(OURS + ".")


def is_theirs(module: str) -> bool:
    """Whether a module name is PyTorch's."""
    return module == THEIRS or module.startswith(THEIRS + ".")


def find(module: str, name: str) -> Any:
    """Our object for PyTorch's `module`.`name`; AttributeError if there is none.

    Imports modules of ours: for trusted files only.
    """
    from flambeau.serialization import rebuild

    full = f"{module}.{name}"
    storage = storage_classes().get(full)
    if storage is not None:
        return storage
    if full == "torch._tensor._rebuild_from_type_v2" or (module == "torch._utils" and name in REBUILD):
        return getattr(rebuild, name)
    if full == "torch.storage._load_from_bytes":
        return load_from_bytes
    if module == "torch._C._nn":   # functions that are written in C++ there
        module = "torch.nn.functional"
    parts = (OURS + module.removeprefix(THEIRS)).split(".")
    for length in range(len(parts), 0, -1):
        found = _attribute(_imported(".".join(parts[:length])), name)
        if found is not None:
            return found
    raise AttributeError(f"load: Flambeau has nothing that corresponds to {full}; save the state_dict() instead of the "
                         "whole object, and load it into a module built here")


def load_from_bytes(data: bytes) -> Any:
    """What PyTorch's storages are in a plain pickle: a whole file inside."""
    import io

    from flambeau.serialization import load

    return load(io.BytesIO(data), weights_only=False)


def _imported(name: str) -> ModuleType | None:
    import importlib

    if name.endswith("__main__"):
        return None
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(error.name + ".")):
            return None
        raise


def _attribute(module: ModuleType | None, name: str) -> Any:
    value: Any = module
    for part in name.split("."):
        value = getattr(value, part, None)
    return value
