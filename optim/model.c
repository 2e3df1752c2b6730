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
    if (!tape)
        return ur__fail(error, "there is no tape with parameters to write");
    return ur__vector_to_arrays(tape, "", ur_params(tape, &count), set, error);
}

/* The array of this name and shape, which has numbers; or an error that says what is wrong with it. */
static const ur_array *array_for(const ur_arrays *set, const char *path, const char *name, ur_shape shape,
                                 ur_error *error)
{
    const ur_array *array = ur_arrays_find(set, name);
    char text[UR_SHAPE_TEXT], found[UR_ARRAY_TEXT];
    bool same = array && array->rank == shape.rank;
    for (int i = 0; same && i < shape.rank; i++)
        same = array->size[i] == shape.size[i];
    if (same)
        return ur__array_has_numbers(array, error) ? array : NULL;
    if (!array)
        ur__fail_in(error, path, "the parameter %s%s is missing", name, ur_shape_text(shape, text));
    else
        ur__fail_in(error, path, "%s%s was found, the parameter is %s%s", name, ur_array_shape(array, found), name,
                    ur_shape_text(shape, text));
    return NULL;
}

/* The array of parameter k, which begins at `offset` of the vector; NULL with an error, or past the last. */
static const ur_array *array_at(ur_tape *tape, size_t k, const char *prefix, const ur_arrays *set, const char *path,
                                size_t *offset, ur_error *error)
{
    ur_var param;
    ur_node node;
    const char *name;
    char full[LONGEST_NAME];
    if (!ur_param_at(tape, k, &param, &name, offset))
        return NULL;
    if (!ur_look(param, &node)) {
        ur__fail(error, "%s", ur_tape_error(tape));
        return NULL;
    }
    snprintf(full, sizeof full, "%s%s", prefix, name);
    return array_for(set, path, full, node.shape, error);
}

bool ur__vector_fits(ur_tape *tape, const char *prefix, const ur_arrays *set, const char *path, ur_error *error)
{
    size_t k = 0, offset;
    while (array_at(tape, k, prefix, set, path, &offset, error))
        k++;
    return !ur_param_at(tape, k, NULL, NULL, NULL);
}

bool ur__vector_from_arrays(ur_tape *tape, const char *prefix, void *vector, const ur_arrays *set, const char *path,
                            ur_error *error)
{
    ur_dtype dtype = ur_tape_dtype(tape);
    const ur_array *array;
    size_t offset;
    if (!ur__vector_fits(tape, prefix, set, path, error))
        return false;
    for (size_t k = 0; (array = array_at(tape, k, prefix, set, path, &offset, error)); k++)
        ur__array_convert(array, dtype, (char *)vector + offset * ur_dtype_bytes(dtype), error);
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
            return ur__fail_in(error, path, "%s is no parameter of this network", array->name);
    }
    return true;
}

bool ur_params_from_arrays(ur_tape *tape, const ur_arrays *set, const char *path, ur_error *error)
{
    size_t count;
    if (!tape)
        return ur__fail_in(error, path, "there is no tape to write these parameters to");
    return ur__vector_fits(tape, "", set, path, error) && none_left_over(tape, set, path, error) &&
           ur__vector_from_arrays(tape, "", ur_params(tape, &count), set, path, error);
}

/* ---- the running averages of batch normalisation: `average.mean`, `average.layer1.back.variance` */

enum { AVERAGE_NAME = 112 };

static const char *average_name(const ur_net *net, size_t i, const char *prefix, char text[AVERAGE_NAME])
{
    snprintf(text, AVERAGE_NAME, "%saverage.%s", prefix, net->average[i].name);
    return text;
}

size_t ur__average_bytes(const ur_net *net)
{
    return (size_t)net->options.hidden * ur_dtype_bytes(ur_tape_dtype(net->tape));
}

bool ur__averages_to_arrays(const ur_net *net, const char *prefix, const void *vector, ur_arrays *set, ur_error *error)
{
    ur_array_type type = ur_tape_dtype(net->tape) == UR_F32 ? UR_ARRAY_F32 : UR_ARRAY_F64;
    for (size_t i = 0; i < net->averages; i++) {
        char name[AVERAGE_NAME];
        const void *numbers =
            vector ? (const char *)vector + i * ur__average_bytes(net) : ur_leaf(net->average[i].leaf);
        ur_array *array = ur_arrays_add(set, average_name(net, i, prefix, name), type, 1, &net->options.hidden, error);
        if (!array)
            return false;
        memcpy(array->data, numbers, array->bytes);
    }
    return true;
}

