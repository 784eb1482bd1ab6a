"""Values picked, written and added by index along a dimension, and by mask."""

from __future__ import annotations

from typing import Any

from flambeau import dtypes, shapes
from flambeau.dispatch import composite, front, operator, primitive
from flambeau.dispatch.pointwise import to_category
from flambeau.errors import ArgumentError, ArgumentTypeError, DimensionError, DtypeError, ShapeError
from flambeau.ops import _faces, _samples, creation, rules
from flambeau.ops.indexing import _index, _index_put, out_of_range
from flambeau.ops.mutation import mutate
from flambeau.shapes import Shape
from flambeau.tensor import Tensor, attach

_INDEX = (dtypes.int64, dtypes.int32)


# ---------------------------------------------------------------------------------------------- gather and scatter
def _check_gather(input: Tensor, dim: int, index: Tensor, op: str) -> None:
    shape, wanted = input._array.shape or (1,), index._array.shape or (1,)
    if index._kind.dtype not in _INDEX:
        raise ArgumentError(f"{op}(): Expected dtype int64 for index; given: {index.dtype}")
    if 0 in wanted:
        return
    if len(shape) != len(wanted):
        raise ShapeError(f"{op}: Index tensor must have the same number of dimensions as input tensor; given: "
                         f"{list(wanted)} for {list(shape)}")
    for number, (mine, theirs) in enumerate(zip(shape, wanted, strict=True)):
        if number != dim and theirs > mine:
            raise ShapeError(f"{op}: Size does not match at dimension {number} expected index {list(wanted)} to be no "
                             f"larger than self {list(shape)} apart from dimension {dim}")
    size = shape[dim]
    value = out_of_range(index, 0, size)
    if value is not None:
        raise ArgumentError(f"{op}: index {value} is out of bounds for dimension {dim} with size {size}")


@primitive(vjp={"input": lambda g, input_shape, dim, index: _scatter_add(g.new_zeros(input_shape), dim, index, g)},
           dtype_rule="any", samples=_samples.gather)
def _gather(input: Tensor, dim: int, index: Tensor) -> Shape:
    """Look up along a dimension, element by element of the index."""
    _check_gather(input, dim, index, "gather")
    return index._array.shape


@front(_gather)
def gather(input: Tensor, dim: int, index: Tensor, *, sparse_grad: bool = False, out: Tensor | None = None) -> Tensor:
    """The elements at the positions along `dim` that `index` gives; the result has the shape of `index`.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.gather.html

    >>> import flambeau as torch
    >>> torch.tensor([[1, 2], [3, 4]]).gather(1, torch.tensor([[1], [0]]))
    tensor([[2],
            [3]])
    """
    result = _gather(input, shapes.wrap_dim(dim, len(input._array.shape)), rules.as_places(index))
    return result if out is None else _faces.write_apart("gather", out, result, input, index)


def _scatter_rule(op: str, input: Tensor, dim: int, index: Tensor) -> Shape:
    _check_gather(input, dim, index, op)
    return input._array.shape


@primitive(samples=_samples.scatter, vjp={"input": lambda g, dim, index: _scatter_value(g, dim, index, 0),
                "src": lambda g, dim, index: _gather(g, dim, index)}, dtype_rule="any")
def _scatter(input: Tensor, dim: int, index: Tensor, src: Tensor) -> Shape:
    """A copy with the elements at the positions along a dimension replaced by `src`, which has the index's shape."""
    return _scatter_rule("scatter", input, dim, index)


@operator(vjp={"input": lambda g, dim, index: _scatter_value(g, dim, index, 0)}, dtype_rule="any", method=False,
          grad_name="ScatterBackward1",
          shape_rule=lambda input, dim, index, value: _scatter_rule("scatter", input, dim, index),
          samples=_samples.scatter_value)
def _scatter_value(input: Tensor, dim: int, index: Tensor, value: Any) -> Tensor:
    """A copy with the elements at the positions along a dimension replaced by a number."""
    return _scatter(input, dim, index, creation._full(index._array.shape, value, input._kind))


@primitive(vjp={"input": lambda g: g, "src": lambda g, dim, index: _gather(g, dim, index)},
           samples=_samples.scatter_add)
