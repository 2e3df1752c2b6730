/* bind.c - data into a network's inputs, and its outputs against the targets. Files hold sequences batch first, the tape
 * holds a column for each: [N,T,d] becomes T inputs [d,B]. */
#include <math.h>

#include "layers.h"

/* ---- places: n is a row of the data, the number `first` and its followers count in the data's order */

static int64_t row(const ur_data *data, int64_t k)
{
    return data->order ? data->order[k] : k;
}

static int64_t length_of(const ur_data *data, int64_t n)
{
    return data->lengths ? data->lengths[n] : data->steps;
}

/* The first step (from 0) of sequence n that has a target. */
static int64_t first_target(const ur_data *data, int64_t n)
{
    int64_t length = length_of(data, n);
    return data->y_last && length > 0 ? length - 1 : 0;
}

static int64_t target_at(const ur_data *data, int64_t n, int64_t t)
{
    return data->y_last ? n : n * data->steps + t;
}

/* ---- does it fit? */

static bool sizes_fit(const ur_net *net, const ur_data *data, bool targets)
{
    const ur_net_options *o = &net->options;
    const char *cell = o->cell->name;
    int64_t outputs = ur_net_outputs(o);
    if (!data || !data->x)
        ur_tape_fail(net->tape, "%s: data with x was expected, there is none", cell);
    else if (data->inputs != o->inputs)
        ur_tape_fail(net->tape, "%s: the data has x of %lld features, the network takes %lld", cell,
                     (long long)data->inputs, (long long)o->inputs);
    else if (data->steps > net->steps)
        ur_tape_fail(net->tape, "%s: the data has %lld steps, the network was recorded for %lld", cell,
                     (long long)data->steps, (long long)net->steps);
    else if (targets && !data->y)
        ur_tape_fail(net->tape, "%s: %s targets y, the data has none", cell,
                     o->loss ? "the loss needs" : "errors are counted by");
    else if (targets && data->outputs != outputs)
        ur_tape_fail(net->tape, "%s: the data has y of %lld values, the network gives %lld", cell,
                     (long long)data->outputs, (long long)outputs);
    else if (o->loss && !o->weighted && (data->weight || data->y_last))
        ur_tape_fail(net->tape, "%s: the data weighs positions, the network was recorded without weights", cell);
    return !ur_tape_error(net->tape);
}

static bool length_fits(const ur_net *net, const ur_data *data, int64_t n)
{
    int64_t length = length_of(data, n);
    if (length >= 0 && length <= data->steps)
        return true;
    ur_tape_fail(net->tape, "%s: sequence %lld has length %lld, from 0 to %lld was expected", net->options.cell->name,
                 (long long)n, (long long)length, (long long)data->steps);
    return false;
}

static bool classes_fit(const ur_net *net, const ur_data *data, int64_t n)
{
    for (int64_t t = first_target(data, n); t < length_of(data, n); t++) {
        double class = data->y[target_at(data, n, t)];
        if (class >= 0 && class < (double)data->outputs && floor(class) == class)
            continue;
        ur_tape_fail(net->tape,
                     "%s: sequence %lld has the class %g at step %lld, an integer from 0 to %lld was expected",
                     net->options.cell->name, (long long)n, class, (long long)t + 1, (long long)data->outputs - 1);
        return false;
    }
    return true;
}

static bool sequences_fit(const ur_net *net, const ur_data *data, int64_t first, int64_t count)
{
    bool classes = data->y && data->y_classes;
    for (int64_t k = first; k < first + count; k++)
        if (!length_fits(net, data, row(data, k)) || (classes && !classes_fit(net, data, row(data, k))))
            return false;
    return true;
}

bool ur_net_fits(const ur_net *net, const ur_data *data)
{
    return net && sizes_fit(net, data, net->options.loss) && sequences_fit(net, data, 0, data->n);
}

static bool batch_fits(const ur_net *net, const ur_data *data, int64_t first, int64_t count, const char *call)
{
    if (first >= 0 && count >= 0 && count <= net->batch && first <= data->n - count)
        return true;
    uint64_t last = (uint64_t)first + (uint64_t)count - 1; /* may be past every number */
    ur_tape_fail(net->tape, "%s: sequences %lld to %lld of %lld do not fit a batch of %lld", call, (long long)first,
                 (long long)last, (long long)data->n, (long long)net->batch);
    return false;
}

/* ---- inputs */

/* The target of output i of sequence n at step t (from 0). */
static double target(const ur_data *data, int64_t n, int64_t t, int64_t i)
{
    int64_t position = target_at(data, n, t);
    if (data->y_classes)
        return data->y[position] == (double)i;
    return data->y[position * data->outputs + i];
}

static double weight(const ur_data *data, int64_t n, int64_t t)
{
    if (data->y_last && t != length_of(data, n) - 1)
        return 0;
    return data->weight ? data->weight[n * data->steps + t] : 1;
}

