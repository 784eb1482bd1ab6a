"""Pointwise operators: promotion, broadcasting, Python numbers as operands, in-place forms.

The short way covers operands of one kind, or a tensor with a Python number of its category, on a device with a kernel
for the operator: one dictionary look-up gives the kernel and the kind of the result. Everything else (promotion,
operands of several dtypes, emulation, a missing kernel, errors) goes the long way through `compute`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from flambeau import dtypes
from flambeau.discovery import Kind
from flambeau.dispatch import modes
from flambeau.dispatch.fallback import run_on_host
from flambeau.dispatch.run import (
    attach_node,
    cast,
    different_devices,
    explained,
    refuse_gradient,
    unsupported,
    write_out,
    wrong_type,
)
from flambeau.dtypes import BOOL, COMPLEX, FLOAT, dtype
from flambeau.errors import FlambeauError
from flambeau.graph import STATE, WATCHERS, Node, edge_of, inference_refusal, next_order, save_results, source_value
from flambeau.registry import ARGUMENT, RESULT, OpDef
from flambeau.shapes import broadcast_shapes
from flambeau.tensor import Edge, Tensor, make, new

ACTIVE = modes.ACTIVE
STACK = modes.STACK
NUMBERS = (bool, int, float, complex)

Promotion = Callable[[dtype], tuple[dtype, dtype]]   # common dtype -> (dtype of the operands, dtype of the result)


# ---------------------------------------------------------------------------------------------- dtype rules
def arithmetic(common: dtype) -> tuple[dtype, dtype]:
    """Operands and result have the common dtype."""
    return common, common


def int_to_float(common: dtype) -> tuple[dtype, dtype]:
    """Integers and bools are computed, and returned, in the default dtype."""
    if common.category < FLOAT:
        common = dtypes.get_default_dtype()
    return common, common


def comparison(common: dtype) -> tuple[dtype, dtype]:
    """Operands have the common dtype, the result is bool."""
    return common, dtypes.bool_


def to_real(common: dtype) -> tuple[dtype, dtype]:
    """A complex operand gives a real result."""
    return common, common.to_real()


def common_dtype(operands: Sequence[Any]) -> dtype:
    """The dtype that operands, tensors and Python numbers, promote to."""
    dims: list[dtype] = []
    zeros: list[dtype] = []
    scalars: list[dtype] = []
    for each in operands:
        if isinstance(each, Tensor):
            (dims if each._array.shape else zeros).append(each._kind.dtype)
        else:
            scalars.append(dtypes.of_python(each.__class__))
    return dtypes.result_type_of(dims, zeros, scalars)


def to_category(number: Any, wanted: dtype) -> Any:
    """A Python number as one of the wanted dtype's category, wrapped around where an integer is too large."""
    category = wanted.category
    if category == FLOAT:
        return float(number)
    if category == COMPLEX:
        return complex(number)
    if category == BOOL:
        return bool(number)
    number = int(number)
    bits = 8 * wanted.itemsize
    low = -(1 << bits - 1) if wanted.is_signed else 0
    return (number - low) % (1 << bits) + low


# ---------------------------------------------------------------------------------------------- the long way
def operand(record: OpDef, position: int, value: Any) -> Any:
    """Check one operand: a tensor, or a number (of NumPy, too) as a Python number."""
    if isinstance(value, Tensor) or value.__class__ in NUMBERS:
        return value
    if hasattr(value, "__array__") and hasattr(value, "item") and not getattr(value, "shape", (1,)):
        return value.item()
    if isinstance(value, (int, float, complex)):  # a subclass, such as NumPy's float64
        return int(value) if isinstance(value, int) else value + 0
    raise wrong_type(record, position, value)


def first_kind(record: OpDef, operands: Sequence[Any]) -> Kind:
    """The kind that says on which device a call runs; 0-d host tensors follow the others."""
    tensors = [each for each in operands if isinstance(each, Tensor)]
    kind: Kind = next((each._kind for each in tensors if each._array.shape), tensors[0]._kind)
    for each in tensors:
        if each._kind.device is not kind.device:
            if not each._array.shape and each._kind.backend.capabilities.host:
                continue
            if not any(t._array.shape for t in tensors) and kind.backend.capabilities.host:
                kind = each._kind
                continue
            raise different_devices(record, operands)
    return kind


