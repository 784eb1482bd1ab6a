"""Programs with streams and events, in PyTorch's words, whose results are right if the device keeps the order.

They run on every device: where there is one queue, all streams are that one and nothing can go wrong. Work is queued
in runs, without a look at the results, so that a device that computes while the program goes on has some to reorder.
Numbers are small integers: what is expected is exact, in whatever order it is computed.
"""

from __future__ import annotations

import queue
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

import flambeau
from flambeau_conformance.levels._shared import Host, check_equal, check_same, download, raises, upload
from flambeau_conformance.levels._threads import PATIENCE, together

if TYPE_CHECKING:
    from flambeau.tensor import Tensor
    from flambeau_conformance.engine import Context

SIZE = 4096      # elements of what is handed from stream to stream
ROUNDS = 1000    # of two threads on two streams
RUN = 8          # pieces of work between two looks at results
CHAIN = 20       # kernels before a result, so that whoever does not wait comes too early
POLLS = 2000000  # questions whether work is done, before it counts as never being done


def _module(context: Context) -> Any:
    return flambeau.get_device_module(context.device)


def _values(number: int) -> Host:
    return (np.arange(SIZE) % 61 + number % 97).astype(np.float32)


def _slowly(x: Tensor) -> Tensor:
    """The tensor plus 1, by a chain of kernels."""
    for _ in range(CHAIN):
        x = -x
    return x + 1 if CHAIN % 2 == 0 else 1 - x


def _soon(query: Callable[[], bool]) -> bool:
    """Whether an answer becomes True while the program does nothing but ask. Drivers may take a moment to find out."""
    return any(query() for _ in range(POLLS))


def _rounds(context: Context) -> int:
    """A device that only acts as one and has no streams shows in few rounds what it would show in many."""
    said = context.backend.capabilities
    return ROUNDS if said.streams or not said.simulated else ROUNDS // 20


# ---------------------------------------------------------------------------------------------- what is there
def _namespace(context: Context) -> None:
    """The namespace of the device type tells of it and has its streams."""
    module = _module(context)
    assert module.is_available(), "is_available() of a device that is in use"
    check_equal(module.device_count(), context.backend.device_count(), "device_count()")
    module.synchronize()
    with module.stream(None):
        x = flambeau.ones(3, device=context.device) + 1
    check_same(download(x), np.full(3, 2, np.float32), "a sum inside stream(None)")
    for make in (module.Stream, lambda: module.Stream(priority=-1), lambda: flambeau.Stream(context.device)):
        stream = make()
        assert isinstance(stream, flambeau.Stream), f"{stream!r} is no torch.Stream"
        check_equal(stream.device, context.device, "the device of a stream")
        check_equal(stream == make(), False, "equality of two streams")
    assert isinstance(module.Event(), flambeau.Event), "an event of the namespace is no torch.Event"


def _current(context: Context) -> None:
    """The current stream is the thread's own, and is again what it was after a block, also one that an error ended."""
    module = _module(context)
    first, second, own = module.Stream(), module.Stream(), module.default_stream()
    check_equal(module.current_stream(), own, "the current stream at first")

    def work(number: int) -> None:
        check_equal(module.current_stream(), own, "the current stream of a new thread")
        mine = (first, second)[number]
        for _ in range(20):
            with mine:
                check_equal(module.current_stream(), mine, "the current stream in a block")
    with first:
        together(work, 2)
        with module.stream(second), module.stream(None):
            check_equal(module.current_stream(), second, "the current stream in a block in a block")
        check_equal(module.current_stream(), first, "the current stream after the inner block")
        with flambeau.Stream(context.device) as third:
            check_equal(module.current_stream(), third, "the current stream in a block of a torch.Stream")
    with first:
        x = upload(context, _values(1))
        together(lambda number: module.set_stream(second), 1)   # in a thread that ends so
        check_same(download(x + 1), _values(1) + 1, "a sum while another thread has another stream")
    raises(KeyError, lambda: _fails(second), "an error in a block")
    check_equal(module.current_stream(), own, "the current stream after all blocks")
    module.set_stream(first)
    check_equal(module.current_stream(), first, "the current stream after set_stream()")
    module.set_stream(own)
    check_equal(module.current_stream(), own, "the current stream after set_stream() with the first one")


def _fails(stream: Any) -> None:
    with stream:
        raise KeyError("of this program")


def _refusals(context: Context) -> None:
    module = _module(context)
    x = upload(context, _values(0))
    raises(RuntimeError, lambda: x.record_stream(1), "record_stream() of no stream")
    timed, plain = module.Event(enable_timing=True), module.Event()
    raises(ValueError, lambda: timed.elapsed_time(timed), "the time between events that were not recorded")
    plain.record()
    timed.record()
    raises(ValueError, lambda: timed.elapsed_time(plain), "the time to an event without a clock")
    assert module.Event().query(), "an event that was never recorded is not done"
    module.Event().synchronize()
    module.Event().wait()
    check_same(download(x), _values(0), "a tensor after the errors")


