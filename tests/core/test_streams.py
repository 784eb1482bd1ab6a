"""Streams and events as programs use them: on the host, where nothing waits, and on a device that can tell."""

from __future__ import annotations

import pickle
import threading
from collections.abc import Iterator

import pytest

import flambeau
from flambeau import discovery, streams
from flambeau.queues import Queue

reference = pytest.importorskip("flambeau_reference", reason="the fake devices are a plugin of their own")
NAME = "reference_streams"


@pytest.fixture
def device() -> Iterator[str]:
    before = discovery._offers().get(NAME)
    discovery.unregister_backend(NAME)
    discovery.register_backend(reference.StreamsBackend)
    yield NAME
    discovery.unregister_backend(NAME)
    if before is not None:
        discovery._offers()[NAME] = before


@pytest.mark.parametrize("where", ["cpu", "reference", "reference:1", "reference_async"])
def test_streams_work_where_there_is_one_queue(where):
    stream, event = flambeau.Stream(where), flambeau.Event(where, enable_timing=True)
    assert event.query()
    event.synchronize()
    with stream as entered:
        assert entered is stream
        x = flambeau.ones(2, device=where) + 1
        event.record()
    stream.wait_event(event)
    stream.wait_stream(flambeau.Stream(where))
    other = flambeau.Event(where, enable_timing=True)
    assert stream.record_event(other) is other
    assert event.elapsed_time(other) >= 0
    assert stream.query() and event.query()
    x.record_stream(stream)
    stream.synchronize()
    assert x.tolist() == [2, 2]
    assert event.device == stream.device == x.device
    assert not stream.is_capturing()


def test_a_stream_is_a_value():
    one, other = flambeau.Stream("cpu"), flambeau.Stream("cpu", priority=-1)
    assert one == one and one != other and hash(one) == hash(one) and one != 1
    assert (one.device.type, one.device_index, one.priority, other.priority) == ("cpu", -1, 0, -1)
    assert one.stream_id != other.stream_id
    assert repr(one) == f"<torch.Stream device=cpu stream_id={one.stream_id}>"
    assert repr(flambeau.reference.Event()) == "<torch.reference.Event device=reference:0 event_id=0>"


def test_the_current_stream_belongs_to_a_thread_and_a_device(device):
    space = flambeau.get_device_module(device)
    first, second = space.Stream(), space.Stream(1)
    assert space.current_stream() == space.default_stream() != first
    assert space.current_stream().stream_id == 0
    with first:
        with space.stream(second):
            assert space.current_device() == 1
            assert space.current_stream() == second and space.current_stream(0) == first
            found = []
            thread = threading.Thread(target=lambda: found.append((space.current_device(), space.current_stream(1))))
            thread.start()
            thread.join()
            assert found == [(0, space.default_stream(1))]
        assert space.current_device() == 0 and space.current_stream() == first
    assert space.current_stream() == space.default_stream()
    space.set_stream(second)
    assert space.current_device() == 1 and space.current_stream() == second
    space.set_stream(space.default_stream(0))
    assert space.current_device() == 0 and space.current_stream(1) == second
    space.set_stream(None)
    streams.use(streams.default_queue(discovery.resolve(flambeau.device(device, 1))))


def test_classes_of_a_namespace(device):
    space = flambeau.get_device_module(device)
    stream = space.Stream(device=f"{device}:1", priority=-2)
    assert type(stream) is space.Stream and issubclass(space.Stream, flambeau.Stream)
    assert (str(stream.device), stream.priority) == (f"{device}:1", -2)
    assert type(space.current_stream()) is space.Stream
    assert type(stream.record_event()) is space.Event and issubclass(space.Event, flambeau.Event)
    assert stream.reference_streams_stream == stream.native_handle == 0
    assert space.Stream is not flambeau.cuda.Stream
    assert (flambeau.cuda.Stream.__module__, flambeau.cuda.Stream.__qualname__) == ("flambeau.cuda", "Stream")
    assert pickle.loads(pickle.dumps(flambeau.cuda.Stream)) is flambeau.cuda.Stream
    with pytest.raises(RuntimeError, match=device):
        space.Stream("reference")
    with pytest.raises(NotImplementedError, match="another library"):
        space.ExternalStream(1234)


