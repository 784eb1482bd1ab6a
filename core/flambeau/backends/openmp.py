"""Whether the host computes with OpenMP itself: what the array library below uses is its own affair."""

from __future__ import annotations


def is_available() -> bool:
    """False: there is no OpenMP in this library."""
    return False
