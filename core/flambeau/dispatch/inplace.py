"""In-place forms: the result of an operator goes into the memory of its first argument.

The short way writes with the kernel's `out=`. The general one computes, checks that the result fits, copies it over
the tensor, counts the change and makes the call the tensor's new history (for a view, its base's: `graph.rebase`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flambeau import dtypes
from flambeau.dispatch import modes
from flambeau.dispatch.pointwise import compute, make_plan, operand, scalar_plan
from flambeau.dispatch.run import UnimplementedGradient, attach_node, bump, execute, wrong_type
from flambeau.errors import DtypeError
from flambeau.graph import SAVED_TENSOR_HOOKS, STATE, Node, check_inplace, edge_of, pack_saved, rebase
from flambeau.registry import OpDef
from flambeau.shapes import describe
from flambeau.tensor import Tensor, make

ACTIVE = modes.ACTIVE
STACK = modes.STACK


def bind_inplace(record: OpDef) -> Callable[..., Tensor]:
    """The in-place form of a pointwise record: the result goes into the first operand's memory."""
    if record.family == "binary":
        return _bind_inplace_binary(record)
    plans: dict[Any, Any] = record.plans

    def call(input: Tensor, *rest: Any, **kwargs: Any) -> Tensor:
        args = (input, *rest)
        if kwargs or len(args) != len(record.parameters):
            args = record.complete(args, kwargs)
        if ACTIVE and STACK.modes:
            return modes.through(record, call, args, {})
        plain = input._view is None and not input._inference
        if len(args) == 1 and (input._edge is None or not STATE.enabled) and plain:
            plan = plans.get(input._kind)
            if plan is None:
                plan = plans[input._kind] = make_plan(record, args)
            if plan and plan[2] is input._kind and \
                    plan[0](input._array, out=input._array) is not NotImplemented:
                bump(input)
                return input
        return general_inplace(record, args)
    return call


def _bind_inplace_binary(record: OpDef) -> Callable[..., Tensor]:
    plans: dict[Any, Any] = record.plans

    def call(input: Tensor, other: Any) -> Tensor:
        if ACTIVE and STACK.modes:
            return modes.through(record, call, (input, other), {})
        if (input._edge is not None and STATE.enabled) or input._view is not None or input._inference:
            return general_inplace(record, (input, other))
        kind = input._kind
        if isinstance(other, Tensor):
            if other._kind is not kind or (other._edge is not None and STATE.enabled) or (
                    other._view is not None and other._counter is input._counter):  # a kernel may read what it wrote
                return general_inplace(record, (input, other))
            plan = plans.get(kind)
            if plan is None:
                plan = plans[kind] = make_plan(record, (input, other))
            operand_ = other._array
        else:
            plan = scalar_plan(record, input, other)
            operand_ = other
        if plan is False or plan[2] is not kind:
            return general_inplace(record, (input, other))
        try:
            if plan[0](input._array, operand_, out=input._array) is NotImplemented:
                return general_inplace(record, (input, other))
        except (ValueError, TypeError, OverflowError):
            return general_inplace(record, (input, other))
        cell = input._counter
        if cell is None:
            input._counter = [1]
        else:
            cell[0] += 1
        return input
    return call


def bind_inplace_operator(record: OpDef) -> Callable[..., Tensor]:
    """The in-place form of any other record whose result has the shape of its first argument."""
    def call(input: Tensor, *rest: Any, **kwargs: Any) -> Tensor:
        args = record.complete((input, *rest), kwargs)
        if ACTIVE and STACK.modes:
            return modes.through(record, call, args, {})
        return write_inplace(record, args, lambda: execute(record, args), input)
    return call


def bind_inplace_composite(record: OpDef) -> Callable[..., Tensor]:
    """The in-place form of a composite: its result is copied over the tensor, which the graph sees as a copy."""
    def call(input: Tensor, *rest: Any, **kwargs: Any) -> Tensor:
        check_inplace(input, record.name)
        result = record.call(input, *rest, **kwargs)
        check_overwrite(record.name, input, result)
        return input.copy_(result)
    return call


