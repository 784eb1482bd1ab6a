"""Recurrent networks as functions: stacks of layers over sequences, and single cells.

These are what the layers of `nn` call, with PyTorch's arguments: flat lists of weights. A cell is a layer over a
sequence of one step, so both have the same kernels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from flambeau import dtypes
from flambeau.dispatch import composite
from flambeau.dtypes import scalar_name
from flambeau.errors import ArgumentError, ArgumentTypeError, DtypeError, ShapeError, UnsupportedDtypeError
from flambeau.ops import _recurrent_layers as layers
from flambeau.ops._recurrent_layers import Sizes
from flambeau.ops._samples import Calls
from flambeau.ops.dropout import dropout as drop
from flambeau.ops.joining import cat, stack
from flambeau.ops.linalg import linear
from flambeau.tensor import Tensor

Weights = Sequence[Any]   # of one layer in one direction: w_ih, w_hh, b_ih or None, b_hh or None, w_hr or None
States = tuple[Tensor, ...]
Layer = Callable[[Tensor, States, Weights, Sizes, bool], tuple[Tensor, States]]


# ---------------------------------------------------------------------------------------------- samples
def _weights(make: Any, gates: int, hidden: int = 3, bias: bool = True, given: int = 2) -> list[Any]:
    shapes = [(gates * hidden, given), (gates * hidden, hidden), *([(gates * hidden,)] * 2 if bias else [])]
    return [make(*shape, low=-1, high=1) for shape in shapes]


def _samples_stack(gates: int) -> Callable[[Any], Calls]:
    def samples(make: Any) -> Calls:
        if not make.dtype.is_floating_point:
            return

        def state(*shape: int) -> Any:
            return [make(*shape), make(*shape)] if gates == 4 else make(*shape)
        both = [*_weights(make, gates), *_weights(make, gates)]
        yield (make(3, 2, 2), state(2, 2, 3), both, True, 1, 0.0, False, True, False), {}
        steps = make.fixed([2, 1, 1], dtype=dtypes.int64)
        yield (make(4, 2), steps, state(1, 2, 3), _weights(make, gates, bias=False), False, 1, 0.0, False, False), {}
    return samples


def _samples_cell(gates: int) -> Callable[[Any], Calls]:
    def samples(make: Any) -> Calls:
        if make.dtype.is_floating_point:
            state = [make(4, 3), make(4, 3)] if gates == 4 else make(4, 3)
            yield (make(4, 2), state, *_weights(make, gates)), {}
            yield (make(4, 2), state, *_weights(make, gates, bias=False)), {}
    return samples


# ---------------------------------------------------------------------------------------------- one layer
def _run(layer: Callable[..., Any], first: Tensor, *others: Any) -> Any:
    """A layer's operator. In complex numbers its steps one by one, whose gradients know about conjugates."""
    if first._kind.dtype.is_complex:
        return layer.op.decomposition(first, *others)  # type: ignore[attr-defined]
    return layer(first, *others)


def _both(first: Tensor | None, second: Tensor | None) -> Tensor | None:
    """The sum of two biases, either of which may be missing."""
    if first is None or second is None:
        return second if first is None else first
    total: Tensor = first + second
    return total


def _cast(input: Tensor, *values: Any) -> Any:
    """States and weights in the dtype of what the input's product gave, which autocasting may have lowered."""
    kind = input._kind
    return [each if each is None or each._kind is kind else each.to(kind.dtype) for each in values]


def _lstm(input: Tensor, states: States, weights: Weights, sizes: Sizes, reverse: bool) -> tuple[Tensor, States]:
    w_ih, w_hh, b_ih, b_hh, projection = weights
    given = linear(input, w_ih, _both(b_ih, b_hh))
    h, c, w_hh, projection = _cast(given, *states, w_hh, projection)
    if projection is None:
        output, h, c, _, _ = _run(layers.lstm_layer, given, h, c, w_hh, sizes, reverse)
    else:
        output, h, c, _, _ = layers.lstm_steps(given, h, c, w_hh, projection, sizes, reverse)
    return output, (h, c)


