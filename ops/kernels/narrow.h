/* narrow.h - products of few columns, n < UR__NARROW: C = bias + sum of A_t X_t, the matrices packed or as they lie.
 *
 * The lanes go along the features. A transposed term reads A by rows, which are columns of op(A): sum += x_q a_q, for
 * panels of rows of C that stay in registers. A packed one does the same, and what it reads for a panel lies in one
 * piece, for a matrix that is too large for L1 is read as fast as it streams. Any other term is a dot product for each row
 * of C, several rows at once, whose lanes are added up at the end. Few sums are kept as several chains, since a
 * multiply-add takes longer than it keeps its unit busy. The order of a sum depends on the shape alone. */

/* Columns at once, and the most vectors of a panel for one column, as a logarithm: with 32 registers there are up to 16
 * sums, else 12. Columns of A between two gatherings of X. */
#if UR_VECTOR == 64
enum { NARROW_COLUMNS = 4, NARROW_HEIGHT = 4 };
#else
enum { NARROW_COLUMNS = 3, NARROW_HEIGHT = 3 };
#endif
enum { NARROW_CHUNK = 256, NARROW_PIECES = 8 };
enum { NARROW_PANEL = LANE_COUNT << NARROW_HEIGHT }; /* rows of a packed panel; the last one has as many as are left */

/* Terms that are all packed, all transposed or all not. If they are not, column j of X lies at x + j x_stride, without
 * gaps. */
typedef struct narrow {
    const ur__term *term;
    size_t terms;
    const real *bias;
    bool add;
    real *c;
    size_t c_stride;
    size_t first, width; /* the packed panel at hand: its first row, and how many it has; 0: not packed */
} narrow;

/* As narrow_finish, where rows of the result lie apart: one function, for the copies of it took most of a build. */
static __attribute__((noinline)) void narrow_apart(const narrow *p, size_t i, size_t rows, size_t j, const real *sum)
{
    const size_t stride = p->c_stride;
    real *c = p->c + i * stride + j;
    if (p->add)
        for (size_t r = 0; r < rows; r++)
            c[r * stride] += sum[r];
    else if (p->bias)
        for (size_t r = 0; r < rows; r++)
            c[r * stride] = p->bias[i + r] + sum[r];
    else
        for (size_t r = 0; r < rows; r++)
            c[r * stride] = sum[r];
}

/* Writes column j of rows i.., of which there are at most LANES. */
INLINE void narrow_finish(const narrow *p, size_t i, size_t rows, size_t j, vec sum)
{
    if (p->c_stride == 1) {
        real *c = p->c + i + j;
        const real *base = p->add ? c : p->bias ? p->bias + i : NULL;
        if (rows == LANES) {
            if (base)
                sum += load(base);
            store(c, sum);
        } else {
            if (base)
                sum += load_part(base, rows);
            store_part(c, sum, rows);
        }
        return;
    }
    real element[LANES];
    store(element, sum);
    narrow_apart(p, i, rows, j, element);
}

/* Rows i.., `rows` of them, and columns j.. of transposed terms; where `part` is set the last vector is a part. The first
 * four are constants of each copy. */
INLINE void narrow_panel(size_t vectors, size_t columns, size_t chains, bool part, const narrow *p, size_t i,
                         size_t rows, size_t j)
{
    const size_t last = rows - (vectors - 1) * LANES;
    vec sum[4][NARROW_COLUMNS][1 << NARROW_HEIGHT];
    UNROLL
    for (size_t s = 0; s < chains; s++) {
        UNROLL
        for (size_t c = 0; c < columns; c++) {
            UNROLL
            for (size_t v = 0; v < vectors; v++)
                sum[s][c][v] = (vec){0};
        }
    }
    for (const ur__term *t = p->term; t < p->term + p->terms; t++) {
        const real *a = (const real *)t->a + p->first * t->k + (i - p->first), *x = (const real *)t->x + j;
        const size_t a_stride = p->width ? p->width : t->a_stride, x_stride = t->x_stride;
        size_t left = t->k;
#define STEP(chain)                                                                                                    \
    UNROLL                                                                                                             \
    for (size_t v = 0; v < vectors; v++) {                                                                             \
        vec w = part && v + 1 == vectors ? load_part(a + v * LANES, last) : load(a + v * LANES);                       \
        UNROLL                                                                                                         \
        for (size_t c = 0; c < columns; c++)                                                                           \
            sum[chain][c][v] += x[c] * w;                                                                              \
    }
        for (; left >= chains; left -= chains) {
            UNROLL
            for (size_t s = 0; s < chains; s++, a += a_stride, x += x_stride) {
                STEP(s)
            }
        }
        for (; chains > 1 && left; left--, a += a_stride, x += x_stride) {
            STEP(0)
        }
#undef STEP
    }
    UNROLL
    for (size_t c = 0; c < columns; c++) {
        UNROLL
        for (size_t v = 0; v < vectors; v++) {
            vec total = sum[0][c][v];
            UNROLL
            for (size_t s = 1; s < chains; s++)
                total += sum[s][c][v];
            narrow_finish(p, i + v * LANES, part && v + 1 == vectors ? last : LANES, j + c, total);
        }
    }
}

