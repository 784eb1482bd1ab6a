"""Random loops for renderers, and what NumPy says that they compute.

`batches` draws loops: trees of functions that are exact in IEEE arithmetic, so that results must agree to the last
bit, with at most one inexact function on top. Divisors are not zero, shifts may be anything, integers overflow. Each
loop comes with layouts: shapes that broadcast, and arrays that are transposed, sliced, expanded or begin anywhere; some
operands are plain numbers.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

import numpy as np
from hypothesis import strategies as st

from flambeau import dtypes as fd
from flambeau.dtypes import BOOL, COMPLEX, FLOAT, INTEGER, dtype
from flambeau.ir import clike, expr as ir, prelude
from flambeau.ir.loops import Operand, Pointwise, Result

LOOPS, LAYOUTS = 8, 5      # of a batch; layouts of each loop
CASES = int(os.environ.get("FLAMBEAU_IR_CASES", "80"))     # how many cases a test draws; 2000 takes minutes
BATCHES = max(1, CASES // (LOOPS * LAYOUTS))

DTYPES = (fd.bool_, fd.uint8, fd.int8, fd.int16, fd.int32, fd.int64, fd.float32, fd.float64, fd.complex64,
          fd.complex128)
NUMPY = {each: np.dtype(each.name) for each in DTYPES}
OURS = {theirs: ours for ours, theirs in NUMPY.items()}

_COMPARE = {"eq": np.equal, "ne": np.not_equal, "lt": np.less, "le": np.less_equal, "gt": np.greater,
            "ge": np.greater_equal}
_LOGIC = {"logical_and": np.logical_and, "logical_or": np.logical_or, "logical_xor": np.logical_xor}
_BITS = {"bitwise_and": np.bitwise_and, "bitwise_or": np.bitwise_or, "bitwise_xor": np.bitwise_xor}
_INEXACT = {"exp": np.exp, "exp2": np.exp2, "expm1": np.expm1, "log": np.log, "log2": np.log2, "log10": np.log10,
            "log1p": np.log1p, "sin": np.sin, "cos": np.cos, "tan": np.tan, "asin": np.arcsin, "acos": np.arccos,
            "atan": np.arctan, "sinh": np.sinh, "cosh": np.cosh, "tanh": np.tanh, "asinh": np.arcsinh,
            "acosh": np.arccosh, "atanh": np.arctanh, "atan2": np.arctan2, "hypot": np.hypot, "pow": np.power}
_COMPLEX_INEXACT = ("exp", "log", "sin", "cos", "sinh", "cosh", "tanh", "sqrt", "div", "atan", "asinh", "acos")


Batch = list[tuple[Pointwise, list[list[Any]]]]   # loops, each with the operands of several calls


# ---------------------------------------------------------------------------------------------- trees
def _plain(x: Any) -> Any:
    """`x` where it is a number between -100 and 100, else 0: what every signed integer type can hold."""
    return ir.where(ir.logical_and(x > -100, x < 100), x, 0)


def _not_zero(y: Any) -> Any:
    return ir.where(ir.eq(y, 0), 1, y)


class Trees:
    """Draws trees over some leaves for operands of a category."""

    def __init__(self, random: Random, kind: dtype, names: Sequence[str]) -> None:
        self.random, self.kind, self.category = random, kind, kind.category
        self.symbols = [ir.symbol(name) for name in names]

    def leaf(self) -> Any:
        """An operand or a constant."""
        if self.random.random() < 0.8:
            return self.random.choice(self.symbols)
        return ir.constant(constant(self.random, self.kind))

    def truth(self, depth: int) -> Any:
        """A tree whose value is a bool."""
        choose = self.random.choice
        kind, x = choose(("compare", "compare", "logic", "not", "nan")), self.number(depth - 1)
        if kind == "not":
            return ir.logical_not(x)
        if kind == "nan":
            return choose((ir.isnan, ir.isinf))(x)
        compare = ("eq", "ne") if self.category == COMPLEX else tuple(_COMPARE)
        return ir.apply(choose(compare if kind == "compare" else tuple(_LOGIC)), x, self.number(depth - 1))

    def number(self, depth: int) -> Any:
        """A tree whose value has the dtype of the operands, or one that promotes to it."""
        choose = self.random.choice
        op = choose(_functions(self.category)) if depth > 0 else "leaf"
        if op == "leaf":
            return self.leaf()
        x = self.number(depth - 1)
        if op == "truth":
            return ir.cast(self.truth(depth), "operands")
        if op == "cast":
            names = ("uint8", "int8", "int16", "int32", "int64") if self.category == INTEGER else ("int8", "int64",
                                                                                                    "bool", "float64")
            return ir.cast(ir.cast(x if self.category == INTEGER else _plain(x), choose(names)), "operands")
        if op in _ONE:
            return ir.apply(op, x)
        y = self.leaf() if op == "copysign" else self.number(depth - 1)    # nothing says which sign a computed nan has
        if op == "where":
            return ir.where(self.truth(depth - 1), x, y)
        if op == "power":
            return x ** (y & 7)
        if op in ("remainder", "fmod", "floor_divide", "trunc_divide") and self.category == INTEGER:
            y = _not_zero(y)
        return ir.apply(op, x, y)


_ONE = ("neg", "conj_physical", "abs", "floor", "ceil", "trunc", "round", "sqrt", "bitwise_not", "sgn")


def _functions(category: int) -> tuple[str, ...]:
    common = ("add", "sub", "mul", "where", "leaf")
    if category == COMPLEX:
        return (*common, "neg", "conj_physical")
    common = (*common, "maximum", "minimum")
    if category == BOOL:
        return (*common, *_BITS, "bitwise_not", "truth")
    common = (*common, "neg", "abs", "remainder", "fmod", "floor_divide", "trunc_divide", "floor", "truth", "cast",
              "sgn")
    if category == INTEGER:
        return (*common, *_BITS, "bitwise_not", "bitwise_left_shift", "bitwise_right_shift", "power", "gcd")
    return (*common, "div", "sqrt", "ceil", "trunc", "round", "copysign")


def constant(random: Random, kind: dtype) -> Any:
    """A plain number of a dtype's category."""
    if kind.category == BOOL:
        return random.random() < 0.5
    if kind.category == INTEGER:
        return random.randint(-9 if kind.is_signed else 0, 9)
    reals = (0.0, -0.0, 0.5, 1.0, -1.5, 2.0, 3.0, 1e-3, 1e10)
    return random.choice(reals) if kind.category == FLOAT else complex(random.choice(reals), random.choice(reals))


