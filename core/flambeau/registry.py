"""Operators as records, and the table of them.

An operator is one record in one place: its name, signature, rule for dtypes, gradient, documentation and samples.
The decorators of `flambeau.dispatch` make the records from plain functions; everything that lists operators (methods,
in-place forms, docs, support matrix, conformance cases, type stub) is derived from `OPERATORS`.

Gradients are given per argument as vector-Jacobian products, functions of the cotangent `g` and of whatever else they
name: the operator's own arguments, `result` (or an output's name), `<argument>_shape` and `<argument>_kind`. What a
formula does not name is not kept alive. A formula may ignore broadcasting and promotion: the backward walk sums and
casts each gradient to the shape and dtype of the tensor it belongs to.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from flambeau.errors import ArgumentTypeError, BackendError, message

Vjp = Callable[..., Any]
Slots = int | tuple[int, ...] | None   # which edges a vjp's value belongs to; None: the list argument's edges

ARGUMENT, SHAPE, KIND, RESULT = range(4)



class SavePlan:
    """What one node keeps, for one choice of inputs that need a gradient.

    `sources` says where each kept value comes from; `calls` says, per vjp, which edges it serves and which of the
    kept values it is called with. `frees` is whether one backward pass uses the node up: where it keeps an operand,
    even one that is a number (a product with 2 counts as keeping a tensor, as in PyTorch).
    """

    __slots__ = ("calls", "frees", "record", "saves_results", "sources")

    def __init__(self, record: OpDef, sources: tuple[tuple[int, int], ...],
                 calls: tuple[tuple[Slots, Vjp, tuple[int, ...]], ...]) -> None:
        self.record = record
        self.sources = sources
        self.calls = calls
        self.saves_results = any(kind == RESULT for kind, _ in sources)
        self.frees = self.saves_results or any(
            kind == ARGUMENT and (position in record.tensors or (record.family == "binary" and position < 2))
            for kind, position in sources)


class OpDef:
    """One operator: what it is called, what it takes, how it runs and how it is differentiated.

    Attributes:
        name: the key under which backends register a kernel.
        family: "unary", "binary", "pointwise", "reduction", "view", "primitive", "operator" or "composite".
        parameters: names in canonical order; `defaults` for the trailing ones.
        tensors, lists: positions of the parameters that take a tensor or a sequence of tensors.
        outputs: names of the results; one name means a single tensor.
        decomposition: the operator in terms of others, or None for a primitive.
        differentiable: edge positions by parameter position.
        promote, expr, domain, samples: the dtype rule, scalar expression, and what tests draw inputs from.
        excluded: categories of dtypes (BOOL, INTEGER, ...) that the operator is not defined for.
        uncast: positions of operands that promotion leaves alone.
        loop: what a reduction or a scan does with elements, one of the records of `flambeau.ir.reductions`.
        namespace: where the function is found: "torch", "nn.functional", "linalg", "Tensor" (a method only), several
            of them, or "internal".
        dtype_rule: "any" for operators that only move data, so that emulated dtypes need no cast; for those that
            do with some arguments, a function of the canonical ones that says whether these only move; see `moves`.
    """

    __slots__ = (
        "call", "decomposition", "defaults", "differentiable", "doc", "domain", "dtype_rule", "excluded", "expr",
        "family", "function", "grad_name", "inplace", "inplace_call", "lists", "loop", "method", "module", "name",
        "namespace", "no_fallback", "outputs", "parameters", "plans", "promote", "public", "samples", "save_plans",
        "shape_rule", "tensors", "uncast", "vjps")

    def __init__(self, name: str, family: str, function: Callable[..., Any], *,
                 vjp: Mapping[Any, Vjp] | str | None = None, outputs: Sequence[str] = ("result",),
                 decomposition: Callable[..., Any] | None = None, promote: Any = None, expr: Any = None,
                 domain: Any = None, samples: Callable[..., Iterable[Any]] | None = None, namespace: str = "torch",
                 method: bool = True, inplace: bool = False, grad_name: Any = None, shape_rule: Any = None,
                 dtype_rule: Any = None, no_fallback: bool = False, excluded: Sequence[int] = (),
                 uncast: Sequence[int] = (), loop: Any = None) -> None:
        self.name = name
        self.family = family
        self.function = function
        self.doc = function.__doc__ or ""
        self.module = function.__module__
        code = function.__code__
        self.parameters: tuple[str, ...] = code.co_varnames[:code.co_argcount + code.co_kwonlyargcount]
        defaults = dict(zip(reversed(code.co_varnames[:code.co_argcount]), reversed(function.__defaults__ or ()),
                            strict=False))
        self.defaults: dict[str, Any] = {**defaults, **(function.__kwdefaults__ or {})}
        self.tensors, self.lists = _tensor_positions(function, self.parameters)
        if family == "view":  # its function is a rule on (shape, strides, offset), which stand for the input
            self.parameters, self.tensors, self.lists = ("input", *self.parameters[3:]), (0,), ()
        self.outputs = tuple(outputs)
        self.decomposition = decomposition
        self.promote, self.expr, self.domain, self.samples = promote, expr, domain, samples
        self.namespace, self.method, self.inplace = namespace, method, inplace
        self.grad_name = grad_name or _camel(name) + "Backward0"
        self.shape_rule, self.dtype_rule, self.no_fallback = shape_rule, dtype_rule, no_fallback
        self.excluded, self.uncast, self.loop = tuple(excluded), tuple(uncast), loop
        self.plans: dict[Any, Any] = {}
        self.save_plans: dict[Any, SavePlan] = {}
        self.call: Callable[..., Any] = function      # canonical arguments
        self.public: Callable[..., Any] = function    # what people call; the same unless the record has a front
        self.inplace_call: Callable[..., Any] | None = None
        self.vjps: tuple[tuple[tuple[int, ...], bool, Vjp], ...] | str | None = self._resolve(vjp)
        self.differentiable: tuple[int, ...] = () if not isinstance(self.vjps, tuple) else tuple(
            sorted({position for positions, _, _ in self.vjps for position in positions}))

    def __repr__(self) -> str:
        return f"<{self.family} {self.name}({', '.join(self.parameters)})>"

    @property
    def internal(self) -> bool:
        """Whether it is for other operators only: said so, or a core that has no face of its own name."""
        if self.namespace == "internal":
            return True
        return self.function.__name__.startswith("_") and self.public is self.call and self.family != "composite"

    @property
    def kernel_parameters(self) -> list[str]:
        """The parameters of a kernel for this operator: the canonical ones, and `out` where the family passes it."""
        names = list(self.parameters)
        if names[-1:] == ["kind"]:  # a factory or a draw: the kind of the result is passed as two values
            names[-1:] = ["dtype", "index"]
        return [*names, "out=None"] if self.family in ("unary", "binary", "pointwise") else names

    def moves(self, args: Sequence[Any]) -> bool:
        """Whether a call with these canonical arguments only moves data; else emulated dtypes are cast for it."""
        rule = self.dtype_rule
        return bool(rule(*args)) if callable(rule) else rule == "any"

    def check(self) -> None:
        """Raise BackendError if a gradient names what the operator does not have; otherwise the first use would."""
        if isinstance(self.vjps, tuple):
            self.save_plan((True,) * len(self.differentiable))

    def _resolve(self, vjp: Mapping[Any, Vjp] | str | None) -> Any:
        """Turn argument names into positions: ((positions, is a tuple, vjp), ...)."""
        if vjp is None or isinstance(vjp, str):
            return vjp
        resolved = []
        for names, function in vjp.items():
            several = isinstance(names, tuple)
            positions = tuple(self.parameters.index(each) for each in (names if several else (names,)))
            resolved.append((positions, several, function))
        return tuple(resolved)

    def complete(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, ...]:
        """All arguments in canonical order: positional ones, keywords, defaults. TypeError as Python's own."""
        names = self.parameters
        if len(args) > len(names):
            raise ArgumentTypeError(f"{self.name}() takes {len(names)} positional arguments but {len(args)} were given")
        values = list(args)
        for name in names[len(args):]:
            if name in kwargs:
                values.append(kwargs.pop(name))
            elif name in self.defaults:
                values.append(self.defaults[name])
            else:
                raise ArgumentTypeError(message(f"{self.name}()", f"missing required argument {name!r}",
                                                allowed=f"({', '.join(names)})"))
        if kwargs:
            unexpected = f"got an unexpected keyword argument {next(iter(kwargs))!r}"
            raise ArgumentTypeError(message(f"{self.name}()", unexpected,
                                            allowed=f"({', '.join(names)})"))
        return tuple(values)

    def save_plan(self, needs: tuple[bool, ...]) -> SavePlan:
        """The plan for nodes in which exactly the differentiable parameters marked True need a gradient."""
        plan = self.save_plans.get(needs)
        if plan is None:
            plan = self.save_plans[needs] = self._make_save_plan(needs)
        return plan

    def _make_save_plan(self, needs: tuple[bool, ...]) -> SavePlan:
        wanted = dict(zip(self.differentiable, needs, strict=True))
        assert isinstance(self.vjps, tuple), self.name
        sources: dict[tuple[int, int], int] = {}
        calls = []
        for positions, several, vjp in self.vjps:
            if not any(wanted[position] for position in positions):
                continue
            names = vjp.__code__.co_varnames[1:vjp.__code__.co_argcount]
            kept = tuple(sources.setdefault(self._source(each), len(sources)) for each in names if each != "needs")
            if "needs" in names:
                vjp = _with_needs(vjp, tuple(wanted[position] for position in positions))
            edges = tuple(self.differentiable.index(position) for position in positions)
            slots: Slots = None if positions[0] in self.lists else (edges if several else edges[0])
            calls.append((slots, vjp, kept))
        return SavePlan(self, tuple(sources), tuple(calls))

    def _source(self, name: str) -> tuple[int, int]:
        if name in self.parameters:
            return ARGUMENT, self.parameters.index(name)
        if name in self.outputs:
            return RESULT, self.outputs.index(name)
        stem, _, suffix = name.rpartition("_")
        if suffix in ("shape", "kind") and stem in self.parameters:
            return SHAPE if suffix == "shape" else KIND, self.parameters.index(stem)
        raise BackendError(f"operator {self.name}: a vjp names {name!r}, which is neither an argument "
                           f"{self.parameters}, an output {self.outputs}, nor <argument>_shape or <argument>_kind")


