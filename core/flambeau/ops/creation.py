"""Factories: tensors from values, shapes and host arrays."""

from __future__ import annotations

from typing import Any

from flambeau import discovery, dtypes
from flambeau.device import get_default_device
from flambeau.discovery import Kind
from flambeau.shapes import as_shape
from flambeau.tensor import Tensor, make


def factory_kind(dtype: Any, device: Any, default: Any = None) -> Kind:
    """The kind of a new tensor, from the arguments `dtype` and `device` of a factory."""
    wanted = (default or dtypes.get_default_dtype()) if dtype is None else dtypes.as_dtype(dtype)
    return discovery.kind_of(wanted, get_default_device() if device is None else device)


def from_numpy(ndarray: Any) -> Tensor:
    """A tensor over the memory of a NumPy array."""
    host = discovery.host()
    return make(ndarray, discovery.kind_of(host.dtype_of(ndarray), "cpu"))


def full(size: Any, fill_value: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """A tensor filled with one value."""
    kind = factory_kind(dtype, device, dtypes.of_python(type(fill_value)))
    array = kind.kernels["full"](as_shape((size,)), fill_value, kind.dtype, kind.index)
    result = make(array, kind)
    if requires_grad:
        result.requires_grad = True
    return result
