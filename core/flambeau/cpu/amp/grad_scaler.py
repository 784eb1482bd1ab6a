"""`GradScaler` for "cpu", deprecated: use `flambeau.amp.GradScaler("cpu")`."""

from flambeau.amp import older
from flambeau.amp.grad_scaler import OptState as OptState

GradScaler = older.grad_scaler("cpu")

__all__ = ["GradScaler"]
