"""Tensors in pickles: the functions that a pickle calls to make them, and what a tensor says when it is pickled.

The functions with an underscore carry PyTorch's names and arguments, because files name them so: the `.pth` format is
these calls. Plain `pickle`, `copy.copy` and `copy.deepcopy` use them too; there a storage is an ordinary object of the
pickle, so tensors that share memory still do afterwards.
"""

from __future__ import annotations

import sys
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from flambeau.device import device
from flambeau.dtypes import dtype
from flambeau.errors import GraphError
from flambeau.serialization.storage import FileFormatError, TypedStorage, UntypedStorage

if TYPE_CHECKING:
    from flambeau.tensor import Tensor

Storage = UntypedStorage | TypedStorage
Reduced = tuple[Callable[..., Any], tuple[Any, ...]]


def _rebuild_storage(data: bytearray, where: str) -> UntypedStorage:
    """The storage of a plain pickle."""
    return UntypedStorage.from_buffer(memoryview(data), device(where))


def _rebuild_tensor(storage: TypedStorage, storage_offset: int, size: Sequence[int], stride: Sequence[int]) -> Tensor:
    """The layout of PyTorch before 0.4: no gradient flag."""
    return storage.untyped().tensor(_typed(storage), size, stride, storage_offset)


def _rebuild_tensor_v2(storage: TypedStorage, storage_offset: int, size: Sequence[int], stride: Sequence[int],
                       requires_grad: bool, backward_hooks: Any, metadata: Mapping[str, Any] | None = None) -> Tensor:
    """The usual layout: the storage knows the dtype."""
    return _rebuild_tensor_v3(storage, storage_offset, size, stride, requires_grad, backward_hooks, _typed(storage),
                              metadata)


def _rebuild_tensor_v3(storage: Storage, storage_offset: int, size: Sequence[int], stride: Sequence[int],
                       requires_grad: bool, backward_hooks: Any, dtype: dtype,
                       metadata: Mapping[str, Any] | None = None) -> Tensor:
    """The layout for dtypes that have no storage class of their own: the dtype is written with the tensor."""
    tensor = storage.untyped().tensor(dtype, size, stride, storage_offset)
    for name, is_set in (metadata or {}).items():
        if name not in ("conj", "neg"):
            raise FileFormatError(f"load: tensors with {str(name)[:50]!r} are not supported; allowed: 'conj', 'neg'")
        if is_set and not storage.untyped().is_filled:
            raise FileFormatError("load: a lazily conjugated or negated tensor in the format before the zip one is not "
                                  "supported; in PyTorch, save it in the zip format")
        if is_set:  # PyTorch's lazy conjugate and negative: here they are values like any others
            tensor = tensor.conj().resolve_conj() if name == "conj" else tensor.neg()
    if requires_grad:
        tensor.requires_grad_(True)
    return tensor


def _rebuild_parameter(data: Tensor, requires_grad: bool, backward_hooks: Any) -> Any:
    """A parameter over a tensor."""
    from flambeau.nn import Parameter

    return Parameter(data, requires_grad)


def _rebuild_parameter_with_state(data: Tensor, requires_grad: bool, backward_hooks: Any, state: Any) -> Any:
    """A parameter over a tensor, with attributes of the user's."""
    return with_attributes(_rebuild_parameter(data, requires_grad, backward_hooks), state)


def _rebuild_from_type_v2(func: Callable[..., Any], new_type: type[Any], args: tuple[Any, ...], state: Any) -> Any:
    """A tensor of a subclass, or with attributes of the user's."""
    from flambeau.tensor import Tensor

    result = func(*args)
    if type(result) is not new_type:
        result = result.as_subclass(new_type)
    setter = getattr(new_type, "__setstate__", None)
    if setter is not None and setter is not getattr(Tensor, "__setstate__", None):
        setter(result, state)
        return result
    return with_attributes(result, state)


