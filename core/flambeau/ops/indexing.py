"""Indexing with brackets, to read and to write, and the operators behind it.

Whole numbers and slices of a key are one view, `index_basic`, made by a single kernel call; new dimensions are
`unsqueeze`. Tensors, lists and masks are then looked up by `index` or written by `index_put_`, on that view. As in
PyTorch, and unlike NumPy, whole numbers therefore do not count as advanced indices.

A canonical basic key is a tuple of ints, slices and exactly one Ellipsis: NumPy gives a view for any such key.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

from flambeau import dtypes, shapes
from flambeau.discovery import Kind
from flambeau.dispatch import composite, front, modes, operator, primitive, view as view_rule
from flambeau.dispatch.run import bump
from flambeau.errors import (
    ArgumentError,
    ArgumentTypeError,
    ArgumentValueError,
    DeviceError,
    DimensionError,
    DtypeError,
    ShapeError,
    message,
)
from flambeau.graph import Node
from flambeau.ops import _samples, construct, creation, rules
from flambeau.ops.mutation import mutate
from flambeau.ops.shape import _alias
from flambeau.shapes import Shape
from flambeau.tensor import Tensor, attach

Key = tuple[Any, ...]
Layout = tuple[Shape, Shape, int]

WHOLE = slice(None)
_INDEX_DTYPES = (dtypes.int64, dtypes.int32)
_MASKS = (dtypes.bool_, dtypes.uint8)


# ---------------------------------------------------------------------------------------------- the basic part
def _basic_name(node: Node) -> str:
    """The last step that PyTorch would take for the key."""
    for item in reversed(node.saved[0] if node.saved else ()):
        if item is Ellipsis or item == WHOLE:
            continue
        return "SliceBackward0" if item.__class__ is slice else "SelectBackward0"
    return "SliceBackward0"


@view_rule(vjp={"input": lambda g, key, input_shape: _index_basic_backward(g, input_shape, key)}, method=False,
           grad_name=_basic_name, samples=_samples.index_basic)
def _index_basic(shape: Shape, strides: Shape, offset: int, key: Key) -> Layout:
    """Pick along dimensions by ints, slices and one Ellipsis."""
    extra = len(shape) - (len(key) - 1)
    if extra < 0:
        raise _too_many(shape)
    sizes: list[int] = []
    steps: list[int] = []
    dim = 0
    for item in key:
        if item is Ellipsis:
            sizes.extend(shape[dim:dim + extra])
            steps.extend(strides[dim:dim + extra])
            dim += extra
            continue
        size = shape[dim]
        if item.__class__ is slice:
            start, stop, step = item.indices(size)
            sizes.append(max(0, -(-(stop - start) // step)))
            steps.append(strides[dim] * step)
            offset += start * strides[dim]
        else:
            if not -size <= item < size:
                raise DimensionError(f"index {item} is out of bounds for dimension {dim} with size {size}")
            offset += (item + size if item < 0 else item) * strides[dim]
        dim += 1
    return tuple(sizes), tuple(steps), offset


def _too_many(shape: Shape) -> DimensionError:
    if not shape:
        return DimensionError("invalid index of a 0-dim tensor. Use `tensor.item()` in Python to convert a 0-dim "
                              "tensor to a number")
    return DimensionError(f"too many indices for tensor of dimension {len(shape)}")


@operator(vjp={"input": lambda g, key: _index_basic(g, key)}, method=False, dtype_rule="any",
          grad_name="SliceBackward0", samples=_samples.index_basic_backward)
def _index_basic_backward(input: Tensor, size: Shape, key: Key) -> Tensor:
    """Zeros of shape `size` with the input in the place that `key` picks."""
    result = input.new_zeros(size)
    _index_basic(result, key).copy_(input)
    return result


def _basic(input: Tensor, key: Key) -> Tensor:
    """The view for a canonical basic key; IndexError in PyTorch's words."""
    try:
        return _index_basic(input, key)
    except IndexError as error:
        if not isinstance(error, DimensionError):
            shape = input._array.shape
            _index_basic.op.function(shape, (0,) * len(shape), 0, key)  # type: ignore[attr-defined]
        raise


