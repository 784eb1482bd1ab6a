"""Tensors from data that exists: Python numbers and sequences, NumPy arrays, buffers, other libraries' arrays."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

from flambeau import discovery, dtypes
from flambeau.device import get_default_device
from flambeau.dispatch import composite
from flambeau.errors import ArgumentError, ArgumentTypeError, ArgumentValueError, DtypeError, FlambeauError, message
from flambeau.ops import _samples, movement
from flambeau.ops.factory import as_device, finish
from flambeau.tensor import Tensor, attach, make, new

_SUPPORTED = "float64, float32, float16, complex64, complex128, int64, int32, int16, int8, uint64, uint32, uint16, " \
    "uint8, and bool"


def _samples_data(make: Any) -> _samples.Calls:
    yield ([[1, 0, 3], [2, 5, 4]],), {"dtype": make.dtype, "device": make.device}
    yield ([1, 2],), {"device": make.device}
    yield (1.5,), {"device": make.device}


@composite(samples=_samples_data, method=False)
def tensor(data: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False,
           pin_memory: bool = False) -> Tensor:
    """A tensor with a copy of `data`: a number, nested sequences of numbers, a NumPy array or scalar.

    Floats get the default dtype, integers int64, bools bool; NumPy values keep their own. Raises ValueError for
    ragged sequences, TypeError or RuntimeError for what is no number.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.tensor.html

    >>> import flambeau as torch
    >>> torch.tensor([[1, 2], [3, 4]]), torch.tensor(1.5, dtype=torch.float64)
    (tensor([[1, 2],
            [3, 4]]), tensor(1.5000, dtype=torch.float64))
    """
    if isinstance(data, Tensor):
        warnings.warn("To copy construct from a tensor, it is recommended to use sourceTensor.detach().clone() or "
                      "sourceTensor.detach().clone().requires_grad_(True), rather than torch.tensor(sourceTensor).",
                      UserWarning, stacklevel=2)
        result = _copied(data, dtype, device)
    else:
        result = from_data(data, dtype, device)
    return finish(result, None, requires_grad, None, "tensor", pin_memory) if requires_grad or pin_memory else result


def _copied(data: Tensor, dtype: Any, device: Any) -> Tensor:
    source = data.detach()
    result = source.to(dtype=dtype, device=device)
    return result.clone() if result._array is source._array else result


def from_data(data: Any, dtype: Any = None, device: Any = None) -> Tensor:
    """A tensor from data that is no tensor; always a copy."""
    host = discovery.host()
    if dtype is not None and dtype.__class__ is not dtypes.dtype:
        dtype = dtypes.as_dtype(dtype)
    array = _host_array(host, data, dtype)
    where = get_default_device() if device is None else as_device(device)
    kind = discovery.kind_of(host.dtype_of(array), where)
    if not kind.backend.capabilities.host:
        there: Tensor = movement._transfer(make(array, discovery.kind_of(kind.dtype, "cpu")), kind)
        return there
    result: Tensor = new(Tensor)
    result._array = array
    result._kind = kind
    return result


def _first_leaf(data: Any) -> Any:
    while data.__class__ is list or data.__class__ is tuple:
        if not data:
            return None
        data = data[0]
    return data


def _host_array(host: Any, data: Any, dtype: Any) -> Any:
    """A host array with the data. The type of the first number is what most data consists of, so it is tried first."""
    leaf = _first_leaf(data)
    kind = leaf.__class__
    try:
        if dtype is not None:
            array = host.from_python(data, dtype)
        elif kind is float:
            array = host.from_python(data, dtypes.get_default_dtype())
        elif kind in (int, bool, complex):
            array = _widest(host, data)
        elif isinstance(leaf, Tensor):
            return _host_array(host, _without_tensors(data), dtype)
        elif kind is type(None) and not isinstance(data, (list, tuple)):
            raise ArgumentError("Could not infer dtype of NoneType")
        else:
            array = host.from_python(data, None)
            if isinstance(data, (list, tuple)) and not _has_double(data) and host.dtype_of(array) is dtypes.float64:
                array = host.from_python(data, dtypes.get_default_dtype())
        found = host.dtype_of(array)
    except FlambeauError as error:
        if not _has_tensor(data):
            raise
        return _second_try(host, data, dtype, error)
    except (TypeError, ValueError, OverflowError, KeyError, RuntimeError) as error:
        return _second_try(host, data, dtype, error)
    if found is dtypes.uint64 and dtype is None and kind is int:
        raise ArgumentValueError("tensor: Overflow when unpacking long long")
    return array


def _widest(host: Any, data: Any) -> Any:
    """The array of data that begins with an integer, bool or complex number; floats among them get our default."""
    array = host.from_python(data, None)
    found = host.dtype_of(array)
    wanted = found
    if found is dtypes.float64:
        wanted = dtypes.get_default_dtype()
    elif found is dtypes.complex128:
        wanted = dtypes.default_complex()
    return array if wanted is found else host.kernels["cast"](array, wanted)


def _without_tensors(data: Any) -> Any:
    """Nested sequences in which tensors of one element have become numbers."""
    if isinstance(data, Tensor):
        if data.numel() != 1:
            raise ArgumentValueError("only one element tensors can be converted to Python scalars; stack tensors of "
                                     f"more elements with torch.stack; given: a tensor of shape {list(data.shape)}")
        if data.requires_grad:
            warnings.warn("Converting a tensor with requires_grad=True to a scalar may lead to unexpected behavior. "
                          "Consider using tensor.detach() first.", UserWarning, stacklevel=5)
        return data.item()
    return [_without_tensors(each) for each in data] if isinstance(data, (list, tuple)) else data


def _has_double(data: Any) -> bool:
    """Whether there is a NumPy value of float64 among the items; Python's floats have no dtype."""
    if isinstance(data, (list, tuple)):
        return any(_has_double(each) for each in data)
    return str(getattr(data, "dtype", "")) == "float64"


