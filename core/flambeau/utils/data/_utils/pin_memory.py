"""Page-locked batches under their private name; `flambeau.utils.data.pinning` is the module itself."""

from flambeau.utils.data.pinning import pin_memory

__all__ = ["pin_memory"]
