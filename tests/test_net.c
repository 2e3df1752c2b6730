/* test_net.c - networks against loops by hand: losses with every reduction, target and weight, errors that are
 * counted, the perceptron's gradient, embeddings; and the words for data and sizes that do not fit. */
#include "net_by_hand.h"

/* ---- reductions, targets, weights */

START_TEST(losses_by_hand)
{
    static const struct {
        ur_activation out;
        ur_loss loss;
    } kinds[] = {{UR_SIGMOID, UR_BCE}, {UR_SOFTMAX, UR_CE}, {UR_IDENTITY, UR_MSE}, {UR_SOFTMAX, UR_BCE}};
    bool y_last = _i & 1, classes = _i & 2, weighted = _i & 4;
    weights w = random_weights(true, 3);
    for (int k = 0; k < 4; k++)
        for (int r = UR_SUM_ALL; r <= UR_MEAN_ALL; r++) {
            sample s;
            fill_sample(&s, 7 + (uint64_t)k, y_last, classes, weighted);
            const ur_net_options *o = options_of(kinds[k].out, kinds[k].loss, (ur_reduction)r, y_last || weighted);
            ur_net *net = new_net(UR_F64, o, T + 1, N + 2); /* more room than the data needs */
            write_weights(net->tape, &w);
            ur_score score = {0};
            ck_assert_msg(ur_net_evaluate(net, &s.data, &score), "%s", ur_tape_error(net->tape));
            assert_close("loss", score.loss, loss_by_hand(&w, o, &s.data), 1e-13);
            ur_tape_free(net->tape);
        }
}
END_TEST

/* Its parts under the batch's own divisors make up the loss of the whole. */
START_TEST(losses_in_batches)
{
    weights w = random_weights(true, 5);
    sample s;
    fill_sample(&s, 9, false, false, false);
    for (int r = UR_SUM_ALL; r <= UR_MEAN_ALL; r++)
        for (int batch = 1; batch <= N; batch++) {
            const ur_net_options *o = options_of(UR_SIGMOID, UR_BCE, (ur_reduction)r, false);
            ur_net *net = new_net(UR_F64, o, T, batch);
            write_weights(net->tape, &w);
            ur_score score = {0};
            ck_assert(ur_net_evaluate(net, &s.data, &score));
            assert_close("loss", score.loss, loss_by_hand(&w, o, &s.data), 1e-13);
            ck_assert_int_eq(score.sequences, N);
            ur_tape_free(net->tape);
        }
}
END_TEST

START_TEST(lengths_of_zero_alone)
{
    static const int64_t none[N] = {0};
    sample s;
    fill_sample(&s, 9, false, false, false);
    memcpy(s.lengths, none, sizeof none);
    for (int i = 0; i < N * T * D; i++)
        s.x[i] = NAN;
    for (int r = UR_SUM_ALL; r <= UR_MEAN_ALL; r++) {
        ur_net *net = new_net(UR_F64, options_of(UR_SIGMOID, UR_BCE, (ur_reduction)r, false), T, N);
        ur_score score = {0};
        ck_assert(ur_net_evaluate(net, &s.data, &score));
        ck_assert_double_eq(score.loss, 0);
        ck_assert_int_eq(score.sequences, N);
        ck_assert_int_eq(score.positions, 0);
        ck_assert_int_eq(score.wrong_sequences, 0);
        ur_tape_free(net->tape);
    }
}
END_TEST

/* A position of weight 0 does not count, whatever is there: in f32 the squared error of an output of 1e30 is infinite, and its
 * target may be NaN. The other step has x = 1, h = relu(1 x + 1) = 2, o = 1 h + 1 = 3: the loss is 9/2, its derivative by o
 * is 3, by Wo 3 h, by the net value 3, by Wi 3 x. */