def _gru(input: Tensor, states: States, weights: Weights, sizes: Sizes, reverse: bool) -> tuple[Tensor, States]:
    w_ih, w_hh, b_ih, b_hh, _ = weights
    given = linear(input, w_ih, b_ih)
    h, w_hh, b_hh = _cast(given, *states, w_hh, b_hh)
    output, h, _, _ = _run(layers.gru_layer, given, h, w_hh, b_hh, sizes, reverse)
    return output, (h,)


def _elman(relu: bool) -> Layer:
    def run(input: Tensor, states: States, weights: Weights, sizes: Sizes, reverse: bool) -> tuple[Tensor, States]:
        w_ih, w_hh, b_ih, b_hh, _ = weights
        given = linear(input, w_ih, _both(b_ih, b_hh))
        h, w_hh = _cast(given, *states, w_hh)
        output, h = _run(layers.rnn_layer, given, h, w_hh, relu, sizes, reverse)
        return output, (h,)
    return run


_tanh, _relu = _elman(False), _elman(True)


# ---------------------------------------------------------------------------------------------- stacks of layers
def _grouped(op: str, params: Sequence[Tensor], has_biases: bool, projected: bool, count: int) -> list[Weights]:
    """Flat weights as one group per layer and direction, with None for what they lack."""
    width = 2 + 2 * has_biases + projected
    if len(params) % width or len(params) // width < count:
        raise ArgumentError(f"{op}: got an incorrect number of RNN parameters; given: {len(params)}, allowed: {width} "
                            f"for each of {count} layers and directions")
    found: list[Weights] = []
    for start in range(0, count * width, width):
        group = list(params[start:start + width])
        biases = group[2:4] if has_biases else [None, None]
        found.append([*group[:2], *biases, group[-1] if projected else None])
    return found


def _check(op: str, data: Tensor, states: Sequence[Tensor], params: Sequence[Tensor], count: int) -> None:
    for each in (data, *states):
        if not (each._kind.dtype.is_floating_point or each._kind.dtype.is_complex):
            raise UnsupportedDtypeError(f"{op}: \"{op}\" not implemented for '{scalar_name(each._kind.dtype)}'; "
                                        "convert the input, for example to torch.float32")
    for each in states:
        if each._kind.dtype is not params[0]._kind.dtype:
            raise DtypeError(f"{op}: mat1 and mat2 must have the same dtype, but got {scalar_name(each._kind.dtype)} "
                             f"and {scalar_name(params[0]._kind.dtype)}; convert the state, for example with hx.to()")
        if each.dim() != 3 or each._array.shape[0] < count or (len(states) == 1 and each._array.shape[0] > count):
            raise ShapeError(f"{op}: Expected more hidden states in stacked_rnn; given: "
                             f"{list(each._array.shape)}, allowed: ({count}, batch, hidden)")


def _stack(op: str, layer: Layer, data: Tensor, sizes: Sizes, states: Sequence[Tensor], params: Sequence[Tensor],
           has_biases: bool, num_layers: int, dropout: float, train: bool, bidirectional: bool) -> Any:
    """Layers above each other over packed rows: (rows of the last one's outputs, last states of all)."""
    directions = 2 if bidirectional else 1
    count = num_layers * directions
    _check(op, data, states, params, count)
    projected = len(states) == 2 and states[0]._array.shape[2] != states[1]._array.shape[2]
    groups = _grouped(op, params, has_biases, projected, count)
    last: list[States] = []
    for number in range(num_layers):
        outputs = []
        for direction in range(directions):
            place = number * directions + direction
            output, found = layer(data, tuple([each[place] for each in states]), groups[place], sizes, direction == 1)
            outputs.append(output)
            last.append(found)
        data = outputs[0] if directions == 1 else cat(outputs, 1)
        if dropout and train and number < num_layers - 1:
            data = drop(data, dropout, True)
    return data, *(stack(each) if count > 1 else each[0].unsqueeze(0) for each in zip(*last, strict=True))


