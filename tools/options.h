/* options.h - the command line: one table of options, which commands take them, and their values. */
#ifndef UNROLL_OPTIONS_H
#define UNROLL_OPTIONS_H

#include "../optim/optim.h"

enum { MOST_ARGUMENTS = 32, MOST_SIZES = 8 };

/* The values of all options; what was not given has its default. */
typedef struct options {
    const char *argument[MOST_ARGUMENTS];
    int arguments;
    /* model */
    int64_t hidden, layers, heads, bptt;
    bool bidirectional, layer_norm, batch_norm;
    double dropout, recurrent_dropout, forget_bias; /* forget_bias: NAN: not given */
    const char *sizes[MOST_SIZES];                  /* of --size: "d=3" */
    int size_count;
    int64_t out, loss, reduce, hidden_activation, init, dtype; /* indices of their choices, -1: not given */
    /* data */
    const char *task, *data;
    int64_t count, min_length, max_length;
    /* training */
    double lr, momentum, clip_norm, clip_value;   /* 0: not given */
    double weight_decay, valid;                   /* NAN: not given */
    int64_t optim, schedule, epochs, batch, seed; /* -1: not given */
    int64_t patience, memory;                     /* 0: not given */
    bool until_zero_errors, shuffle, stateful, dry_run, explain_plan;
    const char *save, *resume, *log, *plot, *freeze;
    /* others */
    const char *weights, *input, *lengths, *target, *weight, *grad, *state, *state_out;
    int64_t require, order, steps, view, format, threads;
    double tolerance;
    bool strict, quiet, cpu, hide_const, experiments, limits, json;
    const char *output, *title;
} options;

/* The values of --format. */
enum { FORMAT_TEXT, FORMAT_JSON, FORMAT_SAFETENSORS, FORMAT_DOT, FORMAT_SVG, FORMAT_PNG, FORMAT_PDF, FORMAT_MARKDOWN };

/* The commands that an option belongs to. */
enum {
    TRAIN = 1,
    EVAL = 2,
    DATA = 4,
    GRADCHECK = 8,
    INFO = 16,
    GRAPH = 32,
    RUN = 64,
    LECTURE = 128,
    BENCH = 256,
    EVERY = 2 * BENCH - 1,
    MODEL = TRAIN | GRADCHECK | GRAPH | RUN
};

typedef struct command {
    const char *name;
    int bit;
    const char *arguments; /* "CELL" */
    int least, most;       /* number of arguments */
    const char *summary;   /* a line for the list */
    const char *text;      /* what `unroll help NAME` says beyond that */
    const char *example;
    int (*run)(const options *o);
} command;

/* NULL past the last. */
const command *command_at(size_t index);
const command *command_find(const char *name);

/* Reads the words after the command's name. False after an error, which is printed. `help` is set by --help. */
bool options_parse(const command *c, int count, char **words, options *o, bool *help);
void options_print(const command *c, FILE *out);

/* ---- reporting: everything that goes to stderr */

enum { DONE = 0, CHECK_FAILED = 1, BAD_INPUT = 2, INTERRUPTED = 130, TERMINATED = 143 };

/* Prints `unroll: ` and the line; returns BAD_INPUT. */
int complain(const char *format, ...) UR_PRINTF(1, 2);
/* The same; returns false. */
bool refuse(const char *format, ...) UR_PRINTF(1, 2);
/* The number as printf should show it: a NaN without a sign, which tells nothing. */
double printed(double number);
/* Complains that the word is no `what`, and names one that is near, or all. The list ends with NULL. */
int unknown_name(const char *where, const char *what, const char *word, const char *const *names);

#endif
