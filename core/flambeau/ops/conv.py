"""Convolutions in one to three dimensions, and their transposes.

Three linear operators are each other's gradients: the convolution, its gradient with respect to the input (which is
the transposed convolution), and its gradient with respect to the weights. So every order of derivative stays among
the three. Their decompositions gather windows as a strided view and multiply matrices.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import product
from typing import Any

from flambeau import shapes
from flambeau.dispatch import composite, operator
from flambeau.dtypes import BOOL
from flambeau.errors import ArgumentError, ShapeError, UnsupportedDtypeError, message
from flambeau.ops import rules
from flambeau.ops._samples import Calls, Samples
from flambeau.shapes import Shape
from flambeau.tensor import Tensor

# A convolution in two dimensions: (stride, padding, dilation, groups), no two numbers alike where they could be
# mistaken for each other. It takes (2, 2, 3, 6) with weights (4, 1, 2, 3) to (2, 4, 2, 2).
_STRIDED = (2, 3), (2, 1), (3, 2), 2


def _samples_convolution(make: Any) -> Calls:
    yield (make(2, 2, 3, 6), make(4, 1, 2, 3), make(4), *_STRIDED), {}
    yield (make(2, 3, 5), make(2, 3, 2), None, (1,), (0,), (1,), 1), {}


def _samples_weight_grad(make: Any) -> Calls:
    yield (make(2, 2, 3, 6), make(2, 4, 2, 2), (2, 3), *_STRIDED), {}
    yield (make(2, 3, 5), make(2, 2, 4), (2,), (1,), (0,), (1,), 1), {}


def _samples_input_grad(make: Any) -> Calls:
    yield (make(2, 4, 2, 2), make(4, 1, 2, 3), (3, 6), *_STRIDED), {}
    yield (make(2, 2, 4), make(2, 3, 2), (5,), (1,), (0,), (1,), 1), {}


def _samples_transposed(make: Any) -> Calls:
    yield (make(2, 4, 2, 2), make(4, 1, 2, 3), make(2), (3, 6), *_STRIDED), {}
    yield (make(1, 2, 4), make(2, 3, 2), None, (9,), (2,), (0,), (1,), 1), {}    # with an output padding of 1


_PAD_OF_SAMPLES = {1: (1,), 2: (2, 1), 3: (1, 0, 2)}


def _samples(ndim: int) -> Samples:
    """Of a public convolution: everything unlike everything else, no batch, padding by word, and the defaults."""
    size, kernel = ((10,), (3, 6), (2, 4, 3))[ndim - 1], ((4,), (2, 3), (2, 2, 2))[ndim - 1]
    stride, dilation = ((3,), (2, 3), (1, 2, 3))[ndim - 1], ((2,), (3, 2), (2, 1, 3))[ndim - 1]

    def samples(make: Any) -> Calls:
        yield (make(2, 2, *size), make(4, 1, *kernel), make(4)), {
            "stride": stride, "padding": _PAD_OF_SAMPLES[ndim], "dilation": dilation, "groups": 2}
        yield (make(2, *size), make(3, 2, *kernel)), {"padding": "same", "dilation": (1, 2, 1)[:ndim]}
        yield (make(1, 3, *size), make(2, 3, *kernel), make(2)), {"padding": "valid"}
        yield (make(2, 1, *size), make(2, 1, *kernel), None, 2, 1), {}
    return samples


def _samples_of_transpose(ndim: int) -> Samples:
    """Of a public transposed convolution: as `_samples`, with sizes left over."""
    size, kernel = ((3,), (3, 2), (2, 1, 2))[ndim - 1], ((2,), (2, 3), (2, 3, 2))[ndim - 1]
    stride, dilation = ((3,), (2, 3), (1, 2, 3))[ndim - 1], ((2,), (3, 2), (2, 1, 1))[ndim - 1]
    left_over = ((2,), (2, 1), (1, 0, 2))[ndim - 1]

    def samples(make: Any) -> Calls:
        yield (make(2, 4, *size), make(4, 1, *kernel), make(2)), {
            "stride": stride, "padding": _PAD_OF_SAMPLES[ndim], "output_padding": left_over, "groups": 2,
            "dilation": dilation}
        yield (make(2, *size), make(2, 3, *kernel), make(3)), {"stride": 2, "output_padding": 1}
        yield (make(2, 1, *size), make(1, 2, *kernel)), {}
    return samples


def _out_shape(spatial: Sequence[int], kernel: Sequence[int], stride: Shape, padding: Shape, dilation: Shape) -> Shape:
    return tuple([(size + 2 * border - step * (width - 1) - 1) // jump + 1 for size, width, jump, border, step
                  in zip(spatial, kernel, stride, padding, dilation, strict=True)])


def _bordered(x: Tensor, padding: Shape) -> Tensor:
    if not any(padding):
        return x.contiguous()
    spatial = x.shape[2:]
    result = x.new_zeros((*x.shape[:2], *(size + 2 * each for size, each in zip(spatial, padding, strict=True))))
    result[(..., *(slice(each, each + size) for size, each in zip(spatial, padding, strict=True)))] = x
    return result


def _columns(x: Tensor, kernel: Shape, stride: Shape, padding: Shape, dilation: Shape, groups: int,
             out: Shape) -> Tensor:
    """All windows as matrices: (N, groups, C/groups * window, output positions)."""
    x = _bordered(x, padding)
    steps = x.stride()
    strides = (*steps[:2], *(each * step for each, step in zip(steps[2:], dilation, strict=True)),
               *(each * jump for each, jump in zip(steps[2:], stride, strict=True)))
    view = x.as_strided((*x.shape[:2], *kernel, *out), strides, x.storage_offset())
    return view.reshape(x.shape[0], groups, x.shape[1] // groups * math.prod(kernel), math.prod(out))


def _by_group(weight: Tensor, groups: int) -> Tensor:
    """Weights as a matrix for each group: (groups, O / groups, C / groups * window)."""
    return weight.reshape(groups, weight.shape[0] // groups, math.prod(weight.shape[1:]))


@operator(namespace="internal", grad_name="ConvolutionBackward0", samples=_samples_transposed, vjp={
    "input": lambda g, weight, input_shape, stride, padding, dilation, groups: _first(convolution(
        g, rules.conj(weight), None, stride, padding, dilation, groups), input_shape),
    "weight": lambda g, input, weight_shape, stride, padding, dilation, groups: convolution_weight_grad(
        g, rules.conj(input), weight_shape[2:], stride, padding, dilation, groups),
    "bias": lambda g: g.sum((0, *range(2, g.ndim)))})
def convolution_transposed(input: Tensor, weight: Tensor, bias: Tensor | None, spatial: Shape, stride: Shape,
                           padding: Shape, dilation: Shape, groups: int) -> Tensor:
    """The input's gradient of a convolution, as an operator of its own: with a bias, in one step of the graph."""
    result: Tensor = convolution_input_grad(input, weight, spatial, stride, padding, dilation, groups)
    return result if bias is None else result + bias.reshape(-1, *(1 for _ in spatial))


