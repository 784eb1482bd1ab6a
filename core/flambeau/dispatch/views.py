"""Views: tensors over the same memory as another one.

A view's record is a rule on metadata: from the layout of the input and the arguments it gives shape, strides and
offset, and the backend's `as_strided` does the rest. A backend may have a kernel of the view's name for speed; it
returns a view, or None where only the general way will do.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flambeau.dispatch import modes
from flambeau.dispatch.run import wrap, wrong_type
from flambeau.graph import LAZY, STATE, WATCHERS, Node, edge_of, make_node, next_order, watch
from flambeau.registry import ARGUMENT, SHAPE, OpDef
from flambeau.tensor import Tensor, View, new, version_cell

ACTIVE = modes.ACTIVE
STACK = modes.STACK


_NEEDS = (True,)


def bind_view(record: OpDef) -> Callable[..., Tensor]:
    """The callable of a view's record: one tensor, then canonical arguments."""
    if record.promote is not None:
        return _bind_typed_view(record)
    name = record.name
    rule = record.function
    arity = len(record.parameters)

    def call(input: Tensor, *args: Any) -> Tensor:
        if len(args) + 1 != arity:
            args = record.complete((input, *args), {})[1:]
        if ACTIVE and STACK.modes:
            return modes.through(record, call, (input, *args), {})
        try:
            kind = input._kind
        except AttributeError:
            raise wrong_type(record, 0, input) from None
        kernel = kind.kernels.get(name)
        array = None if kernel is None else kernel(input._array, *args)
        if array is None:
            backend = kind.backend
            strides, offset = backend.layout(input._array)
            shape, strides, offset = rule(input._array.shape, strides, offset, *args)
            array = backend.as_strided(input._array, shape, strides, offset)
        result: Tensor = new(Tensor)
        result._array = array
        result._kind = kind
        return link(record, input, args, result)
    return call


def _bind_typed_view(record: OpDef) -> Callable[..., Tensor]:
    """The callable of a view that reads memory as another dtype: `promote` gives it; the rule counts its elements."""
    def call(input: Tensor, *args: Any) -> Tensor:
        if ACTIVE and STACK.modes:
            return modes.through(record, call, (input, *args), {})
        kind = input._kind
        wanted = kind.to(record.promote(kind.dtype, *args))
        strides, offset = kind.backend.layout(input._array)
        layout = record.function(input._array.shape, strides, offset, *args)
        result: Tensor = new(Tensor)
        result._array = kind.kernels["reinterpret"](input._array, *layout, wanted.dtype)
        result._kind = wanted
        if isinstance(record.vjps, tuple):
            return link(record, input, args, result)
        result._counter = version_cell(input)  # no gradient goes through it, so it needs no history as a view
        return result
    return call


def link(record: OpDef, input: Tensor, args: tuple[Any, ...], result: Tensor) -> Tensor:
    """Make `result` a view of `input`: one version counter, and an edge if gradients are or may be wanted."""
    cell = input._counter
    if cell is None:
        cell = input._counter = [0]
    result._counter = cell
    view: View = new(View)  # its __init__, written out: this is the way of every view
    view.parent = input
    view.record = record
    view.args = args
    view.version = cell[0]
    if input._edge is not None and STATE.enabled and result._kind.differentiable:
        edge = input._edge if input._view is None else edge_of(input)
        if edge is not None:
            node: Node = new(Node)  # make_node, written out: a view's node keeps metadata only
            plan = record.save_plans.get(_NEEDS) or record.save_plan(_NEEDS)
            node.plan = plan
            node.edges = (edge,)
            node.order = next_order()
            if plan.sources:
                node.saved = [args[position - 1] if source == ARGUMENT else
                              input._array.shape if source == SHAPE else input._kind
                              for source, position in plan.sources]
            if WATCHERS:
                watch(node)
            node.shape, node.kind = result._array.shape, result._kind
            result._edge = (node, 0)
        else:
            result._edge = LAZY
    elif not STATE.enabled:
        view.made_in_no_grad = True
    elif result._kind.differentiable:
        result._edge = LAZY
    result._view = view
    return result


class _OneOfViews(Node):
    """The node of a call that gave one view only: the record's vjp takes a list of gradients all the same."""

    def apply(self, grad: Any) -> list[Any]:
        return super().apply([grad])


def bind_views(record: OpDef) -> Callable[..., tuple[Tensor, ...]]:
    """The callable of a record that gives several views of one tensor (split, unbind): one node, many outputs.

    The record's function gives the list of (record, args) of the views.
    """
    arity = len(record.parameters)

    def call(input: Tensor, *args: Any) -> tuple[Tensor, ...]:
        if len(args) + 1 != arity:
            args = record.complete((input, *args), {})[1:]
        if ACTIVE and STACK.modes:
            return modes.through(record, call, (input, *args), {})
        if not isinstance(input, Tensor):
            raise wrong_type(record, 0, input)
        before, STATE.enabled = STATE.enabled, False
        try:
            results = tuple([each.call(input, *arguments) for each, arguments in record.function(input, *args)])
        finally:
            STATE.enabled = before
        edge = edge_of(input) if input._edge is not None and STATE.enabled else None
        if edge is None or not results:
            for result in results:
                _pending(result)
            return results
        node = make_node(record, (input, *args), (edge,), (True,))
        node.shape = tuple([each._array.shape for each in results])
        node.kind = tuple([each._kind for each in results])
        node.count = len(results)
        if node.count == 1:
            node.shape, node.kind = node.shape[0], node.kind[0]
            fields, node = vars(node), new(_OneOfViews)
            vars(node).update(fields)
        for number, result in enumerate(results):
            result._edge = (node, number)
            assert result._view is not None
            result._view.several, result._view.made_in_no_grad = True, False
        return results
    return call


def _pending(result: Tensor) -> None:
    assert result._view is not None
    result._view.several = True
    if STATE.enabled:
        result._view.made_in_no_grad = False
        if result._kind.differentiable:
            result._edge = LAZY


__all__ = ["bind_view", "bind_views", "link", "wrap"]
