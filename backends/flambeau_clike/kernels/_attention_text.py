"""The texts of attention's kernels: for processors, which go by blocks of rows, and for groups of work items.

Both have the same three parts: `forward`, and of the gradients `queries` (which also writes, for each row, the sum of
gradient times result) and `keys`. A row that may attend to nothing has the logarithm inf, so that its weights are 0.
"""

from __future__ import annotations

from string import Template

ROWS, COLUMNS = 64, 32     # rows of a processor's block; columns that it meets at a time
GROUP = 64      # work items of a group, as 8 x 8
WIDEST = 128    # elements of a head

_COMMON = """
typedef struct {
    i64 blocks, rows, keys, width, depth, shared, q_row, q_step, k_row, k_step, v_row, v_step, mask_row, mask_step;
    i64 masked, causal;
    layout_t batch;
} attention_t;
#define PART_forward 0
#define PART_queries 1
#define PART_keys 2
#define PART_heads 3
"""

# What the softmax is taken of, for a pair of a query and a key, which there may not be.
_SEEN = """
FUNCTION $T seen_$T($T score, i64 query, i64 key, const GLOBAL b8 *allowed, const GLOBAL $T *added,
                    const attention_t *p) {
    if (key >= p->keys || (p->causal && key > query)) return -INFINITY;
    if (p->masked && query < p->rows) {
        const i64 at = query * p->mask_row + key * p->mask_step;
        if (p->masked == 2) return score + added[at];
        if (!allowed[at]) return -INFINITY;
    }
    return score;
}
"""

_PACKED = f"""
#define R {ROWS}
#define C {COLUMNS}
#define WIDEST {WIDEST}
""" + """
FUNCTION index_t least(index_t a, index_t b) { return a < b ? a : b; }
FUNCTION index_t whole(index_t n, index_t of) { return (n + of - 1) / of * of; }
"""

# `rows` are copied to `to`, where a row has `wide` places, with zeros after the `width` elements and for further rows.
_PACKING = """
typedef $V ${T}v;
typedef $V ${T}u __attribute__((aligned(4)));
#define W_$T $W
#define get_$T(p) (*(const ${T}u *)(p))
#define put_$T(p) (*(${T}u *)(p))
FUNCTION void rows_$T($T *to, int wide, const GLOBAL $T *from, index_t row, index_t step, int rows, int all,
                      int width) {
    for (int r = 0; r < all; ++r) {
        if (r < rows) {
            if (step == 1) for (int d = 0; d < width; ++d) to[r * wide + d] = from[r * row + d];
            else for (int d = 0; d < width; ++d) to[r * wide + d] = from[r * row + d * step];
        }
        for (int d = r < rows ? width : 0; d < wide; ++d) to[r * wide + d] = 0;
    }
}
FUNCTION void columns_$T($T *to, const GLOBAL $T *from, index_t row, index_t step, int rows, int width) {
    for (int d = 0; d < width; ++d) {
        for (int c = 0; c < rows; ++c) to[d * C + c] = from[c * row + d * step];
        for (int c = rows; c < C; ++c) to[d * C + c] = 0;
    }
}
#pragma OPENCL FP_CONTRACT ON
/* c (rows, columns) = or += a (rows, depth) @ b (depth, columns); rows go by 4, columns by two vectors. */
FUNCTION void product_$T($T *c, int c_row, const $T *a, int a_row, int a_step, const $T *b, int b_row, int rows,
                         int columns, int depth, int more) {
    for (int j = 0; j < columns; j += 2 * $W)
        for (int r = 0; r < rows; r += 4) {
            $T *to = c + r * c_row + j;
            const $T *left = a + r * a_row, *right = b + j;
            ${T}v s0 = 0, s1 = 0, s2 = 0, s3 = 0, t0 = 0, t1 = 0, t2 = 0, t3 = 0;
            if (more) {
                s0 = get_$T(to); t0 = get_$T(to + $W); s1 = get_$T(to + c_row);
                t1 = get_$T(to + c_row + $W); s2 = get_$T(to + 2 * c_row);
                t2 = get_$T(to + 2 * c_row + $W); s3 = get_$T(to + 3 * c_row);
                t3 = get_$T(to + 3 * c_row + $W);
            }
            for (int x = 0; x < depth; ++x, left += a_step, right += b_row) {
                const ${T}v first = get_$T(right), second = get_$T(right + $W);
                const ${T}v y0 = left[0], y1 = left[a_row], y2 = left[2 * a_row], y3 = left[3 * a_row];
                s0 += y0 * first; t0 += y0 * second; s1 += y1 * first;
                t1 += y1 * second; s2 += y2 * first; t2 += y2 * second;
                s3 += y3 * first; t3 += y3 * second;
            }
            put_$T(to) = s0; put_$T(to + $W) = t0; put_$T(to + c_row) = s1;
            put_$T(to + c_row + $W) = t1; put_$T(to + 2 * c_row) = s2;
            put_$T(to + 2 * c_row + $W) = t2; put_$T(to + 3 * c_row) = s3;
            put_$T(to + 3 * c_row + $W) = t3;
        }
}
#pragma OPENCL FP_CONTRACT OFF
FUNCTION $T sum_of_$T(${T}v x) { $SUM }
FUNCTION $T most_of_$T(${T}v x) { $MAX }
"""

