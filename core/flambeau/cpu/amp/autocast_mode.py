"""`autocast` for "cpu", deprecated: use `flambeau.amp.autocast("cpu")`."""

from flambeau import dtypes
from flambeau.amp import older

autocast = older.autocast("cpu", dtypes.bfloat16)

__all__ = ["autocast"]