static const ur_array *average_array(const ur_net *net, size_t i, const char *prefix, const ur_arrays *set,
                                     const char *path, ur_error *error)
{
    char name[AVERAGE_NAME];
    return array_for(set, path, average_name(net, i, prefix, name), UR_SHAPE(net->options.hidden), error);
}

bool ur__averages_fit(const ur_net *net, const char *prefix, const ur_arrays *set, const char *path, ur_error *error)
{
    for (size_t i = 0; i < net->averages; i++)
        if (!average_array(net, i, prefix, set, path, error))
            return false;
    return true;
}

bool ur__averages_from_arrays(const ur_net *net, const char *prefix, void *vector, const ur_arrays *set,
                              const char *path, ur_error *error)
{
    if (!ur__averages_fit(net, prefix, set, path, error))
        return false;
    for (size_t i = 0; i < net->averages; i++) {
        void *numbers = vector ? (char *)vector + i * ur__average_bytes(net) : ur_leaf(net->average[i].leaf);
        ur__array_convert(average_array(net, i, prefix, set, path, error), ur_tape_dtype(net->tape), numbers, error);
    }
    return true;
}

bool ur__net_fits_arrays(const ur_net *net, const ur_arrays *set, const char *path, ur_error *error)
{
    return ur__vector_fits(net->tape, "", set, path, error) && none_left_over(net->tape, set, path, error) &&
           ur__averages_fit(net, "", set, path, error);
}

bool ur_net_from_arrays(ur_net *net, const ur_arrays *set, const char *path, ur_error *error)
{
    size_t count;
    if (!net)
        return ur__fail_in(error, path, "there is no network to write these parameters to");
    return ur__net_fits_arrays(net, set, path, error) &&
           ur__vector_from_arrays(net->tape, "", ur_params(net->tape, &count), set, path, error) &&
           ur__averages_from_arrays(net, "", NULL, set, path, error);
}

/* ---- sizes from parameters */

/* Two networks that differ in one size: it is `least` in the first and twice that in the second. */
typedef struct pair {
    ur_tape *one, *two;
    int64_t least;
} pair;

/* Records them; `size` is the one that differs, of `options`. */
static bool record_pair(pair *p, ur_net_options *options, int64_t *size, ur_error *error)
{
    *p = (pair){.one = ur_tape_new(NULL), .two = ur_tape_new(NULL), .least = *size};
    bool good = ur_net_new(p->one, options, 1, 1) != NULL;
    *size *= 2;
    good = good && ur_net_new(p->two, options, 1, 1);
    *size = p->least;
    if (!good)
        ur__fail(error, "%s", ur_tape_error(p->one) ? ur_tape_error(p->one) : ur_tape_error(p->two));
    return good;
}

/* A parameter of such networks, and which of its dimensions is the size that differs; -1: none is. */
typedef struct clue {
    const char *name;
    int rank, dimension;
} clue;

static bool clue_at(const pair *p, size_t k, clue *c)
{
    ur_var one, two;
    ur_node small, large;
    if (!ur_param_at(p->one, k, &one, &c->name, NULL) || !ur_param_at(p->two, k, &two, NULL, NULL) ||
        !ur_look(one, &small) || !ur_look(two, &large))
        return false;
    c->rank = small.shape.rank;
    c->dimension = c->rank - 1;
    while (c->dimension >= 0 &&
           (small.shape.size[c->dimension] != p->least || large.shape.size[c->dimension] != 2 * p->least))
        c->dimension--;
    return true;
}

