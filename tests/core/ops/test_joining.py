"""Joining, repeating and rearranging, compared with PyTorch."""

import inspect

import pytest

from comparison import check_call

torch = pytest.importorskip("torch", reason="PyTorch is the oracle")

CALLS = [
    lambda torch, x: x.diagonal(),
    lambda torch, x: x.repeat(2, 1, 1),
    lambda torch, x: x.tile(2),
    lambda torch, x: x.flip(0),
    lambda torch, x: x.roll(1, 0),
    lambda torch, x: x.tril(),
    lambda torch, x: torch.stack([x, x]),
    lambda torch, x: torch.cat([x, x]),
    lambda torch, x: torch.hstack([x, x]),
    lambda torch, x: torch.meshgrid(x[0, 0], x[0, 0], indexing="ij")[0],
    lambda torch, x: torch.nn.functional.pad(x, (1, 1)),
    lambda torch, x: torch.nn.functional.pad(x, (1, 1), mode="reflect"),
    lambda torch, x: torch.nn.functional.pad(x, (1, 1), mode="replicate"),
    lambda torch, x: torch.nn.functional.pad(x, (1, 1), mode="circular"),
    lambda torch, x: x.repeat_interleave(2, 0),
    lambda torch, x: x[0].diag(),
    lambda torch, x: x[0, 0].diag(),
    lambda torch, x: torch.diag_embed(x),
    lambda torch, x: torch.block_diag(x[0], x[1]),
    lambda torch, x: x.scatter(0, torch.zeros(1, 1, 1, dtype=torch.long), 1.0),
    lambda torch, x: x.scatter(0, torch.zeros(4, 5, 6, dtype=torch.long), x),
    lambda torch, x: x.scatter_add(0, torch.zeros(4, 5, 6, dtype=torch.long), x),
    lambda torch, x: x.select_scatter(x[0], 0, 0),
    lambda torch, x: x.slice_scatter(x[0:1], 0, 0, 1),
    lambda torch, x: x.diagonal_scatter(x.diagonal()),
    lambda torch, x: torch.column_stack([x[0], x[0]]),
    lambda torch, x: x.masked_scatter(x > 0, x),
    lambda torch, x: torch.cartesian_prod(x[0, 0], x[0, 1]),
    lambda torch, x: torch.cat([x, x[0]]),
    lambda torch, x: torch.stack([x, x[0]]),
    lambda torch, x: torch.cat([]),
    lambda torch, x: torch.cat([x, 1]),
    lambda torch, x: x.scatter(0, torch.tensor([[[9]]]), 1.0),
    lambda torch, x: x.roll((1, 2), 0),
    lambda torch, x: x.repeat(2),
    lambda torch, x: x.tile(2, 2),
    lambda torch, x: torch.tril(x[0, 0]),
    lambda torch, x: torch.diag(x),
    lambda torch, x: x.diagonal(1, 0, 2),
    lambda torch, x: x.diagonal(-2, 1, 2),
    lambda torch, x: torch.tril(x, 1),
    lambda torch, x: torch.triu(x, -1),
    lambda torch, x: x.roll((1, -2), (0, 2)),
    lambda torch, x: x.flip((0, 1)),
    lambda torch, x: x.fliplr(),
    lambda torch, x: torch.nn.functional.pad(x, (1, -1, 2, 3)),
    lambda torch, x: torch.nn.functional.pad(x, (1, 2, 2, 1), mode="reflect"),
    lambda torch, x: torch.nn.functional.pad(x, (1, -2), mode="replicate"),
    lambda torch, x: torch.nn.functional.pad(x, (1, 2, 3, 1), mode="circular"),
    lambda torch, x: torch.nn.functional.pixel_unshuffle(x[:, :4], 2),
    lambda torch, x: torch.nn.functional.pixel_shuffle(x, 2),
    lambda torch, x: x.repeat_interleave(torch.tensor([1, 0, 2, 1]), 0),
    lambda torch, x: torch.dstack([x[0], x[0]]),
    lambda torch, x: torch.vstack([x[0], x[0]]),
    lambda torch, x: torch.cat([x, torch.zeros(0)]),
    lambda torch, x: torch.cat([x, x.double()], 1),
    lambda torch, x: torch.stack([x, x], -1),
    lambda torch, x: torch.combinations(x[0, 0]),
    lambda torch, x: torch.tril_indices(3, 4, 1),
    lambda torch, x: torch.triu_indices(3, 4, -1),
    lambda torch, x: torch.cat((x, x), dim=5),
    lambda torch, x: x.diagflat(),
    lambda torch, x: x[0].diag(1),
    lambda torch, x: x.select_scatter(x[0], 0, 2),
    lambda torch, x: x.slice_scatter(x[:, ::2], 1, 0, None, 2),
    lambda torch, x: torch.meshgrid(x[0, 0], x[0, :, 0], indexing="xy")[1],
    lambda torch, x: x.masked_scatter(x > 0, torch.ones(120)),
]


def _source(call):
    return inspect.getsource(call).strip().removeprefix("lambda torch, x: ").rstrip(",")


@pytest.mark.parametrize("call", CALLS, ids=_source)
@pytest.mark.parametrize("leaf", [True, False], ids=["leaf", "inner"])
def test_as_pytorch(call, leaf):
    check_call(call, leaf)
