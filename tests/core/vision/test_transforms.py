"""Transforms: PIL images and tensors alike, against Pillow, against formulas, and with draws in torchvision's order."""

from __future__ import annotations

import math
from typing import Any

import pytest

import flambeau
from flambeau import nn
from flambeau.vision import transforms
from flambeau.vision.transforms import InterpolationMode, functional as F, v2

PIL = pytest.importorskip("PIL.Image", reason="half of the transforms is about PIL images")


def picture(height: int = 12, width: int = 16, channels: int = 3, seed: int = 0) -> Any:
    """Smooth bytes, so that interpolations of different kinds are near one another."""
    generator = flambeau.Generator().manual_seed(seed)
    coarse = flambeau.rand(1, channels, 3, 4, generator=generator)
    smooth = nn.functional.interpolate(coarse, (height, width), mode="bilinear", align_corners=True)[0]
    return (smooth * 255).to(flambeau.uint8)


def pil(tensor: Any) -> Any:
    return F.to_pil_image(tensor)


def near(img: Any, tensor: Any, atol: float = 1.01) -> None:
    """A PIL image and a tensor of bytes hold the same, up to rounding."""
    found = F.pil_to_tensor(img)
    assert found.shape == tensor.shape
    assert (found.float() - tensor.float()).abs().max().item() <= atol


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_to_pil_image_and_back(channels: int) -> None:
    values = picture(channels=channels)
    assert flambeau.equal(F.pil_to_tensor(pil(values)), values)
    assert flambeau.equal(transforms.ToTensor()(pil(values)), values / 255)
    assert flambeau.equal(F.to_tensor(values.permute(1, 2, 0).numpy()), values / 255)
    assert F.get_dimensions(pil(values)) == F.get_dimensions(values) == [channels, 12, 16]
    assert F.get_image_size(values) == [16, 12]


def test_modes_of_pil_images() -> None:
    for dtype, mode in ((flambeau.int32, "I"), (flambeau.int16, "I;16"), (flambeau.float32, "F")):
        values = flambeau.arange(6).reshape(1, 2, 3).to(dtype)
        made = F.to_pil_image(values, mode)
        assert made.mode == mode and flambeau.equal(F.pil_to_tensor(made), values)
    assert F.to_pil_image(flambeau.ones(3, 2, 2)).getpixel((0, 0)) == (255, 255, 255)
    assert transforms.ToPILImage("HSV")(picture()).mode == "HSV"
    for wrong, error in (((flambeau.ones(5, 2, 2), None), ValueError), ((picture(), "L"), ValueError),
                         ((flambeau.ones(2), None), ValueError), (("text", None), TypeError)):
        with pytest.raises(error):
            F.to_pil_image(*wrong)


@pytest.mark.parametrize("kinds", [("uint8", "float32"), ("uint8", "int32"), ("int32", "uint8"), ("float32", "uint8"),
                                   ("float32", "float64"), ("float64", "int16")])
def test_dtypes_keep_the_range(kinds: tuple[str, str]) -> None:
    source, target = (getattr(flambeau, name) for name in kinds)
    most = {False: 1.0}.get(not source.is_floating_point) or flambeau.iinfo(source).max
    ends = flambeau.tensor([0, most], dtype=source)
    wanted = 1.0 if target.is_floating_point else flambeau.iinfo(target).max
    found = F.convert_image_dtype(ends, target)
    assert found.dtype == target and found[0] == 0
    assert found[1].item() == pytest.approx(wanted, rel=0.01)


# ------------------------------------------------------------------------------------------------- geometry
@pytest.mark.parametrize("size, max_size, wanted", [
    (6, None, (6, 8)), ((5, 7), None, (5, 7)), (9, 11, (8, 11)), ([24], None, (24, 32)), (None, 8, (6, 8))])
