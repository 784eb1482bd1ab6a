"""Level "nn": every layer, forward and backward, in training and out of it, with its buffers and its state.

The layers are those that the package has (`_all_layers`); how they are made stands in `_layers.LAYERS`. Parameters and
inputs are NumPy's numbers on both sides. The oracle is PyTorch's layer of the same name in float64, or, without
PyTorch, our own layer in float64 on another backend.
"""

from __future__ import annotations

import copy
import io
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import flambeau
from flambeau import nn
from flambeau_conformance import oracle
from flambeau_conformance.case import Case
from flambeau_conformance.levels import _nn_tools as tools
from flambeau_conformance.levels._generators import repeats_torch
from flambeau_conformance.levels._layer_rows import Row
from flambeau_conformance.levels._layers import DRAWING, LAYERS, LOOSE, STANDS_FOR
from flambeau_conformance.levels._values import host, put, same

LEVEL = "nn"


def all_layers() -> dict[str, type]:
    """The layers that can be called, by name."""
    found = {}
    for name in dir(nn):
        member = getattr(nn, name)
        if isinstance(member, type) and issubclass(member, nn.Module) and \
                getattr(member, "forward", None) is not nn.Module.forward:
            found[name] = member
    return found


# ---------------------------------------------------------------------------------------------- one layer
class Side:
    """A layer of one library with its inputs, and what came out."""

    def __init__(self, library: Any, place: Callable[[Any], Any], row: Row, name: str) -> None:
        self.library, self.place = library, place
        maker = library.nn
        if library is not flambeau and name in STANDS_FOR:
            maker = _Renamed(library.nn, {name: STANDS_FOR[name]})
        self.layer = row[0](maker, library.tensor)

    def fill(self, values: dict[str, Any]) -> None:
        """Put numbers into parameters and buffers."""
        with self.library.no_grad():
            for name, tensor in [*self.layer.named_parameters(), *self.layer.named_buffers()]:
                if name in values:
                    tensor.copy_(self.place(values[name]))

    def call(self, inputs: list[Any], weights: Any, wanted: list[bool]) -> dict[str, Any]:
        """Results, gradients and buffers of one call, by name."""
        leaves = [self.place(each) for each in inputs]
        for leaf, needs in zip(leaves, wanted, strict=True):
            if needs:
                leaf.requires_grad_()
        self.layer.zero_grad()
        results = self.layer(*(leaf * 1 if needs else leaf for leaf, needs in zip(leaves, wanted, strict=True)))
        results = results if isinstance(results, tuple) else (results,)
        found = {f"result {number}": each for number, each in enumerate(results)}
        if results[0].requires_grad:
            (results[0] * self.place(weights(tuple(results[0].shape)))).sum().backward()
        found.update({f"gradient of input {number}": leaf.grad for number, leaf in enumerate(leaves) if wanted[number]})
        found.update({f"gradient of {name}": each.grad for name, each in self.layer.named_parameters()})
        found.update({f"buffer {name}": each for name, each in self.layer.named_buffers()})
        found.update({f"parameter {name}": each for name, each in self.layer.named_parameters()})
        return {name: each.detach() if each is not None else None for name, each in found.items()}


class _Renamed:
    """A library's `nn` in which a name means another layer."""

    def __init__(self, module: Any, names: dict[str, str]) -> None:
        self._module, self._names = module, names

    def __getattr__(self, name: str) -> Any:
        return getattr(self._module, self._names.get(name, name))


def _weights(shape: tuple[int, ...]) -> Any:
    """What a result is multiplied with before it is summed: different everywhere, so that no mistake cancels."""
    return np.cos(np.arange(int(np.prod(shape, dtype=int))) * 1.7 + 0.3).reshape(shape)


def sides(ctx: Any, row: Row, name: str, dtype: Any, strided: bool) -> tuple[Side, Side | None]:
    """The layer under test and the oracle's, the latter in float64."""
    def here(array: Any) -> Any:
        floats = np.asarray(array).dtype.kind == "f"
        return put(ctx, array, dtype if floats else None, "permuted" if strided else "contiguous")
    ours = Side(flambeau, here, row, name)
    ours.layer.to(device=ctx.device, dtype=dtype)
    if ctx.torch is not None:
        theirs = Side(ctx.torch, lambda array: ctx.torch.from_numpy(np.array(array)), row, name)
        theirs.layer.double()
        return ours, theirs
    where = oracle.stand_in(ctx.device.type)
    if where is None:
        return ours, None
    other = Side(flambeau, lambda array: flambeau.tensor(np.array(array)).to(where), row, name)
    other.layer.to(device=where, dtype=flambeau.float64)
    return ours, other


def _layer(name: str, number: int, dtype: Any, training: bool) -> Callable[[Any], None]:
    row = LAYERS[name][number]

    def run(ctx: Any) -> None:
        ours, theirs = sides(ctx, row, name, dtype, strided=number % 2 == 1)
        ctx.oracle = "torch" if ctx.torch is not None else "float64 elsewhere"
        values = tools.numbers(ctx.rng, ours.layer, dtype)
        inputs, wanted = tools.inputs(ctx.rng, row[1], dtype)
        for side in (ours, theirs):
            if side is not None:
                side.fill(values)
                side.layer.train(training)
        assert all(each.device == ctx.device for each in ours.layer.parameters()), "to(device) left a parameter behind"
        draws = training and name in DRAWING
        seed = zlib.crc32(name.encode())
        for step in range(2):     # buffers and caches of the first call are used in the second
            what = f"{name}, call {step + 1}"
            flambeau.manual_seed(seed + step)
            found = ours.call(inputs, _weights, wanted)
            ctx.samples += 1
            if draws and (name == "RReLU" or not (repeats_torch(ctx) and dtype.itemsize == 8)):
                tools.check_draws(name, inputs[0], found, what, dtype)
                continue
            if theirs is None:
                tools.check_finite(found, what)
                continue
            (ctx.torch if ctx.torch is not None else flambeau).manual_seed(seed + step)
            expected = theirs.call(inputs, _weights, wanted)
            tools.check_same(ctx, found, expected, dtype, what, LOOSE.get(name, 1))
    return run


