/* test_mistakes.c - wrong programs: each ends in one line that names the thing, what was found and what was expected.
 *
 * The lines stand in tests/golden/programs.txt, `name: line`, and were reviewed. UPDATE_GOLDEN=1 writes the file anew,
 * after which it wants another review. Shapes that an operation refuses are looked for besides, for every operation
 * there is: the words for those are derived here. */
#include <stdlib.h>
#include <string.h>

#include "../optim/optim.h"
#include "support.h"

static const char golden[] = "tests/golden/programs.txt";

enum { LINE = 700, INPUTS = 3 };

/* ---- what the programs share */

/* Memory in which 1 GiB is too much, on any machine. */
static void *resize(void *user, void *block, size_t old_bytes, size_t new_bytes)
{
    (void)user, (void)old_bytes;
    if (new_bytes > (size_t)1 << 30)
        return NULL;
    if (new_bytes > 0)
        return realloc(block, new_bytes);
    free(block);
    return NULL;
}

static ur_tape *new_small_tape(void)
{
    ur_tape *tape = ur_tape_new(&(ur_tape_options){.dtype = UR_F64, .allocator = {.resize = resize}});
    ck_assert_ptr_nonnull(tape);
    return tape;
}

static ur_var matrix(ur_tape *tape, const char *name)
{
    return ur_input(tape, name, UR_SHAPE(3, 4));
}

static ur_var number(ur_tape *tape, const char *name)
{
    return ur_input(tape, name, UR_SCALAR);
}

static ur_plan *plan_of(ur_var root)
{
    return ur_plan_new(root.tape, &(ur_plan_options){.roots = 1, .root = &root});
}

/* ---- operations: shapes that do not fit, in the scope lstm/phi at step 3 */

typedef struct refusal {
    const char *name;
    int inputs;
    ur_shape in[INPUTS];
    double attr[UR_ATTRS];
} refusal;

static const refusal refusals[] = {
    {"add", 2, {UR_SIZES(3, 4), UR_SIZES(5, 4)}, {0}},
    {"bce", 2, {UR_SIZES(3, 4), UR_SIZES(4, 3)}, {0}},
    {"mul", 2, {UR_SIZES(3), UR_SIZES(4)}, {0}},
    {"prelu", 2, {UR_SIZES(3, 4), UR_SIZES(4)}, {0}},
    {"matmul", 2, {UR_SIZES(3, 4), UR_SIZES(5, 6)}, {0, 0}},
    {"matmul", 2, {UR_SIZES(3, 4), UR_SIZES(4, 6)}, {1, 0}},
    {"matmul", 2, {UR_SIZES(3, 4), UR_SIZES(4, 6)}, {0, 1}},
    {"matmul", 2, {UR_SIZES(3, 4), UR_SIZES(4, 6, 2)}, {0, 0}},
    {"bmm", 2, {UR_SIZES(3, 4), UR_SIZES(4, 5)}, {0, 0}},
    {"bmm", 2, {UR_SIZES(3, 4, 2), UR_SIZES(3, 4, 2)}, {0, 0}},
    {"bmm", 2, {UR_SIZES(3, 4, 2), UR_SIZES(4, 5, 2)}, {1, 1}},
    {"bmm", 2, {UR_SIZES(3, 4, 2), UR_SIZES(4, 5, 3)}, {0, 0}},
    {"outer", 2, {UR_SIZES(3), UR_SIZES(4)}, {0}},
    {"outer", 2, {UR_SIZES(3, 2), UR_SIZES(4, 3)}, {0}},
    {"sum", 1, {UR_SIZES(3, 4)}, {2}},
    {"mean", 1, {UR_SIZES(3, 4)}, {2}},
    {"norm", 1, {UR_SIZES(3, 4)}, {2}},
    {"max_over", 1, {UR_SIZES(3, 4)}, {2}},
    {"cumsum", 1, {UR_SIZES(3, 4)}, {2, 0}},
    {"concat", 3, {UR_SIZES(3, 4), UR_SIZES(2, 4), UR_SIZES(2, 5)}, {0}},
    {"concat", 2, {UR_SIZES(3, 4), UR_SIZES(3, 4)}, {2}},
    {"slice", 1, {UR_SIZES(3, 4)}, {0, 2, 2}},
    {"slice", 1, {UR_SIZES(3, 4)}, {2, 0, 1}},
    {"pad", 1, {UR_SIZES(3, 4)}, {2, 0, 1}},
    {"pad", 1, {UR_SIZES(3, 4)}, {0, -1, 2}},
    {"pad", 1, {UR_SIZES(3, 4)}, {0, 0x1p63, 2}},
    {"reshape", 1, {UR_SIZES(3, 4)}, {2, 5, 2, 1, 1}},
    {"transpose", 1, {UR_SIZES(3, 4)}, {0, 4}},
    {"gather", 2, {UR_SIZES(5, 3), UR_SIZES(4)}, {0}},
    {"scatter", 2, {UR_SIZES(3, 4), UR_SIZES(1, 5)}, {5}},
    {"mask", 2, {UR_SIZES(2), UR_SIZES(1, 4)}, {0.5, 3, 1, 1}},
    {"mask", 2, {{.rank = 0}, UR_SIZES(1, 4)}, {1.5, 3, 1, 1}},
    {"softmax_ce", 2, {UR_SIZES(3, 4), UR_SIZES(2, 4)}, {0}},
};
enum { REFUSALS = sizeof refusals / sizeof *refusals };

