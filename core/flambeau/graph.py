"""The gradient graph: nodes that remember how a tensor was made.

A `Node` is made for each recorded call: the operator's record, the edges to the nodes of its inputs, and what the
record's vjps name. Views and in-place changes are part of the picture: a view computes its edge anew when its memory
has changed, and a base whose view changed gets a `CopySlices` node. `flambeau.walk` turns the graph into gradients.
"""

from __future__ import annotations

import itertools
import sys
import threading
import traceback
import weakref
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from flambeau.errors import ArgumentTypeError, GraphError
from flambeau.registry import ARGUMENT, RESULT, SHAPE, OpDef, SavePlan
from flambeau.tensor import Edge, Tensor, View, alias, new, version_cell


class _State(threading.local):
    """What is per thread: whether operators are recorded."""

    enabled = True
    inference = False


STATE = _State()
next_order = itertools.count(0, -1).__next__   # decreasing, so that the newest node is the smallest in the heap
_accumulate_lock = threading.RLock()  # a mode that sees the addition may itself run a walk


class Anomaly:
    """The switch of anomaly mode: nodes then keep the traceback of the call that made them."""

    enabled = False
    check_nan = True


# Not empty while recording is more than making nodes, in any thread: anomaly mode, or hooks on saved tensors.
WATCHERS: list[Any] = []

# What runs around a node's part of a walk, as `around(node, apply, grad)`, which calls `apply(grad)`: the outermost
# last. Empty unless anomaly mode or a profiler is on.
AROUND: list[Callable[[Node, Callable[[Any], list[Any]], Any], list[Any]]] = []


class _SavedTensorHooks(threading.local):
    """Per thread: the (pack, unpack) pairs that saved tensors pass through, innermost last."""

    def __init__(self) -> None:
        self.stack: list[tuple[Callable[[Tensor], Any], Callable[[Any], Tensor]]] = []


SAVED_TENSOR_HOOKS = _SavedTensorHooks()


class Packed:
    """A saved tensor that went through a pack hook: what the hook made of it, and the tensor's place in the graph."""

    __slots__ = ("edge", "packed", "unpack")

    def __init__(self, tensor: Tensor, pack: Callable[[Tensor], Any], unpack: Callable[[Any], Tensor]) -> None:
        self.edge = edge_of(tensor)
        self.packed = pack(tensor)
        self.unpack = unpack

    def restore(self) -> Tensor:
        """The tensor again, with its history."""
        tensor = self.unpack(self.packed)
        if not isinstance(tensor, Tensor):
            raise ArgumentTypeError("Output of saved tensor unpack_hook expected to be a Tensor but got result of type "
                                    f"{type(tensor).__name__}")
        return tensor if self.edge is None else with_edge(tensor, self.edge)


class RemovableHandle:
    """A registered hook; `remove()`, or leaving a `with` block, unregisters it."""

    _next = itertools.count()

    def __init__(self, hooks: dict[int, Any], hook: Any) -> None:
        self.hooks = hooks
        self.id = next(RemovableHandle._next)
        hooks[self.id] = hook

    def remove(self) -> None:
        """Unregister the hook; doing it twice does no harm."""
        self.hooks.pop(self.id, None)

    def __enter__(self) -> RemovableHandle:
        return self

    def __exit__(self, *exc: object) -> None:
        self.remove()


