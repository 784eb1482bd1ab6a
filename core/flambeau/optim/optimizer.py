"""``Optimizer``: parameter groups, per-parameter state, saving, and hooks. Each algorithm is a small subclass.

State dicts are PyTorch's: parameters appear as numbers in the order of the groups, and state under those numbers, so a
training run can be stopped in one library and go on in the other.
"""

from __future__ import annotations

import functools
import warnings
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Hashable, Iterable
from contextlib import AbstractContextManager, nullcontext
from copy import deepcopy
from itertools import chain
from typing import Any, TypeVar

from flambeau.autograd import enable_grad, no_grad
from flambeau.dispatch.modes import ACTIVE
from flambeau.dtypes import float32
from flambeau.errors import ArgumentError, ArgumentTypeError, ArgumentValueError
from flambeau.nn.modules._hooks import RemovableHandle, add
from flambeau.optim._shared import (  # noqa: F401 - optimisers written elsewhere import them from here
    _capturable_doc,
    _default_to_fused_or_foreach,
    _device_dtype_check_for_fused,
    _differentiable_doc,
    _disable_dynamo_if_unsupported,
    _foreach_doc,
    _fused_doc,
    _get_capturable_supported_devices,
    _get_scalar_dtype,
    _get_value,
    _maximize_doc,
    _params_doc,
    _stack_if_compiling,
    _to_scalar,
    _use_grad_for_differentiable,
    _view_as_real,
    check_fused,
    check_lr,
    check_option,
)
from flambeau.tensor import Tensor

__all__ = ["Optimizer", "register_optimizer_step_post_hook", "register_optimizer_step_pre_hook"]

Args = tuple[Any, ...]
Kwargs = dict[str, Any]
ParamsT = Iterable[Any]
StateDict = dict[str, Any]
Closure = Callable[[], Any]
_Step = TypeVar("_Step", bound=Callable[..., Any])

_global_pre_hooks: OrderedDict[int, Callable[..., Any]] = OrderedDict()
_global_post_hooks: OrderedDict[int, Callable[..., Any]] = OrderedDict()

_HOOK_TABLES = (
    "_optimizer_step_pre_hooks", "_optimizer_step_post_hooks", "_optimizer_state_dict_pre_hooks",
    "_optimizer_state_dict_post_hooks", "_optimizer_load_state_dict_pre_hooks",
    "_optimizer_load_state_dict_post_hooks",
)


class _RequiredParameter:
    """Stands for a default that has no value: every group must give its own."""

    def __repr__(self) -> str:
        return "<required parameter>"


required = _RequiredParameter()


def register_optimizer_step_pre_hook(hook: Callable[..., Any]) -> RemovableHandle:
    """Call ``hook(optimizer, args, kwargs)`` before every step of every optimiser."""
    return add(_global_pre_hooks, hook)


def register_optimizer_step_post_hook(hook: Callable[..., Any]) -> RemovableHandle:
    """Call ``hook(optimizer, args, kwargs)`` after every step of every optimiser."""
    return add(_global_post_hooks, hook)


def _named_range(optimizer: Optimizer, what: str) -> AbstractContextManager[Any]:
    """The range under which a profiler shows this call, with PyTorch's name."""
    if not ACTIVE:
        return nullcontext()
    from flambeau.autograd.profiler import record_function

    return record_function(f"Optimizer.{what}#{type(optimizer).__name__}.{what}")


def _with_hooks(step: _Step) -> _Step:
    """``step`` with the hooks around it, in a range for the profiler; without either this costs five truth tests."""

    @functools.wraps(step)
    def hooked(self: Optimizer, *args: Any, **kwargs: Any) -> Any:
        if not (
            self._optimizer_step_pre_hooks
            or self._optimizer_step_post_hooks
            or _global_pre_hooks
            or _global_post_hooks
            or ACTIVE
        ) or type(self).step is not hooked:
            # Nothing to do around it; or a subclass's step calls this one, and has seen to that.
            return step(self, *args, **kwargs)
        with _named_range(self, "step"):
            return _step_with_hooks(step, self, args, kwargs)

    hooked.hooked = True  # type: ignore[attr-defined]
    return hooked  # type: ignore[return-value]


