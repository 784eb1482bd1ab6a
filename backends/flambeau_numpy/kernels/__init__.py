"""The kernels by operator name, collected from the modules of this package: one line per kernel there."""

from flambeau_numpy.kernels import elementwise, movement, reduction

KERNELS = {**elementwise.KERNELS, **reduction.KERNELS, **movement.KERNELS}
