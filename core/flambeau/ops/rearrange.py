"""Elements put elsewhere: repeated, reversed, rolled, cut to a triangle, laid on a diagonal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flambeau import dtypes, shapes
from flambeau.dispatch import composite, front, operator
from flambeau.errors import ArgumentError, DimensionError, ShapeError
from flambeau.layouts import contiguous_format
from flambeau.ops import _samples, construct, creation, shape as shape_ops
from flambeau.ops.indexing import narrow, select, slice_dim
from flambeau.ops.joining import cat
from flambeau.ops.search import searchsorted
from flambeau.ops.views import _diagonal, diagonal
from flambeau.shapes import Shape, storage_extent
from flambeau.tensor import Tensor


def _given(variadic: tuple[Any, ...], keyword: Any, op: str) -> Shape:
    """The ints of a call `f(1, 2)`, `f((1, 2))` or `f(name=(1, 2))`."""
    if keyword is not None:
        variadic = (keyword,)
    return () if len(variadic) == 1 and not shapes.is_int(variadic[0]) and not len(variadic[0]) else (
        shape_ops.as_dims(variadic, op))


# ---------------------------------------------------------------------------------------------- repeated
def _sum_repeats(g: Tensor, shape: Shape, repeats: Shape) -> Tensor:
    if 0 in repeats:
        return g.new_zeros(shape)
    extra = len(repeats) - len(shape)
    sizes = (1,) * extra + shape
    split = [each for pair in zip(repeats, sizes, strict=True) for each in pair]
    return g.reshape(split).sum(tuple(range(0, 2 * len(sizes), 2))).reshape(shape)


@operator(vjp={"input": lambda g, input_shape, repeats: _sum_repeats(g, input_shape, repeats)}, dtype_rule="any",
          namespace="Tensor", samples=_samples.on(((2, 3), (2, 1)), ((2, 3), (3, 1, 2))))
def _repeat(input: Tensor, repeats: Shape) -> Tensor:
    """The tensor as often along each dimension as `repeats` says."""
    shape = (1,) * (len(repeats) - input.dim()) + input._array.shape
    split = tuple([each for size in shape for each in (1, size)])
    wide = tuple([each for pair in zip(repeats, shape, strict=True) for each in pair])
    whole = tuple([count * size for count, size in zip(repeats, shape, strict=True)])
    return input.reshape(split).expand(wide).clone().reshape(whole)


@front(_repeat)
def repeat(input: Tensor, *counts: Any, repeats: Any = None) -> Tensor:
    """The tensor repeated along each dimension; further counts in front add dimensions.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.Tensor.repeat.html

    >>> import flambeau as torch
    >>> torch.tensor([1, 2]).repeat(2, 2)
    tensor([[1, 2, 1, 2],
            [1, 2, 1, 2]])
    """
    counts = _given(counts, repeats, "repeat")
    if len(counts) < len(input._array.shape):
        raise ShapeError("repeat: Number of dimensions of repeat dims can not be smaller than number of "
                         "dimensions of "
                         f"tensor; given: {list(counts)} for shape {list(input._array.shape)}")
    if any(each < 0 for each in counts):
        raise ArgumentError(f"repeat: Trying to create tensor with negative dimension; given: {list(counts)}")
    return _repeat(input, counts)


@composite(samples=_samples.on(((2, 3), (2,)), ((2, 3), (3, 1, 2))))
def tile(input: Tensor, *counts: Any, dims: Any = None) -> Tensor:
    """`repeat`, where missing leading counts are 1.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.tile.html

    >>> import flambeau as torch
    >>> torch.tensor([1, 2]).tile(2)
    tensor([1, 2, 1, 2])
    """
    counts = _given(counts, dims, "tile")
    return repeat(input, (1,) * (len(input._array.shape) - len(counts)) + counts)


def _samples_interleave(make: Any) -> _samples.Calls:
    yield (make(2, 3), 2), {}
    yield (make(2, 3), 2, -1), {}
    yield (make(2, 3), make.fixed([1, 0, 2], dtype=dtypes.int64), 1), {}
    yield (make(2, 3), make.fixed([2, 1], dtype=dtypes.int64), 0), {"output_size": 3}
    yield (make.fixed([1, 0, 2], dtype=dtypes.int64),), {}


@composite(samples=_samples_interleave)
def repeat_interleave(input: Tensor, repeats: Any = None, dim: int | None = None, *,
                      output_size: int | None = None) -> Tensor:
    """Each element, or each slice along `dim`, repeated: all as often, or as often as a vector of counts says.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.repeat_interleave.html

    >>> import flambeau as torch
    >>> torch.tensor([1, 2]).repeat_interleave(2)
    tensor([1, 1, 2, 2])
    """
    if repeats is None:
        return _interleaved_places(input)
    if dim is None:
        input, dim = input.flatten(), 0
    if not input._array.shape:
        input = input.reshape(1)
    dim = shapes.wrap_dim(dim, input.dim())
    shape = input._array.shape
    if isinstance(repeats, Tensor) and repeats.numel() == 1:
        repeats = int(repeats.item())
    if shapes.is_int(repeats):
        if repeats < 0:
            raise ArgumentError(f"repeat_interleave: repeats has to be non-negative; given: {repeats}")
        wide = input.unsqueeze(dim + 1).expand((*shape[:dim + 1], repeats, *shape[dim + 1:]))
        return wide.clone(memory_format=contiguous_format).flatten(dim, dim + 1)
    counts = repeats if isinstance(repeats, Tensor) else as_counts(repeats, input)
    if counts.dim() > 1:
        raise ArgumentError("repeat_interleave: repeats must be 0-dim or 1-dim tensor; "
                            f"given: {counts.dim()} dimensions")
    if counts.numel() != shape[dim]:
        raise ArgumentError("repeat_interleave: repeats must have the same size as input along dim, but got "
                            f"repeats.size(0) = {counts.numel()} and input.size({dim}) = {shape[dim]}")
    return input.index_select(dim, _interleaved_places(counts))


def as_counts(repeats: Sequence[int], input: Tensor) -> Tensor:
    """A vector of counts on the tensor's device."""
    return construct.tensor(list(repeats), device=input.device)


