"""The private places of PyTorch's `utils.data` that programs import from all the same.

`torch.utils.data._utils.collate.default_collate` is in many published programs. The names are here, and nothing else.
"""

from flambeau.utils.data._utils import collate, fetch, pin_memory, worker

MP_STATUS_CHECK_INTERVAL = 1.0  # seconds after which somebody who waits looks whether the others still live

__all__ = ["MP_STATUS_CHECK_INTERVAL", "collate", "fetch", "pin_memory", "worker"]
