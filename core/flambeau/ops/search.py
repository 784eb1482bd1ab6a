"""Where things are, and which there are: nonzero places, unique values, sorted positions, counts."""

from __future__ import annotations

from typing import Any

from flambeau import dtypes, shapes
from flambeau.dispatch import composite, front, operator, primitive
from flambeau.dtypes import INTEGER, int64
from flambeau.errors import ArgumentError, DtypeError, ShapeError, message
from flambeau.ops import _samples, construct, creation
from flambeau.ops.indexing import slice_dim
from flambeau.shapes import Shape
from flambeau.tensor import Tensor


def _samples_nonzero(make: Any) -> _samples.Calls:
    for as_tuple in (False, True):
        yield (make.fixed([[0, 2, 0], [1, 0, 3]]),), {"as_tuple": as_tuple}


@primitive(samples=_samples_nonzero, vjp="none", dtype_rule="any")
def _nonzero(input: Tensor) -> Shape:
    """The indices of the nonzero elements, one row each, in row-major order."""
    return (0, input.dim())


@front(_nonzero, out=True)
def nonzero(input: Tensor, *, as_tuple: bool = False) -> Any:
    """The indices of the nonzero elements: an (n, ndim) tensor, or with `as_tuple` one vector per dimension.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nonzero.html

    >>> import flambeau as torch
    >>> torch.tensor([0, 3, 4]).nonzero()
    tensor([[1],
            [2]])
    """
    if as_tuple:
        input = input.reshape(1) if not input._array.shape else input
        return tuple(_nonzero(input).unbind(1))
    return _nonzero(input)


def _samples_argwhere(make: Any) -> _samples.Calls:
    yield (make.fixed([[0, 2, 0], [1, 0, 3]]),), {}
    yield (make.fixed(1),), {}


@composite(samples=_samples_argwhere)
def argwhere(input: Tensor) -> Tensor:
    """The indices of the nonzero elements, one row each.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.argwhere.html

    >>> import flambeau as torch
    >>> torch.argwhere(torch.tensor([[0, 1], [2, 0]]))
    tensor([[0, 1],
            [1, 0]])
    """
    return _nonzero(input)


# ---------------------------------------------------------------------------------------------- unique values
_REPEATING = [[3, 1, 1], [2, 3, 3], [3, 1, 1]]


def _samples_unique(make: Any) -> _samples.Calls:
    yield (make.fixed(_REPEATING),), {}
    yield (make.fixed(_REPEATING),), {"return_inverse": True, "return_counts": True}
    yield (make.fixed(_REPEATING),), {"dim": -1, "return_counts": True}
    yield (make.fixed(_REPEATING),), {"dim": 0, "return_inverse": True}


@primitive(samples=_samples_unique, vjp="none", outputs=("values", "inverse", "counts"))
def _unique(input: Tensor, dim: int | None) -> Shape:
    """The sorted unique elements, or slices along a dimension; which one each element is; how often each occurs."""
    return input._array.shape


def _chosen(found: tuple[Tensor, ...], inverse: bool, counts: bool) -> Any:
    if not inverse and not counts:
        return found[0]
    return tuple([each for each, wanted in zip(found, (True, inverse, counts), strict=True) if wanted])


@front(_unique)
def unique(input: Tensor, sorted: bool = True, return_inverse: bool = False, return_counts: bool = False,
           dim: int | None = None) -> Any:
    """The unique elements in ascending order, or the unique slices along `dim`.

    With `return_inverse` also where each element went, with `return_counts` also how often each occurs.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.unique.html

    >>> import flambeau as torch
    >>> torch.tensor([3, 1, 3]).unique(return_counts=True)
    (tensor([1, 3]), tensor([1, 2]))
    """
    if dim is not None:
        dim = shapes.wrap_dim(dim, input.dim())
    return _chosen(_unique(input, dim), return_inverse, return_counts)


