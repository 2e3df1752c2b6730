/* graph.c - `unroll graph`: the diagram of a cell; formats other than dot are made by Graphviz. */
#include <errno.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "setup.h"

extern char **environ;

enum { FEATURES = 3, UNITS = 4, OUTPUTS = 2, SEQUENCES = 1, STEPS = 3, DOT_FORMAT = 2 };

static const char *const format_names[] = {"text", "json", "dot", "svg", "png", "pdf"};

/* ---- the diagram */

static ur_net *record(const options *o, ur_tape *tape)
{
    const ur_cell *cell = setup_cell(o->argument[0]);
    if (!cell)
        return NULL;
    ur_net_options net = {.cell = cell,
                          .inputs = FEATURES,
                          .hidden = o->hidden ? o->hidden : UNITS,
                          .outputs = o->out > 0 ? OUTPUTS : 0,
                          .hidden_activation = UR_TANH,
                          .loss = UR_NO_LOSS,
                          .reduction = UR_PER_SEQUENCE};
    setup_override(o, &net);
    ur_net *result = ur_net_new(tape, &net, o->steps ? o->steps : STEPS, SEQUENCES);
    if (!result)
        complain("%s", ur_tape_error(tape));
    return result;
}

static bool draw(const options *o, const ur_net *net, FILE *out)
{
    ur_dot_options dot = {.view = o->view > 0 ? (ur_dot_view)o->view : UR_DOT_FOLDED,
                          .title = o->title ? o->title : net->options.cell->equations,
                          .hide_const = o->hide_const};
    size_t roots = net->options.loss ? 1 : (size_t)net->steps;
    return ur_dot(net->tape, roots, net->options.loss ? &net->loss : net->o, &dot, out);
}

/* ---- files */

static int write_dot(const options *o, const ur_net *net)
{
    ur_error error = {{0}};
    if (!o->output)
        return draw(o, net, stdout) ? DONE : complain("%s", ur_tape_error(net->tape));
    ur_file *file = ur_file_create(o->output, NULL, &error);
    if (!file)
        return complain("%s", error.text);
    if (!draw(o, net, ur_file_stream(file))) {
        ur_file_abandon(file);
        return complain("%s", ur_tape_error(net->tape));
    }
    return ur_file_commit(file, &error) ? DONE : complain("%s", error.text);
}

/* Runs `dot -Tformat source [-o output]`. */
static int call_graphviz(const char *format, const char *source, const char *output)
{
    char type[16];
    snprintf(type, sizeof type, "-T%s", format);
    char *words[6] = {NULL};
    const char *given[] = {"dot", type, source, output ? "-o" : NULL, output};
    for (size_t i = 0; i < 5 && given[i]; i++)
        if (!(words[i] = strdup(given[i])))
            return complain("graph: no memory");
    pid_t child;
    int state = 0, failed = posix_spawnp(&child, "dot", NULL, NULL, words, environ);
    for (size_t i = 0; words[i]; i++)
        free(words[i]);
    if (failed)
        return complain("--format: %s is made by Graphviz' dot, which was not found; install graphviz or use "
                        "--format dot",
                        format);
    while (waitpid(child, &state, 0) < 0 && errno == EINTR)
        ;
    return WIFEXITED(state) && WEXITSTATUS(state) == 0
               ? DONE
               : complain("%s: Graphviz' dot could not write it", output ? output : "stdout");
}

static int write_picture(const options *o, const ur_net *net)
{
    const char *folder = getenv("TMPDIR");
    char path[512];
    snprintf(path, sizeof path, "%s/unroll-XXXXXX", folder && *folder ? folder : "/tmp");
    int descriptor = mkstemp(path);
    FILE *out = descriptor >= 0 ? fdopen(descriptor, "w") : NULL;
    if (!out)
        return complain("%s: %s", path, strerror(errno));
    bool good = draw(o, net, out);
    good = fclose(out) == 0 && good;
    int status = good ? call_graphviz(format_names[o->format], path, o->output)
                      : complain("%s: the diagram could not be written", path);
    unlink(path);
    return status;
}

static int graph(const options *o)
{
    if (o->format >= 0 && o->format < DOT_FORMAT)
        return complain("--format: dot, svg, png or pdf was expected, not '%s'", format_names[o->format]);
    ur_tape *tape = ur_tape_new(NULL);
    const ur_net *net = record(o, tape);
    int status = !net ? BAD_INPUT : o->format > DOT_FORMAT ? write_picture(o, net) : write_dot(o, net);
    ur_tape_free(tape);
    return status;
}

const command command_graph = {
    .name = "graph",
    .bit = GRAPH,
    .arguments = "CELL",
    .least = 1,
    .most = 1,
    .summary = "draws a cell",
    .text = "Writes the diagram in Graphviz' language, or with --format svg, png or pdf calls Graphviz. Folded, one\n"
            "step stands for all, and what comes from the step before is a dashed edge.",
    .example = "unroll graph rnn --out sigmoid --format svg -o rnn.svg",
    .run = graph,
};
