"""Transformers: layers of attention and feed-forward networks, stacks of them, and encoder and decoder together.

In evaluation without gradients PyTorch takes a shorter way through an encoder, which leaves padding out and fills the
result with zeros there. The way is not taken here, where it would save nothing, but what it gives is given.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
from typing import Any

from flambeau import settings
from flambeau.amp.state import is_autocast_enabled
from flambeau.autograd import is_grad_enabled
from flambeau.errors import ArgumentError
from flambeau.nn import functional as F, init
from flambeau.nn.modules import _transformer_masks as masks
from flambeau.nn.modules.activation import GELU, ReLU
from flambeau.nn.modules.container import ModuleList
from flambeau.nn.modules.dropout import Dropout
from flambeau.nn.modules.linear import Linear
from flambeau.nn.modules.module import Module
from flambeau.nn.modules.multihead import MultiheadAttention
from flambeau.nn.modules.normalization import LayerNorm
from flambeau.ops.multihead import canonical_masks
from flambeau.tensor import Tensor

__all__ = ["Transformer", "TransformerDecoder", "TransformerDecoderLayer", "TransformerEncoder",
           "TransformerEncoderLayer"]

Activation = str | Callable[[Tensor], Tensor]


def _activation(given: Activation) -> Callable[[Tensor], Tensor]:
    """A function by name, or the one that is given."""
    if not isinstance(given, str):
        return given
    if given not in ("relu", "gelu"):
        raise ArgumentError(f"activation should be relu/gelu, not {given}; any other can be given as a function")
    found: Callable[[Tensor], Tensor] = getattr(F, given)
    return found


def _copies(layer: Module, number: int) -> ModuleList:
    """As many layers like this one, which begin with its values and do not share them."""
    return ModuleList([copy.deepcopy(layer) for _ in range(number)])


class _Layer(Module):
    """What the layers of encoder and decoder share: attention to itself, and a network at every position."""

    activation: Callable[[Tensor], Tensor]
    dropout1: Dropout
    self_attn: MultiheadAttention

    def _build(self, attentions: tuple[str, ...], d_model: int, nhead: int, dim_feedforward: int, dropout: float,
               eps: float, batch_first: bool, norm_first: bool, bias: bool, where: dict[str, Any]) -> None:
        """Make the members in PyTorch's order, which decides the order of the draws and of the state dict."""
        for name in attentions:
            setattr(self, name, MultiheadAttention(d_model, nhead, dropout=dropout, bias=bias,
                                                   batch_first=batch_first, **where))
        self.linear1 = Linear(d_model, dim_feedforward, bias=bias, **where)
        self.dropout = Dropout(dropout)
        self.linear2 = Linear(dim_feedforward, d_model, bias=bias, **where)
        self.norm_first = norm_first
        steps = range(1, len(attentions) + 2)
        for number in steps:
            setattr(self, f"norm{number}", LayerNorm(d_model, eps=eps, bias=bias, **where))
        for number in steps:
            setattr(self, f"dropout{number}", Dropout(dropout))

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state if "activation" in state or "activation" in state.get("_modules", ())
                             else {**state, "activation": F.relu})   # which early checkpoints do not say

    def _network(self, x: Tensor) -> Tensor:
        result: Tensor = self.linear2(self.dropout(self.activation(self.linear1(x))))
        return result

    def _sa_block(self, x: Tensor, attn_mask: Tensor | None, key_padding_mask: Tensor | None,
                  is_causal: bool = False) -> Tensor:
        result: Tensor = self.self_attn(x, x, x, attn_mask=attn_mask, key_padding_mask=key_padding_mask,
                                        need_weights=False, is_causal=is_causal)[0]
        return self.dropout1(result)


