"""The kernels by operator name, collected from the modules of this package: one line per kernel there.

The shared ones come first, so that NumPy's own stand in for them where both exist.
"""

from typing import Any

from flambeau_numpy.kernels import (
    conv,
    creation,
    ctc,
    elementwise,
    embedding,
    indexing,
    joining,
    loss,
    margins,
    movement,
    nonlinear,
    normalization,
    optimizer,
    pooling,
    products,
    random,
    recurrent,
    reduction,
    resampling,
    shared,
    softmax,
    sorting,
    special,
    views,
    weighted_places,
)

KERNELS: dict[str, Any] = dict(shared.KERNELS)
for _module in (conv, creation, ctc, elementwise, embedding, indexing, joining, loss, margins, movement, nonlinear,
                normalization, optimizer, pooling, products, random, recurrent, reduction, resampling, softmax,
                sorting, special, views, weighted_places):
    KERNELS.update(_module.KERNELS)
