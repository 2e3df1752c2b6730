/* data.c - `unroll data`: writes a task's data to a file, or its symbols. */
#include <string.h>

#include "setup.h"

enum { TEXT_FORMAT = 0, LONGEST = 4096 };

static int print_symbols(const ur_task *task, const ur_data *data)
{
    char text[LONGEST];
    if (!task->alphabet)
        return complain("--format: the task %s has no symbols to print", task->name);
    for (int64_t k = 0; k < data->n; k++) {
        ur_task_symbols(task, data, k, text, sizeof text);
        puts(text);
    }
    return DONE;
}

static int write_data(const options *o)
{
    ur_error error = {{0}};
    if (o->format > TEXT_FORMAT)
        return complain("--format: data is written as safetensors, or printed with --format text");
    if (o->format < 0 && !o->output)
        return complain("--output: a file to write was expected, or --format text");
    ur_data *data = setup_data(o, o->argument[0], false);
    if (!data)
        return BAD_INPUT;
    int status = DONE;
    if (o->format == TEXT_FORMAT)
        status = print_symbols(ur_task_find(o->argument[0]), data);
    else if (!ur_data_save(data, o->dtype == UR_F64 ? UR_F64 : UR_F32, o->output, &error))
        status = complain("%s", error.text);
    ur_data_free(data);
    return status;
}

const command command_data = {
    .name = "data",
    .bit = DATA,
    .arguments = "TASK",
    .least = 1,
    .most = 1,
    .summary = "writes a task's data",
    .text = "Writes x, y and lengths as safetensors, the same sequences that `train --task` draws with this seed;\n"
            "--format text prints one line of symbols for each sequence instead.",
    .example = "unroll data reber --count 5 --format text",
    .run = write_data,
};
