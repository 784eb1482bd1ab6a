"""In-place operators that write a part of a tensor's memory only, so that nothing else need be copied."""

from __future__ import annotations

from typing import Any

from flambeau.dispatch import modes
from flambeau.dispatch.inplace import _adopt, _inplace_node, write_inplace
from flambeau.dispatch.run import UnimplementedGradient, bump, different_devices
from flambeau.graph import STATE, check_inplace
from flambeau.registry import OpDef
from flambeau.tensor import Tensor

ACTIVE = modes.ACTIVE
STACK = modes.STACK


def mutate(record: OpDef, args: tuple[Any, ...], target: Tensor) -> Tensor:
    """Run an operator in the memory of its first argument through the backend's in-place kernel, `<name>_`.

    Without such a kernel, or where it declines, the result is computed and copied over the tensor. Recorded like any
    in-place change.
    """
    if ACTIVE and STACK.modes:
        return modes.through(record, lambda *args: mutate(record, args, args[0]), args, {})
    kernel = target._kind.kernels.get(record.name + "_")
    if kernel is None or (target._kind.emulated and not record.moves(args)):
        return write_inplace(record, args, lambda: record.call(*args), target)
    flat = [each for value in args for each in (value if isinstance(value, (list, tuple)) else (value,))
            if isinstance(each, Tensor)]
    if any(each._kind.device is not target._kind.device for each in flat):
        raise different_devices(record, args)
    check_inplace(target, record.name)
    wanted = STATE.enabled and any(each._edge is not None and each.requires_grad for each in flat)
    if wanted and record.vjps is None:
        raise UnimplementedGradient(record)
    node = _inplace_node(record, args, target) if wanted else None
    arrays = [value._array if isinstance(value, Tensor) else
              [None if each is None else each._array for each in value] if position in record.lists else value
              for position, value in enumerate(args)]
    try:
        declined = kernel(*arrays) is NotImplemented
    except (ValueError, TypeError, IndexError):
        record.function(*args)
        raise
    if declined:
        return write_inplace(record, args, lambda: record.call(*args), target)
    bump(target)
    if node is not None:
        _adopt(node, record, target)
    return target
