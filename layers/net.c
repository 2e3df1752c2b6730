/* net.c - a cell unrolled over time, with an output layer and a loss.
 *
 * Lengths are data: alive_t [1,B] is 1 while a column's sequence lasts. x_t and y_t are read as select(alive_t, x_t, 0),
 * a state is written as select(alive_t, new, previous), an output and a position's loss as select(alive_t, o, 0). So a
 * dead position is the identity on every state, forward and backward, the last state is each sequence's own last, and
 * whatever stands in the padding, NaN included, reaches neither a value nor a gradient. */
#include "layers.h"

const char *const ur_loss_names[] = {"none", "bce", "ce", "mse", NULL};
const char *const ur_reduction_names[] = {"sum", "sequence", "mean", NULL};

static ur_var masked(const ur_net *net, int64_t t, ur_var value)
{
    return ur_select(net->alive[t - 1], value, ur_const(net->tape, UR_SCALAR, 0));
}

/* ---- leaves */

static bool usable(ur_tape *tape, const ur_net_options *o, int64_t steps, int64_t batch)
{
    if (ur_tape_error(tape))
        return false;
    if (!o->cell)
        ur_tape_fail(tape, "ur_net_new: a cell was expected, there is none");
    else if (o->inputs < 1 || o->hidden < 1 || (o->out && o->outputs < 1))
        ur_tape_fail(tape, "%s: sizes from 1 were expected, not %lld inputs, %lld hidden units, %lld outputs",
                     o->cell->name, (long long)o->inputs, (long long)o->hidden, (long long)o->outputs);
    else if (steps < 1 || batch < 1)
        ur_tape_fail(tape, "%s: at least one step and one sequence were expected, not %lld and %lld", o->cell->name,
                     (long long)steps, (long long)batch);
    return !ur_tape_error(tape);
}

static bool inputs(ur_net *net, const char *name, int64_t rows, ur_var **out)
{
    *out = (ur_var *)ur_tape_memory(net->tape, (size_t)net->steps * sizeof **out);
    return *out && ur_inputs(net->tape, name, UR_SHAPE(rows, net->batch), net->steps, *out);
}

static bool add_inputs(ur_net *net)
{
    const ur_net_options *o = &net->options;
    bool good = inputs(net, "x", o->inputs, &net->x) && inputs(net, "alive", 1, &net->alive);
    if (o->loss) {
        good = good && inputs(net, "y", ur_net_outputs(o), &net->y);
        if (o->weighted)
            good = good && inputs(net, "weight", 1, &net->weight);
        net->factor = ur_input(net->tape, "factor", UR_SCALAR);
    }
    net->o = (ur_var *)ur_tape_memory(net->tape, (size_t)net->steps * sizeof *net->o);
    return good && net->o;
}

static void add_start(ur_net *net, ur_var *state)
{
    const ur_net_options *o = &net->options;
    ur_shape shape = UR_SHAPE(o->hidden, net->batch);
    for (int i = 0; i < o->cell->states; i++) {
        state[i] = o->given_start ? ur_input(net->tape, o->cell->state[i], shape) : ur_const(net->tape, shape, 0);
        net->start[i] = state[i];
    }
}

/* ---- one step */

static ur_var run_cell(const ur_net *net, int64_t t, ur_var *state)
{
    const ur_cell *cell = net->options.cell;
    ur_var previous[UR_STATES];
    for (int i = 0; i < cell->states; i++)
        previous[i] = state[i];
    ur_scope_open(net->tape, cell->name);
    ur_var h = cell->step(net->tape, &net->options, masked(net, t, net->x[t - 1]), state);
    ur_scope_close(net->tape);
    for (int i = 0; i < cell->states; i++)
        state[i] = ur_select(net->alive[t - 1], state[i], previous[i]);
    return h;
}

/* The loss of each column at one step, [1,B], from the output and the net value that it is a function of. */
static ur_var position_loss(const ur_net *net, ur_var o, ur_var value, ur_var y)
{
    const ur_net_options *options = &net->options;
    switch (options->loss) {
    case UR_BCE:
        return ur_sum_over(options->out == UR_SIGMOID ? ur_bce_net(value, y) : ur_bce(o, y), 0);
    case UR_CE:
        return options->out == UR_SOFTMAX ? ur_softmax_ce(value, y) : ur_sum_over(ur_cross_entropy(o, y), 0);
    case UR_MSE:
    case UR_NO_LOSS:
        break;
    }
    return ur_sum_over(ur_squared_error(o, y), 0);
}

/* Records step t; returns the sum of its loss over the columns, when there is one. */
static ur_var record_step(ur_net *net, int64_t t, ur_var *state)
{
    const ur_net_options *options = &net->options;
    ur_step(net->tape, t);
    ur_var h = run_cell(net, t, state), value = h, o = h, loss = h;
    if (options->out) {
        ur_scope_open(net->tape, "output");
        value = ur_bias(net->tape, "bo", ur_linear(net->tape, "Wo", options->outputs, h));
        o = ur_name(ur_activate(options->out, value), "o");
        ur_scope_close(net->tape);
    }
    net->o[t - 1] = masked(net, t, o);
    if (options->loss) {
        ur_scope_open(net->tape, "loss");
        loss = masked(net, t, position_loss(net, o, value, masked(net, t, net->y[t - 1])));
        if (options->weighted)
            loss = ur_mul(net->weight[t - 1], loss);
        loss = ur_sum(loss);
        ur_scope_close(net->tape);
    }
    return loss;
}

static bool record(ur_net *net)
{
    ur_var state[UR_STATES], *loss = (ur_var *)ur_tape_memory(net->tape, (size_t)net->steps * sizeof *loss);
    if (!loss || !add_inputs(net))
        return false;
    add_start(net, state);
    for (int64_t t = 1; t <= net->steps; t++)
        loss[t - 1] = record_step(net, t, state);
    ur_step(net->tape, 0);
    for (int i = 0; i < net->options.cell->states; i++)
        net->final[i] = state[i];
    if (net->options.loss)
        net->loss = ur_name(ur_mul(net->factor, ur_total((size_t)net->steps, loss)), "loss");
    return !ur_tape_error(net->tape);
}

/* ---- the network */

ur_net *ur_net_new(ur_tape *tape, const ur_net_options *options, int64_t steps, int64_t batch)
{
    if (!usable(tape, options, steps, batch))
        return NULL;
    ur_net *net = (ur_net *)ur_tape_memory(tape, sizeof *net);
    if (!net)
        return NULL;
    *net = (ur_net){.tape = tape, .options = *options, .steps = steps, .batch = batch};
    if (!net->options.hidden_activation)
        net->options.hidden_activation = UR_TANH;
    if (!record(net))
        return NULL;
    while (ur_param_at(tape, net->params, NULL, NULL, NULL))
        net->params++;
    return net;
}

bool ur_net_differentiate(ur_net *net)
{
    net->gradient = (ur_var *)ur_tape_memory(net->tape, net->params * sizeof *net->gradient);
    if (!net->gradient)
        return false;
    for (size_t k = 0; k < net->params; k++)
        ur_param_at(net->tape, k, &net->gradient[k], NULL, NULL);
    return ur_grad(net->loss, net->params, net->gradient, net->gradient);
}

int64_t ur_net_outputs(const ur_net_options *options)
{
    return options->out ? options->outputs : options->hidden;
}
