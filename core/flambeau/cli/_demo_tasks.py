"""What `flambeau demo` trains on: a task per kind of data.

A task has the data, builds the models that go with it, and measures them; how a model is trained is the same for all
and stands in `_demo_training`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import flambeau
from flambeau import nn
from flambeau.cli._demo_text import load_text
from flambeau.cli._errors import UsageError
from flambeau.utils.data import DataLoader
from flambeau.vision import datasets, transforms
from flambeau.vision.download import MissingDataError

Say = Callable[[str], None]

_TEST_BATCH = 1000
_HIDDEN = (128, 64)
_CLASSES = 10


class Task(Protocol):
    """Data and what belongs to it."""

    name: str  # of the data
    train: Any  # datasets of (input, label)
    test: Any
    measure: str  # what `score` is called

    def describe(self) -> str:
        """How much data there is."""

    def build_model(self, model: str) -> nn.Module:
        """The model of that name, for this data: logits along the last dimension."""

    def score(self, model: nn.Module, device: str) -> float:
        """How good the model is on the test data."""

    def closing(self, model: nn.Module, device: str) -> str:
        """What a trained model has to say; empty for one that only classifies."""


class Images:
    """Pictures of handwritten digits, and which digit each is."""

    measure = "test accuracy"

    def __init__(self, name: str, train: Any, test: Any) -> None:
        self.name, self.train, self.test = name, train, test

    def describe(self) -> str:
        """How many pictures there are."""
        return f"{len(self.train):,} images to train on, {len(self.test):,} to test"

    def build_model(self, model: str) -> nn.Module:
        """A perceptron with a dropout that keeps it honest, or torchvision's ResNet-18 for grey pictures."""
        if model == "resnet18":
            from flambeau.vision.models import resnet18

            network = resnet18(num_classes=_CLASSES)
            network.conv1 = nn.Conv2d(1, 64, kernel_size=7, stride=2, padding=3, bias=False)
            return network
        first, second = _HIDDEN
        return nn.Sequential(
            nn.Flatten(),
            nn.Linear(self.train.data[0].numel(), first), nn.ReLU(), nn.Dropout(0.2),
            nn.Linear(first, second), nn.ReLU(),
            nn.Linear(second, _CLASSES),
        )  # fmt: skip

    def score(self, model: nn.Module, device: str) -> float:
        """The part of the test images that the model names rightly."""
        correct = 0
        for images, labels in DataLoader(self.test, batch_size=_TEST_BATCH):
            answers = model(images.to(device)).argmax(1)
            correct += int((answers == labels.to(device)).sum().item())
        return correct / len(self.test)

    def closing(self, model: nn.Module, device: str) -> str:
        """Nothing: the accuracy says it."""
        return ""


def load(model: str, root: Path, say: Say) -> Task:
    """The data that `model` is trained on."""
    return load_text(root, say) if model == "transformer" else load_images(root, say)


def load_images(root: Path, say: Say) -> Images:
    """MNIST from disk or the network; where neither has it, the small set inside the package."""
    try:
        try:
            return Images("MNIST", *image_parts(datasets.MNIST, root))
        except MissingDataError:
            say(f"MNIST is not in {root}: downloading it")
            return Images("MNIST", *image_parts(datasets.MNIST, root, download=True))
    except ValueError as error:  # a damaged file
        raise UsageError(str(error)) from error
    except (MissingDataError, OSError) as error:
        say(f"{error}\nMNIST is not to be had: training on the small Digits set of this package instead")
        return Images("Digits", *image_parts(datasets.Digits, root))


def image_parts(source: Any, root: Path | str, **options: Any) -> tuple[Any, Any]:
    """The training and the test part of `source`, as tensors with mean 0 and deviation 1."""
    mean, std = (0.3054, 0.3753) if source is datasets.Digits else (0.1307, 0.3081)
    pipeline = transforms.Compose([transforms.ToTensor(), transforms.Normalize((mean,), (std,))])
    return source(root, True, pipeline, **options), source(root, False, pipeline, **options)


def evaluate(task: Task, model: nn.Module, device: str) -> float:
    """`task.score` of the model as it is used, not as it is trained."""
    model.eval()
    with flambeau.no_grad():
        return task.score(model, device)
