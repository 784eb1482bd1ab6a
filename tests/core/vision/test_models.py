"""vision.models: PyTorch's files of parameters fit, name for name, and give PyTorch's outputs and gradients."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import flambeau
from flambeau import nn
from flambeau.vision import models
from flambeau.vision.models.googlenet import rescaled
from flambeau.vision.models.resnet import Bottleneck
from flambeau.vision.models.vision_transformer import ConvStemConfig

torch = pytest.importorskip("torch", reason="PyTorch is the oracle")
import torch_models as oracle_models  # noqa: E402 -- it imports PyTorch

PLAIN: dict[str, dict[str, Any]] = {"googlenet": {"aux_logits": False, "init_weights": False}}
SIZES = {"vit_h_14": 518}  # where the best parameters are for pictures of another size than 224


@pytest.fixture
def unborn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Models whose parameters are not drawn: what is loaded replaces them, and untouched memory costs nothing."""
    for name in "kaiming_uniform_ kaiming_normal_ xavier_uniform_ uniform_ normal_ trunc_normal_".split():
        monkeypatch.setattr(nn.init, name, lambda tensor, *args, **kwargs: tensor)
    monkeypatch.setattr(flambeau.Tensor, "normal_", lambda tensor, *args, **kwargs: tensor)


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def picture(*shape: int, seed: int = 0) -> Any:
    return np.random.default_rng(seed).standard_normal(shape).astype("float32")


def outputs(theirs: Any, ours: Any, x: Any) -> tuple[Any, Any]:
    with torch.no_grad(), flambeau.no_grad():
        return theirs(torch.from_numpy(x)).numpy(), ours.eval()(flambeau.from_numpy(x)).numpy()


def assert_close(ours: Any, theirs: Any, tolerance: float = 1e-4) -> None:
    assert ours.shape == theirs.shape
    assert np.isfinite(theirs).all() and np.ptp(theirs) > 0
    assert np.abs(ours - theirs).max() <= tolerance * max(1.0, np.abs(theirs).max())


def copied(theirs: Any) -> dict[str, Any]:
    return {name: flambeau.from_numpy(value.numpy()) for name, value in theirs.state_dict().items()}


# ---------------------------------------------------------------------------------------- names, shapes and numbers


def layout(state: Any) -> list[tuple[str, tuple[int, ...], str]]:
    return [(name, tuple(value.shape), str(value.dtype).rpartition(".")[2]) for name, value in state.items()]


def test_names_shapes_and_counts_are_those_of_the_published_files(unborn: None):
    assert sorted(oracle_models.MODELS) == models.list_models()
    for name, make in oracle_models.MODELS.items():
        options = {"image_size": SIZES[name]} if name in SIZES else {}
        with torch.device("meta"):
            theirs = make(**options)
        ours = models.get_model(name, **options, **PLAIN.get(name, {}))
        assert layout(ours.state_dict()) == layout(theirs.state_dict()), name
        assert [each for each, _ in ours.named_parameters()] == [each for each, _ in theirs.named_parameters()]
        known = models.get_model_weights(name).DEFAULT.meta
        assert sum(parameter.numel() for parameter in ours.parameters()) == known["num_params"], name
        assert len(known["categories"]) == 1000


REAL = ("resnet18 resnet50 resnext50_32x4d densenet121 squeezenet1_0 squeezenet1_1 mobilenet_v2 mobilenet_v3_large "
        "mobilenet_v3_small efficientnet_b0 googlenet")  # fmt: skip


@pytest.mark.parametrize("name", REAL.split())
def test_file_from_pytorch_gives_its_outputs(name: str, unborn: None, tmp_path: Path):
    theirs = oracle_models.born(name)
    torch.save(theirs.state_dict(), tmp_path / "model.pth")
    ours = models.get_model(name, weights=tmp_path / "model.pth", **PLAIN.get(name, {}))
    x = picture(2, 3, 64, 64)
    expected, found = outputs(theirs, ours, x)
    assert found.shape == (2, 1000)
    assert_close(found, expected)
    del theirs
    again = ours.state_dict()
    for key, value in torch.load(tmp_path / "model.pth").items():
        assert np.array_equal(again[key].numpy(), value.numpy()), key


