"""Dropout: products with random masks, so that the gradient is the mask's product too."""

from __future__ import annotations

import math
import warnings
from typing import Any

from flambeau.dispatch import composite
from flambeau.dtypes import scalar_name
from flambeau.errors import ArgumentError, ArgumentValueError, DtypeError
from flambeau.ops import draws
from flambeau.ops._samples import Calls, Samples, on
from flambeau.ops.factory import empty_array
from flambeau.shapes import Shape
from flambeau.tensor import Tensor, make

_ALPHA = 1.7580993408473766   # SELU's alpha times its scale: where dropped elements go


def _samples(*shape: int) -> Samples:
    """Nothing dropped, everything dropped, something dropped, and not in training."""
    def samples(make: Any) -> Calls:
        yield from on((shape, 0.0, True), (shape, 1.0, True), (shape, 0.25, False))(make)
        if make.dtype.is_floating_point:
            yield (make(*shape), 0.5, True), {}
    return samples


def _checked(p: float) -> float:
    if not 0.0 <= p <= 1.0:
        raise ArgumentValueError(f"dropout probability has to be between 0 and 1, but got {p}")
    return float(p)


def _dropped(input: Tensor, inplace: bool) -> Tensor:
    """What is left where everything is dropped: zeros of any dtype, without a draw."""
    return input.mul_(0) if inplace else input * input.new_zeros(())


def _mask(input: Tensor, p: float, record: Any) -> Tensor:
    """Draws of the input's shape and order of dimensions (which decides the order of the draws)."""
    kind, shape = input._kind, input._array.shape
    if kind.backend.is_contiguous(input._array):
        return record(shape, p, None, kind)
    array = empty_array(kind, shape, input)
    record(shape, p, None, kind, out=array)
    return make(array, kind)


@composite(namespace="torch nn.functional", method=False, samples=_samples(2, 3))
def dropout(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False, *,
            train: bool | None = None) -> Tensor:
    """In training, zeros with probability `p`, the rest scaled by 1 / (1 - p); else the input itself.

    Raises ValueError for a `p` outside [0, 1].

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.dropout.html

    >>> import flambeau as torch
    >>> torch.nn.functional.dropout(torch.ones(3), training=False)
    tensor([1., 1., 1.])
    """
    p = _checked(p)
    if not (training if train is None else train) or p == 0.0 or 0 in input._array.shape:
        return input
    if p == 1.0:
        return _dropped(input, inplace)
    mask = _mask(input, p, draws._dropout_mask)
    return input.mul_(mask) if inplace else input * mask


def _channels(shape: Shape) -> Shape:
    """The shape of a mask that keeps or drops whole channels: (N, C, 1, ...)."""
    return tuple([size if dim < 2 else 1 for dim, size in enumerate(shape)])


@composite(namespace="torch", method=False, samples=_samples(2, 3, 4))
def feature_dropout(input: Tensor, p: float = 0.5, train: bool = True) -> Tensor:
    """`dropout` of whole channels of an input (N, C, ...).

    >>> import flambeau as torch
    >>> torch.feature_dropout(torch.ones(1, 2, 3), 0.5, False).shape
    torch.Size([1, 2, 3])
    """
    return _feature_dropout(input, p, train, False)


def _feature_dropout(input: Tensor, p: float, train: bool, inplace: bool) -> Tensor:
    p = _checked(p)
    shape = input._array.shape
    if not train or p == 0.0 or 0 in shape:
        return input
    if p == 1.0:
        return _dropped(input, inplace)
    if len(shape) < 2:
        raise ArgumentError("Feature dropout requires at least 2 dimensions in the input; use dropout()")
    mask = draws._dropout_mask(_channels(shape), p, None, input._kind)
    return input.mul_(mask) if inplace else input * mask


