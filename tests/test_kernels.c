/* test_kernels.c - the fast kernels of every instruction set that the processor has, in both types, against plain loops
 * in double: products, contractions, functions of one element, and every operation's kernel against its specification.
 * What lies outside of the results stays, and what lies outside of the operands, NaN here, is not read. */
#include <stdlib.h>
#include <string.h>

#include "../graph/kernels.h"
#include "../ops/ops.h"
#include "support.h"

extern const ur__kernels ur__kernels_f32_portable, ur__kernels_f64_portable;
#if defined(__x86_64__)
extern const ur__kernels ur__kernels_f32_avx2, ur__kernels_f64_avx2, ur__kernels_f32_avx512, ur__kernels_f64_avx512;
#endif

typedef struct table {
    const ur__kernels *kernels;
    const char *name;
    ur_dtype dtype;
} table;

enum { TABLES = 6 };

/* Table i; its kernels are NULL where the processor lacks the instruction set. */
static table table_of(int i)
{
    table none = {NULL, "", UR_F32};
    if (i < 2)
        return i == 0 ? (table){&ur__kernels_f32_portable, "f32 portable", UR_F32}
                      : (table){&ur__kernels_f64_portable, "f64 portable", UR_F64};
#if defined(__x86_64__)
    if (i < 4 && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        return i == 2 ? (table){&ur__kernels_f32_avx2, "f32 avx2", UR_F32}
                      : (table){&ur__kernels_f64_avx2, "f64 avx2", UR_F64};
    if (i >= 4 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("fma"))
        return i == 4 ? (table){&ur__kernels_f32_avx512, "f32 avx512", UR_F32}
                      : (table){&ur__kernels_f64_avx512, "f64 avx512", UR_F64};
#endif
    return none;
}

/* ---- arrays of either type */

/* ck_assert_msg, but quick where the condition holds: Check writes to a file at each of its own. */
#define EXPECT(condition, ...)                                                                                         \
    do                                                                                                                 \
        if (!(condition))                                                                                              \
            ck_abort_msg(__VA_ARGS__);                                                                                 \
    while (0)

typedef struct array {
    ur_dtype dtype;
    size_t n;
    void *data;
} array;

static double get(array a, size_t i)
{
    EXPECT(i < a.n, "element %zu of %zu", i, a.n);
    return a.dtype == UR_F32 ? (double)((float *)a.data)[i] : ((double *)a.data)[i];
}

static void put(array a, size_t i, double v)
{
    EXPECT(i < a.n, "element %zu of %zu", i, a.n);
    if (a.dtype == UR_F32)
        ((float *)a.data)[i] = (float)v;
    else
        ((double *)a.data)[i] = v;
}

static const void *at(array a, size_t i)
{
    return (const char *)a.data + i * ur_dtype_bytes(a.dtype);
}

static array array_of(ur_dtype dtype, size_t n, double v)
{
    EXPECT(n < SIZE_MAX / 16, "an array of %zu elements", n);
    array a = {dtype, n, malloc((n + 1) * ur_dtype_bytes(dtype))};
    ck_assert_ptr_nonnull(a.data);
    for (size_t i = 0; i < n; i++)
        put(a, i, v);
    return a;
}

static double random_value(void)
{
    static uint64_t count;
    return 2 * ur_random(3, "kernels", count++) - 1;
}

/* A matrix [rows,n] of random values with rows of `stride` elements; between the rows there is NaN. */
static array matrix_of(ur_dtype dtype, size_t rows, size_t n, size_t stride)
{
    array a = array_of(dtype, rows * stride + 1, NAN);
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < n; j++)
            put(a, i * stride + j, random_value());
    return a;
}

static double epsilon(ur_dtype dtype)
{
    return dtype == UR_F32 ? 0x1p-23 : 0x1p-52;
}

/* |y - sum| is at most eps (terms + 2) times the sum of sizes. */
static void assert_sum(table t, double y, double sum, double size, size_t terms, const char *what)
{
    double bound = epsilon(t.dtype) * (double)(terms + 2) * size;
    EXPECT(fabs(y - sum) <= bound, "%s, %s: %.9g instead of %.9g", t.name, what, y, sum);
}

/* ---- products */

enum { TERMS = 3 };
static const double guard = 12345;

typedef struct product_case {
    size_t m, n, terms, k[TERMS], gap;
    bool transposed[TERMS], bias, add;
} product_case;

/* A case with its operands, C, and what C was before. */
typedef struct product_run {
    const product_case *q;
    size_t stride, panel, depth;
    array a[TERMS], x[TERMS], packed[TERMS], bias, c, before;
    ur__term term[TERMS];
    char what[128];
} product_run;

