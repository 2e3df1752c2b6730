/* test_layers.c - layers upon layers, directions and starts against runs of single layers that are put together by
 * hand; gradients of every kind of layer against central differences, and the words for what does not go together. */
#include "cell_nets.h"
#include "every_cell.h"

/* ---- layers put together by hand */

/* Runs a network without loss on x [BATCH,T,rows] and returns o [BATCH,T,outputs], its parameters copied by prefix. */
static double *run_piece(const ur_net_options *options, const double *x, const int64_t *lengths, ur_tape *from,
                         const char *prefix)
{
    ur_net_options own = *options;
    ur_tape *tape = new_tape(UR_F64);
    own.loss = UR_NO_LOSS;
    ur_net *net = ur_net_new(tape, &own, T, BATCH);
    assert_good(tape, "piece");
    ur_var param, source;
    const char *name, *other;
    for (size_t k = 0; ur_param_at(tape, k, &param, &name, NULL); k++)
        for (size_t i = 0; ur_param_at(from, i, &source, &other, NULL); i++)
            if (strncmp(other, prefix, strlen(prefix)) == 0 && strcmp(other + strlen(prefix), name) == 0)
                memcpy(ur_leaf(param), ur_leaf(source), count_of(param) * sizeof(double));
    size_t rows = (size_t)ur_net_outputs(&own);
    double *o = (double *)calloc(POSITIONS * rows, sizeof *o), *copy, columns[4 * COLUMNS];
    size_t numbers = POSITIONS * (size_t)own.inputs;
    copy = (double *)malloc(numbers * sizeof *copy);
    ck_assert(o && copy);
    memcpy(copy, x, numbers * sizeof *copy);
    int64_t own_lengths[BATCH];
    memcpy(own_lengths, lengths, sizeof own_lengths);
    ur_data data = {.n = BATCH, .steps = T, .inputs = own.inputs, .x = copy, .lengths = own_lengths};
    ck_assert_msg(ur_net_bind(net, &data, 0, BATCH), "%s", ur_tape_error(tape));
    ur_plan *plan = ur_plan_new(tape, &(ur_plan_options){.roots = T, .root = net->o});
    ck_assert(plan && ur_plan_run(plan));
    for (size_t t = 0; t < T; t++) {
        ck_assert(ur_read(plan, net->o[t], rows * BATCH, columns));
        for (size_t n = 0; n < BATCH; n++)
            for (size_t i = 0; i < rows; i++)
                o[(n * T + t) * rows + i] = columns[i * BATCH + n];
    }
    free(copy);
    ur_plan_free(plan);
    ur_tape_free(tape);
    return o;
}

/* Every sequence from its own last step to its first. */
static double *reversed(const double *x, size_t rows, const int64_t *lengths)
{
    double *back = (double *)calloc(POSITIONS * rows, sizeof *back);
    ck_assert_ptr_nonnull(back);
    for (size_t n = 0; n < BATCH; n++)
        for (size_t t = 0; t < (size_t)lengths[n]; t++)
            memcpy(back + (n * T + t) * rows, x + (n * T + (size_t)lengths[n] - 1 - t) * rows, rows * sizeof *x);
    return back;
}

/* One layer in both directions from two nets in one: forward outputs above backward ones. */
static double *both_directions(const ur_net_options *one, const double *x, const int64_t *lengths, ur_tape *from,
                               const char *prefix)
{
    char back[32];
    snprintf(back, sizeof back, "%sback.", prefix);
    double *turned = reversed(x, (size_t)one->inputs, lengths),
           *o = (double *)calloc((size_t)POSITIONS * BOTH, sizeof *o);
    double *forward = run_piece(one, x, lengths, from, prefix), *behind = run_piece(one, turned, lengths, from, back);
    double *backward = reversed(behind, M, lengths);
    ck_assert_ptr_nonnull(o);
    for (size_t i = 0; i < POSITIONS; i++) {
        memcpy(o + i * BOTH, forward + i * M, M * sizeof *o);
        memcpy(o + i * BOTH + M, backward + i * M, M * sizeof *o);
    }
    free(turned);
    free(forward);
    free(behind);
    free(backward);
    return o;
}

