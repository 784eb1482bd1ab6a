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

__all__ = ["LinAlgError", "cholesky", "cross", "det", "eigh", "eigvalsh", "inv", "matmul", "matrix_norm",
           "matrix_power", "matrix_rank", "multi_dot", "norm", "pinv", "qr", "slogdet", "solve", "svd", "svdvals",
           "vector_norm"]
