"""Convolutions as matrix products over gathered windows, in any number of spatial dimensions.

Windows of the padded input are a strided view; copying them gives a matrix whose product with the weights is the
result (im2col). Samples go through in chunks whose windows fit the cache.
"""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np

from flambeau_numpy.quiet import quiet
from flambeau_numpy.threads import product

Shape = tuple[int, ...]
CHUNK = 1 << 19  # elements of gathered windows at a time: about an L2 cache of float32


def pad(x: Any, padding: Shape, value: float = 0.0) -> Any:
    """The input with a border around its spatial dimensions."""
    if not any(padding):
        return x
    spatial = x.shape[2:]
    sizes = [size + 2 * each for size, each in zip(spatial, padding, strict=True)]
    out = np.full((*x.shape[:2], *sizes), value, x.dtype)
    out[(..., *(slice(each, each + size) for size, each in zip(spatial, padding, strict=True)))] = x
    return out


def out_shape(spatial: Shape, kernel: Shape, stride: Shape, dilation: Shape) -> Shape:
    """How many windows fit in each (padded) dimension."""
    return tuple([(size - step * (width - 1) - 1) // jump + 1
                  for size, width, jump, step in zip(spatial, kernel, stride, dilation, strict=True)])


def windows(x: Any, kernel: Shape, stride: Shape, dilation: Shape) -> Any:
    """A view (samples, channels, *kernel, *output) of all windows."""
    out = out_shape(x.shape[2:], kernel, stride, dilation)
    steps = x.strides[2:]
    strides = (*x.strides[:2], *(each * step for each, step in zip(steps, dilation, strict=True)),
               *(each * jump for each, jump in zip(steps, stride, strict=True)))
    return np.lib.stride_tricks.as_strided(x, (*x.shape[:2], *kernel, *out), strides, writeable=False)


def _chunks(samples: int, per_sample: int) -> Any:
    size = max(1, CHUNK // max(per_sample, 1))
    return [slice(low, min(low + size, samples)) for low in range(0, samples, size)]


def _plain(kernel: Shape, stride: Shape) -> bool:
    return all(each == 1 for each in kernel) and all(each == 1 for each in stride)


def convolution(x: Any, weight: Any, bias: Any, stride: Shape, padding: Shape, dilation: Shape, groups: int) -> Any:
    """Cross-correlation of (N, C, *in) with (O, C/groups, *kernel)."""
    x = pad(x, padding)
    samples, channels = x.shape[:2]
    kernel = weight.shape[2:]
    out = out_shape(x.shape[2:], kernel, stride, dilation)
    if min(out, default=1) <= 0:
        raise ValueError("Kernel size can't be greater than actual input size")
    length, depth = math.prod(out), math.prod(weight.shape[1:])
    w = weight.reshape(groups, weight.shape[0] // groups, depth)
    result = np.empty((samples, groups, w.shape[1], length), x.dtype)
    if _plain(kernel, stride):
        product(np.matmul, w.size * samples * length, w, x.reshape(samples, groups, depth, length), result)
    else:
        view = windows(x, kernel, stride, dilation)
        for part in _chunks(samples, channels * math.prod(kernel) * length):
            columns = view[part].reshape(part.stop - part.start, groups, depth, length)
            product(np.matmul, w.size * columns.shape[0] * length, w, columns, result[part])
    result = result.reshape(samples, weight.shape[0], *out)
    if bias is not None:
        result += bias.reshape(-1, *(1 for _ in out))
    return result


def convolution_weight_grad(x: Any, g: Any, kernel: Shape, stride: Shape, padding: Shape, dilation: Shape,
                            groups: int) -> Any:
    """Gradient of the weights, from the input and the output's gradient."""
    x = pad(x, padding)
    samples, channels = x.shape[:2]
    out = g.shape[2:]
    length, width = math.prod(out), math.prod(kernel)
    outs = g.shape[1] // groups
    view = windows(x, kernel, stride, dilation)
    view = view[(..., *(slice(0, each) for each in out))]
    total = np.zeros((groups, outs, channels // groups * width), x.dtype)
    for part in _chunks(samples, channels * width * length):
        columns = np.moveaxis(view[part], 0, 1 + len(kernel)).reshape(
            groups, channels // groups * width, (part.stop - part.start) * length)
        gradient = g[part].reshape(part.stop - part.start, groups, outs, length).transpose(1, 2, 0, 3)
        gradient = gradient.reshape(groups, outs, (part.stop - part.start) * length)
        total += product(np.matmul, gradient.size * columns.shape[1], gradient, columns.transpose(0, 2, 1))
    return total.reshape(g.shape[1], channels // groups, *kernel)


def convolution_input_grad(g: Any, weight: Any, spatial: Shape, stride: Shape, padding: Shape, dilation: Shape,
                           groups: int) -> Any:
    """Gradient of the input, from the output's gradient: the transposed convolution."""
    samples = g.shape[0]
    kernel, out = weight.shape[2:], g.shape[2:]
    length = math.prod(out)
    channels = weight.shape[1] * groups
    w = weight.reshape(groups, weight.shape[0] // groups, math.prod(weight.shape[1:])).transpose(0, 2, 1)
    padded = tuple([size + 2 * each for size, each in zip(spatial, padding, strict=True)])
    needed = [max(size, jump * (count - 1) + step * (width - 1) + 1) for size, jump, count, step, width
              in zip(padded, stride, out, dilation, kernel, strict=True)]
    result = np.zeros((samples, channels, *needed), g.dtype)
    for part in _chunks(samples, channels * math.prod(kernel) * length):
        gradient = g[part].reshape(part.stop - part.start, groups, g.shape[1] // groups, length)
        columns = product(np.matmul, w.size * gradient.shape[0] * length, w, gradient)
        columns = columns.reshape(part.stop - part.start, channels, *kernel, *out)
        target = result[part]
        for offset in itertools.product(*map(range, kernel)):
            place = tuple([slice(at * step, at * step + jump * (count - 1) + 1, jump) for at, step, jump, count
                           in zip(offset, dilation, stride, out, strict=True)])
            target[(..., *place)] += columns[(slice(None), slice(None), *offset)]
    inside = tuple([slice(each, each + size) for size, each in zip(spatial, padding, strict=True)])
    return np.ascontiguousarray(result[(..., *inside)])


KERNELS: dict[str, Any] = {
    "convolution": quiet(convolution),
    "convolution_weight_grad": quiet(convolution_weight_grad),
    "convolution_input_grad": quiet(convolution_input_grad),
}
