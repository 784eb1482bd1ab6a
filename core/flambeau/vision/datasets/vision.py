"""What every image dataset has: a place, and what is done to a sample's picture and target."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from flambeau.errors import ArgumentValueError
from flambeau.utils.data import Dataset

__all__ = ["StandardTransform", "VisionDataset"]

Transform = Callable[[Any], Any]
JointTransform = Callable[[Any, Any], Any]


class StandardTransform:
    """A transform of the picture and one of the target as a single function of both.

    >>> StandardTransform(abs, None)(-2, -3)
    (2, -3)
    """

    def __init__(self, transform: Transform | None = None, target_transform: Transform | None = None) -> None:
        self.transform = transform
        self.target_transform = target_transform

    def __call__(self, input: Any, target: Any) -> tuple[Any, Any]:
        if self.transform is not None:
            input = self.transform(input)
        return input, target if self.target_transform is None else self.target_transform(target)

    def __repr__(self) -> str:
        lines = [type(self).__name__]
        for label, transform in (("Transform: ", self.transform), ("Target transform: ", self.target_transform)):
            if transform is not None:
                # torchvision's layout: a transform's further lines stand under its name.
                lines.append(label + repr(transform).replace("\n", "\n" + " " * len(label)))
        return "\n".join(lines)


class VisionDataset(Dataset[Any]):
    """Base of image datasets.

    Args:
        root: where the data lie; a leading ``~`` stands for the home folder.
        transforms: a function of picture and target that returns both.
        transform, target_transform: functions of the picture and of the target, in place of `transforms`.

    Raises ValueError where `transforms` and one of the others are given.
    """

    def __init__(
        self,
        root: Any = None,
        transforms: JointTransform | None = None,
        transform: Transform | None = None,
        target_transform: Transform | None = None,
    ) -> None:
        separate = transform is not None or target_transform is not None
        if separate and transforms is not None:
            raise ArgumentValueError("Only transforms or transform/target_transform can be passed as argument; given "
                                     "both: put the whole work into `transforms`")  # fmt: skip
        self.root = os.path.expanduser(root) if isinstance(root, str) else root
        self.transform = transform
        self.target_transform = target_transform
        self.transforms = StandardTransform(transform, target_transform) if separate else transforms

    def __getitem__(self, index: Any) -> Any:
        """Sample `index`; each dataset says what that is."""
        raise NotImplementedError(f"{type(self).__name__} does not define __getitem__")

    def __len__(self) -> int:
        raise NotImplementedError(f"{type(self).__name__} does not define __len__")

    def extra_repr(self) -> str:
        """Lines of its own for the repr."""
        return ""

    def __repr__(self) -> str:
        lines = [f"Number of datapoints: {len(self)}"]
        if self.root is not None:
            lines.append(f"Root location: {self.root}")
        lines += filter(None, self.extra_repr().splitlines())
        if self.transforms is not None:
            lines.append(repr(self.transforms))
        return "\n    ".join([f"Dataset {type(self).__name__}", *lines])
