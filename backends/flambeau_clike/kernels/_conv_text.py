"""The texts of convolutions for GPUs, where windows are found as they are needed and never stored.

A convolution is a product of matrices, c = a @ b, whose right matrix is not there: each of its elements is an element
of an array, or zero where a window sticks out of it. Its place is the sum of two places, one that the row of b gives
and one that the column gives: a *tap* (channel, element of the window) and a *position* (sample, where the window
lies). So a group of work items keeps a table of the places of its rows and one of those of its columns in local
memory, and an element costs a few additions.

    convolution           weight (outs, taps)           @ input (taps, positions)
    gradient of the input weight (channels, taps)       @ gradient (taps, positions of the input)
    gradient of weights   gradient (outs, positions)    @ input (positions, taps)

The gradient of the input is a convolution, too. With strides, each input element meets some of the taps only: those of
its *phase*, its remainder by the stride. Each phase is a convolution with a stride of one.
"""

from __future__ import annotations

# conv_t: what is computed, in the words of a product; `to` are places in the array of weights (for taps) or in that of
# the positions' numbers. line_t: one dimension of one phase; position i is element place + i * place_jump of `whole`,
# and meets, as tap number t (element tap + t * tap_jump of the window), element i * jump + base + t * step of `size`.
SHARED = """
typedef struct {
    i64 groups, rows, channels, samples, broad, parts, length, back, added, added_step;
    i64 a_row, c_row, a_group, b_group, c_group, c_part, from_sample, to_sample, to_channel;
    i64 phases[3], period[3];
    windows_t w;
} conv_t;
typedef struct { i32 size, whole, width, count, taps, jump, base, step, tap, tap_jump, place, place_jump; } line_t;
typedef struct { index_t at, to; i32 z, y, x; } place_t;
typedef struct { index_t rest; i32 z, y, x; } digits_t;
/* Neighbours that are one access to memory. */
#define ALIGNED(bytes) __attribute__((aligned(bytes)))
typedef struct { f32 e[2]; } ALIGNED(8) f32_2;
typedef struct { f32 e[4]; } ALIGNED(16) f32_4;
#ifdef FP64
typedef struct { f64 e[2]; } ALIGNED(16) f64_2;
#endif
#ifdef __OPENCL_VERSION__
#define UNROLLED
#else
#define UNROLLED _Pragma("unroll 4")
#endif
#define NOWHERE (-(1 << 29))    /* two of these added lie outside, too */
#define PART_apply 0
#define PART_weights 1
#if defined(__OPENCL_VERSION__) && !defined(FP_FAST_FMAF)
#define FUSED_f32(a, b, s) ((a) * (b) + (s))
#else
#define FUSED_f32(a, b, s) fma(a, b, s)    /* compilers are told not to do so by themselves */
#endif
#define FUSED_f64(a, b, s) fma(a, b, s)

FUNCTION line_t line_of(const conv_t *p, int d, i32 phase) {
    const i32 jump = p->w.jump[d], border = p->w.border[d], step = p->w.step[d], period = p->period[d];
    line_t l;
    l.width = p->w.width[d];
    l.tap = 0;
    if (p->back) {
        while (l.tap < period && (phase + border - l.tap * step) % jump) ++l.tap;
        l.size = p->w.out[d]; l.whole = p->w.size[d];
        l.count = phase < l.whole ? (l.whole - phase + jump - 1) / jump : 0;
        l.taps = l.tap < period && l.tap < l.width ? (l.width - l.tap + period - 1) / period : 0;
        l.jump = 1; l.base = (phase + border - l.tap * step) / jump; l.step = -(period * step / jump);
        l.tap_jump = period; l.place = phase; l.place_jump = jump;
    } else {
        l.size = p->w.size[d]; l.whole = l.count = p->w.out[d]; l.taps = l.width;
        l.jump = jump; l.base = -border; l.step = step; l.tap_jump = 1; l.place = 0; l.place_jump = 1;
    }
    return l;
}
FUNCTION place_t nowhere(void) {
    place_t r;
    r.at = r.to = 0; r.z = r.y = r.x = NOWHERE;
    return r;
}
/* A number of taps or positions by dimension, and the channel or sample. */
FUNCTION digits_t digits_of(index_t i, i32 nz, i32 ny, i32 nx) {
    digits_t r;
    r.x = i % nx; i /= nx;
    r.y = i % ny; i /= ny;
    r.z = i % nz; r.rest = i / nz;
    return r;
}
FUNCTION digits_t sum_of(digits_t r, digits_t s, i32 nz, i32 ny, i32 nx) {    /* without a division */
    r.x += s.x; r.y += s.y; r.z += s.z; r.rest += s.rest;
    if (r.x >= nx) { r.x -= nx; ++r.y; }
    if (r.y >= ny) { r.y -= ny; ++r.z; }
    if (r.z >= nz) { r.z -= nz; ++r.rest; }
    return r;
}
FUNCTION place_t position(line_t lz, line_t ly, line_t lx, const conv_t *p, digits_t i) {
    place_t r;
    r.z = i.z * lz.jump + lz.base; r.y = i.y * ly.jump + ly.base; r.x = i.x * lx.jump + lx.base;
    r.at = i.rest * (index_t)p->from_sample + ((index_t)r.z * ly.size + r.y) * lx.size + r.x;
    r.to = i.rest * (index_t)p->to_sample + ((index_t)(lz.place + i.z * lz.place_jump) * ly.whole + ly.place
        + i.y * ly.place_jump) * lx.whole + lx.place + i.x * lx.place_jump;
    return r;
}
FUNCTION place_t tap(line_t lz, line_t ly, line_t lx, const conv_t *p, digits_t i) {
    place_t r;
    r.z = i.z * lz.step; r.y = i.y * ly.step; r.x = i.x * lx.step;
    r.at = ((i.rest * lz.size + r.z) * ly.size + r.y) * lx.size + r.x;
    r.to = i.rest * (index_t)p->to_channel + ((lz.tap + i.z * lz.tap_jump) * ly.width + ly.tap + i.y * ly.tap_jump)
        * lx.width + lx.tap + i.x * lx.tap_jump;
    return r;
}
"""

