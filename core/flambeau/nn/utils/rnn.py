"""Sequences of different lengths in one tensor: padded, or packed.

A packed sequence holds the steps of a batch below each other, first all first steps, then all second ones, without
those that shorter sequences do not have; `batch_sizes` says how many each step has. Recurrent layers take it as it is
and do no work on padding. Rows are found by index tensors, so that packing and its gradient are one operator each.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from flambeau import dtypes
from flambeau.errors import ArgumentError, ArgumentTypeError, ArgumentValueError, DimensionError, ShapeError
from flambeau.ops.construct import as_tensor, tensor
from flambeau.ops.creation import arange, empty
from flambeau.ops.joining import cat
from flambeau.ops.sorting import sort
from flambeau.tensor import Tensor

__all__ = [
    "PackedSequence",
    "invert_permutation",
    "pack_padded_sequence",
    "pack_sequence",
    "pad_packed_sequence",
    "pad_sequence",
    "unpack_sequence",
    "unpad_sequence",
]


class PackedSequence_(NamedTuple):  # noqa: N801 -- PyTorch's name
    """The fields of a `PackedSequence`."""

    data: Tensor
    batch_sizes: Tensor
    sorted_indices: Tensor | None
    unsorted_indices: Tensor | None


class PackedSequence(PackedSequence_):
    """A batch of sequences of different lengths, packed; made by `pack_padded_sequence` and `pack_sequence`.

    Args:
        data: the rows of all steps below each other.
        batch_sizes: int64 on the host, how many rows each step has; never more than the step before.
        sorted_indices: where the sequences, sorted by falling length, stood in the batch; None if they were sorted.
        unsorted_indices: the inverse of that permutation; computed if left out.

    >>> import flambeau as torch
    >>> packed = torch.nn.utils.rnn.pack_sequence([torch.tensor([1, 2, 3]), torch.tensor([4])])
    >>> packed.data, packed.batch_sizes
    (tensor([1, 4, 2, 3]), tensor([2, 1, 1]))
    """

    def __new__(
        cls,
        data: Any,
        batch_sizes: Tensor | None = None,
        sorted_indices: Tensor | None = None,
        unsorted_indices: Tensor | None = None,
    ) -> PackedSequence:
        if unsorted_indices is None:
            unsorted_indices = invert_permutation(sorted_indices)
        if batch_sizes is None:
            if not isinstance(data, (list, tuple)) or len(data) != 2:
                raise AssertionError("Expected data to be a list or tuple of length 2")
            data, batch_sizes = data
        elif not batch_sizes._kind.backend.capabilities.host:
            raise ArgumentValueError(
                "batch_sizes should always be on CPU. Instances of PackedSequence should never be created manually. "
                "They should be instantiated by functions like pack_sequence and pack_padded_sequence; given: "
                f"{batch_sizes.device}"
            )
        return super().__new__(cls, data, batch_sizes, sorted_indices, unsorted_indices)

    def _like(self, data: Tensor, move: Any) -> PackedSequence:
        order, back = (None if each is None else move(each) for each in (self.sorted_indices, self.unsorted_indices))
        return type(self)(data, self.batch_sizes, order, back)

    def pin_memory(self) -> PackedSequence:
        """A copy in pinned memory of the host."""
        return self._like(self.data.pin_memory(), lambda each: each.pin_memory())

    def is_pinned(self) -> bool:
        """Whether the data are in pinned memory."""
        return bool(self.data.is_pinned())

    def to(self, *args: Any, **kwargs: Any) -> PackedSequence:
        """Data in another dtype or on another device, as `Tensor.to`; the sequence itself where nothing changes."""
        data = self.data.to(*args, **kwargs)
        if data is self.data:
            return self
        others = {key: kwargs[key] for key in ("non_blocking", "copy") if key in kwargs}
        return self._like(data, lambda each: each.to(data.device, **others))

    def _on(self, device_type: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> PackedSequence:
        """On a device of that type: the one that the arguments name, else the type's current one."""
        named = empty(0, dtype=self.data.dtype, device=self.data.device).to(*args, **kwargs)
        if named.device.type != device_type:
            kwargs["device"] = device_type
        return self.to(*args, **kwargs)

    def cuda(self, *args: Any, **kwargs: Any) -> PackedSequence:
        """On a CUDA device."""
        return self._on("cuda", args, kwargs)

    def cpu(self, *args: Any, **kwargs: Any) -> PackedSequence:
        """On the host."""
        return self._on("cpu", args, kwargs)

    def double(self) -> PackedSequence:
        """Data in float64."""
        return self.to(dtype=dtypes.float64)

    def float(self) -> PackedSequence:
        """Data in float32."""
        return self.to(dtype=dtypes.float32)

    def half(self) -> PackedSequence:
        """Data in float16."""
        return self.to(dtype=dtypes.float16)

    def long(self) -> PackedSequence:
        """Data in int64."""
        return self.to(dtype=dtypes.int64)

    def int(self) -> PackedSequence:
        """Data in int32."""
        return self.to(dtype=dtypes.int32)

    def short(self) -> PackedSequence:
        """Data in int16."""
        return self.to(dtype=dtypes.int16)

    def char(self) -> PackedSequence:
        """Data in int8."""
        return self.to(dtype=dtypes.int8)

    def byte(self) -> PackedSequence:
        """Data in uint8."""
        return self.to(dtype=dtypes.uint8)

    @property
    def is_cuda(self) -> bool:
        """Whether the data are on a CUDA device."""
        return bool(self.data.is_cuda)


