/* test_threads.c - a plan computes the same bits on any number of threads. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "../graph/plan.h"
#include "every_cell.h"
#include "support.h"

enum { INPUTS = 5, HIDDEN = 20, STEPS = 9, RUNS = 3, MOST = 8 };

typedef struct kind {
    const char *cell;
    int64_t layers;
    bool bidirectional;
    ur_activation out;
    int64_t hidden; /* 0: HIDDEN */
} kind;

static const kind lstm = {"lstm", 1, false, UR_SIGMOID, 0}, stacked = {"gru", 2, true, UR_NO_ACTIVATION, 0};
static const int64_t batches[] = {1, 16, 37, 100, 400};
static const int threads[] = {1, 2, 3, 4, MOST};
enum { BATCHES = sizeof batches / sizeof *batches };
enum { COUNTS = sizeof threads / sizeof *threads, LARGEST = BATCHES - 1 };

typedef struct machine {
    ur_tape *tape;
    ur_net *net;
    size_t roots;
    ur_var root[128]; /* the gradients of parameters and of an input, outputs, final states, loss */
} machine;

/* Uniform numbers in every leaf; lengths from 0 to T, or none. */
static void fill(const machine *m, bool lengths)
{
    const ur_net *net = m->net;
    int64_t n = net->batch, inputs = net->options.inputs, outputs = ur_net_outputs(&net->options);
    size_t count;
    ck_assert(ur_params_init(m->tape, UR_GLOROT_UNIFORM, 7));
    double *x = (double *)calloc((size_t)(n * STEPS * (inputs + outputs)), sizeof *x);
    int64_t *length = (int64_t *)calloc((size_t)n, sizeof *length);
    ck_assert(x && length);
    count = (size_t)(n * STEPS * (inputs + outputs));
    for (size_t i = 0; i < count; i++)
        x[i] = ur_random(3, "data", i);
    for (int64_t k = 0; k < n; k++) /* in the first blocks all columns are alive */
        length[k] = k < n / 2 ? STEPS : k % (STEPS + 1);
    ur_data data = {n, STEPS, inputs, outputs, .x = x, .y = x + n * STEPS * inputs, .lengths = lengths ? length : NULL};
    ck_assert_msg(ur_net_bind(m->net, &data, 0, n), "%s", ur_tape_error(m->tape));
    free(x);
    free(length);
}

static machine new_machine(const kind *k, int64_t batch, ur_dtype dtype, bool lengths)
{
    ur_net_options options = {.cell = ur_cell_find(k->cell),
                              .inputs = INPUTS,
                              .hidden = k->hidden ? k->hidden : HIDDEN,
                              .outputs = k->out ? 3 : 0,
                              .out = k->out,
                              .hidden_activation = UR_TANH,
                              .loss = k->out ? UR_BCE : UR_MSE,
                              .layers = k->layers,
                              .bidirectional = k->bidirectional};
    machine m = {.tape = new_tape(dtype)};
    m.net = ur_net_new(m.tape, &options, STEPS, batch);
    assert_good(m.tape, k->cell);
    while (ur_param_at(m.tape, m.roots, &m.root[m.roots], NULL, NULL))
        m.roots++;
    m.root[m.roots++] = m.net->x[STEPS / 2];
    ck_assert(ur_grad(m.net->loss, m.roots, m.root, m.root));
    for (size_t t = 0; t < STEPS; t++)
        m.root[m.roots++] = m.net->o[t];
    for (size_t i = 0; i < m.net->states; i++)
        m.root[m.roots++] = m.net->state[i].final;
    m.root[m.roots++] = m.net->loss;
    ck_assert_uint_le(m.roots, sizeof m.root / sizeof *m.root);
    fill(&m, lengths);
    return m;
}

static ur_plan *new_plan(const machine *m, ur_pool *pool)
{
    ur_plan *plan = ur_plan_new(m->tape, &(ur_plan_options){.roots = m->roots, .root = m->root, .pool = pool});
    assert_good(m->tape, "plan");
    return plan;
}

