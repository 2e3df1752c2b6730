/* test_explain.c - plans in words: what an LSTM's text says, a user's cell beside the library's, and odd tapes. */
#include <stdlib.h>
#include <string.h>

#include "../layers/layers.h"
#include "support.h"

enum { D = 7, M = 20, STEPS = 12, BATCH = 40, TEXT = 1 << 16 };

/* ---- texts */

/* The explanation; to be freed. */
static char *explain(const ur_plan *plan)
{
    char *text = (char *)calloc(1, TEXT);
    FILE *file = tmpfile();
    ck_assert(text && file && ur_plan_explain(plan, file));
    rewind(file);
    ck_assert_uint_gt(fread(text, 1, TEXT - 1, file), 0);
    fclose(file);
    return text;
}

static int count(const char *text, const char *word)
{
    int n = 0;
    for (const char *at = text; (at = strstr(at, word)); at++)
        n++;
    return n;
}

static void has(const char *text, const char *word)
{
    ck_assert_msg(strstr(text, word), "'%s' is not in\n%s", word, text);
}

/* ---- networks */

/* The lecture's cell with a forget gate, as a user composes it. */
static ur_var compose(ur_tape *tape, const ur_net_options *options, ur_var x, ur_var *state)
{
    (void)options;
    ur_var h = state[0];
    ur_var u = ur_name(ur_tanh(ur_affine(tape, "u", x, h)), "u");
    ur_var phi = ur_name(ur_sigmoid(ur_affine(tape, "phi", x, h)), "phi");
    ur_var kept = ur_mul(phi, h), fresh = ur_mul(ur_one_minus(phi), u);
    return state[0] = ur_name(ur_add(kept, fresh), "h");
}

static const ur_cell composed = {
    .name = "gated", .equations = "", .states = 1, .state = {{.name = "h"}}, .step = compose, .recurrent = true};

/* The text of the plan of a network's gradients. */
static char *explain_net(ur_net_options options, int64_t batch, ur_dtype dtype)
{
    ur_tape *tape = new_tape(dtype);
    options.inputs = D;
    options.hidden = M;
    options.hidden_activation = UR_TANH;
    options.loss = UR_MSE;
    ur_net *net = ur_net_new(tape, &options, STEPS, batch);
    ck_assert(net && ur_net_differentiate(net));
    ur_plan *plan = ur_plan_new(tape, &(ur_plan_options){.roots = net->params, .root = net->gradient});
    assert_good(tape, "plan");
    char *text = explain(plan), *again = explain(plan), total[64];
    ck_assert_str_eq(text, again);
    snprintf(total, sizeof total, "\n%zu bytes; the tape has ", ur_plan_bytes(plan));
    has(text, total);
    free(again);
    ur_plan_free(plan);
    ur_tape_free(tape);
    return text;
}

/* One product a step forward, one backward, and the lecture's formulas around them. */
START_TEST(lstm)
{
    char *text = explain_net((ur_net_options){.cell = ur_cell_find("lstm")}, BATCH, UR_F32);
    ck_assert_int_eq(count(text, "\n    product ["), 2);
    has(text, "    product [80,27]\n      kappa.net = Wkappa' x + Whkappa' h[t-1] + bkappa\n");
    has(text, "      u.net = Wu' x + Whu' h[t-1] + bu\n");
    has(text, "      kappa = sigmoid(kappa.net)\n");
    has(text, "      c = kappa .* u + phi .* c[t-1]\n");
    has(text, "      h = omega .* tanh(c)\n");
    has(text, "    product [20,80]\n");
    has(text, "Whkappa delta.kappa[t+1]");
    has(text, "      delta.phi = dc .* c[t-1] .* phi .* (1 - phi)\n");
    has(text, "dWhu, dWhomega, dWhphi, dWhkappa += h[t-1] (delta.u, ");
    has(text, "    contraction [7,80], 12 steps: ");
    has(text, "  saved values of a block ");
    has(text, "12 x ");
    has(text, "tanh(c)");
    has(text, "loop of 12 steps\n  t = 1: product [80,7], elementwise [20]\n  t = 2 to 12\n");
    ck_assert_ptr_null(strstr(text, "not rolled"));
    free(text);
}
END_TEST

