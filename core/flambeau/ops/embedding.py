"""Tables looked up by index, and what goes with them."""

from __future__ import annotations

import warnings
from typing import Any

from flambeau import dtypes
from flambeau.dispatch import composite, front, operator
from flambeau.errors import ArgumentError, ArgumentValueError, DtypeError, UnsupportedError, message
from flambeau.ops._samples import Calls
from flambeau.ops.creation import arange
from flambeau.ops.joining import cat
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
    index outside the table. With `sparse` the gradient has the same values and is dense all the same, since there is
    no sparse layout.
    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.embedding.html

    >>> import flambeau as torch
    >>> torch.nn.functional.embedding(torch.tensor([1, 0]), torch.tensor([[1., 2.], [3., 4.]]))
    tensor([[3., 4.],
            [1., 2.]])
    """
    if input.dtype not in (dtypes.int64, dtypes.int32):
        raise DtypeError(message("embedding", "Expected tensor for argument #1 'indices' to have one of the following "
                                 "scalar types: Long, Int", given=str(input.dtype), next_step="use input.long()"))
    if weight.ndim != 2:
        raise ArgumentError(f"embedding: 'weight' must be 2-D; given: {list(weight.shape)}")
    rows = weight.shape[0]
    if padding_idx is not None and not -rows <= padding_idx < rows:
        raise AssertionError(f"embedding: Padding_idx must be within num_embeddings; given: {padding_idx} of {rows}")
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


# ---------------------------------------------------------------------------------------------- bags
def _samples_segments(make: Any) -> Calls:
    """Bags that are neighbours, of which one is empty, as one in the middle and one at the end."""
    yield (make(5, 3), make.fixed([0, 2, 2, 3], dtype=dtypes.int64)), {}
    yield (make(4, 2), make.fixed([0, 4], dtype=dtypes.int64)), {}


def _samples_bags(make: Any) -> Calls:
    """Bags of equal sizes and by offsets, one of them empty; every mode, weights, padding, frequencies."""
    if make.dtype.is_floating_point:
        flat, offsets = make.index(6, high=5), make.fixed([0, 2, 2], dtype=dtypes.int64)
        for mode in ("sum", "mean", "max"):
            yield (make.index(2, 3, high=5), make.distinct(5, 4)), {"mode": mode}
            yield (flat, make.distinct(5, 4), offsets), {"mode": mode, "padding_idx": 1}
        yield (flat, make(5, 4), offsets), {"mode": "sum", "per_sample_weights": make(6)}
        # equally often each: PyTorch on the host divides by how often another row is used
        yield (make.fixed([[2, 0], [0, 2]], dtype=dtypes.int64), make(5, 4)), {"scale_grad_by_freq": True}
        yield (flat, make(5, 2), make.fixed([0, 4, 6], dtype=dtypes.int64)), {"include_last_offset": True}


def _samples_pick(make: Any) -> Calls:
    """Places of which one repeats, and two that stand for no row."""
    yield (make(3, 2), make.fixed([[0, 2], [3, 3], [0, 1]], dtype=dtypes.int64)), {}


def _bag_of_each(offsets: Tensor, count: int) -> Tensor:
    """The number of the bag that each of `count` rows is in."""
    marks: Tensor = offsets.new_zeros(count + 1).index_add(0, offsets, offsets.new_ones(offsets._array.shape))
    return marks.cumsum(0).narrow(0, 0, count) - 1


@operator(namespace="internal", grad_name="EmbeddingBagBackward0", samples=_samples_segments, vjp={
    "rows": lambda g, offsets, rows_shape: g.index_select(0, _bag_of_each(offsets, rows_shape[0]))})
def bag_sum(rows: Tensor, offsets: Tensor) -> Tensor:
    """Sums of neighbouring rows (n, width): of those from each offset to the next, the first of which is 0."""
    count = rows._array.shape[0]
    total: Tensor = rows.new_zeros((offsets._array.shape[0], rows._array.shape[1]))
    return total.index_add(0, _bag_of_each(offsets, count), rows) if count else total


def _unpicked(g: Tensor, places: Tensor, count: int) -> Tensor:
    """The gradient of rows: what came from each place, and nothing from where there was no row."""
    total: Tensor = g.new_zeros((count + 1, g._array.shape[1]))
    return total.scatter_add(0, places, g).narrow(0, 0, count)


@operator(namespace="internal", grad_name="EmbeddingBagBackward0", samples=_samples_pick, vjp={
    "rows": lambda g, places, rows_shape: _unpicked(g, places, rows_shape[0])})
def bag_pick(rows: Tensor, places: Tensor) -> Tensor:
    """The row at each place, column by column; 0 where the place is the number of rows."""
    return cat([rows, rows.new_zeros((1, rows._array.shape[1]))], 0).gather(0, places)


def _samples_places(make: Any) -> Calls:
    """Bags of equal sizes, and others of which one is empty, without and with rows that do not count."""
    yield (make.distinct(6, 2), make.fixed([0, 2, 4], dtype=dtypes.int64), None), {}
    for counted in (None, make.fixed([False, True, True, False, True], dtype=dtypes.bool_)):
        yield (make.distinct(5, 2), make.fixed([0, 3, 3, 4], dtype=dtypes.int64), counted), {}


@operator(namespace="internal", samples=_samples_places, vjp="none", excluded=(dtypes.BOOL, dtypes.INTEGER))
def bag_maxima(rows: Tensor, offsets: Tensor, counted: Tensor | None) -> Tensor:
    """The first row of each bag (bags, width) with its maximum in each column; the number of rows for an empty bag.

    A nan is a maximum where it is the first of a bag and none elsewhere, as it is for who compares one by one.
    """
    count, width = rows._array.shape
    bags, bag = offsets._array.shape[0], _bag_of_each(offsets, count)
    numbers, index = arange(count, device=rows.device), bag.unsqueeze(1).expand(count, width)
    counted = numbers >= 0 if counted is None else counted
    first = bag.new_full((bags,), count).scatter_reduce(0, bag, numbers.masked_fill(~counted, count), "amin")
    is_first = (numbers == first.index_select(0, bag)).unsqueeze(1)
    no_number = rows != rows
    values = rows.masked_fill(no_number & is_first, float("inf")).masked_fill(
        no_number & ~is_first | ~counted.unsqueeze(1), float("-inf"))
    highest = values.new_full((bags, width), float("-inf")).scatter_reduce(0, index, values, "amax")
    is_it = (values == highest.gather(0, index)) & counted.unsqueeze(1)
    candidates = numbers.unsqueeze(1).expand(count, width).masked_fill(~is_it, count)
    return index.new_full((bags, width), count).scatter_reduce(0, index, candidates, "amin")


def _maxima(rows: Tensor, indices: Tensor, offsets: Tensor, counted: Tensor | None) -> tuple[Tensor, Tensor]:
    """The maxima of bags, 0 for an empty one, and the indices of the rows that they come from."""
    if not rows._array.shape[0]:
        places = indices.new_zeros((offsets._array.shape[0], rows._array.shape[1]))
        return bag_pick(rows, places), places
    places = bag_maxima(rows.detach(), offsets, counted)
    return bag_pick(rows, places), cat([indices, indices.new_zeros(1)], 0)[places]


def _bags(indices: Tensor, weight: Tensor, offsets: Tensor, scale_grad_by_freq: bool, mode: str,
         per_sample_weights: Tensor | None, include_last_offset: bool, padding_idx: int | None
         ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Combined bags, the bag of each index, the bags' sizes without padding, and the indices of maxima."""
    padding = _check_bags(indices, weight, offsets, per_sample_weights, include_last_offset, padding_idx)
    offsets = offsets.to(dtypes.int64)
    if include_last_offset:
        end = int(offsets[-1])
        indices, offsets = indices.narrow(0, 0, end), offsets.narrow(0, 0, offsets._array.shape[0] - 1)
        per_sample_weights = per_sample_weights if per_sample_weights is None else per_sample_weights.narrow(0, 0, end)
    count, number = indices._array.shape[0], offsets._array.shape[0]
    try:
        rows: Tensor = _embedding(weight, indices, padding, scale_grad_by_freq)
    except IndexError:
        raise ArgumentError("embedding_bag: Expected idx >= 0 && idx < num_embeddings but found idx to be outside; "
                            f"given: {int(indices.min())} to {int(indices.max())} for {weight.shape[0]} rows") from None
    counted = None if padding < 0 else indices != padding
    if mode == "sum" and counted is None:   # nothing more is needed
        weighted = rows if per_sample_weights is None else rows * per_sample_weights.unsqueeze(1)
        zeros = offsets.new_zeros(number)
        return bag_sum(weighted, offsets), offsets.new_zeros(0), zeros, zeros
    bag = _bag_of_each(offsets, count)
    ones = offsets.new_ones(count) if counted is None else counted.to(dtypes.int64)
    sizes = offsets.new_zeros(number).index_add(0, bag, ones) if count else offsets.new_zeros(number)
    if mode == "max":
        result, found = _maxima(rows, indices.to(dtypes.int64), offsets, counted)
        return result, bag, sizes, found
    factors = per_sample_weights
    if mode == "mean":
        factors = (1 / sizes.clamp(min=1).to(rows._kind.dtype)).index_select(0, bag)
    if counted is not None:
        factors = counted.to(rows._kind.dtype) if factors is None else factors.masked_fill(~counted, 0)
    return bag_sum(rows if factors is None else rows * factors.unsqueeze(1), offsets), bag, sizes, sizes


