"""What the algorithms share: checks of options, step counters, and the small pieces of a formula.

Numbers that change from step to step (a rate, a count) are plain numbers where the algorithm runs as usual, and stay
tensors where somebody asked for that: ``capturable``, so that nothing waits for a device, or ``differentiable``, so
that gradients reach them.

The last part has the helpers of ``torch.optim.optimizer`` that optimisers written elsewhere import.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from flambeau.autograd import is_grad_enabled, set_grad_enabled
from flambeau.discovery import offered
from flambeau.dtypes import dtype, float32, float64, get_default_dtype
from flambeau.errors import ArgumentError, ArgumentValueError
from flambeau.ops.construct import tensor
from flambeau.ops.creation import full
from flambeau.ops.views import view_as_real
from flambeau.tensor import Tensor

Number = Any
_Function = TypeVar("_Function", bound=Callable[..., Any])


# --- options --------------------------------------------------------------------------------------------------


def check_option(valid: bool | Tensor, what: str, value: Any) -> None:
    """Raise ValueError for an option out of its range.

    >>> from flambeau.optim.optimizer import check_option
    >>> check_option(0.1 >= 0, "learning rate", 0.1)
    """
    if not valid:
        raise ArgumentValueError(f"Invalid {what}: {value}")


def check_lr(lr: Any, foreach: bool | None = None, capturable: bool = True) -> None:
    """Raise ValueError for a learning rate that is negative, or a tensor of several elements."""
    if isinstance(lr, Tensor):
        if foreach and not capturable:
            raise ArgumentValueError("lr as a Tensor is not supported for capturable=False and foreach=True")
        if lr.numel() != 1:
            raise ArgumentValueError("Tensor lr must be 1-element")
    check_option(lr >= 0.0, "learning rate", lr)


def check_betas(betas: Sequence[Any]) -> None:
    """Raise ValueError for decay rates outside of [0, 1)."""
    for index, beta in enumerate(betas):
        check_option(0.0 <= beta < 1.0, f"beta parameter at index {index}", beta)


def check_fused(fused: bool | None, foreach: bool | None, differentiable: bool) -> None:
    """Raise RuntimeError for implementations that exclude each other."""
    if fused and differentiable:
        raise ArgumentError("`fused` does not support `differentiable`")
    if fused and foreach:
        raise ArgumentError("`fused` and `foreach` cannot be `True` together.")


def check_fusable(param: Tensor) -> None:
    """Raise RuntimeError for a parameter that a fused step does not take."""
    if not param.is_floating_point():
        raise ArgumentError(
            f"`fused=True` requires all the params to be floating point Tensors of supported devices, but one is "
            f"{param.dtype} on {param.device.type}"
        )


def check_counts(name: str, counts: Sequence[Any]) -> None:
    """Raise RuntimeError where counters are numbers, as they were in early versions of the functional forms."""
    if not all(isinstance(count, Tensor) for count in counts):
        raise ArgumentError(f"API has changed, `{name}` argument must contain a list of singleton tensors")


def unscaled(grads: Sequence[Tensor], fused: bool | None, grad_scale: Tensor | None, found_inf: Tensor | None) -> Any:
    """Gradients divided by the scale of mixed precision; None where an infinite one says to leave the step out."""
    if grad_scale is None and found_inf is None:
        return grads
    if not fused:
        raise AssertionError("Expected grad_scale and found_inf to be None, as only the fused form takes them")
    if found_inf is not None and found_inf.item():
        return None
    return grads if grad_scale is None else [grad / grad_scale.to(grad.device) for grad in grads]


# --- counters -------------------------------------------------------------------------------------------------


def count_dtype(is_fused: bool | None = None) -> dtype:
    """The dtype of counters: float32, or float64 where that is the default."""
    return float64 if get_default_dtype() == float64 and not is_fused else float32


def new_count(value: float, param: Tensor, on_device: bool = False, is_fused: bool | None = None) -> Tensor:
    """A counter: on the host, or beside its parameter for algorithms that read it there."""
    if on_device:
        return full((), value, dtype=count_dtype(is_fused), device=param.device)
    return tensor(float(value), dtype=count_dtype(is_fused))


def new_step_count(param: Tensor, on_device: bool, is_fused: bool | None = None) -> Tensor:
    """A step counter at zero."""
    return new_count(0.0, param, on_device, is_fused)


def as_step_count(step: Any, param: Tensor | None = None, on_device: bool = False) -> Tensor:
    """A step counter from a checkpoint of PyTorch before 1.12, where it was a number."""
    if isinstance(step, Tensor):
        return step
    if on_device and param is not None:
        return new_count(float(step), param, True)
    return tensor(float(step), dtype=count_dtype())


# --- pieces of formulas ---------------------------------------------------------------------------------------


def scalar(value: Any) -> Any:
    """A number as it is, a tensor of one element without dimensions."""
    return value.reshape(()) if isinstance(value, Tensor) and value.dim() != 0 else value


def rate(value: Any, as_tensor: bool) -> Any:
    """A learning rate for a formula: a number, or the tensor that it is where ``as_tensor`` asks for that."""
    return scalar(value) if as_tensor or not isinstance(value, Tensor) else value.item()


def directed(param: Tensor, grad: Tensor, weight_decay: Number, maximize: bool) -> Tensor:
    """The gradient to go down along: reversed to maximise, with the L2 penalty's part."""
    if maximize:
        grad = -grad
    if isinstance(weight_decay, Tensor):
        return grad + param * scalar(weight_decay)
    return grad.add(param, alpha=weight_decay) if weight_decay != 0 else grad


