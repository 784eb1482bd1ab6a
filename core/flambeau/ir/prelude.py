"""The functions that kernels call and C does not have, as C: a program's prelude holds those that are used.

Each is written once for all types, `$T` being the type, `$U` the unsigned or the real type that goes with it, `$S`
the suffix of functions for that type, and `$F` that of a float's literals. What it calls in turn is listed as needed.

Special functions of float32 are computed in float64 where the device has it (`wide`), which costs little beside
their series; elsewhere in float32. Their coefficients are Bernoulli numbers; the rest is as in NumPy's kernels.
"""

from __future__ import annotations

from collections.abc import Iterable
from string import Template
from typing import NamedTuple

INTEGERS = ("u8", "i8", "u16", "i16", "u32", "i32", "u64", "i64")
FLOATS = ("f32", "f64")


class Function(NamedTuple):
    """A function's text by kind of type, and what it calls: names of functions of the same type."""

    integer: str = ""
    real: str = ""
    needs: tuple[str, ...] = ()
    complex: str = ""
    vector: str = ""     # for f32x8


# Division of signed integers: the smallest by -1 overflows, so -1 negates; a divisor of 0, which is reported, gives 0.
_TRUNC = """
FUNCTION $T trunc_divide_$T($T a, $T b) {
    if (b == 0) return 0;
    if ($SIGNED && b == ($T)-1) return ($T)(($U)0 - ($U)a);
    return ($T)(a / b);
}"""
_REST = """
FUNCTION $T fmod_$T($T a, $T b) {
    if (b == 0 || ($SIGNED && b == ($T)-1)) return 0;
    return ($T)(a % b);
}"""
_FLOOR_INT = """
FUNCTION $T floor_divide_$T($T a, $T b) {
    $T down = trunc_divide_$T(a, b);
    return ($SIGNED && fmod_$T(a, b) != 0 && (a < 0) != (b < 0)) ? ($T)(down - 1) : down;
}"""
_FLOOR = """
FUNCTION $T floor_divide_$T($T a, $T b) {
    if (b == 0) return a / b;
    $T rest = isinf(a) ? ($T)NAN : fmod(a, b);    /* compilers fold fmod of an infinite constant to some number */
    $T quotient = (a - rest) / b;
    if (rest != 0 && (b < 0) != (rest < 0)) quotient -= 1;
    if (quotient == 0) return copysign(($T)0, a / b);
    $T down = floor(quotient);
    return quotient - down > ($T)0.5 ? down + 1 : down;
}"""
_REMAINDER_INT = """
FUNCTION $T remainder_$T($T a, $T b) {
    $T rest = fmod_$T(a, b);
    return ($SIGNED && rest != 0 && (rest < 0) != (b < 0)) ? ($T)(rest + b) : rest;
}"""
_REMAINDER = """
FUNCTION $T remainder_$T($T a, $T b) {
    $T rest = isinf(a) ? ($T)NAN : fmod(a, b);
    return (rest != 0 && (rest < 0) != (b < 0)) ? rest + b : rest;
}"""
_POW = """
FUNCTION $T pow_$T($T base, $T exponent) {
    if ($SIGNED && exponent < 0) return base == 1 ? 1 : base == ($T)-1 ? ((exponent & 1) ? ($T)-1 : ($T)1) : 0;
    $U result = 1, square = ($U)base;
    for ($U left = ($U)exponent; left; left >>= 1) {
        if (left & 1) result *= square;
        square *= square;
    }
    return ($T)result;
}"""
_SIZE = """
FUNCTION $U size_$T($T a) { return ($SIGNED && a < 0) ? ($U)(($U)0 - ($U)a) : ($U)a; }"""
_GCD = """
FUNCTION $T gcd_$T($T a, $T b) {
    $U x = size_$T(a), y = size_$T(b);
    while (y) { $U rest = x % y; x = y; y = rest; }
    return ($T)x;
}"""
_LCM = """
FUNCTION $T lcm_$T($T a, $T b) {
    $U divisor = ($U)gcd_$T(a, b);
    return divisor ? ($T)(size_$T(a) / divisor * size_$T(b)) : 0;
}"""

_BERNOULLI = tuple(f"($W)({top}.0 / {bottom})" for top, bottom in (
    (1, 6), (-1, 30), (1, 42), (-1, 30), (5, 66), (-691, 2730), (7, 6), (-3617, 510)))


