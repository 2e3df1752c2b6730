/* test_ops_range.c - operations where numbers are extreme: elementwise ones of one value over the range of f32
 * against their closed forms, outputs and losses far from 0, and cross-entropies at the ends of their range, against
 * numbers that mathematics has there. */
#include "problem.h"

/* ---- elementwise operations of one value over the range of f32 */

static bool alike(double got, double want)
{
    /* below the smallest normal number f32 has no relative accuracy to keep */
    return isnan(want) ? isnan(got)
           : isinf(want) || fabs(want) > (double)FLT_MAX
               ? got == (want > 0 ? INFINITY : -INFINITY) || (isfinite(want) && fabs(got) >= 0.999999 * (double)FLT_MAX)
               : fabs(got - want) <= 1e-6 * fabs(want) + 2 * (double)FLT_MIN;
}

START_TEST(range)
{
    enum { LINEAR = 4001, SMALL = 120, POINTS = LINEAR + 2 * SMALL + 5 };
    problem p;
    const ur_op *op = op_at(_i);
    if (op->kind != UR_MAP || op->inputs != 1)
        return;
    ck_assert(problem_of(op, 0, &p) || op == &ur_op_detach);
    double *x = (double *)malloc(2 * sizeof *x * POINTS), *y = x + POINTS;
    size_t n = 0;
    for (int i = 0; i < LINEAR; i++)
        x[n++] = (double)(float)(-100 + 0.05 * i);
    for (int i = 0; i < SMALL; i++) {
        x[n++] = ldexp(1.1, -i);
        x[n++] = -ldexp(1.1, -i);
    }
    for (size_t i = 0; i < n; i++)
        x[i] = (double)(float)x[i];
    x[n++] = 0;
    x[n++] = NAN;
    x[n++] = INFINITY;
    x[n++] = -INFINITY;
    x[n++] = (double)FLT_MAX;
    ck_assert_uint_eq(n, POINTS);
    for (int variant = 0; variant < 4; variant++) {
        ur_tape *tape = new_tape(variant & 1 ? UR_F64 : UR_F32);
        ur_var a = ur_input(tape, "a", UR_SHAPE(POINTS)), v = ur_record(op, 1, &a, p.attr);
        ur_plan *plan = ur_plan_new(tape, &(ur_plan_options){.reference = variant & 2, .roots = 1, .root = &v});
        ur_write(a, POINTS, x);
        ck_assert(ur_plan_run(plan) && ur_read(plan, v, POINTS, y));
        for (size_t i = 0; i < POINTS; i++) {
            double element[INPUTS] = {x[i]};
            double want = isfinite(x[i]) ? form_of(op)->element(element, p.attr) : op->map(element, p.attr);
            want = isnan(x[i]) && strcmp(op->name, "step") != 0 ? (double)NAN : want;
            ck_assert_msg(alike(y[i], want) || (variant & 1 && y[i] == want), "%s(%.9g) is %.9g in %s%s, not %.9g",
                          op->name, x[i], y[i], variant & 1 ? "f64" : "f32", variant & 2 ? " by the reference" : "",
                          want);
        }
        ur_plan_free(plan);
        ur_tape_free(tape);
    }
    free(x);
}
END_TEST

/* ---- far from 0 */

/* The net values +-1e4, one-hot targets and targets that are no distribution: values and both derivatives are finite,
 * and where mathematics has a plain number it is that number. */
static void check_far(const char *name, ur_var (*record_op)(ur_var net, ur_var y), ur_dtype dtype, bool reference,
                      const double *expected)
{
    static const double net[6] = {1e4, -1e4, -1e4, 1e4, 0, 1e4}, target[6] = {1, 0, 0, 1, 0, 0};
    ur_tape *tape = new_tape(dtype);
    ur_var x = ur_input(tape, "net", UR_SHAPE(2, 3)), y = ur_input(tape, "y", UR_SHAPE(2, 3)), d[4];
    ur_var leaf[2] = {x, y};
    ur_var E = record_op(x, y);
    ur_grad(E, 2, leaf, d);
    ur_var slope = ur_add(ur_sum(ur_mul(x, d[0])), ur_sum(ur_mul(x, d[1])));
    ur_grad(slope, 2, leaf, d + 2);
    ur_var root[5] = {E, d[0], d[1], d[2], d[3]};
    ur_plan *plan = ur_plan_new(tape, &(ur_plan_options){.reference = reference, .roots = 5, .root = root});
    assert_good(tape, name);
    ur_write(x, 6, net);
    ur_write(y, 6, target);
    ck_assert(ur_plan_run(plan));
    for (int k = 0; k < 5; k++) {
        ur_node node;
        double value[6];
        ur_look(root[k], &node);
        size_t n = ur_shape_count(node.shape);
        ck_assert(ur_read(plan, root[k], n, value));
        for (size_t i = 0; i < n; i++) {
            ck_assert_msg(isfinite(value[i]), "%s: element %zu of root %d is %g", name, i, k, value[i]);
            if (k == 0)
                ck_assert_msg(alike(value[i], expected[i]), "%s: element %zu is %g, not %g", name, i, value[i],
                              expected[i]);
        }
    }
    ur_plan_free(plan);
    ur_tape_free(tape);
}

static ur_var far_sigmoid(ur_var net, ur_var y)
{
    return ur_add(ur_sigmoid(net), ur_scale(y, 0));
}

