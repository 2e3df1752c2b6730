/* train.c - gradient descent on a network: theta <- theta - rate * dE/dtheta, over batches of sequences. */
#include <math.h>
#include <string.h>

#include "optim.h"

struct ur_trainer {
    ur_net *net;
    const ur_data *data;
    ur_train_options options;
    ur_plan *plan;               /* gradients, loss, outputs */
    ur_plan *forward;            /* loss and outputs */
    int64_t batch, epoch, bound; /* `bound`: the first sequence of the batch that the inputs hold, -1: none */
};

/* ---- making */

/* Plans the gradients, when wanted, and behind them the loss and every output. */
static ur_plan *plan_of(const ur_net *net, bool gradients)
{
    size_t n = gradients ? net->params : 0, roots = n + 1 + (size_t)net->steps;
    ur_var *root = (ur_var *)ur_tape_memory(net->tape, roots * sizeof *root);
    if (!root)
        return NULL;
    if (n)
        memcpy(root, net->gradient, n * sizeof *root);
    root[n] = net->loss;
    memcpy(root + n + 1, net->o, (size_t)net->steps * sizeof *root);
    return ur_plan_new(net->tape, &(ur_plan_options){.roots = roots, .root = root});
}

ur_trainer *ur_trainer_new(ur_net *net, const ur_data *data, const ur_train_options *options)
{
    if (!ur_net_fits(net, data) || !ur_net_differentiate(net))
        return NULL;
    ur_trainer *trainer = (ur_trainer *)ur_tape_memory(net->tape, sizeof *trainer);
    if (!trainer)
        return NULL;
    *trainer = (ur_trainer){.net = net, .data = data, .options = *options, .batch = net->batch, .bound = -1};
    trainer->plan = plan_of(net, true);
    if (options->until_zero_errors && net->batch < data->n)
        trainer->forward = plan_of(net, false);
    if (ur_tape_error(net->tape)) {
        ur_trainer_free(trainer);
        return NULL;
    }
    return trainer;
}

void ur_trainer_free(ur_trainer *trainer)
{
    if (!trainer)
        return;
    ur_plan_free(trainer->plan);
    ur_plan_free(trainer->forward);
}

/* ---- a batch */

static int64_t batch_count(const ur_trainer *t, int64_t first)
{
    int64_t left = t->data->n - first;
    return left < t->batch ? left : t->batch;
}

/* How much a batch's loss counts in that of all sequences. */
static double share(const ur_trainer *t, int64_t first, int64_t count)
{
    double mine = 0, all = 0;
    switch (t->net->options.reduction) {
    case UR_SUM_ALL:
        return 1;
    case UR_PER_SEQUENCE:
        return (double)count / (double)t->data->n;
    case UR_MEAN_ALL:
        break;
    }
    for (int64_t n = 0; n < t->data->n; n++) {
        double length = (double)(t->data->lengths ? t->data->lengths[n] : t->data->steps);
        all += length;
        mine += n >= first && n < first + count ? length : 0;
    }
    return all > 0 ? mine / all : 0;
}

/* Runs one batch and adds its loss and errors to the score. */
static bool run_batch(ur_trainer *t, ur_plan *plan, int64_t first, ur_score *score)
{
    int64_t count = batch_count(t, first);
    double loss;
    if (t->bound != first && !ur_net_bind(t->net, t->data, first, count))
        return false;
    t->bound = first;
    if (!ur_plan_run(plan) || !ur_read(plan, t->net->loss, 1, &loss))
        return false;
    score->loss += loss * (count < t->data->n ? share(t, first, count) : 1);
    return ur_net_score(t->net, plan, t->data, first, count, score);
}

/* ---- the update */

/* Names the element of the gradient that is no finite number. */
static bool report_gradient(const ur_trainer *t, size_t at, double value)
{
    const char *name = "", *next;
    size_t offset, start = 0;
    for (size_t k = 0; ur_param_at(t->net->tape, k, NULL, &next, &offset) && offset <= at; k++) {
        name = next;
        start = offset;
    }
    ur_tape_fail(t->net->tape, "epoch %lld: the gradient of %s, element %zu, is %g; no parameter was changed",
                 (long long)t->epoch, name, at - start, value);
    return false;
}

static bool descend_f32(const ur_trainer *t, size_t n, float *theta, const float *g)
{
    float rate = (float)t->options.rate;
    for (size_t i = 0; i < n; i++)
        if (!isfinite(g[i]))
            return report_gradient(t, i, (double)g[i]);
    for (size_t i = 0; i < n; i++)
        theta[i] -= rate * g[i];
    return true;
}

static bool descend_f64(const ur_trainer *t, size_t n, double *theta, const double *g)
{
    for (size_t i = 0; i < n; i++)
        if (!isfinite(g[i]))
            return report_gradient(t, i, g[i]);
    for (size_t i = 0; i < n; i++)
        theta[i] -= t->options.rate * g[i];
    return true;
}

static bool descend(const ur_trainer *t)
{
    size_t n, roots;
    void *theta = ur_params(t->net->tape, &n);
    const void *gradient = ur_plan_roots(t->plan, &roots);
    if (ur_tape_dtype(t->net->tape) == UR_F32)
        return descend_f32(t, n, (float *)theta, (const float *)gradient);
    return descend_f64(t, n, (double *)theta, (const double *)gradient);
}

/* ---- an epoch */

/* True, with the score of all sequences under one set of weights, when none has an error. */
static bool flawless(ur_trainer *t, ur_score *score)
{
    *score = (ur_score){0};
    for (int64_t first = 0; first < t->data->n; first += t->batch)
        if (!run_batch(t, t->forward, first, score))
            return false;
    return score->wrong_positions == 0;
}

ur_progress ur_trainer_epoch(ur_trainer *t, ur_score *score)
{
    t->epoch++;
    if (t->forward && flawless(t, score))
        return UR_FLAWLESS;
    *score = (ur_score){0};
    for (int64_t first = 0; first < t->data->n; first += t->batch) {
        if (!run_batch(t, t->plan, first, score))
            return UR_FAILED;
        if (t->options.until_zero_errors && !t->forward && score->wrong_positions == 0)
            return UR_FLAWLESS;
        if (!descend(t))
            return UR_FAILED;
    }
    return UR_TRAINED;
}

size_t ur_trainer_bytes(const ur_trainer *trainer)
{
    return ur_plan_bytes(trainer->plan) + ur_plan_bytes(trainer->forward);
}

bool ur_net_evaluate(ur_net *net, const ur_data *data, ur_score *score)
{
    ur_trainer t = {.net = net, .data = data, .batch = net->batch, .bound = -1};
    bool good = ur_net_fits(net, data) && (t.forward = plan_of(net, false));
    for (int64_t first = 0; good && first < data->n; first += t.batch)
        good = run_batch(&t, t.forward, first, score);
    ur_plan_free(t.forward);
    return good;
}
