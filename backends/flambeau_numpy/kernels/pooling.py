"""Pooling: one pass over the output per position in the window, on strided slices of the padded input."""

from __future__ import annotations

import math
from itertools import product
from typing import Any

import numpy as np

from flambeau_numpy.quiet import quiet

Shape = tuple[int, ...]


def _border(x: Any, kernel: Shape, stride: Shape, padding: Shape, dilation: Shape, out: Shape, value: Any) -> Any:
    """The input with its border, extended where the last windows (of `ceil_mode`) reach beyond it."""
    needed = [jump * (count - 1) + step * (width - 1) + 1 for jump, count, step, width
              in zip(stride, out, dilation, kernel, strict=True)]
    spatial = x.shape[2:]
    if not any(padding) and all(have >= want for have, want in zip(spatial, needed, strict=True)):
        return x
    sizes = [max(want, size + 2 * each) for want, size, each in zip(needed, spatial, padding, strict=True)]
    result = np.full((*x.shape[:2], *sizes), value, x.dtype)
    result[(..., *(slice(each, each + size) for size, each in zip(spatial, padding, strict=True)))] = x
    return result


def _places(kernel: Shape, stride: Shape, dilation: Shape, out: Shape) -> Any:
    """Per position in the window, the slices of the bordered input that hold it for every output element."""
    for offset in product(*map(range, kernel)):
        yield (..., *[slice(at * step, at * step + jump * (count - 1) + 1, jump)
                      for at, step, jump, count in zip(offset, dilation, stride, out, strict=True)])


def _lowest(dtype: Any) -> Any:
    return -np.inf if dtype.kind == "f" else np.iinfo(dtype).min


def max_pool(x: Any, kernel: Shape, stride: Shape, padding: Shape, dilation: Shape, out: Shape) -> Any:
    """(largest values, their positions in the flattened spatial dimensions); a nan wins."""
    bordered = _border(x, kernel, stride, padding, dilation, out, _lowest(x.dtype))
    places = list(_places(kernel, stride, dilation, out))
    best, which = _tournament(bordered, places)
    if (x.dtype.kind == "f" and np.isnan(best).any()) or (any(padding) and (best == _lowest(x.dtype)).any()):
        inside = _border(np.ones((1, 1, *x.shape[2:]), np.bool_), kernel, stride, padding, dilation, out, False)
        which = _careful(bordered, inside, places, best.shape)
    # a position in the window, plus where the window begins, is a position in the input
    spatial = x.shape[2:]
    steps = [math.prod(spatial[axis + 1:]) for axis in range(len(spatial))]
    table = np.zeros(kernel, np.int64)
    begin = np.zeros(out, np.int64)
    for axis, step in enumerate(steps):
        along = [-1 if index == axis else 1 for index in range(len(spatial))]
        table += (np.arange(kernel[axis]) * dilation[axis] * step).reshape(along)
        begin += ((np.arange(out[axis]) * stride[axis] - padding[axis]) * step).reshape(along)
    indices = table.reshape(-1).take(which)
    indices += begin
    return best, indices


def _tournament(bordered: Any, places: list[Any]) -> tuple[Any, Any]:
    """The largest element per window (nan, if there is one) and the number of the first place that holds it."""
    best = bordered[places[0]].copy()
    which = np.zeros(best.shape, np.uint8 if len(places) < 256 else np.intp)
    for number, place in enumerate(places[1:], 1):
        candidate = bordered[place].copy()    # one strided pass instead of two
        better = (candidate > best).view(np.uint8).astype(which.dtype, copy=False)
        np.maximum(best, candidate, out=best)
        # which = number where better: on bits, because masked copies take ten times as long
        change = which ^ which.dtype.type(number)
        change &= np.negative(better, better)
        which ^= change
    return best, which


def _careful(bordered: Any, inside: Any, places: list[Any], shape: Shape) -> Any:
    """The numbers of the winning places where nan takes part, or the number that the border is filled with.

    A nan beats every number, and the last nan the others; the border is beaten by any element.
    """
    best = bordered[places[0]].copy()
    which = np.zeros(shape, np.intp)
    found = np.broadcast_to(inside[places[0]], shape).copy()
    for number, place in enumerate(places[1:], 1):
        candidate = bordered[place]
        better = (candidate > best) | (candidate != candidate) | (inside[place] & ~found)
        found |= inside[place]
        np.copyto(best, candidate, where=better)
        np.copyto(which, number, where=better)
    return which


