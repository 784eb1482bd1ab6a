"""Factorizations of matrices: each work item does a whole matrix of a batch by a plain sequential algorithm.

That suits what tensors of small matrices need. A large matrix would keep one work item busy and all others idle, so
kernels decline it (`NotImplemented`), and it goes to the host's LAPACK, accounted for as a fallback. What cannot be
done (a singular matrix, say) is raised at once, as in PyTorch: these operators wait for their result.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import flambeau.dtypes as fd
from flambeau.ir.dialect import C_TYPES
from flambeau.shapes import broadcast_shapes
from flambeau_clike.array import Array, empty, view
from flambeau_clike.kernels._linalg_text import FAMILIES
from flambeau_clike.kernels.movement import clone, copy
from flambeau_clike.launch import launch

Shape = tuple[int, ...]
# The largest matrices that a work item takes: on a processor, whose cores are as fast as the host's, and on a GPU.
LARGEST_DIRECT = (256, 64)      # for elimination and reflections
LARGEST_ITERATIVE = (96, 48)    # for rotations, which go over the matrix again and again


def _declines(array: Array, largest: tuple[int, int]) -> bool:
    limit = largest[0 if array.device.traits.cpu else 1]
    return max(array.shape[-2:]) > limit


def _run(name: str, array: Array, batch: int, *args: Any) -> Array:
    """Launch a kernel over a batch; gives the array of states that it writes, of which 0 says that all went well."""
    states = empty((batch,), fd.int32, array.device)
    work = math.prod(array.shape) * max(array.shape[-2:])
    items = min(max(work, 1), 1 << 29) if array.device.traits.cpu else batch
    launch(FAMILIES[name], (C_TYPES[array.dtype],), items, states, batch, *args, op=f"linalg_{name}")
    return states


def _check(states: Array, problem: str) -> None:
    """Wait, and raise ValueError where a kernel gave up."""
    from flambeau_clike.transfers import to_host
    found = to_host(states)
    if found.any():
        raise ValueError(f"{problem} (matrix {int(found.nonzero()[0][0])} of the batch)")


def _swapped(array: Array) -> Array:
    """The transposes of matrices, a view."""
    shape, strides = array.shape, array.strides
    return view(array, (*shape[:-2], shape[-1], shape[-2]), (*strides[:-2], strides[-1], strides[-2]), array.offset)


def _expanded(array: Array, shape: Shape, dtype: fd.dtype | None = None) -> Array:
    """A dense copy, broadcast to a shape, of another dtype if one is given."""
    result = empty(shape, dtype or array.dtype, array.device)
    copy(result, array)
    return result


def _wide(array: Array) -> fd.dtype:
    """The dtype to compute in where errors of many rotations add up: with 64 bits, if the device has them."""
    if not array.device.traits.fp64:
        return array.dtype
    return fd.complex128 if array.dtype.is_complex else fd.float64


def cholesky(a: Array) -> Array:
    """The lower triangular factors."""
    if _declines(a, LARGEST_DIRECT):
        return NotImplemented
    result = clone(a)
    states = _run("cholesky", a, math.prod(a.shape[:-2]), result, a.shape[-1])
    _check(states, "the matrix is not positive definite")
    return result


def solve(a: Array, b: Array) -> Array:
    """X with a @ X = b."""
    if _declines(a, LARGEST_DIRECT):
        return NotImplemented
    if a.shape[-1] != a.shape[-2] or a.shape[-1] != b.shape[-2]:
        raise ValueError("sizes of the system do not fit")
    lead = broadcast_shapes(a.shape[:-2], b.shape[:-2])
    left = _expanded(a, (*lead, *a.shape[-2:]))
    result = _expanded(b, (*lead, *b.shape[-2:]))
    states = _run("solve", left, math.prod(lead), left, result, a.shape[-1], b.shape[-1])
    _check(states, "the matrix is singular")
    return result


def slogdet(a: Array) -> tuple[Array, Array]:
    """Signs, and logarithms of absolute values, of determinants."""
    if _declines(a, LARGEST_DIRECT):
        return NotImplemented
    sign = empty(a.shape[:-2], a.dtype, a.device)
    logarithm = empty(a.shape[:-2], a.dtype.to_real(), a.device)
    _run("slogdet", a, sign.size, clone(a), sign, logarithm, a.shape[-1])
    return sign, logarithm


def qr(a: Array, mode: str) -> tuple[Array, Array]:
    """Orthonormal Q and upper triangular R, with LAPACK's signs."""
    if _declines(a, LARGEST_DIRECT):
        return NotImplemented
    lead, (m, n) = a.shape[:-2], a.shape[-2:]
    k = min(m, n)
    tall = m if mode == "complete" else k
    q = empty((0,) if mode == "r" else (*lead, m, tall), a.dtype, a.device)
    r = empty((*lead, tall, n), a.dtype, a.device)
    scales = empty((*lead, k), a.dtype, a.device)
    _run("qr", a, math.prod(lead), clone(a), scales, q, r, m, n, tall, int(mode != "r"))
    return q, r


def eigh(a: Array, uplo: str) -> tuple[Array, Array]:
    """Ascending eigenvalues, and eigenvectors as columns, of matrices of which one triangle is read."""
    if _declines(a, LARGEST_ITERATIVE):
        return NotImplemented
    wide = _wide(a)
    values = empty(a.shape[:-1], wide.to_real(), a.device)
    rows = empty(a.shape, wide, a.device)
    states = _run("eigh", rows, math.prod(a.shape[:-2]), _expanded(a, a.shape, wide), values, rows, a.shape[-1],
                  int(uplo in "Uu"))
    _check(states, "the algorithm failed to converge: the matrix has elements that are not finite")
    return _narrow(values, a.dtype.to_real()), _expanded(_swapped(rows), a.shape, a.dtype)


def _narrow(array: Array, dtype: fd.dtype) -> Array:
    return array if array.dtype is dtype else _expanded(array, array.shape, dtype)


def svd(a: Array, full: bool) -> tuple[Array, Array, Array]:
    """U, descending singular values, and the adjoint of V."""
    if _declines(a, LARGEST_ITERATIVE):
        return NotImplemented
    lead, (m, n) = a.shape[:-2], a.shape[-2:]
    broad = m < n
    long, short = (n, m) if broad else (m, n)
    count = long if full else short
    wide = _wide(a)
    rows = empty((*lead, count, long), wide, a.device)    # the long vectors, of which the first are given
    copy(view(rows, (*lead, short, long), rows.strides, rows.offset), a if broad else _swapped(a))
    other = empty((*lead, short, short), wide, a.device)
    values = empty((*lead, short), wide.to_real(), a.device)
    states = _run("svd", rows, math.prod(lead), rows, other, values, short, long, count)
    _check(states, "the algorithm failed to converge: the matrix has elements that are not finite")
    left, right = (_swapped(other), rows) if broad else (_swapped(rows), other)
    return (_expanded(left, left.shape, a.dtype), _narrow(values, a.dtype.to_real()), _narrow(right, a.dtype))


KERNELS: dict[str, Callable[..., Any]] = {
    "linalg_cholesky": cholesky, "linalg_solve": solve, "linalg_slogdet": slogdet, "linalg_qr": qr,
    "linalg_eigh": eigh, "linalg_svd": svd}
