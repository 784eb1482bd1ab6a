"""Sample arguments of the operators on matrices: factorisations, systems, norms.

What makes a good matrix is the same for all of them: well-conditioned, in a batch, not symmetric where one triangle
is read, not square where it need not be. So their samples stand here together, named after the records.
"""

from __future__ import annotations

from typing import Any

from flambeau.ops._samples import Calls, on

INF = float("inf")
_MATRIX_ORDERS: tuple[Any, ...] = ("fro", "nuc", INF, -INF, 1, -1, 2, -2)

# A map from 4 to (2, 2) numbers, none of whose blocks is symmetric; and a matrix of rank 2 with large gaps.
_MAP = [[[2.0, 1.0, 0.0, 0.0], [0.0, 3.0, 0.0, 1.0]], [[0.0, 0.0, 1.0, 2.0], [1.0, 0.0, 0.0, -1.0]]]
_RANK_TWO = [[4.0, 0.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0], [0.0, 0.0, 0.0, 0.0]]

square = on(((3,),), ((2, 3),), of="invertible")
positive = on(((3,),), ((2, 3),), of="positive_definite")


def determinant(make: Any) -> Calls:
    """Of determinants: of a batch, of a negative one."""
    yield (make.invertible(2, 3),), {}
    yield (make.fixed([[0.5, 2.0], [3.0, 1.0]]),), {}


# ---------------------------------------------------------------------------------------------- systems
def solve(make: Any) -> Calls:
    """Of systems with matrices, with a vector, from the right, and of batches that broadcast."""
    yield (make.invertible(2, 3), make(2, 3, 2)), {}
    yield (make.invertible(3), make(3)), {}
    yield (make.invertible(3), make(2, 3)), {"left": False}
    yield (make.invertible(2, 1, 3), make(4, 3, 2)), {}


def solve_triangular(make: Any) -> Calls:
    """Of triangles, and of full matrices, of which a triangle is read."""
    yield (make.triangular(2, 3), make(2, 3, 2)), {"upper": False}
    yield (make.triangular(3, upper=True), make(2, 3)), {"upper": True, "left": False}
    yield (make.invertible(3), make(4, 3, 2)), {"upper": True}
    yield (make.invertible(3), make(3, 2)), {"upper": False, "unitriangular": True}


def triangular_solve(make: Any) -> Calls:
    """The same with the arguments of the older function."""
    yield (make(3, 2), make.triangular(3, upper=True)), {}
    yield (make(2, 3, 2), make.invertible(2, 3)), {"upper": False}
    yield (make(3, 2), make.invertible(3)), {"transpose": True, "unitriangular": True}


def cholesky_solve(make: Any) -> Calls:
    """Of systems with a triangular factor."""
    yield (make(3, 2), make.triangular(3)), {}
    yield (make(2, 3, 2), make.triangular(2, 3, upper=True)), {"upper": True}


def cholesky_inverse(make: Any) -> Calls:
    """Of inverses from a triangular factor, whose diagonal is real."""
    i = 1j if make.dtype.is_complex else 1.0
    yield (make.fixed([[[1.5, 0.0, 0.0], [0.5 * i, 1.0, 0.0], [-0.25 * i, 0.75, 2.0]],
                       [[1.0, 0.0, 0.0], [1.0, 1.25, 0.0], [0.5, -0.5 * i, 1.75]]]),), {}
    yield (make.fixed([[1.5, 0.5 * i, 0.25], [0.0, 1.0, -0.5 * i], [0.0, 0.0, 2.0]]), True), {}


def tensorsolve(make: Any) -> Calls:
    """Of systems of tensors, with dimensions in and out of order."""
    yield (make.fixed(_MAP), make(2, 2)), {}
    yield (make.invertible(1, 3), make(1, 3)), {"dims": (1,)}


def tensorinv(make: Any) -> Calls:
    """Of inverses of maps between tensors."""
    yield (make.fixed(_MAP),), {}
    yield (make.invertible(1, 3),), {"ind": 2}
    yield (make.invertible(3),), {"ind": 1}


# ---------------------------------------------------------------------------------------------- factors
def cholesky(make: Any) -> Calls:
    """Of Cholesky's factors."""
    yield (make.positive_definite(2, 3),), {}
    yield (make.positive_definite(3),), {"upper": True}


qr = on(((4, 3),), ((2, 3, 4),), ((3, 2), "complete"), ((2, 3), "complete"), ((4, 2), "r"))
old_qr = on(((2, 3, 4),), ((3, 2), False))
svd = on(((3, 4),), ((2, 4, 3), False), ((2, 3), {"full_matrices": False}))
old_svd = on(((3, 4),), ((2, 4, 3), {"some": False}), ((3, 2), {"compute_uv": False}))
svdvals = on(((3, 4),), ((2, 4, 3),))


