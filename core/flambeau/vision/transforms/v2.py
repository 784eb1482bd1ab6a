"""The names of torchvision's second version: transforms of whole samples.

A sample may be a picture, or several arguments, or a tuple or dict with pictures and anything else in it. All pictures
in it are changed in the same way, and the rest goes through. A tensor counts as a picture only where the sample has no
PIL image, and only the first one, since labels are tensors, too.

Each transform of `flambeau.vision.transforms` is here under its own name; what only this version has, stands below.

Source: https://docs.pytorch.org/vision/stable/transforms.html
"""

from __future__ import annotations

import functools
import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import flambeau
from flambeau import nn
from flambeau.dtypes import dtype as dtype_type, float32
from flambeau.nn.functional import one_hot
from flambeau.random import get_rng_state, set_rng_state
from flambeau.tensor import Tensor
from flambeau.utils._pytree import tree_flatten, tree_unflatten
from flambeau.vision import transforms as first
from flambeau.vision.transforms import functional as functional
from flambeau.vision.transforms._compose import Compose as _Compose
from flambeau.vision.transforms._kinds import is_pil
from flambeau.vision.transforms.functional import InterpolationMode as InterpolationMode

_OWN = ["CutMix", "Identity", "MixUp", "Transform", "ToDtype", "ToImage", "ToPureTensor"]


def _pictures(leaves: list[Any]) -> list[int]:
    """Which leaves of a sample are pictures."""
    pil = [number for number, leaf in enumerate(leaves) if is_pil(leaf)]
    tensors = [number for number, leaf in enumerate(leaves) if isinstance(leaf, Tensor)]
    return pil or tensors[:1]


def on_sample(change: Callable[[Any], Any], sample: tuple[Any, ...]) -> Any:
    """The sample with each of its pictures changed, all with the same draws from the random stream."""
    leaves, spec = tree_flatten(sample if len(sample) > 1 else sample[0])
    before = get_rng_state() if len(leaves) > 1 else None
    chosen = _pictures(leaves) or ([0] if len(leaves) == 1 else [])
    for count, number in enumerate(chosen):
        if count and before is not None:
            set_rng_state(before)
        leaves[number] = change(leaves[number])
    return tree_unflatten(leaves, spec)


class Transform(nn.Module):
    """Base of transforms of whole samples: a subclass says in `transform` what happens to one picture."""

    def transform(self, inpt: Any, params: Mapping[str, Any]) -> Any:
        """One picture, changed; `params` is what `make_params` drew."""
        raise NotImplementedError

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        """What is drawn once per sample."""
        return {}

    def forward(self, *inputs: Any) -> Any:
        """The sample, changed."""
        leaves, spec = tree_flatten(inputs if len(inputs) > 1 else inputs[0])
        params = self.make_params(leaves)
        for number in _pictures(leaves):
            leaves[number] = self.transform(leaves[number], params)
        return tree_unflatten(leaves, spec)


class Compose(_Compose):
    """Transforms one after the other, of whole samples."""

    def __call__(self, *inputs: Any) -> Any:
        for transform in self.transforms:
            result = transform(*inputs)
            inputs = result if isinstance(result, tuple) and len(inputs) > 1 else (result,)
        return inputs if len(inputs) > 1 else inputs[0]


class Identity(Transform):
    """Nothing."""

    def transform(self, inpt: Any, params: Mapping[str, Any]) -> Any:
        return inpt


class ToImage(Transform):
    """A picture as a tensor (channels, height, width), its values as they are."""

    def transform(self, inpt: Any, params: Mapping[str, Any]) -> Any:
        if isinstance(inpt, Tensor):
            return inpt
        return functional.pil_to_tensor(inpt)

    def forward(self, *inputs: Any) -> Any:
        """The sample with tensors for pictures; an array (height, width, channels) counts as one."""
        if len(inputs) == 1 and hasattr(inputs[0], "__array_interface__") and not isinstance(inputs[0], Tensor) \
                and not is_pil(inputs[0]):
            pixels = flambeau.as_tensor(inputs[0])
            return (pixels if pixels.ndim == 3 else pixels.unsqueeze(2)).permute(2, 0, 1).contiguous()
        return super().forward(*inputs)