def compute(record: OpDef, operands: Sequence[Any]) -> Tensor:
    """Promote, cast, run: the result of a pointwise record, without recording."""
    kind = first_kind(record, operands)
    promote: Promotion = record.promote
    check = getattr(promote, "check", None)   # rules that look at each operand's dtype, not at the common one alone
    if check is not None:
        check(operands)
    common = common_dtype(operands)
    check_supported(record, common)
    inner, outer = promote(common)
    target = kind.to(outer)
    inside = kind.to(inner)
    wide = inside.compute
    if inside.emulated and record.dtype_rule == "any":
        wide = inside
    arrays = [_as_operand(each, position, record, wide) for position, each in enumerate(operands)]
    if record.uncast:
        _show_dtype(record, operands, arrays, wide)
    kernel = kind.kernels.get(record.name)
    rounded = wide is not inside and target is inside
    result = None if kernel is None else make_result(record, kernel, arrays, wide if rounded else target, operands)
    if result is None:
        return _without_kernel(record, operands, arrays, wide, target)
    return cast(result, target) if rounded else result


def _show_dtype(record: OpDef, operands: Sequence[Any], arrays: list[Any], inside: Kind) -> None:
    """Where promotion had numbers only, as in where(mask, 1., 2.), make one an array: kernels see the dtype by it."""
    promoted = [position for position in range(len(operands)) if position not in record.uncast]
    if not any(isinstance(operands[position], Tensor) for position in promoted):
        first = promoted[0]
        arrays[first] = inside.kernels["full"]((), arrays[first], inside.dtype, inside.index)


def _as_operand(value: Any, position: int, record: OpDef, inside: Kind) -> Any:
    """An operand as the kernel takes it: an array of the inner kind, or a Python number of its category."""
    if not isinstance(value, Tensor):
        return to_category(value, inside.dtype)
    if value._kind is inside or position in record.uncast:
        return value._array
    if value._kind.device is not inside.device:  # a 0-d host tensor among a device's
        return to_category(value.item(), inside.dtype)
    return cast(value, inside)._array


def make_result(record: OpDef, kernel: Any, arrays: Sequence[Any], kind: Kind,
                operands: Sequence[Any]) -> Tensor | None:
    """Call a kernel and wrap its result, explaining shapes that do not fit; None where it declines."""
    try:
        array = kernel(*arrays)
    except FlambeauError:
        raise
    except (ValueError, TypeError, MemoryError) as error:
        raise unfit(record, operands, error) from None
    if array.__class__ is not kind.array_type:
        if array is NotImplemented:
            return None
        array = kind.backend.as_array(array)
    return make(array, kind)


def unfit(record: OpDef, operands: Sequence[Any], error: Exception) -> Exception:
    """The error for operands that do not broadcast; any other refusal of the kernel is passed on, explained."""
    broadcast_shapes(*(each._array.shape for each in operands if isinstance(each, Tensor)), op=record.name)
    return explained(record, operands, error)


def _without_kernel(record: OpDef, operands: Sequence[Any], arrays: Sequence[Any], wide: Kind, target: Kind) -> Tensor:
    tensors = [make(array, each._kind if position in record.uncast else wide)
               if isinstance(each, Tensor) and array.__class__ is wide.array_type else array
               for position, (each, array) in enumerate(zip(operands, arrays, strict=True))]
    if record.decomposition is not None:
        result = record.decomposition(*tensors)
    else:
        result = run_on_host(record, tuple(tensors), wide)
    return result if result._kind is target else cast(result, target)


def check_supported(record: OpDef, common: dtype) -> None:
    """Refuse dtypes that the operator is not defined for: storage-only ones, and what its record excludes."""
    if common.storage_only or common.category in record.excluded:
        raise unsupported(record, common)


def make_plan(record: OpDef, operands: Sequence[Any]) -> Any:
    """What the short way needs for operands of these kinds: (kernel, array type, kind of the result) or False."""
    kind: Kind = next(each._kind for each in operands if isinstance(each, Tensor))
    kernel = kind.kernels.get(record.name)
    if kernel is None or kind.emulated:
        return False
    scalars = [each for each in operands if not isinstance(each, Tensor)]
    common = kind.dtype
    if any(dtypes.of_python(each.__class__).category > common.category for each in scalars):
        return False
    check_supported(record, common)
    check = getattr(record.promote, "check", None)
    if check is not None:
        check(operands)
    inner, outer = record.promote(common)
    return (kernel, kind.array_type, kind.to(outer)) if inner is common else False


