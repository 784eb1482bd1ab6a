"""`layout` and `memory_format`: how elements are laid out, as values that programs pass around.

Only strided tensors exist here, and only row-major memory is made on request; the other values are there so that
programs which name them read on, and so that asking for what does not exist is refused by name.
"""

from __future__ import annotations


class layout:  # noqa: N801 - the name that PyTorch users know
    """How a tensor's elements are stored: `strided` for every tensor of this library.

    >>> import flambeau as torch
    >>> torch.ones(2).layout
    torch.strided
    """

    __slots__ = ("name",)
    __module__ = "flambeau"

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return f"torch.{self.name}"

    def __reduce__(self) -> str:
        return self.name  # pickled by reference, as `flambeau.<name>`


class memory_format:  # noqa: N801 - the name that PyTorch users know
    """In which order the dimensions of a new tensor lie in memory.

    >>> import flambeau as torch
    >>> torch.contiguous_format
    torch.contiguous_format
    """

    __slots__ = ("name",)
    __module__ = "flambeau"

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return f"torch.{self.name}"

    def __reduce__(self) -> str:
        return self.name


strided = layout("strided")
sparse_coo = layout("sparse_coo")
sparse_csr = layout("sparse_csr")
sparse_csc = layout("sparse_csc")
sparse_bsr = layout("sparse_bsr")
sparse_bsc = layout("sparse_bsc")
jagged = layout("jagged")

contiguous_format = memory_format("contiguous_format")
preserve_format = memory_format("preserve_format")
channels_last = memory_format("channels_last")
channels_last_3d = memory_format("channels_last_3d")

__all__ = ["channels_last", "channels_last_3d", "contiguous_format", "jagged", "layout", "memory_format",
           "preserve_format", "sparse_bsc", "sparse_bsr", "sparse_coo", "sparse_csc", "sparse_csr", "strided"]
