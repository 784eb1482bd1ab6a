"""Cases for the shared kernels: arguments as NumPy arrays, and a check of the result that knows no array library's way
of computing it: definitions, written out.

A test that asks for `case` gets them all, one that asks for `standard_case` those of kernels that keep to the array
API standard, and one that asks for `beyond` the names of the others.
"""

from __future__ import annotations

import bisect
import itertools
import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import pytest

import flambeau
import flambeau_xp

NAN, INF = math.nan, math.inf


class Case(NamedTuple):
    """One call of a kernel; `check(results, *args)` takes the results as a list of NumPy arrays."""

    name: str
    args: tuple[Any, ...]
    check: Callable[..., None]


def near(actual: np.ndarray, expected: Any) -> None:
    """Equal to rounding in the dtype of the actual result."""
    exact = actual.dtype.kind in "biu"
    tolerance = 0 if exact else 2e-4 if actual.dtype in (np.float32, np.complex64) else 1e-10
    np.testing.assert_allclose(actual, expected, rtol=tolerance, atol=tolerance)


def same(actual: np.ndarray, expected: Any) -> None:
    """The same shape and elements, nan where nan is expected."""
    np.testing.assert_array_equal(actual, expected, strict=False)
    assert actual.shape == np.shape(expected)


def adjoint(a: np.ndarray) -> np.ndarray:
    return a.conj().swapaxes(-1, -2)


# ---------------------------------------------------------------------------------------------- linear algebra
def determinants(a: np.ndarray) -> np.ndarray:
    """By the sum over permutations."""
    size = a.shape[-1]
    total = np.zeros(a.shape[:-2], np.result_type(a, np.float64))
    for order in itertools.permutations(range(size)):
        swaps = sum(order[i] > order[j] for i in range(size) for j in range(i + 1, size))
        total = total + (-1) ** swaps * np.prod(a[..., range(size), order].astype(total.dtype), axis=-1)
    return total


def check_solve(results: list[np.ndarray], a: np.ndarray, b: np.ndarray) -> None:
    assert results[0].dtype == a.dtype
    near(a @ results[0], np.broadcast_to(b, (a @ results[0]).shape))


def check_slogdet(results: list[np.ndarray], a: np.ndarray) -> None:
    sign, logarithm = results
    near(sign * np.exp(logarithm), determinants(a))
    near(np.abs(sign), np.ones(sign.shape))


def check_cholesky(results: list[np.ndarray], a: np.ndarray) -> None:
    factor = results[0]
    near(factor @ adjoint(factor), np.tril(a) + adjoint(np.tril(a, -1)))
    assert not np.triu(factor, 1).any()
    assert (np.diagonal(factor, axis1=-2, axis2=-1).real > 0).all()


def check_inverse(results: list[np.ndarray], a: np.ndarray) -> None:
    near(a @ results[0], np.broadcast_to(np.eye(a.shape[-1]), a.shape))


def check_qr(results: list[np.ndarray], a: np.ndarray, mode: str) -> None:
    q, r = results
    rows, columns = a.shape[-2:]
    if mode == "r":
        assert q.shape == (0,) and r.shape[-2:] == (min(rows, columns), columns)
        near(adjoint(r) @ r, adjoint(a) @ a)
    else:
        near(q @ r, a)
        near(adjoint(q) @ q, np.broadcast_to(np.eye(q.shape[-1]), (*q.shape[:-2], q.shape[-1], q.shape[-1])))
        assert q.shape[-1] == (rows if mode == "complete" else min(rows, columns))
    assert not np.tril(r, -1).any()


def check_svd(results: list[np.ndarray], a: np.ndarray, full: bool) -> None:
    u, s, vh = results
    rank = min(a.shape[-2:])
    near(u[..., :rank] * s[..., None, :] @ vh[..., :rank, :], a)
    assert (s >= 0).all() and (np.diff(s) <= 0).all() and s.dtype == a.real.dtype
    assert u.shape[-1] == (a.shape[-2] if full else rank) and vh.shape[-2] == (a.shape[-1] if full else rank)