def _scatter_add(input: Tensor, dim: int, index: Tensor, src: Tensor) -> Shape:
    """A copy with `src` added at the positions along a dimension."""
    return _scatter_rule("scatter_add", input, dim, index)


def _scatter_source(input: Tensor, dim: int, index: Tensor, src: Tensor, op: str) -> tuple[int, Tensor]:
    """The dimension and the part of the source that the index covers; checks dtypes and sizes."""
    dim = shapes.wrap_dim(dim, len(input._array.shape))
    if not isinstance(index, Tensor) or index._kind.dtype not in _INDEX:
        raise ArgumentError(f"{op}(): Expected dtype int64 for index")
    if src._kind.dtype is not input._kind.dtype:
        raise DtypeError(f"{op}(): Expected self.dtype to be equal to src.dtype; given: {input.dtype} and "
                         f"{src.dtype}")
    wanted, have = index._array.shape, src._array.shape
    if have != wanted and index.numel():
        if len(have or (1,)) != len(wanted or (1,)):
            raise ShapeError(f"{op}(): Index tensor must have the same number of dimensions as src tensor; "
                             f"given: {list(wanted)} and {list(have)}")
        if any(mine > theirs for mine, theirs in zip(wanted, have, strict=False)):
            raise ShapeError(f"{op}(): Expected index {list(wanted)} to be no larger than src {list(have)}")
        src = src[tuple([slice(0, size) for size in wanted])] if wanted else src.reshape(())
    return dim, src if index.numel() else src.new_empty(wanted)


_REDUCTIONS = {"add": "sum", "multiply": "prod"}


def _scatter_call(input: Tensor, dim: int, index: Tensor, src: Any, value: Any, reduce: str | None) -> Any:
    """The record and the canonical arguments for a call of `scatter`."""
    index = rules.as_places(index)
    if src is None:
        src = value
    if reduce is not None:
        if reduce not in _REDUCTIONS:
            raise ArgumentError(f"scatter(): reduce argument must be either add or multiply; given: {reduce!r}")
        if not isinstance(src, Tensor):
            src = creation._full(index._array.shape, src, input._kind)
        dim, src = _scatter_source(input, dim, index, src, "scatter")
        return _scatter_reduce, (input, dim, index, src, _REDUCTIONS[reduce], True)
    if isinstance(src, Tensor) and (src._array.shape or not index._array.shape):
        dim, src = _scatter_source(input, dim, index, src, "scatter")
        return _scatter, (input, dim, index, src)
    if isinstance(src, Tensor):
        src = src.item()
    return _scatter_value, (input, shapes.wrap_dim(dim, len(input._array.shape)), index, src)


@front(_scatter, out=True)
def scatter(input: Tensor, dim: int, index: Tensor, src: Any = None, *, value: Any = None,
            reduce: str | None = None) -> Tensor:
    """A copy in which the positions along `dim` that `index` gives hold `src`, a tensor or a number.

    `reduce` ("add" or "multiply") combines instead of replacing. Where an index is repeated the last value stays.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.scatter.html

    >>> import flambeau as torch
    >>> torch.zeros(3).scatter(0, torch.tensor([0, 2]), 1.0)
    tensor([1., 0., 1.])
    """
    core, args = _scatter_call(input, dim, index, src, value, reduce)
    return core(*args)


@attach
def scatter_(self: Tensor, dim: int, index: Tensor, src: Any = None, *, value: Any = None,
             reduce: str | None = None) -> Tensor:
    """`scatter` in place."""
    core, args = _scatter_call(self, dim, index, src, value, reduce)
    return mutate(core.op, args, self)


@front(_scatter_add, out=True)
def scatter_add(input: Tensor, dim: int, index: Tensor, src: Tensor) -> Tensor:
    """A copy with `src` added at the positions along `dim` that `index` gives; repeated ones add up.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.scatter_add.html

    >>> import flambeau as torch
    >>> torch.zeros(2).scatter_add(0, torch.tensor([0, 0, 1]), torch.ones(3))
    tensor([2., 1.])
    """
    dim, src = _scatter_source(input, dim, index, src, "scatter_add")
    return _scatter_add(input, dim, rules.as_places(index), src)