# ---------------------------------------------------------------------------------------------- state
def _state(name: str, number: int, dtype: Any) -> Callable[[Any], None]:
    """state_dict and load_state_dict, a move to the host and back, copies, a file: always the same results."""
    row = LAYERS[name][number]

    def run(ctx: Any) -> None:
        ours, _ = sides(ctx, row, name, dtype, strided=False)
        ours.fill(tools.numbers(ctx.rng, ours.layer, dtype))
        ours.layer.eval()
        inputs, _ = tools.inputs(ctx.rng, row[1], dtype)
        leaves = [ours.place(each) for each in inputs]

        def result(layer: Any) -> Any:
            with flambeau.no_grad():
                found = layer(*(each.clone() for each in leaves))
            return host(found[0] if isinstance(found, tuple) else found)
        expected = result(ours.layer)
        if ctx.torch is not None:
            theirs = row[0](_Renamed(ctx.torch.nn, STANDS_FOR), ctx.torch.tensor)
            assert list(ours.layer.state_dict()) == list(theirs.state_dict()), f"{name}: other names in state_dict"
        state = ours.layer.state_dict()
        assert all(each.device == ctx.device for each in state.values()), f"{name}: a state elsewhere"
        fresh = row[0](nn, flambeau.tensor).to(device=ctx.device, dtype=dtype).eval()
        assert str(fresh.load_state_dict(state)) == "<All keys matched successfully>"
        same(result(fresh), expected, f"{name} after load_state_dict")
        same(result(copy.deepcopy(ours.layer)), expected, f"{name}, copied")
        buffer = io.BytesIO()
        flambeau.save(state, buffer)
        buffer.seek(0)
        loaded = flambeau.load(buffer, map_location="cpu")
        assert all(each.device.type == "cpu" for each in loaded.values()), "map_location is ignored"
        for key, value in loaded.items():
            same(value, host(state[key]), f"{name}: {key} in a file")
        fresh.load_state_dict(loaded)
        same(result(fresh), expected, f"{name} after a file")
        away = ours.layer.cpu()
        assert all(each.device.type == "cpu" for each in away.state_dict().values()), f"{name}.cpu() left some behind"
        same(result(away.to(ctx.device)), expected, f"{name} after a trip to the host")
    return run


def _init(name: str, number: int, dtype: Any) -> Callable[[Any], None]:
    """A layer made on the device begins with the numbers that PyTorch's begins with, or such as it could begin with."""
    row = LAYERS[name][number]

    def run(ctx: Any) -> None:
        flambeau.manual_seed(7)
        with ctx.device:
            layer = row[0](nn, flambeau.tensor)
        assert all(each.device == ctx.device for each in layer.parameters()), f"{name}: made elsewhere"
        if repeats_torch(ctx):
            ctx.torch.manual_seed(7)
            other = row[0](_Renamed(ctx.torch.nn, STANDS_FOR), ctx.torch.tensor)
            for (key, mine), theirs in zip(layer.state_dict().items(), other.state_dict().values(), strict=True):
                ctx.compare(mine, theirs, "composite", f"{name}: {key} at the beginning")
            return
        for key, each in layer.named_parameters():
            values = host(each)
            assert np.isfinite(values).all() and np.abs(values).max() <= 5, f"{name}: {key} begins beyond all bounds"
            assert values.size < 8 or len(np.unique(values)) > 1 or set(np.unique(values)) <= {0.0, 1.0, 0.25}, \
                f"{name}: {key} begins with one number"
    return run


def cases(subject: Any) -> Iterator[Case]:
    """The cases for one device."""
    floats = [each for each in (flambeau.float32, flambeau.float64) if each in subject.dtypes]
    halves = [each for each in (flambeau.float16, flambeau.bfloat16) if each in subject.dtypes]
    for name in all_layers():
        if name not in LAYERS:
            yield Case(LEVEL, name, "row", tools.lacks_row(f"nn.{name}", "_layers.LAYERS"), quick=True)
            continue
        for number in range(len(LAYERS[name])):
            for dtype in floats:
                for training in (True, False):
                    yield Case(LEVEL, name, f"{dtype.name}-{number}-{'train' if training else 'eval'}",
                               _layer(name, number, dtype, training), dtype,
                               quick=number == 0 and training and dtype is flambeau.float32)
            yield Case(LEVEL, name, f"state-{number}", _state(name, number, flambeau.float32), flambeau.float32)
            yield Case(LEVEL, name, f"init-{number}", _init(name, number, flambeau.float32), flambeau.float32)
        for dtype in halves:
            yield Case(LEVEL, name, f"{dtype.name}-0-eval", _layer(name, 0, dtype, False), dtype)
    yield from tools.cases(subject)
