"""Digits: a small set of handwritten digits that comes with the package, for trying things without a download."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from flambeau.dtypes import float32, int64, uint8
from flambeau.vision.datasets.base import GreyImages, Transform
from flambeau.vision.idx import read_idx

_ASSETS = Path(__file__).parent.parent / "assets"
_TRAIN = 1437  # the rest was written by people whose hand the training part does not show
_LEVELS = 16  # the brightest grey in the files; scaled to 255 so that ToTensor gives 0..1


class Digits(GreyImages):
    """Handwritten digits, 8 x 8: 1,437 to train on and 360 to test with, inside the package.

    It takes MNIST's arguments, so that it can stand in for it; `root` and `download` have no effect. The pictures are
    UCI's Optical Recognition of Handwritten Digits by E. Alpaydin and C. Kaynak (CC BY 4.0).

    >>> from flambeau.vision import datasets
    >>> digits = datasets.Digits(train=False)
    >>> len(digits), tuple(digits.data.shape), digits[0][1]
    (360, (360, 8, 8), 2)
    """

    classes: ClassVar[list[str]] = [str(digit) for digit in range(10)]  # type: ignore[misc]

    def __init__(
        self,
        root: Any = None,
        train: bool = True,
        transform: Transform | None = None,
        target_transform: Transform | None = None,
        download: bool = False,
    ) -> None:
        super().__init__(transform=transform, target_transform=target_transform)
        self.train = train
        part = slice(None, _TRAIN) if train else slice(_TRAIN, None)
        images = read_idx(_ASSETS / "digits-images-idx3-ubyte.gz", 3)[part]
        labels = read_idx(_ASSETS / "digits-labels-idx1-ubyte.gz", 1)[part]
        scaled = images.to(float32).mul_(255 / _LEVELS).round_()
        self.data, self.targets = scaled.to(uint8), labels.to(int64)
