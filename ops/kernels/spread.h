/* spread.h - products with large packed matrices where no load puts an element into all lanes, with SSE.
 *
 * Copies of every element of A, as in product.h, would leave the cache. Here A is packed once, its rows are lanes, and
 * what is spread are the elements of a strip of X. C is computed in parts: of A, the columns of a pass in the rows of a
 * part stay in L2 while the strips of X go by, and a strip stays in L1 while A goes by. Until the last pass is through the
 * sums of a part lie as the kernels have them: [strip][tile][column][row], a tile being SPREAD_ROWS rows of C. */

/* Rows and columns of C in a part. */
enum { PART_ROWS = (256 << 10) / (SPREAD_PASS * BYTES_OF(UR_REAL)), PART_COLUMNS = 10 * MOST_ROWS };

/* sums[column][row] += rows i.. of A, as many as the vectors have, times columns of X, whose elements of the pass lie in
 * all lanes at x, column after column of A. The first two are constants of each copy. */
INLINE void spread_block(size_t vectors, size_t columns, const pass *p, size_t i, const real *x, real *sums)
{
    vec sum[MOST_ROWS][MOST_VECTORS];
    UNROLL
    for (size_t j = 0; j < columns; j++) {
        UNROLL
        for (size_t v = 0; v < vectors; v++)
            sum[j][v] = load(sums + j * SPREAD_ROWS + v * LANES);
    }
    size_t left = SPREAD_PASS, from = p->from;
    for (const ur__term *t = p->first; t < p->end && left;) {
        const size_t piece = from / SPREAD_PASS * SPREAD_PASS, q = from - piece, length = spread_length(t->k, piece);
        const real *a = (const real *)t->a + piece * spread_height(p->panel) + i * length + q * SPREAD_ROWS;
        size_t count = length - q < left ? length - q : left;
        left -= count;
        from += count;
        if (from == t->k)
            t++, from = 0;
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
            store(sums + j * SPREAD_ROWS + v * LANES, sum[j][v]);
    }
}

typedef void spread_kernel(const pass *p, size_t i, const real *x, real *sums);

#define SPREAD(vectors, columns)                                                                                       \
    static void spread_##vectors##x##columns(const pass *p, size_t i, const real *x, real *sums)                       \
    {                                                                                                                  \
        spread_block(vectors, columns, p, i, x, sums);                                                                 \
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
        for (; count; count--, x += t->x_stride, to += columns * LANES)
            spread_row(columns, x, LANES, to);
    }
}

/* Columns of the next strip of so many. */
static inline size_t spread_columns(size_t left)
{
    const size_t strips = (left + MOST_ROWS - 1) / MOST_ROWS;
    return (left + strips - 1) / strips;
}

/* A tile of sums at first: what C holds, or the bias. */
static void spread_begin(const pass *p, const real *bias, size_t rows, size_t columns, const real *c, real *tile)
{
    if (p->add) {
        if (rows < SPREAD_ROWS)
            memset(tile, 0, columns * SPREAD_ROWS * sizeof *tile);
        turn(rows, columns, c, p->c_stride, tile, SPREAD_ROWS);
        return;
    }
    real start[SPREAD_ROWS] = {0};
    for (size_t r = 0; bias && r < rows; r++)
        start[r] = bias[r];
    for (size_t j = 0; j < columns; j++, tile += SPREAD_ROWS)
        memcpy(tile, start, sizeof start);
}

/* The part of C with m rows from row i on and n columns from column j on. */
static void spread_part(pass p, const real *bias, size_t i, size_t m, size_t j, size_t n)
{
    real x[SPREAD_PASS * MOST_ROWS * COPIES], sums[PART_ROWS * PART_COLUMNS];
    for (bool first = true, last = false; !last; first = false) {
        pass next = p;
        last = !next_pass(&next, SPREAD_PASS);
        real *tile = sums;
        for (size_t s = j, columns; s < j + n; s += columns) {
            columns = spread_columns(j + n - s);
            spread_strip(&p, columns, s, x);
            for (size_t r = i, rows; r < i + m; r += rows, tile += columns * SPREAD_ROWS) {
                real *c = p.c + r * p.c_stride + s;
                rows = i + m - r < SPREAD_ROWS ? i + m - r : SPREAD_ROWS;
                if (first)
                    spread_begin(&p, bias ? bias + r : NULL, rows, columns, c, tile);
                spread_kernels[(rows + LANES - 1) / LANES][columns](&p, r, x, tile);
                if (last)
                    turn(columns, rows, tile, SPREAD_ROWS, c, p.c_stride);
            }
        }
        p = next;
    }
}

static void spread_product(const pass *p, size_t m, size_t n, const real *bias)
{
    for (size_t i = 0, rows; i < m; i += rows) {
        rows = m - i < PART_ROWS ? m - i : PART_ROWS;
        for (size_t j = 0, columns; j < n; j += columns) {
            columns = part_of(n - j, PART_COLUMNS);
            spread_part(*p, bias, i, rows, j, columns);
        }
    }
}