static ur_pool *new_pool(int count)
{
    ur_pool *pool = ur_pool_new(count, NULL);
    ck_assert_int_eq(ur_pool_threads(pool), count);
    return pool;
}

static size_t root_bytes(ur_plan *plan, ur_dtype dtype)
{
    size_t count;
    ck_assert_ptr_nonnull(ur_plan_roots(plan, &count));
    return count * ur_dtype_bytes(dtype);
}

/* The roots after a run. */
static void *run_alone(const machine *m, size_t *plan_bytes)
{
    ur_plan *plan = new_plan(m, NULL);
    ck_assert(ur_plan_run(plan));
    size_t bytes = root_bytes(plan, ur_tape_dtype(m->tape));
    void *copy = malloc(bytes);
    ck_assert_ptr_nonnull(copy);
    memcpy(copy, ur_plan_roots(plan, NULL), bytes);
    *plan_bytes = ur_plan_bytes(plan);
    ur_plan_free(plan);
    return copy;
}

static void expect_roots(ur_plan *plan, ur_dtype dtype, const void *expected, const char *what)
{
    ck_assert(ur_plan_run(plan));
    ck_assert_msg(memcmp(ur_plan_roots(plan, NULL), expected, root_bytes(plan, dtype)) == 0, "%s: other bits", what);
}

/* ---- the same bits */

static void compare(ur_pool *const *pools, const kind *k, int64_t batch, ur_dtype dtype, bool lengths)
{
    machine m = new_machine(k, batch, dtype, lengths);
    size_t alone;
    void *expected = run_alone(&m, &alone);
    for (int i = 0; i < COUNTS; i++) {
        char what[96];
        snprintf(what, sizeof what, "%s, B=%d, %s, %d threads", k->cell, (int)batch, dtype == UR_F32 ? "f32" : "f64",
                 threads[i]);
        ur_plan *plan = new_plan(&m, pools[i]);
        for (int r = 0; r < RUNS; r++)
            expect_roots(plan, dtype, expected, what);
        /* Every worker has its memory: the largest batch is worth threads, less than two blocks never are. */
        bool shared = ur_plan_bytes(plan) > alone, large = batch == batches[LARGEST], small = batch < 32;
        ck_assert_msg(threads[i] > 1 ? !(large && !shared) && !(small && shared) : !shared, "%s: %s", what,
                      shared ? "on several threads" : "on one thread");
        ur_plan_free(plan);
    }
    free(expected);
    ur_tape_free(m.tape);
}

/* Every cell, and behind them layers. */
START_TEST(bits_agree)
{
    const kind one = {cell_number(_i)->name, 1, false, UR_SIGMOID, 0}, *k = _i < count_cells() ? &one : &stacked;
    ur_pool *pools[COUNTS];
    for (int i = 0; i < COUNTS; i++)
        pools[i] = new_pool(threads[i]);
    for (int b = 0; b < BATCHES; b++)
        for (int dtype = UR_F32; dtype <= UR_F64; dtype++)
            for (int lengths = 0; lengths < 2; lengths++)
                compare(pools, k, batches[b], (ur_dtype)dtype, lengths != 0);
    for (int i = 0; i < COUNTS; i++)
        ur_pool_free(pools[i]);
}
END_TEST

/* Where a vector takes a cache line, one thread computes the blocks of one vector in pairs, two threads have one each.
 * Kernels with shorter vectors do it as well when they are told so. */
