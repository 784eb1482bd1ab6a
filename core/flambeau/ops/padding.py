"""Padding by a constant or by the tensor's own values, and shuffling between channels and pixels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flambeau import dtypes
from flambeau.dispatch import alias, composite, front, operator
from flambeau.errors import ArgumentError, ShapeError
from flambeau.graph import Node
from flambeau.ops import _samples, construct, creation
from flambeau.ops.indexing import narrow
from flambeau.ops.joining import cat
from flambeau.shapes import Shape
from flambeau.tensor import Tensor


@operator(vjp={"input": lambda g, pad: _constant_pad_nd(g, tuple([-each for each in pad]), 0)}, dtype_rule="any",
          method=False,
          samples=_samples.on(((2, 3), (1, 2)), ((2, 3), (0, 1, -1, 2), 3), ((2, 3, 4), (1, 0, 0, 2, 1, 1), 1.5)))
def _constant_pad_nd(input: Tensor, pad: Shape, value: Any) -> Tensor:
    """Pad by a number: pairs of counts from the last dimension on; negative ones crop."""
    ndim = input.dim()
    for number in range(len(pad) // 2):
        dim = ndim - 1 - number
        low, high = pad[2 * number], pad[2 * number + 1]
        size = input._array.shape[dim]
        input = narrow(input, dim, max(0, -low), size + min(0, low) + min(0, high))
        parts = [input]
        for count, where in ((low, 0), (high, 2)):
            if count > 0:
                shape = input._array.shape
                parts.insert(where, creation._full((*shape[:dim], count, *shape[dim + 1:]), value, input._kind))
        input = cat(parts, dim)
    return input


@front(_constant_pad_nd)
def constant_pad_nd(input: Tensor, pad: Sequence[int], value: Any = 0) -> Tensor:
    """The tensor with borders of one value: pairs of counts (before, after), from the last dimension on.

    >>> import flambeau as torch
    >>> torch.constant_pad_nd(torch.tensor([1, 2]), [1, 0])
    tensor([0, 1, 2])
    """
    return _functional_pad(input, pad, "constant", value)


def _pad_name(node: Node) -> str:
    pad, mode = node.saved[1:3] if node.saved else ((0, 0), "reflect")
    if mode == "circular":
        return "CopySlices"  # PyTorch writes the borders into a larger tensor
    return f"{'Reflection' if mode == 'reflect' else 'Replication'}Pad{len(pad) // 2}DBackward0"


def _source_places(size: int, low: int, high: int, mode: str) -> list[int]:
    """Which element of a dimension each place of the padded one shows."""
    places = range(-low, size + high)
    if mode == "circular":  # what is cropped away does not come back at the other end
        first, kept = max(0, -low), size + min(0, low) + min(0, high)
        return [first + each % kept for each in range(-max(0, low), kept + max(0, high))]
    if mode == "replicate":
        return [min(max(each, 0), size - 1) for each in places]
    return [-each if each < 0 else 2 * (size - 1) - each if each >= size else each for each in places]


def _gathered(input: Tensor, pad: Shape, mode: str) -> Tensor:
    for number in range(len(pad) // 2):
        dim = input.dim() - 1 - number
        places = _source_places(input._array.shape[dim], pad[2 * number], pad[2 * number + 1], mode)
        input = input.index_select(dim, construct.tensor(places, device=input.device, dtype=dtypes.int64))
    return input


def _returned(g: Tensor, shape: Shape, pad: Shape, mode: str) -> Tensor:
    """The gradient of padding by the tensor's own values: each element gets the sum over its copies."""
    for number in range(len(pad) // 2):
        dim = g.dim() - 1 - number
        size, low, high = shape[dim], pad[2 * number], pad[2 * number + 1]
        kept = size + min(0, low) + min(0, high)
        if kept < max(low, high, 1):   # a border shows elements that are cropped
            index = construct.tensor(_source_places(size, low, high, mode), device=g.device, dtype=dtypes.int64)
            have = g._array.shape
            g = g.new_zeros((*have[:dim], size, *have[dim + 1:])).index_add(dim, index, g)
        elif low or high:
            g = _folded(g, dim, size, low, high, mode)
    return g


def _folded(g: Tensor, dim: int, size: int, low: int, high: int, mode: str) -> Tensor:
    """The middle of a dimension, with its borders added where they came from."""
    first, before, after = max(0, -low), max(0, low), max(0, high)
    kept = size + min(0, low) + min(0, high)
    total = g.new_zeros((*g._array.shape[:dim], size, *g._array.shape[dim + 1:]))
    narrow(total, dim, first, kept).copy_(narrow(g, dim, before, kept))
    for count, begins, at_end in ((before, 0, False), (after, before + kept, True)):
        if not count:
            continue
        border = narrow(g, dim, begins, count)
        if mode == "replicate":
            narrow(total, dim, size - 1 if at_end else 0, 1).add_(border.sum(dim, keepdim=True))
        elif mode == "reflect":
            narrow(total, dim, size - 1 - count if at_end else 1, count).add_(border.flip(dim))
        else:
            narrow(total, dim, first if at_end else first + kept - count, count).add_(border)
    return total


@operator(vjp={"input": lambda g, input_shape, pad, mode: _returned(g, input_shape, pad, mode)}, dtype_rule="any",
          method=False, grad_name=_pad_name,
          samples=_samples.on(((2, 3, 4), (1, 2), "reflect"), ((2, 3, 4), (2, 1), "replicate"),
                              ((2, 3, 4), (3, 1), "circular")))
def _border_pad(input: Tensor, pad: Shape, mode: str) -> Tensor:
    """Pad by the tensor's own values: "reflect", "replicate" or "circular"."""
    return _gathered(input, pad, mode)


def _check_pad(input: Tensor, pad: Shape, mode: str) -> None:
    shape = input._array.shape
    count = len(pad) // 2
    if mode not in ("reflect", "replicate", "circular"):
        raise NotImplementedError(f"Unrecognised padding mode {mode}; allowed: constant, reflect, "
                                  "replicate, circular")
    if not count <= 3 or len(shape) not in (count + 1, count + 2):
        raise NotImplementedError("Only 2D, 3D, 4D, 5D padding with non-constant padding are supported for "
                                  "now; given: "
                                  f"{len(shape)} dimensions and {list(pad)}")
    for number in range(count):
        dim = len(shape) - 1 - number
        low, high, size = pad[2 * number], pad[2 * number + 1], shape[dim]
        if mode == "reflect" and max(low, high) >= size:
            raise ShapeError("pad: Padding size should be less than the corresponding input dimension, but "
                             "got: padding "
                             f"({low}, {high}) at dimension {dim} of input {list(shape)}")
        if mode == "circular" and max(low, high) > size:
            raise ShapeError("pad: Padding value causes wrapping around more than once; given: "
                             f"({low}, {high}) at dimension {dim} of input {list(shape)}")
        if size + low + high < (0 if mode == "circular" else 1):
            raise ShapeError(f"pad: input {list(shape)} is too small for the padding {list(pad)}")


def _samples_pad(make: Any) -> _samples.Calls:
    yield (make(2, 3), (1, 2, -1, 1)), {"value": 2}
    yield (make(2, 3, 4), (2, 1)), {"mode": "reflect"}
    yield (make(1, 2, 3, 4), (2, 1, -1, 2)), {"mode": "replicate"}
    yield (make(1, 2, 3), (2, 1)), {"mode": "circular"}


@composite(samples=_samples_pad, method=False, namespace="nn.functional")
def pad(input: Tensor, pad: Sequence[int], mode: str = "constant", value: float | None = None) -> Tensor:
    """The tensor with borders: pairs of counts (before, after), from the last dimension on; negative ones crop.

    `mode` is "constant" (with `value`), "reflect", "replicate" or "circular" (the last dimensions of 2D to 5D inputs).

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.pad.html

    >>> import flambeau as torch
    >>> torch.nn.functional.pad(torch.tensor([1, 2]), (1, 2))
    tensor([0, 1, 2, 0, 0])
    """
    counts = tuple([each.__index__() for each in pad])
    if len(counts) % 2:
        raise ArgumentError(f"pad: Padding length must be divisible by 2; given: {list(counts)}")
    if len(counts) // 2 > input.dim():
        raise ArgumentError("pad: Padding length should be less than or equal to two times the input "
                            "dimension but got padding "
                            f"length {len(counts)} and input of dimension {input.dim()}")
    if mode == "constant":
        shape = input._array.shape
        for number in range(len(counts) // 2):
            dim = len(shape) - 1 - number
            if shape[dim] + counts[2 * number] + counts[2 * number + 1] < 0:
                raise ArgumentError(f"The input size {shape[dim]}, plus negative padding {counts[2 * number]} and "
                                    f"{counts[2 * number + 1]}, resulted in a negative output size, which "
                                    "is invalid.")
        return _constant_pad_nd(input, counts, 0 if value is None else value)
    if value is not None and value != 0:
        raise ArgumentError(f'pad: Padding mode "{mode}" doesn\'t take in value argument')
    _check_pad(input, counts, mode)
    return _border_pad(input, counts, mode)


_functional_pad = pad


@composite(samples=_samples.on(((1, 6, 2, 3), 2), ((2, 6, 1, 2), 3)), method=False, namespace="torch nn.functional")
def channel_shuffle(input: Tensor, groups: int) -> Tensor:
    """Channels (dimension 1) taken in turn from each of `groups` equal groups.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.channel_shuffle.html

    >>> import flambeau as torch
    >>> torch.nn.functional.channel_shuffle(torch.arange(4.).reshape(1, 4, 1), 2).flatten()
    tensor([0., 2., 1., 3.])
    """
    shape = input._array.shape
    if len(shape) < 3:
        raise ShapeError(f"channel_shuffle expects input with > 2 dims, but got input with sizes {list(shape)}")
    if groups <= 0:
        raise ArgumentError(f"Number of groups to divide channels in must be positive. Value of groups:{groups}")
    if shape[1] % groups:
        raise ShapeError(f"Number of channels must be divisible by groups. Got {shape[1]} channels and {groups} "
                         "groups.")
    parts = input.reshape((shape[0], groups, shape[1] // groups, *shape[2:]))
    return parts.transpose(1, 2).reshape(shape)


native_channel_shuffle = alias("native_channel_shuffle", channel_shuffle)


@operator(vjp={"input": lambda g, upscale_factor: pixel_unshuffle(g, upscale_factor)}, dtype_rule="any", method=False,
          namespace="nn.functional", samples=_samples.on(((8, 2, 3), 2), ((1, 9, 1, 2), 3)))
def pixel_shuffle(input: Tensor, upscale_factor: int) -> Tensor:
    """(..., C r r, H, W) as (..., C, H r, W r): groups of r r channels become squares of pixels.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.pixel_shuffle.html

    >>> import flambeau as torch
    >>> torch.nn.functional.pixel_shuffle(torch.zeros(1, 4, 2, 3), 2).shape
    torch.Size([1, 1, 4, 6])
    """
    shape = input._array.shape
    factor = upscale_factor
    if len(shape) < 3:
        raise ShapeError("pixel_shuffle expects input to have at least 3 dimensions, but got input with "
                         f"{len(shape)} dimension(s)")
    if factor <= 0:
        raise ArgumentError(f"pixel_shuffle expects a positive upscale_factor, but got {factor}")
    channels, height, width = shape[-3:]
    if channels % factor ** 2:
        raise ShapeError("pixel_shuffle expects its input's 'channel' dimension to be divisible by the square of "
                         f"upscale_factor, but input.size(-3)={channels} is not divisible by {factor ** 2}")
    lead = shape[:-3]
    count = len(lead)
    split = input.reshape((*lead, channels // factor ** 2, factor, factor, height, width))
    turned = split.permute((*range(count), count, count + 3, count + 1, count + 4, count + 2))
    return turned.clone().reshape((*lead, channels // factor ** 2, height * factor, width * factor))


@operator(vjp={"input": lambda g, downscale_factor: pixel_shuffle(g, downscale_factor)}, dtype_rule="any",
          method=False, namespace="nn.functional", samples=_samples.on(((2, 4, 2), 2), ((1, 1, 3, 6), 3)))
def pixel_unshuffle(input: Tensor, downscale_factor: int) -> Tensor:
    """(..., C, H r, W r) as (..., C r r, H, W): what undoes `pixel_shuffle`.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.pixel_unshuffle.html

    >>> import flambeau as torch
    >>> torch.nn.functional.pixel_unshuffle(torch.ones(1, 2, 6, 6), 3).shape
    torch.Size([1, 18, 2, 2])
    """
    shape = input._array.shape
    factor = downscale_factor
    if len(shape) < 3:
        raise ShapeError("pixel_unshuffle expects input to have at least 3 dimensions, but got input with "
                         f"{len(shape)} dimension(s)")
    if factor <= 0:
        raise ArgumentError(f"pixel_unshuffle expects a positive downscale_factor, but got {factor}")
    channels, height, width = shape[-3:]
    if height % factor or width % factor:
        raise ShapeError("pixel_unshuffle expects height and width to be divisible by downscale_factor, but "
                         f"{height} x {width} is not divisible by {factor}")
    lead = shape[:-3]
    count = len(lead)
    split = input.reshape((*lead, channels, height // factor, factor, width // factor, factor))
    turned = split.permute((*range(count), count, count + 2, count + 4, count + 1, count + 3))
    return turned.clone().reshape((*lead, channels * factor ** 2, height // factor, width // factor))
