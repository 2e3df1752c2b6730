/* test_check.c - the gradient check itself: what it passes, what it catches, and where it does not know. */
#include <stdlib.h>
#include <string.h>

#include "../ops/ops.h"
#include "support.h"

enum { N = 12 };
static const double tolerance = 1e-6;

/* A leaf x[N] with values between -1 and 1, none near 0, and a smooth y = sum(c * tanh(x)^2), whose gradient has
 * elements of size c. */
typedef struct model {
    ur_tape *tape;
    ur_var x, y, g;
} model;

static void fill(ur_var leaf, size_t n, const char *stream)
{
    double v[N];
    ck_assert_uint_le(n, N);
    for (size_t i = 0; i < n; i++) {
        double u = ur_random(7, stream, i);
        v[i] = u < 0.5 ? u - 1 : u;
    }
    ck_assert(ur_write(leaf, n, v));
}

static ur_var input_of(ur_tape *tape, const char *name, size_t n, const double *values)
{
    ur_var leaf = ur_input(tape, name, UR_SHAPE((int64_t)n));
    ck_assert(ur_write(leaf, n, values));
    return leaf;
}

/* c is 1 but at element `odd`, where it is `size`. */
static model make(size_t odd, double size)
{
    double c[N];
    for (size_t i = 0; i < N; i++)
        c[i] = i == odd ? size : 1;
    model m = {.tape = new_tape(UR_F64)};
    m.x = ur_input(m.tape, "x", UR_SHAPE(N));
    m.y = ur_sum(ur_mul(input_of(m.tape, "c", N, c), ur_square(ur_tanh(m.x))));
    ur_grad(m.y, 1, &m.x, &m.g);
    fill(m.x, N, "x");
    assert_good(m.tape, "the model");
    return m;
}

/* g with its element `at` multiplied by `factor`. */
static ur_var distorted(ur_var g, size_t at, double factor)
{
    char name[32];
    double f[N];
    for (size_t i = 0; i < N; i++)
        f[i] = i == at ? factor : 1;
    snprintf(name, sizeof name, "distortion%zu", ur_tape_nodes(g.tape));
    return ur_mul(g, input_of(g.tape, name, N, f));
}

static ur_check_result check(const model *m, ur_var gradient)
{
    ur_check_result r;
    bool good = ur_check(m->y, 1, &m->x, &gradient, tolerance, &r);
    assert_good(m->tape, "ur_check");
    ck_assert(good);
    return r;
}

/* ---- what holds */

START_TEST(right_gradient_holds)
{
    double before[N], after[N];
    model m = make(N, 1);
    memcpy(before, ur_leaf(m.x), sizeof before);
    ur_check_result r = check(&m, m.g);
    memcpy(after, ur_leaf(m.x), sizeof after);
    ck_assert_int_eq(r.verdict, UR_HOLDS);
    ck_assert_uint_eq(r.elements, N);
    ck_assert_uint_eq(r.wrong, 0);
    ck_assert_uint_eq(r.unstable, 0);
    ck_assert_double_le(r.deviation, 1e-9);
    ck_assert_double_le(fabs(r.analytic - r.numeric), 1e-9);
    ck_assert_mem_eq(before, after, sizeof before); /* the point is where it was */
    ur_tape_free(m.tape);
}
END_TEST

START_TEST(error_below_the_tolerance_holds)
{
    model m = make(N, 1);
    ck_assert_int_eq(check(&m, ur_scale(m.g, 1 + 1e-7)).verdict, UR_HOLDS);
    ur_tape_free(m.tape);
}
END_TEST

