/* test_ops_special.c - where an operation has a rule of its own, as ops.h and the operations' files state it: what
 * select does not read, slopes at kinks and ties, indices that are no rows, masks, the adjoint of a value that is
 * sliced. The expected numbers are worked out here by hand; a mask has its share of ones to within five standard
 * deviations. */
#include "problem.h"

/* ---- select */

/* select has a switch among its inputs: x where x != 0, else x */
START_TEST(select_of_one_value)
{
    double g[2], x[2] = {0, 3};
    ur_tape *tape = new_tape(UR_F64);
    ur_var a = ur_input(tape, "a", UR_SHAPE(2)), da;
    ur_write(a, 2, x);
    ur_grad(ur_select(a, a, a), 1, &a, &da);
    ur_plan *plan = ur_plan_new(tape, &(ur_plan_options){.roots = 1, .root = &da});
    ck_assert(ur_plan_run(plan) && ur_read(plan, da, 2, g));
    ck_assert_double_eq(g[0], 1);
    ck_assert_double_eq(g[1], 1);
    ur_plan_free(plan);
    ur_tape_free(tape);
}
END_TEST

/* What is not selected is not read: neither its value nor its gradient can be NaN. */
START_TEST(select_hides_nan)
{
    for (int variant = 0; variant < 4; variant++) {
        double out[10], alive[2] = {1, 0};
        ur_tape *tape = new_tape(variant & 1 ? UR_F32 : UR_F64);
        ur_var c = ur_input(tape, "alive", UR_SHAPE(1, 2)), x = ur_input(tape, "x", UR_SHAPE(2, 2));
        ur_var W = ur_input(tape, "W", UR_SHAPE(2, 2)), d[2];
        ur_var y = ur_square(ur_matmul(W, ur_select(c, x, ur_const(tape, UR_SCALAR, 0))));
        ur_write(c, 2, alive);
        ur_write(W, 4, (double[]){1, 2, 3, 4});
        ur_write(x, 4, (double[]){1, NAN, 2, INFINITY});
        ur_grad(y, 2, (ur_var[]){x, W}, d);
        ur_plan_options options = {.reference = variant & 2, .roots = 3, .root = (ur_var[]){d[0], d[1], y}};
        ur_plan *plan = ur_plan_new(tape, &options);
        ck_assert(ur_plan_run(plan));
        ck_assert(ur_read(plan, d[0], 4, out) && ur_read(plan, d[1], 4, out + 4));
        for (int i = 0; i < 8; i++)
            ck_assert_msg(isfinite(out[i]), "variant %d, element %d is %g", variant, i, out[i]);
        ck_assert_double_eq(out[1], 0);
        ck_assert_double_eq(out[3], 0);
        ur_plan_free(plan);
        ur_tape_free(tape);
    }
}
END_TEST

/* ---- kinks and ties */

/* d sum(y)/dx of y = op(x, ...) at x = 0; the second input of prelu is a slope of 3, of min and max the tie 0. */
static double slope_at_zero(const char *name, double constant, double second)
{
    const ur_op *op = NULL;
    double slope = NAN;
    for (int i = 0; i < op_count(); i++)
        op = strcmp(op_at(i)->name, name) == 0 ? op_at(i) : op;
    if (!op)
        return NAN;
    ur_tape *tape = new_tape(UR_F64);
    ur_var in[2] = {ur_input(tape, "x", UR_SHAPE(1)), ur_const(tape, UR_SHAPE(1), second)}, d;
    ur_grad(ur_record(op, (size_t)op->inputs, in, &constant), 1, in, &d);
    ur_plan *plan = ur_plan_new(tape, &(ur_plan_options){.roots = 1, .root = &d});
    assert_good(tape, name);
    ck_assert(ur_plan_run(plan) && ur_read(plan, d, 1, &slope));
    ur_plan_free(plan);
    ur_tape_free(tape);
    return slope;
}

START_TEST(kinks)
{
    ck_assert_double_eq(slope_at_zero("relu", 0, 0), 0);
    ck_assert_double_eq(slope_at_zero("step", 0, 0), 0);
    ck_assert_double_eq(slope_at_zero("abs", 0, 0), 0);
    ck_assert_double_eq(slope_at_zero("sign", 0, 0), 0);
    ck_assert_double_eq(slope_at_zero("norm", -1, 0), 0);
    ck_assert_double_eq(slope_at_zero("lrelu", 0.25, 0), 0.25);
    ck_assert_double_eq(slope_at_zero("elu", 1.5, 0), 1.5);
    ck_assert_double_eq(slope_at_zero("prelu", 0, 3), 3);
    ck_assert_double_eq(slope_at_zero("min", 0, 0), 0.5);
    ck_assert_double_eq(slope_at_zero("max", 0, 0), 0.5);
}
END_TEST

