"""Deliberate faults, one at a time, in a backend, in gradients, in view rules and in dtype rules.

A fault is a context manager that breaks something and mends it on the way out. They are derived from the table of
operators: each kind of fault is put into operators spread over all that it applies to, so that nobody chose those
that are easily found. The device that is broken is a copy of the host's backend under another name; the oracles stay
whole.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

import flambeau
from flambeau import dtypes, registry
from flambeau.dtypes import FLOAT
from flambeau.registry import OPERATORS, OpDef
from flambeau_conformance.watch import forget_plans
from guest import Guest

FLOATS = (np.float32, np.float64)
EACH = 7     # operators per kind of fault


class Mutant(Guest):
    """The host's arrays and kernels as two devices of their own, which faults are put into."""

    name = "mutant"

    def device_count(self) -> int:
        return 2


@dataclass(frozen=True)
class Fault:
    """What is broken, in which operator (or part of the contract), and how."""

    kind: str
    op: str
    break_it: Callable[[], Any]      # a context manager

    @property
    def id(self) -> str:
        return f"{self.kind}-{self.op}"


def backend() -> Any:
    return flambeau.discovery.backend_for("mutant")


@contextlib.contextmanager
def replaced(table: dict[str, Any], name: str, value: Any) -> Iterator[None]:
    """One entry of a table, another one meanwhile."""
    before = table[name]
    table[name] = value
    forget_plans()
    try:
        yield
    finally:
        table[name] = before
        forget_plans()


@contextlib.contextmanager
def patched(target: Any, name: str, value: Any) -> Iterator[None]:
    """One attribute of an object, another one meanwhile."""
    had = name in vars(target) if hasattr(target, "__dict__") else True
    before = getattr(target, name)
    setattr(target, name, value)
    forget_plans()
    try:
        yield
    finally:
        if had:
            setattr(target, name, before)
        else:
            delattr(target, name)
        forget_plans()