def _has_tensor(data: Any) -> bool:
    if isinstance(data, (list, tuple)):
        return any(_has_tensor(each) for each in data)
    return isinstance(data, Tensor)


def _second_try(host: Any, data: Any, dtype: Any, error: Exception) -> Any:
    """What the direct way refused: tensors among the numbers, mixed kinds, or an error to explain."""
    if _has_tensor(data):
        return _host_array(host, _without_tensors(data), dtype)
    _check_regular(data)
    leaf = _bad_leaf(data)
    if leaf is not None:
        raise leaf
    if isinstance(error, OverflowError) and dtype is not None and dtype.category == dtypes.INTEGER:
        return _wrapped(host, data, dtype, error)
    if dtype is None:
        try:
            return _widest(host, data)
        except (TypeError, ValueError, KeyError):
            raise ArgumentValueError("tensor: Overflow when unpacking long long") from None
    raise error


def _wrapped(host: Any, data: Any, dtype: Any, error: Exception) -> Any:
    """Negative integers in an unsigned dtype wrap around; anything larger than the dtype is refused."""
    array = host.from_python(data, None)
    low, high = array.min(), array.max()
    bits = 8 * dtype.itemsize
    if not dtype.is_signed and host.dtype_of(array) is dtypes.int64 and high < 1 << bits and low >= -(1 << bits):
        return host.kernels["cast"](array, dtype)
    raise ArgumentError(f"tensor: value cannot be converted to type {dtype.name} without overflow; given: values from "
                        f"{low} to {high}") from error


def _check_regular(data: Any) -> None:
    """ValueError for sequences of unequal lengths, with the place."""
    level, dim = [data], 0
    while level and isinstance(level[0], (list, tuple)):
        length = len(level[0])
        for each in level:
            if not isinstance(each, (list, tuple)):
                raise ArgumentTypeError(f"tensor: expected a sequence of length {length} at dim {dim}, got "
                                        f"{type(each).__name__}: not a sequence")
            if len(each) != length:
                raise ArgumentValueError(f"expected sequence of length {length} at dim {dim} (got {len(each)})")
        level = [item for each in level for item in each]
        dim += 1
    nested = next((each for each in level if isinstance(each, (list, tuple))), None)
    if nested is not None:
        raise ArgumentTypeError(f"tensor: '{type(nested).__name__}' object cannot be interpreted as a number (at dim "
                                f"{dim})")


def _bad_leaf(data: Any, depth: int = 0) -> Exception | None:
    """The error for the first item that is no number, None if all are."""
    if isinstance(data, (list, tuple)):
        return next((found for found in (_bad_leaf(each, depth + 1) for each in data) if found is not None), None)
    if isinstance(data, (str, bytes)):
        name = type(data).__name__
        return ArgumentValueError(f"too many dimensions '{name}'") if depth else \
            ArgumentTypeError(f"new(): invalid data type '{name}'")
    if isinstance(data, (int, float, complex)) or hasattr(data, "__float__") or hasattr(data, "__array__"):
        return None
    return ArgumentError(f"Could not infer dtype of {type(data).__name__}; allowed: numbers and nested sequences of "
                         "them")