def check_eigh(results: list[np.ndarray], a: np.ndarray, uplo: str) -> None:
    values, vectors = results
    half = np.tril(a, -1) if uplo == "L" else np.triu(a, 1)
    whole = half + adjoint(half) + np.diagonal(a, axis1=-2, axis2=-1).real[..., None] * np.eye(a.shape[-1])
    near((whole @ vectors).astype(a.dtype), vectors * values[..., None, :])
    assert (np.diff(values) >= 0).all() and values.dtype == a.real.dtype


# ---------------------------------------------------------------------------------------------- order
def ordered(row: np.ndarray, descending: bool) -> np.ndarray:
    """Where a row's elements are in order: by Python's sort, with nan as the largest and equal ones as they come."""
    places = sorted(range(len(row)), key=lambda i: (row[i] != row[i], row[i] if row[i] == row[i] else 0),
                    reverse=descending)
    return np.array(places, np.int64)


def places(a: np.ndarray, dim: int, descending: bool) -> np.ndarray:
    return np.apply_along_axis(ordered, dim, a, descending) if a.ndim and a.size else np.zeros(a.shape, np.int64)


def check_sort(results: list[np.ndarray], a: np.ndarray, dim: int, descending: bool, stable: bool) -> None:
    values, order = results
    expected = places(a, dim, descending)
    same(order, expected)
    same(values, np.take_along_axis(a, expected, dim) if a.ndim else a)
    assert (values.dtype, order.dtype) == (a.dtype, np.int64)


def check_topk(results: list[np.ndarray], a: np.ndarray, k: int, dim: int, largest: bool, sorted: bool) -> None:
    values, order = results
    expected = places(a, dim, largest).take(range(k), dim) if a.ndim else np.zeros((), np.int64)
    same(values, np.take_along_axis(a, expected, dim) if a.ndim else a)
    same(order, expected)


def check_histogram(results: list[np.ndarray], a: np.ndarray, bins: int, low: float, high: float) -> None:
    expected = [0] * bins
    for each in a.reshape(-1).tolist():
        if low <= each <= high:
            expected[min(int((each - low) / (high - low) * bins), bins - 1)] += 1
    same(results[0], np.array(expected, a.dtype))
    assert results[0].dtype == a.dtype


def lanes(function: Callable[[list[Any]], Any], a: np.ndarray, dim: int) -> np.ndarray:
    return np.apply_along_axis(lambda row: np.array(function(row.tolist())), dim, a) if a.ndim else a


def check_running(combine: Callable[[Any, Any], Any]) -> Callable[..., None]:
    def check(results: list[np.ndarray], a: np.ndarray, dim: int, dtype: Any) -> None:
        near(results[0], lanes(lambda row: list(itertools.accumulate(row, combine)), a, dim))
        assert results[0].dtype.name == dtype.name
    return check


def _extremes(row: list[Any], better: Callable[[Any, Any], bool]) -> tuple[list[Any], list[int]]:
    best, place, values, where = row[0], 0, [], []
    for i, each in enumerate(row):
        if each != each or (best == best and better(each, best)):
            best, place = each, i
        values.append(best)
        where.append(place)
    return values, where


def check_extremes(better: Callable[[Any, Any], bool]) -> Callable[..., None]:
    def check(results: list[np.ndarray], a: np.ndarray, dim: int) -> None:
        values, where = results
        same(values, lanes(lambda row: _extremes(row, better)[0], a, dim))
        same(where, lanes(lambda row: _extremes(row, better)[1], a, dim) if a.ndim else np.zeros((), np.int64))
        assert (values.dtype, where.dtype) == (a.dtype, np.int64)
    return check


def check_logcumsumexp(results: list[np.ndarray], a: np.ndarray, dim: int) -> None:
    wide = np.exp(a.astype(np.result_type(a, np.float64)))
    near(results[0], np.log(np.add.accumulate(wide, dim)) if a.ndim else a)
    assert results[0].dtype == a.dtype


