/* test_mistakes_ops.c - wrong uses of operations, the library's and one's own: the lines that they end in, of
 * tests/golden/mistakes_ops.txt. Shapes that an operation refuses are looked for besides, for every operation there
 * is: the words for those are derived here. */
#include "mistakes.h"

/* ---- shapes that do not fit, in the scope lstm/phi at step 3 */

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
    {"sum", 1, {UR_SIZES(3, 4)}, {-0x1p63}},
    {"mean", 1, {UR_SIZES(3, 4)}, {2}},
    {"norm", 1, {UR_SIZES(3, 4)}, {2}},
    {"max_over", 1, {UR_SIZES(3, 4)}, {2}},
    {"cumsum", 1, {UR_SIZES(3, 4)}, {2, 0}},
    {"concat", 3, {UR_SIZES(3, 4), UR_SIZES(2, 4), UR_SIZES(2, 5)}, {0}},
    {"concat", 2, {UR_SIZES(3, 4), UR_SIZES(3, 4)}, {2}},
    {"slice", 1, {UR_SIZES(3, 4)}, {0, 2, 2}},
    {"slice", 1, {UR_SIZES(3, 4)}, {2, 0, 1}},
    {"slice", 1, {UR_SIZES(3, 4)}, {NAN, 0, 1}},
    {"slice", 1, {UR_SIZES(3, 4)}, {0, NAN, 2}},
    {"slice", 1, {UR_SIZES(3, 4)}, {0, 0, NAN}},
    {"pad", 1, {UR_SIZES(3, 4)}, {2, 0, 1}},
    {"pad", 1, {UR_SIZES(3, 4)}, {0, -1, 2}},
    {"pad", 1, {UR_SIZES(3, 4)}, {0, 0x1p63, 2}},
    {"pad", 1, {UR_SIZES(3, 4)}, {0, NAN, 2}},
    {"reshape", 1, {UR_SIZES(3, 4)}, {2, 5, 2, 1, 1}},
    {"reshape", 1, {UR_SIZES(3, 4)}, {0x1p63, 12, 1, 1, 1}},
    {"transpose", 1, {UR_SIZES(3, 4)}, {0, 4}},
    {"transpose", 1, {UR_SIZES(3, 4)}, {0, NAN}},
    {"gather", 2, {UR_SIZES(5, 3), UR_SIZES(4)}, {0}},
    {"scatter", 2, {UR_SIZES(3, 4), UR_SIZES(1, 5)}, {5}},
    {"scatter", 2, {UR_SIZES(3, 4), UR_SIZES(1, 4)}, {0x1p63}},
    {"mask", 2, {UR_SIZES(2), UR_SIZES(1, 4)}, {0.5, 3, 1, 1}},
    {"mask", 2, {{.rank = 0}, UR_SIZES(1, 4)}, {1.5, 3, 1, 1}},
    {"mask", 2, {{.rank = 0}, UR_SIZES(1, 4)}, {0.5, 0x1p63, 1, 1}},
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

static ur_var foreign; /* a value of another tape */

static ur_var foreign_rule(const ur_adjoint *a, int k)
{
    (void)a, (void)k;
    return foreign;
}

static ur_var late_rule(const ur_adjoint *a, int k)
{
    (void)k;
    return (ur_var){.tape = a->g.tape, .index = 1000, .generation = a->g.generation};
}

static ur_var no_join(size_t n, const ur_var *terms)
{
    return (ur_var){.tape = terms[0].tape, .index = terms[n - 1].index, .generation = terms[0].generation + 1};
}

static void own_with_a_foreign_rule(ur_tape *tape)
{
    static const ur_op own = {.name = "own", .inputs = 1, .kind = UR_MAP, .map = first, .derive = foreign_rule};
    ur_tape *other = ur_tape_new(NULL);
    foreign = ur_const(other, UR_SCALAR, 1);
    ur_var a = matrix(tape, "a");
    ur_grad(ur_sum(ur_record(&own, 1, &a, NULL)), 1, &a, &a);
    ur_tape_free(other);
}

static void own_with_a_late_rule(ur_tape *tape)
{
    static const ur_op own = {.name = "own", .inputs = 1, .kind = UR_MAP, .map = first, .derive = late_rule};
    ur_var a = matrix(tape, "a");
    ur_grad(ur_sum(ur_record(&own, 1, &a, NULL)), 1, &a, &a);
}

