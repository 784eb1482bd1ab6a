"""Convolutions on GPUs, whose windows are never stored: which kernel, with which tiles, over how many groups.

The texts, and how a convolution is a product of matrices, are in `_conv_text`. Which tiles are best is estimated rather
than tried: how much of them is used, how many groups there are for the device's compute units, and how often a work
item goes to local memory for its block. Sums that too few groups would compute are cut into parts, whose sums a second
kernel adds. There are no atomics: results are the same every time.
"""

from __future__ import annotations

import functools
import math
import os
import struct
from typing import NamedTuple

from flambeau.dtypes import dtype
from flambeau.ir.dialect import C_TYPES
from flambeau_clike.array import Array, empty
from flambeau_clike.device import Device
from flambeau_clike.kernels._conv_text import DIRECT, DIRECT_WEIGHTS, SHARED, SUM, TILES
from flambeau_clike.kernels.windows import HEADER, SPATIAL, Windows
from flambeau_clike.launch import launch
from flambeau_clike.program import Family

SETTING = "FLAMBEAU_CONVOLUTION"
TYPES = ("f32", "f64")
FEW = 4                    # channels of a group up to which there are no tiles, as most of them would be empty
GROUP = 128                # work items that share a sum of `direct_weights`
LEAST, LONGEST = 256, 8192     # products in a part of a sum: fewer do not pay, more are less accurate
MOST_PARTS, PARTIAL = 256, 1 << 24     # and how many parts there may be, with how many elements all together
BLOCK = 256                # bytes of a work item's block
TRAFFIC = 25               # what it costs to write an element and read it again, in products of a tile
LARGEST = 1 << 28          # elements along a dimension, for places in 32 bits
_pack = struct.Struct("=25q").pack


class Tile(NamedTuple):
    """Rows and columns of the result that a group makes, how many products it takes in at once, and the rows and
    columns of a work item's block."""

    m: int
    n: int
    k: int
    rows: int
    columns: int

    @property
    def members(self) -> int:
        """Work items of a group."""
        return self.m // self.rows * (self.n // self.columns)

    def local(self, itemsize: int) -> int:
        """Bytes of local memory that a group needs: tiles, tables of places, and lines."""
        return (self.m + self.n + 8) * self.k * itemsize + (self.n + self.k) * 32 + 256

    def holds(self, itemsize: int) -> bool:
        """Whether a work item has the registers for its block."""
        return self.rows * self.columns * itemsize <= BLOCK

    def words(self, ctype: str) -> dict[str, str]:
        """Placeholders of the text; pieces of a block's rows and columns have up to 16 bytes."""
        piece = 2 if ctype == "f64" else 4
        names = zip(("M", "N", "K", "ROWS", "COLUMNS"), self, strict=True)
        return {**{name: str(size) for name, size in names}, "MEMBERS": str(self.members),
                "V_ROWS": str(min(piece, self.rows)), "V_COLUMNS": str(min(piece, self.columns))}


CHOICES = (Tile(128, 128, 8, 8, 8), Tile(64, 128, 8, 4, 8), Tile(64, 64, 16, 4, 4), Tile(32, 128, 8, 4, 4),
           Tile(32, 64, 16, 4, 4), Tile(16, 64, 16, 2, 4), Tile(16, 16, 16, 2, 2))


def _family(tile: Tile, ctype: str, dimensions: str) -> Family:
    over = (("T", (ctype,)), ("D", (dimensions,)), ("PART", ("apply", "weights")))
    return Family("conv_tiles_" + "_".join(map(str, tile)), TILES,
                  (*over, *[(name, (word,)) for name, word in tile.words(ctype).items()]), shared=HEADER + SHARED)


_TILES = {(tile, ctype, dimensions): _family(tile, ctype, dimensions)
          for tile in CHOICES for ctype in TYPES for dimensions in ("2", "3")     # one dimension is two, too
          if tile.holds(8 if ctype == "f64" else 4)}
