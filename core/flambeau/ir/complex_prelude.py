"""Functions of complex numbers in C, for both precisions: `$T` is the complex type, `$R` its real one.

A complex number is a pair (`x`, `y`). The formulas are those of W. Kahan's "Branch cuts for complex elementary
functions" (1987): they keep the sign of zeros on branch cuts and lose no digits between large terms. Quotients are
scaled, so that they overflow only where the result does.
"""

from __future__ import annotations

from flambeau.ir.prelude import Function


def _of(text: str, *needs: str) -> Function:
    return Function(complex=text, needs=("of", *needs))


_LOG = """
FUNCTION $R log_size_$T($T a) {
    const $R x = fabs(a.x), y = fabs(a.y), high = x > y ? x : y, low = x > y ? y : x;
    if (high > ($R)0.5 && high < 2 && low < 2) return log1p((high - 1) * (high + 1) + low * low) / 2;
    if (high > ($R)1e30) return log(hypot(high / 4, low / 4)) + ($R)1.38629436111989061883;
    return log(hypot(high, low));
}"""
# Tiny and huge parts are scaled by powers of four, so that the square root of their size is exact.
_SQRT = """
FUNCTION $T sqrt_$T($T a) {
    $R x = a.x, y = a.y, scale = 1;
    if (fabs(y) == ($R)INFINITY) return of_$T(($R)INFINITY, y);
    if (x == 0 && y == 0) return of_$T(0, y);
    if (fabs(x) == ($R)INFINITY) {
        const $R small = y != y ? y : ($R)0;
        return x > 0 ? of_$T(x, y != y ? y : copysign(($R)0, y)) : of_$T(fabs(small), copysign(($R)INFINITY, y));
    }
    const $R high = fabs(x) > fabs(y) ? fabs(x) : fabs(y);
    if (high > ($R)1e30) { x /= 16; y /= 16; scale = 4; }
    if (high < ($R)1e-30) { x *= ($R)1152921504606846976.0; y *= ($R)1152921504606846976.0;
                            scale = ($R)9.3132257461547852e-10; }
    const $R root = sqrt((fabs(x) + hypot(x, y)) / 2);
    if (x >= 0) return of_$T(scale * root, scale * (y / (2 * root)));
    return of_$T(scale * (fabs(y) / (2 * root)), scale * copysign(root, y));
}"""
_EXP = """
FUNCTION $T exp_$T($T a) {
    if (a.y == 0) return of_$T(exp(a.x), a.y);
    if (a.x == -($R)INFINITY && (a.y - a.y != 0)) return of_$T(0, 0);
    if (a.x == ($R)INFINITY && (a.y - a.y != 0)) return of_$T(a.x, ($R)NAN);
    const $R half_ = exp(a.x / 2);    /* its square may overflow where a product with a sine does not */
    if (a.x > 80) return of_$T(half_ * cos(a.y) * half_, half_ * sin(a.y) * half_);
    const $R size = exp(a.x);
    return of_$T(size * cos(a.y), size * sin(a.y));
}"""
_SINH = """
FUNCTION $T sinh_$T($T a) {
    if (a.y == 0) return of_$T(sinh(a.x), a.y);
    if (a.x == 0) return of_$T(copysign(($R)0, a.x * cos(a.y)), sin(a.y));
    if (fabs(a.x) > 80 && a.y - a.y == 0) {
        const $R half_ = exp(fabs(a.x) / 2);
        return of_$T(copysign(half_ / 2, a.x) * cos(a.y) * half_, half_ / 2 * sin(a.y) * half_);
    }
    return of_$T(sinh(a.x) * cos(a.y), cosh(a.x) * sin(a.y));
}"""
_COSH = """
FUNCTION $T cosh_$T($T a) {
    if (a.y == 0) return of_$T(cosh(a.x), a.x * a.y == 0 ? a.x * a.y : copysign(($R)0, a.x) * a.y);
    if (a.x == 0) return of_$T(cos(a.y), a.x * sin(a.y));
    if (fabs(a.x) > 80 && a.y - a.y == 0) {
        const $R half_ = exp(fabs(a.x) / 2);
        return of_$T(half_ / 2 * cos(a.y) * half_, copysign(half_ / 2, a.x) * sin(a.y) * half_);
    }
    return of_$T(cosh(a.x) * cos(a.y), sinh(a.x) * sin(a.y));
}"""
_TANH = """
FUNCTION $T tanh_$T($T a) {
    if (fabs(a.x) > 20) {
        if (a.y - a.y != 0) return of_$T(copysign(($R)1, a.x), 0);
        return of_$T(copysign(($R)1, a.x), 4 * sin(a.y) * cos(a.y) * exp(-2 * fabs(a.x)));
    }
    const $R slope = tan(a.y), beta = 1 + slope * slope, s = sinh(a.x), rho = sqrt(1 + s * s);
    if (fabs(slope) == ($R)INFINITY) return of_$T(rho / s, 1 / slope);
    const $R denominator = 1 + beta * s * s;
    return of_$T(beta * rho * s / denominator, slope / denominator);
}"""
_ATANH = """
FUNCTION $T atanh_$T($T a) {
    const $R x = a.x, y = a.y, quarter = ($R)1.57079632679489661923;
    if (fabs(x) > ($R)1e15 || fabs(y) > ($R)1e15) {
        const $R size = hypot(x / 2, y / 2) * 2;
        return of_$T(size == ($R)INFINITY ? copysign(($R)0, x) : x / size / size, copysign(quarter, y));
    }
    const $R gap = 1 - fabs(x), real = gap == 0 && y != 0 ? (log(hypot(($R)2, y)) - log(fabs(y))) / 2
        : log1p(4 * fabs(x) / (gap * gap + y * y)) / 4;
    return of_$T(copysign(real, x), atan2(2 * y, gap * (1 + fabs(x)) - y * y) / 2);
}"""
# Of infinite numbers: the sine's angle, by the directions in which they are infinite.
_EDGE = """
FUNCTION int infinite_$T($T a) {
    return a.x == a.x && a.y == a.y && (fabs(a.x) == ($R)INFINITY || fabs(a.y) == ($R)INFINITY);
}
FUNCTION $R edge_$T($T a) {
    return atan2(copysign(fabs(a.x) == ($R)INFINITY ? ($R)1 : ($R)0, a.x),
                 fabs(a.y) == ($R)INFINITY ? ($R)1 : ($R)0);
}"""
_ASIN = """
FUNCTION $T asin_$T($T a) {
    if (infinite_$T(a)) return of_$T(edge_$T(a), copysign(($R)INFINITY, a.y));
    const $T minus = sqrt_$T(of_$T(1 - a.x, -a.y)), plus = sqrt_$T(of_$T(1 + a.x, a.y));
    return of_$T(atan2(a.x, minus.x * plus.x - minus.y * plus.y), asinh(minus.x * plus.y - minus.y * plus.x));
}"""
_ACOS = """
FUNCTION $T acos_$T($T a) {
    if (infinite_$T(a)) return of_$T(($R)1.57079632679489661923 - edge_$T(a), -copysign(($R)INFINITY, a.y));
    const $T minus = sqrt_$T(of_$T(1 - a.x, -a.y)), plus = sqrt_$T(of_$T(1 + a.x, a.y));
    return of_$T(2 * atan2(minus.x, plus.x), asinh(plus.x * minus.y - plus.y * minus.x));
}"""
_ACOSH = """
FUNCTION $T acosh_$T($T a) {
    if (infinite_$T(a)) return of_$T(($R)INFINITY, copysign(($R)1.57079632679489661923 - edge_$T(a), a.y));
    const $T minus = sqrt_$T(of_$T(a.x - 1, a.y)), plus = sqrt_$T(of_$T(a.x + 1, a.y));
    return of_$T(asinh(minus.x * plus.x + minus.y * plus.y), 2 * atan2(minus.y, plus.x));
}"""
_POW = """
FUNCTION $T pow_$T($T a, $T b) {
    if (b.x == 0 && b.y == 0) return of_$T(1, 0);
    if (a.x == 0 && a.y == 0) return b.x > 0 ? of_$T(0, 0) : of_$T(($R)NAN, ($R)NAN);
    return exp_$T(mul_$T(b, log_$T(a)));
}"""
_DIV = """
FUNCTION $T div_$T($T a, $T b) {
    if (fabs(b.x) >= fabs(b.y)) {
        if (b.x == 0 && b.y == 0) return of_$T(a.x / fabs(b.x), a.y / fabs(b.y));
        const $R ratio = b.y / b.x, scale = 1 / (b.x + b.y * ratio);
        return of_$T((a.x + a.y * ratio) * scale, (a.y - a.x * ratio) * scale);
    }
    const $R ratio = b.x / b.y, scale = 1 / (b.y + b.x * ratio);
    return of_$T((a.x * ratio + a.y) * scale, (a.y * ratio - a.x) * scale);
}"""