START_TEST(largest_elements_share)
{
    double g[4] = {0};
    ur_tape *tape = new_tape(UR_F64);
    ur_var a = ur_input(tape, "a", UR_SHAPE(4)), d;
    ur_grad(ur_max_over(a, -1), 1, &a, &d);
    ur_write(a, 4, (double[]){2, 5, -1, 5});
    ur_plan *plan = ur_plan_new(tape, &(ur_plan_options){.roots = 1, .root = &d});
    ck_assert(ur_plan_run(plan) && ur_read(plan, d, 4, g));
    for (int i = 0; i < 4; i++)
        ck_assert_double_eq(g[i], i % 2 ? 0.5 : 0);
    ur_plan_free(plan);
    ur_tape_free(tape);
}
END_TEST

/* ---- tables and masks */

/* A column of NaN for an index that is no row; its part of the gradient goes nowhere. */
START_TEST(indices_that_are_no_rows)
{
    double y[8] = {0}, g[4] = {0};
    ur_tape *tape = new_tape(UR_F64);
    ur_var W = ur_input(tape, "W", UR_SHAPE(2, 2)), i = ur_input(tape, "i", UR_SHAPE(1, 4)), d;
    ur_var columns = ur_gather(W, i), alive = ur_input(tape, "alive", UR_SHAPE(1, 4));
    ur_grad(ur_select(alive, columns, ur_const(tape, UR_SCALAR, 0)), 1, &W, &d);
    ur_write(W, 4, (double[]){1, 2, 3, 4});
    ur_write(i, 4, (double[]){1, -1, 2, 0.5});
    ur_write(alive, 4, (double[]){1, 0, 0, 0});
    ur_plan *plan = ur_plan_new(tape, &(ur_plan_options){.roots = 2, .root = (ur_var[]){columns, d}});
    ck_assert(ur_plan_run(plan) && ur_read(plan, columns, 8, y) && ur_read(plan, d, 4, g));
    for (int k = 0; k < 8; k++)
        ck_assert(k % 4 ? isnan(y[k]) : y[k] == (k ? 4 : 3));
    for (int k = 0; k < 4; k++)
        ck_assert_double_eq(g[k], k < 2 ? 0 : 1);
    ur_plan_free(plan);
    ur_tape_free(tape);
}
END_TEST

static void run_mask(int64_t columns, const double *sequences, double step, double p, double *out)
{
    ur_tape *tape = new_tape(UR_F32);
    ur_var t = ur_input(tape, "step", UR_SCALAR), n = ur_input(tape, "n", UR_SHAPE(1, columns));
    ur_var m = ur_mask(t, n, p, 50, 3, 4);
    ur_write(t, 1, &step);
    ur_write(n, (size_t)columns, sequences);
    ur_plan *plan = ur_plan_new(tape, &(ur_plan_options){.roots = 1, .root = &m});
    assert_good(tape, "mask");
    ck_assert(ur_plan_run(plan) && ur_read(plan, m, (size_t)columns * 50, out));
    ur_plan_free(plan);
    ur_tape_free(tape);
}

/* A sequence has its mask wherever it stands; other steps have others; the share of ones is p; evaluation is p. */
START_TEST(masks)
{
    enum { ROWS = 50, COLUMNS = 40 };
    double sequences[COLUMNS], all[ROWS * COLUMNS], later[ROWS * COLUMNS], two[2 * ROWS], ones = 0, changed = 0;
    for (int n = 0; n < COLUMNS; n++)
        sequences[n] = n;
    run_mask(COLUMNS, sequences, 7, 0.8, all);
    run_mask(COLUMNS, sequences, 8, 0.8, later);
    run_mask(2, (double[]){31, 5}, 7, 0.8, two);
    for (int q = 0; q < ROWS * COLUMNS; q++) {
        ck_assert(all[q] == 0 || all[q] == 1);
        ones += all[q];
        changed += all[q] != later[q];
    }
    /* five standard deviations */
    ck_assert_double_le(fabs(ones / (ROWS * COLUMNS) - 0.8), 5 * sqrt(0.16 / (ROWS * COLUMNS)));
    ck_assert_double_le(fabs(changed / (ROWS * COLUMNS) - 0.32), 5 * sqrt(0.32 * 0.68 / (ROWS * COLUMNS)));
    for (int i = 0; i < ROWS; i++) {
        const double *row = &all[(size_t)i * COLUMNS], *pair = &two[(size_t)i * 2];
        ck_assert_double_eq(pair[0], row[31]);
        ck_assert_double_eq(pair[1], row[5]);
    }
    run_mask(COLUMNS, sequences, -1, 0.75, all);
    for (int q = 0; q < ROWS * COLUMNS; q++)
        ck_assert_double_eq(all[q], 0.75);
}
END_TEST