class Node:
    """One recorded call of an operator.

    Attributes: `plan`, with the record and what is kept of the call; `edges`, one per differentiable input, None where
    no gradient is wanted; `saved`, the values that the vjps name; `versions`, (index in saved, version) of the saved
    tensors; `shape` and `kind` of the output (tuples of them where `count`, the number of outputs, is above 1).
    """

    is_accumulator = False
    count = 1
    versions: tuple[tuple[int, int], ...] = ()
    results: tuple[tuple[int, int], ...] = ()       # (index in saved, output number) of saved outputs
    saved: Any = ()
    packs = False
    tensor_hooks: dict[int, dict[int, Any]] | None = None
    retained: dict[int, Any] | None = None
    pre_hooks: dict[int, Any] | None = None
    post_hooks: dict[int, Any] | None = None
    trace: str | None = None

    plan: SavePlan
    edges: tuple[Edge | None, ...]
    shape: Any
    kind: Any
    order: int

    @property
    def record(self) -> OpDef:
        """The operator's record."""
        return self.plan.record

    def name(self) -> str:
        """The name as PyTorch gives it: "AddBackward0"."""
        named = self.record.grad_name
        return named if isinstance(named, str) else str(named(self))

    def __repr__(self) -> str:
        return f"<{self.name()} object at {id(self):#x}>"

    @property
    def next_functions(self) -> tuple[tuple[Any, int], ...]:
        """The nodes of the inputs, with output numbers."""
        return tuple((None, 0) if edge is None else edge for edge in self.edges)

    @property
    def metadata(self) -> dict[str, Any]:
        """A dictionary for the user's own notes."""
        return self.__dict__.setdefault("notes", {})

    def register_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call `hook(grad_inputs, grad_outputs)` after the node's gradients are computed."""
        if self.post_hooks is None:
            self.post_hooks = {}
        return RemovableHandle(self.post_hooks, hook)

    def register_prehook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call `hook(grad_outputs)` before the node's gradients are computed."""
        if self.pre_hooks is None:
            self.pre_hooks = {}
        return RemovableHandle(self.pre_hooks, hook)

    def apply(self, grad: Any) -> list[Any]:
        """The gradients of the inputs, given that of the output (a list of them for several outputs)."""
        saved = self.unpack()
        gradients: list[Any] = [None] * len(self.edges)
        for slots, vjp, kept in self.plan.calls:
            value = vjp(grad, *[saved[index] for index in kept])
            if isinstance(slots, int):
                gradients[slots] = value
            elif slots is None:
                return list(value)
            else:
                for slot, each in zip(slots, value, strict=True):
                    gradients[slot] = each
        return gradients

    def unpack(self) -> list[Any]:
        """The saved values, after checking that none was freed or changed in place."""
        saved = self.saved
        if saved is None:
            raise GraphError(
                f"{self.name()}: Trying to backward through the graph a second time; what it had saved was freed by "
                "the first. Pass retain_graph=True to the first backward() or grad() to keep it")
        if self.packs:
            saved = [each.restore() if each.__class__ is Packed else each for each in saved]
        for index, version in self.versions:
            cell = saved[index]._counter
            if cell is not None and cell[0] != version:
                raise self._modified(index, version)
        if self.results and STATE.enabled:
            saved = list(saved)
            for index, number in self.results:
                saved[index] = with_edge(saved[index], (self, number))
        return saved

    def _modified(self, index: int, version: int) -> GraphError:
        """The error for a saved value that was changed in place; the node's own result is named after the node."""
        number = dict(self.results).get(index)
        return modified(self.saved[index], version, None if number is None else (self, number))

    def release(self) -> None:
        """Free what was saved; a node that kept no tensor stays usable, as in PyTorch."""
        if self.plan.frees or self.versions or self.packs:
            self.saved = None


def with_edge(tensor: Tensor, edge: Edge) -> Tensor:
    result = alias(tensor)
    result._edge = edge
    return result


def modified(tensor: Tensor, expected: int, edge: Edge | None = None) -> GraphError:
    edge = edge or tensor._edge
    maker = edge[0].name() if edge is not None else "a leaf"
    found = version_cell(tensor)[0]
    kind = {"float32": "Float", "float64": "Double", "float16": "Half", "bfloat16": "BFloat16", "int64": "Long",
            "int32": "Int", "bool": "Bool"}.get(tensor._kind.dtype.name, tensor._kind.dtype.name)
    return GraphError(
        "one of the variables needed for gradient computation has been modified by an inplace operation: "
        f"[torch.{kind}Tensor {list(tensor._array.shape)}], which is output {edge[1] if edge else 0} "
        f"of {maker}, is at version {found}; expected version {expected}. Use the out-of-place "
        "form there, or a clone; torch.autograd.set_detect_anomaly(True) names the forward line that needs the value")