# ---------------------------------------------------------------------------------------------- order
def _two(context: Context) -> None:
    """Work on another stream, which this one waits for."""
    module = _module(context)
    stream, values = module.Stream(), _values(1)
    x = upload(context, values)
    stream.wait_stream(module.current_stream())
    with module.stream(stream):
        y = _slowly(x) * 3
        event = module.Event()
        event.record(stream)
    event.wait()
    check_same(download(y + 1), (values + 1) * 3 + 1, "a sum of another stream's result")
    stream.synchronize()
    event.synchronize()
    assert event.query(), "an event that was waited for has not happened"
    assert _soon(stream.query), "a stream that was waited for has work left"


def _event_order(context: Context) -> None:
    """What a stream makes is read by another one after an event, in both directions, many times over."""
    module = _module(context)
    producer, consumer = module.Stream(), module.Stream()
    with producer:
        x = upload(context, _values(0))
    for number in range(50):
        with producer:
            x = _slowly(x)
            made = producer.record_event()
        with consumer:
            made.wait()
            y = x * 2
            x.record_stream(consumer)
            read = consumer.record_event()
        producer.wait_event(read)
        with producer:
            x.sub_(1)     # only after it has been read
            x = x + 1
        if number % RUN == 0:
            with consumer:
                check_same(download(y), (_values(0) + number + 1) * 2, f"what was read in round {number}")
    producer.synchronize()
    check_same(download(x), _values(0) + 50, "the tensor in the end")


def _diamond(context: Context) -> None:
    """Two streams work on what a third one made, and it goes on with both results."""
    module = _module(context)
    sides = [module.Stream() for _ in range(2)]
    main, values = module.current_stream(), _values(5)
    for number in range(20):
        x = _slowly(upload(context, values + number))
        parts = []
        for factor, side in enumerate(sides, 2):
            side.wait_stream(main)
            with side:
                parts.append(_slowly(x * factor))
                x.record_stream(side)
        for part, side in zip(parts, sides, strict=True):
            main.wait_stream(side)
            part.record_stream(main)
        total = parts[0] + parts[1]
        check_same(download(total), (values + number + 1) * 5 + 2, f"the sum in round {number}")


def _synchronize(context: Context) -> None:
    """Once the device, a stream or an event has been waited for, any stream reads what was made before."""
    module = _module(context)
    stream, values = module.Stream(), _values(3)
    ways: dict[str, Callable[[Any], None]] = {
        "synchronize()": lambda event: module.synchronize(),
        "stream.synchronize()": lambda event: stream.synchronize(),
        "event.synchronize()": lambda event: event.synchronize()}
    for what, wait in ways.items():
        with stream:
            x = _slowly(upload(context, values))
            event = stream.record_event()
        wait(event)
        check_same(download(x + 1), values + 2, f"a sum after {what}")
        assert event.query(), f"an event has not happened after {what}"


def _query(context: Context) -> None:
    """Work gets done while the program only asks whether it is."""
    module = _module(context)
    stream, values = module.Stream(), _values(2)
    for what in ("stream", "event"):
        with stream:
            x = _slowly(upload(context, values))
            event = stream.record_event()
        asked = (stream if what == "stream" else event).query
        assert _soon(asked), f"{what}.query() is False for ever"
        check_same(download(x + 1), values + 2, f"a sum after {what}.query() is True")
        module.synchronize()
        assert _soon(asked), f"{what}.query() is False after synchronize()"


def _elapsed(context: Context) -> None:
    """The time between two events is not negative, and not longer than the program took for all of it."""
    module = _module(context)
    x = upload(context, _values(2))
    module.synchronize()
    events = [module.Event(enable_timing=True) for _ in range(3)]
    began = time.perf_counter()
    events[0].record()
    x = _slowly(x)
    events[1].record()
    x = _slowly(x)
    events[2].record()
    events[2].synchronize()
    took = (time.perf_counter() - began) * 1000
    one, other = (events[at].elapsed_time(events[at + 1]) for at in (0, 1))
    whole = events[0].elapsed_time(events[2])
    assert isinstance(whole, float), f"elapsed_time() gives {whole!r}"
    assert one >= 0 and other >= 0, f"elapsed_time() gives {one} and {other} ms"
    assert abs(one + other - whole) <= 0.01 + whole / 100, f"{one} + {other} ms are not {whole} ms"
    assert whole <= took * 1.01 + 1, f"elapsed_time() gives {whole} ms of work that took {took} ms"
    events[0].record()
    events[0].synchronize()
    assert events[2].elapsed_time(events[0]) >= 0, "an event that is recorded again keeps its first time"