static const ur_op *op_named(const char *name)
{
    for (size_t i = 0; ur_op_at(i); i++)
        if (strcmp(ur_op_at(i)->name, name) == 0)
            return ur_op_at(i);
    ck_abort_msg("there is no operation %s", name);
    return NULL;
}

static ur_var refuse(ur_tape *tape, const ur_op *op, int inputs, const ur_shape *shape, const double *attr)
{
    static const char *const names[INPUTS] = {"a", "b", "c"};
    ur_var in[INPUTS] = {{0}};
    for (int k = 0; k < inputs && k < INPUTS; k++)
        in[k] = ur_input(tape, names[k], shape[k]);
    ur_scope_open(tape, "lstm");
    ur_scope_open(tape, "phi");
    ur_step(tape, 3);
    return ur_record(op, (size_t)inputs, in, attr);
}

static void total_of_shapes(ur_tape *tape)
{
    ur_total(2, (ur_var[]){matrix(tape, "a"), number(tape, "b")});
}

static void reduce_to_another_shape(ur_tape *tape)
{
    ur_reduce_to(matrix(tape, "a"), UR_SHAPE(2, 1));
}

static void broadcast_to_another_shape(ur_tape *tape)
{
    ur_broadcast(matrix(tape, "a"), UR_SHAPE(3, 5));
}

static void select_of_shapes(ur_tape *tape)
{
    ur_select(ur_input(tape, "alive", UR_SHAPE(1, 5)), matrix(tape, "a"), matrix(tape, "b"));
}

static void reshape_to_nothing(ur_tape *tape)
{
    ur_scope_open(tape, "lstm");
    ur_step(tape, 3);
    ur_reshape(matrix(tape, "a"), UR_SHAPE(0, 12));
}

static void reshape_to_too_much(ur_tape *tape)
{
    ur_reshape(matrix(tape, "a"), UR_SHAPE(INT64_MAX, INT64_MIN));
}

static void reshape_to_five_dimensions(ur_tape *tape)
{
    ur_reshape(matrix(tape, "a"), (ur_shape){.rank = 5, .size = {3, 4, 1, 1}});
}

static void slice_past_every_number(ur_tape *tape)
{
    ur_slice(matrix(tape, "a"), 0, INT64_MAX, 1);
}

static void scatter_into_no_rows(ur_tape *tape)
{
    ur_scatter(matrix(tape, "a"), ur_input(tape, "index", UR_SHAPE(1, 4)), 0);
}

static void many_inputs(ur_tape *tape)
{
    ur_var a = matrix(tape, "a");
    ur_concat(5, (ur_var[]){a, a, a, a, number(tape, "b")}, 0);
}

static void wrong_number_of_inputs(ur_tape *tape)
{
    ur_record(op_named("tanh"), 2, (ur_var[]){matrix(tape, "a"), matrix(tape, "b")}, NULL);
}

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
    ur_shape large = UR_SHAPE(INT64_C(1) << 20, INT64_C(1) << 20);
    ur_plan_free(plan_of(ur_broadcast(ur_const(tape, UR_SCALAR, 1), large)));
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

/* ---- own operations */

static double first(const double *in, const double *attr)
{
    (void)attr;
    return in[0];
}

static void copy_first(const ur_call *c)
{
    for (size_t i = 0; i < ur_shape_count(c->out_shape); i++)
        c->out[i] = c->in[0][0];
}

static bool same_shape(ur_shaping *s)
{
    s->out = s->in[0];
    return true;
}

static bool only_squares(ur_shaping *s)
{
    s->out = s->in[0];
    if (s->in[0].rank != 2 || s->in[0].size[0] != s->in[0].size[1])
        return ur_refuse(s, "a square matrix was expected");
    return true;
}

static bool five_dimensions(ur_shaping *s)
{
    s->out = (ur_shape){.rank = 5, .size = {1, 1, 1, 1}};
    return true;
}

static ur_var wrong_rule(const ur_adjoint *a, int k)
{
    (void)k;
    return ur_broadcast(ur_sum(a->g), UR_SHAPE(7));
}

static void own_without_derivative(ur_tape *tape)
{
    static const ur_op own = {.name = "own", .inputs = 1, .kind = UR_MAP, .map = first};
    ur_var a = matrix(tape, "a");
    ur_scope_open(tape, "lstm");
    ur_step(tape, 3);
    ur_grad(ur_sum(ur_record(&own, 1, &a, NULL)), 1, &a, &a);
}

static void own_without_shape_rule(ur_tape *tape)
{
    static const ur_op own = {.name = "own", .inputs = 1, .kind = UR_WHOLE, .run = copy_first};
    ur_var a = matrix(tape, "a");
    ur_record(&own, 1, &a, NULL);
}

static void own_that_refuses(ur_tape *tape)
{
    static const ur_op own = {.name = "own", .inputs = 1, .kind = UR_WHOLE, .shape = only_squares, .run = copy_first};
    ur_var a = matrix(tape, "a");
    ur_record(&own, 1, &a, NULL);
}

static void own_with_an_impossible_shape(ur_tape *tape)
{
    static const ur_op own = {
        .name = "own", .inputs = 1, .kind = UR_WHOLE, .shape = five_dimensions, .run = copy_first};
    ur_var a = matrix(tape, "a");
    ur_record(&own, 1, &a, NULL);
}

static void own_with_a_wrong_rule(ur_tape *tape)
{
    static const ur_op own = {
        .name = "own", .inputs = 1, .kind = UR_WHOLE, .shape = same_shape, .run = copy_first, .derive = wrong_rule};
    ur_var a = matrix(tape, "a");
    ur_grad(ur_sum(ur_record(&own, 1, &a, NULL)), 1, &a, &a);
}

