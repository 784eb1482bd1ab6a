"""Distances between the rows of one matrix."""

from __future__ import annotations

from flambeau.dispatch import composite
from flambeau.errors import ArgumentError, DtypeError, ShapeError
from flambeau.ops import _faces, _samples
from flambeau.ops.norms import vector_norm
from flambeau.ops.rearrange import triu_indices
from flambeau.tensor import Tensor


@composite(namespace="torch nn.functional", method=False,
           samples=_samples.on(((4, 3),), ((3, 2), 1.0), ((3, 2), 3.0), ((3, 2), float("inf")), ((3, 2), 0.0)))
def pdist(input: Tensor, p: float = 2.0) -> Tensor:
    """The p-norm distances between all pairs of rows of an (N, M) matrix: N (N - 1) / 2 of them, the first row's first.

    RuntimeError for a negative `p` and for what is no matrix of floating point numbers.
    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.pdist.html

    >>> import flambeau as torch
    >>> torch.nn.functional.pdist(torch.tensor([[0., 0.], [3., 4.], [0., 1.]]))
    tensor([5.0000, 1.0000, 4.2426])
    """
    if input.dim() != 2:
        raise ShapeError(f"pdist only supports 2D tensors, got: {input.dim()}D")
    if not input.is_floating_point():
        raise DtypeError(f"pdist only supports floating-point dtypes; given: {_faces.scalar_name(input._kind.dtype)}")
    if p < 0:
        raise ArgumentError(f"pdist only supports non-negative p values; given: {p}")
    count = input.shape[0]
    if count < 2 or not input.shape[1]:
        return input.new_zeros(count * (count - 1) // 2) + 0 * input.sum()
    first, second = triu_indices(count, count, 1, device=input.device).unbind(0)
    difference = input.index_select(0, first) - input.index_select(0, second)
    if p == 0:
        return (difference != 0).to(input._kind.dtype).sum(-1) + 0 * difference.sum(-1)
    result: Tensor = vector_norm(difference, p, -1)
    return result