/* Rows i.., `height` or as many as there are, and columns j.. by dot products. The first two are constants. */
INLINE void narrow_dot(size_t height, size_t columns, const narrow *p, size_t i, size_t rows, size_t j)
{
    vec sum[NARROW_COLUMNS][LANES];
    UNROLL
    for (size_t c = 0; c < columns; c++) {
        UNROLL
        for (size_t r = 0; r < height; r++)
            sum[c][r] = (vec){0};
    }
    for (const ur__term *t = p->term; t < p->term + p->terms; t++) {
        const real *a[LANES], *x = (const real *)t->x + j * t->x_stride;
        a[0] = (const real *)t->a + i * t->a_stride;
        UNROLL
        for (size_t r = 1; r < height; r++)
            a[r] = a[r - 1] + (r < rows ? t->a_stride : 0);
        size_t q = 0, x_stride = t->x_stride;
#define STEP(load_at)                                                                                                  \
    vec column[NARROW_COLUMNS];                                                                                        \
    UNROLL                                                                                                             \
    for (size_t c = 0; c < columns; c++)                                                                               \
        column[c] = load_at(x + c * x_stride + q);                                                                     \
    UNROLL                                                                                                             \
    for (size_t r = 0; r < height; r++) {                                                                              \
        vec w = load_at(a[r] + q);                                                                                     \
        UNROLL                                                                                                         \
        for (size_t c = 0; c < columns; c++)                                                                           \
            sum[c][r] += w * column[c];                                                                                \
    }
#define LOAD_REST(from) load_part(from, t->k - q)
        for (; q + LANES <= t->k; q += LANES) {
            STEP(load)
        }
        if (q < t->k) {
            STEP(LOAD_REST)
        }
#undef STEP
#undef LOAD_REST
    }
    UNROLL
    for (size_t c = 0; c < columns; c++)
        narrow_finish(p, i, rows, j + c, sums_of_lanes(height, sum[c]));
}

typedef void narrow_kernel(const narrow *p, size_t i, size_t rows, size_t j);

#define PANELS(vectors, columns, chains)                                                                               \
    static void narrow_panel_##vectors##x##columns(const narrow *p, size_t i, size_t rows, size_t j)                   \
    {                                                                                                                  \
        narrow_panel(vectors, columns, chains, false, p, i, rows, j);                                                  \
    }                                                                                                                  \
    static void narrow_panel_##vectors##x##columns##_part(const narrow *p, size_t i, size_t rows, size_t j)            \
    {                                                                                                                  \
        narrow_panel(vectors, columns, chains, true, p, i, rows, j);                                                   \
    }
#define PANEL_ENTRY(vectors, columns)                                                                                  \
    {                                                                                                                  \
        narrow_panel_##vectors##x##columns, narrow_panel_##vectors##x##columns##_part                                  \
    }
#define DOTS(height, columns)                                                                                          \
    static void narrow_dot_##height##x##columns(const narrow *p, size_t i, size_t rows, size_t j)                      \
    {                                                                                                                  \
        narrow_dot(height, columns, p, i, rows, j);                                                                    \
    }

