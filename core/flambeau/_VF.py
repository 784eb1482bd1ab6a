"""PyTorch's `torch._VF`: the functions of `torch` by the name that programs with layers of their own use."""

from __future__ import annotations

from typing import Any

from flambeau import _namespace
from flambeau.nn.utils.rnn import _pack as _pack_padded_sequence, _pad as _pad_packed_sequence

__all__ = ["_pack_padded_sequence", "_pad_packed_sequence"]


def __getattr__(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(f"module 'flambeau._VF' has no attribute {name!r}")
    return _namespace.find(name)
