"""Image datasets: files in the real formats are read, what is damaged or dangerous leaves nothing behind."""

from __future__ import annotations

import functools
import gzip
import hashlib
import http.server
import io
import os
import pickle
import struct
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

import flambeau
from flambeau.utils.data import DataLoader, default_collate
from flambeau.vision import datasets, image, io as io_, transforms
from flambeau.vision.datasets import utils
from flambeau.vision.datasets.folder import IMG_EXTENSIONS, find_classes, make_dataset
from flambeau.vision.utils import draw_bounding_boxes

NAMES = "airplane automobile bird cat deer dog frog horse ship truck".split()


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FLAMBEAU_DATA", raising=False)
    monkeypatch.setenv("no_proxy", "127.0.0.1")


def pixels(count: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, 3072), dtype=np.uint8)


def cifar10_files(count: int = 4) -> dict[str, bytes]:
    """Small files in the format of CIFAR-10's Python version."""
    files = {"batches.meta": {"label_names": NAMES, "num_cases_per_batch": count, "num_vis": 3072}}
    for seed, name in enumerate([f"data_batch_{i}" for i in range(1, 6)] + ["test_batch"]):
        labels = [(seed + i) % 10 for i in range(count)]
        files[name] = {"data": pixels(count, seed), "labels": labels, "batch_label": name,
                       "filenames": [f"{i}.png" for i in range(count)]}
    return {name: pickle.dumps(content, protocol=2) for name, content in files.items()}


