"""Random pictures with random labels, for trying a program without data."""

from __future__ import annotations

from typing import Any

import flambeau
from flambeau.errors import DimensionError
from flambeau.vision.datasets.vision import Transform, VisionDataset
from flambeau.vision.transforms.functional import to_pil_image

__all__ = ["FakeData"]


class FakeData(VisionDataset):
    """Noise: sample `i` is the same in each run, because its number is its seed.

    Args:
        size: number of samples.
        image_size: (channels, height, width).
        num_classes: number of classes.
        transform, target_transform: applied to the PIL image and to the label of a sample.
        random_offset: added to the number of a sample to give its seed.

    A sample is (PIL image, int). The global generator's state is not changed.

    >>> FakeData(3, (3, 4, 5))[0][0].size
    (5, 4)
    """

    def __init__(
        self,
        size: int = 1000,
        image_size: tuple[int, int, int] = (3, 224, 224),
        num_classes: int = 10,
        transform: Transform | None = None,
        target_transform: Transform | None = None,
        random_offset: int = 0,
    ) -> None:
        super().__init__(transform=transform, target_transform=target_transform)
        self.size = size
        self.image_size = image_size
        self.num_classes = num_classes
        self.random_offset = random_offset

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        if index >= len(self):
            raise DimensionError(f"{type(self).__name__} index out of range: {index}; there are {len(self)} samples")
        state = flambeau.get_rng_state()
        try:
            flambeau.manual_seed(index + self.random_offset)
            values = flambeau.randn(*self.image_size)
            target: Any = int(flambeau.randint(0, self.num_classes, size=(1,))[0])
        finally:
            flambeau.set_rng_state(state)
        image = to_pil_image(values)
        if self.transform is not None:
            image = self.transform(image)
        return image, target if self.target_transform is None else self.target_transform(target)

    def __len__(self) -> int:
        return self.size
