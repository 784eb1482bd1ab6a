"""Contractions made of products of matrices: over chosen dimensions, of chains, of blocks; and cross products."""

from __future__ import annotations

from typing import Any

from flambeau import dispatch, shapes
from flambeau.errors import ArgumentError, DtypeError, ShapeError
from flambeau.ops import _faces
from flambeau.ops._samples import Calls, listed, together
from flambeau.ops.linalg import _conj, mm
from flambeau.shapes import Shape, describe
from flambeau.tensor import Tensor


@dispatch.composite(out=True, samples=together(((2, 3), (4, 3)), ((3,), (2, 2, 3)), ((), (2, 3))))
def inner(input: Tensor, other: Tensor) -> Tensor:
    """Sums of products over the last dimension of both.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.inner.html

    >>> import flambeau as torch
    >>> torch.inner(torch.tensor([1., 2.]), torch.tensor([[1., 0.], [1., 1.]]))
    tensor([1., 3.])
    """
    if not input._array.shape or not other._array.shape:
        return input * other
    if input._array.shape[-1] != other._array.shape[-1]:
        raise ShapeError(f"inner() the last dimension must match on both input tensors but got shapes "
                         f"{describe(input._array.shape, other._array.shape)}")
    return tensordot(input, other, dims=([-1], [-1]))


def _samples_tensordot(make: Any) -> Calls:
    yield (make(2, 3, 4), make(3, 4, 2)), {}
    yield (make(2, 3, 4), make(4, 2)), {"dims": 1}
    yield (make(2, 3, 4), make(4, 2, 3)), {"dims": ([1, -1], [2, 0])}
    yield (make(2), make(3)), {"dims": 0}


@dispatch.composite(out=True, method=False, samples=_samples_tensordot)
def tensordot(a: Tensor, b: Tensor, dims: Any = 2) -> Tensor:
    """Sums of products over pairs of dimensions: the last `dims` of `a` with the first of `b`, or two lists.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.tensordot.html

    >>> import flambeau as torch
    >>> torch.tensordot(torch.ones(2, 3, 4), torch.ones(4, 3, 5), dims=([1, 2], [1, 0])).shape
    torch.Size([2, 5])
    """
    ours, theirs = _contracted(a, b, dims)
    kind = a._kind.dtype
    for one, two in zip(ours, theirs, strict=True):
        if a._array.shape[one] != b._array.shape[two] and 1 not in (a._array.shape[one], b._array.shape[two]):
            raise ShapeError(f"tensordot: contracted dimensions need to match, but first has size "
                             f"{a._array.shape[one]} in dim {one} and second has size {b._array.shape[two]} in dim "
                             f"{two}")
        if a._array.shape[one] != b._array.shape[two]:
            a, b = ((a.sum(one, keepdim=True, dtype=kind), b) if b._array.shape[two] == 1 else
                    (a, b.sum(two, keepdim=True, dtype=kind)))
    left = [each for each in range(a.dim()) if each not in ours]
    right = [each for each in range(b.dim()) if each not in theirs]
    size = _faces.count(a._array.shape, ours)
    rows, columns = _faces.count(a._array.shape, left), _faces.count(b._array.shape, right)
    product = mm(a.permute((*left, *ours)).reshape(rows, size), b.permute((*theirs, *right)).reshape(size, columns))
    return product.reshape((*(a._array.shape[each] for each in left), *(b._array.shape[each] for each in right)))


def _contracted(a: Tensor, b: Tensor, dims: Any) -> tuple[Shape, Shape]:
    if isinstance(dims, Tensor):
        dims = dims.tolist()
    if isinstance(dims, int):
        if dims < 0:
            raise ArgumentError(f"tensordot expects dims >= 0, but got dims={dims}")
        if dims > min(a.dim(), b.dim()):
            raise ArgumentError(f"tensordot expects dims < ndim_a or ndim_b, but got dims={dims}")
        return tuple(range(a.dim() - dims, a.dim())), tuple(range(dims))
    ours, theirs = dims
    ours, theirs = (tuple([each] if isinstance(each, int) else each) for each in (ours, theirs))
    if len(ours) != len(theirs):
        raise ShapeError("tensordot: both dimension lists should have same length; "
                         f"given: {list(ours)} and {list(theirs)}")
    return shapes.wrap_dims(ours, a.dim()), shapes.wrap_dims(theirs, b.dim())