_FORWARD_BLOCK = """
KERNEL $NAME(ARRAY($T, out), ARRAY($T, logs), ARRAY($T, q), ARRAY($T, k), ARRAY($T, v), ARRAY(b8, allowed),
             ARRAY($T, added), attention_t p, $T scale) {
    OPEN($T, out); OPEN($T, logs); OPEN($T, q); OPEN($T, k); OPEN($T, v); OPEN(b8, allowed); OPEN($T, added);
    const int width = p.width, depth = p.depth, wide = whole(depth, 2 * W_$T);
    const i64 per = (p.rows + R - 1) / R, blocks = p.blocks;
    FOR_EACH(i, blocks) {
        $T own[R * WIDEST], across[WIDEST * C], along[C * WIDEST], sums[R * WIDEST], score[R * C], most[R], total[R];
        const i64 which = i / per, row = i % per * R, mask = locate(&p.batch, 3, which);
        const GLOBAL $T *keys = k + locate(&p.batch, 1, which), *values = v + locate(&p.batch, 2, which);
        const int rows = least(R, p.rows - row), all = whole(rows, 4);
        rows_$T(own, width, q + locate(&p.batch, 0, which) + row * p.q_row, p.q_row, p.q_step, rows, all, width);
        for (int r = 0; r < all; ++r) {
            most[r] = -INFINITY;
            total[r] = 0;
            for (int d = 0; d < wide; ++d) sums[r * wide + d] = 0;
        }
        const i64 end = p.causal && row + rows < p.keys ? row + rows : p.keys;
        for (i64 start = 0; start < end; start += C) {
            const int some = least(C, p.keys - start), columns = whole(some, 2 * W_$T);
            columns_$T(across, keys + start * p.k_row, p.k_row, p.k_step, some, width);
            rows_$T(along, wide, values + start * p.v_row, p.v_row, p.v_step, some, columns, depth);
            product_$T(score, C, own, width, 1, across, C, all, columns, width, 0);
            const int partial = p.masked || some < columns || (p.causal && start + some > row + 1);
            for (int r = 0; r < all; ++r) {
                $T *x = score + r * C;
                ${T}v top = -INFINITY, sum = 0;
                for (int c = 0; c < columns; c += W_$T) put_$T(x + c) = get_$T(x + c) * scale;
                if (partial) for (int c = 0; c < columns; ++c)
                    x[c] = seen_$T(x[c], row + r, start + c, allowed + mask, added + mask, &p);
                for (int c = 0; c < columns; c += W_$T) {
                    const ${T}v next = get_$T(x + c);
                    top = next > top ? next : top;
                }
                const $T largest = fmax(most[r], most_of_$T(top)), base = largest == -INFINITY ? 0 : largest;
                const $T fade = exp(most[r] - base);
                for (int c = 0; c < columns; c += W_$T) {
                    const ${T}v e = exp(get_$T(x + c) - base);
                    sum += e;
                    put_$T(x + c) = e;
                }
                total[r] = total[r] * fade + sum_of_$T(sum);
                most[r] = largest;
                if (fade != 1) for (int d = 0; d < wide; d += W_$T)
                    put_$T(sums + r * wide + d) = get_$T(sums + r * wide + d) * fade;
            }
            product_$T(sums, wide, score, C, 1, along, wide, all, wide, columns, 1);
        }
        for (int r = 0; r < rows; ++r) {
            const i64 at = which * p.rows + row + r;
            const $T factor = total[r] == 0 ? 0 : 1 / total[r];
            logs[at] = total[r] == 0 ? INFINITY : most[r] + log(total[r]);
            for (int d = 0; d < depth; ++d) out[at * depth + d] = sums[r * wide + d] * factor;
        }
    }
}
"""

