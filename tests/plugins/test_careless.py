"""Backends and operators of strangers that are careless: what they do wrong stays with them."""

from __future__ import annotations

import numpy as np
import pytest

import flambeau
from flambeau import discovery
from flambeau.dispatch import operator, unary
from flambeau.hookspecs import hookimpl
from flambeau.registry import OPERATORS
from guest import Guest


@pytest.fixture
def offer():
    offered = []

    def offer(backend):
        offered.append(backend.name)
        return discovery.register_backend(backend)

    yield offer
    for name in offered:
        discovery.unregister_backend(name)


def test_hook_that_raises_disables_its_backend_and_no_other(offer):
    class Raising(Guest):
        name = "raising"

        @hookimpl
        def flambeau_register_ops(self):
            raise OSError("no operators today")

    offer(Raising)
    offer(Guest)
    for _ in range(2):
        with pytest.raises(RuntimeError, match="no operators today"):
            flambeau.ones(1, device="raising")
    assert flambeau.ones(1, device="guest").cpu().tolist() == [1.0]


def test_driver_that_raises_is_reported_and_no_other_hidden(offer):
    class Driverless(Guest):
        name = "driverless"

        def device_count(self):
            raise OSError("driver lost")

    offer(Driverless)
    offer(Guest)
    rows = {row["name"]: row for row in discovery.report()}
    assert "driver lost" in rows["driverless"]["reason"] and rows["guest"]["devices"] and rows["cpu"]["devices"]


@pytest.fixture
def forget():
    before = set(OPERATORS)
    yield
    for name in set(OPERATORS) - before:
        del OPERATORS[name]


@pytest.mark.usefixtures("forget")
def test_operator_without_a_gradient_works_on_views_that_want_none(offer):
    @unary()
    def guest_half(input: flambeau.Tensor) -> flambeau.Tensor:
        """Half of each element, for a device that has a kernel."""

    class Kernels(Guest):
        name = "kernels"

        def __init__(self):
            super().__init__()
            self.kernels["guest_half"] = lambda x, out=None: np.multiply(x, 0.5, out=out)

    offer(Kernels)
    x = flambeau.ones(3, device="kernels")
    assert guest_half(x[1:]).cpu().tolist() == [0.5, 0.5]
    with pytest.raises(RuntimeError, match="derivative is not implemented"):
        guest_half(x.clone().requires_grad_()[1:])


@pytest.mark.usefixtures("forget")
def test_result_of_a_decomposition_never_shares_memory_with_an_argument():
    @operator(vjp="none", method=False)
    def guest_same(input: flambeau.Tensor) -> flambeau.Tensor:  # the qualified name is understood, too
        """The argument itself, or a view of it, where that will do."""
        return input if input.dim() == 1 else input.view(-1)

    for x in (flambeau.zeros(4), flambeau.zeros(2, 2)):
        guest_same(x).add_(1)
        assert x.sum().item() == 0


@pytest.mark.usefixtures("forget")
def test_operator_that_takes_no_tensor_is_refused_when_it_is_made():
    with pytest.raises(RuntimeError, match="no parameter is annotated as Tensor"):

        @operator(vjp="none", method=False)
        def guest_number(input, other: int):
            """Nothing says what `input` is."""


def test_kernels_get_the_array_to_write_to_by_name(offer):
    class Variadic(Guest):
        name = "variadic"

        def __init__(self):
            super().__init__()

            def largest(*operands, out=None):
                result = np.maximum.reduce(np.broadcast_arrays(*operands))
                if out is None:
                    return result
                out[...] = result
                return out

            self.kernels["maximum"] = self.kernels["hypot"] = largest

    offer(Variadic)
    x = flambeau.zeros(2, device="variadic")
    x.hypot_(flambeau.ones(2, device="variadic"))
    assert x.cpu().tolist() == [1.0, 1.0]
