"""Views under another shape: the same memory, and the rearrangements that copy only when they must.

A view's record is a rule on metadata; its gradient is the view that undoes it. What changes the dtype or picks some of
the elements is in `views`, indexing in `indexing`.
"""

from __future__ import annotations

import builtins
from collections.abc import Sequence
from typing import Any

from flambeau import shapes
from flambeau.dispatch import alias, composite, front, operator, view as view_rule
from flambeau.dtypes import dtype
from flambeau.errors import ArgumentError, ArgumentTypeError, ShapeError, message
from flambeau.graph import Node
from flambeau.layouts import contiguous_format, preserve_format
from flambeau.ops import _samples
from flambeau.shapes import Shape
from flambeau.tensor import Tensor, attach, make

Layout = tuple[Shape, Shape, int]


def as_dims(dims: Any, op: str) -> Shape:
    """What a variadic call `f(0, 1)` or `f((0, 1))` collected, as a tuple of ints."""
    return shapes.as_shape(dims, op) if dims else ()


# ---------------------------------------------------------------------------------------------- order of dimensions
@view_rule(vjp={"input": lambda g, dim0, dim1: _transpose(g, dim0, dim1)},
           samples=_samples.on(((2, 3, 4), 0, 2), ((2, 3, 4), -1, 1)))
def _transpose(shape: Shape, strides: Shape, offset: int, dim0: int, dim1: int) -> Layout:
    """Swap two dimensions (counted from the start)."""
    order = list(range(len(shape)))
    if order:
        order[dim0], order[dim1] = order[dim1], order[dim0]
    return tuple([shape[index] for index in order]), tuple([strides[index] for index in order]), offset


@front(_transpose)
def transpose(input: Tensor, dim0: int, dim1: int) -> Tensor:
    """A view with two dimensions swapped. IndexError for a dimension out of range.

    >>> import flambeau as torch
    >>> torch.zeros(2, 3).transpose(0, 1).shape
    torch.Size([3, 2])
    """
    try:
        ndim = len(input._array.shape)
    except AttributeError:
        raise ArgumentTypeError(f"transpose(): argument 'input' (position 1) must be Tensor, "
                                f"not {type(input).__name__}") from None
    if not (0 <= dim0 < ndim and 0 <= dim1 < ndim):
        dim0, dim1 = shapes.wrap_dim(dim0, ndim), shapes.wrap_dim(dim1, ndim)
        if not ndim:
            return _alias(input)
    return _transpose(input, dim0, dim1)


swapaxes = alias("swapaxes", transpose)
swapdims = alias("swapdims", transpose)


@view_rule(samples=_samples.on(((2, 3),)), name="alias", vjp={"input": lambda g: g}, method=False)
def _alias(shape: Shape, strides: Shape, offset: int) -> Layout:
    """The same view once more, as a tensor of its own."""
    return shape, strides, offset


@view_rule(samples=_samples.on(((2, 3),), ((3,),)), vjp={"input": lambda g: t(g)})
def _t(shape: Shape, strides: Shape, offset: int) -> Layout:
    """Swap the dimensions of a matrix; a vector stays as it is."""
    return shape[::-1], strides[::-1], offset


@front(_t)
def t(input: Tensor) -> Tensor:
    """The transpose of a matrix, as a view; tensors of fewer dimensions stay as they are.

    >>> import flambeau as torch
    >>> torch.zeros(2, 3).t().shape
    torch.Size([3, 2])
    """
    if len(input._array.shape) > 2:
        raise ShapeError(message("t()", f"t() expects a tensor with <= 2 dimensions, but self is {input.dim()}D",
                                 next_step="use .mT for the last two dimensions, or .transpose(dim0, dim1)"))
    return _t(input)


@view_rule(vjp={"input": lambda g, dims: _permute(g, _inverse(dims))},
           samples=_samples.on(((2, 3, 4), (2, 0, 1)), ((2, 3, 4), (0, -1, 1))))
def _permute(shape: Shape, strides: Shape, offset: int, dims: Shape) -> Layout:
    """Put the dimensions in the order `dims`."""
    return tuple([shape[index] for index in dims]), tuple([strides[index] for index in dims]), offset


def _inverse(dims: Shape) -> Shape:
    order = [0] * len(dims)
    for index, dim in enumerate(dims):
        order[dim] = index
    return tuple(order)


