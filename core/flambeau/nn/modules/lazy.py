"""Modules that learn the sizes of their parameters from their first input.

Until then the parameters are `UninitializedParameter`s. The first call materialises them and turns the module into the
ordinary one (`cls_to_become`): a change of class, because programs ask for ``type(layer) is nn.Linear`` afterwards.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from flambeau.autograd import no_grad
from flambeau.errors import ArgumentError
from flambeau.nn.modules._hooks import RemovableHandle
from flambeau.nn.modules.module import _CALL_HOOK_TABLES, Module
from flambeau.nn.parameter import is_lazy

if TYPE_CHECKING:
    _Base = Module
else:
    _Base = object   # a mixin: what it is mixed with is the module

__all__ = ["LazyModuleMixin"]


class LazyModuleMixin(_Base):
    """To be inherited before a module class, whose parameters of unknown shape are then made by the first call.

    A subclass sets ``cls_to_become`` to the class it turns into (or leaves it ``None`` to stay), makes its parameters
    as ``UninitializedParameter``, and defines ``initialize_parameters``, which gets the first call's arguments and
    materialises them. Convert and move the module before that call; an optimiser comes after it. State dicts load into
    it both before and after.

    >>> import flambeau as torch
    >>> net = torch.nn.Sequential(torch.nn.LazyLinear(3), torch.nn.ReLU())
    >>> net[0]
    LazyLinear(in_features=0, out_features=3, bias=True)
    >>> net(torch.ones(2, 5)).shape
    torch.Size([2, 3])
    >>> net[0]
    Linear(in_features=5, out_features=3, bias=True)
    """

    cls_to_become: type[Any] | None = None
    _load_hook: RemovableHandle
    _initialize_hook: RemovableHandle

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._load_hook = self._register_load_state_dict_pre_hook(self._lazy_load_hook)
        self._initialize_hook = self.register_forward_pre_hook(self._infer_parameters, with_kwargs=True)

    def _save_to_state_dict(self, destination: dict[str, Any], prefix: str, keep_vars: bool) -> None:
        persistent = ((name, each) for name, each in self._buffers.items()
                      if name not in self._non_persistent_buffers_set)
        for name, each in itertools.chain(self._parameters.items(), persistent):
            if each is not None:
                destination[prefix + name] = each if keep_vars or is_lazy(each) else each.detach()

    def _lazy_load_hook(
        self, state_dict: Mapping[str, Any], prefix: str, local_metadata: Any, strict: Any, missing_keys: Any,
        unexpected_keys: Any, error_msgs: Any,
    ) -> None:
        """Give parameters that have no shape yet that of what is about to be loaded."""
        for name, each in itertools.chain(self._parameters.items(), self._buffers.items()):
            given = state_dict.get(prefix + name)
            if is_lazy(each) and given is not None and not is_lazy(given):
                with no_grad():
                    each.materialize(given.shape)  # type: ignore[union-attr]

    def initialize_parameters(self, *args: Any, **kwargs: Any) -> None:
        """Materialise the parameters, given the arguments of the first call; a subclass defines it."""
        raise NotImplementedError(f"initialize_parameters is not implemented for {type(self).__name__}")

    def has_uninitialized_params(self) -> bool:
        """Whether a parameter or buffer of this module has no shape yet."""
        return any(is_lazy(each) for each in itertools.chain(self._parameters.values(), self._buffers.values()))

    def _infer_parameters(self, module: Any, args: tuple[Any, ...], kwargs: dict[str, Any] | None = None) -> None:
        """The hook before the first call: after it the module is an ordinary one."""
        module.initialize_parameters(*args, **(kwargs or {}))
        if module.has_uninitialized_params():
            raise ArgumentError(f"module {self._get_name()} has not been fully initialized: initialize_parameters left "
                                "a parameter or buffer without a shape")
        module._initialize_hook.remove()
        module._load_hook.remove()
        del module._initialize_hook
        del module._load_hook
        if module.cls_to_become is not None:
            module.__class__ = module.cls_to_become
        if not any(getattr(module, table) for table in _CALL_HOOK_TABLES):
            module.__dict__.pop("_has_hooks", None)   # calls are plain again

    def _replicate_for_data_parallel(self) -> Any:
        raise ArgumentError("Modules with uninitialized parameters can't be used with `DataParallel`. Run a dummy "
                            "forward pass to correctly initialize the modules")
