/* test_kernels.c - products and contractions of every instruction set, in both types, against plain loops in double. What
 * lies outside of the results stays, and what lies outside of the operands, NaN here, is not read. */
#include "kernel_tables.h"

/* ---- products */

enum { TERMS = 3 };

typedef struct product_case {
    size_t m, n, terms, k[TERMS], gap;
    bool transposed[TERMS], bias;
} product_case;

/* A case with its operands and C. */
typedef struct product_run {
    const product_case *q;
    size_t stride, panel, depth;
    array a[TERMS], x[TERMS], packed[TERMS], bias, c;
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
    double sum = q->bias ? get(p->bias, i) : 0, size = fabs(sum);
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
    array again = array_of(t.dtype, q->m * p->stride, NAN);
    size_t n1 = q->n / 2;
    t.kernels->product(p->panel, q->m, n1, q->terms, p->term, start, again.data, p->stride);
    ur__term right[TERMS];
    for (size_t k = 0; k < q->terms; k++) {
        right[k] = p->term[k];
        right[k].x = at(p->x[k], n1);
    }
    t.kernels->product(p->panel, q->m, q->n - n1, q->terms, right, start,
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
    for (size_t k = 0; k < q->terms; k++)
        add_term(t, &p, k, form);
    for (size_t i = 0; i < q->m; i++)
        for (size_t j = 0; j < q->n; j++)
            put(p.c, i * p.stride + j, NAN);
    const void *start = q->bias ? p.bias.data : NULL;
    if (form != WIDE)
        t.kernels->product_narrow(q->m, q->n, q->terms, p.term, start, p.c.data, p.stride);
    else
        t.kernels->product(p.panel, q->m, q->n, q->terms, p.term, start, p.c.data, p.stride);
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
                          .bias = v % 2 == 1};
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
    one_product(t, &(product_case){.m = 5, .n = 80, .terms = 1, .k = {1024}, .gap = 3}, WIDE);
    one_product(t, &(product_case){.m = 17, .n = 33, .terms = 2, .k = {512, 1}}, WIDE);
    for (size_t n = 8; n < 24; n++) /* large matrices */
        one_product(t,
                    &(product_case){.m = 120 + n, .n = n, .terms = 3, .k = {70, 300, 257}, .gap = n % 3, .bias = n % 2},
                    WIDE);
    for (v = 0; v < 2; v++) /* several parts, pieces that begin within a pass */
        one_product(t, &(product_case){.m = 269, .n = 75, .terms = 3, .k = {300, 7, 290}, .gap = v, .bias = v}, WIDE);
    one_product(t, &(product_case){.m = 66, .n = 16, .terms = 2, .k = {511, 1}}, WIDE);
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

/* rows = 0: sums of rows alone. */
typedef struct contraction_case {
    size_t rows, m, n, matrices, steps[STRETCHES];
    bool unequal, sums;
} contraction_case;

/* A case with its operands, or the transpose of its result: those of step s begin at element s a_size and s b_size, and
 * have columns[s] columns; ordered[s] is the same in the order in which the stretches go. */
typedef struct contraction_run {
    const contraction_case *q;
    bool turned;
    size_t stride, steps, a_size, b_size;
    array a, b[MATRICES], out[MATRICES], sums[MATRICES];
    uint32_t *columns, *ordered;
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
        r->ordered[first + l] = r->columns[back ? start - l : start + l];
    for (size_t g = 0; g < q->matrices; g++) {
        r->bs[s][g] = at(r->b[g], start * r->b_size);
        r->b_step[s][g] = back ? -(ptrdiff_t)r->b_size : (ptrdiff_t)r->b_size;
        r->b_stride[s][g] = r->stride;
    }
    r->stretch[s] = (ur__stretch){.steps = q->steps[s],
                                  .columns = q->unequal ? r->ordered + first : NULL,
                                  .a = at(r->a, start * r->a_size),
                                  .a_step = back ? -(ptrdiff_t)r->a_size : (ptrdiff_t)r->a_size,
                                  .a_stride = r->stride,
                                  .b = r->bs[s],
                                  .b_step = r->b_step[s],
                                  .b_stride = r->b_stride[s]};
}

/* `apart`: stretch by stretch. */
static void contract_guarded(table t, contraction_run *r, bool apart)
{
    void *outs[MATRICES], *sums[MATRICES];
    for (size_t g = 0; g < r->q->matrices; g++) {
        outs[g] = r->out[g].data;
        sums[g] = r->sums[g].data;
    }
    ur__contraction c = {.rows = r->q->rows,
                         .m = r->q->m,
                         .n = r->q->n,
                         .matrices = r->q->matrices,
                         .stretches = r->steps ? STRETCHES : 0,
                         .stretch = r->stretch,
                         .turned = r->turned,
                         .out = outs,
                         .sums = r->q->sums ? sums : NULL};
    ur__contraction wide = c; /* the room is that of the widest block of a batch */
    wide.n += 100;
    const size_t needed = t.kernels->contraction_room(&wide), room_bytes = (needed + 63) / 64 * 64 + 4096;
    unsigned char *room = (unsigned char *)aligned_alloc(64, room_bytes);
    ck_assert_ptr_nonnull(room);
    memset(room, 0xff, room_bytes);
    for (size_t s = 0; apart && s < STRETCHES; s++) {
        c.stretches = r->q->steps[s] > 0;
        c.stretch = &r->stretch[s];
        c.begun = s > 0;
        c.goes_on = s + 1 < STRETCHES;
        t.kernels->contract(&c, room);
    }
    if (!apart)
        t.kernels->contract(&c, room);
    for (size_t i = needed; i < room_bytes; i++)
        EXPECT(room[i] == 0xff, "%s: a contraction wrote past its room", t.name);
    free(room);
}

/* Element (i, j) of result g; i = rows: the sum of row j. */
static void assert_contracted(table t, const contraction_run *r, size_t g, size_t i, size_t j)
{
    const bool is_sum = i == r->q->rows;
    double sum = 0, size = 0;
    size_t terms = 0;
    for (size_t s = 0; s < r->steps; s++)
        for (size_t l = 0; l < r->columns[s]; l++, terms++) {
            double v = (is_sum ? 1 : get(r->a, s * r->a_size + i * r->stride + l)) *
                       get(r->b[g], s * r->b_size + j * r->stride + l);
            sum += v;
            size += fabs(v);
        }
    const size_t element = r->turned ? j * r->q->rows + i : i * r->q->m + j;
    assert_sum(t, is_sum ? get(r->sums[g], j) : get(r->out[g], element), sum, size, terms, r->what);
}

static void assert_end(table t, const contraction_run *r, array a, size_t end)
{
    for (size_t i = end; i < a.n; i++)
        EXPECT(get(a, i) == guard, "%s, %s: wrote past its end", t.name, r->what);
}

static void assert_contraction(table t, const contraction_run *r, size_t g)
{
    const contraction_case *q = r->q;
    for (size_t i = 0; i < q->rows + q->sums; i++)
        for (size_t j = 0; j < q->m; j++)
            assert_contracted(t, r, g, i, j);
    assert_end(t, r, r->out[g], q->rows * q->m);
    assert_end(t, r, r->sums[g], q->sums ? q->m : 0);
}

static void one_contraction(table t, const contraction_case *q, bool turned)
{
    contraction_run r = {.q = q, .turned = turned, .stride = q->n == 1 ? 1 : q->n + 3};
    const size_t matrices = q->matrices;
    ck_assert_uint_le(matrices, MATRICES);
    snprintf(r.what, sizeof r.what, "contraction [%zu,%zu]%s%s over %zu columns", q->rows, q->m,
             turned ? ", turned," : "", q->sums ? " and row sums" : "", q->n);
    for (size_t s = 0; s < STRETCHES; s++)
        r.steps += q->steps[s];
    r.a_size = q->rows * r.stride + 5;
    r.b_size = q->m * r.stride + 2;
    r.a = matrix_of(t.dtype, 1, 0, r.steps * r.a_size);
    for (size_t g = 0; g < matrices; g++) {
        r.b[g] = matrix_of(t.dtype, 1, 0, r.steps * r.b_size);
        r.out[g] = array_of(t.dtype, q->rows * q->m + 8, guard);
        r.sums[g] = array_of(t.dtype, q->m + 8, guard);
    }
    r.columns = (uint32_t *)calloc(r.steps + 1, sizeof *r.columns);
    r.ordered = (uint32_t *)calloc(r.steps + 1, sizeof *r.ordered);
    ck_assert(r.columns && r.ordered);
    for (size_t s = 0; s < r.steps; s++) {
        r.columns[s] = (uint32_t)(q->unequal ? q->n - q->n * s / r.steps : q->n);
        fill_step(&r, s);
    }
    for (size_t s = 0, first = 0; s < STRETCHES; first += q->steps[s++])
        set_stretch(&r, s, first, s == 1 && q->steps[s] > 0);
    array whole[MATRICES];
    contract_guarded(t, &r, false);
    for (size_t g = 0; g < matrices; g++) {
        assert_contraction(t, &r, g);
        whole[g] = r.out[g];
        r.out[g] = array_of(t.dtype, q->rows * q->m + 8, guard);
    }
    contract_guarded(t, &r, q->n > 1);
    for (size_t g = 0; g < matrices; g++) {
        assert_contraction(t, &r, g);
        EXPECT(memcmp(whole[g].data, r.out[g].data, whole[g].n * ur_dtype_bytes(t.dtype)) == 0,
               "%s, %s: other bits in pieces", t.name, r.what);
        free(whole[g].data);
        free(r.b[g].data);
        free(r.out[g].data);
        free(r.sums[g].data);
    }
    free(r.a.data);
    free(r.columns);
    free(r.ordered);
}

static void both_ways(table t, const contraction_case *q)
{
    one_contraction(t, q, false);
    one_contraction(t, q, true);
}

START_TEST(contractions)
{
    table t = table_of(_i);
    if (!t.kernels)
        return;
    size_t v = 0;
    for (size_t i = 0; i < SIZES; i += 2)
        for (size_t j = 0; j < SIZES; j++, v++)
            both_ways(t, &(contraction_case){.rows = v % 7 ? sizes[i] : 0,
                                             .m = sizes[j],
                                             .n = sizes[v * 5 % SIZES],
                                             .matrices = 1 + v % MATRICES,
                                             .steps = {v % 4, v % 3, v % 5},
                                             .unequal = v % 2,
                                             .sums = v % 3 != 1 || v % 7 == 0});
    both_ways(t, &(contraction_case){130, 65, 33, 2, {12, 7, 9}, true, true}); /* outer products */
    both_ways(t, &(contraction_case){65, 130, 20, 1, {30, 0, 19}, true, false});
    both_ways(t, &(contraction_case){7, 41, 9, 1, {40, 3, 0}, true, false}); /* one vector by many rows */
    both_ways(t, &(contraction_case){200, 7, 9, 1, {40, 3, 0}, false, false});
    both_ways(t, &(contraction_case){16, 88, 32, 2, {20, 0, 3}, false, true});
    both_ways(t, &(contraction_case){20, 20, 32, 2, {20, 2, 3}, true, true});
    both_ways(t, &(contraction_case){15, 61, 1, 2, {200, 3, 190}, false, true}); /* one column, in chunks */
    both_ways(t, &(contraction_case){7, 8, 1, 1, {0, 0, 0}, false, false});
    both_ways(t, &(contraction_case){0, 21, 1, 2, {2, 250, 0}, true, true});
    both_ways(t, &(contraction_case){70, 100, 900, 2, {1, 0, 1}, false, true}); /* steps in parts */
    both_ways(t, &(contraction_case){3, 5, 9000, 1, {1, 1, 0}, true, true});
    both_ways(t, &(contraction_case){0, 40, 5000, 2, {2, 1, 0}, true, true});
    both_ways(t, &(contraction_case){3, 5, 20, 2, {0, 0, 0}, false, true}); /* nothing */
}
END_TEST

/* Masks: is any column masked, and how many are there up to the last one that is not? */
START_TEST(lengths)
{
    table t = table_of(_i);
    for (size_t n = 0; n < 70 && t.kernels; n++)
        for (size_t length = 0; length <= n; length++) {
            array mask = array_of(t.dtype, n, 0);
            for (size_t i = 0; i < length; i++)
                put(mask, i, i % 5 == 2 ? -2 : 1);
            ck_assert_uint_eq(t.kernels->length_of(n, mask.data), length);
            ck_assert_int_eq(t.kernels->has_zero(n, mask.data), length < n);
            if (length > 1) {
                put(mask, length / 2 - 1, 0);
                ck_assert_uint_eq(t.kernels->length_of(n, mask.data), length);
                ck_assert_int_eq(t.kernels->has_zero(length, mask.data), true);
            }
            free(mask.data);
        }
}
END_TEST

int main(void)
{
    TCase *cases = tcase_create("kernels");
    tcase_add_loop_test(cases, products, 0, TABLES);
    tcase_add_loop_test(cases, narrow_products, 0, TABLES);
    tcase_add_loop_test(cases, contractions, 0, TABLES);
    tcase_add_loop_test(cases, lengths, 0, TABLES);
    return run_cases(suite_create("kernels"), cases);
}
