"""Shapes and strides: pure functions on tuples of integers, and `Size`.

Everything that can be said about a view without touching its memory is here, so that view rules, error checks and
shape rules share one arithmetic.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, SupportsIndex, TypeGuard

from flambeau.errors import ArgumentError, ArgumentTypeError, DimensionError, ShapeError, message

Shape = tuple[int, ...]


class Size(tuple[int, ...]):
    """The shape of a tensor: a tuple of integers that prints and slices as PyTorch's does.

    >>> import flambeau as torch
    >>> torch.Size([2, 3]), torch.Size([2, 3]).numel(), torch.Size([2, 3])[1:]
    (torch.Size([2, 3]), 6, torch.Size([3]))
    """

    __slots__ = ()
    __module__ = "flambeau"

    def __repr__(self) -> str:
        return f"torch.Size([{', '.join(map(str, self))}])"

    def numel(self) -> int:
        """The number of elements of a tensor of this shape."""
        return math.prod(self)

    def __getitem__(self, key: Any) -> Any:
        found = tuple.__getitem__(self, key)
        return Size(found) if isinstance(key, slice) else found

    def __add__(self, other: Any) -> Size:
        return Size(tuple.__add__(self, tuple(other)))

    def __radd__(self, other: Any) -> Size:
        return Size(tuple(other) + tuple(self))

    def __mul__(self, count: SupportsIndex) -> Size:
        return Size(tuple.__mul__(self, count))

    __rmul__ = __mul__

    def __reduce__(self) -> tuple[type[Size], tuple[Shape]]:
        return Size, (tuple(self),)


def is_int(value: Any) -> TypeGuard[int]:
    """Whether a value is a number of the kind that counts: an int, or an integer of a host library."""
    return isinstance(value, int) or (hasattr(value, "__index__") and not hasattr(value, "__len__"))


def as_shape(size: Any, op: str = "size") -> Shape:
    """A tuple of ints from an int, a sequence of ints, or what a variadic call `f(2, 3)` or `f((2, 3))` collected."""
    if is_int(size):
        return (size.__index__(),)
    if len(size) == 1 and not hasattr(size[0], "__index__"):
        size = size[0]
    try:
        return tuple([each if type(each) is int else each.__index__() for each in size])
    except (AttributeError, TypeError):
        raise ArgumentTypeError(message(op, "a shape must be integers", given=repr(size),
                                        allowed="ints or one sequence of ints")) from None


def check_nonnegative(shape: Shape, op: str) -> None:
    """Refuse a shape with a negative size."""
    if any(each < 0 for each in shape):
        raise ArgumentError(f"{op}: Trying to create tensor with negative dimension {min(shape)}: {list(shape)}")


def wrap_dim(dim: int, ndim: int) -> int:
    """Turn a dimension counted from the end into one counted from the start; 0-d tensors accept 0 and -1."""
    if 0 <= dim < ndim:
        return dim
    limit = ndim or 1
    if not -limit <= dim < limit:
        raise DimensionError(f"Dimension out of range (expected to be in range of [{-limit}, {limit - 1}], "
                             f"but got {dim})")
    return dim + limit if dim < 0 else dim


def wrap_dims(dims: Iterable[int], ndim: int) -> Shape:
    """`wrap_dim` for several dimensions, which must differ."""
    wrapped = tuple([wrap_dim(dim, ndim) for dim in dims])
    if len(set(wrapped)) != len(wrapped):
        twice = next(dim for dim in wrapped if wrapped.count(dim) > 1)
        raise ArgumentError(f"dim {twice} appears multiple times in the list of dims")
    return wrapped


def reduction_dims(dim: int | Sequence[int] | None, ndim: int) -> Shape:
    """The dimensions that a reduction's `dim` argument names: None and () mean all of them."""
    if dim is None:
        return tuple(range(ndim))
    if isinstance(dim, int):
        return (wrap_dim(dim, ndim),) if ndim else _scalar_dims((dim,))
    if is_int(dim):
        return reduction_dims(int(dim), ndim)
    if not len(dim):
        return tuple(range(ndim))
    return wrap_dims(dim, ndim) if ndim else _scalar_dims(dim)


def _scalar_dims(dims: Sequence[int]) -> Shape:
    for dim in dims:
        wrap_dim(dim, 0)
    return ()


def reduced_shape(shape: Shape, dims: Shape, keepdim: bool) -> Shape:
    """The shape that is left after reducing over `dims` (already wrapped)."""
    if keepdim:
        return tuple([1 if index in dims else size for index, size in enumerate(shape)])
    return tuple([size for index, size in enumerate(shape) if index not in dims])


def broadcast_shapes(*shapes: Shape, op: str = "") -> Shape:
    """The common shape of operands that are broadcast together.

    Raises ShapeError naming the sizes and the dimension, as PyTorch does.
    """
    ndim = max((len(shape) for shape in shapes), default=0)
    result = [1] * ndim
    for shape in shapes:
        for back, size in enumerate(reversed(shape), 1):  # from the last: the dimension that the error names first
            index = ndim - back
            if size == 1 or size == result[index]:
                continue
            if result[index] != 1:
                where = f"{op}: " if op else ""
                raise ShapeError(f"{where}The size of tensor a ({result[index]}) must match the size of tensor b "
                                 f"({size}) at non-singleton dimension {index}; given: "
                                 f"{' and '.join(str(list(each)) for each in shapes)}; sizes must be equal or 1")
            result[index] = size
    return tuple(result)


