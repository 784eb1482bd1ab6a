"""Workers that are killed: an error that says so, soon, and no process left, whatever the worker was doing.

The number of rounds is small here; FLAMBEAU_KILL_ROUNDS asks for more.
"""

from __future__ import annotations

import os
import random
import signal
import threading
import time
import warnings
from pathlib import Path
from typing import Any

import pytest

import flambeau
from flambeau.utils import data
from flambeau.utils.data import workers

ROUNDS = int(os.environ.get("FLAMBEAU_KILL_ROUNDS", "3"))

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for processes in /proc")


class Rows(data.Dataset):  # type: ignore[type-arg]
    """Rows whose batches pass the pipe whole (small) or in shared memory (large); made as quickly as possible, so
    that a worker is nearly always writing, or waiting for the other side to read."""

    def __init__(self, elements: int, forks: bool = False) -> None:
        self.row = flambeau.ones(elements)
        self.forks = forks

    def __len__(self) -> int:
        return 1_000_000

    def __getitem__(self, index: int) -> Any:
        if self.forks:
            self.forks = False
            child = os.fork()
            if not child:
                time.sleep(20)  # a process of the dataset's own, which outlives the worker
                os._exit(0)
            (Path(os.environ["FLAMBEAU_CHILDREN"]) / str(child)).touch()
        return self.row


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def exhaust(batches: Any) -> None:
    for batch in batches:
        assert batch[0, 0] == 1


def kill_one(dataset: Any, batch_size: int, after: float) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # how many workers fit this machine is not the subject
        loader = data.DataLoader(dataset, batch_size=batch_size, num_workers=4)
    iterator = iter(loader)
    assert isinstance(iterator, workers.WorkerIterator)
    pids = [process.pid for process in iterator._processes]
    victim = random.choice(pids)
    killed: list[float] = []

    def kill() -> None:
        os.kill(victim, signal.SIGKILL)
        killed.append(time.monotonic())

    timer = threading.Timer(after, kill)
    timer.start()
    with pytest.raises(RuntimeError, match=rf"pid\(s\) {victim}\) exited unexpectedly"):
        exhaust(iterator)
    timer.join()
    assert time.monotonic() - killed[0] < 5
    assert not any(alive(pid) for pid in pids)


@pytest.mark.parametrize("elements, batch_size", [(10, 2), (100_000, 4), (700_000, 4)],
                         ids=["small", "through the pipe", "in shared memory"])
def test_a_killed_worker_is_reported_and_none_is_left(elements: int, batch_size: int) -> None:
    dataset = Rows(elements)
    for _ in range(ROUNDS):
        kill_one(dataset, batch_size, random.uniform(0, 0.3))


def test_a_process_that_the_dataset_started_does_not_hide_the_death(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLAMBEAU_CHILDREN", str(tmp_path))
    try:
        kill_one(Rows(10, forks=True), 2, 0.3)
    finally:
        for child in tmp_path.iterdir():
            os.kill(int(child.name), signal.SIGKILL)


def test_many_large_batches_can_be_kept() -> None:
    loader = data.DataLoader(data.Subset(Rows(1_100_000), range(3)), batch_size=1, num_workers=1)
    from flambeau.utils.data import transport

    before = transport.MOST_MAPPED
    transport.MOST_MAPPED = 1
    try:
        kept = list(loader)
    finally:
        transport.MOST_MAPPED = before
    assert [float(batch.sum()) for batch in kept] == [1_100_000.0] * 3
    kept[0].zero_()
    assert float(kept[1].sum()) == 1_100_000.0
