"""View kernels: what NumPy does faster than the general way over shape, strides and offset.

Each gives a view, or None where the general way must be taken; none ever copies.
"""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

_ndarray = np.ndarray


def _view(a: Any, size: tuple[int, ...]) -> Any:
    return a.reshape(size) if a.flags.c_contiguous else None


def _reshape_copy(a: Any, size: tuple[int, ...]) -> Any:
    return np.array(a, order="C").reshape(size)


def _unsqueeze(a: Any, dim: int) -> Any:
    if not a.flags.c_contiguous:
        return None
    shape = a.shape
    return a.reshape(shape[:dim] + (1,) + shape[dim:])


def _squeeze(a: Any, dim: Any) -> Any:
    if dim.__class__ is int:
        shape = a.shape
        return a.squeeze(dim) if shape and shape[dim] == 1 else a[...]
    return a.squeeze() if dim is None else None


def _expand(a: Any, size: tuple[int, ...]) -> Any:
    if not a.size or not a.flags.c_contiguous:
        return None
    shape = a.shape
    extra = len(size) - len(shape)
    if size[extra:] == shape:
        return _ndarray(size, a.dtype, a, 0, (0,) * extra + a.strides)
    strides = [0] * extra
    for have, wanted, stride in zip(shape, size[extra:], a.strides, strict=True):
        strides.append(stride if have == wanted else 0)
    return _ndarray(size, a.dtype, a, 0, strides)


def _transpose(a: Any, dim0: int, dim1: int) -> Any:
    return a.T if len(a.shape) == 2 and dim0 != dim1 else a.swapaxes(dim0, dim1)


def _t(a: Any) -> Any:
    return a.T


def _permute(a: Any, dims: tuple[int, ...]) -> Any:
    return a.transpose(dims)


def _alias(a: Any) -> Any:
    return a[...]


def _reinterpret(a: Any, size: Any, strides: Any, offset: int, dtype: Any) -> Any:
    """The memory of `a` read as another dtype; strides and offset in elements of that dtype."""
    from flambeau_numpy.dtypes import TO_NUMPY
    root = a
    while isinstance(root.base, np.ndarray):
        root = root.base
    wanted = TO_NUMPY[dtype]
    bytes_ = wanted.itemsize
    return np.ndarray(size, wanted, root, offset * bytes_, [stride * bytes_ for stride in strides])


KERNELS: dict[str, Any] = {
    "view": _view,
    "reshape_copy": _reshape_copy,
    "unsqueeze": _unsqueeze,
    "squeeze": _squeeze,
    "expand": _expand,
    "transpose": _transpose,
    "t": _t,
    "permute": _permute,
    "alias": _alias,
    "index_basic": operator.getitem,
    "reinterpret": _reinterpret,
}