static ur_tape *weights_of(const ur_net_options *options, uint64_t seed)
{
    double theta[MANY];
    ur_tape *tape = new_tape(UR_F64);
    ck_assert(ur_net_new(tape, options, 2, 1) != NULL);
    random_theta(seed, theta, MANY);
    write_params(tape, theta);
    return tape;
}

START_TEST(stacked_in_both_directions)
{
    static const int64_t lengths[BATCH] = {T, 7, 0, 1};
    const ur_cell *cell = cell_number(_i);
    if (cell->back)
        return;
    ur_net_options whole = {.cell = cell, .inputs = D, .hidden = M, .heads = 2, .layers = 2, .bidirectional = true};
    ur_net_options one = whole, two;
    one.layers = 1;
    one.bidirectional = false;
    two = one;
    two.inputs = BOTH;
    ur_tape *from = weights_of(&whole, (uint64_t)_i);
    sequences q = random_sequences(5, M);
    const double *x = &q.x[0][0][0];
    double *first = both_directions(&one, x, lengths, from, "layer0."),
           *found = run_piece(&whole, x, lengths, from, "");
    double *second = both_directions(&two, first, lengths, from, "layer1.");
    assert_near(cell->name, 0, (size_t)POSITIONS * BOTH, found, second, 1e-13);
    free(first);
    free(second);
    free(found);
    ur_tape_free(from);
}
END_TEST

START_TEST(names_of_layers)
{
    ur_net_options options = {.cell = ur_cell_find("rnn"),
                              .inputs = D,
                              .hidden = M,
                              .layers = 2,
                              .bidirectional = true,
                              .layer_norm = true,
                              .start = UR_START_LEARNED};
    static const char *const names[] = {"h0", "Wi", "Wh", "bh", "gamma", "beta"};
    static const char *const states[] = {"layer0.h", "layer0.back.h", "layer1.h", "layer1.back.h"};
    for (int given = 0; given < 2; given++) {
        ur_tape *tape = new_tape(UR_F64);
        options.start = given ? UR_START_GIVEN : UR_START_LEARNED;
        ur_net *net = ur_net_new(tape, &options, 3, 2);
        assert_good(tape, "names");
        ck_assert_uint_eq(net->params, given ? 20 : 24);
        for (int k = given; k < 24; k += 1 + (given && k % 6 == 5)) {
            char name[32];
            snprintf(name, sizeof name, "layer%d.%s%s", k / 12, k / 6 % 2 ? "back." : "", names[k % 6]);
            ck_assert_msg(ur_find(tape, name, 0).index != UR_NONE, "there is no %s", name);
        }
        ck_assert_uint_eq(net->states, 4);
        for (size_t i = 0; i < 4; i++)
            ck_assert_str_eq(net->state[i].name, states[i]);
        ur_tape_free(tape);
    }
}
END_TEST

/* ---- starts and windows */

/* Writes b's learned starts to every column of a's given ones. */
static void give_learned(const machine *a, const machine *b)
{
    for (size_t i = 0; i < a->net->states; i++) {
        char name[8];
        double columns[STATES];
        snprintf(name, sizeof name, "%s0", a->net->state[i].name);
        ur_var start = ur_find(b->tape, name, 0);
        ck_assert_int_eq(start.index == UR_NONE, a->net->state[i].scale);
        if (a->net->state[i].scale)
            continue;
        for (size_t k = 0; k < count_of(start) * BATCH; k++)
            columns[k] = ((double *)ur_leaf(start))[k / BATCH];
        ck_assert(ur_write(a->net->state[i].start, count_of(start) * BATCH, columns));
    }
}

