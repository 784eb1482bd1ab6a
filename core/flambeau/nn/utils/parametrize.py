"""Parameters that are functions of others: `layer.weight` becomes a property that computes it.

What is learned moves to `layer.parametrizations.weight.original`, and the modules that make the weight of it stand
beside it. A property belongs to a class, so such a layer gets a class of its own, which derives from the one it had.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from flambeau.autograd import no_grad
from flambeau.errors import ArgumentError, ArgumentValueError
from flambeau.nn.modules.container import ModuleDict, ModuleList
from flambeau.nn.modules.module import Module
from flambeau.nn.parameter import Parameter
from flambeau.tensor import Tensor

__all__ = ["ParametrizationList", "cached", "is_parametrized", "register_parametrization", "remove_parametrizations",
           "transfer_parametrizations_and_params", "type_before_parametrizations"]

M = TypeVar("M", bound=Module)


class _Cache:
    """What parametrised tensors were computed as, while somebody wants that kept."""

    def __init__(self) -> None:
        self.users = 0
        self.found: dict[tuple[int, str], Tensor] = {}


_cache = _Cache()


@contextmanager
def cached() -> Iterator[None]:
    """Compute each parametrised tensor once within the block, and forget it behind.

    >>> import flambeau as torch
    >>> from flambeau.nn.utils import parametrize
    >>> class Loud(torch.nn.Module):
    ...     def forward(self, x):
    ...         print("computed")
    ...         return 2 * x
    >>> layer = parametrize.register_parametrization(torch.nn.Linear(2, 2), "weight", Loud(), unsafe=True)
    >>> with parametrize.cached():
    ...     same = layer.weight is layer.weight
    computed
    >>> same
    True
    """
    _cache.users += 1
    try:
        yield
    finally:
        _cache.users -= 1
        if not _cache.users:
            _cache.found = {}


# ---------------------------------------------------------------------------------------------- checks
def _compare(what: str, found: Any, wanted: Tensor, names: tuple[str, str]) -> None:
    """ValueError unless `found` is a tensor of the wanted one's dtype and shape."""
    if not isinstance(found, Tensor):
        raise ArgumentValueError(f"{what} must return a tensor. Got {type(found).__name__}.")
    for property_name in ("dtype", "shape"):
        before, after = getattr(wanted, property_name), getattr(found, property_name)
        if before != after:
            raise ArgumentValueError(
                f"Registering a parametrization may not change the {property_name} of the tensor, unless the `unsafe` "
                f"flag is enabled.\n{names[0]} {property_name}: {before}\n{names[1]} {property_name}: {after}")


def _compare_inverse(found: Any, wanted: Tensor, name: str) -> None:
    """ValueError unless what a right inverse gives can be what is parametrised already."""
    if not isinstance(found, Tensor):
        raise ArgumentValueError(f"parametrization.right_inverse must return a tensor. Got: {type(found).__name__}")
    for property_name in ("dtype", "shape"):
        before, after = getattr(wanted, property_name), getattr(found, property_name)
        if before != after:
            raise ArgumentValueError(
                f"The tensor returned by parametrization.right_inverse must have the same {property_name} as "
                f"module.{name}, unless the `unsafe` flag is enabled: {after} and not {before}")