/* Elements from 1 to 1e-9 in one gradient, and inputs of size 1e-6 and 1e6. */
START_TEST(sizes_hold)
{
    model m = make(5, 1e-9);
    ck_assert_int_eq(check(&m, m.g).verdict, UR_HOLDS);
    ur_tape_free(m.tape);
    for (int i = -6; i <= 6; i += 6) {
        double x[3] = {pow(10, i), -2 * pow(10, i), 3 * pow(10, i)};
        m.tape = new_tape(UR_F64);
        m.x = input_of(m.tape, "x", 3, x);
        m.y = ur_sum(ur_square(m.x));
        ur_grad(m.y, 1, &m.x, &m.g);
        ur_check_result r = check(&m, m.g);
        ck_assert_msg(r.verdict == UR_HOLDS, "x = 1e%d: verdict %d, %g, %g +- %g", i, (int)r.verdict, r.analytic,
                      r.numeric, r.estimate);
        ur_tape_free(m.tape);
    }
}
END_TEST

START_TEST(no_dependence_holds)
{
    model m = make(N, 1);
    m.x = ur_input(m.tape, "z", UR_SHAPE(3));
    ur_grad(m.y, 1, &m.x, &m.g);
    ck_assert_int_eq(check(&m, m.g).verdict, UR_HOLDS);
    ur_tape_free(m.tape);
}
END_TEST

/* Near a kink, not at it: the steps become small enough. */
START_TEST(near_a_kink_holds)
{
    model m = {.tape = new_tape(UR_F64)};
    m.x = input_of(m.tape, "x", 4, (double[]){1e-3, -1e-3, 2e-2, -2e-2});
    m.y = ur_sum(ur_relu(m.x));
    ur_grad(m.y, 1, &m.x, &m.g);
    ck_assert_int_eq(check(&m, m.g).verdict, UR_HOLDS);
    ur_tape_free(m.tape);
}
END_TEST

/* ---- what is caught */

START_TEST(flipped_sign)
{
    model m = make(N, 1);
    ur_check_result r = check(&m, ur_neg(m.g));
    ck_assert_int_eq(r.verdict, UR_WRONG);
    ck_assert_uint_eq(r.wrong, N);
    ck_assert_double_eq_tol(r.analytic, -r.numeric, 1e-9);
    ck_assert_double_eq_tol(r.deviation, 2, 1e-6);
    ur_tape_free(m.tape);
}
END_TEST

START_TEST(slightly_wrong_factor)
{
    model m = make(N, 1);
    ur_check_result r = check(&m, ur_scale(m.g, 1 + 1e-5));
    ck_assert_int_eq(r.verdict, UR_WRONG);
    ck_assert_uint_eq(r.wrong, N);
    ur_tape_free(m.tape);
}
END_TEST

/* One wrong element, at every place; it is named, with both values. */
START_TEST(single_wrong_element)
{
    double g[N];
    model m = make(N, 1);
    ur_plan *plan = ur_plan_new(m.tape, &(ur_plan_options){.roots = 1, .root = &m.g});
    ck_assert(ur_plan_run(plan) && ur_read(plan, m.g, N, g));
    ur_plan_free(plan);
    ur_check_result r = check(&m, distorted(m.g, (size_t)_i, 1 + 1e-4));
    ck_assert_int_eq(r.verdict, UR_WRONG);
    ck_assert_uint_eq(r.wrong, 1);
    ck_assert_uint_eq(r.unstable, 0);
    ck_assert_uint_eq(r.worst, (size_t)_i);
    ck_assert_double_eq_tol(r.analytic, g[_i] * (1 + 1e-4), 1e-12);
    ck_assert_double_eq_tol(r.numeric, g[_i], 1e-9);
    ck_assert_double_le(r.estimate, 1e-7);
    ur_tape_free(m.tape);
}
END_TEST

START_TEST(worst_of_several)
{
    model m = make(N, 1);
    ur_check_result r = check(&m, distorted(distorted(m.g, 3, 1.001), 8, 1.1));
    ck_assert_int_eq(r.verdict, UR_WRONG);
    ck_assert_uint_eq(r.wrong, 2);
    ck_assert_uint_eq(r.worst, 8);
    ur_tape_free(m.tape);
}
END_TEST

