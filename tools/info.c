/* info.c - `unroll info`: what a model or data file holds. */
#include <ctype.h>

#include "options.h"

/* A text of the file on one line: an ESC or a line's end would tell the reader something else. */
static void print_text(const char *text)
{
    for (; *text; text++)
        if (*text == '\n')
            printf("\\n");
        else if (iscntrl((unsigned char)*text) || *text == '\\')
            printf("\\x%02x", (unsigned char)*text);
        else
            putchar(*text);
}

static int info(const options *o)
{
    ur_error error = {{0}};
    if (o->cpu && o->arguments)
        return complain("--cpu: takes no FILE beside it, '%s' was given", o->argument[0]);
    if (o->cpu) {
        printf("instruction set: %s\n", ur_instruction_set());
        return DONE;
    }
    if (!o->arguments)
        return complain("FILE is missing, expected `unroll info FILE` or `unroll info --cpu`");
    ur_arrays *file = ur_arrays_load(o->argument[0], NULL, &error);
    if (!file)
        return complain("%s", error.text);
    const char *key;
    const ur_array *array;
    size_t elements = 0, arrays = 0;
    for (size_t k = 0; (key = ur_arrays_key(file, k)); k++) {
        print_text(key);
        printf(": ");
        print_text(ur_arrays_text(file, key));
        printf("\n");
    }
    for (; (array = ur_arrays_at(file, arrays)); arrays++) {
        char shape[UR_ARRAY_TEXT];
        print_text(array->name);
        printf("%s %s\n", ur_array_shape(array, shape), ur_array_type_name(array->type));
        elements += array->count;
    }
    printf("%zu arrays, %zu elements\n", arrays, elements);
    ur_arrays_free(file);
    return DONE;
}

const command command_info = {
    .name = "info",
    .bit = INFO,
    .arguments = "FILE",
    .least = 0,
    .most = 1,
    .summary = "prints what a model or data file holds",
    .text = "Prints the metadata, such as a model's cell and options, and each array with its shape and type.",
    .example = "unroll info reber.safetensors",
    .run = info,
};