/* h, which products read later, is saved, where columns have ended beside select(alive, h, h[t-1]): 1 - h^2 is made where it
 * is read. */
START_TEST(rnn)
{
    char *text = explain_net((ur_net_options){.cell = ur_cell_find("rnn")}, BATCH, UR_F32);
    has(text, "      delta.rnn = dh .* (1 - h^2)\n");
    free(text);
}
END_TEST

/* sigmoid(net), which the output layer computes and the adjoint of the loss needs: once for each step, and net is not
 * saved. */
START_TEST(output_twice)
{
    ur_tape *tape = new_tape(UR_F32);
    ur_net_options options = {.cell = ur_cell_find("lstm"), .inputs = D, .hidden = M, .outputs = 3};
    options.out = UR_SIGMOID;
    options.loss = UR_BCE;
    ur_net *net = ur_net_new(tape, &options, STEPS, BATCH);
    ck_assert(net && ur_net_differentiate(net));
    for (int k = 0; k < STEPS; k++)
        ur_keep(net->o[k]);
    for (size_t k = 0; k < net->params; k++)
        ur_keep(net->gradient[k]);
    ur_plan *plan = ur_plan_new(tape, NULL);
    assert_good(tape, "plan");
    char *text = explain(plan);
    ck_assert_int_eq(count(text, "sigmoid(output.net)"), 1);
    has(text, "delta.output = dsum_of .* (o - y)\n");
    ck_assert_int_eq(count(text, "output.net\n"), 0); /* neither is saved: o lies where the caller reads it */
    ck_assert_int_eq(count(text, " bytes [3]: delta.output\n"), 1);
    free(text);
    ur_plan_free(plan);
    ur_tape_free(tape);
}
END_TEST

/* exp(x) of a step and of the one before it: read, not computed again. */
START_TEST(step_twice)
{
    ur_tape *tape = new_tape(UR_F32);
    ur_var x[STEPS];
    ur_inputs(tape, "x", UR_SHAPE(M, BATCH), STEPS, x);
    for (int k = 0; k < STEPS; k++) {
        ur_step(tape, k + 1);
        ur_var e = ur_name(ur_exp(x[k]), "e");
        ur_keep(k > 0 ? ur_sub(e, ur_exp(x[k - 1])) : e);
    }
    ur_plan *plan = ur_plan_new(tape, NULL);
    assert_good(tape, "plan");
    char *text = explain(plan);
    has(text, "e = exp(x)\n");
    has(text, "sub = e - e[t-1]\n");
    ck_assert_int_eq(count(text, "exp("), 1);
    free(text);
    ur_plan_free(plan);
    ur_tape_free(tape);
}
END_TEST

/* Operations that share a part stand as they are on the tape, also where a name fills a line. */
START_TEST(shared_part)
{
    char name[200] = "";
    memset(name, 'z', sizeof name - 1);
    ur_tape *tape = new_tape(UR_F32);
    ur_var z = ur_input(tape, name, UR_SHAPE(M, BATCH)), y = ur_input(tape, "y", UR_SHAPE(M, BATCH));
    ur_keep(ur_name(ur_bce_net(z, y), "e"));
    ur_keep(ur_name(ur_sigmoid(z), "o"));
    ur_plan *plan = ur_plan_new(tape, NULL);
    assert_good(tape, "plan");
    char *text = explain(plan);
    ck_assert_int_eq(count(text, "bce_net("), 1);
    ck_assert_int_eq(count(text, "sigmoid("), 1);
    free(text);
    ur_plan_free(plan);
    ur_tape_free(tape);
}
END_TEST

