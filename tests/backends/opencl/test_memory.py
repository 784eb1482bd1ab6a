"""The caching allocator: blocks are used again, but never too early; nothing grows; no room is an error with sizes."""

from __future__ import annotations

import gc
import itertools
import sys
import threading
from collections import deque

import numpy as np
import pytest

import flambeau
from flambeau import discovery
from flambeau.errors import ArgumentValueError, OutOfMemoryError

pytest.importorskip("pyopencl", reason="pyopencl is not installed: pip install 'flambeau[opencl]'")
import pyopencl as cl

from flambeau_clike import memory
from flambeau_clike.array import Array
from flambeau_clike.device import memory_limit
from flambeau_opencl.device import LIMIT, Device


@pytest.fixture
def device(opencl) -> Device:
    """A device of its own for each test: its own context, statistics and limit."""
    shared = discovery.backend_for(opencl)._devices[0]
    return Device(shared.handle, "opencl:test")


def array(device: Device, size: int) -> Array:
    return Array(device.allocate(size), flambeau.uint8, (size,))


def test_threads_that_take_and_give_back_at_once(device):
    """Whoever gets a block is its only owner, and nothing that destructors leave is missed by two threads."""
    errors: list[BaseException] = []

    def work(number: int) -> None:
        held = deque(maxlen=3)
        try:
            for turn in range(3000):
                held.append(device.allocate((500, 700, 5000)[(number + turn) % 3]))
                if turn % 50 == number:
                    device.allocator.stats()
        except BaseException as error:  # noqa: BLE001 - told below
            errors.append(error)
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
    finally:
        sys.setswitchinterval(before)
    assert errors == []
    assert device.allocator.stats()["allocated"] == 0


# ---------------------------------------------------------------------------------------------- blocks used again
def test_a_block_is_used_again_at_once_in_its_lane(device):
    first = device.allocate(5000)
    buffer = first.buffer
    del first
    second = device.allocate(5100)
    assert second.buffer is buffer
    assert device.allocator.stats()["driver_allocations"] == 1


def test_a_block_of_the_next_size_will_do(device):
    first = device.allocate(9 << 20)
    buffer = first.buffer
    del first
    assert device.allocate((8 << 20) + 1).buffer is buffer
    assert device.allocate(100).buffer is not buffer


def test_another_lane_gets_another_block(device):
    first = device.allocate(5000)
    buffer = first.buffer
    del first
    device.choose(device.new_lane())
    assert device.allocate(5000).buffer is not buffer


def test_a_block_that_another_lane_used_waits_for_it(device):
    lane, gate = device.new_lane(), cl.UserEvent(device.context)
    lane.after([gate])      # it has something to do until the gate opens
    first = device.allocate(5000)
    buffer = first.buffer
    first.use(lane)
    del first
    second = device.allocate(5000)
    assert second.buffer is not buffer
    assert device.allocator.stats()["allocated"] == memory.size_class(5000)
    gate.set_status(cl.command_execution_status.COMPLETE)
    lane.finish()
    assert device.allocate(5000).buffer is buffer


