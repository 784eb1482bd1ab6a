"""Models of pictures under torchvision's names: a file of PyTorch's parameters fits, name for name.

A family is one module, whose `__all__` says what is public. `get_model` and its companions find models by name.
"""

# ruff: noqa: F403 -- a model is listed once, in its own module

from typing import TYPE_CHECKING

from flambeau.vision.models import (
    _api,
    alexnet as _alexnet,
    densenet,
    efficientnet,
    googlenet as _googlenet,
    mobilenet,
    resnet,
    squeezenet,
    vgg,
    vision_transformer,
)
from flambeau.vision.models._api import *
from flambeau.vision.models.alexnet import *
from flambeau.vision.models.densenet import *
from flambeau.vision.models.efficientnet import *
from flambeau.vision.models.googlenet import *
from flambeau.vision.models.mobilenet import *
from flambeau.vision.models.resnet import *
from flambeau.vision.models.squeezenet import *
from flambeau.vision.models.vgg import *
from flambeau.vision.models.vision_transformer import *

if not TYPE_CHECKING:  # which reads literal lists only
    __all__ = [
        *_api.__all__,
        *_alexnet.__all__,
        *densenet.__all__,
        *efficientnet.__all__,
        *_googlenet.__all__,
        *mobilenet.__all__,
        *resnet.__all__,
        *squeezenet.__all__,
        *vgg.__all__,
        *vision_transformer.__all__,
    ]