# From products of a row with a column to weights (in `score`) and what the scores' gradients are (in `through`).
_WEIGHTS = """
FUNCTION void weights_$T($T *x, $T *y, int columns, $T scale, int partial, i64 row, i64 start, int flipped,
                         const $T *logs, const $T *along, int each, const GLOBAL b8 *allowed, const GLOBAL $T *added,
                         const attention_t *p) {
    for (int c = 0; c < columns; c += $W) put_$T(x + c) = get_$T(x + c) * scale;
    if (partial) for (int c = 0; c < columns; ++c)
        x[c] = flipped ? seen_$T(x[c], start + c, row, allowed, added, p)
                       : seen_$T(x[c], row, start + c, allowed, added, p);
    for (int c = 0; c < columns; c += $W) {
        const ${T}v log_sum = each ? get_$T(logs + c) : (${T}v)(logs[0]);
        const ${T}v taken = each ? get_$T(along + c) : (${T}v)(along[0]);
        const ${T}v e = exp(get_$T(x + c) - log_sum);
        put_$T(x + c) = e;
        put_$T(y + c) = e * (get_$T(y + c) - taken) * scale;
    }
}
"""

_QUERIES_BLOCK = """
KERNEL $NAME(ARRAY($T, out), ARRAY($T, taken), ARRAY($T, q), ARRAY($T, k), ARRAY($T, v), ARRAY($T, grad),
             ARRAY($T, result), ARRAY($T, logs), ARRAY(b8, allowed), ARRAY($T, added), attention_t p, $T scale) {
    OPEN($T, out); OPEN($T, taken); OPEN($T, q); OPEN($T, k); OPEN($T, v); OPEN($T, grad); OPEN($T, result);
    OPEN($T, logs); OPEN(b8, allowed); OPEN($T, added);
    const int width = p.width, depth = p.depth, wide = whole(width, 2 * W_$T);
    const i64 per = (p.rows + R - 1) / R, blocks = p.blocks;
    FOR_EACH(i, blocks) {
        $T own[R * WIDEST], given[R * WIDEST], sums[R * WIDEST], across[WIDEST * C], across_v[WIDEST * C];
        $T along[C * WIDEST], score[R * C], through[R * C], log_sum[R], less[R];
        const i64 which = i / per, row = i % per * R, mask = locate(&p.batch, 3, which), at = which * p.rows + row;
        const GLOBAL $T *keys = k + locate(&p.batch, 1, which), *values = v + locate(&p.batch, 2, which);
        const int rows = least(R, p.rows - row), all = whole(rows, 4);
        rows_$T(own, width, q + locate(&p.batch, 0, which) + row * p.q_row, p.q_row, p.q_step, rows, all, width);
        rows_$T(given, depth, grad + at * depth, depth, 1, rows, all, depth);
        for (int r = 0; r < all; ++r) {
            $T sum = 0;
            if (r < rows) {
                for (int d = 0; d < depth; ++d) sum += given[r * depth + d] * result[(at + r) * depth + d];
                taken[at + r] = sum;
            }
            less[r] = sum;
            log_sum[r] = r < rows ? logs[at + r] : INFINITY;
            for (int d = 0; d < wide; ++d) sums[r * wide + d] = 0;
        }
        const i64 end = p.causal && row + rows < p.keys ? row + rows : p.keys;
        for (i64 start = 0; start < end; start += C) {
            const int some = least(C, p.keys - start), columns = whole(some, 2 * W_$T);
            columns_$T(across, keys + start * p.k_row, p.k_row, p.k_step, some, width);
            columns_$T(across_v, values + start * p.v_row, p.v_row, p.v_step, some, depth);
            rows_$T(along, wide, keys + start * p.k_row, p.k_row, p.k_step, some, columns, width);
            product_$T(score, C, own, width, 1, across, C, all, columns, width, 0);
            product_$T(through, C, given, depth, 1, across_v, C, all, columns, depth, 0);
            const int partial = p.masked || some < columns || (p.causal && start + some > row + 1);
            for (int r = 0; r < all; ++r)
                weights_$T(score + r * C, through + r * C, columns, scale, partial, row + r, start, 0, log_sum + r,
                           less + r, 0, allowed + mask, added + mask, &p);
            product_$T(sums, wide, through, C, 1, along, wide, all, wide, columns, 1);
        }
        for (int r = 0; r < rows; ++r)
            for (int d = 0; d < width; ++d) out[(at + r) * width + d] = sums[r * wide + d];
    }
}
"""