def test_size_classes():
    sizes = sorted({memory.size_class(size) for size in range(1, 1 << 16, 7)})
    assert sizes[0] == 512
    for size in range(1, 1 << 16, 7):
        reserved = memory.size_class(size)
        assert reserved >= size
        assert reserved == memory.size_class(reserved)
        assert reserved <= max(512, size + max(512, size // 8 + 1))
    assert all(after - before >= 512 for before, after in itertools.pairwise(sizes))


# ---------------------------------------------------------------------------------------------- counts
def test_statistics(device):
    empty = device.allocator.stats()
    assert empty["allocated"] == empty["reserved"] == empty["peak"] == 0
    a, b = device.allocate(1024), device.allocate(4096)
    both = device.allocator.stats()
    assert both["allocated"] == both["peak"] == both["reserved"] == 5120
    del a
    one = device.allocator.stats()
    assert (one["allocated"], one["peak"], one["reserved"], one["cached"]) == (4096, 5120, 5120, 1024)
    device.allocator.reset_peaks()
    assert device.allocator.stats()["peak"] == 4096
    device.allocator.release()
    assert device.allocator.stats()["reserved"] == 4096
    assert b.size == 4096


def test_changing_batch_sizes_leave_memory_where_it_was(device):
    """What ten thousand training steps do to the allocator, without the arithmetic."""
    rng = np.random.default_rng(0)
    weights = [device.allocate(100_000) for _ in range(4)]
    before = device.allocator.stats()["allocated"]
    reserved = []
    for step in range(10_000):
        batch = int(rng.integers(1, 300))
        kept = [device.allocate(batch * width) for width in (784 * 4, 400, 400, 40, 40, 4)]
        gradients = [device.allocate(100_000) for _ in range(4)]
        del kept, gradients
        if step % 1000 == 999:
            reserved.append(device.allocator.stats()["reserved"])
    stats = device.allocator.stats()
    assert stats["allocated"] == before
    assert max(reserved) <= 2 * reserved[0]
    assert stats["driver_allocations"] < 2000
    assert len(weights) == 4


def test_unused_blocks_go_when_the_program_needs_other_sizes(device, monkeypatch):
    monkeypatch.setattr(memory, "IDLE", 1 << 20)
    for size in range(1 << 20, 9 << 20, 1 << 18):
        device.allocate(size)
    assert device.allocator.stats()["reserved"] <= 2 * (9 << 20)


def test_training_steps_leave_nothing(opencl):
    model = flambeau.nn.Linear(6, 3).to(opencl)
    optimizer = flambeau.optim.SGD(model.parameters(), lr=0.1)
    backend = discovery.backend_for(opencl)

    def step(batch: int) -> None:
        optimizer.zero_grad()
        model(flambeau.ones(batch, 6, device=opencl)).square().mean().backward()
        optimizer.step()
    step(5)
    gc.collect()
    before = backend.memory_stats(0)["allocated"]
    for number in range(100):
        step(1 + number % 17)
    gc.collect()
    assert backend.memory_stats(0)["allocated"] == before


# ---------------------------------------------------------------------------------------------- no room
def test_more_than_there_is(device):
    huge = device.total_memory + 1
    with pytest.raises(OutOfMemoryError, match=r"tried to allocate.*in use by tensors.*in one piece") as caught:
        device.allocate(huge)
    assert memory.amount(memory.size_class(huge)) in str(caught.value)
    assert device.allocate(1000).size == 1000
    assert device.allocator.stats()["out_of_memory"] == 1


@pytest.mark.parametrize("size", [1 << 62, 1 << 70])
def test_more_than_can_be_said(device, size):
    with pytest.raises(OutOfMemoryError):
        device.allocate(size)


def test_the_limit(device):
    device.allocator.limit = 10 << 20
    kept = [device.allocate(4 << 20), device.allocate(4 << 20)]
    with pytest.raises(OutOfMemoryError, match=r"8\.00 MiB in use by tensors"):
        device.allocate(4 << 20)
    kept.pop()
    assert device.allocate(6 << 20).size == 6 << 20     # another size: the unused block was given back first
    assert device.allocator.stats()["reserved"] <= 10 << 20


def test_what_is_held_in_a_cycle_is_found_before_it_is_an_error(device):
    device.allocator.limit = 10 << 20
    holder: list[object] = [device.allocate(8 << 20)]
    holder.append(holder)
    del holder
    assert device.allocate(8 << 20).size == 8 << 20


def test_what_other_lanes_use_is_waited_for_before_it_is_an_error(device):
    lane = device.new_lane()
    device.allocator.limit = 10 << 20
    first = device.allocate(8 << 20)
    first.use(lane)
    del first
    assert device.allocate(8 << 20).size == 8 << 20


@pytest.mark.parametrize(("text", "limit"), [
    ("", 1000), ("100", 100), ("0.25", 250), ("5000", 1000), ("1g", 1000), ("0.5mib", 1000)])
def test_the_limit_from_the_environment(monkeypatch, text, limit):
    monkeypatch.setenv(LIMIT, text)
    assert memory_limit(LIMIT, 1000) == limit
    monkeypatch.setenv(LIMIT, "2MiB")
    assert memory_limit(LIMIT, 1 << 40) == 2 << 20


@pytest.mark.parametrize("text", ["much", "-1", "0", "1tib"])
def test_a_limit_that_is_none(monkeypatch, text):
    monkeypatch.setenv(LIMIT, text)
    with pytest.raises(ArgumentValueError, match="FLAMBEAU_OPENCL_MEMORY_LIMIT"):
        memory_limit(LIMIT, 1000)


def test_the_core_sets_the_limit(opencl):
    api = flambeau.get_device_module(opencl)
    try:
        api.set_per_process_memory_fraction(1e-12)
        with pytest.raises(OutOfMemoryError):
            flambeau.empty(1 << 30, device=opencl)
    finally:
        api.set_per_process_memory_fraction(1.0)
    assert flambeau.zeros(3, device=opencl).tolist() == [0, 0, 0]


# ---------------------------------------------------------------------------------------------- destructors
def test_destructors_inside_the_lock(device):
    """An array may die while its thread, or another one, holds the allocator's lock."""
    kept = [device.allocate(600) for _ in range(10)]
    with device.allocator.lock:
        finished = threading.Event()

        def drop() -> None:
            kept.clear()
            finished.set()
        thread = threading.Thread(target=drop)
        thread.start()
        assert finished.wait(10), "a destructor waits for the allocator's lock"
        thread.join()
        del thread
    assert device.allocator.stats()["allocated"] == 0


def test_many_threads(device):
    errors = []

    def work(number: int) -> None:
        rng = np.random.default_rng(number)
        held: list[Array] = []
        try:
            for _ in range(500):
                held.append(array(device, int(rng.integers(1, 100_000))))
                if len(held) > 5:
                    held.pop(int(rng.integers(len(held))))
                buffers = [each.memory.buffer.int_ptr for each in held]
                assert len(set(buffers)) == len(buffers)
        except Exception as error:  # noqa: BLE001 - told below
            errors.append(error)
    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert not errors
    assert device.allocator.stats()["allocated"] == 0
