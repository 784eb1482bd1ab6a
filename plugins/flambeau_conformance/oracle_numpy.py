"""Independent definitions of operators in NumPy, for machines without PyTorch.

Here are those of the primitives, which have all one, and of what NumPy has a function for; `definitions` joins them
with the others. NotImplemented means that a definition does not cover a call.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from flambeau.dtypes import dtype
from flambeau_conformance.oracle import Refused
from flambeau_conformance.sampling import numpy_dtype

Definition = Callable[..., Any]


def each(function: Callable[[float], float]) -> Definition:
    """A function of one real number, element by element, in float64; nan where it is not defined."""
    def safe(x: float) -> float:
        try:
            return function(x)
        except (ValueError, OverflowError):
            return math.nan
    return lambda a: np.vectorize(safe, otypes=[np.float64])(np.asarray(a, np.float64)) if np.size(a) else np.zeros(
        np.shape(a))


def floating(function: Definition) -> Definition:
    """A function of floating numbers: integers and bools are converted first."""
    def wide(each: Any) -> Any:
        if isinstance(each, np.ndarray):
            return each.astype(np.float64) if each.dtype.kind in "biu" else each
        return float(each) if isinstance(each, (bool, int)) else each

    def call(*args: Any) -> Any:
        return function(*[wide(each) for each in args])
    return call


# ---------------------------------------------------------------------------------------------- pointwise
_SAME = """abs:absolute neg:negative floor ceil trunc square sign:sign isnan isinf isfinite signbit logical_not
    bitwise_not:invert isposinf isneginf positive""".split()
_FLOAT = """exp exp2 expm1 log log2 log10 log1p sqrt sin cos tan asin:arcsin acos:arccos atan:arctan sinh cosh tanh
    asinh:arcsinh acosh:arccosh atanh:arctanh deg2rad rad2deg reciprocal sinc""".split()
_BINARY = """mul:multiply maximum minimum fmax fmin nextafter eq:equal ne:not_equal
    lt:less le:less_equal gt:greater ge:greater_equal logical_and logical_or logical_xor bitwise_and bitwise_or
    bitwise_xor bitwise_left_shift:left_shift bitwise_right_shift:right_shift gcd lcm fmod
    remainder""".split()
_BINARY_FLOAT = "hypot copysign logaddexp logaddexp2 atan2:arctan2".split()


def _named(names: list[str], wrap: Callable[[Any], Definition]) -> dict[str, Definition]:
    found = {}
    for name in names:
        mine, _, theirs = name.partition(":")
        found[mine] = wrap(getattr(np, theirs or mine))
    return found


def _binary(function: Any) -> Definition:
    return lambda a, b: function(a, b)


def _pow(a: Any, b: Any) -> Any:
    whole = [np.asarray(each).dtype.kind in "biu" for each in (a, b)]
    if all(whole) and isinstance(b, int) and b < 0:
        raise Refused(ValueError("an integer has no negative power among the integers"))
    return np.power(a, b)


def _round(a: Any, decimals: int = 0) -> Any:
    return np.rint(a) if not decimals else np.rint(a * 10.0 ** decimals) / 10.0 ** decimals


def _div(a: Any, b: Any, rounding_mode: str | None = None) -> Any:
    if rounding_mode is None:
        return np.true_divide(a, b)
    return np.floor_divide(a, b) if rounding_mode == "floor" else NotImplemented


def _clamp(a: Any, min: Any = None, max: Any = None) -> Any:
    if min is not None:
        a = np.maximum(a, min)
    return a if max is None else np.minimum(a, max)


def _sigmoid(a: Any) -> Any:
    return 1 / (1 + np.exp(-a))


def _inverse_erf(y: float) -> float:
    if abs(y) >= 1:
        return math.copysign(math.inf, y) if abs(y) == 1 else math.nan
    x = 0.0
    for _ in range(200):    # Newton's method, from the middle outwards
        step = (math.erf(x) - y) * math.sqrt(math.pi) / 2 * math.exp(min(x * x, 700))
        x -= max(-0.5, min(0.5, step))
        if abs(step) < 1e-16:
            break
    return x


def _digamma(x: float) -> float:
    return _polygamma(0, x)


def _polygamma(order: int, x: float) -> float:
    """Derivatives of log-gamma: recurrence up to 30, then the asymptotic series with Bernoulli's numbers."""
    if x <= 0 and x == math.floor(x):
        return -math.inf if order == 0 and x == 0 else math.nan if order == 0 else math.inf
    if x < 0 and order < 2:    # reflection
        angle = math.pi * x
        return _polygamma(0, 1 - x) - math.pi / math.tan(angle) if order == 0 else \
            (math.pi / math.sin(angle)) ** 2 - _polygamma(1, 1 - x)
    total, sign, factor = 0.0, (-1.0) ** (order + 1), math.factorial(order)
    while x < 30:
        power = x ** (order + 1)
        total += sign * factor / power if power else sign * math.inf
        x += 1
    bernoulli = [1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6]
    if order == 0:
        return total + math.log(x) - 0.5 / x - sum(
            b / (2 * (k + 1) * x ** (2 * (k + 1))) for k, b in enumerate(bernoulli))
    tail = math.factorial(order - 1) / x ** order + factor / (2 * x ** (order + 1)) + sum(
        b * math.factorial(2 * (k + 1) + order - 1) / (math.factorial(2 * (k + 1)) * x ** (2 * (k + 1) + order))
        for k, b in enumerate(bernoulli))
    return total + sign * tail


