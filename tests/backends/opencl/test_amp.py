"""Mixed precision on OpenCL: the lists of accelerators, and training that ends where the reference's does."""

import pytest

import flambeau
from flambeau import nn


def train(device, half):
    flambeau.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.LayerNorm(144), nn.Linear(144, 10))
    x, y = flambeau.randn(16, 1, 8, 8), flambeau.randint(0, 10, (16,))
    model, x, y = model.to(device), x.to(device), y.to(device)
    optimizer = flambeau.optim.SGD(model.parameters(), lr=0.1)
    scaler = flambeau.amp.GradScaler(device, enabled=half is flambeau.float16)
    for _ in range(5):
        with flambeau.autocast(device, half):
            out = model(x)
            loss = nn.functional.cross_entropy(out, y)
        optimizer.zero_grad()
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
    assert (out.dtype, loss.dtype) == (half, flambeau.float32)
    assert {each.grad.dtype for each in model.parameters()} == {flambeau.float32}
    return loss.item()


@pytest.mark.parametrize("name", ["float16", "bfloat16"])
def test_training_ends_where_the_references_does(opencl, name):
    half = getattr(flambeau, name)
    assert abs(train(opencl, half) - train("reference", half)) < 0.02


def test_the_lists_are_those_of_accelerators(opencl):
    x = flambeau.ones(2, 2).to(opencl)
    with flambeau.autocast(opencl):
        low = x @ x
        assert (low.dtype, low.exp().dtype, low.sum().dtype) == (flambeau.float16, flambeau.float32, flambeau.float32)
        with pytest.raises(RuntimeError, match="unsafe to autocast"):
            nn.functional.binary_cross_entropy(x, x)
