/* test_tape.c - the tape by itself: handles, names, shapes, memory, gradients, plans, states, random numbers, diagrams.
 * Values are compared with closed forms, texts with the words that graph.h promises. */
#include <check.h>
#include <limits.h>
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "../layers/layers.h"
#include "heap.h"

static ur_tape *new_tape(ur_dtype dtype)
{
    ur_tape *tape = ur_tape_new(&(ur_tape_options){.dtype = dtype});
    ck_assert_ptr_nonnull(tape);
    return tape;
}

static void assert_good(const ur_tape *tape)
{
    const char *error = ur_tape_error(tape);
    ck_assert_msg(!error, "%s", error);
}

/* The tape's error has this text somewhere in it. */
static void assert_refused(const ur_tape *tape, const char *words)
{
    const char *error = ur_tape_error(tape);
    ck_assert_msg(error != NULL, "'%s' was expected, there is no error", words);
    ck_assert_msg(strstr(error, words) != NULL, "'%s' was expected in '%s'", words, error);
}

static void assert_poisoned(ur_var v)
{
    ck_assert_uint_eq(v.index, UR_NONE);
}

static void assert_close(double found, double expected, double tolerance)
{
    ck_assert_msg(fabs(found - expected) <= tolerance * fmax(1, fabs(expected)), "%.17g, %.17g was expected", found,
                  expected);
}

static ur_var input(ur_tape *tape, const char *name, ur_shape shape, const double *values)
{
    ur_var v = ur_input(tape, name, shape);
    ck_assert(ur_write(v, ur_shape_count(shape), values));
    return v;
}

static ur_var scalar(ur_tape *tape, const char *name, double value)
{
    return input(tape, name, UR_SCALAR, &value);
}

/* The values of n nodes of an f64 tape, one behind another. */
static void evaluate(ur_tape *tape, size_t n, const ur_var *v, size_t count, double *out)
{
    size_t found;
    ur_plan *plan = ur_plan_new(tape, &(ur_plan_options){.roots = n, .root = v});
    assert_good(tape);
    ck_assert(ur_plan_run(plan));
    const double *values = (const double *)ur_plan_roots(plan, &found);
    ck_assert_uint_eq(found, count);
    memcpy(out, values, count * sizeof *out);
    ur_plan_free(plan);
}

static double value_of(ur_var v)
{
    double out;
    evaluate(v.tape, 1, &v, 1, &out);
    return out;
}

/* ---- handles */

/* What a call does with a handle `bad`; `good` and `plan` belong to the tape that shall refuse it. */
typedef void use(ur_var good, ur_var bad, ur_plan *plan);

static void use_first(ur_var good, ur_var bad, ur_plan *plan)
{
    (void)good, (void)plan;
    assert_poisoned(ur_tanh(bad));
}

static void use_name(ur_var good, ur_var bad, ur_plan *plan)
{
    (void)good, (void)plan;
    assert_poisoned(ur_name(bad, "h"));
}

static void use_keep(ur_var good, ur_var bad, ur_plan *plan)
{
    (void)good, (void)plan;
    assert_poisoned(ur_keep(bad));
}

static void use_write(ur_var good, ur_var bad, ur_plan *plan)
{
    (void)good, (void)plan;
    ck_assert(!ur_write(bad, 1, (double[]){1}));
}

static void use_leaf(ur_var good, ur_var bad, ur_plan *plan)
{
    (void)good, (void)plan;
    ck_assert_ptr_null(ur_leaf(bad));
}

static void use_look(ur_var good, ur_var bad, ur_plan *plan)
{
    ur_node node;
    (void)good, (void)plan;
    ck_assert(!ur_look(bad, &node));
}

static void use_node_input(ur_var good, ur_var bad, ur_plan *plan)
{
    (void)good, (void)plan;
    assert_poisoned(ur_node_input(bad, 0));
}

static void use_node_scope(ur_var good, ur_var bad, ur_plan *plan)
{
    char text[8];
    (void)good, (void)plan;
    ck_assert(!ur_node_scope(bad, text, sizeof text));
}

static void use_formula(ur_var good, ur_var bad, ur_plan *plan)
{
    char text[8];
    (void)good, (void)plan;
    ck_assert_uint_eq(ur_formula(bad, text, sizeof text), 0);
}

static void use_detach(ur_var good, ur_var bad, ur_plan *plan)
{
    (void)good, (void)plan;
    assert_poisoned(ur_detach(bad));
}

static void use_reduce(ur_var good, ur_var bad, ur_plan *plan)
{
    (void)good, (void)plan;
    assert_poisoned(ur_reduce_to(bad, UR_SCALAR));
}

static void use_broadcast(ur_var good, ur_var bad, ur_plan *plan)
{
    (void)good, (void)plan;
    assert_poisoned(ur_broadcast(bad, UR_SHAPE(2)));
}

static void use_grad_y(ur_var good, ur_var bad, ur_plan *plan)
{
    ur_var out = good;
    (void)plan;
    ck_assert(!ur_grad(bad, 1, &good, &out));
    assert_poisoned(out);
}

static void use_state_leaf(ur_var good, ur_var bad, ur_plan *plan)
{
    (void)plan;
    ck_assert(!ur_state(bad, good));
}

static void use_second(ur_var good, ur_var bad, ur_plan *plan)
{
    (void)plan;
    assert_poisoned(ur_add(good, bad));
}

static void use_total(ur_var good, ur_var bad, ur_plan *plan)
{
    (void)plan;
    assert_poisoned(ur_total(3, (ur_var[]){good, good, bad}));
}

static void use_grad_wrt(ur_var good, ur_var bad, ur_plan *plan)
{
    ur_var wrt[] = {good, bad}, out[] = {good, good};
    (void)plan;
    ck_assert(!ur_grad(good, 2, wrt, out));
    assert_poisoned(out[0]);
    assert_poisoned(out[1]);
}

static void use_state_value(ur_var good, ur_var bad, ur_plan *plan)
{
    (void)plan;
    ck_assert(!ur_state(good, bad));
}

static void use_root(ur_var good, ur_var bad, ur_plan *plan)
{
    ur_var root[] = {good, bad};
    (void)plan;
    ck_assert_ptr_null(ur_plan_new(good.tape, &(ur_plan_options){.roots = 2, .root = root}));
}

static void use_value(ur_var good, ur_var bad, ur_plan *plan)
{
    (void)good;
    ck_assert_ptr_null(ur_value(plan, bad));
}

static void use_read(ur_var good, ur_var bad, ur_plan *plan)
{
    double out;
    (void)good;
    ck_assert(!ur_read(plan, bad, 1, &out));
}

static void use_dot(ur_var good, ur_var bad, ur_plan *plan)
{
    (void)plan;
    ck_assert(!ur_dot(good.tape, 1, &bad, NULL, stdout));
}

static void use_check(ur_var good, ur_var bad, ur_plan *plan)
{
    ur_check_result result;
    (void)plan;
    ck_assert(!ur_check(good, 1, &good, &bad, 1e-6, &result));
}

/* Those that know the tape from the bad handle alone come first. */
enum { ALONE = 14 };
static use *const uses[] = {
    use_first,      use_name,       use_keep,    use_write,  use_leaf,     use_look,
    use_node_input, use_node_scope, use_formula, use_detach, use_reduce,   use_broadcast,
    use_grad_y,     use_state_leaf, use_second,  use_total,  use_grad_wrt, use_state_value,
    use_root,       use_value,      use_read,    use_dot,    use_check,
};
enum { USES = sizeof uses / sizeof *uses };

/* Every use from `first` on of what `make_bad` gives is refused with these words, and the tape recovers by a clear. */
static void check_uses(int first, ur_var (*make_bad)(ur_tape *tape, ur_tape *other), const char *words)
{
    for (int i = first; i < USES; i++) {
        ur_tape *tape = new_tape(UR_F64), *other = new_tape(UR_F64);
        ur_var bad = make_bad(tape, other), good = ur_input(tape, "good", UR_SCALAR);
        ur_plan *plan = ur_plan_new(tape, &(ur_plan_options){.roots = 1, .root = &good});
        assert_good(tape);
        uses[i](good, bad, plan);
        assert_refused(tape, words);
        ck_assert_ptr_null(ur_tape_error(other));
        ur_plan_free(plan);
        ur_tape_clear(tape);
        assert_close(value_of(ur_add(scalar(tape, "a", 2), scalar(tape, "b", 3))), 5, 0);
        ur_tape_free(tape);
        ur_tape_free(other);
    }
}

