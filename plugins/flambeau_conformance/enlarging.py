"""The samples of operators with thousands of elements: kernels have other ways for large arrays.

Sizes are multiplied, not drawn anew: the first or the last dimension of the first tensor is repeated, and that of the
others which agree with it. What no longer fits, the oracle refuses, and it is left out.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from flambeau.registry import OpDef
from flambeau_conformance.case import Subject
from flambeau_conformance.sampling import POINTWISE, Call, Value, each_value, replaced

ELEMENTS = 20_000
ROOM = 1 << 28     # a device with less memory is not asked

FACTOR = 50        # what a sum of so many terms may be off more than a short one

# Beside the pointwise ones: work that grows with the operand, results without ties.
_ALONG = frozenset("""sum mean amax amin all any count_nonzero logsumexp softmax log_softmax cross_entropy nll_loss
    mse_loss l1_loss clone cast transfer cat stack where masked_fill index_select gather cumsum flip roll
    linear mm matmul bmm conv1d conv2d max_pool2d avg_pool2d layer_norm group_norm batch_norm tril triu permute
    transpose reshape_copy index index_add scatter_add""".split())
_SLOW = ("special", "special_functions")    # series: PyTorch's and ours take seconds


def takes_part(record: OpDef) -> bool:
    """Whether an operator's work grows no faster than its operands, and its results stay comparable."""
    return record.name in _ALONG or (
        record.family in POINTWISE and record.module.rpartition(".")[2] not in _SLOW)


def has_room(subject: Subject) -> bool:
    """Whether the device has memory for it."""
    return subject.backend.properties(0).total_memory >= ROOM


def enlarged(call: Call, dim: int) -> Call | None:
    """A call with dimension 0 or -1 repeated; None if there is none to repeat."""
    first = next((each.array for each in each_value(call) if each.array.ndim), None)
    if first is None or not first.size:
        return None
    size, times = first.shape[dim], max(ELEMENTS // first.size, 1)

    def change(leaf: Any) -> Any:
        if not isinstance(leaf, Value) or not leaf.array.ndim or leaf.array.shape[dim] != size:
            return leaf
        repeats = [1] * leaf.array.ndim
        repeats[dim] = times
        return leaf.like(np.tile(leaf.array, repeats))
    return replaced(call[0], change), replaced(call[1], change)
