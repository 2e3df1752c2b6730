/* options.c - the command line: one table of options, which commands take them, and their values. */
#include "options.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

/* In the order of ur_init, ur_dtype, ur_dot_view. */
static const char *const init_choices[] = {"glorot", "glorot_normal", NULL};
static const char *const dtype_choices[] = {"f32", "f64", NULL};
static const char *const view_choices[] = {"folded", "unrolled", NULL};
static const char *const format_choices[] = {"text", "json", "dot", "svg", "png", "pdf", NULL};

typedef enum kind { FLAG, INTEGER, REAL, TEXT, CHOICE } kind;

typedef struct option {
    const char *name;
    kind kind;
    int commands;
    size_t offset;
    double low, high; /* of numbers; a REAL must lie above `low` */
    const char *const *choices;
    const char *value, *help;
    unsigned allowed; /* bit i: choice i; 0: all */
} option;

#define AT(field) offsetof(options, field)

static const double many = 1e12;

/* A row each; a number's limits, a choice's names and which of them are allowed stand before what the help prints. */
#define FLAG_ROW(word, at, who, text)                                                                                  \
    {                                                                                                                  \
        .name = word, .kind = FLAG, .commands = who, .offset = AT(at), .help = text                                    \
    }
#define TEXT_ROW(word, at, who, what, text)                                                                            \
    {                                                                                                                  \
        .name = word, .kind = TEXT, .commands = who, .offset = AT(at), .value = what, .help = text                     \
    }
#define NUMBER_ROW(word, at, who, type, from, to, what, text)                                                          \
    {                                                                                                                  \
        .name = word, .kind = type, .commands = who, .offset = AT(at), .low = from, .high = to, .value = what,         \
        .help = text                                                                                                   \
    }
#define CHOICE_ROW(word, at, who, names, which, text)                                                                  \
    {                                                                                                                  \
        .name = word, .kind = CHOICE, .commands = who, .offset = AT(at), .choices = names, .allowed = which,           \
        .value = "NAME", .help = text                                                                                  \
    }

