"""Parametrisations that programs ask for by name: orthogonal matrices, spectral norms, sizes apart from directions."""

from __future__ import annotations

from enum import Enum, auto
from typing import Any, TypeVar

from flambeau.autograd import no_grad
from flambeau.errors import ArgumentValueError, DimensionError
from flambeau.finfo import finfo
from flambeau.nn import functional as F
from flambeau.nn.modules.conv import ConvTranspose1d, ConvTranspose2d, ConvTranspose3d
from flambeau.nn.modules.module import Module
from flambeau.nn.utils import parametrize
from flambeau.ops.creation import eye, zeros_like
from flambeau.ops.factorization import linalg_qr, solve
from flambeau.ops.joining import cat
from flambeau.ops.linalg import matmul, mv, vdot
from flambeau.ops.parametrizations import geqrf, linalg_householder_product, norm_except_dim
from flambeau.ops.random import randn
from flambeau.ops.reduction import allclose
from flambeau.ops.solvers import linalg_matrix_exp
from flambeau.tensor import Tensor

__all__ = ["orthogonal", "spectral_norm", "weight_norm"]

M = TypeVar("M", bound=Module)


def _tensor_of(module: Module, name: str) -> Tensor:
    found = getattr(module, name, None)
    if not isinstance(found, Tensor):
        raise ArgumentValueError(f"Module '{module}' has no parameter or buffer with name '{name}'")
    return found


# ---------------------------------------------------------------------------------------------- orthogonal matrices
class _OrthMaps(Enum):
    matrix_exp = auto()
    cayley = auto()
    householder = auto()


def _identity(like: Tensor, size: int) -> Tensor:
    result: Tensor = eye(size, dtype=like.dtype, device=like.device)
    return result


def _is_orthogonal(matrix: Tensor) -> bool:
    """Whether the columns are orthonormal, up to rounding."""
    rows, columns = matrix.shape[-2:]
    tolerance = 10.0 * rows * float(finfo(matrix.dtype).eps)
    return bool(allclose(matmul(matrix.mH, matrix), _identity(matrix, columns), atol=tolerance))


def _make_orthogonal(matrix: Tensor) -> Tensor:
    """The Q of a QR decomposition whose R has a positive diagonal: the one there is for a matrix of full rank."""
    found = linalg_qr(matrix)
    result: Tensor = found.Q * found.R.diagonal(dim1=-2, dim2=-1).sgn().unsqueeze(-2)
    return result


class _Orthogonal(Module):
    """A matrix with orthonormal columns (or rows, if it has more columns), by one of three maps from any matrix.

    With a base, the map starts at the matrix that there is, and what is learned starts at minus the identity, which
    each of the maps takes to the identity.
    """

    base: Tensor

    def __init__(self, weight: Tensor, orthogonal_map: _OrthMaps, *, use_trivialization: bool = True) -> None:
        super().__init__()
        if weight.is_complex() and orthogonal_map is _OrthMaps.householder:
            raise ArgumentValueError("The householder parametrization does not support complex tensors.")
        self.shape = weight.shape
        self.orthogonal_map = orthogonal_map
        if use_trivialization:
            self.register_buffer("base", None)

    def forward(self, X: Tensor) -> Tensor:
        """The orthogonal matrix."""
        transposed = X.size(-2) < X.size(-1)
        if transposed:
            X = X.mT
        if self.orthogonal_map is _OrthMaps.householder:
            below = X.tril(-1)
            tau = 2.0 / (1.0 + (below * below).sum(-2))
            Q = linalg_householder_product(below, tau)
            Q = Q * X.diagonal(dim1=-2, dim2=-1).int().unsqueeze(-2)   # signs; not to be learned
        else:
            Q = self._from_skew(X)
        if hasattr(self, "base"):
            Q = matmul(self.base, Q)
        return Q.mT if transposed else Q

    def _from_skew(self, X: Tensor) -> Tensor:
        """By the exponential or the Cayley map of a skew-Hermitian matrix, which is the lower triangle's."""
        rows, columns = X.shape[-2:]
        X = X.tril()
        if rows != columns:
            X = cat([X, X.new_zeros((*X.shape[:-1], rows - columns))], -1)
        skew = X - X.mH
        if self.orthogonal_map is _OrthMaps.matrix_exp:
            Q = linalg_matrix_exp(skew)
        else:
            one = _identity(skew, rows)
            Q = solve(one.add(skew, alpha=-0.5), one.add(skew, alpha=0.5))
        return Q[..., :columns]

    def right_inverse(self, Q: Tensor) -> Tensor:
        """What to learn from, so that the matrix is this one, or, where it is not orthogonal, one made of it."""
        if Q.shape != self.shape:
            raise ArgumentValueError(f"Expected a matrix or batch of matrices of shape {self.shape}. Got a tensor of "
                                     f"shape {Q.shape}.")
        with no_grad():
            matrix = Q.mT if Q.size(-2) < Q.size(-1) else Q
            if not hasattr(self, "base"):
                found = self._from_reflections(matrix)
                return found.mT if Q.size(-2) < Q.size(-1) else found
            self.base = self._completed(matrix)
            start = zeros_like(Q)
            start.diagonal(dim1=-2, dim2=-1).fill_(-1.0)
            return start

    def _completed(self, matrix: Tensor) -> Tensor:
        """A square orthogonal matrix that begins with this one, or with what is made of it."""
        rows, columns = matrix.shape[-2:]
        if rows == columns:
            return matrix.clone() if _is_orthogonal(matrix) else _make_orthogonal(matrix)
        rest = randn((*matrix.shape[:-2], rows, rows - columns), dtype=matrix.dtype, device=matrix.device)
        return _make_orthogonal(cat([matrix, rest], -1))

    def _from_reflections(self, matrix: Tensor) -> Tensor:
        if self.orthogonal_map is not _OrthMaps.householder:
            raise NotImplementedError("It is not possible to assign to the matrix exponential or the Cayley "
                                      "parametrizations when use_trivialization=False.")
        found, tau = geqrf(matrix)
        diagonal = found.diagonal(dim1=-2, dim2=-1)
        signs = diagonal.sign()
        diagonal.copy_(signs.where(tau != 0, -signs))
        return found