def _check_bags(indices: Tensor, weight: Tensor, offsets: Tensor, per_sample_weights: Tensor | None,
                include_last_offset: bool, padding_idx: int | None) -> int:
    """The padding row as it is canonical; RuntimeError where something does not fit."""
    common = dtypes.promote_types(indices.dtype, offsets.dtype)
    if common not in (dtypes.int64, dtypes.int32):
        raise DtypeError("embedding_bag: Expected tensor for argument #1 'indices' to have one of the following scalar "
                         f"types: Long, Int; but got {common}; use .long() on the indices and the offsets")
    if not weight.dtype.is_floating_point:
        raise DtypeError("embedding_bag: Expected tensor for argument #1 'weight' to have one of the following scalar "
                         f"types: Half, BFloat16, Float, Double; but got {weight.dtype}")
    if per_sample_weights is not None and per_sample_weights.dtype is not weight.dtype:
        raise DtypeError("embedding_bag: Expected tensor for argument #1 'weight' to have the same type as tensor for "
                         f"argument #1 'per_sample_weights'; but type {weight.dtype} does not equal "
                         f"{per_sample_weights.dtype}")
    count, number, rows = indices.numel(), offsets.numel(), weight._array.shape[0]
    if include_last_offset and not number:
        raise ArgumentError("embedding_bag: include_last_offset: number of offset should be at least 1")
    if padding_idx is not None and not -rows <= padding_idx < rows:
        raise ArgumentError("embedding_bag: padding_idx must be within the number of embeddings, "
                            f"{-rows} through {rows - 1}, but got {padding_idx}")
    if number:
        first, last = int(offsets[0]), int(offsets[-1])
        if first != 0:
            raise ArgumentError("embedding_bag: offsets[0] has to be 0, i.e., the first sequence in the mini-batch has "
                                f"to start from position 0. However, got {first}")
        if last > count:
            raise ArgumentError(f"embedding_bag: offsets[-1] can not be greater than input's length {count} but got "
                                f"offsets[-1] of {last}")
    return -1 if padding_idx is None else padding_idx % rows