static const option table[] = {
    /* model */
    NUMBER_ROW("hidden", hidden, TRAIN | GRADCHECK | GRAPH, INTEGER, 1, many, "M", "hidden units"),
    CHOICE_ROW("out", out, MODEL, ur_activation_names,
               1 << UR_IDENTITY | 1 << UR_SIGMOID | 1 << UR_TANH | 1 << UR_SOFTMAX,
               "adds an output layer Wo, bo with this activation"),
    CHOICE_ROW("loss", loss, MODEL, ur_loss_names, 1 << UR_BCE | 1 << UR_CE | 1 << UR_MSE,
               "loss; mse has the factor 1/2"),
    CHOICE_ROW("reduce", reduce, MODEL, ur_reduction_names, 0,
               "divides the summed loss by 1, the number of sequences (default), or lengths x outputs"),
    CHOICE_ROW("hidden-activation", hidden_activation, MODEL, ur_activation_names, 1 << UR_TANH | 1 << UR_RELU,
               "activation of the hidden units (default tanh)"),
    CHOICE_ROW("init", init, TRAIN | GRADCHECK, init_choices, 0,
               "initial matrices (default glorot, uniform); vectors are 0"),
    CHOICE_ROW("dtype", dtype, TRAIN | DATA | RUN, dtype_choices, 0, "number type (default f32, run: f64)"),
    /* data */
    TEXT_ROW("task", task, TRAIN | EVAL, "NAME", "draws the data: reber or ereber"),
    TEXT_ROW("data", data, TRAIN | EVAL, "FILE", "reads the data from a safetensors file"),
    NUMBER_ROW("count", count, TRAIN | EVAL | DATA, INTEGER, 1, 1e9, "N",
               "sequences of a task (default 400, eval: 100)"),
    NUMBER_ROW("min-length", min_length, TRAIN | EVAL | DATA, INTEGER, 1, 1e9, "N",
               "shortest sequence of a task (default reber: 30, ereber: 40)"),
    NUMBER_ROW("max-length", max_length, TRAIN | EVAL | DATA, INTEGER, 1, 1e9, "N", "longest sequence of a task"),
    /* training */
    NUMBER_ROW("lr", lr, TRAIN, REAL, 0, 1e30, "RATE", "step size of gradient descent (default 0.1)"),
    NUMBER_ROW("epochs", epochs, TRAIN, INTEGER, 0, many, "N", "passes over the data (default 100)"),
    NUMBER_ROW("batch", batch, TRAIN, INTEGER, 1, 1e9, "N|full", "sequences of one update (default full)"),
    FLAG_ROW("until-zero-errors", until_zero_errors, TRAIN, "ends at the first epoch without a wrong position"),
    TEXT_ROW("save", save, TRAIN, "FILE", "writes the model"),
    TEXT_ROW("log", log, TRAIN, "FILE.csv", "writes loss and errors of each epoch"),
    TEXT_ROW("plot", plot, TRAIN, "FILE.svg", "draws loss and errors"),
    /* one pass */
    TEXT_ROW("weights", weights, RUN, "FILE", "the cell's parameters by their names, safetensors"),
    TEXT_ROW("input", input, RUN, "X.npy|-", "x [N,T,d], or a step a line from stdin"),
    TEXT_ROW("lengths", lengths, RUN, "L.npy", "lengths [N] of the sequences (default T)"),
    TEXT_ROW("target", target, RUN, "Y.npy", "y [N,T,p], [N,p] for the last step, or integers, classes, [N,T] or [N]"),
    TEXT_ROW("weight", weight, RUN, "F.npy", "how much each position [N,T] counts (default 1)"),
    TEXT_ROW("grad", grad, RUN, "FILE", "receives gradients and deltas, safetensors"),
    TEXT_ROW("state", state, RUN, "FILE", "initial states [N,units] by their names (default 0)"),
    TEXT_ROW("state-out", state_out, RUN, "FILE", "receives the states after each sequence's last step"),
    /* checks and views */
    NUMBER_ROW("require", require, EVAL, INTEGER, 0, many, "N", "status 1 if more than N sequences are wrong"),
    NUMBER_ROW("order", order, GRADCHECK, INTEGER, 1, 2, "1|2", "2 checks the second derivatives (default 1)"),
    NUMBER_ROW("tolerance", tolerance, GRADCHECK, REAL, 0, 1, "T",
               "allowed relative difference (default 1e-7, order 2: 1e-5)"),
    FLAG_ROW("strict", strict, GRADCHECK, "status 1 for an unstable element too"),
    CHOICE_ROW("view", view, GRAPH, view_choices, 0, "one step that stands for all (default), or all of them"),
    NUMBER_ROW("steps", steps, GRAPH, INTEGER, 1, 1000, "T", "steps to unroll (default 3)"),
    CHOICE_ROW("format", format, GRADCHECK | GRAPH | DATA, format_choices, 0,
               "gradcheck: text or json; graph: dot, svg, png or pdf; data: text prints symbols"),
    FLAG_ROW("hide-const", hide_const, GRAPH, "leaves constants out"),
    TEXT_ROW("title", title, GRAPH, "TEXT", "stands above the diagram"),
    FLAG_ROW("cpu", cpu, INFO, "prints the instruction set in use"),
    /* everywhere */
    NUMBER_ROW("seed", seed, TRAIN | EVAL | DATA | GRADCHECK, INTEGER, 0, 9e15, "S",
               "of data and initial values (default 1)"),
    TEXT_ROW("output", output, DATA | GRAPH | RUN, "FILE", "where to write, also -o; run: the outputs [N,T,p], .npy"),
    FLAG_ROW("quiet", quiet, EVERY, "no progress on stderr"),
};

enum { OPTIONS = sizeof table / sizeof table[0] };

