"""Masks of attention by blocks: which blocks of scores are all hidden, all seen, or need looking at.

`flex_attention` computes all scores here, so blocks save nothing; they are kept because programs make masks so, slice
them and print them.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

from flambeau import dtypes
from flambeau.errors import ArgumentError
from flambeau.ops.creation import arange
from flambeau.ops.sorting import argsort
from flambeau.tensor import Tensor

MaskMod = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]
Ordered = tuple[Tensor, Tensor]
_NAMES = ("kv_num_blocks", "kv_indices", "full_kv_num_blocks", "full_kv_indices", "q_num_blocks", "q_indices",
          "full_q_num_blocks", "full_q_indices")
_SHADES = {0.0: " ", 1.0: "█"}


def noop_mask(batch: Tensor, head: Tensor, token_q: Tensor, token_kv: Tensor) -> Tensor:
    """The mask that hides nothing."""
    return batch.new_ones((), dtype=dtypes.bool_)


def _sliced_mask_mod_error(batch: Tensor, head: Tensor, token_q: Tensor, token_kv: Tensor) -> Tensor:
    """What a slice of a mask has for a function: its indices would begin elsewhere. RuntimeError."""
    raise ArgumentError("Cannot use mask_mod from a sliced BlockMask: it would see the indices of the slice. Set "
                        "`mask_mod` to a function that adds what was cut off, from the mask that was sliced")


def ordered(dense: Tensor) -> Ordered:
    """For each row of blocks, how many are in use, and the columns, those in use first."""
    used = dense.to(dtypes.int32)
    return (used.sum(-1).to(dtypes.int32), argsort(used, dim=-1, descending=True, stable=True).to(dtypes.int32))


def dense_blocks(number: Tensor, columns: Tensor, width: int) -> Tensor:
    """The same as ones and zeros of (..., rows, width)."""
    used = arange(columns.size(-1), device=columns.device) < number.unsqueeze(-1)
    counts = columns.new_zeros((*columns.shape[:-1], width), dtype=dtypes.int32)
    return counts.scatter_add(-1, columns.to(dtypes.int64), used.to(dtypes.int32)).clamp(max=1)


def _transposed(pair: Ordered | None) -> tuple[Tensor | None, Tensor | None]:
    if pair is None:
        return None, None
    return ordered(dense_blocks(*pair, pair[1].size(-1)).transpose(-2, -1))


class BlockMask:
    """Which blocks of scores are computed, and the function that says of a single one whether it is seen.

    Args:
        seq_lengths: how many queries and keys there are.
        kv_num_blocks: (batch, heads, rows) how many blocks of a row need the function.
        kv_indices: (batch, heads, rows, columns) which they are, first in each row.
        full_kv_num_blocks: how many are seen as a whole.
        full_kv_indices: which they are.
        q_num_blocks: the same by columns.
        q_indices: likewise.
        full_q_num_blocks: likewise.
        full_q_indices: likewise.
        BLOCK_SIZE: queries and keys of a block.
        mask_mod: the function, of batch, head, query and key.

    >>> from flambeau.nn.attention.flex_attention import create_block_mask
    >>> create_block_mask(lambda b, h, q, kv: q >= kv, None, None, 256, 256, device="cpu").sparsity()
    25.0
    """

    seq_lengths: tuple[int, int]
    kv_num_blocks: Tensor
    kv_indices: Tensor
    full_kv_num_blocks: Tensor | None
    full_kv_indices: Tensor | None
    q_num_blocks: Tensor | None
    q_indices: Tensor | None
    full_q_num_blocks: Tensor | None
    full_q_indices: Tensor | None
    BLOCK_SIZE: tuple[int, int]
    mask_mod: MaskMod

    def __init__(
        self, seq_lengths: tuple[int, int], kv_num_blocks: Tensor, kv_indices: Tensor,
        full_kv_num_blocks: Tensor | None, full_kv_indices: Tensor | None, q_num_blocks: Tensor | None,
        q_indices: Tensor | None, full_q_num_blocks: Tensor | None, full_q_indices: Tensor | None,
        BLOCK_SIZE: tuple[int, int] = (128, 128), mask_mod: MaskMod = noop_mask,
    ) -> None:
        _check(kv_indices, full_kv_num_blocks, full_kv_indices)
        self.seq_lengths = seq_lengths
        self.kv_num_blocks, self.kv_indices = kv_num_blocks, kv_indices
        self.full_kv_num_blocks, self.full_kv_indices = full_kv_num_blocks, full_kv_indices
        self.q_num_blocks, self.q_indices = q_num_blocks, q_indices
        self.full_q_num_blocks, self.full_q_indices = full_q_num_blocks, full_q_indices
        self.BLOCK_SIZE = BLOCK_SIZE
        self.mask_mod = mask_mod

    @classmethod
    def from_kv_blocks(
        cls, kv_num_blocks: Tensor, kv_indices: Tensor, full_kv_num_blocks: Tensor | None = None,
        full_kv_indices: Tensor | None = None, BLOCK_SIZE: int | tuple[int, int] = 128,
        mask_mod: MaskMod | None = None, seq_lengths: tuple[int, int] | None = None, compute_q_blocks: bool = True,
    ) -> BlockMask:
        """A mask from its rows; the lengths are by default those of whole blocks."""
        _check(kv_indices, full_kv_num_blocks, full_kv_indices)
        sizes = (BLOCK_SIZE, BLOCK_SIZE) if isinstance(BLOCK_SIZE, int) else BLOCK_SIZE
        if seq_lengths is None:
            seq_lengths = (kv_indices.size(-2) * sizes[0], kv_indices.size(-1) * sizes[1])
        full = None
        if full_kv_num_blocks is not None and full_kv_indices is not None:
            full = (full_kv_num_blocks, full_kv_indices)
        number, places = _transposed((kv_num_blocks, kv_indices) if compute_q_blocks else None)
        full_number, full_places = _transposed(full if compute_q_blocks else None)
        return cls(seq_lengths, kv_num_blocks, kv_indices, full_kv_num_blocks, full_kv_indices, number, places,
                   full_number, full_places, sizes, mask_mod or noop_mask)

    @property
    def shape(self) -> tuple[int, ...]:
        """(batch, heads, queries, keys)."""
        return (*self.kv_indices.shape[:-2], *self.seq_lengths)

    def numel(self) -> int:
        """How many scores there are."""
        return math.prod(self.shape)

    def sparsity(self) -> float:
        """Percentage of the scores that need not be computed."""
        blocks = int(self.kv_num_blocks.sum())
        if self.full_kv_num_blocks is not None:
            blocks += int(self.full_kv_num_blocks.sum())
        return 100 * (1 - blocks * self.BLOCK_SIZE[0] * self.BLOCK_SIZE[1] / self.numel())

    def to_dense(self) -> Tensor:
        """Ones for blocks of which something is seen, (batch, heads, rows, columns)."""
        width = self.kv_indices.size(-1)
        dense = dense_blocks(self.kv_num_blocks, self.kv_indices, width)
        if self.full_kv_num_blocks is None or self.full_kv_indices is None:
            return dense
        result: Tensor = dense | dense_blocks(self.full_kv_num_blocks, self.full_kv_indices, width)
        return result

    def to(self, device: Any) -> BlockMask:
        """The same on a device; what the function refers to stays where it is."""
        moved: dict[str, Any] = {name: getattr(self, name) for name in _NAMES}
        moved = {name: None if each is None else each.to(device) for name, each in moved.items()}
        return BlockMask(self.seq_lengths, BLOCK_SIZE=self.BLOCK_SIZE, mask_mod=self.mask_mod, **moved)

    def as_tuple(self, flatten: bool = True) -> tuple[Any, ...]:
        """Lengths, tensors, block sizes and the function."""
        lengths: tuple[Any, ...] = self.seq_lengths if flatten else (self.seq_lengths,)
        sizes: tuple[Any, ...] = self.BLOCK_SIZE if flatten else (self.BLOCK_SIZE,)
        return (*lengths, *(getattr(self, name) for name in _NAMES), None, None, None, None, *sizes, self.mask_mod)

    def __getitem__(self, index: Any) -> BlockMask:
        """A part of batch, heads and rows, each of which stays a dimension; its function must be set anew."""
        given = index if isinstance(index, tuple) else (index,)
        whole = (*given, *[slice(None)] * 3)[:3]
        parts = tuple(slice(each % size, each % size + 1) if isinstance(each, int) else each
                      for each, size in zip(whole, self.kv_num_blocks.shape, strict=True))
        rows = [None if each is None else each[parts] for each in (getattr(self, name) for name in _NAMES[:4])]
        return self._with_rows(rows, _sliced_mask_mod_error, self.seq_lengths)

    def _with_rows(self, rows: list[Any], mask_mod: MaskMod, lengths: tuple[int, int]) -> BlockMask:
        return BlockMask.from_kv_blocks(rows[0], rows[1], rows[2], rows[3], self.BLOCK_SIZE, mask_mod, lengths,
                                        self.q_indices is not None)

    def _adjust(self, new_q_len: int, new_kv_len: int) -> BlockMask:
        """The upper left part, for fewer queries and keys."""
        rows, columns = (-(-length // size) for length, size in zip((new_q_len, new_kv_len), self.BLOCK_SIZE,
                                                                    strict=True))
        found: list[Any] = []
        for number, places in ((self.kv_num_blocks, self.kv_indices), (self.full_kv_num_blocks, self.full_kv_indices)):
            if number is None or places is None:
                found += [None, None]
            else:
                found += ordered(dense_blocks(number, places, places.size(-1))[..., :rows, :columns])
        return self._with_rows(found, self.mask_mod, (new_q_len, new_kv_len))

    def to_string(self, grid_size: int | tuple[int, int] = (20, 20), limit: int = 4) -> str:
        """A picture of the blocks, for up to `limit` batches and heads, of at most `grid_size` rows and columns."""
        dense = self.to_dense()
        *batch, rows, columns = dense.shape
        grid = (grid_size, grid_size) if isinstance(grid_size, int) else grid_size
        if grid_size == -1:
            grid = (rows, columns)
        steps = [max(1, -(-size // most)) for size, most in zip((rows, columns), grid, strict=True)]
        pictures = []
        for number, place in enumerate(itertools.product(*map(range, batch))):
            if number == limit:
                pictures += ["...", "To print out more, set BlockMask.to_string(limit=N)",
                             "You can also index (BlockMask[batch, head]) to choose a specific batch or head"]
                break
            pictures.append(f"{place}\n" + _picture(dense[place], *steps))
        return "\n".join(pictures)

    def __str__(self) -> str:
        return f"BlockMask(shape={self.shape}, sparsity={self.sparsity():.2f}%, \n{self.to_string().strip()}\n)"

    def __repr__(self) -> str:
        tensors = ((name, getattr(self, name)) for name in _NAMES)
        lines = [f"{name}={None if each is None else each.shape}" for name, each in tensors]
        lines += [f"BLOCK_SIZE={self.BLOCK_SIZE}", f"shape={self.shape}", f"sparsity={self.sparsity():.2f}%",
                  f"mask_mod={getattr(self.mask_mod, '__name__', self.mask_mod)}"]
        return "BlockMask(\n    " + ",\n    ".join(lines) + "\n)"


def _check(indices: Tensor, full_number: Tensor | None, full_indices: Tensor | None) -> None:
    if indices.dim() < 2:
        raise ArgumentError("BlockMask must have at least 2 dimensions")
    if (full_number is None) != (full_indices is None):
        raise AssertionError("full_kv_num_blocks and full_kv_indices must be both provided or omitted")


def _picture(blocks: Tensor, row_step: int, column_step: int) -> str:
    """Two characters for each group of blocks: in use, not in use, or some of both."""
    lines = []
    for row in range(0, blocks.size(0), row_step):
        groups = (blocks[row:row + row_step, column:column + column_step].float().mean().item()
                  for column in range(0, blocks.size(1), column_step))
        lines.append("".join(_SHADES.get(share, "░") * 2 for share in groups) + "\n")
    return "".join(lines)
