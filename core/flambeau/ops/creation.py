"""Factories: tensors from shapes, ranges and fill values. `construct` has those from existing data."""

from __future__ import annotations

import math
import warnings
from typing import Any

from flambeau import dtypes, shapes
from flambeau.discovery import Kind
from flambeau.dispatch import composite, front
from flambeau.dispatch.run import explained
from flambeau.dtypes import FLOAT, INTEGER
from flambeau.errors import ArgumentError, ArgumentTypeError, ArgumentValueError, message
from flambeau.finfo import finfo
from flambeau.ops import _samples
from flambeau.ops.construct import as_tensor, asarray, attach_new, from_dlpack, from_numpy, frombuffer, tensor
from flambeau.ops.factory import ACTIVE, as_size, empty_array, factory, factory_kind, finish, wanted_strides
from flambeau.shapes import Shape
from flambeau.tensor import Tensor, make, new


# ---------------------------------------------------------------------------------------------- records
def _samples_full(make: Any) -> _samples.Calls:
    yield ((2, 3), 3), {"dtype": make.dtype, "device": make.device}
    yield ((2, 3), 1.5), {"device": make.device}
    yield ((4,), True), {"device": make.device}
    yield ((), 2), {"device": make.device}


def _sized(make: Any) -> _samples.Calls:
    yield (2, 3), {"dtype": make.dtype, "device": make.device}
    yield ((0, 4),), {"device": make.device}
    yield (), {"size": (3,), "dtype": make.dtype, "device": make.device}


def _like(make: Any) -> _samples.Calls:
    yield (make(2, 3),), {}
    yield (make(2, 3),), {"dtype": dtypes.int64}


@factory(samples=_samples_full)
def _full(size: Shape, fill_value: Any, kind: Kind) -> Tensor:
    """A new tensor with one value in all places."""


def _samples_arange(make: Any) -> _samples.Calls:
    yield (5,), {"dtype": make.dtype, "device": make.device}
    yield (1, 8, 3), {"dtype": make.dtype, "device": make.device}
    yield (3, -2, -1), {"device": make.device}
    yield (0.5, 2.0, 0.25), {"device": make.device}


@factory(samples=_samples_arange)
def _arange(start: Any, step: Any, count: int, kind: Kind) -> Tensor:
    """`start + step * i` for i below `count`."""


def _samples_linspace(make: Any) -> _samples.Calls:
    yield (0, 8, 5), {"dtype": make.dtype, "device": make.device}
    yield (3.0, -1.0, 6), {"device": make.device}
    yield (2, 5, 1), {"device": make.device}


@factory(samples=_samples_linspace, decomposed=True)
def _linspace(start: Any, end: Any, steps: int, kind: Kind) -> Tensor:
    """`steps` values from `start` to `end`, both included."""
    wide = kind.to(dtypes.float32) if kind.dtype.category < FLOAT else kind
    index = _arange(0, 1, steps, wide)
    step = (end - start) / (steps - 1) if steps > 1 else 0
    return (index * step + start).to(kind.dtype)


def _samples_eye(make: Any) -> _samples.Calls:
    yield (3,), {"dtype": make.dtype, "device": make.device}
    yield (2, 4), {"dtype": make.dtype, "device": make.device}
    yield (4, 2), {"device": make.device}


@factory(samples=_samples_eye, decomposed=True)
def _eye(n: int, m: int, kind: Kind) -> Tensor:
    """Ones on the diagonal of an (n, m) matrix of zeros."""
    integers = kind.to(dtypes.int64)
    rows, columns = _arange(0, 1, n, integers), _arange(0, 1, m, integers)
    return (rows.reshape(n, 1) == columns.reshape(1, m)).to(kind.dtype)