def _flat_bags(input: Tensor, offsets: Tensor | None, per_sample_weights: Tensor | None
               ) -> tuple[Tensor, Tensor, Tensor | None, bool]:
    """Indices, offsets and weights in one dimension; and whether the bags were rows of equal length."""
    if input.dim() == 2:
        if offsets is not None:
            raise ArgumentValueError("embedding_bag: if input is 2D, then offsets has to be None, as input is treated "
                                     f"is a mini-batch of fixed length sequences. However, found offsets of type "
                                     f"{type(offsets)}")
        number, length = input._array.shape
        starts = arange(number, device=input.device) * length
        weights = None if per_sample_weights is None else per_sample_weights.reshape(-1)
        return input.reshape(-1), starts, weights, True
    if input.dim() != 1:
        raise ArgumentValueError(f"embedding_bag: input has to be 1D or 2D Tensor, but got Tensor of dimension "
                                 f"{input.dim()}")
    if offsets is None or offsets.dim() != 1:
        raise ArgumentValueError("embedding_bag: offsets has to be a 1D Tensor" + (
            " but got None" if offsets is None else f"; given: {list(offsets._array.shape)}"))
    return input, offsets, per_sample_weights, False


@composite(namespace="nn.functional", method=False, samples=_samples_bags)
def embedding_bag(input: Tensor, weight: Tensor, offsets: Tensor | None = None, max_norm: float | None = None,
                  norm_type: float = 2, scale_grad_by_freq: bool = False, mode: str = "mean", sparse: bool = False,
                  per_sample_weights: Tensor | None = None, include_last_offset: bool = False,
                  padding_idx: int | None = None) -> Tensor:
    """Sums, means or maxima of bags of rows of `weight` (rows, width): (bags, width), zeros for an empty bag.

    Bags are the rows of `input` (bags, size), or begin at the `offsets` of an `input` of one dimension.
    `per_sample_weights`, of the input's shape, are for "sum" only; `padding_idx` is a row that does not count and gets
    no gradient; `max_norm` shortens longer rows in place first. With `sparse` the gradient has the same values and is
    dense all the same. ValueError and RuntimeError for what does not fit.
    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.embedding_bag.html

    >>> import flambeau as torch
    >>> torch.nn.functional.embedding_bag(torch.tensor([[0, 1], [2, 2]]), torch.eye(3), mode="sum")
    tensor([[1., 1., 0.],
            [0., 0., 2.]])
    """
    if weight.dtype is dtypes.int64 and input.is_floating_point():
        warnings.warn("Argument order of nn.functional.embedding_bag was changed. Usage `embedding_bag(weight, input, "
                      "...)` is deprecated, and should now be `embedding_bag(input, weight, ...)`.", stacklevel=2)
        weight, input = input, weight
    if per_sample_weights is not None and input.shape != per_sample_weights.shape:
        raise ArgumentValueError(f"embedding_bag: If per_sample_weights ({per_sample_weights.shape}) is not None, then "
                                 f"it must have the same shape as the input ({input.shape})")
    if weight.dim() != 2:
        raise ArgumentValueError(f"weight has to be a 2D Tensor, but got Tensor of dimension {weight.dim()}")
    indices, offsets, weights, equal = _flat_bags(input, offsets, per_sample_weights)
    if mode not in ("sum", "mean", "max"):
        raise ArgumentValueError(f"mode has to be one of sum, mean or max; given: {mode!r}")
    if mode == "max" and (scale_grad_by_freq or sparse):
        raise ArgumentValueError("max mode does not support scaling the gradient by the frequency" if scale_grad_by_freq
                                 else "max mode does not support sparse weights")
    if max_norm is not None:
        _renormalise(indices, weight, max_norm, norm_type)
    if weights is not None and mode != "sum":
        raise UnsupportedError("embedding_bag: per_sample_weights was not None. per_sample_weights is only supported "
                               f"for mode='sum' (got mode='{mode}')")
    return _bags(indices, weight, offsets, bool(scale_grad_by_freq), mode, weights, include_last_offset and not equal,
                padding_idx)[0]


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
