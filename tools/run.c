/* run.c - `unroll run`: one forward pass on given arrays, with gradients and deltas on request. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "setup.h"
#include "states.h"
#include "stream.h"

/* One pass: what came from the files, and the network that was recorded for it. */
typedef struct pass {
    const options *o;
    ur_arrays *weights;
    ur_net_options shape;
    ur_data *data;
    ur_tape *tape;
    ur_net *net;
    ur_pool *pool;
    ur_plan *plan;
    ur_error error;
} pass;

/* ---- the network's options and parameters */

/* The options and sizes of a model file. */
static bool read_model(pass *p)
{
    const options *o = p->o;
    ur_model about;
    if (o->weights)
        return refuse("--weights: %s is a model and has its own", o->argument[0]);
    p->weights = ur_arrays_load(o->argument[0], NULL, &p->error);
    if (!p->weights || !ur_model_read(p->weights, o->argument[0], &p->shape, &about, &p->error) ||
        !setup_override(o, &p->shape))
        return false;
    p->shape.bptt = 0; /* the gradient is that of the printed loss, through all steps */
    return true;
}

/* The cell with the options of the command line and the sizes of the weights. */
static bool read_weights(pass *p, const ur_cell *cell)
{
    const options *o = p->o;
    if (!o->weights)
        return refuse("--weights: the file with the weights of the cell %s is missing", cell->name);
    p->weights = ur_arrays_load(o->weights, NULL, &p->error);
    p->shape = (ur_net_options){.cell = cell, .inputs = 1, .hidden_activation = UR_TANH, .reduction = UR_PER_SEQUENCE};
    if (!p->weights || !setup_override(o, &p->shape) ||
        !ur_sizes_from_arrays(p->weights, o->weights, &p->shape, &p->error))
        return false;
    p->shape.inputs = 0;
    return true;
}

static bool read_shape(pass *p)
{
    const options *o = p->o;
    const char *name = o->argument[0];
    const ur_cell *cell = ur_cell_find(name);
    if (!cell && access(name, F_OK) != 0 && !strpbrk(name, "./"))
        return setup_cell(name) != NULL;
    if (!(cell ? read_weights(p, cell) : read_model(p)))
        return false;
    const char *file = o->weights ? o->weights : name;
    if (o->hidden && o->hidden != p->shape.hidden)
        return refuse("--hidden: %lld hidden units are in %s, not %lld", (long long)p->shape.hidden, file,
                      (long long)o->hidden);
    return setup_sizes_known(o, (const char *const[]){"d", "m", "p", NULL}) &&
           setup_size_is(o, file, "m", p->shape.hidden) && setup_size_is(o, file, "p", ur_net_outputs(&p->shape));
}

/* x, lengths, y and weights of positions as a data set. */
static bool read_data(pass *p)
{
    const options *o = p->o;
    ur_arrays *set = ur_arrays_new(NULL);
    bool good = ur_npy_load(set, "x", o->input, &p->error) != NULL;
    good = good && (!o->lengths || ur_npy_load(set, "lengths", o->lengths, &p->error));
    good = good && (!o->target || ur_npy_load(set, "y", o->target, &p->error));
    good = good && (!o->weight || ur_npy_load(set, "weight", o->weight, &p->error));
    if (good)
        p->data = ur_data_from_arrays(set, ur_net_outputs(&p->shape), NULL, &p->error);
    ur_arrays_free(set);
    return p->data != NULL;
}

static bool record(pass *p)
{
    const options *o = p->o;
    if (o->target && p->data->outputs != ur_net_outputs(&p->shape))
        return refuse("%s: y has %lld values, the network gives %lld", o->target, (long long)p->data->outputs,
                      (long long)ur_net_outputs(&p->shape));
    if (p->shape.inputs && p->shape.inputs != p->data->inputs)
        return refuse("%s: x has %lld features, the model %s takes %lld", o->input, (long long)p->data->inputs,
                      o->argument[0], (long long)p->shape.inputs);
    if (!setup_size_is(o, o->input, "d", p->data->inputs))
        return false;
    p->shape.inputs = p->data->inputs;
    p->shape.weighted = p->data->weight || p->data->y_last;
    if (o->state)
        p->shape.start = UR_START_GIVEN;
    if (!o->target)
        p->shape.loss = UR_NO_LOSS;
    p->tape = ur_tape_new(&(ur_tape_options){.dtype = o->dtype == UR_F32 ? UR_F32 : UR_F64});
    p->net = ur_net_new(p->tape, &p->shape, p->data->steps, p->data->n);
    return p->net && setup_params(o, p->net, p->weights) && ur_net_bind(p->net, p->data, 0, p->data->n);
}