# ---------------------------------------------------------------------------------------------- rows by index
def _present(lengths: Tensor, longest: int) -> Tensor:
    """(batch, longest) of bool, on the host: which steps the sequences have."""
    steps: Tensor = arange(longest, device=lengths.device).unsqueeze(0) < lengths.unsqueeze(1)
    return steps


def _places(mask: Tensor, like: Tensor) -> Tensor:
    """Where a mask is True, counted row by row, on another tensor's device."""
    found: Tensor = mask.reshape(-1).nonzero().squeeze(1).to(like.device)
    return found


def _flat(input: Tensor) -> Tensor:
    """The first two dimensions as one."""
    shape = input.shape
    return input.reshape(shape[0] * shape[1], *shape[2:])


def invert_permutation(permutation: Tensor | None) -> Tensor | None:
    """The permutation that undoes another; None for None.

    >>> import flambeau as torch
    >>> torch.nn.utils.rnn.invert_permutation(torch.tensor([2, 0, 1]))
    tensor([1, 2, 0])
    """
    if permutation is None:
        return None
    numbers = arange(permutation.numel(), device=permutation.device, dtype=permutation.dtype)
    result: Tensor = empty(permutation.shape, dtype=permutation.dtype, device=permutation.device)
    return result.scatter_(0, permutation, numbers)


# ---------------------------------------------------------------------------------------------- packing
def _check_lengths(lengths: Tensor, batch: int, longest: int) -> None:
    if lengths.dim() != 1 or not lengths._kind.backend.capabilities.host:
        raise ArgumentError(f"pack_padded_sequence: 'lengths' argument should be a 1D CPU int64 tensor, but got "
                            f"{lengths.dim()}D {lengths.device.type} tensor")
    if lengths.numel() != batch:
        raise ArgumentError(f"pack_padded_sequence: Expected `len(lengths)` to be equal to batch_size, but got "
                            f"{lengths.numel()} (batch_size={batch})")
    values = lengths.tolist()
    if min(values) <= 0:
        raise ArgumentError("pack_padded_sequence: Length of all samples has to be greater than 0, but found an "
                            "element in 'lengths' that is <= 0")
    if values != sorted(values, reverse=True):
        raise ArgumentError("pack_padded_sequence: `lengths` array must be sorted in decreasing order when "
                            "`enforce_sorted` is True. You can pass `enforce_sorted=False` to pack_padded_sequence "
                            "and/or pack_sequence to sidestep this requirement if you do not need ONNX exportability.")
    if values[0] > longest:
        raise ArgumentError(f"pack_padded_sequence: a length is beyond the padded sequences; given: {values[0]}, "
                            f"allowed: up to {longest}")


def _pack(input: Tensor, lengths: Tensor, batch_first: bool) -> tuple[Tensor, Tensor]:
    """(rows, batch sizes) of padded sequences whose lengths fall."""
    if input.dim() < 2:
        raise DimensionError("pack_padded_sequence: Dimension out of range: the input has a batch and a length; given: "
                             f"{list(input.shape)}")
    if input.numel() == 0:
        raise ArgumentError(f"pack_padded_sequence: Cannot pack empty tensors; given: {list(input.shape)}")
    if batch_first:
        input = input.transpose(0, 1)
    length, batch = input.shape[:2]
    _check_lengths(lengths, batch, length)
    mask = _present(lengths, int(lengths[0])).t()
    return _flat(input).index_select(0, _places(mask, input)), mask.sum(1)


