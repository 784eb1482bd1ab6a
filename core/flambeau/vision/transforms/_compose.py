"""Transforms made of others: one after the other, one of several, in any order, or any function.

A transform works on one sample. Where it acts on every pixel alone, it can also say what it does to a whole stack of
samples: a method `batched(images)` in its own class. A dataset whose transform has that form for every step makes a
batch in a few large operations in place of many small ones; the numbers are the same to the last bit. The method is
looked for in the class itself, not in its bases, so a subclass that changes the transform never inherits a wrong one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import flambeau
from flambeau import nn
from flambeau.tensor import Tensor

__all__ = ["Compose", "Lambda", "RandomApply", "RandomChoice", "RandomOrder"]


class Compose:
    """Transforms one after the other.

    >>> from flambeau.vision import transforms
    >>> transforms.Compose([transforms.ToTensor(), transforms.Normalize((0.5,), (0.5,))])
    Compose(
        ToTensor()
        Normalize(mean=(0.5,), std=(0.5,))
    )
    """

    def __init__(self, transforms: Sequence[Callable[[Any], Any]]) -> None:
        self.transforms = transforms

    def __call__(self, img: Any) -> Any:
        for transform in self.transforms:
            img = transform(img)
        return img

    def __repr__(self) -> str:
        lines = "".join(f"\n    {transform}" for transform in self.transforms)
        return f"{type(self).__name__}({lines}\n)"


class Lambda:
    """Any function as a transform.

    >>> from flambeau.vision import transforms
    >>> transforms.Lambda(lambda x: x + 1)(2)
    3
    """

    def __init__(self, lambd: Callable[[Any], Any]) -> None:
        if not callable(lambd):
            raise TypeError(f"Argument lambd should be callable, got {type(lambd).__name__!r}")
        self.lambd = lambd

    def __call__(self, img: Any) -> Any:
        return self.lambd(img)

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class RandomApply(nn.Module):
    """All of the transforms, with probability `p`, or none."""

    def __init__(self, transforms: Any, p: float = 0.5) -> None:
        super().__init__()
        self.transforms, self.p = transforms, p

    def forward(self, img: Any) -> Any:
        """The picture, transformed or not."""
        if self.p < flambeau.rand(1):
            return img
        for transform in self.transforms:
            img = transform(img)
        return img

    def __repr__(self) -> str:
        lines = "".join(f"\n    {transform}" for transform in self.transforms)
        return f"{type(self).__name__}(\n    p={self.p}{lines}\n)"


class RandomChoice:
    """One of the transforms, chosen with the probabilities `p`, or evenly."""

    def __init__(self, transforms: Sequence[Callable[[Any], Any]], p: Sequence[float] | None = None) -> None:
        if p is not None and len(p) != len(transforms):
            raise ValueError(f"RandomChoice: {len(transforms)} transforms and {len(p)} probabilities; each needs one")
        self.transforms, self.p = transforms, p

    def __call__(self, *args: Any) -> Any:
        import random
        return random.choices(self.transforms, weights=self.p)[0](*args)

    def __repr__(self) -> str:
        lines = "".join(f"\n    {transform}" for transform in self.transforms)
        return f"{type(self).__name__}({lines}\n)(p={self.p})"


class RandomOrder:
    """All of the transforms, in an order that is drawn anew for each picture."""

    def __init__(self, transforms: Sequence[Callable[[Any], Any]]) -> None:
        self.transforms = transforms

    def __call__(self, img: Any) -> Any:
        import random
        order = list(range(len(self.transforms)))
        random.shuffle(order)
        for number in order:
            img = self.transforms[number](img)
        return img

    def __repr__(self) -> str:
        lines = "".join(f"\n    {transform}" for transform in self.transforms)
        return f"{type(self).__name__}({lines}\n)"


def batch_form(transform: Any) -> Callable[[Tensor], Tensor] | None:
    """What `transform` does to a stack of samples, or None where it only declares what it does to one.

    >>> from flambeau.vision import transforms
    >>> batch_form(transforms.Compose([transforms.ToTensor(), transforms.Lambda(abs)])) is None
    True
    """
    if type(transform) is Compose:
        steps = [form for step in transform.transforms if (form := batch_form(step)) is not None]
        return Compose(steps) if len(steps) == len(transform.transforms) else None
    hooked = getattr(transform, "_forward_hooks", None) or getattr(transform, "_forward_pre_hooks", None)
    if hooked or "batched" not in vars(type(transform)):
        return None
    own: Callable[[Tensor], Tensor] = transform.batched
    return own
