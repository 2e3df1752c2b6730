/* gemm.h - the matrix product of kernels.c: register blocks of vectors along the batch.
 *
 * Products with B as it lies keep a block of C, ROWS x COLUMNS vectors, in registers while k runs; products with B
 * transposed, the gradients of weights, keep a block of sums of vectors and add their lanes at the end. The order of
 * summation over k is that of k for every element (by lanes in the second case), however the blocks are cut. */

enum { ROWS = 4, COLUMNS = 4, DOTS = 4 };
/* One matrix as the product reads it: element (i, q) of op(A) is at[i * row + q * column]. */
typedef struct operand {
    const real *at;
    size_t row, column;
} operand;

/* C[rows][columns * LANES] = op(A) B; `c` and `b` have rows of n. */
INLINE void block(size_t rows, size_t columns, size_t k, operand a, const real *b, size_t n, real *c)
{
    vec sum[ROWS][COLUMNS] = {{{0}}};
    for (size_t q = 0; q < k; q++) {
        vec x[COLUMNS];
        for (size_t v = 0; v < columns; v++)
            x[v] = load(b + q * n + v * LANES);
        for (size_t r = 0; r < rows; r++) {
            real w = a.at[r * a.row + q * a.column];
            for (size_t v = 0; v < columns; v++)
                sum[r][v] += w * x[v];
        }
    }
    for (size_t r = 0; r < rows; r++)
        for (size_t v = 0; v < columns; v++)
            *(vec *)(c + r * n + v * LANES) = sum[r][v];
}

/* `rows` rows of C from column j on: blocks of 4, 2 and 1 vectors, then what is less than a vector. */
INLINE void rows_of(size_t rows, size_t n, size_t k, operand a, const real *b, real *c)
{
    size_t j = 0;
    for (; j + 4 * LANES <= n; j += 4 * LANES)
        block(rows, 4, k, a, b + j, n, c + j);
    if (j + 2 * LANES <= n) {
        block(rows, 2, k, a, b + j, n, c + j);
        j += 2 * LANES;
    }
    if (j + LANES <= n) {
        block(rows, 1, k, a, b + j, n, c + j);
        j += LANES;
    }
    for (; j < n; j++)
        for (size_t r = 0; r < rows; r++) {
            real sum = 0;
            for (size_t q = 0; q < k; q++)
                sum += a.at[r * a.row + q * a.column] * b[q * n + j];
            c[r * n + j] = sum;
        }
}

/* C = op(A) B */
static void product(size_t m, size_t n, size_t k, operand a, const real *b, real *c)
{
    size_t i = 0;
    for (; i + ROWS <= m; i += ROWS, a.at += ROWS * a.row)
        rows_of(ROWS, n, k, a, b, c + i * n);
    for (; i < m; i++, a.at += a.row)
        rows_of(1, n, k, a, b, c + i * n);
}

/* C[rows][columns] = A B^T, both with rows of k; `c` has rows of n. */
INLINE void dots(size_t rows, size_t columns, size_t k, const real *a, const real *b, size_t n, real *c)
{
    vec sum[DOTS][DOTS] = {{{0}}};
    size_t q = 0;
    for (; q + LANES <= k; q += LANES)
        for (size_t r = 0; r < rows; r++) {
            vec x = load(a + r * k + q);
            for (size_t s = 0; s < columns; s++)
                sum[r][s] += x * load(b + s * k + q);
        }
    for (size_t r = 0; r < rows; r++)
        for (size_t s = 0; s < columns; s++) {
            real total = sum_lanes(sum[r][s]);
            for (size_t p = q; p < k; p++)
                total += a[r * k + p] * b[s * k + p];
            c[r * n + s] = total;
        }
}

/* C = A B^T */
static void product_of_rows(size_t m, size_t n, size_t k, const real *a, const real *b, real *c)
{
    size_t i = 0;
    for (; i + DOTS <= m; i += DOTS) {
        size_t j = 0;
        for (; j + DOTS <= n; j += DOTS)
            dots(DOTS, DOTS, k, a + i * k, b + j * k, n, c + i * n + j);
        for (; j < n; j++)
            dots(DOTS, 1, k, a + i * k, b + j * k, n, c + i * n + j);
    }
    for (; i < m; i++)
        for (size_t j = 0; j < n; j++)
            dots(1, 1, k, a + i * k, b + j * k, n, c + i * n + j);
}

/* C = A^T B^T, element by element: no cell needs it. */
static void product_transposed(size_t m, size_t n, size_t k, const real *a, const real *b, real *c)
{
    for (size_t i = 0; i < m; i++)
        for (size_t j = 0; j < n; j++) {
            real sum = 0;
            for (size_t q = 0; q < k; q++)
                sum += a[q * m + i] * b[j * k + q];
            c[i * n + j] = sum;
        }
}

/* A vector is its own transpose; a product with one runs along the rows of the matrix. */
static void matmul(size_t m, size_t n, size_t k, const void *a_, bool a_transposed, const void *b_, bool b_transposed,
                   void *c_)
{
    const real *a = (const real *)a_, *b = (const real *)b_;
    real *c = (real *)c_;
    a_transposed = a_transposed && m > 1 && k > 1;
    b_transposed = b_transposed && n > 1 && k > 1;
    if (n == 1 && a_transposed)
        product(1, m, k, (operand){.at = b, .row = k, .column = 1}, a, c);
    else if (n == 1 && k >= LANES)
        product_of_rows(m, 1, k, a, b, c);
    else if (m == 1 && b_transposed)
        product_of_rows(n, 1, k, b, a, c);
    else if (!b_transposed)
        product(m, n, k, (operand){.at = a, .row = a_transposed ? 1 : k, .column = a_transposed ? m : 1}, b, c);
    else if (!a_transposed)
        product_of_rows(m, n, k, a, b, c);
    else
        product_transposed(m, n, k, a, b, c);
}
