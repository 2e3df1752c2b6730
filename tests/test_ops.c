/* test_ops.c - every operation on every sample of its descriptor, with every broadcast and as op(x, x): values
 * against closed forms, both derivatives against differences (problem.h). On shapes of more than a tile the plan is
 * held against the reference execution, a replay against the first run, to the bit; last the text that a formula is
 * printed as.
 *
 * A new operation is found by itself; it needs a line in closed_forms.h. */
#include "problem.h"

/* ---- what every descriptor has */

START_TEST(descriptor)
{
    const ur_op *op = op_at(_i);
    form_of(op);
    ck_assert_msg(op->derive != NULL, "%s has no derivative rule", op->name);
    ck_assert_msg(op->formula && op->derivative, "%s has no formula or no derivative to print", op->name);
    ck_assert_msg(op->kind == UR_MAP ? op->map != NULL : op->shape && op->run, "%s has no specification", op->name);
    ck_assert_msg(op->attrs >= 0 && op->attrs <= UR_ATTRS, "%s has too many constants", op->name);
    ck_assert_msg(is_used(&op->samples[0]), "%s has no sample", op->name);
    for (int i = 0; i < _i; i++)
        ck_assert_str_ne(op_at(i)->name, op->name);
}
END_TEST

/* ---- values and derivatives on every sample */

START_TEST(samples)
{
    problem p;
    for (int i = 0; i < UR_SAMPLES; i++)
        if (problem_of(op_at(_i), i, &p))
            check_problem(&p, true);
}
END_TEST

/* ---- broadcasting, every way round */

static void each_combination(const ur_op *op, int shapes, const ur_shape *shape, bool second)
{
    problem p;
    int combinations = 1;
    problem_of(op, 0, &p);
    for (int k = 0; k < p.inputs; k++)
        combinations *= shapes;
    for (int c = 0; c < combinations; c++) {
        for (int k = 0, rest = c; k < p.inputs; k++, rest /= shapes)
            p.shape[k] = shape[rest % shapes];
        check_problem(&p, second);
    }
}

START_TEST(broadcasting)
{
    static const ur_shape flat[] = {UR_SIZES(3, 4), UR_SIZES(3), UR_SIZES(1, 4), UR_SIZES(3, 1), {.rank = 0}};
    static const ur_shape deep[] = {UR_SIZES(2, 3, 1, 2), UR_SIZES(2, 1, 2), UR_SIZES(1, 3, 1, 2), UR_SIZES(2, 3)};
    const ur_op *op = op_at(_i);
    if (op->kind != UR_MAP || op->inputs < 2)
        return;
    each_combination(op, 5, flat, true);
    each_combination(op, 4, deep, false);
}
END_TEST

/* ---- op(x, x): the contributions of both places are added */

START_TEST(one_value_twice)
{
    const ur_op *op = op_at(_i);
    problem p, q;
    if (op->inputs == 1)
        return;
    for (int i = 0; i < UR_SAMPLES; i++) {
        if (!problem_of(op, i, &p))
            continue;
        p.same = true;
        if (form_of(op)->blind || p.shape[0].rank != p.shape[1].rank)
            continue; /* its places differ: a value in one, the switch in the other, or a matrix and a vector */
        if (!ur_shape_equal(p.shape[0], p.shape[1]) && p.attr[0] == p.attr[1])
            p.shape[0].size[1] = p.shape[0].size[0]; /* the square of a matrix */
        for (int k = 1; k < p.inputs; k++)
            p.shape[k] = p.shape[0];
        check_problem(&p, true);

        /* the same values in leaves of their own: the gradient is the sum of theirs */
        q = p;
        q.same = false;
        given one = draw_given(&p), each = one;
        for (int k = 1; k < p.inputs; k++) {
            each.x[k] = each.x[0];
            each.s[k] = each.s[0];
        }
        result sum = check_executions(&p, &one), part = check_executions(&q, &each);
        for (int k = 1; k < p.inputs; k++)
            for (size_t e = 0; e < count(part.g[0].size); e++)
                part.g[0].at[e] += part.g[k].at[e];
        check_close(&p, &sum.g[0], &part.g[0], f64_close, "sum of contributions", 0);
    }
}
END_TEST

/* ---- large shapes: tiles, lanes and their tails */

/* 21 is more than the lanes of a vector, 268 more than a tile; neither is a multiple. */
static int64_t grown(int64_t size)
{
    return size == 1 ? 1 : size < 4 ? 7 * size : 67 * size;
}

