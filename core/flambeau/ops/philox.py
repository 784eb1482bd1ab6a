"""Random numbers from the words of the counter-based generator: what draws are decomposed into.

A backend that has neither a generator nor kernels for draws gets all of them from here; `philox` is the one operator
that is worth a kernel. Integers and uniform numbers come from whole words by exact steps, so they are the same on
every device; normal numbers go through the device's logarithm and cosine.
"""

from __future__ import annotations

import math
from typing import Any

from flambeau import dtypes, philox
from flambeau.discovery import Kind
from flambeau.dispatch import operator
from flambeau.errors import ArgumentError, UnsupportedDtypeError, UnsupportedError, message
from flambeau.ops import _samples, search, views
from flambeau.ops.creation import _arange
from flambeau.philox import PhiloxGenerator
from flambeau.shapes import Shape
from flambeau.tensor import Tensor, alias

# Binary digits of each floating dtype: a uniform number is an integer of so many, scaled down without rounding.
DIGITS = {"float64": 53, "float32": 24, "float16": 11, "bfloat16": 8}

Words = tuple[Tensor, Tensor, Tensor, Tensor]


def _samples_philox(make: Any) -> _samples.Calls:
    yield (make.index(2, 3, high=1000), 12345, 8), {}


@operator(samples=_samples_philox, vjp="none", dtype_rule="any", method=False, no_fallback=True,
          outputs=("first", "second", "third", "fourth"))
def _philox(index: Tensor, seed: int, offset: int) -> Words:
    """The four 32-bit words of each element index, int64 in and out, for a seed and an offset below 2**64."""
    block = offset // philox.WORDS
    high = index >> 32 if index.numel() > 1 << 32 else 0
    return philox.philox((block & 0xFFFFFFFF, block >> 32, index & 0xFFFFFFFF, high), (seed & 0xFFFFFFFF, seed >> 32))


def words(size: Shape, generator: Any, kind: Kind) -> Words:
    """Four words for each element of a draw. UnsupportedError where the backend's generator is one of its own."""
    if not isinstance(generator, PhiloxGenerator):
        raise UnsupportedError(message(
            "draw", f"device {str(kind.device)!r} has a generator of its own but no kernel for this draw",
            next_step="add kernels['uniform'], ['normal'] and ['randint'] to the backend, or leave its "
            "default_generator away"))
    seed, offset = generator.take()
    index = _arange(0, 1, math.prod(size), kind.to(dtypes.int64)).reshape(size)
    result: Words = _philox(index, seed, offset)
    return result


def _fraction(first: Tensor, second: Tensor, dtype: dtypes.dtype, wide: dtypes.dtype) -> Tensor:
    """Numbers from [0, 1) with as many binary digits as `dtype` has, held in `wide`."""
    if dtype.name not in DIGITS:
        raise UnsupportedDtypeError(f"a draw from an interval is not implemented for {dtype}; "
                                    f"allowed: {', '.join(DIGITS)}; draw in one of these and convert the result")
    digits = DIGITS[dtype.name]
    bits = first >> (32 - digits) if digits <= 32 else (first >> 5) * (1 << digits - 27) + (second >> 6)
    return bits.to(wide) * 2.0 ** -digits


def _as_complex(parts: Tensor) -> Tensor:
    return alias(views.view_as_complex(parts))  # nobody else has the memory: it shall not look like a view


def uniform(size: Shape, low: float, high: float, generator: Any, kind: Kind) -> Tensor:
    """Numbers from [low, high), for each part where the kind is complex."""
    if kind.dtype.is_complex:
        return _as_complex(uniform((*size, 2), low, high, generator, kind.to(kind.dtype.to_real())))
    first, second, _, _ = words(size, generator, kind)
    result = _fraction(first, second, kind.dtype, kind.compute.dtype)
    if (low, high) != (0.0, 1.0):
        result = result * (high - low) + low
    return result.to(kind.dtype)


