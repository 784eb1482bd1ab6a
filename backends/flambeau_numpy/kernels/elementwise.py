"""Pointwise kernels of arithmetic, comparison and logic: ufuncs where NumPy has one, short compositions where not.

Every kernel here takes arrays or Python numbers of one category, and `out`, which may be one of the operands.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from flambeau.errors import ArgumentError
from flambeau_numpy.kernels.select import SMALL, keep, select
from flambeau_numpy.quiet import quiet, quiet1, quiet2

UNARY = {
    "neg": np.negative, "abs": np.absolute, "exp": np.exp, "exp2": np.exp2, "expm1": np.expm1, "log": np.log,
    "log2": np.log2, "log1p": np.log1p, "sqrt": np.sqrt, "sin": np.sin, "cos": np.cos, "tan": np.tan,
    "asin": np.arcsin, "acos": np.arccos, "atan": np.arctan, "sinh": np.sinh, "cosh": np.cosh, "tanh": np.tanh,
    "asinh": np.arcsinh, "acosh": np.arccosh, "atanh": np.arctanh, "reciprocal": np.reciprocal, "square": np.square,
    "floor": np.floor, "ceil": np.ceil, "trunc": np.trunc, "logical_not": np.logical_not,
    "isnan": np.isnan, "isinf": np.isinf, "isfinite": np.isfinite, "signbit": np.signbit, "bitwise_not": np.invert,
    "deg2rad": np.deg2rad, "rad2deg": np.rad2deg,
}
BINARY = {
    "add": np.add, "sub": np.subtract, "mul": np.multiply, "div": np.true_divide, "eq": np.equal, "ne": np.not_equal,
    "lt": np.less, "le": np.less_equal, "gt": np.greater, "ge": np.greater_equal, "fmax": np.fmax,
    "fmin": np.fmin, "atan2": np.arctan2, "hypot": np.hypot,
    "copysign": np.copysign, "nextafter": np.nextafter, "logaddexp": np.logaddexp, "logaddexp2": np.logaddexp2,
    "logical_and": np.logical_and, "logical_or": np.logical_or, "logical_xor": np.logical_xor,
    "bitwise_and": np.bitwise_and, "bitwise_or": np.bitwise_or, "bitwise_xor": np.bitwise_xor,
    "gcd": np.gcd, "lcm": np.lcm,
}


def composed(function: Callable[..., Any]) -> Callable[..., Any]:
    """A kernel from a function that knows no `out`: run silently, then copied where it should go."""
    silent = quiet(function)

    def kernel(*operands: Any, out: Any = None) -> Any:
        # The in-place forms of the short way pass `out` by position, after the operands that the function takes.
        if len(operands) > arity:
            out = operands[arity]
            operands = operands[:arity]
        result = silent(*operands)
        if out is None:
            return result
        np.copyto(out, result, casting="unsafe")
        return out
    arity = function.__code__.co_argcount
    return kernel


def _maximum(a: Any, b: Any, out: Any = None) -> Any:
    return np.maximum(a, b) if out is None else np.maximum(a, b, out=out)  # by position it is deprecated here


def _minimum(a: Any, b: Any, out: Any = None) -> Any:
    return np.minimum(a, b) if out is None else np.minimum(a, b, out=out)


def _rsub(a: Any, b: Any, out: Any = None) -> Any:
    return np.subtract(b, a) if out is None else np.subtract(b, a, out)


def _round(a: Any, out: Any = None) -> Any:
    rounded = np.positive if a.dtype.kind in "iu" else np.rint
    return rounded(a) if out is None else rounded(a, out)


def _conj_physical(a: Any, out: Any = None) -> Any:
    conjugate = np.logical_or if a.dtype.kind == "b" else np.conjugate   # which would give int8 for bools
    operands = (a, a) if a.dtype.kind == "b" else (a,)
    return conjugate(*operands) if out is None else conjugate(*operands, out)


# ---------------------------------------------------------------------------------------------- integer division
def _is_integer(a: Any) -> bool:
    return (a.dtype.kind in "iu") if isinstance(a, np.ndarray) else isinstance(a, int)


def _nonzero_divisor(op: str, a: Any, b: Any) -> None:
    """Integers refuse a divisor of zero, as in PyTorch."""
    if _is_integer(a) and _is_integer(b) and not np.all(b):
        raise ArgumentError(f"{op}: ZeroDivisionError: integers have no quotient by zero; convert them to floats")


def _floor_divide(a: Any, b: Any, out: Any = None) -> Any:
    _nonzero_divisor("floor_divide", a, b)
    return np.floor_divide(a, b) if out is None else np.floor_divide(a, b, out)


def _remainder(a: Any, b: Any, out: Any = None) -> Any:
    _nonzero_divisor("remainder", a, b)
    return np.remainder(a, b) if out is None else np.remainder(a, b, out)


def _fmod(a: Any, b: Any, out: Any = None) -> Any:
    _nonzero_divisor("fmod", a, b)
    return np.fmod(a, b) if out is None else np.fmod(a, b, out)


def _trunc_divide(a: Any, b: Any) -> Any:
    _nonzero_divisor("div", a, b)
    if not (_is_integer(a) and _is_integer(b)):
        return np.trunc(np.true_divide(a, b))
    down = np.floor_divide(a, b)
    return down + np.asarray((np.remainder(a, b) != 0) & ((np.asarray(a) < 0) != (np.asarray(b) < 0)), down.dtype)


# ---------------------------------------------------------------------------------------------- powers
def _pow(a: Any, b: Any, out: Any = None) -> Any:
    if not isinstance(b, np.ndarray):
        return _pow_number(a, b, out)
    if _is_integer(b) and _is_integer(a) and (b < 0).any():
        whole = np.power(a, np.maximum(b, 0))
        sign = np.where(np.remainder(b, 2) == 0, 1, a)
        inverse = np.where(np.absolute(a) == 1, sign, 0)  # 1 / a, rounded towards zero, to a power
        result = np.where(b < 0, inverse, whole).astype(b.dtype)
        if out is None:
            return result
        out[...] = result
        return out
    return np.power(a, b) if out is None else np.power(a, b, out)


def _pow_number(a: Any, b: Any, out: Any) -> Any:
    if b == 2:
        return np.multiply(a, a) if out is None else np.multiply(a, a, out)
    if a.dtype.kind in "iu":
        if b < 0:
            raise ArgumentError("pow: Integers to negative integer powers are not allowed; convert the tensor to a "
                                "float dtype")
    elif b == 0.5:
        return np.sqrt(a) if out is None else np.sqrt(a, out)
    elif b == 1:
        return np.positive(a) if out is None else np.positive(a, out)
    elif b == 3:
        return np.multiply(a * a, a) if out is None else np.multiply(a * a, a, out)
    elif b == -1:
        return np.reciprocal(a) if out is None else np.reciprocal(a, out)
    return np.power(a, b) if out is None else np.power(a, b, out)


# ---------------------------------------------------------------------------------------------- sign
def _sign(a: Any) -> Any:
    if a.dtype.kind == "f":
        result = np.asarray(np.sign(a))
        result[np.isnan(a)] = 0
        return result
    return a.copy() if a.dtype.kind == "b" else np.sign(a)


def _sgn(a: Any) -> Any:
    if a.dtype.kind != "c":
        return _sign(a)
    size = np.absolute(a)
    return np.divide(a, size, out=np.zeros_like(a), where=size != 0)


# ---------------------------------------------------------------------------------------------- shifts
def _left_shift(a: Any, b: Any) -> Any:
    width = 8 * _dtype(a, b).itemsize
    b = np.asarray(b)
    return np.where((b < 0) | (b >= width), 0, np.left_shift(a, np.clip(b, 0, width - 1))).astype(_dtype(a, b))


def _right_shift(a: Any, b: Any) -> Any:
    dtype = _dtype(a, b)
    last = 8 * dtype.itemsize - 1
    b = np.asarray(b)
    if dtype.kind == "u":
        return np.where((b < 0) | (b > last), 0, np.right_shift(a, np.clip(b, 0, last))).astype(dtype)
    return np.right_shift(a, np.where((b < 0) | (b > last), last, b).astype(dtype)).astype(dtype)


def _dtype(a: Any, b: Any) -> Any:
    return a.dtype if isinstance(a, np.ndarray) else b.dtype


# ---------------------------------------------------------------------------------------------- choosing
def _clamp_min(a: Any, low: Any, out: Any = None) -> Any:
    if isinstance(low, np.ndarray) or a.size < SMALL or a.dtype.kind != "f":
        return _maximum(a, low, out)
    return np.clip(a, low, np.inf, out=out)


def _clamp_max(a: Any, high: Any, out: Any = None) -> Any:
    if isinstance(high, np.ndarray) or a.size < SMALL or a.dtype.kind != "f":
        return _minimum(a, high, out)
    return np.clip(a, -np.inf, high, out=out)


def _masked_fill(a: Any, mask: Any, value: Any) -> Any:
    return keep(mask, a) if value == 0 and mask.shape == a.shape else select(mask, value, a)


def _log10(a: Any, out: Any = None) -> Any:
    """In double precision for float32: NumPy's fast form misses the logarithm of 100 by the last bit."""
    if a.dtype != np.float32:
        return np.log10(a) if out is None else np.log10(a, out)
    return np.log10(a, np.empty_like(a) if out is None else out, dtype=np.float64, casting="unsafe")


