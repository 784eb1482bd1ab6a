"""`Function`: an operator with its gradient, written by the user.

Source: https://docs.pytorch.org/docs/stable/autograd.html#torch.autograd.Function
"""

from __future__ import annotations

import functools
import weakref
from collections.abc import Callable
from typing import Any

from flambeau.errors import ArgumentTypeError, GraphError
from flambeau.graph import (
    STATE,
    WATCHERS,
    Node,
    Packed,
    check_inplace,
    edge_of,
    modified,
    next_order,
    rebase,
    watch,
    with_edge,
)
from flambeau.tensor import Tensor, alias, version_cell


class FunctionCtx:
    """What `forward` leaves for `backward`; any other attribute may be set on it, too."""

    needs_input_grad: tuple[bool, ...] = ()
    _to_save: tuple[Tensor | None, ...] = ()
    _dirty: tuple[Tensor, ...] = ()
    _non_differentiable: tuple[Tensor, ...] = ()
    _materialize = True
    _node: weakref.ref[FunctionNode] | None = None   # weak: the node holds the ctx, and a cycle would outlive its use

    def save_for_backward(self, *tensors: Tensor | None) -> None:
        """Keep inputs or outputs for `backward`, where `saved_tensors` gives them back after a check that they were
        not changed in place meanwhile."""
        for each in tensors:
            if each is not None and not isinstance(each, Tensor):
                raise ArgumentTypeError(f"save_for_backward can only save variables, but argument "
                                        f"{tensors.index(each)} is of type {type(each).__name__}")
        self._to_save = tensors

    save_for_forward = save_for_backward

    def mark_dirty(self, *tensors: Tensor) -> None:
        """Say which inputs `forward` changed in place; each must also be returned."""
        self._dirty = tensors

    def mark_non_differentiable(self, *tensors: Tensor) -> None:
        """Say which outputs have no gradient."""
        self._non_differentiable = tensors

    def set_materialize_grads(self, value: bool) -> None:
        """Whether `backward` gets zeros (the default) or None for outputs that received no gradient."""
        self._materialize = value

    @property
    def saved_tensors(self) -> tuple[Tensor | None, ...]:
        """The tensors given to `save_for_backward`."""
        if self._node is None:
            return self._to_save
        node = self._node()
        if node is None:
            raise GraphError("the graph that this ctx belongs to is gone, and what it saved with it; keep an output of "
                             "the Function, or its grad_fn, as long as its saved tensors are wanted")
        return node.saved_tensors

    saved_variables = saved_tensors


class FunctionNode(Node):
    """The node of one call of a `Function`."""

    function: type[Function]
    ctx: FunctionCtx

    def name(self) -> str:
        return self.function.__name__ + "Backward"

    @property
    def saved_tensors(self) -> tuple[Tensor | None, ...]:
        """The saved tensors, checked and with their history."""
        return tuple(self.unpack())

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or "ctx" not in self.__dict__:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        return getattr(self.ctx, name)  # PyTorch's ctx is the node itself

    def unpack(self) -> list[Any]:
        if self.saved is None:
            return super().unpack()
        saved = [each.restore() if each.__class__ is Packed else each for each in self.saved]
        for index, version in self.versions:
            cell = saved[index]._counter
            if cell is not None and cell[0] != version:
                raise modified(saved[index], version)
        for index, number in self.results:
            saved[index] = with_edge(saved[index], (self, number))
        return saved

    def apply(self, grad: Any) -> list[Any]:
        grads = list(grad) if self.count > 1 else [grad]
        if self.ctx._materialize:
            shapes_kinds = zip(self.shape, self.kind, strict=True) if self.count > 1 else [(self.shape, self.kind)]
            grads = [_zeros(shape, kind) if each is None and kind.differentiable else each
                     for each, (shape, kind) in zip(grads, shapes_kinds, strict=True)]
        result = self.function.backward(self.ctx, *grads)
        found = list(result) if isinstance(result, tuple) else [result]
        expected = len(self.edges)
        while len(found) > expected and found[-1] is None:
            found.pop()
        if len(found) != expected:
            raise GraphError(f"function {self.name()} returned an incorrect number of gradients (expected {expected}, "
                             f"got {len(found)})")
        for index, (each, edge) in enumerate(zip(found, self.edges, strict=True)):
            if each is not None and not isinstance(each, Tensor) and edge is not None:
                raise ArgumentTypeError(f"function {self.name()} returned an invalid gradient at index {index}: "
                                        f"expected a Tensor or None, got {type(each).__name__}")
        return found

    def release(self) -> None:
        if self.versions or self.packs:
            self.saved = None


def _zeros(shape: Any, kind: Any) -> Tensor:
    from flambeau.ops import creation
    return creation.zeros(shape, dtype=kind.dtype, device=kind.device)