def _turned(name: str, inside: str) -> Function:
    """A trigonometric function by the hyperbolic one (or the other way round) of the number turned by 90 degrees."""
    return _of(f"""
FUNCTION $T {name}_$T($T a) {{
    const $T turned = {inside}_$T(of_$T(-a.y, a.x));
    return of_$T(turned.y, -turned.x);
}}""", inside)


def _line(name: str, value: str, *needs: str, arity: int = 1, gives: str = "$T") -> Function:
    arguments = ", ".join(f"$T {each}" for each in "ab"[:arity])
    return _of(f"\nFUNCTION {gives} {name}_$T({arguments}) {{ return {value}; }}", *needs)


FUNCTIONS: dict[str, Function] = {
    "of": Function(complex="\nFUNCTION $T of_$T($R x, $R y) { $T pair; pair.x = x; pair.y = y; return pair; }"),
    "add": _line("add", "of_$T(a.x + b.x, a.y + b.y)", arity=2),
    "sub": _line("sub", "of_$T(a.x - b.x, a.y - b.y)", arity=2),
    "mul": _line("mul", "of_$T(a.x * b.x - a.y * b.y, a.x * b.y + a.y * b.x)", arity=2),
    "div": _of(_DIV),
    "neg": _line("neg", "of_$T(-a.x, -a.y)"),
    "conj_physical": _line("conj_physical", "of_$T(a.x, -a.y)"),
    "abs": _line("abs", "hypot(a.x, a.y)", gives="$R"),
    "angle": _line("angle", "atan2(a.y, a.x)", gives="$R"),
    "sgn": _of("""
FUNCTION $T sgn_$T($T a) {
    const $R size = hypot(a.x, a.y);
    return size == 0 ? of_$T(0, 0) : of_$T(a.x / size, a.y / size);
}"""),
    "eq": _line("eq", "(b8)(a.x == b.x && a.y == b.y)", arity=2, gives="b8"),
    "ne": _line("ne", "(b8)(a.x != b.x || a.y != b.y)", arity=2, gives="b8"),
    "isnan": _line("isnan", "(b8)(a.x != a.x || a.y != a.y)", gives="b8"),
    "isinf": _line("isinf", "(b8)(fabs(a.x) == ($R)INFINITY || fabs(a.y) == ($R)INFINITY)", gives="b8"),
    "sqrt": _of(_SQRT), "exp": _of(_EXP),
    "log_size": _of(_LOG),
    "log": _line("log", "of_$T(log_size_$T(a), atan2(a.y, a.x))", "log_size"),
    "log2": _line("log2", "of_$T(log_size_$T(a) * ($R)1.44269504088896340736, atan2(a.y, a.x) * "
                  "($R)1.44269504088896340736)", "log_size"),
    "log10": _line("log10", "of_$T(log_size_$T(a) * ($R)0.43429448190325182765, atan2(a.y, a.x) * "
                   "($R)0.43429448190325182765)", "log_size"),
    "log1p": _line("log1p", "of_$T(fabs(a.x) < ($R)0.5 && fabs(a.y) < ($R)0.5 ? log1p(a.x * (a.x + 2) + a.y * a.y) / 2 "
                   ": log_size_$T(of_$T(a.x + 1, a.y)), atan2(a.y, a.x + 1))", "log_size"),
    "exp2": _line("exp2", "exp_$T(of_$T(a.x * ($R)0.69314718055994530942, a.y * ($R)0.69314718055994530942))", "exp"),
    "expm1": _of("""
FUNCTION $T expm1_$T($T a) {
    const $R s = sin(a.y / 2);
    if (a.y == 0) return of_$T(expm1(a.x), a.y);
    return of_$T(expm1(a.x) * cos(a.y) - 2 * s * s, exp(a.x) * sin(a.y));
}"""),
    "sinh": _of(_SINH), "cosh": _of(_COSH), "tanh": _of(_TANH), "atanh": _of(_ATANH), "edge": _of(_EDGE),
    "asin": _of(_ASIN, "sqrt", "edge"), "acos": _of(_ACOS, "sqrt", "edge"), "acosh": _of(_ACOSH, "sqrt", "edge"),
    "sin": _turned("sin", "sinh"),
    "tan": _turned("tan", "tanh"), "atan": _turned("atan", "atanh"), "asinh": _turned("asinh", "asin"),
    "cos": _line("cos", "cosh_$T(of_$T(-a.y, a.x))", "cosh"),
    "pow": _of(_POW, "exp", "mul", "log"),
}
