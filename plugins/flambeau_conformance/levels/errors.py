"""Errors: what must be refused is refused, with PyTorch's kind of error, and leaves everything as it was.

What can be derived from the registry is (shapes that do not broadcast, dimensions and types that do not exist, dtypes
that an operator excludes, operands on two devices, in-place changes of leaves); what is an operator's own is in a table
of programs, which PyTorch runs as well where it is installed. After each error the device must still compute.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

import flambeau
from flambeau import discovery, dtypes as fd
from flambeau.dtypes import dtype
from flambeau.registry import OpDef
from flambeau.tensor import Tensor
from flambeau_conformance import calling, oracle
from flambeau_conformance.case import Case, Subject
from flambeau_conformance.levels._refusals import REFUSED, Refusal
from flambeau_conformance.levels._shared import (
    Host,
    case_function,
    check_equal,
    check_same,
    check_tensor,
    download,
    has_views,
    numbers,
    other_devices,
    raises,
    upload,
)
from flambeau_conformance.sampling import POINTWISE, Value, calls, each_tensor, each_value, replaced

if TYPE_CHECKING:
    from flambeau_conformance.engine import Context

LEVEL = "errors"
REFUSALS = (RuntimeError, TypeError, ValueError, IndexError)
_BUILTIN = (NotImplementedError, IndexError, TypeError, ValueError, RuntimeError, AttributeError)
# For what is no tensor: which error it is, is Python's own where an attribute is asked of the wrong thing.
_ANY = (*REFUSALS, AttributeError, AssertionError)
# Where PyTorch's kind of error comes from how its arguments are parsed, not from what they mean.
_OTHERWISE = ("linalg_cross", "linalg_matrix_norm", "narrow_copy")
_DIMS = ("dim", "dim0", "dim1", "dimension", "axis", "dims")


def cases(subject: Subject) -> Iterator[Case]:
    """All cases of this level for one device."""
    for refusal in REFUSED:
        if all(each in subject.dtypes for each in refusal.needs):
            yield Case(LEVEL, refusal.op, refusal.variant, case_function(_program, refusal), quick=refusal.quick)
    for record in calling.records():
        if calling.is_uninitialised(record):
            continue
        yield from _of_record(subject, record)
    yield from _of_dtypes(subject)
    yield Case(LEVEL, "kernels", "wrong-shapes", case_function(_kernels))


def _of_record(subject: Subject, record: OpDef) -> Iterator[Case]:
    kind = next(calling.sampled_dtypes(subject, record), None)
    if kind is None:
        return
    tensors = [each for call in calls(record, kind, 0, subject.capabilities.storage_dtypes)
               for each in each_value(call)]

    def case(variant: str, function: Callable[..., None], *args: Any) -> Case:
        return Case(LEVEL, record.name, variant, case_function(function, record, kind, *args), kind)
    if not record.internal:
        yield case("missing", _missing)
        yield case("keyword", _keyword)
        if tensors:
            yield case("type", _wrong_type)
        if _dim_parameter(record):
            yield case("dim-range", _wrong_dim)
    if len(tensors) > 1:
        for other in other_devices(subject.name)[:1]:
            yield case("devices", _two_devices, other)
    if record.family in ("binary", "pointwise") and sum(1 for each in record.parameters[:3]) > 1:
        yield case("broadcast", _no_broadcast)
    if record.inplace_call is not None:
        yield case("leaf", _leaf)
        yield case("inplace-shape", _inplace_shape)
        yield case("inplace-dtype", _inplace_dtype)
    for excluded in _excluded(subject, record):
        yield Case(LEVEL, record.name, f"excluded-{excluded.name}", case_function(_excluded_dtype, record, excluded),
                   excluded)


# ---------------------------------------------------------------------------------------------- judging
def kinds_of(error: BaseException) -> tuple[type[BaseException], ...]:
    """The builtin types that an error is caught as, most special first."""
    return tuple(each for each in _BUILTIN if isinstance(error, each))


def agrees(mine: BaseException, theirs: BaseException) -> bool:
    """Whether a program that catches PyTorch's error catches ours as well."""
    wanted = kinds_of(theirs)
    return not wanted or isinstance(mine, wanted[0]) or (wanted[0] is NotImplementedError and
                                                         isinstance(mine, RuntimeError))


