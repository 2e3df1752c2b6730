/* contract.h - gradients of weights, out[i,j] = sum over steps and columns of A[i] B[j], rows of A and B along the columns,
 * and of biases, sums of the rows of B.
 *
 * Two ways, and a third for a single column, whose rows are vectors as they lie. Dot products: the sums of a block of
 * rows of A by rows of B are vectors that stay lanes until the very end; between chunks they lie in the room. Outer
 * products: the transpose of one operand is written to panels, chunk by chunk, and its rows are scaled by single elements
 * of the other, which is read as it lies. Dots are for small results and for sides that would leave a panel half empty.
 * A chunk is columns of several steps, or of a part of one: so many that the sums, loaded and stored once a chunk, cost
 * little, and so few that rows read again and again, 24 KiB of A (DOT_ROWS of them), and a transposed panel (256 x 24
 * floats are 24 KiB), stay in L1. */

enum { DOT_ROWS = UR_VECTOR == 64 ? 6 : 8, DOT_CHUNK = (24 << 10) / (DOT_ROWS * BYTES_OF(UR_REAL)), OUTER_CHUNK = 256 };

/* A chunk of a stretch: steps first..end-1, of each the same columns from..to-1. */
typedef struct chunk {
    const ur__stretch *stretch;
    size_t first, end, from, to;
} chunk;

/* The columns that step s of a stretch has. */
static inline size_t columns_of(const ur__contraction *c, const ur__stretch *t, size_t s)
{
    return t->columns && t->columns[s] < c->n ? t->columns[s] : c->n;
}

/* Element 0 of step s of an operand that lies at `at` with a distance of `step`. */
static inline const real *chunk_at(const chunk *c, const void *at, ptrdiff_t step, size_t s)
{
    return (const real *)at + (ptrdiff_t)s * step + c->from;
}

/* Goes on to the steps after those of a chunk: `most` of them, or fewer so that all have as many columns; false: none. */
static bool next_steps(const ur__contraction *c, size_t most, chunk *k)
{
    k->first = k->end;
    while (k->stretch < c->stretch + c->stretches && k->first == k->stretch->steps) {
        k->stretch++;
        k->first = 0;
    }
    if (k->stretch == c->stretch + c->stretches)
        return false;
    const size_t end = k->first + part_of(k->stretch->steps - k->first, most);
    for (k->end = k->first + 1; k->end < end; k->end++)
        if (columns_of(c, k->stretch, k->end) != columns_of(c, k->stretch, k->first))
            break;
    return true;
}

/* The next chunk of all, of `most` columns or a few more; false after the last. A new chunk has stretch NULL. */
static bool chunk_next(const ur__contraction *c, size_t most, chunk *k)
{
    size_t parts = (c->n + most - 1) / most, width = parts > 1 ? (c->n + parts - 1) / parts : c->n, columns = 0;
    width = (width + LANES - 1) / LANES * LANES;
    if (k->stretch) {
        columns = columns_of(c, k->stretch, k->first);
        k->from = k->to;
    } else {
        *k = (chunk){.stretch = c->stretch};
    }
    while (k->from >= columns) {
        if (!next_steps(c, width < most ? most / width : 1, k))
            return false;
        columns = columns_of(c, k->stretch, k->first);
        k->from = 0;
    }
    k->to = k->from + width < columns ? k->from + width : columns;
    return true;
}

static void contract_nothing(const ur__contraction *c)
{
    for (size_t g = 0; g < c->matrices; g++) {
        if (c->rows)
            memset(c->out[g], 0, c->rows * c->m * sizeof(real));
        if (c->sums)
            memset(c->sums[g], 0, c->m * sizeof(real));
    }
}

/* out[i] = the sum of the lanes of sum number i `distance`. */
static void lanes_out(size_t elements, const real *sums, size_t distance, real *out)
{
    for (size_t i = 0; i < elements; i += LANES) {
        const size_t count = elements - i < LANES ? elements - i : LANES;
        vec sum[LANES];
        for (size_t l = 0; l < LANES; l++)
            sum[l] = load(sums + (i + l < elements ? i + l : i) * distance * LANES);
        const vec total = sums_of_lanes(LANES, sum);
        if (count == LANES)
            store(out + i, total);
        else
            store_part(out + i, total, count);
    }
}

/* ---- sums of the rows of B */