@pytest.mark.parametrize("name", ["vgg11", "vgg16_bn", "alexnet"])
def test_features_of_large_models(name: str, unborn: None):
    """The convolutions as they are; the linear layers, which have a hundred million parameters, smaller."""
    with torch.device("meta"):
        theirs = oracle_models.MODELS[name]()
    ours = models.get_model(name)
    width = theirs.classifier[0 if name != "alexnet" else 1].in_features
    for library, model in ((torch, theirs), (flambeau, ours)):
        places = [i for i, layer in enumerate(model.classifier) if isinstance(layer, library.nn.Linear)]
        for place, (before, after) in zip(places, ((width, 16), (16, 16), (16, 10)), strict=True):
            model.classifier[place] = library.nn.Linear(before, after)
    theirs = oracle_models.shuffle(theirs.to_empty(device="cpu"))
    ours.load_state_dict(copied(theirs))
    expected, found = outputs(theirs, ours, picture(1, 3, 64, 64))
    assert_close(found, expected)


def test_vision_transformer(unborn: None):
    theirs = oracle_models.born("vit_b_16", image_size=32)
    ours = models.vit_b_16(image_size=32)
    ours.load_state_dict(copied(theirs))
    expected, found = outputs(theirs, ours, picture(2, 3, 32, 32))
    assert_close(found, expected)


def test_vision_transformer_with_all_its_patches():
    theirs = oracle_models.shuffle(oracle_models.vit(16, 2, 3, 96, 224))
    ours = models.VisionTransformer(224, 16, 2, 3, 96, 384)
    ours.load_state_dict(copied(theirs))
    expected, found = outputs(theirs, ours, picture(1, 3, 224, 224))
    assert_close(found, expected)
    with pytest.raises(RuntimeError, match=r"Wrong image width! Expected 224 but got 208"):
        ours(flambeau.zeros(1, 3, 224, 208))


# ------------------------------------------------------------------------------------------------------- training


def trained(theirs: Any, ours: Any, x: Any) -> tuple[float, float]:
    """The losses of one batch, with gradients and statistics left in the models; dropout draws the same numbers."""
    losses = []
    for library, model in ((torch, theirs), (flambeau, ours)):
        library.manual_seed(5)
        model.train()
        target = library.arange(len(x)) * 100
        loss = library.nn.functional.cross_entropy(model(library.from_numpy(x)), target)
        loss.backward()
        losses.append(loss.item())
    return losses[0], losses[1]


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v3_small"])
def test_training_step_is_pytorchs(name: str, unborn: None):
    """In single precision the losses agree; the gradients, which rounding changes where a ReLU is about to switch, are
    compared in double precision."""
    theirs = oracle_models.born(name, seed=1)
    ours = models.get_model(name)
    ours.load_state_dict(copied(theirs))
    expected, found = trained(theirs, ours, picture(4, 3, 64, 64))
    assert found == pytest.approx(expected, rel=1e-5)
    theirs.double().zero_grad()
    ours.load_state_dict(copied(theirs))
    ours.double().zero_grad()
    expected, found = trained(theirs, ours, picture(4, 3, 64, 64).astype("float64"))
    assert found == pytest.approx(expected, rel=1e-9)
    wanted = {key: parameter.grad.numpy() for key, parameter in theirs.named_parameters()}
    scale = max(np.abs(each).max() for each in wanted.values())
    for key, parameter in ours.named_parameters():
        gradient = parameter.grad.numpy()
        assert np.abs(gradient - wanted[key]).max() <= 1e-6 * max(np.abs(wanted[key]).max(), 1e-3 * scale), key
    buffers = dict(ours.named_buffers())
    for key, value in theirs.named_buffers():
        assert np.allclose(buffers[key].numpy(), value.numpy(), rtol=1e-6, atol=1e-9), key


def test_googlenet_in_training_has_auxiliary_outputs():
    model = models.GoogLeNet(num_classes=7, init_weights=False)
    result = model(flambeau.zeros(2, 3, 64, 64))
    assert isinstance(result, models.GoogLeNetOutputs)
    assert [tuple(each.shape) for each in result] == [(2, 7)] * 3
    assert tuple(model.eval()(flambeau.zeros(2, 3, 64, 64)).shape) == (2, 7)
    x = flambeau.from_numpy(picture(1, 3, 2, 2))
    for channel, (mean, deviation) in enumerate(((0.485, 0.229), (0.456, 0.224), (0.406, 0.225))):
        wanted = (x[:, channel] * deviation + mean - 0.5) / 0.5  # from ImageNet's scale to -1..1
        assert flambeau.allclose(rescaled(x)[:, channel], wanted, atol=1e-6)
    with pytest.warns(FutureWarning, match="init_weights=True"):
        models.googlenet(aux_logits=False, num_classes=2)


