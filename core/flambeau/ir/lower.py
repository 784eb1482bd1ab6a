"""From scalar expressions to C: every node gets a dtype, a line and a name.

    lowered = lower({"out": tree}, {"x": ("x[i]", float32), "n": ("n", int64)}, inner=float32, outer=float32)
    lowered.statements     lines of C such as "const f32 t0 = exp(x_);", operands before what uses them
    lowered.values["out"]  C text of the result, in the outer dtype
    lowered.functions      what `prelude.text` must put before the kernel for it
    lowered.fails          whether the statements use FAIL, so that the kernel must take ERRORS

`operands` gives each symbol's C text, best a name, and its dtype. `inner` is the dtype that the record's promotion rule
computes in: plain numbers take it, unless they are of a higher category. `outer` is the dtype of the results, to which
values are converted (a mapping: one for each; None: each keeps its own). Common parts are computed once. C names are
those of a dialect's header.

The arithmetic is NumPy's and PyTorch's: integers wrap around, narrow ones after each operation; bools are 0 or 1, their
sum is "or"; comparisons give bools; functions of integers give floats; nan wins in `maximum`. What C leaves open is
settled here or in `prelude`: signed overflow, shifts by more than the width, division by zero, which reports.

With `width=8` (4 for float64) every float value is a vector of that many, comparisons are masks, and what has no vector
form raises `NoVectors`: the OpenCL compilers of processors compute `exp` of eight floats in the time of one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from flambeau import dtypes as fd
from flambeau.dtypes import BOOL, COMPLEX, FLOAT, INTEGER, dtype
from flambeau.ir.dialect import C_TYPES
from flambeau.ir.expr import CAST, CONSTANT, SYMBOL, Expr, walk

# Functions of floats that C has under this name, for scalars and, in OpenCL C, for vectors.
BUILTIN = {name: name for name in (
    "sqrt", "exp", "exp2", "expm1", "log", "log2", "log10", "log1p", "sin", "cos", "tan", "asin", "acos", "atan",
    "sinh", "cosh", "tanh", "asinh", "acosh", "atanh", "floor", "ceil", "trunc", "erf", "erfc", "lgamma", "atan2",
    "hypot", "copysign", "nextafter", "fmod")} | {"round": "rint", "abs": "fabs"}
ROUNDING = ("floor", "ceil", "round", "trunc")     # of integers: nothing to do
_LIGHT = {"floor", "ceil", "trunc", "round", "abs", "copysign", "fmod", "nextafter"}
HEAVY = frozenset({*BUILTIN, "pow"}) - _LIGHT     # those that pay for vectors
_ALWAYS_FLOAT = frozenset((*BUILTIN, "div", "erfinv", "digamma", "trigamma", "polygamma_series", "angle")) - {
    "fmod", "abs", "nextafter", *ROUNDING}
_COMPARISONS = {"eq": "==", "ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">="}
_LOGIC = {"logical_and": "&", "logical_or": "|", "logical_xor": "^"}
_BITS = {"bitwise_and": "&", "bitwise_or": "|", "bitwise_xor": "^"}
_ARITHMETIC = {"add": "+", "sub": "-", "mul": "*"}
_ON_BOOLS = {"add": "|", "sub": "^", "mul": "&", "maximum": "|", "minimum": "&"}
_POWERS = {1: "{0}", 2: "{0} * {0}", 3: "{0} * {0} * {0}", 0.5: "sqrt({0})", -0.5: "{1} / sqrt({0})", -1: "{1} / {0}",
           -2: "{1} / ({0} * {0})"}
_PRELUDE_BINARY = ("floor_divide", "trunc_divide", "remainder", "fmod", "gcd", "lcm", "polygamma_series")
_OWN_VECTORS = ("erf", "sin", "cos", "tan")     # in float32
_PRELUDE_UNARY = ("erfinv", "digamma", "trigamma")


class NoVectors(TypeError):
    """The expression has a part without a vector form."""


class Value(NamedTuple):
    """A lowered node: its C text and dtype; `number` is a constant's, which has no dtype of its own (None)."""

    text: str
    dtype: dtype | None
    number: Any = None


class Lowered(NamedTuple):
    """What `lower` gives; see the module."""

    statements: list[str]
    values: dict[str, str]
    dtypes: dict[str, dtype]
    functions: frozenset[tuple[str, str]]
    fails: bool