POINTWISE: dict[str, Definition] = {
    **_named(_SAME, lambda function: lambda a: function(a)),
    **_named(_FLOAT, lambda function: floating(lambda a: function(a))),
    **_named(_BINARY, _binary),
    **_named(_BINARY_FLOAT, lambda function: floating(_binary(function))),
    "add": lambda a, b, alpha=1: np.add(a, np.multiply(alpha, b) if alpha != 1 else b),
    "sub": lambda a, b, alpha=1: np.subtract(a, np.multiply(alpha, b) if alpha != 1 else b),
    "rsub": lambda a, b, alpha=1: np.subtract(b, np.multiply(alpha, a) if alpha != 1 else a),
    "div": _div, "floor_divide": np.floor_divide, "pow": _pow, "round": _round,
    "erf": each(math.erf), "erfc": each(math.erfc), "erfinv": each(_inverse_erf),
    "lgamma": each(lambda x: math.inf if x <= 0 and x == math.floor(x) else math.lgamma(x)),
    "digamma": each(_digamma), "trigamma": each(lambda x: _polygamma(1, x)),
    "polygamma_series": lambda a, order: each(lambda x: _polygamma(int(order), x))(a),
    "polygamma": lambda order, a: each(lambda x: _polygamma(int(order), x))(a),
    "sigmoid": floating(_sigmoid), "rsqrt": floating(lambda a: 1 / np.sqrt(a)), "frac": lambda a: a - np.trunc(a),
    "relu": lambda a: np.maximum(a, 0), "clamp": _clamp, "clamp_min": lambda a, low: np.maximum(a, low),
    "clamp_max": lambda a, high: np.minimum(a, high),
    "where": lambda c, a, b: np.where(c, a, b), "complex": lambda a, b: a + 1j * b,
    "silu": floating(lambda a: a * _sigmoid(a)), "softplus": floating(lambda a: np.logaddexp(a, 0)),
    "lerp": lambda a, b, w: a + w * (b - a), "addcmul": lambda a, b, c, value=1: a + value * b * c,
    "addcdiv": lambda a, b, c, value=1: a + value * b / c, "real": np.real, "imag": np.imag, "conj": np.conj,
    "angle": lambda a: np.angle(a) if np.iscomplexobj(a) else NotImplemented,
    "xlogy": floating(lambda a, b: np.where(a == 0, 0.0, a * np.log(b))),
}


# ---------------------------------------------------------------------------------------------- reductions
def _axis(dim: Any) -> Any:
    return tuple(dim) if isinstance(dim, list) else (None if dim == () else dim)


def _summed(function: Any) -> Definition:
    def call(a: Any, dim: Any = None, keepdim: bool = False, dtype: Any = None) -> Any:
        wide = np.int64 if a.dtype.kind in "biu" else a.dtype
        return function(a.astype(wide), axis=_axis(dim), keepdims=keepdim)
    return call


def _reduced(function: Any) -> Definition:
    return lambda a, dim=None, keepdim=False: function(a, axis=_axis(dim), keepdims=keepdim)


def _mean(a: Any, dim: Any = None, keepdim: bool = False, dtype: Any = None) -> Any:
    return np.mean(a, axis=_axis(dim), keepdims=keepdim)


def _arg(function: Any) -> Definition:
    def call(a: Any, dim: Any = None, keepdim: bool = False) -> Any:
        found = function(a, axis=dim)
        return found if not keepdim else (np.reshape(found, (1,) * a.ndim) if dim is None
                                          else np.expand_dims(found, dim))
    return call


def _spread(function: Any) -> Definition:
    def call(a: Any, dim: Any = None, correction: float = 1, keepdim: bool = False, **other: Any) -> Any:
        if other or isinstance(dim, bool):
            return NotImplemented
        return function(a, axis=_axis(dim), ddof=correction, keepdims=keepdim)
    return call


