"""The backward walk: from outputs to gradients.

The walk keeps nodes in a heap by their order of creation, newest first. A node is always newer than those it depends
on, so when it comes to the top all its gradients have arrived: no counting pass is needed, and nothing recurses, so a
chain of 100,000 nodes is as good as any.

A gradient that reaches a node is summed to the shape and cast to the kind of the tensor that the node made. That is
why no vjp in the catalogue mentions broadcasting or promotion.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Iterable, Sequence
from heapq import heappop, heappush
from typing import Any

from flambeau.discovery import Kind
from flambeau.errors import ArgumentError, ArgumentTypeError, GraphError
from flambeau.graph import AROUND, STATE, Anomaly, Node, edge_of
from flambeau.shapes import Shape, describe
from flambeau.tensor import Tensor, make


def fit(grad: Tensor, shape: Shape, kind: Kind, node: Node) -> Tensor:
    """Sum a gradient to `shape` and cast it to `kind`: the transpose of broadcasting and promotion."""
    if grad._array.shape != shape:
        have = grad._array.shape
        extra = len(have) - len(shape)
        dims = [index for index in range(len(have)) if index < extra or (shape[index - extra] == 1 != have[index])]
        if extra < 0 or any(size not in (1, have[index + extra]) for index, size in enumerate(shape)):
            raise GraphError(f"Function {node.name()} returned an invalid gradient: got {describe(have)} but "
                             f"expected shape compatible with {describe(shape)}")
        if dims:
            grad = grad.sum(tuple(dims), keepdim=True)
        grad = grad.reshape(shape)
    if grad._kind is not kind:
        if grad._kind.dtype.is_complex and not kind.dtype.is_complex:
            grad = grad.real
        grad = grad.to(kind.device, kind.dtype)
    return grad


class Walk:
    """One run of the walk: gradients waiting at nodes, and what the caller wants of them."""

    def __init__(self, keep: bool, create_graph: bool, captures: dict[Any, dict[int, int]] | None,
                 accumulate: bool) -> None:
        self.keep = keep
        self.create_graph = create_graph
        self.captures = captures
        self.accumulate = accumulate          # whether leaves collect into .grad
        self.captured: dict[int, Tensor] = {}
        self.waiting: dict[Node, Any] = {}
        self.heap: list[tuple[int, Node]] = []
        self.needed: set[Node] | None = None

    def give(self, node: Node, number: int, grad: Tensor, giver: Node) -> None:
        """Let a gradient arrive at one output of a node."""
        several = node.count > 1
        shape, kind = (node.shape[number], node.kind[number]) if several else (node.shape, node.kind)
        if grad._array.shape != shape or grad._kind is not kind:
            grad = fit(grad, shape, kind, giver)
        waiting = self.waiting
        present = waiting.get(node)
        if present is None:
            heappush(self.heap, (node.order, node))
            if several:
                present = [None] * node.count
                present[number] = grad
                waiting[node] = present
            else:
                waiting[node] = grad
        elif several:
            present[number] = grad if present[number] is None else present[number] + grad
        else:
            waiting[node] = present + grad

    def run(self) -> None:
        """Process nodes until none waits."""
        heap, waiting, give = self.heap, self.waiting, self.give
        while heap:
            node = heappop(heap)[1]
            grad = waiting.pop(node)
            if node.tensor_hooks is not None or node.retained is not None or node.pre_hooks is not None:
                grad = run_tensor_hooks(node, grad)
            if self.captures is not None and node in self.captures:
                self._capture(node, grad)
            if node.is_accumulator:
                if self.accumulate:
                    node.accumulate(grad, self.create_graph)  # type: ignore[attr-defined]
                continue
            if self.needed is not None and node not in self.needed:
                continue
            gradients = node.apply(grad) if not AROUND else apply_watched(node, grad)
            if not self.keep:
                node.release()
            if node.post_hooks:
                gradients = _run_post_hooks(node, gradients, grad)
            grad = None
            for edge, gradient in zip(node.edges, gradients, strict=True):
                if edge is None or gradient is None:
                    continue
                target = edge[0]
                if (target in waiting or target.count > 1 or gradient._kind is not target.kind
                        or gradient._array.shape != target.shape):
                    give(target, edge[1], gradient, node)
                else:  # what `give` does for the first gradient of a node with one output
                    waiting[target] = gradient
                    heappush(heap, (target.order, target))
            del gradients  # or a leaf's gradient would look shared
            gradient = None

    def _capture(self, node: Node, grad: Any) -> None:
        for number, slot in self.captures[node].items():  # type: ignore[index]
            value = grad[number] if node.count > 1 else grad
            if value is not None:
                self.captured[slot] = value


def run_tensor_hooks(node: Node, grad: Any) -> Any:
    """Run the hooks of the tensors that the node made, keep what `retain_grad` asked for, then run the node's own."""
    grads = list(grad) if node.count > 1 else [grad]
    for number, hooks in tuple((node.tensor_hooks or {}).items()):
        for hook in tuple(hooks.values()):
            if grads[number] is not None:
                replaced = hook(grads[number])
                if replaced is not None:
                    grads[number] = _checked_hook_result(replaced, grads[number])
    for number, reference in tuple((node.retained or {}).items()):
        tensor = reference()
        if tensor is not None and grads[number] is not None:
            fresh = grads[number] if STATE.enabled else grads[number].detach().clone()
            tensor._grad = fresh if tensor._grad is None else tensor._grad + fresh
    for hook in tuple((node.pre_hooks or {}).values()):
        replaced = hook(tuple(grads))
        if replaced is not None:
            grads = [replaced] if isinstance(replaced, Tensor) else list(replaced)
    return grads if node.count > 1 else grads[0]