_RANGES = list(range(64))


def _plain(dims: Any) -> builtins.bool:
    """Whether these are nothing but ints, so that the short way may compare them."""
    for each in dims:  # noqa: SIM110 - a generator would cost more than the loop
        if each.__class__ is not int:
            return False
    return True


@front(_permute)
def permute(input: Tensor, *order: Any, dims: Any = None) -> Tensor:
    """A view with the dimensions in another order.

    >>> import flambeau as torch
    >>> torch.zeros(2, 3, 4).permute(2, 0, 1).shape
    torch.Size([4, 2, 3])
    """
    ndim = len(input._array.shape)
    if dims is not None:
        order = (tuple(dims),)
    order = order[0] if len(order) == 1 and order[0].__class__ is tuple else order
    if _plain(order) and sorted(order) == _RANGES[:ndim]:
        return _permute(input, order)
    order = as_dims(order, "permute") if order else ()
    if len(order) != ndim:
        raise ShapeError("permute: number of dimensions in the tensor input does not match the length of "
                         "the desired "
                         f"ordering of dimensions i.e. input.dim() = {ndim} is not equal to len(dims) = "
                         f"{len(order)}")
    wrapped = tuple([shapes.wrap_dim(each, ndim) for each in order])
    if len(set(wrapped)) != ndim:
        raise ArgumentError(f"permute(): duplicate dims are not allowed; given: {list(order)}")
    return _permute(input, wrapped)


@composite(samples=_samples.on(((2, 3, 4), 0, 2), ((2, 3, 4), (0, 1), (-1, 0))))
def movedim(input: Tensor, source: Any, destination: Any) -> Tensor:
    """A view with the dimensions `source` moved to the places `destination`; the others keep their order.

    >>> import flambeau as torch
    >>> torch.zeros(2, 3, 4).movedim(0, 2).shape
    torch.Size([3, 4, 2])
    """
    ndim = len(input._array.shape)
    sources = (source,) if shapes.is_int(source) else tuple(source)
    places = (destination,) if shapes.is_int(destination) else tuple(destination)
    if len(sources) != len(places):
        raise ArgumentError(f"movedim: Invalid source or destination dims: source ({list(sources)} dims) "
                            "should contain "
                            f"the same number of dims as destination ({list(places)} dims)")
    from_dims = tuple([shapes.wrap_dim(each, ndim) for each in sources])
    to_dims = tuple([shapes.wrap_dim(each, ndim) for each in places])
    for name, dims, given in (("source", from_dims, sources), ("destination", to_dims, places)):
        if len(set(dims)) != len(dims):
            raise ArgumentError(f"movedim: repeated dim in `{name}` ({list(given)})")
    if not ndim:
        return _alias(input)
    rest = iter([index for index in range(ndim) if index not in from_dims])
    placed = dict(zip(to_dims, from_dims, strict=True))
    return permute(input, tuple([placed[index] if index in placed else next(rest) for index in range(ndim)]))


moveaxis = alias("moveaxis", movedim)


# ---------------------------------------------------------------------------------------------- sizes
@view_rule(vjp={"input": lambda g, input_shape: reshape(g, input_shape)}, namespace="Tensor",
           samples=_samples.on(((2, 3, 4), (6, 4)), ((2, 3, 4), (4, -1))))
def _view(shape: Shape, strides: Shape, offset: int, size: Shape) -> Layout:
    """The same elements under another shape; one size may be -1."""
    numel = 1
    for each in shape:
        numel *= each
    size = shapes.infer_size(size, numel)
    found = shapes.view_strides(shape, strides, size)
    if found is None:
        raise ShapeError("view: view size is not compatible with input tensor's size and stride (at least one "
                         "dimension spans across two contiguous subspaces). Use .reshape(...) instead; "
                         f"given: size {list(shape)}, stride {list(strides)}, view size {list(size)}")
    return size, found, offset


def _explain_view(input: Tensor, size: Any, op: str) -> None:
    """Raise what is wrong with a wanted shape, if it is the shape that is wrong."""
    shapes.infer_size(shapes.as_shape(tuple(size), op), input.numel(), op)


