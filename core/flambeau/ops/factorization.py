"""Decompositions of matrices and what is solved with them, over batches of matrices in the last two dimensions.

Six primitives (solve, Cholesky, QR, singular values, symmetric eigenvalues, determinant with sign); inverses, ranks,
powers and pseudo-inverses are made of them. Gradients are given where they are simple and unique; the others say that
they are not implemented.
"""

from __future__ import annotations

from typing import Any

from flambeau import dispatch, dtypes
from flambeau.errors import ArgumentError, DtypeError, ShapeError
from flambeau.ops import _faces, _matrix_samples
from flambeau.ops.complex_numbers import complex
from flambeau.shapes import Shape
from flambeau.tensor import Tensor

_QR = _faces.return_type("linalg_qr", "Q", "R")
_SVD = _faces.return_type("linalg_svd", "U", "S", "Vh")
_Eigh = _faces.return_type("linalg_eigh", "eigenvalues", "eigenvectors")
_Slogdet = _faces.return_type("linalg_slogdet", "sign", "logabsdet")


class LinAlgError(ArgumentError):
    """A matrix that an algorithm cannot do with: singular, or not positive definite."""


def _conj(x: Tensor) -> Tensor:
    return x.conj() if x._kind.dtype.is_complex else x


def _adjoint(x: Tensor) -> Tensor:
    return _conj(x).transpose(-2, -1)


def _check(op: str, matrix: Any, square: bool = True) -> Tensor:
    tensor = _faces.as_tensor_argument(op, "A", matrix)
    shape = tensor._array.shape
    if len(shape) < 2:
        raise ShapeError(f"{op}: The input tensor A must have at least 2 dimensions; given: {len(shape)}")
    if square and shape[-1] != shape[-2]:
        raise ShapeError(f"{op}: A must be batches of square matrices, but they are {shape[-2]} by {shape[-1]} "
                         "matrices")
    if not tensor._kind.differentiable:
        raise DtypeError(f"{op}: Expected a floating point or complex tensor as input. Got "
                         f"{_faces.scalar_name(tensor._kind.dtype)}; convert it")
    if tensor._kind.emulated:
        raise DtypeError(f"{op}: Low precision dtypes not supported. Got {_faces.scalar_name(tensor._kind.dtype)}; "
                         "convert it to torch.float32")
    return tensor


# ---------------------------------------------------------------------------------------------- systems, inverses
def _solve_shape(A: Tensor, B: Tensor) -> Shape:
    raise LinAlgError("linalg.solve: The solver failed because the input matrix is singular, or the shapes do not fit; "
                      f"given: {list(A.shape)} and {list(B.shape)}")


def _solve_matrix_gradient(g: Tensor, A: Tensor, result: Tensor) -> Tensor:
    return -_linalg_solve(_adjoint(A), g).matmul(_adjoint(result))


@dispatch.primitive(namespace="linalg", method=False, grad_name="LinalgSolveExBackward0",
                    samples=_matrix_samples.solve, vjp={
    "A": _solve_matrix_gradient, "B": lambda g, A: _linalg_solve(_adjoint(A), g)})
def _linalg_solve(A: Tensor, B: Tensor) -> Shape:
    """X with A @ X = B, for matrices B."""
    return _solve_shape(A, B)


@dispatch.front(_linalg_solve, out=True)
def solve(A: Tensor, B: Tensor, *, left: bool = True) -> Tensor:
    """X with A @ X = B (X @ A = B if not `left`); B holds matrices, or vectors. RuntimeError for a singular A.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.linalg.solve.html

    >>> import flambeau as torch
    >>> torch.linalg.solve(torch.tensor([[2., 0.], [0., 4.]]), torch.tensor([2., 4.]))
    tensor([1., 1.])
    """
    _check("linalg.solve", A)
    a, b = A._array.shape, B._array.shape
    if B._kind is not A._kind:
        raise DtypeError(f"linalg.solve: Expected A and B to have the same dtype, but found {A.dtype} and {B.dtype}")
    vector = len(b) == 1 or (len(a) - 1 == len(b) and b == a[:-1])
    if not left:
        if vector:
            raise ArgumentError("linalg.solve: Vector broadcasting of the left hand side is not supported for "
                                "left=False")
        return solve(A.transpose(-2, -1), B.transpose(-2, -1)).transpose(-2, -1)
    if (b[-1] if vector else b[-2]) != a[-1]:
        raise ShapeError(f"linalg.solve: Incompatible shapes of A and B for the equation AX = B ({a[-2]}x{a[-1]} and "
                         f"{'x'.join(map(str, b[-2:]))})")
    return _linalg_solve(A, B.unsqueeze(-1)).squeeze(-1) if vector else _linalg_solve(A, B)