typedef enum product_form { WIDE, NARROW, NARROW_PACKED } product_form;

static void add_term(table t, product_run *p, size_t index, product_form form)
{
    const product_case *q = p->q;
    const bool transposed = q->transposed[index];
    size_t k = q->k[index], rows = transposed ? k : q->m, width = transposed ? q->m : k, a_stride = width + q->gap;
    array a = matrix_of(t.dtype, rows, width, a_stride), x = matrix_of(t.dtype, k, q->n, p->stride);
    array packed = array_of(t.dtype, t.kernels->packed_elements(p->panel, q->m, k), 0);
    size_t first = q->m / 3, skip = transposed ? first : first * a_stride; /* in two parts, as stacked matrices are */
    if (form == WIDE) {
        t.kernels->pack(p->panel, 0, first, k, a.data, a_stride, transposed, packed.data);
        t.kernels->pack(p->panel, first, q->m - first, k, at(a, skip), a_stride, transposed, packed.data);
    } else if (form == NARROW_PACKED) {
        t.kernels->pack_narrow(q->m, 0, first, k, a.data, a_stride, transposed, packed.data);
        t.kernels->pack_narrow(q->m, first, q->m - first, k, at(a, skip), a_stride, transposed, packed.data);
    }
    p->depth += k;
    p->a[index] = a;
    p->x[index] = x;
    p->packed[index] = packed;
    p->term[index] = (ur__term){.a = form == NARROW ? a.data : packed.data,
                                .x = x.data,
                                .k = k,
                                .x_stride = p->stride,
                                .a_stride = a_stride,
                                .a_packed = form == NARROW_PACKED,
                                .a_transposed = transposed};
}

/* Element (i, j) of the product is C's. */
static void assert_element(table t, const product_run *p, size_t i, size_t j)
{
    const product_case *q = p->q;
    double sum = q->add ? get(p->before, i * p->stride + j) : q->bias ? get(p->bias, i) : 0, size = fabs(sum);
    for (size_t k = 0; k < q->terms; k++)
        for (size_t l = 0; l < q->k[k]; l++) {
            size_t a_stride = p->term[k].a_stride;
            double w = get(p->a[k], q->transposed[k] ? l * a_stride + i : i * a_stride + l);
            sum += w * get(p->x[k], l * p->stride + j);
            size += fabs(w * get(p->x[k], l * p->stride + j));
        }
    assert_sum(t, get(p->c, i * p->stride + j), sum, size, p->depth, p->what);
}

static void assert_product(table t, const product_run *p)
{
    for (size_t i = 0; i < p->q->m; i++) {
        for (size_t j = 0; j < p->q->n; j++)
            assert_element(t, p, i, j);
        for (size_t j = p->q->n; j < p->stride; j++)
            EXPECT(get(p->c, i * p->stride + j) == guard, "%s, %s: wrote past its row", t.name, p->what);
    }
    for (size_t i = p->q->m * p->stride; i < p->c.n; i++)
        EXPECT(get(p->c, i) == guard, "%s, %s: wrote past its end", t.name, p->what);
}

/* The same columns by two calls: the same bits. */
static void assert_same_by_halves(table t, const product_run *p, const void *start)
{
    const product_case *q = p->q;
    array again = array_of(t.dtype, q->m * p->stride, 0);
    memcpy(again.data, p->before.data, p->before.n * ur_dtype_bytes(t.dtype));
    size_t n1 = q->n / 2;
    t.kernels->product(p->panel, q->m, n1, q->terms, p->term, start, q->add, again.data, p->stride);
    ur__term right[TERMS];
    for (size_t k = 0; k < q->terms; k++) {
        right[k] = p->term[k];
        right[k].x = at(p->x[k], n1);
    }
    t.kernels->product(p->panel, q->m, q->n - n1, q->terms, right, start, q->add,
                       (char *)again.data + n1 * ur_dtype_bytes(t.dtype), p->stride);
    for (size_t i = 0; i < q->m; i++)
        EXPECT(memcmp(at(again, i * p->stride), at(p->c, i * p->stride), q->n * ur_dtype_bytes(t.dtype)) == 0,
               "%s, %s: other bits by other columns", t.name, p->what);
    free(again.data);
}

static size_t depth_of(const product_case *q)
{
    size_t depth = 0;
    for (size_t k = 0; k < q->terms; k++)
        depth += q->k[k];
    return depth;
}

