"""The conformance cases about held memory see what is wrong: an allocator that does one thing wrong fails them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import pytest

from flambeau import discovery

pytest.importorskip("flambeau_conformance", reason="the conformance suite is a plugin of its own")
from flambeau_conformance import engine, suite
from flambeau_conformance.levels import _memory_limits
from flambeau_reference import ReferenceBackend
from flambeau_reference.array import Memory

NAME = "pooling"


class PooledMemory(Memory):
    """Memory that its backend keeps when nobody holds it any more."""

    def __del__(self) -> None:
        size, self._size = self._size, 0
        if size:
            self.backend.used -= size
            self.backend.pool[size].append(self.bytes)


class Pooling(ReferenceBackend):
    """Freed memory stays reserved, by size, until it is wanted for something else."""

    name = NAME
    releases = honest = limits = True

    def __init__(self) -> None:
        super().__init__()
        self.pool: dict[int, list[Any]] = defaultdict(list)
        self.used = 0

    def new_memory(self, index: int, size: int) -> Memory:
        ledger = self.ledgers[index]
        if self.pool[size]:
            ledger.give_back(size)
            self.pool[size].pop()
        if self.releases and ledger.allocated + size > ledger.limit:
            self.empty_cache()
        made = PooledMemory(self, index, size)
        self.used += size
        return made

    def empty_cache(self) -> None:
        if self.honest:
            for size, blocks in self.pool.items():
                self.ledgers[0].give_back(size * len(blocks))
            self.pool.clear()

    def limit_memory(self, index: int, size: int) -> None:
        if self.limits:
            super().limit_memory(index, size)

    def memory_stats(self, index: int) -> dict[str, int]:
        ledger = self.ledgers[index]
        return {"allocated": self.used, "reserved": ledger.allocated, "peak": ledger.peak}


class Hoarding(Pooling):
    """Does not give memory back before it says that there is none."""

    releases = False


class Deaf(Pooling):
    """Does not give memory back when asked."""

    honest = False


class Boundless(Pooling):
    """Knows no limit although it says so."""

    limits = False


class Forgetful(Pooling):
    """Counts no memory that is in use."""

    def memory_stats(self, index: int) -> dict[str, int]:
        return {**super().memory_stats(index), "allocated": 0}


@pytest.fixture
def clean() -> Iterator[None]:
    yield
    discovery.unregister_backend(NAME)


@pytest.mark.parametrize("backend, expected", [
    (Pooling, set()), (Hoarding, {"reuse"}), (Deaf, {"caches", "reuse"}), (Boundless, {"limit"}),
    (Forgetful, {"namespace"})])
def test_each_fault_shows(backend: type[Pooling], expected: set[str], clean: None):
    discovery.register_backend(backend)
    with suite.session(NAME) as session:
        outcomes = {case.variant: engine.execute(case, session) for case in suite.cases(NAME, ["memory"])
                    if (case.op, case.variant) in _memory_limits.CASES}
    assert len(outcomes) == 4
    failed = {variant: each.message for variant, each in outcomes.items() if each.status != "pass"}
    assert failed.keys() == expected, failed