# ---------------------------------------------------------------------------------------------- search
def check_unique(results: list[np.ndarray], a: np.ndarray, dim: int | None) -> None:
    values, inverse, counts = results
    slices = a.reshape(-1, 1) if dim is None else np.moveaxis(a, dim, 0).reshape(a.shape[dim], -1)
    keys = [tuple((each != each, each if each == each else 0) for each in row) for row in slices.tolist()]
    # nan is equal to nothing: every slice that has one stands alone, in the order they come
    named = [(key, i if any(missing for missing, _ in key) else -1) for i, key in enumerate(keys)]
    different = sorted(set(named))
    same(inverse.reshape(-1), np.array([different.index(each) for each in named], np.int64))
    same(counts, np.array([named.count(each) for each in different], np.int64))
    same(values, np.moveaxis(
        slices[[named.index(each) for each in different]].reshape(-1, *np.moveaxis(a, dim or 0, 0).shape[1:]),
        0, dim) if dim is not None else slices[[named.index(each) for each in different], 0])
    assert inverse.shape == (a.shape if dim is None else (a.shape[dim],))


def check_searchsorted(results: list[np.ndarray], sequence: np.ndarray, values: np.ndarray, right: bool) -> None:
    find = bisect.bisect_right if right else bisect.bisect_left
    rows = np.broadcast_to(sequence, (*values.shape[:-1], sequence.shape[-1]))
    expected = [find(rows[place[:-1]].tolist(), values[place]) for place in np.ndindex(values.shape)]
    same(results[0], np.array(expected, np.int64).reshape(values.shape))
    assert results[0].dtype == np.int64


def check_bincount(results: list[np.ndarray], a: np.ndarray, weights: np.ndarray | None, minlength: int) -> None:
    expected = np.zeros(max(max(a.tolist(), default=-1) + 1, minlength))
    for place, each in enumerate(a.tolist()):
        expected[each] += 1 if weights is None else weights[place]
    near(results[0], expected)
    assert results[0].dtype == (np.int64 if weights is None else weights.dtype)


def check_isin(results: list[np.ndarray], a: np.ndarray, test: np.ndarray) -> None:
    known = test.reshape(-1).tolist()
    expected = [any(each == other for other in known) for each in a.reshape(-1).tolist()]
    same(results[0], np.array(expected, bool).reshape(a.shape))


def check_nonzero(results: list[np.ndarray], a: np.ndarray) -> None:
    places = [place for place in np.ndindex(a.shape) if a[place]]
    same(results[0], np.array(places, np.int64).reshape(len(places), a.ndim))


def check_masked_select(results: list[np.ndarray], a: np.ndarray, mask: np.ndarray) -> None:
    shape = np.broadcast_shapes(a.shape, mask.shape)
    a, mask = np.broadcast_to(a, shape), np.broadcast_to(mask, shape)
    same(results[0], np.array([a[place] for place in np.ndindex(shape) if mask[place]], a.dtype))


# ---------------------------------------------------------------------------------------------- products, layout
def check_product(results: list[np.ndarray], a: np.ndarray, b: np.ndarray) -> None:
    left, right = (a[None] if a.ndim == 1 else a), (b[:, None] if b.ndim == 1 else b)
    expected = (left[..., :, :, None] * right[..., None, :, :]).sum(-2)
    expected = expected[..., 0, :] if a.ndim == 1 else expected
    near(results[0], expected[..., 0] if b.ndim == 1 else expected)
    assert results[0].dtype == a.dtype


def check_linear(results: list[np.ndarray], input: np.ndarray, weight: np.ndarray, bias: np.ndarray | None) -> None:
    near(results[0], np.einsum("...i,oi->...o", input, weight) + (0 if bias is None else bias))


