"""Recurrent layers over sequences: Elman's, LSTM and GRU, stacked, in one direction or two.

A layer owns its weights as parameters with PyTorch's names and hands them to the operators (`ops.recurrent`) as the
flat list that these take. The list is an attribute, as in PyTorch, since programs that replace weights look at it; it
follows assignments, conversions and weights that were put in the parameters' place for one call.
"""

from __future__ import annotations

import math
import numbers
import warnings
import weakref
from collections.abc import Callable
from typing import Any, TypeVar

from flambeau.errors import ArgumentTypeError, ArgumentValueError, ShapeError
from flambeau.nn import init
from flambeau.nn.modules._rnn_cells import GRUCell, LSTMCell, RNNCell, RNNCellBase
from flambeau.nn.modules.module import Module
from flambeau.nn.parameter import Parameter
from flambeau.nn.utils.rnn import PackedSequence
from flambeau.ops import recurrent
from flambeau.ops.creation import empty
from flambeau.tensor import Tensor

__all__ = ["GRU", "LSTM", "RNN", "GRUCell", "LSTMCell", "RNNBase", "RNNCell", "RNNCellBase"]

Self = TypeVar("Self", bound="RNNBase")

_GATES = {"LSTM": 4, "GRU": 3, "RNN_TANH": 1, "RNN_RELU": 1}


