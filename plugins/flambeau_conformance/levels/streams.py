"""Streams and threads: one device, used by several Python threads at once, and work that outlives its call.

What belongs to a thread (grad mode, the current device, modes) must not leak into another, and a kernel must keep
nothing of a call where the next one finds it. Threads start each round together and the interpreter switches between
them far more often than it would by itself, so that a race is likely to show in a few rounds. What is expected comes
from NumPy, or for the registry's operators from the same call made alone, which the other levels judge.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

import flambeau
from flambeau import discovery, dtypes as fd
from flambeau.dtypes import dtype
from flambeau.registry import OpDef
from flambeau.tensor import Tensor
from flambeau_conformance import calling
from flambeau_conformance.case import Case, Subject
from flambeau_conformance.levels import _stream_programs
from flambeau_conformance.levels._shared import (
    Host,
    bits,
    case_function,
    check_equal,
    check_same,
    download,
    index_of,
    numbers,
    raises,
    upload,
)
from flambeau_conformance.levels._threads import THREADS, together
from flambeau_conformance.oracle import flat

if TYPE_CHECKING:
    from flambeau_conformance.engine import Context

LEVEL = "streams"
PAIR = 2          # threads that call one operator at once
ROUNDS = 6


def cases(subject: Subject) -> Iterator[Case]:
    """All cases of this level for one device."""
    for name, program in PROGRAMS.items():
        yield Case(LEVEL, "threads", name, case_function(_many, program), quick=name in ("add", "matmul"))
    for name, function in _STATES.items():
        yield Case(LEVEL, "threads", name, case_function(function))
    if subject.backend.device_count() > 1:
        yield Case(LEVEL, "current-device", "per-thread", case_function(_current_device))
        yield Case(LEVEL, "current-device", "both-at-once", case_function(_both_devices))
    yield from _of_operators(subject)
    yield Case(LEVEL, "synchronize", "results", case_function(_synchronize), quick=True)
    yield Case(LEVEL, "synchronize", "threads", case_function(_synchronize_in_threads))
    yield Case(LEVEL, "synchronize", "order", case_function(_order))
    if subject.capabilities.asynchronous:
        yield Case(LEVEL, "asynchronous", "errors", case_function(_late_error))
        yield Case(LEVEL, "asynchronous", "results", case_function(_queued))
    for name, function in _stream_programs.PROGRAMS.items():
        yield Case(LEVEL, "stream", name, case_function(function),
                   quick=name in ("namespace", "current", "two", "event-order", "record-stream"))


# ---------------------------------------------------------------------------------------------- threads that race
Program = Callable[["Context", int], None]


def _many(context: Context, program: Program) -> None:
    """The same program in every thread, on other numbers in each."""
    def work(number: int) -> None:
        for turn in range(ROUNDS):
            program(context, 100 * number + turn)
    together(work)


def _drawn(context: Context, number: int, *shape: int) -> tuple[Host, Tensor]:
    """Numbers of this thread's own, on the host and on the device."""
    values = np.random.default_rng([context.seed, number, *shape]).uniform(0.5, 2, shape).astype(np.float32)
    return values, upload(context, values)


def _near(tensor: Tensor, expected: Any, what: str) -> None:
    found = download(tensor)
    assert found.shape == np.shape(expected), f"{what}: shape {found.shape}, expected {np.shape(expected)}"
    wrong = np.abs(found - expected) > 1e-4 + 1e-4 * np.abs(expected)
    assert not wrong.any(), f"{what}: {found[wrong][:3]} for {np.asarray(expected)[wrong][:3]}, {wrong.sum()} elements"


def _add(context: Context, number: int) -> None:
    a, x = _drawn(context, number, 64, 33)
    b, y = _drawn(context, number + 1, 33)
    held = x + y
    _near(x * y - 2.5, a * b - 2.5, "x * y - 2.5")
    _near(held, a + b, "x + y, held meanwhile")


