"""What can be set about saving and loading, and what a device's author can register: PyTorch's names for it.

Set for the whole process, except `skip_data`, which holds for the thread that is in its `with` block.
"""

from __future__ import annotations

import shutil
import tempfile
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import Enum
from types import ModuleType, TracebackType
from typing import Any, TypeAlias

from flambeau import discovery
from flambeau.device import device
from flambeau.dtypes import by_name, dtype
from flambeau.errors import ArgumentTypeError, ArgumentValueError
from flambeau.serialization.storage import HOST, FileFormatError, TypedStorage, UntypedStorage

__all__ = ["LoadEndianness", "SourceChangeWarning", "StorageType", "check_module_version_greater_or_equal",
           "default_restore_location", "get_crc32_options", "get_default_load_endianness", "get_default_mmap_options",
           "location_tag", "mkdtemp", "normalize_storage_type", "register_package", "set_crc32_options",
           "set_default_load_endianness", "set_default_mmap_options", "skip_data", "storage_to_tensor_type",
           "validate_cuda_device", "validate_hpu_device"]

Storage: TypeAlias = UntypedStorage | TypedStorage
Tagger: TypeAlias = Callable[[Storage], "str | None"]
Deserializer: TypeAlias = Callable[[Storage, str], "Storage | None"]

MAP_SHARED, MAP_PRIVATE = 1, 2   # as the mmap module has them, which Windows lacks


class SourceChangeWarning(Warning):
    """A module's source has changed since it was saved whole. Not given any more; programs filter it by name."""


class LoadEndianness(Enum):
    """The byte order that is taken for files that do not say theirs."""

    NATIVE = 1
    LITTLE = 2
    BIG = 3


class LoadOptions:
    """What `load` does where a call does not say."""

    mmap = False
    endianness: LoadEndianness | None = None
    mmap_flags: int | None = MAP_PRIVATE
    calculate_storage_offsets = False


class SaveOptions:
    """What `save` does."""

    compute_crc32 = True
    use_pinned_memory_for_d2h = False
    storage_alignment = 64


load_options, save_options = LoadOptions(), SaveOptions()


def get_default_load_endianness() -> LoadEndianness | None:
    """The byte order taken for files that do not say theirs; None is little-endian.

    >>> import flambeau as torch
    >>> torch.serialization.get_default_load_endianness() is None
    True
    """
    return load_options.endianness


def set_default_load_endianness(endianness: LoadEndianness | None) -> None:
    """Say which byte order files have that do not say theirs. TypeError for anything else than one of the three.

    >>> import flambeau as torch
    >>> torch.serialization.set_default_load_endianness(torch.serialization.LoadEndianness.LITTLE)
    >>> torch.serialization.set_default_load_endianness(None)
    """
    if endianness is not None and not isinstance(endianness, LoadEndianness):
        raise ArgumentTypeError(f"Invalid argument type in function set_default_load_endianness: {endianness!r}; "
                                "allowed: a LoadEndianness or None")
    load_options.endianness = endianness


def get_crc32_options() -> bool:
    """Whether `save` writes a checksum for each record.

    >>> import flambeau as torch
    >>> torch.serialization.get_crc32_options()
    True
    """
    return save_options.compute_crc32


def set_crc32_options(compute_crc32: bool) -> None:
    """Say whether `save` writes checksums. Without them damage goes unnoticed, and other zip programs complain.

    >>> import flambeau as torch
    >>> torch.serialization.set_crc32_options(True)
    """
    save_options.compute_crc32 = bool(compute_crc32)


def get_default_mmap_options() -> int | None:
    """How `load(mmap=True)` maps a file: `mmap.MAP_PRIVATE` (2) or `mmap.MAP_SHARED` (1).

    >>> import flambeau as torch
    >>> torch.serialization.get_default_mmap_options()
    2
    """
    return load_options.mmap_flags


