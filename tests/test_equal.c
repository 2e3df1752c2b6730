/* test_equal.c - what is the same in every step, though it was recorded in each: one value in a plan, one adjoint in a
 * derivative, and the numbers of a cell that makes it once before its loop. */
#include "heap.h"
#include "planned.h"

enum { M = 4, BATCH = 5, MOST = 36 };

/* ---- weights that a cell makes in every step */

static ur_var square_param(ur_tape *tape, const char *name)
{
    return ur_param(tape, name, UR_SHAPE(M, M));
}

static ur_var normalised(ur_tape *tape)
{
    ur_var V = square_param(tape, "V");
    return ur_mul(ur_param(tape, "g", UR_SHAPE(M)), ur_div(V, ur_norm_over(V, 0)));
}

static ur_var antisymmetric(ur_tape *tape)
{
    ur_var V = square_param(tape, "V");
    return ur_sub(V, ur_transpose(V, 0, 1));
}

static ur_var positive(ur_tape *tape)
{
    return ur_scale(ur_exp(square_param(tape, "V")), 0.2);
}

static ur_var masked(ur_tape *tape)
{
    return ur_mul(square_param(tape, "V"), ur_sigmoid(ur_find(tape, "pattern", 0)));
}

/* No gradient goes through the norm. */
static ur_var half_detached(ur_tape *tape)
{
    ur_var V = square_param(tape, "V");
    return ur_mul(V, ur_detach(ur_sigmoid(ur_norm_over(V, 1))));
}

/* Equal by operands that have two names. */
static ur_var crossed(ur_tape *tape)
{
    ur_var a = ur_tanh(square_param(tape, "V")), b = ur_tanh(square_param(tape, "V"));
    return ur_add(ur_mul(a, b), ur_mul(b, a));
}

typedef struct weight {
    const char *name;
    ur_var (*make)(ur_tape *tape);
} weight;

static const weight weights[] = {{"normalised", normalised}, {"antisymmetric", antisymmetric}, {"positive", positive},
                                 {"masked", masked},         {"half detached", half_detached}, {"crossed", crossed}};
enum { WEIGHTS = sizeof weights / sizeof *weights };

/* ---- a cell with such a weight */

typedef struct unrolled {
    ur_tape *tape;
    int64_t steps;
    bool marked, once; /* once: the weight is made before the loop */
    int64_t loops;     /* one after another, over the same steps */
    ur_var W[MOST], h[MOST], loss;
} unrolled;

static void unroll(unrolled *u, const weight *w)
{
    ur_var x[MOST], h = ur_const(u->tape, UR_SHAPE(M, BATCH), 0);
    ur_inputs(u->tape, "x", UR_SHAPE(M, BATCH), u->steps, x);
    ur_input(u->tape, "pattern", UR_SHAPE(M, M));
    ur_var W = u->once ? w->make(u->tape) : UR_ZERO;
    for (int64_t i = 0; i < u->loops * u->steps; i++) {
        int64_t t = i % u->steps;
        ur_step(u->tape, u->marked ? t + 1 : 0);
        u->W[i] = u->once ? W : w->make(u->tape);
        u->h[i] = h = ur_tanh(ur_add(ur_matmul(u->W[i], h), x[t]));
    }
    ur_step(u->tape, 0);
    u->loss = ur_sum(ur_square(ur_total((size_t)(u->loops * u->steps), u->h)));
    assert_good(u->tape, w->name);
}

static unrolled unroll_new(const weight *w, ur_dtype dtype, int64_t steps, int64_t loops, bool marked, bool once)
{
    unrolled u = {.tape = new_tape(dtype), .steps = steps, .loops = loops, .marked = marked, .once = once};
    unroll(&u, w);
    return u;
}

/* The loss, its gradient, and second derivatives. */
static roots derivatives(const unrolled *u)
{
    roots all = {0};
    add_root(&all, u->loss);
    add_gradients(&all, u->tape, u->loss);
    add_gradients(&all, u->tape, ur_sum(ur_square(all.root[1])));
    return all;
}

