"""Losses of classifiers as single kernels, so that a training step does not pay for their many small steps."""

from __future__ import annotations

from typing import Any

import numpy as np

from flambeau_numpy.quiet import quiet

_add, _max = np.add.reduce, np.maximum.reduce
_numbers = np.arange(4096)


def _arange(count: int) -> Any:
    return _numbers[:count] if count <= 4096 else np.arange(count)


def _inside(target: Any, classes: int) -> bool:
    """Whether all class indices are in range: one pass, in which negative numbers look large."""
    return not target.size or int(_max(target.view(np.uint64), None)) < classes


def _kept(target: Any, classes: int, ignore_index: int) -> tuple[Any, Any]:
    """(which elements count, the class indices with 0 for those that do not). ValueError outside the range."""
    kept = target != ignore_index
    safe = np.where(kept, target, 0)
    if not _inside(safe, classes):
        raise ValueError("Target is out of bounds.")
    return kept, safe


def _cross_entropy_mean(input: Any, target: Any, ignore_index: int) -> Any:
    rows, classes = input.shape
    logs = input - _max(input, 1, None, None, True)
    np.subtract(logs, np.log(_add(np.exp(logs), 1, None, None, True)), logs)
    if ignore_index < 0 and _inside(target, classes):
        return -_add(logs[_arange(rows), target]) / rows, logs
    kept, safe = _kept(target, classes, ignore_index)
    return -_add(logs[_arange(rows), safe], where=kept) / logs.dtype.type(_add(kept)), logs


def _cross_entropy_mean_backward(grad: Any, logs: Any, target: Any, ignore_index: int) -> Any:
    rows, classes = logs.shape
    result = np.exp(logs)
    if ignore_index < 0 and _inside(target, classes):
        result[_arange(rows), target] -= 1
        return np.multiply(result, grad / rows, result)
    kept, safe = _kept(target, classes, ignore_index)
    result[_arange(rows), safe] -= 1
    np.multiply(result, grad / logs.dtype.type(_add(kept)), result)
    result[~kept] = 0
    return result


def _nll_loss(input: Any, target: Any, weight: Any, reduction: str, ignore_index: int) -> Any:
    classes = input.shape[1]
    if ignore_index < 0 and weight is None and input.ndim == 2 and _inside(target, classes):
        picked = input[_arange(input.shape[0]), target]
        if reduction == "none":
            return np.negative(picked)
        return -_add(picked) / input.shape[0] if reduction == "mean" else -_add(picked)
    kept, safe = _kept(target, classes, ignore_index)
    picked = np.take_along_axis(input, np.expand_dims(safe, 1), 1).reshape(target.shape)
    factors = kept.astype(input.dtype) if weight is None else np.where(kept, weight[safe], 0).astype(input.dtype)
    losses = np.where(kept, -picked * factors, 0).astype(input.dtype)
    if reduction == "none":
        return losses
    total = _add(losses, None)
    return total / _add(factors, None) if reduction == "mean" else total


def _nll_loss_backward(grad: Any, target: Any, weight: Any, reduction: str, ignore_index: int, shape: Any) -> Any:
    result = np.zeros(shape, grad.dtype)
    if ignore_index < 0 and weight is None and len(shape) == 2 and _inside(target, shape[1]):
        result[_arange(shape[0]), target] = -grad / shape[0] if reduction == "mean" else -grad
        return result
    kept, safe = _kept(target, shape[1], ignore_index)
    factors = kept.astype(grad.dtype) if weight is None else np.where(kept, weight[safe], 0).astype(grad.dtype)
    if reduction == "mean":
        factors = factors / _add(factors, None)
    np.put_along_axis(result, np.expand_dims(safe, 1), np.expand_dims(np.where(kept, -factors * grad, 0), 1), 1)
    return result


def _mse_loss(input: Any, target: Any, reduction: str) -> Any:
    difference = np.asarray(input - target)
    np.multiply(difference, difference, difference)
    if reduction == "none":
        return difference
    total = _add(difference, None)
    return total / difference.size if reduction == "mean" else total


KERNELS: dict[str, Any] = {
    "cross_entropy_mean": quiet(_cross_entropy_mean),
    "cross_entropy_mean_backward": quiet(_cross_entropy_mean_backward),
    "nll_loss": quiet(_nll_loss),
    "nll_loss_backward": quiet(_nll_loss_backward),
    "mse_loss": quiet(_mse_loss),
}
