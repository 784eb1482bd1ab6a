"""The layers, one module per family; each family's `__all__` says what is public. Users write `flambeau.nn.<Name>`."""

# ruff: noqa: F403 -- a layer is listed once, in its own module

from typing import TYPE_CHECKING

from flambeau.nn.modules import (
    activation,
    adaptive,
    batchnorm,
    channelshuffle,
    container,
    conv,
    distance,
    dropout,
    flatten,
    fold,
    instancenorm,
    linear,
    linear_cross_entropy_options,
    loss,
    multihead,
    normalization,
    padding,
    pixelshuffle,
    pooling,
    rnn,
    sparse,
    transformer,
    upsampling,
)
from flambeau.nn.modules.activation import *
from flambeau.nn.modules.adaptive import *
from flambeau.nn.modules.batchnorm import *
from flambeau.nn.modules.channelshuffle import *
from flambeau.nn.modules.container import *
from flambeau.nn.modules.conv import *
from flambeau.nn.modules.distance import *
from flambeau.nn.modules.dropout import *
from flambeau.nn.modules.flatten import *
from flambeau.nn.modules.fold import *
from flambeau.nn.modules.instancenorm import *
from flambeau.nn.modules.linear import *
from flambeau.nn.modules.linear_cross_entropy_options import *
from flambeau.nn.modules.loss import *
from flambeau.nn.modules.module import Module as Module
from flambeau.nn.modules.multihead import *
from flambeau.nn.modules.normalization import *
from flambeau.nn.modules.padding import *
from flambeau.nn.modules.pixelshuffle import *
from flambeau.nn.modules.pooling import *
from flambeau.nn.modules.rnn import *
from flambeau.nn.modules.sparse import *
from flambeau.nn.modules.transformer import *
from flambeau.nn.modules.upsampling import *

if not TYPE_CHECKING:  # which reads literal lists only, and would take anything else for an empty one
    __all__ = [
        *activation.__all__,
        *adaptive.__all__,
        *batchnorm.__all__,
        *channelshuffle.__all__,
        *container.__all__,
        *conv.__all__,
        *distance.__all__,
        *dropout.__all__,
        *flatten.__all__,
        *fold.__all__,
        *instancenorm.__all__,
        *linear.__all__,
        *linear_cross_entropy_options.__all__,
        *loss.__all__,
        "Module",  # hooks on all modules are in the family itself only
        *multihead.__all__,
        *normalization.__all__,
        *padding.__all__,
        *pixelshuffle.__all__,
        *pooling.__all__,
        *rnn.__all__,
        *sparse.__all__,
        *transformer.__all__,
        *upsampling.__all__,
    ]