# ---------------------------------------------------------------------------------------------- sharing memory
@composite(method=False)
def from_numpy(ndarray: Any) -> Tensor:
    """A tensor over the memory of a NumPy array: changes show in both.

    Raises TypeError for anything else and for dtypes that no tensor has, ValueError for negative strides.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.from_numpy.html

    >>> import numpy
    >>> import flambeau as torch
    >>> torch.from_numpy(numpy.arange(3))
    tensor([0, 1, 2])
    """
    host = discovery.host()
    if not isinstance(ndarray, host.array_type):
        raise ArgumentTypeError(f"expected np.ndarray (got {type(ndarray).__name__})")
    array: Any = ndarray if ndarray.__class__ is host.array_type else host.as_array(ndarray)
    try:
        found = host.dtype_of(array)
    except KeyError:
        raise ArgumentTypeError(f"can't convert np.ndarray of type {array.dtype}. The only supported types are: "
                                f"{_SUPPORTED}.") from None
    if any(step < 0 for step in array.strides):
        raise ArgumentValueError(
            "At least one stride in the given numpy array is negative, and tensors with negative strides are not "
            "currently supported. (You can probably work around this by making a copy of your array with "
            "array.copy().)")
    if any(step % array.itemsize for step in array.strides):
        raise ArgumentValueError("given numpy array strides not a multiple of the element byte size. Copy the numpy "
                                 "array to reallocate the memory.")
    return make(array, discovery.kind_of(found, "cpu"))


@composite(samples=_samples_data, method=False)
def as_tensor(data: Any, dtype: Any = None, device: Any = None) -> Tensor:
    """`data` as a tensor, without a copy where dtype and device fit: a tensor itself, a NumPy array's memory.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.as_tensor.html

    >>> import flambeau as torch
    >>> torch.as_tensor([1, 2], dtype=torch.float32)
    tensor([1., 2.])
    """
    if isinstance(data, Tensor):
        return data.to(dtype=dtype, device=device)
    return _shared(data, dtype, device)


def _shared(data: Any, dtype: Any, device: Any) -> Tensor:
    host = discovery.host()
    if isinstance(data, host.array_type):
        where = get_default_device() if device is None else device
        return from_numpy(data).to(dtype=dtype, device=where)
    if hasattr(data, "__cuda_array_interface__") and hasattr(data, "__dlpack__"):
        return from_dlpack(data).to(dtype=dtype, device=device)
    return from_data(data, dtype, device)


@composite(samples=_samples_data, method=False)
def asarray(obj: Any, *, dtype: Any = None, device: Any = None, copy: bool | None = None,
            requires_grad: bool = False) -> Tensor:
    """Anything array-like as a tensor: tensors, NumPy arrays, DLPack objects, buffers, numbers and sequences.

    `copy=True` always copies, `copy=False` raises ValueError where that cannot be avoided.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.asarray.html

    >>> import flambeau as torch
    >>> torch.asarray([1., 2.])
    tensor([1., 2.])
    """
    shares = True
    if isinstance(obj, Tensor):
        result = obj if requires_grad or not obj.requires_grad else obj.detach()
    elif isinstance(obj, discovery.host().array_type):
        result = from_numpy(obj)
    elif hasattr(obj, "__dlpack__"):
        result = from_dlpack(obj)
    elif isinstance(obj, (bytes, bytearray, memoryview)):
        result = frombuffer(obj, dtype=dtype or dtypes.get_default_dtype())
    else:
        shares, result = False, from_data(obj, dtype, device)
    wanted = discovery.kind_of(result.dtype if dtype is None else dtype, result.device if device is None else device)
    if copy is False and (not shares or wanted is not result._kind):
        raise ArgumentValueError("asarray: can't alias arbitrary data without a copy; pass copy=None")
    converted = movement.convert(result, wanted)
    if copy and shares and converted._array is result._array:
        converted = converted.clone()
    if requires_grad and not converted.requires_grad:
        converted.requires_grad = True
    return converted


