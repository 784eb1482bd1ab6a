"""`custom_fwd` and `custom_bwd`: what a user's own `autograd.Function` does under autocast.

Source: https://docs.pytorch.org/docs/stable/notes/amp_examples.html#functions-with-custom-autograd
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from flambeau import dtypes
from flambeau.amp import state
from flambeau.amp.autocast_mode import autocast
from flambeau.dtypes import dtype
from flambeau.errors import ArgumentValueError
from flambeau.tensor import Tensor


def custom_fwd(fwd: Callable[..., Any] | None = None, *, device_type: str, cast_inputs: dtype | None = None) -> Any:
    """Decorate the `forward` of an `autograd.Function`: under autocast its floating-point arguments are cast to
    `cast_inputs`, and it runs with autocast off. Without `cast_inputs` it runs with autocast as it is.

    >>> import flambeau as torch
    >>> class Square(torch.autograd.Function):
    ...     @staticmethod
    ...     @torch.amp.custom_fwd(device_type="cpu", cast_inputs=torch.float32)
    ...     def forward(ctx, x):
    ...         ctx.save_for_backward(x)
    ...         return x * x
    ...     @staticmethod
    ...     @torch.amp.custom_bwd(device_type="cpu")
    ...     def backward(ctx, g):
    ...         return 2 * ctx.saved_tensors[0] * g
    >>> with torch.autocast("cpu"):
    ...     Square.apply(torch.ones(2, dtype=torch.bfloat16)).dtype
    torch.float32
    """
    _checked(device_type)
    if fwd is None:
        return functools.partial(custom_fwd, device_type=device_type, cast_inputs=cast_inputs)
    forward = fwd

    @functools.wraps(forward)
    def decorate_fwd(ctx: Any, *args: Any, **kwargs: Any) -> Any:
        enabled = state.is_autocast_enabled(device_type)
        ctx._dtype = state.get_autocast_dtype(device_type)
        ctx._fwd_used_autocast = enabled and cast_inputs is None
        if cast_inputs is None or not enabled:
            return forward(ctx, *args, **kwargs)
        with autocast(device_type, enabled=False):
            return forward(ctx, *_cast(args, device_type, cast_inputs), **_cast(kwargs, device_type, cast_inputs))
    return decorate_fwd


def custom_bwd(bwd: Callable[..., Any] | None = None, *, device_type: str) -> Any:
    """Decorate the `backward` of an `autograd.Function`: it runs with autocast as its `forward` did, which must be
    decorated with `custom_fwd`."""
    _checked(device_type)
    if bwd is None:
        return functools.partial(custom_bwd, device_type=device_type)
    backward = bwd

    @functools.wraps(backward)
    def decorate_bwd(ctx: Any, *args: Any, **kwargs: Any) -> Any:
        with autocast(device_type, ctx._dtype, enabled=ctx._fwd_used_autocast):
            return backward(ctx, *args, **kwargs)
    return decorate_bwd


def _checked(device_type: Any) -> None:
    if not isinstance(device_type, str):
        raise ArgumentValueError(f"Expected `device_type` of type `str`, got: `{type(device_type)}`")


def _cast(value: Any, device_type: str, wanted: dtype) -> Any:
    """A value, or nested containers of values, with tensors of a device type in another floating-point dtype."""
    if isinstance(value, Tensor):
        eligible = value.is_floating_point() and value.device.type == device_type \
            and value.dtype is not dtypes.float64
        return value.to(wanted) if eligible else value
    if isinstance(value, (str, bytes)) or hasattr(value, "__array__"):
        return value
    if isinstance(value, Mapping):
        return {_cast(key, device_type, wanted): _cast(each, device_type, wanted) for key, each in value.items()}
    if isinstance(value, Iterable):
        found = (_cast(each, device_type, wanted) for each in value)
        return type(value)(found) if isinstance(value, (list, tuple)) else found
    return value
