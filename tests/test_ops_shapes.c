/* test_ops_shapes.c - shapes that an operation refuses: the error names it, its operands with their shapes and the
 * place, and spoils what is recorded after it. Operations of one value take any rank, or refuse it in words.
 *
 * A new operation that has a shape rule needs a line in `refusals`. */
#include "problem.h"

/* ---- shapes that do not fit */

typedef struct refusal {
    const char *name;
    int inputs;
    ur_shape in[INPUTS];
    double attr[UR_ATTRS];
} refusal;

static const refusal refusals[] = {
    {"matmul", 2, {UR_SIZES(3, 4), UR_SIZES(5, 6)}, {0, 0}},
    {"matmul", 2, {UR_SIZES(3, 4), UR_SIZES(4, 5)}, {1, 0}},
    {"matmul", 2, {UR_SIZES(3, 4), UR_SIZES(4, 5)}, {0, 1}},
    {"matmul", 2, {UR_SIZES(3, 4), UR_SIZES(5, 4)}, {1, 1}},
    {"matmul", 2, {UR_SIZES(3, 4), UR_SIZES(4, 5, 2)}, {0, 0}},
    {"sum", 1, {UR_SIZES(3, 4)}, {2}},
    {"mean", 1, {UR_SIZES(3, 4)}, {2}},
    {"softmax", 1, {{.rank = 0}}, {0}},
    {"log_softmax", 1, {{.rank = 0}}, {0}},
    {"softmax_ce", 2, {UR_SIZES(3, 4), UR_SIZES(3, 5)}, {0}},
    {"softmax_ce", 2, {UR_SIZES(3, 4), UR_SIZES(3)}, {0}},
    {"softmax_ce", 2, {{.rank = 0}, {.rank = 0}}, {0}},
    {"layer_norm", 1, {{.rank = 0}}, {0}},
    {"bmm", 2, {UR_SIZES(2, 3, 4), UR_SIZES(4, 2, 4)}, {0, 0}},
    {"bmm", 2, {UR_SIZES(2, 3, 4), UR_SIZES(3, 2, 5)}, {0, 0}},
    {"bmm", 2, {UR_SIZES(3, 4), UR_SIZES(4, 5)}, {0, 0}},
    {"outer", 2, {UR_SIZES(3, 4), UR_SIZES(2, 5)}, {0}},
    {"outer", 2, {UR_SIZES(3), UR_SIZES(2)}, {0}},
    {"norm", 1, {UR_SIZES(3, 4)}, {2}},
    {"max_over", 1, {UR_SIZES(3, 4)}, {2}},
    {"cumsum", 1, {UR_SIZES(3, 4)}, {2}},
    {"cumsum", 1, {UR_SIZES(3, 4)}, {-1}},
    {"cumsum", 1, {UR_SIZES(3, 4)}, {0, 0, 4}},
    {"decay", 3, {UR_SIZES(3, 2, 4), UR_SIZES(3, 4), UR_SIZES(3, 4)}, {0}},
    {"decay", 3, {UR_SIZES(3, 3, 4), UR_SIZES(2, 4), UR_SIZES(3, 4)}, {0}},
    {"decay", 3, {UR_SIZES(3, 3, 4), UR_SIZES(3, 4), UR_SIZES(3, 5)}, {0}},
    {"decay", 3, {UR_SIZES(3, 3), UR_SIZES(3), UR_SIZES(3)}, {0}},
    {"concat", 3, {UR_SIZES(3, 2), UR_SIZES(3, 4), UR_SIZES(1, 2)}, {0}},
    {"concat", 2, {UR_SIZES(3, 2), UR_SIZES(3, 2)}, {2}},
    {"slice", 1, {UR_SIZES(4, 3)}, {0, 3, 2}},
    {"slice", 1, {UR_SIZES(4, 3)}, {1, -1, 2}},
    {"slice", 1, {UR_SIZES(4, 3)}, {2, 0, 1}},
    {"pad", 1, {UR_SIZES(4, 3)}, {2, 0, 1}},
    {"pad", 1, {UR_SIZES(4, 3)}, {0, -1, 2}},
    {"pad", 1, {UR_SIZES(4, 3)}, {1, 1e17, 2}},
    {"reshape", 1, {UR_SIZES(4, 3)}, {2, 5, 2}},
    {"transpose", 1, {UR_SIZES(4, 3)}, {0, 4}},
    {"transpose", 1, {UR_SIZES(4, 3)}, {-1, 0}},
    {"gather", 2, {UR_SIZES(4, 3), UR_SIZES(2, 5)}, {0}},
    {"gather", 2, {UR_SIZES(4), UR_SIZES(1, 5)}, {0}},
    {"scatter", 2, {UR_SIZES(3, 5), UR_SIZES(1, 4)}, {4}},
    {"mask", 2, {UR_SIZES(2), UR_SIZES(1, 3)}, {0.5, 4, 1, 2}},
    {"mask", 2, {UR_SIZES(1), UR_SIZES(1, 3)}, {1.5, 4, 1, 2}},
    {"sum_of", 3, {UR_SIZES(3, 2), UR_SIZES(3, 2), UR_SIZES(2, 3)}, {0}},
    {"reduce_to", 1, {UR_SIZES(3, 4)}, {2, 5, 1, 1, 1}},
    {"reduce_to", 1, {UR_SIZES(1, 4)}, {2, 3, 4, 1, 1}},
    {"broadcast", 1, {UR_SIZES(3, 4)}, {2, 3, 5, 1, 1}},
    {"broadcast", 1, {UR_SIZES(3, 4)}, {2, 3, 1, 1, 1}},
};

