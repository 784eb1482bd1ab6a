"""What is made of the decompositions: triangular systems, condition numbers, exponentials, tensors as matrices."""

from __future__ import annotations

import math
from typing import Any

from flambeau import dispatch
from flambeau.errors import ArgumentError, ArgumentTypeError, DtypeError, ShapeError
from flambeau.ops import _faces, _matrix_samples, rules
from flambeau.ops.factorization import (
    _adjoint,
    _check,
    _conj,
    _identity_like,
    _linalg_solve,
    inv,
    linalg_qr,
    linalg_svd,
    svdvals,
)
from flambeau.ops.norms import linalg_norm
from flambeau.tensor import Tensor

_SVD = _faces.return_type("svd", "U", "S", "V")
_QR = _faces.return_type("qr", "Q", "R")
_TriangularSolve = _faces.return_type("triangular_solve", "solution", "cloned_coefficient")


# ---------------------------------------------------------------------------------------------- triangular systems
def _triangle(A: Tensor, upper: bool, unitriangular: bool) -> Tensor:
    """The part of a matrix that a triangular solver reads."""
    if unitriangular:
        return (A.triu(1) if upper else A.tril(-1)) + _identity_like(A)
    return A.triu() if upper else A.tril()


@dispatch.composite(out=True, namespace="linalg", method=False, name="linalg_solve_triangular",
                    samples=_matrix_samples.solve_triangular)
def solve_triangular(A: Tensor, B: Tensor, *, upper: bool, left: bool = True, unitriangular: bool = False) -> Tensor:
    """X with A @ X = B (X @ A = B if not `left`) for triangular matrices A, of which one triangle is read.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.linalg.solve_triangular.html

    >>> import flambeau as torch
    >>> torch.linalg.solve_triangular(torch.tensor([[2., 9.], [4., 1.]]), torch.tensor([[2.], [5.]]), upper=False)
    tensor([[1.],
            [1.]])
    """
    _check("linalg.solve_triangular", A)
    if B.dim() < 2:
        raise ShapeError(f"linalg.solve_triangular: B must have at least 2 dimensions; given: {B.dim()}")
    if B._kind is not A._kind:
        raise DtypeError("linalg.solve_triangular: Expected A and B to have the same dtype, but found type "
                         f"{A.dtype} for A and {B.dtype} for B; convert one")
    if B._array.shape[-2 if left else -1] != A._array.shape[-1]:
        raise ShapeError(f"linalg.solve_triangular: Incompatible shapes of A and B for the equation "
                         f"{'AX' if left else 'XA'} = B ({A._array.shape[-2:]} and {B._array.shape[-2:]})")
    triangle = _triangle(A, upper, unitriangular)
    if left:
        return _linalg_solve(triangle, B)
    return _linalg_solve(triangle.transpose(-2, -1), B.transpose(-2, -1)).transpose(-2, -1)


def _factor(L: Tensor, upper: bool) -> Tensor:
    """The triangle, with the gradient of a full matrix: as in PyTorch, where the factorization's takes its part."""
    plain = L.detach()
    nothing = (L - plain).masked_fill(plain - plain != 0, 0)     # whatever stands in the other triangle
    return _triangle(plain, upper, False) + nothing


@dispatch.composite(out=True, samples=_matrix_samples.triangular_solve)
def triangular_solve(input: Tensor, A: Tensor, upper: bool = True, transpose: bool = False,
                     unitriangular: bool = False) -> Any:
    """X with A @ X = input (A^T if `transpose`), and a copy of A, as a named tuple; see `linalg.solve_triangular`.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.triangular_solve.html

    >>> import flambeau as torch
    >>> torch.triangular_solve(torch.tensor([[4.]]), torch.tensor([[2.]])).solution
    tensor([[2.]])
    """
    triangle = _triangle(_check("triangular_solve", A), upper, unitriangular)
    solution = _linalg_solve(triangle.transpose(-2, -1) if transpose else triangle, input)
    return _TriangularSolve(solution, A.expand((*solution._array.shape[:-2], *A._array.shape[-2:])).clone())


