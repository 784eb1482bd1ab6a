"""What autocast is doing in this thread: for which device types it is on, with which dtypes, and what it has cast.

The functions are those of PyTorch's top level; `autocast` is the way to use them. The mode itself is one object per
thread, on the stack of modes while autocast is on for any device type, so that other calls cost nothing.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from flambeau import discovery, dtypes
from flambeau.amp.mode import AutocastMode, Cache
from flambeau.backend import Capabilities
from flambeau.device import device
from flambeau.dtypes import dtype
from flambeau.errors import ArgumentTypeError

LEGACY = "cuda"   # the device type that PyTorch's functions mean where they are given none


class _State(threading.local):
    def __init__(self) -> None:
        self.enabled: dict[str, dtype] = {}      # device type -> dtype, of those for which autocast is on
        self.dtypes: dict[str, dtype] = {}       # what was set for others, too
        self.nesting = 0
        self.cache = Cache()
        self.mode = AutocastMode(self.enabled, self.cache)
        self.running = False                     # whether the mode is on the stack


_state = _State()


def _follow() -> None:
    """Put the mode on the stack, or take it off, as the state says. It stays to the end of the outermost block."""
    wanted = bool(_state.enabled) or (_state.running and _state.nesting > 0)
    if wanted and not _state.running:
        _state.mode.__enter__()
    elif _state.running and not wanted:
        _state.mode.__exit__()
        _state.cache.clear()
    _state.running = wanted


def _type_of(device_type: Any, what: str) -> str:
    if not isinstance(device_type, str):
        raise ArgumentTypeError(f"{what}(): argument 'device_type' (position 1) must be str, not "
                                f"{type(device_type).__name__}")
    return device(device_type).type


def is_autocast_enabled(device_type: str | None = None) -> bool:
    """Whether autocast is on in this thread for a device type, by default "cuda".

    >>> import flambeau as torch
    >>> with torch.autocast("cpu"):
    ...     torch.is_autocast_enabled("cpu"), torch.is_autocast_enabled()
    (True, False)
    """
    return (LEGACY if device_type is None else _type_of(device_type, "is_autocast_enabled")) in _state.enabled


def set_autocast_enabled(device_type: Any, enabled: bool | None = None) -> None:
    """Switch autocast on or off for a device type; with one argument, for "cuda". Prefer `autocast`."""
    if enabled is None:
        if not isinstance(device_type, bool):
            raise ArgumentTypeError("set_autocast_enabled(): argument 'enabled' must be bool, not "
                                    f"{type(device_type).__name__}")
        device_type, enabled = LEGACY, device_type
    name = _type_of(device_type, "set_autocast_enabled")
    if enabled:
        _state.enabled[name] = get_autocast_dtype(name)
    else:
        _state.enabled.pop(name, None)
    _follow()


def default_dtype(device_type: str) -> dtype:
    """The dtype that a device type computes products in, where nothing was said: its backend's capability."""
    served = Capabilities(frozenset(), {}) if device_type not in discovery.offered() else \
        discovery.backend_for(device_type).capabilities
    wanted: dtype = getattr(dtypes, served.autocast_dtype)
    return wanted


def get_autocast_dtype(device_type: str) -> dtype:
    """The dtype of products under autocast on a device type.

    >>> import flambeau as torch
    >>> torch.get_autocast_dtype("cpu"), torch.get_autocast_dtype("cuda")
    (torch.bfloat16, torch.float16)
    """
    name = _type_of(device_type, "get_autocast_dtype")
    return _state.dtypes.get(name) or default_dtype(name)


def set_autocast_dtype(device_type: str, dtype: dtype) -> None:
    """Set the dtype of products under autocast on a device type. Prefer `autocast`."""
    name = _type_of(device_type, "set_autocast_dtype")
    if not isinstance(dtype, dtypes.dtype):
        raise ArgumentTypeError(f"set_autocast_dtype(): argument 'dtype' (position 2) must be torch.dtype, not "
                                f"{type(dtype).__name__}")
    _state.dtypes[name] = dtype
    if name in _state.enabled:
        _state.enabled[name] = dtype


def is_autocast_cache_enabled() -> bool:
    """Whether casts of parameters are kept to the end of the outermost autocast block."""
    return _state.cache.enabled


def set_autocast_cache_enabled(enabled: bool) -> None:
    """Keep casts of parameters, or do not."""
    _state.cache.enabled = bool(enabled)


def clear_autocast_cache() -> None:
    """Forget the casts of parameters: after these were changed behind autograd's back, say."""
    _state.cache.clear()


def autocast_increment_nesting() -> int:
    """Enter an autocast block; how many there are now."""
    _state.nesting += 1
    return _state.nesting


def autocast_decrement_nesting() -> int:
    """Leave an autocast block; how many are left."""
    _state.nesting -= 1
    return _state.nesting


def again() -> Callable[[], AbstractContextManager[None]]:
    """Blocks in which autocast is as it is now: for whoever runs a part of the program a second time, later."""
    enabled, cached = dict(_state.enabled), _state.cache.enabled

    @contextmanager
    def block() -> Iterator[None]:
        before = dict(_state.enabled), _state.cache.enabled
        autocast_increment_nesting()
        _become(enabled, cached)
        try:
            yield
        finally:
            if autocast_decrement_nesting() == 0:
                clear_autocast_cache()
            _become(*before)
    return block


def _become(enabled: Mapping[str, dtype], cached: bool) -> None:
    _state.enabled.clear()
    _state.enabled.update(enabled)
    _state.cache.enabled = cached
    _follow()


# ---------------------------------------------------------------------------------------------- the older names
def _deprecated(old: str, new: str) -> None:
    warnings.warn(f"torch.{old} is deprecated. Please use torch.{new} instead.", DeprecationWarning, stacklevel=3)


def is_autocast_cpu_enabled() -> bool:
    """`is_autocast_enabled("cpu")`, deprecated."""
    _deprecated("is_autocast_cpu_enabled()", "is_autocast_enabled('cpu')")
    return is_autocast_enabled("cpu")


def set_autocast_cpu_enabled(enabled: bool) -> None:
    """`set_autocast_enabled("cpu", enabled)`, deprecated."""
    _deprecated("set_autocast_cpu_enabled(enabled)", "set_autocast_enabled('cpu', enabled)")
    set_autocast_enabled("cpu", enabled)


def get_autocast_cpu_dtype() -> dtype:
    """`get_autocast_dtype("cpu")`, deprecated."""
    _deprecated("get_autocast_cpu_dtype()", "get_autocast_dtype('cpu')")
    return get_autocast_dtype("cpu")


def set_autocast_cpu_dtype(dtype: dtype) -> None:
    """`set_autocast_dtype("cpu", dtype)`, deprecated."""
    _deprecated("set_autocast_cpu_dtype(dtype)", "set_autocast_dtype('cpu', dtype)")
    set_autocast_dtype("cpu", dtype)


def get_autocast_gpu_dtype() -> dtype:
    """`get_autocast_dtype("cuda")`, deprecated."""
    _deprecated("get_autocast_gpu_dtype()", "get_autocast_dtype('cuda')")
    return get_autocast_dtype(LEGACY)


def set_autocast_gpu_dtype(dtype: dtype) -> None:
    """`set_autocast_dtype("cuda", dtype)`, deprecated."""
    _deprecated("set_autocast_gpu_dtype(dtype)", "set_autocast_dtype('cuda', dtype)")
    set_autocast_dtype(LEGACY, dtype)


__all__ = [name for name in dir() if "autocast" in name]