START_TEST(a_position_that_does_not_count)
{
    static const double gradient[] = {3, 3, 6, 3}; /* Wi, bh, Wo, bo */
    double x[] = {1e30, 1}, y[] = {NAN, 0}, weight[] = {0, 1}, value;
    ur_data data = {.n = 1, .steps = 2, .inputs = 1, .outputs = 1, .x = x, .y = _i ? y + 1 : y, .y_last = _i};
    data.weight = _i ? NULL : weight;
    ur_tape *tape = new_tape(UR_F32);
    ur_net *net = ur_net_new(tape,
                             &(ur_net_options){.cell = ur_cell_find("mlp"),
                                               .inputs = 1,
                                               .hidden = 1,
                                               .outputs = 1,
                                               .hidden_activation = UR_RELU,
                                               .out = UR_IDENTITY,
                                               .loss = UR_MSE,
                                               .weighted = true},
                             2, 1);
    size_t count;
    float *theta = (float *)ur_params(tape, &count);
    for (size_t i = 0; i < count; i++)
        theta[i] = 1;
    ur_score score = {0};
    ck_assert(ur_net_evaluate(net, &data, &score));
    ck_assert_double_eq(score.loss, 4.5);
    ck_assert(ur_net_differentiate(net) && ur_net_bind(net, &data, 0, 1));
    ur_plan *plan = ur_plan_new(tape, &(ur_plan_options){.roots = net->params, .root = net->gradient});
    ck_assert(plan && ur_plan_run(plan));
    ck_assert_uint_eq(net->params, 4);
    for (size_t i = 0; i < 4; i++) {
        ck_assert(ur_read(plan, net->gradient[i], 1, &value));
        ck_assert_double_eq(value, gradient[i]);
    }
    ur_plan_free(plan);
    ur_tape_free(tape);
}
END_TEST

/* ---- the score */

typedef struct tally {
    int64_t positions, wrong_positions, wrong_sequences, from_start[T], from_end[T];
} tally;

static tally count_by_hand(const weights *w, ur_activation out, const ur_data *data)
{
    tally c = {0};
    for (int64_t n = 0; n < data->n; n++) {
        double o[T][P];
        int64_t length = data->lengths ? data->lengths[n] : data->steps, wrong = 0;
        outputs_by_hand(w, out, data, n, o);
        for (int64_t t = 0; t < length; t++) {
            bool differs = false;
            int best = o[t][1] > o[t][0] ? 1 : 0;
            if (o[t][2] > o[t][best])
                best = 2;
            if ((data->y_last && t < length - 1) || (data->weight && data->weight[n * T + t] == 0))
                continue;
            for (int i = 0; i < P; i++) {
                bool predicted = out == UR_SOFTMAX ? i == best : o[t][i] >= 0.5;
                differs = differs || predicted != (target_by_hand(data, n, t, i) >= 0.5);
            }
            c.positions++;
            wrong += differs;
            c.from_start[t] += differs;
            c.from_end[length - 1 - t] += differs;
        }
        c.wrong_positions += wrong;
        c.wrong_sequences += wrong > 0;
    }
    return c;
}

/* Positions of weight 0, where there are weights, do not count. */
START_TEST(errors_by_hand)
{
    static const ur_activation outs[] = {UR_SIGMOID, UR_SOFTMAX, UR_IDENTITY};
    bool y_last = _i & 1, classes = _i & 2, weighted = _i & 4;
    int64_t seen = 0, right = 0;
    for (uint64_t seed = 1; seed <= 8; seed++)
        for (int k = 0; k < 3; k++) {
            sample s;
            weights w = random_weights(true, seed);
            fill_sample(&s, seed + 100, y_last, classes, weighted);
            s.weight[1] = s.weight[(size_t)2 * T] = s.weight[(size_t)3 * T + 1] = 0;
            int64_t from_start[T] = {0}, from_end[T] = {0};
            ur_score score = {.from_start = from_start, .from_end = from_end};
            ur_net *net = new_net(UR_F64, options_of(outs[k], UR_MSE, UR_SUM_ALL, y_last || weighted), T, 2);
            write_weights(net->tape, &w);
            ck_assert(ur_net_evaluate(net, &s.data, &score));
            tally c = count_by_hand(&w, outs[k], &s.data);
            ck_assert_int_eq(score.positions, c.positions);
            ck_assert_int_eq(score.wrong_positions, c.wrong_positions);
            ck_assert_int_eq(score.sequences, N);
            ck_assert_int_eq(score.wrong_sequences, c.wrong_sequences);
            ck_assert_mem_eq(from_start, c.from_start, sizeof from_start);
            ck_assert_mem_eq(from_end, c.from_end, sizeof from_end);
            seen += c.wrong_positions;
            right += c.positions - c.wrong_positions;
            ur_tape_free(net->tape);
        }
    ck_assert(seen > 10 && right > 5);
}
END_TEST