def with_attributes(tensor: Any, state: Any) -> Any:
    """Set the attributes that a user once set on a tensor; never one that the tensor's class defines."""
    parts = state if isinstance(state, tuple) else (state,)  # (__dict__, slots)
    if len(parts) > 2 or not all(part is None or isinstance(part, dict) for part in parts):
        raise FileFormatError("load: a tensor's attributes must be a dict; the file is damaged")
    for name, value in (item for part in parts if part for item in part.items()):
        if not isinstance(name, str) or hasattr(type(tensor), name) or is_internal(name):
            raise FileFormatError(f"load: {str(name)[:50]!r} is no attribute that can be set on a tensor; the file is "
                                  "damaged or was tampered with")
        tensor.__dict__[name] = value
    return tensor


def is_a(tensor: Any, name: str) -> bool:
    """Whether a tensor is a "Parameter" or a "Buffer"; asked without importing `nn` where nothing else has."""
    module = sys.modules.get("flambeau.nn.parameter")
    return module is not None and isinstance(tensor, getattr(module, name))


def is_internal(name: str) -> bool:
    """Whether a name in a tensor's `__dict__` is Flambeau's own and not the user's."""
    from flambeau.tensor import Tensor

    return name in Tensor.__annotations__ or name.startswith("__") or (name.startswith("_") and hasattr(Tensor, name))


def attributes(tensor: Tensor) -> dict[str, Any]:
    """What a user has set on a tensor."""
    return {name: value for name, value in tensor.__dict__.items() if not is_internal(name)}


def _typed(storage: Any) -> dtype:
    if not isinstance(storage, TypedStorage):
        raise FileFormatError(f"load: a tensor needs a storage with a dtype, not {type(storage).__name__}")
    return storage.dtype


def _plain_layout(tensor: Tensor) -> Reduced:
    """How a plain pickle makes a tensor: over a storage that is an object of the pickle, always with its dtype."""
    return _rebuild_tensor_v3, (UntypedStorage.of(tensor), tensor.storage_offset(), tuple(tensor.shape),
                                tuple(tensor.stride()), tensor.requires_grad, OrderedDict(), tensor.dtype)


def reduce_tensor(tensor: Tensor, protocol: Any = 2, layout: Callable[[Tensor], Reduced] = _plain_layout) -> Reduced:
    """What `Tensor.__reduce_ex__` returns: parameters, subclasses and attributes of the user's included.

    `layout` says how the memory is described: files have a way of their own.
    """
    from flambeau.tensor import Tensor

    state = attributes(tensor)
    if is_a(tensor, "Parameter"):
        arguments: tuple[Any, ...] = (tensor.data, tensor.requires_grad, OrderedDict())
        return (_rebuild_parameter_with_state, (*arguments, state)) if state else (_rebuild_parameter, arguments)
    make, arguments = layout(tensor)
    if type(tensor) is Tensor and not state:
        return make, arguments
    return _rebuild_from_type_v2, (make, type(tensor), arguments, state)


def deepcopy_tensor(tensor: Any, memo: dict[int, Any]) -> Any:
    """What `Tensor.__deepcopy__` returns: a leaf over copied memory, shared with the other copies of that memory.

    The gradient and the user's attributes are copied too. RuntimeError for a tensor that an operator has made.
    """
    import copy

    if id(tensor) in memo:
        return memo[id(tensor)]
    if not tensor.is_leaf:
        raise GraphError("deepcopy: the tensor was made by an operator, and a copy would lose its place in the graph; "
                         "allowed: leaves; copy x.detach() instead, or use x.clone() to stay in the graph")
    storage = copy.deepcopy(UntypedStorage.of(tensor), memo)
    result: Any = storage.tensor(tensor.dtype, tensor.shape, tensor.stride(), tensor.storage_offset())
    if type(tensor) is not type(result):
        result = result.as_subclass(type(tensor))
    result.requires_grad_(tensor.requires_grad)
    memo[id(tensor)] = result
    if tensor.grad is not None:
        result.grad = copy.deepcopy(tensor.grad, memo)
    result.__dict__.update(copy.deepcopy(attributes(tensor), memo))
    return result
