"""Running one operator call: the kernel or the decomposition, then the graph.

`execute` is the general way, for any record with canonical arguments. The pointwise families and views have shorter
ways of their own (`pointwise`, `views`) that end here when something is out of the ordinary.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

from flambeau.discovery import Kind
from flambeau.dispatch import modes
from flambeau.dispatch.fallback import run_on_host
from flambeau.dtypes import can_cast, dtype, scalar_name
from flambeau.errors import (
    ArgumentError,
    ArgumentTypeError,
    BackendError,
    DeviceError,
    DimensionError,
    DtypeError,
    FlambeauError,
    OutOfMemoryError,
    ShapeError,
    UnsupportedDtypeError,
    message,
)
from flambeau.graph import STATE, Node, edge_of, make_node, save_results
from flambeau.registry import OpDef
from flambeau.shapes import describe
from flambeau.tensor import Tensor, alias, make, new

ACTIVE = modes.ACTIVE
STACK = modes.STACK


def bind(record: OpDef) -> Callable[..., Any]:
    """The callable of a record whose arguments are canonical: fill in defaults, pass through modes, execute."""
    if not (record.tensors or record.lists):
        raise BackendError(message(f"operator {record.name}", "no parameter is annotated as Tensor or list[Tensor]",
                                   given=f"({', '.join(record.parameters)})",
                                   next_step="annotate those that take tensors; they say on which device it runs"))
    arity = len(record.parameters)
    name, tensors, lists, plain = record.name, record.tensors, record.lists, record.dtype_rule != "any"

    def call(*args: Any, out: Any = None, **kwargs: Any) -> Any:
        if kwargs or len(args) != arity:
            args = record.complete(args, kwargs)
        if ACTIVE and STACK.modes:
            return modes.through(record, call, args, {} if out is None else {"out": out})
        if lists or out is not None:
            result = execute(record, args)
            return result if out is None else write_outs(name, out, result)
        # The short way, without lists: what `execute` does, for arguments that need no explanation.
        arrays = list(args)
        kind = None
        wanted = False
        for position in tensors:
            value = args[position]
            if value.__class__ is Tensor or isinstance(value, Tensor):
                if kind is None:
                    kind = value._kind
                elif value._kind.device is not kind.device:
                    return execute(record, args)
                arrays[position] = value._array
                if value._edge is not None:
                    wanted = True
            elif value is not None:
                return execute(record, args)
        if kind is None or (kind.indirect and plain):
            return execute(record, args)
        kernel = kind.kernels.get(name)
        wanted = wanted and STATE.enabled
        if kernel is None or (wanted and record.vjps is None):
            return execute(record, args)
        try:
            result = kernel(*arrays)
        except (ValueError, TypeError, IndexError, MemoryError) as error:
            if isinstance(error, FlambeauError):
                raise
            raise explained(record, args, error) from error
        return finish(record, args, result, kind, wanted)
    return call


def write_outs(op: str, out: Any, result: Any) -> Any:
    """Put one or several results into `out=`; a named tuple of results stays one, with the given tensors."""
    if not isinstance(result, tuple):
        return write_out(op, out, result)
    if not isinstance(out, (tuple, list)) or len(out) != len(result):
        raise ArgumentTypeError(f"{op}(): argument 'out' must be a tuple of {len(result)} Tensors")
    written = [write_out(op, target, each) for target, each in zip(out, result, strict=True)]
    return type(result)(*written) if hasattr(result, "_fields") else tuple(written)


def write_out(op: str, out: Tensor, result: Tensor) -> Tensor:
    """Put a result into `out=`, resizing it if needed; refuses a lossy cast and gradients."""
    if not isinstance(out, Tensor):
        raise ArgumentTypeError(f"{op}(): argument 'out' must be Tensor, not {type(out).__name__}")
    if STATE.enabled and any(each._edge is not None and edge_of(each) is not None for each in (result, out)):
        raise ArgumentError(f"{op}(): functions with out=... arguments don't support automatic differentiation, but "
                            "one of the arguments requires grad; leave out= away, or wrap the call in torch.no_grad()")
    if out._kind.device is not result._kind.device:
        raise DeviceError(f"{op}(): Expected out tensor to have device {result.device}, but got {out.device} instead")
    if not can_cast(result._kind.dtype, out._kind.dtype):
        raise DtypeError(f"{op}(): result type {scalar_name(result._kind.dtype)} can't be cast to the desired output "
                         f"type {scalar_name(out._kind.dtype)}; pass an out= of the result's dtype")
    backend = out._kind.backend
    if out._array.shape != result._array.shape:
        if 0 not in out._array.shape:
            warnings.warn(f"{op}(): An output with one or more elements was resized since it had shape "
                          f"{describe(out._array.shape)}, which does not match the required output shape "
                          f"{describe(result._array.shape)}. Pass an out= of that shape, or empty it first with "
                          "out.resize_(0).", UserWarning, stacklevel=4)
        out._array = backend.empty(result._array.shape, out._kind.dtype, out._kind.index)
    if ACTIVE and STACK.modes:  # they see this write, too
        return out.copy_(result)
    backend.copy(out._array, result._array)
    bump(out)
    return out


def bump(tensor: Tensor) -> None:
    """Count a change of a tensor's memory."""
    cell = tensor._counter
    if cell is None:
        tensor._counter = [1]
    else:
        cell[0] += 1


