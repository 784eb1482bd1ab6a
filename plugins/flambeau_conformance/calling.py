"""Calling a record on the device and judging what it gives: what the levels of operators share."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

import flambeau
from flambeau import dtypes as fd
from flambeau.dtypes import FLOAT, dtype
from flambeau.errors import DtypeError
from flambeau.registry import OPERATORS, OpDef
from flambeau.tensor import Tensor
from flambeau_conformance import invariants, oracle
from flambeau_conformance.case import Case, Subject
from flambeau_conformance.engine import Context, Failure
from flambeau_conformance.oracle import Expected, Refused, flat
from flambeau_conformance.sampling import POINTWISE, Call, Value, calls, each_tensor, each_value, leaves
from flambeau_conformance.tolerance import class_of

# Arithmetic is tested in these; what merely stores a dtype (float8, the wide unsigned integers) is for the transfers.
TESTED = (fd.bool_, fd.uint8, fd.int8, fd.int16, fd.int32, fd.int64, fd.float16, fd.bfloat16, fd.float32, fd.float64,
          fd.complex64, fd.complex128)

RANDOM = ("draws", "random", "dropout", "philox")
REFUSALS = (RuntimeError, TypeError, ValueError, IndexError, NotImplementedError, ZeroDivisionError)

Change = Callable[[Call], Call]


def is_random(record: OpDef) -> bool:
    """Whether its results are drawn: then only shapes and dtypes are comparable between generators."""
    return record.module.rpartition(".")[2] in RANDOM or record.name in ("gumbel_softmax", "rrelu", "rrelu_")


def is_uninitialised(record: OpDef) -> bool:
    """Whether nothing is promised about the elements of its result."""
    return record.name.startswith("empty")


def dtypes_of(subject: Subject) -> tuple[dtype, ...]:
    """The dtypes in which operators are tested on a device."""
    return tuple(each for each in TESTED if each in subject.dtypes)


def samples(record: OpDef, kind: dtype, context: Context) -> list[Call]:
    """The sample calls of a record, the same for every level and device."""
    return calls(record, kind, context.seed, context.storable)


def is_defined_for(record: OpDef, kind: dtype) -> bool:
    """Whether a record is ever called with a dtype: what serves other operators inside meets floating numbers only."""
    return not record.internal or class_of(record) == "exact" or kind.category == FLOAT


def has_samples(record: OpDef, kind: dtype, subject: Subject) -> bool:
    """Whether a record says how it is called, in a dtype and on a device."""
    return bool(_drawn(record.name, kind, subject.capabilities.storage_dtypes))


def sampled_dtypes(subject: Subject, record: OpDef) -> Iterator[dtype]:
    """Dtypes in which a record has samples on a device, where one of each category will do; float32 comes first."""
    for kind in (fd.float32, fd.int64, fd.bool_, fd.complex64):
        if kind in subject.dtypes and kind.category not in record.excluded and has_samples(record, kind, subject):
            yield kind


@functools.cache
def _drawn(name: str, kind: dtype, storable: frozenset[dtype]) -> list[Call]:
    return calls(OPERATORS[name], kind, 0, storable)


@functools.cache
def is_called_with(name: str, kind: dtype, storable: frozenset[dtype]) -> bool:
    """Whether the samples of a record can be drawn in a dtype and depend on it.

    Those that do not depend on it are run once, as float32.
    """
    drawn = _drawn(name, kind, storable)
    return bool(drawn) and (kind is fd.float32 or any(
        each.dtype is kind for each in each_value(drawn)) or any(leaf is kind for leaf in leaves(drawn)))


def perform(record: OpDef, call: Call) -> list[Any]:
    """The results of a call with tensors in it."""
    function = record.call if record.internal else record.public
    return flat(function(*call[0], **call[1]))


def cases_of(subject: Subject, level: str, records: Iterator[OpDef], kinds: tuple[dtype, ...],
             run: Callable[[Context, OpDef, dtype], None], suffix: str = "",
             quick: tuple[dtype, ...] = ()) -> Iterator[Case]:
    """One case for each record and dtype."""
    storable = subject.capabilities.storage_dtypes
    for record in records:
        for kind in kinds:
            if is_defined_for(record, kind) and is_called_with(record.name, kind, storable):
                def bound(context: Context, record: OpDef = record, kind: dtype = kind) -> None:
                    run(context, record, kind)
                yield Case(level, record.name, kind.name + suffix, bound, kind, kind in quick)


def has_inplace_form(record: OpDef) -> bool:
    """Whether a method changes the elements of its tensor; `squeeze_` and its like change only what it looks at."""
    if record.internal or record.family in ("view", "views"):
        return record.inplace_call is not None
    return record.inplace_call is not None or hasattr(Tensor, f"{record.name}_")


def records(wanted: Callable[[OpDef], bool] = lambda record: True) -> Iterator[OpDef]:
    """All operators in the table's order by name."""
    for name in sorted(OPERATORS):
        if wanted(OPERATORS[name]):
            yield OPERATORS[name]