def write(folder: Path, files: dict[str, bytes]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


def contents(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


# ------------------------------------------------------------------------------------------------------ CIFAR


def test_cifar10(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "cifar-10-batches-py", cifar10_files())
    train, test = datasets.CIFAR10(tmp_path), datasets.CIFAR10(str(tmp_path), train=False)
    expected = np.concatenate([pixels(4, seed) for seed in range(5)]).reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    assert isinstance(train.data, np.ndarray)
    np.testing.assert_array_equal(train.data, expected)
    assert train.data.dtype == np.uint8
    assert (len(train), len(test), test.data.shape) == (20, 4, (4, 32, 32, 3))
    assert train.targets == [(seed + i) % 10 for seed in range(5) for i in range(4)]
    assert train.classes == NAMES
    assert train.class_to_idx["truck"] == 9
    picture, label = train[7]
    assert (picture.mode, picture.size, label) == ("RGB", (32, 32), 4)
    np.testing.assert_array_equal(np.asarray(picture), expected[7])
    assert repr(test) == f"Dataset CIFAR10\n    Number of datapoints: 4\n    Root location: {tmp_path}\n    Split: Test"
    monkeypatch.setenv("FLAMBEAU_DATA", str(tmp_path))
    assert len(datasets.CIFAR10(tmp_path / "elsewhere")) == 20


def test_cifar100_and_the_binary_versions(tmp_path: Path) -> None:
    fine = [f"kind{i}" for i in range(100)]
    content = {"data": pixels(3, 0), "fine_labels": [5, 99, 0], "coarse_labels": [1, 2, 3], "filenames": ["a"] * 3}
    files = {"train": content, "test": content, "meta": {"fine_label_names": fine, "coarse_label_names": ["x"] * 20}}
    write(tmp_path / "py" / "cifar-100-python", {name: pickle.dumps(each, protocol=2) for name, each in files.items()})
    rows = b"".join(bytes([coarse, label]) + row.tobytes()
                    for coarse, label, row in zip((1, 2, 3), (5, 99, 0), pixels(3, 0), strict=True))
    write(tmp_path / "bin" / "cifar-100-binary", {"train.bin": rows, "test.bin": rows,
                                                  "fine_label_names.txt": "\n".join(fine).encode()})
    one, other = datasets.CIFAR100(tmp_path / "py"), datasets.CIFAR100(tmp_path / "bin")
    assert one.targets == other.targets == [5, 99, 0]
    assert one.classes == other.classes == fine
    np.testing.assert_array_equal(one.data, other.data)
    ten = b"".join(bytes([label]) + row.tobytes() for label, row in zip((3, 1, 4), pixels(3, 0), strict=True))
    files = {"test_batch.bin": ten, "batches.meta.txt": "\n".join(NAMES).encode()}
    write(tmp_path / "bin" / "cifar-10-batches-bin", files)
    binary = datasets.CIFAR10(tmp_path / "bin", train=False)
    assert (binary.targets, binary.classes) == ([3, 1, 4], NAMES)
    np.testing.assert_array_equal(binary.data, one.data)


def python2_pickle(data: np.ndarray, labels: list[int]) -> bytes:
    """What Python 2 and its NumPy wrote: strings of bytes where Python 3 has text."""

    def string(value: bytes) -> bytes:
        return b"T" + struct.pack("<i", len(value)) + value

    array = (b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\x00t" + string(b"b") + b"tR(K\x01(M"
             + struct.pack("<H", data.shape[0]) + b"M" + struct.pack("<H", data.shape[1]) + b"tcnumpy\ndtype\n("
             + string(b"u1") + b"K\x00K\x01tR(K\x03" + string(b"|") + b"NNN" + b"J\xff\xff\xff\xff" * 2
             + b"K\x00tb\x89" + string(data.tobytes()) + b"tb")
    numbers = b"](" + b"".join(b"K" + bytes([label]) for label in labels) + b"e"
    return b"\x80\x02}(" + string(b"data") + array + string(b"labels") + numbers + b"u."


def test_a_file_that_python_2_wrote(tmp_path: Path) -> None:
    content = python2_pickle(pixels(3, 9), [1, 2, 3])
    old = pickle.loads(content, encoding="latin1")
    np.testing.assert_array_equal(old["data"], pixels(3, 9))  # the test's own file is what it claims to be
    write(tmp_path / "cifar-10-batches-py", {**cifar10_files(), "test_batch": content})
    dataset = datasets.CIFAR10(tmp_path, train=False)
    np.testing.assert_array_equal(dataset.data.transpose(0, 3, 1, 2).reshape(3, -1), pixels(3, 9))
    assert dataset.targets == [1, 2, 3]


class Attack:
    def __reduce__(self) -> Any:
        return os.system, ("touch attacked",)


@pytest.mark.parametrize(
    "content, text",
    [
        (pickle.dumps({"data": Attack(), "labels": []}, protocol=2), "names .*system"),
        (pickle.dumps([1, 2], protocol=2), "holds a list"),
        (pickle.dumps({"labels": [1]}, protocol=2), '"data" is no uint8 array'),
        (pickle.dumps({"data": pixels(2, 0).astype(np.int64), "labels": [1, 2]}, protocol=2), "no uint8 array"),
        (pickle.dumps({"data": pixels(2, 0).astype(np.float32), "labels": [1, 2]}, protocol=2), "dtype <f4"),
        (pickle.dumps({"data": np.array([None])}, protocol=2), "state that is not one|dtype"),
        (pickle.dumps({"data": pixels(2, 0), "labels": [1]}, protocol=2), "2 pictures, but 1 labels"),
        (pickle.dumps({"data": pixels(2, 0), "labels": [1, 10]}, protocol=2), "from 1 to 10"),
        (pickle.dumps({"data": pixels(2, 0)}, protocol=2), "neither"),
        (cifar10_files()["test_batch"][:-500], "damaged"),
        (b"<html>", "corrupted"),
        (b"", "corrupted"),
    ],
)
def test_damaged_and_dangerous_files_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes, text: str
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = write(tmp_path / "cifar-10-batches-py", {**cifar10_files(), "test_batch": content})
    with pytest.raises(RuntimeError, match=text) as error:
        datasets.CIFAR10(tmp_path, train=False)
    assert str(folder / "test_batch") in str(error.value)
    assert not (tmp_path / "attacked").exists()


def test_missing_files_are_an_error_that_says_where_it_looked(tmp_path: Path) -> None:
    files = cifar10_files()
    del files["data_batch_3"]
    write(tmp_path / "cifar-10-batches-py", files)
    with pytest.raises(RuntimeError, match=r"not found or corrupted. You can use download=True") as error:
        datasets.CIFAR10(tmp_path)
    assert str(tmp_path / "cifar-10-batches-py") in str(error.value)
    assert len(datasets.CIFAR10(tmp_path, train=False)) == 4


@pytest.mark.parametrize("library", ["with Pillow", "without Pillow"])
def test_a_batch_at_once_is_the_batch_one_by_one(tmp_path: Path, monkeypatch: Any, library: str) -> None:
    if library == "without Pillow":
        monkeypatch.setattr(image, "pillow", lambda: None)
    write(tmp_path / "cifar-10-batches-py", cifar10_files())
    chain = transforms.Compose([transforms.ToTensor(), transforms.Normalize((0.4, 0.5, 0.6), (0.2, 0.3, 0.4))])
    for options in ({}, {"target_transform": lambda label: label + 0.5}):
        dataset = datasets.CIFAR10(tmp_path, transform=chain, **options)
        at_once, one_by_one = dataset.__getbatch__([3, 0, 18]), default_collate([dataset[i] for i in (3, 0, 18)])
        for ours, theirs in zip(at_once, one_by_one, strict=True):
            assert ours.dtype == theirs.dtype
            assert flambeau.equal(ours, theirs)
    dataset.data, dataset.targets = dataset.data[:5], dataset.targets[:5]  # as programs cut them
    images, labels = next(iter(DataLoader(dataset, batch_size=5)))
    assert images.shape == (5, 3, 32, 32)
    assert labels.tolist() == [0.5, 1.5, 2.5, 3.5, 1.5]
    dataset.transform = lambda picture: picture.size
    assert dataset.__getbatch__([0]) is NotImplemented


# ------------------------------------------------------------------------------------------------ downloading


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


def tar(files: dict[str, bytes], mode: str = "w:gz") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as archive:  # type: ignore[call-overload]
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def test_cifar_is_downloaded_checked_and_repaired(server: tuple[str, Path], tmp_path: Path, capsys: Any) -> None:
    address, folder = server
    files = cifar10_files()
    archive = tar({f"cifar-10-batches-py/{name}": content for name, content in files.items()})
    (folder / "cifar-10-python.tar.gz").write_bytes(archive)

    def md5(name: str) -> str:
        return hashlib.md5(files[name]).hexdigest()

    class Small(datasets.CIFAR10):
        url = address + "cifar-10-python.tar.gz"
        tgz_md5 = hashlib.md5(archive).hexdigest()
        train_list: ClassVar[list[list[str]]] = [[f"data_batch_{i}", md5(f"data_batch_{i}")] for i in range(1, 6)]
        test_list: ClassVar[list[list[str]]] = [["test_batch", md5("test_batch")]]
        meta: ClassVar[dict[str, str]] = {**datasets.CIFAR10.meta, "md5": md5("batches.meta")}

    class Wrong(Small):
        tgz_md5 = "0" * 32

    root = tmp_path / "root"
    with pytest.raises(RuntimeError, match="checksum"):
        Wrong(root, download=True)
    assert contents(root) == []
    assert len(Small(root, download=True)) == 20
    assert "Downloading cifar-10-python.tar.gz" in capsys.readouterr().err
    expected = ["cifar-10-python.tar.gz", *sorted(f"cifar-10-batches-py/{name}" for name in files)]
    assert contents(root) == sorted(expected)
    assert len(Small(root, train=False, download=True)) == 4  # nothing is fetched twice
    (root / "cifar-10-batches-py" / "test_batch").write_bytes(b"damaged")
    with pytest.raises(RuntimeError, match="corrupted"):
        Small(root, train=False)
    assert len(Small(root, train=False, download=True)) == 4
    assert capsys.readouterr().err == ""  # the archive was still there


def test_kmnist(tmp_path: Path) -> None:
    for name, content in {"images-idx3": struct.pack(">4i", 0x803, 2, 28, 28) + bytes(2 * 784),
                          "labels-idx1": struct.pack(">2i", 0x801, 2) + bytes([9, 3])}.items():
        write(tmp_path / "KMNIST" / "raw", {f"train-{name}-ubyte.gz": gzip.compress(content)})
    dataset = datasets.KMNIST(tmp_path)
    assert dataset.targets.tolist() == [9, 3]
    assert dataset.classes[9] == "wo"
    with pytest.raises(RuntimeError, match="KMNIST: Dataset not found"):
        datasets.KMNIST(tmp_path, train=False)


# ---------------------------------------------------------------------------------------------------- archives


def zipped(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


@pytest.mark.parametrize("name, pack", [("a.zip", zipped), ("a.tar.gz", tar), ("a.tgz", tar),
                                        ("a.tar", lambda files: tar(files, "w")),
                                        ("a.tar.xz", lambda files: tar(files, "w:xz"))])
def test_archives(tmp_path: Path, name: str, pack: Any) -> None:
    (tmp_path / name).write_bytes(pack({"one/two.txt": b"2", "three.txt": b"3"}))
    write(tmp_path / "to" / "one", {"kept.txt": b"k"})
    assert utils.extract_archive(tmp_path / name, tmp_path / "to") == tmp_path / "to"
    assert contents(tmp_path / "to") == ["one/kept.txt", "one/two.txt", "three.txt"]
    utils.extract_archive(tmp_path / name, remove_finished=True)
    assert contents(tmp_path) == ["one/two.txt", "three.txt", "to/one/kept.txt", "to/one/two.txt", "to/three.txt"]


def link(target: str) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        member = tarfile.TarInfo("link")
        member.type, member.linkname = tarfile.SYMTYPE, target
        archive.addfile(member)
    return buffer.getvalue()


BAD_ARCHIVES = {
    "outside": ("a.tar.gz", tar({"good": b"1", "../bad": b"2"})),
    "outside by a detour": ("a.tar.gz", tar({"good": b"1", "x/../../bad": b"2"})),
    "a link to a file": ("a.tar.gz", link("/etc/passwd")), "a link outside": ("a.tar.gz", link("../outside")),
    "outside, zipped": ("a.zip", zipped({"good": b"1", "../bad": b""})),
    "absolute, zipped": ("a.zip", zipped({"good": b"1", "/bad": b"2"})),
    "cut off": ("a.tar.gz", tar({"good": bytes(100_000)})[:-30]),
    "cut off, zipped": ("a.zip", zipped({"good": b"1"})[:-5]),
    "no archive": ("a.tar.gz", b"no archive"), "one file, cut off": ("a.gz", gzip.compress(bytes(9))[:-3]),
    "no xz": ("a.xz", b"no")}


# The names are the tests' names: archives hold the time at which they were made, and so differ between processes.
@pytest.mark.parametrize("name, content", BAD_ARCHIVES.values(), ids=BAD_ARCHIVES)
def test_bad_archives_leave_nothing_behind(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / "from").mkdir()
    path = tmp_path / "from" / name
    path.write_bytes(content)
    with pytest.raises(RuntimeError, match="from"):
        utils.extract_archive(path, tmp_path / "to" / "file")
    assert contents(tmp_path) == [f"from/{name}"]


def test_single_files_and_checksums(tmp_path: Path) -> None:
    (tmp_path / "words.txt.gz").write_bytes(gzip.compress(b"words"))
    assert utils.extract_archive(tmp_path / "words.txt.gz") == tmp_path / "words.txt"
    assert (tmp_path / "words.txt").read_bytes() == b"words"
    digest = hashlib.md5(b"words").hexdigest()
    assert utils.calculate_md5(tmp_path / "words.txt", chunk_size=2) == digest
    assert utils.check_integrity(tmp_path / "words.txt", digest)
    assert utils.check_integrity(tmp_path / "words.txt")
    assert not utils.check_integrity(tmp_path / "words.txt", "0" * 32)
    assert utils.list_files(tmp_path, ".txt") == ["words.txt"]
    assert utils.list_dir(tmp_path.parent, prefix=True)
    with pytest.raises(RuntimeError, match="Unknown compression or archive type"):
        utils.extract_archive(tmp_path / "words.txt")
    for value in ("tset", 3):
        with pytest.raises(ValueError, match="split"):
            utils.verify_str_arg(value, "split", ("train", "test"))  # type: ignore[arg-type]


def test_download_url(server: tuple[str, Path], tmp_path: Path) -> None:
    address, folder = server
    (folder / "a.zip").write_bytes(zipped({"x": b"1"}))
    md5 = utils.calculate_md5(folder / "a.zip")
    utils.download_and_extract_archive(address + "a.zip?version=2", tmp_path / "to", md5=md5)
    assert contents(tmp_path / "to") == ["a.zip", "x"]
    with pytest.raises(RuntimeError, match="404"):
        utils.download_url(address + "absent", tmp_path / "to")


# ------------------------------------------------------------------------------------------------------ folders


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    library = pytest.importorskip("PIL.Image", reason="ImageFolder gives PIL images")
    for number, name in enumerate(["dog/b.png", "dog/a.JPG", "cat/deep/c.png", "cat/a.bmp"]):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        library.new("L" if number else "RGBA", (5, 4), 50 * number).save(path)
    (tmp_path / "dog" / "notes.txt").write_text("no picture")
    (tmp_path / "loose.png").write_text("in no class")
    return tmp_path


def test_image_folder(pictures: Path) -> None:
    dataset = datasets.ImageFolder(pictures, transform=transforms.PILToTensor(), target_transform=lambda label: -label)
    assert dataset.classes == ["cat", "dog"]
    assert dataset.class_to_idx == {"cat": 0, "dog": 1}
    expected = [("cat/a.bmp", 0), ("cat/deep/c.png", 0), ("dog/a.JPG", 1), ("dog/b.png", 1)]
    assert dataset.samples == [(str(pictures / name), label) for name, label in expected]
    assert dataset.imgs is dataset.samples
    assert dataset.targets == [0, 0, 1, 1]
    assert (len(dataset), dataset.extensions) == (4, IMG_EXTENSIONS)
    sample, label = dataset[1]
    assert (sample.shape, int(sample.max()), label) == ((3, 4, 5), 100, 0)
    assert repr(dataset) == (
        f"Dataset ImageFolder\n    Number of datapoints: 4\n    Root location: {pictures}\n    StandardTransform\n"
        f"Transform: PILToTensor()\nTarget transform: {dataset.target_transform!r}"
    )
    images, labels = next(iter(DataLoader(dataset, batch_size=4)))
    assert images.shape == (4, 3, 4, 5)
    assert labels.tolist() == [0, 0, -1, -1]


def test_dataset_folder(pictures: Path) -> None:
    texts = datasets.DatasetFolder(pictures, lambda path: Path(path).read_text(), (".txt",), allow_empty=True)
    assert (len(texts), texts[0]) == (1, ("no picture", 1))
    with pytest.raises(FileNotFoundError, match=r"for the classes cat\. Supported extensions are: \.txt"):
        datasets.DatasetFolder(pictures, open, (".txt",))
    chosen = datasets.ImageFolder(str(pictures), is_valid_file=lambda path: path.endswith("a.bmp") or "b.p" in path)
    assert [os.path.basename(path) for path, _ in chosen.samples] == ["a.bmp", "b.png"]
    assert chosen.extensions is None
    assert chosen[0][0].mode == "RGB"
    with pytest.raises(FileNotFoundError, match="Couldn't find any class folder"):
        find_classes(pictures / "dog")
    for arguments in ({}, {"extensions": (".png",), "is_valid_file": bool}, {"class_to_idx": {}, "extensions": ".png"}):
        with pytest.raises(ValueError, match=r"Both|at least one entry"):
            make_dataset(pictures, **arguments)

    class Dogs(datasets.ImageFolder):
        def find_classes(self, directory: Any) -> Any:
            return ["dog"], {"dog": 7}

    assert Dogs(pictures).targets == [7, 7]


# ------------------------------------------------------------------------------------------------------ the rest


def test_fake_data_has_pytorchs_numbers() -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is the oracle")
    pytest.importorskip("PIL.Image", reason="FakeData gives PIL images")
    flambeau.manual_seed(5)
    before = flambeau.get_rng_state()
    dataset = datasets.FakeData(4, (3, 6, 5), 7, transforms.PILToTensor(), random_offset=11)
    for index in range(4):
        picture, target = dataset[index]
        generator = torch.Generator().manual_seed(index + 11)
        expected = torch.randn(3, 6, 5, generator=generator).mul(255).byte()
        assert picture.tolist() == expected.tolist()
        assert target == int(torch.randint(0, 7, (1,), generator=generator)[0])
        assert type(target) is int
    assert flambeau.equal(flambeau.get_rng_state(), before)
    assert len(list(dataset)) == 4  # the index error ends the loop


def test_without_pillow_the_error_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    write(tmp_path / "class", {"picture.png": b"never read"})
    monkeypatch.setattr(image, "pillow", lambda: None)
    zeros = flambeau.zeros(3, 4, 4, dtype=flambeau.uint8)
    for call in (lambda: datasets.FakeData(1, (3, 4, 4))[0], lambda: datasets.ImageFolder(tmp_path)[0],
                 lambda: io_.encode_png(zeros), lambda: io_.decode_image(zeros.flatten()),
                 lambda: draw_bounding_boxes(zeros, flambeau.tensor([[0, 0, 1, 1]]), colors="red")):
        with pytest.raises(ModuleNotFoundError, match=r"pip install 'flambeau\[vision\]'"):
            call()


def test_a_joint_transform() -> None:
    class Pairs(datasets.VisionDataset):
        def __getitem__(self, index: int) -> Any:
            return self.transforms(index, -index)

        def __len__(self) -> int:
            return 3

    swap = Pairs("~/data", lambda sample, target: (target, sample))
    assert swap[2] == (-2, 2)
    assert swap.root == os.path.expanduser("~/data")
    assert swap.transform is None
    both = Pairs(transform=str, target_transform=abs)
    assert both[2] == ("2", 2)
    assert repr(both) == ("Dataset Pairs\n    Number of datapoints: 3\n    StandardTransform\n"
                          "Transform: <class 'str'>\nTarget transform: <built-in function abs>")
    assert repr(Pairs()) == "Dataset Pairs\n    Number of datapoints: 3"
    with pytest.raises(ValueError, match="Only transforms or transform/target_transform"):
        Pairs(transforms=swap.transforms, transform=str)