_DIRECT = Family("conv_direct", DIRECT, (("T", TYPES),), shared=HEADER + SHARED)
_WEIGHTS = Family("conv_direct_weights", DIRECT_WEIGHTS, (("T", TYPES), ("G", (str(GROUP),))), shared=HEADER + SHARED)
_SUM = Family("conv_sum", SUM, (("T", TYPES),))


# ---------------------------------------------------------------------------------------------- what is computed
class Problem(NamedTuple):
    """Sizes of a convolution, or of one of its gradients (`what`: "apply", "back" or "weights")."""

    what: str
    w: Windows
    samples: int
    groups: int
    ins: int        # channels of a group of the input, and of the output
    outs: int

    @property
    def rows(self) -> int:
        """Of the result, seen as a matrix for each group."""
        return self.ins if self.what == "back" else self.outs

    @property
    def channels(self) -> int:
        """That taps come from."""
        return self.outs if self.what == "back" else self.ins

    @property
    def phases(self) -> tuple[int, ...]:
        """Per dimension, the remainders by the stride that are computed apart."""
        return self.w.stride if self.what == "back" else (1,) * len(self.w.stride)

    def extents(self) -> tuple[int, int]:
        """Columns of a group and a phase, and products of a sum; the most of all phases."""
        w = self.w
        if self.what == "back":
            positions = math.prod(-(-size // jump) for size, jump in zip(w.size, w.stride, strict=True))
            taps = math.prod(-(-width // period) for width, period in zip(w.kernel, periods(w), strict=True))
            return self.samples * positions, self.outs * taps
        positions, taps = self.samples * w.length, self.ins * w.volume
        return (taps, positions) if self.what == "weights" else (positions, taps)

    def packed(self, broad: int, parts: int, length: int, bias: int | None) -> bytes:
        """As an argument of type conv_t; `bias` is the stride of one, if there is one."""
        w, groups = self.w, self.groups
        taps, positions, elements = w.volume, w.length, math.prod(w.size)
        inside, outside = self.ins * elements, self.outs * positions     # elements of a group of a sample
        weights = self.outs * self.ins * taps
        whole_in, whole_out = groups * inside, groups * outside             # and of all groups
        if self.what == "back":
            steps = (taps, elements, weights, outside, inside, self.samples * whole_in, whole_out, whole_in,
                     self.ins * taps)
        elif self.what == "apply":
            steps = (self.ins * taps, positions, weights, inside, outside, self.samples * whole_out, whole_in,
                     whole_out, taps)
        else:
            steps = (positions, self.ins * taps, outside, inside, weights, groups * weights, whole_in, whole_out, taps)
        pad = (1,) * (SPATIAL - len(w.size))
        return _pack(groups, self.rows, self.channels, self.samples, broad, parts, length, int(self.what == "back"),
                     int(bias is not None), bias or 0, *steps,
                     *pad, *self.phases, *pad, *periods(w)) + w.packed()


def periods(w: Windows) -> tuple[int, ...]:
    """Per dimension, how far apart the taps are that an input element meets."""
    return tuple(jump // math.gcd(jump, step) for jump, step in zip(w.stride, w.dilation, strict=True))


# ---------------------------------------------------------------------------------------------- which kernel
class Plan(NamedTuple):
    """The tile, how many groups of work items there are, columns of tiles, and parts of sums of which length."""

    tile: Tile
    groups: int
    broad: int
    parts: int
    length: int


def takes(device: Device, dtype: dtype, w: Windows) -> bool:
    """Whether a device computes such a convolution here."""
    if device.traits.cpu:
        return False
    sizes = (*w.size, *w.out)
    return (C_TYPES[dtype] in TYPES and 0 < min(sizes) <= max(sizes) <= LARGEST
            and os.environ.get(SETTING) != "columns" and bool(fitting(device, dtype.itemsize))
            and device.traits.largest_group >= GROUP)


def fitting(device: Device, itemsize: int) -> tuple[Tile, ...]:
    """The tiles that a device has the local memory and the work items for."""
    return _fitting(device.traits.local_memory, device.traits.largest_group, itemsize)


@functools.lru_cache
def _fitting(memory: int, largest: int, itemsize: int) -> tuple[Tile, ...]:
    return tuple([each for each in CHOICES if each.holds(itemsize)
                  and each.local(itemsize) <= memory and each.members <= largest])


def plan(problem: Problem, tiles: tuple[Tile, ...], units: int) -> Plan:
    """The tile and the number of parts of which the estimate is lowest."""
    return min([_estimate(problem, tile, units, crowd) for tile in tiles for crowd in (0, 2, 4)],
               key=lambda each: each[0])[1]


def _estimate(problem: Problem, tile: Tile, units: int, crowd: int) -> tuple[float, Plan]:
    """The cost with a tile, where sums are cut until there are `crowd` groups for each compute unit."""
    columns, sums = problem.extents()
    broad = max(1, -(-columns // tile.n))
    groups = -(-problem.rows // tile.m) * broad * problem.groups * math.prod(problem.phases)
    elements = problem.groups * problem.rows * columns * math.prod(problem.phases)
    most = min(sums // LEAST, MOST_PARTS, PARTIAL // max(elements, 1))
    parts = max(1, min(max(crowd * units // groups, sums // LONGEST), most))
    length = max(1, math.ceil(sums / (parts * tile.k))) * tile.k     # whole tiles
    parts = max(1, -(-sums // length))
    at_once = 2 * units
    rounds = -(-groups * parts // at_once) * at_once     # groups, were the last round full
    cost = rounds * tile.m * tile.n * length * (1 / tile.rows + 1 / tile.columns + 0.25)
    if parts > 1:
        cost += TRAFFIC * elements * (parts + 1)
    return cost, Plan(tile, groups * parts, broad, parts, length)


@functools.lru_cache(maxsize=1024)
def _prepared(problem: Problem, tiles: tuple[Tile, ...], units: int, ctype: str,
              bias: int | None) -> tuple[Family, tuple[str, ...], int, Plan, bytes]:
    """The kernel to launch, over how many work items, by which plan, and its last argument."""
    chosen = plan(problem, tiles, units)
    dimensions = "3" if len(problem.w.size) == SPATIAL else "2"
    part = "weights" if problem.what == "weights" else "apply"
    words = (ctype, dimensions, part, *chosen.tile.words(ctype).values())
    return (_TILES[chosen.tile, ctype, dimensions], words, chosen.groups * chosen.tile.members, chosen,
            problem.packed(chosen.broad, chosen.parts, chosen.length, bias))


def run(problem: Problem, c: Array, a: Array, b: Array, bias: Array | None = None) -> None:
    """Queue what makes `c`. All are dense but the bias; `a` has the rows of the product, `b` is where windows lie."""
    if not c.size:
        return
    device, ctype, step = c.device, C_TYPES[c.dtype], None if bias is None else bias.strides[0]
    added = c if bias is None else bias
    if max(problem.rows, problem.channels) <= FEW:
        packed = problem.packed(1, 1, 0, step)
        if problem.what == "weights":
            launch(_WEIGHTS, (ctype, str(GROUP)), c.size * GROUP, c, a, b, packed, op="convolution", group=GROUP)
        else:
            launch(_DIRECT, (ctype,), c.size, c, a, b, added, packed, c.size, op="convolution")
        return
    family, words, items, chosen, packed = _prepared(problem, fitting(device, c.dtype.itemsize), device.traits.units,
                                                     ctype, step)
    partial = c if chosen.parts == 1 else empty((chosen.parts, *c.shape), c.dtype, device)
    launch(family, words, items, partial, a, b, added, packed, op="convolution", group=chosen.tile.members)
    if chosen.parts > 1:
        launch(_SUM, (ctype,), c.size, c, partial, c.size, chosen.parts, op="convolution")
