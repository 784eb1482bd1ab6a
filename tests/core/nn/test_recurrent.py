"""Recurrent layers and cells against PyTorch: values, gradients of both orders, states, seeds, errors, printing."""

from __future__ import annotations

import copy
import inspect
import itertools
import pickle
import re

import numpy as np
import pytest

import flambeau
from flambeau import nn

torch = pytest.importorskip("torch", reason="PyTorch is the oracle")

LAYERS = ("LSTM", "GRU", "RNN")
CELLS = ("LSTMCell", "GRUCell", "RNNCell")
SIZES = (4, 4, 2, 1)


def leaf(library, array):
    return library.tensor(np.asarray(array)).requires_grad_()


def flat(results):
    """Tensors of nested tuples, packed sequences included."""
    if isinstance(results, (flambeau.Tensor, torch.Tensor)):
        return [results]
    return [each for part in results if part is not None for each in flat(part)]


def agree(found, expected, tolerance, what):
    assert len(found) == len(expected), what
    for number, (mine, theirs) in enumerate(zip(found, expected, strict=True)):
        assert tuple(mine.shape) == tuple(theirs.shape), f"{what}: result {number}"
        assert str(mine.dtype) == str(theirs.dtype), f"{what}: result {number}"
        np.testing.assert_allclose(mine.detach().numpy(), theirs.detach().numpy(), rtol=tolerance, atol=tolerance,
                                   err_msg=f"{what}: result {number}")


def weighted(library, results):
    """A scalar that depends on every element of every result in its own way."""
    total = 0
    for each in results:
        if each.requires_grad:
            steps = library.arange(each.numel(), dtype=each.dtype).reshape(each.shape)
            total = total + (each * library.cos(steps * 1.7 + 0.3)).sum()
    return total


def both(make, *arrays, dtype="float64"):
    """Results and gradients of a function of a library and leaves, in both libraries."""
    found = []
    for library in (flambeau, torch):
        leaves = [leaf(library, np.asarray(each, dtype)) for each in arrays]
        module, results = make(library, *leaves)
        results = flat(results)
        wanted = [*leaves, *module.parameters()]
        grads = library.autograd.grad(weighted(library, results), wanted, allow_unused=True)
        found.append((results, [each for each in grads if each is not None]))
    return found


def twins(name, *args, dtype="float64", **kwargs):
    """A function that makes one layer with the same weights in either library."""
    seeded = np.random.default_rng(7)
    values = {key: seeded.uniform(-0.6, 0.6, tuple(each.shape)).astype(dtype)
              for key, each in getattr(torch.nn, name)(*args, **kwargs).state_dict().items()}

    def make(library):
        module = getattr(library.nn, name)(*args, **kwargs).to(getattr(library, dtype))
        module.load_state_dict({key: library.tensor(each) for key, each in values.items()})
        return module
    return make


def options_of(name):
    """Every combination of the options that change the way through a layer."""
    for layers, both_ways, bias, batch_first in itertools.product((1, 2), (False, True), (True, False), (False, True)):
        kwargs = {"num_layers": layers, "bidirectional": both_ways, "bias": bias, "batch_first": batch_first}
        yield kwargs
        if name == "LSTM":
            yield {**kwargs, "proj_size": 2}
        if name == "RNN":
            yield {**kwargs, "nonlinearity": "relu"}


def states_of(name, kwargs, batch, hidden=3):
    rng = np.random.default_rng(11)
    count = kwargs["num_layers"] * (1 + kwargs["bidirectional"])
    outer = (count,) if batch is None else (count, batch)
    shown = [rng.normal(size=(*outer, kwargs.get("proj_size") or hidden))]
    return [*shown, rng.normal(size=(*outer, hidden))] if name == "LSTM" else shown


