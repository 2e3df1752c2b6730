/* options.c - the command line: one table of options, which commands take them, and their values. */
#include <ctype.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "../graph/support.h"
#include "options.h"

/* In the order of ur_dtype, ur_dot_view. */
static const char *const dtype_choices[] = {"f32", "f64", NULL};
static const char *const view_choices[] = {"folded", "unrolled", NULL};
static const char *const format_choices[] = {"text", "json", "safetensors", "dot", "svg",
                                             "png",  "pdf",  "markdown",    NULL};

/* A POSITIVE lies above `low`, a REAL may be equal to it; a SIZE may be given again and again. A WRITTEN file must
 * have a name; a RESULT without one goes to stdout, and `-` is none. */
typedef enum kind { FLAG, INTEGER, POSITIVE, REAL, TEXT, WRITTEN, RESULT, CHOICE, SIZE } kind;

typedef struct option {
    const char *name;
    kind kind;
    int commands;
    size_t offset;
    double low, high;           /* of numbers */
    const char *const *choices; /* up to NULL; NULL: the optimisers */
    const char *value, *help;
    unsigned allowed; /* bit i: choice i; 0: all */
} option;

#define AT(field) offsetof(options, field)

static const double many = 1e12, most_units = 1e6;

/* A row each; a number's limits, a choice's names and which of them are allowed stand before what the help prints. */
#define FLAG_ROW(word, at, who, text)                                                                                  \
    {                                                                                                                  \
        .name = (word), .kind = FLAG, .commands = (who), .offset = AT(at), .help = (text)                              \
    }
#define FILE_ROW(word, at, who, type, what, text)                                                                      \
    {                                                                                                                  \
        .name = (word), .kind = (type), .commands = (who), .offset = AT(at), .value = (what), .help = (text)           \
    }
#define TEXT_ROW(word, at, who, what, text) FILE_ROW(word, at, who, TEXT, what, text)
#define NUMBER_ROW(word, at, who, type, from, to, what, text)                                                          \
    {                                                                                                                  \
        .name = (word), .kind = (type), .commands = (who), .offset = AT(at), .low = (from), .high = (to),              \
        .value = (what), .help = (text)                                                                                \
    }
#define CHOICE_ROW(word, at, who, names, which, text)                                                                  \
    {                                                                                                                  \
        .name = (word), .kind = CHOICE, .commands = (who), .offset = AT(at), .choices = (names), .allowed = (which),   \
        .value = "NAME", .help = (text)                                                                                \
    }

#define SIZE_ROW(word, at, who, text)                                                                                  \
    {                                                                                                                  \
        .name = (word), .kind = SIZE, .commands = (who), .offset = AT(at), .value = "NAME=N", .help = (text)           \
    }

