"""Normalisation: over the last dimensions, over groups of channels, over the batch.

Layer, group and batch normalisation are one computation over different dimensions. Each core gives its result with
the statistics it used (mean and reciprocal standard deviation, or variance), so that the gradient need not compute
them again; the gradients are operators with decompositions of their own, which the higher derivatives go through.
"""

from __future__ import annotations

from typing import Any

from flambeau import dispatch, shapes
from flambeau.errors import ArgumentError, ArgumentValueError, DtypeError, ShapeError, UnsupportedDtypeError
from flambeau.ops import _faces, _normalization_samples as samples
from flambeau.ops.rules import conj
from flambeau.shapes import Shape, describe
from flambeau.tensor import Tensor

_STATISTICS = ("result", "mean", "rstd")
_GRADIENTS = ("grad_input", "grad_weight", "grad_bias")


def _check_floating(op: str, input: Tensor, complex_too: bool = False) -> None:
    if not isinstance(input, Tensor):
        _faces.as_tensor_argument(op, "input", input)
    if not (input._kind.dtype.is_floating_point or (complex_too and input._kind.differentiable)):
        raise UnsupportedDtypeError(f"{op}: \"{op}\" not implemented for "
                                    f"'{_faces.scalar_name(input._kind.dtype)}'; convert the input, for example to "
                                    "torch.float32")


def _standardised(input: Tensor, dims: Shape, eps: float) -> tuple[Tensor, Tensor, Tensor]:
    """(input with mean 0 and variance 1, mean, reciprocal standard deviation) over `dims`, which are kept."""
    mean = input.mean(dims, keepdim=True)
    centred = input - mean
    rstd = ((centred * centred).mean(dims, keepdim=True) + eps).rsqrt()
    return centred * rstd, mean, rstd


def _input_gradient(g: Tensor, normal: Tensor, rstd: Tensor, dims: Shape) -> Tensor:
    """The gradient through `_standardised`, statistics included."""
    along = (g * normal).mean(dims, keepdim=True)
    return rstd * (g - g.mean(dims, keepdim=True) - normal * along)


def _statistics_gradient(input: Tensor, dims: Shape, eps: float, g_mean: Tensor | None,
                         g_rstd: Tensor | None) -> Tensor:
    """The gradient through the mean and the reciprocal standard deviation alone."""
    count = _faces.count(input._array.shape, dims)
    result = 0 * input if g_mean is None else (g_mean / count).expand(input._array.shape)
    if g_rstd is None:
        return result
    normal, _, rstd = _standardised(input, dims, eps)
    return result - g_rstd * rstd * rstd * normal / count


# ----------------------------------------------------------------------------- over the last dimensions
def _last(input: Tensor, normalized_shape: Shape) -> Shape:
    ndim = len(input._array.shape)
    return tuple(range(ndim - len(normalized_shape), ndim))


@dispatch.operator(outputs=_GRADIENTS, method=False, samples=samples.layer_norm_backward)
def _layer_norm_backward(grad: Tensor, input: Tensor, mean: Tensor, rstd: Tensor, weight: Tensor | None,
                         normalized_shape: Shape, eps: float) -> tuple[Tensor, Tensor, Tensor]:
    """The gradients of layer_norm. The statistics are computed anew, since they depend on the input."""
    dims = _last(input, normalized_shape)
    normal, _, rstd = _standardised(input, dims, eps)
    others = tuple(range(len(input._array.shape) - len(normalized_shape)))
    products = grad * normal
    scaled = grad if weight is None else grad * weight
    if others:
        return _input_gradient(scaled, normal, rstd, dims), products.sum(others), grad.sum(others)
    return _input_gradient(scaled, normal, rstd, dims), products, grad.clone()


@dispatch.operator(outputs=_STATISTICS, samples=samples.native_layer_norm, method=False, vjp={
    ("input", "weight", "bias"): lambda g, input, mean, rstd, weight, normalized_shape, eps, needs:
        _layer_norm_gradients(g[0], input, mean, rstd, weight, normalized_shape, eps, needs)})
