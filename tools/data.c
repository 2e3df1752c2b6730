/* data.c - `unroll data`: writes a task's data to a file, or its symbols. */
#include "setup.h"

enum { LONGEST = 4096 };

static void print_symbols(const ur_task *task, const ur_data *data, FILE *out)
{
    char text[LONGEST];
    for (int64_t k = 0; k < data->n; k++) {
        ur_task_symbols(task, data, k, text, sizeof text);
        fprintf(out, "%s\n", text);
    }
}

/* To --output, or else to stdout. */
static int write_symbols(const options *o, const ur_task *task, const ur_data *data)
{
    ur_error error = {{0}};
    if (!o->output) {
        print_symbols(task, data, stdout);
        return DONE;
    }
    ur_file *file = ur_file_create(o->output, NULL, &error);
    if (file)
        print_symbols(task, data, ur_file_stream(file));
    return ur_file_commit(file, &error) ? DONE : complain("%s", error.text);
}

static int write_data(const options *o)
{
    ur_error error = {{0}};
    bool text = o->format == FORMAT_TEXT;
    if (!text && !o->output)
        return complain("--output: a file to write is missing, expected -o FILE, or --format text for stdout");
    ur_data *data = setup_outputs(o) ? setup_data(o, o->argument[0], false, 0) : NULL;
    if (!data)
        return BAD_INPUT;
    int status = DONE;
    const ur_task *task = ur_task_find(o->argument[0]);
    if (text && !task->alphabet)
        status = complain("--format: %s has no symbols to print, expected safetensors", task->name);
    else if (text)
        status = write_symbols(o, task, data);
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
    .text = "Writes x [N,T,d], y [N,T,p] and lengths [N] as safetensors to --output, the same sequences that\n"
            "`train --task` draws with this seed. --format text prints a line of symbols for each sequence instead,\n"
            "to stdout unless --output is given.",
    .example = "unroll data reber --count 5 --format text\n"
               "  unroll data reber --seed 7 -o reber.safetensors",
    .run = write_data,
};
