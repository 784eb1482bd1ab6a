"""Rows: what kernels share that reduce along one dimension and then write every element of it.

An array is seen as (outer, length, inner). With inner 1 the elements of a row lie next to each other: form `row`, in
which a processor's work item goes along its row a vector at a time, and on a GPU a group of lanes shares a long row.
Otherwise, form `column`, neighbours belong to different rows, and the elements of the vector, or the work items of a
GPU, are of different rows. One text serves both; what its macros mean is what differs.

Vectors are OpenCL's own types, not loops for the compiler to vectorise, because compilers do not vectorise calls of
`exp`: with them PoCL computes nine times as many exponentials per second. Vectors of 64 bytes it miscompiles where the
processor has none.

    KERNEL name(ROW_SIZES, ...)   the first parameters: how many rows, length, inner, lanes that share a row
    T, V, R                       the element's type; a vector of WIDTH of them; what a reduction gives (T or V)
    SCRATCH                       declares what reductions need; the first statement
    ROWS(i) {...}                 the loop over rows, or over vectors of rows; BASE(i): offset of the first element
    ALONG(i, j) {...}             the loop along a row: AT(j) is the offset from the base, COUNT(i, j) how many elements
                                  the vector really has there
    load(p, count, fill), store(p, count, x), TOTAL(x), LARGEST(x)
    FIRST                         whether this work item writes what there is once per row
"""

from __future__ import annotations

import functools
from string import Template
from typing import Any

from flambeau.dtypes import float32, float64
from flambeau_clike.array import Array
from flambeau_clike.launch import launch
from flambeau_clike.program import Family

FLOATS = {float32: "f32", float64: "f64"}
TYPES = {name: dtype for dtype, name in FLOATS.items()}
WIDTHS = {"f32": 8, "f64": 4}     # elements of a vector on a processor
LONG = 64                         # from this length on, a group of a GPU's lanes shares a row

_SHARED = """
#define IS_row 0
#define IS_column 0
#define IS_group 1
#define ROW_SIZES i64 rows, i64 length, i64 inner, i64 lanes
#ifdef CHUNKED
#define WIDTH_f32 8
#define WIDTH_f64 4
#else
#define WIDTH_f32 1
#define WIDTH_f64 1
#endif
#define SCRATCH_row
#define FIRST_row 1
#define ROWS_row(i) FOR_EACH(i, rows)
#define ALONG_row(i, j) for (index_t j = 0; j < (index_t)length; j += WIDTH)
#define BASE_row(i) ((i64)(i) * length)
#define AT_row(j) (j)
#define COUNT_row(i, j) (length - (j))
#define SCRATCH_group LOCAL T scratch[256]
#define FIRST_group (LANE == 0)
#define ROWS_group(i) for (index_t i = ITEM / LANES; i < (index_t)rows; i += ITEMS / LANES)
#define ALONG_group(i, j) for (index_t j = LANE; j < (index_t)length; j += LANES)
#define BASE_group(i) BASE_row(i)
#define AT_group(j) (j)
#define COUNT_group(i, j) 1
#define SCRATCH_column
#define ROWS_column(i) FOR_EACH(i, rows)
#define PLACES ((index_t)((inner + WIDTH - 1) / WIDTH))
#define FIRST_column 1
#define ALONG_column(i, j) for (index_t j = 0; j < (index_t)length; ++j)
#define BASE_column(i) ((i64)((i) / PLACES) * length * inner + (i) % PLACES * WIDTH)
#define AT_column(j) ((i64)(j) * inner)
#define COUNT_column(i, j) (inner - (i) % PLACES * WIDTH)
"""

_OF_TYPE = Template("""
#ifdef CHUNKED
typedef $V ${T}v;
FUNCTION ${T}v load_$T(const GLOBAL $T *p, i64 count, $T fill) {
    if (count >= $W) return vload$W(0, p);
    $T some[$W];
    for (int l = 0; l < $W; ++l) some[l] = l < count ? p[l] : fill;
    return vload$W(0, some);
}
FUNCTION void store_$T(GLOBAL $T *p, i64 count, ${T}v x) {
    if (count >= $W) { vstore$W(x, 0, p); return; }
    $T some[$W];
    vstore$W(x, 0, some);
    for (int l = 0; l < count; ++l) p[l] = some[l];
}
FUNCTION $T total_$T(${T}v x) { $SUM }
FUNCTION $T largest_$T(${T}v x) { $MAX }
#define TOTAL_row_$T(x) total_$T(x)
#define LARGEST_row_$T(x) largest_$T(x)
#else
typedef $T ${T}v;
#define load_$T(p, count, fill) (*(p))
#define store_$T(p, count, x) (*(p) = (x))
#define TOTAL_row_$T(x) (x)
#define LARGEST_row_$T(x) (x)
#define TOTAL_group_$T(x) total_$T(x, scratch)
#define LARGEST_group_$T(x) largest_$T(x, scratch)
FUNCTION $T total_$T($T x, TO_LOCAL $T *scratch) {
    BARRIER();
    scratch[LANE] = x;
    BARRIER();
    for (int all = LANES; all > 1; all = (all + 1) / 2) {
        if (LANE < all / 2) scratch[LANE] += scratch[LANE + (all + 1) / 2];
        BARRIER();
    }
    return scratch[0];
}
FUNCTION $T largest_$T($T x, TO_LOCAL $T *scratch) {
    BARRIER();
    scratch[LANE] = x;
    BARRIER();
    for (int all = LANES; all > 1; all = (all + 1) / 2) {
        if (LANE < all / 2) scratch[LANE] = fmax(scratch[LANE], scratch[LANE + (all + 1) / 2]);
        BARRIER();
    }
    return scratch[0];
}
typedef $T ${T}group;
#endif
#define TOTAL_column_$T(x) (x)
#define LARGEST_column_$T(x) (x)
typedef $T ${T}row;
typedef ${T}v ${T}column;
""")