# ---------------------------------------------------------------------------------------------- one tensor
class ParametrizationList(ModuleList):
    """The modules that make one parametrised tensor, in order, and what they make it of.

    Args:
        modules: the modules; the first may take several tensors.
        original: the tensor that there is. Its last module's ``right_inverse`` comes first, if it has one.
        unsafe: whether to leave out the checks that dtype and shape stay the same.

    What is learned is ``original``, or ``original0``, ``original1``... where ``right_inverse`` gives a sequence.
    """

    original: Tensor
    unsafe: bool

    def __init__(self, modules: Sequence[Module], original: Tensor, unsafe: bool = False) -> None:
        if len(modules) == 0:
            raise ArgumentValueError("ParametrizationList requires one or more modules.")
        super().__init__(modules)
        self.unsafe = unsafe
        shape, dtype = original.shape, original.dtype
        new = self._first_originals(original)
        self.is_tensor = isinstance(new, Tensor)
        self.ntensors = 1 if self.is_tensor else len(new)
        if self.is_tensor:
            for name in ("dtype", "device"):
                if getattr(original, name) != getattr(new, name):
                    raise ArgumentValueError(
                        f"When `right_inverse` outputs one tensor, it may not change the {name}.\noriginal.{name}: "
                        f"{getattr(original, name)}\nright_inverse(original).{name}: {getattr(new, name)}")
            _replace(original, new)
            _register(self, "original", original)
        else:
            self._register_several(original, new)
        if not unsafe:
            _check_result(self(), shape, dtype)

    def _first_originals(self, value: Any) -> Any:
        """The tensor as the modules' right inverses see it; those without one leave it as it is."""
        with no_grad():
            for module in reversed(self):
                if hasattr(module, "right_inverse"):
                    try:
                        value = module.right_inverse(value)
                    except NotImplementedError:   # which says that there is none
                        continue
        if not isinstance(value, (Tensor, Sequence)):
            raise ArgumentValueError("'right_inverse' must return a Tensor or a Sequence of tensors (list, tuple...). "
                                     f"Got {type(value).__name__}")
        return value

    def _register_several(self, original: Tensor, new: Sequence[Any]) -> None:
        for number, each in enumerate(new):
            if not isinstance(each, Tensor):
                raise ArgumentValueError(
                    "'right_inverse' must return a Tensor or a Sequence of tensors (list, tuple...). Got element "
                    f"{number} of the sequence with type {type(each).__name__}.")
            if isinstance(original, Parameter):
                each = Parameter(each, original.requires_grad)
            each.requires_grad_(original.requires_grad)
            _register(self, f"original{number}", each)

    def right_inverse(self, value: Tensor) -> None:
        """Make the parametrised tensor this one, by what the modules' right inverses give.

        RuntimeError where a module has none, ValueError where it gives what does not fit.
        """
        with no_grad():
            given: Any = value
            for module in reversed(self):
                if not hasattr(module, "right_inverse"):
                    raise ArgumentError(f"parametrization {type(module).__name__} does not implement right_inverse.")
                given = module.right_inverse(given)
            if self.is_tensor:
                if not isinstance(given, Tensor):
                    raise ArgumentValueError(f"`right_inverse` should return a tensor. Got {type(given).__name__}")
                self._put("The tensor returned by `right_inverse`", "original", given)
                return
            if not isinstance(given, Sequence):
                raise ArgumentValueError("'right_inverse' must return a sequence of tensors. Got "
                                         f"{type(given).__name__}.")
            if len(given) != self.ntensors:
                raise ArgumentValueError(f"'right_inverse' must return a sequence of tensors of length {self.ntensors}."
                                         f" Got a sequence of length {len(given)}.")
            for number, each in enumerate(given):
                if not isinstance(each, Tensor):
                    raise ArgumentValueError("'right_inverse' must return a sequence of tensors. Got element "
                                             f"{number} of type {type(each).__name__}")
                self._put(f"Tensor {number} returned by `right_inverse`", f"original{number}", each)

    def _put(self, what: str, name: str, value: Tensor) -> None:
        there = getattr(self, name)
        if there.dtype != value.dtype:
            raise ArgumentValueError(f"{what} has dtype {value.dtype} while `{name}` has dtype {there.dtype}")
        _replace(there, value)

    def forward(self) -> Tensor:
        """The parametrised tensor."""
        first, *rest = self
        if self.is_tensor:
            result = first(self.original)
        else:
            result = first(*[getattr(self, f"original{number}") for number in range(self.ntensors)])
        for module in rest:
            result = module(result)
        return result


