"""Determinism: the same call gives the same bits, whatever happened before and is still held.

Each operator of the registry is called several times on operands that must come out untouched, with other work in
between; a result that is still held must not change when the operator is called again, nor lie in its operands' memory.
Where the device declares that it is not deterministic, repeated results need only be close.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

import flambeau
from flambeau import dtypes as fd
from flambeau.dtypes import dtype
from flambeau.registry import OpDef
from flambeau.tensor import Tensor
from flambeau_conformance import calling, oracle
from flambeau_conformance.case import Case, Subject
from flambeau_conformance.levels._shared import (
    Host,
    bits,
    case_function,
    check_equal,
    check_same,
    download,
    has_views,
    numbers,
    same_memory,
    upload,
)
from flambeau_conformance.sampling import Call, calls, each_tensor

if TYPE_CHECKING:
    from flambeau_conformance.engine import Context

LEVEL = "determinism"
REPETITIONS = 5
# Operators that change an operand because that is what they are for: running statistics, rows of too large a norm.
_CHANGES = ("batch_norm", "native_batch_norm", "instance_norm", "embedding")


def cases(subject: Subject) -> Iterator[Case]:
    """All cases of this level for one device."""
    for record in calling.records(lambda each: not calling.is_uninitialised(each)):
        kinds = _kinds_of(subject, record)
        for kind in kinds:
            yield Case(LEVEL, record.name, kind.name, case_function(_repeat, record, kind), kind,
                       quick=record.name in ("sum", "index_put", "matmul"))
        if kinds and has_views(subject):
            yield Case(LEVEL, record.name, f"{kinds[0].name}-strided",
                       case_function(_repeat, record, kinds[0], "strided"), kinds[0])
        if kinds and kinds[0].is_differentiable and record.vjps != "none" and not calling.is_random(record):
            yield Case(LEVEL, record.name, f"{kinds[0].name}-backward", case_function(_backward, record, kinds[0]),
                       kinds[0])
    for kind in (fd.float32, fd.float16, fd.bfloat16, fd.float64, fd.int64, fd.complex64):
        if kind in subject.dtypes:
            for name, program in LARGE.items():
                if kind.is_floating_point or name in _ANY_DTYPE:
                    yield Case(LEVEL, name, f"{kind.name}-large", case_function(_large, program, kind), kind)
    yield Case(LEVEL, "manual_seed", "repeats", case_function(_seeded), quick=True)
    yield Case(LEVEL, "training", "repeats", case_function(_training))


def _kinds_of(subject: Subject, record: OpDef) -> list[dtype]:
    """Up to two dtypes in which an operator is repeated: floats and integers, or whatever it takes."""
    found = list(calling.sampled_dtypes(subject, record))
    storable = subject.capabilities.storage_dtypes
    return found[:1] + [each for each in found[1:2] if calling.is_called_with(record.name, each, storable)]


# ---------------------------------------------------------------------------------------------- every operator
def _results(record: OpDef, placed: Any) -> list[Any] | None:
    """The results of a call, None where the dtype is refused."""
    flambeau.manual_seed(5)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return calling.perform(record, placed)
        except calling.REFUSALS:
            return None


def _snapshot(results: list[Any]) -> list[Any]:
    return [download(each) if isinstance(each, Tensor) else each for each in results]


def _check_repeated(context: Context, found: list[Any], first: list[Any], what: str) -> None:
    check_equal(len(found), len(first), f"{what}: number of results")
    for number, (mine, theirs) in enumerate(zip(found, first, strict=True)):
        name = f"{what}, result {number}"
        if not isinstance(theirs, np.ndarray):
            assert repr(mine) == repr(theirs), f"{name}: {mine!r}, at first {theirs!r}"
        elif context.backend.capabilities.deterministic:
            check_same(mine, theirs, name)
        else:
            _check_near(mine, theirs, name)


def _check_near(mine: Host, theirs: Host, what: str) -> None:
    assert mine.shape == theirs.shape and mine.dtype == theirs.dtype, f"{what}: another shape or dtype"
    wide = np.complex128 if mine.dtype.kind == "c" else np.float64
    close = np.isclose(mine.astype(wide), theirs.astype(wide), rtol=2e-2 if mine.itemsize < 4 else 1e-4, atol=1e-4,
                       equal_nan=True)
    assert close.all(), f"{what}: repeated results are not even close"


def _repeat(context: Context, record: OpDef, kind: dtype, layout: str = "contiguous") -> None:
    changes = record.name in _CHANGES or record.name.endswith("_")
    for number, call in enumerate(calls(record, kind, context.seed, context.storable)):
        placed = context.put(call, layout)
        what = calling.describe(record, call)
        operands = [(each, *_memory_of(each)) for each in each_tensor(placed)]
        held = _results(record, placed)
        if held is None:
            continue
        first = _snapshot(held)
        _check_memory(context, record, call, operands, held, what)
        for turn in range(REPETITIONS - 1):
            _disturb(context, record, kind, number + turn)
            again = _results(record, context.put(call, layout) if changes else placed)
            assert again is not None, f"{what} is refused when it is repeated"
            _check_repeated(context, _snapshot(again), first, f"{what}, repeated")
            del again
        _check_repeated(context, _snapshot(held), first, f"{what}, held while others were computed")
        if not changes:
            _check_operands(operands, what)
        context.samples += 1


def _memory_of(tensor: Tensor) -> tuple[Host, Host, int, tuple[Any, ...]]:
    """What of an operand may not change: its elements, all of its storage, its version, its layout."""
    return download(tensor), _storage_of(tensor), tensor._version, (tuple(tensor.shape), tensor.dtype)


def _storage_of(tensor: Tensor) -> Host:
    """Everything in the memory from the beginning to the last element, gaps included."""
    backend = tensor._kind.backend
    strides, offset = backend.layout(tensor._array)
    if (backend.is_contiguous(tensor._array) and not offset) or 0 in tensor.shape:
        return download(tensor)
    extent = 1 + offset + sum((size - 1) * stride for size, stride in zip(tensor.shape, strides, strict=True))
    return np.array(backend.to_host(backend.as_strided(tensor._array, (extent,), (1,), 0)))


def _check_operands(operands: list[Any], what: str) -> None:
    for tensor, elements, storage, version, layout in operands:
        check_same(download(tensor), elements, f"an operand of {what} afterwards")
        check_same(_storage_of(tensor), storage, f"the memory around an operand of {what} afterwards")
        check_equal((tensor._version, (tuple(tensor.shape), tensor.dtype)), (version, layout), f"an operand of {what}")


def _disturb(context: Context, record: OpDef, kind: dtype, number: int) -> None:
    """Other work, on other operands, that leaves other numbers in freed memory."""
    other = calls(record, kind, context.seed + 1 + number, context.storable)
    if other and number < 3:
        _results(record, context.put(other[number % len(other)]))
    for size in (7, 24, 60):
        junk = flambeau.full((size,), 99.0, device=context.device)
        del junk


# ---------------------------------------------------------------------------------------------- whose memory
def _check_memory(context: Context, record: OpDef, call: Call, operands: list[Any], results: list[Any],
                  what: str) -> None:
    """A result shares the memory of an operand, or of another result, exactly where PyTorch's does."""
    mine = [each for each in results if isinstance(each, Tensor) and each.numel()]
    shares = [any(same_memory(each, tensor) for tensor, *_ in operands if tensor.device == each.device)
              for each in mine]
    theirs = _shares_in_torch(context, record, call)
    if theirs is None:
        if record.family in ("unary", "binary", "pointwise", "primitive") and record.name != "reinterpret":
            assert not any(shares), f"{what}: the result lies in an operand's memory"
        return
    if len(theirs) != len(shares):
        return
    for number, (have, want) in enumerate(zip(shares, theirs, strict=True)):
        if have and not want:
            raise AssertionError(f"{what}: result {number} lies in an operand's memory")
        if want and not have and record.family in ("view", "views"):
            raise AssertionError(f"{what}: result {number} is a copy, PyTorch gives a view")