def _checked_slice(item: slice) -> slice:
    if item.step is not None and item.step.__index__() < 1:
        raise ArgumentValueError(message("", "step must be greater than zero", given=str(item.step),
                                         next_step="use .flip(dim) for the reverse order"))
    return item


# ---------------------------------------------------------------------------------------------- reading keys
def __getitem__(self: Tensor, key: Any) -> Tensor:
    """The part of a tensor that a key picks: a view for ints, slices, None and Ellipsis, else a copy."""
    kind = key.__class__
    if kind is int:
        return _basic(self, (key, ...))
    basic = _canonical(key)
    if basic is not None:
        return _basic(self, basic)
    if key is Ellipsis:
        return _alias(self)
    if kind is Tensor and _is_lookup(self, key):
        return _index(self, [key])
    view, indices = _resolve(self, key)
    return view if indices is None else _index(view, indices)


def _canonical(key: Any) -> Key | None:
    """The canonical basic key where only ints, slices and an Ellipsis are in play; else None."""
    kind = key.__class__
    if kind is slice:
        return (key if key.step is None else _checked_slice(key), ...)
    if kind is not tuple:
        return None
    dots = False
    for item in key:
        each = item.__class__
        if each is int:
            continue
        if each is slice:
            if item.step is not None:
                _checked_slice(item)
        elif item is Ellipsis and not dots:
            dots = True
        else:
            return None
    return key if dots else (*key, ...)


def _is_lookup(input: Tensor, key: Tensor) -> bool:
    """Whether one tensor as the whole key can be looked up as it is."""
    where = key._array.shape
    if not where or not input._array.shape or key._kind.device is not input._kind.device:
        return False
    kind = key._kind.dtype
    return kind is dtypes.int64 or (kind is dtypes.bool_ and where == input._array.shape[:len(where)])


_REAL = (float, int, bool)


def __setitem__(self: Tensor, key: Any, value: Any) -> None:
    """Write values, cast and broadcast, to the part of a tensor that a key picks."""
    basic = (key, ...) if key.__class__ is int else _canonical(key)
    indices: list[Tensor | None] | None = None
    if basic is not None:
        view = _basic(self, basic)
        if self._edge is None and self._view is None and value.__class__ in _REAL and not modes.ACTIVE:
            self._kind.backend.copy(view._array, creation._full((), value, self._kind)._array)
            bump(self)
            return
    elif key.__class__ is Tensor and _is_lookup(self, key):
        view, indices = self, [key]
    else:
        view, indices = _resolve(self, key)
    if not isinstance(value, Tensor):
        value = _as_value(value, self._kind)
    elif value._kind.device is not self._kind.device and not value._array.shape:
        value = value.to(self._kind.device)
    if indices is None:
        _fill_view(view, value)
        return
    if value._kind is not self._kind and value.numel() == 1 and len(indices) == 1 and (
            indices[0] is not None and indices[0]._kind.dtype is dtypes.bool_):
        value = value.to(self._kind.dtype)
    index_put_(view, indices, value)


def _fill_view(view: Tensor, value: Tensor) -> None:
    shape = view._array.shape
    value = _trimmed(value, len(shape))
    if not shapes.is_expandable(value._array.shape, shape):
        raise _unfit_value(value, shape)
    view.copy_(value)


def _unfit_value(value: Tensor, shape: Shape) -> ShapeError:
    return ShapeError(f"shape mismatch: value tensor of shape {list(value._array.shape)} cannot be broadcast to "
                      f"indexing result of shape {list(shape)}")


def _trimmed(value: Tensor, ndim: int | None) -> Tensor:
    """The value without leading dimensions of size 1, which an assignment ignores."""
    shape = value._array.shape
    extra = 0
    while extra < len(shape) and shape[extra] == 1 and (ndim is None or len(shape) - extra > ndim):
        extra += 1
    return value.reshape(shape[extra:]) if extra and ndim is not None else value