class TransformerEncoderLayer(_Layer):
    """Self-attention and a feed-forward network, each with a sum with its input and a layer normalisation.

    Args:
        d_model: number of features.
        nhead: number of attention heads.
        dim_feedforward: features between the two linear layers of the network.
        dropout: share that is dropped in training, of weights and of results.
        activation: "relu", "gelu", or a function of a tensor.
        layer_norm_eps: what the normalisations add to the variance.
        batch_first: whether sequences are (batch, length, features), where otherwise length comes first.
        norm_first: whether to normalise before attention and network, and not after the sums.
        bias: whether linear layers and normalisations have biases.
        device: where the parameters live.
        dtype: the parameters' dtype.

    >>> import flambeau as torch
    >>> layer = torch.nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    >>> layer(torch.zeros(3, 5, 8)).shape
    torch.Size([3, 5, 8])
    """

    norm1: LayerNorm
    norm2: LayerNorm
    dropout2: Dropout

    def __init__(
        self, d_model: int, nhead: int, dim_feedforward: int = 2048, dropout: float = 0.1,
        activation: Activation = F.relu, layer_norm_eps: float = 1e-5, batch_first: bool = False,
        norm_first: bool = False, bias: bool = True, device: Any = None, dtype: Any = None,
    ) -> None:
        super().__init__()
        self._build(("self_attn",), d_model, nhead, dim_feedforward, dropout, layer_norm_eps, batch_first, norm_first,
                    bias, {"device": device, "dtype": dtype})
        activation = _activation(activation)
        self.activation_relu_or_gelu = (1 if activation is F.relu or isinstance(activation, ReLU) else
                                        2 if activation is F.gelu or isinstance(activation, GELU) else 0)
        self.activation = activation

    def forward(self, src: Tensor, src_mask: Tensor | None = None, src_key_padding_mask: Tensor | None = None,
                is_causal: bool = False) -> Tensor:
        """Apply the layer.

        Args:
            src: (length, batch, d_model), with ``batch_first`` (batch, length, d_model), or (length, d_model).
            src_mask: (length, length) or (batch times heads, length, length); true where attention is forbidden, or
                numbers that are added.
            src_key_padding_mask: (batch, length); true for positions to which nobody may attend, or numbers.
            is_causal: promises that ``src_mask`` is the causal one.
        """
        src_mask, src_key_padding_mask = canonical_masks(
            src_mask, src_key_padding_mask, ("src_mask", "src_key_padding_mask"), src.dtype)
        x = src
        if self.norm_first:
            x = x + self._sa_block(self.norm1(x), src_mask, src_key_padding_mask, is_causal)
            return x + self._ff_block(self.norm2(x))
        x = self.norm1(x + self._sa_block(x, src_mask, src_key_padding_mask, is_causal))
        return self.norm2(x + self._ff_block(x))

    def _ff_block(self, x: Tensor) -> Tensor:
        return self.dropout2(self._network(x))


class TransformerDecoderLayer(_Layer):
    """Self-attention, attention to an encoder's results, and a feed-forward network.

    Each has a sum with its input and a layer normalisation. The arguments are those of `TransformerEncoderLayer`.

    >>> import flambeau as torch
    >>> layer = torch.nn.TransformerDecoderLayer(8, 2, 16)
    >>> layer(torch.zeros(4, 3, 8), torch.zeros(6, 3, 8)).shape
    torch.Size([4, 3, 8])
    """

    multihead_attn: MultiheadAttention
    norm1: LayerNorm
    norm2: LayerNorm
    norm3: LayerNorm
    dropout2: Dropout
    dropout3: Dropout

    def __init__(
        self, d_model: int, nhead: int, dim_feedforward: int = 2048, dropout: float = 0.1,
        activation: Activation = F.relu, layer_norm_eps: float = 1e-5, batch_first: bool = False,
        norm_first: bool = False, bias: bool = True, device: Any = None, dtype: Any = None,
    ) -> None:
        super().__init__()
        self._build(("self_attn", "multihead_attn"), d_model, nhead, dim_feedforward, dropout, layer_norm_eps,
                    batch_first, norm_first, bias, {"device": device, "dtype": dtype})
        self.activation = _activation(activation)

    def forward(
        self, tgt: Tensor, memory: Tensor, tgt_mask: Tensor | None = None, memory_mask: Tensor | None = None,
        tgt_key_padding_mask: Tensor | None = None, memory_key_padding_mask: Tensor | None = None,
        tgt_is_causal: bool = False, memory_is_causal: bool = False,
    ) -> Tensor:
        """Apply the layer.

        Args:
            tgt: (length, batch, d_model), with ``batch_first`` (batch, length, d_model), or (length, d_model).
            memory: the encoder's results, likewise, of another length.
            tgt_mask: between positions of ``tgt``; true where attention is forbidden, or numbers that are added.
            memory_mask: from positions of ``tgt`` to those of ``memory``.
            tgt_key_padding_mask: (batch, length) of ``tgt``; true for positions to which nobody may attend.
            memory_key_padding_mask: likewise of ``memory``.
            tgt_is_causal: promises that ``tgt_mask`` is the causal one.
            memory_is_causal: promises that ``memory_mask`` is.
        """
        x = tgt
        ours, theirs = (tgt_mask, tgt_key_padding_mask), (memory_mask, memory_key_padding_mask)
        if self.norm_first:
            x = x + self._sa_block(self.norm1(x), *ours, tgt_is_causal)
            x = x + self._mha_block(self.norm2(x), memory, *theirs, memory_is_causal)
            return x + self._ff_block(self.norm3(x))
        x = self.norm1(x + self._sa_block(x, *ours, tgt_is_causal))
        x = self.norm2(x + self._mha_block(x, memory, *theirs, memory_is_causal))
        return self.norm3(x + self._ff_block(x))

    def _mha_block(self, x: Tensor, mem: Tensor, attn_mask: Tensor | None, key_padding_mask: Tensor | None,
                   is_causal: bool = False) -> Tensor:
        result: Tensor = self.multihead_attn(x, mem, mem, attn_mask=attn_mask, key_padding_mask=key_padding_mask,
                                             need_weights=False, is_causal=is_causal)[0]
        return self.dropout2(result)

    def _ff_block(self, x: Tensor) -> Tensor:
        return self.dropout3(self._network(x))


