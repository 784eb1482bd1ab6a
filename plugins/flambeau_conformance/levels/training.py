"""Level "training": whole programs on the device, step by step beside the same program elsewhere.

A network of two layers is compared with its forward and backward pass written out with NumPy in float64; larger ones
with PyTorch in float64, or without it with another backend. Then what else a program does with a model: batches from a
`DataLoader`, accumulated gradients, checkpoints, files that move from device to device; and one task that has to be
learnt.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

import flambeau
from flambeau import nn, optim
from flambeau_conformance import oracle
from flambeau_conformance.case import Case
from flambeau_conformance.levels import _optimizers as optimizers
from flambeau_conformance.levels._models import MODELS, Model
from flambeau_conformance.levels._nn_tools import numbers, rounded
from flambeau_conformance.levels._values import Array, host, near, put, same

LEVEL = "training"
STEPS = 20
# After so many steps of a program that is not chaotic, errors have grown by about this factor.
GROWTH = 50


# ---------------------------------------------------------------------------------------------- by hand
def _softmax_regression(values: dict[str, Array], x: Array, y: Array) -> tuple[float, dict[str, Array]]:
    """Loss and gradients of Linear(4, 8), Tanh, Linear(8, 3) and cross entropy, as one writes them on paper."""
    w1, b1, w2, b2 = (values[name] for name in ("0.weight", "0.bias", "2.weight", "2.bias"))
    hidden = np.tanh(x @ w1.T + b1)
    scores = hidden @ w2.T + b2
    shifted = scores - scores.max(1, keepdims=True)
    logs = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
    rows = np.arange(len(y))
    slope = np.exp(logs)
    slope[rows, y] -= 1
    slope /= len(y)
    back = (slope @ w2) * (1 - hidden * hidden)
    return float(-logs[rows, y].mean()), {"0.weight": back.T @ x, "0.bias": back.sum(0), "2.weight": slope.T @ hidden,
                                          "2.bias": slope.sum(0)}


def _perceptron(name: str, number: int, dtype: Any) -> Callable[[Any], None]:
    """Twenty steps of an optimizer on a perceptron, against NumPy: every loss, every gradient, every weight."""
    formula, several = optimizers.OPTIMIZERS[name]
    options = several[number]

    def run(ctx: Any) -> None:
        model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3)).to(device=ctx.device, dtype=dtype)
        values = numbers(ctx.rng, model, dtype)
        model.load_state_dict({key: put(ctx, each, dtype) for key, each in values.items()})
        optimizer = getattr(optim, name)(model.parameters(), lr=0.02, **options)
        states: dict[str, dict[str, Array]] = {key: {} for key in values}
        x, y = rounded(ctx.rng.normal(size=(48, 4)), dtype), ctx.rng.integers(0, 3, 48)
        sign = -1.0 if options.get("maximize") else 1.0
        for step in range(STEPS):
            part = slice(step % 3 * 16, step % 3 * 16 + 16)
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(put(ctx, x[part], dtype)), put(ctx, y[part])) * sign
            loss.backward()
            expected, grads = _softmax_regression(values, x[part], y[part])
            ctx.compare_values(loss.detach(), np.array(expected * sign), "training", f"loss {step + 1}", factor=GROWTH)
            for key, each in model.named_parameters():
                ctx.compare_values(each.grad, grads[key] * sign, "training", f"gradient of {key}, step {step + 1}",
                                   factor=GROWTH)
            optimizer.step()
            for key in values:
                values[key] = formula(options, 0.02, values[key], grads[key] * sign, states[key], step + 1)
            ctx.samples += 1
        for key, each in model.named_parameters():
            ctx.compare_values(each.detach(), values[key], "training", f"{key} at the end", factor=GROWTH)
    return run


# ---------------------------------------------------------------------------------------------- beside an oracle
class Program:
    """A model with its optimizer in one library, on one device."""

    def __init__(self, library: Any, place: Callable[[Array], Any], model: Model, device: Any, dtype: Any) -> None:
        self.library, self.place = library, place
        self.model = model
        self.module = model.build(library).to(device=device, dtype=dtype)
        self.optimizer: Any = None

    def start(self, values: dict[str, Array]) -> None:
        """Put numbers into the parameters, and make the optimizer."""
        self.module.load_state_dict({**self.module.state_dict(), **{key: self.place(each)
                                                                   for key, each in values.items()}})
        self.optimizer = self.model.optimizer(self.library.optim, self.module.parameters())

    def step(self, batch: tuple[Array, ...]) -> Any:
        """One step; the loss before it."""
        self.optimizer.zero_grad()
        loss = self.model.loss(self.library, self.module, *(self.place(each) for each in batch))
        loss.backward()
        self.optimizer.step()
        return loss.detach()


def _here(ctx: Any, dtype: Any) -> Callable[[Array], Any]:
    return lambda array: put(ctx, array, dtype if np.asarray(array).dtype.kind == "f" else None)


def _beside(ctx: Any, model: Model) -> Program | None:
    """The same program in PyTorch in float64, or on another backend; None if there is neither."""
    if ctx.torch is not None:
        return Program(ctx.torch, lambda array: ctx.torch.from_numpy(np.array(array)), model, "cpu", ctx.torch.float64)
    where = oracle.stand_in(ctx.device.type)
    if where is None:
        return None
    return Program(flambeau, lambda array: flambeau.tensor(np.array(array)).to(where), model, where, flambeau.float64)


def _model(name: str, dtype: Any) -> Callable[[Any], None]:
    model = MODELS[name]

    def run(ctx: Any) -> None:
        ours = Program(flambeau, _here(ctx, dtype), model, ctx.device, dtype)
        theirs = _beside(ctx, model)
        ctx.oracle = "torch" if ctx.torch is not None else "float64 elsewhere"
        values = numbers(ctx.rng, ours.module, dtype)
        for program in (ours, theirs):
            if program is not None:
                program.start(values)
        losses = []
        for step in range(model.steps):
            batch = tuple(rounded(each, dtype) if each.dtype.kind == "f" else each for each in model.batch(ctx.rng))
            loss = ours.step(batch)
            losses.append(float(loss))
            ctx.samples += 1
            if theirs is not None:
                ctx.compare_values(loss, host(theirs.step(batch)), "training", f"{name}: loss {step + 1}",
                                   factor=GROWTH)
        assert all(math.isfinite(each) for each in losses), f"{name}: losses {losses}"
        if theirs is not None:
            expected = theirs.module.state_dict()
            for key, each in ours.module.state_dict().items():
                ctx.compare_values(each, host(expected[key]), "training" if each.is_floating_point() else "exact",
                                   f"{name}: {key} at the end", factor=GROWTH)
    return run


# ---------------------------------------------------------------------------------------------- what programs do
def _moved(name: str) -> Callable[[Any], None]:
    """Model and optimizer go through a file to the host and on from there, and back, and arrive at the same numbers."""
    model = MODELS[name]

    def run(ctx: Any) -> None:
        dtype = flambeau.float32
        start = Program(flambeau, _here(ctx, dtype), model, ctx.device, dtype)
        start.start(numbers(ctx.rng, start.module, dtype))
        batches = [model.batch(ctx.rng) for _ in range(7)]
        for batch in batches[:3]:
            start.step(batch)
        file = io.BytesIO()
        flambeau.save({"model": start.module.state_dict(), "optimizer": start.optimizer.state_dict()}, file)
        results = []
        for where in (ctx.device, flambeau.device("cpu"), ctx.device):
            file.seek(0)
            state = flambeau.load(file, map_location=where)
            place = lambda array, where=where: flambeau.tensor(  # noqa: E731
                np.asarray(array, np.float32) if array.dtype.kind == "f" else array).to(where)
            other = Program(flambeau, place, model, where, dtype)
            other.start({})
            other.module.load_state_dict(state["model"])
            other.optimizer.load_state_dict(state["optimizer"])
            assert all(each.device == flambeau.device(where) for each in other.module.parameters())
            results.append([float(other.step(batch)) for batch in batches[3:]])
        expected = [float(start.step(batch)) for batch in batches[3:]]
        assert results[0] == results[2] == expected, f"{name}: {results[0]} after a file, {expected} without"
        near(np.array(results[1]), np.array(expected), f"{name}: losses on the host after a file", "float32", factor=5)
    return run


def _accumulated(ctx: Any) -> None:
    """Gradients of parts add up to the whole's; retain_graph and repeated calls add, zero_grad starts anew."""
    model = MODELS["perceptron"].build(flambeau).to(ctx.device)
    x, y = ctx.rng.normal(size=(24, 4)).astype(np.float32), ctx.rng.integers(0, 3, 24)
    loss = nn.functional.cross_entropy(model(put(ctx, x)), put(ctx, y))
    loss.backward(retain_graph=True)
    whole = [host(each.grad) for each in model.parameters()]
    loss.backward()
    for each, once in zip(model.parameters(), whole, strict=True):
        near(each.grad, 2 * once, "a gradient after two backward passes")
    model.zero_grad()
    for part in np.split(np.arange(24), [5, 13]):
        share = len(part) / 24
        (nn.functional.cross_entropy(model(put(ctx, x[part])), put(ctx, y[part])) * share).backward()
    for each, once in zip(model.parameters(), whole, strict=True):
        near(each.grad, once, "the sum of the gradients of parts")