def _check_result(found: Any, shape: Any, dtype: Any) -> None:
    if not isinstance(found, Tensor):
        raise ArgumentValueError(f"A parametrization must return a tensor. Got {type(found).__name__}.")
    for name, before, after in (("dtype", dtype, found.dtype), ("shape", shape, found.shape)):
        if before != after:
            raise ArgumentValueError(
                f"Registering a parametrization may not change the {name} of the tensor, unless `unsafe` flag is "
                f"enabled.\nunparametrized {name}: {before}\nparametrized {name}: {after}")


def _replace(tensor: Tensor, values: Tensor) -> None:
    """Give a tensor the memory of another, whatever its shape."""
    if values is not tensor:
        tensor.data = values.detach()


def _register(module: Module, name: str, tensor: Tensor) -> None:
    if isinstance(tensor, Parameter):
        module.register_parameter(name, tensor)
    else:
        module.register_buffer(name, tensor)


# ---------------------------------------------------------------------------------------------- classes
def _refuse_state(module: Module) -> Any:
    raise ArgumentError("Serialization of parametrized modules is only supported through state_dict(): their class "
                        "exists in this process only")


def _deepcopy(module: Module, memo: dict[int, Any]) -> Module:
    """A copy of the module with the same class; the usual way would ask for the state that is refused."""
    if id(module) in memo:
        return memo[id(module)]
    replica: Module = module.__new__(type(module))
    memo[id(module)] = replica
    replica.__dict__ = copy.deepcopy(module.__dict__, memo)
    return replica


def _give_own_class(module: Module) -> None:
    cls = type(module)
    members: dict[str, Any] = {"__getstate__": _refuse_state}
    if not hasattr(cls, "__deepcopy__"):
        members["__deepcopy__"] = _deepcopy
    module.__class__ = type(f"Parametrized{cls.__name__}", (cls,), members)


def _give_property(module: Module, name: str) -> None:
    def get(self: Module) -> Tensor:
        computed: ParametrizationList = self.parametrizations[name]
        if not _cache.users:
            return computed()
        key = (id(self), name)
        if key not in _cache.found:
            _cache.found[key] = computed()
        return _cache.found[key]

    def put(self: Module, value: Tensor) -> None:
        self.parametrizations[name].right_inverse(value)

    setattr(type(module), name, property(get, put))


# ---------------------------------------------------------------------------------------------- what people call
def register_parametrization(module: M, tensor_name: str, parametrization: Module, *, unsafe: bool = False) -> M:
    """Make a parameter or buffer a function of what is learned in its place; the module itself, changed.

    Args:
        module: the module that has it.
        tensor_name: its name; one that is parametrised already gets one more function.
        parametrization: computes it from what is learned. With a method ``right_inverse`` it can be assigned to, and
            starts with the value that it has.
        unsafe: leave out the checks that dtype and shape stay the same.

    ValueError where there is no such tensor, or dtype or shape change.

    >>> import flambeau as torch
    >>> from flambeau.nn.utils import parametrize
    >>> class Symmetric(torch.nn.Module):
    ...     def forward(self, x):
    ...         return x.triu() + x.triu(1).mT
    >>> layer = parametrize.register_parametrization(torch.nn.Linear(3, 3), "weight", Symmetric())
    >>> torch.equal(layer.weight, layer.weight.mT)
    True
    >>> [name for name, _ in layer.named_parameters()]
    ['bias', 'parametrizations.weight.original']
    """
    parametrization.train(module.training)
    if is_parametrized(module, tensor_name):
        if not unsafe:
            _check_addition(module, tensor_name, parametrization)
        there = module.parametrizations[tensor_name]
        there.append(parametrization)
        there.unsafe |= unsafe
    elif tensor_name in module._buffers or tensor_name in module._parameters:
        parametrizations = ParametrizationList([parametrization], getattr(module, tensor_name), unsafe=unsafe)
        delattr(module, tensor_name)
        if not is_parametrized(module):
            _give_own_class(module)
            module.parametrizations = ModuleDict()
        _give_property(module, tensor_name)
        module.parametrizations[tensor_name] = parametrizations
    else:
        raise ArgumentValueError(f"Module '{module}' does not have a parameter, a buffer, or a parametrized element "
                                 f"with name '{tensor_name}'")
    return module


