"""Running one call in PyTorch and here, and comparing all that a program could see of the results."""

from __future__ import annotations

import builtins
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

import flambeau

VALUES = np.random.RandomState(0).randn(4, 5, 6).astype(np.float32)
NAMES = {"torch::autograd::CopySlices": "CopySlices"}
OTHERWISE = {"BlockDiagBackward0": "CatBackward0", "UnsafeSplitBackward0": "CloneBackward0",
             "DiagonalBackward0_copy": "CloneBackward0"}  # made of other operators here


def _tensors(value: Any, kind: type) -> list[Any]:
    if isinstance(value, kind):
        return [value]
    return [each for part in value for each in _tensors(part, kind)] if isinstance(value, (tuple, list)) else []


def outcome(library: Any, call: Callable[[Any, Any], Any], leaf: bool) -> dict[str, Any]:
    """What a call gives, with the gradient of a weighted sum of squares of its result; or its error."""
    x = start = library.tensor(VALUES.tolist(), requires_grad=True)
    if not leaf:
        x = x * 1
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            result = call(library, x)
        except Exception as error:  # noqa: BLE001 - the class is what is compared
            return {"error": next(each for each in type(error).__mro__ if each.__module__ == builtins.__name__)}
        found: dict[str, Any] = {"plain": None if _tensors(result, library.Tensor) else result}
        for number, each in enumerate(_tensors(result, library.Tensor)):
            found[f"{number}"] = describe(each)
        total = [weighted(library, each) for each in _tensors(result, library.Tensor) if each.requires_grad]
        if total:
            sum(total).backward()  # type: ignore[union-attr]
            found["grad"] = start.grad.numpy()
    return found


def describe(tensor: Any) -> tuple[Any, ...]:
    """Everything about a tensor that must be equal, and its values."""
    name = tensor.grad_fn.name() if tensor.grad_fn is not None else None
    name = NAMES.get(name, name)
    name = OTHERWISE.get(name, name)
    layout = (tuple(tensor.stride()), tensor.storage_offset()) if tensor.numel() > 1 else ()
    return (name, tensor._is_view(), tuple(tensor.shape), layout, str(tensor.dtype)), tensor.detach().numpy()


def weighted(library: Any, tensor: Any) -> Any:
    """A sum whose gradient differs from element to element."""
    weights = library.arange(tensor.numel(), dtype=library.float32).reshape(tensor.shape) + 1
    squares = tensor * weights * tensor
    return (library.view_as_real(squares) if squares.is_complex() else squares).sum()


def check_call(call: Callable[[Any, Any], Any], leaf: bool) -> None:
    """Assert that a call gives the same in PyTorch and here."""
    import torch
    theirs, ours = outcome(torch, call, leaf), outcome(flambeau, call, leaf)
    assert theirs.keys() == ours.keys()
    for key, wanted in theirs.items():
        have = ours[key]
        if key in ("error", "plain"):
            assert have == wanted
        elif key == "grad":
            np.testing.assert_allclose(have, wanted, rtol=1e-4, atol=1e-4)
        else:
            assert have[0] == wanted[0]
            np.testing.assert_allclose(have[1], wanted[1], rtol=1e-5, atol=1e-6)
