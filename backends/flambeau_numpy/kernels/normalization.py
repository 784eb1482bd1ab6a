"""Normalisation and its gradients, in few passes: each array is read as rows of what is normalised together."""

from __future__ import annotations

from typing import Any

import numpy as np

from flambeau_numpy.quiet import quiet

_add = np.add.reduce


def _rows(a: Any, count: int) -> Any:
    return a.reshape(-1, count) if count else a.reshape(0, 0)


def _size(shape: Any) -> int:
    size = 1
    for each in shape:
        size *= each
    return size


def _standardise(rows: Any, eps: float) -> tuple[Any, Any, Any]:
    """(new array of rows with mean 0 and variance 1, mean, reciprocal standard deviation)."""
    count = rows.shape[1]
    mean = _add(rows, 1, None, None, True) / count
    centred = rows - mean
    rstd = np.einsum("ij,ij->i", centred, centred)[:, None] / count
    rstd += eps
    np.sqrt(rstd, rstd)
    np.reciprocal(rstd, rstd)
    centred *= rstd
    return centred, mean, rstd


def _layer_norm(input: Any, size: Any, weight: Any, bias: Any, eps: float) -> Any:
    outer = input.shape[:input.ndim - len(size)]
    result, mean, rstd = _standardise(_rows(input, _size(size)), eps)
    result = result.reshape(input.shape)
    if weight is not None:
        np.multiply(result, weight, result)
    if bias is not None:
        np.add(result, bias, result)
    kept = outer + (1,) * len(size)
    return result, mean.reshape(kept), rstd.reshape(kept)


def _rows_gradient(scaled: Any, normal: Any, rstd: Any, count: int) -> Any:
    """rstd * (g - mean(g) - normal * mean(g * normal)); writes over `normal`."""
    along = np.einsum("ij,ij->i", scaled, normal)[:, None]
    along /= count
    normal *= along
    normal += _add(scaled, 1, None, None, True) / count
    np.subtract(scaled, normal, normal)
    normal *= rstd
    return normal


def _layer_norm_backward(grad: Any, input: Any, mean: Any, rstd: Any, weight: Any, size: Any, eps: float) -> Any:
    count = _size(size)
    rstd = rstd.reshape(-1, 1)
    g = _rows(grad, count)
    normal = _rows(input, count) - mean.reshape(-1, 1)
    normal *= rstd
    grad_weight = np.einsum("ij,ij->j", g, normal).reshape(size)
    grad_bias = _add(g, 0).reshape(size)
    scaled = g if weight is None else g * weight.reshape(-1)
    return _rows_gradient(scaled, normal, rstd, count).reshape(input.shape), grad_weight, grad_bias


def _rms_norm(input: Any, size: Any, weight: Any, eps: float) -> Any:
    count = _size(size)
    rows = _rows(input, count)
    rstd = np.einsum("ij,ij->i", rows, rows)[:, None] / count
    rstd += eps
    np.sqrt(rstd, rstd)
    np.reciprocal(rstd, rstd)
    result = (rows * rstd).reshape(input.shape)
    if weight is not None:
        np.multiply(result, weight, result)
    return result, rstd.reshape(input.shape[:input.ndim - len(size)] + (1,) * len(size))


def _batch_shape(a: Any) -> tuple[int, ...]:
    return (1, -1) + (1,) * (a.ndim - 2)


def _channel_sum(a: Any) -> Any:
    """The sum per channel: over rows for 2-D, else over positions first, which lie next to each other."""
    if a.ndim == 2:
        return _add(a, 0)
    return _add(_add(a.reshape(a.shape[0], a.shape[1], -1), 2), 0)


def _channel_dot(a: Any, b: Any) -> Any:
    if a.ndim == 2:
        return np.einsum("ij,ij->j", a, b)
    shape = (a.shape[0], a.shape[1], -1)
    return _add(np.einsum("ijk,ijk->ij", a.reshape(shape), b.reshape(shape)), 0)


def _batch_norm(input: Any, weight: Any, bias: Any, running_mean: Any, running_var: Any, training: bool,
                eps: float) -> Any:
    shape = _batch_shape(input)
    if training:
        count = input.size // input.shape[1]
        mean = _channel_sum(input) / count
        result = input - mean.reshape(shape)
        var = _channel_dot(result, result) / count
    else:
        mean, var = running_mean.copy(), running_var.copy()
        result = input - mean.reshape(shape)
    scale = 1 / np.sqrt(var + eps)
    if weight is not None:
        scale *= weight
    result *= scale.reshape(shape)
    if bias is not None:
        result += bias.reshape(shape)
    return result, mean, var


def _batch_norm_backward(grad: Any, input: Any, weight: Any, mean: Any, var: Any, training: bool, eps: float) -> Any:
    shape = _batch_shape(input)
    rstd = 1 / np.sqrt(var + eps)
    normal = input - mean.reshape(shape)
    normal *= rstd.reshape(shape)
    grad_weight, grad_bias = _channel_dot(grad, normal), _channel_sum(grad)
    scale = rstd if weight is None else rstd * weight
    if not training:
        return grad * scale.reshape(shape), grad_weight, grad_bias
    count = input.size // input.shape[1]
    normal *= (grad_weight / count).reshape(shape)
    normal += (grad_bias / count).reshape(shape)
    np.subtract(grad, normal, normal)
    normal *= scale.reshape(shape)
    return normal, grad_weight, grad_bias




KERNELS: dict[str, Any] = {
    "native_layer_norm": quiet(_layer_norm),
    "layer_norm_backward": quiet(_layer_norm_backward),
    "fused_rms_norm": quiet(_rms_norm),
    "native_batch_norm": quiet(_batch_norm),
    "batch_norm_backward": quiet(_batch_norm_backward),
}
