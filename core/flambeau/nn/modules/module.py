"""``Module``: the base of every layer and model.

The class is put together from three parts, each in a file of its own: the tree of members (``_tree``), state dicts
(``_state``), and hooks (``_hooks``). Here are construction, the call, conversion, modes and printing.
"""

from __future__ import annotations

import warnings
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, TypeVar

from flambeau.autograd import no_grad
from flambeau.device import device as Device
from flambeau.dtypes import dtype as DType
from flambeau.errors import ArgumentError, ArgumentTypeError, ArgumentValueError, UnsupportedError
from flambeau.nn.modules import _hooks
from flambeau.nn.modules._hooks import (
    Hook,
    HookTable,
    RemovableHandle,
    register_module_buffer_registration_hook,
    register_module_module_registration_hook,
    register_module_parameter_registration_hook,
)
from flambeau.nn.modules._state import ModuleState
from flambeau.ops.creation import empty_like
from flambeau.tensor import Tensor

__all__ = [
    "Module",
    "register_module_backward_hook",
    "register_module_buffer_registration_hook",
    "register_module_forward_hook",
    "register_module_forward_pre_hook",
    "register_module_full_backward_hook",
    "register_module_full_backward_pre_hook",
    "register_module_module_registration_hook",
    "register_module_parameter_registration_hook",
]

Self = TypeVar("Self", bound="Module")

_HOOK_TABLES = (
    "_backward_pre_hooks", "_backward_hooks", "_forward_hooks", "_forward_hooks_with_kwargs",
    "_forward_hooks_always_called", "_forward_pre_hooks", "_forward_pre_hooks_with_kwargs", "_state_dict_hooks",
    "_state_dict_pre_hooks", "_load_state_dict_pre_hooks", "_load_state_dict_post_hooks",
)
_CALL_HOOK_TABLES = ("_backward_pre_hooks", "_backward_hooks", "_forward_hooks", "_forward_pre_hooks")


