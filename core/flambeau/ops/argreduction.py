"""Largest and smallest elements, with and without their places.

`max` and `min` are three functions under one name (all elements; along a dimension, with indices; of two tensors):
the faces tell them apart, the cores are `amax`, `max_dim` and `maximum`.
"""

from __future__ import annotations

from typing import Any

from flambeau import dispatch, dtypes, shapes
from flambeau.errors import ArgumentTypeError, DimensionError, DtypeError, UnsupportedDtypeError
from flambeau.ir import expr
from flambeau.ir.reductions import HIGHEST, LOWEST, Reduction, Search
from flambeau.ops import _faces, _samples
from flambeau.shapes import Shape
from flambeau.tensor import Tensor

_MaxResult = _faces.return_type("max", "values", "indices")
_MinResult = _faces.return_type("min", "values", "indices")
_AminmaxResult = _faces.return_type("aminmax", "min", "max")


def _shared(g: Tensor, input: Tensor, result: Tensor, dim: Shape, keepdim: bool) -> Tensor:
    """Divide the gradient of an extremum evenly among the elements that attain it."""
    shape = input._array.shape
    value = _faces.restore(result.detach(), shape, dim, keepdim)
    mask = input.detach() == value
    if not dim or len(dim) == len(shape):
        mask = mask | (input.detach() != input.detach())
    mask = mask.to(g._kind.dtype)
    return _faces.restore(g, shape, dim, keepdim) * (mask / mask.sum(dim, keepdim=True))


def placed(g: Tensor, indices: Tensor, shape: Shape, dim: int, keepdim: bool) -> Tensor:
    """Zeros of `shape` with the gradient at the places that were selected along `dim`."""
    if not shape:
        return g.reshape(shape)
    if not keepdim:
        g, indices = g.unsqueeze(dim), indices.unsqueeze(dim)
    return g.new_zeros(shape).scatter(dim, indices, g)


def _extremum_shape(op: str, input: Tensor, dim: Shape, keepdim: bool) -> Shape:
    if input._kind.dtype.is_complex:
        raise UnsupportedDtypeError(f"{op}: not implemented for {input._kind.dtype}: complex numbers have no order; "
                                    "compare .abs() or .real")
    if len(dim) == len(input._array.shape):
        _faces.check_full_nonempty(op, input)
    _faces.check_nonempty(op, input._array.shape, dim)
    return shapes.reduced_shape(input.shape, dim, keepdim)




@dispatch.primitive(vjp={"input": _shared}, samples=_samples.extremes, loop=Reduction(LOWEST, expr.maximum))
def _amax(input: Tensor, dim: Shape, keepdim: bool) -> Shape:
    """The largest element over dimensions; nan where there is one."""
    return _extremum_shape("amax", input, dim, keepdim)


@dispatch.primitive(vjp={"input": _shared}, samples=_samples.extremes, loop=Reduction(HIGHEST, expr.minimum))
def _amin(input: Tensor, dim: Shape, keepdim: bool) -> Shape:
    """The smallest element over dimensions; nan where there is one."""
    return _extremum_shape("amin", input, dim, keepdim)


def _refuse_complex(op: str, input: Tensor) -> None:
    if input._kind.dtype.is_complex:
        raise UnsupportedDtypeError(f"{op}: not implemented for {input._kind.dtype}: complex numbers have no order; "
                                    "compare .abs() or .real")


@_faces.face(_amax)
def amax(input: Tensor, dim: Any = (), keepdim: bool = False) -> Tensor:
    """The largest element over all dimensions or those given; the gradient is divided evenly among equals.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.amax.html

    >>> import flambeau as torch
    >>> torch.tensor([[1., 5.], [3., 2.]]).amax(dim=(0, 1))
    tensor(5.)
    """
    _refuse_complex("amax", input)
    return _amax(input, shapes.reduction_dims(dim, len(input._array.shape)), keepdim)


@_faces.face(_amin)
def amin(input: Tensor, dim: Any = (), keepdim: bool = False) -> Tensor:
    """The smallest element over all dimensions or those given; the gradient is divided evenly among equals.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.amin.html

    >>> import flambeau as torch
    >>> torch.tensor([[1., 5.], [3., 2.]]).amin(dim=0)
    tensor([1., 2.])
    """
    _refuse_complex("amin", input)
    return _amin(input, shapes.reduction_dims(dim, len(input._array.shape)), keepdim)


