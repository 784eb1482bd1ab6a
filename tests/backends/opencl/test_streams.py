"""Streams on OpenCL devices: lanes beside one another, events between them, memory that goes from one to the other."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable

import numpy as np
import pytest

import flambeau
from flambeau import discovery

pytest.importorskip("pyopencl", reason="pyopencl is not installed: pip install 'flambeau[opencl]'")
import pyopencl as cl

from flambeau_clike.lanes import LANES, Stream
from flambeau_opencl.device import Device


@pytest.fixture
def api(opencl):
    return flambeau.get_device_module(opencl)


@pytest.fixture
def device(opencl):
    return discovery.backend_for(opencl)._devices[0]


def together(*works: Callable[[], None]) -> None:
    """Run each in a thread of its own; raises what the first raised."""
    errors: list[BaseException] = []

    def run(work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - raised below
            errors.append(error)
    threads = [threading.Thread(target=run, args=(work,)) for work in works]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    if errors:
        raise errors[0]


def test_the_current_stream_is_the_threads_own(opencl, api, device):
    stream = api.Stream()
    seen = []
    with stream:
        assert device.lane is stream._queue.lane is not device.default
        together(lambda: seen.append(device.lane))
        assert (flambeau.ones(3, device=opencl) + 1).tolist() == [2, 2, 2]
    assert device.lane is device.default
    assert seen == [device.default]


def test_two_threads_on_two_queues(opencl, api):
    """A thousand rounds of allocating, computing and reading in two threads beside one another."""
    def work(number: int) -> Callable[[], None]:
        def run() -> None:
            with api.Stream():
                for turn in range(1000):
                    size = (10, 500, 2999)[turn % 3]
                    x = flambeau.full((size,), float(number + turn), device=opencl)
                    y = (x + 1) * 2
                    del x
                    y = y - 3
                    if turn % 10 == 9:
                        found = y.cpu().numpy()
                        assert found.shape == (size,)
                        assert (found == (number + turn + 1) * 2 - 3).all(), f"round {turn} of thread {number}"
        return run
    together(work(0), work(5000))


def test_an_event_orders_two_streams(opencl, api, device):
    """What waits for an event reads what was written before it, however late that runs."""
    first, second, gate = api.Stream(), api.Stream(), cl.UserEvent(device.context)
    x = flambeau.zeros(1000, device=opencl)
    api.synchronize()
    with first:
        first._queue.lane.after([gate])
        x.add_(5)
        written = first.record_event()
    second.wait_event(written)
    with second:
        y = x * 2
        read = second.record_event()
    assert not written.query()
    assert not read.query()
    gate.set_status(cl.command_execution_status.COMPLETE)
    read.synchronize()
    assert written.query()
    assert (y.cpu().numpy() == 10).all()


def test_what_is_read_has_been_waited_for_on_all_lanes(opencl, api, device):
    stream, gate = api.Stream(), cl.UserEvent(device.context)
    x = flambeau.zeros(1000, device=opencl)
    api.synchronize()
    with stream:
        stream._queue.lane.after([gate])
        x.add_(5)
    threading.Timer(0.05, gate.set_status, (cl.command_execution_status.COMPLETE,)).start()
    assert (x.cpu().numpy() == 5).all()      # on another lane than that which writes


def test_memory_that_another_stream_uses_is_not_given_away(opencl, api, device):
    stream, gate = api.Stream(), cl.UserEvent(device.context)
    x = flambeau.full((1000,), 7.0, device=opencl)
    api.synchronize()
    stream._queue.lane.after([gate])
    with stream:
        y = x + 1       # has not run when x dies
    buffer = x._array.memory.buffer
    del x
    others = [flambeau.full((1000,), -1.0, device=opencl) for _ in range(10)]
    assert all(each._array.memory.buffer is not buffer for each in others)
    gate.set_status(cl.command_execution_status.COMPLETE)
    stream.synchronize()
    assert (y.cpu().numpy() == 8).all()


def test_record_stream(opencl, api, device):
    stream = api.Stream()
    x = flambeau.ones(10, device=opencl)
    x.record_stream(stream)
    assert x._array.memory.users == {stream._queue.lane}
    x.record_stream(api.current_stream())
    assert x._array.memory.users == {stream._queue.lane}


def test_the_time_between_events(opencl, api):
    start, end = api.Event(enable_timing=True), api.Event(enable_timing=True)
    x = flambeau.ones(1000, device=opencl)
    start.record()
    for _ in range(20):
        x = x * 1.5
    end.record()
    end.synchronize()
    assert 0 < start.elapsed_time(end) < 60_000


def test_synchronize_waits_for_all_streams(opencl, api, device):
    stream, gate = api.Stream(), cl.UserEvent(device.context)
    stream._queue.lane.after([gate])
    event = stream.record_event()
    threading.Timer(0.05, gate.set_status, (cl.command_execution_status.COMPLETE,)).start()
    api.synchronize()
    assert event.query()
    assert stream.query()


def test_many_streams_share_few_queues(opencl, api):
    streams = [api.Stream() for _ in range(3 * LANES)]
    assert len({each._queue.lane for each in streams}) <= LANES
    assert len(set(streams)) == 3 * LANES
    for number, each in enumerate(streams):
        with each:
            assert (flambeau.ones(2, device=opencl) * number).tolist() == [number, number]


def test_a_queue_of_another_library(opencl, api, device):
    queue = cl.CommandQueue(device.context)
    for native in (queue, queue.int_ptr):
        stream = discovery.backend_for(opencl).new_queue(0, 0, native)
        assert isinstance(stream, Stream)
        assert stream.native == queue.int_ptr
    with pytest.raises(RuntimeError, match="no command queue"):
        discovery.backend_for(opencl).new_queue(0, 0, "x")


def test_gradients_on_a_stream(opencl, api):
    with api.Stream():
        x = flambeau.arange(5.0, device=opencl).requires_grad_()
        (x * x).backward(flambeau.ones(5, device=opencl))
        np.testing.assert_allclose(x.grad.cpu().numpy(), 2 * np.arange(5))
    gc.collect()


def test_a_stream_waits_for_an_event_of_another_device(opencl, api, device):
    """Another context cannot know it: the host waits."""
    backend = discovery.backend_for(opencl)
    other = Device(device.handle, "opencl:other")
    event = Stream(backend, 0, device.default).record(False)
    stream = Stream(backend, 0, other.default)
    stream.wait(event)
    assert event.query()
    stream.synchronize()


def test_nothing_is_left_after_synchronize(opencl, api):
    x = flambeau.ones(1000, device=opencl)
    for stream in (api.current_stream(), api.Stream()):
        with stream:
            for _ in range(50):
                x + 1
                stream.synchronize()
                assert stream.query()
