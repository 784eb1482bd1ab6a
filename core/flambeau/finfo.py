"""The limits of the number types: `finfo` for floating point, `iinfo` for integers.

A floating point format is known by how many bits its exponent and its mantissa have, and by what it keeps its
largest exponent for. All limits follow from that by arithmetic on powers of two, which is exact, so only
those facts are written down here.
"""

from __future__ import annotations

import math
from types import EllipsisType
from typing import NamedTuple

from flambeau.dtypes import dtype, get_default_dtype
from flambeau.errors import ArgumentTypeError, message

__all__ = ["finfo", "iinfo"]


class _Format(NamedTuple):
    """A binary floating point format.

    ``specials`` says how many of the encodings with the largest exponent are not finite: None for all of them
    (IEEE 754), 1 if only the all-ones mantissa is a nan ("fn": finite, with nan), 0 if nan is written as the
    negative zero, which also shifts the exponents by one ("fnuz": and with an unsigned zero).
    """

    exponent_bits: int
    mantissa_bits: int
    specials: int | None = None

    @property
    def bias(self) -> int:
        half = 1 << (self.exponent_bits - 1)
        return half if self.specials == 0 else half - 1

    @property
    def epsilon(self) -> float:
        """The distance from 1 to the next larger number."""
        return math.ldexp(1.0, -self.mantissa_bits)

    @property
    def largest(self) -> float:
        top = (1 << self.exponent_bits) - 1 - self.bias
        if self.specials is None:
            return math.ldexp(2.0 - self.epsilon, top - 1)
        return math.ldexp(2.0 - (1 + self.specials) * self.epsilon, top)

    @property
    def smallest_normal(self) -> float:
        return math.ldexp(1.0, 1 - self.bias)

    @property
    def decimal_digits(self) -> int:
        """How many decimal digits always survive being stored: the d with ``10**d <= 2**mantissa_bits``."""
        return len(str(2**self.mantissa_bits)) - 1


_FORMATS = {
    "float16": _Format(5, 10),
    "bfloat16": _Format(8, 7),
    "float32": _Format(8, 23),
    "float64": _Format(11, 52),
    "float8_e4m3fn": _Format(4, 3, specials=1),
    "float8_e4m3fnuz": _Format(4, 3, specials=0),
    "float8_e5m2": _Format(5, 2),
    "float8_e5m2fnuz": _Format(5, 2, specials=0),
}


class _Limits:
    """What `finfo` and `iinfo` share: they cannot be changed, and are equal if their types are."""

    __slots__ = ("bits", "dtype", "max", "min")

    bits: int
    dtype: str

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"{type(self).__name__}: attribute {name!r} cannot be set; limits are facts")

    def _set(self, **values: object) -> None:
        for name, value in values.items():
            object.__setattr__(self, name, value)

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return self.dtype == other.dtype

    __hash__ = None  # type: ignore[assignment]  # as in PyTorch

    def _text(self, *names: str) -> str:
        numbers = "".join(f"{name}={getattr(self, name):g}, " for name in names)
        return f"{type(self).__name__}({numbers}dtype={self.dtype})"


def _checked(op: str, type: object) -> dtype:
    if not isinstance(type, dtype):
        problem = "argument 'type' must be a dtype"
        raise ArgumentTypeError(message(op, problem, given=repr(type), allowed="such as torch.float32, torch.int8"))
    return type


class finfo(_Limits):  # noqa: N801 - the name that PyTorch users know
    """The limits of a floating point type.

    Args:
        type: a floating point dtype, or a complex one, which stands for the dtype of its real part. The
            default dtype if left out.

    Attributes:
        bits: the size in bits.
        eps: the distance from 1 to the next larger number.
        max, min: the largest finite number, and its negative.
        smallest_normal, tiny: the smallest positive number of full precision (both names mean it).
        resolution: ``10**-d``, where d decimal digits always survive being stored.
        dtype: the name of the type.

    Raises:
        TypeError: ``type`` is no dtype, or one of integers or booleans.

    Example:
        >>> import flambeau as torch
        >>> torch.finfo(torch.float16).max
        65504.0
        >>> torch.finfo().dtype
        'float32'
    """

    __slots__ = ("eps", "resolution", "smallest_normal", "tiny")

    max: float
    min: float
    eps: float
    resolution: float
    smallest_normal: float
    tiny: float

    def __init__(self, type: dtype | EllipsisType = ...) -> None:
        real = (get_default_dtype() if type is ... else _checked("finfo", type)).to_real()
        if not real.is_floating_point:
            next_step = f"use torch.iinfo({type})" if real.name != "bool" else ""
            problem = message(
                "finfo",
                "the type has no floating point limits",
                given=str(type),
                allowed="floating point and complex dtypes",
                next_step=next_step,
            )
            raise ArgumentTypeError(problem)
        known = _FORMATS[real.name]
        self._set(
            bits=real.itemsize * 8,
            dtype=real.name,
            eps=known.epsilon,
            max=known.largest,
            min=-known.largest,
            smallest_normal=known.smallest_normal,
            tiny=known.smallest_normal,
            resolution=1 / 10**known.decimal_digits,
        )

    def __repr__(self) -> str:
        return self._text("resolution", "min", "max", "eps", "smallest_normal", "tiny")


class iinfo(_Limits):  # noqa: N801 - the name that PyTorch users know
    """The limits of an integer type.

    Args:
        type: an integer dtype.

    Attributes:
        bits: the size in bits.
        max, min: the largest and the smallest number.
        dtype: the name of the type.

    Raises:
        TypeError: ``type`` is no dtype, or not one of integers.

    Example:
        >>> import flambeau as torch
        >>> torch.iinfo(torch.int8)
        iinfo(min=-128, max=127, dtype=int8)
    """

    __slots__ = ()

    max: int
    min: int

    def __init__(self, type: dtype) -> None:
        kind = _checked("iinfo", type)
        if kind.is_floating_point or kind.is_complex or kind.name == "bool":
            next_step = f"use torch.finfo({kind})" if kind.name != "bool" else ""
            problem = message(
                "iinfo",
                "the type has no integer limits",
                given=str(kind),
                allowed="integer dtypes",
                next_step=next_step,
            )
            raise ArgumentTypeError(problem)
        bits = kind.itemsize * 8
        lowest, beyond = (-(2 ** (bits - 1)), 2 ** (bits - 1)) if kind.is_signed else (0, 2**bits)
        self._set(bits=bits, dtype=kind.name, min=lowest, max=beyond - 1)

    def __repr__(self) -> str:
        return self._text("min", "max")
