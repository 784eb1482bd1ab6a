"""What is left of PyTorch's first interface: `FloatTensor` and its siblings, `Tensor(...)`, `x.type()`, `x.new()`.

Old programs and many tutorials use it. Each typed class is a dtype and a device under a name; it has no instances of
its own: calling it makes a plain tensor, and `isinstance` looks at dtype and device.
"""

from __future__ import annotations

from typing import Any

from flambeau import discovery, dtypes
from flambeau._methods import TensorMethods
from flambeau.device import set_default_device
from flambeau.dtypes import dtype as dtype_type
from flambeau.errors import ArgumentError, ArgumentTypeError, ArgumentValueError, message
from flambeau.ops import construct, movement
from flambeau.ops.creation import empty
from flambeau.shapes import Size
from flambeau.tensor import Tensor, alias, attach

NAMES = {"FloatTensor": dtypes.float32, "DoubleTensor": dtypes.float64, "HalfTensor": dtypes.float16,
         "BFloat16Tensor": dtypes.bfloat16, "LongTensor": dtypes.int64, "IntTensor": dtypes.int32,
         "ShortTensor": dtypes.int16, "CharTensor": dtypes.int8, "ByteTensor": dtypes.uint8,
         "BoolTensor": dtypes.bool_, "ComplexFloatTensor": dtypes.complex64, "ComplexDoubleTensor": dtypes.complex128}
_BY_DTYPE = {dtype: name for name, dtype in NAMES.items()}


class TypedTensor(type):
    """The metaclass of the typed classes: calling one gives a tensor, `isinstance` asks for dtype and device."""

    dtype: dtype_type
    where: str

    def __call__(cls, *args: Any, **kwargs: Any) -> Tensor:
        return _make(cls.dtype, kwargs.pop("device", cls.where) or cls.where, args, kwargs)

    def __instancecheck__(cls, instance: Any) -> bool:
        return isinstance(instance, Tensor) and instance._kind.dtype is cls.dtype and \
            instance._kind.device.type == cls.where

    def __repr__(cls) -> str:
        return f"<class {type_name(cls.dtype, cls.where)!r}>"


def typed_class(name: str, where: str = "cpu") -> TypedTensor:
    """The class `torch.FloatTensor`, or that of another dtype or device."""
    found = TypedTensor(name, (), {"dtype": NAMES[name], "where": where, "__module__": "flambeau",
                                   "__doc__": f"Tensors of {NAMES[name]} on {where!r}, under their first name."})
    return found


TYPED = {name: typed_class(name) for name in NAMES}


def type_name(dtype: dtype_type, where: str) -> str:
    """The name that `x.type()` gives: "torch.FloatTensor", "torch.cuda.LongTensor"."""
    name = _BY_DTYPE.get(dtype, dtype.name + "Tensor")
    return f"torch.{name}" if where == "cpu" else f"torch.{where}.{name}"


