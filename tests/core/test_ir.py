"""Scalar expressions: interning, operators, evaluation."""

from __future__ import annotations

import math
import operator

import pytest

from flambeau.ir import expr as ir

x, y = ir.symbols("x", "y")


def test_equal_trees_are_one_object() -> None:
    assert x + y * 2 is x + y * 2
    assert x + y is not y + x


def test_constants_of_different_types_differ() -> None:
    assert ir.constant(1) is not ir.constant(1.0)
    assert ir.constant(True) is not ir.constant(1)
    assert ir.constant(0.0) is not ir.constant(-0.0)
    assert ir.constant(math.nan) is ir.constant(math.nan)


@pytest.mark.parametrize(("function", "name"), [
    (operator.add, "add"), (operator.sub, "sub"), (operator.mul, "mul"), (operator.truediv, "div"),
    (operator.floordiv, "floor_divide"), (operator.mod, "remainder"), (operator.pow, "pow"), (operator.lt, "lt"),
    (operator.le, "le"), (operator.gt, "gt"), (operator.ge, "ge"), (operator.and_, "bitwise_and"),
    (operator.or_, "bitwise_or"), (operator.xor, "bitwise_xor")])
def test_python_operators_build_nodes(function: object, name: str) -> None:
    assert function(x, y) is ir.apply(name, x, y)  # type: ignore[operator]


@pytest.mark.parametrize("function", [operator.add, operator.sub, operator.mul, operator.truediv, operator.pow])
def test_numbers_on_the_left(function: object) -> None:
    assert function(2, x).args == (ir.constant(2), x)  # type: ignore[operator]


def test_expressions_are_immutable_and_have_no_truth_value() -> None:
    with pytest.raises(AttributeError, match="immutable"):
        x.op = "y"
    with pytest.raises(TypeError, match="where"):
        bool(x < y)


def test_wrong_operands_are_refused() -> None:
    with pytest.raises(TypeError, match="takes 2 operands"):
        ir.apply("add", x)
    with pytest.raises(TypeError, match="not str"):
        ir.apply("add", x, "y")  # type: ignore[arg-type]
    with pytest.raises(KeyError):
        ir.apply("no such function", x)


def test_walk_gives_operands_first_and_common_parts_once() -> None:
    common = x * y
    nodes = list(ir.walk(common + common / x))
    assert nodes.count(common) == 1
    assert nodes.index(x) < nodes.index(common) < len(nodes) - 1


def test_evaluate() -> None:
    tree = ir.where(x > 0, ir.sqrt(x) + 1, ir.cast(y, "float32"))
    functions = {"where": lambda c, a, b: a if c else b, "gt": operator.gt, "sqrt": math.sqrt, "add": operator.add,
                 "cast": lambda value, target: (value, target)}
    assert ir.evaluate(tree, {"x": 9, "y": 1}, functions) == 4
    with pytest.raises(ValueError, match=r"domain|nonnegative"):
        ir.evaluate(tree, {"x": -9, "y": 1}, functions)


def test_a_deep_tree_needs_no_recursion() -> None:
    tree = x
    for _ in range(20_000):
        tree = tree + 1
    assert ir.evaluate(tree, {"x": 0}, {"add": operator.add}) == 20_000


def test_repr_reads_as_written() -> None:
    assert repr(ir.where(x < 1, -x, y)) == "where(lt(x, 1), neg(x), y)"