def test_infinite_pictures_give_nan_without_a_word():
    """As in PyTorch: no warning of NumPy's reaches the user, forward or backward."""
    flambeau.manual_seed(0)
    model = models.AlexNet(num_classes=3).features[:4].append(nn.Flatten()).append(nn.Linear(192 * 49, 2))
    result = model(flambeau.full((2, 3, 63, 63), float("inf")))
    result.sum().backward()
    assert result.isnan().all() and model[0].weight.grad.isnan().any()


def test_densenet_can_save_memory():
    flambeau.manual_seed(0)
    plain = models.DenseNet(4, (2, 2), 8, num_classes=3)
    saving = models.DenseNet(4, (2, 2), 8, num_classes=3, memory_efficient=True)
    saving.load_state_dict(plain.state_dict())
    x = flambeau.from_numpy(picture(4, 3, 32, 32))
    gradients = []
    for model in (plain, saving):
        model(x.clone().requires_grad_()).square().sum().backward()
        gradients.append([parameter.grad for parameter in model.parameters()])
    for one, other in zip(*gradients, strict=True):
        assert flambeau.allclose(one, other, rtol=1e-4, atol=1e-6)


# ------------------------------------------------------------------------------------------------- starting values


def test_starting_values_are_the_papers():
    """Spread of the weights by kind of layer; the normalisations are the identity."""
    flambeau.manual_seed(0)

    def spread(weight: Any) -> float:
        return weight.std().item()

    resnet = models.resnet18(num_classes=10, zero_init_residual=True)
    weight = resnet.layer4[0].conv2.weight
    assert spread(weight) == pytest.approx((2 / (512 * 9)) ** 0.5, rel=0.02)
    assert resnet.layer1[0].bn2.weight.tolist() == [0.0] * 64 and resnet.bn1.weight.tolist() == [1.0] * 64
    dense = models.DenseNet(8, (2,), 64, num_classes=10)
    assert spread(dense.features.conv0.weight) == pytest.approx((2 / (3 * 49)) ** 0.5, rel=0.05)
    assert dense.classifier.bias.tolist() == [0.0] * 10
    mobile = models.mobilenet_v3_small()
    assert spread(mobile.classifier[0].weight) == pytest.approx(0.01, rel=0.02)
    assert mobile.classifier[0].bias.abs().max().item() == 0
    efficient = models.efficientnet_b0(num_classes=16)
    assert efficient.classifier[1].weight.abs().max().item() == pytest.approx(0.25, rel=0.01)
    assert efficient.features[0][0].weight.std().item() == pytest.approx((2 / (32 * 9)) ** 0.5, rel=0.06)
    squeeze = models.squeezenet1_1(num_classes=10)
    assert spread(squeeze.classifier[1].weight) == pytest.approx(0.01, rel=0.05)
    vit = models.VisionTransformer(32, 8, 1, 2, 64, 128, num_classes=10, representation_size=32)
    assert spread(vit.conv_proj.weight) == pytest.approx((1 / (3 * 64)) ** 0.5, rel=0.03)
    assert vit.heads.head.weight.abs().max().item() == 0 and spread(vit.encoder.pos_embedding) < 0.025
    assert 0 < vit.encoder.layers[0].mlp[0].bias.abs().max().item() < 1e-5


def test_same_seed_same_model():
    drawn = []
    for _ in range(2):
        flambeau.manual_seed(4)
        drawn.append(models.mobilenet_v3_small(num_classes=3).state_dict())
    assert all(flambeau.equal(value, drawn[1][key]) for key, value in drawn[0].items())


# ---------------------------------------------------------------------------------------------------- configurations


def test_resnet_with_dilation_and_other_normalisations():
    model = models.ResNet(Bottleneck, [1, 1, 1, 2], 4, replace_stride_with_dilation=[False, True, True])
    features = nn.Sequential(*list(model.children())[:-2])
    assert tuple(features(flambeau.zeros(1, 3, 64, 64)).shape) == (1, 2048, 8, 8)
    assert model.layer4[1].conv2.dilation == (4, 4) and model.layer4[0].conv2.dilation == (2, 2)
    grouped = models.resnet18(norm_layer=functools.partial(nn.GroupNorm, 8), num_classes=2)
    assert "bn1.running_mean" not in grouped.state_dict()
    with pytest.raises(NotImplementedError, match="Dilation > 1"):
        models.resnet18(replace_stride_with_dilation=[False, False, True])
    with pytest.raises(ValueError, match="3-element"):
        models.resnet50(replace_stride_with_dilation=[True])
    with pytest.raises(ValueError, match="groups=1"):
        models.resnet18(groups=2)