def _interleaved_places(counts: Tensor) -> Tensor:
    if counts._kind.dtype not in (dtypes.int64, dtypes.int32):
        raise ArgumentError(f"repeat_interleave: repeats has to be Long or Int tensor; given: {counts.dtype}")
    if counts.numel() and int(counts.min().item()) < 0:
        raise ArgumentError(f"repeat_interleave: repeats can not be negative; given: {counts.tolist()}")
    ends = counts.cumsum(0)
    total = int(ends[-1].item()) if counts.numel() else 0
    places = creation.arange(total, device=counts.device)
    found = searchsorted(ends, places, right=True)
    return found.to(counts._kind.dtype)


# ---------------------------------------------------------------------------------------------- reversed and rolled
@operator(vjp={"input": lambda g, dims: _flip(g, dims)}, dtype_rule="any",
          samples=_samples.on(((2, 3, 4), (0,)), ((2, 3, 4), (1, -1))))
def _flip(input: Tensor, dims: Shape) -> Tensor:
    """Reverse the order along dimensions (counted from the start)."""
    for dim in dims:
        size = input._array.shape[dim]
        places = _descending(input, size)
        input = input.index_select(dim, places)
    return input.clone() if not dims else input


def _descending(input: Tensor, size: int) -> Tensor:
    return (size - 1) - creation.arange(size, device=input.device)


@front(_flip)
def flip(input: Tensor, *axes: Any, dims: Any = None) -> Tensor:
    """A copy with the order along the given dimensions reversed.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.flip.html

    >>> import flambeau as torch
    >>> torch.tensor([1, 2, 3]).flip(0)
    tensor([3, 2, 1])
    """
    wrapped = shapes.wrap_dims(_given(axes, dims, "flip"), len(input._array.shape))
    return _flip(input, wrapped if input._array.shape else ())