def _identity_like(A: Tensor) -> Tensor:
    return A.detach().new_ones(A._array.shape[-1]).diag_embed()


@dispatch.operator(namespace="linalg", method=False, grad_name="LinalgInvExBackward0",
                   samples=_matrix_samples.square, vjp={
    "A": lambda g, result: -_adjoint(result).matmul(g).matmul(_adjoint(result))})
def _linalg_inv(A: Tensor) -> Tensor:
    """The inverses of matrices."""
    return _linalg_solve(A, _identity_like(A).expand(A._array.shape))


@dispatch.front(_linalg_inv, out=True)
def inv(A: Tensor) -> Tensor:
    """The inverses of square matrices. RuntimeError for a singular one.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.linalg.inv.html

    >>> import flambeau as torch
    >>> torch.linalg.inv(torch.tensor([[2., 0.], [0., 4.]]))
    tensor([[0.5000, 0.0000],
            [0.0000, 0.2500]])
    """
    return _linalg_inv(_check("linalg.inv", A))


@dispatch.composite(out=True, samples=_matrix_samples.square)
def inverse(input: Tensor) -> Tensor:
    """`linalg.inv`.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.inverse.html

    >>> import flambeau as torch
    >>> torch.inverse(torch.tensor([[2., 0.], [0., 4.]]))
    tensor([[0.5000, 0.0000],
            [0.0000, 0.2500]])
    """
    return inv(input)


def _inverse_adjoint(A: Tensor) -> Tensor:
    return _linalg_inv(_adjoint(A))


def _slogdet_gradient(g: Any, A: Tensor, sign: Tensor) -> Any:
    factor = g[1]
    if A._kind.dtype.is_complex and g[0] is not None:   # the sign turns with the imaginary part of the trace
        turn = (_conj(g[0]) * sign).imag
        factor = complex(turn * 0 if factor is None else factor, -turn)
    return None if factor is None else factor.unsqueeze(-1).unsqueeze(-1) * _inverse_adjoint(A)


@dispatch.primitive(namespace="linalg", method=False, outputs=("sign", "logabsdet"), vjp={"A": _slogdet_gradient},
                    samples=_matrix_samples.determinant)
def _linalg_slogdet(A: Tensor) -> Shape:
    """The sign and the logarithm of the absolute value of determinants."""
    return A.shape


@dispatch.front(_linalg_slogdet, out=True)
def slogdet(A: Tensor) -> Any:
    """The sign and the logarithm of the absolute value of the determinant, as a named tuple (sign, logabsdet).

    Source: https://docs.pytorch.org/docs/stable/generated/torch.linalg.slogdet.html

    >>> import flambeau as torch
    >>> torch.linalg.slogdet(torch.eye(2)).sign
    tensor(1.)
    """
    return _Slogdet(*_linalg_slogdet(_check("linalg.slogdet", A)))


@dispatch.operator(namespace="linalg", method=False, samples=_matrix_samples.determinant, vjp={
    "A": lambda g, A, result: (g * _conj(result)).unsqueeze(-1).unsqueeze(-1) * _inverse_adjoint(A)})
def _linalg_det(A: Tensor) -> Tensor:
    """Determinants. The gradient needs the inverse: it is not defined here for singular matrices."""
    sign, logarithm = _linalg_slogdet(A)
    return sign * logarithm.exp()


@dispatch.front(_linalg_det, out=True)
def linalg_det(A: Tensor) -> Tensor:
    """The determinants of square matrices.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.linalg.det.html

    >>> import flambeau as torch
    >>> torch.linalg.det(torch.tensor([[2., 0.], [0., 4.]]))
    tensor(8.)
    """
    return _linalg_det(_check("linalg.det", A))


@dispatch.composite(samples=_matrix_samples.determinant)
def det(input: Tensor) -> Tensor:
    """`linalg.det`.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.det.html

    >>> import flambeau as torch
    >>> torch.det(torch.tensor([[1., 2.], [3., 5.]]))
    tensor(-1.)
    """
    return linalg_det(input)