def pack_padded_sequence(
    input: Tensor, lengths: Any, batch_first: bool = False, enforce_sorted: bool = True
) -> PackedSequence:
    """Pack padded sequences.

    Args:
        input: (length, batch, *), or (batch, length, *) with ``batch_first``.
        lengths: the length of each sequence, a list or an integer tensor on the host; all positive.
        batch_first: where the batch dimension is.
        enforce_sorted: whether lengths must fall, as some exporters want; otherwise they are sorted here.

    RuntimeError for lengths that are no such.

    >>> import flambeau as torch
    >>> padded = torch.tensor([[1, 0, 0], [4, 5, 6]])
    >>> torch.nn.utils.rnn.pack_padded_sequence(padded, [1, 3], batch_first=True, enforce_sorted=False).data
    tensor([4, 1, 5, 6])
    """
    lengths = lengths.to(dtype=dtypes.int64) if isinstance(lengths, Tensor) else \
        as_tensor(lengths, dtype=dtypes.int64, device="cpu")
    order = None
    if not enforce_sorted:
        lengths, order = sort(lengths, descending=True)
        order = order.to(input.device)
        input = input.index_select(0 if batch_first else 1, order)
    data, batch_sizes = _pack(input, lengths, batch_first)
    return PackedSequence(data, batch_sizes, order)


def pack_sequence(sequences: Any, enforce_sorted: bool = True) -> PackedSequence:
    """Pack a list of sequences, each (length, *).

    >>> import flambeau as torch
    >>> a, b = torch.tensor([1, 2, 3]), torch.tensor([4, 5])
    >>> torch.nn.utils.rnn.pack_sequence([a, b]).data
    tensor([1, 4, 2, 5, 3])
    """
    lengths = [each.size(0) for each in sequences]
    return pack_padded_sequence(pad_sequence(sequences), lengths, enforce_sorted=enforce_sorted)


# ---------------------------------------------------------------------------------------------- unpacking
def _pad(data: Tensor, batch_sizes: Tensor, batch_first: bool, value: Any, length: int) -> tuple[Tensor, Tensor]:
    """(padded sequences, lengths) of packed rows, in the order of the rows."""
    sizes = batch_sizes.tolist()
    batch = sizes[0]
    places = _places(_present(batch_sizes, batch), data)
    whole = data.new_full((length * batch, *data.shape[1:]), value).index_copy(0, places, data)
    padded = whole.reshape(length, batch, *data.shape[1:])
    lengths = _present(batch_sizes, batch).sum(0)
    return (padded.transpose(0, 1) if batch_first else padded), lengths


def pad_packed_sequence(
    sequence: PackedSequence, batch_first: bool = False, padding_value: float = 0.0, total_length: int | None = None
) -> tuple[Tensor, Tensor]:
    """(padded sequences, their lengths) of a packed batch, in the order before packing.

    Args:
        sequence: the batch.
        batch_first: whether the result is (batch, length, *), where otherwise length comes first.
        padding_value: what stands behind shorter sequences.
        total_length: the length to pad to, at least that of the longest sequence; ValueError if it is less.

    >>> import flambeau as torch
    >>> packed = torch.nn.utils.rnn.pack_sequence([torch.tensor([1, 2, 3]), torch.tensor([4])])
    >>> torch.nn.utils.rnn.pad_packed_sequence(packed, batch_first=True)
    (tensor([[1, 2, 3],
            [4, 0, 0]]), tensor([3, 1]))
    """
    length = sequence.batch_sizes.size(0)
    if total_length is not None:
        if total_length < length:
            raise ArgumentValueError("Expected total_length to be at least the length of the longest sequence in "
                                     f"input, but got total_length={total_length} and max sequence length being "
                                     f"{length}")
        length = total_length
    padded, lengths = _pad(sequence.data, sequence.batch_sizes, batch_first, padding_value, length)
    back = sequence.unsorted_indices
    if back is None:
        return padded, lengths
    return padded.index_select(0 if batch_first else 1, back), lengths[back.cpu()]


