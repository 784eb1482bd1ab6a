"""Random numbers: called with the record's arguments (the generator is ours), then dtype, device index and `out`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flambeau_numpy.dtypes import TO_NUMPY


def _draw(name: str) -> Callable[..., Any]:
    """A kernel that draws parameters from a distribution: the generator's method of that name."""
    def kernel(size: Any, *parameters: Any, out: Any = None) -> Any:
        *numbers, generator, dtype, _ = parameters
        return getattr(generator, name)(size, TO_NUMPY[dtype], *numbers, out=out)
    return kernel


def _number_first(name: str) -> Callable[..., Any]:
    """The same for methods that take their one number before the shape."""
    def kernel(size: Any, number: Any, generator: Any, dtype: Any, index: int, out: Any = None) -> Any:
        return getattr(generator, name)(number, size, TO_NUMPY[dtype], out=out)
    return kernel


def _randint(size: Any, low: int, high: int, generator: Any, dtype: Any, index: int, out: Any = None) -> Any:
    return generator.randint(low, high, size, TO_NUMPY[dtype], out=out)


def _randperm(n: int, generator: Any, dtype: Any, index: int) -> Any:
    return generator.randperm(n, TO_NUMPY[dtype])


KERNELS: dict[str, Any] = {
    **{name: _draw(name) for name in ("uniform", "normal", "exponential", "log_normal", "cauchy", "random")},
    **{name: _number_first(name) for name in ("geometric", "dropout_mask")},
    "coins": _number_first("bernoulli"),
    "randint": _randint,
    "randperm": _randperm,
    "bernoulli": lambda p, generator: generator.bernoulli(p),
    "normal_from": lambda mean, std, generator: generator.normal_from(mean, std),
    "multinomial": lambda weights, count, replacement, generator: generator.multinomial(weights, count, replacement),
}
