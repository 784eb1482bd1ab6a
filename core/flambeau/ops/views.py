"""Views that pick elements by stride or read memory as another dtype, groups of views, and views in place.

What a backend owes for views of another dtype is one kernel, `reinterpret`; the rules are here.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

from flambeau import dtypes, shapes
from flambeau.dispatch import composite, front, operator, primitive, view as view_rule, views
from flambeau.dtypes import dtype
from flambeau.errors import ArgumentError, DimensionError, DtypeError, ShapeError, message
from flambeau.ops import _samples, creation, shape as shape_ops
from flambeau.ops.indexing import WHOLE, _index_basic, _index_put, narrow, select, slice_dim
from flambeau.shapes import Shape
from flambeau.tensor import Tensor, alias, attach

Layout = tuple[Shape, Shape, int]


# ---------------------------------------------------------------------------------------------- by stride
@view_rule(vjp={"input": lambda g, input_shape, offset, dim1, dim2:
                _diagonal_backward(g, input_shape, offset, dim1, dim2)},
           samples=_samples.on(((3, 4),), ((2, 3, 4), 1, 0, 2), ((2, 3, 4), -1, -1, 1)))
def _diagonal(shape: Shape, strides: Shape, start: int, offset: int, dim1: int, dim2: int) -> Layout:
    """The diagonal of two dimensions as a new last dimension."""
    length = min(shape[dim1], shape[dim2] - offset) if offset >= 0 else min(shape[dim1] + offset, shape[dim2])
    length = max(0, length)
    if length:
        start += offset * strides[dim2] if offset >= 0 else -offset * strides[dim1]
    rest = [index for index in range(len(shape)) if index not in (dim1, dim2)]
    return (*[shape[index] for index in rest], length), (
        *[strides[index] for index in rest], strides[dim1] + strides[dim2]), start


@operator(vjp={"input": lambda g, offset, dim1, dim2: _diagonal(g, offset, dim1, dim2)}, method=False,
          dtype_rule="any", grad_name="DiagonalBackward0",
          samples=_samples.on(((2, 3), (2, 3, 4), 0, 1, 2), ((3, 2), (2, 3, 4), 1, 0, 2)))
def _diagonal_backward(input: Tensor, size: Shape, offset: int, dim1: int, dim2: int) -> Tensor:
    """Zeros with the input on a diagonal."""
    result = input.new_zeros(size)
    _diagonal(result, offset, dim1, dim2).copy_(input)
    return result


@front(_diagonal)
def diagonal(input: Tensor, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Tensor:
    """The view of a diagonal of two dimensions, which becomes the last dimension.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.diagonal.html

    >>> import flambeau as torch
    >>> torch.arange(4).reshape(2, 2).diagonal()
    tensor([0, 3])
    """
    ndim = len(input._array.shape)
    first, second = shapes.wrap_dim(dim1, ndim), shapes.wrap_dim(dim2, ndim)
    if first == second:
        raise ArgumentError(f"diagonal dimensions cannot be identical {dim1}, {dim2}")
    return _diagonal(input, offset, first, second)


def _scatter_back(g: Tensor, shape: Shape, look: Callable[[Tensor], Tensor]) -> Tensor:
    """The gradient of a view whose elements may be read several times: each place gets the sum of its readings."""
    numel = shapes.Size(shape).numel()
    places = look(_places(g, numel).reshape(shape)).reshape(-1)
    flat = _index_put(g.new_zeros((numel,)), [places], g.reshape(-1), True)
    return flat.reshape(shape)


def _places(g: Tensor, count: int) -> Tensor:
    result: Tensor = creation.arange(count, device=g.device)
    return result


@view_rule(vjp={"input": lambda g, input_shape, dim, size, step:
                _scatter_back(g, input_shape, lambda x: _unfold(x, dim, size, step))}, namespace="Tensor",
           samples=_samples.on(((2, 5), 1, 3, 2), ((4, 2, 3), -3, 2, 1)))
def _unfold(shape: Shape, strides: Shape, offset: int, dim: int, size: int, step: int) -> Layout:
    """Windows along a dimension; their contents become the last dimension."""
    if not shape:
        return (size,), (1,), offset
    count = (shape[dim] - size) // step + 1
    return ((*shape[:dim], count, *shape[dim + 1:], size),
            (*strides[:dim], strides[dim] * step, *strides[dim + 1:], strides[dim]), offset)


@front(_unfold)
def unfold(self: Tensor, dimension: int, size: int, step: int) -> Tensor:
    """The view of all windows of `size` along a dimension, `step` apart; a window becomes the last dimension.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.Tensor.unfold.html

    >>> import flambeau as torch
    >>> torch.arange(5).unfold(0, 3, 2)
    tensor([[0, 1, 2],
            [2, 3, 4]])
    """
    shape = self._array.shape
    dim = shapes.wrap_dim(dimension, len(shape))
    length = shape[dim] if shape else 1
    if size < 0:
        raise ArgumentError(f"unfold: size is {size} but must be >= 0")
    if size > length:
        raise ArgumentError(f"unfold: maximum size for tensor at dimension {dim} is {length} but size is {size}")
    if step <= 0:
        raise ArgumentError(f"unfold: step is {step} but must be > 0")
    return _unfold(self, dim, size, step)



def _as_strided_backward(g: Tensor, shape: Shape, size: Shape, stride: Shape, start: int,
                         base: tuple[Shape, int]) -> Tensor:
    extent = max(shapes.storage_extent(size, stride, start), shapes.storage_extent(shape, *base))
    flat = _scatter_back(g, (extent,), lambda x: _as_strided(x, size, stride, start, ((1,), 0)))
    contiguous = (shapes.contiguous_strides(shape), 0)
    return _as_strided(flat, shape, *base, ((1,), 0)) if base != contiguous else narrow(
        flat, 0, 0, shapes.Size(shape).numel()).reshape(shape)


@view_rule(vjp={"input": lambda g, input_shape, size, stride, start, base:
                _as_strided_backward(g, input_shape, size, stride, start, base)},
           samples=_samples.on(((4, 3), (2, 3), (1, 4), 1), ((4, 3), (3, 2), (2, 2))))
def _as_strided(shape: Shape, strides: Shape, offset: int, size: Shape, stride: Shape, start: int,
                base: tuple[Shape, int]) -> Layout:
    """Any layout over the storage; `base` is the input's own strides and offset, which the gradient needs."""
    return size, stride, start


