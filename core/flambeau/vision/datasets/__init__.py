"""Image datasets under torchvision's names, and one small set that comes with the package."""

from flambeau.vision.datasets.cifar import CIFAR10, CIFAR100
from flambeau.vision.datasets.digits import Digits
from flambeau.vision.datasets.fakedata import FakeData
from flambeau.vision.datasets.folder import DatasetFolder, ImageFolder
from flambeau.vision.datasets.mnist import KMNIST, MNIST, FashionMNIST
from flambeau.vision.datasets.vision import StandardTransform, VisionDataset

__all__ = ["CIFAR10", "CIFAR100", "DatasetFolder", "Digits", "FakeData", "FashionMNIST", "ImageFolder", "KMNIST",
           "MNIST", "StandardTransform", "VisionDataset"]  # fmt: skip
