"""The version of Flambeau, stated once.

The build reads it from here and so does the running library; asking the installed package's metadata instead would
cost more time at import than everything else in the base package.
"""

__version__ = "0.1.0"

# What programs ask PyTorch's build for: this library is built for no accelerator, backends are plugins.
cuda: str | None = None
hip: str | None = None
xpu: str | None = None
debug = False
