/* dataset.c - data sets: their memory, and their way from and to arrays with full checking. */
#include <string.h>

#include "files.h"

/* ---- memory: one arena, after the struct that the caller sees */

typedef struct owner {
    ur_data data;
    ur_allocator allocator;
    ur__arena arena;
} owner;

static double *new_numbers(owner *o, size_t count)
{
    size_t bytes = ur__times(count, sizeof(double));
    double *numbers = (double *)ur__arena_new(&o->arena, &o->allocator, bytes);
    if (numbers)
        memset(numbers, 0, bytes);
    return numbers;
}

static int64_t *new_lengths(owner *o, int64_t n, int64_t steps)
{
    int64_t *lengths = (int64_t *)ur__arena_new(&o->arena, &o->allocator, ur__times((size_t)n, sizeof *lengths));
    for (int64_t k = 0; lengths && k < n; k++)
        lengths[k] = steps;
    return lengths;
}

/* Numbers in y. */
static size_t y_count(const ur_data *data)
{
    size_t positions = data->y_last ? (size_t)data->n : ur__times((size_t)data->n, (size_t)data->steps);
    return data->y_classes ? positions : ur__times(positions, (size_t)data->outputs);
}

static bool fill(owner *o, unsigned parts)
{
    ur_data *d = &o->data;
    d->y_last = parts & UR_DATA_Y_LAST;
    d->y_classes = parts & UR_DATA_Y_CLASSES;
    size_t positions = ur__times((size_t)d->n, (size_t)d->steps);
    d->x = new_numbers(o, ur__times(positions, (size_t)d->inputs));
    if (d->outputs)
        d->y = new_numbers(o, y_count(d));
    if (parts & UR_DATA_LENGTHS)
        d->lengths = new_lengths(o, d->n, d->steps);
    if (parts & UR_DATA_WEIGHT)
        d->weight = new_numbers(o, positions);
    return d->x && (d->y || !d->outputs) && (d->lengths || !(parts & UR_DATA_LENGTHS)) &&
           (d->weight || !(parts & UR_DATA_WEIGHT));
}

ur_data *ur_data_new(int64_t n, int64_t steps, int64_t inputs, int64_t outputs, unsigned parts,
                     const ur_allocator *allocator, ur_error *error)
{
    ur_allocator a = ur__allocator(allocator);
    if (n < 1 || steps < 1 || inputs < 1 || outputs < 0) {
        ur__fail(error, "data of the sizes [%lld,%lld,%lld], expected at least 1 each", (long long)n, (long long)steps,
                 (long long)inputs);
        return NULL;
    }
    owner *o = (owner *)ur__new(&a, sizeof *o);
    if (o)
        *o = (owner){.allocator = a, .data = {.n = n, .steps = steps, .inputs = inputs, .outputs = outputs}};
    if (o && fill(o, parts))
        return &o->data;
    ur__fail(error, "no memory for data of the sizes [%lld,%lld,%lld]", (long long)n, (long long)steps,
             (long long)inputs);
    ur_data_free((ur_data *)o);
    return NULL;
}

void ur_data_free(ur_data *data)
{
    owner *o = (owner *)data; /* its first member */
    if (!o)
        return;
    ur_allocator a = o->allocator;
    ur__arena_free(&o->arena, &a);
    ur__free(&a, o, sizeof *o);
}

/* ---- from arrays: first the shapes, then the values */

typedef struct source {
    const ur_array *x, *y, *lengths, *weight; /* all but x may be NULL */
    int64_t n, steps;
    ur_error *error;
} source;

/* Whether the array is [first], or [first,second]. */
static bool has_sizes(const ur_array *array, int rank, int64_t first, int64_t second)
{
    return array->rank == rank && array->size[0] == first && (rank < 2 || array->size[1] == second);
}

static bool find_arrays(source *s, const ur_arrays *set)
{
    const char *file = set ? ur__arrays_file(set) : NULL;
    for (size_t k = 0; ur_arrays_at(set, k); k++) {
        const ur_array *a = ur_arrays_at(set, k);
        const ur_array **place = strcmp(a->name, "x") == 0         ? &s->x
                                 : strcmp(a->name, "y") == 0       ? &s->y
                                 : strcmp(a->name, "lengths") == 0 ? &s->lengths
                                 : strcmp(a->name, "weight") == 0  ? &s->weight
                                                                   : NULL;
        if (!place) {
            ur__fail_in(s->error, a->file, "has an array \"%.80s\", expected x, y, lengths and weight", a->name);
            return false;
        }
        *place = a;
    }
    if (!s->x)
        ur__fail_in(s->error, file, "has no array x, expected one of [N,T,d]");
    return s->x != NULL;
}

