"""The mode behind autocast: look the operator's policy up, cast the operands, run it with autocast off.

A call that has no policy runs as it is. Operators reach the mode with canonical arguments; faces and composites that
have a policy come before (`intercept_face`), because they check dtypes that are about to change. Everything that is
written to (`out=`, in-place forms) has a dtype of its own, and is left alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from flambeau import dtypes
from flambeau.dispatch import policies
from flambeau.dispatch.modes import Mode, without
from flambeau.dispatch.policies import ASIS, LOWER, ON_ACCELERATOR, ON_HOST, REFUSED, WIDEST
from flambeau.dtypes import dtype
from flambeau.errors import ArgumentError, message
from flambeau.graph import STATE
from flambeau.ops.movement import _cast
from flambeau.registry import OpDef
from flambeau.tensor import Tensor

Prepared = tuple[tuple[Any, ...], dict[str, Any]]


class Cache:
    """Casts of parameters, so that one used twice is cast once, and its gradients meet before they are cast back.

    A cast is good as long as the parameter has neither been changed in place nor been given other memory, and one made
    without recording is of no use where gradients are wanted.
    """

    def __init__(self) -> None:
        self.enabled = True
        self._casts: dict[tuple[int, dtype], tuple[Tensor, Any, int, bool, Tensor]] = {}

    def clear(self) -> None:
        """Forget everything."""
        self._casts.clear()

    def cast(self, tensor: Tensor, wanted: dtype) -> Tensor:
        """A tensor in another dtype, from the cache if it is a parameter."""
        result: Tensor
        if not self.enabled or tensor._kind.dtype is not dtypes.float32 or wanted is dtypes.float32 \
                or tensor._view is not None or not tensor.requires_grad or not tensor.is_leaf:
            result = _cast(tensor, wanted)
            return result
        key = id(tensor), wanted
        found = self._casts.get(key)
        if found is not None:
            _, array, version, recorded, result = found
            if array is tensor._array and version == tensor._version and recorded >= STATE.enabled:
                return result
        result = _cast(tensor, wanted)
        self._casts[key] = tensor, tensor._array, tensor._version, STATE.enabled, result   # keeps the id taken
        return result


class AutocastMode(Mode):
    """Autocast of one thread, for the device types in `enabled`."""

    faces = True

    def __init__(self, enabled: dict[str, dtype], cache: Cache) -> None:
        self.enabled = enabled
        self.cache = cache

    def intercept(self, record: OpDef, call: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if record.name in policies.LISTED and call.__code__ is record.call.__code__:   # no in-place form of it
            args, kwargs = self._prepared(record.name, args, kwargs) or (args, kwargs)
        return call(*args, **kwargs)

    def intercept_face(self, record: OpDef, call: Callable[..., Any], args: tuple[Any, ...],
                       kwargs: dict[str, Any]) -> Any:
        prepared = self._prepared(record.name, args, kwargs)
        return NotImplemented if prepared is None else without(self, call, *prepared)

    def _prepared(self, op: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Prepared | None:
        """The arguments as an operator is to have them; None where it has no policy for them."""
        operands = [each for each in _tensors((*args, *kwargs.values())) if self._concerns(each)]
        if not operands:
            return None
        kind = operands[0]._kind
        policy = (ON_HOST if kind.backend.capabilities.host else ON_ACCELERATOR).get(op)
        if policy is None:
            return None
        if policy == REFUSED:
            raise _refusal(op)
        where = kind.device.type
        if policy == ASIS or kwargs.get("out") is not None:
            return args, kwargs
        if policy == LOWER:
            wanted = self.enabled[where]
        elif policy == WIDEST:
            wanted = _widest(op, operands, self.enabled[where])
        elif any(isinstance(each, dtype) for each in (*args, *kwargs.values())):
            return args, kwargs
        else:
            wanted = dtypes.float32
        return (tuple([self._cast(each, where, wanted) for each in args]),
                {name: self._cast(each, where, wanted) for name, each in kwargs.items()})

    def _concerns(self, tensor: Tensor) -> bool:
        kind = tensor._kind
        return kind.dtype.is_floating_point and kind.dtype is not dtypes.float64 and kind.device.type in self.enabled

    def _cast(self, value: Any, where: str, wanted: dtype) -> Any:
        """An argument with the tensors that autocast concerns in another dtype."""
        if isinstance(value, Tensor):
            kind = value._kind
            if kind.dtype is wanted or kind.device.type != where or not self._concerns(value):
                return value
            return self.cache.cast(value, wanted)
        if value.__class__ is list or value.__class__ is tuple:
            return value.__class__([self._cast(each, where, wanted) for each in value])
        return value


def _tensors(values: Iterable[Any]) -> Iterator[Tensor]:
    for each in values:
        if isinstance(each, Tensor):
            yield each
        elif each.__class__ is list or each.__class__ is tuple:
            yield from _tensors(each)


def _widest(op: str, operands: list[Tensor], lower: dtype) -> dtype:
    found = {each._kind.dtype for each in operands}
    if dtypes.float32 in found:
        return dtypes.float32
    if found - {lower}:
        raise ArgumentError(message(op, "Unexpected floating ScalarType in autocast", allowed=f"{lower}, torch.float32",
                                    given=", ".join(sorted(map(str, found))), next_step="cast one with .to()"))
    return lower


def _refusal(op: str) -> ArgumentError:
    return ArgumentError(
        f"torch.nn.functional.{op} and torch.nn.BCELoss are unsafe to autocast: the logarithm of a probability, and "
        "the gradient more so, leaves the range of half precision. Put the sigmoid before it into the loss: use "
        f"{op}_with_logits or torch.nn.BCEWithLogitsLoss, which are safe to autocast; or switch autocast off for it")
