/* test_mistakes_tapes.c - wrong programs on a tape: sizes, handles, names, leaves, plans, gradients. The lines that
 * they end in are those of tests/golden/mistakes_tapes.txt. */
#include "mistakes.h"

/* ---- sizes */

static void size_zero(ur_tape *tape)
{
    ur_input(tape, "x", UR_SHAPE(0, 4));
}

static void size_negative(ur_tape *tape)
{
    ur_param(tape, "W", UR_SHAPE(3, -4));
}

static void rank_five(ur_tape *tape)
{
    ur_const(tape, (ur_shape){.rank = 5, .size = {1, 1, 1, 1}}, 0);
}

static void product_of_sizes(ur_tape *tape)
{
    ur_input(tape, "x", UR_SHAPE(INT64_C(1) << 32, INT64_C(1) << 32));
}

static void product_of_a_broadcast(ur_tape *tape)
{
    ur_var a = ur_const(tape, UR_SHAPE(INT64_C(1) << 30, 1), 1), b = ur_const(tape, UR_SHAPE(1, INT64_C(1) << 30), 1);
    ur_scope_open(tape, "lstm");
    ur_step(tape, 3);
    ur_mul(a, b);
}

static void product_of_a_matmul(ur_tape *tape)
{
    ur_matmul(ur_const(tape, UR_SHAPE(INT64_C(1) << 30, 1), 1), ur_const(tape, UR_SHAPE(1, INT64_C(1) << 30), 1));
}

static void product_of_steps(ur_tape *tape)
{
    ur_var x[4];
    ur_inputs(tape, "x", UR_SHAPE(INT64_C(1) << 20, INT64_C(1) << 20), 4, x);
}

static void no_steps(ur_tape *tape)
{
    ur_inputs(tape, "x", UR_SHAPE(3, 4), 0, NULL);
}

static void step_below_0(ur_tape *tape)
{
    ur_step(tape, -1);
}

static void step_too_large(ur_tape *tape)
{
    ur_step(tape, INT64_C(1) << 31);
}

/* ---- handles */

static void foreign_value(ur_tape *tape)
{
    ur_tape *other = new_tape(UR_F64);
    ur_add(matrix(tape, "a"), matrix(other, "b"));
    ur_tape_free(other);
}

static void nothing_plus_a_value(ur_tape *tape)
{
    ur_add((ur_var){0}, number(tape, "a"));
}

static void stale_value(ur_tape *tape)
{
    ur_var a = matrix(tape, "a");
    ur_tape_clear(tape);
    ur_tanh(a);
}

static void stale_plan(ur_tape *tape)
{
    ur_plan *plan = plan_of(ur_tanh(matrix(tape, "a")));
    ur_tape_clear(tape);
    ur_plan_run(plan);
    ur_plan_free(plan);
}

static void stale_plan_in_words(ur_tape *tape)
{
    ur_plan *plan = plan_of(ur_tanh(matrix(tape, "a")));
    size_t count = 1;
    ur_tape_clear(tape);
    ck_assert_ptr_null(ur_plan_roots(plan, &count));
    ck_assert_uint_eq(count, 0);
    ur_plan_explain(plan, stdout);
    ur_plan_free(plan);
}

static void no_value(ur_tape *tape)
{
    ur_add(matrix(tape, "a"), (ur_var){0});
}

static void value_that_is_not_found(ur_tape *tape)
{
    ur_tanh(ur_find(tape, "h", 3));
}

static void node_out_of_range(ur_tape *tape)
{
    matrix(tape, "a");
    ur_node_at(tape, 1);
}

static void input_out_of_range(ur_tape *tape)
{
    ur_node_input(ur_tanh(matrix(tape, "a")), 1);
}

/* ---- names */

static void name_taken(ur_tape *tape)
{
    ur_scope_open(tape, "lstm");
    ur_step(tape, 3);
    ur_name(ur_tanh(matrix(tape, "a")), "h");
    ur_name(ur_tanh(matrix(tape, "b")), "h");
}