def _unary(context: Context, number: int) -> None:
    a, x = _drawn(context, number, 50, 21)
    for name in ("exp", "sqrt", "tanh", "log", "sin"):
        _near(getattr(flambeau, name)(x), getattr(np, name)(a), name)


def _reduce(context: Context, number: int) -> None:
    a, x = _drawn(context, number, 31, 40)
    _near(x.sum(0), a.sum(0), "sum")
    _near(x.amax(1), a.max(1), "amax")
    _near(x.var(1), a.var(1, ddof=1), "var")
    check_same(download(x.argmax(1)), a.argmax(1), "argmax")
    _near(x.cumsum(1), a.cumsum(1), "cumsum")


def _matmul(context: Context, number: int) -> None:
    a, x = _drawn(context, number, 24, 37)
    b, y = _drawn(context, number + 7, 37, 18)
    _near(x @ y, a @ b, "matmul")
    _near(x[:, :18].t() @ x, a[:, :18].T @ a, "matmul of a view")


def _sort(context: Context, number: int) -> None:
    a, x = _drawn(context, number, 300)
    values, order = x.sort()
    check_same(download(values), np.sort(a), "sort")
    check_same(download(order), np.argsort(a, kind="stable"), "argsort")
    check_same(download((x * 8).long().unique()), np.unique((a * 8).astype(np.int64)), "unique")


def _index(context: Context, number: int) -> None:
    a, x = _drawn(context, number, 20, 30)
    places = np.random.default_rng(number).integers(0, 20, 50)
    where = upload(context, places)
    check_same(download(x[where]), a[places], "index")
    expected = np.zeros((20, 30), np.float32)
    np.add.at(expected, places, a[places])
    _near(flambeau.zeros(20, 30, device=context.device).index_add(0, where, x[where]), expected, "index_add")
    check_same(download(x[x > 1]), a[a > 1], "a mask")
    x[3:7] = 0
    a[3:7] = 0
    check_same(download(x), a, "an assignment")


def _inplace(context: Context, number: int) -> None:
    a, x = _drawn(context, number, 40, 12)
    x.mul_(2).add_(1.5)[:, ::3].neg_()
    a = a * 2 + np.float32(1.5)
    a[:, ::3] *= -1
    _near(x, a, "in place")


def _autograd(context: Context, number: int) -> None:
    a, x = _drawn(context, number, 12, 9)
    b, y = _drawn(context, number + 3, 9, 5)
    x.requires_grad_()
    y.requires_grad_()
    (x @ y).tanh().sum().backward()
    slope = 1 - np.tanh(a @ b) ** 2
    assert x.grad is not None and y.grad is not None, "no gradient"
    _near(x.grad, slope @ b.T, "the gradient of x")
    _near(y.grad, a.T @ slope, "the gradient of y")


def _training(context: Context, number: int) -> None:
    a, x = _drawn(context, number, 16, 4)
    weight = flambeau.zeros(4, 1, device=context.device, requires_grad=True)
    goal, optimizer = a.sum(1, keepdims=True), flambeau.optim.SGD([weight], lr=0.05)
    wanted, host = upload(context, goal), np.zeros((4, 1), np.float32)
    for _ in range(4):
        optimizer.zero_grad()
        ((x @ weight - wanted) ** 2).mean().backward()
        optimizer.step()
        host = host - 0.05 * (2 / 16) * a.T @ (a @ host - goal)
    _near(weight.detach(), host, "the weight after 4 steps")


def _allocate(context: Context, number: int) -> None:
    """Memory that one thread frees and another gets."""
    kept = []
    for size in (1, 7, 64, 1000, 3):
        values = np.full(size, number + size, np.float32)
        kept.append((upload(context, values), values))
        del kept[:-2]
        for tensor, expected in kept:
            check_same(download(tensor), expected, f"{len(expected)} elements")
        filled = flambeau.full((size,), float(number), device=context.device)
        check_same(download(filled), np.full(size, number, np.float32), "full")


