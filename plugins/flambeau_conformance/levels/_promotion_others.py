"""The rest of the level "promotion": three operands, reductions, joining, the rules themselves, factories."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import flambeau
from flambeau_conformance.case import Case
from flambeau_conformance.levels import _rules as rules
from flambeau_conformance.levels._promotion_tools import agree, attempt, both, default_dtype, values
from flambeau_conformance.levels._values import refused
from flambeau_conformance.sampling import Value

LEVEL = "promotion"
Call = Callable[..., Any]

# name -> call(library, first, second): operators that take tensors of two dtypes, in some of their arguments
_MIXED: dict[str, Call] = {
    "where": lambda t, a, b: t.where(t.tensor([True, False, True]).to(a.device), a, b),
    "where-number": lambda t, a, b: (t.where(a > 0, a, 2.5), t.where(b > 0, 3, b)) if not a.is_complex() else None,
    "clamp-tensor": lambda t, a, b: t.clamp(a, min=b),
    "clamp-both": lambda t, a, b: t.clamp(a, b, b + b),
    "clamp-max": lambda t, a, b: t.clamp(a, max=b[:, :1]),
    "lerp": lambda t, a, b: t.lerp(a, b, 0.25),
    "lerp-weight": lambda t, a, b: t.lerp(a, a + a, b),
    "addcmul": lambda t, a, b: t.addcmul(a, b, b, value=2),
    "addcmul-third": lambda t, a, b: t.addcmul(a, a, b),
    "addcdiv": lambda t, a, b: t.addcdiv(a, b, b * b + 1, value=2),
    "add-alpha": lambda t, a, b: t.add(a, b, alpha=2),
    "sub-alpha": lambda t, a, b: t.sub(a, b, alpha=2),
    "div-floor": lambda t, a, b: t.div(a, b + 5, rounding_mode="floor"),
    "div-trunc": lambda t, a, b: t.div(a, b + 5, rounding_mode="trunc"),
    "true_divide": lambda t, a, b: t.true_divide(a, b * b + 1),
    "float_power": lambda t, a, b: t.float_power(a * a + 1, b),
    "masked_fill": lambda t, a, b: (a.masked_fill(t.tensor([True, False, True]).to(a.device), (b * b)[0, 0])
                                    if a.is_complex() or not b.is_complex() else None),
    "copy_": lambda t, a, b: a.clone().copy_(b) if a.is_complex() or not b.is_complex() else None,
    "setitem": lambda t, a, b: _assigned(a, b) if a.is_complex() or not b.is_complex() else None,
    "type_as": lambda t, a, b: a.type_as(b) if b.is_complex() or not a.is_complex() else None,
    "cat": lambda t, a, b: t.cat([a, b]), "stack": lambda t, a, b: t.stack([a, b], 1),
    "hstack": lambda t, a, b: t.hstack((a, b)), "vstack": lambda t, a, b: t.vstack((b, a)),
    "cat-empty": lambda t, a, b: t.cat([a, b[:0]], 0), "cat-three": lambda t, a, b: t.cat([a, b, b[:, :2]], -1),
    "result_type": lambda t, a, b: t.zeros(2, dtype=t.result_type(a, b), device=a.device),
    "result_type-0d": lambda t, a, b: t.zeros(2, dtype=t.result_type(a, b[0, 0]), device=a.device),
    "matmul": lambda t, a, b: t.matmul(a, b.t()) if a.dtype != b.dtype else None,
    "mm": lambda t, a, b: t.mm(a, b.t()) if a.dtype != b.dtype else None,
    "linear": lambda t, a, b: t.nn.functional.linear(a, b) if a.dtype != b.dtype else None,
    "index_add": lambda t, a, b: a.index_add(0, t.tensor([0, 1]).to(a.device), b) if a.dtype != b.dtype else None,
    "scatter": lambda t, a, b: (a.scatter(0, t.tensor([[0, 1, 0]]).to(a.device), b)
                                if a.dtype != b.dtype else None),
    "isclose": lambda t, a, b: t.isclose(a, b) if a.dtype != b.dtype else None,
    "out-add": lambda t, a, b: t.add(a, a, out=t.empty_like(b)),
    "out-mul": lambda t, a, b: t.mul(a, b, out=t.empty_like(a)),
}


def _assigned(a: Any, b: Any) -> Any:
    result = a.clone()
    result[0] = b[1]
    result[1, 1:] = b[0, 0]
    return result


def _mixed(name: str, dtype: Any, partners: list[Any]) -> Callable[[Any], None]:
    call = _MIXED[name]

    def run(ctx: Any) -> None:
        if ctx.torch is None:
            return _mixed_by_rule(ctx, name, dtype, partners)
        for other in partners:
            a, b = values(ctx, None, dtype, (2, 3), 0), values(ctx, None, other, (2, 3), 1)
            both(ctx, "composite", (a, b), lambda x, y: call(flambeau, x, y),
                 f"{name} of {dtype.name} and {other.name}", lambda x, y: call(ctx.torch, x, y), lenient=True)
        return None
    return run


_BY_RULE: dict[str, Call] = {
    "where": lambda a, b: np.where([True, False, True], a, b), "cat": lambda a, b: np.concatenate([a, b]),
    "stack": lambda a, b: np.stack([a, b], 1), "hstack": lambda a, b: np.hstack([a, b]),
    "vstack": lambda a, b: np.vstack([b, a])}


def _mixed_by_rule(ctx: Any, name: str, dtype: Any, partners: list[Any]) -> None:
    function = _BY_RULE.get(name)
    if function is None:
        return
    for other in partners:
        a, b = values(ctx, None, dtype, (2, 3), 0), values(ctx, None, other, (2, 3), 1)
        wanted = rules.promoted(dtype.name, other.name)
        found = _MIXED[name](flambeau, ctx.put(a), ctx.put(b))
        what = f"{name} of {dtype.name} and {other.name}"
        assert found.dtype.name == wanted, f"{what}: dtype {found.dtype.name}, expected {wanted}"
        wide = np.complex128 if rules.ORDER[wanted][0] == 3 else np.float64
        expected = function(a.array.astype(wide), b.array.astype(wide))
        ctx.compare_values(found, expected, "composite", what)
        ctx.samples += 1


# ---------------------------------------------------------------------------------------------- reductions
_REDUCTIONS: dict[str, Call] = {
    "sum": lambda t, x: t.sum(x, 1), "sum-all": lambda t, x: t.sum(x), "prod": lambda t, x: t.prod(x, 0),
    "mean": lambda t, x: t.mean(x, 1), "nansum": lambda t, x: t.nansum(x, 0), "cumsum": lambda t, x: t.cumsum(x, 1),
    "cumprod": lambda t, x: t.cumprod(x, 1), "var": lambda t, x: t.var(x, 1), "std": lambda t, x: t.std(x, 0),
    "amax": lambda t, x: t.amax(x, 1), "amin": lambda t, x: t.amin(x, 0), "argmax": lambda t, x: t.argmax(x, 1),
    "argmin": lambda t, x: t.argmin(x), "all": lambda t, x: t.all(x, 0), "any": lambda t, x: t.any(x),
    "max": lambda t, x: t.max(x), "min": lambda t, x: t.min(x), "logsumexp": lambda t, x: t.logsumexp(x, 1),
    "norm": lambda t, x: t.norm(x), "count_nonzero": lambda t, x: t.count_nonzero(x, 1),
    "softmax": lambda t, x: t.softmax(x, 1), "log_softmax": lambda t, x: t.log_softmax(x, 0),
    "trace": lambda t, x: t.trace(x), "cummax": lambda t, x: tuple(t.cummax(x, 1)),
    "median": lambda t, x: t.median(x), "diff": lambda t, x: t.diff(x), "square": lambda t, x: t.square(x),
    "dot": lambda t, x: t.dot(x[0], x[1]), "outer": lambda t, x: t.outer(x[0], x[1]),
    "matmul": lambda t, x: t.matmul(x, x.t()), "sort": lambda t, x: t.sort(x, 1).values,
    "vector_norm": lambda t, x: t.linalg.vector_norm(x, 2, 1),
    "mse_loss": lambda t, x: t.nn.functional.mse_loss(x, x + x),
}
_WITH_DTYPE: dict[str, Call] = {
    "sum": lambda t, x, d: t.sum(x, 1, dtype=d), "prod": lambda t, x, d: t.prod(x, 1, dtype=d),
    "mean": lambda t, x, d: t.mean(x, 1, dtype=d), "cumsum": lambda t, x, d: t.cumsum(x, 1, dtype=d),
    "cumprod": lambda t, x, d: t.cumprod(x, 0, dtype=d), "nansum": lambda t, x, d: t.nansum(x, 1, dtype=d),
    "softmax": lambda t, x, d: t.softmax(x, 1, dtype=d), "log_softmax": lambda t, x, d: t.log_softmax(x, 1, dtype=d),
    "to": lambda t, x, d: x.to(d), "zeros_like": lambda t, x, d: t.zeros_like(x, dtype=d),
    "full_like": lambda t, x, d: t.full_like(x, 3, dtype=d),
    "arange": lambda t, x, d: t.arange(4, dtype=d, device=x.device),
}
_SUM_RULE: dict[str, Call] = {"sum": np.sum, "prod": np.prod, "cumsum": np.cumsum, "cumprod": np.cumprod}


def _reduction(name: str, dtypes: list[Any]) -> Callable[[Any], None]:
    call = _REDUCTIONS[name]

    def run(ctx: Any) -> None:
        for dtype in dtypes:
            value = values(ctx, None, dtype, (2, 3), 0)
            if ctx.torch is not None:
                both(ctx, "composite", (value,), lambda x: call(flambeau, x), f"{name} of {dtype.name}",
                     lambda x: call(ctx.torch, x), lenient=True)
            else:
                _reduction_by_rule(ctx, name, value, lambda x: call(flambeau, x))
    return run


def _reduction_by_rule(ctx: Any, name: str, value: Value, call: Callable[[Any], Any]) -> None:
    category = value.dtype.category
    if name in ("mean", "var", "std", "logsumexp") and category < 2 and name != "logsumexp":
        refused(lambda: call(ctx.put(value)), f"{name} of {value.dtype.name}", RuntimeError)
    elif name in _SUM_RULE:
        found = call(ctx.put(value))
        wanted = "int64" if category < 2 else value.dtype.name
        assert found.dtype.name == wanted, f"{name} of {value.dtype.name}: dtype {found.dtype.name}, expected {wanted}"
        wide = np.int64 if category < 2 else (np.complex128 if category == 3 else np.float64)
        expected = _SUM_RULE[name](value.array.astype(wide), axis=0 if name == "prod" else 1)
        ctx.compare_values(found, expected, "composite", f"{name} of {value.dtype.name}")
    elif name in ("all", "any", "argmax", "argmin", "count_nonzero"):
        found = attempt(lambda: call(ctx.put(value)))
        wanted = ("uint8" if value.dtype.name == "uint8" else "bool") if name in ("all", "any") else "int64"
        assert isinstance(found, BaseException) or found.dtype.name == wanted, f"{name}: dtype {found.dtype}"
    ctx.samples += 1


def _with_dtype(name: str, dtype: Any, targets: list[Any]) -> Callable[[Any], None]:
    call = _WITH_DTYPE[name]

    def run(ctx: Any) -> None:
        value = values(ctx, None, dtype, (2, 3), 0)
        for target in targets:
            if dtype.is_complex and not target.is_complex:
                continue
            what = f"{name} of {dtype.name} with dtype={target.name}"
            if ctx.torch is not None:
                both(ctx, "composite", (value,), lambda x, d=target: call(flambeau, x, d), what,
                     lambda x, d=target: call(ctx.torch, x, getattr(ctx.torch, d.name)), lenient=True)
            elif name in ("sum", "cumsum", "to") and target.category > 1 and name != "arange":
                found = call(flambeau, ctx.put(value), target)
                wide = np.complex128 if target.is_complex else np.float64
                array = value.array.astype(wide)
                expected = {"sum": array.sum(1), "cumsum": array.cumsum(1), "to": array}[name]
                assert found.dtype is target, f"{what}: dtype {found.dtype}"
                ctx.compare_values(found, expected, "composite", what)
                ctx.samples += 1
    return run


# ---------------------------------------------------------------------------------------------- the rules
def _types(dtypes: list[Any]) -> Callable[[Any], None]:
    """promote_types, can_cast and result_type, for all pairs, against PyTorch's table or the rules."""
    def run(ctx: Any) -> None:
        for a, b in itertools.product(dtypes, repeat=2):
            ctx.samples += 1
            found, cast = flambeau.promote_types(a, b).name, flambeau.can_cast(a, b)
            wanted, castable = rules.promoted(a.name, b.name), rules.castable(a.name, b.name)
            if ctx.torch is not None:
                one, other = getattr(ctx.torch, a.name), getattr(ctx.torch, b.name)
                wanted = str(ctx.torch.promote_types(one, other)).removeprefix("torch.")
                castable = ctx.torch.can_cast(one, other)
            assert found == wanted, f"promote_types({a}, {b}) is {found}, expected {wanted}"
            assert cast == castable, f"can_cast({a}, {b}) is {cast}"
    return run


