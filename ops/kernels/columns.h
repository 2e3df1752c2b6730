/* columns.h - operations between rows, on dense arrays. An element depends on those of its own column alone, the batch
 * being the last dimension: loops over rows with loops along the last dimensions within, which become vectors. The
 * operations' files in ops say what each computes. Results lie apart from operands. */

static size_t size_at(ur_shape s, int i)
{
    return i < s.rank ? (size_t)s.size[i] : 1;
}

/* Elements of the dimensions from i on. */
static size_t elements_from(ur_shape s, int i)
{
    size_t n = 1;
    for (; i < s.rank; i++)
        n *= (size_t)s.size[i];
    return n;
}

/* ---- products */

/* The tile of a result that is registers, and how much of the sum and of the result's columns a stretch takes: of what is
 * packed, the rows of A for a tile take 4 KiB and stay in the first cache, B's up to 72 KiB go by from the second one. */
enum { TILE_ROWS = 4, TILE_COLUMNS = UR_VECTOR == 64 ? 4 : 3, SUM_STRETCH = 1024 / UR_VECTOR, COLUMN_STRETCH = 72 };

/* Distances of neighbours: of A along the result's rows and the sum, of B along the sum and the result's columns, of the
 * result along its rows and columns. */
typedef struct bmm_strides {
    size_t a_row, a_sum, b_sum, b_column, row, column;
} bmm_strides;

/* The lanes below `count` of what lies at p. */
INLINE vec load_lanes(const real *p, size_t count)
{
    return count == LANES ? load(p) : load_part(p, count);
}

INLINE void store_lanes(real *p, vec v, size_t count)
{
    if (count == LANES)
        store(p, v);
    else
        store_part(p, v, count);
}

/* `count` <= LANES matrices of the batch, one in each lane; `add`: to what the result holds. A and B have all lanes
 * where they are packed, else `lanes` = count. */
INLINE void bmm_tile(size_t rows, size_t columns, size_t k, const real *a, const real *b, real *y, bmm_strides s,
                     size_t lanes, size_t count, bool add)
{
    vec sum[TILE_ROWS][TILE_COLUMNS];
    UNROLL
    for (size_t i = 0; i < rows; i++) {
        UNROLL
        for (size_t j = 0; j < columns; j++)
            sum[i][j] = add ? load_lanes(y + i * s.row + j * s.column, count) : (vec){0};
    }
    for (size_t q = 0; q < k; q++) {
        vec b_q[TILE_COLUMNS];
        UNROLL
        for (size_t j = 0; j < columns; j++)
            b_q[j] = load_lanes(b + q * s.b_sum + j * s.b_column, lanes);
        UNROLL
        for (size_t i = 0; i < rows; i++) {
            vec a_q = load_lanes(a + q * s.a_sum + i * s.a_row, lanes);
            UNROLL
            for (size_t j = 0; j < columns; j++)
                sum[i][j] += a_q * b_q[j];
        }
    }
    UNROLL
    for (size_t i = 0; i < rows; i++) {
        UNROLL
        for (size_t j = 0; j < columns; j++)
            store_lanes(y + i * s.row + j * s.column, sum[i][j], count);
    }
}

/* A vector times a matrix, a matrix times a vector, or few columns: each element of A is read so few times that it is
 * read where it lies. */
INLINE void bmm_thin(size_t m, size_t n, size_t k, const real *a, const real *b, real *y, bmm_strides s, size_t count)
{
    for (size_t i = 0, rows; i < m; i += rows) {
        rows = m - i < TILE_ROWS ? 1 : TILE_ROWS;
        for (size_t j = 0; j < n; j++) {
            const real *a_i = a + i * s.a_row, *b_j = b + j * s.b_column;
            real *y_ij = y + i * s.row + j * s.column;
            if (rows > 1)
                bmm_tile(TILE_ROWS, 1, k, a_i, b_j, y_ij, s, count, count, false);
            else
                bmm_tile(1, 1, k, a_i, b_j, y_ij, s, count, count, false);
        }
    }
}

/* `width` rows or columns over a stretch of the sum, side by side. */
INLINE void bmm_pack(size_t width, size_t k, const real *from, size_t sum, size_t across, real *to, size_t count)
{
    for (size_t q = 0; q < k; q++)
        for (size_t i = 0; i < width; i++, to += LANES)
            store(to, load_lanes(from + q * sum + i * across, count));
}

