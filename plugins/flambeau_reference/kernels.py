"""One kernel for each primitive, as a function of NumPy arrays: the definition of what the operator computes.

`contract.Checked` stands before each of them. It hands over read-only arrays, of float64 where the device's array is of
float32, and canonical values; it rounds what comes back to the dtype that the operator promises, broadcasts nothing and
repairs nothing. Pointwise kernels get arrays only: a number arrives as an array without dimensions.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from flambeau.errors import ArgumentError
from flambeau_reference import special
from flambeau_reference.array import TO_NUMPY
from flambeau_reference.contract import WIDE, refuse

E4M3 = TO_NUMPY[next(each for each in TO_NUMPY if each.name == "float8_e4m3fn")]


def is_integer(a: Any) -> bool:
    """Whether an array is of integers, bool not among them."""
    return a.dtype.kind in "iu"


def wide(dtype: Any) -> Any:
    """The NumPy dtype in which results of this dtype are computed."""
    return WIDE.get(dtype, TO_NUMPY[dtype])


def convert(a: Any, theirs: Any) -> Any:
    """An array's values in another dtype: complex numbers lose their imaginary part, float8_e4m3fn saturates."""
    if a.dtype.kind == "c" and theirs.kind not in "cb":
        a = a.real
    if theirs == E4M3 and a.dtype != E4M3:
        a = np.clip(a, -448.0, 448.0)
    return a.astype(theirs)


# ---------------------------------------------------------------------------------------------- pointwise
def nonzero_divisor(op: str, b: Any) -> Any:
    """The divisors, of which integers may not be zero."""
    if is_integer(b) and not b.all():
        refuse(ArgumentError(f"{op}: ZeroDivisionError: integers have no quotient by zero; convert them to floats"))
        return np.ones_like(b)
    return b


def floor_divide(a: Any, b: Any) -> Any:
    return np.floor_divide(a, nonzero_divisor("floor_divide", b))


def fmod(a: Any, b: Any) -> Any:
    return np.fmod(a, nonzero_divisor("fmod", b))


def pow(a: Any, b: Any) -> Any:
    """The one pointwise kernel that must know whether an operand came as a number."""
    if b.__class__ is int and b < 0 and is_integer(a):
        raise ArgumentError("pow: Integers to negative integer powers are not allowed; convert the tensor to a float "
                            "dtype")
    a, b = np.asarray(a), np.asarray(b)
    if not is_integer(a) or not is_integer(b) or (b >= 0).all():
        return np.power(a, b)
    inverse = np.where(a == 1, 1, np.where(a == -1, 1 - 2 * (b % 2), 0))  # 1 / a**-b, rounded towards zero
    return np.where(b < 0, inverse, np.power(a, np.maximum(b, 0)))


def round(a: Any) -> Any:
    return a if is_integer(a) else np.rint(a)


def signbit(a: Any) -> Any:
    return np.signbit(a) if a.dtype.kind == "f" else a < 0


def make_complex(real: Any, imag: Any) -> Any:
    result = np.empty(np.broadcast_shapes(real.shape, imag.shape), np.complex128)
    result.real, result.imag = real, imag
    return result


def left_shift(a: Any, b: Any) -> Any:
    bits = 8 * a.dtype.itemsize
    inside = (b >= 0) & (b < bits)
    return np.where(inside, np.left_shift(a, np.where(inside, b, 0)), 0)


def right_shift(a: Any, b: Any) -> Any:
    inside = (b >= 0) & (b < 8 * a.dtype.itemsize)
    return np.where(inside, np.right_shift(a, np.where(inside, b, 0)), np.where(a < 0, -1, 0))


def polygamma(a: Any, order: Any) -> Any:
    return special.elementwise(special.polygamma)(a, order)


POINTWISE: dict[str, Callable[..., Any]] = {
    "abs": np.abs, "add": np.add, "atan2": np.arctan2, "bitwise_and": np.bitwise_and,
    "bitwise_left_shift": left_shift, "bitwise_not": np.invert, "bitwise_or": np.bitwise_or,
    "bitwise_right_shift": right_shift, "bitwise_xor": np.bitwise_xor, "complex": make_complex,
    "copysign": np.copysign, "cos": np.cos, "digamma": special.elementwise(special.digamma), "div": np.divide,
    "eq": np.equal, "erf": special.elementwise(math.erf), "erfc": special.elementwise(math.erfc),
    "erfinv": special.elementwise(special.erfinv), "exp": np.exp, "expm1": np.expm1, "floor_divide": floor_divide,
    "fmod": fmod, "gcd": np.gcd, "lgamma": special.elementwise(special.lgamma), "log": np.log, "log1p": np.log1p,
    "lt": np.less, "mul": np.multiply, "nextafter": np.nextafter, "polygamma_series": polygamma, "pow": pow,
    "round": round, "signbit": signbit, "sin": np.sin, "sub": np.subtract,
    "trigamma": special.elementwise(special.trigamma), "where": np.where,
}