static const option table[] = {
    /* model */
    NUMBER_ROW("hidden", hidden, TRAIN, INTEGER, 1, most_units, "M", "hidden units"),
    NUMBER_ROW("hidden", hidden, GRADCHECK | GRAPH, INTEGER, 1, most_units, "M", "hidden units (default 4)"),
    NUMBER_ROW("hidden", hidden, RUN, INTEGER, 1, most_units, "M", "hidden units that the weights must have"),
    CHOICE_ROW("out", out, MODEL, ur_activation_names,
               1 << UR_IDENTITY | 1 << UR_SIGMOID | 1 << UR_TANH | 1 << UR_SOFTMAX,
               "adds an output layer Wo, bo with this activation"),
    CHOICE_ROW("loss", loss, MODEL, ur_loss_names, 1 << UR_BCE | 1 << UR_CE | 1 << UR_MSE,
               "binary or softmax cross-entropy, or 1/2 the squared error"),
    CHOICE_ROW("reduce", reduce, MODEL, ur_reduction_names, 0,
               "the summed loss is divided by 1, by the number of sequences (default), or by lengths x outputs"),
    CHOICE_ROW("hidden-activation", hidden_activation, MODEL, ur_activation_names, 1 << UR_TANH | 1 << UR_RELU,
               "activation of the hidden units (default tanh)"),
    NUMBER_ROW("layers", layers, MODEL, INTEGER, 1, 1000, "L", "stacked layers of the cell (default 1)"),
    FLAG_ROW("bidirectional", bidirectional, MODEL, "every layer runs in both directions"),
    NUMBER_ROW("heads", heads, MODEL, INTEGER, 1, 64, "H", "heads of slstm and mlstm (default 1)"),
    FLAG_ROW("layer-norm", layer_norm, MODEL, "normalises each layer's output over its units"),
    FLAG_ROW("batch-norm", batch_norm, MODEL, "normalises each layer's output over the batch"),
    NUMBER_ROW("dropout", dropout, MODEL, REAL, 0, 0.999, "P", "drops outputs between layers in training"),
    NUMBER_ROW("recurrent-dropout", recurrent_dropout, MODEL, REAL, 0, 0.999, "P",
               "drops what a step reads of the state, the same for the whole sequence"),
    NUMBER_ROW("forget-bias", forget_bias, TRAIN | GRADCHECK, REAL, -1e6, 1e6, "V",
               "initial value of the forget gates' bias bphi (default 0)"),
    CHOICE_ROW("init", init, TRAIN | GRADCHECK, ur_init_names, 0,
               "initial matrices (default glorot_uniform); vectors are 0"),
    SIZE_ROW("size", sizes, TRAIN | GRADCHECK | GRAPH,
             "sets a size: m, the hidden units; d and p where no data gives them"),
    SIZE_ROW("size", sizes, RUN, "a size that the weights must have: d, m, the hidden units, or p"),
    CHOICE_ROW("dtype", dtype, TRAIN | DATA, dtype_choices, 0, "type of the numbers (default f32)"),
    CHOICE_ROW("dtype", dtype, RUN, dtype_choices, 0, "type of the numbers (default f64)"),
    CHOICE_ROW("dtype", dtype, GRADCHECK, dtype_choices, 1 << UR_F64, "type of the numbers"),
    /* data */
    TEXT_ROW("task", task, TRAIN | EVAL, "NAME", "draws the data of this task; `unroll help` lists the tasks"),
    TEXT_ROW("data", data, TRAIN | EVAL, "FILE", "reads the data, x, y and lengths, from a safetensors file"),
    NUMBER_ROW("count", count, TRAIN | DATA, INTEGER, 1, 1e9, "N", "sequences of a task (default 400)"),
    NUMBER_ROW("count", count, EVAL, INTEGER, 1, 1e9, "N", "sequences of a task (default 100)"),
    NUMBER_ROW("min-length", min_length, TRAIN | EVAL | DATA, INTEGER, 1, 1e9, "N",
               "shortest sequence of a task (default reber: 30, ereber: 40)"),
    NUMBER_ROW("max-length", max_length, TRAIN | EVAL | DATA, INTEGER, 1, 1e9, "N", "longest sequence of a task"),
    /* training */
    CHOICE_ROW("optim", optim, TRAIN, NULL, 0, "optimiser (default gd, gradient descent)"),
    NUMBER_ROW("lr", lr, TRAIN, POSITIVE, 0, 1e30, "RATE", "step size (default 0.1)"),
    NUMBER_ROW("momentum", momentum, TRAIN, POSITIVE, 0, 0.9999, "MU", "of momentum and nesterov (default 0.9)"),
    CHOICE_ROW("schedule", schedule, TRAIN, ur_schedule_names, 0, "how the step size changes (default constant)"),
    NUMBER_ROW("epochs", epochs, TRAIN, INTEGER, 0, many, "N", "passes over the data (default 100)"),
    NUMBER_ROW("batch", batch, TRAIN, INTEGER, 1, 1e9, "N|full", "sequences of one update (default full)"),
    FLAG_ROW("shuffle", shuffle, TRAIN, "another order of the sequences in each epoch"),
    NUMBER_ROW("bptt", bptt, TRAIN, INTEGER, 1, 1e9, "K", "gradients reach back at most K steps"),
    FLAG_ROW("stateful", stateful, TRAIN, "an update after every K steps of --bptt, from the states of those before"),
    NUMBER_ROW("clip-norm", clip_norm, TRAIN, POSITIVE, 0, 1e30, "C", "scales a longer gradient to this norm"),
    NUMBER_ROW("clip-value", clip_value, TRAIN, POSITIVE, 0, 1e30, "C", "cuts the gradient's elements to -C..C"),
    NUMBER_ROW("weight-decay", weight_decay, TRAIN, REAL, 0, 1e6, "D",
               "adds D theta to the gradient; adamw: decoupled"),
    TEXT_ROW("freeze", freeze, TRAIN, "NAMES", "parameters that stay: names or beginnings `layer0.`, with commas"),
    NUMBER_ROW("valid", valid, TRAIN, REAL, 0, 0.99, "FRACTION", "the last sequences are for validation only"),
    NUMBER_ROW("patience", patience, TRAIN, INTEGER, 1, 1e9, "N",
               "stops after N epochs without a better validation loss; plateau: halves the step size"),
    FLAG_ROW("until-zero-errors", until_zero_errors, TRAIN, "ends at the first epoch without a wrong position"),
    FILE_ROW("save", save, TRAIN, WRITTEN, "FILE", "writes the model"),
    TEXT_ROW("resume", resume, TRAIN, "FILE", "goes on from a model that --save wrote, to --epochs in all"),
    FILE_ROW("log", log, TRAIN, WRITTEN, "FILE.csv", "writes loss and errors of each epoch"),
    FILE_ROW("plot", plot, TRAIN, WRITTEN, "FILE.svg", "draws loss and errors"),
    NUMBER_ROW("memory", memory, TRAIN, INTEGER, 1, 9e15, "BYTES",
               "what the plans may take; fewer sequences and steps at a time are computed then"),
    FLAG_ROW("dry-run", dry_run, TRAIN, "makes all ready and prints its sizes; trains and writes nothing"),
    FLAG_ROW("explain-plan", explain_plan, TRAIN, "prints how the network is computed: loops, products, bytes"),
    /* one pass */
    TEXT_ROW("weights", weights, RUN, "FILE", "the cell's parameters by their names, safetensors"),
    TEXT_ROW("input", input, RUN, "X.npy|-", "x [N,T,d], or a step a line from stdin"),
    TEXT_ROW("lengths", lengths, RUN, "L.npy", "lengths [N] of the sequences (default T)"),
    TEXT_ROW("target", target, RUN, "Y.npy", "y [N,T,p], [N,p] for the last step, or integers, classes, [N,T] or [N]"),
    TEXT_ROW("weight", weight, RUN, "F.npy", "how much each position [N,T] counts (default 1)"),
    FILE_ROW("grad", grad, RUN, WRITTEN, "FILE", "receives gradients and deltas, safetensors"),
    TEXT_ROW("state", state, RUN, "FILE", "initial states [N,units] by their names (default 0)"),
    FILE_ROW("state-out", state_out, RUN, WRITTEN, "FILE", "receives the states after each sequence's last step"),
    /* checks and views */
    NUMBER_ROW("require", require, EVAL, INTEGER, 0, many, "N", "status 1 if more than N sequences are wrong"),
    NUMBER_ROW("order", order, GRADCHECK, INTEGER, 1, 2, "1|2", "2 checks the second derivatives (default 1)"),
    NUMBER_ROW("tolerance", tolerance, GRADCHECK, POSITIVE, 0, 1, "T",
               "allowed relative difference (default 1e-7, order 2: 1e-5)"),
    FLAG_ROW("strict", strict, GRADCHECK, "status 1 for an unstable element too"),
    CHOICE_ROW("view", view, GRAPH, view_choices, 0, "one step that stands for all (default), or all of them"),
    NUMBER_ROW("steps", steps, GRAPH, INTEGER, 1, 1000, "T", "steps to unroll (default 3)"),
    FLAG_ROW("limits", limits, BENCH, "measures what the machine can do at most: f32 peak, reading from memory"),
    FLAG_ROW("json", json, BENCH, "a JSON object a line"),
    NUMBER_ROW("hidden", hidden, BENCH, INTEGER, 1, most_units, "M", "hidden units in place of a workload's own"),
    NUMBER_ROW("batch", batch, BENCH, INTEGER, 1, 1e9, "N", "sequences in place of a workload's own"),
    NUMBER_ROW("steps", steps, BENCH, INTEGER, 1, 1e9, "T", "steps in place of a workload's own"),
    CHOICE_ROW("format", format, GRADCHECK, format_choices, 1 << FORMAT_TEXT | 1 << FORMAT_JSON,
               "a table (default), or a list for programs"),
    CHOICE_ROW("format", format, GRAPH, format_choices,
               1 << FORMAT_DOT | 1 << FORMAT_SVG | 1 << FORMAT_PNG | 1 << FORMAT_PDF,
               "default dot; the others are made by Graphviz"),
    CHOICE_ROW("format", format, DATA, format_choices, 1 << FORMAT_TEXT | 1 << FORMAT_SAFETENSORS,
               "a line of symbols for each sequence, or arrays (default)"),
    FLAG_ROW("hide-const", hide_const, GRAPH, "leaves constants out"),
    TEXT_ROW("title", title, GRAPH, "TEXT", "stands above the diagram"),
    FLAG_ROW("cpu", cpu, INFO, "prints the instruction set in use"),
    CHOICE_ROW("format", format, LECTURE, format_choices, 1 << FORMAT_TEXT | 1 << FORMAT_MARKDOWN,
               "text (default) or a markdown table"),
    FLAG_ROW("experiments", experiments, LECTURE, "trains and measures what the lecture tells of"),
    /* everywhere */
    NUMBER_ROW("threads", threads, MODEL | EVAL | BENCH, INTEGER, 1, 1024, "N",
               "threads for large batches, same results (default 1)"),
    NUMBER_ROW("seed", seed, TRAIN | GRADCHECK, INTEGER, 0, 9e15, "S",
               "of data, their order, initial values and dropout (default 1)"),
    NUMBER_ROW("seed", seed, EVAL | DATA, INTEGER, 0, 9e15, "S", "of the data (default 1)"),
    FILE_ROW("output", output, DATA | GRAPH, RESULT, "FILE|-", "where to write, also -o"),
    FILE_ROW("output", output, LECTURE, WRITTEN, "FOLDER", "where to write the experiments' diagrams, also -o"),
    FILE_ROW("output", output, RUN, WRITTEN, "O.npy", "receives the outputs [N,T,p], also -o"),
    FLAG_ROW("quiet", quiet, EVERY, "no progress on stderr"),
};

