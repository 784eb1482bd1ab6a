"""Run one function on Flambeau and on PyTorch, and compare results, gradients and second derivatives."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import flambeau
import flambeau.nn.functional

torch = pytest.importorskip("torch", reason="PyTorch is the oracle")


def draw(*shape: int, seed: int = 0, dtype: str = "float64") -> Any:
    """Normally distributed numbers, the same for the same arguments."""
    return np.random.default_rng(seed + 31 * sum(shape)).standard_normal(shape).astype(dtype)


def _as_array(tensor: Any) -> Any:
    if hasattr(tensor, "_is_zerotensor") and tensor._is_zerotensor():
        return np.zeros(tuple(tensor.shape))
    return tensor.detach().numpy()


def _run(library: Any, function: Any, arrays: Any, second: bool) -> tuple[list[Any], str | None]:
    tensors = [library.from_numpy(np.array(each)).requires_grad_(np.asarray(each).dtype.kind in "fc")
               for each in arrays]
    result = function(library, *tensors)
    results = list(result) if isinstance(result, tuple) else [result]
    values = [(str(each.dtype), _as_array(each)) for each in results]
    first = results[0]
    if not first.requires_grad:
        return values, None
    wanted = [each for each in tensors if each.requires_grad]
    seed = library.from_numpy(draw(*first.shape, seed=7, dtype=str(first.dtype).rpartition(".")[2]))
    gradients = library.autograd.grad(first, wanted, seed, create_graph=second, allow_unused=True)
    values += [("grad", np.zeros(x.shape) if g is None else _as_array(g))
               for x, g in zip(wanted, gradients, strict=True)]
    if second:
        terms = [(g * g).sum() for g in gradients if g is not None and g.requires_grad]
        extra = library.autograd.grad(sum(terms), wanted, allow_unused=True) if terms else [None] * len(wanted)
        values += [("second", np.zeros(x.shape) if g is None else _as_array(g))
                   for x, g in zip(wanted, extra, strict=True)]
    return values, first.grad_fn.name()


def compare(function: Any, *arrays: Any, second: bool = True, name: bool = True, rtol: float = 1e-8) -> None:
    """Check that `function(library, *tensors)` gives the same on both libraries."""
    mine, my_name = _run(flambeau, function, arrays, second)
    theirs, their_name = _run(torch, function, arrays, second)
    assert len(mine) == len(theirs)
    for (kind, value), (expected_kind, expected) in zip(mine, theirs, strict=True):
        assert kind == expected_kind
        assert value.shape == expected.shape
        np.testing.assert_allclose(value, expected, rtol=rtol, atol=1e-9)
    if name:
        assert my_name == their_name
