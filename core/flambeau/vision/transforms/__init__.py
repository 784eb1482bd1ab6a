"""Transforms: from a picture to the tensor that a model takes, under torchvision's names.

They take PIL images or tensors (..., channels, height, width); `functional` has them as functions, `v2` under the
names of torchvision's second version.

Source: https://docs.pytorch.org/vision/stable/transforms.html
"""

# ruff: noqa: F403 -- a transform is listed once, in its own module

from typing import TYPE_CHECKING, Any

from flambeau.vision.transforms import _appearance, _compose, _convert, _geometry, functional
from flambeau.vision.transforms._appearance import *
from flambeau.vision.transforms._compose import *
from flambeau.vision.transforms._compose import batch_form as batch_form
from flambeau.vision.transforms._convert import *
from flambeau.vision.transforms._geometry import *
from flambeau.vision.transforms.functional import InterpolationMode as InterpolationMode

if not TYPE_CHECKING:  # which reads literal lists only
    __all__ = ["InterpolationMode", "functional", *_compose.__all__, *_convert.__all__, *_geometry.__all__,
               *_appearance.__all__]


def __getattr__(name: str) -> Any:
    if name == "v2":  # imported when it is named
        import importlib
        return importlib.import_module("flambeau.vision.transforms.v2")
    if name == "transforms":  # torchvision's module of the same classes
        import sys
        return sys.modules[__name__]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