_KEYS_BLOCK = """
KERNEL $NAME(ARRAY($T, out_k), ARRAY($T, out_v), ARRAY($T, q), ARRAY($T, k), ARRAY($T, v), ARRAY($T, grad),
             ARRAY($T, taken), ARRAY($T, logs), ARRAY(b8, allowed), ARRAY($T, added), attention_t p, $T scale) {
    OPEN($T, out_k); OPEN($T, out_v); OPEN($T, q); OPEN($T, k); OPEN($T, v); OPEN($T, grad); OPEN($T, taken);
    OPEN($T, logs); OPEN(b8, allowed); OPEN($T, added);
    const int width = p.width, depth = p.depth, wide = whole(width, 2 * W_$T), deep = whole(depth, 2 * W_$T);
    const i64 per = (p.keys + R - 1) / R, blocks = p.blocks;
    FOR_EACH(i, blocks) {
        $T own[R * WIDEST], own_v[R * WIDEST], sums[R * WIDEST], sums_v[R * WIDEST], across[WIDEST * C];
        $T across_g[WIDEST * C], along[C * WIDEST], along_g[C * WIDEST], score[R * C], through[R * C];
        $T log_sum[C], less[C];
        const i64 head = i / per * p.shared, row = i % per * R, at = i / per * p.keys + row;
        const int rows = least(R, p.keys - row), all = whole(rows, 4);
        rows_$T(own, width, k + locate(&p.batch, 1, head) + row * p.k_row, p.k_row, p.k_step, rows, all, width);
        rows_$T(own_v, depth, v + locate(&p.batch, 2, head) + row * p.v_row, p.v_row, p.v_step, rows, all, depth);
        for (int x = 0; x < all * wide; ++x) sums[x] = 0;
        for (int x = 0; x < all * deep; ++x) sums_v[x] = 0;
        for (i64 which = head; which < head + p.shared; ++which) {
            const i64 mask = locate(&p.batch, 3, which);
            const GLOBAL $T *queries = q + locate(&p.batch, 0, which), *given = grad + which * p.rows * depth;
            for (i64 start = p.causal ? row : 0; start < p.rows; start += C) {
                const int some = least(C, p.rows - start), columns = whole(some, 2 * W_$T);
                for (int c = 0; c < columns; ++c) {
                    log_sum[c] = c < some ? logs[which * p.rows + start + c] : INFINITY;
                    less[c] = c < some ? taken[which * p.rows + start + c] : 0;
                }
                columns_$T(across, queries + start * p.q_row, p.q_row, p.q_step, some, width);
                columns_$T(across_g, given + start * depth, depth, 1, some, depth);
                rows_$T(along, wide, queries + start * p.q_row, p.q_row, p.q_step, some, columns, width);
                rows_$T(along_g, deep, given + start * depth, depth, 1, some, columns, depth);
                product_$T(score, C, own, width, 1, across, C, all, columns, width, 0);
                product_$T(through, C, own_v, depth, 1, across_g, C, all, columns, depth, 0);
                const int partial = p.masked || (p.causal && row + rows > start + 1);
                for (int r = 0; r < all; ++r)
                    weights_$T(score + r * C, through + r * C, columns, scale, partial, row + r, start, 1, log_sum,
                               less, 1, allowed + mask, added + mask, &p);
                product_$T(sums, wide, through, C, 1, along, wide, all, wide, columns, 1);
                product_$T(sums_v, deep, score, C, 1, along_g, deep, all, deep, columns, 1);
            }
        }
        for (int r = 0; r < rows; ++r) {
            for (int d = 0; d < width; ++d) out_k[(at + r) * width + d] = sums[r * wide + d];
            for (int d = 0; d < depth; ++d) out_v[(at + r) * depth + d] = sums_v[r * deep + d];
        }
    }
}
"""