def _accumulated(function: Any) -> Definition:
    def call(a: Any, dim: int, dtype: Any = None) -> Any:
        return function(a.astype(np.int64) if a.dtype.kind in "biu" else a, axis=dim) if a.ndim else a
    return call


def _running(better: Any) -> Definition:
    def call(a: Any, dim: int) -> Any:
        if not a.ndim:
            return a, np.zeros((), np.int64)
        moved = np.moveaxis(a, dim, 0)
        values, indices = moved.copy(), np.zeros(moved.shape, np.int64)
        for k in range(1, len(moved)):
            stays = ~(better(moved[k], values[k - 1]) | np.isnan(moved[k])) | (
                np.isnan(values[k - 1]) & ~np.isnan(moved[k]))
            values[k] = np.where(stays, values[k - 1], moved[k])
            indices[k] = np.where(stays, indices[k - 1], k)
        return np.moveaxis(values, 0, dim), np.moveaxis(indices, 0, dim)
    return call


def _sort(a: Any, dim: int = -1, descending: bool = False, stable: bool = False) -> Any:
    if isinstance(dim, bool) or not a.ndim:
        return NotImplemented
    if descending:
        order = np.flip(a.shape[dim] - 1 - np.argsort(np.flip(a, dim), axis=dim, kind="stable"), dim)
    else:
        order = np.argsort(a, axis=dim, kind="stable")
    return np.take_along_axis(a, order, dim), order


def _softmax(a: Any, dim: int, dtype: Any = None) -> Any:
    grown = np.exp(a - a.max(axis=dim, keepdims=True))
    return grown / grown.sum(axis=dim, keepdims=True)


REDUCTIONS: dict[str, Definition] = {
    "sum": _summed(np.sum), "prod": _summed(np.prod), "mean": _mean, "nansum": _summed(np.nansum),
    "amax": _reduced(np.max), "amin": _reduced(np.min), "all": _reduced(np.all), "any": _reduced(np.any),
    "argmax": _arg(np.argmax), "argmin": _arg(np.argmin), "var": _spread(np.var), "std": _spread(np.std),
    "cumsum": _accumulated(np.cumsum), "cumprod": _accumulated(np.cumprod),
    "cummax": _running(np.greater_equal), "cummin": _running(np.less_equal), "sort": _sort,
    "softmax": _softmax, "log_softmax": lambda a, dim, dtype=None: np.log(_softmax(a, dim)),
    "logsumexp": lambda a, dim, keepdim=False: np.log(
        np.sum(np.exp(a.astype(np.complex128 if np.iscomplexobj(a) else np.float64)), axis=_axis(dim),
               keepdims=keepdim)),
    "count_nonzero": lambda a, dim=None: np.count_nonzero(a, axis=_axis(dim)),
}


# ---------------------------------------------------------------------------------------------- moving data
def _wide(kind: dtype) -> Any:
    if not kind.is_differentiable:
        return numpy_dtype(kind)
    return np.complex128 if kind.is_complex else np.float64


def _scatter(add: bool) -> Definition:
    def call(a: Any, dim: int, index: Any, src: Any, **other: Any) -> Any:
        if other or not a.ndim or not isinstance(src, np.ndarray):
            return NotImplemented
        result = a.copy()
        for place in np.ndindex(index.shape):
            target = list(place)
            target[dim] = index[place]
            value = src[place]
            result[tuple(target)] = result[tuple(target)] + value if add else value
        return result
    return call


def _scatter_reduce(a: Any, dim: int, index: Any, src: Any, reduce: str, include_self: bool = True) -> Any:
    found: dict[tuple[int, ...], list[Any]] = {}
    for place in np.ndindex(index.shape):
        target = list(place)
        target[dim] = index[place]
        found.setdefault(tuple(int(each) for each in target), []).append(src[place])
    fold: Any = {"sum": np.sum, "prod": np.prod, "amax": np.max, "amin": np.min, "mean": np.mean}[reduce]
    if (reduce == "mean" and a.dtype.kind in "biu") or a.dtype.kind == "b":
        return NotImplemented
    result = a.copy()
    for goal, values in found.items():
        result[goal] = fold(np.array([a[goal], *values] if include_self else values))
    return result


def _index_put(a: Any, indices: Any, values: Any, accumulate: bool = False) -> Any:
    result = a.copy()
    key: Any = tuple(slice(None) if each is None else each for each in indices)
    if accumulate:
        np.add.at(result, key, values)
    else:
        result[key] = values
    return result


def _nonzero(a: Any, as_tuple: bool = False) -> Any:
    if as_tuple:
        return [np.asarray(each) for each in np.nonzero(a)] if a.ndim else NotImplemented
    return np.argwhere(a)