# Elements that a work item takes into registers for the next step, while tiles of this one are multiplied. Neighbours
# read neighbours: along the inner dimension of a, and along positions of b.
_FETCH = """
    for (int q = 0; q < $M * $K / $MEMBERS; ++q) {
        const int e = me + q * $MEMBERS, s = e % $K, r = e / $K;
        next_a[q] = row + r < rows && NEXT + s < last ? a[inner[s].to + (row + r) * (index_t)p.a_row] : 0;
    }
    for (int q = 0; q < $N * $K / $MEMBERS; ++q) {
        const int e = me + q * $MEMBERS, s = PART_$PART ? e % $K : e / $N, j = PART_$PART ? e / $K : e % $N;
        const int inside = ($D < 3 || (u32)(inner[s].z + outer[j].z) < size_z)
            && (u32)(inner[s].y + outer[j].y) < size_y && (u32)(inner[s].x + outer[j].x) < size_x;
        next_b[q] = inside ? b[inner[s].at + outer[j].at] : 0;
    }
"""
_PLACES = """
    if (me < $K) {
        inner[me] = NEXT + me >= last ? nowhere()
            : PART_$PART ? position(l[0], l[1], l[2], &p, mine) : tap(l[0], l[1], l[2], &p, mine);
        mine = sum_of(mine, further, nz, ny, nx);
    }
"""
# A work item's block is made of pieces of a few neighbours.
_BLOCK_ROW = "(r / $V_ROWS * ($V_ROWS * ($M / $ROWS)) + mine_m * $V_ROWS + r % $V_ROWS)"
_BLOCK_COLUMN = "(j / $V_COLUMNS * ($V_COLUMNS * ($N / $COLUMNS)) + mine_n * $V_COLUMNS + j % $V_COLUMNS)"

