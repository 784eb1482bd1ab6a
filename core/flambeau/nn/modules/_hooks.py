"""Hooks: handles to remove them, the tables of global ones, and the call of a module that has some.

A module without hooks pays for this file with one flag test per call. Backward hooks are two identity functions in the
graph, one before and one after the module's forward: the gradients that pass through them are what the hooks see.
"""

from __future__ import annotations

import itertools
import warnings
import weakref
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from flambeau.autograd import Function, is_grad_enabled
from flambeau.errors import ArgumentError
from flambeau.tensor import Tensor

if TYPE_CHECKING:
    from flambeau.nn.modules.module import Module

Hook = Callable[..., Any]
HookTable = OrderedDict[int, Hook]


class RemovableHandle:
    """What registering a hook returns: ``remove()`` takes the hook away; also a context manager that does.

    Args:
        hooks: the table that the hook is about to enter.
        extra: further tables keyed by the same number, from which it is removed as well.
    """

    _numbers = itertools.count()

    def __init__(self, hooks: OrderedDict[int, Any], *extra: dict[int, Any]) -> None:
        self.id = next(RemovableHandle._numbers)
        self._tables = [weakref.ref(table) for table in (hooks, *extra)]

    def remove(self) -> None:
        """Take the hook away; doing so twice is no error."""
        for reference in self._tables:
            table = reference()
            if table is not None:
                table.pop(self.id, None)

    def __enter__(self) -> RemovableHandle:
        return self

    def __getstate__(self) -> tuple[int, list[Any]]:
        # The tables themselves, which a copy or a file holds once, with the module that they belong to.
        return self.id, [reference() for reference in self._tables]

    def __setstate__(self, state: tuple[int, list[Any]]) -> None:
        self.id = state[0]
        self._tables = [weakref.ref(OrderedDict() if table is None else table) for table in state[1]]

    def __exit__(self, *exc: object) -> None:
        self.remove()


global_forward_pre_hooks: HookTable = OrderedDict()
global_forward_hooks: HookTable = OrderedDict()
global_forward_hooks_with_kwargs: OrderedDict[int, bool] = OrderedDict()
global_forward_hooks_always: OrderedDict[int, bool] = OrderedDict()
global_backward_pre_hooks: HookTable = OrderedDict()
global_backward_hooks: HookTable = OrderedDict()
_on_buffer: HookTable = OrderedDict()
_on_module: HookTable = OrderedDict()
_on_parameter: HookTable = OrderedDict()


def add(
    table: HookTable,
    hook: Hook,
    *marks: tuple[OrderedDict[int, Any], bool],
    prepend: bool = False,
    handle_class: type[RemovableHandle] = RemovableHandle,
) -> RemovableHandle:
    """Enter a hook into a table, and its number into those of ``marks`` whose flag is set."""
    handle = handle_class(table, *(mark for mark, _ in marks))
    table[handle.id] = hook
    for mark, wanted in marks:
        if wanted:
            mark[handle.id] = True
    if prepend:
        table.move_to_end(handle.id, last=False)
    return handle


def any_global() -> bool:
    """Whether any hook on the calls of all modules is registered."""
    return bool(
        global_forward_pre_hooks or global_forward_hooks or global_backward_pre_hooks or global_backward_hooks
    )


def _registered(table: HookTable, module: Any, name: str, value: Any) -> Any:
    for hook in tuple(table.values()):
        changed = hook(module, name, value)
        if changed is not None:
            value = changed
    return value


def on_buffer(module: Any, name: str, value: Any) -> Any:
    """What the global buffer registration hooks make of a new buffer."""
    return _registered(_on_buffer, module, name, value) if _on_buffer else value


def on_module(module: Any, name: str, value: Any) -> Any:
    """What the global module registration hooks make of a new child."""
    return _registered(_on_module, module, name, value) if _on_module else value


def on_parameter(module: Any, name: str, value: Any) -> Any:
    """What the global parameter registration hooks make of a new parameter."""
    return _registered(_on_parameter, module, name, value) if _on_parameter else value


def register_module_buffer_registration_hook(hook: Hook) -> RemovableHandle:
    """Call ``hook(module, name, buffer)`` at every registration of a buffer, in any module."""
    return add(_on_buffer, hook)


def register_module_module_registration_hook(hook: Hook) -> RemovableHandle:
    """Call ``hook(module, name, child)`` at every registration of a child module, in any module."""
    return add(_on_module, hook)