/* More columns than are bound and scored at a time, in both types: each sequence many times, in an order of its own. */
START_TEST(many_columns)
{
    enum { TIMES = 19, COLUMNS = TIMES * N };
    sample s;
    int64_t order[COLUMNS], from_start[T] = {0}, from_end[T] = {0};
    weights w = random_weights(true, 3);
    const ur_net_options *o = options_of(_i & 1 ? UR_SOFTMAX : UR_SIGMOID, UR_BCE, UR_SUM_ALL, false);
    fill_sample(&s, 9, false, _i & 1, false);
    tally c = count_by_hand(&w, o->out, &s.data);
    double loss = loss_by_hand(&w, o, &s.data);
    for (int64_t k = 0; k < COLUMNS; k++)
        order[k] = (7 * k) % N;
    s.data.order = order;
    s.data.rows = N;
    s.data.n = COLUMNS;
    ur_net *net = new_net(_i & 2 ? UR_F32 : UR_F64, o, T, COLUMNS + 3);
    write_weights(net->tape, &w);
    ur_score score = {.from_start = from_start, .from_end = from_end};
    ck_assert_msg(ur_net_evaluate(net, &s.data, &score), "%s", ur_tape_error(net->tape));
    assert_close("loss", score.loss, TIMES * loss, _i & 2 ? 1e-5 : 1e-13);
    ck_assert_int_eq(score.positions, TIMES * c.positions);
    ck_assert_int_eq(score.wrong_positions, TIMES * c.wrong_positions);
    ck_assert_int_eq(score.wrong_sequences, TIMES * c.wrong_sequences);
    for (int t = 0; t < T; t++) {
        ck_assert_int_eq(from_start[t], TIMES * c.from_start[t]);
        ck_assert_int_eq(from_end[t], TIMES * c.from_end[t]);
    }
    ur_tape_free(net->tape);
}
END_TEST

/* Exactly 0.5 counts as predicted; of equal outputs of a softmax the first is the largest. */
START_TEST(the_threshold_itself)
{
    static const weights zero = {.recurrent = true};
    for (int target = 0; target < 2; target++)
        for (int k = 0; k < 2; k++) {
            sample s;
            fill_sample(&s, 3, false, false, false);
            for (int i = 0; i < N * T * P; i++)
                s.y[i] = k ? i % P == 2 * target : target;
            ur_net *net = new_net(UR_F64, options_of(k ? UR_SOFTMAX : UR_SIGMOID, UR_MSE, UR_SUM_ALL, false), T, N);
            write_weights(net->tape, &zero);
            ur_score score = {0};
            ck_assert(ur_net_evaluate(net, &s.data, &score));
            ck_assert_int_eq(score.positions, 10);
            ck_assert_int_eq(score.wrong_positions, target == (k ? 0 : 1) ? 0 : 10);
            ck_assert_int_eq(score.wrong_sequences, target == (k ? 0 : 1) ? 0 : 4);
            ur_tape_free(net->tape);
        }
}
END_TEST

/* ---- what does not fit */

static bool takes(ur_net *net, const ur_data *data, int call)
{
    ur_score score = {0};
    switch (call) {
    case 0:
        return ur_net_fits(net, data);
    case 1:
        return ur_net_bind(net, data, 0, 1);
    case 2:
        return ur_net_evaluate(net, data, &score);
    default:
        return ur_trainer_new(net, data, &(ur_train_options){.rate = 1}) != NULL;
    }
}

/* Each call refuses the data by itself, with the same words. */
static void check_misfit(const ur_net_options *options, const ur_data *data, const char *words)
{
    for (int call = 0; call < 4; call++) {
        ur_net *net = new_net(UR_F64, options, T, N);
        ck_assert(!takes(net, data, call));
        assert_refused(net->tape, words);
        ur_tape_free(net->tape);
    }
}

