/* test_plan_runs.c - what is read of a plan, states, several runs and several plans of one tape, against the reference
 * execution; what a run and a failing allocation do with memory. */
#include "heap.h"
#include "planned.h"

enum { T = 9 };

/* ---- reading */

typedef struct small {
    ur_tape *tape;
    ur_net *net;
} small;

static small new_small(int64_t B)
{
    ur_net_options o = {.cell = ur_cell_find("lstm"),
                        .inputs = 3,
                        .hidden = 4,
                        .outputs = 2,
                        .out = UR_SOFTMAX,
                        .loss = UR_CE,
                        .start = UR_START_GIVEN};
    small s = {.tape = new_tape(UR_F64)};
    s.net = ur_net_new(s.tape, &o, T, B);
    ck_assert_msg(s.net && ur_net_differentiate(s.net), "%s", ur_tape_error(s.tape));
    fill_leaves(s.tape, seed_of(1), MIXED);
    return s;
}

/* Leaves, constants, a root twice, other names of a leaf; roots lie one behind another in their order. */
START_TEST(any_root)
{
    small s = new_small(5);
    ur_var x = s.net->x[2], constant = ur_const(s.tape, UR_SHAPE(2, 3), 0.7), zero = ur_const(s.tape, UR_SCALAR, 0);
    ur_var root[] = {x,
                     s.net->loss,
                     constant,
                     s.net->o[1],
                     s.net->o[1],
                     ur_detach(x),
                     ur_reshape(x, UR_SHAPE(5, 3)),
                     zero,
                     s.net->gradient[0],
                     ur_total(1, &x),
                     s.net->loss,
                     ur_reshape(s.net->gradient[0], UR_SHAPE(2, 6)),
                     s.net->o[8],
                     s.net->o[0]};
    roots all = {0};
    add_roots(&all, sizeof root / sizeof *root, root);
    ur_var kept = ur_keep(s.net->state[0].final);
    ur_plan *plan = plan_of("roots", s.tape, &all, false), *reference = plan_of("roots", s.tape, &all, true);
    assert_same_values("roots", plan, reference, &all, 1e-12);
    size_t count, at = 0;
    const double *flat = (const double *)ur_plan_roots(plan, &count);
    for (size_t i = 0; i < all.count; i++) {
        double value[64];
        read_value(reference, all.root[i], value);
        ck_assert_msg(distance(count_of(all.root[i]), flat + at, value) <=
                          1e-12 * fmax(1, largest(count_of(all.root[i]), value)),
                      "root %zu", i);
        at += count_of(all.root[i]);
    }
    ck_assert_uint_eq(at, count);
    double found[32], expected[32];
    ck_assert_double_le(distance(20, read_value(plan, kept, found), read_value(reference, kept, expected)), 1e-13);
    ur_plan_free(plan);
    ur_plan_free(reference);
    ur_tape_free(s.tape);
}
END_TEST

/* Two leaves change places after every run, a third one follows; both executions, several runs. */
START_TEST(states)
{
    double value[2][4][16];
    for (int reference = 0; reference < 2; reference++) {
        ur_tape *tape = new_tape(UR_F64);
        ur_var a = ur_input(tape, "a", UR_SHAPE(2, 8)), b = ur_input(tape, "b", UR_SHAPE(2, 8)), W, h = a;
        ur_var c = ur_input(tape, "c", UR_SHAPE(2, 8));
        W = ur_param(tape, "W", UR_SHAPE(2, 2));
        for (int64_t t = 1; t < 6; t++) {
            ur_step(tape, t);
            h = ur_tanh(ur_add(ur_matmul(W, h), b));
        }
        ur_step(tape, 0);
        ck_assert(ur_state(a, b) && ur_state(b, a) && ur_state(c, h));
        roots all = {0};
        add_root(&all, ur_sum(h));
        fill_leaves(tape, seed_of(4), FULL);
        unsigned char before[2][16 * sizeof(double)];
        memcpy(before[0], ur_leaf(a), sizeof before[0]);
        memcpy(before[1], ur_leaf(b), sizeof before[1]);
        ur_plan *plan = plan_of("states", tape, &all, reference);
        for (int run = 0; run < 3; run++) {
            ck_assert(ur_plan_run(plan));
            memcpy(value[reference][run], ur_leaf(c), sizeof value[0][0]);
            ck_assert_int_eq(memcmp(ur_leaf(a), before[!(run & 1)], sizeof before[0]), 0);
            ck_assert_int_eq(memcmp(ur_leaf(b), before[run & 1], sizeof before[0]), 0);
        }
        ur_plan_free(plan);
        ur_tape_free(tape);
    }
    for (int run = 0; run < 3; run++)
        ck_assert_double_le(distance(16, value[0][run], value[1][run]), 1e-13);
    ck_assert_double_gt(distance(16, value[0][0], value[0][1]), 1e-3);
}
END_TEST

/* ---- runs of one plan, and several plans */

