"""How a reduction's kernels go over an array: which dimensions become runs and columns, in how many lanes and stages.

Plans depend on shape, strides and the device's width only, so they are made once for each and kept.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

Dim = tuple[int, ...]     # a size, then a stride for each operand

LONG = 1024         # elements added in a row
RUN = 1 << 20       # elements that one lane may take as runs, which it adds in parts
BLOCK = 256         # columns of a block, on processors
ROWS = 64           # rows of a lane where each has several blocks, so that all of its blocks stay in the cache
FEW = 4             # columns that are too few to go by
LITTLE = 8192       # elements that are too few: they can do without another kernel, which takes time to build


class Breadth(NamedTuple):
    """A device: whether work items take chunks (processors), and how many keep it busy."""

    chunked: bool
    items: int


class Stage(NamedTuple):
    """One launch: `work` is a measure of what there is to do; `results` the number of elements that it gives.

    `kept` and `outer` are sizes and strides, `numbers` the kernel's parameters that follow.
    """

    work: int
    results: int
    kept: tuple[tuple[int, ...], ...]
    outer: tuple[tuple[int, ...], ...]
    numbers: tuple[int, ...]

    @property
    def way(self) -> tuple[str, ...]:
        """What the kernel's name ends in."""
        return ("columns",) if self.numbers[2] else ()


class Extent(NamedTuple):
    """What is reduced and kept, with dimensions merged: see the kernels' parameters."""

    kept: list[Dim]          # (size, stride in the result, stride in the input)
    columns: int
    column_out: int
    outer: list[Dim]         # (size, stride)
    n: int
    step: int

    @property
    def outputs(self) -> int:
        """Places of the layout `kept`."""
        return math.prod([each[0] for each in self.kept])

    @property
    def m(self) -> int:
        """Runs."""
        return math.prod([each[0] for each in self.outer])


def merge(dims: Iterable[Dim]) -> list[Dim]:
    """The same places with as few dimensions as possible: those of one element dropped, neighbours merged."""
    merged: list[Dim] = []
    for size, *strides in dims:
        if size == 1:
            continue
        if merged and all(before == size * stride for before, stride in zip(merged[-1][1:], strides, strict=True)):
            merged[-1] = (merged[-1][0] * size, *strides)
        else:
            merged.append((size, *strides))
    return merged


def extent(shape: Sequence[int], strides: Sequence[int], dims: Sequence[int], ordered: bool) -> Extent:
    """What a reduction over `dims` goes over; `ordered`: the elements in row-major order, else in any."""
    result_stride = 1
    kept: list[Dim] = []
    for d in reversed(range(len(shape))):
        if d not in dims:
            kept.append((shape[d], result_stride, strides[d]))
            result_stride *= shape[d]
    kept = merge(reversed(kept))
    reduced: list[Dim] = [(shape[d], strides[d]) for d in dims]
    if not ordered:
        reduced.sort(key=lambda each: -each[1])
    outer = merge(reduced)
    n, step = outer.pop() if outer else (1, 1)
    columns = column_out = 0
    place = next((k for k, each in enumerate(kept) if each[2] == 1 and each[0] >= FEW), None)
    if place is not None and step != 1 and math.prod(shape) > LITTLE:
        columns, column_out, _ = kept.pop(place)
    return Extent(kept, columns, column_out, outer, n, step)


def lanes_of(over: Extent, breadth: Breadth) -> tuple[int, int]:
    """Lanes along the runs and along their elements."""
    m, n = max(over.m, 1), max(over.n, 1)
    total = over.m * over.n
    width = BLOCK if breadth.chunked else 1
    groups = max(1, over.outputs) * max(1, -(-over.columns // width))
    least = -(-total // (LONG if over.columns else RUN))
    if breadth.chunked and over.columns > BLOCK:
        least = -(-total // ROWS)
    if breadth.chunked:
        worth = total * min(max(over.columns, 1), BLOCK) // 16384
        wanted = -(-breadth.items // groups) if groups < breadth.items // 2 else 1
    else:
        worth = total // 64 if total > 512 else 1
        wanted = breadth.items // groups
    lanes = max(least, min(wanted, worth), 1)
    if breadth.chunked or over.step != 1:
        lanes_m = min(m, lanes)
        return lanes_m, min(n, -(-lanes // lanes_m))
    lanes_n = max(1, min(lanes, n // 4))
    return min(m, -(-lanes // lanes_n)), lanes_n


def stage(over: Extent, lanes: tuple[int, int], last: bool) -> Stage:
    """The launch over an extent in so many lanes; one that is not the last gives (kept..., lanes, columns), dense."""
    lanes_m, lanes_n = lanes
    both = lanes_m * lanes_n
    kept, lane_out, column_out = over.kept, 0, over.column_out
    if not last:
        lane_out, column_out = max(over.columns, 1), 1
        kept = _dense(kept, both * lane_out, 1)
    numbers = (over.outputs, lane_out, over.columns, column_out, over.m, lanes_m, over.n, over.step, lanes_n)
    results = over.outputs * both * max(over.columns, 1)
    work = max(over.outputs * over.m * over.n * max(over.columns, 1), results)
    return Stage(work, results, _columns(kept, 3), _columns(over.outer, 2), numbers)


def _dense(kept: list[Dim], unit: int, operand: int) -> list[Dim]:
    """The kept dimensions with one operand's strides replaced by dense ones, counted in units."""
    replaced: list[Dim] = []
    for each in reversed(kept):
        strides = list(each)
        strides[operand + 0] = unit
        replaced.append(tuple(strides))
        unit *= each[0]
    return replaced[::-1]


def _columns(dims: Sequence[Dim], width: int) -> tuple[tuple[int, ...], ...]:
    return tuple(tuple(each[k] for each in dims) for k in range(width))


@functools.lru_cache(maxsize=4096)
def plan(shape: tuple[int, ...], strides: tuple[int, ...], dims: tuple[int, ...], breadth: Breadth) -> list[Stage]:
    """The launches of a reduction, each over the partial results of the one before."""
    over = extent(shape, strides, dims, False)
    stages = []
    while True:
        lanes = lanes_of(over, breadth)
        both = lanes[0] * lanes[1]
        stages.append(stage(over, lanes, both == 1))
        if both == 1:
            return stages
        unit = max(over.columns, 1)
        kept = _dense(over.kept, both * unit, 2)
        over = Extent(kept, over.columns, over.column_out, [], both, unit)


@functools.lru_cache(maxsize=4096)
def search_plan(shape: tuple[int, ...], strides: tuple[int, ...], dims: tuple[int, ...],
                breadth: Breadth) -> tuple[Stage, list[tuple[int, tuple[tuple[int, ...], ...], tuple[int, ...]]]]:
    """The launches of a search: over the array, and those that merge lanes: (results, kept, numbers) of each."""
    over = extent(shape, strides, dims, True)
    lanes_m, lanes_n = lanes_of(over, breadth)
    lanes = lanes_m * lanes_n
    first = stage(over, (lanes_m, lanes_n), lanes == 1)
    merges: list[tuple[int, tuple[tuple[int, ...], ...], tuple[int, ...]]] = []
    columns = max(over.columns, 1)
    while lanes > 1:
        groups = 1 if lanes <= 64 else -(-lanes // 64)
        numbers = (over.outputs, columns, over.column_out, lanes, groups)
        merges.append((over.outputs * groups * columns, _columns(over.kept, 3), numbers))
        lanes = groups
    return first, merges
