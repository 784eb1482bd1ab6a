"""The forms that `torch.cuda.amp` and `torch.cpu.amp` still have: those of `torch.amp` with the device type left out.

Each says with a FutureWarning what to write instead.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

from flambeau import dtypes
from flambeau.amp import autocast_mode, custom as present, grad_scaler as scaling


def _deprecated(old: str, new: str) -> None:
    warnings.warn(f"`torch.{old}` is deprecated. Please use `torch.{new}` instead.", FutureWarning, stacklevel=3)


def autocast(name: str, default: dtypes.dtype) -> type[autocast_mode.autocast]:
    """`autocast` of a device type, with its default dtype."""
    class autocast(autocast_mode.autocast):  # noqa: N801 - PyTorch's name
        def __init__(self, enabled: bool = True, dtype: dtypes.dtype = default, cache_enabled: bool = True) -> None:
            _deprecated(f"{name}.amp.autocast(args...)", f"amp.autocast('{name}', args...)")
            super().__init__(name, enabled=enabled, dtype=dtype, cache_enabled=cache_enabled)

    autocast.__doc__ = f"`torch.amp.autocast({name!r}, ...)`, deprecated."
    return _placed(autocast, name, "autocast_mode")


def grad_scaler(name: str) -> type[scaling.GradScaler]:
    """`GradScaler` of a device type."""
    class GradScaler(scaling.GradScaler):
        def __init__(self, init_scale: float = 2.0 ** 16, growth_factor: float = 2.0, backoff_factor: float = 0.5,
                     growth_interval: int = 2000, enabled: bool = True) -> None:
            _deprecated(f"{name}.amp.GradScaler(args...)", f"amp.GradScaler('{name}', args...)")
            super().__init__(name, init_scale, growth_factor, backoff_factor, growth_interval, enabled)

    GradScaler.__doc__ = f"`torch.amp.GradScaler({name!r}, ...)`, deprecated."
    return _placed(GradScaler, name, "grad_scaler")


def custom(name: str) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """`custom_fwd` and `custom_bwd` of a device type."""
    def custom_fwd(fwd: Callable[..., Any] | None = None, *, cast_inputs: dtypes.dtype | None = None) -> Any:
        """`torch.amp.custom_fwd` for this device type, deprecated."""
        _deprecated(f"{name}.amp.custom_fwd(args...)", f"amp.custom_fwd(args..., device_type='{name}')")
        return present.custom_fwd(fwd, device_type=name, cast_inputs=cast_inputs)

    def custom_bwd(bwd: Callable[..., Any]) -> Any:
        """`torch.amp.custom_bwd` for this device type, deprecated."""
        _deprecated(f"{name}.amp.custom_bwd(args...)", f"amp.custom_bwd(args..., device_type='{name}')")
        return present.custom_bwd(bwd, device_type=name)
    return custom_fwd, custom_bwd


def _placed(cls: Any, name: str, module: str) -> Any:
    """The class as one of its public module, by which it is pickled."""
    cls.__module__, cls.__qualname__ = f"flambeau.{name}.amp.{module}", cls.__name__
    return cls