_F32 = _OF_TYPE.substitute(
    T="f32", V="float8", W=8, SUM="float4 y = x.lo + x.hi; float2 z = y.lo + y.hi; return z.x + z.y;",
    MAX="float4 y = fmax(x.lo, x.hi); float2 z = fmax(y.lo, y.hi); return fmax(z.x, z.y);")
_F64 = _OF_TYPE.substitute(
    T="f64", V="double4", W=4, SUM="double2 z = x.lo + x.hi; return z.x + z.y;",
    MAX="double2 z = fmax(x.lo, x.hi); return fmax(z.x, z.y);")
SHARED = f"{_SHARED}{_F32}#ifdef FP64\n{_F64}#endif\n"

_MEANING = "".join(f"#undef {name}\n#define {name}{value}\n" for name, value in (
    ("FORM", " $FORM"), ("T", " $T"), ("V", " ${T}v"), ("R", " $T$FORM"), ("WIDTH", " WIDTH_$T"),
    ("FIRST", " FIRST_$FORM"), ("SCRATCH", " SCRATCH_$FORM"), ("ROWS", " ROWS_$FORM"),
    ("ALONG", " ALONG_$FORM"), ("BASE", " BASE_$FORM"), ("AT", " AT_$FORM"),
    ("COUNT", " COUNT_$FORM"), ("load", " load_$T"), ("store", " store_$T"), ("TOTAL", " TOTAL_${FORM}_$T"),
    ("LARGEST", " LARGEST_${FORM}_$T")))


class Rows(Family):
    """A family of such kernels. `parts` are their texts by name, which is the last word of a launch; the words before
    it are those for `over`, the form and the type."""

    def __init__(self, name: str, parts: dict[str, str], over: Any = (), shared: str = "",
                 forms: tuple[str, ...] = ("row", "group", "column")) -> None:
        texts = [text.replace("$NAME", "${NAME}_" + part) for part, text in parts.items()]
        self.forms = forms
        text = f"#if !(defined(CHUNKED) && IS_$FORM)\n{_MEANING}" + "\n".join(texts) + "\n#endif"
        super().__init__(name, text,
                         (*over, ("FORM", forms), ("T", ("f32", "f64"))), shared=SHARED + shared)


def floats(*arrays: Array | None) -> str | None:
    """The C type that all these arrays have, where these kernels compute in it."""
    kinds = {each.dtype for each in arrays if each is not None}
    return FLOATS.get(kinds.pop()) if len(kinds) == 1 else None


@functools.lru_cache(maxsize=1024)
def _plan(cpu: bool, group: int, grouped: bool, width: int, outer: int, length: int,
          inner: int) -> tuple[int, int, int]:
    """(how many rows or vectors of rows, items to launch for, lanes that share a row)."""
    if cpu:
        return outer * -(-inner // width) if inner > 1 else outer, outer * length * inner, 1
    lanes = group if inner == 1 and length >= LONG and grouped else 1
    return outer * inner, outer * inner * lanes, lanes


def launch_rows(family: Rows, words: tuple[str, ...], kind: str, part: str, sizes: tuple[int, int, int], *args: Any,
                op: str = "", checks: bool = False) -> None:
    """Launch a kernel over the rows of (outer, length, inner), in the form that fits, for elements of `kind`."""
    traits = next(each for each in args if each.__class__ is Array).device.traits
    outer, length, inner = sizes
    rows, items, lanes = _plan(traits.cpu, traits.group, "group" in family.forms, WIDTHS[kind], outer, length, inner)
    form = "group" if lanes > 1 else "row" if inner == 1 and "row" in family.forms else "column"
    launch(family, (*words, form, kind, part), items, rows, length, inner, lanes, *args, op=op, checks=checks)


def seen_as(shape: tuple[int, ...], dim: int) -> tuple[int, int, int]:
    """(outer, length, inner) of a dimension."""
    outer = inner = 1
    for size in shape[:dim]:
        outer *= size
    for size in shape[dim + 1:]:
        inner *= size
    return outer, shape[dim], inner
