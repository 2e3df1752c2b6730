/* model.c - parameters in files, and models: parameters together with what it takes to record the network again. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../graph/support.h"
#include "optim.h"

/* ---- parameters */

bool ur_params_to_arrays(ur_tape *tape, ur_arrays *set, ur_error *error)
{
    ur_var param;
    const char *name;
    ur_array_type type = ur_tape_dtype(tape) == UR_F32 ? UR_ARRAY_F32 : UR_ARRAY_F64;
    for (size_t k = 0; ur_param_at(tape, k, &param, &name, NULL); k++) {
        ur_node node;
        const void *data = ur_leaf(param);
        if (!data || !ur_look(param, &node))
            return ur__fail(error, "%s", ur_tape_error(tape));
        ur_array *array = ur_arrays_add(set, name, type, node.shape.rank, node.shape.size, error);
        if (!array)
            return false;
        memcpy(array->data, data, array->bytes);
    }
    return true;
}

/* The array for a parameter of this shape, or an error that names both. */
static const ur_array *array_for(const ur_arrays *set, const char *path, const char *name, ur_shape shape,
                                 ur_error *error)
{
    const ur_array *array = ur_arrays_find(set, name);
    char text[UR_SHAPE_TEXT], found[UR_ARRAY_TEXT];
    bool same = array && array->rank == shape.rank;
    for (int i = 0; same && i < shape.rank; i++)
        same = array->size[i] == shape.size[i];
    if (same)
        return array;
    if (!array)
        ur__fail(error, "%s: the parameter %s%s is missing", path, name, ur_shape_text(shape, text));
    else
        ur__fail(error, "%s: %s%s was found, the parameter is %s%s", path, name, ur_array_shape(array, found), name,
                 ur_shape_text(shape, text));
    return NULL;
}

static bool none_left_over(ur_tape *tape, const ur_arrays *set, const char *path, ur_error *error)
{
    const ur_array *array;
    for (size_t k = 0; (array = ur_arrays_at(set, k)); k++) {
        const char *name = NULL;
        bool known = false;
        for (size_t i = 0; !known && ur_param_at(tape, i, NULL, &name, NULL); i++)
            known = strcmp(name, array->name) == 0;
        if (!known)
            return ur__fail(error, "%s: %s is no parameter of this network", path, array->name);
    }
    return true;
}

bool ur_params_from_arrays(ur_tape *tape, const ur_arrays *set, const char *path, ur_error *error)
{
    ur_var param;
    const char *name;
    for (size_t k = 0; ur_param_at(tape, k, &param, &name, NULL); k++) {
        ur_node node;
        if (!ur_look(param, &node))
            return ur__fail(error, "%s", ur_tape_error(tape));
        const ur_array *array = array_for(set, path, name, node.shape, error);
        if (!array)
            return false;
        double *values = (double *)ur_tape_memory(tape, array->count * sizeof *values);
        if (!values || !ur_array_get(array, values, error) || !ur_write(param, array->count, values))
            return ur__fail(error, "%s", ur_tape_error(tape));
    }
    return none_left_over(tape, set, path, error);
}

/* ---- sizes from parameters */

/* The number of hidden units: a size that is 1 in the network of one unit and 2 in that of two, as the arrays have it. */
static bool find_hidden(ur_tape *one, ur_tape *two, const ur_arrays *set, int64_t *hidden)
{
    ur_var a, b;
    const char *name;
    for (size_t k = 0; ur_param_at(one, k, &a, &name, NULL) && ur_param_at(two, k, &b, NULL, NULL); k++) {
        ur_node small, large;
        const ur_array *array = ur_arrays_find(set, name);
        if (!array || !ur_look(a, &small) || !ur_look(b, &large) || array->rank != small.shape.rank)
            continue;
        for (int i = 0; i < small.shape.rank; i++)
            if (small.shape.size[i] == 1 && large.shape.size[i] == 2) {
                *hidden = array->size[i];
                return true;
            }
    }
    return false;
}

bool ur_sizes_from_arrays(const ur_arrays *set, const char *path, ur_net_options *options, ur_error *error)
{
    ur_net_options probe = *options;
    const ur_array *bo = ur_arrays_find(set, "bo");
    ur_tape *one = ur_tape_new(NULL), *two = ur_tape_new(NULL);
    if (options->out && bo && bo->rank == 1 && bo->size[0] > 0)
        options->outputs = probe.outputs = bo->size[0];
    else if (options->out)
        probe.outputs = 1;
    probe.loss = UR_NO_LOSS;
    probe.hidden = 1;
    bool good = ur_net_new(one, &probe, 1, 1) != NULL;
    probe.hidden = 2;
    good = good && ur_net_new(two, &probe, 1, 1);
    if (!good)
        ur__fail(error, "%s", ur_tape_error(one) ? ur_tape_error(one) : ur_tape_error(two));
    else if (!find_hidden(one, two, set, &options->hidden))
        good = ur__fail(error, "%s: no parameter of the cell %s tells the number of hidden units", path,
                        options->cell->name);
    ur_tape_free(one);
    ur_tape_free(two);
    return good;
}

