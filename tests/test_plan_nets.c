/* test_plan_nets.c - networks of random cells, with sequences of every length, in whole batches and in narrow ones, with
 * all the memory they like and with little, against the reference execution.
 *
 * A seed makes a cell: statements over values of the step, states, and the input's products, as a user would write them;
 * and the network around it. UR_TEST_SEED=n runs one seed. */
#include "planned_nets.h"

enum { MOST = 12, SEEDS = 30 };

typedef struct statement {
    size_t kind, map, in[3];
} statement;

/* The cell at hand. */
static struct {
    int states;
    size_t statements, next[UR_STATES]; /* what a state will be: a value of the step, or another state */
    statement body[MOST];
} recipe;

static ur_var map_of(size_t kind, ur_var a)
{
    static ur_var (*const maps[])(ur_var) = {ur_tanh, ur_sigmoid, ur_softplus, ur_sin, ur_silu, ur_relu, ur_one_minus};
    return kind < sizeof maps / sizeof *maps ? maps[kind](a) : a;
}

static ur_var computed(ur_tape *tape, size_t i, const ur_var *v, size_t values)
{
    const statement *s = &recipe.body[i];
    const ur_var a = v[s->in[0] % values], b = v[s->in[1] % values], c = v[s->in[2] % values];
    const ur_shape shape = ur__shape(tape, a.index);
    const int64_t m = shape.size[0], B = shape.size[1];
    char W[32];
    snprintf(W, sizeof W, "U%zu", i);
    switch (s->kind) {
    case 0:
    case 1:
    case 2:
        return ur_add(ur_linear(tape, W, m, a), b);
    case 3:
        return ur_mul(a, b);
    case 4:
        return ur_add(ur_mul(ur_sigmoid(a), b), ur_mul(ur_one_minus(ur_sigmoid(a)), c));
    case 5:
        return ur_total(4, (ur_var[]){a, b, c, a});
    case 6:
        return ur_mul(ur_param(tape, W, UR_SHAPE(m, 1)), a);
    case 7:
        return ur_softmax(a);
    case 8:
        return ur_layer_norm(a);
    case 9:
        return ur_max(a, b);
    case 10:
        return ur_select(ur_step_function(a), b, c);
    case 11:
        return ur_concat(2, (ur_var[]){ur_slice(a, 0, 1, m - 1), ur_slice(b, 0, 0, 1)}, 0);
    case 12:
        return ur_mul(a, ur_mean_over(b, 0));
    case 13: /* sum_j a_i b_j c_j */
        return ur_reshape(ur_bmm(ur_outer(a, b), false, ur_reshape(c, UR_SHAPE(m, 1, B)), false), UR_SHAPE(m, B));
    case 14:
        return ur_div(a, ur_add(ur_square(b), ur_const(tape, UR_SCALAR, 1)));
    default:
        return ur_mul(ur_detach(a), ur_square(b));
    }
}

/* The values of a step: products of the input, the states, then one for each statement. */
static ur_var step(ur_tape *tape, const ur_net_options *options, ur_var x, ur_var *state)
{
    ur_var v[2 + UR_STATES + MOST], next[UR_STATES] = {UR_ZERO};
    size_t n = 0;
    v[n++] = ur_linear(tape, "W", options->hidden, x);
    v[n++] = ur_tanh(ur_affine(tape, "x", x, ur_recurrent(options, state[0])));
    for (int i = 0; i < recipe.states; i++)
        v[n++] = state[i];
    for (size_t i = 0; i < recipe.statements; i++, n++)
        v[n] = map_of(recipe.body[i].map, computed(tape, i, v, n));
    for (int i = 0; i < recipe.states; i++)
        next[i] = i == 0 ? ur_tanh(v[n - 1]) : recipe.next[i] % 3 ? ur_sigmoid(v[recipe.next[i] % n]) : state[i - 1];
    memcpy(state, next, (size_t)recipe.states * sizeof *next);
    return recipe.next[0] % 2 ? state[0] : ur_add(v[n - 1], state[0]);
}