@dispatch.composite(out=True, samples=_matrix_samples.cholesky_solve)
def cholesky_solve(input: Tensor, L: Tensor, upper: bool = False) -> Tensor:
    """X with A @ X = input, where A = L @ L^H (`upper`: L^H @ L).

    Source: https://docs.pytorch.org/docs/stable/generated/torch.cholesky_solve.html

    >>> import flambeau as torch
    >>> torch.cholesky_solve(torch.tensor([[8.]]), torch.tensor([[2.]]))
    tensor([[2.]])
    """
    if input.dim() < 2 or L.dim() < 2:
        raise ShapeError(f"cholesky_solve: b and u should have at least 2 dimensions, but have {input.dim()} and "
                         f"{L.dim()} dimensions instead")
    factor = _factor(_check("cholesky_solve", L), upper)
    first, second = (_adjoint(factor), factor) if upper else (factor, _adjoint(factor))
    return _linalg_solve(second, _linalg_solve(first, input))


@dispatch.composite(out=True, samples=_matrix_samples.cholesky_inverse)
def cholesky_inverse(input: Tensor, upper: bool = False) -> Tensor:
    """The inverse of A = L @ L^H (`upper`: L^H @ L) from its factor.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.cholesky_inverse.html

    >>> import flambeau as torch
    >>> torch.cholesky_inverse(torch.tensor([[2.]]))
    tensor([[0.2500]])
    """
    factor = inv(_factor(_check("cholesky_inverse", input), upper))
    return factor.matmul(_adjoint(factor)) if upper else _adjoint(factor).matmul(factor)


# ---------------------------------------------------------------------------------------------- older names
@dispatch.composite(out=True, samples=_matrix_samples.old_svd)
def svd(input: Tensor, some: bool = True, compute_uv: bool = True) -> Any:
    """U, S, V with input = U @ diag(S) @ V^H, as a named tuple; `linalg.svd` is the newer form.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.svd.html

    >>> import flambeau as torch
    >>> torch.svd(torch.tensor([[3., 0.], [0., 4.]])).S
    tensor([4., 3.])
    """
    if not compute_uv:
        values = svdvals(input)
        shape = input._array.shape
        return _SVD(input.new_zeros((*shape[:-1], shape[-2])), values,
                    input.new_zeros((*shape[:-2], shape[-1], shape[-1])))
    u, s, vh = linalg_svd(input, full_matrices=not some)
    return _SVD(u, s, _adjoint(vh))


@dispatch.composite(out=True, samples=_matrix_samples.old_qr)
def qr(input: Tensor, some: bool = True) -> Any:
    """Q and R with input = Q @ R, as a named tuple; `linalg.qr` is the newer form.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.qr.html

    >>> import flambeau as torch
    >>> torch.qr(torch.eye(2)).R.abs()
    tensor([[1., 0.],
            [0., 1.]])
    """
    return _QR(*linalg_qr(input, "reduced" if some else "complete"))


# ---------------------------------------------------------------------------------------------- products and conditions
@dispatch.composite(out=True, namespace="linalg", method=False, name="linalg_vecdot",
                    samples=_matrix_samples.vecdot)
def vecdot(x: Tensor, y: Tensor, *, dim: int = -1) -> Tensor:
    """Sums of products of vectors along `dim`, the first conjugated; the other dimensions are broadcast.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.linalg.vecdot.html

    >>> import flambeau as torch
    >>> torch.linalg.vecdot(torch.tensor([[1., 2.], [3., 4.]]), torch.tensor([1., 1.]))
    tensor([3., 7.])
    """
    for each in (x, y):
        if not each._kind.differentiable:
            raise DtypeError(f"linalg.vecdot: Expected a floating point or complex tensor as input. Got "
                             f"{_faces.scalar_name(each._kind.dtype)}; convert it")
    return (_conj(x) * y).sum(dim)


@dispatch.composite(out=True, namespace="linalg", method=False, name="linalg_cond",
                    samples=_matrix_samples.cond)
def cond(A: Tensor, p: Any = None) -> Tensor:
    """The condition number of matrices in the matrix norm `p`: by default the ratio of extreme singular values.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.linalg.cond.html

    >>> import flambeau as torch
    >>> torch.linalg.cond(torch.tensor([[2., 0.], [0., 4.]]))
    tensor(2.)
    """
    _check("linalg.cond", A, p not in (None, 2, -2))
    if p in (None, 2, -2):
        values = svdvals(A)
        if 0 in A._array.shape[-2:]:
            return values.sum(-1)
        first, last = values.narrow(-1, 0, 1), values.narrow(-1, values._array.shape[-1] - 1, 1)
        return (last / first if p == -2 else first / last).squeeze(-1)
    if 0 in A._array.shape[-2:]:
        return A.real.sum((-2, -1)) if A._kind.dtype.is_complex else A.sum((-2, -1))
    return linalg_norm(A, p, (-2, -1)) * linalg_norm(inv(A), p, (-2, -1))


