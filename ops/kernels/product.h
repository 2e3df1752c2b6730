/* product.h - products of packed matrices: C = bias + sum of A_t X_t.
 *
 * A is packed in panels of PANEL rows, column after column, so that a block of rows reads it in order; X is read as it
 * lies. A block of C, one to three panels by one to three vectors, stays in registers while k runs through a pass. The
 * sum of every element goes over k upwards, by one chain, whatever block it is in, so that the cuts change no bit. */

/* Three panels by two vectors are 24 sums: with 32 registers 2 loads and 12 broadcasts feed 24 multiply-adds. With 16
 * registers one panel by three vectors has 12 sums. Rows up to one panel take wider strips. A pass goes over PASS columns
 * of A: three panels of them are 24 KiB of f32, which stay in L1 while the strips of X go by; between passes the sums
 * are in C. */
enum { PANEL = 4, GROUP = 3 * PANEL, PASS = 512, WIDEST = 4 };
#if UR_VECTOR == 64
enum { STRIP = 2, STRIP_OF_ONE = 4 };
static const unsigned char most_panels[WIDEST + 1] = {0, 3, 3, 2, 1}; /* of a block, by its vectors */
#else
enum { STRIP = 3, STRIP_OF_ONE = 3 };
static const unsigned char most_panels[WIDEST + 1] = {0, 3, 1, 1};
#endif

static size_t panel_of(size_t m, size_t n)
{
    (void)m, (void)n;
    return PANEL;
}

static size_t packed_elements(size_t panel, size_t m, size_t k)
{
    return (m + panel - 1) / panel * panel * k;
}

/* Element (i, q) lies in panel i/panel, there in column q as row i mod panel. */
static void pack(size_t panel, size_t first, size_t m, size_t k, const void *a_, size_t a_stride, bool a_transposed,
                 void *packed_)
{
    const real *a = (const real *)a_;
    for (size_t i = 0; i < m;) {
        size_t row = (first + i) % panel, rows = panel - row < m - i ? panel - row : m - i;
        real *to = (real *)packed_ + (first + i - row) * k + row;
        if (a_transposed)
            for (size_t q = 0; q < k; q++, to += panel)
                for (size_t r = 0; r < rows; r++)
                    to[r] = a[q * a_stride + i + r];
        else
            for (size_t q = 0; q < k; q++, to += panel)
                for (size_t r = 0; r < rows; r++)
                    to[r] = a[(i + r) * a_stride + q];
        i += rows;
    }
}

/* A pass of a product: PASS columns in all, from column `from` of the first term on. */
typedef struct pass {
    const ur__term *first, *end;
    size_t from;
    real *c;
    size_t c_stride;
} pass;

/* Rows i.. of C, `height` rows of which `rows` exist, by `vectors` vectors from column j on, the last of which has `last`
 * lanes where `part` is set. The sums begin with what C holds where `add` is set, else with start[row]. i is a multiple
 * of PANEL; `rows` equals `height` where that is no whole number of panels. The first four are constants of each copy:
 * only so the sums are registers. */
INLINE void product_block(size_t height, size_t vectors, bool part, bool add, const pass *p, const real *start,
                          size_t i, size_t rows, size_t j, size_t last)
{
    const size_t c_stride = p->c_stride;
    real *c = p->c + i * c_stride + j;
    vec sum[GROUP][WIDEST];
    if (height <= PANEL)
        rows = height;
    UNROLL
    for (size_t r = 0; r < height; r++) {
        const real *from = c + (r < rows ? r : 0) * c_stride;
        UNROLL
        for (size_t v = 0; v < vectors; v++)
            if (!add)
                sum[r][v] = start[r] - (vec){0};
            else if (part && v + 1 == vectors)
                sum[r][v] = load_part(from + v * LANES, last);
            else
                sum[r][v] = load(from + v * LANES);
    }
    size_t left = PASS, from = p->from;
    for (const ur__term *t = p->first; t < p->end && left; t++, from = 0) {
        size_t count = t->k - from < left ? t->k - from : left, distance = PANEL * t->k, x_stride = t->x_stride;
        const real *a = (const real *)t->a + i * t->k + from * PANEL;
        const real *x = (const real *)t->x + from * x_stride + j;
        left -= count;
        for (; count; count--, a += PANEL, x += x_stride) {
            vec column[WIDEST];
            UNROLL
            for (size_t v = 0; v < vectors; v++)
                column[v] = part && v + 1 == vectors ? load_part(x + v * LANES, last) : load(x + v * LANES);
            UNROLL
            for (size_t r = 0; r < height; r++) {
                real w = a[r / PANEL * distance + r % PANEL];
                UNROLL
                for (size_t v = 0; v < vectors; v++)
                    sum[r][v] += w * column[v];
            }
        }
    }
    UNROLL
    for (size_t r = 0; r < height; r++) {
        UNROLL
        for (size_t v = 0; v < vectors; v++) {
            real *to = c + r * c_stride + v * LANES;
            if (r < rows && part && v + 1 == vectors)
                store_part(to, sum[r][v], last);
            else if (r < rows)
                store(to, sum[r][v]);
        }
    }
}

typedef void product_kernel(const pass *p, const real *start, size_t i, size_t rows, size_t j, size_t last);

