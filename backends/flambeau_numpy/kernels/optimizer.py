"""Whole optimiser steps as single kernels over lists of NumPy arrays.

Why these exist: one Adam update is about twelve pointwise operators per parameter. Dispatched one by one, the calls
cost more than the arithmetic on the small tensors that most parameters are. Here a step over every parameter is one
call; inside, each pass is a ufunc that writes into memory that already exists.

What was measured and shaped the code (float32, an MNIST-sized perceptron):

- A ufunc pass whose operands are ``(x, y, out=x)`` streams half the memory of ``(x, y, out=z)``, so passes are in place
  wherever the formula allows.
- A Python float as a ufunc operand costs 0.3 microseconds more than a 0-d array, so scalars are made 0-d once per call.
- The bias corrections are folded into the denominator: ``p - s*m / (sqrt(v)/c + eps)`` becomes
  ``p + m / (sqrt(v)*A + B)``, which saves a pass and a second scratch buffer. The result differs from the unfolded
  formula by rounding only.
- Blocks that fit L2 only pay once the operands no longer fit the last-level cache; below that, the price of more ufunc
  calls is higher than what the nearer cache gives back. Hence the large ``BLOCK``.
- A second thread gains little (the handover costs 40 microseconds) and would take the core from somebody else.

float16 and bfloat16 parameters are widened to float32, updated and rounded back.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy import add, divide, maximum, multiply, negative, sqrt, subtract

from flambeau_numpy import compiled

Array = np.ndarray[Any, Any]

BLOCK = 1 << 18
"""Elements per block of a large contiguous parameter."""

_COMPUTED = (np.dtype(np.float32), np.dtype(np.float64))
_TINY_STEP = 1e-25
"""Below this step size its reciprocal may overflow float32, so the unfolded formula is used."""

_scratch = threading.local()


def _scratch_like(array: Array) -> Array:
    """An uninitialised array of this shape and dtype; small ones come from a buffer that each thread keeps."""
    size = array.size
    if size > BLOCK:
        return np.empty_like(array)
    try:
        buffer: Array = _scratch.__dict__[array.dtype]
    except KeyError:
        buffer = _scratch.__dict__[array.dtype] = np.empty(BLOCK, array.dtype)  # type: ignore[index]
    return buffer[:size].reshape(array.shape)


def _blocks(arrays: tuple[Array | None, ...]) -> list[tuple[Array | None, ...]]:
    """Flat pieces of at most BLOCK elements where all arrays are C-contiguous, else the arrays as they are."""
    size = arrays[0].size  # type: ignore[union-attr]
    if size <= BLOCK or not all(a is None or a.flags.c_contiguous for a in arrays):
        return [arrays]
    flat = [None if a is None else a.reshape(-1) for a in arrays]
    return [
        tuple(None if a is None else a[start : start + BLOCK] for a in flat) for start in range(0, size, BLOCK)
    ]


class _AdamScalars:
    """The scalars of one step, as 0-d arrays of the parameter's dtype."""

    __slots__ = (
        "beta1", "beta2", "decay", "eps", "folded", "numbers", "root", "shift", "size", "weight1", "weight2",
    )

    def __init__(
        self, dtype: Any, step: float, lr: float, beta1: float, beta2: float, eps: float, weight_decay: float
    ) -> None:
        size = lr / (1.0 - beta1**step)
        root = (1.0 - beta2**step) ** 0.5
        self.folded = abs(size) > _TINY_STEP
        if self.folded:
            root, shift = -1.0 / (size * root), -eps / size
        else:
            root, shift = 1.0 / root, eps
        self.beta1 = np.array(beta1, dtype)
        self.weight1 = np.array(1.0 - beta1, dtype)
        self.beta2 = np.array(beta2, dtype)
        self.weight2 = np.array(1.0 - beta2, dtype)
        self.root = np.array(root, dtype)
        self.shift = np.array(shift, dtype)
        self.size = np.array(-size, dtype)
        self.decay = np.array(weight_decay, dtype)
        self.numbers = tuple(map(dtype.type, (beta1, 1.0 - beta1, beta2, 1.0 - beta2, root, shift)))


def _adam_block(
    param: Array, grad: Array, average: Array, square: Array, peak: Array | None, k: _AdamScalars
) -> None:
    """One update of one block, everything in place."""
    if peak is None and k.folded:
        loop = compiled.compiled(compiled.adam, param.size)
        if loop is not None and (param.flags.c_contiguous and grad.flags.c_contiguous
                                 and average.flags.c_contiguous and square.flags.c_contiguous):
            if param.ndim != 1:
                param, grad, average, square = (each.reshape(-1) for each in (param, grad, average, square))
            loop(param, grad, average, square, *k.numbers)
            return
    t = _scratch_like(param)
    multiply(average, k.beta1, average)
    multiply(grad, k.weight1, t)
    add(average, t, average)
    multiply(square, k.beta2, square)
    multiply(grad, grad, t)
    multiply(t, k.weight2, t)
    add(square, t, square)
    if peak is None:
        sqrt(square, t)
    else:
        maximum(peak, square, out=peak)
        sqrt(peak, t)
    multiply(t, k.root, t)
    add(t, k.shift, t)
    divide(average, t, t)
    if not k.folded:
        multiply(t, k.size, t)
    add(param, t, param)


def _widened(arrays: Sequence[Array]) -> list[Array]:
    """The arrays, those of half precision copied to float32."""
    return [array if array.dtype in _COMPUTED else array.astype(np.float32) for array in arrays]


