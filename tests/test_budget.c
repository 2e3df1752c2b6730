/* test_budget.c - plans within a number of bytes: they keep it, compute the same, and say so when it is too little. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../graph/plan.h"
#include "../layers/layers.h"
#include "support.h"

enum { D = 3, M = 12, STEPS = 19, BATCH = 50, SMALL = 5, MOST_NUMBERS = 8192 };

typedef struct machine {
    ur_tape *tape;
    ur_net *net;
    ur_plan *plan;
    ur_var root[64];
    size_t roots;
} machine;

static double draw(const char *stream, size_t i)
{
    return 2 * ur_random(5, stream, i) - 1;
}

/* Random parameters, inputs, targets; sequences of STEPS - 4 to STEPS steps. */
static void fill(const machine *m)
{
    size_t count;
    int64_t batch = m->net->batch;
    double values[D * BATCH], alive[BATCH];
    void *theta = ur_params(m->tape, &count);
    for (size_t i = 0; i < count; i++)
        if (ur_tape_dtype(m->tape) == UR_F64)
            ((double *)theta)[i] = draw("theta", i);
        else
            ((float *)theta)[i] = (float)draw("theta", i);
    for (int64_t t = 0; t < STEPS; t++) {
        for (int64_t i = 0; i < D * batch; i++)
            values[i] = draw("x", (size_t)(t * D * batch + i));
        for (int64_t b = 0; b < batch; b++)
            alive[b] = t < STEPS - b % 5;
        ur_write(m->net->x[t], (size_t)(D * batch), values);
        ur_write(m->net->y[t], (size_t)(D * batch), values);
        ur_write(m->net->alive[t], (size_t)batch, alive);
    }
    double factor = 1.0 / (double)batch;
    ur_write(m->net->factor, 1, &factor);
    assert_good(m->tape, "values");
}

static machine new_machine(const char *cell, ur_dtype dtype, int64_t batch, bool batch_norm)
{
    ur_net_options options = {.cell = ur_cell_find(cell),
                              .inputs = D,
                              .hidden = M,
                              .outputs = D,
                              .out = UR_IDENTITY,
                              .hidden_activation = UR_TANH,
                              .batch_norm = batch_norm,
                              .loss = UR_MSE};
    machine m = {.tape = new_tape(dtype)};
    m.net = ur_net_new(m.tape, &options, STEPS, batch);
    ck_assert(m.net && ur_net_differentiate(m.net));
    for (; m.roots < m.net->params; m.roots++)
        m.root[m.roots] = m.net->gradient[m.roots];
    m.root[m.roots++] = m.net->loss;
    m.root[m.roots++] = m.net->o[STEPS - 1];
    return m;
}

static ur_plan *plan_within(const machine *m, size_t memory)
{
    return ur_plan_new(m->tape, &(ur_plan_options){.roots = m->roots, .root = m->root, .memory = memory});
}

static void end(machine *m)
{
    ur_plan_free(m->plan);
    ur_tape_free(m->tape);
}

/* The least that the refusal tells of. */
static size_t least_of(machine *m)
{
    size_t least = 0, allowed = 0;
    ck_assert_ptr_null(plan_within(m, 1));
    const char *text = strstr(ur_tape_error(m->tape), "at least "), *comma = text ? strchr(text, ',') : NULL;
    ck_assert_ptr_nonnull(comma);
    least = strtoul(text + strlen("at least "), NULL, 10);
    allowed = strtoul(comma + 1, NULL, 10);
    ck_assert_uint_eq(allowed, 1);
    return least;
}

/* The roots that a plan computes; returns how many numbers. */
static size_t run_plan(const machine *m, ur_plan *plan, double *roots)
{
    size_t count = 0;
    ck_assert(ur_plan_run(plan));
    for (size_t i = 0; i < m->roots; i++) {
        ur_node node;
        ck_assert(ur_look(m->root[i], &node));
        ck_assert_uint_le(count + ur_shape_count(node.shape), MOST_NUMBERS);
        ck_assert(ur_read(plan, m->root[i], ur_shape_count(node.shape), roots + count));
        count += ur_shape_count(node.shape);
    }
    return count;
}

