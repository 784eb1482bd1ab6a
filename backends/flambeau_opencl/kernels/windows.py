"""The geometry of windows that slide over up to three dimensions, as kernels of convolutions and pools get it."""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass

Shape = tuple[int, ...]
SPATIAL = 3
_pack = struct.Struct(f"={6 * SPATIAL}q").pack

# A window's element k of output o is element o * jump - border + k * step of the input, per dimension.
# FIRST and BEYOND: the outputs for which it lies inside, from the first up to below the second.
HEADER = """
typedef struct { i64 size[3], out[3], width[3], jump[3], border[3], step[3]; } windows_t;
FUNCTION i64 first(const windows_t *w, int d, i64 k) {
    i64 shift = w->border[d] - k * w->step[d];
    return shift > 0 ? (shift + w->jump[d] - 1) / w->jump[d] : 0;
}
FUNCTION i64 beyond(const windows_t *w, int d, i64 k) {
    i64 room = w->size[d] + w->border[d] - k * w->step[d];
    i64 end = room > 0 ? (room + w->jump[d] - 1) / w->jump[d] : 0;
    return end < w->out[d] ? end : w->out[d];
}
FUNCTION i64 source(const windows_t *w, int d, i64 o, i64 k) {
    return o * w->jump[d] - w->border[d] + k * w->step[d];
}
// The elements that a mean divides by: those of the window, with the border or without, but none beyond the border.
FUNCTION i64 count(const windows_t *w, const index_t *o, i64 border_counts) {
    i64 product = 1;
    for (int d = 0; d < 3; ++d) {
        i64 begin = o[d] * w->jump[d] - w->border[d], end = begin + w->width[d];
        i64 last = w->size[d] + (border_counts ? w->border[d] : 0);
        if (end > last) end = last;
        if (!border_counts && begin < 0) begin = 0;
        product *= end - begin;
    }
    return product;
}
// Of output i: its plane, its place there, and where its window begins and ends within the input.
#define WINDOW(i, low, high) \\
    index_t ox = i % w.out[2], oy = i / w.out[2] % w.out[1], oz = i / w.out[2] / w.out[1] % w.out[0]; \\
    index_t plane = i / w.out[2] / w.out[1] / w.out[0], low[3], high[3]; \\
    edges(&w, 0, oz, low, high); edges(&w, 1, oy, low, high); edges(&w, 2, ox, low, high);
FUNCTION void edges(const windows_t *w, int d, i64 o, index_t *low, index_t *high) {
    i64 begin = o * w->jump[d] - w->border[d], end = begin + (w->width[d] - 1) * w->step[d] + 1;
    low[d] = begin < 0 ? begin + (w->step[d] - 1 - begin) / w->step[d] * w->step[d] : begin;
    high[d] = end < w->size[d] ? end : w->size[d];
}
FUNCTION int outside(const windows_t *w, int d, i64 at) { return at < 0 || at >= w->size[d]; }
"""


@dataclass(frozen=True, slots=True)
class Windows:
    """Sizes of the input and of the output, and how windows lie, per spatial dimension."""

    size: Shape
    out: Shape
    kernel: Shape
    stride: Shape
    padding: Shape
    dilation: Shape

    def packed(self) -> bytes:
        """As an argument of type windows_t; dimensions of size one come first."""
        pad = SPATIAL - len(self.size)
        ones, zeros = (1,) * pad, (0,) * pad
        return _pack(*ones, *self.size, *ones, *self.out, *ones, *self.kernel, *ones, *self.stride,
                     *zeros, *self.padding, *ones, *self.dilation)

    @property
    def line(self) -> int:
        """Outputs in the last dimension."""
        return self.out[-1]

    @property
    def length(self) -> int:
        """Outputs."""
        return math.prod(self.out)

    @property
    def volume(self) -> int:
        """Elements of a window."""
        return math.prod(self.kernel)


def fitting(size: Sequence[int], kernel: Shape, stride: Shape, padding: Shape, dilation: Shape) -> Windows:
    """The windows of a convolution; ValueError where there are none."""
    out = tuple([(each + 2 * border - step * (width - 1) - 1) // jump + 1
                 for each, width, jump, border, step in zip(size, kernel, stride, padding, dilation, strict=True)])
    if min(out, default=1) <= 0:
        raise ValueError("Kernel size can't be greater than actual input size")
    return Windows(tuple(size), out, tuple(kernel), tuple(stride), tuple(padding), tuple(dilation))
