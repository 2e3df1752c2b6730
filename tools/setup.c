/* setup.c - from options to data and networks: what the commands share. */
#include "setup.h"

#include <string.h>

const ur_cell *setup_cell(const char *name)
{
    const ur_cell *cell = ur_cell_find(name);
    const char *names[32] = {NULL};
    if (cell)
        return cell;
    for (size_t i = 0; i < 31 && (cell = ur_cell_at(i)); i++)
        names[i] = cell->name;
    const char *near = nearest(name, names);
    if (near)
        complain("%s: no such cell, did you mean '%s'?", name, near);
    else
        complain("%s: no such cell, see `unroll help`", name);
    return NULL;
}

static const ur_task *find_task(const char *name)
{
    const ur_task *task = ur_task_find(name);
    const char *names[32] = {NULL};
    if (task)
        return task;
    for (size_t i = 0; i < 31 && (task = ur_task_at(i)); i++)
        names[i] = task->name;
    const char *near = nearest(name, names);
    if (near)
        complain("--task: '%s' is no task, did you mean '%s'?", name, near);
    else
        complain("--task: '%s' is no task, see `unroll help`", name);
    return NULL;
}

/* Training seeds are below this one, so a fresh sequence is none that was trained on. */
static const uint64_t fresh_seeds = (uint64_t)1 << 63;

ur_data *setup_data(const options *o, const char *task, bool fresh)
{
    ur_error error = {{0}};
    ur_data *data;
    if (o->data && o->task) {
        complain("--data: the data comes from a file or from --task, not from both");
        return NULL;
    }
    if (o->data) {
        data = ur_data_load(o->data, 0, NULL, &error);
    } else if (task && find_task(task)) {
        ur_task_options drawn = {.count = o->count ? o->count
                                          : fresh  ? 100
                                                   : 0,
                                 .min_length = o->min_length,
                                 .max_length = o->max_length,
                                 .seed = (uint64_t)o->seed | (fresh ? fresh_seeds : 0)};
        data = ur_task_data(task, &drawn, NULL, &error);
    } else {
        if (!task)
            complain("--task: a task or --data FILE was expected, none was given");
        return NULL;
    }
    if (!data)
        complain("%s", error.text);
    return data;
}

static int64_t index_of(const char *const *names, const char *name)
{
    int64_t i = 0;
    while (names[i] && strcmp(names[i], name) != 0)
        i++;
    return names[i] ? i : 0;
}

void setup_override(const options *o, ur_net_options *net)
{
    if (o->out >= 0)
        net->out = (ur_activation)o->out;
    if (o->loss >= 0)
        net->loss = (ur_loss)o->loss;
    if (o->reduce >= 0)
        net->reduction = (ur_reduction)o->reduce;
    if (o->hidden_activation >= 0)
        net->hidden_activation = (ur_activation)o->hidden_activation;
}

bool setup_net_options(const options *o, const ur_cell *cell, const ur_task *task, const ur_data *data,
                       ur_net_options *net)
{
    *net = (ur_net_options){.cell = cell,
                            .inputs = data->inputs,
                            .hidden = o->hidden,
                            .hidden_activation = UR_TANH,
                            .loss = data->y_classes ? UR_CE : UR_MSE,
                            .reduction = UR_PER_SEQUENCE,
                            .weighted = data->weight || data->y_last};
    if (task) {
        net->out = (ur_activation)index_of(ur_activation_names, task->out);
        net->loss = (ur_loss)index_of(ur_loss_names, task->loss);
    }
    setup_override(o, net);
    net->outputs = net->out ? data->outputs : 0;
    if (!o->hidden && net->out) {
        complain("--hidden: the number of hidden units was expected");
        return false;
    }
    if (!o->hidden)
        net->hidden = data->outputs;
    return true;
}
