"""The version of Flambeau, stated once.

The build reads it from here and so does the running library; asking the installed package's metadata instead would
cost more time at import than everything else in the base package.
"""

__version__ = "0.1.0"

debug = False
_ASKED = frozenset(("cuda", "hip", "xpu"))   # what programs ask PyTorch's build for; here backends are plugins


def __getattr__(name: str) -> str | None:
    """The version of one of these that the accelerator's backend stands on; None where it stands on no such thing."""
    if name not in _ASKED:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from flambeau._device_api import versions
    return versions().get(name)