/* ---- arrays, batch first, from and to columns */

/* Copies [rows,B] to or from row (n, t) of an array [N, steps, rows]; with `steps` 1 of an array [N, rows]. */
static void to_batch_first(const double *columns, int64_t rows, int64_t batch, int64_t steps, int64_t t, double *out)
{
    for (int64_t n = 0; n < batch; n++)
        for (int64_t i = 0; i < rows; i++)
            out[(n * steps + t) * rows + i] = columns[i * batch + n];
}

/* Reads `values[0..steps-1]`, each [rows,B] and zero where it is dead, into an array [N,steps,rows]. */
static bool collect(pass *p, const ur_var *values, int64_t steps, int64_t rows, bool masked, ur_array *array)
{
    int64_t batch = p->net->batch;
    double *columns = (double *)calloc((size_t)(rows * batch), sizeof *columns);
    double *all = (double *)calloc(array->count, sizeof *all);
    bool good = columns && all;
    for (int64_t t = 0; t < steps && good; t++) {
        good = ur_read(p->plan, values[t], (size_t)(rows * batch), columns);
        for (int64_t n = 0; masked && n < batch; n++)
            for (int64_t i = 0; p->data->lengths && t >= p->data->lengths[n] && i < rows; i++)
                columns[i * batch + n] = 0;
        to_batch_first(columns, rows, batch, steps, t, all);
    }
    good = good && ur_array_set(array, all, &p->error);
    free(columns);
    free(all);
    return good;
}

static ur_array *add_array(pass *p, ur_arrays *set, const char *name, int rank, const int64_t *size)
{
    ur_array_type type = ur_tape_dtype(p->tape) == UR_F32 ? UR_ARRAY_F32 : UR_ARRAY_F64;
    return ur_arrays_add(set, name, type, rank, size, &p->error);
}

/* [N,T,rows] under a name. */
static bool add_steps(pass *p, ur_arrays *set, const char *name, const ur_var *values, int64_t rows)
{
    int64_t size[] = {p->net->batch, p->net->steps, rows};
    ur_array *array = add_array(p, set, name, 3, size);
    return array && collect(p, values, p->net->steps, rows, true, array);
}

/* ---- gradients: the parameters', the input's and each named unit's */

/* The leaves and nodes to differentiate by, and their gradients: parameters, x_1..x_T, then T nodes for each unit. */
typedef struct gradients {
    ur_var *of, *value;
    size_t count;
    char (*unit)[64];
    int64_t *rows;
    size_t units;
} gradients;

/* The lecture's net value: the argument of the outermost function where the unit is f(...), else the unit itself. */
static ur_var net_value(ur_var unit)
{
    ur_node node, argument;
    if (ur_look(unit, &node) && node.inputs == 1 && !node.op->print && ur_look(ur_node_input(unit, 0), &argument) &&
        ur_shape_equal(node.shape, argument.shape))
        return ur_node_input(unit, 0);
    return unit;
}

/* Lists the named values of step 1 that are no leaves. */
static bool list_units(const pass *p, gradients *g)
{
    size_t nodes = ur_tape_nodes(p->tape);
    g->unit = (char(*)[64])calloc(nodes, sizeof *g->unit);
    g->rows = (int64_t *)calloc(nodes, sizeof *g->rows);
    if (!g->unit || !g->rows)
        return false;
    for (size_t i = 0; i < nodes; i++) {
        ur_node node;
        if (!ur_look(ur_node_at(p->tape, i), &node))
            return false;
        if (!node.name || node.op->kind == UR_LEAF || node.step != 1)
            continue;
        snprintf(g->unit[g->units], sizeof *g->unit, "%s", node.name);
        g->rows[g->units++] = (int64_t)ur_shape_count(node.shape) / p->net->batch;
    }
    return true;
}

