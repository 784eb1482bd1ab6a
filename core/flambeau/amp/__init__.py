"""Mixed precision: products in a dtype of 16 bits, what needs more in float32, and gradients that do not underflow.

`autocast` chooses the dtype operator by operator (the lists are in `flambeau.dispatch.policies`); `GradScaler` keeps
small gradients of float16 from vanishing, and skips the steps in which they overflow.

>>> import flambeau as torch
>>> layer = torch.nn.Linear(4, 2)
>>> with torch.autocast("cpu", torch.bfloat16):
...     out = layer(torch.ones(3, 4))
>>> out.dtype, layer.weight.dtype
(torch.bfloat16, torch.float32)
"""

from flambeau.amp.autocast_mode import (
    _enter_autocast as _enter_autocast,
    _exit_autocast as _exit_autocast,
    autocast,
    is_autocast_available,
)
from flambeau.amp.custom import custom_bwd, custom_fwd
from flambeau.amp.grad_scaler import GradScaler

__all__ = ["GradScaler", "autocast", "custom_bwd", "custom_fwd", "is_autocast_available"]
