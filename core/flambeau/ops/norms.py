"""Norms of vectors and matrices."""

from __future__ import annotations

from typing import Any

from flambeau import dispatch, dtypes, shapes
from flambeau.errors import ArgumentError, DtypeError, ShapeError
from flambeau.ir import expr
from flambeau.ir.reductions import Reduction
from flambeau.ops import _faces, _matrix_samples
from flambeau.shapes import Shape
from flambeau.tensor import Tensor

INF = float("inf")


def _norm_gradient(g: Tensor, input: Tensor, result: Tensor, ord: float, dim: Shape, keepdim: bool) -> Tensor:
    """The gradient of a p-norm; 0 where the norm is 0 and has a corner."""
    shape = input._array.shape
    g = _faces.restore(g, shape, dim, keepdim)
    norm = _faces.restore(result, shape, dim, keepdim)
    if ord == 0:
        return input * 0
    if ord == 1:
        return input.sgn() * g
    if ord == 2:
        return input * (g / norm).masked_fill(norm == 0, 0)
    size = input.abs()
    if ord in (INF, -INF):
        attained = (size == norm).detach()
        number = attained.sum(dim, keepdim=True) if dim else attained.to(dtypes.int64)
        return input.sgn() * attained.to(g._kind.dtype) * (g / number)
    if ord < 1:
        power = input.sgn() * size.masked_fill(size == 0, 1).pow(ord - 1).masked_fill(size == 0, 0)
        return power * g * norm.pow(1 - ord)
    if ord < 2:
        power = input.sgn() * size.pow(ord - 1)
    else:
        power = input * size.pow(ord - 2)
    return power * (g / norm.pow(ord - 1)).masked_fill(norm == 0, 0)


# The loop is that of the norm with ord 2, which is what kernels are for.
@dispatch.operator(method=False, samples=_matrix_samples.vector_norm, vjp={"input": _norm_gradient}, namespace="linalg",
                   loop=Reduction(0, lambda a, b: a + b, load=lambda x: x * x,
                                  finish=lambda total, count: expr.sqrt(total)))
def _linalg_vector_norm(input: Tensor, ord: float, dim: Shape, keepdim: bool) -> Tensor:
    """The `ord`-th root of the sum of `ord`-th powers of absolute values."""
    size = input.abs()
    if ord == 0:
        return (input != 0).to(size._kind.dtype).sum(dim, keepdim) if dim else (input != 0).to(size._kind.dtype)
    if ord == INF:
        return size.amax(dim, keepdim) if dim else size
    if ord == -INF:
        return size.amin(dim, keepdim) if dim else size
    if not dim:
        return size
    if ord == 1:
        return size.sum(dim, keepdim)
    if ord == 2:
        return (size * size).sum(dim, keepdim).sqrt()
    return size.pow(ord).sum(dim, keepdim).pow(1 / ord)


def _prepared(op: str, input: Tensor, dtype: Any) -> Tensor:
    own = _faces.as_tensor_argument(op, "input", input)._kind.dtype
    if not own.is_differentiable:
        raise DtypeError(f"{op}: Expected a floating point or complex tensor as input. Got "
                         f"{_faces.scalar_name(own)}; convert it")
    if dtype is None:
        return input
    wanted = dtypes.as_dtype(dtype)
    name = _faces.scalar_name(wanted)
    if not wanted.is_differentiable:
        raise DtypeError(f"{op}: dtype should be floating point or complex, but got {name}")
    if wanted.is_complex != own.is_complex:
        word = "complex" if own.is_complex else "real"
        raise DtypeError(f"{op}: dtype should be {word} for {word} inputs, but got {name}")
    if dtypes.promote_types(own, wanted) is not wanted:
        raise DtypeError(f"{op}: the dtype of the input ({_faces.scalar_name(own)}) should be convertible without "
                         f"narrowing to the specified dtype ({name})")
    return input.to(wanted)


