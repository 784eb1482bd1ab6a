"""Processes: Python's `multiprocessing`, for tensors too, and `spawn`, which starts a function in several processes.

Every name of the standard module is here. Tensors go through its queues and pipes by value: what the receiver gets is
a tensor of its own. Tensors and modules after `share_memory_()` or `share_memory()` are the same in all processes that
are started with them. Shared memory has no name here and needs no cleaning up, so the strategies of sharing, which
PyTorch lets programs choose between, are names only.
"""

from __future__ import annotations

import multiprocessing as _standard
from multiprocessing import *  # noqa: F403 - all of its names are wanted
from typing import Any

from flambeau.multiprocessing.reductions import init_reductions
from flambeau.multiprocessing.spawn import (
    ENV_VAR_PARALLEL_START,
    ProcessContext,
    ProcessException,
    ProcessExitedException,
    ProcessRaisedException,
    SpawnContext,
    spawn,
    start_processes,
)

__all__ = [
    *_standard.__all__,
    "set_sharing_strategy", "get_sharing_strategy", "get_all_sharing_strategies", "spawn", "start_processes",
    "ProcessContext", "SpawnContext", "ProcessException", "ProcessExitedException", "ProcessRaisedException",
    "ENV_VAR_PARALLEL_START", "init_reductions",
]  # fmt: skip

_STRATEGIES = frozenset({"file_descriptor", "file_system"})
_strategy = "file_descriptor"

init_reductions()


def __getattr__(name: str) -> Any:
    return getattr(_standard, name)  # `connection`, `context`, `queues`, `pool`, ...: the modules inside


def set_sharing_strategy(new_strategy: str) -> None:
    """Choose between "file_descriptor" and "file_system"; without effect here. AssertionError for other names.

    >>> import flambeau as torch
    >>> torch.multiprocessing.set_sharing_strategy("file_system")
    >>> torch.multiprocessing.get_sharing_strategy()
    'file_system'
    >>> torch.multiprocessing.set_sharing_strategy("file_descriptor")
    """
    global _strategy
    if new_strategy not in _STRATEGIES:
        raise AssertionError(f"invalid sharing strategy {new_strategy!r}, expected one of {sorted(_STRATEGIES)}")
    _strategy = new_strategy


def get_sharing_strategy() -> str:
    """The name that was set last.

    >>> import flambeau as torch
    >>> torch.multiprocessing.get_sharing_strategy()
    'file_descriptor'
    """
    return _strategy


def get_all_sharing_strategies() -> set[str]:
    """The names that may be set.

    >>> import flambeau as torch
    >>> sorted(torch.multiprocessing.get_all_sharing_strategies())
    ['file_descriptor', 'file_system']
    """
    return set(_STRATEGIES)
