"""Layer, batch and RMS normalisation and their gradients.

Layer and RMS normalisation are over rows. What their gradients add up over all rows, those of weight and bias, is
added in two steps: parts of the rows in parallel, then the parts in order, so that the sums do not depend on which came
first. Batch normalisation is over channels of (batch, channels, places): a channel's elements are runs of `inner`
places, or, where there is one place, a vector holds eight channels.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from flambeau_clike.array import Array, empty
from flambeau_clike.kernels.movement import contiguous
from flambeau_clike.kernels.rows import LONG, TYPES, WIDTHS, Rows, floats, launch_rows
from flambeau_clike.launch import Scalar, launch

_LAYER = """
KERNEL $NAME(ROW_SIZES, ARRAY(T, out), ARRAY(T, means), ARRAY(T, rstds), ARRAY(T, input), ARRAY(T, weight),
             ARRAY(T, bias), i64 weighted, i64 biased, T eps) {
    OPEN(T, out); OPEN(T, means); OPEN(T, rstds); OPEN(T, input); OPEN(T, weight); OPEN(T, bias); SCRATCH;
    ROWS(i) {
        const GLOBAL T *x = input + BASE(i);
        V sum = 0, squares = 0;
        ALONG(i, j) sum += load(x + j, COUNT(i, j), 0);
        const T mean = TOTAL(sum) / length;
        ALONG(i, j) {
            const V centred = load(x + j, COUNT(i, j), mean) - mean;
            squares += centred * centred;
        }
        const T rstd = 1 / sqrt(TOTAL(squares) / length + eps);
        if (FIRST) { means[i] = mean; rstds[i] = rstd; }
        ALONG(i, j) {
            V y = (load(x + j, COUNT(i, j), 0) - mean) * rstd;
            if (weighted) y *= load(weight + j, COUNT(i, j), 0);
            if (biased) y += load(bias + j, COUNT(i, j), 0);
            store(out + BASE(i) + j, COUNT(i, j), y);
        }
    }
}"""

_LAYER_BACKWARD = """
KERNEL $NAME(ROW_SIZES, ARRAY(T, out), ARRAY(T, grad), ARRAY(T, input), ARRAY(T, means), ARRAY(T, rstds),
             ARRAY(T, weight), i64 weighted, i64 centre) {
    OPEN(T, out); OPEN(T, grad); OPEN(T, input); OPEN(T, means); OPEN(T, rstds); OPEN(T, weight); SCRATCH;
    ROWS(i) {
        const GLOBAL T *g = grad + BASE(i), *x = input + BASE(i);
        const T mean = centre ? means[i] : 0, rstd = rstds[i];
        V sum = 0, along = 0;
        ALONG(i, j) {
            V scaled = load(g + j, COUNT(i, j), 0);
            if (weighted) scaled *= load(weight + j, COUNT(i, j), 0);
            sum += scaled;
            along += scaled * ((load(x + j, COUNT(i, j), mean) - mean) * rstd);
        }
        const T average = centre ? TOTAL(sum) / length : 0, slope = TOTAL(along) / length;
        ALONG(i, j) {
            V scaled = load(g + j, COUNT(i, j), 0);
            if (weighted) scaled *= load(weight + j, COUNT(i, j), 0);
            const V normal = (load(x + j, COUNT(i, j), 0) - mean) * rstd;
            store(out + BASE(i) + j, COUNT(i, j), (scaled - average - normal * slope) * rstd);
        }
    }
}"""

_RMS = """
KERNEL $NAME(ROW_SIZES, ARRAY(T, out), ARRAY(T, rstds), ARRAY(T, input), ARRAY(T, weight), i64 weighted, T eps) {
    OPEN(T, out); OPEN(T, rstds); OPEN(T, input); OPEN(T, weight); SCRATCH;
    ROWS(i) {
        const GLOBAL T *x = input + BASE(i);
        V squares = 0;
        ALONG(i, j) {
            const V value = load(x + j, COUNT(i, j), 0);
            squares += value * value;
        }
        const T rstd = 1 / sqrt(TOTAL(squares) / length + eps);
        if (FIRST) rstds[i] = rstd;
        ALONG(i, j) {
            V y = load(x + j, COUNT(i, j), 0) * rstd;
            if (weighted) y *= load(weight + j, COUNT(i, j), 0);
            store(out + BASE(i) + j, COUNT(i, j), y);
        }
    }
}"""

# Rows here are the parts, `length` the rows of a part, `inner` the columns.
_COLUMN_SUMS = """
KERNEL $NAME(ROW_SIZES, ARRAY(T, out), ARRAY(T, grad), ARRAY(T, input), ARRAY(T, means), ARRAY(T, rstds), i64 all,
             i64 parts, i64 centre) {
    OPEN(T, out); OPEN(T, grad); OPEN(T, input); OPEN(T, means); OPEN(T, rstds);
    ROWS(i) {
        const i64 part = i / PLACES, column = i % PLACES * WIDTH, count = inner - column;
        V products = 0, sums = 0;
        for (i64 row = part * length; row < all && row < (part + 1) * length; ++row) {
            const T mean = centre ? means[row] : 0;
            const V g = load(grad + row * inner + column, count, 0);
            products += g * ((load(input + row * inner + column, count, mean) - mean) * rstds[row]);
            sums += g;
        }
        store(out + part * inner + column, count, products);
        store(out + (parts + part) * inner + column, count, sums);
    }
}"""

_ADD_PARTS = """
KERNEL $NAME(ROW_SIZES, ARRAY(T, out), ARRAY(T, partial)) {
    OPEN(T, out); OPEN(T, partial); SCRATCH;
    ROWS(i) {
        V sum = 0;
        ALONG(i, j) sum += load(partial + BASE(i) + AT(j), COUNT(i, j), 0);
        const i64 at = i / PLACES * inner + i % PLACES * WIDTH;
        store(out + at, inner - i % PLACES * WIDTH, (V)(TOTAL(sum)));
    }
}"""

# Rows here are channels, or vectors of them; `length` is the batch, `inner` the places of a channel.
_BATCH = """
KERNEL $NAME(ROW_SIZES, i64 channels, ARRAY(T, out), ARRAY(T, means), ARRAY(T, vars), ARRAY(T, input), ARRAY(T, weight),
             ARRAY(T, bias), ARRAY(T, given_mean), ARRAY(T, given_var), i64 weighted, i64 biased, i64 training, T eps) {
    OPEN(T, out); OPEN(T, means); OPEN(T, vars); OPEN(T, input); OPEN(T, weight); OPEN(T, bias);
    OPEN(T, given_mean); OPEN(T, given_var); SCRATCH;
    ROWS(i) {
        R mean, var;
        if (training) {
            V sum = 0, squares = 0;
            CHANNEL(i, n, j) sum += load(input + PLACE(i, n, j), PART(i, j), 0);
            mean = TOTAL(sum) / ELEMENTS;
            CHANNEL(i, n, j) {
                const V centred = LOAD_OR(input + PLACE(i, n, j), PART(i, j), mean) - mean;
                squares += centred * centred;
            }
            var = TOTAL(squares) / ELEMENTS;
        } else {
            mean = OF_CHANNEL(given_mean, i, 0);
            var = OF_CHANNEL(given_var, i, 0);
        }
        if (FIRST) { TO_CHANNEL(means, i, mean); TO_CHANNEL(vars, i, var); }
        R scale = 1 / sqrt(var + eps), shift = 0;
        if (weighted) scale *= OF_CHANNEL(weight, i, 1);
        if (biased) shift = OF_CHANNEL(bias, i, 0);
        CHANNEL(i, n, j)
            store(out + PLACE(i, n, j), PART(i, j),
                  (load(input + PLACE(i, n, j), PART(i, j), 0) - mean) * scale + shift);
    }
}"""

_BATCH_BACKWARD = """
KERNEL $NAME(ROW_SIZES, i64 channels, ARRAY(T, out), ARRAY(T, weights), ARRAY(T, biases), ARRAY(T, grad),
             ARRAY(T, input), ARRAY(T, weight), ARRAY(T, means), ARRAY(T, vars), i64 weighted, i64 training, T eps) {
    OPEN(T, out); OPEN(T, weights); OPEN(T, biases); OPEN(T, grad); OPEN(T, input); OPEN(T, weight);
    OPEN(T, means); OPEN(T, vars); SCRATCH;
    ROWS(i) {
        const R mean = OF_CHANNEL(means, i, 0), rstd = 1 / sqrt(OF_CHANNEL(vars, i, 1) + eps);
        V sum = 0, along = 0;
        CHANNEL(i, n, j) {
            const V g = load(grad + PLACE(i, n, j), PART(i, j), 0);
            sum += g;
            along += g * (LOAD_OR(input + PLACE(i, n, j), PART(i, j), mean) - mean);
        }
        const R all = TOTAL(sum), slope = TOTAL(along) * rstd;
        if (FIRST) { TO_CHANNEL(weights, i, slope); TO_CHANNEL(biases, i, all); }
        R scale = rstd;
        if (weighted) scale *= OF_CHANNEL(weight, i, 1);
        const R average = training ? all / ELEMENTS : 0 * all, factor = training ? slope / ELEMENTS : 0 * slope;
        CHANNEL(i, n, j) {
            const V g = load(grad + PLACE(i, n, j), PART(i, j), 0);
            const V normal = (load(input + PLACE(i, n, j), PART(i, j), 0) - mean) * rstd;
            store(out + PLACE(i, n, j), PART(i, j), (g - average - normal * factor) * scale);
        }
    }
}"""

# A channel's element (n, j) is at (n * channels + channel) * inner + j; vectors of channels have one place each.
_SHARED = """
#define ELEMENTS ((T)(length * inner))
#define CHANNEL(i, n, j) CHANNEL_OF_FORM(FORM)(i, n, j)
#define PLACE(i, n, j) (((i64)(n) * channels + FIRST_OF(FORM)(i)) * inner + (j))
#define PART(i, j) PART_OF(FORM)(i, j)
#define LOAD_OR(p, count, fill) LOAD_OF(FORM)(p, count, fill)
#define OF_CHANNEL(array, i, fill) VALUE_OF(FORM)((array) + FIRST_OF(FORM)(i), i, fill)
#define TO_CHANNEL(array, i, x) WRITE_OF(FORM)((array) + FIRST_OF(FORM)(i), i, x)
#define JOINED(a, b) a##b
#define CHANNEL_OF_FORM(form) JOINED(CHANNEL_, form)
#define FIRST_OF(form) JOINED(FIRST_OF_, form)
#define PART_OF(form) JOINED(PART_, form)
#define LOAD_OF(form) JOINED(LOAD_OR_, form)
#define VALUE_OF(form) JOINED(VALUE_, form)
#define WRITE_OF(form) JOINED(WRITE_, form)
#define CHANNEL_row(i, n, j) for (index_t n = 0; n < (index_t)length; ++n) \\
    for (index_t j = 0; j < (index_t)inner; j += WIDTH)
