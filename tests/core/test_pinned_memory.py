"""Page-locked memory, and copies that the program does not wait for: on a simulated accelerator, and where there is
none.
"""

from __future__ import annotations

import pytest

import flambeau
from flambeau import discovery

pytest.importorskip("flambeau_reference", reason="the simulated device is made of the reference backend's")
from simulated import Simulated, accelerator, simulated

__all__ = ["accelerator", "simulated"]   # fixtures


@pytest.fixture
def no_accelerator(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the host, and a fake device, which is no accelerator."""
    kept = {name: each for name, each in discovery._offers().items() if name in ("cpu", "reference")}
    monkeypatch.setattr(discovery, "_offered", kept)
    monkeypatch.delitem(discovery._backends, "cuda", raising=False)    # on a machine that has one


def test_page_locked_memory(accelerator):
    x = flambeau.arange(6.).reshape(2, 3).t()
    assert not x.is_pinned()
    pinned = x.pin_memory()
    assert pinned.is_pinned() and pinned[1:].is_pinned() and pinned.pin_memory() is pinned
    assert flambeau.equal(pinned, x) and pinned.is_contiguous()
    for make in (lambda: flambeau.empty(2, pin_memory=True), lambda: flambeau.zeros(2, 3, pin_memory=True),
                 lambda: flambeau.tensor([1., 2.], pin_memory=True), lambda: flambeau.randn(2, pin_memory=True),
                 lambda: flambeau.arange(3, pin_memory=True), lambda: flambeau.full((2,), 1., pin_memory=True),
                 lambda: flambeau.empty_like(x, pin_memory=True), lambda: x.new_zeros(2, pin_memory=True),
                 lambda: flambeau.empty_strided((2,), (1,), pin_memory=True),
                 lambda: flambeau.ones(2, dtype=flambeau.bfloat16, pin_memory=True)):
        assert make().is_pinned()
    assert flambeau.ones(2, pin_memory=True, requires_grad=True).requires_grad
    assert flambeau.zeros(0, pin_memory=True).shape == (0,)
    there = x.to("simulated")
    assert not there.is_pinned()
    for wrong in (there.pin_memory, lambda: flambeau.ones(1, device="simulated", pin_memory=True)):
        with pytest.raises(RuntimeError, match="only dense CPU tensors can be pinned"):
            wrong()
    with pytest.warns(DeprecationWarning, match="device"):
        assert x.pin_memory("simulated").is_pinned()


def test_page_locked_memory_without_an_accelerator(no_accelerator, oracle):
    for torch in (flambeau, oracle):
        if torch.accelerator.is_available():
            continue
        for ask in (torch.ones(1).pin_memory, lambda torch=torch: torch.empty(2, pin_memory=True),
                    lambda torch=torch: torch.ones(2).new_ones(2, pin_memory=True)):
            with pytest.raises(RuntimeError, match=r"accelerator"):
                ask()
        assert not torch.ones(1).is_pinned()


def test_an_accelerator_without_page_locked_memory(accelerator, monkeypatch):
    monkeypatch.setattr(Simulated, "pinned", lambda self, size: None)
    x = flambeau.ones(3)
    assert x.pin_memory() is x and not flambeau.ones(2, pin_memory=True).is_pinned()


def test_copies_that_nobody_waits_for(accelerator):
    x = flambeau.arange(3.).pin_memory()
    for move in (lambda: x.to("simulated", non_blocking=True), lambda: x.to("simulated", flambeau.float32, True),
                 lambda: x.to("simulated", None, True, False)):
        accelerator.log.clear()
        assert move().tolist() == [0, 1, 2]
        assert accelerator.log == ["pinned, later"]
    there = flambeau.zeros(3, device="simulated")
    accelerator.log.clear()
    there.copy_(flambeau.ones(3), non_blocking=True)
    assert accelerator.log == ["later"]
    back = there.to("cpu", non_blocking=True)
    flambeau.simulated.synchronize()
    assert back.tolist() == [1, 1, 1]
    assert there.to("cpu", flambeau.int64, non_blocking=True).tolist() == [1, 1, 1]
    back.copy_(there, non_blocking=True)     # waits: the copy to the place is the host's
    assert accelerator.log == ["later", "to host, later", "to host, later"]
    accelerator.log.clear()
    assert x.to("simulated").cpu().tolist() == [0, 1, 2] and not accelerator.log
    leaf = flambeau.ones(2, requires_grad=True)
    leaf.to("simulated", non_blocking=True).sum().backward()
    assert leaf.grad.tolist() == [1, 1]
    module = flambeau.nn.Linear(2, 2).to("simulated", non_blocking=True)
    assert module.weight.device.type == "simulated" and "later" in accelerator.log


def test_copies_between_devices_of_a_backend(accelerator):
    x = flambeau.arange(3., device="simulated:0", requires_grad=True)
    y = x.to("simulated:1")
    assert y.device.index == 1 and y.tolist() == [0, 1, 2] and accelerator.log == ["to 1"]
    (y * 2).sum().backward()
    assert x.grad.device.index == 0 and x.grad.tolist() == [2, 2, 2]


def test_data_loader_with_page_locked_memory(accelerator):
    data = [{"x": flambeau.ones(2) * number, "name": "a", "pair": (number, 1.5)} for number in range(4)]
    for workers in (0, 1):
        batches = list(flambeau.utils.data.DataLoader(data, batch_size=2, pin_memory=True, num_workers=workers))
        assert [each["x"].tolist() for each in batches] == [[[0, 0], [1, 1]], [[2, 2], [3, 3]]]
        assert all(each["x"].is_pinned() and each["pair"][0].is_pinned() for each in batches)
        assert batches[0]["name"] == ["a", "a"]


def test_data_loader_without_an_accelerator(no_accelerator, oracle):
    for torch in (flambeau, oracle):
        if torch.accelerator.is_available():
            continue
        loader = torch.utils.data.DataLoader([1., 2.], pin_memory=True)
        with pytest.warns(UserWarning, match="'pin_memory' argument is set as true but no accelerator is found"):
            assert [each.item() for each in loader] == [1, 2]
