"""State dicts: a module's parameters and buffers under dotted names, out and in.

The layout is PyTorch's to the letter (names, order, ``_metadata`` with a version per module, ``_extra_state``), since
checkpoints travel both ways.
"""

from __future__ import annotations

import itertools
import warnings
from collections import OrderedDict, namedtuple
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, cast

from flambeau.autograd import no_grad
from flambeau.errors import ArgumentError, ArgumentTypeError
from flambeau.nn.modules import _hooks
from flambeau.nn.modules._tree import ModuleTree
from flambeau.nn.parameter import Parameter, is_lazy
from flambeau.tensor import Tensor

if TYPE_CHECKING:
    from flambeau.nn.modules.module import Module

EXTRA_STATE = "_extra_state"


class _IncompatibleKeys(namedtuple("IncompatibleKeys", ["missing_keys", "unexpected_keys"])):
    """What ``load_state_dict`` returns: names that the file lacks, and names that the module does not know."""

    __slots__ = ()

    def __repr__(self) -> str:
        if not self.missing_keys and not self.unexpected_keys:
            return "<All keys matched successfully>"
        return super().__repr__()

    __str__ = __repr__


class ModuleState(ModuleTree):
    """``state_dict`` and ``load_state_dict`` with their hooks."""

    _version: int = 1
    _state_dict_hooks: OrderedDict[int, Callable[..., Any]]
    _state_dict_pre_hooks: OrderedDict[int, Callable[..., Any]]
    _load_state_dict_pre_hooks: OrderedDict[int, Callable[..., Any]]
    _load_state_dict_post_hooks: OrderedDict[int, Callable[..., Any]]

    # --- hooks ------------------------------------------------------------------------------------------------

    def register_state_dict_post_hook(self, hook: Callable[..., Any]) -> _hooks.RemovableHandle:
        """Call ``hook(module, state_dict, prefix, local_metadata)`` after ``state_dict``; it may change the dict in
        place and returns nothing."""
        hook._from_public_api = True  # type: ignore[attr-defined]
        return _hooks.add(self._state_dict_hooks, hook)

    def register_state_dict_pre_hook(self, hook: Callable[..., Any]) -> _hooks.RemovableHandle:
        """Call ``hook(module, prefix, keep_vars)`` before ``state_dict`` collects anything."""
        return _hooks.add(self._state_dict_pre_hooks, hook)

    def _register_state_dict_hook(self, hook: Callable[..., Any]) -> _hooks.RemovableHandle:
        if getattr(hook, "_from_public_api", False):
            raise ArgumentError(
                "Cannot register the same function as the state dict post hook that was previously registered via "
                "register_state_dict_post_hook"
            )
        return _hooks.add(self._state_dict_hooks, hook)

    def register_load_state_dict_pre_hook(self, hook: Callable[..., Any]) -> _hooks.RemovableHandle:
        """Call ``hook(module, state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys,
        error_msgs)`` before this module's entries are loaded."""
        return self._register_load_state_dict_pre_hook(hook, with_module=True)

    def _register_load_state_dict_pre_hook(
        self, hook: Callable[..., Any], with_module: bool = False
    ) -> _hooks.RemovableHandle:
        return _hooks.add(self._load_state_dict_pre_hooks, _PreLoadHook(hook, self if with_module else None))

    def register_load_state_dict_post_hook(self, hook: Callable[..., Any]) -> _hooks.RemovableHandle:
        """Call ``hook(module, incompatible_keys)`` after loading; it may change the two lists in place."""
        return _hooks.add(self._load_state_dict_post_hooks, hook)

    # --- extra state ------------------------------------------------------------------------------------------

    def get_extra_state(self) -> Any:
        """Override to put something of your own into the state dict; see ``set_extra_state``."""
        raise ArgumentError(
            "Reached a code path in Module.get_extra_state() that should never be called: a module that calls it "
            "overrides it."
        )

    def set_extra_state(self, state: Any) -> None:
        """Override to take back from a state dict what ``get_extra_state`` put into it."""
        raise ArgumentError(
            "Reached a code path in Module.set_extra_state() that should never be called: a module whose state dict "
            "holds extra state overrides it."
        )

    # --- out --------------------------------------------------------------------------------------------------

    def _save_to_state_dict(self, destination: dict[str, Any], prefix: str, keep_vars: bool) -> None:
        """Put this module's own entries into ``destination``; override to save differently."""
        for name, parameter in self._parameters.items():
            if parameter is not None:
                destination[prefix + name] = parameter if keep_vars else parameter.detach()
        for name, buffer in self._buffers.items():
            if buffer is not None and name not in self._non_persistent_buffers_set:
                destination[prefix + name] = buffer if keep_vars else buffer.detach()
        if type(self).get_extra_state is not ModuleState.get_extra_state:
            destination[prefix + EXTRA_STATE] = self.get_extra_state()

    def state_dict(
        self, *args: Any, destination: Any = None, prefix: str = "", keep_vars: bool = False
    ) -> dict[str, Any]:
        """Parameters and persistent buffers of this module and all below it, under dotted names.

        Args:
            args: deprecated positional form of the three that follow.
            destination: a dictionary to fill; a new ordered one if left out.
            prefix: what every name begins with.
            keep_vars: give the parameters themselves, not tensors detached from the graph.

        The tensors share memory with the module's.

        >>> import flambeau as torch
        >>> list(torch.nn.Sequential(torch.nn.Linear(2, 1)).state_dict())
        ['0.weight', '0.bias']
        """
        if args:
            warnings.warn(
                "Positional args are being deprecated, use kwargs instead. Refer to the documentation of "
                "Module.state_dict for details.",
                FutureWarning,
                stacklevel=2,
            )
            destination = args[0] if destination is None else destination
            prefix = args[1] if len(args) > 1 and prefix == "" else prefix
            keep_vars = args[2] if len(args) > 2 and keep_vars is False else keep_vars
        if destination is None:
            destination = OrderedDict()
            destination._metadata = OrderedDict()
        local_metadata = {"version": self._version}
        if hasattr(destination, "_metadata"):
            destination._metadata[prefix[:-1]] = local_metadata
        for hook in self._state_dict_pre_hooks.values():
            hook(self, prefix, keep_vars)
        self._save_to_state_dict(destination, prefix, keep_vars)
        for name, module in self._modules.items():
            if module is not None:
                module.state_dict(destination=destination, prefix=f"{prefix}{name}.", keep_vars=keep_vars)
        for hook in self._state_dict_hooks.values():
            changed = hook(self, destination, prefix, local_metadata)
            if getattr(hook, "_from_public_api", False):
                if changed is not None:
                    raise ArgumentError("state_dict post-hook must return None")
            elif changed is not None:
                destination = changed
        return cast("dict[str, Any]", destination)

    # --- in ---------------------------------------------------------------------------------------------------

    def _load_from_state_dict(
        self,
        state_dict: Mapping[str, Any],
        prefix: str,
        local_metadata: dict[str, Any],
        strict: bool,
        missing_keys: list[str],
        unexpected_keys: list[str],
        error_msgs: list[str],
    ) -> None:
        """Load this module's own entries and report into the three lists; override to convert old formats."""
        for hook in self._load_state_dict_pre_hooks.values():
            hook(state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs)
        assign = local_metadata.get("assign_to_params_buffers", False)
        persistent = {k: v for k, v in self._buffers.items() if k not in self._non_persistent_buffers_set}
        for name, target in itertools.chain(self._parameters.items(), persistent.items()):
            if target is None:
                continue
            key = prefix + name
            if key not in state_dict:
                if strict:
                    missing_keys.append(key)
                continue
            error = self._load_entry(name, key, target, state_dict[key], assign)
            if error is not None:
                error_msgs.append(error)
        self._load_extra_state(state_dict, prefix, strict, missing_keys, unexpected_keys)
        if strict:
            for key in state_dict:
                if key.startswith(prefix) and key != prefix + EXTRA_STATE:
                    name, *rest = key[len(prefix) :].split(".", 1)
                    known = name in self._modules if rest else (name in persistent or name in self._parameters)
                    if not known:
                        unexpected_keys.append(key)

    def _load_entry(self, name: str, key: str, target: Tensor, value: Any, assign: bool) -> str | None:
        """Copy or assign one entry; the error message where that is not possible."""
        if not isinstance(value, Tensor):
            return (
                f'While copying the parameter named "{key}", expected torch.Tensor or Tensor-like object from '
                f"checkpoint but received {type(value)}"
            )
        if is_lazy(target) and is_lazy(value):   # neither has values yet
            if assign:
                setattr(self, name, value)
            return None
        # Checkpoints of PyTorch before 0.4 hold one-element vectors where there are scalars now.
        if target.dim() == 0 and value.dim() == 1 and not assign and len(value) == 1:
            value = value[0]
        if value.shape != target.shape:
            return (
                f"size mismatch for {key}: copying a param with shape {value.shape} from checkpoint, the shape in "
                f"current model is {target.shape}."
            )
        try:
            with no_grad():
                if not assign:
                    target.copy_(value)
                elif isinstance(target, Parameter):
                    if not isinstance(value, Parameter):
                        value = Parameter(value, target.requires_grad)
                    else:
                        value.requires_grad_(target.requires_grad)
                    setattr(self, name, value)
                else:
                    setattr(self, name, value)
        except (RuntimeError, TypeError, ValueError, NotImplementedError) as error:
            return (
                f'While {"assigning" if assign else "copying"} the parameter named "{key}", whose dimensions in the '
                f"model are {target.size()} and whose dimensions in the checkpoint are {value.size()}, an exception "
                f"occurred : {error.args}."
            )
        return None

    def _load_extra_state(
        self,
        state_dict: Mapping[str, Any],
        prefix: str,
        strict: bool,
        missing_keys: list[str],
        unexpected_keys: list[str],
    ) -> None:
        key = prefix + EXTRA_STATE
        if type(self).set_extra_state is not ModuleState.set_extra_state:
            if key in state_dict:
                self.set_extra_state(state_dict[key])
            elif strict:
                missing_keys.append(key)
        elif strict and key in state_dict:
            unexpected_keys.append(key)

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False
    ) -> _IncompatibleKeys:
        """Take parameters and buffers from a state dict.

        Args:
            state_dict: dotted names to tensors.
            strict: whether missing or unexpected names are errors.
            assign: make the dict's tensors the module's, where otherwise their values are copied; keeps the dict's
                dtype and device.

        Returns the missing and the unexpected names. Raises RuntimeError that lists everything that does not fit,
        TypeError where ``state_dict`` is no mapping.

        >>> import flambeau as torch
        >>> a, b = torch.nn.Linear(2, 1), torch.nn.Linear(2, 1)
        >>> a.load_state_dict(b.state_dict())
        <All keys matched successfully>
        """
        if not isinstance(state_dict, Mapping):
            raise ArgumentTypeError(f"Expected state_dict to be dict-like, got {type(state_dict)}.")
        missing: list[str] = []
        unexpected: list[str] = []
        errors: list[str] = []
        metadata = getattr(state_dict, "_metadata", None)
        copied: Any = OrderedDict(state_dict)
        if metadata is not None:
            copied._metadata = metadata

        def load(module: Module, local: Any, prefix: str = "") -> None:
            local_metadata = {} if metadata is None else metadata.get(prefix[:-1], {})
            if assign:
                local_metadata["assign_to_params_buffers"] = True
            module._load_from_state_dict(local, prefix, local_metadata, True, missing, unexpected, errors)
            for name, child in module._modules.items():
                if child is not None:
                    start = f"{prefix}{name}."
                    load(child, {k: v for k, v in local.items() if k.startswith(start)}, start)
            keys = _IncompatibleKeys(missing, unexpected)
            for hook in module._load_state_dict_post_hooks.values():
                if hook(module, keys) is not None:
                    raise AssertionError(
                        "Hooks registered with ``register_load_state_dict_post_hook`` are not expected to return new "
                        "values, if incompatible_keys need to be modified, it should be done inplace."
                    )

        load(cast("Module", self), copied)
        if strict:
            if unexpected:
                errors.insert(0, f"Unexpected key(s) in state_dict: {_quoted(unexpected)}. ")
            if missing:
                errors.insert(0, f"Missing key(s) in state_dict: {_quoted(missing)}. ")
        if errors:
            listed = "\n\t".join(errors)
            raise ArgumentError(f"Error(s) in loading state_dict for {type(self).__name__}:\n\t{listed}")
        return _IncompatibleKeys(missing, unexpected)


class _PreLoadHook:
    """A pre-load hook with the module that it wants first; an object, so that it survives deepcopy and pickle."""

    def __init__(self, hook: Callable[..., Any], module: ModuleState | None) -> None:
        self.hook = hook
        self.module = module

    def __call__(self, *args: Any) -> Any:
        return self.hook(*args) if self.module is None else self.hook(self.module, *args)


def _quoted(names: list[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)
