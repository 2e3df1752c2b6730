/* setup.c - from options to data and networks: what the commands share. */
#include <float.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "setup.h"

const ur_cell *setup_cell(const char *name)
{
    const ur_cell *cell = ur_cell_find(name);
    const char *names[32] = {NULL};
    if (cell)
        return cell;
    for (size_t i = 0; i < 31 && (cell = ur_cell_at(i)); i++)
        names[i] = cell->name;
    if (access(name, F_OK) == 0)
        complain("%s: is a file or a folder, expected the name of a cell, such as %s", name, names[0]);
    else
        unknown_name("", "cell", name, names);
    return NULL;
}

static const ur_task *find_task(const options *o, const char *name)
{
    const ur_task *task = ur_task_find(name);
    const char *names[32] = {NULL};
    if (task)
        return task;
    for (size_t i = 0; i < 31 && (task = ur_task_at(i)); i++)
        names[i] = task->name;
    unknown_name(o->task ? "--task: " : "", "task", name, names);
    return NULL;
}

/* Training seeds are below this one, so a fresh sequence is none that was trained on. */
static const uint64_t fresh_seeds = (uint64_t)1 << 63;

static bool no_task_options(const options *o)
{
    const char *name = o->task         ? "task"
                       : o->count      ? "count"
                       : o->min_length ? "min-length"
                       : o->max_length ? "max-length"
                                       : NULL;
    if (name)
        complain("--%s: says which data a task draws, but --data %s was given too", name, o->data);
    return !name;
}

static bool lengths_possible(const options *o, const ur_task *task)
{
    int64_t least = o->min_length ? o->min_length : task->min_length;
    if (!o->max_length || o->max_length >= least)
        return true;
    if (o->min_length)
        complain("--max-length: %lld is below --min-length %lld", (long long)o->max_length, (long long)least);
    else
        complain("--max-length: %lld is below %lld, the least length of %s unless --min-length gives another",
                 (long long)o->max_length, (long long)least, task->name);
    return false;
}

static ur_data *draw_data(const options *o, const char *name, bool fresh, ur_error *error)
{
    const ur_task *task = find_task(o, name);
    int64_t count = o->count ? o->count : fresh ? 100 : 0;
    if (!task || !lengths_possible(o, task))
        return NULL;
    return ur_task_data(name,
                        &(ur_task_options){.count = count,
                                           .min_length = o->min_length,
                                           .max_length = o->max_length,
                                           .seed = setup_seed(o) | (fresh ? fresh_seeds : 0)},
                        NULL, error);
}

/* Numbers of a data set and what they must be: finite, from `low` to `high`. */
typedef struct numbers {
    const char *name;
    const double *values;
    int64_t steps, width; /* sizes of the second and third axis [N,steps,width]; 0: it has none */
    double low, high;
    const char *expected;
} numbers;

static const double finite = DBL_MAX;

static void complain_of(const char *path, const numbers *a, int64_t n, int64_t t, int64_t i, double value)
{
    char step[24] = "", column[24] = "";
    if (a->steps)
        snprintf(step, sizeof step, ",%lld", (long long)t);
    if (a->width)
        snprintf(column, sizeof column, ",%lld", (long long)i);
    complain("%s: %s[%lld%s%s] is %g, %s was expected", path, a->name, (long long)n, step, column, printed(value),
             a->expected);
}

/* Numbers past a sequence's length may be anything. */
static bool all_good(const char *path, const ur_data *data, const numbers *a)
{
    int64_t steps = a->steps ? a->steps : 1, width = a->width ? a->width : 1;
    for (int64_t n = 0; a->values && n < data->n; n++) {
        int64_t length = ur_data_length(data, n);
        const double *own = a->values + n * steps * width;
        for (int64_t i = 0; i < (length < steps ? length : steps) * width; i++)
            if (!(own[i] >= a->low && own[i] <= a->high)) {
                complain_of(path, a, n, i / width, i % width, own[i]);
                return false;
            }
    }
    return true;
}

/* The targets from `low` to `high`. Classes are looked at where they are read. */
static bool good_targets(const char *path, const ur_data *data, double low, double high, const char *expected)
{
    const numbers y = {
        "y", data->y_classes ? NULL : data->y, data->y_last ? 0 : data->steps, data->outputs, low, high, expected};
    return all_good(path, data, &y);
}

static ur_data *load_data(const char *path, int64_t classes, ur_error *error)
{
    ur_data *data = ur_data_load(path, classes, NULL, error);
    if (!data)
        return NULL;
    const numbers x = {"x", data->x, data->steps, data->inputs, -finite, finite, "a finite number"},
                  weight = {"weight", data->weight, data->steps, 0, 0, finite, "a finite number from 0"};
    if (all_good(path, data, &x) && good_targets(path, data, -finite, finite, "a finite number") &&
        all_good(path, data, &weight))
        return data;
    ur_data_free(data);
    return NULL;
}