enum { OPTIONS = sizeof table / sizeof table[0] };

static const options defaults = {.out = -1,
                                 .loss = -1,
                                 .reduce = -1,
                                 .hidden_activation = -1,
                                 .init = -1,
                                 .dtype = -1,
                                 .forget_bias = NAN,
                                 .optim = -1,
                                 .schedule = -1,
                                 .weight_decay = NAN,
                                 .valid = NAN,
                                 .epochs = -1,
                                 .batch = -1,
                                 .seed = -1,
                                 .require = -1,
                                 .order = 1,
                                 .threads = 1,
                                 .view = -1,
                                 .format = -1};

/* ---- reporting */

static void print_error(const char *format, va_list list)
{
    char line[4096];
    vsnprintf(line, sizeof line, format, list);
    for (char *c = line; *c; c++)
        *c = iscntrl((unsigned char)*c) ? '?' : *c; /* a file's name may hold a line's end */
    fprintf(stderr, "unroll: %s\n", line);
}

int complain(const char *format, ...)
{
    va_list list;
    va_start(list, format);
    print_error(format, list);
    va_end(list);
    return BAD_INPUT;
}

bool refuse(const char *format, ...)
{
    va_list list;
    va_start(list, format);
    print_error(format, list);
    va_end(list);
    return false;
}

