"""The kernels by operator name, collected from the modules of this package: one line per kernel there."""

from flambeau_numpy.kernels import (
    creation, conv, elementwise, embedding, indexing, joining, linalg, movement, normalization, pooling, random, reduction, softmax, views)

KERNELS = {**conv.KERNELS, **pooling.KERNELS, **embedding.KERNELS, **elementwise.KERNELS, **reduction.KERNELS, **creation.KERNELS, **random.KERNELS, **movement.KERNELS, **views.KERNELS,
           **indexing.KERNELS, **joining.KERNELS,
           **linalg.KERNELS,
           **softmax.KERNELS, **normalization.KERNELS}