def _checkpointed(ctx: Any) -> None:
    """A checkpointed block gives the same loss and gradients, dropout included."""
    from flambeau.utils.checkpoint import checkpoint
    block = nn.Sequential(nn.Linear(5, 6), nn.GELU(), nn.Dropout(0.3), nn.Linear(6, 5)).to(ctx.device)
    array = ctx.rng.normal(size=(7, 5)).astype(np.float32)
    found: list[list[Array]] = []
    ways: tuple[Callable[..., Any], ...] = (
        block, partial(checkpoint, block, use_reentrant=False), partial(checkpoint, block, use_reentrant=True))
    for call in ways:
        block.zero_grad()
        flambeau.manual_seed(8)
        leaf = put(ctx, array).requires_grad_()
        result = call(leaf * 2)
        (result * result).sum().backward()
        found.append([host(result), host(leaf.grad), *(host(each.grad) for each in block.parameters())])
    for other, name in zip(found[1:], ("", ", the older way"), strict=True):
        for one, again in zip(found[0], other, strict=True):
            near(again, one, "a checkpointed block" + name)


def _loaded(ctx: Any) -> None:
    """Batches from a DataLoader on the device: every sample once, in the order of the seed, in order without one."""
    from flambeau.utils.data import DataLoader, TensorDataset
    x, y = np.arange(22, dtype=np.float32).reshape(11, 2), np.arange(11) * 10
    data = TensorDataset(flambeau.tensor(x), flambeau.tensor(y))
    plain = [tuple(each.to(ctx.device) for each in batch) for batch in DataLoader(data, batch_size=4)]
    assert [len(one) for one, _ in plain] == [4, 4, 3], "other batches"
    same(flambeau.cat([one for one, _ in plain]), x, "samples in order")
    same(flambeau.cat([two for _, two in plain]), y, "targets in order")
    orders = []
    for seed in (1, 1, 2):
        loader: DataLoader[Any] = DataLoader(data, batch_size=3, shuffle=True, drop_last=True,
                                             generator=flambeau.Generator().manual_seed(seed))
        batches = [tuple(each.to(ctx.device) for each in batch) for batch in loader]
        assert len(batches) == 3, "drop_last is ignored"
        for one, two in batches:
            same(one[:, 0] * 5, host(two), "a target beside its sample")
        orders.append(host(flambeau.cat([two for _, two in batches])))
        assert len(set(orders[-1].tolist())) == 9, "a sample came twice"
    assert (orders[0] == orders[1]).all() and (orders[0] != orders[2]).any(), "shuffling does not follow the seed"
    direct = TensorDataset(put(ctx, x), put(ctx, y))     # samples that live on the device
    one, two = next(iter(DataLoader(direct, batch_size=5)))
    assert one.device == ctx.device and two.device == ctx.device, "samples of the device were collated elsewhere"
    same(one, x[:5], "samples that live on the device")


