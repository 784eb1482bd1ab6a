"""Losses of classifiers and of regression, and their gradients, without the arrays in between.

A mean takes two launches: one for the elements, in parallel, and one that adds them up in a fixed order. Class indices
outside the range are noticed on the device, and told when it is waited for.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flambeau.dtypes import int64
from flambeau_clike.array import Array, empty
from flambeau_clike.kernels.movement import contiguous
from flambeau_clike.kernels.rows import TYPES, Rows, floats, launch_rows, seen_as
from flambeau_clike.launch import Scalar, launch

_CROSS_ENTROPY = """
KERNEL $NAME(ROW_SIZES, ARRAY(T, logs), ARRAY(T, losses), ARRAY(T, input), ARRAY(i64, target), i64 ignored, ERRORS) {
    OPEN(T, logs); OPEN(T, losses); OPEN(T, input); OPEN(i64, target); SCRATCH;
    ROWS(i) {
        const GLOBAL T *x = input + BASE(i);
        V most = -INFINITY, sum = 0;
        ALONG(i, j) most = fmax(most, load(x + j, COUNT(i, j), -INFINITY));
        const T largest = LARGEST(most);
        ALONG(i, j) sum += exp(load(x + j, COUNT(i, j), -INFINITY) - largest);
        const T all = log(TOTAL(sum));
        ALONG(i, j) store(logs + BASE(i) + j, COUNT(i, j), load(x + j, COUNT(i, j), 0) - largest - all);
        if (FIRST) {
            const i64 label = target[i];
            const b8 kept = label != ignored;
            losses[i] = 0;
            losses[rows + i] = kept;
            if (kept && (label < 0 || label >= length)) FAIL(TARGET_OUT_OF_RANGE);
            else if (kept) losses[i] = largest + all - x[label];
        }
    }
}"""

_CROSS_ENTROPY_BACKWARD = """
KERNEL $NAME(ROW_SIZES, ARRAY(T, out), ARRAY(T, grad), ARRAY(T, logs), ARRAY(i64, target), i64 ignored) {
    OPEN(T, out); OPEN(T, grad); OPEN(T, logs); OPEN(i64, target); SCRATCH;
    const T scale = grad[0] / KEPT_$FORM(target, rows, ignored);
    ROWS(i) {
        const i64 label = target[i];
        const T factor = label == ignored ? 0 : scale;
        GLOBAL T *y = out + BASE(i);
        ALONG(i, j) store(y + j, COUNT(i, j), exp(load(logs + BASE(i) + j, COUNT(i, j), 0)) * factor);
        if (MINE_$FORM(label) && factor != 0 && label >= 0 && label < length)
            y[label] = (exp(logs[BASE(i) + label]) - 1) * factor;
        else if (factor == 0)
            ALONG(i, j) store(y + j, COUNT(i, j), (V)(0));
    }
}"""

_MEAN = """
KERNEL $NAME(ROW_SIZES, ARRAY(T, out), ARRAY(T, losses), i64 divide) {
    OPEN(T, out); OPEN(T, losses); SCRATCH;
    ROWS(i) {
        V sum = 0, factors = 0;
        ALONG(i, j) {
            sum += load(losses + j, COUNT(i, j), 0);
            factors += load(losses + length + j, COUNT(i, j), 0);
        }
        const T total = TOTAL(sum), weight = TOTAL(factors);
        if (FIRST) out[0] = divide ? total / weight : total;
    }
}"""

_SCALED = """
KERNEL $NAME(ROW_SIZES, ARRAY(T, out), ARRAY(T, values), T divisor) {
    OPEN(T, out); OPEN(T, values); SCRATCH;
    ROWS(i) {
        V sum = 0;
        ALONG(i, j) sum += load(values + j, COUNT(i, j), 0);
        const T total = TOTAL(sum);
        if (FIRST) out[0] = total / divisor;
    }
}"""

_SQUARES = """
KERNEL $NAME(ROW_SIZES, ARRAY(T, out), ARRAY(T, a), ARRAY(T, b), i64 n) {
    OPEN(T, out); OPEN(T, a); OPEN(T, b); SCRATCH;
    ROWS(i) {
        V sum = 0;
        ALONG(i, j) {
            const i64 at = BASE(i) + j;
            if (at < n) {
                const V difference = load(a + at, n - at, 0) - load(b + at, n - at, 0);
                sum += difference * difference;
            }
        }
        const T total = TOTAL(sum);
        if (FIRST) out[i] = total;
    }
}"""

_NLL = """
KERNEL $NAME(ARRAY(T, losses), ARRAY(T, input), ARRAY(i64, target), ARRAY(T, weight), i64 weighted, i64 n,
             i64 classes, i64 inner, i64 ignored, ERRORS) {
    OPEN(T, losses); OPEN(T, input); OPEN(i64, target); OPEN(T, weight);
    FOR_EACH(i, n) {
        const i64 label = target[i];
        T factor = 0, loss = 0;
        if (label != ignored) {
            if (label < 0 || label >= classes) FAIL(TARGET_OUT_OF_RANGE);
            else {
                factor = weighted ? weight[label] : 1;
                loss = -input[(i / inner * classes + label) * inner + i % inner] * factor;
            }
        }
        losses[i] = loss;
        losses[n + i] = factor;
    }
}"""

_NLL_SCALE = """
KERNEL $NAME(ROW_SIZES, ARRAY(T, out), ARRAY(T, grad), ARRAY(i64, target), ARRAY(T, weight), i64 weighted,
             i64 classes, i64 ignored) {
    OPEN(T, out); OPEN(T, grad); OPEN(i64, target); OPEN(T, weight); SCRATCH;
    ROWS(i) {
        V sum = 0;
        for (index_t j = FROM_$FORM; j < length; j += BY_$FORM) {
            const i64 label = target[j];
            if (label != ignored && label >= 0 && label < classes) ONE(sum) += weighted ? weight[label] : 1;
        }
        const T total = TOTAL(sum);
        if (FIRST) out[0] = grad[0] / total;
    }
}"""

_NLL_BACKWARD = """
KERNEL $NAME(ARRAY(T, out), ARRAY(T, grad), ARRAY(i64, target), ARRAY(T, weight), i64 weighted, i64 each, i64 n,
             i64 classes, i64 inner, i64 ignored) {
    OPEN(T, out); OPEN(T, grad); OPEN(i64, target); OPEN(T, weight);
    FOR_EACH(i, n) {
        const index_t label = i / (index_t)inner % (index_t)classes;
        const index_t place = i / (index_t)inner / (index_t)classes * (index_t)inner + i % (index_t)inner;
        const b8 here = target[place] == label && label != ignored;
        out[i] = here ? -grad[each ? place : 0] * (weighted ? weight[label] : 1) : 0;
    }
}"""

_SHARED = """
#define MINE_row(j) 1
#define MINE_group(j) ((j) % LANES == LANE)
#define FROM_row 0
#define FROM_group LANE
#define BY_row 1
#define BY_group LANES
#ifdef CHUNKED
#define ONE(v) (v).x
#else
#define ONE(v) (v)
#endif
#define KEPT_row(target, n, ignored) kept(target, n, ignored, 0, 1)
#define KEPT_group(target, n, ignored) TOTAL((T)kept(target, n, ignored, LANE, LANES))
FUNCTION i32 kept(const GLOBAL i64 *target, i64 n, i64 ignored, int from, int by) {
    i32 found = 0;
    for (index_t i = from; i < (index_t)n; i += by) found += target[i] != ignored;
    return found;
}
"""

_FAMILY = Rows("loss", {
    "cross_entropy": _CROSS_ENTROPY, "cross_entropy_backward": _CROSS_ENTROPY_BACKWARD, "mean": _MEAN,
    "scaled": _SCALED, "squares": _SQUARES, "nll": _NLL, "nll_scale": _NLL_SCALE, "nll_backward": _NLL_BACKWARD,
}, shared=_SHARED, forms=("row", "group"))


def _cross_entropy_mean(input: Array, target: Array, ignore_index: int) -> Any:
    kind = floats(input)
    if kind is None or not input.size or target.dtype is not int64:
        return NotImplemented
    rows, classes = input.shape
    logs = empty(input.shape, input.dtype, input.device)
    losses = empty((2, rows), input.dtype, input.device)
    launch_rows(_FAMILY, (), kind, "cross_entropy", (rows, classes, 1), logs, losses, contiguous(input),
                contiguous(target), ignore_index, op="cross_entropy", checks=True)
    return _added(losses, kind, rows, True), logs


def _added(losses: Array, kind: str, count: int, divide: bool) -> Array:
    """The sum of the losses, divided by that of their factors, which lie behind them, if so wished."""
    out = empty((), losses.dtype, losses.device)
    launch_rows(_FAMILY, (), kind, "mean", (1, count, 1), out, losses, int(divide))
    return out


def _cross_entropy_mean_backward(grad: Array, logs: Array, target: Array, ignore_index: int) -> Any:
    kind = floats(grad, logs)
    if kind is None or not logs.size or target.dtype is not int64:
        return NotImplemented
    out = empty(logs.shape, logs.dtype, logs.device)
    launch_rows(_FAMILY, (), kind, "cross_entropy_backward", seen_as(logs.shape, 1), out, grad, contiguous(logs),
                contiguous(target), ignore_index)
    return out


def _nll_loss(input: Array, target: Array, weight: Array | None, reduction: str, ignore_index: int) -> Any:
    kind = floats(input, weight)
    if kind is None or not input.size or target.dtype is not int64:
        return NotImplemented
    _, classes, inner = seen_as(input.shape, 1)
    count = target.size
    losses = empty((2, *target.shape), input.dtype, input.device)
    input, target = contiguous(input), contiguous(target)
    launch(_FAMILY, ("row", kind, "nll"), count, losses, input, target, input if weight is None else contiguous(weight),
           int(weight is not None), count, classes, inner, ignore_index, op="nll_loss", checks=True)
    if reduction == "none":
        return Array(losses.memory, losses.dtype, target.shape)
    return _added(losses, kind, count, reduction == "mean")


def _nll_loss_backward(grad: Array, target: Array, weight: Array | None, reduction: str, ignore_index: int,
                       shape: tuple[int, ...]) -> Any:
    kind = floats(grad, weight)
    if kind is None or not target.size or target.dtype is not int64:
        return NotImplemented
    _, classes, inner = seen_as(shape, 1)
    out = empty(tuple(shape), grad.dtype, grad.device)
    target, grad = contiguous(target), contiguous(grad)
    weights = (out if weight is None else contiguous(weight), int(weight is not None))
    if reduction == "mean":
        scale = empty((), grad.dtype, grad.device)
        launch_rows(_FAMILY, (), kind, "nll_scale", (1, target.size, 1), scale, grad, target, *weights, classes,
                    ignore_index)
        grad = scale
    launch(_FAMILY, ("row", kind, "nll_backward"), out.size, out, grad, target, *weights, int(reduction == "none"),
           out.size, classes, inner, ignore_index)
    return out


def _mse_loss(input: Array, target: Array, reduction: str) -> Any:
    kind = floats(input, target)
    if kind is None or not input.size or reduction == "none" or input.shape != target.shape:
        return NotImplemented
    count = input.size
    parts = min(16 * input.device.traits.units, -(-count // 4096))
    partial = empty((parts,), input.dtype, input.device)
    length = -(-count // (parts * 16)) * 16
    launch_rows(_FAMILY, (), kind, "squares", (parts, length, 1), partial, contiguous(input), contiguous(target), count)
    out = empty((), input.dtype, input.device)
    launch_rows(_FAMILY, (), kind, "scaled", (1, parts, 1), out, partial,
                Scalar(float(count) if reduction == "mean" else 1.0, TYPES[kind]))
    return out


KERNELS: dict[str, Callable[..., Any]] = {
    "cross_entropy_mean": _cross_entropy_mean,
    "cross_entropy_mean_backward": _cross_entropy_mean_backward,
    "nll_loss": _nll_loss,
    "nll_loss_backward": _nll_loss_backward,
    "mse_loss": _mse_loss,
}
