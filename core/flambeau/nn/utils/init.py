"""Modules whose parameters are not drawn, for programs that load or draw them themselves."""

from __future__ import annotations

from typing import Any, TypeVar

from flambeau import random
from flambeau.errors import ArgumentError
from flambeau.nn.modules.module import Module
from flambeau.ops.creation import empty_like

__all__ = ["skip_init"]

M = TypeVar("M", bound=Module)


def skip_init(module_cls: type[M], *args: Any, **kwargs: Any) -> M:
    """A module with uninitialised parameters. The state of the generator is as before.

    Args:
        module_cls: the module's class, which must take ``device``.
        args: what it is made with.
        kwargs: likewise; ``device`` is where the parameters shall live.

    RuntimeError for what is no module, or does not take ``device``.

    >>> import flambeau as torch
    >>> torch.nn.utils.skip_init(torch.nn.Linear, 5, 1).weight.shape
    torch.Size([1, 5])
    """
    import inspect

    if not (isinstance(module_cls, type) and issubclass(module_cls, Module)):
        raise ArgumentError(f"Expected a Module; got {module_cls}")
    if "device" not in inspect.signature(module_cls).parameters:
        raise ArgumentError("Module must support a 'device' arg to skip initialization")
    device = kwargs.pop("device", "cpu")
    before = random.get_rng_state()
    try:
        module = module_cls(*args, device="cpu", **kwargs)
    finally:
        random.set_rng_state(before)
    return module._apply(lambda tensor: empty_like(tensor, device=device))