def _widely(
    step: Callable[..., tuple[()]], own: list[Sequence[Array]], grads: Sequence[Array], options: tuple[Any, ...]
) -> tuple[()]:
    """Run a step in float32 and round what it changed back to half precision. ``own`` begins with the parameters."""
    wide = [_widened(group) for group in own]
    step(wide[0], _widened(grads), *wide[1:], *options)
    for targets, sources in zip(own, wide, strict=True):
        for target, source in zip(targets, sources, strict=True):
            if target is not source:
                np.copyto(target, source, casting="unsafe")
    return ()


def adam_step(
    params: Sequence[Array],
    grads: Sequence[Array],
    exp_avgs: Sequence[Array],
    exp_avg_sqs: Sequence[Array],
    max_exp_avg_sqs: Sequence[Array],
    counts: Sequence[float],
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
    weight_decay: float,
    maximize: bool,
    decoupled_weight_decay: bool,
) -> tuple[()]:
    """Adam or AdamW on every parameter, in place.

    ``max_exp_avg_sqs`` is empty unless AMSGrad is wanted; ``counts`` are the numbers of this step, from one. Gradients
    are never written to.
    """
    if any(param.dtype not in _COMPUTED for param in params):
        options = counts, lr, beta1, beta2, eps, weight_decay, maximize, decoupled_weight_decay
        return _widely(adam_step, [params, exp_avgs, exp_avg_sqs, max_exp_avg_sqs], grads, options)
    made: tuple[Any, float] | None = None
    scalars: _AdamScalars | None = None
    with np.errstate(all="ignore"):
        for i, param in enumerate(params):
            count = counts[i]
            if scalars is None or made != (param.dtype, count):
                made = (param.dtype, count)
                scalars = _AdamScalars(param.dtype, count, lr, beta1, beta2, eps, weight_decay)
            grad = negative(grads[i]) if maximize else grads[i]
            if weight_decay:
                if decoupled_weight_decay:
                    multiply(param, np.array(1.0 - lr * weight_decay, param.dtype), param)
                else:
                    grad = add(grad, multiply(param, scalars.decay))
            peak = max_exp_avg_sqs[i] if max_exp_avg_sqs else None
            if param.size <= BLOCK:
                _adam_block(param, grad, exp_avgs[i], exp_avg_sqs[i], peak, scalars)
                continue
            for block in _blocks((param, grad, exp_avgs[i], exp_avg_sqs[i], peak)):
                _adam_block(*block, scalars)  # type: ignore[arg-type]
    return ()


def count_up(steps: Sequence[Array]) -> tuple[()]:
    """Raise 0-d counters by one; through Python's numbers, which is quicker than a ufunc for each."""
    for step in steps:
        step[...] = step.item() + 1
    return ()


def sgd_step(
    params: Sequence[Array],
    grads: Sequence[Array],
    momentum_buffers: Sequence[Array],
    lr: float,
    momentum: float,
    dampening: float,
    nesterov: bool,
    weight_decay: float,
    maximize: bool,
) -> tuple[()]:
    """Stochastic gradient descent on every parameter, in place.

    ``momentum_buffers`` is empty where there is no momentum; at a parameter's first step its buffer holds zeros and
    ``dampening`` is zero.
    """
    if any(param.dtype not in _COMPUTED for param in params):
        options = lr, momentum, dampening, nesterov, weight_decay, maximize
        return _widely(sgd_step, [params, momentum_buffers], grads, options)
    scalars: _SgdScalars | None = None
    with np.errstate(all="ignore"):
        for i, param in enumerate(params):
            if scalars is None or scalars.lr.dtype != param.dtype:
                scalars = _SgdScalars(param.dtype, lr, momentum, dampening, weight_decay)
            grad = negative(grads[i]) if maximize else grads[i]
            buffer = momentum_buffers[i] if momentum_buffers else None
            if param.size <= BLOCK:
                _sgd_block(param, grad, buffer, nesterov, scalars)
                continue
            for block in _blocks((param, grad, buffer)):
                _sgd_block(*block, nesterov, scalars)  # type: ignore[arg-type]
    return ()


class _SgdScalars:
    """The scalars of one step, as 0-d arrays of the parameter's dtype; None for what the formula leaves out."""

    __slots__ = ("decay", "lr", "momentum", "share")

    def __init__(self, dtype: Any, lr: float, momentum: float, dampening: float, weight_decay: float) -> None:
        self.lr = np.array(lr, dtype)
        self.momentum = np.array(momentum, dtype)
        self.share = np.array(1.0 - dampening, dtype) if dampening else None
        self.decay = np.array(weight_decay, dtype) if weight_decay else None


def _sgd_block(param: Array, grad: Array, buffer: Array | None, nesterov: bool, k: _SgdScalars) -> None:
    """One update of one block, everything in place."""
    t = _scratch_like(param)
    if k.decay is not None:
        grad = add(grad, multiply(param, k.decay))
    if buffer is not None:
        multiply(buffer, k.momentum, buffer)
        if k.share is None:
            add(buffer, grad, buffer)
        else:
            multiply(grad, k.share, t)
            add(buffer, t, buffer)
        if nesterov:
            multiply(buffer, k.momentum, t)
            grad = add(grad, t)
        else:
            grad = buffer
    multiply(grad, k.lr, t)
    subtract(param, t, param)


KERNELS = {"adam_step_": adam_step, "count_up_": count_up, "sgd_step_": sgd_step}