@dispatch.composite(samples=_matrix_samples.positive)
def logdet(input: Tensor) -> Tensor:
    """The logarithm of the determinant; nan where it is negative.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.logdet.html

    >>> import flambeau as torch
    >>> torch.logdet(torch.eye(2))
    tensor(0.)
    """
    sign, logarithm = slogdet(input)
    if sign._kind.dtype.is_complex:
        return sign.log() + logarithm
    return logarithm.masked_fill(sign < 0, float("nan"))


# ---------------------------------------------------------------------------------------------- factors
def _cholesky_gradient(g: Tensor, result: Tensor) -> Tensor:
    inner = _adjoint(result).matmul(g).tril()
    inner = 0.5 * (inner + _adjoint(inner.tril(-1)))
    return _linalg_inv(_adjoint(result)).matmul(inner).matmul(_linalg_inv(result))


def _cholesky_shape(A: Tensor) -> Shape:
    raise LinAlgError("linalg.cholesky: The factorization could not be completed because the input is not "
                      "positive-definite")


@dispatch.primitive(namespace="linalg", method=False, grad_name="LinalgCholeskyExBackward0",
                    samples=_matrix_samples.cholesky, vjp={"A": _cholesky_gradient})
def _linalg_cholesky(A: Tensor) -> Shape:
    """Lower triangular L with A = L @ L^H."""
    return _cholesky_shape(A)


@dispatch.front(_linalg_cholesky, out=True)
def linalg_cholesky(A: Tensor, *, upper: bool = False) -> Tensor:
    """The triangular factor L of A = L @ L^H (`upper`: of A = U^H @ U). RuntimeError unless A is positive definite.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.linalg.cholesky.html

    >>> import flambeau as torch
    >>> torch.linalg.cholesky(torch.tensor([[4., 0.], [0., 9.]]))
    tensor([[2., 0.],
            [0., 3.]])
    """
    factor = _linalg_cholesky(_check("linalg.cholesky", A))
    return _adjoint(factor) if upper else factor


@dispatch.composite(out=True, samples=_matrix_samples.cholesky)
def cholesky(input: Tensor, upper: bool = False) -> Tensor:
    """`linalg.cholesky`.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.cholesky.html

    >>> import flambeau as torch
    >>> torch.cholesky(torch.tensor([[4., 2.], [2., 5.]]))
    tensor([[2., 0.],
            [1., 2.]])
    """
    return linalg_cholesky(input, upper=upper)


def _upper_solved(x: Tensor, R: Tensor) -> Tensor:
    """x @ R^-H for an upper triangular R."""
    return _adjoint(_linalg_solve(R, _adjoint(x)))


def _qr_gradient(g: Any, Q: Tensor, R: Tensor, mode: str) -> Tensor:
    """For square R; a wide matrix is [A1 A2] with A1 = Q X and A2 = Q Y, where Y follows from Q."""
    if mode == "r":
        raise ArgumentError("The derivative of linalg.qr depends on Q, which is not computed when mode='r'; use "
                            "linalg.qr(A, mode='reduced') to differentiate through it")
    rows, columns = Q._array.shape[-2], R._array.shape[-1]
    if mode == "complete" and rows > columns:
        raise ArgumentError(f"linalg.qr: the derivative of qr is not implemented for mode='{mode}' of a "
                            f"{rows}x{columns} matrix; use mode='reduced'")
    k = R._array.shape[-2]
    if columns == k:
        return _square_qr_gradient(g[0], g[1], Q, R)
    X, Y = R.narrow(-1, 0, k), R.narrow(-1, k, columns - k)
    gQ, gX = g[0], None
    rest = Y.new_zeros((*Q._array.shape[:-1], columns - k))
    if g[1] is not None:
        gX, gY = g[1].narrow(-1, 0, k), g[1].narrow(-1, k, columns - k)
        moved = Q.matmul(Y).matmul(_adjoint(gY))
        gQ = moved if gQ is None else gQ + moved
        rest = Q.matmul(gY)
    from flambeau.ops.joining import cat
    return cat([_square_qr_gradient(gQ, gX, Q, X), rest], -1)


def _square_qr_gradient(gQ: Any, gR: Any, Q: Tensor, R: Tensor) -> Tensor:
    inner = R.new_zeros(R._array.shape)
    if gR is not None:
        inner = inner + gR.matmul(_adjoint(R))
    if gQ is not None:
        inner = inner - _adjoint(Q).matmul(gQ)
    lower = _adjoint(inner.triu())
    mirrored = inner.triu() + lower - inner.diagonal(0, -2, -1).real.to(inner._kind.dtype).diag_embed()
    result = Q.matmul(mirrored)
    return _upper_solved(result if gQ is None else gQ + result, R)