def normal(size: Shape, mean: float, std: float, generator: Any, kind: Kind) -> Tensor:
    """Normal numbers: radius and angle of a point of the plane, after Box and Muller."""
    if kind.dtype.is_complex:
        parts = normal((*size, 2), 0.0, std * math.sqrt(0.5), generator, kind.to(kind.dtype.to_real()))
        result = _as_complex(parts)
        return result + mean if mean else result
    first, second, third, fourth = words(size, generator, kind)
    wide = kind.compute.dtype
    if kind.dtype.itemsize > 4:
        distance, turn = 1.0 - _fraction(first, second, wide, wide), _fraction(third, fourth, wide, wide)
    else:
        distance, turn = (first + 1).to(wide) * 2.0 ** -32, _fraction(second, second, wide, wide)
    result = (distance.log() * -2.0).sqrt() * (turn * (2.0 * math.pi)).cos()
    return (result * std + mean).to(kind.dtype)


def randint(size: Shape, low: int, high: int, generator: Any, kind: Kind) -> Tensor:
    """Whole numbers from [low, high): the remainder of one word, or of two for wide ranges, as PyTorch does."""
    first, second, _, _ = words(size, generator, kind)
    span = high - low
    if span <= 1 << 32:
        result = first if span == 1 << 32 else first % span
    elif span <= 1 << 63:
        result = (first >> 1) * (1 << 32) + second
        result = result if span == 1 << 63 else result % span
    elif span >= 1 << 64:
        return _signed(first, second).to(kind.dtype)
    else:
        return _widest(_signed(first, second), low, span).to(kind.dtype)
    return (result + low if low else result).to(kind.dtype)


def _signed(first: Tensor, second: Tensor) -> Tensor:
    """All 64 bits of two words as a signed integer."""
    return (first - (first >> 31) * (1 << 32)) * (1 << 32) + second


def _widest(bits: Tensor, low: int, span: int) -> Tensor:
    """Move a whole int64 into a range of more than 2**63 numbers, in steps that stay within int64."""
    half = 1 << 63
    inside = bits < span - half                      # as unsigned: below the span
    rest = low + half - span + (half - 1)
    return (bits + (low + half)).where(inside, bits - (half - 1) + rest)


def multinomial(weights: Tensor, count: int, replacement: bool, generator: Any) -> Tensor:
    """Indices in proportion to weights: by search in their sums, or as the first to come of a race."""
    kind = weights._kind.compute
    if not kind.dtype.is_floating_point:
        raise UnsupportedError(message("multinomial", f"not implemented for {weights.dtype}", allowed="floating dtypes",
                                       next_step="convert the weights with .float()"))
    weights = weights.detach().to(kind.dtype)
    _check_weights(weights, count, replacement)
    if replacement:
        sums = weights.cumsum(-1)
        chosen = uniform((*weights.shape[:-1], count), 0.0, 1.0, generator, kind)
        return search._searchsorted(sums, chosen * sums[..., -1:], True).clamp(max=weights.shape[-1] - 1)
    first, _, _, _ = words(weights.shape, generator, kind)
    chances = ((first >> 9) * 2 + 1).to(kind.dtype) * 2.0 ** -24       # odd: neither 0 nor 1
    return (weights / -chances.log()).topk(count).indices


def _check_weights(weights: Tensor, count: int, replacement: bool) -> None:
    """Refuse weights that are no proportions, and more draws than there are categories."""
    if weights.dim() not in (1, 2) or weights.shape[-1] == 0:
        raise ArgumentError(message("multinomial", "prob_dist must be 1 or 2 dim, with at least one category",
                                    given=f"shape {list(weights.shape)}"))
    if count <= 0:
        raise ArgumentError(message("multinomial", "cannot sample n_sample <= 0 samples", given=str(count)))
    if not replacement and count > weights.shape[-1]:
        raise ArgumentError(message("multinomial", "cannot sample n_sample > prob_dist.size(-1) samples without "
                                    "replacement", given=f"{count} of {weights.shape[-1]}"))
    if not bool(((weights >= 0) & (weights < math.inf)).all()):
        raise ArgumentError("multinomial: probability tensor contains either `inf`, `nan` or element < 0")
    if not bool((weights.sum(-1) > 0).all()):
        raise ArgumentError("multinomial: invalid multinomial distribution (sum of probabilities <= 0)")