static void check_refusal(const ur_op *op, const refusal *r)
{
    char shape[UR_SHAPE_TEXT], kept[UR_ERROR_BYTES];
    ur_tape *tape = new_tape(UR_F64);
    ur_var in[INPUTS] = {{0}}, good = ur_input(tape, "good", UR_SHAPE(2)), d;
    for (int k = 0; k < r->inputs; k++)
        in[k] = ur_input(tape, leaf_name(k), r->in[k]);
    ur_scope_open(tape, "lstm");
    ur_scope_open(tape, "phi");
    ur_step(tape, 3);
    size_t nodes = ur_tape_nodes(tape);
    ur_var bad = ur_record(op, (size_t)r->inputs, in, r->attr);
    const char *error = ur_tape_error(tape);
    ck_assert_msg(bad.index == UR_NONE && error, "%s took wrong shapes", op->name);
    ck_assert_msg(strstr(error, op->name) == error, "%s: %s", op->name, error);
    for (int k = 0; k < r->inputs; k++) {
        ck_assert_msg(strstr(error, ur_shape_text(r->in[k], shape)), "no %s in: %s", shape, error);
        ck_assert_msg(strstr(error, leaf_name(k)), "no %s in: %s", leaf_name(k), error);
    }
    if (op == &ur_op_reduce_to || op == &ur_op_broadcast || op == &ur_op_reshape)
        ck_assert_msg(strstr(error, ur_shape_text(shape_of(r->attr), shape)), "no %s in: %s", shape, error);
    ck_assert_msg(strstr(error, "in lstm/phi, step 3: "), "no place in: %s", error);

    /* from here on everything is poison, and the first error stays */
    snprintf(kept, sizeof kept, "%s", error);
    ck_assert_uint_eq(ur_add(good, good).index, UR_NONE);
    ck_assert_uint_eq(ur_tanh(bad).index, UR_NONE);
    ck_assert_uint_eq(ur_record(op, (size_t)r->inputs, in, r->attr).index, UR_NONE);
    ck_assert_uint_eq(ur_input(tape, "late", UR_SHAPE(2)).index, UR_NONE);
    ck_assert(!ur_grad(good, 1, &good, &d) && d.index == UR_NONE);
    ck_assert_ptr_null(ur_plan_new(tape, NULL));
    ur_tape_fail(tape, "another error");
    ck_assert_str_eq(ur_tape_error(tape), kept);
    ck_assert_uint_eq(ur_tape_nodes(tape), nodes);
    ur_tape_free(tape);
}

START_TEST(wrong_shapes)
{
    const ur_op *op = op_at(_i);
    bool found = op->kind == UR_MAP;
    if (op->kind == UR_MAP && op->inputs > 1)
        for (int k = 0; k < op->inputs; k++) {
            refusal r = {.name = op->name, .inputs = op->inputs};
            for (int i = 0; i < op->inputs; i++)
                r.in[i] = UR_SHAPE(3, 4);
            r.in[k] = UR_SHAPE(5, 6);
            check_refusal(op, &r);
            r.in[k] = UR_SHAPE(4); /* a column [4,1], not a row */
            check_refusal(op, &r);
            r.in[k] = UR_SHAPE(3, 4, 2);
            r.in[(k + 1) % op->inputs] = UR_SHAPE(3, 4, 3);
            check_refusal(op, &r);
        }
    for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++)
        if (strcmp(refusals[i].name, op->name) == 0) {
            check_refusal(op, &refusals[i]);
            found = true;
        }
    ck_assert_msg(found, "%s: this test has no shapes that it refuses", op->name);
}
END_TEST

START_TEST(wrong_number_of_inputs)
{
    const ur_op *op = op_at(_i);
    double attr[UR_ATTRS] = {0};
    ur_tape *tape = new_tape(UR_F64);
    ur_var a = ur_input(tape, "a", UR_SHAPE(2)), in[INPUTS + 1] = {a, a, a, a};
    if (op->inputs == UR_ANY_INPUTS) {
        ck_assert_uint_eq(ur_record(op, 0, in, attr).index, UR_NONE);
    } else {
        ck_assert_uint_eq(ur_record(op, (size_t)op->inputs + 1, in, attr).index, UR_NONE);
        ck_assert_msg(strstr(ur_tape_error(tape), op->name), "%s", ur_tape_error(tape));
    }
    ur_tape_free(tape);
}
END_TEST

/* Elementwise operations, and those over columns, of one value: each rank is refused in words, or works to the second
 * derivative. */
START_TEST(any_rank)
{
    static const ur_shape shape[] = {{.rank = 0}, UR_SIZES(3), UR_SIZES(3, 4), UR_SIZES(3, 2, 2), UR_SIZES(3, 1, 2, 2)};
    const ur_op *op = op_at(_i);
    problem p;
    if (op->inputs != 1 || (op->kind != UR_MAP && op->kind != UR_COLUMNS))
        return;
    for (size_t i = 0; i < sizeof shape / sizeof *shape; i++) {
        problem_of(op, 0, &p);
        p.shape[0] = shape[i];
        ur_tape *tape = new_tape(UR_F64);
        ur_var a = ur_input(tape, "a", shape[i]);
        bool taken = ur_record(op, 1, &a, p.attr).index != UR_NONE;
        ck_assert_msg(taken || strstr(ur_tape_error(tape), op->name), "%s", ur_tape_error(tape));
        ur_tape_free(tape);
        if (taken)
            check_problem(&p, true);
    }
}
END_TEST

int main(void)
{
    int ops = op_count();
    TCase *cases = tcase_create("ops shapes");
    tcase_add_loop_test(cases, wrong_shapes, 0, ops);
    tcase_add_loop_test(cases, wrong_number_of_inputs, 0, ops);
    tcase_add_loop_test(cases, any_rank, 0, ops);
    return run_cases(suite_create("ops shapes"), cases);
}