# The same for a head at once, of keys and queries: a third less to compute, where there are heads for all cores.
_HEADS_BLOCK = """
KERNEL $NAME(ARRAY($T, out), ARRAY($T, out_k), ARRAY($T, out_v), ARRAY($T, taken), ARRAY($T, q), ARRAY($T, k),
             ARRAY($T, v), ARRAY($T, grad), ARRAY($T, result), ARRAY($T, logs), ARRAY(b8, allowed), ARRAY($T, added),
             attention_t p, $T scale) {
    OPEN($T, out); OPEN($T, out_k); OPEN($T, out_v); OPEN($T, taken); OPEN($T, q); OPEN($T, k); OPEN($T, v);
    OPEN($T, grad); OPEN($T, result); OPEN($T, logs); OPEN(b8, allowed); OPEN($T, added);
    const int width = p.width, depth = p.depth, wide = whole(width, 2 * W_$T), deep = whole(depth, 2 * W_$T);
    const i64 blocks = p.blocks;
    FOR_EACH(i, blocks) {
        $T own[R * WIDEST], own_v[R * WIDEST], sums[R * WIDEST], sums_v[R * WIDEST], across[WIDEST * C];
        $T across_g[WIDEST * C], along[C * WIDEST], along_g[C * WIDEST], score[R * C], through[R * C];
        $T log_sum[C], less[C];
        const i64 head = i * p.shared;
        for (i64 at = head * p.rows; at < (head + p.shared) * p.rows; ++at) {
            $T sum = 0;
            for (int d = 0; d < depth; ++d) sum += grad[at * depth + d] * result[at * depth + d];
            taken[at] = sum;
        }
        for (i64 row = 0; row < p.keys; row += R) {
            const int rows = least(R, p.keys - row), all = whole(rows, 4);
            rows_$T(own, wide, k + locate(&p.batch, 1, head) + row * p.k_row, p.k_row, p.k_step, rows, all, width);
            rows_$T(own_v, depth, v + locate(&p.batch, 2, head) + row * p.v_row, p.v_row, p.v_step, rows, all, depth);
            for (int x = 0; x < all * wide; ++x) sums[x] = 0;
            for (int x = 0; x < all * deep; ++x) sums_v[x] = 0;
            for (i64 which = head; which < head + p.shared; ++which) {
                const i64 mask = locate(&p.batch, 3, which);
                const GLOBAL $T *queries = q + locate(&p.batch, 0, which), *given = grad + which * p.rows * depth;
                for (i64 start = p.causal ? row : 0; start < p.rows; start += C) {
                    const int some = least(C, p.rows - start), columns = whole(some, 2 * W_$T);
                    for (int c = 0; c < columns; ++c) {
                        log_sum[c] = c < some ? logs[which * p.rows + start + c] : INFINITY;
                        less[c] = c < some ? taken[which * p.rows + start + c] : 0;
                    }
                    columns_$T(across, queries + start * p.q_row, p.q_row, p.q_step, some, width);
                    columns_$T(across_g, given + start * depth, depth, 1, some, depth);
                    rows_$T(along, wide, queries + start * p.q_row, p.q_row, p.q_step, some, columns, width);
                    rows_$T(along_g, deep, given + start * depth, depth, 1, some, columns, depth);
                    product_$T(score, C, own, wide, 1, across, C, all, columns, width, 0);
                    product_$T(through, C, own_v, depth, 1, across_g, C, all, columns, depth, 0);
                    const int partial = p.masked || rows < all || (p.causal && row + rows > start + 1);
                    for (int r = 0; r < all; ++r)
                        weights_$T(score + r * C, through + r * C, columns, scale, partial, row + r, start, 1, log_sum,
                                   less, 1, allowed + mask, added + mask, &p);
                    product_$T(sums, wide, through, C, 1, along, wide, all, wide, columns, 1);
                    product_$T(sums_v, deep, score, C, 1, along_g, deep, all, deep, columns, 1);
                    product_$T(along, wide, through, 1, C, own, wide, columns, wide, all, 0);
                    GLOBAL $T *to = out + (which * p.rows + start) * width;
                    for (int c = 0; c < some; ++c) for (int d = 0; d < width; ++d)
                        to[c * width + d] = along[c * wide + d] + (row ? to[c * width + d] : 0);
                }
            }
            for (int r = 0; r < rows; ++r) {
                const i64 at = i * p.keys + row + r;
                for (int d = 0; d < width; ++d) out_k[at * width + d] = sums[r * wide + d];
                for (int d = 0; d < depth; ++d) out_v[at * depth + d] = sums_v[r * deep + d];
            }
        }
    }
}
"""

