"""Statistics: variances, deviations, covariances, quantiles, histograms."""

from __future__ import annotations

import warnings
from typing import Any

from flambeau import dispatch, dtypes, shapes
from flambeau.errors import ArgumentError, DtypeError, ShapeError, UnsupportedDtypeError
from flambeau.ops import _faces, _samples
from flambeau.shapes import Shape
from flambeau.tensor import Tensor


def _variance_gradient(g: Tensor, input: Tensor, dim: Shape, correction: float, keepdim: bool) -> Tensor:
    freedom = max(_faces.count(input._array.shape, dim) - correction, 0)
    factor = 2 / freedom if freedom else float("nan")
    centred = input - input.mean(dim, keepdim=True) if dim else input - input
    return _faces.restore(g, input._array.shape, dim, keepdim) * (centred * factor)


def _deviation_gradient(g: Tensor, input: Tensor, result: Tensor, dim: Shape, correction: float,
                        keepdim: bool) -> Tensor:
    return _variance_gradient((g / (result * 2)).masked_fill(result == 0, 0), input, dim, correction, keepdim)


@dispatch.operator(samples=_samples.moments, vjp={"input": _variance_gradient})
def _var(input: Tensor, dim: Shape, correction: float, keepdim: bool) -> Tensor:
    """The sum of squared distances from the mean, divided by count - correction."""
    count = _faces.count(input._array.shape, dim)
    centred = input - input.mean(dim, keepdim=True) if dim else input - input
    squares = (centred * centred.conj()).real if input._kind.dtype.is_complex else centred * centred
    kind = squares._kind.dtype
    from flambeau.ops.reduction import _sum
    return _sum(squares, dim, keepdim, kind) / max(count - correction, 0)


@dispatch.operator(samples=_samples.moments, vjp={"input": _deviation_gradient})
def _std(input: Tensor, dim: Shape, correction: float, keepdim: bool) -> Tensor:
    """The root of the variance."""
    return _var(input, dim, correction, keepdim).sqrt()


def _arguments(op: str, input: Tensor, dim: Any, unbiased: Any, correction: Any,
               keepdim: bool) -> tuple[Shape, float, bool]:
    """The canonical arguments behind PyTorch's two generations: `unbiased` and `correction`."""
    if isinstance(dim, bool):   # var(unbiased)
        dim, unbiased = None, dim
    if not input._kind.differentiable:
        raise DtypeError(f"{op} only support floating point and complex dtypes; given: {input._kind.dtype}; convert "
                         "the input")
    if correction is None:
        correction = 1 if unbiased is None else int(unbiased)
    dims = shapes.reduction_dims(dim, len(input._array.shape))
    if _faces.count(input._array.shape, dims) <= correction:
        warnings.warn(f"{op}(): degrees of freedom is <= 0. Correction should be strictly less than the reduction "
                      "factor (input numel divided by output numel).", stacklevel=4)
    return dims, correction, keepdim


@_faces.face(_var)
def var(input: Tensor, dim: Any = None, unbiased: Any = None, keepdim: bool = False, *,
        correction: Any = None) -> Tensor:
    """Variance over dimensions: squared distances from the mean, divided by their number less `correction` (1).

    Source: https://docs.pytorch.org/docs/stable/generated/torch.var.html

    >>> import flambeau as torch
    >>> torch.tensor([1., 2., 3.]).var()
    tensor(1.)
    """
    return _var(input, *_arguments("var", input, dim, unbiased, correction, keepdim))


@_faces.face(_std)
def std(input: Tensor, dim: Any = None, unbiased: Any = None, keepdim: bool = False, *,
        correction: Any = None) -> Tensor:
    """Standard deviation over dimensions: the root of `var`.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.std.html

    >>> import flambeau as torch
    >>> torch.tensor([1., 2., 3.]).std()
    tensor(1.)
    """
    return _std(input, *_arguments("std", input, dim, unbiased, correction, keepdim))


