"""What a program on NewDevice relies on; `flambeau conformance --device newdevice` tests the rest."""

import tomllib
from importlib import resources

import flambeau as torch
from flambeau.registry import primitives
from flambeau_newdevice.kernels import KERNELS


def test_the_device_is_found() -> None:
    x = torch.ones(2, 3, device="newdevice")
    assert str(x.device) == "newdevice:0"
    assert (x + x * 2).sum().item() == 18.0


def test_views_share_memory() -> None:
    x = torch.arange(6, device="newdevice").reshape(2, 3)
    x.t()[1].mul_(10)
    assert x.tolist() == [[0, 10, 2], [3, 40, 5]]


def test_gradients_without_the_host() -> None:
    x = torch.tensor([[1.0, 2.0], [3.0, 4.0]]).to("newdevice").requires_grad_()
    with torch.fallback("error"):
        (x @ x).sum().backward()
    assert x.grad is not None and x.grad.device == x.device
    assert x.grad.tolist() == [[7.0, 11.0], [9.0, 13.0]]


def test_every_kernel_is_expected_to_pass() -> None:
    """The expectation file names the primitives that have a kernel, so that the suite holds them to it."""
    text = resources.files("flambeau_newdevice").joinpath("conformance.toml").read_text(encoding="utf-8")
    entries = tomllib.loads(text)["expect"]
    expected = {each["cases"].split("/")[1] for each in entries if each["outcome"] == "pass"}
    assert expected >= KERNELS.keys() & set(primitives())
