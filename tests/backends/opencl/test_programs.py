"""Programs on OpenCL: their losses are those of the processor, and training leaves no memory behind.

What is drawn at random is drawn on the processor and moved, as a program does that wants the same run on two devices;
dropout, which draws where it computes, is off.
"""

from __future__ import annotations

import os

import numpy as np

import flambeau
from flambeau import nn
from flambeau.nn import functional as F

WIDTH, HEADS, BLOCK, LAYERS = 32, 4, 16, 2
ITERATIONS = int(os.environ.get("FLAMBEAU_MEMORY_ITERATIONS", "300"))   # 10,000 is the full number: a minute or two


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.qkv, self.out = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)

    def forward(self, x):
        batch, length, _ = x.shape
        q, k, v = (each.view(batch, length, HEADS, -1).transpose(1, 2) for each in self.qkv(x).split(WIDTH, dim=2))
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.out(y.transpose(1, 2).reshape(batch, length, WIDTH))


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.before, self.between = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.attention = Attention()
        self.dense = nn.Sequential(nn.Linear(WIDTH, 4 * WIDTH), nn.GELU(), nn.Linear(4 * WIDTH, WIDTH))

    def forward(self, x):
        x = x + self.attention(self.before(x))
        return x + self.dense(self.between(x))


class GPT(nn.Module):
    def __init__(self, characters: int) -> None:
        super().__init__()
        self.tokens, self.places = nn.Embedding(characters, WIDTH), nn.Embedding(BLOCK, WIDTH)
        self.blocks, self.norm = nn.Sequential(*[Block() for _ in range(LAYERS)]), nn.LayerNorm(WIDTH)
        self.head = nn.Linear(WIDTH, characters, bias=False)
        self.head.weight = self.tokens.weight
        for each in self.parameters():
            if each.dim() > 1:
                nn.init.normal_(each, std=0.02)

    def forward(self, text):
        x = self.tokens(text) + self.places(flambeau.arange(text.shape[1], device=text.device))
        return self.head(self.norm(self.blocks(x)))


def characters() -> flambeau.Tensor:
    """Tiny Shakespeare where it is there, else a text of our own, as numbers of characters."""
    path = os.path.join(os.environ.get("FLAMBEAU_DATA", ""), "tinyshakespeare", "input.txt")
    text = "the quick brown fox jumps over the lazy dog, and the dog, being lazy, lets it. " * 50
    if os.path.isfile(path):
        with open(path, encoding="utf-8") as file:
            text = file.read(100_000)
    known = {each: number for number, each in enumerate(sorted(set(text)))}
    return flambeau.tensor([known[each] for each in text])


def gpt_losses(device: str, steps: int) -> list[float]:
    flambeau.manual_seed(0)
    data = characters()
    model = GPT(int(data.max()) + 1).to(device)
    optimizer = flambeau.optim.AdamW(model.parameters(), lr=3e-3, betas=(0.9, 0.95))
    losses = []
    for _ in range(steps):
        starts = flambeau.randint(len(data) - BLOCK - 1, (8,)).tolist()
        rows = flambeau.stack([data[start:start + BLOCK + 1] for start in starts]).to(device)
        loss = F.cross_entropy(model(rows[:, :-1]).flatten(0, 1), rows[:, 1:].reshape(-1))
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        losses.append(loss.detach())
    return [each.item() for each in losses]


def test_a_small_gpt_learns_as_on_the_processor(opencl):
    mine, wanted = gpt_losses(opencl, 50), gpt_losses("cpu", 50)
    np.testing.assert_allclose(mine, wanted, atol=1e-3)
    assert wanted[-1] < wanted[0] - 0.5


def demo_losses(device: str, steps: int) -> list[float]:
    """The first losses of `flambeau demo`: its model, data, order and optimiser, without its dropout."""
    from flambeau.cli import _demo_tasks as tasks, _demo_training as demo
    from flambeau.vision import datasets

    data = os.environ.get("FLAMBEAU_DATA", "")
    source = datasets.MNIST if os.path.isdir(os.path.join(data, "mnist")) else datasets.Digits
    images = tasks.Images(source.__name__, *tasks.image_parts(source, data))
    run = demo.Run(demo.Settings(device=device), images)
    for each in run.model.modules():
        if isinstance(each, nn.Dropout):
            each.p = 0.0

    class Enough:
        """Stops the training after some steps, and reports nothing."""

        asked = False

        def step(self, number, count, loss):
            self.asked = len(run.losses) >= steps

    enough = Enough()
    run.train_epoch(enough, enough)
    return run.losses


def test_the_first_losses_of_the_demo_are_those_of_the_processor(opencl):
    mine, wanted = demo_losses(opencl, 50), demo_losses("cpu", 50)
    assert len(mine) >= 20
    np.testing.assert_allclose(mine, wanted, atol=1e-3)


def test_training_with_changing_batches_leaves_no_memory_behind(opencl):
    flambeau.manual_seed(0)
    model = nn.Sequential(nn.Linear(20, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Linear(32, 10)).to(opencl)
    optimizer = flambeau.optim.Adam(model.parameters())
    sizes = np.random.default_rng(0).integers(2, 257, ITERATIONS + 100)
    backend = next(model.parameters())._kind.backend
    held = {}
    for number, size in enumerate(sizes.tolist()):
        input = flambeau.ones(size, 20, device=opencl)
        target = flambeau.zeros(size, dtype=flambeau.int64, device=opencl)
        loss = F.cross_entropy(model(input), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        del input, target, loss
        if number in (99, len(sizes) - 1):
            backend.synchronize(0)
            held[number] = backend.memory_stats(0)
    first, last = held.values()
    assert last["allocated"] == first["allocated"]
    assert last["reserved"] <= first["reserved"] * 2
