"""The programs of the factorizations: sequential algorithms, written once for real and complex numbers.

Elements are handled by macros named after their C type: `MUL_c64(a, b)`, `RE_c64(a)`, ... `REAL_c64` is the type of
their parts. Matrices are dense and row-major; a kernel may overwrite its inputs, which are copies.
"""

from __future__ import annotations

from flambeau_clike.program import Family

_REAL = """
#define REAL_@ @
#define OF_@(r) (r)
#define RE_@(a) (a)
#define IM_@(a) ((@)0)
#define CONJ_@(a) (a)
#define MUL_@(a, b) ((a) * (b))
#define ADD_@(a, b) ((a) + (b))
#define SUB_@(a, b) ((a) - (b))
#define SCALE_@(a, r) ((a) * (r))
#define OVER_@(a, b) ((a) / (b))
#define SQUARE_@(a) ((a) * (a))
#define SIZE_@(a) fabs(a)
"""
_COMPLEX = """
#define REAL_@ %
FUNCTION @ make_@(% x, % y) { @ s; s.x = x; s.y = y; return s; }
#define OF_@(r) make_@(r, 0)
#define RE_@(a) ((a).x)
#define IM_@(a) ((a).y)
FUNCTION @ CONJ_@(@ a) { return make_@(a.x, -a.y); }
FUNCTION @ MUL_@(@ a, @ b) { return make_@(a.x * b.x - a.y * b.y, a.x * b.y + a.y * b.x); }
FUNCTION @ ADD_@(@ a, @ b) { return make_@(a.x + b.x, a.y + b.y); }
FUNCTION @ SUB_@(@ a, @ b) { return make_@(a.x - b.x, a.y - b.y); }
FUNCTION @ SCALE_@(@ a, % r) { return make_@(a.x * r, a.y * r); }
FUNCTION @ OVER_@(@ a, @ b) {    // Smith's way, which does not overflow
    if (fabs(b.x) >= fabs(b.y)) {
        % r = b.y / b.x, d = b.x + b.y * r;
        return make_@((a.x + a.y * r) / d, (a.y - a.x * r) / d);
    }
    % r = b.x / b.y, d = b.x * r + b.y;
    return make_@((a.x * r + a.y) / d, (a.y * r - a.x) / d);
}
#define SQUARE_@(a) ((a).x * (a).x + (a).y * (a).y)
#define SIZE_@(a) hypot((a).x, (a).y)
"""
_LIMITS = """
#define EPSILON_f32 1.1920929e-7f
#define EPSILON_c64 1.1920929e-7f
#define EPSILON_f64 2.220446049250313e-16
#define EPSILON_c128 2.220446049250313e-16
"""
SHARED = (_LIMITS + _REAL.replace("@", "f32") + _COMPLEX.replace("@", "c64").replace("%", "f32") + "#ifdef FP64\n"
          + _REAL.replace("@", "f64") + _COMPLEX.replace("@", "c128").replace("%", "f64") + "#endif\n")
_TYPES = (("T", ("f32", "f64", "c64", "c128")),)

_CHOLESKY = """
KERNEL $NAME(ARRAY(i32, states), i64 batch, ARRAY($T, matrices), i64 n) {
    OPEN(i32, states); OPEN($T, matrices);
    FOR_EACH(b, batch) {
        GLOBAL $T *a = matrices + (i64)b * n * n;
        i32 state = 0;
        for (index_t j = 0; j < n && !state; ++j) {
            GLOBAL $T *row = a + j * n;
            REAL_$T pivot = RE_$T(row[j]);
            for (index_t k = 0; k < j; ++k) pivot -= SQUARE_$T(row[k]);
            if (!(pivot > 0) || isinf(pivot)) { state = (i32)j + 1; break; }
            pivot = sqrt(pivot);
            row[j] = OF_$T(pivot);
            for (index_t i = j + 1; i < n; ++i) {
                GLOBAL $T *below = a + i * n;
                $T sum = below[j];
                for (index_t k = 0; k < j; ++k) sum = SUB_$T(sum, MUL_$T(below[k], CONJ_$T(row[k])));
                below[j] = SCALE_$T(sum, 1 / pivot);
                row[i] = OF_$T(0);
            }
        }
        states[b] = state;
    }
}"""