def _keeps_padding(layer: Any) -> str:
    """Why an encoder of such layers gives numbers, not zeros, where its input is padded; "" if it gives zeros."""
    if not isinstance(layer, TransformerEncoderLayer):
        return "encoder_layer was not TransformerEncoderLayer"
    attention = layer.self_attn
    reasons = {
        "norm_first was True": layer.norm_first,
        "self_attn.batch_first was not True(use batch_first for better inference performance)":
            not attention.batch_first,
        "self_attn._qkv_same_embed_dim was not True": not attention._qkv_same_embed_dim,
        "self_attn was passed bias=False": attention.in_proj_bias is None,
        "activation_relu_or_gelu was not True": not layer.activation_relu_or_gelu,
        "norm1.eps was not equal to encoder_layer.norm2.eps": layer.norm1.eps != layer.norm2.eps,
        "self_attn.num_heads is odd": attention.num_heads % 2 == 1,
    }
    return next(("encoder_layer." + reason for reason, holds in reasons.items() if holds), "")


class TransformerEncoder(Module):
    """A stack of encoder layers.

    Args:
        encoder_layer: the layer, of which the stack gets copies; they begin with the same values.
        num_layers: how many.
        norm: a module for the result, such as a layer normalisation.
        enable_nested_tensor: in evaluation without gradients, whether the result is zeros (before ``norm``) where
            ``src_key_padding_mask`` hides the ends of sequences, as in PyTorch, which leaves them out.
        mask_check: whether to look if it is only the ends that are hidden.

    >>> import flambeau as torch
    >>> layer = torch.nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    >>> torch.nn.TransformerEncoder(layer, 2)(torch.zeros(3, 5, 8)).shape
    torch.Size([3, 5, 8])
    """

    def __init__(self, encoder_layer: Module, num_layers: int, norm: Module | None = None,
                 enable_nested_tensor: bool = True, mask_check: bool = True) -> None:
        super().__init__()
        self.layers = _copies(encoder_layer, num_layers)
        self.num_layers = num_layers
        self.norm = norm
        self.enable_nested_tensor = enable_nested_tensor
        self.use_nested_tensor = enable_nested_tensor
        self.mask_check = mask_check
        reason = _keeps_padding(encoder_layer)
        if enable_nested_tensor and reason:
            warnings.warn("enable_nested_tensor is True, but self.use_nested_tensor is False because " + reason,
                          UserWarning, stacklevel=2)
            self.use_nested_tensor = False

    def forward(self, src: Tensor, mask: Tensor | None = None, src_key_padding_mask: Tensor | None = None,
                is_causal: bool | None = None) -> Tensor:
        """Apply the layers one after another.

        Args:
            src: what the layers take.
            mask: (length, length) or (batch times heads, length, length); true where attention is forbidden, or
                numbers that are added.
            src_key_padding_mask: (batch, length); true for positions to which nobody may attend, or numbers.
            is_causal: whether ``mask`` is the causal one; None looks.
        """
        mask, src_key_padding_mask = canonical_masks(
            mask, src_key_padding_mask, ("mask", "src_key_padding_mask"), src.dtype)
        zeros = self._padded_gives_zeros(src, mask, src_key_padding_mask)
        output = src
        length = masks.sequence_length(src, self.layers[0].self_attn.batch_first)
        is_causal = masks.is_causal_mask(mask, is_causal, length)
        for layer in self.layers:
            output = layer(output, src_mask=mask, is_causal=is_causal, src_key_padding_mask=src_key_padding_mask)
        if zeros and src_key_padding_mask is not None:
            output = output.masked_fill((src_key_padding_mask != 0).unsqueeze(-1), 0.0)
        return output if self.norm is None else self.norm(output)

    def _padded_gives_zeros(self, src: Tensor, mask: Tensor | None, padding: Tensor | None) -> bool:
        """Whether PyTorch leaves out the padding of this input."""
        if padding is None or mask is not None or src.dim() != 3 or not self.use_nested_tensor:
            return False
        first = self.layers[0]
        if first.training or not settings.attention.fastpath or is_autocast_enabled():
            return False
        if is_grad_enabled() and (src.requires_grad or any(each.requires_grad for each in first.parameters())):
            return False
        return not self.mask_check or masks.hides_ends(padding)