@front(_view)
def view(input: Tensor, *sizes: Any, size: Any = None, dtype: Any = None) -> Tensor:
    """The same memory under another shape, or read as another dtype; RuntimeError where that needs a copy.

    >>> import flambeau as torch
    >>> torch.zeros(2, 3).view(-1).shape
    torch.Size([6])
    """
    if len(sizes) == 1:
        first = sizes[0]
        if first.__class__ is not int:
            if first.__class__ is tuple or first.__class__ is shapes.Size:
                sizes = first
            elif _is_dtype(first):
                return _view_dtype(input, first)
            elif not hasattr(first, "__index__"):
                sizes = tuple(first)
    elif not sizes:
        if dtype is not None:
            return _view_dtype(input, dtype)
        sizes = () if size is None else tuple(size)
    if sizes and min(sizes) < -1:
        _explain_view(input, sizes, "view")
    try:
        return _view(input, sizes)
    except ValueError:
        _explain_view(input, sizes, "view")
        raise


def _is_dtype(value: Any) -> builtins.bool:
    return isinstance(value, dtype)


def _view_dtype(input: Tensor, wanted: dtype) -> Tensor:
    from flambeau.ops.views import view_dtype
    return view_dtype(input, wanted)


@operator(vjp={"input": lambda g, input_shape: reshape(g, input_shape)}, grad_name="UnsafeViewBackward0",
          method=False, dtype_rule="any", samples=_samples.on(((2, 3, 4), (6, 4))))
def _reshape_copy(input: Tensor, size: Shape) -> Tensor:
    """A contiguous copy under another shape, for where no view can have it."""
    fresh = input.clone(memory_format=contiguous_format)
    return make(_view(fresh, size)._array, input._kind)


@composite(samples=_samples.on(((2, 3, 4), (6, 4)), ((2, 3, 4), (4, -1))))
def reshape(input: Tensor, *sizes: Any, shape: Any = None) -> Tensor:
    """The elements under another shape: a view where the strides allow it, else a copy. One size may be -1.

    >>> import flambeau as torch
    >>> torch.arange(4).reshape(2, 2)
    tensor([[0, 1],
            [2, 3]])
    """
    if len(sizes) == 1 and sizes[0].__class__ is not int:
        if sizes[0].__class__ is tuple:
            sizes = sizes[0]
        elif not hasattr(sizes[0], "__index__"):
            sizes = tuple(sizes[0])
    elif shape is not None:
        sizes = tuple(shape)
    if sizes and min(sizes) < -1:
        _explain_view(input, sizes, "reshape")
    try:
        return _view(input, sizes)
    except (ValueError, ShapeError):
        _explain_view(input, sizes, "reshape")
    return _reshape_copy(input, shapes.infer_size(sizes, input.numel(), "reshape"))


@composite(samples=_samples.reshaped, namespace="Tensor")
def view_as(input: Tensor, other: Tensor) -> Tensor:
    """`input.view(other.shape)`."""
    return view(input, other._array.shape)


@composite(samples=_samples.reshaped, namespace="Tensor")
def reshape_as(input: Tensor, other: Tensor) -> Tensor:
    """`input.reshape(other.shape)`."""
    return reshape(input, other._array.shape)


@composite(samples=_samples.on(((2, 3, 4),), ((2, 3, 4), 1), ((2, 3, 4), -3, 1), ((),)))
def flatten(input: Tensor, start_dim: int = 0, end_dim: int = -1) -> Tensor:
    """The dimensions from `start_dim` to `end_dim` as one; a view where the strides allow it.

    >>> import flambeau as torch
    >>> torch.zeros(2, 3, 4).flatten(1).shape
    torch.Size([2, 12])
    """
    shape = input._array.shape
    ndim = len(shape)
    start, end = shapes.wrap_dim(start_dim, ndim), shapes.wrap_dim(end_dim, ndim)
    if start > end:
        raise ArgumentError("flatten() has invalid args: start_dim cannot come after end_dim; "
                            f"given: {start_dim} and {end_dim}")
    if not ndim:
        return reshape(input, (1,))
    if start == end:
        return input
    size = 1
    for each in shape[start:end + 1]:
        size *= each
    wanted = (*shape[:start], size, *shape[end + 1:])
    if input._array.shape and size:
        try:
            return _view(input, wanted)
        except ShapeError:
            return _reshape_copy(input, wanted)
    return reshape(input, wanted)