static void one_product(table t, const product_case *q, product_form form)
{
    product_run p = {.q = q, .stride = q->n + q->gap, .panel = form ? 1 : t.kernels->panel(q->m, depth_of(q))};
    static const char *const names[] = {"product", "narrow product", "packed narrow product"};
    snprintf(p.what, sizeof p.what, "%s [%zu,%zu] of %zu terms, k %zu", names[form], q->m, q->n, q->terms, q->k[0]);
    p.bias = matrix_of(t.dtype, 1, q->m, q->m);
    p.c = array_of(t.dtype, q->m * p.stride + 64, guard);
    p.before = array_of(t.dtype, q->m * p.stride, 0);
    for (size_t k = 0; k < q->terms; k++)
        add_term(t, &p, k, form);
    for (size_t i = 0; i < q->m; i++)
        for (size_t j = 0; j < q->n; j++) {
            put(p.c, i * p.stride + j, q->add ? random_value() : NAN);
            put(p.before, i * p.stride + j, get(p.c, i * p.stride + j));
        }
    const void *start = q->bias ? p.bias.data : NULL;
    if (form != WIDE)
        t.kernels->product_narrow(q->m, q->n, q->terms, p.term, start, q->add, p.c.data, p.stride);
    else
        t.kernels->product(p.panel, q->m, q->n, q->terms, p.term, start, q->add, p.c.data, p.stride);
    assert_product(t, &p);
    if (form == WIDE && q->n > 8)
        assert_same_by_halves(t, &p, start);
    for (size_t k = 0; k < q->terms; k++) {
        free(p.a[k].data);
        free(p.x[k].data);
        free(p.packed[k].data);
    }
    free(p.bias.data);
    free(p.c.data);
    free(p.before.data);
}

static const size_t sizes[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 13, 16, 17, 20, 31, 37, 64, 65, 130};
enum { SIZES = sizeof sizes / sizeof sizes[0] };

/* The case number `v` of sizes m and n: what else there is varies with it. */
static product_case case_of(size_t m, size_t n, size_t v)
{
    return (product_case){.m = m,
                          .n = n,
                          .terms = 1 + v % TERMS,
                          .k = {sizes[v * 7 % SIZES], sizes[v * 5 % SIZES], sizes[v * 11 % SIZES]},
                          .gap = v % 2 * 5,
                          .transposed = {v % 3 == 0, v % 5 < 2, v % 7 < 3},
                          .bias = v % 4 == 1 || v % 4 == 3,
                          .add = v % 4 == 2};
}

START_TEST(products)
{
    table t = table_of(_i);
    if (!t.kernels)
        return;
    size_t v = 0;
    for (size_t i = 0; i < SIZES; i++)
        for (size_t j = 0; j < SIZES; j++, v++) {
            product_case p = case_of(sizes[i], sizes[j] + 7, v);
            one_product(t, &p, WIDE);
        }
    one_product(t, &(product_case){.m = 13, .n = 49, .terms = 3, .k = {300, 700, 513}, .bias = true}, WIDE);
    one_product(t, &(product_case){.m = 5, .n = 80, .terms = 1, .k = {1024}, .add = true, .gap = 3}, WIDE);
    one_product(t, &(product_case){.m = 17, .n = 33, .terms = 2, .k = {512, 1}}, WIDE);
    for (size_t n = 8; n < 24; n++) /* large matrices */
        one_product(t,
                    &(product_case){.m = 120 + n, .n = n, .terms = 3, .k = {70, 300, 257}, .gap = n % 3, .bias = n % 2},
                    WIDE);
    for (v = 0; v < 2; v++) /* several parts, pieces that begin within a pass */
        one_product(t,
                    &(product_case){.m = 269, .n = 75, .terms = 3, .k = {300, 7, 290}, .gap = v, .bias = v, .add = !v},
                    WIDE);
    one_product(t, &(product_case){.m = 66, .n = 16, .terms = 2, .k = {511, 1}, .add = true}, WIDE);
    one_product(t, &(product_case){.m = 71, .n = 9, .terms = 1, .k = {256}, .transposed = {true}}, WIDE);
}
END_TEST

static void both_narrow(table t, product_case q)
{
    one_product(t, &q, NARROW);
    one_product(t, &q, NARROW_PACKED);
}

START_TEST(narrow_products)
{
    table t = table_of(_i);
    if (!t.kernels)
        return;
    size_t v = 0;
    for (size_t i = 0; i < SIZES; i++)
        for (size_t n = 1; n < UR__NARROW; n++, v++)
            both_narrow(t, case_of(sizes[i], n, v));
    both_narrow(t, (product_case){.m = 300, .n = 1, .terms = 2, .k = {257, 64}, .bias = true});
    both_narrow(t, (product_case){.m = 300, .n = 1, .terms = 2, .k = {257, 64}, .transposed = {true, true}});
}
END_TEST