@dispatch.composite(out=True, namespace="linalg", method=False, name="linalg_tensorsolve",
                    samples=_matrix_samples.tensorsolve)
def tensorsolve(A: Tensor, B: Tensor, dims: Any = None) -> Tensor:
    """X with `tensordot(A, X, X.ndim)` = B; `dims` of A are moved to its end first.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.linalg.tensorsolve.html

    >>> import flambeau as torch
    >>> torch.linalg.tensorsolve(2 * torch.eye(4).reshape(2, 2, 4), torch.ones(2, 2))
    tensor([0.5000, 0.5000, 0.5000, 0.5000])
    """
    if not A._kind.differentiable:
        raise DtypeError("linalg.tensorsolve: Expected a floating point or complex tensor as input. Got "
                         f"{_faces.scalar_name(A._kind.dtype)}; convert it")
    if dims is not None:
        A = A.movedim(tuple(dims), tuple(range(A.dim() - len(dims), A.dim())))
    shape = A._array.shape[B.dim():]
    if math.prod(shape) != math.prod(A._array.shape[:B.dim()]):
        raise ShapeError("linalg.tensorsolve: Expected self to satisfy the requirement "
                         "prod(self.shape[other.ndim:]) == prod(self.shape[:other.ndim]), but got "
                         f"{math.prod(shape)} != {math.prod(A._array.shape[:B.dim()])}")
    return _linalg_solve(A.reshape(math.prod(shape), math.prod(shape)), B.reshape(-1, 1)).reshape(shape)


@dispatch.composite(out=True, namespace="linalg", method=False, name="linalg_tensorinv",
                    samples=_matrix_samples.tensorinv)
def tensorinv(A: Tensor, ind: int = 2) -> Tensor:
    """The inverse of A as a map from its last dimensions to its first `ind` ones.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.linalg.tensorinv.html

    >>> import flambeau as torch
    >>> torch.linalg.tensorinv(torch.eye(4).reshape(2, 2, 4)).shape
    torch.Size([4, 2, 2])
    """
    if ind <= 0:
        raise ArgumentError("linalg.tensorinv: Expected a strictly positive integer for 'ind'")
    first, last = A._array.shape[:ind], A._array.shape[ind:]
    if math.prod(first) != math.prod(last):
        raise ShapeError("linalg.tensorinv: Expected self to satisfy the requirement prod(self.shape[ind:]) == "
                         f"prod(self.shape[:ind]), but got {math.prod(last)} != {math.prod(first)}")
    return inv(A.reshape(math.prod(first), math.prod(last))).reshape((*last, *first))


# ---------------------------------------------------------------------------------------------- the exponential
@dispatch.composite(namespace="linalg", method=False, name="linalg_matrix_exp", samples=_matrix_samples.matrix_exp)
def linalg_matrix_exp(A: Tensor) -> Tensor:
    """The exponential of square matrices: Taylor's series of A / 2**k, squared k times.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.linalg.matrix_exp.html

    >>> import flambeau as torch
    >>> torch.linalg.matrix_exp(torch.tensor([[0., 1.], [0., 0.]]))
    tensor([[1., 1.],
            [0., 1.]])
    """
    if not isinstance(A, Tensor):
        raise ArgumentTypeError(f"linalg.matrix_exp(): argument 'A' must be Tensor, not {type(A).__name__}")
    if A._kind.emulated:   # one rounding, of the result
        return linalg_matrix_exp(A.to(A._kind.compute.dtype)).to(A._kind.dtype)
    _check("linalg.matrix_exp", A)
    if 0 in A._array.shape:
        return A.clone()
    largest = float(A.detach().abs().sum(-1).amax().item())
    squarings = max(0, math.ceil(math.log2(largest / 0.25))) if 0 < largest < math.inf else 0
    scaled = A / 2 ** squarings
    result = _identity_like(A) + scaled / 16
    for order in range(15, 0, -1):       # 0.25 ** 17 / 17! is far below the last digit
        result = _identity_like(A) + scaled.matmul(result) / order
    for _ in range(squarings):
        result = result.matmul(result)
    return result


@dispatch.composite(samples=_matrix_samples.matrix_exp)
def matrix_exp(input: Tensor) -> Tensor:
    """`linalg.matrix_exp`.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.matrix_exp.html

    >>> import flambeau as torch
    >>> torch.matrix_exp(torch.tensor([[0., 1.], [0., 0.]]))
    tensor([[1., 1.],
            [0., 1.]])
    """
    return linalg_matrix_exp(input)


__all__ = rules.public(globals())