bool setup_targets_fit(const options *o, const ur_net_options *net, const ur_data *data)
{
    if (!o->data || (net->loss != UR_BCE && net->loss != UR_CE))
        return true;
    return net->loss == UR_BCE ? good_targets(o->data, data, 0, 1, "a target of bce from 0 to 1")
                               : good_targets(o->data, data, 0, finite, "a target of ce from 0");
}

ur_data *setup_data(const options *o, const char *task, bool fresh, int64_t classes)
{
    ur_error error = {{0}};
    ur_data *data = NULL;
    if (!o->data && !task)
        complain("--task: no data was given, expected --task NAME or --data FILE");
    else if (!o->data)
        data = draw_data(o, task, fresh, &error);
    else if (no_task_options(o))
        data = load_data(o->data, classes, &error);
    if (error.text[0])
        complain("%s", error.text);
    return data;
}

/* ---- files to write */

/* True for what a file beside it would take the place of: no device, no pipe. */
static bool is_replaced(const char *path)
{
    struct stat status;
    return stat(path, &status) != 0 || S_ISREG(status.st_mode) || S_ISDIR(status.st_mode);
}

static bool writable(const char *path)
{
    ur_error error = {{0}};
    ur_file *file = ur_file_create(path, NULL, &error);
    if (!file)
        complain("%s", error.text);
    ur_file_abandon(file);
    return file != NULL;
}

/* The folder that a path names a file in, and the rest of it: the file's own name. */
static const char *split(const char *path, char folder[PATH_MAX])
{
    const char *slash = strrchr(path, '/');
    size_t length = slash ? (size_t)(slash - path) + 1 : 0;
    snprintf(folder, PATH_MAX, "%.*s", (int)length, length ? path : "");
    return path + length;
}