def execute(record: OpDef, args: tuple[Any, ...]) -> Any:
    """Run a record on canonical arguments, recording it where a gradient is wanted."""
    arrays = list(args)
    kind: Kind | None = None
    wanted = False
    for position in record.tensors:
        value = args[position]
        if value is None:
            continue
        if not isinstance(value, Tensor):
            raise wrong_type(record, position, value)
        if kind is None:
            kind = value._kind
        elif value._kind.device is not kind.device:
            raise different_devices(record, args)
        arrays[position] = value._array
        if value._edge is not None:
            wanted = True
    for position in record.lists:
        kind, some = _unwrap_list(record, args, position, arrays, kind)
        wanted = wanted or some
    if kind is None:
        position = (*record.tensors, *record.lists)[0]
        raise wrong_type(record, position, args[position])
    wanted = wanted and STATE.enabled
    kernel = kind.kernels.get(record.name)
    if kernel is None or (kind.indirect and not _takes(record, args, kind)):
        return _without_kernel(record, args, kind, kernel, wanted)
    if wanted and record.vjps is None:
        if record.decomposition is not None:
            return record.decomposition(*args)
        refuse_gradient(record, args)
        wanted = False
    try:
        result = kernel(*arrays)
    except FlambeauError:
        raise
    except (ValueError, TypeError, IndexError, MemoryError) as error:
        raise explained(record, args, error) from error
    return finish(record, args, result, kind, wanted)


def _takes(record: OpDef, args: tuple[Any, ...], kind: Kind) -> bool:
    """Whether the kernel takes an emulated or storage-only kind as it is: it only moves data, or says that it does."""
    return record.moves(args) or (record.name in kind.direct and all(each._kind is kind for each in _flat(args)))


def _unwrap_list(record: OpDef, args: tuple[Any, ...], position: int, arrays: list[Any],
                 kind: Kind | None) -> tuple[Kind | None, bool]:
    """Replace a list of tensors by their arrays; (kind of the first tensor, whether one may want a gradient)."""
    values = args[position]
    if not all(isinstance(value, Tensor) for value in values):
        wrong = next((value for value in values if value is not None and not isinstance(value, Tensor)), None)
        if wrong is not None:
            raise wrong_type(record, position, wrong)
        values = [value for value in values if value is not None]
    for each in {value._kind for value in values}:
        if kind is None:
            kind = values[0]._kind
        if each.device is not kind.device:
            raise different_devices(record, args)
    arrays[position] = [None if value is None else value._array for value in args[position]]
    return kind, STATE.enabled and any(value._edge is not None for value in values)


def finish(record: OpDef, args: tuple[Any, ...], result: Any, kind: Kind, wanted: bool) -> Any:
    """Wrap what a kernel returned and record the call."""
    if result.__class__ is tuple:
        outputs = tuple([wrap(each, kind) for each in result])
        if wanted:
            attach_node(record, args, outputs)
        return outputs
    output: Tensor = new(Tensor)
    if result.__class__ is not kind.array_type:
        if result is NotImplemented:  # the kernel declines: there is none, or there is one for the wider kind only
            kernel = kind.kernels[record.name] if record.name in kind.direct else None
            return _without_kernel(record, args, kind, kernel, wanted)
        result = kind.backend.as_array(result)
    output._array = result
    output._kind = kind if kind.native is not None and result.dtype is kind.native else kind.of(result)
    if wanted:
        attach_node(record, args, (output,))
    return output