def test_resize(size: Any, max_size: int | None, wanted: tuple[int, int]) -> None:
    values = picture()
    for mode in (InterpolationMode.BILINEAR, InterpolationMode.BICUBIC):
        mine = F.resize(values, size, mode, max_size)
        assert tuple(mine.shape[-2:]) == wanted and mine.dtype == flambeau.uint8
        near(F.resize(pil(values), size, mode, max_size), mine, 2.01)
    assert tuple(transforms.Resize(size, max_size=max_size)(values).shape[-2:]) == wanted
    assert F.resize(values, (24, 32), InterpolationMode.NEAREST)[:, ::2, ::2].equal(values)


def test_resize_refuses_what_makes_no_sense() -> None:
    for arguments in ({"size": (1, 2, 3)}, {"size": (4, 4), "max_size": 9}, {"size": 9, "max_size": 8},
                      {"size": 5, "interpolation": "lanczos"}):
        with pytest.raises(ValueError, match=r"[Rr]esize|size"):
            F.resize(picture(), **arguments)
    with pytest.raises(TypeError, match="InterpolationMode"):
        F.resize(picture(), 5, "magic")
    with pytest.raises(TypeError, match="img should be PIL Image or Tensor"):
        F.hflip("text")


def test_parts_and_borders() -> None:
    values = picture()
    for part in ((2, 3, 5, 6), (-2, -1, 6, 9), (8, 10, 9, 9), (-3, -3, 20, 22)):
        near(F.crop(pil(values), *part), F.crop(values, *part), 0)
    for size in (5, (7, 4), (20, 10), (13, 21)):
        near(F.center_crop(pil(values), size), F.center_crop(values, size), 0)
        assert transforms.CenterCrop(size)(values).equal(F.center_crop(values, size))
    for padding in (2, (1, 3), (1, 2, 3, 0)):
        for mode in ("constant", "edge", "reflect", "symmetric"):
            near(F.pad(pil(values), padding, 9, mode), F.pad(values, padding, 9, mode), 0)
    near(F.pad(pil(values), 1, (1, 2, 3)), F.pad(values, 1, (1, 2, 3)), 0)
    five = F.five_crop(values, 6)
    assert five[0].equal(values[:, :6, :6]) and five[3].equal(values[:, 6:, 10:])
    ten = transforms.TenCrop(6)(pil(values))
    near(ten[5], values.flip(-1)[:, :6, :6], 0)
    with pytest.raises(ValueError, match="bigger than input size"):
        transforms.FiveCrop(13)(values)
    with pytest.raises(ValueError, match="Padding mode"):
        transforms.Pad(1, padding_mode="wrap")


def test_flips_and_turns_by_right_angles() -> None:
    values = picture(9, 9)
    near(F.hflip(pil(values)), values.flip(-1), 0)
    near(F.vflip(pil(values)), values.flip(-2), 0)
    for quarter in range(4):
        turned = flambeau.rot90(values, quarter, (-2, -1))
        assert (F.rotate(values, 90.0 * quarter).float() - turned.float()).abs().max() == 0
        near(F.rotate(pil(values), 90.0 * quarter), turned, 0)
    whole = picture(6, 10)
    assert F.rotate(whole, 90, expand=True).equal(flambeau.rot90(whole, 1, (-2, -1)))


@pytest.mark.parametrize("angle", [17.0, -60.0])
def test_turns_are_pillows(angle: float) -> None:
    values = picture(20, 20)
    # Along the picture's edge Pillow takes the nearest pixel, and tensors are blended with what is outside.
    for mode, allowed in ((InterpolationMode.NEAREST, 0.06), (InterpolationMode.BILINEAR, 0.1)):
        for options in ({}, {"expand": True}, {"center": (4, 9)}, {"fill": 77}):
            mine, wanted = (F.rotate(each, angle, mode, **options) for each in (values, pil(values)))
            wanted = F.pil_to_tensor(wanted)
            assert mine.shape == wanted.shape
            differ = ((mine.float() - wanted.float()).abs() > 6).float().mean().item()
            assert differ < allowed, (mode, options)


