/* test_net.c - networks and their training against loops by hand: losses and reductions, errors, the perceptron, initial
 * values, gradient descent, model files. */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../optim/optim.h"
#include "temporary.h"

static double draw(uint64_t *state) /* uniform in -1..1, Marsaglia's xorshift */
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return (double)(*state >> 11) / 4503599627370496.0 - 1;
}

static void assert_close(const char *what, double found, double expected, double tolerance)
{
    ck_assert_msg(fabs(found - expected) <= tolerance * fmax(1, fabs(expected)), "%s: %.17g, %.17g was expected", what,
                  found, expected);
}

static void assert_refused(const ur_tape *tape, const char *words)
{
    const char *error = ur_tape_error(tape);
    ck_assert_msg(error != NULL, "'%s' was expected, there is no error", words);
    ck_assert_msg(strstr(error, words) != NULL, "'%s' was expected in '%s'", words, error);
}

static ur_tape *new_tape(ur_dtype dtype)
{
    ur_tape *tape = ur_tape_new(&(ur_tape_options){.dtype = dtype});
    ck_assert_ptr_nonnull(tape);
    return tape;
}

static ur_net *new_net(ur_dtype dtype, const ur_net_options *options, int64_t steps, int64_t batch)
{
    ur_tape *tape = new_tape(dtype);
    ur_net *net = ur_net_new(tape, options, steps, batch);
    ck_assert_msg(net != NULL, "%s", ur_tape_error(tape));
    return net;
}

/* ---- a network and its loss by hand */

enum { D = 2, M = 3, P = 3, N = 5, T = 4 };

/* An RNN or, with Wh = 0 and `recurrent` false, a perceptron. */
typedef struct weights {
    bool recurrent;
    double Wi[D][M], Wh[M][M], bh[M], Wo[M][P], bo[P];
} weights;

static weights random_weights(bool recurrent, uint64_t seed)
{
    weights w = {.recurrent = recurrent};
    for (int i = 0; i < M; i++) {
        for (int j = 0; j < D; j++)
            w.Wi[j][i] = draw(&seed);
        for (int j = 0; j < M; j++)
            w.Wh[j][i] = 0.5 * draw(&seed);
        for (int j = 0; j < P; j++)
            w.Wo[i][j] = draw(&seed);
        w.bh[i] = 0.3 * draw(&seed);
    }
    for (int j = 0; j < P; j++)
        w.bo[j] = 0.3 * draw(&seed);
    return w;
}

static void write_weights(ur_tape *tape, const weights *w)
{
    ck_assert(ur_write(ur_find(tape, "Wi", 0), (size_t)D * M, &w->Wi[0][0]));
    if (w->recurrent)
        ck_assert(ur_write(ur_find(tape, "Wh", 0), (size_t)M * M, &w->Wh[0][0]));
    ck_assert(ur_write(ur_find(tape, "bh", 0), M, w->bh));
    ck_assert(ur_write(ur_find(tape, "Wo", 0), (size_t)M * P, &w->Wo[0][0]));
    ck_assert(ur_write(ur_find(tape, "bo", 0), P, w->bo));
}

/* The outputs of sequence n, up to its length. */
static void outputs_by_hand(const weights *w, ur_activation out, const ur_data *data, int64_t n, double o[T][P])
{
    double h[M] = {0}, next[M];
    for (int64_t t = 0; t < (data->lengths ? data->lengths[n] : data->steps); t++) {
        double sum = 0;
        for (int i = 0; i < M; i++) {
            next[i] = w->bh[i];
            for (int j = 0; j < D; j++)
                next[i] += w->Wi[j][i] * data->x[(n * data->steps + t) * D + j];
            for (int j = 0; j < M && w->recurrent; j++)
                next[i] += w->Wh[j][i] * h[j];
        }
        for (int i = 0; i < M; i++)
            h[i] = tanh(next[i]);
        for (int i = 0; i < P; i++) {
            o[t][i] = w->bo[i];
            for (int j = 0; j < M; j++)
                o[t][i] += w->Wo[j][i] * h[j];
            sum += exp(o[t][i]);
        }
        for (int i = 0; i < P && out != UR_IDENTITY; i++)
            o[t][i] = out == UR_SOFTMAX ? exp(o[t][i]) / sum : 1 / (1 + exp(-o[t][i]));
    }
}

/* The target of output i at step t, for each of the four ways to give it. */
static double target_by_hand(const ur_data *data, int64_t n, int64_t t, int64_t i)
{
    if (data->y_last && data->y_classes)
        return (int)data->y[n] == i;
    if (data->y_last)
        return data->y[n * P + i];
    if (data->y_classes)
        return (int)data->y[n * data->steps + t] == i;
    return data->y[(n * data->steps + t) * P + i];
}

static double error_by_hand(ur_loss loss, double p, double y)
{
    if (loss == UR_BCE)
        return -y * log(p) - (1 - y) * log(1 - p);
    if (loss == UR_CE)
        return y != 0 ? -y * log(p) : 0;
    return 0.5 * (p - y) * (p - y);
}