/* Rows of the result times the packed panels of B, each TILE_COLUMNS wide but the last. */
INLINE void bmm_panels(size_t rows, size_t n, size_t k, const real *a, const real *b, real *y, bmm_strides s,
                       size_t count, bool add)
{
    s.a_row = LANES;
    s.a_sum = rows * LANES;
    s.b_column = LANES;
    for (size_t j = 0, columns; j < n; j += columns, b += columns * k * LANES) {
        columns = n - j < TILE_COLUMNS ? 1 : TILE_COLUMNS;
        s.b_sum = columns * LANES;
        real *y_j = y + j * s.column;
        if (columns > 1)
            bmm_tile(rows, TILE_COLUMNS, k, a, b, y_j, s, LANES, count, add);
        else
            bmm_tile(rows, 1, k, a, b, y_j, s, LANES, count, add);
    }
}

/* The length of the next stretch of n: as few stretches as there can be, and about as long as each other. */
INLINE size_t stretch(size_t n, size_t most)
{
    size_t stretches = (n + most - 1) / most;
    return (n + stretches - 1) / stretches;
}

INLINE void bmm_lanes(size_t m, size_t n, size_t k, const real *a, const real *b, real *y, bmm_strides s, size_t count)
{
    real packed_a[TILE_ROWS * SUM_STRETCH * LANE_COUNT], packed_b[COLUMN_STRETCH * SUM_STRETCH * LANE_COUNT];
    for (size_t q = 0, sum; q < k; q += sum) {
        sum = stretch(k - q, SUM_STRETCH);
        for (size_t j = 0, columns; j < n; j += columns) {
            columns = stretch(n - j, COLUMN_STRETCH);
            for (size_t p = 0, width; p < columns; p += width) {
                width = columns - p < TILE_COLUMNS ? 1 : TILE_COLUMNS;
                bmm_pack(width, sum, b + q * s.b_sum + (j + p) * s.b_column, s.b_sum, s.b_column,
                         packed_b + p * sum * LANES, count);
            }
            for (size_t i = 0, rows; i < m; i += rows) {
                rows = m - i < TILE_ROWS ? 1 : TILE_ROWS;
                real *y_ij = y + i * s.row + j * s.column;
                bmm_pack(rows, sum, a + q * s.a_sum + i * s.a_row, s.a_sum, s.a_row, packed_a, count);
                if (rows > 1)
                    bmm_panels(TILE_ROWS, columns, sum, packed_a, packed_b, y_ij, s, count, q > 0);
                else
                    bmm_panels(1, columns, sum, packed_a, packed_b, y_ij, s, count, q > 0);
            }
        }
    }
}

static void dense_bmm(const ur__dense_call *c)
{
    const real *a = (const real *)c->in[0], *b = (const real *)c->in[1];
    real *y = (real *)c->out;
    const bool ta = c->attr[0] != 0, tb = c->attr[1] != 0;
    const size_t m = size_at(c->out_shape, 0), n = size_at(c->out_shape, 1), k = size_at(c->shape[0], ta ? 0 : 1);
    const size_t batch = elements_from(c->out_shape, 2);
    const bmm_strides s = {.a_row = (ta ? 1 : k) * batch,
                           .a_sum = (ta ? m : 1) * batch,
                           .b_sum = (tb ? 1 : n) * batch,
                           .b_column = (tb ? k : 1) * batch,
                           .row = n * batch,
                           .column = batch};
    if (batch == 1) {
        matmul(m, n, k, a, ta, b, tb, y);
        return;
    }
    const bool thin = m < TILE_ROWS || n < TILE_COLUMNS;
    for (size_t l = 0, count; l < batch; l += count) {
        count = batch - l < LANES ? batch - l : LANES;
        if (thin && count == LANES)
            bmm_thin(m, n, k, a + l, b + l, y + l, s, LANES);
        else if (thin)
            bmm_thin(m, n, k, a + l, b + l, y + l, s, count);
        else if (count == LANES)
            bmm_lanes(m, n, k, a + l, b + l, y + l, s, LANES);
        else
            bmm_lanes(m, n, k, a + l, b + l, y + l, s, count);
    }
}