def lower(trees: Mapping[str, Expr], operands: Mapping[str, tuple[str, dtype]], inner: dtype,
          outer: dtype | Mapping[str, dtype] | None = None, *, prefix: str = "t", width: int = 1) -> Lowered:
    """C for the named trees, which share common parts. TypeError for a function that a dtype does not have."""
    work = _Lowering(operands, inner, prefix, width)
    values, kinds = {}, {}
    for name, tree in trees.items():
        target = outer if outer is None or isinstance(outer, dtype) else outer[name]
        value = work.run(tree, target or inner)
        value = work.typed(value, inner) if target is None else work.convert(work.typed(value, target), target)
        assert value.dtype is not None
        values[name], kinds[name] = value.text, value.dtype
    return Lowered(work.statements, values, kinds, frozenset(work.functions), work.fails)


def literal(number: Any, kind: dtype) -> str:
    """A Python number as C text of a dtype."""
    if kind.category == BOOL:
        return str(int(bool(number)))
    if kind.category == INTEGER:
        wrapped = int(number) & ((1 << 8 * kind.itemsize) - 1)
        if kind.is_signed and wrapped >> 8 * kind.itemsize - 1:
            wrapped -= 1 << 8 * kind.itemsize
        if wrapped == -1 << 63:
            return "((i64)-9223372036854775807 - 1)"
        return f"(({C_TYPES[kind]}){wrapped}{'' if kind.is_signed else 'u'})"
    if kind.category == COMPLEX:
        number, part = complex(number), kind.to_real()
        return f"of_{C_TYPES[kind]}({literal(number.real, part)}, {literal(number.imag, part)})"
    number = float(number)
    if math.isnan(number):
        return f"(({C_TYPES[kind]})NAN)"
    if abs(number) > (3.4028235677973366e38 if kind is fd.float32 else math.inf) or math.isinf(number):
        return f"(({C_TYPES[kind]}){'-' if number < 0 else ''}INFINITY)"
    text = f"{number!r}f" if kind is fd.float32 else repr(number)
    return f"({text})" if text.startswith("-") else text


def conversion(text: str, given: dtype, wanted: dtype) -> str:
    """C text of a scalar in another dtype. Floats become integers by truncation, and narrow ones wrap around."""
    if given is wanted:
        return text
    name = C_TYPES[wanted]
    if given.category == COMPLEX:
        if wanted.category == COMPLEX:
            part = C_TYPES[wanted.to_real()]
            return f"of_{name}(({part}){text}.x, ({part}){text}.y)"
        if wanted.category == BOOL:
            return f"(b8)({text}.x != 0 || {text}.y != 0)"
        return conversion(f"{text}.x", given.to_real(), wanted)
    if wanted.category == BOOL:
        return f"(b8)({text} != 0)"
    if wanted.category == COMPLEX:
        return f"of_{name}(({C_TYPES[wanted.to_real()]}){text}, 0)"
    if given.category == FLOAT and wanted.category == INTEGER and wanted is not fd.int64:
        return f"({name})(i64){text}"
    return f"({name}){text}"


