"""`DenseBackend`: the contract for devices whose library has dense arrays only, possibly immutable ones.

The core wants views: two arrays over one memory, where writing to one shows in the other. Here a view is metadata
over an *owner*, which holds the dense array with the present contents of the memory. A kernel gets dense arrays, cut
out where a view is no whole array; writing to a view gives the owner a new dense array, which all views see.

So an author gives dense arrays, kernels on them, and two methods: `window` and `replaced`.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from typing import Any, ClassVar

from flambeau.backend import Array, Backend, Kernel
from flambeau.dtypes import dtype
from flambeau.shapes import contiguous_strides, is_contiguous

_WRITING = threading.Lock()
_NUMBERS = (bool, int, float, complex)


class DenseView:
    """A strided view of the elements, in row-major order, of the dense array that its owner holds."""

    __slots__ = ("contents", "element", "offset", "owner", "shape", "strides")

    def __init__(self, owner: DenseView | None, element: dtype, shape: tuple[int, ...], strides: tuple[int, ...],
                 offset: int = 0, contents: Any = None) -> None:
        self.owner = owner          # None: this is the owner, and has `contents`
        self.element = element
        self.shape, self.strides, self.offset = shape, strides, offset
        self.contents = contents


class DenseBackend(Backend):
    """A backend whose author has dense arrays and no views. Subclass it in place of `Backend`.

    What the author gives beside `name`, `capabilities` (with `strided_views=False`), `device_count` and `properties`
    has "dense" in its name; dense arrays have a `shape`, and nothing here ever changes one. The kernels of
    `dense_kernels` take and give dense arrays and know no `out=`; they may give one of their arguments back. The one
    for `reinterpret`, without which there are no complex numbers, is called for a whole array: as
    `(array, (count,), (1,), 0, dtype)` it gives all its bytes as one row of another dtype.
    """

    dense_type: ClassVar[type]                  # results of another type go through `dense_as_array`
    dense_kernels: dict[str, Kernel]            # operator name -> callable on dense arrays
    array_type = DenseView

    def __init__(self) -> None:
        self.kernels = {name: self._on_views(kernel) for name, kernel in self.dense_kernels.items()}
        if "reinterpret" in self.kernels:
            self.kernels["reinterpret"] = self._reinterpret

    # -- what the author gives
    def dense_empty(self, shape: tuple[int, ...], dtype: dtype, index: int) -> Any:
        """A new dense array with any contents."""
        raise NotImplementedError

    def dense_from_host(self, array: Any, index: int) -> Any:
        """Copy a host array (a NumPy array, any strides) to a dense array on device `index`."""
        raise NotImplementedError

    def dense_to_host(self, array: Any) -> Any:
        """Copy a dense array to a host array (a NumPy array)."""
        raise NotImplementedError

    def dense_dtype_of(self, array: Any) -> dtype:
        """The dtype of a dense array's elements."""
        raise NotImplementedError

    def dense_as_array(self, value: Any) -> Any:
        """Turn what a kernel returned instead of a dense array into one."""
        raise NotImplementedError

    def window(self, array: Any, shape: tuple[int, ...], strides: tuple[int, ...], offset: int) -> Any:
        """A new dense array of this shape, with what lies at `offset + index * strides` among all elements of `array`
        in row-major order. A stride may be 0, and windows may overlap themselves."""
        raise NotImplementedError

    def replaced(self, array: Any, part: Any, strides: tuple[int, ...], offset: int) -> Any:
        """A dense array like `array`, in which the elements that `window` would read are those of `part`. No place is
        named twice. `array` itself does not change."""
        raise NotImplementedError

    # -- what the core calls
    def empty(self, shape: tuple[int, ...], dtype: dtype, index: int) -> Array:
        return self._own(self.dense_empty(shape, dtype, index))

    def from_host(self, array: Any, index: int) -> Array:
        return self._own(self.dense_from_host(array, index))

    def to_host(self, array: Array) -> Any:
        return self.dense_to_host(self.dense(array))

    def copy(self, target: Array, source: Array) -> None:
        missing = len(target.shape) - len(source.shape)
        strides = (0,) * missing + tuple([
            0 if size == 1 else stride for size, stride in zip(source.shape, source.strides, strict=True)])
        spread = DenseView(source.owner or source, source.element, target.shape, strides, source.offset)
        values = self.dense(source if source.shape == target.shape else spread)
        if source.element is not target.element:
            values = self.dense_kernels["cast"](values, target.element)
        self._write(target, values)

    def as_strided(self, array: Array, shape: tuple[int, ...], strides: tuple[int, ...], offset: int) -> Array:
        return self._view(array, shape, strides, offset, array.element)

    def layout(self, array: Array) -> tuple[tuple[int, ...], int]:
        return array.strides, array.offset

    def storage(self, array: Array) -> Array:
        return array.owner or array

    def dtype_of(self, array: Array) -> dtype:
        return array.element

    def as_array(self, value: Any) -> Array:
        return self._own(value)

    # -- views made of dense arrays, and back
    def dense(self, array: DenseView) -> Any:
        """The dense array with the elements of a view."""
        contents = self._contents(array)
        if not array.offset and contents.shape == array.shape and is_contiguous(array.shape, array.strides):
            return contents
        return self.window(contents, array.shape, array.strides, array.offset)

    def _own(self, contents: Any) -> DenseView:
        """An owner for what is new."""
        if not isinstance(contents, self.dense_type):
            contents = self.dense_as_array(contents)
        shape = tuple(contents.shape)
        return DenseView(None, self.dense_dtype_of(contents), shape, contiguous_strides(shape), 0, contents)

    def _contents(self, array: DenseView) -> Any:
        """What the view's owner holds, in the view's own dtype."""
        owner = array.owner or array
        return self._as(owner.contents, owner.element, array.element)

    def _as(self, contents: Any, found: dtype, wanted: dtype) -> Any:
        if found is wanted:
            return contents
        count = math.prod(contents.shape) * found.itemsize // wanted.itemsize
        return self.dense_kernels["reinterpret"](contents, (count,), (1,), 0, wanted)

    def _write(self, target: DenseView, values: Any) -> None:
        """Let the owner hold contents in which the view's elements are `values`, of the same shape and dtype."""
        owner = target.owner or target
        if target is owner and is_contiguous(target.shape, target.strides):
            owner.contents = values
            return
        with _WRITING:  # or of two threads that write to different places of one memory, one would undo the other
            contents = self.replaced(self._contents(target), values, target.strides, target.offset)
            owner.contents = self._as(contents, target.element, owner.element)

    def _view(self, array: DenseView, shape: tuple[int, ...], strides: tuple[int, ...], offset: int,
              element: dtype) -> DenseView:
        owner = array.owner or array
        last = offset + sum([(size - 1) * stride for size, stride in zip(shape, strides, strict=True)])
        if 0 not in shape and (last + 1) * element.itemsize > math.prod(owner.contents.shape) * owner.element.itemsize:
            raise ValueError(f"a view of shape {list(shape)} with strides {list(strides)} and offset {offset} does not "
                             "lie within its memory")
        return DenseView(owner, element, tuple(shape), tuple(strides), offset)

    def _reinterpret(self, array: DenseView, size: tuple[int, ...], strides: tuple[int, ...], offset: int,
                     dtype: dtype) -> DenseView:
        return self._view(array, size, strides, offset, dtype)

    def _on_views(self, kernel: Kernel) -> Callable[..., Any]:
        """The kernel that the core calls, from one on dense arrays."""
        def call(*args: Any, out: DenseView | None = None) -> Any:
            result = kernel(*[self._plain(each) for each in args])
            if result is NotImplemented:
                return result
            if out is not None:
                if tuple(result.shape) != out.shape:
                    raise ValueError(f"a result of shape {list(result.shape)} does not fit {list(out.shape)}")
                self._write(out, result)
                return out
            if result.__class__ is tuple:
                return tuple([self._own(each) for each in result])
            return result if result.__class__ in _NUMBERS else self._own(result)
        return call

    def _plain(self, value: Any) -> Any:
        if value.__class__ is DenseView:
            return self.dense(value)
        if value.__class__ is list:
            return [self._plain(each) for each in value]
        return value