def _padded(op: str, layer: Layer, input: Tensor, states: Sequence[Tensor], params: Sequence[Tensor],
            options: tuple[Any, ...], batch_first: bool) -> Any:
    """A batch of sequences of one length: as packed rows, and back."""
    if input.dim() != 3:
        raise ShapeError(f"{op}: input must have 3 dimensions, got {input.dim()}")
    if batch_first:
        input = input.transpose(0, 1)
    length, batch, width = input._array.shape
    if length == 0:
        raise ArgumentError(f"{op}: Expected sequence length to be larger than 0 in RNN")
    output, *last = _stack(op, layer, input.reshape(length * batch, width), (batch,) * length, states, params, *options)
    output = output.reshape(length, batch, output._array.shape[1])
    return (output.transpose(0, 1) if batch_first else output, *last)


def _packed(op: str, layer: Layer, data: Tensor, batch_sizes: Tensor, states: Sequence[Tensor],
            params: Sequence[Tensor], options: tuple[Any, ...]) -> Any:
    """Packed rows as they are; the states of the sequences come in the order of the rows."""
    found = batch_sizes.tolist()
    sizes: Sizes = tuple([found] if isinstance(found, int) else found)
    if not sizes or sum(sizes) != data._array.shape[0]:
        raise ArgumentError(f"{op}: batch_sizes must sum up to the rows of data; given: {list(sizes)} and "
                            f"{data._array.shape[0]} rows")
    return _stack(op, layer, data, sizes, states, params, *options)


def _pair(op: str, hx: Any) -> Sequence[Tensor]:
    if len(hx) != 2:
        raise ArgumentError(f"{op} expects two hidden states; given: {len(hx)}, allowed: (h, c)")
    return list(hx)


@composite(method=False, samples=_samples_stack(4))
def lstm(input: Tensor, hx: Any, params: Any, has_biases: Any, num_layers: Any, dropout: Any, train: Any,
         bidirectional: Any, batch_first: Any) -> tuple[Tensor, Tensor, Tensor]:
    """LSTM layers above each other: (outputs, last hidden states, last cell states).

    `input` (length, batch, features), or (batch, length, features) with `batch_first`; `hx` is the pair of first
    states, each (layers * directions, batch, size); `params` lists w_ih, w_hh, b_ih, b_hh of each layer and direction.
    A packed sequence is passed as two arguments, data and batch sizes, and then there is no `batch_first`. Where the
    two states differ in size, each group of weights ends with that of the projection.
    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.LSTM.html

    >>> import flambeau as torch
    >>> layer = torch.nn.LSTM(2, 3)
    >>> first = torch.zeros(1, 4, 3), torch.zeros(1, 4, 3)
    >>> torch.lstm(torch.ones(5, 4, 2), first, layer._flat_weights, True, 1, 0.0, False, False, False)[0].shape
    torch.Size([5, 4, 3])
    """
    if isinstance(hx, Tensor):
        options = num_layers, dropout, train, bidirectional, batch_first
        found = _packed("lstm", _lstm, input, hx, _pair("lstm", params), has_biases, options)
    else:
        options = has_biases, num_layers, dropout, train, bidirectional
        found = _padded("lstm", _lstm, input, _pair("lstm", hx), params, options, batch_first)
    return found


def _one_state(op: str, layer: Layer, input: Tensor, hx: Tensor, params: Any, has_biases: Any, num_layers: Any,
               dropout: Any, train: Any, bidirectional: Any, batch_first: Any) -> Any:
    if isinstance(params, Tensor):
        options = num_layers, dropout, train, bidirectional, batch_first
        return _packed(op, layer, input, hx, [params], has_biases, options)
    return _padded(op, layer, input, [hx], params, (has_biases, num_layers, dropout, train, bidirectional), batch_first)