def orthogonal(module: M, name: str = "weight", orthogonal_map: str | None = None, *,
               use_trivialization: bool = True) -> M:
    """Keep a matrix orthogonal (unitary if complex): its columns are orthonormal, or its rows if it has more columns.

    Args:
        module: the module that has it.
        name: its name.
        orthogonal_map: "matrix_exp", "cayley" or "householder"; by default "matrix_exp" for square or complex
            matrices, "householder" for others.
        use_trivialization: begin at the matrix that there is, or at what is made of it, and so allow assignments.

    ValueError where there is no such matrix or no such map.

    >>> import flambeau as torch
    >>> layer = torch.nn.utils.parametrizations.orthogonal(torch.nn.Linear(2, 4))
    >>> torch.allclose(layer.weight.T @ layer.weight, torch.eye(2), atol=1e-5)
    True
    """
    weight = _tensor_of(module, name)
    if weight.dim() < 2:
        raise ArgumentValueError("Expected a matrix or batch of matrices. Got a tensor of "
                                 f"{weight.dim()} dimensions.")
    if orthogonal_map is None:
        square = weight.size(-2) == weight.size(-1)
        orthogonal_map = "matrix_exp" if square or weight.is_complex() else "householder"
    if orthogonal_map not in _OrthMaps.__members__:
        raise ArgumentValueError('orthogonal_map has to be one of "matrix_exp", "cayley", "householder". Got: '
                                 f"{orthogonal_map}")
    made = _Orthogonal(weight, _OrthMaps[orthogonal_map], use_trivialization=use_trivialization)
    return parametrize.register_parametrization(module, name, made, unsafe=True)


