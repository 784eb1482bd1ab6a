"""Maxima of windows whose places are drawn, so that a grid shrinks to any size."""

from __future__ import annotations

import itertools
import math
from typing import Any

from flambeau import dtypes, shapes
from flambeau.dispatch import composite, operator
from flambeau.errors import ArgumentError, ArgumentValueError, DtypeError, ShapeError, message
from flambeau.graph import Node
from flambeau.ops import _samples, construct, creation
from flambeau.ops.pooling import pool_scatter
from flambeau.ops.random import rand
from flambeau.shapes import Shape
from flambeau.tensor import Tensor


def _begins(draws: Tensor, size: int, width: int, out: int) -> Tensor:
    """(N, C, out): where windows begin along one dimension, steps of two lengths in an order that a draw decides."""
    if out == 1:
        return creation.full((*draws.shape, 1), size - width, dtype=dtypes.int64, device=draws.device)
    step = (size - width) / (out - 1)
    numbers = creation.arange(out, device=draws.device).to(draws._kind.dtype)
    factor = draws.new_tensor(step)
    begins = ((draws.unsqueeze(-1) + numbers) * factor).to(dtypes.int64)
    begins = begins - (draws.unsqueeze(-1) * factor).to(dtypes.int64)
    last = numbers == out - 1
    return begins.masked_fill(last, size - width)


def _node_name(node: Node) -> str:
    return f"FractionalMaxPool{len(node.shape[0]) - 2}DBackward0"


def _draws(make: Any, *shape: int) -> Any:
    count = math.prod(shape)
    values: list[Any] = [(3 * each + 1) % 7 / 8 for each in range(count)]
    for size in reversed(shape[1:]):
        values = [values[at:at + size] for at in range(0, len(values), size)]
    return make.fixed(values)


def _samples_pool(make: Any) -> _samples.Calls:
    if make.dtype.is_floating_point:
        yield (make.distinct(1, 2, 5, 6), _draws(make, 1, 2, 2), (2, 2), (3, 2)), {}
        yield (make.distinct(1, 2, 4, 3, 5), _draws(make, 1, 2, 3), (2, 1, 2), (2, 2, 1)), {}


@operator(namespace="internal", outputs=("values", "indices"), grad_name=_node_name, samples=_samples_pool, vjp={
    "input": lambda gs, indices, input_shape: pool_scatter(gs[0], indices, input_shape[2:])})
def fractional_max_pool(input: Tensor, draws: Tensor, kernel: Shape, out: Shape) -> tuple[Tensor, Tensor]:
    """(largest value per window, its position in the flattened spatial dimensions); `draws` are (N, C, dimensions)."""
    spatial, ndim = input.shape[2:], len(out)
    if not input.numel() or 0 in out:
        shape = (*input.shape[:2], *out)
        return input.new_zeros(shape), input.new_zeros(shape, dtype=dtypes.int64)
    steps = [math.prod(spatial[axis + 1:]) for axis in range(ndim)]
    begin: Any = 0
    for axis in range(ndim):    # PyTorch's draws begin with the width in two dimensions, with the depth in three
        number = 1 - axis if ndim == 2 else axis
        along = _begins(draws[..., number], spatial[axis], kernel[axis], out[axis]) * steps[axis]
        begin = begin + along.reshape((*along.shape[:2], *(-1 if each == axis else 1 for each in range(ndim))))
    inside = [sum(at * step for at, step in zip(place, steps, strict=True))
              for place in itertools.product(*map(range, kernel))]
    places = begin.unsqueeze(-1) + construct.tensor(inside, dtype=dtypes.int64, device=input.device)
    windows = input.flatten(2).gather(2, places.flatten(2)).reshape(places.shape)
    values, which = windows.max(-1)
    return values, places.gather(-1, which.unsqueeze(-1)).squeeze(-1)


def _pooled_size(op: str, input: Tensor, ndim: int, output_size: Any, output_ratio: Any) -> Shape:
    if output_size is None and output_ratio is None:
        raise ArgumentValueError(f"{op} requires specifying either an output_size or an output_ratio")
    if output_size is not None:
        return shapes.pair(output_size, ndim, "output_size", op)
    ratios = output_ratio if isinstance(output_ratio, (list, tuple)) else (output_ratio,) * ndim
    if len(ratios) > ndim:
        raise ArgumentValueError(f"{op} requires output_ratio to either be a single number or one per dimension; "
                                 f"given: {output_ratio}")
    return tuple([int(size * ratio) for size, ratio in zip(input.shape[-ndim:], ratios, strict=True)])


def _check(op: str, input: Tensor, ndim: int, kernel: Shape, out: Shape) -> None:
    if input.dim() not in (ndim + 1, ndim + 2) or 0 in input.shape[-ndim - 1:]:
        raise ShapeError(message(op, f"Expected {ndim + 1}D or {ndim + 2}D tensor with non-zero size for non-batch "
                                 "dimensions", given=f"{list(input.shape)}"))
    if not input.is_floating_point():
        raise DtypeError(f"{op}: not implemented for {input.dtype}; convert the input, for example with x.float()")
    if min(kernel) <= 0 or min(out) < 0:
        raise ArgumentError(f"{op}: kernel_size should be greater than zero, and output_size not negative; given: "
                            f"{kernel} and {out}")
    for name, size, width, wanted in zip(("time", "height", "width")[-ndim:], input.shape[-ndim:], kernel, out,
                                         strict=True):
        if wanted + width - (ndim == 2) > size:    # PyTorch lets three dimensions have one window less
            raise ShapeError(f"{op}(): pool {name} {width} too large relative to input {name} {size} and output "
                             f"{name} {wanted}")