def _transfers(context: Context, number: int) -> None:
    values = numbers(fd.int32, 30, 7, seed=number)
    tensor = upload(context, values)
    check_same(download(tensor.t()), values.T, "to_host of a view")
    check_same(download(tensor.to(flambeau.float32)), values.astype(np.float32), "a cast")
    check_same(download(tensor.cpu()), values, "to the host")
    check_equal(tensor[1].tolist(), values[1].tolist(), "tolist")


PROGRAMS: dict[str, Program] = {
    "add": _add, "unary": _unary, "reduce": _reduce, "matmul": _matmul, "sort": _sort, "index": _index,
    "inplace": _inplace, "autograd": _autograd, "training": _training, "allocate": _allocate, "transfers": _transfers}


# ---------------------------------------------------------------------------------------------- what threads share
def _shared_tensor(context: Context) -> None:
    a, x = _drawn(context, 5, 40, 30)
    view = x.t()[3:]

    def work(number: int) -> None:
        for _ in range(ROUNDS):
            _near(view * (number + 1), a.T[3:] * (number + 1), "a shared view")
            _near(x.sum(1), a.sum(1), "a shared tensor's sum")
    together(work)
    check_same(download(x), a, "the shared tensor afterwards")
    check_equal(x._version, 0, "its version")


def _shared_leaf(context: Context) -> None:
    """Gradients that arrive at one leaf from several threads are added up, none is lost."""
    leaf = upload(context, np.ones(50, np.float32)).requires_grad_()

    def work(number: int) -> None:
        for _ in range(20):
            (leaf * (number + 1)).sum().backward()
    together(work)
    assert leaf.grad is not None, "no gradient"
    check_same(download(leaf.grad), np.full(50, 20.0 * sum(range(1, THREADS + 1)), np.float32), "the sum of gradients")


def _disjoint_writes(context: Context) -> None:
    """Threads that write rows of their own of one tensor."""
    base = flambeau.zeros(THREADS, 200, device=context.device)

    def work(number: int) -> None:
        for turn in range(ROUNDS):
            base[number].fill_(float(turn)).add_(number)
    together(work)
    expected = np.repeat(np.arange(THREADS, dtype=np.float32)[:, None] + ROUNDS - 1, 200, 1)
    check_same(download(base), expected, "rows written by different threads")


def _grad_mode(context: Context) -> None:
    x = upload(context, np.ones(3, np.float32)).requires_grad_()

    def work(number: int) -> None:
        assert flambeau.is_grad_enabled(), "a new thread starts with gradients off"
        mode = (flambeau.no_grad, flambeau.enable_grad, flambeau.inference_mode)[number % 3]
        for _ in range(30):
            with mode():
                result = x * 2
                check_equal(result.requires_grad, number % 3 == 1, f"requires_grad under {mode.__name__}")
                check_equal(flambeau.is_inference_mode_enabled(), number % 3 == 2, "inference mode")
            assert flambeau.is_grad_enabled(), "gradients stay off after the block"
    with flambeau.no_grad():
        together(work)
        assert not flambeau.is_grad_enabled(), "other threads' modes have leaked into this one"


def _default_device(context: Context) -> None:
    """`with device(...)` holds for its thread only."""
    cpu = flambeau.device("cpu")

    def work(number: int) -> None:
        where = context.device if number % 2 else cpu
        for _ in range(20):
            with flambeau.device(str(where)):
                check_equal(flambeau.zeros(2).device, discovery.resolve(where), "device of a factory")
    together(work)
    check_equal(flambeau.get_default_device(), cpu, "the default device afterwards")


def _fallback_policy(context: Context) -> None:
    from flambeau.dispatch.fallback import _policy
    before = _policy.default

    def work(number: int) -> None:
        policy = ("error", "allow")[number % 2]
        for _ in range(20):
            with flambeau.fallback(policy):
                check_equal(_policy.default, policy, "the fallback policy")
    together(work)
    check_equal(_policy.default, before, "the fallback policy of this thread")