def general_inplace(record: OpDef, args: tuple[Any, ...]) -> Tensor:
    """An in-place form with all checks: compute, write, and make the call the tensor's history."""
    target: Tensor = args[0]
    return write_inplace(record, args, lambda: _compute_unrecorded(record, args), target)


def _compute_unrecorded(record: OpDef, args: tuple[Any, ...]) -> Tensor:
    operands = tuple([operand(record, position, each) for position, each in enumerate(args)])
    if record.vjps is None and record.decomposition is not None and record.promote is None:
        return record.decomposition(*operands)
    return compute(record, operands)


def write_inplace(record: OpDef, args: tuple[Any, ...], run: Callable[[], Tensor], target: Tensor) -> Tensor:
    """Replace the contents of `target` by what `run` computes; record the call as `target`'s new history."""
    if not isinstance(target, Tensor):
        raise wrong_type(record, 0, target)
    check_inplace(target, record.name)
    wanted = STATE.enabled and any(isinstance(each, Tensor) and each._edge is not None
                                   and each.requires_grad for each in args)
    if wanted and record.vjps is None:
        raise UnimplementedGradient(record)
    before, STATE.enabled = STATE.enabled, False
    try:
        result = run()
    finally:
        STATE.enabled = before
    check_overwrite(record.name, target, result)
    node = _inplace_node(record, args, target) if wanted else None
    target._kind.backend.copy(target._array, result._array)
    bump(target)
    if node is not None:
        _adopt(node, record, target)
    return target


def check_overwrite(op: str, target: Tensor, result: Tensor) -> None:
    """Refuse an in-place result that does not fit the tensor: shape, dtype, or memory that overlaps itself."""
    if result._array.shape != target._array.shape:
        raise DtypeError(f"{op}_: output with shape {describe(target._array.shape)} doesn't match the broadcast shape "
                         f"{describe(result._array.shape)}; use the out-of-place form")
    if not dtypes.can_cast(result._kind.dtype, target._kind.dtype):
        given, wanted = dtypes.scalar_name(result._kind.dtype), dtypes.scalar_name(target._kind.dtype)
        raise DtypeError(f"{op}_: result type {given} can't be cast to the desired output type {wanted}; use the "
                         "out-of-place form, or convert the operand")
    if overlaps_itself(target):
        raise DtypeError(f"{op}_: unsupported operation: more than one element of the written-to tensor refers to "
                         "a single memory location, as after expand(); change a clone()")


def overlaps_itself(target: Tensor) -> bool:
    """Whether several elements of a tensor are one place in memory, as after expand()."""
    if target._view is None:
        return False
    strides = target._kind.backend.layout(target._array)[0]
    return any(stride == 0 and size > 1 for size, stride in zip(target._array.shape, strides, strict=True))


def _inplace_node(record: OpDef, args: tuple[Any, ...], target: Tensor) -> Node | None:
    """The node of an in-place call, made before the memory changes.

    It refers to the tensor's old value through a stand-in with the old history; where a vjp needs that value, the
    stand-in gets a copy of it.
    """
    stand_in = make(target._array, target._kind)
    stand_in._edge = edge_of(target)
    outputs = make(target._array, target._kind)
    node = attach_node(record, tuple([stand_in if each is target else each for each in args]), (outputs,), pack=False)
    if node is not None and any(each is stand_in for each in node.saved):
        stand_in._array = target._kind.kernels["clone"](target._array)
    return node


def _adopt(node: Node, record: OpDef, target: Tensor) -> None:
    """Make a node of an in-place call the target's history, with saved results at their new version."""
    if node.results:
        node.versions = tuple((index, target._version if any(index == each for each, _ in node.results) else version)
                              for index, version in node.versions)
        assert node.saved is not None
        for index, _ in node.results:
            node.saved[index]._counter = target._counter
        if SAVED_TENSOR_HOOKS.stack:
            pack_saved(node, [index for index, _ in node.results])
    own = record.differentiable.index(0) if 0 in record.differentiable else None
    rebase(target, node, own)
