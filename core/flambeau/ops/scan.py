"""Running reductions along a dimension, and what is next to them: differences and integrals."""

from __future__ import annotations

from typing import Any

from flambeau import dispatch, dtypes, shapes
from flambeau.dtypes import INTEGER
from flambeau.errors import ArgumentError, DtypeError, ShapeError, UnsupportedDtypeError
from flambeau.finfo import finfo
from flambeau.ir import expr
from flambeau.ir.reductions import HIGHEST, LOWEST, RunningSearch, Scan
from flambeau.ops import _faces, _samples
from flambeau.shapes import Shape
from flambeau.tensor import Tensor

_CummaxResult = _faces.return_type("cummax", "values", "indices")
_CumminResult = _faces.return_type("cummin", "values", "indices")


def _reversed_sum(g: Tensor, dim: int) -> Tensor:
    """The running sum from the end."""
    return g if not g._array.shape else g.flip(dim).cumsum(dim).flip(dim)


def _conj(x: Tensor) -> Tensor:
    return x.conj() if x._kind.dtype.is_complex else x


@dispatch.primitive(samples=_samples.cumulated, loop=Scan(0, lambda a, b: a + b),
                    vjp={"input": lambda g, dim: _reversed_sum(g, dim)})
def _cumsum(input: Tensor, dim: int, dtype: dtypes.dtype) -> Shape:
    """Running sums along a dimension, in `dtype`."""
    return input.shape


def _running(core: Any, op: str, input: Tensor, dim: Any, dtype: Any) -> Tensor:
    kind = _faces.as_tensor_argument(op, "input", input)._kind.dtype
    if dtype is not None:
        wanted = dtypes.as_dtype(dtype)
        input = input.to(wanted)
    else:
        wanted = dtypes.int64 if kind.category <= INTEGER else kind
    return core(input, _faces.one_dim(op, dim, len(input._array.shape)), wanted)


@_faces.face(_cumsum)
def cumsum(input: Tensor, dim: int, *, dtype: Any = None) -> Tensor:
    """Running sums along `dim`; integers are summed in int64.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.cumsum.html

    >>> import flambeau as torch
    >>> torch.tensor([1., 2., 3.]).cumsum(0)
    tensor([1., 3., 6.])
    """
    return _running(_cumsum, "cumsum", input, dim, dtype)


def _product_gradient(g: Tensor, input: Tensor, result: Tensor, dim: int) -> Tensor:
    """Without zeros, sums of later products over the element; with zeros, by the definition, quadratic in size."""
    if not input._array.shape:
        return g
    if not bool((input == 0).any()):
        return _reversed_sum(g * _conj(result), dim) / _conj(input)
    size = input._array.shape[dim]
    from flambeau.ops.joining import cat
    columns = []
    for index in range(size):
        # the products that element `index` is part of, without it
        ones = input.narrow(dim, index, 1) * 0 + 1
        parts = [input.narrow(dim, 0, index).prod(dim, keepdim=True) if index else ones]
        if index + 1 < size:
            parts.append(input.narrow(dim, index + 1, size - index - 1))
        products = cat(parts, dim).cumprod(dim)
        columns.append((g.narrow(dim, index, size - index) * _conj(products)).sum(dim, keepdim=True))
    return cat(columns, dim)


@dispatch.primitive(samples=_samples.cumulated, loop=Scan(1, lambda a, b: a * b), vjp={
    "input": lambda g, input, result, dim: _product_gradient(g, input, result, dim)})
def _cumprod(input: Tensor, dim: int, dtype: dtypes.dtype) -> Shape:
    """Running products along a dimension, in `dtype`."""
    return input.shape


@_faces.face(_cumprod)
def cumprod(input: Tensor, dim: int, *, dtype: Any = None) -> Tensor:
    """Running products along `dim`; integers are multiplied in int64.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.cumprod.html

    >>> import flambeau as torch
    >>> torch.tensor([1., 2., 3.]).cumprod(0)
    tensor([1., 2., 6.])
    """
    return _running(_cumprod, "cumprod", input, dim, dtype)