def _checked_hook_result(value: Any, before: Tensor) -> Tensor:
    if not isinstance(value, Tensor):
        raise ArgumentTypeError(f"expected hook to return a Tensor or None, but got {type(value).__name__}")
    if value._array.shape != before._array.shape:
        raise GraphError("hook has changed the size of value; "
                         f"given: {describe(value._array.shape)}, expected: {describe(before._array.shape)}")
    return value


def _run_post_hooks(node: Node, gradients: list[Any], grad: Any) -> list[Any]:
    outputs = tuple(grad) if node.count > 1 else (grad,)
    for hook in tuple((node.post_hooks or {}).values()):
        replaced = hook(tuple(gradients), outputs)
        if replaced is not None:
            gradients = [replaced] if isinstance(replaced, Tensor) else list(replaced)
    return gradients


def apply_watched(node: Node, grad: Any) -> list[Any]:
    """`node.apply` within all that is to run around it."""
    apply = node.apply
    for around in AROUND:
        apply = functools.partial(around, node, apply)
    return apply(grad)


def apply_with_trace(node: Node, apply: Callable[[Any], list[Any]], grad: Any) -> list[Any]:
    """`apply(grad)`, naming the forward call where it raises or gives a nan."""
    where = f"\nThe forward call was:\n{node.trace}" if node.trace else ""
    try:
        gradients = apply(grad)
    except Exception as error:
        error.add_note(f"Error detected in {node.name()}.{where}")
        raise
    if Anomaly.check_nan:
        for index, each in enumerate(gradients):
            if each is not None and each._kind.differentiable and bool((each != each).any()):
                raise GraphError(f"Function '{node.name()}' returned nan values in its {index}th output.{where}")
    return gradients


def _first_gradients(tensors: Sequence[Tensor], gradients: Sequence[Tensor | None]) -> list[Tensor]:
    result = []
    for index, (tensor, gradient) in enumerate(zip(tensors, gradients, strict=True)):
        if edge_of(tensor) is None:
            raise GraphError(f"element {index} of tensors does not require grad and does not have a grad_fn")
        if gradient is None:
            if tensor.numel() != 1:
                raise GraphError("grad can be implicitly created only for scalar outputs; given: an output of shape "
                                 f"{describe(tensor._array.shape)}; pass gradient=, or reduce it with sum() or mean()")
            if not tensor._kind.dtype.is_floating_point:
                raise GraphError("grad can be implicitly created only for real scalar outputs but got "
                                 f"{tensor._kind.dtype}")
            kind = tensor._kind
            gradient = make(kind.kernels["full"](tensor._array.shape, 1, kind.dtype, kind.index), kind)
        elif gradient._array.shape != tensor._array.shape:
            raise GraphError(f"Mismatch in shape: grad_output[{index}] has a shape of {gradient.shape} and output"
                             f"[{index}] has a shape of {tensor.shape}.")
        result.append(gradient)
    return result


def _leading_to(roots: Iterable[Node], targets: set[Node]) -> set[Node]:
    """The nodes from which a target can be reached, found without recursion."""
    leads: dict[Node, bool] = {}
    stack = [(node, False) for node in roots]
    while stack:
        node, done = stack.pop()
        if done:
            leads[node] = node in targets or any(leads.get(edge[0], False) for edge in node.edges if edge)
        elif node not in leads:
            leads[node] = False
            stack.append((node, True))
            stack.extend((edge[0], False) for edge in node.edges if edge and edge[0] not in leads)
    return {node for node, found in leads.items() if found}


def _walk(tensors: Sequence[Tensor], gradients: Sequence[Tensor | None], retain_graph: bool | None,
          create_graph: bool, inputs: Sequence[Tensor] | None, accumulate: bool) -> dict[int, Tensor]:
    firsts = _first_gradients(tensors, gradients)
    captures: dict[Any, dict[int, int]] | None = None
    keep = create_graph if retain_graph is None else retain_graph
    if inputs is not None:
        captures = {}
        for slot, tensor in enumerate(inputs):
            edge = edge_of(tensor)
            if edge is None:
                raise GraphError("One of the differentiated Tensors does not require grad")
            captures.setdefault(edge[0], {})[edge[1]] = slot
    walk = Walk(keep, create_graph, captures, accumulate)
    edges = [edge_of(tensor) for tensor in tensors]
    if captures is not None:
        walk.needed = _leading_to([edge[0] for edge in edges if edge], set(captures))
        # a captured node is processed no further unless it leads on to another one
        walk.needed -= {node for node in captures
                        if not any(edge and edge[0] in walk.needed for edge in node.edges)}
    before = STATE.enabled
    STATE.enabled = create_graph
    first = None
    try:
        for edge, first in zip(edges, firsts, strict=True):
            assert edge is not None
            walk.give(edge[0], edge[1], first, edge[0])
        del firsts, first  # the walk shall hold the only references
        walk.run()
    finally:
        STATE.enabled = before
    return walk.captured