def _errors_apart(context: Context) -> None:
    """One thread's errors are no other thread's."""
    a, x = _drawn(context, 3, 8, 5)

    def work(number: int) -> None:
        for _ in range(ROUNDS):
            if number:
                raises(RuntimeError, lambda: x @ x, "a product that does not fit")
                raises(IndexError, lambda: x[9], "an index out of range")
            _near(x + 1, a + 1, "a sum")
    together(work)


def _hand_over(context: Context) -> None:
    """What one thread made, another one uses and frees."""
    made: list[Tensor] = []
    a = np.arange(40, dtype=np.float32)
    together(lambda number: made.append(upload(context, a + number) * 2), 1)
    graph: list[Tensor] = []
    together(lambda number: graph.append((made[0].requires_grad_() * 3).sum()), 1)
    together(lambda number: graph.pop().backward(), 1)
    check_same(download(made[0].detach()), a * 2, "a tensor from another thread")
    assert made[0].grad is not None, "no gradient from another thread"
    check_same(download(made[0].grad), np.full(40, 3, np.float32), "its gradient")
    together(lambda number: made.clear(), 1)


def _random(context: Context) -> None:
    """Draws of several threads from one generator: each number is handed out, and only once."""
    drawn: list[Host] = []

    def work(number: int) -> None:
        for _ in range(ROUNDS):
            drawn.append(download(flambeau.rand(500, device=context.device)))  # noqa: PERF401 - threads take turns
    flambeau.manual_seed(3)
    together(work)
    everything = np.concatenate(drawn)
    assert ((everything >= 0) & (everything < 1)).all(), "rand() outside of [0, 1)"
    rows = {each.tobytes() for each in drawn}
    check_equal(len(rows), THREADS * ROUNDS, "different draws")
    assert abs(everything.mean() - 0.5) < 0.05, f"the mean of rand() in threads is {everything.mean()}"


_STATES: dict[str, Callable[[Any], None]] = {
    "shared-tensor": _shared_tensor, "shared-leaf": _shared_leaf, "disjoint-writes": _disjoint_writes,
    "grad-mode": _grad_mode, "default-device": _default_device, "fallback-policy": _fallback_policy,
    "errors": _errors_apart, "hand-over": _hand_over, "random": _random}


def _current_device(context: Context) -> None:
    """The current device is the thread's own, and a new thread starts with the first."""
    name = context.device.type

    def work(number: int) -> None:
        check_equal(discovery.current_index(name), 0, "the current device of a new thread")
        for turn in range(20):
            wanted = (number + turn) % 2
            discovery.set_current_index(name, wanted)
            check_equal(flambeau.zeros(1, device=name).device.index, wanted, "the current device")
    before = discovery.current_index(name)
    try:
        discovery.set_current_index(name, 1)
        together(work)
        check_equal(flambeau.zeros(1, device=name).device.index, 1, "the current device of this thread")
        raises(RuntimeError, lambda: discovery.set_current_index(name, 99), "a device that is not there")
        check_equal(discovery.current_index(name), 1, "the current device after an error")
    finally:
        discovery.set_current_index(name, before)


def _both_devices(context: Context) -> None:
    def work(number: int) -> None:
        where = discovery.resolve(flambeau.device(context.device.type, number % 2))
        for turn in range(ROUNDS):
            a = np.arange(60, dtype=np.float32) + number * 7 + turn
            x = upload(context, a, where)
            result = x * 2 + x.sum()
            check_equal(result.device, where, "device")
            _near(result, a * 2 + a.sum(), f"a sum on {where}")
    together(work)


# ---------------------------------------------------------------------------------------------- every operator
def _of_operators(subject: Subject) -> Iterator[Case]:
    for record in calling.records(lambda each: each.family not in ("view", "views") and not calling.is_random(each)
                                  and not calling.is_uninitialised(each)):
        kind = next((each for each in (fd.float32, fd.int64, fd.bool_, fd.complex64) if each in subject.dtypes
                     and each.category not in record.excluded and calling.has_samples(record, each, subject)), None)
        if kind is not None:
            yield Case(LEVEL, record.name, f"{kind.name}-threads", case_function(_operator_in_threads, record, kind),
                       kind)


