"""Containers: modules and parameters held in a row, in a list or under names."""

from __future__ import annotations

import operator
import warnings
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain, islice
from typing import Any, TypeVar, overload

from flambeau.errors import ArgumentError, ArgumentTypeError, ArgumentValueError
from flambeau.nn.modules.module import Module
from flambeau.nn.parameter import Parameter
from flambeau.tensor import Tensor

__all__ = ["Container", "ModuleDict", "ModuleList", "ParameterDict", "ParameterList", "Sequential"]

Self = TypeVar("Self", bound=Module)


def _position(length: int, index: Any) -> int:
    """A list position from an index that may be negative; IndexError where it is out of range."""
    position: int = operator.index(index)
    if not -length <= position < length:
        raise IndexError(f"index {position} is out of range")
    return position % length


class Container(Module):
    """Deprecated: a module with the children that are given by name, as any ``Module`` has them; warns that it is."""

    def __init__(self, **kwargs: Any) -> None:
        warnings.warn(
            "`nn.Container` is deprecated. All of its functionality is now implemented in `nn.Module`: subclass that "
            "instead.",
            FutureWarning,
            stacklevel=2,
        )
        super().__init__()
        for name, module in kwargs.items():
            self.add_module(name, module)


class _Numbered(Module):
    """What Sequential and ModuleList share: children whose names are 0, 1, 2, ..."""

    _modules: dict[str, Module]  # type: ignore[assignment]

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[Module]:
        return iter(self._modules.values())

    def _replace_all(self, modules: Iterable[Module]) -> None:
        kept = list(modules)
        self._modules.clear()
        for number, module in enumerate(kept):
            self._modules[str(number)] = module

    def append(self: Self, module: Module) -> Self:
        """Add a module at the end."""
        self.add_module(str(len(self)), module)
        return self

    def __dir__(self) -> list[str]:
        return [name for name in super().__dir__() if not name.isdigit()]


class Sequential(_Numbered):
    """Modules one after the other; each takes what the one before it gives.

    Takes modules, or one ordered dictionary of names to modules.

    >>> import flambeau as torch
    >>> torch.nn.Sequential(torch.nn.Flatten(), torch.nn.ReLU())
    Sequential(
      (0): Flatten(start_dim=1, end_dim=-1)
      (1): ReLU()
    )
    """

    def __init__(self, *args: Any) -> None:
        super().__init__()
        if len(args) == 1 and isinstance(args[0], OrderedDict):
            for name, module in args[0].items():
                self.add_module(name, module)
        else:
            for number, module in enumerate(args):
                self.add_module(str(number), module)

    def forward(self, input: Any) -> Any:
        """Pass the input through every module in turn."""
        for module in self._modules.values():
            input = module(input)
        return input

    def _name_at(self, index: Any) -> str:
        return next(islice(self._modules, _position(len(self), index), None))

    def __getitem__(self, index: slice | int) -> Any:
        if isinstance(index, slice):
            return type(self)(OrderedDict(list(self._modules.items())[index]))
        return self._modules[self._name_at(index)]

    def __setitem__(self, index: int, module: Module) -> None:
        setattr(self, self._name_at(index), module)

    def __delitem__(self, index: slice | int) -> None:
        names = list(self._modules)[index] if isinstance(index, slice) else [self._name_at(index)]
        for name in names:
            delattr(self, name)
        self._replace_all(self._modules.values())

    def pop(self, key: int | slice) -> Module:
        """Remove the module at a position and return it."""
        removed: Module = self[key]
        del self[key]
        return removed

    def insert(self, index: int, module: Module) -> Sequential:
        """Put a module in front of the one at ``index``; IndexError where that is out of range."""
        _check_is_module(module, "module")
        if not -len(self) <= index <= len(self):
            raise IndexError(f"Index out of range: {index}")
        modules = list(self._modules.values())
        modules.insert(index if index >= 0 else index + len(self), module)
        self._replace_all(modules)
        return self

    def extend(self, sequential: Iterable[Module]) -> Sequential:
        """Add the modules of another Sequential at the end."""
        for module in sequential:
            self.append(module)
        return self

    def __add__(self, other: Any) -> Sequential:
        _check_is_sequential(other, "add")
        return Sequential(*self, *other)

    def __iadd__(self, other: Any) -> Sequential:
        _check_is_sequential(other, "add")
        return self.extend(list(other))

    def __mul__(self, other: int) -> Sequential:
        _check_is_count(other)
        return Sequential(*(module for _ in range(other) for module in self))

    def __rmul__(self, other: int) -> Sequential:
        return self.__mul__(other)

    def __imul__(self, other: int) -> Sequential:
        _check_is_count(other)
        modules = list(self)
        for _ in range(other - 1):
            self.extend(modules)
        return self


