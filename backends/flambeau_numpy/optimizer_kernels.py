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

The kernels work on float32 and float64. ``supports`` says whether a set of arrays qualifies; if not, the caller uses
the decomposition into plain operators.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy import add, divide, maximum, multiply, negative, sqrt, subtract

Array = np.ndarray[Any, Any]

BLOCK = 1 << 18
"""Elements per block of a large contiguous parameter."""

_FLOATS = (np.dtype(np.float32), np.dtype(np.float64))
_TINY_STEP = 1e-25
"""Below this step size its reciprocal may overflow float32, so the unfolded formula is used."""

_scratch = threading.local()


def supports(*groups: Sequence[Array]) -> bool:
    """Whether every array in every group is float32 or float64, one dtype per position.

    >>> supports([np.ones(2)], [np.ones(2)])
    True
    >>> supports([np.ones(2, np.float16)], [np.ones(2, np.float16)])
    False
    """
    first = groups[0]
    return all(array.dtype in _FLOATS for array in first) and all(
        array.dtype == lead.dtype and array.shape == lead.shape
        for group in groups[1:]
        for array, lead in zip(group, first, strict=True)
    )


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
        "beta1", "beta2", "decay", "eps", "folded", "root", "shift", "size", "weight1", "weight2",
    )  # fmt: skip

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


def _adam_block(
    param: Array, grad: Array, average: Array, square: Array, peak: Array | None, k: _AdamScalars
) -> None:
    """One update of one block, everything in place."""
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
        maximum(peak, square, peak)
        sqrt(peak, t)
    multiply(t, k.root, t)
    add(t, k.shift, t)
    divide(average, t, t)
    if not k.folded:
        multiply(t, k.size, t)
    add(param, t, param)


def adam_step(
    params: Sequence[Array],
    grads: Sequence[Array],
    exp_avgs: Sequence[Array],
    exp_avg_sqs: Sequence[Array],
    max_exp_avg_sqs: Sequence[Array],
    steps: Sequence[Array],
    *,
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
    weight_decay: float,
    maximize: bool = False,
    decoupled_weight_decay: bool = False,
) -> None:
    """Adam or AdamW on every parameter, in place; each entry of ``steps`` (0-d) is raised by one first.

    ``max_exp_avg_sqs`` is empty unless AMSGrad is wanted. Gradients are never written to.
    """
    made: tuple[Any, float] | None = None
    scalars: _AdamScalars | None = None
    with np.errstate(all="ignore"):
        for i, param in enumerate(params):
            step = steps[i].item() + 1.0
            steps[i][...] = step
            if scalars is None or made != (param.dtype, step):
                made = (param.dtype, step)
                scalars = _AdamScalars(param.dtype, step, lr, beta1, beta2, eps, weight_decay)
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


def sgd_step(
    params: Sequence[Array],
    grads: Sequence[Array],
    momentum_buffers: Sequence[Array],
    *,
    lr: float,
    momentum: float,
    dampening: float,
    nesterov: bool,
    weight_decay: float,
    maximize: bool = False,
) -> None:
    """Stochastic gradient descent on every parameter, in place.

    ``momentum_buffers`` is empty where momentum is zero; otherwise it holds buffers that earlier steps have filled
    (the first step's buffer is a copy of the gradient, which the caller makes).
    """
    with np.errstate(all="ignore"):
        for i, param in enumerate(params):
            dtype = param.dtype
            for p, g, b in _blocks((param, grads[i], momentum_buffers[i] if momentum_buffers else None)):
                assert p is not None and g is not None
                if maximize:
                    g = negative(g)
                if weight_decay:
                    g = add(g, multiply(p, np.array(weight_decay, dtype)))
                t = _scratch_like(p)
                if b is not None:
                    multiply(b, np.array(momentum, dtype), b)
                    if dampening:
                        multiply(g, np.array(1.0 - dampening, dtype), t)
                        add(b, t, b)
                    else:
                        add(b, g, b)
                    if nesterov:
                        multiply(b, np.array(momentum, dtype), t)
                        g = add(g, t)
                    else:
                        g = b
                multiply(g, np.array(lr, dtype), t)
                subtract(p, t, p)
