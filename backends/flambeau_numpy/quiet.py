"""NumPy's floating-point warnings, off for our kernels and only there.

PyTorch gives inf and nan without a word; NumPy warns. `numpy.errstate` costs over a microsecond per call, and changing
the state for the whole thread would silence the user's own NumPy code. The state lives in a context variable, so a
kernel is run in a copy of a context in which it is off: copying a context and entering it costs about 0.1 µs.
"""

from __future__ import annotations

import contextvars
from collections.abc import Callable
from typing import Any

import numpy as np


def _silent_context() -> contextvars.Context:
    with np.errstate(all="ignore"):
        silent = contextvars.copy_context()
    # Only NumPy's own variable: nothing of the importing thread's context may stay alive in here.
    context = contextvars.Context()
    for variable, value in silent.items():
        if "numpy" in variable.name:
            context.run(variable.set, value)
    return context


_fresh = _silent_context().copy


def quiet(function: Callable[..., Any]) -> Callable[..., Any]:
    """`function`, without NumPy's floating-point warnings."""
    def kernel(*args: Any, **kwargs: Any) -> Any:
        return _fresh().run(function, *args, **kwargs)
    return kernel


def quiet1(function: Callable[..., Any]) -> Callable[..., Any]:
    """`quiet` for a function of one array and `out`: the plain signature is faster."""
    def kernel(a: Any, out: Any = None) -> Any:
        return _fresh().run(function, a) if out is None else _fresh().run(function, a, out)
    return kernel


def quiet2(function: Callable[..., Any]) -> Callable[..., Any]:
    """`quiet` for a function of two operands and `out`."""
    def kernel(a: Any, b: Any, out: Any = None) -> Any:
        return _fresh().run(function, a, b) if out is None else _fresh().run(function, a, b, out)
    return kernel