class TransformerDecoder(Module):
    """A stack of decoder layers.

    Args:
        decoder_layer: the layer, of which the stack gets copies; they begin with the same values.
        num_layers: how many.
        norm: a module for the result, such as a layer normalisation.

    >>> import flambeau as torch
    >>> decoder = torch.nn.TransformerDecoder(torch.nn.TransformerDecoderLayer(8, 2, 16), 2)
    >>> decoder(torch.zeros(4, 3, 8), torch.zeros(6, 3, 8)).shape
    torch.Size([4, 3, 8])
    """

    def __init__(self, decoder_layer: Module, num_layers: int, norm: Module | None = None) -> None:
        super().__init__()
        self.layers = _copies(decoder_layer, num_layers)
        self.num_layers = num_layers
        self.norm = norm

    def forward(
        self, tgt: Tensor, memory: Tensor, tgt_mask: Tensor | None = None, memory_mask: Tensor | None = None,
        tgt_key_padding_mask: Tensor | None = None, memory_key_padding_mask: Tensor | None = None,
        tgt_is_causal: bool | None = None, memory_is_causal: bool = False,
    ) -> Tensor:
        """Apply the layers one after another; ``tgt_is_causal=None`` looks whether ``tgt_mask`` is the causal one.

        The other arguments are those of the layers.
        """
        length = masks.sequence_length(tgt, self.layers[0].self_attn.batch_first)
        tgt_is_causal = masks.is_causal_mask(tgt_mask, tgt_is_causal, length)
        output = tgt
        for layer in self.layers:
            output = layer(output, memory, tgt_mask=tgt_mask, memory_mask=memory_mask,
                           tgt_key_padding_mask=tgt_key_padding_mask,
                           memory_key_padding_mask=memory_key_padding_mask, tgt_is_causal=tgt_is_causal,
                           memory_is_causal=memory_is_causal)
        return output if self.norm is None else self.norm(output)