def wrap(array: Any, kind: Kind) -> Tensor:
    """A tensor for an array that a kernel returned; its dtype is the array's."""
    output: Tensor = new(Tensor)
    if array.__class__ is not kind.array_type:
        array = kind.backend.as_array(array)
    output._array = array
    output._kind = kind.of(array)
    return output


def attach_node(record: OpDef, args: Sequence[Any], outputs: tuple[Tensor, ...], pack: bool = True) -> Node | None:
    """Record a call: make its node and let the outputs point to it. None if no input needs a gradient after all.

    Without `pack`, saved results do not pass through the hooks on saved tensors: their values are yet to come.
    """
    if record.vjps.__class__ is not tuple:
        return None
    if record.lists:
        edges, needs = _edges_of_lists(record, args)
    else:
        found = []
        for position in record.differentiable:
            value = args[position]
            if isinstance(value, Tensor):
                found.append(value._edge if value._view is None else edge_of(value))
            else:
                found.append(None)
        edges = tuple(found)
        needs = tuple([edge is not None for edge in found])
    if True not in needs:
        return None
    output = outputs[0]
    node = make_node(record, args, edges, needs)
    if len(outputs) == 1:
        if not output._kind.differentiable:
            return None
        node.shape, node.kind = output._array.shape, output._kind
        output._edge = (node, 0)
    else:
        node.shape = tuple([each._array.shape for each in outputs])
        node.kind = tuple([each._kind for each in outputs])
        node.count = len(outputs)
        for number, output in enumerate(outputs):
            if output._kind.differentiable:
                output._edge = (node, number)
    if node.plan.saves_results:
        save_results(node, node.plan.sources, outputs, pack)
    return node


def _edges_of_lists(record: OpDef, args: Sequence[Any]) -> tuple[tuple[Any, ...], tuple[bool, ...]]:
    """The edges of all differentiable inputs, one per element of a list; and which parameters need a gradient."""
    edges: list[Any] = []
    needs = []
    for position in record.differentiable:
        value = args[position]
        if position in record.lists:
            found = [edge_of(each) for each in value]
        else:
            found = [edge_of(value) if isinstance(value, Tensor) else None]
        edges.extend(found)
        needs.append(any(edge is not None for edge in found))
    return tuple(edges), tuple(needs)


def _without_kernel(record: OpDef, args: tuple[Any, ...], kind: Kind, kernel: Any, wanted: bool) -> Any:
    """Emulate a dtype, decompose, or fall back to the host: in this order."""
    if record.vjps is None and record.decomposition is not None and (wanted or kernel is None):
        return record.decomposition(*args)
    if kind.stored and kernel is not None and not record.moves(args):
        raise unsupported(record, kind.dtype)
    if kind.emulated and not record.moves(args):  # one rounding, of the result
        run: Callable[..., Any] = _emulated
    elif record.decomposition is not None:
        run = _decomposed
    else:
        run = run_on_host
    if wanted and record.vjps is None:
        refuse_gradient(record, args)
        wanted = False
    if not wanted:
        return run(record, args, kind)
    before, STATE.enabled = STATE.enabled, False
    try:
        result = run(record, args, kind)
    finally:
        STATE.enabled = before
    outputs = result if isinstance(result, tuple) else (result,)
    attach_node(record, args, outputs)
    return result


def _decomposed(record: OpDef, args: tuple[Any, ...], kind: Kind) -> Any:
    """Run the decomposition; a result that ends in a view, or is an argument, becomes a tensor of its own."""
    assert record.decomposition is not None
    result = record.decomposition(*args)
    if isinstance(result, Tensor):
        return _own(result, args)
    return tuple([_own(each, args) for each in result])


def _own(result: Tensor, args: tuple[Any, ...]) -> Tensor:
    """The result without what it was made of: nobody sees a decomposition's steps, nor gets an argument's memory."""
    if result._view is None and not any(result is each for each in args):
        return result
    storage = result._kind.backend.storage
    memory = storage(result._array)
    if any(storage(each._array) is memory for each in _flat(args) if each._kind.backend is result._kind.backend):
        return make(result._kind.kernels["clone"](result._array), result._kind)
    return alias(result)