# Gauss's elimination with row exchanges; `index` and `swaps` as LAPACK has them, by |re| + |im|.
_ELIMINATE = """
FUNCTION index_t pivot_$T(const GLOBAL $T *a, index_t n, index_t k) {
    index_t best = k;
    REAL_$T largest = fabs(RE_$T(a[k * n + k])) + fabs(IM_$T(a[k * n + k]));
    for (index_t i = k + 1; i < n; ++i) {
        REAL_$T here = fabs(RE_$T(a[i * n + k])) + fabs(IM_$T(a[i * n + k]));
        if (here > largest) { largest = here; best = i; }
    }
    return best;
}
FUNCTION void exchange_$T(GLOBAL $T *a, GLOBAL $T *b, index_t n) {
    for (index_t j = 0; j < n; ++j) { $T t = a[j]; a[j] = b[j]; b[j] = t; }
}
FUNCTION void subtract_$T(GLOBAL $T *a, const GLOBAL $T *b, $T factor, index_t from, index_t n) {
    for (index_t j = from; j < n; ++j) a[j] = SUB_$T(a[j], MUL_$T(factor, b[j]));
}
"""
_SOLVE = _ELIMINATE + """
KERNEL $NAME(ARRAY(i32, states), i64 batch, ARRAY($T, matrices), ARRAY($T, sides), i64 n, i64 count) {
    OPEN(i32, states); OPEN($T, matrices); OPEN($T, sides);
    FOR_EACH(item, batch) {
        GLOBAL $T *a = matrices + (i64)item * n * n, *x = sides + (i64)item * n * count;
        i32 state = 0;
        for (index_t k = 0; k < n; ++k) {
            index_t p = pivot_$T(a, n, k);
            $T pivot = a[p * n + k];
            if (RE_$T(pivot) == 0 && IM_$T(pivot) == 0) { state = (i32)k + 1; break; }
            if (p != k) { exchange_$T(a + p * n, a + k * n, n); exchange_$T(x + p * count, x + k * count, count); }
            for (index_t i = k + 1; i < n; ++i) {
                $T factor = OVER_$T(a[i * n + k], pivot);
                subtract_$T(a + i * n, a + k * n, factor, k + 1, n);
                subtract_$T(x + i * count, x + k * count, factor, 0, count);
            }
        }
        for (index_t k = n - 1; k >= 0 && !state; --k) {
            GLOBAL $T *row = x + k * count;
            for (index_t j = k + 1; j < n; ++j) subtract_$T(row, x + j * count, a[k * n + j], 0, count);
            for (index_t j = 0; j < count; ++j) row[j] = OVER_$T(row[j], a[k * n + k]);
        }
        states[item] = state;
    }
}"""
_SLOGDET = _ELIMINATE + """
KERNEL $NAME(ARRAY(i32, states), i64 batch, ARRAY($T, matrices), ARRAY($T, signs), ARRAY(REAL_$T, logarithms), i64 n) {
    OPEN(i32, states); OPEN($T, matrices); OPEN($T, signs); OPEN(REAL_$T, logarithms);
    FOR_EACH(item, batch) {
        GLOBAL $T *a = matrices + (i64)item * n * n;
        $T sign = OF_$T(1);
        REAL_$T logarithm = 0;
        for (index_t k = 0; k < n; ++k) {
            index_t p = pivot_$T(a, n, k);
            $T pivot = a[p * n + k];
            if (RE_$T(pivot) == 0 && IM_$T(pivot) == 0) { sign = OF_$T(0); logarithm = -INFINITY; break; }
            if (p != k) { exchange_$T(a + p * n, a + k * n, n); sign = SCALE_$T(sign, -1); }
            for (index_t i = k + 1; i < n; ++i)
                subtract_$T(a + i * n, a + k * n, OVER_$T(a[i * n + k], pivot), k + 1, n);
            REAL_$T size = SIZE_$T(pivot);
            sign = MUL_$T(sign, SCALE_$T(pivot, 1 / size));
            logarithm += log(size);
        }
        signs[item] = sign; logarithms[item] = logarithm; states[item] = 0;
    }
}"""