def backward(tensors: Any, grad_tensors: Any = None, retain_graph: bool | None = None, create_graph: bool = False,
             inputs: Any = None) -> None:
    """Accumulate gradients of `tensors` into the leaves of their graph, or into `inputs` only.

    `grad_tensors` are the gradients to start with, one per tensor, None for a single-element tensor. The graph is
    freed unless `retain_graph`; `create_graph` records the walk itself, for higher derivatives.
    Source: https://docs.pytorch.org/docs/stable/generated/torch.autograd.backward.html

    >>> import flambeau as torch
    >>> x = torch.tensor(3.0, requires_grad=True)
    >>> torch.autograd.backward(x * x); x.grad
    tensor(6.)
    """
    tensors = (tensors,) if isinstance(tensors, Tensor) else tuple(tensors)
    grads = _as_tuple(grad_tensors, len(tensors))
    if create_graph:
        warnings.warn("backward() with create_graph=True makes a reference cycle between a parameter and its gradient, "
                      "which keeps memory alive; use autograd.grad, or set .grad to None after use.", UserWarning,
                      stacklevel=3)
    if inputs is None:
        _walk(tensors, grads, retain_graph, create_graph, None, accumulate=True)
        return
    targets = (inputs,) if isinstance(inputs, Tensor) else tuple(inputs)
    if not targets:
        raise GraphError("`inputs` argument to `backward()` cannot be empty.")
    captured = _walk(tensors, grads, retain_graph, create_graph, targets, accumulate=False)
    before, STATE.enabled = STATE.enabled, create_graph
    try:
        for slot, grad in captured.items():
            _accumulate_at(targets[slot], grad, create_graph)
    finally:
        STATE.enabled = before


def _accumulate_at(target: Tensor, grad: Tensor, create_graph: bool) -> None:
    """Add a gradient to the `.grad` of one of the inputs that `backward` was asked for."""
    edge = edge_of(target)
    assert edge is not None
    if edge[0].is_accumulator:
        edge[0].accumulate(grad, create_graph)
    elif not target._retains_grad:  # else the walk did it
        grad = grad if create_graph else grad.detach().clone()
        target._grad = grad if target._grad is None else target._grad + grad


def grad(outputs: Any, inputs: Any, grad_outputs: Any = None, retain_graph: bool | None = None,
         create_graph: bool = False, only_inputs: bool = True, allow_unused: bool | None = None,
         is_grads_batched: bool = False, materialize_grads: bool = False) -> tuple[Any, ...]:
    """The gradients of the sum of `outputs` with respect to `inputs`, without touching any `.grad`.

    Raises RuntimeError for an input that the outputs do not depend on, unless `allow_unused` (None is returned for
    it) or `materialize_grads` (zeros are). `only_inputs` is from an older PyTorch and changes nothing.
    Source: https://docs.pytorch.org/docs/stable/generated/torch.autograd.grad.html

    >>> import flambeau as torch
    >>> x = torch.tensor([1.0, 2.0], requires_grad=True)
    >>> torch.autograd.grad((x ** 2).sum(), x)
    (tensor([2., 4.]),)
    """
    if is_grads_batched:
        raise ArgumentError("grad: is_grads_batched=True needs vmap, which is not available yet; loop over the batch")
    if materialize_grads and allow_unused is False:
        raise ArgumentError("grad: materialize_grads=True gives zeros for inputs that were not used, so allow_unused "
                            "must be True or left out; given: allow_unused=False")
    tensors = (outputs,) if isinstance(outputs, Tensor) else tuple(outputs)
    targets = (inputs,) if isinstance(inputs, Tensor) else tuple(inputs)
    captured = _walk(tensors, _as_tuple(grad_outputs, len(tensors)), retain_graph, create_graph, targets,
                     accumulate=False)
    slots = {(id(edge[0]), edge[1]): slot for slot, each in enumerate(targets) if (edge := edge_of(each))}
    found = []
    for tensor in targets:
        edge = edge_of(tensor)
        assert edge is not None
        value = captured.get(slots[id(edge[0]), edge[1]])
        if value is None and materialize_grads:
            value = tensor.new_zeros(tensor._array.shape)
        elif value is None and not allow_unused:
            raise GraphError("One of the differentiated Tensors appears to not have been used in the graph; "
                             "allow_unused=True gives None for its gradient, materialize_grads=True zeros")
        found.append(value)
    return tuple(found)


def _as_tuple(value: Any, count: int) -> tuple[Any, ...]:
    if value is None:
        return (None,) * count
    values = (value,) if isinstance(value, Tensor) else tuple(value)
    if len(values) != count:
        raise GraphError(f"got {count} tensors and {len(values)} gradients")
    return values