def _as_value(value: Any, kind: Kind) -> Tensor:
    """What is assigned, as a tensor of the target's kind."""
    if not isinstance(value, (bool, int, float, complex)):
        raise ArgumentTypeError(message("__setitem__", f"can't assign a {type(value).__name__} to a "
                                                       f"{kind.dtype} tensor",
                                        allowed="a number or a tensor", next_step="wrap it with torch.tensor()"))
    if isinstance(value, complex) and not kind.dtype.is_complex:
        raise ArgumentError(message("__setitem__", f"value cannot be converted to type {kind.dtype} without "
                                                   "overflow",
                                    given=repr(value)))
    return creation._full((), value, kind)


def as_tensor(value: Any, kind: Kind) -> Tensor:
    """A tensor on the device of `kind` from a sequence or a host array."""
    result: Tensor = construct.tensor(value, device=kind.device)
    return result


def _resolve(input: Tensor, key: Any) -> tuple[Tensor, list[Tensor | None] | None]:
    """Apply the basic part of a key; give the view and the tensors that are left to look up, None if there are none."""
    items = _items(input, key)
    ndim = len(input._array.shape)
    used = sum(_consumes(item) for item in items)
    if used > ndim:
        raise _too_many(input._array.shape)
    dots = [index for index, each in enumerate(items) if each is Ellipsis]
    if not dots:
        items.append(Ellipsis)
    for index in reversed(dots[1:]):  # only the first stands for dimensions
        del items[index]
    view, items = _with_new_dims(input, items)
    basic: list[Any] = []
    indices: list[Tensor | None] = []
    advanced = False
    for item in items:
        if isinstance(item, Tensor):
            advanced = True
            count = _consumes(item) or 1
            _check_mask(view, basic, item)
            basic.extend([WHOLE] * count)
            indices.append(item)
        elif item is Ellipsis:
            basic.append(item)
            indices.extend([None] * (ndim - used))
        else:
            basic.append(item)
            if item.__class__ is slice:
                indices.append(None)
    if (view is input and not advanced) or any(item is not Ellipsis and item != WHOLE for item in basic):
        view = _basic(view, tuple(basic))
    if not advanced:
        return view, None
    while indices and indices[-1] is None:
        indices.pop()
    return view, indices


def _consumes(item: Any) -> int:
    """How many dimensions of the tensor an item of a key speaks about."""
    if item is None or item is Ellipsis or isinstance(item, bool):
        return 0
    if isinstance(item, Tensor) and item._kind.dtype in _MASKS:
        return len(item._array.shape)
    return 1


def _with_new_dims(input: Tensor, items: list[Any]) -> tuple[Tensor, list[Any]]:
    """Make the dimensions that None and bools ask for; the key that is left speaks about the tensor with them."""
    dim = 0
    ndim = len(input._array.shape)
    used = sum(_consumes(each) for each in items)
    result: list[Any] = []
    for item in items:
        if item is None or isinstance(item, bool) or _is_scalar_mask(item):
            input = input.unsqueeze(dim)
            if item is None:
                result.append(WHOLE)
            else:
                flag = bool(item)
                result.append(as_tensor([flag], input._kind))
            dim += 1
            continue
        dim += ndim - used if item is Ellipsis else _consumes(item)
        result.append(item)
    return input, result


def _is_scalar_mask(item: Any) -> bool:
    return isinstance(item, Tensor) and not item._array.shape and item._kind.dtype in _MASKS


def _check_mask(view: Tensor, before: list[Any], item: Tensor) -> None:
    """A mask must have the shape of the dimensions that it covers."""
    if item._kind.dtype not in _MASKS or Ellipsis in before:
        return
    start = len(before)
    shape = view._array.shape
    mask = item._array.shape
    if mask != shape[start:start + len(mask)]:
        where = next(i for i, size in enumerate(mask) if start + i >= len(shape) or size != shape[start + i])
        raise DimensionError(f"The shape of the mask {list(mask)} at index {where} does not match the shape "
                             "of the "
                             f"indexed tensor {list(shape)} at index {start + where}")