def _make(dtype: dtype_type, device: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
    if kwargs:
        raise ArgumentTypeError("new() received an invalid combination of arguments: unexpected "
                                f"{next(iter(kwargs))!r}; use torch.tensor(data, ...) for keyword arguments")
    if len(args) == 1 and not isinstance(args[0], int):
        data = args[0]
        if isinstance(data, Size):
            return empty(data, dtype=dtype, device=device)
        if isinstance(data, Tensor):
            return alias(movement.convert(data.detach(), discovery.kind_of(dtype, device)))
        if not hasattr(data, "__len__") and not hasattr(data, "__iter__"):
            raise ArgumentTypeError(f"new(): data must be a sequence (got {type(data).__name__})")
        return construct.from_data(data, dtype, device)
    return empty(*args, dtype=dtype, device=device) if args else empty(0, dtype=dtype, device=device)


def _legacy_new(cls: Any, /, *args: Any, device: Any = None, **kwargs: Any) -> Any:
    """What calling `Tensor` does: sizes give uninitialised memory of the default dtype, a sequence its values."""
    from flambeau.device import get_default_device
    where = get_default_device() if device is None else device
    if len(args) == 1 and isinstance(args[0], Tensor):
        made: Tensor = alias(args[0])
    else:
        made = _make(dtypes.get_default_dtype(), where, args, kwargs)
    return made if cls is Tensor else made.as_subclass(cls)


setattr(TensorMethods, "_legacy_new", classmethod(_legacy_new))  # noqa: B010 - the class is filled from outside


def _parse(name: str) -> tuple[dtype_type, str]:
    parts = name.split(".")
    if parts[0] == "torch" and len(parts) in (2, 3) and parts[-1] in NAMES:
        return NAMES[parts[-1]], "cpu" if len(parts) == 2 else parts[1]
    if name == "torch.Tensor":
        return dtypes.get_default_dtype(), "cpu"
    raise ArgumentValueError(message("type", f"invalid type: {name!r}", allowed="a dtype, a class such as "
                                    "torch.FloatTensor, or its name 'torch.FloatTensor'"))


def _type(self: Tensor, dtype: Any = None, non_blocking: bool = False) -> Any:
    """Without an argument the name of the tensor's type ("torch.FloatTensor"); with one, the tensor converted to it.

    >>> import flambeau as torch
    >>> torch.ones(1).type(), torch.ones(1).type(torch.int64)
    ('torch.FloatTensor', tensor([1]))
    """
    kind = self._kind
    if dtype is None:
        return type_name(kind.dtype, "cpu" if kind.backend.capabilities.host else kind.device.type)
    if isinstance(dtype, str):
        wanted, where = _parse(dtype)
        return movement.convert(self, discovery.kind_of(wanted, where))
    if isinstance(dtype, TypedTensor):
        return movement.convert(self, discovery.kind_of(dtype.dtype, dtype.where))
    return movement.convert(self, kind.to(dtypes.as_dtype(dtype)))


attach(_type, "type")


@attach
def new(self: Tensor, *args: Any, device: Any = None) -> Tensor:
    """A tensor of this dtype and device: of the sizes given and uninitialised, or with a sequence's values."""
    return _make(self._kind.dtype, self._kind.device if device is None else device, args, {})


def set_default_tensor_type(t: Any) -> None:
    """Set the default dtype and device by a typed class or its name. `set_default_dtype` is preferred.

    >>> import flambeau as torch
    >>> torch.set_default_tensor_type("torch.FloatTensor")
    """
    wanted, where = (t.dtype, t.where) if isinstance(t, TypedTensor) else _parse(t)
    dtypes.set_default_dtype(wanted)
    set_default_device(where)


@attach
def ndimension(self: Tensor) -> int:
    """`dim()` under its older name."""
    return len(self._array.shape)


@attach
def apply_(self: Tensor, callable: Any) -> Tensor:
    """Replace each element by what a Python function makes of it; slow, and only for tensors of the host."""
    return _map_elements(self, "apply_", callable)


@attach
def map_(self: Tensor, tensor: Tensor, callable: Any) -> Tensor:
    """Replace each element by `callable(element, element of the other tensor)`; slow, and only on the host."""
    return _map_elements(self, "map_", callable, tensor)


def _map_elements(target: Tensor, op: str, function: Any, *others: Tensor) -> Tensor:
    for each in (target, *others):
        if not each._kind.backend.capabilities.host:
            raise ArgumentTypeError(f"{op} is only implemented on CPU tensors; given: {each.device}; copy with .cpu()")
    if target.requires_grad:
        raise ArgumentError(f"Can't call {op}() on Variable that requires grad. Use var.detach().{op}() instead.")
    columns = [each.expand(target.shape).reshape(-1).tolist() for each in (target, *others)]
    values = [function(*row) for row in zip(*columns, strict=True)]
    return target.copy_(construct.tensor(values, dtype=target._kind.dtype).reshape(target.shape))