# ---------------------------------------------------------------------------------------------- groups
# A group is 8 x 8 work items, each with N / 8 rows and columns of a tile. The rest of a tile's row is zeros, and so are
# rows that there are not, whose logarithm is inf: they have no weight.
_FORWARD_GROUP = """
KERNEL $NAME(ARRAY($T, out), ARRAY($T, logs), ARRAY($T, q), ARRAY($T, k), ARRAY($T, v), ARRAY(b8, allowed),
             ARRAY($T, added), attention_t p, $T scale) {
    OPEN($T, out); OPEN($T, logs); OPEN($T, q); OPEN($T, k); OPEN($T, v); OPEN(b8, allowed); OPEN($T, added);
    LOCAL $T own[$N * ($D + 1)], other[$N * ($D + 1)], score[$N * ($N + 1)];
    $T sums[$N / SIDE][$D / SIDE], dot[$N / SIDE][$N / SIDE], most[$N / SIDE], total[$N / SIDE], fade[$N / SIDE];
    const int width = p.width, depth = p.depth, y = LANE / SIDE, x = LANE % SIDE;
    const i64 per = (p.rows + $N - 1) / $N, which = ITEM / LANES / per, row = ITEM / LANES % per * $N;
    const i64 mask = locate(&p.batch, 3, which);
    const GLOBAL $T *keys = k + locate(&p.batch, 1, which), *values = v + locate(&p.batch, 2, which);
    TILE(own, q + locate(&p.batch, 0, which) + row * p.q_row, p.q_row, p.q_step, p.rows - row, width);
    for (int i = 0; i < $N / SIDE; ++i) {
        most[i] = -INFINITY;
        total[i] = 0;
        for (int j = 0; j < $D / SIDE; ++j) sums[i][j] = 0;
    }
    const i64 end = p.causal && row + $N < p.keys ? row + $N : p.keys;
    for (i64 start = 0; start < end; start += $N) {
        BARRIER();
        TILE(other, keys + start * p.k_row, p.k_row, p.k_step, p.keys - start, width);
        BARRIER();
        DOTS(dot, own, other, width);
        for (int i = 0; i < $N / SIDE; ++i) for (int j = 0; j < $N / SIDE; ++j) {
            dot[i][j] = seen_$T(dot[i][j] * scale, row + y + i * SIDE, start + x + j * SIDE, allowed + mask,
                                added + mask, &p);
            score[(y + i * SIDE) * ($N + 1) + x + j * SIDE] = dot[i][j];
        }
        BARRIER();
        TILE(other, values + start * p.v_row, p.v_row, p.v_step, p.keys - start, depth);
        for (int i = 0; i < $N / SIDE; ++i) {
            $T largest = most[i];
            for (int c = 0; c < $N; ++c) largest = fmax(largest, score[(y + i * SIDE) * ($N + 1) + c]);
            const $T base = largest == -INFINITY ? 0 : largest;
            fade[i] = exp(most[i] - base);
            most[i] = largest;
            for (int j = 0; j < $N / SIDE; ++j) dot[i][j] = exp(dot[i][j] - base);
        }
        BARRIER();
        for (int i = 0; i < $N / SIDE; ++i) for (int j = 0; j < $N / SIDE; ++j)
            score[(y + i * SIDE) * ($N + 1) + x + j * SIDE] = dot[i][j];
        BARRIER();
        for (int i = 0; i < $N / SIDE; ++i) {
            total[i] *= fade[i];
            for (int c = 0; c < $N; ++c) total[i] += score[(y + i * SIDE) * ($N + 1) + c];
            for (int j = 0; j < $D / SIDE; ++j) sums[i][j] *= fade[i];
        }
        ALONG(sums, score, other);
    }
    for (int i = 0; i < $N / SIDE; ++i) {
        const i64 r = row + y + i * SIDE, at = which * p.rows + r;
        if (r >= p.rows) continue;
        const $T factor = total[i] == 0 ? 0 : 1 / total[i];
        if (x == 0) logs[at] = total[i] == 0 ? INFINITY : most[i] + log(total[i]);
        for (int j = 0; j < $D / SIDE; ++j)
            if (x + j * SIDE < depth) out[at * depth + x + j * SIDE] = sums[i][j] * factor;
    }
}
"""

