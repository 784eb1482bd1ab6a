"""How kernels multiply and add numbers, by C type: macros `ZERO_f32`, `MAC_c64(sum, a, b)`, `ADD_i8(sum, a)`, ..."""

ARITHMETIC = """
#define ZERO_c64 zero_c64()
#define MAC_c64(s, a, b) s = mac_c64(s, a, b)
FUNCTION c64 zero_c64(void) { c64 s; s.x = 0; s.y = 0; return s; }
FUNCTION c64 mac_c64(c64 s, c64 a, c64 b) {
    s.x += a.x * b.x - a.y * b.y; s.y += a.x * b.y + a.y * b.x; return s;
}
#ifdef FP64
#define ZERO_c128 zero_c128()
#define MAC_c128(s, a, b) s = mac_c128(s, a, b)
FUNCTION c128 zero_c128(void) { c128 s; s.x = 0; s.y = 0; return s; }
FUNCTION c128 mac_c128(c128 s, c128 a, c128 b) {
    s.x += a.x * b.x - a.y * b.y; s.y += a.x * b.y + a.y * b.x; return s;
}
#endif
#define ADD_c64(s, a) do { s.x += a.x; s.y += a.y; } while (0)
#define ADD_c128(s, a) do { s.x += a.x; s.y += a.y; } while (0)
""" + "".join(f"#define ZERO_{each} 0\n#define MAC_{each}(s, a, b) s += (a) * (b)\n#define ADD_{each}(s, a) s += a\n"
              for each in ("u8", "i8", "i16", "i32", "i64", "f32", "f64"))

# Sizes and strides of products of matrices; one argument, because each costs time.
PRODUCT = """
typedef struct {
    i64 blocks, m, n, k, a_row, a_step, b_step, b_column, added, addend_row, addend_column; layout_t batch;
} product_t;
"""
