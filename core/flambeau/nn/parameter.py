"""Parameters and buffers: tensors that a module recognises when they are assigned to it.

They are subclasses of Tensor so that ``isinstance`` tells them apart; they share the storage of the tensor that they
are made from, and operators on them give plain tensors. How they are pickled and copied is said once for all tensors,
in `serialization`.

Those of lazy modules have a dtype and a device but no shape yet, and no array: the attribute that every operator reads
first raises an error that says so, until `materialize` makes them ordinary ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flambeau import dtypes
from flambeau.discovery import Kind
from flambeau.errors import ArgumentError, ArgumentTypeError, ArgumentValueError
from flambeau.graph import edge_of
from flambeau.ops.creation import empty
from flambeau.shapes import Size
from flambeau.tensor import Tensor

__all__ = ["Buffer", "Parameter", "UninitializedBuffer", "UninitializedParameter", "UninitializedTensorMixin",
           "is_lazy"]


class Parameter(Tensor):
    """A tensor that ``Module`` registers as a parameter when it is assigned as an attribute.

    Args:
        data: the values; an empty tensor if left out. Storage is shared with the parameter.
        requires_grad: whether gradients are collected for it. Integer tensors need ``False``.

    >>> import flambeau as torch
    >>> torch.nn.Parameter(torch.ones(2))
    Parameter containing:
    tensor([1., 1.], requires_grad=True)
    """

    def __new__(cls, data: Tensor | None = None, requires_grad: bool = True) -> Parameter:
        if data is None:
            data = empty(0)
        return Tensor._make_subclass(cls, data, requires_grad)

    def __init__(self, data: Tensor | None = None, requires_grad: bool = True) -> None:
        """Everything happens in ``__new__``; this accepts the same arguments so that the call type-checks."""

    def __repr__(self, *, tensor_contents: str | None = None) -> str:  # type: ignore[override]  # mypy forgets its name
        return "Parameter containing:\n" + super().__repr__()


class Buffer(Tensor):
    """A tensor that ``Module`` registers as a buffer when it is assigned as an attribute.

    Args:
        data: the values; an empty tensor if left out.
        persistent: whether it becomes part of the module's state dict.

    >>> import flambeau as torch
    >>> m = torch.nn.Module()
    >>> m.scale = torch.nn.Buffer(torch.ones(1))
    >>> list(m.state_dict())
    ['scale']
    """

    persistent: bool

    def __new__(cls, data: Tensor | None = None, *, persistent: bool = True) -> Buffer:
        if data is None:
            data = empty(0)
        buffer: Buffer = Tensor._make_subclass(cls, data, data.requires_grad)
        buffer.persistent = persistent
        return buffer

    def __init__(self, data: Tensor | None = None, *, persistent: bool = True) -> None:
        """Everything happens in ``__new__``; this accepts the same arguments so that the call type-checks."""


# ---------------------------------------------------------------------------------------------- without a shape yet
class UninitializedTensorMixin(Tensor):
    """What parameters and buffers without a shape share: they can be moved, converted, copied, and materialised."""

    cls_to_become: type[Tensor]

    @property
    def _array(self) -> Any:
        raise ArgumentValueError(
            f"Attempted to use an uninitialized parameter: a {type(self).__name__} has no shape and no values yet. "
            "Call `forward` of the lazy module with a batch first, or materialize(shape)"
        )

    def materialize(self, shape: Any, device: Any = None, dtype: Any = None) -> None:
        """Become an ordinary parameter or buffer with uninitialised values of a shape.

        Args:
            shape: sizes of the dimensions.
            device: where the values live; as before if left out.
            dtype: their dtype; as before if left out.

        >>> import flambeau as torch
        >>> p = torch.nn.UninitializedParameter()
        >>> p.materialize((2, 3))
        >>> type(p).__name__, p.shape
        ('Parameter', torch.Size([2, 3]))
        """
        values = empty(shape, device=device or self._kind.device, dtype=dtype or self._kind.dtype)
        self.__class__ = self.cls_to_become  # type: ignore[assignment]  # PyTorch's way: references to it stay good
        self.data = values

    @property
    def shape(self) -> Size:
        """None yet: raises RuntimeError."""
        raise ArgumentError(
            "Can't access the shape of an uninitialized parameter or buffer. Call `forward` of the lazy module to "
            "initialize it first; this also happens where the state dict of a module that is not initialized is loaded "
            "into one that is"
        )

    def size(self, dim: int | None = None) -> Any:
        """The size of the empty tensor that `data` is."""
        return self.data.size(dim)

    @property
    def data(self) -> Tensor:
        """An empty tensor of the dtype and device. Set, it gives these and nothing else."""
        return empty(0, device=self._kind.device, dtype=self._kind.dtype)

    @data.setter
    def data(self, value: Tensor) -> None:
        self._become(value._kind)

    def _become(self, kind: Kind) -> None:
        """Take another dtype or device."""
        wanted = self.__dict__["_kind"] = kind
        edge = edge_of(self)
        if edge is not None:
            edge[0].kind = wanted

    def to(self, *args: Any, **kwargs: Any) -> Any:
        """Another one, without a shape as well, of a dtype and on a device; arguments as those of `Tensor.to`."""
        result = _without_shape(type(self), self.requires_grad, self.data.to(*args, **kwargs)._kind)
        result.__dict__.update({k: v for k, v in self.__dict__.items() if not k.startswith("_")})
        return result

    def copy_(self, src: Tensor, non_blocking: bool = False) -> Any:
        """Nothing, from another one without a shape; RuntimeError from anything else."""
        if not is_lazy(src):
            raise ArgumentError(f"copy_: a {type(self).__name__} has no shape that values could be copied to; "
                                "materialize it first")
        return self

    def cpu(self, *args: Any, **kwargs: Any) -> Any:
        """Another one, on the host's device."""
        return self.to("cpu")

    def cuda(self, device: Any = None, *args: Any, **kwargs: Any) -> Any:
        """Another one, on a CUDA device."""
        return self.to(self.data.cuda(device).device)

    def double(self, *args: Any, **kwargs: Any) -> Any:
        """Another one, of float64."""
        return self.to(dtypes.float64)

    def float(self, *args: Any, **kwargs: Any) -> Any:
        """Another one, of float32."""
        return self.to(dtypes.float32)

    def half(self, *args: Any, **kwargs: Any) -> Any:
        """Another one, of float16."""
        return self.to(dtypes.float16)

    def bfloat16(self, *args: Any, **kwargs: Any) -> Any:
        """Another one, of bfloat16."""
        return self.to(dtypes.bfloat16)

    def share_memory_(self) -> Any:
        """There is no memory yet: raises RuntimeError."""
        raise ArgumentError("Can't share memory on an uninitialized parameter or buffer. Call `forward` of the lazy "
                            "module to initialize it first")

    def __repr__(self, *, tensor_contents: str | None = None) -> str:  # type: ignore[override]  # mypy forgets its name
        return f"<{type(self).__name__}>"

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        if id(self) not in memo:
            memo[id(self)] = self.to(self._kind.dtype)
        return memo[id(self)]

    def __reduce_ex__(self, protocol: Any) -> Any:
        return type(self), (self.requires_grad,)


