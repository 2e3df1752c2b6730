/* product.h - products of packed matrices: C = bias + sum of A_t X_t. */

static size_t panel_of(size_t m, size_t n)
{
    (void)m, (void)n;
    return 4;
}

static size_t packed_elements(size_t panel, size_t m, size_t k)
{
    return (m + panel - 1) / panel * panel * k;
}

/* Element (i, q) lies at panel i/panel, column q, row i mod panel of it. */
static void pack(size_t panel, size_t first, size_t m, size_t k, const void *a_, size_t a_stride, bool a_transposed,
                 void *packed_)
{
    const real *a = (const real *)a_;
    real *packed = (real *)packed_;
    for (size_t i = 0; i < m; i++) {
        size_t row = first + i;
        real *to = packed + row / panel * panel * k + row % panel;
        for (size_t q = 0; q < k; q++)
            to[q * panel] = a_transposed ? a[q * a_stride + i] : a[i * a_stride + q];
    }
}

static void packed_product(size_t panel, size_t m, size_t n, size_t terms, const ur__term *term, const void *bias_,
                           bool add, void *c_, size_t c_stride)
{
    const real *bias = (const real *)bias_;
    real *c = (real *)c_;
    for (size_t i = 0; i < m; i++)
        for (size_t j = 0; j < n; j++) {
            real sum = add ? c[i * c_stride + j] : bias ? bias[i] : 0;
            for (size_t t = 0; t < terms; t++) {
                size_t k = term[t].k;
                const real *a = (const real *)term[t].a + i / panel * panel * k + i % panel;
                const real *x = (const real *)term[t].x;
                for (size_t q = 0; q < k; q++)
                    sum += a[q * panel] * x[q * term[t].x_stride + j];
            }
            c[i * c_stride + j] = sum;
        }
}

static void product_narrow(size_t m, size_t n, size_t terms, const ur__term *term, const void *bias_, bool add,
                           void *c_, size_t c_stride)
{
    const real *bias = (const real *)bias_;
    real *c = (real *)c_;
    for (size_t i = 0; i < m; i++)
        for (size_t j = 0; j < n; j++) {
            real sum = add ? c[i * c_stride + j] : bias ? bias[i] : 0;
            for (size_t t = 0; t < terms; t++) {
                const real *a = (const real *)term[t].a, *x = (const real *)term[t].x;
                size_t stride = term[t].a_stride;
                for (size_t q = 0; q < term[t].k; q++)
                    sum += (term[t].a_transposed ? a[q * stride + i] : a[i * stride + q]) * x[q * term[t].x_stride + j];
            }
            c[i * c_stride + j] = sum;
        }
}