def _digamma_text() -> str:
    terms = "\n".join(f"    series = (series + {number} / {2 * k}) * inverse;"
                      for k, number in reversed(list(enumerate(_BERNOULLI, 1))))
    return f"""
FUNCTION $T digamma_$T($T input) {{
    $W x = input, rest = 0;
    if (input == 0) return copysign(($T)INFINITY, -input);
    if (input == ($T)INFINITY) return input;
    if (x < 0 && floor(x) == x) return ($T)NAN;
    if (x < ($W)0.5) {{
        $W fraction = x - rint(x);
        rest = fabs(fraction) == ($W)0.5 ? 0 : ($W)3.14159265358979323846 / tan(($W)3.14159265358979323846 * fraction);
        x = 1 - x;
    }}
    for (; x < 10; x += 1) rest += 1 / x;
    $W inverse = 1 / (x * x), series = 0;
{terms}
    return ($T)(log(x) - ($W)0.5 / x - series - rest);
}}"""


def _zeta_text() -> str:
    lines, factorial = [], 2
    for k, number in enumerate(_BERNOULLI):
        if k:
            factorial *= (2 * k + 1) * (2 * k + 2)
        lines.append(f"    total += {number} * factor / ($W){float(factorial)!r};")
        lines.append(f"    factor *= (s + {2 * k + 1}) * (s + {2 * k + 2}) / (x * x);")
    terms = "\n".join(lines)
    return f"""
FUNCTION $W zeta_$T($W s, $W x) {{
    $W total = 0;
    for (int k = 0; k < 1000 && x < 10; ++k, x += 1) total += pow(x, -s);
    total += pow(x, 1 - s) / (s - 1) + pow(x, -s) / 2;
    $W factor = s * pow(x, -s - 1);
{terms}
    return total;
}}"""


_TRIGAMMA = """
FUNCTION $T trigamma_$T($T input) {
    $W x = input;
    if (x == ($W)INFINITY) return 0;
    if (!(x < ($W)0.5)) return ($T)zeta_$T(2, x);
    $W sine = ($W)3.14159265358979323846 / sin(($W)3.14159265358979323846 * (x - rint(x)));
    return ($T)(sine * sine - zeta_$T(2, 1 - x));
}"""
_POLYGAMMA = """
FUNCTION $T polygamma_series_$T($T input, $T order) {
    $W x = input, factorial = 1;
    int n = (int)order;
    for (int k = 2; k <= n; ++k) factorial *= k;
    if (!(n & 1)) factorial = -factorial;
    if (x <= 0 && floor(x) == x) return ($T)((n & 1) ? INFINITY : -INFINITY);
    return ($T)(zeta_$T((($W)n + 1), x) * factorial);
}"""
# A start within 0.2 %, then Halley's steps, each of which cubes the error.
_ERFINV = """
FUNCTION $T erfinv_$T($T input) {
    $W y = fabs(input);
    if (y == 1) return copysign(($T)INFINITY, input);
    if (!(y < 1)) return ($T)NAN;
    if (y == 0) return input;
    $W lost = log1p(-y * y), half_ = ($W)(2 / (3.14159265358979323846 * 0.147)) + lost / 2;
    $W x = sqrt(sqrt(half_ * half_ - lost / ($W)0.147) - half_);
    if (y < ($W)1e-4) x = y * ($W)0.88622692545275801365;
    for (int k = 0; k < 3; ++k) {
        $W error = y < ($W)0.5 ? erf(x) - y : (1 - y) - erfc(x);
        $W step = error / (($W)1.12837916709551257390 * exp(-x * x));
        x -= step / (1 + x * step);
    }
    return ($T)copysign(x, ($W)input);
}"""

# The rational function of NumPy's kernel, to a few units in the last place: drivers' own takes five times as long.
_ERF_ABOVE = (1.1283791691332086, 0.18513884339320316, 0.05424393892532712, 0.003838700708664423,
              0.0003767392728659467, 4.608626901938912e-06, -1.2796928545680673e-08)
_ERF_BELOW = (1.0, 0.49740843386595934, 0.11387477259969433, 0.015430135782165443, 0.0013015142953835487,
              6.23934264603267e-05)