static void compare_pairs(const kind *k, bool lengths, ur_pool *pool)
{
    ur__kernels wide = *ur__kernels_of(UR_F32);
    wide.lanes = UR__CACHE_LINE / sizeof(float);
    machine m = new_machine(k, (int64_t)(2 * wide.lanes), UR_F32, lengths);
    ur_plan_options options = {.roots = m.roots, .root = m.root};
    ur_plan *pair = ur__plan_with(m.tape, &options, &wide);
    assert_good(m.tape, "pair");
    options.memory = ur_plan_bytes(pair) - 1;
    ur_plan *single = ur__plan_with(m.tape, &options, &wide);
    options.memory = 0;
    options.pool = pool;
    ur_plan *both = ur__plan_with(m.tape, &options, &wide);
    assert_good(m.tape, "both");
    ck_assert_uint_eq(pair->form.blocks, 2);
    ck_assert_uint_eq(pair->form.abreast, 2);
    ck_assert_uint_eq(single->form.blocks, 2);
    ck_assert_uint_eq(single->form.abreast, 1);
    ck_assert_uint_eq(both->workers, 2);
    ck_assert(ur_plan_run(single));
    const void *expected = ur_plan_roots(single, NULL);
    for (int r = 0; r < RUNS; r++) {
        expect_roots(pair, UR_F32, expected, k->cell);
        expect_roots(both, UR_F32, expected, k->cell);
    }
    ur_plan_free(pair);
    ur_plan_free(single);
    ur_plan_free(both);
    ur_tape_free(m.tape);
}

START_TEST(blocks_in_pairs)
{
    kind k = stacked;
    k.hidden = 101; /* work enough for two threads */
    if (_i < count_cells()) {
        const char *name = cell_number(_i)->name;
        k = (kind){name, 1, false, UR_SIGMOID, strcmp(name, "mlp") == 0 ? 1601 : strcmp(name, "mlstm") == 0 ? 37 : 101};
    }
    ur_pool *pool = new_pool(2);
    for (int lengths = 0; lengths < 2; lengths++)
        compare_pairs(&k, lengths != 0, pool);
    ur_pool_free(pool);
}
END_TEST

/* Two plans of different tapes take turns on one pool. */
START_TEST(plans_share_a_pool)
{
    ur_pool *pool = new_pool(3);
    machine m[2] = {new_machine(&lstm, 100, UR_F32, true), new_machine(&stacked, 400, UR_F64, false)};
    size_t bytes;
    void *expected[2] = {run_alone(&m[0], &bytes), run_alone(&m[1], &bytes)};
    ur_plan *plan[2] = {new_plan(&m[0], pool), new_plan(&m[1], pool)};
    for (int r = 0; r < 10; r++)
        for (int i = 0; i < 2; i++)
            expect_roots(plan[i], i ? UR_F64 : UR_F32, expected[i], i ? "second" : "first");
    for (int i = 0; i < 2; i++) {
        ur_plan_free(plan[i]);
        free(expected[i]);
        ur_tape_free(m[i].tape);
    }
    ur_pool_free(pool);
}
END_TEST

/* A state that the tape hands from run to run. */
START_TEST(states_are_carried)
{
    ur_pool *pool = new_pool(4);
    ur_tape *tape[2];
    ur_plan *plan[2];
    ur_net *net[2];
    ur_net_options options = {.cell = ur_cell_find("lstm"), .inputs = 40, .hidden = 40, .start = UR_START_GIVEN};
    for (int i = 0; i < 2; i++) {
        tape[i] = new_tape(UR_F32);
        net[i] = ur_net_new(tape[i], &options, STEPS, 130);
        machine m = {.tape = tape[i], .net = net[i]};
        fill(&m, true);
        for (size_t s = 0; s < net[i]->states; s++)
            ck_assert(ur_state(net[i]->state[s].start, net[i]->state[s].final));
        ur_keep(net[i]->o[STEPS - 1]);
        plan[i] = ur_plan_new(tape[i], &(ur_plan_options){.pool = i ? pool : NULL});
        assert_good(tape[i], "plan");
    }
    ck_assert_uint_gt(ur_plan_bytes(plan[1]), ur_plan_bytes(plan[0]));
    size_t bytes = root_bytes(plan[0], UR_F32);
    void *before = calloc(1, bytes);
    ck_assert_ptr_nonnull(before);
    for (int r = 0; r < 20; r++) {
        ck_assert(ur_plan_run(plan[0]));
        ck_assert_int_ne(memcmp(before, ur_plan_roots(plan[0], NULL), bytes), 0);
        memcpy(before, ur_plan_roots(plan[0], NULL), bytes);
        expect_roots(plan[1], UR_F32, before, "carried");
    }
    free(before);
    for (int i = 0; i < 2; i++) {
        ur_plan_free(plan[i]);
        ur_tape_free(tape[i]);
    }
    ur_pool_free(pool);
}
END_TEST