static ur_plan *run_reference(const char *what, const unrolled *u, const roots *all)
{
    ur_plan *plan = plan_of(what, u->tape, all, true);
    fill_leaves(u->tape, seed_of(1), FULL);
    ck_assert_msg(ur_plan_run(plan), "%s: %s", what, ur_tape_error(u->tape));
    return plan;
}

/* All roots of one are those of the other. */
static void assert_equal_roots(const char *what, const ur_plan *found, const ur_plan *expected)
{
    size_t n, m;
    const double *a = (const double *)ur_plan_roots(found, &n), *b = (const double *)ur_plan_roots(expected, &m);
    ck_assert_uint_eq(n, m);
    ck_assert_msg(distance(n, a, b) <= 1e-12 * largest(n, b), "%s: %g of %g", what, distance(n, a, b), largest(n, b));
    ck_assert(largest(n, b) > 0);
}

static void check_weight(const weight *w, int64_t steps, int64_t loops, bool marked)
{
    char what[128];
    snprintf(what, sizeof what, "%s, %d steps, %d loops%s", w->name, (int)steps, (int)loops,
             marked ? "" : ", no marks");
    unrolled every = unroll_new(w, UR_F64, steps, loops, marked, false);
    unrolled once = unroll_new(w, UR_F64, steps, loops, marked, true);
    roots all = derivatives(&every), same = derivatives(&once);
    assert_planned(what, every.tape, &all, 1 << FULL, 1e-12);
    ur_plan *a = run_reference(what, &every, &all), *b = run_reference(what, &once, &same);
    assert_equal_roots(what, a, b);
    ur_plan_free(a);
    ur_plan_free(b);
    ur_tape_free(every.tape);
    ur_tape_free(once.tape);
    unrolled single = unroll_new(w, UR_F32, steps, loops, marked, false);
    roots few = derivatives(&single);
    assert_planned(what, single.tape, &few, 1 << FULL, 1e-4);
    ur_tape_free(single.tape);
}

START_TEST(as_made_once)
{
    static const int64_t steps[] = {1, 2, 3, 17};
    for (size_t k = 0; k < sizeof steps / sizeof *steps; k++)
        for (int loops = 1; loops <= 2; loops++)
            for (int marked = 0; marked < 2; marked++)
                check_weight(&weights[_i], steps[k], loops, marked);
}
END_TEST

/* ---- one adjoint */

/* How many nodes the gradient takes, and how many of them in no step. */
typedef struct length {
    size_t nodes, outside;
} length;

static length derive(const unrolled *u)
{
    ur_var wrt[4];
    size_t before = ur_tape_nodes(u->tape), n = 0;
    while (n < 4 && ur_param_at(u->tape, n, &wrt[n], NULL, NULL))
        n++;
    ck_assert(ur_grad(u->loss, n, wrt, wrt));
    length l = {.nodes = ur_tape_nodes(u->tape) - before};
    for (size_t i = before; i < before + l.nodes; i++) {
        ur_node node;
        ck_assert(ur_look(ur_node_at(u->tape, i), &node));
        l.outside += node.step == 0;
    }
    return l;
}

/* The derivative is that of a weight that is made once, in the steps and outside of them. */
START_TEST(one_adjoint)
{
    for (int marked = 0; marked < 2; marked++)
        for (int64_t steps = 2; steps <= 9; steps += 7) {
            unrolled every = unroll_new(&weights[_i], UR_F64, steps, 2, marked, false);
            unrolled once = unroll_new(&weights[_i], UR_F64, steps, 2, marked, true);
            length found = derive(&every), expected = derive(&once);
            ck_assert_uint_eq(found.nodes, expected.nodes);
            ck_assert_uint_eq(found.outside, expected.outside);
            ur_tape_free(every.tape);
            ur_tape_free(once.tape);
        }
}
END_TEST