static void run_reference(const machine *m, double *roots)
{
    ur_plan *plan = ur_plan_new(m->tape, &(ur_plan_options){.reference = true, .roots = m->roots, .root = m->root});
    run_plan(m, plan, roots);
    ur_plan_free(plan);
}

/* Budgets from what the plan takes by itself down to the least that it can do with. */
static void check_cell(const char *cell, ur_dtype dtype, bool batch_norm)
{
    static double expected[MOST_NUMBERS], found[MOST_NUMBERS];
    machine refused = new_machine(cell, dtype, BATCH, batch_norm), m = new_machine(cell, dtype, BATCH, batch_norm);
    const double tolerance = dtype == UR_F64 ? 1e-12 : 2e-5;
    size_t least = least_of(&refused), own;
    m.plan = plan_within(&m, 0);
    ck_assert_ptr_nonnull(m.plan);
    own = ur_plan_bytes(m.plan);
    ck_assert_msg(least < own, "%s: least %zu of %zu", cell, least, own);
    fill(&m);
    run_reference(&m, expected);
    for (int step = 0; step <= 16; step++) {
        size_t memory = own - (own - least) * (size_t)step / 16, n = 0;
        ur_plan *plan = plan_within(&m, memory);
        assert_good(m.tape, cell);
        ck_assert_uint_le(ur_plan_bytes(plan), memory);
        for (int run = 0; run < 2; run++)
            n = run_plan(&m, plan, found);
        ck_assert_uint_le(ur_plan_bytes(plan), memory);
        ck_assert_msg(distance(n, expected, found) <= tolerance * largest(n, expected), "%s within %zu bytes: %g", cell,
                      memory, distance(n, expected, found));
        ck_assert(largest(n, expected) > 0);
        ur_plan_free(plan);
    }
    end(&m);
    end(&refused);
}

START_TEST(budgets)
{
    for (size_t i = 0; ur_cell_at(i); i++) {
        check_cell(ur_cell_at(i)->name, UR_F64, false);
        check_cell(ur_cell_at(i)->name, UR_F32, false);
    }
    check_cell("lstm", UR_F64, true);
    check_cell("gru", UR_F64, true);
}
END_TEST

/* Where narrower blocks are not enough, steps run in segments, with a checkpoint for each but the first, which begins at the
 * start, and the last, which runs back at once: every step runs forward twice, no more. (There is room for one
 * in any case.) */
START_TEST(forward_twice)
{
    machine m = new_machine("lstm", UR_F64, SMALL, false);
    size_t segments = 1;
    m.plan = plan_within(&m, 0);
    ck_assert_uint_eq(m.plan->form.segments, 1);
    for (size_t memory = ur_plan_bytes(m.plan) - 1; segments < 5; memory -= memory / 50) {
        ur_plan *plan = plan_within(&m, memory);
        assert_good(m.tape, "segments");
        segments = plan->form.segments;
        ck_assert_uint_gt(segments, 1);
        ck_assert_uint_eq(plan->form.checkpoints, segments > 2 ? segments - 2 : 1);
        ur_plan_free(plan);
    }
    end(&m);
}
END_TEST

/* One byte less than the least is refused, and a batch of a few columns is one block. */
START_TEST(refusals)
{
    for (int64_t batch = SMALL; batch <= BATCH; batch += BATCH - SMALL) {
        machine a = new_machine("lstm", UR_F32, batch, false), b = new_machine("lstm", UR_F32, batch, false);
        size_t least = least_of(&a);
        b.plan = plan_within(&b, least);
        assert_good(b.tape, "the least");
        ck_assert_uint_eq(ur_plan_bytes(b.plan), least);
        ck_assert_ptr_null(plan_within(&b, least - 1));
        char expected[128];
        snprintf(expected, sizeof expected, "ur_plan_new: the plan takes at least %zu bytes, %zu are allowed", least,
                 least - 1);
        ck_assert_str_eq(ur_tape_error(b.tape), expected);
        end(&a);
        end(&b);
    }
}
END_TEST

/* h_t = g .* sigmoid(g), g = tanh(W x_(t+3) + U h_(t-1)): on the way back dx_t needs what was made three steps before. The
 * gradients by all inputs within so many bytes, those of all gradients in `found`; false where that is too little. */