@_faces.reducing(samples=_samples.moments, method=False)
def var_mean(input: Tensor, dim: Any = None, unbiased: Any = None, keepdim: bool = False, *,
             correction: Any = None) -> tuple[Tensor, Tensor]:
    """(`var`, `mean`) over the same dimensions.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.var_mean.html

    >>> import flambeau as torch
    >>> torch.var_mean(torch.tensor([1., 2., 3.]))
    (tensor(1.), tensor(2.))
    """
    arguments = _arguments("var_mean", input, dim, unbiased, correction, keepdim)
    return _var(input, *arguments), input.mean(arguments[0], keepdim)


@_faces.reducing(samples=_samples.moments, method=False)
def std_mean(input: Tensor, dim: Any = None, unbiased: Any = None, keepdim: bool = False, *,
             correction: Any = None) -> tuple[Tensor, Tensor]:
    """(`std`, `mean`) over the same dimensions.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.std_mean.html

    >>> import flambeau as torch
    >>> torch.std_mean(torch.tensor([1., 2., 3.]))
    (tensor(1.), tensor(2.))
    """
    arguments = _arguments("std_mean", input, dim, unbiased, correction, keepdim)
    return _std(input, *arguments), input.mean(arguments[0], keepdim)


def _samples_cov(make: Any) -> _samples.Calls:
    yield (make(3, 5),), {}
    yield (make(3, 5),), {"correction": 0, "fweights": make.fixed([1, 2, 1, 3, 1], dtype=dtypes.int64)}
    yield (make(3, 5),), {"aweights": make.real(5, low=0.5, high=2)}


@dispatch.composite(samples=_samples_cov)
def cov(input: Tensor, *, correction: int = 1, fweights: Tensor | None = None,
        aweights: Tensor | None = None) -> Tensor:
    """The covariance matrix of variables in rows, observations in columns.

    `fweights` are whole numbers of times that an observation counts, `aweights` relative weights.
    Source: https://docs.pytorch.org/docs/stable/generated/torch.cov.html

    >>> import flambeau as torch
    >>> torch.tensor([[1., 2., 3.], [3., 2., 1.]]).cov()
    tensor([[ 1., -1.],
            [-1.,  1.]])
    """
    if input.dim() > 2:
        raise ShapeError(f"cov(): expected input to have two or fewer dimensions but got an input with {input.dim()} "
                         "dimensions")
    if input._kind.dtype is dtypes.bool_:
        raise DtypeError("cov(): bool dtype is not supported for input; convert it")
    if aweights is not None and not aweights._kind.dtype.is_floating_point:
        raise DtypeError("cov(): expected aweights to have floating point dtype but got aweights with "
                         f"{_faces.scalar_name(aweights._kind.dtype)} dtype")
    if fweights is not None and fweights._kind.dtype.category != dtypes.INTEGER:
        raise DtypeError("cov(): expected fweights to have integral dtype but got fweights with "
                         f"{_faces.scalar_name(fweights._kind.dtype)} dtype")
    rows = _faces.to_float(input).reshape(1, -1) if input.dim() < 2 else _faces.to_float(input)
    weights = fweights
    if aweights is not None:
        weights = aweights if weights is None else weights * aweights
    if weights is None:
        total: Any = rows._array.shape[1]
        centred = rows - rows.mean(1, keepdim=True)
        scaled, freedom = centred, total - correction
    else:
        weights = weights.to(rows._kind.dtype)
        total = weights.sum()
        centred = rows - (rows * weights).sum(1, keepdim=True) / total
        scaled = centred * weights
        freedom = total - correction * ((weights * aweights).sum() / total if aweights is not None else 1)
    if float(freedom) <= 0:
        warnings.warn("cov(): degrees of freedom is <= 0", stacklevel=2)
        freedom = freedom * 0
    conjugate = centred.conj() if rows._kind.dtype.is_complex else centred
    return (scaled.matmul(conjugate.transpose(0, 1)) / freedom).squeeze()


