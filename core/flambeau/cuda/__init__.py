"""Devices of type "cuda": which there are, the current one, their memory, streams and random numbers.

Served by whichever installed plugin offers "cuda"; without one nothing is available, and asking for a device says what
to install.

>>> import flambeau as torch
>>> torch.cuda.is_available() == (torch.cuda.device_count() > 0)
True
"""

from flambeau._device_api import members

__getattr__, __dir__ = members("cuda", "amp")