def _native_layer_norm(input: Tensor, normalized_shape: Shape, weight: Tensor | None, bias: Tensor | None,
                       eps: float) -> tuple[Tensor, Tensor, Tensor]:
    """Mean 0 and variance 1 over the last dimensions, then scaled and shifted element by element."""
    normal, mean, rstd = _standardised(input, _last(input, normalized_shape), eps)
    if weight is not None:
        normal = normal * weight
    return normal if bias is None else normal + bias, mean, rstd


def _layer_norm_gradients(g: Any, input: Tensor, mean: Tensor, rstd: Tensor, weight: Tensor | None,
                          normalized_shape: Shape, eps: float, needs: tuple[bool, ...]) -> Any:
    if g is None:
        return None, None, None
    gradients = _layer_norm_backward(g, input, mean.detach(), rstd.detach(), weight, normalized_shape, eps)
    return [each if needed else None for each, needed in zip(gradients, needs, strict=True)]


def _check_normalized(op: str, input: Tensor, normalized_shape: Any, weight: Tensor | None,
                      bias: Tensor | None) -> Shape:
    _check_floating(op, input, op == "rms_norm")
    size = normalized_shape if normalized_shape.__class__ is tuple else tuple(shapes.as_shape(normalized_shape, op))
    if not size:
        raise ShapeError(f"{op}: Expected normalized_shape to be at least 1-dimensional, i.e., containing at least "
                         "one element, but got normalized_shape = []")
    if input._array.shape[-len(size):] != size:
        raise ShapeError(f"Given normalized_shape={list(size)}, expected input with shape [*, "
                         f"{', '.join(map(str, size))}], but got input of size{list(input._array.shape)}; {op} "
                         "normalises the last dimensions")
    for name, each in (("weight", weight), ("bias", bias)):
        if each is not None and each._array.shape != size:
            raise ShapeError(f"{op}: Expected {name} to be of same shape as normalized_shape, but got {name} of shape "
                             f"{describe(each._array.shape)} and normalized_shape = {list(size)}")
    return size


@dispatch.composite(method=False, samples=samples.layer_norm)
def layer_norm(input: Tensor, normalized_shape: Any, weight: Tensor | None = None, bias: Tensor | None = None,
               eps: float = 1e-05, cudnn_enable: bool = True) -> Tensor:
    """Mean 0 and variance 1 over the last dimensions (`normalized_shape`), then times `weight` plus `bias`.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.layer_norm.html

    >>> import flambeau as torch
    >>> torch.nn.functional.layer_norm(torch.tensor([[1., 3.]]), (2,))
    tensor([[-1.0000,  1.0000]])
    """
    size = _check_normalized("layer_norm", input, normalized_shape, weight, bias)
    return _native_layer_norm(input, size, weight, bias, eps)[0]


@dispatch.front(_native_layer_norm)
def native_layer_norm(input: Tensor, normalized_shape: Any, weight: Tensor | None, bias: Tensor | None,
                      eps: float) -> tuple[Tensor, Tensor, Tensor]:
    """`layer_norm` with the statistics it used: (result, mean, reciprocal standard deviation), both detached."""
    size = _check_normalized("native_layer_norm", input, normalized_shape, weight, bias)
    result, mean, rstd = _native_layer_norm(input, size, weight, bias, eps)
    return result, mean.detach(), rstd.detach()


@dispatch.operator(outputs=_GRADIENTS[:2], method=False, samples=samples.rms_norm_backward)
def _rms_norm_backward(grad: Tensor, input: Tensor, rstd: Tensor, weight: Tensor | None, normalized_shape: Shape,
                       eps: float) -> tuple[Tensor, Tensor]:
    """The gradients of rms_norm."""
    dims = _last(input, normalized_shape)
    rstd = conj(((input * input).mean(dims, keepdim=True) + eps).rsqrt())
    normal = conj(input) * rstd
    scaled = grad if weight is None else grad * conj(weight)
    others = tuple(range(len(input._array.shape) - len(normalized_shape)))
    products = grad * normal
    return (rstd * (scaled - normal * (scaled * normal).mean(dims, keepdim=True)),
            products.sum(others) if others else products)


