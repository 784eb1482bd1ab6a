"""Vision Transformer: A. Dosovitskiy et al., "An Image is Worth 16x16 Words" (2020)."""

# ruff: noqa: N801 -- the enumerations' names are torchvision's

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import flambeau
from flambeau import Tensor, nn
from flambeau.errors import ArgumentError, ArgumentValueError
from flambeau.vision.models._api import (
    FileWeights,
    Weights,
    WeightsEnum,
    builder,
    classes_of,
    fix,
    imagenet,
    load_into,
)
from flambeau.vision.ops.misc import MLP, Conv2dNormActivation

__all__ = [
    "VisionTransformer", "ViT_B_16_Weights", "ViT_B_32_Weights", "ViT_L_16_Weights", "ViT_L_32_Weights",
    "ViT_H_14_Weights", "vit_b_16", "vit_b_32", "vit_l_16", "vit_l_32", "vit_h_14", "interpolate_embeddings",
]  # fmt: skip

Norm = Callable[..., nn.Module]
_NORM = partial(nn.LayerNorm, eps=1e-6)


class ConvStemConfig(NamedTuple):
    """A convolution of a stem that stands in for the one that cuts the picture into patches."""

    out_channels: int
    kernel_size: int
    stride: int
    norm_layer: Norm = nn.BatchNorm2d
    activation_layer: Norm = nn.ReLU


class MLPBlock(MLP):
    """The two linear layers of an encoder layer, applied to each patch by itself.

    Args:
        in_dim: size of a patch's vector.
        mlp_dim: size of the hidden layer.
        dropout: probability of the dropout behind each layer.
    """

    _version = 2

    def __init__(self, in_dim: int, mlp_dim: int, dropout: float) -> None:
        super().__init__(in_dim, [mlp_dim, in_dim], activation_layer=nn.GELU, inplace=None, dropout=dropout)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                bias: Any = module.bias
                nn.init.normal_(bias, std=1e-6)

    def _load_from_state_dict(
        self, state_dict: Any, prefix: str, local_metadata: dict[str, Any], *args: Any
    ) -> None:
        if local_metadata.get("version") is None or local_metadata["version"] < 2:
            for number, place in ((1, 0), (2, 3)):  # the linear layers had names of their own once
                for kind in ("weight", "bias"):
                    old = f"{prefix}linear_{number}.{kind}"
                    if old in state_dict:
                        state_dict[f"{prefix}{place}.{kind}"] = state_dict.pop(old)
        super()._load_from_state_dict(state_dict, prefix, local_metadata, *args)


class EncoderBlock(nn.Module):
    """A layer of the encoder: attention among the patches, then a perceptron on each, both beside a shortcut.

    Args:
        num_heads: of the attention.
        hidden_dim: size of a patch's vector.
        mlp_dim: size of the perceptron's hidden layer.
        dropout, attention_dropout: probabilities of the dropouts.
        norm_layer: makes the normalisation of vectors of a size.

    Shapes: (N, S, hidden_dim), in and out. Raises RuntimeError for an input of another number of dimensions.
    """

    def __init__(
        self,
        num_heads: int,
        hidden_dim: int,
        mlp_dim: int,
        dropout: float,
        attention_dropout: float,
        norm_layer: Norm = _NORM,
    ) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.ln_1 = norm_layer(hidden_dim)
        self.self_attention = nn.MultiheadAttention(hidden_dim, num_heads, dropout=attention_dropout, batch_first=True)
        self.dropout = nn.Dropout(dropout)
        self.ln_2 = norm_layer(hidden_dim)
        self.mlp = MLPBlock(hidden_dim, mlp_dim, dropout)

    def forward(self, input: Tensor) -> Tensor:
        """Apply the layer."""
        _check_sequence(input)
        x = self.ln_1(input)
        x, _ = self.self_attention(x, x, x, need_weights=False)
        x = self.dropout(x) + input
        return x + self.mlp(self.ln_2(x))


