"""Lowering of functions of complex numbers: each is a call of a function of the prelude.

Comparisons for order, rounding, remainders and special functions are not defined for complex numbers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from flambeau import dtypes as fd
from flambeau.dtypes import dtype
from flambeau.ir.complex_prelude import FUNCTIONS

if TYPE_CHECKING:
    from flambeau.ir.lower import Value, _Lowering

_LOGIC = {"logical_and": "&", "logical_or": "|", "logical_xor": "^"}
_TO_REAL = ("abs", "angle")
_TO_BOOL = ("eq", "ne", "isnan", "isinf")
_POWERS = {1: "{0}", 2: "mul_{1}({0}, {0})", 3: "mul_{1}(mul_{1}({0}, {0}), {0})", 0.5: "sqrt_{1}({0})"}


def apply(work: _Lowering, op: str, values: list[Value], kind: dtype) -> Value:
    """A function of values of a complex dtype."""
    from flambeau.ir.dialect import C_TYPES
    from flambeau.ir.lower import NoVectors, Value
    if work.width > 1:
        raise NoVectors(str(kind))
    if op in _LOGIC:
        return Value(f"{work.truth(values[0])} {_LOGIC[op]} {work.truth(values[1])}", fd.bool_)
    if op == "logical_not":
        return Value(f"(b8)!({work.truth(values[0])})", fd.bool_)
    if op not in FUNCTIONS:
        raise TypeError(f"{op} is not defined for {kind}")
    texts = [work.get(each, kind) for each in values]
    if op == "pow" and values[1].dtype is None and values[1].number in _POWERS:
        work.functions |= {("mul", C_TYPES[kind]), ("sqrt", C_TYPES[kind])}
        return Value(_POWERS[values[1].number].format(texts[0], C_TYPES[kind]), kind)
    gives = kind.to_real() if op in _TO_REAL else fd.bool_ if op in _TO_BOOL else kind
    return work.call(op, kind, *texts, gives=gives)