def _searchsorted(a: Any, values: Any, right: bool = False, out_int32: bool = False, side: Any = None,
                  sorter: Any = None) -> Any:
    if sorter is not None or a.ndim != 1:
        return NotImplemented
    return np.searchsorted(a, values, "right" if right or side == "right" else "left")


def _arange(*args: Any, dtype: Any = None, device: Any = None, **other: Any) -> Any:
    return np.arange(*args, dtype=None if dtype is None else _wide(dtype)) if not other else NotImplemented


def _gather(a: Any, dim: int, index: Any) -> Any:
    if not a.ndim or not index.ndim:
        return NotImplemented
    within = tuple(slice(None) if k == dim % a.ndim else slice(0, size) for k, size in enumerate(index.shape))
    return np.take_along_axis(a[within], index, dim)


MOVEMENT: dict[str, Definition] = {
    "clone": lambda a, memory_format=None: a, "cast": lambda a, kind: a.astype(_wide(kind)),
    "cat": lambda parts, dim=0: np.concatenate([each for each in parts if each.shape != (0,)] or parts, axis=dim),
    "stack": lambda parts, dim=0: np.stack(parts, axis=dim),
    "gather": lambda a, dim, index, sparse_grad=False: _gather(a, dim, index),
    "scatter": _scatter(False), "scatter_add": _scatter(True), "scatter_reduce": _scatter_reduce,
    "index_put": _index_put, "nonzero": _nonzero, "searchsorted": _searchsorted, "arange": _arange,
    "index": lambda a, indices: a[tuple(slice(None) if each is None else each for each in indices)],
    "index_select": lambda a, dim, index: np.take(a, index, axis=dim) if a.ndim else NotImplemented,
    "full": lambda size, value, dtype=None, device=None: np.full(size, value, None if dtype is None else _wide(dtype)),
    "flip": lambda a, *dims: np.flip(a, dims[0] if len(dims) == 1 else dims),
    "roll": lambda a, shifts, dims=None: np.roll(a, shifts, dims),
    "tril": lambda a, diagonal=0: np.tril(a, diagonal), "triu": lambda a, diagonal=0: np.triu(a, diagonal),
    "diag": lambda a, diagonal=0: np.diag(a, diagonal), "outer": np.outer, "kron": np.kron,
    "permute": lambda a, *dims: np.transpose(a, dims[0] if len(dims) == 1 else dims),
    "transpose": lambda a, first, second: np.swapaxes(a, first, second) if a.ndim else a,
    "masked_fill": lambda a, mask, value: np.asarray(np.where(mask, value, a)).astype(a.dtype),
    "diff": lambda a, n=1, dim=-1: np.diff(a, n, dim) if a.dtype != bool else NotImplemented,
}


# ---------------------------------------------------------------------------------------------- matrices
def _matmul(a: Any, b: Any) -> Any:
    return np.matmul(a, b)


def _cholesky(a: Any, upper: bool = False) -> Any:
    found = np.linalg.cholesky(a)
    return np.conj(np.swapaxes(found, -1, -2)) if upper else found


def _qr(a: Any, mode: Any = "reduced") -> Any:
    return tuple(np.linalg.qr(a, mode)) if mode in ("reduced", "complete") and a.ndim > 1 else NotImplemented


def _svd(a: Any, full_matrices: bool = True) -> Any:
    return tuple(np.linalg.svd(a, full_matrices=full_matrices))


def _solve(a: Any, b: Any, left: bool = True) -> Any:
    if not left:
        return NotImplemented
    vector = b.ndim == 1 or (b.ndim == a.ndim - 1 and b.shape == a.shape[:-1])
    return np.linalg.solve(a, b[..., None])[..., 0] if vector else np.linalg.solve(a, b)


MATRICES: dict[str, Definition] = {
    "matmul": _matmul, "mm": _matmul, "bmm": _matmul, "mv": _matmul, "dot": _matmul,
    "addmm": lambda a, b, c, beta=1, alpha=1: beta * a + alpha * (b @ c),
    "linalg_cholesky": _cholesky, "linalg_qr": _qr, "linalg_svd": _svd, "linalg_solve": _solve,
    "linalg_eigh": lambda a, UPLO="L": tuple(np.linalg.eigh(a, UPLO)), "linalg_slogdet": lambda a: tuple(
        np.linalg.slogdet(a)),
    "linalg_inv": np.linalg.inv, "linalg_det": np.linalg.det,
    "linear": lambda x, w, b=None: x @ w.T + (0 if b is None else b),
}

# The generators of draws are another level's business, and `reinterpret` and `unique` (whose order of results depends
# on keywords) are compared with another backend's.
WITHOUT = frozenset({"reinterpret", "unique"})

DEFINITIONS: dict[str, Definition] = {**POINTWISE, **REDUCTIONS, **MOVEMENT, **MATRICES}