@dispatch.composite(out=True, samples=together(((2, 3), (3, 2)), ((2,), (2, 3))))
def kron(input: Tensor, other: Tensor) -> Tensor:
    """Kronecker product: every element of `input` times the whole of `other`, block by block.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.kron.html

    >>> import flambeau as torch
    >>> torch.kron(torch.tensor([1., 2.]), torch.tensor([1., 10.]))
    tensor([ 1., 10.,  2., 20.])
    """
    ndim = max(input.dim(), other.dim())
    a = (1,) * (ndim - input.dim()) + input._array.shape
    b = (1,) * (ndim - other.dim()) + other._array.shape
    one = input.reshape(tuple(size for each in a for size in (each, 1)))
    two = other.reshape(tuple(size for each in b for size in (1, each)))
    return (one * two).reshape(tuple(x * y for x, y in zip(a, b, strict=True)))


def _multiplication_order(sizes: list[int]) -> list[list[int]]:
    """Where to split each run of matrices so that the fewest products of numbers are needed."""
    length = len(sizes) - 1
    cost = [[0] * length for _ in range(length)]
    split = [[0] * length for _ in range(length)]
    for width in range(1, length):
        for i in range(length - width):
            j = i + width
            cost[i][j], split[i][j] = min(
                (cost[i][k] + cost[k + 1][j] + sizes[i] * sizes[k + 1] * sizes[j + 1], k) for k in range(i, j))
    return split


@dispatch.composite(out=True, method=False, namespace="linalg", name="linalg_multi_dot",
                    samples=listed((((2, 3), (3, 4), (4, 2)),), (((3,), (3, 4), (4, 2), (2,)),)))
def multi_dot(tensors: list[Tensor]) -> Tensor:
    """The product of several matrices, in the order that takes the fewest operations; the ends may be vectors.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.linalg.multi_dot.html

    >>> import flambeau as torch
    >>> torch.linalg.multi_dot([torch.ones(2, 3), torch.ones(3, 4), torch.ones(4)])
    tensor([12., 12.])
    """
    matrices = list(tensors)
    if len(matrices) < 2:
        raise ArgumentError(f"multi_dot(): expected at least 2 tensors but got {len(matrices)}")
    row, column = matrices[0].dim() == 1, matrices[-1].dim() == 1
    if row:
        matrices[0] = matrices[0].unsqueeze(0)
    if column:
        matrices[-1] = matrices[-1].unsqueeze(1)
    for index, each in enumerate(matrices):
        if each.dim() != 2:
            raise ShapeError(f"multi_dot(): tensor {index} must be 2D but got {each.dim()}D; only the ends may be 1D")
    split = _multiplication_order([each._array.shape[0] for each in matrices] + [matrices[-1]._array.shape[1]])

    def product(first: int, last: int) -> Tensor:
        if first == last:
            return matrices[first]
        middle = split[first][last]
        return mm(product(first, middle), product(middle + 1, last))

    result = product(0, len(matrices) - 1)
    if row:
        result = result.squeeze(0)
    return result.squeeze(-1) if column else result


@dispatch.composite(method=False, samples=together(((2, 3), (3, 4), (4, 2))))
def chain_matmul(*matrices: Tensor) -> Tensor:
    """`linalg.multi_dot` of matrices given one by one.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.chain_matmul.html

    >>> import flambeau as torch
    >>> torch.chain_matmul(torch.ones(2, 3), torch.ones(3, 1)).shape
    torch.Size([2, 1])
    """
    return matrices[0] if len(matrices) == 1 else multi_dot(list(matrices))


def _samples_cross(make: Any) -> Calls:
    yield (make(2, 3, 3), make(2, 3, 3)), {"dim": 1}
    yield (make(3, 2, 1), make(3, 1, 4)), {"dim": 0}
    yield (make(2, 3), make(2, 3)), {}


@dispatch.operator(method=False, namespace="linalg", samples=_samples_cross, vjp={
    "input": lambda g, other, dim: linalg_cross(_conj(other), g, dim=dim),
    "other": lambda g, input, dim: linalg_cross(g, _conj(input), dim=dim)})
