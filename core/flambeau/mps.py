"""Devices of type "mps": what programs ask of `torch.mps`. Whether there are any says `torch.backends.mps`.

>>> import flambeau as torch
>>> torch.mps.device_count() == torch.backends.mps.is_available()
True
"""

from __future__ import annotations

from flambeau._device_api import DeviceApi

_api = DeviceApi("mps")

is_available = _api.is_available
device_count = _api.device_count
synchronize = _api.synchronize
manual_seed = _api.manual_seed
seed = _api.seed
get_rng_state = _api.get_rng_state
set_rng_state = _api.set_rng_state
empty_cache = _api.empty_cache
current_allocated_memory = _api.memory_allocated
driver_allocated_memory = _api.memory_reserved