PANELS(1, 1, 4)
PANELS(2, 1, 4)
PANELS(4, 1, 2)
PANELS(8, 1, 1)
PANELS(1, 2, 4)
PANELS(2, 2, 2)
PANELS(4, 2, 1)
PANELS(1, 3, 2)
PANELS(2, 3, 1)
PANELS(4, 3, 1)
DOTS(1, 1)
DOTS(2, 1)
DOTS(1, 2)
DOTS(2, 2)
DOTS(1, 3)
DOTS(2, 3)
#if LANE_COUNT >= 4
DOTS(4, 1)
DOTS(4, 2)
DOTS(4, 3)
#endif
#if LANE_COUNT >= 8
DOTS(8, 1)
#endif
#if UR_VECTOR == 64
PANELS(16, 1, 1)
PANELS(1, 4, 2)
PANELS(2, 4, 1)
PANELS(4, 4, 1)
DOTS(1, 4)
DOTS(2, 4)
DOTS(4, 4)
#endif

/* By columns, the logarithm of the vectors, and whether the last is a part. */
static narrow_kernel *const narrow_panels[NARROW_COLUMNS + 1][NARROW_HEIGHT + 1][2] = {
#if UR_VECTOR == 64
    [1] = {PANEL_ENTRY(1, 1), PANEL_ENTRY(2, 1), PANEL_ENTRY(4, 1), PANEL_ENTRY(8, 1), PANEL_ENTRY(16, 1)},
#else
    [1] = {PANEL_ENTRY(1, 1), PANEL_ENTRY(2, 1), PANEL_ENTRY(4, 1), PANEL_ENTRY(8, 1)},
#endif
    [2] = {PANEL_ENTRY(1, 2), PANEL_ENTRY(2, 2), PANEL_ENTRY(4, 2)},
    [3] = {PANEL_ENTRY(1, 3), PANEL_ENTRY(2, 3), PANEL_ENTRY(4, 3)},
#if UR_VECTOR == 64
    [4] = {PANEL_ENTRY(1, 4), PANEL_ENTRY(2, 4), PANEL_ENTRY(4, 4)},
#endif
};

/* By columns and the logarithm of the rows. */
static narrow_kernel *const narrow_dots[NARROW_COLUMNS + 1][4] = {
#if LANE_COUNT >= 8
    [1] = {narrow_dot_1x1, narrow_dot_2x1, narrow_dot_4x1, narrow_dot_8x1},
#elif LANE_COUNT >= 4
    [1] = {narrow_dot_1x1, narrow_dot_2x1, narrow_dot_4x1},
#else
    [1] = {narrow_dot_1x1, narrow_dot_2x1},
#endif
#if LANE_COUNT >= 4
    [2] = {narrow_dot_1x2, narrow_dot_2x2, narrow_dot_4x2},
    [3] = {narrow_dot_1x3, narrow_dot_2x3, narrow_dot_4x3},
#else
    [2] = {narrow_dot_1x2, narrow_dot_2x2},
    [3] = {narrow_dot_1x3, narrow_dot_2x3},
#endif
#if UR_VECTOR == 64
    [4] = {narrow_dot_1x4, narrow_dot_2x4, narrow_dot_4x4},
#endif
};

/* How many of the columns that are left come next: the last two blocks are of like width. */
static inline size_t narrow_columns(size_t left)
{
    return left <= NARROW_COLUMNS ? left : left / 2 < NARROW_COLUMNS ? (left + 1) / 2 : NARROW_COLUMNS;
}

/* Rows i..end-1 of C. */
static void narrow_transposed(const narrow *p, size_t i, size_t end, size_t n)
{
    for (size_t rows; i < end; i += rows) {
        size_t left = (end - i + LANES - 1) / LANES, most = n == 1 ? NARROW_HEIGHT : 2, log = 0;
        while (log < most && (size_t)2 << log <= left)
            log++;
        rows = LANES << log;
        rows = end - i < rows ? end - i : rows;
        for (size_t j = 0, columns; j < n; j += columns) {
            columns = narrow_columns(n - j);
            narrow_panels[columns][log][rows % LANES != 0](p, i, rows, j);
        }
    }
}

static inline size_t narrow_width(size_t left)
{
    return left < NARROW_PANEL ? left : NARROW_PANEL;
}

static void narrow_packed(narrow *p, size_t m, size_t n)
{
    for (p->first = 0; p->first < m; p->first += p->width) {
        p->width = narrow_width(m - p->first);
        narrow_transposed(p, p->first, p->first + p->width, n);
    }
    p->first = p->width = 0;
}