static bool check_x(source *s)
{
    const ur_array *x = s->x;
    s->n = x->size[0];
    s->steps = x->size[1];
    if (x->rank == 3 && x->count > 0)
        return true;
    char shape[UR_ARRAY_TEXT];
    return ur__fail_in(s->error, x->file, "x is %s, expected [N,T,d] with sizes of at least 1",
                       ur_array_shape(x, shape));
}

/* Are integers of these sizes numbers of classes, one for a position or a sequence? */
static bool holds_classes(const ur_array *y)
{
    return y && ur__array_is_integer(y) && y->rank < 3;
}

static bool check_y(const source *s)
{
    char shape[UR_ARRAY_TEXT];
    const ur_array *y = s->y;
    if (!y)
        return true;
    long long n = (long long)s->n, t = (long long)s->steps;
    if (holds_classes(y))
        return has_sizes(y, 2, s->n, s->steps) || has_sizes(y, 1, s->n, 0) ||
               ur__fail_in(
                   s->error, y->file,
                   "y of integers is %s, expected classes [%lld,%lld] or [%lld], or [%lld,%lld,p], as x has them",
                   ur_array_shape(y, shape), n, t, n, n, t);
    bool all_steps = y->rank == 3 && y->size[0] == s->n && y->size[1] == s->steps;
    bool last_step = y->rank == 2 && y->size[0] == s->n;
    return ((all_steps || last_step) && y->count > 0) ||
           ur__fail_in(s->error, y->file, "y is %s, expected [%lld,%lld,p] or [%lld,p] as x has them",
                       ur_array_shape(y, shape), n, t, n);
}

static bool check_rest(const source *s)
{
    char shape[UR_ARRAY_TEXT];
    const ur_array *lengths = s->lengths, *weight = s->weight;
    if (lengths && (!ur__array_is_integer(lengths) || !has_sizes(lengths, 1, s->n, 0)))
        return ur__fail_in(s->error, lengths->file, "lengths is %s %s, expected I32 or I64 [%lld] as x has it",
                           ur_array_type_name(lengths->type), ur_array_shape(lengths, shape), (long long)s->n);
    if (weight && !has_sizes(weight, 2, s->n, s->steps))
        return ur__fail_in(s->error, weight->file, "weight is %s, expected [%lld,%lld] as x has them",
                           ur_array_shape(weight, shape), (long long)s->n, (long long)s->steps);
    return true;
}

static ur_data *new_data(const source *s, const ur_allocator *allocator)
{
    bool classes = holds_classes(s->y);
    bool last = s->y && s->y->rank == (classes ? 1 : 2);
    int64_t outputs = !s->y ? 0 : classes ? 1 : s->y->size[s->y->rank - 1];
    unsigned parts = (last ? UR_DATA_Y_LAST : 0u) | (classes ? UR_DATA_Y_CLASSES : 0u) |
                     (s->lengths ? UR_DATA_LENGTHS : 0u) | (s->weight ? UR_DATA_WEIGHT : 0u);
    return ur_data_new(s->n, s->steps, s->x->size[2], outputs, parts, allocator, s->error);
}

static bool copy_lengths(const source *s, ur_data *data)
{
    for (int64_t k = 0; s->lengths && k < s->n; k++) {
        data->lengths[k] = ur__array_integer(s->lengths, (size_t)k);
        if (data->lengths[k] < 0 || data->lengths[k] > s->steps)
            return ur__fail_in(s->error, s->lengths->file, "lengths[%lld] is %lld, expected 0 to %lld", (long long)k,
                               (long long)data->lengths[k], (long long)s->steps);
    }
    return true;
}

/* Classes are numbers from 0 to `most`. */
static bool check_class(const source *s, int64_t k, int64_t t, int64_t most, int64_t *largest)
{
    bool last = s->y->rank == 1;
    int64_t class = ur__array_integer(s->y, (size_t)(last ? k : k * s->steps + t));
    if (class > *largest)
        *largest = class;
    if (class >= 0 && class <= most)
        return true;
    char place[64];
    snprintf(place, sizeof place, last ? "y[%lld]" : "y[%lld,%lld]", (long long)k, (long long)t);
    if (class < 0)
        return ur__fail_in(s->error, s->y->file, "%s is %lld, expected a class of at least 0", place, (long long)class);
    return ur__fail_in(s->error, s->y->file, "%s is %lld, expected a class from 0 to %lld", place, (long long)class,
                       (long long)most);
}

/* Sets p; a sequence of length 0 has no last step, and so no class that counts. */
static bool check_classes(const source *s, ur_data *data, int64_t classes)
{
    int64_t largest = 0, most = classes ? classes - 1 : INT32_MAX;
    if (classes < 0)
        return ur__fail(s->error, "%lld classes were asked for, expected a number from 1, or 0", (long long)classes);
    for (int64_t k = 0; k < s->n; k++) {
        int64_t alive = ur_data_length(data, k);
        if (data->y_last && alive > 1)
            alive = 1;
        for (int64_t t = 0; t < alive; t++)
            if (!check_class(s, k, t, most, &largest))
                return false;
    }
    data->outputs = classes ? classes : largest + 1;
    return true;
}