def _items(input: Tensor, key: Any) -> list[Any]:
    """A key as a list of ints, bools, slices, None, Ellipsis and tensors."""
    if isinstance(key, list) and _is_old_tuple(key):
        warnings.warn("Using a non-tuple sequence for multidimensional indexing is deprecated; use x[tuple(seq)] "
                      "instead of x[seq]. It will be read as a tensor index, x[torch.tensor(seq)].", UserWarning,
                      stacklevel=4)
        key = tuple(key)
    parts = key if isinstance(key, tuple) else (key,)
    return [_item(input, each) for each in parts]


def _is_old_tuple(key: list[Any]) -> bool:
    """Whether a list means what a tuple of its items means: PyTorch's old rule, for short lists that hold sequences."""
    return len(key) < 32 and any(isinstance(each, (list, tuple, slice, Tensor)) or each is None or each is Ellipsis
                                 for each in key)


def _item(input: Tensor, item: Any) -> Any:
    if item is None or item is Ellipsis or item.__class__ in (int, bool):
        return item
    if item.__class__ is slice:
        return _checked_slice(item)
    if isinstance(item, Tensor):
        return _index_tensor(input, item)
    if isinstance(item, (list, tuple, range)) or (hasattr(item, "__array__") and item.shape):
        found = as_tensor(list(item) if item.__class__ is range else item, input._kind)
        if not found.numel() and found._kind.dtype.is_floating_point:
            found = found.to(dtypes.int64)
        return _index_tensor(input, found)
    if getattr(item, "dtype", None) is not None and str(item.dtype) == "bool":
        return bool(item)
    if hasattr(item, "__index__"):
        return item.__index__()
    raise DimensionError("only integers, slices (`:`), ellipsis (`...`), None and long or byte Variables "
                         "are valid "
                         f"indices (got {type(item).__name__})")


def _index_tensor(input: Tensor, item: Tensor) -> Any:
    kind = item._kind.dtype
    if kind is dtypes.uint8:
        warnings.warn("indexing with dtype torch.uint8 is now deprecated, please use a dtype torch.bool instead.",
                      UserWarning, stacklevel=6)
        return item.to(dtypes.bool_)
    if kind.is_floating_point or kind.is_complex:
        raise DimensionError(f"tensors used as indices must be long, int, byte or bool tensors; given: {kind}")
    if not item._array.shape and kind is not dtypes.bool_:
        return int(item.item())
    if item._kind.device is not input._kind.device:
        if not item._kind.backend.capabilities.host:
            raise DeviceError(f"indices should be either on cpu or on the same device as the indexed tensor "
                              f"({input.device}); given: {item.device}")
        item = item.to(input._kind.device)
    return rules.as_places(item)


# ---------------------------------------------------------------------------------------------- advanced indices
def _check_indices(input: Tensor, indices: Sequence[Tensor | None]) -> list[Shape]:
    """Refuse indices that do not fit the tensor; gives the shapes of the index tensors, masks counted out."""
    shape = input._array.shape
    dim = 0
    found: list[Shape] = []
    for each in indices:
        if each is None:
            dim += 1
            continue
        if each._kind.dtype in _MASKS:
            mask = each._array.shape
            for i, size in enumerate(mask):
                if dim + i >= len(shape) or shape[dim + i] != size:
                    raise DimensionError(f"The shape of the mask {list(mask)} at index {i} does not match "
                                         "the shape of "
                                         f"the indexed tensor {list(shape)} at index {dim + i}")
            dim += len(mask)
            found.append((int(each.sum().item()),))
            continue
        if dim >= len(shape):
            raise DimensionError(f"too many indices for tensor of dimension {len(shape)} (got {dim + 1})")
        _check_range(each, dim, shape[dim])
        found.append(each._array.shape)
        dim += 1
    if dim > len(shape):
        raise DimensionError(f"too many indices for tensor of dimension {len(shape)} (got {dim})")
    try:
        shapes.broadcast_shapes(*found)
    except ShapeError:
        raise DimensionError("shape mismatch: indexing tensors could not be broadcast together with shapes "
                             + ", ".join(str(list(each)) for each in found)) from None
    return found