def eigh(make: Any) -> Calls:
    """Of eigenvalues of a symmetric matrix; of others, of which either triangle is read."""
    yield (make.positive_definite(2, 3),), {}
    yield (make.invertible(3),), {}
    yield (make.invertible(3), "U"), {}


# ---------------------------------------------------------------------------------------------- made of them
def matrix_power(make: Any) -> Calls:
    """Of positive powers and none; negative ones where there are inverses."""
    yield (make(2, 3, 3, low=-2, high=3), 3), {}
    yield (make(3, 3), 0), {}
    yield (make(3, 3), 1), {}
    if make.dtype.is_differentiable:
        yield (make.invertible(2, 3), -2), {}


def matrix_rank(make: Any) -> Calls:
    """Of full and of lower rank, by every tolerance."""
    yield (make.invertible(2, 3),), {}
    yield (make.fixed(_RANK_TWO),), {}
    yield (make.fixed(_RANK_TWO), 2.0), {}
    yield (make.fixed(_RANK_TWO),), {"rtol": 0.5}
    yield (make.fixed(_RANK_TWO),), {"atol": 0.5, "rtol": 0.125}
    yield (make.positive_definite(3),), {"hermitian": True}


def pinv(make: Any) -> Calls:
    """Of wide and tall matrices, of symmetric ones, and by every tolerance."""
    yield (make(3, 4),), {}
    yield (make(2, 4, 2),), {}
    yield (make.positive_definite(3),), {"hermitian": True}
    yield (make.fixed(_RANK_TWO), 0.5), {}
    yield (make.fixed(_RANK_TWO),), {"atol": 2.0, "rtol": 0.125}


def pinverse(make: Any) -> Calls:
    """The same with the arguments of the older function."""
    yield (make(4, 3),), {}
    yield (make.fixed(_RANK_TWO),), {"rcond": 0.5}


def cond(make: Any) -> Calls:
    """Of the default for any matrix, and of all norms for square ones."""
    yield (make(3, 4),), {}
    for p in _MATRIX_ORDERS:
        yield (make.invertible(3), p), {}
    yield (make.invertible(2, 3), 1), {}


def matrix_exp(make: Any) -> Calls:
    """Of one matrix and of a batch, small and large."""
    yield (make(3, 3, low=-1, high=1),), {}
    yield (make(2, 3, 3, low=-2, high=2),), {}


def vecdot(make: Any) -> Calls:
    """Of vectors along dimensions, broadcast."""
    yield (make(2, 3), make(2, 3)), {}
    yield (make(3, 4), make(2, 3, 1)), {"dim": -2}


# ---------------------------------------------------------------------------------------------- norms
def vector_norm(make: Any) -> Calls:
    """Of every order that has a formula of its own, over all, one and several dimensions."""
    yield (make(2, 3),), {}
    for order in (2, 1, 3, 1.5, 0.5, 0, -1, INF, -INF):
        yield (make.distinct(2, 3, 4), order, 1), {}
    yield (make(2, 3, 4), 1, (0, -1), True), {}
    yield (make(2, 3), 3), {"dtype": make.dtype}


def matrix_norm(make: Any) -> Calls:
    """Of every order, over the last two and other dimensions."""
    for order in _MATRIX_ORDERS:
        yield (make(3, 4), order), {}
        yield (make(2, 3, 4), order, (2, 0)), {"keepdim": order in ("fro", 2, -1)}


def linalg_norm(make: Any) -> Calls:
    """Of all elements, of vectors and of matrices."""
    yield (make(2, 3, 4),), {}
    yield (make(3), 3), {}
    yield (make(3, 4), 2), {}
    yield (make(2, 3, 4), 1, (0, -1), True), {}
    yield (make(2, 3, 4), INF, 1), {"dtype": make.dtype}


def norm(make: Any) -> Calls:
    """Of the words and the numbers for the order."""
    yield (make(2, 3, 4),), {}
    yield (make(3, 4), "nuc"), {}
    yield (make(2, 3, 4), 1, (0, 2), True), {}
    yield (make(2, 3, 4), 3, -2), {"dtype": make.dtype}
    yield (make(3, 4), -INF), {}


def dist(make: Any) -> Calls:
    """Of the order of the norm, and of broadcasting."""
    yield (make(2, 3), make(2, 3)), {}
    for p in (1, 3, INF):
        yield (make(2, 3), make(3), p), {}
    yield (make(2, 3, requires_grad=False), make(2, 1, requires_grad=False), 0), {}   # no slope but 0


# slices with norms on both sides of the bound
renorm = on(((3, 4), 2, 0, 4.5), ((2, 3, 4), 1, -2, 14.0), ((3, 4), 3, 1, 1.0))
