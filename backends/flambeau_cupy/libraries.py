"""Kernels for which CuPy has a vendor's library: factorizations of matrices that are too large for one work item."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import cupy

from flambeau_clike.kernels import linalg
from flambeau_cupy.arrays import by_cupy
from flambeau_cupy.overrides import OVERRIDES
from flambeau_xp import bind


def kernels(own: Mapping[str, Callable[..., Any]]) -> dict[str, Callable[..., Any]]:
    """The factorizations: by our own kernels, one work item to a matrix, and by cuSOLVER where these decline."""
    shared = bind(cupy, OVERRIDES)
    return {name: _either(own[name], by_cupy(shared[name])) for name in linalg.KERNELS if name in shared}


def _either(small: Callable[..., Any], large: Callable[..., Any]) -> Callable[..., Any]:
    def kernel(*args: Any) -> Any:
        found = small(*args)
        return large(*args) if found is NotImplemented else found
    return kernel
