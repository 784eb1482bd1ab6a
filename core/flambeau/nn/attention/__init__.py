"""What programs say about how attention is computed, and masks that need no memory.

PyTorch chooses among several implementations of `nn.functional.scaled_dot_product_attention`. Here a device has one:
its own kernel, or else products and a softmax. So a choice is kept and given back, and changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import IntEnum
from typing import Any, Protocol

from flambeau import settings
from flambeau.errors import ArgumentValueError

__all__ = ["WARN_FOR_UNFUSED_KERNELS", "SDPBackend", "activate_flash_attention_impl", "current_flash_attention_impl",
           "list_flash_attention_impls", "register_flash_attention_impl", "restore_flash_attention_impl", "sdpa_kernel"]

WARN_FOR_UNFUSED_KERNELS = False


class SDPBackend(IntEnum):
    """The implementations of attention that PyTorch has.

    >>> import flambeau as torch
    >>> torch.nn.attention.SDPBackend.FLASH_ATTENTION
    <SDPBackend.FLASH_ATTENTION: 1>
    """

    ERROR = -1
    MATH = 0
    FLASH_ATTENTION = 1
    EFFICIENT_ATTENTION = 2
    CUDNN_ATTENTION = 3
    OVERRIDEABLE = 4


_SETTINGS = {"cudnn": SDPBackend.CUDNN_ATTENTION, "flash": SDPBackend.FLASH_ATTENTION,
             "mem_efficient": SDPBackend.EFFICIENT_ATTENTION, "math": SDPBackend.MATH,
             "overrideable": SDPBackend.OVERRIDEABLE}


def _cur_sdpa_kernel_backends(with_priority: bool = False) -> list[SDPBackend]:
    """What may be used, as far as programs have said."""
    return [backend for name, backend in _SETTINGS.items() if settings.attention.kernels[name]]


@contextmanager
def sdpa_kernel(backends: list[SDPBackend] | SDPBackend, set_priority: bool = False) -> Iterator[dict[Any, Any]]:
    """Say for a block which implementations of attention may be used.

    `torch.backends.cuda.flash_sdp_enabled()` and the like tell it; attention is computed as ever, since a device has
    one implementation. AssertionError for what is no `SDPBackend`, nor a list.

    Args:
        backends: one, or several.
        set_priority: whether their order says which to prefer.

    >>> import flambeau as torch
    >>> from flambeau.nn.attention import SDPBackend, sdpa_kernel
    >>> with sdpa_kernel(SDPBackend.MATH):
    ...     torch.backends.cuda.flash_sdp_enabled(), torch.backends.cuda.math_sdp_enabled()
    (False, True)
    """
    if not isinstance(backends, (list, SDPBackend)):
        raise AssertionError("Backend must be an instance of SDPBackend or a list of SDPBackend instances, got "
                             f"{type(backends).__name__}")
    wanted = [backends] if isinstance(backends, SDPBackend) else backends
    kernels = settings.attention.kernels
    before = dict(kernels)
    kernels.update({name: backend in wanted for name, backend in _SETTINGS.items()})
    try:
        yield {}
    finally:
        kernels.update(before)


# ---------------------------------------------------------------------------------------------- flash attention
class _Handle(Protocol):
    """What registering gives: how to undo it."""

    def remove(self) -> None:
        """Undo it."""


_implementations: dict[str, Callable[..., _Handle | None]] = {}
_active: dict[str, Any] = {"name": None, "handle": None}


def register_flash_attention_impl(impl: str, *, register_fn: Callable[..., _Handle | None]) -> None:
    """Give a name to a function that puts an implementation in place, for `activate_flash_attention_impl`."""
    _implementations[impl] = register_fn


def activate_flash_attention_impl(impl: str) -> None:
    """Call the function of this name. ValueError for one that was not registered."""
    if impl not in _implementations:
        raise ArgumentValueError(f"Unknown flash attention impl '{impl}'. Available implementations: "
                                 f"{list_flash_attention_impls()}")
    restore_flash_attention_impl()
    _active.update(name=impl, handle=_implementations[impl]())


def restore_flash_attention_impl() -> None:
    """Undo what `activate_flash_attention_impl` did."""
    handle = _active["handle"]
    if handle is not None:
        handle.remove()
    _active.update(name=None, handle=None)


def list_flash_attention_impls() -> list[str]:
    """The registered names: none at first, since no device here uses that library.

    >>> import flambeau as torch
    >>> torch.nn.attention.list_flash_attention_impls()
    []
    """
    return sorted(_implementations)


def current_flash_attention_impl() -> str | None:
    """The name that is active, or None."""
    return _active["name"]
