"""Expected gradients: PyTorch's in float64, or differences of the forward oracle along random directions.

Cotangents and directions are multiples of 1/4, which every floating dtype represents: the device and the oracle start
from the same numbers.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np

import flambeau
from flambeau import discovery
from flambeau.registry import OpDef
from flambeau.tensor import Tensor
from flambeau_conformance import oracle
from flambeau_conformance.engine import Context, Failure
from flambeau_conformance.sampling import Call, Value, each_value, put, replaced
from flambeau_conformance.tolerance import Tolerance

# Of results that are unique only up to a sign or a rotation, the one that is unique: gradients come through it alone.
UNIQUE = {"linalg_eigh": 0, "linalg_svd": 1, "svd": 1}
_STEP = 1e-3
_DIRECTIONS = {1: 2, 2: 1}     # by order


class Expected(Protocol):
    """What the gradients of one call should be."""

    oracle: str
    cotangents: list[Any]
    directions: list[Any]     # one per operand, for the second order

    def compare(self, context: Context, record: OpDef, leaves: list[Tensor], mine: list[Any], factor: float) -> None:
        """Raise Failure unless these are the gradients."""


def quarters(rng: np.random.Generator, shape: Sequence[int], is_complex: bool) -> Any:
    """Multiples of 1/4 between -2 and 2, without 0."""
    def some() -> Any:
        return rng.integers(1, 9, tuple(shape)) * rng.choice([-0.25, 0.25], tuple(shape))
    return some() + 1j * some() if is_complex else some()


def expected(context: Context, record: OpDef, call: Call, order: int) -> Expected | None:
    """The expectation for a call, or None where the oracle says that nothing depends on the operands."""
    if oracle.torch_function(record) is not None:
        return _FromTorch.make(context, record, call, order)
    return _FromDifferences.make(context, record, call, order)


def by_differences(context: Context, record: OpDef, call: Call, order: int) -> Expected | None:
    """The expectation without formulas."""
    return _FromDifferences.make(context, record, call, order)


def of_flambeau(context: Context, results: list[Tensor], leaves: list[Tensor], wanted: Expected, order: int,
                layout: str) -> list[Tensor | None]:
    """The gradients that the device gives, with respect to `leaves`."""
    if len(results) != len(wanted.cotangents):
        raise Failure(f"{len(results)} results require a gradient, expected {len(wanted.cotangents)}")
    cotangents = []
    for each, array in zip(results, wanted.cotangents, strict=True):
        if tuple(each.shape) != array.shape:
            raise Failure(f"a result has shape {list(each.shape)}, expected {list(array.shape)}")
        cotangents.append(_as(each, array, layout))
    grads = _grad(results, leaves, cotangents, order == 2)
    if order == 1:
        return grads
    pairs = [(grad, _as(grad, direction, layout)) for grad, direction in zip(grads, wanted.directions, strict=True)
             if grad is not None and grad.requires_grad]
    if not pairs:
        return [None] * len(leaves)
    return _grad([grad for grad, _ in pairs], leaves, [direction for _, direction in pairs], False)


def _grad(outputs: list[Tensor], inputs: list[Tensor], cotangents: list[Tensor], create_graph: bool) -> list[Any]:
    return list(flambeau.autograd.grad(outputs, inputs, cotangents, allow_unused=True, create_graph=create_graph))


def _as(like: Tensor, array: Any, layout: str) -> Tensor:
    value = Value(array if like.dtype.is_complex else np.real(array), like.dtype)
    return put(value.array, discovery.kind_of(like.dtype, like.device), layout)


# ---------------------------------------------------------------------------------------------- PyTorch
class _FromTorch:
    def __init__(self, cotangents: list[Any], directions: list[Any], grads: list[Any]) -> None:
        self.oracle = f"torch {oracle.torch_or_none().__version__}"
        self.cotangents, self.directions, self.grads = cotangents, directions, grads

    @classmethod
    def make(cls, context: Context, record: OpDef, call: Call, order: int) -> _FromTorch | None:
        torch = context.torch
        if not oracle.accepts(record, call, context.device.type):
            raise oracle.Refused(NotImplementedError(record.name))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                given, leaves = oracle.torch_call(record, call, precise=True, wants_grad=True)
                results = [each for each in oracle.flat(given) if hasattr(each, "requires_grad") and each.requires_grad]
                if not results:
                    return None
                unique = UNIQUE.get(record.name)
                cotangents = [quarters(context.rng, each.shape, each.is_complex()) * (unique in (None, number))
                              for number, each in enumerate(results)]
                directions = [quarters(context.rng, each.shape, each.is_complex()) for each in leaves]
                grads = cls._grads(torch, results, leaves, cotangents, directions, order)
            except (RuntimeError, TypeError, ValueError, IndexError, NotImplementedError) as error:
                raise oracle.Refused(error) from error
        return cls(cotangents, directions, [None if each is None else oracle.from_torch(each) for each in grads])

    @staticmethod
    def _grads(torch: Any, results: list[Any], leaves: list[Any], cotangents: list[Any], directions: list[Any],
               order: int) -> Any:
        grads = torch.autograd.grad(results, leaves, [torch.from_numpy(each) for each in cotangents],
                                    allow_unused=True, create_graph=order == 2)
        if order == 1:
            return grads
        pairs = [(grad, torch.from_numpy(direction)) for grad, direction in zip(grads, directions, strict=True)
                 if grad is not None and grad.requires_grad]
        if not pairs:
            return [None] * len(leaves)
        return torch.autograd.grad([each for each, _ in pairs], leaves, [each for _, each in pairs], allow_unused=True)

    def compare(self, context: Context, record: OpDef, leaves: list[Tensor], mine: list[Any], factor: float) -> None:
        for number, (leaf, found, wanted) in enumerate(zip(leaves, mine, self.grads, strict=True)):
            what = f"gradient of operand {number}"
            wanted = np.zeros(tuple(leaf.shape)) if wanted is None else wanted
            if found is None:
                if np.any(wanted != 0):
                    raise Failure(f"{what} is missing")
                continue
            if found.dtype is not leaf.dtype:
                raise Failure(f"{what} has dtype {found.dtype}, expected {leaf.dtype}")
            context.compare_values(found, wanted, record, what, _tolerance(context, record, leaf), factor)


def _tolerance(context: Context, record: OpDef, leaf: Tensor) -> Tolerance:
    """That of the operator; a gradient computes even where the operator itself only moves data."""
    found = context.tolerances.of(record, leaf.dtype.name)
    return found if found.rtol else context.tolerances.of("pointwise", leaf.dtype.name)


# ---------------------------------------------------------------------------------------------- differences
class _FromDifferences:
    """Derivatives of the sum of results times cotangents, along directions in the space of the operands."""

    def __init__(self, name: str, cotangents: list[Any], directions: list[Any], along: list[list[Any]],
                 slopes: list[float], sizes: float) -> None:
        self.oracle = name
        self.cotangents, self.directions, self.along, self.slopes, self.size = (
            cotangents, directions, along, slopes, sizes)

    @classmethod
    def make(cls, context: Context, record: OpDef, call: Call, order: int) -> _FromDifferences | None:
        values = [each for each in each_value(call) if each.differentiable]
        start = [each.array.astype(_wide(each)) for each in values]

        def forward(arrays: list[Any]) -> list[Any]:
            moved = iter(arrays)

            def change(leaf: Any) -> Any:
                if isinstance(leaf, Value) and leaf.differentiable:
                    kind = flambeau.complex128 if leaf.dtype.is_complex else flambeau.float64
                    return Value(next(moved), kind, True)
                return leaf
            moved_call = replaced(call[0], change), replaced(call[1], change)
            asked = oracle.from_numpy(record, moved_call, context.device.type)
            return [each for each in (asked.precise or asked.results)
                    if isinstance(each, np.ndarray) and each.dtype.kind in "fc"]
        rng = context.rng
        cotangents = [quarters(rng, each.shape, np.iscomplexobj(each)) for each in forward(start)]
        if not cotangents:
            return None
        directions = [quarters(rng, each.shape, np.iscomplexobj(each)) for each in start]
        along = [[quarters(rng, each.shape, np.iscomplexobj(each)) for each in start]
                 for _ in range(_DIRECTIONS[order])]

        def total(arrays: list[Any]) -> float:
            return _inner(cotangents, forward(arrays))
        slopes = [_slope(total, start, each) if order == 1 else _mixed(total, start, directions, each)
                  for each in along]
        return cls("differences in float64", cotangents, directions, along, slopes, sum(each.size for each in start))

    def compare(self, context: Context, record: OpDef, leaves: list[Tensor], mine: list[Any], factor: float) -> None:
        for leaf, found in zip(leaves, mine, strict=True):
            if found is not None and (found.dtype is not leaf.dtype or found.shape != leaf.shape):
                raise Failure(f"a gradient is {found.dtype} {list(found.shape)}, its operand {leaf.dtype} "
                              f"{list(leaf.shape)}")
        arrays = [np.zeros(tuple(leaf.shape)) if found is None else context.fetch(found).astype(
            np.complex128 if leaf.dtype.is_complex else np.float64) for leaf, found in zip(leaves, mine, strict=True)]
        for direction, slope in zip(self.along, self.slopes, strict=True):
            projected = _inner(arrays, direction)
            scale = 1 + sum(float(np.abs(array * each).sum()) for array, each in zip(arrays, direction, strict=True))
            tolerance = max(_tolerance(context, record, leaf).rtol for leaf in leaves) * factor
            if not abs(projected - slope) <= max(tolerance, 1e-6) * scale:
                raise Failure(f"the gradient along a random direction is {projected!r}, by differences {slope!r}")


def _wide(value: Value) -> type:
    return np.complex128 if value.dtype.is_complex else np.float64


def _inner(first: list[Any], second: list[Any]) -> float:
    """The real inner product, by which gradients of complex numbers are defined."""
    return float(sum(np.real(np.conj(a) * b).sum() for a, b in zip(first, second, strict=True)))


def _moved(start: list[Any], direction: list[Any], step: float) -> list[Any]:
    return [array + step * each for array, each in zip(start, direction, strict=True)]


def _slope(total: Callable[[list[Any]], float], start: list[Any], direction: list[Any]) -> float:
    """A central difference of fourth order."""
    near, far = (total(_moved(start, direction, _STEP)) - total(_moved(start, direction, -_STEP)),
                 total(_moved(start, direction, 2 * _STEP)) - total(_moved(start, direction, -2 * _STEP)))
    return (8 * near - far) / (12 * _STEP)


def _mixed(total: Callable[[list[Any]], float], start: list[Any], first: list[Any], second: list[Any]) -> float:
    """The derivative along one direction of the derivative along another."""
    def inner(arrays: list[Any]) -> float:
        return _slope(total, arrays, first)
    return _slope(inner, start, second)