static void assert_bits(const char *what, ur_plan *a, ur_plan *b)
{
    size_t n, m;
    const void *x = ur_plan_roots(a, &n), *y = ur_plan_roots(b, &m);
    ck_assert(n == m && n > 0);
    ck_assert_msg(memcmp(x, y, n * sizeof(double)) == 0, "%s", what);
}

/* Whatever a plan ran on before, it gives what a fresh one gives. */
START_TEST(runs_forget)
{
    static const masks order[] = {FULL, MIXED, FULL, ONE_BLOCK_FULL, DEAD, FULL, SORTED, SORTED};
    small s = new_small(_i ? 200 : 7);
    roots all = {0};
    add_roots(&all, s.net->params, s.net->gradient);
    add_roots(&all, T, s.net->o);
    add_root(&all, s.net->loss);
    ur_plan *plan = plan_of("old", s.tape, &all, false);
    for (size_t k = 0; k < sizeof order / sizeof *order; k++) {
        fill_leaves(s.tape, seed_of((int)order[k]), order[k]);
        ur_plan *fresh = plan_of("fresh", s.tape, &all, false);
        ck_assert(ur_plan_run(plan) && ur_plan_run(fresh));
        assert_bits("a fresh plan", plan, fresh);
        ck_assert(ur_plan_run(plan));
        assert_bits("a second run", plan, fresh);
        ur_plan_free(fresh);
    }
    ur_plan_free(plan);
    ur_tape_free(s.tape);
}
END_TEST

/* ---- products outside of any loop, whose matrices may be vectors: m, n and k of A B */

/* The element (i, j) of op(M), which has `rows` rows. */
static double element(const double *M, bool transposed, int64_t rows, int64_t columns, int64_t i, int64_t j)
{
    return transposed ? M[j * rows + i] : M[i * columns + j];
}

static void check_product(ur_dtype dtype, const int64_t size[3], bool ta, bool tb)
{
    enum { MOST = 37 * 37 };
    double a[MOST], b[MOST], found[MOST], wrong = 0;
    int64_t m = size[0], n = size[1], k = size[2];
    ur_tape *tape = new_tape(dtype);
    ur_var A = ur_input(tape, "A", ta ? UR_SHAPE(k, m) : UR_SHAPE(m, k));
    ur_var B = ur_input(tape, "B", tb ? UR_SHAPE(n, k) : UR_SHAPE(k, n)), root = ur_gemm(A, ta, B, tb);
    for (int64_t i = 0; i < m * k; i++)
        a[i] = ur_random(1, "A", (uint64_t)i) - 0.5;
    for (int64_t i = 0; i < k * n; i++)
        b[i] = ur_random(1, "B", (uint64_t)i) - 0.5;
    ck_assert(ur_write(A, (size_t)(m * k), a) && ur_write(B, (size_t)(k * n), b));
    ur_plan *plan = ur_plan_new(tape, &(ur_plan_options){.roots = 1, .root = &root});
    ck_assert(plan && ur_plan_run(plan) && ur_read(plan, root, (size_t)(m * n), found));
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < n; j++) {
            double sum = 0;
            for (int64_t q = 0; q < k; q++)
                sum += element(a, ta, m, k, i, q) * element(b, tb, k, n, q, j);
            wrong = fmax(wrong, fabs(found[i * n + j] - sum));
        }
    ck_assert_msg(wrong <= (dtype == UR_F32 ? 2e-6 : 1e-14), "[%d,%d] [%d,%d]: off by %g", (int)m, (int)k, (int)k,
                  (int)n, wrong);
    ur_plan_free(plan);
    ur_tape_free(tape);
}

START_TEST(products_with_vectors)
{
    static const int64_t lengths[] = {1, 3, 16, 37};
    for (int at = 0; at < 4 * 4 * 4; at++)
        check_product(_i & 1 ? UR_F32 : UR_F64,
                      (const int64_t[]){lengths[at % 4], lengths[at / 4 % 4], lengths[at / 16]}, _i & 2, _i & 4);
}
END_TEST

/* Plans of one tape take turns, and what is recorded later changes none. */
/* 1e-30 times 1e-10 is no normal f32: a run may take it for 0, unless it is told to keep such numbers; the caller's own
 * arithmetic goes on as before. */
START_TEST(subnormal_numbers)
{
    static const double values[] = {1e-30, 1e-10};
    for (int keeps = 0; keeps < 2; keeps++) {
        ur_tape *tape = new_tape(UR_F32);
        ur_var a = ur_input(tape, "a", UR_SHAPE(1, 20)), b = ur_input(tape, "b", UR_SCALAR), y = ur_keep(ur_mul(a, b));
        float *x = (float *)ur_leaf(a);
        for (int i = 0; i < 20; i++)
            x[i] = (float)values[0];
        ur_write(b, 1, &values[1]);
        ur_plan *plan = ur_plan_new(tape, &(ur_plan_options){.subnormals = keeps});
        ck_assert(ur_plan_run(plan));
        volatile float first = (float)values[0], own = first * (float)values[1];
        ck_assert(own > 0);
        const float *found = (const float *)ur_value(plan, y);
        for (int i = 0; i < 20; i++)
            ck_assert(found[i] == own || (!keeps && found[i] == 0));
        ur_plan_free(plan);
        ur_tape_free(tape);
    }
}
END_TEST

