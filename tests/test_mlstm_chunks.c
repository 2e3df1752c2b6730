/* test_mlstm_chunks.c - mLSTM step by step, in chunks and in its parallel form: outputs, final states and all gradients agree. */
#include <stdlib.h>
#include <string.h>

#include "../layers/layers.h"
#include "support.h"

enum { D = 3, M = 6, BATCH = 4, LONGEST = 40, ROOM = 2048, WIDE = M * M * BATCH };

typedef struct setup {
    int64_t heads, layers, steps;
    bool bidirectional;
    ur_start start;
    double kappa, phi; /* biases */
} setup;

static const setup setups[] = {
    {1, 1, 1, false, UR_START_FIXED, 0, 0},         {1, 1, 7, false, UR_START_FIXED, 0, 0},
    {2, 1, 9, false, UR_START_GIVEN, 0, 1},         {3, 1, 9, true, UR_START_GIVEN, 0.5, 0},
    {2, 2, 6, true, UR_START_LEARNED, 0, 0},        {2, 1, LONGEST, false, UR_START_GIVEN, 1, 3},
    {1, 1, LONGEST, false, UR_START_FIXED, -3, -2}, {2, 1, 9, false, UR_START_GIVEN, 260, 0},
    {2, 1, 9, false, UR_START_GIVEN, 0, -40},       {3, 1, 5, false, UR_START_GIVEN, 230, 10},
};
enum { SETUPS = sizeof setups / sizeof *setups };

/* 0: the parallel form. */
static const int64_t chunks[] = {1, 2, 3, 4, 7, 0, LONGEST + 3};
enum { CHUNKS = sizeof chunks / sizeof *chunks };

typedef struct machine {
    ur_tape *tape;
    ur_net *net;
    ur_plan *plan;
    size_t roots;
    ur_var root[256]; /* gradients, outputs, final states, loss */
} machine;

static size_t count_of(ur_var v)
{
    ur_node node;
    ck_assert(ur_look(v, &node));
    return ur_shape_count(node.shape);
}

static void fill(uint64_t seed, double scale, size_t n, double *out)
{
    for (size_t i = 0; i < n; i++)
        out[i] = scale * (2 * ur_random(seed, "test", i) - 1);
}

static machine new_machine(const setup *s, int64_t chunk, int64_t bptt, ur_dtype dtype)
{
    ur_net_options options = {.cell = ur_cell_find("mlstm"),
                              .inputs = D,
                              .hidden = M,
                              .heads = s->heads,
                              .layers = s->layers,
                              .bidirectional = s->bidirectional,
                              .start = s->start,
                              .loss = UR_MSE,
                              .chunk = chunk,
                              .bptt = bptt};
    machine m = {.tape = new_tape(dtype)};
    m.net = ur_net_new(m.tape, &options, s->steps, BATCH);
    assert_good(m.tape, "mlstm");
    for (size_t k = 0; k < m.net->params; k++)
        ur_param_at(m.tape, k, &m.root[m.roots++], NULL, NULL);
    for (int64_t t = 0; t < s->steps; t++)
        m.root[m.roots++] = m.net->x[t];
    for (size_t i = 0; i < m.net->states; i++)
        m.root[m.roots++] = m.net->state[i].start;
    ck_assert(ur_grad(m.net->loss, m.roots, m.root, m.root));
    for (int64_t t = 0; t < s->steps; t++)
        m.root[m.roots++] = m.net->o[t];
    for (size_t i = 0; i < m.net->states; i++)
        m.root[m.roots++] = m.net->state[i].final;
    m.root[m.roots++] = m.net->loss;
    ck_assert_uint_le(m.roots, 256);
    return m;
}

