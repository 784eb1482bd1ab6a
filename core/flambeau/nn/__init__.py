"""Layers, losses, initialisers and what belongs to them, under PyTorch's names.

Everything here is made of operators and of other modules; nothing here knows a backend.
"""

from typing import TYPE_CHECKING

from flambeau.nn import attention, functional, init, modules, parallel, parameter, utils
from flambeau.nn.modules import *  # noqa: F403 -- a layer is listed once, in its own module
from flambeau.nn.parallel import DataParallel as DataParallel
from flambeau.nn.parameter import (
    Buffer as Buffer,
    Parameter as Parameter,
    UninitializedBuffer as UninitializedBuffer,
    UninitializedParameter as UninitializedParameter,
    factory_kwargs as factory_kwargs,
)

if not TYPE_CHECKING:  # which reads literal lists only
    __all__ = ["Buffer", "DataParallel", "Parameter", "UninitializedBuffer", "UninitializedParameter", "attention",
               "factory_kwargs", "functional", "init", "modules", "parallel", "parameter", "utils", *modules.__all__]