def test_affine_and_perspective_are_pillows() -> None:
    values = picture(20, 24)
    for given in ((10.0, (2, -3), 1.0, 0.0), (0.0, (0, 0), 1.5, (10.0, 5.0)), (-30.0, (1, 1), 0.7, 8.0)):
        mine = F.affine(values, *given, interpolation=InterpolationMode.BILINEAR)
        wanted = F.pil_to_tensor(F.affine(pil(values), *given, interpolation=InterpolationMode.BILINEAR))
        assert ((mine.float() - wanted.float()).abs() > 6).float().mean().item() < 0.08
    corners = [[0, 0], [23, 0], [23, 19], [0, 19]]
    moved = [[2, 1], [20, 3], [22, 17], [1, 16]]
    mine = F.perspective(values, corners, moved)
    wanted = F.pil_to_tensor(F.perspective(pil(values), corners, moved))
    assert ((mine.float() - wanted.float()).abs() > 8).float().mean().item() < 0.1
    assert F.perspective(values, corners, corners).float().sub(values.float()).abs().max() <= 1
    with pytest.raises(ValueError, match="scale should be positive"):
        F.affine(values, 0, (0, 0), 0, 0)


# ------------------------------------------------------------------------------------------------- colours
def test_colours_are_pillows() -> None:
    values = picture()
    img = pil(values)
    for change, factors in ((F.adjust_brightness, (0.0, 0.5, 1.7)), (F.adjust_contrast, (0.0, 0.5, 1.5)),
                            (F.adjust_saturation, (0.0, 0.4, 1.8)), (F.adjust_sharpness, (0.0, 0.5, 2.0)),
                            (F.adjust_gamma, (0.5, 2.0))):
        for factor in factors:
            near(change(img, factor), change(values, factor), 2.01)
            real = change(values / 255, factor)
            assert (real * 255 - change(values, factor)).abs().max() <= 2.01
    for factor in (-0.3, 0.0, 0.25):
        near(F.adjust_hue(img, factor), F.adjust_hue(values, factor), 10.01)  # Pillow counts hues in bytes
    near(F.rgb_to_grayscale(img), F.rgb_to_grayscale(values))
    near(F.to_grayscale(img, 3), F.rgb_to_grayscale(values, 3))
    for change, arguments in ((F.invert, ()), (F.posterize, (3,)), (F.solarize, (100,)), (F.autocontrast, ()),
                              (F.equalize, ())):
        near(change(img, *arguments), change(values, *arguments), 1.01)
    assert F.equalize(values[:1] * 0 + 5).unique().numel() == 1
    for change in (F.adjust_brightness, F.adjust_contrast, F.adjust_saturation):
        with pytest.raises(ValueError, match="non-negative"):
            change(values, -1)
    with pytest.raises(ValueError, match=r"not in \[-0.5, 0.5\]"):
        F.adjust_hue(values, 0.6)


def test_blur_keeps_what_is_flat_and_spreads_what_is_not() -> None:
    flat = flambeau.full((3, 9, 9), 100, dtype=flambeau.uint8)
    assert F.gaussian_blur(flat, 5).equal(flat)
    dot = flambeau.zeros(1, 9, 9)
    dot[0, 4, 4] = 1
    found = F.gaussian_blur(dot, [3, 5], [0.8, 1.2])
    along = flambeau.exp(-0.5 * (flambeau.tensor([-1.0, 0, 1]) / 0.8) ** 2)
    down = flambeau.exp(-0.5 * (flambeau.tensor([-2.0, -1, 0, 1, 2]) / 1.2) ** 2)
    wanted = (down / down.sum())[:, None] * (along / along.sum())[None]
    assert flambeau.allclose(found[0, 2:7, 3:6], wanted)
    with pytest.raises(ValueError, match="odd and positive"):
        F.gaussian_blur(dot, 4)