@pytest.mark.parametrize("name", LAYERS)
def test_layers_agree_with_pytorch_whatever_the_options(name):
    rng = np.random.default_rng(5)
    for kwargs in options_of(name):
        make = twins(name, 2, 3, **kwargs)
        padded = rng.normal(size=(4, 5, 2))
        batch = 4 if kwargs["batch_first"] else 5

        def run(library, input, *states, make=make, name=name):
            module = make(library)
            return module, module(input, states if name == "LSTM" else states[0]) if states else module(input)

        def packed(library, data, *states, make=make, name=name):
            module = make(library)
            order = library.tensor([2, 0, 3, 1])
            sequence = library.nn.utils.rnn.PackedSequence(data, library.tensor(SIZES), order)
            results = module(sequence, states if name == "LSTM" else states[0]) if states else module(sequence)
            return module, (results[0].data, results[1])

        for way, arrays in ((run, [padded, *states_of(name, kwargs, batch)]), (run, [padded]),
                            (run, [padded[0], *states_of(name, kwargs, None)]),
                            (packed, [rng.normal(size=(sum(SIZES), 2)), *states_of(name, kwargs, 4)])):
            mine, theirs = both(way, *arrays)
            agree(mine[0], theirs[0], 1e-9, f"{name} {kwargs}")
            agree(mine[1], theirs[1], 1e-9, f"gradients of {name} {kwargs}")


@pytest.mark.parametrize("name", LAYERS)
def test_single_precision_many_steps(name):
    make = twins(name, 6, 9, num_layers=2, bidirectional=True, dtype="float32")
    array = np.random.default_rng(0).normal(size=(60, 3, 6))
    mine, theirs = both(lambda library, input: (module := make(library), module(input)), array, dtype="float32")
    agree(mine[0], theirs[0], 2e-6, name)
    agree(mine[1], theirs[1], 3e-4, name)


@pytest.mark.parametrize("name", LAYERS)
def test_sizes_whose_products_are_done_in_blocks(name):
    make = twins(name, 3, 128, bidirectional=True)
    rng = np.random.default_rng(6)
    sizes = (24, 20, 20, 3)

    def packed(library, data):
        module = make(library)
        return module, module(library.nn.utils.rnn.PackedSequence(data, library.tensor(sizes)))

    for way, array in ((lambda library, input: (module := make(library), module(input)), rng.normal(size=(4, 24, 3))),
                       (packed, rng.normal(size=(sum(sizes), 3)))):
        mine, theirs = both(way, array)
        agree(mine[0], theirs[0], 1e-9, name)
        agree(mine[1], theirs[1], 1e-8, name)


@pytest.mark.parametrize("name", LAYERS)
def test_gradients_of_gradients(name):
    kwargs = {"num_layers": 2, "bidirectional": True}
    make = twins(name, 2, 3, **kwargs)
    data, states = np.random.default_rng(1).normal(size=(sum(SIZES), 2)), states_of(name, kwargs, 4)
    found = []
    for library in (flambeau, torch):
        module, leaves = make(library), [leaf(library, each) for each in (data, *states)]
        hx = tuple(leaves[1:]) if name == "LSTM" else leaves[1]
        packed, last = module(library.nn.utils.rnn.PackedSequence(leaves[0], library.tensor(SIZES)), hx)
        wanted = [*leaves, *module.parameters()]
        first = library.autograd.grad(weighted(library, flat((packed.data, last))), wanted, create_graph=True)
        found.append(library.autograd.grad(weighted(library, first), wanted))
    agree(*found, 1e-9, name)


@pytest.mark.parametrize("name", CELLS)
def test_cells_agree_with_pytorch(name):
    rng = np.random.default_rng(2)
    count = 2 if name == "LSTMCell" else 1
    for bias, shape, relu in itertools.product((True, False), ((4,), ()), (False, True)):
        if relu and name != "RNNCell":
            continue
        make = twins(name, 2, 3, bias=bias, **({"nonlinearity": "relu"} if relu else {}))

        def run(library, input, *states, make=make):
            module = make(library)
            if not states:
                return module, module(input)
            first = module(input, states if count == 2 else states[0])
            return module, module(input * 2, first)

        for arrays in ([rng.normal(size=(*shape, 2)), *rng.normal(size=(count, *shape, 3))],
                       [rng.normal(size=(*shape, 2))]):
            mine, theirs = both(run, *arrays)
            agree(mine[0], theirs[0], 1e-10, name)
            agree(mine[1], theirs[1], 1e-10, name)


