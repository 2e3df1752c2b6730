/* net_by_hand.h - a network of one layer, RNN or perceptron, its outputs and its loss by loops, and data for it in
 * each way to give targets. Includes Check. */
#ifndef UR_TESTS_NET_BY_HAND_H
#define UR_TESTS_NET_BY_HAND_H

#include <stdlib.h>
#include <string.h>

#include "../optim/optim.h"
#include "random.h"
#include "support.h"

static inline void assert_close(const char *what, double found, double expected, double tolerance)
{
    ck_assert_msg(fabs(found - expected) <= tolerance * fmax(1, fabs(expected)), "%s: %.17g, %.17g was expected", what,
                  found, expected);
}

static inline ur_net *new_net(ur_dtype dtype, const ur_net_options *options, int64_t steps, int64_t batch)
{
    ur_tape *tape = new_tape(dtype);
    ur_net *net = ur_net_new(tape, options, steps, batch);
    ck_assert_msg(net != NULL, "%s", ur_tape_error(tape));
    return net;
}

/* ---- the network by hand */

enum { D = 2, M = 3, P = 3, N = 5, T = 4 };

/* An RNN or, with Wh = 0 and `recurrent` false, a perceptron. */
typedef struct weights {
    bool recurrent;
    double Wi[D][M], Wh[M][M], bh[M], Wo[M][P], bo[P];
} weights;

static inline weights random_weights(bool recurrent, uint64_t seed)
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

static inline void write_weights(ur_tape *tape, const weights *w)
{
    ck_assert(ur_write(ur_find(tape, "Wi", 0), (size_t)D * M, &w->Wi[0][0]));
    if (w->recurrent)
        ck_assert(ur_write(ur_find(tape, "Wh", 0), (size_t)M * M, &w->Wh[0][0]));
    ck_assert(ur_write(ur_find(tape, "bh", 0), M, w->bh));
    ck_assert(ur_write(ur_find(tape, "Wo", 0), (size_t)M * P, &w->Wo[0][0]));
    ck_assert(ur_write(ur_find(tape, "bo", 0), P, w->bo));
}

/* The outputs of sequence n, up to its length. */
static inline void outputs_by_hand(const weights *w, ur_activation out, const ur_data *data, int64_t n, double o[T][P])
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
static inline double target_by_hand(const ur_data *data, int64_t n, int64_t t, int64_t i)
{
    if (data->y_last && data->y_classes)
        return (int)data->y[n] == i;
    if (data->y_last)
        return data->y[n * P + i];
    if (data->y_classes)
        return (int)data->y[n * data->steps + t] == i;
    return data->y[(n * data->steps + t) * P + i];
}

static inline double error_by_hand(ur_loss loss, double p, double y)
{
    if (loss == UR_BCE)
        return -y * log(p) - (1 - y) * log(1 - p);
    if (loss == UR_CE)
        return y != 0 ? -y * log(p) : 0;
    return 0.5 * (p - y) * (p - y);
}

static inline double loss_by_hand(const weights *w, const ur_net_options *options, const ur_data *data)
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

/* ---- data and options */

/* Data whose padding holds NaN. */
typedef struct sample {
    double x[N * T * D], y[N * T * P], weight[N * T];
    int64_t lengths[N];
    ur_data data;
} sample;

static inline void fill_sample(sample *s, uint64_t seed, bool y_last, bool classes, bool weighted)
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

static inline const ur_net_options *options_of(ur_activation out, ur_loss loss, ur_reduction reduction, bool weighted)
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

#endif
