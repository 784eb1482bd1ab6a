"""`autocast`: a block, or a function, in which each operator runs in the precision that suits it.

Source: https://docs.pytorch.org/docs/stable/amp.html
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from typing import Any

from flambeau import discovery, dtypes
from flambeau.amp import state
from flambeau.device import device as device_of
from flambeau.dtypes import dtype
from flambeau.errors import ArgumentError, ArgumentTypeError, ArgumentValueError, DeviceError, message

__all__ = ["autocast", "autocast_decorator", "is_autocast_available"]

# Device types that PyTorch autocasts for: a program that asks for one that is not here is told so, and runs without.
_KNOWN = frozenset(("cpu", "cuda", "hpu", "ipu", "maia", "mps", "mtia", "xla", "xpu"))


def is_autocast_available(device_type: str) -> bool:
    """Whether there is autocast for a device type: for those that a backend serves, and those that PyTorch knows.

    >>> import flambeau as torch
    >>> torch.amp.is_autocast_available("cpu"), torch.amp.is_autocast_available("toaster")
    (True, False)
    """
    name = device_of(device_type).type
    return name in _KNOWN or name in discovery.offered()


def is_usable(device_type: str) -> bool:
    """Whether there is a device of that type."""
    try:
        return discovery.device_count(device_type) > 0
    except DeviceError:
        return False  # its backend is disabled


class autocast:  # noqa: N801 - PyTorch's name
    """Mixed precision inside a `with` block or a decorated function, for tensors on one type of device, in this thread.

    `dtype` is what products are computed in (by default `torch.get_autocast_dtype(device_type)`: bfloat16 on "cpu",
    float16 on accelerators). Blocks nest, the inner one holds; with `enabled=False` everything runs in the dtype of
    its operands. With `cache_enabled` casts of parameters are kept to the end of the outermost block.

    Only the forward pass and the loss belong into the block: backward computes in the dtypes that forward chose.
    ValueError for a device type that is no string, RuntimeError for one that nobody knows, a warning (and no autocast)
    for a dtype of other than 16 bits, or where there is no such device.

    >>> import flambeau as torch
    >>> x = torch.ones(2, 2)
    >>> with torch.autocast("cpu"):
    ...     low = x @ x
    ...     with torch.autocast("cpu", enabled=False):
    ...         full = x @ x
    >>> low.dtype, full.dtype
    (torch.bfloat16, torch.float32)
    """

    def __init__(self, device_type: str, dtype: dtype | None = None, enabled: bool = True,
                 cache_enabled: bool | None = None) -> None:
        if not isinstance(device_type, str):
            raise ArgumentValueError(f"Expected `device_type` of type `str`, got: `{type(device_type)}`")
        if not is_autocast_available(device_type):
            raise ArgumentError(message("autocast", f"User specified an unsupported autocast device_type "
                                        f"'{device_type}'", allowed=", ".join(sorted(_KNOWN | {*discovery.offered()}))))
        self.device = device_of(device_type).type
        self.fast_dtype = state.get_autocast_dtype(device_type) if dtype is None else dtype
        self._cache_enabled = state.is_autocast_cache_enabled() if cache_enabled is None else cache_enabled
        self._enabled = bool(enabled) and self._is_possible()
        self._before: list[tuple[bool, dtypes.dtype, bool]] = []   # one entry per time that it is entered

    def _is_possible(self) -> bool:
        name = self.device.upper()
        if not is_usable(self.device):
            warnings.warn(f"{name} is not available. Disabling autocast.", UserWarning, stacklevel=_caller())
            return False
        stored = discovery.backend_for(self.device).capabilities.storage_dtypes
        supported = [each for each in (dtypes.bfloat16, dtypes.float16) if each in stored]
        if self.fast_dtype not in supported:
            warnings.warn(f"In {name} autocast, but the target dtype is not supported. Disabling autocast.\n{name} "
                          f"Autocast only supports dtypes of {', '.join(map(str, supported))} currently.",
                          UserWarning, stacklevel=_caller())
            return False
        return True

    def __enter__(self) -> autocast:
        self._before.append((state.is_autocast_enabled(self.device), state.get_autocast_dtype(self.device),
                             state.is_autocast_cache_enabled()))
        state.autocast_increment_nesting()
        self._set(self._enabled, self.fast_dtype, self._cache_enabled)
        return self

    def __exit__(self, *exc: object) -> None:
        if state.autocast_decrement_nesting() == 0:
            state.clear_autocast_cache()
        self._set(*self._before.pop())

    def _set(self, enabled: bool, dtype: dtypes.dtype, cache_enabled: bool) -> None:
        state.set_autocast_dtype(self.device, dtype)
        state.set_autocast_enabled(self.device, enabled)
        state.set_autocast_cache_enabled(cache_enabled)

    def __call__(self, func: Callable[..., Any]) -> Callable[..., Any]:
        if not callable(func):
            raise ArgumentTypeError(f"autocast()(func) requires a callable, but got {type(func).__name__}. To use "
                                    "autocast as a context manager, write `with torch.autocast(device_type=...):`")
        return autocast_decorator(self, func)


def _caller() -> int:
    """The stack level of whoever constructed an autocast, past the constructors of subclasses."""
    import sys
    frame, level = sys._getframe(1), 1
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith("flambeau"):
        frame, level = frame.f_back, level + 1
    return level


def autocast_decorator(autocast_instance: autocast, func: Callable[..., Any]) -> Callable[..., Any]:
    """A function that runs inside an autocast block."""
    @functools.wraps(func)
    def decorate_autocast(*args: Any, **kwargs: Any) -> Any:
        with autocast_instance:
            return func(*args, **kwargs)
    return decorate_autocast


def _enter_autocast(*values: Any) -> autocast:
    """Begin an autocast block that `_exit_autocast` ends."""
    return autocast(*values).__enter__()


def _exit_autocast(mode: autocast) -> None:
    """End a block that `_enter_autocast` began."""
    mode.__exit__(None, None, None)
