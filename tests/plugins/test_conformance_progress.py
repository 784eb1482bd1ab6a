"""What a run shows while it lasts."""

from __future__ import annotations

import io

import pytest

from flambeau_conformance import progress
from flambeau_conformance.results import Result
from flambeau_conformance.summary import counted


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch):
    """A clock that stands still until it is told otherwise."""
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def lines_of(clock: list[float], seconds_each: float, total: int = 200) -> list[str]:
    lines: list[str] = []
    shown = progress.Progress(lines.append, io.StringIO())
    shown.start(total)
    for number in range(total):
        clock[0] += seconds_each
        shown.advance(unexpected=number == 50)
    shown.close()
    return lines


def test_a_short_run_says_nothing(clock: list[float]):
    assert lines_of(clock, 0.01) == []


def test_a_longer_run_says_each_tenth(clock: list[float]):
    lines = lines_of(clock, 0.5)
    assert len(lines) == 10
    assert lines[0] == " 10%  20 of 200 cases, 10 s" and lines[-1] == "100%  200 of 200 cases, 100 s, 1 unexpected"


def test_a_slow_run_says_something_every_minute(clock: list[float]):
    lines = lines_of(clock, 20)
    assert len(lines) == 50 and lines[0] == "  2%  4 of 200 cases, 80 s"


def test_the_table_leaves_out_columns_without_a_number():
    found = [Result(f"nn/{number}/x", "nn", str(number), "x", category="native") for number in range(12)]
    found += [Result("own/b/x", "own", "b", "x", category="fallback"), Result("views/a/x", "views", "a", "x")]
    assert counted(found).splitlines() == [
        "LEVEL  NATIVE  FALLBACK  ERROR  CASES",
        "views       -         -      1      1",
        "nn         12         -      -     12",
        "own         -         1      -      1",
        "all        12         1      1     14",
    ]
