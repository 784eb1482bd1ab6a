"""C-like kernels of reductions and of searches for an extremum, from the loops in operators' records.

A kernel computes `outputs` results in `lanes` parts each; where there are several lanes a second launch combines their
partial results. Nothing waits for another work item, so that the same text suits graphics processors and the cores of
a processor. Which elements a lane takes differs (CHUNKED): a contiguous chunk, whose loop over WIDTH accumulators
becomes vector instructions, or every so manieth, so that neighbouring work items read neighbouring memory.

The reduced dimensions are `m` runs (their places in the layout `outer`) of `n` elements at a distance of `step`. The
results are one for each place of the layout `kept` (operand 0: in the result, operand 1: in the input), or `columns`
of them next to each other in the input, where the reduced dimensions are the slower ones: then a work item takes a
block of columns row by row. Sums are made of parts of at most about 1024 additions in a row, so that their error
hardly grows with the number of elements.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from flambeau import dtypes as fd
from flambeau.dtypes import INTEGER, dtype
from flambeau.ir import prelude
from flambeau.ir.dialect import C_TYPES
from flambeau.ir.expr import Expr, as_expr, symbols
from flambeau.ir.lower import literal, lower
from flambeau.ir.reductions import LOWEST, Reduction, RunningSearch, Scan, Search

PARAMETERS = """layout_t kept, layout_t outer, i64 outputs, i64 lane_out, i64 columns, i64 column_out, i64 m,
             i64 lanes_m, i64 n, i64 step, i64 lanes_n"""

# Where work item i finds its elements; `width` columns, 1 where the kernel does not go by columns.
PLACE = """
        i64 block = 0, lane = 0, o = i;
        if (blocks > 1) { block = o % blocks; o /= blocks; }
        if (lanes > 1) { lane = o % lanes; o /= lanes; }
        i64 run = lane / lanes_n * runs, run_end = run + runs < m ? run + runs : m;
#ifdef CHUNKED
        i64 first = lane % lanes_n * length, jump = 1;
        i64 count = first + length < n ? length : n - first;
#else
        i64 first = lane % lanes_n, jump = lanes_n;
        i64 count = (n - first + lanes_n - 1) / lanes_n;
#endif
        i64 hop = step * jump;
        i64 column = block * BLOCK;
        int width = columns - column < BLOCK ? (int)(columns - column) : BLOCK;
        GLOBAL $T *source = input + (kept.rank == 1 ? o * kept.stride[1][0] : locate(&kept, 1, o)) + first * step;
        i64 target = (kept.rank == 1 ? o * kept.stride[0][0] : locate(&kept, 0, o)) + lane * lane_out;
"""
SIZES = """
    i64 lanes = lanes_m * lanes_n, runs = (m + lanes_m - 1) / lanes_m;
    i64 length = (n + lanes_n - 1) / lanes_n;
    i64 blocks = columns ? (columns + BLOCK - 1) / BLOCK : 1;