static void leaf_taken(ur_tape *tape)
{
    matrix(tape, "x");
    number(tape, "x");
}

/* Inputs have no modules before their names: the one that is there is in another scope. */
static void leaf_taken_elsewhere(ur_tape *tape)
{
    ur_step(tape, 3);
    ur_scope_open(tape, "lstm");
    matrix(tape, "x");
    ur_scope_close(tape);
    ur_scope_open(tape, "gru");
    matrix(tape, "x");
}

/* There is no node of the second one: what was recorded before it can still be looked at. */
static void inputs_taken(ur_tape *tape)
{
    ur_var x[3];
    ur_step(tape, 2);
    number(tape, "x");
    ur_inputs(tape, "x", UR_SHAPE(2), 3, x);
    ck_assert(x[1].index == UR_NONE && x[2].index == UR_NONE);
    ur_add(x[1], x[2]);
    for (size_t k = 0; k < ur_tape_nodes(tape); k++) {
        const float *data = ur_leaf(ur_node_at(tape, k));
        ck_assert(data && *data == 0);
    }
}

static void second_name_of_a_param(ur_tape *tape)
{
    ur_name(ur_param(tape, "Wphi", UR_SHAPE(3, 4)), "W");
}

static void param_in_two_shapes(ur_tape *tape)
{
    ur_param(tape, "Wphi", UR_SHAPE(3, 4));
    ur_param(tape, "Wphi", UR_SHAPE(4, 3));
}

static void gate_in_two_sizes(ur_tape *tape)
{
    ur_affine(tape, "phi", matrix(tape, "x"), ur_input(tape, "h", UR_SHAPE(2, 4)));
    ur_affine(tape, "phi", matrix(tape, "y"), ur_input(tape, "c", UR_SHAPE(5, 4)));
}

static void gate_without_a_name(ur_tape *tape)
{
    ur_affine(tape, NULL, matrix(tape, "x"), ur_input(tape, "h", UR_SHAPE(2, 4)));
}

static void gate_with_a_long_name(ur_tape *tape)
{
    ur_affine(tape, "a_gate_whose_name_goes_on_and_on_and_does_not_end_before_this_point", matrix(tape, "x"),
              ur_input(tape, "h", UR_SHAPE(2, 4)));
}

static void name_too_long(ur_tape *tape)
{
    char name[301];
    memset(name, 'h', sizeof name - 1);
    name[sizeof name - 1] = 0;
    ur_name(matrix(tape, "a"), name);
}

static void scope_closed_twice(ur_tape *tape)
{
    ur_scope_open(tape, "lstm");
    ur_scope_close(tape);
    ur_scope_close(tape);
}

/* ---- leaves */

static void write_to_a_result(ur_tape *tape)
{
    ur_write(ur_tanh(matrix(tape, "a")), 12, (double[12]){0});
}

static void write_to_a_constant(ur_tape *tape)
{
    ur_write(ur_const(tape, UR_SCALAR, 1), 1, (double[]){0});
}

static void write_a_wrong_count(ur_tape *tape)
{
    ur_write(matrix(tape, "a"), 3, (double[]){1, 2, 3});
}

static void copy_of_a_missing_param(ur_tape *tape)
{
    ur_tape *other = new_tape(UR_F32);
    ur_param(tape, "Wphi", UR_SHAPE(3, 4));
    ur_param(other, "Wu", UR_SHAPE(3, 4));
    ur_params_copy(tape, other);
    ur_tape_free(other);
}

static void copy_of_a_broken_tape(ur_tape *tape)
{
    ur_tape *other = new_tape(UR_F32);
    ur_param(tape, "Wphi", UR_SHAPE(3, 4));
    ur_param(other, "Wphi", UR_SHAPE(3, 4));
    ur_tape_fail(other, "this one is broken");
    ur_params_copy(tape, other);
    ur_tape_free(other);
}

