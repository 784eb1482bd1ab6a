"""The small models that the level "training" trains, written once for Flambeau and for PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from flambeau_conformance.levels._values import Array


@dataclass(frozen=True)
class Model:
    """A model of either library, its optimizer, its loss, and where its batches come from."""

    build: Callable[[Any], Any]                      # (library)
    optimizer: Callable[[Any, Any], Any]             # (library.optim, parameters)
    loss: Callable[..., Any]                         # (library, module, *batch)
    batch: Callable[[Any], tuple[Array, ...]]        # (NumPy's generator)
    steps: int = 20


def _perceptron(t: Any) -> Any:
    return t.nn.Sequential(t.nn.Linear(4, 8), t.nn.ReLU(), t.nn.Linear(8, 3))


def _cnn(t: Any) -> Any:
    n = t.nn
    return n.Sequential(n.Conv2d(1, 4, 3, padding=1, bias=False), n.BatchNorm2d(4), n.SiLU(), n.AvgPool2d(2),
                        n.Conv2d(4, 6, 3, stride=2, padding=1, groups=2), n.GELU(), n.AdaptiveAvgPool2d(2),
                        n.Flatten(), n.Linear(24, 3))


def _sequence(t: Any) -> Any:
    """Embeddings, causal attention with two heads, a feed-forward block, layer norms: a transformer of one block."""
    n, f = t.nn, t.nn.functional

    class Block(n.Module):  # type: ignore[name-defined, misc]
        def __init__(self) -> None:
            super().__init__()
            self.table, self.places = n.Embedding(11, 8), n.Embedding(6, 8)
            self.norm1, self.norm2 = n.LayerNorm(8), n.LayerNorm(8)
            self.mix, self.out = n.Linear(8, 24), n.Linear(8, 8)
            self.wide = n.Sequential(n.Linear(8, 16), n.GELU(), n.Linear(16, 8))
            self.head = n.Linear(8, 11)

        def forward(self, tokens: Any) -> Any:
            x = self.table(tokens) + self.places(t.arange(tokens.shape[1], device=tokens.device))
            q, k, v = self.mix(self.norm1(x)).reshape(*x.shape[:2], 3, 2, 4).permute(2, 0, 3, 1, 4).unbind(0)
            mixed = f.scaled_dot_product_attention(q, k, v, is_causal=True)
            x = x + self.out(mixed.transpose(1, 2).reshape(x.shape))
            return self.head(x + self.wide(self.norm2(x)))
    return Block()


def _recurrent(t: Any) -> Any:
    """A cell in a loop: one weight used many times."""
    n = t.nn

    class Cell(n.Module):  # type: ignore[name-defined, misc]
        def __init__(self) -> None:
            super().__init__()
            self.inner, self.outer = n.Linear(3, 5), n.Linear(5, 5, bias=False)
            self.head = n.Linear(5, 1)

        def forward(self, x: Any) -> Any:
            state = x.new_zeros((x.shape[0], 5))
            for part in x.unbind(1):
                state = t.tanh(self.inner(part) + self.outer(state))
            return self.head(state).squeeze(-1)
    return Cell()


def _classes(t: Any, module: Any, x: Any, y: Any) -> Any:
    return t.nn.functional.cross_entropy(module(x), y)


def _next_token(t: Any, module: Any, tokens: Any) -> Any:
    return t.nn.functional.cross_entropy(module(tokens[:, :-1]).reshape(-1, 11), tokens[:, 1:].reshape(-1))


def _clipped(t: Any, module: Any, x: Any, y: Any) -> Any:
    return ((module(x) - y) ** 2).mean() + sum((each * each).sum() for each in module.parameters()) * 1e-3


def _vectors(rng: Any) -> tuple[Array, ...]:
    return rng.normal(size=(10, 4)).astype(np.float32), rng.integers(0, 3, 10)


def _images(rng: Any) -> tuple[Array, ...]:
    return rng.normal(size=(6, 1, 8, 8)).astype(np.float32), rng.integers(0, 3, 6)


def _tokens(rng: Any) -> tuple[Array, ...]:
    return (rng.integers(0, 11, (4, 7)),)


def _series(rng: Any) -> tuple[Array, ...]:
    x = rng.normal(size=(5, 6, 3)).astype(np.float32)
    return x, x.sum((1, 2)).astype(np.float32) * 0.2


MODELS: dict[str, Model] = {
    "perceptron": Model(_perceptron, lambda o, p: o.SGD(p, lr=0.1, momentum=0.9), _classes, _vectors),
    "cnn": Model(_cnn, lambda o, p: o.AdamW(p, lr=0.01, eps=1e-4), _classes, _images, steps=12),
    "sequence": Model(_sequence, lambda o, p: o.Adam(p, lr=0.01, eps=1e-4), _next_token, _tokens, steps=12),
    "recurrent": Model(_recurrent, lambda o, p: o.RMSprop(p, lr=0.01, eps=1e-3), _clipped, _series, steps=12),
}
