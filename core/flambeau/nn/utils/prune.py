"""Pruning: parts of a parameter are masked out, before every call, and can be for good.

A pruned parameter is `<name>_orig`, its mask the buffer `<name>_mask`, and `<name>` their product, which a hook makes
before every call. Pruning again masks out part of what is left.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from numbers import Integral, Real
from typing import Any, TypeVar

from flambeau.errors import ArgumentTypeError, ArgumentValueError, DimensionError
from flambeau.nn.modules.module import Module
from flambeau.nn.utils.convert_parameters import parameters_to_vector
from flambeau.ops.creation import ones_like, zeros_like
from flambeau.ops.norms import norm
from flambeau.ops.random import rand, rand_like
from flambeau.ops.sorting import kthvalue, topk
from flambeau.tensor import Tensor

M = TypeVar("M", bound=Module)


# ---------------------------------------------------------------------------------------------- how much
def _check_amount(amount: Any) -> None:
    if not isinstance(amount, Real):
        raise ArgumentTypeError(f"Invalid type for amount: {amount}. Must be int or float.")
    negative = isinstance(amount, Integral) and amount < 0
    if negative or (not isinstance(amount, Integral) and not 0.0 <= float(amount) <= 1.0):
        raise ArgumentValueError(f"amount={amount} should either be a float in the range [0, 1] or a non-negative "
                                 "integer")


def _number(amount: Any, size: int) -> int:
    """How many of `size` are pruned: an integer says it, a float is the share."""
    number = int(amount) if isinstance(amount, Integral) else round(amount * size)
    if number > size:
        raise ArgumentValueError(f"amount={number} should be smaller than the number of parameters to prune={size}")
    return number


def _check_dim(t: Tensor, dim: int) -> None:
    if t.dim() <= 1:
        raise ArgumentValueError("Structured pruning can only be applied to multidimensional tensors. Found tensor of "
                                 f"shape {t.shape} with {t.dim()} dims")
    if dim >= t.dim():
        raise DimensionError(f"Invalid index {dim} for tensor of size {t.shape}")


# ---------------------------------------------------------------------------------------------- methods
class BasePruningMethod(ABC):
    """A way to prune, and the hook that does it.

    A subclass says ``PRUNING_TYPE`` ("unstructured": single elements, "structured": slices along its ``dim``, "global":
    the whole mask at once) and computes the mask; ``apply`` puts it on a module's parameter.
    """

    PRUNING_TYPE: str
    _tensor_name: str

    def __call__(self, module: Module, inputs: Any) -> None:
        setattr(module, self._tensor_name, self.apply_mask(module))

    @abstractmethod
    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        """The mask for a tensor of importances, zero where the one that is there is zero."""

    def apply_mask(self, module: Module) -> Tensor:
        """The parameter with zeros where it is pruned."""
        if getattr(self, "_tensor_name", None) is None:
            raise AssertionError(f"Module {module} has to be pruned")
        original = getattr(module, self._tensor_name + "_orig")
        result: Tensor = getattr(module, self._tensor_name + "_mask").to(dtype=original.dtype) * original
        return result

    @classmethod
    def apply(cls, module: Module, name: str, *args: Any, importance_scores: Tensor | None = None,
              **kwargs: Any) -> BasePruningMethod:
        """Prune a parameter, or what is left of it, and keep it pruned.

        Args:
            module: the module that has it.
            name: its name.
            args: what the method is made with.
            importance_scores: of the parameter's shape; by default the parameter itself.
            kwargs: likewise.
        """
        method = _joined(cls(*args, **kwargs), module, name)
        original = getattr(module, name)
        if importance_scores is None:
            importance_scores = original
        elif importance_scores.shape != original.shape:
            raise AssertionError(f"importance_scores should have the same shape as parameter {name} of {module}, got "
                                 f"{importance_scores.shape} vs {original.shape}")
        again = isinstance(method, PruningContainer)
        if again:
            before = getattr(module, name + "_mask").detach().clone()
        else:
            module.register_parameter(name + "_orig", original)
            del module._parameters[name]
            before = ones_like(original.detach())
        try:
            module.register_buffer(name + "_mask", method.compute_mask(importance_scores, default_mask=before))
            setattr(module, name, method.apply_mask(module))
            module.register_forward_pre_hook(method)
        except Exception:
            if not again:
                module.register_parameter(name, getattr(module, name + "_orig"))
                del module._parameters[name + "_orig"]
            raise
        return method

    def prune(self, t: Tensor, default_mask: Tensor | None = None,
              importance_scores: Tensor | None = None) -> Tensor:
        """A tensor with zeros where this method prunes it; no module has part in it.

        >>> import flambeau as torch
        >>> torch.nn.utils.prune.L1Unstructured(amount=2).prune(torch.tensor([3., -1., 2., -4.]))
        tensor([ 3., -0.,  0., -4.])
        """
        if importance_scores is None:
            importance_scores = t
        elif importance_scores.shape != t.shape:
            raise AssertionError("importance_scores should have the same shape as tensor t, got "
                                 f"{importance_scores.shape} vs {t.shape}")
        if default_mask is None:
            default_mask = ones_like(t)
        result: Tensor = t * self.compute_mask(importance_scores, default_mask=default_mask)
        return result

    def remove(self, module: Module) -> None:
        """Make the pruned parameter an ordinary one again, with zeros where it is pruned."""
        pruned = self.apply_mask(module)
        if hasattr(module, self._tensor_name):
            delattr(module, self._tensor_name)
        original = module._parameters.pop(self._tensor_name + "_orig")
        original.data = pruned.detach()  # type: ignore[union-attr]  # `apply` put it there
        del module._buffers[self._tensor_name + "_mask"]
        setattr(module, self._tensor_name, original)


def _joined(method: BasePruningMethod, module: Module, name: str) -> BasePruningMethod:
    """The method, or the container of it and those that pruned the parameter before, whose hooks are taken away."""
    method._tensor_name = name
    older = {key: hook for key, hook in module._forward_pre_hooks.items()
             if isinstance(hook, BasePruningMethod) and hook._tensor_name == name}
    if len(older) > 1:
        raise AssertionError(f"Avoid adding multiple pruning hooks to the same tensor {name} of module {module}. Use a "
                             "PruningContainer.")
    for key, hook in older.items():
        del module._forward_pre_hooks[key]
        container = hook if isinstance(hook, PruningContainer) else PruningContainer(hook)
        container.add_pruning_method(method)
        return container
    return method


class PruningContainer(BasePruningMethod):
    """Methods that prune the same parameter one after another."""

    def __init__(self, *args: BasePruningMethod) -> None:
        self._pruning_methods: tuple[BasePruningMethod, ...] = ()
        if len(args) == 1:
            self._tensor_name = args[0]._tensor_name
        for method in args:
            self.add_pruning_method(method)

    def add_pruning_method(self, method: BasePruningMethod | None) -> None:
        """Add one more. TypeError for what is no method, ValueError for one of another parameter."""
        if method is not None and not isinstance(method, BasePruningMethod):
            raise ArgumentTypeError(f"{type(method)} is not a BasePruningMethod subclass")
        if method is not None and self._tensor_name != method._tensor_name:
            raise ArgumentValueError(
                f"Can only add pruning methods acting on the parameter named '{self._tensor_name}' to PruningContainer "
                f"{self}. Found '{method._tensor_name}'")
        self._pruning_methods += (method,)  # type: ignore[operator]  # None is kept, as in PyTorch

    def __len__(self) -> int:
        return len(self._pruning_methods)

    def __iter__(self) -> Iterator[BasePruningMethod]:
        return iter(self._pruning_methods)

    def __getitem__(self, idx: Any) -> Any:
        return self._pruning_methods[idx]

    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        """What the last method leaves of what the others have left."""
        method = self._pruning_methods[-1]
        part = _what_is_left(method, t, default_mask)
        mask = default_mask.to(dtype=t.dtype, copy=True)
        mask[part] = method.compute_mask(t[part], default_mask=default_mask[part]).to(dtype=mask.dtype)
        return mask


def _what_is_left(method: Any, t: Tensor, mask: Tensor) -> Any:
    """The index of the part of a tensor that a method may prune further."""
    if method.PRUNING_TYPE == "unstructured":
        return mask == 1
    if method.PRUNING_TYPE == "global":
        return (slice(None),) * t.dim()
    if method.PRUNING_TYPE != "structured":
        raise ArgumentValueError(f"Unrecognized PRUNING_TYPE {method.PRUNING_TYPE}")
    if not hasattr(method, "dim"):
        raise AttributeError('Pruning methods of PRUNING_TYPE "structured" need to have the attribute `dim` defined.')
    dim = method.dim + t.dim() if method.dim < 0 else method.dim
    if dim < 0:
        raise DimensionError(f"Index is out of bounds for tensor with dimensions {t.dim()}")
    kept = mask.sum(dim=[each for each in range(t.dim()) if each != dim]) != 0
    return tuple(kept if each == dim else slice(None) for each in range(t.dim()))


class Identity(BasePruningMethod):
    """Prunes nothing, but makes the parameter one that is pruned, with a mask of ones."""

    PRUNING_TYPE = "unstructured"

    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        """The mask that is there."""
        return default_mask

    @classmethod
    def apply(cls, module: Module, name: str) -> BasePruningMethod:  # type: ignore[override]  # PyTorch's arguments
        """Put the mask on."""
        return super().apply(module, name)


class _Amount(BasePruningMethod):
    """A method that is told how much to prune: a number of units, or the share of them."""

    def __init__(self, amount: float) -> None:
        _check_amount(amount)
        self.amount = amount


def _without(mask: Tensor, places: Tensor) -> Tensor:
    """A copy of a mask with zeros at places of its flattened form."""
    flat = mask.flatten().clone()
    flat[places] = 0
    result: Tensor = flat.reshape(mask.shape)
    return result


class RandomUnstructured(_Amount):
    """Prunes single elements at random."""

    PRUNING_TYPE = "unstructured"

    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        """Zeros at places that are drawn."""
        number = _number(self.amount, t.numel())
        if number == 0:
            return default_mask.clone()
        return _without(default_mask, topk(rand_like(t).flatten(), number).indices)

    @classmethod
    def apply(cls, module: Module, name: str, amount: float) -> BasePruningMethod:  # type: ignore[override]
        """Prune a number or a share of a parameter's elements."""
        return super().apply(module, name, amount=amount)


