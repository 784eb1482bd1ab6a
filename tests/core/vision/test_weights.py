"""vision.models: parameters by name, from files and over the network; models by name; how pictures are prepared."""

from __future__ import annotations

import copy
import hashlib
import pickle
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import flambeau
from flambeau import nn
from flambeau.vision import models
from flambeau.vision.models import ResNet18_Weights, ResNet50_Weights, SqueezeNet1_1_Weights
from web_server import serving


@pytest.fixture
def unborn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Models whose parameters are not drawn: what is loaded replaces them."""
    for name in "kaiming_uniform_ kaiming_normal_ uniform_ normal_".split():
        monkeypatch.setattr(nn.init, name, lambda tensor, *args, **kwargs: tensor)


# -------------------------------------------------------------------------------------------------------- enumerations


def test_members_of_the_enumerations():
    assert ResNet50_Weights.DEFAULT is ResNet50_Weights.IMAGENET1K_V2
    assert list(ResNet50_Weights) == [ResNet50_Weights.IMAGENET1K_V1, ResNet50_Weights.IMAGENET1K_V2]
    assert repr(ResNet18_Weights.DEFAULT) == str(ResNet18_Weights.DEFAULT) == "ResNet18_Weights.IMAGENET1K_V1"
    assert ResNet18_Weights.DEFAULT.url == "https://download.pytorch.org/models/resnet18-f37072fd.pth"
    meta = ResNet50_Weights.IMAGENET1K_V2.meta
    assert meta["num_params"] == 25557032 and meta["min_size"] == (1, 1)
    assert meta["_metrics"] == {"ImageNet-1K": {"acc@1": 80.858, "acc@5": 95.434}}
    categories = meta["categories"]
    assert [categories[i] for i in (0, 281, 388, 999)] == ["tench", "tabby", "giant panda", "toilet tissue"]
    for again in (copy.deepcopy(ResNet18_Weights.DEFAULT), pickle.loads(pickle.dumps(ResNet18_Weights.DEFAULT))):
        assert again is ResNet18_Weights.DEFAULT


def test_verify_takes_members_and_their_names():
    assert ResNet18_Weights.verify(None) is None
    for given in ("DEFAULT", "IMAGENET1K_V1", "ResNet18_Weights.DEFAULT", ResNet18_Weights.DEFAULT):
        assert ResNet18_Weights.verify(given) is ResNet18_Weights.IMAGENET1K_V1
    with pytest.raises(KeyError, match=r"no 'IMAGENET1K_V2'; it has IMAGENET1K_V1, DEFAULT"):
        ResNet18_Weights.verify("IMAGENET1K_V2")
    with pytest.raises(TypeError, match="expected ResNet18_Weights but received ResNet50_Weights"):
        ResNet18_Weights.verify(ResNet50_Weights.DEFAULT)


def test_files_of_all_parameters_have_a_checksum_in_their_name():
    urls = [member.url for name in models.list_models() for member in models.get_model_weights(name)]
    assert len(set(urls)) == len(urls) > 50
    for url in urls:
        assert url.startswith("https://download.pytorch.org/models/") and url.endswith(".pth")
        assert len(bytes.fromhex(url.removesuffix(".pth").rpartition("-")[2])) == 4


# ------------------------------------------------------------------------------------------------------ models by name


def test_models_by_name():
    names = models.list_models()
    assert names == sorted(names) and len(names) >= 45
    assert models.list_models(module=models) == names and models.list_models(module=models.resnet) == []
    assert models.list_models(include="resnet*", exclude=["*50", "resnet1*"]) == ["resnet34"]
    assert models.list_models(include=["vit_b*", "vit_h*"]) == ["vit_b_16", "vit_b_32", "vit_h_14"]
    assert models.get_model_builder("ResNet50") is models.resnet50
    assert models.get_model_weights(models.resnet50) is models.get_model_weights("resnet50") is ResNet50_Weights
    assert models.get_weight("ResNet50_Weights.IMAGENET1K_V1") is ResNet50_Weights.IMAGENET1K_V1
    assert models.get_model("squeezenet1_0", weights=None, num_classes=3).num_classes == 3
    with pytest.raises(ValueError, match="Unknown model resnet7"):
        models.get_model("resnet7")
    with pytest.raises(ValueError, match="Invalid weight name"):
        models.get_weight("ResNet50_Weights")
    with pytest.raises(ValueError, match="couldn't be retrieved"):
        models.get_weight("ResNet7_Weights.DEFAULT")


def test_every_name_is_public_once():
    assert len(set(models.__all__)) == len(models.__all__)
    assert [name for name in models.__all__ if not hasattr(models, name)] == []
    assert set(models.list_models()) <= set(models.__all__)
    import flambeau.vision as vision

    assert {"datasets", "models", "ops", "transforms"} <= set(dir(vision))
    with pytest.raises(AttributeError, match=r"it has .*models"):
        vision.modles


# ------------------------------------------------------------------------------------------------ files on this machine


def test_parameters_from_a_file(unborn: None, tmp_path: Path):
    safetensors = pytest.importorskip("safetensors.numpy", reason="writes the other kind of file")
    born = models.squeezenet1_1(num_classes=3)
    flambeau.manual_seed(0)
    for parameter in born.parameters():
        parameter.data.uniform_(-1, 1)
    state = born.state_dict()
    flambeau.save(state, tmp_path / "plain.pth")
    flambeau.save({"epoch": 3, "state_dict": state}, tmp_path / "training.pt")
    safetensors.save_file({key: value.numpy() for key, value in state.items()}, tmp_path / "other.safetensors")
    for name in ("plain.pth", "training.pt", "other.safetensors"):
        for weights in (tmp_path / name, str(tmp_path / name)):
            model = models.squeezenet1_1(weights=weights, num_classes=3)
            assert all(flambeau.equal(value, state[key]) for key, value in model.state_dict().items())
    with pytest.raises(RuntimeError, match=r"size mismatch for classifier\.1\.weight"):
        models.squeezenet1_1(weights=tmp_path / "plain.pth")
    with pytest.raises(FileNotFoundError):
        models.squeezenet1_1(weights="absent.pth")


# ---------------------------------------------------------------------------------------------------- over the network


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, Path]]:
    """The address of a server and the folder that it serves; downloads go into a folder of the test."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "home"))
    folder = tmp_path / "served"
    folder.mkdir()
    with serving(folder) as address:
        yield address, folder


