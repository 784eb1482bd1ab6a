"""Python's and NumPy's protocols on tensors: numbers, lists, iteration, arrays, text."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from flambeau import discovery, dtypes
from flambeau.dispatch import composite
from flambeau.errors import ArgumentError, ArgumentTypeError, ArgumentValueError, DtypeError
from flambeau.graph import STATE
from flambeau.layouts import layout, strided
from flambeau.ops import _samples, construct
from flambeau.printing import format_tensor
from flambeau.tensor import Tensor, attach

_PYTHON = (float, int, bool, complex)


# ---------------------------------------------------------------------------------------------- numbers and lists
@attach
def item(self: Tensor) -> Any:
    """The only element as a Python number. RuntimeError where there are more or none.

    >>> import flambeau as torch
    >>> torch.tensor([2.5]).item()
    2.5
    """
    kernel = self._kind.kernels.get("item")
    if kernel is not None:
        try:
            value = kernel(self._array)
        except ValueError:
            raise _no_scalar(self) from None
        return value if value.__class__ in _PYTHON else float(value)
    if self.numel() != 1:
        raise _no_scalar(self)
    host = discovery.host()
    value = host.to_python(host.wrap(self._kind.backend.to_host(self._array)))
    while isinstance(value, list):
        value = value[0]
    return value


def _no_scalar(tensor: Tensor) -> ArgumentError:
    return ArgumentError(f"a Tensor with {tensor.numel()} elements cannot be converted to Scalar; "
                         "use tolist(), or index one element")


@attach
def tolist(self: Tensor) -> Any:
    """The elements as nested lists of Python numbers; one number for a 0-d tensor.

    >>> import flambeau as torch
    >>> torch.tensor([[1, 2], [3, 4]]).tolist()
    [[1, 2], [3, 4]]
    """
    host = discovery.host()
    return host.to_python(host.wrap(self._kind.backend.to_host(self._array)))


def _one_element(tensor: Tensor) -> Any:
    try:
        return item(tensor)
    except ArgumentError:
        raise ArgumentValueError("only one element tensors can be converted to Python scalars; given: shape "
                                 f"{list(tensor._array.shape)}") from None


@attach
def __bool__(self: Tensor) -> bool:
    kernel = self._kind.kernels.get("item")
    try:
        return bool(kernel(self._array) if kernel is not None else item(self))
    except (ValueError, ArgumentError):
        what = "no values" if self.numel() == 0 else "more than one value"
        raise ArgumentError(f"Boolean value of Tensor with {what} is ambiguous; use any() or all()") from None


@attach
def __int__(self: Tensor) -> int:
    value = _one_element(self)
    return int(_real(value, "long") if value.__class__ is complex else value)


@attach
def __float__(self: Tensor) -> float:
    value = _one_element(self)
    return float(_real(value, "double") if value.__class__ is complex else value)


@attach
def __complex__(self: Tensor) -> complex:
    return complex(_one_element(self))


def _real(value: complex, name: str) -> float:
    if value.imag:
        raise ArgumentError(f"value cannot be converted to type {name} without overflow; given: {value}; "
                            "take .real first")
    return value.real


@attach
def __index__(self: Tensor) -> int:
    if self._kind.dtype.category > dtypes.INTEGER or self.numel() != 1:
        raise ArgumentTypeError("only integer tensors of a single element can be converted to an index; given: "
                                f"{self._kind.dtype} of shape {list(self._array.shape)}")
    return int(item(self))


# ---------------------------------------------------------------------------------------------- containers
@attach
def __iter__(self: Tensor) -> Iterator[Tensor]:
    if not self._array.shape:
        raise ArgumentTypeError("iteration over a 0-d tensor")
    return iter(self.unbind(0))


@attach
def __contains__(self: Tensor, element: Any) -> bool:
    if not isinstance(element, (Tensor, int, float, complex)):
        raise ArgumentError("Tensor.__contains__ only supports Tensor or scalar, but you passed in a "
                            f"{type(element)}.")
    return bool((self == element).any().item())


@attach
def __reversed__(self: Tensor) -> Tensor:
    return self.flip(0) if self._array.shape else self


# ---------------------------------------------------------------------------------------------- text
@attach
def __repr__(self: Tensor, *, tensor_contents: str | None = None) -> str:
    before, STATE.enabled = STATE.enabled, False
    try:
        return format_tensor(self, tensor_contents=tensor_contents)
    finally:
        STATE.enabled = before


@attach
def __format__(self: Tensor, format_spec: str) -> str:
    if not self._array.shape and not self.is_meta and type(self) is Tensor:
        return format(item(self), format_spec)
    return object.__format__(self, format_spec)


# ---------------------------------------------------------------------------------------------- arrays
@attach
def numpy(self: Tensor, *, force: bool = False) -> Any:
    """The elements as a NumPy array over the same memory. With `force`, whatever it takes: detach, copy to the host.

    Raises RuntimeError for a tensor that requires a gradient, TypeError for another device's tensor and for dtypes
    that NumPy does not have.

    >>> import flambeau as torch
    >>> torch.ones(2).numpy()
    array([1., 1.], dtype=float32)
    """
    kind = self._kind
    if self._edge is not None and self.requires_grad and not force:
        raise ArgumentError("Can't call numpy() on Tensor that requires grad. Use tensor.detach().numpy() instead.")
    if not kind.backend.capabilities.host and not force:
        raise ArgumentTypeError(f"can't convert {kind.device} device type tensor to numpy. Use Tensor.cpu() to copy "
                                "the tensor to host memory first.")
    if kind.dtype is dtypes.bfloat16 or kind.dtype.name.startswith("float8"):
        name = {"bfloat16": "BFloat16"}.get(kind.dtype.name, kind.dtype.name.replace("float", "Float"))
        raise ArgumentTypeError(f"Got unsupported ScalarType {name}; convert with .float() first")
    return kind.backend.to_host(self._array)


@attach
def __array__(self: Tensor, dtype: Any = None, copy: bool | None = None) -> Any:
    array = numpy(self)
    if dtype is not None and array.dtype != dtype:
        if copy is False:
            raise ArgumentValueError(f"__array__: a cast from {array.dtype} to {dtype} needs a copy, and copy=False "
                                     "forbids it")
        return array.astype(dtype)
    return array.copy() if copy else array


@attach
def __array_wrap__(self: Tensor, array: Any, context: Any = None, return_scalar: bool = False) -> Any:
    return construct.from_numpy(discovery.host().as_array(array))


_DEVICE_TYPES = {name: number for number, name in reversed(construct.DLPACK_TYPES.items())}


def _exported(self: Tensor) -> Any:
    """An object over the tensor's memory that other libraries understand."""
    exported = self._kind.kernels.get("exported")
    return self._array if exported is None else exported(self._array)