/* An element of size 1e-9 beside others of size 1: twice too large, of the other sign, or dropped. */
START_TEST(small_wrong_element)
{
    static const double factor[] = {2, -1, 0, 1 + 1e-3};
    model m = make(4, 1e-9);
    ur_check_result r = check(&m, distorted(m.g, 4, factor[_i]));
    ck_assert_int_eq(r.verdict, UR_WRONG);
    ck_assert_uint_eq(r.wrong, 1);
    ck_assert_uint_eq(r.worst, 4);
    ur_tape_free(m.tape);
}
END_TEST

START_TEST(zero_instead_of_small)
{
    model m = make(2, 1e-6);
    ur_check_result r = check(&m, distorted(m.g, 2, 0));
    ck_assert_int_eq(r.verdict, UR_WRONG);
    ck_assert_uint_eq(r.worst, 2);
    ck_assert_double_eq(r.analytic, 0);
    ck_assert_double_ne(r.numeric, 0);
    ur_tape_free(m.tape);
}
END_TEST

START_TEST(small_instead_of_zero)
{
    model m = make(N, 1);
    m.x = ur_input(m.tape, "z", UR_SHAPE(3));
    ck_assert_int_eq(check(&m, ur_const(m.tape, UR_SHAPE(3), 1e-6)).verdict, UR_WRONG);
    ur_tape_free(m.tape);
}
END_TEST

START_TEST(all_zero)
{
    model m = make(N, 1);
    ur_check_result r = check(&m, ur_const(m.tape, UR_SHAPE(N), 0));
    ck_assert_int_eq(r.verdict, UR_WRONG);
    ck_assert_uint_eq(r.wrong, N);
    ur_tape_free(m.tape);
}
END_TEST

START_TEST(gradient_that_is_no_number)
{
    static const double bad[] = {NAN, INFINITY, -INFINITY};
    model m = make(N, 1);
    ur_check_result r = check(&m, distorted(m.g, 6, bad[_i]));
    ck_assert_int_eq(r.verdict, UR_WRONG);
    ck_assert_uint_eq(r.wrong, 1);
    ck_assert_uint_eq(r.worst, 6);
    ur_tape_free(m.tape);
}
END_TEST

/* Right and wrong leaves in one call, of several shapes: each has its own result. */
START_TEST(several_leaves)
{
    model m = {.tape = new_tape(UR_F64)};
    ur_var W = ur_param(m.tape, "W", UR_SHAPE(3, 4)), x = ur_input(m.tape, "x", UR_SHAPE(3, 2));
    ur_var b = ur_param(m.tape, "b", UR_SHAPE(4)), leaf[3] = {W, x, b}, g[3];
    ur_check_result r[3];
    fill(W, 12, "W");
    fill(x, 6, "x");
    fill(b, 4, "b");
    m.y = ur_sum(ur_tanh(ur_add(ur_gemm(W, true, x, false), b)));
    ur_grad(m.y, 3, leaf, g);
    ck_assert(ur_check(m.y, 3, leaf, g, tolerance, r));
    for (int k = 0; k < 3; k++)
        ck_assert_int_eq(r[k].verdict, UR_HOLDS);
    ck_assert_uint_eq(r[0].elements, 12);
    ck_assert_uint_eq(r[1].elements, 6);
    ck_assert_uint_eq(r[2].elements, 4);
    g[1] = ur_scale(g[1], 1.01);
    ck_assert(ur_check(m.y, 3, leaf, g, tolerance, r));
    ck_assert_int_eq(r[0].verdict, UR_HOLDS);
    ck_assert_int_eq(r[1].verdict, UR_WRONG);
    ck_assert_int_eq(r[2].verdict, UR_HOLDS);
    ur_tape_free(m.tape);
}
END_TEST

/* ---- where differences cannot tell */

typedef struct doubtful {
    const char *what;
    ur_var (*function)(ur_var x);
    double x;
} doubtful;

static ur_var absolute(ur_var x)
{
    return ur_add(ur_relu(x), ur_relu(ur_neg(x)));
}

