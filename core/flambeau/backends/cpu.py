"""What the host's processor can do."""

from __future__ import annotations


def get_cpu_capability() -> str:
    """How PyTorch names the instructions it would use: "DEFAULT", for the array library below chooses its own."""
    return "DEFAULT"
