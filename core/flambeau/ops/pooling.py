"""Pooling over windows of one to three dimensions."""

from __future__ import annotations

import math
from itertools import product
from typing import Any

from flambeau import shapes
from flambeau.dispatch import composite, operator
from flambeau.dtypes import BOOL, bool_, int64
from flambeau.errors import ArgumentError, ShapeError, UnsupportedDtypeError, message
from flambeau.ops import _samples
from flambeau.ops._samples import Calls, Samples
from flambeau.shapes import Shape
from flambeau.tensor import Tensor


# ---------------------------------------------------------------------------------------------- samples
def _samples_max(make: Any) -> Calls:
    yield (make.distinct(2, 1, 4, 6), (2, 3), (1, 2), (0, 1), (2, 1), (2, 3)), {}
    yield (make.distinct(2, 3, 8), (3,), (2,), (1,), (1,), (5,)), {}    # the last window ends behind the border


def _samples_average(make: Any) -> Calls:
    yield (make(2, 1, 4, 6), (2, 3), (1, 2), (0, 1), (3, 3), True, None), {}
    yield (make(2, 1, 4, 6), (2, 3), (1, 2), (1, 1), (5, 3), False, None), {}
    yield (make(2, 3, 6), (3,), (2,), (0,), (3,), True, None), {}    # the last window ends behind the border
    yield (make(2, 3, 5), (3,), (2,), (1,), (3,), True, 2), {}


def _samples_average_grad(make: Any) -> Calls:
    yield (make(2, 1, 3, 3), (4, 6), (2, 3), (1, 2), (0, 1), True, None), {}
    yield (make(2, 1, 5, 3), (4, 6), (2, 3), (1, 2), (1, 1), False, None), {}
    yield (make(2, 3, 3), (6,), (3,), (2,), (0,), True, None), {}
    yield (make(2, 3, 3), (5,), (3,), (2,), (1,), True, 2), {}


def _samples_scatter(make: Any) -> Calls:
    yield (make(2, 3, 2, 3), make.index(2, 3, 2, 3, high=12), (3, 4)), {}
    yield (make(1, 2, 3), make.fixed([[[4, 0, 2], [1, 3, 0]]], dtype=int64), (5,), True), {}


def _samples_gather(make: Any) -> Calls:
    yield (make(2, 2, 3, 4), make.index(2, 2, 2, 3, high=12)), {}
    yield (make(2, 3, 5), make.index(2, 3, 4, high=5)), {}


def _samples_max_pool(ndim: int) -> Samples:
    """Of windows that overlap, of ones that leave elements out, with and without a batch."""
    size, kernel, stride = (5, 6, 3)[:ndim], (2, 3, 2)[:ndim], (2, 1, 3)[:ndim]

    def samples(make: Any) -> Calls:
        yield (make.distinct(2, 1, *size), kernel, stride, (1, 0, 1)[:ndim], (3, 2, 1)[:ndim]), {}
        yield (make.distinct(2, *size), 2), {"padding": 1, "return_indices": True}
        yield (make.distinct(1, 2, *size), kernel), {"stride": 2, "ceil_mode": True}
    return samples


def _samples_one_max(ndim: int) -> Samples:
    return _samples.on(((1, 2, *(5, 4, 3)[:ndim]), 2), of="distinct")


def _samples_avg_pool(ndim: int) -> Samples:
    """Of both ways to count a border, of windows that end behind it, of a divisor."""
    size, kernel, stride = (5, 6, 3)[:ndim], (2, 3, 2)[:ndim], (2, 1, 3)[:ndim]

    def samples(make: Any) -> Calls:
        yield (make(2, 1, *size), kernel, stride, (1, 0, 1)[:ndim]), {}
        yield (make(2, *size), kernel), {"padding": 1, "count_include_pad": False}
        yield (make(1, 2, *size), kernel), {"stride": 2, "padding": 1, "ceil_mode": True}
        if ndim > 1:
            yield (make(2, 1, *size), 2), {"divisor_override": 3}
    return samples