@dispatch.composite(samples=_samples.on(((3, 5),), ((5,),)))
def corrcoef(input: Tensor) -> Tensor:
    """The matrix of correlation coefficients of variables in rows.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.corrcoef.html

    >>> import flambeau as torch
    >>> torch.tensor([[1., 2., 3.], [3., 2., 1.]]).corrcoef()
    tensor([[ 1., -1.],
            [-1.,  1.]])
    """
    matrix = cov(input)
    if not matrix.dim():
        return matrix / matrix
    deviation = matrix.diagonal().sqrt()
    result = matrix / deviation.unsqueeze(1) / deviation.unsqueeze(0)
    if not result._kind.dtype.is_complex:
        return result.clamp(-1, 1)
    from flambeau.ops.complex_numbers import complex
    return complex(result.real.clamp(-1, 1), result.imag.clamp(-1, 1))


# ---------------------------------------------------------------------------------------------- quantiles
def _quantile(op: str, input: Tensor, q: Any, dim: Any, keepdim: bool, interpolation: str, skip_nan: bool) -> Tensor:
    if interpolation not in ("linear", "lower", "higher", "midpoint", "nearest"):
        raise ArgumentError(f"{op}(): expected interpolation to be one of linear, lower, higher, midpoint or nearest, "
                            f"but got {interpolation}")
    if input._kind.dtype.name not in ("float32", "float64"):
        raise DtypeError(f"{op}() input tensor must be either float or double dtype; given: {input._kind.dtype}")
    if not isinstance(q, Tensor):
        if not 0 <= q <= 1:
            raise ArgumentError(f"{op}() q must be in the range [0, 1] but got {q}")
        q = input.detach().new_zeros(()) + q
    elif q._kind is not input._kind:
        raise DtypeError(f"{op}() q tensor must be same dtype as the input tensor")
    if q.dim() > 1:
        raise ShapeError(f"{op}() q must be a scalar or 1D tensor; given: {q.dim()}D")
    if 0 in input._array.shape:
        raise ArgumentError(f"{op}() input tensor must be non-empty")
    ndim = input.dim()
    if dim is None:
        values, kept = input.reshape(-1), (1,) * ndim
    else:
        dim = shapes.wrap_dim(dim, ndim)
        values = input.movedim(dim, -1) if ndim else input.reshape(1)
        kept = shapes.reduced_shape(input._array.shape, (dim,) if ndim else (), True)
    ordered = values.sort(-1)[0]
    result = _between(ordered, q.reshape(-1), interpolation, skip_nan)
    outer = ordered._array.shape[:-1] if not keepdim else kept
    return result.movedim(-1, 0).reshape((*(q._array.shape), *outer))


def _between(ordered: Tensor, q: Tensor, interpolation: str, skip_nan: bool) -> Tensor:
    """Values at fractional ranks along the last dimension of sorted values, where nan comes last."""
    present = (ordered == ordered).detach().sum(-1, keepdim=True)
    size = ordered._array.shape[-1]
    last = (present - 1).clamp(min=0) if skip_nan else present * 0 + (size - 1)
    ranks = q * last.to(ordered._kind.dtype)
    if not skip_nan:
        ranks = ranks.masked_fill(present < size, size - 1)
    if interpolation == "lower":
        ranks = ranks.floor()
    elif interpolation == "higher":
        ranks = ranks.ceil()
    elif interpolation == "nearest":
        ranks = ranks.round()
    below = ranks.floor()
    low = ordered.gather(-1, below.detach().to(dtypes.int64))
    if interpolation in ("lower", "higher", "nearest"):
        return low
    high = ordered.gather(-1, ranks.ceil().detach().to(dtypes.int64))
    weight = 0.5 * (ranks != below).to(ordered._kind.dtype) if interpolation == "midpoint" else ranks - below
    return low + (high - low) * weight