def _pool(op: str, ndim: int, input: Tensor, kernel_size: Any, output_size: Any, output_ratio: Any,
          draws: Tensor | None) -> tuple[Tensor, Tensor]:
    kernel = shapes.pair(kernel_size, ndim, "kernel_size", op)
    out = _pooled_size(op, input, ndim, output_size, output_ratio)
    if input.dim() not in (ndim + 1, ndim + 2):
        _check(op, input, ndim, kernel, out)
    batch = input.unsqueeze(0) if input.dim() == ndim + 1 else input
    if draws is None:
        draws = rand(batch.shape[0], batch.shape[1], ndim, dtype=input.dtype, device=input.device)
    _check(op, input, ndim, kernel, out)
    have, wanted = tuple(draws.shape), (batch.shape[0], batch.shape[1], ndim)
    if len(have) != 3 or have[0] < wanted[0] or have[1:] != wanted[1:]:
        raise ShapeError(f"{op}: Expect _random_samples.size(0) no less then input batch size, and the others equal to "
                         f"the channels and {ndim}; given: {list(have)}, needed: {list(wanted)}")
    if draws._kind.dtype is not input._kind.dtype:
        raise DtypeError(f"{op}: Expect _random_samples to have the same dtype as input; given: {draws.dtype} and "
                         f"{input.dtype}")
    values, indices = fractional_max_pool(batch, draws[:wanted[0]], kernel, out)
    return (values, indices) if batch is input else (values.squeeze(0), indices.squeeze(0))


def _samples_fractional(ndim: int) -> _samples.Samples:
    def samples(make: Any) -> _samples.Calls:
        if make.dtype.is_floating_point:
            yield (make.distinct(1, 2, *(5, 4, 6)[:ndim]), 2, 2), {"_random_samples": _draws(make, 1, 2, ndim)}
            yield (make.distinct(2, *(5, 4, 6)[:ndim]), (2, 1, 2)[:ndim]), {
                "output_ratio": (0.5,) * ndim, "return_indices": True, "_random_samples": _draws(make, 1, 2, ndim)}
    return samples


@composite(namespace="nn.functional", method=False, samples=_samples_fractional(2))
def fractional_max_pool2d_with_indices(input: Tensor, kernel_size: Any, output_size: Any = None,
                                       output_ratio: Any = None, return_indices: bool = False,
                                       _random_samples: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """`fractional_max_pool2d` that always gives (values, indices).

    >>> import flambeau as torch
    >>> values, indices = torch.nn.functional.fractional_max_pool2d_with_indices(torch.ones(1, 4, 4), 2, 1)
    >>> indices
    tensor([[[10]]])
    """
    return _pool("fractional_max_pool2d", 2, input, kernel_size, output_size, output_ratio, _random_samples)


@composite(namespace="nn.functional", method=False, samples=_samples_fractional(2))
def fractional_max_pool2d(input: Tensor, kernel_size: Any, output_size: Any = None, output_ratio: Any = None,
                          return_indices: bool = False, _random_samples: Tensor | None = None) -> Any:
    """The largest value of windows of (N, C, H, W) or (C, H, W) whose steps are drawn.

    Args:
        input: the images, of a floating point dtype.
        kernel_size: extent of the windows; one number or a pair.
        output_size: the spatial size of the result.
        output_ratio: what the result's size is of the input's, in place of `output_size`.
        return_indices: give (values, positions in the flattened plane).
        _random_samples: (N, C, 2) numbers in [0, 1) in place of drawn ones.

    ValueError without a size or ratio, RuntimeError for windows that do not fit.
    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.fractional_max_pool2d.html

    >>> import flambeau as torch
    >>> torch.nn.functional.fractional_max_pool2d(torch.ones(2, 3, 7, 9), 2, (3, 5)).shape
    torch.Size([2, 3, 3, 5])
    """
    pair = _pool("fractional_max_pool2d", 2, input, kernel_size, output_size, output_ratio, _random_samples)
    return pair if return_indices else pair[0]


@composite(namespace="nn.functional", method=False, samples=_samples_fractional(3))
def fractional_max_pool3d_with_indices(input: Tensor, kernel_size: Any, output_size: Any = None,
                                       output_ratio: Any = None, return_indices: bool = False,
                                       _random_samples: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """`fractional_max_pool3d` that always gives (values, indices).

    >>> import flambeau as torch
    >>> values, indices = torch.nn.functional.fractional_max_pool3d_with_indices(torch.ones(1, 3, 3, 3), 2, 1)
    >>> indices
    tensor([[[[13]]]])
    """
    return _pool("fractional_max_pool3d", 3, input, kernel_size, output_size, output_ratio, _random_samples)


@composite(namespace="nn.functional", method=False, samples=_samples_fractional(3))
def fractional_max_pool3d(input: Tensor, kernel_size: Any, output_size: Any = None, output_ratio: Any = None,
                          return_indices: bool = False, _random_samples: Tensor | None = None) -> Any:
    """The largest value of windows of (N, C, D, H, W) or (C, D, H, W) whose steps are drawn.

    The arguments are those of `fractional_max_pool2d`, with three numbers for two.

    >>> import flambeau as torch
    >>> torch.nn.functional.fractional_max_pool3d(torch.ones(2, 3, 7, 9, 5), 2, output_ratio=0.5).shape
    torch.Size([2, 3, 3, 4, 2])
    """
    pair = _pool("fractional_max_pool3d", 3, input, kernel_size, output_size, output_ratio, _random_samples)
    return pair if return_indices else pair[0]