def _cuda_array_interface(self: Tensor) -> dict[str, Any]:
    """The memory of a tensor on a CUDA device, as Numba and its like read it. AttributeError for other tensors.

    Source: https://numba.readthedocs.io/en/stable/cuda/cuda_array_interface.html
    """
    exported = _exported(self)
    if not hasattr(exported, "__cuda_array_interface__"):
        raise AttributeError(f"Can't get __cuda_array_interface__ on non-CUDA tensor type: {self.type()} If CUDA data "
                             "is required use tensor.cuda() to copy tensor to device memory.")
    if self.requires_grad:
        raise ArgumentError("Can't get __cuda_array_interface__ on Variable that requires grad. If gradients aren't "
                            "required, use var.detach() to get Variable that doesn't require grad.")
    return exported.__cuda_array_interface__


attach(property(_cuda_array_interface), "__cuda_array_interface__")


@attach
def __dlpack__(self: Tensor, *, stream: Any = None, max_version: tuple[int, int] | None = None,
               dl_device: Any = None, copy: bool | None = None) -> Any:
    if self.requires_grad:
        raise BufferError("Can't export tensors that require gradient, use tensor.detach()")
    exporter = getattr(_exported(self), "__dlpack__", None)
    if exporter is None:
        raise DtypeError(f"__dlpack__: device {str(self.device)!r} cannot export DLPack; copy with .cpu() first")
    options = {"stream": stream, "max_version": max_version, "dl_device": dl_device, "copy": copy}
    given = {name: value for name, value in options.items() if value is not None}
    try:
        return exporter(**given)
    except TypeError:  # an older exporter: the protocol lets it ignore which version the importer speaks
        given.pop("max_version", None)
        return exporter(**given)


@attach
def __dlpack_device__(self: Tensor) -> tuple[int, int]:
    exporter = getattr(_exported(self), "__dlpack_device__", None)
    if exporter is not None:
        return exporter()
    return _DEVICE_TYPES.get(self._kind.device.type, 12), self._kind.index


# ---------------------------------------------------------------------------------------------- memory
@attach
def data_ptr(self: Tensor) -> int:
    """The address of the first element; where a backend has no addresses, a number that identifies the place."""
    kind = self._kind
    address = kind.kernels.get("data_ptr")
    if address is not None:
        return address(self._array)
    return id(kind.backend.storage(self._array)) + kind.backend.layout(self._array)[1] * kind.dtype.itemsize


def _layout(self: Tensor) -> layout:
    """How the elements are stored: always `torch.strided`."""
    return strided


attach(property(_layout), "layout")


# ---------------------------------------------------------------------------------------------- questions
@composite(samples=_samples.on(((2, 3),)), method=False)
def is_tensor(obj: Any, /) -> bool:
    """Whether an object is a tensor.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.is_tensor.html

    >>> import flambeau as torch
    >>> torch.is_tensor(torch.ones(1)), torch.is_tensor([1.])
    (True, False)
    """
    return isinstance(obj, Tensor)


@composite(samples=_samples.on(((2, 3),)), method=False)
def numel(input: Tensor) -> int:
    """The number of elements.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.numel.html

    >>> import flambeau as torch
    >>> torch.numel(torch.ones(2, 3))
    6
    """
    return input.numel()


@composite(samples=_samples.on(((2, 3),)), method=False)
def is_floating_point(input: Tensor) -> bool:
    """Whether the dtype is a real floating type.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.is_floating_point.html

    >>> import flambeau as torch
    >>> torch.is_floating_point(torch.ones(1))
    True
    """
    return input.is_floating_point()


@composite(samples=_samples.on(((2, 3),)), method=False)
def is_complex(input: Tensor) -> bool:
    """Whether the dtype is complex.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.is_complex.html

    >>> import flambeau as torch
    >>> torch.is_complex(torch.ones(1))
    False
    """
    return input.is_complex()


@composite(samples=_samples.on(((),), ((1,),)), method=False)
def is_nonzero(input: Tensor) -> bool:
    """Whether the only element is not zero. RuntimeError where there are more or none.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.is_nonzero.html

    >>> import flambeau as torch
    >>> torch.is_nonzero(torch.tensor([1.]))
    True
    """
    return bool(input)


attach(is_nonzero)