TILES = """
KERNEL $NAME(ARRAY($T, c), ARRAY($T, a), ARRAY($T, b), ARRAY($T, bias), conv_t p) {
    OPEN($T, c); OPEN($T, a); OPEN($T, b); OPEN($T, bias);
    LOCAL $T left[$K][$M + 4] ALIGNED(16), right[$K][$N + 4] ALIGNED(16);
    LOCAL line_t l[3];
    LOCAL place_t inner[$K], outer[$N];
    const int me = LANE, mine_m = me / ($N / $COLUMNS), mine_n = me % ($N / $COLUMNS);
    const index_t rows = p.rows, tall = (rows + $M - 1) / $M;
    index_t rest = ITEM / $MEMBERS;
    const index_t row = rest % tall * $M; rest /= tall;
    const index_t column = rest % (index_t)p.broad * $N; rest /= (index_t)p.broad;
    const index_t part = rest % (index_t)p.parts; rest /= (index_t)p.parts;
    const index_t which = rest % (index_t)p.groups; rest /= (index_t)p.groups;
    if (me == 0) {
        l[2] = line_of(&p, 2, rest % (index_t)p.phases[2]); rest /= (index_t)p.phases[2];
        l[1] = line_of(&p, 1, rest % (index_t)p.phases[1]); rest /= (index_t)p.phases[1];
        l[0] = line_of(&p, 0, rest);
    }
    BARRIER();
    const index_t positions = (index_t)p.samples * l[0].count * l[1].count * l[2].count;
    const index_t taps = (index_t)p.channels * l[0].taps * l[1].taps * l[2].taps;
    const index_t columns = PART_$PART ? taps : positions, sums = PART_$PART ? positions : taps;
    const index_t first = part * (index_t)p.length, end = first + (index_t)p.length;
    const index_t last = column >= columns ? first : end < sums ? end : sums;
    const u32 size_z = l[0].size, size_y = l[1].size, size_x = l[2].size;
    a += which * p.a_group; b += which * p.b_group; c += which * p.c_group + part * p.c_part;
    const i32 tz = l[0].taps, ty = l[1].taps, tx = l[2].taps, cz = l[0].count, cy = l[1].count, cx = l[2].count;
    for (int e = me; e < $N; e += $MEMBERS)
        outer[e] = column + e >= columns ? nowhere()
            : PART_$PART ? tap(l[0], l[1], l[2], &p, digits_of(column + e, tz, ty, tx))
            : position(l[0], l[1], l[2], &p, digits_of(column + e, cz, cy, cx));
    const i32 nz = sums ? (PART_$PART ? cz : tz) : 1, ny = sums ? (PART_$PART ? cy : ty) : 1;
    const i32 nx = sums ? (PART_$PART ? cx : tx) : 1;
    const digits_t further = digits_of($K, nz, ny, nx);
    digits_t mine = digits_of(first + me, nz, ny, nx);
    $T next_a[$M * $K / $MEMBERS], next_b[$N * $K / $MEMBERS], sum[$ROWS][$COLUMNS];
    for (int r = 0; r < $ROWS; ++r) for (int j = 0; j < $COLUMNS; ++j) sum[r][j] = 0;
""" + _PLACES.replace("NEXT", "first") + """
    BARRIER();
""" + _FETCH.replace("NEXT", "first") + """
    BARRIER();
    for (index_t x = first; x < last; x += $K) {
        for (int q = 0; q < $M * $K / $MEMBERS; ++q) {
            const int e = me + q * $MEMBERS;
            left[e % $K][e / $K] = next_a[q];
        }
        for (int q = 0; q < $N * $K / $MEMBERS; ++q) {
            const int e = me + q * $MEMBERS;
            right[PART_$PART ? e % $K : e / $N][PART_$PART ? e / $K : e % $N] = next_b[q];
        }
""" + _PLACES.replace("NEXT", "x + $K") + """
        BARRIER();
""" + _FETCH.replace("NEXT", "x + $K") + f"""
        UNROLLED
        for (int s = 0; s < $K; ++s) {{
            ${{T}}_$V_ROWS u[$ROWS / $V_ROWS];
            ${{T}}_$V_COLUMNS v[$COLUMNS / $V_COLUMNS];
            for (int r = 0; r < $ROWS; r += $V_ROWS)
                u[r / $V_ROWS] = *(TO_LOCAL const ${{T}}_$V_ROWS *)&left[s][{_BLOCK_ROW}];
            for (int j = 0; j < $COLUMNS; j += $V_COLUMNS)
                v[j / $V_COLUMNS] = *(TO_LOCAL const ${{T}}_$V_COLUMNS *)&right[s][{_BLOCK_COLUMN}];
            for (int r = 0; r < $ROWS; ++r) for (int j = 0; j < $COLUMNS; ++j)
                sum[r][j] = FUSED_$T(u[r / $V_ROWS].e[r % $V_ROWS], v[j / $V_COLUMNS].e[j % $V_COLUMNS], sum[r][j]);
        }}
        BARRIER();
    }}
    for (int r = 0; r < $ROWS; ++r) {{
        const index_t to = row + {_BLOCK_ROW};
        if (to < rows) {{
            const $T plus = p.added && part == 0 ? bias[(which * rows + to) * p.added_step] : 0;
            for (int j = 0; j < $COLUMNS; ++j) {{
                const int lies = {_BLOCK_COLUMN};
                if (column + lies < columns) c[outer[lies].to + to * (index_t)p.c_row] = sum[r][j] + plus;
            }}
        }}
    }}
}}"""

