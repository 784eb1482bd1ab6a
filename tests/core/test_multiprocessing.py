"""Processes: the standard module's names, tensors through queues, and `spawn`, whose processes fail together."""

from __future__ import annotations

import math
import os
import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import flambeau
from flambeau import multiprocessing as mp, nn


def test_the_names_are_pytorchs(oracle):
    theirs = oracle.multiprocessing
    wanted = {*theirs.__all__, "spawn", "start_processes", "ProcessContext", "SpawnContext", "ProcessExitedException",
              "ProcessRaisedException", "ENV_VAR_PARALLEL_START", "init_reductions", "reductions"}
    assert [name for name in sorted(wanted) if not hasattr(mp, name)] == []
    assert mp.get_all_sharing_strategies() == theirs.get_all_sharing_strategies()
    with pytest.raises(AssertionError, match="invalid sharing strategy"):
        mp.set_sharing_strategy("telepathy")
    assert flambeau.multiprocessing is mp


def put(queue: Any) -> None:
    big = flambeau.arange(100_000.)
    queue.put([big[10:13], nn.Parameter(flambeau.ones(2)), {"flags": flambeau.tensor([True])}, big.bfloat16()])


def test_tensors_go_through_queues():
    context = mp.get_context("fork")
    queue = context.Queue()
    process = context.Process(target=put, args=(queue,))
    process.start()
    row, parameter, rest, brain = queue.get(timeout=30)
    process.join()
    assert row.tolist() == [10, 11, 12] and row.untyped_storage().nbytes() == 12
    assert isinstance(parameter, nn.Parameter) and parameter.requires_grad and parameter.tolist() == [1, 1]
    assert rest["flags"].tolist() == [True] and brain.dtype is flambeau.bfloat16 and len(brain) == 100_000
    with pytest.raises(RuntimeError, match="non-leaf"):
        mp.reductions.reduce_tensor(parameter * 2)


def record(index: int, folder: str) -> None:
    (Path(folder) / str(index)).write_text(str(os.getpid()))


def fail_if_first(index: int, folder: str) -> None:
    record(index, folder)
    if index == 0:
        raise ValueError("the first one fails")
    time.sleep(100)


def test_all_run_and_all_are_joined(tmp_path: Path):
    assert mp.start_processes(record, (str(tmp_path),), 2, start_method="fork") is None
    assert sorted(os.listdir(tmp_path)) == ["0", "1"]
    context = mp.start_processes(time.sleep, nprocs=2, join=False, start_method="fork")  # 0 and 1 seconds
    assert len(context.pids()) == 2 and not context.join(timeout=0.01)
    while not context.join():
        pass
    assert context.join()


def test_one_that_raises_stops_the_others(tmp_path: Path):
    begin = time.monotonic()
    text = r"(?s)-- Process 0 terminated.*Traceback.*the first one fails"
    with pytest.raises(mp.ProcessRaisedException, match=text) as caught:
        mp.start_processes(fail_if_first, (str(tmp_path),), 3, start_method="fork")
    assert time.monotonic() - begin < 20
    assert caught.value.error_index == 0
    assert str(caught.value.error_pid) == (tmp_path / "0").read_text()
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)
    for file in tmp_path.iterdir():
        with pytest.raises(ProcessLookupError):
            os.kill(int(file.read_text()), 0)


def test_fresh_processes_and_how_they_end():
    with pytest.raises(mp.ProcessExitedException, match="process 1 terminated with exit code 1") as caught:
        mp.spawn(os._exit, nprocs=2)
    assert caught.value.exit_code == 1 and caught.value.signal_name is None
    with pytest.raises(mp.ProcessRaisedException, match="math domain error"):
        mp.spawn(math.pow, (-1,))
    context = mp.start_processes(time.sleep, (), 1, join=False, start_method="fork")
    assert context.join() or context.join()
    context = mp.start_processes(_sleep, (), 2, join=False, start_method="fork")
    os.kill(context.pids()[1], signal.SIGKILL)
    with pytest.raises(mp.ProcessExitedException, match="process 1 terminated with signal SIGKILL") as caught:
        context.join()
    assert caught.value.signal_name == "SIGKILL" and caught.value.exit_code == -9
    with pytest.warns(UserWarning, match="renamed"):
        mp.SpawnContext([], [])


def _sleep(index: int) -> None:
    time.sleep(100)


PROGRAM = r"""
import os, sys, time
from flambeau import multiprocessing as mp

def work(index):
    sys.stdout.write(f"{os.getpid()}\n")    # in one piece, unlike print's, also where output is not buffered
    sys.stdout.flush()
    time.sleep(100)

mp.start_processes(work, nprocs=2, start_method="fork")
"""


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for processes in /proc")
def test_processes_end_with_a_parent_that_was_killed():
    process = subprocess.Popen([sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    with process:
        pids = [int(process.stdout.readline()) for _ in range(2)]
        process.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 10
    while any(_alive(pid) for pid in pids):
        assert time.monotonic() < deadline, "a process was left behind"
        time.sleep(0.05)


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def train(index: int, model: Any, more: Any) -> None:
    optimizer = flambeau.optim.SGD(model.parameters(), lr=0.5, momentum=0.9)
    for _ in range(2):
        optimizer.zero_grad()
        model(flambeau.ones(1, 3)).sum().backward()
        optimizer.step()
    more[index] = 7


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_processes_train_a_shared_module(method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    import test_multiprocessing as importable  # fresh processes find the function by this name

    model, more = nn.Linear(3, 2), flambeau.zeros(3)
    tied = nn.Sequential(model, nn.Linear(2, 3))
    tied[1].bias = tied[0].weight  # type: ignore[assignment]
    assert not more.is_shared()
    assert tied.share_memory() is tied and more.share_memory_() is more
    assert more.is_shared() and model.weight.is_shared() and tied[1].bias is model.weight and more[1:].is_shared()
    before = model.weight.tolist()
    mp.start_processes(importable.train, (model, more), 1, start_method=method)
    assert more.tolist() == [7, 0, 0]
    expected = [[each - 0.5 - 0.95 for each in row] for row in before]
    assert flambeau.allclose(model.weight, flambeau.tensor(expected), atol=1e-5)


def test_shared_memory_is_given_back():
    def descriptors() -> int:
        return len(os.listdir("/proc/self/fd"))

    if not Path("/proc/self/fd").exists():
        pytest.skip("counts descriptors in /proc")
    before = descriptors()
    x = flambeau.ones(1000).share_memory_()
    view = x[3:]
    assert descriptors() > before
    del x
    assert view.tolist() == [1] * 997 and view.is_shared()
    del view
    assert descriptors() == before
    assert not flambeau.zeros(0).share_memory_().is_shared()
    with pytest.raises(RuntimeError, match="history"):
        (flambeau.ones(2, requires_grad=True) * 2).share_memory_()