static ur_var make_stale(ur_tape *tape, ur_tape *other)
{
    (void)other;
    ur_var v = ur_input(tape, "x", UR_SCALAR);
    ur_tape_clear(tape);
    return v;
}

static ur_var make_foreign(ur_tape *tape, ur_tape *other)
{
    (void)tape;
    return ur_input(other, "x", UR_SCALAR);
}

static ur_var make_nothing(ur_tape *tape, ur_tape *other)
{
    (void)tape, (void)other;
    return (ur_var){0};
}

static ur_var make_missing(ur_tape *tape, ur_tape *other)
{
    (void)other;
    return ur_find(tape, "there is none", 1);
}

static ur_var make_forged(ur_tape *tape, ur_tape *other)
{
    (void)other;
    ur_var v = ur_input(tape, "x", UR_SCALAR);
    v.index += 1000;
    return v;
}

START_TEST(bad_handles_are_refused_with_words)
{
    check_uses(0, make_stale, "a stale value, from before ur_tape_clear");
    check_uses(ALONE, make_foreign, "a value of another tape");
    check_uses(ALONE, make_nothing, "not a value of any tape");
    check_uses(0, make_missing, "not a value of this tape");
    check_uses(0, make_forged, "not a value of this tape");
}
END_TEST

/* A handle of no tape has nowhere to leave words; it is refused all the same. */
START_TEST(a_handle_of_no_tape)
{
    for (int i = 0; i < ALONE; i++)
        uses[i]((ur_var){0}, (ur_var){0}, NULL);
    ck_assert_ptr_null(ur_value(NULL, (ur_var){0}));
    ck_assert(!ur_read(NULL, (ur_var){0}, 0, NULL));
    assert_poisoned(ur_add((ur_var){0}, (ur_var){0}));
    assert_poisoned(ur_total(0, NULL));
    ck_assert(!ur_check((ur_var){0}, 0, NULL, NULL, 1e-6, NULL));
}
END_TEST

START_TEST(a_plan_from_before_a_clear)
{
    ur_tape *tape = new_tape(UR_F64);
    ur_var old = ur_keep(ur_square(scalar(tape, "x", 3)));
    ur_plan *plan = ur_plan_new(tape, NULL);
    ck_assert(ur_plan_run(plan));
    ur_tape_clear(tape);
    ck_assert(!ur_plan_run(plan));
    assert_refused(tape, "stale plan");

    ur_tape_clear(tape); /* a new value at the old one's place is not in the old plan */
    ur_var now = ur_keep(ur_square(scalar(tape, "x", 5)));
    ck_assert_uint_eq(now.index, old.index);
    assert_good(tape);
    ck_assert_ptr_null(ur_value(plan, now));
    assert_refused(tape, "stale plan");
    ur_plan_free(plan);
    ur_tape_free(tape);
}
END_TEST

START_TEST(a_null_tape_is_accepted)
{
    ur_var v;
    size_t count = 7;
    ck_assert_str_eq(ur_tape_error(NULL), "no memory for a tape");
    ur_tape_fail(NULL, "%d", 1);
    ur_tape_clear(NULL);
    ur_tape_free(NULL);
    ur_tape_dtype(NULL);
    ck_assert_uint_eq(ur_tape_nodes(NULL), 0);
    ck_assert_uint_eq(ur_tape_bytes(NULL), 0);
    ck_assert_ptr_null(ur_tape_memory(NULL, 1));
    assert_poisoned(ur_input(NULL, "x", UR_SCALAR));
    ck_assert(!ur_inputs(NULL, "x", UR_SCALAR, 1, &v));
    assert_poisoned(ur_param(NULL, "W", UR_SCALAR));
    assert_poisoned(ur_const(NULL, UR_SCALAR, 1));
    ck_assert_ptr_null(ur_params(NULL, &count));
    ck_assert_uint_eq(count, 0);
    ck_assert(!ur_param_at(NULL, 0, NULL, NULL, NULL));
    ck_assert(!ur_params_copy(NULL, NULL));
    ur_step(NULL, 1);
    ur_scope_open(NULL, "lstm");
    ur_module_open(NULL, "layer0");
    ur_scope_close(NULL);
    assert_poisoned(ur_find(NULL, "h", 1));
    assert_poisoned(ur_node_at(NULL, 0));
    ck_assert_ptr_null(ur_plan_new(NULL, NULL));
    ur_plan_free(NULL);
    ck_assert(!ur_plan_run(NULL));
    count = 7;
    ck_assert_ptr_null(ur_plan_roots(NULL, &count));
    ck_assert_uint_eq(count, 0);
    ck_assert_uint_eq(ur_plan_bytes(NULL), 0);
    ck_assert(!ur_dot(NULL, 0, NULL, NULL, stdout));
    ck_assert_ptr_null(
        ur_net_new(NULL, &(ur_net_options){.cell = ur_cell_find("rnn"), .inputs = 1, .hidden = 1}, 1, 1));
}
END_TEST

START_TEST(the_first_error_stays)
{
    ur_tape *tape = new_tape(UR_F64);
    ur_var a = ur_input(tape, "a", UR_SHAPE(2, 3)), b = ur_input(tape, "b", UR_SHAPE(4, 3));
    ur_var bad = ur_tanh(ur_add(a, b));
    char first[UR_ERROR_BYTES];
    snprintf(first, sizeof first, "%s", ur_tape_error(tape));
    ck_assert_str_eq(first, "add(a[2,3], b[4,3]): sizes differ and neither is 1");
    size_t nodes = ur_tape_nodes(tape);
    assert_poisoned(bad);
    assert_poisoned(ur_matmul(a, bad));
    assert_poisoned(ur_param(tape, "W", UR_SHAPE(0)));
    ur_step(tape, -1);
    ur_scope_close(tape);
    ur_tape_fail(tape, "another error");
    ck_assert(!ur_grad(a, 1, &a, &b));
    ck_assert_ptr_null(ur_plan_new(tape, NULL));
    ck_assert_str_eq(ur_tape_error(tape), first);
    ck_assert_uint_eq(ur_tape_nodes(tape), nodes);
    ur_tape_clear(tape);
    assert_good(tape);
    ur_tape_fail(tape, "%d\nlines", 2); /* one line, whatever the caller wrote */
    ck_assert_str_eq(ur_tape_error(tape), "2 lines");
    ur_tape_free(tape);
}
END_TEST

START_TEST(an_error_names_scope_and_step)
{
    ur_tape *tape = new_tape(UR_F32);
    ur_var x = ur_input(tape, "x", UR_SHAPE(5, 6));
    ur_step(tape, 3);
    ur_scope_open(tape, "lstm");
    ur_scope_open(tape, "phi");
    ur_gemm(ur_param(tape, "Wphi", UR_SHAPE(3, 4)), true, x, false);
    ck_assert_str_eq(
        ur_tape_error(tape),
        "matmul(Wphi[3,4], x[5,6]) in lstm/phi, step 3: inner sizes differ, 3 and 5 (the first is transposed)");

    ur_tape_clear(tape); /* ends steps and scopes too */
    ur_matmul(ur_input(tape, "a", UR_SHAPE(2, 3)), ur_tanh(ur_input(tape, "b", UR_SHAPE(2, 3))));
    ck_assert_str_eq(ur_tape_error(tape), "matmul(a[2,3], tanh[2,3]): inner sizes differ, 3 and 2");

    ur_tape_clear(tape);
    ur_var a = ur_input(tape, "a", UR_SHAPE(2)), b = ur_input(tape, "b", UR_SHAPE(3));
    ur_step(tape, 12);
    ur_total(2, (ur_var[]){a, b});
    assert_refused(tape, "(a[2], b[3]) at step 12: ");
    ur_tape_free(tape);
}
END_TEST

START_TEST(steps_and_scopes_out_of_order)
{
    ur_tape *tape = new_tape(UR_F64);
    ur_scope_close(tape);
    assert_refused(tape, "no scope is open");
    ur_tape_clear(tape);
    ur_step(tape, -1);
    assert_refused(tape, "-1");
    ur_tape_clear(tape);
    ur_step(tape, (int64_t)1 << 40);
    assert_refused(tape, "1099511627776");
    ur_tape_clear(tape);
    ur_var v;
    ck_assert(!ur_inputs(tape, "x", UR_SCALAR, 0, &v));
    assert_refused(tape, "x");
    ur_tape_free(tape);
}
END_TEST

