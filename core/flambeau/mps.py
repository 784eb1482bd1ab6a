"""Devices of type "mps": what programs ask of `torch.mps`. Whether there are any says `torch.backends.mps`.

>>> import flambeau as torch
>>> torch.mps.device_count() == torch.backends.mps.is_available()
True
"""

from flambeau._device_api import api, members

__getattr__, __dir__ = members("mps", "current_allocated_memory", "driver_allocated_memory", "recommended_max_memory")

# PyTorch has other names here than for the other types.
current_allocated_memory = api("mps").memory_allocated
driver_allocated_memory = api("mps").memory_reserved


def recommended_max_memory() -> int:
    """Bytes that tensors may take: the memory of the device."""
    return api("mps").get_device_properties().total_memory
