"""Datasets that fit in memory: samples one by one, and batches in one go where the transform allows it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import flambeau
from flambeau.dtypes import int64, uint8
from flambeau.tensor import Tensor
from flambeau.utils.data import default_collate
from flambeau.utils.data.dataset import is_plain
from flambeau.vision.datasets.vision import Transform as Transform, VisionDataset as VisionDataset
from flambeau.vision.image import picture
from flambeau.vision.transforms import batch_form


class StackedImages(VisionDataset):
    """Pictures of one size in `data`, whose first dimension is the sample, and their classes in `targets`."""

    classes: Sequence[str]
    train: bool
    data: Any
    targets: Any

    @property
    def class_to_idx(self) -> dict[str, int]:
        """From a class's name to its number."""
        return {name: number for number, name in enumerate(self.classes)}

    def __len__(self) -> int:
        return len(self.data)

    def _labels(self, targets: Tensor) -> Any:
        """The targets of a batch, as collating them one by one gives them."""
        if self.target_transform is not None:
            return default_collate([self.target_transform(target) for target in targets.tolist()])
        return targets.to(int64)

    def extra_repr(self) -> str:
        return f"Split: {'Train' if self.train else 'Test'}"


class GreyImages(StackedImages):
    """Grey pictures: `data` is uint8 (n, height, width), `targets` int64 (n,).

    Sample `i` is (picture, int). Both tensors may be replaced or cut by the program that uses the dataset.
    """

    data: Tensor
    targets: Tensor

    def __getitem__(self, index: Any) -> tuple[Any, Any]:
        image, target = picture(self.data[index]), int(self.targets[index])
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
        return [form(self.data[index]), self._labels(self.targets[index])]


class ColourImages(StackedImages):
    """Colour pictures: `data` is a uint8 array (n, height, width, 3), `targets` a list of ints.

    Sample `i` is (picture, int). Both may be replaced or cut by the program that uses the dataset.
    """

    targets: list[int]

    def __getitem__(self, index: Any) -> tuple[Any, Any]:
        image, target = picture(flambeau.as_tensor(self.data[index])), self.targets[index]
        if self.transform is not None:
            image = self.transform(image)
        return image, target if self.target_transform is None else self.target_transform(target)

    def __getbatch__(self, indices: list[int]) -> Any:
        """What collating the samples one by one would give, made from the whole stack of pictures."""
        form = batch_form(self.transform)
        if form is None or not isinstance(self.targets, list) or not is_plain(self, ColourImages):
            return NotImplemented
        data = flambeau.as_tensor(self.data)  # shares the array's memory
        targets = [self.targets[index] for index in indices]
        if data.ndim != 4 or data.dtype != uint8 or not all(type(target) is int for target in targets):
            return NotImplemented
        return [form(data[flambeau.as_tensor(indices)]), self._labels(flambeau.tensor(targets))]