@dispatch.operator(vjp={"input": lambda g, input, result: _shared(g, input, result, tuple(range(input.dim())), False)},
                   method=False, grad_name="MaxBackward1", samples=_samples.on(((3, 4),), of="distinct"))
def _max_all(input: Tensor) -> Tensor:
    """The largest of all elements."""
    return _amax(input, tuple(range(len(input._array.shape))), False)


@dispatch.operator(vjp={"input": lambda g, input, result: _shared(g, input, result, tuple(range(input.dim())), False)},
                   method=False, grad_name="MinBackward1", samples=_samples.on(((3, 4),), of="distinct"))
def _min_all(input: Tensor) -> Tensor:
    """The smallest of all elements."""
    return _amin(input, tuple(range(len(input._array.shape))), False)


@dispatch.operator(outputs=("values", "indices"), method=False, grad_name="MaxBackward0",
                   samples=_samples.canonical_dim, vjp={
    "input": lambda g, indices, input_shape, dim, keepdim: placed(g[0], indices, input_shape, dim, keepdim)})
def _max_dim(input: Tensor, dim: int, keepdim: bool) -> tuple[Tensor, Tensor]:
    """The largest elements along a dimension and where they are."""
    return _with_place(_argmax, input, dim, keepdim)


@dispatch.operator(outputs=("values", "indices"), method=False, grad_name="MinBackward0",
                   samples=_samples.canonical_dim, vjp={
    "input": lambda g, indices, input_shape, dim, keepdim: placed(g[0], indices, input_shape, dim, keepdim)})
def _min_dim(input: Tensor, dim: int, keepdim: bool) -> tuple[Tensor, Tensor]:
    """The smallest elements along a dimension and where they are."""
    return _with_place(_argmin, input, dim, keepdim)


def _with_place(find: Any, input: Tensor, dim: int, keepdim: bool) -> tuple[Tensor, Tensor]:
    if not input._array.shape:
        return input.clone(), find(input, None, False)
    indices = find(input, dim, True)
    values = input.gather(dim, indices)
    return (values, indices) if keepdim else (values.squeeze(dim), indices.squeeze(dim))


def _extremum(op: str, full: Any, along: Any, binary: str, result_type: Any, input: Tensor, dim: Any,
              keepdim: bool) -> Any:
    _faces.as_tensor_argument(op, "input", input)
    if dim is None:
        _faces.check_full_nonempty(op, input)
        _refuse_complex(op, input)
        return full(input)
    if isinstance(dim, Tensor):
        return getattr(input, binary)(dim)
    shape = input._array.shape
    dim = _faces.one_dim(op, dim, len(shape))
    if 0 in shape:
        _faces.check_nonempty(op, shape, (dim,))
    _refuse_complex(op, input)
    return result_type(*along(input, dim, keepdim))


def _samples_max(make: Any) -> _samples.Calls:
    yield (make.distinct(3, 4),), {}
    yield (make.distinct(2, 3, 4), -1), {}
    yield (make.distinct(2, 3, 4), 1, True), {}
    yield (make(2, 1), make(3)), {}


@_faces.reducing(samples=_samples_max)
def max(input: Tensor, dim: Any = None, keepdim: bool = False, *, other: Any = None) -> Any:
    """The largest element; along `dim`, a named tuple of values and int64 indices; of two tensors, `maximum`.

    nan counts as larger than everything. RuntimeError for no elements, IndexError for a `dim` of size 0.
    Source: https://docs.pytorch.org/docs/stable/generated/torch.max.html

    >>> import flambeau as torch
    >>> values, indices = torch.tensor([[1., 5.], [3., 2.]]).max(dim=1)
    >>> values, indices
    (tensor([5., 3.]), tensor([1, 0]))
    """
    return _extremum("max", _max_all, _max_dim, "maximum", _MaxResult, input, dim if other is None else other, keepdim)


@_faces.reducing(samples=_samples_max)
def min(input: Tensor, dim: Any = None, keepdim: bool = False, *, other: Any = None) -> Any:
    """The smallest element; along `dim`, a named tuple of values and int64 indices; of two tensors, `minimum`.

    nan counts as smaller than everything. RuntimeError for no elements, IndexError for a `dim` of size 0.
    Source: https://docs.pytorch.org/docs/stable/generated/torch.min.html

    >>> import flambeau as torch
    >>> torch.tensor([[1., 5.], [3., 2.]]).min()
    tensor(1.)
    """
    return _extremum("min", _min_all, _min_dim, "minimum", _MinResult, input, dim if other is None else other, keepdim)