/* The same numbers for every form: starts, weights, inputs with NaN in the padding. */
static void write_all(const machine *m, const setup *s)
{
    double theta[ROOM], x[BATCH * LONGEST * D], y[BATCH * LONGEST * 2 * M], start[WIDE];
    int64_t lengths[BATCH] = {s->steps, s->steps * 2 / 3, 0, 1};
    size_t rows = (size_t)ur_net_outputs(&m->net->options), steps = (size_t)s->steps, offset;
    ur_var param;
    const char *name;
    fill(1, 0.7, ROOM, theta);
    for (size_t k = 0; ur_param_at(m->tape, k, &param, &name, &offset); k++) {
        for (size_t i = 0; i < count_of(param); i++)
            theta[offset + i] += strstr(name, "bkappa") ? s->kappa : strstr(name, "bphi") ? s->phi : 0;
        ck_assert(ur_write(param, count_of(param), theta + offset));
    }
    for (size_t i = 0; i < m->net->states && s->start == UR_START_GIVEN; i++) {
        size_t count = ur_shape_count(m->net->state[i].shape);
        fill(20 + i, 0.8, count, start);
        for (size_t k = 0; k < count && m->net->state[i].scale; k++)
            start[k] = k % 2 ? 0 : fabs(start[k]); /* also a memory that is scaled */
        ck_assert(ur_write(m->net->state[i].start, count, start));
    }
    fill(3, 1, sizeof x / sizeof *x, x);
    fill(4, 1, sizeof y / sizeof *y, y);
    for (size_t n = 0; n < BATCH; n++)
        for (size_t t = (size_t)lengths[n]; t < steps; t++)
            for (size_t i = 0; i < rows; i++)
                x[(n * steps + t) * D + i % D] = y[(n * steps + t) * rows + i] = NAN;
    ur_data data = {BATCH, s->steps, D, (int64_t)rows, .x = x, .y = y, .lengths = lengths};
    ck_assert_msg(ur_net_bind(m->net, &data, 0, BATCH), "%s", ur_tape_error(m->tape));
}

static void run_machine(machine *m, const setup *s, bool reference)
{
    ur_plan_options options = {.reference = reference, .finite = true, .roots = m->roots, .root = m->root};
    m->plan = ur_plan_new(m->tape, &options);
    assert_good(m->tape, "plan");
    write_all(m, s);
    ck_assert_msg(ur_plan_run(m->plan), "%s", ur_tape_error(m->tape));
}

static void free_machine(machine *m)
{
    ur_plan_free(m->plan);
    ur_tape_free(m->tape);
}

/* What a root's errors are measured by at least: far out the gradient of bkappa is 0, the difference of large parts. */
static double least_size(const machine *m, size_t root)
{
    const char *name;
    double values[ROOM], most = 1e-2;
    if (!ur_param_at(m->tape, root, NULL, &name, NULL) || !strstr(name, "bkappa"))
        return most;
    for (size_t k = 0; k < m->net->params && k < m->roots; k++) {
        size_t count = count_of(m->root[k]);
        ck_assert(count <= ROOM && ur_read(m->plan, m->root[k], count, values));
        most = fmax(most, largest(count, values));
    }
    return most;
}

/* Every root to within a tolerance times its largest element. */
static void assert_equal_forms(const machine *a, const machine *b, double tolerance)
{
    double found[ROOM], expected[ROOM];
    ck_assert_uint_eq(a->roots, b->roots);
    for (size_t i = 0; i < a->roots; i++) {
        size_t count = count_of(a->root[i]);
        ck_assert_uint_le(count, ROOM);
        ck_assert(ur_read(a->plan, a->root[i], count, found) && ur_read(b->plan, b->root[i], count, expected));
        double error = distance(count, found, expected), size = fmax(largest(count, expected), least_size(b, i));
        ck_assert_msg(error <= tolerance * size, "root %zu of %zu: %g off at values up to %g", i, a->roots, error,
                      size);
    }
}

START_TEST(forms_agree)
{
    const setup *s = &setups[_i];
    machine steps = new_machine(s, 0, 0, UR_F64);
    run_machine(&steps, s, false);
    for (int k = 0; k < CHUNKS; k++)
        for (int reference = 0; reference < 2; reference++) {
            machine m = new_machine(s, chunks[k] ? chunks[k] : s->steps, 0, UR_F64);
            run_machine(&m, s, reference);
            assert_equal_forms(&m, &steps, 1e-10);
            free_machine(&m);
        }
    free_machine(&steps);
}
END_TEST