def _samples_adaptive(ndim: int) -> Samples:
    """Of bins that divide the size and of others, of which some share elements."""
    size: list[Any] = [6, 5, 4][:ndim]

    def samples(make: Any) -> Calls:
        yield (make(2, 1, *size), (4, 3, 2)[:ndim] if ndim > 1 else 4), {}
        yield (make(2, *size), [3, *size[1:]]), {}
        if ndim > 1:
            yield (make(1, 2, *size), (None, 2, 3)[:ndim]), {}
    return samples


# ---------------------------------------------------------------------------------------------- windows
def _pooled(spatial: Shape, kernel: Shape, stride: Shape, padding: Shape, dilation: Shape, ceil_mode: bool) -> Shape:
    """How many windows there are per dimension; with `ceil_mode` also those that begin inside but end outside."""
    result = []
    for size, width, jump, border, step in zip(spatial, kernel, stride, padding, dilation, strict=True):
        room = size + 2 * border - step * (width - 1) - 1
        count = (-(-room // jump) if ceil_mode else room // jump) + 1
        if ceil_mode and (count - 1) * jump >= size + border:
            count -= 1
        result.append(count)
    return tuple(result)


def _arguments(op: str, ndim: int, input: Tensor, kernel: Any, stride: Any, padding: Any, dilation: Any,
               ceil_mode: bool) -> tuple[Tensor, Shape, Shape, Shape, Shape, Shape]:
    """Canonical arguments, and the output's spatial shape; an unbatched input gets a batch of one."""
    kernels = shapes.pair(kernel, ndim, "kernel_size", op)
    left_out = stride is None or (isinstance(stride, (list, tuple)) and not stride)
    strides = kernels if left_out else shapes.pair(stride, ndim, "stride", op)
    borders, steps = shapes.pair(padding, ndim, "padding", op), shapes.pair(dilation, ndim, "dilation", op)
    if input.ndim not in (ndim + 1, ndim + 2):
        raise ShapeError(message(op, f"Expected {ndim + 1}D or {ndim + 2}D (batch mode) tensor",
                                 given=f"input of size {list(input.shape)}"))
    if min(kernels) <= 0 or min(strides) <= 0 or min(steps) <= 0:
        raise ArgumentError(f"{op}: kernel size, stride and dilation should be greater than zero; given: {kernels}, "
                            f"{strides}, {steps}")
    if any(2 * border > (width - 1) * step + 1 for border, width, step in zip(borders, kernels, steps, strict=True)):
        raise ArgumentError(f"{op}: pad should be at most half of effective kernel size; given: pad={borders}, "
                            f"kernel_size={kernels}, dilation={steps}")
    if input.ndim == ndim + 1:
        input = input.unsqueeze(0)
    out = _pooled(input.shape[2:], kernels, strides, borders, steps, ceil_mode)
    if min(out) < 1 or 0 in input.shape[1:]:
        raise ShapeError(f"{op}: Given input size: {list(input.shape[1:])}. Calculated output size: {list(out)}. "
                         "Output size is too small")
    return input, kernels, strides, borders, steps, out


# ---------------------------------------------------------------------------------------------- maxima
@operator(namespace="internal", outputs=("values", "indices"), samples=_samples_max, vjp={
    "input": lambda gs, indices, input_shape, kernel, stride: pool_scatter(
        gs[0], indices, input_shape[2:], all(jump >= width for jump, width in zip(stride, kernel, strict=True)))},
    grad_name=lambda node: f"MaxPool{len(node.shape[0]) - 2}DWithIndicesBackward0")
def max_pool(input: Tensor, kernel: Shape, stride: Shape, padding: Shape, dilation: Shape,
             out: Shape) -> tuple[Tensor, Tensor]:
    """(largest value per window, its position in the flattened spatial dimensions)."""
    lowest = float("-inf") if input.is_floating_point() else -input.is_signed() << 8 * input.itemsize - 1
    spatial = input.shape[2:]
    needed = [max(size + 2 * border, jump * (count - 1) + step * (width - 1) + 1) for size, border, jump, count, step,
              width in zip(spatial, padding, stride, out, dilation, kernel, strict=True)]
    inside = (..., *(slice(border, border + size) for size, border in zip(spatial, padding, strict=True)))
    bordered = input.new_full((*input.shape[:2], *needed), lowest)
    bordered[inside] = input
    places = input.new_full(tuple(needed), -1, dtype=int64)    # of the border, which wins against nothing
    places[inside[1:]] = _int64_arange(math.prod(spatial), input).reshape(spatial)
    values: Tensor | None = None
    for offset in product(*map(range, kernel)):
        at = (..., *(slice(first * step, first * step + jump * (count - 1) + 1, jump) for first, step, jump, count
                     in zip(offset, dilation, stride, out, strict=True)))
        candidate, where = bordered[at], places[at].expand(*input.shape[:2], *out)
        if values is None:
            values, indices = candidate, where
            continue
        better = (candidate > values) | (candidate != candidate) | ((indices < 0) & (where >= 0))
        values, indices = candidate.where(better, values), where.where(better, indices)
    assert values is not None
    return values.clone(), indices.clone()


def _int64_arange(count: int, like: Tensor) -> Tensor:
    from flambeau.ops import creation
    return creation.arange(count, device=like.device)


@operator(namespace="internal", samples=_samples_scatter, vjp={"g": lambda h, indices: pool_gather(h, indices)})
def pool_scatter(g: Tensor, indices: Tensor, spatial: Shape, distinct: bool = False) -> Tensor:
    """Add each element of `g` at its position in a plane of zeros; `distinct` promises that no two positions meet."""
    flat = g.new_zeros((*g.shape[:2], math.prod(spatial)))
    flat = flat.scatter_add(2, indices.flatten(2), g.flatten(2))
    return flat.reshape(*g.shape[:2], *spatial)


@operator(namespace="internal", samples=_samples_gather, vjp={
    "input": lambda g, indices, input_shape: pool_scatter(g, indices, input_shape[2:])})
def pool_gather(input: Tensor, indices: Tensor) -> Tensor:
    """The elements of each plane at the given positions."""
    return input.flatten(2).gather(2, indices.flatten(2)).reshape(indices.shape)


def _max_pool(op: str, ndim: int, input: Tensor, kernel_size: Any, stride: Any, padding: Any, dilation: Any,
              ceil_mode: bool, return_indices: bool) -> Any:
    _check_numbers(op, input)
    batch, *arguments = _arguments(op, ndim, input, kernel_size, stride, padding, dilation, ceil_mode)
    values, indices = max_pool(batch, *arguments)
    if batch is not input:
        values, indices = values.squeeze(0), indices.squeeze(0)
    return (values, indices) if return_indices else values


@composite(namespace="nn.functional", method=False, samples=_samples_max_pool(1))
def max_pool1d(input: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1,
               ceil_mode: bool = False, return_indices: bool = False) -> Any:
    """The largest element per window of (N, C, L) or (C, L); with `return_indices`, also where it was.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.max_pool1d.html

    >>> import flambeau as torch
    >>> torch.nn.functional.max_pool1d(torch.tensor([[1., 5., 2., 3.]]), 2)
    tensor([[5., 3.]])
    """
    return _max_pool("max_pool1d", 1, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


@composite(namespace="nn.functional", method=False, samples=_samples_max_pool(2))
def max_pool2d(input: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1,
               ceil_mode: bool = False, return_indices: bool = False) -> Any:
    """The largest element per window of (N, C, H, W) or (C, H, W); with `return_indices`, also where it was.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.max_pool2d.html

    >>> import flambeau as torch
    >>> torch.nn.functional.max_pool2d(torch.arange(16.).reshape(1, 4, 4), 2)
    tensor([[[ 5.,  7.],
             [13., 15.]]])
    """
    return _max_pool("max_pool2d", 2, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


@composite(namespace="nn.functional", method=False, samples=_samples_max_pool(3))
def max_pool3d(input: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1,
               ceil_mode: bool = False, return_indices: bool = False) -> Any:
    """The largest element per window of (N, C, D, H, W) or (C, D, H, W); with `return_indices`, also where it was.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.max_pool3d.html

    >>> import flambeau as torch
    >>> torch.nn.functional.max_pool3d(torch.ones(1, 2, 4, 4, 4), 2).shape
    torch.Size([1, 2, 2, 2, 2])
    """
    return _max_pool("max_pool3d", 3, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


@composite(namespace="nn.functional", method=False, samples=_samples_one_max(1))
def max_pool1d_with_indices(input: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1,
                            ceil_mode: bool = False, return_indices: bool = False) -> tuple[Tensor, Tensor]:
    """`max_pool1d` that always gives (values, indices).

    >>> import flambeau as torch
    >>> torch.nn.functional.max_pool1d_with_indices(torch.arange(4.).reshape(1, 4), 4)[1].item()
    3
    """
    pair: tuple[Tensor, Tensor] = _max_pool("max_pool1d", 1, input, kernel_size, stride, padding, dilation, ceil_mode,
                                            True)
    return pair


@composite(namespace="nn.functional", method=False, samples=_samples_one_max(2))
def max_pool2d_with_indices(input: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1,
                            ceil_mode: bool = False, return_indices: bool = False) -> tuple[Tensor, Tensor]:
    """`max_pool2d` that always gives (values, indices).

    >>> import flambeau as torch
    >>> torch.nn.functional.max_pool2d_with_indices(torch.arange(4.).reshape(1, 2, 2), 2)[1].item()
    3
    """
    pair: tuple[Tensor, Tensor] = _max_pool("max_pool2d", 2, input, kernel_size, stride, padding, dilation, ceil_mode,
                                            True)
    return pair


@composite(namespace="nn.functional", method=False, samples=_samples_one_max(3))
def max_pool3d_with_indices(input: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1,
                            ceil_mode: bool = False, return_indices: bool = False) -> tuple[Tensor, Tensor]:
    """`max_pool3d` that always gives (values, indices).

    >>> import flambeau as torch
    >>> torch.nn.functional.max_pool3d_with_indices(torch.arange(4.).reshape(1, 1, 2, 2), (1, 2, 2))[1].item()
    3
    """
    pair: tuple[Tensor, Tensor] = _max_pool("max_pool3d", 3, input, kernel_size, stride, padding, dilation, ceil_mode,
                                            True)
    return pair


# ---------------------------------------------------------------------------------------------- means
@operator(namespace="internal", grad_name=lambda node: f"AvgPool{len(node.shape) - 2}DBackward0",
          samples=_samples_average, vjp={
    "input": lambda g, input_shape, kernel, stride, padding, count_include_pad, divisor: avg_pool_input_grad(
        g, input_shape[2:], kernel, stride, padding, count_include_pad, divisor)})
def avg_pool(input: Tensor, kernel: Shape, stride: Shape, padding: Shape, out: Shape, count_include_pad: bool,
             divisor: int | None) -> Tensor:
    """Means over windows; the border counts as zeros, or not at all."""
    spatial = input.shape[2:]
    needed = [max(size + 2 * border, jump * (count - 1) + width) for size, border, jump, count, width
              in zip(spatial, padding, stride, out, kernel, strict=True)]
    bordered = input.new_zeros((*input.shape[:2], *needed))
    bordered[(..., *(slice(border, border + size) for size, border in zip(spatial, padding, strict=True)))] = input
    total: Any = 0
    for offset in product(*map(range, kernel)):
        total = total + bordered[(..., *(slice(first, first + jump * (count - 1) + 1, jump) for first, jump, count
                                         in zip(offset, stride, out, strict=True)))]
    count = _counts(input, spatial, kernel, stride, padding, out, count_include_pad, divisor)
    return total / count if input.is_floating_point() else total.div(count, rounding_mode="trunc")


def _counts(like: Tensor, spatial: Shape, kernel: Shape, stride: Shape, padding: Shape, out: Shape,
            count_include_pad: bool, divisor: int | None) -> Any:
    """How many elements each window has: a number, or a tensor that broadcasts over the output."""
    if divisor is not None:
        return divisor
    total: Any = 1
    for axis, (size, width, jump, border, count) in enumerate(
            zip(spatial, kernel, stride, padding, out, strict=True)):
        ends = [min(at * jump - border + width, size + border) for at in range(count)]
        begins = [at * jump - border for at in range(count)]
        if not count_include_pad:
            begins, ends = [max(each, 0) for each in begins], [min(each, size) for each in ends]
        along = [-1 if index == axis else 1 for index in range(len(out))]
        total = like.new_tensor([end - begin for begin, end in zip(begins, ends, strict=True)]).reshape(along) * total
    return total


@operator(namespace="internal", samples=_samples_average_grad, vjp={
    "g": lambda h, g_shape, kernel, stride, padding, count_include_pad, divisor: avg_pool(
        h, kernel, stride, padding, g_shape[2:], count_include_pad, divisor)})
def avg_pool_input_grad(g: Tensor, spatial: Shape, kernel: Shape, stride: Shape, padding: Shape,
                        count_include_pad: bool, divisor: int | None) -> Tensor:
    """Spread each output's gradient over its window."""
    out = g.shape[2:]
    shares = g / _counts(g, spatial, kernel, stride, padding, out, count_include_pad, divisor)
    needed = [max(size + 2 * border, jump * (count - 1) + width) for size, border, jump, count, width
              in zip(spatial, padding, stride, out, kernel, strict=True)]
    result = g.new_zeros((*g.shape[:2], *needed))
    for offset in product(*map(range, kernel)):
        result[(..., *(slice(first, first + jump * (count - 1) + 1, jump) for first, jump, count
                       in zip(offset, stride, out, strict=True)))] += shares
    inside = (slice(border, border + size) for size, border in zip(spatial, padding, strict=True))
    return result[(..., *inside)].contiguous()


def _check_numbers(op: str, input: Tensor) -> None:
    """Refuse bools, which have no order and no mean."""
    if input._kind.dtype.category == BOOL:
        raise UnsupportedDtypeError(f"{op}: \"{op}\" not implemented for 'Bool'; convert the input")


def _avg_pool(op: str, ndim: int, input: Tensor, kernel_size: Any, stride: Any, padding: Any, ceil_mode: bool,
              count_include_pad: bool, divisor: int | None) -> Tensor:
    _check_numbers(op, input)
    batch, kernel, strides, borders, _, out = _arguments(op, ndim, input, kernel_size, stride, padding, 1, ceil_mode)
    if divisor == 0:
        raise ArgumentError(f"{op}: divisor must be not zero")
    if ndim == 3 and any(size < width for size, width in zip(batch.shape[2:], kernel, strict=True)):
        raise ShapeError(f"{op}: input image {list(batch.shape[2:])} smaller than kernel size {list(kernel)}")
    result: Tensor = avg_pool(batch, kernel, strides, borders, out, bool(count_include_pad), divisor)
    return result if batch is input else result.squeeze(0)


@composite(namespace="nn.functional", method=False, samples=_samples_avg_pool(1))
def avg_pool1d(input: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False,
               count_include_pad: bool = True) -> Tensor:
    """The mean of each window of (N, C, L) or (C, L).

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.avg_pool1d.html

    >>> import flambeau as torch
    >>> torch.nn.functional.avg_pool1d(torch.tensor([[1., 5., 2., 3.]]), 2)
    tensor([[3.0000, 2.5000]])
    """
    return _avg_pool("avg_pool1d", 1, input, kernel_size, stride, padding, ceil_mode, count_include_pad, None)


@composite(namespace="nn.functional", method=False, out=True, samples=_samples_avg_pool(2))
def avg_pool2d(input: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False,
               count_include_pad: bool = True, divisor_override: int | None = None) -> Tensor:
    """The mean of each window of (N, C, H, W) or (C, H, W).

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.avg_pool2d.html

    >>> import flambeau as torch
    >>> torch.nn.functional.avg_pool2d(torch.arange(16.).reshape(1, 4, 4), 2)
    tensor([[[ 2.5000,  4.5000],
             [10.5000, 12.5000]]])
    """
    return _avg_pool("avg_pool2d", 2, input, kernel_size, stride, padding, ceil_mode, count_include_pad,
                     divisor_override)


@composite(namespace="nn.functional", method=False, out=True, samples=_samples_avg_pool(3))
def avg_pool3d(input: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False,
               count_include_pad: bool = True, divisor_override: int | None = None) -> Tensor:
    """The mean of each window of (N, C, D, H, W) or (C, D, H, W).

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.avg_pool3d.html

    >>> import flambeau as torch
    >>> torch.nn.functional.avg_pool3d(torch.ones(1, 2, 4, 4, 4), 2).shape
    torch.Size([1, 2, 2, 2, 2])
    """
    return _avg_pool("avg_pool3d", 3, input, kernel_size, stride, padding, ceil_mode, count_include_pad,
                     divisor_override)


# ---------------------------------------------------------------------------------------------- norms
def _lp_pool(op: str, ndim: int, input: Tensor, norm_type: float, kernel_size: Any, stride: Any,
             ceil_mode: bool) -> Tensor:
    """p-norms from means of powers: a window over the edge counts as if it were whole."""
    if norm_type in (math.inf, -math.inf):
        sign = 1 if norm_type > 0 else -1
        largest: Tensor = _max_pool(op, ndim, input.abs() * sign, kernel_size, stride, 0, 1, ceil_mode, False)
        return largest * sign
    mean = _avg_pool(op, ndim, input.pow(norm_type), kernel_size, stride, 0, ceil_mode, True, None)
    size = math.prod(shapes.pair(kernel_size, ndim, "kernel_size", op))
    return (mean.sign() * mean.abs().relu() * size).pow(1.0 / norm_type)


def _samples_lp(ndim: int) -> Samples:
    def samples(make: Any) -> Calls:
        size = (5, 4, 3)[:ndim]
        yield (make(1, 2, *size, low=0.5, high=2), 2, 2), {}
        yield (make(2, *size, low=0.5, high=2), 3.0, (2, 3, 2)[:ndim] if ndim > 1 else 2), {
            "stride": 1, "ceil_mode": True}
    return samples


@composite(namespace="nn.functional", method=False, samples=_samples_lp(1))
def lp_pool1d(input: Tensor, norm_type: float, kernel_size: Any, stride: Any = None, ceil_mode: bool = False) -> Tensor:
    """The `norm_type`-norm of each window of (N, C, L) or (C, L).

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.lp_pool1d.html

    >>> import flambeau as torch
    >>> torch.nn.functional.lp_pool1d(torch.tensor([3., 4.]).reshape(1, 2), 2, 2).item()
    5.0
    """
    return _lp_pool("lp_pool1d", 1, input, norm_type, kernel_size, stride, ceil_mode)


@composite(namespace="nn.functional", method=False, samples=_samples_lp(2))
def lp_pool2d(input: Tensor, norm_type: float, kernel_size: Any, stride: Any = None, ceil_mode: bool = False) -> Tensor:
    """The `norm_type`-norm of each window of (N, C, H, W) or (C, H, W).

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.lp_pool2d.html

    >>> import flambeau as torch
    >>> torch.nn.functional.lp_pool2d(torch.tensor([3., 4.]).reshape(1, 1, 2), 2, (1, 2)).item()
    5.0
    """
    return _lp_pool("lp_pool2d", 2, input, norm_type, kernel_size, stride, ceil_mode)


@composite(namespace="nn.functional", method=False, samples=_samples_lp(3))
def lp_pool3d(input: Tensor, norm_type: float, kernel_size: Any, stride: Any = None, ceil_mode: bool = False) -> Tensor:
    """The `norm_type`-norm of each window of (N, C, D, H, W) or (C, D, H, W).

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.lp_pool3d.html

    >>> import flambeau as torch
    >>> torch.nn.functional.lp_pool3d(torch.tensor([3., 4.]).reshape(1, 1, 1, 2), 2, (1, 1, 2)).item()
    5.0
    """
    return _lp_pool("lp_pool3d", 3, input, norm_type, kernel_size, stride, ceil_mode)


# ---------------------------------------------------------------------------------------------- adaptive
def _adaptive_avg_pool(op: str, ndim: int, input: Tensor, output_size: Any) -> Tensor:
    """Means over bins of nearly equal size: equal ones are plain windows, others are gathered by dimension."""
    if input.ndim not in (ndim + 1, ndim + 2):
        raise ShapeError(message(op, f"Expected {ndim + 1}D or {ndim + 2}D tensor",
                                 given=f"input of size {list(input.shape)}"))
    if input._kind.emulated:   # one rounding, of the result
        wide = _adaptive_avg_pool(op, ndim, input.to(input._kind.compute.dtype), output_size)
        return wide.to(input._kind.dtype)
    spatial = tuple(input.shape[-ndim:])
    given = (output_size,) * ndim if shapes.is_int(output_size) else tuple(output_size)
    if len(given) != ndim:
        raise ArgumentError(f"{op}: output_size must have {ndim} elements; given: {list(given)}")
    if any(each is not None and each < 0 for each in given):
        raise ArgumentError(f"{op}: elements of output_size must be greater than or equal to 0; given: {list(given)}")
    wanted = tuple([size if each is None else each for size, each in zip(spatial, given, strict=True)])
    if min(spatial) == 0:
        raise ShapeError(f"{op}: Expected input to have non-zero size for non-batch dimensions, but input has sizes "
                         f"{list(input.shape)}")
    floats, even = input.is_floating_point(), all(out and not size % out
                                                  for size, out in zip(spatial, wanted, strict=True))
    if floats and input.numel() and set(wanted) == {1}:
        return input.mean(tuple(range(-ndim, 0)), keepdim=True)
    if input.numel() and even and not (floats and "resample" in input._kind.kernels):
        width = tuple([size // out for size, out in zip(spatial, wanted, strict=True)])
        return _avg_pool(op, ndim, input, width, width, 0, False, True, None)
    if floats and 0 not in wanted:
        from flambeau.ops.interpolation import resample
        batch = input.unsqueeze(0) if input.ndim == ndim + 1 else input
        result: Tensor = resample(batch, wanted, "area", False, (None,) * ndim)
        return result if batch is input else result.squeeze(0)
    for axis, (size, out) in enumerate(zip(spatial, wanted, strict=True)):
        input = _bin_means(input, axis - ndim, size, out)
    return input.contiguous()


def _bin_means(input: Tensor, dim: int, size: int, out: int) -> Tensor:
    """Means over `out` bins along a dimension: gathered as one row each, whose ends beyond the bin count as 0."""
    begins = [index * size // out for index in range(out)]
    counts = [-(-(index + 1) * size // out) - begin for index, begin in enumerate(begins)]
    width = max(counts, default=1)
    places = [min(begin + at, size - 1) for begin in begins for at in range(width)]
    outside = [at >= count for count in counts for at in range(width)]
    shape = (out, width, *(1,) * (-dim - 1))
    rows = input.index_select(dim, input.new_tensor(places, dtype=int64)).unflatten(dim, (out, width))
    rows = rows.masked_fill(input.new_tensor(outside, dtype=bool_).reshape(shape), 0)
    return rows.sum(dim) / input.new_tensor(counts).reshape((out, *(1,) * (-dim - 1)))


@composite(namespace="nn.functional", method=False, samples=_samples_adaptive(1))
def adaptive_avg_pool1d(input: Tensor, output_size: Any) -> Tensor:
    """Means over `output_size` bins of (N, C, L) or (C, L).

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.adaptive_avg_pool1d.html

    >>> import flambeau as torch
    >>> torch.nn.functional.adaptive_avg_pool1d(torch.tensor([[1., 5., 2., 4.]]), 2)
    tensor([[3., 3.]])
    """
    return _adaptive_avg_pool("adaptive_avg_pool1d", 1, input, output_size)


@composite(namespace="nn.functional", method=False, samples=_samples_adaptive(2))
def adaptive_avg_pool2d(input: Tensor, output_size: Any) -> Tensor:
    """Means over bins of (N, C, H, W) or (C, H, W), so many that the output has `output_size`; None keeps a size.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.adaptive_avg_pool2d.html

    >>> import flambeau as torch
    >>> torch.nn.functional.adaptive_avg_pool2d(torch.arange(12.).reshape(1, 3, 4), (1, 2))
    tensor([[[4.5000, 6.5000]]])
    """
    return _adaptive_avg_pool("adaptive_avg_pool2d", 2, input, output_size)


@composite(namespace="nn.functional", method=False, samples=_samples_adaptive(3))
def adaptive_avg_pool3d(input: Tensor, output_size: Any) -> Tensor:
    """Means over bins of (N, C, D, H, W) or (C, D, H, W).

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.adaptive_avg_pool3d.html

    >>> import flambeau as torch
    >>> torch.nn.functional.adaptive_avg_pool3d(torch.ones(1, 2, 5, 6, 7), 3).shape
    torch.Size([1, 2, 3, 3, 3])
    """
    return _adaptive_avg_pool("adaptive_avg_pool3d", 3, input, output_size)