@pytest.fixture
def published(server: tuple[str, Path], monkeypatch: pytest.MonkeyPatch, unborn: None) -> tuple[Path, dict[str, Any]]:
    """SqueezeNet's parameters where the enumeration says that they are: the served file and its content."""
    address, folder = server
    model = models.squeezenet1_1()
    for parameter in model.parameters():
        parameter.data.fill_(0.5)
    flambeau.save(model.state_dict(), folder / "new.pth")
    digest = hashlib.sha256((folder / "new.pth").read_bytes()).hexdigest()
    path = (folder / "new.pth").rename(folder / f"squeezenet1_1-{digest[:8]}.pth")
    monkeypatch.setattr(SqueezeNet1_1_Weights.DEFAULT.value, "url", address + path.name)
    return path, model.state_dict()


@pytest.mark.parametrize("weights", [SqueezeNet1_1_Weights.DEFAULT, "DEFAULT", "IMAGENET1K_V1"])
def test_parameters_are_downloaded_once(weights: Any, published: Any, tmp_path: Path, capsys: Any):
    path, state = published
    model = models.squeezenet1_1(weights=weights)
    assert all(flambeau.equal(value, state[key]) for key, value in model.state_dict().items())
    kept = tmp_path / "home" / "hub" / "checkpoints"
    assert [each.name for each in kept.iterdir()] == [path.name]
    assert "Downloading" in capsys.readouterr().err
    path.unlink()
    models.get_model("squeezenet1_1", weights=weights)
    assert capsys.readouterr().err == ""
    with pytest.raises(ValueError, match="'num_classes' expected value 1000 but got 10"):
        models.squeezenet1_1(weights=weights, num_classes=10)