/* Units that lie in heads, [.., heads, B], are listed head by head, as those of weights are. */
static ur_var by_heads(ur_var value)
{
    ur_node node;
    for (int axis = ur_look(value, &node) ? node.shape.rank - 2 : 0; axis > 0; axis--)
        value = ur_transpose(value, axis - 1, axis);
    return value;
}

static bool differentiate(const pass *p, gradients *g)
{
    size_t steps = (size_t)p->net->steps, k = p->net->params;
    if (!list_units(p, g))
        return false;
    g->count = k + steps * (1 + g->units);
    g->of = (ur_var *)calloc(g->count, sizeof *g->of);
    g->value = (ur_var *)calloc(g->count, sizeof *g->value);
    if (!g->of || !g->value)
        return false;
    for (size_t i = 0; i < k; i++)
        ur_param_at(p->tape, i, &g->of[i], NULL, NULL);
    for (size_t t = 0; t < steps; t++)
        g->of[k + t] = p->net->x[t];
    for (size_t u = 0; u < g->units; u++)
        for (size_t t = 0; t < steps; t++)
            g->of[k + steps * (1 + u) + t] = net_value(ur_find(p->tape, g->unit[u], (int64_t)t + 1));
    bool good = ur_grad(p->net->loss, g->count, g->of, g->value);
    for (size_t i = k + steps; i < g->count; i++)
        g->value[i] = by_heads(g->value[i]);
    return good;
}

static bool add_param_gradient(pass *p, ur_arrays *set, size_t k, ur_var gradient)
{
    ur_var param;
    const char *name;
    ur_node node;
    if (!ur_param_at(p->tape, k, &param, &name, NULL) || !ur_look(param, &node))
        return false;
    ur_array *array = add_array(p, set, name, node.shape.rank, node.shape.size);
    const void *data = array ? ur_value(p->plan, gradient) : NULL;
    if (data)
        memcpy(array->data, data, array->bytes);
    return data != NULL;
}

static bool write_gradients(pass *p, const gradients *g)
{
    ur_arrays *set = ur_arrays_new(NULL);
    size_t params = p->net->params, steps = (size_t)p->net->steps;
    bool good = true;
    for (size_t k = 0; k < params && good; k++)
        good = add_param_gradient(p, set, k, g->value[k]);
    good = good && add_steps(p, set, "x", g->value + params, p->shape.inputs);
    for (size_t u = 0; u < g->units && good; u++) {
        char name[80];
        snprintf(name, sizeof name, "delta.%s", g->unit[u]);
        good = add_steps(p, set, name, g->value + params + steps * (1 + u), g->rows[u]);
    }
    good = good && ur_arrays_save(set, p->o->grad, &p->error);
    ur_arrays_free(set);
    return good;
}

/* ---- the pass */

/* Plans everything that was asked for. */
static bool plan(pass *p, const gradients *g)
{
    for (int64_t t = 0; t < p->net->steps; t++)
        ur_keep(p->net->o[t]);
    for (size_t i = 0; p->o->state_out && i < p->net->states; i++)
        ur_keep(p->net->state[i].final);
    if (p->shape.loss)
        ur_keep(p->net->loss);
    for (size_t i = 0; i < g->count; i++)
        ur_keep(g->value[i]);
    p->pool = setup_pool(p->o);
    p->plan = ur_plan_new(p->tape, &(ur_plan_options){.pool = p->pool});
    return p->plan && ur_plan_run(p->plan);
}

static bool write_output(pass *p)
{
    ur_arrays *set = ur_arrays_new(NULL);
    bool good = add_steps(p, set, "o", p->net->o, ur_net_outputs(&p->shape)) &&
                ur_npy_save(ur_arrays_at(set, 0), p->o->output, &p->error);
    ur_arrays_free(set);
    return good;
}

