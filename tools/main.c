/* main.c - the command `unroll`: finds the command, prints the help. Each command is a file of its own. */
#include <string.h>

#include "options.h"

extern const command command_train, command_eval, command_data, command_gradcheck, command_graph, command_info,
    command_run;

static const char version[] = UR_VERSION;

const command *command_at(size_t index)
{
    static const command *const commands[] = {&command_train,     &command_eval,  &command_run, &command_data,
                                              &command_gradcheck, &command_graph, &command_info};
    return index < sizeof commands / sizeof commands[0] ? commands[index] : NULL;
}

const command *command_find(const char *name)
{
    const command *c;
    for (size_t i = 0; (c = command_at(i)); i++)
        if (strcmp(c->name, name) == 0)
            return c;
    return NULL;
}

static int unknown_command(const char *word)
{
    const char *names[16] = {"help"};
    const command *c;
    for (size_t i = 0; (c = command_at(i)); i++)
        names[i + 1] = c->name;
    const char *near = nearest(word, names);
    return near ? complain("%s: no such command, did you mean '%s'?", word, near)
                : complain("%s: no such command, see `unroll help`", word);
}

static void help_ops(void)
{
    const ur_op *op;
    printf("%-14s %-40s %s\n", "operation", "y", "contribution to the inputs' adjoints");
    for (size_t i = 0; (op = ur_op_at(i)); i++)
        printf("%-14s %-40s %s\n", op->name, op->formula, op->derivative);
}

static int help(const char *topic)
{
    const command *c = topic ? command_find(topic) : NULL;
    if (topic && strcmp(topic, "ops") == 0) {
        help_ops();
    } else if (c) {
        printf("usage: unroll %s%s%s [OPTIONS]\n\n%s\n\n%s\n\nOptions:\n", c->name, *c->arguments ? " " : "",
               c->arguments, c->summary, c->text);
        options_print(c, stdout);
        printf("\nExample:\n  %s\n", c->example);
    } else if (topic && strcmp(topic, "help") != 0) {
        return unknown_command(topic);
    } else {
        printf("usage: unroll COMMAND [ARGUMENTS] [OPTIONS]\n\n"
               "unroll trains recurrent networks that are written as compositions of tensor operations, and\n"
               "checks and draws what it derives from them.\n\nCommands:\n");
        for (size_t i = 0; (c = command_at(i)); i++)
            printf("  %-10s %s\n", c->name, c->summary);
        printf("  %-10s %s\n\nCells:\n", "help", "this page; help COMMAND; help ops lists the operations");
        const ur_cell *cell;
        for (size_t i = 0; (cell = ur_cell_at(i)); i++)
            printf("  %-10s %s\n", cell->name, cell->equations);
        printf("\nTasks:\n ");
        const ur_task *task;
        for (size_t i = 0; (task = ur_task_at(i)); i++)
            printf(" %s", task->name);
        printf("\n\nExit status: 0 done, 1 a check did not hold, 2 wrong usage or bad input,\n"
               "130 and 143 after an interrupt, with the model saved.\n");
    }
    return DONE;
}

static int run(int count, char **words)
{
    if (count < 2)
        return complain("a command was expected, see `unroll help`");
    const char *word = words[1];
    if (strcmp(word, "help") == 0 || strcmp(word, "--help") == 0)
        return help(count > 2 ? words[2] : NULL);
    if (strcmp(word, "--version") == 0) {
        printf("unroll %s\n", version);
        return DONE;
    }
    const command *c = command_find(word);
    if (!c)
        return unknown_command(word);
    options o;
    bool wants_help;
    if (!options_parse(c, count - 2, words + 2, &o, &wants_help))
        return BAD_INPUT;
    return wants_help ? help(c->name) : c->run(&o);
}

int main(int count, char **words)
{
    int status = run(count, words);
    if ((fflush(stdout) != 0 || ferror(stdout)) && status == DONE)
        status = complain("stdout: the results could not be written");
    return status;
}