def _emulated(record: OpDef, args: tuple[Any, ...], kind: Kind) -> Any:
    """Run in the kind that emulates this one, and round the results to it."""
    wide = kind.compute
    asked = any(each is wide.dtype for each in args)   # a `dtype=` of the wider one: nothing is to be rounded

    def widen(value: Any) -> Any:
        if isinstance(value, Tensor):
            return cast(value, wide) if value._kind is kind else value
        if isinstance(value, (list, tuple)) and any(isinstance(each, Tensor) for each in value):
            return [widen(each) for each in value]
        return wide.dtype if value is kind.dtype else value

    def narrow(value: Tensor) -> Tensor:
        return cast(value, kind) if value._kind is wide and not asked else value

    result = execute(record, tuple([widen(each) for each in args]))
    return tuple([narrow(each) for each in result]) if isinstance(result, tuple) else narrow(result)


def cast(tensor: Tensor, kind: Kind) -> Tensor:
    """A tensor's values in another dtype on the same device, without recording."""
    output: Tensor = new(Tensor)
    output._array = tensor._kind.kernels["cast"](tensor._array, kind.dtype)
    output._kind = kind
    return output


# ---------------------------------------------------------------------------------------------- errors
class UnimplementedGradient(FlambeauError, RuntimeError):
    """An operator that has neither a vjp nor a differentiable decomposition."""

    def __init__(self, record: OpDef) -> None:
        super().__init__(message(record.name, "derivative is not implemented",
                                 next_step="detach the input, or give the operator's record a vjp"))


def unsupported(record: OpDef, common: dtype) -> UnsupportedDtypeError:
    """The error for a dtype that an operator is not defined for."""
    return UnsupportedDtypeError(message(
        record.name, f"\"{record.name}\" not implemented for '{scalar_name(common)}'", given=str(common),
        allowed="dtypes that can be computed with" if common.storage_only else "",
        next_step="convert the input, for example x.to(torch.float32)"))


def refuse_gradient(record: OpDef, args: Sequence[Any]) -> None:
    """Raise UnimplementedGradient if an argument does require a gradient, and is no mere view that may come to."""
    if any(each._edge is not None and edge_of(each) is not None for each in _flat(args)):
        raise UnimplementedGradient(record)


def wrong_type(record: OpDef, position: int, value: Any) -> ArgumentTypeError:
    """The error for an argument that should have been a tensor."""
    return ArgumentTypeError(f"{record.name}(): argument '{record.parameters[position]}' (position {position + 1}) "
                             f"must be Tensor, not {type(value).__name__}")


def _flat(args: Sequence[Any]) -> list[Tensor]:
    found: list[Tensor] = []
    for each in args:
        if isinstance(each, Tensor):
            found.append(each)
        elif isinstance(each, (list, tuple)):
            found.extend(one for one in each if isinstance(one, Tensor))
    return found


def different_devices(record: OpDef, args: Sequence[Any]) -> DeviceError:
    """The error for operands on different devices."""
    where = sorted({str(each._kind.device) for each in _flat(args)})
    return DeviceError(message(record.name, "Expected all tensors to be on the same device, but found at least two "
                               f"devices, {' and '.join(where)}!",
                               next_step=f"move one with .to({where[-1]!r}) or .to({where[0]!r})"))


def explained(record: OpDef, args: Sequence[Any], error: Exception) -> Exception:
    """The error to raise when a kernel refused its arguments: the record's own check, else shapes and dtypes."""
    if isinstance(error, MemoryError):
        return OutOfMemoryError(message(record.name, "the device has not enough memory", given=str(error),
                                        next_step="free other tensors, or work on smaller ones"))
    if record.shape_rule is not None:
        record.shape_rule(*args)
    tensors = _flat(args)
    given = ", ".join(f"{each._kind.dtype} {describe(each._array.shape)}" for each in tensors)
    others = ", ".join(f"{name}={value!r}" for name, value in zip(record.parameters, args, strict=False)
                       if not _flat([value]) and not callable(value))
    refusal = DimensionError if isinstance(error, IndexError) else ShapeError
    return refusal(message(record.name, str(error), given=given + (f"; {others}" if others else "")))