@_faces.reducing(samples=_samples.on(((3, 4),), ((2, 3, 4), {"dim": -2}), ((2, 3, 4), {"dim": 0, "keepdim": True}),
                                     of="distinct"))
def aminmax(input: Tensor, *, dim: Any = None, keepdim: bool = False) -> Any:
    """The smallest and the largest element in one named tuple, of all or along one dimension.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.aminmax.html

    >>> import flambeau as torch
    >>> low, high = torch.tensor([3., 1., 2.]).aminmax()
    >>> low, high
    (tensor(1.), tensor(3.))
    """
    dims: Any = ()
    if dim is None:
        if 0 in input._array.shape:
            raise DtypeError("aminmax(): cannot compute aminmax over an empty dimension as the operation has no "
                             f"identity; given: {list(input._array.shape)}; give dim=")
    else:
        dims = (_faces.one_dim("aminmax", dim, len(input._array.shape)),)
    return _AminmaxResult(amin(input, dims, keepdim), amax(input, dims, keepdim))


def _place_shape(op: str, input: Tensor, dim: int | None, keepdim: bool) -> Shape:
    if dim is None:
        _faces.check_full_nonempty(op, input, DimensionError)
        return (1,) * len(input._array.shape) if keepdim else ()
    dims = (dim,) if input._array.shape else ()
    _faces.check_nonempty(op, input._array.shape, dims)
    return shapes.reduced_shape(input.shape, dims, keepdim)


def _larger(x: expr.Expr, best: expr.Expr) -> expr.Expr:
    return expr.logical_or(x > best, expr.logical_and(expr.isnan(x), expr.eq(best, best)))


def _smaller(x: expr.Expr, best: expr.Expr) -> expr.Expr:
    return expr.logical_or(x < best, expr.logical_and(expr.isnan(x), expr.eq(best, best)))


@dispatch.primitive(vjp="none", samples=_samples.places, loop=Search(LOWEST, _larger))
def _argmax(input: Tensor, dim: int | None, keepdim: bool) -> Shape:
    """The index of the largest element, of all (flattened) or along a dimension; nan is the largest."""
    return _place_shape("argmax", input, dim, keepdim)


@dispatch.primitive(vjp="none", samples=_samples.places, loop=Search(HIGHEST, _smaller))
def _argmin(input: Tensor, dim: int | None, keepdim: bool) -> Shape:
    """The index of the smallest element, of all (flattened) or along a dimension; nan is the smallest."""
    return _place_shape("argmin", input, dim, keepdim)


def _check_place(op: str, input: Tensor, dim: Any) -> int | None:
    kind = input._kind.dtype
    if kind.is_complex or kind is dtypes.bool_:
        raise UnsupportedDtypeError(f"{op}: \"{op}_cpu\" not implemented for {_faces.scalar_name(kind)!r}; convert "
                                    "the input")
    if dim is None:
        return None
    if not hasattr(dim, "__index__"):
        raise ArgumentTypeError(f"{op}(): argument 'dim' must be int, not {type(dim).__name__}")
    return shapes.wrap_dim(dim.__index__(), len(input._array.shape))


@_faces.face(_argmax)
def argmax(input: Tensor, dim: Any = None, keepdim: bool = False) -> Tensor:
    """The index of the largest element: of the flattened tensor, or along `dim`. The first of equals.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.argmax.html

    >>> import flambeau as torch
    >>> torch.tensor([[1., 5.], [3., 2.]]).argmax(dim=1)
    tensor([1, 0])
    """
    return _argmax(input, _check_place("argmax", input, dim), keepdim)


@_faces.face(_argmin)
def argmin(input: Tensor, dim: Any = None, keepdim: bool = False) -> Tensor:
    """The index of the smallest element: of the flattened tensor, or along `dim`. The first of equals.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.argmin.html

    >>> import flambeau as torch
    >>> torch.tensor([[1., 5.], [3., 2.]]).argmin()
    tensor(0)
    """
    return _argmin(input, _check_place("argmin", input, dim), keepdim)


__all__ = [name for name, value in list(globals().items())
           if hasattr(value, "op") and value.op.namespace == "torch" and not name.startswith("_")]
