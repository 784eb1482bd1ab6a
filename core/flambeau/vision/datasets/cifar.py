"""CIFAR-10 and CIFAR-100: from the files that their authors publish, on disk already or downloaded."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import flambeau
from flambeau.vision.datasets._cifar_files import damaged, read_binary_batch, read_pickle, read_pickled_batch
from flambeau.vision.datasets.base import ColourImages, Transform
from flambeau.vision.datasets.utils import check_integrity, download_and_extract_archive
from flambeau.vision.download import MissingDataError

__all__ = ["CIFAR10", "CIFAR100"]


class CIFAR10(ColourImages):
    """Small colour pictures, 32 x 32, of ten kinds of things: 50,000 to train on and 10,000 to test with.

    Args:
        root: folder of the data. The files lie in `root/cifar-10-batches-py` (the Python version, torchvision's layout)
            or in `root/cifar-10-batches-bin` (the binary version). Then the folder in the environment variable
            FLAMBEAU_DATA and its subfolder `cifar-10` are looked at in the same way.
        train: the training part; False for the test part.
        transform, target_transform: applied to the picture and to the label of a sample.
        download: get the files from the internet into `root` if they are missing or not what they should be.

    A sample is (picture, int). `data` is a uint8 array (n, 32, 32, 3), `targets` a list of ints. Raises RuntimeError
    where the files are not found or damaged; files with fewer pictures are taken.
    """

    base_folder = "cifar-10-batches-py"
    url = "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz"
    filename = "cifar-10-python.tar.gz"
    tgz_md5 = "c58f30108f718f92721af3b95e74349a"
    train_list: ClassVar[list[list[str]]] = [
        ["data_batch_1", "c99cafc152244af753f735de768cd75f"],
        ["data_batch_2", "d4bba439e000b95fd0a9bffe97cbabec"],
        ["data_batch_3", "54ebc095f3ab1f0389bbae665268c751"],
        ["data_batch_4", "634d18415352ddfa80567beed471001a"],
        ["data_batch_5", "482c414d41f54cd18b22e5b47cb7c3cb"],
    ]
    test_list: ClassVar[list[list[str]]] = [["test_batch", "40351d587109b95175f43aff81a1287e"]]
    meta: ClassVar[dict[str, str]] = {
        "filename": "batches.meta", "key": "label_names", "md5": "5ff9c542aee3614f3951f8cda6e48888",
    }  # fmt: skip
    _binary_folder = "cifar-10-batches-bin"
    _binary_names = "batches.meta.txt"
    _label_bytes = 1
    _shared_folder = "cifar-10"

    def __init__(
        self,
        root: str | os.PathLike[str],
        train: bool = True,
        transform: Transform | None = None,
        target_transform: Transform | None = None,
        download: bool = False,
    ) -> None:
        super().__init__(os.path.expanduser(root), transform=transform, target_transform=target_transform)
        self.train = train
        found = self._find()
        if download and (found is None or (found == Path(self.root, self.base_folder) and not self._check_integrity())):
            self.download()
            found = self._find()
        if found is None:
            looked = ", ".join(map(str, self._folders()))
            raise MissingDataError(
                f"{type(self).__name__}: Dataset not found or corrupted. You can use download=True to download it, or "
                f"put all of its files into one of the folders that were looked at: {looked}"
            )
        self.classes, self.data, self.targets = self._load(found)

    def _folders(self) -> Iterator[Path]:
        places = [Path(self.root)]
        if shared := os.environ.get("FLAMBEAU_DATA"):
            places += [Path(shared), Path(shared, self._shared_folder)]
        for place in places:
            yield place / self.base_folder
            yield place / self._binary_folder

    def _files(self, folder: Path) -> list[Path]:
        """The files of this part as they are called in `folder`, and the one with the names of the classes."""
        names = [name for name, _ in (self.train_list if self.train else self.test_list)]
        if folder.name == self._binary_folder:
            return [*(folder / f"{name}.bin" for name in names), folder / self._binary_names]
        return [*(folder / name for name in names), folder / self.meta["filename"]]

    def _find(self) -> Path | None:
        """The first folder that has all files."""
        return next((each for each in self._folders() if all(path.is_file() for path in self._files(each))), None)

    def _load(self, folder: Path) -> tuple[list[str], Any, list[int]]:
        *batches, names = self._files(folder)
        if folder.name == self._binary_folder:
            classes = names.read_text(encoding="utf-8").split()
            parts = [read_binary_batch(path, self._label_bytes) for path in batches]
        else:
            classes = read_pickle(names).get(self.meta["key"], [])
            parts = [read_pickled_batch(path) for path in batches]
        if not classes or not all(isinstance(each, str) for each in classes):
            raise damaged(names, "it does not hold the names of the classes")
        for path, (_, labels) in zip(batches, parts, strict=True):
            if labels and not 0 <= min(labels) <= max(labels) < len(classes):
                raise damaged(path, f"labels from {min(labels)} to {max(labels)}, but there are {len(classes)} classes")
        data = flambeau.cat([pictures for pictures, _ in parts]).permute(0, 2, 3, 1).contiguous()
        return classes, data.numpy(), [label for _, labels in parts for label in labels]

    def _check_integrity(self) -> bool:
        """Whether the files in `root` are those that were published."""
        files = [*self.train_list, *self.test_list, [self.meta["filename"], self.meta["md5"]]]
        return all(check_integrity(Path(self.root, self.base_folder, name), md5) for name, md5 in files)

    def download(self) -> None:
        """Get the archive and unpack it into `root`; the archive is checked before and kept."""
        download_and_extract_archive(self.url, self.root, filename=self.filename, md5=self.tgz_md5)


class CIFAR100(CIFAR10):
    """Small colour pictures, 32 x 32, of a hundred kinds of things: 50,000 to train on and 10,000 to test with.

    Files lie in `root/cifar-100-python`, or in `root/cifar-100-binary`; see `CIFAR10`. The targets are the fine labels.
    """

    base_folder = "cifar-100-python"
    url = "https://www.cs.toronto.edu/~kriz/cifar-100-python.tar.gz"
    filename = "cifar-100-python.tar.gz"
    tgz_md5 = "eb9058c3a382ffc7106e4002c42a8d85"
    train_list: ClassVar[list[list[str]]] = [["train", "16019d7e3df5f24257cddd939b257f8d"]]
    test_list: ClassVar[list[list[str]]] = [["test", "f0ef6b0ae62326f3e7ffdfab6717acfc"]]
    meta: ClassVar[dict[str, str]] = {
        "filename": "meta", "key": "fine_label_names", "md5": "7973b15100ade9c7d40fb424638fde48",
    }  # fmt: skip
    _binary_folder = "cifar-100-binary"
    _binary_names = "fine_label_names.txt"
    _label_bytes = 2
    _shared_folder = "cifar-100"
