"""What the families of models share: parameters by name, models by name, and loading the one into the other.

Pretrained parameters are members of an enumeration, one enumeration for each model, as torchvision has it: a member
says where its file is, how pictures are prepared for it, and what is known about it. A builder says with `@builder`
which enumeration is its own; that puts it into the table of models and lets it take parameters in every form that
programs use: a member, its name, the path of a file on this machine, and `pretrained=True` from before there were
enumerations.
"""

from __future__ import annotations

import dataclasses
import enum
import fnmatch
import functools
import os
import warnings
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

from flambeau.errors import ArgumentTypeError, ArgumentValueError, FlambeauError
from flambeau.hub._files import load_state_dict, load_state_dict_from_url
from flambeau.nn import Module
from flambeau.vision.models._presets import ImageClassification

__all__ = ["Weights", "WeightsEnum", "get_model", "get_model_builder", "get_model_weights", "get_weight", "list_models"]

_URL = "https://download.pytorch.org/models/"
_FILES = (".pth", ".pt", ".bin", ".ckpt", ".tar", ".safetensors")

Build = TypeVar("Build", bound=Callable[..., Module])
Model = TypeVar("Model", bound=Module)


class UnknownWeightsError(FlambeauError, KeyError):
    """A name that a model has no parameters under."""

    def __str__(self) -> str:
        return str(self.args[0])


@dataclasses.dataclass
class Weights:
    """Pretrained parameters: where they are, how pictures are prepared for them, and what is known about them."""

    url: str
    transforms: Callable[..., Any]
    meta: dict[str, Any] = dataclasses.field(repr=False)  # a thousand names


class WeightsEnum(enum.Enum):
    """Base of the enumerations of pretrained parameters.

    >>> from flambeau.vision.models import ResNet50_Weights
    >>> ResNet50_Weights.DEFAULT
    ResNet50_Weights.IMAGENET1K_V2
    >>> ResNet50_Weights.IMAGENET1K_V1.url.rpartition("/")[2]
    'resnet50-0676ba61.pth'
    """

    @classmethod
    def verify(cls, obj: Any) -> Any:
        """The member that `obj` is or names; None for None.

        Raises KeyError for a name that no member has, TypeError for anything else.
        """
        if isinstance(obj, str):
            name = obj.removeprefix(cls.__name__ + ".")
            if name not in cls.__members__:
                raise UnknownWeightsError(f"{cls.__name__} has no {name!r}; it has {', '.join(cls.__members__)}")
            return cls[name]
        if obj is not None and not isinstance(obj, cls):
            raise ArgumentTypeError(f"Invalid Weight class provided; expected {cls.__name__} but received "
                                    f"{type(obj).__name__}")  # fmt: skip
        return obj

    def get_state_dict(self, *args: Any, **kwargs: Any) -> Mapping[str, Any]:
        """The parameters themselves, downloaded if need be; takes what `hub.load_state_dict_from_url` takes."""
        return load_state_dict_from_url(self.url, *args, **{"weights_only": True, **kwargs})

    def __repr__(self) -> str:
        return f"{type(self).__name__}.{self.name}"

    def __reduce_ex__(self, proto: Any) -> Any:
        return getattr, (type(self), self.name)  # by name: what the value holds need not be copied, nor be equal then

    @property
    def url(self) -> str:
        """Where the file is."""
        return self.value.url

    @property
    def transforms(self) -> Callable[..., Any]:
        """A function that makes the transform from a picture to what the model takes."""
        return self.value.transforms

    @property
    def meta(self) -> dict[str, Any]:
        """What is known: ``categories``, ``num_params``, ``min_size``, measured accuracies and more."""
        return self.value.meta