def check_works(context: Context) -> None:
    """Assert that the device computes."""
    values = np.arange(7, dtype=np.int32)
    check_tensor(upload(context, values) * 3 + 1, values * 3 + 1, "a sum after the error", context)


def _attempt(call: Callable[[], Any]) -> BaseException | None:
    """What a call raises; its result is read, so that what a device finds out later is found out now."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            for each in oracle.flat(call()):
                if isinstance(each, Tensor):
                    download(each)
        except Exception as error:  # noqa: BLE001 - judged by the caller
            return error
    return None


def _torch_error(context: Context, record: OpDef, call: Any) -> BaseException | bool | None:
    """What PyTorch raises for a call; None where it gives a result, False where it cannot be asked."""
    if context.torch is None or oracle.torch_function(record) is None:
        return False
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            oracle.torch_call(record, call, False)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the answer
            return error
    return None


def _judge(context: Context, record: OpDef, call: Any, placed: Any, what: str,
           default: tuple[type[BaseException], ...] = REFUSALS) -> None:
    """Assert that the device refuses a call as PyTorch does, or with one of these where there is no PyTorch."""
    theirs = _torch_error(context, record, call)
    if theirs is None:
        return  # it has a meaning there: the other levels compare it
    before = [(each, download(each)) for each in each_tensor(placed)]
    mine = _attempt(lambda: calling.perform(record, placed))
    shown = f"{record.name} {what}"
    assert mine is not None, f"{shown}: gave a result, expected {_wanted(theirs, default)}"
    if isinstance(theirs, BaseException):
        assert agrees(mine, theirs) or default is _ANY or record.name in _OTHERWISE, (
            f"{shown}: {type(mine).__name__} ({mine}), PyTorch raises {type(theirs).__name__}")
    else:
        wanted = _wanted(theirs, default)
        assert isinstance(mine, default), f"{shown}: {type(mine).__name__} ({mine}), expected {wanted}"
    assert str(mine), f"{shown}: {type(mine).__name__} says nothing"
    for tensor, values in before:
        check_same(download(tensor), values, f"an operand after {shown}")
    context.samples += 1


def _wanted(theirs: Any, default: tuple[type[BaseException], ...]) -> str:
    kinds = (type(theirs),) if isinstance(theirs, BaseException) else default
    return " or ".join(each.__name__ for each in kinds)


# ---------------------------------------------------------------------------------------------- from the registry
def _missing(context: Context, record: OpDef, kind: dtype) -> None:
    """Called with nothing, an operator that needs something says so as Python does."""
    required = [each for each in inspect.signature(record.public).parameters.values()
                if each.default is each.empty and each.kind in (each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD)]
    if required:
        raises((TypeError, ValueError, RuntimeError), record.public, f"{record.name}() without arguments")


def _keyword(context: Context, record: OpDef, kind: dtype) -> None:
    parameters = inspect.signature(record.public).parameters.values()
    if any(each.kind is each.VAR_KEYWORD for each in parameters):
        return
    for args, kwargs in calls(record, kind, context.seed, context.storable)[:1]:
        placed = context.put(args), context.put(kwargs)
        raises(TypeError, partial(record.public, *placed[0], **placed[1], no_such_option=1),
               f"{record.name} with a keyword that it does not have")
    check_works(context)


def _wrong_type(context: Context, record: OpDef, kind: dtype) -> None:
    """Text, or nothing, in place of the first tensor."""
    for call in calls(record, kind, context.seed, context.storable)[:1]:
        first = next(each_value(call), None)
        for wrong in ("text", None, object()):
            def change(leaf: Any, wrong: Any = wrong, first: Any = first) -> Any:
                return wrong if leaf is first else leaf
            swapped = (replaced(call[0], change), replaced(call[1], change))
            placed = context.put(swapped[0]), context.put(swapped[1])
            if record.family == "composite" and _attempt(partial(calling.perform, record, placed)) is None:
                continue  # it may pass on what it is given, or ask only whether it is true
            _judge(context, record, swapped, placed, f"of {type(wrong).__name__}", _ANY)
    check_works(context)


def _dim_parameter(record: OpDef) -> str | None:
    return next((each for each in _DIMS if each in inspect.signature(record.public).parameters), None)


def _wrong_dim(context: Context, record: OpDef, kind: dtype) -> None:
    """Dimensions just outside the range, on both sides."""
    name = _dim_parameter(record)
    assert name is not None, record.name
    signature = inspect.signature(record.public)
    for args, kwargs in calls(record, kind, context.seed, context.storable)[:2]:
        first = next(each_value((args, kwargs)), None)
        if first is None:
            continue
        try:
            bound = signature.bind(*args, **kwargs)
        except TypeError:
            continue
        if any(each.kind is each.VAR_POSITIONAL and bound.arguments.get(each.name)
               for each in signature.parameters.values()):
            continue
        for dim in (9, -10):
            bound.arguments[name] = (dim,) if name == "dims" else dim
            call = tuple(bound.args), dict(bound.kwargs)
            placed = context.put(call[0]), context.put(call[1])
            if context.torch is None and isinstance(first.dtype, dtype) and not first.array.ndim:
                continue
            _judge(context, record, call, placed, f"with {name}={dim}", (IndexError, RuntimeError, ValueError))
    check_works(context)


def _two_devices(context: Context, record: OpDef, kind: dtype, other: str) -> None:
    """One operand on another device, in turn. 0-d operands and indices may have a meaning; they are left alone."""
    far = discovery.resolve(flambeau.device(other))
    stored = discovery.backend_for(far.type).capabilities.storage_dtypes
    for args, kwargs in calls(record, kind, context.seed, context.storable)[:1]:
        values = [each for each in each_value((args, kwargs)) if each.array.ndim and each.array.size]
        if len(values) < 2 or not {each.dtype for each in values} <= stored:
            continue
        for moved in values[:2]:
            def place(leaf: Any, moved: Any = moved) -> Any:
                return upload(context, leaf.array, far) if leaf is moved else context.put(leaf)
            placed = replaced(args, place), replaced(kwargs, place)
            error = _attempt(partial(calling.perform, record, placed))
            if error is None and record.name in _MAY_MOVE:
                continue
            assert error is not None, f"{record.name} with operands on {context.device} and {far} gave a result"
            assert isinstance(error, RuntimeError), f"{record.name}: {type(error).__name__} ({error}), not RuntimeError"
            context.samples += 1
    check_works(context)


# What takes values from wherever they are, or looks at nothing but shapes.
_MAY_MOVE = frozenset({
    "copy", "index", "index_put", "index_copy", "transfer", "as_strided_scatter", "broadcast_tensors", "expand_as",
    "meshgrid", "reshape_as", "view_as"})


def _no_broadcast(context: Context, record: OpDef, kind: dtype) -> None:
    """Shapes that no broadcasting brings together."""
    for call in calls(record, kind, context.seed, context.storable):
        values = list(each_value(call))
        if len(values) < 2 or values[0].array.shape != (3, 4):
            continue
        for shape in ((3, 5), (2, 4), (5,), (2, 1, 4, 4)):
            def reshaped(leaf: Any, shape: Any = shape, last: Any = values[-1]) -> Any:
                return leaf.like(np.resize(leaf.array, shape)) if leaf is last else leaf
            changed = replaced(call[0], reshaped), replaced(call[1], reshaped)
            placed = context.put(changed[0]), context.put(changed[1])
            _judge(context, record, changed, placed, f"of shapes [3, 4] and {list(shape)}", (RuntimeError,))
            error = _attempt(partial(calling.perform, record, placed))
            assert isinstance(error, RuntimeError), f"{record.name} of [3, 4] and {list(shape)}: {error!r}"
    check_works(context)


# The kernel is not defined for a dtype, but what people call gives the answer without it.
_BY_OTHERS = frozenset({"logaddexp", "nan_to_num"})


def _excluded(subject: Subject, record: OpDef) -> list[dtype]:
    """One dtype of each category that an operator is not defined for."""
    kinds = (fd.bool_, fd.int32, fd.float32, fd.complex64)
    return [kind for kind in kinds if kind.category in record.excluded and kind in subject.dtypes
            and record.family in POINTWISE and not record.internal and record.name not in _BY_OTHERS]


def _excluded_dtype(context: Context, record: OpDef, kind: dtype) -> None:
    tried = 0
    for call in calls(record, kind, context.seed, context.storable)[:2]:
        if any(each.dtype is not kind for each in each_value(call)):
            continue
        placed = context.put(call[0]), context.put(call[1])
        _judge(context, record, call, placed, f"of {kind.name}", (RuntimeError, TypeError))
        tried += 1
    check_works(context)


# ---------------------------------------------------------------------------------------------- in place
def _first_call(context: Context, record: OpDef, kind: dtype) -> tuple[Value, tuple[Any, ...], dict[str, Any]] | None:
    """(target, the other arguments, keywords) of the first sample call whose first argument is a tensor."""
    for args, kwargs in calls(record, kind, context.seed, context.storable):
        if args and isinstance(args[0], Value) and args[0].array.size > 1:
            return args[0], args[1:], kwargs
    return None


def _leaf(context: Context, record: OpDef, kind: dtype) -> None:
    """A leaf that requires a gradient, and a view of one, are not changed in place."""
    found = _first_call(context, record, kind)
    if found is None or not found[0].dtype.is_differentiable:
        return
    target, rest, kwargs = found
    call = record.inplace_call
    assert call is not None, record.name
    leaf = context.put(target).requires_grad_()
    error = raises(RuntimeError, lambda: call(leaf, *context.put(rest), **context.put(kwargs)),
                   f"{record.name}_ of a leaf that requires a gradient")
    assert str(error), "the error says nothing"
    check_same(download(leaf.detach()), target.array, "the leaf afterwards")
    check_equal((leaf._version, leaf.is_leaf, leaf.requires_grad), (0, True, True), "the leaf's version and state")
    if has_views(context):
        view = leaf[...]
        raises(RuntimeError, lambda: call(view, *context.put(rest), **context.put(kwargs)),
               f"{record.name}_ of a view of a leaf")
        check_same(download(leaf.detach()), target.array, "the leaf after a change of its view")
    with flambeau.no_grad():
        check_works(context)


def _inplace_shape(context: Context, record: OpDef, kind: dtype) -> None:
    """A result larger than the target is refused, and the target stays as it is."""
    found = _first_call(context, record, kind)
    if found is None or record.family not in ("binary", "pointwise"):
        return
    target, rest, kwargs = found
    small = context.put(target.like(target.array.reshape(-1)[:1].reshape((1,) * target.array.ndim)))
    call, before = record.inplace_call, download(small)
    assert call is not None, record.name
    if not any(isinstance(each, Value) and each.array.size > 1 for each in rest):
        return
    raises(RuntimeError, lambda: call(small, *context.put(rest), **context.put(kwargs)),
           f"{record.name}_ with a result larger than its target")
    check_same(download(small), before, "the target afterwards")
    check_equal((tuple(small.shape), small._version), (before.shape, 0), "shape and version afterwards")
    check_works(context)


def _inplace_dtype(context: Context, record: OpDef, kind: dtype) -> None:
    """A floating result does not go into an integer target; the target stays as it is."""
    found = _first_call(context, record, kind)
    if found is None or fd.int32 not in context.storable:
        return
    target, rest, kwargs = found
    whole = Value(np.arange(1, target.array.size + 1).reshape(target.array.shape), fd.int32)
    probe = _attempt_result(context, record, whole, rest, kwargs)
    if probe is None or fd.can_cast(probe.dtype, fd.int32) or tuple(probe.shape) != whole.array.shape:
        return
    integers, call = context.put(whole), record.inplace_call
    assert call is not None, record.name
    raises(RuntimeError, lambda: call(integers, *context.put(rest), **context.put(kwargs)),
           f"{record.name}_ with a {probe.dtype} result and an int32 target")
    check_same(download(integers), whole.array, "the target afterwards")
    check_equal((integers.dtype, integers._version), (fd.int32, 0), "dtype and version afterwards")


def _attempt_result(context: Context, record: OpDef, target: Value, rest: Any, kwargs: Any) -> Tensor | None:
    """What the out-of-place form gives, None where it refuses."""
    try:
        result = record.call(context.put(target), *context.put(rest), **context.put(kwargs))
    except REFUSALS:
        return None
    return result if isinstance(result, Tensor) else None


# ---------------------------------------------------------------------------------------------- dtypes of the device
def _of_dtypes(subject: Subject) -> Iterator[Case]:
    for kind in fd.ALL:
        if kind not in subject.dtypes:
            yield Case(LEVEL, "storage", kind.name, case_function(_not_stored, kind), kind)
        elif kind.storage_only:
            yield Case(LEVEL, "arithmetic", kind.name, case_function(_storage_only, kind), kind)
        elif not kind.is_differentiable:
            yield Case(LEVEL, "requires_grad", kind.name, case_function(_no_gradient, kind), kind)


def _not_stored(context: Context, kind: dtype) -> None:
    """A dtype that the device cannot store is refused wherever it is asked for; the host still has it."""
    x = flambeau.ones(3, dtype=fd.float32, device=context.device)
    ways: dict[str, Callable[[], Any]] = {
        "zeros": lambda: flambeau.zeros(2, dtype=kind, device=context.device),
        "empty": lambda: flambeau.empty(2, dtype=kind, device=context.device),
        "tensor": lambda: flambeau.tensor([1, 0], dtype=kind, device=context.device),
        "to(dtype)": lambda: x.to(kind), "zeros_like": lambda: flambeau.zeros_like(x, dtype=kind),
        "from the host": lambda: flambeau.ones(2, dtype=kind).to(context.device)}
    for name, way in ways.items():
        error = raises((RuntimeError, TypeError), way, f"{name} of {kind}")
        assert kind.name in str(error), f"{name}: the error does not name {kind.name}: {error}"
    moved = flambeau.ones(2, dtype=kind).to(context.device, fd.float32)
    check_tensor(moved, np.ones(2, np.float32), "a cast on the way to the device", context)
    check_works(context)


def _storage_only(context: Context, kind: dtype) -> None:
    """A dtype for storage is no dtype for arithmetic, wherever PyTorch refuses."""
    values = numbers(kind, 3, 4)
    x = upload(context, values)
    for name in ("exp", "add", "sum", "matmul"):
        mine = _attempt(partial(getattr(flambeau, name), *[x] * (1 + (name == "add"))))
        assert mine is None or isinstance(mine, (RuntimeError, TypeError)), f"{name} of {kind}: {type(mine).__name__}"
    check_tensor(x, values, "the operand", context)
    check_works(context)


def _no_gradient(context: Context, kind: dtype) -> None:
    x = upload(context, numbers(kind, 3))
    raises(RuntimeError, x.requires_grad_, f"requires_grad_() of {kind}")
    raises(RuntimeError, lambda: flambeau.zeros(2, dtype=kind, device=context.device, requires_grad=True),
           f"a factory with requires_grad of {kind}")
    check_equal(x.requires_grad, False, "requires_grad afterwards")


# ---------------------------------------------------------------------------------------------- the table
def _program(context: Context, refusal: Refusal) -> None:
    """Run one program of the table here and in PyTorch; both refuse, with errors that are caught alike."""
    made: list[tuple[Tensor, Host]] = []

    def make(array: Host) -> Tensor:
        tensor = upload(context, np.asarray(array))
        made.append((tensor, np.array(array)))
        return tensor
    mine = _attempt(lambda: refusal.run(flambeau, make, context.device))
    assert mine is not None, f"{refusal.op}: gave a result, expected {refusal.expected}"
    assert isinstance(mine, refusal.error), f"{refusal.op}: {type(mine).__name__} ({mine}), expected {refusal.expected}"
    assert str(mine), f"{refusal.op}: the error says nothing"
    if context.torch is not None:
        theirs = _attempt(lambda: refusal.run(context.torch, lambda each: context.torch.from_numpy(np.array(each)),
                                              "cpu"))
        assert theirs is None or agrees(mine, theirs), (
            f"{refusal.op}: {type(mine).__name__} ({mine}), PyTorch raises {type(theirs).__name__} ({theirs})")
    if not refusal.changes:
        for tensor, values in made:
            if tensor._version and context.backend.capabilities.asynchronous:
                continue   # a call that changes it had returned before it was refused
            check_same(download(tensor.detach()), values, f"an operand after {refusal.op} was refused")
            check_equal(tensor._version, 0, "its version")
    check_works(context)


def _kernels(context: Context) -> None:
    """Kernels refuse shapes that do not fit with ValueError, which the core then explains."""
    x, y = (upload(context, np.ones(shape, np.float32)) for shape in ((3, 4), (5, 6)))
    for name in ("add", "mul", "lt", "matmul"):
        kernel = context.backend.kernels.get(name)
        if kernel is not None:
            raises((ValueError, RuntimeError), partial(kernel, x._array, y._array),
                   f"the kernel {name} of shapes [3, 4] and [5, 6]")
    check_works(context)
