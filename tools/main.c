/* main.c - the command `unroll`: finds the command, prints the help. Each command is a file of its own. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "options.h"

extern const command command_train, command_eval, command_data, command_gradcheck, command_graph, command_info,
    command_run, command_lecture, command_bench;

static const char version[] = UR_VERSION;

static const command *const commands[] = {&command_train,   &command_eval,      &command_run,
                                          &command_data,    &command_gradcheck, &command_graph,
                                          &command_lecture, &command_info,      &command_bench};
enum { COMMANDS = sizeof commands / sizeof commands[0] };

const command *command_at(size_t index)
{
    return index < COMMANDS ? commands[index] : NULL;
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
    const char *names[COMMANDS + 4] = {"help", "--help", "--version"};
    for (size_t i = 0; i < COMMANDS; i++)
        names[i + 3] = commands[i]->name;
    return unknown_name("", "command", word, names);
}

static void help_ops(void)
{
    const ur_op *op;
    printf("%-14s %-40s %s\n", "operation", "y", "contribution to the inputs' adjoints");
    for (size_t i = 0; (op = ur_op_at(i)); i++)
        printf("%-14s %-40s %s\n", op->name, op->formula, op->derivative);
}

static void help_command(const command *c)
{
    printf("usage: unroll %s%s%s [OPTIONS]\n\n%s\n\n%s\n\nOptions:\n", c->name, *c->arguments ? " " : "", c->arguments,
           c->summary, c->text);
    options_print(c, stdout);
    printf("\nExample:\n  %s\n", c->example);
}

/* The name beside the equations, a line each. */
static void print_cell(const ur_cell *cell)
{
    const char *line = cell->equations, *name = cell->name;
    for (size_t length; *line; line += length + (line[length] == '\n'), name = "") {
        length = strcspn(line, "\n");
        printf("  %-10s %.*s\n", name, (int)length, line);
    }
}

static void help_all(void)
{
    const command *c;
    const ur_cell *cell;
    const ur_task *task;
    printf("usage: unroll COMMAND [ARGUMENTS] [OPTIONS]\n\n"
           "unroll trains recurrent networks that are written as compositions of tensor operations, and\n"
           "checks and draws what it derives from them.\n\nCommands:\n");
    for (size_t i = 0; (c = command_at(i)); i++)
        printf("  %-10s %s\n", c->name, c->summary);
    printf("  %-10s %s\n\nCells:\n", "help", "this page; help COMMAND: a command; help ops: the operations");
    for (size_t i = 0; (cell = ur_cell_at(i)); i++)
        print_cell(cell);
    printf("\nTasks:\n ");
    for (size_t i = 0; (task = ur_task_at(i)); i++)
        printf(" %s", task->name);
    printf("\n\nExit status: 0 done, 1 a check did not hold, 2 wrong usage or bad input,\n"
           "130 and 143 after an interrupt, with the model saved.\n\n"
           "Begin with:\n"
           "  unroll train rnn --task reber --hidden 4 --lr 1 --reduce mean --epochs 10000 \\\n"
           "    --until-zero-errors --save reber.safetensors\n"
           "  unroll eval reber.safetensors\n");
}

static int help(int topics, char **topic)
{
    if (topics > 1)
        return complain("'%s' is one argument too many, expected `unroll help COMMAND`", topic[1]);
    const command *c = topics ? command_find(topic[0]) : NULL;
    if (c)
        help_command(c);
    else if (topics && strcmp(topic[0], "ops") == 0)
        help_ops();
    else if (!topics || strcmp(topic[0], "help") == 0)
        help_all();
    else
        return unknown_command(topic[0]);
    return DONE;
}

static int run(int count, char **words)
{
    if (count < 2)
        return complain("a command is missing, see `unroll help`");
    const char *word = words[1];
    if (strcmp(word, "help") == 0 || strcmp(word, "--help") == 0)
        return help(count - 2, words + 2);
    if (strcmp(word, "--version") == 0) {
        if (count > 2)
            return complain("'%s' is one argument too many, expected `unroll --version`", words[2]);
        printf("unroll %s\n", version);
        return DONE;
    }
    const command *c = command_find(word);
    options o;
    bool wants_help;
    if (!c)
        return unknown_command(word);
    if (!options_parse(c, count - 2, words + 2, &o, &wants_help))
        return BAD_INPUT;
    if (wants_help)
        help_command(c);
    return wants_help ? DONE : c->run(&o);
}

/* A file that is opened in the place of a closed stdout would receive the results. */
static void fill_descriptors(void)
{
    int descriptor;
    do
        descriptor = open("/dev/null", O_RDONLY);
    while (descriptor >= 0 && descriptor <= STDERR_FILENO);
    if (descriptor > STDERR_FILENO)
        close(descriptor);
}

/* A name that is not known, or of what the processor does not have. */
static void check_instruction_set(void)
{
    const char *wanted = getenv("UNROLL_ISA");
    if (wanted && *wanted && strcmp(wanted, ur_instruction_set()) != 0)
        fprintf(stderr, "unroll: UNROLL_ISA: %s is not to be had here, %s is used\n", wanted, ur_instruction_set());
}

int main(int count, char **words)
{
    fill_descriptors();
    check_instruction_set();
    signal(SIGPIPE, SIG_IGN); /* a reader that left is a write error like others, and ends no training, */
    signal(SIGXFSZ, SIG_IGN); /* and so is a file that is larger than allowed */
    int status = run(count, words);
    errno = 0;
    if ((fflush(stdout) != 0 || ferror(stdout)) && (status == DONE || status == CHECK_FAILED))
        status = complain("stdout: the results could not be written: %s", errno ? strerror(errno) : "write error");
    return status;
}