class L1Unstructured(_Amount):
    """Prunes the smallest elements."""

    PRUNING_TYPE = "unstructured"

    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        """Zeros where the importances are smallest."""
        number = _number(self.amount, t.numel())
        if number == 0:
            return default_mask.clone()
        return _without(default_mask, topk(t.detach().abs().flatten(), number, largest=False).indices)

    @classmethod
    def apply(cls, module: Module, name: str, amount: float,  # type: ignore[override]  # PyTorch's arguments
              importance_scores: Tensor | None = None) -> BasePruningMethod:
        """Prune a number or a share of a parameter's elements."""
        return super().apply(module, name, amount=amount, importance_scores=importance_scores)


def _channels(t: Tensor, dim: int, kept: Tensor) -> Tensor:
    """A mask with ones in some slices along a dimension."""
    mask = zeros_like(t)
    mask[(slice(None),) * (dim % t.dim()) + (kept,)] = 1
    return mask


class RandomStructured(_Amount):
    """Prunes slices along a dimension at random."""

    PRUNING_TYPE = "structured"

    def __init__(self, amount: float, dim: int = -1) -> None:
        super().__init__(amount)
        self.dim = dim

    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        """Zeros in slices that are drawn."""
        _check_dim(t, self.dim)
        size = t.size(self.dim)
        number = _number(self.amount, size)
        if number == 0:
            return default_mask
        drawn = rand(size)
        kept = (drawn > kthvalue(drawn, number).values).to(t.device)
        mask = _channels(t, self.dim, kept)
        return mask * default_mask.to(dtype=mask.dtype)

    @classmethod
    def apply(cls, module: Module, name: str, amount: float,  # type: ignore[override]  # PyTorch's arguments
              dim: int = -1) -> BasePruningMethod:
        """Prune a number or a share of a parameter's slices."""
        return super().apply(module, name, amount=amount, dim=dim)


