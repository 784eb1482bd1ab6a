"""Complex numbers: making them, their conjugates and angles. (`real` and `imag` are views.)"""

from __future__ import annotations

import math
from typing import Any

from flambeau import dtypes
from flambeau.dispatch import binary, composite, front, unary
from flambeau.dtypes import FLOAT, dtype
from flambeau.errors import DtypeError, message
from flambeau.ir import expr as ir
from flambeau.ops import _samples, rules
from flambeau.ops.selection import where
from flambeau.ops.transcendental import atan2
from flambeau.tensor import Tensor, attach


@unary(vjp={"input": lambda g: rules.conj(g)}, grad_name="ConjBackward0", expr=ir.conj)
def conj_physical(input: Tensor) -> Tensor:
    """The complex conjugate, as new memory.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.conj_physical.html

    >>> import flambeau as torch
    >>> torch.conj_physical(torch.tensor([1 + 2j]))
    tensor([1.-2.j])
    """
    return complex(input.real, -input.imag) if input._kind.dtype.is_complex else input.clone()


@composite(samples=_samples.on(((2, 3),)))
def conj(input: Tensor) -> Tensor:
    """The complex conjugate; a real tensor itself.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.conj.html

    >>> import flambeau as torch
    >>> torch.conj(torch.tensor([1 + 2j]))
    tensor([1.-2.j])
    """
    return conj_physical(input) if input._kind.dtype.is_complex else input


@composite(samples=_samples.on(((2, 3),)))
def resolve_conj(input: Tensor) -> Tensor:
    """The tensor itself: conjugation is never deferred here.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.resolve_conj.html

    >>> import flambeau as torch
    >>> torch.tensor([1 + 2j]).conj().resolve_conj()
    tensor([1.-2.j])
    """
    return input


@composite(samples=_samples.on(((2, 3),)))
def resolve_neg(input: Tensor) -> Tensor:
    """The tensor itself: negation is never deferred here.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.resolve_neg.html

    >>> import flambeau as torch
    >>> torch.tensor([1., 2.]).resolve_neg()
    tensor([1., 2.])
    """
    return input


@attach
def is_conj(self: Tensor) -> bool:
    """False: conjugation is never deferred here."""
    return False


@attach
def is_neg(self: Tensor) -> bool:
    """False: negation is never deferred here."""
    return False


def _angle_rule(common: dtype) -> tuple[dtype, dtype]:
    if common.category < FLOAT:
        common = dtypes.get_default_dtype()
    return common, common.to_real()


def _angle_slope(g: Tensor, input: Tensor) -> Tensor:
    if not input._kind.dtype.is_complex:
        return rules.zeros(g)
    squared = (input * rules.conj(input)).real
    return (input * 1j * (g / squared)).masked_fill(squared == 0, 0)


@unary(promote=_angle_rule, vjp={"input": _angle_slope}, inplace=False, expr=ir.angle)
def angle(input: Tensor) -> Tensor:
    """The angle of complex elements in radians; of real ones 0, or pi where they are negative.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.angle.html

    >>> import flambeau as torch
    >>> torch.angle(torch.tensor([1j, -1 + 0j]))
    tensor([1.5708, 3.1416])
    """
    if input._kind.dtype.is_complex:
        return atan2(input.imag, input.real)
    return where(input.isnan(), input, (input < 0).to(input._kind.dtype) * math.pi)


@binary(samples=_samples.parts, promote=rules.to_complex, excluded=rules.FLOATS_ONLY, method=False, inplace=False,
        vjp={"input": lambda g: g.real, "other": lambda g: g.imag}, expr=ir.complex_)
def _complex(input: Tensor, other: Tensor) -> Tensor:
    """A complex tensor from its parts."""


def _check_parts(op: str, first: Any, second: Any) -> None:
    for each in (first, second):
        if not isinstance(each, Tensor) or not each._kind.dtype.is_floating_point or (
                each._kind.dtype is dtypes.bfloat16):
            given = ", ".join(str(part._kind.dtype) if isinstance(part, Tensor) else type(part).__name__
                              for part in (first, second))
            raise DtypeError(message(op, "Expected both inputs to be Half, Float or Double tensors", given=given))
    if first._kind.dtype is not second._kind.dtype:
        raise DtypeError(message(op, f"Expected object of scalar type {first._kind.dtype} but got scalar type "
                                 f"{second._kind.dtype} for second argument", next_step="convert one of them"))


@front(_complex, out=True)
def complex(real: Tensor, imag: Tensor) -> Tensor:
    """A complex tensor from its real and imaginary parts, which have one dtype.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.complex.html

    >>> import flambeau as torch
    >>> torch.complex(torch.tensor([1.]), torch.tensor([2.]))
    tensor([1.+2.j])
    """
    _check_parts("complex", real, imag)
    return _complex(real, imag)


@composite(samples=_samples.parts, out=True, method=False)
def polar(abs: Tensor, angle: Tensor) -> Tensor:
    """A complex tensor from absolute values and angles in radians, which have one dtype.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.polar.html

    >>> import flambeau as torch
    >>> torch.polar(torch.tensor([2.]), torch.tensor([0.]))
    tensor([2.+0.j])
    """
    _check_parts("polar", abs, angle)
    return _complex(abs * angle.cos(), abs * angle.sin())


__all__ = rules.public(globals())