static const options defaults = {.out = -1,
                                 .loss = -1,
                                 .reduce = -1,
                                 .hidden_activation = -1,
                                 .init = -1,
                                 .dtype = -1,
                                 .lr = 0.1,
                                 .epochs = 100,
                                 .seed = 1,
                                 .require = -1,
                                 .order = 1,
                                 .view = -1,
                                 .format = -1};

/* ---- reporting */

int complain(const char *format, ...)
{
    va_list list;
    va_start(list, format);
    fputs("unroll: ", stderr);
    vfprintf(stderr, format, list);
    fputc('\n', stderr);
    va_end(list);
    return BAD_INPUT;
}

/* Levenshtein (1966): the least number of insertions, deletions and exchanges. */
static size_t distance(const char *a, const char *b)
{
    enum { LONGEST = 40 };
    size_t n = strlen(b), row[LONGEST + 1];
    if (n > LONGEST || strlen(a) > LONGEST)
        return LONGEST;
    for (size_t j = 0; j <= n; j++)
        row[j] = j;
    for (size_t i = 1; *a; a++, i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= n; j++) {
            size_t best = diagonal + (*a != b[j - 1]);
            best = row[j] + 1 < best ? row[j] + 1 : best;
            best = row[j - 1] + 1 < best ? row[j - 1] + 1 : best;
            diagonal = row[j];
            row[j] = best;
        }
    }
    return row[n];
}

const char *nearest(const char *word, const char *const *names)
{
    const char *best = NULL;
    size_t least = 3;
    for (; *names; names++) {
        size_t d = distance(word, *names);
        if (**names && d < least && d < strlen(word)) {
            least = d;
            best = *names;
        }
    }
    return best;
}

/* ---- values */

static bool allowed(const option *opt, int64_t i)
{
    return !opt->allowed || (opt->allowed >> i & 1);
}

static void list_choices(const option *opt, char *text, size_t bytes)
{
    size_t length = 0;
    text[0] = 0;
    for (int64_t i = 0; opt->choices[i]; i++)
        if (allowed(opt, i) && length < bytes)
            length += (size_t)snprintf(text + length, bytes - length, "%s%s", length ? "|" : "", opt->choices[i]);
}

static bool read_choice(const option *opt, const char *word, options *o)
{
    char text[128];
    for (int64_t i = 0; opt->choices[i]; i++)
        if (allowed(opt, i) && strcmp(opt->choices[i], word) == 0) {
            *(int64_t *)(void *)((char *)o + opt->offset) = i;
            return true;
        }
    list_choices(opt, text, sizeof text);
    complain("--%s: one of %s was expected, not '%s'", opt->name, text, word);
    return false;
}

static bool read_number(const option *opt, const char *word, options *o)
{
    void *value = (char *)o + opt->offset;
    char *end;
    if (opt->kind == INTEGER && strcmp(word, "full") == 0 && strcmp(opt->name, "batch") == 0) {
        *(int64_t *)value = 0;
        return true;
    }
    errno = 0;
    double number = strtod(word, &end);
    bool number_read = *word && !*end && isfinite(number) && errno == 0;
    if (opt->kind == INTEGER) {
        if (!number_read || number != floor(number) || number < opt->low || number > opt->high) {
            complain("--%s: an integer from %.0f to %.0f was expected, not '%s'", opt->name, opt->low, opt->high, word);
            return false;
        }
        *(int64_t *)value = (int64_t)number;
        return true;
    }
    if (!number_read || !(number > opt->low) || number > opt->high) {
        complain("--%s: a number above %g, at most %g, was expected, not '%s'", opt->name, opt->low, opt->high, word);
        return false;
    }
    *(double *)value = number;
    return true;
}

static bool read_value(const option *opt, const char *word, options *o)
{
    switch (opt->kind) {
    case FLAG:
        *(bool *)((char *)o + opt->offset) = true;
        return true;
    case TEXT:
        *(const char **)(void *)((char *)o + opt->offset) = word;
        return *word || (complain("--%s: %s was expected, not an empty word", opt->name, opt->value), false);
    case CHOICE:
        return read_choice(opt, word, o);
    case INTEGER:
    case REAL:
        break;
    }
    return read_number(opt, word, o);
}