double printed(double number)
{
    return isnan(number) ? NAN : number;
}

/* The name that begins with the word, if the word is at least two letters, or else the nearest, if any is near. */
static const char *nearest(const char *word, const char *const *names)
{
    const char *best = NULL;
    size_t least = 3, length = strlen(word);
    for (size_t i = 0; names[i]; i++) {
        if (length > 1 && strncmp(names[i], word, length) == 0)
            return names[i];
        size_t d = ur__edits(word, length, names[i]);
        if (d < least && d < length) {
            least = d;
            best = names[i];
        }
    }
    return best;
}

int unknown_name(const char *where, const char *what, const char *word, const char *const *names)
{
    char text[512] = "";
    size_t length = 0;
    const char *near = nearest(word, names);
    if (near)
        return complain("%sthere is no %s '%s', did you mean '%s'?", where, what, word, near);
    for (size_t i = 0; names[i] && length < sizeof text; i++)
        length += (size_t)snprintf(text + length, sizeof text - length, "%s%s", i ? ", " : "", names[i]);
    return complain("%sthere is no %s '%s', expected one of %s", where, what, word, text);
}

/* ---- values */

/* The name of choice i, NULL past the last. */
static const char *choice(const option *opt, size_t i)
{
    if (opt->choices)
        return opt->choices[i];
    const ur_optim *optim = ur_optim_at(i);
    return optim ? optim->name : NULL;
}

