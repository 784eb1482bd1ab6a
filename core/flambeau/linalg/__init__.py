"""`torch.linalg`: norms, decompositions and solvers of matrices, under PyTorch's short names."""

from __future__ import annotations

from flambeau.ops.contraction import linalg_cross as cross
from flambeau.ops.contraction import multi_dot
from flambeau.ops.factorization import (
    LinAlgError,
    eigh,
    eigvalsh,
    inv,
    matrix_power,
    matrix_rank,
    pinv,
    slogdet,
    solve,
    svdvals,
)
from flambeau.ops.factorization import linalg_cholesky as cholesky
from flambeau.ops.factorization import linalg_det as det
from flambeau.ops.factorization import linalg_qr as qr
from flambeau.ops.factorization import linalg_svd as svd
from flambeau.ops.linalg import matmul
from flambeau.ops.norms import linalg_norm as norm
from flambeau.ops.norms import matrix_norm, vector_norm
from flambeau.ops.solvers import cond, solve_triangular, tensorinv, tensorsolve, vecdot
from flambeau.ops.solvers import linalg_matrix_exp as matrix_exp

__all__ = ["LinAlgError", "cholesky", "cond", "cross", "det", "eigh", "eigvalsh", "inv", "matmul", "matrix_exp",
           "matrix_norm", "matrix_power", "matrix_rank", "multi_dot", "norm", "pinv", "qr", "slogdet", "solve",
           "solve_triangular", "svd", "svdvals", "tensorinv", "tensorsolve", "vecdot", "vector_norm"]