def _devices(context: Context) -> None:
    """A stream of another device of this type waits for an event, too."""
    module, values = _module(context), _values(4)
    index = context.device.index
    if index is None or module.device_count() < 2:
        return
    other = flambeau.Stream(flambeau.device(context.device.type, (index + 1) % module.device_count()))
    x = _slowly(upload(context, values))
    event = module.current_stream(index).record_event()
    other.wait_event(event)
    with other:
        there = flambeau.ones(SIZE, device=other.device) + 1
        moved = flambeau.empty(SIZE, device=other.device).copy_(x)
        check_same(download(there), np.full(SIZE, 2, np.float32), "a sum on the other device")
        check_same(download(moved), values + 1, "a copy on the other device")
    assert _soon(event.query), "the event has not happened"
    check_same(download(x), values + 1, "the tensor on the first device")


# ---------------------------------------------------------------------------------------------- memory
def _record_stream(context: Context) -> None:
    """Memory that is dropped while another stream still reads it is not used again before that is done."""
    module = _module(context)
    stream, results = module.Stream(), []
    for number in range(50):
        x = upload(context, _values(number))
        stream.wait_stream(module.current_stream())
        with stream:
            slow = _slowly(x)
            y = x * 2
        x.record_stream(stream)
        del x
        z = flambeau.full((SIZE,), -5.0, device=context.device)   # might get the memory that was dropped
        results.append((slow, y, z, number))
        if len(results) == RUN:
            _look(context, stream, results)


def _look(context: Context, stream: Any, results: list[tuple[Tensor, Tensor, Tensor, int]]) -> None:
    for slow, y, z, number in results:
        with stream:
            check_same(download(slow), _values(number) + 1, f"a chain in round {number}")
            check_same(download(y), _values(number) * 2, f"what was read in round {number}")
        check_same(download(z), np.full(SIZE, -5, np.float32), f"what came after it in round {number}")
    results.clear()


def _own_memory(context: Context) -> None:
    """What a stream allocates and drops itself needs no mark, whatever other streams do meanwhile."""
    module = _module(context)
    streams = [module.Stream() for _ in range(2)]
    kept: list[tuple[Tensor, Any, Host]] = []
    for number in range(50):
        for factor, stream in enumerate(streams, 2):
            with stream:
                x = upload(context, _values(number))
                y = _slowly(x)
                del x
                kept.append((y * factor, stream, (_values(number) + 1) * factor))
                del y
        for result, stream, expected in kept[:-RUN]:
            with stream:
                check_same(download(result), expected, f"a product in round {number}")
        del kept[:-RUN]


# ---------------------------------------------------------------------------------------------- threads
def _two_threads(context: Context) -> None:
    """Two threads on two streams of one device: what each computes is right in every round."""
    module = _module(context)
    rounds = _rounds(context)

    def work(number: int) -> None:
        stream, values = module.Stream(), _values(10 * number)
        with stream:
            x = upload(context, values)
        for start in range(0, rounds, RUN):
            with stream:
                turns = range(start, start + RUN)
                results = [(x * (turn % 50) - number) + x for turn in turns]
                for turn, result in zip(turns, results, strict=True):
                    check_same(download(result), values * (turn % 50) - number + values, f"round {turn}")
    together(work, 2)


def _hand_over(context: Context) -> None:
    """One thread makes tensors on its stream, the other one reads and drops them on its own."""
    module = _module(context)
    rounds, box = _rounds(context), queue.SimpleQueue[Any]()

    def produce() -> None:
        stream = module.Stream()
        try:
            for turn in range(rounds):
                with stream:
                    made = upload(context, _values(turn)) + 1
                    box.put((made, stream.record_event()))
                    del made
        finally:
            box.put((None, None))   # after an error, too, so that nobody waits for more

    def consume() -> None:
        stream = module.Stream()
        results: list[Tensor] = []
        for turn in range(rounds):
            made, event = box.get(timeout=PATIENCE)
            assert made is not None, f"the other thread gave up in round {turn}"
            with stream:
                event.wait()
                results.append(made * 2)
                made.record_stream(stream)
                del made
                if len(results) == RUN or turn == rounds - 1:
                    for at, each in enumerate(results, turn + 1 - len(results)):
                        check_same(download(each), (_values(at) + 1) * 2, f"what was handed over in round {at}")
                    results.clear()
    together(lambda number: (produce, consume)[number](), 2)


PROGRAMS: dict[str, Callable[[Any], None]] = {
    "namespace": _namespace, "current": _current, "refusals": _refusals, "two": _two, "event-order": _event_order,
    "diamond": _diamond, "devices": _devices, "synchronize": _synchronize, "query": _query, "elapsed": _elapsed,
    "record-stream": _record_stream, "own-memory": _own_memory, "two-threads": _two_threads, "hand-over": _hand_over}