START_TEST(misfits_are_named)
{
    sample s;
    fill_sample(&s, 3, false, false, true);
    const ur_net_options *o = options_of(UR_SIGMOID, UR_BCE, UR_SUM_ALL, false);
    ur_data data = s.data;
    data.weight = NULL;
    ur_net *net = new_net(UR_F64, o, T, N);
    ck_assert(ur_net_fits(net, &data));
    ur_tape_free(net->tape);

    data.inputs = 7;
    check_misfit(o, &data, "rnn: the data has x of 7 features, the network takes 2");
    data.inputs = D;
    data.steps = 9;
    check_misfit(o, &data, "rnn: the data has 9 steps, the network was recorded for 4");
    data.steps = T;
    data.outputs = 1;
    check_misfit(o, &data, "rnn: the data has y of 1 values, the network gives 3");
    data.outputs = P;
    data.y = NULL;
    check_misfit(o, &data, "rnn: the loss needs targets y, the data has none");
    data.y = s.y;
    data.weight = s.weight;
    check_misfit(o, &data, "rnn: the data weighs positions, the network was recorded without weights");
    data.weight = NULL;
    data.y_last = true;
    check_misfit(o, &data, "rnn: the data weighs positions, the network was recorded without weights");
}
END_TEST

START_TEST(sequences_out_of_range)
{
    static const int64_t wrong[][2] = {{0, N + 1}, {-1, 2}, {N, 1}, {3, 3}, {0, -1}, {INT64_MAX, 1}};
    sample s;
    fill_sample(&s, 3, false, false, false);
    for (int k = 0; k < 6; k++) {
        ur_net *net = new_net(UR_F64, options_of(UR_SIGMOID, UR_BCE, UR_SUM_ALL, false), T, N);
        ck_assert(!ur_net_bind(net, &s.data, wrong[k][0], wrong[k][1]));
        assert_refused(net->tape, "ur_net_bind");
        ur_tape_free(net->tape);
    }
}
END_TEST

START_TEST(impossible_networks)
{
    const ur_net_options good = *options_of(UR_SIGMOID, UR_BCE, UR_SUM_ALL, false);
    struct {
        ur_net_options options;
        int64_t steps, batch;
        const char *words;
    } wrong[] = {{good, 0, 1, "at least one step and one sequence were expected, not 0 and 1"},
                 {good, 1, 0, "at least one step and one sequence were expected, not 1 and 0"},
                 {good, -3, 1, "not -3 and 1"},
                 {good, 1, 1, "0 inputs"},
                 {good, 1, 1, "-1 hidden units"},
                 {good, 1, 1, "0 outputs"},
                 {good, 1, 1, "a cell was expected"}};
    wrong[3].options.inputs = 0;
    wrong[4].options.hidden = -1;
    wrong[5].options.outputs = 0;
    wrong[6].options.cell = NULL;
    for (size_t k = 0; k < sizeof wrong / sizeof *wrong; k++) {
        ur_tape *tape = new_tape(UR_F32);
        ck_assert_ptr_null(ur_net_new(tape, &wrong[k].options, wrong[k].steps, wrong[k].batch));
        assert_refused(tape, wrong[k].words);
        ur_tape_free(tape);
    }
}
END_TEST

/* A network without a loss runs; what asks for its loss is refused with words. */
START_TEST(no_loss)
{
    sample s;
    fill_sample(&s, 3, false, false, false);
    s.data.y = NULL;
    s.data.outputs = 0;
    weights w = random_weights(true, 3);
    ur_net *net = new_net(UR_F64, options_of(UR_SIGMOID, UR_NO_LOSS, UR_SUM_ALL, false), T, N);
    write_weights(net->tape, &w);
    ur_plan *plan = ur_plan_new(net->tape, &(ur_plan_options){.roots = T, .root = net->o});
    ck_assert(ur_net_bind(net, &s.data, 0, N));
    ck_assert(ur_plan_run(plan));
    double o[T][P] = {{0}}, found[P * N] = {0};
    outputs_by_hand(&w, UR_SIGMOID, &s.data, 3, o);
    for (int t = 0; t < T; t++) {
        ck_assert(ur_read(plan, net->o[t], (size_t)P * N, found));
        for (int i = 0; i < P; i++)
            assert_close("o", found[i * N + 3], t < 3 ? o[t][i] : 0, 1e-14);
    }
    ur_plan_free(plan);
    ck_assert(!ur_net_differentiate(net));
    assert_refused(net->tape, "loss");
    ur_tape_free(net->tape);
}
END_TEST