def _step_with_hooks(
    step: Callable[..., Any], optimizer: Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    everything: tuple[Any, ...] = (optimizer, *args)
    for hook in chain(_global_pre_hooks.values(), optimizer._optimizer_step_pre_hooks.values()):
        changed = hook(optimizer, everything, kwargs)
        if changed is None:
            continue
        if not (isinstance(changed, tuple) and len(changed) == 2):
            raise ArgumentError(f"{step} must return None or a tuple of (new_args, new_kwargs), but got {changed}.")
        everything, kwargs = changed
    result = step(*everything, **kwargs)
    for hook in chain(optimizer._optimizer_step_post_hooks.values(), _global_post_hooks.values()):
        hook(optimizer, everything, kwargs)
    return result


class Optimizer:
    """Base of all optimisers.

    Args:
        params: tensors, (name, tensor) pairs, or dictionaries with ``"params"`` and options of that group.
        defaults: options of groups that do not give their own.

    A subclass defines ``step``. Raises ValueError for an empty list, for parameters that are not leaves or stand in
    two groups; TypeError for what is no tensor.
    """

    param_groups: list[dict[str, Any]]
    state: defaultdict[Any, Any]
    _opt_called = False
    _optimizer_step_pre_hooks: OrderedDict[int, Callable[..., Any]]
    _optimizer_step_post_hooks: OrderedDict[int, Callable[..., Any]]
    _optimizer_state_dict_pre_hooks: OrderedDict[int, Callable[..., Any]]
    _optimizer_state_dict_post_hooks: OrderedDict[int, Callable[..., Any]]
    _optimizer_load_state_dict_pre_hooks: OrderedDict[int, Callable[..., Any]]
    _optimizer_load_state_dict_post_hooks: OrderedDict[int, Callable[..., Any]]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        step = cls.__dict__.get("step")
        if step is not None and not hasattr(step, "hooked"):
            cls.step = _with_hooks(step)  # type: ignore[method-assign]

    def __init__(self, params: ParamsT, defaults: dict[str, Any]) -> None:
        self.defaults = defaults
        for table in _HOOK_TABLES:
            setattr(self, table, OrderedDict())
        self._patch_step_function()
        if isinstance(params, Tensor):
            raise ArgumentTypeError(
                "params argument given to the optimizer should be an iterable of Tensors or dicts, but got "
                + params.type()
            )
        self.state = defaultdict(dict)
        self.param_groups = []
        groups = list(params)
        if not groups:
            raise ArgumentValueError("optimizer got an empty parameter list")
        if not isinstance(groups[0], dict):
            groups = [{"params": groups}]
        for group in groups:
            self.add_param_group(group)

    # --- groups -----------------------------------------------------------------------------------------------

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add parameters with options of their own, for example layers that are trained from now on.

        Args:
            param_group: ``"params"`` and any options; options left out take the defaults.
        """
        if not isinstance(param_group, dict):
            raise ArgumentTypeError(f"param_group must be a dict, but got {type(param_group)}")
        params = param_group["params"]
        if isinstance(params, set):
            raise ArgumentTypeError(
                "optimizer parameters need to be organized in ordered collections, but the ordering of tensors in "
                "sets will change between runs. Please use a list instead."
            )
        param_group["params"], names = _split_names([params] if isinstance(params, Tensor) else list(params))
        if names is not None:
            param_group["param_names"] = names
        for param in param_group["params"]:
            self._check_parameter(param)
        for name, default in self.defaults.items():
            if default is required and name not in param_group:
                raise ArgumentValueError(
                    f"parameter group didn't specify a value of required optimization parameter {name}"
                )
            param_group.setdefault(name, default)
        self._check_unique(param_group)
        self.param_groups.append(param_group)

    def _check_parameter(self, param: Any) -> None:
        if not isinstance(param, Tensor):
            raise ArgumentTypeError(
                f"optimizer can only optimize Tensors, but one of the params is {type(param).__name__}"
            )
        if not self.defaults.get("differentiable", None) and not (param.is_leaf or param.retains_grad):
            raise ArgumentValueError("can't optimize a non-leaf Tensor")

    def _check_unique(self, group: dict[str, Any]) -> None:
        params = group["params"]
        if len(params) != len({id(param) for param in params}):
            warnings.warn(
                "optimizer contains a parameter group with duplicate parameters; in future, this will cause an error; "
                "see github.com/pytorch/pytorch/issues/40967 for more information",
                stacklevel=3,
            )
        known = {id(param) for other in self.param_groups for param in other["params"]}
        if any(id(param) in known for param in params):
            raise ArgumentValueError("some parameters appear in more than one parameter group")
        if self.param_groups and ("param_names" in group) != ("param_names" in self.param_groups[0]):
            described = "with" if "param_names" in self.param_groups[0] else "without"
            raise ArgumentValueError(
                f"all optimizer param groups should be with/without names. cannot add param group "
                f"{'with' if described == 'without' else 'without'} names to the optimizer"
            )

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Drop the gradients of all parameters, or fill them with zeros where ``set_to_none`` is false."""
        with _named_range(self, "zero_grad"):
            for group in self.param_groups:
                for param in group["params"]:
                    if set_to_none:
                        param.grad = None
                    elif param.grad is not None:
                        _fill_with_zeros(param.grad)

    def step(self, closure: Closure | None = None) -> Any:
        """Update the parameters once; a subclass defines how.

        Args:
            closure: evaluates the model again and returns the loss.
        """
        raise NotImplementedError

    def _evaluate(self, closure: Closure | None) -> Any:
        """The closure's loss, computed with gradients; None without a closure."""
        if closure is None:
            return None
        with enable_grad():
            return closure()

    # --- hooks ------------------------------------------------------------------------------------------------

    @staticmethod
    def profile_hook_step(func: _Step) -> _Step:
        """A ``step`` with the hooks around it; every subclass's is made so by itself."""
        return _with_hooks(func)

    def _patch_step_function(self) -> None:
        """Put the hooks around a ``step`` that was given to the class after it was made."""
        if not hasattr(type(self).step, "hooked"):
            type(self).step = _with_hooks(type(self).step)  # type: ignore[method-assign]

    def _accelerator_graph_capture_health_check(self) -> None:
        """For optimisers written elsewhere, which call it first: any step can be captured."""

    _cuda_graph_capture_health_check = _accelerator_graph_capture_health_check

    def register_step_pre_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call ``hook(optimizer, args, kwargs)`` before each step; it may return new ``(args, kwargs)``."""
        return add(self._optimizer_step_pre_hooks, hook)

    def register_step_post_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call ``hook(optimizer, args, kwargs)`` after each step."""
        return add(self._optimizer_step_post_hooks, hook)

    def register_state_dict_pre_hook(self, hook: Callable[..., Any], prepend: bool = False) -> RemovableHandle:
        """Call ``hook(optimizer)`` before ``state_dict``."""
        return add(self._optimizer_state_dict_pre_hooks, hook, prepend=prepend)

    def register_state_dict_post_hook(self, hook: Callable[..., Any], prepend: bool = False) -> RemovableHandle:
        """Call ``hook(optimizer, state_dict)`` after ``state_dict``; it may return another dictionary."""
        return add(self._optimizer_state_dict_post_hooks, hook, prepend=prepend)

    def register_load_state_dict_pre_hook(
        self, hook: Callable[..., Any], prepend: bool = False
    ) -> RemovableHandle:
        """Call ``hook(optimizer, state_dict)`` before loading; it may return another dictionary."""
        return add(self._optimizer_load_state_dict_pre_hooks, hook, prepend=prepend)

    def register_load_state_dict_post_hook(
        self, hook: Callable[..., Any], prepend: bool = False
    ) -> RemovableHandle:
        """Call ``hook(optimizer)`` after loading."""
        return add(self._optimizer_load_state_dict_post_hooks, hook, prepend=prepend)

    # --- saving -----------------------------------------------------------------------------------------------

    def state_dict(self) -> StateDict:
        """``"state"`` (by parameter number) and ``"param_groups"`` (options, and the numbers of their parameters).

        The tensors are the optimiser's own, not copies.
        """
        for hook in self._optimizer_state_dict_pre_hooks.values():
            hook(self)
        numbers: dict[int, int] = {}
        for number, param in enumerate(chain.from_iterable(group["params"] for group in self.param_groups)):
            numbers.setdefault(id(param), number)
        groups = []
        for group in self.param_groups:
            packed = {name: value for name, value in group.items() if name != "params"}
            packed["params"] = [numbers[id(param)] for param in group["params"]]
            groups.append(packed)
        state = {
            (numbers[id(key)] if isinstance(key, Tensor) else key): value for key, value in self.state.items()
        }
        packed_state: StateDict = {"state": state, "param_groups": groups}
        for hook in self._optimizer_state_dict_post_hooks.values():
            changed = hook(self, packed_state)
            if changed is not None:
                packed_state = changed
        return packed_state

    def load_state_dict(self, state_dict: StateDict) -> None:
        """Take over options and state; tensors are copied to their parameter's device and dtype.

        Raises ValueError where the groups differ in number or in size.
        """
        state_dict = state_dict.copy()
        for hook in self._optimizer_load_state_dict_pre_hooks.values():
            changed = hook(self, state_dict)
            if changed is not None:
                state_dict = changed
        saved_groups = deepcopy(state_dict["param_groups"])
        if len(self.param_groups) != len(saved_groups):
            raise ArgumentValueError("loaded state dict has a different number of parameter groups")
        params: dict[Hashable, Tensor] = {}
        owners: dict[Hashable, dict[str, Any]] = {}
        for group, saved in zip(self.param_groups, saved_groups, strict=True):
            if len(group["params"]) != len(saved["params"]):
                raise ArgumentValueError(
                    "loaded state dict contains a parameter group that doesn't match the size of optimizer's group"
                )
            for number, param in zip(saved["params"], group["params"], strict=True):
                params[number] = param
                owners[number] = dict(saved)
            saved["params"] = group["params"]
            if "param_names" in group:
                saved.setdefault("param_names", group["param_names"])
        state: defaultdict[Any, Any] = defaultdict(dict)
        for number, value in state_dict["state"].items():
            if number in params:
                state[params[number]] = _cast_state(params[number], value, owners[number], None)
            else:
                state[number] = value
        self.__setstate__({"state": state, "param_groups": saved_groups})
        for hook in self._optimizer_load_state_dict_post_hooks.values():
            hook(self)

    def __getstate__(self) -> dict[str, Any]:
        return {"defaults": self.defaults, "state": self.state, "param_groups": self.param_groups}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        for table in _HOOK_TABLES:
            self.__dict__.setdefault(table, OrderedDict())
        self._patch_step_function()
        self.defaults.setdefault("differentiable", False)

    def __repr__(self) -> str:
        text = f"{type(self).__name__} ("
        for number, group in enumerate(self.param_groups):
            text += f"\nParameter Group {number}\n"
            text += "".join(f"    {name}: {group[name]}\n" for name in sorted(group) if name != "params")
        return text + ("\n)" if not self.param_groups else ")")


def _fill_with_zeros(gradient: Tensor) -> None:
    if gradient.grad_fn is not None:
        gradient.detach_()
    else:
        gradient.requires_grad_(False)
    with no_grad():
        gradient.zero_()


def _split_names(entries: list[Any]) -> tuple[list[Any], list[str] | None]:
    """Parameters, and their names where they come in pairs."""
    named = [isinstance(entry, tuple) for entry in entries]
    if not any(named):
        return entries, None
    if not all(named):
        raise ArgumentValueError("all optimizer params should be with/without names. Some param names are missing")
    return [param for _, param in entries], [name for name, _ in entries]


def _cast_state(param: Tensor, value: Any, group: dict[str, Any], key: str | None) -> Any:
    """A copy of one state entry on its parameter's device and, for floating point, in its dtype."""
    if isinstance(value, Tensor):
        if key == "step":
            # Counts stay exact and on the host, unless the group's algorithm reads them on the device.
            if group.get("capturable") or group.get("fused"):
                return value.to(dtype=float32, device=param.device)
            return value
        if param.is_floating_point():
            return value.to(dtype=param.dtype, device=param.device)
        return value.to(device=param.device)
    if isinstance(value, dict):
        return {name: _cast_state(param, entry, group, name) for name, entry in value.items()}
    if isinstance(value, Iterable) and not isinstance(value, (str, bytes)):
        made: Any = type(value)
        return made(_cast_state(param, entry, group, None) for entry in value)
    return value