def check_weight_grad(results: list[np.ndarray], g: np.ndarray, input: np.ndarray) -> None:
    near(results[0], np.einsum("no,ni->oi", g.reshape(-1, g.shape[-1]), input.conj().reshape(-1, input.shape[-1])))


def by_place(size: tuple[int, ...], dtype: Any, element: Callable[[tuple[int, ...]], Any]) -> np.ndarray:
    expected = np.zeros(size, dtype)
    for place in np.ndindex(size):
        expected[place] = element(place)
    return expected


def check_repeat(results: list[np.ndarray], a: np.ndarray, repeats: tuple[int, ...]) -> None:
    have = (1,) * (len(repeats) - a.ndim) + a.shape
    size = tuple(width * count for width, count in zip(have, repeats, strict=True))
    same(results[0], by_place(size, a.dtype, lambda place: a.reshape(have)[
        tuple(at % width for at, width in zip(place, have, strict=True))]))


def check_flip(results: list[np.ndarray], a: np.ndarray, dims: tuple[int, ...]) -> None:
    same(results[0], by_place(a.shape, a.dtype, lambda place: a[
        tuple(a.shape[dim] - 1 - at if dim in dims else at for dim, at in enumerate(place))]))
    assert not np.shares_memory(results[0], a)


def check_roll(results: list[np.ndarray], a: np.ndarray, shifts: tuple[int, ...], dims: tuple[int, ...]) -> None:
    moved = dict(zip(dims, shifts, strict=True))
    same(results[0], by_place(a.shape, a.dtype, lambda place: a[
        tuple((at - moved.get(dim, 0)) % a.shape[dim] for dim, at in enumerate(place))]))


def check_triangle(lower: bool) -> Callable[..., None]:
    def check(results: list[np.ndarray], a: np.ndarray, diagonal: int) -> None:
        def element(place: tuple[int, ...]) -> Any:
            offset = place[-1] - place[-2]
            return a[place] if (offset <= diagonal if lower else offset >= diagonal) else 0
        same(results[0], by_place(a.shape, a.dtype, element))
    return check