/* One by one the parameters' gradients are what they are at once. */
START_TEST(one_after_another)
{
    unrolled one = unroll_new(&weights[0], UR_F64, 5, 1, true, false);
    unrolled all = unroll_new(&weights[0], UR_F64, 5, 1, true, false);
    ur_var wrt[2], g[2], by_one[2];
    for (size_t k = 0; k < 2; k++) {
        ur_param_at(one.tape, k, &wrt[k], NULL, NULL);
        ck_assert(ur_grad(one.loss, 1, &wrt[k], &by_one[k]));
        ur_param_at(all.tape, k, &wrt[k], NULL, NULL);
    }
    ck_assert(ur_grad(all.loss, 2, wrt, g));
    ck_assert_uint_eq(ur_tape_nodes(one.tape), ur_tape_nodes(all.tape));
    roots a = {.count = 2, .root = {by_one[0], by_one[1]}}, b = {.count = 2, .root = {g[0], g[1]}};
    ur_plan *p = run_reference("one by one", &one, &a), *q = run_reference("at once", &all, &b);
    assert_equal_roots("one by one", p, q);
    ur_plan_free(p);
    ur_plan_free(q);
    ur_tape_free(one.tape);
    ur_tape_free(all.tape);
}
END_TEST

/* The gradient by one of the equal nodes is that one's; that of the parameters is the same before, after and beside it. */
START_TEST(one_of_them)
{
    enum { T = 7 };
    unrolled every = unroll_new(&weights[0], UR_F64, T, 1, true, false);
    unrolled once = unroll_new(&weights[0], UR_F64, T, 1, true, true);
    ur_var V = square_param(every.tape, "V"), wrt[T + 1], before, after;
    ck_assert(ur_grad(every.loss, 1, &V, &before));
    memcpy(wrt, every.W, T * sizeof *wrt);
    wrt[T] = V;
    ck_assert(ur_grad(every.loss, T + 1, wrt, wrt) && ur_grad(every.loss, 1, &V, &after));
    ck_assert_uint_eq(before.index, after.index);
    roots all = {.count = 2, .root = {before, wrt[T]}}, sum = {.count = 1, .root = {once.W[0]}};
    add_roots(&all, T, wrt);
    assert_planned("one of them", every.tape, &all, 1 << FULL, 1e-12);
    ck_assert(ur_grad(once.loss, 1, sum.root, sum.root));
    ur_plan *p = run_reference("each", &every, &all), *q = run_reference("their sum", &once, &sum);
    const double *g = (const double *)ur_plan_roots(p, NULL), *expected = (const double *)ur_plan_roots(q, NULL);
    enum { COUNT = M * M };
    double total[COUNT] = {0};
    ck_assert(distance(COUNT, g, g + COUNT) < 1e-12 * largest(COUNT, g));
    for (size_t t = 0; t < T; t++) {
        const double *own = g + (2 + t) * COUNT;
        ck_assert(t == 0 || distance(COUNT, own, own - COUNT) > 1e-3);
        for (size_t i = 0; i < COUNT; i++)
            total[i] += own[i];
    }
    ck_assert(distance(COUNT, total, expected) < 1e-12 * largest(COUNT, expected));
    ur_plan_free(p);
    ur_plan_free(q);
    ur_tape_free(every.tape);
    ur_tape_free(once.tape);
}
END_TEST

/* A y that is itself one of them. */
START_TEST(one_of_them_is_differentiated)
{
    ur_tape *tape = new_tape(UR_F64);
    ur_var x = ur_param(tape, "x", UR_SCALAR), y[3], g;
    for (int t = 0; t < 3; t++) {
        ur_step(tape, t + 1);
        y[t] = ur_square(x);
    }
    ck_assert(ur_write(x, 1, (double[]){3}) && ur_grad(y[1], 1, &x, &g));
    roots all = {.count = 1, .root = {g}};
    ur_plan *plan = plan_of("squares", tape, &all, true);
    ck_assert(ur_plan_run(plan) && *(const double *)ur_value(plan, g) == 6);
    ur_plan_free(plan);
    ur_tape_free(tape);
}
END_TEST

/* ---- what is timeless */

typedef struct equals {
    uint32_t first[600];
    uint8_t state[600];
    bool any;
} equals;

static equals find(ur_tape *tape)
{
    equals e;
    ck_assert_uint_le(ur_tape_nodes(tape), 600);
    e.any = ur__find_equal(tape, (uint32_t)ur_tape_nodes(tape), e.first, e.state);
    assert_good(tape, "equal nodes");
    return e;
}