@attach
def scatter_add_(self: Tensor, dim: int, index: Tensor, src: Tensor) -> Tensor:
    """`scatter_add` in place."""
    dim, src = _scatter_source(self, dim, index, src, "scatter_add")
    return mutate(_scatter_add.op, (self, dim, rules.as_places(index), src), self)  # type: ignore[attr-defined]


def _reduce_backward(g: Tensor, input: Tensor, dim: int, index: Tensor, src: Tensor, reduce: str, include_self: bool,
                     result: Tensor) -> tuple[Tensor, Tensor]:
    if reduce == "sum":
        own, given = g, _gather(g, dim, index)
    elif reduce == "mean":
        count = creation.ones_like(g) if include_self else creation.zeros_like(g)
        count = _scatter_add(count, dim, index, creation.ones_like(src))
        own = g / count.masked_fill(count == 0, 1)
        given = _gather(own, dim, index)
    elif reduce == "prod":
        own, given = _prod_backward(g, input, dim, index, src, include_self, result)
    else:
        is_own = (input == result).to(g._kind.dtype)
        is_given = (src == _gather(result, dim, index)).to(g._kind.dtype)
        count = _scatter_add(is_own, dim, index, is_given)
        share = g / count.masked_fill(count == 0, 1)
        own, given = is_own * share, is_given * _gather(share, dim, index)
    return own if include_self else _scatter_value(own, dim, index, 0), given


def _prod_backward(g: Tensor, input: Tensor, dim: int, index: Tensor, src: Tensor, include_self: bool,
                   result: Tensor) -> tuple[Tensor, Tensor]:
    """The product of all other factors, for each factor: found by division, except where a factor is zero."""
    filled = input.masked_fill(input == 0, 1)
    own = g * _scatter_reduce(filled, dim, index, src, "prod", include_self) / filled
    zero = src == 0
    zeros = _scatter_add(creation.zeros_like(input), dim, index, zero.to(input._kind.dtype))
    only = zero & (_gather(zeros, dim, index) == 1)
    without = _scatter_reduce(input, dim, index, src.masked_fill(only, 1), "prod", include_self)
    divided = _gather(g * result, dim, index) / src.masked_fill(zero, 1)
    return own, _gather(g * without, dim, index).where(only, divided)


@primitive(vjp={("input", "src"): lambda g, input, dim, index, src, reduce, include_self, result:
                _reduce_backward(g, input, dim, index, src, reduce, include_self, result)},
           samples=_samples.scatter_reduce)
def _scatter_reduce(input: Tensor, dim: int, index: Tensor, src: Tensor, reduce: str, include_self: bool) -> Shape:
    """A copy in which the positions along a dimension are combined with `src`."""
    return _scatter_rule("scatter_reduce", input, dim, index)


def _checked_reduce(reduce: str, input: Tensor) -> str:
    if reduce not in ("sum", "prod", "mean", "amax", "amin"):
        raise ArgumentError(f"reduce argument must be either sum, prod, mean, amax or amin, got {reduce}")
    if reduce in ("amax", "amin") and input._kind.dtype.is_complex:
        raise DtypeError(f"scatter_reduce: {reduce!r} not implemented for {input.dtype}, which has no order")
    return reduce


@front(_scatter_reduce, out=True)
def scatter_reduce(input: Tensor, dim: int, index: Tensor, src: Tensor, reduce: str, *,
                   include_self: bool = True) -> Tensor:
    """A copy in which the elements of `src` for one position are combined: "sum", "prod", "mean", "amax" or "amin".

    `include_self` says whether the value that is there takes part.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.scatter_reduce.html

    >>> import flambeau as torch
    >>> torch.zeros(2).scatter_reduce(0, torch.tensor([0, 0, 1]), torch.tensor([1., 3., 2.]), "amax")
    tensor([3., 2.])
    """
    dim, src = _scatter_source(input, dim, index, src, "scatter_reduce")
    return _scatter_reduce(input, dim, rules.as_places(index), src, _checked_reduce(reduce, input), include_self)