class set_default_mmap_options:  # noqa: N801 - PyTorch's name
    """Say how `load(mmap=True)` maps a file, from now on or in a `with` block.

    With `mmap.MAP_PRIVATE` changes to the tensors stay in memory; with `mmap.MAP_SHARED` they go into the file.
    ValueError for other flags.

    >>> import mmap
    >>> import flambeau as torch
    >>> with torch.serialization.set_default_mmap_options(mmap.MAP_SHARED):
    ...     torch.serialization.get_default_mmap_options() == mmap.MAP_SHARED
    True
    """

    def __init__(self, flags: int) -> None:
        if flags not in (MAP_SHARED, MAP_PRIVATE):
            raise ArgumentValueError("Invalid argument in function set_default_mmap_options, expected mmap.MAP_PRIVATE "
                                     f"or mmap.MAP_SHARED, but got {flags}")
        self._before = load_options.mmap_flags
        load_options.mmap_flags = flags

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 traceback: TracebackType | None) -> None:
        load_options.mmap_flags = self._before


class _Local(threading.local):
    skips = False


_local = _Local()


def skips_data() -> bool:
    """Whether this thread saves and loads tensors without their bytes.

    >>> skips_data()
    False
    """
    return _local.skips


class skip_data:  # noqa: N801 - PyTorch's name
    """In this block, save and load tensors without their bytes.

    `save` leaves room for them in the file, full of zeros, to be filled in later; `load` does not read them, and gives
    tensors of zeros. RuntimeError when saving in the format before the zip one. `materialize_fake_tensors` is accepted.

    >>> import io
    >>> import flambeau as torch
    >>> file = io.BytesIO()
    >>> with torch.serialization.skip_data():
    ...     torch.save(torch.ones(2), file)
    >>> _ = file.seek(0)
    >>> torch.load(file)
    tensor([0., 0.])
    """

    def __init__(self, materialize_fake_tensors: bool = False) -> None:
        self.materialize_fake_tensors = materialize_fake_tensors

    def __enter__(self) -> None:
        self._before = _local.skips
        _local.skips = True

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 traceback: TracebackType | None) -> None:
        _local.skips = self._before


# -- where storages are, and where they go

_packages: list[tuple[int, int, Tagger, Deserializer]] = []


def register_package(priority: int, tagger: Tagger, deserializer: Deserializer) -> None:
    """Register how storages of a device of your own are named in files and put on the device.

    `tagger(storage)` returns the place's name, `deserializer(storage, name)` the storage there; each returns None for
    what is not its own. Lower priorities are asked first, and all of them before what is built in.

    >>> from flambeau.serialization import location_tag, register_package
    >>> register_package(5, lambda storage: None, lambda storage, location: None)
    """
    _packages.append((priority, len(_packages), tagger, deserializer))
    _packages.sort(key=lambda each: each[:2])


def location_tag(storage: Storage) -> str:
    """The name under which files know the place of a storage.

    >>> import flambeau as torch
    >>> torch.serialization.location_tag(torch.zeros(1).untyped_storage())
    'cpu'
    """
    for _, _, tagger, _ in _packages:
        location = tagger(storage)
        if location:
            return location
    return str(storage.device)


def default_restore_location(storage: Any, location: str) -> Any:
    """A storage that was read, put where the file says that it was.

    RuntimeError if this machine does not have that place.

    >>> import flambeau as torch
    >>> storage = torch.zeros(1).untyped_storage()
    >>> torch.serialization.default_restore_location(storage, "cpu") is storage
    True
    """
    for _, _, _, deserializer in _packages:
        found = deserializer(storage, location)
        if found is not None:
            return found
    if location == HOST:
        return storage
    try:
        return storage.untyped().to(location)
    except (RuntimeError, AssertionError) as error:
        raise FileFormatError(
            f"load: don't know how to restore data location of {type(storage).__name__} (tagged with "
            f"{location[:100]}): attempting to deserialize a storage on device {location[:100]!r}, which this machine "
            f"does not have ({error}); use load(..., map_location=torch.device('cpu')), or a mapping such as "
            f"map_location={{{location[:100]!r}: 'cpu'}}") from error


