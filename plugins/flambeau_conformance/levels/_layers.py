"""How every layer is made and what it is called with: the one table of the level "nn".

A row is a function of a library's `nn` and its `tensor`, so that it makes the layer of either library, and the inputs
that the layer is called with. A layer without a row fails the suite, so none is forgotten.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Build = Callable[[Any, Any], Any]
Inputs = tuple[tuple[Any, ...], ...]
Row = tuple[Build, Inputs]


def x(*shape: int) -> tuple[Any, ...]:
    """Normal numbers, with respect to which gradients are wanted."""
    return ("normal", shape)


def p(*shape: int) -> tuple[Any, ...]:
    """Probabilities, with respect to which gradients are wanted."""
    return ("chance", shape)


def fixed(*shape: int) -> tuple[Any, ...]:
    """Probabilities that are a target: no gradients."""
    return ("target", shape)


def rows_of_one(*shape: int) -> tuple[Any, ...]:
    """Rows that sum to 1 along dimension 1, as a target."""
    return ("rows", shape)


def index(high: int, *shape: int) -> tuple[Any, ...]:
    """int64 numbers below `high`."""
    return ("index", shape, high)


def signs(*shape: int) -> tuple[Any, ...]:
    """1 and -1, as a target."""
    return ("signs", shape)


def _plain(name: str, *args: Any, shape: tuple[int, ...] = (2, 3, 4), **kwargs: Any) -> Row:
    return lambda n, t: getattr(n, name)(*args, **kwargs), (x(*shape),)


def _several(name: str, shape: tuple[int, ...], *options: dict[str, Any]) -> list[Row]:
    return [_plain(name, shape=shape, **each) for each in options]


def _conv(name: str, spatial: int) -> list[Row]:
    size = (7, 6, 5)[:spatial]
    shape = (2, 2, *size)
    rows = _several(name, shape, {"in_channels": 2, "out_channels": 3, "kernel_size": 3},
                    {"in_channels": 2, "out_channels": 4, "kernel_size": 2, "stride": 2, "groups": 2},
                    {"in_channels": 2, "out_channels": 3, "kernel_size": 3, "padding": 1, "bias": False})
    rows += _several(name, (2, *size), {"in_channels": 2, "out_channels": 3, "kernel_size": 2, "dilation": 2})
    if spatial < 3:
        rows += _several(name, shape, *({"in_channels": 2, "out_channels": 3, "kernel_size": 3, "padding": 2,
                                         "padding_mode": mode} for mode in ("circular", "reflect", "replicate")),
                         {"in_channels": 2, "out_channels": 3, "kernel_size": 4, "padding": "same"})
    if spatial == 2:
        rows += _several(name, shape, {"in_channels": 2, "out_channels": 3, "kernel_size": (3, 2), "stride": (2, 1),
                                       "padding": (1, 0), "dilation": (1, 2)},
                         {"in_channels": 2, "out_channels": 3, "kernel_size": 1})
    return rows


def _transposed(name: str, spatial: int) -> list[Row]:
    shape = (2, 2, *(4, 3, 3)[:spatial])
    return _several(name, shape, {"in_channels": 2, "out_channels": 3, "kernel_size": 3},
                    {"in_channels": 2, "out_channels": 4, "kernel_size": 3, "stride": 2, "padding": 1,
                     "output_padding": 1, "groups": 2},
                    {"in_channels": 2, "out_channels": 3, "kernel_size": 2, "dilation": 2, "bias": False})


def _max_pool(name: str, spatial: int) -> list[Row]:
    shape = (2, 2, *(7, 6, 5)[:spatial])
    return _several(name, shape, {"kernel_size": 2}, {"kernel_size": 3, "stride": 1, "padding": 1},
                    {"kernel_size": 2, "stride": 2, "ceil_mode": True, "return_indices": True},
                    {"kernel_size": 2, "dilation": 2, "stride": 1})


def _average_pool(name: str, spatial: int) -> list[Row]:
    shape = (2, 2, *(7, 6, 5)[:spatial])
    rows = _several(name, shape, {"kernel_size": 2}, {"kernel_size": 3, "stride": 2, "padding": 1},
                    {"kernel_size": 3, "stride": 2, "padding": 1, "count_include_pad": False, "ceil_mode": True})
    return rows + (_several(name, shape, {"kernel_size": 2, "divisor_override": 3}) if spatial > 1 else [])


def _adaptive(name: str, spatial: int) -> list[Row]:
    shape = (2, 2, *(7, 6, 5)[:spatial])
    sizes: list[Any] = [3, 1] if spatial == 1 else [2, (3,) * spatial, (None,) + (2,) * (spatial - 1)]
    rows = [_plain(name, each, shape=shape) for each in sizes]
    return rows + ([_plain(name, 2, shape=shape, return_indices=True)] if "Max" in name else [])


def _batch_norm(name: str, spatial: int) -> list[Row]:
    shape = (4, 3, *(5, 3, 2)[:spatial])
    rows = [_plain(name, 3, shape=shape), _plain(name, 3, shape=shape, affine=False, eps=0.1),
            _plain(name, 3, shape=shape, track_running_stats=False), _plain(name, 3, shape=shape, momentum=None),
            _plain(name, 3, shape=shape, momentum=0.3)]
    return rows + ([_plain(name, 3, shape=(6, 3))] if spatial == 1 else [])


def _loss(name: str, inputs: Inputs, *options: dict[str, Any]) -> list[Row]:
    def build(more: dict[str, Any]) -> Build:
        return lambda n, t: getattr(n, name)(**{key: t(each) if isinstance(each, list) else each
                                                for key, each in more.items()})
    return [(build(each), inputs) for each in ({}, {"reduction": "sum"}, {"reduction": "none"}, *options)]


def _cross_entropy() -> list[Row]:
    weight = [0.5, 2.0, 1.0]
    scores, classes = x(5, 3), index(3, 5)
    rows = _loss("CrossEntropyLoss", (scores, classes), {"weight": weight}, {"ignore_index": 1},
                 {"label_smoothing": 0.2}, {"weight": weight, "label_smoothing": 0.1, "ignore_index": 0},
                 {"weight": weight, "reduction": "sum"})
    rows += _loss("CrossEntropyLoss", (scores, rows_of_one(5, 3)), {"weight": weight, "label_smoothing": 0.1})
    return [*rows, *_loss("CrossEntropyLoss", (x(2, 3, 4), index(3, 2, 4)))]


_FEATURES = (2, 3, 4, 4)

LAYERS: dict[str, list[Row]] = {
    "CELU": [_plain("CELU"), _plain("CELU", 0.5)], "ELU": [_plain("ELU"), _plain("ELU", 2.0)],
    "GELU": [_plain("GELU"), _plain("GELU", approximate="tanh")],
    "GLU": [_plain("GLU"), _plain("GLU", 0)], "SELU": [_plain("SELU")],
    "Hardshrink": [_plain("Hardshrink"), _plain("Hardshrink", 0.9)], "Hardsigmoid": [_plain("Hardsigmoid")],
    "Hardswish": [_plain("Hardswish")], "Hardtanh": [_plain("Hardtanh"), _plain("Hardtanh", -0.5, 0.8)],
    "LeakyReLU": [_plain("LeakyReLU"), _plain("LeakyReLU", 0.3)], "LogSigmoid": [_plain("LogSigmoid")],
    "LogSoftmax": [_plain("LogSoftmax", 1), _plain("LogSoftmax", -1)], "Mish": [_plain("Mish")],
    "PReLU": [_plain("PReLU"), _plain("PReLU", 3), _plain("PReLU", 3, shape=(5, 3))],
    "ReLU": [_plain("ReLU"), _plain("ReLU", inplace=True)], "ReLU6": [(lambda n, t: n.ReLU6(), (("wide", (3, 4)),))],
    "RReLU": [_plain("RReLU", 0.1, 0.4)], "Sigmoid": [_plain("Sigmoid")],
    "SiLU": [_plain("SiLU"), _plain("SiLU", inplace=True)], "Softmax": [_plain("Softmax", 1), _plain("Softmax", -1)],
    "Softmax2d": [_plain("Softmax2d", shape=_FEATURES)], "Softmin": [_plain("Softmin", 1)],
    "Softplus": [_plain("Softplus"), _plain("Softplus", 2.0, 1.0)],
    "Softshrink": [_plain("Softshrink"), _plain("Softshrink", 0.9)], "Softsign": [_plain("Softsign")],
    "Tanh": [_plain("Tanh")], "Tanhshrink": [_plain("Tanhshrink")],
    "Threshold": [_plain("Threshold", 0.1, 5.0), _plain("Threshold", -0.3, -2.0)],
    "BatchNorm1d": _batch_norm("BatchNorm1d", 1), "BatchNorm2d": _batch_norm("BatchNorm2d", 2),
    "BatchNorm3d": _batch_norm("BatchNorm3d", 3), "SyncBatchNorm": _batch_norm("SyncBatchNorm", 2),
    "Conv1d": _conv("Conv1d", 1), "Conv2d": _conv("Conv2d", 2), "Conv3d": _conv("Conv3d", 3),
    "ConvTranspose1d": _transposed("ConvTranspose1d", 1), "ConvTranspose2d": _transposed("ConvTranspose2d", 2),
    "ConvTranspose3d": _transposed("ConvTranspose3d", 3),
    "Dropout": [_plain("Dropout", 0.4), _plain("Dropout", 0.0)], "Dropout1d": [_plain("Dropout1d", 0.4)],
    "Dropout2d": [_plain("Dropout2d", 0.4, shape=_FEATURES)],
    "Dropout3d": [_plain("Dropout3d", 0.4, shape=(2, 3, 2, 2, 2))],
    "AlphaDropout": [_plain("AlphaDropout", 0.4)],
    "FeatureAlphaDropout": [_plain("FeatureAlphaDropout", 0.4, shape=_FEATURES)],
    "Flatten": [_plain("Flatten"), _plain("Flatten", 0, 1)],
    "Unflatten": [_plain("Unflatten", 1, (2, 3), shape=(4, 6)), _plain("Unflatten", -1, (3, 2), shape=(2, 6))],
    "Linear": [_plain("Linear", 4, 3), _plain("Linear", 4, 5, bias=False), _plain("Linear", 4, 3, shape=(4,)),
               _plain("Linear", 4, 3, shape=(6, 4))],
    "Identity": [_plain("Identity", 3, unused=True)],
    "Bilinear": [(lambda n, t: n.Bilinear(3, 4, 2), (x(5, 3), x(5, 4))),
                 (lambda n, t: n.Bilinear(3, 4, 2, bias=False), (x(2, 5, 3), x(2, 5, 4)))],
    "BCELoss": _loss("BCELoss", (p(4, 3), fixed(4, 3)), {"weight": [0.5, 1.0, 2.0]}),
    "BCEWithLogitsLoss": _loss("BCEWithLogitsLoss", (x(4, 3), fixed(4, 3)), {"weight": [0.5, 1.0, 2.0]},
                               {"pos_weight": [2.0, 1.0, 0.5]},
                               {"pos_weight": [2.0, 1.0, 0.5], "weight": [0.5, 1.0, 2.0], "reduction": "sum"}),
    "CrossEntropyLoss": _cross_entropy(),
    "HuberLoss": _loss("HuberLoss", (x(4, 3), x(4, 3)), {"delta": 0.3}),
    "KLDivLoss": [*_loss("KLDivLoss", (x(4, 3), fixed(4, 3)), {"reduction": "batchmean"}),
                  *_loss("KLDivLoss", (x(4, 3), x(4, 3)), {"log_target": True, "reduction": "batchmean"})[3:]],
    "L1Loss": _loss("L1Loss", (x(4, 3), x(4, 3))), "MSELoss": _loss("MSELoss", (x(4, 3), x(4, 3))),
    "NLLLoss": [*_loss("NLLLoss", (x(5, 3), index(3, 5)), {"weight": [0.5, 2.0, 1.0]}, {"ignore_index": 2},
                       {"weight": [0.5, 2.0, 1.0], "reduction": "none"}),
                *_loss("NLLLoss", (x(2, 3, 2, 2), index(3, 2, 2, 2)))],
    "SmoothL1Loss": _loss("SmoothL1Loss", (x(4, 3), x(4, 3)), {"beta": 0.4}),
    "GroupNorm": [_plain("GroupNorm", 2, 4, shape=(2, 4, 5)), _plain("GroupNorm", 1, 3, shape=_FEATURES),
                  _plain("GroupNorm", 3, 3, shape=(4, 3, 2), affine=False, eps=0.01)],
    "LayerNorm": [_plain("LayerNorm", 4), _plain("LayerNorm", (3, 4)), _plain("LayerNorm", 4, bias=False),
                  _plain("LayerNorm", 4, elementwise_affine=False, eps=0.1)],
    "RMSNorm": [_plain("RMSNorm", 4), _plain("RMSNorm", (3, 4), eps=0.1),
                _plain("RMSNorm", 4, elementwise_affine=False)],
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