def _shares_in_torch(context: Context, record: OpDef, call: Call) -> list[bool] | None:
    """For each result of PyTorch's, whether it lies in an operand's memory; None where it cannot be asked."""
    torch = context.torch
    if torch is None or oracle.torch_function(record) is None:
        return None
    used: list[Any] = []
    original = oracle.to_torch

    def noted(*args: Any, **kwargs: Any) -> Any:
        made = original(*args, **kwargs)
        used.append(made)
        return made
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            oracle.to_torch = noted
            result = oracle.torch_call(record, call, False)[0]
        except Exception:  # noqa: BLE001 - it has no answer
            return None
        finally:
            oracle.to_torch = original
    places = {each.untyped_storage().data_ptr() for each in used if each.numel()}
    return [each.untyped_storage().data_ptr() in places for each in oracle.flat(result)
            if isinstance(each, torch.Tensor) and each.numel()]


# ---------------------------------------------------------------------------------------------- gradients
def _backward(context: Context, record: OpDef, kind: dtype) -> None:
    for call in calls(record, kind, context.seed, context.storable)[:2]:
        gradients = []
        what = calling.describe(record, call)
        for turn in range(3):
            placed = context.put(call)
            leaves = [each for each in each_tensor(placed) if each._kind.differentiable]
            for leaf in leaves:
                leaf.requires_grad_()
            results = [each for each in _results(record, placed) or []
                       if isinstance(each, Tensor) and each.requires_grad]
            if not results:
                return
            before = [download(each.detach()) for each in (*leaves, *results)]
            seeds = [upload(context, numbers(each.dtype, *each.shape, seed=3)) for each in results]
            try:
                flambeau.autograd.backward(results, seeds)
            except RuntimeError:
                return
            for tensor, values in zip((*leaves, *results), before, strict=True):
                check_same(download(tensor.detach()), values, f"an operand or result of {what} after backward()")
            for seed, result in zip(seeds, results, strict=True):
                check_same(download(seed), numbers(seed.dtype, *result.shape, seed=3), f"the seed of {what}'s gradient")
            gradients.append([None if each.grad is None else download(each.grad) for each in leaves])
            _disturb(context, record, kind, turn)
        for found in gradients[1:]:
            _check_repeated(context, found, gradients[0], f"the gradient of {what}, repeated")
        context.samples += 1