# ---------------------------------------------------------------------------------------------- from shapes
def _filled(value: int, op: str) -> Any:
    """`zeros` or `ones`: the short way is written out, because programs and layers make so many."""
    def call(*shape: Any, size: Any = None, out: Tensor | None = None, names: Any = None, dtype: Any = None,
             layout: Any = None, device: Any = None, requires_grad: bool = False, pin_memory: bool = False,
             memory_format: Any = None) -> Tensor:
        wanted = as_size(shape, size, op)
        kind = factory_kind(dtype, device)
        kernel = kind.kernels.get("full")
        if kernel is None or ACTIVE:
            result = _full(wanted, value, kind)
        else:
            result = new(Tensor)
            try:
                result._array = kernel(wanted, value, kind.dtype, kind.index)
            except MemoryError as error:
                raise explained(_full.op, (wanted, value), error) from None  # type: ignore[attr-defined]
            result._kind = kind
        if requires_grad or out is not None or layout is not None or pin_memory:
            return finish(result, out, requires_grad, layout, op, pin_memory)
        return result
    call.__name__ = call.__qualname__ = op
    return call


zeros = _filled(0, "zeros")
zeros.__doc__ = """A tensor of this shape with 0 in all places.

>>> import flambeau as torch
>>> torch.zeros(2, 3)
tensor([[0., 0., 0.],
        [0., 0., 0.]])
"""
zeros = composite(method=False, samples=_sized)(zeros)

ones = _filled(1, "ones")
ones.__doc__ = """A tensor of this shape with 1 in all places.

>>> import flambeau as torch
>>> torch.ones(2, dtype=torch.int64)
tensor([1, 1])
"""
ones = composite(method=False, samples=_sized)(ones)


@front(_full)
def full(size: Any, fill_value: Any, *, out: Tensor | None = None, names: Any = None, dtype: Any = None,
         layout: Any = None, device: Any = None, requires_grad: bool = False, pin_memory: bool = False) -> Tensor:
    """A tensor of this shape with one value in all places; the value's type decides the dtype.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.full.html

    >>> import flambeau as torch
    >>> torch.full((2, 2), 7)
    tensor([[7, 7],
            [7, 7]])
    """
    value = _number(fill_value, "full")
    kind = factory_kind(dtype, device, None if dtype is not None else dtypes.of_python(_python_type(value)))
    result = _full(as_size((size,), None, "full"), _storable(value, kind, "full"), kind)
    return finish(result, out, requires_grad, layout, "full", pin_memory)


@composite(samples=_sized, method=False)
def empty(*shape: Any, size: Any = None, out: Tensor | None = None, names: Any = None, dtype: Any = None,
          layout: Any = None, device: Any = None, requires_grad: bool = False, pin_memory: bool = False,
          memory_format: Any = None) -> Tensor:
    """A tensor of this shape whose values are whatever is in memory.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.empty.html

    >>> import flambeau as torch
    >>> torch.empty(2, 3).shape
    torch.Size([2, 3])
    """
    kind = factory_kind(dtype, device)
    result: Tensor = new(Tensor)
    result._array = kind.backend.empty(as_size(shape, size, "empty"), kind.dtype, kind.index)
    result._kind = kind
    return finish(result, out, requires_grad, layout, "empty", pin_memory)


def _samples_strided(make: Any) -> _samples.Calls:
    yield ((2, 3), (1, 2)), {"dtype": make.dtype, "device": make.device}
    yield ((2, 3), (5, 1)), {"device": make.device}


@composite(samples=_samples_strided, method=False)
def empty_strided(size: Any, stride: Any, *, dtype: Any = None, layout: Any = None, device: Any = None,
                  requires_grad: bool = False, pin_memory: bool = False) -> Tensor:
    """A tensor of this shape and these strides (in elements) whose values are whatever is in memory.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.empty_strided.html

    >>> import flambeau as torch
    >>> torch.empty_strided((2, 3), (1, 2)).stride()
    (1, 2)
    """
    shape, strides = as_size((size,), None, "empty_strided"), shapes.as_shape((stride,), "empty_strided")
    if len(shape) != len(strides):
        raise ArgumentError(message("empty_strided", "dimensionality of sizes must match dimensionality of strides",
                                    given=f"size {list(shape)}, stride {list(strides)}"))
    kind = factory_kind(dtype, device)
    flat = kind.backend.empty((shapes.storage_extent(shape, strides, 0),), kind.dtype, kind.index)
    return finish(make(kind.backend.as_strided(flat, shape, strides, 0), kind), None, requires_grad, layout,
                  "empty_strided", pin_memory)