#define KERNEL(height, vectors, part, add)                                                                             \
    static void product_##height##x##vectors##_##part##_##add(const pass *p, const real *start, size_t i, size_t rows, \
                                                              size_t j, size_t last)                                   \
    {                                                                                                                  \
        product_block(height, vectors, part, add, p, start, i, rows, j, last);                                         \
    }
#define KERNELS(height, vectors)                                                                                       \
    KERNEL(height, vectors, 0, 0)                                                                                      \
    KERNEL(height, vectors, 0, 1)                                                                                      \
    KERNEL(height, vectors, 1, 0)                                                                                      \
    KERNEL(height, vectors, 1, 1)
#define ENTRY(height, vectors)                                                                                         \
    {                                                                                                                  \
        {product_##height##x##vectors##_0_0, product_##height##x##vectors##_0_1},                                      \
            {product_##height##x##vectors##_1_0, product_##height##x##vectors##_1_1},                                  \
    }
#define NONE                                                                                                           \
    {                                                                                                                  \
        {                                                                                                              \
            NULL                                                                                                       \
        }                                                                                                              \
    }

KERNELS(1, 1)
KERNELS(1, 2)
KERNELS(1, 3)
KERNELS(2, 1)
KERNELS(2, 2)
KERNELS(2, 3)
KERNELS(3, 1)
KERNELS(3, 2)
KERNELS(3, 3)
KERNELS(4, 1)
KERNELS(4, 2)
KERNELS(4, 3)
KERNELS(8, 1)
KERNELS(12, 1)
#if UR_VECTOR == 64
KERNELS(1, 4)
KERNELS(2, 4)
KERNELS(3, 4)
KERNELS(4, 4)
KERNELS(8, 2)
KERNELS(8, 3)
KERNELS(12, 2)
#endif

/* By height (1 to 4 rows, 2 and 3 panels), vectors, part and add. */
static product_kernel *const product_kernels[][WIDEST + 1][2][2] = {
#if UR_VECTOR == 64
    [1] = {NONE, ENTRY(1, 1), ENTRY(1, 2), ENTRY(1, 3), ENTRY(1, 4)},
    [2] = {NONE, ENTRY(2, 1), ENTRY(2, 2), ENTRY(2, 3), ENTRY(2, 4)},
    [3] = {NONE, ENTRY(3, 1), ENTRY(3, 2), ENTRY(3, 3), ENTRY(3, 4)},
    [4] = {NONE, ENTRY(4, 1), ENTRY(4, 2), ENTRY(4, 3), ENTRY(4, 4)},
    [5] = {NONE, ENTRY(8, 1), ENTRY(8, 2), ENTRY(8, 3)},
    [6] = {NONE, ENTRY(12, 1), ENTRY(12, 2)},
#else
    [1] = {NONE, ENTRY(1, 1), ENTRY(1, 2), ENTRY(1, 3)},
    [2] = {NONE, ENTRY(2, 1), ENTRY(2, 2), ENTRY(2, 3)},
    [3] = {NONE, ENTRY(3, 1), ENTRY(3, 2), ENTRY(3, 3)},
    [4] = {NONE, ENTRY(4, 1), ENTRY(4, 2), ENTRY(4, 3)},
    [5] = {NONE, ENTRY(8, 1)},
    [6] = {NONE, ENTRY(12, 1)},
#endif
};

/* Rows i.. of C, at most GROUP, cut into strips of one width or two, none of them narrow. */
static void product_rows(const pass *p, const real *bias, bool add, size_t i, size_t rows, size_t n)
{
    real start[GROUP] = {0};
    for (size_t r = 0; bias && r < rows; r++)
        start[r] = bias[i + r];
    size_t vectors = (n + LANES - 1) / LANES, last = n - (vectors - 1) * LANES;
    size_t most = rows <= PANEL ? STRIP_OF_ONE : STRIP, strips = (vectors + most - 1) / most;
    if (most == 2 && strips > 1 && vectors % 2)
        strips--; /* 2, 2, ..., 3 */
    for (size_t j = 0, width; strips; strips--, vectors -= width, j += width * LANES) {
        width = vectors / strips;
        bool part = strips == 1 && last < LANES;
        for (size_t r = 0, height; r < rows; r += height) {
            size_t left = rows - r, panels = (left + PANEL - 1) / PANEL;
            panels = panels < most_panels[width] ? panels : most_panels[width];
            height = left < PANEL ? left : panels * PANEL;
            size_t kernel = left < PANEL ? left : PANEL - 1 + panels;
            product_kernels[kernel][width][part][add](p, start + r, i + r, left, j, last);
        }
    }
}

static void packed_product(size_t panel, size_t m, size_t n, size_t terms, const ur__term *term, const void *bias,
                           bool add, void *c, size_t c_stride)
{
    (void)panel;
    pass p = {.first = term, .end = term + terms, .c = (real *)c, .c_stride = c_stride};
    do {
        for (size_t i = 0; i < m; i += GROUP)
            product_rows(&p, (const real *)bias, add, i, m - i < GROUP ? m - i : GROUP, n);
        size_t left = PASS;
        for (; p.first < p.end && p.first->k - p.from <= left; p.first++, p.from = 0)
            left -= p.first->k - p.from;
        p.from += left;
        add = true;
    } while (p.first < p.end);
}