/* ---- contractions */

enum { MATRICES = 2, STRETCHES = 3 };

typedef struct contraction_case {
    size_t rows, m, n, matrices, steps[STRETCHES];
    bool unequal, ones;
} contraction_case;

/* A case with its operands: those of step s begin at element s a_size and s b_size, and have columns[s] columns; turned[s]
 * is the same in the order in which the stretches go. */
typedef struct contraction_run {
    const contraction_case *q;
    size_t rows, stride, steps, a_size, b_size;
    array a, b[MATRICES], out[MATRICES];
    uint32_t *columns, *turned;
    ur__stretch stretch[STRETCHES];
    const void *bs[STRETCHES][MATRICES];
    ptrdiff_t b_step[STRETCHES][MATRICES];
    size_t b_stride[STRETCHES][MATRICES];
    char what[128];
} contraction_run;

/* Random values where columns are active; NaN elsewhere. */
static void fill_step(contraction_run *r, size_t s)
{
    for (size_t j = 0; j < r->columns[s]; j++) {
        for (size_t i = 0; i < r->q->rows; i++)
            put(r->a, s * r->a_size + i * r->stride + j, random_value());
        for (size_t g = 0; g < r->q->matrices; g++)
            for (size_t i = 0; i < r->q->m; i++)
                put(r->b[g], s * r->b_size + i * r->stride + j, random_value());
    }
}

/* Stretch s, of steps first.., forwards or backwards. */
static void set_stretch(contraction_run *r, size_t s, size_t first, bool back)
{
    const contraction_case *q = r->q;
    size_t start = back ? first + q->steps[s] - 1 : first;
    for (size_t l = 0; l < q->steps[s]; l++)
        r->turned[first + l] = r->columns[back ? start - l : start + l];
    for (size_t g = 0; g < q->matrices; g++) {
        r->bs[s][g] = at(r->b[g], start * r->b_size);
        r->b_step[s][g] = back ? -(ptrdiff_t)r->b_size : (ptrdiff_t)r->b_size;
        r->b_stride[s][g] = r->stride;
    }
    r->stretch[s] = (ur__stretch){.steps = q->steps[s],
                                  .columns = q->unequal ? r->turned + first : NULL,
                                  .a = q->ones ? NULL : at(r->a, start * r->a_size),
                                  .a_step = back ? -(ptrdiff_t)r->a_size : (ptrdiff_t)r->a_size,
                                  .a_stride = r->stride,
                                  .b = r->bs[s],
                                  .b_step = r->b_step[s],
                                  .b_stride = r->b_stride[s]};
}

static void contract_guarded(table t, contraction_run *r)
{
    void *outs[MATRICES];
    for (size_t g = 0; g < r->q->matrices; g++)
        outs[g] = r->out[g].data;
    ur__contraction c = {.rows = r->rows,
                         .m = r->q->m,
                         .n = r->q->n,
                         .matrices = r->q->matrices,
                         .stretches = STRETCHES,
                         .stretch = r->stretch,
                         .out = outs};
    ur__contraction wide = c; /* the room is that of the widest block of a batch */
    wide.n += 100;
    const size_t needed = t.kernels->contraction_room(&wide), room_bytes = (needed + 63) / 64 * 64 + 4096;
    unsigned char *room = (unsigned char *)aligned_alloc(64, room_bytes);
    ck_assert_ptr_nonnull(room);
    memset(room, 0xff, room_bytes);
    t.kernels->contract(&c, room);
    for (size_t i = needed; i < room_bytes; i++)
        EXPECT(room[i] == 0xff, "%s: a contraction wrote past its room", t.name);
    free(room);
}

/* Element (i, j) of result g. */
static void assert_contracted(table t, const contraction_run *r, size_t g, size_t i, size_t j)
{
    double sum = 0, size = 0;
    size_t terms = 0;
    for (size_t s = 0; s < r->steps; s++)
        for (size_t l = 0; l < r->columns[s]; l++, terms++) {
            double v = (r->q->ones ? 1 : get(r->a, s * r->a_size + i * r->stride + l)) *
                       get(r->b[g], s * r->b_size + j * r->stride + l);
            sum += v;
            size += fabs(v);
        }
    assert_sum(t, get(r->out[g], i * r->q->m + j), sum, size, terms, r->what);
}