enum { SUM_ROWS = 8 }; /* at once: chains enough to keep the adders busy */

/* sums[j+r] += row j+r of B_g over a chunk, for the lanes of vectors; `rows` of them, a constant. */
INLINE void sum_rows_of(size_t rows, const chunk *k, size_t g, size_t j, real *sums)
{
    const size_t stride = k->stretch->b_stride[g];
    const real *from = chunk_at(k, k->stretch->b[g], k->stretch->b_step[g], k->first) + j * stride;
    vec sum[SUM_ROWS];
    UNROLL
    for (size_t r = 0; r < rows; r++)
        sum[r] = load(sums + (j + r) * LANES);
    for (size_t s = k->first; s < k->end; s++, from += k->stretch->b_step[g]) {
        const real *b = from;
        size_t count = k->to - k->from;
        for (; count >= LANES; count -= LANES, b += LANES) {
            UNROLL
            for (size_t r = 0; r < rows; r++)
                sum[r] += load(b + r * stride);
        }
        if (count) {
            UNROLL
            for (size_t r = 0; r < rows; r++)
                sum[r] += load_part(b + r * stride, count);
        }
    }
    UNROLL
    for (size_t r = 0; r < rows; r++)
        store(sums + (j + r) * LANES, sum[r]);
}

typedef void row_kernel(const chunk *k, size_t g, size_t j, real *sums);

#define SUM_ROWS_OF(rows)                                                                                              \
    static void sum_rows_of_##rows(const chunk *k, size_t g, size_t j, real *sums)                                     \
    {                                                                                                                  \
        sum_rows_of(rows, k, g, j, sums);                                                                              \
    }
#define SUM_ROWS_ENTRY(rows) sum_rows_of_##rows,
#define EACH_ROWS(of) of(1) of(2) of(3) of(4) of(5) of(6) of(7) of(8)
EACH_ROWS(SUM_ROWS_OF)

/* By rows. */
static row_kernel *const row_kernels[SUM_ROWS + 1] = {NULL, EACH_ROWS(SUM_ROWS_ENTRY)};

/* Of all matrices, if they are wanted: last of all in a chunk, since it waits for memory more than what has more to do. */
static void add_row_sums(const ur__contraction *c, const chunk *k, real *sums)
{
    for (size_t g = 0; g < c->matrices && c->sums; g++, sums += c->m * LANES)
        for (size_t j = 0, rows; j < c->m; j += rows) {
            rows = part_of(c->m - j, SUM_ROWS);
            row_kernels[rows](k, g, j, sums);
        }
}

static void contract_rows(const ur__contraction *c, real *sums)
{
    for (chunk k = {0}; chunk_next(c, DOT_CHUNK, &k);)
        add_row_sums(c, &k, sums);
}

/* ---- small results: dot products */

/* sum[r][s] += A[i+r] B[j+s] over a chunk, for the lanes of vectors; the sums have rows of `sum_stride` vectors. */
INLINE void dot_block(size_t others, size_t rows, const chunk *k, size_t g, size_t i, size_t j, real *sums,
                      size_t sum_stride)
{
    const size_t a_stride = k->stretch->a_stride, b_stride = k->stretch->b_stride[g];
    const real *from = sums;
    vec sum[MOST_ROWS][MOST_VECTORS];
    UNROLL
    for (size_t r = 0; r < rows; r++) {
        UNROLL
        for (size_t s = 0; s < others; s++)
            sum[r][s] = load(from + s * LANES);
        NEXT_ROW(from, sum_stride * LANES);
    }
    const ptrdiff_t a_step = k->stretch->a_step, b_step = k->stretch->b_step[g];
    const real *a_start = chunk_at(k, k->stretch->a, a_step, k->first) + i * a_stride;
    const real *b_start = chunk_at(k, k->stretch->b[g], b_step, k->first) + j * b_stride;
    const size_t vectors = (k->to - k->from) / LANES, rest = (k->to - k->from) % LANES;
    for (size_t t = k->first; t < k->end && !rest; t++, a_start += a_step, b_start += b_step) {
        const real *a = a_start, *b = b_start;
        size_t v = vectors;
        do { /* with little around it: there are one or two of them */
            multiply_add(others, rows, sum, (reader){a, a_stride, load_whole, load_whole, 0},
                         (reader){b, b_stride, load_whole, load_whole, 0});
            keep_in_place(others, rows, sum);
            a += LANES;
            b += LANES;
        } while (--v);
    }
    for (size_t t = k->first; t < k->end && rest; t++, a_start += a_step, b_start += b_step) {
        const real *a = a_start, *b = b_start;
        for (size_t v = vectors; v; v--, a += LANES, b += LANES)
            multiply_add(others, rows, sum, (reader){a, a_stride, load_whole, load_whole, 0},
                         (reader){b, b_stride, load_whole, load_whole, 0});
        multiply_add(others, rows, sum, (reader){a, a_stride, load_part, load_part, rest},
                     (reader){b, b_stride, load_part, load_part, rest});
    }
    UNROLL
    for (size_t r = 0; r < rows; r++) {
        UNROLL
        for (size_t s = 0; s < others; s++)
            store(sums + s * LANES, sum[r][s]);
        NEXT_ROW(sums, sum_stride * LANES);
    }
}

