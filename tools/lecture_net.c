/* lecture_net.c - a small network in f64 whose values and deltas can be read at every t: the ground on which the
 * lecture's formulas are tried. */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "lecture.h"

static double uniform(const char *stream, size_t i, double low, double high)
{
    return low + (high - low) * ur_random(6, stream, i);
}

static bool is_word(const char *list, const char *word)
{
    size_t length = strlen(word);
    for (const char *at = strstr(list, word); at; at = strstr(at + 1, word))
        if ((at == list || at[-1] == ' ') && (!at[length] || at[length] == ' '))
            return true;
    return false;
}

/* ---- opening */

/* Targets: a distribution over the outputs with softmax, else values inside 0..1. */
static bool make_data(lecture_net *n, ur_activation out)
{
    ur_error error = {{0}};
    n->data = ur_data_new(COLUMNS, TAU, INPUTS, n->outputs, UR_DATA_WEIGHT, NULL, &error);
    if (!n->data)
        return refuse("%s", error.text);
    for (size_t i = 0; i < (size_t)COLUMNS * TAU * INPUTS; i++)
        n->data->x[i] = uniform("x", i, -1.5, 1.5);
    for (int position = 0; position < COLUMNS * TAU; position++) {
        size_t first = (size_t)position * (size_t)n->outputs;
        double *y = n->data->y + first, sum = 0;
        for (int i = 0; i < n->outputs; i++)
            sum += y[i] = uniform("y", first + (size_t)i, 0.1, 0.9);
        for (int i = 0; i < n->outputs && out == UR_SOFTMAX; i++)
            y[i] /= sum;
    }
    return true;
}

static void fill(ur_var leaf, const char *name, double size)
{
    ur_node node;
    double *values = (double *)ur_leaf(leaf);
    for (size_t i = 0; values && ur_look(leaf, &node) && i < ur_shape_count(node.shape); i++)
        values[i] = uniform(name, i, -size, size);
}

static void fill_leaves(const lecture_net *n)
{
    ur_var param;
    const char *name;
    for (size_t k = 0; ur_param_at(n->tape, k, &param, &name, NULL); k++)
        fill(param, name, 0.9);
    for (size_t k = 0; k < n->net->states && n->net->options.start == UR_START_GIVEN; k++)
        fill(n->net->state[k].start, n->net->state[k].name, 0.7);
}

/* Lays the values of all units, then their deltas, then the loss, one after another. */
static bool plan(lecture_net *n, const char *plain, bool identity)
{
    ur_var root[2 * MOST_UNITS * TAU + 1];
    size_t half = 0;
    for (int u = 0; n->names[u]; u++)
        for (int t = 1; t <= TAU; t++)
            root[half++] = ur_find(n->tape, n->names[u], t);
    for (size_t k = 0; k < half; k++) {
        const char *name = n->names[k / TAU];
        bool itself = is_word(plain, name) || (identity && strcmp(name, "o") == 0);
        root[half + k] = itself ? root[k] : ur_node_input(root[k], 0);
    }
    root[2 * half] = n->net->loss;
    if (ur_grad(n->net->loss, half, root + half, root + half))
        n->plan = ur_plan_new(n->tape, &(ur_plan_options){.roots = 2 * half + 1, .root = root});
    return n->plan != NULL;
}

bool lecture_net_open(lecture_net *n, ur_net_options net, const char *const *names, const char *plain)
{
    *n = (lecture_net){.names = names, .outputs = net.out == UR_SOFTMAX ? 3 : 2};
    net.inputs = INPUTS;
    net.hidden = UNITS;
    net.outputs = n->outputs;
    net.reduction = UR_SUM_ALL;
    net.weighted = true;
    n->tape = ur_tape_new(&(ur_tape_options){.dtype = UR_F64});
    n->net = ur_net_new(n->tape, &net, TAU, COLUMNS);
    if (n->net && make_data(n, net.out) && plan(n, plain, net.out == UR_IDENTITY)) {
        fill_leaves(n);
        return lecture_net_run(n, 0);
    }
    return lecture_good(n->tape) && false;
}