static ur_shape grown_shape(ur_shape shape)
{
    for (int i = 0; i < shape.rank; i++)
        shape.size[i] = grown(shape.size[i]);
    return shape;
}

/* Uniform numbers; those of input k of the problem as the input wants them, k < 0: factors. */
static void write_random(const problem *p, int k, ur_var leaf, const char *stream)
{
    ur_node node;
    ur_look(leaf, &node);
    size_t n = ur_shape_count(node.shape);
    double *x = (double *)malloc(n * sizeof *x), low = k < 0 ? -1 : p->low, high = k < 0 ? 1 : p->high;
    ck_assert_ptr_nonnull(x);
    for (size_t i = 0; i < n; i++) {
        double value = low + (high - low) * ur_random(3, stream, i);
        x[i] = k < 0 ? value : as_input(p, k, i, value);
    }
    ck_assert(ur_write(leaf, n, x));
    free(x);
}

/* Largest error of root v against that of the reference plan, against the root's largest element. */
static double root_error(ur_plan *plan, ur_plan *reference, ur_var v)
{
    ur_node node;
    ur_look(v, &node);
    size_t n = ur_shape_count(node.shape);
    double *got = (double *)malloc(n * sizeof *got), *want = (double *)malloc(n * sizeof *want);
    ck_assert(got && want && ur_read(plan, v, n, got) && ur_read(reference, v, n, want));
    double error = distance(n, got, want) / fmax(largest(n, want), 1e-2);
    free(got);
    free(want);
    return error;
}

static void check_large(const problem *p, ur_dtype dtype)
{
    char text[LABEL];
    double close = dtype == UR_F64 ? 1e-12 : 2e-5;
    recorded t = record(p, dtype);
    ur_plan *plan = plan_all(&t, false), *reference = plan_all(&t, true);
    write_random(p, -1, t.r, "r");
    for (int k = 0; k < t.leaves; k++) {
        write_random(p, k, t.x[k], leaf_name(k));
        write_random(p, -1, t.s[k], factor_name(k));
    }
    ck_assert(ur_plan_run(plan) && ur_plan_run(reference));
    double error = root_error(plan, reference, t.y);
    ck_assert_msg(error <= close, "%s: error %g", label(p, "large, value", 0, text), error);
    for (int k = 0; k < t.leaves; k++) {
        error = fmax(root_error(plan, reference, t.g[k]), root_error(plan, reference, t.h[k]));
        ck_assert_msg(error <= close, "%s: error %g", label(p, "large, gradient", k, text), error);
    }
    ur_plan_free(plan);
    ur_plan_free(reference);
    ur_tape_free(t.tape);
}

START_TEST(large_shapes)
{
    problem p;
    const ur_op *op = op_at(_i);
    for (int i = 0; i < UR_SAMPLES; i++) {
        if (!problem_of(op, i, &p))
            continue;
        for (int k = 0; k < p.inputs; k++)
            p.shape[k] = grown_shape(p.shape[k]);
        if (op == &ur_op_reduce_to || op == &ur_op_broadcast)
            for (int k = 0; k < UR_RANK; k++)
                p.attr[1 + k] = (double)grown((int64_t)p.attr[1 + k]);
        if (op == &ur_op_reshape) { /* to a row */
            p.attr[0] = 2;
            p.attr[1] = 1;
            p.attr[2] = (double)ur_shape_count(p.shape[0]);
        }
        if (strcmp(op->name, "cumsum") == 0)
            p.attr[2] = (double)p.shape[0].size[(int)p.attr[0]];
        check_large(&p, UR_F64);
        check_large(&p, UR_F32);
    }
}
END_TEST

/* An operand that is repeated along the middle or the last dimension, in rows that are no part of a tile. */
START_TEST(large_broadcasts)
{
    static const ur_shape part[] = {UR_SIZES(5, 1, 24), UR_SIZES(1, 1, 24), UR_SIZES(5, 40, 1), UR_SIZES(1, 40, 24),
                                    UR_SIZES(5, 1, 1)};
    const ur_op *op = op_at(_i);
    problem p;
    if (op->kind != UR_MAP || op->inputs < 2)
        return;
    problem_of(op, 0, &p);
    for (size_t i = 0; i < sizeof part / sizeof *part; i++)
        for (int repeated = 0; repeated < p.inputs; repeated++) {
            for (int k = 0; k < p.inputs; k++)
                p.shape[k] = k == repeated ? part[i] : UR_SHAPE(5, 40, 24);
            check_large(&p, UR_F64);
            check_large(&p, UR_F32);
        }
}
END_TEST

