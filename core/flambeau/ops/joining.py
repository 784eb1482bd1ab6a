"""Tensors joined to larger ones: along a dimension, along a new one, or as the grid of their combinations."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

from flambeau import dtypes, shapes
from flambeau.dispatch import alias, composite, front, operator, primitive
from flambeau.errors import ArgumentError, ArgumentTypeError, ArgumentValueError, ShapeError
from flambeau.ops import _samples, shape as shape_ops
from flambeau.ops.indexing import as_tensor, narrow
from flambeau.shapes import Shape
from flambeau.tensor import Tensor


def _parts(g: Tensor, dim: int, shapes_: Sequence[Shape]) -> list[Tensor | None]:
    """The gradient of each joined tensor: its range of the whole gradient."""
    found: list[Tensor | None] = []
    start = 0
    for shape in shapes_:
        if shape == (0,) and len(g._array.shape) != 1:
            found.append(None)
            continue
        found.append(narrow(g, dim, start, shape[dim]))
        start += shape[dim]
    return found


@primitive(vjp={"tensors": lambda g, dim, tensors_shape: _parts(g, dim, tensors_shape)}, dtype_rule="any", method=False,
           samples=_samples.listed((((2, 3), (4, 3)),), (((2, 3), (2, 1), (2, 2)), -1)))
def _cat(tensors: list[Tensor], dim: int) -> Shape:
    """Join along a dimension, counted from the start; all have one dtype."""
    first = tensors[0]._array.shape
    for number, each in enumerate(tensors):
        shape = each._array.shape
        if len(shape) != len(first):
            raise ShapeError(f"cat: Tensors must have same number of dimensions: got {len(first)} and "
                             f"{len(shape)}")
        for index, (mine, theirs) in enumerate(zip(first, shape, strict=True)):
            if index != dim and mine != theirs:
                raise ShapeError(f"cat: Sizes of tensors must match except in dimension {dim}. Expected "
                                 f"size {mine} but got "
                                 f"size {theirs} for tensor number {number} in the list.")
    return (*first[:dim], sum(each._array.shape[dim] for each in tensors), *first[dim + 1:])


def _common(tensors: Sequence[Tensor], op: str) -> list[Tensor]:
    """Tensors of one dtype, the one that all promote to."""
    if isinstance(tensors, Tensor):
        raise ArgumentTypeError(f"{op}(): argument 'tensors' (position 1) must be tuple of Tensors, not Tensor")
    several = list(tensors)
    if not several:
        if op == "cat":
            raise ArgumentValueError("torch.cat(): expected a non-empty list of Tensors")
        raise ArgumentError(f"{op} expects a non-empty TensorList")
    first = several[0]
    same = True
    for index, each in enumerate(several):
        if not isinstance(each, Tensor):
            raise ArgumentTypeError(f"{op}(): expected Tensor as element {index} in argument 0, but got "
                                    f"{type(each).__name__}")
        same = same and each._kind is first._kind
    if same:
        return several
    dims = [each._kind.dtype for each in several if each._array.shape]
    zeros = [each._kind.dtype for each in several if not each._array.shape]
    wanted = dtypes.result_type_of(dims, zeros, [])
    return [each if each._kind.dtype is wanted else each.to(wanted) for each in several]


@front(_cat, out=True)
def cat(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    """Tensors joined along a dimension; their other sizes must be equal. Dtypes promote.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.cat.html

    >>> import flambeau as torch
    >>> torch.cat((torch.zeros(2), torch.ones(1)))
    tensor([0., 0., 1.])
    """
    several = _common(tensors, "cat")
    ndim = 0
    for number, each in enumerate(several):
        shape = each._array.shape
        if not shape:
            raise ShapeError(f"zero-dimensional tensor (at position {number}) cannot be concatenated; use stack()")
        if shape != (0,) and not ndim:
            ndim = len(shape)
    if ndim > 1:
        filled = [each for each in several if each._array.shape != (0,)]
        if len(filled) != len(several):
            several = filled
    return _cat(several, shapes.wrap_dim(dim, ndim or 1))


concat = alias("concat", cat)
concatenate = alias("concatenate", cat)


@operator(vjp={"tensors": lambda g, dim: list(g.unbind(dim))}, dtype_rule="any", method=False,
          samples=_samples.listed((((2, 3), (2, 3)),), (((2, 3), (2, 3), (2, 3)), -1)))
def _stack(tensors: list[Tensor], dim: int) -> Tensor:
    """Join along a new dimension, counted from the start."""
    return _cat([each.unsqueeze(dim) for each in tensors], dim)


@front(_stack, out=True)
def stack(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    """Tensors of one shape joined along a new dimension.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.stack.html

    >>> import flambeau as torch
    >>> torch.stack((torch.zeros(2), torch.ones(2)), dim=1)
    tensor([[0., 1.],
            [0., 1.]])
    """
    several = _common(tensors, "stack")
    first = several[0]._array.shape
    for index, each in enumerate(several):
        if each._array.shape != first:
            raise ShapeError(f"stack expects each tensor to be equal size, but got {list(first)} at entry 0 and "
                             f"{list(each._array.shape)} at entry {index}")
    return _stack(several, shapes.wrap_dim(dim, len(first) + 1))


@composite(samples=_samples.listed((((2, 3), (2, 1)),), (((2,), (3,)),)), out=True, method=False)
def hstack(tensors: Sequence[Tensor]) -> Tensor:
    """Tensors side by side: joined along dimension 1, vectors along 0.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.hstack.html

    >>> import flambeau as torch
    >>> torch.hstack((torch.tensor([1, 2]), torch.tensor([3])))
    tensor([1, 2, 3])
    """
    several = shape_ops.atleast_1d(_common(tensors, "hstack"))
    return cat(several, 0 if several[0].dim() == 1 else 1)


@composite(samples=_samples.listed((((2, 3), (1, 3)),), (((3,), (2, 3)),)), out=True, method=False)
def vstack(tensors: Sequence[Tensor]) -> Tensor:
    """Tensors on top of one another: joined along dimension 0, vectors as rows.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.vstack.html

    >>> import flambeau as torch
    >>> torch.vstack((torch.tensor([1, 2]), torch.tensor([3, 4])))
    tensor([[1, 2],
            [3, 4]])
    """
    return cat(shape_ops.atleast_2d(_common(tensors, "vstack")), 0)


row_stack = alias("row_stack", vstack)


@composite(samples=_samples.listed((((2, 3, 1), (2, 3, 2)),), (((2, 3), (2, 3)),)), out=True, method=False)
def dstack(tensors: Sequence[Tensor]) -> Tensor:
    """Tensors joined along dimension 2, after each was given three dimensions.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.dstack.html

    >>> import flambeau as torch
    >>> torch.dstack((torch.tensor([1, 2]), torch.tensor([3, 4]))).shape
    torch.Size([1, 2, 2])
    """
    return cat(shape_ops.atleast_3d(_common(tensors, "dstack")), 2)


@composite(samples=_samples.listed((((2,), (2, 3)),)), out=True, method=False)
def column_stack(tensors: Sequence[Tensor]) -> Tensor:
    """Tensors side by side, vectors as columns.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.column_stack.html

    >>> import flambeau as torch
    >>> torch.column_stack((torch.tensor([1, 2]), torch.tensor([3, 4])))
    tensor([[1, 3],
            [2, 4]])
    """
    several = [each.reshape(-1, 1) if each.dim() < 2 else each for each in _common(tensors, "column_stack")]
    return hstack(several)


@composite(samples=_samples.together(((2, 3), (3, 1)), ((2,), ())), method=False)
def block_diag(*tensors: Tensor) -> Tensor:
    """The matrix with the given matrices on its diagonal, and zeros elsewhere.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.block_diag.html

    >>> import flambeau as torch
    >>> torch.block_diag(torch.ones(1, 2), torch.ones(1, 1))
    tensor([[1., 1., 0.],
            [0., 0., 1.]])
    """
    for each in tensors:
        if each.dim() > 2:
            raise ShapeError("torch.block_diag: Input tensors must have 2 or fewer dimensions. "
                             f"Input has {each.dim()} dimensions")
    blocks = _common(shape_ops.atleast_2d(tensors), "block_diag")
    width = sum(each._array.shape[1] for each in blocks)
    rows, left = [], 0
    for each in blocks:
        height, own = each._array.shape
        rows.append(cat((each.new_zeros((height, left)), each, each.new_zeros((height, width - left - own))), 1))
        left += own
    return cat(rows, 0)


def _samples_meshgrid(make: Any) -> _samples.Calls:
    for indexing in ("ij", "xy"):
        yield (make(2), make(3), make(4)), {"indexing": indexing}


@composite(samples=_samples_meshgrid, method=False)
def meshgrid(*tensors: Any, indexing: str | None = None) -> tuple[Tensor, ...]:
    """The coordinates of the grid that vectors span, as expanded views; `indexing` is "ij" or "xy".

    Source: https://docs.pytorch.org/docs/stable/generated/torch.meshgrid.html

    >>> import flambeau as torch
    >>> torch.meshgrid(torch.arange(2), torch.arange(3), indexing="ij")[0]
    tensor([[0, 0, 0],
            [1, 1, 1]])
    """
    several = list(tensors[0]) if len(tensors) == 1 and not isinstance(tensors[0], Tensor) else list(tensors)
    if indexing is None:
        import warnings
        warnings.warn("torch.meshgrid: in an upcoming release, it will be required to pass the indexing argument; "
                      'it is "ij" now.', UserWarning, stacklevel=2)
        indexing = "ij"
    if indexing not in ("ij", "xy"):
        raise ArgumentError(f'torch.meshgrid: indexing must be one of "xy" or "ij", but received: {indexing}')
    if not several:
        raise ArgumentError("meshgrid expects a non-empty TensorList")
    for each in several:
        if each.dim() > 1:
            raise ArgumentError("torch.meshgrid: Expected 0D or 1D tensor in the tensor list but got: "
                                f"{list(each._array.shape)}")
        if each._kind.dtype is not several[0]._kind.dtype:
            raise ArgumentError("torch.meshgrid expects all tensors to have the same dtype")
    swapped = indexing == "xy" and len(several) >= 2
    if swapped:
        several[0], several[1] = several[1], several[0]
    shape = tuple([each.numel() for each in several])
    grids = [each.reshape((1,) * index + (-1,) + (1,) * (len(shape) - index - 1)).expand(shape)
             for index, each in enumerate(several)]
    if swapped:
        grids[0], grids[1] = grids[1], grids[0]
    return tuple(grids)


@composite(samples=_samples.together(((2,), (3,)), ((2,),)), method=False)
def cartesian_prod(*tensors: Tensor) -> Tensor:
    """All combinations of the elements of vectors, one per row.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.cartesian_prod.html

    >>> import flambeau as torch
    >>> torch.cartesian_prod(torch.tensor([1, 2]), torch.tensor([3, 4])).tolist()
    [[1, 3], [1, 4], [2, 3], [2, 4]]
    """
    for each in tensors:
        if each.dim() != 1:
            raise ArgumentError(f"Expect a 1D vector, but got shape {list(each._array.shape)}")
    if len(tensors) == 1:
        return tensors[0]
    return stack([each.flatten() for each in meshgrid(*tensors, indexing="ij")], 1)


@composite(samples=_samples.on(((4,),), ((4,), 3), ((3,), 2, True)), method=False)
def combinations(input: Tensor, r: int = 2, with_replacement: bool = False) -> Tensor:
    """All choices of `r` elements of a vector, one per row, in order.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.combinations.html

    >>> import flambeau as torch
    >>> torch.combinations(torch.tensor([1, 2, 3])).tolist()
    [[1, 2], [1, 3], [2, 3]]
    """
    if input.dim() != 1:
        raise ArgumentError(f"Expect a 1D vector, but got shape {list(input._array.shape)}")
    if r < 0:
        raise ArgumentError(f"Expect a non-negative number, but got {r}")
    if not r:
        return input.new_zeros((0,))
    choose = itertools.combinations_with_replacement if with_replacement else itertools.combinations
    rows = list(choose(range(input.numel()), r))
    if not rows:
        return input.new_zeros((0, r))
    columns = as_tensor(rows, input._kind).unbind(1)
    return stack([input.index_select(0, each) for each in columns], 1)