/* ---- models */

static bool set_number(ur_arrays *set, const char *key, uint64_t number, ur_error *error)
{
    char text[24];
    snprintf(text, sizeof text, "%llu", (unsigned long long)number);
    return ur_arrays_set_text(set, key, text, error);
}

static bool describe(const ur_net_options *o, const ur_model *model, ur_arrays *set, ur_error *error)
{
    return ur_arrays_set_text(set, "format", "unroll model 1", error) &&
           ur_arrays_set_text(set, "cell", o->cell->name, error) && set_number(set, "d", (uint64_t)o->inputs, error) &&
           set_number(set, "m", (uint64_t)o->hidden, error) && set_number(set, "p", (uint64_t)o->outputs, error) &&
           ur_arrays_set_text(set, "hidden_activation", ur_activation_names[o->hidden_activation], error) &&
           ur_arrays_set_text(set, "out", ur_activation_names[o->out], error) &&
           ur_arrays_set_text(set, "loss", ur_loss_names[o->loss], error) &&
           ur_arrays_set_text(set, "reduce", ur_reduction_names[o->reduction], error) &&
           (!model->task || ur_arrays_set_text(set, "task", model->task, error)) &&
           set_number(set, "epoch", (uint64_t)model->epoch, error) && set_number(set, "seed", model->seed, error);
}

bool ur_model_save(const ur_net *net, const ur_model *model, const char *path, ur_error *error)
{
    ur_arrays *set = ur_arrays_new(NULL);
    bool good = set ? describe(&net->options, model, set, error) && ur_params_to_arrays(net->tape, set, error) &&
                          ur_arrays_save(set, path, error)
                    : ur__fail(error, "%s: no memory for the model", path);
    ur_arrays_free(set);
    return good;
}

/* Reading the metadata; `path` stands in the error. */
typedef struct reader {
    const ur_arrays *set;
    const char *path;
    ur_error *error;
    bool failed;
} reader;

static const char *read_text(reader *r, const char *key)
{
    const char *text = ur_arrays_text(r->set, key);
    if (!text && !r->failed) {
        ur__fail(r->error, "%s: a model of unroll was expected, its metadata have no '%s'", r->path, key);
        r->failed = true;
    }
    return text;
}

static int64_t read_number(reader *r, const char *key, int64_t least)
{
    const char *text = read_text(r, key);
    char *end;
    if (!text)
        return least;
    errno = 0;
    long long number = strtoll(text, &end, 10);
    if (errno || end == text || *end || number < least) {
        ur__fail(r->error, "%s: '%s' in the metadata is '%s', a number from %lld was expected", r->path, key, text,
                 (long long)least);
        r->failed = true;
    }
    return number;
}

static unsigned read_choice(reader *r, const char *key, const char *const *choices)
{
    const char *text = read_text(r, key);
    for (unsigned i = 0; text && choices[i]; i++)
        if (strcmp(choices[i], text) == 0)
            return i;
    if (text) {
        ur__fail(r->error, "%s: '%s' in the metadata is '%s', which this version does not know", r->path, key, text);
        r->failed = true;
    }
    return 0;
}

bool ur_model_read(const ur_arrays *set, const char *path, ur_net_options *options, ur_model *model, ur_error *error)
{
    reader r = {.set = set, .path = path, .error = error};
    const char *cell = read_text(&r, "cell");
    *options = (ur_net_options){
        .cell = cell ? ur_cell_find(cell) : NULL,
        .inputs = read_number(&r, "d", 1),
        .hidden = read_number(&r, "m", 1),
        .outputs = read_number(&r, "p", 0),
        .hidden_activation = (ur_activation)read_choice(&r, "hidden_activation", ur_activation_names),
        .out = (ur_activation)read_choice(&r, "out", ur_activation_names),
        .loss = (ur_loss)read_choice(&r, "loss", ur_loss_names),
        .reduction = (ur_reduction)read_choice(&r, "reduce", ur_reduction_names),
    };
    *model = (ur_model){.task = ur_arrays_text(set, "task"),
                        .epoch = read_number(&r, "epoch", 0),
                        .seed = (uint64_t)read_number(&r, "seed", 0)};
    if (!r.failed && !options->cell)
        return ur__fail(error, "%s: the cell '%s' is not one of this version", path, cell);
    return !r.failed;
}
