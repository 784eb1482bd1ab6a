"""Level "promotion": which dtype a result has, and which shape, when the operands differ.

Every operator of two operands is called with every pair of the device's dtypes, as tensors with and without
dimensions, with Python numbers on either side, in place, and with a grid of shapes. What PyTorch refuses has to be
refused. Without PyTorch the rules of `_rules` and NumPy's functions say what is right.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

import flambeau
from flambeau.registry import OPERATORS, OpDef
from flambeau_conformance import oracle
from flambeau_conformance.case import Case
from flambeau_conformance.levels import _promotion_others as others, _rules as rules
from flambeau_conformance.levels._promotion_tools import (
    agree,
    default_dtype,
    in_torch,
    result_matches,
    values,
)
from flambeau_conformance.levels._values import refused

LEVEL = "promotion"
NUMBERS: tuple[Any, ...] = (True, 2, 2.5, 1.5 - 2j, -3, False, 0.0)
SHAPES: tuple[tuple[int, ...], ...] = ((), (1,), (3,), (2, 1), (2, 3), (1, 1, 1), (4, 1, 1), (4, 1, 3), (0,), (2, 0),
                                       (4, 2, 1))
SIGNS: dict[str, Callable[[Any, Any], Any]] = {
    "add": operator.add, "sub": operator.sub, "mul": operator.mul, "div": operator.truediv,
    "floor_divide": operator.floordiv, "remainder": operator.mod, "pow": operator.pow, "bitwise_and": operator.and_,
    "bitwise_or": operator.or_, "bitwise_xor": operator.xor, "bitwise_left_shift": operator.lshift,
    "bitwise_right_shift": operator.rshift, "eq": operator.eq, "ne": operator.ne, "lt": operator.lt,
    "le": operator.le, "gt": operator.gt, "ge": operator.ge}


# operators whose methods take no number in PyTorch
_TENSORS_ONLY = frozenset("logical_and logical_or logical_xor gcd lcm atan2 hypot heaviside nextafter".split())
# where PyTorch has a case of its own, by operator and category: numbers as limits of bools, powers of bools with a
# number, complex logarithms of sums
_APART: dict[str, tuple[int, ...]] = {"clamp_min": (0,), "clamp_max": (0,), "pow": (0,)}
_NO_COMPLEX = frozenset(("logaddexp", "logaddexp2"))


def computing(subject: Any) -> list[Any]:
    """The device's dtypes that take part in promotion."""
    return [each for each in subject.dtypes if not each.storage_only]


def records(family: str) -> list[OpDef]:
    """The public operators of a family that promote all of their operands."""
    apart = ("celu", "hardshrink", "complex")     # their second operand is no tensor, or has to be of the same dtype
    return [each for each in OPERATORS.values() if each.family == family and not each.internal
            and each.namespace.split()[0] in ("torch", "special") and each.name not in apart]


# ---------------------------------------------------------------------------------------------- pairs
def _pairs(record: OpDef, dtype: Any, partners: list[Any], shapes: tuple[Any, Any]) -> Callable[[Any], None]:
    def run(ctx: Any) -> None:
        for other in partners:
            for first, second in ((dtype, other), (other, dtype)):
                if first is second and (first, second) != (dtype, other):
                    continue
                a, b = values(ctx, record, first, shapes[0], 0), values(ctx, record, second, shapes[1], 1)
                what = f"{record.name}({first.name} {list(shapes[0])}, {second.name} {list(shapes[1])})"
                result_matches(ctx, record, (a, b), what)
    return run


def _numbers(record: OpDef, dtype: Any) -> Callable[[Any], None]:
    sign = SIGNS.get(record.name)

    def run(ctx: Any) -> None:
        for shape in ((2, 3), ()):
            value = values(ctx, record, dtype, shape, 0)
            for number in _numbers_for(ctx, record):
                if not _sensible(record, dtype, number):
                    continue
                result_matches(ctx, record, (value, number), f"{record.name}({dtype.name} {list(shape)}, {number!r})")
                if sign is not None:
                    right = values(ctx, record, dtype, shape, 1)
                    for operands in ((value, number), (number, right)):
                        what = f"{record.name} as Python's operator on {operands[0]!r} and {operands[1]!r}"
                        result_matches(ctx, record, operands, what, sign)
    return run


