/* training.h - what the tests of training share: a small network, data that does not fit it, a training of it, and
 * its gradient by a plan of its own. Includes Check. */
#ifndef UR_TESTS_TRAINING_H
#define UR_TESTS_TRAINING_H

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../optim/optim.h"
#include "random.h"
#include "support.h"
#include "temporary.h"

static inline void assert_near(const char *what, size_t n, const double *found, const double *expected,
                               double tolerance)
{
    for (size_t i = 0; i < n; i++)
        ck_assert_msg(fabs(found[i] - expected[i]) <= tolerance * fmax(1, fabs(expected[i])),
                      "%s, element %zu: %.17g, %.17g was expected", what, i, found[i], expected[i]);
}

/* ---- a small network and data that does not fit it */

enum { N = 7, T = 3, D = 2, M = 3, P = 2, MOST = 64 /* parameters */ };

typedef struct sample {
    double x[N][T][D], y[N][T][P];
    int64_t lengths[N];
    ur_data data;
} sample;

static inline void fill_sample(sample *s)
{
    static const int64_t lengths[N] = {3, 1, 2, 3, 0, 2, 3};
    uint64_t seed = 99;
    for (int n = 0; n < N; n++)
        for (int t = 0; t < T; t++)
            for (int i = 0; i < D; i++) {
                s->x[n][t][i] = draw(&seed);
                s->y[n][t][i] = draw(&seed);
            }
    memcpy(s->lengths, lengths, sizeof lengths);
    s->data = (ur_data){
        .n = N, .steps = T, .inputs = D, .outputs = P, .x = &s->x[0][0][0], .y = &s->y[0][0][0], .lengths = s->lengths};
}

static inline ur_net_options small_options(void)
{
    return (ur_net_options){.cell = ur_cell_find("rnn"),
                            .inputs = D,
                            .hidden = M,
                            .outputs = P,
                            .out = UR_IDENTITY,
                            .loss = UR_MSE,
                            .reduction = UR_SUM_ALL};
}

static inline ur_net *net_over(ur_dtype dtype, ur_net_options options, int64_t steps, int64_t batch)
{
    ur_tape *tape = new_tape(dtype);
    ur_net *net = ur_net_new(tape, &options, steps, batch);
    assert_good(tape, "network");
    ck_assert(ur_params_init(tape, UR_GLOROT_NORMAL, 11));
    return net;
}

static inline ur_net *net_of(ur_dtype dtype, ur_net_options options, int64_t batch)
{
    return net_over(dtype, options, T, batch);
}

static inline ur_net *new_net(int64_t batch)
{
    return net_of(UR_F64, small_options(), batch);
}

static inline ur_trainer *new_trainer(ur_net *net, const ur_data *data, const ur_train_options *options)
{
    ur_trainer *trainer = ur_trainer_new(net, data, options);
    assert_good(net->tape, "trainer");
    ck_assert_ptr_nonnull(trainer);
    return trainer;
}

static inline void train(ur_trainer *trainer, int epochs)
{
    ur_score score;
    for (int i = 0; i < epochs; i++)
        ck_assert_int_eq(ur_trainer_epoch(trainer, &score), UR_TRAINED);
}

static inline void close_training(ur_trainer *trainer, ur_net *net)
{
    ur_trainer_free(trainer);
    ur_tape_free(net->tape);
}

static inline double *theta_of(ur_net *net, size_t *n)
{
    double *theta = (double *)ur_params(net->tape, n);
    ck_assert_uint_le(*n, MOST);
    return theta;
}

/* ---- models in files */

static inline ur_arrays *through_a_file(const ur_trainer *trainer)
{
    const char *path = temporary_path();
    ur_error error = {{0}};
    ck_assert_msg(ur_trainer_save(trainer, &(ur_model){.task = "reber", .seed = 5}, path, &error), "%s", error.text);
    ur_arrays *set = ur_arrays_load(path, NULL, &error);
    ck_assert_msg(set != NULL, "%s", error.text);
    ck_assert_int_eq(unlink(path), 0);
    return set;
}

/* ---- gradients: of a quadratic, and of the network by a plan of its own */

typedef struct problem {
    size_t n;
    double decay; /* L2 */
    ur_net *net;  /* NULL: a quadratic */
    ur_plan *plan;
} problem;

static inline void gradient_of(const problem *p, const double *theta, double *g)
{
    if (p->net) {
        size_t n;
        memcpy(ur_params(p->net->tape, &n), theta, p->n * sizeof *theta);
        ck_assert(ur_plan_run(p->plan));
        memcpy(g, ur_plan_roots(p->plan, &n), p->n * sizeof *g);
    }
    for (size_t i = 0; i < p->n && !p->net; i++)
        g[i] = (0.1 + (double)i) * (theta[i] - 0.3 * (double)(i % 3));
    for (size_t i = 0; i < p->n; i++)
        g[i] += p->decay * theta[i];
}

static inline problem network_problem(const ur_data *data, double decay)
{
    problem p = {.decay = decay, .net = new_net(data->n)};
    ck_assert(ur_net_differentiate(p.net));
    p.plan = ur_plan_new(p.net->tape, &(ur_plan_options){.roots = p.net->params, .root = p.net->gradient});
    ck_assert(ur_net_bind(p.net, data, 0, data->n));
    theta_of(p.net, &p.n);
    return p;
}

static inline void close_problem(problem *p)
{
    ur_plan_free(p->plan);
    ur_tape_free(p->net->tape);
}

/* The gradient, as one step of gradient descent shows it. */
static inline void step_with(const ur_data *data, ur_train_options options, double *g)
{
    ur_net *net = new_net(N);
    size_t n;
    double before[MOST], *theta = theta_of(net, &n);
    memcpy(before, theta, n * sizeof *theta);
    options.rate = 1;
    ur_trainer *trainer = new_trainer(net, data, &options);
    train(trainer, 1);
    for (size_t i = 0; i < n; i++)
        g[i] = before[i] - theta[i];
    close_training(trainer, net);
}

static inline double length_of(size_t n, const double *g)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += g[i] * g[i];
    return sqrt(sum);
}

#endif