/* The bytes of the parts are those of the whole. */
START_TEST(bytes_in_all)
{
    static const char *const cells[] = {"rnn", "lstm", "slstm", "mlstm", "gru", "brnn"};
    for (size_t i = 0; i < sizeof cells / sizeof *cells; i++) {
        char *text = explain_net((ur_net_options){.cell = ur_cell_find(cells[i])}, BATCH, UR_F64);
        size_t whole = 0, sum = 0;
        for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n"))
            if (strstr(line, " bytes; the tape has "))
                whole = strtoul(line, NULL, 10);
            else if (whole && strncmp(line, "  ", 2) == 0 && line[2] >= 'a' && line[2] != 't')
                sum += strtoul(line + strcspn(line, "0123456789"), NULL, 10);
        ck_assert_uint_gt(whole, 0);
        ck_assert_uint_eq(sum, whole);
        free(text);
    }
}
END_TEST

START_TEST(composed_and_shipped)
{
    static const int64_t batches[] = {1, 5, 32, 400};
    for (size_t i = 0; i < sizeof batches / sizeof *batches; i++) {
        char *own = explain_net((ur_net_options){.cell = &composed}, batches[i], UR_F32);
        char *library = explain_net((ur_net_options){.cell = ur_cell_find("gated")}, batches[i], UR_F32);
        ck_assert_str_eq(own, library);
        has(own, "u = tanh(");
        free(own);
        free(library);
    }
}
END_TEST

/* Few columns, one block, two directions, dropout, stacks: all have a text. */
START_TEST(networks)
{
    static const ur_net_options options[] = {{.batch_norm = true},
                                             {.layers = 2, .dropout = 0.5},
                                             {.bidirectional = true, .layer_norm = true},
                                             {.start = UR_START_LEARNED},
                                             {.bptt = 4},
                                             {.recurrent_dropout = 0.5}};
    for (size_t i = 0; i < sizeof options / sizeof *options; i++)
        for (size_t k = 0; ur_cell_at(k); k++) {
            ur_net_options o = options[i];
            o.cell = ur_cell_at(k);
            if (o.cell->back || !o.cell->recurrent)
                continue;
            free(explain_net(o, BATCH, UR_F32));
            char *text = explain_net(o, 3, UR_F64);
            has(text, "batch 3 in one block");
            free(text);
        }
    char *text = explain_net((ur_net_options){.cell = ur_cell_find("rnn"), .batch_norm = true}, BATCH, UR_F32);
    has(text, "batch 40 in one block, its columns depend on each other\n");
    free(text);
    text = explain_net((ur_net_options){.cell = ur_cell_find("rnn"), .layers = 2}, BATCH, UR_F32);
    has(text, "Wh' layer0.h[t-1]");
    free(text);
}
END_TEST

/* ---- what a network's plan is made of */

/* Cell, output layer and loss are one loop forward and one back, and what only goes between them is not saved. */
START_TEST(one_loop)
{
    char *text = explain_net((ur_net_options){.cell = &composed, .outputs = D, .out = UR_IDENTITY}, BATCH, UR_F32);
    ck_assert_int_eq(count(text, "\nloop of 12 steps\n"), 2);
    ck_assert_int_eq(count(text, "operation:"), 0);
    has(text, "    12 x 3264 bytes [20]: u, phi, h\n");
    free(text);
}
END_TEST

/* What a step more takes: so many values of M rows are saved, in an odd number of cache lines each, and x under the masks;
 * then there is a flag of the mask and a number of columns. So few columns are contracted at the end. */