/* ---- parameters and names */

START_TEST(modules_come_before_parameter_names)
{
    ur_tape *tape = new_tape(UR_F64);
    const char *name = NULL;
    char path[32];
    ur_node node;
    ur_module_open(tape, "layer0");
    ur_scope_open(tape, "lstm"); /* a scope alone leaves no trace in the name */
    ur_module_open(tape, "back");
    ur_var back = ur_param(tape, "Wh", UR_SHAPE(2, 2));
    ur_scope_close(tape);
    ur_var forth = ur_param(tape, "Wh", UR_SHAPE(3, 3));
    ur_scope_close(tape);
    ur_scope_close(tape);
    ur_var top = ur_param(tape, "Wh", UR_SHAPE(4, 4));
    assert_good(tape);
    static const char *const names[] = {"layer0.back.Wh", "layer0.Wh", "Wh"};
    const ur_var params[] = {back, forth, top};
    for (size_t k = 0; k < 3; k++) {
        ur_var found;
        ck_assert(ur_param_at(tape, k, &found, &name, NULL));
        ck_assert_str_eq(name, names[k]);
        ck_assert_uint_eq(found.index, params[k].index);
        ck_assert_uint_eq(ur_find(tape, names[k], 0).index, params[k].index);
    }
    ck_assert(!ur_param_at(tape, 3, NULL, NULL, NULL));
    ck_assert(ur_look(back, &node) && node.step == 0);
    ck_assert_str_eq(node.name, "layer0.back.Wh");
    ck_assert(ur_node_scope(back, path, sizeof path));
    ck_assert_str_eq(path, "layer0/lstm/back");
    ur_tape_free(tape);
}
END_TEST

START_TEST(a_parameter_is_declared_once)
{
    ur_tape *tape = new_tape(UR_F64);
    ur_var first = ur_param(tape, "W", UR_SHAPE(2, 3));
    ur_step(tape, 1);
    size_t nodes = ur_tape_nodes(tape);
    ur_scope_open(tape, "gate");
    ur_var again = ur_param(tape, "W", UR_SHAPE(2, 3));
    ur_scope_close(tape);
    ck_assert_uint_eq(again.index, first.index);
    ck_assert_uint_eq(ur_tape_nodes(tape), nodes);
    assert_poisoned(ur_param(tape, "W", UR_SHAPE(3, 2)));
    ck_assert_str_eq(ur_tape_error(tape), "parameter W: declared as [2,3] before and as [3,2] now");
    ur_tape_free(tape);
}
END_TEST

/* One vector in the order of the declarations; it may move, and keeps what was written. */
static void check_vector(ur_dtype dtype)
{
    enum { PARAMS = 40 };
    ur_tape *tape = new_tape(dtype);
    size_t expected = 0, count, offset;
    for (int k = 0; k < PARAMS; k++) {
        char name[16];
        double values[PARAMS];
        snprintf(name, sizeof name, "W%d", k);
        for (int i = 0; i <= k; i++)
            values[i] = 100 * k + i;
        ur_var W = ur_param(tape, name, UR_SHAPE(k + 1));
        ck_assert(ur_write(W, (size_t)k + 1, values));
    }
    for (size_t k = 0; k < PARAMS; k++) {
        ck_assert(ur_param_at(tape, k, NULL, NULL, &offset));
        ck_assert_uint_eq(offset, expected);
        expected += k + 1;
    }
    void *theta = ur_params(tape, &count);
    ck_assert_uint_eq(count, expected);
    for (int k = 0, at = 0; k < PARAMS; k++)
        for (int i = 0; i <= k; i++, at++)
            ck_assert_double_eq(dtype == UR_F32 ? (double)((float *)theta)[at] : ((double *)theta)[at], 100 * k + i);
    ur_tape_free(tape);
}

START_TEST(parameters_are_one_vector)
{
    check_vector(UR_F32);
    check_vector(UR_F64);
}
END_TEST

START_TEST(parameters_are_copied_by_name)
{
    ur_tape *from = new_tape(UR_F64), *to = new_tape(UR_F32);
    ur_write(ur_param(from, "a", UR_SCALAR), 1, (double[]){0.1});
    ur_write(ur_param(from, "b", UR_SHAPE(2)), 2, (double[]){2, 3});
    ur_var b = ur_param(to, "b", UR_SHAPE(2)), a = ur_param(to, "a", UR_SCALAR);
    ck_assert(ur_params_copy(to, from));
    ck_assert(((float *)ur_leaf(a))[0] == 0.1f);
    ck_assert(((float *)ur_leaf(b))[0] == 2 && ((float *)ur_leaf(b))[1] == 3);
    ur_param(to, "c", UR_SHAPE(5));
    ck_assert(!ur_params_copy(to, from));
    assert_refused(to, "c[5]");
    ur_tape_clear(to);
    ur_param(to, "b", UR_SHAPE(3));
    ck_assert(!ur_params_copy(to, from));
    assert_refused(to, "b[3]: the other tape has it as [2]");
    ur_tape_free(from);
    ur_tape_free(to);
}
END_TEST

START_TEST(values_are_found_by_name_and_step)
{
    ur_tape *tape = new_tape(UR_F64);
    ur_var h[4] = {ur_name(ur_const(tape, UR_SHAPE(2), 0), "h")}, W = ur_param(tape, "W", UR_SHAPE(2));
    for (int t = 1; t < 4; t++) {
        ur_step(tape, t);
        h[t] = ur_name(ur_mul(W, h[t - 1]), "h");
    }
    ur_node node;
    for (int t = 0; t < 4; t++) {
        ck_assert_uint_eq(ur_find(tape, "h", t).index, h[t].index);
        ck_assert_uint_eq(ur_find(tape, "W", t).index, W.index);
        ck_assert(ur_look(h[t], &node) && node.step == t);
        ck_assert_str_eq(node.name, "h");
    }
    assert_poisoned(ur_find(tape, "h", 4));
    assert_poisoned(ur_find(tape, "hh", 1));
    assert_poisoned(ur_find(tape, "", 1));
    assert_good(tape);
    assert_poisoned(ur_name(ur_tanh(h[2]), "h"));
    assert_refused(tape, "another value is named h at step 3");
    ur_tape_free(tape);
}
END_TEST

START_TEST(many_names)
{
    enum { STEPS = 3000 };
    ur_tape *tape = new_tape(UR_F32);
    ur_var *x = (ur_var *)ur_tape_memory(tape, STEPS * sizeof *x);
    ck_assert(ur_inputs(tape, "x", UR_SHAPE(2), STEPS, x));
    for (int t = 1; t <= STEPS; t++) {
        ck_assert_uint_eq(ur_find(tape, "x", t).index, x[t - 1].index);
        ck_assert_ptr_eq(ur_leaf(x[t - 1]), (float *)ur_leaf(x[0]) + (ptrdiff_t)2 * (t - 1));
    }
    char name[300];
    memset(name, 'W', sizeof name);
    name[299] = 0;
    assert_poisoned(ur_param(tape, name, UR_SCALAR));
    assert_refused(tape, "longer than");
    ur_tape_free(tape);
}
END_TEST

/* ---- shapes */