# ---------------------------------------------------------------------------------------------- large operands
Program = Callable[[Any, Tensor, Tensor], Any]

# Where many elements meet in one: the order in which they are added shows in the last bit.
LARGE: dict[str, Program] = {
    "sum": lambda lib, x, places: (x.sum(), x.sum(0), x.sum(1)),
    "mean": lambda lib, x, places: (x.mean(), x.mean(0)),
    "prod": lambda lib, x, places: x[:, :9].prod(1),
    "var": lambda lib, x, places: (x.var(), x.var(0)),
    "cumsum": lambda lib, x, places: (x.cumsum(0), x.cumsum(1)),
    "logsumexp": lambda lib, x, places: x.logsumexp(1),
    "softmax": lambda lib, x, places: x.softmax(1),
    "matmul": lambda lib, x, places: (x.t() @ x, x[:50] @ x[50:100].t()),
    "index_put": lambda lib, x, places: lib.zeros_like(x).index_put((places,), x, accumulate=True),
    "index_add": lambda lib, x, places: lib.zeros_like(x).index_add(0, places, x),
    "scatter_add": lambda lib, x, places: lib.zeros_like(x).scatter_add(
        0, places[:, None].expand(x.shape).contiguous(), x),
    "sort": lambda lib, x, places: x.sort(0),
    "topk": lambda lib, x, places: x.topk(7),
    "unique": lambda lib, x, places: x.unique(),
    "conv2d": lambda lib, x, places: lib.nn.functional.conv2d(x[None, None], x[None, None, :3, :3]),
    "layer_norm": lambda lib, x, places: lib.nn.functional.layer_norm(x, x.shape[1:])}
_ANY_DTYPE = ("sum", "cumsum", "index_put", "index_add", "scatter_add", "matmul", "prod")


def _large(context: Context, program: Program, kind: dtype) -> None:
    values = numbers(kind, 300, 37)
    places = (np.arange(300, dtype=np.int64) * 7919) % 11
    first = None
    for _ in range(REPETITIONS):
        x, where = upload(context, values), upload(context, places)
        found = _snapshot(oracle.flat(program(flambeau, x, where)))
        check_same(download(x), values, "the operand afterwards")
        first = first or found
        _check_repeated(context, found, first, "the call, repeated")
        junk = upload(context, numbers(kind, 300, 37, seed=50)) * 2
        del junk


# ---------------------------------------------------------------------------------------------- seeds and training
def _seeded(context: Context) -> None:
    """A seed gives the same numbers again, another seed others, and draws in between are remembered."""
    def drawn(seed: int) -> bytes:
        flambeau.manual_seed(seed)
        where = context.device
        made = [flambeau.rand(50, device=where), flambeau.randn(50, device=where),
                flambeau.randint(99, (50,), device=where),
                flambeau.randperm(50, device=where), flambeau.empty(50, device=where).bernoulli_(0.3),
                flambeau.nn.functional.dropout(flambeau.ones(50, device=where), 0.4)]
        return b"".join(bits(download(each)).tobytes() for each in made)
    first = drawn(11)
    other = drawn(12)
    assert drawn(11) == first, "the same seed gives other numbers"
    assert other != first, "another seed gives the same numbers"
    flambeau.manual_seed(11)
    one, two = (download(flambeau.rand(50, device=context.device)) for _ in range(2))
    assert not np.array_equal(one, two), "two draws in a row are the same"
    x = flambeau.ones(4, device=context.device)
    flambeau.rand(3, device=context.device)
    check_same(download(x), np.ones(4, np.float32), "a tensor after draws")


def _training(context: Context) -> None:
    def run() -> list[Host]:
        flambeau.manual_seed(1)
        nn = flambeau.nn
        model = nn.Sequential(nn.Linear(6, 20), nn.Tanh(), nn.Dropout(0.2), nn.Linear(20, 3)).to(context.device)
        optimizer = flambeau.optim.Adam(model.parameters(), lr=0.01)
        x = upload(context, numbers(fd.float32, 32, 6) / 8)
        y = upload(context, np.arange(32, dtype=np.int64) % 3)
        for _ in range(4):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x), y).backward()
            optimizer.step()
        return [download(each.detach()) for each in model.parameters()]
    first, second = run(), run()
    _check_repeated(context, second, first, "the parameters after a training run, repeated")