START_TEST(what_depends_on_a_step)
{
    ur_tape *tape = new_tape(UR_F64);
    ur_var p = ur_param(tape, "p", UR_SCALAR), a[2], b[2], c[2], x, only = UR_ZERO;
    ur_var outside = ur_input(tape, "outside", UR_SCALAR);
    ur_step(tape, 1);
    x = ur_input(tape, "x", UR_SCALAR);
    for (int t = 0; t < 2; t++) {
        ur_step(tape, t + 1);
        only = t ? ur_exp(p) : only;
        a[t] = ur_mul(p, outside);
        b[t] = ur_mul(p, x);
        c[t] = ur_mul(ur_exp(a[t]), b[t]);
    }
    equals e = find(tape);
    ck_assert(e.any && e.first[a[1].index] == a[0].index && e.first[b[1].index] == b[1].index);
    for (int t = 0; t < 2; t++) {
        ck_assert_uint_eq(e.state[a[t].index], UR__TIMELESS | UR__SHARED);
        ck_assert_uint_eq(e.state[b[t].index], 0);
        ck_assert_uint_eq(e.state[c[t].index], 0);
    }
    ck_assert_uint_eq(e.state[only.index], 0); /* the one of step 2 */
    ck_assert_uint_eq(e.state[p.index], UR__TIMELESS);
    ck_assert_uint_eq(e.state[outside.index], UR__TIMELESS);
    ur_tape_free(tape);
}
END_TEST

/* Without steps nobody knows to which one an input belongs. */
START_TEST(inputs_without_steps)
{
    ur_tape *tape = new_tape(UR_F64);
    ur_var p = ur_param(tape, "p", UR_SCALAR), x = ur_input(tape, "x", UR_SCALAR);
    ur_mul(p, x);
    ur_mul(p, x);
    ck_assert(!find(tape).any);
    ur_exp(p);
    ur_exp(p);
    ck_assert(find(tape).any);
    ur_tape_free(tape);
}
END_TEST

/* More than the index has room for at first, of leaves and of other nodes. */
START_TEST(many_nodes)
{
    ur_tape *tape = new_tape(UR_F64);
    ur_var p[200], y = UR_ZERO;
    for (int i = 0; i < 200; i++) {
        char name[16];
        snprintf(name, sizeof name, "p%d", i);
        p[i] = ur_param(tape, name, UR_SCALAR);
    }
    for (int i = 0; i < 200; i++)
        y = ur_exp(p[i]);
    ck_assert(!find(tape).any);
    ur_var again = ur_exp(p[199]);
    ck_assert_uint_eq(find(tape).first[again.index], y.index);
    ur_tape_free(tape);
}
END_TEST

/* ---- plans */

/* All of them are one value, whoever reads them. */
START_TEST(one_value)
{
    unrolled u = unroll_new(&weights[_i], UR_F64, 9, 2, true, false);
    roots all = {0};
    add_gradients(&all, u.tape, u.loss);
    add_roots(&all, 18, u.W);
    assert_planned(weights[_i].name, u.tape, &all, 1 << FULL, 1e-12);
    ur_plan *plan = plan_of(weights[_i].name, u.tape, &all, false);
    const ur__position *place = plan->form.program.place;
    for (int t = 0; t < 18; t++) {
        ck_assert_uint_eq(place[u.W[t].index].line, place[u.W[0].index].line);
        ck_assert_uint_eq(place[u.W[t].index].value, 0);
    }
    ck_assert_uint_eq(plan->form.program.line[place[u.W[0].index].line].values, 1);
    ur_plan_free(plan);
    ur_tape_free(u.tape);
}
END_TEST

/* What a loop makes of another loop's last state is made once, between them. */
START_TEST(between_loops)
{
    enum { T = 8 };
    unrolled u = unroll_new(&weights[0], UR_F64, T, 1, true, true);
    ur_var W = square_param(u.tape, "A"), key[T], h = u.h[T - 1];
    for (int t = 0; t < T; t++) {
        ur_step(u.tape, t + 1);
        key[t] = ur_sigmoid(ur_matmul(W, u.h[T - 1]));
        h = ur_tanh(ur_mul(key[t], ur_matmul(W, h)));
    }
    ur_step(u.tape, 0);
    roots all = {0};
    add_root(&all, ur_sum(ur_square(h)));
    add_gradients(&all, u.tape, all.root[0]);
    add_roots(&all, T, key);
    assert_planned("between loops", u.tape, &all, 1 << FULL, 1e-12);
    ur_plan *plan = plan_of("between loops", u.tape, &all, false);
    ck_assert_uint_eq(plan->form.program.line[plan->form.program.place[key[0].index].line].values, 1);
    ur_plan_free(plan);
    ur_tape_free(u.tape);
}
END_TEST