static void own_with_many_constants(ur_tape *tape)
{
    static const ur_op own = {.name = "own", .inputs = 1, .attrs = UR_ATTRS + 1, .kind = UR_MAP, .map = first};
    ur_var a = matrix(tape, "a");
    ur_record(&own, 1, &a, (double[UR_ATTRS + 1]){0});
}

static void own_with_many_inputs(ur_tape *tape)
{
    static const ur_op own = {.name = "own", .inputs = 9, .kind = UR_MAP, .map = first};
    ur_var a = matrix(tape, "a"), in[9];
    for (int k = 0; k < 9; k++)
        in[k] = a;
    ur_record(&own, 9, in, NULL);
}

/* ---- networks */

static ur_net_options small(void)
{
    return (ur_net_options){
        .cell = ur_cell_find("rnn"), .inputs = 2, .hidden = 3, .outputs = 1, .out = UR_SIGMOID, .loss = UR_BCE};
}

static void net_without_cell(ur_tape *tape)
{
    ur_net_options o = small();
    o.cell = ur_cell_find("there is none");
    ur_net_new(tape, &o, 4, 5);
}

static void net_without_hidden_units(ur_tape *tape)
{
    ur_net_options o = small();
    o.hidden = 0;
    ur_net_new(tape, &o, 4, 5);
}

static void net_without_outputs(ur_tape *tape)
{
    ur_net_options o = small();
    o.outputs = -1;
    ur_net_new(tape, &o, 4, 5);
}

static void net_of_a_million_million_units(ur_tape *tape)
{
    ur_net_options o = small();
    o.hidden = INT64_C(1000000000000);
    ur_net_new(tape, &o, 4, 5);
}

static void net_without_steps(ur_tape *tape)
{
    ur_net_options o = small();
    ur_net_new(tape, &o, 0, 5);
}

/* A network for 4 steps and 5 columns, and data of these sizes for it. */
static void bind(ur_tape *tape, int64_t steps, int64_t inputs, int64_t outputs, int64_t count)
{
    ur_net_options o = small();
    ur_net *net = ur_net_new(tape, &o, 4, 5);
    ur_data *data = ur_data_new(6, steps, inputs, outputs, 0, NULL, NULL);
    ck_assert(net && data);
    ur_net_bind(net, data, 2, count);
    ur_data_free(data);
}

static void data_with_other_features(ur_tape *tape)
{
    bind(tape, 4, 3, 1, 4);
}

static void data_with_more_steps(ur_tape *tape)
{
    bind(tape, 9, 2, 1, 4);
}

static void data_with_other_targets(ur_tape *tape)
{
    bind(tape, 4, 2, 2, 4);
}

static void data_without_targets(ur_tape *tape)
{
    bind(tape, 4, 2, 0, 4);
}

static void batch_past_the_data(ur_tape *tape)
{
    bind(tape, 4, 2, 1, 5);
}

/* Data of 2 sequences of 4 steps for a network with this output, the second 2 steps long. */
static ur_net *fitted(ur_tape *tape, ur_activation out, unsigned parts, ur_data **data)
{
    ur_net_options o = small();
    o.outputs = 3;
    o.out = out;
    o.weighted = true;
    ur_net *net = ur_net_new(tape, &o, 4, 5);
    *data = ur_data_new(2, 4, 2, 3, parts | UR_DATA_LENGTHS, NULL, NULL);
    ck_assert(net && *data);
    (*data)->lengths[1] = 2;
    ck_assert(ur_net_fits(net, *data));
    return net;
}

static void length_too_large(ur_tape *tape)
{
    ur_data *data;
    ur_net *net = fitted(tape, UR_SIGMOID, 0, &data);
    data->lengths[0] = 9;
    ck_assert(!ur_net_fits(net, data));
    ur_data_free(data);
}

static void length_negative(ur_tape *tape)
{
    ur_data *data;
    ur_net *net = fitted(tape, UR_SIGMOID, 0, &data);
    data->lengths[1] = -1;
    ck_assert(ur_net_bind(net, data, 0, 1)); /* the other one */
    ck_assert(!ur_net_bind(net, data, 1, 1));
    ur_data_free(data);
}

static void class_too_large(ur_tape *tape)
{
    ur_data *data;
    ur_net *net = fitted(tape, UR_SOFTMAX, UR_DATA_Y_CLASSES, &data);
    data->y[4 + 2] = 7; /* past the end */
    ck_assert(ur_net_fits(net, data));
    data->y[4 + 1] = 3;
    ck_assert(!ur_net_fits(net, data));
    ur_data_free(data);
}

static void class_between_two(ur_tape *tape)
{
    ur_data *data;
    ur_net *net = fitted(tape, UR_SOFTMAX, UR_DATA_Y_CLASSES | UR_DATA_Y_LAST, &data);
    data->y[1] = 0.5;
    ck_assert(!ur_net_bind(net, data, 0, 2));
    ur_data_free(data);
}

static void no_data(ur_tape *tape)
{
    ur_data *data;
    ur_net *net = fitted(tape, UR_SIGMOID, 0, &data);
    ur_data_free(data);
    ck_assert(!ur_net_fits(net, NULL) && !ur_net_bind(net, NULL, 0, 1));
}

