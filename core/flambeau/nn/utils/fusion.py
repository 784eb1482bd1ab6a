"""A batch normalisation in evaluation is a factor and a summand per channel: a layer before it can take them over."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, TypeVar

from flambeau.nn.modules.module import Module
from flambeau.nn.parameter import Parameter
from flambeau.ops.creation import ones_like, zeros_like
from flambeau.ops.elementwise import rsqrt
from flambeau.tensor import Tensor

if TYPE_CHECKING:
    from flambeau.nn.modules.linear import Linear

__all__ = ["fuse_conv_bn_eval", "fuse_conv_bn_weights", "fuse_linear_bn_eval", "fuse_linear_bn_weights"]

ConvT = TypeVar("ConvT", bound=Module)
LinearT = TypeVar("LinearT", bound="Linear")


def _check(layer: Module, bn: Any) -> None:
    if layer.training or bn.training:
        raise AssertionError("Fusion only for eval!")
    if bn.running_mean is None or bn.running_var is None:
        raise AssertionError("bn.running_mean and bn.running_var must not be None")


def fuse_conv_bn_eval(conv: ConvT, bn: Any, transpose: bool = False) -> ConvT:
    """One convolution that does what a convolution and the batch normalisation behind it do in evaluation.

    Args:
        conv: the convolution.
        bn: the batch normalisation.
        transpose: whether the convolution is a transposed one.

    AssertionError where one of them is in training, or there are no running statistics.

    >>> import flambeau as torch
    >>> conv, norm = torch.nn.Conv2d(1, 2, 3).eval(), torch.nn.BatchNorm2d(2).eval()
    >>> x = torch.ones(1, 1, 4, 4)
    >>> torch.allclose(torch.nn.utils.fuse_conv_bn_eval(conv, norm)(x), norm(conv(x)))
    True
    """
    _check(conv, bn)
    fused: Any = copy.deepcopy(conv)
    fused.weight, fused.bias = fuse_conv_bn_weights(fused.weight, fused.bias, bn.running_mean, bn.running_var, bn.eps,
                                                    bn.weight, bn.bias, transpose)
    return fused


def fuse_conv_bn_weights(
    conv_w: Tensor, conv_b: Tensor | None, bn_rm: Tensor, bn_rv: Tensor, bn_eps: float, bn_w: Tensor | None,
    bn_b: Tensor | None, transpose: bool = False,
) -> tuple[Parameter, Parameter]:
    """The weight and the bias of such a convolution.

    Args:
        conv_w: the convolution's weight.
        conv_b: its bias, if it has one.
        bn_rm: the running mean.
        bn_rv: the running variance.
        bn_eps: what is added to it.
        bn_w: the normalisation's weight, if it has one.
        bn_b: its bias, if it has one.
        transpose: whether the convolution is a transposed one.
    """
    bias_dtype = conv_w.dtype if conv_b is None else conv_b.dtype
    conv_b = zeros_like(bn_rm) if conv_b is None else conv_b
    factor = rsqrt(bn_rv + bn_eps) * (ones_like(bn_rm) if bn_w is None else bn_w)
    shape = [1] * conv_w.dim()
    shape[1 if transpose else 0] = -1
    weight = (conv_w * factor.reshape(shape)).to(conv_w.dtype)
    bias = ((conv_b - bn_rm) * factor + (zeros_like(bn_rm) if bn_b is None else bn_b)).to(bias_dtype)
    return Parameter(weight.detach(), conv_w.requires_grad), Parameter(bias.detach(), conv_b.requires_grad)


def fuse_linear_bn_eval(linear: LinearT, bn: Any) -> LinearT:
    """One linear layer that does what a linear layer and the batch normalisation behind it do in evaluation.

    AssertionError where one of them is in training, there are no running statistics, or the numbers of features differ.

    >>> import flambeau as torch
    >>> linear, norm = torch.nn.Linear(3, 2).eval(), torch.nn.BatchNorm1d(2).eval()
    >>> x = torch.ones(1, 3)
    >>> torch.allclose(torch.nn.utils.fuse_linear_bn_eval(linear, norm)(x), norm(linear(x)))
    True
    """
    _check(linear, bn)
    if bn.num_features not in (linear.out_features, 1):
        raise AssertionError("To fuse, linear.out_features == bn.num_features or bn.num_features == 1, got "
                             f"linear.out_features={linear.out_features} and bn.num_features={bn.num_features}")
    fused = copy.deepcopy(linear)
    fused.weight, fused.bias = fuse_linear_bn_weights(fused.weight, fused.bias, bn.running_mean, bn.running_var,
                                                      bn.eps, bn.weight, bn.bias)
    return fused


def fuse_linear_bn_weights(
    linear_w: Tensor, linear_b: Tensor | None, bn_rm: Tensor, bn_rv: Tensor, bn_eps: float, bn_w: Tensor, bn_b: Tensor
) -> tuple[Parameter, Parameter]:
    """The weight and the bias of such a linear layer; the arguments are those of `fuse_conv_bn_weights`."""
    bias_dtype = linear_w.dtype if linear_b is None else linear_b.dtype
    linear_b = zeros_like(bn_rm) if linear_b is None else linear_b
    factor = bn_w * rsqrt(bn_rv + bn_eps)
    weight = linear_w * factor.unsqueeze(-1).to(linear_w.dtype)
    bias = ((linear_b - bn_rm) * factor + bn_b).to(bias_dtype)
    return Parameter(weight.detach(), linear_w.requires_grad), Parameter(bias.detach(), linear_b.requires_grad)