@composite(samples=_samples.on(((2, 3),)))
def fliplr(input: Tensor) -> Tensor:
    """The order along dimension 1 reversed.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.fliplr.html

    >>> import flambeau as torch
    >>> torch.fliplr(torch.tensor([[1, 2], [3, 4]]))
    tensor([[2, 1],
            [4, 3]])
    """
    if input.dim() < 2:
        raise ArgumentError(f"fliplr: Input must be >= 2-d; given: {input.dim()}-d")
    return flip(input, 1)


@composite(samples=_samples.on(((2, 3),)))
def flipud(input: Tensor) -> Tensor:
    """The order along dimension 0 reversed.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.flipud.html

    >>> import flambeau as torch
    >>> torch.flipud(torch.tensor([[1, 2], [3, 4]]))
    tensor([[3, 4],
            [1, 2]])
    """
    if input.dim() < 1:
        raise ArgumentError("flipud: Input must be >= 1-d; given: 0-d")
    return flip(input, 0)


@operator(vjp={"input": lambda g, shifts, dims: _roll(g, tuple([-each for each in shifts]), dims)}, dtype_rule="any",
          samples=_samples.on(((2, 3), 2), ((2, 3, 4), 1, -2), ((2, 3, 4), (1, -3), (0, 2))))
def _roll(input: Tensor, shifts: Shape, dims: Shape) -> Tensor:
    """Shift along dimensions; what leaves at one end comes back at the other."""
    for shift, dim in zip(shifts, dims, strict=True):
        size = input._array.shape[dim]
        shift = shift % size if size else 0
        input = cat((narrow(input, dim, size - shift, shift), narrow(input, dim, 0, size - shift)), dim)
    return input


@front(_roll)
def roll(input: Tensor, shifts: Any, dims: Any = None) -> Tensor:
    """Elements shifted along dimensions; what leaves at one end comes back at the other. Without `dims`, flat.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.roll.html

    >>> import flambeau as torch
    >>> torch.tensor([1, 2, 3]).roll(1)
    tensor([3, 1, 2])
    """
    steps = (shifts,) if shapes.is_int(shifts) else tuple(shifts)
    if not steps:
        raise ArgumentError("roll: `shifts` required")
    along = () if dims is None else (dims,) if shapes.is_int(dims) else tuple(dims)
    if not along and len(steps) == 1:
        return _roll(input.reshape(-1), steps, (0,)).reshape(input._array.shape)
    if len(along) != len(steps):
        raise ArgumentError(f"roll: shifts and dimensions must align. shifts: {len(steps)}, dims:{len(along)}")
    ndim = len(input._array.shape)
    if not ndim:
        raise DimensionError("roll: Dimension specified as 0 but tensor has no dimensions")
    return _roll(input, steps, tuple([shapes.wrap_dim(each, ndim) for each in along]))


@operator(vjp={"input": lambda g, k, dims: rot90(g, -k, dims)}, dtype_rule="any",
          samples=_samples.on(((2, 3),), ((2, 3), 2), ((2, 3, 4), -1, (2, 0))))
def _rot90(input: Tensor, k: int, dims: Shape) -> Tensor:
    """Turn the plane of two dimensions by k times 90 degrees."""
    first, second = dims
    if k == 1:
        return flip(input, second).transpose(first, second).clone()
    if k == 2:
        return flip(input, dims)
    if k == 3:
        return flip(input, first).transpose(first, second).clone()
    return input.clone()


@front(_rot90)
def rot90(input: Tensor, k: int = 1, dims: Sequence[int] = (0, 1)) -> Tensor:
    """The plane of two dimensions turned by k times 90 degrees, from the first dimension towards the second.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.rot90.html

    >>> import flambeau as torch
    >>> torch.tensor([[1, 2], [3, 4]]).rot90()
    tensor([[2, 4],
            [1, 3]])
    """
    ndim = input.dim()
    if len(dims) != 2:
        raise ArgumentError(f"rot90: expected total rotation dims == 2, but got dims = {len(dims)}")
    if ndim < 2:
        raise ArgumentError(f"rot90: expected total dims >= 2, but got total dims = {ndim}")
    if dims[0] == dims[1] or abs(dims[0] - dims[1]) == ndim:
        raise ArgumentError("rot90: expected rotation dims to be different, but got dim0 = "
                            f"{dims[0]} and dim1 = {dims[1]}")
    return _rot90(input, k % 4, (shapes.wrap_dim(dims[0], ndim), shapes.wrap_dim(dims[1], ndim)))