def _inplace(core: Any) -> Any:
    """The in-place form of a running reduction: computed, then copied over the tensor."""
    public = core.op.public

    def call(input: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        return input.copy_(public(input, *args, **kwargs))
    return call


for _core in (_cumsum, _cumprod):
    _core.op.inplace_call = _inplace(_core)  # type: ignore[attr-defined]


def _refuse_complex(op: str, input: Tensor) -> None:
    if input._kind.dtype.is_complex:
        raise UnsupportedDtypeError(f"{op}: \"{op}_cpu\" not implemented for "
                                    f"'{_faces.scalar_name(input._kind.dtype)}': complex numbers have no order")


def _selected(g: Any, indices: Tensor, input_shape: Shape, dim: int) -> Tensor:
    """Add the gradient up at the places that were the extremum."""
    if not input_shape:
        return g[0]
    return g[0].new_zeros(input_shape).scatter_add(dim, indices, g[0])


def _not_below(x: expr.Expr, best: expr.Expr) -> expr.Expr:
    return expr.logical_or(x >= best, expr.isnan(x))


def _not_above(x: expr.Expr, best: expr.Expr) -> expr.Expr:
    return expr.logical_or(x <= best, expr.isnan(x))


@dispatch.primitive(samples=_samples.running, outputs=("values", "indices"),
                    loop=RunningSearch(LOWEST, _not_below), vjp={
    "input": lambda g, indices, input_shape, dim: _selected(g, indices, input_shape, dim)})
def _cummax(input: Tensor, dim: int) -> Shape:
    """Running maxima along a dimension, and where the latest of them is."""
    return input.shape


@_faces.face(_cummax)
def cummax(input: Tensor, dim: int) -> Any:
    """Running maxima along `dim` and their int64 indices, the last of equals, as a named tuple.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.cummax.html

    >>> import flambeau as torch
    >>> torch.tensor([1., 3., 2.]).cummax(0).values
    tensor([1., 3., 3.])
    """
    _refuse_complex("cummax", input)
    return _CummaxResult(*_cummax(input, _faces.one_dim("cummax", dim, input.dim())))


@dispatch.operator(samples=_samples.running, outputs=("values", "indices"),
                   loop=RunningSearch(HIGHEST, _not_above), vjp={
    "input": lambda g, indices, input_shape, dim: _selected(g, indices, input_shape, dim)})
def _cummin(input: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    """Running minima: the maxima of what orders the other way round."""
    if input._kind.dtype.is_floating_point:
        values, indices = _cummax(-input, dim)
        return -values, indices
    values, indices = _cummax(~input, dim)
    return ~values, indices


@_faces.face(_cummin)
def cummin(input: Tensor, dim: int) -> Any:
    """Running minima along `dim` and their int64 indices, the last of equals, as a named tuple.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.cummin.html

    >>> import flambeau as torch
    >>> torch.tensor([3., 1., 2.]).cummin(0).indices
    tensor([0, 1, 1])
    """
    _refuse_complex("cummin", input)
    return _CumminResult(*_cummin(input, _faces.one_dim("cummin", dim, input.dim())))


def _log_gradient(g: Tensor, input: Tensor, result: Tensor, dim: int) -> Tensor:
    """Running sums from the end of g exp(-result), times exp(input): in logarithms, by the sign of g."""
    if not input._array.shape:
        return g
    if input._kind.dtype.is_complex:
        return _reversed_sum(g * _conj((-result).exp()), dim) * _conj(input.exp())

    logarithm = g.abs().masked_fill(g.detach() == 0, 1).log() - result
    lowest = finfo(input._kind.dtype).min   # in place of log 0, whose derivative is nan

    def part(absent: Tensor) -> Tensor:
        return (_logcumsumexp(logarithm.masked_fill(absent, lowest).flip(dim), dim).flip(dim) + input).exp()
    return part(g.detach() <= 0) - part(g.detach() >= 0)


def _samples_logarithms(make: Any) -> _samples.Calls:
    low, high = (-0.7, 0.7) if make.dtype.is_complex else (None, None)   # the sums stay off the logarithm's cut
    yield (make(3, 4, low=low, high=high), 1), {}
    yield (make(2, 3, 4, low=low, high=high), -2), {}


@dispatch.operator(samples=_samples_logarithms, vjp={"input": _log_gradient})
def _logcumsumexp(input: Tensor, dim: int) -> Tensor:
    """Logarithms of running sums of exponentials, shifted by the largest of all."""
    if not input._array.shape or 0 in input._array.shape:
        return input.clone()
    top = (input.real if input._kind.dtype.is_complex else input).detach().amax(dim, keepdim=True)
    top = top.masked_fill(~top.isfinite(), 0)
    return (input - top).exp().cumsum(dim).log() + top


@_faces.face(_logcumsumexp)
def logcumsumexp(input: Tensor, dim: int) -> Tensor:
    """Logarithms of running sums of exponentials along `dim`.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.logcumsumexp.html

    >>> import flambeau as torch
    >>> torch.zeros(3).logcumsumexp(0).exp()
    tensor([1., 2., 3.])
    """
    if input._kind.dtype.category <= INTEGER:
        raise UnsupportedDtypeError("logcumsumexp: not implemented for "
                                    f"'{_faces.scalar_name(input._kind.dtype)}'; convert the input")
    return _logcumsumexp(input, _faces.one_dim("logcumsumexp", dim, input.dim()))


# ---------------------------------------------------------------------------------------------- differences, integrals
def _samples_diff(make: Any) -> _samples.Calls:
    yield (make(3, 4),), {}
    yield (make(3, 4), 2, 0), {}
    yield (make(3, 4),), {"prepend": make(3, 2), "append": make(3, 1)}


@_faces.reducing(samples=_samples_diff)
def diff(input: Tensor, n: int = 1, dim: int = -1, prepend: Tensor | None = None,
         append: Tensor | None = None) -> Tensor:
    """Differences of neighbours along `dim`, `n` times; tensors may be put before and after.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.diff.html

    >>> import flambeau as torch
    >>> torch.tensor([1, 4, 9]).diff()
    tensor([3, 5])
    """
    if not input.dim():
        raise ShapeError("diff expects input to be at least one-dimensional")
    if n < 0:
        raise ArgumentError(f"order must be non-negative but got {n}")
    if n == 0:
        return input.clone()
    dim = shapes.wrap_dim(dim, input.dim())
    parts = [each for each in (prepend, input, append) if each is not None]
    if len(parts) > 1:
        from flambeau.ops.joining import cat
        input = cat(parts, dim)
    for _ in range(min(n, input._array.shape[dim])):
        size = input._array.shape[dim]
        if size == 0:
            break
        after, before = input.narrow(dim, 1, size - 1), input.narrow(dim, 0, size - 1)
        input = after.logical_xor(before) if input._kind.dtype is dtypes.bool_ else after - before
    return input


def _areas(y: Tensor, x: Tensor | None, dx: Any, dim: int) -> Tensor:
    size = y._array.shape[dim]
    count = max(size - 1, 0)
    heights = y.narrow(dim, min(1, size), count) + y.narrow(dim, 0, count)
    if x is None:
        return heights * (dx / 2)
    if x.dim() == 1 and y.dim() > 1:
        if x._array.shape[0] != size:
            raise ShapeError(f"trapezoid: There must be one `x` value for each sample point; given: "
                             f"{x._array.shape[0]} for {size}")
        x = x.reshape((1,) * dim + (-1,) + (1,) * (y.dim() - dim - 1))
        where = dim
    else:
        where = dim - y.dim() + x.dim()
    size = x._array.shape[where]
    widths = x.narrow(where, min(1, size), max(size - 1, 0)) - x.narrow(where, 0, max(size - 1, 0))
    return heights * widths / 2


def _integrated(op: str, y: Tensor, x: Tensor | None, dim: int) -> int:
    """Refuse bools; the dimension, wrapped."""
    for name, each in (("y", y), ("x", x)):
        if each is not None and each._kind.dtype is dtypes.bool_:
            raise DtypeError(f"{op}: received a bool input for `{name}`, but bool is not supported; convert it")
    return shapes.wrap_dim(dim, y.dim())


def _samples_trapezoid(make: Any) -> _samples.Calls:
    yield (make(3, 4),), {}
    yield (make(3, 4),), {"dx": 2, "dim": 0}
    yield (make(3, 4), make(4)), {}
    yield (make(3, 4), make(3)), {"dim": -2}


@dispatch.composite(samples=_samples_trapezoid, method=False)
def trapezoid(y: Tensor, x: Tensor | None = None, *, dx: Any = None, dim: int = -1) -> Tensor:
    """The integral of `y` along `dim` by the trapezoidal rule, over points `x` or a spacing `dx` (1).

    Source: https://docs.pytorch.org/docs/stable/generated/torch.trapezoid.html

    >>> import flambeau as torch
    >>> torch.trapezoid(torch.tensor([1., 5., 10.]))
    tensor(10.5000)
    """
    dim = _integrated("trapezoid", y, x, dim)
    return _areas(y, x, 1 if dx is None else dx, dim).sum(dim)


trapz = dispatch.alias("trapz", trapezoid)


@dispatch.composite(samples=_samples_trapezoid, method=False)
def cumulative_trapezoid(y: Tensor, x: Tensor | None = None, *, dx: Any = None, dim: int = -1) -> Tensor:
    """Running integrals of `y` along `dim` by the trapezoidal rule.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.cumulative_trapezoid.html

    >>> import flambeau as torch
    >>> torch.cumulative_trapezoid(torch.tensor([1., 5., 10.]))
    tensor([ 3.0000, 10.5000])
    """
    dim = _integrated("cumulative_trapezoid", y, x, dim)
    return _areas(y, x, 1 if dx is None else dx, dim).cumsum(dim)


__all__ = [name for name, value in list(globals().items())
           if hasattr(value, "op") and value.op.namespace == "torch" and not name.startswith("_")]
