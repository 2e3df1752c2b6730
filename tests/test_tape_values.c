/* test_tape_values.c - what is written to leaves and read from a plan: counts, kept values, states from run to run,
 * the order of the roots, and the check for values that are not finite. */
#include "small_tapes.h"

/* ---- writing and reading */

START_TEST(wrong_counts_are_refused)
{
    double six[6] = {1, 2, 3, 4, 5, 6}, out[6] = {0};
    ur_tape *tape = new_tape(UR_F64);
    for (size_t count = 0; count <= 7; count++) {
        ur_tape_clear(tape);
        ur_var x = ur_input(tape, "x", UR_SHAPE(2, 3));
        if (count == 6)
            continue;
        ck_assert(!ur_write(x, count, six));
        assert_refused(tape, "ur_write: x[2,3] has 6 elements");
        ur_tape_clear(tape);
        x = input(tape, "x", UR_SHAPE(2, 3), six);
        ur_var y = ur_keep(ur_neg(x));
        ur_plan *plan = ur_plan_new(tape, NULL);
        ck_assert(ur_plan_run(plan) && ur_read(plan, y, 6, out));
        for (int i = 0; i < 6; i++)
            ck_assert_double_eq(out[i], -six[i]);
        ck_assert(!ur_read(plan, y, count, out));
        assert_refused(tape, "[2,3] has 6 elements");
        ur_plan_free(plan);
    }
    ur_tape_free(tape);
}
END_TEST

START_TEST(only_leaves_are_written)
{
    ur_tape *tape = new_tape(UR_F64);
    ur_var y = ur_tanh(ur_input(tape, "x", UR_SCALAR));
    ck_assert(!ur_write(y, 1, (double[]){1}));
    assert_refused(tape, "an input or parameter was expected, not tanh[]");
    ur_tape_clear(tape);
    ck_assert_ptr_null(ur_leaf(ur_const(tape, UR_SCALAR, 1)));
    assert_refused(tape, "an input or parameter was expected");
    ur_tape_free(tape);
}
END_TEST

START_TEST(only_kept_values_are_read)
{
    ur_tape *tape = new_tape(UR_F64);
    ur_var x = scalar(tape, "x", 3), W = ur_param(tape, "W", UR_SCALAR);
    ur_step(tape, 2);
    ur_scope_open(tape, "rnn");
    ur_var hidden = ur_name(ur_square(x), "u"), y = ur_keep(ur_add(ur_scale(hidden, 2), W));
    double out;
    ur_write(W, 1, (double[]){5});
    ur_plan *plan = ur_plan_new(tape, NULL);
    ck_assert(ur_plan_run(plan));
    ck_assert(ur_read(plan, y, 1, &out) && out == 23);
    ck_assert(ur_read(plan, x, 1, &out) && out == 3);
    ck_assert(ur_read(plan, W, 1, &out) && out == 5);
    ck_assert_ptr_null(ur_value(plan, hidden));
    ck_assert_str_eq(ur_tape_error(tape),
                     "ur_value: u[] in rnn, step 2 is not kept, mark it with ur_keep before planning");
    ur_plan_free(plan);

    ur_tape_clear(tape); /* what is recorded later is not in the plan */
    y = ur_keep(ur_neg(scalar(tape, "x", 3)));
    plan = ur_plan_new(tape, NULL);
    ur_var late = ur_keep(ur_neg(y));
    ck_assert(ur_plan_run(plan));
    ck_assert(!ur_read(plan, late, 1, &out));
    assert_refused(tape, "neg[] was recorded after planning");
    ur_plan_free(plan);

    ur_tape_clear(tape);
    ck_assert_ptr_null(ur_plan_new(tape, NULL));
    assert_refused(tape, "nothing to compute");
    ur_tape_free(tape);
}
END_TEST

/* ---- states */

START_TEST(a_state_counts)
{
    ur_tape *tape = new_tape(UR_F32);
    ur_var n = ur_input(tape, "n", UR_SHAPE(3)), next = ur_add(n, ur_const(tape, UR_SCALAR, 1));
    ck_assert(ur_state(n, next));
    ur_plan *plan = ur_plan_new(tape, NULL);
    double out[3];
    ur_write(n, 3, (double[]){0, 10, -4});
    for (int run = 1; run <= 5; run++) {
        ck_assert(ur_plan_run(plan));
        ck_assert(ur_read(plan, n, 3, out));
        ck_assert(out[0] == run && out[1] == 10 + run && out[2] == -4 + run);
    }
    ur_plan_free(plan);
    ur_tape_free(tape);
}
END_TEST

