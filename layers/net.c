/* net.c - a cell unrolled over time, stacked, in one direction or both, with an output layer and a loss.
 *
 * Lengths are data: alive_t [1,B] is 1 while a column's sequence lasts. x_t and y_t are read as select(alive_t, x_t, 0),
 * a state is written as select(alive_t, new, previous), previous in the state's own direction, an output and a position's
 * loss as select(alive_t, o, 0). So a dead position is the identity on every state, forward and backward, the last state
 * is each sequence's own last, a backward state past the end is the start, and whatever stands in the padding, NaN
 * included, reaches neither a value nor a gradient. */
#include "layers.h"

const char *const ur_loss_names[] = {"none", "bce", "ce", "mse", NULL};
const char *const ur_reduction_names[] = {"sum", "sequence", "mean", NULL};

static ur_var masked(const ur_net *net, int64_t t, ur_var value)
{
    return ur_select(net->alive[t - 1], value, ur_const(net->tape, UR_SCALAR, 0));
}

/* The mask of step t for a value of this shape: the batch is the last dimension. */
static ur_var alive(const ur_net *net, int64_t t, ur_shape shape)
{
    ur_shape mask = {.rank = shape.rank, .size = {1, 1, 1, 1}};
    mask.size[shape.rank - 1] = net->batch;
    return shape.rank == 2 ? net->alive[t - 1] : ur_reshape(net->alive[t - 1], mask);
}

static ur_var *new_row(const ur_net *net)
{
    return (ur_var *)ur_tape_memory(net->tape, (size_t)net->steps * sizeof(ur_var));
}

/* ---- options */

static bool usable(ur_tape *tape, const ur_net_options *o, int64_t steps, int64_t batch)
{
    if (ur_tape_error(tape))
        return false;
    if (!o->cell)
        ur_tape_fail(tape, "ur_net_new: a cell was expected, there is none");
    else if (o->inputs < 1 || o->hidden < 1 || (o->out && o->outputs < 1) || o->layers < 0)
        ur_tape_fail(tape, "%s: sizes from 1 were expected, not %lld inputs, %lld hidden units, %lld outputs",
                     o->cell->name, (long long)o->inputs, (long long)o->hidden, (long long)o->outputs);
    else if (steps < 1 || batch < 1)
        ur_tape_fail(tape, "%s: at least one step and one sequence were expected, not %lld and %lld", o->cell->name,
                     (long long)steps, (long long)batch);
    else if (o->bidirectional && o->cell->back)
        ur_tape_fail(tape, "%s: runs in both directions itself and cannot be made bidirectional", o->cell->name);
    else if (o->heads < 0 || (o->heads > 1 && o->hidden % o->heads != 0))
        ur_tape_fail(tape, "%s: %lld hidden units cannot be divided into %lld heads", o->cell->name,
                     (long long)o->hidden, (long long)o->heads);
    else if (!(o->dropout >= 0 && o->dropout < 1 && o->recurrent_dropout >= 0 && o->recurrent_dropout < 1))
        ur_tape_fail(tape, "%s: probabilities of dropout from 0 to below 1 were expected, not %g and %g", o->cell->name,
                     o->dropout, o->recurrent_dropout);
    return !ur_tape_error(tape);
}

static ur_net_options completed(const ur_net_options *options)
{
    ur_net_options o = *options;
    o.layers = o.layers ? o.layers : 1;
    o.heads = o.heads ? o.heads : 1;
    o.hidden_activation = o.hidden_activation ? o.hidden_activation : UR_TANH;
    return o;
}

static bool two_directions(const ur_net_options *o)
{
    return o->bidirectional || o->cell->back;
}

int64_t ur_net_outputs(const ur_net_options *options)
{
    return options->out ? options->outputs : two_directions(options) ? 2 * options->hidden : options->hidden;
}

/* ---- inputs */

static bool inputs(ur_net *net, const char *name, int64_t rows, ur_var **out)
{
    *out = new_row(net);
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
    if (o->dropout > 0 || o->recurrent_dropout > 0) {
        double evaluation = -1;
        net->training = ur_input(net->tape, "training", UR_SCALAR);
        net->sequences = ur_input(net->tape, "sequences", UR_SHAPE(1, net->batch));
        good = good && ur_write(net->training, 1, &evaluation);
    }
    size_t most = (size_t)o->layers * 2 * UR_STATES;
    net->o = new_row(net);
    net->state = (ur_net_state *)ur_tape_memory(net->tape, most * sizeof *net->state);
    return good && net->o && net->state;
}

/* ---- one direction of one layer */

/* A cell run over the steps of one layer: from 1 to T, or back. */
typedef struct sweep {
    const ur_net *net;
    const ur_cell *cell;
    bool backward;
    uint32_t number; /* of all sweeps of the network, for its dropout masks */
    ur_var keep;     /* recurrent dropout's mask, one for the sequence */
    ur_var state[UR_STATES];
    ur_shape shape[UR_STATES];
} sweep;