def _without_shape(cls: type[Any], requires_grad: bool, kind: Kind) -> Any:
    """One of these classes; made as an empty tensor, since only what has an array can be given a place in a graph."""
    made = Tensor._make_subclass(cls.cls_to_become, empty(0, device=kind.device, dtype=kind.dtype), requires_grad)
    made.__class__ = cls
    return made


def is_lazy(param: Any) -> bool:
    """Whether something is a parameter or buffer that has no shape yet.

    >>> import flambeau as torch
    >>> torch.nn.parameter.is_lazy(torch.nn.LazyLinear(2).weight)
    True
    """
    return isinstance(param, UninitializedTensorMixin)


class UninitializedParameter(UninitializedTensorMixin, Parameter):  # type: ignore[misc]  # __repr__'s own, see there
    """A parameter whose shape is not known yet, as lazy modules have them before their first call.

    Args:
        requires_grad: whether gradients are collected for it.
        device: where it will live.
        dtype: its dtype.

    Operators on it raise ValueError, its shape RuntimeError.

    >>> import flambeau as torch
    >>> torch.nn.UninitializedParameter()
    <UninitializedParameter>
    """

    cls_to_become = Parameter

    def __new__(cls, requires_grad: bool = True, device: Any = None, dtype: Any = None) -> UninitializedParameter:
        made: UninitializedParameter = _without_shape(cls, requires_grad, empty(0, device=device, dtype=dtype)._kind)
        return made

    def __init__(self, requires_grad: bool = True, device: Any = None, dtype: Any = None) -> None:
        """Everything happens in ``__new__``; this accepts the same arguments so that the call type-checks."""


class UninitializedBuffer(UninitializedTensorMixin):
    """A buffer whose shape is not known yet; a plain tensor after `materialize`.

    Args:
        requires_grad: whether gradients are collected for it.
        device: where it will live.
        dtype: its dtype.
        persistent: whether it becomes part of the module's state dict.

    >>> import flambeau as torch
    >>> torch.nn.UninitializedBuffer(dtype=torch.float64).dtype
    torch.float64
    """

    cls_to_become = Tensor
    persistent: bool

    def __new__(cls, requires_grad: bool = False, device: Any = None, dtype: Any = None,
                persistent: bool = True) -> UninitializedBuffer:
        made: UninitializedBuffer = _without_shape(cls, requires_grad, empty(0, device=device, dtype=dtype)._kind)
        made.persistent = persistent
        return made

    def __init__(self, requires_grad: bool = False, device: Any = None, dtype: Any = None,
                 persistent: bool = True) -> None:
        """Everything happens in ``__new__``; this accepts the same arguments so that the call type-checks."""


# ---------------------------------------------------------------------------------------------- how they are made
_FACTORY = ("device", "dtype", "memory_format")


def factory_kwargs(kwargs: Mapping[str, Any] | None) -> dict[str, Any]:
    """The keyword arguments of a layer that go to the factories of its parameters.

    Args:
        kwargs: ``device``, ``dtype``, ``memory_format``, or a dictionary of these as ``factory_kwargs``.

    Raises TypeError for any other name, and for one that is given both ways.

    >>> import flambeau as torch
    >>> torch.nn.factory_kwargs({"factory_kwargs": {"dtype": torch.float64}})
    {'dtype': torch.float64}
    """
    if kwargs is None:
        return {}
    unknown = set(kwargs) - {*_FACTORY, "factory_kwargs"}
    if unknown:
        raise ArgumentTypeError(f"unexpected kwargs {unknown}; allowed: {', '.join(_FACTORY)}, factory_kwargs")
    result = dict(kwargs.get("factory_kwargs", {}))
    for name in _FACTORY:
        if name in kwargs:
            if name in result:
                raise ArgumentTypeError(f"{name} specified twice, in **kwargs and in factory_kwargs")
            result[name] = kwargs[name]
    return result