@front(_as_strided)
def as_strided(input: Tensor, size: Any, stride: Any, storage_offset: int | None = None) -> Tensor:
    """A view of the tensor's storage with this shape, these strides and this offset, in elements.

    RuntimeError for a layout that reaches beyond the storage.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.as_strided.html

    >>> import flambeau as torch
    >>> torch.arange(6).as_strided((2, 2), (1, 2))
    tensor([[0, 2],
            [1, 3]])
    """
    wanted, strides = shapes.as_shape((size,), "as_strided"), shapes.as_shape((stride,), "as_strided")
    if len(wanted) != len(strides):
        raise ShapeError(f"as_strided: mismatch in length of strides and shape; given: {list(wanted)}, "
                         f"{list(strides)}")
    if any(each < 0 for each in strides):
        raise ShapeError("as_strided: Negative strides are not supported at the moment, got strides: "
                         f"{list(strides)}")
    base = input._kind.backend.layout(input._array)
    start = base[1] if storage_offset is None else storage_offset
    backend = input._kind.backend
    root = backend.storage(input._array)
    room = shapes.Size(root.shape).numel() * backend.dtype_of(root).itemsize
    if shapes.storage_extent(wanted, strides, start) * input._kind.dtype.itemsize > room:
        raise ShapeError(f"setStorage: sizes {list(wanted)}, strides {list(strides)}, storage offset "
                         f"{start} are out of bounds for the tensor's storage of {room} bytes; choose a layout inside "
                         "it")
    return _as_strided(input, wanted, strides, start, base)


# ---------------------------------------------------------------------------------------------- another dtype
def _samples_reinterpret(make: Any) -> _samples.Calls:
    if make.dtype is dtypes.float32:
        yield (make(2, 3), (3, 2), (1, 3), 0, dtypes.int32), {}


@primitive(samples=_samples_reinterpret, vjp="none", method=False, dtype_rule="any", no_fallback=True)
def _reinterpret(input: Tensor, size: Shape, strides: Shape, offset: int, dtype: dtype) -> Shape:
    """The memory of the input read as another dtype; strides and offset count elements of that dtype."""
    return size


def _of_complex(make: Any) -> _samples.Calls:
    yield (make(2, 3),), {}
    yield (make(3),), {}


@view_rule(samples=_of_complex, name="view_as_real", method=False, promote=lambda kind: kind.to_real(),
           vjp={"input": lambda g: view_as_complex(g.contiguous())})