typedef void dot_kernel(const chunk *k, size_t g, size_t i, size_t j, real *sums, size_t sum_stride);

#define DOT(others, rows)                                                                                              \
    static void dot_##others##x##rows(const chunk *k, size_t g, size_t i, size_t j, real *sums, size_t sum_stride)     \
    {                                                                                                                  \
        dot_block(others, rows, k, g, i, j, sums, sum_stride);                                                         \
    }
#define DOT_ENTRY(others, rows) [others][rows] = dot_##others##x##rows,
EACH_BLOCK(DOT)

/* By rows of B and of A. */
static dot_kernel *const dot_kernels[MOST_VECTORS + 1][MOST_ROWS + 1] = {EACH_BLOCK(DOT_ENTRY)};

/* Rows first..end-1 of A, which stay in L1, by all rows of B_g, a few of which at a time are read again and again. With the
 * first rows of A the rows of B are summed up too, if they are to be. */
static void dot_rows(const ur__contraction *c, const chunk *k, size_t g, size_t first, size_t end, real *row_sums,
                     real *sums)
{
    for (size_t j = 0, others; j < c->m; j += others) {
        others = part_of(c->m - j, MOST_VECTORS);
        for (size_t i = first, rows; i < end; i += rows) {
            rows = part_of(end - i, most_rows[others]);
            dot_kernels[others][rows](k, g, i, j, sums + (i * c->m + j) * LANES, c->m);
        }
        if (c->sums && first == 0)
            row_kernels[others](k, g, j, row_sums);
    }
}

static void contract_by_dots(const ur__contraction *c, real *row_sums, real *room)
{
    const size_t elements = c->rows * c->m;
    if (!c->begun)
        memset(room, 0, c->matrices * elements * LANES * sizeof(real));
    for (chunk k = {0}; chunk_next(c, DOT_CHUNK, &k);)
        for (size_t first = 0, end; first < c->rows; first = end) {
            end = first + part_of(c->rows - first, DOT_ROWS);
            for (size_t g = 0; g < c->matrices; g++)
                dot_rows(c, &k, g, first, end, row_sums + g * c->m * LANES, room + g * elements * LANES);
        }
    for (size_t g = 0; g < c->matrices && !c->goes_on; g++, room += elements * LANES) {
        if (!c->turned)
            lanes_out(elements, room, 1, (real *)c->out[g]);
        for (size_t j = 0; c->turned && j < c->m; j++)
            lanes_out(c->rows, room + j * LANES, c->m, (real *)c->out[g] + j * c->rows);
    }
}

/* ---- large results: outer products with a transposed operand */

/* One operand: rows of `stride` elements, those of step s at `at` + s `step`. */
typedef struct side {
    size_t rows, stride;
    const void *at;
    ptrdiff_t step;
} side;

static size_t whole_vectors(size_t n)
{
    return (n + LANES - 1) / LANES * LANES;
}

/* SSE has no load of an element into all lanes: where so many rows are transposed that the elements of the other side are
 * read by more than two panels, the latter are spread to copies first, and panels are narrow and blocks high. */
static bool spreads(size_t rows)
{
    return COPIES > 1 && rows > (size_t)2 * MOST_VECTORS * LANES;
}

/* The width of the panel that begins with row j of `rows`: whole vectors, all panels as even as can be. */
static size_t panel_width(size_t rows, size_t j)
{
    return part_of((rows - j + LANES - 1) / LANES, spreads(rows) ? STRIP : MOST_VECTORS) * LANES;
}