class Transformer(Module):
    """An encoder and a decoder.

    Args:
        d_model: number of features.
        nhead: number of attention heads.
        num_encoder_layers: layers of the encoder.
        num_decoder_layers: layers of the decoder.
        dim_feedforward: features between the two linear layers of a network.
        dropout: share that is dropped in training.
        activation: "relu", "gelu", or a function of a tensor.
        custom_encoder: a module in the encoder's place.
        custom_decoder: a module in the decoder's place.
        layer_norm_eps: what the normalisations add to the variance.
        batch_first: whether sequences are (batch, length, features), where otherwise length comes first.
        norm_first: whether to normalise before attention and network, and not after the sums.
        bias: whether linear layers and normalisations have biases.
        device: where the parameters live.
        dtype: the parameters' dtype.

    >>> import flambeau as torch
    >>> model = torch.nn.Transformer(8, 2, 1, 1, 16, batch_first=True)
    >>> model(torch.zeros(3, 6, 8), torch.zeros(3, 4, 8)).shape
    torch.Size([3, 4, 8])
    """

    def __init__(
        self, d_model: int = 512, nhead: int = 8, num_encoder_layers: int = 6, num_decoder_layers: int = 6,
        dim_feedforward: int = 2048, dropout: float = 0.1, activation: Activation = F.relu,
        custom_encoder: Any = None, custom_decoder: Any = None, layer_norm_eps: float = 1e-5,
        batch_first: bool = False, norm_first: bool = False, bias: bool = True, device: Any = None, dtype: Any = None,
    ) -> None:
        super().__init__()
        where = {"device": device, "dtype": dtype}
        rest = (d_model, nhead, dim_feedforward, dropout, activation, layer_norm_eps, batch_first, norm_first, bias)

        def norm() -> LayerNorm:
            return LayerNorm(d_model, eps=layer_norm_eps, bias=bias, **where)

        if custom_encoder is not None:
            self.encoder = custom_encoder
        else:
            self.encoder = TransformerEncoder(TransformerEncoderLayer(*rest, **where), num_encoder_layers, norm())
        if custom_decoder is not None:
            self.decoder = custom_decoder
        else:
            self.decoder = TransformerDecoder(TransformerDecoderLayer(*rest, **where), num_decoder_layers, norm())
        self._reset_parameters()
        self.d_model = d_model
        self.nhead = nhead
        self.batch_first = batch_first

    def forward(
        self, src: Tensor, tgt: Tensor, src_mask: Tensor | None = None, tgt_mask: Tensor | None = None,
        memory_mask: Tensor | None = None, src_key_padding_mask: Tensor | None = None,
        tgt_key_padding_mask: Tensor | None = None, memory_key_padding_mask: Tensor | None = None,
        src_is_causal: bool | None = None, tgt_is_causal: bool | None = None, memory_is_causal: bool = False,
    ) -> Tensor:
        """The decoder's results for ``tgt``, given the encoder's for ``src``; masks as in the layers.

        RuntimeError where batches differ, or features are not ``d_model``.
        """
        batch = 0 if self.batch_first else 1
        if src.dim() == 3 and src.size(batch) != tgt.size(batch):
            raise ArgumentError(f"the batch number of src and tgt must be equal, got {src.size(batch)} and "
                                f"{tgt.size(batch)}")
        if src.size(-1) != self.d_model or tgt.size(-1) != self.d_model:
            raise ArgumentError(f"the feature number of src and tgt must be equal to d_model, {self.d_model}, got "
                                f"{src.size(-1)} and {tgt.size(-1)}")
        memory = self.encoder(src, mask=src_mask, src_key_padding_mask=src_key_padding_mask, is_causal=src_is_causal)
        result: Tensor = self.decoder(
            tgt, memory, tgt_mask=tgt_mask, memory_mask=memory_mask, tgt_key_padding_mask=tgt_key_padding_mask,
            memory_key_padding_mask=memory_key_padding_mask, tgt_is_causal=tgt_is_causal,
            memory_is_causal=memory_is_causal)
        return result

    @staticmethod
    def generate_square_subsequent_mask(sz: int, device: Any = None, dtype: Any = None) -> Tensor:
        """The causal mask, (sz, sz): zeros, and minus infinity above the diagonal.

        >>> import flambeau as torch
        >>> torch.nn.Transformer.generate_square_subsequent_mask(2)
        tensor([[0., -inf],
                [0., 0.]])
        """
        return masks.causal_mask(sz, device, dtype)

    def _reset_parameters(self) -> None:
        """Draw all matrices anew."""
        for parameter in self.parameters():
            if parameter.dim() > 1:
                init.xavier_uniform_(parameter)