def real_views(param: Tensor, *others: Tensor | None) -> tuple[Any, ...]:
    """Complex tensors as pairs of real numbers, which the element-wise algorithms treat like any others."""
    if not param.is_complex():
        return (param, *others)
    return (view_as_real(param), *(None if other is None else view_as_real(other) for other in others))


def held(value: Tensor) -> Tensor:
    """State for a product that backward may look at, although the next step overwrites it."""
    return value.clone() if is_grad_enabled() else value


def descend_(param: Tensor, direction: Tensor, size: Number) -> None:
    """``param -= size * direction``."""
    if isinstance(size, Tensor):
        param.sub_(direction * size)
    else:
        param.add_(direction, alpha=-size)


def descend_ratio_(param: Tensor, numerator: Tensor, denominator: Tensor, size: Number) -> None:
    """``param -= size * numerator / denominator``."""
    if isinstance(size, Tensor):
        param.sub_(held(numerator) / held(denominator) * size)
    else:
        param.addcdiv_(held(numerator), held(denominator), value=-size)


# --- for optimisers written elsewhere -------------------------------------------------------------------------


def _use_grad_for_differentiable(step: _Function) -> _Function:
    """A ``step`` that records gradients only where the optimiser's ``differentiable`` says so."""

    @functools.wraps(step)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        with set_grad_enabled(args[0].defaults["differentiable"]):
            return step(*args, **kwargs)

    return wrapped  # type: ignore[return-value]


def _get_value(x: Any) -> Any:
    """A tensor's number."""
    return x.item() if isinstance(x, Tensor) else x


def _stack_if_compiling(x: Any) -> Any:
    """``x``: nothing is stacked for a compiler here."""
    return x


def _default_to_fused_or_foreach(
    params: Sequence[Tensor], differentiable: bool, use_fused: bool = False
) -> tuple[bool, bool]:
    """Whether to take the fused or the foreach form: neither, since there is one form."""
    return False, False


def _view_as_real(params: list[Tensor], *state_and_grads: list[Tensor]) -> None:
    """Replace complex parameters, and what belongs to them, by views of pairs of real numbers."""
    for i, param in enumerate(params):
        if param.is_complex():
            for column in (params, *state_and_grads):
                column[i] = view_as_real(column[i])


def _disable_dynamo_if_unsupported(single_tensor_fn: Any = None) -> Callable[[_Function], _Function]:
    """Mark a functional form; there is nothing to disable."""
    return lambda function: function


def _get_capturable_supported_devices(supports_xla: bool = True) -> list[str]:
    """The kinds of device on which a step count may stay a tensor: all."""
    return offered()


_device_dtype_check_for_fused = check_fusable
_get_scalar_dtype = count_dtype
_to_scalar = scalar



_params_doc = """params: parameters, pairs of a name and a parameter, or dictionaries that define groups"""
_foreach_doc = """foreach: accepted; all parameters of a group are treated alike"""
_fused_doc = """fused: accepted; keeps the step count beside the parameters"""
_capturable_doc = """capturable: keep the step count beside the parameters and as a tensor in the formula"""
_differentiable_doc = """differentiable: let gradients flow through the step"""
_maximize_doc = """maximize: go up, not down"""