enum {
    AHEAD = 3,
    LONG = 64,
    WIDTH = 40,
    UNITS = 2,
    VALUES = UNITS * WIDTH,
    WEIGHTS = UNITS * UNITS,
    GRADIENTS = LONG * VALUES
};

static bool look_ahead(size_t memory, double *found, size_t *bytes)
{
    double w[WEIGHTS], values[VALUES];
    ur_tape *tape = new_tape(UR_F64);
    ur_var W = ur_param(tape, "W", UR_SHAPE(UNITS, UNITS)), U = ur_param(tape, "U", UR_SHAPE(UNITS, UNITS));
    ur_var x[LONG], loss[LONG], root[LONG + 3], zero = ur_const(tape, UR_SHAPE(UNITS, WIDTH), 0), h = zero;
    ur_inputs(tape, "x", UR_SHAPE(UNITS, WIDTH), LONG, x);
    for (int t = 0; t < LONG; t++) {
        for (size_t i = 0; i < VALUES; i++)
            values[i] = draw("x", (size_t)t * VALUES + i);
        ur_write(x[t], VALUES, values);
        ur_step(tape, t + 1);
        h = ur_tanh(ur_add(ur_matmul(W, t + AHEAD < LONG ? x[t + AHEAD] : zero), ur_matmul(U, h)));
        h = ur_mul(h, ur_sigmoid(h));
        loss[t] = ur_sum(ur_square(h));
    }
    for (size_t i = 0; i < WEIGHTS; i++)
        w[i] = draw("w", i);
    ur_write(W, WEIGHTS, w);
    ur_write(U, WEIGHTS, w);
    ur_step(tape, 0);
    root[LONG] = ur_total(LONG, loss);
    ur_grad(root[LONG], 2, (ur_var[]){W, U}, root + LONG + 1);
    ur_grad(root[LONG], LONG, x, root);
    assert_good(tape, "tape");
    ur_plan *plan = ur_plan_new(tape, &(ur_plan_options){.roots = LONG + 3, .root = root, .memory = memory});
    const bool enough = plan != NULL;
    if (enough) {
        ck_assert(ur_plan_run(plan));
        memcpy(found, ur_plan_roots(plan, bytes), GRADIENTS * sizeof *found);
        *bytes = ur_plan_bytes(plan);
    }
    ur_plan_free(plan);
    ur_tape_free(tape);
    return enough;
}

START_TEST(inputs_of_later_steps)
{
    static double whole[GRADIENTS], within[GRADIENTS];
    size_t bytes, least, refused = 0;
    ck_assert(look_ahead(0, whole, &bytes));
    for (least = bytes - bytes / 100; refused < 3 && least > bytes / 20; least -= bytes / 100) {
        size_t taken;
        if (!look_ahead(least, within, &taken)) {
            refused++;
            continue;
        }
        ck_assert_uint_le(taken, least);
        for (size_t i = 0; i < GRADIENTS; i++)
            ck_assert_msg(fabs(within[i] - whole[i]) <= 1e-12, "%zu bytes of %zu: gradient %zu is %g, not %g", least,
                          bytes, i, within[i], whole[i]);
    }
    ck_assert_uint_eq(refused, 3);
}
END_TEST

/* The reference execution has no narrower form. */
START_TEST(reference)
{
    machine m = new_machine("rnn", UR_F64, SMALL, false);
    m.plan = ur_plan_new(m.tape, &(ur_plan_options){.reference = true, .roots = m.roots, .root = m.root});
    size_t bytes = ur_plan_bytes(m.plan);
    ur_plan *same =
        ur_plan_new(m.tape, &(ur_plan_options){.reference = true, .roots = m.roots, .root = m.root, .memory = bytes});
    ck_assert_ptr_nonnull(same);
    ur_plan_free(same);
    ck_assert_ptr_null(ur_plan_new(
        m.tape, &(ur_plan_options){.reference = true, .roots = m.roots, .root = m.root, .memory = bytes - 1}));
    end(&m);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("budget");
    TCase *all = tcase_create("all");
    tcase_set_timeout(all, 60);
    tcase_add_test(all, budgets);
    tcase_add_test(all, forward_twice);
    tcase_add_test(all, refusals);
    tcase_add_test(all, inputs_of_later_steps);
    tcase_add_test(all, reference);
    return run_cases(suite, all);
}
