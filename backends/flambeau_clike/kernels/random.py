"""Random numbers: Philox4x32-10, element by element from its index, so that every device draws the same ones.

The numbers are those of `flambeau.ops.philox`, to the last bit but for logarithms and cosines. Called with the record's
arguments, then dtype, device index and `out`; `out` is filled in the order of its elements, not of its memory.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import flambeau.dtypes as fd
from flambeau.dtypes import INTEGER, dtype
from flambeau.ir.dialect import C_TYPES
from flambeau_clike.array import Array, empty
from flambeau_clike.device import Device
from flambeau_clike.kernels.creation import EXACT, Bits
from flambeau_clike.kernels.movement import cast, contiguous, copy
from flambeau_clike.launch import Scalar, launch
from flambeau_clike.program import Family

WORDS = 4
DIGITS = {fd.float64: 53, fd.float32: 24, fd.float16: 11, fd.bfloat16: 8}

_SHARED = EXACT + """
typedef struct { u32 first, second, third, fourth; } words_t;
FUNCTION words_t words_of(u64 index, u64 seed, u64 block) {
    u32 first = (u32)block, second = (u32)(block >> 32), third = (u32)index, fourth = (u32)(index >> 32);
    u32 key = (u32)seed, other = (u32)(seed >> 32);
    #pragma unroll
    for (int round = 0; round < 10; ++round) {
        u64 a = (u64)first * 0xD2511F53u, b = (u64)third * 0xCD9E8D57u;
        first = (u32)(b >> 32) ^ second ^ key;
        second = (u32)b;
        third = (u32)(a >> 32) ^ fourth ^ other;
        fourth = (u32)a;
        key += 0x9E3779B9u;
        other += 0xBB67AE85u;
    }
    words_t words = {first, second, third, fourth};
    return words;
}
FUNCTION f32 fraction_f32(u32 first, u32 second, int digits) {
    return (f32)(i32)(first >> (32 - digits)) * (1.0f / (f32)(1 << digits));
}
#ifdef FP64
FUNCTION f64 fraction_f64(u32 first, u32 second, int digits) {
    return ((f64)(first >> 5) * 67108864.0 + (f64)(second >> 6)) * 1.1102230246251565e-16;
}
#endif
/* A logarithm, a root and a cosine of plain arithmetic, which compilers turn into vector instructions; after Cephes. */
FUNCTION f32 log_f32(f32 x) {
    union { f32 number; u32 bits; } both;
    both.number = x;
    i32 shifted = (i32)both.bits - 0x3f3504f3;
    f32 e = (f32)(shifted >> 23);
    both.bits = (u32)((shifted & 0x7fffff) + 0x3f3504f3);
    f32 m = both.number - 1.0f, z = m * m, y = 7.0376836292e-2f;
    y = y * m - 1.1514610310e-1f; y = y * m + 1.1676998740e-1f; y = y * m - 1.2420140846e-1f;
    y = y * m + 1.4249322787e-1f; y = y * m - 1.6668057665e-1f; y = y * m + 2.0000714765e-1f;
    y = y * m - 2.4999993993e-1f; y = y * m + 3.3333331174e-1f;
    y = y * m * z - 2.12194440e-4f * e - 0.5f * z;
    return m + y + 0.693359375f * e;
}
FUNCTION f32 root_f32(f32 x) {
    union { f32 number; u32 bits; } both;
    both.number = x;
    both.bits = 0x5f3759dfu - (both.bits >> 1);
    f32 y = both.number, half_x = 0.5f * x;
    y = y * (1.5f - half_x * y * y); y = y * (1.5f - half_x * y * y); y = y * (1.5f - half_x * y * y);
    f32 root = x * y;
    return root + 0.5f * y * (x - root * root);
}
FUNCTION f32 cosine_f32(f32 turn) {
    i32 quarter = (i32)(turn * 4 + 0.5f);
    f32 x = (turn - (f32)quarter * 0.25f) * 6.28318530717958648f, z = x * x;
    f32 sine = x + x * z * ((-1.9515295891e-4f * z + 8.3321608736e-3f) * z - 1.6666654611e-1f);
    f32 cosine = 1 - 0.5f * z
        + z * z * ((2.443315711809948e-5f * z - 1.388731625493765e-3f) * z + 4.166664568298827e-2f);
    f32 found = quarter & 1 ? sine : cosine;
    return (quarter + 1) & 2 ? -found : found;
}
#ifdef FP64
FUNCTION f64 log_f64(f64 x) { return log(x); }
FUNCTION f64 root_f64(f64 x) { return sqrt(x); }
FUNCTION f64 cosine_f64(f64 turn) { return cos(turn * 6.283185307179586); }
#endif
FUNCTION f32 distance_f32(words_t w) {
    u32 next = w.first + 1u;
    return next ? (f32)next * 2.3283064365386963e-10f : 1.0f;
}
FUNCTION f32 turn_f32(words_t w) { return fraction_f32(w.second, w.second, 24); }
#ifdef FP64
FUNCTION f64 distance_f64(words_t w) { return 1.0 - fraction_f64(w.first, w.second, 53); }
FUNCTION f64 turn_f64(words_t w) { return fraction_f64(w.third, w.fourth, 53); }
#endif
"""

# What each draw makes of its words; `a` and `b` are its numbers, `u` a fraction.
_DRAWS = {
    "uniform": "u * b + a",
    "normal": "root_$T(2 * (0 - log_$T(distance_$T(w)))) * cosine_$T(turn_$T(w)) * b + (i & odd ? 0 : a)",
    "exponential": "fabs(log_$T(1 - u)) / a",
    "cauchy": "sin((u - ($T)0.5) * ($T)3.141592653589793) / cos((u - ($T)0.5) * ($T)3.141592653589793) * b + a",
    "geometric": "ceil(log_$T(1 - u) / a)",
    "coins": "u < a ? b : 0",
}
_DRAW = Family("draw", "\n".join("""
KERNEL ${NAME}_DRAW(ARRAY($T, out), i64 n, u64 seed, u64 block, i64 digits, i64 odd, $T a, $T b) {
    OPEN($T, out);
    FOR_EACH(i, n) {
        words_t w = words_of(i, seed, block);
        $T u = fraction_$T(w.first, w.second, (int)digits);
        out[i] = VALUE;
    }
}""".replace("DRAW", name).replace("VALUE", value) for name, value in _DRAWS.items()), (("T", ("f32", "f64")),),
    shared=_SHARED)

_BERNOULLI = Family("bernoulli", """
KERNEL $NAME(ARRAY($T, out), ARRAY($T, chances), i64 n, u64 seed, u64 block, i64 digits, ERRORS) {
    OPEN($T, out); OPEN($T, chances);
    FOR_EACH(i, n) {
        words_t w = words_of(i, seed, block);
        $T p = chances[i];
        if (!(p >= 0 && p <= 1)) FAIL(BAD_PROBABILITY);
        out[i] = fraction_$T(w.first, w.second, (int)digits) < p ? 1 : 0;
    }
}""", (("T", ("f32", "f64")),), shared=_SHARED)

# The remainder of one word, or of two for wide ranges; `mode` says of which bits. A division by a number that is known
# before is a product with its reciprocal in fixed point, which is too small by one at most.
_RANDINT = Family("randint", """
KERNEL ${NAME}_narrow(ARRAY($T, out), i64 n, u64 seed, u64 block, u64 low, u64 span, u64 reciprocal) {
    OPEN($T, out);
    FOR_EACH(i, n) {
        u64 word = words_of(i, seed, block).first, rest = word - (word * reciprocal >> 32) * span;
        out[i] = ($T)((rest >= span ? rest - span : rest) + low);
    }
}
KERNEL ${NAME}_wide(ARRAY($T, out), i64 n, u64 seed, u64 block, u64 low, u64 span, i64 mode) {
    OPEN($T, out);
    FOR_EACH(i, n) {
        words_t w = words_of(i, seed, block);
        u64 whole = (u64)w.first << 32 | w.second, some = (u64)(w.first >> 1) << 32 | w.second, found;
        if (mode == 0) found = some % span + low;
        else if (mode == 1) found = some + low;
        else if (mode == 2) found = whole;
        else found = whole + low + 0x8000000000000000ul
            - ((i64)whole < (i64)(span - 0x8000000000000000ul) ? 0 : span);
        out[i] = ($T)found;
    }
}""", (("T", ("u8", "u16", "u32", "u64")),), shared=_SHARED)

_WORDS = Family("philox", """
KERNEL $NAME(ARRAY(i64, first), ARRAY(i64, second), ARRAY(i64, third), ARRAY(i64, fourth), ARRAY(i64, index), i64 n,
             u64 seed, u64 block) {
    OPEN(i64, first); OPEN(i64, second); OPEN(i64, third); OPEN(i64, fourth); OPEN(i64, index);
    FOR_EACH(i, n) {
        words_t w = words_of(index[i], seed, block);
        first[i] = w.first; second[i] = w.second; third[i] = w.third; fourth[i] = w.fourth;
    }
}""", shared=_SHARED)


def _key(generator: Any) -> tuple[Scalar, Scalar]:
    """The seed and the block of the counter for one draw."""
    seed, offset = generator.take()
    return Scalar(seed, fd.uint64), Scalar(offset // WORDS, fd.uint64)


def _wide(dtype: dtype) -> dtype:
    return fd.float64 if dtype in (fd.float64, fd.complex128) else fd.float32


def _draw(name: str, size: tuple[int, ...], numbers: tuple[float, float], generator: Any, dtype: dtype, wide: dtype,
          digits: int, device: Device, out: Array | None, odd: int = 0) -> Array:
    """Draws computed in a wide dtype, then cast."""
    target = out if out is not None and out.dense and out.dtype is wide else empty(tuple(size), wide, device)
    launch(_DRAW, (C_TYPES[wide], name), target.size, target, target.size, *_key(generator), digits, odd,
           *[Bits(float(each), wide) for each in numbers], op=name)
    if target is out:
        return out
    if out is not None:
        copy(out, target)
        return out
    return target if dtype is wide else cast(target, dtype)


def _paired(parts: Array, dtype: dtype, out: Array | None) -> Array:
    """Pairs of numbers as complex ones."""
    result = Array(parts.memory, dtype, parts.shape[:-1])
    if out is None:
        return result
    copy(out, result)
    return out


def uniform(size: tuple[int, ...], low: float, high: float, generator: Any, dtype: dtype, device: Device,
            out: Array | None = None) -> Array:
    """Numbers from [low, high)."""
    if dtype.is_complex:
        return _paired(uniform((*size, 2), low, high, generator, dtype.to_real(), device), dtype, out)
    wide = _wide(dtype)
    return _draw("uniform", size, (low, high - low), generator, dtype, wide, DIGITS[dtype], device, out)


def normal(size: tuple[int, ...], mean: float, std: float, generator: Any, dtype: dtype, device: Device,
           out: Array | None = None) -> Array:
    """Normal numbers, after Box and Muller."""
    wide = _wide(dtype)
    if dtype.is_complex:
        parts = _draw("normal", (*size, 2), (mean, std * math.sqrt(0.5)), generator, wide, wide, DIGITS[wide], device,
                      None, odd=1)
        return _paired(parts, dtype, out)
    return _draw("normal", size, (mean, std), generator, dtype, wide, DIGITS[wide], device, out)


def _unit(name: str, numbers: Callable[..., tuple[float, float]]) -> Callable[..., Array]:
    """A draw from a fraction with at least the digits of float32."""
    def kernel(size: tuple[int, ...], *args: Any, out: Array | None = None) -> Array:
        *given, generator, dtype, device = args
        wide = fd.float64 if dtype is fd.float64 else fd.float32
        return _draw(name, size, numbers(*given), generator, dtype, wide, DIGITS[wide], device, out)
    return kernel


def randint(size: tuple[int, ...], low: int, high: int, generator: Any, dtype: dtype, device: Device,
            out: Array | None = None) -> Array:
    """Whole numbers from [low, high)."""
    span = high - low
    if span <= 1 << 32:
        form, last = "narrow", (1 << 32) // span
    else:
        form, last = "wide", (span == 1 << 63) if span <= 1 << 63 else 2 if span >= 1 << 64 else 3
    made = dtype if dtype.category == INTEGER else fd.int64
    direct = out is not None and out.dense and out.dtype is made
    target = out if out is not None and direct else empty(tuple(size), made, device)
    numbers = [Scalar(int(each) % (1 << 64), fd.uint64) for each in (low, span, last)]
    launch(_RANDINT, (f"u{8 * made.itemsize}", form), target.size, target, target.size, *_key(generator), *numbers,
           op="randint")
    if out is not None:
        if not direct:
            copy(out, target)
        return out
    return target if made is dtype else cast(target, dtype)


def bernoulli(input: Array, generator: Any) -> Array:
    """Ones with the probabilities given, else zeros."""
    dtype = input.dtype
    wide = _wide(dtype)
    chances = contiguous(input) if dtype is wide else cast(input, wide)
    result = empty(input.shape, wide, input.device)
    launch(_BERNOULLI, (C_TYPES[wide],), result.size, result, chances, result.size, *_key(generator), DIGITS[wide],
           op="bernoulli", checks=True)
    return result if dtype is wide else cast(result, dtype)


def philox(index: Array, seed: int, offset: int) -> tuple[Array, ...]:
    """The four words of each element index."""
    index = contiguous(index)
    results = [empty(index.shape, fd.int64, index.device) for _ in range(WORDS)]
    launch(_WORDS, (), index.size, *results, index, index.size, Scalar(seed, fd.uint64),
           Scalar(offset // WORDS, fd.uint64), op="philox")
    return tuple(results)


_DRAWN: dict[str, Callable[..., Array]] = {
    "uniform": uniform, "normal": normal, "randint": randint,
    "exponential": _unit("exponential", lambda rate: (rate, 0.0)),
    "cauchy": _unit("cauchy", lambda median, sigma: (median, sigma)),
    "geometric": _unit("geometric", lambda p: (math.log1p(-p) if p < 1 else -math.inf, 0.0)),
    "coins": _unit("coins", lambda p: (p, 1.0)),
    "dropout_mask": _unit("coins", lambda p: (1.0 - p, 1.0 / (1.0 - p) if p < 1 else 0.0)),
}


def draws(devices: list[Device]) -> dict[str, Callable[..., Any]]:
    """The kernels of the draws, which get a device's index last."""
    def on(draw: Callable[..., Array]) -> Callable[..., Array]:
        def kernel(*args: Any, out: Array | None = None) -> Array:
            return draw(*args[:-1], devices[args[-1]], out=out)
        return kernel
    return {name: on(each) for name, each in _DRAWN.items()}


KERNELS: dict[str, Callable[..., Any]] = {"bernoulli": bernoulli, "philox": philox}
