"""Recurrent layers over whole sequences: one call per layer and direction, a dozen ufuncs per step.

Small steps are bound by the number of calls, large ones by the products and by the cache; hence:

- All buffers and views exist before the first step, and every ufunc writes into one of them.
- All gates of a step are one call of tanh, since sigmoid(x) = tanh(x / 2) / 2 + 1 / 2, and NumPy's tanh is twice as
  fast as its exp. The halves are part of the weights and of the given input, where they are exact.
- The weight is laid out anew once per call, since BLAS packs a transposed operand in every product. Where a product is
  beyond the size up to which OpenBLAS packs nothing at all, it is done in blocks of columns that are not: with a batch
  of 8 to 32 and 256 features, that takes a third to two thirds of the time.
- The way back computes what leads from cells and outputs to the gates for several steps at once, as many as stay in
  the cache, and only what depends on the step after in the loop.

Only float32 and float64 come here in practice; any other dtype is declined.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from itertools import repeat
from typing import Any

import numpy as np
from numpy import add, copyto, dot, multiply, subtract, tanh

from flambeau_numpy import threads
from flambeau_numpy.quiet import quiet

BLOCK = 1 << 15        # elements of gates that are worked on at once on the way back
UNPACKED = 1_000_000   # OpenBLAS packs no operand of a product with fewer multiplications than that
WORTH = 3              # steps from which laying out the weight anew pays
FEW = 2                # threads up to which blocks, each done by one thread, are faster than a whole product

Steps = list[tuple[int, int]]
Times = Callable[[Any, Any], None]

_COMPUTED = (np.dtype(np.float32), np.dtype(np.float64))


# ---------------------------------------------------------------------------------------------- rows of steps
def _order(sizes: Sequence[int], reverse: bool) -> Steps:
    """(first row, one past the last) of each step, in the order in which the steps are taken."""
    found, start = [], 0
    for size in sizes:
        found.append((start, start + size))
        start += size
    return found[::-1] if reverse else found


def _views(array: Any, steps: Steps) -> Iterator[Any]:
    """The rows of each step, in order, of an array that holds the rows of just these steps. None gives Nones."""
    if array is None:
        return repeat(None)
    (first, past), (last, end) = steps[0], steps[-1]
    if past - first == end - last:
        found = array.reshape(len(steps), past - first, *array.shape[1:])
        return iter(found if first <= last else found[::-1])
    base = min(first, last)
    return iter([array[start - base:stop - base] for start, stop in steps])


def _before(values: Any, first: Any, sizes: Sequence[int], reverse: bool) -> Any:
    """For each row the state before: of the step before, or of `first`."""
    count, batch = len(sizes), sizes[0]
    if count == 1:
        return first
    result = np.empty_like(values)
    if sizes[-1] == batch:
        edge = (count - 1) * batch
        if reverse:
            copyto(result[:edge], values[batch:])
            copyto(result[edge:], first)
        else:
            copyto(result[batch:], values[:edge])
            copyto(result[:batch], first)
        return result
    steps = _order(sizes, False)
    for number, (start, end) in enumerate(steps):
        if not reverse:
            source = values[steps[number - 1][0]:] if number else first
            result[start:end] = source[:end - start]
            continue
        following, past = steps[number + 1] if number + 1 < count else (0, 0)
        known = past - following
        result[start:start + known] = values[following:past]
        result[start + known:end] = first[known:end - start]
    return result


def _chunks(order: Steps, width: int) -> Iterator[tuple[slice, Steps]]:
    """(their rows, steps that follow each other), as many as make up a block."""
    group: Steps = []
    rows = 0
    for number, (start, end) in enumerate(order, 1):
        group.append((start, end))
        rows += end - start
        if rows * width >= BLOCK or number == len(order):
            yield slice(min(group[0][0], start), max(group[0][1], end)), group
            group, rows = [], 0


# ---------------------------------------------------------------------------------------------- products
@lru_cache(maxsize=64)
def _halves(width: int, sigmoids: tuple[bool, ...], dtype: Any) -> tuple[Any, Any]:
    """(factor, summand) per column that make a sigmoid of a tanh for some gates and nothing for others."""
    factor = np.repeat(np.array([0.5 if each else 1.0 for each in sigmoids], dtype), width)
    summand = np.repeat(np.array([0.5 if each else 0.0 for each in sigmoids], dtype), width)
    return factor, summand


def _block(rows: int, inner: int, columns: int) -> int:
    """How many columns a product is done in at a time: all, where blocks would not help or several threads do."""
    if rows * inner * columns > UNPACKED and threads._allowed <= FEW:
        for block in (128, 64, 32, 16):
            if rows * inner * block <= UNPACKED and columns % block == 0:
                return block
    return columns


def _whole(matrix: Any) -> Times:
    def times(a: Any, out: Any) -> None:
        dot(a, matrix, out)
    return times


def _blocked(blocks: Any, rows: int) -> Times:
    """`a @ matrix` for the blocks of columns (number, inner, columns) of a matrix."""
    count, _, columns = blocks.shape
    matrices = list(blocks)
    buffer = np.empty((count, rows, columns), blocks.dtype)

    def times(a: Any, out: Any) -> None:
        size = len(a)
        for matrix, part in zip(matrices, buffer, strict=True):
            dot(a, matrix, part[:size])
        copyto(out.reshape(size, count, columns), buffer[:, :size].transpose(1, 0, 2))
    return times


def _scaled(matrix: Any, factor: Any) -> Times:
    def times(a: Any, out: Any) -> None:
        dot(a, matrix, out)
        multiply(out, factor, out)
    return times


def _turned(weight: Any, factor: Any, steps: int, rows: int) -> Times:
    """`a @ (weight.T * factor)` for up to that many rows of `a`."""
    columns, inner = weight.shape
    if steps < WORTH:
        return _scaled(weight.T, factor)
    block = _block(rows, inner, columns)
    if block == columns:
        return _whole(multiply(weight.T, factor, np.empty((inner, columns), weight.dtype)))
    count = columns // block
    turned = weight.reshape(count, block, inner).transpose(0, 2, 1)
    return _blocked(multiply(turned, factor.reshape(count, 1, block), np.empty(turned.shape, weight.dtype)), rows)


def _straight(weight: Any, steps: int, rows: int) -> Times:
    """`a @ weight`."""
    inner, columns = weight.shape
    block = columns if steps < WORTH else _block(rows, inner, columns)
    if block == columns:
        return _whole(np.ascontiguousarray(weight))
    return _blocked(np.ascontiguousarray(weight.reshape(inner, columns // block, block).transpose(1, 0, 2)), rows)


def _taken(*arrays: Any) -> bool:
    return arrays[0].dtype in _COMPUTED and all(each.dtype == arrays[0].dtype for each in arrays)


def _start(grad: Any, like: Any) -> Any:
    """A new array for the gradient of a state on its way back: what the last state's gradient is, or zeros."""
    return np.zeros(like.shape, like.dtype) if grad is None else np.array(grad, order="C")


