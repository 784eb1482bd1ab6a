"""Scalar expressions: what a pointwise operator computes for one element.

An operator's record states it as `expr=lambda x, y: x + y`; calling that on symbols gives an `Expr`, a small immutable
tree. Renderers turn trees into OpenCL C, CUDA C or Numba source; `evaluate` runs one on anything that has an
implementation of the functions, such as tensors (this is how an operator without a kernel gets its decomposition).

Trees are interned: two equal expressions are one object. So `is`, `==` and hashing compare structure, common parts are
found for free, and a tree is a key for caches of kernels. Equality of *values* is `eq` and `ne`; the other comparisons
have their Python operators.

An expression carries no dtypes: constants are weak, as Python numbers are in operators, and the record's promotion rule
says in which dtype everything is computed. `cast` marks where that changes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from threading import Lock
from typing import Any

Number = bool | int | float | complex

SYMBOL, CONSTANT, CAST = "symbol", "constant", "cast"

# Every function that a tree may apply, with its number of arguments. A renderer needs one line for each.
FUNCTIONS: dict[str, int] = {
    **dict.fromkeys((
        "neg", "abs", "sqrt", "exp", "exp2", "expm1", "log", "log2", "log10", "log1p", "sin", "cos", "tan", "asin",
        "acos", "atan", "sinh", "cosh", "tanh", "asinh", "acosh", "atanh", "floor", "ceil", "round", "trunc", "erf",
        "erfc", "erfinv", "lgamma", "digamma", "trigamma", "signbit", "logical_not", "bitwise_not", "isnan", "isinf",
        "sgn", "conj_physical", "angle"), 1),
    **dict.fromkeys((
        "add", "sub", "mul", "div", "floor_divide", "trunc_divide", "remainder", "fmod", "pow", "atan2", "hypot",
        "maximum", "minimum", "copysign", "nextafter", "eq", "ne", "lt", "le", "gt", "ge", "logical_and", "logical_or",
        "logical_xor", "bitwise_and", "bitwise_or", "bitwise_xor", "bitwise_left_shift", "bitwise_right_shift",
        "gcd", "lcm", "polygamma_series", "complex"), 2),
    "where": 3,
}

_interned: dict[tuple[Any, ...], Expr] = {}
_lock = Lock()


class Expr:
    """One node of a tree: a function of other nodes, a symbol, a constant or a cast.

    Attributes: `op`, a name in `FUNCTIONS` or one of "symbol", "constant", "cast"; `args`, the operands, which are
    other nodes, except for a symbol's name, a constant's number and a cast's second argument, the target.

    >>> from flambeau.ir.expr import symbols, where
    >>> x, y = symbols("x", "y")
    >>> x * 2 + y
    add(mul(x, 2), y)
    >>> (x + y) is (x + y), where(x > 0, x, 0)
    (True, where(gt(x, 0), x, 0))
    """

    __slots__ = ("args", "op")

    op: str
    args: tuple[Any, ...]

    def __new__(cls, op: str, *args: Any) -> Expr:
        # The type of a number is part of the key: 1, 1.0 and True are equal but not the same constant. So is the
        # sign of a zero, which repr() tells.
        key = (op, *((arg.__class__, repr(arg)) if op == CONSTANT else arg for arg in args))
        with _lock:
            found = _interned.get(key)
            if found is None:
                found = _interned[key] = object.__new__(cls)
                object.__setattr__(found, "op", op)
                object.__setattr__(found, "args", args)
        return found

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"expressions are immutable; cannot set {name!r}")

    def __repr__(self) -> str:
        if self.op in (SYMBOL, CONSTANT):
            return str(self.args[0])
        return f"{self.op}({', '.join(map(str, self.args))})"

    def __bool__(self) -> bool:
        raise TypeError("an expression has no truth value before it is evaluated; use where(), logical_and(), "
                        "logical_or() instead of if, and, or")

    def __add__(self, other: Expr | Number) -> Expr:
        return apply("add", self, other)

    def __radd__(self, other: Number) -> Expr:
        return apply("add", other, self)

    def __sub__(self, other: Expr | Number) -> Expr:
        return apply("sub", self, other)

    def __rsub__(self, other: Number) -> Expr:
        return apply("sub", other, self)

    def __mul__(self, other: Expr | Number) -> Expr:
        return apply("mul", self, other)

    def __rmul__(self, other: Number) -> Expr:
        return apply("mul", other, self)

    def __truediv__(self, other: Expr | Number) -> Expr:
        return apply("div", self, other)

    def __rtruediv__(self, other: Number) -> Expr:
        return apply("div", other, self)

    def __floordiv__(self, other: Expr | Number) -> Expr:
        return apply("floor_divide", self, other)

    def __mod__(self, other: Expr | Number) -> Expr:
        return apply("remainder", self, other)

    def __pow__(self, other: Expr | Number) -> Expr:
        return apply("pow", self, other)

    def __rpow__(self, other: Number) -> Expr:
        return apply("pow", other, self)

    def __neg__(self) -> Expr:
        return apply("neg", self)

    def __abs__(self) -> Expr:
        return apply("abs", self)

    def __invert__(self) -> Expr:
        return apply("bitwise_not", self)

    def __lt__(self, other: Expr | Number) -> Expr:
        return apply("lt", self, other)

    def __le__(self, other: Expr | Number) -> Expr:
        return apply("le", self, other)

    def __gt__(self, other: Expr | Number) -> Expr:
        return apply("gt", self, other)

    def __ge__(self, other: Expr | Number) -> Expr:
        return apply("ge", self, other)

    def __and__(self, other: Expr | Number) -> Expr:
        return apply("bitwise_and", self, other)

    def __or__(self, other: Expr | Number) -> Expr:
        return apply("bitwise_or", self, other)

    def __xor__(self, other: Expr | Number) -> Expr:
        return apply("bitwise_xor", self, other)


# ---------------------------------------------------------------------------------------------- building
def symbol(name: str) -> Expr:
    """A named operand."""
    return Expr(SYMBOL, name)


def symbols(*names: str) -> tuple[Expr, ...]:
    """Several named operands."""
    return tuple(symbol(name) for name in names)


def constant(value: Number) -> Expr:
    """A number; its Python type says no more than its category, as with operators on tensors."""
    return Expr(CONSTANT, value)


def as_expr(value: Expr | Number) -> Expr:
    """A node for what an operand may be: itself, or a constant."""
    if isinstance(value, Expr):
        return value
    if isinstance(value, (bool, int, float, complex)):
        return constant(value)
    raise TypeError(f"an expression's operand must be an Expr or a Python number, not {type(value).__name__}")


def apply(name: str, *operands: Expr | Number) -> Expr:
    """The function `name` applied to operands; KeyError for a name that is not in `FUNCTIONS`."""
    if FUNCTIONS[name] != len(operands):
        raise TypeError(f"{name} takes {FUNCTIONS[name]} operands, not {len(operands)}")
    return Expr(name, *[as_expr(each) for each in operands])


def cast(value: Expr | Number, target: str) -> Expr:
    """The value in another dtype ("bool", "float32"), or in the dtype of the "result" or of the "operands"."""
    return Expr(CAST, as_expr(value), target)


def where(condition: Expr | Number, then: Expr | Number, otherwise: Expr | Number) -> Expr:
    """`then` if the condition holds, else `otherwise`; both may be evaluated."""
    return apply("where", condition, then, otherwise)


def _function(name: str) -> Callable[..., Expr]:
    def build(*operands: Expr | Number) -> Expr:
        return apply(name, *operands)
    build.__name__ = build.__qualname__ = name
    build.__doc__ = f"Apply `{name}` to {FUNCTIONS[name]} operand(s)."
    return build


sqrt, exp, exp2, expm1 = _function("sqrt"), _function("exp"), _function("exp2"), _function("expm1")
log, log2, log10, log1p = _function("log"), _function("log2"), _function("log10"), _function("log1p")
sin, cos, tan = _function("sin"), _function("cos"), _function("tan")
asin, acos, atan, atan2 = _function("asin"), _function("acos"), _function("atan"), _function("atan2")
sinh, cosh, tanh = _function("sinh"), _function("cosh"), _function("tanh")
asinh, acosh, atanh = _function("asinh"), _function("acosh"), _function("atanh")
floor, ceil, round_, trunc = _function("floor"), _function("ceil"), _function("round"), _function("trunc")
erf, erfc, erfinv = _function("erf"), _function("erfc"), _function("erfinv")
lgamma, digamma, trigamma = _function("lgamma"), _function("digamma"), _function("trigamma")
polygamma_series, gcd, lcm = _function("polygamma_series"), _function("gcd"), _function("lcm")
sgn, conj, angle, complex_ = _function("sgn"), _function("conj_physical"), _function("angle"), _function("complex")
fmod, trunc_divide, hypot = _function("fmod"), _function("trunc_divide"), _function("hypot")
maximum, minimum = _function("maximum"), _function("minimum")
copysign, nextafter, signbit = _function("copysign"), _function("nextafter"), _function("signbit")
eq, ne, isnan, isinf = _function("eq"), _function("ne"), _function("isnan"), _function("isinf")
logical_and, logical_or = _function("logical_and"), _function("logical_or")
logical_xor, logical_not = _function("logical_xor"), _function("logical_not")
left_shift, right_shift = _function("bitwise_left_shift"), _function("bitwise_right_shift")


# ---------------------------------------------------------------------------------------------- reading
def trace(function: Callable[..., Any], names: Sequence[str]) -> Expr:
    """The tree that a record's `expr` gives for symbols with these names."""
    return as_expr(function(*symbols(*names)))


def walk(expression: Expr) -> Iterator[Expr]:
    """Every node of a tree once, operands before what uses them."""
    seen: set[Expr] = set()
    stack = [(expression, False)]
    while stack:
        node, ready = stack.pop()
        if ready:
            yield node
        elif node not in seen:
            seen.add(node)
            stack.append((node, True))
            stack.extend((each, False) for each in reversed(node.args) if isinstance(each, Expr))


def evaluate(expression: Expr, values: Mapping[str, Any], functions: Mapping[str, Callable[..., Any]]) -> Any:
    """The value of a tree: `values` for its symbols, `functions` by name, with "cast" taking (value, target)."""
    results: dict[Expr, Any] = {}
    for node in walk(expression):
        if node.op == SYMBOL:
            results[node] = values[node.args[0]]
        elif node.op == CONSTANT:
            results[node] = node.args[0]
        else:
            operands = [results[each] if isinstance(each, Expr) else each for each in node.args]
            results[node] = functions[node.op](*operands)
    return results[expression]