def linalg_cross(input: Tensor, other: Tensor, dim: int = -1) -> Tensor:
    """Cross product of 3-vectors along `dim`; other dimensions are broadcast.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.linalg.cross.html

    >>> import flambeau as torch
    >>> torch.linalg.cross(torch.tensor([1., 0., 0.]), torch.tensor([0., 1., 0.]))
    tensor([0., 0., 1.])
    """
    if input.dim() != other.dim():
        raise ShapeError(f"linalg.cross: inputs must have the same number of dimensions; given: {input.dim()} and "
                         f"{other.dim()}")
    shape = shapes.broadcast_shapes(input._array.shape, other._array.shape, op="linalg.cross")
    dim = shapes.wrap_dim(dim, len(shape))
    if input._array.shape[dim] != 3 or other._array.shape[dim] != 3:
        raise ShapeError(f"linalg.cross: inputs dimension {dim} must have length 3. Got {input._array.shape[dim]} and "
                         f"{other._array.shape[dim]}")
    a, b = input.expand(shape), other.expand(shape)
    return a.roll(-1, dim) * b.roll(-2, dim) - a.roll(-2, dim) * b.roll(-1, dim)


@dispatch.composite(out=True, samples=_samples_cross)
def cross(input: Tensor, other: Tensor, dim: int | None = None) -> Tensor:
    """Cross product of 3-vectors along `dim`, by default the first dimension of size 3.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.cross.html

    >>> import flambeau as torch
    >>> torch.cross(torch.tensor([1., 0., 0.]), torch.tensor([0., 1., 0.]), dim=0)
    tensor([0., 0., 1.])
    """
    if dim is None:
        shape = shapes.broadcast_shapes(input._array.shape, other._array.shape, op="cross")
        if 3 not in shape:
            raise ShapeError(f"cross: no dimension of size 3 in input; given: {list(shape)}")
        dim = shape.index(3)
    return linalg_cross(input, other, dim=dim)


def _samples_cdist(make: Any) -> Calls:
    yield (make(2, 3, 4), make(2, 5, 4)), {}
    for p in (0, 1, 3, float("inf")):
        yield (make(3, 2), make(2, 4, 2)), {"p": p}


@dispatch.composite(method=False, samples=_samples_cdist)
def cdist(x1: Tensor, x2: Tensor, p: float = 2.0, compute_mode: str = "use_mm_for_euclid_dist_if_necessary") -> Tensor:
    """The p-norm distances between all rows of `x1` (..., n, m) and all rows of `x2` (..., k, m): (..., n, k).

    Source: https://docs.pytorch.org/docs/stable/generated/torch.cdist.html

    >>> import flambeau as torch
    >>> torch.cdist(torch.zeros(1, 2), torch.tensor([[3., 4.]]))
    tensor([[5.]])
    """
    if x1.dim() < 2 or x2.dim() < 2:
        raise ShapeError(f"cdist only supports at least 2D tensors; given: {x1.dim()}D and {x2.dim()}D")
    if x1._array.shape[-1] != x2._array.shape[-1]:
        raise ShapeError(f"X1 and X2 must have the same number of columns; given: {x1._array.shape[-1]} and "
                         f"{x2._array.shape[-1]}")
    for name, each in (("X1", x1), ("X2", x2)):
        if not each._kind.dtype.is_floating_point:
            raise DtypeError(f"cdist only supports floating-point dtypes, {name} got: "
                             f"{_faces.scalar_name(each._kind.dtype)}; convert it, for example to torch.float32")
    if p < 0:
        raise ArgumentError(f"cdist only supports non-negative p values; given: {p}")
    difference = x1.unsqueeze(-2) - x2.unsqueeze(-3)
    if p == 0 or not x1._array.shape[-1]:
        return difference.abs().ceil().clamp(max=1).sum(-1)    # a nan stays one; without features all is 0
    if p == float("inf"):
        difference = difference.masked_fill(difference != difference, 0)    # which no maximum takes
    from flambeau.ops.norms import vector_norm
    return vector_norm(difference, p, -1)


__all__ = [name for name, value in list(globals().items())
           if hasattr(value, "op") and value.op.namespace == "torch" and not name.startswith("_")]