def draw_loop(random: Random) -> Pointwise:
    """A loop with one to three operands and one or two results."""
    inner = random.choice((*DTYPES, fd.float32, fd.float64, fd.float32, fd.int32))
    names = ("x", "y", "z")[:random.randint(1, 3)]
    trees = Trees(random, inner, names)
    results = []
    for _ in range(random.choice((1, 1, 2))):
        tree, form = trees.number(random.randint(1, 4)), random.choice(("plain", "plain", "bool", "inexact"))
        if form == "bool":
            results.append(Result(trees.truth(2), fd.bool_))
            continue
        if form == "inexact" and inner.category >= FLOAT:
            name = random.choice(tuple(_INEXACT) if inner.category == FLOAT else _COMPLEX_INEXACT)
            second = (trees.number(1),) if name in ("atan2", "hypot", "pow", "div") else ()
            tree = ir.apply(name, tree, *second)
        results.append(Result(tree, inner))
    return Pointwise(tuple(Operand(name, inner) for name in names), tuple(results), inner)


# ---------------------------------------------------------------------------------------------- arrays
@dataclass
class View:
    """An array as a view of a storage, strides and offset in elements."""

    storage: Any
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    offset: int

    @property
    def array(self) -> Any:
        """The NumPy array."""
        size = self.storage.itemsize
        return np.lib.stride_tricks.as_strided(
            self.storage[self.offset:], self.shape, [stride * size for stride in self.strides])