# ---------------------------------------------------------------------------------------------- LSTM
def _lstm(input: Any, h: Any, c: Any, weight: Any, sizes: Sequence[int], reverse: bool) -> Any:
    if not _taken(input, h, c, weight):
        return NotImplemented
    (batch, width), dtype = h.shape, input.dtype
    factor, summand = _halves(width, (True, True, False, True), dtype)
    times = _turned(weight, factor, len(sizes), batch)
    gates = multiply(input, factor)
    output, cells = np.empty((len(input), width), dtype), np.empty((len(input), width), dtype)
    at_h = h = np.array(h, order="C")
    at_c = c = np.array(c, order="C")
    product = products = np.empty((batch, 4 * width), dtype)
    part = small = np.empty((batch, width), dtype)
    order, equal = _order(sizes, reverse), sizes[0] == sizes[-1]
    parts = [gates, *(gates[:, at:at + width] for at in range(0, 4 * width, width)), cells, output]
    for gate, i, f, g, o, cell, shown in zip(*(_views(each, order) for each in parts), strict=True):
        if not equal:
            size = len(gate)
            at_h, at_c, product, part = h[:size], c[:size], products[:size], small[:size]
        times(at_h, product)
        add(gate, product, gate)
        tanh(gate, gate)
        multiply(gate, factor, gate)
        add(gate, summand, gate)
        multiply(f, at_c, cell)
        multiply(i, g, part)
        add(cell, part, cell)
        tanh(cell, part)
        multiply(o, part, shown)
        if equal:
            at_h, at_c = shown, cell
        else:
            copyto(at_h, shown)
            copyto(at_c, cell)
    return (output, at_h.copy(), at_c.copy(), gates, cells) if equal else (output, h, c, gates, cells)


def _lstm_factors(gates: Any, cells: Any, previous: Any, width: int, into: Any) -> Any:
    """What leads to the gates of some rows: from the cell to the first three, from the output to the last.

    Returns what leads from the output to the cell.
    """
    i, _, g, o = (gates[:, at:at + width] for at in range(0, 4 * width, width))
    sigmoids, cell, last = into[:, :2 * width], into[:, 2 * width:3 * width], into[:, 3 * width:]
    bent = tanh(cells)
    subtract(1, gates[:, :2 * width], sigmoids)
    multiply(sigmoids, gates[:, :2 * width], sigmoids)
    multiply(into[:, :width], g, into[:, :width])
    multiply(into[:, width:2 * width], previous, into[:, width:2 * width])
    multiply(g, g, cell)
    subtract(1, cell, cell)
    multiply(cell, i, cell)
    subtract(1, o, last)
    multiply(last, o, last)
    multiply(last, bent, last)
    multiply(bent, bent, bent)
    subtract(1, bent, bent)
    return multiply(bent, o, bent)