def _samples_quantile(make: Any) -> _samples.Calls:
    yield (make.distinct(3, 5), 0.3), {}
    yield (make.distinct(3, 5), make.fixed([0.2, 0.8])), {"dim": 1, "keepdim": True}
    for interpolation in ("lower", "higher", "nearest", "midpoint"):
        yield (make.distinct(3, 5), 0.4, -2), {"interpolation": interpolation}


@_faces.reducing(samples=_samples_quantile)
def quantile(input: Tensor, q: Any, dim: Any = None, keepdim: bool = False, *,
             interpolation: str = "linear") -> Tensor:
    """The q-quantiles of the elements, or along `dim`; `q` is a number or a vector, which then comes first.

    nan gives nan. `interpolation` is linear, lower, higher, midpoint or nearest.
    Source: https://docs.pytorch.org/docs/stable/generated/torch.quantile.html

    >>> import flambeau as torch
    >>> torch.tensor([1., 2., 3., 4.]).quantile(0.5)
    tensor(2.5000)
    """
    return _quantile("quantile", input, q, dim, keepdim, interpolation, False)


def _samples_nanquantile(make: Any) -> _samples.Calls:
    yield (make.distinct(3, 5), 0.3), {}
    if make.dtype.is_floating_point:
        yield (make.fixed([[1, float("nan"), 3, 2], [5, 4, 8, 6]]), make.fixed([0.2, 0.8]), 1), {}


@_faces.reducing(samples=_samples_nanquantile)
def nanquantile(input: Tensor, q: Any, dim: Any = None, keepdim: bool = False, *,
                interpolation: str = "linear") -> Tensor:
    """`quantile` of the elements that are not nan.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nanquantile.html

    >>> import flambeau as torch
    >>> torch.tensor([1., float("nan"), 3.]).nanquantile(0.5)
    tensor(2.)
    """
    return _quantile("nanquantile", input, q, dim, keepdim, interpolation, True)


# ---------------------------------------------------------------------------------------------- histograms
@dispatch.operator(samples=_samples.on(((3, 4), 7), ((3, 4), 5, 0, 5), of="distinct"), vjp="none")
def _histc(input: Tensor, bins: int, low: float, high: float) -> Tensor:
    """How many elements fall into each of `bins` equal parts of [low, high]."""
    values = input.reshape(-1)
    values = values.masked_select((values >= low) & (values <= high))
    places = ((values - low) * (bins / (high - low))).floor().to(dtypes.int64).clamp(max=bins - 1)
    return input.new_zeros((bins,)).scatter_add(0, places, values * 0 + 1)


@dispatch.front(_histc, out=True)
def histc(input: Tensor, bins: int = 100, min: float = 0, max: float = 0) -> Tensor:
    """A histogram with `bins` equal bins from `min` to `max`; if both are 0, from the smallest to the largest element.

    Elements outside are not counted, nor is nan.
    Source: https://docs.pytorch.org/docs/stable/generated/torch.histc.html

    >>> import flambeau as torch
    >>> torch.histc(torch.tensor([1., 2., 1.]), bins=4, min=0, max=3)
    tensor([0., 2., 1., 0.])
    """
    if bins <= 0:
        raise ArgumentError(f"torch.histc(): bins must be > 0; given: {bins}")
    if input._kind.dtype.category in (dtypes.BOOL, dtypes.COMPLEX):
        raise UnsupportedDtypeError(f"torch.histc(): not implemented for {input.dtype}; convert the input")
    low, high = float(min), float(max)
    if low == high and input.numel():
        low, high = float(input.detach().min()), float(input.detach().max())
    if low == high:
        low, high = low - 1, high + 1
    if not (abs(low) < float("inf") and abs(high) < float("inf")):
        raise ArgumentError(f"torch.histc(): range of [{low}, {high}] is not finite")
    if low > high:
        raise ArgumentError("torch.histc(): max must be larger than min; "
                            f"given: min={min}, max={max}")
    return _histc(input, bins, low, high)


__all__ = [name for name, value in list(globals().items())
           if hasattr(value, "op") and value.op.namespace == "torch" and not name.startswith("_")]