# ---------------------------------------------------------------------------------------------- making and moving
def full(size: Any, fill_value: Any, dtype: Any) -> Any:
    theirs = TO_NUMPY[dtype]
    number = np.asarray(fill_value, theirs if theirs.kind in "iu" and fill_value.__class__ is int else None)
    return np.broadcast_to(convert(number, theirs), size)


def arange(start: Any, step: Any, count: int, dtype: Any) -> Any:
    if TO_NUMPY[dtype].kind in "iub":  # an integer result counts in whole steps
        return int(start) + int(step) * np.arange(count)
    return start + step * np.arange(count, dtype=np.float64)


def cast(a: Any, dtype: Any) -> Any:
    return convert(a, TO_NUMPY[dtype])


def clone(a: Any) -> Any:
    return a


def cat(arrays: Any, dim: int) -> Any:
    return np.concatenate(arrays, dim)


# ---------------------------------------------------------------------------------------------- reductions
def sum(a: Any, dim: Any, keepdim: bool, dtype: Any) -> Any:
    return np.sum(a, dim, wide(dtype), keepdims=keepdim)


def prod(a: Any, dim: Any, keepdim: bool, dtype: Any) -> Any:
    return np.prod(a, dim, wide(dtype), keepdims=keepdim)


def amax(a: Any, dim: Any, keepdim: bool) -> Any:
    return np.max(a, dim, keepdims=keepdim)


def amin(a: Any, dim: Any, keepdim: bool) -> Any:
    return np.min(a, dim, keepdims=keepdim)


def argmax(a: Any, dim: int | None, keepdim: bool) -> Any:
    return np.argmax(a, dim, keepdims=keepdim) if a.ndim else np.zeros((), np.int64)


def argmin(a: Any, dim: int | None, keepdim: bool) -> Any:
    return np.argmin(a, dim, keepdims=keepdim) if a.ndim else np.zeros((), np.int64)


# ---------------------------------------------------------------------------------------------- along a dimension
# An array without dimensions counts as one with a single element; dim is then 0.
def cumsum(a: Any, dim: int, dtype: Any) -> Any:
    return np.cumsum(np.atleast_1d(a), dim, wide(dtype)).reshape(a.shape)


def cumprod(a: Any, dim: int, dtype: Any) -> Any:
    return np.cumprod(np.atleast_1d(a), dim, wide(dtype)).reshape(a.shape)


def cummax(a: Any, dim: int) -> Any:
    rows = np.moveaxis(np.atleast_1d(a), dim, 0)
    values, indices = rows.copy(), np.zeros(rows.shape, np.int64)
    for i in range(1, len(rows)):
        before, here = values[i - 1], rows[i]
        newer = (here >= before) | (here != here)  # the latest of equal ones; nan is never given up
        values[i], indices[i] = np.where(newer, here, before), np.where(newer, i, indices[i - 1])
    return np.moveaxis(values, 0, dim).reshape(a.shape), np.moveaxis(indices, 0, dim).reshape(a.shape)


def sort(a: Any, dim: int, descending: bool, stable: bool) -> Any:
    rows = np.atleast_1d(a)
    if descending:  # the order of the reversed rows, reversed: equal elements stay in order
        indices = rows.shape[dim] - 1 - np.flip(np.argsort(np.flip(rows, dim), dim, kind="stable"), dim)
    else:
        indices = np.argsort(rows, dim, kind="stable")
    return np.take_along_axis(rows, indices, dim).reshape(a.shape), indices.reshape(a.shape)


def searchsorted(sequence: Any, values: Any, right: bool) -> Any:
    side: Any = "right" if right else "left"
    if sequence.ndim == 1:
        return np.searchsorted(sequence, values, side)
    found = np.zeros(values.shape, np.int64)
    for row in np.ndindex(sequence.shape[:-1]):
        found[row] = np.searchsorted(sequence[row], values[row], side)
    return found


def unique(a: Any, dim: int | None) -> Any:
    values, inverse, counts = np.unique(a, return_inverse=True, return_counts=True, axis=dim, equal_nan=False)
    return values, inverse.reshape(a.shape if dim is None else -1), counts


def nonzero(a: Any) -> Any:
    return np.argwhere(a) if a.ndim else np.empty((int(bool(a)), 0), np.int64)


# ---------------------------------------------------------------------------------------------- by index
def in_range(index: Any, low: int, high: int) -> Any:
    """The index array, of which all elements must be from `low` up to below `high`."""
    wrong = index[(index < low) | (index >= high)]
    if wrong.size:
        refuse(IndexError(f"index {wrong[0]} is out of bounds for dimension with size {high}"))
        return np.zeros_like(index)
    return index


def places(a: Any, dim: int, index: Any) -> tuple[Any, ...]:
    """The key that reads `a` at the index's place, except along `dim`, where it reads at what the index says."""
    if index.ndim != a.ndim or any(index.shape[i] > a.shape[i] for i in range(a.ndim) if i != dim):
        raise IndexError(f"an index of shape {list(index.shape)} does not fit {list(a.shape)}")
    if not index.size:
        return (np.zeros(index.shape, np.int64),) * a.ndim
    key = list(np.indices(index.shape))
    key[dim] = in_range(index, 0, a.shape[dim])
    return tuple(key)


