"""Indexing, gathering and scattering, compared with PyTorch."""

import inspect

import numpy as np
import pytest

from comparison import check_call

torch = pytest.importorskip("torch", reason="PyTorch is the oracle")

CALLS = [
    lambda torch, x: x[3],
    lambda torch, x: x[:],
    lambda torch, x: x[...],
    lambda torch, x: x[None],
    lambda torch, x: x[1:2, 2],
    lambda torch, x: x[2, 1:3],
    lambda torch, x: x[:, :, None],
    lambda torch, x: x[0:4],
    lambda torch, x: x[0].t(),
    lambda torch, x: x[0].T,
    lambda torch, x: x[[0, 1]],
    lambda torch, x: x[torch.tensor([0, 1])],
    lambda torch, x: x[torch.tensor(1)],
    lambda torch, x: x[True],
    lambda torch, x: x[x > 0],
    lambda torch, x: x.masked_fill(x > 0, 1.0),
    lambda torch, x: x.masked_select(x > 0),
    lambda torch, x: x.index_select(0, torch.tensor([1])),
    lambda torch, x: x.take(torch.tensor([1])),
    lambda torch, x: x.gather(0, torch.zeros(1, 1, 1, dtype=torch.long)),
    lambda torch, x: x.index_fill(0, torch.tensor([1]), 1.0),
    lambda torch, x: x.take_along_dim(torch.zeros(1, 1, 1, dtype=torch.long), 0),
    lambda torch, x: x.index_add(0, torch.tensor([0]), x[:1]),
    lambda torch, x: x.index_copy(0, torch.tensor([0]), x[:1]),
    lambda torch, x: x.index_put((torch.tensor([0]),), x[:1]),
    lambda torch, x: x[0, 0].H,
    lambda torch, x: x[[[0, 1], [1, 2]]],
    lambda torch, x: x[[0, slice(None)]],
    lambda torch, x: x[:, [0, 1], 2],
    lambda torch, x: x[[True, False, True, True]],
    lambda torch, x: x[7],
    lambda torch, x: x[:, 7],
    lambda torch, x: x[0, 0, 0, 0],
    lambda torch, x: x[0.5],
    lambda torch, x: x[torch.tensor([9])],
    lambda torch, x: x[torch.tensor([0.5])],
    lambda torch, x: x[::-1],
    lambda torch, x: x[torch.tensor([True, False])],
    lambda torch, x: x[[0, 1], [0, 1, 2]],
    lambda torch, x: x.gather(0, torch.tensor([[[9]]])),
    lambda torch, x: x.gather(0, torch.tensor([9])),
    lambda torch, x: x.index_select(0, torch.tensor([9])),
    lambda torch, x: x[0, 0, 0][0],
    lambda torch, x: x.take(torch.tensor([999])),
    lambda torch, x: x[torch.tensor([1, 2]), torch.tensor([1, 2, 3])],
    lambda torch, x: x.masked_select(torch.tensor([1])),
    lambda torch, x: x.index_add(0, torch.tensor([9]), x[:1]),
    lambda torch, x: x[None, 2],
    lambda torch, x: x[..., None, 1],
    lambda torch, x: x[1:3, None, ::2],
    lambda torch, x: x[:, torch.tensor([0, 2]), 1:3],
    lambda torch, x: x[torch.tensor([0, 2]), :, torch.tensor([1, 3])],
    lambda torch, x: x[torch.tensor([[True, False, True, False, True]] * 4)],
    lambda torch, x: x[1, torch.tensor([True, False, True, False, True])],
    lambda torch, x: x[-1],
    lambda torch, x: x[-3:-1],
    lambda torch, x: x[..., 0].squeeze(),
    lambda torch, x: x[0:1].squeeze(0),
    lambda torch, x: x[:1].expand(3, -1, -1),
    lambda torch, x: x[0, 0].expand(2, 6),
    lambda torch, x: x.take_along_dim(torch.zeros(4, 2, 6, dtype=torch.long), 1),
    lambda torch, x: x.index_select(1, torch.tensor([0, 0, 4])),
    lambda torch, x: x.masked_fill(x > 0, 2),
    lambda torch, x: x.detach().unique(),
    lambda torch, x: x.bool().nonzero(),
    lambda torch, x: torch.searchsorted(torch.tensor([1.0, 2, 3]), x.detach()),
    lambda torch, x: torch.bucketize(x.detach(), torch.tensor([-1.0, 0, 1]), right=True),
    lambda torch, x: torch.bincount(torch.tensor([1, 1, 5]), minlength=3),
    lambda torch, x: torch.isin(torch.tensor([1, 2, 3]), torch.tensor([2])),
    lambda torch, x: x[None].stride(),
    lambda torch, x: x[:1].unsqueeze(0).stride(),
    lambda torch, x: x[:, :1].squeeze(1).stride(),
    lambda torch, x: x[1:, 2:].storage_offset(),
    lambda torch, x: x[1:, 2:].transpose(0, 1).storage_offset(),
    lambda torch, x: x[0, 0].ravel(),
    lambda torch, x: x[..., :2].view(torch.complex64),
    lambda torch, x: x[torch.tensor([], dtype=torch.long)],
    lambda torch, x: x[[]],
    lambda torch, x: x[np.array([0, 2])],
    lambda torch, x: x[range(2)],
    lambda torch, x: x[:, range(0, 4, 2)],
    lambda torch, x: x[np.int64(1)],
    lambda torch, x: x[1 : np.int64(3)],
    lambda torch, x: x[torch.tensor(1) : torch.tensor(3)],
    lambda torch, x: x[np.array([True, False, True, False])],
    lambda torch, x: x[(torch.tensor([0]), [1, 2])],
    lambda torch, x: x[False],
    lambda torch, x: x[torch.tensor(True)],
    lambda torch, x: x[torch.tensor([0, 1], dtype=torch.int32)],
    lambda torch, x: x[torch.tensor([0, 1], dtype=torch.uint8)],
    lambda torch, x: x[0, 1, 2, 3],
    lambda torch, x: x[torch.tensor([0]), torch.tensor([0]), torch.tensor([0]), torch.tensor([0])],
    lambda torch, x: x[torch.tensor([-5])],
    lambda torch, x: x[torch.ones(4, 6, dtype=torch.bool)],
    lambda torch, x: x.gather(1, torch.tensor([[[-1]]])),
    lambda torch, x: x.index_select(0, torch.tensor([-1])),
    lambda torch, x: x.index_select(0, torch.tensor([[1]])),
    lambda torch, x: x.detach().unique_consecutive(dim=0),
    lambda torch, x: x.detach().round().unique(return_inverse=True, return_counts=True)[1],
    lambda torch, x: x.detach().round().unique(dim=1, return_counts=True)[1],
    lambda torch, x: x.put(torch.tensor([1]), torch.tensor([2.0])),
    lambda torch, x: x.argwhere(),
    lambda torch, x: torch.where(x > 0)[1],
    lambda torch, x: x.nonzero(as_tuple=True)[0],
]


def _source(call):
    return inspect.getsource(call).strip().removeprefix("lambda torch, x: ").rstrip(",")


@pytest.mark.parametrize("call", CALLS, ids=_source)
@pytest.mark.parametrize("leaf", [True, False], ids=["leaf", "inner"])
def test_as_pytorch(call, leaf):
    check_call(call, leaf)


@pytest.mark.parametrize("key, size", [("mask", 2), ("lookup", 4), ("pairs", 3)])
def test_values_that_do_not_fit_the_places(key, size):
    import flambeau
    for library in (flambeau, torch):
        x = library.arange(6.0).view(2, 3)
        where = {"mask": x > 0, "lookup": library.tensor([0, 1]), "pairs": ([0, 1], [0, 1])}[key]
        with pytest.raises(RuntimeError, match=r"value tensor of shape \[\d\] cannot be broadcast to indexing result"):
            x[where] = library.ones(size)
        assert x.tolist() == [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]]
