"""Gradients of first and second order, with respect to all floating operands.

The oracle differentiates in float64: PyTorch by its own formulas, without it by central differences along
random directions. What those cannot tell is left out, with reasons, in `differences.LEFT_OUT`.
"""

from __future__ import annotations

from collections.abc import Iterator

import flambeau
from flambeau import dtypes as fd
from flambeau.dtypes import dtype
from flambeau.registry import OpDef
from flambeau.tensor import Tensor
from flambeau_conformance import derivatives, oracle
from flambeau_conformance.calling import REFUSALS, cases_of, describe, is_random, perform, records, samples, unstorable
from flambeau_conformance.case import Case, Subject
from flambeau_conformance.differences import Unmeasurable
from flambeau_conformance.engine import Context, Failure
from flambeau_conformance.sampling import Call, each_tensor, each_value
from flambeau_conformance.tolerance import GRADIENT, SECOND

_KINDS = (fd.float32, fd.float64, fd.complex64, fd.complex128, fd.bfloat16)


def cases(subject: Subject) -> Iterator[Case]:
    """One case for each operator, floating dtype and order."""
    kinds = tuple(each for each in _KINDS if each in subject.dtypes)
    yield from cases_of(subject, "gradients", records(_public), kinds, first, "-first", quick=(fd.float32,))
    real = tuple(each for each in (fd.float32, fd.float64) if each in kinds)
    yield from cases_of(subject, "gradients", records(_inner), real, first, "-first")
    exact = tuple(each for each in kinds if each is not fd.bfloat16)
    yield from cases_of(subject, "gradients", records(_public), exact, second, "-second")
    widest = tuple(each for each in (fd.float64, fd.float32) if each in kinds)[:1]  # differences take their time
    yield from cases_of(subject, "gradients", records(_inner), widest, second, "-second")


def _differentiable(record: OpDef) -> bool:
    return record.vjps != "none" and not is_random(record)


def _public(record: OpDef) -> bool:
    return _differentiable(record) and not record.internal


def _inner(record: OpDef) -> bool:
    return _differentiable(record) and record.internal


def first(context: Context, record: OpDef, kind: dtype) -> None:
    """The gradients of all samples."""
    _check(context, record, kind, 1)


def second(context: Context, record: OpDef, kind: dtype) -> None:
    """The gradients of the gradients of all samples."""
    _check(context, record, kind, 2)


def _check(context: Context, record: OpDef, kind: dtype, order: int) -> None:
    for number, call in enumerate(samples(record, kind, context)):
        if not any(each.differentiable for each in each_value(call)):
            continue
        try:
            expected = derivatives.expected(context, record, call, order)
        except oracle.Refused:      # what is not defined has no gradient
            context.samples += _refuses(context, record, call)
            continue
        except Unmeasurable:     # the reason stands in the table
            context.oracle = "left out"
            continue
        try:
            if expected is None:
                if not _asks_for_one(context, record, call):
                    continue
                expected = derivatives.by_differences(context, record, call, order)
                assert expected is not None
            _compare(context, record, call, expected, order, "permuted" if number % 2 else "contiguous")
        except Failure as failure:
            raise Failure(f"{describe(record, call)}: {failure}") from failure
        context.samples += 1
        context.oracle = expected.oracle


def _refuses(context: Context, record: OpDef, call: Call) -> bool:
    """Whether the device refuses a call, too; where the oracle merely lacks a kernel, it need not."""
    try:
        perform(record, context.put(call))
    except REFUSALS:
        return True
    return False


def _asks_for_one(context: Context, record: OpDef, call: Call) -> bool:
    """Whether a result requires a gradient on the device: where the oracle has none, it may, if it is right."""
    placed = context.put(call)
    for tensor, value in zip(each_tensor(placed), each_value(call), strict=True):
        tensor.requires_grad_(value.differentiable)
    context.samples += 1
    return any(each.requires_grad for each in perform(record, placed) if isinstance(each, Tensor))


def _compare(context: Context, record: OpDef, call: Call, expected: derivatives.Expected, order: int,
             layout: str) -> None:
    leaves: list[Tensor] = []
    placed = context.put(call)
    for tensor, value in zip(each_tensor(placed), each_value(call), strict=True):
        if value.differentiable:
            leaves.append(tensor.requires_grad_())
    flambeau.manual_seed(0)
    try:
        results = expected.choose(perform(record, placed))
        mine = derivatives.of_flambeau(context, results, leaves, expected, order, layout)
    except REFUSALS as error:
        if unstorable(context, error, oracle.expected(record, call, context.device.type, "contiguous").names):
            return
        raise Failure(f"raised {type(error).__name__}: {error}") from error
    expected.compare(context, record, leaves, mine, {1: GRADIENT, 2: SECOND}[order])
