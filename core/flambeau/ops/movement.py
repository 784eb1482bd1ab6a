"""Casts and copies between dtypes, devices and tensors."""

from __future__ import annotations

import warnings
from typing import Any

from flambeau import discovery, dtypes
from flambeau.device import device as device_type
from flambeau.discovery import Kind
from flambeau.dispatch import front, modes, operator, primitive
from flambeau.dispatch.inplace import write_inplace
from flambeau.dispatch.run import bump
from flambeau.dtypes import BOOL, COMPLEX, dtype
from flambeau.errors import ArgumentTypeError, ShapeError, message
from flambeau.graph import STATE
from flambeau.layouts import contiguous_format, preserve_format
from flambeau.ops import _samples
from flambeau.ops.factory import as_device, wanted_strides
from flambeau.shapes import Shape, as_shape, describe, is_expandable
from flambeau.tensor import Tensor, attach, make

ACTIVE = modes.ACTIVE
STACK = modes.STACK


def _samples_cast(make: Any) -> _samples.Calls:
    for wanted in (dtypes.float32, dtypes.int64, dtypes.bool_):
        yield (make(2, 3), wanted), {}


@primitive(vjp={"input": lambda g: g}, dtype_rule="any", method=False, grad_name="ToCopyBackward0",
           samples=_samples_cast)
def _cast(input: Tensor, dtype: dtype) -> Shape:
    """The values in another dtype on the same device; the walk casts the gradient back."""
    return input.shape


@primitive(samples=_samples.on(((2, 3),), ((),)), vjp={"input": lambda g: g}, dtype_rule="any")
def _clone(input: Tensor) -> Shape:
    """A contiguous copy."""
    return input.shape


@front(_clone)
def clone(input: Tensor, *, memory_format: Any = None) -> Tensor:
    """A copy through which gradients flow; it keeps the order of dimensions in memory unless a format is asked for.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.clone.html

    >>> import flambeau as torch
    >>> torch.ones(2, 3).t().clone().stride(), torch.ones(2).clone()
    ((1, 3), tensor([1., 1.]))
    """
    result: Tensor = _clone(input)
    if memory_format is not contiguous_format and len(result._array.shape) > 1:
        backend = input._kind.backend
        strides = wanted_strides(input._array.shape, backend.layout(input._array)[0], memory_format)
        if strides is not None and result._kind is input._kind:
            compact = result._array
            result._array = backend.as_strided(backend.empty(compact.shape, input._kind.dtype, input._kind.index),
                                               compact.shape, strides, 0)
            copy_(make(result._array, result._kind), make(compact, result._kind))
    return result


def _samples_transfer(make: Any) -> _samples.Calls:
    yield (make(2, 3), discovery.kind_of(make.dtype, "cpu")), {}


@operator(samples=_samples_transfer, vjp={"input": lambda g: g}, method=False, dtype_rule="any",
          grad_name="ToCopyBackward0")
def _transfer(input: Tensor, kind: Kind, later: bool = False) -> Tensor:
    """The values on another device, through the host where they have two backends; the walk moves the gradient back.

    With `later` the program does not wait for the copy.
    """
    here, there = input._kind.backend, kind.to(input._kind.dtype)
    if here is there.backend:
        return make(here.to_device(input._array, there.index), there)
    if not later:
        return make(there.backend.from_host(here.to_host(input._array), there.index), there)
    if there.capabilities.host:
        return make(discovery.host().wrap(here.to_host_later(input._array)), there)
    return make(there.backend.from_host_later(here.to_host(input._array), there.index), there)