class RNNBase(Module):
    """What the recurrent layers share: weights, checks, and the way of padded, unbatched and packed sequences.

    Args:
        mode: ``"LSTM"``, ``"GRU"``, ``"RNN_TANH"`` or ``"RNN_RELU"``.
        input_size: features of the input.
        hidden_size: features of the state.
        num_layers: layers above each other.
        bias: whether there are biases.
        batch_first: whether padded batches are (batch, length, features), where otherwise length comes first.
        dropout: share of each layer's outputs, but the last one's, that are dropped in training.
        bidirectional: whether a second network reads the sequence in reverse; the outputs of both are joined.
        proj_size: size to which an LSTM's outputs are projected; 0 for none.
        device: where the parameters live.
        dtype: the parameters' dtype.

    TypeError and ValueError for sizes and options that make no sense.
    """

    __constants__ = (
        "mode", "input_size", "hidden_size", "num_layers", "bias", "batch_first", "dropout", "bidirectional",
        "proj_size",
    )
    _flat_weights: list[Any]
    _flat_weight_refs: list[Any]
    _flat_weights_names: list[str]
    _all_weights: list[list[str]]

    def __init__(
        self,
        mode: str,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        _check_dropout(dropout, num_layers)
        _check_options(bias=bias, batch_first=batch_first)
        _check_sizes(input_size, hidden_size, num_layers, proj_size)
        if mode not in _GATES:
            raise ArgumentValueError(f"Unrecognized RNN mode: {mode}; allowed: {', '.join(_GATES)}")
        self.mode = mode
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.num_layers = num_layers
        self.bias = bias
        self.batch_first = batch_first
        self.dropout = float(dropout)
        self.bidirectional = bidirectional
        self.proj_size = proj_size
        self._flat_weights_names = []
        self._all_weights = []
        for layer in range(num_layers):
            for direction in range(2 if bidirectional else 1):
                self._add_weights(layer, direction, device, dtype)
        self._init_flat_weights()
        self.reset_parameters()

    # --- weights ----------------------------------------------------------------------------------------------

    def _add_weights(self, layer: int, direction: int, device: Any, dtype: Any) -> None:
        """Register the parameters of one layer in one direction."""
        shown = self.proj_size or self.hidden_size
        gates = _GATES[self.mode] * self.hidden_size
        below = self.input_size if layer == 0 else shown * (2 if self.bidirectional else 1)
        shapes: dict[str, tuple[int, ...]] = {"weight_ih": (gates, below), "weight_hh": (gates, shown)}
        if self.bias:
            shapes.update(bias_ih=(gates,), bias_hh=(gates,))
        if self.proj_size:
            shapes["weight_hr"] = (self.proj_size, self.hidden_size)
        suffix = f"_l{layer}{'_reverse' if direction else ''}"
        names = [stem + suffix for stem in shapes]
        for name, shape in zip(names, shapes.values(), strict=True):
            setattr(self, name, Parameter(empty(shape, device=device, dtype=dtype)))
        self._flat_weights_names.extend(names)
        self._all_weights.append(names)

    def _init_flat_weights(self) -> None:
        """Look the weights up by their names."""
        self._flat_weights = [getattr(self, name, None) for name in self._flat_weights_names]
        self._flat_weight_refs = [None if each is None else weakref.ref(each) for each in self._flat_weights]

    def _update_flat_weights(self) -> None:
        """Look the weights up again where one of them is another than before, as in functional calls."""
        own = self._parameters
        for name, ref in zip(self._flat_weights_names, self._flat_weight_refs, strict=True):
            weight = own[name] if name in own else getattr(self, name, None)
            if weight is not None and ref is not None and ref() is not weight:
                self._init_flat_weights()
                return

    def __setattr__(self, name: str, value: Any) -> None:
        names = self.__dict__.get("_flat_weights_names", ())
        if name in names and len(self.__dict__.get("_flat_weights", ())) == len(names):
            self._flat_weights[names.index(name)] = value
        super().__setattr__(name, value)

    def _apply(self: Self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        super()._apply(fn, recurse)
        self._init_flat_weights()
        return self

    def __getstate__(self) -> dict[str, Any]:
        self._update_flat_weights()
        state = self.__dict__.copy()
        del state["_flat_weight_refs"]
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self.__dict__.setdefault("proj_size", 0)   # older files have none
        self._init_flat_weights()

    def flatten_parameters(self) -> None:
        """Accepted and without effect: no device here wants its weights in one piece of memory."""

    def reset_parameters(self) -> None:
        """Draw the starting values, uniform within ``1/sqrt(hidden_size)``."""
        bound = 1.0 / math.sqrt(self.hidden_size) if self.hidden_size > 0 else 0
        for weight in self.parameters():
            init.uniform_(weight, -bound, bound)

    @property
    def all_weights(self) -> list[list[Parameter]]:
        """The parameters of each layer and direction."""
        return [[getattr(self, name) for name in names] for names in self._all_weights]

    # --- checks -----------------------------------------------------------------------------------------------

    def check_input(self, input: Tensor, batch_sizes: Tensor | None) -> None:
        """Refuse an input of other dtype, dimensions or features than the layer's."""
        weight = self._flat_weights[0]
        if input.dtype is not weight.dtype and not _autocasts(input):
            raise ArgumentValueError(
                f"RNN input dtype ({input.dtype}) does not match weight dtype ({weight.dtype}). Convert input: "
                f"input.to({weight.dtype}), or convert model: model.to({input.dtype})"
            )
        expected = 2 if batch_sizes is not None else 3
        if input.dim() != expected:
            raise ShapeError(f"input must have {expected} dimensions, got {input.dim()}")
        if self.input_size != input.size(-1):
            raise ShapeError(
                f"input.size(-1) must be equal to input_size. Expected {self.input_size}, got {input.size(-1)}"
            )

    def get_expected_hidden_size(self, input: Tensor, batch_sizes: Tensor | None) -> tuple[int, int, int]:
        """The shape that the first state must have."""
        return self._state_shape(input, batch_sizes, self.proj_size or self.hidden_size)

    def _state_shape(self, input: Tensor, batch_sizes: Tensor | None, size: int) -> tuple[int, int, int]:
        if batch_sizes is not None:
            batch = int(batch_sizes[0])
        else:
            batch = input.size(0) if self.batch_first else input.size(1)
        return self.num_layers * (2 if self.bidirectional else 1), batch, size

    def check_hidden_size(
        self, hx: Tensor, expected_hidden_size: tuple[int, int, int], msg: str = "Expected hidden size {}, got {}"
    ) -> None:
        """Refuse a first state of another shape."""
        if hx.shape != expected_hidden_size:
            raise ShapeError(msg.format(expected_hidden_size, list(hx.shape)))

    def check_forward_args(self, input: Tensor, hidden: Any, batch_sizes: Tensor | None) -> None:
        """All checks of a call."""
        self.check_input(input, batch_sizes)
        self.check_hidden_size(hidden, self.get_expected_hidden_size(input, batch_sizes))

    def permute_hidden(self, hx: Any, permutation: Tensor | None) -> Any:
        """States in another order of the batch."""
        return hx if permutation is None else hx.index_select(1, permutation)

    # --- the call ---------------------------------------------------------------------------------------------

    def _first_states(self, input: Tensor, batch_sizes: Tensor | None) -> Any:
        return input.new_zeros(self.get_expected_hidden_size(input, batch_sizes))

    def _batched(self, hx: Any, is_batched: bool) -> Any:
        """A given first state, with a batch dimension."""
        wanted = 3 if is_batched else 2
        if hx.dim() != wanted:
            kind = "batched 3-D" if is_batched else "unbatched 2-D"
            raise ShapeError(f"For {kind} input, hx should also be {wanted}-D but got {hx.dim()}-D tensor")
        return hx if is_batched else hx.unsqueeze(1)

    def _unbatched(self, hidden: Any) -> Any:
        return hidden.squeeze(1)

    def _compute(self, *args: Any) -> tuple[Tensor, Any]:
        """Call the operator: (outputs, last states) of (input[, batch sizes], states, weights, options)."""
        raise NotImplementedError

    def _options(self) -> tuple[Any, ...]:
        return self.bias, self.num_layers, self.dropout, self.training, self.bidirectional

    def _run(self, input: Any, hx: Any) -> Any:
        self._update_flat_weights()
        if isinstance(input, PackedSequence):
            return self._forward_packed(input, hx)
        if input.dim() not in (2, 3):
            raise ArgumentValueError(
                f"{type(self).__name__}: Expected input to be 2D or 3D, got {input.dim()}D instead"
            )
        is_batched = input.dim() == 3
        where = 0 if self.batch_first else 1
        if not is_batched:
            input = input.unsqueeze(where)
        hx = self._first_states(input, None) if hx is None else self._batched(hx, is_batched)
        self.check_forward_args(input, hx, None)
        output, hidden = self._compute(input, hx, self._flat_weights, *self._options(), self.batch_first)
        return (output, hidden) if is_batched else (output.squeeze(where), self._unbatched(hidden))

    def _forward_packed(self, packed: PackedSequence, hx: Any) -> tuple[PackedSequence, Any]:
        data, batch_sizes, order, back = packed
        assert batch_sizes is not None
        hx = self._first_states(data, batch_sizes) if hx is None else self.permute_hidden(hx, order)
        self.check_forward_args(data, hx, batch_sizes)
        output, hidden = self._compute(data, batch_sizes, hx, self._flat_weights, *self._options())
        return PackedSequence(output, batch_sizes, order, back), self.permute_hidden(hidden, back)

    def extra_repr(self) -> str:
        """Sizes and every option that is not at its default."""
        text = f"{self.input_size}, {self.hidden_size}"
        defaults: dict[str, Any] = {"proj_size": 0, "num_layers": 1, "bias": True, "batch_first": False,
                                    "dropout": 0, "bidirectional": False}
        for name, default in defaults.items():
            if getattr(self, name) != default:
                text += f", {name}={getattr(self, name)}"
        return text


class RNN(RNNBase):
    """Elman's network: ``h' = tanh(W_ih x + b_ih + W_hh h + b_hh)``, or with relu in the place of tanh.

    Args:
        input_size: features of the input.
        hidden_size: features of the state.
        num_layers: layers above each other.
        nonlinearity: ``"tanh"`` or ``"relu"``.
        bias, batch_first, dropout, bidirectional, device, dtype: as in `RNNBase`.

    Shapes: the input is (length, batch, input_size), (length, input_size) without a batch, or a packed sequence; the
    state (layers * directions, batch, hidden_size), zeros if left out. Gives the outputs
    (length, batch, directions * hidden_size) and the last state.

    >>> import flambeau as torch
    >>> output, last = torch.nn.RNN(10, 20, 2)(torch.zeros(5, 3, 10))
    >>> output.shape, last.shape
    (torch.Size([5, 3, 20]), torch.Size([2, 3, 20]))
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        _refuse_projection(kwargs)
        if len(args) > 3:
            nonlinearity = args[3]
            args = args[:3] + args[4:]
        else:
            nonlinearity = kwargs.pop("nonlinearity", "tanh")
        if nonlinearity not in ("tanh", "relu"):
            raise ArgumentValueError(f"Unknown nonlinearity '{nonlinearity}'. Select from 'tanh' or 'relu'.")
        super().__init__(f"RNN_{nonlinearity.upper()}", *args, **kwargs)
        self.nonlinearity = nonlinearity

    def forward(self, input: Any, hx: Tensor | None = None) -> Any:
        """(outputs of the last layer, last states of all); a packed sequence gives a packed one."""
        return self._run(input, hx)

    def _compute(self, *args: Any) -> tuple[Tensor, Any]:
        return recurrent.rnn_tanh(*args) if self.mode == "RNN_TANH" else recurrent.rnn_relu(*args)


class GRU(RNNBase):
    """Gated recurrent units: a reset gate, an update gate and a new state between which the latter chooses.

    Args:
        input_size: features of the input.
        hidden_size: features of the state.
        num_layers, bias, batch_first, dropout, bidirectional, device, dtype: as in `RNNBase`.

    Shapes: as those of `RNN`. The weights of the gates stand below each other: reset, update, new.

    Source: "Learning Phrase Representations using RNN Encoder-Decoder", https://arxiv.org/abs/1406.1078

    >>> import flambeau as torch
    >>> output, last = torch.nn.GRU(10, 20, bidirectional=True)(torch.zeros(5, 3, 10))
    >>> output.shape, last.shape
    (torch.Size([5, 3, 40]), torch.Size([2, 3, 20]))
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        _refuse_projection(kwargs)
        super().__init__("GRU", *args, **kwargs)

    def forward(self, input: Any, hx: Tensor | None = None) -> Any:
        """(outputs of the last layer, last states of all); a packed sequence gives a packed one."""
        return self._run(input, hx)

    def _compute(self, *args: Any) -> tuple[Tensor, Any]:
        return recurrent.gru(*args)


class LSTM(RNNBase):
    """Long short-term memory: gates decide what a cell takes in, forgets and shows.

    Args:
        input_size: features of the input.
        hidden_size: features of the cell.
        proj_size: size to which the hidden state is projected; 0 for none.
        num_layers, bias, batch_first, dropout, bidirectional, device, dtype: as in `RNNBase`.

    Shapes: as those of `RNN`, with two states, ``(h, c)``; with a projection, outputs and ``h`` have its size. The
    weights of the gates stand below each other: input, forget, cell, output.

    Source: "Long Short-Term Memory", Neural Computation 9(8), 1997

    >>> import flambeau as torch
    >>> output, (h, c) = torch.nn.LSTM(10, 20, batch_first=True, proj_size=4)(torch.zeros(3, 5, 10))
    >>> output.shape, h.shape, c.shape
    (torch.Size([3, 5, 4]), torch.Size([1, 3, 4]), torch.Size([1, 3, 20]))
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__("LSTM", *args, **kwargs)

    def get_expected_cell_size(self, input: Tensor, batch_sizes: Tensor | None) -> tuple[int, int, int]:
        """The shape that the first cell state must have."""
        return self._state_shape(input, batch_sizes, self.hidden_size)

    def check_forward_args(self, input: Tensor, hidden: Any, batch_sizes: Tensor | None) -> None:
        """All checks of a call."""
        self.check_input(input, batch_sizes)
        shapes = self.get_expected_hidden_size(input, batch_sizes), self.get_expected_cell_size(input, batch_sizes)
        for number, shape in enumerate(shapes):
            self.check_hidden_size(hidden[number], shape, f"Expected hidden[{number}] size {{}}, got {{}}")

    def permute_hidden(self, hx: Any, permutation: Tensor | None) -> Any:
        """States in another order of the batch."""
        return hx if permutation is None else tuple(each.index_select(1, permutation) for each in hx)

    def _first_states(self, input: Tensor, batch_sizes: Tensor | None) -> Any:
        cell = input.new_zeros(self.get_expected_cell_size(input, batch_sizes))
        return (super()._first_states(input, batch_sizes) if self.proj_size else cell, cell)

    def _batched(self, hx: Any, is_batched: bool) -> Any:
        wanted = 3 if is_batched else 2
        if hx[0].dim() != wanted or hx[1].dim() != wanted:
            kind = "batched 3-D" if is_batched else "unbatched 2-D"
            raise ShapeError(f"For {kind} input, hx and cx should also be {wanted}-D but got ({hx[0].dim()}-D, "
                             f"{hx[1].dim()}-D) tensors")
        return hx if is_batched else (hx[0].unsqueeze(1), hx[1].unsqueeze(1))

    def _unbatched(self, hidden: Any) -> Any:
        return hidden[0].squeeze(1), hidden[1].squeeze(1)

    def forward(self, input: Any, hx: tuple[Tensor, Tensor] | None = None) -> Any:
        """(outputs of the last layer, last hidden and cell states of all); a packed sequence gives a packed one."""
        return self._run(input, hx)

    def _compute(self, *args: Any) -> tuple[Tensor, Any]:
        output, *states = recurrent.lstm(*args)
        return output, tuple(states)


# ---------------------------------------------------------------------------------------------- checks of options
def _autocasts(input: Tensor) -> bool:
    """Whether dtypes may differ, since autocasting makes them the same."""
    from flambeau.amp.state import is_autocast_enabled
    return is_autocast_enabled(input.device.type)


def _check_dropout(dropout: Any, num_layers: int) -> None:
    if isinstance(dropout, bool) or not isinstance(dropout, numbers.Number) or not 0 <= dropout <= 1:  # type: ignore[operator]
        raise ArgumentValueError(
            "dropout should be a number in range [0, 1] representing the probability of an element being zeroed"
        )
    if dropout > 0 and num_layers == 1:  # type: ignore[operator]
        warnings.warn(
            "dropout option adds dropout after all but last recurrent layer, so non-zero dropout expects num_layers "
            f"greater than 1, but got dropout={dropout} and num_layers={num_layers}", UserWarning, stacklevel=4,
        )


def _check_options(**options: Any) -> None:
    for name, value in options.items():
        if not isinstance(value, bool):
            raise ArgumentTypeError(f"{name} should be of type bool, got: {type(value).__name__}")


def _check_sizes(input_size: Any, hidden_size: Any, num_layers: int, proj_size: int) -> None:
    for name, value in (("input_size", input_size), ("hidden_size", hidden_size)):
        if not isinstance(value, int):
            raise ArgumentTypeError(f"{name} should be of type int, got: {type(value).__name__}")
        if value <= 0:
            raise ArgumentValueError(f"{name} must be greater than zero; given: {value}")
    if num_layers <= 0:
        raise ArgumentValueError(f"num_layers must be greater than zero; given: {num_layers}")
    if proj_size < 0:
        raise ArgumentValueError("proj_size should be a positive integer or zero to disable projections")
    if proj_size >= hidden_size:
        raise ArgumentValueError("proj_size has to be smaller than hidden_size")


def _refuse_projection(options: dict[str, Any]) -> None:
    if "proj_size" in options:
        raise ArgumentValueError("proj_size argument is only supported for LSTM, not RNN or GRU")
