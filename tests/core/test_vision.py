"""vision: pictures become the same tensors however they come; damaged files and broken downloads are never used."""

from __future__ import annotations

import functools
import gzip
import hashlib
import http.server
import struct
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest

import flambeau
from flambeau.utils.data import DataLoader, default_collate
from flambeau.vision import datasets, image, transforms
from flambeau.vision.transforms import batch_form

PREFIX = {True: "train", False: "t10k"}


def idx(values: bytes, *shape: int) -> bytes:
    return struct.pack(f">{1 + len(shape)}i", 0x0800 + len(shape), *shape) + values


def write_mnist(
    folder: Path, count: int = 6, labels: int | None = None, packed: bool = True, train: bool = True
) -> None:
    """A small data set in MNIST's format."""
    folder.mkdir(parents=True, exist_ok=True)
    pixels = bytes((7 * i + i // 256) % 256 for i in range(count * 28 * 28))
    files = {
        f"{PREFIX[train]}-images-idx3-ubyte": idx(pixels, count, 28, 28),
        f"{PREFIX[train]}-labels-idx1-ubyte": idx(bytes(i % 10 for i in range(labels or count)), labels or count),
    }
    for name, content in files.items():
        (folder / (name + ".gz" * packed)).write_bytes(gzip.compress(content) if packed else content)


@pytest.fixture(autouse=True)
def _no_shared_data(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    if "mnist_folder" not in request.fixturenames:
        monkeypatch.delenv("FLAMBEAU_DATA", raising=False)


@pytest.fixture(params=["with Pillow", "without Pillow"])
def pillow(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    if request.param == "with Pillow":
        return pytest.importorskip("PIL.Image", reason="pictures are PIL's where Pillow is installed")
    monkeypatch.setattr(image, "pillow", lambda: None)
    return None


# --------------------------------------------------------------------------------------------------- finding files


@pytest.mark.parametrize("place", ["MNIST/raw", ".", "shared", "shared/mnist"])
@pytest.mark.parametrize("packed", [False, True])
def test_files_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str, packed: bool) -> None:
    root = tmp_path / "root"
    if place.startswith("shared"):
        monkeypatch.setenv("FLAMBEAU_DATA", str(tmp_path / "shared"))
        write_mnist(tmp_path / place, packed=packed, train=False)
    else:
        write_mnist(root / place, packed=packed, train=False)
    dataset = datasets.MNIST(root, train=False)
    assert dataset.data.shape == (6, 28, 28)
    assert dataset.data.dtype == flambeau.uint8
    assert dataset.targets.dtype == flambeau.int64
    assert dataset.targets.tolist() == [0, 1, 2, 3, 4, 5]
    assert not dataset.train
    assert dataset.class_to_idx["7 - seven"] == 7
    assert dataset.data[0, 0, :3].tolist() == [0, 7, 14]


def test_missing_files_are_an_error_that_says_where_it_looked(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="download=True") as error:
        datasets.MNIST(tmp_path)
    assert str(tmp_path / "MNIST" / "raw") in str(error.value)


def test_fashion_mnist_is_not_taken_for_mnist(tmp_path: Path) -> None:
    write_mnist(tmp_path)
    with pytest.raises(RuntimeError, match="FashionMNIST: Dataset not found"):
        datasets.FashionMNIST(tmp_path)
    write_mnist(tmp_path / "FashionMNIST" / "raw")
    assert datasets.FashionMNIST(tmp_path).classes[9] == "Ankle boot"


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("change", ["cut", "longer"])
def test_a_length_that_contradicts_the_header_is_refused(tmp_path: Path, packed: bool, change: str) -> None:
    write_mnist(tmp_path, packed=False)
    path = tmp_path / "train-images-idx3-ubyte"
    content = path.read_bytes()
    content = content[:-10] if change == "cut" else content + bytes(10)
    path.unlink()
    (tmp_path / (path.name + ".gz" * packed)).write_bytes(gzip.compress(content) if packed else content)
    found = 4704 + (-10 if change == "cut" else 10)
    with pytest.raises(ValueError, match=f"promises 6 x 28 x 28 = 4704 bytes.* {found} bytes"):
        datasets.MNIST(tmp_path)


@pytest.mark.parametrize(
    "content, text",
    [
        (b"", "begins with nothing"),
        (b"<html>", "begins with 3c 68"),
        (idx(b"", 0, 28), "2 dimensions, expected 3"),
        (idx(b"", 1, 28, 28)[:9], "promises 16 bytes of header"),
    ],
)
def test_a_file_of_another_kind_is_refused(tmp_path: Path, content: bytes, text: str) -> None:
    write_mnist(tmp_path, packed=False)
    (tmp_path / "train-images-idx3-ubyte").write_bytes(content)
    with pytest.raises(ValueError, match=text):
        datasets.MNIST(tmp_path)


def test_a_broken_gzip_file_is_refused(tmp_path: Path) -> None:
    write_mnist(tmp_path)
    path = tmp_path / "train-images-idx3-ubyte.gz"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(ValueError, match="not a complete gzip file"):
        datasets.MNIST(tmp_path)


def test_images_and_labels_must_be_equally_many(tmp_path: Path) -> None:
    write_mnist(tmp_path, count=6, labels=5)
    with pytest.raises(ValueError, match=r"6 images.* 5 labels"):
        datasets.MNIST(tmp_path)


# --------------------------------------------------------------------------------------------------- downloading


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """A web server on this machine: its address and the folder that it serves."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *arguments: Any) -> None:
            pass

    folder = tmp_path / "served"
    folder.mkdir()
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=folder)) as web:
        thread = threading.Thread(target=web.serve_forever, args=(0.02,))
        thread.start()
        yield f"http://127.0.0.1:{web.server_address[1]}/", folder
        web.shutdown()
        thread.join()


def mnist_from(mirrors_: list[str], good: Path) -> type[datasets.MNIST]:
    """MNIST with other mirrors, whose right files are those in `good`."""

    class MNIST(datasets.MNIST):
        mirrors: ClassVar[list[str]] = mirrors_
        resources: ClassVar[list[tuple[str, str]]] = [
            (path.name, hashlib.md5(path.read_bytes()).hexdigest()) for path in sorted(good.glob("*.gz"))
        ]

    return MNIST


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")


def test_the_next_mirror_is_tried(server: tuple[str, Path], tmp_path: Path, capsys: Any) -> None:
    address, folder = server
    write_mnist(folder / "good")
    (folder / "broken").mkdir()
    for path in (folder / "good").iterdir():
        (folder / "broken" / path.name).write_bytes(path.read_bytes()[:-1])
    kind = mnist_from([address + "absent", address + "broken/", address + "good"], folder / "good")
    dataset = kind(tmp_path, download=True)
    assert len(dataset) == 6
    raw = Path(dataset.raw_folder)
    assert sorted(path.name for path in raw.iterdir()) == ["train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"]
    assert "Downloading train-images-idx3-ubyte.gz" in capsys.readouterr().err
    for path in raw.iterdir():
        path.touch()
    again = kind(tmp_path, download=True)  # nothing is downloaded twice
    assert capsys.readouterr().err == ""
    assert len(again) == 6


def test_nothing_is_left_where_every_mirror_fails(server: tuple[str, Path], tmp_path: Path) -> None:
    address, folder = server
    write_mnist(folder / "good")
    (folder / "broken").mkdir()
    for path in (folder / "good").iterdir():
        (folder / "broken" / path.name).write_bytes(b"not what was asked for")
    kind = mnist_from([address + "broken", address + "absent", "http://127.0.0.1:9/"], folder / "good")
    with pytest.raises(RuntimeError, match=r"(?s)checksum is .*, expected .*404.*refused"):
        kind(tmp_path, download=True)
    assert list((tmp_path / "MNIST" / "raw").iterdir()) == []


# ---------------------------------------------------------------------------------------------------- transforms


def test_to_tensor_gives_the_same_for_every_kind_of_picture(pillow: Any) -> None:
    pixels = flambeau.arange(256).to(flambeau.uint8).reshape(8, 32)
    expected = pixels.to(flambeau.float32).reshape(1, 8, 32) / 255
    pictures = [image.Image(pixels), image.grey_image(pixels), pixels.numpy()]
    for picture in pictures:
        tensor = transforms.ToTensor()(picture)
        assert tensor.dtype == flambeau.float32
        assert tensor.shape == (1, 8, 32)
        assert flambeau.equal(tensor, expected)
    assert image.grey_image(pixels).size == (32, 8)
    assert isinstance(image.grey_image(pixels), image.Image if pillow is None else pillow.Image)


@pytest.mark.parametrize("mode, channels", [("1", 1), ("L", 1), ("RGB", 3), ("RGBA", 4), ("F", 1), ("I", 1)])
def test_to_tensor_of_pil_modes(mode: str, channels: int) -> None:
    library = pytest.importorskip("PIL.Image", reason="these pictures are PIL's")
    picture = library.new("RGB", (3, 2), (255, 0, 51)).convert(mode)
    tensor = transforms.ToTensor()(picture)
    assert tensor.shape == (channels, 2, 3)
    if mode == "RGB":
        assert tensor[:, 0, 0].tolist() == pytest.approx([1.0, 0.0, 0.2])
    if mode in ("1", "L", "RGB", "RGBA", "F"):
        assert tensor.dtype == flambeau.float32
    else:
        assert tensor.dtype == flambeau.int32


def test_arrays_with_channels_and_of_other_dtypes() -> None:
    array = flambeau.arange(24).reshape(2, 3, 4).to(flambeau.float32).numpy()
    tensor = transforms.ToTensor()(array)
    assert tensor.shape == (4, 2, 3)
    assert tensor[1, 0].tolist() == [1.0, 5.0, 9.0]


def test_normalize() -> None:
    source = flambeau.tensor([[[0.0, 1.0]], [[2.0, 3.0]]])
    result = transforms.Normalize((0.5, 1.0), (0.5, 2.0))(source)
    assert result.tolist() == [[[-1.0, 1.0]], [[0.5, 1.0]]]
    assert source.tolist() == [[[0.0, 1.0]], [[2.0, 3.0]]]
    changed = transforms.Normalize((0.5, 1.0), (0.5, 2.0), inplace=True)(source)
    assert changed is source


@pytest.mark.parametrize(
    "call, kind",
    [
        (lambda: transforms.ToTensor()(3), TypeError),
        (lambda: transforms.ToTensor()(flambeau.zeros(2, 2)), TypeError),
        (lambda: transforms.ToTensor()(flambeau.zeros(2).numpy()), ValueError),
        (lambda: transforms.Normalize((0.5,), (0.5,))(3), TypeError),
        (lambda: transforms.Normalize((0.5,), (0.5,))(flambeau.zeros(1, 2, 2, dtype=flambeau.uint8)), TypeError),
        (lambda: transforms.Normalize((0.5,), (0.5,))(flambeau.zeros(2, 2)), ValueError),
        (lambda: transforms.Normalize((0.5,), (0.0,))(flambeau.zeros(1, 2, 2)), ValueError),
        (lambda: transforms.Lambda(3), TypeError),
    ],
)
def test_errors(call: Any, kind: type[Exception]) -> None:
    with pytest.raises(kind):
        call()


def test_reprs(tmp_path: Path) -> None:
    write_mnist(tmp_path)
    dataset = datasets.MNIST(tmp_path, transform=standard())
    assert repr(dataset) == (
        f"Dataset MNIST\n    Number of datapoints: 6\n    Root location: {tmp_path}\n    Split: Train\n"
        "    StandardTransform\nTransform: Compose(\n               ToTensor()\n"
        "               Normalize(mean=(0.1307,), std=(0.3081,))\n           )"
    )
    assert repr(transforms.Lambda(abs)) == "Lambda()"


# ----------------------------------------------------------------------------------------- whole batches at once


def standard() -> transforms.Compose:
    return transforms.Compose([transforms.ToTensor(), transforms.Normalize((0.1307,), (0.3081,))])


def test_a_batch_at_once_is_the_batch_one_by_one(tmp_path: Path, pillow: Any) -> None:
    write_mnist(tmp_path, count=9)
    for options in ({}, {"target_transform": transforms.Lambda(lambda y: float(y + 1))}):
        dataset = datasets.MNIST(tmp_path, transform=standard(), **options)
        at_once = dataset.__getbatch__([3, 0, 8])
        one_by_one = default_collate([dataset[i] for i in (3, 0, 8)])
        assert type(at_once) is type(one_by_one)
        for ours, theirs in zip(at_once, one_by_one, strict=True):
            assert ours.dtype == theirs.dtype
            assert flambeau.equal(ours, theirs)  # to the last bit


class Brighter(transforms.Normalize):
    def forward(self, tensor: Any) -> Any:
        return super().forward(tensor) + 1


@pytest.mark.parametrize("step", [transforms.Lambda(lambda x: x + 1), Brighter((0.0,), (1.0,)), lambda x: x])
def test_a_step_that_declares_no_batch_form_runs_per_sample(tmp_path: Path, step: Any) -> None:
    chain = transforms.Compose([transforms.ToTensor(), step])
    assert batch_form(chain) is None
    write_mnist(tmp_path)
    dataset = datasets.MNIST(tmp_path, transform=chain)
    assert dataset.__getbatch__([0]) is NotImplemented
    ((images, _),) = DataLoader(dataset, batch_size=6)
    assert flambeau.equal(images[2], dataset[2][0])


def test_a_step_of_ones_own_may_declare_a_batch_form(tmp_path: Path) -> None:
    class Invert:
        def __call__(self, x: Any) -> Any:
            return 1 - x

        batched = __call__

    write_mnist(tmp_path)
    dataset = datasets.MNIST(tmp_path, transform=transforms.Compose([transforms.ToTensor(), Invert()]))
    ((images, _),) = DataLoader(dataset, batch_size=6)
    assert flambeau.equal(images[2], dataset[2][0])
    assert dataset.__getbatch__([0]) is not NotImplemented


def test_a_dataset_without_transform_gives_pictures(tmp_path: Path, pillow: Any) -> None:
    write_mnist(tmp_path)
    picture, label = datasets.MNIST(tmp_path)[1]
    assert picture.size == (28, 28)
    assert picture.mode == "L"
    assert label == 1
    with pytest.raises(TypeError, match="default_collate"):
        next(iter(DataLoader(datasets.MNIST(tmp_path))))


# ---------------------------------------------------------------------------------------------------- real data


def test_digits() -> None:
    train, test = datasets.Digits(transform=standard()), datasets.Digits(train=False)
    assert (len(train), len(test)) == (1437, 360)
    assert train[0][0].shape == (1, 8, 8)
    assert int(train.data.max()) == 255
    counts = [int((test.targets == digit).sum()) for digit in range(10)]
    assert min(counts) >= 30
    assert repr(test) == "Dataset Digits\n    Number of datapoints: 360\n    Split: Test"
    assets = Path(datasets.__file__).parent.parent / "assets"
    assert "CC BY 4.0" in (assets / "ATTRIBUTION.txt").read_text()
    assert sum(path.stat().st_size for path in assets.iterdir()) < 120_000


def test_mnist(mnist_folder: Path, tmp_path: Path) -> None:
    train, test = (datasets.MNIST(tmp_path, part, standard()) for part in (True, False))
    assert (len(train), len(test)) == (60_000, 10_000)
    assert train.targets[:5].tolist() == [5, 0, 4, 1, 9]
    images, labels = next(iter(DataLoader(test, batch_size=64)))
    assert images.shape == (64, 1, 28, 28)
    assert labels[:5].tolist() == [7, 2, 1, 0, 4]
    everything = train.data.to(flambeau.float64) / 255
    assert float(everything.mean()) == pytest.approx(0.1307, abs=1e-4)