static double loss_by_hand(const weights *w, const ur_net_options *options, const ur_data *data)
{
    double loss = 0, positions = 0;
    for (int64_t n = 0; n < data->n; n++) {
        double o[T][P];
        int64_t length = data->lengths ? data->lengths[n] : data->steps;
        positions += (double)length;
        outputs_by_hand(w, options->out, data, n, o);
        for (int64_t t = data->y_last && length ? length - 1 : 0; t < length; t++) {
            double e = 0;
            for (int i = 0; i < P; i++)
                e += error_by_hand(options->loss, o[t][i], target_by_hand(data, n, t, i));
            loss += e * (data->weight ? data->weight[n * data->steps + t] : 1);
        }
    }
    if (options->reduction == UR_PER_SEQUENCE)
        return loss / (double)data->n;
    return options->reduction == UR_MEAN_ALL ? loss / (positions * P) : loss;
}

/* Data whose padding holds NaN. */
typedef struct sample {
    double x[N * T * D], y[N * T * P], weight[N * T];
    int64_t lengths[N];
    ur_data data;
} sample;

static void fill_sample(sample *s, uint64_t seed, bool y_last, bool classes, bool weighted)
{
    static const int64_t lengths[N] = {4, 0, 1, 3, 2};
    memcpy(s->lengths, lengths, sizeof lengths);
    s->data = (ur_data){.n = N,
                        .steps = T,
                        .inputs = D,
                        .outputs = P,
                        .x = s->x,
                        .y = s->y,
                        .y_last = y_last,
                        .y_classes = classes,
                        .lengths = s->lengths,
                        .weight = weighted ? s->weight : NULL};
    for (int i = 0; i < N * T * P; i++)
        s->y[i] = NAN;
    for (int n = 0; n < N; n++)
        for (int t = 0; t < T; t++) {
            bool alive = t < lengths[n];
            double more[P];
            for (int i = 0; i < D; i++)
                s->x[(n * T + t) * D + i] = alive ? draw(&seed) : NAN;
            s->weight[n * T + t] = alive ? 1 + draw(&seed) : NAN;
            for (int i = 0; i < P; i++)
                more[i] = draw(&seed) > 0;
            size_t at = (size_t)(y_last ? n : n * T + t);
            if (!alive)
                continue;
            if (classes)
                s->y[at] = (double)(int)(1.5 * (draw(&seed) + 1));
            else
                memcpy(&s->y[at * P], more, sizeof more);
        }
}

static const ur_net_options *options_of(ur_activation out, ur_loss loss, ur_reduction reduction, bool weighted)
{
    static ur_net_options o;
    o = (ur_net_options){.cell = ur_cell_find("rnn"),
                         .inputs = D,
                         .hidden = M,
                         .outputs = P,
                         .out = out,
                         .loss = loss,
                         .reduction = reduction,
                         .weighted = weighted};
    return &o;
}

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

