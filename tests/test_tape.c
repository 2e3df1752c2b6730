/* test_tape.c - what is recorded on a tape: names of parameters and values, constants, shapes and their limits.
 * Expected are closed forms and the words that graph.h promises. */
#include <limits.h>

#include "small_tapes.h"

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
    assert_good(tape, "tape");
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
    assert_good(tape, "tape");
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

/* ---- constants */

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
    assert_good(tape, "tape");
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
    assert_good(tape, "tape");
    double each = (double)ur_tape_bytes(tape) / STEPS;
    ck_assert_msg(shared == (each < MOST), "%g bytes a step", each);
    ck_assert_str_eq(name, shared ? "x" : "x8000");
    ck_assert_uint_eq(ur_find(tape, name, STEPS).index, x.index);
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
    assert_good(tape, "tape");
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

int main(void)
{
    TCase *cases = tcase_create("tape");
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
    tcase_add_loop_test(cases, steps_share_names_and_constants, 0, 2);
    return run_cases(suite_create("tape"), cases);
}
