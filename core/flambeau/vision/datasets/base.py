"""What image datasets share: transforms, the repr, and batches made in one go where the transform allows it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import flambeau
from flambeau.dtypes import int64
from flambeau.tensor import Tensor
from flambeau.utils.data import Dataset, default_collate
from flambeau.utils.data.dataset import is_plain
from flambeau.vision.image import grey_image
from flambeau.vision.transforms import batch_form

Transform = Callable[[Any], Any]


class VisionDataset(Dataset[Any]):
    """Base of image datasets: where they lie, and what is done to a sample's picture and target."""

    def __init__(
        self, root: Any = None, transform: Transform | None = None, target_transform: Transform | None = None
    ) -> None:
        self.root = root
        self.transform = transform
        self.target_transform = target_transform

    def extra_repr(self) -> str:
        """A line of its own for the repr."""
        return ""

    def __repr__(self) -> str:
        lines = [f"Number of datapoints: {len(self)}"]  # type: ignore[arg-type]  # every image dataset has a length
        if self.root is not None:
            lines.append(f"Root location: {self.root}")
        lines += filter(None, self.extra_repr().splitlines())
        text = "\n    ".join([f"Dataset {type(self).__name__}", *lines])
        if self.transform is not None or self.target_transform is not None:
            text += "\n    StandardTransform"
        for label, transform in (("Transform: ", self.transform), ("Target transform: ", self.target_transform)):
            if transform is not None:
                # torchvision's layout: not indented, a transform's further lines stand under its name.
                text += "\n" + label + repr(transform).replace("\n", "\n" + " " * len(label))
        return text


class GreyImages(VisionDataset):
    """Grey pictures that fit in memory: `data` is uint8 (n, height, width), `targets` int64 (n,).

    Sample `i` is (picture, int). Both tensors may be replaced or cut by the program that uses the dataset.
    """

    classes: list[str]
    train: bool
    data: Tensor
    targets: Tensor

    @property
    def class_to_idx(self) -> dict[str, int]:
        """From a class's name to its number."""
        return {name: number for number, name in enumerate(self.classes)}

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: Any) -> tuple[Any, Any]:
        image, target = grey_image(self.data[index]), int(self.targets[index])
        if self.transform is not None:
            image = self.transform(image)
        return image, target if self.target_transform is None else self.target_transform(target)

    def __getbatch__(self, indices: list[int]) -> Any:
        """What collating the samples one by one would give, made from the whole stack of pictures."""
        form = batch_form(self.transform)
        tensors = isinstance(self.data, Tensor) and isinstance(self.targets, Tensor)
        if form is None or not tensors or not is_plain(self, GreyImages):
            return NotImplemented
        index = flambeau.as_tensor(indices)
        targets = self.targets[index]
        if self.target_transform is not None:
            labels = default_collate([self.target_transform(target) for target in targets.tolist()])
        else:
            labels = targets.to(int64)
        return [form(self.data[index]), labels]

    def extra_repr(self) -> str:
        return f"Split: {'Train' if self.train else 'Test'}"
