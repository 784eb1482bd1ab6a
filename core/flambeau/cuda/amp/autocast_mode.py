"""`autocast` for "cuda", deprecated: use `flambeau.amp.autocast("cuda")`."""

from flambeau import dtypes
from flambeau.amp import older

autocast = older.autocast("cuda", dtypes.float16)
custom_fwd, custom_bwd = older.custom("cuda")

__all__ = ["autocast", "custom_bwd", "custom_fwd"]
