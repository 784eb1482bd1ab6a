"""The kernels by operator name, collected from the modules of this package: one line per kernel there."""

from flambeau_numpy.kernels import (
    conv, creation, elementwise, embedding, indexing, joining, linalg, sorting, loss, movement, nonlinear, normalization,
    pooling, random, reduction, search, softmax, special, views)

KERNELS = {**conv.KERNELS, **pooling.KERNELS, **embedding.KERNELS, **elementwise.KERNELS, **nonlinear.KERNELS, **special.KERNELS, **reduction.KERNELS, **creation.KERNELS, **random.KERNELS, **movement.KERNELS, **views.KERNELS,
           **indexing.KERNELS, **joining.KERNELS, **search.KERNELS,
           **linalg.KERNELS,
           **softmax.KERNELS, **sorting.KERNELS, **loss.KERNELS, **normalization.KERNELS}