class FileWeights:
    """Parameters in a file on this machine, of which nothing is known."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = os.path.expanduser(path)
        self.meta: dict[str, Any] = {}

    def get_state_dict(self, **kwargs: Any) -> Mapping[str, Any]:
        """The parameters; a file that a trainer wrote may hold them under ``state_dict`` or ``model``."""
        found = load_state_dict(self.path)
        for key in ("state_dict", "model"):
            if isinstance(found.get(key), Mapping):
                return found[key]
        return found


@functools.cache
def imagenet_categories() -> list[str]:
    """The names of ImageNet-1K's thousand classes, in their order."""
    path = Path(__file__).parent.parent / "assets" / "imagenet-categories.txt"
    return path.read_text(encoding="utf-8").splitlines()


def imagenet(
    file: str,
    num_params: int,
    top1: float,
    top5: float,
    *,
    crop: int = 224,
    resize: int = 256,
    min_size: tuple[int, int] = (1, 1),
    interpolation: str = "bilinear",
    mean: tuple[float, ...] = (0.485, 0.456, 0.406),
    std: tuple[float, ...] = (0.229, 0.224, 0.225),
) -> Weights:
    """Parameters learned on ImageNet-1K that PyTorch publishes as `file`: the accuracies are its own, in percent."""
    transforms = functools.partial(
        ImageClassification, crop_size=crop, resize_size=resize, mean=mean, std=std, interpolation=interpolation)
    metrics = {"ImageNet-1K": {"acc@1": top1, "acc@5": top5}}
    known = {"categories": imagenet_categories(), "num_params": num_params, "min_size": min_size, "_metrics": metrics}
    return Weights(_URL + file, transforms, known)


# ------------------------------------------------------------------------------------------------- models by name

_BUILDERS: dict[str, Callable[..., Module]] = {}
_WEIGHTS: dict[str, type[WeightsEnum]] = {}


def builder(weights: type[WeightsEnum], legacy: str = "IMAGENET1K_V1") -> Callable[[Build], Build]:
    """Decorates the function that builds a model: it gets `weights` as a member of its enumeration, a file, or None.

    Args:
        weights: the enumeration of the model's parameters.
        legacy: the member that `pretrained=True` stands for.
    """

    def decorate(build: Build) -> Build:
        name = build.__name__

        @functools.wraps(build)
        def call(*args: Any, **kwargs: Any) -> Module:
            kwargs = _as_keywords(name, args, kwargs)
            given = kwargs.pop("weights", None)
            if isinstance(given, bool):
                given = _from_flag(given, weights[legacy])
            return build(weights=_resolve(weights, given), **kwargs)

        _BUILDERS[name], _WEIGHTS[name] = call, weights
        return call  # type: ignore[return-value]

    return decorate


