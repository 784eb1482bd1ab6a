"""Looking at the graph, and hooks on what it saves.

Source: https://docs.pytorch.org/docs/stable/autograd.html#autograd-graph
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from flambeau.graph import SAVED_TENSOR_HOOKS, WATCHERS, Node, RemovableHandle, edge_of
from flambeau.tensor import Tensor

__all__ = ["Node", "RemovableHandle", "disable_saved_tensors_hooks", "get_gradient_edge", "increment_version",
           "register_multi_grad_hook", "save_on_cpu", "saved_tensors_hooks"]


class saved_tensors_hooks:  # noqa: N801 - PyTorch's name
    """Inside the block, tensors saved for backward pass through `pack`, and through `unpack` when they are needed.

    >>> import flambeau as torch
    >>> x = torch.ones(2, requires_grad=True)
    >>> with torch.autograd.graph.saved_tensors_hooks(lambda t: t * 2, lambda t: t):
    ...     y = x * x
    >>> y.sum().backward(); x.grad
    tensor([4., 4.])
    """

    def __init__(self, pack_hook: Callable[[Tensor], Any], unpack_hook: Callable[[Any], Tensor]) -> None:
        self._pair = pack_hook, unpack_hook

    def __enter__(self) -> None:
        SAVED_TENSOR_HOOKS.stack.append(self._pair)
        WATCHERS.append(self)

    def __exit__(self, *exc: object) -> None:
        SAVED_TENSOR_HOOKS.stack.pop()
        WATCHERS.remove(self)


class save_on_cpu(saved_tensors_hooks):  # noqa: N801 - PyTorch's name
    """Keep saved tensors on the host until they are needed. `pin_memory` is accepted."""

    def __init__(self, pin_memory: bool = False, device_type: str = "cuda") -> None:
        super().__init__(lambda tensor: (tensor.device, tensor.cpu()), lambda kept: kept[1].to(kept[0]))


class disable_saved_tensors_hooks:  # noqa: N801 - PyTorch's name
    """Inside the block no hooks on saved tensors apply."""

    def __init__(self, error_message: str) -> None:
        self.error_message = error_message

    def __enter__(self) -> None:
        self._before, SAVED_TENSOR_HOOKS.stack = SAVED_TENSOR_HOOKS.stack, []

    def __exit__(self, *exc: object) -> None:
        SAVED_TENSOR_HOOKS.stack = self._before


def get_gradient_edge(tensor: Tensor) -> tuple[Any, int]:
    """The (node, output number) that gradients of `tensor` flow to. RuntimeError if there is none."""
    edge = edge_of(tensor)
    if edge is None:
        raise RuntimeError("It is not possible to get the gradient edge for a Tensor that does not require gradients")
    return edge


def increment_version(tensor: Tensor | Sequence[Tensor]) -> None:
    """Count a change of a tensor's memory that was made behind the library's back."""
    from flambeau.dispatch.run import bump
    for each in (tensor,) if isinstance(tensor, Tensor) else tensor:
        bump(each)


def register_multi_grad_hook(tensors: Sequence[Tensor], fn: Callable[..., Any], *, mode: str = "all") -> Any:
    """Call `fn` once the gradients of all the tensors (mode "all": with the list of them) or of the first of them
    (mode "any": with it) are computed."""
    if mode not in ("all", "any"):
        raise ValueError(f"Expects mode to be one of ('all', 'any') but got {mode}")
    grads: list[Any] = [None] * len(tensors)
    state = {"seen": 0}

    def make(index: int) -> Callable[[Tensor], None]:
        def hook(grad: Tensor) -> None:
            state["seen"] += 1
            if mode == "any":
                if state["seen"] == 1:
                    fn(grad)
            else:
                grads[index] = grad
                if state["seen"] == len(tensors):
                    fn(list(grads))
            if state["seen"] == len(tensors):
                state["seen"] = 0
        return hook
    return _Handles([each.register_hook(make(index)) for index, each in enumerate(tensors)])


class _Handles:
    """Several hooks removed together."""

    def __init__(self, handles: list[RemovableHandle]) -> None:
        self.handles = tuple(handles)

    def remove(self) -> None:
        """Unregister them all."""
        for handle in self.handles:
            handle.remove()

    def __enter__(self) -> _Handles:
        return self

    def __exit__(self, *exc: object) -> None:
        self.remove()