@composite(method=False, samples=_samples_stack(3))
def gru(input: Tensor, hx: Tensor, params: Any, has_biases: Any, num_layers: Any, dropout: Any, train: Any,
        bidirectional: Any, batch_first: Any) -> tuple[Tensor, Tensor]:
    """GRU layers above each other: (outputs, last states). The arguments are those of `lstm`, with one state.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.GRU.html

    >>> import flambeau as torch
    >>> layer = torch.nn.GRU(2, 3)
    >>> first = torch.zeros(1, 4, 3)
    >>> torch.gru(torch.ones(5, 4, 2), first, layer._flat_weights, True, 1, 0.0, False, False, False)[1].shape
    torch.Size([1, 4, 3])
    """
    found: tuple[Tensor, Tensor] = _one_state("gru", _gru, input, hx, params, has_biases, num_layers, dropout, train,
                                              bidirectional, batch_first)
    return found


@composite(method=False, samples=_samples_stack(1))
def rnn_tanh(input: Tensor, hx: Tensor, params: Any, has_biases: Any, num_layers: Any, dropout: Any, train: Any,
             bidirectional: Any, batch_first: Any) -> tuple[Tensor, Tensor]:
    """Elman's layers with tanh above each other: (outputs, last states). The arguments are those of `gru`.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.RNN.html

    >>> import flambeau as torch
    >>> layer = torch.nn.RNN(2, 3)
    >>> first = torch.zeros(1, 4, 3)
    >>> torch.rnn_tanh(torch.ones(5, 4, 2), first, layer._flat_weights, True, 1, 0.0, False, False, False)[1].shape
    torch.Size([1, 4, 3])
    """
    found: tuple[Tensor, Tensor] = _one_state("rnn_tanh", _tanh, input, hx, params, has_biases, num_layers, dropout,
                                              train, bidirectional, batch_first)
    return found


@composite(method=False, samples=_samples_stack(1))
def rnn_relu(input: Tensor, hx: Tensor, params: Any, has_biases: Any, num_layers: Any, dropout: Any, train: Any,
             bidirectional: Any, batch_first: Any) -> tuple[Tensor, Tensor]:
    """Elman's layers with relu above each other: (outputs, last states). The arguments are those of `gru`.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.RNN.html

    >>> import flambeau as torch
    >>> layer = torch.nn.RNN(2, 3, nonlinearity="relu")
    >>> first = torch.zeros(1, 4, 3)
    >>> torch.rnn_relu(torch.ones(5, 4, 2), first, layer._flat_weights, True, 1, 0.0, False, False, False)[1].shape
    torch.Size([1, 4, 3])
    """
    found: tuple[Tensor, Tensor] = _one_state("rnn_relu", _relu, input, hx, params, has_biases, num_layers, dropout,
                                              train, bidirectional, batch_first)
    return found


# ---------------------------------------------------------------------------------------------- cells
def _cell(op: str, layer: Layer, input: Tensor, states: Sequence[Tensor], weights: Weights) -> States:
    """One step of a layer."""
    w_ih, w_hh = weights[:2]
    for each in (input, *states):
        if not isinstance(each, Tensor):
            raise ArgumentTypeError(f"{op}(): inputs and states must be Tensor, not {type(each).__name__}")
        if each.dim() != 2:
            raise ShapeError(f"{op}: inputs and states are (batch, size); given: {list(each._array.shape)}")
        if not (each._kind.dtype.is_floating_point or each._kind.dtype.is_complex):
            raise UnsupportedDtypeError(f"{op}: \"{op}\" not implemented for '{scalar_name(each._kind.dtype)}'; "
                                        "convert the input, for example to torch.float32")
    batch, given = input._array.shape
    if given != w_ih._array.shape[1]:
        raise ShapeError(f"{op}: input has inconsistent input_size: got {given} expected {w_ih._array.shape[1]}")
    for number, each in enumerate(states):
        rows, size = each._array.shape
        if rows != batch:
            raise ShapeError(f"{op}: Input batch size {batch} doesn't match hidden{number} batch size {rows}")
        if size != w_hh._array.shape[1]:
            raise ShapeError(f"{op}: hidden{number} has inconsistent hidden_size: got {size}, expected "
                             f"{w_hh._array.shape[1]}")
        if each._kind.dtype is not w_hh._kind.dtype:
            raise DtypeError(f"{op}: mat1 and mat2 must have the same dtype, but got {scalar_name(each._kind.dtype)} "
                             f"and {scalar_name(w_hh._kind.dtype)}")
    return layer(input, tuple(states), weights, (batch,), False)[1]