@composite(samples=_samples.on(((2, 3, 4),), ((),)))
def ravel(input: Tensor) -> Tensor:
    """All elements in one dimension; a copy only where they do not lie in row-major order.

    >>> import flambeau as torch
    >>> torch.ravel(torch.tensor([[1, 2], [3, 4]]))
    tensor([1, 2, 3, 4])
    """
    return view(contiguous(input), (-1,)) if input.numel() else view(contiguous(input), (0,))


@composite(samples=_samples.on(((2, 12), 1, (3, 4)), ((6, 2), -2, (-1, 2))))
def unflatten(input: Tensor, dim: int, sizes: Sequence[int]) -> Tensor:
    """A view with one dimension split into several; one of the sizes may be -1.

    >>> import flambeau as torch
    >>> torch.zeros(2, 12).unflatten(1, (3, -1)).shape
    torch.Size([2, 3, 4])
    """
    shape = input._array.shape
    dim = shapes.wrap_dim(dim, len(shape))
    parts = tuple([int(each) for each in sizes])
    if not parts:
        raise ArgumentError("unflatten: sizes must be non-empty")
    size = shape[dim] if shape else 1
    try:
        parts = shapes.infer_size(parts, size, "unflatten")
    except ShapeError:
        raise ShapeError(f"unflatten: Provided sizes {list(parts)} don't multiply up to the size of dim "
                         f"{dim} ({size}) "
                         "in the input tensor") from None
    return view(input, (*shape[:dim], *parts, *shape[dim + 1:]))


@attach
def contiguous(self: Tensor, memory_format: Any = None) -> Tensor:
    """The tensor itself where its elements lie in row-major order without gaps, else a copy in which they do.

    `memory_format` may ask for another order, such as `channels_last`.
    """
    if memory_format is None or memory_format is preserve_format:
        memory_format = contiguous_format
    return self if self.is_contiguous(memory_format) else self.clone(memory_format=memory_format)


# ---------------------------------------------------------------------------------------------- dimensions of size 1
def _squeeze_name(node: Node) -> str:
    dim = node.saved[1] if node.saved else ()
    return "SqueezeBackward" + ("0" if dim is None else "1" if isinstance(dim, int) else "2")


def squeezed(shape: Shape, dim: Any) -> list[int]:
    """The dimensions that stay when those named by a canonical `dim` are squeezed."""
    if dim is None:
        return [index for index, size in enumerate(shape) if size != 1]
    dims = (dim,) if isinstance(dim, int) else dim
    return [index for index, size in enumerate(shape) if size != 1 or index not in dims]


@view_rule(vjp={"input": lambda g, input_shape, dim: reshape(g, input_shape)}, grad_name=_squeeze_name,
           samples=_samples.on(((2, 1, 3, 1),), ((2, 1, 3, 1), 1), ((2, 1, 3, 1), (0, -1))))
def _squeeze(shape: Shape, strides: Shape, offset: int, dim: Any) -> Layout:
    """Leave out dimensions of size 1: all (None), one, or a tuple of them."""
    stay = squeezed(shape, dim)
    return tuple([shape[index] for index in stay]), tuple([strides[index] for index in stay]), offset


@front(_squeeze)
def squeeze(input: Tensor, dim: Any = None) -> Tensor:
    """A view without dimensions of size 1: all of them, or those of `dim` that have size 1.

    >>> import flambeau as torch
    >>> torch.zeros(2, 1, 3, 1).squeeze(1).shape
    torch.Size([2, 3, 1])
    """
    if dim is not None:
        ndim = len(input._array.shape)
        dim = shapes.wrap_dim(dim, ndim) if shapes.is_int(dim) else shapes.wrap_dims(dim, ndim)
    return _squeeze(input, dim)


@view_rule(samples=_samples.on(((2, 3), 0), ((2, 3), -2)), vjp={"input": lambda g, dim: _squeeze(g, dim)})
def _unsqueeze(shape: Shape, strides: Shape, offset: int, dim: int) -> Layout:
    """Add a dimension of size 1."""
    stride = shape[dim] * strides[dim] if dim < len(shape) else 1
    return (*shape[:dim], 1, *shape[dim:]), (*strides[:dim], stride, *strides[dim:]), offset


