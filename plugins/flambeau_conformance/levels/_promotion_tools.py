"""How the level "promotion" draws operands and compares a call with PyTorch's, or with the rules and NumPy."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

import flambeau
from flambeau.errors import DtypeError
from flambeau.registry import OpDef
from flambeau_conformance import oracle
from flambeau_conformance.levels import _rules as rules
from flambeau_conformance.sampling import Value

ERRORS = (RuntimeError, TypeError, ValueError, IndexError, NotImplementedError, ZeroDivisionError, AttributeError)
_DIVISORS = frozenset("div floor_divide remainder fmod".split())
_NOT_BELOW_ZERO = frozenset("pow bitwise_left_shift bitwise_right_shift".split())


def values(ctx: Any, record: OpDef | None, dtype: Any, shape: tuple[int, ...], position: int) -> Value:
    """An operand: eighths within the record's domain, which every floating dtype holds; small whole numbers."""
    name = record.name if record else ""
    low, high = -4.0, 4.0
    if record is not None and record.domain:
        low, high = record.domain[position] if isinstance(record.domain[0], tuple) else record.domain
    if position == 1 and name in _NOT_BELOW_ZERO:
        low, high = 0, 3
    if dtype.category == 0:
        drawn = ctx.rng.random(shape) < (2 if position and name in _DIVISORS else 0.6)
    elif dtype.category == 1:
        smallest = max(int(np.ceil(low)), -100 if dtype.is_signed else 0)
        drawn = ctx.rng.integers(smallest, max(int(high) + 1, smallest + 1), shape)
    else:
        drawn = np.ceil(ctx.rng.uniform(low, high, shape) * 8 - 0.999) / 8
        if dtype.is_complex:
            drawn = drawn + 1j * np.floor(ctx.rng.uniform(low, high, shape) * 8) / 8
    if position and name in _DIVISORS:
        drawn = np.where(np.asarray(drawn) == 0, np.ones((), np.asarray(drawn).dtype), drawn)
    return Value(drawn, dtype, True)


def in_torch(record: OpDef) -> Callable[..., Any]:
    """PyTorch's function for a record that has to have one."""
    found = oracle.torch_function(record)
    assert found is not None, f"PyTorch has no function for {record.name}"
    return found


@contextmanager
def default_dtype(ctx: Any, dtype: Any) -> Iterator[None]:
    """A block in which another dtype is the default, in PyTorch too."""
    def choose(kind: Any) -> None:
        flambeau.set_default_dtype(kind)
        if ctx.torch is not None:
            ctx.torch.set_default_dtype(getattr(ctx.torch, kind.name))
    choose(dtype)
    try:
        yield
    finally:
        choose(flambeau.float32)


def attempt(call: Callable[[], Any]) -> Any:
    """What a call gives, or the error it raises."""
    try:
        return call()
    except ERRORS as error:
        return error


def agree(ctx: Any, record: OpDef | str, ours: Any, theirs: Any, what: str, factor: float = 1) -> None:
    """What the device gave is what PyTorch gave; where PyTorch raised, the device raised."""
    ctx.samples += 1
    if _beyond_pytorch(ours, theirs):
        return
    if isinstance(theirs, BaseException):
        assert isinstance(ours, BaseException), f"{what}: gave {_kind(ours)}, PyTorch refuses: {str(theirs)[:150]}"
        return
    if isinstance(ours, BaseException):
        if isinstance(ours, DtypeError) and _dtype_name(theirs) not in {"", *(each.name for each in ctx.storable)}:
            return  # a result that the device cannot store is refused
        raise AssertionError(f"{what}: raised {type(ours).__name__}: {ours}")
    if isinstance(theirs, (tuple, list)):
        assert isinstance(ours, (tuple, list)) and len(ours) == len(theirs), f"{what}: {len(ours)} results"
        for number, (one, other) in enumerate(zip(ours, theirs, strict=True)):
            agree(ctx, record, one, other, f"{what}, result {number}", factor)
        return
    ctx.compare(ours, theirs, record, what, factor=factor)


def _dtype_name(theirs: Any) -> str:
    return str(getattr(theirs, "dtype", "")).rpartition(".")[2]


def _beyond_pytorch(ours: Any, theirs: Any) -> bool:
    """Whether PyTorch has no answer: its kernels lack half precision here and there, and complex32 is not a dtype."""
    if isinstance(theirs, BaseException):
        text = str(theirs)
        return "not implemented for 'Half'" in text or "not implemented for 'BFloat16'" in text or "ComplexHalf" in text
    if str(getattr(theirs, "dtype", "")) == "torch.complex32":
        assert isinstance(ours, flambeau.Tensor) and ours.dtype is flambeau.complex64, _kind(ours)
        return True
    return False


