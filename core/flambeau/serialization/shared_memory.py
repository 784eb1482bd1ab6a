"""Tensors in memory that several processes see: `share_memory_()`.

The memory is an anonymous file: it has no name, so nothing is left when processes die. A forked process sees it as it
is; a process that is started afresh with the tensor as an argument is handed the file's descriptor. Where the system
has no such files, forked processes alone share.
"""

from __future__ import annotations

import mmap
import os
import weakref
from typing import TYPE_CHECKING, Any, NamedTuple

from flambeau.dtypes import dtype
from flambeau.errors import GraphError
from flambeau.serialization.storage import UntypedStorage

if TYPE_CHECKING:
    from flambeau.tensor import Tensor


class _Memory(NamedTuple):
    """A shared piece of memory: the array over all of it, to know when it is gone, and its file or -1."""

    owner: weakref.ref[Any]
    file: int


_shared: dict[int, _Memory] = {}   # by the identity of the array that owns the memory


def _owner(tensor: Tensor) -> Any:
    return tensor._kind.backend.storage(tensor._array)


def _memory(tensor: Tensor) -> _Memory | None:
    owner = _owner(tensor)
    found = _shared.get(id(owner))
    return found if found is not None and found.owner() is owner else None


def is_shared(tensor: Tensor) -> bool:
    """Whether a tensor is in memory that other processes may see.

    >>> import flambeau as torch
    >>> is_shared(torch.zeros(2)), is_shared(share(torch.zeros(2)))
    (False, True)
    """
    return _memory(tensor) is not None


def share(tensor: Tensor) -> Tensor:
    """Move a tensor's memory to where other processes see it; returns the tensor.

    Other views of its old memory stay there. Tensors that are not on the host stay as they are, as in PyTorch.
    RuntimeError for one that an operator has made with a gradient's history.

    >>> import flambeau as torch
    >>> share(torch.ones(2))
    tensor([1., 1.])
    """
    if not tensor._kind.backend.capabilities.host or not tensor.numel() or is_shared(tensor):
        return tensor
    if tensor.requires_grad and not tensor.is_leaf:
        raise GraphError("share_memory_: the tensor has a gradient's history, which other processes cannot see; share "
                         "x.detach()")
    data = UntypedStorage.of(tensor).buffer()
    file = -1
    if hasattr(os, "memfd_create"):
        file = os.memfd_create("flambeau-shared", os.MFD_CLOEXEC)
        os.ftruncate(file, data.nbytes)
    mapped = mmap.mmap(file, data.nbytes)
    mapped[:] = data
    tensor.data = _view(mapped, file, tensor.dtype, tuple(tensor.shape), tuple(tensor.stride()),
                        tensor.storage_offset())
    return tensor


def _view(mapped: mmap.mmap, file: int, kind: dtype, size: tuple[int, ...], stride: tuple[int, ...],
          offset: int) -> Tensor:
    made = UntypedStorage.from_buffer(memoryview(mapped)).tensor(kind, size, stride, offset)
    owner = _owner(made)
    key = id(owner)

    def forget(_: Any) -> None:
        if _shared.pop(key, None) is not None and file >= 0:
            os.close(file)

    _shared[key] = _Memory(weakref.ref(owner, forget), file)
    return made


def description(tensor: Tensor) -> tuple[int, tuple[Any, ...]] | None:
    """The file in which a shared tensor's memory is, and what `attach` needs besides; None for other tensors.

    >>> import flambeau as torch
    >>> description(torch.zeros(2)) is None
    True
    """
    memory = _memory(tensor)
    if memory is None or memory.file < 0:
        return None
    return memory.file, (tensor.dtype, tuple(tensor.shape), tuple(tensor.stride()), tensor.storage_offset(),
                         tensor.requires_grad)


def attach(file: int, kind: dtype, size: tuple[int, ...], stride: tuple[int, ...], offset: int,
           requires_grad: bool) -> Tensor:
    """The tensor that `description` described, in another process, from that process's own descriptor of the file."""
    mapped = mmap.mmap(file, 0)
    return _view(mapped, file, kind, size, stride, offset).requires_grad_(requires_grad)