static ur_var joined_rule(const ur_adjoint *a, int k);

static const ur_op joined = {
    .name = "own", .inputs = 1, .kind = UR_MAP, .map = first, .derive = joined_rule, .join = no_join};

static ur_var joined_rule(const ur_adjoint *a, int k)
{
    (void)k;
    return ur_record(&joined, 1, &a->g, NULL);
}

static void own_with_a_wrong_join(ur_tape *tape)
{
    ur_var a = matrix(tape, "a");
    ur_grad(ur_sum(ur_add(ur_record(&joined, 1, &a, NULL), ur_record(&joined, 1, &a, NULL))), 1, &a, &a);
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

static void own_with_any_inputs(ur_tape *tape)
{
    static const ur_op own = {.name = "own", .inputs = UR_ANY_INPUTS, .kind = UR_MAP, .map = first};
    ur_var a = matrix(tape, "a"), in[12];
    for (int k = 0; k < 12; k++)
        in[k] = a;
    ur_record(&own, 12, in, NULL);
}

static void own_formula_of_a_missing_input(ur_tape *tape)
{
    static const ur_op own = {.name = "own", .print = "{0} o {1}", .inputs = 1, .kind = UR_MAP, .map = first};
    ur_var a = matrix(tape, "a");
    ur_record(&own, 1, &a, NULL);
}

static void own_formula_of_a_missing_constant(ur_tape *tape)
{
    static const ur_op own = {.name = "own", .print = "{c} {0}", .inputs = 1, .kind = UR_MAP, .map = first};
    ur_var a = matrix(tape, "a");
    ur_record(&own, 1, &a, NULL);
}

static void own_formula_with_half_a_hole(ur_tape *tape)
{
    static const ur_op own = {.name = "own", .print = "o{0", .inputs = 1, .kind = UR_MAP, .map = first};
    ur_var a = matrix(tape, "a");
    ur_record(&own, 1, &a, NULL);
}

/* ---- all of them */

static const program programs[] = {
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
    {PROGRAM(own_without_derivative)},
    {PROGRAM(own_without_shape_rule)},
    {PROGRAM(own_that_refuses)},
    {PROGRAM(own_with_an_impossible_shape)},
    {PROGRAM(own_with_a_wrong_rule)},
    {PROGRAM(own_with_a_foreign_rule)},
    {PROGRAM(own_with_a_late_rule)},
    {PROGRAM(own_with_a_wrong_join)},
    {PROGRAM(own_with_many_constants)},
    {PROGRAM(own_with_many_inputs)},
    {PROGRAM(own_with_any_inputs)},
    {PROGRAM(own_formula_of_a_missing_input)},
    {PROGRAM(own_formula_of_a_missing_constant)},
    {PROGRAM(own_formula_with_half_a_hole)},
};
enum { PROGRAMS = sizeof programs / sizeof *programs };

/* The operations' refusals come first. */
static const char *run(int i, ur_tape *tape)
{
    if (i < REFUSALS) {
        const refusal *r = &refusals[i];
        ur_var bad = refuse(tape, op_named(r->name), r->inputs, r->in, r->attr);
        ck_assert_msg(bad.index == UR_NONE, "%s took wrong shapes", r->name);
        return r->name;
    }
    programs[i - REFUSALS].run(tape);
    return programs[i - REFUSALS].name;
}

START_TEST(a_wrong_program)
{
    assert_golden("tests/golden/mistakes_ops.txt", run, _i, REFUSALS + PROGRAMS);
}
END_TEST

START_TEST(write_golden)
{
    update_golden("tests/golden/mistakes_ops.txt", run, REFUSALS + PROGRAMS);
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

int main(void)
{
    int ops = 0;
    while (ur_op_at((size_t)ops))
        ops++;
    TCase *cases = tcase_create("mistakes ops");
    if (getenv("UPDATE_GOLDEN"))
        tcase_add_test(cases, write_golden);
    tcase_add_loop_test(cases, a_wrong_program, 0, REFUSALS + PROGRAMS);
    tcase_add_loop_test(cases, shapes_of_every_operation, 0, ops);
    return run_cases(suite_create("mistakes ops"), cases);
}
