"""Rows of the table of layers: recurrent layers."""

from __future__ import annotations

from flambeau_conformance.levels._layer_rows import Row

ROWS: dict[str, list[Row]] = {}