/* The size as the arrays have it. Where they do not, the first parameter that would tell it is missing or misshapen. */
static bool find_size(const pair *p, const ur_arrays *set, const char *path, const char *cell, int64_t *size,
                      ur_error *error)
{
    clue c, first = {.name = NULL};
    char shape[UR_ARRAY_TEXT];
    for (size_t k = 0; clue_at(p, k, &c); k++) {
        const ur_array *array = c.dimension >= 0 ? ur_arrays_find(set, c.name) : NULL;
        if (array && array->rank == c.rank) {
            *size = array->size[c.dimension];
            return *size > 0 || ur__fail_in(error, path, "%s%s was found, sizes from 1 were expected", c.name,
                                            ur_array_shape(array, shape));
        }
        if (c.dimension >= 0 && !first.name)
            first = c;
    }
    if (!first.name)
        return ur__fail_in(error, path, "no parameter of the cell %s tells its sizes", cell);
    const ur_array *found = ur_arrays_find(set, first.name);
    if (found)
        return ur__fail_in(error, path, "%s%s was found, %s of the cell %s has %d dimensions", first.name,
                           ur_array_shape(found, shape), first.name, cell, first.rank);
    return ur__fail_in(error, path, "the parameter %s of the cell %s is missing", first.name, cell);
}

typedef enum size { INPUTS, HIDDEN, OUTPUTS } size;

static bool read_size(size which, const ur_arrays *set, const char *path, const ur_net_options *options, int64_t *found,
                      ur_error *error)
{
    pair p;
    ur_net_options o = *options;
    o.inputs = o.outputs = 1;
    o.hidden = options->heads > 1 ? options->heads : 1;
    o.loss = UR_NO_LOSS;
    int64_t *sizes[] = {[INPUTS] = &o.inputs, [HIDDEN] = &o.hidden, [OUTPUTS] = &o.outputs};
    bool good = record_pair(&p, &o, sizes[which], error) && find_size(&p, set, path, o.cell->name, found, error);
    ur_tape_free(p.one);
    ur_tape_free(p.two);
    return good;
}

