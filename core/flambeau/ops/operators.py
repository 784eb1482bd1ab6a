"""Python's operators on tensors.

`a + b` is the record's own call: nothing stands between. What an operator does not know (a string, somebody else's
class) comes to the end of the long way, and only there becomes `NotImplemented`, so that the other operand gets its
turn and Python raises its usual TypeError if it declines.
"""

from __future__ import annotations

from typing import Any

from flambeau.dispatch.inplace import bind_inplace
from flambeau.dispatch.pointwise import bind_binary, general
from flambeau.errors import ArgumentTypeError
from flambeau.ops import bitwise, comparison, construct, elementwise
from flambeau.registry import OpDef
from flambeau.tensor import Tensor, attach


def _understood(value: Any) -> bool:
    """Whether an operand can be one of an operator on tensors."""
    if isinstance(value, (Tensor, bool, int, float, complex)):
        return True
    return hasattr(value, "__array__") and hasattr(value, "item") and not getattr(value, "shape", (1,))


def _or_not_implemented(record: OpDef, operands: tuple[Any, ...], out: Tensor | None = None) -> Any:
    """The long way for a Python operator: other classes of operands are declined rather than refused."""
    if all(_understood(each) for each in operands):
        return general(record, operands, out)
    return NotImplemented


def _or_array(record: OpDef, operands: tuple[Any, ...], out: Tensor | None = None) -> Any:
    """The long way of `==`, which compares with a host array too: NumPy's own `==` would hand it back to us."""
    input, other = operands
    if isinstance(input, Tensor) and hasattr(other, "__array__") and other.shape:
        return general(record, (input, construct.as_tensor(other, device=input.device)), out)
    return _or_not_implemented(record, operands, out)


def _install(core: Any, name: str) -> None:
    """Make a binary record's call a Python operator."""
    attach(bind_binary(core.op, _or_array if name == "__eq__" else _or_not_implemented), name)


for _core, _name in (
        (elementwise._add, "__add__"), (elementwise._add, "__radd__"), (elementwise._sub, "__sub__"),
        (elementwise._rsub, "__rsub__"), (elementwise.mul, "__mul__"), (elementwise.mul, "__rmul__"),
        (elementwise._div, "__truediv__"), (elementwise.floor_divide, "__floordiv__"),
        (elementwise.remainder, "__mod__"), (elementwise._pow, "__pow__"),
        (comparison.eq, "__eq__"), (comparison.ne, "__ne__"), (comparison.lt, "__lt__"), (comparison.le, "__le__"),
        (comparison.gt, "__gt__"), (comparison.ge, "__ge__"),
        (bitwise.bitwise_and, "__and__"), (bitwise.bitwise_and, "__rand__"), (bitwise.bitwise_or, "__or__"),
        (bitwise.bitwise_or, "__ror__"), (bitwise.bitwise_xor, "__xor__"), (bitwise.bitwise_xor, "__rxor__"),
        (bitwise.bitwise_left_shift, "__lshift__"), (bitwise.bitwise_right_shift, "__rshift__")):
    _install(_core, _name)

# In place there is nobody to decline to: the in-place forms themselves, without keywords such as alpha.
for _core, _name in (
        (elementwise._add, "__iadd__"), (elementwise._sub, "__isub__"), (elementwise.mul, "__imul__"),
        (elementwise._div, "__itruediv__"), (elementwise.floor_divide, "__ifloordiv__"),
        (elementwise.remainder, "__imod__"), (elementwise._pow, "__ipow__"), (bitwise.bitwise_and, "__iand__"),
        (bitwise.bitwise_or, "__ior__"), (bitwise.bitwise_xor, "__ixor__"),
        (bitwise.bitwise_left_shift, "__ilshift__"), (bitwise.bitwise_right_shift, "__irshift__")):
    attach(bind_inplace(_core.op), _name)  # type: ignore[attr-defined]

attach(elementwise.neg, "__neg__")
attach(elementwise.abs, "__abs__")
attach(elementwise.positive, "__pos__")


# ---------------------------------------------------------------------------------------------- the other way round
@attach
def __rtruediv__(self: Tensor, other: Any) -> Any:
    """A number divided by the tensor."""
    return elementwise.reciprocal(self) * other if _understood(other) else NotImplemented


attach(__rtruediv__, "__rdiv__")


@attach
def __rfloordiv__(self: Tensor, other: Any) -> Any:
    """A number divided by the tensor, rounded down."""
    return elementwise.floor_divide(other, self) if _understood(other) else NotImplemented


@attach
def __rmod__(self: Tensor, other: Any) -> Any:
    """The remainder of a number by the tensor."""
    return elementwise.remainder(other, self) if _understood(other) else NotImplemented


@attach
def __rpow__(self: Tensor, other: Any) -> Any:
    """A number to the power of the tensor."""
    return elementwise._pow(other, self) if _understood(other) else NotImplemented


@attach
def __rlshift__(self: Tensor, other: Any) -> Any:
    """A number shifted to the left by the tensor."""
    return bitwise.bitwise_left_shift(other, self) if _understood(other) else NotImplemented


@attach
def __rrshift__(self: Tensor, other: Any) -> Any:
    """A number shifted to the right by the tensor."""
    return bitwise.bitwise_right_shift(other, self) if _understood(other) else NotImplemented


@attach
def __invert__(self: Tensor) -> Tensor:
    """The bits that are not set; TypeError for floats."""
    if self._kind.differentiable:
        raise ArgumentTypeError("~ (operator.invert) is only implemented on integer and Boolean-type tensors; given: "
                                f"{self._kind.dtype}; compare the tensor first, or convert it")
    return bitwise.bitwise_not(self)


@attach
def __matmul__(self: Tensor, other: Any) -> Any:
    """The matrix product."""
    return self.matmul(other) if isinstance(other, Tensor) else NotImplemented


@attach
def __rmatmul__(self: Tensor, other: Any) -> Any:
    """The matrix product the other way round."""
    return other.matmul(self) if isinstance(other, Tensor) else NotImplemented


__all__: list[str] = []