static void make_cell(uint64_t *state, ur_cell *cell)
{
    *cell = (ur_cell){.name = "random", .equations = "", .step = step, .recurrent = true};
    recipe.states = cell->states = 1 + (int)pick(state, 3);
    recipe.statements = 1 + pick(state, MOST - 1);
    for (int i = 0; i < cell->states; i++) {
        static const char *const names[] = {"h", "c", "n", "s"};
        cell->state[i] = (ur_cell_state){.name = names[i], .start = i == 2 ? 0.5 : 0};
        recipe.next[i] = pick(state, 97);
    }
    for (size_t i = 0; i < recipe.statements; i++)
        recipe.body[i] = (statement){
            .kind = pick(state, 16), .map = pick(state, 14), .in = {pick(state, 97), pick(state, 97), pick(state, 97)}};
}

static ur_net_options make_options(uint64_t *state, const ur_cell *cell)
{
    static const ur_loss losses[] = {UR_BCE, UR_CE, UR_MSE};
    static const ur_activation outs[] = {UR_SIGMOID, UR_SOFTMAX, UR_IDENTITY};
    const size_t loss = pick(state, 3), norm = pick(state, 8);
    return (ur_net_options){.cell = cell,
                            .inputs = 1 + (int64_t)pick(state, 5),
                            .hidden = pick(state, 8) ? 2 + (int64_t)pick(state, 8) : 30 + (int64_t)pick(state, 20),
                            .outputs = pick(state, 6) ? 2 + (int64_t)pick(state, 5) : 100,
                            .out = outs[loss],
                            .loss = losses[loss],
                            .reduction = (ur_reduction)pick(state, 3),
                            .layers = pick(state, 4) ? 1 : 2,
                            .bidirectional = pick(state, 4) == 0,
                            .layer_norm = norm == 0,
                            .batch_norm = norm == 1,
                            .bptt = pick(state, 6) ? 0 : 5,
                            .start = (ur_start)pick(state, 3),
                            .dropout = pick(state, 6) ? 0 : 0.3,
                            .recurrent_dropout = pick(state, 6) ? 0 : 0.2,
                            .weighted = pick(state, 5) == 0};
}

typedef struct network {
    ur_tape *tape;
    ur_net *net;
} network;

static network make_net(int seed, roots *all)
{
    static const int64_t batches[] = {1, 2, 5, 8, 13, 16, 29, 37, 70};
    static ur_cell cell;
    uint64_t state = seed_of(seed);
    make_cell(&state, &cell);
    ur_net_options o = make_options(&state, &cell);
    const int64_t B = batches[pick(&state, 9)], T = 2 + (int64_t)pick(&state, 12);
    network n = {.tape = new_tape(UR_F64)};
    n.net = ur_net_new(n.tape, &o, T, B);
    ck_assert_msg(n.net != NULL, "UR_TEST_SEED=%d: %s", seed, ur_tape_error(n.tape));
    add_net(all, n.net);
    return n;
}

static ur_tape *record_seed(int seed, roots *all)
{
    return make_net(seed, all).tape;
}

static void try_seed(int seed, size_t *in_order)
{
    char what[64];
    roots all = {0};
    network n = make_net(seed, &all);
    const double tolerance = 100 * tolerance_of(n.tape); /* some of the cells lose digits */
    snprintf(what, sizeof what, "UR_TEST_SEED=%d", seed);
    ur_plan *plan = plan_of(what, n.tape, &all, false), *reference = plan_of(what, n.tape, &all, true);
    for (int k = 0; k < MASKS; k++) {
        char text[128];
        snprintf(text, sizeof text, "%s, masks %d", what, k);
        fill_net(n.net, seed_of(k), (masks)k);
        assert_same_values(text, plan, reference, &all, tolerance);
    }
    *in_order += plan->alive && plan->alive->ends;
    if (!n.net->options.batch_norm) /* which takes variances among its leaves */
        assert_budgets(what, record_seed, seed, tolerance);
    ur_plan_free(plan);
    ur_plan_free(reference);
    ur_tape_free(n.tape);
}

static int number(const char *text)
{
    return (int)strtol(text, NULL, 10);
}

/* Most of them can run without masks where columns end in order. */
START_TEST(any_net)
{
    const char *one = getenv("UR_TEST_SEED");
    size_t in_order = 0;
    for (int k = 0; k < SEEDS && (!one || k == 0); k++)
        try_seed(one ? number(one) : _i * SEEDS + k, &in_order);
    ck_assert_msg(one || in_order > SEEDS / 2, "%zu of %d in order", in_order, SEEDS);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("plans of random networks");
    TCase *cases = tcase_create("plans of random networks");
    tcase_add_loop_test(cases, any_net, 0, getenv("UR_TEST_SEED") ? 1 : 4);
    return run_cases(suite, cases);
}
