/* product.h - products of packed matrices: C = bias + sum of A_t X_t.
 *
 * A is packed in panels of rows, column after column, so that a block of rows reads it in order; X is read as it lies.
 * A block of C, some rows of a panel by one or more vectors, stays in registers while k runs through a pass. The sum of
 * every element goes over k upwards, by one chain, whatever block it is in, so that the cuts change no bit. */

/* Rows of a panel at most, those of the highest block. A pass goes over PASS columns of A, 2 KiB of each row: a panel
 * of them stays in L1 while the strips of X go by; between passes the sums are in C. */
enum { PANEL = MOST_ROWS, PASS = 2048 / (COPIES * BYTES_OF(UR_REAL)) };

/* Products that spread.h takes: so large that copies would leave L2, with rows enough to make up for spreading X. Their
 * panel, all rows, is larger than others. It lies in pieces of SPREAD_PASS columns, these in tiles of SPREAD_ROWS rows. */
enum { SPREAD_BYTES = 256 << 10, SPREAD_LEAST = 64, SPREAD_ROWS = STRIP * LANE_COUNT, SPREAD_PASS = 256 };

static inline bool is_spread(size_t panel)
{
    return panel > PANEL;
}

/* The rows of a piece, with those that the last tile lacks. */
static inline size_t spread_height(size_t panel)
{
    return (panel + SPREAD_ROWS - 1) / SPREAD_ROWS * SPREAD_ROWS;
}

/* The columns of the piece of k columns that begins with column `from`. */
static inline size_t spread_length(size_t k, size_t from)
{
    return k - from < SPREAD_PASS ? k - from : SPREAD_PASS;
}

/* The number of rows that leaves all panels as even as can be. */
static size_t panel_of(size_t m, size_t k)
{
    const size_t panels = (m + PANEL - 1) / PANEL;
    if (COPIES > 1 && m >= SPREAD_LEAST && m * k * COPIES * sizeof(real) >= SPREAD_BYTES)
        return m;
    return (m + panels - 1) / panels;
}

static size_t packed_elements(size_t panel, size_t m, size_t k)
{
    return is_spread(panel) ? spread_height(panel) * k : (m + panel - 1) / panel * panel * k * COPIES;
}

/* Element (i, q) lies in panel i/panel, there in column q as row i mod panel, `copies` times. */
static void pack_panels(size_t panel, size_t copies, size_t first, size_t m, size_t k, operand a, real *packed)
{
    for (size_t i = 0; i < m;) {
        size_t row = (first + i) % panel, rows = panel - row < m - i ? panel - row : m - i;
        real *to = packed + ((first + i - row) * k + row) * copies;
        for (size_t q = 0; q < k; q++, to += panel * copies)
            for (size_t r = 0; r < rows; r++)
                for (size_t l = 0; l < copies; l++)
                    to[r * copies + l] = a.at[(i + r) * a.row + q * a.column];
        i += rows;
    }
}

static void pack(size_t panel, size_t first, size_t m, size_t k, const void *a_, size_t a_stride, bool a_transposed,
                 void *packed_)
{
    operand a = {.at = (const real *)a_, .row = a_transposed ? 1 : a_stride, .column = a_transposed ? a_stride : 1};
    real *packed = (real *)packed_;
    if (!is_spread(panel)) {
        pack_panels(panel, COPIES, first, m, k, a, packed);
        return;
    }
    for (size_t from = 0, length; from < k; from += length, a.at += length * a.column) {
        length = spread_length(k, from);
        pack_panels(SPREAD_ROWS, 1, first, m, length, a, packed + from * spread_height(panel));
    }
}

/* A pass of a product: so many columns in all, from column `from` of the first term on. */
typedef struct pass {
    const ur__term *first, *end;
    size_t from, panel;
    bool add;
    real *c;
    size_t c_stride;
} pass;

/* What follows a pass over `columns` columns; false: nothing. */
static bool next_pass(pass *p, size_t columns)
{
    for (; p->first < p->end && p->first->k - p->from <= columns; p->first++, p->from = 0)
        columns -= p->first->k - p->from;
    p->from += columns;
    p->add = true;
    return p->first < p->end;
}

/* Rows i.. of the panel of C whose first is `first`, `rows` of them, by `vectors` vectors from column j on, the last
 * of which has `last` lanes where `part` is set. The sums begin with what C holds where p->add is set, else
 * with start[i..]. The first three are constants of each copy: only so the sums are registers. */
