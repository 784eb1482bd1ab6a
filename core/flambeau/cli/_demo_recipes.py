"""The models of `flambeau demo`, and how each is trained: apart from the rest, since `--help` shows it."""

from __future__ import annotations

from typing import NamedTuple


class Recipe(NamedTuple):
    """How one of the models is trained unless the command line says otherwise."""

    about: str
    epochs: int
    batch_size: int
    lr: float
    optimizer: str
    decay: float
    """Factor on the learning rate from one epoch to the next."""
    warmup: int = 0
    """Steps in which the learning rate rises to `lr`."""
    clip: float = 0.0
    """The largest norm of the gradients; 0 for any."""


# The multilayer perceptron's decay: with a constant rate its accuracy after five epochs depends on the seed and on the
# rounding of the machine, from 0.974 to 0.979; with this it stays above 0.9755.
RECIPES: dict[str, Recipe] = {
    "mlp": Recipe("two hidden layers, on handwritten digits", 5, 64, 1e-3, "Adam", 0.7),
    "resnet18": Recipe("a residual network, on handwritten digits", 1, 64, 1e-3, "Adam", 0.5),
    "transformer": Recipe("a language model, on Shakespeare letter by letter", 3, 32, 2e-3, "AdamW", 0.6, 100, 1.0),
}
