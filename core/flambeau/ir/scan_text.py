"""C-like kernels of scans and of running searches, from the loops in operators' records.

A line of `n` elements is cut into `lanes` chunks of neighbours: one kernel combines each chunk, the results are
scanned in turn, and another kernel scans each chunk starting from what is before it. Lines that lie next to each other
(`columns`) are taken in blocks, row by row. A chunk is scanned in parts of 1024 elements, each from the beginning, so
that the error of a sum hardly grows with its length.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import NamedTuple

from flambeau.ir.reduction_plan import BLOCK, FEW, LITTLE, Breadth, Dim, merge

PARAMETERS = """layout_t kept, i64 outputs, i64 columns, i64 column_out, i64 n, i64 step, i64 step_out,
             i64 lanes"""
PLACE = """
        i64 block = 0, lane = 0, o = i;
        if (blocks > 1) { block = o % blocks; o /= blocks; }
        if (lanes > 1) { lane = o % lanes; o /= lanes; }
        i64 first = lane * length, end = first + length < n ? first + length : n, column = block * BLOCK;
        int width = columns - column < BLOCK ? (int)(columns - column) : BLOCK;
        GLOBAL $T *p = input + (kept.rank == 1 ? o * kept.stride[1][0] : locate(&kept, 1, o)) + first * step + column;
        i64 target = (kept.rank == 1 ? o * kept.stride[0][0] : locate(&kept, 0, o)) + first * step_out;
        target += column * column_out;
        i64 before = (o * lanes + lane) * columns + column;
"""
SIZES = """
    i64 length = (n + lanes - 1) / lanes, blocks = (columns + BLOCK - 1) / BLOCK;
