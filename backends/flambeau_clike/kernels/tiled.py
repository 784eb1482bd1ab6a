"""Products of matrices through local memory, for GPUs: a group of work items gathers tiles of both matrices and shares
them; each work item keeps a block of the result in registers.

Which sizes are fast depends on the device, and no table of devices would ever be complete. So the sizes are tried once
per device and type, on the first product that is large enough, and the fastest are kept in a file of the user's cache.
FLAMBEAU_TUNE=off takes the first that fit, without trying.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import os
import tempfile
import threading
import time
import weakref
from pathlib import Path
from typing import Any, NamedTuple

from flambeau.dtypes import dtype
from flambeau.ir.dialect import C_TYPES
from flambeau_clike.array import Array, empty
from flambeau_clike.device import Device
from flambeau_clike.kernels._arithmetic import ARITHMETIC, PRODUCT
from flambeau_clike.launch import launch
from flambeau_clike.program import Family

SETTING = "FLAMBEAU_TUNE"
PROBE = 1024           # rows and columns of the matrices that sizes are tried on
ROUNDS = 3


class Tile(NamedTuple):
    """Rows and columns of the result that a group makes, how many products it takes in at once, and the rows and
    columns of a work item's block."""

    m: int
    n: int
    k: int
    rows: int
    columns: int

    @property
    def group(self) -> int:
        """Work items of a group."""
        return self.m // self.rows * (self.n // self.columns)

    def local(self, itemsize: int) -> int:
        """Bytes of local memory that a group needs."""
        return (self.m + self.n + 2) * self.k * itemsize


# The first that fits a device is a fair guess on all of them.
TILES = (Tile(64, 64, 16, 4, 4), Tile(128, 128, 8, 8, 8), Tile(128, 64, 16, 8, 4), Tile(64, 64, 16, 8, 8),
         Tile(64, 64, 8, 8, 4), Tile(32, 32, 16, 2, 2), Tile(32, 32, 8, 4, 4), Tile(16, 16, 16, 1, 1),
         Tile(16, 16, 8, 2, 2))

_PLACES = """
#ifdef __OPENCL_VERSION__
#define GROUP get_group_id(0)
#define MEMBER get_local_id(0)
#else
#define GROUP blockIdx.x
#define MEMBER threadIdx.x
#endif
"""
_TEXT = """
KERNEL $NAME(ARRAY($T, c), ARRAY($T, a), ARRAY($T, b), ARRAY($T, addend), product_t product) {
    OPEN($T, c); OPEN($T, a); OPEN($T, b); OPEN($T, addend);
    const i64 m = product.m, n = product.n, k = product.k, a_row = product.a_row, a_step = product.a_step;
    const i64 b_step = product.b_step, b_column = product.b_column;
    LOCAL $T left[$K][$M + 1], right[$K][$N + 1];
    const int members = ($M / $ROWS) * ($N / $COLUMNS), me = (int)MEMBER;
    const int mine_m = me / ($N / $COLUMNS), mine_n = me % ($N / $COLUMNS);
    index_t group = GROUP, broad = (n + $N - 1) / $N, tall = (m + $M - 1) / $M;
    index_t row = group / broad % tall * $M, column = group % broad * $N;
    i64 which = group / broad / tall;
    a += locate(&product.batch, 0, which); b += locate(&product.batch, 1, which);
    addend += locate(&product.batch, 2, which); c += which * m * n;
    $T sum[$ROWS][$COLUMNS];
    for (int r = 0; r < $ROWS; ++r) for (int j = 0; j < $COLUMNS; ++j) sum[r][j] = ZERO_$T;
    for (index_t x = 0; x < k; x += $K) {
        for (int e = me; e < $M * $K; e += members) {    // neighbours read neighbours, whichever way the matrix lies
            int s = a_step == 1 ? e % $K : e / $M, r = a_step == 1 ? e / $K : e % $M;
            left[s][r] = row + r < m && x + s < k ? a[(row + r) * (index_t)a_row + (x + s) * (index_t)a_step] : ZERO_$T;
        }
        for (int e = me; e < $N * $K; e += members) {
            int s = b_step == 1 ? e % $K : e / $N, j = b_step == 1 ? e / $K : e % $N;
            right[s][j] = column + j < n && x + s < k
                ? b[(x + s) * (index_t)b_step + (column + j) * (index_t)b_column] : ZERO_$T;
        }
        BARRIER();
        for (int s = 0; s < $K; ++s) {
            $T p[$ROWS], q[$COLUMNS];
            for (int r = 0; r < $ROWS; ++r) p[r] = left[s][mine_m + r * ($M / $ROWS)];
            for (int j = 0; j < $COLUMNS; ++j) q[j] = right[s][mine_n + j * ($N / $COLUMNS)];
            for (int r = 0; r < $ROWS; ++r) for (int j = 0; j < $COLUMNS; ++j) MAC_$T(sum[r][j], p[r], q[j]);
        }
        BARRIER();
    }
    for (int r = 0; r < $ROWS; ++r) for (int j = 0; j < $COLUMNS; ++j) {
        index_t at = row + mine_m + r * ($M / $ROWS), to = column + mine_n + j * ($N / $COLUMNS);
        if (at < m && to < n) {
            if (product.added)
                ADD_$T(sum[r][j], addend[at * product.addend_row + to * product.addend_column]);
            c[(i64)at * n + to] = sum[r][j];
        }
    }
}"""


