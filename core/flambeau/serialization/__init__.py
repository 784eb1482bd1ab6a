"""Saving and loading: PyTorch's `.pth` files, both ways, without trusting the file.

The format is PyTorch's, so that a checkpoint goes from one to the other unchanged: a zip archive of stored (never
compressed) records, one pickle that holds the structure, and one record per storage with the plain bytes, aligned so
that it can be mapped into memory. Classes are written under PyTorch's names and found under ours.

A pickle is a program. By default (`weights_only=True`) it is run by an interpreter of our own (`_unpickle`) that
knows data only: the file can name nothing outside an allow-list, and what it names is called through a constructor
that checks every argument. `safe_globals` extends the list for classes of your own.

The parts: `_read`, `_archive` (zip records, bounds checked), `_legacy` (the format before it), `_unpickle` and
`_allowed` (the interpreter and its allow-list), `_pickler` (Python's pickle with names translated), `_names` (that
translation), `storage` and `rebuild` (bytes shared by tensors, tensors from them), `_locations` (`map_location`) and
`_files` (atomic writes). This module holds the public functions only and imports the parts when one is called, so that
`import flambeau` stays light.
"""

from __future__ import annotations

import os
from typing import IO, TYPE_CHECKING, Any, TypeAlias

from flambeau.serialization import options
from flambeau.serialization.options import (
    LoadEndianness,
    SourceChangeWarning,
    StorageType,
    check_module_version_greater_or_equal,
    default_restore_location,
    get_crc32_options,
    get_default_load_endianness,
    get_default_mmap_options,
    location_tag,
    mkdtemp,
    normalize_storage_type,
    register_package,
    set_crc32_options,
    set_default_load_endianness,
    set_default_mmap_options,
    skip_data,
    storage_to_tensor_type,
    validate_cuda_device,
    validate_hpu_device,
)
from flambeau.serialization.safe import (
    add_safe_globals,
    clear_safe_globals,
    get_safe_globals,
    safe_globals,
)
from flambeau.serialization.sharded import load_sharded, save_sharded

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import ModuleType

    from flambeau.device import device
    from flambeau.serialization.storage import UntypedStorage

    MapLocation: TypeAlias = (
        str | device | Mapping[str, str] | Callable[[UntypedStorage, str], UntypedStorage | None] | None)

__all__ = [
    "DEFAULT_PROTOCOL", "save", "load", "save_sharded", "load_sharded",
    "add_safe_globals", "clear_safe_globals", "get_safe_globals", "get_unsafe_globals_in_checkpoint", "safe_globals",
    "LoadEndianness", "SourceChangeWarning", "StorageType", "check_module_version_greater_or_equal",
    "default_restore_location", "get_crc32_options", "get_default_load_endianness", "get_default_mmap_options",
    "location_tag", "mkdtemp", "normalize_storage_type", "register_package", "set_crc32_options",
    "set_default_load_endianness", "set_default_mmap_options", "skip_data", "storage_to_tensor_type",
    "validate_cuda_device", "validate_hpu_device",
]  # fmt: skip

DEFAULT_PROTOCOL = 2  # the protocol that PyTorch's own allow-list reader accepts

FileLike: TypeAlias = "str | os.PathLike[str] | IO[bytes]"


def save(obj: object, f: FileLike, pickle_module: ModuleType | None = None, pickle_protocol: int = DEFAULT_PROTOCOL,
         _use_new_zipfile_serialization: bool = True) -> None:
    """Write `obj` (tensors in any structure of Python values) to a path or a file object.

    PyTorch's `torch.load` reads the file. A storage is written once however many tensors view it. Writing to a path
    is atomic: the bytes go to a temporary file beside it, which takes the path's place once it is safely on disk; if
    anything fails, what was there before stays. With a `pickle_module` other than Python's `pickle`, names are written
    as that module writes them, and only Flambeau can load the file.

    Raises RuntimeError if the parent folder does not exist; whatever pickle raises for an object that it cannot write.

    >>> import io
    >>> import flambeau as torch
    >>> file = io.BytesIO()
    >>> torch.save({"weight": torch.ones(2, 2), "epoch": 3}, file)
    >>> _ = file.seek(0)
    >>> torch.load(file)
    {'weight': tensor([[1., 1.],
            [1., 1.]]), 'epoch': 3}
    """
    from flambeau.serialization import _archive, _files, _legacy, _pickler, _read

    if options.skips_data() and not _use_new_zipfile_serialization:
        raise _read.FileFormatError("Cannot use skip_data=True with _use_new_zipfile_serialization=False")
    write = _archive.write if _use_new_zipfile_serialization else _legacy.write
    structure = _pickler.dump(obj, pickle_module, pickle_protocol, legacy=not _use_new_zipfile_serialization)
    with _files.open_for_writing(f) as (file, name):
        write(file, name, structure)


def load(f: FileLike, map_location: MapLocation = None, pickle_module: ModuleType | None = None, *,
         weights_only: bool | None = None, mmap: bool | None = None, **pickle_load_args: Any) -> Any:
    """Read what `save` or PyTorch's `torch.save` wrote, from a path or a seekable file object.

    `map_location` says where storages go: a device (or its name) for all, a mapping from the saved device's name to
    another, or a function of (storage on the host, name) that returns a storage or None for "as saved".
    `weights_only=True` (the default, unless a `pickle_module` is given) allows only data, the library's own types and
    what `safe_globals` names; `weights_only=False` runs whatever code the file names: only for files that you trust.
    `mmap=True` maps the file's storages into memory instead of reading them (paths only; changes are not written back).

    Raises FileNotFoundError; EOFError for an empty file; pickle.UnpicklingError for a refused or broken pickle;
    RuntimeError for a damaged archive or a device that this machine does not have.

    >>> import io
    >>> import flambeau as torch
    >>> file = io.BytesIO()
    >>> torch.save(torch.arange(3), file)
    >>> _ = file.seek(0)
    >>> torch.load(file, map_location="cpu", weights_only=True)
    tensor([0, 1, 2])
    """
    from flambeau.serialization import _read

    if weights_only is None:
        weights_only = pickle_module is None
    if weights_only and pickle_module is not None:
        raise _read.FileFormatError(
            f"load: weights_only=True reads with the allow-list only and cannot use pickle_module="
            f"{pickle_module.__name__}; leave pickle_module out, or pass weights_only=False if you trust the file")
    mmap = options.load_options.mmap if mmap is None else bool(mmap)
    return _read.load(f, map_location, pickle_module, weights_only, mmap, pickle_load_args)


def get_unsafe_globals_in_checkpoint(f: FileLike) -> list[str]:
    """The names that a file asks for and that `load` with `weights_only=True` would refuse; runs none of them.

    >>> import collections, io
    >>> import flambeau as torch
    >>> file = io.BytesIO()
    >>> torch.save(collections.deque([1, 2]), file)
    >>> _ = file.seek(0)
    >>> torch.serialization.get_unsafe_globals_in_checkpoint(file)
    ['collections.deque']
    """
    from flambeau.serialization import _read

    return _read.unsafe_globals(f)