START_TEST(states_are_exchanged)
{
    ur_tape *tape = new_tape(UR_F64);
    ur_var a = scalar(tape, "a", 1), b = scalar(tape, "b", 2), f = scalar(tape, "f", 0), g = scalar(tape, "g", 1);
    ck_assert(ur_state(a, b) && ur_state(b, a));
    ck_assert(ur_state(f, g) && ur_state(g, ur_keep(ur_add(f, g)))); /* Fibonacci's numbers */
    ur_plan *plan = ur_plan_new(tape, NULL);
    static const double fibonacci[] = {1, 1, 2, 3, 5, 8, 13, 21};
    for (int run = 0; run < 7; run++) {
        double out[4];
        ck_assert(ur_plan_run(plan));
        ck_assert(ur_read(plan, a, 1, out) && ur_read(plan, b, 1, out + 1) && ur_read(plan, f, 1, out + 2) &&
                  ur_read(plan, g, 1, out + 3));
        ck_assert(out[0] == (run % 2 ? 1 : 2) && out[1] == (run % 2 ? 2 : 1));
        ck_assert(out[2] == fibonacci[run] && out[3] == fibonacci[run + 1]);
    }
    ur_plan_free(plan);
    ur_tape_free(tape);
}
END_TEST

START_TEST(impossible_states)
{
    ur_tape *tape = new_tape(UR_F64);
    ck_assert(!ur_state(ur_param(tape, "W", UR_SCALAR), ur_const(tape, UR_SCALAR, 1)));
    assert_refused(tape, "an input was expected, not W[]");
    ur_tape_clear(tape);
    ck_assert(!ur_state(ur_input(tape, "h", UR_SHAPE(2)), ur_const(tape, UR_SHAPE(3), 1)));
    assert_refused(tape, "h[2]");
    ur_tape_clear(tape);
    ur_var h = ur_input(tape, "h", UR_SHAPE(2));
    ck_assert(ur_state(h, ur_neg(h)));
    ck_assert(!ur_state(h, ur_tanh(h)));
    assert_refused(tape, "h[2] has a next value already");
    ur_tape_free(tape);
}
END_TEST

/* ---- the layout of the roots */

static void check_roots(ur_dtype dtype, bool reference)
{
    static const double xv[] = {1, 2, 3, 4, 5, 6}, Wv[] = {7, 8};
    ur_tape *tape = new_tape(dtype);
    ur_var W = ur_param(tape, "W", UR_SHAPE(2)), x = input(tape, "x", UR_SHAPE(2, 3), xv);
    ur_write(W, 2, Wv);
    ur_var negative = ur_neg(x), sum = ur_sum(x), five = ur_const(tape, UR_SHAPE(3), 5);
    ur_var root[] = {sum, W, negative, sum, five, x, negative, W};
    static const double expected[] = {21, 7, 8, -1, -2, -3, -4, -5, -6, 21, 5,  5, 5, 1,
                                      2,  3, 4, 5,  6,  -1, -2, -3, -4, -5, -6, 7, 8};
    enum { COUNT = sizeof expected / sizeof *expected };
    ur_plan *plan = ur_plan_new(tape, &(ur_plan_options){.roots = 8, .root = root, .reference = reference});
    assert_good(tape, "tape");
    for (int run = 0; run < 2; run++) {
        size_t count;
        double out[6];
        ck_assert(ur_plan_run(plan));
        const void *values = ur_plan_roots(plan, &count);
        ck_assert_uint_eq(count, COUNT);
        for (int i = 0; i < COUNT; i++)
            ck_assert_double_eq(dtype == UR_F32 ? (double)((const float *)values)[i] : ((const double *)values)[i],
                                expected[i]);
        ck_assert(ur_read(plan, negative, 6, out) && out[5] == -6);
        ck_assert(ur_read(plan, five, 3, out) && out[2] == 5);
        ck_assert(ur_read(plan, W, 2, out) && out[1] == 8);
    }
    ur_plan_free(plan);
    ur_tape_free(tape);
}

START_TEST(roots_lie_one_behind_another)
{
    check_roots(UR_F64, false);
    check_roots(UR_F32, false);
    check_roots(UR_F64, true);
    check_roots(UR_F32, true);
}
END_TEST

START_TEST(a_root_may_come_twice)
{
    ur_tape *tape = new_tape(UR_F64);
    ur_var x = scalar(tape, "x", 3), y = ur_square(x), z = ur_neg(y);
    double out[5];
    evaluate(tape, 5, (ur_var[]){z, y, z, z, y}, 5, out); /* no leaf among them */
    ck_assert(out[0] == -9 && out[1] == 9 && out[2] == -9 && out[3] == -9 && out[4] == 9);
    ur_tape_free(tape);
}
END_TEST