static void narrow_plain(const narrow *p, size_t m, size_t n)
{
    const size_t most = n == 1 && LANES >= 8 ? 3 : LANES >= 4 ? 2 : 1;
    for (size_t i = 0, rows; i < m; i += rows) {
        size_t log = 0;
        while (log < most && (size_t)1 << log < m - i)
            log++;
        rows = m - i < (size_t)1 << log ? m - i : (size_t)1 << log;
        for (size_t j = 0, columns; j < n; j += columns) {
            columns = narrow_columns(n - j);
            narrow_dots[columns][log](p, i, rows, j);
        }
    }
}

/* Terms that are not transposed, whose X has gaps: X is gathered, NARROW_CHUNK columns of A at a time. */
static void narrow_gathered(narrow *p, size_t m, size_t n)
{
    const ur__term *t = p->term, *end = t + p->terms;
    size_t from = 0;
    do {
        real x[(UR__NARROW - 1) * NARROW_CHUNK];
        ur__term piece[NARROW_PIECES];
        size_t pieces = 0, room = NARROW_CHUNK;
        for (; t < end && pieces < NARROW_PIECES && room; pieces++) {
            size_t k = t->k - from < room ? t->k - from : room;
            real *to = x + NARROW_CHUNK - room;
            const real *column = (const real *)t->x + from * t->x_stride;
            for (size_t q = 0; q < k; q++)
                for (size_t j = 0; j < n; j++)
                    to[j * NARROW_CHUNK + q] = column[q * t->x_stride + j];
            piece[pieces] = (ur__term){
                .a = (const real *)t->a + from, .x = to, .k = k, .x_stride = NARROW_CHUNK, .a_stride = t->a_stride};
            room -= k;
            from += k;
            if (from == t->k)
                t++, from = 0;
        }
        p->term = piece;
        p->terms = pieces;
        narrow_plain(p, m, n);
        p->add = true;
    } while (t < end);
}

static bool same_kind(const ur__term *a, const ur__term *b)
{
    return a->a_packed == b->a_packed && (a->a_packed || a->a_transposed == b->a_transposed);
}

/* Fewer rows than this are too few vectors. */
static size_t least_rows(size_t columns)
{
    return columns == 1 ? 1 : columns <= 4 ? 32 : 64;
}

/* A column fills a lane in the other kernel, a row fills one here: several columns are not worth it if there are only a
 * few vectors of rows, or nearly as many columns as lanes. */
static bool is_narrow(size_t m, size_t n)
{
    return n < UR__NARROW && (LANES < UR__NARROW || (n + 1 < LANES && m >= least_rows(n)));
}

/* Has the column of some X gaps, or are there several, side by side? */
static bool has_gaps(const narrow *p, size_t n)
{
    bool gaps = n > 1;
    for (const ur__term *t = p->term; !gaps && t < p->term + p->terms; t++)
        gaps = t->x_stride != 1;
    return gaps;
}

static void product_narrow(size_t m, size_t n, size_t terms, const ur__term *term, const void *bias, void *c,
                           size_t c_stride)
{
    narrow p = {.bias = (const real *)bias, .c = (real *)c, .c_stride = c_stride};
    const ur__term *end = term + terms;
    do { /* once where there is no term: the bias */
        p.term = term;
        while (term < end && same_kind(term, p.term))
            term++;
        p.terms = (size_t)(term - p.term);
        if (p.terms && p.term->a_packed)
            narrow_packed(&p, m, n);
        else if (p.terms && p.term->a_transposed)
            narrow_transposed(&p, 0, m, n);
        else if (has_gaps(&p, n))
            narrow_gathered(&p, m, n);
        else
            narrow_plain(&p, m, n);
        p.add = true;
    } while (term < end);
}

/* Element (i,q) lies in panel i/NARROW_PANEL, there in column q as row i mod NARROW_PANEL. */
static void pack_narrow(size_t all, size_t first, size_t m, size_t k, const void *a_, size_t a_stride,
                        bool a_transposed, void *packed_)
{
    const real *a = (const real *)a_;
    for (size_t end = first + m, rows; first < end; first += rows) {
        size_t row = first % NARROW_PANEL, width = narrow_width(all - (first - row));
        real *to = (real *)packed_ + (first - row) * k + row;
        rows = width - row < end - first ? width - row : end - first;
        if (a_transposed)
            for (size_t q = 0; q < k; q++)
                memcpy(to + q * width, a + q * a_stride, rows * sizeof *to);
        else
            turn(rows, k, a, a_stride, to, width);
        a += a_transposed ? rows : rows * a_stride;
    }
}