def check_pad(results: list[np.ndarray], a: np.ndarray, pad: tuple[int, ...], value: float) -> None:
    low = [0] * (a.ndim - len(pad) // 2) + list(pad[-2::-2])
    high = [0] * (a.ndim - len(pad) // 2) + list(pad[-1::-2])
    size = tuple(before + width + after for before, width, after in zip(low, a.shape, high, strict=True))

    def element(place: tuple[int, ...]) -> Any:
        source = tuple(at - before for at, before in zip(place, low, strict=True))
        return a[source] if all(0 <= at < width for at, width in zip(source, a.shape, strict=True)) else value
    same(results[0], by_place(size, a.dtype, element))


# ---------------------------------------------------------------------------------------------- the cases
_random = np.random.default_rng(20)


def floats(*shape: int, dtype: str = "float32") -> np.ndarray:
    values = _random.standard_normal(shape)
    if dtype.startswith("complex"):
        values = values + 1j * _random.standard_normal(shape)
    return values.astype(dtype)


def whole(*shape: int, low: int = -4, high: int = 4, dtype: str = "int64") -> np.ndarray:
    return _random.integers(low, high, shape).astype(dtype)


def definite(*shape: int, dtype: str) -> np.ndarray:
    a = floats(*shape, dtype=dtype)
    return a @ adjoint(a) + np.eye(shape[-1], dtype=dtype)


def regular(*shape: int, dtype: str = "float32") -> np.ndarray:
    return floats(*shape, dtype=dtype) + 4 * np.eye(shape[-1], dtype=dtype)


def holed(*shape: int, dtype: str = "float32") -> np.ndarray:
    """Few different numbers, infinities and nan among them."""
    return np.array([NAN, 0.0, 1.0, -2.0, INF, -INF, NAN, 1.0], dtype)[whole(*shape, low=0, high=8)]


def _linalg() -> Iterator[Case]:
    for dtype in ("float32", "float64", "complex64", "complex128"):
        for batch in ((), (2,), (2, 3)):
            square, tall = regular(*batch, 3, 3, dtype=dtype), floats(*batch, 4, 3, dtype=dtype)
            yield Case("linalg_solve", (square, floats(*batch, 3, 2, dtype=dtype)), check_solve)
            yield Case("linalg_slogdet", (square,), check_slogdet)
            yield Case("linalg_det", (square,), lambda results, a: near(results[0], determinants(a)))
            yield Case("linalg_inv", (square,), check_inverse)
            yield Case("linalg_cholesky", (definite(*batch, 3, 3, dtype=dtype),), check_cholesky)
            for a in (tall, tall.swapaxes(-1, -2)):
                for mode in ("reduced", "complete", "r"):
                    yield Case("linalg_qr", (a, mode), check_qr)
                for full in (True, False):
                    yield Case("linalg_svd", (a, full), check_svd)
            for uplo in ("L", "U"):
                yield Case("linalg_eigh", (floats(*batch, 3, 3, dtype=dtype), uplo), check_eigh)
    yield Case("linalg_solve", (regular(2, 1, 3, 3), floats(4, 3, 2)), check_solve)
    yield Case("linalg_solve", (regular(3, 3), floats(3, 0)), check_solve)


def _orders() -> Iterator[Case]:
    arrays = [floats(3, 7), holed(4, 9), holed(2, 3, 5, dtype="float64"), whole(5, 6), whole(70, dtype="uint8", low=0),
              whole(3, 5) > 0, np.array(2.5), floats(0, 3)]
    for a in arrays:
        for dim in range(a.ndim or 1):
            for first in (False, True):
                yield Case("sort", (a, dim, first, True), check_sort)
                if a.size:
                    yield Case("topk", (a, 2, dim, first, True), check_topk)
    yield Case("histc", (np.array([[0.1, 0.5, 1.0], [-1.0, 0.0, NAN]], "float32"), 4, 0.0, 1.0), check_histogram)
    yield Case("histc", (floats(50, dtype="float64"), 7, -1.0, 2.0), check_histogram)


def _running() -> Iterator[Case]:
    for a in (floats(3, 7), holed(4, 9), holed(2, 17, 3, dtype="float64"), whole(5, 6), np.array(2.5)):
        for dim in range(a.ndim or 1):
            yield Case("cummax", (a, dim), check_extremes(lambda new, best: new >= best))
            yield Case("cummin", (a, dim), check_extremes(lambda new, best: new <= best))
    for a, dtype in ((floats(3, 4), flambeau.float32), (floats(2, 3, 4), flambeau.float64),
                     (whole(3, 4, dtype="int32"), flambeau.int64), (np.array(3), flambeau.int64)):
        for dim in range(a.ndim or 1):
            yield Case("cumsum", (a, dim, dtype), check_running(lambda total, each: total + each))
            yield Case("cumprod", (a, dim, dtype), check_running(lambda total, each: total * each))
    for dtype in ("float32", "float64", "complex64"):
        for dim in (0, 1):
            yield Case("logcumsumexp", (floats(4, 5, dtype=dtype), dim), check_logcumsumexp)
    yield Case("logcumsumexp", (np.array(0.5), 0), check_logcumsumexp)


def _search() -> Iterator[Case]:
    for a in (whole(4, 5), whole(6, 2, 2, low=0, high=2), floats(3, 3), holed(3, 4), whole(6, 2) > 0,
              whole(5, 2, low=0, high=3, dtype="uint8"), floats(0, 3), floats(3, 0)):
        for dim in (None, *(dim for dim in range(a.ndim) if a.size)):
            yield Case("unique", (a, dim), check_unique)
    for right in (False, True):
        yield Case("searchsorted", (np.sort(whole(9)), whole(2, 6), right), check_searchsorted)
        yield Case("searchsorted", (np.sort(floats(3, 5)), floats(3, 4), right), check_searchsorted)
        yield Case("searchsorted", (np.sort(floats(2, 2, 5)), floats(2, 2, 3), right), check_searchsorted)
        yield Case("searchsorted", (floats(2, 0), floats(2, 3), right), check_searchsorted)
    counted = whole(20, low=0, high=6)
    for weights in (None, floats(20), floats(20, dtype="float64")):
        yield Case("bincount", (counted, weights, 0), check_bincount)
        yield Case("bincount", (counted, weights, 9), check_bincount)
    yield Case("bincount", (whole(0), floats(0), 3), check_bincount)
    yield Case("isin", (whole(3, 4), whole(3)), check_isin)
    yield Case("isin", (whole(3, 4), np.array([1.0, 0.5, -2.0], "float32")), check_isin)
    yield Case("isin", (holed(3, 4), np.array([NAN, 1.0], "float32")), check_isin)
    for a in (whole(4, 5), floats(3), whole(2, 3, 2) > 0, np.array(3), np.array(0.0), floats(0, 2)):
        yield Case("nonzero", (a,), check_nonzero)
    yield Case("masked_select", (floats(3, 4), whole(3, 4) > 0), check_masked_select)
    yield Case("masked_select", (whole(3, 1, 2), whole(4, 1) > 0), check_masked_select)


def _products() -> Iterator[Case]:
    for dtype in ("float32", "float64", "complex64", "int64"):
        def make(*shape: int, dtype: str = dtype) -> np.ndarray:
            return whole(*shape) if dtype == "int64" else floats(*shape, dtype=dtype)
        yield Case("mm", (make(3, 4), make(4, 2)), check_product)
        yield Case("bmm", (make(2, 3, 4), make(2, 4, 2)), check_product)
        yield Case("mv", (make(3, 4), make(4)), check_product)
        yield Case("dot", (make(5), make(5)), check_product)
        yield Case("matmul", (make(2, 1, 3, 4), make(3, 4, 2)), check_product)
        yield Case("matmul", (make(2, 3, 4), make(4, 2)), check_product)
        for shape in ((3, 4), (2, 3, 4), (4,), (0, 4)):
            for bias in (None, make(5)):
                yield Case("linear", (make(*shape), make(5, 4), bias), check_linear)
            yield Case("linear_weight_grad", (make(*shape[:-1], 5), make(*shape)), check_weight_grad)


def _layouts() -> Iterator[Case]:
    for a in (floats(2, 3), whole(2, 3), whole(2, 3) > 0, floats(2, 3, 4, dtype="complex64")):
        more = (1,) * (a.ndim - 2)
        yield Case("repeat", (a, (*more, 2, 3)), check_repeat)
        yield Case("repeat", (a, (2, *more, 1, 1)), check_repeat)
        for dims in ((0,), (1, 0), ()):
            yield Case("flip", (a, dims), check_flip)
        for diagonal in (-1, 0, 1):
            yield Case("tril", (a, diagonal), check_triangle(True))
            yield Case("triu", (a, diagonal), check_triangle(False))
        yield Case("roll", (a, (1, -2), (0, 1)), check_roll)
        yield Case("constant_pad_nd", (a, (1, 2), 1), check_pad)
        yield Case("constant_pad_nd", (a, (-1, 1, 0, 2), 0), check_pad)


CASES = [*_linalg(), *_orders(), *_running(), *_search(), *_products(), *_layouts()]


def _named(cases: list[Case]) -> list[Any]:
    return [pytest.param(case, id=f"{case.name}-{number}") for number, case in enumerate(cases)]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "case" in metafunc.fixturenames:
        metafunc.parametrize("case", _named(CASES))
    if "standard_case" in metafunc.fixturenames:
        metafunc.parametrize("standard_case", _named([case for case in CASES if case.name in flambeau_xp.STANDARD]))
    if "beyond" in metafunc.fixturenames:
        metafunc.parametrize("beyond", sorted(flambeau_xp.BEYOND))


@pytest.fixture(scope="session")
def cases() -> list[Case]:
    return CASES