def _first(x: Tensor, shape: Shape) -> Tensor:
    """The first elements per dimension: the windows that an output padding added beyond the input are left out."""
    return x if x.shape == shape else x[tuple([slice(size) for size in shape])]


def _convolution_check(input: Tensor, weight: Tensor, bias: Any, stride: Shape, padding: Shape, dilation: Shape,
                       groups: int) -> Shape:
    """Explain sizes that do not fit; else the shape of the result."""
    if bias is not None and bias._kind is not input._kind:
        raise ArgumentError(f"convolution: Input type ({input.dtype}) and bias type ({bias.dtype}) should be the same")
    if input.ndim != weight.ndim:
        raise ShapeError(message("convolution", f"Expected {weight.ndim - 1}D (unbatched) or {weight.ndim}D (batched) "
                                 "input", given=f"input of size {list(input.shape)}"))
    if input.shape[1] != weight.shape[1] * groups:
        raise ShapeError(f"Given groups={groups}, weight of size {list(weight.shape)}, expected "
                         f"input{list(input.shape)} to have {weight.shape[1] * groups} channels, but got "
                         f"{input.shape[1]} channels instead")
    if weight.shape[0] % groups:
        raise ShapeError(f"Given groups={groups}, expected weight to be divisible by {groups} at dimension 0, but got "
                         f"weight of size {list(weight.shape)} instead")
    padded = [size + 2 * each for size, each in zip(input.shape[2:], padding, strict=True)]
    reach = [step * (width - 1) + 1 for step, width in zip(dilation, weight.shape[2:], strict=True)]
    if any(have < want for have, want in zip(padded, reach, strict=True)):
        raise ShapeError(f"Calculated padded input size per channel: {_times(padded)}. Kernel size: {_times(reach)}. "
                         "Kernel size can't be greater than actual input size")
    return (input.shape[0], weight.shape[0], *_out_shape(input.shape[2:], weight.shape[2:], stride, padding, dilation))


def _times(sizes: Sequence[int]) -> str:
    return f"({' x '.join(map(str, sizes))})"