/* ---- words */

static const option *find(const command *c, const char *name, size_t length)
{
    for (size_t i = 0; i < OPTIONS; i++)
        if (strlen(table[i].name) == length && strncmp(table[i].name, name, length) == 0 &&
            (table[i].commands & c->bit))
            return &table[i];
    return NULL;
}

static bool unknown(const command *c, const char *name, size_t length)
{
    const char *names[OPTIONS + 1] = {NULL};
    char word[64];
    size_t count = 0;
    snprintf(word, sizeof word, "%.*s", (int)(length < 63 ? length : 63), name);
    for (size_t i = 0; i < OPTIONS; i++)
        if (table[i].commands & c->bit)
            names[count++] = table[i].name;
    const char *near = nearest(word, names);
    if (near)
        complain("--%s: %s has no such option, did you mean --%s?", word, c->name, near);
    else
        complain("--%s: %s has no such option, see `unroll help %s`", word, c->name, c->name);
    return false;
}

/* One option at words[i]; returns the number of words that it took, 0 after an error. */
static int parse_option(const command *c, int left, char **words, options *o)
{
    const char *name = words[0][1] == 'o' && !words[0][2] ? "output" : words[0] + 2;
    const char *equals = strchr(name, '=');
    size_t length = equals ? (size_t)(equals - name) : strlen(name);
    const option *opt = words[0][1] == '-' || name != words[0] + 2 ? find(c, name, length) : NULL;
    if (!opt)
        return unknown(c, words[0][1] == '-' ? name : words[0] + 1, words[0][1] == '-' ? length : strlen(words[0] + 1));
    if (opt->kind == FLAG) {
        if (equals) {
            complain("--%s: takes no value, '%s' was given", opt->name, equals + 1);
            return 0;
        }
        return read_value(opt, "", o);
    }
    if (!equals && left < 2) {
        complain("--%s: %s was expected behind it", opt->name, opt->value);
        return 0;
    }
    if (!read_value(opt, equals ? equals + 1 : words[1], o))
        return 0;
    return equals ? 1 : 2;
}

bool options_parse(const command *c, int count, char **words, options *o, bool *help)
{
    bool only_arguments = false;
    *o = defaults;
    *help = false;
    for (int i = 0; i < count;) {
        if (!only_arguments && strcmp(words[i], "--") == 0) {
            only_arguments = true;
            i++;
        } else if (!only_arguments && strcmp(words[i], "--help") == 0) {
            *help = true;
            return true;
        } else if (!only_arguments && words[i][0] == '-' && words[i][1]) {
            int taken = parse_option(c, count - i, words + i, o);
            if (!taken)
                return false;
            i += taken;
        } else {
            if (o->arguments >= c->most) {
                complain("%s: '%s' is one argument too many, %s was expected", c->name, words[i],
                         c->most ? c->arguments : "none");
                return false;
            }
            o->argument[o->arguments++] = words[i++];
        }
    }
    if (o->arguments < c->least) {
        complain("%s: %s was expected, see `unroll help %s`", c->name, c->arguments, c->name);
        return false;
    }
    return true;
}

void options_print(const command *c, FILE *out)
{
    for (size_t i = 0; i < OPTIONS; i++) {
        char left[64], choices[96] = "";
        if (!(table[i].commands & c->bit))
            continue;
        if (table[i].kind == CHOICE && strcmp(table[i].name, "format") != 0)
            list_choices(&table[i], choices, sizeof choices);
        const char *value = *choices ? choices : table[i].value;
        int width = snprintf(left, sizeof left, "--%s%s%s", table[i].name, value ? " " : "", value ? value : "");
        fprintf(out, width > 27 ? "  %s\n  %-28s" : "  %-28s%s", left, width > 27 ? "" : table[i].help);
        fprintf(out, "%s\n", width > 27 ? table[i].help : "");
    }
}