def _samples_permuted(make: Any) -> _samples.Calls:
    yield ((2, 3, 4), (2, 0, 1)), {"dtype": make.dtype, "device": make.device}


@composite(samples=_samples_permuted, method=False)
def empty_permuted(size: Any, physical_layout: Any, *, dtype: Any = None, layout: Any = None, device: Any = None,
                   requires_grad: bool = False, pin_memory: bool = False) -> Tensor:
    """A tensor of this shape with any values, its dimensions in memory in the order given, the slowest first.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.empty_permuted.html

    >>> import flambeau as torch
    >>> torch.empty_permuted((2, 3, 5), (0, 2, 1)).stride()
    (15, 1, 3)
    """
    shape, order = as_size((size,), None, "empty_permuted"), shapes.as_shape((physical_layout,), "empty_permuted")
    if len(shape) != len(order):
        raise ArgumentError(message("empty_permuted", "Number of dimensions in size does not match the length of the "
                                    "physical_layout", given=f"{list(shape)} and {list(order)}"))
    if any(not 0 <= dim < len(shape) for dim in order):
        raise ArgumentError(message("empty_permuted", "Dimension out of range", given=f"physical_layout {list(order)}",
                                    allowed=f"0 to {len(shape) - 1}"))
    if len(set(order)) != len(order):
        raise ArgumentError(message("empty_permuted", "Duplicate dim not allowed", given=f"{list(order)}"))
    strides = [0] * len(shape)
    for dim, step in zip(order, shapes.contiguous_strides(tuple([shape[each] for each in order])), strict=True):
        strides[dim] = step
    return empty_strided(shape, strides, dtype=dtype, layout=layout, device=device, requires_grad=requires_grad)


def kind_like(input: Tensor, dtype: Any, device: Any) -> Kind:
    """The kind of a tensor like `input`, with another dtype or device where given."""
    if not isinstance(input, Tensor):
        raise ArgumentTypeError(f"argument 'input' must be Tensor, not {type(input).__name__}")
    kind = input._kind
    if dtype is None and device is None:
        return kind
    return factory_kind(kind.dtype if dtype is None else dtype, kind.device if device is None else device)


@composite(samples=_like, method=False)
def empty_like(input: Tensor, *, dtype: Any = None, layout: Any = None, device: Any = None,
               requires_grad: bool = False, memory_format: Any = None, pin_memory: bool = False) -> Tensor:
    """A tensor of the shape, dtype, device and order of dimensions of `input`, with any values.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.empty_like.html

    >>> import flambeau as torch
    >>> torch.empty_like(torch.ones(2, 3)).shape
    torch.Size([2, 3])
    """
    kind = kind_like(input, dtype, device)
    result = make(empty_array(kind, input._array.shape, input, memory_format), kind)
    return finish(result, None, requires_grad, layout, "empty_like", pin_memory)


def _filled_like(value: Any, input: Tensor, dtype: Any, device: Any, memory_format: Any) -> Tensor:
    kind = kind_like(input, dtype, device)
    shape = input._array.shape
    if wanted_strides(shape, input._kind.backend.layout(input._array)[0], memory_format) is None:
        return _full(shape, value, kind)
    array = empty_array(kind, shape, input, memory_format)
    return make(array, kind).copy_(_full((), value, kind))


@composite(samples=_like, method=False)
def zeros_like(input: Tensor, *, dtype: Any = None, layout: Any = None, device: Any = None,
               requires_grad: bool = False, memory_format: Any = None, pin_memory: bool = False,
               out: Tensor | None = None) -> Tensor:
    """A tensor like `input` with 0 in all places.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.zeros_like.html

    >>> import flambeau as torch
    >>> torch.zeros_like(torch.ones(2))
    tensor([0., 0.])
    """
    return finish(_filled_like(0, input, dtype, device, memory_format), out, requires_grad, layout, "zeros_like",
                  pin_memory)


