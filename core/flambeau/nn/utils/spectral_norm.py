"""The older way to divide a weight by its largest singular value: a hook makes the weight before every call.

`parametrizations.spectral_norm` is the newer one.
"""

from __future__ import annotations

from typing import Any, TypeVar

from flambeau.autograd import no_grad
from flambeau.errors import ArgumentError, ArgumentValueError
from flambeau.nn import functional as F
from flambeau.nn.modules.conv import ConvTranspose1d, ConvTranspose2d, ConvTranspose3d
from flambeau.nn.modules.module import Module
from flambeau.nn.parameter import Parameter, UninitializedParameter
from flambeau.ops.contraction import multi_dot
from flambeau.ops.factorization import pinverse
from flambeau.ops.linalg import dot, mm, mv
from flambeau.tensor import Tensor

__all__ = ["SpectralNorm", "SpectralNormLoadStateDictPreHook", "SpectralNormStateDictHook", "remove_spectral_norm",
           "spectral_norm"]

M = TypeVar("M", bound=Module)


class SpectralNorm:
    """The hook: the weight's name, how it is seen as a matrix, and how its largest singular value is estimated."""

    _version = 1   # of what it saves: since 1, the vector v too

    def __init__(self, name: str = "weight", n_power_iterations: int = 1, dim: int = 0, eps: float = 1e-12) -> None:
        if n_power_iterations <= 0:
            raise ArgumentValueError("Expected n_power_iterations to be positive, but got "
                                     f"n_power_iterations={n_power_iterations}")
        self.name = name
        self.dim = dim
        self.n_power_iterations = n_power_iterations
        self.eps = eps

    def reshape_weight_to_matrix(self, weight: Tensor) -> Tensor:
        """The weight as a matrix, with a row for each index of the dimension of outputs."""
        result: Tensor = weight.movedim(self.dim, 0).flatten(1) if weight.dim() > 1 else weight.unsqueeze(1)
        return result

    def compute_weight(self, module: Module, do_power_iteration: bool) -> Tensor:
        """The weight divided by the estimate, which is made better first if asked."""
        weight, u, v = (getattr(module, self.name + end) for end in ("_orig", "_u", "_v"))
        matrix = self.reshape_weight_to_matrix(weight)
        if do_power_iteration:
            with no_grad():
                for _ in range(self.n_power_iterations):
                    v.copy_(F.normalize(mv(matrix.t(), u), dim=0, eps=self.eps))
                    u.copy_(F.normalize(mv(matrix, v), dim=0, eps=self.eps))
                u, v = u.clone(), v.clone()   # since the next call changes them
        result: Tensor = weight / dot(u, mv(matrix, v))
        return result

    def remove(self, module: Module) -> None:
        """Make the weight an ordinary parameter again, with the value that it has."""
        with no_grad():
            weight = self.compute_weight(module, do_power_iteration=False)
        for end in ("", "_u", "_v", "_orig"):
            delattr(module, self.name + end)
        module.register_parameter(self.name, Parameter(weight.detach()))

    def __call__(self, module: Module, inputs: Any) -> None:
        setattr(module, self.name, self.compute_weight(module, do_power_iteration=module.training))

    def _solve_v_and_rescale(self, matrix: Tensor, u: Tensor, sigma: Tensor) -> Tensor:
        """The v with which u and the matrix give this singular value."""
        inverse = pinverse(mm(matrix.t(), matrix))
        v: Tensor = multi_dot([inverse, matrix.t(), u.unsqueeze(1)]).squeeze(1)
        return v.mul_(sigma / dot(u, mv(matrix, v)))

    @staticmethod
    def apply(module: Module, name: str, n_power_iterations: int, dim: int, eps: float) -> SpectralNorm:
        """Put a hook on a module."""
        if any(isinstance(hook, SpectralNorm) and hook.name == name for hook in module._forward_pre_hooks.values()):
            raise ArgumentError(f"Cannot register two spectral_norm hooks on the same parameter {name}")
        hook = SpectralNorm(name, n_power_iterations, dim, eps)
        weight = module._parameters[name]
        if weight is None:
            raise ArgumentValueError(f"`SpectralNorm` cannot be applied as parameter `{name}` is None")
        if isinstance(weight, UninitializedParameter):
            raise ArgumentValueError("The module passed to `SpectralNorm` can't have uninitialized parameters. Make "
                                     "sure to run the dummy forward before applying spectral normalization")
        with no_grad():
            sizes = hook.reshape_weight_to_matrix(weight).shape
            u, v = (F.normalize(weight.new_empty(size).normal_(0, 1), dim=0, eps=eps) for size in sizes)
        delattr(module, name)
        module.register_parameter(name + "_orig", weight)
        setattr(module, name, weight.detach())   # a plain attribute: not in the state dict
        module.register_buffer(name + "_u", u)
        module.register_buffer(name + "_v", v)
        module.register_forward_pre_hook(hook)
        module._register_state_dict_hook(SpectralNormStateDictHook(hook))
        module._register_load_state_dict_pre_hook(SpectralNormLoadStateDictPreHook(hook))
        return hook


