"""The oracle's models: the papers' networks once more, for PyTorch alone, with the names that published files use.

They share nothing with `flambeau.vision.models`, and are written in another way on purpose (named parts and a function
that runs them, sizes computed from the papers' tables), so that a wrong name, shape, order or operation on either side
shows as a difference. `MODELS` finds them by name.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F


class Net(nn.Module):
    """Parts under their names, in their order, and the function that runs them."""

    def __init__(self, run: Callable[[Any, Any], Any], /, **parts: Any):
        super().__init__()
        self.run = run
        for name, part in parts.items():
            if part is not None:
                setattr(self, name, part)

    def forward(self, x: Any) -> Any:
        return self.run(self, x)


def chain(*parts: nn.Module | None) -> nn.Sequential:
    return nn.Sequential(*(part for part in parts if part is not None))


def numbered(parts: dict[str, nn.Module]) -> nn.Sequential:
    whole = nn.Sequential()
    for name, part in parts.items():
        whole.add_module(name, part)
    return whole


def classify(net: Any, x: torch.Tensor) -> torch.Tensor:
    """Features, the mean of each channel, a classifier."""
    return net.classifier(net.features(x).mean((2, 3)))


# ---------------------------------------------------------------------------------------------------------- ResNet


def run_residual(net: Any, x: torch.Tensor) -> torch.Tensor:
    out = F.relu(net.bn1(net.conv1(x)))
    out = net.bn2(net.conv2(out))
    if hasattr(net, "conv3"):
        out = net.bn3(net.conv3(F.relu(out)))
    return F.relu(out + (net.downsample(x) if hasattr(net, "downsample") else x))


def residual(before: int, planes: int, stride: int, deep: bool, groups: int, width: int) -> Net:
    def conv(n: int, m: int, k: int, s: int = 1, g: int = 1) -> nn.Conv2d:
        return nn.Conv2d(n, m, k, s, k // 2, groups=g, bias=False)

    after = planes * (4 if deep else 1)
    down = chain(conv(before, after, 1, stride), nn.BatchNorm2d(after)) if stride > 1 or before != after else None
    if not deep:
        return Net(run_residual, conv1=conv(before, planes, 3, stride), bn1=nn.BatchNorm2d(planes),
                   conv2=conv(planes, planes, 3), bn2=nn.BatchNorm2d(planes), downsample=down)  # fmt: skip
    middle = planes * width * groups // 64
    return Net(run_residual, conv1=conv(before, middle, 1), bn1=nn.BatchNorm2d(middle),
               conv2=conv(middle, middle, 3, stride, groups), bn2=nn.BatchNorm2d(middle), conv3=conv(middle, after, 1),
               bn3=nn.BatchNorm2d(after), downsample=down)  # fmt: skip


def run_resnet(net: Any, x: torch.Tensor) -> torch.Tensor:
    x = F.max_pool2d(F.relu(net.bn1(net.conv1(x))), 3, 2, 1)
    return net.fc(net.layer4(net.layer3(net.layer2(net.layer1(x)))).mean((2, 3)))


def resnet(counts: str, deep: bool, groups: int = 1, width: int = 64) -> Net:
    channels = 64
    stages = {}
    for i, count in enumerate(map(int, counts.split())):
        blocks = []
        for j in range(count):
            stride = 2 if i > 0 and j == 0 else 1
            blocks.append(residual(channels, 64 << i, stride, deep, groups, width))
            channels = (64 << i) * (4 if deep else 1)
        stages[f"layer{i + 1}"] = chain(*blocks)
    return Net(run_resnet, conv1=nn.Conv2d(3, 64, 7, 2, 3, bias=False), bn1=nn.BatchNorm2d(64), **stages,
               fc=nn.Linear(channels, 1000))  # fmt: skip


# ------------------------------------------------------------------------------------------- VGG, AlexNet, SqueezeNet


def vgg(plan: str, norm: bool, divide: int = 1) -> Net:
    """`plan` names the channels of each convolution in units of 64, with a dash for a pooling."""
    layers: list[nn.Module] = []
    channels = 3
    for step in plan:
        if step == "-":
            layers.append(nn.MaxPool2d(2))
            continue
        size = 64 * int(step) // divide
        layers += [nn.Conv2d(channels, size, 3, padding=1), *([nn.BatchNorm2d(size)] if norm else []), nn.ReLU()]
        channels = size
    head = chain(nn.Linear(512 * 49, 4096), nn.ReLU(), nn.Dropout(), nn.Linear(4096, 4096), nn.ReLU(), nn.Dropout(),
                 nn.Linear(4096, 1000))  # fmt: skip
    return Net(run_vgg, features=chain(*layers), classifier=head)


def run_vgg(net: Any, x: torch.Tensor) -> torch.Tensor:
    return net.classifier(F.adaptive_avg_pool2d(net.features(x), 7).flatten(1))


def alexnet() -> Net:
    features = chain(
        nn.Conv2d(3, 64, 11, 4, 2), nn.ReLU(), nn.MaxPool2d(3, 2), nn.Conv2d(64, 192, 5, 1, 2), nn.ReLU(),
        nn.MaxPool2d(3, 2), nn.Conv2d(192, 384, 3, 1, 1), nn.ReLU(), nn.Conv2d(384, 256, 3, 1, 1), nn.ReLU(),
        nn.Conv2d(256, 256, 3, 1, 1), nn.ReLU(), nn.MaxPool2d(3, 2))  # fmt: skip
    head = chain(nn.Dropout(), nn.Linear(256 * 36, 4096), nn.ReLU(), nn.Dropout(), nn.Linear(4096, 4096), nn.ReLU(),
                 nn.Linear(4096, 1000))  # fmt: skip
    return Net(lambda net, x: net.classifier(F.adaptive_avg_pool2d(net.features(x), 6).flatten(1)), features=features,
               classifier=head)  # fmt: skip


def run_fire(net: Any, x: torch.Tensor) -> torch.Tensor:
    x = F.relu(net.squeeze(x))
    return F.relu(torch.cat([net.expand1x1(x), net.expand3x3(x)], 1))


def squeezenet(first: int, kernel: int, plan: str) -> Net:
    """`plan` names the channels of each branch in units of 64, with a dash for a pooling."""
    layers: list[nn.Module] = [nn.Conv2d(3, first, kernel, 2), nn.ReLU()]
    channels = first
    for step in plan:
        if step == "-":
            layers.append(nn.MaxPool2d(3, 2, ceil_mode=True))
            continue
        size = 64 * int(step)
        layers.append(Net(run_fire, squeeze=nn.Conv2d(channels, size // 4, 1), expand1x1=nn.Conv2d(size // 4, size, 1),
                          expand3x3=nn.Conv2d(size // 4, size, 3, 1, 1)))  # fmt: skip
        channels = 2 * size
    head = chain(nn.Dropout(), nn.Conv2d(512, 1000, 1), nn.ReLU())
    return Net(lambda net, x: net.classifier(net.features(x)).mean((2, 3)), features=chain(*layers), classifier=head)


# ------------------------------------------------------------------------------------------------------- GoogLeNet

# After the first convolutions: channels of the branches (with those of the 1 x 1 before them); a dash for a pooling.
GOOGLE = """3a 64 96 128 16 32 32; 3b 128 128 192 32 96 64; - 3; 4a 192 96 208 16 48 64; 4b 160 112 224 24 64 64;
4c 128 128 256 24 64 64; 4d 112 144 288 32 64 64; 4e 256 160 320 32 128 128; - 2; 5a 256 160 320 32 128 128;
5b 384 192 384 48 128 128"""


def googlenet() -> Net:
    """Without auxiliary classifiers, as it is in use."""

    def conv(before: int, after: int, kernel: int, stride: int = 1) -> Net:
        return Net(lambda net, x: F.relu(net.bn(net.conv(x))),
                   conv=nn.Conv2d(before, after, kernel, stride, kernel // 2, bias=False),
                   bn=nn.BatchNorm2d(after, 0.001))  # fmt: skip

    parts: dict[str, Any] = {"conv1": conv(3, 64, 7, 2), "conv2": conv(64, 64, 1), "conv3": conv(64, 192, 3)}
    steps: list[str | int] = ["conv1", 3, "conv2", "conv3", 3]
    channels = 192
    for row in GOOGLE.split(";"):
        name, *sizes = row.split()
        if name == "-":
            steps.append(int(sizes[0]))
            continue
        a, b0, b, c0, c, d = map(int, sizes)
        parts["inception" + name] = Net(
            lambda net, x: torch.cat([net.branch1(x), net.branch2(x), net.branch3(x), net.branch4(x)], 1),
            branch1=conv(channels, a, 1), branch2=chain(conv(channels, b0, 1), conv(b0, b, 3)),
            branch3=chain(conv(channels, c0, 1), conv(c0, c, 3)),
            branch4=chain(nn.MaxPool2d(3, 1, 1), conv(channels, d, 1)))  # fmt: skip
        steps.append("inception" + name)
        channels = a + b + c + d

    def run(net: Any, x: torch.Tensor) -> torch.Tensor:
        for step in steps:
            x = getattr(net, step)(x) if isinstance(step, str) else F.max_pool2d(x, step, 2, ceil_mode=True)
        return net.fc(x.mean((2, 3)))

    return Net(run, **parts, fc=nn.Linear(channels, 1000))


# -------------------------------------------------------------------------------------------------------- DenseNet


def run_dense_layer(net: Any, x: torch.Tensor) -> torch.Tensor:
    new = net.conv2(F.relu(net.norm2(net.conv1(F.relu(net.norm1(x))))))
    return torch.cat([x, new], 1)  # a block is then a chain of layers


def densenet(growth: int, counts: str, first: int) -> Net:
    sizes = [int(each) for each in counts.split()]
    parts: dict[str, nn.Module] = {
        "conv0": nn.Conv2d(3, first, 7, 2, 3, bias=False), "norm0": nn.BatchNorm2d(first), "relu0": nn.ReLU(),
        "pool0": nn.MaxPool2d(3, 2, 1)}  # fmt: skip
    channels = first
    for i, count in enumerate(sizes):
        layers: dict[str, nn.Module] = {}
        for j in range(count):
            layers[f"denselayer{j + 1}"] = Net(
                run_dense_layer, norm1=nn.BatchNorm2d(channels), conv1=nn.Conv2d(channels, 4 * growth, 1, bias=False),
                norm2=nn.BatchNorm2d(4 * growth), conv2=nn.Conv2d(4 * growth, growth, 3, 1, 1, bias=False))  # fmt: skip
            channels += growth
        parts[f"denseblock{i + 1}"] = numbered(layers)
        if i < len(sizes) - 1:
            parts[f"transition{i + 1}"] = numbered({
                "norm": nn.BatchNorm2d(channels), "relu": nn.ReLU(),
                "conv": nn.Conv2d(channels, channels // 2, 1, bias=False), "pool": nn.AvgPool2d(2)})  # fmt: skip
            channels //= 2
    parts |= {"norm5": nn.BatchNorm2d(channels), "relu5": nn.ReLU()}
    return Net(classify, features=numbered(parts), classifier=nn.Linear(channels, 1000))


# -------------------------------------------------------------------------------------- MobileNets and EfficientNets


def conv_norm(before: int, after: int, kernel: int, stride: int, act: Any, norm: Any, depthwise: bool = False) -> Any:
    return chain(nn.Conv2d(before, after, kernel, stride, kernel // 2, groups=after if depthwise else 1, bias=False),
                 norm(after), act() if act else None)  # fmt: skip


def excitation(channels: int, squeezed: int, act: Any, gate: Any) -> Net:
    def run(net: Any, x: torch.Tensor) -> torch.Tensor:
        return x * gate(net.fc2(act()(net.fc1(x.mean((2, 3), keepdim=True)))))

    return Net(run, fc1=nn.Conv2d(channels, squeezed, 1), fc2=nn.Conv2d(squeezed, channels, 1))


def shortcut(name: str, inside: nn.Module, allowed: bool) -> Net:
    def run(net: Any, x: torch.Tensor) -> torch.Tensor:
        return x + getattr(net, name)(x) if allowed else getattr(net, name)(x)

    net = Net(run, **{name: inside})
    net.adds = allowed
    return net


def eights(size: float) -> int:
    """The multiple of eight nearest to a number of channels, but never much below it."""
    near = max(8, math.floor(size / 8 + 0.5) * 8)
    return near if near >= 0.9 * size else near + 8


def mobilenet_v2() -> Net:
    norm, act = nn.BatchNorm2d, nn.ReLU6
    layers = [conv_norm(3, 32, 3, 2, act, norm)]
    before = 32
    for t, c, n, s in ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2),
                       (6, 320, 1, 1)):  # fmt: skip
        for i in range(n):
            stride, wide = s if i == 0 else 1, before * t
            inside = chain(conv_norm(before, wide, 1, 1, act, norm) if t > 1 else None,
                           conv_norm(wide, wide, 3, stride, act, norm, True), nn.Conv2d(wide, c, 1, bias=False),
                           norm(c))  # fmt: skip
            layers.append(shortcut("conv", inside, stride == 1 and before == c))
            before = c
    layers.append(conv_norm(before, 1280, 1, 1, act, norm))
    return Net(classify, features=chain(*layers), classifier=chain(nn.Dropout(0.2), nn.Linear(1280, 1000)))


V3_LARGE = """
3 16 16 - R 1; 3 64 24 - R 2; 3 72 24 - R 1; 5 72 40 S R 2; 5 120 40 S R 1; 5 120 40 S R 1; 3 240 80 - H 2;
3 200 80 - H 1; 3 184 80 - H 1; 3 184 80 - H 1; 3 480 112 S H 1; 3 672 112 S H 1; 5 672 160 S H 2; 5 960 160 S H 1;
5 960 160 S H 1"""
V3_SMALL = """
3 16 16 S R 2; 3 72 24 - R 2; 3 88 24 - R 1; 5 96 40 S H 2; 5 240 40 S H 1; 5 240 40 S H 1; 5 120 48 S H 1;
5 144 48 S H 1; 5 288 96 S H 2; 5 576 96 S H 1; 5 576 96 S H 1"""


def mobilenet_v3(table: str, hidden: int) -> Net:
    norm = partial(nn.BatchNorm2d, eps=0.001, momentum=0.01)
    layers = [conv_norm(3, 16, 3, 2, nn.Hardswish, norm)]
    before = 16
    for row in table.split(";"):
        kernel, wide, after, squeeze, kind, stride = (int(x) if x.isdigit() else x for x in row.split())
        act = nn.ReLU if kind == "R" else nn.Hardswish
        inside = chain(
            conv_norm(before, wide, 1, 1, act, norm) if wide != before else None,
            conv_norm(wide, wide, kernel, stride, act, norm, True),
            excitation(wide, eights(wide // 4), nn.ReLU, F.hardsigmoid) if squeeze == "S" else None,
            conv_norm(wide, after, 1, 1, None, norm))  # fmt: skip
        layers.append(shortcut("block", inside, stride == 1 and before == after))
        before = after
    layers.append(conv_norm(before, 6 * before, 1, 1, nn.Hardswish, norm))
    head = chain(nn.Linear(6 * before, hidden), nn.Hardswish(), nn.Dropout(0.2), nn.Linear(hidden, 1000))
    return Net(classify, features=chain(*layers), classifier=head)


def mbconv(before: int, after: int, times: int, kernel: int, stride: int, norm: Any) -> Net:
    act, wide = nn.SiLU, eights(before * times)
    inside = chain(
        conv_norm(before, wide, 1, 1, act, norm) if wide != before else None,
        conv_norm(wide, wide, kernel, stride, act, norm, True),
        excitation(wide, max(1, before // 4), act, torch.sigmoid),
        conv_norm(wide, after, 1, 1, None, norm))  # fmt: skip
    return shortcut("block", inside, stride == 1 and before == after)


def fused(before: int, after: int, times: int, kernel: int, stride: int, norm: Any) -> Net:
    act, wide = nn.SiLU, before * times
    inside = chain(conv_norm(before, wide, kernel, stride, act, norm))
    if times > 1:
        inside.append(conv_norm(wide, after, 1, 1, None, norm))
    return shortcut("block", inside, stride == 1 and before == after)


def efficientnet(stem: int, stages: list[tuple[Any, int, int, int, int, int]], last: int, norm: Any) -> Net:
    """Stages of (kind, expansion, kernel, stride, channels, blocks)."""
    layers = [conv_norm(3, stem, 3, 2, nn.SiLU, norm)]
    before = stem
    for kind, times, kernel, stride, after, count in stages:
        blocks = []
        for i in range(count):
            blocks.append(kind(before, after, times, kernel, stride if i == 0 else 1, norm))
            before = after
        layers.append(chain(*blocks))
    layers.append(conv_norm(before, last, 1, 1, nn.SiLU, norm))
    return Net(classify, features=chain(*layers), classifier=chain(nn.Dropout(), nn.Linear(last, 1000)))


def efficientnet_b(width: float, depth: float, norm: Any = nn.BatchNorm2d) -> Net:
    rows = ((1, 3, 1, 16, 1), (6, 3, 2, 24, 2), (6, 5, 2, 40, 2), (6, 3, 2, 80, 3), (6, 5, 1, 112, 3),
            (6, 5, 2, 192, 4), (6, 3, 1, 320, 1))  # fmt: skip
    stages = [(mbconv, t, k, s, eights(c * width), math.ceil(n * depth)) for t, k, s, c, n in rows]
    return efficientnet(eights(32 * width), stages, 4 * eights(320 * width), norm)


def efficientnet_v2(first: str, second: str) -> Net:
    stages = []
    for kind, table in ((fused, first), (mbconv, second)):
        for row in table.split(";"):
            times, stride, channels, count = map(int, row.split())
            stages.append((kind, times, 3, stride, channels, count))
    return efficientnet(stages[0][4], stages, 1280, partial(nn.BatchNorm2d, eps=1e-3))


# -------------------------------------------------------------------------------------------------- Vision Transformer


def run_encoder_layer(net: Any, x: torch.Tensor) -> torch.Tensor:
    y = net.ln_1(x)
    x = x + net.self_attention(y, y, y)[0]
    return x + net.mlp(net.ln_2(x))


def run_vit(net: Any, x: torch.Tensor) -> torch.Tensor:
    x = net.conv_proj(x).flatten(2).transpose(1, 2)
    x = torch.cat([net.class_token.expand(len(x), 1, -1), x], 1)
    return net.heads(net.encoder(x)[:, 0])


def vit(patch: int, depth: int, heads: int, size: int, image_size: int = 224) -> Net:
    layers = {}
    for i in range(depth):
        layers[f"encoder_layer_{i}"] = Net(
            run_encoder_layer, ln_1=nn.LayerNorm(size, 1e-6),
            self_attention=nn.MultiheadAttention(size, heads, batch_first=True), ln_2=nn.LayerNorm(size, 1e-6),
            mlp=chain(nn.Linear(size, 4 * size), nn.GELU(), nn.Dropout(0), nn.Linear(4 * size, size)))  # fmt: skip
    encoder = Net(lambda net, x: net.ln(net.layers(x + net.pos_embedding)),
                  pos_embedding=nn.Parameter(torch.zeros(1, (image_size // patch) ** 2 + 1, size)),
                  layers=numbered(layers), ln=nn.LayerNorm(size, 1e-6))  # fmt: skip
    return Net(run_vit, class_token=nn.Parameter(torch.zeros(1, 1, size)), conv_proj=nn.Conv2d(3, size, patch, patch),
               encoder=encoder, heads=numbered({"head": nn.Linear(size, 1000)}))  # fmt: skip


TENSORFLOW = partial(nn.BatchNorm2d, eps=0.001, momentum=0.01)
A, B, D, E = "1-2-44-88-88-", "11-22-44-88-88-", "11-22-444-888-888-", "11-22-4444-8888-8888-"
MODELS: dict[str, Callable[..., Net]] = {
    "alexnet": alexnet,
    "googlenet": googlenet,
    "resnet18": partial(resnet, "2 2 2 2", False),
    "resnet34": partial(resnet, "3 4 6 3", False),
    "resnet50": partial(resnet, "3 4 6 3", True),
    "resnet101": partial(resnet, "3 4 23 3", True),
    "resnet152": partial(resnet, "3 8 36 3", True),
    "resnext50_32x4d": partial(resnet, "3 4 6 3", True, 32, 4),
    "resnext101_32x8d": partial(resnet, "3 4 23 3", True, 32, 8),
    "resnext101_64x4d": partial(resnet, "3 4 23 3", True, 64, 4),
    "wide_resnet50_2": partial(resnet, "3 4 6 3", True, 1, 128),
    "wide_resnet101_2": partial(resnet, "3 4 23 3", True, 1, 128),
    **{f"vgg{count}{'_bn' * norm}": partial(vgg, plan, norm)
       for count, plan in ((11, A), (13, B), (16, D), (19, E)) for norm in (False, True)},
    "densenet121": partial(densenet, 32, "6 12 24 16", 64),
    "densenet161": partial(densenet, 48, "6 12 36 24", 96),
    "densenet169": partial(densenet, 32, "6 12 32 32", 64),
    "densenet201": partial(densenet, 32, "6 12 48 32", 64),
    "squeezenet1_0": partial(squeezenet, 96, 7, "-112-2334-4"),
    "squeezenet1_1": partial(squeezenet, 64, 3, "-11-22-3344"),
    "mobilenet_v2": mobilenet_v2,
    "mobilenet_v3_large": partial(mobilenet_v3, V3_LARGE, 1280),
    "mobilenet_v3_small": partial(mobilenet_v3, V3_SMALL, 1024),
    "efficientnet_b0": partial(efficientnet_b, 1.0, 1.0),
    "efficientnet_b1": partial(efficientnet_b, 1.0, 1.1),
    "efficientnet_b2": partial(efficientnet_b, 1.1, 1.2),
    "efficientnet_b3": partial(efficientnet_b, 1.2, 1.4),
    "efficientnet_b4": partial(efficientnet_b, 1.4, 1.8),
    "efficientnet_b5": partial(efficientnet_b, 1.6, 2.2, TENSORFLOW),
    "efficientnet_b6": partial(efficientnet_b, 1.8, 2.6, TENSORFLOW),
    "efficientnet_b7": partial(efficientnet_b, 2.0, 3.1, TENSORFLOW),
    "efficientnet_v2_s": partial(efficientnet_v2, "1 1 24 2;4 2 48 4;4 2 64 4", "4 2 128 6;6 1 160 9;6 2 256 15"),
    "efficientnet_v2_m": partial(
        efficientnet_v2, "1 1 24 3;4 2 48 5;4 2 80 5", "4 2 160 7;6 1 176 14;6 2 304 18;6 1 512 5"),
    "efficientnet_v2_l": partial(
        efficientnet_v2, "1 1 32 4;4 2 64 7;4 2 96 7", "4 2 192 10;6 1 224 19;6 2 384 25;6 1 640 7"),
    "vit_b_16": partial(vit, 16, 12, 12, 768),
    "vit_b_32": partial(vit, 32, 12, 12, 768),
    "vit_l_16": partial(vit, 16, 24, 16, 1024),
    "vit_l_32": partial(vit, 32, 24, 16, 1024),
    "vit_h_14": partial(vit, 14, 32, 16, 1280),
}  # fmt: skip


def born(name: str, seed: int = 0, **options: Any) -> nn.Module:
    """A model of this name in eval mode, with random parameters that cost one drawing."""
    with torch.device("meta"):
        model = MODELS[name](**options)
    return shuffle(model.to_empty(device="cpu"), seed)


@torch.no_grad()
def shuffle(model: nn.Module, seed: int = 0) -> nn.Module:
    """Random parameters and statistics, such that signals neither vanish nor grow much on their way."""
    generator = torch.Generator().manual_seed(seed)
    for module in model.modules():
        weight, bias = getattr(module, "weight", None), getattr(module, "bias", None)
        if isinstance(module, nn.Conv2d | nn.Linear):
            weight.normal_(std=(1.5 / weight[0].numel()) ** 0.5, generator=generator)
        elif isinstance(weight, nn.Parameter):
            weight.uniform_(0.7, 1.0, generator=generator)
        if isinstance(bias, nn.Parameter):
            bias.normal_(std=0.1, generator=generator)
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(std=0.1, generator=generator)
            module.running_var.uniform_(0.5, 1.5, generator=generator)
            module.num_batches_tracked.fill_(7)
        for name in ("in_proj_weight", "in_proj_bias", "pos_embedding", "class_token"):
            if hasattr(module, name):
                getattr(module, name).normal_(std=0.05, generator=generator)
    for module in model.modules():
        if getattr(module, "run", None) is run_residual:  # or fifty branches would add up
            getattr(module, "bn3", module.bn2).weight.mul_(0.3)
        elif getattr(module, "adds", False):
            [each for each in module.modules() if isinstance(each, nn.BatchNorm2d)][-1].weight.mul_(0.3)
    return model.eval()