class AccumulateGrad(Node):
    """The end of the walk: adds what arrives to the `.grad` of a leaf.

    It holds the leaf weakly (the leaf holds it): a leaf that nobody else holds has no gradient that anyone can see.
    """

    is_accumulator = True
    edges = ()

    def __init__(self, leaf: Tensor) -> None:
        self.leaf = weakref.ref(leaf)
        self.shape = leaf._array.shape
        self.kind = leaf._kind
        self.order = next_order()

    def name(self) -> str:
        return "torch::autograd::AccumulateGrad"

    def __repr__(self) -> str:
        return f"<AccumulateGrad object at {id(self):#x}>"

    @property
    def variable(self) -> Tensor | None:
        """The leaf."""
        return self.leaf()

    def accumulate(self, grad: Tensor, create_graph: bool) -> None:
        """Add `grad` to the leaf's gradient."""
        leaf = self.leaf()
        if leaf is None:
            return
        with _accumulate_lock:
            present = leaf._grad
            if present is None:
                leaf._grad = grad if create_graph else _owned(grad)
            elif create_graph:
                leaf._grad = present + grad
            else:
                present.add_(grad)
        if leaf._post_accumulate_hooks:
            for hook in tuple(leaf._post_accumulate_hooks.values()):
                hook(leaf)


def _references(grad: Tensor) -> tuple[int, int]:
    return sys.getrefcount(grad), sys.getrefcount(grad._array)


def _calibrate() -> tuple[int, int]:
    """How many references `_references` sees to a gradient that nobody but the walk holds."""
    class _Stub:
        _array: Any = None

    def accumulate(grad: Any) -> tuple[int, int]:
        return owned(grad)

    def owned(grad: Any) -> tuple[int, int]:
        return _references(grad)

    stub = _Stub()
    stub._array = object()
    return accumulate(stub)


_SOLE = _calibrate()


def _owned(grad: Tensor) -> Tensor:
    """The gradient itself where only the walk holds it and its memory, else a copy."""
    held = _references(grad)
    sole = held[0] <= _SOLE[0] and held[1] <= _SOLE[1]
    if sole and grad._edge is None and grad._kind.backend.storage(grad._array) is grad._array:
        return grad
    return grad.detach().clone()


# ---------------------------------------------------------------------------------------------- recording
def edge_of(tensor: Tensor) -> Edge | None:
    """The edge that gradients of `tensor` flow to, made anew for a view whose memory changed since it was made."""
    edge = tensor._edge
    view = tensor._view
    if view is None or edge is None or (edge is not LAZY and edge[0].is_accumulator):
        return edge
    version = version_cell(tensor)[0]
    if edge is LAZY or version != view.version:
        above = edge_of(view.parent)
        if above is None:
            return None
        node = make_node(view.record, (view.parent, *view.args), (above,), (True,))
        node.shape, node.kind = tensor._array.shape, tensor._kind
        if tensor._retains_grad:
            keep_retaining(tensor, edge, (node, 0))
        tensor._edge = edge = (node, 0)
        view.version = version
    return edge


def keep_retaining(tensor: Tensor, old: Edge | None, edge: Edge) -> None:
    """Let a tensor that retains its gradient do so at its new edge (when it has one), and no more at the old one."""
    if old is not None and old is not LAZY and old[0].retained is not None:
        old[0].retained.pop(old[1], None)
    if edge is LAZY:
        return
    node, number = edge
    if node.retained is None:
        node.retained = {}
    node.retained[number] = weakref.ref(tensor)


class _Lazy:
    """Stands in the edge of a view whose base wants no gradient so far: `edge_of` asks the base again."""

    is_accumulator = False


LAZY: Edge = (_Lazy(), 0)