def _check_is_module(value: Any, what: str) -> None:
    if not isinstance(value, Module):
        raise AssertionError(f"{what} should be of type: {Module}")


def _check_is_sequential(value: Any, what: str) -> None:
    if not isinstance(value, Sequential):
        raise ArgumentValueError(
            f"{what} operator supports only objects of Sequential class, but {type(value)} is given."
        )


def _check_is_count(value: Any) -> None:
    if not isinstance(value, int):
        raise ArgumentTypeError(f"unsupported operand type(s) for *: {type(Sequential)} and {type(value)}")
    if value <= 0:
        raise ArgumentValueError(f"Non-positive multiplication factor {value} for {type(Sequential)}")


class ModuleList(_Numbered):
    """A list of modules that their owner sees; it has no forward.

    >>> import flambeau as torch
    >>> torch.nn.ModuleList([torch.nn.ReLU(), torch.nn.ReLU()])
    ModuleList(
      (0-1): 2 x ReLU()
    )
    """

    def __init__(self, modules: Iterable[Module] | None = None) -> None:
        super().__init__()
        if modules is not None:
            self += modules

    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return type(self)(list(self._modules.values())[index])
        return self._modules[str(_position(len(self), index))]

    def __setitem__(self, index: int, module: Module) -> None:
        setattr(self, str(_position(len(self), index)), module)

    def __delitem__(self, index: int | slice) -> None:
        names = list(self._modules)[index] if isinstance(index, slice) else [str(_position(len(self), index))]
        for name in names:
            delattr(self, name)
        self._replace_all(self._modules.values())

    def __iadd__(self, modules: Iterable[Module]) -> ModuleList:
        return self.extend(modules)

    def __add__(self, other: Iterable[Module]) -> ModuleList:
        return ModuleList(chain(self, other))

    def __contains__(self, module: object) -> bool:
        return any(module is own for own in self)

    def insert(self, index: int, module: Module) -> None:
        """Put a module in front of the one at ``index``, as ``list.insert`` does."""
        modules = list(self)
        modules.insert(index, module)
        self._replace_all(modules)

    def extend(self, modules: Iterable[Module]) -> ModuleList:
        """Add every module of an iterable at the end."""
        if not isinstance(modules, Iterable):
            raise ArgumentTypeError(
                f"ModuleList.extend should be called with an iterable, but got {type(modules).__name__}"
            )
        for module in list(modules):
            self.append(module)
        return self

    def pop(self, key: int | slice) -> Module:
        """Remove the module at a position and return it."""
        removed: Module = self[key]
        del self[key]
        return removed

    def __repr__(self) -> str:
        """As a module's, but equal neighbours share a line: ``(0-3): 4 x Linear(...)``."""
        runs: list[tuple[str, int, int]] = []
        for number, text in enumerate(repr(module) for module in self):
            if runs and runs[-1][0] == text:
                runs[-1] = (text, runs[-1][1], number)
            else:
                runs.append((text, number, number))
        if not runs:
            return f"{self._get_name()}()"
        lines = [
            f"({first}): {text}" if first == last else f"({first}-{last}): {last - first + 1} x {text}"
            for text, first, last in runs
        ]
        inner = "\n".join(lines).replace("\n", "\n  ")
        return f"{self._get_name()}(\n  {inner}\n)"


