"""Kernels that take an emulated dtype as it is: `Capabilities.native`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import flambeau
from flambeau import discovery
from guest import Guest

CALLS: list[tuple[str, ...]] = []     # the dtypes that the kernels of products saw
DECLINED: set[str] = set()            # the dtypes that they decline
NAMES = ("mm", "linear", "linear_weight_grad")


class Taking(Guest):
    """Its kernels of products take float16 and decline what they are told to."""

    name = "taking"
    capabilities = replace(Guest.capabilities, native=dict.fromkeys(NAMES, frozenset({flambeau.float16})))

    def __init__(self) -> None:
        super().__init__()
        self.kernels = {**self.kernels, **{name: self._noting(self.kernels[name]) for name in NAMES}}

    def _noting(self, kernel: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any) -> Any:
            found = tuple([each.dtype.name for each in args if each is not None])
            CALLS.append(found)
            if found[0] in DECLINED:
                return NotImplemented
            return kernel(*[each if each is None else each.astype(np.float32) for each in args]).astype(args[0].dtype)
        return call


@pytest.fixture
def device() -> Iterator[str]:
    discovery.register_backend(Taking)
    DECLINED.clear()
    CALLS.clear()
    try:
        with flambeau.fallback("error"):
            yield Taking.name
    finally:
        DECLINED.clear()
        discovery.unregister_backend(Taking.name)


def matrix(device: str, dtype: flambeau.dtype, **options: Any) -> flambeau.Tensor:
    return flambeau.tensor([[0.5, -1.25], [3.0, 0.125]], dtype=dtype, device=device, **options)


def test_the_kernel_sees_the_dtype(device):
    x = matrix(device, flambeau.float16)
    result = x @ x
    assert CALLS == [("float16", "float16")] and result.dtype is flambeau.float16
    assert result.tolist() == (matrix("cpu", flambeau.float16) @ matrix("cpu", flambeau.float16)).tolist()


@pytest.mark.parametrize("dtype", [flambeau.bfloat16, flambeau.float32])
def test_others_are_as_before(device, dtype):
    x = matrix(device, dtype)
    assert (x @ x).dtype is dtype
    assert CALLS == [("float32", "float32")]


def test_what_it_declines_is_emulated(device):
    DECLINED.add("float16")
    x = matrix(device, flambeau.float16)
    result = x @ x
    assert CALLS == [("float16", "float16"), ("float32", "float32")] and result.dtype is flambeau.float16
    assert result.tolist() == (matrix("cpu", flambeau.float16) @ matrix("cpu", flambeau.float16)).tolist()


def test_what_it_declines_altogether_is_decomposed(device):
    DECLINED.update({"float16", "float32"})
    x = matrix(device, flambeau.float16)
    assert (x @ x).tolist() == (matrix("cpu", flambeau.float16) @ matrix("cpu", flambeau.float16)).tolist()


def test_operands_of_several_dtypes_are_emulated(device):
    from flambeau.dispatch import execute
    from flambeau.registry import OPERATORS
    x = matrix(device, flambeau.float16)
    assert execute(OPERATORS["linear"], (x, x, flambeau.ones(2, device=device))).dtype is flambeau.float16
    assert CALLS == [("float32", "float32", "float32")]


@pytest.mark.parametrize("declined", [False, True])
def test_gradients(device, declined):
    DECLINED.update({"float16"} if declined else set())

    def run(where: str) -> list[Any]:
        x = matrix(where, flambeau.float16, requires_grad=True)
        bias = flambeau.tensor([1.0, 2.0], dtype=flambeau.float16, device=where, requires_grad=True)
        y = flambeau.nn.functional.linear(x, x.T @ x, bias)
        assert y.grad_fn.name() == "AddmmBackward0"
        y.sum().backward()
        return [y.tolist(), x.grad.tolist(), bias.grad.tolist()]
    assert run(device) == run("cpu")
    assert any(each[0] == "float16" for each in CALLS)


def test_other_operators_are_emulated(device):
    x = matrix(device, flambeau.float16)
    assert (x + x).dtype is flambeau.float16 and x.exp().dtype is flambeau.float16
    assert flambeau.float16 not in x._kind.capabilities.compute_dtypes and x._kind.compute.dtype is flambeau.float32


def test_a_backend_that_says_nothing():
    kind = flambeau.ones(1, dtype=flambeau.float16)._kind
    assert kind.capabilities.native == {} and kind.direct == frozenset()