def gather(a: Any, dim: int, index: Any) -> Any:
    rows = np.atleast_1d(a)
    return rows[places(rows, dim, np.atleast_1d(index))].reshape(index.shape)


def scattered(a: Any, dim: int, index: Any, src: Any, write: Callable[[Any, Any, Any], None]) -> Any:
    """A copy of `a` with `src` written to, or combined with, the places of the index."""
    if src.shape != index.shape:
        raise ValueError(f"src has shape {list(src.shape)}, the index {list(index.shape)}")
    out, index, src = np.atleast_1d(a.copy()), np.atleast_1d(index), np.atleast_1d(src)
    write(out, places(out, dim, index), src)
    return out.reshape(a.shape)


def overwrite(out: Any, key: Any, values: Any) -> None:
    out[key] = values


def add_at(out: Any, key: Any, values: Any) -> None:
    """Add values at places, of which some may be equal."""
    np.add.at(out, key, values)


def scatter(a: Any, dim: int, index: Any, src: Any) -> Any:
    return scattered(a, dim, index, src, overwrite)


def scatter_add(a: Any, dim: int, index: Any, src: Any) -> Any:
    return scattered(a, dim, index, src, add_at)


def mean(values: Any) -> Any:
    total = np.sum(values, dtype=values.dtype)
    return total // len(values) if is_integer(values) else total / len(values)


COMBINE: dict[str, Callable[[Any], Any]] = {
    "sum": np.sum, "prod": np.prod, "amax": np.max, "amin": np.min, "mean": mean}


def scatter_reduce(a: Any, dim: int, index: Any, src: Any, reduce: str, include_self: bool) -> Any:
    def combine(out: Any, key: Any, values: Any) -> None:
        groups: dict[tuple[int, ...], list[Any]] = {}
        for number, value in enumerate(values.reshape(-1)):
            place = tuple([int(each.reshape(-1)[number]) for each in key])
            groups.setdefault(place, [out[place]] if include_self else []).append(value)
        for place, group in groups.items():
            out[place] = COMBINE[reduce](np.array(group, out.dtype)).astype(out.dtype)
    return scattered(a, dim, index, src, combine)


def lookup(a: Any, indices: Any) -> tuple[Any, ...]:
    """The key for `index`: None takes a whole dimension, a mask as many as it has, an index array one."""
    key: list[Any] = []
    dim = 0
    for each in indices:
        if each is None:
            key.append(slice(None))
        else:
            key.append(each if each.dtype.kind == "b" else in_range(each, -a.shape[dim], a.shape[dim]))
        dim += each.ndim if each is not None and each.dtype.kind == "b" else 1
    return tuple(key)


def index(a: Any, indices: Any) -> Any:
    return a[lookup(a, indices)]


def index_put(a: Any, indices: Any, values: Any, accumulate: bool) -> Any:
    out = a.copy()
    (add_at if accumulate else overwrite)(out, lookup(a, indices), values)
    return out


# ---------------------------------------------------------------------------------------------- matrices
def matmul(a: Any, b: Any) -> Any:
    return np.matmul(a, b)


def unsolvable(error: Exception, shape: Any) -> Any:
    """What an asynchronous device goes on with where an algorithm cannot do with the matrix."""
    refuse(error)
    return np.full(shape, np.nan)


def solve(a: Any, b: Any) -> Any:
    try:
        return np.linalg.solve(a, b)
    except np.linalg.LinAlgError as error:
        return unsolvable(error, (*np.broadcast_shapes(a.shape[:-2], b.shape[:-2]), *b.shape[-2:]))


def cholesky(a: Any) -> Any:
    try:
        return np.linalg.cholesky(a)
    except np.linalg.LinAlgError as error:
        return unsolvable(error, a.shape)


def eigh(a: Any, uplo: Any) -> Any:
    return tuple(np.linalg.eigh(a, uplo))


def qr(a: Any, mode: Any) -> Any:
    if mode == "r":
        return np.empty((0,), a.dtype), np.linalg.qr(a, "r")
    return tuple(np.linalg.qr(a, mode))


def slogdet(a: Any) -> Any:
    return tuple(np.linalg.slogdet(a))


def svd(a: Any, full_matrices: bool) -> Any:
    return tuple(np.linalg.svd(a, full_matrices))


KERNELS: dict[str, Callable[..., Any]] = {
    **POINTWISE, "full": full, "arange": arange, "cast": cast, "clone": clone, "cat": cat, "sum": sum, "prod": prod,
    "amax": amax, "amin": amin, "argmax": argmax, "argmin": argmin, "cumsum": cumsum, "cumprod": cumprod,
    "cummax": cummax, "sort": sort, "searchsorted": searchsorted, "unique": unique, "nonzero": nonzero,
    "gather": gather, "scatter": scatter, "scatter_add": scatter_add, "scatter_reduce": scatter_reduce,
    "index": index, "index_put": index_put, "matmul": matmul, "linalg_solve": solve, "linalg_cholesky": cholesky,
    "linalg_eigh": eigh, "linalg_qr": qr, "linalg_slogdet": slogdet, "linalg_svd": svd,
}