static void assert_contraction(table t, const contraction_run *r, size_t g)
{
    for (size_t i = 0; i < r->rows; i++)
        for (size_t j = 0; j < r->q->m; j++)
            assert_contracted(t, r, g, i, j);
    for (size_t i = r->rows * r->q->m; i < r->out[g].n; i++)
        EXPECT(get(r->out[g], i) == guard, "%s, %s: wrote past its end", t.name, r->what);
}

static void one_contraction(table t, const contraction_case *q)
{
    contraction_run r = {.q = q, .rows = q->ones ? 1 : q->rows, .stride = q->n == 1 ? 1 : q->n + 3};
    snprintf(r.what, sizeof r.what, "contraction [%zu,%zu] over %zu columns", r.rows, q->m, q->n);
    for (size_t s = 0; s < STRETCHES; s++)
        r.steps += q->steps[s];
    r.a_size = q->rows * r.stride + 5;
    r.b_size = q->m * r.stride + 2;
    r.a = matrix_of(t.dtype, 1, 0, r.steps * r.a_size);
    for (size_t g = 0; g < q->matrices; g++) {
        r.b[g] = matrix_of(t.dtype, 1, 0, r.steps * r.b_size);
        r.out[g] = array_of(t.dtype, r.rows * q->m + 8, guard);
    }
    r.columns = (uint32_t *)calloc(r.steps + 1, sizeof *r.columns);
    r.turned = (uint32_t *)calloc(r.steps + 1, sizeof *r.turned);
    ck_assert(r.columns && r.turned);
    for (size_t s = 0; s < r.steps; s++) {
        r.columns[s] = (uint32_t)(q->unequal ? q->n - q->n * s / r.steps : q->n);
        fill_step(&r, s);
    }
    for (size_t s = 0, first = 0; s < STRETCHES; first += q->steps[s++])
        set_stretch(&r, s, first, s == 1 && q->steps[s] > 0);
    contract_guarded(t, &r);
    for (size_t g = 0; g < q->matrices; g++) {
        assert_contraction(t, &r, g);
        free(r.b[g].data);
        free(r.out[g].data);
    }
    free(r.a.data);
    free(r.columns);
    free(r.turned);
}

START_TEST(contractions)
{
    table t = table_of(_i);
    if (!t.kernels)
        return;
    size_t v = 0;
    for (size_t i = 0; i < SIZES; i += 2)
        for (size_t j = 0; j < SIZES; j++, v++)
            one_contraction(t, &(contraction_case){.rows = sizes[i],
                                                   .m = sizes[j],
                                                   .n = sizes[v * 5 % SIZES],
                                                   .matrices = 1 + v % MATRICES,
                                                   .steps = {v % 4, v % 3, v % 5},
                                                   .unequal = v % 2,
                                                   .ones = v % 7 == 0});
    one_contraction(t, &(contraction_case){130, 65, 33, 2, {12, 7, 9}, true, false}); /* outer products */
    one_contraction(t, &(contraction_case){65, 130, 20, 1, {30, 0, 19}, true, false});
    one_contraction(t, &(contraction_case){7, 41, 9, 1, {40, 3, 0}, true, false}); /* one vector by many rows */
    one_contraction(t, &(contraction_case){200, 7, 9, 1, {40, 3, 0}, false, false});
    one_contraction(t, &(contraction_case){16, 88, 32, 2, {20, 0, 3}, false, false});
    one_contraction(t, &(contraction_case){20, 20, 32, 2, {20, 2, 3}, true, false});
    one_contraction(t, &(contraction_case){15, 61, 1, 2, {200, 3, 190}, false, false}); /* one column, in chunks */
    one_contraction(t, &(contraction_case){7, 8, 1, 1, {0, 0, 0}, false, false});
    one_contraction(t, &(contraction_case){1, 21, 1, 2, {2, 250, 0}, true, true});
    one_contraction(t, &(contraction_case){70, 100, 900, 2, {1, 0, 1}, false, false}); /* steps in parts */
    one_contraction(t, &(contraction_case){3, 5, 9000, 1, {1, 1, 0}, true, false});
    one_contraction(t, &(contraction_case){1, 40, 5000, 2, {2, 1, 0}, true, true});
}
END_TEST

/* ---- functions */

/* A function's kernel against a reference of more digits: for f32 in double, for f64 in long double. The bounds are those
 * that ops/kernels/functions.h states, in units of the last place; 0: not tested in that type. */
typedef struct function {
    int kernel;
    const char *name;
    double (*exact)(double x);
    long double (*exact_long)(long double x);
    double bound_f32, bound_f64, range; /* f64 is tested in -range..range too */
} function;