class ModuleDict(Module):
    """Modules under names, in the order in which they were added; it has no forward.

    >>> import flambeau as torch
    >>> torch.nn.ModuleDict({"act": torch.nn.ReLU()})["act"]
    ReLU()
    """

    _modules: dict[str, Module]  # type: ignore[assignment]

    def __init__(self, modules: Mapping[str, Module] | Iterable[tuple[str, Module]] | None = None) -> None:
        super().__init__()
        if modules is not None:
            self.update(modules)

    def __getitem__(self, key: str) -> Any:
        return self._modules[key]

    def __setitem__(self, key: str, module: Module) -> None:
        self.add_module(key, module)

    def __delitem__(self, key: str) -> None:
        del self._modules[key]

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[str]:
        return iter(self._modules)

    def __contains__(self, key: object) -> bool:
        return key in self._modules

    def clear(self) -> None:
        """Remove everything."""
        self._modules.clear()

    def pop(self, key: str) -> Module:
        """Remove a module and return it."""
        return self._modules.pop(key)

    def keys(self) -> Iterable[str]:
        """The names."""
        return self._modules.keys()

    def items(self) -> Iterable[tuple[str, Module]]:
        """Names and modules."""
        return self._modules.items()

    def values(self) -> Iterable[Module]:
        """The modules."""
        return self._modules.values()

    def update(self, modules: Mapping[str, Module] | Iterable[tuple[str, Module]]) -> None:
        """Add modules from a mapping or from pairs; a name that is there already is given the new module."""
        for key, module in _pairs(modules, "ModuleDict"):
            self[key] = module


def _pairs(source: Any, owner: str) -> Iterator[tuple[str, Any]]:
    if not isinstance(source, Iterable):
        raise ArgumentTypeError(
            f"{owner}.update should be called with an iterable of key/value pairs, but got {type(source).__name__}"
        )
    if isinstance(source, (Mapping, ModuleDict, ParameterDict)):
        yield from source.items()
        return
    for number, pair in enumerate(source):
        if not isinstance(pair, Iterable):
            raise ArgumentTypeError(
                f"{owner} update sequence element #{number} should be Iterable; is {type(pair).__name__}"
            )
        parts = list(pair)
        if len(parts) != 2:
            raise ArgumentValueError(
                f"{owner} update sequence element #{number} has length {len(parts)}; 2 is required"
            )
        yield parts[0], parts[1]


def _as_parameter(value: Any) -> Any:
    """A plain tensor becomes a parameter; everything else stays what it is."""
    return Parameter(value) if isinstance(value, Tensor) and not isinstance(value, Parameter) else value


def _describe(value: Any, kind_of_values: Any) -> str:
    if not isinstance(value, Tensor):
        return f"Object of type: {type(value).__name__}"
    kind = "Parameter" if isinstance(value, Parameter) else "Tensor"
    shape = "x".join(str(extent) for extent in value.size())
    place = "" if value.is_cpu else f" ({value.device})"
    return f"{kind} containing: [{kind_of_values} of size {shape}{place}]"


class ParameterList(Module):
    """A list whose tensors are parameters of their owner; other values may stand in it too.

    >>> import flambeau as torch
    >>> len(list(torch.nn.ParameterList([torch.ones(2), torch.ones(3)]).parameters()))
    2
    """

    def __init__(self, values: Iterable[Any] | None = None) -> None:
        super().__init__()
        self._size = 0
        if values is not None:
            self += values

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[Any]:
        return iter([self[i] for i in range(len(self))])

    @overload
    def __getitem__(self, index: int) -> Any: ...
    @overload
    def __getitem__(self, index: slice) -> ParameterList: ...
    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return type(self)(self[i] for i in range(*index.indices(len(self))))
        return getattr(self, str(_position(len(self), index)))

    def __setitem__(self, index: int, value: Any) -> None:
        setattr(self, str(_position(len(self), index)), _as_parameter(value))

    def __iadd__(self, values: Iterable[Any]) -> ParameterList:
        return self.extend(values)

    def __dir__(self) -> list[str]:
        return [name for name in super().__dir__() if not name.isdigit()]

    def append(self, value: Any) -> ParameterList:
        """Add a value at the end; a tensor becomes a parameter."""
        self._size += 1
        self[self._size - 1] = value
        return self

    def extend(self, values: Iterable[Any]) -> ParameterList:
        """Add every value of an iterable at the end."""
        if not isinstance(values, Iterable) or isinstance(values, Tensor):
            raise ArgumentTypeError(
                f"ParameterList.extend should be called with an iterable, but got {type(values).__name__}"
            )
        for value in list(values):
            self.append(value)
        return self

    def extra_repr(self) -> str:
        """One line per value."""
        return "\n".join(f"  ({i}): {_describe(value, getattr(value, 'dtype', None))}" for i, value in enumerate(self))

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        raise ArgumentError("ParameterList should not be called.")