@composite(samples=_like, method=False)
def ones_like(input: Tensor, *, dtype: Any = None, layout: Any = None, device: Any = None,
              requires_grad: bool = False, memory_format: Any = None, pin_memory: bool = False,
              out: Tensor | None = None) -> Tensor:
    """A tensor like `input` with 1 in all places.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.ones_like.html

    >>> import flambeau as torch
    >>> torch.ones_like(torch.zeros(2))
    tensor([1., 1.])
    """
    return finish(_filled_like(1, input, dtype, device, memory_format), out, requires_grad, layout, "ones_like",
                  pin_memory)


@composite(samples=_samples.on(((2, 3), 3), ((), 1)), method=False)
def full_like(input: Tensor, fill_value: Any, *, dtype: Any = None, layout: Any = None, device: Any = None,
              requires_grad: bool = False, memory_format: Any = None, pin_memory: bool = False,
              out: Tensor | None = None) -> Tensor:
    """A tensor like `input` with one value in all places.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.full_like.html

    >>> import flambeau as torch
    >>> torch.full_like(torch.zeros(2), 5)
    tensor([5., 5.])
    """
    value = _storable(_number(fill_value, "full_like"), kind_like(input, dtype, device), "full_like")
    return finish(_filled_like(value, input, dtype, device, memory_format), out, requires_grad, layout, "full_like",
                  pin_memory)


def _number(value: Any, op: str) -> Any:
    """A fill value as a Python number: tensors and NumPy's scalars of one element are taken out."""
    if value.__class__ in (int, float, bool, complex):
        return value
    if isinstance(value, Tensor) or hasattr(value, "__array__"):
        return value.item()
    if isinstance(value, (int, float, complex)):  # a subclass of one of them
        return value
    raise ArgumentTypeError(f"{op}(): argument 'fill_value' must be Number, not {type(value).__name__}")


def _python_type(value: Any) -> type:
    return next(each for each in (bool, int, float, complex) if isinstance(value, each))


def _overflow(op: str, dtype: dtypes.dtype, value: Any) -> str:
    return message(op, f"value cannot be converted to type {dtype.name} without overflow", given=repr(value))


def _storable(value: Any, kind: Kind, op: str) -> Any:
    """A number as one of the kind's category. RuntimeError where the dtype cannot hold it."""
    dtype = kind.dtype
    if isinstance(value, complex) and not dtype.is_complex:
        if value.imag:
            raise ArgumentError(_overflow(op, dtype, value))
        value = value.real
    if dtype.category == INTEGER:
        if isinstance(value, float) and not math.isfinite(value):
            raise ArgumentError(_overflow(op, dtype, value))
        value = int(value)
        bits = 8 * dtype.itemsize
        if not -(1 << bits - 1) <= value < (1 << bits - dtype.is_signed):
            raise ArgumentError(_overflow(op, dtype, value))
        return value % (1 << bits) if not dtype.is_signed else value
    if dtype.category == FLOAT and dtype is not dtypes.float64 and isinstance(value, (int, float)):
        beyond = abs(value) > 240 and not dtype.storage_only  # 240: what the narrowest float dtype holds
        if beyond and abs(value) > finfo(dtype).max and abs(value) != math.inf:
            raise ArgumentError(_overflow(op, dtype, value))
        return float(value)
    return bool(value) if dtype is dtypes.bool_ else value


def _samples_scalar(make: Any) -> _samples.Calls:
    yield (3,), {"dtype": make.dtype, "device": make.device}
    yield (1.5,), {"device": make.device}


@composite(samples=_samples_scalar, method=False)
def scalar_tensor(s: Any, *, dtype: Any = None, layout: Any = None, device: Any = None, requires_grad: bool = False,
                  pin_memory: bool = False) -> Tensor:
    """A 0-d tensor of the default dtype.

    >>> import flambeau as torch
    >>> torch.scalar_tensor(2)
    tensor(2.)
    """
    kind = factory_kind(dtype, device)
    value = _storable(_number(s, "scalar_tensor"), kind, "scalar_tensor")
    return finish(_full((), value, kind), None, requires_grad, layout, "scalar_tensor", pin_memory)