/* A network without a loss, scored without targets or past the data. */
static void score(ur_tape *tape, bool targets, int64_t count)
{
    ur_net_options o = small();
    ur_score found = {0};
    o.loss = UR_NO_LOSS;
    ur_net *net = ur_net_new(tape, &o, 4, 5);
    ur_data *data = ur_data_new(2, 4, 2, targets, 0, NULL, NULL);
    ck_assert(net && data && ur_net_bind(net, data, 0, 2));
    ur_plan *plan = ur_plan_new(tape, &(ur_plan_options){.roots = 4, .root = net->o});
    ck_assert(ur_plan_run(plan) && !ur_net_score(net, NULL, data, 0, count, &found));
    ck_assert(!ur_net_score(net, plan, data, 0, count, &found));
    ck_assert_int_eq(found.sequences, 0);
    ur_plan_free(plan);
    ur_data_free(data);
}

static void score_without_targets(ur_tape *tape)
{
    score(tape, false, 2);
}

static void score_past_the_data(ur_tape *tape)
{
    score(tape, true, 3);
}

static void data_with_weights(ur_tape *tape)
{
    ur_net_options o = small();
    ur_net *net = ur_net_new(tape, &o, 4, 5);
    ur_data *data = ur_data_new(5, 4, 2, 1, UR_DATA_WEIGHT, NULL, NULL);
    ck_assert(net && data);
    ur_trainer_free(ur_trainer_new(net, data, &(ur_train_options){.rate = 1}));
    ur_data_free(data);
}

static void differentiate_without_loss(ur_tape *tape)
{
    ur_net_options o = small();
    o.loss = UR_NO_LOSS;
    ur_net *net = ur_net_new(tape, &o, 4, 5);
    ck_assert(net && !ur_net_differentiate(net));
}

