"""Pointwise kernels: ufuncs where NumPy has one, short compositions where it has not."""

from __future__ import annotations

from typing import Any

import numpy as np

from flambeau_numpy.quiet import quiet1, quiet2

UNARY = {
    "neg": np.negative, "abs": np.absolute, "exp": np.exp, "log": np.log, "sqrt": np.sqrt, "sin": np.sin,
    "cos": np.cos, "tanh": np.tanh, "reciprocal": np.reciprocal,
}
BINARY = {
    "add": np.add, "sub": np.subtract, "mul": np.multiply, "true_divide": np.true_divide, "pow": np.power,
    "eq": np.equal, "ne": np.not_equal, "lt": np.less, "le": np.less_equal, "gt": np.greater,
    "ge": np.greater_equal, "maximum": np.maximum, "minimum": np.minimum,
}

KERNELS: dict[str, Any] = {
    **{name: quiet1(ufunc) for name, ufunc in UNARY.items()},
    **{name: quiet2(ufunc) for name, ufunc in BINARY.items()},
}