def is_expandable(shape: Shape, to: Shape) -> bool:
    """Whether a tensor of `shape` broadcasts to exactly `to`."""
    return len(shape) <= len(to) and all(
        mine in (1, theirs) for mine, theirs in zip(reversed(shape), reversed(to), strict=False))


def contiguous_strides(shape: Shape) -> Shape:
    """Row-major strides in elements, as PyTorch counts them (a size of 0 counts as 1)."""
    strides = []
    step = 1
    for size in reversed(shape):
        strides.append(step)
        step *= size or 1
    return tuple(reversed(strides))


def channels_last_strides(shape: Shape) -> Shape:
    """The strides in which the channels, dimension 1, lie next to each other. RuntimeError below 4 dimensions.

    >>> channels_last_strides((2, 3, 4, 5))
    (60, 1, 15, 3)
    """
    if len(shape) not in (4, 5):
        raise ShapeError(f"channels_last: required rank 4 tensor to use channels_last format (5 for channels_last_3d); "
                         f"given: {len(shape)} dimensions")
    inner = contiguous_strides((shape[0], *shape[2:], shape[1]))
    return (inner[0], inner[-1], *inner[1:-1])


def is_contiguous(shape: Shape, strides: Shape) -> bool:
    """Whether elements lie in row-major order without gaps; dimensions of size 1 do not matter."""
    step = 1
    for size, stride in zip(reversed(shape), reversed(strides), strict=True):
        if size == 0:
            return True
        if size != 1:
            if stride != step:
                return False
            step *= size
    return True


def infer_size(shape: Shape, numel: int, op: str = "view") -> Shape:
    """Replace one -1 in `shape` by the size that makes it hold `numel` elements."""
    unknown = [index for index, size in enumerate(shape) if size == -1]
    if any(size < -1 for size in shape):
        raise ArgumentError(f"{op}: invalid shape dimension {min(shape)} at index {shape.index(min(shape))} of shape "
                            f"{list(shape)}")
    if len(unknown) > 1:
        raise ArgumentError(f"{op}: only one dimension can be inferred; given: {list(shape)}")
    known = math.prod(size for size in shape if size != -1)
    if unknown:
        if known == 0:
            if numel == 0:
                raise ArgumentError(f"{op}: cannot reshape tensor of 0 elements into shape {list(shape)} because the "
                                    "unspecified dimension size -1 can be any value and is ambiguous")
        elif numel % known == 0:
            return tuple([numel // known if size == -1 else size for size in shape])
    elif known == numel:
        return shape
    raise ShapeError(f"{op}: shape '{list(shape)}' is invalid for input of size {numel}")


def view_strides(shape: Shape, strides: Shape, new_shape: Shape) -> Shape | None:
    """The strides of `new_shape` over the same memory, or None where that needs a copy.

    Dimensions of the old shape are grouped into runs that are contiguous among themselves; each run must be filled
    exactly by consecutive new dimensions.
    """
    if 0 in shape:
        return contiguous_strides(new_shape)
    if not shape:
        return (1,) * len(new_shape)
    result = [0] * len(new_shape)
    new_index = len(new_shape) - 1
    run_numel = 1
    run_stride = strides[-1]
    for index in range(len(shape) - 1, -1, -1):
        run_numel *= shape[index]
        ends = index == 0 or (shape[index - 1] != 1 and strides[index - 1] != run_numel * run_stride)
        if not ends:
            continue
        filled = 1
        while new_index >= 0 and (filled < run_numel or new_shape[new_index] == 1):
            result[new_index] = filled * run_stride
            filled *= new_shape[new_index]
            new_index -= 1
        if filled != run_numel:
            return None
        if index > 0:
            run_stride = strides[index - 1]
            run_numel = 1
    return tuple(result) if new_index == -1 else None


def storage_extent(shape: Shape, strides: Shape, offset: int) -> int:
    """How many elements of storage a strided view reaches to: the index after its last element."""
    if 0 in shape:
        return 0
    return offset + 1 + sum((size - 1) * stride for size, stride in zip(shape, strides, strict=True))


def pair(value: int | Sequence[int], count: int, name: str, op: str) -> Shape:
    """An int or a sequence as a tuple of `count` ints: the form of kernel sizes, strides and paddings."""
    if is_int(value):
        return (int(value),) * count
    values = tuple([int(each) for each in value])  # type: ignore[union-attr]
    if len(values) == 1:
        return values * count
    if len(values) != count:
        raise ArgumentError(message(op, f"{name} must be a single int or {count} ints", given=str(list(values))))
    return values


def describe(*shapes: Shape) -> str:
    """Shapes as an error message shows them: `[2, 3] and [4]`."""
    return " and ".join(str(list(shape)) for shape in shapes)
