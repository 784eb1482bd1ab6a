"""Which elements of a dimension each element of the resized one is made of, and with what weights.

Resizing a grid is linear and works on one dimension after the other, so that all its modes are a table each: for every
place of the result `width` places of the input and their weights. The tables are made of plain numbers, once per pair
of sizes, and serve the decomposition and kernels alike. Positions are computed in the precision that PyTorch computes
them in: a position that falls just below a whole number in single precision belongs to another element.
"""

from __future__ import annotations

import functools
import math
import struct
from collections.abc import Callable

Table = tuple[int, tuple[int, ...], tuple[float, ...]]
Rounding = Callable[[float], float]
NEAREST = ("nearest", "nearest-exact")

_single = struct.Struct("f")


def _to_single(value: float) -> float:
    rounded: float = _single.unpack(_single.pack(value))[0]
    return rounded


def _step(size: int, out: int, align_corners: bool, scale: float | None, near: Rounding) -> float:
    """How far apart neighbours of the result are, in elements of the input."""
    if align_corners:
        return near((size - 1) / (out - 1)) if out > 1 else 0.0
    return near(1.0 / scale) if scale is not None and scale > 0 else near(size / out)


def _position(at: int, step: float, align_corners: bool, near: Rounding) -> float:
    return near(step * at) if align_corners else near(near(step * near(at + 0.5)) - 0.5)


def _nearest(size: int, out: int, step: float, exact: bool, near: Rounding) -> Table:
    shift = 0.5 if exact else 0.0
    places = [min(math.floor(_to_single(near(step * (at + shift)))), size - 1) for at in range(out)]
    return 1, tuple(places), (1.0,) * out


def _linear(size: int, out: int, step: float, align_corners: bool, near: Rounding) -> Table:
    places, weights = [], []
    for at in range(out):
        position = max(_position(at, step, align_corners, near), 0.0)
        first = min(int(position), size - 1)
        share = min(max(near(position - first), 0.0), 1.0)
        places += [first, min(first + 1, size - 1)]
        weights += [near(1.0 - share), share]
    return 2, tuple(places), tuple(weights)


def cubic_weights(share: float) -> tuple[float, ...]:
    """The weights of four neighbours for a place `share` behind the second."""
    a = -0.75

    def inner(x: float) -> float:
        return ((a + 2) * x - (a + 3)) * x * x + 1

    def outer(x: float) -> float:
        return ((a * x - 5 * a) * x + 8 * a) * x - 4 * a
    return outer(share + 1), inner(share), inner(1 - share), outer(2 - share)


def _cubic(size: int, out: int, step: float, align_corners: bool, near: Rounding) -> Table:
    places, weights = [], []
    for at in range(out):
        position = _position(at, step, align_corners, near)
        first = math.floor(position)
        places += [min(max(first + each, 0), size - 1) for each in (-1, 0, 1, 2)]
        weights += [near(each) for each in cubic_weights(near(position - first))]
    return 4, tuple(places), tuple(weights)


def _triangle(x: float) -> float:
    return max(1.0 - abs(x), 0.0)


def _catmull_rom(x: float) -> float:
    a, x = -0.5, abs(x)
    if x < 1:
        return ((a + 2) * x - (a + 3)) * x * x + 1
    return (((x - 5) * x + 8) * x - 4) * a if x < 2 else 0.0


def _lanczos(x: float) -> float:
    if x == 0:
        return 1.0
    angle = math.pi * x
    return 3 * math.sin(angle) * math.sin(angle / 3) / (angle * angle) if abs(x) < 3 else 0.0


def _area(size: int, out: int, near: Rounding) -> Table:
    bins = [(at * size // out, -(-(at + 1) * size // out)) for at in range(out)]
    width = max(high - low for low, high in bins)
    places = [min(low + each, size - 1) for low, _ in bins for each in range(width)]
    return width, tuple(places), tuple([near(1 / (high - low)) if low + each < high else 0.0
                                        for low, high in bins for each in range(width)])


_FILTERS: dict[str, tuple[int, Callable[[float], float]]] = {
    "linear-aa": (1, _triangle), "cubic-aa": (2, _catmull_rom), "lanczos-aa": (3, _lanczos)}


def _filtered(mode: str, size: int, out: int, step: float, near: Rounding) -> Table:
    """A filter that grows with the step where the result is smaller, so that no element is passed over."""
    reach, function = _FILTERS[mode]
    spread = max(step, 1.0)
    support, shrink = near(reach * spread), near(1.0 / spread)
    rows = []
    for at in range(out):
        center = near(step * near(at + 0.5))
        low = max(int(near(near(center - support) + 0.5)), 0)
        high = min(int(near(near(center + support) + 0.5)), size)
        values = [near(function(near((each - center + 0.5) * shrink))) for each in range(low, max(high, low + 1))]
        total = sum(values)
        rows.append((low, [near(each / total) if total else each for each in values]))
    width = max(len(values) for _, values in rows)
    places = [min(low + each, size - 1) for low, _ in rows for each in range(width)]
    return width, tuple(places), tuple([each for _, values in rows for each in values + [0.0] * (width - len(values))])


@functools.lru_cache(maxsize=256)
def taps(mode: str, size: int, out: int, align_corners: bool, scale: float | None, single: bool) -> Table:
    """(width, places, weights): the places and weights of each element of the result, `width` of them in turn.

    Args:
        mode: "nearest", "nearest-exact", "linear", "cubic", "linear-aa", "cubic-aa", "lanczos-aa" or "area".
        size: elements of the dimension.
        out: elements that it is resized to.
        align_corners: whether the centres of the outermost elements stay in place, or their outer borders.
        scale: what the caller says that sizes are multiplied by, where it is not `out / size`.
        single: whether positions are computed in single precision.

    >>> taps("linear", 2, 4, False, None, True)
    (2, (0, 1, 0, 1, 0, 1, 1, 1), (1.0, 0.0, 0.75, 0.25, 0.25, 0.75, 0.75, 0.25))
    """
    near = _to_single if single else float
    step = _step(size, out, align_corners, scale, near)
    if mode == "area":
        return _area(size, out, near)
    if mode in NEAREST:
        return _nearest(size, out, step, mode == "nearest-exact", near)
    if size == out and (mode != "cubic" or scale is None):
        return 1, tuple(range(size)), (1.0,) * size
    if mode == "linear":
        return _linear(size, out, step, align_corners, near)
    return _cubic(size, out, step, align_corners, near) if mode == "cubic" else _filtered(mode, size, out, step, near)
