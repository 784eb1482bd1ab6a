"""Single recurrent cells: one step of a network, for programs that write the loop over time themselves."""

from __future__ import annotations

import math
from typing import Any

from flambeau.errors import ArgumentError, ArgumentValueError
from flambeau.nn import init
from flambeau.nn.modules.module import Module
from flambeau.nn.parameter import Parameter
from flambeau.ops import recurrent
from flambeau.ops.creation import empty
from flambeau.tensor import Tensor

__all__ = ["GRUCell", "LSTMCell", "RNNCell", "RNNCellBase"]

_HOME = "flambeau.nn.modules.rnn"  # where PyTorch has them, and where programs import them from


class RNNCellBase(Module):
    """The parameters of a cell.

    Args:
        input_size: features of the input.
        hidden_size: features of the state.
        bias: whether there are biases.
        num_chunks: how many gates stand below each other in the weights.
        device: where the parameters live.
        dtype: the parameters' dtype.
    """

    __module__ = _HOME
    __constants__ = ("input_size", "hidden_size", "bias")
    weight_ih: Parameter
    weight_hh: Parameter
    bias_ih: Parameter | None
    bias_hh: Parameter | None

    def __init__(
        self, input_size: int, hidden_size: int, bias: bool, num_chunks: int, device: Any = None, dtype: Any = None
    ) -> None:
        super().__init__()
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.bias = bias
        rows = num_chunks * hidden_size
        self.weight_ih = Parameter(empty((rows, input_size), device=device, dtype=dtype))
        self.weight_hh = Parameter(empty((rows, hidden_size), device=device, dtype=dtype))
        for name in ("bias_ih", "bias_hh"):
            self.register_parameter(name, Parameter(empty(rows, device=device, dtype=dtype)) if bias else None)
        self.reset_parameters()

    def extra_repr(self) -> str:
        """Sizes and every option that is not at its default."""
        text = f"{self.input_size}, {self.hidden_size}"
        if self.bias is not True:
            text += f", bias={self.bias}"
        nonlinearity = self.__dict__.get("nonlinearity", "tanh")
        return text if nonlinearity == "tanh" else f"{text}, nonlinearity={nonlinearity}"

    def reset_parameters(self) -> None:
        """Draw the starting values, uniform within ``1/sqrt(hidden_size)``."""
        bound = 1.0 / math.sqrt(self.hidden_size) if self.hidden_size > 0 else 0
        for weight in self.parameters():
            init.uniform_(weight, -bound, bound)

    def _weights(self) -> tuple[Any, ...]:
        own = self._parameters
        try:  # the short way to parameters that are where `__init__` put them
            return own["weight_ih"], own["weight_hh"], own["bias_ih"], own["bias_hh"]
        except KeyError:  # replaced by plain attributes or properties, as parametrisations do
            return self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh

    def _checked(self, input: Tensor, hx: Any) -> bool:
        """Whether there is a batch dimension; ValueError for other dimensions than one or two."""
        name = type(self).__name__
        if input.dim() not in (1, 2):
            raise ArgumentValueError(f"{name}: Expected input to be 1D or 2D, got {input.dim()}D instead")
        if isinstance(hx, Tensor):
            if hx.dim() not in (1, 2):
                raise ArgumentValueError(f"{name}: Expected hidden to be 1D or 2D, got {hx.dim()}D instead")
        else:
            for number, each in enumerate(hx or ()):
                if each.dim() not in (1, 2):
                    raise ArgumentValueError(f"{name}: Expected hx[{number}] to be 1D or 2D, got {each.dim()}D instead")
        return input.dim() == 2

    def _zeros(self, input: Tensor) -> Tensor:
        return input.new_zeros((input.shape[0], self.hidden_size))


