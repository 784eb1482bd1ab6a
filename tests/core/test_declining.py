"""Kernels that decline: they return NotImplemented, and the core goes on as if there were none."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import flambeau
from flambeau import discovery
from flambeau.registry import OPERATORS
from guest import Guest

DECLINED: set[str] = set()    # the kernels that decline at present
ASKED: list[str] = []


class Declining(Guest):
    """The host's kernels behind a device of its own; each declines when it is told to."""

    name = "declining"

    def __init__(self) -> None:
        super().__init__()
        self.kernels = {name: self._wrapped(name, kernel) for name, kernel in self.kernels.items()}
        self.kernels["triu_"] = self._wrapped("triu_", lambda *args: None)

    def _wrapped(self, name: str, kernel: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            if name in DECLINED:
                ASKED.append(name)
                return NotImplemented
            return kernel(*args, **kwargs)
        return call

    def default_generator(self, index: int) -> Any:
        return None


@pytest.fixture
def device() -> Iterator[str]:
    discovery.register_backend(Declining)
    DECLINED.clear()
    ASKED.clear()
    try:
        with flambeau.fallback("error"):
            yield Declining.name
    finally:
        DECLINED.clear()
        discovery.unregister_backend(Declining.name)


X = [[-1.5, 0.25, 2.0], [0.5, 3.0, -0.75]]


@pytest.mark.parametrize(("name", "program"), [
    ("sigmoid", lambda x: x.sigmoid()),                       # pointwise, one operand
    ("reciprocal", lambda x: x.reciprocal()),
    ("xlogy", lambda x: x.abs().xlogy(0.4)),                  # with a number
    ("remainder", lambda x: x.remainder(x.abs() + 1)),        # two operands
    ("lerp", lambda x: x.lerp(x + 1, 0.3)),                   # several
    ("softmax", lambda x: x.softmax(1)),                      # no pointwise family
    ("layer_norm", lambda x: flambeau.nn.functional.layer_norm(x, (3,))),
    ("var", lambda x: x.var(1)),
    ("sigmoid", lambda x: (x + 0).sigmoid_()),                # in place
    ("remainder", lambda x: (x + 0).remainder_(0.4)),
    ("remainder", lambda x: flambeau.remainder(x, 0.4, out=flambeau.empty(2, 3, device=x.device)))])
def test_the_decomposition_takes_over(device, name, program):
    assert OPERATORS[name].decomposition is not None
    expected = program(flambeau.tensor(X))
    DECLINED.add(name)
    result = program(flambeau.tensor(X, device=device))
    assert set(ASKED) <= {name}
    np.testing.assert_allclose(result.cpu().numpy(), expected.numpy(), rtol=1e-5)


@pytest.mark.parametrize(("name", "program"), [
    ("exp", lambda x: x.exp()), ("add", lambda x: x + 1), ("add", lambda x: x + x), ("sum", lambda x: x.sum(1)),
    ("where", lambda x: flambeau.where(x > 0, x, 0.0)), ("add", lambda x: (x + 0 * x).add_(x)),
    ("exp", lambda x: x.clone().exp_()), ("cumsum", lambda x: x.cumsum(1))])
def test_a_primitive_goes_to_the_host_and_is_counted(device, name, program):
    expected = program(flambeau.tensor(X))
    x = flambeau.tensor(X, device=device)
    DECLINED.add(name)
    with pytest.raises(flambeau.errors.UnsupportedError):
        program(x)
    before = flambeau.fallback_counts().get(name, {"calls": 0})["calls"]
    with flambeau.fallback("allow"):
        result = program(x)
    assert ASKED
    assert flambeau.fallback_counts()[name]["calls"] > before
    assert result.device.type == device
    np.testing.assert_allclose(result.cpu().numpy(), expected.numpy(), rtol=1e-5)


def test_gradients_are_the_same(device):
    def run(where: str) -> list[Any]:
        x = flambeau.tensor(X, device=where, requires_grad=True)
        y = (x.softmax(1) * x.sigmoid()).remainder(0.3).sum()
        y.backward()
        return [y.detach().cpu().numpy(), x.grad.cpu().numpy()]
    expected = run("cpu")
    DECLINED.update({"softmax", "sigmoid", "remainder"})
    for mine, theirs in zip(run(device), expected, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-5)
    assert {"softmax", "sigmoid"} <= set(ASKED)


def test_fill_in_place(device):
    DECLINED.add("fill_")
    assert flambeau.tensor(X, device=device).fill_(2).cpu().tolist() == [[2.0] * 3] * 2


def test_behind_the_checks_of_the_reference(request):
    reference = pytest.importorskip("flambeau_reference", reason="the reference backend is a plugin of its own")
    from flambeau_reference.contract import Checked

    class Strict(reference.ReferenceBackend):
        name = "reference_declining"

        def __init__(self) -> None:
            super().__init__()
            for name in ("softmax", "sigmoid", "sort"):
                self.kernels[name] = Checked(self, name, lambda *args: NotImplemented)
    discovery.register_backend(Strict)
    request.addfinalizer(lambda: discovery.unregister_backend(Strict.name))
    x, expected = flambeau.tensor(X, device=Strict.name), flambeau.tensor(X)
    with flambeau.fallback("error"):
        for name, args in (("softmax", (1,)), ("sigmoid", ())):
            np.testing.assert_allclose(getattr(x, name)(*args).cpu().numpy(), getattr(expected, name)(*args).numpy(),
                                       rtol=1e-6)
    with flambeau.fallback("allow"):     # two outputs, and no decomposition
        assert x.sort(1)[1].tolist() == expected.sort(1)[1].tolist()


def test_the_conformance_suite_does_not_call_it_native(device):
    watching = pytest.importorskip("flambeau_conformance.watch", reason="the conformance suite is a plugin of its own")
    engine = pytest.importorskip("flambeau_conformance.engine", reason="the conformance suite is a plugin of its own")
    x = flambeau.tensor(X, device=device)
    DECLINED.add("softmax")
    watch = watching.Watch(discovery.backend_for(device))
    try:
        watch.start()
        x.softmax(1)
        ran, fell = watch.stop()
    finally:
        watch.remove()
    assert "softmax" not in ran
    assert "exp" in ran
    assert engine.way_of("softmax", ran, fell) == "decomposed"
