"""Parameters and buffers: tensors that a module recognises when they are assigned to it.

They are subclasses of Tensor so that ``isinstance`` tells them apart; they share the storage of the tensor that they
are made from, and operators on them give plain tensors. How they are pickled and copied is said once for all tensors,
in `serialization`.
"""

from __future__ import annotations

from flambeau.ops.creation import empty
from flambeau.tensor import Tensor

__all__ = ["Buffer", "Parameter"]


class Parameter(Tensor):
    """A tensor that ``Module`` registers as a parameter when it is assigned as an attribute.

    Args:
        data: the values; an empty tensor if left out. Storage is shared with the parameter.
        requires_grad: whether gradients are collected for it. Integer tensors need ``False``.

    >>> import flambeau as torch
    >>> torch.nn.Parameter(torch.ones(2))
    Parameter containing:
    tensor([1., 1.], requires_grad=True)
    """

    def __new__(cls, data: Tensor | None = None, requires_grad: bool = True) -> Parameter:
        if data is None:
            data = empty(0)
        return Tensor._make_subclass(cls, data, requires_grad)

    def __init__(self, data: Tensor | None = None, requires_grad: bool = True) -> None:
        """Everything happens in ``__new__``; this accepts the same arguments so that the call type-checks."""

    def __repr__(self, *, tensor_contents: str | None = None) -> str:  # type: ignore[override]  # mypy forgets its name
        return "Parameter containing:\n" + super().__repr__()


class Buffer(Tensor):
    """A tensor that ``Module`` registers as a buffer when it is assigned as an attribute.

    Args:
        data: the values; an empty tensor if left out.
        persistent: whether it becomes part of the module's state dict.

    >>> import flambeau as torch
    >>> m = torch.nn.Module()
    >>> m.scale = torch.nn.Buffer(torch.ones(1))
    >>> list(m.state_dict())
    ['scale']
    """

    persistent: bool

    def __new__(cls, data: Tensor | None = None, *, persistent: bool = True) -> Buffer:
        if data is None:
            data = empty(0)
        buffer: Buffer = Tensor._make_subclass(cls, data, data.requires_grad)
        buffer.persistent = persistent
        return buffer

    def __init__(self, data: Tensor | None = None, *, persistent: bool = True) -> None:
        """Everything happens in ``__new__``; this accepts the same arguments so that the call type-checks."""