START_TEST(training_without_a_loss)
{
    sample s;
    fill_sample(&s, 3, false, false, false);
    ur_net *net = new_net(UR_F64, options_of(UR_SIGMOID, UR_NO_LOSS, UR_SUM_ALL, false), T, N);
    ck_assert_ptr_null(ur_trainer_new(net, &s.data, &(ur_train_options){.rate = 1}));
    assert_refused(net->tape, "loss");
    ur_tape_free(net->tape);
    net = new_net(UR_F64, options_of(UR_SIGMOID, UR_NO_LOSS, UR_SUM_ALL, false), T, N);
    ur_score score = {0};
    ck_assert(!ur_net_evaluate(net, &s.data, &score));
    assert_refused(net->tape, "loss");
    ur_tape_free(net->tape);
}
END_TEST

/* ---- the perceptron */

/* Adds the gradient of the cross-entropy of one position: the net value's is o - y. */
static void perceptron_gradient(const weights *w, const sample *s, int n, int t, const double *o, weights *g)
{
    const double *x = s->x + ((ptrdiff_t)n * T + t) * D, *y = s->y + ((ptrdiff_t)n * T + t) * P;
    for (int i = 0; i < M; i++) {
        double value = w->bh[i], back = 0;
        for (int j = 0; j < D; j++)
            value += w->Wi[j][i] * x[j];
        value = tanh(value);
        for (int j = 0; j < P; j++) {
            back += w->Wo[i][j] * (o[j] - y[j]);
            g->Wo[i][j] += value * (o[j] - y[j]);
        }
        g->bh[i] += back * (1 - value * value);
        for (int j = 0; j < D; j++)
            g->Wi[j][i] += x[j] * back * (1 - value * value);
    }
    for (int j = 0; j < P; j++)
        g->bo[j] += o[j] - y[j];
}

START_TEST(perceptron_by_hand)
{
    weights w = random_weights(false, 17);
    sample s;
    fill_sample(&s, 21, false, false, false);
    ur_net_options o = *options_of(UR_SIGMOID, UR_BCE, UR_SUM_ALL, false);
    o.cell = ur_cell_find("mlp");
    ur_net *net = new_net(UR_F64, &o, T, N);
    ck_assert_uint_eq(net->params, 4);
    ck_assert_uint_eq(ur_find(net->tape, "Wh", 0).index, UR_NONE);
    write_weights(net->tape, &w);
    ck_assert(ur_net_differentiate(net) && ur_net_bind(net, &s.data, 0, N));
    for (int t = 0; t < T; t++)
        ur_keep(net->o[t]);
    for (size_t k = 0; k < 4; k++)
        ur_keep(net->gradient[k]);
    ur_plan *plan = ur_plan_new(net->tape, NULL);
    ck_assert_msg(plan && ur_plan_run(plan), "%s", ur_tape_error(net->tape));

    weights g = {0};
    for (int n = 0; n < N; n++) {
        double out[T][P] = {{0}}, found[P * N] = {0};
        outputs_by_hand(&w, UR_SIGMOID, &s.data, n, out);
        for (int t = 0; t < T; t++) {
            ck_assert(ur_read(plan, net->o[t], (size_t)P * N, found));
            for (int i = 0; i < P; i++)
                assert_close("o", found[i * N + n], t < s.lengths[n] ? out[t][i] : 0, 1e-14);
        }
        for (int t = 0; t < s.lengths[n]; t++)
            perceptron_gradient(&w, &s, n, t, out[t], &g);
    }
    const double *expected[] = {&g.Wi[0][0], g.bh, &g.Wo[0][0], g.bo};
    static const char *const names[] = {"Wi", "bh", "Wo", "bo"};
    static const size_t counts[] = {sizeof g.Wi / sizeof(double), M, sizeof g.Wo / sizeof(double), P};
    for (size_t k = 0; k < 4; k++) {
        const char *name;
        double found[M * P];
        ck_assert(ur_param_at(net->tape, k, NULL, &name, NULL));
        ck_assert_str_eq(name, names[k]);
        ck_assert(ur_read(plan, net->gradient[k], counts[k], found));
        for (size_t i = 0; i < counts[k]; i++)
            assert_close(name, found[i], expected[k][i], 1e-13);
    }
    ur_plan_free(plan);
    ur_tape_free(net->tape);
}
END_TEST

