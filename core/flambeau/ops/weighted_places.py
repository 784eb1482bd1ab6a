"""Sums of elements picked from planes, with weights: what sampling at the places of a grid comes down to.

Three operators, each of which is linear in each of its float operands, and of which each gives the gradients of the
others: picked and weighted, weighted and put back, and the products that belong to the weights. A place is a position
in a flattened plane; the one behind its last is outside of it: a zero, whatever the weight.
"""

from __future__ import annotations

from typing import Any

from flambeau.dispatch import operator
from flambeau.ops import _samples, creation
from flambeau.ops.joining import cat, stack
from flambeau.tensor import Tensor


def _places(make: Any) -> Any:
    return make.index(2, 3, 4, high=6)   # 5 is outside


def _samples_pick(make: Any) -> _samples.Calls:
    yield (make(2, 3, 5), _places(make), make(2, 3, 4)), {}


def _samples_put(make: Any) -> _samples.Calls:
    yield (make(2, 3, 4), _places(make), make(2, 3, 4), 5), {}


def _samples_products(make: Any) -> _samples.Calls:
    yield (make(2, 3, 4), make(2, 3, 5), _places(make)), {}


def _table(planes: Tensor) -> Tensor:
    """(N, C, size) as rows of channels, one more of zeros for each of the N: whole rows move at once."""
    samples, channels, size = planes.shape
    planes = cat([planes, planes.new_zeros((samples, channels, 1))], 2)
    return planes.transpose(1, 2).reshape(samples * (size + 1), channels)


def _rows(places: Tensor, size: int) -> Tensor:
    """(K, N * P): which rows of the table the places are."""
    first = creation.arange(places.shape[0], device=places.device) * (size + 1)
    return (places + first.reshape(-1, 1, 1)).transpose(0, 1).reshape(places.shape[1], -1)


@operator(namespace="internal", samples=_samples_pick, vjp={
    "planes": lambda g, places, weights, planes_shape: weighted_put(g, places, weights, planes_shape[2]),
    "weights": lambda g, planes, places: picked_products(g, planes, places)})
def weighted_pick(planes: Tensor, places: Tensor, weights: Tensor) -> Tensor:
    """(N, C, P) from planes (N, C, size): the sum over K of what is at `places` times `weights`, both (N, K, P)."""
    table, rows = _table(planes), _rows(places, planes.shape[2])
    total: Any = 0
    for number in range(places.shape[1]):
        total = total + table.index_select(0, rows[number]) * weights[:, number].reshape(-1, 1)
    return total.reshape(places.shape[0], places.shape[2], planes.shape[1]).transpose(1, 2).contiguous()


@operator(namespace="internal", samples=_samples_put, vjp={
    "g": lambda h, places, weights: weighted_pick(h, places, weights),
    "weights": lambda h, g, places: picked_products(g, h, places)})
def weighted_put(g: Tensor, places: Tensor, weights: Tensor, size: int) -> Tensor:
    """(N, C, size) with each of `g` (N, C, P) times its weights (N, K, P) added at its places."""
    samples, channels, _ = g.shape
    rows, given = _rows(places, size), g.transpose(1, 2).reshape(-1, channels)
    total = g.new_zeros((samples * (size + 1), channels))
    for number in range(places.shape[1]):
        total = total.index_add(0, rows[number], given * weights[:, number].reshape(-1, 1))
    return total.reshape(samples, size + 1, channels)[:, :size].transpose(1, 2).contiguous()


@operator(namespace="internal", samples=_samples_products, vjp={
    "g": lambda h, planes, places: weighted_pick(planes, places, h),
    "planes": lambda h, g, places, planes_shape: weighted_put(g, places, h, planes_shape[2])})
def picked_products(g: Tensor, planes: Tensor, places: Tensor) -> Tensor:
    """(N, K, P): `g` (N, C, P) times what is at the places (N, K, P) of planes (N, C, size), summed over channels."""
    table, rows = _table(planes), _rows(places, planes.shape[2])
    given = g.transpose(1, 2).reshape(-1, g.shape[1])
    sums = [(given * table.index_select(0, rows[number])).sum(1) for number in range(places.shape[1])]
    return stack([each.reshape(places.shape[0], places.shape[2]) for each in sums], 1)
