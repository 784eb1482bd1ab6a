"""Definitions of networks' operators: activations, losses, windows, normalizations, and of norms and statistics.

Written as the textbook has them, windows by loops: slow, and easily seen to be right.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from flambeau_conformance.definitions import Definition
from flambeau_conformance.oracle import Refused
from flambeau_conformance.oracle_numpy import _axis, _sigmoid, _softmax, _wide, each, floating

# ---------------------------------------------------------------------------------------------- activations
_SCALE, _ALPHA = 1.0507009873554804934193349852946, 1.6732632423543772848170429916717
_erf = each(math.erf)


def _elu(a: Any, alpha: float = 1.0, inplace: bool = False) -> Any:
    return np.where(a > 0, a, alpha * np.expm1(np.minimum(a, 0)))


def _gelu(a: Any, approximate: str = "none") -> Any:
    if np.isinf(a).any():
        return NotImplemented
    if approximate == "tanh":
        return a / 2 * (1 + np.tanh(math.sqrt(2 / math.pi) * (a + 0.044715 * a ** 3)))
    return a / 2 * (1 + _erf(a / math.sqrt(2)))


def _glu(a: Any, dim: int = -1) -> Any:
    first, second = np.split(a, 2, dim)
    return first * _sigmoid(second)


def _prelu(a: Any, weight: Any) -> Any:
    if weight.ndim == 1 and weight.size > 1 and a.ndim > 1:
        weight = weight.reshape(-1, *[1] * (a.ndim - 2))
    return np.where(a > 0, a, weight * a)


def _logit(a: Any, eps: Any = None) -> Any:
    a = a if eps is None else np.clip(a, eps, 1 - eps)
    return np.log(a / (1 - a))


ACTIVATIONS: dict[str, Definition] = {
    "celu": lambda a, alpha=1.0, inplace=False: np.where(a > 0, a, alpha * np.expm1(np.minimum(a, 0) / alpha)),
    "elu": _elu, "selu": lambda a, inplace=False: _SCALE * _elu(a, _ALPHA), "gelu": _gelu, "gelu_tanh": lambda a: _gelu(
        a, "tanh"), "glu": _glu, "prelu": _prelu, "prelu_kernel": lambda a, w: np.where(a > 0, a, w * a),
    "hardshrink": lambda a, lambd=0.5: np.where((a >= -lambd) & (a <= lambd), 0.0, a),
    "softshrink": lambda a, lambd=0.5: np.where(a > lambd, a - lambd, np.where(a < -lambd, a + lambd, a * 0)),
    "hardsigmoid": lambda a, inplace=False: np.clip(a / 6 + 0.5, 0, 1),
    "hardswish": lambda a, inplace=False: a * np.clip(a / 6 + 0.5, 0, 1),
    "hardtanh": lambda a, min_val=-1.0, max_val=1.0, inplace=False: np.clip(a, min_val, max_val)
    if a.dtype.kind == "f" else NotImplemented,
    "leaky_relu": lambda a, negative_slope=0.01, inplace=False: np.where(a > 0, a, a * negative_slope),
    "logsigmoid": lambda a: -np.logaddexp(0, -a), "softsign": floating(lambda a: a / (1 + np.abs(a))),
    "mish": lambda a, inplace=False: a * np.tanh(np.logaddexp(a, 0)),
    "relu6": lambda a, inplace=False: np.clip(a, 0, 6),
    "tanhshrink": floating(lambda a: a - np.tanh(a)), "logit": floating(_logit),
    "threshold": lambda a, threshold, value, inplace=False: np.where(a <= threshold, value, a)
    if a.dtype.kind == "f" else NotImplemented,
    "softmin": lambda a, dim=None, _stacklevel=3, dtype=None: _softmax(-a, dim) if dim is not None else NotImplemented,
    "relu_backward": lambda g, result: np.where(result > 0, g, 0), "tanh_backward": lambda g, y: g * (1 - y * y),
    "sigmoid_backward": lambda g, y: g * y * (1 - y),
    "silu_backward": lambda g, a: g * (_sigmoid(a) + a * _sigmoid(a) * (1 - _sigmoid(a))),
    "gelu_backward": lambda g, a: g * ((1 + _erf(a / math.sqrt(2))) / 2 + a * np.exp(-a * a / 2) / math.sqrt(
        2 * math.pi)),
    "softmax_backward_data": lambda g, y, dim: y * (g - (g * y).sum(dim, keepdims=True)),
    "log_softmax_backward_data": lambda g, y, dim: g - np.exp(y) * g.sum(dim, keepdims=True),
    "heaviside": lambda a, b: np.where(a == 0, b, (a > 0) * 1).astype(np.result_type(a, b)),
    "sgn": lambda a: np.where(a == 0, 0, a / np.where(a == 0, 1, np.abs(a))) if np.iscomplexobj(a) else np.sign(a),
    "conj_physical": np.conj, "polar": lambda r, t: r * np.exp(1j * t), "ldexp": lambda a, b: a * 2.0 ** b,
    "float_power": lambda a, b: np.float_power(a, b),
    "div_floor": np.floor_divide, "isreal": np.isreal,
    "isclose": lambda a, b, rtol=1e-5, atol=1e-8, equal_nan=False: (a == b) | (np.abs(a - b) <= atol + np.abs(
        rtol * b)) | (equal_nan & (a != a) & (b != b)) if a.dtype.kind in "fc" else NotImplemented,
    "nan_to_num": lambda a, nan=0.0, posinf=None, neginf=None: np.nan_to_num(a, nan=nan, posinf=posinf, neginf=neginf)
    if None not in (posinf, neginf) else NotImplemented,
}


# ---------------------------------------------------------------------------------------------- losses
def _reduced(values: Any, reduction: str) -> Any:
    if reduction == "batchmean":
        return values.sum() / values.shape[0]
    return {"none": lambda: values, "mean": values.mean, "sum": values.sum}[reduction]()


def _loss(element: Any) -> Definition:
    """A loss from its elements: of input, target and what else it takes."""
    def call(*args: Any, reduction: str = "mean", weight: Any = None, **options: Any) -> Any:
        values = element(*args, **options)
        if weight is None:
            return _reduced(values, reduction)
        if reduction == "mean":
            return (values * weight).sum() / np.broadcast_to(weight, values.shape).sum()
        return _reduced(values * weight, reduction)
    return call


def _huber(a: Any, b: Any, reduction: str = "mean", delta: float = 1.0, weight: Any = None) -> Any:
    off = np.abs(a - b)
    values = np.where(off <= delta, off * off / 2, delta * (off - delta / 2))
    return _reduced(values if weight is None else values * weight, reduction)


def _smooth(a: Any, b: Any, beta: float = 1.0) -> Any:
    off = np.abs(a - b)
    return off if beta == 0 else np.where(off < beta, off * off / 2 / beta, off - beta / 2)


def _bce(p: Any, t: Any, weight: Any = None, reduction: str = "mean") -> Any:
    values = -(t * np.maximum(np.log(p), -100) + (1 - t) * np.maximum(np.log1p(-p), -100))
    return _reduced(values if weight is None else values * weight, reduction)


def _bce_with_logits(a: Any, t: Any, weight: Any = None, reduction: str = "mean", pos_weight: Any = None) -> Any:
    values = (1 if pos_weight is None else pos_weight) * t * np.logaddexp(0, -a) + (1 - t) * np.logaddexp(0, a)
    return _reduced(values if weight is None else values * weight, reduction)


def _kl(a: Any, t: Any, log_target: bool = False) -> Any:
    return np.exp(t) * (t - a) if log_target else np.where(t > 0, t * np.log(np.where(t > 0, t, 1)), 0) - t * a


def _gaussian(a: Any, t: Any, var: Any, full: bool = False, eps: float = 1e-6) -> Any:
    var = np.asarray(var, np.float64)
    if var.shape != a.shape and var.ndim == a.ndim - 1 and var.shape == a.shape[:-1]:
        var = var[..., None]
    var = np.maximum(var, eps)
    return 0.5 * (np.log(var) + (a - t) ** 2 / var) + (0.5 * math.log(2 * math.pi) if full else 0)


def _poisson(a: Any, t: Any, log_input: bool = True, full: bool = False, eps: float = 1e-8) -> Any:
    values = np.exp(a) - t * a if log_input else a - t * np.log(a + eps)
    if full:
        large = np.where(t > 1, t, 2.0)
        values = values + np.where(t > 1, large * np.log(large) - large + 0.5 * np.log(2 * math.pi * large), 0)
    return values


def _cosine_loss(a: Any, b: Any, t: Any, margin: float = 0) -> Any:
    tiny = 1e-12
    cosine = (a * b).sum(-1) / np.sqrt(((a * a).sum(-1) + tiny) * ((b * b).sum(-1) + tiny))
    return np.where(t == 1, 1 - cosine, np.maximum(cosine - margin, 0))


def _triplet(a: Any, p: Any, n: Any, margin: float = 1.0, eps: float = 1e-6, swap: bool = False, **other: Any) -> Any:
    order = other.pop("p", 2)
    near, far = _pairwise(a, p, order, eps), _pairwise(a, n, order, eps)
    return np.maximum(near - (np.minimum(far, _pairwise(p, n, order, eps)) if swap else far) + margin, 0)


def _pairwise(a: Any, b: Any, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False) -> Any:
    return (np.abs(a - b + eps) ** p).sum(-1, keepdims=keepdim) ** (1 / p)


def _nll(a: Any, t: Any, weight: Any = None, ignore_index: int = -100, reduction: str = "mean") -> Any:
    if a.ndim == 1:
        a, t, reduction = a[None], t[None], "sum" if reduction == "none" else reduction
    weight = np.ones(a.shape[1]) if weight is None else weight
    if len(weight) != a.shape[1]:
        return NotImplemented
    values, weights = np.zeros(t.shape), np.zeros(t.shape)
    for place in np.ndindex(t.shape):
        if t[place] != ignore_index:
            weights[place] = weight[t[place]]
            values[place] = -a[(place[0], t[place], *place[1:])] * weights[place]
    return values.sum() / weights.sum() if reduction == "mean" else _reduced(values, reduction)


def _cross_entropy(a: Any, t: Any, weight: Any = None, ignore_index: int = -100, reduction: str = "mean",
                   label_smoothing: float = 0.0) -> Any:
    axis = 1 if a.ndim > 1 else 0
    logs = np.log(_softmax(a, axis))
    if t.dtype.kind != "f":
        return _nll(logs, t, weight, ignore_index, reduction) if not label_smoothing else NotImplemented
    t = t * (1 - label_smoothing) + label_smoothing / a.shape[axis]
    scale = 1 if weight is None else weight.reshape(-1, *[1] * (a.ndim - 2)) if a.ndim > 1 else weight
    values = -(logs * t * scale).sum(axis)
    return values.sum() / (values.size) if reduction == "mean" else _reduced(values, reduction)


LOSSES: dict[str, Definition] = {
    "mse_loss": _loss(lambda a, b: (a - b) ** 2), "l1_loss": _loss(lambda a, b: np.abs(a - b)),
    "smooth_l1_loss": _loss(_smooth), "huber_loss": _huber, "binary_cross_entropy": _bce,
    "binary_cross_entropy_with_logits": _bce_with_logits, "kl_div": _loss(_kl), "nll_loss": _nll,
    "cross_entropy": _cross_entropy, "gaussian_nll_loss": _loss(_gaussian), "poisson_nll_loss": _loss(_poisson),
    "soft_margin_loss": _loss(lambda a, t: np.log1p(np.exp(-t * a))), "cosine_embedding_loss": _loss(_cosine_loss),
    "hinge_embedding_loss": _loss(lambda a, t, margin=1.0: np.where(t == 1, a, 0) + np.where(
        t == -1, np.maximum(margin - a, 0), 0)),
    "margin_ranking_loss": _loss(lambda a, b, t, margin=0: np.maximum(-t * (a - b) + margin, 0)),
    "triplet_margin_loss": _loss(_triplet),
}


# ---------------------------------------------------------------------------------------------- windows
def _each_of(value: Any, count: int) -> tuple[int, ...]:
    return tuple(value) * (count if len(value) == 1 else 1) if isinstance(value, (tuple, list)) else (value,) * count


def _padded(a: Any, padding: tuple[int, ...], number: float) -> Any:
    return np.pad(a, [(0, 0)] * (a.ndim - len(padding)) + [(each, each) for each in padding], constant_values=number)


def _places(out: tuple[int, ...], kernel: tuple[int, ...], stride: tuple[int, ...], dilation: tuple[int, ...]
            ) -> Iterator[tuple[Any, Any]]:
    """(the place of an element of the result, the slices of its window) for each of them."""
    for place in np.ndindex(*out):
        yield (..., *place), (..., *[slice(p * s, p * s + d * (k - 1) + 1, d) for p, s, d, k in zip(
            place, stride, dilation, kernel, strict=True)])


def _out_sizes(sizes: tuple[int, ...], kernel: Any, stride: Any, padding: Any, dilation: Any) -> tuple[int, ...]:
    return tuple((size + 2 * p - d * (k - 1) - 1) // s + 1 for size, k, s, p, d in zip(
        sizes, kernel, stride, padding, dilation, strict=True))


def _pool(count: int, mean: bool) -> Definition:
    """Windows that all lie within the padded input; ceil_mode is for another oracle."""
    def call(a: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1, **options: Any) -> Any:
        whole = options.get("count_include_pad", True)
        if options.get("ceil_mode") or options.get("return_indices") or a.ndim < count or a.dtype.kind != "f":
            return NotImplemented
        kernel, padding, dilation = (_each_of(each, count) for each in (kernel_size, padding, dilation))
        stride = kernel if stride is None else _each_of(stride, count)
        axes = tuple(range(-count, 0))
        padded = _padded(a, padding, 0 if mean else -np.inf)
        counted = np.ones_like(padded) if whole else _padded(np.ones_like(a), padding, 0)
        out = _out_sizes(a.shape[-count:], kernel, stride, padding, dilation)
        result = np.zeros((*a.shape[:-count], *out))
        for place, window in _places(out, kernel, stride, dilation):
            if mean:
                by = options.get("divisor_override") or counted[window].sum(axes)
                result[place] = padded[window].sum(axes) / by
            else:
                result[place] = padded[window].max(axes)
        return result
    return call


def _adaptive(count: int) -> Definition:
    def call(a: Any, output_size: Any) -> Any:
        wanted = [size if each is None else each for each, size in zip(
            _each_of(output_size, count), a.shape[-count:], strict=True)]
        result = np.zeros((*a.shape[:-count], *wanted), a.dtype)
        for place in np.ndindex(*wanted):
            window = tuple(slice(p * size // out, -(-(p + 1) * size // out)) for p, size, out in zip(
                place, a.shape[-count:], wanted, strict=True))
            result[(..., *place)] = a[(..., *window)].mean(tuple(range(-count, 0)))
        return result
    return call


def _conv(count: int) -> Definition:
    def call(a: Any, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1,
             groups: int = 1) -> Any:
        batched = a if a.ndim == count + 2 else a[None]
        if batched.shape[1] != weight.shape[1] * groups:
            return NotImplemented
        kernel, stride, dilation = weight.shape[2:], _each_of(stride, count), _each_of(dilation, count)
        if padding == "same":
            lows = [d * (k - 1) // 2 for d, k in zip(dilation, kernel, strict=True)]
            pads = [(low, d * (k - 1) - low) for low, d, k in zip(lows, dilation, kernel, strict=True)]
        else:
            pads = [(p, p) for p in _each_of(0 if padding == "valid" else padding, count)]
        padded = np.pad(batched, [(0, 0), (0, 0), *pads])
        out = _out_sizes(padded.shape[2:], kernel, stride, (0,) * count, dilation)
        result = np.zeros((len(batched), len(weight), *out), np.result_type(a, weight))
        inside, outside = weight.shape[1], len(weight) // groups
        for place, window in _places(out, kernel, stride, dilation):
            for channel in range(len(weight)):
                first = channel // outside * inside
                seen = padded[:, first:first + inside][window]
                result[(slice(None), channel, *place[1:])] = (seen * weight[channel]).reshape(len(batched), -1).sum(-1)
        if bias is not None:
            result = result + bias.reshape(-1, *[1] * count)
        return result if a.ndim == count + 2 else result[0]
    return call


def _conv_transpose(count: int) -> Definition:
    def call(a: Any, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0, output_padding: Any = 0,
             groups: int = 1, dilation: Any = 1) -> Any:
        batched = a if a.ndim == count + 2 else a[None]
        kernel, stride, dilation, padding, more = (weight.shape[2:], *[_each_of(each, count) for each in (
            stride, dilation, padding, output_padding)])
        full = [(size - 1) * s + d * (k - 1) + 1 + o for size, s, d, k, o in zip(
            batched.shape[2:], stride, dilation, kernel, more, strict=True)]
        inside, outside = batched.shape[1] // groups, weight.shape[1]
        result = np.zeros((len(batched), outside * groups, *full), np.result_type(a, weight))
        for place, window in _places(batched.shape[2:], kernel, stride, dilation):
            for channel in range(batched.shape[1]):
                first = channel // inside * outside
                value = batched[(slice(None), channel, *place[1:])].reshape(-1, 1, *[1] * count)
                result[:, first:first + outside][window] += value * weight[channel]
        kept: tuple[Any, ...] = (..., *[slice(p, size - p) for p, size in zip(padding, full, strict=True)])
        result = result[kept]
        if bias is not None:
            result = result + bias.reshape(-1, *[1] * count)
        return result if a.ndim == count + 2 else result[0]
    return call


WINDOWS: dict[str, Definition] = {
    **{f"avg_pool{n}d": _pool(n, True) for n in (1, 2, 3)}, **{f"max_pool{n}d": _pool(n, False) for n in (1, 2, 3)},
    **{f"adaptive_avg_pool{n}d": _adaptive(n) for n in (1, 2, 3)}, **{f"conv{n}d": _conv(n) for n in (1, 2, 3)},
    **{f"conv_transpose{n}d": _conv_transpose(n) for n in (1, 2, 3)},
}


# ---------------------------------------------------------------------------------------------- normalizations
def _standardized(a: Any, axes: Any, eps: float) -> Any:
    return (a - a.mean(axes, keepdims=True)) / np.sqrt(a.var(axes, keepdims=True) + eps)


def _scaled(a: Any, weight: Any, bias: Any) -> Any:
    """Times and plus a number for each channel."""
    shape = (-1, *[1] * (a.ndim - 2))
    return a * (1 if weight is None else weight.reshape(shape)) + (0 if bias is None else bias.reshape(shape))


def _layer_norm(a: Any, normalized_shape: Any, weight: Any = None, bias: Any = None, eps: float = 1e-5) -> Any:
    if a.shape[-len(normalized_shape):] != tuple(normalized_shape):
        return NotImplemented
    found = _standardized(a, tuple(range(-len(normalized_shape), 0)), eps)
    return found * (1 if weight is None else weight) + (0 if bias is None else bias)


def _group_norm(a: Any, num_groups: int, weight: Any = None, bias: Any = None, eps: float = 1e-5) -> Any:
    return _scaled(_standardized(a.reshape(len(a), num_groups, -1), -1, eps).reshape(a.shape), weight, bias)


def _batch_norm(a: Any, mean: Any, var: Any, weight: Any = None, bias: Any = None, training: bool = False,
                momentum: float = 0.1, eps: float = 1e-5) -> Any:
    if training:
        return _scaled(_standardized(a, (0, *range(2, a.ndim)), eps), weight, bias)
    shape = (-1, *[1] * (a.ndim - 2))
    return _scaled((a - mean.reshape(shape)) / np.sqrt(var.reshape(shape) + eps), weight, bias)


def _native_batch_norm(a: Any, *others: Any) -> Any:
    if not a.size:
        raise Refused(ValueError("nothing has no mean"))
    return NotImplemented


def _instance_norm(a: Any, mean: Any = None, var: Any = None, weight: Any = None, bias: Any = None,
                   use_input_stats: bool = True, momentum: float = 0.1, eps: float = 1e-5) -> Any:
    if not use_input_stats:
        return _batch_norm(a, mean, var, weight, bias, False, momentum, eps)
    return _scaled(_standardized(a, tuple(range(2, a.ndim)), eps), weight, bias)


def _rms_norm(a: Any, normalized_shape: Any, weight: Any = None, eps: Any = None) -> Any:
    if eps is None:      # that of the dtype, which is not known here
        return NotImplemented
    axes = tuple(range(-len(normalized_shape), 0))
    return a / np.sqrt((a * a).mean(axes, keepdims=True) + eps) * (1 if weight is None else weight)


def _attention(q: Any, k: Any, v: Any, attn_mask: Any = None, dropout_p: float = 0.0, is_causal: bool = False,
               scale: Any = None, enable_gqa: bool = False) -> Any:
    if enable_gqa or dropout_p:
        return NotImplemented
    scores = q @ np.swapaxes(k, -1, -2) * (1 / math.sqrt(q.shape[-1]) if scale is None else scale)
    if is_causal:
        attn_mask = np.tril(np.ones(scores.shape[-2:], bool))
    if attn_mask is not None:
        scores = np.where(attn_mask, scores, -np.inf) if attn_mask.dtype == bool else scores + attn_mask
    hidden = np.all(np.isneginf(scores), axis=-1, keepdims=True)     # who may look at nothing sees nothing
    return np.where(hidden, 0, _softmax(np.where(hidden, 0, scores), -1)) @ v


def _embedding(indices: Any, weight: Any, padding_idx: Any = None, max_norm: Any = None, **options: Any) -> Any:
    return weight[indices] if max_norm is None else NotImplemented


# ---------------------------------------------------------------------------------------------- norms, products
def _vector_norm(a: Any, ord: float = 2, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Any:
    size = np.abs(a if dtype is None else a.astype(_wide(dtype)))
    axis = _axis(dim)
    if ord == 0:
        return (size != 0).sum(axis, keepdims=keepdim) * 1.0
    if math.isinf(ord):
        return (size.max if ord > 0 else size.min)(axis, keepdims=keepdim)
    return (size ** ord).sum(axis, keepdims=keepdim) ** (1 / ord)


def _matrix_norm(a: Any, ord: Any = "fro", dim: Any = (-2, -1), keepdim: bool = False, *, dtype: Any = None) -> Any:
    moved = np.moveaxis(a, dim, (-2, -1))
    found = np.linalg.norm(moved, ord, (-2, -1))
    return np.expand_dims(found, sorted(each % a.ndim for each in dim)) if keepdim else found


def _cosine(a: Any, b: Any, dim: int = 1, eps: float = 1e-8) -> Any:
    return (a * b).sum(dim) / np.maximum(np.sqrt((a * a).sum(dim)), eps) / np.maximum(np.sqrt((b * b).sum(dim)), eps)


def _median(a: Any, dim: Any = None, keepdim: bool = False) -> Any:
    if dim is not None or keepdim or not a.size:
        return NotImplemented
    return np.sort(a, axis=None)[(a.size - 1) // 2] if not np.isnan(a).any() else a.dtype.type(np.nan)


def _quantile(function: Any) -> Definition:
    def call(a: Any, q: Any, dim: Any = None, keepdim: bool = False, *, interpolation: str = "linear") -> Any:
        if interpolation == "nearest":     # a tie is the dtype's rounding to decide
            return NotImplemented
        return function(a, q, axis=dim, keepdims=keepdim, method=interpolation)
    return call


def _mean_and(function: Any) -> Definition:
    def call(a: Any, dim: Any = None, unbiased: Any = None, keepdim: bool = False, *, correction: Any = None) -> Any:
        if isinstance(dim, bool):
            dim, unbiased = None, dim
        ddof = correction if correction is not None else 1 if unbiased is None else int(unbiased)
        return (function(a, axis=_axis(dim), ddof=ddof, keepdims=keepdim), a.mean(_axis(dim), keepdims=keepdim))
    return call


def _einsum(equation: Any, *operands: Any) -> Any:
    if isinstance(equation, str):
        return np.einsum(equation, *(operands[0] if isinstance(operands[0], (list, tuple)) else operands))
    return np.einsum(equation, *[list(each) if isinstance(each, (list, tuple)) else each for each in operands])


def _cov(a: Any, *, correction: int = 1, fweights: Any = None, aweights: Any = None) -> Any:
    return np.cov(a, ddof=correction, fweights=fweights, aweights=aweights)


def _cross(a: Any, b: Any, dim: Any = -1) -> Any:
    return np.cross(a, b, axis=dim) if dim is not None else NotImplemented


def _power(a: Any, n: int) -> Any:
    return np.linalg.matrix_power(a, n)


def _trapezoid(y: Any, x: Any = None, *, dx: Any = None, dim: int = -1) -> Any:
    return np.trapezoid(y, x, 1.0 if dx is None else dx, dim) if y.dtype.kind in "fc" else NotImplemented


def _randint_like(a: Any, low: int, high: Any = None, **options: Any) -> Any:
    most = (low if high is None else high) - 1
    if np.iscomplexobj(a) or (a.dtype == bool and most > 1):
        raise Refused(RuntimeError("not a dtype for these integers"))
    return NotImplemented


OTHERS: dict[str, Definition] = {
    "pairwise_distance": _pairwise, "layer_norm": _layer_norm, "group_norm": _group_norm,
    "batch_norm": _batch_norm, "instance_norm": _instance_norm,
    "rms_norm": _rms_norm, "native_batch_norm": _native_batch_norm, "scaled_dot_product_attention": _attention,
    "embedding": _embedding, "linalg_vector_norm": _vector_norm, "linalg_matrix_norm": _matrix_norm,
    "dist": lambda a, b, p=2: _vector_norm(a - b, p), "cosine_similarity": _cosine, "median": _median,
    "normalize": lambda a, p=2.0, dim=1, eps=1e-12: a / np.maximum(_vector_norm(a, p, dim, True), eps),
    "nanmean": lambda a, dim=None, keepdim=False, *, dtype=None: np.nanmean(a, axis=_axis(dim), keepdims=keepdim),
    "quantile": _quantile(np.quantile), "nanquantile": _quantile(np.nanquantile), "std_mean": _mean_and(np.std),
    "var_mean": _mean_and(np.var), "einsum": _einsum, "cov": _cov, "corrcoef": np.corrcoef, "trapezoid": _trapezoid,
    "tensordot": lambda a, b, dims=2: np.tensordot(a, b, dims), "inner": np.inner, "vdot": np.vdot,
    "addmv": lambda a, m, v, beta=1, alpha=1: beta * a + alpha * (m @ v),
    "addr": lambda a, v, w, beta=1, alpha=1: beta * a + alpha * np.outer(v, w),
    "baddbmm": lambda a, b, c, beta=1, alpha=1: beta * a + alpha * (b @ c),
    "addbmm": lambda a, b, c, beta=1, alpha=1: beta * a + alpha * (b @ c).sum(0),
    "bilinear": lambda a, b, w, bias=None: np.einsum("...i,oij,...j->...o", a, w, b) + (0 if bias is None else bias),
    "chain_matmul": lambda *parts: np.linalg.multi_dot(parts), "linalg_multi_dot": np.linalg.multi_dot,
    "cross": _cross, "linalg_cross": _cross, "matrix_power": _power, "linalg_matrix_power": _power,
    "det": np.linalg.det, "inverse": np.linalg.inv, "pinverse": lambda a, rcond=1e-15: np.linalg.pinv(a, rcond),
    "cholesky": lambda a, upper=False: np.conj(np.swapaxes(np.linalg.cholesky(a), -1, -2)) if upper
    else np.linalg.cholesky(a), "linalg_eigvalsh": lambda a, UPLO="L": np.linalg.eigvalsh(a, UPLO),
    "linalg_svdvals": lambda a, *, driver=None: np.linalg.svd(a, compute_uv=False), "logdet": lambda a: np.log(
        np.linalg.det(a)), "linalg_tensorinv": lambda a, ind=2: np.linalg.tensorinv(a, ind),
    "linalg_vecdot": lambda a, b, *, dim=-1: (np.conj(a) * b).sum(dim),
    "logcumsumexp": lambda a, dim: np.log(np.cumsum(np.exp(a), dim)), "randint_like": _randint_like,
}

def _widened(definition: Definition) -> Definition:
    """NumPy's functions of small integers give half precision."""
    def call(*args: Any, **kwargs: Any) -> Any:
        def wide(leaf: Any) -> Any:
            return leaf.astype(np.int64) if isinstance(leaf, np.ndarray) and leaf.dtype.kind in "iu" else leaf
        return definition(*[wide(each) for each in args], **{name: wide(each) for name, each in kwargs.items()})
    return call


DEFINITIONS: dict[str, Definition] = {
    **{name: _widened(definition) for name, definition in {**ACTIVATIONS, **LOSSES}.items()}, **WINDOWS, **OTHERS}