static double sigmoid(double x)
{
    return x < 0 ? exp(x) / (1 + exp(x)) : 1 / (1 + exp(-x));
}

static long double sigmoid_long(long double x)
{
    return x < 0 ? expl(x) / (1 + expl(x)) : 1 / (1 + expl(-x));
}

static double softplus(double x)
{
    return (x > 0 ? x : 0) + log1p(exp(-fabs(x)));
}

static long double softplus_long(long double x)
{
    return (x > 0 ? x : 0) + log1pl(expl(-fabsl(x)));
}

static double log_sigmoid(double x)
{
    return (x < 0 ? x : 0) - log1p(exp(-fabs(x)));
}

static long double log_sigmoid_long(long double x)
{
    return (x < 0 ? x : 0) - log1pl(expl(-fabsl(x)));
}

static double gelu(double x)
{
    return 0.5 * x * erfc(-x * 0.7071067811865476);
}

static const function functions[] = {
    {UR__EXP, "exp", exp, expl, 1.5, 1.5, 760},
    {UR__LOG, "log", log, logl, 1.5, 1.5, 4},
    {UR__SIGMOID, "sigmoid", sigmoid, sigmoid_long, 3, 3, 720},
    {UR__TANH, "tanh", tanh, tanhl, 3, 3, 20},
    {UR__SOFTPLUS, "softplus", softplus, softplus_long, 3, 3, 40},
    {UR__LOG_SIGMOID, "log_sigmoid", log_sigmoid, log_sigmoid_long, 3, 3, 40},
    {UR__GELU, "gelu", gelu, NULL, 8, 0, 0},
};

/* |y - exact| in units of the last place of `exact` rounded to the type; results below the smallest normal number may be
 * off by it. */
static double ulps(ur_dtype dtype, double y, long double exact)
{
    long double smallest = dtype == UR_F32 ? 0x1p-126L : 0x1p-1022L;
    double rounded = dtype == UR_F32 ? (double)(float)exact : (double)exact;
    if (isnan(rounded) || isnan(y))
        return isnan(rounded) && isnan(y) ? 0 : INFINITY;
    if (isinf(rounded) || isinf(y))
        return rounded == y ? 0 : INFINITY;
    if (fabsl(exact) < smallest)
        return fabsl((long double)y - exact) <= smallest ? 0 : INFINITY;
    int exponent;
    (void)frexpl(exact, &exponent);
    return (double)ldexpl(fabsl((long double)y - exact), (dtype == UR_F32 ? 24 : 53) - exponent);
}

