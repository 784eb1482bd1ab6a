"""Views: the same memory under another shape. And the rearrangements that copy only when they must.

A view's record is a rule on metadata; its gradient is the view that undoes it, or a scatter into zeros.
"""

from __future__ import annotations

from typing import Any

from flambeau import shapes
from flambeau.dispatch import composite, front
from flambeau.dispatch import view as view_rule
from flambeau.errors import ShapeError
from flambeau.shapes import Shape
from flambeau.tensor import Tensor


@view_rule(vjp={"input": lambda g, dim0, dim1: g.transpose(dim0, dim1)})
def _transpose(shape: Shape, strides: Shape, offset: int, dim0: int, dim1: int) -> tuple[Shape, Shape, int]:
    """Swap two dimensions (counted from the start)."""
    order = list(range(len(shape)))
    if order:
        order[dim0], order[dim1] = order[dim1], order[dim0]
    return tuple(shape[index] for index in order), tuple(strides[index] for index in order), offset


@front(_transpose)
def transpose(input: Tensor, dim0: int, dim1: int) -> Tensor:
    """A view with two dimensions swapped.

    >>> import flambeau as torch
    >>> torch.zeros(2, 3).transpose(0, 1).shape
    torch.Size([3, 2])
    """
    ndim = len(input._array.shape)
    return _transpose(input, shapes.wrap_dim(dim0, ndim), shapes.wrap_dim(dim1, ndim))


@view_rule(vjp={"input": lambda g, input_shape: g.reshape(input_shape)})
def _view(shape: Shape, strides: Shape, offset: int, size: Shape) -> tuple[Shape, Shape, int]:
    """The same elements under another shape."""
    found = shapes.view_strides(shape, strides, size)
    if found is None:
        raise ShapeError("view: view size is not compatible with input tensor's size and stride (at least one "
                         "dimension spans across two contiguous subspaces). Use .reshape(...) instead; "
                         f"given: size {list(shape)}, stride {list(strides)}, view size {list(size)}")
    return size, found, offset


@view_rule(vjp={"input": lambda g: g})
def _expand(shape: Shape, strides: Shape, offset: int, size: Shape) -> tuple[Shape, Shape, int]:
    """Repeat dimensions of size 1 without copying. The walk sums the gradient back to the input's shape."""
    extra = len(size) - len(shape)
    spread = [0 if index < extra or shape[index - extra] == 1 != each else strides[index - extra]
              for index, each in enumerate(size)]
    return size, tuple(spread), offset


@front(_view)
def view(input: Tensor, *size: Any) -> Tensor:
    """The same memory under another shape; RuntimeError where that needs a copy."""
    wanted = shapes.as_shape(size, "view")
    return _view(input, shapes.infer_size(wanted, input.numel()))


@composite()
def reshape(input: Tensor, *shape: Any) -> Tensor:
    """The elements under another shape: a view where the strides allow it, else a copy."""
    wanted = shapes.infer_size(shapes.as_shape(shape, "reshape"), input.numel(), "reshape")
    strides = input._kind.backend.layout(input._array)[0]
    if shapes.view_strides(input._array.shape, strides, wanted) is None:
        input = input.clone()
    return _view(input, wanted)


@front(_expand)
def expand(input: Tensor, *size: Any) -> Tensor:
    """Repeat dimensions of size 1 without copying; -1 keeps a size."""
    wanted = shapes.as_shape(size, "expand")
    shape = input._array.shape
    extra = len(wanted) - len(shape)
    wanted = tuple([shape[index - extra] if each == -1 and index >= extra else each
                    for index, each in enumerate(wanted)])
    if extra < 0 or not shapes.is_expandable(shape, wanted):
        raise ShapeError(f"expand: cannot expand a tensor of shape {list(shape)} to {list(wanted)}; sizes must be "
                         "equal, or 1 in the tensor, and new dimensions come first")
    return _expand(input, wanted)