@dispatch.primitive(namespace="linalg", method=False, outputs=("Q", "R"), vjp={"A": _qr_gradient},
                    samples=_matrix_samples.qr)
def _linalg_qr(A: Tensor, mode: str) -> Shape:
    """Orthonormal Q and triangular R with A = Q @ R."""
    return A.shape


@dispatch.front(_linalg_qr, out=True)
def linalg_qr(A: Tensor, mode: str = "reduced") -> Any:
    """Q with orthonormal columns and upper triangular R with A = Q @ R, as a named tuple.

    `mode` is "reduced", "complete" or "r" (Q is then empty).
    Source: https://docs.pytorch.org/docs/stable/generated/torch.linalg.qr.html

    >>> import flambeau as torch
    >>> q, r = torch.linalg.qr(torch.eye(2))
    >>> r.abs()
    tensor([[1., 0.],
            [0., 1.]])
    """
    if mode not in ("reduced", "complete", "r"):
        raise ArgumentError(f"qr received unrecognized mode '{mode}' but expected one of 'reduced' (default), 'r', or "
                            "'complete'")
    return _QR(*_linalg_qr(_check("linalg.qr", A, False), mode))


def _svd_gradient(g: Any, U: Tensor, S: Tensor, Vh: Tensor) -> Tensor:
    k = S._array.shape[-1]
    U, Vh = U.narrow(-1, 0, k), Vh.narrow(-2, 0, k)
    if g[0] is None and g[2] is None:
        return U.matmul(g[1].unsqueeze(-1) * Vh)
    gU, gVh = None if g[0] is None else g[0].narrow(-1, 0, k), None if g[2] is None else g[2].narrow(-2, 0, k)
    return _svd_vectors_gradient(gU, g[1], gVh, U, S, Vh)


def _skew(x: Tensor) -> Tensor:
    return x - _adjoint(x)


def _svd_vectors_gradient(gU: Any, gS: Any, gVh: Any, U: Tensor, S: Tensor, Vh: Tensor) -> Tensor:
    row, column = S.unsqueeze(-2), S.unsqueeze(-1)
    gaps = (row - column) * (row + column)
    gaps = gaps.masked_fill(_identity_like(gaps) != 0, 1)
    inner: Any = 0
    if gU is not None:
        turn_u = _skew(_adjoint(U).matmul(gU))
        inner = inner + turn_u / gaps * row
    if gVh is not None:
        inner = inner + column * (_skew(Vh.matmul(_adjoint(gVh))) / gaps)
    if gS is not None:
        inner = inner + gS.diag_embed()
    if gU is not None and U._kind.dtype.is_complex:
        inner = inner + (turn_u.diagonal(0, -2, -1) / (2 * S)).diag_embed()
    result = U.matmul(inner.to(U._kind.dtype)).matmul(Vh)
    if gU is not None and U._array.shape[-2] > S._array.shape[-1]:     # what leaves the space of U
        scaled = gU / row
        result = result + (scaled - U.matmul(_adjoint(U).matmul(scaled))).matmul(Vh)
    if gVh is not None and Vh._array.shape[-1] > S._array.shape[-1]:
        scaled = gVh / column
        result = result + U.matmul(scaled - scaled.matmul(_adjoint(Vh)).matmul(Vh))
    return result


@dispatch.primitive(namespace="linalg", method=False, outputs=("U", "S", "Vh"), vjp={"A": _svd_gradient},
                    samples=_matrix_samples.svd)
def _linalg_svd(A: Tensor, full_matrices: bool) -> Shape:
    """U, S, Vh with A = U @ diag(S) @ Vh."""
    return A.shape


@dispatch.front(_linalg_svd, out=True)
def linalg_svd(A: Tensor, full_matrices: bool = True, *, driver: Any = None) -> Any:
    """The singular value decomposition A = U @ diag(S) @ Vh, as a named tuple.

    Gradients through U and Vh are finite only where the singular values differ from each other and from 0.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.linalg.svd.html

    >>> import flambeau as torch
    >>> torch.linalg.svd(torch.tensor([[3., 0.], [0., 4.]])).S
    tensor([4., 3.])
    """
    return _SVD(*_linalg_svd(_check("linalg.svd", A, False), full_matrices))


