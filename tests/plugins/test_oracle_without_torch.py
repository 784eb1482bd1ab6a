"""The oracles for machines without PyTorch, judged by PyTorch where it is: two that agree are right."""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatch

import numpy as np
import pytest

import flambeau
from flambeau import discovery
from flambeau.registry import OPERATORS, OpDef
from flambeau_conformance import definitions, differences, engine, oracle, suite
from flambeau_conformance.calling import is_random
from flambeau_conformance.case import Case
from flambeau_conformance.invariants import INVARIANTS
from flambeau_conformance.sampling import Call, calls, each_value

KINDS = (flambeau.float64, flambeau.int64, flambeau.complex128)
# Of operands that take their values, the results are rounded here and not there.
APART = {"linspace", "logspace"}


def sampled(record: OpDef) -> Iterator[Call]:
    storable = discovery.backend_for("cpu").capabilities.storage_dtypes
    for kind in KINDS:
        yield from calls(record, kind, 0, storable)


def test_every_definition_belongs_to_an_operator() -> None:
    assert len(definitions.table()) > 400
    assert set(definitions.table()) <= set(OPERATORS)


@pytest.mark.parametrize("name", sorted(set(definitions.table()) - set(INVARIANTS) - APART))
def test_a_definition_gives_what_pytorch_gives(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch", reason="PyTorch is the oracle")
    record = OPERATORS[name]
    if is_random(record) or oracle.torch_function(record) is None:
        pytest.skip("PyTorch has no such function, or it draws")
    for call in sampled(record):
        try:
            wanted = oracle.from_pytorch(record, call)
            found = definitions.ask(name, call)
        except oracle.Refused:
            continue
        if found is None or wanted.optional:
            continue
        better = wanted.precise or wanted.results
        assert len(found) == len(better)
        for mine, theirs in zip(found, better, strict=True):
            assert mine.shape == np.shape(theirs)
            rounding = 1e-7 if wanted.precise else 1e-5     # integers become float32
            np.testing.assert_allclose(mine, theirs, rtol=rounding, atol=rounding)


def test_a_definition_that_does_not_know_a_call_says_nothing() -> None:
    assert definitions.ask("sort", ((np.ones(3), True), {})) is None
    assert definitions.ask("no_such_operator", ((), {})) is None


def test_what_differences_cannot_tell_is_said_with_a_reason() -> None:
    for pattern, applies, reason in differences.LEFT_OUT:
        matching = [record for name, record in OPERATORS.items() if fnmatch(name, pattern)]
        assert any(applies(call) for record in matching for call in sampled(record)), pattern
        assert reason
    for pattern in differences.NO_GRADIENT:
        assert any(fnmatch(name, pattern) for name in OPERATORS), pattern


@pytest.mark.parametrize("name", ["mul", "matmul", "linalg_cholesky", "cumsum"])
@pytest.mark.parametrize("order", [1, 2])
def test_differences_tell_a_right_gradient_from_a_wrong_one(name: str, order: int) -> None:
    record = OPERATORS[name]
    with suite.session("cpu") as session:
        context = engine.Context(session, Case("gradients", name, "float64", lambda context: None))
        call = next(iter(sampled(record)))
        wanted = differences.FromDifferences.make(context, record, call, order)
        assert wanted is not None
        placed = context.put(call)
        leaves = [each.requires_grad_() for each in placed[0] if isinstance(each, flambeau.Tensor)]
        assert len(leaves) == len(list(each_value(call)))
        results = wanted.choose(oracle.flat(record.public(*placed[0], **placed[1])))
        from flambeau_conformance import derivatives
        right = derivatives.of_flambeau(context, results, leaves, wanted, order, "contiguous")
        wanted.compare(context, record, leaves, right, 1)
        wrong = [None if each is None else each * 1.25 + 0.5 for each in right]
        with pytest.raises(engine.Failure, match="by differences"):
            wanted.compare(context, record, leaves, [flambeau.ones_like(leaf) if each is None else each
                                                     for each, leaf in zip(wrong, leaves, strict=True)], 1)


def test_a_call_of_many_elements_is_for_definitions_alone() -> None:
    storable = discovery.backend_for("cpu").capabilities.storage_dtypes
    from flambeau_conformance import enlarging
    call = enlarging.enlarged(calls(OPERATORS["add"], flambeau.float32, 0, storable)[0], 0)
    assert call is not None
    assert oracle.from_numpy(OPERATORS["add"], call, "cpu").names == ["float32"]
    call = enlarging.enlarged(calls(OPERATORS["renorm"], flambeau.float32, 0, storable)[0], 0)
    assert call is not None
    with pytest.raises(oracle.Refused, match="so many elements"):
        oracle.from_numpy(OPERATORS["renorm"], call, "cpu")