_QUERIES_GROUP = """
KERNEL $NAME(ARRAY($T, out), ARRAY($T, taken), ARRAY($T, q), ARRAY($T, k), ARRAY($T, v), ARRAY($T, grad),
             ARRAY($T, result), ARRAY($T, logs), ARRAY(b8, allowed), ARRAY($T, added), attention_t p, $T scale) {
    OPEN($T, out); OPEN($T, taken); OPEN($T, q); OPEN($T, k); OPEN($T, v); OPEN($T, grad); OPEN($T, result);
    OPEN($T, logs); OPEN(b8, allowed); OPEN($T, added);
    LOCAL $T own[$N * ($D + 1)], given[$N * ($D + 1)], other[$N * ($D + 1)], other_v[$N * ($D + 1)];
    LOCAL $T score[$N * ($N + 1)];
    $T sums[$N / SIDE][$D / SIDE], dot[$N / SIDE][$N / SIDE], through[$N / SIDE][$N / SIDE];
    $T log_sum[$N / SIDE], less[$N / SIDE];
    const int width = p.width, depth = p.depth, y = LANE / SIDE, x = LANE % SIDE;
    const i64 per = (p.rows + $N - 1) / $N, which = ITEM / LANES / per, row = ITEM / LANES % per * $N;
    const i64 mask = locate(&p.batch, 3, which), at = which * p.rows + row;
    const GLOBAL $T *keys = k + locate(&p.batch, 1, which), *values = v + locate(&p.batch, 2, which);
    TILE(own, q + locate(&p.batch, 0, which) + row * p.q_row, p.q_row, p.q_step, p.rows - row, width);
    TILE(given, grad + at * depth, depth, 1, p.rows - row, depth);
    BARRIER();
    for (int i = 0; i < $N / SIDE; ++i) {
        const int r = y + i * SIDE, there = row + r < p.rows;
        less[i] = 0;
        if (there) for (int d = 0; d < depth; ++d) less[i] += given[r * ($D + 1) + d] * result[(at + r) * depth + d];
        if (there && x == 0) taken[at + r] = less[i];
        log_sum[i] = there ? logs[at + r] : INFINITY;
        for (int j = 0; j < $D / SIDE; ++j) sums[i][j] = 0;
    }
    const i64 end = p.causal && row + $N < p.keys ? row + $N : p.keys;
    for (i64 start = 0; start < end; start += $N) {
        BARRIER();
        TILE(other, keys + start * p.k_row, p.k_row, p.k_step, p.keys - start, width);
        TILE(other_v, values + start * p.v_row, p.v_row, p.v_step, p.keys - start, depth);
        BARRIER();
        DOTS(dot, own, other, width);
        DOTS(through, given, other_v, depth);
        for (int i = 0; i < $N / SIDE; ++i) for (int j = 0; j < $N / SIDE; ++j) {
            const $T e = exp(seen_$T(dot[i][j] * scale, row + y + i * SIDE, start + x + j * SIDE, allowed + mask,
                                     added + mask, &p) - log_sum[i]);
            score[(y + i * SIDE) * ($N + 1) + x + j * SIDE] = e * (through[i][j] - less[i]) * scale;
        }
        BARRIER();
        ALONG(sums, score, other);
    }
    for (int i = 0; i < $N / SIDE; ++i) for (int j = 0; j < $D / SIDE; ++j) {
        const int r = y + i * SIDE, d = x + j * SIDE;
        if (row + r < p.rows && d < width) out[(at + r) * width + d] = sums[i][j];
    }
}
"""

_KEYS_GROUP = """
KERNEL $NAME(ARRAY($T, out_k), ARRAY($T, out_v), ARRAY($T, q), ARRAY($T, k), ARRAY($T, v), ARRAY($T, grad),
             ARRAY($T, taken), ARRAY($T, logs), ARRAY(b8, allowed), ARRAY($T, added), attention_t p, $T scale) {
    OPEN($T, out_k); OPEN($T, out_v); OPEN($T, q); OPEN($T, k); OPEN($T, v); OPEN($T, grad); OPEN($T, taken);
    OPEN($T, logs); OPEN(b8, allowed); OPEN($T, added);
    LOCAL $T own[$N * ($D + 1)], own_v[$N * ($D + 1)], other[$N * ($D + 1)], given[$N * ($D + 1)];
    LOCAL $T weight[$N * ($N + 1)], score[$N * ($N + 1)];
    $T sums[$N / SIDE][$D / SIDE], sums_v[$N / SIDE][$D / SIDE], dot[$N / SIDE][$N / SIDE];
    $T through[$N / SIDE][$N / SIDE];
    const int width = p.width, depth = p.depth, y = LANE / SIDE, x = LANE % SIDE;
    const i64 per = (p.keys + $N - 1) / $N, block = ITEM / LANES, head = block / per * p.shared;
    const i64 row = block % per * $N, at = block / per * p.keys + row;
    TILE(own, k + locate(&p.batch, 1, head) + row * p.k_row, p.k_row, p.k_step, p.keys - row, width);
    TILE(own_v, v + locate(&p.batch, 2, head) + row * p.v_row, p.v_row, p.v_step, p.keys - row, depth);
    for (int i = 0; i < $N / SIDE; ++i) for (int j = 0; j < $D / SIDE; ++j) sums[i][j] = sums_v[i][j] = 0;
    for (i64 which = head; which < head + p.shared; ++which) {
        const i64 mask = locate(&p.batch, 3, which), first = which * p.rows;
        const GLOBAL $T *queries = q + locate(&p.batch, 0, which);
        for (i64 start = p.causal ? row : 0; start < p.rows; start += $N) {
            BARRIER();
            TILE(other, queries + start * p.q_row, p.q_row, p.q_step, p.rows - start, width);
            TILE(given, grad + (first + start) * depth, depth, 1, p.rows - start, depth);
            BARRIER();
            DOTS(dot, own, other, width);
            DOTS(through, own_v, given, depth);
            for (int j = 0; j < $N / SIDE; ++j) {
                const i64 query = start + x + j * SIDE;
                const $T log_sum = query < p.rows ? logs[first + query] : INFINITY;
                const $T less = query < p.rows ? taken[first + query] : 0;
                for (int i = 0; i < $N / SIDE; ++i) {
                    const int place = (y + i * SIDE) * ($N + 1) + x + j * SIDE;
                    const $T e = exp(seen_$T(dot[i][j] * scale, query, row + y + i * SIDE, allowed + mask,
                                             added + mask, &p) - log_sum);
                    weight[place] = e;
                    score[place] = e * (through[i][j] - less) * scale;
                }
            }
            BARRIER();
            ALONG(sums, score, other);
            ALONG(sums_v, weight, given);
        }
    }
    for (int i = 0; i < $N / SIDE; ++i) for (int j = 0; j < $D / SIDE; ++j) {
        const int r = y + i * SIDE, d = x + j * SIDE;
        if (row + r < p.keys && d < width) out_k[(at + r) * width + d] = sums[i][j];
        if (row + r < p.keys && d < depth) out_v[(at + r) * depth + d] = sums_v[i][j];
    }
}
"""