@_faces.face(_linalg_vector_norm)
def vector_norm(x: Tensor, ord: Any = 2, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    """The p-norm of the elements as one vector, or of the vectors along dimensions; `ord` may be 0, inf, -inf.

    RuntimeError for integers, for a `dtype` narrower than the input's, and for inf or -inf (or negative) of no
    elements.
    Source: https://docs.pytorch.org/docs/stable/generated/torch.linalg.vector_norm.html

    >>> import flambeau as torch
    >>> torch.linalg.vector_norm(torch.tensor([3., 4.]))
    tensor(5.)
    """
    x = _prepared("linalg.vector_norm", x, dtype)
    dims = shapes.reduction_dims(dim, len(x._array.shape))
    if (ord < 0 or ord == INF) and any(x._array.shape[each] == 0 for each in dims):
        raise ArgumentError(f"linalg.vector_norm cannot compute the {ord} norm on an empty dimension because the "
                            "operation does not have an identity")
    return _linalg_vector_norm(x, float(ord), dims, keepdim)


def _largest(sizes: Tensor, dim: int, keepdim: bool = False) -> Tensor:
    """The largest of sizes, which is 0 where there are none."""
    return sizes.amax(dim, keepdim) if sizes._array.shape[dim] else sizes.sum(dim, keepdim)


@_faces.reducing(name="linalg_matrix_norm", namespace="linalg", method=False, samples=_matrix_samples.matrix_norm)
def matrix_norm(A: Tensor, ord: Any = "fro", dim: Any = (-2, -1), keepdim: bool = False, *,
                dtype: Any = None) -> Tensor:
    """A norm of matrices: "fro", "nuc", inf, -inf, 1, -1, 2 or -2.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.linalg.matrix_norm.html

    >>> import flambeau as torch
    >>> torch.linalg.matrix_norm(torch.tensor([[3., 0.], [0., 4.]]))
    tensor(5.)
    """
    matrix = _prepared("linalg.matrix_norm", A, dtype)
    if matrix.dim() < 2:
        raise ShapeError(f"linalg.matrix_norm: The input tensor A must have at least 2 dimensions; given: "
                         f"{matrix.dim()}")
    if isinstance(dim, int) or len(dim) != 2:
        raise ArgumentError(f"linalg.matrix_norm: dim must be a 2-tuple. Got {dim}")
    row, column = shapes.wrap_dims(dim, matrix.dim())
    if ord == "fro":
        return _linalg_vector_norm(matrix, 2.0, (row, column), keepdim)
    if ord not in ("nuc", INF, -INF, 1, -1, 2, -2):
        raise ArgumentError(f"linalg.matrix_norm: Order {ord} not supported; allowed: fro, nuc, inf, -inf, 1, -1, 2, "
                            "-2")
    if ord == "nuc" or abs(ord) == 2:
        from flambeau.ops.factorization import svdvals
        values = svdvals(matrix.movedim((row, column), (-2, -1)))
        result = values.sum(-1) if ord == "nuc" else _largest(values, -1) if ord > 0 else values.amin(-1)
        return result.reshape(shapes.reduced_shape(matrix._array.shape, (row, column), True)) if keepdim else result
    along, across = (row, column) if abs(ord) == 1 else (column, row)
    sums = matrix.abs().sum(along, keepdim=True)
    result = _largest(sums, across, True) if ord > 0 else sums.amin(across, keepdim=True)
    return result if keepdim else result.squeeze((row, column))


@_faces.reducing(name="linalg_norm", namespace="linalg", method=False, samples=_matrix_samples.linalg_norm)
def linalg_norm(A: Tensor, ord: Any = None, dim: Any = None, keepdim: bool = False, *,
                dtype: Any = None) -> Tensor:
    """A vector or matrix norm: by `dim` (one or two dimensions), or by the tensor's own where an `ord` is given.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.linalg.norm.html

    >>> import flambeau as torch
    >>> torch.linalg.norm(torch.tensor([[3., 0.], [0., 4.]]), 2)
    tensor(4.)
    """
    if ord is not None:
        matrix = len(dim) == 2 if dim is not None and not isinstance(dim, int) else dim is None and A.dim() == 2
        if dim is None and A.dim() not in (1, 2):
            raise ArgumentError(f"linalg.norm: If dim is not specified but ord is, the input must be 1D or 2D. Got "
                                f"{A.dim()}D.")
        if matrix:
            return matrix_norm(A, ord, (0, 1) if dim is None else dim, keepdim, dtype=dtype)
    return vector_norm(A, 2 if ord is None else ord, dim, keepdim, dtype=dtype)


@_faces.reducing(samples=_matrix_samples.norm)
def norm(input: Tensor, p: Any = "fro", dim: Any = None, keepdim: bool = False, dtype: Any = None) -> Tensor:
    """The p-norm of the elements or along dimensions; "fro" is the root of the sum of squares, "nuc" of matrices.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.norm.html

    >>> import flambeau as torch
    >>> torch.tensor([3., 4.]).norm()
    tensor(5.)
    """
    if p == "nuc":
        return matrix_norm(input, "nuc", (0, 1) if dim is None else dim, keepdim, dtype=dtype)
    return vector_norm(input, 2 if p in ("fro", None) else p, dim, keepdim, dtype=dtype)


@dispatch.composite(out=True, samples=_matrix_samples.dist)
def dist(input: Tensor, other: Tensor, p: float = 2) -> Tensor:
    """The p-norm of the difference of two tensors.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.dist.html

    >>> import flambeau as torch
    >>> torch.dist(torch.tensor([3., 4.]), torch.zeros(2))
    tensor(5.)
    """
    return vector_norm(input - other, p)


@dispatch.composite(out=True, inplace=True, samples=_matrix_samples.renorm)
def renorm(input: Tensor, p: float, dim: int, maxnorm: float) -> Tensor:
    """Scale the slices along `dim` whose p-norm is above `maxnorm` down to it.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.renorm.html

    >>> import flambeau as torch
    >>> torch.renorm(torch.tensor([[3., 4.], [0., 1.]]), 2, 0, 1.0)
    tensor([[0.6000, 0.8000],
            [0.0000, 1.0000]])
    """
    if input.dim() < 2:
        raise ShapeError(f"renorm: input needs at least 2 dimensions, got {input.dim()} dimensions")
    dim = shapes.wrap_dim(dim, input.dim())
    if p <= 0 or maxnorm < 0:
        raise ArgumentError(f"renorm: non-positive norm or negative maxnorm not supported; given: p={p}, "
                            f"maxnorm={maxnorm}")
    norms = vector_norm(input, p, [each for each in range(input.dim()) if each != dim], keepdim=True)
    return input * (maxnorm / (norms + 1e-7)).masked_fill((norms > maxnorm).logical_not(), 1)


__all__ = [name for name, value in list(globals().items())
           if hasattr(value, "op") and value.op.namespace == "torch" and not name.startswith("_")]
