/* states.c - --state and --state-out of `unroll run`: the states of a network, [N,units] by their names. */
#include <stdlib.h>
#include <string.h>

#include "states.h"

/* A state's shape in a file: the batch first. */
static int batch_first(const ur_net_state *state, int64_t size[UR_RANK])
{
    int rank = state->shape.rank;
    size[0] = state->shape.size[rank - 1];
    for (int i = 1; i < rank; i++)
        size[i] = state->shape.size[i - 1];
    return rank;
}

/* [N,units] from [units,N], or the other way round. */
static void exchange(size_t rows, size_t columns, const double *from, double *to)
{
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < columns; j++)
            to[j * rows + i] = from[i * columns + j];
}

/* ---- reading */

static bool read_state(const char *path, const ur_net *net, const ur_net_state *state, const ur_arrays *set)
{
    char expected[UR_SHAPE_TEXT], found[UR_ARRAY_TEXT];
    int64_t size[UR_RANK] = {0};
    int rank = batch_first(state, size);
    const ur_array *array = ur_arrays_find(set, state->name);
    if (!array && state->scale) /* of states without a scale */
        return true;
    bool fits = array && array->rank == rank;
    for (int i = 0; fits && i < rank; i++)
        fits = array->size[i] == size[i];
    if (!fits)
        return refuse("%s: the state %s%s was expected, the batch first, %s was found", path, state->name,
                      ur_shape_text((ur_shape){.rank = rank, .size = {size[0], size[1], size[2], size[3]}}, expected),
                      array ? ur_array_shape(array, found) : "none");
    ur_error error = {0};
    const size_t batch = (size_t)net->batch;
    double *given = (double *)calloc(2 * array->count, sizeof *given), *columns = given + array->count;
    bool good = given && ur_array_get(array, given, &error);
    if (good)
        exchange(batch, array->count / batch, given, columns);
    good = good && ur_write(state->start, array->count, columns);
    free(given);
    return good || refuse("%s: %s", path, error.text[0] ? error.text : "no memory for the states");
}

static bool is_state(const ur_net *net, const char *name)
{
    size_t i = 0;
    while (i < net->states && strcmp(net->state[i].name, name) != 0)
        i++;
    return i < net->states;
}

static bool read_all(const char *path, const ur_net *net, const ur_arrays *set)
{
    const ur_array *array;
    for (size_t i = 0; i < net->states; i++)
        if (!read_state(path, net, &net->state[i], set))
            return false;
    for (size_t k = 0; (array = ur_arrays_at(set, k)); k++)
        if (!is_state(net, array->name))
            return refuse("%s: %s is no state of this network", path, array->name);
    return true;
}

bool states_read(const char *path, const ur_net *net)
{
    ur_error error = {0};
    ur_arrays *set = ur_arrays_load(path, NULL, &error);
    bool good = set ? read_all(path, net, set) : refuse("%s", error.text);
    ur_arrays_free(set);
    return good;
}

/* ---- writing */

static bool add_state(ur_arrays *set, const ur_net *net, const ur_net_state *state, ur_plan *plan, bool carried,
                      ur_error *error)
{
    int64_t size[UR_RANK] = {0};
    int rank = batch_first(state, size);
    ur_array_type type = ur_tape_dtype(net->tape) == UR_F32 ? UR_ARRAY_F32 : UR_ARRAY_F64;
    ur_array *array = ur_arrays_add(set, state->name, type, rank, size, error);
    if (!array)
        return false;
    const size_t batch = (size_t)net->batch;
    double *columns = (double *)calloc(2 * array->count, sizeof *columns), *all = columns + array->count;
    bool good = columns && ur_read(plan, carried ? state->start : state->final, array->count, columns);
    if (good)
        exchange(array->count / batch, batch, columns, all);
    good = good && ur_array_set(array, all, error);
    free(columns);
    return good;
}

bool states_write(const char *path, const ur_net *net, ur_plan *plan, bool carried)
{
    ur_error error = {0};
    ur_arrays *set = ur_arrays_new(NULL);
    bool good = set != NULL;
    for (size_t i = 0; good && i < net->states; i++)
        good = add_state(set, net, &net->state[i], plan, carried, &error);
    good = good && ur_arrays_save(set, path, &error);
    ur_arrays_free(set);
    const char *tape = ur_tape_error(net->tape);
    return good || refuse("%s", error.text[0] ? error.text : tape ? tape : "no memory for the states");
}