@attach
def scatter_reduce_(self: Tensor, dim: int, index: Tensor, src: Tensor, reduce: str, *,
                    include_self: bool = True) -> Tensor:
    """`scatter_reduce` in place."""
    dim, src = _scatter_source(self, dim, index, src, "scatter_reduce")
    args = (self, dim, rules.as_places(index), src, _checked_reduce(reduce, self), include_self)
    return mutate(_scatter_reduce.op, args, self)  # type: ignore[attr-defined]


@composite(samples=_samples.take_along_dim)
def take_along_dim(input: Tensor, indices: Tensor, dim: int | None = None) -> Tensor:
    """`gather` with the index broadcast against the tensor; without `dim` both are flattened.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.take_along_dim.html

    >>> import flambeau as torch
    >>> torch.take_along_dim(torch.tensor([[3, 1, 2]]), torch.tensor([[1, 2, 0]]), dim=1)
    tensor([[1, 2, 3]])
    """
    if indices._kind.dtype not in _INDEX:
        raise ArgumentError(f"torch.take_along_dim(): dtype of indices should be Long but got {indices.dtype}")
    if dim is None:
        return gather(input.reshape(-1), 0, indices.reshape(-1))
    ndim = input.dim()
    if ndim != indices.dim():
        raise ArgumentError("torch.take_along_dim(): input and indices should have the same number of dimensions, but "
                            f"got {ndim} dimensions for input, and {indices.dim()} dimensions for indices")
    dim = shapes.wrap_dim(dim, ndim)
    mine, theirs = list(input._array.shape), list(indices._array.shape)
    own, wanted = mine[dim], theirs[dim]
    mine[dim] = theirs[dim] = 1
    common = list(shapes.broadcast_shapes(tuple(mine), tuple(theirs), op="take_along_dim"))
    common[dim] = own
    input = input.expand(tuple(common))
    common[dim] = wanted
    return gather(input, dim, indices.expand(tuple(common)))


# ---------------------------------------------------------------------------------------------- whole slices
def _check_index(input: Tensor, dim: int, index: Tensor, op: str) -> int:
    if not isinstance(index, Tensor) or index._kind.dtype not in _INDEX:
        raise ArgumentError(f"{op}(): Expected dtype int32 or int64 for index")
    if len(index._array.shape) > 1:
        raise DimensionError(f"{op}(): Index is supposed to be a vector; given: {index.dim()} dimensions")
    return shapes.wrap_dim(dim, len(input._array.shape))


def _along(dim: int, index: Tensor) -> list[Tensor | None]:
    return [*((None,) * dim), rules.as_places(index).reshape(-1)]


def _check_bounds(index: Tensor, size: int, op: str, error: Any) -> None:
    value = out_of_range(index, 0, size)
    if value is not None:
        raise error(f"{op}(): index out of range in self; given: {value}, allowed: 0 to {size - 1}")


@operator(vjp={"input": lambda g, input_shape, dim, index: _index_add(g.new_zeros(input_shape), dim, index, g, 1)},
          dtype_rule="any", samples=_samples.index_select)
def _index_select(input: Tensor, dim: int, index: Tensor) -> Tensor:
    """The slices along a dimension that a vector names."""
    _check_bounds(index, (input._array.shape or (1,))[dim], "index_select", DimensionError)
    if not input._array.shape:
        return input.reshape(1)[index.reshape(-1)].reshape(())
    return _index(input, _along(dim, index))


_index_select.op.shape_rule = lambda input, dim, index: _check_bounds(  # type: ignore[attr-defined]
    index, (input._array.shape or (1,))[dim], "index_select", DimensionError)


@front(_index_select, out=True)
def index_select(input: Tensor, dim: int, index: Tensor) -> Tensor:
    """A copy of the slices along a dimension that a vector of indices names, in its order.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.index_select.html

    >>> import flambeau as torch
    >>> torch.tensor([[1, 2], [3, 4]]).index_select(1, torch.tensor([1]))
    tensor([[2],
            [4]])
    """
    return _index_select(input, _check_index(input, dim, index, "index_select"), index)


@operator(samples=_samples.index_add, dtype_rule="any", vjp={
    "input": lambda g: g,
    "source": lambda g, dim, index, alpha, source_shape: _picked(g, dim, index, source_shape) * alpha})
