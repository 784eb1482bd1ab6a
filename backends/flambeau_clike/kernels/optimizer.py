"""Optimiser steps: one launch for several parameters, where the formulas in operators would be a dozen for each.

Most parameters are small, and a launch costs more than their arithmetic; so a kernel takes up to eight of them, each
with its gradient and averages, and every work item does its part of each. Numbers that change between steps are
arguments.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from flambeau_clike.array import Array
from flambeau_clike.kernels.movement import contiguous
from flambeau_clike.kernels.rows import TYPES, Rows, floats
from flambeau_clike.launch import Scalar, launch
from flambeau_clike.program import Family

TOGETHER = (8, 4, 2, 1)     # parameters of one launch

_ADAM = """
FUNCTION void adam_$PEAK$T(GLOBAL T *param, const GLOBAL T *grad, GLOBAL T *average, GLOBAL T *square, GLOBAL T *peak,
                           i64 n, T sign, T decay, T kept, T beta1, T weight1, T beta2, T weight2, T size, T root,
                           T eps) {
    FOR_EACH(i, (n + WIDTH - 1) / WIDTH) {
        const i64 at = (i64)i * WIDTH, count = n - at;
        const V p = load(param + at, count, 0) * kept;
        const V g = load(grad + at, count, 0) * sign + p * decay;
        const V m = load(average + at, count, 0) * beta1 + g * weight1;
        V v = load(square + at, count, 0) * beta2 + g * g * weight2;
        store(average + at, count, m);
        store(square + at, count, v);
        if ($PEAK) {
            const V before = load(peak + at, count, 0);
            v = before > v ? before : v;
            store(peak + at, count, v);
        }
        store(param + at, count, p - m / (sqrt(v) * root + eps) * size);
    }
}"""

_SGD = """
FUNCTION void sgd_$MOMENTUM$T(GLOBAL T *param, const GLOBAL T *grad, GLOBAL T *buffer, i64 n, T sign, T decay, T lr,
                              T momentum, T share, T own, T velocity) {
    FOR_EACH(i, (n + WIDTH - 1) / WIDTH) {
        const i64 at = (i64)i * WIDTH, count = n - at;
        const V p = load(param + at, count, 0);
        V g = load(grad + at, count, 0) * sign + p * decay;
        if ($MOMENTUM) {
            const V b = load(buffer + at, count, 0) * momentum + g * share;
            store(buffer + at, count, b);
            g = g * own + b * velocity;
        }
        store(param + at, count, p - g * lr);
    }
}"""

_COUNT = """
KERNEL $NAME(ARRAY($T, count)) {
    OPEN($T, count);
    if (ITEM == 0) count[0] += 1;
}"""


def _parts(function: str, name: str, arrays: Sequence[str], numbers: Sequence[str]) -> dict[str, str]:
    """Kernels that call a function for 1, 2, 4 and 8 parameters, with the same numbers for all of them."""
    parts = {}
    for together in reversed(TOGETHER):
        each = range(together)
        parameters = [f"ARRAY(T, {array}{k})" for k in each for array in arrays] + [f"i64 n{k}" for k in each]
        opened = "\n".join(f"    OPEN(T, {array}{k});" for k in each for array in arrays)
        listed = "".join(f"    GLOBAL T *{array}s[] = {{{', '.join(f'{array}{k}' for k in each)}}};\n"
                         for array in arrays) + f"    i64 ns[] = {{{', '.join(f'n{k}' for k in each)}}};\n"
        call = f"{name}({', '.join([*(f'{array}s[k]' for array in arrays), 'ns[k]', *numbers])});"
        kernel = f"KERNEL $NAME({', '.join([*parameters, *(f'T {number}' for number in numbers)])}) {{"
        parts[str(together)] = f"{kernel}\n{opened}\n{listed}    for (int k = 0; k < {together}; ++k) {call}\n}}"
    parts["1"] = f"{function}\n{parts['1']}"
    return parts


_ADAM_ARRAYS = ("param", "grad", "average", "square", "peak")
_SGD_ARRAYS = ("param", "grad", "buffer")
_ADAM_FAMILY = Rows("adam", _parts(_ADAM, "adam_$PEAK$T", _ADAM_ARRAYS, (
    "sign", "decay", "kept", "beta1", "weight1", "beta2", "weight2", "size", "root", "eps")),
    (("PEAK", ("0", "1")),), forms=("row",))
_SGD_FAMILY = Rows("sgd", _parts(_SGD, "sgd_$MOMENTUM$T", _SGD_ARRAYS, (
    "sign", "decay", "lr", "momentum", "share", "own", "velocity")), (("MOMENTUM", ("0", "1")),), forms=("row",))
_COUNT_FAMILY = Family("count_up", _COUNT, (("T", ("f32", "f64")),))


def _kinds(params: Sequence[Array], *groups: Sequence[Array]) -> list[str] | None:
    """The C type of each parameter and what belongs to it, None where a kernel cannot update one of them in place."""
    found = []
    for i, param in enumerate(params):
        own = [param, *(group[i] for group in groups if group)]
        kind = floats(*own)
        if kind is None or not all(each.dense for each in own[:1] + own[2:]):   # gradients are only read
            return None
        found.append(kind)
    return found


def _batches(rows: list[tuple[Array, ...]]) -> Iterator[list[tuple[Array, ...]]]:
    """Pieces of the lengths that there are kernels for."""
    start = 0
    for together in TOGETHER:
        while len(rows) - start >= together:
            yield rows[start:start + together]
            start += together


def _launch(family: Rows, word: str, kind: str, rows: list[tuple[Array, ...]], numbers: Sequence[float],
            op: str) -> None:
    """Update parameters that have the numbers in common; each row is a parameter, its gradient and its state."""
    scalars = [Scalar(each, TYPES[kind]) for each in numbers]
    for batch in _batches(rows):
        sizes = [row[0].size for row in batch]
        launch(family, (word, "row", kind, str(len(batch))), sum(sizes), *[each for row in batch for each in row],
               *sizes, *scalars, op=op)


def _adam_step(params: Sequence[Array], grads: Sequence[Array], exp_avgs: Sequence[Array], exp_avg_sqs: Sequence[Array],
               max_exp_avg_sqs: Sequence[Array], counts: Sequence[float], lr: float, beta1: float, beta2: float,
               eps: float, weight_decay: float, maximize: bool, decoupled_weight_decay: bool) -> Any:
    kinds = _kinds(params, grads, exp_avgs, exp_avg_sqs, max_exp_avg_sqs)
    if kinds is None:
        return NotImplemented
    alike: dict[tuple[str, float], list[tuple[Array, ...]]] = {}
    rows = zip(params, map(contiguous, grads), exp_avgs, exp_avg_sqs, max_exp_avg_sqs or params, strict=True)
    for kind, count, row in zip(kinds, counts, rows, strict=True):
        alike.setdefault((kind, count), []).append(row)
    decay, kept = (0.0, 1 - lr * weight_decay) if decoupled_weight_decay else (weight_decay, 1.0)
    for (kind, count), some in alike.items():
        numbers = (-1.0 if maximize else 1.0, decay, kept, beta1, 1 - beta1, beta2, 1 - beta2, lr / (1 - beta1**count),
                   (1 - beta2**count) ** -0.5, eps)
        _launch(_ADAM_FAMILY, "1" if max_exp_avg_sqs else "0", kind, some, numbers, "adam_step_")
    return ()


def _sgd_step(params: Sequence[Array], grads: Sequence[Array], momentum_buffers: Sequence[Array], lr: float,
              momentum: float, dampening: float, nesterov: bool, weight_decay: float, maximize: bool) -> Any:
    kinds = _kinds(params, grads, momentum_buffers)
    if kinds is None:
        return NotImplemented
    alike: dict[str, list[tuple[Array, ...]]] = {}
    rows = zip(params, map(contiguous, grads), momentum_buffers or params, strict=True)
    for kind, row in zip(kinds, rows, strict=True):
        alike.setdefault(kind, []).append(row)
    numbers = (-1.0 if maximize else 1.0, weight_decay, lr, momentum, 1 - dampening,
               *((1.0, momentum) if nesterov else (0.0, 1.0)))
    for kind, some in alike.items():
        _launch(_SGD_FAMILY, "1" if momentum_buffers else "0", kind, some, numbers, "sgd_step_")
    return ()


def _count_up(steps: Sequence[Array]) -> Any:
    kinds = _kinds(steps)
    if kinds is None:
        return NotImplemented
    for step, kind in zip(steps, kinds, strict=True):
        launch(_COUNT_FAMILY, (kind,), 1, step, op="count_up_")
    return ()


KERNELS: dict[str, Callable[..., Any]] = {
    "adam_step_": _adam_step,
    "count_up_": _count_up,
    "sgd_step_": _sgd_step,
}