@front(_unsqueeze)
def unsqueeze(input: Tensor, dim: int) -> Tensor:
    """A view with a new dimension of size 1 at `dim`.

    >>> import flambeau as torch
    >>> torch.zeros(3).unsqueeze(-1).shape
    torch.Size([3, 1])
    """
    ndim = len(input._array.shape)
    if not 0 <= dim <= ndim:
        dim = shapes.wrap_dim(dim, ndim + 1)
    return _unsqueeze(input, dim)


@view_rule(samples=_samples.on(((3, 1), (2, 3, 4)), ((3, 1), (-1, 4))), vjp={"input": lambda g: g}, namespace="Tensor")
def _expand(shape: Shape, strides: Shape, offset: int, size: Shape) -> Layout:
    """Repeat dimensions of size 1 without copying. The walk sums the gradient back to the input's shape."""
    extra = len(size) - len(shape)
    spread = [0 if index < extra or shape[index - extra] != each else strides[index - extra]
              for index, each in enumerate(size)]
    return size, tuple(spread), offset


@front(_expand)
def expand(input: Tensor, *sizes: Any, size: Any = None, implicit: builtins.bool = False) -> Tensor:
    """A view that repeats dimensions of size 1, and adds dimensions in front; -1 keeps a size. Nothing is copied.

    >>> import flambeau as torch
    >>> torch.tensor([[1], [2]]).expand(2, 3)
    tensor([[1, 1, 1],
            [2, 2, 2]])
    """
    if size is not None:
        sizes = (tuple(size),)
    wanted = sizes[0] if len(sizes) == 1 and sizes[0].__class__ is tuple else sizes
    if not _plain(wanted):
        wanted = as_dims(sizes, "expand")
    shape = input._array.shape
    extra = len(wanted) - len(shape)
    if extra < 0:
        raise ShapeError(f"expand(torch.{input.dtype.name}{{{list(shape)}}}, size={list(wanted)}): the "
                         "number of sizes "
                         f"provided ({len(wanted)}) must be greater or equal to the number of dimensions in "
                         "the tensor "
                         f"({len(shape)})")
    if -1 in wanted:
        wanted = tuple([shape[index - extra] if each == -1 and index >= extra else each
                        for index, each in enumerate(wanted)])
    for mine, theirs in zip(shape, wanted[extra:] if extra else wanted, strict=True):
        if mine != theirs and mine != 1:
            index = next(i for i, (a, b) in enumerate(zip(shape, wanted[extra:], strict=True)) if a not in (1, b))
            raise ShapeError(f"expand: The expanded size of the tensor ({wanted[index + extra]}) must match "
                             "the existing "
                             f"size ({shape[index]}) at non-singleton dimension {index + extra}.  Target sizes: "
                             f"{list(wanted)}.  Tensor sizes: {list(shape)}")
    if wanted and min(wanted) < 0:
        raise ShapeError(f"expand: The expanded size of the tensor ({min(wanted)}) isn't allowed in a leading, "
                         f"non-existing dimension {wanted.index(min(wanted))}; given: {list(wanted)}")
    return _expand(input, wanted)


@composite(samples=_samples.expanded, namespace="Tensor")
def expand_as(input: Tensor, other: Tensor) -> Tensor:
    """`input.expand(other.shape)`."""
    return expand(input, other._array.shape)


@composite(samples=_samples.on(((3, 1), (2, 3, 4))))
def broadcast_to(input: Tensor, size: Any) -> Tensor:
    """`input.expand(size)`.

    >>> import flambeau as torch
    >>> torch.broadcast_to(torch.tensor([1, 2]), (2, 2))
    tensor([[1, 2],
            [1, 2]])
    """
    return expand(input, tuple(size))


@composite(samples=_samples.together(((3, 1), (4,)), ((2,), (), (3, 1))), method=False)
def broadcast_tensors(*tensors: Tensor) -> tuple[Tensor, ...]:
    """Views of the tensors, expanded to their common shape.

    >>> import flambeau as torch
    >>> [each.shape for each in torch.broadcast_tensors(torch.zeros(2, 1), torch.zeros(3))]
    [torch.Size([2, 3]), torch.Size([2, 3])]
    """
    several = tuple(tensors[0]) if len(tensors) == 1 and not isinstance(tensors[0], Tensor) else tensors
    shape = shapes.broadcast_shapes(*[each._array.shape for each in several])
    return tuple([expand(each, shape) for each in several])