@operator(namespace="internal", samples=_samples_convolution, vjp={
    "input": lambda g, weight, input_shape, stride, padding, dilation, groups: convolution_input_grad(
        g, rules.conj(weight), input_shape[2:], stride, padding, dilation, groups),
    "weight": lambda g, input, weight_shape, stride, padding, dilation, groups: convolution_weight_grad(
        rules.conj(input), g, weight_shape[2:], stride, padding, dilation, groups),
    "bias": lambda g: g.sum((0, *range(2, g.ndim)))})
def convolution(input: Tensor, weight: Tensor, bias: Tensor | None, stride: Shape, padding: Shape, dilation: Shape,
                groups: int) -> Tensor:
    """Cross-correlation of `input` (`(N, C, *sizes)`) with `weight` (`(O, C / groups, *kernel)`), plus `bias` (O)."""
    shape = _convolution_check(input, weight, bias, stride, padding, dilation, groups)
    columns = _columns(input, weight.shape[2:], stride, padding, dilation, groups, shape[2:])
    result = (_by_group(weight, groups) @ columns).reshape(shape)
    return result if bias is None else result + bias.reshape(-1, *(1 for _ in shape[2:]))


@operator(namespace="internal", grad_name="ConvolutionBackwardBackward0", samples=_samples_weight_grad, vjp={
    "input": lambda g, grad_output, input_shape, stride, padding, dilation, groups: convolution_input_grad(
        rules.conj(grad_output), g, input_shape[2:], stride, padding, dilation, groups),
    "grad_output": lambda g, input, grad_output_shape, stride, padding, dilation, groups: _first(convolution(
        rules.conj(input), g, None, stride, padding, dilation, groups), grad_output_shape)})
