"""Kernels that move data: casts, copies, joins, and the views that NumPy makes faster than `as_strided`."""

from __future__ import annotations

from typing import Any

import numpy as np

from flambeau_numpy.dtypes import TO_NUMPY, saturated
from flambeau_numpy.quiet import quiet


def _cast(a: Any, dtype: Any) -> Any:
    theirs = TO_NUMPY[dtype]
    if a.dtype.kind == "c" and theirs.kind not in "cb":
        a = a.real
    return saturated(a, theirs).astype(theirs)


def _data_ptr(a: Any) -> int:
    return a.ctypes.data  # type: ignore[no-any-return]


def _clone(a: Any) -> Any:
    return a.copy()


KERNELS: dict[str, Any] = {
    "cast": quiet(_cast),
    "clone": _clone,
    # Not operators but ways out that the core takes where there are any:
    "item": np.ndarray.item,
    "fill_": np.ndarray.fill,
    "data_ptr": _data_ptr,
    "from_dlpack": np.from_dlpack,
}