@dispatch.composite(out=True, namespace="linalg", method=False, name="linalg_svdvals", samples=_matrix_samples.svdvals)
def svdvals(A: Tensor, *, driver: Any = None) -> Tensor:
    """The singular values, largest first.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.linalg.svdvals.html

    >>> import flambeau as torch
    >>> torch.linalg.svdvals(torch.tensor([[3., 0.], [0., 4.]]))
    tensor([4., 3.])
    """
    return _linalg_svd(_check("linalg.svdvals", A, False), False)[1]


def _eigh_gradient(g: Any, eigenvalues: Tensor, eigenvectors: Tensor) -> Tensor:
    """V (diag(gL) + the skew part of (V^H gV) / (differences of eigenvalues)) V^H: symmetric, as the input is."""
    inner: Any = None if g[0] is None else g[0].diag_embed()
    if g[1] is not None:
        gaps = eigenvalues.unsqueeze(-2) - eigenvalues.unsqueeze(-1)
        mask = _identity_like(gaps) != 0
        rotation = 0.5 * _skew(_adjoint(eigenvectors).matmul(g[1])) / gaps.masked_fill(mask, 1)
        rotation = rotation.masked_fill(mask, 0)
        inner = rotation if inner is None else inner + rotation
    return eigenvectors.matmul(inner.to(eigenvectors._kind.dtype)).matmul(_adjoint(eigenvectors))


@dispatch.primitive(namespace="linalg", method=False, outputs=("eigenvalues", "eigenvectors"),
                    samples=_matrix_samples.eigh, vjp={"A": _eigh_gradient})
def _linalg_eigh(A: Tensor, UPLO: str) -> Shape:
    """Eigenvalues, smallest first, and eigenvectors of symmetric or Hermitian matrices."""
    return A.shape


@dispatch.front(_linalg_eigh, out=True)
def eigh(A: Tensor, UPLO: str = "L") -> Any:
    """Eigenvalues and eigenvectors of symmetric (Hermitian) matrices, of which one triangle is read.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.linalg.eigh.html

    >>> import flambeau as torch
    >>> torch.linalg.eigh(torch.tensor([[2., 0.], [0., 1.]])).eigenvalues
    tensor([1., 2.])
    """
    if UPLO.upper() not in ("L", "U"):
        raise ArgumentError(f"linalg.eigh: Expected UPLO argument to be 'L' or 'U', but got {UPLO}")
    return _Eigh(*_linalg_eigh(_check("linalg.eigh", A), UPLO.upper()))


@dispatch.composite(out=True, namespace="linalg", method=False, name="linalg_eigvalsh", samples=_matrix_samples.eigh)
def eigvalsh(A: Tensor, UPLO: str = "L") -> Tensor:
    """The eigenvalues of symmetric (Hermitian) matrices, smallest first.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.linalg.eigvalsh.html

    >>> import flambeau as torch
    >>> torch.linalg.eigvalsh(torch.tensor([[3., 0.], [0., 1.]]))
    tensor([1., 3.])
    """
    return eigh(A, UPLO)[0]


# ---------------------------------------------------------------------------------------------- made of them
@dispatch.composite(out=True, namespace="linalg", method=False, name="linalg_matrix_power",
                    samples=_matrix_samples.matrix_power)
def matrix_power(A: Tensor, n: int) -> Tensor:
    """The n-th power of square matrices by repeated squaring; of the inverse for a negative n.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.linalg.matrix_power.html

    >>> import flambeau as torch
    >>> torch.linalg.matrix_power(torch.tensor([[2., 0.], [0., 3.]]), 3)
    tensor([[ 8.,  0.],
            [ 0., 27.]])
    """
    if A.dim() < 2 or A._array.shape[-1] != A._array.shape[-2]:
        raise ShapeError(f"linalg.matrix_power: A must be batches of square matrices; given: {list(A._array.shape)}")
    if n == 0:
        return _identity_like(A) + A.where(A.new_zeros((), dtype=dtypes.bool_), A.new_zeros(()))
    if n < 0:
        A, n = inv(A), -n
    result: Tensor | None = None
    square = A
    while n:
        if n & 1:
            result = square if result is None else result.matmul(square)
        n >>= 1
        if n:
            square = square.matmul(square)
    assert result is not None
    return result.clone() if result is A else result


@dispatch.composite(out=True, name="matrix_power", samples=_matrix_samples.matrix_power)
def _matrix_power(input: Tensor, n: int) -> Tensor:
    """`linalg.matrix_power`.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.matrix_power.html

    >>> import flambeau as torch
    >>> torch.matrix_power(torch.tensor([[1., 1.], [0., 1.]]), 3)
    tensor([[1., 3.],
            [0., 1.]])
    """
    return matrix_power(input, n)