def general(record: OpDef, operands: tuple[Any, ...], out: Tensor | None = None) -> Tensor:
    """The long way with recording and `out=`."""
    operands = tuple([operand(record, position, each) for position, each in enumerate(operands)])
    if not any(isinstance(each, Tensor) for each in operands):
        raise wrong_type(record, 0, operands[0])
    wanted = STATE.enabled and any(isinstance(each, Tensor) and each._edge is not None for each in operands)
    if wanted and record.vjps is None and record.decomposition is None:
        refuse_gradient(record, operands)
        wanted = False
    if wanted and record.vjps is None:
        assert record.decomposition is not None
        result: Tensor = record.decomposition(*operands)
    else:
        before, STATE.enabled = STATE.enabled, False
        try:
            result = compute(record, operands)
        finally:
            STATE.enabled = before
        if wanted and result._kind.differentiable:
            attach_node(record, operands, (result,))
    return result if out is None else write_out(record.name, out, result)


# ---------------------------------------------------------------------------------------------- the short ways
def bind_unary(record: OpDef) -> Callable[..., Tensor]:
    """The callable of a pointwise record with one tensor operand."""
    plans: dict[Any, Any] = record.plans

    def call(input: Tensor, *, out: Tensor | None = None) -> Tensor:
        if ACTIVE and STACK.modes:
            return modes.through(record, call, (input,), {"out": out})
        try:
            plan = plans[input._kind]
        except (KeyError, AttributeError):
            operand_ = operand(record, 0, input)
            if not isinstance(operand_, Tensor):
                raise wrong_type(record, 0, input) from None
            plan = plans[input._kind] = make_plan(record, (input,))
        if not plan or out is not None:
            return general(record, (input,), out)
        kernel, array_type, kind = plan
        try:
            array = kernel(input._array)
        except MemoryError as error:
            raise explained(record, (input,), error) from None
        if array.__class__ is not array_type:
            if array is NotImplemented:
                return general(record, (input,))
            array = kind.backend.as_array(array)
        result: Tensor = new(Tensor)
        result._array = array
        result._kind = kind
        if input._edge is not None and STATE.enabled and kind.differentiable:
            if record.vjps is None:
                return general(record, (input,))
            attach_node(record, (input,), (result,))
        return result
    return call


def bind_binary(record: OpDef, long_way: Callable[..., Tensor] = general) -> Callable[..., Tensor]:
    """The callable of a pointwise record with two operands, one of which may be a number.

    `long_way` handles operands that are not a tensor with a tensor or a plain number: Python's operators decline there
    what a function refuses.
    """
    plans: dict[Any, Any] = record.plans

    def call(input: Any, other: Any, *, out: Tensor | None = None) -> Tensor:
        if ACTIVE and STACK.modes:
            return modes.through(record, call, (input, other), {"out": out})
        if isinstance(other, Tensor) and isinstance(input, Tensor):
            kind = input._kind
            if other._kind is not kind or out is not None:
                return general(record, (input, other), out)
            plan = plans.get(kind)
            if plan is None:
                plan = plans[kind] = make_plan(record, (input, other))
            if plan is False:
                return general(record, (input, other))
            kernel, array_type, kind = plan
            try:
                array = kernel(input._array, other._array)
            except (ValueError, TypeError, MemoryError) as error:
                raise unfit(record, (input, other), error) from None
            edge, edge2 = input._edge, other._edge
        else:
            plan = scalar_plan(record, input, other)
            if plan is False or out is not None:
                return long_way(record, (input, other), out)
            kernel, array_type, kind = plan
            try:
                if isinstance(input, Tensor):
                    array, edge, edge2 = kernel(input._array, other), input._edge, None
                else:
                    array, edge, edge2 = kernel(input, other._array), None, other._edge
            except (OverflowError, MemoryError):  # beyond the dtype: the long way wraps it; beyond memory: it explains
                return general(record, (input, other))
        if array.__class__ is not array_type:
            if array is NotImplemented:
                return general(record, (input, other))
            array = kind.backend.as_array(array)
        result: Tensor = new(Tensor)
        result._array = array
        result._kind = kind
        if (edge is not None or edge2 is not None) and STATE.enabled and kind.differentiable:
            return _record_binary(record, input, other, edge, edge2, result)
        return result
    return call