/* ---- pools */

START_TEST(no_batch)
{
    ur_pool *pool = new_pool(MOST);
    ur_tape *tape = new_tape(UR_F64);
    ur_var x = ur_input(tape, "x", UR_SCALAR), y = x;
    double value = 0.5, expected = 0.5;
    for (int i = 0; i < 2000; i++) {
        y = ur_tanh(ur_add(y, x));
        expected = tanh(expected + value);
    }
    ck_assert(ur_write(x, 1, &value));
    ur_keep(y);
    ur_plan *plan = ur_plan_new(tape, &(ur_plan_options){.pool = pool});
    ck_assert(ur_plan_run(plan) && ur_read(plan, y, 1, &value));
    ck_assert_double_eq_tol(value, expected, 1e-13);
    ur_plan_free(plan);
    ur_tape_free(tape);
    ur_pool_free(pool);
}
END_TEST

static void *refuse(void *user, void *block, size_t old_bytes, size_t new_bytes)
{
    int *left = (int *)user;
    (void)old_bytes;
    if (new_bytes > 0 && (*left)-- <= 0)
        return NULL;
    if (new_bytes > 0)
        return realloc(block, new_bytes);
    free(block);
    return NULL;
}

START_TEST(pools)
{
    ck_assert_int_eq(ur_pool_threads(NULL), 1);
    ur_pool_free(NULL);
    const int few[] = {-1, 0, 1};
    for (int i = 0; i < 3; i++) {
        ur_pool *pool = ur_pool_new(few[i], NULL);
        ck_assert_int_eq(ur_pool_threads(pool), 1);
        ur_pool_free(pool);
    }
    for (int allowed = 0; allowed < 3; allowed++) {
        int left = allowed;
        ur_pool *pool = ur_pool_new(3, &(ur_allocator){.resize = refuse, .user = &left});
        ck_assert_int_eq(pool != NULL, allowed == 2);
        ur_pool_free(pool);
    }
}
END_TEST

typedef struct host {
    ur_pool *pool;
    int64_t batch;
} host;

/* A thread of the program with tapes of its own. */
static void *live(void *arg)
{
    const host *h = (const host *)arg;
    machine m = new_machine(&lstm, h->batch, UR_F32, true);
    size_t bytes;
    void *expected = run_alone(&m, &bytes);
    ur_plan *plan = new_plan(&m, h->pool);
    for (int r = 0; r < 50; r++)
        expect_roots(plan, UR_F32, expected, "two threads on one pool");
    ur_plan_free(plan);
    free(expected);
    ur_tape_free(m.tape);
    return NULL;
}

START_TEST(two_at_a_time)
{
    host hosts[2] = {{new_pool(2), 100}, {NULL, 400}};
    pthread_t other;
    hosts[1].pool = hosts[0].pool;
    ck_assert_int_eq(pthread_create(&other, NULL, live, &hosts[1]), 0);
    live(&hosts[0]);
    pthread_join(other, NULL);
    ur_pool_free(hosts[0].pool);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("threads");
    TCase *cases = tcase_create("threads");
    tcase_add_loop_test(cases, bits_agree, 0, count_cells() + 1);
    tcase_add_loop_test(cases, blocks_in_pairs, 0, count_cells() + 1);
    tcase_add_test(cases, plans_share_a_pool);
    tcase_add_test(cases, states_are_carried);
    tcase_add_test(cases, no_batch);
    tcase_add_test(cases, pools);
    tcase_add_test(cases, two_at_a_time);
    return run_cases(suite, cases);
}
