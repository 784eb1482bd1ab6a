"""How every layer is made and what it is called with: the one table of the level "nn".

A layer without a row fails the suite, so none is forgotten. The families that came later have tables of their own,
which are joined here.
"""

from __future__ import annotations

from typing import Any

from flambeau_conformance.levels import (
    _layers_attention,
    _layers_losses,
    _layers_recurrent,
    _layers_spatial,
)
from flambeau_conformance.levels._layer_rows import Row, fixed, index, loss, p, plain, rows_of_one, several, x


def _conv(name: str, spatial: int) -> list[Row]:
    size = (7, 6, 5)[:spatial]
    shape = (2, 2, *size)
    rows = several(name, shape, {"in_channels": 2, "out_channels": 3, "kernel_size": 3},
                    {"in_channels": 2, "out_channels": 4, "kernel_size": 2, "stride": 2, "groups": 2},
                    {"in_channels": 2, "out_channels": 3, "kernel_size": 3, "padding": 1, "bias": False})
    rows += several(name, (2, *size), {"in_channels": 2, "out_channels": 3, "kernel_size": 2, "dilation": 2})
    if spatial < 3:
        rows += several(name, shape, *({"in_channels": 2, "out_channels": 3, "kernel_size": 3, "padding": 2,
                                         "padding_mode": mode} for mode in ("circular", "reflect", "replicate")),
                         {"in_channels": 2, "out_channels": 3, "kernel_size": 4, "padding": "same"})
    if spatial == 2:
        rows += several(name, shape, {"in_channels": 2, "out_channels": 3, "kernel_size": (3, 2), "stride": (2, 1),
                                       "padding": (1, 0), "dilation": (1, 2)},
                         {"in_channels": 2, "out_channels": 3, "kernel_size": 1})
    return rows


def _transposed(name: str, spatial: int) -> list[Row]:
    shape = (2, 2, *(4, 3, 3)[:spatial])
    return several(name, shape, {"in_channels": 2, "out_channels": 3, "kernel_size": 3},
                    {"in_channels": 2, "out_channels": 4, "kernel_size": 3, "stride": 2, "padding": 1,
                     "output_padding": 1, "groups": 2},
                    {"in_channels": 2, "out_channels": 3, "kernel_size": 2, "dilation": 2, "bias": False})


def _max_pool(name: str, spatial: int) -> list[Row]:
    shape = (2, 2, *(7, 6, 5)[:spatial])
    return several(name, shape, {"kernel_size": 2}, {"kernel_size": 3, "stride": 1, "padding": 1},
                    {"kernel_size": 2, "stride": 2, "ceil_mode": True, "return_indices": True},
                    {"kernel_size": 2, "dilation": 2, "stride": 1})


def _average_pool(name: str, spatial: int) -> list[Row]:
    shape = (2, 2, *(7, 6, 5)[:spatial])
    rows = several(name, shape, {"kernel_size": 2}, {"kernel_size": 3, "stride": 2, "padding": 1},
                    {"kernel_size": 3, "stride": 2, "padding": 1, "count_include_pad": False, "ceil_mode": True})
    return rows + (several(name, shape, {"kernel_size": 2, "divisor_override": 3}) if spatial > 1 else [])


def _adaptive(name: str, spatial: int) -> list[Row]:
    shape = (2, 2, *(7, 6, 5)[:spatial])
    sizes: list[Any] = [3, 1] if spatial == 1 else [2, (3,) * spatial, (None,) + (2,) * (spatial - 1)]
    rows = [plain(name, each, shape=shape) for each in sizes]
    return rows + ([plain(name, 2, shape=shape, return_indices=True)] if "Max" in name else [])


def _batch_norm(name: str, spatial: int) -> list[Row]:
    shape = (4, 3, *(5, 3, 2)[:spatial])
    rows = [plain(name, 3, shape=shape), plain(name, 3, shape=shape, affine=False, eps=0.1),
            plain(name, 3, shape=shape, track_running_stats=False), plain(name, 3, shape=shape, momentum=None),
            plain(name, 3, shape=shape, momentum=0.3)]
    return rows + ([plain(name, 3, shape=(6, 3))] if spatial == 1 else [])


def _cross_entropy() -> list[Row]:
    weight = [0.5, 2.0, 1.0]
    scores, classes = x(5, 3), index(3, 5)
    rows = loss("CrossEntropyLoss", (scores, classes), {"weight": weight}, {"ignore_index": 1},
                 {"label_smoothing": 0.2}, {"weight": weight, "label_smoothing": 0.1, "ignore_index": 0},
                 {"weight": weight, "reduction": "sum"})
    rows += loss("CrossEntropyLoss", (scores, rows_of_one(5, 3)), {"weight": weight, "label_smoothing": 0.1})
    return [*rows, *loss("CrossEntropyLoss", (x(2, 3, 4), index(3, 2, 4)))]