def convert(input: Tensor, kind: Kind, later: bool = False) -> Tensor:
    """The tensor in another dtype or on another device; itself if it is of that kind already."""
    have = input._kind
    if have is kind:
        return input
    if have.dtype.category == COMPLEX and kind.dtype.category not in (COMPLEX, BOOL):
        warnings.warn("Casting complex values to real discards the imaginary part", UserWarning, stacklevel=3)
    if have.device is not kind.device:
        if have.dtype not in kind.capabilities.storage_dtypes:
            input = _cast(input, kind.dtype)  # the cast comes first where the device there cannot store what is here
        input = _transfer(input, kind, True) if later else _transfer(input, kind)
        if later and kind.capabilities.host and input._kind is not kind:
            have.backend.synchronize(have.index)   # the cast reads what arrives
    return input if input._kind is kind else _cast(input, kind.dtype)


def _wanted_kind(self: Tensor, args: tuple[Any, ...], dtype: Any, device: Any) -> tuple[Kind, list[bool]]:
    """The kind that the arguments of `to` ask for, and the flags by position: not to wait, and to copy."""
    flags = []
    for each in args:
        if each.__class__ is dtypes.dtype:
            dtype = each
        elif each.__class__ is bool:
            flags.append(each)
        elif isinstance(each, (str, device_type, int)):
            device = each
        elif isinstance(each, Tensor):
            dtype, device = each._kind.dtype, each._kind.device
        elif each in (float, int, bool, complex):
            dtype = each
        elif each is not None:
            raise ArgumentTypeError(message("to()", "received an invalid combination of arguments",
                                            given=type(each).__name__, allowed="a dtype, a device, or another tensor"))
    kind = self._kind
    wanted = discovery.kind_of(kind.dtype if dtype is None else dtypes.as_dtype(dtype),
                               kind.device if device is None else as_device(device))
    return wanted, flags


@attach
def to(self: Tensor, *args: Any, dtype: Any = None, device: Any = None, copy: bool = False,
       non_blocking: bool = False, memory_format: Any = None, other: Tensor | None = None) -> Tensor:
    """The tensor with another dtype or device: `to(dtype)`, `to(device)`, `to(device, dtype)`, `to(other)`.

    Itself where nothing changes, unless `copy`. A cast from complex to real warns that it drops the imaginary part.
    With `non_blocking` the program does not wait for a copy between page-locked memory of the host and a device.

    >>> import flambeau as torch
    >>> torch.ones(2).to(torch.int64)
    tensor([1, 1])
    """
    if other is not None:
        args = (other,)
    if len(args) == 1 and args[0].__class__ is dtypes.dtype and device is None:
        wanted = self._kind.to(args[0])
    else:
        wanted, flags = _wanted_kind(self, args, dtype, device)
        non_blocking, copy = (*flags, non_blocking)[0] or non_blocking, copy or (len(flags) > 1 and flags[1])
    if wanted is self._kind:
        return _formatted(self, memory_format, copy)
    return _formatted(convert(self, wanted, non_blocking and memory_format is None), memory_format)


def _formatted(tensor: Tensor, memory_format: Any, copy: bool = False) -> Tensor:
    """The tensor in a memory format; itself if it is so already and no copy is demanded."""
    if memory_format in (None, preserve_format):
        return tensor.clone() if copy else tensor
    kept = not copy and tensor.is_contiguous(memory_format=memory_format)
    return tensor if kept else tensor.clone(memory_format=memory_format)


def _conversion(name: str, wanted: dtype) -> None:
    def method(self: Tensor, memory_format: Any = None) -> Tensor:
        kind = self._kind.to(wanted)
        result = self if self._kind is kind else convert(self, kind)
        return result if memory_format is None else _formatted(result, memory_format)
    method.__name__ = method.__qualname__ = name
    method.__doc__ = f"The tensor as {wanted}; itself if it is that already."
    attach(method, name)


for _name, _dtype in {**dtypes.ALIASES, "bfloat16": dtypes.bfloat16, "char": dtypes.int8, "byte": dtypes.uint8,
                      "chalf": dtypes.complex64}.items():
    _conversion(_name, _dtype)


@attach
def cpu(self: Tensor, memory_format: Any = None) -> Tensor:
    """The tensor in host memory; itself if it is there already."""
    return self if self._kind.backend.capabilities.host else convert(self, discovery.kind_of(self._kind.dtype, "cpu"))