/* A loop of which nothing is left. */
START_TEST(an_empty_loop)
{
    enum { T = 8 };
    ur_tape *tape = new_tape(UR_F64);
    roots all = {0};
    for (int t = 0; t < T; t++) {
        ur_step(tape, t + 1);
        add_root(&all, positive(tape));
    }
    assert_planned("an empty loop", tape, &all, 1 << FULL, 1e-15);
    ur_plan *plan = plan_of("an empty loop", tape, &all, false);
    ck_assert_uint_eq(plan->form.program.loops, 1);
    ck_assert_uint_eq(plan->form.program.loop[0].iterations, 1);
    ur_plan_free(plan);
    ur_tape_free(tape);
}
END_TEST

/* At most two steps that follow each other read the same. */
START_TEST(in_no_order)
{
    static const int order[] = {2, 0, 0, 3};
    enum { T = 4 };
    ur_tape *tape = new_tape(UR_F64);
    roots all = {0};
    ur_var x[T], h = ur_input(tape, "h0", UR_SHAPE(M, BATCH)), W = square_param(tape, "W");
    ur_inputs(tape, "x", UR_SHAPE(M, BATCH), T, x);
    for (int t = 0; t < T; t++) {
        ur_step(tape, t + 1);
        h = ur_tanh(ur_add(ur_matmul(W, h), ur_square(x[order[t]])));
        add_root(&all, h);
    }
    assert_planned("in no order", tape, &all, 1 << FULL, 1e-12);
    ur_tape_free(tape);
}
END_TEST

/* ---- memory */

static ur_plan *plan_derivatives(ur_tape *tape)
{
    enum { T = 6 };
    ur_var x[T], V = square_param(tape, "V"), g;
    if (!ur_inputs(tape, "x", UR_SHAPE(M, BATCH), T, x))
        return NULL;
    ur_var h = x[0];
    for (int t = 0; t < T; t++) {
        ur_step(tape, t + 1);
        h = ur_tanh(ur_add(ur_matmul(positive(tape), h), x[t]));
    }
    return ur_grad(h, 1, &V, &g) ? ur_plan_new(tape, &(ur_plan_options){.roots = 1, .root = &g}) : NULL;
}

START_TEST(every_allocation_fails_once)
{
    bool done = false;
    long long n = 1;
    for (; !done; n++) {
        heap h = {.fails = n};
        ur_tape *tape = ur_tape_new(&(ur_tape_options){.allocator = {.resize = heap_resize, .user = &h}});
        ur_plan *plan = tape ? plan_derivatives(tape) : NULL;
        done = h.calls < n;
        ck_assert((plan != NULL) == done);
        ck_assert(done || !tape || strstr(ur_tape_error(tape), "no memory"));
        ur_plan_free(plan);
        ur_tape_free(tape);
        ck_assert_int_eq(h.bytes, 0);
    }
    ck_assert_int_gt(n, 50);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("equal");
    TCase *cases = tcase_create("equal");
    tcase_add_loop_test(cases, as_made_once, 0, WEIGHTS);
    tcase_add_loop_test(cases, one_adjoint, 0, WEIGHTS);
    tcase_add_test(cases, one_after_another);
    tcase_add_test(cases, one_of_them);
    tcase_add_test(cases, one_of_them_is_differentiated);
    tcase_add_test(cases, what_depends_on_a_step);
    tcase_add_test(cases, inputs_without_steps);
    tcase_add_test(cases, many_nodes);
    tcase_add_loop_test(cases, one_value, 0, WEIGHTS);
    tcase_add_test(cases, between_loops);
    tcase_add_test(cases, an_empty_loop);
    tcase_add_test(cases, in_no_order);
    tcase_add_test(cases, every_allocation_fails_once);
    return run_cases(suite, cases);
}
