"""`Tensor`: an array of some backend, its kind, and the bookkeeping of gradients, views and versions. No mathematics.

Attributes are set by the dispatcher directly, and those that most tensors never need are defaults on the class, so
that making a tensor costs two assignments:

    _array    the backend's array
    _kind     the interned (dtype, device), see `discovery.Kind`
    _edge     (node, output number) that gradients of this tensor flow to; None: no gradient is wanted
    _counter  a one-element list shared by all tensors over the same memory, counting in-place changes; None: never
              changed and not shared
    _view     how this tensor was made from another one, see `View`; None: it is no view
    _grad     the accumulated gradient of a leaf

Higher layers attach what needs them to `TensorMethods`, the empty base: `graph` the gradient methods, `ops` the
operators and Python's protocols. `attach` does it for one function or property.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flambeau import shapes
from flambeau._methods import TensorMethods
from flambeau.device import device
from flambeau.discovery import Kind
from flambeau.dtypes import dtype
from flambeau.errors import ArgumentError, ArgumentTypeError, message
from flambeau.shapes import Size

Array = Any
Edge = tuple[Any, int]

new = object.__new__


class View:
    """How a view was made: `record` with `args` applied to `parent`, at a version of their memory.

    `version` is the version at which the tensor's gradient edge was computed; when the memory has changed since, the
    edge is made anew from the parent's (see `graph.edge_of`).
    """

    made_in_no_grad = False
    several = False      # one of the views that a call gave together, such as split's

    def __init__(self, parent: Tensor, record: Any, args: tuple[Any, ...], version: int) -> None:
        self.parent = parent
        self.record = record
        self.args = args
        self.version = version


class Tensor(TensorMethods):
    """A multi-dimensional array with elements of one dtype on one device.

    Made by factories such as `tensor()`, `zeros()`, `from_numpy()`, not by calling the class with a shape (which
    works as in PyTorch, and gives uninitialised float32).

    >>> import flambeau as torch
    >>> torch.tensor([[1., 2.], [3., 4.]]).sum(dim=0)
    tensor([4., 6.])
    """

    __module__ = "flambeau"
    __array_priority__ = 1000  # NumPy's binary operators defer to ours

    _array: Array
    _kind: Kind
    _edge: Edge | None = None
    _counter: list[int] | None = None
    _view: View | None = None
    _grad: Tensor | None = None
    _inference = False
    _retains_grad = False
    _post_accumulate_hooks: dict[int, Callable[..., Any]] | None = None

    def __new__(cls, *args: Any, **kwargs: Any) -> Tensor:
        return cls._legacy_new(*args, **kwargs)  # type: ignore[attr-defined]  # attached by ops.legacy

    # -- what it is
    @property
    def shape(self) -> Size:
        """The sizes of the dimensions."""
        return Size(self._array.shape)

    @property
    def dtype(self) -> dtype:
        """The type of the elements."""
        return self._kind.dtype

    @property
    def device(self) -> device:
        """Where the elements are."""
        return self._kind.device

    @property
    def ndim(self) -> int:
        """The number of dimensions."""
        return len(self._array.shape)

    def dim(self) -> int:
        """The number of dimensions."""
        return len(self._array.shape)

    def size(self, dim: int | None = None) -> Any:
        """The shape, or the size of one dimension."""
        shape = self._array.shape
        return Size(shape) if dim is None else shape[shapes.wrap_dim(dim, len(shape))]

    def numel(self) -> int:
        """The number of elements."""
        return Size(self._array.shape).numel()

    nelement = numel

    def element_size(self) -> int:
        """Bytes per element."""
        return self._kind.dtype.itemsize

    @property
    def itemsize(self) -> int:
        """Bytes per element."""
        return self._kind.dtype.itemsize

    @property
    def nbytes(self) -> int:
        """Bytes of all elements."""
        return self.numel() * self._kind.dtype.itemsize

    def stride(self, dim: int | None = None) -> Any:
        """The strides in elements, or that of one dimension."""
        strides = self._kind.backend.layout(self._array)[0]
        return strides if dim is None else strides[shapes.wrap_dim(dim, len(strides))]

    def storage_offset(self) -> int:
        """The index of the first element in its storage."""
        return self._kind.backend.layout(self._array)[1]

    def is_contiguous(self, memory_format: Any = None) -> bool:
        """Whether the elements lie in row-major order without gaps."""
        if memory_format is not None and memory_format.name.startswith("channels_last"):
            shape, strides = self._array.shape, self._kind.backend.layout(self._array)[0]
            wanted = shapes.channels_last_strides(shape) if len(shape) in (4, 5) else ()
            return len(wanted) > 0 and all(
                size == 1 or have == want for size, have, want in zip(shape, strides, wanted, strict=True))
        return self._kind.backend.is_contiguous(self._array)

    def is_floating_point(self) -> bool:
        """Whether the dtype is a real floating type."""
        return self._kind.dtype.is_floating_point

    def is_complex(self) -> bool:
        """Whether the dtype is complex."""
        return self._kind.dtype.is_complex

    def is_signed(self) -> bool:
        """Whether the dtype has negative values."""
        return self._kind.dtype.is_signed

    def get_device(self) -> int:
        """The index of the device; -1 on the host."""
        index = self._kind.device.index
        return -1 if index is None else index

    # -- memory shared with other tensors
    @property
    def _version(self) -> int:
        """How often the memory was changed in place."""
        return 0 if self._counter is None else self._counter[0]

    def detach(self) -> Tensor:
        """A tensor over the same memory that is cut off from the graph. Shares the version counter."""
        result = alias(self)
        result._counter = version_cell(self)
        return result

    @property
    def data(self) -> Tensor:
        """The same memory without gradient and without a shared version counter. Settable."""
        return alias(self)

    @data.setter
    def data(self, value: Tensor) -> None:
        if not isinstance(value, Tensor):
            raise ArgumentTypeError(f"Variable data has to be a tensor, but got {type(value).__name__}")
        if self._edge is not None and not value._kind.differentiable:
            raise ArgumentError(message("data", "data set to a tensor that requires gradients must be floating point "
                                        "or complex dtype", given=str(value.dtype)))
        self._array = value._array
        self._kind = value._kind
        if self._edge is not None and self._edge[0].is_accumulator:  # gradients are to fit the new values
            self._edge[0].shape, self._edge[0].kind = value._array.shape, value._kind

    @property
    def _base(self) -> Tensor | None:
        view = self._view
        if view is None:
            return None
        while view.parent._view is not None:
            view = view.parent._view
        return view.parent

    def _is_view(self) -> bool:
        return self._view is not None

    def is_inference(self) -> bool:
        """Whether the tensor was made under `inference_mode`."""
        base = self._base
        return self._inference or (base is not None and base._inference)

    # -- properties of the kinds of tensors that exist only as False here
    is_sparse = False
    is_quantized = False
    is_nested = False
    is_mkldnn = False
    is_sparse_csr = False

    @property
    def is_cpu(self) -> bool:
        """Whether the elements are in host memory."""
        return self._kind.backend.capabilities.host

    @property
    def is_cuda(self) -> bool:
        """Whether the device type is "cuda"."""
        return self._kind.device.type == "cuda"

    @property
    def is_xpu(self) -> bool:
        """Whether the device type is "xpu"."""
        return self._kind.device.type == "xpu"

    @property
    def is_mps(self) -> bool:
        """Whether the device type is "mps"."""
        return self._kind.device.type == "mps"

    @property
    def is_meta(self) -> bool:
        """Whether the tensor has no data."""
        return self._kind.device.type == "meta"

    def __len__(self) -> int:
        shape = self._array.shape
        if not shape:
            raise ArgumentTypeError("len() of a 0-d tensor")
        return int(shape[0])

    def __hash__(self) -> int:
        return id(self)

    @staticmethod
    def _make_subclass(cls: type[Tensor], data: Tensor, require_grad: bool = False) -> Any:
        """A tensor of a subclass over the memory of `data`, as a leaf."""
        result: Tensor = new(cls)
        result._array = data._array
        result._kind = data._kind
        if require_grad:
            result.requires_grad = True
        return result

    def as_subclass(self, cls: type[Tensor]) -> Any:
        """This tensor's memory and gradient history as an instance of `cls`."""
        result: Tensor = new(cls)
        result.__dict__.update(self.__dict__)
        return result


def attach(member: Any, *names: str) -> Any:
    """Make a function or property a member of every tensor, under its own name or the names given; returns it."""
    function: Any = member.fget if isinstance(member, property) else member
    for name in names or (function.__name__,):
        setattr(TensorMethods, name, member)
    return member


def make(array: Array, kind: Kind) -> Tensor:
    """A tensor over an array of the kind's backend."""
    result: Tensor = new(Tensor)
    result._array = array
    result._kind = kind
    return result


def alias(tensor: Tensor) -> Tensor:
    """Another tensor over the same array, without gradient."""
    result: Tensor = new(Tensor)
    result._array = tensor._array
    result._kind = tensor._kind
    return result


def version_cell(tensor: Tensor) -> list[int]:
    """The version counter of a tensor's memory, made when first shared or changed."""
    cell = tensor._counter
    if cell is None:
        cell = tensor._counter = [0]
    return cell
