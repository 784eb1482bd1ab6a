"""Devices of type "xpu": which there are, the current one, their memory, streams and random numbers.

Served by whichever installed plugin offers "xpu"; without one nothing is available.

>>> import flambeau as torch
>>> torch.xpu.is_available() == (torch.xpu.device_count() > 0)
True
"""

from flambeau._device_api import members

__getattr__, __dir__ = members("xpu")