def unpack_sequence(packed_sequences: PackedSequence) -> list[Tensor]:
    """The sequences of a packed batch, as a list.

    >>> import flambeau as torch
    >>> packed = torch.nn.utils.rnn.pack_sequence([torch.tensor([1, 2, 3]), torch.tensor([4])])
    >>> torch.nn.utils.rnn.unpack_sequence(packed)
    [tensor([1, 2, 3]), tensor([4])]
    """
    padded, lengths = pad_packed_sequence(packed_sequences, batch_first=True)
    return unpad_sequence(padded, lengths, batch_first=True)


# ---------------------------------------------------------------------------------------------- padding
def _check_sequences(sequences: Any, padding_side: str) -> tuple[Tensor, ...]:
    if not isinstance(sequences, Iterable):
        raise ArgumentError("pad_sequence: Expected iterable for input sequences, but got arg of type: "
                            f"{type(sequences)}")
    found = tuple(sequences)
    if not found:
        raise ArgumentError("pad_sequence: received an empty list of sequences")
    if padding_side not in ("left", "right"):
        raise ArgumentError(f"Expected padding_side to be one of left or right, but got {padding_side}.")
    for number, each in enumerate(found):
        if not isinstance(each, Tensor):
            raise ArgumentTypeError(f"pad_sequence: expected Tensor as element {number} in argument 0, but got "
                                    f"{type(each).__name__}")
        if each.dim() == 0 or each.shape[1:] != found[0].shape[1:]:
            raise ShapeError(f"pad_sequence: The size of tensor {number} must match the size of tensor 0 at all "
                             f"dimensions but the first; given: {list(each.shape)} and {list(found[0].shape)}")
    return found


def pad_sequence(
    sequences: Any, batch_first: bool = False, padding_value: float = 0.0, padding_side: str = "right"
) -> Tensor:
    """Stack sequences of different lengths, padded to that of the longest.

    Args:
        sequences: tensors (length, *), equal but for the length.
        batch_first: whether the result is (batch, length, *), where otherwise length comes first.
        padding_value: what the rest is filled with.
        padding_side: ``"right"`` or ``"left"``, where the rest is.

    The result has the dtype and device of the first sequence. RuntimeError for an empty list.

    >>> import flambeau as torch
    >>> torch.nn.utils.rnn.pad_sequence([torch.tensor([1, 2, 3]), torch.tensor([4])], batch_first=True)
    tensor([[1, 2, 3],
            [4, 0, 0]])
    """
    found = _check_sequences(sequences, padding_side)
    first, batch = found[0], len(found)
    lengths = tensor([each.shape[0] for each in found], device="cpu")
    longest = max(each.shape[0] for each in found)
    mask = _present(lengths, longest)
    if padding_side == "left":
        mask = mask.flip(1)
    places = _places(mask, first)
    if not batch_first:
        places = places % longest * batch + places // longest if longest else places
    rows = cat([each if each.dtype is first.dtype else each.to(first.dtype) for each in found])
    whole = first.new_full((batch * longest, *first.shape[1:]), padding_value).index_copy(0, places, rows)
    outer = (batch, longest) if batch_first else (longest, batch)
    return whole.reshape(*outer, *first.shape[1:])


def unpad_sequence(padded_sequences: Tensor, lengths: Tensor, batch_first: bool = False) -> list[Tensor]:
    """The sequences of a padded batch, as a list, without the padding on their right.

    Args:
        padded_sequences: (length, batch, *), or (batch, length, *) with ``batch_first``. Without it, the tensor is
            transposed in place, as PyTorch does.
        lengths: an integer tensor, one length per sequence.
        batch_first: where the batch dimension is.

    ValueError where there are more or fewer lengths than sequences.

    >>> import flambeau as torch
    >>> torch.nn.utils.rnn.unpad_sequence(torch.tensor([[1, 2], [3, 0]]), torch.tensor([2, 1]), batch_first=True)
    [tensor([1, 2]), tensor([3])]
    """
    if not batch_first:
        padded_sequences.transpose_(0, 1)
    longest = padded_sequences.shape[1]
    if len(lengths) != len(padded_sequences):
        raise ArgumentValueError(f"unpad_sequence: one length for each sequence; given: {len(lengths)} lengths and "
                                 f"{len(padded_sequences)} sequences")
    ends = [min(max(int(each), 0), longest) for each in lengths.tolist()]
    return [each[:end].clone() for each, end in zip(padded_sequences, ends, strict=True)]
