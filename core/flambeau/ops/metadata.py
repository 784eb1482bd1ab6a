"""Shape, strides and memory of a tensor changed in place: `squeeze_`, `transpose_`, `resize_`, `set_`.

Nothing is computed: the tensor becomes what a view of it is, with that view's history.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flambeau import shapes
from flambeau.errors import DtypeError, GraphError, message
from flambeau.graph import LAZY, STATE, edge_of
from flambeau.ops import shape as shape_ops, views
from flambeau.tensor import Tensor, alias, attach, version_cell


def _become(self: Tensor, view: Callable[[Tensor], Tensor]) -> Tensor:
    """Make a tensor what a view of it is: other metadata over the same memory, with the view's history."""
    edge = edge_of(self)
    if edge is not None and STATE.enabled and edge[0].is_accumulator:
        raise GraphError("a leaf Variable that requires grad is being used in an in-place operation; "
                         "use the out-of-place form, or wrap the change in torch.no_grad()")
    old = alias(self)
    old._edge, old._view, old._counter = edge, self._view, version_cell(self)
    result = view(old)
    self._array = result._array
    if self._view is not None:
        self._view, self._edge = result._view, result._edge
    else:
        self._edge = None if result._edge is LAZY else result._edge
    return self


@attach
def squeeze_(self: Tensor, dim: Any = None) -> Tensor:
    """`squeeze` in place."""
    return _become(self, lambda x: shape_ops.squeeze(x, dim))


@attach
def unsqueeze_(self: Tensor, dim: int) -> Tensor:
    """`unsqueeze` in place."""
    return _become(self, lambda x: shape_ops.unsqueeze(x, dim))


@attach
def t_(self: Tensor) -> Tensor:
    """`t` in place."""
    return _become(self, shape_ops.t)


@attach
def transpose_(self: Tensor, dim0: int, dim1: int) -> Tensor:
    """`transpose` in place."""
    return _become(self, lambda x: shape_ops.transpose(x, dim0, dim1))


attach(transpose_, "swapaxes_", "swapdims_")


@attach
def as_strided_(self: Tensor, size: Any, stride: Any, storage_offset: int | None = None) -> Tensor:
    """`as_strided` in place."""
    return _become(self, lambda x: views.as_strided(x, size, stride, storage_offset))


@attach
def resize_(self: Tensor, *sizes: Any, memory_format: Any = None) -> Tensor:
    """Give the tensor another shape in place: over its storage where that is large enough, else over a new one.

    Elements beyond those that were there are uninitialised. RuntimeError for a tensor that requires grad.
    """
    size = shape_ops.as_dims(sizes, "resize_") if sizes != ((),) else ()
    shapes.check_nonnegative(size, "resize_")
    if self._array.shape == size:
        return self
    if edge_of(self) is not None:
        raise GraphError("cannot resize variables that require grad")
    backend = self._kind.backend
    strides = shapes.contiguous_strides(size)
    offset = backend.layout(self._array)[1]
    try:
        self._array = backend.as_strided(self._array, size, strides, offset)
    except (TypeError, ValueError):
        old = self._array
        self._array = backend.empty(size, self._kind.dtype, self._kind.index)
        storage = backend.storage(old)
        count = shapes.Size(storage.shape).numel() - offset
        backend.copy(backend.as_strided(self._array, (count,), (1,), 0),
                     backend.as_strided(old, (count,), (1,), offset))
    return self


@attach
def resize_as_(self: Tensor, other: Tensor, memory_format: Any = None) -> Tensor:
    """`resize_` to the shape of another tensor."""
    return resize_(self, other._array.shape)


@attach
def set_(self: Tensor, source: Tensor | None = None) -> Tensor:
    """Make the tensor one over the memory of `source`, with its shape and strides; empty without one."""
    if source is None:
        self._array = self._kind.backend.empty((0,), self._kind.dtype, self._kind.index)
        return self
    if source._kind is not self._kind:
        raise DtypeError(message("set_", "the source must have the same dtype and device", given=repr(source._kind),
                                 allowed=repr(self._kind)))
    self._array = source._array
    self._counter = version_cell(source)
    return self


@attach
def is_set_to(self: Tensor, tensor: Tensor) -> bool:
    """Whether both tensors have the same memory, shape, strides and offset."""
    backend = self._kind.backend
    mine, theirs = self._array, tensor._array
    return (mine.shape == theirs.shape and backend.storage(mine) is backend.storage(theirs)
            and backend.layout(mine) == backend.layout(theirs))
