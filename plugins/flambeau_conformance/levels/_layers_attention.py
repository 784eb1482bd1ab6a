"""Rows of the table of layers: attention and transformers.

They draw nothing in training: what dropout draws is the business of its own rows. Masks are numbers that are added.
Their activation has no kink, which two roundings could fall on different sides of.
"""

from __future__ import annotations

from typing import Any

from flambeau_conformance.levels._layer_rows import Row, fixed, x

_SIZES: dict[str, Any] = {"d_model": 4, "nhead": 2, "dim_feedforward": 5, "dropout": 0.0, "activation": "gelu"}


def _encoder(n: Any, **options: Any) -> Any:
    layer = n.TransformerEncoderLayer(**_SIZES, norm_first=True)
    return n.TransformerEncoder(layer, 2, enable_nested_tensor=False, **options)


def _attention(**options: Any) -> Any:
    return lambda n, t: n.MultiheadAttention(4, 2, **options)


def _layer(name: str, **options: Any) -> Any:
    return lambda n, t: getattr(n, name)(**_SIZES, **options)


def _on_one_device(n: Any, t: Any) -> Any:
    """Where the machine has an accelerator, the module would go there, and not where the case wants it."""
    layer = n.DataParallel(n.Identity())
    layer.device_ids, layer.module = [], n.Linear(4, 3)
    return layer


ROWS: dict[str, list[Row]] = {
    "MultiheadAttention": [
        (_attention(), (x(3, 2, 4), x(5, 2, 4), x(5, 2, 4))),
        (_attention(batch_first=True, add_bias_kv=True, add_zero_attn=True),
         (x(2, 3, 4), x(2, 5, 4), x(2, 5, 4), fixed(2, 5))),
        (_attention(kdim=3, vdim=2, bias=False), (x(3, 4), x(5, 3), x(5, 2)))],
    "TransformerEncoderLayer": [
        (_layer("TransformerEncoderLayer", batch_first=True), (x(2, 5, 4), fixed(5, 5), fixed(2, 5))),
        (_layer("TransformerEncoderLayer", norm_first=True, bias=False), (x(5, 2, 4),))],
    "TransformerDecoderLayer": [
        (_layer("TransformerDecoderLayer"), (x(3, 2, 4), x(5, 2, 4), fixed(3, 3))),
        (_layer("TransformerDecoderLayer", norm_first=True, batch_first=True), (x(2, 3, 4), x(2, 5, 4)))],
    "TransformerEncoder": [(lambda n, t: _encoder(n, norm=n.LayerNorm(4)), (x(5, 2, 4), fixed(5, 5)))],
    "TransformerDecoder": [(lambda n, t: n.TransformerDecoder(n.TransformerDecoderLayer(**_SIZES), 2),
                            (x(3, 2, 4), x(5, 2, 4)))],
    "Transformer": [(lambda n, t: n.Transformer(**_SIZES, custom_encoder=_encoder(n), num_decoder_layers=1),
                     (x(5, 2, 4), x(3, 2, 4)))],
    "DataParallel": [(_on_one_device, (x(5, 4),))],
}