def _isposinf(a: Any) -> Any:
    return np.equal(a, np.inf)


def _isneginf(a: Any) -> Any:
    return np.equal(a, -np.inf)


KERNELS: dict[str, Any] = {
    **{name: quiet1(ufunc) for name, ufunc in UNARY.items()},
    **{name: quiet2(ufunc) for name, ufunc in BINARY.items()},
    "maximum": quiet2(_maximum), "clamp_min": quiet2(_clamp_min),
    "minimum": quiet2(_minimum), "clamp_max": quiet2(_clamp_max),
    "rsub": quiet2(_rsub),
    "log10": quiet1(_log10),
    "round": quiet1(_round), "conj_physical": quiet1(_conj_physical),
    "floor_divide": quiet2(_floor_divide), "div_floor": quiet2(_floor_divide),
    "remainder": quiet2(_remainder),
    "fmod": quiet2(_fmod),
    "trunc_divide": composed(_trunc_divide),
    "pow": quiet2(_pow),
    "sign": composed(_sign),
    "sgn": composed(_sgn),
    "bitwise_left_shift": composed(_left_shift),
    "bitwise_right_shift": composed(_right_shift),
    "where": composed(select),
    "masked_fill": quiet(_masked_fill),
    "isposinf": composed(_isposinf),
    "isneginf": composed(_isneginf),
}
