"""What several families of pointwise operators share: dtype rules, gradient helpers, and naming of graph nodes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from flambeau import dtypes
from flambeau.dispatch import front
from flambeau.dispatch.run import wrong_type
from flambeau.dtypes import BOOL, COMPLEX, FLOAT, INTEGER, dtype
from flambeau.errors import ArgumentError, DtypeError, UnsupportedDtypeError, message
from flambeau.graph import Node
from flambeau.registry import ARGUMENT
from flambeau.tensor import Tensor

Function = Callable[..., Any]

NOT_BOOL, NOT_COMPLEX = (BOOL,), (COMPLEX,)
FLOATS_ONLY = (BOOL, INTEGER, COMPLEX)
INEXACT_ONLY = (BOOL, INTEGER)
INTEGRAL_ONLY = (FLOAT, COMPLEX)
REAL_NUMBERS = (BOOL, COMPLEX)


def as_places(index: Tensor) -> Tensor:
    """Indices in the one dtype that kernels take, int64; a mask stays one. RuntimeError for what is no integer."""
    if index._kind.dtype.category > dtypes.INTEGER:
        raise ArgumentError(f"index: Expected dtype int64 for index; given: {index.dtype}; convert it with .long()")
    return index if index._kind.dtype in (dtypes.int64, dtypes.bool_) else index.to(dtypes.int64)


def inplace_front(core: Function) -> Callable[[Function], Function]:
    """Make the decorated function the in-place form of a record whose canonical arguments are not what people write."""
    def decorate(function: Function) -> Function:
        core.op.inplace_call = function  # type: ignore[attr-defined]
        return function
    return decorate


def inplace(core: Function) -> Function:
    """The in-place form of a record."""
    return core.op.inplace_call  # type: ignore[attr-defined]


def tensors(core: Function, count: int) -> Function:
    """The face of a binary record whose first `count` operands must be tensors when it is called by name."""
    record, call = core.op, core  # type: ignore[attr-defined]

    def face(input: Tensor, other: Any, *, out: Tensor | None = None) -> Tensor:
        if not isinstance(input, Tensor):
            raise wrong_type(record, 0, input)
        if count == 2 and not isinstance(other, Tensor):
            raise wrong_type(record, 1, other)
        return call(input, other, out=out)
    face.__name__ = face.__qualname__ = record.name
    face.__doc__, face.__module__ = record.doc, record.module
    return front(core)(face)


# ---------------------------------------------------------------------------------------------- dtype rules
def refusing_bool(problem: str, error: type[Exception] = DtypeError) -> Callable[[dtype], tuple[dtype, dtype]]:
    """The rule of arithmetic, except that bool operands are an error with its own explanation."""
    def promote(common: dtype) -> tuple[dtype, dtype]:
        if common.category == BOOL:
            raise error(problem)
        return common, common
    return promote


class RefusingBoolOperands:
    """The rule of arithmetic for an operator that refuses bool tensors, whatever the other operand is."""

    def __init__(self, problem: str) -> None:
        self.problem = problem

    def __call__(self, common: dtype) -> tuple[dtype, dtype]:
        """The common dtype."""
        if common.category == BOOL:
            raise DtypeError(self.problem)
        return common, common

    def check(self, operands: Iterable[Any]) -> None:
        """Refuse bools, tensors and Python's, among operands of several dtypes."""
        for each in operands:
            if each.__class__ is bool or (isinstance(each, Tensor) and each._kind.dtype.category == BOOL):
                raise DtypeError(self.problem)


class Powers:
    """The rule of `pow`: no bools, and no integer to the power of a negative Python integer."""

    def __call__(self, common: dtype) -> tuple[dtype, dtype]:
        """The common dtype."""
        if common.category == BOOL:
            raise UnsupportedDtypeError("pow: \"pow\" not implemented for 'Bool'; convert a tensor first, for example "
                                        "x.long()")
        return common, common

    def check(self, operands: Sequence[Any]) -> None:
        """Refuse the power before the number is wrapped around to the dtype, unsigned ones among them."""
        base, exponent = operands
        if exponent.__class__ is int and exponent < 0 and dtype_of(base).category == INTEGER:
            raise ArgumentError("pow: Integers to negative integer powers are not allowed; convert the tensor to a "
                                "float dtype first")


def to_bool(common: dtype) -> tuple[dtype, dtype]:
    """Operands have the common dtype, the result is bool."""
    return common, dtypes.bool_


def to_complex(common: dtype) -> tuple[dtype, dtype]:
    """Real operands give a complex result of their precision."""
    return common, common.to_complex()


def integers_to_int64(common: dtype) -> tuple[dtype, dtype]:
    """Arithmetic in which bools count as int64."""
    common = dtypes.int64 if common.category == BOOL else common
    return common, common


def dtype_of(operand: Any) -> dtype:
    """The dtype of a tensor or a Python number."""
    return operand._kind.dtype if isinstance(operand, Tensor) else dtypes.of_python(type(operand))


def common_of(*operands: Any) -> dtype:
    """The dtype that tensors and Python numbers promote to."""
    dims = [each._kind.dtype for each in operands if isinstance(each, Tensor) and each._array.shape]
    zeros = [each._kind.dtype for each in operands if isinstance(each, Tensor) and not each._array.shape]
    numbers = [dtypes.of_python(type(each)) for each in operands if not isinstance(each, Tensor)]
    return dtypes.result_type_of(dims, zeros, numbers)


def check_alpha(op: str, alpha: Any, common: dtype) -> None:
    """Refuse a factor whose category is above that of the result."""
    if common.category != BOOL and isinstance(alpha, bool):
        raise ArgumentError(message(op, "Boolean alpha only supported for Boolean results.", given=str(common),
                                    next_step="pass a number"))
    if common.category < FLOAT and isinstance(alpha, (float, complex)):
        raise ArgumentError(message(op, "For integral input tensors, argument alpha must not be a floating point "
                                    "number.", given=f"alpha={alpha!r}", next_step="convert the tensors to a float "
                                    "dtype, or pass an integer"))
    if common.category < COMPLEX and isinstance(alpha, complex):
        raise ArgumentError(message(op, "For non-complex input tensors, argument alpha must not be a complex number.",
                                    given=f"alpha={alpha!r}"))


# ---------------------------------------------------------------------------------------------- gradients
def half_plane(x: Tensor) -> Tensor:
    """-1 for complex numbers with a negative real part, else 1: odd functions are computed on one side."""
    real = x.real
    return (real >= 0).to(real._kind.dtype) * 2 - 1


def conj(value: Any) -> Any:
    """The complex conjugate of a tensor or number; real tensors pay one test."""
    if isinstance(value, Tensor):
        return value.conj() if value._kind.dtype.is_complex else value
    return value.conjugate()


def zeros(g: Tensor) -> Tensor:
    """The gradient of a function that is constant almost everywhere."""
    return g.new_zeros(g._array.shape)


def by_operand(position: int, number: str, tensor: str) -> Callable[[Node], str]:
    """A node's name that tells whether one operand was a Python number or a tensor."""
    def name(node: Node) -> str:
        for index, (kind, where) in enumerate(node.plan.sources):
            if kind == ARGUMENT and where == position and node.saved:
                return tensor if isinstance(node.saved[index], Tensor) else number
        edges = node.edges
        return tensor if position < len(edges) and edges[position] is not None else number
    return name


def public(names: Mapping[str, Any]) -> list[str]:
    """What a module of operators exports: the names of its operators, without imported ones that it merely uses."""
    return [name for name, member in names.items() if not name.startswith("_")
            and hasattr(member, "op") and getattr(member, "__module__", "") == names["__name__"]]