def _samples_runs(make: Any) -> _samples.Calls:
    yield (make.fixed(_REPEATING),), {}
    yield (make.fixed(_REPEATING),), {"return_inverse": True, "return_counts": True}
    yield (make.fixed(_REPEATING),), {"dim": 1, "return_counts": True}


@composite(samples=_samples_runs)
def unique_consecutive(input: Tensor, return_inverse: bool = False, return_counts: bool = False,
                       dim: int | None = None) -> Any:
    """Runs of equal elements, or of equal slices along `dim`, reduced to one each.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.unique_consecutive.html

    >>> import flambeau as torch
    >>> torch.tensor([1, 1, 2, 1]).unique_consecutive()
    tensor([1, 2, 1])
    """
    flat = input.reshape(-1) if dim is None else input
    along = 0 if dim is None else shapes.wrap_dim(dim, input.dim())
    size = flat._array.shape[along]
    if not size:
        empty = creation._full((0,), 0, input._kind.to(dtypes.int64))
        return _chosen((flat.clone(), empty.reshape(input._array.shape) if dim is None else empty, empty),
                       return_inverse, return_counts)
    changed = slice_dim(flat, along, 1, None) != slice_dim(flat, along, None, size - 1)
    rest = tuple([index for index in range(flat.dim()) if index != along])
    for index in reversed(rest):
        changed = changed.any(index)
    starts = _nonzero(changed).reshape(-1) + 1
    first = creation._full((1,), 0, input._kind.to(dtypes.int64))
    starts = _cat_vectors(first, starts)
    counts = _cat_vectors(starts[1:], first + size) - starts
    inverse = _cat_vectors(first, changed.to(dtypes.int64).cumsum(0))
    values = flat.index_select(along, starts)
    if dim is None:
        inverse = inverse.reshape(input._array.shape)
    return _chosen((values, inverse, counts), return_inverse, return_counts)


def _cat_vectors(*tensors: Tensor) -> Tensor:
    """Vectors one after the other."""
    from flambeau.ops.joining import cat
    return cat(tensors)


# ---------------------------------------------------------------------------------------------- sorted positions
def _samples_sorted(make: Any) -> _samples.Calls:
    rows = [[1, 2, 3, 5], [0, 2, 2, 4]]
    yield (make.fixed(rows), make.fixed([[2, 6, 0], [2, 3, 4]])), {}
    yield (make.fixed(rows), make.fixed([[2, 6, 0], [2, 3, 4]])), {"right": True, "out_int32": True}
    yield (make.fixed([1, 2, 2, 5]), make.fixed([[2, 3], [5, 0]])), {"side": "right"}
    yield (make.fixed([5, 1, 2]), make.fixed([2, 4])), {"sorter": make.fixed([1, 2, 0], dtype=dtypes.int64)}
    if make.dtype.category != dtypes.BOOL:
        yield (make.fixed([1, 2, 2, 5]), 2), {}


@primitive(samples=_samples_sorted, vjp="none", method=False)
def _searchsorted(sorted_sequence: Tensor, values: Tensor, right: bool) -> Shape:
    """Where each value would be inserted into the sorted last dimension, before or (right) after equal ones; int64."""
    return values._array.shape


