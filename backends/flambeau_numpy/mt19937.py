"""The random numbers of the "cpu" device: a Mersenne Twister that repeats PyTorch's, draw for draw.

A ported program can only be compared with its original, run for run, if both see the same numbers. So every
method here takes from the stream exactly what PyTorch 2.13 takes, in the same order, does the same arithmetic
on it and leaves the generator in the same state; `get_state` and `set_state` speak PyTorch's own 5056 bytes.
What that demands:

* The stream itself is NumPy's MT19937, whose seeding and tempering are the same; draws come in bulk through
  `random_raw`.
* float32 uniforms use the low 24 bits of one draw, float64 the low 53 bits of two (the first one is the high
  half).
* `normal` has two algorithms: below 16 values (and for targets that are not contiguous) pairs in float64 with
  the spare value kept for the next call; from 16 contiguous values on, Box-Muller over blocks of 16 (see
  `box_muller`).
* PyTorch's kernels are compiled with fused multiply-add. `box_muller.fma32` and `fma64` round once, as the
  hardware does.
* Transcendental functions in float64 come from the C library there. NumPy's own SIMD versions differ by an
  ulp now and then, so results that reach the caller in float64 go through `math`, which is the same C
  library.

A given `out` is filled the way PyTorch fills a strided tensor: in the order of its memory, not of its
indices. Methods raise what PyTorch raises for arguments that make no sense. A shape without elements draws
nothing.

PyTorch's CPU results assume a processor with AVX2 and FMA; so do these. PyTorch draws in one thread, whatever
the number of threads. Older versions handed `bernoulli_(float)`, so dropout, and `exponential_` to MKL's own
generator on some processors; 2.13 does not, whichever vendor the processor reports, and this is the stream
repeated here.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from .box_muller import box_muller32, box_muller64, fma32, fma64, libm
from .compiled import compiled, dropout_factors
from .mt19937_stream import DEFAULT_SEED, STATE_BYTES, Stream
from .mt19937_values import (
    BFLOAT16,
    DIGITS,
    FLOAT16,
    FLOAT32,
    FLOAT64,
    INT64_MAX,
    INT64_MIN,
    LARGEST,
    REAL_OF,
    Array,
    Shape,
    check_bounds,
    check_weights,
    complex_parts,
    count_of,
    deliver,
    from_int64,
    memory_order,
    narrow,
    representable_from,
    representable_to,
    require_float,
    shuffled,
)

__all__ = ["DEFAULT_SEED", "STATE_BYTES", "MT19937Generator"]

_TWO_PI = 2.0 * math.pi


_MANTISSA = np.uint64((1 << 53) - 1)


class MT19937Generator(Stream):
    """The state of one stream of random numbers, and the draws that PyTorch makes from it.

    Args:
        seed: as `manual_seed`; PyTorch's default seed if none is given.

    The methods that draw take `shape` (an int or a sequence) and `dtype` (NumPy's, or ml_dtypes' bfloat16)
    and return a new C-ordered array; or they take `out`, whose own shape, dtype and strides then count, fill
    it and return it. They are safe to call from several threads: each call holds `lock`, an RLock that a
    caller may hold over several calls.
    """

    # ---------------------------------------------------------------- continuous distributions

    def uniform(
        self,
        shape: Shape = (),
        dtype: DTypeLike = np.float32,
        low: float = 0.0,
        high: float = 1.0,
        *,
        out: Array | None = None,
    ) -> Array:
        """Numbers from [low, high), as `rand` and `Tensor.uniform_` draw them; two for a complex element."""
        shape, kind = (out.shape, out.dtype) if out is not None else (shape, np.dtype(dtype))
        if kind in REAL_OF:
            return self._complex(self.uniform, shape, kind, (low, high), out)
        require_float("uniform", kind)
        largest = LARGEST[kind]
        if not (-largest <= low <= high <= largest and high - low <= largest):
            raise RuntimeError(
                f"uniform expects low <= high and high - low <= {largest} (the largest {kind}), "
                f"but got low={low}, high={high}"
            )
        count = count_of(shape)
        work = FLOAT64 if kind == FLOAT64 else FLOAT32
        with self.lock:
            values = self._unit64(count) if work == FLOAT64 else self._unit32(count)
        if low != 0.0 or high != 1.0:
            with np.errstate(over="ignore"):
                start, stop = work.type(low), work.type(high)
                fma = fma64 if work == FLOAT64 else fma32
                values = fma(values, float(stop - start), float(start))
        values = narrow(values, kind)
        if work != kind or low != 0.0 or high != 1.0:
            end = np.asarray(high, work).astype(kind)
            values[values == end] = np.asarray(low, work).astype(kind)  # rounded up to the excluded end
        return deliver(values, shape, out)

    def normal(
        self,
        shape: Shape = (),
        dtype: DTypeLike = np.float32,
        mean: float = 0.0,
        std: float = 1.0,
        *,
        out: Array | None = None,
    ) -> Array:
        """Normal numbers, as `randn` and `Tensor.normal_` draw them.

        Complex dtypes get a variance of `std**2` per element, half of it in each part.
        """
        shape, kind = (out.shape, out.dtype) if out is not None else (shape, np.dtype(dtype))
        if not std >= 0.0:
            raise RuntimeError(f"normal expects std >= 0, but got std={std}")
        if kind in REAL_OF:
            return self._complex(self.normal, shape, kind, (mean, std / math.sqrt(2.0)), out)
        require_float("normal", kind)
        count = count_of(shape)
        with self.lock:
            if count >= 16 and (out is None or out.flags.c_contiguous):
                values = self._normal_blocks(count, kind, mean, std)
            else:
                values = self._normal_pairs(count, mean, std)
        return deliver(narrow(values, kind), shape, out)

    def _complex(
        self,
        draw: Callable[..., Array],
        shape: Shape,
        dtype: np.dtype[Any],
        parameters: tuple[float, float],
        out: Array | None,
    ) -> Array:
        """Draw the real and imaginary parts of a complex array as one real array, the parts innermost."""
        if out is not None:
            draw((), REAL_OF[dtype], *parameters, out=complex_parts(out))
            return out
        dims = (shape,) if isinstance(shape, int) else tuple(shape)
        return draw((*dims, 2), REAL_OF[dtype], *parameters).view(dtype).reshape(dims)

    def _normal_blocks(self, count: int, dtype: np.dtype[Any], mean: float, std: float) -> Array:
        """At least 16 normal numbers, 16 at a time; a rest is made by drawing the last 16 anew."""
        whole, rest = count - count % 16, count % 16
        # PyTorch fills float32 and float64 tensors with uniforms to the end before it starts on the blocks.
        skipped = rest if dtype in (FLOAT32, FLOAT64) else 0
        total = whole + (skipped + 16 if rest else 0)
        uniform = self._unit64(total) if dtype == FLOAT64 else self._unit32(total)
        if skipped:
            uniform = np.concatenate((uniform[:whole], uniform[-16:]))
        values = (box_muller64 if dtype == FLOAT64 else box_muller32)(uniform, mean, std)
        if rest:
            last = values[-16:].copy()
            values = values[:count]
            values[-16:] = last
        return values

    def _normal_pairs(self, count: int, mean: float, std: float) -> Array:
        """float64 normal numbers, two from four draws; the spare one waits for the next call."""
        values: list[float] = []
        if count and self._next_normal is not None:
            values.append(self._next_normal)
            self._next_normal = None
        pairs = (count - len(values) + 1) // 2
        if pairs:
            draws = iter(self._unit64(2 * pairs).tolist())
            for u1, u2 in zip(draws, draws, strict=True):
                radius, angle = math.sqrt(-2.0 * math.log1p(-u2)), _TWO_PI * u1
                values.append(radius * math.cos(angle))
                values.append(radius * math.sin(angle))
            if len(values) > count:
                self._next_normal = values.pop()
        return fma64(np.array(values, np.float64), std, mean)

    def normal_from(self, mean: Array | float, std: Array | float) -> Array:
        """Normal numbers with a mean and a standard deviation for each, as `torch.normal` draws them.

        At least one of the two is an array; they broadcast. The result has the dtype of `mean` if that is an
        array, of `std` otherwise.
        """
        scale = 1.0 if isinstance(std, np.ndarray) else std
        if np.any(np.less(std, 0)):
            raise RuntimeError(
                "normal expects every element of std >= 0, but some are negative; pass magnitudes"
            )
        like = mean if isinstance(mean, np.ndarray) else std
        if not isinstance(like, np.ndarray):
            raise TypeError("normal_from expects an array as mean or std; call normal for two numbers")
        values = self.normal(np.broadcast_shapes(np.shape(mean), np.shape(std)), like.dtype, 0.0, scale)
        if isinstance(std, np.ndarray):
            values = self._combine(np.multiply, values, std)
        return self._combine(np.add, values, mean)

    @staticmethod
    def _combine(function: np.ufunc, values: Array, other: Array | float) -> Array:
        """`function(values, other)` in their common dtype, rounded to that of `values`."""
        if not isinstance(other, np.ndarray):
            other = np.asarray(other).astype(values.dtype)
        if {values.dtype, other.dtype} == {FLOAT16, BFLOAT16}:
            other = other.astype(np.float32)
        with np.errstate(all="ignore"):
            return np.asarray(function(values, other)).astype(values.dtype, copy=False)

    def exponential(
        self,
        shape: Shape = (),
        dtype: DTypeLike = np.float32,
        lambd: float = 1.0,
        *,
        out: Array | None = None,
    ) -> Array:
        """Numbers of the exponential distribution of rate `lambd`, as `Tensor.exponential_` draws them."""
        shape, kind = (out.shape, out.dtype) if out is not None else (shape, np.dtype(dtype))
        if not lambd > 0.0:
            raise RuntimeError(f"exponential expects lambd > 0, but got {lambd}")
        if kind not in DIGITS:
            raise RuntimeError(f"exponential draws floats, not {kind}; draw floats and convert them")
        with self.lock:
            unit = self._unit64(count_of(shape))
        np.negative(unit, out=unit)
        factor = -1.0 / lambd
        if kind == FLOAT64:
            return deliver(factor * libm(math.log1p, unit), shape, out)
        # Far from a rounding boundary an ulp of float64 does not show; near one the C library decides.
        wide = factor * np.log1p(unit)
        values = narrow(wide * (1.0 + 2.0**-48), kind)
        below = narrow(wide * (1.0 - 2.0**-48), kind)
        doubtful = np.flatnonzero(values != below)
        if doubtful.size:
            values[doubtful] = narrow(factor * libm(math.log1p, unit[doubtful]), kind)
        return deliver(values, shape, out)

    def geometric(
        self, p: float, shape: Shape = (), dtype: DTypeLike = np.float32, *, out: Array | None = None
    ) -> Array:
        """Trials up to the first success of probability `p`, as `Tensor.geometric_` draws them."""
        shape, kind = (out.shape, out.dtype) if out is not None else (shape, np.dtype(dtype))
        if not 0.0 < p < 1.0:
            raise RuntimeError(f"geometric expects p in (0, 1), but got p={p}")
        if kind.kind in "bc":
            raise NotImplementedError(f"geometric draws integers or floats, not {kind}")
        with self.lock:
            unit = self._unit64(count_of(shape))
        zero = unit == 0.0
        unit[zero] = 1.0
        trials = np.ceil(libm(math.log, unit) / math.log1p(-p))
        trials[zero] = np.inf
        return deliver(narrow(trials, kind), shape, out)

    def log_normal(
        self,
        shape: Shape = (),
        dtype: DTypeLike = np.float32,
        mean: float = 1.0,
        std: float = 2.0,
        *,
        out: Array | None = None,
    ) -> Array:
        """Exponentials of normal numbers, as `Tensor.log_normal_` draws them."""
        shape, kind = (out.shape, out.dtype) if out is not None else (shape, np.dtype(dtype))
        if not std > 0.0:
            raise RuntimeError(f"log_normal expects std > 0, but got std={std}")
        require_float("log_normal", kind)
        with self.lock:
            normal = self._normal_pairs(count_of(shape), mean, std)
        with np.errstate(over="ignore"):
            values = np.where(normal > 709.0, np.exp(normal), libm(math.exp, np.minimum(normal, 709.0)))
            return deliver(narrow(values, kind), shape, out)

    def cauchy(
        self, shape: Shape = (), dtype: DTypeLike = np.float32, median: float = 0.0, sigma: float = 1.0, *,
        out: Array | None = None,
    ) -> Array:  # fmt: skip
        """Numbers of the Cauchy distribution, as `Tensor.cauchy_` draws them."""
        shape, kind = (out.shape, out.dtype) if out is not None else (shape, np.dtype(dtype))
        if not sigma > 0.0:
            raise RuntimeError(f"cauchy expects sigma > 0, but got sigma={sigma}")
        if kind not in DIGITS:
            raise RuntimeError(f"cauchy draws floats, not {kind}; draw floats and convert them")
        with self.lock:
            unit = self._unit64(count_of(shape))
        unit -= 0.5
        unit *= math.pi
        with np.errstate(over="ignore"):
            return deliver(narrow(fma64(libm(math.tan, unit), sigma, median), kind), shape, out)

    # ---------------------------------------------------------------- integers

    def randint(
        self, low: int, high: int, shape: Shape = (), dtype: DTypeLike = np.int64, *, out: Array | None = None
    ) -> Array:
        """Whole numbers from [low, high), as `randint` and `Tensor.random_(low, high)` draw them.

        Every real dtype but the ones too narrow for the bounds will do. Fewer than 2**28 possible values take
        32 bits of the stream each, more take 64.
        """
        shape, kind = (out.shape, out.dtype) if out is not None else (shape, np.dtype(dtype))
        if low >= high:
            raise RuntimeError(f"randint expects low < high, but got low={low} and high={high}")
        if kind in DIGITS:
            low, high = representable_from(low, kind), representable_to(high, kind)
            if low >= high:
                raise RuntimeError(
                    f"randint expects low < high among the values of {kind}, but got low={low}, high={high}"
                )
        check_bounds(low, high - 1, kind)
        return deliver(self._bounded(count_of(shape), high - low, low, kind), shape, out)

    def _bounded(self, count: int, span: int, base: int, dtype: np.dtype[Any]) -> Array:
        """`count` whole numbers from [base, base + span), flat."""
        with self.lock:
            if span < 2**28:
                small = self._raw32(count)
                small %= np.uint32(span)
                values = small.astype(np.int64)
            else:
                large = self._raw64(count)
                large %= np.uint64(span)
                values = large.view(np.int64)
        if base:
            values += np.int64(base)  # wraps, as in C++
        return from_int64(values, dtype)

    def random(
        self, shape: Shape = (), dtype: DTypeLike = np.int64, low: int | None = None, high: int | None = None, *,
        out: Array | None = None,
    ) -> Array:  # fmt: skip
        """Whole numbers as `Tensor.random_` draws them.

        Without bounds: from 0 to the largest of an integer dtype, to 2**digits of a float one. With `low`
        only: from `low` to the same end (all of int64 for its smallest). With both: `randint`. With `high`
        only: from 0.
        """
        shape, kind = (out.shape, out.dtype) if out is not None else (shape, np.dtype(dtype))
        if high is not None:
            return self.randint(low or 0, high, shape, kind, out=out)
        count = count_of(shape)
        if low is None:
            return deliver(self._full_range(count, kind), shape, out)
        if low == INT64_MIN:
            if kind not in (np.dtype(np.int64), FLOAT64, FLOAT32, BFLOAT16):
                raise RuntimeError(
                    f"random over all of int64 wants int64, float64, float32 or bfloat16, not {kind}"
                )
            with self.lock:
                return deliver(from_int64(self._raw64(count).view(np.int64), kind), shape, out)
        if kind in DIGITS:
            last, low = 1 << DIGITS[kind], representable_from(low, kind)
        else:
            last = 1 if kind == np.bool_ else min(int(np.iinfo(kind).max), INT64_MAX)
        if low > last:
            raise RuntimeError(f"random expects low <= {last} for {kind}, but got low={low}")
        check_bounds(low, last, kind)
        return deliver(self._bounded(count, last - low + 1, low, kind), shape, out)

    def _full_range(self, count: int, dtype: np.dtype[Any]) -> Array:
        """`random` without bounds, flat."""
        if dtype in DIGITS:
            span = (1 << DIGITS[dtype]) + 1
        elif dtype == np.bool_:
            span = 2
        elif dtype.kind == "i" or dtype == np.uint8:
            span = int(np.iinfo(dtype).max) + 1
        else:
            raise NotImplementedError(f"random without bounds is not defined for {dtype}; give low and high")
        with self.lock:
            if dtype == FLOAT64 or dtype == np.int64:
                values = (self._raw64(count) % np.uint64(span)).view(np.int64)
            else:
                values = (self._raw32(count) % np.uint32(span)).astype(np.int64)
        return from_int64(values, dtype)

    def randperm(self, n: int, dtype: DTypeLike = np.int64) -> Array:
        """The whole numbers below `n` in random order, as `torch.randperm` draws them."""
        kind = np.dtype(dtype)
        if n < 0:
            raise RuntimeError(f"randperm expects n >= 0, but got n={n}")
        if kind in DIGITS and n > (1 << DIGITS[kind]) + 1:
            raise RuntimeError(f"randperm expects n <= {(1 << DIGITS[kind]) + 1} for {kind}, but got n={n}")
        if kind.kind in "iu" and n > np.iinfo(kind).max:
            raise RuntimeError(f"randperm expects n <= {np.iinfo(kind).max} for {kind}, but got n={n}")
        if n >= (2**32 - 1) // 20:
            raise RuntimeError(f"randperm expects n < {(2**32 - 1) // 20}, but got n={n}; permute in parts")
        if n < 2:
            return np.zeros(n, kind)
        with self.lock:
            offsets = self._raw32(n - 1)
        offsets %= np.arange(n, 1, -1, dtype=np.uint32)
        return from_int64(shuffled(offsets), kind)

    # ---------------------------------------------------------------- choices

    def bernoulli(
        self,
        p: float | Array,
        shape: Shape | None = None,
        dtype: DTypeLike | None = None,
        *,
        out: Array | None = None,
    ) -> Array:
        """Ones with probability `p`, else zeros.

        A number `p` goes as `Tensor.bernoulli_(float)` does: 53 bits of the stream for each element. An array
        `p` goes as `torch.bernoulli` does (`Tensor.bernoulli_(tensor)` with `out`): 24 bits for each, or 53
        if it is float64; the shape and dtype are then its own unless given.
        """
        if isinstance(p, np.ndarray):
            return self._bernoulli_array(p, p.shape if shape is None else shape, dtype or p.dtype, out)
        shape, kind = (
            (out.shape, out.dtype)
            if out is not None
            else (() if shape is None else shape, np.dtype(dtype or np.float32))
        )
        if not 0.0 <= p <= 1.0:
            raise RuntimeError(f"bernoulli expects p in [0, 1], but got p={p}")
        return deliver(self._coins(count_of(shape), p).astype(kind), shape, out)

    def _coins(self, count: int, p: float) -> Array:
        """`count` booleans, true with probability `p`: float64 uniforms below `p`, never made into floats."""
        with self.lock:
            raw = self._raw64(count)
        raw &= (1 << 53) - 1
        chosen: Array = raw < math.ceil(p * 2.0**53)
        return chosen

    def _bernoulli_array(self, p: Array, shape: Shape, dtype: DTypeLike, out: Array | None) -> Array:
        """One Bernoulli draw for every probability of an array."""
        require_float("bernoulli", p.dtype)
        if not np.all((p >= 0) & (p <= 1)):
            raise RuntimeError("bernoulli expects every p in [0, 1], but some are not")
        if out is not None:
            shape, kind = out.shape, out.dtype
            order = memory_order(out) if not out.flags.c_contiguous else range(out.ndim)
            limits = np.broadcast_to(p, shape).transpose(*order)
        else:
            kind, limits = np.dtype(dtype), np.broadcast_to(p, shape)
        with self.lock:
            unit = self._unit64(limits.size) if p.dtype == FLOAT64 else self._unit32(limits.size)
        chosen = unit.reshape(limits.shape) < limits.astype(unit.dtype, copy=False)
        return deliver(chosen.astype(kind).reshape(-1), shape, out)

    def dropout_mask(
        self, p: float, shape: Shape = (), dtype: DTypeLike = np.float32, *, out: Array | None = None
    ) -> Array:
        """The factors `dropout` multiplies by: 0 with probability `p`, else 1 / (1 - p).

        As in PyTorch, `p` of 0 or 1 draws nothing.
        """
        shape, kind = (out.shape, out.dtype) if out is not None else (shape, np.dtype(dtype))
        if not 0.0 <= p <= 1.0:
            raise ValueError(f"dropout expects p in [0, 1], but got p={p}")
        require_float("dropout", kind)
        count = count_of(shape)
        if p in (0.0, 1.0):
            return deliver(np.full(count, 1.0 - p, kind), shape, out)
        keep = FLOAT64.type(1.0 - p) if kind == FLOAT64 else FLOAT32.type(1.0 - p)
        scale = np.asarray(keep.dtype.type(1.0) / keep).astype(kind)
        loop = compiled(dropout_factors, count) if kind.itemsize > 2 else None
        if loop is not None:
            with self.lock:
                words = self._raw64(count)
            factors = np.empty(count, kind)
            loop(words, _MANTISSA, np.uint64(math.ceil((1.0 - p) * 2.0**53)), scale[()], factors)
            return deliver(factors, shape, out)
        if kind.itemsize == 2:
            return deliver(np.where(self._coins(count, 1.0 - p), scale, np.zeros((), kind)), shape, out)
        return deliver(np.multiply(self._coins(count, 1.0 - p), scale, dtype=kind), shape, out)

    def multinomial(self, weights: Array, num_samples: int, replacement: bool = False) -> NDArray[np.int64]:
        """Indices drawn in proportion to `weights` ((n,) or (m, n)), as `torch.multinomial` draws them.

        The result is (num_samples,) or (m, num_samples). A single sample is always drawn as without
        replacement. There, indices whose race ends in a tie (weights of 0 that have to be drawn; 16-bit
        dtypes) come in increasing order, where PyTorch promises none.
        """
        check_weights(weights, num_samples, replacement)
        if replacement and num_samples > 1:
            return self._with_replacement(weights, num_samples)
        race = self._combine(np.divide, weights, self.exponential(out=np.empty_like(weights)))
        if num_samples == 1:
            return np.asarray(np.argmax(race, axis=-1, keepdims=True), np.int64)
        race[np.isnan(race)] = np.inf  # PyTorch ranks nan (0 / 0) highest
        return np.argsort(-race, axis=-1, kind="stable")[..., :num_samples]

    def _with_replacement(self, weights: Array, num_samples: int) -> NDArray[np.int64]:
        """Search a uniform number in the running sum of the weights, for each sample."""
        rows = weights.reshape(-1, weights.shape[-1])
        sums = np.cumsum(rows, axis=1, dtype=FLOAT64 if rows.dtype == FLOAT64 else FLOAT32)
        np.divide(sums, sums[:, -1:].copy(), out=sums)
        sums[:, -1] = 1.0
        with self.lock:
            unit = self._unit64(len(rows) * num_samples).reshape(len(rows), num_samples)
        found = [np.searchsorted(row.astype(np.float64), u) for row, u in zip(sums, unit, strict=True)]
        return np.array(found, np.int64).reshape(*weights.shape[:-1], num_samples)
