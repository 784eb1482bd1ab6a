"""The renderer: loops as kernels in C, for every dialect of `dialect`.

A pointwise loop has two kinds of kernels.

*Flat*: all arrays are dense and of one size; one loop over the elements. `form` says for each operand whether it is an
array ("a") or a number passed by value ("v"). The parameters are ARRAY(...) of each result and of each operand ("a"),
or the value ("v"), in order, then `i64 n`, then ERRORS if the loop can fail. On processors the elements are computed in
vectors of 32 bytes where the expression has functions that are slow for single elements.

*Strided*: any strides, sizes up to eight dimensions, numbers where one likes. The parameters are ARRAY(...) of each
result, per operand ARRAY(...), the value and an `i32` that says whether the value counts, then a `walk<n>_t` (see
`walk_type`), then ERRORS.
On processors each work item walks through its elements row by row along the last dimension, without a division per
element; operands that stay the same in a row are read once, and rows without gaps become vector instructions.
"""

from __future__ import annotations

import functools
import itertools
import struct
from collections.abc import Sequence

from flambeau.dtypes import FLOAT
from flambeau.ir.dialect import C_TYPES, RANK
from flambeau.ir.expr import Expr, walk
from flambeau.ir.loops import Pointwise
from flambeau.ir.lower import HEAVY, Lowered, NoVectors, lower

VECTOR = 32     # bytes of a vector: some drivers' compilers fail on functions of larger ones
Functions = set[tuple[str, str]]


def walk_type(operands: int) -> str:
    """The declaration of `walk<n>_t` for so many arrays: sizes, strides, dimensions, number of elements."""
    return (f"typedef struct {{ i64 size[{RANK}]; i64 stride[{operands}][{RANK}]; i64 rank; i64 count; }} "
            f"walk{operands}_t;\n")


def pack_walk(sizes: Sequence[int], strides: Sequence[Sequence[int]], count: int) -> bytes:
    """The bytes of such a declaration's value; there is at least one dimension."""
    pad = [0] * (RANK - len(sizes))
    words = [*sizes, *pad]
    for each in strides:
        words += [*each, *pad]
    return struct.pack(f"={len(words) + 2}q", *words, len(sizes), count)


@functools.lru_cache(maxsize=1024)
def lowered(loop: Pointwise, width: int = 1) -> Lowered:
    """The loop's expressions in C, its operands being x0, x1, ..., its results "0", "1", ..."""
    return lower({str(k): each.tree for k, each in enumerate(loop.results)},
                 {each.name: (f"x{k}", each.dtype) for k, each in enumerate(loop.operands)}, loop.inner,
                 {str(k): each.dtype for k, each in enumerate(loop.results)}, width=width)


def can_fail(loop: Pointwise) -> bool:
    """Whether the loop's kernels take ERRORS."""
    return lowered(loop).fails


def functions(loop: Pointwise) -> frozenset[tuple[str, str]]:
    """What the loop's kernels need of the prelude."""
    vector = vectors(loop)
    return lowered(loop).functions | (vector.functions if vector is not None else frozenset())


def _heavy(trees: Sequence[Expr]) -> bool:
    return any(node.op in HEAVY for tree in trees for node in walk(tree))