def _with_needs(vjp: Vjp, needs: tuple[bool, ...]) -> Vjp:
    """Bind the argument `needs`, which a joint vjp takes last, to one choice of inputs."""
    def bound(*args: Any) -> Any:
        return vjp(*args, needs)
    return bound


_QUALIFIER = re.compile(r"\b\w+\.")   # a stranger may write torch.Tensor


def _tensor_positions(function: Callable[..., Any], names: Sequence[str]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Read from the annotations which parameters are tensors and which are sequences of tensors."""
    tensors, lists = [], []
    for position, name in enumerate(names):
        annotation = function.__annotations__.get(name, "")
        annotation = annotation.__name__ if annotation.__class__ is type else _QUALIFIER.sub("", str(annotation))
        if "[Tensor" in annotation:
            lists.append(position)
        elif annotation.startswith("Tensor"):
            tensors.append(position)
    return tuple(tensors), tuple(lists)


def _camel(name: str) -> str:
    return "".join(part[:1].upper() + part[1:] for part in name.split("_"))


OPERATORS: dict[str, OpDef] = {}
ALIASES: dict[str, OpDef] = {}   # second names that PyTorch has: "absolute" for abs

# Called with each record that is made after the library's own: attaching methods is one of them.
LISTENERS: list[Callable[[OpDef], None]] = []


def announce(record: OpDef) -> None:
    """Tell the listeners of a record that is complete."""
    for listener in LISTENERS:
        listener(record)


# Called with each record that is taken back.
WITHDRAWALS: list[Callable[[OpDef], None]] = []


class _Journal(threading.local):
    records: list[OpDef] | None = None


_journal = _Journal()


@contextmanager
def journal(records: list[OpDef]) -> Iterator[None]:
    """Note in `records` what this thread registers inside the block, for whoever may have to take it back."""
    before, _journal.records = _journal.records, records
    try:
        yield
    finally:
        _journal.records = before


def withdraw(records: list[OpDef]) -> None:
    """Take records back: those of a plugin that turned out to be broken. Empties the list."""
    while records:
        record = records.pop()
        if OPERATORS.get(record.name) is record:
            del OPERATORS[record.name]
        for name in [name for name, target in ALIASES.items() if target is record]:
            del ALIASES[name]
        for listener in WITHDRAWALS:
            listener(record)


def register(record: OpDef) -> OpDef:
    """Enter a record in the table; a name is taken once."""
    if record.name in OPERATORS:
        raise BackendError(f"an operator named {record.name!r} exists already, in {OPERATORS[record.name].module}; "
                           "choose another name")
    OPERATORS[record.name] = record
    if _journal.records is not None:
        _journal.records.append(record)
    return record


def primitives() -> list[str]:
    """Names of the operators without a decomposition: what a new backend owes."""
    return sorted(name for name, record in OPERATORS.items()
                  if record.decomposition is None and record.family not in ("composite", "view", "views"))
