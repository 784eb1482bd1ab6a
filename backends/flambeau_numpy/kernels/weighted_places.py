"""Weighted sums of picked elements, sample by sample in the layout that the planes have."""

from __future__ import annotations

from typing import Any

import numpy as np

from flambeau_numpy.quiet import quiet


def _bordered(planes: Any) -> Any:
    """With a zero behind each plane, for places that are outside."""
    samples, channels, size = planes.shape
    result = np.zeros((samples, channels, size + 1), planes.dtype)
    result[..., :size] = planes
    return result


def weighted_pick(planes: Any, places: Any, weights: Any) -> Any:
    """The sum over K of what is at `places` times `weights`."""
    samples, count, length = places.shape
    result = np.zeros((samples, planes.shape[1], length), planes.dtype)
    for plane, place, weight, total in zip(_bordered(planes), places, weights, result, strict=True):
        for number in range(count):
            part = plane.take(place[number], 1, mode="clip")
            part *= weight[number]
            total += part
    return result


def weighted_put(g: Any, places: Any, weights: Any, size: int) -> Any:
    """Each of `g` times its weights added at its places."""
    samples, channels, _ = g.shape
    result = np.empty((samples, channels, size), g.dtype)
    for number in range(samples):
        place, weight = places[number].reshape(-1), weights[number]
        for channel in range(channels):
            share = (weight * g[number, channel]).reshape(-1)
            result[number, channel] = np.bincount(place, share, size + 1)[:size]
    return result


def picked_products(g: Any, planes: Any, places: Any) -> Any:
    """`g` times what is at the places, summed over channels."""
    result = np.empty(places.shape, g.dtype)
    for number, plane in enumerate(_bordered(planes)):
        for at, place in enumerate(places[number]):
            np.einsum("cp,cp->p", g[number], plane.take(place, 1, mode="clip"), out=result[number, at])
    return result


KERNELS: dict[str, Any] = {
    "weighted_pick": quiet(weighted_pick),
    "weighted_put": quiet(weighted_put),
    "picked_products": quiet(picked_products),
}