def _numbers_for(ctx: Any, record: OpDef) -> list[Any]:
    """The numbers for an operator; complex ones where the device stores what becomes of them."""
    if record.name in _TENSORS_ONLY:
        return []
    return [each for each in NUMBERS if not isinstance(each, complex) or flambeau.complex64 in ctx.storable]


def _sensible(record: OpDef, dtype: Any, number: Any) -> bool:
    """Whether a number gives a result that is defined: no division by zero, no shift or power below zero."""
    if dtype.category in _APART.get(record.name, ()):
        return False
    if record.name in ("bitwise_left_shift", "bitwise_right_shift", "pow"):
        return bool((not isinstance(number, complex) and number > 0) or (record.name == "pow" and dtype.category > 1))
    if isinstance(number, complex):
        return True
    if number < 0:
        return bool(dtype.name not in ("uint8", "bool"))
    return bool(number or record.name not in ("div", "floor_divide", "remainder", "fmod", "gcd", "lcm"))


def _in_place(record: OpDef, dtype: Any, partners: list[Any]) -> Callable[[Any], None]:
    name = record.name + "_"

    def call(a: Any, b: Any) -> Any:
        result = getattr(a, name)(b)
        assert result is a, f"{name} does not give the tensor itself"
        return a

    def run(ctx: Any) -> None:
        for other in partners:
            for shape in ((2, 3), (3,), ()):
                a, b = values(ctx, record, dtype, (2, 3), 0), values(ctx, record, other, shape, 1)
                what = f"{dtype.name}.{name}({other.name} {list(shape)})"
                result_matches(ctx, record, (a, b), what, call, in_place=True)
        for number in _numbers_for(ctx, record):
            if _sensible(record, dtype, number):
                a = values(ctx, record, dtype, (2, 3), 0)
                result_matches(ctx, record, (a, number), f"{dtype.name}.{name}({number!r})", call, in_place=True)
        a, b = values(ctx, record, dtype, (3,), 0), values(ctx, record, dtype, (2, 3), 1)
        refused(lambda: call(ctx.put(a), ctx.put(b)), f"{name} with an operand that is larger", RuntimeError)
    return run


# ---------------------------------------------------------------------------------------------- shapes
def _grid(record: OpDef, dtype: Any) -> Callable[[Any], None]:
    """All pairs of shapes, those that do not fit too."""
    def run(ctx: Any) -> None:
        for first in SHAPES:
            for second in SHAPES:
                a, b = values(ctx, record, dtype, first, 0), values(ctx, record, dtype, second, 1)
                what = f"{record.name} of shapes {list(first)} and {list(second)}"
                try:
                    np.broadcast_shapes(first, second)
                except ValueError:
                    refused(partial(record.public, ctx.put(a), ctx.put(b)), what, RuntimeError)
                else:
                    result_matches(ctx, record, (a, b), what)
    return run


def _expanded(record: OpDef, dtype: Any) -> Callable[[Any], None]:
    """Operands whose elements lie on top of each other, or in another order: stride 0, transposed, every second."""
    views: dict[str, Callable[[Any], Any]] = {
        "expanded": lambda x: x[:1].expand(4, 3), "expanded column": lambda x: x[:, 1:2].expand(4, 3),
        "transposed": lambda x: x.reshape(3, 4).t(), "every second": lambda x: x.reshape(2, 6)[:, ::2].repeat(2, 1),
        "row": lambda x: x[2], "new dimension": lambda x: x[:, None, :], "0-d": lambda x: x[1, 2],
        "0-d expanded": lambda x: x[0, 0].expand(4, 3), "offset": lambda x: x[1:2]}

    def run(ctx: Any) -> None:
        for name, view in views.items():
            for other_name, other in views.items():
                a, b = values(ctx, record, dtype, (4, 3), 0), values(ctx, record, dtype, (4, 3), 1)

                def call(x: Any, y: Any, view: Any = view, other: Any = other) -> Any:
                    function = record.public if isinstance(x, flambeau.Tensor) else in_torch(record)
                    return function(view(x), other(y))

                if ctx.torch is not None:
                    result_matches(ctx, record, (a, b), f"{record.name} of operands {name} and {other_name}", call)
                else:
                    got = call(ctx.put(a), ctx.put(b))
                    plain = record.public(view(ctx.put(a)).clone(), other(ctx.put(b)).clone())
                    ctx.compare(got, plain, record, f"{record.name} of operands {name} and {other_name}")
    return run


