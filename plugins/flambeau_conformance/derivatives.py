"""Expected gradients: PyTorch's in float64, or differences along random directions.

Cotangents and directions are multiples of 1/4, which every floating dtype represents: the device and the oracle start
from the same numbers.
"""

from __future__ import annotations

import warnings
from typing import Any, Protocol

import numpy as np

import flambeau
from flambeau import discovery
from flambeau.registry import OpDef
from flambeau.tensor import Tensor
from flambeau_conformance import oracle
from flambeau_conformance.differences import UNIQUE, FromDifferences, quarters, tolerance_of
from flambeau_conformance.engine import Context, Failure
from flambeau_conformance.sampling import Call, Value, put


class Expected(Protocol):
    """What the gradients of one call should be."""

    oracle: str
    cotangents: list[Any]
    directions: list[Any]     # one per operand, for the second order

    def choose(self, results: list[Any]) -> list[Tensor]:
        """The results of the device that gradients come through; Failure if others should be among them."""

    def compare(self, context: Context, record: OpDef, leaves: list[Tensor], mine: list[Any], factor: float) -> None:
        """Raise Failure unless these are the gradients."""


def expected(context: Context, record: OpDef, call: Call, order: int) -> Expected | None:
    """The expectation for a call, or None where the oracle says that nothing depends on the operands."""
    if oracle.torch_function(record) is not None:
        return _FromTorch.make(context, record, call, order)
    return FromDifferences.make(context, record, call, order)


def by_differences(context: Context, record: OpDef, call: Call, order: int) -> Expected | None:
    """The expectation without formulas."""
    return FromDifferences.make(context, record, call, order)


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
    if not outputs:
        return [None] * len(inputs)
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

    def choose(self, results: list[Any]) -> list[Tensor]:
        return [each for each in results if isinstance(each, Tensor) and each.requires_grad]

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
            context.compare_values(found, wanted, record, what, tolerance_of(context, record, leaf), factor)