def _index_add(input: Tensor, dim: int, index: Tensor, source: Tensor, alpha: Any) -> Tensor:
    """A copy with `alpha * source` added to the slices that a vector names."""
    _check_bounds(index, (input._array.shape or (1,))[dim], "index_add", ArgumentError)
    values = source if alpha == 1 else (source * alpha).to(source._kind.dtype)
    if not input._array.shape:
        return (input + values.sum()).to(input._kind.dtype)
    return _index_put(input, _along(dim, index), _as_slices(input, dim, values), True)


def _as_slices(input: Tensor, dim: int, source: Tensor) -> Tensor:
    """A 0-d source stands for one slice of a vector."""
    return source if source._array.shape else source.reshape(1)


def _picked(g: Tensor, dim: int, index: Tensor, shape: Shape) -> Tensor:
    return _index_select(g, dim, index).reshape(shape)


def _source_arguments(op: str, input: Tensor, dim: int, index: Tensor, source: Tensor) -> int:
    dim = _check_index(input, dim, index, op)
    if source._kind.dtype is not input._kind.dtype:
        raise ArgumentError(f"{op}(): self ({input.dtype}) and source ({source.dtype}) must have the same scalar type")
    mine, theirs = input._array.shape or (1,), source._array.shape or (1,)
    count = index.numel()
    if len(mine) == len(theirs) and theirs[dim] != count:
        raise (DimensionError if op == "index_copy" else ArgumentError)(
            f"{op}(): Number of indices ({count}) should be equal to source.size(dim): ({theirs[dim]}), for dim: {dim}")
    if (*mine[:dim], count, *mine[dim + 1:]) != theirs:
        raise ArgumentError(f"{op}(): source tensor shape must match self tensor shape, excluding the specified "
                            f"dimension. Got self.shape = {list(mine)} source.shape = {list(theirs)}")
    if not (input._kind.backend.capabilities.asynchronous and op in input._kind.kernels):  # which tells of it later
        _check_bounds(index, mine[dim], op, ArgumentError if op == "index_add" else DimensionError)
    return dim


@front(_index_add, out=True)
def index_add(input: Tensor, dim: int, index: Tensor, source: Tensor, *, alpha: Any = 1) -> Tensor:
    """A copy with `alpha * source` added to the slices along `dim` that a vector of indices names.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.index_add.html

    >>> import flambeau as torch
    >>> torch.zeros(3).index_add(0, torch.tensor([0, 0]), torch.ones(2))
    tensor([2., 0., 0.])
    """
    dim = _source_arguments("index_add", input, dim, index, source)
    return _index_add(input, dim, index, source, _factor(alpha, input))


def _factor(alpha: Any, input: Tensor) -> Any:
    """A factor for elements of an integer tensor, wrapped around to its dtype; any other number as it is."""
    wraps = isinstance(alpha, int) and input._kind.dtype.category == dtypes.INTEGER
    return to_category(alpha, input._kind.dtype) if wraps else alpha


@attach
def index_add_(self: Tensor, dim: int, index: Tensor, source: Tensor, *, alpha: Any = 1) -> Tensor:
    """`index_add` in place."""
    args = (self, _source_arguments("index_add", self, dim, index, source), index, source, _factor(alpha, self))
    return mutate(_index_add.op, args, self)  # type: ignore[attr-defined]


@operator(samples=_samples.index_copy, dtype_rule="any", vjp={
    "input": lambda g, dim, index: _index_fill(g, dim, index, 0),
    "source": lambda g, dim, index, source_shape: _picked(g, dim, index, source_shape)})
def _index_copy(input: Tensor, dim: int, index: Tensor, source: Tensor) -> Tensor:
    """A copy with the slices that a vector names replaced by those of `source`."""
    if not input._array.shape:
        return source.reshape(()).clone()
    return _index_put(input, _along(dim, index), _as_slices(input, dim, source), False)


@front(_index_copy, out=True)
def index_copy(input: Tensor, dim: int, index: Tensor, source: Tensor) -> Tensor:
    """A copy with the slices along `dim` that a vector of indices names replaced by those of `source`.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.index_copy.html

    >>> import flambeau as torch
    >>> torch.zeros(3).index_copy(0, torch.tensor([2, 0]), torch.tensor([5., 6.]))
    tensor([6., 0., 5.])
    """
    return _index_copy(input, _source_arguments("index_copy", input, dim, index, source), index, source)


