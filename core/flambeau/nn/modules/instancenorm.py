"""Instance normalisation: per channel and sample, over space."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

from flambeau.errors import ArgumentValueError
from flambeau.nn import functional as F
from flambeau.nn.modules.batchnorm import _LazyNormBase, _NormBase
from flambeau.tensor import Tensor

__all__ = ["InstanceNorm1d", "InstanceNorm2d", "InstanceNorm3d", "LazyInstanceNorm1d", "LazyInstanceNorm2d",
           "LazyInstanceNorm3d"]


class _InstanceNorm(_NormBase):
    """What the layers for one, two and three dimensions share; ``_dims`` is the number of an input without a batch."""

    _dims: int

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = False,
        track_running_stats: bool = False,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__(num_features, eps, momentum, affine, track_running_stats, device, dtype, bias=bias)

    def _get_no_batch_dim(self) -> int:
        return self._dims

    def _check_input_dim(self, input: Tensor) -> None:
        if input.dim() not in (self._dims, self._dims + 1):
            raise ArgumentValueError(
                f"expected {self._dims}D or {self._dims + 1}D input (got {input.dim()}D input)"
            )

    def _handle_no_batch_input(self, input: Tensor) -> Tensor:
        return self._apply_instance_norm(input.unsqueeze(0)).squeeze(0)

    def _apply_instance_norm(self, input: Tensor) -> Tensor:
        return F.instance_norm(
            input,
            self.running_mean,
            self.running_var,
            self.weight,
            self.bias,
            self.training or not self.track_running_stats,
            0.0 if self.momentum is None else self.momentum,
            self.eps,
        )

    def _load_from_state_dict(
        self,
        state_dict: Mapping[str, Any],
        prefix: str,
        local_metadata: dict[str, Any],
        strict: bool,
        missing_keys: list[str],
        unexpected_keys: list[str],
        error_msgs: list[str],
    ) -> None:
        if local_metadata.get("version") is None and not self.track_running_stats:
            # Files of PyTorch before 0.4 hold statistics even where none are wanted.
            found = [name for name in ("running_mean", "running_var") if prefix + name in state_dict]
            if found:
                kind = type(self).__name__
                listed = " and ".join(f'"{prefix}{name}"' for name in found)
                error_msgs.append(
                    f"Unexpected running stats buffer(s) {listed} for {kind} with track_running_stats=False: "
                    "checkpoints of PyTorch before 0.4.0 hold them always. Remove these keys from state_dict, or make "
                    f"the layer with track_running_stats=True if they are wanted. See the documentation of {kind}."
                )
                for name in found:
                    state_dict.pop(prefix + name)  # type: ignore[attr-defined]  # a copy that may be changed
        super()._load_from_state_dict(
            state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs
        )

    def forward(self, input: Tensor) -> Tensor:
        """Apply the layer; while training with statistics, this also updates these."""
        self._check_input_dim(input)
        channels = input.dim() - self._get_no_batch_dim()
        size = input.shape[channels]
        if size != self.num_features:
            if self.affine:
                raise ArgumentValueError(
                    f"expected input's size at dim={channels} to match num_features ({self.num_features}), but got: "
                    f"{size}."
                )
            warnings.warn(
                f"input's size at dim={channels} does not match num_features. You can silence this warning by not "
                "passing in num_features, which is not used because affine=False",
                stacklevel=2,
            )
        if channels == 0:
            return self._handle_no_batch_input(input)
        return self._apply_instance_norm(input)


class InstanceNorm1d(_InstanceNorm):
    """Instance normalisation of (N, C, L) or (C, L); the arguments are those of ``InstanceNorm2d``.

    >>> import flambeau as torch
    >>> torch.nn.InstanceNorm1d(1)(torch.tensor([[[1.0, 3.0]]]))
    tensor([[[-1.0000,  1.0000]]])
    """

    _dims = 2


class InstanceNorm2d(_InstanceNorm):
    """Instance normalisation of (N, C, H, W) or (C, H, W): each channel of each sample by its own mean and variance.

    Args:
        num_features: C.
        eps: added to the variance.
        momentum: weight of a new batch in the running statistics.
        affine: whether ``weight`` and ``bias`` are learned.
        track_running_stats: keep running statistics and use them in evaluation mode.
        device: where the parameters live.
        dtype: the parameters' dtype.
        bias: whether there is a bias among the learned.

    Raises ValueError for an input of other dimensions, and for one of other channels where there are parameters.

    >>> import flambeau as torch
    >>> torch.nn.InstanceNorm2d(3)(torch.zeros(2, 3, 4, 4)).shape
    torch.Size([2, 3, 4, 4])
    """

    _dims = 3


class InstanceNorm3d(_InstanceNorm):
    """Instance normalisation of (N, C, D, H, W) or (C, D, H, W); the arguments are those of ``InstanceNorm2d``.

    >>> import flambeau as torch
    >>> torch.nn.InstanceNorm3d(3)(torch.zeros(3, 2, 4, 4)).shape
    torch.Size([3, 2, 4, 4])
    """

    _dims = 4


class LazyInstanceNorm1d(_LazyNormBase, _InstanceNorm):
    """``InstanceNorm1d`` without ``num_features``, the size of dimension 1 of its first input.

    The other arguments are the same, but ``affine`` and ``track_running_stats`` are on.

    >>> import flambeau as torch
    >>> torch.nn.LazyInstanceNorm1d()(torch.zeros(2, 3, 4)).shape
    torch.Size([2, 3, 4])
    """

    cls_to_become = InstanceNorm1d
    _dims = 2


class LazyInstanceNorm2d(_LazyNormBase, _InstanceNorm):
    """``InstanceNorm2d`` without ``num_features``, the size of dimension 1 of its first input.

    The other arguments are the same, but ``affine`` and ``track_running_stats`` are on.

    >>> import flambeau as torch
    >>> torch.nn.LazyInstanceNorm2d()(torch.zeros(2, 3, 4, 4)).shape
    torch.Size([2, 3, 4, 4])
    """

    cls_to_become = InstanceNorm2d
    _dims = 3


class LazyInstanceNorm3d(_LazyNormBase, _InstanceNorm):
    """``InstanceNorm3d`` without ``num_features``, the size of dimension 1 of its first input.

    The other arguments are the same, but ``affine`` and ``track_running_stats`` are on.

    >>> import flambeau as torch
    >>> torch.nn.LazyInstanceNorm3d()(torch.zeros(2, 3, 2, 4, 4)).shape
    torch.Size([2, 3, 2, 4, 4])
    """

    cls_to_become = InstanceNorm3d
    _dims = 4