@front(_searchsorted, out=True)
def searchsorted(sorted_sequence: Tensor, input: Any, *, out_int32: bool = False, right: bool | None = None,
                 side: str | None = None, sorter: Tensor | None = None) -> Tensor:
    """The positions at which values would be inserted into a sorted sequence, row by row.

    `side="right"` puts them after equal elements. `sorter` gives the order that sorts the sequence.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.searchsorted.html

    >>> import flambeau as torch
    >>> torch.searchsorted(torch.tensor([1, 3, 5]), torch.tensor([3, 4]))
    tensor([1, 2])
    """
    if side is not None and side not in ("left", "right"):
        raise ArgumentError(f"torch.searchsorted(): side can only be 'left' or 'right' but got {side}")
    if side == "left" and right:
        raise ArgumentError("torch.searchsorted(): side and right can't be set to opposites, got side of "
                            "left while right was True")
    after = bool(right) or side == "right"
    values = input if isinstance(input, Tensor) else construct.tensor(input, device=sorted_sequence.device)
    if not isinstance(input, Tensor):
        values = values.to(sorted_sequence._kind.dtype)
    if not sorted_sequence._array.shape:
        raise ArgumentError("torch.searchsorted(): input value can be a scalar only when boundaries tensor "
                            "dimension is 1")
    if sorter is not None:
        if sorter._array.shape != sorted_sequence._array.shape:
            raise ArgumentError("torch.searchsorted(): boundary and sorter must have the same size, but got "
                                "boundary tensor "
                                f"{list(sorted_sequence._array.shape)} and got sorter tensor "
                                f"{list(sorter._array.shape)}")
        sorted_sequence = sorted_sequence.gather(-1, sorter)
    mine, theirs = sorted_sequence._array.shape, values._array.shape
    if len(mine) != 1 and mine[:-1] != theirs[:-1]:
        raise ShapeError("torch.searchsorted(): boundaries tensor should be 1 dimension or the first N-1 "
                         "dimensions of "
                         "boundaries tensor and input value tensor must match, but we got boundaries "
                         f"tensor {list(mine)} and "
                         f"input value tensor {list(theirs)}")
    if values._kind.dtype is not sorted_sequence._kind.dtype:
        raise DtypeError("torch.searchsorted(): boundary tensor and input value tensor should have same "
                         "dtype, but got "
                         f"boundary tensor dtype {sorted_sequence.dtype} and input value tensor dtype "
                         f"{values.dtype}")
    found = _searchsorted(sorted_sequence, values, after)
    return found.to(dtypes.int32) if out_int32 else found


def _samples_buckets(make: Any) -> _samples.Calls:
    for right in (False, True):
        yield (make.fixed([[2, 3], [5, 0]]), make.fixed([1, 2, 2, 5])), {"right": right, "out_int32": right}


@composite(samples=_samples_buckets, out=True, method=False)
def bucketize(input: Any, boundaries: Tensor, *, out_int32: bool = False, right: bool = False) -> Tensor:
    """The number of the bucket between sorted boundaries that each value falls into.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.bucketize.html

    >>> import flambeau as torch
    >>> torch.bucketize(torch.tensor([1, 4]), torch.tensor([2, 5]))
    tensor([0, 1])
    """
    if boundaries.dim() != 1:
        raise ArgumentError(f"bucketize: boundaries tensor must be 1 dimension, but got dim({boundaries.dim()})")
    return searchsorted(boundaries, input, out_int32=out_int32, right=right)


# ---------------------------------------------------------------------------------------------- counts
def _samples_bincount(make: Any) -> _samples.Calls:
    found = make.fixed([3, 0, 1, 3, 5], dtype=dtypes.int64)
    yield (found,), {}
    yield (found,), {"minlength": 8}
    yield (found, make.real(5)), {}


@operator(samples=_samples_bincount, vjp="none")
def _bincount(input: Tensor, weights: Tensor | None, minlength: int) -> Tensor:
    """How often each integer from 0 occurs, or the sum of its weights."""
    size = max(minlength, int(input.max().item()) + 1 if input.numel() else 0)
    source = weights if weights is not None else creation.ones_like(input, dtype=dtypes.int64)
    zeros = creation._full((size,), 0, source._kind)
    return zeros.index_add(0, input.to(dtypes.int64), source)


_LARGEST = 2 ** 63 - 1