# TILE: rows of an array as a tile. DOTS: products of this work item's rows of one tile with its rows of another. ALONG
# adds the products of its rows of weights with a tile to its part of the sums.
_TILE_LOOPS = """
#define SIDE 8
#undef TILE
#define TILE(to, from, row, step, rows, width) { \\
    const GLOBAL $T *from_ = from; \\
    const i64 row_ = row, step_ = step, rows_ = rows; \\
    for (int x_ = LANE; x_ < $N * $D; x_ += LANES) { \\
        const int r_ = x_ / $D, d_ = x_ % $D; \\
        to[r_ * ($D + 1) + d_] = r_ < rows_ && d_ < width ? from_[r_ * row_ + d_ * step_] : 0; \\
    } \\
}
#undef DOTS
#define DOTS(to, a, b, length) { \\
    for (int i = 0; i < $N / SIDE; ++i) for (int j = 0; j < $N / SIDE; ++j) to[i][j] = 0; \\
    for (int d = 0; d < length; ++d) { \\
        $T left[$N / SIDE], right[$N / SIDE]; \\
        for (int i = 0; i < $N / SIDE; ++i) left[i] = a[(y + i * SIDE) * ($D + 1) + d]; \\
        for (int j = 0; j < $N / SIDE; ++j) right[j] = b[(x + j * SIDE) * ($D + 1) + d]; \\
        for (int i = 0; i < $N / SIDE; ++i) for (int j = 0; j < $N / SIDE; ++j) to[i][j] += left[i] * right[j]; \\
    } \\
}
#undef ALONG
#define ALONG(to, a, b) for (int c = 0; c < $N; ++c) { \\
    $T left[$N / SIDE], right[$D / SIDE]; \\
    for (int i = 0; i < $N / SIDE; ++i) left[i] = a[(y + i * SIDE) * ($N + 1) + c]; \\
    for (int j = 0; j < $D / SIDE; ++j) right[j] = b[c * ($D + 1) + x + j * SIDE]; \\
    for (int i = 0; i < $N / SIDE; ++i) for (int j = 0; j < $D / SIDE; ++j) to[i][j] += left[i] * right[j]; \\
}
"""


def _parts(*texts: str) -> str:
    return "".join([f"#if PART_$PART == {number}{text}#endif\n" for number, text in enumerate(texts)])


def _for_types(text: str) -> str:
    """A text for both types, the second where there is one."""
    f32 = {"T": "f32", "W": 8, "V": "float8",
           "SUM": "float4 y = x.lo + x.hi; float2 z = y.lo + y.hi; return z.x + z.y;",
           "MAX": "float4 y = fmax(x.lo, x.hi); float2 z = fmax(y.lo, y.hi); return fmax(z.x, z.y);"}
    f64 = {"T": "f64", "W": 4, "V": "double4", "SUM": "double2 z = x.lo + x.hi; return z.x + z.y;",
           "MAX": "double2 z = fmax(x.lo, x.hi); return fmax(z.x, z.y);"}
    template = Template(text)
    return f"{template.substitute(f32)}\n#ifdef FP64\n{template.substitute(f64)}\n#endif\n"


def _of_processors(text: str) -> str:
    """A text that is not there on GPUs, whose compilers do not know such vectors."""
    return f"#ifdef CHUNKED\n{text}\n#endif\n"


BLOCKS = _of_processors(_parts(_FORWARD_BLOCK, _QUERIES_BLOCK, _KEYS_BLOCK, _HEADS_BLOCK))
BLOCKS_SHARED = _of_processors(_COMMON + _PACKED + _for_types(_SEEN + _PACKING + _WEIGHTS))
GROUPS = _TILE_LOOPS + _parts(_FORWARD_GROUP, _QUERIES_GROUP, _KEYS_GROUP)
GROUPS_SHARED = _COMMON + _for_types(_SEEN)
