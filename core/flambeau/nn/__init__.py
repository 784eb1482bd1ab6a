"""Layers, losses, initialisers and what belongs to them, under PyTorch's names.

Everything here is made of operators and of other modules; nothing here knows a backend.
"""

from typing import TYPE_CHECKING

from flambeau.nn import functional, init, modules, parameter, utils
from flambeau.nn.modules import *  # noqa: F403 -- a layer is listed once, in its own module
from flambeau.nn.parameter import Buffer as Buffer, Parameter as Parameter

if not TYPE_CHECKING:  # which reads literal lists only
    __all__ = ["Buffer", "Parameter", "functional", "init", "modules", "parameter", "utils", *modules.__all__]