/* The transpose of `columns` columns, at most LANES, of the first LANES of `rows` rows; missing rows are 0. The rows of
 * the transpose have a distance of `width`. */
INLINE void outer_square(const real *from, size_t stride, size_t rows, size_t columns, real *to, size_t width)
{
    vec row[LANES];
    for (size_t l = 0; l < LANES; l++)
        if (l >= rows)
            row[l] = (vec){0};
        else if (columns == LANES)
            row[l] = load(from + l * stride);
        else
            row[l] = load_part(from + l * stride, columns);
    transpose(row);
    for (size_t l = 0; l < columns; l++)
        store(to + l * width, row[l]);
}

/* The transpose of rows 0..rows-1 of a chunk: panels of its rows, [panel][column][row]. Columns of all steps follow each
 * other, `columns` in all. What is missing to a vector is 0. */
static void outer_transpose(const chunk *k, const side *b, size_t columns, real *to)
{
    for (size_t j = 0, width; j < b->rows; j += width) {
        size_t left = b->rows - j;
        width = panel_width(b->rows, j);
        real *column = to + j * columns;
        for (size_t s = k->first; s < k->end; s++) {
            const real *from = chunk_at(k, b->at, b->step, s) + j * b->stride;
            for (size_t count = k->to - k->from, part; count; count -= part, from += part, column += part * width) {
                part = count < LANES ? count : LANES;
                for (size_t v = 0; v < width; v += LANES)
                    outer_square(from + v * b->stride, b->stride, left - v, part, column + v, width);
            }
        }
    }
}

/* sums[r][v] += A[i+r] times the transposed panel, over a chunk; the sums have rows of `vectors` vectors. Where `spread` is
 * set A lies as outer_spread wrote it. The first three are constants of each copy. */
INLINE void outer_block(size_t rows, size_t vectors, bool spread, const chunk *k, const side *a, size_t i,
                        const real *panel, real *sums)
{
    const size_t stride = spread ? COPIES : a->stride, distance = spread ? rows * COPIES : 1;
    loader *load_a = spread ? load_copies : load_element;
    vec sum[MOST_ROWS][MOST_VECTORS];
    UNROLL
    for (size_t r = 0; r < rows; r++) {
        UNROLL
        for (size_t v = 0; v < vectors; v++)
            sum[r][v] = load(sums + (r * vectors + v) * LANES);
    }
    const real *start = chunk_at(k, a->at, a->step, k->first) + i * stride;
    for (size_t s = k->first; s < k->end; s++, start += a->step) {
        const real *row = start;
        for (size_t count = k->to - k->from; count; count--, row += distance) {
            multiply_add(vectors, rows, sum, (reader){row, stride, load_a, load_a, 0},
                         (reader){panel, LANES, load_whole, load_whole, 0});
            keep_in_place(vectors, rows, sum);
            panel += vectors * LANES;
        }
    }
    UNROLL
    for (size_t r = 0; r < rows; r++) {
        UNROLL
        for (size_t v = 0; v < vectors; v++)
            store(sums + (r * vectors + v) * LANES, sum[r][v]);
    }
}

typedef void outer_kernel(const chunk *k, const side *a, size_t i, const real *panel, real *sums);

#define OUTER_COPY(vectors, rows, spread)                                                                              \
    static void outer_##vectors##x##rows##_##spread(const chunk *k, const side *a, size_t i, const real *panel,        \
                                                    real *sums)                                                        \
    {                                                                                                                  \
        outer_block(rows, vectors, spread, k, a, i, panel, sums);                                                      \
    }
#if UR_VECTOR == 16
#define OUTER(vectors, rows) OUTER_COPY(vectors, rows, 0) OUTER_COPY(vectors, rows, 1)
#define OUTER_ENTRY(vectors, rows) [vectors][rows] = {outer_##vectors##x##rows##_0, outer_##vectors##x##rows##_1},
#else
#define OUTER(vectors, rows) OUTER_COPY(vectors, rows, 0)
#define OUTER_ENTRY(vectors, rows) [vectors][rows] = {outer_##vectors##x##rows##_0},
#endif
EACH_BLOCK(OUTER)

/* By vectors, rows, and whether A is spread. */
static outer_kernel *const outer_kernels[MOST_VECTORS + 1][MOST_ROWS + 1][2] = {EACH_BLOCK(OUTER_ENTRY)};

