"""Does the conformance suite find faults? More than three hundred are put in, one at a time; it has to find each.

A fault counts as found if a case fails with it that passes without it. Only the cases of the operator that is broken
are run, and for the contract's methods those of the levels about memory: what they find, the whole suite finds.
"""

from __future__ import annotations

import collections
import itertools
from collections.abc import Iterator

import pytest

import mutations
from flambeau import discovery
from flambeau_conformance import engine, suite
from flambeau_conformance.case import Case

# Faults that nobody can see from outside, or that the suite does not find: with reasons, and two in a hundred at most.
SURVIVORS: dict[str, str] = {}

CONTRACT = ("transfers", "views", "layouts", "streams", "determinism", "memory", "errors")


class Hunt:
    """The suite against one mutant."""

    def __init__(self) -> None:
        self.session = suite.session("mutant")
        self.by_op: dict[str, list[Case]] = collections.defaultdict(list)
        self.contract: list[Case] = []
        for case in suite.cases("mutant"):
            self.by_op[case.op].append(case)
            if case.level in CONTRACT:
                self.contract.append(case)
        self.contract.sort(key=lambda case: CONTRACT.index(case.level))
        self.sound: dict[str, bool] = {}

    def passes(self, case: Case) -> bool:
        return engine.execute(case, self.session).status == "pass"

    def passes_without(self, case: Case) -> bool:
        if case.id not in self.sound:
            self.sound[case.id] = self.passes(case)
        return self.sound[case.id]

    def finds(self, fault: mutations.Fault) -> str:
        """The case that finds a fault, or nothing."""
        suspects = set()
        for case in self.by_op[fault.op] if fault.op else self.contract:
            with fault.break_it():
                failed = not self.passes(case)
            if failed and case.id not in suspects:
                suspects.add(case.id)
                if self.passes_without(case):
                    return case.id
        return ""


@pytest.fixture(scope="module")
def hunt() -> Iterator[Hunt]:
    discovery.register_backend(mutations.Mutant)
    hunt = Hunt()
    yield hunt
    hunt.session.close()
    discovery.unregister_backend("mutant")


def faults() -> list[mutations.Fault]:
    discovery.register_backend(mutations.Mutant)
    try:
        return mutations.all_faults()
    finally:
        discovery.unregister_backend("mutant")


FAULTS = faults()
KINDS = {kind: list(found) for kind, found in itertools.groupby(FAULTS, key=lambda fault: fault.kind)}


@pytest.mark.parametrize("kind", KINDS)
def test_the_suite_finds_the_fault(hunt: Hunt, kind: str) -> None:
    found = {fault.id: hunt.finds(fault) for fault in KINDS[kind]}
    missed = sorted(name for name, case in found.items() if not case)
    assert missed == sorted(set(SURVIVORS) & set(found)), f"not found: {missed}"


def test_enough_faults_and_few_survivors() -> None:
    assert len(FAULTS) >= 100 and len({fault.id for fault in FAULTS}) == len(FAULTS)
    assert len({fault.kind for fault in FAULTS}) >= 40
    assert set(SURVIVORS) <= {fault.id for fault in FAULTS}
    assert len(SURVIVORS) <= 0.02 * len(FAULTS)