# ------------------------------------------------------------------------------------------------- draws
def test_draws_are_torchvisions() -> None:
    """Each transform draws, from the global generator, what torchvision's documentation of `get_params` implies."""
    values = picture(20, 20)
    flambeau.manual_seed(3)
    flipped = transforms.RandomHorizontalFlip(0.5)(values)
    flambeau.manual_seed(3)
    assert flipped.equal(values.flip(-1)) is bool(flambeau.rand(1) < 0.5)
    flambeau.manual_seed(5)
    part = transforms.RandomCrop(8, padding=2)(values)
    flambeau.manual_seed(5)
    top, left = (int(flambeau.randint(0, 17, (1,))) for _ in range(2))
    assert part.equal(F.crop(F.pad(values, 2), top, left, 8, 8))
    flambeau.manual_seed(7)
    angle = transforms.RandomRotation.get_params([-30.0, 30.0])
    flambeau.manual_seed(7)
    assert angle == flambeau.empty(1).uniform_(-30.0, 30.0).item()
    flambeau.manual_seed(9)
    top, left, height, width = transforms.RandomResizedCrop.get_params(values, (0.5, 0.9), (0.75, 4 / 3))
    assert 0 <= top <= 20 - height and 0 <= left <= 20 - width and 0.4 <= height * width / 400 <= 1.0
    flambeau.manual_seed(11)
    order, *factors = transforms.ColorJitter.get_params((0.5, 1.5), None, (0.9, 1.1), (-0.1, 0.1))
    flambeau.manual_seed(11)
    assert order.equal(flambeau.randperm(4)) and factors[1] is None
    assert factors[0] == flambeau.empty(1).uniform_(0.5, 1.5).item()


RANDOM = [
    transforms.RandomCrop(8), transforms.RandomCrop(24, pad_if_needed=True), transforms.RandomResizedCrop(9),
    transforms.RandomHorizontalFlip(), transforms.RandomVerticalFlip(), transforms.RandomRotation(20),
    transforms.RandomAffine(10, (0.1, 0.2), (0.8, 1.2), 5), transforms.RandomPerspective(p=1.0),
    transforms.ColorJitter(0.4, 0.4, 0.4, 0.1), transforms.Grayscale(3), transforms.RandomGrayscale(1.0),
    transforms.GaussianBlur(3), transforms.RandomInvert(1.0), transforms.RandomPosterize(4, 1.0),
    transforms.RandomSolarize(128, 1.0), transforms.RandomAdjustSharpness(2.0, 1.0), transforms.RandomAutocontrast(1.0),
    transforms.RandomEqualize(1.0), transforms.Pad(2), transforms.Resize((7, 8)), transforms.CenterCrop(6)]


@pytest.mark.parametrize("transform", RANDOM, ids=lambda each: type(each).__name__)
def test_the_same_seed_gives_the_same_picture_of_either_kind(transform: Any) -> None:
    values = picture(20, 20)
    results = []
    for img in (values, values, pil(values)):
        flambeau.manual_seed(1)
        results.append(transform(img))
    assert results[0].equal(results[1]) and results[0].dtype == flambeau.uint8
    found = F.pil_to_tensor(results[2])
    assert found.shape == results[0].shape
    assert (found.float() - results[0].float()).abs().mean().item() < 4
    assert repr(transform).startswith(type(transform).__name__ + "(")


def test_erasing() -> None:
    values = flambeau.ones(3, 20, 20)
    for value, wanted in ((0, 0.0), ((0.1, 0.2, 0.3), None), ("random", None)):
        flambeau.manual_seed(2)
        found = transforms.RandomErasing(p=1.0, value=value)(values)
        hole = (found != 1).any(0)
        assert 0.01 < hole.float().mean().item() < 0.36 and values.eq(1).all()
        if wanted is not None:
            assert found[:, hole].eq(wanted).all()
    assert transforms.RandomErasing(p=0.0)(values) is values
    assert transforms.RandomErasing(p=1.0, inplace=True)(values) is values and values.ne(1).any()
    for wrong in ({"value": "zeros"}, {"p": 2.0}, {"scale": (0.1, 1.2)}):
        with pytest.raises(ValueError, match="should be"):
            transforms.RandomErasing(**wrong)


