"""The host fallback: what happens when a backend has no kernel for an operator and the operator no decomposition.

Its policy is explicit: "error" refuses, "warn" (the default) works and says so once per operator and device, "allow"
works silently. It is set for a block, by the environment variable FLAMBEAU_FALLBACK, or per operator. What fell back
is counted.
"""

from __future__ import annotations

import os
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from flambeau import discovery
from flambeau.errors import ArgumentValueError, UnsupportedError, message
from flambeau.registry import OpDef
from flambeau.tensor import Tensor, make

POLICIES = ("error", "warn", "allow")


class FallbackWarning(UserWarning):
    """An operator ran on the host because its device has no kernel for it."""


class _Policy(threading.local):
    def __init__(self) -> None:
        self.default = _checked(os.environ.get("FLAMBEAU_FALLBACK", "warn"))
        self.by_op: dict[str, str] = {}


def _checked(policy: str) -> str:
    if policy not in POLICIES:
        raise ArgumentValueError(message("fallback", "unknown policy", given=repr(policy), allowed=", ".join(POLICIES)))
    return policy


_policy = _Policy()
_lock = threading.Lock()
_counts: dict[str, dict[str, float]] = {}
_warned: set[tuple[str, str]] = set()


@contextmanager
def fallback(policy: str, *ops: str) -> Iterator[None]:
    """Set the fallback policy inside a block, for all operators or for those named.

    >>> import flambeau as torch
    >>> with torch.fallback("error"):
    ...     torch.ones(2).exp().shape
    torch.Size([2])
    """
    _checked(policy)
    before = _policy.default, dict(_policy.by_op)
    if ops:
        _policy.by_op.update(dict.fromkeys(ops, policy))
    else:
        _policy.default = policy
    try:
        yield
    finally:
        _policy.default, _policy.by_op = before


def fallback_counts() -> dict[str, dict[str, float]]:
    """What ran on the host instead of on its device: calls, bytes moved and seconds, by operator."""
    with _lock:
        return {name: dict(row) for name, row in _counts.items()}


def run_on_host(record: OpDef, args: tuple[Any, ...], kind: Any) -> Any:
    """Run an operator without autograd on the host, and bring the results back. UnsupportedError if not allowed."""
    where = str(kind.device)
    policy = _policy.by_op.get(record.name, _policy.default)
    if kind.backend.capabilities.host or record.no_fallback or policy == "error":
        raise UnsupportedError(message(
            record.name, f"device {where!r} has no kernel for it and it has no decomposition", given=str(kind.dtype),
            allowed="" if kind.backend.capabilities.host else "the host fallback, if its policy permits",
            next_step=f"add kernels[{record.name!r}] to the backend"))
    if policy == "warn" and (record.name, where) not in _warned:
        _warned.add((record.name, where))
        warnings.warn(f"{record.name} runs on the host: device {where!r} has no kernel for it. This is said once; "
                      "flambeau.fallback('error') makes it an error.", FallbackWarning, stacklevel=4)
    started = time.perf_counter()
    moved = [0]
    result = record.call(*[_to_host(each, moved) for each in args])
    back = _to_device(result, kind, moved)
    with _lock:
        row = _counts.setdefault(record.name, {"calls": 0, "bytes": 0, "seconds": 0.0})
        row["calls"] += 1
        row["bytes"] += moved[0]
        row["seconds"] += time.perf_counter() - started
    return back


def _to_host(value: Any, moved: list[int]) -> Any:
    if isinstance(value, Tensor):
        moved[0] += value.nbytes
        array = discovery.host().wrap(value._kind.backend.to_host(value._array))
        return make(array, discovery.kind_of(value._kind.dtype, "cpu"))
    if isinstance(value, (list, tuple)):
        return type(value)([_to_host(each, moved) for each in value])
    return value


def _to_device(value: Any, kind: Any, moved: list[int]) -> Any:
    if isinstance(value, Tensor):
        moved[0] += value.nbytes
        there = kind.to(value._kind.dtype)
        return make(there.backend.from_host(discovery.host().to_host(value._array), there.index), there)
    return tuple(_to_device(each, kind, moved) for each in value)