static bool print_loss(const pass *p)
{
    double loss;
    if (!ur_read(p->plan, p->net->loss, 1, &loss))
        return false;
    printf("loss %.17g\n", printed(loss));
    return true;
}

static bool run_pass(pass *p)
{
    const options *o = p->o;
    gradients g = {0};
    bool good = read_data(p) && record(p) && (!o->state || states_read(o->state, p->net));
    good = good && (!o->grad || differentiate(p, &g)) && plan(p, &g);
    good = good && (!o->output || write_output(p)) && (!o->grad || write_gradients(p, &g)) &&
           (!o->state_out || states_write(o->state_out, p->net, p->plan, false)) && (!p->shape.loss || print_loss(p));
    free(g.of);
    free(g.value);
    free(g.unit);
    free(g.rows);
    return good;
}

static bool streams(const options *o)
{
    return o->input && strcmp(o->input, "-") == 0;
}

/* The first option that a stream cannot have, or NULL. */
static const char *too_much_for_a_stream(const options *o)
{
    return o->output    ? "output"
           : o->target  ? "target"
           : o->lengths ? "lengths"
           : o->weight  ? "weight"
           : o->grad    ? "grad"
                        : NULL;
}

/* Do the options make sense together? */
static bool sensible(const options *o)
{
    const char *extra = streams(o) ? too_much_for_a_stream(o) : NULL;
    if (!o->input)
        complain("--input: the input is missing, expected a .npy file, or - for a stream");
    else if (extra)
        complain("--%s: does not go with the stream of --input -", extra);
    else if (o->grad && !o->target)
        complain("--grad: gradients are those of a loss, expected --target and --loss beside it");
    else if (o->loss >= 0 && !o->target)
        complain("--loss: compares outputs with targets, expected --target beside it");
    else if (o->weight && !o->target)
        complain("--weight: weighs the positions of a loss, expected --target beside it");
    else if (!streams(o) && !o->output && !o->target && !o->state_out)
        complain("--output: nothing would be written, expected --output, --target or --state-out");
    else
        return true;
    return false;
}

static bool good_run(pass *p)
{
    const options *o = p->o;
    if (!sensible(o) || !setup_outputs(o) || !read_shape(p))
        return false;
    if (o->target && !p->shape.loss)
        return refuse("--loss: the loss is missing, expected bce, ce or mse beside --target");
    if (o->target && !setup_loss_fits(&p->shape))
        return false;
    return streams(o) ? stream(o, p->weights, &p->shape) == DONE : run_pass(p);
}

static int run(const options *o)
{
    pass p = {.o = o};
    int status = good_run(&p) ? DONE : BAD_INPUT;
    if (p.error.text[0])
        complain("%s", p.error.text);
    else if (p.tape && ur_tape_error(p.tape))
        complain("%s", ur_tape_error(p.tape));
    ur_plan_free(p.plan);
    ur_pool_free(p.pool);
    ur_tape_free(p.tape);
    ur_data_free(p.data);
    ur_arrays_free(p.weights);
    return status;
}

const command command_run = {
    .name = "run",
    .bit = RUN,
    .arguments = "CELL|MODEL",
    .least = 1,
    .most = 1,
    .summary = "one forward pass on given arrays, with gradients and deltas",
    .text = "--input holds x [N,T,d]; --output receives the outputs [N,T,p], 0 past each sequence's length. With\n"
            "--target and --loss prints the loss; --grad receives its gradient by every weight, by the input as x\n"
            "[N,T,d], and by the net value of every named unit as delta.NAME [N,T,units]. (Of slstm c and n are kept\n"
            "times e^-s, mlstm's memory too: once s is not 0 their deltas are those of the scaled values.) --input -\n"
            "reads one step of d numbers a line and answers each with a line of outputs; the state is carried.\n"
            "--state reads the states before the first step, --state-out writes those after the last one.",
    .example = "unroll run rnn --weights W.safetensors --out sigmoid --input X.npy --lengths L.npy \\\n"
               "      --target Y.npy --loss bce --output O.npy --grad G.safetensors",
    .run = run,
};