/* 1 + 1e-20 x is 1 in f64 */
static ur_var lost(ur_var x)
{
    return ur_add(ur_scale(x, 1e-20), ur_const(x.tape, UR_SCALAR, 1));
}

/* 1e12 + x^2/1e6: the last digit of y is 1e-4 */
static ur_var noise(ur_var x)
{
    return ur_add(ur_scale(ur_square(x), 1e-6), ur_const(x.tape, UR_SCALAR, 1e12));
}

/* x + ln(-1) */
static ur_var no_number(ur_var x)
{
    return ur_add(x, ur_log(ur_const(x.tape, UR_SCALAR, -1)));
}

/* ln(-1), and x that does not matter: the gradient is 0 */
static ur_var no_number_at_all(ur_var x)
{
    return ur_add(ur_detach(x), ur_log(ur_const(x.tape, UR_SCALAR, -1)));
}

static const doubtful doubts[] = {
    {"relu at 0", ur_relu, 0},
    {"relu just right of 0", ur_relu, 1e-9},
    {"relu just left of 0", ur_relu, -1e-9},
    {"|x| at 0", absolute, 0},
    {"the step at 0", ur_step_function, 0},
    {"a function whose change is lost in rounding", lost, 0.5},
    {"rounding noise", noise, 0.5},
    {"a function that is NaN", no_number, 0.5},
    {"a function that is NaN, and a gradient of 0", no_number_at_all, 0.5},
};
enum { DOUBTS = sizeof doubts / sizeof *doubts };

/* Neither a pass nor a mistake; a smooth element beside it holds. */
START_TEST(unstable)
{
    const doubtful *d = &doubts[_i];
    model m = {.tape = new_tape(UR_F64)};
    m.x = input_of(m.tape, "x", 1, &d->x);
    m.y = ur_sum(d->function(m.x));
    ur_grad(m.y, 1, &m.x, &m.g);
    ur_check_result r = check(&m, m.g);
    ck_assert_msg(r.verdict == UR_UNSTABLE && r.unstable == 1 && r.wrong == 0,
                  "%s: verdict %d, analytic %g, numeric %g +- %g", d->what, (int)r.verdict, r.analytic, r.numeric,
                  r.estimate);
    ur_tape_free(m.tape);
}
END_TEST

/* A softmax does not change where s is added to all of its net values: the terms of the derivative by s cancel, but for
 * rounding, and it holds. One that is off by 1e-9 of the largest derivative is seen to be wrong. */
START_TEST(a_sum_that_cancels)
{
    const double s = 0.3, c[] = {0.1, 0.7, -0.4, 1.3, 0.9};
    model m = {.tape = new_tape(UR_F64)};
    ur_var w = input_of(m.tape, "w", 5, c), out, wrt[2], g[2];
    m.x = wrt[0] = input_of(m.tape, "s", 1, &s);
    wrt[1] = w;
    out = ur_softmax(ur_reshape(ur_add(ur_scale(w, 0.5), m.x), UR_SHAPE(5, 1)));
    m.y = ur_sum(ur_mul(out, ur_reshape(w, UR_SHAPE(5, 1))));
    ck_assert(ur_grad(m.y, 2, wrt, g));
    ur_check_result r[2];
    ck_assert(ur_check(m.y, 2, wrt, g, 1e-6, r));
    ck_assert_double_ne(r[0].analytic, 0);
    ck_assert_int_eq(r[0].verdict, UR_HOLDS);
    g[0] = ur_add(g[0], ur_const(m.tape, UR_SCALAR, 1e-9));
    ck_assert(ur_check(m.y, 2, wrt, g, 1e-6, r));
    ck_assert_int_eq(r[0].verdict, UR_WRONG);
    ur_tape_free(m.tape);
}
END_TEST