def _to_device(name: str) -> None:
    def method(self: Tensor, device: Any = None, non_blocking: bool = False, memory_format: Any = None) -> Tensor:
        where = name if device is None else device_type(name, device) if isinstance(device, int) else device
        kind = discovery.kind_of(self._kind.dtype, where)
        return _formatted(convert(self, kind, non_blocking and memory_format is None), memory_format)
    method.__name__ = method.__qualname__ = name
    method.__doc__ = f'The tensor on device "{name}"; itself if it is there already. RuntimeError where there is none.'
    attach(method, name)


for _name in ("cuda", "xpu"):
    _to_device(_name)


@attach
def type_as(self: Tensor, other: Tensor) -> Tensor:
    """The tensor with the dtype and device of another one."""
    return convert(self, other._kind)


@operator(vjp={"input": lambda g: g.new_zeros(g.shape), "src": lambda g: g}, method=False,
          samples=_samples.together(((2, 3), (2, 3)), ((2, 3), (3,))))
def _copy(input: Tensor, src: Tensor) -> Tensor:
    """What `copy_` puts into the input: `src`, cast and broadcast."""
    return convert(src, input._kind).expand(input._array.shape)


@attach
def copy_(self: Tensor, src: Any, non_blocking: bool = False) -> Tensor:
    """Overwrite the tensor with the values of `src`, cast, moved and broadcast to fit. Returns the tensor."""
    if not isinstance(src, Tensor):
        raise ArgumentTypeError(f"copy_(): argument 'other' (position 1) must be Tensor, not {type(src).__name__}")
    if ACTIVE and STACK.modes:
        return modes.through(_copy.op, copy_, (self, src), {})  # type: ignore[attr-defined]
    shape = self._array.shape
    if src._array.shape != shape and not is_expandable(src._array.shape, shape):
        raise ShapeError(f"copy_: The size of the source {describe(src._array.shape)} must match that of the tensor "
                         f"{describe(self._array.shape)}, or broadcast to it")
    if src._kind.device is not self._kind.device:
        src = convert(src, self._kind, non_blocking and not self._kind.capabilities.host)
    plain = self._view is None and not (STATE.enabled and (self._edge is not None or src._edge is not None))
    drops = src._kind.dtype.is_complex and not self._kind.dtype.is_complex
    if plain and src._kind.device is self._kind.device and not drops:
        self._kind.backend.copy(self._array, src._array)
        bump(self)
        return self
    return write_inplace(_copy.op, (self, src), lambda: _copy(self, src), self)  # type: ignore[attr-defined]


def _fill_value(input: Tensor, value: Any) -> Tensor:
    from flambeau.ops import creation
    if isinstance(value, Tensor):
        if value._array.shape:
            raise ShapeError("fill_: only supports 0-dimension value tensor but got tensor with "
                             f"{len(value._array.shape)} dimensions; use copy_()")
        return convert(value, input._kind)
    return creation.full((), value, dtype=input._kind.dtype, device=input._kind.device)


@operator(vjp={"input": lambda g: g.new_zeros(g._array.shape), "value": lambda g: g.sum()}, inplace=False,
          method=False, samples=_samples.on(((2, 3), 3), ((), 1)))
def fill(input: Tensor, value: Any) -> Tensor:
    """A tensor like the input with one value in all places.

    >>> import flambeau as torch
    >>> torch.fill(torch.zeros(2), 3)
    tensor([3., 3.])
    """
    return _clone(_fill_value(input, value).expand(input._array.shape))


def _quickly(self: Tensor, value: Any) -> bool:
    """Fill without a graph and without ceremony, where neither is needed."""
    if self._view is not None or (self._edge is not None and STATE.enabled):
        return False
    kernel = self._kind.kernels.get("fill_")
    if kernel is None or kernel(self._array, value) is NotImplemented:
        return False
    bump(self)
    return True


