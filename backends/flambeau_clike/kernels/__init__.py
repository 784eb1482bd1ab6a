"""The kernels: the modules' tables in one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flambeau_clike.kernels import (
    attention,
    conv,
    creation,
    gather,
    indexing,
    joining,
    linalg,
    loss,
    matmul,
    movement,
    normalization,
    optimizer,
    pointwise,
    pooling,
    random,
    reduction,
    scan,
    scatter,
    search,
    select,
    softmax,
    sorting,
)

KERNELS: dict[str, Callable[..., Any]] = {
    **attention.KERNELS,
    **conv.KERNELS,
    **creation.KERNELS,
    **gather.KERNELS,
    **indexing.KERNELS,
    **joining.KERNELS,
    **linalg.KERNELS,
    **loss.KERNELS,
    **matmul.KERNELS,
    **movement.KERNELS,
    **normalization.KERNELS,
    **optimizer.KERNELS,
    **pointwise.KERNELS,
    **pooling.KERNELS,
    **random.KERNELS,
    **reduction.KERNELS,
    **scan.KERNELS,
    **scatter.KERNELS,
    **search.KERNELS,
    **select.KERNELS,
    **softmax.KERNELS,
    **sorting.KERNELS,
}