/* ---- running */

static void read_starts(lecture_net *n)
{
    for (int u = 0; n->names[u]; u++)
        for (size_t s = 0; s < n->net->states && n->net->options.start == UR_START_GIVEN; s++)
            if (strcmp(n->names[u], n->net->state[s].name) == 0)
                memcpy(n->value[u][0], ur_leaf(n->net->state[s].start), sizeof n->value[u][0]);
}

/* The plan's roots: units, steps, rows, columns. */
static const double *read_units(const lecture_net *n, const double *from, lecture_series *to)
{
    for (int u = 0; n->names[u]; u++)
        for (int t = 1; t <= TAU; t++)
            for (int i = 0; i < (strcmp(n->names[u], "o") == 0 ? n->outputs : UNITS); i++)
                for (int k = 0; k < COLUMNS; k++)
                    to[u][t][i][k] = *from++;
    return from;
}

bool lecture_net_run(lecture_net *n, int t)
{
    size_t count;
    for (int i = 0; i < COLUMNS * TAU; i++)
        n->data->weight[i] = t == 0 || i % TAU == t - 1;
    if (!ur_net_bind(n->net, n->data, 0, COLUMNS) || !ur_plan_run(n->plan))
        return lecture_good(n->tape) && false;
    const double *roots = (const double *)ur_plan_roots(n->plan, &count);
    read_starts(n);
    n->loss = *read_units(n, read_units(n, roots, n->value), n->delta);
    return true;
}

void lecture_net_close(lecture_net *n)
{
    ur_plan_free(n->plan);
    ur_tape_free(n->tape);
    ur_data_free(n->data);
}

/* ---- reading */

double lecture_value(const lecture_place *at, int unit, int later)
{
    return at->n->value[unit][at->t + later][at->i][at->k];
}

double lecture_delta(const lecture_place *at, int unit, int later)
{
    return at->n->delta[unit][at->t + later][at->i][at->k];
}

/* A parameter's elements and its number of columns. */
static const double *weights(const lecture_place *at, const char *name, int *columns)
{
    ur_node node = {0};
    ur_var param = ur_find(at->n->tape, name, 0);
    ur_look(param, &node);
    *columns = (int)node.shape.size[1];
    return (const double *)ur_leaf(param);
}

double lecture_through(const lecture_place *at, const char *W, int unit, int later)
{
    int columns;
    const double *w = weights(at, W, &columns);
    double sum = 0;
    for (int j = 0; j < columns; j++)
        sum += w[at->i * columns + j] * at->n->delta[unit][at->t + later][j][at->k];
    return sum;
}

double lecture_linear(const lecture_place *at, const char *W, int unit, int later)
{
    int columns;
    const double *w = weights(at, W, &columns);
    double sum = 0;
    for (int j = 0; j < UNITS; j++)
        sum += w[j * columns + at->i] * at->n->value[unit][at->t + later][j][at->k];
    return sum;
}

double lecture_input(const lecture_place *at, const char *W)
{
    int columns;
    const double *w = weights(at, W, &columns), *x = at->n->data->x + ((ptrdiff_t)at->k * TAU + at->t - 1) * INPUTS;
    double sum = 0;
    for (int j = 0; j < INPUTS; j++)
        sum += w[j * columns + at->i] * x[j];
    return sum;
}

double lecture_bias(const lecture_place *at, const char *b)
{
    int columns;
    return weights(at, b, &columns)[at->i];
}

/* ---- diagrams */

bool lecture_draw(const char *folder, const char *file, const char *title, const char *x_label,
                  const curves_panel *panel)
{
    char path[4096];
    ur_error error = {{0}};
    if (mkdir(folder, 0777) != 0 && errno != EEXIST)
        return refuse("%s: the folder could not be made: %s", folder, strerror(errno));
    if (snprintf(path, sizeof path, "%s/%s", folder, file) >= (int)sizeof path)
        return refuse("--output: a shorter path was expected");
    return curves_draw(path, title, x_label, 1, panel, &error) || refuse("%s", error.text);
}