# ---------------------------------------------------------------------------------------------- ranges
def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, Tensor) or hasattr(value, "__array__") else value


@front(_arange)
def arange(*bounds: Any, start: Any = None, end: Any = None, step: Any = None, out: Tensor | None = None,
           dtype: Any = None, layout: Any = None, device: Any = None, requires_grad: bool = False,
           pin_memory: bool = False) -> Tensor:
    """The values from `start` (0) up to, not including, `end` in steps of `step` (1): integers for integer bounds.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.arange.html

    >>> import flambeau as torch
    >>> torch.arange(5), torch.arange(1, 2, 0.5)
    (tensor([0, 1, 2, 3, 4]), tensor([1.0000, 1.5000]))
    """
    if len(bounds) == 1 and end is None:
        end = bounds[0]
    elif bounds:
        start, end, step = (*bounds, *(each for each in (start, end, step)[len(bounds):]))[:3]
    first, last, stride = _plain(0 if start is None else start), _plain(end), _plain(1 if step is None else step)
    if last is None:
        raise ArgumentTypeError("arange(): missing required argument 'end'")
    if out is not None and dtype is None:
        dtype = out._kind.dtype
    whole = isinstance(first, int) and isinstance(last, int) and isinstance(stride, int)
    kind = factory_kind(dtype, device, dtypes.int64 if whole else None)
    if kind.dtype.category == INTEGER and stride != 0 and int(stride) == 0:
        raise ArgumentValueError(message("arange", "step must be nonzero", given=f"step={stride}, which is 0 as "
                                         f"{kind.dtype}", next_step="pass a floating dtype"))
    result = _arange(first, stride, _count(first, last, stride), kind)
    if requires_grad or out is not None or layout is not None or pin_memory:
        return finish(result, out, requires_grad, layout, "arange", pin_memory)
    return result


