"""The geometry of windows that slide over up to three dimensions, as kernels of convolutions and pools get it."""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass

Shape = tuple[int, ...]
SPATIAL = 3
_pack = struct.Struct(f"={6 * SPATIAL}q").pack

# A window's element k of output o is element o * jump - border + k * step of the input, per dimension; it lies inside
# for outputs from `first` up to below `beyond`.
HEADER = """
typedef struct { i64 size[3], out[3], width[3], jump[3], border[3], step[3]; } windows_t;
FUNCTION i64 source(const windows_t *w, int d, i64 o, i64 k) {
    return o * w->jump[d] - w->border[d] + k * w->step[d];
}
FUNCTION int outside(const windows_t *w, int d, i64 at) { return at < 0 || at >= w->size[d]; }
FUNCTION i64 first(const windows_t *w, int d, i64 k) {
    i64 shift = w->border[d] - k * w->step[d];
    return shift > 0 ? (shift + w->jump[d] - 1) / w->jump[d] : 0;
}
FUNCTION i64 beyond(const windows_t *w, int d, i64 k) {
    if (source(w, d, w->out[d] - 1, k) < w->size[d]) return w->out[d];    // without a division
    i64 room = w->size[d] + w->border[d] - k * w->step[d];
    return room > 0 ? (room + w->jump[d] - 1) / w->jump[d] : 0;
}
// The elements that a mean divides by: those of the window, with the border or without, but none beyond the border.
FUNCTION i64 count(const windows_t *w, int d, i64 o, i64 border_counts) {
    i64 begin = o * w->jump[d] - w->border[d], end = begin + w->width[d];
    i64 last = w->size[d] + (border_counts ? w->border[d] : 0);
    if (end > last) end = last;
    if (!border_counts && begin < 0) begin = 0;
    return end - begin;
}
// Lines of elements (plane, z, y): a processor's work item makes whole ones, from `begin` to `end`, a GPU's an element.
#ifdef CHUNKED
#define LINES(i, lines, width) FOR_EACH(i, lines)
#define PART(i, width) const index_t begin = 0, end = width
#else
#define LINES(i, lines, width) FOR_EACH(i##_all, (lines) * (width))
#define PART(i, width) const index_t i = i##_all / (width), begin = i##_all % (width), end = begin + 1
#endif
// The outputs among them for which element k of the window lies inside.
#define INSIDE(low, high, k) \\
    index_t low = first(&w, 2, k), high = beyond(&w, 2, k); \\
    if (low < begin) low = begin; \\
    if (high > end) high = end
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