/* Writes one element in the tape's type. */
static void put(ur_dtype dtype, void *leaf, int64_t i, double value)
{
    if (dtype == UR_F32)
        ((float *)leaf)[i] = (float)value;
    else
        ((double *)leaf)[i] = value;
}

/* Column c of every input at step t (from 0); dead columns keep what they hold. */
static void bind_position(const ur_net *net, const ur_data *data, int64_t n, int64_t c, int64_t t)
{
    ur_dtype dtype = ur_tape_dtype(net->tape);
    void *x = ur_leaf(net->x[t]);
    for (int64_t i = 0; i < data->inputs; i++)
        put(dtype, x, i * net->batch + c, data->x[(n * data->steps + t) * data->inputs + i]);
    if (!net->y || !data->y)
        return;
    void *y = ur_leaf(net->y[t]);
    for (int64_t i = 0; i < data->outputs; i++)
        put(dtype, y, i * net->batch + c, target(data, n, t, i));
    if (net->weight)
        put(dtype, ur_leaf(net->weight[t]), c, weight(data, n, t));
}

/* The columns' rows, which dropout's masks depend on. */
static void bind_numbers(const ur_net *net, const ur_data *data, int64_t first, int64_t count)
{
    void *numbers = net->sequences.tape ? ur_leaf(net->sequences) : NULL;
    for (int64_t c = 0; numbers && c < count; c++)
        put(ur_tape_dtype(net->tape), numbers, c, (double)row(data, first + c));
}

static double factor(const ur_net *net, const ur_data *data, int64_t first, int64_t count)
{
    double lengths = 0;
    switch (net->options.reduction) {
    case UR_SUM_ALL:
        break;
    case UR_PER_SEQUENCE:
        return count ? 1 / (double)count : 0;
    case UR_MEAN_ALL:
        for (int64_t k = first; k < first + count; k++)
            lengths += (double)length_of(data, row(data, k));
        return lengths > 0 ? 1 / (lengths * (double)ur_net_outputs(&net->options)) : 0;
    }
    return 1;
}

bool ur_net_bind(ur_net *net, const ur_data *data, int64_t first, int64_t count)
{
    if (!net || !sizes_fit(net, data, net->options.loss) || !batch_fits(net, data, first, count, "ur_net_bind") ||
        !sequences_fit(net, data, first, count))
        return false;
    ur_dtype dtype = ur_tape_dtype(net->tape);
    net->binds++;
    bind_numbers(net, data, first, count);
    for (int64_t t = 0; t < net->steps; t++) {
        void *alive = ur_leaf(net->alive[t]);
        for (int64_t c = 0; c < net->batch; c++) {
            int64_t n = c < count ? row(data, first + c) : 0;
            put(dtype, alive, c, c < count && t < length_of(data, n));
            if (c < count && t < data->steps)
                bind_position(net, data, n, c, t);
        }
    }
    if (net->options.loss)
        put(dtype, ur_leaf(net->factor), 0, factor(net, data, first, count));
    return !ur_tape_error(net->tape);
}

/* ---- score */

static double output(const ur_net *net, const void *o, int64_t i, int64_t c)
{
    int64_t at = i * net->batch + c;
    return ur_tape_dtype(net->tape) == UR_F32 ? (double)((const float *)o)[at] : ((const double *)o)[at];
}

static int64_t largest(const ur_net *net, const void *o, int64_t c, int64_t outputs)
{
    int64_t best = 0;
    for (int64_t i = 1; i < outputs; i++)
        if (output(net, o, i, c) > output(net, o, best, c))
            best = i;
    return best;
}

static bool position_wrong(const ur_net *net, const void *o, const ur_data *data, int64_t n, int64_t c, int64_t t)
{
    bool choose = net->options.out == UR_SOFTMAX;
    int64_t chosen = choose ? largest(net, o, c, data->outputs) : 0;
    for (int64_t i = 0; i < data->outputs; i++) {
        bool predicted = choose ? i == chosen : output(net, o, i, c) >= 0.5;
        if (predicted != (target(data, n, t, i) >= 0.5))
            return true;
    }
    return false;
}

bool ur_net_score(const ur_net *net, ur_plan *plan, const ur_data *data, int64_t first, int64_t count, ur_score *score)
{
    if (!net || !plan || !sizes_fit(net, data, true) || !batch_fits(net, data, first, count, "ur_net_score"))
        return false;
    for (int64_t c = 0; c < count; c++) {
        int64_t n = row(data, first + c), length = length_of(data, n), wrong = 0;
        for (int64_t t = first_target(data, n); t < length; t++) {
            const void *o = ur_value(plan, net->o[t]);
            if (!o)
                return false;
            bool is_wrong = position_wrong(net, o, data, n, c, t);
            wrong += is_wrong;
            score->positions++;
            if (score->from_start)
                score->from_start[t] += is_wrong;
            if (score->from_end)
                score->from_end[length - 1 - t] += is_wrong;
        }
        score->wrong_positions += wrong;
        score->wrong_sequences += wrong > 0;
        score->sequences++;
    }
    return true;
}
