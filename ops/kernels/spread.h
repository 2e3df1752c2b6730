/* spread.h - products with large packed matrices where no load puts an element into all lanes, with SSE.
 *
 * Copies of every element of A, as in product.h, would leave the cache. Here A is packed once, its rows are lanes, and
 * what is spread are the elements of a strip of X: once for all rows of A. A pass over them stays in L1 while A streams
 * by. A block of sums is the transpose of one of C; between passes it is turned and lies in C. */

enum { SPREAD_PASS = 256 };

/* The first vectors of rows i.. of C by `columns` columns of X, whose elements of the pass lie in all lanes at x, column
 * after column of A: tile[column][row]. The sums begin with what the tile holds if the pass adds, else all columns with
 * `start`. The first two are constants of each copy. */
INLINE void spread_block(size_t vectors, size_t columns, const pass *p, const real *start, const real *x, size_t i,
                         real *tile)
{
    vec sum[MOST_ROWS][MOST_VECTORS];
    UNROLL
    for (size_t j = 0; j < columns; j++) {
        UNROLL
        for (size_t v = 0; v < vectors; v++)
            sum[j][v] = load((p->add ? tile + j * SPREAD_ROWS : start) + v * LANES);
    }
    size_t left = SPREAD_PASS, from = p->from;
    for (const ur__term *t = p->first; t < p->end && left; t++, from = 0) {
        size_t count = t->k - from < left ? t->k - from : left;
        const real *a = (const real *)t->a + i * t->k + from * SPREAD_ROWS;
        left -= count;
        for (; count; count--, a += SPREAD_ROWS, x += columns * LANES) {
            multiply_add(vectors, columns, sum, (reader){x, LANES, load_whole, load_whole, 0},
                         (reader){a, LANES, load_whole, load_whole, 0});
            keep_in_place(vectors, columns, sum);
        }
    }
    UNROLL
    for (size_t j = 0; j < columns; j++) {
        UNROLL
        for (size_t v = 0; v < vectors; v++)
            store(tile + j * SPREAD_ROWS + v * LANES, sum[j][v]);
    }
}

typedef void spread_kernel(const pass *p, const real *start, const real *x, size_t i, real *tile);

#define SPREAD(vectors, columns)                                                                                       \
    static void spread_##vectors##x##columns(const pass *p, const real *start, const real *x, size_t i, real *tile)    \
    {                                                                                                                  \
        spread_block(vectors, columns, p, start, x, i, tile);                                                          \
    }
#define SPREAD_ENTRY(vectors, columns) [vectors][columns] = spread_##vectors##x##columns,
UP_TO_6(SPREAD, 1)
UP_TO_6(SPREAD, 2)

/* By vectors and columns. */
static spread_kernel *const spread_kernels[STRIP + 1][MOST_ROWS + 1] = {UP_TO_6(SPREAD_ENTRY, 1)
                                                                            UP_TO_6(SPREAD_ENTRY, 2)};

/* The elements of X of a pass, columns j.. of them, each in all lanes. */
static void spread_strip(const pass *p, size_t columns, size_t j, real *to)
{
    size_t left = SPREAD_PASS, from = p->from;
    for (const ur__term *t = p->first; t < p->end && left; t++, from = 0) {
        size_t count = t->k - from < left ? t->k - from : left;
        const real *x = (const real *)t->x + from * t->x_stride + j;
        left -= count;
        for (; count; count--, x += t->x_stride)
            for (size_t c = 0; c < columns; c++, to += LANES)
                store(to, load_element(x + c, 0));
    }
}

/* All rows of C, columns j.. */
static void spread_columns(const pass *p, size_t m, const real *bias, size_t columns, const real *x, size_t j)
{
    for (size_t i = 0, rows; i < m; i += rows) {
        real tile[MOST_ROWS * SPREAD_ROWS] = {0}, start[SPREAD_ROWS] = {0}, *c = p->c + i * p->c_stride + j;
        rows = m - i < SPREAD_ROWS ? m - i : SPREAD_ROWS;
        if (p->add)
            turn(rows, columns, c, p->c_stride, tile, SPREAD_ROWS);
        else if (bias)
            memcpy(start, bias + i, rows * sizeof *start);
        spread_kernels[(rows + LANES - 1) / LANES][columns](p, start, x, i, tile);
        turn(columns, rows, tile, SPREAD_ROWS, c, p->c_stride);
    }
}

static void spread_product(pass *p, size_t m, size_t n, const real *bias)
{
    real x[SPREAD_PASS * MOST_ROWS * COPIES];
    do
        for (size_t j = 0, columns; j < n; j += columns) {
            const size_t strips = (n - j + MOST_ROWS - 1) / MOST_ROWS;
            columns = (n - j + strips - 1) / strips;
            spread_strip(p, columns, j, x);
            spread_columns(p, m, bias, columns, x, j);
        }
    while (next_pass(p, SPREAD_PASS));
}