@composite(samples=_samples.plain(((3, 1), (4,)), ((2, 1, 4), (3, 1), ())), method=False)
def broadcast_shapes(*shapes_: Any) -> shapes.Size:
    """The shape to which shapes broadcast together; an int is a shape of one dimension.

    >>> import flambeau as torch
    >>> torch.broadcast_shapes((2, 1), (3,))
    torch.Size([2, 3])
    """
    several = [(each,) if isinstance(each, int) else tuple(each) for each in shapes_]
    return shapes.Size(shapes.broadcast_shapes(*several, op="broadcast_shapes"))


# ---------------------------------------------------------------------------------------------- properties and so on
def _matrix_dims(tensor: Tensor, name: str) -> None:
    if len(tensor._array.shape) < 2:
        raise ShapeError(f"tensor.{name} is only supported on matrices or batches of matrices. "
                         f"Got {tensor.dim()}-D tensor.")


def _reversed(self: Tensor) -> Tensor:
    """A view with the dimensions in reverse order."""
    ndim = len(self._array.shape)
    return _permute(self, tuple(_RANGES[:ndim][::-1]))


def _mt(self: Tensor) -> Tensor:
    """A view with the last two dimensions swapped."""
    _matrix_dims(self, "mT")
    return transpose(self, -2, -1)


@composite(samples=_samples.on(((2, 3),), ((2, 3, 4),)))
def adjoint(input: Tensor) -> Tensor:
    """The last two dimensions swapped, and the complex conjugate.

    >>> import flambeau as torch
    >>> torch.adjoint(torch.tensor([[1j, 2 + 0j]]))
    tensor([[0.-1.j],
            [2.-0.j]])
    """
    if not input._array.shape:
        return input.conj()
    if len(input._array.shape) < 2:
        raise ShapeError("tensor.adjoint() is only supported on matrices or batches of matrices. "
                         f"Got {input.dim()}-D tensor.")
    turned = transpose(input, -2, -1)
    return turned.conj() if input._kind.dtype.is_complex else turned


def _mh(self: Tensor) -> Tensor:
    """The adjoint of matrices, or of batches of them."""
    _matrix_dims(self, "mH")
    return adjoint(self)


def _adjoint_matrix(self: Tensor) -> Tensor:
    """The adjoint of a matrix."""
    if len(self._array.shape) not in (0, 2):
        raise ShapeError(f"tensor.H is only supported on matrices (2-D tensors). Got {self.dim()}-D tensor.")
    return adjoint(self) if self._array.shape else self


for _name, _get in (("T", _reversed), ("mT", _mt), ("mH", _mh), ("H", _adjoint_matrix)):
    attach(property(_get, doc=_get.__doc__), _name)


def _at_least(ndim: int, tensors: tuple[Any, ...]) -> Any:
    several = tuple(tensors[0]) if len(tensors) == 1 and not isinstance(tensors[0], Tensor) else tensors
    results = []
    for each in several:
        have = each.dim()
        if have < ndim:
            before = 1 if ndim == 2 or (have == 1 and ndim == 3) else 0
            if ndim == 1 or have == 0:
                each = reshape(each, (1,) * ndim)
            else:
                for _ in range(before):
                    each = unsqueeze(each, 0)
                while each.dim() < ndim:
                    each = unsqueeze(each, -1)
        results.append(each)
    single = len(tensors) == 1 and isinstance(tensors[0], Tensor)
    return results[0] if single else tuple(results)


@composite(samples=_samples.lifted, method=False)
def atleast_1d(*tensors: Any) -> Any:
    """The tensor, or each of several, with at least one dimension."""
    return _at_least(1, tensors)


@composite(samples=_samples.lifted, method=False)
def atleast_2d(*tensors: Any) -> Any:
    """The tensor, or each of several, with at least two dimensions.

    >>> import flambeau as torch
    >>> torch.atleast_2d(torch.tensor([1, 2]))
    tensor([[1, 2]])
    """
    return _at_least(2, tensors)


@composite(samples=_samples.lifted, method=False)
def atleast_3d(*tensors: Any) -> Any:
    """The tensor, or each of several, with at least three dimensions.

    >>> import flambeau as torch
    >>> torch.atleast_3d(torch.tensor([1, 2])).shape
    torch.Size([1, 2, 1])
    """
    return _at_least(3, tensors)