@composite(namespace="nn.functional", method=False, samples=_samples(2, 3, 4))
def dropout1d(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """`dropout` of whole channels of an input (N, C, L) or (C, L).

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.dropout1d.html

    >>> import flambeau as torch
    >>> torch.nn.functional.dropout1d(torch.ones(2, 3, 4), training=False).shape
    torch.Size([2, 3, 4])
    """
    ndim = len(input._array.shape)
    if ndim not in (2, 3):
        raise ArgumentError(f"dropout1d: Expected 2D or 3D input, but received a {ndim}D input; (N, C, L) or (C, L)")
    return _batched(input, p, training, inplace, ndim == 3)


@composite(namespace="nn.functional", method=False, samples=_samples(2, 3, 4, 2))
def dropout2d(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """`dropout` of whole channels of an input (N, C, H, W). Three dimensions are taken as (N, C, L), with a warning.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.dropout2d.html

    >>> import flambeau as torch
    >>> torch.nn.functional.dropout2d(torch.ones(2, 3, 4, 4), training=False).shape
    torch.Size([2, 3, 4, 4])
    """
    ndim = len(input._array.shape)
    if ndim == 3:
        warnings.warn("dropout2d: Received a 3-D input to dropout2d and assuming that channel-wise 1D dropout behavior "
                      "is desired - input is interpreted as shape (N, C, L); use dropout1d, or add a batch dimension",
                      UserWarning, stacklevel=2)
    elif ndim != 4:
        _warn_of_dims("dropout2d", ndim, "4-D (N, C, H, W)")
    return _feature_dropout(input, p, training, inplace)


@composite(namespace="nn.functional", method=False, samples=_samples(1, 2, 3, 4, 2))
def dropout3d(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """`dropout` of whole channels of an input (N, C, D, H, W) or (C, D, H, W).

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.dropout3d.html

    >>> import flambeau as torch
    >>> torch.nn.functional.dropout3d(torch.ones(2, 3, 4, 4, 4), training=False).shape
    torch.Size([2, 3, 4, 4, 4])
    """
    ndim = len(input._array.shape)
    if ndim not in (4, 5):
        _warn_of_dims("dropout3d", ndim, "5-D (N, C, D, H, W) or 4-D (C, D, H, W)")
    return _batched(input, p, training, inplace, ndim == 5)


def _warn_of_dims(name: str, ndim: int, wanted: str) -> None:
    warnings.warn(f"{name}: Received a {ndim}-D input to {name}, which is deprecated and will result in an error in a "
                  f"future release; it takes {wanted}", UserWarning, stacklevel=3)


def _batched(input: Tensor, p: float, training: bool, inplace: bool, has_batch: bool) -> Tensor:
    if has_batch or not training or p == 0.0:
        return _feature_dropout(input, p, training, inplace)
    result = _feature_dropout(input.unsqueeze(0), p, training, inplace)
    return input if inplace else result.squeeze(0)


def _alpha(input: Tensor, p: float, training: bool, inplace: bool, channels: bool) -> Tensor:
    p = _checked(p)
    shape = input._array.shape
    if not training or p == 0.0 or 0 in shape:
        return input
    if p == 1.0:
        return _dropped(input, inplace)
    if channels and len(shape) < 2:
        raise ArgumentError("Feature dropout requires at least 2 dimensions in the input; use alpha_dropout()")
    if not input._kind.differentiable:
        raise DtypeError("alpha_dropout: result type Float can't be cast to the desired output type "
                         f"{scalar_name(input._kind.dtype)}; convert the input, for example to torch.float32")
    keep = draws._coins(_channels(shape), 1.0 - p, None, input._kind) if channels else \
        _mask(input, 1.0 - p, draws._coins)
    scale = 1.0 / math.sqrt((_ALPHA * _ALPHA * p + 1) * (1 - p))
    shift = (keep - 1) * (_ALPHA * scale) + _ALPHA * scale * p
    keep = keep * scale
    return input.mul_(keep).add_(shift) if inplace else input * keep + shift


@composite(namespace="torch nn.functional", method=False, samples=_samples(2, 3))
def alpha_dropout(input: Tensor, p: float = 0.5, training: bool = False, inplace: bool = False, *,
                  train: bool | None = None) -> Tensor:
    """Dropout that keeps mean and variance of standardised inputs, for use with SELU.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.alpha_dropout.html

    >>> import flambeau as torch
    >>> torch.nn.functional.alpha_dropout(torch.ones(3), 0.5, training=False)
    tensor([1., 1., 1.])
    """
    return _alpha(input, p, training if train is None else train, inplace, False)


@composite(namespace="torch nn.functional", method=False, samples=_samples(2, 3, 4))
def feature_alpha_dropout(input: Tensor, p: float = 0.5, training: bool = False, inplace: bool = False, *,
                          train: bool | None = None) -> Tensor:
    """`alpha_dropout` of whole channels of an input (N, C, ...).

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.feature_alpha_dropout.html

    >>> import flambeau as torch
    >>> torch.nn.functional.feature_alpha_dropout(torch.ones(1, 2, 3), training=False).shape
    torch.Size([1, 2, 3])
    """
    return _alpha(input, p, training if train is None else train, inplace, True)


def _inplace(name: str, call: Any) -> Any:
    def inplace(input: Tensor, p: float = 0.5, train: bool = True) -> Tensor:
        return call(input, p, train, True)
    inplace.__name__ = inplace.__qualname__ = name
    inplace.__doc__ = f"`{name[:-1]}` in place."
    return inplace


dropout_ = _inplace("dropout_", dropout)
alpha_dropout_ = _inplace("alpha_dropout_", alpha_dropout)
