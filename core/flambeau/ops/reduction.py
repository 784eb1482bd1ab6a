"""Reductions over dimensions: sums, means, products, truth.

Kernels take the reduced dimensions as a tuple, counted from the start, so that every way of writing `dim` is
understood in one place, and a result has one rule for its shape.
"""

from __future__ import annotations

from typing import Any

from flambeau import dispatch, dtypes, shapes
from flambeau.dtypes import INTEGER
from flambeau.errors import DtypeError
from flambeau.ir import expr
from flambeau.ir.reductions import Reduction
from flambeau.ops import _faces, _samples
from flambeau.shapes import Shape
from flambeau.tensor import Tensor


def _conj(x: Tensor) -> Tensor:
    return x.conj() if x._kind.dtype.is_complex else x


def _named(stem: str) -> Any:
    """Names of nodes as in PyTorch, where a reduction of everything is another function than one over dimensions."""
    full, along = stem + "Backward0", stem + "Backward1"

    def grad_name(node: Any) -> str:
        return along if node.shape else full
    return grad_name


# ---------------------------------------------------------------------------------------------- sums
@dispatch.primitive(samples=_samples.sums, grad_name=_named("Sum"), loop=Reduction(0, lambda a, b: a + b), vjp={
    "input": lambda g, input_shape, dim, keepdim: _faces.spread(g, input_shape, dim, keepdim)})
def _sum(input: Tensor, dim: Shape, keepdim: bool, dtype: dtypes.dtype) -> Shape:
    """Sum over dimensions, in `dtype`."""
    return shapes.reduced_shape(input.shape, dim, keepdim)