def pool_scatter(g: Any, indices: Any, spatial: Shape, distinct: bool) -> Any:
    """Add each element of `g` at its position in a plane of zeros."""
    planes = math.prod(g.shape[:2])
    size = math.prod(spatial)
    flat = (indices.reshape(planes, math.prod(indices.shape[2:])) + np.arange(planes)[:, None] * size).reshape(-1)
    if distinct:
        total = np.zeros(planes * size, g.dtype)
        total[flat] = g.reshape(-1)
        return total.reshape(*g.shape[:2], *spatial)
    total = np.bincount(flat, g.reshape(-1), planes * size) if g.dtype.kind == "f" else _add_at(flat, g, planes * size)
    return total.astype(g.dtype).reshape(*g.shape[:2], *spatial)


def _add_at(flat: Any, g: Any, size: int) -> Any:
    total = np.zeros(size, g.dtype)
    np.add.at(total, flat, g.reshape(-1))
    return total


def pool_gather(x: Any, indices: Any) -> Any:
    """The elements of each plane at the given positions."""
    planes = x.reshape(*x.shape[:2], math.prod(x.shape[2:]))
    places = indices.reshape(*indices.shape[:2], math.prod(indices.shape[2:]))
    return np.take_along_axis(planes, places, 2).reshape(indices.shape)


def _truncated(total: Any, count: Any, out: Any) -> Any:
    """Integers divided towards zero, as C does."""
    down = np.floor_divide(total, count)
    np.add(down, (down < 0) & (down * count != total), out, casting="unsafe")
    return out


def _divide(total: Any, x_spatial: Shape, kernel: Shape, stride: Shape, padding: Shape, out: Shape,
            count_include_pad: bool, divisor: int | None) -> Any:
    """Divide sums over windows by how many elements each window has."""
    divide = np.divide if total.dtype.kind == "f" else _truncated
    if divisor is not None:
        return divide(total, divisor, total)
    counts: Any = 1
    for axis, (size, width, jump, border, count) in enumerate(
            zip(x_spatial, kernel, stride, padding, out, strict=True)):
        begin = np.arange(count) * jump - border
        end = np.minimum(begin + width, size + border)
        if not count_include_pad:
            begin, end = np.maximum(begin, 0), np.minimum(end, size)
        along = [-1 if index == axis else 1 for index in range(len(out))]
        counts = counts * (end - begin).astype(total.dtype).reshape(along)
    return divide(total, counts, total)


def avg_pool(x: Any, kernel: Shape, stride: Shape, padding: Shape, out: Shape, count_include_pad: bool,
             divisor: int | None) -> Any:
    """Means over windows."""
    ones = (1,) * len(kernel)
    bordered = _border(x, kernel, stride, padding, ones, out, 0)
    places = _places(kernel, stride, ones, out)
    total = bordered[next(places)].copy()
    for place in places:
        total += bordered[place]
    return _divide(total, x.shape[2:], kernel, stride, padding, out, count_include_pad, divisor)


def avg_pool_input_grad(g: Any, spatial: Shape, kernel: Shape, stride: Shape, padding: Shape, count_include_pad: bool,
                        divisor: int | None) -> Any:
    """Spread each output's gradient over its window."""
    out = g.shape[2:]
    ones = (1,) * len(kernel)
    shares = _divide(g.copy(), spatial, kernel, stride, padding, out, count_include_pad, divisor)
    needed = [max(jump * (count - 1) + width, size + 2 * border) for jump, count, width, size, border
              in zip(stride, out, kernel, spatial, padding, strict=True)]
    result = np.zeros((*g.shape[:2], *needed), g.dtype)
    for place in _places(kernel, stride, ones, out):
        result[place] += shares
    return np.ascontiguousarray(result[(..., *(slice(each, each + size)
                                               for size, each in zip(spatial, padding, strict=True)))])


KERNELS: dict[str, Any] = {
    "max_pool": max_pool,
    "pool_scatter": pool_scatter,
    "pool_gather": pool_gather,
    "avg_pool": quiet(avg_pool),
    "avg_pool_input_grad": quiet(avg_pool_input_grad),
}