def make_node(record: OpDef, args: Sequence[Any], edges: tuple[Edge | None, ...], needs: tuple[bool, ...]) -> Node:
    """A node for a call of `record`; the caller sets `shape` and `kind`, and saves results with `save_results`."""
    plan = record.save_plans.get(needs) or record.save_plan(needs)
    node: Node = new(Node)
    node.plan = plan
    node.edges = edges
    node.order = next_order()
    if plan.sources:
        saved: list[Any] = []
        versions = []
        for kind, position in plan.sources:
            if kind == ARGUMENT:
                value = args[position]
                if isinstance(value, Tensor):
                    if value._inference:
                        raise inference_refusal()
                    cell = value._counter
                    versions.append((len(saved), 0 if cell is None else cell[0]))
                saved.append(value)
            else:
                saved.append(source_value(kind, args[position] if kind != RESULT else None))
        if versions:
            node.versions = tuple(versions)
        node.saved = saved
    if WATCHERS:
        watch(node)
    return node


def inference_refusal() -> GraphError:
    return GraphError("Inference tensors cannot be saved for backward; a tensor that was made under inference_mode() "
                      "is used where a gradient needs it: use its clone(), or make it under no_grad() instead")


def watch(node: Node) -> None:
    """What anomaly mode and the hooks on saved tensors want of a new node."""
    if Anomaly.enabled:
        node.trace = "".join(traceback.format_stack()[:-2])
    if SAVED_TENSOR_HOOKS.stack and node.versions:
        pack_saved(node, [index for index, _ in node.versions])


def pack_saved(node: Node, indices: Sequence[int]) -> None:
    """Let the innermost hooks replace these saved tensors; versions are then no concern of the node's."""
    pack, unpack = SAVED_TENSOR_HOOKS.stack[-1]
    for index in indices:
        node.saved[index] = Packed(node.saved[index], pack, unpack)
    node.packs = True
    node.versions = tuple(each for each in node.versions if each[0] not in indices)


def source_value(source: int, argument: Any) -> Any:
    """What is kept for a source that is not the argument itself; None for results, which `save_results` fills in."""
    if source == RESULT:
        return None
    return _metadata(argument, "shape" if source == SHAPE else "kind")


def _metadata(value: Any, which: str) -> Any:
    if isinstance(value, Tensor):
        return value._array.shape if which == "shape" else value._kind
    if isinstance(value, (list, tuple)):
        return [_metadata(each, which) for each in value]
    return () if which == "shape" else None


def save_results(node: Node, sources: Iterable[tuple[int, int]], outputs: Sequence[Tensor],
                 pack: bool = True) -> None:
    """Keep those outputs that the node's vjps name, without the edge that would close a cycle.

    With `pack`, they pass through the hooks on saved tensors.
    """
    assert node.saved is not None
    results = []
    versions = list(node.versions)
    for index, (kind, number) in enumerate(sources):
        if kind == RESULT:
            output = outputs[number]
            kept = alias(output)
            kept._counter = version_cell(output)
            node.saved[index] = kept
            results.append((index, number))
            versions.append((index, kept._counter[0]))
    if results:
        node.results, node.versions = tuple(results), tuple(versions)
        if pack and WATCHERS and SAVED_TENSOR_HOOKS.stack:
            pack_saved(node, [index for index, _ in results])


