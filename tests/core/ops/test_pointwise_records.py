"""Every pointwise record against its own other definitions: the kernel, the expression and the decomposition agree.

Nothing is listed here but NumPy's functions for the expressions: records, operands and domains come from the table.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import flambeau
from flambeau.ir import expr as ir
from flambeau.registry import OPERATORS, OpDef

flambeau.ones(1)  # so that the table is complete whatever is imported lazily


def _elementwise(function: Callable[[float], float]) -> Callable[[Any], Any]:
    return np.vectorize(function, otypes=[np.float64])


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "neg": np.negative, "abs": np.absolute, "sqrt": np.sqrt, "exp": np.exp, "exp2": np.exp2, "expm1": np.expm1,
    "log": np.log, "log2": np.log2, "log10": np.log10, "log1p": np.log1p, "sin": np.sin, "cos": np.cos, "tan": np.tan,
    "asin": np.arcsin, "acos": np.arccos, "atan": np.arctan, "sinh": np.sinh, "cosh": np.cosh, "tanh": np.tanh,
    "asinh": np.arcsinh, "acosh": np.arccosh, "atanh": np.arctanh, "floor": np.floor, "ceil": np.ceil,
    "round": np.rint, "trunc": np.trunc, "erf": _elementwise(math.erf), "erfc": _elementwise(math.erfc),
    "lgamma": _elementwise(math.lgamma), "signbit": np.signbit, "logical_not": np.logical_not,
    "bitwise_not": np.invert, "isnan": np.isnan, "isinf": np.isinf, "add": np.add, "sub": np.subtract,
    "mul": np.multiply, "div": np.divide, "floor_divide": np.floor_divide,
    "trunc_divide": lambda x, y: np.trunc(x / y), "remainder": np.remainder, "fmod": np.fmod, "pow": np.power,
    "atan2": np.arctan2, "hypot": np.hypot, "maximum": np.maximum, "minimum": np.minimum, "copysign": np.copysign,
    "nextafter": np.nextafter, "eq": np.equal, "ne": np.not_equal, "lt": np.less, "le": np.less_equal,
    "gt": np.greater, "ge": np.greater_equal, "logical_and": np.logical_and, "logical_or": np.logical_or,
    "logical_xor": np.logical_xor, "bitwise_and": np.bitwise_and, "bitwise_or": np.bitwise_or,
    "bitwise_xor": np.bitwise_xor, "bitwise_left_shift": np.left_shift, "bitwise_right_shift": np.right_shift,
    "where": np.where, "gcd": np.gcd, "lcm": np.lcm, "conj_physical": np.conj, "sgn": np.sign, "angle": np.angle,
    "complex": lambda x, y: x + 1j * y,
    # Those without an independent definition in the standard library are checked against PyTorch elsewhere.
    "erfinv": lambda x: flambeau.erfinv(flambeau.from_numpy(x)).numpy(),
    "digamma": lambda x: flambeau.digamma(flambeau.from_numpy(x)).numpy(),
    "trigamma": lambda x: flambeau.polygamma(1, flambeau.from_numpy(x)).numpy(),
    "polygamma_series": lambda x, n: OPERATORS["polygamma_series"].call(flambeau.from_numpy(x), n).numpy(),
}

POINTWISE = [record for record in OPERATORS.values() if record.family in ("unary", "binary", "pointwise")]
WITH_EXPR = [record for record in POINTWISE if record.expr is not None]
WITH_DECOMPOSITION = [record for record in POINTWISE if record.decomposition is not None]


def operands(record: OpDef) -> list[Any]:
    """One array per operand of the record, drawn from its domain in a dtype that it takes."""
    rng = np.random.default_rng(0)
    count = len(record.parameters)
    limits = record.domain or (-4, 4)
    if not isinstance(limits[0], tuple):
        limits = (limits,) * count
    if 2 in record.excluded:  # floats: an operator on integers
        return [rng.integers(0, 5, 60) for _ in range(count)]
    drawn = [rng.uniform(low, high, 60) for low, high in limits]
    if record.uncast:
        drawn[0] = drawn[0] > 0
    return drawn


def _numbers(record: OpDef, drawn: list[Any]) -> list[Any]:
    """The same operands as the record takes them: tensors, and numbers where it does not take a tensor."""
    takes = record.tensors or tuple(range(len(drawn)))
    return [flambeau.from_numpy(each) if position in takes or "Any" in str(
        record.function.__annotations__.get(name, "")) else float(each[0])
        for position, (name, each) in enumerate(zip(record.parameters, drawn, strict=True))]


def _as_arrays(values: list[Any]) -> dict[str, Any]:
    return {str(index): each.numpy() if isinstance(each, flambeau.Tensor) else each
            for index, each in enumerate(values)}


@pytest.mark.parametrize("record", WITH_EXPR, ids=lambda record: record.name)
def test_kernel_computes_the_expression(record: OpDef) -> None:
    values = _numbers(record, operands(record))
    result = record.call(*values).numpy()
    names = [str(index) for index in range(len(values))]
    tree = ir.trace(record.expr, names)
    functions = {**FUNCTIONS, "cast": lambda value, target: np.asarray(value, result.dtype)}
    expected = ir.evaluate(tree, _as_arrays(values), functions)
    np.testing.assert_allclose(result, np.broadcast_to(expected, result.shape), rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("record", WITH_DECOMPOSITION, ids=lambda record: record.name)
def test_kernel_computes_the_decomposition(record: OpDef) -> None:
    values = _numbers(record, operands(record))
    result = record.call(*values)
    decomposed = record.decomposition(*values)
    assert decomposed.dtype is result.dtype
    np.testing.assert_allclose(result.numpy(), decomposed.numpy(), rtol=1e-9, atol=1e-11)


def test_every_function_of_expressions_is_an_operator() -> None:
    assert set(ir.FUNCTIONS) <= set(OPERATORS)


@pytest.mark.parametrize("record", POINTWISE, ids=lambda record: record.name)
def test_gradient_is_declared(record: OpDef) -> None:
    assert record.vjps is not None or record.decomposition is not None
