"""Process-wide settings that PyTorch has at its top level and that change little or nothing here.

Most are only kept and given back, so that programs which set them run on.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from flambeau import discovery
from flambeau.errors import ArgumentError, UnsupportedError, message

_threads: dict[str, int] = {}
_state: dict[str, Any] = {"deterministic": False}


def get_num_threads() -> int:
    """How many threads operators may use: what `set_num_threads` was told, else the number of processors.

    >>> import flambeau as torch
    >>> torch.get_num_threads() >= 1
    True
    """
    return _threads.get("intra", os.cpu_count() or 1)


def set_num_threads(num: int) -> None:
    """Let an operator on the host use up to `num` threads; small ones use one in any case.

    >>> import flambeau as torch
    >>> torch.set_num_threads(torch.get_num_threads())
    """
    _set_threads("intra", num)
    discovery.host().set_threads(num)


def get_num_interop_threads() -> int:
    """How many operators may run side by side: what `set_num_interop_threads` was told, else the processors."""
    return _threads.get("inter", os.cpu_count() or 1)


def set_num_interop_threads(num: int) -> None:
    """Keep a wish for the number of operators that run side by side."""
    _set_threads("inter", num)


def _set_threads(which: str, num: int) -> None:
    if not isinstance(num, int) or num <= 0:
        raise ArgumentError(message("set_num_threads", "expects a positive integer", given=repr(num)))
    _threads[which] = num


def use_deterministic_algorithms(mode: bool, *, warn_only: bool = False) -> None:
    """Keep the wish for deterministic algorithms; on the host all of them are."""
    _state["deterministic"] = bool(mode)


def are_deterministic_algorithms_enabled() -> bool:
    """What `use_deterministic_algorithms` was told."""
    return bool(_state["deterministic"])


def set_deterministic_debug_mode(debug_mode: int | str) -> None:
    """`use_deterministic_algorithms` by level: 0 or "default" is off, the others on."""
    _state["deterministic"] = debug_mode not in (0, "default")


def set_flush_denormal(mode: bool) -> bool:
    """Whether denormal numbers could be set to be flushed to zero: they cannot."""
    return False


def compiled_with_cxx11_abi() -> bool:
    """There is no C++ here; True, which is what programs hope for."""
    return True


def typename(obj: Any) -> str:
    """The full name of an object's type; of a tensor, that of `x.type()`.

    >>> import flambeau as torch
    >>> torch.typename(torch.ones(1)), torch.typename(1)
    ('torch.FloatTensor', 'int')
    """
    from flambeau.tensor import Tensor
    if isinstance(obj, Tensor):
        return str(obj.type())
    cls = type(obj)
    return cls.__qualname__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__qualname__}"


def compile(model: Callable[..., Any] | None = None, **options: Any) -> Any:
    """Not there yet. UnsupportedError (a NotImplementedError)."""
    raise UnsupportedError(message("compile", "programs cannot be compiled yet",
                                   next_step="call the function or module itself: it gives the same results"))