def test_transforms_of_transforms() -> None:
    plus, times = transforms.Lambda(lambda x: x + 1), transforms.Lambda(lambda x: x * 10)
    assert transforms.Compose([plus, times])(1) == 20
    assert transforms.RandomApply([plus, times], p=1.0)(1) == 20 and transforms.RandomApply([plus], p=0.0)(1) == 1
    assert {transforms.RandomChoice([plus, times], p=[0, 1])(3) for _ in range(5)} == {30}
    assert {transforms.RandomOrder([plus, times])(1) for _ in range(40)} == {20, 11}
    white = transforms.LinearTransformation(flambeau.eye(12) * 2, flambeau.ones(12))
    assert white(flambeau.ones(3, 2, 2) * 3).eq(4).all()
    with pytest.raises(ValueError, match="incompatible shape"):
        white(flambeau.ones(3, 3, 3))


# ------------------------------------------------------------------------------------------------- the second version
def test_the_second_version_takes_samples() -> None:
    values = picture(20, 20)
    flambeau.manual_seed(4)
    sample = v2.Compose([v2.RandomCrop(8), v2.RandomHorizontalFlip(), v2.ToImage(),
                         v2.ToDtype(flambeau.float32, scale=True), v2.Normalize([0.5], [0.5])])
    image, label = sample(pil(values), 7)
    flambeau.manual_seed(4)
    wanted = transforms.Compose([transforms.RandomCrop(8), transforms.RandomHorizontalFlip(), transforms.ToTensor(),
                                 transforms.Normalize([0.5], [0.5])])(pil(values))
    assert label == 7 and flambeau.allclose(image, wanted, atol=1e-6)
    both = v2.RandomRotation(90)({"left": pil(values), "right": pil(values), "label": flambeau.tensor(3)})
    assert both["left"] == both["right"] and both["label"] == 3
    kept = v2.RandomCrop(5)((values, flambeau.arange(4)))
    assert kept[0].shape == (3, 5, 5) and kept[1].equal(flambeau.arange(4))
    assert v2.ToImage()(values.permute(1, 2, 0).numpy()).equal(values)
    assert v2.RandomCrop(5)(values).shape == (3, 5, 5) and v2.Identity()(values) is values
    assert isinstance(v2.Resize(5), transforms.Resize) and v2.Resize is v2.Resize
    assert "RandomCrop" in v2.__all__ and math.isfinite(len(dir(v2)))
    with pytest.raises(AttributeError, match="has no attribute 'Resizer'"):
        v2.Resizer
    with pytest.raises(TypeError, match="put ToImage"):
        v2.ToDtype(flambeau.float32)(pil(values))


@pytest.mark.parametrize("kind", ["MixUp", "CutMix"])
def test_mixing_keeps_the_sum_of_the_labels(kind: str) -> None:
    flambeau.manual_seed(0)
    pictures, labels = flambeau.rand(4, 3, 8, 8), flambeau.tensor([0, 1, 2, 1])
    mixed, soft = getattr(v2, kind)(num_classes=3)(pictures, labels)
    assert mixed.shape == pictures.shape and flambeau.allclose(soft.sum(1), flambeau.ones(4))
    share = soft[0, 0].item()
    assert 0 <= share <= 1 and soft[1, 1].item() == pytest.approx(share)
    if kind == "MixUp":
        assert flambeau.allclose(mixed, pictures * share + pictures.roll(1, 0) * (1 - share), atol=1e-6)
    else:
        own = (mixed[0] == pictures[0]).all(0).float().mean().item()
        assert own == pytest.approx(share, abs=1e-6)
    with pytest.raises(ValueError, match="need num_classes"):
        getattr(v2, kind)()(pictures, labels)