# ---------------------------------------------------------------------------------------------- size and direction
class _WeightNorm(Module):
    """A weight made of the norms of its slices and of what has their directions."""

    def __init__(self, dim: int | None = 0) -> None:
        super().__init__()
        self.dim = -1 if dim is None else dim

    def forward(self, weight_g: Tensor, weight_v: Tensor) -> Tensor:
        """The weight."""
        result: Tensor = weight_v * (weight_g / norm_except_dim(weight_v, 2, self.dim))
        return result

    def right_inverse(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        """The norms and the weight itself."""
        return norm_except_dim(weight, 2, self.dim), weight


def weight_norm(module: M, name: str = "weight", dim: int | None = 0) -> M:
    """Learn the norms of a weight's slices apart from their directions.

    Args:
        module: the module that has the weight.
        name: its name.
        dim: the dimension that keeps a norm for each index; None or -1 for one norm of all.

    The norms are ``parametrizations.<name>.original0``, the directions ``original1``.
    Source: "Weight Normalization", https://arxiv.org/abs/1602.07868

    >>> import flambeau as torch
    >>> layer = torch.nn.utils.parametrizations.weight_norm(torch.nn.Linear(20, 40))
    >>> layer.parametrizations.weight.original0.shape
    torch.Size([40, 1])
    """
    parametrize.register_parametrization(module, name, _WeightNorm(dim), unsafe=True)

    def take_older_names(state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        """What the function of this name in `nn.utils` has saved."""
        older = [f"{prefix}{name}_g", f"{prefix}{name}_v"]
        if all(key in state_dict for key in older):
            for number, key in enumerate(older):
                state_dict[f"{prefix}parametrizations.{name}.original{number}"] = state_dict.pop(key)

    module._register_load_state_dict_pre_hook(take_older_names)
    return module


# ---------------------------------------------------------------------------------------------- spectral norm
class _SpectralNorm(Module):
    """A weight divided by its largest singular value, of which every call in training makes a better estimate."""

    _u: Tensor
    _v: Tensor

    def __init__(self, weight: Tensor, n_power_iterations: int = 1, dim: int = 0, eps: float = 1e-12) -> None:
        super().__init__()
        number = weight.dim()
        if not -number <= dim < number:
            raise DimensionError(f"Dimension out of range (expected to be in range of [-{number}, {number - 1}] but "
                                 f"got {dim})")
        if n_power_iterations <= 0:
            raise ArgumentValueError("Expected n_power_iterations to be positive, but got "
                                     f"n_power_iterations={n_power_iterations}")
        self.dim = dim % number
        self.eps = eps
        if number > 1:
            self.n_power_iterations = n_power_iterations
            with no_grad():
                matrix = self._matrix(weight)
                for name, size in zip(("_u", "_v"), matrix.shape, strict=True):
                    drawn = matrix.new_empty(size).normal_(0, 1)
                    self.register_buffer(name, F.normalize(drawn, dim=0, eps=eps))
                self._iterate(matrix, 15)

    def _matrix(self, weight: Tensor) -> Tensor:
        result: Tensor = weight.movedim(self.dim, 0).flatten(1)
        return result

    def _iterate(self, matrix: Tensor, times: int) -> None:
        with no_grad():
            for _ in range(times):
                self._u.copy_(F.normalize(mv(matrix, self._v), dim=0, eps=self.eps))
                self._v.copy_(F.normalize(mv(matrix.mH, self._u), dim=0, eps=self.eps))

    def forward(self, weight: Tensor) -> Tensor:
        """The weight divided by the estimate; a vector by its norm."""
        if weight.dim() == 1:
            return F.normalize(weight, dim=0, eps=self.eps)
        matrix = self._matrix(weight)
        if self.training:
            self._iterate(matrix, self.n_power_iterations)
        u, v = self._u.clone(), self._v.clone()   # since the next call changes them
        result: Tensor = weight / vdot(u, mv(matrix, v))
        return result

    def right_inverse(self, value: Tensor) -> Tensor:
        """The value itself."""
        return value


def spectral_norm(module: M, name: str = "weight", n_power_iterations: int = 1, eps: float = 1e-12,
                  dim: int | None = None) -> M:
    """Divide a weight by its largest singular value, as a matrix whose rows are a dimension's indices.

    Args:
        module: the module that has the weight.
        name: its name.
        n_power_iterations: steps by which every call in training betters the estimate.
        eps: what the norms of vectors are at least.
        dim: the dimension of the outputs; by default 0, of transposed convolutions 1.

    Source: "Spectral Normalization for Generative Adversarial Networks", https://arxiv.org/abs/1802.05957

    >>> import flambeau as torch
    >>> layer = torch.nn.utils.parametrizations.spectral_norm(torch.nn.Linear(20, 40))
    >>> bool(0.9 < torch.linalg.matrix_norm(layer.weight, 2) < 1.2)
    True
    """
    weight = _tensor_of(module, name)
    if dim is None:
        dim = 1 if isinstance(module, (ConvTranspose1d, ConvTranspose2d, ConvTranspose3d)) else 0
    return parametrize.register_parametrization(module, name, _SpectralNorm(weight, n_power_iterations, dim, eps))