class Function:
    """Subclass it with static methods `forward` and `backward`, and call it as `MyFunction.apply(...)`.

    `forward(ctx, *args)` computes without recording; or `forward(*args)` with `setup_context(ctx, inputs, output)`.
    `backward(ctx, *grad_outputs)` returns one gradient, or None, per argument of `forward`.

    >>> import flambeau as torch
    >>> class Double(torch.autograd.Function):
    ...     @staticmethod
    ...     def forward(ctx, x):
    ...         return x * 2
    ...     @staticmethod
    ...     def backward(ctx, g):
    ...         return g * 2
    >>> x = torch.ones(2, requires_grad=True)
    >>> Double.apply(x).sum().backward(); x.grad
    tensor([2., 2.])
    """

    @staticmethod
    def forward(*args: Any, **kwargs: Any) -> Any:
        """Compute the result."""
        raise NotImplementedError("You must implement the forward function for custom autograd.Function.")

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> Any:
        """Prepare `ctx` after a `forward` that does not take one."""
        raise NotImplementedError("setup_context is not implemented.")

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        """Compute the gradients of the inputs from those of the outputs."""
        raise NotImplementedError("You must implement either the backward or vjp method for your custom "
                                  "autograd.Function to use it with backward mode AD.")

    @classmethod
    def apply(cls, *args: Any, **kwargs: Any) -> Any:
        """Run `forward` and record the call."""
        ctx = FunctionCtx()
        edges = tuple(edge_of(each) if isinstance(each, Tensor) and each._edge is not None else None for each in args)
        ctx.needs_input_grad = tuple(edge is not None for edge in edges)
        recording = STATE.enabled and any(ctx.needs_input_grad)
        splits = cls.setup_context is not Function.setup_context
        before, STATE.enabled = STATE.enabled, False
        try:
            if splits:
                output = cls.forward(*args, **kwargs)
                cls.setup_context(ctx, args, output)
            else:
                output = cls.forward(ctx, *args, **kwargs)
        finally:
            STATE.enabled = before
        several = isinstance(output, (tuple, list))
        outputs = list(output) if several else [output]
        outputs = [each.detach() if isinstance(each, Tensor) and any(each is arg for arg in args)
                   and not any(each is dirty for dirty in ctx._dirty) else each for each in outputs]
        if recording:
            cls._record(ctx, args, edges, outputs)
        return tuple(outputs) if several else outputs[0]

    @classmethod
    def _record(cls, ctx: FunctionCtx, args: tuple[Any, ...], edges: tuple[Any, ...], outputs: list[Any]) -> None:
        node = FunctionNode()
        node.function, node.ctx, node.edges, node.order = cls, ctx, edges, next_order()
        tensors = [each for each in outputs if isinstance(each, Tensor)]
        if len(tensors) == 1:
            node.shape, node.kind = tensors[0]._array.shape, tensors[0]._kind
        else:
            node.shape = tuple(each._array.shape for each in tensors)
            node.kind = tuple(each._kind for each in tensors)
            node.count = len(tensors)
        node.saved = _keep(node, ctx, tensors)
        if WATCHERS:
            watch(node)
        ctx._node = weakref.ref(node)
        ctx._to_save = ()
        for number, each in enumerate(tensors):
            if any(each is skipped for skipped in ctx._non_differentiable) or not each._kind.differentiable:
                continue
            if any(each is dirty for dirty in ctx._dirty):
                check_inplace(each, cls.__name__)
                own = next(index for index, arg in enumerate(args) if arg is each)
                rebase(each, node, own)
                each._edge = (node, number) if each._view is None else each._edge
            else:
                each._edge = (node, number)


def _keep(node: FunctionNode, ctx: FunctionCtx, outputs: list[Tensor]) -> list[Any]:
    """The saved tensors as the node holds them: outputs without the edge that would close a cycle."""
    saved: list[Any] = []
    versions, results = [], []
    for index, tensor in enumerate(ctx._to_save):
        if tensor is None:
            saved.append(None)
            continue
        number = next((number for number, each in enumerate(outputs) if each is tensor), None)
        kept = tensor
        if number is not None:
            kept = alias(tensor)
            kept._counter = version_cell(tensor)
            results.append((index, number))
        versions.append((index, kept._counter[0] if kept._counter is not None else 0))
        saved.append(kept)
    node.versions, node.results = tuple(versions), tuple(results)
    return saved


def once_differentiable(backward: Callable[..., Any]) -> Callable[..., Any]:
    """Decorate a `backward` that must not be differentiated itself: trying to, with gradients that require a gradient,
    raises RuntimeError."""
    @functools.wraps(backward)
    def call(ctx: FunctionCtx, *grads: Any) -> Any:
        enabled = STATE.enabled
        before, STATE.enabled = STATE.enabled, False
        try:
            result = backward(ctx, *grads)
        finally:
            STATE.enabled = before
        if not enabled or not any(isinstance(each, Tensor) and each.requires_grad for each in grads):
            return result
        several = isinstance(result, tuple)
        outputs = list(result) if several else [result]
        guarded = [_Refuse.apply(each.detach().requires_grad_()) if isinstance(each, Tensor)
                   and each._kind.differentiable else each for each in outputs]
        return tuple(guarded) if several else guarded[0]
    return call


class _Refuse(Function):
    """An identity whose gradient is an error."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return alias(x)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        raise GraphError("trying to differentiate twice a function that was marked with @once_differentiable")


NestedIOFunction = InplaceFunction = Function
