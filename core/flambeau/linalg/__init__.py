"""`torch.linalg`: norms, decompositions and solvers of matrices, under PyTorch's short names."""

from __future__ import annotations

from flambeau.ops.contraction import linalg_cross as cross, multi_dot
from flambeau.ops.factorization import (
    LinAlgError,
    eigh,
    eigvalsh,
    inv,
    linalg_cholesky as cholesky,
    linalg_det as det,
    linalg_qr as qr,
    linalg_svd as svd,
    matrix_power,
    matrix_rank,
    pinv,
    slogdet,
    solve,
    svdvals,
)
from flambeau.ops.linalg import matmul
from flambeau.ops.norms import linalg_norm as norm, matrix_norm, vector_norm
from flambeau.ops.parametrizations import linalg_householder_product as householder_product
from flambeau.ops.solvers import cond, linalg_matrix_exp as matrix_exp, solve_triangular, tensorinv, tensorsolve, vecdot

__all__ = ["LinAlgError", "cholesky", "cond", "cross", "det", "eigh", "eigvalsh",
           "householder_product", "inv", "matmul", "matrix_exp",
           "matrix_norm", "matrix_power", "matrix_rank", "multi_dot", "norm", "pinv", "qr", "slogdet", "solve",
           "solve_triangular", "svd", "svdvals", "tensorinv", "tensorsolve", "vecdot", "vector_norm"]