/* Without an output layer the loss is that of the cell's output. */
START_TEST(no_output_layer)
{
    sample s;
    fill_sample(&s, 21, false, false, false);
    weights w = random_weights(true, 17), eye = w;
    for (int i = 0; i < M; i++)
        for (int j = 0; j < P; j++) {
            eye.Wo[i][j] = i == j;
            eye.bo[j] = 0;
        }
    ur_net_options o = *options_of(UR_NO_ACTIVATION, UR_MSE, UR_MEAN_ALL, false), same = o;
    o.outputs = 0;
    same.out = UR_IDENTITY;
    ur_net *net = new_net(UR_F64, &o, T, N);
    ck_assert_int_eq(ur_net_outputs(&o), M);
    ck_assert_uint_eq(net->params, 3);
    ck_assert(ur_write(ur_find(net->tape, "Wi", 0), (size_t)D * M, &w.Wi[0][0]));
    ck_assert(ur_write(ur_find(net->tape, "Wh", 0), (size_t)M * M, &w.Wh[0][0]));
    ck_assert(ur_write(ur_find(net->tape, "bh", 0), M, w.bh));
    ur_score score = {0};
    ck_assert(ur_net_evaluate(net, &s.data, &score));
    assert_close("loss", score.loss, loss_by_hand(&eye, &same, &s.data), 1e-13);
    ur_tape_free(net->tape);
}
END_TEST

/* ---- embeddings */

/* A column is the row of its class; a row's gradient is the sum over the columns that show it: here 2 W for each. */
START_TEST(embedding_of_classes)
{
    enum { CLASSES = 4, UNITS = 3, COLUMNS = 5 };
    static const double numbers[COLUMNS] = {2, 0, 2, 3, 2};
    static const double shown[CLASSES] = {1, 0, 3, 1};
    ur_tape *tape = new_tape(UR_F64);
    ur_var index = ur_input(tape, "class", UR_SHAPE(1, COLUMNS));
    ur_var columns = ur_keep(ur_embedding(tape, "We", CLASSES, UNITS, index));
    ur_var W = ur_param(tape, "We", UR_SHAPE(CLASSES, UNITS)), gradient;
    const size_t table = (size_t)CLASSES * UNITS, result = (size_t)UNITS * COLUMNS;
    double w[CLASSES * UNITS], x[UNITS * COLUMNS], g[CLASSES * UNITS];
    for (int i = 0; i < CLASSES * UNITS; i++)
        w[i] = 0.5 + i;
    ck_assert(ur_grad(ur_sum(ur_square(columns)), 1, &W, &gradient));
    ur_keep(gradient);
    ck_assert(ur_write(W, table, w) && ur_write(index, COLUMNS, numbers));
    ur_plan *plan = ur_plan_new(tape, NULL);
    ck_assert(ur_plan_run(plan) && ur_read(plan, columns, result, x));
    ck_assert(ur_read(plan, gradient, table, g));
    for (int c = 0; c < COLUMNS; c++)
        for (int i = 0; i < UNITS; i++)
            ck_assert_double_eq(x[i * COLUMNS + c], w[(int)numbers[c] * UNITS + i]);
    for (int v = 0; v < CLASSES; v++)
        for (int i = 0; i < UNITS; i++)
            ck_assert_double_eq(g[v * UNITS + i], shown[v] * 2 * w[v * UNITS + i]);
    ur_plan_free(plan);
    ur_tape_free(tape);
}
END_TEST

int main(void)
{
    TCase *cases = tcase_create("net");
    tcase_add_loop_test(cases, losses_by_hand, 0, 8);
    tcase_add_test(cases, losses_in_batches);
    tcase_add_test(cases, lengths_of_zero_alone);
    tcase_add_loop_test(cases, errors_by_hand, 0, 8);
    tcase_add_loop_test(cases, many_columns, 0, 4);
    tcase_add_test(cases, the_threshold_itself);
    tcase_add_test(cases, misfits_are_named);
    tcase_add_test(cases, sequences_out_of_range);
    tcase_add_test(cases, impossible_networks);
    tcase_add_test(cases, no_loss);
    tcase_add_test(cases, training_without_a_loss);
    tcase_add_test(cases, perceptron_by_hand);
    tcase_add_test(cases, no_output_layer);
    tcase_add_test(cases, embedding_of_classes);
    tcase_add_loop_test(cases, a_position_that_does_not_count, 0, 2);
    return run_cases(suite_create("net"), cases);
}