def test_streams_of_a_device_that_is_not_there():
    if flambeau.cuda.is_available():
        pytest.skip("there is such a device here")
    for make in (flambeau.cuda.Stream, flambeau.cuda.Event, lambda: flambeau.cuda.ExternalStream(1),
                 lambda: flambeau.Stream("cuda"), lambda: flambeau.Event("cuda:1"), flambeau.cuda.current_stream,
                 flambeau.mps.Event):
        with pytest.raises(RuntimeError, match=r"cuda|mps"):
            make()
    with flambeau.cuda.stream(None):
        assert not flambeau.cuda.is_available()


def test_what_is_not_ordered_goes_wrong_and_what_is_does_not(device):
    """The fake device itself: nonsense without a wait, and the right numbers after each kind of wait."""
    space = flambeau.get_device_module(device)
    stream = space.Stream()
    x = flambeau.arange(3., device=device)
    with stream:
        assert str((x * 2).tolist()) == "[nan, nan, nan]"
        stream.wait_stream(space.default_stream())
        y = x * 2
        event = stream.record_event()
    assert str(y.tolist()) == "[nan, nan, nan]"
    assert (event.query(), event.query()) == (False, True)
    assert y.tolist() == [0, 2, 4]
    with stream:
        z = x * 3
    event.record(stream)
    event.wait()
    assert (z + 1).tolist() == [1, 4, 7]


def test_memory_is_kept_for_a_stream_that_uses_it(device):
    stream = flambeau.Stream(device)
    for kept in (False, True):
        x = flambeau.arange(3., device=device)
        stream.wait_stream(flambeau.get_device_module(device).current_stream())
        with stream:
            y = x * 2
        if kept:
            x.record_stream(stream)
        del x
        flambeau.full((3,), 7., device=device)
        with stream:
            assert y.tolist() == [0, 2, 4] if kept else str(y.tolist()) == "[nan, nan, nan]"


def test_refusals():
    x = flambeau.ones(1)
    with pytest.raises(RuntimeError, match="record_stream: expected a stream"):
        x.record_stream(3)
    with pytest.raises(RuntimeError, match="another type of device"):
        x.record_stream(flambeau.Stream("reference"))
    timed, plain = flambeau.Event("cpu", enable_timing=True), flambeau.Event("cpu")
    with pytest.raises(ValueError, match="recorded"):
        timed.elapsed_time(timed)
    plain.record()
    with pytest.raises(ValueError, match="enable_timing"):
        plain.elapsed_time(timed)
    with pytest.raises(TypeError, match="Event"):
        timed.elapsed_time(3)
    with pytest.raises(RuntimeError, match="another type of device"):
        plain.record(flambeau.Stream("reference"))


def test_time_between_events_that_have_not_happened(device):
    start, end = (flambeau.Event(device, enable_timing=True) for _ in range(2))
    start.record()
    flambeau.ones(2, device=device)
    end.record()
    with pytest.raises(RuntimeError, match="completed"):
        start.elapsed_time(end)
    end.synchronize()
    assert start.elapsed_time(end) >= 0


def test_a_marker_of_another_backend_is_waited_for(device):
    stream, event = flambeau.Stream(device), flambeau.Event("cpu")
    event.record()
    stream.wait_event(event)
    with stream:
        assert flambeau.ones(1, device=device).item() == 1


def test_streams_of_a_backend_that_is_offered_again(device):
    stream = flambeau.Stream(device)
    streams.use(stream._queue)
    discovery.unregister_backend(device)
    discovery.register_backend(reference.StreamsBackend)
    assert flambeau.get_device_module(device).current_stream().stream_id == 0
    assert (flambeau.ones(2, device=device) + 1).tolist() == [2, 2]


def test_a_host_queue_is_its_own_default():
    where = flambeau.device("cpu")
    assert type(streams.default_queue(where)) is Queue
    assert streams.default_queue(where) is streams.current_queue(where)