@dispatch.composite(out=True, namespace="linalg", method=False, name="linalg_matrix_rank",
                    samples=_matrix_samples.matrix_rank)
def matrix_rank(A: Tensor, tol: Any = None, hermitian: bool = False, *, atol: Any = None,
                rtol: Any = None) -> Tensor:
    """The number of singular values above max(atol, rtol * the largest), as int64.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.linalg.matrix_rank.html

    >>> import flambeau as torch
    >>> torch.linalg.matrix_rank(torch.eye(3))
    tensor(3)
    """
    _check("linalg.matrix_rank", A, hermitian)
    values = (eigvalsh(A).abs() if hermitian else svdvals(A)).detach()
    if not values._array.shape[-1]:
        return values.sum(-1).to(dtypes.int64)
    return (values > _threshold(A, values, tol if tol is not None else atol, rtol)).sum(-1)


def _threshold(A: Tensor, values: Tensor, atol: Any, rtol: Any) -> Tensor:
    """What a singular value must exceed to count."""
    epsilon = 2.0**-52 if A._kind.dtype.name in ("float64", "complex128") else 2.0**-23
    if rtol is None:
        rtol = 0.0 if atol is not None else epsilon * max(A._array.shape[-2:])
    relative = values.amax(-1, keepdim=True) * rtol
    return relative if atol is None else relative.clamp(min=float(atol))


def _pinv_gradient(g: Tensor, A: Tensor, result: Tensor) -> Tensor:
    """At constant rank, for the pseudo-inverse P: what scales it, and what turns the column and the row space."""
    adjoint, gh = _adjoint(result), _adjoint(g)
    columns = gh.matmul(result).matmul(adjoint)
    rows = adjoint.matmul(result).matmul(gh)
    return (columns - A.matmul(result.matmul(columns)) + rows - rows.matmul(result).matmul(A)
            - adjoint.matmul(g).matmul(adjoint))


@dispatch.operator(namespace="linalg", method=False, grad_name="LinalgPinvBackward0", samples=_matrix_samples.pinv,
                   vjp={"A": _pinv_gradient})
def _linalg_pinv(A: Tensor, hermitian: bool, atol: Any, rtol: Any) -> Tensor:
    """The pseudo-inverses of matrices."""
    if hermitian:
        values, vectors = _linalg_eigh(A, "L")
        size = values.abs()
        small = size <= _threshold(A, size, atol, rtol)
        inverse = values.masked_fill(small, 1).reciprocal().masked_fill(small, 0)
        return (vectors * inverse.unsqueeze(-2)).matmul(_adjoint(vectors))
    u, s, vh = _linalg_svd(A, False)
    small = s <= _threshold(A, s, atol, rtol)
    inverse = s.masked_fill(small, 1).reciprocal().masked_fill(small, 0)
    return (_adjoint(vh) * inverse.unsqueeze(-2)).matmul(_adjoint(u))


@dispatch.front(_linalg_pinv, out=True)
def pinv(A: Tensor, rcond: Any = None, hermitian: bool = False, *, atol: Any = None,
         rtol: Any = None) -> Tensor:
    """The Moore-Penrose pseudo-inverse, from the singular values above the tolerance.

    With `hermitian` the lower triangle is read, and the eigenvalues are used. The rank must not change for the
    gradient to be right.
    Source: https://docs.pytorch.org/docs/stable/generated/torch.linalg.pinv.html

    >>> import flambeau as torch
    >>> torch.linalg.pinv(torch.tensor([[2.], [0.]]))
    tensor([[0.5000, 0.0000]])
    """
    _check("linalg.pinv", A, hermitian)
    if 0 in A._array.shape[-2:]:
        return A.transpose(-2, -1).clone()
    if isinstance(rcond, bool):   # the second argument was once `hermitian`
        rcond, hermitian = None, rcond
    return _linalg_pinv(A, hermitian, atol, rtol if rtol is not None else rcond)


@dispatch.composite(out=True, samples=_matrix_samples.pinverse)
def pinverse(input: Tensor, rcond: float = 1e-15) -> Tensor:
    """`linalg.pinv`.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.pinverse.html

    >>> import flambeau as torch
    >>> torch.pinverse(torch.tensor([[2., 0.], [0., 4.]])).shape
    torch.Size([2, 2])
    """
    return pinv(input, rtol=rcond)


__all__ = [name for name, value in list(globals().items())
           if hasattr(value, "op") and value.op.namespace == "torch" and not name.startswith("_")]