@attach
def fill_(self: Tensor, value: Any) -> Tensor:
    """Overwrite all elements with one value, a number or a 0-d tensor. Returns the tensor."""
    if ACTIVE and STACK.modes:
        return modes.through(fill.op, fill_, (self, value), {})  # type: ignore[attr-defined]
    if value.__class__ in (int, float) and self._kind.dtype.is_floating_point and -240 <= value <= 240 \
            and _quickly(self, value):  # 240: what the narrowest float dtype holds
        return self
    args = (self, value)
    return write_inplace(fill.op, args, lambda: _fill_value(self, value).expand(self._array.shape), self)  # type: ignore[attr-defined]


@operator(vjp={"input": lambda g: g.new_zeros(g._array.shape)}, method=False, grad_name="ZeroBackward0",
          samples=_samples.on(((2, 3),)))
def _zero(input: Tensor) -> Tensor:
    """What `zero_` puts into the input."""
    return input.new_zeros(input._array.shape)


@attach
def zero_(self: Tensor) -> Tensor:
    """Overwrite all elements with zero. Returns the tensor."""
    if ACTIVE and STACK.modes:
        return modes.through(_zero.op, zero_, (self,), {})  # type: ignore[attr-defined]
    if _quickly(self, 0):
        return self
    return write_inplace(_zero.op, (self,), lambda: _zero(self), self)  # type: ignore[attr-defined]


@attach
def fill_diagonal_(self: Tensor, fill_value: Any, wrap: bool = False) -> Tensor:
    """Fill the main diagonal in place; with `wrap`, a tall matrix has it again below, a row further on each time.

    More than two dimensions must all be of one size. RuntimeError otherwise, and for fewer than two.
    Source: https://docs.pytorch.org/docs/stable/generated/torch.Tensor.fill_diagonal_.html

    >>> import flambeau as torch
    >>> torch.zeros(2, 3).fill_diagonal_(5)
    tensor([[5., 0., 0.],
            [0., 5., 0.]])
    """
    shape = tuple(self.shape)
    if len(shape) < 2 or (len(shape) > 2 and len(set(shape)) != 1):
        raise ShapeError(f"fill_diagonal_: all dimensions of input must be of equal length, and at least two; given: "
                         f"{list(shape)}")
    step, count, begin = sum(self.stride()), min(shape), self.storage_offset()
    self.as_strided((count,), (step,), begin).fill_(fill_value)
    if wrap and len(shape) == 2 and shape[0] > shape[1] + 1:
        rest = -(-self.numel() // step) - count
        self.as_strided((rest,), (step,), begin + self.stride(0) * (shape[1] + 1)).fill_(fill_value)
    return self


@attach
def sum_to_size(self: Tensor, *size: Any) -> Tensor:
    """The sum over the dimensions that broadcasting to this tensor's shape from `size` would have made.

    RuntimeError where `size` does not broadcast to the shape.
    Source: https://docs.pytorch.org/docs/stable/generated/torch.Tensor.sum_to_size.html

    >>> import flambeau as torch
    >>> torch.ones(2, 3).sum_to_size(1, 3)
    tensor([[2., 2., 2.]])
    """
    wanted, shape = as_shape(size, "sum_to_size"), tuple(self.shape)
    if not is_expandable(wanted, shape):
        raise ShapeError(f"sum_to_size: size {list(wanted)} is not expandable to size {list(shape)}")
    extra = len(shape) - len(wanted)
    dims = [dim for dim in range(len(shape)) if dim < extra or (wanted[dim - extra] == 1 != shape[dim])]
    return self.sum(dims, keepdim=True).reshape(wanted) if dims else self


@attach
def is_same_size(self: Tensor, other: Tensor) -> bool:
    """Whether two tensors have the same shape.

    >>> import flambeau as torch
    >>> torch.ones(2).is_same_size(torch.zeros(2))
    True
    """
    return tuple(self.shape) == tuple(other.shape)
