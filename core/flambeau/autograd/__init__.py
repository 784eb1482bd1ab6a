"""Gradients: running the walk, switching recording, custom functions, checks.

Source: https://docs.pytorch.org/docs/stable/autograd.html
"""

from typing import Any

from flambeau.autograd import function, functional, grad_mode, graph
from flambeau.autograd.anomaly import (
    detect_anomaly,
    is_anomaly_check_nan_enabled,
    is_anomaly_enabled,
    set_detect_anomaly,
)
from flambeau.autograd.function import Function
from flambeau.autograd.grad_mode import (
    enable_grad,
    inference_mode,
    is_grad_enabled,
    is_inference_mode_enabled,
    no_grad,
    set_grad_enabled,
)
from flambeau.autograd.gradcheck import GradcheckError, gradcheck, gradgradcheck
from flambeau.tensor import Tensor
from flambeau.walk import backward, grad

__all__ = ["Function", "GradcheckError", "Variable", "backward", "detect_anomaly", "enable_grad",
           "function", "functional", "grad", "grad_mode", "gradcheck", "gradgradcheck", "graph", "inference_mode",
           "is_anomaly_check_nan_enabled", "is_anomaly_enabled", "is_grad_enabled", "is_inference_mode_enabled",
           "no_grad", "set_detect_anomaly", "set_grad_enabled"]


def __getattr__(name: str) -> Any:
    if name == "profiler":  # imported when it is named
        import importlib
        return importlib.import_module("flambeau.autograd.profiler")
    raise AttributeError(f"module 'flambeau.autograd' has no attribute {name!r}")


class _VariableMeta(type):
    def __instancecheck__(cls, instance: Any) -> bool:
        return isinstance(instance, Tensor)


class Variable(metaclass=_VariableMeta):
    """The old wrapper: `Variable(tensor, requires_grad)` is the tensor.

    >>> import flambeau as torch
    >>> torch.autograd.Variable(torch.ones(2), requires_grad=True).requires_grad
    True
    """

    def __new__(cls, data: Any = None, requires_grad: bool = False, volatile: bool = False) -> Any:
        from flambeau.ops import creation
        result = creation.tensor([]) if data is None else data.detach()
        return result.requires_grad_() if requires_grad else result
