/* graph.c - `unroll graph`: the diagram of a cell; formats other than dot are made by Graphviz. */
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "setup.h"

extern char **environ;

enum { SEQUENCES = 1, STEPS = 3 };

/* ---- the diagram */

static ur_net *record(const options *o, ur_tape *tape)
{
    ur_net_options net;
    if (!setup_bare_options(o, UR_NO_LOSS, &net))
        return NULL;
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

/* ---- Graphviz */

/* The diagram in a file of its own, read from its beginning and without a name. NULL after an error. */
static FILE *draw_aside(const options *o, const ur_net *net)
{
    FILE *file = tmpfile();
    bool drawn = file && draw(o, net, file);
    if (drawn && fflush(file) == 0 && fseek(file, 0, SEEK_SET) == 0)
        return file;
    if (file && !drawn)
        complain("%s", ur_tape_error(net->tape));
    else
        complain("the temporary file for Graphviz cannot be written: %s", strerror(errno));
    if (file)
        fclose(file);
    return NULL;
}

/* Starts `dot` with this option, stdin and stdout, and without its messages. Returns 0 or the reason. */
static int spawn_dot(char *type, FILE *in, FILE *out, pid_t *child)
{
    char name[] = "dot", *words[] = {name, type, NULL};
    posix_spawn_file_actions_t actions;
    int failed = posix_spawn_file_actions_init(&actions);
    if (failed)
        return failed;
    posix_spawn_file_actions_adddup2(&actions, fileno(in), STDIN_FILENO);
    posix_spawn_file_actions_adddup2(&actions, fileno(out), STDOUT_FILENO);
    posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
    failed = posix_spawnp(child, "dot", &actions, NULL, words, environ);
    posix_spawn_file_actions_destroy(&actions);
    return failed;
}

static bool call_graphviz(const options *o, FILE *in, FILE *out)
{
    static const char *const formats[] = {[FORMAT_SVG] = "svg", [FORMAT_PNG] = "png", [FORMAT_PDF] = "pdf"};
    char type[16];
    pid_t child;
    int state = 0;
    snprintf(type, sizeof type, "-T%s", formats[o->format]);
    int failed = spawn_dot(type, in, out, &child);
    if (failed == ENOENT)
        return refuse("--format: %s is made by dot of Graphviz, which is not installed; expected --format dot",
                      formats[o->format]);
    if (failed)
        return refuse("--format: dot of Graphviz cannot be started: %s", strerror(failed));
    while (waitpid(child, &state, 0) < 0 && errno == EINTR)
        ;
    return (WIFEXITED(state) && WEXITSTATUS(state) == 0) ||
           refuse("--format: dot of Graphviz could not make %s of the diagram; expected --format dot",
                  formats[o->format]);
}

/* ---- the output */

/* Writes the diagram, or the picture that Graphviz makes of it. False after an error. */
static bool write_diagram(const options *o, const ur_net *net, FILE *out)
{
    if (o->format < 0 || o->format == FORMAT_DOT)
        return draw(o, net, out) || refuse("%s", ur_tape_error(net->tape));
    FILE *in = draw_aside(o, net);
    bool good = in && call_graphviz(o, in, out);
    if (in)
        fclose(in);
    return good;
}

static int write_output(const options *o, const ur_net *net)
{
    ur_error error = {{0}};
    if (!o->output)
        return write_diagram(o, net, stdout) ? DONE : BAD_INPUT;
    ur_file *file = ur_file_create(o->output, NULL, &error);
    if (!file)
        return complain("%s", error.text);
    if (!write_diagram(o, net, ur_file_stream(file))) {
        ur_file_abandon(file);
        return BAD_INPUT;
    }
    return ur_file_commit(file, &error) ? DONE : complain("%s", error.text);
}

static int graph(const options *o)
{
    ur_tape *tape = ur_tape_new(NULL);
    const ur_net *net = record(o, tape);
    int status = net ? write_output(o, net) : BAD_INPUT;
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
    .text = "Writes the diagram in the language of Graphviz to stdout or --output; --format svg, png or pdf calls\n"
            "Graphviz. Folded, one step stands for all, and what comes from the step before is a dashed edge. Sizes\n"
            "are d=3, m=4 and, with --out, p=2.",
    .example = "unroll graph rnn --out sigmoid --format svg -o rnn.svg",
    .run = graph,
};
