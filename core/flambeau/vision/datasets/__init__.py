"""Image datasets under torchvision's names, and one small set that comes with the package."""

from flambeau.vision.datasets.base import VisionDataset
from flambeau.vision.datasets.digits import Digits
from flambeau.vision.datasets.mnist import MNIST, FashionMNIST

__all__ = ["VisionDataset", "MNIST", "FashionMNIST", "Digits"]