def _lstm_backward(grad_output: Any, grad_h: Any, grad_c: Any, grad_gates: Any, grad_cells: Any, c: Any, weight: Any,
                   gates: Any, cells: Any, sizes: Sequence[int], reverse: bool) -> Any:
    if grad_gates is not None or grad_cells is not None or not _taken(c, weight, gates, cells):
        return NotImplemented
    batch, width = c.shape
    result = np.empty(gates.shape, c.dtype)
    at_h = through_h = _start(grad_h, c)
    at_c = through_c = _start(grad_c, c)
    previous = _before(cells, c, sizes, reverse)
    times = _straight(weight, len(sizes), batch)
    part = small = np.empty((batch, width), c.dtype)
    equal = sizes[0] == sizes[-1]
    for span, steps in _chunks(_order(sizes, not reverse), 4 * width):
        rows = result[span]
        to_cell = _lstm_factors(gates[span], cells[span], previous[span], width, rows)
        parts = [rows, rows[:, 3 * width:], rows.reshape(len(rows), 4, width)[:, :3], to_cell,
                 gates[span, width:2 * width], None if grad_output is None else grad_output[span]]
        for step, last, three, into, f, given in zip(*(_views(each, steps) for each in parts), strict=False):
            if not equal:
                size = len(step)
                at_h, at_c, part = through_h[:size], through_c[:size], small[:size]
            if given is not None:
                add(at_h, given, at_h)
            multiply(last, at_h, last)
            multiply(into, at_h, part)
            add(at_c, part, at_c)
            multiply(three, at_c[:, None], three)
            multiply(at_c, f, at_c)
            times(step, at_h)
    return result, through_h, through_c


# ---------------------------------------------------------------------------------------------- GRU
def _gru(input: Any, h: Any, weight: Any, bias: Any, sizes: Sequence[int], reverse: bool) -> Any:
    if not _taken(input, h, weight):
        return NotImplemented
    (batch, width), dtype = h.shape, input.dtype
    factor, _ = _halves(width, (True, True, False), dtype)
    times = _turned(weight, factor, len(sizes), batch)
    gates = multiply(input, factor)
    if bias is not None:
        gates[:, :2 * width] += bias[:2 * width] * factor[:2 * width]
    rest = np.zeros(width, dtype) if bias is None else bias[2 * width:]
    output, hidden = np.empty((len(input), width), dtype), np.empty((len(input), width), dtype)
    at_h = h = np.array(h, order="C")
    product = products = np.empty((batch, 3 * width), dtype)
    part = small = np.empty((batch, width), dtype)
    order, equal = _order(sizes, reverse), sizes[0] == sizes[-1]
    half = factor[0] if width else 0.5
    parts = [gates[:, :2 * width], *(gates[:, at:at + width] for at in range(0, 3 * width, width)), hidden, output]
    for opened, r, z, n, kept, shown in zip(*(_views(each, order) for each in parts), strict=True):
        if not equal:
            size = len(opened)
            at_h, product, part = h[:size], products[:size], small[:size]
        times(at_h, product)
        add(opened, product[:, :2 * width], opened)
        tanh(opened, opened)
        multiply(opened, half, opened)
        add(opened, half, opened)
        add(product[:, 2 * width:], rest, kept)
        multiply(r, kept, part)
        add(n, part, n)
        tanh(n, n)
        subtract(at_h, n, part)
        multiply(part, z, part)
        add(part, n, shown)
        if equal:
            at_h = shown
        else:
            copyto(at_h, shown)
    return output, at_h.copy() if equal else h, gates, hidden


def _gru_factors(gates: Any, hidden: Any, previous: Any, width: int, into: Any) -> Any:
    """What leads from the outputs of some rows to update and new gates. Returns what leads from new to reset."""
    r, z, n = (gates[:, at:at + width] for at in range(0, 3 * width, width))
    by_z, by_n = into[:, width:2 * width], into[:, 2 * width:]
    subtract(1, z, by_z)
    multiply(n, n, by_n)
    subtract(1, by_n, by_n)
    multiply(by_n, by_z, by_n)
    multiply(by_z, z, by_z)
    multiply(by_z, previous - n, by_z)
    to_r = subtract(1, r)
    multiply(to_r, r, to_r)
    return multiply(to_r, hidden, to_r)