# Few channels in a group, as in a depthwise convolution: a tile would be empty. Each work item makes an element.
DIRECT = """
KERNEL $NAME(ARRAY($T, c), ARRAY($T, a), ARRAY($T, b), ARRAY($T, bias), conv_t p, i64 n) {
    OPEN($T, c); OPEN($T, a); OPEN($T, b); OPEN($T, bias);
    const i32 jump_z = p.back ? p.w.jump[0] : 1, jump_y = p.back ? p.w.jump[1] : 1, jump_x = p.back ? p.w.jump[2] : 1;
    const i32 whole_z = p.back ? p.w.size[0] : p.w.out[0], whole_y = p.back ? p.w.size[1] : p.w.out[1];
    const i32 whole_x = p.back ? p.w.size[2] : p.w.out[2];
    FOR_EACH(i, n) {
        index_t rest = i;
        const i32 x = rest % whole_x; rest /= whole_x;
        const i32 y = rest % whole_y; rest /= whole_y;
        const i32 z = rest % whole_z; rest /= whole_z;
        const index_t row = rest % (index_t)p.rows, plane = rest % (index_t)(p.groups * p.rows);
        rest /= (index_t)(p.groups * p.rows);
        const line_t lz = line_of(&p, 0, z % jump_z), ly = line_of(&p, 1, y % jump_y), lx = line_of(&p, 2, x % jump_x);
        const i32 from_z = z / jump_z * lz.jump + lz.base, from_y = y / jump_y * ly.jump + ly.base;
        const i32 from_x = x / jump_x * lx.jump + lx.base;
        const index_t which = plane / (index_t)p.rows, per_channel = (index_t)lz.size * ly.size * lx.size;
        const GLOBAL $T *from = b + rest * p.from_sample + which * p.b_group;
        const GLOBAL $T *weight = a + which * p.a_group + row * p.a_row;
        $T sum = 0;
        for (int channel = 0; channel < p.channels; ++channel, from += per_channel, weight += p.to_channel)
            for (int tz = 0; tz < lz.taps; ++tz) {
                const i32 at_z = from_z + tz * lz.step;
                if ((u32)at_z >= (u32)lz.size) continue;
                for (int ty = 0; ty < ly.taps; ++ty) {
                    const i32 at_y = from_y + ty * ly.step;
                    if ((u32)at_y >= (u32)ly.size) continue;
                    const GLOBAL $T *line = from + ((index_t)at_z * ly.size + at_y) * lx.size;
                    const index_t taps = ((lz.tap + tz * lz.tap_jump) * ly.width + ly.tap + ty * ly.tap_jump)
                        * lx.width;
                    for (int tx = 0; tx < lx.taps; ++tx) {
                        const i32 at_x = from_x + tx * lx.step;
                        if ((u32)at_x < (u32)lx.size)
                            sum = FUSED_$T(weight[taps + lx.tap + tx * lx.tap_jump], line[at_x], sum);
                    }
                }
            }
        if (p.added) sum += bias[plane * p.added_step];
        c[i] = sum;
    }
}"""

