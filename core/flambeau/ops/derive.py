"""Decompositions that nobody writes: from a pointwise record's scalar expression.

An operator whose expression uses other functions than itself needs no kernel where those have one: `evaluate` runs
the tree on tensors. So a pointwise operator's formula stands in one place, whether a renderer makes one kernel from it
or a backend without a renderer calls several.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from flambeau.ir import expr as ir
from flambeau.ops.selection import where
from flambeau.registry import LISTENERS, OPERATORS, OpDef
from flambeau.tensor import Tensor


class _Functions(dict[str, Callable[..., Any]]):
    """The functions of expressions on tensors and numbers: the operators of the same name.

    `like` is an operand that is a tensor: numbers alone become tensors of its dtype where Python has no such function.
    """

    like: Tensor

    def __missing__(self, name: str) -> Callable[..., Any]:
        call, on_numbers = OPERATORS[name].call, _ON_NUMBERS.get(name)

        def either(*operands: Any) -> Any:
            if any(isinstance(each, Tensor) for each in operands):
                return call(*operands)
            if on_numbers is not None:
                return on_numbers(*operands)
            return call(self.like.new_tensor(operands[0]), *operands[1:])
        return either


# Operands may be numbers alone: the part of an expression that depends on an operator's parameters only.
_ON_NUMBERS: dict[str, Callable[..., Any]] = {
    "neg": operator.neg, "abs": abs, "add": operator.add, "sub": operator.sub, "mul": operator.mul,
    "div": operator.truediv, "pow": operator.pow, "lt": operator.lt, "le": operator.le, "gt": operator.gt,
    "ge": operator.ge, "eq": operator.eq, "ne": operator.ne}


def _choose(condition: Any, value: Any, other: Any) -> Any:
    if isinstance(condition, Tensor):
        return where(condition, value, other)
    return value if condition else other


def _cast(value: Any, target: str, like: Any) -> Any:
    if not isinstance(value, Tensor):
        return value
    if target in ("result", "operands"):
        return value.to(like)
    from flambeau.dtypes import by_name
    return value.to(by_name(target))


def decomposition_of(record: OpDef) -> Callable[..., Tensor]:
    """A function of tensors that evaluates the record's expression."""
    def decomposition(*operands: Any) -> Tensor:
        tree = ir.trace(record.expr, record.parameters)
        like = next(each for each in operands if isinstance(each, Tensor))
        functions = _Functions(where=_choose, cast=lambda value, target: _cast(value, target, like.dtype))
        functions.like = like
        return ir.evaluate(tree, dict(zip(record.parameters, operands, strict=True)), functions)
    return decomposition


def derive(record: OpDef) -> None:
    """Give a pointwise record that has an expression of other functions, and no body, its decomposition."""
    if record.expr is None or record.decomposition is not None:
        return
    tree = ir.trace(record.expr, record.parameters)
    if tree.op != record.name and tree.op not in (ir.SYMBOL, ir.CONSTANT):
        record.decomposition = decomposition_of(record)


def install() -> None:
    """Derive the decompositions of the library's own records, and of every later one as it is made."""
    for record in OPERATORS.values():
        derive(record)
    LISTENERS.append(derive)