START_TEST(kept_values_are_the_roots)
{
    ur_tape *tape = new_tape(UR_F64);
    ur_var x = scalar(tape, "x", 2), a = ur_square(x), b = ur_neg(a), c = ur_tanh(x);
    ur_keep(b);
    ur_keep(a);
    ur_keep(b); /* counts once */
    ur_plan *plan = ur_plan_new(tape, NULL);
    size_t count;
    ck_assert(ur_plan_run(plan));
    const double *values = (const double *)ur_plan_roots(plan, &count);
    ck_assert_uint_eq(count, 2);
    ck_assert(values[0] == -4 && values[1] == 4);
    ur_write(x, 1, (double[]){-3}); /* replay on a new input */
    ck_assert(ur_plan_run(plan));
    ck_assert(values[0] == -9 && values[1] == 9);
    ck_assert_ptr_null(ur_value(plan, c));
    ur_plan_free(plan);
    ur_tape_free(tape);
}
END_TEST

/* ---- the finite check */

static void check_finite(ur_dtype dtype, bool reference, double bad, const char *words)
{
    ur_tape *tape = new_tape(dtype);
    ur_var x[3], y[3];
    ck_assert(ur_inputs(tape, "x", UR_SHAPE(4, 2), 3, x));
    for (int t = 1; t <= 3; t++) {
        ur_step(tape, t);
        ur_scope_open(tape, "lstm");
        ur_scope_open(tape, "kappa");
        ur_var net = ur_scale(x[t - 1], 0.5);
        y[t - 1] = ur_tanh(ur_name(ur_exp(net), "kappa"));
        ur_scope_close(tape);
        ur_scope_close(tape);
    }
    ur_write(x[1], 8, (double[]){0, 0, 0, 0, 0, bad, 0, 0});
    ur_write(x[2], 8, (double[]){bad, 0, 0, 0, 0, 0, 0, 0}); /* later in time: not the first */
    double out[8];
    ur_plan *trusting = ur_plan_new(tape, &(ur_plan_options){.roots = 3, .root = y, .reference = reference});
    ck_assert(ur_plan_run(trusting));
    ck_assert(ur_read(trusting, y[0], 8, out) && isfinite(out[0]));
    ur_plan *plan =
        ur_plan_new(tape, &(ur_plan_options){.roots = 3, .root = y, .reference = reference, .finite = true});
    ck_assert(!ur_plan_run(plan));
    ck_assert_str_eq(ur_tape_error(tape), words);
    ur_plan_free(plan);
    ur_plan_free(trusting);
    ur_tape_free(tape);
}

START_TEST(the_finite_check_names_the_place)
{
    for (int k = 0; k < 4; k++) {
        ur_dtype dtype = k & 1 ? UR_F32 : UR_F64;
        check_finite(dtype, k & 2, 3000,
                     "kappa[4,2] in lstm/kappa, step 2: the first value that is not finite is inf, at row 2 of "
                     "sequence 1");
        check_finite(dtype, k & 2, INFINITY,
                     "scale[4,2] in lstm/kappa, step 2: the first value that is not finite is inf, at row 2 of "
                     "sequence 1");
    }
}
END_TEST

/* NaN in the padding of a network is no value of it. */
START_TEST(the_finite_check_overlooks_the_padding)
{
    ur_tape *tape = new_tape(UR_F64);
    ur_net_options options = small_rnn();
    options.weighted = false;
    ur_net *net = ur_net_new(tape, &options, 3, 2);
    ck_assert(net && ur_net_differentiate(net));
    for (int t = 0; t < 3; t++) {
        ur_write(net->alive[t], 2, (double[]){1, t < 1});
        for (int i = 0; i < 2 && t > 0; i++)
            ((double *)ur_leaf(net->x[t]))[2 * i + 1] = ((double *)ur_leaf(net->y[t]))[2 * i + 1] = NAN;
    }
    ur_plan *plan = plan_gradients(net, (ur_plan_options){.finite = true});
    ck_assert_msg(ur_plan_run(plan), "%s", ur_tape_error(tape));
    ((double *)ur_leaf(net->x[0]))[3] = NAN;
    ck_assert(!ur_plan_run(plan));
    assert_refused(tape, "step 1: the first value that is not finite is");
    assert_refused(tape, "of sequence 1");
    ur_plan_free(plan);
    ur_tape_free(tape);
}
END_TEST

int main(void)
{
    TCase *cases = tcase_create("tape values");
    tcase_add_test(cases, wrong_counts_are_refused);
    tcase_add_test(cases, only_leaves_are_written);
    tcase_add_test(cases, only_kept_values_are_read);
    tcase_add_test(cases, a_state_counts);
    tcase_add_test(cases, states_are_exchanged);
    tcase_add_test(cases, impossible_states);
    tcase_add_test(cases, roots_lie_one_behind_another);
    tcase_add_test(cases, a_root_may_come_twice);
    tcase_add_test(cases, kept_values_are_the_roots);
    tcase_add_test(cases, the_finite_check_names_the_place);
    tcase_add_test(cases, the_finite_check_overlooks_the_padding);
    return run_cases(suite_create("tape values"), cases);
}
