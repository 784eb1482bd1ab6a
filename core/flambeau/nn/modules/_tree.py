"""The tree of modules: what belongs to a module, under which name, and how to walk it.

Parameters, buffers and submodules live in three dictionaries beside the ordinary attributes. Assignment sorts a value
into the right one; look-up of a missing attribute searches them. The dictionaries' names are PyTorch's, because
programs reach for them and whole-module pickles carry them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar, cast

from flambeau.errors import ArgumentTypeError, ArgumentValueError
from flambeau.nn.modules import _hooks
from flambeau.nn.parameter import Buffer, Parameter
from flambeau.tensor import Tensor

if TYPE_CHECKING:
    from flambeau.nn.modules.module import Module

_T = TypeVar("_T")


class ModuleTree:
    """Registration, attribute access and traversal; ``Module`` adds what a module does."""

    training: bool
    _parameters: dict[str, Parameter | None]
    _buffers: dict[str, Tensor | None]
    _non_persistent_buffers_set: set[str]
    _modules: dict[str, Module | None]

    # --- attributes -------------------------------------------------------------------------------------------

    def __getattr__(self, name: str) -> Any:
        own = self.__dict__
        if "_modules" in own:
            parameters = own["_parameters"]
            if name in parameters:
                return parameters[name]
            modules = own["_modules"]
            if name in modules:
                return modules[name]
            buffers = own["_buffers"]
            if name in buffers:
                return buffers[name]
        raise AttributeError(f"'{type(self).__name__}' object has no attribute '{name}'")

    def __setattr__(self, name: str, value: Any) -> None:
        own = self.__dict__
        if isinstance(value, Tensor):
            if isinstance(value, Parameter):
                if "_parameters" not in own:
                    raise AttributeError("cannot assign parameters before Module.__init__() call")
                self._clear(name, keep="_parameters")
                self.register_parameter(name, value)
                return
            if isinstance(value, Buffer) and name not in own.get("_parameters", ()):
                if "_buffers" not in own:
                    raise AttributeError("cannot assign buffer before Module.__init__() call")
                self._clear(name, keep="_buffers")
                self.register_buffer(name, value, value.persistent)
                return
        elif isinstance(value, ModuleTree):
            if "_modules" not in own:
                raise AttributeError("cannot assign module before Module.__init__() call")
            if name not in own["_parameters"]:
                self._clear(name, keep="_modules")
                own["_modules"][name] = _hooks.on_module(self, name, value)
                return
        if "_modules" in own and self._reassign(name, value):
            return
        object.__setattr__(self, name, value)

    def _reassign(self, name: str, value: Any) -> bool:
        """Put a value under a name that is registered for another kind; False where the name is free."""
        own = self.__dict__
        if name in own["_parameters"]:
            if value is not None:
                raise ArgumentTypeError(_cannot_assign(value, "parameter", name, "torch.nn.Parameter or None"))
            self.register_parameter(name, None)
        elif name in own["_modules"]:
            if value is not None:
                raise ArgumentTypeError(_cannot_assign(value, "child module", name, "torch.nn.Module or None"))
            own["_modules"][name] = _hooks.on_module(self, name, None)
        elif name in own["_buffers"]:
            if value is not None and not isinstance(value, Tensor):
                raise ArgumentTypeError(_cannot_assign(value, "buffer", name, "torch.nn.Buffer, torch.Tensor or None"))
            own["_buffers"][name] = _hooks.on_buffer(self, name, value)
        else:
            return False
        return True

    def _clear(self, name: str, keep: str) -> None:
        """Free a name for the dictionary ``keep``, where it may stand already and then keeps its place."""
        own = self.__dict__
        own.pop(name, None)
        for table in ("_parameters", "_buffers", "_modules"):
            if table != keep:
                own[table].pop(name, None)
        if keep != "_buffers":
            own["_non_persistent_buffers_set"].discard(name)

    def __delattr__(self, name: str) -> None:
        if name in self._parameters:
            del self._parameters[name]
        elif name in self._buffers:
            del self._buffers[name]
            self._non_persistent_buffers_set.discard(name)
        elif name in self._modules:
            del self._modules[name]
        else:
            object.__delattr__(self, name)

    def __dir__(self) -> list[str]:
        names = {*object.__dir__(self), *self._parameters, *self._modules, *self._buffers}
        # A child's number in a container is no attribute that could be typed.
        return sorted(name for name in names if not name[:1].isdigit())

    # --- registration -----------------------------------------------------------------------------------------

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """Add a parameter under ``name``; ``None`` reserves the name and stays out of the state dict.

        >>> import flambeau as torch
        >>> m = torch.nn.Module()
        >>> m.register_parameter("scale", torch.nn.Parameter(torch.ones(1)))
        >>> [name for name, _ in m.named_parameters()]
        ['scale']
        """
        if "_parameters" not in self.__dict__:
            raise AttributeError("cannot assign parameter before Module.__init__() call")
        self._check_name("parameter", name, self._parameters)
        if param is not None and not isinstance(param, Parameter):
            raise ArgumentTypeError(
                f"cannot assign '{_type_name(param)}' object to parameter '{name}' "
                "(torch.nn.Parameter or None required)"
            )
        if param is not None and param.grad_fn is not None:
            raise ArgumentValueError(
                f"Cannot assign non-leaf Tensor to parameter '{name}'. Model parameters must be created explicitly. "
                f"To express '{name}' as a function of another Tensor, compute the value in the forward() method."
            )
        self._parameters[name] = _hooks.on_parameter(self, name, param)

    def register_buffer(self, name: str, tensor: Tensor | None, persistent: bool = True) -> None:
        """Add a tensor that belongs to the module's state but is no parameter, such as a running mean.

        Args:
            name: attribute name, without dots.
            tensor: the buffer; ``None`` reserves the name and stays out of the state dict.
            persistent: whether it becomes part of the state dict.

        >>> import flambeau as torch
        >>> m = torch.nn.Module()
        >>> m.register_buffer("mean", torch.zeros(1))
        >>> m.mean
        tensor([0.])
        """
        if "_buffers" not in self.__dict__:
            raise AttributeError("cannot assign buffer before Module.__init__() call")
        self._check_name("buffer", name, self._buffers)
        if tensor is not None and not isinstance(tensor, Tensor):
            raise ArgumentTypeError(
                f"cannot assign '{_type_name(tensor)}' object to buffer '{name}' (torch Tensor or None required)"
            )
        self._buffers[name] = _hooks.on_buffer(self, name, tensor)
        if persistent:
            self._non_persistent_buffers_set.discard(name)
        else:
            self._non_persistent_buffers_set.add(name)

    def add_module(self, name: str, module: Module | None) -> None:
        """Add a child module under ``name``.

        >>> import flambeau as torch
        >>> m = torch.nn.Module()
        >>> m.add_module("act", torch.nn.ReLU())
        >>> m.act
        ReLU()
        """
        if module is not None and not isinstance(module, ModuleTree):
            raise ArgumentTypeError(f"{_type_name(module)} is not a Module subclass")
        self._check_name("module", name, self._modules)
        self._modules[name] = cast("Module | None", _hooks.on_module(self, name, module))

    def register_module(self, name: str, module: Module | None) -> None:
        """The same as ``add_module``."""
        self.add_module(name, module)

    def _check_name(self, what: str, name: Any, table: dict[str, Any]) -> None:
        if not isinstance(name, str):
            label = "module name" if what == "module" else f"{what} name"
            raise ArgumentTypeError(f"{label} should be a string. Got {_type_name(name)}")
        if name == "":
            raise KeyError(f'{what} name can\'t be empty string ""')
        if "." in name:
            suffix = f", got: {name}" if what == "module" else ""
            raise KeyError(f'{what} name can\'t contain "."{suffix}')
        if name not in table and hasattr(self, name):
            raise KeyError(f"attribute '{name}' already exists")

    # --- traversal --------------------------------------------------------------------------------------------

    def _named_members(
        self,
        members: Callable[[Module], Iterable[tuple[str, _T | None]]],
        prefix: str,
        recurse: bool,
        remove_duplicate: bool,
    ) -> Iterator[tuple[str, _T]]:
        seen: set[int] = set()
        owners = (
            self.named_modules(prefix=prefix, remove_duplicate=remove_duplicate)
            if recurse
            else [(prefix, cast("Module", self))]
        )
        for owner_name, owner in owners:
            for name, member in members(owner):
                if member is None or id(member) in seen:
                    continue
                if remove_duplicate:
                    seen.add(id(member))
                yield (f"{owner_name}.{name}" if owner_name else name), member

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Parameter]]:
        """Name and parameter of this module and, with ``recurse``, of all below it.

        >>> import flambeau as torch
        >>> [name for name, _ in torch.nn.Linear(2, 1).named_parameters(prefix="fc")]
        ['fc.weight', 'fc.bias']
        """
        return self._named_members(lambda m: m._parameters.items(), prefix, recurse, remove_duplicate)

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """The parameters, each once; what an optimiser is given.

        >>> import flambeau as torch
        >>> sum(p.numel() for p in torch.nn.Linear(2, 3).parameters())
        9
        """
        for _, parameter in self.named_parameters(recurse=recurse):
            yield parameter

    def named_buffers(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Tensor]]:
        """Name and buffer of this module and, with ``recurse``, of all below it.

        >>> import flambeau as torch
        >>> [name for name, _ in torch.nn.BatchNorm1d(2).named_buffers()]
        ['running_mean', 'running_var', 'num_batches_tracked']
        """
        return self._named_members(lambda m: m._buffers.items(), prefix, recurse, remove_duplicate)

    def buffers(self, recurse: bool = True) -> Iterator[Tensor]:
        """The buffers, each once."""
        for _, buffer in self.named_buffers(recurse=recurse):
            yield buffer

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """Name and module of the direct children, each module once."""
        seen: set[int] = set()
        for name, module in self._modules.items():
            if module is not None and id(module) not in seen:
                seen.add(id(module))
                yield name, module

    def children(self) -> Iterator[Module]:
        """The direct children, each once."""
        for _, module in self.named_children():
            yield module

    def named_modules(
        self, memo: set[Module] | None = None, prefix: str = "", remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Module]]:
        """Name and module of this module and all below it, parents first; the root's name is ``prefix``.

        >>> import flambeau as torch
        >>> [name for name, _ in torch.nn.Sequential(torch.nn.ReLU()).named_modules()]
        ['', '0']
        """
        seen: set[Module] = set() if memo is None else memo
        this = cast("Module", self)
        if this in seen:
            return
        if remove_duplicate:
            seen.add(this)
        yield prefix, this
        for name, module in self._modules.items():
            if module is not None:
                yield from module.named_modules(seen, f"{prefix}.{name}" if prefix else name, remove_duplicate)

    def modules(self) -> Iterator[Module]:
        """This module and all below it, parents first, each once."""
        for _, module in self.named_modules():
            yield module

    # --- by dotted path ---------------------------------------------------------------------------------------

    def get_submodule(self, target: str) -> Module:
        """The module under a dotted path such as ``"encoder.0"``; the empty path is this module.

        Raises AttributeError where a part of the path is missing or is no module.

        >>> import flambeau as torch
        >>> torch.nn.Sequential(torch.nn.ReLU()).get_submodule("0")
        ReLU()
        """
        module = cast("Module", self)
        for part in target.split(".") if target else []:
            if not hasattr(module, part):
                raise AttributeError(f"{module._get_name()} has no attribute `{part}`")
            module = getattr(module, part)
            if not isinstance(module, ModuleTree):
                raise AttributeError(f"`{part}` is not an nn.Module")
        return module

    def set_submodule(self, target: str, module: Module, strict: bool = False) -> None:
        """Put a module under a dotted path.

        Args:
            target: path of the module to replace.
            module: its replacement.
            strict: refuse to add a name that does not exist yet.

        Raises ValueError for an empty path or for something that is no module.

        >>> import flambeau as torch
        >>> net = torch.nn.Sequential(torch.nn.ReLU())
        >>> net.set_submodule("0", torch.nn.Tanh())
        >>> net[0]
        Tanh()
        """
        if target == "":
            raise ArgumentValueError("Cannot set the submodule without a target name!")
        path, _, name = target.rpartition(".")
        if not isinstance(module, ModuleTree):
            raise ArgumentValueError(f"`module` is not an nn.Module, found {type(module)}")
        parent = self.get_submodule(path)
        if strict and not hasattr(parent, name):
            raise AttributeError(f"{parent._get_name()} has no attribute `{name}`")
        if hasattr(parent, name) and not isinstance(getattr(parent, name), ModuleTree):
            raise AttributeError(f"`{name}` is not an nn.Module")
        setattr(parent, name, module)

    def get_parameter(self, target: str) -> Parameter:
        """The parameter under a dotted path; AttributeError where there is none."""
        path, _, name = target.rpartition(".")
        owner = self.get_submodule(path)
        if not hasattr(owner, name):
            raise AttributeError(f"{owner._get_name()} has no attribute `{name}`")
        parameter = getattr(owner, name)
        if not isinstance(parameter, Parameter):
            raise AttributeError(f"`{name}` is not an nn.Parameter")
        return parameter

    def get_buffer(self, target: str) -> Tensor:
        """The buffer under a dotted path; AttributeError where there is none."""
        path, _, name = target.rpartition(".")
        owner = self.get_submodule(path)
        if not hasattr(owner, name):
            raise AttributeError(f"{owner._get_name()} has no attribute `{name}`")
        if name not in owner._buffers:
            raise AttributeError(f"`{name}` is not a buffer")
        return cast(Tensor, owner._buffers[name])


def _type_name(value: Any) -> str:
    kind = type(value)
    return kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def _cannot_assign(value: Any, what: str, name: str, allowed: str) -> str:
    return f"cannot assign '{_type_name(value)}' as {what} '{name}' ({allowed} expected)"
