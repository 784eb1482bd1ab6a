"""What the modules that make new tensors share: the kind of a factory's result, and records for factories.

A factory's record has no tensor to take its device from: its last parameter is the kind of the result. Its kernel is
called with the other arguments, then the dtype and the index of the device; a backend without the kernel gets the
record's decomposition. Factories never fall back to the host: that would move what was never there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flambeau import discovery, dtypes, shapes
from flambeau.device import device as device_type, get_default_device
from flambeau.discovery import Kind
from flambeau.dispatch import modes
from flambeau.dispatch.decorators import publish
from flambeau.dispatch.run import explained, write_out
from flambeau.errors import ArgumentError, ArgumentTypeError, FlambeauError, UnsupportedError, message
from flambeau.layouts import channels_last, channels_last_3d, preserve_format, strided
from flambeau.registry import OpDef
from flambeau.shapes import Shape
from flambeau.tensor import Tensor, new

ACTIVE = modes.ACTIVE
STACK = modes.STACK

_named: dict[str, device_type] = {}   # device strings already parsed


def factory_kind(dtype: Any, device: Any, default: Any = None) -> Kind:
    """The kind of a new tensor, from the arguments `dtype` and `device` of a factory."""
    if dtype is None:
        dtype = default or dtypes.get_default_dtype()
    elif dtype.__class__ is not dtypes.dtype:
        dtype = dtypes.as_dtype(dtype)
    if device is not None:
        return discovery.kind_of(dtype, as_device(device))
    where = get_default_device()
    if where is _host.device:
        found = _host.kinds.get(dtype)
        if found is not None:
            return found
    kind = discovery.kind_of(dtype, where)
    if kind.backend.capabilities.host:
        if where is not _host.device:
            _host.device, _host.kinds = where, {}
        _host.kinds[dtype] = kind
    return kind


class _Host:
    """The kinds of the default device while that is the host: what nearly all factories are asked for."""

    device: device_type | None = None
    kinds: dict[dtypes.dtype, Kind] = {}  # noqa: RUF012 - one per process, like the device


_host = _Host()


def as_device(device: Any) -> device_type:
    """A device from a device, string or index."""
    if device.__class__ is device_type:
        return device
    if device.__class__ is str:
        found = _named.get(device)
        if found is None:
            found = _named[device] = device_type(device)
        return found
    return device_type(device)


def factory(*, decomposed: bool = False, **options: Any) -> Callable[[Callable[..., Any]], Callable[..., Tensor]]:
    """The record of a factory; with `decomposed`, the function's body makes the tensor where there is no kernel."""
    def decorate(function: Callable[..., Any]) -> Callable[..., Tensor]:
        record = OpDef(function.__name__.removeprefix("_"), "operator" if decomposed else "primitive", function,
                       decomposition=function if decomposed else None, vjp="none", method=False, no_fallback=True,
                       dtype_rule="any", **options)
        return publish(record, _bind(record))
    return decorate


def _bind(record: OpDef) -> Callable[..., Tensor]:
    name = record.name

    def call(*args: Any) -> Tensor:
        if ACTIVE and STACK.modes:
            return modes.through(record, call, args, {})
        kind: Kind = args[-1]
        kernel = kind.kernels.get(name)
        if kernel is None:
            return without_kernel(record, args, kind)
        result: Tensor = new(Tensor)
        try:
            result._array = kernel(*args[:-1], kind.dtype, kind.index)
        except FlambeauError:
            raise
        except OverflowError as error:
            raise _overflow(record, args, error) from None
        except MemoryError as error:
            raise explained(record, args, error) from None
        except ValueError as error:
            shapes.check_nonnegative(args[0] if isinstance(args[0], tuple) else (), name)
            raise ArgumentError(message(name, str(error))) from error
        if result._array is NotImplemented:
            return without_kernel(record, args, kind)
        result._kind = kind
        return result
    return call


