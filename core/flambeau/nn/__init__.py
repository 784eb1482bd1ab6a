"""Layers, losses, initialisers and what belongs to them, under PyTorch's names.

Everything here is made of operators and of other modules; nothing here knows a backend.
"""

from flambeau.nn import functional, init, modules, parameter, utils
from flambeau.nn.modules import *  # noqa: F403 -- the list of layers is kept once, in modules
from flambeau.nn.modules import __all__ as _layers
from flambeau.nn.parameter import Buffer, Parameter

__all__ = ["Buffer", "Parameter", "functional", "init", "modules", "parameter", "utils", *_layers]