class Encoder(nn.Module):
    """Adds what tells the places apart, and applies the layers.

    Args:
        seq_length: number of patches, with the class token.
        num_layers: how many layers.
        num_heads, hidden_dim, mlp_dim, dropout, attention_dropout, norm_layer: of a layer, see `EncoderBlock`.

    Shapes: (N, seq_length, hidden_dim), in and out. Raises RuntimeError for an input of another number of dimensions.
    """

    def __init__(
        self,
        seq_length: int,
        num_layers: int,
        num_heads: int,
        hidden_dim: int,
        mlp_dim: int,
        dropout: float,
        attention_dropout: float,
        norm_layer: Norm = _NORM,
    ) -> None:
        super().__init__()
        self.pos_embedding = nn.Parameter(flambeau.empty(1, seq_length, hidden_dim).normal_(std=0.02))
        self.dropout = nn.Dropout(dropout)
        layers = OrderedDict()
        for i in range(num_layers):
            layers[f"encoder_layer_{i}"] = EncoderBlock(
                num_heads, hidden_dim, mlp_dim, dropout, attention_dropout, norm_layer)
        self.layers = nn.Sequential(layers)
        self.ln = norm_layer(hidden_dim)

    def forward(self, input: Tensor) -> Tensor:
        """Apply the encoder."""
        _check_sequence(input)
        return self.ln(self.layers(self.dropout(input + self.pos_embedding)))


def _check_sequence(input: Tensor) -> None:
    if input.dim() != 3:
        raise ArgumentError(f"Expected (batch_size, seq_length, hidden_dim) got {input.shape}")