"""


def _filled(text: str) -> str:
    return text.replace("PARAMETERS", PARAMETERS).replace("SIZES", SIZES).replace("PLACE", PLACE)


SCAN = _filled("""
KERNEL ${NAME}_total(ARRAY($R, totals), ARRAY($T, input), PARAMETERS) {
    OPEN($R, totals); OPEN($T, input); SIZES
    FOR_EACH(i, outputs * lanes) { PLACE
        $R total = initial_$R();
        for (i64 j = first; j < end;) {
            i64 stop = end - j > 1024 ? j + 1024 : end;
            $R part = initial_$R(), other = initial_$R();
            for (; j + 1 < stop; j += 2, p += 2 * step) {
                part = combine_$R(part, load_${T}_$R(p[0]));
                other = combine_$R(other, load_${T}_$R(p[step]));
            }
            for (; j < stop; ++j, p += step) part = combine_$R(part, load_${T}_$R(*p));
            total = combine_$R(total, combine_$R(part, other));
        }
        totals[before] = total;
    }
}
KERNEL $NAME(ARRAY($R, out), ARRAY($T, input), ARRAY($R, carry), PARAMETERS) {
    OPEN($R, out); OPEN($T, input); OPEN($R, carry); SIZES
    FOR_EACH(i, outputs * lanes) { PLACE
        GLOBAL $R *q = out + target;
        $R total = lane ? carry[before - 1] : initial_$R();
        for (i64 j = first; j < end;) {
            i64 stop = end - j > 1024 ? j + 1024 : end;
            $R part = initial_$R();
            for (; j < stop; ++j, p += step, q += step_out) {
                part = combine_$R(part, load_${T}_$R(*p));
                *q = combine_$R(total, part);
            }
            total = combine_$R(total, part);
        }
    }
}
KERNEL ${NAME}_total_columns(ARRAY($R, totals), ARRAY($T, input), PARAMETERS) {
    OPEN($R, totals); OPEN($T, input); SIZES
    FOR_EACH(i, outputs * lanes * blocks) { PLACE
        $R total[BLOCK], part[BLOCK];
        for (int k = 0; k < width; ++k) total[k] = initial_$R();
        for (i64 j = first; j < end;) {
            i64 stop = end - j > 1024 ? j + 1024 : end;
            for (int k = 0; k < width; ++k) part[k] = initial_$R();
            for (; j < stop; ++j, p += step)
                for (int k = 0; k < width; ++k) part[k] = combine_$R(part[k], load_${T}_$R(p[k]));
            for (int k = 0; k < width; ++k) total[k] = combine_$R(total[k], part[k]);
        }
        for (int k = 0; k < width; ++k) totals[before + k] = total[k];
    }
}
KERNEL ${NAME}_columns(ARRAY($R, out), ARRAY($T, input), ARRAY($R, carry), PARAMETERS) {
    OPEN($R, out); OPEN($T, input); OPEN($R, carry); SIZES
    FOR_EACH(i, outputs * lanes * blocks) { PLACE
        GLOBAL $R *q = out + target;
        $R total[BLOCK], part[BLOCK];
        for (int k = 0; k < width; ++k) total[k] = lane ? carry[before - columns + k] : initial_$R();
        for (i64 j = first; j < end;) {
            i64 stop = end - j > 1024 ? j + 1024 : end;
            for (int k = 0; k < width; ++k) part[k] = initial_$R();
            for (; j < stop; ++j, p += step, q += step_out)
                for (int k = 0; k < width; ++k) {
                    part[k] = combine_$R(part[k], load_${T}_$R(p[k]));
                    q[k * column_out] = combine_$R(total[k], part[k]);
                }
            for (int k = 0; k < width; ++k) total[k] = combine_$R(total[k], part[k]);
        }
    }
}
""")

# `lane_places` are the places found in each lane, `carry_places` the lanes found by the search among them.
RUNNING = _filled("""
KERNEL ${NAME}_total(ARRAY($T, totals), ARRAY(i64, lane_places), ARRAY($T, input), PARAMETERS) {
    OPEN($T, totals); OPEN(i64, lane_places); OPEN($T, input); SIZES
    FOR_EACH(i, outputs * lanes * blocks) { PLACE
        $T best[BLOCK];
        index_t place[BLOCK];
        for (int k = 0; k < width; ++k) { best[k] = initial_$T(); place[k] = (index_t)first; }
        for (index_t j = (index_t)first; j < end; ++j, p += step)
            for (int k = 0; k < width; ++k)
                if (better_$T(p[k], best[k])) { best[k] = p[k]; place[k] = j; }
        for (int k = 0; k < width; ++k) { totals[before + k] = best[k]; lane_places[before + k] = place[k]; }
    }
}
KERNEL $NAME(ARRAY($T, out), ARRAY(i64, places), ARRAY($T, input), ARRAY($T, carry), ARRAY(i64, carry_places),
             ARRAY(i64, lane_places), PARAMETERS) {
    OPEN($T, out); OPEN(i64, places); OPEN($T, input);
    OPEN($T, carry); OPEN(i64, carry_places); OPEN(i64, lane_places); SIZES
    FOR_EACH(i, outputs * lanes * blocks) { PLACE
        if (columns == 1) {
            $T top = lane ? carry[before - 1] : initial_$T();
            i64 at = lane ? lane_places[before + carry_places[before - 1] - lane] : 0;
            for (i64 j = first; j < end; ++j, p += step, target += step_out) {
                $T x = *p;
                if (better_$T(x, top)) { top = x; at = j; }
                out[target] = top;
                places[target] = at;
            }
            continue;
        }
        $T best[BLOCK];
        index_t place[BLOCK];
        for (int k = 0; k < width; ++k) {
            best[k] = initial_$T();
            place[k] = 0;
            if (lane) {
                i64 last = before - columns + k;
                best[k] = carry[last];
                place[k] = (index_t)lane_places[before + (carry_places[last] - lane) * columns + k];
            }
        }
        for (index_t j = (index_t)first; j < end; ++j, p += step, target += step_out)
            for (int k = 0; k < width; ++k) {
                if (better_$T(p[k], best[k])) { best[k] = p[k]; place[k] = j; }
                out[target + k * column_out] = best[k];
                places[target + k * column_out] = place[k];
            }
    }
}
""")


class Lines(NamedTuple):
    """A scan's extent and lanes: `kept` as sizes, strides in the result, strides in the input."""

    kept: tuple[tuple[int, ...], ...]
    outputs: int
    columns: int
    column_out: int
    n: int
    step: int
    step_out: int
    lanes: int

    @property
    def numbers(self) -> tuple[int, ...]:
        """The kernels' parameters after the layout."""
        return self[1:]

    @property
    def items(self) -> int:
        """Lines times lanes."""
        return self.outputs * self.columns * self.lanes


@functools.lru_cache(maxsize=4096)
def lines(shape: tuple[int, ...], strides: tuple[int, ...], out_strides: tuple[int, ...], dim: int,
          breadth: Breadth) -> Lines:
    """How a scan along a dimension goes over an array."""
    kept: list[Dim] = merge([(shape[d], out_strides[d], strides[d]) for d in range(len(shape)) if d != dim])
    n, step, step_out = shape[dim], strides[dim], out_strides[dim]
    columns = column_out = 1
    place = next((k for k, each in enumerate(kept) if each[2] == 1 and each[0] >= FEW), None)
    if place is not None and math.prod(shape) > LITTLE:
        columns, column_out, _ = kept.pop(place)
    outputs = math.prod([each[0] for each in kept])
    groups = max(outputs * -(-columns // (BLOCK if breadth.chunked else 1)), 1)
    if breadth.chunked:
        wanted = -(-breadth.items // groups) if groups < breadth.items // 4 else 1
        worth = n * min(columns, BLOCK) // 32768
    else:
        wanted, worth = breadth.items // groups, n // 64
    lanes = max(1, min(wanted, worth, n))
    return Lines(_transposed(kept), outputs, columns, column_out, n, step, step_out, lanes)


def _transposed(dims: Sequence[Dim]) -> tuple[tuple[int, ...], ...]:
    return tuple(tuple(each[k] for each in dims) for k in range(3))
