"""Convolutions as products of matrices.

A processor gathers windows as columns (im2col), chunk by chunk of samples, and multiplies. The gradient of the input is
the way back: each input element gathers from the columns that it went into, so that no two work items write to one
place.

A GPU computes the same products without storing the columns: groups of work items find the elements of windows as they
need them (`implicit`). Left to the columns there are numbers that are no floats, and devices without room for tiles in
local memory; and where each window is one element nothing is gathered in any case.

Whether columns and a vendor's products of matrices would be faster for some sizes is not known: no GPU has run this
yet, compilers and stand-ins have. `tests/device_check.sh` measures convolutions in its rows `conv2d`; with
FLAMBEAU_CONVOLUTION=columns they are measured the other way.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from flambeau.dtypes import dtype
from flambeau.ir.dialect import C_TYPES, MOVED
from flambeau.shapes import contiguous_strides
from flambeau_clike.array import Array, empty, view
from flambeau_clike.kernels import implicit
from flambeau_clike.kernels._arithmetic import ARITHMETIC
from flambeau_clike.kernels.implicit import Problem
from flambeau_clike.kernels.matmul import multiply
from flambeau_clike.kernels.movement import contiguous
from flambeau_clike.kernels.windows import HEADER, Windows, fitting
from flambeau_clike.launch import launch
from flambeau_clike.program import Family

Shape = tuple[int, ...]
CHUNK = 1 << 22        # elements of gathered windows at a time: what stays in a processor's last cache
CHUNK_GPU = 1 << 25
NUMBERS = ("u8", "i8", "i16", "i32", "i64", "f32", "f64", "c64", "c128")

# The columns of (samples, channels, *kernel, *out); places of a sample and of a row of them are given, so that samples
# may lie side by side. A processor's work item makes lines, a GPU's makes elements.
_GATHER = """
KERNEL $NAME(ARRAY($T, columns), ARRAY($T, input), i64 lines, i64 channels, i64 per_sample, i64 per_row, windows_t w) {
    OPEN($T, columns); OPEN($T, input);
    index_t width = w.out[2];
#ifdef CHUNKED
    FOR_EACH(i, lines) {
        index_t rest = i;
#else
    FOR_EACH(item, lines * width) {
        index_t rest = item / width, x = item % width;
#endif
        index_t oy = rest % w.out[1]; rest /= w.out[1];
        index_t oz = rest % w.out[0]; rest /= w.out[0];
        index_t row = rest % (channels * w.width[0] * w.width[1] * w.width[2]);
        index_t sample = rest / (channels * w.width[0] * w.width[1] * w.width[2]);
        index_t kx = row % w.width[2], ky = row / w.width[2] % w.width[1], kz = row / w.width[2] / w.width[1]
            % w.width[0], channel = row / w.width[2] / w.width[1] / w.width[0];
        i64 z = source(&w, 0, oz, kz), y = source(&w, 1, oy, ky);
        GLOBAL $T *line = columns + sample * per_sample + row * per_row + ((i64)oz * w.out[1] + oy) * width;
        index_t low = 0, high = 0;
        if (!outside(&w, 0, z) && !outside(&w, 1, y)) { low = first(&w, 2, kx); high = beyond(&w, 2, kx); }
        if (high < low) high = low = 0;
        const GLOBAL $T *from = input + (((i64)sample * channels + channel) * w.size[0] + z) * w.size[1] * w.size[2]
            + y * w.size[2] + source(&w, 2, 0, kx);
#ifdef CHUNKED
        for (index_t x = 0; x < low; ++x) line[x] = ZERO_$T;
        if (w.jump[2] == 1) for (index_t x = low; x < high; ++x) line[x] = from[x];
        else for (index_t x = low; x < high; ++x) line[x] = from[x * w.jump[2]];
        for (index_t x = high; x < width; ++x) line[x] = ZERO_$T;
#else
        if (x < low || x >= high) line[x] = ZERO_$T;
        else line[x] = from[x * w.jump[2]];
#endif
    }
}"""
_ZEROS = """
#define ZERO_u16 0
#define ZERO_u32 0
#define ZERO_u64 0
#define ZERO_u128 zero_u128()
FUNCTION u128 zero_u128(void) { u128 s; s.x = 0; s.y = 0; return s; }
"""
_COLUMNS = Family("conv_columns", _GATHER, (("T", tuple(MOVED.values())),), shared=ARITHMETIC + _ZEROS + HEADER)

# The way back, for input elements (samples, channels, *size): the sum of their places in the columns.
_BACK = """
KERNEL $NAME(ARRAY($T, input), ARRAY($T, columns), i64 lines, windows_t w) {
    OPEN($T, input); OPEN($T, columns);
    index_t width = w.size[2], length = w.out[0] * w.out[1] * w.out[2];
    index_t volume = w.width[0] * w.width[1] * w.width[2];
#ifdef CHUNKED
    FOR_EACH(i, lines) {
        index_t rest = i;
        GLOBAL $T *line = input + (i64)i * width;
        for (index_t x = 0; x < width; ++x) line[x] = ZERO_$T;
#else
    FOR_EACH(item, lines * width) {
        index_t rest = item / width, at = item % width;
        $T sum = ZERO_$T;
#endif
        index_t y = rest % w.size[1], z = rest / w.size[1] % w.size[0], plane = rest / w.size[1] / w.size[0];
        for (index_t kz = 0; kz < w.width[0]; ++kz) {
            index_t oz = z + w.border[0] - kz * w.step[0];
            if (oz < 0 || oz % w.jump[0] || oz / w.jump[0] >= w.out[0]) continue;
            for (index_t ky = 0; ky < w.width[1]; ++ky) {
                index_t oy = y + w.border[1] - ky * w.step[1];
                if (oy < 0 || oy % w.jump[1] || oy / w.jump[1] >= w.out[1]) continue;
                for (index_t kx = 0; kx < w.width[2]; ++kx) {
                    const GLOBAL $T *from = columns + ((i64)plane * volume + (kz * w.width[1] + ky) * w.width[2] + kx)
                        * length + (oz / w.jump[0] * w.out[1] + oy / w.jump[1]) * w.out[2];
#ifdef CHUNKED
                    index_t high = beyond(&w, 2, kx), shift = source(&w, 2, 0, kx);
                    index_t x = first(&w, 2, kx);
                    if (w.jump[2] == 1) for (; x < high; ++x) ADD_$T(line[x + shift], from[x]);
                    else for (; x < high; ++x) ADD_$T(line[x * (index_t)w.jump[2] + shift], from[x]);
#else
                    index_t x = at + w.border[2] - kx * w.step[2];
                    if (x >= 0 && x % w.jump[2] == 0 && x / w.jump[2] < w.out[2]) ADD_$T(sum, from[x / w.jump[2]]);
#endif
                }
            }
        }
#ifndef CHUNKED
        input[item] = sum;
#endif
    }
}"""
_INPUT = Family("conv_input", _BACK, (("T", NUMBERS),), shared=ARITHMETIC + HEADER)


def _dense(array: Array, shape: Shape, offset: int = 0) -> Array:
    """A part of a dense array, from element `offset` on, in another shape."""
    return view(array, shape, contiguous_strides(shape), array.offset + offset)


def _whole(w: Windows) -> bool:
    """Whether each window is an element of the input, and each element a window."""
    return w.volume == 1 and w.size == w.out and not any(w.padding)


def _chunks(array: Array, samples: int, per_sample: int) -> list[tuple[int, int]]:
    """Ranges of samples whose windows are gathered at once."""
    most = CHUNK if array.device.traits.cpu else CHUNK_GPU
    size = max(1, most // max(per_sample, 1))
    return [(low, min(low + size, samples)) for low in range(0, samples, size)]


def _gather(input: Array, columns: Array, w: Windows, per_sample: int, per_row: int) -> None:
    """Fill `columns` with the windows of a dense input (samples, channels, *size)."""
    samples, channels = input.shape[:2]
    lines = samples * channels * w.volume * (w.length // max(w.line, 1))
    items = lines * w.line
    launch(_COLUMNS, (MOVED[input.dtype.itemsize],), items, columns, input, lines, channels, per_sample, per_row,
           w.packed(), op="convolution")


def convolution(input: Array, weight: Array, bias: Array | None, stride: Shape, padding: Shape, dilation: Shape,
                groups: int) -> Array:
    """Cross-correlation of (N, C, *size) with (O, C / groups, *kernel)."""
    if bias is not None and bias.shape != weight.shape[:1]:
        raise ValueError(f"expected a bias of {weight.shape[0]} elements, but got one of shape {list(bias.shape)}")
    w = fitting(input.shape[2:], weight.shape[2:], stride, padding, dilation)
    input, weight = contiguous(input), contiguous(weight)
    (samples, channels), outs, length = input.shape[:2], weight.shape[0], w.length
    depth, tall = math.prod(weight.shape[1:]), outs // groups
    result = empty((samples, outs, *w.out), input.dtype, input.device)
    matrix = _dense(weight, (groups, tall, depth))
    added = None if bias is None else view(bias, (groups, tall, 1), (tall * bias.strides[0], bias.strides[0], 1),
                                           bias.offset)
    whole = _whole(w)
    if not whole and implicit.takes(input.device, input.dtype, w):
        problem = Problem("apply", w, samples, groups, channels // groups, tall)
        implicit.run(problem, result, weight, input, bias)
        return result
    per_sample = 0 if whole else channels * w.volume * length
    for low, high in _chunks(input, samples, per_sample):
        count = high - low
        part = _dense(input, (count, *input.shape[1:]), low * math.prod(input.shape[1:]))
        if whole:
            columns = _dense(part, (count, groups, depth, length))
        else:
            columns = empty((count, groups, depth, length), input.dtype, input.device)
            _gather(part, columns, w, per_sample, length)
        multiply(matrix, columns, _dense(result, (count, groups, tall, length), low * outs * length), added)
    return result


def convolution_weight_grad(input: Array, g: Array, kernel: Shape, stride: Shape, padding: Shape, dilation: Shape,
                            groups: int) -> Array:
    """Gradient of the weights, from the input and the output's gradient."""
    out = g.shape[2:]
    w = Windows(input.shape[2:], out, tuple(kernel), tuple(stride), tuple(padding), tuple(dilation))
    input = contiguous(input)
    (samples, channels), outs, length = input.shape[:2], g.shape[1], w.length
    depth, tall = channels // groups * w.volume, outs // groups
    total: Array | None = None
    g = contiguous(g)
    if implicit.takes(input.device, input.dtype, w):
        result = empty((outs, channels // groups, *kernel), input.dtype, input.device)
        problem = Problem("weights", w, samples, groups, channels // groups, tall)
        implicit.run(problem, result, g, input)
        return result
    for low, high in _chunks(input, samples, channels * w.volume * length) or [(0, 0)]:
        count = high - low
        columns = empty((groups, depth, count * length), input.dtype, input.device)
        part = _dense(input, (count, *input.shape[1:]), low * math.prod(input.shape[1:]))
        _gather(part, columns, w, length, count * length)
        gradient = view(g, (outs, count, length), (length, outs * length, 1), g.offset + low * outs * length)
        gradient = _dense(contiguous(gradient), (groups, tall, count * length))
        turned = view(columns, (groups, count * length, depth), (depth * count * length, 1, count * length), 0)
        sum_ = empty((groups, tall, depth), input.dtype, input.device)
        multiply(gradient, turned, sum_, total)
        total = sum_
    assert total is not None
    return _dense(total, (outs, channels // groups, *kernel))


def convolution_input_grad(g: Array, weight: Array, spatial: Shape, stride: Shape, padding: Shape, dilation: Shape,
                           groups: int) -> Array:
    """Gradient of the input, from the output's gradient: the transposed convolution."""
    kernel, out = weight.shape[2:], g.shape[2:]
    w = Windows(tuple(spatial), out, kernel, tuple(stride), tuple(padding), tuple(dilation))
    g, weight = contiguous(g), contiguous(weight)
    (samples, outs), length, channels = g.shape[:2], w.length, weight.shape[1] * groups
    depth, tall = math.prod(weight.shape[1:]), outs // groups
    result = empty((samples, channels, *spatial), g.dtype, g.device)
    whole = _whole(w) and not g.device.traits.cpu
    if not whole and implicit.takes(g.device, g.dtype, w):
        problem = Problem("back", w, samples, groups, channels // groups, tall)
        implicit.run(problem, result, weight, g)
        return result
    turned = view(weight, (groups, depth, tall), (tall * depth, 1, depth), weight.offset)
    per_plane = math.prod(spatial)
    if whole:
        multiply(turned, _dense(g, (samples, groups, tall, length)), _dense(result, (samples, groups, depth, length)))
        return result
    for low, high in _chunks(g, samples, channels * w.volume * length):
        count = high - low
        columns = empty((count, groups, depth, length), g.dtype, g.device)
        multiply(turned, _dense(g, (count, groups, tall, length), low * outs * length), columns)
        part = _dense(result, (count, channels, *spatial), low * channels * per_plane)
        lines = count * channels * (per_plane // max(spatial[-1], 1))
        launch(_INPUT, (_number(g.dtype),), part.size, part, columns, lines, w.packed(), op="convolution_input_grad")
    return result


def _number(dtype: dtype) -> str:
    return C_TYPES[dtype]


KERNELS: dict[str, Callable[..., Any]] = {
    "convolution": convolution,
    "convolution_weight_grad": convolution_weight_grad,
    "convolution_input_grad": convolution_input_grad,
}
