"""`GradScaler` for "cuda", deprecated: use `flambeau.amp.GradScaler("cuda")`."""

from flambeau.amp import older
from flambeau.amp.grad_scaler import OptState as OptState

GradScaler = older.grad_scaler("cuda")

__all__ = ["GradScaler"]
