/* model.c - parameters in files, and models: parameters together with what it takes to record the network again. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "files.h"

/* ---- vectors in the layout of the parameters, each parameter's piece an array of its own */

enum { LONGEST_NAME = 256 };

bool ur__vector_to_arrays(ur_tape *tape, const char *prefix, const void *vector, ur_arrays *set, ur_error *error)
{
    ur_var param;
    const char *name;
    size_t offset;
    ur_array_type type = ur_tape_dtype(tape) == UR_F32 ? UR_ARRAY_F32 : UR_ARRAY_F64;
    for (size_t k = 0; ur_param_at(tape, k, &param, &name, &offset); k++) {
        ur_node node;
        char full[LONGEST_NAME];
        if (!ur_look(param, &node))
            return ur__fail(error, "%s", ur_tape_error(tape));
        snprintf(full, sizeof full, "%s%s", prefix, name);
        ur_array *array = ur_arrays_add(set, full, type, node.shape.rank, node.shape.size, error);
        if (!array)
            return false;
        memcpy(array->data, (const char *)vector + offset * ur_dtype_bytes(ur_tape_dtype(tape)), array->bytes);
    }
    return true;
}

bool ur_params_to_arrays(ur_tape *tape, ur_arrays *set, ur_error *error)
{
    size_t count;
    return ur__vector_to_arrays(tape, "", ur_params(tape, &count), set, error);
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

/* Writes `count` numbers of the tape's type. */
static void put(ur_dtype dtype, void *out, size_t count, const double *values)
{
    for (size_t i = 0; i < count; i++)
        if (dtype == UR_F32)
            ((float *)out)[i] = (float)values[i];
        else
            ((double *)out)[i] = values[i];
}

bool ur__vector_from_arrays(ur_tape *tape, const char *prefix, void *vector, const ur_arrays *set, const char *path,
                            ur_error *error)
{
    ur_var param;
    const char *name;
    size_t offset;
    ur_dtype dtype = ur_tape_dtype(tape);
    for (size_t k = 0; ur_param_at(tape, k, &param, &name, &offset); k++) {
        ur_node node;
        char full[LONGEST_NAME];
        if (!ur_look(param, &node))
            return ur__fail(error, "%s", ur_tape_error(tape));
        snprintf(full, sizeof full, "%s%s", prefix, name);
        const ur_array *array = array_for(set, path, full, node.shape, error);
        if (!array)
            return false;
        double *values = (double *)ur_tape_memory(tape, array->count * sizeof *values);
        if (!values)
            return ur__fail(error, "%s", ur_tape_error(tape));
        if (!ur_array_get(array, values, error))
            return false;
        put(dtype, (char *)vector + offset * ur_dtype_bytes(dtype), array->count, values);
    }
    return true;
}

static bool begins_with(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

static bool none_left_over(ur_tape *tape, const ur_arrays *set, const char *path, ur_error *error)
{
    const ur_array *array;
    for (size_t k = 0; (array = ur_arrays_at(set, k)); k++) {
        const char *name = NULL;
        bool known = begins_with(array->name, "optim.") || begins_with(array->name, "average.");
        for (size_t i = 0; !known && ur_param_at(tape, i, NULL, &name, NULL); i++)
            known = strcmp(name, array->name) == 0;
        if (!known)
            return ur__fail(error, "%s: %s is no parameter of this network", path, array->name);
    }
    return true;
}

bool ur_params_from_arrays(ur_tape *tape, const ur_arrays *set, const char *path, ur_error *error)
{
    size_t count;
    return ur__vector_from_arrays(tape, "", ur_params(tape, &count), set, path, error) &&
           none_left_over(tape, set, path, error);
}

/* ---- the running averages of batch normalisation: `average.mean`, `average.layer1.back.variance` */

static const char *average_name(const ur_net_average *average, char text[80])
{
    snprintf(text, 80, "average.%s", average->name);
    return text;
}

static bool averages_to_arrays(const ur_net *net, ur_arrays *set, ur_error *error)
{
    ur_array_type type = ur_tape_dtype(net->tape) == UR_F32 ? UR_ARRAY_F32 : UR_ARRAY_F64;
    for (size_t i = 0; i < net->averages; i++) {
        char name[80];
        ur_array *array =
            ur_arrays_add(set, average_name(&net->average[i], name), type, 1, &net->options.hidden, error);
        if (!array)
            return false;
        memcpy(array->data, ur_leaf(net->average[i].leaf), array->bytes);
    }
    return true;
}

bool ur_net_from_arrays(ur_net *net, const ur_arrays *set, const char *path, ur_error *error)
{
    if (!net)
        return ur__fail_in(error, path, "there is no network to write these parameters to");
    if (!ur_params_from_arrays(net->tape, set, path, error))
        return false;
    for (size_t i = 0; i < net->averages; i++) {
        char name[80];
        average_name(&net->average[i], name);
        const ur_array *array = array_for(set, path, name, UR_SHAPE(net->options.hidden), error);
        double *values = array ? (double *)ur_tape_memory(net->tape, array->count * sizeof *values) : NULL;
        if (!values || !ur_array_get(array, values, error) || !ur_write(net->average[i].leaf, array->count, values))
            return false;
    }
    return true;
}

/* ---- sizes from parameters */

/* The number of hidden units: a size that is `least` in the network of so many units and twice that in the other one,
 * as the arrays have it. */
static bool find_hidden(ur_tape *one, ur_tape *two, int64_t least, const ur_arrays *set, int64_t *hidden)
{
    ur_var a, b;
    const char *name;
    for (size_t k = 0; ur_param_at(one, k, &a, &name, NULL) && ur_param_at(two, k, &b, NULL, NULL); k++) {
        ur_node small, large;
        const ur_array *array = ur_arrays_find(set, name);
        if (!array || !ur_look(a, &small) || !ur_look(b, &large) || array->rank != small.shape.rank)
            continue;
        for (int i = 0; i < small.shape.rank; i++)
            if (small.shape.size[i] == least && large.shape.size[i] == 2 * least) {
                *hidden = array->size[i];
                return true;
            }
    }
    return false;
}

bool ur_sizes_from_arrays(const ur_arrays *set, const char *path, ur_net_options *options, ur_error *error)
{
    if (!options || !options->cell)
        return ur__fail_in(error, path, "a network's options with its cell were expected, there are none");
    ur_net_options probe = *options;
    int64_t least = options->heads > 1 ? options->heads : 1; /* number of units */
    const ur_array *bo = ur_arrays_find(set, "bo");
    ur_tape *one = ur_tape_new(NULL), *two = ur_tape_new(NULL);
    if (options->out && bo && bo->rank == 1 && bo->size[0] > 0)
        options->outputs = probe.outputs = bo->size[0];
    else if (options->out)
        probe.outputs = 1;
    probe.loss = UR_NO_LOSS;
    probe.hidden = least;
    bool good = ur_net_new(one, &probe, 1, 1) != NULL;
    probe.hidden = 2 * least;
    good = good && ur_net_new(two, &probe, 1, 1);
    if (!good)
        ur__fail(error, "%s", ur_tape_error(one) ? ur_tape_error(one) : ur_tape_error(two));
    else if (!find_hidden(one, two, least, set, &options->hidden))
        good = ur__fail(error, "%s: no parameter of the cell %s tells the number of hidden units", path,
                        options->cell->name);
    ur_tape_free(one);
    ur_tape_free(two);
    return good;
}

/* ---- models */

bool ur__set_number(ur_arrays *set, const char *key, uint64_t number, ur_error *error)
{
    char text[24];
    snprintf(text, sizeof text, "%llu", (unsigned long long)number);
    return ur_arrays_set_text(set, key, text, error);
}

bool ur__set_real(ur_arrays *set, const char *key, double value, ur_error *error)
{
    char text[32];
    snprintf(text, sizeof text, "%.17g", value);
    return ur_arrays_set_text(set, key, text, error);
}

const char *const ur__no_yes[] = {"no", "yes", NULL};

/* A given start belongs to a run: the model's own is the fixed one. */
static const char *const starts[] = {"fixed", "learned", NULL};

static bool add_layers(const ur_net_options *o, ur_arrays *set, ur_error *error)
{
    return ur__set_number(set, "layers", (uint64_t)o->layers, error) &&
           ur_arrays_set_text(set, "bidirectional", ur__no_yes[o->bidirectional], error) &&
           ur__set_number(set, "heads", (uint64_t)o->heads, error) &&
           ur_arrays_set_text(set, "start", starts[o->start == UR_START_LEARNED], error) &&
           ur__set_number(set, "bptt", (uint64_t)o->bptt, error) && ur__set_real(set, "dropout", o->dropout, error) &&
           ur__set_real(set, "recurrent_dropout", o->recurrent_dropout, error) &&
           ur__set_number(set, "dropout_seed", o->seed, error) &&
           ur_arrays_set_text(set, "layer_norm", ur__no_yes[o->layer_norm], error) &&
           ur_arrays_set_text(set, "batch_norm", ur__no_yes[o->batch_norm], error);
}

static bool set_drawn(const ur_task_options *o, ur_arrays *set, ur_error *error)
{
    return (!o->count || ur__set_number(set, "count", (uint64_t)o->count, error)) &&
           (!o->min_length || ur__set_number(set, "min_length", (uint64_t)o->min_length, error)) &&
           (!o->max_length || ur__set_number(set, "max_length", (uint64_t)o->max_length, error));
}

bool ur__model_to_arrays(const ur_net *net, const ur_model *model, ur_arrays *set, ur_error *error)
{
    const ur_net_options *o = &net->options;
    return ur_arrays_set_text(set, "format", "unroll model 1", error) &&
           ur_arrays_set_text(set, "cell", o->cell->name, error) &&
           ur__set_number(set, "d", (uint64_t)o->inputs, error) &&
           ur__set_number(set, "m", (uint64_t)o->hidden, error) &&
           ur__set_number(set, "p", (uint64_t)o->outputs, error) &&
           ur_arrays_set_text(set, "hidden_activation", ur_activation_names[o->hidden_activation], error) &&
           ur_arrays_set_text(set, "out", ur_activation_names[o->out], error) &&
           ur_arrays_set_text(set, "loss", ur_loss_names[o->loss], error) &&
           ur_arrays_set_text(set, "reduce", ur_reduction_names[o->reduction], error) && add_layers(o, set, error) &&
           (!model->task || ur_arrays_set_text(set, "task", model->task, error)) &&
           ur__set_number(set, "epoch", (uint64_t)model->epoch, error) &&
           ur__set_number(set, "seed", model->seed, error) &&
           (!model->batch || ur__set_number(set, "batch", (uint64_t)model->batch, error)) &&
           set_drawn(&model->drawn, set, error) && ur_params_to_arrays(net->tape, set, error) &&
           averages_to_arrays(net, set, error);
}

bool ur_model_save(const ur_net *net, const ur_model *model, const char *path, ur_error *error)
{
    if (!net || !model)
        return ur__fail_in(error, path, "there is no %s to write", net ? "ur_model" : "network");
    ur_arrays *set = ur_arrays_new(NULL);
    bool good = set ? ur__model_to_arrays(net, model, set, error) && ur_arrays_save(set, path, error)
                    : ur__fail(error, "%s: no memory for the model", path);
    ur_arrays_free(set);
    return good;
}

const char *ur__read_text(ur__reader *r, const char *key)
{
    const char *text = ur_arrays_text(r->set, key);
    if (!text && !r->failed) {
        ur__fail(r->error, "%s: a model of unroll was expected, its metadata have no '%s'", r->path, key);
        r->failed = true;
    }
    return text;
}

/* Whether a number was read to its end; an error says what was expected. */
static bool is_read(ur__reader *r, const char *key, const char *text, const char *end, bool good, const char *expected)
{
    if (good && errno == 0 && end != text && !*end)
        return true;
    ur__fail(r->error, "%s: '%s' in the metadata is '%s', %s was expected", r->path, key, text, expected);
    r->failed = true;
    return false;
}

int64_t ur__read_number(ur__reader *r, const char *key, int64_t least)
{
    const char *text = ur__read_text(r, key);
    char *end, expected[48];
    if (!text)
        return least;
    errno = 0;
    long long number = strtoll(text, &end, 10);
    snprintf(expected, sizeof expected, "a number from %lld", (long long)least);
    return is_read(r, key, text, end, number >= least, expected) ? number : least;
}

uint64_t ur__read_seed(ur__reader *r, const char *key)
{
    const char *text = ur__read_text(r, key);
    char *end;
    if (!text)
        return 0;
    errno = 0;
    unsigned long long number = strtoull(text, &end, 10);
    return is_read(r, key, text, end, *text != '-', "a number from 0") ? number : 0;
}

double ur__read_real(ur__reader *r, const char *key)
{
    const char *text = ur__read_text(r, key);
    char *end;
    if (!text)
        return 0;
    errno = 0;
    double number = strtod(text, &end);
    if (errno == ERANGE && number < 1 && number > -1) /* below the normal numbers, but read to the bit */
        errno = 0;
    return is_read(r, key, text, end, !isnan(number), "a number") ? number : 0;
}

unsigned ur__read_choice(ur__reader *r, const char *key, const char *const *choices)
{
    const char *text = ur__read_text(r, key);
    for (unsigned i = 0; text && choices[i]; i++)
        if (strcmp(choices[i], text) == 0)
            return i;
    if (text) {
        ur__fail(r->error, "%s: '%s' in the metadata is '%s', which this version does not know", r->path, key, text);
        r->failed = true;
    }
    return 0;
}

/* A number that was written only where it is not 0. */
static int64_t read_optional(ur__reader *r, const char *key)
{
    return ur_arrays_text(r->set, key) ? ur__read_number(r, key, 1) : 0;
}

bool ur_model_read(const ur_arrays *set, const char *path, ur_net_options *options, ur_model *model, ur_error *error)
{
    ur__reader r = {.set = set, .path = path, .error = error};
    if (!options || !model)
        return ur__fail_in(error, path, "room for the options and the ur_model was expected, there is none");
    const char *cell = ur__read_text(&r, "cell");
    *options = (ur_net_options){
        .cell = cell ? ur_cell_find(cell) : NULL,
        .inputs = ur__read_number(&r, "d", 1),
        .hidden = ur__read_number(&r, "m", 1),
        .outputs = ur__read_number(&r, "p", 0),
        .hidden_activation = (ur_activation)ur__read_choice(&r, "hidden_activation", ur_activation_names),
        .out = (ur_activation)ur__read_choice(&r, "out", ur_activation_names),
        .loss = (ur_loss)ur__read_choice(&r, "loss", ur_loss_names),
        .reduction = (ur_reduction)ur__read_choice(&r, "reduce", ur_reduction_names),
        .layers = ur__read_number(&r, "layers", 1),
        .bidirectional = ur__read_choice(&r, "bidirectional", ur__no_yes),
        .heads = ur__read_number(&r, "heads", 1),
        .start = ur__read_choice(&r, "start", starts) ? UR_START_LEARNED : UR_START_FIXED,
        .bptt = ur__read_number(&r, "bptt", 0),
        .dropout = ur__read_real(&r, "dropout"),
        .recurrent_dropout = ur__read_real(&r, "recurrent_dropout"),
        .seed = (uint32_t)ur__read_seed(&r, "dropout_seed"),
        .layer_norm = ur__read_choice(&r, "layer_norm", ur__no_yes),
        .batch_norm = ur__read_choice(&r, "batch_norm", ur__no_yes),
    };
    *model = (ur_model){.task = ur_arrays_text(set, "task"),
                        .epoch = ur__read_number(&r, "epoch", 0),
                        .batch = read_optional(&r, "batch"),
                        .seed = ur__read_seed(&r, "seed"),
                        .drawn = {.count = read_optional(&r, "count"),
                                  .min_length = read_optional(&r, "min_length"),
                                  .max_length = read_optional(&r, "max_length")}};
    if (!r.failed && !options->cell)
        return ur__fail(error, "%s: the cell '%s' is not one of this version", path, cell);
    return !r.failed;
}
