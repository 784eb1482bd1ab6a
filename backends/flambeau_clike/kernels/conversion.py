"""Numbers of one dtype as those of another, in C: the functions and macros that casts are made of.

Types are named by words: C's where kernels compute with the type, and others (`f16`, `bf16`, `e4m3`, ...) for what is
stored in integers. `<target>_OF_<source>(x)` is the conversion. What is narrower than `f32` passes through it: PyTorch
rounds twice, so that is what a cast gives here. A float beyond an integer's range becomes what the device's conversion
makes of it: on processors what C programs of the host get.
"""

from __future__ import annotations

import flambeau.dtypes as fd
from flambeau.dtypes import BOOL, INTEGER, dtype
from flambeau.ir.dialect import C_TYPES

# word -> (storage, mantissa bits, exponent bias, largest code, code beyond the largest, code of nan, infinities)
_NARROW: dict[str, tuple[str, int, int, int, int, int, bool]] = {
    "f16": ("u16", 10, 15, 0x7BFF, 0x7C00, 0x7E00, True),
    "bf16": ("u16", 7, 127, 0x7F7F, 0x7F80, 0x7FC0, True),
    "e4m3": ("u8", 3, 7, 0x7E, 0x7E, 0x7F, False),
    "e4m3z": ("u8", 3, 8, 0x7F, 0x80, 0x80, False),
    "e5m2": ("u8", 2, 15, 0x7B, 0x7C, 0x7F, True),
    "e5m2z": ("u8", 2, 16, 0x7F, 0x80, 0x80, False),
}
_WORDS: dict[dtype, str] = {
    **C_TYPES, fd.float16: "f16", fd.bfloat16: "bf16", fd.float8_e4m3fn: "e4m3", fd.float8_e4m3fnuz: "e4m3z",
    fd.float8_e5m2: "e5m2", fd.float8_e5m2fnuz: "e5m2z"}
_COMPLEX = {"c64": "f32", "c128": "f64"}
_INTEGERS = ("u8", "i8", "u16", "i16", "u32", "i32", "u64", "i64")

SOURCES = (*_INTEGERS, *_NARROW, "f32", "f64", "c64", "c128")
TARGETS = ("b8", "u8", "u16", "u32", "i32", "u64", "i64", *_NARROW, "f32", "f64", "c64", "c128")

PAIRS = """
FUNCTION c64 pair_of_f32(f32 x, f32 y) { c64 pair; pair.x = x; pair.y = y; return pair; }
#ifdef FP64
FUNCTION c128 pair_of_f64(f64 x, f64 y) { c128 pair; pair.x = x; pair.y = y; return pair; }
#endif
"""
_TEXT = """
typedef u16 f16; typedef u16 bf16; typedef u8 e4m3; typedef u8 e4m3z; typedef u8 e5m2; typedef u8 e5m2z;
FUNCTION u32 bits_of(f32 x) { union { f32 number; u32 bits; } both; both.number = x; return both.bits; }
FUNCTION f32 number_of(u32 x) { union { f32 number; u32 bits; } both; both.bits = x; return both.number; }
"""

_WIDEN = """
FUNCTION f32 widen_{word}(u32 code) {{
    u32 size = code & {mask}u;
    f32 small = (f32)(i32)size * {unit}f;
    u32 large = (size << {shift}) + {bias}u;
    f32 found = size < {first}u ? small : number_of({special}large);
    {nan}
    return code & {sign}u ? -found : found;
}}
"""
_ROUND = """
FUNCTION {storage} narrow_{word}(f32 x) {{
    u32 bits = bits_of(x), size = bits & 0x7fffffffu, sign = bits >> {down} & {sign}u;
    u32 large = size - {bias}u;
    large = (large + {half}u + (large >> {shift} & 1u)) >> {shift};
    u32 small = bits_of(number_of(size) + {magic}f) - {magic_bits}u;
    u32 code = size < {first}u ? small : large;
    code = size >= {beyond}u || code > {largest}u ? {over}u : code;
    code = size > 0x7f800000u ? {nan}u : code;
    return ({storage})({signed});
}}
"""
_ROUND_BF16 = """
FUNCTION u16 narrow_bf16(f32 x) {
    u32 bits = bits_of(x);
    return (u16)((bits & 0x7fffffffu) > 0x7f800000u ? 0x7fc0u : (bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
}
FUNCTION f32 widen_bf16(u32 code) { return number_of(code << 16); }
"""


