"""Datasets from folders of files: the class of a sample is the folder that it lies in."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterator
from typing import Any

from flambeau.errors import ArgumentValueError, FlambeauError
from flambeau.vision.datasets.vision import Transform, VisionDataset
from flambeau.vision.transforms._kinds import pil_module

__all__ = ["IMG_EXTENSIONS", "DatasetFolder", "ImageFolder", "default_loader", "find_classes",
           "has_file_allowed_extension", "is_image_file", "make_dataset", "pil_loader"]  # fmt: skip

IMG_EXTENSIONS = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")
"""The endings of files that `ImageFolder` takes for pictures."""

PathLike = str | os.PathLike[str]
Extensions = str | tuple[str, ...]
Sample = tuple[str, int]


class EmptyFolderError(FlambeauError, FileNotFoundError):
    """A folder without classes, or a class without files."""


def has_file_allowed_extension(filename: str, extensions: Extensions) -> bool:
    """Whether a file's name ends with one of `extensions` (in lower case), in whatever case.

    >>> has_file_allowed_extension("one.PNG", (".jpg", ".png"))
    True
    """
    return filename.lower().endswith(extensions if isinstance(extensions, str) else tuple(extensions))


def is_image_file(filename: str) -> bool:
    """Whether a file's name ends as a picture's does."""
    return has_file_allowed_extension(filename, IMG_EXTENSIONS)


def find_classes(directory: PathLike) -> tuple[list[str], dict[str, int]]:
    """The names of the folders in `directory`, sorted, and the number of each.

    Raises FileNotFoundError where there is none.
    """
    classes = sorted(entry.name for entry in os.scandir(directory) if entry.is_dir())
    if not classes:
        raise EmptyFolderError(f"Couldn't find any class folder in {os.fspath(directory)}; it needs one folder for "
                               "each class, with the files of that class")  # fmt: skip
    return classes, {name: number for number, name in enumerate(classes)}


def make_dataset(
    directory: PathLike,
    class_to_idx: dict[str, int] | None = None,
    extensions: Extensions | None = None,
    is_valid_file: Callable[[str], bool] | None = None,
    allow_empty: bool = False,
) -> list[Sample]:
    """The files below the classes' folders in `directory`, each with its class's number, in the order of their names.

    Args:
        directory: the folder of the classes' folders.
        class_to_idx: which folders, and their numbers; by default as `find_classes` has them.
        extensions: the endings of the files that are wanted.
        is_valid_file: whether the file at a path is wanted, in place of `extensions`.
        allow_empty: whether a class may have no file.

    Raises ValueError unless exactly one of `extensions` and `is_valid_file` is given, and FileNotFoundError for a class
    without files.
    """
    if class_to_idx is None:
        _, class_to_idx = find_classes(directory)
    elif not class_to_idx:
        raise ArgumentValueError("'class_to_index' must have at least one entry to collect any samples.")
    if (extensions is None) == (is_valid_file is None):
        raise ArgumentValueError("Both extensions and is_valid_file cannot be None or not None at the same time; give "
                                 "one of them")  # fmt: skip
    wanted = is_valid_file or functools.partial(has_file_allowed_extension, extensions=extensions or ())
    root = os.path.expanduser(directory)
    samples, empty = [], []
    for name in sorted(class_to_idx):
        found = [path for path in _files(os.path.join(root, name)) if wanted(path)]
        samples += [(path, class_to_idx[name]) for path in found]
        if not found:
            empty.append(name)
    if empty and not allow_empty:
        message = f"Found no valid file for the classes {', '.join(empty)}."
        if extensions is not None:
            endings = extensions if isinstance(extensions, str) else ", ".join(extensions)
            message += f" Supported extensions are: {endings}"
        raise EmptyFolderError(f"{message} (in {root}; allow_empty=True permits it)")
    return samples


def _files(folder: str) -> Iterator[str]:
    for here, _, names in sorted(os.walk(folder, followlinks=True)):
        for name in sorted(names):
            yield os.path.join(here, name)


class DatasetFolder(VisionDataset):
    """Files in folders: ``root/class/.../file``.

    Args:
        root: the folder of the classes' folders.
        loader: makes a sample from a file's path.
        extensions: the endings of the files that are wanted, in lower case.
        transform, target_transform: applied to the sample and to its class's number.
        is_valid_file: whether the file at a path is wanted, in place of `extensions`.
        allow_empty: whether a class may have no file.

    A sample is (what `loader` gives, int). `classes` has the names, `class_to_idx` their numbers, `samples` pairs of
    path and number, `targets` the numbers. A subclass that finds classes or files in another way overrides
    `find_classes` or `make_dataset`.
    """

    def __init__(
        self,
        root: PathLike,
        loader: Callable[[str], Any],
        extensions: tuple[str, ...] | None = None,
        transform: Transform | None = None,
        target_transform: Transform | None = None,
        is_valid_file: Callable[[str], bool] | None = None,
        allow_empty: bool = False,
    ) -> None:
        super().__init__(root, transform=transform, target_transform=target_transform)
        classes, class_to_idx = self.find_classes(self.root)
        samples = self.make_dataset(self.root, class_to_idx=class_to_idx, extensions=extensions,
                                    is_valid_file=is_valid_file, allow_empty=allow_empty)  # fmt: skip
        self.loader = loader
        self.extensions = extensions
        self.classes = classes
        self.class_to_idx = class_to_idx
        self.samples = samples
        self.targets = [number for _, number in samples]

    @staticmethod
    def make_dataset(
        directory: PathLike,
        class_to_idx: dict[str, int],
        extensions: tuple[str, ...] | None = None,
        is_valid_file: Callable[[str], bool] | None = None,
        allow_empty: bool = False,
    ) -> list[Sample]:
        """The samples, as the function `make_dataset` finds them."""
        if class_to_idx is None:
            raise ArgumentValueError("The class_to_idx parameter cannot be None.")
        return make_dataset(directory, class_to_idx, extensions, is_valid_file, allow_empty)

    def find_classes(self, directory: PathLike) -> tuple[list[str], dict[str, int]]:
        """The classes, as the function `find_classes` finds them."""
        return find_classes(directory)

    def __getitem__(self, index: Any) -> tuple[Any, Any]:
        path, target = self.samples[index]
        sample = self.loader(path)
        if self.transform is not None:
            sample = self.transform(sample)
        return sample, target if self.target_transform is None else self.target_transform(target)

    def __len__(self) -> int:
        return len(self.samples)


def pil_loader(path: PathLike) -> Any:
    """The picture in a file, as a PIL image in mode RGB."""
    with open(path, "rb") as file:  # not left to Pillow, which would keep the file open
        return pil_module().open(file).convert("RGB")


def default_loader(path: PathLike) -> Any:
    """What `ImageFolder` reads a file with: `pil_loader`."""
    return pil_loader(path)


class ImageFolder(DatasetFolder):
    """Pictures in folders: ``root/class/.../picture.png``.

    Args:
        root: the folder of the classes' folders.
        transform, target_transform: applied to the picture and to its class's number.
        loader: makes a picture from a file's path; PIL images in mode RGB by default.
        is_valid_file: whether the file at a path is wanted; by default its ending decides (`IMG_EXTENSIONS`).
        allow_empty: whether a class may have no file.

    `imgs` is another name of `samples`; the rest is `DatasetFolder`'s.
    """

    def __init__(
        self,
        root: PathLike,
        transform: Transform | None = None,
        target_transform: Transform | None = None,
        loader: Callable[[str], Any] = default_loader,
        is_valid_file: Callable[[str], bool] | None = None,
        allow_empty: bool = False,
    ) -> None:
        extensions = IMG_EXTENSIONS if is_valid_file is None else None
        super().__init__(root, loader, extensions, transform, target_transform, is_valid_file, allow_empty)
        self.imgs = self.samples