def _check_range(index: Tensor, dim: int, size: int) -> None:
    if index._kind.dtype.category != dtypes.INTEGER:
        raise DimensionError("tensors used as indices must be long, int, byte or bool tensors; given: "
                             f"{index.dtype}")
    value = out_of_range(index, -size, size)
    if value is not None:
        raise DimensionError(f"index {value} is out of bounds for dimension {dim} with size {size}")


def out_of_range(index: Tensor, low: int, high: int) -> int | None:
    """An element of an integer tensor that is not in the range from `low` to below `high`; None if there is none."""
    if not index.numel():
        return None
    least, greatest = int(index.min().item()), int(index.max().item())
    return least if least < low else greatest if greatest >= high else None


def _indices_backward(g: Tensor, shape: Shape, indices: Any) -> Tensor:
    return _index_put(g.new_zeros(shape), indices, g, True)


@primitive(vjp={"input": lambda g, input_shape, indices: _indices_backward(g, input_shape, indices)}, method=False,
           dtype_rule="any", samples=_samples.index)
def _index(input: Tensor, indices: list[Tensor]) -> Shape:
    """Look up along the leading dimensions: an integer tensor, a mask, or None for a whole dimension, for each."""
    _check_indices(input, indices)
    return ()


def _values_backward(g: Tensor, indices: Any) -> Tensor:
    return _index(g, indices)


def _kept_backward(g: Tensor, indices: Any, accumulate: bool) -> Tensor:
    return g if accumulate else _index_put(g, indices, g.new_zeros(()), False)


@primitive(vjp={"input": lambda g, indices, accumulate: _kept_backward(g, indices, accumulate),
                "values": lambda g, indices: _values_backward(g, indices)},
           dtype_rule=lambda input, indices, values, accumulate: not accumulate, samples=_samples.index_put)
def _index_put(input: Tensor, indices: list[Tensor], values: Tensor, accumulate: bool) -> Shape:
    """A copy with `values` written to, or added at, the places that `index` would read."""
    _check_indices(input, indices)
    target = index_shape(input._array.shape, indices)
    if not shapes.is_expandable(values._array.shape, target):
        raise _unfit_value(values, target)
    return input._array.shape


def _put_arguments(input: Tensor, indices: Any, values: Tensor, accumulate: bool) -> tuple[Any, ...]:
    if not isinstance(values, Tensor):
        raise ArgumentTypeError(f"index_put_(): argument 'values' must be Tensor, not {type(values).__name__}")
    if values._kind.dtype is not input._kind.dtype:
        raise DtypeError("Index put requires the source and destination dtypes match, got "
                         f"{input.dtype} for the destination and {values.dtype} for the source.")
    lookups = [None if each is None else _plain_index(input, each) for each in indices]
    if values._array.shape:
        found = _check_put_shape(input, lookups, values)
        if found is not None:
            values = found
    return input, lookups, values, bool(accumulate)


def _plain_index(input: Tensor, each: Tensor) -> Tensor:
    found = rules.as_places(each) if isinstance(each, Tensor) and not each._array.shape else _index_tensor(input, each)
    return found


def _check_put_shape(input: Tensor, indices: list[Any], values: Tensor) -> Tensor | None:
    """Leading dimensions of size 1 that values have in excess of the result are dropped."""
    shape = values._array.shape
    if shape[0] != 1:
        return None
    result = index_shape(input._array.shape, indices)
    extra = len(shape) - len(result)
    return values.reshape(shape[extra:]) if extra > 0 and shape[:extra] == (1,) * extra else None


def index_shape(shape: Shape, indices: Sequence[Any]) -> Shape:
    """The shape that `index` gives."""
    dim = 0
    places: list[int] = []
    rest: list[int] = []
    found = []
    for each in indices:
        if each is None:
            rest.append(dim)
            dim += 1
            continue
        mask = each._kind.dtype in _MASKS
        count = len(each._array.shape) if mask else 1
        found.append((int(each.sum().item()),) if mask else each._array.shape)
        places.extend(range(dim, dim + count))
        dim += count
    rest.extend(range(dim, len(shape)))
    common = shapes.broadcast_shapes(*found)
    adjacent = not places or places == list(range(places[0], places[-1] + 1))
    before = [shape[each] for each in rest if adjacent and places and each < places[0]]
    return (*before, *common, *[shape[each] for each in rest][len(before):])