def _result_types(dtypes: list[Any]) -> Callable[[Any], None]:
    """result_type of tensors with and without dimensions, and of numbers."""
    def run(ctx: Any) -> None:
        for a, b in itertools.product(dtypes, repeat=2):
            for shapes in itertools.product(((2,), ()), repeat=2):
                tensors = [ctx.put(Value(np.ones(shape), kind)) for kind, shape in zip((a, b), shapes, strict=True)]
                named = [(kind.name, shape) for kind, shape in zip((a, b), shapes, strict=True)]
                wanted = rules.common([name for name, shape in named if shape],
                                      [name for name, shape in named if not shape], [])
                found = flambeau.result_type(*tensors).name
                assert found == wanted, f"result_type({a} {shapes[0]}, {b} {shapes[1]}) is {found}, expected {wanted}"
                ctx.samples += 1
            for number in (True, 2, 2.5, 2j):
                tensor = ctx.put(Value(np.ones(2), a))
                wanted = rules.common([a.name], [], [type(number)])
                assert flambeau.result_type(tensor, number).name == wanted, f"result_type({a}, {number!r})"
                assert flambeau.result_type(number, tensor).name == wanted, f"result_type({number!r}, {a})"
    return run


_FACTORIES: dict[str, Call] = {
    "tensor": lambda t, k: (t.tensor([1.5], **k), t.tensor([1], **k), t.tensor([True, False], **k), t.tensor(2.5, **k),
                            t.tensor([1, 2.5], **k), t.tensor([True, 3], **k)),
    "full": lambda t, k: (t.full((2,), 2.5, **k), t.full((2,), 3, **k), t.full((2,), True, **k)),
    "complex": lambda t, k: (t.tensor([1j], **k), t.full((), 1j, **k), t.arange(3, **k) + 1j, t.tensor(2.0, **k) * 1j),
    "arange": lambda t, k: (t.arange(4, **k), t.arange(4.0, **k), t.arange(0, 1, 0.25, **k)),
    "zeros": lambda t, k: (t.zeros(2, **k), t.ones(2, 2, **k), t.eye(2, **k), t.linspace(0, 1, 3, **k)),
    "number": lambda t, k: (t.arange(3, **k) * 2.5, t.arange(3, **k) / 2, t.arange(3, **k) * 2,
                            t.arange(3, **k) ** 2, 2.5 - t.arange(3, **k), t.tensor(3, **k) * 1.5,
                            t.tensor([True], **k) + 1, t.tensor([True], **k) * 0.5),
    "mean": lambda t, k: (t.arange(4.0, **k).mean(), t.arange(4, **k).float().mean(), t.arange(4, **k).sum()),
}


