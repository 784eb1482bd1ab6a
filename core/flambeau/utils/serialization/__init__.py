"""Settings of saving and loading, at PyTorch's place for them; the parts are in `flambeau.serialization`."""

from flambeau.utils.serialization import config

__all__ = ["config"]
