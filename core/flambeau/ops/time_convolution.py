"""Convolution of sequences laid out as time, batch, channels."""

from __future__ import annotations

from flambeau.dispatch import composite
from flambeau.errors import ShapeError
from flambeau.ops import _samples
from flambeau.ops.conv import conv1d
from flambeau.tensor import Tensor


@composite(namespace="torch nn.functional", method=False, samples=_samples.together(((5, 2, 3), (2, 3, 4), (4,))))
def conv_tbc(input: Tensor, weight: Tensor, bias: Tensor, pad: int = 0) -> Tensor:
    """Convolve (time, batch, channels) with (width, channels, out channels): (time + 2 pad - width + 1, batch, out).

    `bias` has an element per output channel. RuntimeError for sizes that do not go together.
    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.conv_tbc.html

    >>> import flambeau as torch
    >>> torch.nn.functional.conv_tbc(torch.ones(4, 1, 2), torch.ones(3, 2, 1), torch.zeros(1)).flatten()
    tensor([6., 6.])
    """
    if input.dim() != 3 or weight.dim() != 3 or bias.dim() != 1:
        raise ShapeError("conv_tbc: Input and weight must have 3 dimensions (time, batch, channels), bias one; given: "
                         f"{list(input.shape)}, {list(weight.shape)} and {list(bias.shape)}")
    if input.shape[2] != weight.shape[1] or bias.shape[0] != weight.shape[2]:
        raise ShapeError("conv_tbc: channels of input and weight, and sizes of bias and output must be equal; given: "
                         f"{list(input.shape)}, {list(weight.shape)} and {list(bias.shape)}")
    result = conv1d(input.permute(1, 2, 0), weight.permute(2, 1, 0), bias, padding=pad)
    return result.permute(2, 0, 1)