def test_the_same_seed_gives_the_same_weights_and_the_same_dropout():
    for name, kwargs in itertools.product(LAYERS, ({"num_layers": 2, "dropout": 0.4}, {
            "num_layers": 3, "dropout": 0.5, "bidirectional": True, "batch_first": True})):
        results = []
        for library in (flambeau, torch):
            library.manual_seed(3)
            module = getattr(library.nn, name)(5, 7, **kwargs)
            output, _ = module(library.randn(8, 9, 5))
            packed = library.nn.utils.rnn.pack_padded_sequence(library.randn(9, 4, 5), [7, 3, 9, 1],
                                                               enforce_sorted=False)
            module.batch_first = False
            results.append([*module.state_dict().values(), output, module(packed)[0].data])
            assert module.eval()(library.ones(2, 9, 5))[0].shape[2] == output.shape[2]
        agree(*results, 1e-6, f"{name} {kwargs}")
    for name in CELLS:
        flambeau.manual_seed(3)
        torch.manual_seed(3)
        agree(list(getattr(nn, name)(5, 7).parameters()), list(getattr(torch.nn, name)(5, 7).parameters()), 0, name)


def test_names_printing_and_signatures():
    for name, args, kwargs in (
        ("LSTM", (3, 4, 2), {"bias": False, "batch_first": True, "dropout": 0.5, "bidirectional": True,
                             "proj_size": 2}),
        ("LSTM", (3, 4), {}), ("RNN", (3, 4, 2, "relu"), {}), ("GRU", (3, 4), {"bidirectional": True}),
        ("RNNCell", (3, 4, False, "relu"), {}), ("LSTMCell", (3, 4), {}), ("GRUCell", (3, 4), {"bias": False}),
    ):
        mine, theirs = getattr(nn, name)(*args, **kwargs), getattr(torch.nn, name)(*args, **kwargs)
        assert repr(mine) == repr(theirs)
        assert {key: tuple(each.shape) for key, each in mine.state_dict().items()} == \
               {key: tuple(each.shape) for key, each in theirs.state_dict().items()}
        assert list(mine.state_dict()) == list(theirs.state_dict())
        if "Cell" not in name:
            assert mine._all_weights == theirs._all_weights
            assert mine._flat_weights_names == theirs._flat_weights_names
            assert [[tuple(each.shape) for each in group] for group in mine.all_weights] == \
                   [[tuple(each.shape) for each in group] for group in theirs.all_weights]
    for name in ("RNNBase", "RNNCellBase", *CELLS):
        assert list(inspect.signature(getattr(nn, name)).parameters) == \
               list(inspect.signature(getattr(torch.nn, name)).parameters)


def test_replaced_weights_are_used():
    layer, input = nn.LSTM(2, 3), flambeau.ones(4, 1, 2)
    layer.weight_hh_l0 = nn.Parameter(flambeau.zeros(12, 3))
    assert layer._flat_weights[1] is layer.weight_hh_l0
    del layer._parameters["weight_ih_l0"]   # as layers do that drop weights
    layer.weight_ih_l0 = flambeau.zeros(12, 2)
    assert layer._flat_weights[0] is layer.weight_ih_l0
    before = layer(input)[0]
    layer._parameters["bias_ih_l0"] = nn.Parameter(flambeau.full((12,), 5.0))   # as functional calls do
    assert not flambeau.equal(layer(input)[0], before)
    layer.double()
    assert all(each.dtype is flambeau.float64 for each in layer._flat_weights if isinstance(each, nn.Parameter))
    layer.flatten_parameters()


