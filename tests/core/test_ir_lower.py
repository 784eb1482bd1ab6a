"""Lowering of scalar expressions: dtypes, constants, what C leaves open. Their values are in `test_ir_render`."""

from __future__ import annotations

import math
from typing import Any

import pytest

import flambeau
from flambeau import dtypes as fd
from flambeau.ir import clike, expr as ir, prelude
from flambeau.ir.dialect import C_TYPES
from flambeau.ir.loops import Operand, Pointwise, Result
from flambeau.ir.lower import Lowered, NoVectors, literal, lower
from flambeau.registry import OPERATORS

x, y = ir.symbols("x", "y")


def lowered(tree: Any, kind: Any, outer: Any = None, width: int = 1) -> Lowered:
    """One tree of `x` and `y`."""
    return lower({"out": tree}, {"x": ("x", kind), "y": ("y", kind)}, kind, outer, width=width)


def test_a_sum_of_floats() -> None:
    result = lowered(x + y * 2, flambeau.float32)
    assert result.statements == ["const f32 t0 = y * 2.0f;", "const f32 t1 = x + t0;"]
    assert (result.values, result.dtypes) == ({"out": "t1"}, {"out": flambeau.float32})


def test_integers_wrap_around_after_each_operation() -> None:
    assert lowered(x + y, flambeau.int8).statements == ["const i8 t0 = (i8)(x + y);"]
    assert lowered(x * y, flambeau.int32).statements == ["const i32 t0 = (i32)((u32)x * (u32)y);"]


def test_common_parts_are_computed_once() -> None:
    result = lower({"a": ir.exp(x) + 1, "b": ir.exp(x) - 1}, {"x": ("x", flambeau.float64)}, flambeau.float64)
    assert sum("exp" in line for line in result.statements) == 1


def test_results_are_converted_to_the_outer_dtype() -> None:
    result = lowered(x > y, flambeau.int64, flambeau.float32)
    assert (result.values["out"], result.dtypes["out"]) == ("(f32)t0", flambeau.float32)
    assert lowered(x > y, flambeau.int64).dtypes["out"] is flambeau.bool


def test_division_of_integers_can_fail_and_that_of_floats_cannot() -> None:
    whole = lowered(x // y, flambeau.int32)
    assert whole.fails
    assert any("FAIL(DIVISION_BY_ZERO)" in line for line in whole.statements)
    assert not lowered(x // y, flambeau.float32).fails


def test_a_prelude_holds_what_is_used_and_what_that_needs() -> None:
    text = prelude.text(lowered(x % y, flambeau.int32).functions)
    assert text.index("fmod_i32(i32 a") < text.index("remainder_i32(i32 a")
    assert "floor_divide" not in text
    assert prelude.text(lowered(x + y, flambeau.float32).functions) == ""


@pytest.mark.parametrize(("number", "kind", "text"), [
    (2, "float32", "2.0f"), (-2.5, "float64", "(-2.5)"), (math.inf, "float32", "((f32)INFINITY)"),
    (1e300, "float32", "((f32)INFINITY)"), (-math.inf, "float64", "((f64)-INFINITY)"), (300, "uint8", "((u8)44u)"),
    (-1, "int8", "((i8)-1)"), (True, "bool", "1"), (1 + 2j, "complex64", "of_c64(1.0f, 2.0f)"),
    (-2**63, "int64", "((i64)-9223372036854775807 - 1)")])
def test_literals(number: Any, kind: str, text: str) -> None:
    assert literal(number, fd.by_name(kind)) == text


def test_vectors_are_refused_where_there_is_no_form_for_them() -> None:
    assert "exp(x)" in lowered(ir.exp(x), flambeau.float32, width=8).statements[0]
    for tree in (x % y, ir.digamma(x)):
        with pytest.raises(NoVectors):
            lowered(tree, flambeau.float32, width=8)


@pytest.mark.parametrize(("tree", "kind"), [
    (x < y, "complex64"), (x & y, "float32"), (ir.floor(x), "complex128"), (ir.erf(x), "complex64")])
def test_functions_that_a_dtype_does_not_have(tree: Any, kind: str) -> None:
    with pytest.raises(TypeError, match="not defined"):
        lowered(tree, fd.by_name(kind))


@pytest.mark.parametrize("name", sorted(ir.FUNCTIONS))
def test_every_function_has_a_form_and_its_prelude(name: str) -> None:
    tree = ir.apply(name, *ir.symbols("x", "y", "z")[:ir.FUNCTIONS[name]])
    kinds = []
    for kind in map(fd.by_name, ("int32", "float32", "complex64")):
        operands = tuple(Operand(each, kind) for each in "xyz"[:ir.FUNCTIONS[name]])
        loop = Pointwise(operands, (Result(tree, lower_dtype(tree, kind)),), kind) if lower_dtype(tree, kind) else None
        if loop is not None:
            prelude.text(clike.functions(loop))
            assert C_TYPES[kind] in clike.flat(loop, "name", "a" * len(operands))
            kinds.append(kind)
    assert kinds


def lower_dtype(tree: Any, kind: Any) -> Any:
    """The dtype of a tree for operands of a dtype; None where it is not defined."""
    try:
        return lower({"out": tree}, {name: (name, kind) for name in "xyz"}, kind).dtypes["out"]
    except TypeError:
        return None


def test_every_pointwise_record_that_states_an_expression_can_be_lowered() -> None:
    for record in OPERATORS.values():
        if record.expr is not None and record.family in ("unary", "binary", "pointwise"):
            tree = ir.trace(record.expr, record.parameters)
            found = [lower_any(tree, record.parameters, kind) for kind in ("int64", "float32")]
            assert any(found), record.name


def lower_any(tree: Any, names: Any, kind: str) -> bool:
    """Whether a tree can be lowered for a dtype."""
    try:
        return bool(lower({"out": tree}, {name: ("x", fd.by_name(kind)) for name in names}, fd.by_name(kind)).values)
    except TypeError:
        return False