START_TEST(impossible_sizes_are_refused)
{
    static const struct {
        ur_shape shape;
        const char *text;
    } wrong[] = {
        {UR_SIZES(0), "[0]"},
        {UR_SIZES(3, 0), "[3,0]"},
        {UR_SIZES(-1), "[-1]"},
        {UR_SIZES(-2, -3), "[-2,-3]"},
        {UR_SIZES(1, 1, 1, INT64_MIN), "[1,1,1,-9223372036854775808]"},
        {UR_SIZES(((int64_t)1 << 40) + 1), "[1099511627777]"},
        {UR_SIZES(1 << 20, 1 << 20, 2), "[1048576,1048576,2]"},
        {UR_SIZES(1, 1 << 21, 1 << 20), "[1,2097152,1048576]"},
        {UR_SIZES((int64_t)1 << 32, (int64_t)1 << 32), "[4294967296,4294967296]"},
        {UR_SIZES(((int64_t)1 << 32) + 1, ((int64_t)1 << 32) + 1), "[4294967297,4294967297]"}, /* 2^33 + 1 mod 2^64 */
        {UR_SIZES(INT64_MAX, INT64_MAX, INT64_MAX, INT64_MAX), "[9223372036854775807,"},
        {{.rank = 5, .size = {1, 1, 1, 1}}, "["},
        {{.rank = -1}, "["},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        for (int way = 0; way < 5; way++) {
            ur_tape *tape = new_tape(UR_F32);
            ur_var x = ur_const(tape, UR_SCALAR, 1), out[2];
            ck_assert_uint_eq(ur_shape_count(wrong[i].shape), 0);
            if (way == 0)
                assert_poisoned(ur_input(tape, "x", wrong[i].shape));
            else if (way == 1)
                assert_poisoned(ur_param(tape, "x", wrong[i].shape));
            else if (way == 2)
                assert_poisoned(ur_const(tape, wrong[i].shape, 1));
            else if (way == 3)
                assert_poisoned(ur_broadcast(x, wrong[i].shape));
            else
                ck_assert(!ur_inputs(tape, "x", wrong[i].shape, 2, out));
            assert_refused(tape, wrong[i].text);
            ur_tape_free(tape);
        }
}
END_TEST

START_TEST(the_largest_sizes)
{
    ur_tape *tape = new_tape(UR_F32);
    ck_assert_uint_eq(ur_shape_count(UR_SHAPE(1 << 20, 1 << 20)), (size_t)1 << 40);
    ur_var most = ur_const(tape, UR_SHAPE(1 << 20, 1 << 20), 1); /* a constant takes no memory before a plan */
    ur_tanh(most);
    assert_good(tape);
    ur_matmul(ur_const(tape, UR_SHAPE(1 << 21, 1), 1), ur_const(tape, UR_SHAPE(1, 1 << 20), 1));
    assert_refused(tape, "[2097152,1048576]");
    ur_tape_clear(tape);
    ur_add(ur_const(tape, UR_SHAPE(1 << 21, 1), 1), ur_const(tape, UR_SHAPE(1, 1 << 20), 1));
    assert_refused(tape, "[2097152,1048576]");
    ur_tape_free(tape);
}
END_TEST

START_TEST(shapes_are_counted_and_compared)
{
    char text[UR_SHAPE_TEXT];
    ck_assert_uint_eq(ur_shape_count(UR_SCALAR), 1);
    ck_assert_uint_eq(ur_shape_count(UR_SHAPE(2, 3, 4, 5)), 120);
    const ur_shape scalar_shape = UR_SCALAR, ones = UR_SHAPE(1, 1, 1, 1), column = UR_SHAPE(3, 1), row = UR_SHAPE(1, 3);
    ck_assert(ur_shape_equal(UR_SHAPE(3), column) && ur_shape_equal(scalar_shape, ones));
    ck_assert(!ur_shape_equal(UR_SHAPE(3), row) && !ur_shape_equal(UR_SHAPE(2, 3), UR_SHAPE(3, 2)));
    ck_assert_str_eq(ur_shape_text(UR_SCALAR, text), "[]");
    ck_assert_str_eq(ur_shape_text(UR_SHAPE(3, 4), text), "[3,4]");
    ck_assert_uint_eq(ur_dtype_bytes(UR_F32), sizeof(float));
    ck_assert_uint_eq(ur_dtype_bytes(UR_F64), sizeof(double));
}
END_TEST

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

/* ---- gradients */

START_TEST(detach_has_the_value_and_no_gradient)
{
    ur_tape *tape = new_tape(UR_F64);
    ur_var a = scalar(tape, "a", 3), b = ur_detach(ur_square(a)), y = ur_mul(a, b), g[2], dead;
    ck_assert(ur_grad(y, 2, (ur_var[]){a, b}, g));
    ck_assert(ur_grad(b, 1, &a, &dead));
    double out[5];
    evaluate(tape, 5, (ur_var[]){b, y, g[0], g[1], dead}, 5, out);
    ck_assert(out[0] == 9 && out[1] == 27);
    ck_assert(out[2] == 9); /* not 27 */
    ck_assert(out[3] == 3 && out[4] == 0);
    ur_tape_free(tape);
}
END_TEST

/* y = sum(tanh(W x + b)^2) with a loop by hand. */
START_TEST(gradients_of_any_node)
{
    enum { M = 3, D = 2, B = 2 };
    static const double Wv[M][D] = {{0.3, -0.7}, {1.1, 0.2}, {-0.4, 0.5}}, bv[M] = {0.1, -0.2, 0.3};
    static const double xv[D][B] = {{0.9, -0.4}, {0.6, 0.8}};
    ur_tape *tape = new_tape(UR_F64);
    ur_var W = ur_param(tape, "W", UR_SHAPE(M, D)), b = ur_param(tape, "b", UR_SHAPE(M));
    ur_var x = input(tape, "x", UR_SHAPE(D, B), &xv[0][0]), other = ur_input(tape, "other", UR_SHAPE(4));
    ur_write(W, (size_t)M * D, &Wv[0][0]);
    ur_write(b, M, bv);
    ur_var net = ur_add(ur_matmul(W, x), b), h = ur_tanh(net), y = ur_square(h), later = ur_neg(y);
    ur_var wrt[] = {W, b, x, net, h, y, other, later}, g[8];
    ck_assert(ur_grad(y, 8, wrt, g));
    struct {
        double W[M][D], b[M], x[D][B], net[M][B], h[M][B], y[M][B], other[4], later[M][B];
    } expected = {0};
    enum { COUNT = sizeof expected / sizeof(double) };
    double out[COUNT];
    for (int i = 0; i < M; i++)
        for (int c = 0; c < B; c++) {
            double n = bv[i];
            for (int j = 0; j < D; j++)
                n += Wv[i][j] * xv[j][c];
            double v = tanh(n), d = 2 * v * (1 - v * v);
            expected.y[i][c] = 1;
            expected.h[i][c] = 2 * v;
            expected.net[i][c] = d;
            expected.b[i] += d;
            for (int j = 0; j < D; j++) {
                expected.W[i][j] += d * xv[j][c];
                expected.x[j][c] += d * Wv[i][j];
            }
        }
    evaluate(tape, 8, g, COUNT, out);
    for (int i = 0; i < COUNT; i++)
        assert_close(out[i], ((const double *)&expected)[i], 1e-15);
    for (int i = 0; i < 8; i++) {
        ur_node node, of;
        ck_assert(ur_look(g[i], &node) && ur_look(wrt[i], &of));
        ck_assert(ur_shape_equal(node.shape, of.shape));
    }
    ck_assert(ur_grad(y, 8, wrt, wrt)); /* `out` may be `wrt` */
    evaluate(tape, 8, wrt, COUNT, out);
    for (int i = 0; i < COUNT; i++)
        assert_close(out[i], ((const double *)&expected)[i], 1e-15);
    ur_tape_free(tape);
}
END_TEST

/* Three steps of h = tanh(W h + x); the leaves by which to differentiate. */
enum { CHAIN = 3, CHAIN_LEAVES = 2 + CHAIN };

static ur_var chain(ur_tape *tape, ur_var leaves[CHAIN_LEAVES])
{
    static const double Wv[] = {0.5, -0.3, 0.8, 0.2}, h0[] = {0.4, -0.6};
    leaves[0] = ur_param(tape, "W", UR_SHAPE(2, 2));
    ur_write(leaves[0], 4, Wv);
    ur_var h = leaves[1] = input(tape, "h", UR_SHAPE(2), h0);
    for (int t = 1; t <= CHAIN; t++) {
        ur_step(tape, t);
        leaves[1 + t] = input(tape, "x", UR_SHAPE(2), (double[]){0.1 * t, -0.2 * t});
        h = ur_tanh(ur_add(ur_matmul(leaves[0], h), leaves[1 + t]));
    }
    ur_step(tape, 0);
    return ur_sum(ur_square(h));
}

/* Its gradient by hand. */
typedef struct chain_gradient {
    double W[2][2], h[2], x[CHAIN][2];
} chain_gradient;

static chain_gradient chain_by_hand(void)
{
    static const double W[2][2] = {{0.5, -0.3}, {0.8, 0.2}};
    double h[CHAIN + 1][2] = {{0.4, -0.6}}, adjoint[2];
    for (int t = 1; t <= CHAIN; t++)
        for (int i = 0; i < 2; i++)
            h[t][i] = tanh(W[i][0] * h[t - 1][0] + W[i][1] * h[t - 1][1] + (i ? -0.2 : 0.1) * t);
    chain_gradient g = {0};
    adjoint[0] = 2 * h[CHAIN][0];
    adjoint[1] = 2 * h[CHAIN][1];
    for (int t = CHAIN; t > 0; t--) {
        double d[2];
        for (int i = 0; i < 2; i++) {
            d[i] = adjoint[i] * (1 - h[t][i] * h[t][i]);
            g.x[t - 1][i] = d[i];
            g.W[i][0] += d[i] * h[t - 1][0];
            g.W[i][1] += d[i] * h[t - 1][1];
        }
        for (int j = 0; j < 2; j++)
            adjoint[j] = W[0][j] * d[0] + W[1][j] * d[1];
    }
    g.h[0] = adjoint[0];
    g.h[1] = adjoint[1];
    return g;
}

START_TEST(a_later_call_continues_the_sweep)
{
    enum { COUNT = sizeof(chain_gradient) / sizeof(double) };
    double out[COUNT];
    const chain_gradient by_hand = chain_by_hand();
    const double *expected = (const double *)&by_hand;
    ur_var leaves[CHAIN_LEAVES], g[CHAIN_LEAVES], again[CHAIN_LEAVES];

    ur_tape *at_once = new_tape(UR_F64);
    ur_var y = chain(at_once, leaves);
    ck_assert(ur_grad(y, CHAIN_LEAVES, leaves, g));
    evaluate(at_once, CHAIN_LEAVES, g, COUNT, out);
    for (int i = 0; i < COUNT; i++)
        assert_close(out[i], expected[i], 1e-15);

    static const int orders[][CHAIN_LEAVES] = {{4, 3, 2, 1, 0}, {0, 1, 2, 3, 4}, {2, 4, 0, 3, 1}};
    for (int k = 0; k < 3; k++) {
        ur_tape *tape = new_tape(UR_F64);
        y = chain(tape, leaves);
        for (int i = 0; i < CHAIN_LEAVES; i++)
            ck_assert(ur_grad(y, 1, &leaves[orders[k][i]], &g[orders[k][i]]));
        ck_assert_uint_eq(ur_tape_nodes(tape), ur_tape_nodes(at_once));
        ck_assert(ur_grad(y, CHAIN_LEAVES, leaves, again));
        ck_assert_uint_eq(ur_tape_nodes(tape), ur_tape_nodes(at_once));
        for (int i = 0; i < CHAIN_LEAVES; i++)
            ck_assert_uint_eq(again[i].index, g[i].index);
        evaluate(tape, CHAIN_LEAVES, g, COUNT, out);
        for (int i = 0; i < COUNT; i++)
            assert_close(out[i], expected[i], 1e-15);
        ur_tape_free(tape);
    }
    ur_tape_free(at_once);
}
END_TEST

/* A parameter's gradient is one sum over t, last consumer first; adjoints stand at their node's step and scope. */
START_TEST(the_gradient_is_one_sum)
{
    ur_tape *tape = new_tape(UR_F64);
    ur_var leaves[CHAIN_LEAVES], g[CHAIN_LEAVES];
    ur_var y = chain(tape, leaves);
    ck_assert(ur_grad(y, CHAIN_LEAVES, leaves, g));
    ur_node node;
    ck_assert(ur_look(g[0], &node));
    ck_assert_str_eq(node.op->name, "sum_of");
    ck_assert_uint_eq(node.inputs, CHAIN);
    for (uint32_t k = 0; k < CHAIN; k++) {
        ck_assert(ur_look(ur_node_input(g[0], k), &node));
        ck_assert_int_eq(node.step, CHAIN - (int)k);
    }
    for (int t = 1; t <= CHAIN; t++) {
        ck_assert(ur_look(g[1 + t], &node));
        ck_assert_int_eq(node.step, t);
    }
    ur_tape_free(tape);
}
END_TEST

/* The k-th derivatives of a function of one variable at x. */
static void check_orders(ur_var (*function)(ur_var x), double x, int orders, const double *expected)
{
    ur_tape *tape = new_tape(UR_F64);
    ur_var v = scalar(tape, "x", x), y = function(v);
    for (int k = 0; k <= orders; k++) {
        assert_close(value_of(y), expected[k], 1e-13);
        ck_assert(ur_grad(y, 1, &v, &y));
    }
    ur_tape_free(tape);
}

static ur_var power5(ur_var x)
{
    return ur_mul(x, ur_square(ur_square(x)));
}

static ur_var power5_of_products(ur_var x)
{
    ur_var x2 = ur_mul(x, x);
    return ur_mul(ur_mul(x2, x), x2);
}

static ur_var exp_of_square(ur_var x)
{
    return ur_exp(ur_square(x));
}

static ur_var inverse(ur_var x)
{
    return ur_div(ur_const(x.tape, UR_SCALAR, 1), x);
}

START_TEST(orders_up_to_the_fifth)
{
    double x = 1.3, x2 = x * x, e = exp(x2), t = tanh(x), s = 1 / (1 + exp(-x)), t1 = 1 - t * t, s1 = s * (1 - s);
    const double power[] = {x2 * x2 * x, 5 * x2 * x2, 20 * x2 * x, 60 * x2, 120 * x, 120, 0};
    check_orders(power5, x, 6, power);
    check_orders(power5_of_products, x, 6, power);
    check_orders(exp_of_square, x, 3, (double[]){e, 2 * x * e, (2 + 4 * x2) * e, (12 * x + 8 * x2 * x) * e});
    check_orders(inverse, x, 4, (double[]){1 / x, -1 / x2, 2 / (x2 * x), -6 / (x2 * x2), 24 / (x2 * x2 * x)});
    check_orders(ur_log, x, 3, (double[]){log(x), 1 / x, -1 / x2, 2 / (x2 * x)});
    check_orders(ur_tanh, x, 3, (double[]){t, t1, -2 * t * t1, -2 * t1 * (1 - 3 * t * t)});
    check_orders(ur_sigmoid, x, 3, (double[]){s, s1, s1 * (1 - 2 * s), s1 * (1 - 6 * s1)});
}
END_TEST

START_TEST(mixed_derivatives)
{
    ur_tape *tape = new_tape(UR_F64);
    ur_var a = scalar(tape, "a", 3), b = scalar(tape, "b", -2), g[2], da[2], dab[2];
    ur_var y = ur_mul(ur_square(a), ur_mul(b, ur_square(b))); /* a^2 b^3 */
    ck_assert(ur_grad(y, 2, (ur_var[]){a, b}, g));
    ck_assert(ur_grad(g[0], 2, (ur_var[]){a, b}, da));
    ck_assert(ur_grad(da[1], 2, (ur_var[]){a, b}, dab));
    double out[6];
    evaluate(tape, 6, (ur_var[]){g[0], g[1], da[0], da[1], dab[0], dab[1]}, 6, out);
    const double expected[] = {-48, 108, -16, 72, 24, -72}; /* 2ab^3 3a^2b^2 2b^3 6ab^2 6b^2 12ab */
    for (int i = 0; i < 6; i++)
        ck_assert_double_eq(out[i], expected[i]);
    ur_tape_free(tape);
}
END_TEST

START_TEST(select_blocks_nan_both_ways)
{
    enum { B = 4 };
    static const double alive[B] = {1, 0, 1, 0}, xv[2][B] = {{0.5, NAN, -1, INFINITY}, {2, NAN, 0.25, 1}};
    static const double Wv[] = {0.3, -0.8};
    ur_tape *tape = new_tape(UR_F64);
    ur_var c = input(tape, "alive", UR_SHAPE(1, B), alive), x = input(tape, "x", UR_SHAPE(2, B), &xv[0][0]);
    ur_var W = ur_param(tape, "W", UR_SHAPE(1, 2));
    ur_write(W, 2, Wv);
    ur_var safe = ur_select(c, x, ur_const(tape, UR_SCALAR, 0));
    ur_var y = ur_sum(ur_square(ur_matmul(W, safe))), g[2], second;
    ck_assert(ur_grad(y, 2, (ur_var[]){W, x}, g));
    ck_assert(ur_grad(ur_sum(g[0]), 1, &x, &second));
    double out[1 + 2 + 4 * B], expected[1 + 2 + 4 * B] = {0};
    for (int i = 0; i < B; i++) {
        if (alive[i] == 0)
            continue;
        double p = Wv[0] * xv[0][i] + Wv[1] * xv[1][i];
        expected[0] += p * p;
        for (int k = 0; k < 2; k++) {
            expected[1 + k] += 2 * p * xv[k][i];
            expected[3 + k * B + i] = 2 * p * Wv[k];
            expected[3 + 2 * B + k * B + i] = 2 * (p + Wv[k] * (xv[0][i] + xv[1][i]));
        }
    }
    evaluate(tape, 4, (ur_var[]){y, g[0], g[1], second}, 3 + 4 * B, out);
    for (int i = 0; i < 3 + 4 * B; i++)
        assert_close(out[i], expected[i], 1e-15);
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
    assert_good(tape);
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

/* ---- memory */

static ur_net_options small_rnn(void)
{
    return (ur_net_options){.cell = ur_cell_find("rnn"),
                            .inputs = 2,
                            .hidden = 3,
                            .outputs = 2,
                            .hidden_activation = UR_TANH,
                            .out = UR_SIGMOID,
                            .loss = UR_BCE,
                            .reduction = UR_SUM_ALL,
                            .weighted = true,
                            .start = UR_START_GIVEN};
}

/* Everything that takes memory: recording, names, both derivatives, a state, plans, a check, a diagram. The plan is
 * NULL, and the tape has an error, where anything failed. */
static ur_plan *build(ur_tape *tape, bool finite)
{
    const ur_net_options options = small_rnn();
    ur_net *net = ur_net_new(tape, &options, 5, 2);
    if (!net || !ur_params_init(tape, UR_GLOROT_UNIFORM, 7) || !ur_net_differentiate(net))
        return NULL;
    ur_var second[8], first = ur_sum(ur_square(net->gradient[1])), many[12];
    for (int i = 0; i < 12; i++)
        many[i] = first;
    first = ur_total(12, many);
    if (net->params > 8 || !ur_grad(first, net->params, net->gradient, second))
        return NULL;
    for (size_t k = 0; k < net->params; k++)
        ur_param_at(tape, k, &second[k], NULL, NULL);
    ur_grad(first, net->params, second, second);
    ur_module_open(tape, "layer1");
    ur_param(tape, "more", UR_SHAPE(40, 5));
    ur_scope_close(tape);
    ur_keep(net->loss);
    ur_var root[] = {second[0], second[1], net->state[0].start, net->loss, net->loss};
    FILE *sink = tmpfile();
    bool drawn = sink && ur_dot(tape, 1, &net->loss, NULL, sink);
    if (sink)
        (void)fclose(sink);
    ur_check_result result;
    if (!drawn || !ur_check(net->loss, 1, &net->factor, &net->loss, 1e-6, &result) ||
        !ur_state(net->state[0].start, net->state[0].final))
        return NULL;
    return ur_plan_new(tape, &(ur_plan_options){.roots = 5, .root = root, .finite = finite});
}

START_TEST(every_byte_is_given_back)
{
    heap h = {0};
    ur_tape_options options = {.dtype = UR_F64, .allocator = {.resize = heap_resize, .user = &h}};
    ur_tape *tape = ur_tape_new(&options);
    for (int k = 0; k < 3; k++) { /* a cleared tape is as good as new */
        ur_plan *plan = build(tape, true);
        assert_good(tape);
        ck_assert_ptr_nonnull(plan);
        ck_assert(ur_plan_run(plan));
        ck_assert_int_ge(h.bytes, (long long)(ur_plan_bytes(plan)));
        ur_plan_free(plan);
        ck_assert_int_eq(h.bytes, (long long)ur_tape_bytes(tape));
        ur_tape_clear(tape);
    }
    ur_tape_free(tape);
    ck_assert_int_eq(h.bytes, 0);
    ck_assert(!h.lied);
}
END_TEST

/* Equal constants are one node, however many others stand between them; 0 and -0, [2] and [2,1] are not equal. */
START_TEST(equal_constants_are_one_node)
{
    enum { COUNT = 100 };
    ur_tape *tape = ur_tape_new(&(ur_tape_options){.dtype = UR_F64});
    ur_var c[COUNT];
    for (int k = 0; k < COUNT; k++)
        c[k] = ur_const(tape, UR_SHAPE(2), k);
    size_t nodes = ur_tape_nodes(tape);
    for (int k = 0; k < COUNT; k++)
        ck_assert_uint_eq(ur_const(tape, UR_SHAPE(2), k).index, c[k].index);
    ck_assert_uint_eq(ur_tape_nodes(tape), nodes);
    ck_assert_uint_eq(nodes, COUNT);
    ck_assert_uint_eq(ur_const(tape, UR_SHAPE(2), -0.0).index, nodes);
    ck_assert_uint_eq(ur_const(tape, UR_SHAPE(2, 1), 1).index, nodes + 1);
    assert_good(tape);
    ur_tape_free(tape);
}
END_TEST

/* Steps that name and scale a value alike share the name and the constant: a step takes its node of 12 bytes, the operand,
 * a mark, a site of 8, a symbol of 16 and its places in two indices. A step with names of its own takes a copy of each. */
START_TEST(steps_share_names_and_constants)
{
    enum { STEPS = 8000, MOST = 90 };
    bool shared = _i == 0;
    ur_tape *tape = ur_tape_new(&(ur_tape_options){.dtype = UR_F64});
    ur_var a = ur_input(tape, "a", UR_SCALAR), x = a;
    char name[24] = "x";
    for (int t = 1; t <= STEPS; t++) {
        if (!shared)
            snprintf(name, sizeof name, "x%d", t);
        ur_step(tape, t);
        x = ur_name(ur_scale(x, shared ? 0.5 : t), name);
    }
    assert_good(tape);
    double each = (double)ur_tape_bytes(tape) / STEPS;
    ck_assert_msg(shared == (each < MOST), "%g bytes a step", each);
    ck_assert_str_eq(name, shared ? "x" : "x8000");
    ck_assert_uint_eq(ur_find(tape, name, STEPS).index, x.index);
    ur_tape_free(tape);
}
END_TEST

/* Plans every gradient and behind them the loss. */
static ur_plan *plan_gradients(const ur_net *net, ur_plan_options options)
{
    ur_var root[9];
    if (net->params > 8)
        return NULL;
    memcpy(root, net->gradient, net->params * sizeof *root);
    root[net->params] = net->loss;
    options.roots = net->params + 1;
    options.root = root;
    return ur_plan_new(net->tape, &options);
}

START_TEST(a_run_allocates_nothing)
{
    for (int k = 0; k < 8; k++) {
        heap h = {0};
        ur_tape_options options = {.dtype = k & 1 ? UR_F32 : UR_F64, .allocator = {.resize = heap_resize, .user = &h}};
        ur_tape *tape = ur_tape_new(&options);
        const ur_net_options shape = small_rnn();
        ur_net *net = ur_net_new(tape, &shape, 5, 2);
        ck_assert(net && ur_net_differentiate(net) && ur_state(net->state[0].start, net->state[0].final));
        ur_plan *plan = plan_gradients(net, (ur_plan_options){.reference = k & 2, .finite = k & 4});
        assert_good(tape);
        long long calls = h.calls, bytes = h.bytes;
        for (int run = 0; run < 3; run++)
            ck_assert(ur_plan_run(plan));
        ck_assert_int_eq(h.calls, calls);
        ck_assert_int_eq(h.bytes, bytes);
        ur_plan_free(plan);
        ur_tape_free(tape);
    }
}
END_TEST

/* The n-th allocation fails, for every n until all succeed: words instead of a crash, and nothing leaks. */
static void check_failures(bool for_good)
{
    bool done = false;
    long long n = 1;
    for (; !done; n++) {
        heap h = {.fails = n, .for_good = for_good};
        ur_tape_options options = {.dtype = UR_F64, .allocator = {.resize = heap_resize, .user = &h}};
        ur_tape *tape = ur_tape_new(&options);
        ur_plan *plan = tape ? build(tape, false) : NULL;
        done = h.calls < n;
        if (done)
            ck_assert_msg(plan && ur_plan_run(plan), "%s", ur_tape_error(tape));
        else
            assert_refused(tape, "no memory");
        ck_assert(done || !plan);
        ur_plan_free(plan);
        ur_tape_free(tape);
        ck_assert_msg(h.bytes == 0, "%lld bytes are left when allocation %lld fails", h.bytes, n);
        ck_assert_msg(!h.lied, "a wrong size when allocation %lld fails", n);
    }
    ck_assert_int_gt(n, 50);
}

START_TEST(every_allocation_fails_once)
{
    check_failures(false);
    check_failures(true);
}
END_TEST

/* ---- threads */

enum { JOB_STEPS = 9, JOB_BATCH = 4, JOB_RUNS = 40 };

typedef struct job {
    uint64_t seed;
    double loss[JOB_RUNS];
    bool good;
} job;

/* Trains a little network from its seed. */
static void *work(void *argument)
{
    job *j = (job *)argument;
    ur_tape *tape = ur_tape_new(&(ur_tape_options){.dtype = UR_F64});
    ur_net_options options = small_rnn();
    options.weighted = false;
    ur_net *net = ur_net_new(tape, &options, JOB_STEPS, JOB_BATCH);
    j->good = net && ur_params_init(tape, UR_GLOROT_NORMAL, j->seed) && ur_net_differentiate(net);
    for (int t = 0; j->good && t < JOB_STEPS; t++)
        for (int c = 0; c < JOB_BATCH; c++) {
            ((double *)ur_leaf(net->alive[t]))[c] = 1;
            for (int i = 0; i < 2; i++) {
                size_t at = (size_t)i * JOB_BATCH + (size_t)c;
                uint64_t counter = (uint64_t)t * 100 + at;
                ((double *)ur_leaf(net->x[t]))[at] = ur_random(j->seed, "x", counter) - 0.5;
                ((double *)ur_leaf(net->y[t]))[at] = ur_random(j->seed, "y", counter);
            }
        }
    ur_plan *plan = NULL;
    if (j->good) {
        ur_write(net->factor, 1, (double[]){1});
        plan = plan_gradients(net, (ur_plan_options){0});
    }
    for (int run = 0; run < JOB_RUNS && (j->good = j->good && ur_plan_run(plan)); run++) {
        size_t n, m;
        double *theta = (double *)ur_params(tape, &n);
        const double *g = (const double *)ur_plan_roots(plan, &m);
        j->good = n + 1 == m && ur_read(plan, net->loss, 1, &j->loss[run]);
        for (size_t i = 0; i < n; i++)
            theta[i] -= 0.05 * g[i];
    }
    ur_plan_free(plan);
    ur_tape_free(tape);
    return NULL;
}

START_TEST(tapes_in_threads)
{
    enum { THREADS = 4 };
    job alone[THREADS], together[THREADS];
    pthread_t thread[THREADS];
    for (int i = 0; i < THREADS; i++) {
        alone[i] = together[i] = (job){.seed = (uint64_t)i + 1};
        work(&alone[i]);
        ck_assert(alone[i].good);
        ck_assert(alone[i].loss[JOB_RUNS - 1] < alone[i].loss[0]);
    }
    for (int i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_create(&thread[i], NULL, work, &together[i]), 0);
    for (int i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_join(thread[i], NULL), 0);
    for (int i = 0; i < THREADS; i++) {
        ck_assert(together[i].good);
        ck_assert_mem_eq(together[i].loss, alone[i].loss, sizeof alone[i].loss);
    }
}
END_TEST

/* ---- random numbers */

/* Philox4x32-10 as published: ten rounds of two products, the key raised by Weyl's constants between them. */
static void philox(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4])
{
    uint32_t L0 = counter[0], R0 = counter[1], L1 = counter[2], R1 = counter[3], k0 = key[0], k1 = key[1];
    for (int round = 0; round < 10; round++, k0 += 0x9E3779B9u, k1 += 0xBB67AE85u) {
        uint64_t p0 = (uint64_t)L0 * 0xD2511F53u, p1 = (uint64_t)L1 * 0xCD9E8D57u;
        L0 = (uint32_t)(p1 >> 32) ^ R0 ^ k0;
        R0 = (uint32_t)p1;
        L1 = (uint32_t)(p0 >> 32) ^ R1 ^ k1;
        R1 = (uint32_t)p0;
    }
    out[0] = L0;
    out[1] = R0;
    out[2] = L1;
    out[3] = R1;
}

/* The upper 52 bits of two words and a half, in (0,1). */
static double unit(uint32_t high, uint32_t low)
{
    return ldexp((double)((uint64_t)high << 20 | low >> 12) + 0.5, -52);
}

START_TEST(random_numbers_are_philox)
{
    static const struct {
        uint32_t counter[4], key[2], out[4];
    } published[] = {
        {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {{UINT32_MAX, UINT32_MAX, UINT32_MAX, UINT32_MAX},
         {UINT32_MAX, UINT32_MAX},
         {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
         {0xa4093822, 0x299f31d0},
         {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };
    uint32_t out[4];
    for (int i = 0; i < 3; i++) {
        philox(published[i].counter, published[i].key, out);
        for (int k = 0; k < 4; k++)
            ck_assert_uint_eq(out[k], published[i].out[k]);
    }
    /* FNV-1a of this name is 0, so that all four words of the counter and both of the key are. */
    ck_assert_double_eq(ur_random(0, "77kepQFQ8Kl", 0), unit(0x6627e8d5, 0xe169c58d));

    static const uint64_t seeds[] = {0, 1, 42, 0x123456789abcdef0, UINT64_MAX};
    static const uint64_t counters[] = {0, 1, 77, (uint64_t)1 << 32, 0xfedcba9876543210};
    static const char *const streams[] = {"", "W", "layer0.back.Wh"};
    for (int i = 0; i < 5; i++)
        for (int j = 0; j < 5; j++)
            for (int k = 0; k < 3; k++) {
                uint64_t s = seeds[i], c = counters[j], h = 0xcbf29ce484222325;
                for (const char *p = streams[k]; *p; p++)
                    h = (h ^ (unsigned char)*p) * 0x100000001b3;
                philox((uint32_t[]){(uint32_t)c, (uint32_t)(c >> 32), (uint32_t)h, (uint32_t)(h >> 32)},
                       (uint32_t[]){(uint32_t)s, (uint32_t)(s >> 32)}, out);
                ck_assert_double_eq(ur_random(s, streams[k], c), unit(out[0], out[1]));
            }
}
END_TEST

START_TEST(random_numbers_are_uniform)
{
    enum { N = 200000, BINS = 64, MOMENTS = 4 };
    double moment[MOMENTS + 1] = {0}, neighbours = 0, last = 0.5;
    int bin[BINS] = {0};
    for (uint64_t i = 0; i < N; i++) {
        double u = ur_random(5, "uniform", i), power = 1;
        ck_assert(u > 0 && u < 1);
        for (int k = 1; k <= MOMENTS; k++)
            moment[k] += (power *= u);
        neighbours += (u - 0.5) * (last - 0.5);
        bin[(int)(u * BINS)]++;
        last = u;
    }
    for (int k = 1; k <= MOMENTS; k++) { /* E u^k = 1/(k+1); five standard errors */
        double mean = 1.0 / (k + 1), variance = 1.0 / (2 * k + 1) - mean * mean;
        ck_assert_double_eq_tol(moment[k] / N, mean, 5 * sqrt(variance / N));
    }
    ck_assert_double_eq_tol(neighbours / N, 0, 5 / 12.0 / sqrt(N));
    double chi = 0;
    for (int i = 0; i < BINS; i++)
        chi += ((double)bin[i] - (double)N / BINS) * ((double)bin[i] - (double)N / BINS) / ((double)N / BINS);
    ck_assert_double_eq_tol(chi, BINS - 1, 5 * sqrt(2.0 * (BINS - 1)));
}
END_TEST

/* ---- diagrams */

enum { DOT_BYTES = 1 << 18, DOT_NODES = 4096 };

static void draw(ur_net *net, const ur_dot_options *options, char *text)
{
    FILE *file = tmpfile();
    ck_assert_ptr_nonnull(file);
    ck_assert(ur_dot(net->tape, 1, &net->loss, options, file));
    rewind(file);
    size_t length = fread(text, 1, DOT_BYTES - 1, file);
    text[length] = 0;
    ck_assert_uint_lt(length, DOT_BYTES - 1);
    ck_assert_int_eq(fclose(file), 0);
}

/* Reads ` n12`; NULL when something else stands there. */
static const char *read_node(const char *text, size_t *node)
{
    char *end;
    while (*text == ' ')
        text++;
    if (*text != 'n')
        return NULL;
    *node = strtoul(text + 1, &end, 10);
    return end > text + 1 ? end : NULL;
}

/* Braces, brackets and quotes close, and both ends of every edge are drawn. Returns the number of edges. */
static int check_dot(const char *text)
{
    static bool declared[DOT_NODES];
    int braces = 0, brackets = 0, edges = 0;
    bool quoted = false;
    for (const char *p = text; *p; p++) {
        if (quoted && *p == '\\')
            p++;
        else if (*p == '"')
            quoted = !quoted;
        else if (!quoted) {
            braces += (*p == '{') - (*p == '}');
            brackets += (*p == '[') - (*p == ']');
        }
        ck_assert(braces >= 0 && brackets >= 0 && brackets <= 1);
    }
    ck_assert(!quoted && braces == 0 && brackets == 0);
    ck_assert(strncmp(text, "digraph ", 8) == 0);
    memset(declared, 0, sizeof declared);
    for (int pass = 0; pass < 2; pass++)
        for (const char *line = text; line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL) {
            size_t from, to;
            const char *rest = read_node(line, &from);
            if (!rest)
                continue;
            ck_assert_uint_lt(from, DOT_NODES);
            if (strncmp(rest, " -> ", 4) == 0) {
                edges += pass;
                ck_assert(read_node(rest + 4, &to) && to < DOT_NODES);
                ck_assert(!pass || (declared[from] && declared[to]));
            } else if (strncmp(rest, " [", 2) == 0) {
                ck_assert(pass || !declared[from]);
                declared[from] = true;
            }
        }
    return edges;
}

static int occurrences(const char *text, const char *part)
{
    int n = 0;
    for (; (text = strstr(text, part)); text += strlen(part))
        n++;
    return n;
}

START_TEST(diagrams_are_whole)
{
    enum { T = 4 };
    static char text[DOT_BYTES];
    ur_tape *tape = new_tape(UR_F32);
    const ur_net_options options = small_rnn();
    ur_net *net = ur_net_new(tape, &options, T, 2);
    assert_good(tape);
    static const char *const params[] = {"Wi\\n[2,3]", "Wh\\n[3,3]", "bh\\n[3]", "Wo\\n[3,2]", "bo\\n[2]"};
    int edges[2];
    for (int unrolled = 0; unrolled < 2; unrolled++) {
        draw(net, &(ur_dot_options){.view = unrolled ? UR_DOT_UNROLLED : UR_DOT_FOLDED, .title = "the \"RNN\" \\"},
             text);
        edges[unrolled] = check_dot(text);
        ck_assert_int_eq(occurrences(text, "the \\\"RNN\\\" \\\\"), 1);
        for (int k = 0; k < 5; k++) {
            char label[64];
            snprintf(label, sizeof label, "label=\"%s\"", params[k]);
            ck_assert_msg(occurrences(text, label) == 1, "%s is not in\n%s", label, text);
        }
        ck_assert_int_eq(occurrences(text, "label=\"h = tanh"), unrolled ? T : 1);
        ck_assert_int_eq(occurrences(text, "label=\"o = sigmoid"), 0); /* the loss is of the net value */
        ck_assert_int_eq(occurrences(text, "style=dashed"), 1 - unrolled);
        for (int t = 1; t <= T; t++) {
            char label[32];
            snprintf(label, sizeof label, "label=\"step %d\"", t);
            ck_assert_int_eq(occurrences(text, label), unrolled);
        }
    }
    ck_assert_int_gt(edges[1] / 3, edges[0]);
    draw(net, NULL, text);
    check_dot(text);

    /* The dashed edge ends where h[t-1] is used. */
    size_t h, from, to, product;
    ck_assert_ptr_nonnull(strstr(text, "style=dashed"));
    const char *line = strstr(text, " [style=dashed");
    while (line > text && line[-1] != '\n')
        line--;
    line = read_node(line, &from);
    ck_assert(line && read_node(line + 4, &to));
    h = ur_find(tape, "h", 2).index;
    product = ur_node_input(ur_node_input(ur_node_input(ur_find(tape, "h", 2), 0), 0), 1).index;
    ck_assert_uint_eq(from, h);
    ck_assert_uint_eq(to, product);

    ck_assert(!ur_dot(tape, 0, NULL, NULL, stdout));
    assert_refused(tape, "a root was expected");
    ur_tape_free(tape);
}
END_TEST

/* Half a million nodes: a drawing that looks at all of them for each, or for each scope, does not end in a test's time. */
START_TEST(a_large_diagram)
{
    ur_net_options options = small_rnn();
    options.layers = 300;
    ur_tape *tape = new_tape(UR_F32);
    const ur_net *net = ur_net_new(tape, &options, 300, 1);
    assert_good(tape);
    FILE *file = tmpfile();
    ck_assert_ptr_nonnull(file);
    for (int view = UR_DOT_FOLDED; view <= UR_DOT_UNROLLED; view++)
        ck_assert(ur_dot(tape, 1, &net->loss, &(ur_dot_options){.view = (ur_dot_view)view}, file));
    (void)fclose(file);
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
    Suite *suite = suite_create("tape");
    TCase *cases = tcase_create("tape");
    tcase_set_timeout(cases, 120);
    tcase_add_test(cases, bad_handles_are_refused_with_words);
    tcase_add_test(cases, a_handle_of_no_tape);
    tcase_add_test(cases, a_plan_from_before_a_clear);
    tcase_add_test(cases, a_null_tape_is_accepted);
    tcase_add_test(cases, the_first_error_stays);
    tcase_add_test(cases, an_error_names_scope_and_step);
    tcase_add_test(cases, steps_and_scopes_out_of_order);
    tcase_add_test(cases, modules_come_before_parameter_names);
    tcase_add_test(cases, equal_constants_are_one_node);
    tcase_add_test(cases, a_parameter_is_declared_once);
    tcase_add_test(cases, parameters_are_one_vector);
    tcase_add_test(cases, parameters_are_copied_by_name);
    tcase_add_test(cases, values_are_found_by_name_and_step);
    tcase_add_test(cases, many_names);
    tcase_add_test(cases, impossible_sizes_are_refused);
    tcase_add_test(cases, the_largest_sizes);
    tcase_add_test(cases, shapes_are_counted_and_compared);
    tcase_add_test(cases, wrong_counts_are_refused);
    tcase_add_test(cases, only_leaves_are_written);
    tcase_add_test(cases, only_kept_values_are_read);
    tcase_add_test(cases, a_state_counts);
    tcase_add_test(cases, states_are_exchanged);
    tcase_add_test(cases, impossible_states);
    tcase_add_test(cases, detach_has_the_value_and_no_gradient);
    tcase_add_test(cases, gradients_of_any_node);
    tcase_add_test(cases, a_later_call_continues_the_sweep);
    tcase_add_test(cases, the_gradient_is_one_sum);
    tcase_add_test(cases, orders_up_to_the_fifth);
    tcase_add_test(cases, mixed_derivatives);
    tcase_add_test(cases, select_blocks_nan_both_ways);
    tcase_add_test(cases, roots_lie_one_behind_another);
    tcase_add_test(cases, a_root_may_come_twice);
    tcase_add_test(cases, kept_values_are_the_roots);
    tcase_add_test(cases, every_byte_is_given_back);
    tcase_add_loop_test(cases, steps_share_names_and_constants, 0, 2);
    tcase_add_test(cases, a_run_allocates_nothing);
    tcase_add_test(cases, every_allocation_fails_once);
    tcase_add_test(cases, tapes_in_threads);
    tcase_add_test(cases, random_numbers_are_philox);
    tcase_add_test(cases, random_numbers_are_uniform);
    tcase_add_test(cases, diagrams_are_whole);
    tcase_add_test(cases, a_large_diagram);
    tcase_add_test(cases, the_finite_check_names_the_place);
    tcase_add_test(cases, the_finite_check_overlooks_the_padding);
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