INLINE void product_block(size_t vectors, size_t rows, bool part, const pass *p, const real *start, size_t first,
                          size_t i, size_t j, size_t last)
{
    const size_t c_stride = p->c_stride, column_distance = p->panel * COPIES;
    real *c = p->c + (first + i) * c_stride + j;
    vec sum[MOST_ROWS][MOST_VECTORS];
    if (p->add) {
        const real *from = c;
        UNROLL
        for (size_t r = 0; r < rows; r++) {
            UNROLL
            for (size_t v = 0; v < vectors; v++)
                sum[r][v] = part && v + 1 == vectors ? load_part(from + v * LANES, last) : load(from + v * LANES);
            NEXT_ROW(from, c_stride);
        }
    } else {
        UNROLL
        for (size_t r = 0; r < rows; r++) {
            UNROLL
            for (size_t v = 0; v < vectors; v++)
                sum[r][v] = start[i + r] - (vec){0};
        }
    }
    size_t left = PASS, from = p->from;
    for (const ur__term *t = p->first; t < p->end && left; t++, from = 0) {
        size_t count = t->k - from < left ? t->k - from : left, x_stride = t->x_stride;
        const real *a = (const real *)t->a + (first * t->k + from * p->panel + i) * COPIES;
        const real *x = (const real *)t->x + from * x_stride + j;
        left -= count;
        for (; count; count--, a += column_distance, x += x_stride) {
            multiply_add(vectors, rows, sum, (reader){a, COPIES, load_copies, load_copies, 0},
                         (reader){x, LANES, load_whole, part ? load_part : load_whole, last});
            keep_in_place(vectors, rows, sum);
        }
    }
    UNROLL
    for (size_t r = 0; r < rows; r++) {
        UNROLL
        for (size_t v = 0; v < vectors; v++)
            if (part && v + 1 == vectors)
                store_part(c + v * LANES, sum[r][v], last);
            else
                store(c + v * LANES, sum[r][v]);
        NEXT_ROW(c, c_stride);
    }
}

typedef void product_kernel(const pass *p, const real *start, size_t first, size_t i, size_t j, size_t last);

#define PRODUCT_COPY(vectors, rows, part)                                                                              \
    static void product_##vectors##x##rows##_##part(const pass *p, const real *start, size_t first, size_t i,          \
                                                    size_t j, size_t last)                                             \
    {                                                                                                                  \
        product_block(vectors, rows, part, p, start, first, i, j, last);                                               \
    }
#define PRODUCT(vectors, rows) PRODUCT_COPY(vectors, rows, 0) PRODUCT_COPY(vectors, rows, 1)
#define PRODUCT_ENTRY(vectors, rows) [vectors][rows] = {product_##vectors##x##rows##_0, product_##vectors##x##rows##_1},
EACH_BLOCK(PRODUCT)

/* By vectors, rows, and whether the last vector is a part. */
static product_kernel *const product_kernels[MOST_VECTORS + 1][MOST_ROWS + 1][2] = {EACH_BLOCK(PRODUCT_ENTRY)};

/* The widest strips whose blocks are as high as those of narrow ones. */
static inline size_t strip_of(size_t rows)
{
    size_t strip = MOST_VECTORS;
    while (strip > STRIP && part_of(rows, most_rows[strip]) < part_of(rows, most_rows[STRIP]))
        strip--;
    return strip;
}

/* Rows first.. of C, a panel or what exists of it, strip by strip. */
static void product_rows(const pass *p, const real *bias, size_t first, size_t rows, size_t n)
{
    static const real zeros[PANEL];
    const size_t strip = strip_of(rows);
    const real *start = bias ? bias + first : zeros;
    for (size_t j = 0, vectors; j < n; j += vectors * LANES) {
        const size_t left = (n - j + LANES - 1) / LANES;
        vectors = part_of(left, strip);
        const size_t last = n - j - (vectors - 1) * LANES;
        const bool part = last < LANES;
        for (size_t i = 0, height; i < rows; i += height) {
            height = part_of(rows - i, most_rows[vectors]);
            product_kernels[vectors][height][part](p, start, first, i, j, last);
        }
    }
}

#if UR_VECTOR == 16
#include "spread.h"
#endif

static void packed_product(size_t panel, size_t m, size_t n, size_t terms, const ur__term *term, const void *bias,
                           void *c, size_t c_stride)
{
    pass p = {.first = term, .end = term + terms, .panel = panel, .c = (real *)c, .c_stride = c_stride};
#if UR_VECTOR == 16
    if (is_spread(panel)) {
        spread_product(&p, m, n, (const real *)bias);
        return;
    }
#endif
    do
        for (size_t i = 0; i < m; i += panel)
            product_rows(&p, (const real *)bias, i, m - i < panel ? m - i : panel, n);
    while (next_pass(&p, PASS));
}
