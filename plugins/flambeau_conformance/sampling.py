"""What operators are called with: values drawn for a record's samples, and how they lie in a device's memory.

A record's `samples(make)` describes calls; here `make` is a `Maker`, which draws NumPy arrays. They stay NumPy arrays,
the property of neither the backend under test nor the oracle, until `Value`s are put on a device or handed to PyTorch.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import ml_dtypes
import numpy as np

from flambeau import dtypes as fd
from flambeau.discovery import Kind
from flambeau.dtypes import BOOL, COMPLEX, INTEGER, dtype
from flambeau.registry import OpDef
from flambeau.tensor import Tensor, make

_OTHER = {"bool": np.bool_, "bfloat16": ml_dtypes.bfloat16}

Call = tuple[tuple[Any, ...], dict[str, Any]]


def numpy_dtype(kind: dtype) -> np.dtype[Any]:
    """The NumPy dtype in which values of this dtype are kept on the host."""
    name = kind.name
    return np.dtype(_OTHER[name] if name in _OTHER else getattr(ml_dtypes, name, None) or name)


class Value:
    """A tensor to be: an array in its final dtype, and whether gradients with respect to it are wanted."""

    __slots__ = ("array", "differentiable", "dtype")

    def __init__(self, array: Any, kind: dtype, differentiable: bool = False) -> None:
        self.array = np.asarray(array).astype(numpy_dtype(kind), copy=False)
        self.dtype = kind
        self.differentiable = differentiable and kind.is_differentiable

    def like(self, array: Any) -> Value:
        """The same with another array."""
        return Value(array, self.dtype, self.differentiable)

    def __repr__(self) -> str:
        return f"Value({self.dtype.name}, {list(self.array.shape)})"


class _Where:
    """Stands for the device under test in a sample's arguments."""

    def __repr__(self) -> str:
        return "DEVICE"


DEVICE = _Where()


class Unavailable(Exception):
    """A sample needs a dtype that the device does not store."""


def rng_of(seed: int, *names: str) -> np.random.Generator:
    """A generator of its own for each case and sample, the same in every process."""
    return np.random.default_rng([seed, *(zlib.crc32(each.encode()) for each in names)])


