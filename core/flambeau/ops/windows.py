"""Pooling to a wanted size, its inverse, and windows laid out as columns and put back."""

from __future__ import annotations

import itertools
import math
from typing import Any

from flambeau import dtypes, shapes
from flambeau.dispatch import composite, operator
from flambeau.errors import ArgumentError, ArgumentValueError, ShapeError, message
from flambeau.ops import _samples, construct
from flambeau.ops.pooling import max_pool, pool_gather, pool_scatter
from flambeau.shapes import Shape
from flambeau.tensor import Tensor


# ---------------------------------------------------------------------------------------------- adaptive maxima
def _bins(size: int, count: int) -> list[tuple[int, int]]:
    """Where each of `count` bins of nearly equal size begins and ends."""
    return [(index * size // count, -(-(index + 1) * size // count)) for index in range(count)]


def _adaptive_name(node: Any) -> str:
    return f"AdaptiveMaxPool{len(node.shape[0]) - 2}DBackward0"


@operator(namespace="internal", outputs=("values", "indices"), grad_name=_adaptive_name, vjp={
    "input": lambda gs, indices, input_shape: pool_scatter(gs[0], indices, input_shape[2:])},
          samples=_samples.on(((1, 2, 5), (3,)), ((1, 2, 5, 4), (2, 3)), of="distinct"))
def adaptive_max_pool(input: Tensor, out: Shape) -> tuple[Tensor, Tensor]:
    """(largest value per bin, its position in the flattened spatial dimensions)."""
    spatial = input.shape[2:]
    shape = (*input.shape[:2], *out)
    if 0 in shape:
        return input.new_zeros(shape), input.new_zeros(shape, dtype=dtypes.int64)
    if not any(size % count for size, count in zip(spatial, out, strict=True)):
        width = tuple([size // count for size, count in zip(spatial, out, strict=True)])
        none, one = (0,) * len(out), (1,) * len(out)
        return max_pool(input, width, width, none, one, out)
    # every bin as a row of one length: the shorter ones name their last element again
    axes = [[[min(begin + step, end - 1) for step in range(_longest(size, count))] for begin, end in _bins(size, count)]
            for size, count in zip(spatial, out, strict=True)]
    at = [sum(place * math.prod(spatial[axis + 1:]) for axis, place in enumerate(each))
          for bins in itertools.product(*axes) for each in itertools.product(*bins)]
    places = construct.tensor(at, dtype=dtypes.int64, device=input.device)
    rows = input.flatten(2).index_select(2, places).reshape((*input.shape[:2], math.prod(out), -1))
    values, which = rows.max(-1)
    places = places.reshape((1, 1, *rows.shape[2:])).expand(rows.shape)
    return values.reshape(shape), places.gather(-1, which.unsqueeze(-1)).reshape(shape)


def _longest(size: int, count: int) -> int:
    return max(end - begin for begin, end in _bins(size, count))


def _adaptive_max_pool(op: str, ndim: int, input: Tensor, output_size: Any, return_indices: bool) -> Any:
    if input.ndim not in (ndim + 1, ndim + 2):
        raise ShapeError(message(op, f"Expected {ndim + 1}D or {ndim + 2}D tensor",
                                 given=f"input of size {list(input.shape)}"))
    spatial = tuple(input.shape[-ndim:])
    given = (output_size,) * ndim if isinstance(output_size, int) else tuple(output_size)
    if len(given) != ndim:
        raise ArgumentError(f"{op}: internal error: output_size.size() must be {ndim}; given: {list(given)}")
    if 0 in input.shape[-ndim - 1:]:
        raise ShapeError(f"{op}: Expected input to have non-zero size for non-batch dimensions, but input has sizes "
                         f"{list(input.shape)}")
    wanted = tuple([size if each is None else each for size, each in zip(spatial, given, strict=True)])
    if min(wanted) < 0:
        raise ArgumentError(f"{op}: elements of output_size must be greater than or equal to 0; given: {list(given)}")
    batch = input.unsqueeze(0) if input.ndim == ndim + 1 else input
    values, indices = adaptive_max_pool(batch, wanted)
    if batch is not input:
        values, indices = values.squeeze(0), indices.squeeze(0)
    return (values, indices) if return_indices else values


@composite(namespace="nn.functional", method=False,
           samples=_samples.on(((2, 3, 5), 2), ((2, 5), (3,), True), of="distinct"))
def adaptive_max_pool1d(input: Tensor, output_size: Any, return_indices: bool = False) -> Any:
    """The largest element of each of `output_size` bins of (N, C, L) or (C, L).

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.adaptive_max_pool1d.html

    >>> import flambeau as torch
    >>> torch.nn.functional.adaptive_max_pool1d(torch.tensor([[1., 5., 2., 4.]]), 2)
    tensor([[5., 4.]])
    """
    return _adaptive_max_pool("adaptive_max_pool1d", 1, input, output_size, return_indices)


@composite(namespace="nn.functional", method=False,
           samples=_samples.on(((1, 2, 5, 4), (2, 3)), ((2, 4, 3), 2, True), ((2, 5, 3), (None, 2)), of="distinct"))
def adaptive_max_pool2d(input: Tensor, output_size: Any, return_indices: bool = False) -> Any:
    """The largest element of each bin of (N, C, H, W) or (C, H, W); None keeps a size.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.adaptive_max_pool2d.html

    >>> import flambeau as torch
    >>> torch.nn.functional.adaptive_max_pool2d(torch.arange(12.).reshape(1, 3, 4), (1, 2))
    tensor([[[ 9., 11.]]])
    """
    return _adaptive_max_pool("adaptive_max_pool2d", 2, input, output_size, return_indices)


@composite(namespace="nn.functional", method=False,
           samples=_samples.on(((1, 2, 3, 4, 2), (2, 3, 1)), ((1, 3, 4, 2), 2, True), of="distinct"))
def adaptive_max_pool3d(input: Tensor, output_size: Any, return_indices: bool = False) -> Any:
    """The largest element of each bin of (N, C, D, H, W) or (C, D, H, W).

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.adaptive_max_pool3d.html

    >>> import flambeau as torch
    >>> torch.nn.functional.adaptive_max_pool3d(torch.ones(1, 2, 5, 6, 7), 3).shape
    torch.Size([1, 2, 3, 3, 3])
    """
    return _adaptive_max_pool("adaptive_max_pool3d", 3, input, output_size, return_indices)


@composite(namespace="nn.functional", method=False, samples=_samples.on(((2, 5), 2), of="distinct"))
def adaptive_max_pool1d_with_indices(input: Tensor, output_size: Any,
                                     return_indices: bool = False) -> tuple[Tensor, Tensor]:
    """`adaptive_max_pool1d` that always gives (values, indices).

    >>> import flambeau as torch
    >>> torch.nn.functional.adaptive_max_pool1d_with_indices(torch.arange(4.).reshape(1, 4), 1)[1].item()
    3
    """
    pair: tuple[Tensor, Tensor] = _adaptive_max_pool("adaptive_max_pool1d", 1, input, output_size, True)
    return pair


@composite(namespace="nn.functional", method=False, samples=_samples.on(((2, 4, 3), (2, 2)), of="distinct"))
def adaptive_max_pool2d_with_indices(input: Tensor, output_size: Any,
                                     return_indices: bool = False) -> tuple[Tensor, Tensor]:
    """`adaptive_max_pool2d` that always gives (values, indices).

    >>> import flambeau as torch
    >>> torch.nn.functional.adaptive_max_pool2d_with_indices(torch.arange(4.).reshape(1, 2, 2), 1)[1].item()
    3
    """
    pair: tuple[Tensor, Tensor] = _adaptive_max_pool("adaptive_max_pool2d", 2, input, output_size, True)
    return pair


@composite(namespace="nn.functional", method=False, samples=_samples.on(((1, 3, 4, 2), 2), of="distinct"))
def adaptive_max_pool3d_with_indices(input: Tensor, output_size: Any,
                                     return_indices: bool = False) -> tuple[Tensor, Tensor]:
    """`adaptive_max_pool3d` that always gives (values, indices).

    >>> import flambeau as torch
    >>> torch.nn.functional.adaptive_max_pool3d_with_indices(torch.arange(4.).reshape(1, 1, 2, 2), 1)[1].item()
    3
    """
    pair: tuple[Tensor, Tensor] = _adaptive_max_pool("adaptive_max_pool3d", 3, input, output_size, True)
    return pair


# ---------------------------------------------------------------------------------------------- the inverse of max_pool
def _places(make: Any, *shape: int, step: int = 2) -> Any:
    """Places in a flattened plane, as pooling gives them: none of them twice."""
    count = shape[-1]
    row: Any = [step * each + each % step for each in range(count)]
    for size in reversed(shape[:-1]):
        row = [row] * size
    return make.fixed(row, dtype=dtypes.int64)


def _samples_unpool(make: Any) -> _samples.Calls:
    yield (make(1, 2, 3), _places(make, 1, 2, 3), (7,)), {}


@operator(namespace="internal", grad_name=lambda node: f"MaxUnpool{len(node.shape) - 2}DBackward0", vjp={
    "input": lambda g, indices: pool_gather(g, indices)}, samples=_samples_unpool)
def max_unpool(input: Tensor, indices: Tensor, spatial: Shape) -> Tensor:
    """Zeros with each element at its position in the flattened spatial dimensions; the last of several stays."""
    flat = input.new_zeros((*input.shape[:2], math.prod(spatial)))
    return flat.scatter(2, indices.flatten(2), input.flatten(2)).reshape(*input.shape[:2], *spatial)


def _unpooled_size(op: str, input: Tensor, ndim: int, kernel: Shape, stride: Shape, padding: Shape,
                   output_size: Any) -> Shape:
    default = [(size - 1) * jump - 2 * border + width for size, jump, border, width
               in zip(input.shape[-ndim:], stride, padding, kernel, strict=True)]
    if output_size is None:
        return tuple(default)
    wanted = tuple(output_size)[-ndim:]
    if len(output_size) not in (ndim, ndim + 2):
        raise ArgumentValueError(f"output_size should be a sequence containing {ndim} or {ndim + 2} elements, but it "
                                 f"has a length of '{len(output_size)}'")
    for have, size, jump in zip(wanted, default, stride, strict=True):
        if not size - jump < have < size + jump:
            raise ArgumentValueError(f'invalid output_size "{wanted}" (dim must be between {size - jump} and '
                                     f"{size + jump}); {op}")
    return wanted


def _max_unpool(op: str, ndim: int, input: Tensor, indices: Tensor, kernel_size: Any, stride: Any, padding: Any,
                output_size: Any) -> Tensor:
    kernel = shapes.pair(kernel_size, ndim, "kernel_size", op)
    strides = kernel if stride is None or stride == [] else shapes.pair(stride, ndim, "stride", op)
    borders = shapes.pair(padding, ndim, "padding", op)
    if indices._kind.dtype is not dtypes.int64:
        raise ArgumentError(f"{op}: elements in indices should be type int64; given: {indices.dtype}")
    if input.ndim not in (ndim + 1, ndim + 2):
        raise ShapeError(message(op, f"Input to {op} should be a {ndim + 1}d or {ndim + 2}d Tensor",
                                 given=f"a tensor with {input.ndim} dimensions"))
    if indices._array.shape != input._array.shape:
        raise ShapeError(f"{op}: Expected shape of indices to be the same as that of the input tensor "
                         f"({list(input.shape)}) but got indices of shape {list(indices.shape)}")
    if min(strides) <= 0:
        raise ArgumentError(f"{op}: strides should be greater than zero, but got stride: {strides}")
    spatial = _unpooled_size(op, input, ndim, kernel, strides, borders, output_size)
    if indices.numel():
        low, high = int(indices.min().item()), int(indices.max().item())
        if low < 0 or high >= math.prod(spatial):
            raise ArgumentError(f"{op}: Found an invalid max index: {high if low >= 0 else low} (output volumes are "
                                f"of size {' x '.join(map(str, spatial))})")
    if input.ndim == ndim + 1:
        return max_unpool(input.unsqueeze(0), indices.unsqueeze(0), spatial).squeeze(0)
    return max_unpool(input, indices, spatial)


def _samples_unpool1d(make: Any) -> _samples.Calls:
    yield (make(1, 2, 3), _places(make, 1, 2, 3), 2), {}
    yield (make(2, 3), _places(make, 2, 3), 2), {"stride": 2, "output_size": (7,)}
    yield (make(2, 3), _places(make, 2, 3), 3, 2, 1), {}


@composite(samples=_samples_unpool1d, namespace="nn.functional", method=False)
def max_unpool1d(input: Tensor, indices: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0,
                 output_size: Any = None) -> Tensor:
    """What `max_pool1d` came from, with zeros where it kept nothing.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.max_unpool1d.html

    >>> import flambeau as torch
    >>> torch.nn.functional.max_unpool1d(torch.tensor([[5., 4.]]), torch.tensor([[1, 3]]), 2)
    tensor([[0., 5., 0., 4.]])
    """
    return _max_unpool("max_unpool1d", 1, input, indices, kernel_size, stride, padding, output_size)


def _samples_unpool2d(make: Any) -> _samples.Calls:
    places = make.fixed([[[1, 3], [8, 14]]], dtype=dtypes.int64)
    yield (make(1, 2, 2), places, 2), {}
    yield (make(1, 2, 2), places, (2, 2), (2, 2)), {"output_size": (5, 4)}


@composite(samples=_samples_unpool2d, namespace="nn.functional", method=False)
def max_unpool2d(input: Tensor, indices: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0,
                 output_size: Any = None) -> Tensor:
    """What `max_pool2d` came from, with zeros where it kept nothing.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.max_unpool2d.html

    >>> import flambeau as torch
    >>> torch.nn.functional.max_unpool2d(torch.ones(1, 1, 1), torch.tensor([[[3]]]), 2).tolist()
    [[[0.0, 0.0], [0.0, 1.0]]]
    """
    return _max_unpool("max_unpool2d", 2, input, indices, kernel_size, stride, padding, output_size)


def _samples_unpool3d(make: Any) -> _samples.Calls:
    places = make.fixed([[[[1, 3]]]], dtype=dtypes.int64)
    yield (make(1, 1, 1, 2), places, 2), {}
    yield (make(1, 1, 1, 2), places, (2, 1, 2)), {"stride": (2, 1, 2)}


@composite(samples=_samples_unpool3d, namespace="nn.functional", method=False)
def max_unpool3d(input: Tensor, indices: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0,
                 output_size: Any = None) -> Tensor:
    """What `max_pool3d` came from, with zeros where it kept nothing.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.max_unpool3d.html

    >>> import flambeau as torch
    >>> torch.nn.functional.max_unpool3d(torch.ones(1, 1, 1, 1), torch.tensor([[[[7]]]]), 2).sum()
    tensor(1.)
    """
    return _max_unpool("max_unpool3d", 3, input, indices, kernel_size, stride, padding, output_size)


# ---------------------------------------------------------------------------------------------- windows as columns
def _windows(size: Shape, kernel: Shape, dilation: Shape, padding: Shape, stride: Shape) -> Shape:
    return tuple([(each + 2 * border - step * (width - 1) - 1) // jump + 1 for each, width, step, border, jump
                  in zip(size, kernel, dilation, padding, stride, strict=True)])


@operator(namespace="internal", grad_name="Im2ColBackward0", vjp={
    "input": lambda g, input_shape, kernel, dilation, padding, stride: col2im(
        g, input_shape[2:], kernel, dilation, padding, stride)},
          samples=_samples.on(((1, 2, 4, 5), (2, 3), (1, 1), (0, 1), (2, 1))))
def im2col(input: Tensor, kernel: Shape, dilation: Shape, padding: Shape, stride: Shape) -> Tensor:
    """All windows of (N, C, H, W) as columns: (N, C * window, positions)."""
    out = _windows(tuple(input.shape[2:]), kernel, dilation, padding, stride)
    bordered = input.new_zeros((*input.shape[:2], *(size + 2 * each for size, each
                                                    in zip(input.shape[2:], padding, strict=True))))
    bordered[(..., *(slice(each, each + size) for size, each in zip(input.shape[2:], padding, strict=True)))] = input
    steps = bordered.stride()
    strides = (*steps[:2], *(each * step for each, step in zip(steps[2:], dilation, strict=True)),
               *(each * jump for each, jump in zip(steps[2:], stride, strict=True)))
    view = bordered.as_strided((*input.shape[:2], *kernel, *out), strides)
    return view.reshape(input.shape[0], input.shape[1] * math.prod(kernel), math.prod(out))


@operator(namespace="internal", grad_name="Col2ImBackward0", vjp={
    "input": lambda g, kernel, dilation, padding, stride: im2col(g, kernel, dilation, padding, stride)},
          samples=_samples.on(((1, 4, 6), (3, 4), (2, 2), (1, 1), (0, 0), (1, 1)),
                              ((1, 4, 6), (4, 3), (2, 2), (1, 2), (0, 1), (2, 1))))
def col2im(input: Tensor, spatial: Shape, kernel: Shape, dilation: Shape, padding: Shape, stride: Shape) -> Tensor:
    """The sum of columns at the places of their windows: one strided sum for each element of a window."""
    samples, channels = input.shape[0], input.shape[1] // math.prod(kernel)
    out = _windows(spatial, kernel, dilation, padding, stride)
    columns = input.reshape(samples, channels, *kernel, *out)
    bordered = input.new_zeros((samples, channels, *(size + 2 * each for size, each
                                                     in zip(spatial, padding, strict=True))))
    for place in itertools.product(*(range(each) for each in kernel)):
        window = tuple([slice(at * step, at * step + (count - 1) * jump + 1, jump)
                        for at, step, count, jump in zip(place, dilation, out, stride, strict=True)])
        bordered[(..., *window)] += columns[(slice(None), slice(None), *place)]
    return bordered[(..., *(slice(each, each + size) for size, each in zip(spatial, padding, strict=True)))].clone()


def _window_arguments(op: str, kernel_size: Any, dilation: Any, padding: Any, stride: Any) -> tuple[Shape, ...]:
    pairs = tuple([shapes.pair(each, 2, name, op) for each, name in (
        (kernel_size, "kernel_size"), (dilation, "dilation"), (padding, "padding"), (stride, "stride"))])
    for each, name in zip((pairs[0], pairs[1], pairs[3]), ("kernel size", "dilation", "stride"), strict=True):
        if min(each) <= 0:
            raise ArgumentError(f"{op}: {name} should be greater than zero, but got {each}")
    if min(pairs[2]) < 0:
        raise ArgumentError(f"{op}: padding should be non-negative, but got {pairs[2]}")
    return pairs


@composite(namespace="nn.functional", method=False, name="functional_unfold",
           samples=_samples.on(((1, 2, 4, 5), 2), ((1, 4, 5), (2, 3), 1, (1, 0), (1, 2)),
                               ((1, 1, 5, 6), (2, 3), (3, 2))))
def unfold(input: Tensor, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1) -> Tensor:
    """All windows of (N, C, H, W) or (C, H, W) as columns: (N, C * window size, number of windows).

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.unfold.html

    >>> import flambeau as torch
    >>> torch.nn.functional.unfold(torch.arange(9.).reshape(1, 1, 3, 3), 2).shape
    torch.Size([1, 4, 4])
    """
    pairs = _window_arguments("unfold", kernel_size, dilation, padding, stride)
    if input.ndim not in (3, 4) or 0 in input.shape[-3:]:
        raise ShapeError("unfold: Expected 3D or 4D (batch mode) tensor with possibly 0 batch size and other non-zero "
                         f"dimensions for input, but got: {list(input.shape)}")
    if min(_windows(tuple(input.shape[-2:]), *pairs)) < 1:
        raise ShapeError(f"unfold: the windows (kernel_size={pairs[0]}, dilation={pairs[1]}) are larger than the "
                         f"padded input; given: {list(input.shape)}")
    return im2col(input.unsqueeze(0), *pairs).squeeze(0) if input.ndim == 3 else im2col(input, *pairs)


@composite(namespace="nn.functional", method=False,
           samples=_samples.on(((1, 8, 12), (4, 5), 2), ((6, 10), (4, 5), (2, 3), 1, (1, 0), (1, 2))))
def fold(input: Tensor, output_size: Any, kernel_size: Any, dilation: Any = 1, padding: Any = 0,
         stride: Any = 1) -> Tensor:
    """Columns (N, C * window size, number of windows) added up at their places in (N, C, *output_size).

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.fold.html

    >>> import flambeau as torch
    >>> torch.nn.functional.fold(torch.ones(1, 4, 4), (3, 3), 2)
    tensor([[[[1., 2., 1.],
              [2., 4., 2.],
              [1., 2., 1.]]]])
    """
    pairs = _window_arguments("fold", kernel_size, dilation, padding, stride)
    spatial = shapes.pair(output_size, 2, "output_size", "fold")
    if input.ndim not in (2, 3) or 0 in input.shape[-2:]:
        raise ShapeError("fold: Expected 2D or 3D (batch mode) tensor for input with possibly 0 batch size and "
                         f"non-zero dimensions, but got: {list(input.shape)}")
    width, count = math.prod(pairs[0]), math.prod(_windows(spatial, *pairs))
    if input.shape[-2] % width:
        raise ShapeError("fold: Expected size of input's dimension 1 to be divisible by the product of kernel_size, "
                         f"but got {input.shape[-2]} and kernel_size={pairs[0]}")
    if input.shape[-1] != count or min(_windows(spatial, *pairs)) < 1:
        raise ShapeError(f"fold: Given output_size={spatial}, kernel_size={pairs[0]}, expected size of input's "
                         f"dimension 2 to match the calculated number of sliding blocks {count}, but got "
                         f"{input.shape[-1]}")
    single = input.ndim == 2
    result: Tensor = col2im(input.unsqueeze(0) if single else input, spatial, *pairs)
    return result.squeeze(0) if single else result