class RNNCell(RNNCellBase):
    """One step of Elman's network: ``h' = tanh(W_ih x + b_ih + W_hh h + b_hh)``, or with relu.

    Args:
        input_size: features of the input.
        hidden_size: features of the state.
        bias: whether there are biases.
        nonlinearity: ``"tanh"`` or ``"relu"``.
        device: where the parameters live.
        dtype: the parameters' dtype.

    Shapes: input (batch, input_size) or (input_size), state (batch, hidden_size) or (hidden_size), zeros if left out.

    >>> import flambeau as torch
    >>> torch.nn.RNNCell(10, 20)(torch.zeros(3, 10), torch.zeros(3, 20)).shape
    torch.Size([3, 20])
    """

    __module__ = _HOME

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        nonlinearity: str = "tanh",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(input_size, hidden_size, bias, num_chunks=1, device=device, dtype=dtype)
        self.nonlinearity = nonlinearity

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        """The next state."""
        if self.nonlinearity not in ("tanh", "relu"):
            raise ArgumentError(f"Unknown nonlinearity: {self.nonlinearity}; allowed: 'tanh', 'relu'")
        cell = recurrent.rnn_tanh_cell if self.nonlinearity == "tanh" else recurrent.rnn_relu_cell
        if self._checked(input, hx):
            return cell(input, self._zeros(input) if hx is None else hx, *self._weights())
        input = input.unsqueeze(0)
        return cell(input, self._zeros(input) if hx is None else hx.unsqueeze(0), *self._weights()).squeeze(0)


class GRUCell(RNNCellBase):
    """One step of a gated recurrent unit.

    Args:
        input_size: features of the input.
        hidden_size: features of the state.
        bias: whether there are biases.
        device: where the parameters live.
        dtype: the parameters' dtype.

    Shapes: as those of `RNNCell`.

    >>> import flambeau as torch
    >>> torch.nn.GRUCell(10, 20)(torch.zeros(3, 10)).shape
    torch.Size([3, 20])
    """

    __module__ = _HOME

    def __init__(
        self, input_size: int, hidden_size: int, bias: bool = True, device: Any = None, dtype: Any = None
    ) -> None:
        super().__init__(input_size, hidden_size, bias, num_chunks=3, device=device, dtype=dtype)

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        """The next state."""
        if self._checked(input, hx):
            return recurrent.gru_cell(input, self._zeros(input) if hx is None else hx, *self._weights())
        input = input.unsqueeze(0)
        first = self._zeros(input) if hx is None else hx.unsqueeze(0)
        return recurrent.gru_cell(input, first, *self._weights()).squeeze(0)


class LSTMCell(RNNCellBase):
    """One step of an LSTM.

    Args:
        input_size: features of the input.
        hidden_size: features of the cell.
        bias: whether there are biases.
        device: where the parameters live.
        dtype: the parameters' dtype.

    Shapes: as those of `RNNCell`, with two states, ``(h, c)``.

    >>> import flambeau as torch
    >>> h, c = torch.nn.LSTMCell(10, 20)(torch.zeros(3, 10))
    >>> h.shape, c.shape
    (torch.Size([3, 20]), torch.Size([3, 20]))
    """

    __module__ = _HOME

    def __init__(
        self, input_size: int, hidden_size: int, bias: bool = True, device: Any = None, dtype: Any = None
    ) -> None:
        super().__init__(input_size, hidden_size, bias, num_chunks=4, device=device, dtype=dtype)

    def forward(self, input: Tensor, hx: tuple[Tensor, Tensor] | None = None) -> tuple[Tensor, Tensor]:
        """The next states."""
        is_batched = self._checked(input, hx)
        if not is_batched:
            input = input.unsqueeze(0)
        if hx is None:
            zeros = self._zeros(input)
            hx = zeros, zeros
        elif not is_batched:
            hx = hx[0].unsqueeze(0), hx[1].unsqueeze(0)
        h, c = recurrent.lstm_cell(input, hx, *self._weights())
        return (h, c) if is_batched else (h.squeeze(0), c.squeeze(0))