def _rms_norm_gradients(g: Any, input: Tensor, rstd: Tensor, weight: Tensor | None, normalized_shape: Shape,
                        eps: float, needs: tuple[bool, ...]) -> Any:
    inner, scale = (None, None) if g[0] is None else _rms_norm_backward(
        g[0], input, rstd.detach(), weight, normalized_shape, eps)
    if g[1] is not None and needs[0]:
        dims = _last(input, normalized_shape)
        power = ((input * input).mean(dims, keepdim=True) + eps).pow(-1.5)
        through = -g[1] * conj(power * input) / _faces.count(input._array.shape, dims)
        inner = through if inner is None else inner + through
    return inner if needs[0] else None, scale if needs[1] else None


@dispatch.operator(outputs=("result", "rstd"), method=False, grad_name="FusedRmsNormBackward0",
                   samples=samples.fused_rms_norm, vjp={
    ("input", "weight"): lambda g, input, rstd, weight, normalized_shape, eps, needs:
        _rms_norm_gradients(g, input, rstd, weight, normalized_shape, eps, needs)})
def _fused_rms_norm(input: Tensor, normalized_shape: Shape, weight: Tensor | None,
                    eps: float) -> tuple[Tensor, Tensor]:
    """Divided by the root of the mean square over the last dimensions, then scaled."""
    rstd = ((input * input).mean(_last(input, normalized_shape), keepdim=True) + eps).rsqrt()
    normal = input * rstd
    return normal if weight is None else normal * weight, rstd


@dispatch.composite(method=False, samples=samples.rms_norm)
def rms_norm(input: Tensor, normalized_shape: Any, weight: Tensor | None = None, eps: float | None = None) -> Tensor:
    """Divide by the root of the mean square over the last dimensions; `eps` is by default the dtype's epsilon.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.rms_norm.html

    >>> import flambeau as torch
    >>> torch.nn.functional.rms_norm(torch.tensor([[3., 3.]]), (2,))
    tensor([[1., 1.]])
    """
    size = _check_normalized("rms_norm", input, normalized_shape, weight, None)
    if eps is None:
        eps = 2.0**-52 if input._kind.dtype.name in ("float64", "complex128") else 2.0**-23
    return _fused_rms_norm(input, size, weight, eps)[0]


# ---------------------------------------------------------------------------------------------- over groups of channels
def _per_channel(x: Tensor, ndim: int) -> Tensor:
    """A vector with one value per channel, shaped to broadcast over (batch, channel, ...)."""
    return x.reshape((1, -1) + (1,) * (ndim - 2))


