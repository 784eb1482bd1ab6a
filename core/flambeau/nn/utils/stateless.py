"""A module called with other parameters and buffers than its own, as a function of them."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from flambeau.errors import ArgumentError, ArgumentTypeError, ArgumentValueError
from flambeau.nn.modules.module import Module
from flambeau.tensor import Tensor

__all__ = ["functional_call"]

_ABSENT = object()


def _with_tied(module: Module, given: dict[str, Tensor]) -> dict[str, Tensor]:
    """What is given, under the other names too that a tensor has in the module.

    ValueError where one tensor would get several values.
    """
    names: dict[int, list[str]] = {}
    for members in (module.named_parameters(remove_duplicate=False), module.named_buffers(remove_duplicate=False)):
        for name, tensor in members:
            names.setdefault(id(tensor), []).append(name)
    result = dict(given)
    for tied in names.values():
        values = {id(given[name]): given[name] for name in tied if name in given}
        if len(values) > 1:
            raise ArgumentValueError(f"functional_call got multiple values for keys {sorted(tied)}, which are tied. "
                                     "Consider using tie_weights=False")
        for value in values.values():
            result.update(dict.fromkeys(tied, value))
    return result


def _check_names(module: Module, given: dict[str, Tensor]) -> None:
    """RuntimeError unless the names are those of all parameters and buffers."""
    known = {name for members in (module.named_parameters(remove_duplicate=False),
                                  module.named_buffers(remove_duplicate=False)) for name, _ in members}
    problems = [(what, names) for what, names in
                (("Unexpected", [name for name in given if name not in known]),
                 ("Missing", sorted(known - given.keys()))) if names]
    if problems:
        listed = "\n\t".join(f"{what} key(s): {', '.join(map(repr, names))}." for what, names in problems)
        raise ArgumentError(f"Error(s) in reparametrizing for {module._get_name()}:\n\t{listed}")


def _swap(module: Module, name: str, value: Any) -> Any:
    """Put a tensor in the place of a member, or take the member away; what was there."""
    if value is not _ABSENT and value is not None and not isinstance(value, Tensor):
        raise ArgumentTypeError(f"{value} is not an instance of torch.Tensor")
    path, _, last = name.rpartition(".")
    owner = module.get_submodule(path)
    tables: tuple[dict[str, Any], ...] = (owner._parameters, owner._buffers)
    for table in tables:
        if last in table:
            found = table[last]
            table[last] = value
            return found
    before = getattr(owner, last, _ABSENT)
    if before is not _ABSENT and not isinstance(before, Tensor):
        raise ArgumentTypeError(f"attribute `{last}`: {before} is not an instance of torch.Tensor")
    if value is not _ABSENT:
        setattr(owner, last, value)
    elif before is not _ABSENT:
        delattr(owner, last)
    return before


@contextmanager
def _reparametrize_module(module: Module, parameters_and_buffers: dict[str, Tensor], tie_weights: bool = False,
                          strict: bool = False) -> Iterator[None]:
    """Let a module have other parameters and buffers for a block. Buffers that it replaces go to the given dict."""
    given = _with_tied(module, parameters_and_buffers) if tie_weights else dict(parameters_and_buffers)
    if strict:
        _check_names(module, given)
    before: dict[str, Any] = {}
    try:
        for name, value in given.items():
            before[name] = _swap(module, name, value)
        yield
    finally:
        for name in reversed(list(before)):
            now = _swap(module, name, before[name])
            if name in parameters_and_buffers and now is not _ABSENT:
                parameters_and_buffers[name] = now


def functional_call(
    module: Module, parameters_and_buffers: dict[str, Tensor], args: Any = None, kwargs: dict[str, Any] | None = None,
    *, tie_weights: bool = True, strict: bool = False,
) -> Any:
    """`func.functional_call`, which is its newer name. FutureWarning."""
    warnings.warn("`torch.nn.utils.stateless.functional_call` is deprecated. Please use `torch.func.functional_call` "
                  "instead which is a drop-in replacement.", FutureWarning, stacklevel=2)
    return _functional_call(module, parameters_and_buffers, args, kwargs, tie_weights=tie_weights, strict=strict)


def _functional_call(
    module: Module, parameters_and_buffers: dict[str, Tensor], args: Any = None, kwargs: dict[str, Any] | None = None,
    *, tie_weights: bool = True, strict: bool = False,
) -> Any:
    from flambeau.nn.parallel import DataParallel

    if isinstance(module, DataParallel):
        raise ArgumentError("The stateless API can't be used with nn.DataParallel module; call it with `module.module`")
    positional = () if args is None else args if isinstance(args, tuple) else (args,)
    with _reparametrize_module(module, parameters_and_buffers, tie_weights, strict):
        return module(*positional, **(kwargs or {}))
