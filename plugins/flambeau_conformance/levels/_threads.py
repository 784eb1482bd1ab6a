"""Threads that start together and are switched between often, so that a race shows in a few rounds."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Callable, Iterator

THREADS = 3
PATIENCE = 30.0   # seconds that a thread may take before it counts as hanging


@contextlib.contextmanager
def _switching() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


def together(work: Callable[[int], None], count: int = THREADS) -> None:
    """Run `work(number)` in several threads that start at the same moment; raises what the first of them raised."""
    gate = threading.Barrier(count)
    errors: list[tuple[int, BaseException]] = []

    def run(number: int) -> None:
        try:
            gate.wait(PATIENCE)
            work(number)
        except Exception as error:  # noqa: BLE001 - carried over to the thread that waits
            errors.append((number, error))
    threads = [threading.Thread(target=run, args=(number,), daemon=True) for number in range(count)]
    with _switching():
        for each in threads:
            each.start()
        for each in threads:
            each.join(PATIENCE)
    assert not any(each.is_alive() for each in threads), f"a thread has not come back after {PATIENCE} seconds"
    if errors:
        number, error = min(errors, key=lambda each: each[0])
        raise AssertionError(f"thread {number}: {type(error).__name__}: {error}") from error