def _outcome(record: OpDef, call: Any) -> list[Any] | type[BaseException]:
    """The bits of a call's results, or the type of its error."""
    try:
        return [bits(download(each)).tobytes() if isinstance(each, Tensor) else repr(each)
                for each in flat(calling.perform(record, call))]
    except calling.REFUSALS as error:
        return type(error)


def _operator_in_threads(context: Context, record: OpDef, kind: dtype) -> None:
    """Every thread gets for its own operands what the same call gives alone."""
    from flambeau_conformance.sampling import calls
    drawn = [calls(record, kind, context.seed + number, context.storable)[:2] for number in range(PAIR)]
    placed = [[context.put(each) for each in mine] for mine in drawn]
    started = time.perf_counter()
    alone = [[_outcome(record, each) for each in mine] for mine in placed]
    rounds = 3 if time.perf_counter() - started < 0.01 else 1   # slow kernels meet often enough

    def work(number: int) -> None:
        for _ in range(rounds):
            for at, call in enumerate(placed[number]):
                if _outcome(record, call) != alone[number][at]:
                    what = calling.describe(record, drawn[number][at])
                    raise AssertionError(f"{what} gives another result while other threads call it")
    if context.backend.capabilities.deterministic:
        together(work, PAIR)
    context.samples += sum(len(each) for each in placed)


# ---------------------------------------------------------------------------------------------- synchronization
def _synchronize(context: Context) -> None:
    a, x = _drawn(context, 1, 64, 64)
    result, expected = x, a
    for _ in range(5):
        result, expected = result @ x / 64, expected @ a / 64
    context.backend.synchronize(index_of(context))
    _near(result, expected, "a chain of products after synchronize()")
    context.backend.synchronize(index_of(context))


def _synchronize_in_threads(context: Context) -> None:
    def work(number: int) -> None:
        a, x = _drawn(context, number, 32, 16)
        for _ in range(ROUNDS):
            y = x + number
            context.backend.synchronize(index_of(context))
            _near(y, a + number, "a sum after synchronize()")
    together(work)


def _order(context: Context) -> None:
    """Work runs in the order of the calls: a value that is read before it is overwritten is the old one."""
    x = upload(context, np.zeros(1000, np.float32))
    copies = []
    for turn in range(10):
        copies.append(x.clone())
        x.add_(1)
        copies.append(x * 2)
        x.fill_(float(turn + 1))
    for turn in range(10):
        check_same(download(copies[2 * turn]), np.full(1000, turn, np.float32), f"the copy before change {turn}")
        check_same(download(copies[2 * turn + 1]), np.full(1000, 2 * turn + 2, np.float32), f"after change {turn}")


def _late_error(context: Context) -> None:
    """An error in the data arrives, at the latest, when the device is waited for; the device works on."""
    x = upload(context, np.arange(6, dtype=np.float32))
    far = upload(context, np.array([0, 77], np.int64))

    def wait() -> None:
        x.index_select(0, far)
        context.backend.synchronize(index_of(context))
    error = raises((RuntimeError, IndexError), wait, "an index out of range on an asynchronous device")
    assert str(error), "the error says nothing"
    context.backend.synchronize(index_of(context))  # told once
    check_same(download(x + 1), np.arange(1, 7, dtype=np.float32), "a sum after the error")
    check_same(download(x), np.arange(6, dtype=np.float32), "the operand")
    raises((RuntimeError, IndexError), lambda: download(x.index_select(0, far)), "reading a result that failed")
    check_same(download(x * 2), np.arange(6, dtype=np.float32) * 2, "a product after the second error")


def _queued(context: Context) -> None:
    """Whatever is read has been waited for, and its operands may be dropped before it has run."""
    results = []
    for number in range(20):
        x = upload(context, np.full((50, 50), number, np.float32))
        results.append((x @ x, 50.0 * number * number))
        del x
    for tensor, expected in results:
        check_same(download(tensor), np.full((50, 50), expected, np.float32), "a queued product")
