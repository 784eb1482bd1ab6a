"""How copies lie in memory, compared with PyTorch: `clone` keeps the order of dimensions, `contiguous` does not."""

import pytest

import flambeau

torch = pytest.importorskip("torch", reason="PyTorch is the oracle")

CALLS = [
    lambda torch, x: x.clone(),
    lambda torch, x: x.permute(0, 2, 3, 1).clone(),
    lambda torch, x: x.transpose(1, 3)[:, ::2].clone(),
    lambda torch, x: x[:, :1].expand(2, 3, 4, 5).clone(),
    lambda torch, x: x.transpose(0, 1).clone(memory_format=torch.contiguous_format),
    lambda torch, x: x.clone(memory_format=torch.channels_last),
    lambda torch, x: x.contiguous(memory_format=torch.channels_last),
    lambda torch, x: x.to(memory_format=torch.channels_last),
    lambda torch, x: x.to(torch.float64, memory_format=torch.channels_last),
    lambda torch, x: x.double(memory_format=torch.channels_last),
    lambda torch, x: x.transpose(1, 2).contiguous(),
    lambda torch, x: x.transpose(1, 2).reshape(-1),
    lambda torch, x: x.transpose(1, 2).flatten(1),
    lambda torch, x: torch.zeros_like(x.transpose(1, 2)),
    lambda torch, x: torch.empty_like(x, memory_format=torch.channels_last),
    lambda torch, x: x.new_empty_strided((2, 2), (3, 4)),
    lambda torch, x: x.new_empty_strided((2, 0), (3, 4)),
    lambda torch, x: torch.empty(2, 0, 3),
]


@pytest.mark.parametrize("call", CALLS)
def test_layout(call):
    results = []
    for library in (torch, flambeau):
        x = library.arange(120.0).reshape(2, 3, 4, 5)
        y = call(library, x)
        results.append((tuple(y.shape), tuple(y.stride()), y.is_contiguous(),
                        y.dim() == 4 and y.is_contiguous(memory_format=library.channels_last)))
    assert results[0] == results[1]


def test_a_copy_has_the_values_and_the_gradient_of_its_original():
    x = flambeau.arange(24.0).reshape(2, 3, 2, 2).requires_grad_()
    y = x.clone(memory_format=flambeau.channels_last)
    assert y.tolist() == x.tolist() and y.grad_fn.name() == "CloneBackward0"
    (y * y).sum().backward()
    assert x.grad.tolist() == (2 * x).tolist()


def test_channels_last_needs_four_dimensions():
    for library in (torch, flambeau):
        with pytest.raises(RuntimeError, match="rank 4"):
            library.ones(2, 3).contiguous(memory_format=library.channels_last)