/* ---- several slices of one value */

enum { SIDE = 6, MOST_SLICES = 4 };

/* w = sum over the slices i of (i + 1) sum(sin(slice i)) of x [6,6]; `joined`: they lie side by side from end to end. */
static const struct cut {
    int axis, slices;
    int64_t first[MOST_SLICES], count[MOST_SLICES];
    bool joined;
} cuts[] = {
    {0, 2, {0, 4}, {4, 2}, true},
    {1, 2, {0, 4}, {4, 2}, true},
    {0, 4, {3, 0, 5, 1}, {2, 1, 1, 2}, true},
    {1, 4, {3, 0, 5, 1}, {2, 1, 1, 2}, true},
    {0, 1, {0}, {6}, false},
    {0, 2, {0, 3}, {4, 3}, false},       /* overlap */
    {0, 3, {0, 3, 0}, {3, 3, 3}, false}, /* one part twice */
    {0, 2, {0, 0}, {6, 6}, false},       /* the whole twice */
    {1, 2, {0, 4}, {3, 2}, false},       /* a hole */
    {1, 2, {1, 4}, {3, 2}, false},       /* none from the begin on */
    {1, 2, {0, 4}, {4, 1}, false},       /* none up to the end */
    {0, 4, {0, 4, 3, 5}, {4, 2, 3, 1}, false},
};

/* d w/dx, or with `r` d sum(r dw/dx)/dx. */
static double cut_slope(const struct cut *c, size_t q, double x, const double *r)
{
    double slope = 0;
    for (int i = 0; i < c->slices; i++) {
        int64_t at = (int64_t)(c->axis ? q % SIDE : q / SIDE);
        if (at >= c->first[i] && at < c->first[i] + c->count[i])
            slope += (i + 1) * (r ? -sin(x) * r[q] : cos(x));
    }
    return slope;
}

static void check_cut(const struct cut *c, bool reference)
{
    enum { ALL = SIDE * SIDE };
    double at[ALL], r_at[ALL], found[ALL];
    ur_tape *tape = new_tape(UR_F64);
    ur_var x = ur_input(tape, "x", UR_SHAPE(SIDE, SIDE)), r = ur_input(tape, "r", UR_SHAPE(SIDE, SIDE));
    ur_var terms[MOST_SLICES], d[2];
    for (int i = 0; i < c->slices; i++)
        terms[i] = ur_scale(ur_sum(ur_sin(ur_slice(x, c->axis, c->first[i], c->count[i]))), i + 1);
    for (size_t q = 0; q < ALL; q++) {
        at[q] = ur_random(1, "x", q);
        r_at[q] = ur_random(1, "r", q);
    }
    ur_write(x, ALL, at);
    ur_write(r, ALL, r_at);
    ur_grad(ur_total((size_t)c->slices, terms), 1, &x, &d[0]);
    ur_grad(ur_sum(ur_mul(r, d[0])), 1, &x, &d[1]);
    ur_plan *plan = ur_plan_new(tape, &(ur_plan_options){.reference = reference, .roots = 2, .root = d});
    ck_assert(ur_plan_run(plan));
    for (int order = 0; order < 2; order++) {
        ur_node node;
        ur_look(d[order], &node);
        ck_assert_str_eq(node.op->name, c->joined ? "concat" : "sum_of");
        ck_assert_uint_eq(node.inputs, (uint32_t)c->slices);
        ck_assert(ur_read(plan, d[order], ALL, found));
        for (size_t q = 0; q < ALL; q++)
            ck_assert_double_eq_tol(found[q], cut_slope(c, q, at[q], order ? r_at : NULL), 1e-14);
    }
    ur_plan_free(plan);
    ur_tape_free(tape);
}

/* The adjoint of a value that slices tile is one concat, of any other the sum of what is between zeros. */
START_TEST(slices)
{
    check_cut(&cuts[_i], false);
    check_cut(&cuts[_i], true);
}
END_TEST

int main(void)
{
    TCase *cases = tcase_create("ops special");
    tcase_add_test(cases, select_of_one_value);
    tcase_add_test(cases, select_hides_nan);
    tcase_add_test(cases, kinks);
    tcase_add_test(cases, largest_elements_share);
    tcase_add_test(cases, indices_that_are_no_rows);
    tcase_add_test(cases, masks);
    tcase_add_loop_test(cases, slices, 0, (int)(sizeof cuts / sizeof *cuts));
    return run_cases(suite_create("ops special"), cases);
}
