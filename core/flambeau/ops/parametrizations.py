"""What weights are parametrised by: norms of their slices, and products of reflections.

A product of Householder reflections H_1 H_2 ... is I - V T Vᴴ with a triangular T (Schreiber and Van Loan, "A
storage-efficient WY representation for products of Householder transformations", 1989), which is a few products of
matrices and not a loop.
"""

from __future__ import annotations

from typing import Any

from flambeau import dispatch
from flambeau.errors import DimensionError, DtypeError, ShapeError
from flambeau.ops import _faces
from flambeau.ops._samples import Calls, on
from flambeau.ops.factorization import _check, _linalg_solve
from flambeau.ops.joining import cat, stack
from flambeau.ops.norms import vector_norm
from flambeau.ops.selection import where
from flambeau.tensor import Tensor

_Geqrf = _faces.return_type("geqrf", "a", "tau")


@dispatch.composite(method=False, samples=on(((3, 4),), ((3, 4, 2), 2, 1), ((3, 4), 1, -1)))
def norm_except_dim(v: Tensor, pow: float = 2, dim: int = 0) -> Tensor:
    """The norms of a tensor's slices along a dimension, which keep the tensor's number of dimensions; the norm of all
    with `dim=-1`.

    >>> import flambeau as torch
    >>> torch.norm_except_dim(torch.tensor([[3., 4.], [0., 1.]]))
    tensor([[5.],
            [1.]])
    """
    if dim == -1:
        return vector_norm(v, pow)
    if not 0 <= dim < v.dim():
        raise DimensionError("norm_except_dim: Dimension out of range (expected to be in range of "
                             f"[-1, {v.dim() - 1}], but got {dim})")
    sizes = [1] * v.dim()
    sizes[dim] = v.size(dim)
    return vector_norm(v.movedim(dim, 0).flatten(1), pow, 1).reshape(sizes) if v.dim() > 1 else v.abs()


def _adjoint(x: Tensor) -> Tensor:
    return (x.conj() if x.is_complex() else x).transpose(-2, -1)


def _householder_samples(make: Any) -> Calls:
    yield (make(4, 3, low=-1, high=1), make(3, low=0.5, high=1)), {}
    yield (make(2, 3, 3, low=-1, high=1), make(2, 2, low=0.5, high=1)), {}


@dispatch.composite(out=True, namespace="linalg", method=False, samples=_householder_samples)
def linalg_householder_product(input: Tensor, tau: Tensor) -> Tensor:
    """The first columns of a product of reflections I - tau v vᴴ.

    Below its diagonal, column i of the matrices `input` (..., m, n) holds the vector v of reflection i, which has a 1
    on the diagonal and zeros above; `tau` is (..., k) with k <= n <= m. The result is (..., m, n).
    Source: https://docs.pytorch.org/docs/stable/generated/torch.linalg.householder_product.html

    >>> import flambeau as torch
    >>> torch.linalg.householder_product(torch.tensor([[1., 9.], [1., 1.]]), torch.tensor([1., 0.]))
    tensor([[ 0., -1.],
            [-1.,  0.]])
    """
    _check("linalg.householder_product", input, False)
    (rows, columns), number = input.shape[-2:], tau.size(-1) if tau.dim() else -1
    if rows < columns:
        raise ShapeError("linalg.householder_product: input.shape[-2] must be greater than or equal to "
                         f"input.shape[-1], but they are {rows} and {columns}")
    if not 0 <= number <= columns or tau.shape[:-1] != input.shape[:-2]:
        raise ShapeError("linalg.householder_product: input.shape[-1] must be greater than or equal to tau.shape[-1], "
                         f"and batches alike; given: {list(input.shape)} and {list(tau.shape)}")
    if tau._kind is not input._kind:
        raise DtypeError(f"linalg.householder_product: tau dtype {tau.dtype} does not match input dtype {input.dtype}")
    identity = input.detach().new_ones(rows).diag_embed()
    if not number:
        return identity[:, :columns].expand(input.shape).clone()
    vectors = input[..., :number].tril(-1) + identity[:, :number]
    scale = tau.diag_embed()
    inverse = identity[:number, :number] + scale @ (_adjoint(vectors) @ vectors).triu(1)
    triangle = _linalg_solve(inverse, scale)
    return identity[:, :columns] - vectors @ (triangle @ _adjoint(vectors[..., :columns, :]))


@dispatch.composite(out=True, samples=_householder_samples)
def orgqr(input: Tensor, input2: Tensor) -> Tensor:
    """`linalg.householder_product`.

    >>> import flambeau as torch
    >>> torch.orgqr(torch.eye(2), torch.zeros(2))
    tensor([[1., 0.],
            [0., 1.]])
    """
    return linalg_householder_product(input, input2)


def _reflect(column: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The reflection that leaves only the first of a vector's elements (..., n): vector, factor, and what is left."""
    first, rest = column[..., :1], column[..., 1:]
    real = first.real if first.is_complex() else first
    length = vector_norm(column, 2, -1, keepdim=True)
    left = where(real < 0, length, -length)
    idle = (vector_norm(rest, 2, -1, keepdim=True) == 0) & (first == real)
    divisor = (first - left).masked_fill(idle, 1)
    factor = ((left - first) / left.masked_fill(idle, 1)).masked_fill(idle, 0)
    vector = cat([first.new_ones(first.shape), rest / divisor], -1)
    return vector, factor, where(idle, first, left.to(first.dtype))


@dispatch.composite(out=True, samples=on(((4, 3),), ((2, 3, 3),), ((2, 4),)))
def geqrf(input: Tensor) -> Any:
    """The triangle R of a QR decomposition in the upper part of `a`, the reflections that make Q of in its lower part.

    Column by column, as LAPACK does; `linalg.qr` is the faster way to Q and R themselves. The result is a named tuple
    (a, tau), which `linalg.householder_product` makes Q of.
    Source: https://docs.pytorch.org/docs/stable/generated/torch.geqrf.html

    >>> import flambeau as torch
    >>> a, tau = torch.geqrf(torch.tensor([[3., 1.], [4., 1.]]))
    >>> a, tau
    (tensor([[-5.0000, -1.4000],
            [ 0.5000, -0.2000]]), tensor([1.6000, 0.0000]))
    """
    rest = _check("geqrf", input, False)
    rows, columns = input.shape[-2:]
    number = min(rows, columns)
    done: list[Tensor] = []
    above: list[Tensor] = []
    factors: list[Tensor] = []
    for index in range(number):
        vector, factor, left = _reflect(rest[..., 0])
        below = vector.unsqueeze(-1)
        done.append(cat([*[row[..., index - place:index - place + 1] for place, row in enumerate(above)], left,
                         vector[..., 1:]], -1))
        factors.append(factor[..., 0])
        rest = rest[..., 1:]
        conjugate = factor.conj() if factor.is_complex() else factor
        rest = rest - below * conjugate.unsqueeze(-1) @ (_adjoint(below) @ rest)
        above.append(cat([left, rest[..., 0, :]], -1))
        rest = rest[..., 1:, :]
    if not number:
        return _Geqrf(input.clone(), input.new_zeros((*input.shape[:-2], 0)))
    a = stack(done, -1)
    if columns > rows:
        tail = stack([row[..., -(columns - rows):] for row in above], -2)
        a = cat([a, tail], -1)
    return _Geqrf(a, stack(factors, -1))