def check_inplace(tensor: Tensor, op: str) -> None:
    """Refuse an in-place change that gradients could not follow."""
    if tensor._inference and not STATE.inference:
        raise GraphError(f"{op}_: Inplace update to inference tensor outside InferenceMode is not allowed; change a "
                         "clone(), or make the tensor outside of inference_mode()")
    edge = edge_of(tensor)
    view = tensor._view
    if not STATE.enabled:
        return
    if edge is not None and edge[0].is_accumulator:
        raise GraphError(f"{op}_: a leaf Variable that requires grad is being used in an in-place operation; "
                         "use the out-of-place form, or wrap the update in torch.no_grad()")
    if view is None:
        return
    above: View | None = view
    while above is not None and not (above.made_in_no_grad or above.several):
        above = above.parent._view
    if edge is None and (above is None or not above.made_in_no_grad):
        return
    base = tensor._base
    assert base is not None
    if base._edge is not None and base._edge is not LAZY and base._edge[0].is_accumulator:
        raise GraphError(f"{op}_: a view of a leaf Variable that requires grad is being used in an in-place "
                         "operation; change a clone, or wrap the update in torch.no_grad()")
    if above is None or (edge is None and edge_of(base) is None):
        return
    if above.made_in_no_grad:
        raise GraphError(f"{op}_: A view was created in no_grad mode and is being modified inplace with grad mode "
                         "enabled; make the view outside of no_grad(), or change it inside")
    assert edge is not None
    raise GraphError(f"{op}_: Output {tensor._edge[1] if tensor._edge else 0} of {edge[0].name()} is a view and is "
                     "being modified inplace; it is one of several views that one call gave, whose gradients could "
                     "not follow. Use the out-of-place form")


def rebase(tensor: Tensor, node: Node, own_slot: int | None) -> None:
    """Make `node` the history of a tensor that was changed in place; for a view, also that of its base.

    `own_slot` is the node's edge that stands for the tensor's old value, None if it has none.
    """
    if tensor._view is None:
        if tensor._retains_grad:
            keep_retaining(tensor, tensor._edge, (node, 0))
        tensor._edge = (node, 0)
        return
    base = tensor._base
    assert base is not None
    edge = (CopySlices(base, tensor, node, own_slot), 0)
    if base._retains_grad:
        keep_retaining(base, base._edge, edge)
    base._edge = edge
    if tensor._retains_grad:
        keep_retaining(tensor, tensor._edge, LAZY)
    tensor._edge = LAZY  # made anew from the base's at the next use
    edge_of(tensor)


class CopySlices(Node):
    """History of a base whose view was changed in place: the view's part goes through the operator that changed it."""

    def __init__(self, base: Tensor, view: Tensor, inner: Node, own_slot: int | None) -> None:
        self.inner = inner
        self.own_slot = own_slot
        self.chain = _chain(view)
        others = tuple(edge for slot, edge in enumerate(inner.edges) if slot != own_slot)
        old = edge_of(base)
        self.edges = (old, *others)
        self.shape, self.kind = base._array.shape, base._kind
        self.strides = base._kind.backend.layout(base._array)[0]
        self.order = next_order()
        self.saved = []
        self.trace = inner.trace

    def name(self) -> str:
        return "torch::autograd::CopySlices"

    def __repr__(self) -> str:
        return f"<CopySlices object at {id(self):#x}>"

    def _copy(self, grad: Any) -> Any:
        """A copy of the gradient with its dimensions laid out in the base's order, so that the same views exist."""
        order = sorted(range(len(self.strides)), key=lambda dim: -self.strides[dim])
        if order == list(range(len(order))):
            return grad.clone() if grad.is_contiguous() else grad.contiguous()
        turned = grad.permute(order)
        fresh = turned.contiguous()
        if fresh is turned:
            fresh = turned.clone()
        return fresh.permute([order.index(dim) for dim in range(len(order))])

    def apply(self, grad: Any) -> list[Any]:
        if self.saved is None:
            self.unpack()
        result = self._copy(grad)
        piece = result
        for record, args in self.chain:
            piece = record.call(piece, *args)
        gradients = self.inner.apply(piece.clone())
        own = None if self.own_slot is None else gradients[self.own_slot]
        if own is None:
            piece.zero_()
        else:
            piece.copy_(own)
        return [result, *(each for slot, each in enumerate(gradients) if slot != self.own_slot)]

    def release(self) -> None:
        self.saved = None
        self.inner.release()


def _chain(tensor: Tensor) -> list[tuple[OpDef, tuple[Any, ...]]]:
    """The view calls that lead from a view's base to it."""
    steps = []
    view: View | None = tensor._view
    while view is not None:
        steps.append((view.record, view.args))
        view = view.parent._view
    return steps[::-1]
