"""The layers, one module per family; each family's `__all__` says what is public. Users write `flambeau.nn.<Name>`."""

# ruff: noqa: F403 -- a layer is listed once, in its own module

from typing import TYPE_CHECKING

from flambeau.nn.modules import (
    activation,
    batchnorm,
    container,
    conv,
    dropout,
    flatten,
    linear,
    loss,
    module,
    normalization,
    pooling,
    sparse,
)
from flambeau.nn.modules.activation import *
from flambeau.nn.modules.batchnorm import *
from flambeau.nn.modules.container import *
from flambeau.nn.modules.conv import *
from flambeau.nn.modules.dropout import *
from flambeau.nn.modules.flatten import *
from flambeau.nn.modules.linear import *
from flambeau.nn.modules.loss import *
from flambeau.nn.modules.module import *
from flambeau.nn.modules.normalization import *
from flambeau.nn.modules.pooling import *
from flambeau.nn.modules.sparse import *

if not TYPE_CHECKING:  # which reads literal lists only, and would take anything else for an empty one
    __all__ = [
        *activation.__all__,
        *batchnorm.__all__,
        *container.__all__,
        *conv.__all__,
        *dropout.__all__,
        *flatten.__all__,
        *linear.__all__,
        *loss.__all__,
        *module.__all__,
        *normalization.__all__,
        *pooling.__all__,
        *sparse.__all__,
    ]
