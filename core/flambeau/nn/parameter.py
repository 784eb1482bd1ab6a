"""Parameters and buffers: tensors that a module recognises when they are assigned to it.

They are subclasses of Tensor so that ``isinstance`` tells them apart; they share the storage of the tensor that they
are made from, and operators on them give plain tensors.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

from flambeau.ops import empty
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
        return Tensor._make_subclass(cls, data, requires_grad)  # type: ignore[no-any-return]

    def __init__(self, data: Tensor | None = None, requires_grad: bool = True) -> None:
        """Everything happens in ``__new__``; this accepts the same arguments so that the call type-checks."""

    def __deepcopy__(self, memo: dict[int, Any]) -> Parameter:
        if id(self) in memo:
            return memo[id(self)]  # type: ignore[no-any-return]
        copied = type(self)(self.data.clone(), self.requires_grad)
        memo[id(self)] = copied
        return copied

    def __repr__(self, *, tensor_contents: Any = None) -> str:
        return "Parameter containing:\n" + super().__repr__()

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        # The same three arguments as in PyTorch's checkpoints; the third stood for hooks, which are never saved.
        return rebuild_parameter, (self.data, self.requires_grad, OrderedDict())


def rebuild_parameter(data: Tensor, requires_grad: bool, backward_hooks: Any = None) -> Parameter:
    """Make a parameter from its pickled parts; ``backward_hooks`` is accepted for the format's sake and ignored."""
    return Parameter(data, requires_grad)


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

    def __deepcopy__(self, memo: dict[int, Any]) -> Buffer:
        if id(self) in memo:
            return memo[id(self)]  # type: ignore[no-any-return]
        copied = type(self)(self.data.clone(), persistent=self.persistent)
        memo[id(self)] = copied
        return copied

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        return _rebuild_buffer, (self.data, self.persistent)


def _rebuild_buffer(data: Tensor, persistent: bool) -> Buffer:
    return Buffer(data, persistent=persistent)