@composite(method=False)
def frombuffer(buffer: Any, *, dtype: Any, count: int = -1, offset: int = 0, requires_grad: bool = False) -> Tensor:
    """A one-dimensional tensor over the memory of a Python buffer, from byte `offset` on.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.frombuffer.html

    >>> import flambeau as torch
    >>> torch.frombuffer(bytearray(b"ab"), dtype=torch.uint8)
    tensor([97, 98], dtype=torch.uint8)
    """
    try:
        view = memoryview(buffer)
    except TypeError:
        raise ArgumentValueError(f"frombuffer: object does not implement Python buffer protocol; given: "
                                 f"{type(buffer).__name__}") from None
    kind = discovery.kind_of(dtypes.as_dtype(dtype), "cpu")
    size = kind.dtype.itemsize
    if view.nbytes == 0 or count == 0:
        raise ArgumentValueError(f"both buffer length ({view.nbytes}) and count ({count}) must not be 0")
    if not 0 <= offset < view.nbytes:
        raise ArgumentValueError(f"offset ({offset} bytes) must be non-negative and no greater than buffer length "
                                 f"({view.nbytes} bytes) minus 1")
    if count < 0:
        if (view.nbytes - offset) % size:
            raise ArgumentValueError(f"buffer length ({view.nbytes - offset} bytes) after offset ({offset} bytes) must "
                                     f"be a multiple of element size ({size})")
        count = (view.nbytes - offset) // size
    if offset + count * size > view.nbytes:
        raise ArgumentValueError(f"requested buffer length ({count} * {size} bytes) after offset ({offset} bytes) must "
                                 f"not be greater than actual buffer length ({view.nbytes} bytes)")
    if view.readonly:
        warnings.warn("The given buffer is not writable; writing to the tensor is undefined. Pass a bytearray or a "
                      "copy.", UserWarning, stacklevel=2)
    return finish(make(discovery.host().from_buffer(buffer, kind.dtype, count, offset), kind), None, requires_grad)


DLPACK_TYPES = {1: "cpu", 2: "cuda", 3: "cpu", 4: "opencl", 7: "vulkan", 8: "mps", 10: "rocm", 13: "cuda", 14: "xpu"}


@composite(method=False)
def from_dlpack(ext_tensor: Any, *, device: Any = None, copy: bool | None = None) -> Tensor:
    """A tensor over the memory of another library's array, through the DLPack protocol.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.from_dlpack.html

    >>> import numpy
    >>> import flambeau as torch
    >>> torch.from_dlpack(numpy.ones(2))
    tensor([1., 1.], dtype=torch.float64)
    """
    if isinstance(ext_tensor, Tensor):
        result = ext_tensor.detach()
    elif not hasattr(ext_tensor, "__dlpack_device__"):
        raise ArgumentTypeError(message("from_dlpack", "the object does not speak DLPack",
                                        given=type(ext_tensor).__name__,
                                        allowed="objects with __dlpack__ and __dlpack_device__"))
    else:
        type_, index = ext_tensor.__dlpack_device__()
        name = DLPACK_TYPES.get(int(type_), f"DLPack device type {int(type_)}")
        backend = discovery.backend_for(name)
        importer = backend.kernels.get("from_dlpack")
        if importer is None:
            raise DtypeError(f"from_dlpack: device {name!r} cannot import DLPack; copy through the host")
        array = importer(ext_tensor)
        where = name if backend.capabilities.host else f"{name}:{index}"
        result = make(array, discovery.kind_of(backend.dtype_of(array), where))
    moved = result if device is None else result.to(device)
    return moved.clone() if copy and moved._array is result._array else moved


# ---------------------------------------------------------------------------------------------- new_*
def attach_new(name: str, maker: Callable[..., Tensor]) -> None:
    """Attach `new_zeros` and its like: a factory with the tensor's dtype and device as defaults."""
    def method(self: Tensor, *args: Any, dtype: Any = None, device: Any = None, **options: Any) -> Tensor:
        return maker(*args, dtype=self._kind.dtype if dtype is None else dtype,
                     device=self._kind.device if device is None else device, **options)
    method.__name__ = method.__qualname__ = name
    method.__doc__ = f"`{name.removeprefix('new_')}` with this tensor's dtype and device as defaults."
    attach(method, name)


@attach
def new_tensor(self: Tensor, data: Any, *, dtype: Any = None, device: Any = None,
               requires_grad: bool = False) -> Tensor:
    """A tensor with a copy of `data`, of this tensor's dtype and device unless given."""
    wanted = self._kind.dtype if dtype is None else dtype
    where = self._kind.device if device is None else device
    result = _copied(data, wanted, where) if isinstance(data, Tensor) else from_data(data, wanted, where)
    if requires_grad:
        result.requires_grad = True
    return result