bool ur_sizes_from_arrays(const ur_arrays *set, const char *path, ur_net_options *options, ur_error *error)
{
    if (!options || !options->cell)
        return ur__fail_in(error, path, "a network's options with its cell were expected, there are none");
    return read_size(HIDDEN, set, path, options, &options->hidden, error) &&
           (!options->out || read_size(OUTPUTS, set, path, options, &options->outputs, error));
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

static const char format[] = "unroll model 1";

bool ur__model_to_arrays(const ur_net *net, const ur_model *model, ur_arrays *set, ur_error *error)
{
    const ur_net_options *o = &net->options;
    return ur_arrays_set_text(set, "format", format, error) && ur_arrays_set_text(set, "cell", o->cell->name, error) &&
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
           ur__averages_to_arrays(net, "", NULL, set, error);
}

bool ur_model_save(const ur_net *net, const ur_model *model, const char *path, ur_error *error)
{
    if (!net || !model)
        return ur__fail_in(error, path, "there is no %s to write", net ? "ur_model" : "network");
    ur_arrays *set = ur_arrays_new(NULL);
    bool good = set ? ur__model_to_arrays(net, model, set, error) && ur_arrays_save(set, path, error)
                    : ur__fail_in(error, path, "no memory for the model");
    ur_arrays_free(set);
    return good;
}

const char *ur__read_text(ur__reader *r, const char *key)
{
    const char *text = ur_arrays_text(r->set, key);
    if (!text && !r->failed) {
        ur__fail_in(r->error, r->path, "a model of unroll was expected, its metadata have no '%s'", key);
        r->failed = true;
    }
    return text;
}

/* Whether a number was read to its end; an error says what was expected. */
static bool is_read(ur__reader *r, const char *key, const char *text, const char *end, bool good, const char *expected)
{
    if (good && errno == 0 && end != text && !*end)
        return true;
    ur__fail_in(r->error, r->path, "'%s' in the metadata is '%s', %s was expected", key, text, expected);
    r->failed = true;
    return false;
}

int64_t ur__read_number(ur__reader *r, const char *key, int64_t least)
{
    static const int64_t most = INT64_C(1) << 53; /* with room to count on */
    const char *text = ur__read_text(r, key);
    char *end, expected[64];
    if (!text)
        return least;
    errno = 0;
    long long number = strtoll(text, &end, 10);
    snprintf(expected, sizeof expected, "a number from %lld to %lld", (long long)least, (long long)most);
    return is_read(r, key, text, end, number >= least && number <= most, expected) ? number : least;
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

const char *ur__expected(ur__limits limits, double number)
{
    switch (limits) {
    case UR__FROM_0:
        return number >= 0 && isfinite(number) ? NULL : "a finite number from 0";
    case UR__BELOW_1:
        return number >= 0 && number < 1 ? NULL : "a number from 0 to below 1";
    case UR__ANY:
        break;
    }
    return isnan(number) ? "a number" : NULL;
}

double ur__read_real(ur__reader *r, const char *key, ur__limits limits)
{
    const char *text = ur__read_text(r, key);
    char *end;
    if (!text)
        return 0;
    errno = 0;
    double number = strtod(text, &end);
    if (errno == ERANGE && number < 1 && number > -1) /* below the normal numbers, but read to the bit */
        errno = 0;
    const char *expected = ur__expected(limits, number);
    return is_read(r, key, text, end, !expected, expected ? expected : "a number") ? number : 0;
}

unsigned ur__read_choice(ur__reader *r, const char *key, const char *const *choices)
{
    const char *text = ur__read_text(r, key);
    for (unsigned i = 0; text && choices[i]; i++)
        if (strcmp(choices[i], text) == 0)
            return i;
    if (text) {
        ur__fail_in(r->error, r->path, "'%s' in the metadata is '%s', which this version does not know", key, text);
        r->failed = true;
    }
    return 0;
}

/* A number that was written only where it is not 0. */
static int64_t read_optional(ur__reader *r, const char *key)
{
    return ur_arrays_text(r->set, key) ? ur__read_number(r, key, 1) : 0;
}

/* The metadata's sizes are compared with the arrays before a network of such sizes is recorded. */
static bool size_holds(const ur__reader *r, const char *key, int64_t told, int64_t found)
{
    return told == found || ur__fail_in(r->error, r->path, "'%s' in the metadata is %lld, the parameters have %lld",
                                        key, (long long)told, (long long)found);
}

/* Can a network with these options be recorded? One of few units tells. */
static bool options_hold(const ur__reader *r, const ur_net_options *o)
{
    if (o->cell->heads && o->hidden % o->heads != 0)
        return ur__fail_in(r->error, r->path,
                           "'heads' in the metadata is %lld, which does not divide the %lld hidden units",
                           (long long)o->heads, (long long)o->hidden);
    ur_net_options few = *o;
    ur_tape *tape = ur_tape_new(NULL);
    few.inputs = few.outputs = 1;
    few.hidden = o->heads;
    bool good = ur_net_new(tape, &few, 1, 1) || ur__fail_in(r->error, r->path, "%s", ur_tape_error(tape));
    ur_tape_free(tape);
    return good;
}

static bool sizes_hold(const ur__reader *r, const ur_net_options *o)
{
    ur_net_options found = *o;
    size_t arrays = 0;
    int64_t largest = 0;
    for (const ur_array *array; (array = ur_arrays_at(r->set, arrays)); arrays++)
        for (int i = 0; i < array->rank; i++)
            largest = array->size[i] > largest ? array->size[i] : largest;
    if ((uint64_t)o->layers > arrays || o->heads > largest)
        return ur__fail_in(r->error, r->path,
                           "'%s' in the metadata is %lld, the file has %zu arrays of sizes up to %lld",
                           o->heads > largest ? "heads" : "layers",
                           (long long)(o->heads > largest ? o->heads : o->layers), arrays, (long long)largest);
    return options_hold(r, o) && ur_sizes_from_arrays(r->set, r->path, &found, r->error) &&
           read_size(INPUTS, r->set, r->path, o, &found.inputs, r->error) &&
           size_holds(r, "d", o->inputs, found.inputs) && size_holds(r, "m", o->hidden, found.hidden) &&
           size_holds(r, "p", o->outputs, found.outputs);
}

bool ur_model_read(const ur_arrays *set, const char *path, ur_net_options *options, ur_model *model, ur_error *error)
{
    ur__reader r = {.set = set, .path = path, .error = error};
    if (!options || !model)
        return ur__fail_in(error, path, "room for the options and the ur_model was expected, there is none");
    const char *cell = ur__read_text(&r, "cell"), *told = ur_arrays_text(set, "format");
    if (told && strcmp(told, format) != 0) /* other programs need not tell it */
        return ur__fail_in(error, path, "'format' in the metadata is '%s', '%s' was expected", told, format);
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
        .dropout = ur__read_real(&r, "dropout", UR__BELOW_1),
        .recurrent_dropout = ur__read_real(&r, "recurrent_dropout", UR__BELOW_1),
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
        return ur__fail_in(error, path, "the cell '%s' is not one of this version", cell);
    return !r.failed && sizes_hold(&r, options);
}