/* 1 with probability 1 - dropout, scaled so that the mean is 1. */
static ur_var dropout_mask(const ur_net *net, double dropout, uint32_t stream)
{
    const ur_net_options *o = &net->options;
    ur_var mask = ur_mask(net->training, net->sequences, 1 - dropout, o->hidden, o->seed, stream);
    return ur_scale(mask, 1 / (1 - dropout));
}

static ur_var start_of(const sweep *s, const ur_cell_state *state, ur_shape shape)
{
    ur_tape *tape = s->net->tape;
    char name[32];
    switch (s->net->options.start) {
    case UR_START_GIVEN:
        return ur_input(tape, state->name, shape);
    case UR_START_LEARNED:
        snprintf(name, sizeof name, "%s0", state->name);
        shape.rank--;
        ur_shape whole = shape;
        whole.rank++;
        return ur_broadcast(ur_param(tape, name, shape), whole);
    case UR_START_FIXED:
        break;
    }
    return ur_const(tape, shape, state->start);
}

static void add_start(ur_net *net, sweep *s)
{
    for (int i = 0; i < s->cell->states; i++) {
        const ur_cell_state *state = &s->cell->state[i];
        ur_shape shape =
            state->shape ? state->shape(&net->options, net->batch) : UR_SHAPE(net->options.hidden, net->batch);
        s->shape[i] = shape;
        s->state[i] = start_of(s, state, shape);
        net->state[net->states + (size_t)i] = (ur_net_state){.shape = shape, .start = s->state[i]};
    }
}

/* The name of a state with the open modules' names: `layer1.back.c`. */
static const char *state_name(const ur_net *net, const sweep *s, int64_t layer, bool back, int i)
{
    enum { LONGEST = 64 };
    char *text = (char *)ur_tape_memory(net->tape, LONGEST);
    char place[32] = "";
    if (net->options.layers > 1)
        snprintf(place, sizeof place, "layer%lld.", (long long)layer);
    if (text)
        snprintf(text, LONGEST, "%s%s%s", place, back ? "back." : "", s->cell->state[i].name);
    return text;
}

/* Truncated back-propagation: before step t the states are cut from their past. */
static bool cut_before(const ur_net *net, int64_t t, bool backward)
{
    int64_t k = net->options.bptt, taken = backward ? net->steps - t : t - 1;
    return k > 0 && taken > 0 && taken % k == 0;
}

static ur_var one_step(sweep *s, int64_t t, ur_var x)
{
    const ur_net *net = s->net;
    ur_var previous[UR_STATES];
    ur_step(net->tape, t);
    for (int i = 0; i < s->cell->states; i++) {
        previous[i] = cut_before(net, t, s->backward) ? ur_detach(s->state[i]) : s->state[i];
        s->state[i] = previous[i];
    }
    if (net->options.recurrent_dropout > 0 && s->cell->states > 0)
        s->state[0] = ur_mul(s->state[0], s->keep);
    ur_scope_open(net->tape, s->cell->name);
    ur_var h = s->cell->step(net->tape, &net->options, x, s->state);
    ur_scope_close(net->tape);
    for (int i = 0; i < s->cell->states; i++)
        s->state[i] = ur_select(alive(net, t, s->shape[i]), s->state[i], previous[i]);
    return h;
}

/* Runs the cell over all steps of `in` and writes its outputs to `out`. */
static void run_sweep(ur_net *net, const ur_cell *cell, int64_t layer, bool backward, const ur_var *in, ur_var *out)
{
    sweep s = {.net = net, .cell = cell, .backward = backward, .number = (uint32_t)(2 * layer + backward)};
    bool back = backward && !net->options.cell->back;
    if (back)
        ur_module_open(net->tape, "back");
    add_start(net, &s);
    if (net->options.recurrent_dropout > 0)
        s.keep = dropout_mask(net, net->options.recurrent_dropout, 1000000 + s.number);
    for (int64_t i = 1; i <= net->steps; i++) {
        int64_t t = backward ? net->steps + 1 - i : i;
        out[t - 1] = one_step(&s, t, in[t - 1]);
    }
    ur_step(net->tape, 0);
    if (back)
        ur_scope_close(net->tape);
    for (int i = 0; i < cell->states; i++) {
        ur_net_state *state = &net->state[net->states + (size_t)i];
        state->final = s.state[i];
        state->name = state_name(net, &s, layer, back, i);
    }
    net->states += (size_t)cell->states;
}

/* ---- layers */

/* gamma * (h - mean)/deviation + beta over the units of each column. */
static ur_var normalised(const ur_net *net, ur_var h)
{
    ur_shape shape = UR_SHAPE(net->options.hidden);
    ur_var scaled = ur_mul(ur_layer_norm(h), ur_param(net->tape, "gamma", shape));
    return ur_add(scaled, ur_param(net->tape, "beta", shape));
}