_FEATURES = (2, 3, 4, 4)

LAYERS: dict[str, list[Row]] = {
    "CELU": [plain("CELU"), plain("CELU", 0.5)], "ELU": [plain("ELU"), plain("ELU", 2.0)],
    "GELU": [plain("GELU"), plain("GELU", approximate="tanh")],
    "GLU": [plain("GLU"), plain("GLU", 0)], "SELU": [plain("SELU")],
    "Hardshrink": [plain("Hardshrink"), plain("Hardshrink", 0.9)], "Hardsigmoid": [plain("Hardsigmoid")],
    "Hardswish": [plain("Hardswish")], "Hardtanh": [plain("Hardtanh"), plain("Hardtanh", -0.5, 0.8)],
    "LeakyReLU": [plain("LeakyReLU"), plain("LeakyReLU", 0.3)], "LogSigmoid": [plain("LogSigmoid")],
    "LogSoftmax": [plain("LogSoftmax", 1), plain("LogSoftmax", -1)], "Mish": [plain("Mish")],
    "PReLU": [plain("PReLU"), plain("PReLU", 3), plain("PReLU", 3, shape=(5, 3))],
    "ReLU": [plain("ReLU"), plain("ReLU", inplace=True)], "ReLU6": [(lambda n, t: n.ReLU6(), (("wide", (3, 4)),))],
    "RReLU": [plain("RReLU", 0.1, 0.4)], "Sigmoid": [plain("Sigmoid")],
    "SiLU": [plain("SiLU"), plain("SiLU", inplace=True)], "Softmax": [plain("Softmax", 1), plain("Softmax", -1)],
    "Softmax2d": [plain("Softmax2d", shape=_FEATURES)], "Softmin": [plain("Softmin", 1)],
    "Softplus": [plain("Softplus"), plain("Softplus", 2.0, 1.0)],
    "Softshrink": [plain("Softshrink"), plain("Softshrink", 0.9)], "Softsign": [plain("Softsign")],
    "Tanh": [plain("Tanh")], "Tanhshrink": [plain("Tanhshrink")],
    "Threshold": [plain("Threshold", 0.1, 5.0), plain("Threshold", -0.3, -2.0)],
    "BatchNorm1d": _batch_norm("BatchNorm1d", 1), "BatchNorm2d": _batch_norm("BatchNorm2d", 2),
    "BatchNorm3d": _batch_norm("BatchNorm3d", 3), "SyncBatchNorm": _batch_norm("SyncBatchNorm", 2),
    "Conv1d": _conv("Conv1d", 1), "Conv2d": _conv("Conv2d", 2), "Conv3d": _conv("Conv3d", 3),
    "ConvTranspose1d": _transposed("ConvTranspose1d", 1), "ConvTranspose2d": _transposed("ConvTranspose2d", 2),
    "ConvTranspose3d": _transposed("ConvTranspose3d", 3),
    "Dropout": [plain("Dropout", 0.4), plain("Dropout", 0.0)], "Dropout1d": [plain("Dropout1d", 0.4)],
    "Dropout2d": [plain("Dropout2d", 0.4, shape=_FEATURES)],
    "Dropout3d": [plain("Dropout3d", 0.4, shape=(2, 3, 2, 2, 2))],
    "AlphaDropout": [plain("AlphaDropout", 0.4)],
    "FeatureAlphaDropout": [plain("FeatureAlphaDropout", 0.4, shape=_FEATURES)],
    "Flatten": [plain("Flatten"), plain("Flatten", 0, 1)],
    "Unflatten": [plain("Unflatten", 1, (2, 3), shape=(4, 6)), plain("Unflatten", -1, (3, 2), shape=(2, 6))],
    "Linear": [plain("Linear", 4, 3), plain("Linear", 4, 5, bias=False), plain("Linear", 4, 3, shape=(4,)),
               plain("Linear", 4, 3, shape=(6, 4))],
    "Identity": [plain("Identity", 3, unused=True)],
    "Bilinear": [(lambda n, t: n.Bilinear(3, 4, 2), (x(5, 3), x(5, 4))),
                 (lambda n, t: n.Bilinear(3, 4, 2, bias=False), (x(2, 5, 3), x(2, 5, 4)))],
    "BCELoss": loss("BCELoss", (p(4, 3), fixed(4, 3)), {"weight": [0.5, 1.0, 2.0]}),
    "BCEWithLogitsLoss": loss("BCEWithLogitsLoss", (x(4, 3), fixed(4, 3)), {"weight": [0.5, 1.0, 2.0]},
                               {"pos_weight": [2.0, 1.0, 0.5]},
                               {"pos_weight": [2.0, 1.0, 0.5], "weight": [0.5, 1.0, 2.0], "reduction": "sum"}),
    "CrossEntropyLoss": _cross_entropy(),
    "HuberLoss": loss("HuberLoss", (x(4, 3), x(4, 3)), {"delta": 0.3}),
    "KLDivLoss": [*loss("KLDivLoss", (x(4, 3), fixed(4, 3)), {"reduction": "batchmean"}),
                  *loss("KLDivLoss", (x(4, 3), x(4, 3)), {"log_target": True, "reduction": "batchmean"})[3:]],
    "L1Loss": loss("L1Loss", (x(4, 3), x(4, 3))), "MSELoss": loss("MSELoss", (x(4, 3), x(4, 3))),
    "NLLLoss": [*loss("NLLLoss", (x(5, 3), index(3, 5)), {"weight": [0.5, 2.0, 1.0]}, {"ignore_index": 2},
                       {"weight": [0.5, 2.0, 1.0], "reduction": "none"}),
                *loss("NLLLoss", (x(2, 3, 2, 2), index(3, 2, 2, 2)))],
    "SmoothL1Loss": loss("SmoothL1Loss", (x(4, 3), x(4, 3)), {"beta": 0.4}),
    "GroupNorm": [plain("GroupNorm", 2, 4, shape=(2, 4, 5)), plain("GroupNorm", 1, 3, shape=_FEATURES),
                  plain("GroupNorm", 3, 3, shape=(4, 3, 2), affine=False, eps=0.01)],
    "LayerNorm": [plain("LayerNorm", 4), plain("LayerNorm", (3, 4)), plain("LayerNorm", 4, bias=False),
                  plain("LayerNorm", 4, elementwise_affine=False, eps=0.1)],
    "RMSNorm": [plain("RMSNorm", 4), plain("RMSNorm", (3, 4), eps=0.1),
                plain("RMSNorm", 4, elementwise_affine=False)],
    "MaxPool1d": _max_pool("MaxPool1d", 1), "MaxPool2d": _max_pool("MaxPool2d", 2),
    "MaxPool3d": _max_pool("MaxPool3d", 3), "AvgPool1d": _average_pool("AvgPool1d", 1),
    "AvgPool2d": _average_pool("AvgPool2d", 2), "AvgPool3d": _average_pool("AvgPool3d", 3),
    "AdaptiveAvgPool1d": _adaptive("AdaptiveAvgPool1d", 1), "AdaptiveAvgPool2d": _adaptive("AdaptiveAvgPool2d", 2),
    "AdaptiveAvgPool3d": _adaptive("AdaptiveAvgPool3d", 3), "AdaptiveMaxPool1d": _adaptive("AdaptiveMaxPool1d", 1),
    "AdaptiveMaxPool2d": _adaptive("AdaptiveMaxPool2d", 2), "AdaptiveMaxPool3d": _adaptive("AdaptiveMaxPool3d", 3),
    "Embedding": [(lambda n, t: n.Embedding(7, 3), (index(7, 2, 5),)),
                  (lambda n, t: n.Embedding(7, 3, padding_idx=2), (index(4, 9),)),
                  (lambda n, t: n.Embedding(7, 3, max_norm=0.5), (index(7, 4),)),
                  (lambda n, t: n.Embedding(7, 3, scale_grad_by_freq=True), (index(3, 8),))],
    **_layers_attention.ROWS, **_layers_losses.ROWS, **_layers_recurrent.ROWS, **_layers_spatial.ROWS,
    "Sequential": [(lambda n, t: n.Sequential(n.Linear(4, 5), n.Tanh(), n.Linear(5, 2)), (x(3, 4),)),
                   (lambda n, t: n.Sequential(n.Conv2d(3, 4, 3, padding=1), n.BatchNorm2d(4), n.ReLU(), n.MaxPool2d(2),
                                              n.Flatten(), n.Linear(16, 3)), (x(*_FEATURES),))],
}

# Layers that draw while they train; their numbers are the level "random"'s business.
DRAWING = frozenset(("Dropout", "Dropout1d", "Dropout2d", "Dropout3d", "AlphaDropout", "FeatureAlphaDropout", "RReLU"))
# PyTorch's gradient has a sixth of single precision in it, in any dtype.
LOOSE = {"Hardsigmoid": 1e4}
# PyTorch runs this one on its accelerators only; on one process it is the layer named here.
STANDS_FOR = {"SyncBatchNorm": "BatchNorm2d"}