static bool copy_y(const source *s, ur_data *data, int64_t classes)
{
    return ur_array_get(s->y, data->y, s->error) && (!data->y_classes || check_classes(s, data, classes));
}

static bool copy_values(const source *s, ur_data *data, int64_t classes)
{
    return ur_array_get(s->x, data->x, s->error) && (!s->weight || ur_array_get(s->weight, data->weight, s->error)) &&
           copy_lengths(s, data) && (!s->y || copy_y(s, data, classes));
}

ur_data *ur_data_from_arrays(const ur_arrays *set, int64_t classes, const ur_allocator *allocator, ur_error *error)
{
    source s = {.error = error};
    if (!find_arrays(&s, set) || !check_x(&s) || !check_y(&s) || !check_rest(&s))
        return NULL;
    ur_data *data = new_data(&s, allocator);
    if (data && !copy_values(&s, data, classes)) {
        ur_data_free(data);
        return NULL;
    }
    return data;
}

/* ---- to arrays */

static bool has_rows(const ur_data *d, ur_error *error)
{
    int64_t rows = ur_data_rows(d);
    for (int64_t k = 0; d->order && k < d->n; k++)
        if (d->order[k] < 0 || d->order[k] >= rows)
            return ur__fail(error, "order[%lld] is %lld, expected the number of a row from 0 to %lld", (long long)k,
                            (long long)d->order[k], (long long)rows - 1);
    return true;
}

/* Adds an array of the rows of values [N,...] in the data's order. */
static bool add(ur_arrays *set, const ur_data *d, const char *name, ur_array_type type, int rank, const int64_t *size,
                const double *values, ur_error *error)
{
    ur_array *array = ur_arrays_add(set, name, type, rank, size, error);
    size_t width = array && d->n ? array->count / (size_t)d->n : 0;
    bool good = array != NULL;
    for (int64_t k = 0; k < d->n && good; k++)
        good = ur__array_set_part(array, (size_t)k * width, width, values + (size_t)ur_data_row(d, k) * width, error);
    return good;
}

static bool add_y(ur_arrays *set, const ur_data *d, ur_array_type type, ur_error *error)
{
    int64_t size[3] = {d->n};
    int rank = 1;
    if (!d->y_last)
        size[rank++] = d->steps;
    if (!d->y_classes)
        size[rank++] = d->outputs;
    return add(set, d, "y", d->y_classes ? UR_ARRAY_I64 : type, rank, size, d->y, error);
}

static bool add_lengths(ur_arrays *set, const ur_data *d, ur_error *error)
{
    ur_array *lengths = ur_arrays_add(set, "lengths", UR_ARRAY_I64, 1, &d->n, error);
    for (int64_t k = 0; lengths && k < d->n; k++)
        ((int64_t *)lengths->data)[k] = d->lengths[ur_data_row(d, k)];
    return lengths != NULL;
}

ur_arrays *ur_data_to_arrays(const ur_data *data, ur_dtype dtype, const ur_allocator *allocator, ur_error *error)
{
    if (!data || !data->x) {
        ur__fail(error, "there is no data to write");
        return NULL;
    }
    if (!has_rows(data, error))
        return NULL;
    ur_array_type type = dtype == UR_F32 ? UR_ARRAY_F32 : UR_ARRAY_F64;
    const int64_t size[] = {data->n, data->steps, data->inputs};
    ur_arrays *set = ur_arrays_new(allocator);
    if (add(set, data, "x", type, 3, size, data->x, error) && (!data->y || add_y(set, data, type, error)) &&
        (!data->lengths || add_lengths(set, data, error)) &&
        (!data->weight || add(set, data, "weight", type, 2, size, data->weight, error)))
        return set;
    ur_arrays_free(set);
    return NULL;
}

/* ---- files */

ur_data *ur_data_load(const char *path, int64_t classes, const ur_allocator *allocator, ur_error *error)
{
    ur_arrays *set = ur_arrays_load(path, allocator, error);
    ur_data *data = set ? ur_data_from_arrays(set, classes, allocator, error) : NULL;
    ur_arrays_free(set);
    return data;
}

bool ur_data_save(const ur_data *data, ur_dtype dtype, const char *path, ur_error *error)
{
    ur_arrays *set = ur_data_to_arrays(data, dtype, NULL, error);
    bool good = set && ur_arrays_save(set, path, error);
    ur_arrays_free(set);
    return good;
}
