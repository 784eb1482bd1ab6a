"""What `flambeau.<name>` finds beyond what is imported at once: operators by the table, submodules when first used.

Operators are not listed anywhere: the table of records is asked, so an operator that a plugin brings is found as well.
Packages that not every program needs are imported when they are first named, which keeps `import flambeau` short.
"""

from __future__ import annotations

import importlib
from typing import Any

from flambeau import discovery, ops
from flambeau.ops.legacy import TYPED
from flambeau.registry import ALIASES, OPERATORS

SUBMODULES = frozenset((
    "_VF", "accelerator", "amp", "autograd", "backends", "cpu", "cuda", "func", "hub", "linalg", "mps",
    "multiprocessing", "nn", "optim", "profiler", "return_types", "serialization", "signal", "special", "utils",
    "vision", "xpu"))

_AUTOGRAD = ("no_grad", "enable_grad", "set_grad_enabled", "is_grad_enabled", "inference_mode",
             "is_inference_mode_enabled")
_SERIALIZATION = ("save", "load")
_AUTOCAST = (
    "autocast_decrement_nesting", "autocast_increment_nesting", "clear_autocast_cache", "get_autocast_cpu_dtype",
    "get_autocast_dtype", "get_autocast_gpu_dtype", "is_autocast_cache_enabled", "is_autocast_cpu_enabled",
    "is_autocast_enabled", "set_autocast_cache_enabled", "set_autocast_cpu_dtype", "set_autocast_cpu_enabled",
    "set_autocast_dtype", "set_autocast_enabled", "set_autocast_gpu_dtype")
ELSEWHERE = {**dict.fromkeys(_AUTOGRAD, "flambeau.autograd"), **dict.fromkeys(_SERIALIZATION, "flambeau.serialization"),
             **dict.fromkeys(_AUTOCAST, "flambeau.amp.state"), "autocast": "flambeau.amp",
             "UntypedStorage": "flambeau.serialization.storage", "TypedStorage": "flambeau.serialization.storage",
             "is_anomaly_enabled": "flambeau.autograd", "get_device_module": "flambeau.accelerator"}

# Functions that PyTorch has under `torch` as well as under `torch.nn.functional`.
ALSO_TOP = frozenset((
    "adaptive_avg_pool1d", "adaptive_max_pool1d", "alpha_dropout", "avg_pool1d", "batch_norm", "bilinear", "celu",
    "celu_", "conv1d", "conv2d", "conv3d", "conv_tbc", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d",
    "cosine_embedding_loss", "cosine_similarity", "ctc_loss", "dropout", "dropout_",
    "feature_alpha_dropout", "feature_dropout", "group_norm", "hardshrink", "hinge_embedding_loss", "instance_norm",
    "kl_div", "layer_norm", "log_softmax", "margin_ranking_loss", "max_pool1d", "max_pool1d_with_indices",
    "max_pool2d", "max_pool3d", "native_channel_shuffle", "native_dropout", "pairwise_distance", "pdist",
    "pixel_shuffle", "pixel_unshuffle", "poisson_nll_loss", "prelu", "relu", "relu_", "rms_norm", "rrelu", "selu",
    "selu_", "channel_shuffle", "sigmoid", "softmax", "tanh", "threshold", "threshold_", "triplet_margin_loss",
    "binary_cross_entropy_with_logits"))


def find(name: str) -> Any:
    """The value of `flambeau.<name>`; AttributeError if there is none."""
    if name in SUBMODULES:
        return importlib.import_module("flambeau." + name)
    if name in ELSEWHERE:
        return getattr(importlib.import_module(ELSEWHERE[name]), name)
    if name in TYPED:
        return TYPED[name]
    record = OPERATORS.get(name) or ALIASES.get(name)
    if record is not None and _is_top(record, name):
        return record.public
    if name.endswith("_") and not name.startswith("_"):
        record = OPERATORS.get(name[:-1])
        if record is not None and record.inplace_call is not None and _is_top(record, name):
            return record.inplace_call
    return _plain_function(name)


def _plain_function(name: str) -> Any:
    """A public function of an operators' module that is no operator (it gives no tensor, say)."""
    if not name.startswith("_"):
        for module in ops.__all__:
            value = vars(getattr(ops, module)).get(name)
            home = getattr(value, "__module__", None)
            if callable(value) and not hasattr(value, "op") and home == f"flambeau.ops.{module}":
                return value
        if name in discovery._offers():   # torch.opencl, say: the namespace of a device type
            return importlib.import_module("flambeau._device_api").api(name)
    raise AttributeError(f"module 'flambeau' has no attribute {name!r}")


def _is_top(record: Any, name: str) -> bool:
    return not record.internal and ("torch" in record.namespace or name in ALSO_TOP)


def names() -> list[str]:
    """All that `find` knows, for `dir(flambeau)`."""
    operators = [name for name, record in (*OPERATORS.items(), *ALIASES.items())
                 if _is_top(record, name) and not name.startswith("_")]
    return sorted({*SUBMODULES, *ELSEWHERE, *TYPED, *operators})
