"""softmax, its logarithm and their gradients: one launch each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flambeau_clike.array import Array, empty
from flambeau_clike.kernels.movement import contiguous
from flambeau_clike.kernels.rows import Rows, floats, launch_rows, seen_as

_FORMULAS = """
#define SUM_softmax(sum) (sum)
#define SUM_log_softmax(sum) log(sum)
#define KEEP_softmax(y, count, e) store(y, count, e)
#define KEEP_log_softmax(y, count, e)
#define RESULT_softmax(x, y, count, largest, sum) (load(y, count, 0) / (sum))
#define RESULT_log_softmax(x, y, count, largest, sum) (load(x, count, 0) - (largest) - (sum))
#define WEIGHTED_softmax(g, y) ((g) * (y))
#define WEIGHTED_log_softmax(g, y) (g)
#define GRADIENT_softmax(g, y, sum) ((y) * ((g) - (sum)))
#define GRADIENT_log_softmax(g, y, sum) ((g) - exp(y) * (sum))
"""

_FORWARD = """
KERNEL $NAME(ROW_SIZES, ARRAY(T, out), ARRAY(T, input)) {
    OPEN(T, out); OPEN(T, input); SCRATCH;
    ROWS(i) {
        const GLOBAL T *x = input + BASE(i);
        GLOBAL T *y = out + BASE(i);
        V most = -INFINITY, sum = 0;
        ALONG(i, j) most = fmax(most, load(x + AT(j), COUNT(i, j), -INFINITY));
        const R largest = LARGEST(most);
        ALONG(i, j) {
            const V e = exp(load(x + AT(j), COUNT(i, j), -INFINITY) - largest);
            sum += e;
            KEEP_$OP(y + AT(j), COUNT(i, j), e);
        }
        const R all = SUM_$OP(TOTAL(sum));
        ALONG(i, j)
            store(y + AT(j), COUNT(i, j), RESULT_$OP(x + AT(j), y + AT(j), COUNT(i, j), largest, all));
    }
}"""

_BACKWARD = """
KERNEL $NAME(ROW_SIZES, ARRAY(T, out), ARRAY(T, grad), ARRAY(T, result)) {
    OPEN(T, out); OPEN(T, grad); OPEN(T, result); SCRATCH;
    ROWS(i) {
        V sum = 0;
        ALONG(i, j) {
            const i64 at = BASE(i) + AT(j);
            sum += WEIGHTED_$OP(load(grad + at, COUNT(i, j), 0), load(result + at, COUNT(i, j), 0));
        }
        const R all = TOTAL(sum);
        ALONG(i, j) {
            const i64 at = BASE(i) + AT(j);
            const V g = load(grad + at, COUNT(i, j), 0), y = load(result + at, COUNT(i, j), 0);
            store(out + at, COUNT(i, j), GRADIENT_$OP(g, y, all));
        }
    }
}"""

_FAMILY = Rows("softmax", {"forward": _FORWARD, "backward": _BACKWARD}, (("OP", ("softmax", "log_softmax")),),
               _FORMULAS)


def _run(op: str, part: str, dim: int, *inputs: Array) -> Any:
    of = inputs[0]
    kind = floats(*inputs)
    if kind is None or not of.size or not of.shape:
        return NotImplemented
    out = empty(of.shape, of.dtype, of.device)
    launch_rows(_FAMILY, (op,), kind, part, seen_as(of.shape, dim), out, *[contiguous(each) for each in inputs], op=op)
    return out


def _softmax(input: Array, dim: int) -> Any:
    return _run("softmax", "forward", dim, input)


def _log_softmax(input: Array, dim: int) -> Any:
    return _run("log_softmax", "forward", dim, input)


def _softmax_backward(grad: Array, result: Array, dim: int) -> Any:
    return _run("softmax", "backward", dim, grad, result)


def _log_softmax_backward(grad: Array, result: Array, dim: int) -> Any:
    return _run("log_softmax", "backward", dim, grad, result)


KERNELS: dict[str, Callable[..., Any]] = {
    "softmax": _softmax,
    "log_softmax": _log_softmax,
    "softmax_backward_data": _softmax_backward,
    "log_softmax_backward_data": _log_softmax_backward,
}
