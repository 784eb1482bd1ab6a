"""DLPack under its older address, with bare capsules; `torch.from_dlpack` is the protocol's own.

>>> import flambeau as torch
>>> from flambeau.utils.dlpack import from_dlpack, to_dlpack
>>> from_dlpack(to_dlpack(torch.ones(2)))
tensor([1., 1.])
"""

from __future__ import annotations

from typing import Any

from flambeau.ops import construct
from flambeau.tensor import Tensor

__all__ = ["from_dlpack", "to_dlpack"]

HOST = (1, 0)


class _Handed:
    """A bare capsule as an object that speaks the protocol. A capsule does not say where its memory is: the host's."""

    def __init__(self, capsule: Any) -> None:
        self.capsule = capsule

    def __dlpack__(self, **options: Any) -> Any:
        return self.capsule

    def __dlpack_device__(self) -> tuple[int, int]:
        return HOST


def from_dlpack(ext_tensor: Any) -> Tensor:
    """A tensor over the memory of another library's array, or of a capsule with memory of the host."""
    speaks = hasattr(ext_tensor, "__dlpack_device__") or type(ext_tensor).__name__ != "PyCapsule"
    result: Tensor = construct.from_dlpack(ext_tensor if speaks else _Handed(ext_tensor))
    return result


def to_dlpack(tensor: Tensor) -> Any:
    """A capsule over the memory of `tensor`, to be taken once. BufferError for a tensor that requires a gradient."""
    return tensor.__dlpack__(max_version=(1, 0))  # an older capsule cannot say that it may be written to