static void dense_outer(const ur__dense_call *c)
{
    const size_t m = size_at(c->out_shape, 0), n = size_at(c->out_shape, 1), batch = elements_from(c->out_shape, 2);
    for (size_t i = 0; i < m; i++) {
        const real *a = (const real *)c->in[0] + i * batch, *b = (const real *)c->in[1];
        real *y = (real *)c->out + i * n * batch;
        for (size_t l = 0; l < batch; l += LANES) {
            const size_t count = batch - l < LANES ? batch - l : LANES;
            const vec a_i = load_lanes(a + l, count);
            for (size_t j = 0; j < n; j++)
                store_lanes(y + j * batch + l, a_i * load_lanes(b + j * batch + l, count), count);
        }
    }
}

/* ---- copies */

/* Is it the number of one of so many rows? */
static bool is_row(real index, size_t rows)
{
    const double row = (double)index;
    return row >= 0 && row < (double)rows && row == (double)(size_t)row;
}

static void dense_gather(const ur__dense_call *c)
{
    const size_t rows = size_at(c->shape[0], 0), d = size_at(c->shape[0], 1), batch = size_at(c->shape[1], 1);
    const real *table = (const real *)c->in[0], *index = (const real *)c->in[1];
    real *y = (real *)c->out;
    for (size_t n = 0; n < batch; n++) {
        const real *row = is_row(index[n], rows) ? table + (size_t)index[n] * d : NULL;
        for (size_t i = 0; i < d; i++)
            y[i * batch + n] = row ? row[i] : REAL(NAN);
    }
}

static void dense_scatter(const ur__dense_call *c)
{
    const size_t rows = size_at(c->out_shape, 0), d = size_at(c->out_shape, 1), batch = size_at(c->shape[1], 1);
    const real *a = (const real *)c->in[0], *index = (const real *)c->in[1];
    real *table = (real *)c->out;
    memset(table, 0, rows * d * sizeof *table);
    for (size_t n = 0; n < batch; n++) {
        real *row = is_row(index[n], rows) ? table + (size_t)index[n] * d : NULL;
        for (size_t i = 0; row && i < d; i++)
            row[i] += a[i * batch + n];
    }
}

static void dense_transpose(const ur__dense_call *c)
{
    const real *a = (const real *)c->in[0];
    real *y = (real *)c->out;
    size_t stride[UR_RANK], n[UR_RANK] = {1, 1, 1, 1}, step[UR_RANK] = {0}, dims = UR_RANK;
    for (int i = 0; i < UR_RANK; i++)
        stride[i] = elements_from(c->shape[0], i + 1);
    int first = (int)c->attr[0], second = (int)c->attr[1];
    size_t exchanged = stride[first];
    stride[first] = stride[second];
    stride[second] = exchanged;
    /* From the last dimension on, those that lie in the operand as in the result are one. */
    for (int i = UR_RANK; i-- > 0;) {
        size_t size = size_at(c->out_shape, i);
        if (size == 1)
            continue;
        if (dims == UR_RANK || stride[i] != step[dims] * n[dims])
            step[--dims] = stride[i];
        n[dims] *= size;
    }
    const size_t last = UR_RANK - 1, run = step[last] == 1 ? n[last] : 1;
    if (run > 1)
        n[last] = 1;
    size_t p[UR_RANK];
    for (p[0] = 0; p[0] < n[0]; p[0]++)
        for (p[1] = 0; p[1] < n[1]; p[1]++)
            for (p[2] = 0; p[2] < n[2]; p[2]++) {
                const real *x = a + p[0] * step[0] + p[1] * step[1] + p[2] * step[2];
                if (run > 1)
                    memcpy(y, x, run * sizeof *y);
                for (p[3] = 0; run == 1 && p[3] < n[3]; p[3]++)
                    y[p[3]] = x[p[3] * step[3]];
                y += run > 1 ? run : n[3];
            }
}

static void dense_concat(const ur__dense_call *c)
{
    const int axis = (int)c->attr[0];
    const size_t outer = elements_from(c->out_shape, 0) / elements_from(c->out_shape, axis);
    real *y = (real *)c->out;
    for (size_t o = 0; o < outer; o++)
        for (int k = 0; k < c->inputs; k++) {
            size_t run = elements_from(c->shape[k], axis);
            memcpy(y, (const real *)c->in[k] + o * run, run * sizeof *y);
            y += run;
        }
}

