"""Tensors without elements, and tensors without dimensions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fnmatch import fnmatch
from functools import partial
from typing import Any

from flambeau import dtypes as fd
from flambeau.dtypes import dtype
from flambeau.registry import OpDef
from flambeau_conformance import oracle
from flambeau_conformance.calling import cases_of, check_call, records, samples
from flambeau_conformance.case import Case, Subject
from flambeau_conformance.engine import Context
from flambeau_conformance.sampling import POINTWISE, Call, Value, each_value, replaced
from flambeau_conformance.tolerance import class_of

_KINDS = (fd.float32, fd.int64)


# Where what the oracle does with nothing is an accident.
_ACCIDENTS = {
    "adaptive_max_pool*": "PyTorch takes an unbatched input without channels for a batch",
    "index_add": "PyTorch checks no index where there is nothing to add to",
    "cov": "PyTorch overwrites an input without dimensions",
    "pixel_unshuffle": "PyTorch gives an input without elements back as it is",
    "multi_head_attention_forward": "its sizes are arguments of their own, which the tensors then contradict",
    "*trapezoid": "PyTorch gives the dtype of the input where there is nothing to add",
}


def cases(subject: Subject) -> Iterator[Case]:
    """One case for each operator, dtype and way to lose the elements.

    What the oracle accepts must work; what it refuses for want of elements need not be refused.
    """
    kinds = tuple(each for each in _KINDS if each in subject.dtypes)
    for suffix, change in CHANGES.items():
        def run(context: Context, record: OpDef, kind: dtype,
                change: Callable[[Call], Call] = change) -> None:
            for call in samples(record, kind, context):
                accepted = oracle.accepts(record, call, context.device.type)
                check_call(context, record, change(call) if accepted else call, lenient=accepted)
        chosen = records(partial(_takes_part, suffix=suffix))
        yield from cases_of(subject, "empty", chosen, kinds, run, "-" + suffix,
                            quick=(fd.float32,) if suffix == "first" else ())


def _takes_part(record: OpDef, suffix: str) -> bool:
    if record.internal and record.family not in (*POINTWISE, "primitive"):
        return False      # inside, shapes always fit one another
    if (suffix != "scalar" and class_of(record) == "factorization") or record.name in ("reinterpret", "is_nonzero"):
        return False      # a matrix that is no longer square
    if suffix == "scalar" and record.internal and record.lists:
        return False      # its public face lets no more indices through than there are dimensions
    if any(fnmatch(record.name, each) for each in _ACCIDENTS):
        return False
    return bool(record.tensors or record.lists or record.family == "composite")


def _first(call: Call) -> Call:
    """The first dimension of the first tensor is 0, and of the others that have its size there."""
    sizes = [each.array.shape[0] for each in each_value(call) if each.array.ndim]

    def change(leaf: Any) -> Any:
        if not isinstance(leaf, Value) or not leaf.array.ndim or leaf.array.shape[0] != sizes[0]:
            return leaf
        return leaf.like(leaf.array[:0])
    return replaced(call[0], change), replaced(call[1], change)


def _last(call: Call) -> Call:
    """The last dimension of the first tensor is 0, and of the others that have its size there."""
    sizes = [each.array.shape[-1] for each in each_value(call) if each.array.ndim]

    def change(leaf: Any) -> Any:
        if not isinstance(leaf, Value) or not leaf.array.ndim or leaf.array.shape[-1] != sizes[0]:
            return leaf
        return leaf.like(leaf.array[..., :0])
    return replaced(call[0], change), replaced(call[1], change)


def _scalar(call: Call) -> Call:
    """Every tensor is its first element, without dimensions."""
    def change(leaf: Any) -> Any:
        return leaf.like(leaf.array.reshape(-1)[0]) if isinstance(leaf, Value) and leaf.array.size else leaf
    return replaced(call[0], change), replaced(call[1], change)


CHANGES: dict[str, Callable[[Call], Call]] = {"first": _first, "last": _last, "scalar": _scalar}