/* Sample s: bit patterns from end to end of the type, every other one in f64 a number of the range. */
static double sample_of(ur_dtype dtype, uint64_t s, double range)
{
    if (dtype == UR_F32) {
        uint32_t bits = (uint32_t)(s * 4099);
        float x;
        memcpy(&x, &bits, sizeof x);
        return (double)x;
    }
    if (s % 2)
        return range * random_value();
    uint64_t bits = s * 0x00003ffffffff001;
    double x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

START_TEST(accuracy)
{
    table t = table_of(_i);
    if (!t.kernels)
        return;
    static const double special[] = {0,         -0.0,     INFINITY,  -INFINITY, NAN, 0x1p-149,
                                     -0x1p-149, 0x1p-126, -0x1p-126, 1,         -1};
    enum { BLOCK = 251, SPECIAL = sizeof special / sizeof special[0] }; /* no whole number of vectors */
    const uint64_t samples = t.dtype == UR_F32 ? (UINT64_C(1) << 32) / 4099 : 400000;
    array x = array_of(t.dtype, BLOCK, 0), y = array_of(t.dtype, BLOCK + 1, guard);
    for (size_t f = 0; f < sizeof functions / sizeof functions[0]; f++) {
        const function *q = &functions[f];
        double bound = t.dtype == UR_F32 ? q->bound_f32 : q->bound_f64, most = 0, where = 0;
        for (uint64_t s = 0; s < samples && bound > 0; s += BLOCK) {
            for (size_t i = 0; i < BLOCK; i++)
                put(x, i, s == 0 && i < SPECIAL ? special[i] : sample_of(t.dtype, s + i, q->range));
            t.kernels->map[q->kernel](BLOCK, y.data, x.data, NULL, NULL, NULL);
            for (size_t i = 0; i < BLOCK; i++) {
                double v = get(x, i);
                long double exact = t.dtype == UR_F32 ? (long double)q->exact(v) : q->exact_long((long double)v);
                double error = ulps(t.dtype, get(y, i), exact);
                if (error > most)
                    most = error, where = v;
            }
        }
        EXPECT(get(y, BLOCK) == guard, "%s, %s: wrote past its end", t.name, q->name);
        EXPECT(most <= bound, "%s, %s: %g ulp at %a = %g", t.name, q->name, most, where, where);
    }
    free(x.data);
    free(y.data);
}
END_TEST

/* ---- every operation's kernel against its specification */

static const double grid[] = {0,    -0.0,   1,   -1,      0.5,     -0.5,     0.25,     2,         -2,
                              1e-3, -1e-3,  3.7, -3.7,    10.3,    -17,      40,       -60,       87.5,
                              -90,  -91.15, 1e4, 0x1p-60, 0x1p100, -0x1p100, INFINITY, -INFINITY, NAN};
enum { GRID = sizeof grid / sizeof grid[0] };

/* What the terms of a sum that cancel amount to. */
static double size_of(int kernel, const double *in)
{
    if (kernel == UR__BCE_NET)
        return fabs(in[0]) + fabs(in[0] * in[1]);
    if (kernel == UR__BCE)
        return in[0] > 0 && in[0] < 1 ? fabs(in[1] * log(in[0])) + fabs((1 - in[1]) * log1p(-in[0])) : 0;
    return 0;
}

/* An element is the same to the bit whether it is computed in a tile, which y has, or by itself: results do not depend on
 * how a batch is cut. */
static void assert_same_alone(table t, const ur_op *op, const array *in, array y)
{
    const size_t bytes = ur_dtype_bytes(t.dtype);
    for (size_t i = 0; i < y.n; i++) {
        array alone = array_of(t.dtype, 1, 0);
        t.kernels->map[op->kernel](1, alone.data, at(in[0], i), at(in[1], i), at(in[2], i), op->samples[0].attr);
        bool same = memcmp(alone.data, at(y, i), bytes) == 0 || (isnan(get(alone, 0)) && isnan(get(y, i)));
        EXPECT(same, "%s, %s of %g: %a alone, %a in a tile", t.name, op->name, get(in[0], i), get(alone, 0), get(y, i));
        free(alone.data);
    }
}

static void one_operation(table t, const ur_op *op)
{
    size_t count = 1;
    for (int k = 0; k < op->inputs; k++)
        count *= GRID;
    array in[3], y = array_of(t.dtype, count, 0);
    for (int k = 0; k < 3; k++) {
        in[k] = array_of(t.dtype, count, 0);
        for (size_t i = 0, period = k == 0 ? 1 : k == 1 ? GRID : (size_t)GRID * GRID; i < count; i++)
            put(in[k], i, grid[i / period % GRID]);
    }
    const double *attr = op->samples[0].attr;
    for (size_t i = 0, n; i < count; i += n) {
        void *to = (char *)y.data + i * ur_dtype_bytes(t.dtype);
        n = count - i < UR__TILE ? count - i : UR__TILE;
        memcpy(to, at(in[0], i), n * ur_dtype_bytes(t.dtype)); /* the result may be an operand */
        t.kernels->map[op->kernel](n, to, to, at(in[1], i), at(in[2], i), attr);
    }
    for (size_t i = 0; i < count; i++) {
        double x[3] = {get(in[0], i), get(in[1], i), get(in[2], i)}, exact = op->map(x, attr), is = get(y, i);
        double tiny = t.dtype == UR_F32 ? 0x1p-126 : 0x1p-1022;
        exact = t.dtype == UR_F32 ? (double)(float)exact : exact;
        double bound = 8 * epsilon(t.dtype) * (fabs(exact) + size_of(op->kernel, x)) + tiny;
        bool same = isnan(exact) ? isnan(is) : isinf(exact) ? is == exact : fabs(is - exact) <= bound;
        EXPECT(same, "%s, %s of %g, %g, %g: %.9g instead of %.9g", t.name, op->name, x[0], x[1], x[2], is, exact);
    }
    assert_same_alone(t, op, in, y);
    for (int k = 0; k < 3; k++)
        free(in[k].data);
    free(y.data);
}

START_TEST(operations)
{
    table t = table_of(_i);
    size_t tested = 0;
    const ur_op *op;
    for (size_t i = 0; t.kernels && (op = ur_op_at(i)); i++)
        if (op->kind == UR_MAP) {
            EXPECT(op->kernel > UR__SPECIFICATION && op->kernel < UR__COPY, "%s has no kernel", op->name);
            one_operation(t, op);
            tested++;
        }
    ck_assert(!t.kernels || tested > 30);
}
END_TEST

/* ---- operations on whole arrays against their specification */

static bool shape_of(const ur_op *op, int inputs, const ur_shape *in, const double *attr, ur_shape *out)
{
    ur_shaping s = {.inputs = inputs, .in = in, .attr = attr};
    bool good = op->shape(&s);
    *out = s.out;
    return good;
}

/* `special`: among the values are infinities and NaN. */
static void one_dense(table t, const ur_op *op, int inputs, const ur_shape *shape, const double *attr, bool special)
{
    static const double odd[] = {INFINITY, -INFINITY, NAN, 0, -0.0};
    ur_shape out;
    if (!shape_of(op, inputs, shape, attr, &out))
        return;
    size_t count = ur_shape_count(out);
    array in[3], exact_in[3], y = array_of(t.dtype, count + 1, guard), exact = array_of(UR_F64, count, 0);
    const void *at_in[3];
    const double *at_exact[3];
    for (int k = 0; k < inputs; k++) {
        size_t n = ur_shape_count(shape[k]);
        in[k] = array_of(t.dtype, n, 0);
        exact_in[k] = array_of(UR_F64, n, 0);
        for (size_t i = 0; i < n; i++) {
            put(in[k], i, special && i % 3 == 0 ? odd[i / 3 % 5] : random_value());
            put(exact_in[k], i, get(in[k], i));
        }
        at_in[k] = in[k].data;
        at_exact[k] = exact_in[k].data;
    }
    t.kernels->dense[op->kernel - UR__DENSE](&(ur__dense_call){inputs, shape, at_in, out, y.data, attr});
    op->run(&(ur_call){inputs, shape, at_exact, out, exact.data, attr});
    for (size_t i = 0; i < count; i++) {
        double is = get(y, i), want = get(exact, i), bound = 64 * epsilon(t.dtype) * (1 + fabs(want));
        bool same = isnan(want) ? isnan(is) : isinf(want) ? is == want : fabs(is - want) <= bound;
        EXPECT(same, "%s, %s: element %zu of %zu is %.9g instead of %.9g", t.name, op->name, i, count, is, want);
    }
    EXPECT(get(y, count) == guard, "%s, %s: wrote past its end", t.name, op->name);
    for (int k = 0; k < inputs; k++) {
        free(in[k].data);
        free(exact_in[k].data);
    }
    free(y.data);
    free(exact.data);
}

/* A sample of an operation with `more` times the rows and, but where 0, `columns` columns; does nothing if there is no such
 * sample. */
static void one_sample(table t, const ur_op *op, int sample, int64_t more, int64_t columns)
{
    ur_shape shape[3];
    int inputs = 0;
    for (; inputs < 3 && op->samples[sample].in[inputs].rank; inputs++) {
        ur_shape *a = &shape[inputs];
        *a = op->samples[sample].in[inputs];
        for (int d = 0; d + 1 < a->rank; d++)
            a->size[d] *= more;
        if (columns)
            a->size[a->rank - 1] = columns;
    }
    if (inputs == 0)
        return;
    ur_sample given = op->samples[sample];
    if (op->kernel == UR__CUMSUM) /* its size along the axis */
        given.attr[2] = (double)shape[0].size[(int)given.attr[0]];
    one_dense(t, op, inputs, shape, given.attr, false);
    one_dense(t, op, inputs, shape, given.attr, true);
}

/* The operation's samples as they are, with more columns, and with more of everything; a product with so much that it
 * is computed stretch by stretch. */
START_TEST(dense_operations)
{
    static const int64_t columns[] = {0, 1, 7, 16, 37, 300};
    table t = table_of(_i);
    const ur_op *op;
    for (size_t i = 0; t.kernels && (op = ur_op_at(i)); i++)
        for (int s = 0; s < UR_SAMPLES && op->kernel >= UR__DENSE; s++)
            for (size_t q = 0; q < sizeof columns / sizeof columns[0]; q++) {
                one_sample(t, op, s, 1, columns[q]);
                one_sample(t, op, s, 9, columns[q]);
                if (op->kernel == UR__BMM && s == 3 && columns[q] == 7)
                    one_sample(t, op, s, 37, columns[q]);
            }
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("kernels");
    tcase_set_timeout(tests, 120);
    tcase_add_loop_test(tests, products, 0, TABLES);
    tcase_add_loop_test(tests, narrow_products, 0, TABLES);
    tcase_add_loop_test(tests, contractions, 0, TABLES);
    tcase_add_loop_test(tests, accuracy, 0, TABLES);
    tcase_add_loop_test(tests, operations, 0, TABLES);
    tcase_add_loop_test(tests, dense_operations, 0, TABLES);
    Suite *suite = suite_create("kernels");
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
