"""The operators, one module per family, and the attaching of what they offer to `Tensor`."""

from flambeau.ops import creation, elementwise, methods, movement, reduction, shape

__all__ = ["creation", "elementwise", "methods", "movement", "reduction", "shape"]

methods.install()