class ToPureTensor(Identity):
    """Tensors are plain ones here: nothing."""


class ToDtype(Transform):
    """Tensors in another dtype; with `scale` the values go from one dtype's range to the other's."""

    def __init__(self, dtype: Any, scale: bool = False) -> None:
        super().__init__()
        if not isinstance(dtype, dtype_type):
            raise ValueError(f"ToDtype: dtype must be a dtype; given: {dtype!r}")
        self.dtype, self.scale = dtype, scale

    def transform(self, inpt: Any, params: Mapping[str, Any]) -> Any:
        if not isinstance(inpt, Tensor):
            raise TypeError(f"ToDtype: expected a tensor, got {type(inpt)}; put ToImage() before it")
        return functional.convert_image_dtype(inpt, self.dtype) if self.scale else inpt.to(self.dtype)

    def extra_repr(self) -> str:
        """What it was made with."""
        return f"dtype={self.dtype}, scale={self.scale}"


class _Mixing(nn.Module):
    """Base of what mixes the samples of a batch, (pictures, labels), each with the one before it."""

    def __init__(self, *, alpha: float = 1.0, num_classes: int | None = None, labels_getter: Any = "default") -> None:
        super().__init__()
        self.alpha, self.num_classes = float(alpha), num_classes

    def _share(self) -> float:
        """Of a batch's own samples: from a beta distribution with both parameters alpha."""
        seed = int(flambeau.randint(2**31, (1,)).item())  # so that manual_seed decides this, too
        return random.Random(seed).betavariate(self.alpha, self.alpha)

    def _labels(self, labels: Tensor, share: float) -> Tensor:
        if labels.ndim == 1:
            if self.num_classes is None:
                raise ValueError(f"{type(self).__name__}: labels that are indices need num_classes")
            labels = one_hot(labels, self.num_classes).to(float32)
        return labels.roll(1, 0) * (1.0 - share) + labels * share

    def extra_repr(self) -> str:
        """What it was made with."""
        return f"alpha={self.alpha}, num_classes={self.num_classes}"


class MixUp(_Mixing):
    """Pictures and labels of a batch blended, each with the one before it (Zhang et al., 2018)."""

    def forward(self, *inputs: Any) -> Any:
        """(pictures, labels), blended."""
        pictures, labels = inputs if len(inputs) == 2 else inputs[0]
        share = self._share()
        return pictures.roll(1, 0) * (1.0 - share) + pictures * share, self._labels(labels, share)


class CutMix(_Mixing):
    """A rectangle of each picture from the one before it, labels by area (Yun et al., 2019)."""

    def forward(self, *inputs: Any) -> Any:
        """(pictures, labels), with parts exchanged."""
        pictures, labels = inputs if len(inputs) == 2 else inputs[0]
        height, width = pictures.shape[-2:]
        share = self._share()
        x, y = (int(flambeau.randint(size, (1,)).item()) for size in (width, height))
        half = 0.5 * (1.0 - share) ** 0.5
        left, right = max(x - int(half * width), 0), min(x + int(half * width), width)
        top, bottom = max(y - int(half * height), 0), min(y + int(half * height), height)
        mixed = pictures.clone()
        mixed[..., top:bottom, left:right] = pictures.roll(1, 0)[..., top:bottom, left:right]
        kept = 1.0 - (right - left) * (bottom - top) / (width * height)
        return mixed, self._labels(labels, kept)


def _of_samples(transform: type) -> type:
    """A transform of pictures as one of samples, under the same name."""
    def call(self: Any, *inputs: Any) -> Any:
        return on_sample(functools.partial(transform.__call__, self), inputs)
    return type(transform.__name__, (transform,), {"__call__": call, "__module__": __name__,
                                                   "__doc__": transform.__doc__})


def __getattr__(name: str) -> Any:
    if name == "__all__":
        return sorted({*_OWN, *first.__all__, "Compose"})
    if name.startswith("_") or name not in first.__all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has {', '.join(__dir__())}")
    found = getattr(first, name)
    if isinstance(found, type) and found is not InterpolationMode:
        found = _of_samples(found)
    globals()[name] = found  # made once: later look-ups find the same class
    return found


def __dir__() -> Sequence[str]:
    return sorted({*_OWN, *first.__all__, "Compose"})