@pytest.mark.parametrize("harm", ["changed", "absent"])
def test_what_cannot_be_had_leaves_nothing(harm: str, published: Any, tmp_path: Path):
    path, _ = published
    kind: Any = OSError
    if harm == "changed":
        path.write_bytes(path.read_bytes()[:-1] + b"?")
        kind = RuntimeError
    else:
        path.unlink()
    with pytest.raises(kind, match="invalid hash value" if harm == "changed" else "404"):
        models.squeezenet1_1(weights="DEFAULT", progress=False)
    assert list((tmp_path / "home" / "hub" / "checkpoints").iterdir()) == []


def test_the_way_it_was_said_before(published: Any):
    _, state = published
    with warnings.catch_warnings(record=True) as record:
        warnings.simplefilter("always")
        model = models.squeezenet1_1(pretrained=True)
        other = models.squeezenet1_1(True, False)
    for each in (model, other):
        assert flambeau.equal(each.features[0].weight, state["features.0.weight"])
    texts = [str(each.message) for each in record]
    for part in ("'pretrained' is deprecated", "weights=SqueezeNet1_1_Weights.IMAGENET1K_V1", "positional"):
        assert any(part in each for each in texts)
    assert {each.category for each in record} == {UserWarning}
    assert {Path(each.filename).name for each in record} == {Path(__file__).name}
    with pytest.warns(UserWarning, match="'pretrained' is deprecated"):
        models.squeezenet1_1(pretrained=False, num_classes=2)
    with pytest.raises(TypeError, match="at most 2 positional"):
        models.squeezenet1_1(None, True, 10)


# ----------------------------------------------------------------------------------------------------------- pictures


def test_how_pictures_are_prepared(oracle: Any):
    prepare = ResNet50_Weights.IMAGENET1K_V2.transforms()
    assert (prepare.crop_size, prepare.resize_size, prepare.mean) == ([224], [232], [0.485, 0.456, 0.406])
    assert "resize_size=[232]" in repr(prepare) and prepare.interpolation.value == "bilinear"
    pixels = np.random.default_rng(0).integers(0, 256, (2, 3, 300, 341), dtype="uint8")
    found = prepare(flambeau.from_numpy(pixels))
    middle = oracle.nn.functional.interpolate(
        oracle.from_numpy(pixels).float(), (232, 263), mode="bilinear", antialias=True).round() / 255
    mean, deviation = (oracle.tensor(each).reshape(-1, 1, 1) for each in (prepare.mean, prepare.std))
    wanted = (middle[..., 4:228, 20:244] - mean) / deviation
    assert tuple(found.shape) == (2, 3, 224, 224)
    assert np.abs(found.numpy() - wanted.numpy()).max() < 0.02 and np.abs(found.numpy() - wanted.numpy()).mean() < 1e-5
    small = models.EfficientNet_B0_Weights.DEFAULT.transforms()(flambeau.rand(3, 50, 20))
    assert tuple(small.shape) == (3, 224, 224)


def test_pictures_of_pil():
    library = pytest.importorskip("PIL.Image", reason="these pictures are PIL's")
    prepare = ResNet18_Weights.DEFAULT.transforms()
    found = prepare(library.new("RGB", (300, 400), (255, 0, 51)))
    assert tuple(found.shape) == (3, 224, 224)
    assert found[:, 0, 0].tolist() == pytest.approx([(1 - 0.485) / 0.229, -0.456 / 0.224, (0.2 - 0.406) / 0.225])
