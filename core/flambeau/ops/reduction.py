"""Reductions over dimensions.

Kernels take the reduced dimensions as a tuple, counted from the start; `reduction` wraps what people write for `dim`.
"""

from __future__ import annotations

from typing import Any

from flambeau import dtypes, shapes
from flambeau.dispatch import front, primitive
from flambeau.dtypes import INTEGER, dtype
from flambeau.shapes import Shape
from flambeau.tensor import Tensor


def _spread(g: Tensor, shape: Shape, dim: Shape, keepdim: bool) -> Tensor:
    """Give the gradient of a reduction to every element that was reduced."""
    if not keepdim:
        g = g.reshape(shapes.reduced_shape(shape, dim, keepdim=True))
    return g.expand(shape)


@primitive(vjp={
    "input": lambda g, input_shape, dim, keepdim: _spread(g, input_shape, dim, keepdim)})
def _sum(input: Tensor, dim: Shape, keepdim: bool, dtype: dtype) -> Shape:
    """Sum over dimensions, in `dtype`."""
    return shapes.reduced_shape(input.shape, dim, keepdim)


@front(_sum, out=True)
def sum(input: Tensor, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    """Sum of the elements, over all dimensions or those given.

    Integers and bools are summed in int64. `dtype` casts the input first.

    >>> import flambeau as torch
    >>> torch.ones(2, 3).sum(dim=1)
    tensor([3., 3.])
    """
    kind = input._kind.dtype
    wanted = dtypes.as_dtype(dtype) if dtype is not None else dtypes.int64 if kind.category <= INTEGER else kind
    return _sum(input, shapes.reduction_dims(dim, len(input._array.shape)), keepdim, wanted)