def _record_binary(record: OpDef, input: Any, other: Any, edge: Edge | None, edge2: Edge | None,
                   result: Tensor) -> Tensor:
    """`attach_node` for two operands, written out because half of all recorded calls come this way."""
    if record.vjps.__class__ is not tuple or WATCHERS:
        return general(record, (input, other))
    if len(record.differentiable) != 2:  # the second operand is a parameter: the edges of a node are the first's only
        attach_node(record, (input, other), (result,))
        return result
    if edge is not None and input._view is not None:
        edge = edge_of(input)
    if edge2 is not None and other._view is not None:
        edge2 = edge_of(other)
    needs = (edge is not None, edge2 is not None)
    plan = record.save_plans.get(needs)
    if plan is None:
        if not any(needs):
            return result
        plan = record.save_plan(needs)
    node: Node = new(Node)
    node.plan = plan
    node.edges = (edge, edge2)
    node.order = next_order()
    node.shape = result._array.shape
    node.kind = result._kind
    if plan.sources:
        saved = node.saved = []
        versions = []
        for kind, position in plan.sources:
            if kind == ARGUMENT:
                value = other if position else input
                if isinstance(value, Tensor):
                    if value._inference:
                        raise inference_refusal()
                    cell = value._counter
                    versions.append((len(saved), 0 if cell is None else cell[0]))
                saved.append(value)
            else:
                saved.append(source_value(kind, (input, other)[position] if kind != RESULT else None))
        node.versions = tuple(versions)
        if plan.saves_results:
            save_results(node, plan.sources, (result,))
    result._edge = (node, 0)
    return result


def scalar_plan(record: OpDef, input: Any, other: Any) -> Any:
    """The plan for a tensor with a plain Python number; False for anything else."""
    if isinstance(input, Tensor):
        key: Any = (input._kind, other.__class__)
    elif isinstance(other, Tensor):
        key = (input.__class__, other._kind)
    else:
        return False
    plan = record.plans.get(key)
    if plan is None:
        number = other if key[0].__class__ is Kind else input
        plan = record.plans[key] = number.__class__ in NUMBERS and make_plan(record, (input, other))
    return plan


def bind_pointwise(record: OpDef) -> Callable[..., Tensor]:
    """The callable of a pointwise record with any number of operands."""
    arity = len(record.parameters)

    plans: dict[Any, Any] = record.plans

    def call(*args: Any, out: Tensor | None = None, **kwargs: Any) -> Tensor:
        if kwargs or len(args) != arity:
            args = record.complete(args, kwargs)
        if ACTIVE and STACK.modes:
            return modes.through(record, call, args, {"out": out})
        key = tuple([each._kind if isinstance(each, Tensor) else each.__class__ for each in args])
        plan = plans.get(key)
        if plan is None:
            plan = plans[key] = _plan_several(record, args)
        if plan is False or out is not None:
            return general(record, args, out)
        kernel, array_type, kind, number = plan
        wanted = False
        operands = []
        for each in args:
            if isinstance(each, Tensor):
                operands.append(each._array)
                wanted = wanted or each._edge is not None
            else:
                operands.append(number(each))
        if wanted and STATE.enabled and record.vjps is None:
            return general(record, args)
        try:
            array = kernel(*operands)
        except (ValueError, TypeError, MemoryError) as error:
            raise unfit(record, args, error) from None
        if array.__class__ is not array_type:
            if array is NotImplemented:
                return general(record, args)
            array = kind.backend.as_array(array)
        result: Tensor = new(Tensor)
        result._array = array
        result._kind = kind
        if wanted and STATE.enabled and kind.differentiable:
            attach_node(record, args, (result,))
        return result
    return call


def _plan_several(record: OpDef, operands: Sequence[Any]) -> Any:
    """`make_plan` for any number of operands: all tensors of one floating kind but those that promotion leaves alone,
    and numbers that fit it; with the function that makes a number one of the kind's category."""
    tensors = [each for position, each in enumerate(operands)
               if isinstance(each, Tensor) and position not in record.uncast]
    left = [each for position, each in enumerate(operands) if position in record.uncast]
    if not tensors or not all(isinstance(each, Tensor) for each in left):
        return False
    kind = tensors[0]._kind
    numbers = [each for position, each in enumerate(operands) if not isinstance(each, Tensor)]
    same = all(each._kind is kind for each in tensors) and all(each._kind.device is kind.device for each in left)
    if not same or kind.dtype.category < FLOAT or any(each.__class__ not in NUMBERS for each in numbers):
        return False
    plan = make_plan(record, [*tensors, *numbers])
    return plan and (*plan, complex if kind.dtype.is_complex else float)
