"""Rows of the table of layers: padding, pooling, folding and resizing."""

from __future__ import annotations

from flambeau_conformance.levels._layer_rows import Row

ROWS: dict[str, list[Row]] = {}