@composite(method=False, samples=_samples_cell(4))
def lstm_cell(input: Tensor, hx: Any, w_ih: Tensor, w_hh: Tensor, b_ih: Tensor | None = None,
              b_hh: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """One step of an LSTM: (hidden state, cell state) from `input` (batch, features) and the pair `hx`.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.LSTMCell.html

    >>> import flambeau as torch
    >>> state = torch.zeros(1, 1), torch.ones(1, 1)
    >>> torch.lstm_cell(torch.ones(1, 2), state, torch.zeros(4, 2), torch.zeros(4, 1))
    (tensor([[0.2311]]), tensor([[0.5000]]))
    """
    h, c = _cell("lstm_cell", _lstm, input, _pair("lstm_cell", hx), (w_ih, w_hh, b_ih, b_hh, None))
    return h, c


@composite(method=False, samples=_samples_cell(3))
def gru_cell(input: Tensor, hx: Tensor, w_ih: Tensor, w_hh: Tensor, b_ih: Tensor | None = None,
             b_hh: Tensor | None = None) -> Tensor:
    """One step of a GRU: the next state from `input` (batch, features) and the state `hx` (batch, hidden).

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.GRUCell.html

    >>> import flambeau as torch
    >>> torch.gru_cell(torch.ones(1, 2), torch.ones(1, 1), torch.zeros(3, 2), torch.zeros(3, 1))
    tensor([[0.5000]])
    """
    return _cell("gru_cell", _gru, input, [hx], (w_ih, w_hh, b_ih, b_hh, None))[0]


@composite(method=False, samples=_samples_cell(1))
def rnn_tanh_cell(input: Tensor, hx: Tensor, w_ih: Tensor, w_hh: Tensor, b_ih: Tensor | None = None,
                  b_hh: Tensor | None = None) -> Tensor:
    """One step of Elman's network: tanh(input @ w_ih.T + b_ih + hx @ w_hh.T + b_hh).

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.RNNCell.html

    >>> import flambeau as torch
    >>> torch.rnn_tanh_cell(torch.ones(1, 2), torch.ones(1, 1), torch.zeros(1, 2), torch.ones(1, 1))
    tensor([[0.7616]])
    """
    return _cell("rnn_tanh_cell", _tanh, input, [hx], (w_ih, w_hh, b_ih, b_hh, None))[0]


@composite(method=False, samples=_samples_cell(1))
def rnn_relu_cell(input: Tensor, hx: Tensor, w_ih: Tensor, w_hh: Tensor, b_ih: Tensor | None = None,
                  b_hh: Tensor | None = None) -> Tensor:
    """One step of Elman's network with relu in the place of tanh.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.RNNCell.html

    >>> import flambeau as torch
    >>> torch.rnn_relu_cell(torch.ones(1, 2), torch.ones(1, 1), torch.zeros(1, 2), torch.ones(1, 1))
    tensor([[1.]])
    """
    return _cell("rnn_relu_cell", _relu, input, [hx], (w_ih, w_hh, b_ih, b_hh, None))[0]
