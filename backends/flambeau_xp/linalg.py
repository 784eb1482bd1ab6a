"""Factorizations and what follows from them: LAPACK behind NumPy, cuSOLVER and cuBLAS behind CuPy.

Matrices are the last two dimensions. What has no answer, such as the inverse of a singular matrix, is an error of the
library (ValueError or one of its subclasses), which the core puts into its own words; a library that does not raise
is given a kernel of its own that does.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def linalg_solve(xp: Any, a: Any, b: Any) -> Any:
    """X with a @ X = b, for matrices b; the batches broadcast."""
    return xp.linalg.solve(a, b)


def linalg_slogdet(xp: Any, a: Any) -> tuple[Any, Any]:
    """(sign, logarithm of the absolute value) of determinants."""
    return tuple(xp.linalg.slogdet(a))


def linalg_cholesky(xp: Any, a: Any) -> Any:
    """The lower triangular factors; only the lower triangle is read."""
    return xp.linalg.cholesky(a)


def linalg_inv(xp: Any, a: Any) -> Any:
    return xp.linalg.inv(a)


def linalg_det(xp: Any, a: Any) -> Any:
    return xp.linalg.det(a)


def linalg_qr(xp: Any, a: Any, mode: str) -> tuple[Any, Any]:
    """(Q, R); with mode "r" Q has no elements."""
    if mode == "r":
        return xp.empty((0,), dtype=a.dtype), xp.linalg.qr(a, mode="r")
    return tuple(xp.linalg.qr(a, mode=mode))


def linalg_svd(xp: Any, a: Any, full: bool) -> tuple[Any, Any, Any]:
    """(U, S, Vh), the largest singular value first."""
    return tuple(xp.linalg.svd(a, full_matrices=full))


def linalg_eigh(xp: Any, a: Any, uplo: str) -> tuple[Any, Any]:
    """(eigenvalues, smallest first, eigenvectors), from the triangle that `uplo` names."""
    return tuple(xp.linalg.eigh(a, uplo))


KERNELS: dict[str, Callable[..., Any]] = {
    "linalg_solve": linalg_solve,
    "linalg_slogdet": linalg_slogdet,
    "linalg_cholesky": linalg_cholesky,
    "linalg_inv": linalg_inv,
    "linalg_det": linalg_det,
    "linalg_qr": linalg_qr,
    "linalg_svd": linalg_svd,
    "linalg_eigh": linalg_eigh,
}

BEYOND = {
    "linalg_qr": "the standard's qr has no mode 'r', which leaves Q out",
    "linalg_eigh": "the standard's eigh reads the whole matrix and cannot be told which triangle",
}