class ParameterDict(Module):
    """Values under names whose tensors are parameters of their owner; other values may stand in it too.

    >>> import flambeau as torch
    >>> d = torch.nn.ParameterDict({"scale": torch.ones(1)})
    >>> isinstance(d["scale"], torch.nn.Parameter)
    True
    """

    def __init__(self, parameters: Any = None) -> None:
        super().__init__()
        self._keys: dict[str, None] = {}
        if parameters is not None:
            self.update(parameters)

    def __getitem__(self, key: str) -> Any:
        if key not in self._keys:
            raise KeyError(key)
        return getattr(self, key)

    def __setitem__(self, key: str, value: Any) -> None:
        if not isinstance(key, str):
            raise ArgumentTypeError(
                f"Index given to ParameterDict cannot be used as a key as it is not a string (type is "
                f"'{type(key).__name__}'). Open an issue on github if you need non-string keys."
            )
        self._keys[key] = None
        setattr(self, key, _as_parameter(value))

    def __delitem__(self, key: str) -> None:
        del self._keys[key]
        delattr(self, key)

    def __len__(self) -> int:
        return len(self._keys)

    def __iter__(self) -> Iterator[str]:
        return iter(self._keys)

    def __reversed__(self) -> Iterator[str]:
        return reversed(list(self._keys))

    def __contains__(self, key: object) -> bool:
        return key in self._keys

    def copy(self) -> ParameterDict:
        """Another dictionary with the same values."""
        return ParameterDict(OrderedDict(self.items()))

    def setdefault(self, key: str, default: Any = None) -> Any:
        """The value under ``key``, which becomes ``default`` where there is none."""
        if key not in self._keys:
            self[key] = default
        return self[key]

    def clear(self) -> None:
        """Remove everything."""
        for key in list(self._keys):
            del self[key]

    def pop(self, key: str) -> Any:
        """Remove a value and return it."""
        value = self[key]
        del self[key]
        return value

    def popitem(self) -> tuple[str, Any]:
        """Remove the last pair and return it."""
        key, _ = self._keys.popitem()
        self._keys[key] = None
        return key, self.pop(key)

    def get(self, key: str, default: Any = None) -> Any:
        """The value under ``key``, or ``default``."""
        return self[key] if key in self._keys else default

    def fromkeys(self, keys: Iterable[str], default: Any = None) -> ParameterDict:
        """A new dictionary with these keys and one value."""
        return ParameterDict((key, default) for key in keys)

    def keys(self) -> Iterable[str]:
        """The names."""
        return self._keys.keys()

    def items(self) -> Iterable[tuple[str, Any]]:
        """Names and values."""
        return ((key, self[key]) for key in self._keys)

    def values(self) -> Iterable[Any]:
        """The values."""
        return (self[key] for key in self._keys)

    def update(self, parameters: Any) -> None:
        """Add values from a mapping or from pairs."""
        for key, value in _pairs(parameters, "ParameterDict"):
            self[key] = value

    def extra_repr(self) -> str:
        """One line per value."""
        lines = []
        for key, value in self.items():
            lines.append(f"  ({key}): {_describe(value, value.type() if isinstance(value, Tensor) else None)}")
        return "\n".join(lines)

    def __call__(self, input: Any) -> Any:
        raise ArgumentError("ParameterDict should not be called.")

    def __or__(self, other: ParameterDict) -> ParameterDict:
        merged = self.copy()
        merged.update(other)
        return merged

    def __ror__(self, other: ParameterDict) -> ParameterDict:
        merged = other.copy()
        merged.update(self)
        return merged

    def __ior__(self, other: ParameterDict) -> ParameterDict:
        self.update(other)
        return self