def draw_view(random: Random, shape: tuple[int, ...], kind: dtype) -> View:
    """A view of a shape: dense, transposed, with gaps, expanded, with an offset."""
    order = list(range(len(shape)))
    gaps, expands = random.random() < 0.4, random.random() < 0.3
    if random.random() < 0.4:
        random.shuffle(order)
    strides, stride = [0] * len(shape), 1
    for d in reversed(order):
        if expands and random.random() < 0.4:
            continue
        step = random.choice((1, 2, 3)) if gaps else 1
        strides[d] = stride * step
        stride *= max(shape[d], 1) * step
    offset = random.choice((0, 0, 1, 5))
    return View(numbers(offset + stride + 1, kind, random.getrandbits(32)), shape, tuple(strides), offset)


def numbers(count: int, kind: dtype, seed: int) -> Any:
    """Values of a dtype: usual ones, and those at its ends."""
    rng = np.random.default_rng(seed)
    if kind.category == BOOL:
        return rng.random(count) < 0.5
    if kind.category == INTEGER:
        info = np.iinfo(NUMPY[kind])
        ends = rng.integers(info.min, info.max, count, NUMPY[kind], endpoint=True)
        return np.where(rng.random(count) < 0.7, rng.integers(-5 if kind.is_signed else 0, 9, count), ends).astype(
            NUMPY[kind])
    part = NUMPY[kind.to_real()]
    usual = rng.choice([rng.normal(0, 3, count), rng.integers(-4, 5, count), rng.normal(0, 1e3, count)])
    if kind.category == COMPLEX:
        return (usual + 1j * rng.normal(0, 2, count)).astype(NUMPY[kind])
    ends = rng.choice([0.0, -0.0, np.inf, -np.inf, np.nan, 1.0, -1.0, 0.5], count)
    return np.where(rng.random(count) < 0.8, usual, ends).astype(part)