def _as_keywords(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    """The arguments by name: `weights` and `progress` were positional once, and `weights` was `pretrained`."""
    if args:
        if len(args) > 2:
            raise ArgumentTypeError(f"{name}() takes at most 2 positional arguments ({len(args)} given): weights and "
                                    "progress; give the others by name")  # fmt: skip
        warnings.warn(f"{name}(): positional parameters are deprecated, give weights (and progress) by name",
                      UserWarning, stacklevel=3)  # fmt: skip
        kwargs = dict(zip(("weights", "progress"), args, strict=False)) | kwargs
    if "pretrained" in kwargs:
        warnings.warn(f"{name}(): The parameter 'pretrained' is deprecated, please use 'weights' instead", UserWarning,
                      stacklevel=3)  # fmt: skip
        kwargs["weights"] = kwargs.pop("pretrained")
    return kwargs


def _from_flag(flag: bool, member: WeightsEnum) -> WeightsEnum | None:
    """What the flag `pretrained` of earlier programs stands for."""
    if not flag:
        return None
    warnings.warn(f"Arguments other than a weight enum or `None` for 'weights' are deprecated; this one stands for "
                  f"weights={member!r}; weights={type(member).__name__}.DEFAULT are the best that there are",
                  UserWarning, stacklevel=3)  # fmt: skip
    return member


def _resolve(weights: type[WeightsEnum], given: Any) -> WeightsEnum | FileWeights | None:
    """A member for a member or its name, a file for a path."""
    if isinstance(given, os.PathLike):
        return FileWeights(given)
    if isinstance(given, str) and (given.endswith(_FILES) or os.sep in given):
        return FileWeights(given)
    return weights.verify(given)


def classes_of(weights: WeightsEnum | FileWeights | None, kwargs: dict[str, Any]) -> None:
    """A model that gets pretrained parameters has as many classes as they know; puts that into `kwargs`."""
    if isinstance(weights, WeightsEnum):
        fix(kwargs, "num_classes", len(weights.meta["categories"]))


def fix(kwargs: dict[str, Any], name: str, value: Any) -> None:
    """Set an argument that the parameters decide; ValueError if another value was asked for."""
    if kwargs.setdefault(name, value) != value:
        raise ArgumentValueError(f"The parameter '{name}' expected value {value} but got {kwargs[name]} instead")


def load_into(model: Model, weights: WeightsEnum | FileWeights | None, progress: bool) -> Model:
    """The model with these parameters; None leaves those that it was born with."""
    if weights is not None:
        model.load_state_dict(weights.get_state_dict(progress=progress, check_hash=True))
    return model


def get_model_builder(name: str) -> Callable[..., Module]:
    """The function that builds the model of this name (in any case).

    >>> from flambeau.vision import models
    >>> models.get_model_builder("ResNet18").__name__
    'resnet18'

    Raises ValueError for a name that no model has.
    """
    try:
        return _BUILDERS[name.lower()]
    except KeyError:
        raise ArgumentValueError(f"Unknown model {name}; list_models() gives those that there are") from None


def get_model(name: str, **config: Any) -> Module:
    """The model of this name, built with these arguments.

    >>> from flambeau.vision import models
    >>> type(models.get_model("squeezenet1_1", num_classes=10)).__name__
    'SqueezeNet'
    """
    return get_model_builder(name)(**config)


def get_model_weights(name: Callable[..., Module] | str) -> type[WeightsEnum]:
    """The enumeration of a model's pretrained parameters, for its name or its builder.

    >>> from flambeau.vision import models
    >>> list(models.get_model_weights("resnet50"))
    [ResNet50_Weights.IMAGENET1K_V1, ResNet50_Weights.IMAGENET1K_V2]
    """
    build = name if callable(name) else get_model_builder(name)
    return _WEIGHTS[build.__name__]


def get_weight(name: str) -> WeightsEnum:
    """The pretrained parameters of this full name.

    >>> from flambeau.vision import models
    >>> models.get_weight("ResNet50_Weights.DEFAULT")
    ResNet50_Weights.IMAGENET1K_V2

    Raises ValueError for a name that is not of this form or that nothing has.
    """
    enumeration, dot, member = name.partition(".")
    if not dot or not member:
        raise ArgumentValueError(f"Invalid weight name provided: '{name}'; it has the form Model_Weights.NAME")
    for weights in _WEIGHTS.values():
        if weights.__name__ == enumeration:
            return weights.verify(member)
    raise ArgumentValueError(f"The weight enum '{enumeration}' for the specific method couldn't be retrieved; "
                             "get_model_weights(model) gives a model's")  # fmt: skip


def list_models(
    module: ModuleType | None = None,
    include: Iterable[str] | str | None = None,
    exclude: Iterable[str] | str | None = None,
) -> list[str]:
    """The names of all models, sorted.

    Args:
        module: only those of this module.
        include: only those that match one of these patterns (``*`` stands for anything).
        exclude: without those that match one of these patterns.

    >>> from flambeau.vision import models
    >>> models.list_models(include="vgg1?", exclude="*9")
    ['vgg11', 'vgg13', 'vgg16']
    """
    # A model's module is the package of its family's file: `models` itself for those that classify.
    names = [name for name, build in _BUILDERS.items()
             if module is None or build.__module__.rpartition(".")[0] == module.__name__]
    if include:
        names = [name for name in names if _matches(name, include)]
    if exclude:
        names = [name for name in names if not _matches(name, exclude)]
    return sorted(names)


def _matches(name: str, patterns: Iterable[str] | str) -> bool:
    return any(fnmatch.fnmatch(name, each) for each in ([patterns] if isinstance(patterns, str) else patterns))