#define FIRST_OF_row(i) (i)
#define PART_row(i, j) (inner - (j))
#define LOAD_OR_row(p, count, fill) load(p, count, fill)
#define VALUE_row(p, i, fill) (*(p))
#define WRITE_row(p, i, x) (*(p) = (x))
#define CHANNEL_group(i, n, j) for (index_t at_ = LANE, n = at_ / (index_t)inner, j = at_ % (index_t)inner; \\
    at_ < (index_t)(length * inner); at_ += LANES, n = at_ / (index_t)inner, j = at_ % (index_t)inner)
#define FIRST_OF_group(i) (i)
#define PART_group(i, j) 1
#define LOAD_OR_group(p, count, fill) load(p, count, fill)
#define VALUE_group(p, i, fill) (*(p))
#define WRITE_group(p, i, x) (*(p) = (x))
#define CHANNEL_column(i, n, j) for (index_t n = 0, j = 0; n < (index_t)length; ++n)
#define FIRST_OF_column(i) ((i64)(i) * WIDTH)
#define PART_column(i, j) (channels - (i64)(i) * WIDTH)
#define LOAD_OR_column(p, count, fill) load(p, count, 0)
#define VALUE_column(p, i, fill) load(p, PART_column(i, 0), fill)
#define WRITE_column(p, i, x) store(p, PART_column(i, 0), x)
"""

_ROWS = Rows("layer_norm", {"forward": _LAYER, "backward": _LAYER_BACKWARD, "rms": _RMS}, forms=("row", "group"))
_SUMS = Rows("column_sums", {"parts": _COLUMN_SUMS, "add": _ADD_PARTS}, forms=("column",))
_BATCHES = Rows("batch_norm", {"forward": _BATCH, "backward": _BATCH_BACKWARD}, shared=_SHARED)


def _given(array: Array | None, instead: Array) -> tuple[Array, int]:
    """The arguments for an array that may be missing."""
    return (instead, 0) if array is None else (contiguous(array), 1)


def _outer(input: Array, size: Sequence[int]) -> tuple[tuple[int, ...], tuple[int, int, int]]:
    """(shape of one value per row, rows as (outer, length, 1)) where the last dimensions, of `size`, are a row."""
    outer = input.shape[:len(input.shape) - len(size)]
    return outer + (1,) * len(size), (math.prod(outer), math.prod(size), 1)


def _layer_norm(input: Array, size: Sequence[int], weight: Array | None, bias: Array | None, eps: float) -> Any:
    kind = floats(input, weight, bias)
    if kind is None or not input.size:
        return NotImplemented
    kept, sizes = _outer(input, size)
    out = empty(input.shape, input.dtype, input.device)
    mean, rstd = (empty(kept, input.dtype, input.device) for _ in range(2))
    (weight, weighted), (bias, biased) = _given(weight, out), _given(bias, out)
    launch_rows(_ROWS, (), kind, "forward", sizes, out, mean, rstd, contiguous(input), weight, bias, weighted, biased,
                Scalar(eps, TYPES[kind]), op="layer_norm")
    return out, mean, rstd


def _rms_norm(input: Array, size: Sequence[int], weight: Array | None, eps: float) -> Any:
    kind = floats(input, weight)
    if kind is None or not input.size:
        return NotImplemented
    kept, sizes = _outer(input, size)
    out, rstd = empty(input.shape, input.dtype, input.device), empty(kept, input.dtype, input.device)
    launch_rows(_ROWS, (), kind, "rms", sizes, out, rstd, contiguous(input), *_given(weight, out),
                Scalar(eps, TYPES[kind]), op="rms_norm")
    return out, rstd


def _rows_backward(grad: Array, input: Array, mean: Array | None, rstd: Array, weight: Array | None,
                   size: Sequence[int]) -> Any:
    """(gradient of the input, array of the two sums over rows: of grad times what was normalised, and of grad)."""
    kind = floats(grad, input, mean, rstd, weight)
    if kind is None or not input.size:
        return NotImplemented
    grad, input, rstd = contiguous(grad), contiguous(input), contiguous(rstd)
    out = empty(input.shape, input.dtype, input.device)
    mean, centre = _given(mean, rstd)
    _, sizes = _outer(input, size)
    launch_rows(_ROWS, (), kind, "backward", sizes, out, grad, input, mean, rstd, *_given(weight, out), centre,
                op="layer_norm_backward")
    rows, length, _ = sizes
    parts = max(1, min(rows // 16, input.device.traits.units * (4 if input.device.traits.cpu else 1)))
    partial = empty((2, parts, length), input.dtype, input.device)
    launch_rows(_SUMS, (), kind, "parts", (parts, -(-rows // parts), length), partial, grad, input, mean, rstd, rows,
                parts, centre)
    if parts == 1:
        return out, partial
    sums = empty((2, length), input.dtype, input.device)
    launch_rows(_SUMS, (), kind, "add", (2, parts, length), sums, partial)
    return out, sums


def _half(sums: Array, which: int, size: Sequence[int]) -> Array:
    """One of the two sums, as an array of its own memory's part."""
    shape = tuple(size)
    return Array(sums.memory, sums.dtype, shape, None, which * math.prod(shape), sums)