# Householder's reflections I - t v v^H with v[0] = 1, as LAPACK makes them: R's diagonal is real.
_QR = """
FUNCTION $T reflect_$T(GLOBAL $T *a, index_t m, index_t n, index_t j) {
    REAL_$T largest = 0;
    for (index_t i = j; i < m; ++i)
        largest = fmax(largest, fmax(fabs(RE_$T(a[i * n + j])), fabs(IM_$T(a[i * n + j]))));
    REAL_$T below = 0, whole, unit = largest > 0 ? 1 / largest : 1;
    if (isinf(unit)) unit = 1;
    for (index_t i = j + 1; i < m; ++i) { $T x = SCALE_$T(a[i * n + j], unit); below += SQUARE_$T(x); }
    $T alpha = a[j * n + j], scaled = SCALE_$T(alpha, unit);
    if (below == 0 && IM_$T(alpha) == 0) return OF_$T(0);
    whole = sqrt(below + SQUARE_$T(scaled)) / unit;
    REAL_$T beta = RE_$T(alpha) >= 0 ? -whole : whole;
    $T t = SCALE_$T(SUB_$T(OF_$T(beta), alpha), 1 / beta), rest = SUB_$T(alpha, OF_$T(beta));
    for (index_t i = j + 1; i < m; ++i) a[i * n + j] = OVER_$T(a[i * n + j], rest);
    a[j * n + j] = OF_$T(beta);
    return t;
}
FUNCTION void apply_$T(GLOBAL $T *c, index_t width, index_t column, const GLOBAL $T *a, index_t m, index_t n,
                       index_t j, $T t) {
    $T sum = c[j * width + column];
    for (index_t i = j + 1; i < m; ++i)
        sum = ADD_$T(sum, MUL_$T(CONJ_$T(a[i * n + j]), c[i * width + column]));
    sum = MUL_$T(t, sum);
    c[j * width + column] = SUB_$T(c[j * width + column], sum);
    for (index_t i = j + 1; i < m; ++i)
        c[i * width + column] = SUB_$T(c[i * width + column], MUL_$T(a[i * n + j], sum));
}
KERNEL $NAME(ARRAY(i32, states), i64 batch, ARRAY($T, matrices), ARRAY($T, scales), ARRAY($T, qs), ARRAY($T, rs), i64 m,
             i64 n, i64 tall, i64 wanted) {
    OPEN(i32, states); OPEN($T, matrices); OPEN($T, scales); OPEN($T, qs); OPEN($T, rs);
    index_t count = m < n ? m : n;
    FOR_EACH(item, batch) {
        GLOBAL $T *a = matrices + (i64)item * m * n, *t = scales + (i64)item * count;
        GLOBAL $T *q = qs + (i64)item * m * tall, *r = rs + (i64)item * tall * n;
        for (index_t j = 0; j < count; ++j) {
            t[j] = reflect_$T(a, m, n, j);
            for (index_t c = j + 1; c < n; ++c) apply_$T(a, n, c, a, m, n, j, CONJ_$T(t[j]));
        }
        for (index_t i = 0; i < tall; ++i)
            for (index_t c = 0; c < n; ++c) r[i * n + c] = i <= c ? a[i * n + c] : OF_$T(0);
        if (wanted) {
            for (index_t i = 0; i < m; ++i) for (index_t c = 0; c < tall; ++c) q[i * tall + c] = OF_$T(i == c);
            for (index_t j = count - 1; j >= 0; --j)
                for (index_t c = j; c < tall; ++c) apply_$T(q, tall, c, a, m, n, j, t[j]);
        }
        states[item] = 0;
    }
}"""

