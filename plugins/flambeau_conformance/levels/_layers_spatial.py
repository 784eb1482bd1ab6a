"""Rows of the table of layers: padding, pooling, folding and resizing."""

from __future__ import annotations

from typing import Any

from flambeau_conformance.levels._layer_rows import Row, places, plain, several, x


def _pads(kind: str, *more: Any) -> dict[str, list[Row]]:
    """Of a border that is not the same on all sides, and of one that is."""
    rows = {}
    for spatial in (1, 2, 3):
        name, shape = f"{kind}Pad{spatial}d", (2, 2, *(4, 3, 5)[:spatial])
        rows[name] = [plain(name, (2, 0, 1, 2, 0, 1)[:2 * spatial], *more, shape=shape)]
        if spatial == 2:    # the others differ in how many dimensions there are
            rows[name].append(plain(name, 1, *more, shape=shape[1:]))
    return rows


def _unpool(name: str, spatial: int) -> list[Row]:
    size = (2, 3, 2)[:spatial]
    area = 1
    for each in size:
        area *= 2 * each
    return [(lambda n, t: getattr(n, name)(2, padding=0), (x(2, 2, *size), places(area, 2, 2, *size)))]


def _lp(name: str, spatial: int) -> list[Row]:
    shape = (2, 2, *(5, 4, 3)[:spatial])
    rows = several(name, shape, {"norm_type": 4, "kernel_size": 3, "stride": 1, "ceil_mode": True})
    return rows + (several(name, shape, {"norm_type": 2, "kernel_size": 2},
                           {"norm_type": float("inf"), "kernel_size": 2}) if spatial == 2 else [])


def _fractional(name: str, spatial: int) -> list[Row]:
    """With places given: those that are drawn are not the same on every device."""
    shape = (2, 2, *(6, 5, 4)[:spatial])

    def drawn(**options: Any) -> Row:
        def build(n: Any, t: Any) -> Any:
            places = t([[[0.25, 0.5, 0.75][:spatial]] * 2] * 2)
            return getattr(n, name)(2, _random_samples=places, **options)
        return build, (x(*shape),)
    return [drawn(output_size=3 if spatial == 2 else 2), drawn(output_ratio=0.5, return_indices=True)]


ROWS: dict[str, list[Row]] = {
    **_pads("Constant", 1.5), **_pads("Zero"), **_pads("Reflection"), **_pads("Replication"), **_pads("Circular"),
    "PixelShuffle": [plain("PixelShuffle", 2, shape=(1, 8, 2, 3)), plain("PixelShuffle", 3, shape=(9, 1, 2))],
    "PixelUnshuffle": [plain("PixelUnshuffle", 2, shape=(2, 1, 4, 6))],
    "ChannelShuffle": [plain("ChannelShuffle", 2, shape=(2, 6, 3)), plain("ChannelShuffle", 3, shape=(1, 6, 2, 2))],
    "Fold": [plain("Fold", (3, 4), 2, shape=(2, 8, 6)),
             plain("Fold", (4, 5), (2, 3), 1, (1, 0), (2, 1), shape=(1, 6, 9))],
    "Unfold": [plain("Unfold", 2, shape=(2, 2, 3, 4)), plain("Unfold", (2, 3), 1, (1, 0), (2, 1), shape=(1, 2, 4, 5))],
    "Upsample": [plain("Upsample", 5), plain("Upsample", scale_factor=1.5, mode="linear", align_corners=True),
                 plain("Upsample", scale_factor=(2, 0.5), mode="bilinear", shape=(1, 2, 3, 4)),
                 plain("Upsample", (4, 3), mode="bicubic", shape=(1, 2, 3, 4)),
                 plain("Upsample", scale_factor=2, mode="trilinear", shape=(1, 1, 2, 3, 2))],
    "UpsamplingNearest2d": [plain("UpsamplingNearest2d", scale_factor=2, shape=(1, 2, 3, 2))],
    "UpsamplingBilinear2d": [plain("UpsamplingBilinear2d", (5, 3), shape=(1, 2, 3, 2))],
    "LPPool1d": _lp("LPPool1d", 1), "LPPool2d": _lp("LPPool2d", 2), "LPPool3d": _lp("LPPool3d", 3),
    "MaxUnpool1d": _unpool("MaxUnpool1d", 1), "MaxUnpool2d": _unpool("MaxUnpool2d", 2),
    "MaxUnpool3d": _unpool("MaxUnpool3d", 3),
    "FractionalMaxPool2d": _fractional("FractionalMaxPool2d", 2),
    "FractionalMaxPool3d": _fractional("FractionalMaxPool3d", 3),
    "LocalResponseNorm": [plain("LocalResponseNorm", 3, alpha=0.1, shape=(2, 5, 3)),
                          plain("LocalResponseNorm", 2, 0.5, 0.6, 2.0, shape=(1, 4, 2, 3))],
    "CrossMapLRN2d": [plain("CrossMapLRN2d", 3, alpha=0.1, shape=(2, 5, 2, 3)),
                      plain("CrossMapLRN2d", 2, 0.5, 0.6, 2.0, shape=(1, 4, 2, 2))],
}