def _gru_backward(grad_output: Any, grad_h: Any, grad_gates: Any, grad_hidden: Any, h: Any, weight: Any, output: Any,
                  gates: Any, hidden: Any, sizes: Sequence[int], reverse: bool) -> Any:
    if grad_gates is not None or grad_hidden is not None or not _taken(h, weight, output, gates, hidden):
        return NotImplemented
    batch, width = h.shape
    result, products = np.empty(gates.shape, h.dtype), np.empty(gates.shape, h.dtype)
    at_h = through = _start(grad_h, h)
    previous = _before(output, h, sizes, reverse)
    times = _straight(weight, len(sizes), batch)
    part = small = np.empty((batch, width), h.dtype)
    equal = sizes[0] == sizes[-1]
    for span, steps in _chunks(_order(sizes, not reverse), 3 * width):
        rows, product = result[span], products[span]
        to_r = _gru_factors(gates[span], hidden[span], previous[span], width, rows)
        parts = [rows[:, :width], rows.reshape(len(rows), 3, width)[:, 1:], rows[:, 2 * width:], rows[:, :2 * width],
                 product, product[:, :2 * width], product[:, 2 * width:], to_r, gates[span, :width],
                 gates[span, width:2 * width], None if grad_output is None else grad_output[span]]
        for r, two, n, both, whole, same, scaled, into, reset, update, given in zip(
                *(_views(each, steps) for each in parts), strict=False):
            if not equal:
                size = len(r)
                at_h, part = through[:size], small[:size]
            if given is not None:
                add(at_h, given, at_h)
            multiply(two, at_h[:, None], two)
            multiply(n, into, r)
            copyto(same, both)
            multiply(n, reset, scaled)
            times(whole, part)
            multiply(at_h, update, at_h)
            add(at_h, part, at_h)
    return result, products, through


# ---------------------------------------------------------------------------------------------- Elman's
def _rnn(input: Any, h: Any, weight: Any, relu: bool, sizes: Sequence[int], reverse: bool) -> Any:
    if not _taken(input, h, weight):
        return NotImplemented
    batch, width = h.shape
    if len(sizes) < WORTH:
        times = _whole(weight.T)
    else:
        times = _turned(weight, _halves(width, (False,), weight.dtype)[0], len(sizes), batch)
    output = np.empty(input.shape, input.dtype)
    at_h = h = np.array(h, order="C")
    product = products = np.empty_like(h)
    order, equal = _order(sizes, reverse), sizes[0] == sizes[-1]
    for given, shown in zip(_views(input, order), _views(output, order), strict=True):
        if not equal:
            size = len(given)
            at_h, product = h[:size], products[:size]
        times(at_h, product)
        add(given, product, shown)
        if relu:
            np.maximum(shown, 0, out=shown)
        else:
            tanh(shown, shown)
        if equal:
            at_h = shown
        else:
            copyto(at_h, shown)
    return output, at_h.copy() if equal else h


def _rnn_backward(grad_output: Any, grad_h: Any, weight: Any, output: Any, relu: bool, sizes: Sequence[int],
                  reverse: bool) -> Any:
    if not _taken(weight, output):
        return NotImplemented
    result = np.empty(output.shape, output.dtype)
    at_h = through = _start(grad_h, output[:sizes[0]])
    times = _straight(weight, len(sizes), sizes[0])
    equal = sizes[0] == sizes[-1]
    for span, steps in _chunks(_order(sizes, not reverse), output.shape[1]):
        rows, shown = result[span], output[span]
        if relu:
            np.greater(shown, 0, out=rows, casting="unsafe")
        else:
            subtract(1, multiply(shown, shown, rows), rows)
        grads = None if grad_output is None else grad_output[span]
        for step, given in zip(_views(rows, steps), _views(grads, steps), strict=False):
            if not equal:
                at_h = through[:len(step)]
            if given is not None:
                add(at_h, given, at_h)
            multiply(step, at_h, step)
            times(step, at_h)
    return result, through


def _kernel(function: Callable[..., Any], weight: int) -> Callable[..., Any]:
    """The kernel for a function whose argument number `weight` is what each step's state is multiplied with.

    BLAS keeps, for the whole sequence, to the threads that one step's product deserves.
    """
    def kernel(*args: Any) -> Any:
        return threads.product(function, args[weight].size * args[-2][0], *args)
    return quiet(kernel)


KERNELS: dict[str, Any] = {
    "lstm_layer": _kernel(_lstm, 3), "lstm_layer_backward": _kernel(_lstm_backward, 6), "gru_layer": _kernel(_gru, 2),
    "gru_layer_backward": _kernel(_gru_backward, 5), "rnn_layer": _kernel(_rnn, 2),
    "rnn_layer_backward": _kernel(_rnn_backward, 2),
}