# The weights' gradient of such convolutions: a group for each element, whose items take every $G-th position. Adding $G
# to a position takes no division: its digits are known, and each carries at most one.
DIRECT_WEIGHTS = """
KERNEL $NAME(ARRAY($T, c), ARRAY($T, a), ARRAY($T, b), conv_t p) {
    OPEN($T, c); OPEN($T, a); OPEN($T, b);
    LOCAL $T all[$G];
    const int me = LANE;
    const index_t element = ITEM / $G;
    const i32 out_z = p.w.out[0], out_y = p.w.out[1], out_x = p.w.out[2];
    const i32 size_z = p.w.size[0], size_y = p.w.size[1], size_x = p.w.size[2];
    index_t rest = element;
    const i32 tx = rest % (index_t)p.w.width[2] * (i32)p.w.step[2] - (i32)p.w.border[2]; rest /= (index_t)p.w.width[2];
    const i32 ty = rest % (index_t)p.w.width[1] * (i32)p.w.step[1] - (i32)p.w.border[1]; rest /= (index_t)p.w.width[1];
    const i32 tz = rest % (index_t)p.w.width[0] * (i32)p.w.step[0] - (i32)p.w.border[0]; rest /= (index_t)p.w.width[0];
    const index_t channel = rest % (index_t)p.channels; rest /= (index_t)p.channels;
    const index_t which = rest / (index_t)p.rows;
    a += rest * p.a_row; b += which * p.b_group + (i64)channel * size_z * size_y * size_x;
    i32 x = me % out_x, y = me / out_x % out_y, z = me / out_x / out_y % out_z;
    index_t sample = me / out_x / out_y / out_z;
    const i32 add_x = $G % out_x, add_y = $G / out_x % out_y, add_z = $G / out_x / out_y % out_z;
    const i32 add_sample = $G / out_x / out_y / out_z;
    $T sum = 0;
    while (sample < p.samples) {
        const i32 at_z = z * (i32)p.w.jump[0] + tz, at_y = y * (i32)p.w.jump[1] + ty, at_x = x * (i32)p.w.jump[2] + tx;
        if ((u32)at_z < (u32)size_z && (u32)at_y < (u32)size_y && (u32)at_x < (u32)size_x)
            sum = FUSED_$T(a[sample * (index_t)p.to_sample + (z * out_y + y) * out_x + x],
                           b[sample * (index_t)p.from_sample + ((index_t)at_z * size_y + at_y) * size_x + at_x], sum);
        x += add_x; y += add_y; z += add_z; sample += add_sample;
        if (x >= out_x) { x -= out_x; ++y; }
        if (y >= out_y) { y -= out_y; ++z; }
        if (z >= out_z) { z -= out_z; ++sample; }
    }
    all[me] = sum;
    for (int gap = $G / 2; gap; gap /= 2) {
        BARRIER();
        if (me < gap) all[me] += all[me + gap];
    }
    if (me == 0) c[element] = all[0];
}"""

# The parts of long sums.
SUM = """
KERNEL $NAME(ARRAY($T, c), ARRAY($T, partial), i64 n, i64 parts) {
    OPEN($T, c); OPEN($T, partial);
    FOR_EACH(i, n) {
        $T sum = partial[i];
        for (index_t k = 1; k < parts; ++k) sum += partial[k * (index_t)n + i];
        c[i] = sum;
    }
}"""