# A rotation that makes the element c between rows p and q of a Hermitian matrix zero, whose diagonal there is x and y.
# Vectors p and q become cosine p - sine u q and sine p + cosine u q, where u = conj(c) / |c|.
_ROTATION = """
FUNCTION void rotation_$T(REAL_$T x, REAL_$T y, $T c, REAL_$T *cosine, REAL_$T *sine, $T *u) {
    REAL_$T size = SIZE_$T(c), theta = (y - x) / (2 * size);
    REAL_$T root = fabs(theta) > 1 / EPSILON_$T ? fabs(theta) : sqrt(theta * theta + 1);
    REAL_$T t = (theta >= 0 ? 1 : -1) / (fabs(theta) + root);
    *cosine = 1 / sqrt(t * t + 1);
    *sine = t * *cosine;
    *u = SCALE_$T(CONJ_$T(c), 1 / size);
}
FUNCTION void rotate_$T(GLOBAL $T *p, GLOBAL $T *q, index_t count, index_t step, REAL_$T cosine, REAL_$T sine, $T u) {
    for (index_t i = 0; i < count; ++i) {
        $T a = p[i * step], b = MUL_$T(u, q[i * step]);
        p[i * step] = SUB_$T(SCALE_$T(a, cosine), SCALE_$T(b, sine));
        q[i * step] = ADD_$T(SCALE_$T(a, sine), SCALE_$T(b, cosine));
    }
}
// Divides by the largest part, so that squares neither overflow nor vanish; gives it, or a nan.
FUNCTION REAL_$T normalize_$T(GLOBAL $T *a, i64 count) {
    REAL_$T largest = 0;
    for (i64 i = 0; i < count; ++i) {
        REAL_$T x = fabs(RE_$T(a[i])), y = fabs(IM_$T(a[i]));
        if (isnan(x) || isnan(y) || isinf(x) || isinf(y)) return NAN;
        largest = fmax(largest, fmax(x, y));
    }
    if (largest > 0) for (i64 i = 0; i < count; ++i) a[i] = OVER_$T(a[i], OF_$T(largest));
    return largest;
}
FUNCTION void exchange_$T(GLOBAL $T *a, GLOBAL $T *b, index_t n) {
    for (index_t j = 0; j < n; ++j) { $T t = a[j]; a[j] = b[j]; b[j] = t; }
}
"""
_EIGH = _ROTATION + """
KERNEL $NAME(ARRAY(i32, states), i64 batch, ARRAY($T, matrices), ARRAY(REAL_$T, spectra), ARRAY($T, bases), i64 n,
             i64 upper) {
    OPEN(i32, states); OPEN($T, matrices); OPEN(REAL_$T, spectra); OPEN($T, bases);
    FOR_EACH(item, batch) {
        GLOBAL $T *a = matrices + (i64)item * n * n, *v = bases + (i64)item * n * n;
        GLOBAL REAL_$T *values = spectra + (i64)item * n;
        for (index_t i = 0; i < n; ++i) {
            a[i * n + i] = OF_$T(RE_$T(a[i * n + i]));
            for (index_t j = 0; j < i; ++j)
                if (upper) a[i * n + j] = CONJ_$T(a[j * n + i]); else a[j * n + i] = CONJ_$T(a[i * n + j]);
            for (index_t j = 0; j < n; ++j) v[i * n + j] = OF_$T(i == j);
        }
        REAL_$T largest = normalize_$T(a, n * n);
        states[item] = isnan(largest);
        int busy = !isnan(largest);
        for (int sweep = 0; sweep < 40 && busy; ++sweep) {
            busy = 0;
            for (index_t p = 0; p < n - 1; ++p) for (index_t q = p + 1; q < n; ++q) {
                $T c = a[p * n + q];
                REAL_$T x = RE_$T(a[p * n + p]), y = RE_$T(a[q * n + q]), cosine, sine;
                if (SIZE_$T(c) <= EPSILON_$T / 100) continue;
                if (SIZE_$T(c) > EPSILON_$T / 4) busy = 1;
                $T u;
                rotation_$T(x, y, c, &cosine, &sine, &u);
                rotate_$T(a + p, a + q, n, n, cosine, sine, u);
                rotate_$T(a + p * n, a + q * n, n, 1, cosine, sine, CONJ_$T(u));
                rotate_$T(v + p * n, v + q * n, n, 1, cosine, sine, u);
                a[p * n + q] = a[q * n + p] = OF_$T(0);
            }
        }
        for (index_t i = 0; i < n; ++i) values[i] = RE_$T(a[i * n + i]) * largest;
        for (index_t i = 0; i < n - 1; ++i) {
            index_t least = i;
            for (index_t j = i + 1; j < n; ++j) if (values[j] < values[least]) least = j;
            if (least != i) {
                REAL_$T t = values[i]; values[i] = values[least]; values[least] = t;
                exchange_$T(v + i * n, v + least * n, n);
            }
        }
    }
}"""
# One-sided: `rows` are rotated until they are orthogonal; their lengths are the singular values. `others` are the same
# rotations of the unit matrix, in the end conjugated. Rows beyond, and those of length 0, are completed to a basis.
_SVD = _ROTATION + """
FUNCTION $T inner_$T(const GLOBAL $T *a, const GLOBAL $T *b, index_t n) {
    $T sum = OF_$T(0);
    for (index_t i = 0; i < n; ++i) sum = ADD_$T(sum, MUL_$T(CONJ_$T(a[i]), b[i]));
    return sum;
}
FUNCTION REAL_$T square_$T(const GLOBAL $T *a, index_t n) {
    REAL_$T sum = 0;
    for (index_t i = 0; i < n; ++i) sum += SQUARE_$T(a[i]);
    return sum;
}
// Row `at` becomes a unit vector orthogonal to all rows before it and to those from `after` on below `known`.
FUNCTION void complete_$T(GLOBAL $T *rows, index_t n, index_t at, index_t after, index_t known) {
    REAL_$T best = -1;
    index_t which = 0;
    for (index_t i = 0; i < n; ++i) {
        REAL_$T rest = 1;
        for (index_t r = 0; r < known; ++r) if (r < at || r >= after) rest -= SQUARE_$T(rows[r * n + i]);
        if (rest > best) { best = rest; which = i; }
    }
    GLOBAL $T *row = rows + at * n;
    for (index_t i = 0; i < n; ++i) row[i] = OF_$T(i == which);
    for (int twice = 0; twice < 2; ++twice) {
        for (index_t r = 0; r < known; ++r) if (r < at || r >= after) {
            $T part = inner_$T(rows + r * n, row, n);
            for (index_t i = 0; i < n; ++i) row[i] = SUB_$T(row[i], MUL_$T(part, rows[r * n + i]));
        }
        REAL_$T length = sqrt(square_$T(row, n));
        for (index_t i = 0; i < n; ++i) row[i] = SCALE_$T(row[i], 1 / length);
    }
}
KERNEL $NAME(ARRAY(i32, states), i64 batch, ARRAY($T, vectors), ARRAY($T, others), ARRAY(REAL_$T, spectra), i64 count,
             i64 n, i64 all) {
    OPEN(i32, states); OPEN($T, vectors); OPEN($T, others); OPEN(REAL_$T, spectra);
    FOR_EACH(item, batch) {
        GLOBAL $T *rows = vectors + (i64)item * all * n, *v = others + (i64)item * count * count;
        GLOBAL REAL_$T *values = spectra + (i64)item * count;
        for (index_t i = 0; i < count; ++i) for (index_t j = 0; j < count; ++j) v[i * count + j] = OF_$T(i == j);
        REAL_$T largest = normalize_$T(rows, count * n);
        states[item] = isnan(largest);
        int busy = !isnan(largest);
        for (int sweep = 0; sweep < 40 && busy; ++sweep) {
            busy = 0;
            for (index_t p = 0; p < count - 1; ++p) for (index_t q = p + 1; q < count; ++q) {
                GLOBAL $T *a = rows + p * n, *b = rows + q * n;
                $T c = inner_$T(a, b, n), u;
                REAL_$T x = square_$T(a, n), y = square_$T(b, n), cosine, sine;
                if (SIZE_$T(c) <= EPSILON_$T * sqrt(x) * sqrt(y) || SIZE_$T(c) == 0) continue;
                busy = 1;
                rotation_$T(x, y, c, &cosine, &sine, &u);
                rotate_$T(a, b, n, 1, cosine, sine, u);
                rotate_$T(v + p * count, v + q * count, count, 1, cosine, sine, u);
            }
        }
        for (index_t i = 0; i < count; ++i) values[i] = sqrt(square_$T(rows + i * n, n));
        for (index_t i = 0; i < count; ++i) {
            index_t most = i;
            for (index_t j = i + 1; j < count; ++j) if (values[j] > values[most]) most = j;
            if (most != i) {
                REAL_$T t = values[i]; values[i] = values[most]; values[most] = t;
                exchange_$T(rows + i * n, rows + most * n, n);
                exchange_$T(v + i * count, v + most * count, count);
            }
        }
        index_t rank = 0;
        while (rank < count && values[rank] > EPSILON_$T * n * values[0]) {
            for (index_t i = 0; i < n; ++i) rows[rank * n + i] = SCALE_$T(rows[rank * n + i], 1 / values[rank]);
            ++rank;
        }
        for (index_t r = rank; r < all; ++r) complete_$T(rows, n, r, all, r);
        for (index_t i = 0; i < count; ++i) values[i] *= largest;
        for (index_t i = 0; i < count * count; ++i) v[i] = CONJ_$T(v[i]);
    }
}"""


FAMILIES = {name: Family(f"linalg_{name}", text, _TYPES, shared=SHARED) for name, text in (
    ("cholesky", _CHOLESKY), ("solve", _SOLVE), ("slogdet", _SLOGDET), ("qr", _QR), ("eigh", _EIGH), ("svd", _SVD))}