static void copy_of_another_shape(ur_tape *tape)
{
    ur_tape *other = new_tape(UR_F32);
    ur_param(tape, "Wphi", UR_SHAPE(3, 4));
    ur_param(other, "Wphi", UR_SHAPE(4, 3));
    ur_params_copy(tape, other);
    ur_tape_free(other);
}

static void state_on_a_param(ur_tape *tape)
{
    ur_var W = ur_param(tape, "W", UR_SHAPE(3, 4));
    ur_state(W, ur_tanh(W));
}

static void state_of_another_shape(ur_tape *tape)
{
    ur_state(matrix(tape, "h"), ur_sum(matrix(tape, "a")));
}

static void state_with_two_values(ur_tape *tape)
{
    ur_var h = matrix(tape, "h");
    ur_state(h, ur_tanh(h));
    ur_state(h, ur_sigmoid(h));
}

/* ---- plans */

static void plan_of_nothing(ur_tape *tape)
{
    ur_tanh(matrix(tape, "a"));
    ur_plan_new(tape, NULL);
}

static void plan_of_a_foreign_value(ur_tape *tape)
{
    ur_tape *other = new_tape(UR_F64);
    ur_var a = matrix(other, "a");
    ur_plan_new(tape, &(ur_plan_options){.roots = 1, .root = &a});
    ur_tape_free(other);
}

static void plan_of_too_much(ur_tape *tape)
{
    ur_shape large = UR_SHAPE(INT64_C(1) << 15, INT64_C(1) << 15);
    ur_plan_free(plan_of(ur_broadcast(ur_const(tape, UR_SCALAR, 1), large)));
}

static void plan_of_a_long_column(ur_tape *tape)
{
    ur_shape large = UR_SHAPE((INT64_C(1) << 32) + 8);
    ur_plan_free(plan_of(ur_sum(ur_neg(ur_broadcast(number(tape, "a"), large)))));
}

static void read_what_is_not_kept(ur_tape *tape)
{
    double out[12];
    ur_scope_open(tape, "lstm");
    ur_step(tape, 3);
    ur_var c = ur_name(ur_tanh(matrix(tape, "a")), "c");
    ur_plan *plan = plan_of(ur_sigmoid(c));
    ur_plan_run(plan);
    ur_read(plan, c, 12, out);
    ur_plan_free(plan);
}

static void read_what_was_not_planned(ur_tape *tape)
{
    double out[12];
    ur_var a = matrix(tape, "a"), h = ur_keep(ur_name(ur_tanh(a), "h"));
    ur_plan *plan = plan_of(ur_sigmoid(a));
    ur_plan_run(plan);
    ur_read(plan, h, 12, out);
    ur_plan_free(plan);
}

static void read_what_came_later(ur_tape *tape)
{
    double out[12];
    ur_var a = matrix(tape, "a");
    ur_plan *plan = plan_of(ur_sigmoid(a));
    ur_var h = ur_keep(ur_name(ur_tanh(a), "h"));
    ur_plan_run(plan);
    ur_read(plan, h, 12, out);
    ur_plan_free(plan);
}

static void read_a_wrong_count(ur_tape *tape)
{
    double out[3];
    ur_var h = ur_name(ur_tanh(matrix(tape, "a")), "h");
    ur_plan *plan = plan_of(h);
    ur_plan_run(plan);
    ur_read(plan, h, 3, out);
    ur_plan_free(plan);
}

static void logarithm_of_0(ur_tape *tape)
{
    ur_var a = matrix(tape, "a");
    ur_write(a, 12, (double[12]){1, 1, 1, 1, 1, 1, 0, 1, 1, 1, 1, 1});
    ur_scope_open(tape, "loss");
    ur_step(tape, 3);
    ur_var root = ur_sum(ur_log(a));
    ur_plan *plan = ur_plan_new(tape, &(ur_plan_options){.finite = true, .roots = 1, .root = &root});
    ur_plan_run(plan);
    ur_plan_free(plan);
}

