/* task.c - the tasks by number and by name, and their options. The table is made from the names of the files task_*.c. */
#include <string.h>

#include "../graph/support.h"
#include "optim.h"

extern const ur_task *const ur__tasks[];

enum { COUNT = 400 };

const ur_task *ur_task_at(size_t k)
{
    size_t i = 0;
    while (i < k && ur__tasks[i])
        i++;
    return ur__tasks[i];
}

const ur_task *ur_task_find(const char *name)
{
    for (size_t i = 0; name && ur__tasks[i]; i++)
        if (strcmp(ur__tasks[i]->name, name) == 0)
            return ur__tasks[i];
    return NULL;
}

static void fail_unknown(const char *name, ur_error *error)
{
    char names[256] = "";
    ur__text out = {.text = names, .bytes = sizeof names};
    for (size_t i = 0; ur__tasks[i]; i++)
        ur__print(&out, "%s%s", i ? ", " : "", ur__tasks[i]->name);
    ur__fail(error, "there is no task \"%.80s\", expected one of %s", name ? name : "", names);
}

static bool check(const ur_task *task, const ur_task_options *o, ur_error *error)
{
    if (o->count < 1 || o->min_length < 1 || o->max_length < 0)
        return ur__fail(error, "task %s: count %lld, min_length %lld, max_length %lld, expected no negative number",
                        task->name, (long long)o->count, (long long)o->min_length, (long long)o->max_length);
    if (o->max_length && o->min_length > o->max_length)
        return ur__fail(error, "task %s: min_length is %lld, expected at most max_length, %lld", task->name,
                        (long long)o->min_length, (long long)o->max_length);
    return true;
}

ur_data *ur_task_data(const char *name, const ur_task_options *options, const ur_allocator *allocator, ur_error *error)
{
    const ur_task *task = ur_task_find(name);
    if (!task) {
        fail_unknown(name, error);
        return NULL;
    }
    ur_task_options complete = options ? *options : (ur_task_options){0};
    if (complete.count == 0)
        complete.count = COUNT;
    if (complete.min_length == 0)
        complete.min_length = task->min_length;
    return check(task, &complete, error) ? task->data(task, &complete, allocator, error) : NULL;
}

size_t ur_task_symbols(const ur_task *task, const ur_data *data, int64_t k, char *text, size_t bytes)
{
    ur__text out = {.text = text, .bytes = bytes};
    ur__print(&out, "%s", "");
    if (!task || !task->alphabet || !data || data->inputs != task->inputs || k < 0 || k >= data->n)
        return 0;
    int64_t n = ur_data_row(data, k), length = ur_data_length(data, n);
    for (int64_t t = 0; t < length; t++) {
        const double *x = data->x + (n * data->steps + t) * data->inputs;
        int64_t i = 0;
        while (i < data->inputs - 1 && x[i] == 0)
            i++;
        ur__print(&out, "%c", task->alphabet[i]);
    }
    return out.length;
}
