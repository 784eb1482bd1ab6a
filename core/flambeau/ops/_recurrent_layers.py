"""Recurrent layers over whole sequences: Elman's, LSTM and GRU, each step depending on the one before.

One internal operator runs one layer in one direction through a whole sequence, and another walks back through it; a
device with kernels for them pays the price of a call once per layer and not a dozen times per step. What a step needs
of the input is one large product outside of them, as are the gradients of the weights.

Sequences are always packed here: the rows of all steps below each other, `sizes` telling how many each step has,
never more than the step before. So a padded batch is the case in which all sizes are equal. A sequence that has ended
keeps its state; read in reverse, it joins when its last step comes. Both mean the same for the code: of the state,
the first `size` rows change.

Gates are computed in PyTorch's order (LSTM: input, forget, cell, output; GRU: reset, update, new), so that its
weights fit.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from flambeau.dispatch import operator
from flambeau.ops._samples import Calls
from flambeau.ops.joining import cat
from flambeau.tensor import Tensor

Sizes = tuple[int, ...]

_EQUAL, _FALLING = (2, 2), (3, 2, 2, 1)


# ---------------------------------------------------------------------------------------------- samples
def _shapes(make: Any) -> Iterator[tuple[Sizes, bool]]:
    if make.dtype.is_floating_point:
        yield _EQUAL, True
        yield _FALLING, False
        yield _FALLING, True


def _samples_lstm(make: Any) -> Calls:
    for sizes, reverse in _shapes(make):
        rows, batch = sum(sizes), sizes[0]
        yield (make(rows, 12), make(batch, 3), make(batch, 3), make(12, 3, low=-1, high=1), sizes, reverse), {}


def _samples_lstm_backward(make: Any) -> Calls:
    for sizes, reverse in _shapes(make):
        rows, batch = sum(sizes), sizes[0]
        found = (make(batch, 3), make(12, 3, low=-1, high=1), make(rows, 12, low=0, high=1), make(rows, 3))
        if reverse:
            yield (make(rows, 3), None, make(batch, 3), None, None, *found, sizes, reverse), {}
        else:
            yield (make(rows, 3), make(batch, 3), None, make(rows, 12), make(rows, 3), *found, sizes, reverse), {}


def _samples_gru(make: Any) -> Calls:
    for sizes, reverse in _shapes(make):
        rows, batch = sum(sizes), sizes[0]
        bias = make(9) if reverse else None
        yield (make(rows, 9), make(batch, 3), make(9, 3, low=-1, high=1), bias, sizes, reverse), {}


def _samples_gru_backward(make: Any) -> Calls:
    for sizes, reverse in _shapes(make):
        rows, batch = sum(sizes), sizes[0]
        found = (make(batch, 3), make(9, 3, low=-1, high=1), make(rows, 3), make(rows, 9, low=0, high=1),
                 make(rows, 3))
        if reverse:
            yield (make(rows, 3), None, None, None, *found, sizes, reverse), {}
        else:
            yield (make(rows, 3), make(batch, 3), make(rows, 9), make(rows, 3), *found, sizes, reverse), {}


def _samples_rnn(make: Any) -> Calls:
    for sizes, reverse in _shapes(make):
        values = make(sum(sizes), 3), make(sizes[0], 3), make(3, 3, low=-1, high=1)
        yield (*values, not reverse, sizes, reverse), {}


def _samples_rnn_backward(make: Any) -> Calls:
    for sizes, reverse in _shapes(make):
        rows = sum(sizes)
        last = make(sizes[0], 3) if reverse else None
        yield (make(rows, 3), last, make(3, 3, low=-1, high=1), make(rows, 3, low=-1, high=1), not reverse, sizes,
               reverse), {}


# ---------------------------------------------------------------------------------------------- rows of steps
def _steps(sizes: Sizes, reverse: bool) -> list[tuple[slice, int]]:
    """(the rows of a step, how many these are), in the order in which the steps are taken."""
    found, start = [], 0
    for size in sizes:
        found.append((slice(start, start + size), size))
        start += size
    return found[::-1] if reverse else found


def before(values: Tensor, first: Tensor, sizes: Sizes, reverse: bool) -> Tensor:
    """For each row of a packed sequence of states, the state before: the row of the step before, or of `first`."""
    if len(sizes) == 1:
        return first
    if sizes[0] == sizes[-1]:
        size = sizes[0]
        return cat([values[size:], first]) if reverse else cat([first, values[:-size]])
    steps = _steps(sizes, False)
    if not reverse:
        return cat([first] + [values[rows.start:rows.start + size] for (rows, _), size in
                              zip(steps, sizes[1:], strict=False)])
    pieces = []
    for (_, size), (rows, following) in zip(steps, [*steps[1:], (slice(0, 0), 0)], strict=True):
        pieces.append(values[rows])
        pieces.append(first[following:size])
    return cat(pieces)


def _joined(active: Tensor, whole: Tensor, size: int) -> Tensor:
    """A state of which the first `size` rows have changed."""
    return active if size == whole._array.shape[0] else cat([active, whole[size:]])


def _first(state: Tensor, size: int) -> Any:
    return state if size == state._array.shape[0] else state[:size]


def _stacked(pieces: list[Tensor], reverse: bool) -> Tensor:
    return cat(pieces[::-1] if reverse else pieces)


def _or_zeros(grad: Tensor | None, like: Tensor) -> Tensor:
    return like.new_zeros(like._array.shape) if grad is None else grad


def _masked(gradients: Sequence[Any], needs: tuple[bool, ...]) -> list[Any]:
    return [each if needed else None for each, needed in zip(gradients, needs, strict=True)]


# ---------------------------------------------------------------------------------------------- LSTM
@operator(outputs=("grad_input", "grad_h", "grad_c"), method=False, namespace="internal",
          samples=_samples_lstm_backward)
def lstm_layer_backward(grad_output: Tensor | None, grad_h: Tensor | None, grad_c: Tensor | None,
                        grad_gates: Tensor | None, grad_cells: Tensor | None, c: Tensor, weight: Tensor, gates: Tensor,
                        cells: Tensor, sizes: Sizes, reverse: bool) -> tuple[Tensor, Tensor, Tensor]:
    """The gradients of `lstm_layer` from those of its results, any of which may be missing.

    What leads from a step's cells and output to its gates is computed for all steps at once.
    """
    i, f, g, o = gates.chunk(4, 1)
    bent = cells.tanh()
    by_cell = cat([g * i * (1 - i), before(cells, c, sizes, reverse) * f * (1 - f), i * (1 - g * g)], 1)
    by_output, to_cell = bent * o * (1 - o), o * (1 - bent * bent)
    more = None if grad_gates is None else grad_gates * cat([i * (1 - i), f * (1 - f), 1 - g * g, o * (1 - o)], 1)
    through_h, through_c = _or_zeros(grad_h, c), _or_zeros(grad_c, c)
    found = []
    for rows, size in _steps(sizes, not reverse):
        at_h, at_c = _first(through_h, size), _first(through_c, size)
        if grad_output is not None:
            at_h = at_h + grad_output[rows]
        at_c = at_c + at_h * to_cell[rows]
        if grad_cells is not None:
            at_c = at_c + grad_cells[rows]
        step: Any = cat([at_c.repeat(1, 3) * by_cell[rows], at_h * by_output[rows]], 1)
        if more is not None:
            step = step + more[rows]
        found.append(step)
        through_h = _joined(step @ weight, through_h, size)
        through_c = _joined(at_c * f[rows], through_c, size)
    return _stacked(found, not reverse), through_h, through_c


def _lstm_gradients(g: Any, h: Tensor, c: Tensor, weight: Tensor, output: Tensor, gates: Tensor, cells: Tensor,
                    sizes: Sizes, reverse: bool, needs: tuple[bool, ...]) -> Any:
    through, grad_h, grad_c = lstm_layer_backward(*g, c, weight, gates, cells, sizes, reverse)
    grad_weight = through.t() @ before(output, h, sizes, reverse) if needs[3] else None
    return _masked((through, grad_h, grad_c, grad_weight), needs)


def lstm_steps(input: Tensor, h: Tensor, c: Tensor, weight: Tensor, projection: Tensor | None, sizes: Sizes,
               reverse: bool) -> tuple[Tensor, ...]:
    """`lstm_layer` in other operators; with a projection, of what is shown and fed back."""
    turned = weight.t()
    outputs, found, cells = [], [], []
    for rows, size in _steps(sizes, reverse):
        i, f, g, o = (input[rows] + _first(h, size) @ turned).chunk(4, 1)
        i, f, g, o = i.sigmoid(), f.sigmoid(), g.tanh(), o.sigmoid()
        cell = f * _first(c, size) + i * g
        output = o * cell.tanh()
        if projection is not None:
            output = output @ projection.t()
        outputs.append(output)
        cells.append(cell)
        found.append(cat([i, f, g, o], 1))
        h, c = _joined(output, h, size), _joined(cell, c, size)
    return _stacked(outputs, reverse), h, c, _stacked(found, reverse), _stacked(cells, reverse)


@operator(outputs=("output", "h_n", "c_n", "gates", "cells"), method=False, namespace="internal",
          samples=_samples_lstm, vjp={
    ("input", "h", "c", "weight"): lambda g, h, c, weight, output, gates, cells, sizes, reverse, needs:
        _lstm_gradients(g, h, c, weight, output, gates, cells, sizes, reverse, needs)})
def lstm_layer(input: Tensor, h: Tensor, c: Tensor, weight: Tensor, sizes: Sizes,
               reverse: bool) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """One LSTM layer in one direction.

    `input` (rows, 4 * hidden) is what the sequence and the biases contribute to the gates, `h` and `c`
    (batch, hidden) are the states, `weight` is (4 * hidden, hidden). Gives the outputs (rows, hidden), the last
    states, and what the gradient needs: gates and cells of all steps.
    """
    return lstm_steps(input, h, c, weight, None, sizes, reverse)  # type: ignore[return-value]


# ---------------------------------------------------------------------------------------------- GRU
@operator(outputs=("grad_input", "grad_product", "grad_h"), method=False, namespace="internal",
          samples=_samples_gru_backward)
def gru_layer_backward(grad_output: Tensor | None, grad_h: Tensor | None, grad_gates: Tensor | None,
                       grad_hidden: Tensor | None, h: Tensor, weight: Tensor, output: Tensor, gates: Tensor,
                       hidden: Tensor, sizes: Sizes, reverse: bool) -> tuple[Tensor, Tensor, Tensor]:
    """The gradients of `gru_layer`: with respect to input, to the product of weight and state, and to the state."""
    r, z, n = gates.chunk(3, 1)
    by_z, by_n = (before(output, h, sizes, reverse) - n) * z * (1 - z), (1 - z) * (1 - n * n)
    by_r = hidden * r * (1 - r)
    more: Any = (None, None, None)
    if grad_gates is not None:
        more = (grad_gates * cat([r * (1 - r), z * (1 - z), 1 - n * n], 1)).chunk(3, 1)
    through = _or_zeros(grad_h, h)
    found, products = [], []
    for rows, size in _steps(sizes, not reverse):
        at_h = _first(through, size)
        if grad_output is not None:
            at_h = at_h + grad_output[rows]
        at_z, at_n = at_h * by_z[rows], at_h * by_n[rows]
        if grad_gates is not None:
            at_z, at_n = at_z + more[1][rows], at_n + more[2][rows]
        at_hidden, at_r = at_n * r[rows], at_n * by_r[rows]
        if grad_hidden is not None:
            extra = grad_hidden[rows]
            at_hidden = at_hidden + extra
        if grad_gates is not None:
            at_r = at_r + more[0][rows]
        product: Any = cat([at_r, at_z, at_hidden], 1)
        products.append(product)
        found.append(cat([at_r, at_z, at_n], 1))
        through = _joined(at_h * z[rows] + product @ weight, through, size)
    return _stacked(found, not reverse), _stacked(products, not reverse), through


def _gru_gradients(g: Any, h: Tensor, weight: Tensor, output: Tensor, gates: Tensor, hidden: Tensor, sizes: Sizes,
                   reverse: bool, needs: tuple[bool, ...]) -> Any:
    at_input, product, grad_h = gru_layer_backward(*g, h, weight, output, gates, hidden, sizes, reverse)
    grad_weight = product.t() @ before(output, h, sizes, reverse) if needs[2] else None
    return _masked((at_input, grad_h, grad_weight, product.sum(0) if needs[3] else None), needs)


@operator(outputs=("output", "h_n", "gates", "hidden"), method=False, namespace="internal", samples=_samples_gru, vjp={
    ("input", "h", "weight", "bias"): lambda g, h, weight, output, gates, hidden, sizes, reverse, needs:
        _gru_gradients(g, h, weight, output, gates, hidden, sizes, reverse, needs)})
def gru_layer(input: Tensor, h: Tensor, weight: Tensor, bias: Tensor | None, sizes: Sizes,
              reverse: bool) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """One GRU layer in one direction.

    `input` (rows, 3 * hidden) is what the sequence contributes to the gates, `h` (batch, hidden) the state,
    `weight` (3 * hidden, hidden) and `bias` what the state is multiplied with and what is added to that: the reset
    gate scales both. Gives the outputs (rows, hidden), the last state, and what the gradient needs: the gates of all
    steps, and the last third of the products.
    """
    turned = weight.t()
    width = h._array.shape[1]
    outputs, found, hiddens = [], [], []
    for rows, size in _steps(sizes, reverse):
        state = _first(h, size)
        product = state @ turned
        if bias is not None:
            product = product + bias
        given, hidden = input[rows], product[:, 2 * width:]
        opened: Any = (given[:, :2 * width] + product[:, :2 * width]).sigmoid()
        r, z = opened.chunk(2, 1)
        n = (given[:, 2 * width:] + r * hidden).tanh()
        output = n + z * (state - n)
        outputs.append(output)
        hiddens.append(hidden)
        found.append(cat([opened, n], 1))
        h = _joined(output, h, size)
    return _stacked(outputs, reverse), h, _stacked(found, reverse), _stacked(hiddens, reverse)


# ---------------------------------------------------------------------------------------------- Elman's
@operator(outputs=("grad_input", "grad_h"), method=False, namespace="internal", samples=_samples_rnn_backward)
def rnn_layer_backward(grad_output: Tensor | None, grad_h: Tensor | None, weight: Tensor, output: Tensor, relu: bool,
                       sizes: Sizes, reverse: bool) -> tuple[Tensor, Tensor]:
    """The gradients of `rnn_layer` with respect to input and state."""
    slope: Any = (output > 0).to(output._kind.dtype) if relu else 1 - output * output
    state = _first(output, sizes[0])
    through = _or_zeros(grad_h, state)
    found = []
    for rows, size in _steps(sizes, not reverse):
        at_h = _first(through, size)
        if grad_output is not None:
            at_h = at_h + grad_output[rows]
        step = at_h * slope[rows]
        found.append(step)
        through = _joined(step @ weight, through, size)
    return _stacked(found, not reverse), through


def _rnn_gradients(g: Any, h: Tensor, weight: Tensor, output: Tensor, relu: bool, sizes: Sizes, reverse: bool,
                   needs: tuple[bool, ...]) -> Any:
    through, grad_h = rnn_layer_backward(*g, weight, output, relu, sizes, reverse)
    grad_weight = through.t() @ before(output, h, sizes, reverse) if needs[2] else None
    return _masked((through, grad_h, grad_weight), needs)


@operator(outputs=("output", "h_n"), method=False, namespace="internal", samples=_samples_rnn, vjp={
    ("input", "h", "weight"): lambda g, h, weight, output, relu, sizes, reverse, needs:
        _rnn_gradients(g, h, weight, output, relu, sizes, reverse, needs)})
def rnn_layer(input: Tensor, h: Tensor, weight: Tensor, relu: bool, sizes: Sizes,
              reverse: bool) -> tuple[Tensor, Tensor]:
    """One of Elman's layers in one direction, with relu or tanh.

    `input` (rows, hidden) is what the sequence and the biases contribute, `h` (batch, hidden) the state, `weight`
    (hidden, hidden). Gives the outputs (rows, hidden) and the last state.
    """
    turned = weight.t()
    outputs = []
    for rows, size in _steps(sizes, reverse):
        total: Any = input[rows] + _first(h, size) @ turned
        output = total.relu() if relu else total.tanh()
        outputs.append(output)
        h = _joined(output, h, size)
    return _stacked(outputs, reverse), h