def test_copies_have_weights_of_their_own():
    layer, input = nn.GRU(2, 3, 2), flambeau.ones(4, 1, 2)
    for other in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert other._flat_weights[0] is other.weight_ih_l0
        assert other.weight_ih_l0 is not layer.weight_ih_l0
        assert flambeau.equal(other(input)[0], layer(input)[0])


def test_functions_take_flat_weights():
    rng = np.random.default_rng(4)
    for name, gates in (("lstm", 4), ("gru", 3), ("rnn_tanh", 1), ("rnn_relu", 1)):
        weights = [rng.normal(size=shape) * 0.4 for shape in ((gates * 3, 2), (gates * 3, 3), (gates * 3,),
                                                                (gates * 3,))]
        padded, state = rng.normal(size=(3, 4, 2)), rng.normal(size=(1, 4, 3))
        results = []
        for library in (flambeau, torch):
            call, made = getattr(library._VF, name), [library.tensor(each) for each in weights]
            first = library.tensor(state)
            hx = [first, first * 2] if name == "lstm" else first
            rows = library.tensor(padded.reshape(12, 2)[:9])
            results.append([
                *call(library.tensor(padded), hx, made, True, 1, 0.0, False, False, False),
                *call(rows, library.tensor([4, 3, 2]), hx, made, True, 1, 0.0, False, False),
                *flat([getattr(library, f"{name}_cell")(
                    library.tensor(padded[0]), [each[0] for each in hx] if name == "lstm" else hx[0], *made)])])
        agree(*results, 1e-10, name)


def test_complex_numbers():
    make = twins("GRU", 2, 3)
    results = []
    for library in (flambeau, torch):
        module = make(library)
        weights = [library.complex(each.detach(), each.detach() * 0.5) for each in module.parameters()]
        input = library.complex(library.ones(2, 1, 2).double(), library.ones(2, 1, 2).double()).requires_grad_()
        output = library.gru(input, library.zeros(1, 1, 3, dtype=input.dtype), weights, True, 1, 0.0, False, False,
                             False)[0]
        results.append([output, *library.autograd.grad(library.real(output).sum(), [input])])
    agree(*results, 1e-10, "complex GRU")


def test_empty_batches_and_no_gradients():
    for name in LAYERS:
        layer = getattr(nn, name)(2, 3)
        output, _ = layer(flambeau.zeros(4, 0, 2))
        assert output.shape == (4, 0, 3)
        output.sum().backward()
        with flambeau.no_grad():
            assert not layer(flambeau.ones(1, 2, 2))[0].requires_grad