@attach
def index_copy_(self: Tensor, dim: int, index: Tensor, source: Tensor) -> Tensor:
    """`index_copy` in place."""
    args = (self, _source_arguments("index_copy", self, dim, index, source), index, source)
    return mutate(_index_copy.op, args, self)  # type: ignore[attr-defined]


@operator(vjp={"input": lambda g, dim, index: _index_fill(g, dim, index, 0)}, dtype_rule="any",
          samples=_samples.index_fill)
def _index_fill(input: Tensor, dim: int, index: Tensor, value: Any) -> Tensor:
    """A copy with the slices that a vector names filled with a number."""
    fill = creation._full((), value, input._kind)
    if not input._array.shape:
        return fill if index.numel() else input.clone()
    return _index_put(input, _along(dim, index), fill, False)


@operator(samples=_samples.index_fill_tensor, dtype_rule="any", method=False, grad_name="IndexFillBackward1", vjp={
    "input": lambda g, dim, index: _index_fill(g, dim, index, 0),
    "value": lambda g, dim, index: _index_select(g, dim, index.unique()).sum()})
def _index_fill_tensor(input: Tensor, dim: int, index: Tensor, value: Tensor) -> Tensor:
    """`index_fill` with a 0-d tensor."""
    if not input._array.shape:
        return value.to(input._kind.dtype) if index.numel() else input.clone()
    return _index_put(input, _along(dim, index), value.to(input._kind.dtype), False)


def _fill_call(input: Tensor, dim: int, index: Tensor, value: Any) -> Any:
    dim = _check_index(input, dim, index, "index_fill")
    if isinstance(value, Tensor):
        if value._array.shape:
            raise ArgumentError("index_fill_ only supports a 0-dimensional value tensor, but got tensor with "
                                f"{value.dim()} dimension(s).")
        return _index_fill_tensor, (input, dim, index, value)
    return _index_fill, (input, dim, index, value)


@front(_index_fill)
def index_fill(input: Tensor, dim: int, index: Tensor, value: Any) -> Tensor:
    """A copy with the slices along `dim` that a vector of indices names filled with a value.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.index_fill.html

    >>> import flambeau as torch
    >>> torch.zeros(3).index_fill(0, torch.tensor([0, 2]), 7.)
    tensor([7., 0., 7.])
    """
    core, args = _fill_call(input, dim, index, value)
    return core(*args)


@attach
def index_fill_(self: Tensor, dim: int, index: Tensor, value: Any) -> Tensor:
    """`index_fill` in place."""
    core, args = _fill_call(self, dim, index, value)
    return mutate(core.op, args, self)


# ---------------------------------------------------------------------------------------------- by flat position
def _flat_index(input: Tensor, index: Tensor) -> Tensor:
    if index._kind.dtype not in _INDEX:
        raise DtypeError(f"take(): Expected a long tensor for index, but got {index.dtype}")
    numel = input.numel()
    value = out_of_range(index, -numel, numel)
    if value is not None:
        raise DimensionError(f"out of range: tried to access index {value} on a tensor of {numel} elements.")
    return rules.as_places(index)


def _put_flat(g: Tensor, shape: Shape, index: Tensor) -> Tensor:
    flat = g.new_zeros((shapes.Size(shape).numel(),))
    return _index_put(flat, [index.reshape(-1)], g.reshape(-1), True).reshape(shape)


@operator(vjp={"input": lambda g, input_shape, index: _put_flat(g, input_shape, index)}, dtype_rule="any",
          samples=_samples.take)
def _take(input: Tensor, index: Tensor) -> Tensor:
    """Look up in the flattened tensor."""
    return _index(input.reshape(-1), [_flat_index(input, index)]).reshape(index._array.shape)


