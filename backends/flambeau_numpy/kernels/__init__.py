"""The kernels by operator name, collected from the modules of this package: one line per kernel there."""

from typing import Any

from flambeau_numpy.kernels import (
    conv,
    creation,
    elementwise,
    embedding,
    indexing,
    joining,
    linalg,
    loss,
    movement,
    nonlinear,
    normalization,
    optimizer,
    pooling,
    random,
    reduction,
    search,
    softmax,
    sorting,
    special,
    views,
)

KERNELS: dict[str, Any] = {}
for _module in (conv, creation, elementwise, embedding, indexing, joining, linalg, loss, movement, nonlinear,
                normalization, optimizer, pooling, random, reduction, search, softmax, sorting, special, views):
    KERNELS.update(_module.KERNELS)