def _check_addition(module: Module, name: str, parametrization: Module) -> None:
    """ValueError where one more function would change the tensor's dtype or shape."""
    before = getattr(module, name)
    after = parametrization(before)
    _compare("A parametrization", after, before, (f"module.{name}", f"parametrization(module.{name})"))
    if hasattr(parametrization, "right_inverse"):
        try:
            back = parametrization.right_inverse(after)
        except NotImplementedError:   # which says that there is none
            return
        _compare_inverse(back, before, name)


def is_parametrized(module: Module, tensor_name: str | None = None) -> bool:
    """Whether a module has parametrised tensors, or one of this name.

    >>> import flambeau as torch
    >>> torch.nn.utils.parametrize.is_parametrized(torch.nn.Linear(2, 2))
    False
    """
    found = getattr(module, "parametrizations", None)
    if not isinstance(found, ModuleDict):
        return False
    return len(found) > 0 if tensor_name is None else tensor_name in found


def remove_parametrizations(module: M, tensor_name: str, leave_parametrized: bool = True) -> M:
    """Make a parametrised tensor an ordinary one again; the module itself, changed.

    Args:
        module: the module that has it.
        tensor_name: its name.
        leave_parametrized: keep the value that it has now, else the one that was learned.

    ValueError where it is not parametrised, or is made of several tensors and its value is not to be kept.

    >>> import flambeau as torch
    >>> layer = torch.nn.utils.parametrizations.orthogonal(torch.nn.Linear(2, 2))
    >>> torch.nn.utils.parametrize.remove_parametrizations(layer, "weight")
    Linear(in_features=2, out_features=2, bias=True)
    """
    if not is_parametrized(module, tensor_name):
        raise ArgumentValueError(f"Module {module} does not have a parametrization on {tensor_name}")
    parametrizations = module.parametrizations[tensor_name]
    if not parametrizations.is_tensor and not leave_parametrized:
        raise ArgumentValueError("Cannot leave unparametrized (`leave_parametrized=False`) a tensor that is "
                                 "parametrized in terms of a sequence of tensors.")
    if not parametrizations.is_tensor:
        value = getattr(module, tensor_name)
        original = Parameter(value.detach()) if value.requires_grad else value
    else:
        original = parametrizations.original
        if leave_parametrized:
            with no_grad():
                _replace(original, getattr(module, tensor_name))
    delattr(type(module), tensor_name)
    del module.parametrizations[tensor_name]
    _register(module, tensor_name, original)
    if not is_parametrized(module):
        del module.parametrizations
        module.__class__ = type(module).__bases__[0]
    return module


def type_before_parametrizations(module: Module) -> type:
    """The class that a module had before it was parametrised, or has.

    >>> import flambeau as torch
    >>> layer = torch.nn.utils.parametrizations.weight_norm(torch.nn.Linear(2, 2))
    >>> type(layer).__name__, torch.nn.utils.parametrize.type_before_parametrizations(layer).__name__
    ('ParametrizedLinear', 'Linear')
    """
    return type(module).__bases__[0] if is_parametrized(module) else type(module)


def transfer_parametrizations_and_params(from_module: Module, to_module: M, tensor_name: str | None = None) -> M:
    """Parametrise another module's tensors likewise, with what is learned; the other module, changed.

    Args:
        from_module: what to take from. Without parametrisations, nothing happens.
        to_module: gets them; a tensor that it does not have is made.
        tensor_name: the only tensor to treat so, else all.
    """
    if not is_parametrized(from_module):
        return to_module
    names: Iterable[str] = from_module.parametrizations if tensor_name is None else [tensor_name]
    for name in names:
        source = from_module.parametrizations[name]
        if not hasattr(to_module, name):
            setattr(to_module, name, Parameter(getattr(from_module, name).detach()))
        for parametrization in source:
            register_parametrization(to_module, name, parametrization)
        target = to_module.parametrizations[name]
        for own in (*source._parameters, *source._buffers):
            if own.startswith("original"):
                setattr(target, own, getattr(source, own))
    return to_module