# ---------------------------------------------------------------------------------------------- triangles
def _triangle_mask(input: Tensor, diagonal_: int) -> Tensor:
    rows, columns = input._array.shape[-2:]
    down = creation.arange(rows, device=input.device).reshape(-1, 1)
    along = creation.arange(columns, device=input.device)
    return along - down <= diagonal_


@operator(vjp={"input": lambda g, diagonal: _tril(g, diagonal)}, dtype_rule="any", inplace=True,
          samples=_samples.on(((3, 4),), ((3, 4), 1), ((2, 4, 3), -1)))
def _tril(input: Tensor, diagonal: int = 0) -> Tensor:
    """Zeros above a diagonal of matrices."""
    return input.masked_fill(~_triangle_mask(input, diagonal), 0)


@operator(vjp={"input": lambda g, diagonal: _triu(g, diagonal)}, dtype_rule="any", inplace=True,
          samples=_samples.on(((3, 4),), ((3, 4), 1), ((2, 4, 3), -1)))
def _triu(input: Tensor, diagonal: int = 0) -> Tensor:
    """Zeros below a diagonal of matrices."""
    return input.masked_fill(_triangle_mask(input, diagonal - 1), 0)


def _check_matrix(input: Tensor, op: str) -> None:
    if input.dim() < 2:
        raise ShapeError(f"{op}: input tensor must have at least 2 dimensions; given: {input.dim()}")


@front(_tril, out=True)
def tril(input: Tensor, diagonal: int = 0) -> Tensor:
    """The lower triangle of matrices, zeros elsewhere; `diagonal` moves its border up.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.tril.html

    >>> import flambeau as torch
    >>> torch.ones(2, 2).tril()
    tensor([[1., 0.],
            [1., 1.]])
    """
    _check_matrix(input, "tril")
    return _tril(input, diagonal)


@front(_triu, out=True)
def triu(input: Tensor, diagonal: int = 0) -> Tensor:
    """The upper triangle of matrices, zeros elsewhere; `diagonal` moves its border up.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.triu.html

    >>> import flambeau as torch
    >>> torch.ones(2, 2).triu()
    tensor([[1., 1.],
            [0., 1.]])
    """
    _check_matrix(input, "triu")
    return _triu(input, diagonal)


def _triangle_indices(row: int, col: int, keep: Any, dtype: Any, device: Any, op: str) -> Tensor:
    if row < 0 or col < 0:
        raise ArgumentError(f"{op}: row and col must be non-negative, got {row} and {col}")
    places = [(i, j) for i in range(row) for j in range(col) if keep(i, j)]
    wanted = dtypes.int64 if dtype is None else dtypes.as_dtype(dtype)
    return construct.tensor([[i for i, _ in places], [j for _, j in places]], dtype=wanted, device=device)


def _samples_triangle(make: Any) -> _samples.Calls:
    for offset in (0, 1, -1):
        yield (3, 4, offset), {"device": make.device}
    yield (4, 3), {"dtype": dtypes.int32, "device": make.device}


@composite(samples=_samples_triangle, method=False)
def tril_indices(row: int, col: int, offset: int = 0, *, dtype: Any = None, device: Any = None,
                 layout: Any = None) -> Tensor:
    """Rows and columns of the lower triangle's elements, as a (2, n) tensor in row order.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.tril_indices.html

    >>> import flambeau as torch
    >>> torch.tril_indices(2, 2)
    tensor([[0, 1, 1],
            [0, 0, 1]])
    """
    return _triangle_indices(row, col, lambda i, j: j - i <= offset, dtype, device, "tril_indices")


