"""Calling modules with parameters and buffers that are given, and stacking those of several modules."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, TypeVar

from flambeau.errors import ArgumentError, ArgumentValueError
from flambeau.nn.modules.batchnorm import _BatchNorm
from flambeau.nn.modules.module import Module
from flambeau.nn.utils.stateless import _functional_call
from flambeau.ops.joining import stack
from flambeau.tensor import Tensor

M = TypeVar("M", bound=Module)


def functional_call(
    module: Module, parameter_and_buffer_dicts: dict[str, Tensor] | Sequence[dict[str, Tensor]], args: Any = None,
    kwargs: dict[str, Any] | None = None, *, tie_weights: bool = True, strict: bool = False,
) -> Any:
    """Call a module with other parameters and buffers than its own.

    Args:
        module: the module; it is as before afterwards.
        parameter_and_buffer_dicts: tensors by their names in the module, in one dictionary or several. A buffer that
            the call replaces is replaced there.
        args: the positional arguments; what is no tuple is the only one.
        kwargs: the keyword arguments.
        tie_weights: whether what the module has under several names changes under all of them.
        strict: whether all of the module's parameters and buffers must be given, and nothing else.

    ValueError for names that are given twice, RuntimeError with `strict` for missing and unexpected ones.

    >>> import flambeau as torch
    >>> torch.func.functional_call(torch.nn.Linear(2, 1, bias=False), {"weight": torch.ones(1, 2)}, torch.ones(2))
    tensor([2.])
    """
    if isinstance(parameter_and_buffer_dicts, dict):
        given = parameter_and_buffer_dicts
    elif isinstance(parameter_and_buffer_dicts, Sequence):
        if not all(isinstance(each, dict) for each in parameter_and_buffer_dicts):
            raise ArgumentValueError("Expected all elements of parameter_and_buffer_dicts to be dictionaries")
        counts = Counter(name for each in parameter_and_buffer_dicts for name in each)
        repeated = [name for name, number in counts.items() if number > 1]
        if repeated:
            raise ArgumentValueError(f"{repeated} appeared in multiple dictionaries; behavior of functional call is "
                                     "ambiguous")
        given = {name: value for each in parameter_and_buffer_dicts for name, value in each.items()}
    else:
        raise ArgumentValueError("Expected parameter_and_buffer_dicts to be a dict, or a list/tuple of dicts, but got "
                                 f"{type(parameter_and_buffer_dicts)}")
    return _functional_call(module, given, args, kwargs, tie_weights=tie_weights, strict=strict)


def stack_module_state(models: Any) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The parameters and the buffers of several modules of one class, stacked along a new first dimension.

    RuntimeError for no modules, modules of several classes, or some of them in training.

    >>> import flambeau as torch
    >>> parameters, buffers = torch.func.stack_module_state([torch.nn.Linear(3, 2) for _ in range(4)])
    >>> parameters["weight"].shape
    torch.Size([4, 2, 3])
    """
    if len(models) == 0:
        raise ArgumentError("stack_module_state: Expected at least one model, got 0.")
    if len({model.training for model in models}) > 1:
        raise ArgumentError("stack_module_state: Expected all models to have the same training/eval mode.")
    if len({type(model) for model in models}) > 1:
        raise ArgumentError("stack_module_state: Expected all models to be of the same class.")
    return (_stacked([dict(model.named_parameters()) for model in models]),
            _stacked([dict(model.named_buffers()) for model in models]))


def _stacked(members: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    result = {}
    for name in members[0]:
        tensors = [each[name] for each in members]
        wanted = {tensor.requires_grad for tensor in tensors}
        if len(wanted) > 1:
            raise ArgumentError(f"Expected {name} from each model to have the same .requires_grad")
        stacked = stack(tensors)
        result[name] = stacked.detach().requires_grad_() if True in wanted else stacked
    return result


def replace_all_batch_norm_modules_(root: M) -> M:
    """Let all batch normalisations of a module keep no running statistics; the module itself, changed.

    >>> import flambeau as torch
    >>> torch.func.replace_all_batch_norm_modules_(torch.nn.BatchNorm1d(3)).running_mean is None
    True
    """
    for module in root.modules():
        if isinstance(module, _BatchNorm):
            module.running_mean = module.running_var = module.num_batches_tracked = None
            module.track_running_stats = False
    return root