def _horner(coefficients: tuple[float, ...]) -> str:
    text = f"{coefficients[-1]!r}f"
    for each in reversed(coefficients[:-1]):
        text = f"({text} * s + {each!r}f)"
    return text


_ERF = f"""
#ifdef VECTORS
FUNCTION f32x8 erf_f32x8(f32x8 x) {{
    const f32x8 c = clamp(x, -3.92f, 3.92f), s = c * c;
    const f32x8 y = {_horner(_ERF_ABOVE)} / {_horner(_ERF_BELOW)} * c;
    return select(clamp(y, -1.0f, 1.0f), x, x != x);
}}
#endif"""

# Conditions on all of eight numbers: drivers' own look at one after the other, as `fma` computes them.
_NONE = """
#ifdef VECTORS
FUNCTION int none_f32x8(i32x8 found) {
    const int4 four = found.lo | found.hi;
    const int2 two = four.lo | four.hi;
    return !(two.x | two.y);
}
#endif"""
# Less the multiple of pi/2, whose parts but the last are so short that their products are exact; then two polynomials.
# Large numbers one by one: where one of eight is large, PoCL's vector form is wrong for small ones beside it.
_SINE = """
#ifdef VECTORS
FUNCTION f32x8 {name}_f32x8(f32x8 x) {{
    if (!none_f32x8(!(fabs(x) <= 8192.0f))) {{
        f32 single[8];
        vstore8(x, 0, single);
        for (int k = 0; k < 8; ++k) single[k] = {name}(single[k]);
        return vload8(0, single);
    }}
    const f32x8 shifted = x * 0.63661977f + 12582912.0f, turns = shifted - 12582912.0f;    /* a whole number */
    const i32x8 quarter = as_int8(shifted) + {quarter};
    const f32x8 r = (((x - turns * 1.5703125f) - turns * 0.0004837512969970703f) - turns * 7.549533620476723e-08f)
        - turns * 2.5633440682570896e-12f, s = r * r;
    const f32x8 sine = r + r * s * (((-1.9515295891e-4f * s + 8.3321608736e-3f) * s) - 1.6666654611e-1f);
    const f32x8 cosine = 1.0f + s * (((2.443315711809948e-5f * s - 1.388731625493765e-3f) * s
                                      + 4.166664568298827e-2f) * s - 0.5f);
    const f32x8 signed_ = as_float8(as_int8(sine) | (as_int8(r) & (i32x8)(-2147483647 - 1)));
    return as_float8(as_int8(select(signed_, cosine, (quarter & 1) != 0)) ^ ((quarter & 2) << 30));
}}
#endif"""
_TANGENT = """
#ifdef VECTORS
FUNCTION f32x8 tan_f32x8(f32x8 x) {
    if (none_f32x8(fabs(x) > 100.0f)) return tan(x);
    f32 single[8];
    vstore8(x, 0, single);
    for (int k = 0; k < 8; ++k) single[k] = tan(single[k]);
    return vload8(0, single);
}
#endif"""
# By logarithm and exponential in float64, which are faster than drivers' own power and leave no error to see; by those
# of our own, to ten digits, where no number is zero, infinite or none.
_POW_VECTOR = """
#ifdef VECTORS
#ifdef FP64
FUNCTION f64x4 log2_f64x4(f64x4 x) {
    const ulong4 bits = as_ulong4(x) + 0x95f6200000000UL;    /* 0x3ff0... - 0x3fe6a09e...: carries at the root of 2 */
    const f64x4 m = as_double4((bits & 0xfffffffffffffUL) + 0x3fe6a09e00000000UL);
    const f64x4 t = (m - 1) / (m + 1), s = t * t;
    return t * (2.8853900817779268 + s * (0.9617966939259756 + s * (0.5770780163555854 + s * (0.4121985831111324
        + s * (0.3205988979753252 + s * 0.2623081892525388)))))
        + (as_double4((bits >> 52) | 0x4330000000000000UL) - 4503599627371519.0);
}
FUNCTION f64x4 exp2_f64x4(f64x4 y) {
    const f64x4 x = min(max(y, -400.0), 400.0), shifted = x + 6755399441055744.0;
    const f64x4 f = (x - (shifted - 6755399441055744.0)) * 0.69314718055994531;
    const f64x4 p = 1 + f * (1 + f * (1.0 / 2 + f * (1.0 / 6 + f * (1.0 / 24 + f * (1.0 / 120 + f * (1.0 / 720
        + f * (1.0 / 5040)))))));
    return as_double4(as_ulong4(p) + (as_ulong4(shifted) << 52));
}
FUNCTION f32x8 pow_f32x8(f32x8 x, f32x8 y) {
    const f32x8 size = fabs(x), half_ = y * 0.5f;
    f32x8 z;
    if (none_f32x8(!((size > 0.0f) & (size < (f32x8)(INFINITY)) & (fabs(y) < (f32x8)(INFINITY))))) {
        z.lo = convert_float4(exp2_f64x4(convert_double4(y.lo) * log2_f64x4(convert_double4(size.lo))));
        z.hi = convert_float4(exp2_f64x4(convert_double4(y.hi) * log2_f64x4(convert_double4(size.hi))));
        if (none_f32x8(x < 0.0f)) return z;
    } else {
        z.lo = convert_float4(exp2(convert_double4(y.lo) * log2(convert_double4(size.lo))));
        z.hi = convert_float4(exp2(convert_double4(y.hi) * log2(convert_double4(size.hi))));
    }
    const i32x8 whole = rint(y) == y, odd = whole & (rint(half_) != half_);
    z = select(z, -z, signbit(x) & odd);
    z = select(z, (f32x8)(NAN), (x < 0.0f) & (whole == 0) & (size != (f32x8)(INFINITY)));
    return select(z, (f32x8)(1.0f), (x == 1.0f) | (y == 0.0f) | ((x == -1.0f) & (fabs(y) == (f32x8)(INFINITY))));
}
#else
FUNCTION f32x8 pow_f32x8(f32x8 x, f32x8 y) { return pow(x, y); }
#endif
#endif"""