def _validated(location: Any, kind: str) -> int:
    where = device(location)
    if where.type != kind:
        raise FileFormatError(f"Attempting to deserialize object on a {kind} device, but {location!r} is none")
    count = discovery.device_count(kind)
    index = where.index or 0
    if index >= count:
        raise FileFormatError(f"Attempting to deserialize object on {kind.upper()} device {index} but there are "
                              f"{count}; use load(..., map_location=torch.device('cpu'))")
    return index


def validate_cuda_device(location: Any) -> int:
    """The number of the CUDA device that a location names. RuntimeError if it does not exist.

    >>> import flambeau as torch
    >>> try:
    ...     torch.serialization.validate_cuda_device("cpu")
    ... except RuntimeError:
    ...     print("no such device")
    no such device
    """
    return _validated(location, "cuda")


def validate_hpu_device(location: Any) -> int:
    """The number of the HPU device that a location names. RuntimeError if it does not exist.

    >>> import flambeau as torch
    >>> try:
    ...     torch.serialization.validate_hpu_device("hpu:0")
    ... except RuntimeError:
    ...     print("no such device")
    no such device
    """
    return _validated(location, "hpu")


# -- small helpers that PyTorch lists as public

class StorageType:
    """A storage class by its name in files ("FloatStorage"), with the dtype of its elements. KeyError for others.

    >>> import flambeau as torch
    >>> torch.serialization.StorageType("LongStorage")
    StorageType(dtype=torch.int64)
    """

    def __init__(self, name: str) -> None:
        from flambeau.serialization._names import STORAGE_CLASSES

        self._dtype = by_name(STORAGE_CLASSES[name])

    @property
    def dtype(self) -> dtype:
        """The dtype of the elements."""
        return self._dtype

    def __repr__(self) -> str:
        return f"StorageType(dtype={self._dtype})"



def normalize_storage_type(storage_type: type) -> type:
    """The class of that name in the package. KeyError if there is none.

    >>> import flambeau as torch
    >>> torch.serialization.normalize_storage_type(torch.UntypedStorage) is torch.UntypedStorage
    True
    """
    return {"UntypedStorage": UntypedStorage, "TypedStorage": TypedStorage}[storage_type.__name__]


def storage_to_tensor_type(storage: TypedStorage) -> Any:
    """The legacy tensor type of a typed storage.

    >>> import flambeau as torch
    >>> from flambeau.serialization import storage_to_tensor_type
    >>> storage_to_tensor_type(torch.TypedStorage(torch.zeros(1).untyped_storage(), torch.float32))
    <class 'torch.FloatTensor'>
    """
    from flambeau.ops import legacy

    return legacy.TYPED[legacy.type_name(storage.dtype, storage.device.type).rpartition(".")[2]]


@contextmanager
def mkdtemp() -> Iterator[str]:
    """A temporary folder that is removed at the end of the block.

    >>> import os
    >>> import flambeau as torch
    >>> with torch.serialization.mkdtemp() as path:
    ...     os.path.isdir(path)
    True
    """
    path = tempfile.mkdtemp()
    try:
        yield path
    finally:
        shutil.rmtree(path)


def check_module_version_greater_or_equal(module: ModuleType, req_version_tuple: tuple[Any, ...],
                                          error_if_malformed: bool = True) -> bool:
    """Whether a module's `__version__` is at least `req_version_tuple`, compared field by field as these types.

    A version that cannot be compared is a RuntimeError or, with `error_if_malformed=False`, a warning and True.

    >>> import json
    >>> import flambeau as torch
    >>> torch.serialization.check_module_version_greater_or_equal(json, (2, 0))
    True
    """
    version = module.__version__
    fields = str(version).split(".")
    try:
        found = tuple(type(wanted)(fields[i]) for i, wanted in enumerate(req_version_tuple))
        return found >= req_version_tuple
    except (ValueError, IndexError, TypeError) as error:
        message = (f"'{module.__name__}' module version string is malformed '{version}' and cannot be compared with "
                   f"tuple {req_version_tuple}")
        if error_if_malformed:
            raise FileFormatError(message) from error
        warnings.warn(message + ", but continuing assuming that requirement is met", stacklevel=2)
        return True