/* ---- replay */

START_TEST(replay)
{
    problem p;
    for (int i = 0; i < UR_SAMPLES * 4; i++) {
        if (!problem_of(op_at(_i), i / 4, &p))
            continue;
        given v = draw_given(&p), other = v;
        for (int k = 0; k < leaves_of(&p); k++)
            for (size_t q = 0; q < count(v.x[k].size); q++)
                other.x[k].at[q] = v.x[k].at[count(v.x[k].size) - 1 - q];
        recorded t = record(&p, i & 1 ? UR_F32 : UR_F64);
        ur_plan *plan = plan_all(&t, i & 2);
        size_t elements, bytes;
        write_given(&t, &v);
        ck_assert(ur_plan_run(plan));
        const void *roots = ur_plan_roots(plan, &elements);
        bytes = elements * ur_dtype_bytes(ur_tape_dtype(t.tape));
        void *first = malloc(bytes);
        ck_assert_ptr_nonnull(first);
        memcpy(first, roots, bytes);
        ck_assert(ur_plan_run(plan));
        ck_assert_mem_eq(ur_plan_roots(plan, &elements), first, bytes);
        write_given(&t, &other);
        ck_assert(ur_plan_run(plan));
        write_given(&t, &v);
        ck_assert(ur_plan_run(plan));
        ck_assert_mem_eq(ur_plan_roots(plan, &elements), first, bytes);
        free(first);
        ur_plan_free(plan);
        ur_tape_free(t.tape);
    }
}
END_TEST

/* ---- formulas */

START_TEST(formula)
{
    char text[256], small[8];
    problem p;
    const ur_op *op = op_at(_i);
    problem_of(op, 0, &p);
    ur_tape *tape = new_tape(UR_F64);
    ur_var in[INPUTS] = {{0}};
    for (int k = 0; k < p.inputs; k++)
        in[k] = ur_input(tape, leaf_name(k), p.shape[k]);
    ur_var y = ur_record(op, (size_t)p.inputs, in, p.attr);
    size_t length = ur_formula(y, text, sizeof text);
    assert_good(tape, op->name);
    ck_assert_uint_eq(length, strlen(text));
    for (int k = 0; k < p.inputs; k++)
        ck_assert_msg(strstr(text, leaf_name(k)), "%s: no %s in %s", op->name, leaf_name(k), text);
    ck_assert_uint_eq(ur_formula(y, small, sizeof small), length);
    ck_assert_uint_eq(strlen(small), length < sizeof small ? length : sizeof small - 1);
    ck_assert(strncmp(small, text, strlen(small)) == 0);
    ur_tape_free(tape);
}
END_TEST

typedef struct shown {
    ur_var value;
    const char *text;
} shown;

static void assert_formulas(ur_tape *tape, size_t n, const shown *formulas)
{
    assert_good(tape, "tape");
    for (size_t k = 0; k < n; k++) {
        char text[80];
        ur_formula(formulas[k].value, text, sizeof text);
        ck_assert_str_eq(text, formulas[k].text);
    }
    ur_tape_free(tape);
}