@functools.cache
def _family(tile: Tile, ctype: str) -> Family:
    sizes = (("M", tile.m), ("N", tile.n), ("K", tile.k), ("ROWS", tile.rows), ("COLUMNS", tile.columns))
    name = "matmul_tiled_" + "_".join(map(str, tile))
    return Family(name, _TEXT, (("T", (ctype,)), *((word, (str(size),)) for word, size in sizes)),
                  shared=ARITHMETIC + PRODUCT + _PLACES)


def fitting(device: Device, dtype: dtype) -> list[Tile]:
    """The tiles that a device has the local memory and the work items for."""
    traits = device.traits
    return [each for each in TILES
            if each.local(dtype.itemsize) <= traits.local_memory and each.group <= traits.largest_group]


def run(tile: Tile, product: Any, out: Array) -> None:
    """Queue a product with certain tiles."""
    sizes, ctype = product.sizes, C_TYPES[out.dtype]
    groups = sizes.count * -(-sizes.m // tile.m) * -(-sizes.n // tile.n)
    launch(_family(tile, ctype), (ctype, *map(str, tile)), groups * tile.group, out, product.a, product.b,
           product.added or out, sizes.packed(groups), op="matmul", group=tile.group)


# ---------------------------------------------------------------------------------------------- which tiles
_lock = threading.RLock()
_chosen: weakref.WeakKeyDictionary[Device, dict[dtype, Tile | None]] = weakref.WeakKeyDictionary()


def choose(device: Device, dtype: dtype, product_of: Any) -> Tile | None:
    """The tiles for a device and a dtype; None where none fit. `product_of(a, b)` makes a product to try them on."""
    with _lock:
        known = _chosen.setdefault(device, {})
        if dtype not in known:
            if device.lane.recorded is not None:     # nothing can be timed now
                return (*fitting(device, dtype), None)[0]
            known[dtype] = _choose(device, dtype, product_of)
        return known[dtype]


def _choose(device: Device, dtype: dtype, product_of: Any) -> Tile | None:
    tiles = fitting(device, dtype)
    if len(tiles) < 2 or os.environ.get(SETTING, "on") == "off":
        return tiles[0] if tiles else None
    path = _file(device)
    kept = _read(path).get(C_TYPES[dtype])
    for each in tiles:
        if list(each) == kept:
            return each
    best = fastest(device, dtype, tiles, product_of)
    _write(path, {**_read(path), C_TYPES[dtype]: list(best)})
    return best


def fastest(device: Device, dtype: dtype, tiles: list[Tile], product_of: Any, size: int = PROBE) -> Tile:
    """Try tiles on square matrices, whatever is in them, and give the fastest."""
    a, b, out = (empty((size, size), dtype, device) for _ in range(3))
    product = product_of(a, b)
    times: dict[Tile, float] = {}
    for tile in tiles:
        with contextlib.suppress(*device.error):     # too many registers, say
            run(tile, product, out)
            device.lane.finish()
            started = time.perf_counter()
            for _ in range(ROUNDS):
                run(tile, product, out)
            device.lane.finish()
            times[tile] = time.perf_counter() - started
    return min(times, key=times.__getitem__) if times else tiles[-1]


def _file(device: Device) -> Path | None:
    """Where the choice for a device is kept; None for nowhere."""
    folder = device.cache_folder
    if folder is None:
        return None
    about = "\0".join((device.about, repr(TILES), hashlib.sha256(_TEXT.encode()).hexdigest()))
    return folder / f"tiles-{hashlib.sha256(about.encode()).hexdigest()[:16]}.json"


def _read(path: Path | None) -> dict[str, list[int]]:
    """What a file says, or nothing: one that is damaged is as good as none."""
    if path is not None:
        with contextlib.suppress(OSError, ValueError):
            found = json.loads(path.read_text(encoding="utf-8"))
            if isinstance(found, dict):
                return found
    return {}


def _write(path: Path | None, choice: dict[str, list[int]]) -> None:
    """Write under another name and rename, so that no process reads half a file."""
    if path is None:
        return
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=path.stem, suffix=".tmp", dir=path.parent)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(choice, file)
        os.replace(name, path)