@_faces.face(_sum)
def sum(input: Tensor, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    """Sum of the elements, over all dimensions or those given.

    Integers and bools are summed in int64. `dtype` casts the input first.
    Source: https://docs.pytorch.org/docs/stable/generated/torch.sum.html

    >>> import flambeau as torch
    >>> torch.ones(2, 3).sum(dim=1)
    tensor([3., 3.])
    """
    kind = _faces.as_tensor_argument("sum", "input", input)._kind
    wanted = kind.dtype
    if dtype is not None:
        wanted = dtypes.as_dtype(dtype)
        if wanted is not kind.dtype and (
                kind.stored or kind.to(wanted).emulated or wanted.category < kind.dtype.category):
            input = input.to(wanted)
    elif wanted.category <= INTEGER:
        wanted = dtypes.int64
    return _sum(input, shapes.reduction_dims(dim, len(input._array.shape)), keepdim, wanted)


@dispatch.operator(samples=_samples.sums, grad_name=_named("Mean"),
                   loop=Reduction(0, lambda a, b: a + b, finish=lambda total, count: total / count), vjp={
    "input": lambda g, input_shape, dim, keepdim:
        _faces.spread(g / _faces.count(input_shape, dim), input_shape, dim, keepdim)})
def _mean(input: Tensor, dim: Shape, keepdim: bool) -> Tensor:
    """The sum divided by the number of elements."""
    return _sum(input, dim, keepdim, input._kind.dtype) / _faces.count(input._array.shape, dim)


@_faces.face(_mean)
def mean(input: Tensor, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    """Mean of the elements, over all dimensions or those given; nan of none. RuntimeError for integers without `dtype`.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.mean.html

    >>> import flambeau as torch
    >>> torch.tensor([[1., 2.], [3., 6.]]).mean(0)
    tensor([2., 4.])
    """
    kind = _faces.as_tensor_argument("mean", "input", input)._kind.dtype
    if dtype is not None:
        kind = dtypes.as_dtype(dtype)
        input = input.to(kind)
    if kind.category <= INTEGER:
        _faces.check_floating("mean", kind)
    return _mean(input, shapes.reduction_dims(dim, len(input._array.shape)), keepdim)


def _product_gradient(g: Tensor, input: Tensor, result: Tensor, dim: Shape, keepdim: bool) -> Tensor:
    """result / input where no element is 0; else products of the others, from both sides."""
    shape = input._array.shape
    g = _faces.restore(g, shape, dim, keepdim)
    if not bool((input == 0).any()):
        return g * _conj(_faces.restore(result, shape, dim, keepdim) / input)
    if len(dim) != 1:
        flat = input.reshape(-1)
        return (g.reshape(1) * _conj(_others(flat, 0))).reshape(shape)
    return g * _conj(_others(input, dim[0]))


def _others(input: Tensor, dim: int) -> Tensor:
    """For each element along `dim`, the product of the others."""
    one = input.new_ones(tuple([1 if index == dim else size for index, size in enumerate(input._array.shape)]))
    size = input._array.shape[dim]
    from flambeau.ops.joining import cat
    before = cat([one, input.narrow(dim, 0, size - 1)], dim).cumprod(dim)
    after = cat([one, input.flip(dim).narrow(dim, 0, size - 1)], dim).cumprod(dim).flip(dim)
    return before * after


@dispatch.primitive(samples=_samples.products, grad_name=_named("Prod"), loop=Reduction(1, lambda a, b: a * b),
                    vjp={"input": _product_gradient})
def _prod(input: Tensor, dim: Shape, keepdim: bool, dtype: dtypes.dtype) -> Shape:
    """Product over dimensions, in `dtype`."""
    return shapes.reduced_shape(input.shape, dim, keepdim)


@_faces.face(_prod)
def prod(input: Tensor, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    """Product of all elements, or along one dimension. Integers and bools are multiplied in int64.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.prod.html

    >>> import flambeau as torch
    >>> torch.tensor([[1., 2.], [3., 4.]]).prod(1)
    tensor([ 2., 12.])
    """
    kind = input._kind.dtype
    wanted = dtypes.as_dtype(dtype) if dtype is not None else dtypes.int64 if kind.category <= INTEGER else kind
    if dtype is not None and wanted is not kind:
        input = input.to(wanted)
    ndim = len(input._array.shape)
    dims = shapes.reduction_dims(None if dim is None else _faces.one_dim("prod", dim, ndim), ndim)
    return _prod(input, dims, keepdim, wanted)


@dispatch.operator(samples=_samples.sums_of_numbers, vjp={
    "input": lambda g, input, dim, keepdim:
        _faces.spread(g, input._array.shape, dim, keepdim).masked_fill(input.detach() != input.detach(), 0)})
def _nansum(input: Tensor, dim: Shape, keepdim: bool, dtype: dtypes.dtype) -> Tensor:
    """Sum over dimensions, in `dtype`, in which nan counts as zero."""
    return sum(input.masked_fill(input != input, 0), dim or None, keepdim, dtype=dtype)


@_faces.face(_nansum)
def nansum(input: Tensor, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    """Sum in which nan counts as zero. RuntimeError for complex inputs.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nansum.html

    >>> import flambeau as torch
    >>> torch.tensor([1., float("nan"), 2.]).nansum()
    tensor(3.)
    """
    kind = input._kind.dtype
    if kind.is_complex:
        raise DtypeError("nansum does not support complex inputs; take real and imaginary parts")
    if not kind.is_floating_point:
        return sum(input, dim, keepdim, dtype=dtype)
    wanted = kind if dtype is None else dtypes.as_dtype(dtype)
    return _nansum(input, shapes.reduction_dims(dim, len(input._array.shape)), keepdim, wanted)


@_faces.reducing(samples=_samples.sums_of_numbers)
def nanmean(input: Tensor, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    """Mean of the elements that are not nan. RuntimeError for integers.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nanmean.html

    >>> import flambeau as torch
    >>> torch.tensor([1., float("nan"), 2.]).nanmean()
    tensor(1.5000)
    """
    if input._kind.dtype.category <= INTEGER:
        raise DtypeError(f"nanmean(): expected input to have floating point or complex dtype but got "
                         f"{_faces.scalar_name(input._kind.dtype)}; convert the input")
    if input._kind.dtype.is_complex:
        raise DtypeError("nanmean(): does not support complex inputs; take the mean of .real and .imag")
    present = (input == input).detach().sum(dim, keepdim)
    return input.masked_fill(input != input, 0).sum(dim, keepdim, dtype=dtype) / present


# ---------------------------------------------------------------------------------------------- truth
def _truth_dtype(input: Tensor, result: Tensor) -> Tensor:
    """PyTorch keeps uint8 where it stands for bool."""
    return result.to(dtypes.uint8) if input._kind.dtype is dtypes.uint8 else result


@dispatch.operator(vjp="none", samples=_samples.over_dims,
                   loop=Reduction(False, expr.logical_or, load=lambda x: expr.ne(x, 0)))
def _any(input: Tensor, dim: Shape, keepdim: bool) -> Tensor:
    """Whether some element is not zero."""
    return _sum(input != 0, dim, keepdim, dtypes.int64) > 0


@_faces.face(_any)
def any(input: Tensor, dim: Any = None, keepdim: bool = False) -> Tensor:
    """Whether some element is true, over all dimensions or those given; False of none.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.any.html

    >>> import flambeau as torch
    >>> torch.tensor([[0, 1], [0, 0]]).any(dim=1)
    tensor([ True, False])
    """
    return _truth_dtype(input, _any(input, shapes.reduction_dims(dim, len(input._array.shape)), keepdim))


@dispatch.operator(vjp="none", samples=_samples.over_dims,
                   loop=Reduction(True, expr.logical_and, load=lambda x: expr.ne(x, 0)))
def _all(input: Tensor, dim: Shape, keepdim: bool) -> Tensor:
    """Whether no element is zero."""
    return _sum(input == 0, dim, keepdim, dtypes.int64) == 0


@_faces.face(_all)
def all(input: Tensor, dim: Any = None, keepdim: bool = False) -> Tensor:
    """Whether all elements are true, over all dimensions or those given; True of none.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.all.html

    >>> import flambeau as torch
    >>> torch.tensor([[2, 1], [0, 1]]).all(dim=1)
    tensor([ True, False])
    """
    return _truth_dtype(input, _all(input, shapes.reduction_dims(dim, len(input._array.shape)), keepdim))


def _samples_count(make: Any) -> _samples.Calls:
    numbers = [[0, 2, 0], [1, 0, 3]]
    yield (make.fixed(numbers),), {}
    yield (make.fixed(numbers), -1), {}
    yield (make.fixed(numbers), (0, 1)), {}


@_faces.reducing(samples=_samples_count)
def count_nonzero(input: Tensor, dim: Any = None) -> Tensor:
    """How many elements are not zero, as int64.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.count_nonzero.html

    >>> import flambeau as torch
    >>> torch.tensor([[0, 3], [4, 5]]).count_nonzero(dim=0)
    tensor([1, 2])
    """
    return (input != 0).sum(dim)


def _samples_equal(make: Any) -> _samples.Calls:
    yield (make.fixed([1, 2]), make.fixed([1, 2])), {}
    yield (make.fixed([1, 2]), make.fixed([1, 3])), {}
    yield (make(2), make(2, 1)), {}


@dispatch.composite(samples=_samples_equal)
def equal(input: Tensor, other: Tensor) -> bool:
    """Whether two tensors have the same shape and the same elements; a Python bool. nan equals nothing.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.equal.html

    >>> import flambeau as torch
    >>> torch.equal(torch.tensor([1, 2]), torch.tensor([1, 2]))
    True
    """
    _faces.as_tensor_argument("equal", "other", other)
    if input._array.shape != other._array.shape:
        return False
    return bool((input.detach() == other.detach()).all())


def _samples_allclose(make: Any) -> _samples.Calls:
    yield (make.fixed([1, 2]), make.fixed([1, 2])), {}
    yield (make.fixed([1, 2]), make.fixed([1, 3])), {}
    yield (make.fixed([1, 2]), make.fixed([1, 3]), 0.5, 0.0), {"equal_nan": True}


@dispatch.composite(samples=_samples_allclose)
def allclose(input: Tensor, other: Tensor, rtol: float = 1e-05, atol: float = 1e-08,
             equal_nan: bool = False) -> bool:
    """Whether all elements differ by at most `atol + rtol * |other|`; a Python bool.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.allclose.html

    >>> import flambeau as torch
    >>> torch.allclose(torch.tensor([1.0]), torch.tensor([1.0 + 1e-7]))
    True
    """
    return bool(input.detach().isclose(other.detach(), rtol=rtol, atol=atol, equal_nan=equal_nan).all())


# ---------------------------------------------------------------------------------------------- exponentials
def _logsumexp_gradient(g: Tensor, input: Tensor, result: Tensor, dim: Shape, keepdim: bool) -> Tensor:
    shape = input._array.shape
    weight = (input - _faces.restore(result, shape, dim, keepdim)).exp()
    return _faces.restore(g, shape, dim, keepdim) * _conj(weight)


@dispatch.operator(vjp={"input": _logsumexp_gradient}, samples=_samples.over_dim)
def _logsumexp(input: Tensor, dim: Shape, keepdim: bool) -> Tensor:
    """The logarithm of a sum of exponentials, shifted by the largest element so that nothing overflows."""
    if 0 in input._array.shape:
        return input.exp().sum(dim, keepdim).log()
    top = (input.real if input._kind.dtype.is_complex else input).detach().amax(dim, keepdim=True)
    top = top.masked_fill(top.abs() == float("inf"), 0)
    result = _sum((input - top).exp(), dim, keepdim, input._kind.dtype).log()
    return result + top.reshape(result._array.shape)


@_faces.face(_logsumexp)
def logsumexp(input: Tensor, dim: Any, keepdim: bool = False) -> Tensor:
    """The logarithm of the sum of exponentials over dimensions, without overflow. Integers give the default dtype.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.logsumexp.html

    >>> import flambeau as torch
    >>> torch.tensor([1000., 1000.]).logsumexp(0)
    tensor(1000.6932)
    """
    return _logsumexp(_faces.to_float(input), shapes.reduction_dims(dim, len(input._array.shape)), keepdim)


@_faces.reducing(samples=_samples.on(((3, 4),), ((4, 3),)))
def trace(input: Tensor) -> Tensor:
    """The sum of a matrix's diagonal. RuntimeError for anything but a matrix.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.trace.html

    >>> import flambeau as torch
    >>> torch.tensor([[1., 2.], [3., 4.]]).trace()
    tensor(5.)
    """
    if len(input._array.shape) != 2:
        raise DtypeError(f"trace: expected a matrix; given: a tensor of shape {list(input._array.shape)}; use "
                         "diagonal(dim1=-2, dim2=-1).sum(-1) for batches")
    return input.diagonal().sum()


__all__ = [name for name, value in list(globals().items())
           if hasattr(value, "op") and value.op.namespace == "torch" and not name.startswith("_")]