static ur_var far_softmax(ur_var net, ur_var y)
{
    return ur_add(ur_softmax(net), ur_scale(y, 0));
}

static ur_var far_log_softmax(ur_var net, ur_var y)
{
    return ur_add(ur_log_softmax(net), ur_scale(y, 0));
}

/* columns (1e4, 1e4), (-1e4, 0), (-1e4, 1e4) with targets (1, 1), (0, 0), (0, 0) */
START_TEST(far_from_zero)
{
    static const double ln2 = 0.693147180559945309;
    ur_dtype dtype = _i & 1 ? UR_F64 : UR_F32;
    bool reference = _i & 2;
    check_far("sigmoid", far_sigmoid, dtype, reference, (double[]){1, 0, 0, 1, 0.5, 1});
    check_far("softmax", far_softmax, dtype, reference, (double[]){0.5, 0, 0, 0.5, 1, 1});
    check_far("log_softmax", far_log_softmax, dtype, reference, (double[]){-ln2, -1e4, -2e4, -ln2, 0, 0});
    check_far("bce_net", ur_bce_net, dtype, reference, (double[]){0, 0, 0, 0, ln2, 1e4});
    check_far("softmax_ce", ur_softmax_ce, dtype, reference, (double[]){2 * ln2, 0, 0});
}
END_TEST

/* ---- cross-entropies at the ends of their range */

enum { ENDS = 6 };

/* At (o, y): the error, its first and second derivative by o, and the derivative of the first by y, NAN: not told. */
typedef struct end {
    double o, y, error, slope, curvature, mixed;
} end;

/* A term whose factor, y or 1 - y, is 0 counts for nothing; another one is infinite where its logarithm is. */
static void check_ends(ur_var (*loss)(ur_var o, ur_var y), const end ends[ENDS], ur_dtype dtype, bool reference)
{
    enum { ROOTS = 5 };
    double found[ROOTS][ENDS], at_o[ENDS], at_y[ENDS];
    ur_tape *tape = new_tape(dtype);
    ur_var o = ur_input(tape, "o", UR_SHAPE(ENDS)), y = ur_input(tape, "y", UR_SHAPE(ENDS));
    ur_var nowhere = ur_input(tape, "nowhere", UR_SHAPE(ENDS)), root[ROOTS] = {loss(o, y)}, second[2] = {o, y};
    ur_grad(root[0], 1, &o, &root[1]);
    ur_grad(root[1], 2, second, &root[2]);
    ur_grad(ur_select(nowhere, root[0], ur_const(tape, UR_SCALAR, 0)), 1, &o, &root[4]);
    for (size_t i = 0; i < ENDS; i++) {
        at_o[i] = ends[i].o;
        at_y[i] = ends[i].y;
    }
    ur_plan *plan = ur_plan_new(tape, &(ur_plan_options){.reference = reference, .roots = ROOTS, .root = root});
    ck_assert(ur_write(o, ENDS, at_o) && ur_write(y, ENDS, at_y) && ur_plan_run(plan));
    for (int r = 0; r < ROOTS; r++)
        ck_assert(ur_read(plan, root[r], ENDS, found[r]));
    for (int i = 0; i < ENDS; i++) {
        const double expected[ROOTS] = {ends[i].error, ends[i].slope, ends[i].curvature, ends[i].mixed, 0};
        for (int r = 0; r < ROOTS; r++)
            ck_assert_msg(isnan(expected[r]) || alike(found[r][i], expected[r]),
                          "root %d at o = %g, y = %g: %g, not %g", r, ends[i].o, ends[i].y, found[r][i], expected[r]);
    }
    ur_plan_free(plan);
    ur_tape_free(tape);
}

START_TEST(ends_of_the_range)
{
    static const double far = INFINITY, any = NAN, a = 0.25, b = 0.75;
    const end bce[ENDS] = {{0, 0, 0, 1, 1, any},
                           {1, 1, 0, -1, 1, any},
                           {0, 0.5, far, -far, far, any},
                           {1, 0.5, far, far, far, any},
                           {a, 0, -log(b), 1 / b, 1 / (b * b), -1 / a - 1 / b},
                           {a, 1, -log(a), -1 / a, 1 / (a * a), -1 / a - 1 / b}},
              cross_entropy[ENDS] = {{0, 0, 0, 0, 0, any},          {1, 1, 0, -1, 1, -1},
                                     {0, 0.5, far, -far, far, any}, {1, 0.5, 0, -0.5, 0.5, -1},
                                     {a, 0, 0, 0, 0, -1 / a},       {a, 1, -log(a), -1 / a, 1 / (a * a), -1 / a}};
    ur_dtype dtype = _i & 1 ? UR_F64 : UR_F32;
    check_ends(ur_bce, bce, dtype, _i & 2);
    check_ends(ur_cross_entropy, cross_entropy, dtype, _i & 2);
}
END_TEST

int main(void)
{
    int ops = op_count();
    TCase *cases = tcase_create("ops range");
    tcase_add_loop_test(cases, range, 0, ops);
    tcase_add_loop_test(cases, far_from_zero, 0, 4);
    tcase_add_loop_test(cases, ends_of_the_range, 0, 4);
    return run_cases(suite_create("ops range"), cases);
}