/* Rows first..end-1 of a chunk, every element in all lanes: [column][row][lane]. Columns of all steps follow each other. */
static void outer_spread(const chunk *k, const side *a, size_t first, size_t end, real *to)
{
    const size_t rows = end - first;
    for (size_t s = k->first; s < k->end; s++) {
        const real *from = chunk_at(k, a->at, a->step, s) + first * a->stride;
        const size_t count = k->to - k->from;
        for (size_t r = 0; r < rows; r++)
            spread_row(count, from + r * a->stride, rows * LANES, to + r * LANES);
        to += count * rows * LANES;
    }
}

/* sums += A B^T over a chunk, for the transposed B. The sums lie as [panel][row of A][row of B in the panel]. Blocks of rows
 * of A stay in L2 while the panels go by, or those that are spread in L1. */
static void outer_chunk(const chunk *k, const side *a, size_t b_rows, size_t columns, const real *transposed,
                        real *copies, real *sums)
{
    enum { BLOCK = 192 };
    const bool spread = spreads(b_rows);
    const ur__stretch one = {.steps = 1};
    const chunk copied = {.stretch = &one, .end = 1, .to = columns};
    const side copy = {.at = copies};
    for (size_t first = 0, end; first < a->rows; first = end) {
        end = first + part_of(a->rows - first, spread ? MOST_ROWS : BLOCK);
        if (spread)
            outer_spread(k, a, first, end, copies);
        for (size_t j = 0, width; j < b_rows; j += width) {
            width = panel_width(b_rows, j);
            const size_t vectors = width / LANES;
            const real *panel = transposed + j * columns;
            for (size_t i = first, rows; i < end; i += rows) {
                real *to = sums + j * a->rows + i * width;
                rows = part_of(end - i, most_rows[vectors]);
                if (spread)
                    outer_kernels[vectors][rows][1](&copied, &copy, 0, panel, to);
                else
                    outer_kernels[vectors][rows][0](k, a, i, panel, to);
            }
        }
    }
}

/* out = the sums, whose rows are rows of `out`, or its columns where `columns` is set. */
static void outer_out(const real *sums, size_t a_rows, size_t b_rows, bool columns, real *out)
{
    for (size_t j = 0, width; j < b_rows; j += width) {
        width = panel_width(b_rows, j);
        const size_t left = b_rows - j < width ? b_rows - j : width;
        for (size_t i = 0; i < a_rows; i++) {
            const real *row = sums + j * a_rows + i * width;
            if (columns)
                for (size_t l = 0; l < left; l++)
                    out[(j + l) * a_rows + i] = row[l];
            else
                memcpy(out + i * b_rows + j, row, left * sizeof(real));
        }
    }
}

/* The transposed operand is the one of which less is to be transposed: A, once for all matrices, or every B. */
static bool transposes_a(const ur__contraction *c)
{
    return c->rows < c->matrices * c->m;
}

static size_t outer_sums(const ur__contraction *c)
{
    return transposes_a(c) ? whole_vectors(c->rows) * c->m : whole_vectors(c->m) * c->rows;
}

/* Of a chunk. */
static size_t transposed_elements(const ur__contraction *c)
{
    return whole_vectors(transposes_a(c) ? c->rows : c->m) * (OUTER_CHUNK + LANES);
}

static size_t copied_elements(const ur__contraction *c)
{
    return spreads(transposes_a(c) ? c->rows : c->m) ? (size_t)MOST_ROWS * COPIES * (OUTER_CHUNK + LANES) : 0;
}

/* Adds a chunk to the results of all matrices. */
static void outer_matrices(const ur__contraction *c, const chunk *k, real *results, real *transposed)
{
    const bool swapped = transposes_a(c);
    const size_t each = outer_sums(c);
    const ur__stretch *t = k->stretch;
    const side a = {.rows = c->rows, .stride = t->a_stride, .at = t->a, .step = t->a_step};
    real *copies = transposed + transposed_elements(c);
    const size_t columns = (k->end - k->first) * (k->to - k->from);
    if (swapped)
        outer_transpose(k, &a, columns, transposed);
    for (size_t g = 0; g < c->matrices; g++, results += each) {
        const side b = {.rows = c->m, .stride = t->b_stride[g], .at = t->b[g], .step = t->b_step[g]};
        if (!swapped)
            outer_transpose(k, &b, columns, transposed);
        outer_chunk(k, swapped ? &b : &a, swapped ? a.rows : b.rows, columns, transposed, copies, results);
    }
}

