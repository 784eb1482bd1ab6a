"""Where CuPy does otherwise than NumPy: the helpers and kernels of `flambeau_xp` that it needs in another form.

Each stands in `OVERRIDES` with its reason. Every function takes the module first, as what it replaces does, and
nothing here imports CuPy before it is called. Read next to CuPy 14's own page on its differences from NumPy,
https://docs.cupy.dev/en/stable/user_guide/difference.html, and the notes of the functions named below.

What needs no override, because CuPy does what the shared kernels ask for: `argsort` and `sort` put nan last,
`searchsorted` takes nan for the largest number, `isin` finds no nan, `slogdet` gives (0, -inf) for singular matrices,
`bincount` refuses negative numbers. Sums of `bincount` with weights are made by atomic additions, in no fixed order.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from flambeau_xp import linalg, sorting


def stable_order(xp: Any, a: Any, dim: int) -> Any:
    """Where the elements of each row are in ascending order; without elements nothing is launched."""
    if a.dtype == xp.bool:
        a = a.view(xp.uint8)
    return xp.argsort(a, axis=dim) if a.size else xp.zeros(a.shape, dtype=xp.int64)


def raising(kernel: Callable[..., Any]) -> Callable[..., Any]:
    """A factorization that waits for the library's verdict, and raises LinAlgError (a ValueError) where it failed."""
    @wraps(kernel)
    def checked(xp: Any, *args: Any) -> Any:
        from cupyx import errstate
        with errstate(linalg="raise"):
            return kernel(xp, *args)
    return checked


def linalg_solve(xp: Any, a: Any, b: Any) -> Any:
    """X with a @ X = b; the batches broadcast before CuPy sees them, and no columns need no solving."""
    if a.shape[:-2] != b.shape[:-2]:
        batch = xp.broadcast_shapes(a.shape[:-2], b.shape[:-2])
        a, b = xp.broadcast_to(a, (*batch, *a.shape[-2:])), xp.broadcast_to(b, (*batch, *b.shape[-2:]))
    if a.shape[-1] != b.shape[-2]:
        raise ValueError(f"matrices of {a.shape[-1]} rows and right sides of {b.shape[-2]}")
    if not b.size:
        return xp.empty(b.shape, dtype=b.dtype)
    return linalg.linalg_solve(xp, a, b)


def histc(xp: Any, a: Any, bins: int, low: float, high: float) -> Any:
    """The shared histogram, of the elements that are numbers."""
    flat = a.reshape(-1)
    return sorting.histc(xp, flat[flat == flat], bins, low, high)


def _keys(xp: Any, rows: Any) -> Any:
    """Columns of one real dtype whose order, first to last, is that of the rows; nan is the largest number."""
    if rows.dtype.kind == "b":
        return rows.astype(xp.uint8)
    if rows.dtype.kind == "c":
        rows = xp.stack([rows.real, rows.imag], axis=2).reshape(rows.shape[0], -1)
    if rows.dtype.kind != "f":
        return rows
    missing = xp.isnan(rows)
    known = xp.where(missing, rows.dtype.type(0), rows)
    return xp.stack([missing.astype(rows.dtype), known], axis=2).reshape(rows.shape[0], -1)


def unique(xp: Any, a: Any, dim: int | None) -> tuple[Any, Any, Any]:
    """(different elements or slices in order, where each is among them, how often it is)."""
    if dim is None:
        values, inverse, counts = xp.unique(a, return_inverse=True, return_counts=True, equal_nan=False)
        return values, inverse.reshape(a.shape), counts
    slices = xp.moveaxis(a, dim, 0)
    count = slices.shape[0]
    rows = slices.reshape(count, a.size // count if count else 0)
    if rows.size:
        order = xp.lexsort(xp.ascontiguousarray(_keys(xp, rows).T[::-1]))  # the last key counts most
    else:
        order = xp.arange(count)
    ordered = rows[order]
    first = xp.ones(count, dtype=xp.bool)
    first[1:] = (ordered[1:] != ordered[:-1]).any(axis=1)
    inverse = xp.empty(count, dtype=xp.int64)
    inverse[order] = xp.cumsum(first, dtype=xp.int64) - 1
    chosen = ordered[first]
    values = xp.moveaxis(chosen.reshape(chosen.shape[0], *slices.shape[1:]), 0, dim)
    return values, inverse, xp.bincount(inverse, minlength=chosen.shape[0])


OVERRIDES: dict[str, Callable[..., Any]] = {
    # cupy.argsort has no `stable`: it always is, being Thrust's stable sort; `kind` may only be None or "stable".
    # https://docs.cupy.dev/en/stable/reference/generated/cupy.argsort.html
    "stable_order": stable_order,
    # cuSOLVER reports what it could not do in a number on the device, which CuPy does not look at unless it is told
    # to: it gives nan or nonsense where NumPy raises.
    # https://docs.cupy.dev/en/stable/reference/generated/cupyx.errstate.html
    "linalg_cholesky": raising(linalg.linalg_cholesky),
    "linalg_inv": raising(linalg.linalg_inv),
    "linalg_qr": raising(linalg.linalg_qr),
    "linalg_svd": raising(linalg.linalg_svd),
    "linalg_eigh": raising(linalg.linalg_eigh),
    # Likewise; and cupy.linalg.solve wants equal batches, where NumPy broadcasts them.
    # https://docs.cupy.dev/en/stable/reference/generated/cupy.linalg.solve.html
    "linalg_solve": raising(linalg_solve),
    # cupy.histogram's search among the edges has no place for nan: it counts it in the first bin; NumPy leaves it out.
    # https://docs.cupy.dev/en/stable/reference/generated/cupy.histogram.html
    "histc": histc,
    # With a dimension, cupy.unique sorts the slices on the host, in Python and with a transfer per comparison, and
    # subtracts them for it, which bools refuse. Here it is one lexsort, which takes keys of one dimension only.
    # https://github.com/cupy/cupy/pull/6886
    "unique": unique,
}
"""Helpers and kernels by name, for `flambeau_xp.bind(cupy, OVERRIDES)`."""