static void dense_slice(const ur__dense_call *c)
{
    const int axis = (int)c->attr[0];
    const size_t inner = elements_from(c->out_shape, axis + 1), all = elements_from(c->shape[0], axis);
    const size_t first = (size_t)c->attr[1] * inner, run = (size_t)c->attr[2] * inner;
    const size_t outer = elements_from(c->shape[0], 0) / all;
    for (size_t o = 0; o < outer; o++)
        memcpy((real *)c->out + o * run, (const real *)c->in[0] + o * all + first, run * sizeof(real));
}

static void dense_pad(const ur__dense_call *c)
{
    const int axis = (int)c->attr[0];
    const size_t inner = elements_from(c->out_shape, axis + 1), run = elements_from(c->shape[0], axis);
    const size_t before = (size_t)c->attr[1] * inner, after = (size_t)c->attr[2] * inner;
    const size_t outer = elements_from(c->shape[0], 0) / run;
    real *y = (real *)c->out;
    for (size_t o = 0; o < outer; o++, y += before + run + after) {
        memset(y, 0, before * sizeof *y);
        memcpy(y + before, (const real *)c->in[0] + o * run, run * sizeof *y);
        memset(y + before + run, 0, after * sizeof *y);
    }
}

/* ---- along an axis */

/* Rows of `inner` elements, of which `count` lie one behind the other along the axis, `outer` times. */
typedef struct lines {
    size_t outer, count, inner;
} lines;

static lines lines_of(const ur__dense_call *c)
{
    const int axis = (int)c->attr[0];
    size_t all = elements_from(c->shape[0], 0);
    if (axis < 0)
        return (lines){1, all, 1};
    size_t inner = elements_from(c->shape[0], axis + 1), count = size_at(c->shape[0], axis);
    return (lines){all / (count * inner), count, inner};
}

static void dense_mean(const ur__dense_call *c)
{
    const lines r = lines_of(c);
    const real *a = (const real *)c->in[0];
    real *y = (real *)c->out;
    for (size_t o = 0; o < r.outer; o++, y += r.inner) {
        memset(y, 0, r.inner * sizeof *y);
        if (r.inner == 1)
            sum_to(r.count, y, a);
        for (size_t i = 0; r.inner > 1 && i < r.count; i++)
            add_to(r.inner, y, a + i * r.inner);
        a += r.count * r.inner;
        INDEPENDENT
        for (size_t j = 0; j < r.inner; j++)
            y[j] /= (real)r.count;
    }
}

static void dense_max_over(const ur__dense_call *c)
{
    const lines r = lines_of(c);
    const real *a = (const real *)c->in[0];
    real *y = (real *)c->out;
    for (size_t o = 0; o < r.outer; o++, y += r.inner) {
        memcpy(y, a, r.inner * sizeof *y);
        a += r.inner;
        for (size_t i = 1; i < r.count; i++, a += r.inner) {
            INDEPENDENT
            for (size_t j = 0; j < r.inner; j++)
                y[j] = a[j] > y[j] || a[j] != a[j] ? a[j] : y[j];
        }
    }
}

/* sqrt(sum (a/s)^2) s with the largest |a| as s: no overflow on the way. As by hypot, an infinity outdoes NaN. */
static void dense_norm(const ur__dense_call *c)
{
    const lines r = lines_of(c);
    const real *a = (const real *)c->in[0];
    real *out = (real *)c->out;
    for (size_t o = 0; o < r.outer; o++, a += r.count * r.inner)
        for (size_t first = 0, n; first < r.inner; first += n, out += n) {
            real scale[UR__TILE] = {0}, *y = out;
            n = r.inner - first < UR__TILE ? r.inner - first : UR__TILE;
            for (size_t i = 0; i < r.count; i++) {
                const real *x = a + i * r.inner + first;
                for (size_t j = 0; j < n; j++)
                    scale[j] = real_abs(x[j]) > scale[j] ? real_abs(x[j]) : scale[j];
            }
            for (size_t j = 0; j < n; j++) {
                scale[j] = scale[j] > 0 ? scale[j] : 1;
                y[j] = 0;
            }
            for (size_t i = 0; i < r.count; i++) {
                const real *x = a + i * r.inner + first;
                INDEPENDENT
                for (size_t j = 0; j < n; j++)
                    y[j] += x[j] / scale[j] * (x[j] / scale[j]);
            }
            map_sqrt(n, y, y, NULL, NULL, NULL);
            INDEPENDENT
            for (size_t j = 0; j < n; j++)
                y[j] = isinf(scale[j]) ? scale[j] : y[j] * scale[j];
        }
}