def vectors(loop: Pointwise) -> Lowered | None:
    """The loop's expressions on vectors, if that pays and there is a form for all of them."""
    kinds = {each.dtype for each in loop.operands} | {each.dtype for each in loop.results}
    if kinds != {loop.inner} or loop.inner.category != FLOAT or not _heavy([each.tree for each in loop.results]):
        return None
    try:
        return lowered(loop, VECTOR // loop.inner.itemsize)
    except NoVectors:
        return None


def _before(loop: Pointwise, low: Lowered) -> str:
    """What a loop begins with: the promise that its iterations are independent, where it is simple enough for vectors;
    compilers warn where a promise is no use."""
    simple = not low.fails and not low.functions and not _heavy([each.tree for each in loop.results])
    return "INDEPENDENT " if simple else ""


def _lines(statements: Sequence[str], indent: int) -> str:
    return "".join(f"{' ' * indent}{each}\n" for each in statements)


# ---------------------------------------------------------------------------------------------- flat kernels
def flat(loop: Pointwise, name: str, form: str) -> str:
    """A kernel for dense operands of one size."""
    low = lowered(loop)
    parameters = [f"ARRAY({C_TYPES[each.dtype]}, q{k})" for k, each in enumerate(loop.results)]
    opened = [f"OPEN({C_TYPES[each.dtype]}, q{k});" for k, each in enumerate(loop.results)]
    reads = []
    for k, (each, how) in enumerate(zip(loop.operands, form, strict=True)):
        kind = C_TYPES[each.dtype]
        parameters.append(f"ARRAY({kind}, p{k})" if how == "a" else f"{kind} x{k}")
        if how == "a":
            opened.append(f"OPEN({kind}, p{k});")
            reads.append(f"const {kind} x{k} = p{k}[i];")
    parameters += ["i64 n", *(["ERRORS"] if low.fails else [])]
    writes = [f"q{k}[i] = {low.values[str(k)]};" for k in range(len(loop.results))]
    scalar = [*reads, *low.statements, *writes]
    text = f"KERNEL {name}({', '.join(parameters)}) {{\n{_lines(opened, 4)}"
    plain = f"    {_before(loop, low)}FOR_EACH(i, n) {{\n{_lines(scalar, 8)}    }}\n"
    vector = vectors(loop)
    if vector is None:
        return f"{text}{plain}}}\n"
    return f"{text}#ifdef VECTORS\n{_in_vectors(loop, form, vector, scalar)}#else\n{plain}#endif\n}}\n"


def _in_vectors(loop: Pointwise, form: str, vector: Lowered, scalar: list[str]) -> str:
    """A chunk per work item, in vectors as far as they go; values are spread over a vector before."""
    width = VECTOR // loop.inner.itemsize
    kind = f"{C_TYPES[loop.inner]}x{width}"
    names = {f"x{k}": f"y{k}" for k, how in enumerate(form) if how == "v"}
    spread = [f"const {kind} y{k} = ({kind})(x{k});" for k, how in enumerate(form) if how == "v"]
    body = [f"const {kind} x{k} = vload{width}(0, p{k} + i);" for k, how in enumerate(form) if how == "a"]
    body += [f"const {kind} {name} = {other};" for name, other in names.items()]
    body += vector.statements
    body += [f"vstore{width}({vector.values[str(k)]}, 0, q{k} + i);" for k in range(len(loop.results))]
    return (_lines([*spread, f"const index_t chunk = (((index_t)n + ITEMS - 1) / ITEMS + {width - 1}) & ~{width - 1};",
                    "const index_t begin = ITEM * chunk;",
                    "const index_t end = begin + chunk < (index_t)n ? begin + chunk : (index_t)n;",
                    "index_t i = begin;"], 4)
            + f"    for (; i + {width} <= end; i += {width}) {{\n{_lines(body, 8)}    }}\n"
            + f"    for (; i < end; ++i) {{\n{_lines(scalar, 8)}    }}\n")


# ---------------------------------------------------------------------------------------------- strided kernels
def strided(loop: Pointwise, name: str) -> str:
    """A kernel for any strides."""
    low = lowered(loop)
    results = [C_TYPES[each.dtype] for each in loop.results]
    kinds = [C_TYPES[each.dtype] for each in loop.operands]
    parameters = [*[f"ARRAY({kind}, q{k})" for k, kind in enumerate(results)],
                  *[f"ARRAY({kind}, p{k}), {kind} v{k}, i32 by{k}" for k, kind in enumerate(kinds)],
                  f"walk{len(results) + len(kinds)}_t w", *(["ERRORS"] if low.fails else [])]
    opened = [*[f"OPEN({kind}, q{k});" for k, kind in enumerate(results)],
              *[f"OPEN({kind}, p{k});" for k, kind in enumerate(kinds)]]
    return (f"KERNEL {name}({', '.join(parameters)}) {{\n{_lines(opened, 4)}"
            f"#ifdef CHUNKED\n{_rows(low, results, kinds, _before(loop, low))}"
            f"#else\n{_single(low, results, kinds)}#endif\n}}\n")


def _single(low: Lowered, results: list[str], kinds: list[str]) -> str:
    """One element per iteration, its place by division: for devices with many work items."""
    names = [*[f"q{k}" for k in range(len(results))], *[f"p{k}" for k in range(len(kinds))]]
    places = "".join(f" at_{each} += place * (index_t)w.stride[{k}][d];" for k, each in enumerate(names))
    body = [f"index_t rest = i, {', '.join(f'at_{each} = 0' for each in names)};",
            "for (int d = (int)w.rank - 1; d >= 0; --d) { const index_t size = (index_t)w.size[d], place = rest % size;"
            f" rest /= size;{places} }}",
            *[f"const {kind} x{k} = by{k} ? v{k} : p{k}[at_p{k}];" for k, kind in enumerate(kinds)],
            *low.statements, *[f"q{k}[at_q{k}] = {low.values[str(k)]};" for k in range(len(results))]]
    return f"    FOR_EACH(i, w.count) {{\n{_lines(body, 8)}    }}\n"


def _rows(low: Lowered, results: list[str], kinds: list[str], before: str) -> str:
    """Row by row."""
    names = [*[f"q{k}" for k in range(len(results))], *[f"p{k}" for k in range(len(kinds))]]
    every = list(enumerate(names))
    strides = ", ".join(f"s_{each} = (index_t)w.stride[{k}][last]" for k, each in every)
    start = [
        "const index_t n = (index_t)w.count, chunk = (n + ITEMS - 1) / ITEMS, begin = ITEM * chunk;",
        "index_t left = begin + chunk < n ? chunk : n - begin, rest = begin, place[8];",
        "const int last = (int)w.rank - 1;",
        f"const index_t row = (index_t)w.size[last], {strides};",
        f"index_t {', '.join(f'at_{each} = 0' for each in names)}, column = rest % row;",
        "if (left <= 0) return;", "rest /= row;",
        "for (int d = last - 1; d >= 0; --d) { const index_t size = (index_t)w.size[d]; place[d] = rest % size; "
        "rest /= size;" + "".join(f" at_{each} += place[d] * (index_t)w.stride[{k}][d];" for k, each in every) + " }"]
    step = "".join(f" at_{each} += (index_t)w.stride[{k}][d];" for k, each in every)
    back = "".join(f" at_{each} -= (index_t)(w.size[d] * w.stride[{k}][d]);" for k, each in every)
    body = ["const index_t stop = column + left < row ? column + left : row;", "left -= stop - column;",
            *[f"const {kind} c{k} = by{k} ? v{k} : p{k}[at_p{k}];" for k, kind in enumerate(kinds)]]
    advance = [f"column = 0; if (left > 0) for (int d = last - 1; d >= 0; --d) {{{step} "
               f"if (++place[d] < (index_t)w.size[d]) break;{back} place[d] = 0; }}"]
    return (_lines(start, 4) + f"    while (left > 0) {{\n{_lines(body, 8)}{_row_loops(low, results, kinds, before)}"
            + f"{_lines(advance, 8)}    }}\n")


def _row_loops(low: Lowered, results: list[str], kinds: list[str], before: str) -> str:
    """The loops over a row: for the usual strides, 1 and 0, where that gives vectors, and for any."""
    usual = list(itertools.product("10", repeat=len(kinds))) if len(kinds) <= 2 else [("1",) * len(kinds)]
    text = "        "
    for choice in usual:
        if before and "1" in choice:
            tests = [*[f"s_q{k} == 1" for k in range(len(results))],
                     *[f"s_p{k} == {stride}" for k, stride in enumerate(choice)]]
            reads = [f"const {kind} x{k} = " + (f"p{k}[at_p{k} + i];" if choice[k] == "1" else f"c{k};")
                     for k, kind in enumerate(kinds)]
            writes = [f"q{k}[at_q{k} + i] = {low.values[str(k)]};" for k in range(len(results))]
            text += (f"if ({' && '.join(tests)}) {{\n            {before}for (index_t i = column; i < stop; ++i) {{\n"
                     f"{_lines([*reads, *low.statements, *writes], 16)}            }}\n        }} else ")
    reads = [f"const {kind} x{k} = s_p{k} ? p{k}[at_p{k} + i * s_p{k}] : c{k};" for k, kind in enumerate(kinds)]
    writes = [f"q{k}[at_q{k} + i * s_q{k}] = {low.values[str(k)]};" for k in range(len(results))]
    return (f"{text}for (index_t i = column; i < stop; ++i) {{\n{_lines([*reads, *low.statements, *writes], 12)}"
            "        }\n")
