"""Rows of the table of layers: recurrent layers."""

from __future__ import annotations

from typing import Any

from flambeau_conformance.levels._layer_rows import Row, x

_SEQUENCE, _BATCH_FIRST, _ALONE = x(4, 3, 2), x(3, 4, 2), x(4, 2)


def _made(name: str, *inputs: Any, **options: Any) -> Row:
    return lambda n, t: getattr(n, name)(2, 3, **options), inputs


def _lstm(*inputs: Any, **options: Any) -> Row:
    """An LSTM that takes and gives its states one by one, as the suite's comparisons do."""
    def build(n: Any, t: Any) -> Any:
        class Flat(n.LSTM):  # type: ignore[misc]  # of either library
            def forward(self, input: Any, *states: Any) -> Any:
                output, (h, c) = super().forward(input, states or None)
                return output, h, c
        return Flat(2, 3, **options)
    return build, inputs


def _layers(name: str) -> list[Row]:
    return [_made(name, _SEQUENCE), _made(name, _BATCH_FIRST, x(4, 3, 3), num_layers=2, bidirectional=True,
                                          batch_first=True),
            _made(name, _ALONE, x(1, 3), bias=False)]


def _cells(name: str) -> list[Row]:
    return [_made(name, x(4, 2), x(4, 3)), _made(name, x(2), bias=False)]


def _lstm_cell(n: Any, t: Any) -> Any:
    class Flat(n.LSTMCell):  # type: ignore[misc]  # of either library
        def forward(self, input: Any, h: Any, c: Any) -> Any:
            return super().forward(input, (h, c))
    return Flat(2, 3)


ROWS: dict[str, list[Row]] = {
    "RNN": [*_layers("RNN"), _made("RNN", _SEQUENCE, nonlinearity="relu")],
    "GRU": _layers("GRU"),
    "LSTM": [_lstm(_SEQUENCE), _lstm(_BATCH_FIRST, x(4, 3, 3), x(4, 3, 3), num_layers=2, bidirectional=True,
                                     batch_first=True),
             _lstm(_ALONE, x(1, 3), x(1, 3), bias=False), _lstm(_SEQUENCE, proj_size=2)],
    "RNNCell": [*_cells("RNNCell"), _made("RNNCell", x(4, 2), nonlinearity="relu")],
    "GRUCell": _cells("GRUCell"),
    "LSTMCell": [(_lstm_cell, (x(4, 2), x(4, 3), x(4, 3))), _made("LSTMCell", x(2), bias=False)],
}