def convolution_weight_grad(input: Tensor, grad_output: Tensor, kernel: Shape, stride: Shape, padding: Shape,
                            dilation: Shape, groups: int) -> Tensor:
    """The gradient of a convolution with respect to its weights."""
    columns = _columns(input, tuple(kernel), stride, padding, dilation, groups, tuple(grad_output.shape[2:]))
    samples, outs = grad_output.shape[:2]
    gradient = grad_output.reshape(samples, groups, outs // groups, math.prod(grad_output.shape[2:]))
    total = (gradient @ columns.transpose(-1, -2)).sum(0)
    return total.reshape(outs, input.shape[1] // groups, *kernel)


@operator(namespace="internal", grad_name="ConvolutionBackward0", samples=_samples_input_grad, vjp={
    "grad_output": lambda g, weight, grad_output_shape, stride, padding, dilation, groups: _first(convolution(
        g, rules.conj(weight), None, stride, padding, dilation, groups), grad_output_shape),
    "weight": lambda g, grad_output, weight_shape, stride, padding, dilation, groups: convolution_weight_grad(
        g, rules.conj(grad_output), weight_shape[2:], stride, padding, dilation, groups)})
def convolution_input_grad(grad_output: Tensor, weight: Tensor, spatial: Shape, stride: Shape, padding: Shape,
                           dilation: Shape, groups: int) -> Tensor:
    """The gradient of a convolution with respect to its input: the transposed convolution."""
    samples, outs = grad_output.shape[:2]
    kernel, out = weight.shape[2:], grad_output.shape[2:]
    channels = weight.shape[1] * groups
    w = _by_group(weight, groups).transpose(-1, -2)
    g = grad_output.reshape(samples, groups, outs // groups, math.prod(out))
    columns = (w @ g).reshape(samples, channels, *kernel, *out)
    needed = [max(size + 2 * border, jump * (count - 1) + step * (width - 1) + 1)
              for size, border, jump, count, step, width
              in zip(spatial, padding, stride, out, dilation, kernel, strict=True)]
    result = grad_output.new_zeros((samples, channels, *needed))
    for offset in product(*map(range, kernel)):
        place = [slice(at * step, at * step + jump * (count - 1) + 1, jump) for at, step, jump, count
                 in zip(offset, dilation, stride, out, strict=True)]
        result[(..., *place)] += columns[(slice(None), slice(None), *offset)]
    return result[(..., *(slice(each, each + size) for size, each in zip(spatial, padding, strict=True)))].contiguous()


# ---------------------------------------------------------------------------------------------- public faces
def _same_padding(input: Tensor, kernel: Shape, stride: Shape, dilation: Shape, op: str) -> tuple[Tensor, Shape]:
    """Pad so that the output has the input's size: what is odd goes to the far side."""
    if any(each != 1 for each in stride):
        raise ArgumentError(f"{op}: padding='same' is not supported for strided convolutions; given: stride={stride}")
    totals = [step * (width - 1) for step, width in zip(dilation, kernel, strict=True)]
    near = tuple(total // 2 for total in totals)
    extra = [total - 2 * each for total, each in zip(totals, near, strict=True)]
    if any(extra):
        spatial = input.shape[2:]
        grown = input.new_zeros((*input.shape[:2], *(size + more for size, more in zip(spatial, extra, strict=True))))
        grown[(..., *(slice(0, size) for size in spatial))] = input
        input = grown
    return input, near


def _convolve(op: str, ndim: int, input: Tensor, weight: Tensor, bias: Tensor | None, stride: Any, padding: Any,
              dilation: Any, groups: int) -> Tensor:
    strides, steps = shapes.pair(stride, ndim, "stride", op), shapes.pair(dilation, ndim, "dilation", op)
    single = input.ndim == ndim + 1
    if single:
        input = input.unsqueeze(0)
    _check_arguments(op, ndim, input, weight, strides, steps, groups)
    if padding == "same":
        input, borders = _same_padding(input, tuple(weight.shape[2:]), strides, steps, op)
    elif isinstance(padding, str) and padding != "valid":
        raise ArgumentError(f"{op}: Invalid padding string: {padding!r}; allowed: 'same', 'valid', ints")
    else:
        borders = shapes.pair(0 if padding == "valid" else padding, ndim, "padding", op)
    _convolution_check(input, weight, bias, strides, borders, steps, groups)
    result: Tensor = convolution(input, weight, bias, strides, borders, steps, groups)
    return result.squeeze(0) if single else result


def _check_arguments(op: str, ndim: int, input: Tensor, weight: Tensor, stride: Shape, dilation: Shape,
                     groups: int) -> None:
    if input.ndim != ndim + 2:
        raise ShapeError(f"Expected {ndim + 1}D (unbatched) or {ndim + 2}D (batched) input to {op}, but got input of "
                         f"size: {list(input.shape)}; unsqueeze() adds the dimension of the channels or the batch")
    if weight.ndim != ndim + 2:
        raise ShapeError(message(op, f"Expected a {ndim + 2}D weight", given=shapes.describe(weight.shape)))
    if input._kind.dtype.category == BOOL:
        raise UnsupportedDtypeError(f"{op}: \"{op}\" not implemented for 'Bool'; convert the operands")
    if not weight.shape[0]:
        raise ShapeError(f"Given groups={groups}, expected weight to be at least 1 at dimension 0, but got weight of "
                         f"size {list(weight.shape)} instead")
    if 0 in input.shape[2:]:
        raise ShapeError(f"{op}: Only zero batch or zero channel inputs are supported, but got input shape: "
                         f"{list(input.shape)}")
    if min(stride) <= 0:
        raise ArgumentError(f"{op}: non-positive stride is not supported; given: {stride}")
    if min(dilation) <= 0:
        raise ArgumentError(f"{op}: dilation should be greater than zero; given: {dilation}")
    if groups <= 0:
        raise ArgumentError(f"{op}: non-positive groups is not supported; given: {groups}")
    if input._kind is not weight._kind:
        raise ArgumentError(f"{op}: Input type ({input.dtype} on {input.device}) and weight type ({weight.dtype} on "
                            f"{weight.device}) should be the same")


@composite(namespace="nn.functional", method=False, samples=_samples(1))
def conv1d(input: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Any = 1, padding: Any = 0,
           dilation: Any = 1, groups: int = 1) -> Tensor:
    """Convolution over one dimension: input (N, C, L) or (C, L), weight (O, C / groups, K).

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.conv1d.html

    >>> import flambeau as torch
    >>> torch.nn.functional.conv1d(torch.arange(5.).reshape(1, 1, 5), torch.ones(1, 1, 3))
    tensor([[[3., 6., 9.]]])
    """
    return _convolve("conv1d", 1, input, weight, bias, stride, padding, dilation, groups)


@composite(namespace="nn.functional", method=False, samples=_samples(2))
def conv2d(input: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Any = 1, padding: Any = 0,
           dilation: Any = 1, groups: int = 1) -> Tensor:
    """Convolution over two dimensions: input (N, C, H, W) or (C, H, W), weight (O, C / groups, KH, KW).

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.conv2d.html

    >>> import flambeau as torch
    >>> torch.nn.functional.conv2d(torch.ones(1, 1, 3, 3), torch.ones(1, 1, 2, 2), padding=1).shape
    torch.Size([1, 1, 4, 4])
    """
    return _convolve("conv2d", 2, input, weight, bias, stride, padding, dilation, groups)


@composite(namespace="nn.functional", method=False, samples=_samples(3))
def conv3d(input: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Any = 1, padding: Any = 0,
           dilation: Any = 1, groups: int = 1) -> Tensor:
    """Convolution over three dimensions: input (N, C, D, H, W) or (C, D, H, W), weight (O, C / groups, KD, KH, KW).

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.conv3d.html

    >>> import flambeau as torch
    >>> torch.nn.functional.conv3d(torch.ones(1, 3, 4, 4, 4), torch.ones(2, 3, 3, 3, 3)).shape
    torch.Size([1, 2, 2, 2, 2])
    """
    return _convolve("conv3d", 3, input, weight, bias, stride, padding, dilation, groups)


def _convolve_transposed(op: str, ndim: int, input: Tensor, weight: Tensor, bias: Tensor | None, stride: Any,
                         padding: Any, output_padding: Any, groups: int, dilation: Any) -> Tensor:
    strides, steps = shapes.pair(stride, ndim, "stride", op), shapes.pair(dilation, ndim, "dilation", op)
    borders = shapes.pair(padding, ndim, "padding", op)
    extras = shapes.pair(output_padding, ndim, "output_padding", op)
    single = input.ndim == ndim + 1
    if single:
        input = input.unsqueeze(0)
    _check_arguments(op, ndim, input, weight, strides, steps, groups)
    if input.shape[1] != weight.shape[0]:
        raise ShapeError(f"Given transposed=1, weight of size {list(weight.shape)}, expected input{list(input.shape)} "
                         f"to have {weight.shape[0]} channels, but got {input.shape[1]} channels instead")
    if any(extra >= max(jump, step) for extra, jump, step in zip(extras, strides, steps, strict=True)):
        raise ArgumentError(f"{op}: output padding must be smaller than either stride or dilation, but got "
                            f"output_padding={extras}, stride={strides}, dilation={steps}")
    spatial = tuple([(size - 1) * jump - 2 * border + step * (width - 1) + extra + 1
                     for size, jump, border, step, width, extra
                     in zip(input.shape[2:], strides, borders, steps, weight.shape[2:], extras, strict=True)])
    result: Tensor = convolution_transposed(input, weight, bias, spatial, strides, borders, steps, groups)
    return result.squeeze(0) if single else result


@composite(namespace="nn.functional", method=False, samples=_samples_of_transpose(1))
def conv_transpose1d(input: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Any = 1, padding: Any = 0,
                     output_padding: Any = 0, groups: int = 1, dilation: Any = 1) -> Tensor:
    """The transpose of `conv1d`: input (N, C, L) or (C, L), weight (C, O / groups, K).

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.conv_transpose1d.html

    >>> import flambeau as torch
    >>> torch.nn.functional.conv_transpose1d(torch.ones(1, 1, 3), torch.ones(1, 1, 2))
    tensor([[[1., 2., 2., 1.]]])
    """
    return _convolve_transposed("conv_transpose1d", 1, input, weight, bias, stride, padding, output_padding, groups,
                                dilation)


@composite(namespace="nn.functional", method=False, samples=_samples_of_transpose(2))
def conv_transpose2d(input: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Any = 1, padding: Any = 0,
                     output_padding: Any = 0, groups: int = 1, dilation: Any = 1) -> Tensor:
    """The transpose of `conv2d`: input (N, C, H, W) or (C, H, W), weight (C, O / groups, KH, KW).

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.conv_transpose2d.html

    >>> import flambeau as torch
    >>> torch.nn.functional.conv_transpose2d(torch.ones(1, 1, 2, 2), torch.ones(1, 1, 2, 2), stride=2).shape
    torch.Size([1, 1, 4, 4])
    """
    return _convolve_transposed("conv_transpose2d", 2, input, weight, bias, stride, padding, output_padding, groups,
                                dilation)


@composite(namespace="nn.functional", method=False, samples=_samples_of_transpose(3))
def conv_transpose3d(input: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Any = 1, padding: Any = 0,
                     output_padding: Any = 0, groups: int = 1, dilation: Any = 1) -> Tensor:
    """The transpose of `conv3d`: input (N, C, D, H, W) or (C, D, H, W), weight (C, O / groups, KD, KH, KW).

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.conv_transpose3d.html

    >>> import flambeau as torch
    >>> torch.nn.functional.conv_transpose3d(torch.ones(1, 3, 4, 4, 4), torch.ones(3, 2, 3, 3, 3)).shape
    torch.Size([1, 2, 6, 6, 6])
    """
    return _convolve_transposed("conv_transpose3d", 3, input, weight, bias, stride, padding, output_padding, groups,
                                dilation)