FUNCTIONS: dict[str, Function] = {
    "erf": Function(vector=_ERF),
    "none": Function(vector=_NONE),
    "sin": Function(vector=_SINE.format(name="sin", quarter=0), needs=("none",)),
    "cos": Function(vector=_SINE.format(name="cos", quarter=1), needs=("none",)),
    "tan": Function(vector=_TANGENT, needs=("none",)),
    "trunc_divide": Function(integer=_TRUNC),
    "fmod": Function(integer=_REST),
    "floor_divide": Function(integer=_FLOOR_INT, real=_FLOOR, needs=("trunc_divide", "fmod")),
    "remainder": Function(integer=_REMAINDER_INT, real=_REMAINDER, needs=("fmod",)),
    "pow": Function(integer=_POW, vector=_POW_VECTOR, needs=("none",)),
    "size": Function(integer=_SIZE),
    "gcd": Function(integer=_GCD, needs=("size",)),
    "lcm": Function(integer=_LCM, needs=("gcd", "size")),
    "digamma": Function(real=_digamma_text()),
    "zeta": Function(real=_zeta_text()),
    "trigamma": Function(real=_TRIGAMMA, needs=("zeta",)),
    "polygamma_series": Function(real=_POLYGAMMA, needs=("zeta",)),
    "erfinv": Function(real=_ERFINV),
}


def text(functions: Iterable[tuple[str, str]], fp64: bool = True) -> str:
    """C of the functions, given as (name, C type), and of what they need, each before its users."""
    done: dict[tuple[str, str], str] = {}

    def add(name: str, kind: str) -> None:
        if (name, kind) in done:
            return
        if kind in ("c64", "c128"):
            from flambeau.ir.complex_prelude import FUNCTIONS as OF_COMPLEX
            function = OF_COMPLEX[name]
        else:
            function = FUNCTIONS[name]
        body = function.vector if "x" in kind else function.complex or (
            function.real if kind in FLOATS else function.integer)
        if not body:
            return
        for each in function.needs:
            add(each, kind)
        done[name, kind] = Template(body).substitute(words(kind, fp64))
    for name, kind in sorted(set(functions)):
        add(name, kind)
    return "\n".join(done.values())


def words(kind: str, fp64: bool) -> dict[str, str]:
    """What the placeholders stand for with one type."""
    real = {"c64": "f32", "c128": "f64"}.get(kind, kind)
    return {"T": kind, "U": "u" + kind[1:] if kind in INTEGERS else real, "SIGNED": str(int(kind[0] == "i")),
            "W": "f64" if fp64 and real in FLOATS else real, "R": real}
