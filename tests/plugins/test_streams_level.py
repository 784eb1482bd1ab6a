"""The conformance cases about streams see what is wrong: a device that does one thing wrong fails them.

The device is the fake one that spoils whatever two streams do without order, so each fault shows in the first rounds.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from flambeau import discovery

pytest.importorskip("flambeau_conformance", reason="the conformance suite is a plugin of its own")
from flambeau_conformance import engine, suite
from flambeau_conformance.levels import _stream_programs
from flambeau_reference import StreamsBackend
from flambeau_reference.streams import StrictMarker, StrictQueue

NAME = StreamsBackend.name


class Faulty(StreamsBackend):
    """The device with faults: its queues and markers are of classes that a test chooses."""

    queue_type: type[StrictQueue] = StrictQueue

    def __init__(self) -> None:
        super().__init__()
        self.own = [self.queue_type(self, index) for index in range(self.devices)]

    def new_queue(self, index: int, priority: int, native: Any = None) -> Any:
        return self.queue_type(self, index, priority)


class Hasty(StrictQueue):
    """Does not wait for markers."""

    def wait(self, marker: Any) -> None:
        pass


class Optimistic(StrictQueue):
    """Says at once that everything has run."""

    def query(self) -> bool:
        return True


class Pessimistic(StrictQueue):
    """Never says that everything has run."""

    def query(self) -> bool:
        return False


class Impatient(StrictQueue):
    """Comes back at once when it is waited for."""

    def synchronize(self) -> None:
        pass


class Timeless(StrictQueue):
    """Its markers have a clock that goes backwards."""

    def record(self, timing: bool) -> StrictMarker:
        marker = super().record(timing)
        marker.seconds = -marker.seconds
        return marker


class Unmoved(StrictQueue):
    """Its markers come back at once when they are waited for."""

    def record(self, timing: bool) -> StrictMarker:
        return UnmovedMarker(self, timing)


class UnmovedMarker(StrictMarker):
    def synchronize(self) -> None:
        pass

    def query(self) -> bool:
        return True


class Forgetful(Faulty):
    """Gives memory to the next one although another queue still reads it."""

    def keep_for(self, array: Any, queue: Any) -> None:
        pass


class Shared(Faulty):
    """One current queue for all threads."""

    def __init__(self) -> None:
        super().__init__()
        self.here = type("Here", (), {})()


class Partial(Faulty):
    """Waiting for the device waits for its own queue only."""

    def synchronize(self, index: int) -> None:
        self.own[index].synchronize()


def with_queues(queues: type[StrictQueue]) -> type[Faulty]:
    return type(queues.__name__, (Faulty,), {"queue_type": queues})


FAULTS: dict[type[StreamsBackend], set[str]] = {
    with_queues(Hasty): {"two", "event-order", "diamond", "record-stream", "hand-over"},
    with_queues(Optimistic): {"query"},
    with_queues(Pessimistic): {"query", "two"},
    with_queues(Impatient): {"synchronize", "event-order"},
    with_queues(Timeless): {"elapsed"},
    with_queues(Unmoved): {"synchronize", "query"},
    Forgetful: {"record-stream"},
    Shared: {"current"},
    Partial: {"synchronize"},
}
"""What must fail, by the device's fault; other cases may fail as well."""


@pytest.fixture
def offered() -> Iterator[None]:
    before = discovery._offers().get(NAME)
    yield
    discovery.unregister_backend(NAME)
    if before is not None:
        discovery._offers()[NAME] = before


def failed(backend: type[StreamsBackend]) -> dict[str, str]:
    discovery.unregister_backend(NAME)
    discovery.register_backend(backend)
    with suite.session(NAME) as session:
        outcomes = {case.variant: engine.execute(case, session) for case in suite.cases(NAME, ["streams"])
                    if case.op == "stream"}
    assert outcomes.keys() == _stream_programs.PROGRAMS.keys()
    return {variant: each.message for variant, each in outcomes.items() if each.status != "pass"}


def test_without_a_fault_all_pass(offered: None):
    assert failed(StreamsBackend) == {}


@pytest.mark.parametrize("backend", FAULTS, ids=lambda backend: backend.__name__)
def test_each_fault_shows(backend: type[StreamsBackend], offered: None, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(_stream_programs, "ROUNDS", 40)
    monkeypatch.setattr(_stream_programs, "POLLS", 100)
    found = failed(backend)
    assert FAULTS[backend] <= found.keys(), found