# ---------------------------------------------------------------------------------------------- one call
def check_call(context: Context, record: OpDef, call: Call, layout: str = "contiguous", *,
               precise: bool = True, lenient: bool = False, factor: float = 1) -> None:
    """Raise Failure unless the device gives for a call what the oracle gives, or refuses where it refuses.

    With `lenient` it need not refuse. `factor` widens the tolerance. Without `precise`, values are compared with those
    in the dtype under test only: infinities of float32 are no infinities in float64.
    """
    try:
        expected: Expected | Refused = oracle.expected(record, call, context.device.type, layout)
    except Refused as refused:
        expected = refused
    placed = context.put(call, layout)
    flambeau.manual_seed(0)
    context.watch.follow(record.name)
    try:
        results = perform(record, placed)
        if context.backend.capabilities.asynchronous:   # what is wrong with the data may be told now only
            context.backend.synchronize(context.device.index or 0)
    except REFUSALS as error:
        context.samples += 1
        if isinstance(expected, Refused) or expected.optional or unstorable(context, error, expected.names):
            return
        raise Failure(f"{describe(record, call)} raised {type(error).__name__}: {error}; "
                      f"{expected.oracle} gives {expected.names}") from error
    context.samples += 1
    if isinstance(expected, Refused):
        if lenient:
            return
        raise Failure(f"{describe(record, call)} gave {results!r}, the oracle refuses: {expected}")
    context.oracle = expected.oracle
    try:
        _judge(context, record, results, expected, call, precise, factor)
        if not is_random(record) or _same_generator(context):
            _arguments(context, record, placed, call, expected)
        _own_memory(record, placed, results)
        _writes_out(context, record)
    except Failure as failure:
        raise Failure(f"{describe(record, call)}: {failure}") from failure


def unstorable(context: Context, error: Exception, names: Iterable[str]) -> bool:
    """Whether a refusal is right because a result has a dtype, of these names, that the device cannot store."""
    stored = {each.name for each in context.storable}
    return isinstance(error, DtypeError) and any(name and name not in stored for name in names)


def describe(record: OpDef, call: Call) -> str:
    """A call as people write it, with shapes for tensors."""
    def shown(leaf: Any) -> str:
        if isinstance(leaf, Value):
            return f"{leaf.dtype.name}{list(leaf.array.shape)}"
        if isinstance(leaf, (list, tuple)):
            return "(" + ", ".join(shown(each) for each in leaf) + ")"
        return repr(leaf)
    parts = [*(shown(each) for each in call[0]), *(f"{name}={shown(each)}" for name, each in call[1].items())]
    return f"{record.name}({', '.join(parts)})"