def _count(start: Any, end: Any, step: Any) -> int:
    if step == 0:
        raise ArgumentError(message("arange", "step must be nonzero", given=f"start={start}, end={end}, step={step}"))
    if not all(math.isfinite(each) for each in (start, end)):
        raise ArgumentError(f"arange: unsupported range: {start} -> {end}")
    if (step > 0) != (end >= start) and end != start:
        raise ArgumentError(message("arange", "upper bound and lower bound inconsistent with step sign",
                                    given=f"start={start}, end={end}, step={step}"))
    if isinstance(start, int) and isinstance(end, int) and isinstance(step, int):
        return -((start - end) // step)
    return math.ceil((end - start) / step)


def _samples_range(make: Any) -> _samples.Calls:
    yield (0, 4), {"dtype": make.dtype, "device": make.device}
    yield (1, 2.5, 0.5), {"device": make.device}


@composite(samples=_samples_range, method=False)
def range(start: Any, end: Any = None, step: Any = 1, **options: Any) -> Tensor:
    """Like `arange`, but of the default dtype and with `end` included. `arange` is preferred.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.range.html

    >>> import warnings
    >>> import flambeau as torch
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore")
    ...     torch.range(1, 3)
    tensor([1., 2., 3.])
    """
    warnings.warn("torch.range is deprecated and will be removed in a future release because its behavior is "
                  "inconsistent with Python's range builtin. Instead, use torch.arange, which produces values in "
                  "[start, end).", UserWarning, stacklevel=2)
    first, last = (0, start) if end is None else (start, end)
    kind = factory_kind(options.pop("dtype", None), options.pop("device", None))
    result = _arange(first, step, math.floor((last - first) / step) + 1, kind)
    return finish(result, options.get("out"), options.get("requires_grad", False), options.get("layout"), "range",
                  options.get("pin_memory", False))


def _space_kind(start: Any, end: Any, dtype: Any, device: Any, out: Tensor | None) -> Kind:
    if dtype is None and out is not None:
        dtype = out._kind.dtype
    complex_ = isinstance(start, complex) or isinstance(end, complex)
    return factory_kind(dtype, device, dtypes.default_complex() if complex_ else None)


@front(_linspace)
def linspace(start: Any, end: Any, steps: int, *, out: Tensor | None = None, dtype: Any = None, layout: Any = None,
             device: Any = None, requires_grad: bool = False, pin_memory: bool = False) -> Tensor:
    """`steps` evenly spaced values from `start` to `end`, both included.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.linspace.html

    >>> import flambeau as torch
    >>> torch.linspace(0, 1, 3)
    tensor([0.0000, 0.5000, 1.0000])
    """
    first, last = _plain(start), _plain(end)
    steps = _check_steps(steps, "linspace")
    result = _linspace(first, last, steps, _space_kind(first, last, dtype, device, out))
    return finish(result, out, requires_grad, layout, "linspace", pin_memory)


def _check_steps(steps: Any, op: str) -> int:
    if not hasattr(steps, "__index__"):
        raise ArgumentTypeError(f"{op}(): argument 'steps' must be int, not {type(steps).__name__}")
    if steps < 0:
        raise ArgumentError(message(op, "number of steps must be non-negative", given=f"steps={steps}"))
    return int(steps.__index__())


def _samples_logspace(make: Any) -> _samples.Calls:
    yield (0, 2, 3), {"dtype": make.dtype, "device": make.device}
    yield (-1.0, 3.0, 4, 2.0), {"device": make.device}


@composite(samples=_samples_logspace, method=False)
def logspace(start: Any, end: Any, steps: int, base: float = 10.0, *, out: Tensor | None = None, dtype: Any = None,
             layout: Any = None, device: Any = None, requires_grad: bool = False,
             pin_memory: bool = False) -> Tensor:
    """`steps` values from `base ** start` to `base ** end`, evenly spaced on a logarithmic scale.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.logspace.html

    >>> import flambeau as torch
    >>> torch.logspace(0, 2, 3)
    tensor([  1.,  10., 100.])
    """
    first, last = _plain(start), _plain(end)
    steps = _check_steps(steps, "logspace")
    kind = _space_kind(first, last, dtype, device, out)
    wide = kind.to(dtypes.complex128 if kind.dtype.is_complex else dtypes.float64) \
        if dtypes.float64 in kind.capabilities.storage_dtypes else kind
    exponents = _linspace(first, last, steps, wide if kind.dtype.category >= FLOAT else kind).to(wide.dtype)
    result = (_full((), base, wide) ** exponents).to(kind.dtype)
    return finish(result, out, requires_grad, layout, "logspace", pin_memory)


@front(_eye)
def eye(n: int, m: int | None = None, *, out: Tensor | None = None, dtype: Any = None, layout: Any = None,
        device: Any = None, requires_grad: bool = False, pin_memory: bool = False) -> Tensor:
    """A matrix with ones on its diagonal and zeros elsewhere, of shape (n, m) or (n, n).

    Source: https://docs.pytorch.org/docs/stable/generated/torch.eye.html

    >>> import flambeau as torch
    >>> torch.eye(2)
    tensor([[1., 0.],
            [0., 1.]])
    """
    columns = n if m is None else m
    for name, value in (("n", n), ("m", columns)):
        if value < 0:
            raise ArgumentError(f"eye: {name} must be greater or equal to 0, got {value}")
    result = _eye(int(n), int(columns), factory_kind(dtype, device))
    return finish(result, out, requires_grad, layout, "eye", pin_memory)


for _name, _maker in (("new_zeros", zeros), ("new_ones", ones), ("new_empty", empty), ("new_full", full),
                      ("new_empty_strided", empty_strided)):
    attach_new(_name, _maker)

__all__ = [  # what other modules import from here; `construct` is part of this family
    "arange", "as_tensor", "asarray", "empty", "empty_like", "empty_permuted", "empty_strided", "eye", "factory_kind",
    "from_dlpack", "from_numpy", "frombuffer", "full", "full_like", "linspace", "logspace", "ones", "ones_like",
    "range", "scalar_tensor", "tensor", "zeros", "zeros_like"]
