"""Casts and copies between dtypes, devices and tensors."""

from __future__ import annotations

from typing import Any

from flambeau import discovery, dtypes
from flambeau.device import device as device_type
from flambeau.discovery import Kind
from flambeau.dispatch import operator, primitive
from flambeau.dispatch.inplace import write_inplace
from flambeau.dtypes import dtype
from flambeau.shapes import Shape
from flambeau.tensor import Tensor, attach, make


@primitive(vjp={"input": lambda g: g}, dtype_rule="any", method=False, grad_name="ToCopyBackward0")
def _cast(input: Tensor, dtype: dtype) -> Shape:
    """The values in another dtype on the same device; the walk casts the gradient back."""
    return input.shape


@primitive(vjp={"input": lambda g: g}, dtype_rule="any")
def clone(input: Tensor) -> Shape:
    """A contiguous copy.

    >>> import flambeau as torch
    >>> torch.ones(2).clone()
    tensor([1., 1.])
    """
    return input.shape


@operator(vjp={"input": lambda g: g}, method=False, grad_name="ToCopyBackward0")
def _transfer(input: Tensor, kind: Kind) -> Tensor:
    """The values on another device, through the host; the walk moves the gradient back."""
    host_array = input._kind.backend.to_host(input._array)
    there = kind.to(input._kind.dtype)
    return make(there.backend.from_host(host_array, there.index), there)


def convert(input: Tensor, kind: Kind) -> Tensor:
    """The tensor in another dtype or on another device; itself if it is of that kind already."""
    if input._kind is kind:
        return input
    if input._kind.device is not kind.device:
        input = _transfer(input, kind)
    return input if input._kind is kind else _cast(input, kind.dtype)


@attach
def to(self: Tensor, *args: Any, dtype: Any = None, device: Any = None, copy: bool = False,
       non_blocking: bool = False, memory_format: Any = None) -> Tensor:
    """The tensor with another dtype or device: `to(dtype)`, `to(device)`, `to(device, dtype)`, `to(other)`.

    Itself where nothing changes, unless `copy`.

    >>> import flambeau as torch
    >>> torch.ones(2).to(torch.int64)
    tensor([1, 1])
    """
    for each in args:
        if isinstance(each, Tensor):
            dtype, device = each._kind.dtype, each._kind.device
        elif isinstance(each, dtypes.dtype):
            dtype = each
        elif isinstance(each, (str, device_type, int)) and not isinstance(each, bool):
            device = each
    kind = self._kind
    wanted = discovery.kind_of(kind.dtype if dtype is None else dtypes.as_dtype(dtype),
                               kind.device if device is None else device)
    return self.clone() if copy and wanted is kind else convert(self, wanted)


@operator(vjp={"src": lambda g: g}, method=False)
def _copy(input: Tensor, src: Tensor) -> Tensor:
    """What `copy_` puts into the input: `src`, cast and broadcast."""
    return convert(src, input._kind).expand(input._array.shape)


@attach
def copy_(self: Tensor, src: Any, non_blocking: bool = False) -> Tensor:
    """Overwrite the tensor with the values of `src`, cast, moved and broadcast to fit. Returns the tensor."""
    return write_inplace(_copy.op, (self, src), lambda: _copy(self, src), self)  # type: ignore[attr-defined]