def draw_operands(random: Random, loop: Pointwise) -> list[Any]:
    """Operands for a loop, views or numbers, of shapes that broadcast."""
    rank = random.choice((0, 1, 1, 2, 2, 3, 3, 4, 9))
    sizes = (1, 2, 3, 5, 9, 17) if rank < 4 else (1, 2, 3) if rank < 9 else (1, 2)
    shape = tuple(random.choice(sizes) for _ in range(rank))
    if rank and random.random() < 0.05:
        shape = (0, *shape[1:])
    same = random.random() < 0.5
    operands: list[Any] = []
    for position, each in enumerate(loop.operands):
        if position and random.random() < 0.25:
            operands.append(constant(random, each.dtype))
            continue
        mine = shape
        if not same:
            mine = tuple(1 if random.random() < 0.25 else size for size in shape)[random.choice((0, 0, rank // 2)):]
        operands.append(draw_view(random, mine, each.dtype))
    return operands


def draw_batch(random: Random) -> Batch:
    """Loops, each with layouts."""
    found = [draw_loop(random) for _ in range(LOOPS)]
    return [(loop, [draw_operands(random, loop) for _ in range(LAYOUTS)]) for loop in found]


def batches() -> Any:
    """A strategy: hypothesis draws where the generator of random numbers begins, and reports it."""
    return st.integers(0, 2**32 - 1).map(lambda seed: draw_batch(Random(seed)))


# ---------------------------------------------------------------------------------------------- what NumPy says
def expected(loop: Pointwise, operands: list[Any]) -> list[Any]:
    """The results of a loop by NumPy; of an inexact function in the next precision, rounded."""
    values = {each.name: value.array if isinstance(value, View) else value
              for each, value in zip(loop.operands, operands, strict=True)}
    values = {each.name: np.asarray(values[each.name], NUMPY[each.dtype]) for each in loop.operands}
    shape = np.broadcast_shapes(*[each.shape for each in values.values()])
    results = []
    with np.errstate(all="ignore"):
        for each in loop.results:
            value = _evaluate(each.tree, values, loop.inner, each.dtype)
            results.append(np.broadcast_to(np.asarray(value).astype(NUMPY[each.dtype]), shape))
    return results


def _evaluate(tree: ir.Expr, values: Mapping[str, Any], inner: dtype, outer: dtype) -> Any:
    done: dict[ir.Expr, Any] = {}
    for node in ir.walk(tree):
        if node.op == "symbol":
            done[node] = values[node.args[0]]
        elif node.op == "constant":
            done[node] = node.args[0]
        elif node.op == "cast":
            wanted = {"result": outer, "operands": inner}.get(node.args[1]) or fd.by_name(node.args[1])
            value = np.asarray(done[node.args[0]])
            if value.dtype.kind == "f" and NUMPY[wanted].kind in "iu":
                value = value.astype(np.int64)
            done[node] = value.astype(NUMPY[wanted])
        else:
            done[node] = _apply(node.op, [done[each] for each in node.args], inner)
    return done[tree]


def _apply(op: str, given: list[Any], inner: dtype) -> Any:
    """One function, in the dtype that its operands promote to; numbers have no say."""
    if op == "where":
        condition, *given = given
    kinds = [OURS[each.dtype] for each in given if isinstance(each, (np.ndarray, np.generic))]
    common = kinds[0] if kinds else inner
    for each in kinds[1:]:
        common = fd.promote_types(common, each)
    typed = [np.asarray(each).astype(NUMPY[common]) for each in given]
    if op == "where":
        return np.where(np.asarray(condition).astype(bool), *typed)
    if op in _COMPARE:
        return _COMPARE[op](*typed)
    if op in _LOGIC:
        return _LOGIC[op](*typed)
    if op in _BITS:
        return _BITS[op](*typed)
    result = np.asarray(_function(op, typed, common))
    return result if result.dtype.kind == "b" else result.astype(NUMPY[common])


def _function(op: str, typed: list[Any], common: dtype) -> Any:
    integer, boolean = common.category == INTEGER, common.category == BOOL
    if op in _INEXACT and not (op == "pow" and integer):
        wide = {fd.float32: np.float64, fd.complex64: np.complex128}.get(common, NUMPY[common])
        return _INEXACT[op](*[each.astype(wide) for each in typed])
    if op in ("bitwise_left_shift", "bitwise_right_shift"):
        return _shift(op, *typed)
    if op in ("isnan", "isinf") and common.category < FLOAT:
        return np.zeros(typed[0].shape, bool)
    if op in ("floor", "ceil", "trunc", "round") and common.category < FLOAT:
        return typed[0]
    if op == "trunc_divide":
        if not integer:
            return np.trunc(typed[0] / typed[1])
        down = np.floor_divide(*typed)
        return down + ((np.remainder(*typed) != 0) & ((typed[0] < 0) != (typed[1] < 0)))
    if op == "remainder" and common.category == FLOAT:
        rest = np.fmod(*typed)
        return np.where((rest != 0) & ((rest < 0) != (typed[1] < 0)), rest + typed[1], rest)
    if op == "sgn" and common.category == FLOAT:
        return np.where(np.isnan(typed[0]), 0, np.sign(typed[0]))
    if boolean and op in ("add", "sub", "mul"):
        return {"add": np.logical_or, "sub": np.logical_xor, "mul": np.logical_and}[op](*typed)
    names = {"add": np.add, "sub": np.subtract, "mul": np.multiply, "div": np.divide, "neg": np.negative,
             "abs": np.abs, "sqrt": np.sqrt, "floor": np.floor, "ceil": np.ceil, "trunc": np.trunc, "round": np.rint,
             "maximum": np.maximum, "minimum": np.minimum, "fmod": np.fmod, "remainder": np.remainder,
             "floor_divide": np.floor_divide, "copysign": np.copysign, "conj_physical": np.conj, "isnan": np.isnan,
             "isinf": np.isinf, "bitwise_not": np.invert, "logical_not": np.logical_not, "pow": np.power,
             "gcd": np.gcd, "sgn": np.sign}
    return names[op](*typed)


def _shift(op: str, x: Any, by: Any) -> Any:
    width = 8 * x.itemsize
    outside = (by < 0) | (by >= width)
    inside = np.where(outside, 0, by).astype(x.dtype)
    if op == "bitwise_left_shift":
        return np.where(outside, 0, np.left_shift(x, inside))
    rest = np.where(x < 0, -1, 0)
    return np.where(outside, rest, np.right_shift(x, inside))


def inexact(loop: Pointwise, position: int) -> bool:
    """Whether a result may differ in its last bits."""
    top = loop.results[position].tree
    return (any(node.op in _INEXACT for node in ir.walk(top)) and loop.inner.category >= FLOAT) or (
        loop.inner.category == COMPLEX and loop.results[position].dtype is not fd.bool_)


def compare(loop: Pointwise, position: int, result: Any, wanted: Any) -> None:
    """Equal, with nan equal to nan; to a few units in the last place where a function is inexact."""
    what = f"{loop.results[position].tree} for {loop.inner}"
    if not inexact(loop, position):
        np.testing.assert_array_equal(result, wanted, err_msg=what)
        return
    real = NUMPY[loop.inner.to_real()]
    tolerance = 64 * np.finfo(real).eps
    with np.errstate(all="ignore"):
        if loop.inner.category == COMPLEX:
            sane = np.isfinite(wanted) & (np.abs(wanted) < 1e15)
            result, wanted = result[sane], wanted[sane]
            scale = np.abs(wanted)
            assert (np.abs(result - wanted) <= 1e3 * tolerance * np.maximum(scale, 1)).all(), what
            return
        np.testing.assert_allclose(result, wanted, rtol=tolerance, atol=np.finfo(real).tiny * 4, err_msg=what)


# ---------------------------------------------------------------------------------------------- programs of a batch
def form_of(operands: list[Any]) -> str:
    """The form of a call, as flat kernels are named by it."""
    return "".join("a" if isinstance(each, View) else "v" for each in operands)


def is_flat(operands: list[Any], shape: tuple[int, ...]) -> bool:
    """Whether a flat kernel serves the call."""
    return all(each.shape == shape and each.array.flags.c_contiguous for each in operands if isinstance(each, View))


def program(batch: Batch) -> str:
    """One program with all kernels of a batch: k<loop>_s, and k<loop>_<form> for the forms that it calls."""
    functions = {each for loop, _ in batch for each in clike.functions(loop)}
    counts = {len(loop.operands) + len(loop.results) for loop, _ in batch}
    parts = [*[clike.walk_type(count) for count in sorted(counts)], prelude.text(functions)]
    for k, (loop, calls) in enumerate(batch):
        parts.append(clike.strided(loop, f"k{k}_s"))
        parts += [clike.flat(loop, f"k{k}_{form}", form) for form in sorted({form_of(call) for call in calls})]
    return "\n".join(parts)


def packed(value: Any, kind: dtype) -> bytes:
    """A number as the bytes of a dtype."""
    return np.asarray(value).astype(NUMPY[kind]).tobytes()


def broadcast_strides(operand: Any, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The strides of an operand, in elements, broadcast to a shape; 0 for a number."""
    if not isinstance(operand, View):
        return (0,) * len(shape)
    lead = len(shape) - len(operand.shape)
    return (0,) * lead + tuple(0 if size == 1 else stride
                               for size, stride in zip(operand.shape, operand.strides, strict=True))


def call_shape(operands: list[Any]) -> tuple[int, ...]:
    """The shape of a call's results."""
    return np.broadcast_shapes(*[each.shape if isinstance(each, View) else () for each in operands])


def walk_bytes(loop: Pointwise, operands: list[Any], shape: tuple[int, ...]) -> bytes:
    """The layout of a strided call whose results are dense."""
    dense = tuple(int(np.prod(shape[d + 1:])) for d in range(len(shape)))
    strides = [dense] * len(loop.results) + [broadcast_strides(each, shape) for each in operands]
    if not shape:
        return clike.pack_walk([1], [[0]] * len(strides), 1)
    return clike.pack_walk(shape, strides, int(np.prod(shape)))