static void assert_saved(const ur_cell *cell, size_t saved)
{
    enum { LONG = 200, WIDE = 2, LINE = 64 };
    size_t bytes[2];
    for (int twice = 0; twice < 2; twice++) {
        ur_tape *tape = new_tape(UR_F32);
        ur_net_options options = {.cell = cell, .inputs = D, .hidden = M, .loss = UR_MSE};
        ur_net *net = ur_net_new(tape, &options, twice ? 2 * LONG : LONG, WIDE);
        ck_assert(net && ur_net_differentiate(net));
        for (size_t i = 0; i < net->params; i++)
            ur_keep(net->gradient[i]);
        ur_plan *plan = ur_plan_new(tape, NULL);
        assert_good(tape, "plan");
        bytes[twice] = ur_plan_bytes(plan);
        ur_plan_free(plan);
        ur_tape_free(tape);
    }
    const size_t row = WIDE * sizeof(float), value = ((M * row + LINE - 1) / LINE | 1) * LINE, x = D * row;
    const size_t step = (bytes[1] - bytes[0]) / LONG;
    ck_assert_uint_ge(step, saved * value + x);
    ck_assert_uint_le(step, saved * value + x + 8);
}

/* Of the gated cell u, phi and h, where u and phi lay lie the deltas. Of sLSTM the net value of phi, omega, u, kappa, f, c,
 * n, c/n and h; nothing reads s but the next step, yet after the new one is there. */
START_TEST(saved_bytes)
{
    assert_saved(&composed, 3);
    assert_saved(ur_cell_find("slstm"), 10);
}
END_TEST

/* Bytes of a plan forward, whose states c and d stay as they are where a sequence has ended. */
static size_t bytes_forward(size_t steps)
{
    enum { MOST = 400 };
    const ur_shape wide = UR_SHAPE(M, BATCH);
    ur_tape *tape = new_tape(UR_F32);
    ur_var x[MOST], alive[MOST], loss[MOST], c = ur_input(tape, "c0", wide), d = ur_input(tape, "d0", wide);
    ur_inputs(tape, "x", wide, (int64_t)steps, x);
    ur_inputs(tape, "alive", UR_SHAPE(1, BATCH), (int64_t)steps, alive);
    for (size_t t = 0; t < steps; t++) {
        ur_step(tape, (int64_t)t + 1);
        d = ur_select(alive[t], ur_add(ur_mul(c, x[t]), d), d);
        c = ur_select(alive[t], ur_tanh(ur_add(c, x[t])), c);
        loss[t] = ur_sum(d);
    }
    ur_step(tape, 0);
    ur_keep(ur_total(steps, loss));
    ur_plan *plan = ur_plan_new(tape, NULL);
    assert_good(tape, "plan");
    const size_t bytes = ur_plan_bytes(plan);
    ur_plan_free(plan);
    ur_tape_free(tape);
    return bytes;
}

/* Both lie where they lay before: a step more is a flag of its mask and a number of columns. */
START_TEST(states_in_place)
{
    const size_t step = (bytes_forward(400) - bytes_forward(200)) / 200;
    ck_assert_uint_le(step, 8);
}
END_TEST

/* ---- tapes without a network */

static char *explain_tape(ur_tape *tape, bool reference)
{
    ur_plan *plan = ur_plan_new(tape, &(ur_plan_options){.reference = reference});
    assert_good(tape, "plan");
    char *text = explain(plan);
    ur_plan_free(plan);
    ur_tape_free(tape);
    return text;
}

/* A sum of all elements is an instruction of the program that makes them, and sums keep their parentheses where a result
 * lies in the place of its operand. */
START_TEST(total)
{
    ur_tape *tape = new_tape(UR_F32);
    ur_var x[STEPS], loss[STEPS], h = ur_input(tape, "h0", UR_SHAPE(M, BATCH));
    ur_inputs(tape, "x", UR_SHAPE(M, BATCH), STEPS, x);
    for (int t = 0; t < STEPS; t++) {
        ur_step(tape, t + 1);
        h = ur_name(ur_tanh(ur_add(ur_matmul(ur_param(tape, "W", UR_SHAPE(M, M)), h), x[t])), "h");
        loss[t] = ur_sum(ur_square(ur_sub(h, x[t])));
    }
    ur_step(tape, 0);
    ur_keep(ur_name(ur_total(STEPS, loss), "loss"));
    ur_keep(ur_name(ur_exp(ur_one_minus(ur_add(h, ur_neg(h)))), "e"));
    char *text = explain_tape(tape, false);
    has(text, "      loss += sum((h - x)^2)\n");
    has(text, "e = exp(1 - (h[12] + (-h[12])))\n");
    ck_assert_int_eq(count(text, "sum over the columns"), 0);
    free(text);
}
END_TEST