/* A learned start is a given one, alike for all sequences; its gradient is the sum of theirs. */
START_TEST(learned_start)
{
    const setup *s = &setups[_i];
    ur_net_options options = options_of(s), learned = options;
    options.start = UR_START_GIVEN;
    learned.start = UR_START_LEARNED;
    machine a = new_machine(&options, UR_F64, T, NULL), b = new_machine(&learned, UR_F64, T, NULL);
    double theta[ROOM];
    random_theta(3, theta, ROOM);
    write_params(b.tape, theta);
    ck_assert(ur_params_copy(a.tape, b.tape));
    give_learned(&a, &b);
    sequences q = random_sequences(9, outputs_of(s));
    bind(&a, &q, T, outputs_of(s));
    bind(&b, &q, T, outputs_of(s));
    plan_machine(&a, false, false);
    plan_machine(&b, false, false);
    run_machine(&a);
    run_machine(&b);
    for (size_t i = 0; i < a.net->states; i++) {
        char name[8];
        double each[STATES], sum[WIDE] = {0}, found[WIDE];
        ur_var by_start = a.gradient[a.net->params + T + i];
        size_t count = count_of(by_start);
        snprintf(name, sizeof name, "%s0", a.net->state[i].name);
        if (a.net->state[i].scale)
            continue;
        ck_assert(ur_read(a.plan, by_start, count, each));
        ck_assert(ur_read(b.plan, gradient_of(&b, name), count / BATCH, found));
        for (size_t k = 0; k < count; k++)
            sum[k / BATCH] += each[k];
        assert_near(name, 0, count / BATCH, found, sum, 1e-12);
    }
    free_machine(&a);
    free_machine(&b);
}
END_TEST

/* Windows of three steps, the final states of one being the start of the next, are one long run. */
START_TEST(windows)
{
    enum { WINDOW = 3 };
    const setup *s = &setups[1 + _i]; /* all but the one that runs back in time */
    ur_net_options options = options_of(s);
    double theta[ROOM];
    options.start = UR_START_GIVEN;
    random_theta(11, theta, ROOM);
    sequences q = random_sequences(13, M), part = q;
    machine whole = new_machine(&options, UR_F64, T, NULL), window = new_machine(&options, UR_F64, WINDOW, NULL);
    plan_machine(&whole, false, false);
    for (size_t i = 0; i < window.net->states; i++)
        ck_assert(ur_state(window.net->state[i].start, window.net->state[i].final));
    plan_machine(&window, false, false);
    write_params(whole.tape, theta);
    write_params(window.tape, theta);
    bind(&whole, &q, T, M);
    run_machine(&whole);
    for (int first = 0; first < T; first += WINDOW) {
        for (int n = 0; n < BATCH; n++) {
            int64_t left = q.length[n] - first;
            part.length[n] = left < 0 ? 0 : left > WINDOW ? WINDOW : left;
            memcpy(&part.x[0][0][0] + (size_t)n * WINDOW * D, q.x[n][first], WINDOW * sizeof q.x[n][first]);
        }
        bind(&window, &part, WINDOW, M);
        run_machine(&window);
        for (int t = 0; t < WINDOW; t++)
            for (int n = 0; n < BATCH; n++) {
                double found[WIDE], expected[WIDE];
                read_column(&window, window.net->o[t], n, found);
                read_column(&whole, whole.net->o[first + t], n, expected);
                assert_near(s->cell, first + t + 1, M, found, expected, 1e-13);
            }
    }
    free_machine(&whole);
    free_machine(&window);
}
END_TEST

/* ---- gradients of every kind of layer */