static void diagram_of_nothing(ur_tape *tape)
{
    ur_dot(tape, 0, NULL, NULL, stdout);
}

/* ---- gradients */

static void gradient_of_poison(ur_tape *tape)
{
    ur_var a = matrix(tape, "a"), g;
    ck_assert(!ur_grad(ur_sum(ur_matmul(a, a)), 1, &a, &g));
    ck_assert_uint_eq(g.index, UR_NONE);
}

static void gradient_after_a_clear(ur_tape *tape)
{
    ur_var a = matrix(tape, "a"), y = ur_sum(a);
    ur_grad(y, 1, &a, &a);
    ur_tape_clear(tape);
    ur_grad(y, 1, &a, &a);
}

static void gradient_by_a_foreign_value(ur_tape *tape)
{
    ur_tape *other = new_tape(UR_F64);
    ur_var wrt = matrix(other, "a");
    ur_grad(ur_sum(matrix(tape, "a")), 1, &wrt, &wrt);
    ur_tape_free(other);
}

static void check_in_f32(ur_tape *tape)
{
    ur_tape *single = new_tape(UR_F32);
    ur_var a = number(single, "a"), y = ur_tanh(a), g;
    ur_check_result found;
    ur_grad(y, 1, &a, &g);
    ur_check(y, 1, &a, &g, 1e-6, &found);
    ur_tape_fail(tape, "%s", ur_tape_error(single)); /* the words are read there */
    ur_tape_free(single);
}

static void check_of_no_scalar(ur_tape *tape)
{
    ur_var a = matrix(tape, "a");
    ur_check_result found;
    ur_check(ur_tanh(a), 1, &a, &a, 1e-6, &found);
}

static void check_of_another_gradient(ur_tape *tape)
{
    ur_var a = matrix(tape, "a"), b = number(tape, "b");
    ur_check_result found;
    ur_check(ur_mul(ur_sum(a), b), 1, &a, &b, 1e-6, &found);
}

static void check_by_a_result(ur_tape *tape)
{
    ur_var h = ur_name(ur_tanh(number(tape, "a")), "h"), y = ur_square(h), g;
    ur_check_result found;
    ur_grad(y, 1, &h, &g);
    ur_check(y, 1, &h, &g, 1e-6, &found);
}

static void check_with_a_state(ur_tape *tape)
{
    ur_var h = number(tape, "h"), y = ur_tanh(h), g;
    ur_check_result found;
    ur_state(h, y);
    ur_grad(y, 1, &h, &g);
    ur_check(y, 1, &h, &g, 1e-6, &found);
}

/* ---- no room for what is told */

static void inputs_without_room(ur_tape *tape)
{
    ck_assert(!ur_inputs(tape, "x", UR_SHAPE(3, 4), 2, NULL));
}

static void look_without_room(ur_tape *tape)
{
    ck_assert(!ur_look(matrix(tape, "a"), NULL));
}

static void diagram_without_roots(ur_tape *tape)
{
    matrix(tape, "a");
    ck_assert(!ur_dot(tape, 1, NULL, NULL, stdout));
}

static void check_without_gradients(ur_tape *tape)
{
    ur_var a = number(tape, "a");
    ur_check_result found;
    ck_assert(!ur_check(ur_tanh(a), 1, &a, NULL, 1e-6, &found));
}

static void check_without_room(ur_tape *tape)
{
    ur_var a = number(tape, "a");
    ck_assert(!ur_check(ur_tanh(a), 1, &a, &a, 1e-6, NULL));
}

static void fill_without_a_name(ur_tape *tape)
{
    ur_param(tape, "W", UR_SHAPE(3, 4));
    ck_assert(!ur_params_fill(tape, NULL, 1));
}

static void failure_without_words(ur_tape *tape)
{
    ur_tape_fail(tape, (const char *)NULL);
}

/* ---- all of them */

