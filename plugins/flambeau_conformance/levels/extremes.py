"""nan, infinities, signed zeros, the largest and the smallest numbers; the ends of the integers."""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatch
from typing import Any

import numpy as np

from flambeau import dtypes as fd
from flambeau.dtypes import COMPLEX, FLOAT, dtype
from flambeau.registry import OpDef
from flambeau_conformance.calling import cases_of, check_call, is_random, records, samples
from flambeau_conformance.case import Case, Subject
from flambeau_conformance.engine import Context
from flambeau_conformance.sampling import POINTWISE, Call, Value, each_value, replaced
from flambeau_conformance.tolerance import class_of

_KINDS = (fd.float32, fd.float64, fd.float16, fd.int32, fd.int64, fd.uint8)


# Where even the oracle's answer to nan or infinity says nothing.
_UNDEFINED = {
    "special_*_polynomial_*": "PyTorch's recurrences leave the result unwritten for nan",
    "special_*bessel*": "arguments beyond 1e5 lose all digits in the reduction of the phase",
    "special_zeta": "the series overflows in the oracle before it converges",
    "fmod": "PyTorch's vectorized kernel gives nan where the quotient overflows",
    "remainder": "as fmod",
    "gelu*": "PyTorch's vectorized kernel gives nan for infinity in float32",
    "binary_cross_entropy": "PyTorch looks for numbers outside 0 to 1 on the host only",
    "scaled_dot_product_attention": "PyTorch's fused kernel gives 0 where it meets nan",
    "multi_head_attention_forward": "as scaled_dot_product_attention",
    "searchsorted": "nan among sorted numbers",
    "mode": "nan equals nothing, so which number is the most frequent is a matter of taste",
    "unique": "as mode",
    "local_response_norm": "powers of sums of squares overflow",
}


def cases(subject: Subject) -> Iterator[Case]:
    """One case for each operator and dtype: pointwise ones on all pairs of special numbers, others with a few.

    Integers take part where an operator is defined on the whole of their range: primitives and what moves data.
    """
    floats = tuple(each for each in _KINDS if each in subject.dtypes and each.category == FLOAT)
    integers = tuple(each for each in _KINDS if each in subject.dtypes and each.category < FLOAT)
    yield from cases_of(subject, "extremes", records(_takes_part), floats, run, quick=(fd.float32,))
    yield from cases_of(subject, "extremes", records(
        lambda record: _takes_part(record) and (record.decomposition is None or class_of(record) == "exact")),
        integers, run)


def _takes_part(record: OpDef) -> bool:
    # A factorization of a matrix with nan has no defined result, in LAPACK neither.
    if record.internal and record.decomposition is not None:
        return False
    if is_random(record) or class_of(record) == "factorization" or any(
            fnmatch(record.name, each) for each in _UNDEFINED):
        return False
    return bool(record.tensors or record.lists or record.family == "composite")


def specials(kind: dtype, largest: bool = True) -> list[Any]:
    """The numbers of a dtype at which kernels go wrong.

    Not the smallest integer: divided by -1 it traps, in PyTorch too. Without `largest`, numbers whose squares are
    finite: what an operator that computes in several steps gives beyond that depends on the steps.
    """
    if kind.category < FLOAT:
        ends = np.iinfo(kind.name)
        return sorted({ends.min + 1, 0, 1, 2, ends.max - 1, ends.max, *((-1,) if ends.min else ())})
    info = np.finfo({"bfloat16": "float32"}.get(kind.name, kind.name))
    most = float(info.max) if largest else float(info.max) ** 0.5 / 4
    return [0.0, -0.0, 1.0, -1.0, 0.5, -2.5, float(info.tiny), float(info.eps), most, -most,
            float("inf"), float("-inf"), float("nan")]


def run(context: Context, record: OpDef, kind: dtype) -> None:
    """Special numbers in place of drawn ones."""
    drawn = samples(record, kind, context)
    whole = record.family in POINTWISE
    change = _grid if whole else _sprinkled
    numbers = specials(kind, record.decomposition is None)
    for call in drawn[:1] if whole else drawn:
        changed = change(call, kind, context, numbers)
        if changed is not None:
            check_call(context, record, changed, precise=False)


def _grid(call: Call, kind: dtype, context: Context, chosen: list[Any]) -> Call | None:
    """Operands that meet in every combination of special numbers."""
    values = [each for each in each_value(call) if each.dtype is kind]
    if not values or any(each.dtype.category == COMPLEX for each in values):
        return None
    numbers = np.array(chosen)
    count = min(len(values), 2)
    axes = iter(np.meshgrid(*[numbers] * count, indexing="ij"))

    def change(leaf: Any) -> Any:
        if isinstance(leaf, Value) and leaf.dtype is kind:
            array = next(axes, None)
            return leaf.like(np.full((len(numbers),) * count, numbers[4]) if array is None else array)
        if isinstance(leaf, Value):
            return leaf.like(np.resize(leaf.array, (len(numbers),) * count))
        return leaf
    return replaced(call[0], change), replaced(call[1], change)


def _sprinkled(call: Call, kind: dtype, context: Context, numbers: list[Any]) -> Call | None:
    """A nan among the elements of the first operand, for integers their ends.

    Infinities cancel to nan or not by the order in which a sum is taken, so they are left to pointwise operators.
    """
    found = False

    def change(leaf: Any) -> Any:
        nonlocal found
        if found or not isinstance(leaf, Value) or leaf.dtype is not kind or not leaf.array.size:
            return leaf
        found = True
        array = leaf.array.copy()
        flat = array.reshape(-1)
        chosen = [float("nan")] if kind.category >= FLOAT else numbers[-1:]
        for position, number in zip(context.rng.permutation(flat.size), chosen, strict=False):
            flat[position] = number
        return leaf.like(array)
    changed = replaced(call[0], change), replaced(call[1], change)
    return changed if found else None