static void input_too_large(ur_tape *tape)
{
    ur_net_options o = {.cell = ur_cell_find("mlp"), .inputs = 1, .hidden = 1, .loss = UR_MSE};
    o.hidden_activation = UR_RELU;
    ur_net *net = ur_net_new(tape, &o, 1, 1);
    ur_data *data = ur_data_new(1, 1, 1, 1, 0, NULL, NULL);
    ur_trainer *trainer = net && data ? ur_trainer_new(net, data, &(ur_train_options){.rate = 1}) : NULL;
    ck_assert(trainer && ur_write(ur_find(tape, "Wi", 0), 1, (double[]){1}));
    data->x[0] = 1e200; /* dE/dWi = x (Wi x - y) */
    ck_assert_int_eq(ur_trainer_epoch(trainer, &(ur_score){0}), UR_FAILED);
    ur_trainer_free(trainer);
    ur_data_free(data);
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

static void score_without_room(ur_tape *tape)
{
    ur_data *data;
    ur_net *net = fitted(tape, UR_SIGMOID, 0, &data);
    ur_plan *plan = ur_plan_new(tape, &(ur_plan_options){.roots = 4, .root = net->o});
    ck_assert(ur_net_bind(net, data, 0, 2) && ur_plan_run(plan));
    ck_assert(!ur_net_score(net, plan, data, 0, 2, NULL));
    ur_plan_free(plan);
    ur_data_free(data);
}

static void evaluation_without_room(ur_tape *tape)
{
    ur_data *data;
    ur_net *net = fitted(tape, UR_SIGMOID, 0, &data);
    ck_assert(!ur_net_evaluate(net, data, NULL));
    ur_data_free(data);
}

static void epoch_without_room(ur_tape *tape)
{
    ur_data *data;
    ur_net *net = fitted(tape, UR_SIGMOID, 0, &data);
    ur_trainer *trainer = ur_trainer_new(net, data, &(ur_train_options){.rate = 1});
    ck_assert_int_eq(ur_trainer_epoch(trainer, NULL), UR_FAILED);
    ur_trainer_free(trainer);
    ur_data_free(data);
}

static void failure_without_words(ur_tape *tape)
{
    ur_tape_fail(tape, (const char *)NULL);
}

/* ---- what is none of the choices, and data that cannot be */

static void refuse_net(ur_tape *tape, const ur_net_options *o)
{
    ck_assert_ptr_null(ur_net_new(tape, o, 4, 5));
}

/* A cell whose state has a name that would be cut. */
static void refuse_state(ur_tape *tape, const char *name, ur_net_options o)
{
    ur_cell cell = *o.cell;
    cell.name = "own";
    cell.state[0].name = name;
    o.cell = &cell;
    refuse_net(tape, &o);
}

static void long_state_of_a_layer(ur_tape *tape)
{
    ur_net_options o = small();
    o.start = UR_START_GIVEN;
    o.layers = 2;
    refuse_state(tape, "a_state_of_fifty_seven_letters_has_no_room_behind_a_layer", o);
}

static void long_state_that_is_learned(ur_tape *tape)
{
    ur_net_options o = small();
    o.start = UR_START_LEARNED;
    refuse_state(tape, "a_state_of_thirty_one_letters_0", o);
}

static void hidden_activation_of_none(ur_tape *tape)
{
    ur_net_options o = small();
    o.hidden_activation = (ur_activation)99;
    refuse_net(tape, &o);
}

static void out_of_none(ur_tape *tape)
{
    ur_net_options o = small();
    o.out = (ur_activation)99;
    refuse_net(tape, &o);
}

static void loss_of_none(ur_tape *tape)
{
    ur_net_options o = small();
    o.loss = (ur_loss)99;
    refuse_net(tape, &o);
}

static void reduction_of_none(ur_tape *tape)
{
    ur_net_options o = small();
    o.reduction = (ur_reduction)-1;
    refuse_net(tape, &o);
}

static void start_of_none(ur_tape *tape)
{
    ur_net_options o = small();
    o.start = (ur_start)3;
    refuse_net(tape, &o);
}

static void schedule_of_none(ur_tape *tape)
{
    ur_data *data;
    ur_net *net = fitted(tape, UR_SIGMOID, 0, &data);
    ck_assert_ptr_null(ur_trainer_new(net, data, &(ur_train_options){.rate = 1, .schedule = (ur_schedule)77}));
    ur_data_free(data);
}

static void order_below_0(ur_tape *tape)
{
    ur_data *data;
    ur_net *net = fitted(tape, UR_SIGMOID, 0, &data);
    data->order = (const int64_t[]){1, -7};
    ck_assert(ur_net_bind(net, data, 0, 1));
    ck_assert(!ur_net_bind(net, data, 0, 2));
    ur_data_free(data);
}

/* Of two rows the second, where nobody says that there are two. */
static void order_past_the_last_row(ur_tape *tape)
{
    ur_data *data;
    ur_net *net = fitted(tape, UR_SIGMOID, 0, &data);
    data->order = (const int64_t[]){1};
    data->n = 1;
    data->rows = 2;
    ck_assert(ur_net_fits(net, data));
    data->rows = 0;
    ck_assert(!ur_net_fits(net, data));
    ur_data_free(data);
}

static void order_far_away(ur_tape *tape)
{
    ur_data *data;
    ur_net *net = fitted(tape, UR_SIGMOID, 0, &data);
    data->order = (const int64_t[]){1, 1000000000};
    ck_assert(ur_net_bind(net, data, 0, 1));
    ck_assert(!ur_net_bind(net, data, 1, 1));
    ur_data_free(data);
}

static void score_of_no_length(ur_tape *tape)
{
    ur_data *data;
    ur_net *net = fitted(tape, UR_SIGMOID, 0, &data);
    ur_score score = {0};
    ur_plan *plan = ur_plan_new(tape, &(ur_plan_options){.roots = 1, .root = net->o});
    ck_assert(ur_net_bind(net, data, 0, 2) && ur_plan_run(plan));
    data->lengths = (int64_t[]){1, -1};
    ck_assert(!ur_net_score(net, plan, data, 0, 2, &score));
    ck_assert_int_eq(score.sequences, 0);
    ur_plan_free(plan);
    ur_data_free(data);
}

static void data_without_steps(ur_tape *tape)
{
    ur_data *data;
    ur_net *net = fitted(tape, UR_SIGMOID, 0, &data);
    data->steps = 0;
    ck_assert(!ur_net_fits(net, data));
    ur_data_free(data);
}

/* ---- all of them */

#define PROGRAM(f) #f, f
static const struct program {
    const char *name;
    void (*run)(ur_tape *tape);
} programs[] = {
    {PROGRAM(total_of_shapes)},
    {PROGRAM(reduce_to_another_shape)},
    {PROGRAM(broadcast_to_another_shape)},
    {PROGRAM(select_of_shapes)},
    {PROGRAM(reshape_to_nothing)},
    {PROGRAM(reshape_to_too_much)},
    {PROGRAM(reshape_to_five_dimensions)},
    {PROGRAM(slice_past_every_number)},
    {PROGRAM(scatter_into_no_rows)},
    {PROGRAM(many_inputs)},
    {PROGRAM(wrong_number_of_inputs)},
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
    {PROGRAM(stale_value)},
    {PROGRAM(stale_plan)},
    {PROGRAM(no_value)},
    {PROGRAM(value_that_is_not_found)},
    {PROGRAM(node_out_of_range)},
    {PROGRAM(input_out_of_range)},
    {PROGRAM(name_taken)},
    {PROGRAM(leaf_taken)},
    {PROGRAM(param_in_two_shapes)},
    {PROGRAM(gate_in_two_sizes)},
    {PROGRAM(name_too_long)},
    {PROGRAM(scope_closed_twice)},
    {PROGRAM(write_to_a_result)},
    {PROGRAM(write_to_a_constant)},
    {PROGRAM(write_a_wrong_count)},
    {PROGRAM(copy_of_a_missing_param)},
    {PROGRAM(copy_of_another_shape)},
    {PROGRAM(state_on_a_param)},
    {PROGRAM(state_of_another_shape)},
    {PROGRAM(state_with_two_values)},
    {PROGRAM(plan_of_nothing)},
    {PROGRAM(plan_of_a_foreign_value)},
    {PROGRAM(plan_of_too_much)},
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
    {PROGRAM(own_without_derivative)},
    {PROGRAM(own_without_shape_rule)},
    {PROGRAM(own_that_refuses)},
    {PROGRAM(own_with_an_impossible_shape)},
    {PROGRAM(own_with_a_wrong_rule)},
    {PROGRAM(own_with_many_constants)},
    {PROGRAM(own_with_many_inputs)},
    {PROGRAM(net_without_cell)},
    {PROGRAM(net_without_hidden_units)},
    {PROGRAM(net_without_outputs)},
    {PROGRAM(net_of_a_million_million_units)},
    {PROGRAM(net_without_steps)},
    {PROGRAM(data_with_other_features)},
    {PROGRAM(data_with_more_steps)},
    {PROGRAM(data_with_other_targets)},
    {PROGRAM(data_without_targets)},
    {PROGRAM(batch_past_the_data)},
    {PROGRAM(length_too_large)},
    {PROGRAM(length_negative)},
    {PROGRAM(class_too_large)},
    {PROGRAM(class_between_two)},
    {PROGRAM(no_data)},
    {PROGRAM(score_without_targets)},
    {PROGRAM(score_past_the_data)},
    {PROGRAM(data_with_weights)},
    {PROGRAM(differentiate_without_loss)},
    {PROGRAM(input_too_large)},
    {PROGRAM(inputs_without_room)},
    {PROGRAM(look_without_room)},
    {PROGRAM(diagram_without_roots)},
    {PROGRAM(check_without_gradients)},
    {PROGRAM(check_without_room)},
    {PROGRAM(fill_without_a_name)},
    {PROGRAM(score_without_room)},
    {PROGRAM(evaluation_without_room)},
    {PROGRAM(epoch_without_room)},
    {PROGRAM(failure_without_words)},
    {PROGRAM(long_state_of_a_layer)},
    {PROGRAM(long_state_that_is_learned)},
    {PROGRAM(hidden_activation_of_none)},
    {PROGRAM(out_of_none)},
    {PROGRAM(loss_of_none)},
    {PROGRAM(reduction_of_none)},
    {PROGRAM(start_of_none)},
    {PROGRAM(schedule_of_none)},
    {PROGRAM(order_below_0)},
    {PROGRAM(order_past_the_last_row)},
    {PROGRAM(order_far_away)},
    {PROGRAM(score_of_no_length)},
    {PROGRAM(data_without_steps)},
};
enum { PROGRAMS = sizeof programs / sizeof *programs };

/* Writes program i's line, `name: what the tape says`. The operations' refusals come first. */
static void line_of(int i, char line[LINE])
{
    ur_tape *tape = new_small_tape();
    const char *name = i < REFUSALS ? refusals[i].name : programs[i - REFUSALS].name;
    if (i < REFUSALS) {
        const refusal *r = &refusals[i];
        ur_var bad = refuse(tape, op_named(r->name), r->inputs, r->in, r->attr);
        ck_assert_msg(bad.index == UR_NONE, "%s took wrong shapes", name);
    } else {
        programs[i - REFUSALS].run(tape);
    }
    const char *error = ur_tape_error(tape);
    ck_assert_msg(error != NULL, "%s: there is no error", name);
    snprintf(line, LINE, "%s: %s", name, error);
    ck_assert_msg(!strchr(error, '\n') && strlen(error) < UR_ERROR_BYTES - 1, "%s: more than a line", name);
    ck_assert_uint_eq(ur_tanh(number(tape, "late")).index, UR_NONE); /* and so is everything after it */
    ck_assert_ptr_null(ur_plan_new(tape, NULL));

    ur_tape_clear(tape); /* a new beginning */
    double value = 0.5;
    ur_var x = number(tape, "x"), y = ur_square(x);
    ur_plan *plan = plan_of(y);
    ck_assert(ur_write(x, 1, &value) && ur_plan_run(plan) && ur_read(plan, y, 1, &value));
    ck_assert_double_eq(value, 0.25);
    ur_plan_free(plan);
    ur_tape_free(tape);
}

/* Line i of the golden file. */
static void golden_line(int i, char line[LINE])
{
    FILE *file = fopen(golden, "r");
    ck_assert_msg(file != NULL, "%s cannot be read", golden);
    for (int k = 0; k <= i; k++)
        ck_assert_msg(fgets(line, LINE, file) != NULL, "%s has %d lines, more were expected", golden, k);
    fclose(file);
    line[strcspn(line, "\n")] = 0;
}

START_TEST(a_wrong_program)
{
    char found[LINE], expected[LINE];
    line_of(_i, found);
    golden_line(_i, expected);
    ck_assert_str_eq(found, expected);
}
END_TEST

/* ---- every operation there is */

/* Does the line name the operation, each operand with its shape, the place, and a reason? */
static void check_form(const ur_tape *tape, const ur_op *op, int inputs, const ur_shape *in)
{
    char expected[LINE], shape[UR_SHAPE_TEXT];
    int at = snprintf(expected, sizeof expected, "%s(", op->name);
    for (int k = 0; k < inputs; k++)
        at += snprintf(expected + at, sizeof expected - (size_t)at, "%s%c%s", k ? ", " : "", 'a' + k,
                       ur_shape_text(in[k], shape));
    at += snprintf(expected + at, sizeof expected - (size_t)at, ") in lstm/phi, step 3: ");
    const char *error = ur_tape_error(tape);
    ck_assert_msg(error && strncmp(error, expected, (size_t)at) == 0 && strlen(error) > (size_t)at + 8,
                  "'%s' and a reason were expected, not '%s'", expected, error ? error : "");
    if (op->kind == UR_MAP)
        ck_assert_str_eq(error + at, "sizes differ and neither is 1");
}

/* Every choice of shapes for an operation, with the constants of its first sample: what is refused is refused in form,
 * what is taken is planned and run. Operations of one value take any shape. */
START_TEST(shapes_of_every_operation)
{
    static const ur_shape shapes[] = {UR_SIZES(3, 4), UR_SIZES(5, 4), {.rank = 0},       UR_SIZES(3),
                                      UR_SIZES(1, 4), UR_SIZES(1, 5), UR_SIZES(3, 4, 2), UR_SIZES(2, 3, 2, 5)};
    enum { SHAPES = sizeof shapes / sizeof *shapes };
    const ur_op *op = ur_op_at((size_t)_i);
    int inputs = op->inputs == UR_ANY_INPUTS ? INPUTS : op->inputs, refused = 0, choices = 1;
    double attr[UR_ATTRS] = {0};
    memcpy(attr, op->samples[0].attr, sizeof op->samples[0].attr);
    for (int k = 0; k < inputs; k++)
        choices *= SHAPES;
    for (int choice = 0; choice < choices; choice++) {
        ur_tape *tape = new_tape(UR_F64);
        ur_shape in[INPUTS];
        for (int k = 0, rest = choice; k < inputs; k++, rest /= SHAPES)
            in[k] = shapes[rest % SHAPES];
        ur_var y = refuse(tape, op, inputs, in, attr);
        if (y.index == UR_NONE) {
            refused++;
            check_form(tape, op, inputs, in);
        } else {
            ur_plan *plan = plan_of(y);
            ck_assert(ur_plan_run(plan));
            ur_plan_free(plan);
        }
        ur_tape_free(tape);
    }
    ck_assert_msg(inputs == 1 || refused > 0, "%s takes any shapes", op->name);
}
END_TEST

/* Without a tape there is nowhere to leave words; nothing happens. */
START_TEST(no_tape)
{
    ur_net_options o = small();
    ur_var none = {0};
    ck_assert_uint_eq(ur_linear(NULL, "W", 3, none).index, UR_NONE);
    ck_assert_uint_eq(ur_bias(NULL, "b", none).index, UR_NONE);
    ck_assert_uint_eq(ur_affine(NULL, "phi", none, none).index, UR_NONE);
    ck_assert_uint_eq(ur_activate(UR_TANH, none).index, UR_NONE);
    ck_assert_uint_eq(ur_slice(none, 0, 0, 1).index, UR_NONE);
    ck_assert_uint_eq(ur_reshape(none, UR_SHAPE(3)).index, UR_NONE);
    ck_assert_uint_eq(ur_concat(0, NULL, 0).index, UR_NONE);
    ck_assert_uint_eq(ur_concat(2, NULL, 0).index, UR_NONE);
    ck_assert_uint_eq(ur_total(2, NULL).index, UR_NONE);
    ck_assert_uint_eq(ur_recurrent(NULL, none).index, none.index);
    ck_assert(!ur_look(none, NULL));
    ck_assert(ur_random(1, NULL, 2) == ur_random(1, "", 2));
    ck_assert_int_eq(ur_net_outputs(NULL), 0);
    ck_assert_int_eq(ur_net_outputs(&(ur_net_options){.hidden = 3}), 3);
    ck_assert_ptr_null(ur_net_new(NULL, &o, 4, 5));
    ck_assert(!ur_params_copy(NULL, NULL));
    ck_assert(!ur_net_fits(NULL, NULL) && !ur_net_bind(NULL, NULL, 0, 1));
    ck_assert(!ur_net_score(NULL, NULL, NULL, 0, 1, NULL));
    ck_assert(!ur_net_differentiate(NULL) && !ur_net_track(NULL));
    ck_assert_ptr_null(ur_cell_find(NULL));
}
END_TEST

/* An error keeps its first words: they are forgotten once they were looked at. */
static void ck_assert_told(ur_error *error, const char *words)
{
    ck_assert_str_eq(error->text, words);
    *error = (ur_error){{0}};
}

/* Nor does a trainer that could not be made end the program: what it is asked for fails, or is nothing. */
START_TEST(no_trainer)
{
    ur_score score = {.loss = 1};
    ur_train_options read;
    ur_error error = {{0}};
    const ur_data *data = NULL;
    ck_assert_ptr_null(ur_trainer_new(NULL, data, &(ur_train_options){.rate = 1}));
    ck_assert_int_eq(ur_trainer_epoch(NULL, &score), UR_FAILED);
    ck_assert_double_eq(score.loss, 0);
    ck_assert_ptr_null(ur_trainer_valid(NULL));
    ck_assert_int_eq(ur_trainer_epochs(NULL), 0);
    ck_assert_double_eq(ur_trainer_rate(NULL), 0);
    ck_assert_uint_eq(ur_trainer_bytes(NULL) + ur_trainer_plan_bytes(NULL), 0);
    ck_assert(!ur_trainer_explain(NULL, stdout) && !ur_net_evaluate(NULL, data, &score));
    ck_assert(!ur_trainer_save(NULL, &(ur_model){.epoch = 1}, "m.safetensors", &error));
    ck_assert_told(&error, "m.safetensors: there is no trainer to write");
    ck_assert(!ur_trainer_resume(NULL, NULL, "m.safetensors", &error));
    ck_assert_told(&error, "m.safetensors: there is no trainer to go on with");
    ck_assert_int_eq(ur_train_count(NULL, 5), 5);
    ck_assert_int_eq(ur_train_count(&(ur_train_options){.valid = 1e300}, 5), 5);
    ur_shuffle(5, NULL, 1, 1);
    ur_longest_first(NULL, 3, 3, (int64_t[]){2, 0, 1});
    ck_assert(!ur_train_options_read(NULL, "m.safetensors", &read, &error));
    ck_assert_told(&error, "m.safetensors: a model of unroll was expected, its metadata have no 'optim'");
    ur_trainer_free(NULL);
}
END_TEST

START_TEST(no_files)
{
    char text[UR_ARRAY_TEXT];
    ur_net_options o = {0};
    ur_error error = {{0}};
    ur_arrays *set = ur_arrays_new(NULL);
    ck_assert_ptr_null(ur_file_create(NULL, NULL, &error));
    ck_assert_told(&error, "the path of a file to write was expected, there is none");
    ck_assert(!ur_arrays_save(set, NULL, NULL) && !ur_arrays_save(NULL, NULL, &error));
    ck_assert_told(&error, "there are no arrays to write");
    ck_assert(!ur_model_save(NULL, NULL, "m.safetensors", &error));
    ck_assert_told(&error, "m.safetensors: there is no network to write");
    ck_assert(!ur_net_from_arrays(NULL, set, "m.safetensors", &error));
    ck_assert_told(&error, "m.safetensors: there is no network to write these parameters to");
    ck_assert(!ur_model_read(set, "m.safetensors", NULL, NULL, &error));
    ck_assert_told(&error, "m.safetensors: room for the options and the ur_model was expected, there is none");
    ck_assert(!ur_sizes_from_arrays(set, "m.safetensors", &o, &error));
    ck_assert_told(&error, "m.safetensors: a network's options with its cell were expected, there are none");
    ck_assert_str_eq(ur_array_shape(NULL, text), "[]");
    ck_assert_ptr_null(ur_task_data(NULL, NULL, NULL, &error));
    ck_assert(!ur_task_path(NULL, "BTXSE", NULL, NULL, &error) && !ur_task_find(NULL) && !ur_optim_find(NULL));
    ck_assert_uint_eq(ur_task_symbols(NULL, NULL, 0, text, sizeof text), 0);
    ur_arrays_free(set);
    ur_data_free(NULL);
}
END_TEST

/* A set's arrays and metadata: no names, no numbers, no such type. */
START_TEST(no_names)
{
    const int64_t size[] = {2, 3};
    double numbers[6] = {0};
    ur_error error = {{0}};
    ur_arrays *set = ur_arrays_new(NULL);
    ur_array *array = ur_arrays_add(set, "a", UR_ARRAY_F32, 2, size, &error);
    ck_assert_ptr_nonnull(array);
    ck_assert_ptr_null(ur_arrays_add(set, NULL, UR_ARRAY_F32, 2, size, &error));
    ck_assert_told(&error, "the name of an array was expected, there is none");
    ck_assert_ptr_null(ur_arrays_add(set, "x", UR_ARRAY_F32, 2, NULL, &error));
    ck_assert_told(&error, "\"x\" has no sizes, expected 2");
    ck_assert_ptr_null(ur_arrays_add(set, "x", (ur_array_type)99, 2, size, &error));
    ck_assert_told(&error, "\"x\" has the type 99, expected one of ur_array_type");
    ck_assert_ptr_null(ur_arrays_add(set, "x", (ur_array_type)-1, 2, size, &error));
    ck_assert_told(&error, "\"x\" has the type -1, expected one of ur_array_type");
    ck_assert_str_eq(ur_array_type_name((ur_array_type)99), "?");
    ck_assert(!ur_arrays_set_text(set, NULL, "x", &error));
    ck_assert_told(&error, "metadata are a key and a text, there is no key");
    ck_assert(!ur_arrays_set_text(set, "k", NULL, &error));
    ck_assert_told(&error, "metadata are a key and a text, there is no text");
    ck_assert(ur_arrays_set_text(set, "k", "v", &error) && !ur_arrays_text(set, NULL) && !ur_arrays_find(set, NULL));
    ck_assert(!ur_array_get(array, NULL, &error));
    ck_assert_told(&error, "there is no room for the numbers of an array");
    ck_assert(!ur_array_set(array, NULL, &error));
    ck_assert_told(&error, "there are no numbers to set an array to");
    ck_assert(!ur_array_get(NULL, numbers, &error));
    ck_assert_told(&error, "there is no array to read");
    ck_assert_ptr_null(ur_data_to_arrays(&(ur_data){.n = 1, .steps = 1, .inputs = 1}, UR_F32, NULL, &error));
    ck_assert_told(&error, "there are no numbers to set an array to");
    ck_assert_ptr_null(ur_arrays_load(NULL, NULL, &error));
    ck_assert_told(&error, "the path of a file to read was expected, there is none");
    ck_assert(!ur_params_to_arrays(NULL, set, &error));
    ck_assert_told(&error, "there is no tape with parameters to write");
    ck_assert(!ur_params_from_arrays(NULL, set, "m.safetensors", &error));
    ck_assert_told(&error, "m.safetensors: there is no tape to write these parameters to");
    ur_arrays_free(set);
}
END_TEST

START_TEST(write_golden)
{
    char line[LINE];
    FILE *file = fopen(golden, "w");
    ck_assert_msg(file != NULL, "%s cannot be written", golden);
    for (int i = 0; i < REFUSALS + PROGRAMS; i++) {
        line_of(i, line);
        fprintf(file, "%s\n", line);
        fflush(file);
    }
    ck_assert_int_eq(fclose(file), 0);
}
END_TEST

int main(void)
{
    int ops = 0;
    while (ur_op_at((size_t)ops))
        ops++;
    Suite *suite = suite_create("mistakes");
    TCase *tests = tcase_create("mistakes");
    if (getenv("UPDATE_GOLDEN"))
        tcase_add_test(tests, write_golden);
    tcase_add_loop_test(tests, a_wrong_program, 0, REFUSALS + PROGRAMS);
    tcase_add_loop_test(tests, shapes_of_every_operation, 0, ops);
    tcase_add_test(tests, no_tape);
    tcase_add_test(tests, no_trainer);
    tcase_add_test(tests, no_files);
    tcase_add_test(tests, no_names);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
