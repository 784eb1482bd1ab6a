"""Views and shapes, compared with PyTorch: values, layout, sharing of memory, gradients and errors."""

import inspect

import pytest

import flambeau
from comparison import check_call

torch = pytest.importorskip("torch", reason="PyTorch is the oracle")

CALLS = [
    lambda torch, x: x.narrow(0, 1, 2),
    lambda torch, x: x.flatten(),
    lambda torch, x: x.mT,
    lambda torch, x: x.reshape(4, 30),
    lambda torch, x: x.transpose(0, 1).reshape(20, 6),
    lambda torch, x: x.ravel(),
    lambda torch, x: x.movedim(0, 1),
    lambda torch, x: x.unfold(0, 2, 1),
    lambda torch, x: x.expand(2, 4, 5, 6),
    lambda torch, x: x.squeeze(),
    lambda torch, x: x.squeeze(0),
    lambda torch, x: x.squeeze((0, 1)),
    lambda torch, x: x.swapaxes(0, 1),
    lambda torch, x: x.split(2)[0],
    lambda torch, x: x.split([1, 3])[0],
    lambda torch, x: x.chunk(2)[0],
    lambda torch, x: x.unbind()[0],
    lambda torch, x: x.tensor_split(2)[0],
    lambda torch, x: x.unflatten(1, (5, 1)),
    lambda torch, x: x.as_strided((2, 2), (1, 1)),
    lambda torch, x: x.view(4, 30),
    lambda torch, x: x.view_as(x),
    lambda torch, x: x.expand_as(x),
    lambda torch, x: x.contiguous(),
    lambda torch, x: x.hsplit(5)[0],
    lambda torch, x: torch.atleast_3d(x),
    lambda torch, x: torch.broadcast_to(x, (2, 4, 5, 6)),
    lambda torch, x: x.view(torch.int32),
    lambda torch, x: torch.view_as_complex(x[..., :2]),
    lambda torch, x: x.mH,
    lambda torch, x: x.adjoint(),
    lambda torch, x: torch.view_as_real(x + 0j),
    lambda torch, x: (x + 0j).real,
    lambda torch, x: (x + 0j).imag,
    lambda torch, x: torch.unsafe_split(x, 2)[0],
    lambda torch, x: x.view(7),
    lambda torch, x: x.transpose(0, 1).view(-1),
    lambda torch, x: x.view(-1, -1),
    lambda torch, x: x.permute(0, 1),
    lambda torch, x: x.permute(0, 0, 1),
    lambda torch, x: x.expand(3, 5, 6),
    lambda torch, x: x.unsqueeze(9),
    lambda torch, x: x.select(0, 9),
    lambda torch, x: x.narrow(0, 3, 9),
    lambda torch, x: x.t(),
    lambda torch, x: x.split(0),
    lambda torch, x: x.split([1, 1]),
    lambda torch, x: x.squeeze(7),
    lambda torch, x: x.view(-2),
    lambda torch, x: x.unflatten(0, (3, 2)),
    lambda torch, x: x.flatten(2, 1),
    lambda torch, x: x.movedim((0, 1), (0,)),
    lambda torch, x: x.split(2, dim=-1)[1],
    lambda torch, x: x.permute(2, 0, 1),
    lambda torch, x: x.permute((2, 0, 1)).contiguous(),
    lambda torch, x: x.transpose(0, 2).flatten(),
    lambda torch, x: x.transpose(0, 2).flatten(1),
    lambda torch, x: x.transpose(0, 2)[1:3].reshape(-1),
    lambda torch, x: x.movedim((0, 1), (2, 0)),
    lambda torch, x: x.unflatten(2, (2, -1)),
    lambda torch, x: x.unfold(1, 3, 2),
    lambda torch, x: x.as_strided((2, 3), (2, 1), 3),
    lambda torch, x: x.expand(4, 5, 6),
    lambda torch, x: x.tensor_split((1, 3), 1)[1],
    lambda torch, x: x.unbind(1)[2],
    lambda torch, x: x.chunk(3, 1)[2],
    lambda torch, x: x.squeeze((0, 2)),
    lambda torch, x: x.swapdims(0, 1).stride(),
    lambda torch, x: x.T.stride(),
    lambda torch, x: x.unsqueeze(-1).stride(),
    lambda torch, x: x.transpose(0, 1).unsqueeze(1).stride(),
    lambda torch, x: x.view(2, 2, 5, 6).stride(),
    lambda torch, x: x.transpose(0, 1)[None].stride(),
    lambda torch, x: x.as_strided((9999,), (1,)),
    lambda torch, x: torch.atleast_3d(x[0, 0]),
    lambda torch, x: torch.atleast_2d(x[0, 0]),
    lambda torch, x: x.view(torch.int16),
    lambda torch, x: x.view(torch.float64),
    lambda torch, x: x.narrow(-1, -2, 2),
    lambda torch, x: x.narrow(0, torch.tensor(1), 2),
    lambda torch, x: x.reshape(()),
    lambda torch, x: x.reshape(-1, 0),
    lambda torch, x: torch.zeros(0, 3).view(-1, 3),
    lambda torch, x: torch.zeros(0, 3).reshape(0, -1),
    lambda torch, x: torch.zeros(2, 0).flatten(),
    lambda torch, x: x.hsplit((1, 2))[2],
    lambda torch, x: x.dsplit(3)[0],
    lambda torch, x: x.vsplit(3),
    lambda torch, x: x.adjoint().stride(),
    lambda torch, x: torch.broadcast_tensors(x, x[0])[1],
    lambda torch, x: torch.broadcast_shapes((2, 1), (3,)),
]


def _source(call):
    return inspect.getsource(call).strip().removeprefix("lambda torch, x: ").rstrip(",")


@pytest.mark.parametrize("call", CALLS, ids=_source)
@pytest.mark.parametrize("leaf", [True, False], ids=["leaf", "inner"])
def test_as_pytorch(call, leaf):
    check_call(call, leaf)


@pytest.mark.parametrize(("shape", "wrap"), [
    ((3, 3), False), ((7, 3), True), ((7, 3), False), ((2, 5), True), ((3, 3, 3), False)])
def test_diagonal_filled_in_place(shape, wrap):
    mine, theirs = (library.zeros(shape).fill_diagonal_(2, wrap).tolist() for library in (flambeau, torch))
    assert mine == theirs


def test_diagonal_filled_in_place_cuts_the_gradient():
    x = flambeau.ones(2, 2, requires_grad=True)
    (x * 3).fill_diagonal_(0).sum().backward()
    assert x.grad.tolist() == [[0.0, 3.0], [3.0, 0.0]]


@pytest.mark.parametrize("size", [(1, 3), (3,), (2, 1), (2, 3), (), (1, 1)])
def test_sum_to_size(size):
    mine, theirs = (library.arange(6.0).reshape(2, 3).sum_to_size(size).tolist() for library in (flambeau, torch))
    assert mine == theirs
    with pytest.raises(RuntimeError, match="not expandable"):
        flambeau.ones(2, 3).sum_to_size(2)
