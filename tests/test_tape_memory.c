/* test_tape_memory.c - a tape's memory, by an allocator that counts and fails on purpose: every byte is given back,
 * a run allocates nothing, each allocation may fail; and tapes in threads of their own do not know of each other. */
#include <pthread.h>

#include "heap.h"
#include "small_tapes.h"

/* ---- memory */

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

/* The constants of a node are those of another one, though recording it moves the table that they are in. */
START_TEST(constants_that_move)
{
    heap h = {0};
    ur_tape_options options = {.dtype = UR_F64, .allocator = {.resize = heap_resize, .user = &h}};
    ur_tape *tape = ur_tape_new(&options);
    ur_var x = ur_input(tape, "x", UR_SHAPE(2, 3)), y = ur_scale(x, 2.5);
    for (int64_t rows = 1; rows <= 300; rows++) {
        ur_node node;
        ur_step(tape, rows);
        const ur_var z = ur_input(tape, "z", UR_SHAPE(rows, 7));
        ck_assert(ur_look(y, &node));
        const ur_var same = ur_record(node.op, 1, &z, node.attr);
        ck_assert(ur_look(same, &node));
        ck_assert(node.attr[0] == 2.5);
    }
    assert_good(tape, "tape");
    ur_tape_free(tape);
    ck_assert_int_eq(h.bytes, 0);
}
END_TEST

/* Initial values take no memory for good. */
START_TEST(initial_values_give_theirs_back)
{
    ur_tape *tape = new_tape(UR_F32);
    ur_param(tape, "W", UR_SHAPE(100, 120));
    const size_t before = ur_tape_bytes(tape);
    for (int rule = 0; ur_init_names[rule]; rule++)
        ck_assert(ur_params_init(tape, (ur_init)rule, 1));
    ck_assert_uint_eq(ur_tape_bytes(tape), before);
    ur_tape_free(tape);
}
END_TEST

START_TEST(every_byte_is_given_back)
{
    heap h = {0};
    ur_tape_options options = {.dtype = UR_F64, .allocator = {.resize = heap_resize, .user = &h}};
    ur_tape *tape = ur_tape_new(&options);
    for (int k = 0; k < 3; k++) { /* a cleared tape is as good as new */
        ur_plan *plan = build(tape, true);
        assert_good(tape, "tape");
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
        assert_good(tape, "tape");
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

int main(void)
{
    TCase *cases = tcase_create("tape memory");
    tcase_add_test(cases, constants_that_move);
    tcase_add_test(cases, initial_values_give_theirs_back);
    tcase_add_test(cases, every_byte_is_given_back);
    tcase_add_test(cases, a_run_allocates_nothing);
    tcase_add_test(cases, every_allocation_fails_once);
    tcase_add_test(cases, tapes_in_threads);
    return run_cases(suite_create("tape memory"), cases);
}