class _Lowering:
    """The state of one `lower`."""

    def __init__(self, operands: Mapping[str, tuple[str, dtype]], inner: dtype, prefix: str, width: int) -> None:
        self.operands, self.inner, self.prefix, self.width = operands, inner, prefix, width
        self.statements: list[str] = []
        self.functions: set[tuple[str, str]] = set()
        self.fails = False
        self.done: dict[Expr, Value] = {}
        self.outer = inner

    def run(self, tree: Expr, outer: dtype) -> Value:
        """Lower one tree whose result will be of the outer dtype."""
        self.outer = outer
        for node in walk(tree):
            if node not in self.done:
                self.done[node] = self.node(node)
        return self.done[tree]

    def node(self, node: Expr) -> Value:
        """Lower one node, whose operands are done."""
        if node.op == SYMBOL:
            text, kind = self.operands[node.args[0]]
            return Value(text, kind)
        if node.op == CONSTANT:
            return Value("", None, node.args[0])
        if node.op == CAST:
            wanted = {"result": self.outer, "operands": self.inner}.get(node.args[1]) or fd.by_name(node.args[1])
            return self.keep(self.convert(self.typed(self.done[node.args[0]], wanted), wanted))
        values = [self.done[each] for each in node.args]
        if node.op == "where":
            return self.keep(self.where(values))
        common = self.common(node.op, values)
        if common.category == COMPLEX:
            from flambeau.ir.complex_lower import apply
            return self.keep(apply(self, node.op, values, common))
        method: Callable[[str, list[Value], dtype], Value] = getattr(self, f"_{node.op}", self._other)
        return self.keep(method(node.op, values, common))

    # ------------------------------------------------------------------------------------------ dtypes and names
    def common(self, op: str, values: list[Value]) -> dtype:
        """The dtype in which a function of these values is computed."""
        kinds = [each.dtype for each in values if each.dtype is not None]
        numbers = [fd.of_python(type(each.number)) for each in values if each.dtype is None]
        if not kinds:
            kinds = [self.inner]
        common = kinds[0]
        for each in kinds[1:]:
            common = fd.promote_types(common, each)
        for each in numbers:
            if each.category > common.category:
                common = fd.result_type_of([common], [], [each])
        if op in _ALWAYS_FLOAT and common.category < FLOAT:
            common = self.inner if self.inner.category >= FLOAT else fd.float32
        return common

    def typed(self, value: Value, kind: dtype) -> Value:
        """A constant in a dtype (of at least its category); any other value as it is."""
        if value.dtype is not None:
            return value
        if fd.of_python(type(value.number)).category > kind.category and kind.category != BOOL:
            kind = fd.result_type_of([kind], [], [fd.of_python(type(value.number))])
        text = literal(value.number, kind)
        if self.width > 1:
            text = f"({self.name(kind)})({text})"
        if kind.category == COMPLEX:
            self.functions.add(("of", C_TYPES[kind]))
        return Value(text, kind)

    def convert(self, value: Value, wanted: dtype) -> Value:
        """A value in another dtype."""
        if value.dtype is wanted:
            return value
        assert value.dtype is not None
        if self.width > 1:
            if value.dtype.category == BOOL and wanted is self.inner:
                name = self.name(wanted)
                return Value(f"select(({name})(0), ({name})(1), {value.text})", wanted)
            raise NoVectors(f"{value.dtype} to {wanted}")
        if COMPLEX in (value.dtype.category, wanted.category):
            value = self.keep(value)
            self.functions.add(("of", C_TYPES[wanted if wanted.is_complex else value.dtype or wanted]))
        assert value.dtype is not None
        return Value(conversion(value.text, value.dtype, wanted), wanted)

    def get(self, value: Value, kind: dtype) -> str:
        """The text of a value in a dtype."""
        if value.dtype is None:
            value = self.typed(value, kind)
        return self.convert(value, kind).text

    def name(self, kind: dtype) -> str:
        """The C type of values of a dtype; the bools of vectors are masks."""
        if self.width == 1:
            return C_TYPES[kind]
        if kind.category == BOOL:
            return f"i{8 * self.inner.itemsize}x{self.width}"
        return f"{C_TYPES[kind]}x{self.width}"

    def keep(self, value: Value) -> Value:
        """A value under a name, unless it is one."""
        if value.text.isidentifier() or value.dtype is None:
            return value
        name = f"{self.prefix}{len(self.statements)}"
        self.statements.append(f"const {self.name(value.dtype)} {name} = {value.text};")
        return Value(name, value.dtype)

    def call(self, function: str, kind: dtype, *texts: str, gives: dtype | None = None) -> Value:
        """A function of the prelude on values of a dtype."""
        if self.width > 1:
            raise NoVectors(function)
        self.functions.add((function, C_TYPES[kind]))
        return Value(f"{function}_{C_TYPES[kind]}({', '.join(texts)})", gives or kind)

    def own(self, function: str, kind: dtype, *texts: str) -> Value:
        """A function of the prelude on vectors."""
        self.functions.add((function, self.name(kind)))
        return Value(f"{function}_{self.name(kind)}({', '.join(texts)})", kind)

    def truth(self, value: Value) -> str:
        """The text of a value as a bool, for vectors as a mask."""
        if value.dtype is None:
            return "1" if value.number and self.width == 1 else "-1" if value.number else "0"
        if self.width > 1 and value.dtype.category != BOOL:
            return f"({value.text} != 0)"
        return self.get(value, fd.bool_)

    def where(self, values: list[Value]) -> Value:
        """One of two values."""
        condition, then, otherwise = values
        common = self.common("where", [then, otherwise])
        first, second = self.get(then, common), self.get(otherwise, common)
        if self.width > 1:
            return Value(f"select({second}, {first}, {self.truth(condition)})", common)
        return Value(f"{self.truth(condition)} ? {first} : {second}", common)

    # ------------------------------------------------------------------------------------------ families of functions
    def _other(self, op: str, values: list[Value], kind: dtype) -> Value:
        texts = [self.get(each, kind) for each in values]
        if op in _ARITHMETIC:
            return Value(self.arithmetic(op, texts, kind), kind)
        if op in _COMPARISONS:
            text = f"{texts[0]} {_COMPARISONS[op]} {texts[1]}"
            return Value(text if self.width > 1 else f"(b8)({text})", fd.bool_)
        if op in _LOGIC:
            first, second = self.truth(values[0]), self.truth(values[1])
            return Value(f"{first} {_LOGIC[op]} {second}", fd.bool_)
        if op in _BITS:
            self.integral(op, kind)
            return Value(f"({C_TYPES[kind]})({texts[0]} {_BITS[op]} {texts[1]})", kind)
        if op in ROUNDING and kind.category < FLOAT:
            return Value(texts[0], kind)
        if op in _OWN_VECTORS and self.width > 1 and kind is fd.float32:
            return self.own(op, kind, *texts)
        if op in BUILTIN and kind.category == FLOAT:
            return Value(f"{BUILTIN[op]}({', '.join(texts)})", kind)
        if op in _PRELUDE_UNARY or op in _PRELUDE_BINARY:
            return self.call(op, kind, *texts)
        raise TypeError(f"{op} is not defined for {kind}")

    def arithmetic(self, op: str, texts: list[str], kind: dtype) -> str:
        """A sum, difference or product."""
        first, second, name = *texts, C_TYPES[kind]
        if kind.category == BOOL:
            return f"(b8)({first} {_ON_BOOLS[op]} {second})"
        if kind.category == FLOAT or (not kind.is_signed and kind.itemsize > 2):
            return f"{first} {_ARITHMETIC[op]} {second}"
        if kind.itemsize > 2:   # signed overflow is undefined in C
            return f"({name})((u{name[1:]}){first} {_ARITHMETIC[op]} (u{name[1:]}){second})"
        return f"({name})({first} {_ARITHMETIC[op]} {second})"

    def integral(self, op: str, kind: dtype) -> None:
        """Refuse floats."""
        if kind.category > INTEGER:
            raise TypeError(f"{op} is not defined for {kind}")

    def divisor(self, text: str) -> None:
        """Report a divisor of zero."""
        self.fails = True
        self.statements.append(f"if ({text} == 0) FAIL(DIVISION_BY_ZERO);")

    def _div(self, op: str, values: list[Value], kind: dtype) -> Value:
        return Value(f"{self.get(values[0], kind)} / {self.get(values[1], kind)}", kind)

    def _quotient(self, op: str, values: list[Value], kind: dtype) -> Value:
        kind = fd.uint8 if kind.category == BOOL else kind
        texts = [self.get(each, kind) for each in values]
        if kind.category == FLOAT and op == "fmod":
            rest = f"fmod({', '.join(texts)})"     # which compilers fold to some number for an infinite constant
            return Value(rest if self.width > 1 else f"(isinf({texts[0]}) ? ({C_TYPES[kind]})NAN : {rest})", kind)
        if kind.category == FLOAT and op == "trunc_divide":
            return Value(f"trunc({texts[0]} / {texts[1]})", kind)
        if kind.category == INTEGER:
            self.divisor(texts[1])
        return self.call(op, kind, *texts)

    _floor_divide = _trunc_divide = _remainder = _fmod = _quotient

    def _neg(self, op: str, values: list[Value], kind: dtype) -> Value:
        text = self.get(values[0], kind)
        if kind.category == FLOAT:
            return Value(f"-{text}", kind)
        return Value(self.arithmetic("sub", [f"({C_TYPES[kind]})0", text], kind), kind)

    def _abs(self, op: str, values: list[Value], kind: dtype) -> Value:
        text = self.get(values[0], kind)
        if kind.category == FLOAT:
            return Value(f"fabs({text})", kind)
        if not kind.is_signed:
            return Value(text, kind)
        negative = self.arithmetic("sub", [f"({C_TYPES[kind]})0", text], kind)
        return Value(f"{text} < 0 ? {negative} : {text}", kind)

    def _pow(self, op: str, values: list[Value], kind: dtype) -> Value:
        base = self.get(values[0], kind)
        number = values[1].number if values[1].dtype is None else None
        if kind.category == FLOAT:
            if number in _POWERS:
                return Value(_POWERS[number].format(base, self.get(Value("", None, 1.0), kind)), kind)
            texts = (base, self.get(values[1], kind))
            if self.width > 1 and kind is fd.float32:
                return self.own(op, kind, *texts)
            return Value(f"pow({', '.join(texts)})", kind)
        exponent = self.get(values[1], kind)
        return self.call("pow", fd.uint8 if kind.category == BOOL else kind, base, exponent, gives=kind)

    def _extreme(self, op: str, values: list[Value], kind: dtype) -> Value:
        first, second = (self.get(each, kind) for each in values)
        sign = ">" if op == "maximum" else "<"
        if kind.category == BOOL:
            return Value(f"{first} {_ON_BOOLS[op]} {second}", kind)
        test = f"{first} {sign} {second}"
        if kind.category == FLOAT:
            test = f"({test}) {'|' if self.width > 1 else '||'} ({first} != {first})"
        if self.width > 1:
            return Value(f"select({second}, {first}, {test})", kind)
        return Value(f"{test} ? {first} : {second}", kind)

    _maximum = _minimum = _extreme

    def _isnan(self, op: str, values: list[Value], kind: dtype) -> Value:
        text = self.get(values[0], kind)
        if kind.category < FLOAT:
            return Value("(b8)0", fd.bool_)
        test = f"{text} != {text}" if op == "isnan" else (
            f"fabs({text}) == {self.get(Value('', None, math.inf), kind)}")
        return Value(test if self.width > 1 else f"(b8)({test})", fd.bool_)

    _isinf = _isnan

    def _signbit(self, op: str, values: list[Value], kind: dtype) -> Value:
        text = self.get(values[0], kind)
        if kind.category < FLOAT:
            return Value(f"(b8)({text} < 0)" if kind.is_signed else "(b8)0", fd.bool_)
        return Value(f"signbit({text})" if self.width > 1 else f"(b8)(signbit({text}) != 0)", fd.bool_)

    def _logical_not(self, op: str, values: list[Value], kind: dtype) -> Value:
        text = self.truth(values[0])
        return Value(f"({text} == 0)" if self.width > 1 else f"(b8)!{text}", fd.bool_)

    def _bitwise_not(self, op: str, values: list[Value], kind: dtype) -> Value:
        self.integral(op, kind)
        text = self.get(values[0], kind)
        return Value(f"(b8)!{text}" if kind.category == BOOL else f"({C_TYPES[kind]})~{text}", kind)

    def _shift(self, op: str, values: list[Value], kind: dtype) -> Value:
        self.integral(op, kind)
        first, second = (self.get(each, kind) for each in values)
        width, name = 8 * kind.itemsize, C_TYPES[kind]
        outside = f"{second} < 0 || {second} >= {width}" if kind.is_signed else f"{second} >= {width}"
        if op == "bitwise_left_shift":
            return Value(f"{outside} ? ({name})0 : ({name})((u{name[1:]}){first} << ({second} & {width - 1}))", kind)
        rest = f"({name})({first} >> {width - 1})" if kind.is_signed else f"({name})0"
        return Value(f"{outside} ? {rest} : ({name})({first} >> ({second} & {width - 1}))", kind)

    _bitwise_left_shift = _bitwise_right_shift = _shift

    # ------------------------------------------------------------------------------------------ complex faces of reals
    def _conj_physical(self, op: str, values: list[Value], kind: dtype) -> Value:
        return Value(self.get(values[0], kind), kind)

    def _sgn(self, op: str, values: list[Value], kind: dtype) -> Value:
        text = self.get(values[0], kind)
        if self.width > 1:
            raise NoVectors(op)
        if kind.category == BOOL:
            return Value(text, kind)
        return Value(f"({C_TYPES[kind]})(({text} > 0) - ({text} < 0))", kind)

    def _angle(self, op: str, values: list[Value], kind: dtype) -> Value:
        text, zero, pi = self.get(values[0], kind), self.get(Value("", None, 0.0), kind), literal(math.pi, kind)
        if self.width > 1:
            raise NoVectors(op)
        return Value(f"{text} != {text} ? {text} : {text} < 0 ? {pi} : {zero}", kind)

    def _complex(self, op: str, values: list[Value], kind: dtype) -> Value:
        wanted = kind.to_complex()
        return self.call("of", wanted, *[self.get(each, kind) for each in values])