class SpectralNormLoadStateDictPreHook:
    """Loads what was saved before the vector v was: computes it from the weight that was saved then."""

    def __init__(self, fn: SpectralNorm) -> None:
        self.fn = fn

    def __call__(self, state_dict: dict[str, Any], prefix: str, local_metadata: dict[str, Any], strict: bool,
                 missing_keys: list[str], unexpected_keys: list[str], error_msgs: list[str]) -> None:
        key = prefix + self.fn.name
        version = local_metadata.get("spectral_norm", {}).get(self.fn.name + ".version")
        if version is not None and version >= 1:
            return
        newer = [key + end for end in ("_orig", "_u", "_v")]
        if version is None and all(each in state_dict for each in newer) and key not in state_dict:
            return   # all is there, and only the note of the version is not
        missing = [each for each in (key + "_orig", key, key + "_u") if each not in state_dict]
        if missing:
            missing_keys.extend(missing if strict else [])
            return
        with no_grad():
            original, weight = state_dict[key + "_orig"], state_dict.pop(key)
            sigma = (original / weight).mean()
            state_dict[key + "_v"] = self.fn._solve_v_and_rescale(
                self.fn.reshape_weight_to_matrix(original), state_dict[key + "_u"], sigma)


class SpectralNormStateDictHook:
    """Notes the version of what is saved."""

    def __init__(self, fn: SpectralNorm) -> None:
        self.fn = fn

    def __call__(self, module: Module, state_dict: Any, prefix: str, local_metadata: dict[str, Any]) -> None:
        versions = local_metadata.setdefault("spectral_norm", {})
        key = self.fn.name + ".version"
        if key in versions:
            raise ArgumentError(f"Unexpected key in metadata['spectral_norm']: {key}")
        versions[key] = self.fn._version


def spectral_norm(module: M, name: str = "weight", n_power_iterations: int = 1, eps: float = 1e-12,
                  dim: int | None = None) -> M:
    """Divide a weight by its largest singular value, as a matrix whose rows are a dimension's indices.

    Args:
        module: the module that has the weight.
        name: its name.
        n_power_iterations: steps by which every call in training betters the estimate.
        eps: what the norms of vectors are at least.
        dim: the dimension of the outputs; by default 0, of transposed convolutions 1.

    What is learned is `<name>_orig`. RuntimeError where it is done already.

    >>> import flambeau as torch
    >>> sorted(torch.nn.utils.spectral_norm(torch.nn.Linear(2, 3)).state_dict())
    ['bias', 'weight_orig', 'weight_u', 'weight_v']
    """
    if dim is None:
        dim = 1 if isinstance(module, (ConvTranspose1d, ConvTranspose2d, ConvTranspose3d)) else 0
    SpectralNorm.apply(module, name, n_power_iterations, dim, eps)
    return module


def remove_spectral_norm(module: M, name: str = "weight") -> M:
    """Undo `spectral_norm`, and keep the weight's value. ValueError where it was not done."""
    for key, hook in module._forward_pre_hooks.items():
        if isinstance(hook, SpectralNorm) and hook.name == name:
            hook.remove(module)
            del module._forward_pre_hooks[key]
            break
    else:
        raise ArgumentValueError(f"spectral_norm of '{name}' not found in {module}")
    tables = ((module._state_dict_hooks, SpectralNormStateDictHook),
              (module._load_state_dict_pre_hooks, SpectralNormLoadStateDictPreHook))
    for table, kind in tables:
        for key, entry in list(table.items()):
            what = getattr(entry, "hook", entry)
            if isinstance(what, kind) and what.fn.name == name:
                del table[key]
    return module
