"""Flambeau's dtypes as NumPy's and back; bfloat16 and the float8 types are NumPy dtypes by ml_dtypes."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np

import flambeau.dtypes as fd
from flambeau.dtypes import dtype

TO_NUMPY: dict[dtype, np.dtype[Any]] = {
    each: np.dtype(getattr(ml_dtypes, each.name) if hasattr(ml_dtypes, each.name) else each.name) for each in fd.ALL}
FROM_NUMPY: dict[np.dtype[Any], dtype] = {theirs: ours for ours, theirs in TO_NUMPY.items()}

E4M3 = TO_NUMPY[fd.float8_e4m3fn]
_E4M3_LARGEST = 448.0


def saturated(array: Any, dtype: np.dtype[Any]) -> Any:
    """What to cast to `dtype`: for float8_e4m3fn, which has no infinity, PyTorch takes the largest number instead."""
    if dtype is not E4M3 or array.dtype is E4M3:
        return array
    return np.clip(array, -_E4M3_LARGEST, _E4M3_LARGEST)