def without_kernel(record: OpDef, args: tuple[Any, ...], kind: Kind) -> Tensor:
    """The decomposition of a factory, or UnsupportedError."""
    if record.decomposition is not None:
        return record.decomposition(*args)
    raise UnsupportedError(message(
        record.name, f"device {str(kind.device)!r} has no kernel for it, and factories never run on the host",
        given=str(kind.dtype), next_step=f"make it on the host and move it with .to({str(kind.device)!r}), or add "
        f"kernels[{record.name!r}] to the backend"))


def _overflow(record: OpDef, args: tuple[Any, ...], error: Exception) -> FlambeauError:
    return ArgumentError(message(record.name, f"value cannot be converted to type {args[-1].dtype.name} without "
                                 f"overflow ({error})"))


def as_size(size: tuple[Any, ...], keyword: Any, op: str) -> Shape:
    """The shape that a factory was given, as integers, as one sequence, or as the keyword `size`."""
    if keyword is not None:
        size = (keyword,)
    if len(size) == 1 and size[0].__class__ is int:
        shape: Shape = size
    elif len(size) == 1 and isinstance(size[0], (tuple, list)) and not size[0]:
        return ()
    else:
        if not size:
            return ()
        try:
            shape = shapes.as_shape(size, op)
        except TypeError:
            raise ArgumentTypeError(f"{op}(): argument 'size' must be tuple of ints, but got {size!r}") from None
    for each in shape:
        if each < 0:
            raise ArgumentError(f"{op}: Trying to create tensor with negative dimension {each}: {list(shape)}; "
                                "Dimension size must be non-negative.")
    return shape


def finish(result: Tensor, out: Tensor | None, requires_grad: bool, layout: Any = None, op: str = "",
           pin_memory: bool = False) -> Tensor:
    """What all factories end with: `layout`, `out=`, `pin_memory` and `requires_grad`."""
    if layout is not None and layout is not strided:
        raise UnsupportedError(message(op, "only strided tensors exist", given=repr(layout), allowed="torch.strided"))
    if out is not None:
        return write_out(op, out, result)
    if pin_memory:
        from flambeau.ops import pinning  # which few programs need
        result = pinning.pinned(result, op)
    if requires_grad:
        result.requires_grad = True
    return result


def _from_innermost(shape: Shape, strides: Shape) -> list[int]:
    """The dimensions by stride, smallest first. A stride of 0 says nothing: that dimension stays where it is."""
    order = list(range(len(shape)))[::-1]
    for number in range(1, len(order)):
        mine = number
        for other in range(number - 1, -1, -1):
            one, two = order[other], order[mine]
            if 0 in (strides[one], strides[two]):
                continue
            if strides[one] < strides[two]:
                break
            if strides[one] > strides[two] or shape[one] > shape[two]:
                order[other], order[mine] = two, one
                mine = other
    return order


def dense_strides(shape: Shape, strides: Shape) -> Shape | None:
    """The strides of a new tensor that keeps the order of dimensions of `strides`; None for row-major order."""
    if shapes.is_contiguous(shape, strides) or 0 in shape:
        return None
    order = _from_innermost(shape, strides)
    result = [0] * len(shape)
    step = 1
    for dim in order:
        result[dim] = step
        step *= shape[dim]
    return tuple(result) if tuple(result) != shapes.contiguous_strides(shape) else None


def wanted_strides(shape: Shape, strides: Shape, memory_format: Any) -> Shape | None:
    """The strides of a copy: those of a memory format, or of the original's order; None for row-major order."""
    if memory_format in (None, preserve_format):
        return dense_strides(shape, strides)
    return shapes.channels_last_strides(shape) if memory_format in (channels_last, channels_last_3d) else None


def empty_array(kind: Kind, shape: Shape, like: Tensor | None = None, memory_format: Any = None) -> Any:
    """A new array of any contents, with the order of dimensions of `like` unless another format is asked for."""
    backend = kind.backend
    array = backend.empty(shape, kind.dtype, kind.index)
    if like is None:
        return array
    strides = wanted_strides(shape, like._kind.backend.layout(like._array)[0], memory_format)
    return array if strides is None else backend.as_strided(array, shape, strides, 0)
