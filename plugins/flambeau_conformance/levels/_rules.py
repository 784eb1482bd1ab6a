"""The rules by which dtypes combine, stated a second time, and what NumPy computes for operators of two operands.

Used where PyTorch is not installed. Nothing here asks the library under test: the order of the dtypes is written down,
and so is which operators leave the common dtype.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

# Every dtype that computes: (category, what decides within the category).
ORDER = {
    "bool": (0, 0), "uint8": (1, 1), "int8": (1, 1), "int16": (1, 2), "int32": (1, 3), "int64": (1, 4),
    "float16": (2, 1), "bfloat16": (2, 1), "float32": (2, 2), "float64": (2, 3), "complex64": (3, 2),
    "complex128": (3, 3)}
_MEET = {frozenset(("uint8", "int8")): "int16", frozenset(("float16", "bfloat16")): "float32",
         frozenset(("complex64", "float64")): "complex128"}

COMPARISONS = frozenset("eq ne lt le gt ge logical_and logical_or logical_xor".split())
INT_TO_FLOAT = frozenset("div atan2 xlogy copysign special_xlog1py special_zeta".split())
# the categories of the common dtype for which an operator is not defined
REFUSED: dict[str, tuple[int, ...]] = {
    "sub": (0,), "rsub": (0,), "pow": (0,), "bitwise_and": (2, 3), "bitwise_or": (2, 3), "bitwise_xor": (2, 3),
    "bitwise_left_shift": (0, 2, 3), "bitwise_right_shift": (0, 2, 3), "lt": (3,), "le": (3,), "gt": (3,), "ge": (3,),
    "floor_divide": (0, 3), "remainder": (0, 3), "fmod": (0, 3), "maximum": (3,), "minimum": (3,), "fmax": (3,),
    "fmin": (3,), "gcd": (0, 2, 3), "lcm": (0, 2, 3), "atan2": (3,), "hypot": (0, 1, 3), "logaddexp": (0, 1, 3),
    "logaddexp2": (0, 1, 3), "xlogy": (3,), "copysign": (3,), "nextafter": (0, 1, 3), "heaviside": (3,)}

NUMPY: dict[str, Callable[..., Any]] = {
    "add": np.add, "sub": np.subtract, "mul": np.multiply, "div": np.true_divide, "floor_divide": np.floor_divide,
    "remainder": np.mod, "fmod": np.fmod, "pow": np.power, "maximum": np.maximum, "minimum": np.minimum,
    "fmax": np.fmax, "fmin": np.fmin, "gcd": np.gcd, "lcm": np.lcm, "atan2": np.arctan2, "hypot": np.hypot,
    "logaddexp": np.logaddexp, "logaddexp2": np.logaddexp2, "copysign": np.copysign,
    "bitwise_and": np.bitwise_and, "bitwise_or": np.bitwise_or, "bitwise_xor": np.bitwise_xor,
    "bitwise_left_shift": np.left_shift, "bitwise_right_shift": np.right_shift, "eq": np.equal, "ne": np.not_equal,
    "lt": np.less, "le": np.less_equal, "gt": np.greater, "ge": np.greater_equal, "logical_and": np.logical_and,
    "logical_or": np.logical_or, "logical_xor": np.logical_xor}


def promoted(a: str, b: str) -> str:
    """The dtype at which two dtypes meet."""
    if frozenset((a, b)) in _MEET:
        return _MEET[frozenset((a, b))]
    return max(a, b, key=ORDER.__getitem__)


def common(dims: Sequence[str], zero_dims: Sequence[str], numbers: Sequence[type], default: str = "float32") -> str:
    """The common dtype of tensors with dimensions, tensors without, and Python numbers: each rank counts only where
    its category is above what the stronger ones have."""
    names = {bool: "bool", int: "int64", float: default,
             complex: "complex128" if default == "float64" else "complex64"}
    result = ""
    for rank in (list(dims), list(zero_dims), [names[each] for each in numbers]):
        if not rank:
            continue
        here = rank[0]
        for each in rank[1:]:
            here = promoted(here, each)
        if not result:
            result = here
        elif ORDER[here][0] == 3 and ORDER[result][0] == 2:    # of a weaker complex the precision does not count
            result = "complex128" if result == "float64" else "complex64"
        elif ORDER[here][0] > ORDER[result][0]:
            result = promoted(result, here)
    return result


def castable(source: str, target: str) -> bool:
    """Whether a result may be written into a tensor of another dtype: never down in category, bool being lowest."""
    return ORDER[source][0] <= ORDER[target][0] or (ORDER[source][0], ORDER[target][0]) == (1, 1)


def result_of(op: str, shared: str, kinds: Sequence[str] = (), default: str = "float32") -> str | None:
    """The dtype of an operator's result for operands of a common dtype; None where the operator is not defined.

    `kinds` are the dtypes of the operands: differences do not take bools, whatever the other operand is.
    """
    category = ORDER[shared][0]
    if category in REFUSED.get(op, ()) or (op in ("sub", "rsub") and "bool" in kinds):
        return None
    if op in COMPARISONS:
        return "bool"
    if op in INT_TO_FLOAT and category < 2:
        return default
    return shared


def computed(op: str, arrays: Sequence[Any], shared: str, dtype: str) -> Any:
    """NumPy's values for an operator on operands of a common dtype, or None where it has no such function."""
    function = NUMPY.get(op)
    if function is None:
        return None
    category = ORDER[shared][0]
    wide = (np.bool_, np.int64, np.float64, np.complex128)[category]
    if shared == "bool" and op not in COMPARISONS | {"add", "mul", "maximum"} and not op.startswith("bitwise"):
        wide = np.int64
    held = dtype if op in INT_TO_FLOAT else shared
    held = "float32" if held == "bfloat16" else held        # negative numbers wrap around in unsigned operands
    with np.errstate(all="ignore"):
        result = function(*(np.asarray(each).astype(held).astype(wide) for each in arrays))
    if op == "floor_divide" and category == 2:
        return None   # NumPy rounds otherwise at whole quotients
    return np.asarray(result).astype("float32" if dtype == "bfloat16" else dtype) if ORDER[dtype][0] < 2 else result