def register_module_parameter_registration_hook(hook: Hook) -> RemovableHandle:
    """Call ``hook(module, name, parameter)`` at every registration of a parameter, in any module."""
    return add(_on_parameter, hook)


# --- the call -------------------------------------------------------------------------------------------------


def call(module: Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """``module(*args, **kwargs)`` with every hook, the global ones before the module's own."""
    ran: set[int] = set()
    result: Any = None
    try:
        args, kwargs = _before(module, args, kwargs)
        gates = _gates(module)
        if gates is not None:
            args = gates.enter(args)
        result = module.forward(*args, **kwargs)
        for number, hook, with_kwargs, _ in _after(module):
            ran.add(number)
            changed = hook(module, args, kwargs, result) if with_kwargs else hook(module, args, result)
            if changed is not None:
                result = changed
        if gates is not None:
            result = gates.leave(result)
    except Exception:
        _run_always(module, args, kwargs, result, ran)
        raise
    if module.__dict__["_backward_hooks"] and module._is_full_backward_hook is False:
        _attach_old_style(module, result)
    return result


def _before(module: Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    for number, hook in (*global_forward_pre_hooks.items(), *module._forward_pre_hooks.items()):
        if number in module._forward_pre_hooks_with_kwargs:
            changed = hook(module, args, kwargs)
            if changed is None:
                continue
            if not (isinstance(changed, tuple) and len(changed) == 2):
                raise ArgumentError(
                    f"forward pre-hook must return None or a tuple of (new_args, new_kwargs), but got {changed}."
                )
            args, kwargs = changed
        else:
            changed = hook(module, args)
            if changed is not None:
                args = changed if isinstance(changed, tuple) else (changed,)
    return args, kwargs


def _after(module: Module) -> list[tuple[int, Hook, bool, bool]]:
    """Forward hooks in their order: number, hook, takes keyword arguments, runs even after an error."""
    return [
        (n, hook, n in global_forward_hooks_with_kwargs, n in global_forward_hooks_always)
        for n, hook in global_forward_hooks.items()
    ] + [
        (n, hook, n in module._forward_hooks_with_kwargs, n in module._forward_hooks_always_called)
        for n, hook in module._forward_hooks.items()
    ]


def _run_always(
    module: Module, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any, ran: set[int]
) -> None:
    """After an error: the hooks that asked to run even then and have not. Their own errors become warnings."""
    for number, hook, with_kwargs, always in _after(module):
        if not always or number in ran:
            continue
        try:
            changed = hook(module, args, kwargs, result) if with_kwargs else hook(module, args, result)
        except Exception as error:  # noqa: BLE001 -- it must not hide the first error, whatever it is
            warnings.warn(
                f"module forward hook with ``always_call=True`` raised an exception that was silenced as another "
                f"error was raised in forward: {error}",
                stacklevel=2,
            )
            continue
        if changed is not None:
            result = changed


# --- backward -------------------------------------------------------------------------------------------------


class _Gate(Function):
    """Identity on tensors; hands the gradients that come back to a callable, which may replace them."""

    @staticmethod
    def forward(ctx: Any, on_gradients: Callable[[tuple[Any, ...]], tuple[Any, ...]], *tensors: Tensor) -> Any:
        ctx.on_gradients = on_gradients
        ctx.set_materialize_grads(False)
        ctx.mark_non_differentiable(*(tensor for tensor in tensors if not tensor.requires_grad))
        return tuple(tensor.view_as(tensor) for tensor in tensors)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        return (None, *ctx.on_gradients(gradients))


class _Gates:
    """The two gates of one call, and what the outer one saw for the inner one to report."""

    def __init__(self, module: Module, pre_hooks: list[Hook], hooks: list[Hook]) -> None:
        self.module = module
        self.pre_hooks = pre_hooks
        self.hooks = hooks
        self.grad_outputs: tuple[Any, ...] | None = None
        self.input_positions: list[int] | None = None
        self.inputs = 0

    def enter(self, args: tuple[Any, ...]) -> tuple[Any, ...]:
        """The arguments, with the gate that sees the gradients of the inputs put in front."""
        self.inputs = len(args)
        passed, positions = _through_gate(args, self._inputs_reached)
        self.input_positions = positions
        return passed

    def leave(self, result: Any) -> Any:
        """The result, behind the gate that sees the gradients of the outputs."""
        if not isinstance(result, (Tensor, tuple)):
            warnings.warn(
                "For backward hooks to be called, module output should be a Tensor or a tuple of Tensors but received "
                f"{type(result)}",
                stacklevel=4,
            )
            return result
        single = isinstance(result, Tensor)
        outputs = result if isinstance(result, tuple) else (result,)
        positions = [i for i, value in enumerate(outputs) if isinstance(value, Tensor)]

        def reached(gradients: tuple[Any, ...]) -> tuple[Any, ...]:
            return self._outputs_reached(gradients, positions, len(outputs))

        passed, _ = _through_gate(outputs, reached)
        return passed[0] if single else passed

    def _outputs_reached(self, gradients: tuple[Any, ...], positions: list[int], count: int) -> tuple[Any, ...]:
        seen = _spread(gradients, positions, count)
        for hook in self.pre_hooks:
            seen = _checked(hook(self.module, seen), seen, "pre hook")
        self.grad_outputs = seen
        if self.input_positions is None:
            # No input takes part in the graph, so this is as far as the gradient comes.
            nothing = (None,) * self.inputs
            warnings.warn(
                "Full backward hook is firing when gradients are computed with respect to module outputs since no "
                "inputs require gradients.",
                stacklevel=5,
            )
            for hook in self.hooks:
                changed = hook(self.module, nothing, seen)
                if changed is not None and any(item is not None for item in _as_tuple(changed)):
                    raise ArgumentError(
                        "Backward hook for Modules where no input requires gradient should always return None or None "
                        "for all gradients."
                    )
        return tuple(seen[i] for i in positions)

    def _inputs_reached(self, gradients: tuple[Any, ...]) -> tuple[Any, ...]:
        assert self.input_positions is not None
        seen = _spread(gradients, self.input_positions, self.inputs)
        if self.grad_outputs is None:
            raise ArgumentError(
                "Module backward hook for grad_input is called before the grad_output one. This happens because the "
                "gradient in your nn.Module flows to the Module's input without passing through the Module's output. "
                "Make sure that the output depends on the input and that the loss is computed based on the output."
            )
        for hook in self.hooks:
            seen = _checked(hook(self.module, seen, self.grad_outputs), seen, "hook")
        self.grad_outputs = None
        return tuple(seen[i] for i in self.input_positions)


def _gates(module: Module) -> _Gates | None:
    pre_hooks = [*global_backward_pre_hooks.values(), *module._backward_pre_hooks.values()]
    hooks = list(global_backward_hooks.values())
    if module._is_full_backward_hook is not False:
        hooks += module._backward_hooks.values()
    return _Gates(module, pre_hooks, hooks) if pre_hooks or hooks else None


def _through_gate(
    values: tuple[Any, ...], reached: Callable[[tuple[Any, ...]], tuple[Any, ...]]
) -> tuple[tuple[Any, ...], list[int] | None]:
    """The values with every tensor passed through one gate, and the tensors' positions; None where none needs one."""
    positions = [i for i, value in enumerate(values) if isinstance(value, Tensor)]
    if not is_grad_enabled() or not any(values[i].requires_grad for i in positions):
        return values, None
    passed = list(values)
    for i, tensor in zip(positions, _Gate.apply(reached, *(values[i] for i in positions)), strict=True):
        passed[i] = tensor
    return tuple(passed), positions


def _spread(gradients: Iterable[Any], positions: list[int], count: int) -> tuple[Any, ...]:
    spread = [None] * count
    for i, gradient in zip(positions, gradients, strict=True):
        spread[i] = gradient
    return tuple(spread)


def _as_tuple(value: Any) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) else (value,)


def _checked(changed: Any, before: tuple[Any, ...], what: str) -> tuple[Any, ...]:
    if changed is None:
        return before
    after = _as_tuple(changed)
    if len(after) != len(before):
        raise ArgumentError(
            f"Backward {what} returned an invalid number of grad_"
            f"{'output' if what == 'pre hook' else 'input'}, got {len(after)}, but expected {len(before)}"
        )
    return after


def _attach_old_style(module: Module, result: Any) -> None:
    """The deprecated backward hooks: on the graph node that made the result, whatever that is."""
    while not isinstance(result, Tensor):
        if isinstance(result, dict):
            result = next(value for value in result.values() if isinstance(value, Tensor))
        else:
            result = result[0]
    node = result.grad_fn
    if node is None:
        return
    for hook in module._backward_hooks.values():

        def adapted(grad_input: Any, grad_output: Any, hook: Hook = hook) -> Any:
            return hook(module, grad_input, grad_output)

        node.register_hook(adapted)
