"""Reductions: called with the wrapped dimensions as a tuple, and whether to keep them."""

from __future__ import annotations

from typing import Any

import numpy as np

from flambeau_numpy.backend import TO_NUMPY
from flambeau_numpy.quiet import quiet

_add, _max, _min = np.add.reduce, np.maximum.reduce, np.minimum.reduce


def _sum(a: Any, dim: tuple[int, ...], keepdim: bool, dtype: Any) -> Any:
    return _add(a, dim, TO_NUMPY[dtype], None, keepdim)


KERNELS: dict[str, Any] = {
    "sum": quiet(_sum),
}