/* A tape with so many scalar operations, other ones in every step. */
static ur_tape *scalars(int64_t steps, int operations)
{
    ur_tape *tape = new_tape(UR_F64);
    ur_var v = ur_input(tape, "a", UR_SCALAR);
    for (int64_t t = 1; t <= steps; t++) {
        ur_step(tape, t);
        for (int i = 0; i < operations; i++)
            v = (i + t) % 3 == 0 ? ur_tanh(v) : (i * t) % 3 == 1 ? ur_add(v, v) : ur_mul(v, v);
    }
    ur_step(tape, 0);
    ur_keep(v);
    return tape;
}

/* Rows of a product that was made for all steps at once, or of one's own: the first are others in each step. */
static ur_tape *sliced(bool ahead)
{
    enum { T = 12, ROWS = 3, COLUMNS = 20 };
    ur_tape *tape = new_tape(UR_F64);
    ur_var W = ur_param(tape, "W", UR_SHAPE(ROWS, 2)), U = ur_param(tape, "U", UR_SHAPE(ROWS, ROWS));
    ur_var all = ur_matmul(W, ur_input(tape, "x", UR_SHAPE(2, (int64_t)T * COLUMNS)));
    ur_var h = ur_const(tape, UR_SHAPE(ROWS, COLUMNS), 0);
    for (int64_t t = 1; t <= T; t++) {
        ur_step(tape, t);
        const ur_var own = ur_slice(all, 1, ahead ? (t - 1) * COLUMNS : 0, COLUMNS);
        h = ur_tanh(ur_add(own, ur_matmul(U, h)));
    }
    ur_step(tape, 0);
    ur_keep(h);
    return tape;
}

START_TEST(tapes)
{
    char *text = explain_tape(scalars(3, 4), false);
    has(text, "not rolled: step ");
    has(text, "no batch\n");
    has(text, "tanh(");
    free(text);
    text = explain_tape(sliced(true), false);
    has(text, "not rolled: step 7: slice differs from the step before in its shape, constants or number of operands\n");
    free(text);
    text = explain_tape(sliced(false), false);
    ck_assert_ptr_null(strstr(text, "not rolled"));
    free(text);
    text = explain_tape(scalars(1, 5000), false);
    has(text, " instructions on ");
    free(text);
    text = explain_tape(scalars(2, 4), true);
    has(text, "reference execution: 9 nodes one by one in f64\n");
    free(text);
    ur_tape *tape = new_tape(UR_F64);
    ur_var x = ur_input(tape, "x", UR_SHAPE(4, 30));
    ur_keep(ur_name(ur_softmax(x), "p"));
    text = explain_tape(tape, false);
    has(text, "operation: p = softmax(x); alone: its rows depend on each other\n");
    free(text);
    ck_assert(!ur_plan_explain(NULL, stdout));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("explain");
    TCase *all = tcase_create("all");
    tcase_add_test(all, lstm);
    tcase_add_test(all, rnn);
    tcase_add_test(all, output_twice);
    tcase_add_test(all, step_twice);
    tcase_add_test(all, shared_part);
    tcase_add_test(all, bytes_in_all);
    tcase_add_test(all, composed_and_shipped);
    tcase_add_test(all, networks);
    tcase_add_test(all, one_loop);
    tcase_add_test(all, saved_bytes);
    tcase_add_test(all, states_in_place);
    tcase_add_test(all, total);
    tcase_add_test(all, tapes);
    return run_cases(suite, all);
}
