"""What the faces of reductions share: NumPy's argument names, `out=`, named results, and words for errors.

PyTorch's reductions accept `axis` for `dim` and `keepdims` for `keepdim`, and give several results as a tuple with
field names. Both are handled here once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from operator import itemgetter
from typing import Any

from flambeau import dtypes, shapes
from flambeau.dispatch import modes, policies
from flambeau.dispatch.run import write_outs
from flambeau.dtypes import INTEGER, dtype, scalar_name as scalar_name
from flambeau.errors import ArgumentError, ArgumentTypeError, DimensionError, DtypeError, message
from flambeau.registry import OpDef, register
from flambeau.shapes import Shape
from flambeau.tensor import Tensor

ACTIVE = modes.ACTIVE
STACK = modes.STACK

_NUMPY_NAMES = {"axis": "dim", "keepdims": "keepdim", "x": "input"}


class Results(tuple[Any, ...]):
    """Several results by position and by field; subclasses name the fields. Prints as PyTorch's return types do."""

    _fields: tuple[str, ...] = ()
    __slots__ = ()

    def __new__(cls, *values: Any) -> Results:
        if len(values) == 1 and len(cls._fields) != 1:
            values = tuple(values[0])
        return tuple.__new__(cls, values)

    def __repr__(self) -> str:
        shown = ",\n".join(f"{name}={value!r}" for name, value in zip(self._fields, self, strict=True))
        return f"torch.return_types.{type(self).__name__}(\n{shown})"

    def __getnewargs__(self) -> tuple[Any, ...]:
        return tuple(self)


RETURN_TYPES: dict[str, type[Results]] = {}


def return_type(name: str, *fields: str) -> type[Results]:
    """Make the type of a named tuple of results, as `torch.return_types.<name>`."""
    members: dict[str, Any] = {field: property(itemgetter(index)) for index, field in enumerate(fields)}
    made = type(name, (Results,), {**members, "_fields": fields, "__slots__": (), "n_fields": len(fields),
                                   "n_sequence_fields": len(fields), "__module__": "flambeau.return_types"})
    RETURN_TYPES[name] = made
    return made


def _renamed(op: str, kwargs: dict[str, Any]) -> dict[str, Any]:
    result = {}
    for key, value in kwargs.items():
        name = _NUMPY_NAMES.get(key, key)
        if name in result or (name != key and name in kwargs):
            raise ArgumentTypeError(f"{op}(): got {name!r} twice, as {name!r} and as {key!r}; give one of them")
        result[name] = value
    return result


def dress(record: OpDef, function: Callable[..., Any]) -> Callable[..., Any]:
    """The public callable of `record` over `function`: adds `out=` and NumPy's names for arguments."""
    listed = record.name in policies.LISTED

    def call(*args: Any, out: Any = None, **kwargs: Any) -> Any:
        if ACTIVE and listed and STACK.modes:
            result = modes.through_face(record, call, args, {"out": out, **kwargs})
            if result is not NotImplemented:
                return result
        if kwargs:
            if not _NUMPY_NAMES.keys().isdisjoint(kwargs):
                kwargs = _renamed(record.name, kwargs)
            result = function(*args, **kwargs)
        else:
            result = function(*args)
        return result if out is None else write_outs(record.name, out, result)
    call.__name__ = call.__qualname__ = function.__name__
    call.__doc__, call.__module__ = function.__doc__, function.__module__
    call.__wrapped__ = function  # type: ignore[attr-defined]
    call.op = record  # type: ignore[attr-defined]
    record.public = call
    record.doc = function.__doc__ or ""
    return call


def face(core: Callable[..., Any]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """The public face of a reduction's core: like `front(core, out=True)`, with NumPy's names for arguments."""
    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        return dress(core.op, function)  # type: ignore[attr-defined]
    return decorate


def reducing(**options: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """A composite that reduces: `composite(out=True)`, with NumPy's names for arguments."""
    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        record = register(OpDef(options.pop("name", function.__name__), "composite", function,
                                decomposition=function, **options))
        call = dress(record, function)
        record.call = call
        return call
    return decorate


def write_apart(op: str, out: Any, result: Any, *inputs: Tensor) -> Any:
    """Put results into `out=` tensors that must have their dtypes and share no memory with the inputs."""
    for target, each in zip(out if isinstance(result, tuple) else (out,), result if isinstance(result, tuple)
                            else (result,), strict=False):
        if not isinstance(target, Tensor):
            continue
        if target._kind.dtype is not each._kind.dtype:
            raise DtypeError(f"{op}: Expected out tensor to have dtype {each._kind.dtype.name}, but got "
                             f"{target._kind.dtype.name} instead")
        storage = target._kind.backend.storage
        if any(storage(one._array) is storage(target._array) and one.numel() for one in inputs):
            raise ArgumentError(f"{op}: unsupported operation: some elements of the input tensor and the written-to "
                                "tensor refer to a single memory location; give an out= of its own, or a clone() "
                                "of the input")
    return write_outs(op, out, result)


def spread(g: Tensor, shape: Shape, dim: Shape, keepdim: bool) -> Tensor:
    """Give the gradient of a reduction to every element that was reduced."""
    return restore(g, shape, dim, keepdim).expand(shape)


def restore(g: Tensor, shape: Shape, dim: Shape, keepdim: bool) -> Tensor:
    """Put reduced dimensions back with size 1, so that the tensor broadcasts with what was reduced."""
    return g if keepdim or not dim else g.reshape(shapes.reduced_shape(shape, dim, keepdim=True))


def count(shape: Shape, dim: Iterable[int]) -> int:
    """How many elements each result of a reduction over `dim` comes from."""
    number = 1
    for index in dim:
        number *= shape[index]
    return number


def check_nonempty(op: str, shape: Shape, dim: Shape) -> None:
    """Refuse a reduction without an identity over a dimension of size 0."""
    for each in dim:
        if shape[each] == 0:
            raise DimensionError(f"{op}(): Expected reduction dim {each} to have non-zero size; given: {list(shape)}")


def check_full_nonempty(op: str, input: Tensor, error: type[Exception] = ArgumentError) -> None:
    """Refuse a full reduction without an identity over no elements."""
    if 0 in input._array.shape:
        raise error(f"{op}(): Expected reduction dim to be specified for input.numel() == 0. Specify the "
                    f"reduction dim with the 'dim' argument; given: {list(input._array.shape)}")


def check_floating(op: str, kind: dtype) -> dtype:
    """Refuse integers and bools where the result would not be one."""
    if kind.category <= INTEGER:
        raise DtypeError(f"{op}(): could not infer output dtype. Input dtype must be either a floating point or "
                         f"complex dtype. Got: {scalar_name(kind)}; convert the input, or give dtype=")
    return kind


def to_float(input: Tensor) -> Tensor:
    """Integers and bools in the default dtype; anything else as it is."""
    return input.to(dtypes.get_default_dtype()) if input._kind.dtype.category <= INTEGER else input


def one_dim(op: str, dim: Any, ndim: int) -> int:
    """A single dimension, wrapped; a bool or a sequence is refused."""
    if not hasattr(dim, "__index__"):
        raise ArgumentTypeError(message(f"{op}()", f"argument 'dim' must be int, not {type(dim).__name__}",
                                        given=repr(dim)))
    return shapes.wrap_dim(dim.__index__(), ndim)


def as_tensor_argument(op: str, name: str, value: Any) -> Tensor:
    """The value, if it is a tensor; TypeError otherwise."""
    if not isinstance(value, Tensor):
        raise ArgumentTypeError(f"{op}(): argument '{name}' must be Tensor, not {type(value).__name__}")
    return value