class Module(ModuleState):
    """Base class of layers and models: holds parameters, buffers and submodules, and computes ``forward``.

    A subclass calls ``super().__init__()`` first, assigns parameters and submodules as attributes, and defines
    ``forward``.

    >>> import flambeau as torch
    >>> class Double(torch.nn.Module):
    ...     def forward(self, x):
    ...         return 2 * x
    >>> Double()(torch.ones(2))
    tensor([2., 2.])
    """

    call_super_init: bool = False
    # Set on the instance by its first hook and on the class by the first global one; the call tests nothing else.
    _has_hooks: bool = False
    _is_full_backward_hook: bool | None
    _backward_pre_hooks: HookTable
    _backward_hooks: HookTable
    _forward_hooks: HookTable
    _forward_hooks_with_kwargs: OrderedDict[int, bool]
    _forward_hooks_always_called: OrderedDict[int, bool]
    _forward_pre_hooks: HookTable
    _forward_pre_hooks_with_kwargs: OrderedDict[int, bool]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if not self.call_super_init:
            if kwargs:
                raise ArgumentTypeError(
                    f"{type(self).__name__}.__init__() got an unexpected keyword argument '{next(iter(kwargs))}'"
                )
            if args:
                raise ArgumentTypeError(
                    f"{type(self).__name__}.__init__() takes 1 positional argument but {len(args) + 1} were given"
                )
        # Past __setattr__, which would search tables that do not exist yet.
        own = self.__dict__
        own["training"] = True
        own["_parameters"] = {}
        own["_buffers"] = {}
        own["_non_persistent_buffers_set"] = set()
        own["_is_full_backward_hook"] = None
        for table in _HOOK_TABLES:
            own[table] = OrderedDict()
        own["_modules"] = {}
        if self.call_super_init:
            super().__init__(*args, **kwargs)

    # --- the call ---------------------------------------------------------------------------------------------

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self._has_hooks:
            return _hooks.call(self, args, kwargs)
        return self.forward(*args, **kwargs)

    def forward(self, *input: Any) -> Any:
        """Compute the output. Every subclass overrides this; call the module itself, so that hooks run."""
        raise NotImplementedError(f'Module [{type(self).__name__}] is missing the required "forward" function')

    def compile(self, *args: Any, **kwargs: Any) -> None:
        """Not there yet: raises NotImplementedError."""
        raise UnsupportedError(
            "Module.compile: compilation is not available yet; leave the call out and the module runs eagerly with "
            "the same results"
        )

    # --- hooks ------------------------------------------------------------------------------------------------

    def register_forward_pre_hook(
        self, hook: Hook, *, prepend: bool = False, with_kwargs: bool = False
    ) -> RemovableHandle:
        """Call ``hook(module, args)`` before every forward; what it returns replaces the positional arguments.

        Args:
            hook: the function; with ``with_kwargs`` it is called as ``hook(module, args, kwargs)`` and returns both.
            prepend: run before the hooks that are there already.
            with_kwargs: pass the keyword arguments too.

        >>> import flambeau as torch
        >>> m = torch.nn.Identity()
        >>> handle = m.register_forward_pre_hook(lambda module, args: args[0] + 1)
        >>> m(torch.zeros(1))
        tensor([1.])
        """
        self._has_hooks = True
        marks = (self._forward_pre_hooks_with_kwargs, with_kwargs)
        return _hooks.add(self._forward_pre_hooks, hook, marks, prepend=prepend)

    def register_forward_hook(
        self, hook: Hook, *, prepend: bool = False, with_kwargs: bool = False, always_call: bool = False
    ) -> RemovableHandle:
        """Call ``hook(module, args, output)`` after every forward; what it returns replaces the output.

        Args:
            hook: the function; with ``with_kwargs`` it is called as ``hook(module, args, kwargs, output)``.
            prepend: run before the hooks that are there already.
            with_kwargs: pass the keyword arguments too.
            always_call: run even where forward raised.

        >>> import flambeau as torch
        >>> m = torch.nn.Identity()
        >>> handle = m.register_forward_hook(lambda module, args, output: output * 3)
        >>> m(torch.ones(1))
        tensor([3.])
        """
        self._has_hooks = True
        marks = ((self._forward_hooks_with_kwargs, with_kwargs), (self._forward_hooks_always_called, always_call))
        return _hooks.add(self._forward_hooks, hook, *marks, prepend=prepend)

    def register_full_backward_pre_hook(self, hook: Hook, prepend: bool = False) -> RemovableHandle:
        """Call ``hook(module, grad_output)`` when the gradients of the outputs are known; it may replace them."""
        self._has_hooks = True
        return _hooks.add(self._backward_pre_hooks, hook, prepend=prepend)

    def register_full_backward_hook(self, hook: Hook, prepend: bool = False) -> RemovableHandle:
        """Call ``hook(module, grad_input, grad_output)`` when the gradients of the inputs are known.

        It may return new gradients of the inputs. Raises RuntimeError where the module has old-style hooks.
        """
        if self._is_full_backward_hook is False:
            raise ArgumentError(
                "Cannot use both regular backward hooks and full backward hooks on a single Module; "
                "register_full_backward_hook is the one to use"
            )
        self._is_full_backward_hook = True
        self._has_hooks = True
        return _hooks.add(self._backward_hooks, hook, prepend=prepend)

    def register_backward_hook(self, hook: Hook) -> RemovableHandle:
        """Deprecated: sees the last graph node's gradients only. Use ``register_full_backward_hook``."""
        if self._is_full_backward_hook is True:
            raise ArgumentError(
                "Cannot use both regular backward hooks and full backward hooks on a single Module; "
                "register_full_backward_hook is the one to use"
            )
        self._is_full_backward_hook = False
        self._has_hooks = True
        return _hooks.add(self._backward_hooks, hook)

    # --- conversion -------------------------------------------------------------------------------------------

    def _apply(self: Self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """Replace every parameter's, gradient's and buffer's values by ``fn`` of them; the objects stay the same."""
        if recurse:
            for module in self.children():
                module._apply(fn)
        for parameter in self._parameters.values():
            if parameter is None:
                continue
            with no_grad():
                parameter.data = fn(parameter)
                if parameter.grad is not None:
                    parameter.grad.data = fn(parameter.grad)
        for name, buffer in self._buffers.items():
            if buffer is not None:
                self._buffers[name] = fn(buffer)
        return self

    def apply(self: Self, fn: Callable[[Module], Any]) -> Self:
        """Call ``fn`` on every module below this one, children first, and on this one last.

        >>> import flambeau as torch
        >>> net = torch.nn.Sequential(torch.nn.ReLU()).apply(lambda m: print(type(m).__name__))
        ReLU
        Sequential
        """
        for module in self.children():
            module.apply(fn)
        fn(self)
        return self

    def to(self: Self, *args: Any, **kwargs: Any) -> Self:
        """Move and convert parameters and buffers, in place.

        Forms: ``to(device, dtype, non_blocking)``, ``to(dtype)``, ``to(tensor)`` (its device and dtype),
        ``to(memory_format=...)``. Only floating-point and complex members change dtype.

        Raises TypeError where ``dtype`` is neither floating-point nor complex.

        >>> import flambeau as torch
        >>> torch.nn.Linear(2, 1).to(torch.float64).weight.dtype
        torch.float64
        """
        device, dtype, non_blocking, memory_format = _parse_to(args, kwargs)
        if dtype is not None and not (dtype.is_floating_point or dtype.is_complex):
            raise ArgumentTypeError(
                "nn.Module.to only accepts floating point or complex dtypes, but got desired dtype=" + str(dtype)
            )

        def convert(tensor: Tensor) -> Tensor:
            wanted = dtype if tensor.is_floating_point() or tensor.is_complex() else None
            if memory_format is not None and tensor.dim() in (4, 5):
                return tensor.to(device, wanted, non_blocking, memory_format=memory_format)
            return tensor.to(device, wanted, non_blocking)

        return self._apply(convert)

    def to_empty(self: Self, *, device: Any, recurse: bool = True) -> Self:
        """Move parameters and buffers to a device without their values."""
        return self._apply(lambda tensor: empty_like(tensor, device=device), recurse=recurse)

    def cpu(self: Self) -> Self:
        """Move parameters and buffers to the host's device."""
        return self._apply(lambda tensor: tensor.cpu())

    def cuda(self: Self, device: Any = None) -> Self:
        """Move parameters and buffers to a CUDA device, the current one if none is given."""
        return self._apply(lambda tensor: tensor.cuda(device))

    def xpu(self: Self, device: Any = None) -> Self:
        """Move parameters and buffers to an XPU device, the current one if none is given."""
        return self._apply(lambda tensor: tensor.xpu(device))

    def type(self: Self, dst_type: Any) -> Self:
        """Convert every parameter and buffer to a dtype."""
        return self._apply(lambda tensor: tensor.type(dst_type))

    def float(self: Self) -> Self:
        """Convert floating-point parameters and buffers to float32."""
        return self._apply(lambda tensor: tensor.float() if tensor.is_floating_point() else tensor)

    def double(self: Self) -> Self:
        """Convert floating-point parameters and buffers to float64."""
        return self._apply(lambda tensor: tensor.double() if tensor.is_floating_point() else tensor)

    def half(self: Self) -> Self:
        """Convert floating-point parameters and buffers to float16."""
        return self._apply(lambda tensor: tensor.half() if tensor.is_floating_point() else tensor)

    def bfloat16(self: Self) -> Self:
        """Convert floating-point parameters and buffers to bfloat16."""
        return self._apply(lambda tensor: tensor.bfloat16() if tensor.is_floating_point() else tensor)

    def share_memory(self: Self) -> Self:
        """Move parameters and buffers to memory that other processes see, see `Tensor.share_memory_`."""
        return self._apply(lambda tensor: tensor.share_memory_())

    # --- modes and gradients ----------------------------------------------------------------------------------

    def train(self: Self, mode: bool = True) -> Self:
        """Set training mode, which Dropout and BatchNorm look at, here and in all modules below.

        >>> import flambeau as torch
        >>> torch.nn.Dropout().train(False).training
        False
        """
        if not isinstance(mode, bool):
            raise ArgumentValueError("training mode is expected to be boolean")
        self.training = mode
        for module in self.children():
            module.train(mode)
        return self

    def eval(self: Self) -> Self:
        """Set evaluation mode: ``train(False)``."""
        return self.train(False)

    def requires_grad_(self: Self, requires_grad: bool = True) -> Self:
        """Say for all parameters whether gradients are collected."""
        for parameter in self.parameters():
            parameter.requires_grad_(requires_grad)
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Drop the parameters' gradients, or fill them with zeros where ``set_to_none`` is false."""
        if getattr(self, "_is_replica", False):
            warnings.warn(
                "Calling .zero_grad() from a module created with nn.DataParallel() has no effect. The parameters are "
                "copied (in a differentiable manner) from the original module.",
                stacklevel=2,
            )
        for parameter in self.parameters():
            if parameter.grad is None:
                continue
            if set_to_none:
                parameter.grad = None
            elif parameter.grad.grad_fn is not None:
                parameter.grad.detach_()
                parameter.grad.zero_()
            else:
                parameter.grad.requires_grad_(False)
                parameter.grad.zero_()

    # --- printing, copying ------------------------------------------------------------------------------------

    def _get_name(self) -> str:
        return type(self).__name__

    def extra_repr(self) -> str:
        """What stands between the brackets when the module is printed; override it."""
        return ""

    def __repr__(self) -> str:
        extra = self.extra_repr().split("\n") if self.extra_repr() else []
        children = [f"({name}): {_indented(repr(module))}" for name, module in self._modules.items()]
        if not children and len(extra) <= 1:
            return f"{self._get_name()}({''.join(extra)})"
        inner = "\n  ".join(extra + children)
        return f"{self._get_name()}(\n  {inner}\n)"

    def _replicate_for_data_parallel(self: Self) -> Self:
        """A module like this one with tables of its own, and no parameters yet."""
        replica = self.__new__(type(self))
        replica.__dict__.update(self.__dict__, _parameters={}, _buffers=self._buffers.copy(),
                                _modules=self._modules.copy(), _is_replica=True)
        return replica

    def __setstate__(self, state: dict[str, Any]) -> None:
        own = self.__dict__
        own.update(state)
        for table in _HOOK_TABLES:
            own.setdefault(table, OrderedDict())
        own.setdefault("_non_persistent_buffers_set", set())
        own.setdefault("_is_full_backward_hook", None)
        if any(own[table] for table in _CALL_HOOK_TABLES):
            own["_has_hooks"] = True


def _indented(text: str) -> str:
    return text.replace("\n", "\n  ")


def _parse_to(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, Any, bool, Any]:
    """Device, dtype, non_blocking and memory format of any form of ``to``."""
    allowed = ("device", "dtype", "non_blocking", "copy", "tensor", "other", "memory_format")
    for name in kwargs:
        if name not in allowed:
            raise ArgumentTypeError(f"to() got an unexpected keyword argument '{name}'")
    given = dict(kwargs)
    rest = list(args)
    if rest:
        first = rest.pop(0)
        if isinstance(first, Tensor):
            given["tensor"] = first
        elif isinstance(first, DType):
            given["dtype"] = first
        else:
            given["device"] = first
            if rest and (rest[0] is None or isinstance(rest[0], DType)):
                given["dtype"] = rest.pop(0)
    for name in ("non_blocking", "copy"):
        if rest:
            given[name] = rest.pop(0)
    if rest:
        raise ArgumentTypeError(
            f"to() received an invalid combination of arguments - got {len(args)} positional arguments; allowed: "
            "(device, dtype, non_blocking), (dtype, non_blocking) or (tensor, non_blocking)"
        )
    model = given.get("tensor", given.get("other"))
    if model is not None:
        given["device"], given["dtype"] = model.device, model.dtype
    device = given.get("device")
    if device is not None and not isinstance(device, Device):
        device = Device(device)
    return device, given.get("dtype"), bool(given.get("non_blocking", False)), given.get("memory_format")


# --- hooks on all modules -------------------------------------------------------------------------------------


class _GlobalHandle(RemovableHandle):
    """With the last hook on all modules, their calls' flag goes too."""

    def remove(self) -> None:
        super().remove()
        Module._has_hooks = _hooks.any_global()


def _add_global(table: HookTable, hook: Hook, *marks: tuple[OrderedDict[int, Any], bool]) -> RemovableHandle:
    Module._has_hooks = True
    return _hooks.add(table, hook, *marks, handle_class=_GlobalHandle)


def register_module_forward_pre_hook(hook: Hook) -> RemovableHandle:
    """Call ``hook(module, args)`` before the forward of every module."""
    return _add_global(_hooks.global_forward_pre_hooks, hook)


def register_module_forward_hook(
    hook: Hook, *, with_kwargs: bool = False, always_call: bool = False
) -> RemovableHandle:
    """Call ``hook(module, args, output)`` after the forward of every module."""
    marks = ((_hooks.global_forward_hooks_with_kwargs, with_kwargs), (_hooks.global_forward_hooks_always, always_call))
    return _add_global(_hooks.global_forward_hooks, hook, *marks)


def register_module_full_backward_pre_hook(hook: Hook) -> RemovableHandle:
    """Call ``hook(module, grad_output)`` when the gradients of any module's outputs are known."""
    return _add_global(_hooks.global_backward_pre_hooks, hook)


def register_module_full_backward_hook(hook: Hook) -> RemovableHandle:
    """Call ``hook(module, grad_input, grad_output)`` when the gradients of any module's inputs are known."""
    return _add_global(_hooks.global_backward_hooks, hook)


def register_module_backward_hook(hook: Hook) -> RemovableHandle:
    """Deprecated name; acts as ``register_module_full_backward_hook``."""
    return register_module_full_backward_hook(hook)