static bool allowed(const option *opt, size_t i)
{
    return !opt->allowed || (opt->allowed >> i & 1);
}

static void list_choices(const option *opt, char *text, size_t bytes)
{
    size_t length = 0;
    text[0] = 0;
    for (size_t i = 0; choice(opt, i); i++)
        if (allowed(opt, i) && length < bytes)
            length += (size_t)snprintf(text + length, bytes - length, "%s%s", length ? "|" : "", choice(opt, i));
}

static bool read_choice(const option *opt, const char *word, options *o)
{
    char text[128];
    for (size_t i = 0; choice(opt, i); i++)
        if (allowed(opt, i) && strcmp(choice(opt, i), word) == 0) {
            *(int64_t *)(void *)((char *)o + opt->offset) = (int64_t)i;
            return true;
        }
    list_choices(opt, text, sizeof text);
    complain("--%s: %s was expected, not '%s'", opt->name, text, word);
    return false;
}

static bool read_integer(const option *opt, const char *word, bool is_number, double number, int64_t *value)
{
    bool or_full = strcmp(opt->value, "N|full") == 0;
    if (or_full && strcmp(word, "full") == 0) {
        *value = 0;
        return true;
    }
    if (!is_number || number != floor(number) || number < opt->low || number > opt->high) {
        complain("--%s: an integer from %.0f to %.0f%s was expected, not '%s'", opt->name, opt->low, opt->high,
                 or_full ? " or full" : "", word);
        return false;
    }
    *value = (int64_t)number;
    return true;
}

static bool read_number(const option *opt, const char *word, options *o)
{
    void *value = (char *)o + opt->offset;
    char *end;
    double number = strtod(word, &end);
    bool is_number = *word && !*end && isfinite(number);
    if (opt->kind == INTEGER)
        return read_integer(opt, word, is_number, number, (int64_t *)value);
    bool above = opt->kind == POSITIVE;
    if (!is_number || number < opt->low || (above && number == opt->low) || number > opt->high) {
        complain("--%s: a number %s %g, at most %g, was expected, not '%s'", opt->name, above ? "above" : "from",
                 opt->low, opt->high, word);
        return false;
    }
    *(double *)value = number;
    return true;
}

