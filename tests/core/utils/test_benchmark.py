"""Timing statements: how often they run, on how many threads, and what is reported."""

from __future__ import annotations

from typing import Any

import pytest

import flambeau
from flambeau.utils import benchmark
from flambeau.utils.benchmark import Compare, Measurement, TaskSpec, Timer


class Clock:
    """Time that goes on by itself at each reading, and as the statement says."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 1e-9
        return self.now

    def spend(self, seconds: float) -> None:
        self.now += seconds


def test_a_statement_is_timed() -> None:
    clock = Clock()
    found = Timer("clock.spend(0.001)", globals={"clock": clock}, timer=clock).timeit(50)
    assert found.number_per_run == 50 and found.median == pytest.approx(0.001, rel=1e-3)
    assert "1.00 ms" in repr(found) and "1 measurement, 50 runs , 1 thread" in repr(found)


def test_blocks_run_for_long_enough() -> None:
    clock = Clock()
    told: list[tuple[int, float]] = []
    timer = Timer("clock.spend(1e-6)", globals={"clock": clock}, timer=clock, label="spending")
    found = timer.blocked_autorange(lambda number, seconds: told.append((number, seconds)), min_run_time=0.01)
    assert sum(found.raw_times) >= 0.01 and found.median == pytest.approx(1e-6, rel=0.01)
    assert [seconds for _, seconds in told] == found.raw_times
    assert {number for number, _ in told} == {found.number_per_run}
    assert found.meets_confidence() and "IQR:" in repr(found) and not found.has_warnings


def test_it_goes_on_until_the_times_settle() -> None:
    clock = Clock()
    lengths = iter([1e-3, 5e-3, 1e-3, 4e-3, 1e-3, 1e-3, 1e-3, 1e-3, 1e-3, 1e-3, 1e-3, 1e-3, 1e-3, *[1e-3] * 100])
    timer = Timer("clock.spend(next(lengths))", globals={"clock": clock, "lengths": lengths}, timer=clock)
    found = timer.adaptive_autorange(threshold=0.05, min_run_time=0.004, max_run_time=1.0)
    assert len(found.times) > 4 and found.meets_confidence(0.05)


def test_threads_and_names() -> None:
    before = flambeau.get_num_threads()
    seen: list[int] = []
    Timer("seen.append(torch.get_num_threads())", globals={"seen": seen}, num_threads=2).timeit(3)
    assert set(seen) == {2} and flambeau.get_num_threads() == before
    with pytest.raises(ValueError, match="language 'c\\+\\+' cannot be timed"):
        Timer("x", language="c++")
    with pytest.raises(NotImplementedError):
        Timer("1").autorange()


def measurement(description: str, sub_label: str, times: list[float], threads: int = 1) -> Measurement:
    spec = TaskSpec("x + x", "", label="Sums", sub_label=sub_label, description=description, num_threads=threads)
    return Measurement(1, times, spec)


def test_the_comparison_has_rows_columns_and_threads() -> None:
    rows = [measurement(kind, f"n={n}", [n * factor * 1e-6] * 4, threads) for threads in (1, 2) for n in (1, 100)
            for kind, factor in (("add", 1), ("mul", 2))]
    lines = str(Compare(rows)).splitlines()
    assert [line.split("|")[0].strip() for line in lines[1:8]] == [
        "", lines[2], "n=1", "n=100", lines[5], "n=1", "n=100"]
    assert [cell.strip() for cell in lines[4].split("|")] == ["n=100", "100.0", "200.0"]
    assert lines[2].startswith("1 threads: ---") and lines[5].startswith("2 threads: ---")
    assert lines[0].strip("[-]") == " Sums " and {len(line) for line in lines[:8]} == {len(lines[0])}
    assert lines[-1] == "Times are in microseconds (us)."


def test_digits_that_mean_nothing_are_left_out() -> None:
    noisy = measurement("add", "n", [1.0e-6, 1.41e-6, 1.19e-6, 1.62e-6, 1.27e-6])
    assert noisy.significant_figures == 1 and noisy.has_warnings
    table = Compare([noisy])
    table.trim_significant_figures()
    assert "|  1 (!)" in str(table)
    table.colorize()
    assert "\033[92m" in str(table)


def test_equal_tasks_are_merged(capsys: Any) -> None:
    merged = Measurement.merge([measurement("add", "n", [1.0]), measurement("add", "n", [3.0]),
                                measurement("mul", "n", [2.0])])
    assert [each.times for each in merged] == [[1.0, 3.0], [2.0]]
    table = Compare(merged[:1])
    table.extend_results(merged[1:])
    table.print()
    assert "mul" in capsys.readouterr().out


@pytest.mark.parametrize("seconds, unit", [(3e-9, "ns"), (2e-5, "us"), (0.5, "ms"), (12.0, "s")])
def test_units_are_pytorchs(seconds: float, unit: str) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is the oracle")
    from torch.utils.benchmark import select_unit, trim_sigfig, unit_to_english
    del torch
    assert benchmark.select_unit(seconds) == select_unit(seconds) and benchmark.select_unit(seconds)[0] == unit
    assert benchmark.unit_to_english(unit) == unit_to_english(unit)
    assert benchmark.trim_sigfig(seconds * 1.2345, 2) == pytest.approx(trim_sigfig(seconds * 1.2345, 2))