class Maker:
    """What a record's `samples` gets: draws values of the dtype under test, or of the kind that a call needs.

    >>> from flambeau import float32
    >>> make = Maker(float32, np.random.default_rng(0))
    >>> make(2, 3), make.index(4, high=2)
    (Value(float32, [2, 3]), Value(int64, [4]))
    """

    def __init__(self, kind: dtype, rng: np.random.Generator, domain: tuple[float, float] = (-4, 4),
                 storable: frozenset[dtype] | None = None) -> None:
        self.dtype = kind
        self.device = DEVICE
        self.rng = rng
        self.domain = domain
        self.storable = storable

    def _value(self, array: Any, kind: dtype, differentiable: bool = False) -> Value:
        if self.storable is not None and kind not in self.storable:
            raise Unavailable(kind.name)
        return Value(array, kind, differentiable)

    def __call__(self, *shape: int, dtype: dtype | None = None, low: float | None = None, high: float | None = None,
                 requires_grad: bool = True) -> Value:
        """Values between `low` and `high` (the record's domain, or -4 to 4)."""
        kind = dtype or self.dtype
        low = self.domain[0] if low is None else low
        high = self.domain[1] if high is None else high
        return self._value(draw(self.rng, shape, kind, low, high), kind, requires_grad)

    def index(self, *shape: int, high: int, low: int = 0) -> Value:
        """int64 numbers from `low` to `high`, without it."""
        return self._value(self.rng.integers(low, high, shape), fd.int64)

    def mask(self, *shape: int) -> Value:
        """Bools, some of them true wherever there are two or more."""
        drawn = self.rng.random(shape) < 0.5
        if drawn.size > 1:
            drawn.reshape(-1)[:2] = True, False
        return self._value(drawn, fd.bool_)

    def distinct(self, *shape: int) -> Value:
        """Values that are all different and well apart, in no order."""
        size = int(np.prod(shape, dtype=int))
        order = self.rng.permutation(size).reshape(shape)
        if self.dtype.category == BOOL:
            return self._value(order % 2 == 0, self.dtype)
        if self.dtype.category == INTEGER:
            return self._value(order - (size // 2 if self.dtype.is_signed else 0), self.dtype)
        spread = (order - size / 2) * 0.25 + 0.0625
        return self._value(spread * (1 + 1j) if self.dtype.is_complex else spread, self.dtype, True)

    def positive(self, *shape: int) -> Value:
        """Values from 0.5 to 2."""
        return self(*shape, low=0.5, high=2)

    def real(self, *shape: int, low: float | None = None, high: float | None = None) -> Value:
        """Values of the real dtype that belongs to a complex one."""
        return self(*shape, dtype=self.dtype.to_real() if self.dtype.is_complex else self.dtype, low=low, high=high)

    def fixed(self, data: Any, dtype: dtype | None = None, requires_grad: bool = True) -> Value:
        """The numbers given."""
        return self._value(data, dtype or self.dtype, requires_grad)

    def probabilities(self, *shape: int) -> Value:
        """Positive values whose rows sum to 1."""
        drawn = self.rng.uniform(0.2, 1, shape)
        return self._value(drawn / drawn.sum(-1, keepdims=True), self.dtype, True)

    def invertible(self, *shape: int) -> Value:
        """Well-conditioned square matrices of size shape[-1], as a batch of the rest."""
        return self._value(self._near_identity(shape), self.dtype, True)

    def positive_definite(self, *shape: int) -> Value:
        """Symmetric (Hermitian) positive definite matrices of size shape[-1]."""
        root = self._near_identity(shape)
        return self._value(root @ np.conj(np.swapaxes(root, -1, -2)), self.dtype, True)

    def triangular(self, *shape: int, upper: bool = False) -> Value:
        """Well-conditioned triangular matrices of size shape[-1]."""
        drawn = self._near_identity(shape)
        return self._value(np.triu(drawn) if upper else np.tril(drawn), self.dtype, True)

    def number(self) -> Any:
        """A Python number of the dtype's category."""
        item = np.asarray(draw(self.rng, (), self.dtype, *self.domain)).item()
        return round(item, 3) if isinstance(item, float) else item

    def _near_identity(self, shape: Sequence[int]) -> Any:
        full = (*shape, shape[-1])
        drawn = draw(self.rng, full, fd.complex128 if self.dtype.is_complex else fd.float64, -1, 1) / shape[-1]
        scale = 1 + 0.5 * np.arange(shape[-1])   # eigenvalues apart, for those that are differentiated
        return drawn + np.eye(shape[-1]) * scale


def draw(rng: np.random.Generator, shape: Sequence[int], kind: dtype, low: float, high: float) -> Any:
    """Uniform values of a dtype's category; integers from `low` up to, not with, `high`."""
    if kind.category == BOOL:
        return rng.random(shape) < 0.5
    if kind.category == INTEGER:
        first = int(np.ceil(low if kind.is_signed else max(low, 0)))
        return rng.integers(first, max(int(np.ceil(high)), first + 1), shape)
    if kind.category == COMPLEX:
        return rng.uniform(low, high, shape) + 1j * rng.uniform(low, high, shape)
    return rng.uniform(low, high, shape)


# ---------------------------------------------------------------------------------------------- calls of a record
def calls(record: OpDef, kind: dtype, seed: int, storable: frozenset[dtype]) -> list[Call]:
    """The sample calls of a record in one dtype, as far as the device stores what they need."""
    found = []
    iterator = _described(record, kind, seed, storable)
    while True:
        try:
            found.append(next(iterator))
        except StopIteration:
            return found
        except Unavailable:
            # A generator that raised is finished: what the record would yield after is not reached.
            return found


def _described(record: OpDef, kind: dtype, seed: int, storable: frozenset[dtype]) -> Iterator[Call]:
    rng = rng_of(seed, record.name, kind.name)
    domain = record.domain or (-4, 4)
    if record.samples is not None:
        single = domain if not isinstance(domain[0], tuple) else domain[0]
        yield from record.samples(Maker(kind, rng, single, storable))
    elif record.family in POINTWISE:
        yield from _pointwise(record, kind, rng, domain, storable)


POINTWISE = ("unary", "binary", "pointwise")


def _pointwise(record: OpDef, kind: dtype, rng: np.random.Generator, domain: Any,
               storable: frozenset[dtype]) -> Iterator[Call]:
    """Operands of one shape, broadcast ones, 0-d ones, and numbers in place of all but the first."""
    count = len(record.parameters)
    limits = domain if isinstance(domain[0], tuple) else (domain,) * count
    makers = [Maker(kind, rng, each, storable) for each in limits]
    if record.uncast:
        makers[0].dtype = fd.bool_
    takes = [_takes_tensor(record, position) for position in range(count)]

    def operands(*shapes: tuple[int, ...]) -> tuple[Any, ...]:
        return tuple(make(*shape) if takes[position] else make.number()
                     for position, (make, shape) in enumerate(zip(makers, shapes, strict=True)))
    yield operands(*[(3, 4)] * count), {}
    yield operands(*[()] * count), {}
    if sum(takes) > 1:
        yield operands((3, 1), *[(2, 1, 4)] * (count - 1)), {}
        yield operands((4,), *[(3, 4)] * (count - 1)), {}
    if count > 1 and takes[1] and "Any" in str(record.function.__annotations__.get(record.parameters[1], "")):
        yield (makers[0](2, 3), *(each.number() for each in makers[1:])), {}


def _takes_tensor(record: OpDef, position: int) -> bool:
    annotation = str(record.function.__annotations__.get(record.parameters[position], ""))
    return position in record.tensors or "Any" in annotation or position == 0


# ---------------------------------------------------------------------------------------------- trees of arguments
def leaves(tree: Any) -> Iterator[Any]:
    """Everything in arguments (values, tensors, dtypes, numbers), in order."""
    if isinstance(tree, (list, tuple)):
        for each in tree:
            yield from leaves(each)
    elif isinstance(tree, dict):
        for each in tree.values():
            yield from leaves(each)
    else:
        yield tree


def each_value(tree: Any) -> Iterator[Value]:
    """All values in arguments, in order."""
    return (leaf for leaf in leaves(tree) if isinstance(leaf, Value))


def each_tensor(tree: Any) -> Iterator[Tensor]:
    """All tensors in arguments or results, in order."""
    return (leaf for leaf in leaves(tree) if isinstance(leaf, Tensor))


def replaced(tree: Any, change: Callable[[Any], Any]) -> Any:
    """The arguments with every leaf (a value, a dtype, the device, a number) changed."""
    if type(tree) in (list, tuple):
        return type(tree)(replaced(each, change) for each in tree)
    if type(tree) is dict:
        return {name: replaced(each, change) for name, each in tree.items()}
    return change(tree)


# ---------------------------------------------------------------------------------------------- memory layouts
LAYOUTS = ("contiguous", "permuted", "strided", "offset")


def put(array: Any, kind: Kind, layout: str = "contiguous") -> Tensor:
    """A tensor with these values on a device. Between the elements of a strided one lies what nobody may read."""
    if layout == "contiguous":
        return make(kind.backend.from_host(np.ascontiguousarray(array).reshape(array.shape), kind.index), kind)
    memory, strides, offset = laid_out(array, layout)
    return make(kind.backend.as_strided(kind.backend.from_host(memory, kind.index), array.shape, strides, offset), kind)


def download(tensor: Tensor) -> Any:
    """A tensor's elements as a NumPy array of its own, by the backend's `to_host` alone."""
    return np.array(tensor._kind.backend.to_host(tensor._array))


def laid_out(array: Any, layout: str) -> tuple[Any, tuple[int, ...], int]:
    """(one-dimensional memory, strides, offset) in which an array's elements lie as `layout` says."""
    shape = array.shape
    if layout == "permuted":     # the first dimension varies fastest
        return np.ravel(array, order="F"), _fortran(shape), 0
    step = 2 if layout == "strided" else 1
    big = [step * size + 1 for size in shape]
    strides = tuple(step * each for each in _dense(big))
    offset = sum(_dense(big)) if shape else 3
    memory = np.full(max(int(np.prod(big, dtype=int)), 5), _poison(array.dtype), array.dtype)
    window = np.lib.stride_tricks.as_strided(memory[offset:], shape, [each * array.itemsize for each in strides])
    window[...] = array
    return memory, strides, offset


def _dense(shape: Sequence[int]) -> tuple[int, ...]:
    strides = [1]
    for size in reversed(shape[1:]):
        strides.append(strides[-1] * max(size, 1))
    return tuple(reversed(strides)) if shape else ()


def _fortran(shape: Sequence[int]) -> tuple[int, ...]:
    return tuple(reversed(_dense(tuple(reversed(shape)))))


def _poison(kind: np.dtype[Any]) -> Any:
    """A number that shows in any result it gets into."""
    return True if kind == np.bool_ else (117 if kind.kind in "iu" else 1.5e4)