def _factories(name: str, default: Any) -> Callable[[Any], None]:
    """The dtypes of what is made from Python's numbers, under a default dtype."""
    call = _FACTORIES[name]

    def run(ctx: Any) -> None:
        with default_dtype(ctx, default):
            ours = attempt(lambda: call(flambeau, {"device": ctx.device}))
            theirs = attempt(lambda: call(ctx.torch, {})) if ctx.torch is not None else None
        if theirs is not None:
            agree(ctx, "composite", ours, theirs, f"{name} under default {default.name}")
        elif name != "complex":
            assert not isinstance(ours, BaseException), f"{name}: {ours}"
            names = {each.dtype.name for each in ours if each.dtype.is_floating_point} - {"float32"}
            assert names <= {default.name}, f"{name} under default {default.name}: {sorted(names)}"
            assert default.name in names or default is flambeau.float32, f"{name} never has dtype {default.name}"
    return run


def _wrapping(ctx: Any) -> None:
    """A 0-d tensor of the host joins tensors of the device as a number does; other tensors of the host do not."""
    here = ctx.put(Value(np.arange(3), flambeau.float32))
    zero = flambeau.tensor(2.0)
    for found in (here * zero, zero * here, here + flambeau.tensor(2), flambeau.where(here > 0, here, zero)):
        assert found.dtype is flambeau.float32 and found.device == ctx.device, f"{found.dtype} on {found.device}"
    ctx.compare(here * zero, np.array([0, 2, 4], np.float32), "mul", "a tensor times a 0-d tensor of the host")
    if not ctx.backend.capabilities.host:
        refused(lambda: here * flambeau.ones(3), "a product with a tensor of the host", RuntimeError)
        refused(lambda: flambeau.ones(3) + here, "a sum with a tensor of the host", RuntimeError)
        refused(lambda: flambeau.cat([here, flambeau.ones(3)]), "cat with a tensor of the host", RuntimeError)