static void check_misfit(const ur_net_options *options, const ur_data *data, const char *words)
{
    ur_net *net = new_net(UR_F64, options, T, N);
    ur_score score = {0};
    ck_assert(!ur_net_fits(net, data));
    assert_refused(net->tape, words);
    ck_assert(!ur_net_bind(net, data, 0, 1));
    ck_assert(!ur_net_evaluate(net, data, &score));
    ck_assert_ptr_null(ur_trainer_new(net, data, &(ur_train_options){.rate = 1}));
    ur_tape_free(net->tape);
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
    assert_refused(net->tape, "");
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

/* ---- initial values */

static void check_moments(ur_init rule, int64_t rows, int64_t columns)
{
    ur_tape *tape = new_tape(UR_F64);
    ur_var W = ur_param(tape, "W", UR_SHAPE(rows, columns));
    ck_assert(ur_params_init(tape, rule, 5));
    const double *w = (const double *)ur_leaf(W);
    double n = (double)(rows * columns), average = (double)(rows + columns) / 2, variance = 1 / average;
    double bound = sqrt(3 / average), largest = 0, m1 = 0, m2 = 0, m4 = 0, next = 0;
    for (int64_t i = 0; i < rows * columns; i++) {
        largest = fmax(largest, fabs(w[i]));
        m1 += w[i] / n;
        m2 += w[i] * w[i] / n;
        m4 += w[i] * w[i] * w[i] * w[i] / n;
        next += i ? w[i] * w[i - 1] / n : 0;
    }
    double kurtosis = rule == UR_GLOROT_UNIFORM ? 1.8 : 3; /* E w^4 / variance^2; five standard errors */
    double eighth = rule == UR_GLOROT_UNIFORM ? 9 : 105;   /* E w^8 / variance^4 */
    ck_assert_double_eq_tol(m1, 0, 5 * sqrt(variance / n));
    ck_assert_double_eq_tol(m2 / variance, 1, 5 * sqrt((kurtosis - 1) / n));
    ck_assert_double_eq_tol(m4 / variance / variance, kurtosis, 5 * sqrt((eighth - kurtosis * kurtosis) / n));
    ck_assert_double_eq_tol(next / variance, 0, 5 / sqrt(n));
    if (rule == UR_GLOROT_UNIFORM)
        ck_assert(largest < bound && largest > bound * (1 - 20 / n));
    else
        ck_assert(largest > 1.5 * bound);
    ur_tape_free(tape);
}

/* In f32 the squared error of an output of 1e30 is infinite; at a position that does not count it does not matter. The
 * last step gives o = relu(1 * 1 + 1) * 1 + 1 = 3 and the loss 9/2. */
START_TEST(an_infinite_loss_that_does_not_count)
{
    double x[] = {1e30, 1}, y[] = {0};
    ur_data data = {.n = 1, .steps = 2, .inputs = 1, .outputs = 1, .x = x, .y = y, .y_last = true};
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
    ur_tape_free(tape);
}
END_TEST

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

START_TEST(glorots_moments)
{
    check_moments(UR_GLOROT_UNIFORM, 150, 250);
    check_moments(UR_GLOROT_UNIFORM, 400, 30);
    check_moments(UR_GLOROT_NORMAL, 150, 250);
    check_moments(UR_GLOROT_NORMAL, 30, 400);
}
END_TEST

/* A number depends on seed, name and place alone: neither on the order of declaration nor on what else there is. */
START_TEST(initial_values_depend_on_names)
{
    ur_tape *one = new_tape(UR_F64), *other = new_tape(UR_F64), *single = new_tape(UR_F32);
    ur_var a = ur_param(one, "A", UR_SHAPE(3, 4)), b = ur_param(one, "B", UR_SHAPE(3, 4));
    ur_param(other, "C", UR_SHAPE(7, 7));
    ur_var v = ur_param(other, "v", UR_SHAPE(12)), b2 = ur_param(other, "B", UR_SHAPE(3, 4));
    ur_var a2 = ur_param(other, "A", UR_SHAPE(3, 4)), a3 = ur_param(single, "A", UR_SHAPE(3, 4));
    for (int i = 0; i < 12; i++)
        ((double *)ur_leaf(v))[i] = 1 + i;
    ck_assert(ur_params_init(one, UR_GLOROT_UNIFORM, 8) && ur_params_init(other, UR_GLOROT_UNIFORM, 8) &&
              ur_params_init(single, UR_GLOROT_UNIFORM, 8));
    ck_assert_mem_eq(ur_leaf(a), ur_leaf(a2), 12 * sizeof(double));
    ck_assert_mem_eq(ur_leaf(b), ur_leaf(b2), 12 * sizeof(double));
    int equal = 0;
    for (int i = 0; i < 12; i++) {
        ck_assert(((double *)ur_leaf(v))[i] == 0);
        ck_assert(((float *)ur_leaf(a3))[i] == (float)((double *)ur_leaf(a))[i]);
        equal += ((double *)ur_leaf(a))[i] == ((double *)ur_leaf(b))[i];
    }
    ck_assert_int_eq(equal, 0);
    ck_assert(ur_params_init(other, UR_GLOROT_UNIFORM, 9));
    for (int i = 0; i < 12; i++)
        equal += ((double *)ur_leaf(a))[i] == ((double *)ur_leaf(a2))[i];
    ck_assert_int_eq(equal, 0);
    ur_tape_free(one);
    ur_tape_free(other);
    ur_tape_free(single);
}
END_TEST

/* ---- gradient descent */

/* A linear problem: o = Wo^T (Wi^T x + bh) + bo with squared errors, trained by hand. */
enum { LN = 5, LT = 2, LD = 2, LM = 2, LP = 2 };

typedef struct linear {
    double Wi[LD][LM], bh[LM], Wo[LM][LP], bo[LP];
} linear;

typedef struct linear_data {
    double x[LN][LT][LD], y[LN][LT][LP];
    int64_t lengths[LN];
    ur_data data;
} linear_data;

static void fill_linear(linear_data *l, linear *theta)
{
    static const int64_t lengths[LN] = {2, 1, 2, 0, 1};
    uint64_t seed = 77;
    for (int n = 0; n < LN; n++)
        for (int t = 0; t < LT; t++)
            for (int i = 0; i < LD; i++) {
                l->x[n][t][i] = draw(&seed);
                l->y[n][t][i] = draw(&seed);
            }
    memcpy(l->lengths, lengths, sizeof lengths);
    l->data = (ur_data){.n = LN,
                        .steps = LT,
                        .inputs = LD,
                        .outputs = LP,
                        .x = &l->x[0][0][0],
                        .y = &l->y[0][0][0],
                        .lengths = l->lengths};
    for (size_t i = 0; i < sizeof *theta / sizeof(double); i++)
        ((double *)theta)[i] = draw(&seed);
}

/* One step on sequences first ... first + count - 1; returns their summed loss. */
static double descend_by_hand(const linear_data *l, int first, int count, double rate, double factor, linear *theta)
{
    linear g = {0};
    double loss = 0;
    for (int n = first; n < first + count; n++)
        for (int t = 0; t < l->lengths[n]; t++) {
            double h[LM], e[LP];
            for (int i = 0; i < LM; i++)
                h[i] = theta->bh[i] + theta->Wi[0][i] * l->x[n][t][0] + theta->Wi[1][i] * l->x[n][t][1];
            for (int i = 0; i < LP; i++) {
                e[i] = theta->bo[i] + theta->Wo[0][i] * h[0] + theta->Wo[1][i] * h[1] - l->y[n][t][i];
                loss += 0.5 * e[i] * e[i];
                g.bo[i] += e[i];
            }
            for (int i = 0; i < LM; i++) {
                double back = theta->Wo[i][0] * e[0] + theta->Wo[i][1] * e[1];
                g.bh[i] += back;
                for (int j = 0; j < 2; j++) {
                    g.Wo[i][j] += h[i] * e[j];
                    g.Wi[j][i] += l->x[n][t][j] * back;
                }
            }
        }
    for (size_t i = 0; i < sizeof g / sizeof(double); i++)
        ((double *)theta)[i] -= rate * factor * ((const double *)&g)[i];
    return loss;
}

static ur_net *linear_net(ur_dtype dtype, ur_reduction reduction, int batch, const linear *theta)
{
    ur_net_options o = {.cell = ur_cell_find("mlp"),
                        .inputs = LD,
                        .hidden = LM,
                        .outputs = LP,
                        .hidden_activation = UR_IDENTITY,
                        .out = UR_IDENTITY,
                        .loss = UR_MSE,
                        .reduction = reduction};
    ur_net *net = new_net(dtype, &o, LT, batch);
    ck_assert(ur_write(ur_find(net->tape, "Wi", 0), (size_t)LD * LM, &theta->Wi[0][0]));
    ck_assert(ur_write(ur_find(net->tape, "bh", 0), LM, theta->bh));
    ck_assert(ur_write(ur_find(net->tape, "Wo", 0), (size_t)LM * LP, &theta->Wo[0][0]));
    ck_assert(ur_write(ur_find(net->tape, "bo", 0), LP, theta->bo));
    return net;
}

/* Parameters are declared in the order of the struct. */
static void assert_theta(ur_net *net, const linear *theta, double tolerance)
{
    size_t count;
    const void *found = ur_params(net->tape, &count);
    ck_assert_uint_eq(count, sizeof *theta / sizeof(double));
    for (size_t i = 0; i < count; i++)
        assert_close("theta",
                     ur_tape_dtype(net->tape) == UR_F32 ? (double)((const float *)found)[i]
                                                        : ((const double *)found)[i],
                     ((const double *)theta)[i], tolerance);
}

static double batch_factor(const linear_data *l, ur_reduction reduction, int first, int count)
{
    double positions = 0;
    for (int n = first; n < first + count; n++)
        positions += (double)l->lengths[n];
    return reduction == UR_SUM_ALL        ? 1
           : reduction == UR_PER_SEQUENCE ? 1 / (double)count
           : positions > 0                ? 1 / (positions * LP)
                                          : 0;
}

/* Full batch and smaller ones, the last of which is ragged; the epoch's loss is that of all sequences. */
static void check_descent(ur_dtype dtype, ur_reduction reduction, int batch, double tolerance)
{
    static const double rate = 0.05;
    linear_data l;
    linear theta;
    fill_linear(&l, &theta);
    ur_net *net = linear_net(dtype, reduction, batch, &theta);
    ur_trainer *trainer = ur_trainer_new(net, &l.data, &(ur_train_options){.rate = rate});
    ck_assert_msg(trainer != NULL, "%s", ur_tape_error(net->tape));
    for (int epoch = 0; epoch < 20; epoch++) {
        ur_score score = {0};
        double loss = 0;
        ck_assert_int_eq(ur_trainer_epoch(trainer, &score), UR_TRAINED);
        for (int first = 0; first < LN; first += batch) {
            int count = LN - first < batch ? LN - first : batch;
            loss += descend_by_hand(&l, first, count, rate, batch_factor(&l, reduction, first, count), &theta);
        }
        assert_close("loss", score.loss, loss * batch_factor(&l, reduction, 0, LN), tolerance);
        assert_theta(net, &theta, tolerance);
        ck_assert_int_eq(score.sequences, LN);
        ck_assert_int_eq(score.positions, 6);
    }
    ur_trainer_free(trainer);
    ur_tape_free(net->tape);
}

START_TEST(descent_by_hand)
{
    for (int r = UR_SUM_ALL; r <= UR_MEAN_ALL; r++)
        for (int batch = 1; batch <= LN + 2; batch++) {
            check_descent(UR_F64, (ur_reduction)r, batch, 1e-12);
            check_descent(UR_F32, (ur_reduction)r, batch, 1e-5);
        }
}
END_TEST

/* Looking at other data between two epochs does not change what is trained on. */
START_TEST(evaluation_between_epochs)
{
    for (int batch = 2; batch <= LN; batch += 3) {
        linear_data l, other;
        linear theta;
        fill_linear(&l, &theta);
        fill_linear(&other, &theta);
        for (int i = 0; i < LN * LT * LD; i++)
            (&other.x[0][0][0])[i] *= -3;
        ur_net *net = linear_net(UR_F64, UR_PER_SEQUENCE, batch, &theta);
        ur_trainer *trainer = ur_trainer_new(net, &l.data, &(ur_train_options){.rate = 0.1});
        for (int epoch = 0; epoch < 3; epoch++) {
            ur_score score = {0}, seen = {0};
            ck_assert_int_eq(ur_trainer_epoch(trainer, &score), UR_TRAINED);
            for (int first = 0; first < LN; first += batch) {
                int count = LN - first < batch ? LN - first : batch;
                descend_by_hand(&l, first, count, 0.1, 1 / (double)count, &theta);
            }
            assert_theta(net, &theta, 1e-12);
            ck_assert(ur_net_evaluate(net, &other.data, &seen));
        }
        ur_trainer_free(trainer);
        ur_tape_free(net->tape);
    }
}
END_TEST

/* ---- until no error is left */

/* Two inputs, two classes on either side of a line; each sequence one step. The errors by hand of o = sigmoid(net). */
enum { CN = 12 };

static int errors_of(const double *theta, double x[CN][2], const double *y)
{
    int wrong = 0;
    for (int n = 0; n < CN; n++) { /* theta: Wi [2,1], bh, Wo [1,1], bo */
        double h = tanh(theta[0] * x[n][0] + theta[1] * x[n][1] + theta[2]), net = theta[3] * h + theta[4];
        wrong += (net >= 0) != (y[n] > 0.5);
    }
    return wrong;
}

static void check_until(int batch)
{
    double x[CN][2], y[CN], before[5];
    uint64_t seed = 5;
    for (int n = 0; n < CN; n++) {
        y[n] = n % 2;
        x[n][0] = draw(&seed) + (n % 2 ? 1.2 : -1.2);
        x[n][1] = draw(&seed);
    }
    ur_data data = {.n = CN, .steps = 1, .inputs = 2, .outputs = 1, .x = &x[0][0], .y = y};
    ur_net_options o = {.cell = ur_cell_find("mlp"),
                        .inputs = 2,
                        .hidden = 1,
                        .outputs = 1,
                        .out = UR_SIGMOID,
                        .loss = UR_BCE,
                        .reduction = UR_MEAN_ALL};
    ur_net *net = new_net(UR_F64, &o, 1, batch);
    size_t count;
    double *theta = (double *)ur_params(net->tape, &count);
    ck_assert_uint_eq(count, 5);
    memcpy(theta, (const double[]){-0.3, 0.9, 0.2, 0.4, -0.3}, sizeof before);
    ur_trainer *trainer = ur_trainer_new(net, &data, &(ur_train_options){.rate = 0.3, .until_zero_errors = true});
    ck_assert_msg(trainer != NULL, "%s", ur_tape_error(net->tape));
    ur_score score = {0};
    int epoch = 0, wrong;
    for (ur_progress progress = UR_TRAINED; progress != UR_FLAWLESS; epoch++) {
        memcpy(before, theta, sizeof before);
        wrong = errors_of(before, x, y);
        progress = ur_trainer_epoch(trainer, &score);
        ck_assert_int_lt(epoch, 1000);
        if (progress == UR_FLAWLESS) { /* no update: these are the weights without errors */
            ck_assert_mem_eq(theta, before, sizeof before);
            ck_assert_int_eq(wrong, 0);
            ck_assert_int_eq(score.wrong_positions, 0);
            ck_assert_int_eq(score.positions, CN);
            double loss = 0;
            for (int n = 0; n < CN; n++) {
                double h = tanh(theta[0] * x[n][0] + theta[1] * x[n][1] + theta[2]);
                double p = 1 / (1 + exp(-theta[3] * h - theta[4]));
                loss -= log(y[n] > 0.5 ? p : 1 - p) / CN;
            }
            assert_close("loss", score.loss, loss, 1e-13);
        } else {
            ck_assert_int_eq(progress, UR_TRAINED);
            ck_assert_int_gt(wrong, 0); /* it ends at the first epoch that it can */
            ck_assert_mem_ne(theta, before, sizeof before);
            if (batch >= CN)
                ck_assert_int_eq(score.wrong_positions, wrong);
        }
    }
    ck_assert_int_gt(epoch, 2);
    memcpy(before, theta, sizeof before); /* and stays there */
    ck_assert_int_eq(ur_trainer_epoch(trainer, &score), UR_FLAWLESS);
    ck_assert_mem_eq(theta, before, sizeof before);
    ur_trainer_free(trainer);
    ur_tape_free(net->tape);
}

START_TEST(until_zero_errors)
{
    check_until(CN);
    check_until(CN + 5);
    check_until(5); /* the last batch is ragged */
    check_until(1);
}
END_TEST

/* With all parameters 0 every output is 0.5, and predicted: right at step 1, wrong at step 2, if that counts. */
START_TEST(until_zero_errors_that_count)
{
    ur_net *net = new_net(UR_F64, options_of(UR_SIGMOID, UR_BCE, UR_SUM_ALL, true), 2, 1);
    ur_data *data = ur_data_new(1, 2, D, P, UR_DATA_WEIGHT, NULL, NULL);
    ck_assert_ptr_nonnull(data);
    data->weight[0] = data->y[0] = data->y[1] = data->y[2] = 1;
    for (int counts = 0; counts < 2; counts++) {
        ur_score score;
        data->weight[1] = counts;
        ur_trainer *trainer = ur_trainer_new(net, data, &(ur_train_options){.rate = 1, .until_zero_errors = true});
        ck_assert_int_eq(ur_trainer_epoch(trainer, &score), counts ? UR_TRAINED : UR_FLAWLESS);
        ck_assert_int_eq(score.positions, 1 + counts);
        ck_assert_int_eq(score.wrong_positions, counts);
        ur_trainer_free(trainer);
    }
    ur_data_free(data);
    ur_tape_free(net->tape);
}
END_TEST

/* ---- what is not finite */

/* Wo = 0 stops the adjoints: with bh huge only Wo's gradient overflows, h_1 times an error of 1000. */
static void check_overflow(ur_dtype dtype, int batch)
{
    linear theta = {.Wi = {{1, 2}, {3, 4}}, .bh = {0.5, dtype == UR_F32 ? 1e37 : 1e307}};
    linear_data l;
    linear scratch;
    fill_linear(&l, &scratch);
    for (int i = 0; i < LN * LT * LP; i++)
        (&l.y[0][0][0])[i] = i % 2 ? 1000 : 0.1;
    ur_net *net = linear_net(dtype, UR_SUM_ALL, batch, &theta);
    ur_trainer *trainer = ur_trainer_new(net, &l.data, &(ur_train_options){.rate = 0.1});
    size_t count;
    const void *parameters = ur_params(net->tape, &count);
    size_t bytes = count * ur_dtype_bytes(dtype);
    char before[sizeof(linear)];
    memcpy(before, parameters, bytes);
    ur_score score = {0};
    ck_assert_int_eq(ur_trainer_epoch(trainer, &score), UR_FAILED);
    ck_assert_str_eq(ur_tape_error(net->tape),
                     "epoch 1: the gradient of Wo, element 3, is -inf; no parameter was changed");
    ck_assert_mem_eq(ur_params(net->tape, &count), before, bytes);
    ck_assert_int_eq(ur_trainer_epoch(trainer, &score), UR_FAILED);
    ur_trainer_free(trainer);
    ur_tape_free(net->tape);
}

START_TEST(an_overflow_changes_nothing)
{
    check_overflow(UR_F64, LN);
    check_overflow(UR_F32, LN);
    check_overflow(UR_F64, 2);
}
END_TEST

START_TEST(nan_in_the_data_changes_nothing)
{
    linear theta;
    linear_data l;
    fill_linear(&l, &theta);
    l.x[2][1][0] = NAN; /* a live position */
    ur_net *net = linear_net(UR_F64, UR_SUM_ALL, LN, &theta);
    ur_trainer *trainer = ur_trainer_new(net, &l.data, &(ur_train_options){.rate = 0.1});
    ur_score score = {0};
    ck_assert_int_eq(ur_trainer_epoch(trainer, &score), UR_FAILED);
    assert_refused(net->tape, "the gradient of Wi, element 0, is");
    assert_theta(net, &theta, 0);
    ur_trainer_free(trainer);
    ur_tape_free(net->tape);
}
END_TEST

/* ---- model files */

/* Not `weighted` and `start`: they belong to the data and to the run, not to the model. */
static void assert_same_options(const ur_net_options *a, const ur_net_options *b)
{
    ck_assert_ptr_eq(a->cell, b->cell);
    ck_assert_int_eq(a->inputs, b->inputs);
    ck_assert_int_eq(a->hidden, b->hidden);
    ck_assert_int_eq(a->outputs, b->outputs);
    ck_assert_int_eq((int)a->hidden_activation, (int)b->hidden_activation);
    ck_assert_int_eq((int)a->out, (int)b->out);
    ck_assert_int_eq((int)a->loss, (int)b->loss);
    ck_assert_int_eq((int)a->reduction, (int)b->reduction);
}

static void check_round_trip(ur_dtype dtype, const ur_net_options *options, ur_model model)
{
    const char *path = temporary_path();
    ur_error error = {{0}};
    ur_net *net = new_net(dtype, options, 2, 1);
    size_t count, again;
    ck_assert(ur_params_init(net->tape, UR_GLOROT_NORMAL, 3));
    void *theta = ur_params(net->tape, &count);
    for (size_t i = 0; i < count; i++) { /* vectors too, and what decimal digits would not keep */
        if (dtype == UR_F64)
            ((double *)theta)[i] += i == 1 ? 5e-324 : i == 2 ? -1e300 : 0.1 * (double)i;
        else
            ((float *)theta)[i] += i == 1 ? 1e-45f : i == 2 ? -1e38f : 0.1f * (float)i;
    }
    ck_assert_msg(ur_model_save(net, &model, path, &error), "%s", error.text);

    ur_arrays *set = ur_arrays_load(path, NULL, &error);
    ck_assert_msg(set != NULL, "%s", error.text);
    ur_net_options found;
    ur_model read;
    ck_assert_msg(ur_model_read(set, path, &found, &read, &error), "%s", error.text);
    assert_same_options(&found, &net->options);
    ck_assert_int_eq(read.epoch, model.epoch);
    ck_assert_uint_eq(read.seed, model.seed);
    if (model.task)
        ck_assert_str_eq(read.task, model.task);
    else
        ck_assert_ptr_null(read.task);
    ur_net *loaded = new_net(dtype, &found, 2, 1);
    ck_assert_msg(ur_params_from_arrays(loaded->tape, set, path, &error), "%s", error.text);
    const void *values = ur_params(loaded->tape, &again);
    ck_assert_uint_eq(again, count);
    ck_assert_mem_eq(values, theta, count * ur_dtype_bytes(dtype));
    ur_arrays_free(set);
    ur_tape_free(loaded->tape);
    ur_tape_free(net->tape);
    ck_assert_int_eq(unlink(path), 0);
}

START_TEST(models_come_back)
{
    static const ur_activation outs[] = {UR_NO_ACTIVATION, UR_IDENTITY, UR_SIGMOID, UR_TANH, UR_SOFTMAX};
    static const ur_loss losses[] = {UR_MSE, UR_NO_LOSS, UR_BCE, UR_MSE, UR_CE};
    for (int k = 0; k < 10; k++) {
        ur_net_options o = *options_of(outs[k % 5], losses[k % 5], (ur_reduction)(k % 3), false);
        o.outputs = o.out ? P : 0;
        o.hidden_activation = k & 1 ? UR_RELU : UR_TANH;
        o.cell = ur_cell_find(k & 2 ? "mlp" : "rnn");
        check_round_trip(k < 5 ? UR_F32 : UR_F64, &o,
                         (ur_model){.task = k & 1 ? "reber" : NULL, .epoch = 1000 + k, .seed = (uint64_t)k});
    }
}
END_TEST

START_TEST(models_keep_large_seeds)
{
    check_round_trip(UR_F32, options_of(UR_SIGMOID, UR_BCE, UR_MEAN_ALL, false),
                     (ur_model){.epoch = INT64_MAX, .seed = UINT64_MAX});
}
END_TEST

/* The arrays of an RNN with d=2, m=3, p=3, except `without`, which becomes `instead`. */
static ur_arrays *model_arrays(const char *without, const char *instead, int64_t rows, int64_t columns)
{
    static const struct {
        const char *name;
        int rank;
        int64_t size[2];
    } parts[] = {{"Wi", 2, {D, M}}, {"Wh", 2, {M, M}}, {"bh", 1, {M}}, {"Wo", 2, {M, P}}, {"bo", 1, {P}}};
    ur_arrays *set = ur_arrays_new(NULL);
    ck_assert_ptr_nonnull(set);
    for (int k = 0; k < 5; k++)
        if (!without || strcmp(parts[k].name, without) != 0) {
            ur_array *array = ur_arrays_add(set, parts[k].name, UR_ARRAY_F64, parts[k].rank, parts[k].size, NULL);
            ck_assert_ptr_nonnull(array);
            for (size_t i = 0; i < array->count; i++)
                ((double *)array->data)[i] = (double)(10 * k) + (double)i;
        }
    if (instead)
        ck_assert_ptr_nonnull(
            ur_arrays_add(set, instead, UR_ARRAY_F64, columns ? 2 : 1, (const int64_t[]){rows, columns}, NULL));
    return set;
}

START_TEST(wrong_parameters_are_named)
{
    static const struct {
        const char *without, *instead;
        int64_t rows, columns;
        const char *words[2];
    } wrong[] = {
        {"Wh", NULL, 0, 0, {"m.safetensors: ", "Wh[3,3] is missing"}},
        {"bo", NULL, 0, 0, {"m.safetensors: ", "bo[3] is missing"}},
        {NULL, "Wphi", 2, 3, {"m.safetensors: ", "Wphi"}},
        {"Wi", "Wi", 3, 2, {"Wi[3,2]", "Wi[2,3]"}},
        {"bh", "bh", 4, 0, {"bh[4]", "bh[3]"}},
        {"bh", "bh", 3, 1, {"bh[3,1]", "bh[3]"}},
        {"Wo", "wo", 3, 3, {"m.safetensors: ", "Wo[3,3] is missing"}},
    };
    ur_error error = {{0}};
    ur_net *net = new_net(UR_F32, options_of(UR_SIGMOID, UR_BCE, UR_SUM_ALL, false), T, 1);
    ur_arrays *right = model_arrays(NULL, NULL, 0, 0);
    ck_assert_msg(ur_params_from_arrays(net->tape, right, "m.safetensors", &error), "%s", error.text);
    ck_assert(((float *)ur_leaf(ur_find(net->tape, "Wo", 0)))[8] == 38);
    size_t bytes = ur_tape_bytes(net->tape);
    for (int k = 0; k < 1000; k++) /* takes no memory of the tape */
        ck_assert(ur_net_from_arrays(net, right, "m.safetensors", &error));
    ck_assert_uint_eq(ur_tape_bytes(net->tape), bytes);
    ur_arrays_free(right);
    for (size_t k = 0; k < sizeof wrong / sizeof *wrong; k++) {
        ur_arrays *set = model_arrays(wrong[k].without, wrong[k].instead, wrong[k].rows, wrong[k].columns);
        error.text[0] = 0;
        ck_assert(!ur_params_from_arrays(net->tape, set, "m.safetensors", &error));
        for (int i = 0; i < 2; i++)
            ck_assert_msg(strstr(error.text, wrong[k].words[i]) != NULL, "'%s' was expected in '%s'", wrong[k].words[i],
                          error.text);
        ck_assert(!ur_params_from_arrays(net->tape, set, "m.safetensors", NULL));
        ck_assert_ptr_null(ur_tape_error(net->tape));
        ur_arrays_free(set);
    }
    ur_tape_free(net->tape);
}
END_TEST

/* The first parameter that would tell the hidden units is named where none does. */
START_TEST(sizes_from_parameters)
{
    ur_error error = {{0}};
    ur_net_options o = *options_of(UR_SIGMOID, UR_BCE, UR_SUM_ALL, false);
    o.hidden = o.outputs = 0;
    ur_arrays *set = model_arrays(NULL, NULL, 0, 0), *flat = ur_arrays_new(NULL);
    ck_assert_msg(ur_sizes_from_arrays(set, "m.safetensors", &o, &error), "%s", error.text);
    ck_assert(o.hidden == M && o.outputs == P && o.inputs == D);
    o.out = UR_NO_ACTIVATION; /* Wo would tell */
    o.layers = 2;
    ck_assert(!ur_sizes_from_arrays(set, "m.safetensors", &o, &error));
    ck_assert_str_eq(error.text, "m.safetensors: the parameter layer0.Wi of the cell rnn is missing");
    error.text[0] = 0;
    o.layers = 1;
    ck_assert_ptr_nonnull(ur_arrays_add(flat, "Wi", UR_ARRAY_F64, 1, (const int64_t[]){6}, NULL));
    ck_assert(!ur_sizes_from_arrays(flat, "m.safetensors", &o, &error));
    ck_assert_str_eq(error.text, "m.safetensors: Wi[6] was found, Wi of the cell rnn has 2 dimensions");
    ur_arrays_free(set);
    ur_arrays_free(flat);
}
END_TEST

START_TEST(wrong_metadata_are_named)
{
    static const struct {
        const char *key, *value, *words;
    } wrong[] = {
        {"cell", "transformer", "transformer"},
        {"d", "0", "'d'"},
        {"m", "three", "'three'"},
        {"p", "-1", "'p'"},
        {"out", "step", "'step'"},
        {"loss", "", "'loss'"},
        {"reduce", "max", "'max'"},
        {"epoch", "1x", "'1x'"},
        {"m", "99999999999999999999", "'m'"},
        {"d", "1000000", "'d' in the metadata is 1000000, the parameters have 2"},
        {"m", "1000000", "'m' in the metadata is 1000000, the parameters have 3"},
        {"p", "1000000", "'p' in the metadata is 1000000, the parameters have 3"},
        {"layers", "1000000", "'layers' in the metadata is 1000000, the file has 5 arrays of sizes up to 3"},
        {"heads", "1000000", "'heads' in the metadata is 1000000, the file has 5 arrays of sizes up to 3"},
        {"cell", "lstm", "the parameter Wkappa of the cell lstm is missing"},
        {"layers", "2", "the parameter layer0.Wi of the cell rnn is missing"},
    };
    ur_error error = {{0}};
    ur_net *net = new_net(UR_F32, options_of(UR_SIGMOID, UR_BCE, UR_SUM_ALL, false), T, 1);
    ur_net_options options;
    ur_model model = {.epoch = 3};
    for (size_t k = 0; k < sizeof wrong / sizeof *wrong; k++) {
        const char *path = temporary_path();
        ck_assert_msg(ur_model_save(net, &model, path, &error), "%s", error.text);
        ur_arrays *set = ur_arrays_load(path, NULL, &error);
        ck_assert_ptr_nonnull(set);
        ck_assert(ur_arrays_set_text(set, wrong[k].key, wrong[k].value, &error));
        ck_assert(!ur_model_read(set, "m.safetensors", &options, &model, &error));
        ck_assert_msg(strstr(error.text, "m.safetensors: ") && strstr(error.text, wrong[k].words),
                      "'%s' was expected in '%s'", wrong[k].words, error.text);
        error.text[0] = 0;
        ur_arrays_free(set);
        ck_assert_int_eq(unlink(path), 0);
    }
    ur_arrays *none = ur_arrays_new(NULL);
    ck_assert(!ur_model_read(none, "m.safetensors", &options, &model, &error));
    ck_assert_ptr_nonnull(strstr(error.text, "a model of unroll was expected"));
    ur_arrays_free(none);
    ur_tape_free(net->tape);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("net");
    TCase *cases = tcase_create("net");
    tcase_set_timeout(cases, 120);
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
    tcase_add_test(cases, glorots_moments);
    tcase_add_test(cases, initial_values_depend_on_names);
    tcase_add_test(cases, descent_by_hand);
    tcase_add_test(cases, evaluation_between_epochs);
    tcase_add_test(cases, until_zero_errors);
    tcase_add_test(cases, until_zero_errors_that_count);
    tcase_add_test(cases, an_overflow_changes_nothing);
    tcase_add_test(cases, nan_in_the_data_changes_nothing);
    tcase_add_test(cases, models_come_back);
    tcase_add_test(cases, embedding_of_classes);
    tcase_add_test(cases, an_infinite_loss_that_does_not_count);
    tcase_add_test(cases, models_keep_large_seeds);
    tcase_add_test(cases, wrong_parameters_are_named);
    tcase_add_test(cases, sizes_from_parameters);
    tcase_add_test(cases, wrong_metadata_are_named);
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