# ---------------------------------------------------------------------------------------------- results of kernels
def _each(change: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def apply(result: Any) -> Any:
        if isinstance(result, tuple):
            return tuple(apply(each) for each in result)
        return change(np.asarray(result))
    return apply


def _negated(a: Any) -> Any:
    return ~a if a.dtype == bool else (a + a.dtype.type(1) if a.dtype.kind == "u" else -a)


def _off(a: Any) -> Any:
    return ~a if a.dtype == bool else (a + 1 if a.dtype.kind in "iu" else a * a.dtype.type(1.01)).astype(a.dtype)


def _rounded(a: Any) -> Any:
    return (a * a.dtype.type(1 + 2e-4)) if a.dtype in FLOATS else a


def _last_lost(a: Any) -> Any:
    a = a.copy()
    if a.size:
        a.reshape(-1)[-1] = _off(a.reshape(-1)[-1:])[0]
    return a


def _other_dtype(a: Any) -> Any:
    return a.astype({"f": np.float32 if a.dtype == np.float64 else np.float64, "i": np.int32 if a.dtype == np.int64
                     else np.int64, "b": np.int8, "u": np.int64, "c": np.complex128 if a.dtype == np.complex64
                     else np.complex64}.get(a.dtype.kind, np.float32))


def _nan_lost(a: Any) -> Any:
    return np.where(np.isnan(a), a.dtype.type(0), a) if a.dtype in FLOATS else a


def _infinity_lost(a: Any) -> Any:
    return np.clip(a, np.finfo(a.dtype).min, np.finfo(a.dtype).max) if a.dtype in FLOATS else a


def _one_dimension(a: Any) -> Any:
    return a.reshape(1) if a.ndim == 0 else a


def _reversed(a: Any) -> Any:
    return a[::-1].copy() if a.ndim else a


_RESULTS: dict[str, tuple[Callable[[Any], Any], str]] = {
    "wrong-sign": (_negated, "any"), "one-per-cent-off": (_off, "any"), "imprecise": (_rounded, "float"),
    "last-element-wrong": (_last_lost, "any"), "wrong-dtype": (_other_dtype, "any"), "nan-lost": (_nan_lost, "nan"),
    "infinity-lost": (_infinity_lost, "infinity"), "no-dimension-lost": (_one_dimension, "pointwise"),
    "reversed": (_reversed, "any"),
}


def _kernel(name: str, wrap: Callable[[Callable[..., Any]], Callable[..., Any]]) -> Callable[[], Any]:
    def break_it() -> Any:
        kernels = backend().kernels
        return replaced(kernels, name, wrap(kernels[name]))
    return break_it


def _result(change: Callable[[Any], Any]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    apply = _each(change)

    def wrap(kernel: Callable[..., Any]) -> Callable[..., Any]:
        def broken(*args: Any, **kwargs: Any) -> Any:
            out = kwargs.pop("out", None)
            found = apply(kernel(*args, **kwargs))
            if out is None:
                return found
            np.copyto(out, found, casting="unsafe")
            return out
        return broken
    return wrap


# ---------------------------------------------------------------------------------------------- operands of kernels
def _operands(change: Callable[[Any], Any]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    def wrap(kernel: Callable[..., Any]) -> Callable[..., Any]:
        def broken(*args: Any, **kwargs: Any) -> Any:
            return kernel(*[_in_lists(change, each) for each in args], **kwargs)
        return broken
    return wrap


def _in_lists(change: Callable[[Any], Any], value: Any) -> Any:
    if isinstance(value, list):
        return [_in_lists(change, each) for each in value]
    return change(value) if isinstance(value, np.ndarray) else value


def _root(array: Any) -> Any:
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array


def _stride_ignored(array: Any) -> Any:
    if array.flags.c_contiguous:
        return array
    flat = _root(array).reshape(-1)
    start = (array.ctypes.data - flat.ctypes.data) // array.itemsize
    return np.resize(flat[start:], array.shape)


def _offset_ignored(array: Any) -> Any:
    root = _root(array)
    if array.ctypes.data == root.ctypes.data:
        return array
    return np.lib.stride_tricks.as_strided(root, array.shape, array.strides)


def _swapped(kernel: Callable[..., Any]) -> Callable[..., Any]:
    def broken(a: Any, b: Any, *args: Any, **kwargs: Any) -> Any:
        return kernel(b, a, *args, **kwargs)
    return broken


def _no_broadcast(kernel: Callable[..., Any]) -> Callable[..., Any]:
    def broken(*args: Any, **kwargs: Any) -> Any:
        shape = next((each.shape for each in args if isinstance(each, np.ndarray)), ())
        given = [each if not isinstance(each, np.ndarray) or each.shape == shape else np.resize(each, shape)
                 for each in args]
        return kernel(*given, **kwargs)
    return broken


def _changes_input(kernel: Callable[..., Any]) -> Callable[..., Any]:
    def broken(*args: Any, **kwargs: Any) -> Any:
        result = kernel(*args, **kwargs)
        for each in args:
            if isinstance(each, np.ndarray) and each.flags.writeable and each.size:
                each.reshape(-1)[:1] = 1 if each.dtype == bool else each.reshape(-1)[:1] + 1
                if not np.shares_memory(each.reshape(-1), each):
                    each[(0,) * each.ndim] += 1
                break
        return result
    return broken


def _out_ignored(kernel: Callable[..., Any]) -> Callable[..., Any]:
    def broken(*args: Any, **kwargs: Any) -> Any:
        out = kwargs.pop("out", None)
        return kernel(*args, **kwargs) if out is None else out
    return broken


def _next_dim(value: Any, ndim: int) -> Any:
    if ndim < 2:
        return value
    if isinstance(value, tuple):
        return tuple((each + 1) % ndim for each in value)
    return (value + 1) % ndim


def _wrong_axis(name: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    position = OPERATORS[name].parameters.index("dim")

    def wrap(kernel: Callable[..., Any]) -> Callable[..., Any]:
        def broken(*args: Any) -> Any:
            first = args[0][0] if isinstance(args[0], list) else args[0]
            changed = list(args)
            changed[position] = _next_dim(args[position], np.ndim(first))
            return kernel(*changed)
        return broken
    return wrap


def _flag_ignored(name: str, flag: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    position = OPERATORS[name].parameters.index(flag)

    def wrap(kernel: Callable[..., Any]) -> Callable[..., Any]:
        def broken(*args: Any) -> Any:
            return kernel(*args[:position], False, *args[position + 1:])
        return broken
    return wrap


def _only_for(kind: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    def wrap(kernel: Callable[..., Any]) -> Callable[..., Any]:
        def broken(*args: Any, **kwargs: Any) -> Any:
            result = kernel(*args, **kwargs)
            first = next((each for each in args if isinstance(each, np.ndarray)), None)
            if first is None or first.dtype != kind or isinstance(result, tuple):
                return result
            found = _off(np.asarray(result))
            if kwargs.get("out") is not None:
                np.copyto(kwargs["out"], found)
                return kwargs["out"]
            return found
        return broken
    return wrap


def _noisy(kernel: Callable[..., Any]) -> Callable[..., Any]:
    noise = np.random.default_rng()

    def broken(*args: Any, **kwargs: Any) -> Any:
        result = kernel(*args, **kwargs)
        if kwargs.get("out") is not None:
            return result
        return tuple(map(blurred, result)) if isinstance(result, tuple) else blurred(result)

    def blurred(result: Any) -> Any:
        if not isinstance(result, np.ndarray) or result.dtype not in FLOATS:
            return result
        return result * (1 + noise.standard_normal(result.shape) * 4e-7).astype(result.dtype)
    return broken


def _leaking(kernel: Callable[..., Any]) -> Callable[..., Any]:
    kept: list[Any] = []

    def broken(*args: Any, **kwargs: Any) -> Any:
        result = kernel(*args, **kwargs)
        kept.append(np.ones(20_000))
        return result
    return broken


def _raises_on_empty(kernel: Callable[..., Any]) -> Callable[..., Any]:
    def broken(*args: Any, **kwargs: Any) -> Any:
        if any(isinstance(each, np.ndarray) and not each.size for each in args):
            raise ZeroDivisionError("no elements")
        return kernel(*args, **kwargs)
    return broken


def _number_truncated(kernel: Callable[..., Any]) -> Callable[..., Any]:
    def broken(*args: Any, **kwargs: Any) -> Any:
        return kernel(*[float(int(each)) if isinstance(each, float) else each for each in args], **kwargs)
    return broken


# ---------------------------------------------------------------------------------------------- where they go
def spread(names: Sequence[str], count: int = EACH) -> list[str]:
    """Names spread evenly over a sorted list."""
    ordered = sorted(names)
    step = max(len(ordered) / count, 1)
    return [ordered[int(number * step)] for number in range(min(count, len(ordered)))]


def _native(wanted: Callable[[OpDef], bool]) -> list[str]:
    """Operators with a kernel whose results are values, of those wanted."""
    kernels = backend().kernels
    return [name for name in kernels if name in OPERATORS and OPERATORS[name].tensors + OPERATORS[name].lists
            and OPERATORS[name].family not in ("view", "views") and not OPERATORS[name].name.startswith("_")
            and name not in UNTESTED and wanted(OPERATORS[name])]


# Draws have no tensor operands and are broken apart from this; `transfer` has no values of its own.
UNTESTED = frozenset({"transfer", "refill"})
_COMMUTATIVE = frozenset("""clamp_min clamp_max add mul maximum minimum fmax fmin hypot logaddexp logaddexp2 eq ne
    gcd lcm logical_and logical_or logical_xor bitwise_and bitwise_or bitwise_xor outer dot""".split())
_BROADCAST = ("binary", "pointwise")
_FLOATING = "exp log sqrt tanh div mul add sub sin pow atan2 sum amax softmax sort cumsum mean".split()


def _pointwise(record: OpDef) -> bool:
    return record.family in ("unary", "binary", "pointwise") and not record.internal


def _float_results(record: OpDef) -> bool:
    return not record.internal and record.vjps != "none" and record.dtype_rule != "any"


def kernel_faults() -> Iterator[Fault]:
    """Faults in kernels, for each kind in operators spread over those it applies to."""
    public = _native(lambda record: not record.internal)
    for kind, (change, group) in _RESULTS.items():
        names = {"any": public, "float": _native(_float_results), "pointwise": _native(_pointwise),
                 "nan": [each for each in _FLOATING if each in backend().kernels],
                 "infinity": ["exp", "div", "mul", "add", "sub", "log", "neg"]}[group]
        for name in spread(names, 12 if group == "any" else EACH):
            yield Fault(kind, name, _kernel(name, _result(change)))
    for kind, change in {"stride-ignored": _stride_ignored, "offset-ignored": _offset_ignored}.items():
        for name in spread(public, 12):
            yield Fault(kind, name, _kernel(name, _operands(change)))
    for name in spread(_native(lambda record: record.family == "binary" and not record.internal
                               and record.name not in _COMMUTATIVE), 12):
        yield Fault("operands-swapped", name, _kernel(name, _swapped))
    for name in spread(_native(lambda record: record.family in _BROADCAST and not record.internal
                               and len(record.tensors) > 1), 12):
        yield Fault("no-broadcast", name, _kernel(name, _no_broadcast))
    for name in spread(public):
        yield Fault("changes-its-input", name, _kernel(name, _changes_input))
    for name in spread(_native(_pointwise)):
        yield Fault("out-ignored", name, _kernel(name, _out_ignored))
    for name in spread(_native(lambda record: "dim" in record.parameters and not record.internal), 14):
        yield Fault("wrong-axis", name, _kernel(name, _wrong_axis(name)))
    for flag in ("keepdim", "descending", "stable", "upper", "accumulate", "include_self"):
        for name in spread(_native(lambda record, flag=flag: flag in record.parameters), 4):  # type: ignore[misc]
            if (flag, name) != ("stable", "sort"):     # NumPy's sort of few elements is stable in any case
                yield Fault(f"{flag}-ignored", name, _kernel(name, _flag_ignored(name, flag)))
    for dtype in ("int64", "bool", "uint8", "complex64", "float64", "int32"):
        names = _native(lambda record: record.name in ("add", "mul", "eq", "where", "clone", "sum", "cat", "index",
                                                       "matmul", "gather"))
        for name in spread([each for each in names if (each, dtype) != ("matmul", "bool")], 3):
            yield Fault(f"wrong-for-{dtype}", name, _kernel(name, _only_for(dtype)))
    for name in spread(_native(_float_results), 4):
        yield Fault("noisy", name, _kernel(name, _noisy))
    for name in ("add", "sum", "matmul"):
        yield Fault("leaking", name, _kernel(name, _leaking))
    for name in spread(_native(_pointwise), 4):
        yield Fault("raises-on-empty", name, _kernel(name, _raises_on_empty))
    for name in ("add", "mul", "pow", "clamp", "lerp"):
        if name in backend().kernels:
            yield Fault("number-truncated", name, _kernel(name, _number_truncated))


# ---------------------------------------------------------------------------------------------- gradients
def _vjp(name: str, change: Callable[[Any], Any]) -> Callable[[], Any]:
    record = OPERATORS[name]

    def altered(vjp: Callable[..., Any]) -> Callable[..., Any]:
        def broken(*args: Any) -> Any:
            found = vjp(*args)
            if isinstance(found, (list, tuple)):
                return type(found)(None if each is None else change(each) for each in found)
            return None if found is None else change(found)
        broken.__code__ = broken.__code__     # its own parameters: the plan is made from the original's
        return broken

    @contextlib.contextmanager
    def break_it() -> Iterator[None]:
        plans = dict(record.save_plans)
        record.save_plans.clear()
        make = record._make_save_plan

        def faulty(needs: tuple[bool, ...]) -> Any:
            plan = make(needs)
            plan.calls = tuple((slots, altered(vjp), kept) for slots, vjp, kept in plan.calls)
            return plan
        keep = OpDef._make_save_plan
        OpDef._make_save_plan = lambda self, needs: faulty(needs) if self is record else keep(self, needs)  # type: ignore[method-assign]
        forget_plans()
        try:
            yield
        finally:
            OpDef._make_save_plan = keep  # type: ignore[method-assign]
            record.save_plans.clear()
            record.save_plans.update(plans)
            forget_plans()
    return break_it


_GRADIENTS: dict[str, Callable[[Any], Any]] = {
    "gradient-sign": lambda g: -g, "gradient-halved": lambda g: g * 0.5, "gradient-lost": lambda g: g * 0,
    "gradient-detached": lambda g: g.detach(), "gradient-reversed": lambda g: g.flip(-1) if g.dim() else g * 2,
}


def gradient_faults() -> Iterator[Fault]:
    """Faults in gradients of operators spread over those that have a formula."""
    names = [name for name, record in OPERATORS.items() if isinstance(record.vjps, tuple) and record.vjps
             and not record.internal and record.name not in UNTESTED and record.name not in NO_GRADIENT]
    curved = [name for name in names if name in CURVED]
    for kind, change in _GRADIENTS.items():
        for name in spread(curved if kind == "gradient-detached" else names, 8):
            yield Fault(kind, name, _vjp(name, change))


NO_GRADIENT = frozenset({"floor", "ceil", "trunc", "round", "sign", "frac"}) | {"nextafter", "heaviside"}
CURVED = ("mul", "div", "pow", "exp", "log", "tanh", "sigmoid", "matmul", "sqrt", "sin", "softmax", "prod")


# ---------------------------------------------------------------------------------------------- views, in place
_VIEWS: dict[str, Callable[[Any, Any, int], Any]] = {
    "view-offset-off-by-one": lambda shape, strides, offset: (shape, strides, offset + 1),
    "view-offset-ignored": lambda shape, strides, offset: (shape, strides, 0),
    "view-strides-reversed": lambda shape, strides, offset: (shape, tuple(reversed(strides)), offset),
    "view-stride-one": lambda shape, strides, offset: (shape, (1,) * len(strides), offset),
    "view-shape-shortened": lambda shape, strides, offset: ((max(shape[0] - 1, 0), *shape[1:]) if shape else shape,
                                                            strides, offset),
}


def _view(name: str, change: Callable[[Any, Any, int], Any]) -> Callable[[], Any]:
    """The mutant's own kernel of a view (which comes before the rule) gives another layout."""
    rule = OPERATORS[name].function

    def kernel(array: Any, *args: Any) -> Any:
        own = backend()
        strides, offset = own.layout(array)
        found = change(*rule(array.shape, strides, offset, *args))
        try:
            return own.as_strided(array, *found)
        except (TypeError, ValueError):
            return own.as_strided(array, *rule(array.shape, strides, offset, *args))

    @contextlib.contextmanager
    def break_it() -> Iterator[None]:
        kernels = backend().kernels
        before = kernels.get(name)
        kernels[name] = kernel
        try:
            yield
        finally:
            if before is None:
                del kernels[name]
            else:
                kernels[name] = before
    return break_it


def _inplace(name: str, change: Callable[[Callable[..., Any]], Callable[..., Any]]) -> Callable[[], Any]:
    method = name + "_"
    return lambda: patched(flambeau.Tensor, method, change(getattr(flambeau.Tensor, method)))


def _nothing(call: Callable[..., Any]) -> Callable[..., Any]:
    return lambda self, *args, **kwargs: self


def _new_tensor(call: Callable[..., Any]) -> Callable[..., Any]:
    def broken(self: Any, *args: Any, **kwargs: Any) -> Any:
        return call(self, *args, **kwargs).clone()
    return broken


def view_faults() -> Iterator[Fault]:
    """Faults in the rules of views and in what changes tensors in place."""
    names = [name for name, record in OPERATORS.items() if record.family == "view" and record.promote is None
             and not record.internal and name not in ("alias", "detach")]
    for kind, change in _VIEWS.items():
        moving = [each for each in names if kind != "view-offset-ignored" or each in (
            "select", "narrow", "slice", "diagonal", "as_strided")]
        if kind in ("view-strides-reversed", "view-stride-one"):
            moving = [each for each in moving if each not in ("view", "unsqueeze", "squeeze", "expand")]
        for name in spread(moving, 5):
            yield Fault(kind, name, _view(name, change))
    inplace = [name for name, record in OPERATORS.items() if record.inplace_call is not None
               and hasattr(flambeau.Tensor, name + "_") and not record.internal]
    for name in spread(inplace, 8):
        yield Fault("in-place-does-nothing", name, _inplace(name, _nothing))
    for name in spread(inplace[1:], 4):
        yield Fault("in-place-makes-a-new-tensor", name, _inplace(name, _new_tensor))


# ---------------------------------------------------------------------------------------------- dtype rules
def _rule(name: str, rule: Callable[[Any], Any]) -> Callable[[], Any]:
    record = OPERATORS[name]
    return lambda: patched(record, "promote", rule)


def dtype_faults() -> Iterator[Fault]:
    """Faults in the dtypes of results."""
    pointwise = [name for name, record in OPERATORS.items() if record.family in ("unary", "binary")
                 and not record.internal]
    comparing = [name for name in ("eq", "lt", "gt", "ne", "logical_and", "isnan") if name in pointwise]
    for name in spread(comparing, 3):
        yield Fault("comparison-keeps-the-dtype", name, _rule(name, lambda common: (common, common)))
    floating = [name for name in pointwise
                if OPERATORS[name].promote(dtypes.int64)[0].category == FLOAT] if pointwise else []
    for name in spread(floating, 5):
        yield Fault("integers-stay-integers", name, _rule(name, lambda common: (common, common)))
    for name in spread([each for each in pointwise if each in ("add", "mul", "sub", "maximum", "abs", "neg")], 4):
        yield Fault("result-in-float64", name, _rule(name, lambda common: (common, dtypes.float64)))
    for name in ("result-type-ignores-dimensions", "result-type-takes-the-first"):
        yield Fault(name, "add", _promotion(name))


def _promotion(kind: str) -> Callable[[], Any]:
    keep = dtypes.result_type_of

    def without_dimensions(dims: Any, zeros: Any, scalars: Any) -> Any:
        return keep([*dims, *zeros], [], scalars)

    def first(dims: Any, zeros: Any, scalars: Any) -> Any:
        return dims[0] if dims else keep(dims, zeros, scalars)
    return lambda: patched(dtypes, "result_type_of", first if kind.endswith("first") else without_dimensions)


# ---------------------------------------------------------------------------------------------- the contract
def _method(name: str, change: Callable[[Any, Any], Any]) -> Callable[[], Any]:
    def break_it() -> Any:
        own = backend()
        keep = getattr(own, name)
        return patched(own, name, lambda *args: change(keep, args))
    return break_it


def _copy_first(keep: Any, args: Any) -> None:
    target, source = args
    if target.size:
        target.reshape(-1)[:1] = np.asarray(source).reshape(-1)[:1]
        target[(0,) * target.ndim] = np.asarray(source)[(0,) * np.ndim(source)]


_CONTRACT: dict[str, tuple[str, Callable[[Any, Any], Any]]] = {
    "copy-does-nothing": ("copy", lambda keep, args: None),
    "copy-ignores-strides": ("copy", lambda keep, args: keep(args[0], _stride_ignored(args[1]))),
    "copy-ignores-offset": ("copy", lambda keep, args: keep(args[0], _offset_ignored(args[1]))),
    "copy-first-element-only": ("copy", _copy_first),
    "copy-to-offset-0": ("copy", lambda keep, args: keep(_offset_ignored(args[0]), args[1])),
    "as_strided-off-by-one": ("as_strided", lambda keep, args: keep(*args[:3], max(args[3] - 1, 0))),
    "as_strided-ignores-offset": ("as_strided", lambda keep, args: keep(*args[:3], 0)),
    "as_strided-copies": ("as_strided", lambda keep, args: keep(*args).copy()),
    "as_strided-dense": ("as_strided", lambda keep, args: keep(args[0], args[1], flambeau.shapes.contiguous_strides(
        args[1]), args[3])),
    "from_host-keeps-the-array": ("from_host", lambda keep, args: np.asarray(args[0], order="C")),
    "from_host-ignores-strides": ("from_host", lambda keep, args: keep(_stride_ignored(args[0]), args[1])),
    "from_host-transposes": ("from_host", lambda keep, args: keep(args[0].T.reshape(args[0].shape), args[1])),
    "to_host-gives-the-memory": ("to_host", lambda keep, args: args[0]),
    "to_host-ignores-offset": ("to_host", lambda keep, args: keep(_offset_ignored(args[0]))),
    "to_host-ignores-strides": ("to_host", lambda keep, args: keep(_stride_ignored(args[0]))),
    "to_host-in-float32": ("to_host", lambda keep, args: keep(args[0]).astype(np.float32).astype(args[0].dtype)),
    "empty-in-float32": ("empty", lambda keep, args: keep(args[0], flambeau.float32, args[2])),
    "layout-without-offset": ("layout", lambda keep, args: (keep(*args)[0], 0)),
    "layout-in-bytes": ("layout", lambda keep, args: (tuple(args[0].strides), keep(*args)[1])),
    "layout-always-dense": ("layout", lambda keep, args: (flambeau.shapes.contiguous_strides(args[0].shape),
                                                          keep(*args)[1])),
    "storage-is-the-array": ("storage", lambda keep, args: args[0]),
    "is_contiguous-always": ("is_contiguous", lambda keep, args: True),
    "is_contiguous-never": ("is_contiguous", lambda keep, args: False),
    "properties-without-memory": ("properties", lambda keep, args: type(keep(*args))("", 0, {})),
}


def contract_faults() -> Iterator[Fault]:
    """Faults in the methods of the contract."""
    for kind, (name, change) in _CONTRACT.items():
        yield Fault(kind, "", _method(name, change))


def all_faults() -> list[Fault]:
    """Every fault, each put in alone."""
    registry.primitives()
    return [*kernel_faults(), *gradient_faults(), *view_faults(), *dtype_faults(), *contract_faults()]
