"""The kernels that array libraries share (`flambeau_xp`), bound to NumPy.

Those that compute are made quiet, as every kernel here that does; those that move and compare never warn.
"""

from __future__ import annotations

from typing import Any

import numpy as np

import flambeau_xp
from flambeau_numpy.quiet import quiet
from flambeau_xp import linalg, running, sorting

_COMPUTING = {**linalg.KERNELS, **running.KERNELS, **sorting.KERNELS}


def _accumulate(xp: Any, name: str, a: Any, dim: int) -> Any:
    """In one pass: NumPy's ufuncs have a loop for it."""
    return getattr(np, name).accumulate(a, dim)


KERNELS: dict[str, Any] = {
    name: quiet(kernel) if name in _COMPUTING else kernel
    for name, kernel in flambeau_xp.bind(np, {"accumulate": _accumulate}).items()}