/* A formula means what was recorded: what binds less than its place has parentheses, so has a minus that is not first. */
START_TEST(parentheses)
{
    ur_tape *tape = new_tape(UR_F64);
    ur_var a = ur_input(tape, "a", UR_SHAPE(2)), b = ur_input(tape, "b", UR_SHAPE(2));
    ur_var c = ur_input(tape, "c", UR_SHAPE(2)), two = ur_const(tape, UR_SHAPE(2), -2);
    const shown formulas[] = {{ur_one_minus(ur_add(a, b)), "1 - (a + b)"},
                              {ur_one_minus(ur_one_minus(a)), "1 - (1 - a)"},
                              {ur_sub(a, ur_sub(b, c)), "a - (b - c)"},
                              {ur_sub(ur_sub(a, b), c), "a - b - c"},
                              {ur_sub(a, two), "a - (-2)"},
                              {ur_div(a, ur_mul(b, c)), "a ./ (b .* c)"},
                              {ur_mul(ur_div(a, b), c), "a ./ b .* c"},
                              {ur_scale(ur_neg(a), 3), "3 (-a)"},
                              {ur_scale(ur_scale(a, -2), 3), "3 (-2 a)"},
                              {ur_mul(a, ur_scale(b, -3)), "a .* (-3 b)"},
                              {ur_mul(ur_neg(a), b), "-a .* b"},
                              {ur_add(c, ur_mul(ur_neg(a), b)), "c + (-a .* b)"},
                              {ur_total(3, (ur_var[]){a, ur_neg(b), c}), "a + (-b) + c"},
                              {ur_neg(ur_neg(a)), "-(-a)"},
                              {ur_neg(ur_mul(a, b)), "-(a .* b)"},
                              {ur_power(ur_power(a, b), c), "(a^b)^c"},
                              {ur_power(a, ur_power(b, c)), "a^(b^c)"},
                              {ur_square(ur_power(a, b)), "(a^b)^2"},
                              {ur_square(ur_neg(a)), "(-a)^2"},
                              {ur_square(two), "(-2)^2"},
                              {ur_exp(ur_neg(a)), "exp(-a)"}};
    assert_formulas(tape, sizeof formulas / sizeof *formulas, formulas);
}
END_TEST

static size_t formula_of_squares(int count, char *text, size_t bytes)
{
    ur_tape *tape = new_tape(UR_F64);
    ur_var a = ur_input(tape, "a", UR_SHAPE(2));
    for (int k = 0; k < count; k++)
        a = ur_mul(a, ur_tanh(a));
    size_t length = ur_formula(a, text, bytes);
    assert_good(tape, "shared values");
    ur_tape_free(tape);
    return length;
}

/* select(alive, a, b) is a where columns are alive, also through a reshaped mask; every other condition stays. */
START_TEST(masks_in_formulas)
{
    ur_tape *tape = new_tape(UR_F64);
    ur_var alive = ur_input(tape, "alive", UR_SHAPE(1, 2)), a = ur_input(tape, "a", UR_SHAPE(3, 2));
    ur_var b = ur_input(tape, "b", UR_SHAPE(3, 2)), same = ur_reshape(alive, UR_SHAPE(1, 2));
    const shown masked[] = {{ur_tanh(ur_select(alive, a, b)), "tanh(a)"},
                            {ur_tanh(ur_select(same, a, b)), "tanh(a)"},
                            {ur_tanh(ur_select(ur_one_minus(alive), a, b)), "tanh(select(1 - alive, a, b))"},
                            {ur_tanh(ur_select(a, a, b)), "tanh(select(a, a, b))"}};
    assert_formulas(tape, sizeof masked / sizeof *masked, masked);
}
END_TEST

/* A value that is read twice is written twice, its own operands four times: the whole text would have 2^150 letters. */
START_TEST(formulas_of_shared_values)
{
    char text[256], few[] = "a .* tanh(a) .* tanh(a .* tanh(a))";
    ck_assert_uint_eq(formula_of_squares(2, text, sizeof text), strlen(few));
    ck_assert_str_eq(text, few);
    size_t length = formula_of_squares(150, text, sizeof text);
    ck_assert(length > 1 << 16 && length < 1 << 17);
    char *whole = (char *)malloc(length + 1);
    ck_assert_ptr_nonnull(whole);
    ck_assert_uint_eq(formula_of_squares(150, whole, length + 1), length);
    ck_assert_uint_eq(strlen(whole), length);
    ck_assert_int_eq(strncmp(whole, text, sizeof text - 1), 0);
    ck_assert_ptr_nonnull(strstr(whole, "..."));
    free(whole);
}
END_TEST

int main(void)
{
    int ops = op_count();
    TCase *cases = tcase_create("ops");
    tcase_add_loop_test(cases, descriptor, 0, ops);
    tcase_add_loop_test(cases, samples, 0, ops);
    tcase_add_loop_test(cases, broadcasting, 0, ops);
    tcase_add_loop_test(cases, one_value_twice, 0, ops);
    tcase_add_loop_test(cases, large_shapes, 0, ops);
    tcase_add_loop_test(cases, large_broadcasts, 0, ops);
    tcase_add_loop_test(cases, replay, 0, ops);
    tcase_add_loop_test(cases, formula, 0, ops);
    tcase_add_test(cases, masks_in_formulas);
    tcase_add_test(cases, parentheses);
    tcase_add_test(cases, formulas_of_shared_values);
    return run_cases(suite_create("ops"), cases);
}
