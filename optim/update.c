/* update.c - one update of the parameters: the gradient is checked, clipped, joined with the weight decay and handed to
 * the optimiser, in blocks of f64 whatever the tape's type is. */
#include <math.h>
#include <string.h>

#include "files.h"
#include "train.h"

/* ---- what is trained */

/* Parameter k begins at `begin` and has `count` elements; neighbours share a range. */
static void add_trained(ur_trainer *t, size_t k, size_t begin, size_t count)
{
    t->root[t->roots++] = t->net->gradient[k];
    if (t->ranges && t->range[t->ranges - 1].end == begin)
        t->range[t->ranges - 1].end += count;
    else
        t->range[t->ranges++] = (ur__range){begin, begin + count};
}

static bool find_trained(ur_trainer *t)
{
    ur_tape *tape = t->net->tape;
    ur_var param;
    const char *name;
    size_t begin;
    t->range = (ur__range *)ur__trainer_memory(t, t->net->params * sizeof *t->range);
    t->root = ur__new_roots(t, t->net->params);
    if (!t->range || !t->root || !ur__freeze_check(tape, t->options.freeze))
        return false;
    for (size_t k = 0; ur_param_at(tape, k, &param, &name, &begin); k++) {
        ur_node node;
        if (!ur_look(param, &node))
            return false;
        if (!ur__frozen(t->options.freeze, name))
            add_trained(t, k, begin, ur_shape_count(node.shape));
    }
    if (!t->ranges)
        ur_tape_fail(tape, "freeze: every parameter is frozen, there is nothing to train");
    return t->ranges > 0;
}

bool ur__update_prepare(ur_trainer *t)
{
    ur_tape *tape = t->net->tape;
    size_t count;
    bool good = find_trained(t);
    ur_params(tape, &count);
    size_t bytes = count * ur_dtype_bytes(ur_tape_dtype(tape));
    good = good && (t->gradient = ur__trainer_memory(t, bytes));
    for (int s = 0; s < t->options.optim->states; s++)
        good = good && (t->state[s] = ur__trainer_memory(t, bytes));
    if (t->options.patience > 0 && t->options.schedule != UR_PLATEAU)
        good = good && (t->best = ur__trainer_memory(t, bytes)) &&
               (t->best_average = ur__trainer_memory(t, t->net->averages * ur__average_bytes(t->net)));
    return good;
}

/* ---- the gradient */

/* Copies the plan's gradients, which lie close together, to the parameters' places. */
static void gather(ur_trainer *t)
{
    size_t bytes = ur_dtype_bytes(ur_tape_dtype(t->net->tape)), roots;
    const char *from = (const char *)ur_plan_roots(t->plan, &roots);
    for (size_t r = 0; r < t->ranges; r++) {
        size_t length = (t->range[r].end - t->range[r].begin) * bytes;
        memcpy((char *)t->gradient + t->range[r].begin * bytes, from, length);
        from += length;
    }
}

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
                 (long long)t->epoch + 1, name, at - start,
                 isnan(value) ? NAN : value); /* printf's -nan tells nothing */
    return false;
}

static bool is_finite(const ur_trainer *t)
{
    ur_dtype dtype = ur_tape_dtype(t->net->tape);
    for (size_t r = 0; r < t->ranges; r++)
        for (size_t i = t->range[r].begin; i < t->range[r].end; i++)
            if (!isfinite(ur__get(dtype, t->gradient, i)))
                return report_gradient(t, i, ur__get(dtype, t->gradient, i));
    return true;
}

static void clip_value(const ur_trainer *t, double most)
{
    ur_dtype dtype = ur_tape_dtype(t->net->tape);
    for (size_t r = 0; r < t->ranges; r++)
        for (size_t i = t->range[r].begin; i < t->range[r].end; i++)
            ur__put(dtype, t->gradient, i, fmax(-most, fmin(most, ur__get(dtype, t->gradient, i))));
}

/* Squares are taken of numbers up to 1, so that no sum overflows. */
static double norm(const ur_trainer *t)
{
    ur_dtype dtype = ur_tape_dtype(t->net->tape);
    double largest = 0, sum = 0;
    for (size_t r = 0; r < t->ranges; r++)
        for (size_t i = t->range[r].begin; i < t->range[r].end; i++)
            largest = fmax(largest, fabs(ur__get(dtype, t->gradient, i)));
    for (size_t r = 0; r < t->ranges && largest > 0; r++)
        for (size_t i = t->range[r].begin; i < t->range[r].end; i++) {
            double part = ur__get(dtype, t->gradient, i) / largest;
            sum += part * part;
        }
    return largest * sqrt(sum);
}

/* Pascanu, Mikolov and Bengio (2013), algorithm 1: g <- g threshold/|g| where |g| > threshold. */
static void clip_norm(const ur_trainer *t, double most)
{
    ur_dtype dtype = ur_tape_dtype(t->net->tape);
    double length = norm(t);
    if (length <= most)
        return;
    for (size_t r = 0; r < t->ranges; r++)
        for (size_t i = t->range[r].begin; i < t->range[r].end; i++)
            ur__put(dtype, t->gradient, i, ur__get(dtype, t->gradient, i) * (most / length));
}

/* ---- the step */

enum { BLOCK = 256 };

/* Elements begin ... begin + n - 1, at most BLOCK of them. */
static void step_block(ur_trainer *t, const ur_update *u, double decay, void *parameters, size_t begin, size_t n)
{
    ur_dtype dtype = ur_tape_dtype(t->net->tape);
    const ur_optim *optim = t->options.optim;
    double theta[BLOCK], g[BLOCK], states[UR_OPTIM_STATES][BLOCK], *state[UR_OPTIM_STATES];
    ur__get_row(dtype, parameters, begin, n, theta);
    ur__get_row(dtype, t->gradient, begin, n, g);
    for (int s = 0; s < optim->states; s++) {
        state[s] = states[s];
        ur__get_row(dtype, t->state[s], begin, n, state[s]);
    }
    for (size_t i = 0; i < n && decay > 0; i++)
        g[i] += decay * theta[i];
    optim->step(u, n, theta, g, state);
    ur__put_row(dtype, parameters, begin, n, theta);
    for (int s = 0; s < optim->states; s++)
        ur__put_row(dtype, t->state[s], begin, n, state[s]);
}

bool ur__update(ur_trainer *t)
{
    const ur_train_options *o = &t->options;
    gather(t);
    if (!is_finite(t))
        return false;
    if (o->clip_value > 0)
        clip_value(t, o->clip_value);
    if (o->clip_norm > 0)
        clip_norm(t, o->clip_norm);
    bool decoupled = o->optim->decoupled;
    ur_update u = {.rate = ur_trainer_rate(t),
                   .decay = decoupled ? o->weight_decay : 0,
                   .momentum = o->momentum,
                   .beta1 = o->beta1,
                   .beta2 = o->beta2,
                   .rho = o->rho,
                   .epsilon = o->epsilon,
                   .count = ++t->updates};
    size_t count;
    void *parameters = ur_params(t->net->tape, &count);
    for (size_t r = 0; r < t->ranges; r++)
        for (size_t i = t->range[r].begin; i < t->range[r].end; i += BLOCK) {
            size_t left = t->range[r].end - i;
            step_block(t, &u, decoupled ? 0 : o->weight_decay, parameters, i, left < BLOCK ? left : BLOCK);
        }
    return true;
}