static void contract_by_outer(const ur__contraction *c, real *sums, real *room)
{
    const bool swapped = transposes_a(c);
    const size_t each = outer_sums(c);
    if (!c->begun)
        memset(room, 0, c->matrices * each * sizeof(real));
    for (chunk k = {0}; chunk_next(c, OUTER_CHUNK, &k);) {
        outer_matrices(c, &k, room, room + c->matrices * each);
        add_row_sums(c, &k, sums);
    }
    for (size_t g = 0; g < c->matrices && !c->goes_on; g++)
        outer_out(room + g * each, swapped ? c->m : c->rows, swapped ? c->rows : c->m, swapped != c->turned,
                  (real *)c->out[g]);
}

/* ---- one column: the rows of B follow each other without gaps, as those of A do, and are a panel as they lie */

/* Steps in a chunk: what a panel reads stays in L1. */
enum { ONE_CHUNK = 192 };

/* Some elements of one operand, in step 0, all of the other one, and what they make: rows of `width` elements. */
typedef struct one_result {
    const real *a, *b;
    ptrdiff_t a_step, b_step;
    size_t width;
    real *out;
} one_result;

/* Columns j.. of the result over a chunk, added to what it holds where `add` is set; the last of the vectors has `last`
 * lanes where `part` is set. The first three are constants of each copy. */
INLINE void one_block(size_t vectors, size_t rows, bool part, const chunk *k, const one_result *q, size_t j,
                      size_t last, bool add)
{
    const ptrdiff_t a_step = q->a_step, b_step = q->b_step;
    const real *a = chunk_at(k, q->a, a_step, k->first), *b = chunk_at(k, q->b, b_step, k->first) + j;
    real *out = q->out + j;
    const vec zero = {0};
    vec sum[MOST_ROWS][MOST_VECTORS];
    UNROLL
    for (size_t r = 0; r < rows; r++) {
        UNROLL
        for (size_t v = 0; v < vectors; v++) {
            const real *from = out + r * q->width + v * LANES;
            sum[r][v] = !add ? zero : part && v + 1 == vectors ? load_part(from, last) : load(from);
        }
    }
    for (size_t s = k->first; s < k->end; s++, a += a_step, b += b_step) {
        multiply_add(vectors, rows, sum, (reader){a, 1, load_element, load_element, 0},
                     (reader){b, LANES, load_whole, part ? load_part : load_whole, last});
        keep_in_place(vectors, rows, sum);
    }
    UNROLL
    for (size_t r = 0; r < rows; r++) {
        UNROLL
        for (size_t v = 0; v < vectors; v++)
            if (part && v + 1 == vectors)
                store_part(out + r * q->width + v * LANES, sum[r][v], last);
            else
                store(out + r * q->width + v * LANES, sum[r][v]);
    }
}

typedef void one_kernel(const chunk *k, const one_result *q, size_t j, size_t last, bool add);

#define ONE(vectors, rows, part)                                                                                       \
    static void one_##vectors##x##rows##_##part(const chunk *k, const one_result *q, size_t j, size_t last, bool add)  \
    {                                                                                                                  \
        one_block(vectors, rows, part, k, q, j, last, add);                                                            \
    }
#define ONES(vectors, rows) ONE(vectors, rows, 0) ONE(vectors, rows, 1)
#define ONE_ENTRY(vectors, rows) [vectors][rows] = {one_##vectors##x##rows##_0, one_##vectors##x##rows##_1},
EACH_BLOCK(ONES)

/* By vectors, rows, and whether the last vector is a part. */
static one_kernel *const one_kernels[MOST_VECTORS + 1][MOST_ROWS + 1][2] = {EACH_BLOCK(ONE_ENTRY)};

/* All of a result with so many rows over a chunk. */
static void one_whole(const chunk *k, one_result q, size_t all, bool add)
{
    for (size_t j = 0, vectors; j < q.width; j += vectors * LANES) {
        vectors = part_of((q.width - j + LANES - 1) / LANES, MOST_VECTORS);
        const size_t left = q.width - j - (vectors - 1) * LANES, last = left < LANES ? left : LANES;
        one_result some = q;
        for (size_t i = 0, rows; i < all; i += rows, some.a += rows, some.out += rows * q.width) {
            rows = part_of(all - i, most_rows[vectors]);
            one_kernels[vectors][rows][last < LANES](k, &some, j, last, add);
        }
    }
}