class LnStructured(_Amount):
    """Prunes the slices along a dimension that have the smallest norms of order `n`."""

    PRUNING_TYPE = "structured"

    def __init__(self, amount: float, n: Any, dim: int = -1) -> None:
        super().__init__(amount)
        self.n = n
        self.dim = dim

    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        """Zeros in the slices whose importances have the smallest norms."""
        _check_dim(t, self.dim)
        size = t.size(self.dim)
        number = _number(self.amount, size)
        if number == 0:
            return default_mask
        others = [each for each in range(t.dim()) if each != self.dim % t.dim()]
        kept = topk(norm(t.detach(), p=self.n, dim=others), size - number).indices
        mask = _channels(t, self.dim, kept)
        return mask * default_mask.to(dtype=mask.dtype)

    @classmethod
    def apply(cls, module: Module, name: str, amount: float, n: Any, dim: int,  # type: ignore[override]
              importance_scores: Tensor | None = None) -> BasePruningMethod:
        """Prune a number or a share of a parameter's slices."""
        return super().apply(module, name, amount=amount, n=n, dim=dim, importance_scores=importance_scores)


class CustomFromMask(BasePruningMethod):
    """Prunes by a mask that is given."""

    PRUNING_TYPE = "global"

    def __init__(self, mask: Tensor) -> None:
        self.mask = mask

    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        """The given mask, and zeros where there were some."""
        if default_mask.shape != self.mask.shape:
            raise AssertionError(f"default_mask shape {default_mask.shape} must match self.mask shape "
                                 f"{self.mask.shape}")
        return default_mask * self.mask.to(dtype=default_mask.dtype)

    @classmethod
    def apply(cls, module: Module, name: str, mask: Tensor) -> BasePruningMethod:  # type: ignore[override]
        """Put the mask on."""
        return super().apply(module, name, mask=mask)