def cases(subject: Any) -> Iterator[Case]:
    """The cases on everything but pairs of operands."""
    dtypes = [each for each in subject.dtypes if not each.storage_only]
    for dtype in dtypes:
        for name in _MIXED:
            yield Case(LEVEL, name.partition("-")[0], f"mixed-{name}-{dtype.name}", _mixed(name, dtype, dtypes), dtype,
                       quick=dtype.name == "int32")
        for name in _WITH_DTYPE:
            yield Case(LEVEL, name, f"to-dtypes-{dtype.name}", _with_dtype(name, dtype, dtypes), dtype)
    for name in _REDUCTIONS:
        yield Case(LEVEL, name.partition("-")[0], f"reduced-{name}", _reduction(name, dtypes), quick=True)
    yield Case(LEVEL, "promote_types", "all", _types(dtypes), quick=True)
    yield Case(LEVEL, "result_type", "all", _result_types(dtypes), quick=True)
    yield Case(LEVEL, "number", "0-d-of-the-host", _wrapping, quick=True)
    for default in (flambeau.float32, flambeau.float64, flambeau.float16, flambeau.bfloat16):
        if default in dtypes:
            for name in _FACTORIES:
                if name == "complex" and (default.itemsize < 4 or default.to_complex() not in dtypes):
                    continue   # the complex dtype that would go with it does not exist, or not on this device
                yield Case(LEVEL, "default_dtype", f"{name}-{default.name}", _factories(name, default), default)