def _grouped(input: Tensor, groups: int) -> Tensor:
    shape = input._array.shape
    return input.reshape((shape[0], groups, _faces.count(shape, range(1, len(shape))) // groups))


@dispatch.operator(outputs=_GRADIENTS, method=False, samples=samples.group_norm_backward)
def _group_norm_backward(grad: Tensor, input: Tensor, mean: Tensor, rstd: Tensor, weight: Tensor | None,
                         num_groups: int, eps: float) -> tuple[Tensor, Tensor, Tensor]:
    """The gradients of group_norm."""
    shape = input._array.shape
    others = (0, *range(2, len(shape)))
    normal, _, rstd = _standardised(_grouped(input, num_groups), (2,), eps)
    scaled = grad if weight is None else grad * _per_channel(weight, len(shape))
    inner = _input_gradient(_grouped(scaled, num_groups), normal, rstd, (2,)).reshape(shape)
    return inner, (grad * normal.reshape(shape)).sum(others), grad.sum(others)


def _group_norm_gradients(g: Any, input: Tensor, mean: Tensor, rstd: Tensor, weight: Tensor | None, num_groups: int,
                          eps: float, needs: tuple[bool, ...]) -> Any:
    gradients: list[Any] = [None, None, None]
    if g[0] is not None:
        gradients = list(_group_norm_backward(g[0], input, mean.detach(), rstd.detach(), weight, num_groups, eps))
    if needs[0] and (g[1] is not None or g[2] is not None):
        through = _statistics_gradient(_grouped(input, num_groups), (2,), eps, g[1], g[2]).reshape(input._array.shape)
        gradients[0] = through if gradients[0] is None else gradients[0] + through
    return [each if needed else None for each, needed in zip(gradients, needs, strict=True)]


@dispatch.operator(outputs=_STATISTICS, samples=samples.native_group_norm, method=False, vjp={
    ("input", "weight", "bias"): lambda g, input, mean, rstd, weight, num_groups, eps, needs:
        _group_norm_gradients(g, input, mean, rstd, weight, num_groups, eps, needs)})
def _native_group_norm(input: Tensor, num_groups: int, weight: Tensor | None, bias: Tensor | None,
                       eps: float) -> tuple[Tensor, Tensor, Tensor]:
    """Mean 0 and variance 1 over groups of channels of each sample, then scaled and shifted per channel."""
    ndim = len(input._array.shape)
    normal, mean, rstd = _standardised(_grouped(input, num_groups), (2,), eps)
    result = normal.reshape(input._array.shape)
    if weight is not None:
        result = result * _per_channel(weight, ndim)
    if bias is not None:
        result = result + _per_channel(bias, ndim)
    return result, mean, rstd


@dispatch.front(_native_group_norm)
def native_group_norm(input: Tensor, weight: Tensor | None, bias: Tensor | None, N: int, C: int, HxW: int, group: int,
                      eps: float) -> tuple[Tensor, Tensor, Tensor]:
    """`group_norm` with the statistics it used: (result, mean, reciprocal standard deviation), both (N, groups)."""
    _check_floating("native_group_norm", input)
    if input.numel() != N * C * HxW:
        raise ShapeError(f"native_group_norm: Expected X.numel() == N * C * HxW, but {input.numel()} is not {N} * {C} "
                         f"* {HxW}")
    result, mean, rstd = _native_group_norm(input, group, weight, bias, eps)
    return result, mean.reshape(N, group), rstd.reshape(N, group)


@dispatch.composite(method=False, samples=samples.group_norm)
def group_norm(input: Tensor, num_groups: int, weight: Tensor | None = None, bias: Tensor | None = None,
               eps: float = 1e-05, cudnn_enabled: bool = True) -> Tensor:
    """Normalise each sample over groups of its channels (dimension 1), then scale and shift per channel.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.group_norm.html

    >>> import flambeau as torch
    >>> torch.nn.functional.group_norm(torch.ones(2, 4, 3), 2).shape
    torch.Size([2, 4, 3])
    """
    _check_floating("group_norm", input)
    shape = input._array.shape
    if len(shape) < 2:
        raise ShapeError(f"Expected at least 2 dimensions for input tensor but received {len(shape)}; group_norm takes "
                         "(batch, channels, ...)")
    if num_groups <= 0 or shape[1] % num_groups:
        raise ShapeError("group_norm: Expected number of channels in input to be divisible by num_groups, but got "
                         f"input of shape {list(shape)} and num_groups={num_groups}")
    for name, each in (("weight", weight), ("bias", bias)):
        if each is not None and each._array.shape != (shape[1],):
            raise ShapeError(f"group_norm: Expected {name} to be a vector of size equal to the number of channels in "
                             f"input, but got {name} of shape {list(each._array.shape)} and input of shape "
                             f"{list(shape)}")
    _check_several("group_norm", shape, _faces.count(shape, range(2, len(shape))) * (shape[1] // num_groups) * shape[0])
    return _native_group_norm(input, num_groups, weight, bias, eps)[0]


# ---------------------------------------------------------------------------------------------- over the batch
def _batch_dims(shape: Shape) -> Shape:
    return (0, *range(2, len(shape)))


@dispatch.operator(outputs=_GRADIENTS, method=False, samples=samples.batch_norm_backward)
def _batch_norm_backward(grad: Tensor, input: Tensor, weight: Tensor | None, mean: Tensor, var: Tensor,
                         training: bool, eps: float) -> tuple[Tensor, Tensor, Tensor]:
    """The gradients of batch_norm: through the batch's statistics in training, with fixed ones otherwise."""
    ndim, dims = len(input._array.shape), _batch_dims(input._array.shape)
    if training:
        normal, _, rstd = _standardised(input, dims, eps)
    else:
        rstd = (_per_channel(var, ndim) + eps).rsqrt()
        normal = (input - _per_channel(mean, ndim)) * rstd
    scaled = grad if weight is None else grad * _per_channel(weight, ndim)
    inner = _input_gradient(scaled, normal, rstd, dims) if training else scaled * rstd
    return inner, (grad * normal).sum(dims), grad.sum(dims)


def _batch_norm_gradients(g: Any, input: Tensor, weight: Tensor | None, mean: Tensor, var: Tensor, training: bool,
                          eps: float, needs: tuple[bool, ...]) -> Any:
    if g is None:
        return None, None, None
    gradients = _batch_norm_backward(g, input, weight, mean.detach(), var.detach(), training, eps)
    return [each if needed else None for each, needed in zip(gradients, needs, strict=True)]


@dispatch.operator(outputs=("result", "mean", "var"), samples=samples.native_batch_norm, method=False, vjp={
    ("input", "weight", "bias"): lambda g, input, weight, mean, var, training, eps, needs:
        _batch_norm_gradients(g[0], input, weight, mean, var, training, eps, needs)})
def _native_batch_norm(input: Tensor, weight: Tensor | None, bias: Tensor | None, running_mean: Tensor | None,
                       running_var: Tensor | None, training: bool, eps: float) -> tuple[Tensor, Tensor, Tensor]:
    """Normalised per channel, with the mean and variance that were used: the batch's in training, else the given."""
    ndim, dims = len(input._array.shape), _batch_dims(input._array.shape)
    if training:
        mean = input.mean(dims)
        centred = input - _per_channel(mean, ndim)
        var = (centred * centred).mean(dims)
    else:
        assert running_mean is not None and running_var is not None
        mean, var = running_mean.clone(), running_var.clone()
        centred = input - _per_channel(mean, ndim)
    scale = (var + eps).rsqrt() if weight is None else (var + eps).rsqrt() * weight
    result = centred * _per_channel(scale, ndim)
    return result if bias is None else result + _per_channel(bias, ndim), mean, var


def _check_several(op: str, shape: Shape, count: int) -> None:
    if count == 1:
        raise ArgumentValueError(f"Expected more than 1 value per channel when training, got input size "
                                 f"{shapes.Size(shape)}; {op} cannot take the variance of one value")


def _update(running_mean: Tensor | None, running_var: Tensor | None, mean: Tensor, var: Tensor, momentum: float,
            count: int) -> None:
    """Move the running statistics towards the batch's, with its unbiased variance."""
    if running_mean is not None:
        running_mean.mul_(1 - momentum).add_(mean.detach().to(running_mean._kind.dtype) * momentum)
    if running_var is not None:
        unbiased = momentum * count / (count - 1) if count > 1 else float("nan")
        running_var.mul_(1 - momentum).add_(var.detach().to(running_var._kind.dtype) * unbiased)


def _nothing_normalised(input: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
    """What batch_norm gives for no elements: they, connected to the parameters; running statistics stay."""
    result = input.clone()
    if weight is not None and weight.numel():
        result = result * weight[0]
    return result if bias is None or not bias.numel() else result + bias[0]


@dispatch.front(_native_batch_norm, out=True)
def native_batch_norm(input: Tensor, weight: Tensor | None, bias: Tensor | None, running_mean: Tensor | None,
                      running_var: Tensor | None, training: bool, momentum: float,
                      eps: float) -> tuple[Tensor, Tensor, Tensor]:
    """`batch_norm` with the statistics it used: (result, mean, reciprocal standard deviation), empty in evaluation.

    The statistics are detached.
    """
    _check_floating("native_batch_norm", input)
    shape = input._array.shape
    result, mean, var = _native_batch_norm(input, weight, bias, running_mean, running_var, training, eps)
    if not training:
        return result, input.new_empty((0,)), input.new_empty((0,))
    _update(running_mean, running_var, mean, var, momentum, _faces.count(shape, _batch_dims(shape)))
    return result, mean.detach(), (var.detach() + eps).rsqrt()


@dispatch.composite(namespace="nn.functional", method=False, samples=samples.batch_norm)
def batch_norm(input: Tensor, running_mean: Tensor | None, running_var: Tensor | None, weight: Tensor | None = None,
               bias: Tensor | None = None, training: bool = False, momentum: float = 0.1, eps: float = 1e-05,
               cudnn_enabled: bool = True) -> Tensor:
    """Normalise each channel (dimension 1) over everything else, then scale and shift it.

    In training the batch's own mean and variance are used, and the running ones moved towards them in place by
    `momentum`; otherwise the running ones are used.
    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.batch_norm.html

    >>> import flambeau as torch
    >>> torch.nn.functional.batch_norm(torch.tensor([[1.], [3.]]), None, None, training=True)
    tensor([[-1.0000],
            [ 1.0000]])
    """
    _check_floating("batch_norm", input)
    shape = input._array.shape
    if 0 in shape:
        return _nothing_normalised(input, weight, bias)
    if len(shape) < 2:
        raise ShapeError(f"batch_norm: input must have at least 2 dimensions; given: {list(shape)}")
    for name, each in (("running_mean", running_mean), ("running_var", running_var), ("weight", weight),
                       ("bias", bias)):
        if each is not None and each._array.shape != (shape[1],):
            raise ShapeError(f"batch_norm: {name} should contain {shape[1]} elements not {each.numel()}")
    if not training and (running_mean is None or running_var is None):
        raise ArgumentError("batch_norm: Expected running_mean and running_var to be defined when training=False; "
                            "give them, or training=True")
    count = _faces.count(shape, _batch_dims(shape))
    if training:
        _check_several("batch_norm", shape, count)
    result, mean, var = _native_batch_norm(input, weight, bias, running_mean, running_var, training, eps)
    if training and (running_mean is not None or running_var is not None):
        _update(running_mean, running_var, mean, var, momentum, count)
    return result


@dispatch.composite(namespace="nn.functional", method=False, samples=samples.instance_norm)
def instance_norm(input: Tensor, running_mean: Tensor | None = None, running_var: Tensor | None = None,
                  weight: Tensor | None = None, bias: Tensor | None = None, use_input_stats: bool = True,
                  momentum: float = 0.1, eps: float = 1e-05, cudnn_enabled: bool = True) -> Tensor:
    """Normalise each channel of each sample by itself, then scale and shift it per channel.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.instance_norm.html

    >>> import flambeau as torch
    >>> torch.nn.functional.instance_norm(torch.tensor([[[1., 3.]]]))
    tensor([[[-1.0000,  1.0000]]])
    """
    shape = input._array.shape
    if len(shape) < 3:
        raise ShapeError(f"instance_norm: input must be (batch, channels, ...); given: {list(shape)}")
    batch, channels = shape[:2]
    if not use_input_stats:
        return batch_norm(input, running_mean, running_var, weight, bias, False, momentum, eps)
    if _faces.count(shape, range(2, len(shape))) == 1:
        raise ArgumentValueError("Expected more than 1 spatial element when training, got input size "
                                 f"{shapes.Size(shape)}")
    flat = input.reshape((1, batch * channels, *shape[2:]))
    repeated = [None if each is None else each.repeat(batch) for each in (running_mean, running_var, weight, bias)]
    result = batch_norm(flat, repeated[0], repeated[1], repeated[2], repeated[3], True, momentum, eps)
    for running, seen in ((running_mean, repeated[0]), (running_var, repeated[1])):
        if running is not None and seen is not None:
            running.copy_(seen.reshape(batch, channels).mean(0))
    return result.reshape(shape)


# ---------------------------------------------------------------------------------------------- by neighbours and norms
@dispatch.composite(namespace="nn.functional", method=False, samples=samples.local_response_norm)
def local_response_norm(input: Tensor, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> Tensor:
    """Divide by (k + alpha * mean square over `size` neighbouring channels) ** beta.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.local_response_norm.html

    >>> import flambeau as torch
    >>> torch.nn.functional.local_response_norm(torch.zeros(1, 2, 3), 2).shape
    torch.Size([1, 2, 3])
    """
    if input.dim() < 3:
        raise ArgumentValueError(f"Expected 3D or higher dimensionality input (got {input.dim()} dimensions)")
    if input.numel() == 0:
        return input
    shape = input._array.shape
    squares = input * input
    before, channels = size // 2, shape[1]
    total = squares.new_zeros(shape)
    for offset in range(-before, size - before):
        low, high = max(0, -offset), min(channels, channels - offset)
        if high <= low:
            continue
        inner = squares.narrow(1, low + offset, high - low)
        parts = [inner]
        if low:
            parts.insert(0, squares.new_zeros((shape[0], low, *shape[2:])))
        if high < channels:
            parts.append(squares.new_zeros((shape[0], channels - high, *shape[2:])))
        total = total + (_cat(parts, 1) if len(parts) > 1 else inner)
    if not input._kind.differentiable:
        return input / (total.div(size, rounding_mode="trunc") * alpha + k) ** beta   # a mean of integers is one
    return input / (total * (alpha / size) + k) ** beta


def _cat(parts: list[Tensor], dim: int) -> Tensor:
    """`cat`, imported when first needed."""
    from flambeau.ops.joining import cat
    return cat(parts, dim)


@dispatch.composite(namespace="nn.functional", method=False, samples=samples.normalize)
def normalize(input: Tensor, p: float = 2.0, dim: Any = 1, eps: float = 1e-12, out: Tensor | None = None) -> Tensor:
    """Divide vectors along `dim` by their p-norm, or by `eps` where that is smaller.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.normalize.html

    >>> import flambeau as torch
    >>> torch.nn.functional.normalize(torch.tensor([[3., 4.]]))
    tensor([[0.6000, 0.8000]])
    """
    from flambeau.dispatch.run import write_out
    from flambeau.ops.norms import vector_norm
    result: Tensor = input / vector_norm(input, p, dim, keepdim=True).clamp(min=eps)
    return result if out is None else write_out("normalize", out, result)


@dispatch.composite(method=False, samples=samples.cosine_similarity)
def cosine_similarity(x1: Tensor, x2: Tensor, dim: int = 1, eps: float = 1e-8) -> Tensor:
    """The cosine of the angle between vectors along `dim`; norms below `eps` count as `eps`.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.cosine_similarity.html

    >>> import flambeau as torch
    >>> torch.cosine_similarity(torch.tensor([[1., 0.]]), torch.tensor([[1., 1.]]))
    tensor([0.7071])
    """
    from flambeau.ops.norms import vector_norm
    kind = (x1 if x1._kind.dtype.category >= x2._kind.dtype.category else x2)._kind.dtype
    if not kind.is_floating_point:
        raise DtypeError(f"expected common dtype to be floating point, yet common dtype is "
                         f"{_faces.scalar_name(kind)}; cosine_similarity needs floating inputs")
    shape = shapes.broadcast_shapes(x1._array.shape, x2._array.shape, op="cosine_similarity")
    x1, x2 = x1.expand(shape), x2.expand(shape)
    one = _at_least(vector_norm(x1, 2, dim, keepdim=True), eps)
    two = _at_least(vector_norm(x2, 2, dim, keepdim=True), eps)
    return ((x1 / one) * (x2 / two)).sum(dim)


def _at_least(norm: Tensor, eps: float) -> Tensor:
    """Clamped from below, but with the gradient of the norm itself, as in PyTorch."""
    plain = norm.detach()
    return norm + (plain.clamp(min=eps) - plain)


@dispatch.composite(method=False, samples=samples.pairwise_distance)
def pairwise_distance(x1: Tensor, x2: Tensor, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False) -> Tensor:
    """The p-norm of `x1 - x2 + eps` over the last dimension.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.pairwise_distance.html

    >>> import flambeau as torch
    >>> torch.pairwise_distance(torch.tensor([[3., 4.]]), torch.zeros(1, 2))
    tensor([5.0000])
    """
    from flambeau.ops.norms import vector_norm
    return vector_norm(x1 - x2 + eps, p, -1, keepdim=keepdim)


__all__ = [name for name, value in list(globals().items())
           if hasattr(value, "op") and value.op.namespace == "torch" and not name.startswith("_")]