REFUSED = [
    (lambda library, z: library.nn.LSTM(3, 4)(z(2, 2, 5)), "input.size(-1) must be equal to input_size"),
    (lambda library, z: library.nn.LSTM(3, 4)(z(2)), "Expected input to be 2D or 3D, got 1D"),
    (lambda library, z: library.nn.LSTM(3, 4)(z(2, 2, 3), (z(1, 3, 4), z(1, 3, 4))), "Expected hidden[0] size (1, 2,"),
    (lambda library, z: library.nn.LSTM(3, 4)(z(2, 2, 3), (z(1, 2, 4), z(1, 3, 4))), "Expected hidden[1] size (1, 2,"),
    (lambda library, z: library.nn.LSTM(3, 4)(z(2, 2, 3), (z(1, 4), z(1, 4))), "also be 3-D but got (2-D, 2-D)"),
    (lambda library, z: library.nn.LSTM(3, 4)(z(2, 3), (z(1, 2, 4), z(1, 2, 4))), "also be 2-D but got (3-D, 3-D)"),
    (lambda library, z: library.nn.GRU(3, 4)(z(2, 2, 3), z(1, 3, 4)), "Expected hidden size (1, 2, 4), got [1, 3, 4]"),
    (lambda library, z: library.nn.GRU(3, 4)(z(2, 2, 3), z(1, 4)), "For batched 3-D input, hx should also be 3-D"),
    (lambda library, z: library.nn.RNN(3, 4)(z(2, 3), z(1, 2, 4)), "For unbatched 2-D input, hx should also be 2-D"),
    (lambda library, z: library.nn.LSTM(3, 4)(z(2, 2, 3).double()), "does not match weight dtype"),
    (lambda library, z: library.nn.GRU(3, 4)(z(2, 2, 3), z(1, 2, 4).double()), "must have the same dtype"),
    (lambda library, z: library.nn.LSTM(3, 4)(z(0, 2, 3)), "Expected sequence length to be larger than 0 in RNN"),
    (lambda library, z: library.nn.LSTM(3, 4, dropout=2), "dropout should be a number in range [0, 1]"),
    (lambda library, z: library.nn.LSTM(3, 4, bias=1), "bias should be of type bool, got: int"),
    (lambda library, z: library.nn.LSTM(3.0, 4), "input_size should be of type int, got: float"),
    (lambda library, z: library.nn.LSTM(3, 0), "hidden_size must be greater than zero"),
    (lambda library, z: library.nn.LSTM(3, 4, 0), "num_layers must be greater than zero"),
    (lambda library, z: library.nn.LSTM(3, 4, proj_size=4), "proj_size has to be smaller than hidden_size"),
    (lambda library, z: library.nn.LSTM(3, 4, proj_size=-1), "proj_size should be a positive integer or zero"),
    (lambda library, z: library.nn.GRU(3, 4, proj_size=2), "proj_size argument is only supported for LSTM"),
    (lambda library, z: library.nn.RNN(3, 4, nonlinearity="x"), "Unknown nonlinearity 'x'"),
    (lambda library, z: library.nn.RNNBase("x", 3, 4), "Unrecognized RNN mode"),
    (lambda library, z: library.nn.GRUCell(3, 4)(z(2, 5)), "input has inconsistent input_size: got 5 expected 3"),
    (lambda library, z: library.nn.GRUCell(3, 4)(z(2, 3), z(2, 5)), "hidden0 has inconsistent hidden_size: got 5,"),
    (lambda library, z: library.nn.LSTMCell(3, 4)(z(2, 3), (z(3, 4), z(3, 4))),
     "Input batch size 2 doesn't match hidden0 batch size 3"),
    (lambda library, z: library.nn.LSTMCell(3, 4)(z(2, 3), (z(2, 4), z(2, 5))), "hidden1 has inconsistent hidden_size"),
    (lambda library, z: library.nn.RNNCell(3, 4)(z(2, 2, 3)), "Expected input to be 1D or 2D, got 3D"),
    (lambda library, z: library.nn.LSTMCell(3, 4)(z(3), (z(1, 1, 4), z(4))), "Expected hx[0] to be 1D or 2D, got 3D"),
    (lambda library, z: library.nn.RNNCell(3, 4, nonlinearity="x")(z(2, 3)), "Unknown nonlinearity: x"),
    (lambda library, z: library.gru(z(2, 2, 3), z(2, 2, 4), library.nn.GRU(3, 4)._flat_weights, True, 1, 0.0, True,
                                    False, False), "Expected more hidden states in stacked_rnn"),
    (lambda library, z: library.gru(z(2, 2, 3), z(1, 2, 4), [z(12, 3)], True, 1, 0.0, True, False, False),
     "got an incorrect number of RNN parameters"),
]


@pytest.mark.parametrize("number", range(len(REFUSED)))
def test_errors_are_those_of_pytorch(number):
    call, phrase = REFUSED[number]
    with pytest.raises(Exception, match=re.escape(phrase)) as theirs:
        call(torch, torch.zeros)
    with pytest.raises(type(theirs.value), match=re.escape(phrase)):
        call(flambeau, flambeau.zeros)


def test_dropout_in_one_layer_is_warned_of():
    for library in (flambeau, torch):
        with pytest.warns(UserWarning, match="dropout option adds dropout after all but last recurrent layer"):
            library.nn.LSTM(3, 4, dropout=0.5)