/* What a layer hands on: its outputs after normalisation and, below another layer, dropout. */
static void finish_direction(const ur_net *net, int64_t layer, int direction, ur_var *h)
{
    const ur_net_options *o = &net->options;
    bool drop = o->dropout > 0 && layer + 1 < o->layers;
    for (int64_t t = 1; t <= net->steps && (o->layer_norm || drop); t++) {
        ur_step(net->tape, t);
        if (o->layer_norm)
            h[t - 1] = normalised(net, h[t - 1]);
        if (drop)
            h[t - 1] =
                ur_mul(h[t - 1], dropout_mask(net, o->dropout, (uint32_t)((2 * layer + direction) * net->steps + t)));
    }
    ur_step(net->tape, 0);
}

/* Runs layer number `layer` on `in`: its outputs forward, and backward where it has both directions. */
static bool run_layer(ur_net *net, int64_t layer, const ur_var *in, ur_var *out[2])
{
    const ur_net_options *o = &net->options;
    bool both = two_directions(o);
    char name[32];
    snprintf(name, sizeof name, "layer%lld", (long long)layer);
    if (!(out[0] = new_row(net)) || (both && !(out[1] = new_row(net))))
        return false;
    if (o->layers > 1)
        ur_module_open(net->tape, name);
    run_sweep(net, o->cell, layer, false, in, out[0]);
    finish_direction(net, layer, 0, out[0]);
    if (both) {
        run_sweep(net, o->cell->back ? o->cell->back : o->cell, layer, true, in, out[1]);
        finish_direction(net, layer, 1, out[1]);
    }
    if (o->layers > 1)
        ur_scope_close(net->tape);
    return true;
}

/* The forward outputs above the backward ones. */
static ur_var joined(ur_var *const h[2], int64_t t)
{
    return h[1] ? ur_concat(2, (ur_var[]){h[0][t - 1], h[1][t - 1]}, 0) : h[0][t - 1];
}

static bool run_layers(ur_net *net, ur_var *h[2])
{
    ur_var *in = new_row(net);
    for (int64_t t = 1; t <= net->steps && in; t++) {
        ur_step(net->tape, t);
        in[t - 1] = masked(net, t, net->x[t - 1]);
    }
    for (int64_t layer = 0; layer < net->options.layers && in; layer++) {
        ur_step(net->tape, 0);
        if (!run_layer(net, layer, in, h))
            return false;
        for (int64_t t = 1; t <= net->steps && layer + 1 < net->options.layers; t++) {
            ur_step(net->tape, t);
            in[t - 1] = joined(h, t);
        }
    }
    ur_step(net->tape, 0);
    return in != NULL;
}

/* ---- output and loss */

/* The output layer's net value, with one weight matrix or one for each direction. */
static ur_var output_net(const ur_net *net, ur_var *const h[2], int64_t t)
{
    const ur_net_options *o = &net->options;
    const char *const *names = o->cell->output_weights;
    if (!names[1])
        return ur_bias(net->tape, "bo", ur_linear(net->tape, "Wo", o->outputs, joined(h, t)));
    ur_var forward = ur_linear(net->tape, names[0], o->outputs, h[0][t - 1]);
    return ur_bias(net->tape, "bo", ur_add(forward, ur_linear(net->tape, names[1], o->outputs, h[1][t - 1])));
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

/* Records output and loss of step t; returns the sum of the loss over the columns, when there is one. */
static ur_var finish_step(ur_net *net, ur_var *const h[2], int64_t t)
{
    const ur_net_options *options = &net->options;
    ur_step(net->tape, t);
    ur_scope_open(net->tape, "output");
    ur_var value = options->out ? output_net(net, h, t) : joined(h, t), o = value, loss = value;
    if (options->out)
        o = ur_name(ur_activate(options->out, value), "o");
    net->o[t - 1] = masked(net, t, o);
    ur_scope_close(net->tape);
    if (options->loss) {
        ur_scope_open(net->tape, "loss");
        loss = masked(net, t, position_loss(net, o, value, masked(net, t, net->y[t - 1])));
        if (options->weighted)
            loss = ur_mul(masked(net, t, net->weight[t - 1]), loss);
        loss = ur_sum(loss);
        ur_scope_close(net->tape);
    }
    return loss;
}

static bool record(ur_net *net)
{
    ur_var *h[2] = {NULL, NULL}, *loss = new_row(net);
    if (!loss || !add_inputs(net) || !run_layers(net, h))
        return false;
    for (int64_t t = 1; t <= net->steps; t++)
        loss[t - 1] = finish_step(net, h, t);
    ur_step(net->tape, 0);
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
    *net = (ur_net){.tape = tape, .options = completed(options), .steps = steps, .batch = batch};
    if (!record(net))
        return NULL;
    while (ur_param_at(tape, net->params, NULL, NULL, NULL))
        net->params++;
    return net;
}

bool ur_net_differentiate(ur_net *net)
{
    if (!net->options.loss)
        ur_tape_fail(net->tape, "%s: the network was recorded without a loss, there is nothing to differentiate",
                     net->options.cell->name);
    net->gradient = (ur_var *)ur_tape_memory(net->tape, net->params * sizeof *net->gradient);
    if (!net->gradient)
        return false;
    for (size_t k = 0; k < net->params; k++)
        ur_param_at(net->tape, k, &net->gradient[k], NULL, NULL);
    return ur_grad(net->loss, net->params, net->gradient, net->gradient);
}