@front(_take)
def take(input: Tensor, index: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The elements at flat positions; the result has the shape of `index`.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.take.html

    >>> import flambeau as torch
    >>> torch.tensor([[1, 2], [3, 4]]).take(torch.tensor([0, 3]))
    tensor([1, 4])
    """
    result = _take(input, index)
    return result if out is None else _faces.write_apart("take", out, result, input, index)


@operator(samples=_samples.put, dtype_rule="any", inplace=True, vjp={
    "input": lambda g, index, accumulate: g if accumulate else put(g, index, g.new_zeros(index._array.shape)),
    "source": lambda g, index, source_shape: take(g, index).reshape(source_shape)})
def put(input: Tensor, index: Tensor, source: Tensor, accumulate: bool = False) -> Tensor:
    """A copy with `source` at flat positions, or added there.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.put.html

    >>> import flambeau as torch
    >>> torch.zeros(4).put(torch.tensor([3, 0]), torch.tensor([1., 2.]))
    tensor([2., 0., 0., 1.])
    """
    flat = _index_put(input.reshape(-1), [_flat_index(input, index).reshape(-1)], source.reshape(-1), accumulate)
    return flat.reshape(input._array.shape)


# ---------------------------------------------------------------------------------------------- by mask
def _check_mask(op: str, mask: Any) -> None:
    if not isinstance(mask, Tensor):
        raise ArgumentTypeError(f"{op}(): argument 'mask' must be Tensor, not {type(mask).__name__}")
    if mask._kind.dtype is not dtypes.bool_:
        raise ArgumentError(f"{op}: expected BoolTensor for mask; it only supports boolean masks, but got {mask.dtype}")


@operator(samples=_samples.masked_select, dtype_rule="any", vjp={"input": lambda g, input_shape, mask: _index_put(
    g.new_zeros(shapes.broadcast_shapes(input_shape, mask._array.shape)), [_wide(mask, input_shape)], g, False)})
def _masked_select(input: Tensor, mask: Tensor) -> Tensor:
    """The elements where a mask, broadcast, is true."""
    shape = shapes.broadcast_shapes(input._array.shape, mask._array.shape, op="masked_select")
    if not shape:
        return _index(input.reshape(1), [mask.reshape(1)])
    return _index(input.expand(shape), [mask.expand(shape)])


def _wide(mask: Tensor, shape: Shape) -> Tensor:
    return mask.expand(shapes.broadcast_shapes(shape, mask._array.shape))


@front(_masked_select)
def masked_select(input: Tensor, mask: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The elements where a mask is true, in one dimension; both are broadcast.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.masked_select.html

    >>> import flambeau as torch
    >>> torch.tensor([1, 2, 3]).masked_select(torch.tensor([True, False, True]))
    tensor([1, 3])
    """
    _check_mask("masked_select", mask)
    result = _masked_select(input, mask)
    return result if out is None else _faces.write_apart("masked_select", out, result, input, mask)


def _source_backward(g: Tensor, mask: Tensor, shape: Shape) -> Tensor:
    picked = _masked_select(g, mask)
    rest = shapes.Size(shape).numel() - picked.numel()
    if rest:
        from flambeau.ops.joining import cat
        picked = cat((picked, g.new_zeros((rest,))))
    return picked.reshape(shape)


@operator(samples=_samples.masked_scatter, dtype_rule="any", inplace=True, vjp={
    "input": lambda g, mask: g.masked_fill(mask, 0),
    "source": lambda g, mask, source_shape: _source_backward(g, mask, source_shape)})
def masked_scatter(input: Tensor, mask: Tensor, source: Tensor) -> Tensor:
    """A copy with the elements of `source`, in order, where a mask is true.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.masked_scatter.html

    >>> import flambeau as torch
    >>> torch.zeros(3).masked_scatter(torch.tensor([True, False, True]), torch.tensor([1., 2.]))
    tensor([1., 0., 2.])
    """
    _check_mask("masked_scatter", mask)
    if source._kind.dtype is not input._kind.dtype:
        raise DtypeError("masked_scatter: expected self and source to have same dtypes but got "
                         f"{input.dtype} and {source.dtype}")
    shape = shapes.broadcast_shapes(input._array.shape, mask._array.shape, op="masked_scatter")
    whole = mask.expand(shape)
    count = int(whole.sum().item())
    if count > source.numel():
        raise ArgumentError(f"masked_scatter: Number of elements of source ({source.numel()}) < number of "
                            f"ones in mask ({count})")
    values = source.reshape(-1)[:count]
    if not shape:
        return values.reshape(()).clone() if count else input.clone()
    return _index_put(input.expand(shape), [whole], values, False)