# ---------------------------------------------------------------------------------------------- what people call
def identity(module: M, name: str) -> M:
    """Make a parameter one that is pruned, of which nothing is.

    >>> import flambeau as torch
    >>> layer = torch.nn.utils.prune.identity(torch.nn.Linear(1, 2), "bias")
    >>> layer.bias_mask
    tensor([1., 1.])
    """
    Identity.apply(module, name)
    return module


def random_unstructured(module: M, name: str, amount: float) -> M:
    """Prune elements of a parameter at random: `amount` of them, or that share if it is a float.

    >>> import flambeau as torch
    >>> layer = torch.nn.utils.prune.random_unstructured(torch.nn.Linear(2, 3), "weight", amount=1)
    >>> int((layer.weight_mask == 0).sum())
    1
    """
    RandomUnstructured.apply(module, name, amount)
    return module


def l1_unstructured(module: M, name: str, amount: float, importance_scores: Tensor | None = None) -> M:
    """Prune the smallest elements of a parameter, or the least important if importances are given.

    >>> import flambeau as torch
    >>> layer = torch.nn.utils.prune.l1_unstructured(torch.nn.Linear(2, 3), "weight", amount=0.5)
    >>> sorted(layer.state_dict())
    ['bias', 'weight_mask', 'weight_orig']
    """
    L1Unstructured.apply(module, name, amount=amount, importance_scores=importance_scores)
    return module


def random_structured(module: M, name: str, amount: float, dim: int) -> M:
    """Prune slices of a parameter along a dimension at random.

    >>> import flambeau as torch
    >>> layer = torch.nn.utils.prune.random_structured(torch.nn.Linear(5, 3), "weight", amount=3, dim=1)
    >>> int((layer.weight.sum(0) == 0).sum())
    3
    """
    RandomStructured.apply(module, name, amount, dim)
    return module


