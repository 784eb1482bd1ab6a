"""An optimiser that works for a while on other parameters and another state, as functional training loops want it."""

from __future__ import annotations

import contextlib
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from flambeau.errors import ArgumentError
from flambeau.optim.optimizer import Optimizer, StateDict
from flambeau.tensor import Tensor

_NAME = "swap_in_optimizer_params_and_state"


@contextlib.contextmanager
def swap_in_optimizer_params_and_state(
    optimizer: Optimizer, swapin_parameters: dict[str, Tensor], swapin_optim_state: StateDict
) -> Iterator[None]:
    """Inside of this context a step of ``optimizer`` works on the given parameters and state; afterwards it has its
    own again.

    Args:
        optimizer: one that has made a step, so that it has state.
        swapin_parameters: the other parameters by name, in the order of the optimiser's groups.
        swapin_optim_state: a state dict of an optimiser with the same groups; its tensors are changed in place, its
            dictionaries are not.

    Raises RuntimeError where the state dict does not fit the optimiser.

    >>> import flambeau as torch
    >>> w = torch.nn.Parameter(torch.ones(1))
    >>> optimizer = torch.optim.SGD([w], lr=0.5, momentum=0.9)
    >>> w.grad = torch.ones(1)
    >>> optimizer.step()
    >>> other = torch.nn.Parameter(torch.zeros(1))
    >>> other.grad = torch.ones(1)
    >>> with torch.optim.swap_in_optimizer_params_and_state(optimizer, {"w": other}, optimizer.state_dict()):
    ...     optimizer.step()
    >>> w.item(), round(other.item(), 4)
    (0.5, -0.95)
    """
    saved_state = _checked_state(optimizer, swapin_optim_state)
    params, rest = [], list(swapin_parameters.values())
    for group in optimizer.param_groups:
        params.append(rest[: len(group["params"])])
        rest = rest[len(group["params"]) :]
        if len(params[-1]) != len(group["params"]):
            raise ArgumentError(
                f"{_NAME} requires the explicit parameter state to match optimizer.param_groups ordering: there are "
                "fewer parameters than the optimizer has"
            )
    own_state = optimizer.state
    own_groups = [dict(group) for group in optimizer.param_groups]
    try:
        state: defaultdict[Any, Any] = defaultdict(dict)
        saved_groups = swapin_optim_state["param_groups"]
        for group, saved, members in zip(optimizer.param_groups, saved_groups, params, strict=True):
            group.update(saved)
            group["params"] = members
            for param, number in zip(members, saved["params"], strict=True):
                state[param] = dict(saved_state.get(number, {}))
        optimizer.state = state
        yield
    finally:
        for group, own in zip(optimizer.param_groups, own_groups, strict=True):
            group.clear()
            group.update(own)
        optimizer.state = own_state


def _checked_state(optimizer: Optimizer, state_dict: Any) -> dict[Any, Any]:
    """The part ``"state"`` of a state dict that fits the optimiser."""
    if not optimizer.state:
        raise ArgumentError(f"{_NAME} requires initialized optimizer state; make a step, or load a state dict, first")
    if not isinstance(state_dict, dict) or not isinstance(state_dict.get("state"), dict):
        raise ArgumentError(f"{_NAME} requires what optimizer.state_dict() gives, with a dict under 'state'")
    state: dict[Any, Any] = state_dict["state"]
    groups = state_dict.get("param_groups")
    if not isinstance(groups, list):
        raise ArgumentError(f"{_NAME} requires a list of param-group dicts under 'param_groups', got {type(groups)}")
    if len(groups) != len(optimizer.param_groups):
        raise ArgumentError("swapin_optim_state has a different number of parameter groups than the live optimizer.")
    known: set[Any] = set()
    for number, (group, saved) in enumerate(zip(optimizer.param_groups, groups, strict=True)):
        _check_group(number, group, saved)
        known.update(saved["params"])
    unknown = [key for key in state if key not in known]
    if unknown or not all(isinstance(entry, dict) for entry in state.values()):
        raise ArgumentError(
            f"{_NAME} requires swapin_optim_state['state'] to have a dict for each number in "
            f"param_groups[*]['params'] and no more; got extra keys {unknown!r}"
        )
    return state


def _check_group(number: int, group: dict[str, Any], saved: Any) -> None:
    numbers = saved.get("params") if isinstance(saved, dict) else None
    if not isinstance(numbers, list) or not all(isinstance(each, int) for each in numbers):
        raise ArgumentError(f"{_NAME} requires groups as optimizer.state_dict() gives them; group {number} is not")
    if len(numbers) != len(group["params"]):
        raise ArgumentError(
            f"swapin_optim_state param group {number} has a different number of params than the live optimizer's"
        )
    if saved.keys() != group.keys():
        raise ArgumentError(
            f"{_NAME} requires the keys of group {number} to match the live optimizer's; these do not: "
            f"{sorted(saved.keys() ^ group.keys())}"
        )