@front(_bincount)
def bincount(input: Tensor, weights: Tensor | None = None, minlength: int = 0) -> Tensor:
    """How often each integer from 0 on occurs in a vector; with weights, the sum of theirs.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.bincount.html

    >>> import flambeau as torch
    >>> torch.bincount(torch.tensor([0, 2, 2]))
    tensor([1, 0, 2])
    """
    if input._kind.dtype.category > INTEGER:
        raise DtypeError(message("bincount", "only integers can be counted", given=str(input.dtype)))
    if input.dim() != 1 or (input.numel() and int(input.min().item()) < 0):
        raise ArgumentError("bincount only supports 1-d non-negative integral inputs.")
    if input.numel() and int(input.max().item()) == _LARGEST:  # the length would be one more
        raise ArgumentError(f"maximum value of input overflowed, it should be < {_LARGEST} but got {_LARGEST}")
    if minlength < 0:
        raise ArgumentError("minlength should be >= 0")
    if weights is not None and weights._array.shape != input._array.shape:
        raise ArgumentError("weights should be 1-d and have the same length as input")
    if not input.numel():
        return creation.zeros(minlength, dtype=dtypes.int64, device=input.device)
    if weights is not None and weights._kind.dtype is not dtypes.float32:
        weights = weights.to(dtypes.float64)
    return _bincount(input, weights, minlength)


def _samples_isin(make: Any) -> _samples.Calls:
    yield (make.fixed([[1, 2, 3], [4, 5, 6]]), make.fixed([2, 6, 7])), {}
    yield (make.fixed([[1, 2, 3], [4, 5, 6]]), 4), {"invert": True}
    yield (make.fixed([1, 2, 3]), make.fixed([[3, 1]])), {"assume_unique": True}


@operator(samples=_samples_isin, vjp="none", method=False)
def _isin(elements: Tensor, test_elements: Tensor) -> Tensor:
    """Whether each element is among the others."""
    return (elements.unsqueeze(-1) == test_elements.reshape(-1)).any(-1)


@front(_isin, out=True)
def isin(elements: Any, test_elements: Any, *, assume_unique: bool = False, invert: bool = False) -> Tensor:
    """Whether each element is among `test_elements`.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.isin.html

    >>> import flambeau as torch
    >>> torch.isin(torch.tensor([1, 2]), torch.tensor([2, 3]))
    tensor([False,  True])
    """
    like = elements if isinstance(elements, Tensor) else test_elements
    if not isinstance(elements, Tensor):
        elements = construct.tensor(elements, device=like.device)
    if not isinstance(test_elements, Tensor):
        test_elements = construct.tensor(test_elements, device=like.device)
    for each in (elements, test_elements):
        if each._kind.dtype.category in (dtypes.BOOL, dtypes.COMPLEX):
            raise DtypeError(f"isin: unsupported input type: {each.dtype}; allowed: integer and floating dtypes")
    found = _isin(elements, test_elements)
    return ~found if invert else found


def _samples_unravel(make: Any) -> _samples.Calls:
    yield (make.index(5, high=24), (2, 3, 4)), {}
    yield (make.index(2, 2, high=6), (3, 2)), {}


@composite(samples=_samples_unravel, method=False)
def unravel_index(indices: Tensor, shape: Any) -> tuple[Tensor, ...]:
    """The coordinates, one tensor per dimension, of flat positions in a tensor of this shape.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.unravel_index.html

    >>> import flambeau as torch
    >>> torch.unravel_index(torch.tensor([1, 5]), (2, 3))
    (tensor([0, 1]), tensor([1, 2]))
    """
    if indices._kind.dtype.category != INTEGER:
        raise ArgumentError(f"expected 'indices' to be integer dtype, but got {indices.dtype}")
    sizes = shapes.as_shape((shape,), "unravel_index")
    if any(each < 0 for each in sizes):
        raise ArgumentError(f"'shape' cannot have negative values, but got {sizes}")
    found = []
    rest = indices.to(int64)
    for size in reversed(sizes):
        found.append(rest % size)
        rest = rest // size
    return tuple(reversed(found))