def ln_structured(module: M, name: str, amount: float, n: Any, dim: int,
                  importance_scores: Tensor | None = None) -> M:
    """Prune the slices of a parameter along a dimension that have the smallest norms of order `n`.

    >>> import flambeau as torch
    >>> layer = torch.nn.utils.prune.ln_structured(torch.nn.Linear(5, 3), "weight", amount=1, n=2, dim=0)
    >>> int((layer.weight.sum(1) == 0).sum())
    1
    """
    LnStructured.apply(module, name, amount, n, dim, importance_scores=importance_scores)
    return module


def global_unstructured(parameters: Any, pruning_method: Any, importance_scores: Any = None, **kwargs: Any) -> None:
    """Prune several parameters as if they were one.

    Args:
        parameters: pairs of a module and a parameter's name.
        pruning_method: a class of methods, or a function that makes one, for single elements.
        importance_scores: importances by such a pair; by default the parameters themselves.
        kwargs: what the method is made with, such as ``amount``.

    TypeError where parameters cannot be gone through, importances are no dict, or the method prunes slices.
    """
    if not isinstance(parameters, Iterable):
        raise ArgumentTypeError("global_unstructured(): parameters is not an Iterable")
    if importance_scores is not None and not isinstance(importance_scores, dict):
        raise ArgumentTypeError("global_unstructured(): importance_scores must be of type dict")
    pairs = list(parameters)
    scores = importance_scores or {}
    importances = parameters_to_vector([scores.get((module, name), getattr(module, name)) for module, name in pairs])
    before = parameters_to_vector([getattr(module, name + "_mask") if hasattr(module, name + "_mask")
                                   else ones_like(getattr(module, name).detach()) for module, name in pairs])
    container = PruningContainer()
    method = pruning_method(**kwargs)
    container._tensor_name = method._tensor_name = "temp"
    if method.PRUNING_TYPE != "unstructured":
        raise ArgumentTypeError('Only "unstructured" PRUNING_TYPE supported for the `pruning_method`. Found method '
                                f"{pruning_method} of type {method.PRUNING_TYPE}")
    container.add_pruning_method(method)
    mask = container.compute_mask(importances.detach(), before)
    parts = mask.split([getattr(module, name).numel() for module, name in pairs])
    for (module, name), part in zip(pairs, parts, strict=True):
        custom_from_mask(module, name, mask=part.view_as(getattr(module, name)))


def custom_from_mask(module: M, name: str, mask: Tensor) -> M:
    """Prune a parameter where a mask is zero.

    >>> import flambeau as torch
    >>> layer = torch.nn.utils.prune.custom_from_mask(torch.nn.Linear(5, 3), "bias", torch.tensor([0, 1, 0]))
    >>> layer.bias_mask
    tensor([0., 1., 0.])
    """
    CustomFromMask.apply(module, name, mask)
    return module


def remove(module: M, name: str) -> M:
    """Make pruning permanent: the parameter is an ordinary one again, with zeros. ValueError where it is not pruned.

    >>> import flambeau as torch
    >>> layer = torch.nn.utils.prune.random_unstructured(torch.nn.Linear(2, 3), "weight", amount=0.2)
    >>> sorted(torch.nn.utils.prune.remove(layer, "weight").state_dict())
    ['bias', 'weight']
    """
    for key, hook in module._forward_pre_hooks.items():
        if isinstance(hook, BasePruningMethod) and hook._tensor_name == name:
            hook.remove(module)
            del module._forward_pre_hooks[key]
            return module
    raise ArgumentValueError(f"Parameter '{name}' of module {module} has to be pruned before pruning can be removed")


def is_pruned(module: Module) -> bool:
    """Whether a module, or one below it, has pruned parameters.

    >>> import flambeau as torch
    >>> torch.nn.utils.prune.is_pruned(torch.nn.Linear(5, 7))
    False
    """
    return any(isinstance(hook, BasePruningMethod)
               for each in module.modules() for hook in each._forward_pre_hooks.values())