@composite(samples=_samples_triangle, method=False)
def triu_indices(row: int, col: int, offset: int = 0, *, dtype: Any = None, device: Any = None,
                 layout: Any = None) -> Tensor:
    """Rows and columns of the upper triangle's elements, as a (2, n) tensor in row order.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.triu_indices.html

    >>> import flambeau as torch
    >>> torch.triu_indices(2, 3)
    tensor([[0, 0, 0, 1, 1],
            [0, 1, 2, 1, 2]])
    """
    return _triangle_indices(row, col, lambda i, j: j - i >= offset, dtype, device, "triu_indices")


# ---------------------------------------------------------------------------------------------- diagonals
@operator(vjp={"input": lambda g, offset, dim1, dim2: diagonal(g, offset, dim1, dim2)}, dtype_rule="any",
          samples=_samples.on(((2, 3),), ((2, 3), 1), ((2, 3), -1, 0, 2), ((2, 3), 0, -1, 0)))
def _diag_embed(input: Tensor, offset: int, dim1: int, dim2: int) -> Tensor:
    """The last dimension on a diagonal of two new ones, whose places in the result are given."""
    shape = input._array.shape
    size = shape[-1] + abs(offset)
    rest = list(shape[:-1])
    for dim in sorted((dim1, dim2)):
        rest.insert(dim, size)
    result = input.new_zeros(tuple(rest))
    diagonal(result, offset, dim1, dim2).copy_(input)
    return result