static void contract_one(const ur__contraction *c)
{
    static const real one = 1;
    bool add = false;
    for (chunk k = {0}; chunk_next(c, ONE_CHUNK * LANES, &k); add = true)
        for (size_t g = 0; g < c->matrices; g++) {
            const ur__stretch *t = k.stretch;
            const real *a = (const real *)t->a, *b = (const real *)t->b[g];
            one_result q = {.a = a, .b = b, .a_step = t->a_step, .b_step = t->b_step[g], .width = c->m};
            if (c->turned)
                q = (one_result){.a = b, .b = a, .a_step = t->b_step[g], .b_step = t->a_step, .width = c->rows};
            q.out = c->rows ? (real *)c->out[g] : NULL;
            one_whole(&k, q, c->turned ? c->m : c->rows, add);
            q = (one_result){.a = &one, .b = b, .b_step = t->b_step[g], .width = c->m};
            q.out = c->sums ? (real *)c->sums[g] : NULL;
            one_whole(&k, q, c->sums != NULL, add);
        }
    if (!add)
        contract_nothing(c);
}

/* ---- which way */

static bool has_one_column(const ur__contraction *c)
{
    bool dense = c->n == 1;
    for (const ur__stretch *t = c->stretch; dense && t < c->stretch + c->stretches; t++) {
        dense = !c->rows || t->a_stride == 1;
        for (size_t g = 0; g < c->matrices; g++)
            dense = dense && t->b_stride[g] == 1;
    }
    return dense;
}

/* Which way is the faster: multiply-adds for a column, what they are in vain included; the numbers were found by timing.
 * Six multiply-adds are the transposition of an element. A panel of a single vector reads as many elements as it has
 * multiply-adds. Dots have `share` times those that are wanted. */
static bool dots_are_faster(const ur__contraction *c, double share)
{
    const bool swapped = transposes_a(c);
    const size_t width = whole_vectors(swapped ? c->rows : c->m), others = swapped ? c->m : c->rows;
    const double transposition = swapped ? 6 / (double)c->matrices : 6;
    const double outer = (double)width * ((double)others + transposition) * (width == LANES ? 1.4 : 1.06);
    return share * (double)(c->rows * c->m) <= outer;
}

static const double least_share = 1.15;

/* A step whose vectors are all whole costs dots a third of a vector more than it has, any other one a vector. */
static bool by_dots(const ur__contraction *c)
{
    const double n = (double)c->n, lanes = (double)LANES;
    const double whole = least_share + lanes / (3 * n), part = (1.2 * (double)whole_vectors(c->n) + lanes) / n;
    return dots_are_faster(c, c->n % LANES == 0 ? whole : part);
}

/* Elements that the sums of rows take in the room: first come those, then what a way of contracting needs. */
static size_t row_sum_elements(const ur__contraction *c)
{
    return c->sums ? c->matrices * c->m * LANES : 0;
}

/* For either way, if fewer columns than c->n or more could be by dots: the last block of a batch has the room of others. */
static size_t contraction_room(const ur__contraction *c)
{
    size_t sums = row_sum_elements(c);
    if (!c->rows)
        return sums * sizeof(real);
    size_t dots = dots_are_faster(c, least_share) ? c->matrices * c->rows * c->m * LANES : 0;
    size_t outer = c->matrices * outer_sums(c) + transposed_elements(c) + copied_elements(c);
    return (sums + (dots > outer ? dots : outer)) * sizeof(real);
}

static void contract(const ur__contraction *c, void *memory)
{
    const size_t elements = row_sum_elements(c);
    real *sums = (real *)memory, *room = sums + elements;
    if (has_one_column(c)) {
        contract_one(c);
        return;
    }
    if (!c->begun)
        memset(sums, 0, elements * sizeof(real));
    if (!c->rows)
        contract_rows(c, sums);
    else if (by_dots(c))
        contract_by_dots(c, sums, room);
    else
        contract_by_outer(c, sums, room);
    for (size_t g = 0; g < c->matrices && c->sums && !c->goes_on; g++)
        lanes_out(c->m, sums + g * c->m * LANES, 1, (real *)c->sums[g]);
}
