"""Tables looked up by index, and what goes with them."""

from __future__ import annotations

from typing import Any

from flambeau import dtypes
from flambeau.dispatch import composite, front, operator
from flambeau.errors import ArgumentError, DtypeError, message
from flambeau.ops._samples import Calls
from flambeau.tensor import Tensor


def _repeated(make: Any) -> Any:
    """Indices of which some repeat, and some are never."""
    return make.fixed([[1, 0, 1], [4, 1, 0]], dtype=dtypes.int64)


def _samples(make: Any) -> Calls:
    yield (make.index(2, 3, high=5), make(5, 4)), {}
    yield (_repeated(make), make(5, 4)), {"padding_idx": 1, "scale_grad_by_freq": True}
    yield (_repeated(make), make(5, 4)), {"padding_idx": -1}
    yield (_repeated(make), make(5, 3, requires_grad=False)), {"max_norm": 4.0, "norm_type": 1.0}
    yield (make.index(high=5), make(5, 2)), {}


def _samples_weight_grad(make: Any) -> Calls:
    yield (make(2, 3, 4), _repeated(make), 5, -1, False), {}
    if make.dtype.is_differentiable:
        yield (make(2, 3, 4), _repeated(make), 5, 1, True), {}


def _samples_one_hot(make: Any) -> Calls:
    yield (_repeated(make),), {}
    yield (make.index(4, high=3),), {"num_classes": 5}


@operator(method=False, namespace="nn.functional", samples=_samples, vjp={
    "weight": lambda g, indices, weight_shape, padding_idx, scale_grad_by_freq: embedding_weight_grad(
        g, indices, weight_shape[0], padding_idx, scale_grad_by_freq)})
def _embedding(weight: Tensor, indices: Tensor, padding_idx: int, scale_grad_by_freq: bool) -> Tensor:
    """The rows of `weight` at `indices`."""
    return weight.index_select(0, indices.reshape(-1)).reshape(*indices.shape, weight.shape[1])


@operator(namespace="internal", grad_name="EmbeddingDenseBackward0", samples=_samples_weight_grad, vjp={
    "g": lambda h, indices, rows, padding_idx, scale_grad_by_freq: _rows_of(
        h, indices, rows, padding_idx, scale_grad_by_freq)})
def embedding_weight_grad(g: Tensor, indices: Tensor, rows: int, padding_idx: int, scale_grad_by_freq: bool) -> Tensor:
    """Add each row of `g` to the row of the table that it came from; none to `padding_idx`."""
    flat, values = indices.reshape(-1), g.reshape(-1, g.shape[-1])
    if scale_grad_by_freq:
        values = values / _frequencies(g, flat, rows).unsqueeze(1)
    if padding_idx >= 0:
        values = values * (flat != padding_idx).unsqueeze(1)
    return g.new_zeros((rows, g.shape[-1])).index_add(0, flat, values)


def _frequencies(like: Tensor, indices: Tensor, rows: int) -> Tensor:
    """How often each index occurs among all of them."""
    counts = like.new_zeros(rows).index_add(0, indices.reshape(-1), like.new_ones(indices.numel()))
    return counts.index_select(0, indices.reshape(-1)).reshape(indices.shape)


def _rows_of(h: Tensor, indices: Tensor, rows: int, padding_idx: int, scale_grad_by_freq: bool) -> Tensor:
    result: Tensor = _embedding(h, indices, padding_idx, False)
    if scale_grad_by_freq:
        result = result / _frequencies(h, indices, rows).unsqueeze(-1)
    return result if padding_idx < 0 else result * (indices != padding_idx).unsqueeze(-1)


@front(_embedding)
def embedding(input: Tensor, weight: Tensor, padding_idx: int | None = None, max_norm: float | None = None,
              norm_type: float = 2.0, scale_grad_by_freq: bool = False, sparse: bool = False) -> Tensor:
    """The rows of `weight` (rows, width) at the integers in `input` (any shape): `(*input, width)`.

    `padding_idx` is a row that gets no gradient. `max_norm` shortens longer rows in place first. IndexError for an
    index outside the table; `sparse` is refused: gradients are dense here.
    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.embedding.html

    >>> import flambeau as torch
    >>> torch.nn.functional.embedding(torch.tensor([1, 0]), torch.tensor([[1., 2.], [3., 4.]]))
    tensor([[3., 4.],
            [1., 2.]])
    """
    if sparse:
        raise ArgumentError("embedding: sparse gradients are not supported; use sparse=False")
    if input.dtype not in (dtypes.int64, dtypes.int32):
        raise DtypeError(message("embedding", "Expected tensor for argument #1 'indices' to have one of the following "
                                 "scalar types: Long, Int", given=str(input.dtype), next_step="use input.long()"))
    if weight.ndim != 2:
        raise ArgumentError(f"embedding: 'weight' must be 2-D; given: {list(weight.shape)}")
    rows = weight.shape[0]
    if padding_idx is not None and not -rows <= padding_idx < rows:
        raise ArgumentError(f"embedding: Padding_idx must be within num_embeddings; given: {padding_idx}, rows: {rows}")
    padding = -1 if padding_idx is None else padding_idx % rows
    if max_norm is not None:
        _renormalise(input, weight, max_norm, norm_type)
    return _embedding(weight, input, padding, bool(scale_grad_by_freq))


def _renormalise(input: Tensor, weight: Tensor, max_norm: float, norm_type: float) -> None:
    """Shorten, in place, the rows that will be looked up and are longer than `max_norm`."""
    table = weight.detach()  # the same memory, without recording
    used = input.reshape(-1).unique()
    rows = table.index_select(0, used)
    norms = rows.norm(norm_type, dim=1, keepdim=True)
    table.index_copy_(0, used, (rows * (max_norm / (norms + 1e-7))).where(norms > max_norm, rows))


@composite(namespace="nn.functional", method=False, samples=_samples_one_hot)
def one_hot(tensor: Tensor, num_classes: int = -1) -> Tensor:
    """Zeros with a one at each index: int64 of shape `(*tensor, classes)`.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.one_hot.html

    >>> import flambeau as torch
    >>> torch.nn.functional.one_hot(torch.tensor([2, 0]))
    tensor([[0, 0, 1],
            [1, 0, 0]])
    """
    if tensor.dtype is not dtypes.int64:
        raise DtypeError(f"one_hot is only applicable to index tensor of type LongTensor; given: {tensor.dtype}")
    if tensor.numel() == 0 and num_classes <= 0:
        raise ArgumentError("Can not infer total number of classes from empty tensor.")
    if tensor.numel() and tensor.min().item() < 0:
        raise ArgumentError("Class values must be non-negative.")
    highest: Any = tensor.max().item() if tensor.numel() else -1
    count = highest + 1 if num_classes == -1 else num_classes
    if count <= highest:
        raise ArgumentError("Class values must be smaller than num_classes.")
    result: Tensor = tensor.new_zeros((*tensor.shape, count))
    return result.scatter_(-1, tensor.unsqueeze(-1), 1)
