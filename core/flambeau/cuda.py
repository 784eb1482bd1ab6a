"""Devices of type "cuda": which there are, the current one, their memory and random numbers.

Served by whichever installed plugin offers "cuda"; without one nothing is available, and asking for a device says what
to install.

>>> import flambeau as torch
>>> torch.cuda.is_available() == (torch.cuda.device_count() > 0)
True
"""

from __future__ import annotations

from typing import Any

from flambeau._device_api import DeviceApi
from flambeau.errors import OutOfMemoryError as OutOfMemoryError

_api = DeviceApi("cuda")

is_available = _api.is_available
device_count = _api.device_count
is_initialized = _api.is_initialized
init = _api.init
current_device = _api.current_device
set_device = _api.set_device
get_device_properties = _api.get_device_properties
get_device_name = _api.get_device_name
get_device_capability = _api.get_device_capability
synchronize = _api.synchronize
is_bf16_supported = _api.is_bf16_supported
device = _api.device
device_of = _api.device_of
manual_seed = _api.manual_seed
manual_seed_all = _api.manual_seed_all
seed = _api.seed
seed_all = _api.seed_all
initial_seed = _api.initial_seed
get_rng_state = _api.get_rng_state
set_rng_state = _api.set_rng_state
get_rng_state_all = _api.get_rng_state_all
set_rng_state_all = _api.set_rng_state_all
memory_stats = _api.memory_stats
memory_allocated = _api.memory_allocated
max_memory_allocated = _api.max_memory_allocated
memory_reserved = _api.memory_reserved
max_memory_reserved = _api.max_memory_reserved
mem_get_info = _api.mem_get_info
memory_summary = _api.memory_summary
empty_cache = _api.empty_cache
reset_peak_memory_stats = _api.reset_peak_memory_stats
Stream = _api.stream_class("Stream")
Event = _api.stream_class("Event")
stream = _api.stream


def current_stream(device: Any = None) -> None:
    """None: there is one stream only."""


def ipc_collect() -> None:
    """Nothing to do: memory is not shared between processes."""


def __getattr__(name: str) -> Any:
    return _api.typed(name)