static void dense_cumsum(const ur__dense_call *c)
{
    const lines r = lines_of(c);
    const bool reverse = c->attr[1] != 0;
    for (size_t o = 0; o < r.outer; o++) {
        const real *before = NULL;
        for (size_t k = 0; k < r.count; k++) {
            size_t at = (o * r.count + (reverse ? r.count - 1 - k : k)) * r.inner;
            const real *a = (const real *)c->in[0] + at;
            real *y = (real *)c->out + at;
            memcpy(y, a, r.inner * sizeof *y);
            if (before)
                add_to(r.inner, y, before);
            before = y;
        }
    }
}

/* The exponents of a row stand one behind another, those that are 0 behind them. */
static void dense_decay(const ur__dense_call *c)
{
    const size_t steps = size_at(c->out_shape, 0), batch = elements_from(c->out_shape, 2), row = steps * batch;
    const real *a = (const real *)c->in[0], *b = (const real *)c->in[1], *w = (const real *)c->in[2];
    real *y = (real *)c->out;
    for (size_t t = 0; t < steps; t++, a += row, y += row) {
        const size_t full = (t + 1) * batch;
        for (size_t j = 0; j < full; j += batch) {
            INDEPENDENT
            for (size_t l = 0; l < batch; l++)
                y[j + l] = b[t * batch + l] - b[j + l] + w[j + l];
        }
        for (size_t i = 0, n; i < full; i += n) {
            n = full - i < UR__TILE ? full - i : UR__TILE;
            map_exp(n, y + i, y + i, NULL, NULL, NULL);
            map_mul(n, y + i, y + i, a + i, NULL, NULL);
        }
        memset(y + full, 0, (row - full) * sizeof *y);
    }
}

/* ---- over the features */

/* The first dimension of the operand are rows, all others columns; n <= UR__TILE of them from `first` on. Where those are
 * all columns, rows follow each other in memory: some of them, `band`, are gone through at once. */
typedef struct features {
    size_t rows, columns, first, n, band;
} features;

static features features_of(const ur__dense_call *c)
{
    size_t rows = size_at(c->shape[0], 0);
    return (features){.rows = rows, .columns = elements_from(c->shape[0], 0) / rows};
}

/* The next columns; false: there are none. */
static bool next_columns(features *f)
{
    f->first += f->n;
    size_t left = f->columns - f->first;
    if (left == 0)
        return false;
    f->n = left < UR__TILE ? left : UR__TILE;
    f->band = f->n == f->columns ? UR__TILE / f->n : 1;
    f->band = f->band < f->rows ? f->band : f->rows;
    return true;
}

/* Rows first.. of a band, and how many elements these have. */
typedef struct band {
    size_t first, n, at; /* at: the first element */
} band;

/* The next band, false after the last; the first one follows {0}. */
static bool next_band(const features *f, band *b)
{
    b->first += b->n / f->n;
    const size_t left = f->rows - b->first;
    b->n = (left < f->band ? left : f->band) * f->n;
    b->at = b->first * f->columns + f->first;
    return left > 0;
}

/* A number for each column stands in every row of a band. */
static void repeat(const features *f, real *column)
{
    const size_t all = f->band * f->n;
    if (f->n == 1)
        fill(all, column, column);
    for (size_t done = f->n, more; f->n > 1 && done < all; done += more) {
        more = done < all - done ? done : all - done;
        memcpy(column + done, column, more * sizeof *column);
    }
}

/* sum[j] += column j of a band of n elements. */
static void add_columns(const features *f, size_t n, const real *a, real *sum)
{
    if (n == f->n)
        add_to(n, sum, a);
    else if (f->n == 1)
        sum_to(n, sum, a);
    else
        sum_rows(n / f->n, f->n, sum, a, (ptrdiff_t)f->n, true);
}

/* The largest element of each column, repeated. */
static void largest_of(const features *f, const real *a, real *largest)
{
    memcpy(largest, a + f->first, f->band * f->n * sizeof *largest);
    for (band b = {0}; next_band(f, &b);)
        for (size_t j = 0; j < b.n; j++)
            largest[j] = a[b.at + j] > largest[j] ? a[b.at + j] : largest[j];
    for (size_t rows = f->band, half; rows > 1; rows = half) {
        half = (rows + 1) / 2;
        for (size_t j = 0; j < (rows - half) * f->n; j++)
            largest[j] = largest[half * f->n + j] > largest[j] ? largest[half * f->n + j] : largest[j];
    }
    repeat(f, largest);
}

