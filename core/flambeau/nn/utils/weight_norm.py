"""The older way to learn a weight's sizes apart from its directions: a hook makes the weight before every call.

`parametrizations.weight_norm` is the newer one, which loads what this one has saved.
"""

from __future__ import annotations

import warnings
from typing import Any, TypeVar

from flambeau.errors import ArgumentError, ArgumentValueError
from flambeau.nn.modules.module import Module
from flambeau.nn.parameter import Parameter, UninitializedParameter
from flambeau.ops.parametrizations import norm_except_dim
from flambeau.tensor import Tensor

__all__ = ["WeightNorm", "remove_weight_norm", "weight_norm"]

M = TypeVar("M", bound=Module)


class WeightNorm:
    """The hook. ``name`` is the weight's, ``dim`` the dimension whose indices have norms of their own, or -1."""

    name: str
    dim: int

    def __init__(self, name: str, dim: int | None) -> None:
        self.name = name
        self.dim = -1 if dim is None else dim

    def compute_weight(self, module: Module) -> Any:
        """The weight, from sizes and directions."""
        sizes, directions = getattr(module, self.name + "_g"), getattr(module, self.name + "_v")
        return directions * (sizes / norm_except_dim(directions, 2, self.dim))

    @staticmethod
    def apply(module: Module, name: str, dim: int | None) -> WeightNorm:
        """Put a hook on a module. FutureWarning: there is a newer way."""
        warnings.warn("`torch.nn.utils.weight_norm` is deprecated in favor of "
                      "`torch.nn.utils.parametrizations.weight_norm`.", FutureWarning, stacklevel=3)
        if any(isinstance(hook, WeightNorm) and hook.name == name for hook in module._forward_pre_hooks.values()):
            raise ArgumentError(f"Cannot register two weight_norm hooks on the same parameter {name}")
        hook = WeightNorm(name, dim)
        weight: Tensor = getattr(module, name)
        if isinstance(weight, UninitializedParameter):
            raise ArgumentValueError("The module passed to `WeightNorm` can't have uninitialized parameters. Make sure "
                                     "to run the dummy forward before applying weight normalization")
        del module._parameters[name]
        module.register_parameter(name + "_g", Parameter(norm_except_dim(weight, 2, hook.dim).detach()))
        module.register_parameter(name + "_v", Parameter(weight.detach()))
        setattr(module, name, hook.compute_weight(module))
        module.register_forward_pre_hook(hook)
        return hook

    def remove(self, module: Module) -> None:
        """Make the weight an ordinary parameter again, with the value that it has."""
        weight = self.compute_weight(module)
        delattr(module, self.name)
        del module._parameters[self.name + "_g"]
        del module._parameters[self.name + "_v"]
        setattr(module, self.name, Parameter(weight.detach()))

    def __call__(self, module: Module, inputs: Any) -> None:
        setattr(module, self.name, self.compute_weight(module))


def weight_norm(module: M, name: str = "weight", dim: int | None = 0) -> M:
    """Learn the norms of a weight's slices, `<name>_g`, apart from their directions, `<name>_v`.

    Args:
        module: the module that has the weight.
        name: its name.
        dim: the dimension that keeps a norm for each index; None for one norm of all.

    RuntimeError where it is done already. FutureWarning: `parametrizations.weight_norm` is the newer way.
    """
    WeightNorm.apply(module, name, dim)
    return module


def remove_weight_norm(module: M, name: str = "weight") -> M:
    """Undo `weight_norm`, and keep the weight's value. ValueError where it was not done."""
    for key, hook in module._forward_pre_hooks.items():
        if isinstance(hook, WeightNorm) and hook.name == name:
            hook.remove(module)
            del module._forward_pre_hooks[key]
            return module
    raise ArgumentValueError(f"weight_norm of '{name}' not found in {module}")