def _gradients(record: OpDef, dtype: Any) -> Callable[[Any], None]:
    """Gradients have the shape and the dtype of the operand they belong to, whatever it was broadcast to."""
    def run(ctx: Any) -> None:
        for first, second in (((), (2, 3)), ((3,), (2, 3)), ((2, 1), (2, 3)), ((1, 3), (4, 2, 1)), ((4, 1, 1), (2, 3))):
            for one, two in ((first, second), (second, first)):
                a, b = values(ctx, record, dtype, one, 0), values(ctx, record, dtype, two, 1)
                grads = []
                for library in (flambeau, ctx.torch):
                    place = ctx.put if library is flambeau else oracle.to_torch
                    function = record.public if library is flambeau else in_torch(record)
                    leaves = [place(each).requires_grad_() for each in (a, b)]
                    result = function(*leaves)
                    weight = np.arange(int(np.prod(result.shape))).reshape(tuple(result.shape)) % 3 + 1.0
                    factor = flambeau.tensor(weight).to(result.dtype).to(ctx.device) if library is flambeau else \
                        ctx.torch.from_numpy(np.array(weight)).to(result.dtype)
                    (result * factor).sum().backward()
                    grads.append([each.grad for each in leaves])
                for ours, theirs, name in zip(*grads, ("first", "second"), strict=True):
                    what = f"gradient of the {name} operand of {record.name}, shapes {list(one)} and {list(two)}"
                    agree(ctx, record, ours, theirs, what, factor=10)
    return run


# ---------------------------------------------------------------------------------------------- one operand
def _unary(record: OpDef, default: Any, dtypes: list[Any]) -> Callable[[Any], None]:
    """What integers become under another default dtype."""
    def run(ctx: Any) -> None:
        with default_dtype(ctx, default):
            for dtype in dtypes:
                for shape in ((5,), ()) if dtype.name == "int64" else ((5,),):
                    value = values(ctx, record, dtype, shape, 0)
                    result_matches(ctx, record, (value,), f"{record.name}({dtype.name}) under default {default.name}")
    return run


def cases(subject: Any) -> Iterator[Case]:
    """The cases for one device."""
    dtypes = computing(subject)
    for record in records("binary"):
        own = [each for each in dtypes if not (each.is_complex and record.name in _NO_COMPLEX)]
        for position, dtype in enumerate(own):
            quick = record.name in ("add", "div", "pow", "lt") and dtype.name in ("int32", "float32")
            rest = own[position:]
            for name, shapes in (("dims", ((2, 3), (2, 3))), ("0d-right", ((2, 3), ())), ("0d-left", ((), (2, 3))),
                                 ("0d", ((), ()))):
                run = _pairs(record, dtype, rest, shapes)
                yield Case(LEVEL, record.name, f"{dtype.name}-{name}", run, dtype, quick)
            yield Case(LEVEL, record.name, f"{dtype.name}-numbers", _numbers(record, dtype), dtype, quick)
            if record.inplace:
                yield Case(LEVEL, record.name, f"{dtype.name}-inplace", _in_place(record, dtype, own), dtype, quick)
        yield from _shape_cases(record, dtypes)
    whole = [each for each in dtypes if each.category < 2 or each is flambeau.float32]   # floats keep their dtype
    for record in records("unary"):
        for default in (flambeau.float64, flambeau.float16):
            if default in dtypes:
                yield Case(LEVEL, record.name, f"default-{default.name}", _unary(record, default, whole), default)
    yield from others.cases(subject)


def _shape_cases(record: OpDef, dtypes: list[Any]) -> Iterator[Case]:
    excluded = rules.REFUSED.get(record.name, ()) or record.excluded
    usable = [each for each in (flambeau.float32, flambeau.int32) if each in dtypes and each.category not in excluded]
    for dtype in usable[:1]:
        yield Case(LEVEL, record.name, f"shapes-{dtype.name}", _grid(record, dtype), dtype,
                   quick=record.name in ("add", "mul", "where", "lt"))
        yield Case(LEVEL, record.name, f"strides-{dtype.name}", _expanded(record, dtype), dtype)
        if dtype.is_floating_point and len(record.differentiable) == 2 and oracle.has_torch():
            yield Case(LEVEL, record.name, f"gradients-{dtype.name}", _gradients(record, dtype), dtype)
