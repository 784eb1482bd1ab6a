"""Normalisation by statistics of each sample alone, or of neighbouring channels."""

from __future__ import annotations

from numbers import Integral
from typing import Any

from flambeau.autograd import Function
from flambeau.errors import ArgumentValueError
from flambeau.nn import functional as F, init
from flambeau.nn.modules.module import Module
from flambeau.nn.parameter import Parameter
from flambeau.ops.creation import empty
from flambeau.tensor import Tensor

__all__ = ["CrossMapLRN2d", "GroupNorm", "LayerNorm", "LocalResponseNorm", "RMSNorm"]


def _shape(normalized_shape: Any) -> tuple[int, ...]:
    return (int(normalized_shape),) if isinstance(normalized_shape, Integral) else tuple(normalized_shape)


class LayerNorm(Module):
    """``(x - mean) / sqrt(var + eps) * weight + bias`` over the last dimensions.

    Args:
        normalized_shape: the extents of those dimensions.
        eps: added to the variance.
        elementwise_affine: whether ``weight`` and ``bias``, of that shape, are learned.
        bias: whether there is a bias among them.
        device: where the parameters live.
        dtype: the parameters' dtype.

    >>> import flambeau as torch
    >>> torch.nn.LayerNorm(4)(torch.zeros(2, 3, 4)).shape
    torch.Size([2, 3, 4])
    """

    weight: Parameter | None
    bias: Parameter | None

    def __init__(
        self,
        normalized_shape: Any,
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.normalized_shape = _shape(normalized_shape)
        self.eps = eps
        self.elementwise_affine = elementwise_affine
        for name, wanted in (("weight", elementwise_affine), ("bias", elementwise_affine and bias)):
            self.register_parameter(
                name, Parameter(empty(self.normalized_shape, device=device, dtype=dtype)) if wanted else None
            )
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Weight one, bias zero."""
        if self.weight is not None:
            init.ones_(self.weight)
        if self.bias is not None:
            init.zeros_(self.bias)

    def forward(self, input: Tensor) -> Tensor:
        """Apply the layer."""
        return F.layer_norm(input, self.normalized_shape, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        """The options."""
        return (
            f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}, "
            f"bias={self.bias is not None}"
        )


class GroupNorm(Module):
    """Normalises (N, C, *) over groups of channels.

    Args:
        num_groups: into how many groups the channels are divided.
        num_channels: C, a multiple of it.
        eps: added to the variance.
        affine: whether ``weight`` and ``bias``, per channel, are learned.
        device: where the parameters live.
        dtype: the parameters' dtype.
        bias: whether there is a bias among them.

    >>> import flambeau as torch
    >>> torch.nn.GroupNorm(3, 6)(torch.zeros(2, 6, 5, 5)).shape
    torch.Size([2, 6, 5, 5])
    """

    weight: Parameter | None
    bias: Parameter | None

    def __init__(
        self,
        num_groups: int,
        num_channels: int,
        eps: float = 1e-5,
        affine: bool = True,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__()
        if num_channels % num_groups != 0:
            raise ArgumentValueError(
                f"num_channels ({num_channels}) must be divisible by num_groups ({num_groups})"
            )
        self.num_groups = num_groups
        self.num_channels = num_channels
        self.eps = eps
        self.affine = affine
        for name, wanted in (("weight", affine), ("bias", affine and bias)):
            self.register_parameter(
                name, Parameter(empty(num_channels, device=device, dtype=dtype)) if wanted else None
            )
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Weight one, bias zero."""
        if self.weight is not None:
            init.ones_(self.weight)
        if self.bias is not None:
            init.zeros_(self.bias)

    def forward(self, input: Tensor) -> Tensor:
        """Apply the layer."""
        return F.group_norm(input, self.num_groups, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        """The options."""
        return (
            f"{self.num_groups}, {self.num_channels}, eps={self.eps}, affine={self.affine}, "
            f"bias={self.bias is not None}"
        )


class RMSNorm(Module):
    """``x / sqrt(mean(x²) + eps) * weight`` over the last dimensions.

    Args:
        normalized_shape: the extents of those dimensions.
        eps: added to the mean; the dtype's machine epsilon if ``None``.
        elementwise_affine: whether ``weight``, of that shape, is learned.
        device: where the weight lives.
        dtype: its dtype.

    >>> import flambeau as torch
    >>> torch.nn.RMSNorm(4)(torch.ones(2, 4)).shape
    torch.Size([2, 4])
    """

    weight: Parameter | None

    def __init__(
        self,
        normalized_shape: Any,
        eps: float | None = None,
        elementwise_affine: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.normalized_shape = _shape(normalized_shape)
        self.eps = eps
        self.elementwise_affine = elementwise_affine
        self.register_parameter(
            "weight",
            Parameter(empty(self.normalized_shape, device=device, dtype=dtype)) if elementwise_affine else None,
        )
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Weight one."""
        if self.weight is not None:
            init.ones_(self.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Apply the layer."""
        return F.rms_norm(x, self.normalized_shape, self.weight, self.eps)

    def extra_repr(self) -> str:
        """The options."""
        return f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}"


class LocalResponseNorm(Module):
    """(N, C, *) divided by ``(k + alpha * mean square over neighbouring channels) ** beta``.

    Args:
        size: how many channels take part.
        alpha: what their mean square is multiplied by.
        beta: the exponent.
        k: what is added.

    >>> import flambeau as torch
    >>> torch.nn.LocalResponseNorm(2)(torch.zeros(3, 5, 4)).shape
    torch.Size([3, 5, 4])
    """

    def __init__(self, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> None:
        super().__init__()
        self.size = size
        self.alpha = alpha
        self.beta = beta
        self.k = k

    def forward(self, input: Tensor) -> Tensor:
        """Apply the layer."""
        return F.local_response_norm(input, self.size, self.alpha, self.beta, self.k)

    def extra_repr(self) -> str:
        """The options."""
        return f"{self.size}, alpha={self.alpha}, beta={self.beta}, k={self.k}"


def _summed(values: Tensor, rows: list[list[bool]]) -> Tensor:
    """(N, C, H, W) with sums over those channels that each row of a table names."""
    table = values.new_tensor([[float(each) for each in row] for row in rows])
    return (table @ values.flatten(2)).reshape(values.shape)


class _CrossMapLRN(Function):
    """A function of its own because PyTorch's gradient is not that of its values."""

    @staticmethod
    def forward(ctx: Any, input: Tensor, size: int, alpha: float, beta: float, k: float) -> Tensor:
        """What has left the window goes out of the sum, but not the first channel."""
        reach, count = int((size - 1) / 2 + 1), input.shape[1]
        rows = [[abs(mine - other) < reach or (other == 0 and mine >= reach) for other in range(count)]
                for mine in range(count)]
        scale = _summed(input * input, rows) * (alpha / size) + k
        ctx.options = size, alpha, beta
        ctx.save_for_backward(input, scale)
        return input * scale ** -beta

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        """The share of the channel's own element, and that of the sums it is in."""
        (input, scale), (size, alpha, beta) = ctx.saved_tensors, ctx.options
        low, count = -int(size - (size - 1) / 2), input.shape[1]
        rows = [[low <= other - mine < low + size for other in range(count)] for mine in range(count)]
        powers = scale ** -beta
        shared = _summed(g * input * powers / scale, rows)
        return g * powers - input * shared * (2 * alpha * beta / size), None, None, None, None


class CrossMapLRN2d(Module):
    """(N, C, H, W) normalised over neighbouring channels as early networks did it; ``LocalResponseNorm`` replaces it.

    The numbers are those of PyTorch's layer, whose windows are not quite symmetric: the first channel stays in the
    sums of later ones, and the windows of its gradient lie one channel lower.

    Args:
        size: how many channels take part.
        alpha: what their mean square is multiplied by.
        beta: the exponent.
        k: what is added.

    >>> import flambeau as torch
    >>> torch.nn.CrossMapLRN2d(3)(torch.zeros(1, 4, 2, 2)).shape
    torch.Size([1, 4, 2, 2])
    """

    def __init__(self, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1) -> None:
        super().__init__()
        self.size = size
        self.alpha = alpha
        self.beta = beta
        self.k = k

    def forward(self, input: Tensor) -> Tensor:
        """Apply the layer. ValueError for an input that is not 4D."""
        if input.dim() != 4:
            raise ArgumentValueError(f"CrossMapLRN2d: Expected input to be 4D, got {input.dim()}D instead.")
        result: Tensor = _CrossMapLRN.apply(input, self.size, self.alpha, self.beta, self.k)
        return result

    def extra_repr(self) -> str:
        """The options."""
        return f"{self.size}, alpha={self.alpha}, beta={self.beta}, k={self.k}"