static bool same_place(const char *a, const char *b)
{
    struct stat x, y;
    return stat(a, &x) == 0 && stat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

/* Do both paths mean one file, whether it is there or not? */
static bool same_file(const char *a, const char *b)
{
    char of_a[PATH_MAX], of_b[PATH_MAX];
    if (same_place(a, b))
        return true;
    return strcmp(split(a, of_a), split(b, of_b)) == 0 && same_place(*of_a ? of_a : ".", *of_b ? of_b : ".");
}

typedef struct named_file {
    const char *option, *path;
} named_file;

/* The other files that the path may not be; a file that is resumed from may be saved to. */
static bool is_free(named_file file, size_t others, const named_file *other)
{
    for (size_t k = 0; k < others; k++) {
        bool goes_on = strcmp(file.option, "save") == 0 && strcmp(other[k].option, "resume") == 0;
        if (other[k].path && !goes_on && same_file(file.path, other[k].path)) {
            complain("--%s: %s is the file of --%s too, expected another one", file.option, file.path, other[k].option);
            return false;
        }
    }
    return true;
}

bool setup_outputs(const options *o)
{
    const named_file read[] = {{"resume", o->resume}, {"data", o->data},       {"weights", o->weights},
                               {"input", o->input},   {"lengths", o->lengths}, {"target", o->target},
                               {"weight", o->weight}, {"state", o->state}},
                     written[] = {{"save", o->save},     {"log", o->log},   {"plot", o->plot},
                                  {"output", o->output}, {"grad", o->grad}, {"state-out", o->state_out}};
    for (size_t i = 0; i < sizeof written / sizeof written[0]; i++) {
        named_file file = written[i];
        if (!file.path || !is_replaced(file.path))
            continue;
        if (o->arguments && same_place(file.path, o->argument[0])) {
            complain("--%s: %s is the file to read, expected another one", file.option, file.path);
            return false;
        }
        if (!is_free(file, sizeof read / sizeof read[0], read) || !is_free(file, i, written) || !writable(file.path))
            return false;
    }
    return true;
}

/* ---- the network's options */

static int64_t index_of(const char *const *names, const char *name)
{
    int64_t i = 0;
    while (names[i] && strcmp(names[i], name) != 0)
        i++;
    return names[i] ? i : 0;
}

/* Does a step of the cell apply this activation? */
static bool activates(const ur_cell *cell, ur_activation activation)
{
    ur_tape *tape = ur_tape_new(NULL);
    ur_net_options one = {.cell = cell, .inputs = 1, .hidden = 1, .hidden_activation = activation};
    ur_node node;
    size_t k = 0, nodes = ur_net_new(tape, &one, 1, 1) ? ur_tape_nodes(tape) : 0;
    while (k < nodes && ur_look(ur_node_at(tape, k), &node) &&
           strcmp(node.op->name, ur_activation_names[activation]) != 0)
        k++;
    ur_tape_free(tape);
    return k < nodes;
}

/* Does every option of the command line mean something to the network? */
static bool options_mean(const options *o, const ur_net_options *net)
{
    const ur_cell *cell = net->cell;
    if (o->heads > 1 && !cell->heads)
        return refuse("--heads: the units of %s are not divided into heads", cell->name);
    if (net->hidden_activation != UR_TANH && !activates(cell, net->hidden_activation))
        return refuse("--hidden-activation: %s has no %s in it", cell->name,
                      ur_activation_names[net->hidden_activation]);
    if (o->dropout > 0 && net->layers <= 1)
        return refuse("--dropout: drops outputs between layers, expected --layers from 2");
    return true;
}

bool setup_override(const options *o, ur_net_options *net)
{
    if (o->out >= 0)
        net->out = (ur_activation)o->out;
    if (o->loss >= 0)
        net->loss = (ur_loss)o->loss;
    if (o->reduce >= 0)
        net->reduction = (ur_reduction)o->reduce;
    if (o->hidden_activation >= 0)
        net->hidden_activation = (ur_activation)o->hidden_activation;
    if (o->layers)
        net->layers = o->layers;
    if (o->heads)
        net->heads = o->heads;
    if (o->bptt)
        net->bptt = o->bptt;
    if (o->dropout > 0)
        net->dropout = o->dropout;
    if (o->recurrent_dropout > 0)
        net->recurrent_dropout = o->recurrent_dropout;
    net->bidirectional |= o->bidirectional;
    net->layer_norm |= o->layer_norm;
    net->batch_norm |= o->batch_norm;
    setup_mask_seed(o, net);
    return options_mean(o, net);
}

void setup_mask_seed(const options *o, ur_net_options *net)
{
    if (net->dropout > 0 || net->recurrent_dropout > 0)
        net->seed = (uint32_t)setup_seed(o);
}

int64_t setup_size(const options *o, const char *name, int64_t otherwise)
{
    size_t length = strlen(name);
    int64_t value = otherwise;
    for (int i = 0; i < o->size_count; i++)
        if (strncmp(o->sizes[i], name, length) == 0 && o->sizes[i][length] == '=')
            value = strtoll(o->sizes[i] + length + 1, NULL, 10);
    return value;
}

bool setup_size_is(const options *o, const char *file, const char *name, int64_t size)
{
    int64_t said = setup_size(o, name, size);
    return said == size || refuse("--size: %s is %lld in %s, not %lld", name, (long long)size, file, (long long)said);
}

bool setup_sizes_known(const options *o, const char *const *names)
{
    for (int i = 0; i < o->size_count; i++) {
        size_t length = strcspn(o->sizes[i], "=");
        const char *const *name = names;
        while (*name && (strncmp(*name, o->sizes[i], length) != 0 || strlen(*name) != length))
            name++;
        if (!*name) {
            complain("--size: there is no size %.*s to set here", (int)length, o->sizes[i]);
            return false;
        }
    }
    int64_t hidden = setup_size(o, "m", o->hidden);
    if (o->hidden && o->hidden != hidden)
        complain("--size: m is %lld, but --hidden gives %lld", (long long)hidden, (long long)o->hidden);
    return !o->hidden || o->hidden == hidden;
}

bool setup_initial(const options *o, ur_tape *tape)
{
    return ur_params_init(tape, o->init > 0 ? (ur_init)o->init : UR_GLOROT_UNIFORM, setup_seed(o)) &&
           setup_forget_bias(o, tape);
}

static bool is_forget_bias(const char *name)
{
    const char *dot = strrchr(name, '.');
    return strcmp(dot ? dot + 1 : name, "bphi") == 0;
}

bool setup_forget_bias(const options *o, ur_tape *tape)
{
    const char *name;
    bool found = false;
    for (size_t k = 0; !found && ur_param_at(tape, k, NULL, &name, NULL); k++)
        found = is_forget_bias(name);
    if (isnan(o->forget_bias))
        return true;
    if (!found)
        ur_tape_fail(tape, "--forget-bias: %s has no forget gate, no bias bphi", o->argument[0]);
    return found && ur_params_fill(tape, "bphi", o->forget_bias);
}

ur_pool *setup_pool(const options *o)
{
    return o->threads > 1 ? ur_pool_new((int)o->threads, NULL) : NULL;
}

uint64_t setup_seed(const options *o)
{
    return o->seed >= 0 ? (uint64_t)o->seed : 1;
}

bool setup_loss_fits(const ur_net_options *net)
{
    bool fits = (net->loss != UR_BCE && net->loss != UR_CE) || net->out == UR_SIGMOID || net->out == UR_SOFTMAX;
    if (!fits)
        complain("--loss: %s takes outputs between 0 and 1, expected --out sigmoid or softmax",
                 ur_loss_names[net->loss]);
    return fits;
}

/* The targets must be there, and as many as the network has outputs. */
static bool targets_fit(const options *o, const ur_net_options *net, const ur_data *data)
{
    int64_t outputs = ur_net_outputs(net);
    if (!data->y)
        complain("%s: has no array y, expected the targets to learn", o->data);
    else if (!net->out && outputs != data->outputs)
        complain("--hidden: without --out the hidden units%s are the outputs, %lld of them, but y has %lld values",
                 outputs > net->hidden ? " of both directions" : "", (long long)outputs, (long long)data->outputs);
    else
        return true;
    return false;
}

/* Without an output layer there are as many hidden units as it takes, in both directions, to give the targets. */
static int64_t units_for(const ur_net_options *net, int64_t outputs)
{
    ur_net_options one = *net;
    one.hidden = 1;
    return outputs / ur_net_outputs(&one) > 0 ? outputs / ur_net_outputs(&one) : 1;
}

bool setup_net_options(const options *o, const ur_cell *cell, const ur_task *task, const ur_data *data,
                       ur_net_options *net)
{
    static const char *const sizes[] = {"d", "m", "p", NULL};
    int64_t hidden = setup_size(o, "m", o->hidden);
    const char *source = o->data ? o->data : "the data";
    if (!setup_sizes_known(o, sizes) || !setup_size_is(o, source, "d", data->inputs) ||
        (data->y && !setup_size_is(o, source, "p", data->outputs)))
        return false;
    *net = (ur_net_options){.cell = cell,
                            .inputs = data->inputs,
                            .hidden = hidden,
                            .hidden_activation = UR_TANH,
                            .loss = data->y_classes ? UR_CE : UR_MSE,
                            .reduction = UR_PER_SEQUENCE,
                            .weighted = data->weight || data->y_last};
    if (task) {
        net->out = (ur_activation)index_of(ur_activation_names, task->out);
        net->loss = (ur_loss)index_of(ur_loss_names, task->loss);
    }
    if (!setup_override(o, net))
        return false;
    net->outputs = net->out ? data->outputs : 0;
    if (!hidden && net->out) {
        complain("--hidden: the number of hidden units is missing, such as --hidden 4");
        return false;
    }
    if (!hidden)
        net->hidden = units_for(net, data->outputs);
    return targets_fit(o, net, data) && setup_loss_fits(net) && setup_targets_fit(o, net, data);
}

bool setup_bare_options(const options *o, ur_loss loss, ur_net_options *net)
{
    enum { FEATURES = 3, UNITS = 4, OUTPUTS = 2 };
    const ur_cell *cell = setup_cell(o->argument[0]);
    if (!cell || !setup_sizes_known(o, (const char *const[]){"d", "m", "p", NULL}))
        return false;
    *net = (ur_net_options){.cell = cell,
                            .inputs = setup_size(o, "d", FEATURES),
                            .hidden = setup_size(o, "m", o->hidden ? o->hidden : UNITS),
                            .outputs = o->out > 0 ? setup_size(o, "p", OUTPUTS) : 0,
                            .hidden_activation = UR_TANH,
                            .loss = loss,
                            .reduction = UR_PER_SEQUENCE};
    return setup_override(o, net) && setup_loss_fits(net);
}

static bool has_every_parameter(const ur_net *net, const ur_arrays *file)
{
    const char *name;
    for (size_t k = 0; ur_param_at(net->tape, k, NULL, &name, NULL); k++)
        if (!ur_arrays_find(file, name))
            return false;
    return true;
}

/* A weight of the input has other rows than the input has features. */
static bool misfits_input(const ur_net *net, const ur_arrays *file)
{
    ur_var param;
    const char *name;
    ur_node node;
    for (size_t k = 0; ur_param_at(net->tape, k, &param, &name, NULL) && ur_look(param, &node); k++) {
        const ur_array *array = ur_arrays_find(file, name);
        if (array && array->rank == 2 && node.shape.rank == 2 && node.shape.size[0] == net->options.inputs &&
            node.shape.size[0] != array->size[0])
            return true;
    }
    return false;
}

bool setup_params(const options *o, ur_net *net, const ur_arrays *file)
{
    ur_error error = {{0}};
    const char *path = o->weights ? o->weights : o->argument[0];
    if (ur_net_from_arrays(net, file, path, &error))
        return true;
    if (!net->options.out && ur_arrays_find(file, "Wo") && has_every_parameter(net, file))
        complain("%s: has an output layer Wo, bo, expected --out with its activation", path);
    else if (misfits_input(net, file))
        complain("%s; the input has %lld features", error.text, (long long)net->options.inputs);
    else
        complain("%s", error.text);
    return false;
}