def _layer_norm_backward(grad: Array, input: Array, mean: Array, rstd: Array, weight: Array | None,
                         size: Sequence[int], eps: float) -> Any:
    found = _rows_backward(grad, input, contiguous(mean), rstd, weight, size)
    return found if found is NotImplemented else (found[0], _half(found[1], 0, size), _half(found[1], 1, size))


def _rms_norm_backward(grad: Array, input: Array, rstd: Array, weight: Array | None, size: Sequence[int],
                       eps: float) -> Any:
    found = _rows_backward(grad, input, None, rstd, weight, size)
    return found if found is NotImplemented else (found[0], _half(found[1], 0, size))


def _launch_channels(kind: str, part: str, input: Array, *args: Any) -> None:
    """Launch over the channels of (batch, channels, ...)."""
    batch, channels = input.shape[:2]
    inner = math.prod(input.shape[2:])
    traits = input.device.traits
    rows, lanes = channels, 1
    if traits.cpu:
        rows = channels if inner > 1 else -(-channels // WIDTHS[kind])
    elif inner > 1 and batch * inner >= LONG:
        lanes = traits.group
    items = input.size if traits.cpu else rows * lanes
    form = "group" if lanes > 1 else "row" if inner > 1 else "column"
    launch(_BATCHES, (form, kind, part), items, rows, batch, inner, lanes, channels, *args, op="batch_norm")


def _batch_norm(input: Array, weight: Array | None, bias: Array | None, running_mean: Array | None,
                running_var: Array | None, training: bool, eps: float) -> Any:
    kind = floats(input, weight, bias, *(() if training else (running_mean, running_var)))
    if kind is None or not input.size:
        return NotImplemented
    input = contiguous(input)
    out = empty(input.shape, input.dtype, input.device)
    mean, var = (empty(input.shape[1:2], input.dtype, input.device) for _ in range(2))
    (weight, weighted), (bias, biased) = _given(weight, out), _given(bias, out)
    given = [out if training or each is None else contiguous(each) for each in (running_mean, running_var)]
    _launch_channels(kind, "forward", input, out, mean, var, input, weight, bias, *given, weighted, biased,
                     int(training), Scalar(eps, TYPES[kind]))
    return out, mean, var


def _batch_norm_backward(grad: Array, input: Array, weight: Array | None, mean: Array, var: Array, training: bool,
                         eps: float) -> Any:
    kind = floats(grad, input, weight, mean, var)
    if kind is None or not input.size:
        return NotImplemented
    input = contiguous(input)
    out = empty(input.shape, input.dtype, input.device)
    weights, biases = (empty(input.shape[1:2], input.dtype, input.device) for _ in range(2))
    weight, weighted = _given(weight, out)
    _launch_channels(kind, "backward", input, out, weights, biases, contiguous(grad), input, weight, contiguous(mean),
                     contiguous(var), weighted, int(training), Scalar(eps, TYPES[kind]))
    return out, weights, biases


KERNELS: dict[str, Callable[..., Any]] = {
    "native_layer_norm": _layer_norm,
    "layer_norm_backward": _layer_norm_backward,
    "fused_rms_norm": _rms_norm,
    "rms_norm_backward": _rms_norm_backward,
    "native_batch_norm": _batch_norm,
    "batch_norm_backward": _batch_norm_backward,
}