@front(_diag_embed)
def diag_embed(input: Tensor, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Tensor:
    """The vectors of the last dimension on the diagonals of new matrices.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.diag_embed.html

    >>> import flambeau as torch
    >>> torch.diag_embed(torch.tensor([1, 2]))
    tensor([[1, 0],
            [0, 2]])
    """
    ndim = len(input._array.shape) + 1
    first, second = shapes.wrap_dim(dim1, ndim), shapes.wrap_dim(dim2, ndim)
    if first == second:
        raise ArgumentError(f"diagonal dimensions cannot be identical {dim1}, {dim2}")
    return _diag_embed(input, offset, first, second)


@composite(samples=_samples.on(((3,),), ((3,), 1), ((3, 4),), ((3, 4), -1)), out=True)
def diag(input: Tensor, diagonal: int = 0) -> Tensor:
    """A vector as a diagonal matrix; of a matrix, a copy of its diagonal.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.diag.html

    >>> import flambeau as torch
    >>> torch.diag(torch.tensor([1, 2]))
    tensor([[1, 0],
            [0, 2]])
    """
    if input.dim() == 1:
        return diag_embed(input, diagonal)
    if input.dim() != 2:
        raise ShapeError(f"diag(): Supports 1D or 2D tensors. Got {input.dim()}D")
    return _diagonal(input, diagonal, 0, 1).clone()


@composite(samples=_samples.on(((3,),), ((2, 3), -1)))
def diagflat(input: Tensor, offset: int = 0) -> Tensor:
    """All elements on the diagonal of a matrix.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.diagflat.html

    >>> import flambeau as torch
    >>> torch.diagflat(torch.tensor([1, 2]))
    tensor([[1, 0],
            [0, 2]])
    """
    return diag_embed(input.reshape(-1), offset)


def _samples_diagonal_scatter(make: Any) -> _samples.Calls:
    yield (make(3, 4), make(3)), {}
    yield (make(2, 3, 4), make(3, 2), 1, 0, -1), {}


@operator(vjp={"input": lambda g, offset, dim1, dim2: _scattered(g, lambda x: diagonal(x, offset, dim1, dim2)),
               "src": lambda g, offset, dim1, dim2: diagonal(g, offset, dim1, dim2)}, dtype_rule="any",
          samples=_samples_diagonal_scatter)
def diagonal_scatter(input: Tensor, src: Tensor, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Tensor:
    """A copy with a diagonal replaced by `src`.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.diagonal_scatter.html

    >>> import flambeau as torch
    >>> torch.diagonal_scatter(torch.zeros(2, 2), torch.ones(2))
    tensor([[1., 0.],
            [0., 1.]])
    """
    return _replaced(input, src, lambda x: diagonal(x, offset, dim1, dim2), "diagonal_scatter")


def _samples_select_scatter(make: Any) -> _samples.Calls:
    yield (make(2, 3), make(3), 0, 1), {}
    yield (make(2, 3, 4), make(2, 4), -2, -1), {}


@operator(vjp={"input": lambda g, dim, index: _scattered(g, lambda x: select(x, dim, index)),
               "src": lambda g, dim, index: select(g, dim, index)}, dtype_rule="any", samples=_samples_select_scatter)
def select_scatter(input: Tensor, src: Tensor, dim: int, index: int) -> Tensor:
    """A copy with the slice at one index of a dimension replaced by `src`.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.select_scatter.html

    >>> import flambeau as torch
    >>> torch.zeros(2, 2).select_scatter(torch.ones(2), 0, 0)
    tensor([[1., 1.],
            [0., 0.]])
    """
    return _replaced(input, src, lambda x: select(x, dim, index), "select_scatter")


def _ranged(x: Tensor, dim: int, start: int | None, end: int | None, step: int) -> Tensor:
    return slice_dim(x, shapes.wrap_dim(dim, x.dim()), start, end, step)


def _samples_slice_scatter(make: Any) -> _samples.Calls:
    yield (make(4, 3), make(2, 3)), {"start": 1, "end": 3}
    yield (make(2, 5), make(2, 2), -1, 1, 5, 2), {}


@operator(vjp={"input": lambda g, dim, start, end, step: _scattered(g, lambda x: _ranged(x, dim, start, end, step)),
               "src": lambda g, dim, start, end, step: _ranged(g, dim, start, end, step)}, dtype_rule="any",
          samples=_samples_slice_scatter)
def slice_scatter(input: Tensor, src: Tensor, dim: int = 0, start: int | None = None, end: int | None = None,
                  step: int = 1) -> Tensor:
    """A copy with a range of indices of a dimension replaced by `src`.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.slice_scatter.html

    >>> import flambeau as torch
    >>> torch.slice_scatter(torch.zeros(4), torch.ones(2), start=1, end=3)
    tensor([0., 1., 1., 0.])
    """
    return _replaced(input, src, lambda x: _ranged(x, dim, start, end, step), "slice_scatter")


def _samples_strided_scatter(make: Any) -> _samples.Calls:
    # PyTorch's gradient of the first operand is zero in the wrong places: it is no oracle there.
    yield (make(4, 3, requires_grad=False), make(2, 3), (2, 3), (1, 4), 1), {}
    yield (make(4, 3, requires_grad=False), make(3, 2), (3, 2), (2, 1)), {}


@composite(samples=_samples_strided_scatter)
def as_strided_scatter(input: Tensor, src: Tensor, size: Any, stride: Any, storage_offset: int | None = None) -> Tensor:
    """A copy with the elements of a strided layout replaced by `src`.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.as_strided_scatter.html

    >>> import flambeau as torch
    >>> torch.as_strided_scatter(torch.zeros(4), torch.ones(2), (2,), (2,))
    tensor([1., 0., 1., 0.])
    """
    strides, offset = input._kind.backend.layout(input._array)   # `stride` counts in the memory as it lies
    extent = storage_extent(input._array.shape, strides, offset)
    copy = input.as_strided((extent,), (1,), 0).clone().as_strided(input._array.shape, strides, offset)
    copy.as_strided(size, stride, offset if storage_offset is None else storage_offset).copy_(src)
    return copy


def _replaced(input: Tensor, src: Tensor, look: Any, op: str) -> Tensor:
    copy = input.clone()
    part = look(copy)
    if part._array.shape != src._array.shape:
        raise ShapeError(f"{op}: expected src to have a size equal to the slice of self. src size = "
                         f"{list(src._array.shape)}, slice size = {list(part._array.shape)}")
    part.copy_(src)
    return copy


def _scattered(g: Tensor, look: Any) -> Tensor:
    """The gradient of what was not replaced."""
    result = g.clone()
    look(result).zero_()
    return result
