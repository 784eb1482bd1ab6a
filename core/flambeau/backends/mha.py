"""The switch of `torch.backends.mha`: whether attention's layers may take the shorter way that they have in evaluation.

Here that is visible in one thing: with it, `nn.TransformerEncoder` gives zeros where its input is padded.
"""

from __future__ import annotations

from flambeau import settings

__all__ = ["get_fastpath_enabled", "set_fastpath_enabled"]


def get_fastpath_enabled() -> bool:
    """What `set_fastpath_enabled` was told; True at first.

    >>> import flambeau as torch
    >>> torch.backends.mha.get_fastpath_enabled()
    True
    """
    return settings.attention.fastpath


def set_fastpath_enabled(value: bool) -> None:
    """Allow the shorter way, or not."""
    settings.attention.fastpath = value