def _kind(value: Any) -> str:
    return f"{value.dtype} {list(value.shape)}" if isinstance(value, flambeau.Tensor) else repr(value)


def both(ctx: Any, record: OpDef | str, operands: Sequence[Any], call: Callable[..., Any], what: str,
         torch_call: Callable[..., Any] | None = None, factor: float = 1, lenient: bool = False) -> None:
    """One call on the device and the same on PyTorch, with values as tensors of either.

    `lenient` where a device may do what PyTorch's host has no kernel for: those refusals are no rules.
    """
    theirs = [oracle.to_torch(each) if isinstance(each, Value) else each for each in operands]
    expected = attempt(lambda: (torch_call or call)(*theirs))
    if lenient and isinstance(expected, BaseException) and "not implemented for" in str(expected):
        return
    found = attempt(lambda: call(*(ctx.put(each) for each in operands)))
    agree(ctx, record, found, expected, what, factor)


def result_matches(ctx: Any, record: OpDef, operands: Sequence[Any], what: str, call: Callable[..., Any] | None = None,
                   in_place: bool = False) -> None:
    """A call of an operator against PyTorch, or against the rules and NumPy."""
    if ctx.torch is not None and (call or oracle.torch_function(record)):
        # PyTorch's Bessel functions are good to 8 digits in any dtype
        both(ctx, record, operands, call or record.public, what, call or oracle.torch_function(record),
             factor=1e5 if "bessel" in record.name and len(operands) == 1 else 1)
    elif len(operands) == 2:
        _against_rules(ctx, record, operands, what, call or record.public, in_place)
    else:
        _against_default(ctx, record, operands[0], what)


def _against_rules(ctx: Any, record: OpDef, operands: Sequence[Any], what: str, call: Callable[..., Any],
                   in_place: bool) -> None:
    tensors = [each for each in operands if isinstance(each, Value)]
    shared = rules.common([each.dtype.name for each in tensors if each.array.ndim],
                          [each.dtype.name for each in tensors if not each.array.ndim],
                          [type(each) for each in operands if not isinstance(each, Value)])
    kinds = [each.dtype.name if isinstance(each, Value) else type(each).__name__ for each in operands]
    wanted = rules.result_of(record.name, shared, kinds)
    numbers = any(not isinstance(each, Value) for each in operands)
    if record.name not in rules.NUMPY or (numbers and record.name in ("maximum", "minimum", "fmax", "fmin")):
        return
    if "complex" in kinds and ("float16" in kinds or "bfloat16" in kinds):
        return    # in what precision it is computed is not said
    found = attempt(lambda: call(*(ctx.put(each) for each in operands)))
    ctx.samples += 1
    if wanted is None or (in_place and not rules.castable(wanted, tensors[0].dtype.name)):
        assert isinstance(found, BaseException), f"{what}: gave {_kind(found)}, which must be refused"
        return
    if isinstance(found, BaseException):
        if numbers:   # some functions take no numbers: PyTorch knows which, the rules do not
            return
        raise AssertionError(f"{what}: raised {type(found).__name__}: {found}")
    dtype = tensors[0].dtype.name if in_place else wanted
    assert found.dtype.name == dtype, f"{what}: dtype {found.dtype.name}, expected {dtype}"
    arrays = [each.array.astype("float32") if isinstance(each, Value) and each.dtype.name == "bfloat16" else
              each.array if isinstance(each, Value) else each for each in operands]
    expected = rules.computed(record.name, arrays, shared, wanted)
    if expected is not None:
        expected = np.asarray(expected)
        if in_place and tensors[0].dtype.category < 2:
            expected = expected.astype(dtype)
        ctx.compare_values(found, expected, record, what)


def _against_default(ctx: Any, record: OpDef, value: Value, what: str) -> None:
    """Without PyTorch: an operator of one operand that gives floats for integers gives the default dtype."""
    found = attempt(lambda: record.public(ctx.put(value)))
    if isinstance(found, BaseException) or value.dtype.category > 1 or not found.dtype.is_floating_point:
        return
    default = flambeau.get_default_dtype()
    assert found.dtype is default, f"{what}: dtype {found.dtype}, expected {default}"
    ctx.samples += 1
    single = record.public(ctx.put(Value(value.array, default)))
    ctx.compare(found, single, record, what + ", against the operator on floats")
