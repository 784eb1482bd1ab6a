"""Whether the host computes with MKL itself: what the array library below uses is its own affair."""

from __future__ import annotations


def is_available() -> bool:
    """False: there is no MKL in this library."""
    return False