def _float_bits(exponent: int) -> int:
    """The bits of a power of two as a float32."""
    return (exponent + 127) << 23


def narrow_functions(word: str) -> str:
    """The functions `widen_<word>` and `narrow_<word>`."""
    if word == "bf16":
        return _ROUND_BF16
    storage, mantissa, bias, largest, over, nan, infinities = _NARROW[word]
    shift, sign = 23 - mantissa, 0x8000 if storage == "u16" else 0x80
    least = bias + mantissa - 1                  # the smallest number is 2**-least
    offset = (127 - bias) << 23
    zero_is_one = over == nan                    # the formats whose only nan has the code of -0
    special = f"size >= {over}u ? (size << {shift}) + {2 * offset}u : " if infinities else ""
    lone_nan = f"if ({'code' if zero_is_one else 'size'} == {nan}u) return number_of(0x7fc00000u);"
    widen = _WIDEN.format(
        word=word, mask=sign - 1, unit=f"{2.0 ** -least!r}", shift=shift, bias=offset, first=1 << mantissa,
        special=special, sign=sign, nan="" if infinities else lone_nan)
    rounding = _ROUND.format(
        storage=storage, word=word, down=31 - sign.bit_length() + 1, sign=sign, bias=offset, half=(1 << shift - 1) - 1,
        shift=shift, magic=f"{2.0 ** (23 - least)!r}", magic_bits=_float_bits(23 - least), first=_float_bits(1 - bias),
        largest=largest, beyond=_float_bits(17 if mantissa == 10 else 18), over=over, nan=nan,
        signed="code | sign" if not zero_is_one else f"code == 0 || code == {nan}u ? code : code | sign")
    return widen + rounding


def source_word(source: dtype) -> str:
    """The word of a dtype that a cast starts from; bools are bytes."""
    return "u8" if source.category == BOOL else _WORDS[source]


def target_word(target: dtype, source: dtype) -> str:
    """The word of a dtype that a cast ends in. Where signs make no difference, there is one kernel for both."""
    word = _WORDS[target]
    if word in ("i8", "i16"):
        return "u" + word[1:]
    if word in ("u32", "u64") and source.category in (INTEGER, BOOL):
        return "i" + word[1:]
    return word


def _parts(source: str) -> tuple[str, str, str]:
    """The real part, the imaginary part and the truth of `value`, as expressions."""
    if source in _COMPLEX:
        return "(value).x", "(value).y", "((value).x != 0 || (value).y != 0)"
    if source in _NARROW:
        signed = not source.endswith("z")
        mask = 0x7FFF if _NARROW[source][0] == "u16" else 0x7F
        return f"widen_{source}(value)", "0", f"(((value) & {mask if signed else 255}) != 0)"
    return "(value)", "0", "((value) != 0)"


def conversion(target: str, source: str) -> str:
    """An expression of `value`."""
    real, imaginary, truth = _parts(source)
    if target == "b8":
        return f"(b8){truth}"
    if target in _COMPLEX:
        part = _COMPLEX[target]
        return f"pair_of_{part}(({part}){real}, ({part}){imaginary})"
    if target in _NARROW:
        return f"narrow_{target}((f32){real})"
    if target in ("u8", "u16"):
        return f"({target})(i32){real}"
    return f"(u32)(i64){real}" if target == "u32" else f"({target}){real}"


def functions(source: str) -> str:
    """What the program of the casts from one dtype needs before its kernels."""
    parts = [PAIRS, _TEXT, *[narrow_functions(each) for each in _NARROW]]
    parts += [f"#define {target}_OF_{source}(value) ({conversion(target, source)})" for target in TARGETS]
    return "\n".join(parts) + "\n"
