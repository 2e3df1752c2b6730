/* bind.c - data into a network's inputs, and its outputs against the targets. Files hold sequences batch first, the tape
 * holds a column for each: [N,T,d] becomes T inputs [d,B]. */
#include <math.h>

#include "../graph/support.h"
#include "layers.h"

/* ---- places: n is a row of the data, the number `first` and its followers count in the data's order */

int64_t ur_data_rows(const ur_data *data)
{
    if (!data)
        return 0;
    return data->order && data->rows ? data->rows : data->n;
}

int64_t ur_data_row(const ur_data *data, int64_t k)
{
    return data && data->order ? data->order[k] : k;
}

int64_t ur_data_length(const ur_data *data, int64_t n)
{
    if (!data)
        return 0;
    return data->lengths ? data->lengths[n] : data->steps;
}

/* The first step (from 0) of sequence n that has a target. */
static int64_t first_target(const ur_data *data, int64_t n)
{
    int64_t length = ur_data_length(data, n);
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
    else if (data->n < 1 || data->steps < 1)
        ur_tape_fail(net->tape, "%s: the data has %lld sequences of %lld steps, at least one of each was expected",
                     cell, (long long)data->n, (long long)data->steps);
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

/* The k-th sequence's row. */
static bool row_fits(const ur_net *net, const ur_data *data, int64_t k)
{
    int64_t rows = ur_data_rows(data);
    if (ur_data_row(data, k) >= 0 && ur_data_row(data, k) < rows)
        return true;
    ur_tape_fail(net->tape, "%s: order[%lld] is %lld, the number of a row from 0 to %lld was expected",
                 net->options.cell->name, (long long)k, (long long)ur_data_row(data, k), (long long)rows - 1);
    return false;
}

static bool length_fits(const ur_net *net, const ur_data *data, int64_t n)
{
    int64_t length = ur_data_length(data, n);
    if (length >= 0 && length <= data->steps)
        return true;
    ur_tape_fail(net->tape, "%s: sequence %lld has length %lld, from 0 to %lld was expected", net->options.cell->name,
                 (long long)n, (long long)length, (long long)data->steps);
    return false;
}

static bool classes_fit(const ur_net *net, const ur_data *data, int64_t n)
{
    for (int64_t t = first_target(data, n); t < ur_data_length(data, n); t++) {
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
        if (!row_fits(net, data, k) || !length_fits(net, data, ur_data_row(data, k)) ||
            (classes && !classes_fit(net, data, ur_data_row(data, k))))
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

/* ---- rows
 *
 * Data have a sequence's numbers together, the tape a feature's, those of all columns. Both are gone through in parts of
 * some columns, whose rows are whole cache lines, so that neither side is fetched more than once. */

enum { PART = 32 };

/* Columns first ... first + count - 1 of the network; the first `given` of them have a sequence, of `longest` steps at
 * most. */
typedef struct part {
    int64_t first, count, given, longest;
    int64_t row[PART], length[PART]; /* of each column's sequence in the data, */
    const double *x[PART], *y[PART]; /* and where its first step is */
} part;

/* Numbers of y for one step of a sequence. */
static int64_t target_size(const ur_data *data)
{
    return data->y_classes ? 1 : data->outputs;
}

/* The part from column c on, where sequences `first` ... `first + count - 1` are bound. */
static part part_of(const ur_net *net, const ur_data *data, int64_t first, int64_t count, int64_t c)
{
    part p = {.first = c, .count = net->batch - c < PART ? net->batch - c : PART};
    for (; p.given < p.count && c + p.given < count; p.given++) {
        int64_t k = p.given, n = ur_data_row(data, first + c + k);
        p.row[k] = n;
        p.length[k] = ur_data_length(data, n);
        p.longest = p.length[k] > p.longest ? p.length[k] : p.longest;
        p.x[k] = data->x + n * data->steps * data->inputs;
        p.y[k] = data->y ? data->y + target_at(data, n, 0) * target_size(data) : NULL;
    }
    return p;
}

/* Writes n numbers of row i, from the part's first column on, and reads those of the columns with a sequence. */
static void put(const ur_net *net, const part *p, ur_var leaf, int64_t i, int64_t n, const double *values)
{
    ur__put_row(ur_tape_dtype(net->tape), ur_leaf(leaf), (size_t)(i * net->batch + p->first), (size_t)n, values);
}

static void get(const ur_net *net, const part *p, const void *from, int64_t i, double *values)
{
    ur__get_row(ur_tape_dtype(net->tape), from, (size_t)(i * net->batch + p->first), (size_t)p->given, values);
}

/* The targets of output i at step t (from 0). */
static void targets(const ur_data *data, const part *p, int64_t t, int64_t i, double *values)
{
    int64_t at = (data->y_last ? 0 : t) * target_size(data) + (data->y_classes ? 0 : i);
    for (int64_t k = 0; k < p->given; k++)
        values[k] = data->y_classes ? p->y[k][at] == (double)i : p->y[k][at];
}

/* ---- inputs */

static double weight(const ur_data *data, int64_t n, int64_t t)
{
    if (data->y_last && t != ur_data_length(data, n) - 1)
        return 0;
    return data->weight ? data->weight[n * data->steps + t] : 1;
}

static void bind_alive(const ur_net *net, const part *p, int64_t t)
{
    double values[PART];
    for (int64_t k = 0; k < p->count; k++)
        values[k] = k < p->given && t < p->length[k];
    put(net, p, net->alive[t], 0, p->count, values);
}

/* Every input at step t (from 0) that data has. Where all of the part's sequences have ended, and in columns without
 * one, inputs keep what they hold: it counts for nothing. */
static void bind_step(const ur_net *net, const ur_data *data, const part *p, int64_t t)
{
    double values[PART];
    for (int64_t i = 0; i < data->inputs; i++) {
        for (int64_t k = 0; k < p->given; k++)
            values[k] = p->x[k][t * data->inputs + i];
        put(net, p, net->x[t], i, p->given, values);
    }
    if (!net->y || !data->y)
        return;
    for (int64_t i = 0; i < data->outputs; i++) {
        targets(data, p, t, i, values);
        put(net, p, net->y[t], i, p->given, values);
    }
    if (!net->weight)
        return;
    for (int64_t k = 0; k < p->given; k++)
        values[k] = weight(data, p->row[k], t);
    put(net, p, net->weight[t], 0, p->given, values);
}

/* The columns' rows, which dropout's masks depend on. */
static void bind_numbers(const ur_net *net, const part *p)
{
    double values[PART];
    for (int64_t k = 0; k < p->given; k++)
        values[k] = (double)p->row[k];
    put(net, p, net->sequences, 0, p->given, values);
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
            lengths += (double)ur_data_length(data, ur_data_row(data, k));
        return lengths > 0 ? 1 / (lengths * (double)ur_net_outputs(&net->options)) : 0;
    }
    return 1;
}

bool ur_net_bind(ur_net *net, const ur_data *data, int64_t first, int64_t count)
{
    if (!net || !sizes_fit(net, data, net->options.loss) || !batch_fits(net, data, first, count, "ur_net_bind") ||
        !sequences_fit(net, data, first, count))
        return false;
    net->binds++;
    for (int64_t c = 0; c < net->batch; c += PART) {
        part p = part_of(net, data, first, count, c);
        if (net->sequences.tape)
            bind_numbers(net, &p);
        for (int64_t t = 0; t < net->steps; t++)
            bind_alive(net, &p, t);
        for (int64_t t = 0; t < p.longest; t++)
            bind_step(net, data, &p, t);
    }
    if (net->options.loss) {
        double value = factor(net, data, first, count);
        ur_write(net->factor, 1, &value);
    }
    return !ur_tape_error(net->tape);
}

/* ---- score */

/* Which columns' outputs o at step t are not what the targets say: the predicted set differs from the target's. */
static void compare_sets(const ur_net *net, const ur_data *data, const part *p, const void *o, int64_t t, bool *wrong)
{
    double out[PART], target[PART];
    for (int64_t k = 0; k < p->given; k++)
        wrong[k] = false;
    for (int64_t i = 0; i < data->outputs; i++) {
        get(net, p, o, i, out);
        targets(data, p, t, i, target);
        for (int64_t k = 0; k < p->given; k++)
            wrong[k] |= (out[k] >= 0.5) != (target[k] >= 0.5);
    }
}

/* The same where the predicted set is the largest output alone, the first of equal ones. */
static void compare_largest(const ur_net *net, const ur_data *data, const part *p, const void *o, int64_t t,
                            bool *wrong)
{
    double out[PART], target[PART], most[PART];
    int64_t set[PART] = {0};    /* outputs in the target's set */
    bool right[PART] = {false}; /* is the largest so far in it? */
    for (int64_t i = 0; i < data->outputs; i++) {
        get(net, p, o, i, out);
        targets(data, p, t, i, target);
        for (int64_t k = 0; k < p->given; k++) {
            bool in = target[k] >= 0.5, larger = i == 0 || out[k] > most[k];
            set[k] += in;
            most[k] = larger ? out[k] : most[k];
            right[k] = larger ? in : right[k];
        }
    }
    for (int64_t k = 0; k < p->given; k++)
        wrong[k] = !right[k] || set[k] != 1;
}

/* Adds the errors of a part at step t; wrongs[k] counts those of a sequence. */
static bool score_step(const ur_net *net, ur_plan *plan, const ur_data *data, const part *p, int64_t t,
                       int64_t wrongs[PART], ur_score *score)
{
    bool wrong[PART];
    const void *o = ur_value(plan, net->o[t]);
    if (!o)
        return false;
    (net->options.out == UR_SOFTMAX ? compare_largest : compare_sets)(net, data, p, o, t, wrong);
    for (int64_t k = 0; k < p->given; k++) {
        if (t >= p->length[k] || weight(data, p->row[k], t) == 0)
            continue;
        score->positions++;
        wrongs[k] += wrong[k];
        if (score->from_start)
            score->from_start[t] += wrong[k];
        if (score->from_end)
            score->from_end[p->length[k] - 1 - t] += wrong[k];
    }
    return true;
}

bool ur_net_score(const ur_net *net, ur_plan *plan, const ur_data *data, int64_t first, int64_t count, ur_score *score)
{
    if (!net || !plan || !sizes_fit(net, data, true) || !batch_fits(net, data, first, count, "ur_net_score") ||
        !sequences_fit(net, data, first, count))
        return false;
    if (!score) {
        ur_tape_fail(net->tape, "ur_net_score: a ur_score to add to was expected, there is none");
        return false;
    }
    for (int64_t c = 0; c < count; c += PART) {
        part p = part_of(net, data, first, count, c);
        int64_t wrongs[PART] = {0};
        for (int64_t t = 0; t < p.longest; t++)
            if (!score_step(net, plan, data, &p, t, wrongs, score))
                return false;
        for (int64_t k = 0; k < p.given; k++) {
            score->wrong_positions += wrongs[k];
            score->wrong_sequences += wrongs[k] > 0;
            score->sequences++;
        }
    }
    return true;
}
