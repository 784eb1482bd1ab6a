"""Derivatives without formulas: differences in float64 along random directions.

The first derivatives are differences of the operator itself, run on the host in float64: what it computes there is for
the other levels to judge. The second are differences of the first, which are judged before. What differences cannot
tell, because PyTorch defines a gradient that is not the function's, stands in one table, with reasons.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fnmatch import fnmatch
from typing import Any

import numpy as np

import flambeau
from flambeau import discovery
from flambeau.device import device
from flambeau.errors import DeviceError
from flambeau.registry import OpDef
from flambeau.tensor import Tensor
from flambeau_conformance import oracle
from flambeau_conformance.engine import Context, Failure
from flambeau_conformance.sampling import Call, Value, each_value, replaced
from flambeau_conformance.tolerance import Tolerance

Arrays = list[Any]

# Of results that are unique only up to a sign or a rotation, the one that is unique: gradients come through it alone.
UNIQUE = {"linalg_eigh": 0, "linalg_svd": 1, "svd": 1}

_DIRECTIONS = {1: 2, 2: 1}     # by order
# (where from along the direction, how far): the next one where a jump lies within, or at the very point.
_STEPS = ((0, 1e-5), (0, 1e-6), (0, 1e-4), (1e-4, 1e-5), (-1e-4, 1e-5))


class Unmeasurable(Exception):
    """Differences cannot tell what the gradient of this call should be; the reason."""


def _complex(call: Call) -> bool:
    return any(each.dtype.is_complex for each in each_value(call))


def _always(call: Call) -> bool:
    return True


def _said(name: str) -> Callable[[Call], bool]:
    """Whether a call gives a keyword another value than what stands for nothing."""
    return lambda call: call[1].get(name) not in (None, False)


# (operators, which of their calls, why they are left out where there are only differences to compare with)
LEFT_OUT: tuple[tuple[str, Callable[[Call], bool], str], ...] = (
    ("cosine_similarity", lambda call: call[1].get("eps", 0) > 1,
     "below eps the norm counts as a constant in the gradient"),
    ("*ctc_loss*", _always, "the gradient is defined for logarithms of probabilities, which sum to 1"),
    ("embedding*", lambda call: _said("padding_idx")(call) or _said("scale_grad_by_freq")(call),
     "the gradient is defined apart from the function: none for the padding, divided by how often a row is used"),
    ("mode", _always, "the most frequent of equal numbers changes with any of them"),
    ("multi_margin_loss", lambda call: call[1].get("p", 1) == 1, "the operands, quarters, lie on the hinge's corners"),
    ("multilabel_margin_loss", _always, "the operands, quarters, lie on the hinge's corners"),
    ("mse_loss", _complex, "the gradient is defined without conjugation"),
    ("soft_margin_loss", _complex, "the gradient is defined without conjugation"),
    ("scatter_reduce", lambda call: _complex(call) and "prod" in call[0],
     "the gradient is defined without conjugation"),
    ("*qr", lambda call: any(each in ("complete", "r") or each is False for each in call[0]),
     "no derivative is defined for the columns that complete Q, nor without Q"),
    ("*pinv*", lambda call: len(call[0]) > 1 or _said("rcond")(call) or _said("rtol")(call),
     "the gradient is defined as if no singular value were cut off"),
    ("unique*", _always, "which elements come back is a matter of equality"),
)

# Results through which no gradient is defined though they depend on the operands: which ones, or None for all.
NO_GRADIENT: dict[str, tuple[int, ...] | None] = {
    "special_bessel_*": None, "special_modified_bessel_*": None, "special_scaled_modified_bessel_*": None,
    "special_spherical_bessel_*": None, "special_*_polynomial_*": None,
    "special_zeta": None, "native_batch_norm": (1, 2), "native_layer_norm": (1, 2), "empty_like": None,
}

# Operands that are Hermitian: the gradient is that of the function on Hermitian matrices.
_HERMITIAN = frozenset("linalg_cholesky cholesky linalg_cholesky_ex linalg_eigh linalg_eigvalsh".split())
# Operands that are triangular: what stands in the other triangle is not looked at.
_TRIANGULAR = frozenset("cholesky_inverse cholesky_solve".split())


def quarters(rng: np.random.Generator, shape: Sequence[int], is_complex: bool) -> Any:
    """Multiples of 1/4 between -2 and 2, without 0."""
    def some() -> Any:
        return rng.integers(1, 9, tuple(shape)) * rng.choice([-0.25, 0.25], tuple(shape))
    return some() + 1j * some() if is_complex else some()


def tolerance_of(context: Context, record: OpDef, leaf: Tensor) -> Tolerance:
    """That of the operator; a gradient computes even where the operator itself only moves data."""
    found = context.tolerances.of(record, leaf.dtype.name)
    return found if found.rtol else context.tolerances.of("pointwise", leaf.dtype.name)


def _where(under_test: str) -> device | None:
    """Where operators are run for their differences: on the host, which is quick."""
    try:
        return discovery.resolve(device("cpu"))
    except DeviceError:
        return oracle.stand_in(under_test)


class FromDifferences:
    """Derivatives of the sum of results times cotangents, along directions in the space of the operands."""

    oracle = "differences in float64"

    def __init__(self, context: Context, record: OpDef, call: Call, order: int) -> None:
        self.record, self.call, self.order = record, call, order
        self.where = _where(context.device.type)
        values = [each for each in each_value(call) if each.differentiable]
        self.start: Arrays = [each.array.astype(_wide(each)) for each in values]
        self.cotangents: Arrays = []
        self.chosen: list[int] = []
        rng = context.rng
        self.weights = {number: quarters(rng, each.shape, np.iscomplexobj(each)) * (
            UNIQUE.get(record.name) in (None, number)) for number, each in self.forward(self.start).items()}
        self.directions = [quarters(rng, each.shape, np.iscomplexobj(each)) for each in self.start]
        self.along = [[_allowed(record, call, quarters(rng, each.shape, np.iscomplexobj(each)), each)
                       for each in self.start] for _ in range(_DIRECTIONS[order])]

    @classmethod
    def make(cls, context: Context, record: OpDef, call: Call, order: int) -> FromDifferences | None:
        """The expectation for a call, None where no result is floating; Refused or Unmeasurable."""
        for pattern, applies, reason in LEFT_OUT:
            if fnmatch(record.name, pattern) and applies(call):
                raise Unmeasurable(reason)
        where = _where(context.device.type)
        oracle.on_device(record, call, where, precise=False)      # refused in the dtype itself: no gradient either
        made = cls(context, record, call, order)
        return made if made.weights else None

    # ------------------------------------------------------------------------------------------ what is measured
    def _moved(self, arrays: Arrays) -> Call:
        moved = iter(arrays)

        def change(leaf: Any) -> Any:
            if isinstance(leaf, Value) and leaf.differentiable:
                kind = flambeau.complex128 if leaf.dtype.is_complex else flambeau.float64
                return Value(next(moved), kind, True)
            return leaf
        return replaced(self.call[0], change), replaced(self.call[1], change)

    def forward(self, arrays: Arrays) -> dict[int, Any]:
        """The floating results for operands, by their position."""
        results = oracle.on_device(self.record, self._moved(arrays), self.where, precise=True)
        found = {number: oracle.plain(each)[1] for number, each in enumerate(results) if isinstance(each, Tensor)}
        return {number: each for number, each in found.items() if each.dtype.kind in "fc"}

    def gradients(self, arrays: Arrays) -> Arrays:
        """The first gradients on the host in float64, by the formulas."""
        leaves: list[Tensor] = []
        results = oracle.on_device(self.record, self._moved(arrays), self.where, precise=True, leaves=leaves)
        chosen = [results[number] for number in self.chosen]
        cotangents = [oracle.tensor_of(array if each.dtype.is_complex else np.real(array), each._kind)
                      for each, array in zip(chosen, self.cotangents, strict=True)]
        if not chosen:
            return [np.zeros(array.shape) for array in arrays]
        grads = flambeau.autograd.grad(chosen, leaves, cotangents, allow_unused=True)
        return [np.zeros(array.shape) if grad is None else oracle.plain(grad)[1]
                for grad, array in zip(grads, arrays, strict=True)]

    def slope(self, direction: Arrays, base: float, step: float) -> float:
        """The derivative along a direction, by a central difference of fourth order."""
        def at(distance: float) -> Arrays:
            moved = [array + (base + distance) * each for array, each in zip(self.start, direction, strict=True)]
            if self.order == 2:
                return self.gradients(moved)
            found = self.forward(moved)
            return [found[number] for number in self.chosen]
        weights = self.directions if self.order == 2 else self.cotangents
        with np.errstate(all="ignore"):
            near = _inner(weights, [a - b for a, b in zip(at(step), at(-step), strict=True)])
            far = _inner(weights, [a - b for a, b in zip(at(2 * step), at(-2 * step), strict=True)])
        return (8 * near - far) / (12 * step)

    # ------------------------------------------------------------------------------------------ what is compared
    def choose(self, results: list[Any]) -> list[Tensor]:
        """Those results of the device that require a gradient; the others may not depend on the operands."""
        floating = [number for number, each in enumerate(results)
                    if isinstance(each, Tensor) and each.dtype.is_differentiable]
        if floating != list(self.weights):
            raise Failure(f"results {floating} are floating, expected {list(self.weights)}")
        without = [number for number in floating if not results[number].requires_grad]
        for number in without:
            if not self._is_constant(number):
                raise Failure(f"result {number} does not require a gradient, but depends on the operands")
        self.chosen = [number for number in floating if number not in without]
        self.cotangents = [self.weights[number] for number in self.chosen]
        return [results[number] for number in self.chosen]

    def _is_constant(self, number: int) -> bool:
        for pattern, which in NO_GRADIENT.items():
            if fnmatch(self.record.name, pattern) and (which is None or number in which):
                return True
        before = self.forward(self.start)[number]
        moved = [array + 1e-6 * each for array, each in zip(self.start, self.along[0], strict=True)]
        return not np.any(np.abs(self.forward(moved)[number] - before) > 1e-10 * (1 + np.abs(before)))

    def compare(self, context: Context, record: OpDef, leaves: list[Tensor], mine: list[Any], factor: float) -> None:
        """Raise Failure unless these are the gradients, seen along every direction."""
        for leaf, found in zip(leaves, mine, strict=True):
            if found is not None and (found.dtype is not leaf.dtype or found.shape != leaf.shape):
                raise Failure(f"a gradient is {found.dtype} {list(found.shape)}, its operand {leaf.dtype} "
                              f"{list(leaf.shape)}")
        arrays = [np.zeros(tuple(leaf.shape)) if found is None else context.fetch(found).astype(
            np.complex128 if leaf.dtype.is_complex else np.float64) for leaf, found in zip(leaves, mine, strict=True)]
        tolerance = max(max(tolerance_of(context, record, leaf).rtol for leaf in leaves) * factor, 1e-6)
        for direction in self.along:
            projected = _inner(arrays, direction)
            scale = 1 + sum(float(np.abs(array * each).sum()) for array, each in zip(arrays, direction, strict=True))
            slopes = []
            for base, step in _STEPS:
                slopes.append(self.slope(direction, base, step))
                if abs(projected - slopes[-1]) <= tolerance * scale:
                    break
            else:
                raise Failure(f"the gradient along a random direction is {projected!r}, by differences {slopes[0]!r}")


def _allowed(record: OpDef, call: Call, direction: Any, start: Any) -> Any:
    """A direction along which an operand may be moved."""
    if record.name in _HERMITIAN or call[1].get("hermitian"):
        direction = (direction + np.conj(np.swapaxes(direction, -1, -2))) / 2
    if record.name in _TRIANGULAR and start.ndim > 1:
        upper, lower = np.triu(start, 1).any(), np.tril(start, -1).any()
        direction = direction if upper and lower else np.triu(direction) if upper else np.tril(direction)
    return np.where(np.isfinite(start), direction, 0)


def _wide(value: Value) -> type:
    return np.complex128 if value.dtype.is_complex else np.float64


def _inner(first: Arrays, second: Arrays) -> float:
    """The real inner product, by which gradients of complex numbers are defined; nan for what is no number."""
    total = 0.0
    for a, b in zip(first, second, strict=True):
        products = np.real(np.conj(a) * b)
        total += float(products[np.asarray(a) != 0].sum() if products.ndim else products)
    return total
