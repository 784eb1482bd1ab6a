"""An error that an asynchronous device tells late is charged to the case that caused it, and to no other."""

from __future__ import annotations

import pytest

import flambeau

pytest.importorskip("flambeau_conformance", reason="the conformance suite is a plugin of its own")
from flambeau_conformance import engine, suite
from flambeau_conformance.case import Case


def _late(context):
    flambeau.ones(3, device=context.device)[flambeau.tensor([7], device=context.device)]


def _drained(context):
    _late(context)
    with pytest.raises(RuntimeError, match="index"):
        context.backend.synchronize(0)


def _wrong_and_late(context):
    _late(context)
    raise AssertionError("wrong before that")


def _good(context):
    assert flambeau.ones(3, device=context.device).sum().item() == 3


def test_late_errors_are_the_cases_own():
    def status(run):
        outcome = engine.execute(Case("streams", "late", "error", run), session)
        return outcome.status, outcome.message

    with suite.session("reference_async") as session:
        said, message = status(_late)
        assert said == "fail" and "device 0 told of an error" in message and "IndexError" in message
        assert status(_good) == status(_drained) == ("pass", "")
        assert status(_wrong_and_late) == ("fail", "wrong before that")
        assert status(_good) == ("pass", "")
        # What is left from before the suite is nobody's.
        _late(type("Before", (), {"device": session.device}))
        assert status(_good) == ("pass", "")
