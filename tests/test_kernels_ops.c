/* test_kernels_ops.c - functions of one element against libm, and every operation's kernel against its specification, of
 * every instruction set, in both types; operations in two kernels against those in one. */
#include "../ops/ops.h"
#include "kernel_tables.h"

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
    {UR__SIN, "sin", sin, sinl, 3, 3, 100},
    {UR__COS, "cos", cos, cosl, 3, 3, 100},
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

/* ---- an operation that goes on from e^-|a| */

typedef struct continuation {
    int whole, rest;
    bool pair; /* it has two operands */
} continuation;

static const continuation continuations[] = {{UR__SIGMOID, UR__SIGMOID_FROM, false},
                                             {UR__SOFTPLUS, UR__SOFTPLUS_FROM, false},
                                             {UR__LOG_SIGMOID, UR__LOG_SIGMOID_FROM, false},
                                             {UR__BCE_NET, UR__BCE_NET_FROM, true}};

/* The same bits; the sigmoid that f32 with AVX-512 makes in one is another one. */
static bool equal_in_two(table t, int whole, array x, array y, array in_two, size_t n)
{
    if (whole != UR__SIGMOID || t.dtype != UR_F32 || t.kernels->lanes < 16)
        return memcmp(in_two.data, y.data, n * ur_dtype_bytes(t.dtype)) == 0;
    bool exact = true;
    for (size_t i = 0; i < n; i++)
        exact = exact && ulps(t.dtype, get(in_two, i), (long double)sigmoid(get(x, i))) <= 3;
    return exact;
}

/* The result of n elements, as in one kernel, lies apart, where e^-|a| lay, or where a lay. */
static void assert_equal_in_two(table t, const continuation *op, size_t n)
{
    const size_t bytes = n * ur_dtype_bytes(t.dtype);
    array in[2] = {array_of(t.dtype, n, 0), array_of(t.dtype, n, 0)}, whole = array_of(t.dtype, n, 0);
    for (int k = 0; k < 2; k++)
        for (size_t i = 0; i < n; i++)
            put(in[k], i, i % 3 ? 50 * random_value() : grid[(i / 3 + n) % GRID]);
    t.kernels->map[op->whole](n, whole.data, in[0].data, in[1].data, NULL, NULL);
    for (int place = 0; place < 3; place++) {
        array a = array_of(t.dtype, n, 0), exp = array_of(t.dtype, n + 1, guard),
              apart = array_of(t.dtype, n + 1, guard);
        array *y = place == 0 ? &apart : place == 1 ? &exp : &a;
        memcpy(a.data, in[0].data, bytes);
        t.kernels->map[UR__EXP_OF_SIZE](n, exp.data, a.data, NULL, NULL, NULL);
        t.kernels->map[op->rest](n, y->data, a.data, op->pair ? in[1].data : exp.data, op->pair ? exp.data : NULL,
                                 NULL);
        EXPECT(equal_in_two(t, op->whole, in[0], whole, *y, n),
               "%s, kernel %d: other results among %zu elements, place %d", t.name, op->rest, n, place);
        EXPECT(get(exp, n) == guard && get(apart, n) == guard, "%s, kernel %d: wrote past its end", t.name, op->rest);
        free(a.data);
        free(exp.data);
        free(apart.data);
    }
    free(in[0].data);
    free(in[1].data);
    free(whole.data);
}

START_TEST(operations_in_two)
{
    table t = table_of(_i);
    for (size_t i = 0; t.kernels && i < sizeof continuations / sizeof continuations[0]; i++)
        for (size_t n = 1; n <= UR__TILE; n++)
            assert_equal_in_two(t, &continuations[i], n);
}
END_TEST

/* ---- the sum of cross-entropies */

/* Nets as they are before training, of all sizes, and so large that the targets are met: what is left then is small, and
 * right all the same. */
enum { UNTRAINED, ANY, MET, NETS };

static double net_of(int kind, size_t i)
{
    const double x = random_value();
    return kind == UNTRAINED ? 0 : kind == ANY ? 50 * x : i % 2 ? 8 + 12 * fabs(x) : -8 - 12 * fabs(x);
}

static void one_sum_of_bce(table t, int kind, size_t n)
{
    const size_t lanes = 2 * t.kernels->lanes;
    array x = array_of(t.dtype, n, 0), target = array_of(t.dtype, n, 0), u = array_of(t.dtype, n, 0);
    array y = array_of(t.dtype, lanes + 1, 0);
    double expected = 0, sum = 0;
    put(y, lanes, guard);
    for (size_t i = 0; i < n; i++) {
        put(x, i, net_of(kind, i));
        put(target, i, kind == MET ? (double)(i % 2) : 0.5 + 0.5 * random_value());
        put(u, i, exp(-fabs(get(x, i))));
        expected += fmax(get(x, i), 0) - get(x, i) * get(target, i) + log1p(get(u, i));
    }
    for (size_t i = 0; i < lanes; i++)
        put(y, i, (double)i);
    t.kernels->add_bce_net(n, y.data, x.data, target.data, u.data);
    for (size_t i = 0; i < lanes; i++) /* added to what was there */
        EXPECT(get(y, i) >= (double)i, "%s: a lane has become less", t.name);
    for (size_t i = 0; i < lanes; i++)
        put(y, i, 0);
    t.kernels->add_bce_net(n, y.data, x.data, target.data, u.data);
    for (size_t i = 0; i < lanes; i++)
        sum += get(y, i);
    assert_sum(t, sum, expected, expected, 4 * n / t.kernels->lanes, "cross-entropies");
    EXPECT(get(y, lanes) == guard, "%s: cross-entropies wrote past their end", t.name);
    put(x, n / 2, NAN);
    t.kernels->map[UR__EXP_OF_SIZE](n, u.data, x.data, NULL, NULL, NULL);
    t.kernels->add_bce_net(n, y.data, x.data, target.data, u.data);
    bool lost = true;
    for (size_t i = 0; i < lanes; i++)
        lost = lost && !isnan(get(y, i));
    EXPECT(!lost, "%s: cross-entropies lost a NaN", t.name);
    free(x.data);
    free(target.data);
    free(u.data);
    free(y.data);
}

START_TEST(sums_of_bce)
{
    table t = table_of(_i);
    for (int kind = 0; kind < NETS && t.kernels; kind++)
        for (size_t n = 1; n <= UR__TILE; n++)
            one_sum_of_bce(t, kind, n);
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
        const bool index = k == 1 && (op->kernel == UR__GATHER || op->kernel == UR__SCATTER);
        for (size_t i = 0; i < n; i++) {
            put(in[k], i, special && i % 3 == 0 ? odd[i / 3 % 5] : index ? floor(9 * random_value()) : random_value());
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
    TCase *cases = tcase_create("kernels of operations");
    tcase_add_loop_test(cases, accuracy, 0, TABLES);
    tcase_add_loop_test(cases, operations, 0, TABLES);
    tcase_add_loop_test(cases, operations_in_two, 0, TABLES);
    tcase_add_loop_test(cases, sums_of_bce, 0, TABLES);
    tcase_add_loop_test(cases, dense_operations, 0, TABLES);
    return run_cases(suite_create("kernels of operations"), cases);
}