@front(_index_put)
def index_put(input: Tensor, indices: Sequence[Tensor | None], values: Tensor, accumulate: bool = False) -> Tensor:
    """A copy with `values` at the places that the index tensors name, or added there.

    `values` has the dtype of the tensor and is broadcast.

    >>> import flambeau as torch
    >>> torch.zeros(3).index_put((torch.tensor([0, 0]),), torch.ones(2), accumulate=True)
    tensor([2., 0., 0.])
    """
    return _index_put(*_put_arguments(input, indices, values, accumulate))


@attach
def index_put_(self: Tensor, indices: Sequence[Tensor | None], values: Tensor, accumulate: bool = False) -> Tensor:
    """`index_put` in place."""
    args = _put_arguments(self, indices, values, accumulate)
    return mutate(_index_put.op, args, self)  # type: ignore[attr-defined]


# ---------------------------------------------------------------------------------------------- parts by name
@composite(samples=_samples.on(((2, 3, 4), 0, 1), ((2, 3, 4), -2, -1)))
def select(input: Tensor, dim: int, index: int) -> Tensor:
    """The view at one index of a dimension, which goes away.

    >>> import flambeau as torch
    >>> torch.arange(6).reshape(2, 3).select(1, 2)
    tensor([2, 5])
    """
    shape = input._array.shape
    if not shape:
        raise DimensionError("select() cannot be applied to a 0-dim tensor.")
    dim = shapes.wrap_dim(dim, len(shape))
    index = index.__index__()
    if not -shape[dim] <= index < shape[dim]:
        raise DimensionError(f"select(): index {index} out of range for tensor of size {list(shape)} at "
                             f"dimension {dim}")
    return _basic(input, ((WHOLE,) * dim) + (index, ...))


def slice_dim(input: Tensor, dim: int, start: int | None, end: int | None, step: int = 1) -> Tensor:
    """The view of a range of indices of one dimension."""
    return _basic(input, ((WHOLE,) * dim) + (slice(start, end, step), ...))


@composite(samples=_samples.on(((2, 5), 1, 1, 3), ((5, 2), -2, -2, 2)))
def narrow(input: Tensor, dim: int, start: Any, length: int) -> Tensor:
    """The view of `length` indices of a dimension, from `start` on.

    >>> import flambeau as torch
    >>> torch.arange(5).narrow(0, 1, 3)
    tensor([1, 2, 3])
    """
    shape = input._array.shape
    if not shape:
        raise ArgumentError("narrow() cannot be applied to a 0-dim tensor.")
    if length < 0:
        raise ArgumentError("narrow(): length must be non-negative.")
    dim = shapes.wrap_dim(dim, len(shape))
    size = shape[dim]
    if isinstance(start, Tensor) and (start._array.shape or start._kind.dtype.category != dtypes.INTEGER):
        raise ArgumentError("narrow: start must be an 0-dim integral Tensor.")
    start = int(start.item()) if isinstance(start, Tensor) else start.__index__()
    if not -size <= start <= size:
        raise DimensionError(f"start out of range (expected to be in range of [-{size}, {size}], but got {start})")
    if start < 0:
        start += size
    if start + length > size:
        raise ArgumentError(f"narrow: start ({start}) + length ({length}) exceeds dimension size ({size}).")
    return slice_dim(input, dim, start, start + length)


@composite(samples=_samples.on(((2, 5), 1, 1, 3), ((5, 2), -2, 0, 2)), out=True)
def narrow_copy(input: Tensor, dim: int, start: int, length: int) -> Tensor:
    """`narrow` as a copy."""
    return narrow(input, dim, start, length).clone()


attach(__getitem__)
attach(__setitem__)
