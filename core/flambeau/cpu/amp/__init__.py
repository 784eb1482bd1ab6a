"""Mixed precision on "cpu" in the forms of earlier versions, which are deprecated: use `flambeau.amp`."""

from flambeau.cpu.amp.autocast_mode import autocast
from flambeau.cpu.amp.grad_scaler import GradScaler

__all__ = ["GradScaler", "autocast"]