def _judge(context: Context, record: OpDef, results: list[Any], expected: Expected, call: Call, precise: bool,
           factor: float) -> None:
    if len(results) != len(expected.results):
        raise Failure(f"{len(results)} results, expected {len(expected.results)}")
    values = not is_uninitialised(record) and (not is_random(record) or _same_generator(context))
    for number, (mine, native, name) in enumerate(zip(results, expected.results, expected.names, strict=True)):
        what = record.outputs[number] if len(record.outputs) == len(results) > 1 else "result"
        if isinstance(mine, Tensor):
            _check_form(context, mine, native, name, what, "cpu" if record.name == "transfer" else context.device.type)
            if values and record.name not in invariants.INVARIANTS:
                better = expected.precise[number] if precise and expected.precise else native
                _check_values(context, record, mine, native, better, what, factor)
        elif values:
            context.compare(mine, native, record, what)
    if values and record.name in invariants.INVARIANTS:
        invariants.check(context, record, results, expected, call)


def _same_generator(context: Context) -> bool:
    """Whether the device draws the oracle's numbers: a generator of its own that is PyTorch's, seeded alike."""
    return context.torch is not None and context.backend.default_generator(0) is not None


def _check_form(context: Context, mine: Tensor, native: Any, name: str, what: str, where: str) -> None:
    if not name:
        raise Failure(f"{what} is a tensor, expected {native!r}")
    if mine.device.type != where:
        raise Failure(f"{what} is on {mine.device}, not on {context.device}")
    if mine.dtype.name != name:
        raise Failure(f"{what} has dtype {mine.dtype.name}, expected {name}")
    if tuple(mine.shape) != tuple(native.shape):
        raise Failure(f"{what} has shape {list(mine.shape)}, expected {list(native.shape)}")


def _check_values(context: Context, record: OpDef, mine: Tensor, native: Any, better: Any, what: str,
                  factor: float) -> None:
    """Close to the precise values, or equal to those in the dtype itself, which some operators depend on."""
    try:
        context.compare_values(mine, better, record, what, factor=factor)
    except Failure:
        if better is native or tuple(native.shape) != tuple(mine.shape):
            raise
        mine_host = context.fetch(mine)
        if not _bitwise(mine_host, native):
            raise


def _bitwise(first: Any, second: Any) -> bool:
    return first.dtype == second.dtype and bool(np.all((first == second) | ((first != first) & (second != second))))


def _arguments(context: Context, record: OpDef, placed: Call, call: Call, expected: Expected) -> None:
    """A call changes those of its arguments that the oracle changes, as it does, and no others."""
    for number, (tensor, value) in enumerate(zip(each_tensor(placed), each_value(call), strict=True)):
        found = context.fetch(tensor)
        wanted = value.array if expected.arguments is None else expected.arguments[number]
        if _bitwise(found, wanted):
            continue
        if _bitwise(value.array, wanted):
            raise Failure(f"argument {number} has been changed by the call")
        if expected.arguments is not None:
            context.compare(tensor, wanted, record, f"argument {number} after the call")


def _writes_out(context: Context, record: OpDef) -> None:
    """A pointwise kernel writes to the array it is given as `out` what it returns without."""
    args = context.watch.last
    if record.family not in POINTWISE or args is None:
        return
    backend, kernel = context.backend, context.backend.kernels[record.name]
    result = kernel(*args)
    result = result if isinstance(result, backend.array_type) else backend.as_array(result)
    out = backend.empty(tuple(result.shape), backend.dtype_of(result), context.device.index or 0)
    kernel(*args, out=out)
    if not _bitwise(np.asarray(backend.to_host(out)), np.asarray(backend.to_host(result))):
        raise Failure("the kernel does not write its result to `out`")


def _own_memory(record: OpDef, placed: Call, results: list[Any]) -> None:
    """The result of arithmetic is new memory."""
    if record.family not in ("unary", "binary", "pointwise", "primitive") or record.name.endswith("_") or (
            record.name == "reinterpret"):   # a view by nature
        return
    mine = [each for each in results if isinstance(each, Tensor)]
    for tensor in each_tensor(placed):
        storage = tensor._kind.backend.storage
        if any(storage(each._array) is storage(tensor._array) and each.numel() for each in mine):
            raise Failure("a result shares the memory of an argument")
