/* windows.c - stateful training: the sequences cut into windows of as many steps as the network has. The states after a
 * window are copied to those before the next one, so no gradient flows between them. */
#include <string.h>

#include "train.h"

/* ---- does it fit? */

bool ur__windows_fit(const ur_net *net, const ur_data *data)
{
    if (!net || !data)
        return ur_net_fits(net, data);
    const ur_net_options *o = &net->options;
    ur_net whole = *net;
    whole.steps = data->steps;
    if (o->bidirectional || o->cell->back)
        ur_tape_fail(net->tape,
                     "%s: runs in both directions; stateful training hands on no state that comes from the future",
                     o->cell->name);
    else if (o->start != UR_START_GIVEN)
        ur_tape_fail(net->tape, "%s: stateful training writes the states before each window, start must be given",
                     o->cell->name);
    return !ur_tape_error(net->tape) && ur_net_fits(&whole, data);
}

/* ---- the windows' data */

/* Steps begin ... begin + steps - 1 of every row of values [N,T,width], or NULL. */
static double *cut_values(ur_trainer *t, const ur_data *data, const double *values, int64_t begin, int64_t steps,
                          int64_t width)
{
    size_t piece = (size_t)(steps * width);
    int64_t rows = ur_data_rows(data);
    double *out = (double *)ur__trainer_memory(t, (size_t)rows * piece * sizeof *out);
    for (int64_t n = 0; out && n < rows; n++)
        memcpy(out + (size_t)n * piece, values + (n * data->steps + begin) * width, piece * sizeof *out);
    return out;
}

/* The part of each sequence's length that lies in the window. */
static int64_t *cut_lengths(ur_trainer *t, const ur_data *data, int64_t begin, int64_t steps)
{
    int64_t rows = ur_data_rows(data), *out = (int64_t *)ur__trainer_memory(t, (size_t)rows * sizeof *out);
    for (int64_t n = 0; out && n < rows; n++) {
        int64_t left = ur_data_length(data, n) - begin;
        out[n] = left < 0 ? 0 : left < steps ? left : steps;
    }
    return out;
}

/* The weights; with y_last they are 0 where the sequence does not end in the window: its target stands in another. */
static double *cut_weights(ur_trainer *t, const ur_data *data, int64_t begin, int64_t steps)
{
    if (data->weight && !data->y_last)
        return cut_values(t, data, data->weight, begin, steps, 1);
    int64_t rows = ur_data_rows(data);
    double *out = (double *)ur__trainer_memory(t, (size_t)(rows * steps) * sizeof *out);
    for (int64_t n = 0; out && n < rows; n++) {
        int64_t last = ur_data_length(data, n) - 1;
        if (last >= begin && last < begin + steps)
            out[n * steps + last - begin] = data->weight ? data->weight[n * data->steps + last] : 1;
    }
    return out;
}

static bool cut(ur_trainer *t, const ur_data *data, int64_t begin, int64_t steps, ur_data *out)
{
    *out = *data;
    out->steps = steps;
    out->x = cut_values(t, data, data->x, begin, steps, data->inputs);
    out->lengths = cut_lengths(t, data, begin, steps);
    if (!data->y_last)
        out->y = cut_values(t, data, data->y, begin, steps, data->y_classes ? 1 : data->outputs);
    if (data->weight || data->y_last)
        out->weight = cut_weights(t, data, begin, steps);
    return !ur_tape_error(t->net->tape);
}

ur_data *ur__windows_view(ur_trainer *t, const ur_data *part)
{
    const ur__windows *windows = t->windows;
    ur_data *view = (ur_data *)ur__trainer_memory(t, (size_t)windows->count * sizeof *view);
    for (int64_t w = 0; view && w < windows->count; w++) {
        view[w] = windows->data[w];
        view[w].order = part->order;
        view[w].rows = part->rows;
        view[w].n = part->n;
    }
    return view;
}

int64_t ur__windows_lasting(const ur__windows *windows, const ur_data *view, int64_t first, int64_t count)
{
    int64_t w = windows->count;
    while (--w > 0)
        for (int64_t k = first; k < first + count; k++)
            if (view[w].lengths[view[w].order[k]] > 0)
                return w + 1;
    return 1;
}

/* ---- making */

static size_t bytes_of(const ur_net *net, size_t i)
{
    return ur_shape_count(net->state[i].shape) * ur_dtype_bytes(ur_tape_dtype(net->tape));
}

/* Room for the states before the first window, and for the outputs of all of them. */
static bool add_memory(ur_trainer *t, ur__windows *windows)
{
    const ur_net *net = t->net;
    ur_net *whole = &windows->whole;
    ur_shape o = UR_SHAPE(ur_net_outputs(&net->options), net->batch);
    char name[48]; /* that no other trainer of the network has used */
    snprintf(name, sizeof name, "outputs.%zu", ur_tape_nodes(net->tape));
    windows->start = (void **)ur__trainer_memory(t, net->states * sizeof *windows->start);
    whole->o = (ur_var *)ur__trainer_memory(t, (size_t)whole->steps * sizeof *whole->o);
    if (!windows->start || !whole->o)
        return false;
    for (size_t i = 0; i < net->states; i++)
        windows->start[i] = ur__trainer_memory(t, bytes_of(net, i));
    return ur_inputs(net->tape, name, o, whole->steps, whole->o);
}

ur__windows *ur__windows_new(ur_trainer *t, const ur_data *data)
{
    const ur_net *net = t->net;
    ur__windows *windows = (ur__windows *)ur__trainer_memory(t, sizeof *windows);
    if (!windows)
        return NULL;
    *windows = (ur__windows){.whole = *net, .count = (data->steps - 1) / net->steps + 1};
    windows->whole.steps = data->steps;
    windows->data = (ur_data *)ur__trainer_memory(t, (size_t)windows->count * sizeof *windows->data);
    bool good = windows->data && add_memory(t, windows);
    for (int64_t w = 0; good && w < windows->count; w++) {
        int64_t begin = w * net->steps, left = data->steps - begin;
        good = cut(t, data, begin, left < net->steps ? left : net->steps, &windows->data[w]);
    }
    return good ? windows : NULL;
}

/* ---- between runs */

void ur__windows_begin(const ur__windows *windows)
{
    const ur_net *net = &windows->whole;
    for (size_t i = 0; i < net->states; i++)
        memcpy(windows->start[i], ur_leaf(net->state[i].start), bytes_of(net, i));
}

void ur__windows_end(const ur__windows *windows)
{
    const ur_net *net = &windows->whole;
    for (size_t i = 0; i < net->states; i++)
        memcpy(ur_leaf(net->state[i].start), windows->start[i], bytes_of(net, i));
}

bool ur__windows_hand_on(const ur__windows *windows, const ur_net *net, ur_plan *plan, int64_t w)
{
    size_t bytes = (size_t)(ur_net_outputs(&net->options) * net->batch) * ur_dtype_bytes(ur_tape_dtype(net->tape));
    for (int64_t t = 0; t < windows->data[w].steps; t++) {
        const void *o = ur_value(plan, net->o[t]);
        if (!o)
            return false;
        memcpy(ur_leaf(windows->whole.o[w * net->steps + t]), o, bytes);
    }
    for (size_t i = 0; i < net->states; i++) {
        const void *final = ur_value(plan, net->state[i].final);
        if (!final)
            return false;
        memcpy(ur_leaf(net->state[i].start), final, bytes_of(net, i));
    }
    return true;
}