/* Truncated back-propagation cuts between chunks. */
START_TEST(truncated_forms_agree)
{
    const setup *s = &setups[_i];
    for (int64_t bptt = 2; bptt <= 6; bptt += 2) {
        machine steps = new_machine(s, 0, bptt, UR_F64), pairs = new_machine(s, 2, bptt, UR_F64);
        machine whole = new_machine(s, bptt, bptt, UR_F64);
        run_machine(&steps, s, false);
        run_machine(&pairs, s, false);
        run_machine(&whole, s, false);
        assert_equal_forms(&pairs, &steps, 1e-10);
        assert_equal_forms(&whole, &steps, 1e-10);
        free_machine(&steps);
        free_machine(&pairs);
        free_machine(&whole);
    }
}
END_TEST

/* f32 to its own accuracy. */
START_TEST(forms_in_single_precision)
{
    const setup *s = &setups[1 + _i];
    machine steps = new_machine(s, 0, 0, UR_F64), m = new_machine(s, 4, 0, UR_F32);
    run_machine(&steps, s, false);
    run_machine(&m, s, false);
    assert_equal_forms(&m, &steps, 2e-4);
    free_machine(&steps);
    free_machine(&m);
}
END_TEST

/* Net values of +-200: nothing becomes infinite, in either type. */
START_TEST(finite_far_out)
{
    setup s = {2, 1, 11, false, UR_START_FIXED, _i & 1 ? 200 : -200, _i & 2 ? 200 : -200};
    machine steps = new_machine(&s, 0, 0, UR_F64), m = new_machine(&s, 4, 0, _i & 4 ? UR_F32 : UR_F64);
    run_machine(&steps, &s, false);
    run_machine(&m, &s, false);
    if (!(_i & 4))
        assert_equal_forms(&m, &steps, 1e-10);
    free_machine(&steps);
    free_machine(&m);
}
END_TEST

/* The Hessian times a vector: the derivative of sum(r * gradient) by every parameter. */
static void second_order(machine *m)
{
    size_t params = m->net->params;
    ur_var *term = (ur_var *)ur_tape_memory(m->tape, params * sizeof *term);
    for (size_t k = 0; k < params; k++) {
        ur_node node;
        char name[32];
        ck_assert(ur_look(m->root[k], &node));
        snprintf(name, sizeof name, "r%zu", k);
        ur_var r = ur_input(m->tape, name, node.shape);
        fill(50 + k, 1, ur_shape_count(node.shape), (double *)ur_leaf(r));
        term[k] = ur_sum(ur_mul(r, m->root[k]));
        ur_param_at(m->tape, k, &m->root[k], NULL, NULL);
    }
    ck_assert(ur_grad(ur_total(params, term), params, m->root, m->root));
    m->roots = params;
}

START_TEST(second_orders_agree)
{
    const setup *s = &setups[_i];
    machine steps = new_machine(s, 0, 0, UR_F64);
    second_order(&steps);
    run_machine(&steps, s, false);
    for (int64_t chunk = 3; chunk < 12; chunk += 6) {
        machine m = new_machine(s, chunk, 0, UR_F64);
        second_order(&m);
        run_machine(&m, s, false);
        assert_equal_forms(&m, &steps, 1e-10);
        free_machine(&m);
    }
    free_machine(&steps);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("mlstm chunks");
    TCase *cases = tcase_create("mlstm chunks");
    tcase_add_loop_test(cases, forms_agree, 0, SETUPS);
    tcase_add_loop_test(cases, truncated_forms_agree, 0, 6);
    tcase_add_loop_test(cases, forms_in_single_precision, 0, 5);
    tcase_add_loop_test(cases, finite_far_out, 0, 8);
    tcase_add_loop_test(cases, second_orders_agree, 0, 5);
    return run_cases(suite, cases);
}