def test_mobilenets_with_other_widths(unborn: None):
    assert models.mobilenet_v2(width_mult=0.5, num_classes=2).features[18][0].out_channels == 1280
    large = models.mobilenet_v3_large(reduced_tail=True, dilated=True, width_mult=0.5, num_classes=2)
    assert large.classifier[0].out_features == 320 and large.features[13].block[1][0].dilation == (2, 2)
    with pytest.raises(ValueError, match="4-element"):
        models.mobilenet_v2(inverted_residual_setting=[[1, 2, 3]])
    with pytest.raises(TypeError, match="List"):
        models.MobileNetV3([(1, 2)], 8)
    with pytest.raises(ValueError, match="empty"):
        models.EfficientNet([], 0.2)
    with pytest.raises(ValueError, match="1_0 or 1_1"):
        models.SqueezeNet("2_0")


def test_vision_transformer_with_convolutional_stem_and_hidden_layer():
    stem = [ConvStemConfig(8, 3, 2), ConvStemConfig(16, 3, 2), ConvStemConfig(16, 3, 2)]
    model = models.VisionTransformer(32, 8, 1, 2, 16, 32, num_classes=5, representation_size=12, conv_stem_configs=stem)
    assert tuple(model(flambeau.zeros(2, 3, 32, 32)).shape) == (2, 5)
    names = [name for name, _ in model.named_children()]
    assert names == ["conv_proj", "encoder", "heads"]
    assert list(model.heads._modules) == ["pre_logits", "act", "head"]
    assert "conv_proj.conv_bn_relu_0.1.running_mean" in model.state_dict()


def test_embeddings_for_another_size_of_picture():
    model = models.VisionTransformer(32, 8, 1, 2, 16, 32, num_classes=5)
    state = models.interpolate_embeddings(64, 8, model.state_dict())
    larger = models.VisionTransformer(64, 8, 1, 2, 16, 32, num_classes=5)
    larger.load_state_dict(state)
    before = torch.from_numpy(model.encoder.pos_embedding.detach().numpy())
    grid = before[:, 1:].permute(0, 2, 1).reshape(1, 16, 4, 4)
    grid = torch.nn.functional.interpolate(grid, (8, 8), mode="bicubic", align_corners=True)
    wanted = torch.cat([before[:, :1], grid.reshape(1, 16, 64).permute(0, 2, 1)], 1).numpy()
    assert np.allclose(larger.encoder.pos_embedding.detach().numpy(), wanted, atol=1e-6)
    assert not any(key.startswith("heads") for key in models.interpolate_embeddings(32, 8, state, reset_heads=True))
    state["encoder.pos_embedding"] = state["encoder.pos_embedding"][:, :-1]
    with pytest.raises(ValueError, match="perfect square"):
        models.interpolate_embeddings(32, 8, state)


# -------------------------------------------------------------------------------------------------- names from before


def test_densenet_takes_the_old_names_of_layers():
    model = models.DenseNet(4, (2, 1), 8, num_classes=3)
    old = {}
    for key, value in model.state_dict().items():
        for kind in ("norm", "relu", "conv"):
            for number in "12":
                if "denselayer" in key:
                    key = key.replace(f".{kind}{number}.", f".{kind}.{number}.")
        old[key] = value
    assert "features.denseblock1.denselayer1.norm.1.running_mean" in old
    other = models.DenseNet(4, (2, 1), 8, num_classes=3)
    assert str(other.load_state_dict(old)) == "<All keys matched successfully>"
    assert flambeau.equal(other.features.denseblock1.denselayer2.conv2.weight,
                          model.features.denseblock1.denselayer2.conv2.weight)  # fmt: skip


def test_vision_transformer_takes_the_old_names_of_linear_layers():
    model = models.VisionTransformer(32, 8, 1, 2, 16, 32, num_classes=3)
    state = dict(model.state_dict())
    for place, number in ((0, 1), (3, 2)):
        for kind in ("weight", "bias"):
            prefix = "encoder.layers.encoder_layer_0.mlp."
            state[f"{prefix}linear_{number}.{kind}"] = state.pop(f"{prefix}{place}.{kind}")
    other = models.VisionTransformer(32, 8, 1, 2, 16, 32, num_classes=3)
    other.load_state_dict(state)
    assert flambeau.equal(other.encoder.layers[0].mlp[3].weight, model.encoder.layers[0].mlp[3].weight)


def test_repr_is_pytorchs(oracle: ModuleType):
    ours, theirs = models.squeezenet1_1().classifier, oracle_models.squeezenet(64, 3, "-11-22-3344").classifier
    assert repr(ours).startswith(repr(theirs).removesuffix("\n)").replace("ReLU()", "ReLU(inplace=True)"))