/* "m=4"; which names there are depends on the command. */
static bool read_size(const char *word, options *o)
{
    size_t name = strspn(word, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_");
    const char *digits = word[name] == '=' ? word + name + 1 : "";
    size_t length = strspn(digits, "0123456789");
    if (name == 0 || length == 0 || length > 7 || digits[length] || *digits == '0')
        return refuse("--size: a name and an integer from 1 were expected, such as m=4, not '%s'", word);
    if (o->size_count == MOST_SIZES)
        return refuse("--size: at most %d sizes were expected", MOST_SIZES);
    o->sizes[o->size_count++] = word;
    return true;
}

static bool read_text(const option *opt, const char *word, options *o)
{
    bool dash = strcmp(word, "-") == 0;
    *(const char **)(void *)((char *)o + opt->offset) = opt->kind == RESULT && dash ? NULL : word;
    if (opt->kind == WRITTEN && dash)
        return refuse("--%s: %s was expected, not -; a file of that name is ./-", opt->name, opt->value);
    return *word || refuse("--%s: %s was expected, not an empty word", opt->name, opt->value);
}

static bool read_value(const option *opt, const char *word, options *o)
{
    switch (opt->kind) {
    case FLAG:
        *(bool *)((char *)o + opt->offset) = true;
        return true;
    case TEXT:
    case WRITTEN:
    case RESULT:
        return read_text(opt, word, o);
    case CHOICE:
        return read_choice(opt, word, o);
    case SIZE:
        return read_size(word, o);
    case INTEGER:
    case POSITIVE:
    case REAL:
        break;
    }
    return read_number(opt, word, o);
}

/* ---- words */

/* The option of this name that the command takes, or with NULL that any command takes. */
static const option *find(const command *c, const char *name)
{
    for (size_t i = 0; i < OPTIONS; i++)
        if (strcmp(table[i].name, name) == 0 && (!c || (table[i].commands & c->bit)))
            return &table[i];
    return NULL;
}

/* "train, run": the commands that take the option. */
static void list_owners(const char *name, char *text, size_t bytes)
{
    size_t length = 0;
    const command *c;
    for (size_t i = 0; (c = command_at(i)) && length < bytes; i++)
        if (find(c, name))
            length += (size_t)snprintf(text + length, bytes - length, "%s%s", length ? ", " : "", c->name);
}

static int unknown_option(const command *c, const char *name)
{
    const char *names[OPTIONS + 2] = {NULL};
    char owners[128] = "";
    size_t count = 0;
    list_owners(name, owners, sizeof owners);
    if (*owners)
        return complain("--%s: is no option of %s, only of %s", name, c->name, owners);
    for (size_t i = 0; i < OPTIONS; i++)
        if (table[i].commands & c->bit)
            names[count++] = table[i].name;
    names[count] = "help";
    const char *near = nearest(name, names);
    return near ? complain("--%s: is no option of %s, did you mean --%s?", name, c->name, near)
                : complain("--%s: is no option of %s, see `unroll help %s`", name, c->name, c->name);
}

/* The option's value, in the same word or the next; returns the number of words that the option took, 0 after an
 * error. */
static int parse_value(const option *opt, int left, char **words, const char *equals, options *o)
{
    if (opt->kind == FLAG && equals) {
        complain("--%s: takes no value, '%s' was given", opt->name, equals + 1);
        return 0;
    }
    if (opt->kind == FLAG || equals)
        return read_value(opt, equals ? equals + 1 : "", o);
    if (left < 2) {
        complain("--%s: %s was expected behind it, nothing was found", opt->name, opt->value);
        return 0;
    }
    return read_value(opt, words[1], o) ? 2 : 0;
}

/* One option at words[0]; returns the number of words that it took, 0 after an error. */
static int parse_option(const command *c, int left, char **words, options *o)
{
    enum { LONGEST = 64 };
    char name[LONGEST];
    if (words[0][1] != '-' && strcmp(words[0], "-o") != 0) {
        complain("%s: is no option of %s; options are long, see `unroll help %s`", words[0], c->name, c->name);
        return 0;
    }
    const char *word = words[0][1] == '-' ? words[0] + 2 : "output", *equals = strchr(word, '=');
    size_t length = equals ? (size_t)(equals - word) : strlen(word);
    length = length < sizeof name ? length : sizeof name - 1;
    memcpy(name, word, length);
    name[length] = 0;
    const option *opt = find(c, name);
    if (!opt)
        unknown_option(c, name);
    return opt ? parse_value(opt, left, words, equals, o) : 0;
}

static bool add_argument(const command *c, const char *word, options *o)
{
    if (o->arguments >= c->most) {
        complain("'%s' is one argument too many, expected `unroll %s%s%s`", word, c->name, *c->arguments ? " " : "",
                 c->arguments);
        return false;
    }
    if (!*word) {
        complain("an empty argument was found, expected `unroll %s %s`", c->name, c->arguments);
        return false;
    }
    o->argument[o->arguments++] = word;
    return true;
}

bool options_parse(const command *c, int count, char **words, options *o, bool *help)
{
    bool only_arguments = false;
    *o = defaults;
    *help = false;
    for (int i = 0, taken; i < count; i += taken) {
        taken = 1;
        if (only_arguments || words[i][0] != '-' || !words[i][1]) {
            if (!add_argument(c, words[i], o))
                return false;
        } else if (strcmp(words[i], "--") == 0) {
            only_arguments = true;
        } else if (strcmp(words[i], "--help") == 0) {
            *help = true;
            return true;
        } else if (!(taken = parse_option(c, count - i, words + i, o))) {
            return false;
        }
    }
    if (o->arguments < c->least) {
        complain("%s is missing, expected `unroll %s %s`", c->arguments, c->name, c->arguments);
        return false;
    }
    return true;
}

void options_print(const command *c, FILE *out)
{
    for (size_t i = 0; i < OPTIONS; i++) {
        char left[256], choices[144] = "";
        if (!(table[i].commands & c->bit))
            continue;
        if (table[i].kind == CHOICE)
            list_choices(&table[i], choices, sizeof choices);
        const char *value = *choices ? choices : table[i].value;
        int width = snprintf(left, sizeof left, "--%s%s%s", table[i].name, value ? " " : "", value ? value : "");
        fprintf(out, width > 27 ? "  %s\n  %-28s" : "  %-28s%s", left, width > 27 ? "" : table[i].help);
        fprintf(out, "%s\n", width > 27 ? table[i].help : "");
    }
}