START_TEST(several_plans)
{
    small s = new_small(7);
    roots one = {0}, two = {0};
    add_roots(&one, s.net->params, s.net->gradient);
    add_root(&two, s.net->loss);
    add_root(&two, s.net->o[3]);
    ur_plan *a = plan_of("a", s.tape, &one, false), *b = plan_of("b", s.tape, &two, false);
    ck_assert(ur_plan_run(a) && ur_plan_run(b));
    add_root(&two, ur_sum(ur_square(s.net->o[4])));
    add_gradients(&two, s.tape, two.root[2]);
    ur_plan *c = plan_of("c", s.tape, &two, false), *reference = plan_of("c", s.tape, &two, true);
    for (int k = 0; k < 3; k++) {
        fill_leaves(s.tape, seed_of(k), MIXED);
        ck_assert(ur_plan_run(b));
        assert_same_values("later", c, reference, &two, 1e-12);
        ck_assert(ur_plan_run(a));
        ur_plan *fresh = plan_of("fresh", s.tape, &one, false);
        ck_assert(ur_plan_run(fresh));
        assert_bits("taking turns", a, fresh);
        ck_assert_int_eq(memcmp(ur_value(b, two.root[1]), ur_value(c, two.root[1]), 14 * sizeof(double)), 0);
        ur_plan_free(fresh);
    }
    ur_plan_free(a);
    ur_plan_free(b);
    ur_plan_free(c);
    ur_plan_free(reference);
    ur_tape_free(s.tape);
}
END_TEST

/* ---- memory */

static ur_net *lstm_on(heap *h, roots *all)
{
    ur_net_options o = {
        .cell = ur_cell_find("lstm"), .inputs = 3, .hidden = 4, .outputs = 128, .out = UR_SOFTMAX, .loss = UR_CE};
    ur_tape *tape = ur_tape_new(&(ur_tape_options){.dtype = UR_F64, .allocator = {.resize = heap_resize, .user = h}});
    ur_net *net = ur_net_new(tape, &o, T, 60);
    ck_assert_msg(net && ur_net_differentiate(net), "%s", ur_tape_error(tape));
    add_roots(all, net->params, net->gradient);
    add_root(all, net->loss);
    return net;
}

START_TEST(runs_allocate_nothing)
{
    heap h = {0};
    roots all = {0};
    ur_net *net = lstm_on(&h, &all);
    ur_plan *plan = plan_of("lstm", net->tape, &all, false);
    ck_assert_uint_gt(plan->form.blocks, 1);
    long long calls = h.calls;
    for (int k = 0; k < MASKS; k++) {
        fill_leaves(net->tape, seed_of(k), (masks)k);
        ck_assert(ur_plan_run(plan));
    }
    ck_assert_int_eq(h.calls, calls);
    ur_plan_free(plan);
    ur_tape_free(net->tape);
    ck_assert_int_eq(h.bytes, 0);
}
END_TEST

START_TEST(every_allocation_fails_once)
{
    heap h = {0};
    roots all = {0};
    ur_net *net = lstm_on(&h, &all);
    long long before = h.bytes, n = 1;
    for (ur_plan *plan = NULL; !plan; n++) {
        h.calls = 0;
        h.fails = n;
        plan = ur_plan_new(net->tape, &(ur_plan_options){.roots = all.count, .root = all.root});
        ck_assert((plan != NULL) == (h.calls < n));
        ck_assert(plan || strstr(ur_tape_error(net->tape), "no memory"));
        net->tape->error.text[0] = 0;
        h.fails = 0; /* cppcheck-suppress redundantAssignment ; the allocator has read it */
        if (plan) {
            ck_assert(ur_plan_run(plan));
            ur_plan_free(plan);
            ck_assert_int_eq(h.bytes, before);
            break;
        }
        ck_assert_int_eq(h.bytes, before);
    }
    ck_assert_int_gt(n, 20);
    ur_tape_free(net->tape);
    ck_assert_int_eq(h.bytes, 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("plan runs");
    TCase *cases = tcase_create("plan runs");
    tcase_add_test(cases, any_root);
    tcase_add_test(cases, states);
    tcase_add_loop_test(cases, runs_forget, 0, 2);
    tcase_add_loop_test(cases, products_with_vectors, 0, 8);
    tcase_add_test(cases, subnormal_numbers);
    tcase_add_test(cases, several_plans);
    tcase_add_test(cases, runs_allocate_nothing);
    tcase_add_test(cases, every_allocation_fails_once);
    return run_cases(suite, cases);
}
