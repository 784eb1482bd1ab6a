"""The members of `Tensor` that start, observe or cut off the backward walk."""

from __future__ import annotations

import warnings
import weakref
from collections.abc import Callable
from typing import Any

from flambeau import walk
from flambeau.errors import ArgumentTypeError, GraphError
from flambeau.graph import LAZY, STATE, AccumulateGrad, RemovableHandle, edge_of
from flambeau.shapes import describe
from flambeau.tensor import Tensor, attach


@attach
@property
def requires_grad(self: Tensor) -> bool:
    """Whether gradients are wanted for this tensor. Settable on leaves of a floating or complex dtype."""
    return self._edge is not None and (self._view is None or edge_of(self) is not None)


@requires_grad.setter
def requires_grad(self: Tensor, value: bool) -> None:
    if value:
        if not self._kind.differentiable:
            raise GraphError("only Tensors of floating point and complex dtype can require gradients; "
                             f"given: {self._kind.dtype}")
        if self._inference and not STATE.inference:
            raise GraphError("Setting requires_grad=True on inference tensor outside InferenceMode is not allowed; "
                             "use a clone()")
        if (self._edge is None or self._edge is LAZY) and edge_of(self) is None:
            frozen = self.__dict__.pop("_frozen", None)  # with its hooks, unless `data` was replaced meanwhile
            same = frozen is not None and frozen.shape == self._array.shape and frozen.kind is self._kind
            self._edge = (frozen if same else AccumulateGrad(self), 0)
    elif self._edge is not None and edge_of(self) is not None:
        if not self.is_leaf:
            raise GraphError("you can only change requires_grad flags of leaf variables; this one is the result of "
                             f"{self.grad_fn.name()}: use x.detach() for its value without a history")
        node = self._edge[0]
        if node.tensor_hooks or node.pre_hooks or node.post_hooks:
            self.__dict__["_frozen"] = node
        self._edge = None


attach(requires_grad)


@attach
def requires_grad_(self: Tensor, requires_grad: bool = True) -> Tensor:
    """Set `requires_grad` in place and return the tensor."""
    self.requires_grad = requires_grad
    return self


@attach
@property
def grad_fn(self: Tensor) -> Any:
    """The node that made this tensor, or None."""
    edge = self._edge
    if edge is not None and self._view is not None:
        edge = edge_of(self)
    return None if edge is None or edge[0].is_accumulator else edge[0]


@attach
@property
def is_leaf(self: Tensor) -> bool:
    """Whether the tensor was made by the user, not by a recorded operator."""
    return self.grad_fn is None


@attach
@property
def output_nr(self: Tensor) -> int:
    """Which of its node's outputs this tensor is."""
    edge = edge_of(self)
    return 0 if edge is None else edge[1]


@attach
@property
def grad(self: Tensor) -> Tensor | None:
    """The gradient accumulated by `backward`, or None."""
    if self._grad is None and self._edge is not None and not self._retains_grad and self.grad_fn is not None:
        warnings.warn("The .grad attribute of a Tensor that is not a leaf Tensor is being accessed: backward() fills "
                      "that of leaves only. Call retain_grad() on this tensor before backward() to have its gradient",
                      UserWarning, stacklevel=2)
    return self._grad


@grad.setter
def grad(self: Tensor, value: Tensor | None) -> None:
    if value is not None:
        if not isinstance(value, Tensor):
            raise ArgumentTypeError(f"assigned grad expected to be a Tensor or None but got {type(value).__name__}")
        if value is self:
            raise GraphError("can't assign Variable as its own grad")
        if value._array.shape != self._array.shape:
            raise GraphError(f"attempting to assign a gradient of size {describe(value._array.shape)} to a tensor of "
                             f"size {describe(self._array.shape)}; they must be the same")
        if value._kind is not self._kind:
            what = "type" if value.dtype is not self.dtype else "device"
            raise GraphError(f"assigned grad has data of a different {what}; given: {value._kind}, "
                             f"expected: {self._kind}")
    self._grad = value


@grad.deleter
def grad(self: Tensor) -> None:
    self._grad = None


attach(grad)


@attach
@property
def retains_grad(self: Tensor) -> bool:
    """Whether a non-leaf keeps its gradient after `retain_grad()`."""
    return self._retains_grad


@attach
def retain_grad(self: Tensor) -> None:
    """Keep the gradient of a non-leaf in `.grad` during `backward`. RuntimeError if it requires none."""
    edge = edge_of(self)
    if edge is None:
        raise GraphError("can't retain_grad on Tensor that has requires_grad=False")
    node, number = edge
    if node.is_accumulator or self._retains_grad:
        return
    if node.retained is None:
        node.retained = {}
    node.retained[number] = weakref.ref(self)
    self._retains_grad = True


@attach
def register_hook(self: Tensor, hook: Callable[[Tensor], Tensor | None]) -> RemovableHandle:
    """Call `hook(grad)` when the gradient of this tensor is computed; what it returns replaces the gradient.

    Returns a handle with `remove()`. RuntimeError on a tensor that does not require grad.
    """
    edge = edge_of(self)
    if edge is None:
        raise GraphError("cannot register a hook on a tensor that doesn't require gradient")
    node, number = edge
    if node.tensor_hooks is None:
        node.tensor_hooks = {}
    return RemovableHandle(node.tensor_hooks.setdefault(number, {}), hook)


@attach
def register_post_accumulate_grad_hook(self: Tensor, hook: Callable[[Tensor], None]) -> RemovableHandle:
    """Call `hook(tensor)` after a gradient was accumulated into this leaf's `.grad`."""
    edge = edge_of(self)
    if edge is None:
        raise GraphError("cannot register a hook on a tensor that doesn't require gradient")
    if not edge[0].is_accumulator:
        raise GraphError("post accumulate grad hooks cannot be registered on non-leaf tensors")
    if self._post_accumulate_hooks is None:
        self._post_accumulate_hooks = {}
    return RemovableHandle(self._post_accumulate_hooks, hook)


@attach
def detach_(self: Tensor) -> Tensor:
    """Cut this tensor off from its graph in place. RuntimeError for a view with a history."""
    if self._view is not None and edge_of(self) is not None:
        raise GraphError("Can't detach views in-place. Use detach() instead.")
    self._edge = None
    return self


@attach
def backward(self: Tensor, gradient: Tensor | None = None, retain_graph: bool | None = None,
             create_graph: bool = False, inputs: Any = None) -> None:
    """Accumulate the gradients of this tensor with respect to the leaves of its graph in their `.grad`.

    `gradient` has this tensor's shape and may be left out for a single element. See `autograd.backward`.
    """
    walk.backward(self, gradient, retain_graph, create_graph, inputs)