def _learnt(ctx: Any) -> None:
    """Two spirals are told apart: a task that a broken gradient, optimizer or draw does not pass."""
    flambeau.manual_seed(3)
    angle = np.sqrt(ctx.rng.random(400)) * 1.5 * 2 * math.pi
    arm = np.arange(400) % 2
    radius = angle / (3 * math.pi) + 0.05
    points = np.stack([np.cos(angle + arm * math.pi) * radius, np.sin(angle + arm * math.pi) * radius], 1) * 2
    x, y = put(ctx, points.astype(np.float32)), put(ctx, arm)
    model = nn.Sequential(nn.Linear(2, 32), nn.Tanh(), nn.Linear(32, 32), nn.Tanh(), nn.Linear(32, 2)).to(ctx.device)
    optimizer = optim.Adam(model.parameters(), lr=0.02)
    schedule = optim.lr_scheduler.CosineAnnealingLR(optimizer, 250, 0.001)
    for _ in range(250):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()
        schedule.step()
    with flambeau.no_grad():
        accuracy = float((model(x).argmax(1) == y).float().mean())
    assert accuracy >= 0.97, f"an accuracy of {accuracy:.3f} on two spirals"


def _repeated(name: str) -> Callable[[Any], None]:
    """The same program from the same seed gives the same losses, where the device says that it is deterministic."""
    model = MODELS[name]

    def run(ctx: Any) -> None:
        runs = []
        for _ in range(2):
            flambeau.manual_seed(5)
            rng = np.random.default_rng(5)
            program = Program(flambeau, _here(ctx, flambeau.float32), model, ctx.device, flambeau.float32)
            program.start({})
            runs.append([float(program.step(model.batch(rng))) for _ in range(4)])
        if ctx.backend.capabilities.deterministic:
            assert runs[0] == runs[1], f"{name}: {runs[0]}, then {runs[1]}"
        else:
            near(np.array(runs[1]), np.array(runs[0]), f"{name}, repeated", "float32")
    return run


def cases(subject: Any) -> Iterator[Case]:
    """The cases for one device."""
    floats = [each for each in (flambeau.float32, flambeau.float64) if each in subject.dtypes]
    for name, (_, several) in optimizers.OPTIMIZERS.items():
        for number in range(len(several)):
            for dtype in floats:
                yield Case(LEVEL, "perceptron", f"{name}-{number}-{dtype.name}", _perceptron(name, number, dtype),
                           dtype, quick=number == 0 and dtype is flambeau.float32)
    yield from optimizers.cases(subject)
    for name in MODELS:
        for dtype in floats:
            yield Case(LEVEL, name, dtype.name, _model(name, dtype), dtype, quick=dtype is flambeau.float32)
        yield Case(LEVEL, name, "moved", _moved(name))
        yield Case(LEVEL, name, "repeated", _repeated(name))
    for name, run in {"accumulated": _accumulated, "checkpointed": _checkpointed, "loaded": _loaded,
                      "learnt": _learnt}.items():
        yield Case(LEVEL, "program", name, run, quick=name != "learnt")