/* A derivative that is infinite, that of sqrt at 0, is no measure for others: 1e-6 b beside 1e12 cannot be told. */
START_TEST(unstable_beside_an_infinite_one)
{
    model m = {.tape = new_tape(UR_F64)};
    ur_var wrt[] = {input_of(m.tape, "a", 1, (double[]){0}), input_of(m.tape, "b", 1, (double[]){0.5})}, g[2];
    m.y = ur_sum(ur_add(ur_add(ur_sqrt(wrt[0]), ur_const(m.tape, UR_SCALAR, 1e12)), ur_scale(wrt[1], 1e-6)));
    ck_assert(ur_grad(m.y, 2, wrt, g));
    ur_check_result r[2];
    ck_assert(ur_check(m.y, 2, wrt, g, 1e-6, r));
    ck_assert_int_eq(r[0].verdict, UR_WRONG);
    ck_assert_int_eq(r[1].verdict, UR_UNSTABLE);
    ur_tape_free(m.tape);
}
END_TEST

/* At a kink the slopes of both sides, and all between, may be right; nothing else is. */
START_TEST(wrong_at_a_kink)
{
    model m = {.tape = new_tape(UR_F64)};
    m.x = ur_input(m.tape, "x", UR_SHAPE(2));
    m.y = ur_sum(ur_relu(m.x));
    ur_check_result r = check(&m, input_of(m.tape, "g", 2, (double[]){2, 1}));
    ck_assert_int_eq(r.verdict, UR_WRONG);
    ck_assert_uint_eq(r.wrong, 1);
    ur_tape_free(m.tape);
}
END_TEST

/* One element at the kink among smooth ones: it is the worst; a wrong one goes before it. */
START_TEST(unstable_among_others)
{
    double x[N];
    for (size_t i = 0; i < N; i++)
        x[i] = i == 7 ? 0 : 0.1 * ((double)i - 5.5);
    model m = {.tape = new_tape(UR_F64)};
    m.x = input_of(m.tape, "x", N, x);
    m.y = ur_sum(ur_relu(m.x));
    ur_grad(m.y, 1, &m.x, &m.g);
    ur_check_result r = check(&m, m.g);
    ck_assert_int_eq(r.verdict, UR_UNSTABLE);
    ck_assert_uint_eq(r.unstable, 1);
    ck_assert_uint_eq(r.wrong, 0);
    ck_assert_uint_eq(r.worst, 7);
    r = check(&m, distorted(m.g, 10, 1.001));
    ck_assert_int_eq(r.verdict, UR_WRONG);
    ck_assert_uint_eq(r.unstable, 1);
    ck_assert_uint_eq(r.wrong, 1);
    ck_assert_uint_eq(r.worst, 10);
    ur_tape_free(m.tape);
}
END_TEST

/* ---- the second order: the gradient of y2 = sum(r g) */

START_TEST(second_order)
{
    double r[N];
    for (size_t i = 0; i < N; i++)
        r[i] = ur_random(9, "r", i) - 0.5;
    model m = make(N, 1), second = m;
    second.y = ur_sum(ur_mul(input_of(m.tape, "r", N, r), m.g));
    ur_grad(second.y, 1, &m.x, &second.g);
    ck_assert_int_eq(check(&second, second.g).verdict, UR_HOLDS);
    ck_assert_int_eq(check(&second, ur_neg(second.g)).verdict, UR_WRONG);
    ck_assert_int_eq(check(&second, ur_scale(second.g, 1 + 1e-5)).verdict, UR_WRONG);
    ck_assert_int_eq(check(&second, m.g).verdict, UR_WRONG);
    ck_assert_int_eq(check(&m, m.g).verdict, UR_HOLDS);
    ur_tape_free(m.tape);
}
END_TEST

/* ---- what is refused */

static void check_refused(const model *m, const char *what, const char *more)
{
    ur_check_result r;
    ck_assert(!ur_check(m->y, 1, &m->x, &m->g, tolerance, &r));
    const char *error = ur_tape_error(m->tape);
    ck_assert_ptr_nonnull(error);
    ck_assert_msg(strstr(error, what) && strstr(error, more), "no %s or no %s in: %s", what, more, error);
    ur_tape_free(m->tape);
}