"""
SHARED = """
#ifdef CHUNKED
#define WIDTH 8
#define BLOCK 256
#define SEGMENT 4096
#else
#define WIDTH 4
#define BLOCK 1
#define SEGMENT 32
#endif
"""

REDUCTION = """
FUNCTION $R ${NAME}_run(GLOBAL $T *p, i64 count, i64 step) {
    $R total = initial_$R();
    i64 i = 0;
    if (step == 1) {
        $R part[WIDTH];
        while (count - i >= WIDTH) {
            i64 end = count - i > WIDTH * 512 ? i + WIDTH * 512 : count - (count - i) % WIDTH;
            for (int k = 0; k < WIDTH; ++k) part[k] = initial_$R();
            for (; i < end; i += WIDTH)
                for (int k = 0; k < WIDTH; ++k) part[k] = combine_$R(part[k], load_${T}_$R(p[i + k]));
            for (int span = WIDTH / 2; span; span /= 2)
                for (int k = 0; k < span; ++k) part[k] = combine_$R(part[k], part[k + span]);
            total = combine_$R(total, part[0]);
        }
        for (; i < count; ++i) total = combine_$R(total, load_${T}_$R(p[i]));
        return total;
    }
    while (i < count) {
        i64 end = count - i > 1024 ? i + 1024 : count;
        $R part = initial_$R(), other = initial_$R();
        for (; i + 1 < end; i += 2) {
            part = combine_$R(part, load_${T}_$R(p[i * step]));
            other = combine_$R(other, load_${T}_$R(p[i * step + step]));
        }
        if (i < end) part = combine_$R(part, load_${T}_$R(p[i++ * step]));
        total = combine_$R(total, combine_$R(part, other));
    }
    return total;
}
KERNEL $NAME(ARRAY($R, out), ARRAY($T, input), i64 all, PARAMETERS) {
    OPEN($R, out); OPEN($T, input); SIZES
    FOR_EACH(i, outputs * lanes) { PLACE
        $R total = initial_$R();
        while (run < run_end) {
            i64 stop = run_end - run > 512 ? run + 512 : run_end;
            $R part = initial_$R();
            for (; run < stop; ++run)
                part = combine_$R(part, ${NAME}_run(source + (m == 1 ? 0 : locate(&outer, 0, run)), count, hop));
            total = combine_$R(total, part);
        }
        out[target] = finish_$R(total, all);
    }
}
KERNEL ${NAME}_columns(ARRAY($R, out), ARRAY($T, input), i64 all, PARAMETERS) {
    OPEN($R, out); OPEN($T, input); SIZES
    FOR_EACH(i, outputs * lanes * blocks) { PLACE
        $R part[BLOCK];
        for (int k = 0; k < width; ++k) part[k] = initial_$R();
        for (; run < run_end; ++run) {
            GLOBAL $T *p = source + (m == 1 ? 0 : locate(&outer, 0, run)) + column;
            for (i64 j = 0; j < count; ++j, p += hop)
                for (int k = 0; k < width; ++k) part[k] = combine_$R(part[k], load_${T}_$R(p[k]));
        }
        for (int k = 0; k < width; ++k) out[target + (column + k) * column_out] = finish_$R(part[k], all);
    }
}
""".replace("PARAMETERS", PARAMETERS).replace("SIZES", SIZES).replace("PLACE", PLACE)

# A lane looks at segments: at their extremum first, which is vector work, then for its place in the best of them.
SEARCH = """
FUNCTION int ${NAME}_same($T a, $T b) { return !better_$T(a, b) && !better_$T(b, a); }
FUNCTION $T ${NAME}_best(GLOBAL $T *p, i64 count, i64 step) {
    $T best = initial_$T();
    i64 i = 0;
    if (step == 1 && count >= WIDTH) {
        $T part[WIDTH];
        for (int k = 0; k < WIDTH; ++k) part[k] = initial_$T();
        for (; i + WIDTH <= count; i += WIDTH)
            for (int k = 0; k < WIDTH; ++k) part[k] = better_$T(p[i + k], part[k]) ? p[i + k] : part[k];
        for (int span = WIDTH / 2; span; span /= 2)
            for (int k = 0; k < span; ++k) part[k] = better_$T(part[k + span], part[k]) ? part[k + span] : part[k];
        best = part[0];
    }
    for (; i < count; ++i) best = better_$T(p[i * step], best) ? p[i * step] : best;
    return best;
}
FUNCTION i64 ${NAME}_find(GLOBAL $T *p, i64 count, i64 step, $T best) {
    i64 i = 0;
    if (step == 1)
        for (; i + WIDTH <= count; i += WIDTH) {
            int found = 0;
            for (int k = 0; k < WIDTH; ++k) found |= ${NAME}_same(p[i + k], best);
            if (found) break;
        }
    while (i < count && !${NAME}_same(p[i * step], best)) ++i;
    return i;
}
KERNEL $NAME(ARRAY($T, values), ARRAY(i64, places), ARRAY($T, input), PARAMETERS) {
    OPEN($T, values); OPEN(i64, places); OPEN($T, input); SIZES
    FOR_EACH(i, outputs * lanes) { PLACE
        $T best = initial_$T();
        GLOBAL $T *found = source;
        i64 place = run < run_end && count > 0 ? run * n + first : -1, found_count = 0;
        for (; run < run_end; ++run) {
            GLOBAL $T *p = source + (m == 1 ? 0 : locate(&outer, 0, run));
            for (i64 j = 0; j < count; j += SEGMENT) {
                i64 size = count - j < SEGMENT ? count - j : SEGMENT;
                $T candidate = ${NAME}_best(p + j * hop, size, hop);
                if (better_$T(candidate, best)) {
                    best = candidate;
                    place = run * n + first + j * jump;
                    found = p + j * hop;
                    found_count = size;
                }
            }
        }
        if (found_count) place += ${NAME}_find(found, found_count, hop, best) * jump;
        values[target] = best;
        places[target] = place;
    }
}
KERNEL ${NAME}_columns(ARRAY($T, values), ARRAY(i64, places), ARRAY($T, input), PARAMETERS) {
    OPEN($T, values); OPEN(i64, places); OPEN($T, input); SIZES
    FOR_EACH(i, outputs * lanes * blocks) { PLACE
        $T best[BLOCK];
        index_t place[BLOCK];
        for (int k = 0; k < width; ++k) {
            best[k] = initial_$T();
            place[k] = (index_t)(run < run_end && count > 0 ? run * n + first : -1);
        }
        for (; run < run_end; ++run) {
            GLOBAL $T *p = source + (m == 1 ? 0 : locate(&outer, 0, run)) + column;
            index_t at = (index_t)(run * n + first);
            for (i64 j = 0; j < count; ++j, p += hop, at += (index_t)jump)
                for (int k = 0; k < width; ++k) {
                    int is_better = better_$T(p[k], best[k]);
                    best[k] = is_better ? p[k] : best[k];
                    place[k] = is_better ? at : place[k];
                }
        }
        for (int k = 0; k < width; ++k) {
            values[target + (column + k) * column_out] = best[k];
            places[target + (column + k) * column_out] = place[k];
        }
    }
}
KERNEL ${NAME}_merge(ARRAY($T, values), ARRAY(i64, places), ARRAY($T, lane_values), ARRAY(i64, lane_places),
                     layout_t kept, i64 outputs, i64 columns, i64 column_out, i64 lanes, i64 groups) {
    OPEN($T, values); OPEN(i64, places); OPEN($T, lane_values); OPEN(i64, lane_places);
    i64 size = (lanes + groups - 1) / groups;
    FOR_EACH(i, outputs * groups * columns) {
        i64 column = i % columns, group = i / columns % groups, o = i / columns / groups;
        i64 end = (group + 1) * size < lanes ? (group + 1) * size : lanes, place = -1;
        $T best = initial_$T();
        for (i64 lane = group * size; lane < end; ++lane) {
            i64 at = (o * lanes + lane) * columns + column;
            $T candidate = lane_values[at];
            i64 where = lane_places[at];
            if (where >= 0 && (place < 0 || better_$T(candidate, best)
                               || (where < place && !better_$T(best, candidate)))) {
                best = candidate;
                place = where;
            }
        }
        i64 target = groups > 1 ? i : locate(&kept, 0, o) + column * column_out;
        values[target] = best;
        places[target] = place;
    }
}
""".replace("PARAMETERS", PARAMETERS).replace("SIZES", SIZES).replace("PLACE", PLACE)


def initial(value: object, kind: dtype) -> str:
    """What a loop starts from, as C text."""
    if not isinstance(value, str):
        return literal(value, kind)
    sign = -1 if value == LOWEST else 1
    if kind.category > INTEGER:
        return literal(sign * float("inf"), kind)
    if kind.category < INTEGER:
        return literal(sign > 0, kind)
    bits = 8 * kind.itemsize - kind.is_signed
    return literal((1 << bits) - 1 if sign > 0 else -(1 << bits) if kind.is_signed else 0, kind)


def function(name: str, gives: dtype, takes: Mapping[str, dtype], tree: Expr,
             needed: set[tuple[str, str]]) -> str:
    """A C function that computes a scalar expression; what it calls is added to `needed`."""
    inner = max(takes.values(), key=lambda each: each.category) if gives.category < INTEGER else gives
    lowered = lower({"result": tree}, {each: (each, kind) for each, kind in takes.items()}, inner, gives)
    needed |= lowered.functions
    parameters = ", ".join(f"{C_TYPES[kind]} {each}" for each, kind in takes.items())
    body = "".join(f"    {line}\n" for line in lowered.statements)
    return f"FUNCTION {C_TYPES[gives]} {name}({parameters}) {{\n{body}    return {lowered.values['result']};\n}}\n"


def functions(loop: Reduction | Search | Scan | RunningSearch, pairs: Iterable[tuple[dtype, dtype]]) -> str:
    """The scalar functions that the kernels of a loop call, for these dtypes of (elements, accumulator)."""
    pairs = tuple(pairs)
    parts = [(kind, _of_accumulator(loop, kind)) for kind in dict.fromkeys(accumulator for _, accumulator in pairs)]
    if isinstance(loop, (Reduction, Scan)):
        tree = symbols("x")[0] if isinstance(loop, Scan) else as_expr(loop.load(symbols("x")[0]))
        for given, kind in pairs:
            needed: set[tuple[str, str]] = set()
            name = f"load_{C_TYPES[given]}_{C_TYPES[kind]}"
            parts.append((given, (needed, function(name, kind, {"x": given}, tree, needed))))
    return "".join(_guarded(kind, text) for kind, text in parts)


def _of_accumulator(loop: Reduction | Search | Scan | RunningSearch, kind: dtype) -> tuple[set[tuple[str, str]], str]:
    needed: set[tuple[str, str]] = set()
    name = C_TYPES[kind]
    text = f"FUNCTION {name} initial_{name}(void) {{ return {initial(loop.initial, kind)}; }}\n"
    if kind.is_complex:
        needed.add(("of", name))
    if isinstance(loop, (Search, RunningSearch)):
        tree = as_expr(loop.better(*symbols("x", "best")))
        return needed, text + function(f"better_{name}", fd.bool_, {"x": kind, "best": kind}, tree, needed)
    text += function(f"combine_{name}", kind, {"a": kind, "b": kind}, loop.combine(*symbols("a", "b")), needed)
    if isinstance(loop, Scan):
        return needed, text
    if loop.finish is None:
        return needed, text + f"#define finish_{name}(total, count) total\n"
    tree = loop.finish(*symbols("total", "count"))
    text += function(f"finished_{name}", kind, {"total": kind, "count": fd.int64}, tree, needed)
    return needed, f"{text}#define finish_{name}(total, count) ((count) < 0 ? total : finished_{name}(total, count))\n"


def _guarded(kind: dtype, part: tuple[set[tuple[str, str]], str]) -> str:
    """The text with what it calls, left out on devices that lack the type."""
    needed, text = part
    text = prelude.text(needed) + "\n" + text
    return f"#ifdef FP64\n{text}#endif\n" if kind in (fd.float64, fd.complex128) else text
