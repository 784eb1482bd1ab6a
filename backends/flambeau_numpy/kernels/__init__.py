"""The kernels by operator name, collected from the modules of this package: one line per kernel there.

The shared ones come first, so that NumPy's own stand in for them where both exist.
"""

from typing import Any

from flambeau_numpy.kernels import (
    conv,
    creation,
    elementwise,
    embedding,
    indexing,
    joining,
    loss,
    movement,
    nonlinear,
    normalization,
    optimizer,
    pooling,
    products,
    random,
    reduction,
    shared,
    softmax,
    sorting,
    special,
    views,
)

KERNELS: dict[str, Any] = dict(shared.KERNELS)
for _module in (conv, creation, elementwise, embedding, indexing, joining, loss, movement, nonlinear,
                normalization, optimizer, pooling, products, random, reduction, softmax, sorting, special, views):
    KERNELS.update(_module.KERNELS)