def _view_as_real(shape: Shape, strides: Shape, offset: int) -> Layout:
    """Complex numbers as pairs of real ones, in a new last dimension."""
    return (*shape, 2), (*[2 * each for each in strides], 1), 2 * offset


@front(_view_as_real)
def view_as_real(input: Tensor) -> Tensor:
    """The view of a complex tensor's real and imaginary parts in a new last dimension of size 2.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.view_as_real.html

    >>> import flambeau as torch
    >>> torch.view_as_real(torch.tensor([1 + 2j]))
    tensor([[1., 2.]])
    """
    if not input._kind.dtype.is_complex:
        raise DtypeError("view_as_real is only supported for complex tensors; "
                         f"given: {input.dtype}")
    return _view_as_real(input)


def _pairs(make: Any) -> _samples.Calls:
    if make.dtype is not dtypes.float16:   # there is no complex dtype of its precision
        yield (make(3, 2),), {}
        yield (make(2, 3, 2),), {}


@view_rule(name="view_as_complex", method=False, promote=lambda kind: kind.to_complex(),
           vjp={"input": lambda g: view_as_real(g)}, samples=_pairs)
def _view_as_complex(shape: Shape, strides: Shape, offset: int) -> Layout:
    """Pairs of real numbers in the last dimension as complex ones."""
    return shape[:-1], tuple([each // 2 for each in strides[:-1]]), offset // 2


@front(_view_as_complex)
def view_as_complex(input: Tensor) -> Tensor:
    """The view of pairs of real numbers, in a last dimension of size 2, as complex numbers.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.view_as_complex.html

    >>> import flambeau as torch
    >>> torch.view_as_complex(torch.tensor([[1., 2.]]))
    tensor([1.+2.j])
    """
    shape = input._array.shape
    if input._kind.dtype not in (dtypes.float32, dtypes.float64):
        raise DtypeError("view_as_complex is only supported for half, float and double tensors, but got a "
                         "tensor of "
                         f"scalar type: {input.dtype}")
    if not shape:
        raise ShapeError("Input tensor must have one or more dimensions; given: a 0-d tensor")
    if shape[-1] != 2:
        raise ShapeError(f"Tensor must have a last dimension of size 2; given: {list(shape)}")
    strides, offset = input._kind.backend.layout(input._array)
    if strides[-1] != 1:
        raise ShapeError(f"Tensor must have a last dimension with stride 1; given: {list(strides)}")
    if any(each % 2 for each in strides[:-1]) or offset % 2:
        raise ShapeError("Tensor must have a stride divisible by 2 for all but last dimension, and an "
                         "offset divisible "
                         f"by 2; given: {list(strides)}, offset {offset}")
    return _view_as_complex(input)


def _samples_view_dtype(make: Any) -> _samples.Calls:
    size = make.dtype.itemsize
    wanted = {1: dtypes.uint8, 2: dtypes.int16, 4: dtypes.int32, 8: dtypes.int64}.get(size)
    if wanted is not None:   # the only width at which the memory may lie in any way
        yield (make(2, 4), wanted, size), {}


@view_rule(name="view_dtype", promote=lambda kind, dtype, itemsize: dtype, vjp="none", method=False,
           samples=_samples_view_dtype)
def _view_dtype(shape: Shape, strides: Shape, offset: int, dtype: dtype, itemsize: int) -> Layout:
    """The bytes read as another dtype; the last dimension takes the difference in width."""
    wide = dtype.itemsize
    if wide == itemsize:
        return shape, strides, offset
    if wide < itemsize:
        ratio = itemsize // wide
        return ((*shape[:-1], shape[-1] * ratio), (*[each * ratio for each in strides[:-1]], 1), offset * ratio)
    ratio = wide // itemsize
    return ((*shape[:-1], shape[-1] // ratio), (*[each // ratio for each in strides[:-1]], 1), offset // ratio)


def view_dtype(input: Tensor, wanted: dtype) -> Tensor:
    """The same bytes read as another dtype: `x.view(dtype)`."""
    old, new = input._kind.dtype.itemsize, wanted.itemsize
    if wanted is input._kind.dtype:
        return shape_ops._alias(input)
    shape = input._array.shape
    if old != new:
        strides, offset = input._kind.backend.layout(input._array)
        if not shape:
            raise ShapeError("self.dim() cannot be 0 to view "
                             f"{input.dtype} as {wanted} (different element sizes)")
        if strides[-1] != 1:
            raise ShapeError(f"self.stride(-1) must be 1 to view {input.dtype} as {wanted} (different "
                             "element sizes), "
                             f"but got {strides[-1]}")
        ratio = new // old
        if new > old and (shape[-1] % ratio or offset % ratio or any(each % ratio for each in strides[:-1])):
            raise ShapeError("self.size(-1), its strides and its storage_offset must be divisible by "
                             f"{ratio} to view "
                             f"{input.dtype} as {wanted} (different element sizes); given: {list(shape)}, "
                             f"{list(strides)}, {offset}")
    return _view_dtype(input, wanted, old)


def _real(input: Tensor) -> Tensor:
    return select(view_as_real(input), -1, 0) if input._kind.dtype.is_complex else input


def _imag(input: Tensor) -> Tensor:
    if not input._kind.dtype.is_complex:
        raise DtypeError(message("imag", "imag is not implemented for tensors with non-complex dtypes.",
                                 given=str(input.dtype)))
    return select(view_as_real(input), -1, 1)


@composite(samples=_samples.on(((2, 3),)), method=False)
def real(input: Tensor) -> Tensor:
    """The view of the real parts; a real tensor itself.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.real.html

    >>> import flambeau as torch
    >>> torch.real(torch.tensor([1 + 2j]))
    tensor([1.])
    """
    return _real(input)


@composite(samples=_of_complex, method=False)
def imag(input: Tensor) -> Tensor:
    """The view of the imaginary parts of a complex tensor.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.imag.html

    >>> import flambeau as torch
    >>> torch.imag(torch.tensor([1 + 2j]))
    tensor([2.])
    """
    return _imag(input)


def _set_real(self: Tensor, value: Any) -> None:
    _real(self).copy_(value)


def _set_imag(self: Tensor, value: Any) -> None:
    _imag(self).copy_(value)


attach(property(_real, _set_real, doc="The real parts, as a view."), "real")
attach(property(_imag, _set_imag, doc="The imaginary parts, as a view."), "imag")


# ---------------------------------------------------------------------------------------------- groups of views
def _range(dim: int, start: int, end: int) -> tuple[Any, ...]:
    return ((WHOLE,) * dim) + (slice(start, end), ...)


def _joined(g: list[Tensor | None], shape: Shape, dim: int, sizes: Sequence[int]) -> Tensor:
    """Join the gradients of parts along a dimension, with zeros for those that have none."""
    from flambeau.ops.joining import cat
    one = next(each for each in g if each is not None)
    parts = [each if each is not None else one.new_zeros((*shape[:dim], size, *shape[dim + 1:]))
             for each, size in zip(g, sizes, strict=True)]
    return cat(parts, dim)


def _sizes(total: int, split_size: int) -> list[int]:
    if not split_size:
        return [0]
    return [min(split_size, total - start) for start in range(0, total, split_size)] or [0]


def _parts(dim: int, sizes: Sequence[int]) -> list[Any]:
    start, found = 0, []
    for size in sizes:
        found.append((_index_basic.op, (_range(dim, start, start + size),)))  # type: ignore[attr-defined]
        start += size
    return found


@views(name="split", vjp={"input": lambda g, input_shape, split_size, dim:
                          _joined(g, input_shape, dim, _sizes(input_shape[dim], split_size))},
       samples=_samples.on(((5, 3), 2), ((5, 3), 2, -1), ((5, 3), [1, 4])))
def _split(input: Tensor, split_size: int, dim: int) -> list[Any]:
    """Parts of `split_size` along a dimension; the last may be smaller."""
    return _parts(dim, _sizes(input._array.shape[dim], split_size))


@views(name="split_with_sizes", vjp={"input": lambda g, input_shape, split_sizes, dim:
                                     _joined(g, input_shape, dim, split_sizes)},
       samples=_samples.on(((5, 3), (1, 4)), ((5, 3), [1, 0, 2], -1)))
def _split_with_sizes(input: Tensor, split_sizes: Shape, dim: int) -> list[Any]:
    """Parts of the given sizes along a dimension."""
    return _parts(dim, split_sizes)


@front(_split_with_sizes)
def split_with_sizes(input: Tensor, split_sizes: Sequence[int], dim: int = 0) -> tuple[Tensor, ...]:
    """Views of parts of the given sizes, which add up to the dimension's.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.split_with_sizes.html

    >>> import flambeau as torch
    >>> torch.split_with_sizes(torch.arange(3), (1, 2))
    (tensor([0]), tensor([1, 2]))
    """
    shape = input._array.shape
    if not shape:
        raise ArgumentError("split expects at least a 1-dimensional tensor; given: a 0-d tensor")
    dim = shapes.wrap_dim(dim, len(shape))
    sizes = tuple([each.__index__() for each in split_sizes])
    if any(each < 0 for each in sizes):
        raise ArgumentError("split_with_sizes expects split_sizes have only non-negative entries, but got "
                            f"split_sizes={list(sizes)}")
    if sum(sizes) != shape[dim]:
        raise ArgumentError(f"split_with_sizes expects split_sizes to sum exactly to {shape[dim]} (input "
                            "tensor's size "
                            f"at dimension {dim}), but got split_sizes={list(sizes)}")
    return _split_with_sizes(input, sizes, dim)


@front(_split)
def split(input: Tensor, split_size_or_sections: Any, dim: int = 0) -> tuple[Tensor, ...]:
    """Views of parts along a dimension: all of one size but the last, or of the sizes in a list.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.split.html

    >>> import flambeau as torch
    >>> torch.arange(5).split(2)
    (tensor([0, 1]), tensor([2, 3]), tensor([4]))
    """
    if not shapes.is_int(split_size_or_sections):
        return split_with_sizes(input, split_size_or_sections, dim)
    shape = input._array.shape
    if not shape:
        raise ArgumentError("split expects at least a 1-dimensional tensor; given: a 0-d tensor")
    dim = shapes.wrap_dim(dim, len(shape))
    if split_size_or_sections < 0:
        raise ArgumentError("split expects split_size be non-negative, but got "
                            f"split_size={split_size_or_sections}")
    if not split_size_or_sections and shape[dim]:
        raise ArgumentError("split_size can only be 0 if dimension size is 0, but got dimension size of "
                            f"{shape[dim]}")
    return _split(input, split_size_or_sections, dim)


@composite(samples=_samples.on(((5, 3), 2), ((5, 3), 2, -1), ((5, 3), 4)))
def chunk(input: Tensor, chunks: int, dim: int = 0) -> tuple[Tensor, ...]:
    """At most `chunks` views of equal size along a dimension; the last may be smaller.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.chunk.html

    >>> import flambeau as torch
    >>> torch.arange(5).chunk(2)
    (tensor([0, 1, 2]), tensor([3, 4]))
    """
    shape = input._array.shape
    if not shape:
        raise ArgumentError("chunk expects at least a 1-dimensional tensor; given: a 0-d tensor")
    if chunks <= 0:
        raise ArgumentError(f"chunk expects `chunks` to be greater than 0, got: {chunks}")
    dim = shapes.wrap_dim(dim, len(shape))
    size = -(-shape[dim] // chunks)
    if not size:
        return split_with_sizes(input, (0,) * chunks, dim)
    return split(input, size, dim)


def _stacked(g: list[Tensor | None], dim: int) -> Tensor:
    from flambeau.ops.joining import stack
    one = next(each for each in g if each is not None)
    zero = None
    parts = []
    for each in g:
        if each is None:
            each = zero = one.new_zeros(one._array.shape) if zero is None else zero
        parts.append(each)
    return stack(parts, dim)


@views(samples=_samples.on(((3, 2),), ((2, 3, 4), -1)), name="unbind", vjp={"input": lambda g, dim: _stacked(g, dim)})
def _unbind(input: Tensor, dim: int) -> list[Any]:
    """The slices along a dimension."""
    before = (WHOLE,) * dim
    return [(_index_basic.op, ((*before, index, ...),)) for index in range(input._array.shape[dim])]  # type: ignore[attr-defined]


@front(_unbind)
def unbind(input: Tensor, dim: int = 0) -> tuple[Tensor, ...]:
    """The views at each index of a dimension.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.unbind.html

    >>> import flambeau as torch
    >>> torch.arange(4).reshape(2, 2).unbind()
    (tensor([0, 1]), tensor([2, 3]))
    """
    shape = input._array.shape
    if not shape:
        raise DimensionError(f"Dimension specified as {dim} but tensor has no dimensions")
    return _unbind(input, shapes.wrap_dim(dim, len(shape)))


@composite(samples=_samples.on(((5, 3), 3), ((5, 3), (1, 2), -1), ((5, 3), [1, 4])))
def tensor_split(input: Tensor, indices_or_sections: Any, dim: int = 0) -> tuple[Tensor, ...]:
    """Views along a dimension: that many, as equal as possible, or cut at the given indices.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.tensor_split.html

    >>> import flambeau as torch
    >>> torch.arange(5).tensor_split(2)
    (tensor([0, 1, 2]), tensor([3, 4]))
    """
    shape = input._array.shape
    if not shape:
        raise ArgumentError("tensor_split expected at least a 1-dimensional tensor, but got a tensor with 0 dims")
    dim = shapes.wrap_dim(dim, len(shape))
    size = shape[dim]
    if isinstance(indices_or_sections, Tensor):
        indices_or_sections = indices_or_sections.tolist()
    if isinstance(indices_or_sections, int):
        count = indices_or_sections
        if count <= 0:
            raise ArgumentError(f"number of sections must be larger than 0, got {count}")
        small, more = divmod(size, count)
        cuts = [index * small + min(index, more) for index in range(count + 1)]
        return tuple([slice_dim(input, dim, start, end) for start, end in itertools.pairwise(cuts)])
    cuts = [0, *indices_or_sections]
    ends: list[int | None] = [*indices_or_sections, None]
    return tuple([slice_dim(input, dim, start, end) for start, end in zip(cuts, ends, strict=True)])


def _named_split(name: str, least: int, dim: int, samples: _samples.Samples) -> Callable[..., Any]:
    """hsplit, vsplit and dsplit: `tensor_split` along a fixed dimension."""
    def call(input: Tensor, indices_or_sections: Any) -> tuple[Tensor, ...]:
        shape = input._array.shape
        if len(shape) < least:
            raise ArgumentError(f"torch.{name} requires a tensor with at least {least} dimension"
                                f"{'s' if least > 1 else ''}, but got a tensor with {len(shape)} dimensions!")
        where = 0 if name == "hsplit" and len(shape) == 1 else dim
        if isinstance(indices_or_sections, int) and (indices_or_sections <= 0 or shape[where] % indices_or_sections):
            raise ArgumentError(f"torch.{name} attempted to split along dimension {where}, but the size of "
                                "the dimension "
                                f"{shape[where]} is not divisible by the split_size {indices_or_sections}!")
        return tensor_split(input, indices_or_sections, where)
    call.__name__ = call.__qualname__ = name
    call.__doc__ = f"`tensor_split` along dimension {dim}" + (
        " (0 for a vector)." if name == "hsplit" else ".")
    return composite(samples=samples)(call)


hsplit = _named_split("hsplit", 1, 1, _samples.on(((2, 6), 3), ((2, 5), (1, 3)), ((4,), 2)))
vsplit = _named_split("vsplit", 2, 0, _samples.on(((6, 2), 3), ((5, 2), (1, 3))))
dsplit = _named_split("dsplit", 3, 2, _samples.on(((2, 1, 6), 3), ((1, 2, 5), (1, 3))))


def _untracked(parts: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """Tensors over the memory of views that are none; copies where a gradient flows."""
    return tuple([each.clone() if each.requires_grad else alias(each) for each in parts])


@composite(samples=_samples.on(((5, 3), 2), ((5, 3), 2, -1)))
def unsafe_split(input: Tensor, split_size: int, dim: int = 0) -> tuple[Tensor, ...]:
    """`split` whose results are tensors of their own, not views.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.unsafe_split.html

    >>> import flambeau as torch
    >>> torch.unsafe_split(torch.arange(3), 2)
    (tensor([0, 1]), tensor([2]))
    """
    return _untracked(split(input, split_size, dim))


@composite(samples=_samples.on(((5, 3), (1, 4)), ((5, 3), (1, 0, 2), -1)))
def unsafe_split_with_sizes(input: Tensor, split_sizes: Sequence[int], dim: int = 0) -> tuple[Tensor, ...]:
    """`split_with_sizes` whose results are tensors of their own, not views.

    >>> import flambeau as torch
    >>> torch.unsafe_split_with_sizes(torch.arange(3), (1, 2))
    (tensor([0]), tensor([1, 2]))
    """
    return _untracked(split_with_sizes(input, split_sizes, dim))


@composite(samples=_samples.on(((5, 3), 2), ((5, 3), 2, -1)))
def unsafe_chunk(input: Tensor, chunks: int, dim: int = 0) -> tuple[Tensor, ...]:
    """`chunk` whose results are tensors of their own, not views.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.unsafe_chunk.html

    >>> import flambeau as torch
    >>> torch.unsafe_chunk(torch.arange(4), 2)
    (tensor([0, 1]), tensor([2, 3]))
    """
    return _untracked(chunk(input, chunks, dim))
