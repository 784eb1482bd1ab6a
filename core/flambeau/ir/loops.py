"""Loop nests as values: what a kernel computes over arrays, without how.

A loop says which operands there are and, as scalar expressions of them, what each result's element is. Renderers turn
loops into kernels for a layout (all operands dense, or any strides) and a device. Loops are immutable and compare by
value, so that they are keys of caches; shapes and strides are no part of them but arguments of the kernels. What
combines elements, reductions and scans, is in `reductions`.
"""

from __future__ import annotations

from dataclasses import dataclass

from flambeau.dtypes import dtype
from flambeau.ir.expr import Expr


@dataclass(frozen=True, slots=True)
class Operand:
    """What a loop reads: `name` is its symbol in the expressions."""

    name: str
    dtype: dtype


@dataclass(frozen=True, slots=True)
class Result:
    """What a loop writes: the element's expression, and the dtype that it is stored in."""

    tree: Expr
    dtype: dtype


@dataclass(frozen=True, slots=True)
class Pointwise:
    """Each element of the results from the elements of the operands at the same place, after broadcasting.

    `inner` is the dtype in which plain numbers of the expressions are taken.
    """

    operands: tuple[Operand, ...]
    results: tuple[Result, ...]
    inner: dtype
