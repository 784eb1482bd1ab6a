"""Optimiser steps: one launch per parameter, where the formulas in operators would be a dozen.

Every number that changes between steps is an argument, so that one kernel serves all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from flambeau.dtypes import float32, float64
from flambeau_opencl.array import Array
from flambeau_opencl.kernels.movement import contiguous
from flambeau_opencl.kernels.rows import Rows, floats
from flambeau_opencl.launch import Scalar, launch
from flambeau_opencl.program import Family

_TYPES = {"f32": float32, "f64": float64}

_ADAM = """
KERNEL $NAME(ARRAY(T, param), ARRAY(T, grad), ARRAY(T, average), ARRAY(T, square), ARRAY(T, peak), i64 n, T sign,
             T decay, T kept, T beta1, T weight1, T beta2, T weight2, T size, T root, T eps) {
    OPEN(T, param); OPEN(T, grad); OPEN(T, average); OPEN(T, square); OPEN(T, peak);
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
KERNEL $NAME(ARRAY(T, param), ARRAY(T, grad), ARRAY(T, buffer), i64 n, T sign, T decay, T lr, T momentum, T share,
             T own, T velocity) {
    OPEN(T, param); OPEN(T, grad); OPEN(T, buffer);
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

_ADAM_FAMILY = Rows("adam", {"step": _ADAM}, (("PEAK", ("0", "1")),), forms=("row",))
_SGD_FAMILY = Rows("sgd", {"step": _SGD}, (("MOMENTUM", ("0", "1")),), forms=("row",))
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


def _adam_step(params: Sequence[Array], grads: Sequence[Array], exp_avgs: Sequence[Array], exp_avg_sqs: Sequence[Array],
               max_exp_avg_sqs: Sequence[Array], counts: Sequence[float], lr: float, beta1: float, beta2: float,
               eps: float, weight_decay: float, maximize: bool, decoupled_weight_decay: bool) -> Any:
    kinds = _kinds(params, grads, exp_avgs, exp_avg_sqs, max_exp_avg_sqs)
    if kinds is None:
        return NotImplemented
    scalars: dict[tuple[str, float], list[Scalar]] = {}
    for i, (param, kind, count) in enumerate(zip(params, kinds, counts, strict=True)):
        numbers = scalars.get((kind, count))
        if numbers is None:
            decay, kept = (0.0, 1 - lr * weight_decay) if decoupled_weight_decay else (weight_decay, 1.0)
            size, root = lr / (1 - beta1**count), (1 - beta2**count) ** -0.5
            numbers = scalars[kind, count] = [Scalar(each, _TYPES[kind]) for each in (
                -1.0 if maximize else 1.0, decay, kept, beta1, 1 - beta1, beta2, 1 - beta2, size, root, eps)]
        peak = max_exp_avg_sqs[i] if max_exp_avg_sqs else param
        launch(_ADAM_FAMILY, ("1" if max_exp_avg_sqs else "0", "row", kind, "step"), param.size, param, contiguous(grads[i]),
               exp_avgs[i], exp_avg_sqs[i], peak, param.size, *numbers, op="adam_step_")
    return ()


def _sgd_step(params: Sequence[Array], grads: Sequence[Array], momentum_buffers: Sequence[Array], lr: float,
              momentum: float, dampening: float, nesterov: bool, weight_decay: float, maximize: bool) -> Any:
    kinds = _kinds(params, grads, momentum_buffers)
    if kinds is None:
        return NotImplemented
    numbers = {kind: [Scalar(each, _TYPES[kind]) for each in (
        -1.0 if maximize else 1.0, weight_decay, lr, momentum, 1 - dampening,
        *((1.0, momentum) if nesterov else (0.0, 1.0)))] for kind in set(kinds)}
    for i, (param, kind) in enumerate(zip(params, kinds, strict=True)):
        buffer = momentum_buffers[i] if momentum_buffers else param
        launch(_SGD_FAMILY, ("1" if momentum_buffers else "0", "row", kind, "step"), param.size, param, contiguous(grads[i]), buffer,
               param.size, *numbers[kind], op="sgd_step_")
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