/* e = e^(a - largest), of n elements. */
INLINE void exp_below(size_t n, const real *a, const real *largest, real *e)
{
    INDEPENDENT
    for (size_t j = 0; j < n; j++)
        e[j] = a[j] - largest[j];
    map_exp(n, e, e, NULL, NULL, NULL);
}

/* ln sum_i e^(a_i - largest), repeated. */
static void log_sum(const features *f, const real *a, const real *largest, real *sum)
{
    real e[UR__TILE];
    memset(sum, 0, f->n * sizeof *sum);
    for (band b = {0}; next_band(f, &b);) {
        exp_below(b.n, a + b.at, largest, e);
        add_columns(f, b.n, e, sum);
    }
    map_log(f->n, sum, sum, NULL, NULL, NULL);
    repeat(f, sum);
}

static void dense_softmax(const ur__dense_call *c)
{
    const real *a = (const real *)c->in[0];
    real *y = (real *)c->out;
    for (features f = features_of(c); next_columns(&f);) {
        real largest[UR__TILE], sum[UR__TILE] = {0};
        largest_of(&f, a, largest);
        for (band b = {0}; next_band(&f, &b);) {
            exp_below(b.n, a + b.at, largest, y + b.at);
            add_columns(&f, b.n, y + b.at, sum);
        }
        repeat(&f, sum);
        for (band b = {0}; next_band(&f, &b);) {
            INDEPENDENT
            for (size_t j = 0; j < b.n; j++)
                y[b.at + j] /= sum[j];
        }
    }
}

static void dense_log_softmax(const ur__dense_call *c)
{
    const real *a = (const real *)c->in[0];
    real *y = (real *)c->out;
    for (features f = features_of(c); next_columns(&f);) {
        real largest[UR__TILE], sum[UR__TILE];
        largest_of(&f, a, largest);
        log_sum(&f, a, largest, sum);
        for (band b = {0}; next_band(&f, &b);) {
            INDEPENDENT
            for (size_t j = 0; j < b.n; j++)
                y[b.at + j] = a[b.at + j] - largest[j] - sum[j];
        }
    }
}

static void dense_softmax_ce(const ur__dense_call *c)
{
    const real *net = (const real *)c->in[0], *y = (const real *)c->in[1];
    for (features f = features_of(c); next_columns(&f);) {
        real largest[UR__TILE], sum[UR__TILE], terms[UR__TILE], *error = (real *)c->out + f.first;
        largest_of(&f, net, largest);
        log_sum(&f, net, largest, sum);
        memset(error, 0, f.n * sizeof *error);
        for (band b = {0}; next_band(&f, &b);) {
            INDEPENDENT
            for (size_t j = 0; j < b.n; j++)
                terms[j] = y[b.at + j] * (sum[j] - (net[b.at + j] - largest[j]));
            add_columns(&f, b.n, terms, error);
        }
    }
}

static void dense_layer_norm(const ur__dense_call *c)
{
    const real *a = (const real *)c->in[0];
    real *y = (real *)c->out;
    for (features f = features_of(c); next_columns(&f);) {
        const real share = 1 / (real)f.rows;
        real mean[UR__TILE] = {0}, deviation[UR__TILE] = {0}, terms[UR__TILE];
        for (band b = {0}; next_band(&f, &b);) {
            INDEPENDENT
            for (size_t j = 0; j < b.n; j++)
                terms[j] = a[b.at + j] * share;
            add_columns(&f, b.n, terms, mean);
        }
        repeat(&f, mean);
        for (band b = {0}; next_band(&f, &b);) {
            INDEPENDENT
            for (size_t j = 0; j < b.n; j++)
                terms[j] = (a[b.at + j] - mean[j]) * (a[b.at + j] - mean[j]) * share;
            add_columns(&f, b.n, terms, deviation);
        }
        for (size_t j = 0; j < f.n; j++)
            deviation[j] += REAL(UR__LAYER_NORM_EPSILON);
        map_sqrt(f.n, deviation, deviation, NULL, NULL, NULL);
        repeat(&f, deviation);
        for (band b = {0}; next_band(&f, &b);) {
            INDEPENDENT
            for (size_t j = 0; j < b.n; j++)
                y[b.at + j] = (a[b.at + j] - mean[j]) / deviation[j];
        }
    }
}