class VisionTransformer(nn.Module):
    """A transformer's encoder over the patches of a picture.

    Args:
        image_size: both sides of the picture, in pixels; a multiple of `patch_size`.
        patch_size: both sides of a patch.
        num_layers, num_heads, hidden_dim, mlp_dim, dropout, attention_dropout, norm_layer: of the encoder.
        num_classes: size of the output.
        representation_size: size of a hidden layer before the output; None for none.
        conv_stem_configs: convolutions that stand in for the one that cuts the picture into patches.

    Shapes: (N, 3, image_size, image_size) to (N, num_classes).

    >>> import flambeau as torch
    >>> model = torch.vision.models.VisionTransformer(32, 8, num_layers=1, num_heads=2, hidden_dim=16, mlp_dim=32)
    >>> model(torch.zeros(2, 3, 32, 32)).shape
    torch.Size([2, 1000])

    Raises RuntimeError for a picture of another size.
    """

    def __init__(
        self,
        image_size: int,
        patch_size: int,
        num_layers: int,
        num_heads: int,
        hidden_dim: int,
        mlp_dim: int,
        dropout: float = 0.0,
        attention_dropout: float = 0.0,
        num_classes: int = 1000,
        representation_size: int | None = None,
        norm_layer: Norm = _NORM,
        conv_stem_configs: Sequence[ConvStemConfig] | None = None,
    ) -> None:
        super().__init__()
        if image_size % patch_size:
            raise ArgumentError(f"Input shape indivisible by patch size! {image_size} pixels, patches of {patch_size}")
        self.image_size = image_size
        self.patch_size = patch_size
        self.hidden_dim = hidden_dim
        self.mlp_dim = mlp_dim
        self.attention_dropout = attention_dropout
        self.dropout = dropout
        self.num_classes = num_classes
        self.representation_size = representation_size
        self.norm_layer = norm_layer
        self.conv_proj = _projection(patch_size, hidden_dim, conv_stem_configs)
        self.class_token = nn.Parameter(flambeau.zeros(1, 1, hidden_dim))
        self.seq_length = (image_size // patch_size) ** 2 + 1
        self.encoder = Encoder(self.seq_length, num_layers, num_heads, hidden_dim, mlp_dim, dropout,
                               attention_dropout, norm_layer)  # fmt: skip
        self.heads = _heads(hidden_dim, representation_size, num_classes)
        self._initialise()

    def _initialise(self) -> None:
        cut: Any = self.conv_proj
        if isinstance(cut, nn.Conv2d):
            nn.init.trunc_normal_(cut.weight, std=math.sqrt(1 / (cut.in_channels * math.prod(cut.kernel_size))))
            if cut.bias is not None:
                nn.init.zeros_(cut.bias)
        else:
            last: Any = cut.conv_last
            nn.init.normal_(last.weight, mean=0.0, std=math.sqrt(2.0 / last.out_channels))
            if last.bias is not None:
                nn.init.zeros_(last.bias)
        hidden: Any = getattr(self.heads, "pre_logits", None)
        if hidden is not None:
            nn.init.trunc_normal_(hidden.weight, std=math.sqrt(1 / hidden.in_features))
            nn.init.zeros_(hidden.bias)
        output: Any = self.heads.head
        nn.init.zeros_(output.weight)
        nn.init.zeros_(output.bias)

    def _process_input(self, x: Tensor) -> Tensor:
        """The picture as a sequence of patches: (N, 3, H, W) to (N, S, hidden_dim)."""
        count, _, height, width = x.shape
        for given, what in ((height, "height"), (width, "width")):
            if given != self.image_size:
                raise ArgumentError(f"Wrong image {what}! Expected {self.image_size} but got {given}!")
        return self.conv_proj(x).reshape(count, self.hidden_dim, -1).permute(0, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        """The scores of the classes."""
        patches = self._process_input(x)
        token = self.class_token.expand(patches.shape[0], -1, -1)
        return self.heads(self.encoder(flambeau.cat([token, patches], dim=1))[:, 0])


def _projection(patch_size: int, hidden_dim: int, stem: Sequence[ConvStemConfig] | None) -> nn.Module:
    """From the picture to its patches' vectors."""
    if stem is None:
        return nn.Conv2d(3, hidden_dim, kernel_size=patch_size, stride=patch_size)
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    channels = 3
    for i, each in enumerate(stem):
        layers[f"conv_bn_relu_{i}"] = Conv2dNormActivation(
            channels, each.out_channels, each.kernel_size, each.stride, norm_layer=each.norm_layer,
            activation_layer=each.activation_layer)  # fmt: skip
        channels = each.out_channels
    layers["conv_last"] = nn.Conv2d(channels, hidden_dim, kernel_size=1)
    return nn.Sequential(layers)


def _heads(hidden_dim: int, representation_size: int | None, num_classes: int) -> nn.Sequential:
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    if representation_size is None:
        layers["head"] = nn.Linear(hidden_dim, num_classes)
    else:
        layers["pre_logits"] = nn.Linear(hidden_dim, representation_size)
        layers["act"] = nn.Tanh()
        layers["head"] = nn.Linear(representation_size, num_classes)
    return nn.Sequential(layers)


def interpolate_embeddings(
    image_size: int,
    patch_size: int,
    model_state: Mapping[str, Any],
    interpolation_mode: str = "bicubic",
    reset_heads: bool = False,
) -> OrderedDict[str, Any]:
    """The parameters of a model for pictures of another size.

    Args:
        image_size, patch_size: of the model that will get them.
        model_state: the parameters; `encoder.pos_embedding` must be that of square pictures.
        interpolation_mode: how the vectors that tell the places apart are resized.
        reset_heads: leave the parameters of the output out.

    Raises ValueError if the vectors are not those of a square picture.
    """
    embedding = model_state["encoder.pos_embedding"]
    count, length, hidden_dim = embedding.shape
    if count != 1:
        raise ArgumentValueError(f"Unexpected position embedding shape: {embedding.shape}")
    result = OrderedDict(model_state)
    side, old = image_size // patch_size, math.isqrt(length - 1)
    if side**2 != length - 1:
        if old * old != length - 1:
            raise ArgumentValueError("seq_length is not a perfect square! Instead got seq_length * seq_length = "
                                     f"{old * old} and seq_length = {length - 1}")  # fmt: skip
        grid = embedding[:, 1:].permute(0, 2, 1).reshape(1, hidden_dim, old, old)
        grid = nn.functional.interpolate(grid, size=(side, side), mode=interpolation_mode, align_corners=True)
        places = grid.reshape(1, hidden_dim, side * side).permute(0, 2, 1)
        result["encoder.pos_embedding"] = flambeau.cat([embedding[:, :1], places], dim=1)
    if reset_heads:
        result = OrderedDict((key, value) for key, value in result.items() if not key.startswith("heads"))
    return result


def _vision_transformer(
    patch_size: int,
    num_layers: int,
    num_heads: int,
    hidden_dim: int,
    mlp_dim: int,
    weights: WeightsEnum | FileWeights | None,
    progress: bool,
    **kwargs: Any,
) -> VisionTransformer:
    classes_of(weights, kwargs)
    if isinstance(weights, WeightsEnum):
        fix(kwargs, "image_size", weights.meta["min_size"][0])
    model = VisionTransformer(kwargs.pop("image_size", 224), patch_size, num_layers, num_heads, hidden_dim, mlp_dim,
                              **kwargs)  # fmt: skip
    return load_into(model, weights, progress)


def _published(
    file: str, num_params: int, top1: float, top5: float, size: int = 224, resize: int = 256,
    interpolation: str = "bilinear",
) -> Weights:  # fmt: skip
    return imagenet(file, num_params, top1, top5, crop=size, resize=resize, min_size=(size, size),
                    interpolation=interpolation)  # fmt: skip


def _swag(file: str, num_params: int, top1: float, top5: float, size: int) -> Weights:
    """M. Singh et al., "Revisiting Weakly Supervised Pre-Training of Visual Perception Models" (2022)."""
    return _published(file, num_params, top1, top5, size, size, "bicubic")


class ViT_B_16_Weights(WeightsEnum):
    """Pretrained parameters of `vit_b_16`."""

    IMAGENET1K_V1 = _published("vit_b_16-c867db91.pth", 86567656, 81.072, 95.318)
    IMAGENET1K_SWAG_E2E_V1 = _swag("vit_b_16_swag-9ac1b537.pth", 86859496, 85.304, 97.650, 384)
    IMAGENET1K_SWAG_LINEAR_V1 = _swag("vit_b_16_lc_swag-4e70ced5.pth", 86567656, 81.886, 96.180, 224)
    DEFAULT = IMAGENET1K_V1


class ViT_B_32_Weights(WeightsEnum):
    """Pretrained parameters of `vit_b_32`."""

    IMAGENET1K_V1 = _published("vit_b_32-d86f8d99.pth", 88224232, 75.912, 92.466)
    DEFAULT = IMAGENET1K_V1


class ViT_L_16_Weights(WeightsEnum):
    """Pretrained parameters of `vit_l_16`."""

    IMAGENET1K_V1 = _published("vit_l_16-852ce7e3.pth", 304326632, 79.662, 94.638, resize=242)
    IMAGENET1K_SWAG_E2E_V1 = _swag("vit_l_16_swag-4f3808c9.pth", 305174504, 88.064, 98.512, 512)
    IMAGENET1K_SWAG_LINEAR_V1 = _swag("vit_l_16_lc_swag-4d563306.pth", 304326632, 85.146, 97.422, 224)
    DEFAULT = IMAGENET1K_V1


class ViT_L_32_Weights(WeightsEnum):
    """Pretrained parameters of `vit_l_32`."""

    IMAGENET1K_V1 = _published("vit_l_32-c7638314.pth", 306535400, 76.972, 93.070)
    DEFAULT = IMAGENET1K_V1


class ViT_H_14_Weights(WeightsEnum):
    """Pretrained parameters of `vit_h_14`."""

    IMAGENET1K_SWAG_E2E_V1 = _swag("vit_h_14_swag-80465313.pth", 633470440, 88.552, 98.694, 518)
    IMAGENET1K_SWAG_LINEAR_V1 = _swag("vit_h_14_lc_swag-c1eb923e.pth", 632045800, 85.708, 97.730, 224)
    DEFAULT = IMAGENET1K_SWAG_E2E_V1


@builder(ViT_B_16_Weights)
def vit_b_16(*, weights: Any = None, progress: bool = True, **kwargs: Any) -> VisionTransformer:
    """ViT-B/16: the base size, patches of 16 x 16.

    Args:
        weights: pretrained parameters: a member of `ViT_B_16_Weights` or its name, or the path of a `.pth` or
            `.safetensors` file; None for those that the model is born with.
        progress: show a bar on standard error while parameters are downloaded.
        kwargs: the arguments of `VisionTransformer`; `image_size` is 224 by default, or what the parameters are for.
    """
    return _vision_transformer(16, 12, 12, 768, 3072, weights, progress, **kwargs)


@builder(ViT_B_32_Weights)
def vit_b_32(*, weights: Any = None, progress: bool = True, **kwargs: Any) -> VisionTransformer:
    """ViT-B/32: the base size, patches of 32 x 32; the arguments are those of `vit_b_16`."""
    return _vision_transformer(32, 12, 12, 768, 3072, weights, progress, **kwargs)


@builder(ViT_L_16_Weights)
def vit_l_16(*, weights: Any = None, progress: bool = True, **kwargs: Any) -> VisionTransformer:
    """ViT-L/16: the large size, patches of 16 x 16; the arguments are those of `vit_b_16`."""
    return _vision_transformer(16, 24, 16, 1024, 4096, weights, progress, **kwargs)


@builder(ViT_L_32_Weights)
def vit_l_32(*, weights: Any = None, progress: bool = True, **kwargs: Any) -> VisionTransformer:
    """ViT-L/32: the large size, patches of 32 x 32; the arguments are those of `vit_b_16`."""
    return _vision_transformer(32, 24, 16, 1024, 4096, weights, progress, **kwargs)


@builder(ViT_H_14_Weights, legacy="IMAGENET1K_SWAG_E2E_V1")
def vit_h_14(*, weights: Any = None, progress: bool = True, **kwargs: Any) -> VisionTransformer:
    """ViT-H/14: the huge size, patches of 14 x 14; the arguments are those of `vit_b_16`."""
    return _vision_transformer(14, 32, 16, 1280, 5120, weights, progress, **kwargs)
