"""Element types and the rules by which they combine.

A `dtype` is a small immutable value with PyTorch's attributes and repr. The promotion lattice is computed from each
type's category and width rather than written as a table, because the rule *is* the category: a higher category wins,
inside a category the wider one does, and only two pairs (uint8 with a signed type, float16 with bfloat16) have no
common member among themselves and meet one step up.

Source of the rules: https://docs.pytorch.org/docs/stable/tensor_attributes.html#type-promotion-doc
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from flambeau.errors import ArgumentTypeError, DtypeError, message

BOOL, INTEGER, FLOAT, COMPLEX = range(4)


class dtype:  # noqa: N801 - the name that PyTorch users know
    """The type of a tensor's elements.

    Attributes: `name` ("float32"), `itemsize` in bytes, `category` (BOOL < INTEGER < FLOAT < COMPLEX),
    `is_floating_point`, `is_complex`, `is_signed`, `storage_only` (kept and cast, never computed with).

    >>> import flambeau as torch
    >>> torch.float32, torch.float32.itemsize, torch.int8.is_signed
    (torch.float32, 4, True)
    """

    __slots__ = ("category", "is_complex", "is_differentiable", "is_floating_point", "is_signed", "itemsize",
                 "name", "storage_only")
    __module__ = "flambeau"

    name: str
    itemsize: int
    category: int
    is_signed: bool
    is_floating_point: bool
    is_complex: bool
    is_differentiable: bool
    storage_only: bool

    def __init__(self, name: str, itemsize: int, category: int, is_signed: bool = True,
                 storage_only: bool = False) -> None:
        for key, value in (("name", name), ("itemsize", itemsize), ("category", category), ("is_signed", is_signed),
                           ("is_floating_point", category == FLOAT), ("is_complex", category == COMPLEX),
                           ("is_differentiable", category >= FLOAT), ("storage_only", storage_only)):
            object.__setattr__(self, key, value)

    def __setattr__(self, key: str, value: object) -> None:
        raise AttributeError(f"dtype objects are immutable; cannot set {key!r}")

    def __repr__(self) -> str:
        return "torch." + self.name

    def __reduce__(self) -> str:
        return self.name  # pickled by reference, as `flambeau.<name>`

    def to_real(self) -> dtype:
        """The dtype of the real part: complex64 gives float32; real types give themselves."""
        return {"complex64": float32, "complex128": float64}.get(self.name, self)

    def to_complex(self) -> dtype:
        """The complex dtype of this precision: float32 gives complex64, float64 complex128."""
        if self.is_complex:
            return self
        return complex128 if self is float64 else complex64


bool_ = dtype("bool", 1, BOOL, is_signed=False)
uint8 = dtype("uint8", 1, INTEGER, is_signed=False)
uint16 = dtype("uint16", 2, INTEGER, is_signed=False, storage_only=True)
uint32 = dtype("uint32", 4, INTEGER, is_signed=False, storage_only=True)
uint64 = dtype("uint64", 8, INTEGER, is_signed=False, storage_only=True)
int8 = dtype("int8", 1, INTEGER)
int16 = dtype("int16", 2, INTEGER)
int32 = dtype("int32", 4, INTEGER)
int64 = dtype("int64", 8, INTEGER)
float8_e4m3fn = dtype("float8_e4m3fn", 1, FLOAT, storage_only=True)
float8_e4m3fnuz = dtype("float8_e4m3fnuz", 1, FLOAT, storage_only=True)
float8_e5m2 = dtype("float8_e5m2", 1, FLOAT, storage_only=True)
float8_e5m2fnuz = dtype("float8_e5m2fnuz", 1, FLOAT, storage_only=True)
float16 = dtype("float16", 2, FLOAT)
bfloat16 = dtype("bfloat16", 2, FLOAT)
float32 = dtype("float32", 4, FLOAT)
float64 = dtype("float64", 8, FLOAT)
complex64 = dtype("complex64", 8, COMPLEX)
complex128 = dtype("complex128", 16, COMPLEX)

ALL: tuple[dtype, ...] = (
    bool_, uint8, uint16, uint32, uint64, int8, int16, int32, int64, float8_e4m3fn, float8_e4m3fnuz, float8_e5m2,
    float8_e5m2fnuz, float16, bfloat16, float32, float64, complex64, complex128)
_BY_NAME = {each.name: each for each in ALL}
ALIASES = {"half": float16, "float": float32, "double": float64, "cfloat": complex64, "cdouble": complex128,
           "short": int16, "int": int32, "long": int64, "bool": bool_}

SCALAR_NAMES = {
    "bool": "Bool", "uint8": "Byte", "int8": "Char", "int16": "Short", "int32": "Int", "int64": "Long",
    "float16": "Half", "bfloat16": "BFloat16", "float32": "Float", "float64": "Double", "complex64": "ComplexFloat",
    "complex128": "ComplexDouble", "uint16": "UInt16", "uint32": "UInt32", "uint64": "UInt64"}

_default: dtype = float32


def scalar_name(kind: dtype) -> str:
    """The name that PyTorch's messages use for a dtype: "Long" for int64.

    >>> from flambeau.dtypes import int64, scalar_name
    >>> scalar_name(int64)
    'Long'
    """
    return SCALAR_NAMES.get(kind.name, kind.name)


def by_name(name: str) -> dtype:
    """The dtype with this name ("float32"); KeyError if there is none."""
    return _BY_NAME[name]


def get_default_dtype() -> dtype:
    """The floating dtype that factories and integer division use when none is given."""
    return _default


def set_default_dtype(d: dtype) -> None:
    """Set the default floating dtype (float32 at the start).

    >>> import flambeau as torch
    >>> torch.set_default_dtype(torch.float64); torch.tensor(1.5).dtype
    torch.float64
    >>> torch.set_default_dtype(torch.float32)
    """
    global _default
    if not isinstance(d, dtype):
        raise ArgumentTypeError(message("set_default_dtype", "invalid dtype object", given=repr(d),
                                        allowed="a floating dtype such as torch.float64"))
    if not d.is_floating_point or d.storage_only:
        raise ArgumentTypeError(message("set_default_dtype", "only floating-point types are supported as the default "
                                        "type", given=repr(d), allowed="float16, bfloat16, float32, float64"))
    _default = d


def default_complex() -> dtype:
    """The complex dtype that goes with the default dtype."""
    return _default.to_complex()


def of_python(kind: type) -> dtype:
    """The dtype that a Python number of this type has as a tensor."""
    if kind is bool:
        return bool_
    if kind is int:
        return int64
    if kind is float:
        return _default
    if kind is complex:
        return default_complex()
    raise ArgumentTypeError(f"no dtype for values of type {kind.__name__}; allowed: bool, int, float, complex")


def as_dtype(value: Any) -> dtype:
    """Accept a dtype or one of the Python types bool, int, float, complex, as PyTorch does for `dtype=`."""
    if isinstance(value, dtype):
        return value
    python = {bool: bool_, int: int64, float: float64, complex: complex128}
    if isinstance(value, type) and value in python:
        return python[value]
    raise ArgumentTypeError(message("dtype", f"must be torch.dtype, not {type(value).__name__}", given=repr(value)))


def _promote_integers(a: dtype, b: dtype) -> dtype:
    wide, narrow = (a, b) if a.itemsize >= b.itemsize else (b, a)
    if a.is_signed == b.is_signed or (wide.is_signed and wide.itemsize > narrow.itemsize):
        return wide
    if {a, b} & {uint16, uint32, uint64}:
        raise DtypeError(f"Promotion for uint16, uint32, uint64 types is not supported, attempted to promote {a} and "
                         f"{b}; cast one of them first, for example x.to(torch.int64)")
    return int16  # uint8 with int8: the one pair of computing types that neither contains


def _promote_floats(a: dtype, b: dtype) -> dtype:
    if a.storage_only or b.storage_only:
        raise DtypeError(f"Promotion for Float8 types is not supported, attempted to promote {a} and {b}; "
                         "cast to a computing type first, for example x.to(torch.float32)")
    if a.itemsize == b.itemsize:
        return float32  # float16 with bfloat16
    return a if a.itemsize > b.itemsize else b


def promote_types(type1: dtype, type2: dtype) -> dtype:
    """The smallest dtype to which both can be cast.

    >>> import flambeau as torch
    >>> torch.promote_types(torch.int32, torch.float16), torch.promote_types(torch.uint8, torch.int8)
    (torch.float16, torch.int16)
    """
    a, b = type1, type2
    if a is b:
        return a
    if a.category == b.category:
        if a.category == INTEGER:
            return _promote_integers(a, b)
        return _promote_floats(a, b) if a.category == FLOAT else complex128
    high, low = (a, b) if a.category > b.category else (b, a)
    if high.category == COMPLEX and low is float64:
        return complex128
    return high


def result_type_of(dims: Iterable[dtype], zero_dims: Iterable[dtype], scalars: Iterable[dtype]) -> dtype:
    """The result dtype of an operation, given the dtypes of its operands in three ranks.

    Tensors with dimensions decide; zero-dimensional tensors, then Python numbers, matter only where their category
    is higher than what the stronger rank has.
    """
    result: dtype | None = None
    for rank in (dims, zero_dims, scalars):
        here: dtype | None = None
        for each in rank:
            here = each if here is None else promote_types(here, each)
        if here is None:
            continue
        if result is None:
            result = here
        elif here.category == COMPLEX and result.category == FLOAT:
            result = result.to_complex()  # a weaker rank never widens: float32 with a 0-d complex128 gives complex64
        elif here.category > result.category:
            result = promote_types(result, here)
    assert result is not None, "result_type_of needs at least one operand"
    return result


def can_cast(from_: dtype, to: dtype) -> bool:
    """Whether PyTorch's rules allow a cast of a result into an output of dtype `to`.

    >>> import flambeau as torch
    >>> torch.can_cast(torch.float32, torch.int32), torch.can_cast(torch.int64, torch.int8)
    (False, True)
    """
    if from_.is_complex and not to.is_complex:
        return False
    if from_.is_floating_point and to.category < FLOAT:
        return False
    return not (from_.category > BOOL and to.category == BOOL)