/* Central differences by every parameter and input, with the statistics and the masks in them. */
START_TEST(gradients_of_layers)
{
    enum { FEW = 4, FEW_BOTH = 2 * FEW, MOST = 64 };
    static const ur_net_options kinds[] = {{.batch_norm = true},
                                           {.layer_norm = true},
                                           {.dropout = 0.3},
                                           {.recurrent_dropout = 0.3},
                                           {.start = UR_START_LEARNED}};
    ur_net_options options = kinds[_i % 5];
    options.cell = cell_number(_i / 5);
    options.inputs = D;
    options.hidden = FEW;
    options.heads = options.layers = 2;
    options.bidirectional = true;
    options.loss = UR_MSE;
    if (options.cell->back || (options.recurrent_dropout > 0 && !options.cell->recurrent))
        return;
    ur_tape *tape = new_tape(UR_F64);
    ur_net *net = ur_net_new(tape, &options, 3, BATCH);
    ck_assert_msg(net && ur_net_differentiate(net), "%s", ur_tape_error(tape));
    double theta[MANY], x[BATCH * 3 * D], y[BATCH * 3 * FEW_BOTH], training = 2;
    int64_t lengths[BATCH] = {3, 2, 3, 1};
    random_theta(5, theta, MANY);
    write_params(tape, theta);
    fill(7, 1, sizeof x / sizeof *x, x);
    fill(8, 1, sizeof y / sizeof *y, y);
    ur_data data = {.n = BATCH, .steps = 3, .inputs = D, .outputs = FEW_BOTH, .x = x, .y = y, .lengths = lengths};
    ck_assert_msg(ur_net_bind(net, &data, 0, BATCH), "%s", ur_tape_error(tape));
    ck_assert(!net->training.tape || ur_write(net->training, 1, &training));
    ck_assert(!net->sequences.tape || ur_write(net->sequences, BATCH, in_order));
    ur_var param[MOST];
    ur_check_result result[MOST];
    ck_assert_uint_le(net->params, MOST);
    for (size_t k = 0; k < net->params; k++)
        ur_param_at(tape, k, &param[k], NULL, NULL);
    ck_assert(ur_check(net->loss, net->params, param, net->gradient, 1e-7, result));
    for (size_t k = 0; k < net->params; k++) {
        const char *name;
        ur_param_at(tape, k, NULL, &name, NULL);
        bool zero = options.cell == ur_cell_find("slstm") && strstr(name, "bkappa") && fabs(result[k].analytic) < 1e-14;
        ck_assert_msg(zero || result[k].verdict == UR_HOLDS, "%s, %s: %.17g, by differences %.17g +- %g",
                      options.cell->name, name, result[k].analytic, result[k].numeric, result[k].estimate);
    }
    ur_tape_free(tape);
}
END_TEST

/* ---- what does not go together */

START_TEST(contradictions_are_named)
{
    static const struct {
        const char *cell, *words;
        ur_net_options options;
    } cases[] = {
        {"brnn", "brnn: runs in both directions itself", {.bidirectional = true}},
        {"mlp", "mlp: recurrent dropout was asked for", {.recurrent_dropout = 0.5}},
        {"mlstm", "mlstm: recurrent dropout was asked for", {.recurrent_dropout = 0.5}},
        {"rnn", "not both", {.layer_norm = true, .batch_norm = true}},
        {"lstm", "lstm: has no form for several steps at once", {.chunk = 4}},
        {"mlstm", "gradients are cut after 6 steps, within a chunk of 4", {.chunk = 4, .bptt = 6}},
        {"mlstm", "numbers of steps from 0 were expected, not bptt 0, chunk -1", {.chunk = -1}},
        {"gru", "numbers of steps from 0 were expected, not bptt -3, chunk 0", {.bptt = -3}},
        {"slstm", "6 hidden units cannot be divided into 4 heads", {.heads = 4}},
        {"lstm", "6 hidden units cannot be divided into -1 heads", {.heads = -1}},
        {"rnn", "probabilities of dropout from 0 to below 1", {.dropout = 1}},
    };
    ur_net_options options = cases[_i].options;
    options.cell = ur_cell_find(cases[_i].cell);
    options.inputs = D;
    options.hidden = M;
    ur_tape *tape = new_tape(UR_F64);
    ck_assert_ptr_null(ur_net_new(tape, &options, T, BATCH));
    const char *error = ur_tape_error(tape);
    ck_assert_msg(error && strstr(error, cases[_i].words), "'%s' was expected in '%s'", cases[_i].words, error);
    ur_tape_free(tape);
}
END_TEST

int main(void)
{
    TCase *cases = tcase_create("layers");
    tcase_add_loop_test(cases, stacked_in_both_directions, 0, count_cells());
    tcase_add_test(cases, names_of_layers);
    tcase_add_loop_test(cases, learned_start, 0, SETUPS);
    tcase_add_loop_test(cases, windows, 0, SETUPS - 1);
    tcase_add_loop_test(cases, gradients_of_layers, 0, 5 * count_cells());
    tcase_add_loop_test(cases, contradictions_are_named, 0, 11);
    return run_cases(suite_create("layers"), cases);
}