START_TEST(refuses_f32)
{
    model m = {.tape = new_tape(UR_F32)};
    m.x = ur_input(m.tape, "x", UR_SHAPE(3));
    m.y = ur_sum(m.x);
    ur_grad(m.y, 1, &m.x, &m.g);
    check_refused(&m, "ur_check: a tape of f64", "f32");
}
END_TEST

START_TEST(refuses_what_is_no_scalar)
{
    model m = make(N, 1);
    m.y = ur_name(ur_tanh(m.x), "h");
    check_refused(&m, "ur_check: a scalar", "h[12]");
}
END_TEST

START_TEST(refuses_other_shapes)
{
    model m = make(N, 1);
    m.g = ur_name(ur_const(m.tape, UR_SHAPE(3, 4), 0), "slope");
    check_refused(&m, "ur_check: slope[3,4]", "x[12]");
}
END_TEST

START_TEST(refuses_what_is_no_leaf)
{
    model m = make(N, 1);
    m.x = ur_name(ur_tanh(m.x), "h");
    check_refused(&m, "input or parameter", "h[12]");
}
END_TEST

START_TEST(refuses_states)
{
    model m = make(N, 1);
    ck_assert(ur_state(m.x, ur_tanh(m.x)));
    check_refused(&m, "ur_check: ", "ur_state");
}
END_TEST

START_TEST(refuses_strangers)
{
    model m = make(N, 1), other = make(N, 1), none = {.tape = m.tape};
    ur_check_result r;
    ck_assert(!ur_check(m.y, 1, &m.x, &other.g, tolerance, &r));
    ck_assert(strstr(ur_tape_error(m.tape), "another tape"));
    ck_assert(!ur_check(none.y, 0, NULL, NULL, tolerance, NULL)); /* no tape at all */
    ur_tape_clear(other.tape);
    ck_assert(!ur_check(other.y, 1, &other.x, &other.g, tolerance, &r));
    ck_assert(strstr(ur_tape_error(other.tape), "stale"));
    ur_tape_free(m.tape);
    ur_tape_free(other.tape);
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("check");
    tcase_add_test(tests, right_gradient_holds);
    tcase_add_test(tests, error_below_the_tolerance_holds);
    tcase_add_test(tests, sizes_hold);
    tcase_add_test(tests, no_dependence_holds);
    tcase_add_test(tests, near_a_kink_holds);
    tcase_add_test(tests, flipped_sign);
    tcase_add_test(tests, slightly_wrong_factor);
    tcase_add_loop_test(tests, single_wrong_element, 0, N);
    tcase_add_test(tests, worst_of_several);
    tcase_add_loop_test(tests, small_wrong_element, 0, 4);
    tcase_add_test(tests, zero_instead_of_small);
    tcase_add_test(tests, small_instead_of_zero);
    tcase_add_test(tests, all_zero);
    tcase_add_loop_test(tests, gradient_that_is_no_number, 0, 3);
    tcase_add_test(tests, several_leaves);
    tcase_add_loop_test(tests, unstable, 0, DOUBTS);
    tcase_add_test(tests, wrong_at_a_kink);
    tcase_add_test(tests, unstable_among_others);
    tcase_add_test(tests, a_sum_that_cancels);
    tcase_add_test(tests, unstable_beside_an_infinite_one);
    tcase_add_test(tests, second_order);
    tcase_add_test(tests, refuses_f32);
    tcase_add_test(tests, refuses_what_is_no_scalar);
    tcase_add_test(tests, refuses_other_shapes);
    tcase_add_test(tests, refuses_what_is_no_leaf);
    tcase_add_test(tests, refuses_states);
    tcase_add_test(tests, refuses_strangers);
    Suite *suite = suite_create("check");
    return run_cases(suite, tests);
}
