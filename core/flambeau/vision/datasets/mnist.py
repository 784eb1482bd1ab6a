"""MNIST and the sets that took over its format, from IDX files: on disk already, or downloaded."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

from flambeau.dtypes import int64
from flambeau.vision.datasets.base import GreyImages, Transform
from flambeau.vision.download import MissingDataError, download as download_file
from flambeau.vision.idx import read_idx


class MNIST(GreyImages):
    """Handwritten digits, 28 x 28: 60,000 to train on and 10,000 to test with.

    Args:
        root: folder of the data. The files may lie in `root/MNIST/raw` (torchvision's layout) or in `root` itself,
            gzipped or not. Then the folder in the environment variable FLAMBEAU_DATA and its subfolder `mnist` are
            looked at.
        train: the training part; False for the test part.
        transform, target_transform: applied to the picture and to the label of a sample.
        download: get missing files from the internet, into `root/MNIST/raw`.

    A sample is (picture, int). `data` is uint8 (n, 28, 28), `targets` int64 (n,). Raises RuntimeError where the files
    are not found and ValueError where a file contradicts its own header; one with fewer images is taken.
    """

    mirrors: ClassVar[list[str]] = [
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
    ]
    resources: ClassVar[list[tuple[str, str]]] = [
        ("train-images-idx3-ubyte.gz", "f68b3c2dcbeaaa9fbdd348bbdeb94873"),
        ("train-labels-idx1-ubyte.gz", "d53e105ee54ea40749a09fcbcd1e9432"),
        ("t10k-images-idx3-ubyte.gz", "9fb629c4189551a2d022fa330f9573f3"),
        ("t10k-labels-idx1-ubyte.gz", "ec29112dd5afa0611ce80d1b7f02629c"),
    ]
    classes: ClassVar[list[str]] = [  # type: ignore[misc]
        "0 - zero", "1 - one", "2 - two", "3 - three", "4 - four",
        "5 - five", "6 - six", "7 - seven", "8 - eight", "9 - nine",
    ]  # fmt: skip
    # Fashion-MNIST's files have the same names, so only MNIST is looked for in folders that do not name the dataset.
    _shared_folders: ClassVar[tuple[str, ...]] = ("", "mnist")
    _in_root = True

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
        if found is None and download:
            self.download()
            found = self._find()
        if found is None:
            looked = ", ".join(map(str, self._folders()))
            raise MissingDataError(
                f"{type(self).__name__}: Dataset not found. You can use download=True to download it, or put its IDX "
                f"files into one of the folders that were looked at: {looked}"
            )
        self.data, self.targets = _load(*found)

    @property
    def raw_folder(self) -> str:
        """Where downloaded files go."""
        return str(Path(self.root) / type(self).__name__ / "raw")

    def _folders(self) -> Iterator[Path]:
        yield Path(self.raw_folder)
        if self._in_root:
            yield Path(self.root)
        shared = os.environ.get("FLAMBEAU_DATA")
        if shared:
            yield from (Path(shared) / name for name in self._shared_folders)

    def _resources(self) -> list[tuple[str, str]]:
        prefix = "train" if self.train else "t10k"
        return [(name, md5) for name, md5 in self.resources if name.startswith(prefix)]

    def _find(self) -> tuple[Path, Path] | None:
        """The files of images and labels: both from the first folder that has both."""
        for folder in self._folders():
            files = [_present(folder, name) for name, _ in self._resources()]
            if files[0] is not None and files[1] is not None:
                return files[0], files[1]
        return None

    def download(self) -> None:
        """Get the files of this part that are missing; each is checked before it is put in place."""
        folder = Path(self.raw_folder)
        for name, md5 in self._resources():
            if _present(folder, name) is None:
                download_file([mirror.rstrip("/") + "/" + name for mirror in self.mirrors], folder / name, md5)


class FashionMNIST(MNIST):
    """Pictures of clothes in MNIST's format: 28 x 28, ten classes, 60,000 and 10,000.

    Files lie in `root/FashionMNIST/raw` or in the subfolder `fashion-mnist` of FLAMBEAU_DATA; see `MNIST`.
    """

    mirrors: ClassVar[list[str]] = ["http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/"]
    resources: ClassVar[list[tuple[str, str]]] = [
        ("train-images-idx3-ubyte.gz", "8d4fb7e6c68d591d4c3dfef9ec88bf0d"),
        ("train-labels-idx1-ubyte.gz", "25c81989df183df01b3e8a0aad5dffbe"),
        ("t10k-images-idx3-ubyte.gz", "bef4ecab320f06d8554ea6380940ec79"),
        ("t10k-labels-idx1-ubyte.gz", "bb300cfdad3c16e7a12a480ee83cd310"),
    ]
    classes: ClassVar[list[str]] = [  # type: ignore[misc]
        "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
    ]  # fmt: skip
    _shared_folders: ClassVar[tuple[str, ...]] = ("fashion-mnist",)
    _in_root = False


class KMNIST(MNIST):
    """Kuzushiji-MNIST, handwritten hiragana in MNIST's format: 28 x 28, ten classes, 60,000 and 10,000.

    Files lie in `root/KMNIST/raw` or in the subfolder `kmnist` of FLAMBEAU_DATA; see `MNIST`.
    """

    mirrors: ClassVar[list[str]] = ["http://codh.rois.ac.jp/kmnist/dataset/kmnist/"]
    resources: ClassVar[list[tuple[str, str]]] = [
        ("train-images-idx3-ubyte.gz", "bdb82020997e1d708af4cf47b453dcf7"),
        ("train-labels-idx1-ubyte.gz", "e144d726b3acfaa3e44228e80efcd344"),
        ("t10k-images-idx3-ubyte.gz", "5c965bf0a639b31b8f53240b1b52f4d7"),
        ("t10k-labels-idx1-ubyte.gz", "7320c461ea6c1c855c0b718fb2a4b134"),
    ]
    classes: ClassVar[list[str]] = ["o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"]  # type: ignore[misc]
    _shared_folders: ClassVar[tuple[str, ...]] = ("kmnist",)
    _in_root = False


def _present(folder: Path, name: str) -> Path | None:
    """The file `name` (which ends in .gz) in `folder`, gzipped or not, with a dash or a dot before "idx"."""
    plain = name.removesuffix(".gz")
    for candidate in (plain, name, plain.replace("-idx", ".idx"), name.replace("-idx", ".idx")):
        if (folder / candidate).is_file():
            return folder / candidate
    return None


def _load(images: Path, labels: Path) -> tuple[Any, Any]:
    data, targets = read_idx(images, 3), read_idx(labels, 1)
    if len(data) != len(targets):
        raise ValueError(
            f"{images} holds {len(data)} images, but {labels} holds {len(targets)} labels; "
            "they must be equal: get both files anew"
        )
    return data, targets.to(int64)