static const program programs[] = {
    {PROGRAM(size_zero)},
    {PROGRAM(size_negative)},
    {PROGRAM(rank_five)},
    {PROGRAM(product_of_sizes)},
    {PROGRAM(product_of_a_broadcast)},
    {PROGRAM(product_of_a_matmul)},
    {PROGRAM(product_of_steps)},
    {PROGRAM(no_steps)},
    {PROGRAM(step_below_0)},
    {PROGRAM(step_too_large)},
    {PROGRAM(foreign_value)},
    {PROGRAM(nothing_plus_a_value)},
    {PROGRAM(stale_value)},
    {PROGRAM(stale_plan)},
    {PROGRAM(stale_plan_in_words)},
    {PROGRAM(no_value)},
    {PROGRAM(value_that_is_not_found)},
    {PROGRAM(node_out_of_range)},
    {PROGRAM(input_out_of_range)},
    {PROGRAM(name_taken)},
    {PROGRAM(leaf_taken)},
    {PROGRAM(leaf_taken_elsewhere)},
    {PROGRAM(inputs_taken)},
    {PROGRAM(second_name_of_a_param)},
    {PROGRAM(param_in_two_shapes)},
    {PROGRAM(gate_in_two_sizes)},
    {PROGRAM(gate_without_a_name)},
    {PROGRAM(gate_with_a_long_name)},
    {PROGRAM(name_too_long)},
    {PROGRAM(scope_closed_twice)},
    {PROGRAM(write_to_a_result)},
    {PROGRAM(write_to_a_constant)},
    {PROGRAM(write_a_wrong_count)},
    {PROGRAM(copy_of_a_missing_param)},
    {PROGRAM(copy_of_a_broken_tape)},
    {PROGRAM(copy_of_another_shape)},
    {PROGRAM(state_on_a_param)},
    {PROGRAM(state_of_another_shape)},
    {PROGRAM(state_with_two_values)},
    {PROGRAM(plan_of_nothing)},
    {PROGRAM(plan_of_a_foreign_value)},
    {PROGRAM(plan_of_too_much)},
    {PROGRAM(plan_of_a_long_column)},
    {PROGRAM(read_what_is_not_kept)},
    {PROGRAM(read_what_was_not_planned)},
    {PROGRAM(read_what_came_later)},
    {PROGRAM(read_a_wrong_count)},
    {PROGRAM(logarithm_of_0)},
    {PROGRAM(diagram_of_nothing)},
    {PROGRAM(gradient_of_poison)},
    {PROGRAM(gradient_after_a_clear)},
    {PROGRAM(gradient_by_a_foreign_value)},
    {PROGRAM(check_in_f32)},
    {PROGRAM(check_of_no_scalar)},
    {PROGRAM(check_of_another_gradient)},
    {PROGRAM(check_by_a_result)},
    {PROGRAM(check_with_a_state)},
    {PROGRAM(inputs_without_room)},
    {PROGRAM(look_without_room)},
    {PROGRAM(diagram_without_roots)},
    {PROGRAM(check_without_gradients)},
    {PROGRAM(check_without_room)},
    {PROGRAM(fill_without_a_name)},
    {PROGRAM(failure_without_words)},
};
enum { PROGRAMS = sizeof programs / sizeof *programs };

static const char *run(int i, ur_tape *tape)
{
    programs[i].run(tape);
    return programs[i].name;
}

START_TEST(a_wrong_program)
{
    assert_golden("tests/golden/mistakes_tapes.txt", run, _i, PROGRAMS);
}
END_TEST

START_TEST(write_golden)
{
    update_golden("tests/golden/mistakes_tapes.txt", run, PROGRAMS);
}
END_TEST

int main(void)
{
    TCase *cases = tcase_create("mistakes tapes");
    if (getenv("UPDATE_GOLDEN"))
        tcase_add_test(cases, write_golden);
    tcase_add_loop_test(cases, a_wrong_program, 0, PROGRAMS);
    return run_cases(suite_create("mistakes tapes"), cases);
}
